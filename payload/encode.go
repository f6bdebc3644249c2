package payload

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"
)

// encoder appends one payload to a buffer and collects what is wrong with it.
// Common payloads are written by hand: reflection would cost more than the rest
// of a push.
type encoder struct {
	buf      []byte
	from     int
	problems []Problem
}

// begin starts a payload behind what dst already holds.
func begin(dst []byte) encoder {
	return encoder{buf: append(dst, '{'), from: len(dst)}
}

// finish closes the outermost object and gives the verdict. On error it returns
// dst as it was given to begin.
func (e *encoder) finish(t PushType, limit int) ([]byte, error) {
	e.buf = append(e.buf, '}')
	size := len(e.buf) - e.from
	if size <= limit && len(e.problems) == 0 {
		return e.buf, nil
	}
	err := &InvalidError{Type: t, Problems: e.problems}
	if size > limit {
		err.tooLarge = true
		err.Problems = append(err.Problems, tooLarge(size, limit))
	}
	return e.buf[:e.from], err
}

func tooLarge(size, limit int) Problem {
	return Problem{
		Message: fmt.Sprintf("%d bytes of JSON, %d more than the limit of %d", size, size-limit, limit),
		Fix:     "shorten the texts (Shorten does), or send an identifier and let the app fetch the rest",
	}
}

// owned turns the result of an AppendJSON into that of a JSON.
func owned(b []byte, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	return b, nil
}

func (e *encoder) problem(path, message, fix string) {
	e.problems = append(e.problems, Problem{Path: path, Message: message, Fix: fix})
}

// comma separates two members; the byte before tells whether there was a first.
func (e *encoder) comma() {
	if c := e.buf[len(e.buf)-1]; c != '{' && c != '[' {
		e.buf = append(e.buf, ',')
	}
}

// key writes a member name, which is one of ours and needs no escaping.
func (e *encoder) key(name string) {
	e.comma()
	e.buf = append(e.buf, '"')
	e.buf = append(e.buf, name...)
	e.buf = append(e.buf, '"', ':')
}

func (e *encoder) open(name string) {
	e.key(name)
	e.buf = append(e.buf, '{')
}

func (e *encoder) close() { e.buf = append(e.buf, '}') }

func (e *encoder) integer(name string, n int64) {
	e.key(name)
	e.buf = strconv.AppendInt(e.buf, n, 10)
}

// flag writes 1, the number Apple expects where others would say true.
func (e *encoder) flag(name string, on bool) {
	if on {
		e.integer(name, 1)
	}
}

func (e *encoder) float(parent, name string, f float64) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		e.problem(parent+"/"+name, "JSON has no such number (NaN or infinity)", "give a finite number")
		return
	}
	e.key(name)
	format := byte('f')
	// The same border as encoding/json, so that large and tiny numbers stay
	// readable by every parser.
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	e.buf = strconv.AppendFloat(e.buf, f, format, -1, 64)
}

// text writes a string member unless it is empty.
func (e *encoder) text(parent, name, s string) {
	if s == "" {
		return
	}
	e.checkUTF8(parent, name, s)
	e.key(name)
	e.buf = appendString(e.buf, s)
}

func (e *encoder) checkUTF8(parent, name, s string) {
	if !utf8.ValidString(s) {
		e.problem(parent+"/"+name, "not valid UTF-8, which the device would drop",
			"convert the text to UTF-8; was it cut in the middle of a character?")
	}
}

// texts writes an array of strings. Unlike text it writes an empty array when
// asked to, since an empty url-args means something.
func (e *encoder) texts(parent, name string, list []string) {
	e.key(name)
	e.buf = append(e.buf, '[')
	for i, s := range list {
		if !utf8.ValidString(s) {
			e.checkUTF8(parent+"/"+name, strconv.Itoa(i), s)
		}
		e.comma()
		e.buf = appendString(e.buf, s)
	}
	e.buf = append(e.buf, ']')
}

// textNames are the keys of one text of an alert in its two forms.
type textNames struct{ text, locKey, locArgs string }

var (
	titleNames    = textNames{"title", "title-loc-key", "title-loc-args"}
	subtitleNames = textNames{"subtitle", "subtitle-loc-key", "subtitle-loc-args"}
	bodyNames     = textNames{"body", "loc-key", "loc-args"}
)

