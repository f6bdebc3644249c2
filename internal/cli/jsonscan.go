package cli

import (
	"encoding/json"
	"fmt"
	"unicode/utf8"
)

// jsonScan walks over one JSON text without building anything, since a batch has
// millions of lines and each is looked at once. It accepts exactly what
// encoding/json accepts (a fuzz test compares the two), except that strings have
// to be UTF-8. Its caller checks that beforehand, for the whole text.
type jsonScan struct {
	data []byte
	pos  int
}

// maxDepth bounds nesting, as in package payload.
const maxDepth = 512

// jsonKind is the type of a JSON value.
type jsonKind uint8

const (
	jsonObject jsonKind = iota + 1
	jsonArray
	jsonString
	jsonNumber
	jsonTrue
	jsonFalse
	jsonNull
)

func (k jsonKind) String() string {
	return [...]string{"nothing", "an object", "an array", "a string", "a number", "true", "false", "null"}[k]
}

// syntaxError is a place where a text stops being JSON.
type syntaxError struct {
	at      int
	message string
}

func (e *syntaxError) Error() string {
	return fmt.Sprintf("not valid JSON at character %d: %s", e.at+1, e.message)
}

func (s *jsonScan) fail(message string) error { return &syntaxError{s.pos, message} }

// unexpected describes what is at the position instead of what should be.
func (s *jsonScan) unexpected(want string) error {
	if s.pos >= len(s.data) {
		return s.fail("the line ends where " + want + " should be; it was probably cut off")
	}
	r, _ := utf8.DecodeRune(s.data[s.pos:])
	switch {
	case r == '\'':
		return s.fail("a single quote where " + want + " should be; JSON has double quotes only")
	case r == '“' || r == '”' || r == '„':
		return s.fail("a typographic quote where " + want + " should be; an editor replaced the plain one")
	case r == '/' || r == '#':
		return s.fail(fmt.Sprintf("%q where %s should be; JSON has no comments", r, want))
	case s.data[s.pos] < ' ':
		return s.fail("a control character where " + want + " should be")
	}
	return s.fail(fmt.Sprintf("%q where %s should be", r, want))
}

func (s *jsonScan) space() {
	for s.pos < len(s.data) {
		switch s.data[s.pos] {
		case ' ', '\t', '\r', '\n':
			s.pos++
		default:
			return
		}
	}
}

// value skips one value and returns its kind and its bytes.
func (s *jsonScan) value(depth int) (kind jsonKind, raw []byte, err error) {
	if s.space(); s.pos >= len(s.data) {
		return 0, nil, s.unexpected("a value")
	}
	start := s.pos
	switch c := s.data[s.pos]; c {
	case '{':
		kind, err = jsonObject, s.members(depth, nil)
	case '[':
		kind, err = jsonArray, s.elements(depth)
	case '"':
		kind = jsonString
		_, _, err = s.str()
	case 't':
		kind, err = jsonTrue, s.word("true")
	case 'f':
		kind, err = jsonFalse, s.word("false")
	case 'n':
		kind, err = jsonNull, s.word("null")
	default:
		if c != '-' && (c < '0' || c > '9') {
			return 0, nil, s.unexpected("a value")
		}
		kind, err = jsonNumber, s.number()
	}
	return kind, s.data[start:s.pos], err
}

func (s *jsonScan) word(word string) error {
	for i := range len(word) {
		if s.pos >= len(s.data) || s.data[s.pos] != word[i] {
			return s.unexpected("the rest of " + word)
		}
		s.pos++
	}
	return nil
}

