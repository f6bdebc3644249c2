package h2

import (
	"golang.org/x/net/http2/hpack"
)

// newEncoder returns an encoder for a peer that has not sent SETTINGS yet.
func newEncoder(common []Field) encoder {
	return encoder{max: maxTable, common: common, commonSize: listSize(common)}
}

// encoder writes header sections (RFC 7541). x/net's hpack.Encoder would do,
// but it looks every field up anew for every request and cannot be told to use
// a table entry's name without storing the value; here the constant part of a
// request is encoded once and copied afterwards.
//
// What enters the dynamic table: the fields of heads and of common while there
// is room without evicting anything, and each per-request field's name, once,
// with its first value. So indices move only when something is inserted, and
// version says when that was.
type encoder struct {
	common     []Field // :authority and what else is constant for the connection
	commonSize uint32

	table   []entry // oldest first
	size    uint32
	max     uint32
	version int // changes with every change of the table or of common

	resize bool // a size update is owed to the peer, through 0 to forget all
	blocks []block
}

type entry struct{ name, value string }

func (e entry) size() uint32 { return uint32(len(e.name) + len(e.value) + 32) }

// block is the encoded constant part of requests with one head, valid while the
// encoder's version stays the same.
type block struct {
	head    *Head
	version int
	pseudo  []byte // goes before :path
	regular []byte // goes after it
}

// maxBlocks bounds the remembered heads; senders use a handful.
const maxBlocks = 64

// setCommon replaces the connection's constant fields and empties the table, so
// that what is no longer used does not stay in it.
func (e *encoder) setCommon(fields []Field) {
	e.common, e.commonSize = fields, listSize(fields)
	e.forget()
}

// setMax follows the peer's SETTINGS_HEADER_TABLE_SIZE.
func (e *encoder) setMax(n uint32) {
	if n = min(n, maxTable); n != e.max {
		e.max = n
		e.forget()
	}
}

func (e *encoder) forget() {
	e.table, e.size = e.table[:0], 0
	e.resize = true
	e.version++
	e.blocks = e.blocks[:0]
}

// sectionSize is the size of a call's header section as
// SETTINGS_MAX_HEADER_LIST_SIZE counts it.
func (e *encoder) sectionSize(c *Call) uint32 {
	return e.commonSize + c.Head.size + uint32(len(":path")+len(c.Path)+32) + listSize(c.Fields)
}

// encode appends the header section of a call.
func (e *encoder) encode(dst []byte, c *Call) []byte {
	if e.resize {
		e.resize = false
		// RFC 7541 section 4.2: the smallest size is signalled first, which
		// here is 0 and empties the peer's table too.
		dst = hpackInt(dst, 0x20, 5, 0)
		dst = hpackInt(dst, 0x20, 5, uint64(e.max))
	}
	if b := e.block(c.Head); b != nil {
		dst = append(dst, b.pseudo...)
		dst = e.literal(dst, ":path", c.Path)
		dst = append(dst, b.regular...)
	} else {
		start := e.version
		dst = e.constants(dst, c.Head, true)
		dst = e.literal(dst, ":path", c.Path)
		dst = e.constants(dst, c.Head, false)
		if e.version == start {
			// Nothing had to be inserted, so these very bytes will do again.
			e.remember(c.Head)
		}
	}
	for i := range c.Fields {
		dst = e.literal(dst, c.Fields[i].Name, c.Fields[i].Value)
	}
	return dst
}

func (e *encoder) block(h *Head) *block {
	for i := range e.blocks {
		if b := &e.blocks[i]; b.head == h {
			if b.version == e.version {
				return b
			}
			return nil
		}
	}
	return nil
}

func (e *encoder) remember(h *Head) {
	i := 0
	for i < len(e.blocks) && e.blocks[i].head != h {
		i++
	}
	switch {
	case i < len(e.blocks):
	case len(e.blocks) < maxBlocks:
		e.blocks = append(e.blocks, block{})
	default:
		i = 0 // any will do: so many heads on one connection are unheard of
	}
	b := &e.blocks[i]
	*b = block{head: h, version: e.version, pseudo: b.pseudo[:0], regular: b.regular[:0]}
	b.pseudo = e.constants(b.pseudo, h, true)
	b.regular = e.constants(b.regular, h, false)
}

