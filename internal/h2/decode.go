package h2

import (
	"bytes"
	"errors"

	"golang.org/x/net/http2/hpack"
)

// decoder reads header sections (RFC 7541). x/net's hpack.Decoder would do, but
// it makes a string of every value and keeps the table in maps, which for
// answers that carry a new id each costs more than everything else the reader
// does. Here a table entry is a buffer that is used again. Huffman codes are
// left to x/net.
type decoder struct {
	emit func(name, value []byte) // arguments are valid during the call only

	slots [maxTable / 32]slot // a ring: an entry counts at least 32 bytes
	first int                 // the oldest entry
	n     int
	size  int
	max   int // the peer's choice, at most maxTable

	name, value bytes.Buffer // Huffman-decoded
}

// slot holds one entry: the name, then the value.
type slot struct {
	buf  []byte
	name int // length of the name
}

func (s *slot) size() int { return len(s.buf) + 32 }

var (
	errTruncated = errors.New("the header section ends within a field")
	errInteger   = errors.New("an integer is too large")
	errIndex     = errors.New("an index that is not in the table")
	errString    = errors.New("a string is too long")
	errResize    = errors.New("a table size update that is out of place or too large")
)

// decode reads one whole header section.
func (d *decoder) decode(block []byte) error {
	begun := false
	for len(block) > 0 {
		var err error
		b := block[0]
		switch {
		case b&0x80 != 0: // section 6.1: indexed
			var index uint64
			if index, block, err = readInt(block, 7); err != nil {
				return err
			}
			name, value, ok := d.at(index)
			if !ok {
				return errIndex
			}
			d.emit(name, value)
		case b&0xc0 == 0x40: // section 6.2.1: literal, to be inserted
			block, err = d.literal(block, 6, true)
		case b&0xe0 == 0x20: // section 6.3: table size
			var size uint64
			if size, block, err = readInt(block, 5); err != nil {
				return err
			}
			if size > maxTable || begun && d.size > 0 {
				return errResize
			}
			d.max = int(size)
			d.evict(d.max)
			continue
		default: // sections 6.2.2 and 6.2.3: literal, not to be inserted
			block, err = d.literal(block, 4, false)
		}
		if err != nil {
			return err
		}
		begun = true
	}
	return nil
}

func (d *decoder) literal(block []byte, bits int, insert bool) ([]byte, error) {
	index, block, err := readInt(block, bits)
	if err != nil {
		return nil, err
	}
	var name, value []byte
	if index != 0 {
		var ok bool
		if name, _, ok = d.at(index); !ok {
			return nil, errIndex
		}
	} else if name, block, err = readString(block, &d.name); err != nil {
		return nil, err
	}
	if value, block, err = readString(block, &d.value); err != nil {
		return nil, err
	}
	d.emit(name, value)
	if insert {
		d.insert(name, value)
	}
	return block, nil
}

// at returns the entry with an HPACK index (section 2.3.3).
func (d *decoder) at(index uint64) (name, value []byte, ok bool) {
	switch {
	case index == 0:
		return nil, nil, false
	case index <= uint64(len(staticTable)):
		e := &staticTable[index-1]
		return e.name, e.value, true
	case index-uint64(len(staticTable)) > uint64(d.n):
		return nil, nil, false
	}
	age := int(index) - len(staticTable) - 1 // 0 is the newest
	s := &d.slots[(d.first+d.n-1-age)%len(d.slots)]
	return s.buf[:s.name], s.buf[s.name:], true
}

// insert adds an entry (section 4.4). The name may lie in the entry that has to
// go for it, so the new one is put together before any is given up.
func (d *decoder) insert(name, value []byte) {
	need := len(name) + len(value) + 32
	if need > d.max {
		d.evict(0)
		return
	}
	if d.n < len(d.slots) {
		s := &d.slots[(d.first+d.n)%len(d.slots)]
		s.buf = append(append(s.buf[:0], name...), value...)
		s.name = len(name)
		d.evict(d.max - need)
		d.n++
		d.size += need
		return
	}
	// All slots are taken, so the oldest has to go anyway; its buffer cannot be
	// written to while the name may point into it.
	fresh := append(append(make([]byte, 0, len(name)+len(value)), name...), value...)
	d.evict(d.max - need)
	if d.n == len(d.slots) {
		d.drop()
	}
	d.slots[(d.first+d.n)%len(d.slots)] = slot{fresh, len(name)}
	d.n++
	d.size += need
}