// members skips an object; each, unless nil, is told every key (without quotes;
// escaped says that it has escapes) and has to consume the value.
func (s *jsonScan) members(depth int, each func(key []byte, escaped bool) error) error {
	if depth >= maxDepth {
		return s.fail(fmt.Sprintf("more than %d levels", maxDepth))
	}
	s.pos++ // {
	if s.space(); s.pos < len(s.data) && s.data[s.pos] == '}' {
		s.pos++
		return nil
	}
	for {
		if s.space(); s.pos >= len(s.data) || s.data[s.pos] != '"' {
			return s.unexpected("a key in double quotes")
		}
		key, escaped, err := s.str()
		if err != nil {
			return err
		}
		if s.space(); s.pos >= len(s.data) || s.data[s.pos] != ':' {
			return s.unexpected("a colon")
		}
		s.pos++
		if each != nil {
			err = each(key, escaped)
		} else {
			_, _, err = s.value(depth + 1)
		}
		if err != nil {
			return err
		}
		s.space()
		switch {
		case s.pos < len(s.data) && s.data[s.pos] == ',':
			s.pos++
		case s.pos < len(s.data) && s.data[s.pos] == '}':
			s.pos++
			return nil
		default:
			return s.unexpected("a comma or }")
		}
	}
}

func (s *jsonScan) elements(depth int) error {
	if depth >= maxDepth {
		return s.fail(fmt.Sprintf("more than %d levels", maxDepth))
	}
	s.pos++ // [
	if s.space(); s.pos < len(s.data) && s.data[s.pos] == ']' {
		s.pos++
		return nil
	}
	for {
		if _, _, err := s.value(depth + 1); err != nil {
			return err
		}
		s.space()
		switch {
		case s.pos < len(s.data) && s.data[s.pos] == ',':
			s.pos++
		case s.pos < len(s.data) && s.data[s.pos] == ']':
			s.pos++
			return nil
		default:
			return s.unexpected("a comma or ]")
		}
	}
}

// plainInString marks the bytes that stand for themselves in a string.
var plainInString = func() (t [256]bool) {
	for i := range t {
		t[i] = i >= ' ' && i != '"' && i != '\\'
	}
	return t
}()

// str skips a string and returns what is between the quotes.
func (s *jsonScan) str() (content []byte, escaped bool, err error) {
	s.pos++ // "
	start := s.pos
	for {
		for s.pos < len(s.data) && plainInString[s.data[s.pos]] {
			s.pos++
		}
		if s.pos >= len(s.data) {
			return nil, false, s.fail("the line ends inside a string; it was probably cut off")
		}
		switch s.data[s.pos] {
		case '"':
			s.pos++
			return s.data[start : s.pos-1], escaped, nil
		case '\\':
			escaped = true
			if err := s.escape(); err != nil {
				return nil, false, err
			}
		default:
			return nil, false, s.fail("a control character inside a string; write it as an escape like \\n")
		}
	}
}

func (s *jsonScan) escape() error {
	s.pos++ // backslash
	if s.pos >= len(s.data) {
		return s.unexpected("the rest of an escape")
	}
	switch s.data[s.pos] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.pos++
		return nil
	case 'u':
		s.pos++
		for range 4 {
			if s.pos >= len(s.data) || !isHex(s.data[s.pos]) {
				return s.unexpected("a hexadecimal digit of an escape")
			}
			s.pos++
		}
		return nil
	}
	return s.unexpected("the rest of an escape")
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func (s *jsonScan) number() error {
	if s.data[s.pos] == '-' {
		s.pos++
	}
	if s.pos < len(s.data) && s.data[s.pos] == '0' {
		s.pos++
	} else if err := s.digits(); err != nil {
		return err
	}
	if s.pos < len(s.data) && s.data[s.pos] == '.' {
		s.pos++
		if err := s.digits(); err != nil {
			return err
		}
	}
	if s.pos < len(s.data) && s.data[s.pos]|0x20 == 'e' {
		s.pos++
		if s.pos < len(s.data) && (s.data[s.pos] == '+' || s.data[s.pos] == '-') {
			s.pos++
		}
		return s.digits()
	}
	return nil
}

func (s *jsonScan) digits() error {
	start := s.pos
	for s.pos < len(s.data) && '0' <= s.data[s.pos] && s.data[s.pos] <= '9' {
		s.pos++
	}
	if s.pos == start {
		return s.unexpected("a digit")
	}
	return nil
}

// unquote returns the text of a string value, quotes included in raw.
func unquote(raw []byte, escaped bool) (string, error) {
	if !escaped {
		return string(raw[1 : len(raw)-1]), nil
	}
	var text string
	err := json.Unmarshal(raw, &text)
	return text, err
}
