package bundle

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
)

// Config says how packages are written.
type Config struct {
	// Digest is the form of the manifest.
	Digest Digest
	// Modified is the time that all files of the zip bear, to two seconds, from
	// 1980 to 2107. Zero means 1 January 1980; devices do not look at it.
	Modified time.Time
	// StoreBelow is the size in bytes below which files that are given to Pack
	// are stored as they are. Whoever makes packages as fast as a key signs gives
	// some room for it: deflating two kilobytes takes a thirtieth of the time of
	// an RSA signature.
	StoreBelow int
}

// Template is the files that many packages share, hashed and compressed. It keeps
// copies of them, does not change and is safe for concurrent use.
type Template struct {
	config  Config
	date    uint16
	clock   uint16
	entries []*entry // sorted by name
}

// entry is a file as it goes into the zip and the manifest.
type entry struct {
	name     string
	size     int
	crc      uint32
	method   uint16
	packed   []byte
	manifest []byte // its member of the manifest's object
}

// NewTemplate prepares files. The error is *[Error] and names every name that
// cannot be used.
func NewTemplate(config Config, files ...File) (*Template, error) {
	t := &Template{config: config}
	t.date, t.clock = dosTime(config.Modified)
	return t.With(files...)
}

// With returns a template that has these files too. A file that the template
// has already is replaced.
func (t *Template) With(files ...File) (*Template, error) {
	// What is stored as it is must not change when the caller's bytes do.
	files = slices.Clone(files)
	for i := range files {
		files[i].Data = bytes.Clone(files[i].Data)
	}
	entries, err := t.merge(flate.BestCompression, 0, files)
	if err != nil {
		return nil, err
	}
	return &Template{config: t.config, date: t.date, clock: t.clock, entries: entries}, nil
}

// Pack writes a zip with the files of the template, the files given here, the
// manifest and its signature. A file that the template has already is replaced.
// sign gets the manifest, which it must not keep, and returns the signature.
//
// Nothing is written before the signature was made. The zip goes to w in several
// writes and never needs to be read back, so w may be a response.
func (t *Template) Pack(w io.Writer, sign func(manifest []byte) ([]byte, error), files ...File) error {
	entries, err := t.merge(flate.BestSpeed, t.config.StoreBelow, files)
	if err != nil {
		return err
	}
	manifest := []byte{'{'}
	for i, e := range entries {
		if i > 0 {
			manifest = append(manifest, ',')
		}
		manifest = append(manifest, e.manifest...)
	}
	manifest = append(manifest, '}')
	signature, err := sign(manifest)
	if err != nil {
		return err
	}
	// Both are short, and a signature is mostly certificates: packing them would
	// cost more than it saves.
	return t.write(w, append(entries, stored(ManifestName, manifest), stored(SignatureName, signature)))
}

// Zip writes a zip of files without a manifest, in the order given: a .pkpasses
// file is such a zip, of complete passes. The error is *[Error] if a name cannot
// be used.
func Zip(w io.Writer, modified time.Time, files ...File) error {
	if err := checkFiles(files); err != nil {
		return err
	}
	t := &Template{}
	t.date, t.clock = dosTime(modified)
	var entries []*entry
	for _, file := range files {
		entries = append(entries, pack(file, flate.BestSpeed))
	}
	return t.write(w, entries)
}

// merge adds files to those of the template, all of it sorted by name.
func (t *Template) merge(level, storeBelow int, files []File) ([]*entry, error) {
	added := make([]*entry, 0, len(t.entries)+len(files)+2)
	var found problems
	if err := checkFiles(files); err != nil {
		found = err.(*Error).Problems
	}
	for _, file := range files {
		if file.Name == ManifestName || file.Name == SignatureName {
			found.add(file.Name, "it is made here", "leave it out")
		}
	}
	if len(found) > 0 {
		return nil, found.err()
	}
	for _, file := range files {
		var e *entry
		if len(file.Data) < storeBelow {
			e = stored(file.Name, file.Data)
		} else {
			e = pack(file, level)
		}
		e.manifest = t.config.Digest.appendEntry(nil, file.Name, file.Data)
		added = append(added, e)
	}
	own := len(added)
	for _, e := range t.entries {
		if !slices.ContainsFunc(added[:own], func(a *entry) bool { return a.name == e.name }) {
			added = append(added, e)
		}
	}
	// Names that only replace others were looked at when the template was made.
	if own > 0 && own < len(added) && len(added) > len(t.entries) {
		var names []string
		for _, e := range added {
			names = append(names, e.name)
		}
		checkClashes(names, &found)
	}
	if most := (Limits{}).orDefault().Files - 2; len(added) > most {
		found.add("", fmt.Sprintf("there are %d files, and %d are possible", len(added), most), "")
	}
	slices.SortFunc(added, func(a, b *entry) int { return strings.Compare(a.name, b.name) })
	return added, found.err()
}

