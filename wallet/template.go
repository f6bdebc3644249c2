package wallet

import (
	"bytes"
	"time"

	"aviso.example/internal/bundle"
)

// Template is a signer and the files that many passes share: images,
// translations, personalization. They are checked, hashed and compressed once.
// It keeps copies of them, does not change and is safe for concurrent use.
type Template struct{ shared }

// OrderTemplate is a signer and the files that many orders share, as [Template]
// is for passes.
type OrderTemplate struct{ shared }

type shared struct {
	signer *Signer
	files  Files
	bundle *bundle.Template
	names  orderNames // of an order
	size   int
}

// NewTemplate checks the files that passes share, and prepares them. A pass.json
// among them is left out, since it is what differs. The error is an *InvalidError
// that lists everything for which a pass would be refused; for warnings, see
// [Files.Check].
//
// All files bear a fixed date in the zip, so that equal passes are equal bytes up
// to the signature, which holds the time.
func NewTemplate(signer *Signer, files Files) (*Template, error) {
	c := &checker{}
	own := without(files, filePass)
	c.names(own)
	c.sharedFiles(own, nil)
	if _, ok := own[filePersonalization]; ok {
		c.personalization(own, nil)
	}
	s, err := newShared(c, signer, own, bundle.SHA1)
	if err != nil {
		return nil, err
	}
	return &Template{s}, nil
}

// NewOrderTemplate checks the files that orders share, and prepares them, as
// [NewTemplate] does for passes.
func NewOrderTemplate(signer *Signer, files Files) (*OrderTemplate, error) {
	c := &checker{order: true}
	own := without(files, fileOrder)
	c.names(own)
	c.orderShared(own)
	s, err := newShared(c, signer, own, bundle.SHA256)
	if err != nil {
		return nil, err
	}
	return &OrderTemplate{s}, nil
}

// storeBelow is the size of pass.json up to which it is not compressed. What it
// would save is a packet on its way to the device.
const storeBelow = 4 << 10

func newShared(c *checker, signer *Signer, files Files, digest bundle.Digest) (shared, error) {
	if signer == nil {
		c.problems = append(c.problems, Problem{Error, "certificate", "", "is missing", "make a Signer"})
	}
	if err := c.problems.Err(); err != nil {
		return shared{}, err
	}
	// The file that differs has its place already, so that its name is not looked
	// at again for each pass.
	name := filePass
	if c.order {
		name = fileOrder
	}
	t, err := bundle.NewTemplate(bundle.Config{Digest: digest, StoreBelow: storeBelow}, append(files.list(), bundle.File{Name: name})...)
	problems, err := bundleProblems(err)
	if err != nil {
		return shared{}, err
	}
	size := 0
	for name, data := range files { // files is a map of our own
		size += len(data)
		files[name] = bytes.Clone(data)
	}
	return shared{signer, files, t, files.orderNames(), size}, problems.Err()
}

func without(files Files, names ...string) Files {
	left := Files{}
	for name, data := range files {
		left[name] = data
	}
	for _, name := range names {
		delete(left, name)
	}
	return left
}

func (f Files) list() (list []bundle.File) {
	for _, name := range f.names() {
		list = append(list, bundle.File{Name: name, Data: f[name]})
	}
	return list
}

// Sign makes a signed pass, a .pkpass file. FormatVersion, PassTypeIdentifier and
// TeamIdentifier are filled in where they are missing, from the certificate; the
// Pass itself is not changed. own are files that only this pass has, such as a
// photograph; they replace those of the template. It may be nil.
//
// The error is an *InvalidError that lists everything for which the pass would be
// refused, the certificate included. Any other error is the key's, which fails
// only if it lives in other hardware.
func (t *Template) Sign(p *Pass, own Files) ([]byte, error) {
	filled := *p
	if filled.FormatVersion == 0 && filled.Extra["formatVersion"] == nil {
		filled.FormatVersion = 1
	}
	if filled.PassTypeIdentifier == "" && filled.Extra["passTypeIdentifier"] == nil {
		filled.PassTypeIdentifier = t.signer.TypeIdentifier()
	}
	if filled.TeamIdentifier == "" && filled.Extra["teamIdentifier"] == nil {
		filled.TeamIdentifier = t.signer.TeamIdentifier()
	}
	c := &checker{}
	c.pass(&filled)
	if err := t.check(c, &filled, own).Err(); err != nil {
		return nil, err
	}
	data, err := marshal(&filled)
	if err != nil {
		return nil, err
	}
	return t.pack(filePass, data, own)
}

