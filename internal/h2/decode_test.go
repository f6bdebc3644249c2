package h2

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/net/http2/hpack"
	"pgregory.net/rapid"
)

// pair decodes the same sections with ours and with x/net's decoder.
type pair struct {
	ours   decoder
	theirs *hpack.Decoder
	a, b   []string
}

func newPair() *pair {
	p := &pair{}
	p.ours = decoder{max: maxTable, emit: func(name, value []byte) { p.a = append(p.a, string(name)+": "+string(value)) }}
	p.theirs = hpack.NewDecoder(maxTable, func(f hpack.HeaderField) { p.b = append(p.b, f.Name+": "+f.Value) })
	p.theirs.SetMaxStringLength(maxHeaderList)
	return p
}

func (p *pair) decode(t interface {
	Helper()
	Fatalf(string, ...any)
}, block []byte) bool {
	t.Helper()
	p.a, p.b = nil, nil
	ours := p.ours.decode(block)
	_, theirs := p.theirs.Write(block)
	if err := p.theirs.Close(); theirs == nil {
		theirs = err
	}
	if ours == nil && theirs != nil && strings.Contains(theirs.Error(), "table size update MUST") {
		// x/net refuses the second of two updates at the start of a section,
		// which RFC 7541 section 4.2 allows. From here on the two differ.
		return false
	}
	if (ours == nil) != (theirs == nil) {
		t.Fatalf("%x: ours %v, x/net %v", block, ours, theirs)
	}
	if ours == nil && strings.Join(p.a, "\n") != strings.Join(p.b, "\n") {
		t.Fatalf("%x:\nours  %q\nx/net %q", block, p.a, p.b)
	}
	return ours == nil
}

func TestStaticTable(t *testing.T) {
	for i := range 70 {
		newPair().decode(t, []byte{0x80 | byte(i)})
	}
}

// Whatever an encoder does with names, sizes and table limits, both decoders
// agree section after section.
func TestDecoderAgainstDecoder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := newPair()
		var buf bytes.Buffer
		enc := hpack.NewEncoder(&buf)
		for range rapid.IntRange(1, 40).Draw(t, "sections") {
			if rapid.IntRange(0, 9).Draw(t, "resize") == 0 {
				enc.SetMaxDynamicTableSize(rapid.Uint32Range(0, 4096).Draw(t, "size"))
			}
			buf.Reset()
			for range rapid.IntRange(0, 8).Draw(t, "fields") {
				f := hpack.HeaderField{
					Name:      rapid.SampledFrom([]string{":status", "apns-id", "x", "content-type", ""}).Draw(t, "name"),
					Value:     strings.Repeat(rapid.SampledFrom([]string{"", "a", "0123", "\xff\x00"}).Draw(t, "value"), rapid.IntRange(0, 300).Draw(t, "times")),
					Sensitive: rapid.Bool().Draw(t, "sensitive"),
				}
				enc.WriteField(f)
			}
			if !p.decode(t, buf.Bytes()) {
				return
			}
		}
	})
}

// Entries as small as can be fill every slot of the ring.
func TestDecoderWithFullTable(t *testing.T) {
	p := newPair()
	for i := range 1000 {
		// A literal with an empty name and value takes 32 bytes; then one that
		// borrows its name from the oldest entry, which it evicts.
		p.decode(t, []byte{0x40, 0x00, 0x00})
		p.decode(t, []byte{0x40, 0x01, 'n', 0x02, 'v', byte('0' + i%10)})
		if p.ours.n > 1 {
			oldest := 61 + p.ours.n
			p.decode(t, append(hpackInt(nil, 0x40, 6, uint64(oldest)), 0x01, 'x'))
		}
		p.decode(t, []byte{0xbe, 0xbf})
	}
}

func FuzzDecoder(f *testing.F) {
	var buf bytes.Buffer
	enc := hpack.NewEncoder(&buf)
	for i := range 3 {
		enc.WriteField(hpack.HeaderField{Name: ":status", Value: "200"})
		enc.WriteField(hpack.HeaderField{Name: "apns-id", Value: fmt.Sprint(i)})
	}
	f.Add(buf.Bytes(), []byte{0x88, 0xbe})
	f.Add([]byte{0x3f, 0xe1, 0x1f, 0x20, 0x40}, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Add([]byte{0x40, 0x81, 0xff, 0x81, 0x1f}, []byte{0x7f, 0x80, 0x00})
	f.Fuzz(func(t *testing.T, first, second []byte) {
		p := newPair()
		if p.decode(t, first) {
			p.decode(t, second)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	var buf bytes.Buffer
	enc := hpack.NewEncoder(&buf)
	var blocks [][]byte
	for i := range 64 {
		buf.Reset()
		enc.WriteField(hpack.HeaderField{Name: ":status", Value: "200"})
		enc.WriteField(hpack.HeaderField{Name: "apns-id", Value: fmt.Sprintf("0190e8f2-6f3a-7c3e-9b1d-2f0a4c5d%04x", i)})
		blocks = append(blocks, bytes.Clone(buf.Bytes()))
	}
	b.Run("ours", func(b *testing.B) {
		d := decoder{max: maxTable, emit: func(_, _ []byte) {}}
		d.decode(blocks[0])
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			i++
			d.decode(blocks[1+i%63])
		}
	})
	b.Run("x/net", func(b *testing.B) {
		d := hpack.NewDecoder(maxTable, func(hpack.HeaderField) {})
		d.Write(blocks[0])
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			i++
			d.Write(blocks[1+i%63])
			d.Close()
		}
	})
}
