package message

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"
)

// Kind is the type of a JSON value.
type Kind uint8

// The kinds of JSON values; true and false are two, since nothing else has to be
// known of them.
const (
	KindObject Kind = iota + 1
	KindArray
	KindString
	KindNumber
	KindTrue
	KindFalse
	KindNull
)

// String returns the kind with its article, for errors.
func (k Kind) String() string {
	return [...]string{"nothing", "an object", "an array", "a string", "a number", "true", "false", "null"}[k]
}

// Value is one value of a text.
type Value struct {
	Kind Kind
	// Flaw is what its strings have that devices do not take, at any depth.
	Flaw Flaw
	// Raw is the value as it stands there, with the quotes of a string. It is
	// part of the text.
	Raw []byte
}

// Flaw is what encoding/json lets pass in strings, as U+FFFD, and nobody means.
type Flaw uint8

// The flaws there are.
const (
	NotUTF8 Flaw = 1 << iota
	HalfPair
)

// String says what is wrong with a value that has the flaw, or "" if it has none.
func (f Flaw) String() string {
	switch {
	case f&NotUTF8 != 0:
		return "has bytes that are not UTF-8; is it in another encoding, or was a text cut in the middle of a character?"
	case f&HalfPair != 0:
		return `has half of a surrogate pair (an escape like \ud83d on its own), which devices refuse to read; cut texts between characters, not between UTF-16 units`
	}
	return ""
}

// Sound refuses a value that has a flaw.
func (v Value) Sound(key string) error {
	if v.Flaw == 0 {
		return nil
	}
	return Problem{Field: key, Text: v.Flaw.String()}
}

// FlawOf finds the flaws of a JSON text.
func FlawOf(text []byte) Flaw {
	s := NewScan(text, Line)
	v, err := s.Value()
	if err != nil && !utf8.Valid(text) {
		return NotUTF8
	}
	return v.Flaw
}

// Want refuses a value that is of none of these kinds. The key is for the error.
func (v Value) Want(key string, kinds ...Kind) error {
	if slices.Contains(kinds, v.Kind) {
		return nil
	}
	if v.Kind == KindNull {
		return Problem{Field: key, Text: "is null; leave the key out"}
	}
	var list []string
	for _, k := range kinds {
		list = append(list, k.String())
	}
	return Problem{Field: key, Text: "has to be " + strings.Join(list, " or ") + ", not " + v.Kind.String()}
}

// Text returns the text of a string and refuses other values.
func (v Value) Text(key string) (string, error) {
	if err := v.Want(key, KindString); err != nil {
		return "", err
	}
	if err := v.Sound(key); err != nil {
		return "", err
	}
	return unquote(v.Raw, bytes.IndexByte(v.Raw, '\\') >= 0)
}

// Flag returns whether a value is true, and refuses what is neither true nor
// false.
func (v Value) Flag(key string) (bool, error) {
	return v.Kind == KindTrue, v.Want(key, KindTrue, KindFalse)
}

// unquote returns the text of a string that Scan found good.
func unquote(raw []byte, escaped bool) (string, error) {
	if !escaped {
		return string(raw[1 : len(raw)-1]), nil
	}
	var text string // which moves to the heap, so it is not a named result
	err := json.Unmarshal(raw, &text)
	return text, err
}

// keyText returns the text of a key, without allocating if it is one of a
// notification.
func keyText(quoted []byte, escaped bool) string {
	if !escaped {
		if key, ok := keys[string(quoted[1:len(quoted)-1])]; ok {
			return key.name
		}
	}
	text, _ := unquote(quoted, escaped) // which cannot fail on what Scan accepted
	return text
}