// localized writes one text in its two forms: the string itself, or a key of
// Localizable.strings with its arguments. Apple: "Specify this key instead of"
// the string, so both at once is refused.
func (e *encoder) localized(parent string, names *textNames, plain, locKey string, locArgs []string) {
	e.text(parent, names.text, plain)
	e.text(parent, names.locKey, locKey)
	e.checkLocalized(parent, names.text, names.locArgs, plain, locKey, locArgs)
	if len(locArgs) > 0 {
		e.texts(parent, names.locArgs, locArgs)
	}
}

func (e *encoder) checkLocalized(parent, stem, argsName, plain, locKey string, locArgs []string) {
	if plain != "" && locKey != "" {
		e.problem(parent+"/"+stem, "both a text and a localisation key; the device shows only one of them",
			"keep either the text or the key")
	}
	if len(locArgs) > 0 && locKey == "" {
		e.problem(parent+"/"+argsName, "arguments without a localisation key have no string to go into",
			"set the localisation key, or put the finished text into "+stem)
	}
}

// object writes a member whose value is the caller's own struct or map.
func (e *encoder) object(parent, name string, value any) {
	path := parent + "/" + name
	encoded := e.marshal(path, value)
	if encoded == nil {
		return
	}
	if encoded[0] != '{' {
		e.problem(path, "must become a JSON object, not "+kindOfJSON(encoded[0]),
			"give a struct, a map with string keys or a json.RawMessage that holds an object")
		return
	}
	e.key(name)
	e.buf = append(e.buf, encoded...)
}

// custom writes the caller's own keys as members of the outermost object. Nil
// is no keys.
func (e *encoder) custom(value any) {
	if value == nil {
		return
	}
	encoded := e.marshal("", value)
	if encoded == nil || bytes.Equal(encoded, []byte("null")) {
		return
	}
	if encoded[0] != '{' {
		fix := "give a struct or a map with string keys"
		if _, isBytes := value.([]byte); isBytes {
			fix = "give the bytes as json.RawMessage"
		}
		e.problem("", "custom keys must become a JSON object, not "+kindOfJSON(encoded[0]), fix)
		return
	}
	if inner := encoded[1 : len(encoded)-1]; len(inner) > 0 {
		e.comma()
		e.buf = append(e.buf, inner...)
	}
}

// marshal returns value as compact JSON that every strict parser takes, or nil
// after noting why not.
func (e *encoder) marshal(path string, value any) []byte {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false) // six bytes for each "<" are bytes lost to the text
	if err := encoder.Encode(value); err != nil {
		e.problem(path, marshalFailure(value, err), "")
		return nil
	}
	encoded := bytes.TrimSuffix(out.Bytes(), []byte("\n"))
	// A json.RawMessage or MarshalJSON can smuggle in what encoding/json lets
	// pass and devices do not.
	doc, bad := scan(encoded)
	if bad != nil {
		e.problem(path, bad.message, bad.fix)
		return nil
	}
	for _, f := range doc.faults {
		rule := faultTexts[f.code]
		e.problem(path+doc.pointer(f.at), rule.message, rule.fix)
	}
	if path == "" && doc.member(0, "aps") >= 0 {
		e.problem("/aps", `a custom key is called "aps", which belongs to Apple`,
			"rename the key; what Apple defines has fields of its own, and raw JSON can be sent as Raw")
	}
	return encoded
}

// marshalFailure keeps the words of encoding/json where they are about types,
// and leaves out those of a MarshalJSON method, which may repeat values.
func marshalFailure(value any, err error) string {
	if bad, ok := errors.AsType[*json.UnsupportedTypeError](err); ok {
		return "encoding/json cannot encode a " + bad.Type.String()
	}
	if _, ok := errors.AsType[*json.UnsupportedValueError](err); ok {
		return "encoding/json cannot encode one of the values (NaN, infinity or a cycle)"
	}
	if bad, ok := errors.AsType[*json.MarshalerError](err); ok {
		return "the MarshalJSON or MarshalText method of " + bad.Type.String() + " failed"
	}
	return fmt.Sprintf("encoding/json cannot encode a %T", value)
}

func kindOfJSON(first byte) string {
	switch first {
	case '[':
		return "an array"
	case '"':
		return "a string"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	case '{':
		return "an object"
	default:
		return "a number"
	}
}

const hexDigits = "0123456789abcdef"

// appendString appends s as a JSON string. It escapes only what JSON requires,
// because every needless escape takes bytes from a 4096-byte budget.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	clean := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[clean:i]...)
		clean = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		case '\b':
			dst = append(dst, '\\', 'b')
		case '\f':
			dst = append(dst, '\\', 'f')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	dst = append(dst, s[clean:]...)
	return append(dst, '"')
}