// SignJSON makes a signed pass of a pass.json that is used as it is, byte for
// byte. For everything else see [Template.Sign].
func (t *Template) SignJSON(passJSON []byte, own Files) ([]byte, error) {
	p := new(Pass)
	d, err := decode(passJSON, p)
	if err != nil {
		return nil, &InvalidError{Problems{notJSON(err)}}
	}
	c := &checker{problems: d.twice}
	c.pass(p)
	if err := t.check(c, p, own).Err(); err != nil {
		return nil, err
	}
	return t.pack(filePass, passJSON, own)
}

// check checks what a pass has to have to go with the template.
func (t *Template) check(c *checker, p *Pass, own Files) Problems {
	c.problems = append(c.problems, t.signer.CheckPass(p, time.Now())...)
	files := t.files
	if len(own) > 0 {
		c.names(own)
		files = without(files)
		for name, data := range own {
			files[name] = data
		}
		c.sharedFiles(files, p)
	}
	if _, ok := files[filePersonalization]; ok {
		c.personalization(files, p)
	}
	return c.problems.sort()
}

// Sign makes a signed order, a .order file. SchemaVersion and OrderTypeIdentifier
// are filled in where they are missing; the Order itself is not changed. For own
// and the errors see [Template.Sign].
func (t *OrderTemplate) Sign(o *Order, own Files) ([]byte, error) {
	filled := *o
	if filled.SchemaVersion == 0 && filled.Extra["schemaVersion"] == nil {
		filled.SchemaVersion = 1
	}
	if filled.OrderTypeIdentifier == "" && filled.Extra["orderTypeIdentifier"] == nil {
		filled.OrderTypeIdentifier = t.signer.TypeIdentifier()
	}
	data, err := marshal(&filled)
	if err != nil {
		return nil, err
	}
	c := &checker{order: true}
	return t.sign(c, &filled, data, own)
}

// SignJSON makes a signed order of an order.json that is used as it is, byte for
// byte. For everything else see [OrderTemplate.Sign].
func (t *OrderTemplate) SignJSON(orderJSON []byte, own Files) ([]byte, error) {
	o := new(Order)
	d, err := decode(orderJSON, o)
	if err != nil {
		return nil, &InvalidError{Problems{notJSON(err)}}
	}
	return t.sign(&checker{order: true, problems: d.twice}, o, orderJSON, own)
}

func (t *OrderTemplate) sign(c *checker, o *Order, data []byte, own Files) ([]byte, error) {
	c.orderRules(o)
	c.problems = append(c.problems, t.signer.CheckOrder(o, time.Now())...)
	names, size := t.names, t.size
	if len(own) > 0 {
		c.names(own)
		c.orderShared(own)
		files := without(t.files)
		for name, data := range own {
			files[name] = data
		}
		names, size = files.orderNames(), 0
		for _, data := range files {
			size += len(data)
		}
	}
	c.orderReferences(o, names)
	if size+len(data) >= maxOrder {
		c.tooLarge()
	}
	if err := c.problems.sort().Err(); err != nil {
		return nil, err
	}
	return t.pack(fileOrder, data, own)
}

func (s *shared) pack(name string, data []byte, own Files) ([]byte, error) {
	out := bytes.NewBuffer(make([]byte, 0, s.size+len(data)+8<<10))
	files := append(make([]bundle.File, 0, 1+len(own)), bundle.File{Name: name, Data: data})
	for _, f := range own.list() {
		if f.Name != name {
			files = append(files, f)
		}
	}
	problems, err := bundleProblems(s.bundle.Pack(out, s.signer.cms.Sign, files...))
	if err == nil {
		err = problems.Err()
	}
	if err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// Sign signs the files of one pass or order: pass.json or order.json is used as
// it is, byte for byte. For many that share files, make a template. For the
// errors see [Template.Sign].
func (f Files) Sign(signer *Signer) ([]byte, error) {
	c := &checker{}
	c.problems = f.Check()
	if signer == nil {
		c.problems = append(c.problems, Problem{Error, "certificate", "", "is missing", "make a Signer"})
	}
	if f.isOrder() {
		if o, _ := ParseOrder(f[fileOrder]); o != nil && signer != nil {
			c.problems = append(c.problems, signer.CheckOrder(o, time.Now())...)
		}
		if err := c.problems.Err(); err != nil {
			return nil, err
		}
		t, err := NewOrderTemplate(signer, f)
		if err != nil {
			return nil, err
		}
		return t.SignJSON(f[fileOrder], nil)
	}
	if p, _ := ParsePass(f[filePass]); p != nil && signer != nil {
		c.problems = append(c.problems, signer.CheckPass(p, time.Now())...)
	}
	if err := c.problems.Err(); err != nil {
		return nil, err
	}
	t, err := NewTemplate(signer, f)
	if err != nil {
		return nil, err
	}
	return t.SignJSON(f[filePass], nil)
}
