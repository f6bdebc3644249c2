package payload

import (
	"bytes"
	"fmt"
	"strconv"
	"unicode/utf8"
)

const (
	// maxDepth is how deeply values may nest. Foundation's parser, which reads
	// payloads on devices, gives up at 512 (observed); encoding/json only at
	// 10000. It also bounds the recursion here.
	maxDepth = 512
	// maxScan bounds the memory of one scan (about 50 bytes for each byte in
	// the worst case). No push comes near it.
	maxScan = 1 << 20
	// maxFaults bounds the list of faults; a payload with more of them is not
	// helped by a longer list.
	maxFaults = 64
)

// kind is the kind of a JSON value, as a bit so that kinds can be combined.
type kind uint8

const (
	kindNull kind = 1 << iota
	kindBool
	kindNumber
	kindString
	kindArray
	kindObject
)

func (k kind) String() string {
	names := [...]string{"null", "a boolean", "a number", "a string", "an array", "an object"}
	var s string
	for i, name := range names {
		if k&(1<<i) == 0 {
			continue
		}
		if s != "" {
			s += " or "
		}
		s += name
	}
	return s
}

// node is one value. Nodes lie in one slice in the order of their first byte;
// 0 is the root, so 0 also serves as "none" for children and siblings.
type node struct {
	start, end  int32 // the value in src, quotes included
	keyStart    int32 // the opening quote of the member name, or 0
	parent      int32
	first, next int32
	index       int32 // position in an array
	kind        kind
	key         []byte // member name, decoded
}

// fault is something that encoding/json accepts and a device does not.
type fault struct {
	code   Code
	at     int // node
	offset int // in src
}

type faultText struct{ message, fix string }

// faultTexts serves the builders and the linter, so that both say the same.
var faultTexts = map[Code]faultText{
	CodeNotUTF8: {"bytes that are not UTF-8", "encode the payload as UTF-8; was a text cut in the middle of a character, or is it Latin-1?"},
	CodeLoneSurrogate: {`a \u escape that is half of a surrogate pair, which devices refuse to read`,
		"cut texts between characters, not between UTF-16 units"},
	CodeNumberRange:  {"a number that no double can hold", "send it as a string"},
	CodeDuplicateKey: {"the key occurs twice in one object; which of the two counts is not defined", "keep one of them"},
}

// document is the tree of one JSON text.
type document struct {
	src    []byte
	nodes  []node
	faults []fault
}

// syntaxError says where and why a text is not JSON.
type syntaxError struct {
	offset       int
	code         Code
	message, fix string
}

func (e *syntaxError) problem() Problem {
	message := e.message
	if e.code == CodeMalformedJSON {
		message = fmt.Sprintf("not JSON at byte %d: %s", e.offset, e.message)
	}
	return Problem{Message: message, Fix: e.fix}
}

type scanner struct {
	document
	pos int
}

// scan reads src, which must be one JSON value and no longer than maxScan. It
// takes what encoding/json takes, except for nesting beyond maxDepth, and notes
// faults on the way. Time and memory are linear in src.
func scan(src []byte) (*document, *syntaxError) {
	if len(src) > maxScan {
		return nil, &syntaxError{code: CodePayloadTooLarge,
			message: fmt.Sprintf("%d bytes are not the body of a push", len(src)), fix: "was the wrong file given?"}
	}
	s := &scanner{document: document{src: src, nodes: make([]node, 0, 16+len(src)/16)}}
	s.space()
	if bad := s.value(0, 0, 0); bad != nil {
		return nil, bad
	}
	s.space()
	if s.pos < len(src) {
		return nil, s.fail("more bytes after the end of the JSON", "send one JSON object in each request; are two joined here?")
	}
	return &s.document, nil
}

func (s *scanner) fail(message, fix string) *syntaxError {
	return &syntaxError{offset: s.pos, code: CodeMalformedJSON, message: message, fix: fix}
}

func (s *scanner) fault(code Code, at, offset int) {
	if len(s.faults) < maxFaults {
		s.faults = append(s.faults, fault{code, at, offset})
	}
}

