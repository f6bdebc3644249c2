package message

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Scan walks over one JSON text without building anything, since a batch has
// millions of lines and each is looked at once. It accepts exactly what
// encoding/json accepts (a fuzz test compares the two). Where encoding/json would
// put U+FFFD for what is not UTF-8 or half a surrogate pair, a Value has the Flaw.
//
// After an error a Scan is of no further use.
type Scan struct {
	data  []byte
	pos   int
	depth int
	what  string
	// dirty says that there are bytes that are not UTF-8, so that strings have to
	// be looked at one by one; flaw is what was found in the value that is read.
	dirty bool
	flaw  Flaw
}

// Line is what a text is called that stands on one line of a batch.
const Line = "line"

// NewScan returns a Scan at the beginning of a text. What the text is, as in "the
// line ends inside a string", is for errors.
func NewScan(text []byte, what string) Scan {
	return Scan{data: text, what: what, dirty: !utf8.Valid(text)}
}

// maxDepth bounds nesting, as in package payload.
const maxDepth = 512

// IsObject reports whether a text is one JSON object in UTF-8 and nothing else.
func IsObject(text []byte) bool {
	s := NewScan(text, Line)
	return !s.dirty && s.Object(nil) == nil
}

// syntaxError is a place where a text stops being JSON.
type syntaxError struct {
	at      int
	message string
}

func (e *syntaxError) Error() string {
	return fmt.Sprintf("not valid JSON at character %d: %s", e.at+1, e.message)
}

func (s *Scan) fail(message string) error { return &syntaxError{s.pos, message} }

