package wallet

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// StringsFile is the content of pass.strings or order.strings: translations by
// key.
type StringsFile map[string]string

// ParseStrings reads a .strings file: lines of "key" = "value"; with comments.
// It reads UTF-8 and UTF-16, with byte order mark and without. What could be read
// is returned even if there is an error, which is an *InvalidError that lists
// all mistakes with their lines; keys that occur twice are among them.
func ParseStrings(data []byte) (StringsFile, error) {
	table, problems := parseStrings(data)
	return table, problems.Err()
}

func parseStrings(data []byte) (StringsFile, Problems) {
	text, err := decodeText(data)
	if err != "" {
		return StringsFile{}, Problems{{Error, "", "", err, "save it as UTF-16 with byte order mark, or as UTF-8"}}
	}
	p := &stringsParser{text: text, line: 1, table: StringsFile{}}
	p.parse()
	return p.table, p.problems
}

// Format writes the file: sorted by key, in UTF-16 with byte order mark if there
// are characters beyond ASCII, as Apple asks for, and in ASCII otherwise.
func (s StringsFile) Format() []byte {
	var text strings.Builder
	for _, key := range slices.Sorted(maps.Keys(s)) {
		fmt.Fprintf(&text, "%s = %s;\n", quoteString(key), quoteString(s[key]))
	}
	if strings.IndexFunc(text.String(), func(r rune) bool { return r >= utf8.RuneSelf }) < 0 {
		return []byte(text.String())
	}
	out := []byte{0xff, 0xfe}
	for _, unit := range utf16.Encode([]rune(text.String())) {
		out = binary.LittleEndian.AppendUint16(out, unit)
	}
	return out
}

var stringEscapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", `\r`, "\t", `\t`)

func quoteString(s string) string {
	s = stringEscapes.Replace(s)
	if strings.ContainsFunc(s, unicode.IsControl) {
		// They would make the encoding a guess.
		var escaped strings.Builder
		for _, r := range s {
			if unicode.IsControl(r) {
				fmt.Fprintf(&escaped, `\U%04x`, r)
			} else {
				escaped.WriteRune(r)
			}
		}
		s = escaped.String()
	}
	return `"` + s + `"`
}

// decodeText finds out the encoding and returns UTF-8, or says what is wrong.
func decodeText(data []byte) (text, problem string) {
	var order binary.ByteOrder
	switch {
	case bytes.HasPrefix(data, []byte("bplist00")), bytes.HasPrefix(data, []byte("<?xml")):
		return "", "is a property list, and has to be text"
	case bytes.HasPrefix(data, []byte("\xef\xbb\xbf")):
		data = data[3:]
	case bytes.HasPrefix(data, []byte("\xff\xfe")):
		order, data = binary.LittleEndian, data[2:]
	case bytes.HasPrefix(data, []byte("\xfe\xff")):
		order, data = binary.BigEndian, data[2:]
	case len(data) > 1 && data[1] == 0: // a file begins with a character of ASCII
		order = binary.LittleEndian
	case len(data) > 1 && data[0] == 0:
		order = binary.BigEndian
	}
	if order == nil {
		if !utf8.Valid(data) {
			return "", "is neither UTF-8 nor UTF-16"
		}
		return string(data), ""
	}
	if len(data)%2 != 0 {
		return "", "is UTF-16 with half a character at its end"
	}
	units := make([]uint16, len(data)/2)
	for i := range units {
		units[i] = order.Uint16(data[2*i:])
	}
	return string(utf16.Decode(units)), ""
}

type stringsParser struct {
	text     string // what is left
	line     int
	table    StringsFile
	problems Problems
}

// bad takes a problem. Nothing is read after too many of them: a file of
// semicolons would cost a hundred times its size.
func (p *stringsParser) bad(line int, message, fix string) {
	if len(p.problems) == maxProblems {
		message, fix, p.text = "and what follows have more problems, which are not listed", "fix these first", ""
	} else if len(p.problems) > maxProblems {
		return
	}
	p.problems = append(p.problems, Problem{Error, "", fmt.Sprintf("line %d", line), message, fix})
}