// constants appends the pseudo-header fields, or the others, of common and
// head.
func (e *encoder) constants(dst []byte, h *Head, pseudo bool) []byte {
	for _, fields := range [2][]Field{h.fields, e.common} {
		for i := range fields {
			f := &fields[i]
			if (f.Name[0] == ':') == pseudo {
				dst = e.constant(dst, f)
			}
		}
	}
	return dst
}

// constant appends a field that is worth a place in the table.
func (e *encoder) constant(dst []byte, f *Field) []byte {
	name, whole := e.find(f.Name, f.Value)
	if whole != 0 {
		return hpackInt(dst, 0x80, 7, whole) // RFC 7541 section 6.1
	}
	if e.insert(f) {
		return appendLiteral(dst, 0x40, 6, name, f.Name, f.Value) // section 6.2.1
	}
	return appendLiteral(dst, 0, 4, name, f.Name, f.Value) // section 6.2.2
}

// literal appends a field whose value must not be stored. The first time a name
// is met it is stored with that value all the same, as Apple advises ("Sending
// notification requests to APNs"): that is how a name gets an index.
func (e *encoder) literal(dst []byte, name string, value []byte) []byte {
	index := e.findName(name)
	if index == 0 && e.insert(&Field{name, value}) {
		return appendLiteral(dst, 0x40, 6, 0, name, value)
	}
	return appendLiteral(dst, 0, 4, index, name, value)
}

// insert puts a field into the table unless that would evict another.
func (e *encoder) insert(f *Field) bool {
	n := entry{f.Name, string(f.Value)}
	if e.size+n.size() > e.max {
		return false
	}
	e.table = append(e.table, n)
	e.size += n.size()
	e.version++
	return true
}

// find returns the index of the name and of the whole field, 0 meaning none.
func (e *encoder) find(name string, value []byte) (nameIndex, whole uint64) {
	for i := len(e.table) - 1; i >= 0; i-- {
		if e.table[i].name == name {
			at := e.index(i)
			if e.table[i].value == string(value) {
				return at, at
			}
			nameIndex = at
		}
	}
	for i, s := range static {
		if s.name == name {
			if s.value == string(value) {
				return s.index, s.index
			}
			nameIndex = static[i].index
		}
	}
	return nameIndex, 0
}

func (e *encoder) findName(name string) uint64 {
	for i := range static {
		if static[i].name == name {
			return static[i].index
		}
	}
	for i := range e.table {
		if e.table[i].name == name {
			return e.index(i)
		}
	}
	return 0
}

// index converts a position in table to an HPACK index (RFC 7541 section
// 2.3.3): 62 is the newest entry.
func (e *encoder) index(i int) uint64 { return uint64(61 + len(e.table) - i) }

// static lists the part of the static table (RFC 7541 appendix A) that a client
// of small requests uses.
var static = []struct {
	index       uint64
	name, value string
}{
	{1, ":authority", ""},
	{2, ":method", "GET"},
	{3, ":method", "POST"},
	{4, ":path", "/"},
	{7, ":scheme", "https"},
	{6, ":scheme", "http"},
	{23, "authorization", ""},
	{31, "content-type", ""},
	{58, "user-agent", ""},
}

// appendLiteral appends a literal field with the given representation (RFC 7541
// section 6.2); a name without an index is spelled out.
func appendLiteral(dst []byte, pattern byte, bits int, index uint64, name string, value []byte) []byte {
	dst = hpackInt(dst, pattern, bits, index)
	if index == 0 {
		dst = hpack.AppendHuffmanString(hpackInt(dst, 0x80, 7, hpack.HuffmanEncodeLength(name)), name)
	}
	// Plain, not Huffman: device tokens and ids gain a quarter of their bytes
	// from it and cost more to code than to encrypt.
	dst = hpackInt(dst, 0, 7, uint64(len(value)))
	return append(dst, value...)
}

// hpackInt appends an integer with a prefix of the given number of bits (RFC
// 7541 section 5.1).
func hpackInt(dst []byte, pattern byte, bits int, n uint64) []byte {
	limit := uint64(1)<<bits - 1
	if n < limit {
		return append(dst, pattern|byte(n))
	}
	dst = append(dst, pattern|byte(limit))
	for n -= limit; n >= 0x80; n >>= 7 {
		dst = append(dst, 0x80|byte(n))
	}
	return append(dst, byte(n))
}