func (s *scanner) space() {
	for s.pos < len(s.src) {
		switch s.src[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

// peek returns the next byte, or 0 at the end; 0 is never valid outside a
// string, so the two need no telling apart.
func (s *scanner) peek() byte {
	if s.pos < len(s.src) {
		return s.src[s.pos]
	}
	return 0
}

// value reads one value and appends its nodes; the caller links siblings.
func (s *scanner) value(parent, index, depth int) *syntaxError {
	at := len(s.nodes)
	s.nodes = append(s.nodes, node{start: int32(s.pos), parent: int32(parent), index: int32(index)})
	var k kind
	var bad *syntaxError
	switch c := s.peek(); {
	case c == '{' || c == '[':
		if depth == maxDepth {
			return &syntaxError{offset: s.pos, code: CodeTooDeep,
				message: "values nest deeper than " + strconv.Itoa(maxDepth) + " levels",
				fix:     "flatten the payload; does a structure contain itself?"}
		}
		if k = kindObject; c == '[' {
			k = kindArray
		}
		bad = s.container(at, depth+1)
	case c == '"':
		k = kindString
		_, bad = s.str(at)
	case c == '-' || c >= '0' && c <= '9':
		k = kindNumber
		bad = s.number(at)
	case c == 't':
		k = kindBool
		bad = s.word("true")
	case c == 'f':
		k = kindBool
		bad = s.word("false")
	case c == 'n':
		k = kindNull
		bad = s.word("null")
	default:
		bad = s.notAValue()
	}
	if bad != nil {
		return bad
	}
	s.nodes[at].kind = k
	s.nodes[at].end = int32(s.pos)
	return nil
}

func (s *scanner) word(word string) *syntaxError {
	if !bytes.HasPrefix(s.src[s.pos:], []byte(word)) {
		return s.notAValue()
	}
	s.pos += len(word)
	return nil
}

// container reads an object or an array, whose opening byte is next.
func (s *scanner) container(at, depth int) *syntaxError {
	isObject := s.src[s.pos] == '{'
	closing := s.src[s.pos] + 2 // '{'+2 is '}', '['+2 is ']'
	s.pos++
	s.space()
	if s.peek() == closing {
		s.pos++
		return nil
	}
	previous := -1
	for i := 0; ; i++ {
		child := len(s.nodes)
		var key []byte
		var keyStart int
		if isObject {
			keyStart = s.pos
			if s.peek() != '"' {
				return s.notAKey()
			}
			var bad *syntaxError
			if key, bad = s.str(at); bad != nil {
				return bad
			}
			s.space()
			if s.peek() != ':' {
				return s.failOrEnd("no colon after a key", "write the member as \"key\": value")
			}
			s.pos++
			s.space()
		}
		if bad := s.value(at, i, depth); bad != nil {
			return bad
		}
		s.nodes[child].key, s.nodes[child].keyStart = key, int32(keyStart)
		if previous < 0 {
			s.nodes[at].first = int32(child)
		} else {
			s.nodes[previous].next = int32(child)
		}
		previous = child
		s.space()
		switch s.peek() {
		case closing:
			s.pos++
			if isObject {
				s.findDuplicates(at)
			}
			return nil
		case ',':
			s.pos++
			s.space()
			if s.peek() == closing {
				return s.fail("a comma before the closing bracket", "remove the trailing comma; build the JSON with a JSON library")
			}
		default:
			return s.failOrEnd("neither a comma nor a closing bracket after a value", "is a comma or a quotation mark missing?")
		}
	}
}

// str reads a string, whose opening quote is next, and returns it decoded. The
// result shares memory with src when there is nothing to decode.
func (s *scanner) str(at int) ([]byte, *syntaxError) {
	s.pos++
	start := s.pos
	plain := true
	for {
		if s.pos >= len(s.src) {
			return nil, s.failOrEnd("", "")
		}
		c := s.src[s.pos]
		switch {
		case c == '"':
			raw := s.src[start:s.pos]
			s.pos++
			if plain {
				return raw, nil
			}
			return decode(raw), nil
		case c < 0x20:
			return nil, s.fail("a raw line break or control character inside a string",
				`escape it (\n for a line break); build the JSON with a JSON library`)
		case c == '\\':
			plain = false
			if bad := s.escape(at); bad != nil {
				return nil, bad
			}
		case c < utf8.RuneSelf:
			s.pos++
		default:
			r, size := utf8.DecodeRune(s.src[s.pos:])
			if r == utf8.RuneError && size == 1 {
				plain = false // so that decode replaces the byte
				s.fault(CodeNotUTF8, at, s.pos)
			}
			s.pos += size
		}
	}
}

// escape checks one escape, a surrogate pair counting as one.
func (s *scanner) escape(at int) *syntaxError {
	rest := s.src[s.pos:]
	if len(rest) < 2 {
		s.pos = len(s.src)
		return s.failOrEnd("", "")
	}
	if rest[1] != 'u' {
		if bytes.IndexByte([]byte(`"\/bfnrt`), rest[1]) < 0 {
			return s.fail("an escape that JSON does not know", `JSON knows \" \\ \/ \b \f \n \r \t and \u with four hexadecimal digits`)
		}
		s.pos += 2
		return nil
	}
	if hex4(rest) < 0 {
		return s.failOrEnd(`a \u without four hexadecimal digits`, "was the text cut inside an escape?")
	}
	_, size, lone := nextRune(rest)
	if lone {
		s.fault(CodeLoneSurrogate, at, s.pos)
	}
	s.pos += size
	return nil
}

func (s *scanner) number(at int) *syntaxError {
	start := s.pos
	digits := func() bool {
		from := s.pos
		for c := s.peek(); c >= '0' && c <= '9'; c = s.peek() {
			s.pos++
		}
		return s.pos > from
	}
	if s.peek() == '-' {
		s.pos++
	}
	if s.peek() == '0' {
		s.pos++
		if c := s.peek(); c >= '0' && c <= '9' {
			return s.fail("a number with a leading zero", "write numbers without leading zeros, or as strings")
		}
	} else if !digits() {
		return s.notAValue()
	}
	if s.peek() == '.' {
		s.pos++
		if !digits() {
			return s.failOrEnd("a number that ends in its decimal point", "write at least one digit behind the point")
		}
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		s.pos++
		if c := s.peek(); c == '+' || c == '-' {
			s.pos++
		}
		if !digits() {
			return s.failOrEnd("a number without the digits of its exponent", "write the number in full")
		}
	}
	if _, err := strconv.ParseFloat(string(s.src[start:s.pos]), 64); err != nil {
		s.fault(CodeNumberRange, at, start)
	}
	return nil
}