func (p *stringsParser) parse() {
	const form = `write "key" = "value";`
	for p.space(); p.text != ""; p.space() {
		line := p.line
		key, ok := p.string()
		if !ok {
			p.bad(line, "does not begin with a key in quotes", form)
			p.skip()
			continue
		}
		p.space()
		if !p.take("=") {
			p.bad(p.line, "has no = after the key", form)
			p.skip()
			continue
		}
		p.space()
		value, ok := p.string()
		if !ok {
			p.bad(p.line, "has no value in quotes", form)
			p.skip()
			continue
		}
		p.space()
		if !p.take(";") {
			// What follows is probably the next line.
			p.bad(line, "has no ; at its end", form)
		}
		if _, twice := p.table[key]; twice {
			p.bad(line, "has a key that occurred before", "keep one of them")
		}
		p.table[key] = value
	}
}

func (p *stringsParser) take(s string) bool {
	rest, ok := strings.CutPrefix(p.text, s)
	p.text = rest
	return ok
}

// advance drops n bytes and counts lines.
func (p *stringsParser) advance(n int) {
	p.line += strings.Count(p.text[:n], "\n")
	p.text = p.text[n:]
}

// space drops white space and comments.
func (p *stringsParser) space() {
	for {
		p.advance(len(p.text) - len(strings.TrimLeft(p.text, " \t\r\n\u2028\u2029\ufeff")))
		switch {
		case strings.HasPrefix(p.text, "/*"):
			end := strings.Index(p.text[2:], "*/")
			if end < 0 {
				p.bad(p.line, "begins a comment that has no end", "write */ where it ends")
				p.text = ""
				return
			}
			p.advance(end + 4)
		case strings.HasPrefix(p.text, "//"):
			end := strings.IndexByte(p.text, '\n')
			if end < 0 {
				end = len(p.text)
			}
			p.advance(end)
		default:
			return
		}
	}
}

// skip goes on behind the next ; or line.
func (p *stringsParser) skip() {
	end := strings.IndexAny(p.text, ";\n")
	if end < 0 {
		end = len(p.text) - 1
	}
	p.advance(min(end+1, len(p.text)))
}

// string reads a string in quotes, or a bare word as in old property lists.
func (p *stringsParser) string() (string, bool) {
	if !p.take(`"`) {
		end := strings.IndexFunc(p.text, func(r rune) bool {
			return r != '_' && r != '-' && r != '.' && r != '$' && (r < '0' || r > '9') && (r|0x20 < 'a' || r|0x20 > 'z')
		})
		if end < 0 {
			end = len(p.text)
		}
		word := p.text[:end]
		p.text = p.text[end:]
		return word, word != ""
	}
	start := p.line
	var s strings.Builder
	for i := 0; i < len(p.text); i++ {
		switch c := p.text[i]; c {
		case '"':
			p.advance(i + 1)
			return s.String(), true
		case '\\':
			r, n := unescape(p.text[i+1:])
			if n == 0 {
				p.advance(i)
				p.bad(p.line, "ends with a backslash", `write \\ for a backslash`)
				p.text = ""
				return "", true
			}
			s.WriteRune(r)
			i += n
		default:
			s.WriteByte(c)
		}
	}
	p.advance(len(p.text))
	p.bad(start, `begins a text that has no end`, `write " where it ends, and \" inside`)
	return "", true
}

// unescape reads what stands behind a backslash, and says how long it is.
func unescape(s string) (r rune, n int) {
	if s == "" {
		return 0, 0
	}
	switch s[0] {
	case 'n':
		return '\n', 1
	case 'r':
		return '\r', 1
	case 't':
		return '\t', 1
	case 'U', 'u':
		unit := func(s string) (uint64, bool) {
			if len(s) < 5 || s[0] != 'U' && s[0] != 'u' {
				return 0, false
			}
			v, err := strconv.ParseUint(s[1:5], 16, 16)
			return v, err == nil
		}
		high, ok := unit(s)
		if !ok {
			break
		}
		if utf16.IsSurrogate(rune(high)) && len(s) > 10 && s[5] == '\\' {
			if low, ok := unit(s[6:]); ok {
				return utf16.DecodeRune(rune(high), rune(low)), 11
			}
		}
		return rune(high), 5
	case '0', '1', '2', '3':
		if len(s) >= 3 {
			if v, err := strconv.ParseUint(s[:3], 8, 8); err == nil {
				return rune(v), 3
			}
		}
	}
	r, n = utf8.DecodeRuneInString(s)
	return r, n
}