// evict drops the oldest entries until at most size is left (section 4.3).
func (d *decoder) evict(size int) {
	for d.size > size {
		d.drop()
	}
}

func (d *decoder) drop() {
	d.size -= d.slots[d.first].size()
	d.first = (d.first + 1) % len(d.slots)
	d.n--
}

// readInt reads an integer with a prefix of the given number of bits (section
// 5.1).
func readInt(b []byte, bits int) (uint64, []byte, error) {
	if len(b) == 0 {
		return 0, nil, errTruncated
	}
	limit := uint64(1)<<bits - 1
	n := uint64(b[0]) & limit
	b = b[1:]
	if n < limit {
		return n, b, nil
	}
	for shift := 0; shift < 63; shift += 7 { // more than any table or string needs
		if len(b) == 0 {
			return 0, nil, errTruncated
		}
		c := b[0]
		b = b[1:]
		n += uint64(c&0x7f) << shift
		if c&0x80 == 0 {
			return n, b, nil
		}
	}
	return 0, nil, errInteger
}

// readString reads a string (section 5.2), into scratch if it is coded.
func readString(b []byte, scratch *bytes.Buffer) (s, rest []byte, err error) {
	if len(b) == 0 {
		return nil, nil, errTruncated
	}
	coded := b[0]&0x80 != 0
	n, b, err := readInt(b, 7)
	switch {
	case err != nil:
		return nil, nil, err
	case n > maxHeaderList:
		return nil, nil, errString
	case n > uint64(len(b)):
		return nil, nil, errTruncated
	}
	s, rest = b[:n], b[n:]
	if coded {
		scratch.Reset()
		if _, err := hpack.HuffmanDecode(scratch, s); err != nil {
			return nil, nil, err
		}
		if s = scratch.Bytes(); len(s) > maxHeaderList {
			return nil, nil, errString
		}
	}
	return s, rest, nil
}

type staticEntry struct{ name, value []byte }

// staticTable is RFC 7541's appendix A.
var staticTable = func() (t []staticEntry) {
	for _, e := range [...][2]string{
		{":authority"}, {":method", "GET"}, {":method", "POST"}, {":path", "/"}, {":path", "/index.html"},
		{":scheme", "http"}, {":scheme", "https"}, {":status", "200"}, {":status", "204"}, {":status", "206"},
		{":status", "304"}, {":status", "400"}, {":status", "404"}, {":status", "500"}, {"accept-charset"},
		{"accept-encoding", "gzip, deflate"}, {"accept-language"}, {"accept-ranges"}, {"accept"},
		{"access-control-allow-origin"}, {"age"}, {"allow"}, {"authorization"}, {"cache-control"},
		{"content-disposition"}, {"content-encoding"}, {"content-language"}, {"content-length"},
		{"content-location"}, {"content-range"}, {"content-type"}, {"cookie"}, {"date"}, {"etag"}, {"expect"},
		{"expires"}, {"from"}, {"host"}, {"if-match"}, {"if-modified-since"}, {"if-none-match"}, {"if-range"},
		{"if-unmodified-since"}, {"last-modified"}, {"link"}, {"location"}, {"max-forwards"},
		{"proxy-authenticate"}, {"proxy-authorization"}, {"range"}, {"referer"}, {"refresh"}, {"retry-after"},
		{"server"}, {"set-cookie"}, {"strict-transport-security"}, {"transfer-encoding"}, {"user-agent"},
		{"vary"}, {"via"}, {"www-authenticate"},
	} {
		t = append(t, staticEntry{[]byte(e[0]), []byte(e[1])})
	}
	return t
}()