// unexpected describes what is at the position instead of what should be.
func (s *Scan) unexpected(want string) error {
	if s.pos >= len(s.data) {
		return s.fail("the " + s.what + " ends where " + want + " should be; it was probably cut off")
	}
	r, size := utf8.DecodeRune(s.data[s.pos:])
	switch {
	case r == utf8.RuneError && size == 1:
		return s.fail("a byte that is not UTF-8 where " + want + " should be")
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

// at skips white space and reports whether a byte comes next.
func (s *Scan) at(c byte) bool {
	s.space()
	return s.pos < len(s.data) && s.data[s.pos] == c
}

func (s *Scan) space() {
	for s.pos < len(s.data) {
		switch s.data[s.pos] {
		case ' ', '\t', '\r', '\n':
			s.pos++
		default:
			return
		}
	}
}

// Object walks over the members of a text that is one object and nothing else.
// See Members.
func (s *Scan) Object(each func(key string) error) error {
	if s.what == Line && s.at('[') {
		return errors.New("an array; a batch has one object on each line, without brackets around them")
	}
	if err := s.Members(each); err != nil {
		return err
	}
	if s.what == Line && s.at('{') {
		return fmt.Errorf("a second object begins at character %d; write one object on each line", s.pos+1)
	}
	if s.space(); s.pos < len(s.data) {
		return s.unexpected("the end of the " + s.what)
	}
	return nil
}

// Members walks over the object that comes next. each, unless nil, is told every
// key and has to consume its value, with Value, Members or Elements. Keys of
// notifications cost no allocation.
func (s *Scan) Members(each func(key string) error) error {
	if !s.at('{') {
		return s.unexpected("{")
	}
	if s.depth++; s.depth > maxDepth {
		return s.tooDeep()
	}
	s.pos++
	if s.at('}') {
		s.pos++
		s.depth--
		return nil
	}
	for {
		if !s.at('"') {
			return s.unexpected("a key in double quotes")
		}
		start := s.pos
		escaped, err := s.str()
		if err != nil {
			return err
		}
		quoted := s.data[start:s.pos]
		if !s.at(':') {
			return s.unexpected("a colon")
		}
		s.pos++
		if each != nil {
			err = each(keyText(quoted, escaped))
		} else {
			_, err = s.Value()
		}
		if err != nil {
			return err
		}
		switch {
		case s.at(','):
			s.pos++
		case s.at('}'):
			s.pos++
			s.depth--
			return nil
		default:
			return s.unexpected("a comma or }")
		}
	}
}

// Elements walks over the array that comes next. each, unless nil, is called at
// every element and has to consume it.
func (s *Scan) Elements(each func() error) error {
	if !s.at('[') {
		return s.unexpected("[")
	}
	if s.depth++; s.depth > maxDepth {
		return s.tooDeep()
	}
	s.pos++
	if s.at(']') {
		s.pos++
		s.depth--
		return nil
	}
	for {
		var err error
		if each != nil {
			err = each()
		} else {
			_, err = s.Value()
		}
		if err != nil {
			return err
		}
		switch {
		case s.at(','):
			s.pos++
		case s.at(']'):
			s.pos++
			s.depth--
			return nil
		default:
			return s.unexpected("a comma or ]")
		}
	}
}

func (s *Scan) tooDeep() error { return s.fail(fmt.Sprintf("more than %d levels", maxDepth)) }

// Peek tells the kind of the value that comes next by its first character,
// without consuming it.
func (s *Scan) Peek() (Kind, error) {
	if s.space(); s.pos < len(s.data) {
		switch c := s.data[s.pos]; c {
		case '{':
			return KindObject, nil
		case '[':
			return KindArray, nil
		case '"':
			return KindString, nil
		case 't':
			return KindTrue, nil
		case 'f':
			return KindFalse, nil
		case 'n':
			return KindNull, nil
		default:
			if c == '-' || '0' <= c && c <= '9' {
				return KindNumber, nil
			}
		}
	}
	return 0, s.unexpected("a value")
}

// Value consumes the value that comes next, whatever it is.
func (s *Scan) Value() (Value, error) {
	kind, err := s.Peek()
	if err != nil {
		return Value{}, err
	}
	start, outer := s.pos, s.flaw
	s.flaw = 0
	switch kind {
	case KindObject:
		err = s.Members(nil)
	case KindArray:
		err = s.Elements(nil)
	case KindString:
		_, err = s.str()
	case KindNumber:
		err = s.number()
	case KindTrue:
		err = s.word("true")
	case KindFalse:
		err = s.word("false")
	case KindNull:
		err = s.word("null")
	}
	v := Value{kind, s.flaw, s.data[start:s.pos]}
	s.flaw |= outer
	return v, err
}

func (s *Scan) word(word string) error {
	for i := range len(word) {
		if s.pos >= len(s.data) || s.data[s.pos] != word[i] {
			return s.unexpected("the rest of " + word)
		}
		s.pos++
	}
	return nil
}

// plainInString marks the bytes that stand for themselves in a string.
var plainInString = func() (t [256]bool) {
	for i := range t {
		t[i] = i >= ' ' && i != '"' && i != '\\'
	}
	return t
}()

// str skips a string and reports whether it has escapes.
func (s *Scan) str() (escaped bool, err error) {
	start := s.pos
	s.pos++ // "
	for {
		for s.pos < len(s.data) && plainInString[s.data[s.pos]] {
			s.pos++
		}
		if s.pos >= len(s.data) {
			return false, s.fail("the " + s.what + " ends inside a string; it was probably cut off")
		}
		switch s.data[s.pos] {
		case '"':
			s.pos++
			if s.dirty && !utf8.Valid(s.data[start:s.pos]) {
				s.flaw |= NotUTF8
			}
			return escaped, nil
		case '\\':
			escaped = true
			if err := s.escape(); err != nil {
				return false, err
			}
		default:
			return false, s.fail("a control character inside a string; write it as an escape like \\n")
		}
	}
}

func (s *Scan) escape() error {
	s.pos++ // backslash
	if s.pos >= len(s.data) {
		return s.unexpected("the rest of an escape")
	}
	switch s.data[s.pos] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.pos++
		return nil
	case 'u':
		return s.unicode()
	}
	return s.unexpected("the rest of an escape")
}

// unicode skips the digits of an escape, and its other half if it is one of a
// surrogate pair.
func (s *Scan) unicode() error {
	s.pos++ // u
	r, good := s.hex4(s.pos)
	if s.pos += good; good < 4 {
		return s.unexpected("a hexadecimal digit of an escape")
	}
	if !utf16.IsSurrogate(r) {
		return nil
	}
	if s.pos+1 < len(s.data) && s.data[s.pos] == '\\' && s.data[s.pos+1] == 'u' {
		if other, good := s.hex4(s.pos + 2); good == 4 && utf16.DecodeRune(r, other) != utf8.RuneError {
			s.pos += 6
			return nil
		}
	}
	s.flaw |= HalfPair
	return nil
}

// hexValue is what a hexadecimal digit stands for, or -1.
var hexValue = func() (t [256]int8) {
	for i := range t {
		t[i] = int8(strings.IndexByte("0123456789abcdef", byte(i)))
	}
	copy(t['A':], t['a':'f'+1])
	return t
}()

// hex4 reads four hexadecimal digits, or says how many there are.
func (s *Scan) hex4(pos int) (r rune, good int) {
	for good < 4 && pos+good < len(s.data) {
		digit := hexValue[s.data[pos+good]]
		if digit < 0 {
			return r, good
		}
		r, good = r<<4|rune(digit), good+1
	}
	return r, good
}

func (s *Scan) number() error {
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

func (s *Scan) digits() error {
	start := s.pos
	for s.pos < len(s.data) && '0' <= s.data[s.pos] && s.data[s.pos] <= '9' {
		s.pos++
	}
	if s.pos == start {
		return s.unexpected("a digit")
	}
	return nil
}
