package sim

import (
	"bytes"
	"slices"

	"golang.org/x/net/http2/hpack"
)

// A sender that obeys Apple's advice sends :path and apns-id as literals outside
// the table, and many encode them with Huffman's code. Decoding those bit by bit
// was a third of the lean server's work, so they are rewritten as plain literals
// before the decoder of x/net sees them. It stays the only judge: whatever is
// unusual is passed on untouched.

// shortCode is a Huffman code of at most eight bits, found by its first eight.
type shortCode struct{ symbol, bits byte }

// shortCodes has all of them, which cover digits, letters and most punctuation.
// The codes are taken from x/net's encoder: eight times a symbol are as many
// bytes as its code has bits.
var shortCodes = func() (table [256]shortCode) {
	for c := range 256 {
		n := len(hpack.AppendHuffmanString(nil, string(bytes.Repeat([]byte{byte(c)}, 8))))
		if n > 8 {
			continue
		}
		first := hpack.AppendHuffmanString(nil, string([]byte{byte(c)}))[0] >> (8 - n) << (8 - n)
		for rest := range 1 << (8 - n) {
			table[int(first)+rest] = shortCode{byte(c), byte(n)}
		}
	}
	return table
}()

// appendPlain decodes src, or reports false when it holds a longer code or
// anything the decoder should judge.
func appendPlain(dst, src []byte) ([]byte, bool) {
	var acc uint32
	var bits uint
	for _, b := range src {
		acc = acc<<8 | uint32(b)
		for bits += 8; bits >= 8; {
			code := shortCodes[byte(acc>>(bits-8))]
			if code.bits == 0 {
				return dst, false
			}
			dst = append(dst, code.symbol)
			bits -= uint(code.bits)
		}
	}
	for bits > 0 {
		left := byte(acc<<(8-bits)) | byte(1<<(8-bits)-1)
		code := shortCodes[left]
		if code.bits == 0 || uint(code.bits) > bits {
			return dst, left == 0xff // padding is the beginning of all ones
		}
		dst = append(dst, code.symbol)
		bits -= uint(code.bits)
	}
	return dst, true
}

// plainer rewrites header blocks. Its memory is reused from block to block.
type plainer struct {
	buf []byte
	// The last long value: in practice the provider token of clients that never
	// put it into the table.
	longCode, longPlain []byte
}

// longValue is from where on a value is worth remembering, in encoded bytes.
const longValue = 96

// value appends the decoded form of src, or reports false.
func (p *plainer) value(dst, src []byte) ([]byte, bool) {
	if len(src) < longValue {
		return appendPlain(dst, src)
	}
	if bytes.Equal(src, p.longCode) {
		return append(dst, p.longPlain...), true
	}
	from := len(dst)
	dst, ok := appendPlain(dst, src)
	if ok {
		p.longCode = append(p.longCode[:0], src...)
		p.longPlain = append(p.longPlain[:0], dst[from:]...)
	}
	return dst, ok
}

// block rewrites a complete header block; the result is good until the next
// call. It is the block itself when there is nothing to gain or anything unusual
// in it.
func (p *plainer) block(block []byte) []byte {
	out := p.buf[:0]
	defer func() { p.buf = out }()
	done := 0 // of block, copied or rewritten
	for at := 0; at < len(block); {
		b := block[at]
		literal := b < 0x20 // without indexing, or never indexed
		prefix := 4
		switch {
		case b >= 0x80: // indexed
			prefix = 7
		case b >= 0x40: // with indexing
			prefix = 6
		case b >= 0x20: // table size
			prefix = 5
		}
		index, next, ok := smallInt(block, at, prefix)
		if !ok {
			return block
		}
		at = next
		if b >= 0x80 || b >= 0x20 && b < 0x40 {
			continue
		}
		if index == 0 { // the name follows
			n, next, ok := smallInt(block, at, 7)
			if !ok || next+n > len(block) {
				return block
			}
			at = next + n
		}
		n, next, ok := smallInt(block, at, 7)
		if !ok || next+n > len(block) {
			return block
		}
		if literal && block[at]&0x80 != 0 {
			out = append(out, block[done:at]...)
			lengthAt := len(out)
			out = append(out, 0)
			if out, ok = p.value(out, block[next:next+n]); !ok {
				return block
			}
			if size := len(out) - lengthAt - 1; size < 127 {
				out[lengthAt] = byte(size)
			} else {
				size -= 127
				if size >= 1<<14 {
					return block
				}
				out = slices.Insert(out, lengthAt+1, byte(size&0x7f|0x80), byte(size>>7))
				out[lengthAt] = 0x7f
			}
			done = next + n
		}
		at = next + n
	}
	if done == 0 {
		return block
	}
	out = append(out, block[done:]...)
	return out
}

// smallInt reads an HPACK integer of up to three bytes.
func smallInt(p []byte, at, prefix int) (n, next int, ok bool) {
	if at >= len(p) {
		return 0, 0, false
	}
	limit := 1<<prefix - 1
	if n = int(p[at]) & limit; n < limit {
		return n, at + 1, true
	}
	for shift := 0; shift <= 7; shift += 7 {
		if at++; at >= len(p) {
			return 0, 0, false
		}
		n += int(p[at]&0x7f) << shift
		if p[at] < 0x80 {
			return n, at + 1, true
		}
	}
	return 0, 0, false
}
