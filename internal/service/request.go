package service

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"
)

// Segments returns the parts of a path between slashes, each decoded once, so that
// a serial number may hold an encoded slash. Slashes at the beginning do not count,
// since a webServiceURL with one at its end gives a path with two; one at the end
// makes an empty part, which fits no path. ok is false if the path cannot be decoded
// or is no UTF-8.
func Segments(r *http.Request) (segments []string, ok bool) {
	segments = strings.Split(strings.TrimLeft(r.URL.EscapedPath(), "/"), "/")
	for i, s := range segments {
		decoded, err := url.PathUnescape(s)
		if err != nil || !utf8.ValidString(decoded) {
			return nil, false
		}
		segments[i] = decoded
	}
	return segments, true
}

// CheckSegment returns what is wrong with a part of a path that names something, or
// nil. limit is in bytes.
func CheckSegment(field, value string, limit int) *FieldProblem {
	switch {
	case value == "":
		return &FieldProblem{field, "is empty"}
	case len(value) > limit:
		return &FieldProblem{field, fmt.Sprintf("has %d bytes; the limit is %d", len(value), limit)}
	case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return &FieldProblem{field, "has a control character"}
	}
	return nil
}

// ReadJSON reads a body that is one JSON object of at most limit bytes into v, or
// returns the problem to answer with: 413 if it is longer, 415 if it is compressed,
// 400 if it is no such thing. It does not ask for a Content-Type, since devices are
// not consistent in it, and keys that v does not have are left alone, since Apple
// may add some.
func ReadJSON(w http.ResponseWriter, r *http.Request, limit int64, v any) *Problem {
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return &Problem{Status: http.StatusUnsupportedMediaType, Detail: "the body is compressed, which is not taken here"}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return &Problem{Status: http.StatusRequestEntityTooLarge, Detail: fmt.Sprintf("the body has more than %d bytes", limit)}
	}
	malformed := func(detail string) *Problem { return &Problem{Status: http.StatusBadRequest, Detail: detail} }
	switch trimmed := bytes.TrimLeft(body, " \t\r\n"); {
	case err != nil:
		return malformed("the body ended early")
	case len(trimmed) == 0:
		return malformed("the body is empty; it has to be a JSON object")
	case trimmed[0] != '{':
		return malformed("the body is not a JSON object: it has to begin with {")
	case !utf8.Valid(body):
		return malformed("the body is not UTF-8")
	}
	err = json.Unmarshal(body, v)
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return Invalid(FieldProblem{wrong.Field, "has to be " + kindOf(wrong) + ", but is a JSON " + firstWord(wrong.Value)})
	}
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return malformed(fmt.Sprintf("the body is not JSON; the mistake is at byte %d of %d", syntax.Offset, len(body)))
	}
	if err != nil {
		return malformed("the body is not JSON that can be read here")
	}
	return nil
}

func kindOf(e *json.UnmarshalTypeError) string {
	switch kind := e.Type.Kind().String(); kind {
	case "slice", "array":
		return "a list"
	case "struct", "map":
		return "an object"
	default:
		return "a " + kind
	}
}

// firstWord leaves out the number in "number 12", which is the device's.
func firstWord(s string) string {
	first, _, _ := strings.Cut(s, " ")
	return first
}