func checkFiles(files []File) error {
	names := make([]string, len(files))
	for i, file := range files {
		names[i] = file.Name
	}
	return CheckNames(names...)
}

// CheckNames says which names cannot be those of files in one package, without
// making it. The error is *[Error].
func CheckNames(names ...string) error {
	var found problems
	limits := Limits{}.orDefault()
	for _, name := range names {
		if problem, fix := checkName(name, limits); problem != "" {
			found.add(name, problem, fix)
		}
	}
	checkClashes(names, &found)
	return found.err()
}

func stored(name string, data []byte) *entry {
	return &entry{name: name, size: len(data), crc: crc32.ChecksumIEEE(data), method: zip.Store, packed: data}
}

// pack compresses what can be.
func pack(file File, level int) *entry {
	e := stored(file.Name, file.Data)
	if compressed(file.Data) || len(file.Data) < 64 {
		return e
	}
	pool := &fast
	if level == flate.BestCompression {
		pool = &best
	}
	w := pool.Get().(*flate.Writer)
	defer pool.Put(w)
	var packed bytes.Buffer
	packed.Grow(len(file.Data) / 2)
	w.Reset(&packed)
	w.Write(file.Data) // Neither fails, since the buffer does not.
	w.Close()
	if packed.Len() < len(file.Data) {
		e.method, e.packed = zip.Deflate, packed.Bytes()
	}
	return e
}

// A compressor has some hundred KiB of tables, far more than what it is used
// for here.
var (
	fast = sync.Pool{New: func() any { return newCompressor(flate.BestSpeed) }}
	best = sync.Pool{New: func() any { return newCompressor(flate.BestCompression) }}
)

func newCompressor(level int) *flate.Writer {
	w, err := flate.NewWriter(nil, level)
	if err != nil {
		panic(err) // The level is one of two constants.
	}
	return w
}

// compressed recognises formats that deflate only makes longer.
func compressed(data []byte) bool {
	for _, magic := range []string{"\x89PNG\r\n\x1a\n", "\xFF\xD8\xFF", "GIF8", "PK\x03\x04"} {
		if bytes.HasPrefix(data, []byte(magic)) {
			return true
		}
	}
	return false
}

func (t *Template) write(w io.Writer, entries []*entry) error {
	z := zip.NewWriter(w)
	for _, e := range entries {
		header := &zip.FileHeader{
			Name: e.name, Method: e.method, CRC32: e.crc,
			CompressedSize64: uint64(len(e.packed)), UncompressedSize64: uint64(e.size),
			// Modified would be ignored by CreateRaw, and add an extra field elsewhere.
			ModifiedDate: t.date, ModifiedTime: t.clock, //lint:ignore SA1019 see above
		}
		header.SetMode(0o644)
		if strings.ContainsFunc(e.name, func(r rune) bool { return r > 0x7E }) {
			header.Flags |= flagUTF8
		}
		to, err := z.CreateRaw(header)
		if err != nil {
			return fmt.Errorf("bundle: write %s: %w", e.name, err)
		}
		if _, err := to.Write(e.packed); err != nil {
			return fmt.Errorf("bundle: write %s: %w", e.name, err)
		}
	}
	if err := z.Close(); err != nil {
		return fmt.Errorf("bundle: write: %w", err)
	}
	return nil
}

// dosTime encodes a time as MS-DOS did (APPNOTE.TXT section 4.4.6), in UTC so
// that it does not depend on where the program runs.
func dosTime(at time.Time) (date, clock uint16) {
	at = at.UTC()
	switch year := at.Year(); {
	case year < 1980:
		at = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)
	case year > 2107:
		at = time.Date(2107, 12, 31, 23, 59, 58, 0, time.UTC)
	}
	date = uint16((at.Year()-1980)<<9 | int(at.Month())<<5 | at.Day())
	clock = uint16(at.Hour()<<11 | at.Minute()<<5 | at.Second()/2)
	return date, clock
}
