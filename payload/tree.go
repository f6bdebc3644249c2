package payload

import (
	"bytes"
	"iter"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// children yields the members of an object or the elements of an array, with
// their positions in nodes.
func (d *document) children(at int) iter.Seq2[int, *node] {
	return func(yield func(int, *node) bool) {
		for i := int(d.nodes[at].first); i != 0; i = int(d.nodes[i].next) {
			if !yield(i, &d.nodes[i]) {
				return
			}
		}
	}
}

// member returns the node of a member, or -1. Of two equal keys it takes the
// last, as encoding/json does.
func (d *document) member(at int, key string) int {
	found := -1
	if d.nodes[at].kind != kindObject {
		return found
	}
	for i, n := range d.children(at) {
		if string(n.key) == key {
			found = i
		}
	}
	return found
}

// raw returns a value as it stands in the text.
func (d *document) raw(at int) []byte { return d.src[d.nodes[at].start:d.nodes[at].end] }

// text returns the content of a string, decoded.
func (d *document) text(at int) []byte {
	raw := d.raw(at)
	raw = raw[1 : len(raw)-1]
	if bytes.IndexByte(raw, '\\') < 0 && utf8.Valid(raw) {
		return raw
	}
	return decode(raw)
}

// number returns the value of a number; what no double can hold comes back as
// infinity.
func (d *document) number(at int) float64 {
	f, _ := strconv.ParseFloat(string(d.raw(at)), 64)
	return f
}

// pointer returns the JSON pointer (RFC 6901) of a node. Long keys are cut,
// because a path is for people and a key may be as long as a payload.
func (d *document) pointer(at int) string {
	const longest = 64
	var parts []string
	for at != 0 {
		n := &d.nodes[at]
		part := strconv.Itoa(int(n.index))
		if d.nodes[n.parent].kind != kindArray {
			part = keyName(n.key, longest)
		}
		parts = append(parts, part)
		at = int(n.parent)
	}
	var s strings.Builder
	for i := range parts {
		s.WriteByte('/')
		s.WriteString(pointerEscapes.Replace(parts[len(parts)-1-i]))
		if s.Len() > 8*longest {
			s.WriteString("/…")
			break
		}
	}
	return s.String()
}

var pointerEscapes = strings.NewReplacer("~", "~0", "/", "~1")

// keyName makes a key printable on one line and no longer than limit bytes.
func keyName(key []byte, limit int) string {
	s := string(key)
	if len(s) > limit {
		for limit > 0 && !utf8.RuneStart(s[limit]) {
			limit--
		}
		s = s[:limit] + "…"
	}
	return strings.Map(func(r rune) rune {
		if !strconv.IsPrint(r) {
			return utf8.RuneError
		}
		return r
	}, s)
}

// findDuplicates compares pairs in small objects and uses a set in large ones,
// so that no payload takes quadratic time.
func (s *scanner) findDuplicates(at int) {
	const small = 12
	count := 0
	for range s.children(at) {
		count++
	}
	var seen map[string]struct{}
	if count > small {
		seen = make(map[string]struct{}, count)
	}
	for i, n := range s.children(at) {
		twice := false
		if seen != nil {
			_, twice = seen[string(n.key)]
			seen[string(n.key)] = struct{}{}
		} else {
			for j, earlier := range s.children(at) {
				if j == i {
					break
				}
				twice = twice || bytes.Equal(earlier.key, n.key)
			}
		}
		if twice {
			s.fault(CodeDuplicateKey, i, int(n.keyStart))
		}
	}
}

// decode turns the inside of a JSON string into UTF-8. Halves of surrogate
// pairs and bytes that are not UTF-8 become U+FFFD, as in encoding/json.
func decode(raw []byte) []byte {
	out := make([]byte, 0, len(raw))
	for len(raw) > 0 {
		r, size, _ := nextRune(raw)
		out = utf8.AppendRune(out, r)
		raw = raw[size:]
	}
	return out
}

// nextRune decodes the first character of the inside of a JSON string and says
// how many bytes it takes there: 1 to 4 as it is, 2, 6 or 12 when escaped. The
// escapes must be well formed. lone marks half of a surrogate pair.
func nextRune(raw []byte) (r rune, size int, lone bool) {
	if raw[0] != '\\' {
		r, size = utf8.DecodeRune(raw)
		return r, size, false
	}
	switch raw[1] {
	case 'u':
	case 'b':
		return '\b', 2, false
	case 'f':
		return '\f', 2, false
	case 'n':
		return '\n', 2, false
	case 'r':
		return '\r', 2, false
	case 't':
		return '\t', 2, false
	default: // " \ /
		return rune(raw[1]), 2, false
	}
	r = hex4(raw)
	if !utf16.IsSurrogate(r) {
		return r, 6, false
	}
	if pair := utf16.DecodeRune(r, hex4(raw[6:])); pair != utf8.RuneError {
		return pair, 12, false
	}
	return utf8.RuneError, 6, true
}

// hex4 reads \uXXXX at the start of raw, or returns -1.
func hex4(raw []byte) rune {
	if len(raw) < 6 || raw[0] != '\\' || raw[1] != 'u' {
		return -1
	}
	var r rune
	for _, c := range raw[2:6] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}
