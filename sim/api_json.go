package sim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"reflect"
	"strings"
	"unicode/utf8"
)

// readJSON reads a body strictly into v.
func readJSON(r *http.Request, v any) error {
	if ct := r.Header.Get("Content-Type"); ct != "" {
		if t, _, err := mime.ParseMediaType(ct); err != nil || t != "application/json" {
			return problem(http.StatusUnsupportedMediaType, "the body must be application/json")
		}
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return bodyProblem(err)
	}
	if !utf8.Valid(body) {
		return problem(http.StatusBadRequest, "the body is not UTF-8")
	}
	return decodeJSON(body, v)
}

func bodyProblem(err error) error {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return problem(http.StatusRequestEntityTooLarge, "the body is larger than %d bytes", maxAPIBody)
	}
	return problem(http.StatusBadRequest, "the body could not be read")
}

func decodeJSON(body []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	decodeErr := d.Decode(v)
	if json.Valid(body) {
		if err := checkMembers(body, reflect.TypeOf(v).Elem(), ""); err != nil {
			return err
		}
	}
	if decodeErr != nil {
		return jsonProblem(decodeErr)
	}
	if _, err := d.Token(); err != io.EOF {
		return problem(http.StatusBadRequest, "there is something after the JSON value")
	}
	return nil
}

var unmarshaler = reflect.TypeFor[json.Unmarshaler]()

// checkMembers refuses what encoding/json lets pass, in a value that is to become a
// t: null for nothing, two members of one name of which the last counts, and names
// in other cases. What reads itself is asked by itself, so that the error can name
// the member.
func checkMembers(text []byte, t reflect.Type, name string) error {
	text = bytes.TrimSpace(text)
	if t.Kind() == reflect.Pointer {
		return checkMembers(text, t.Elem(), name)
	}
	if t == reflect.TypeFor[rawJSON]() {
		return nil // somebody else's
	}
	if string(text) == "null" {
		if name == "" {
			return problem(http.StatusBadRequest, "the body is null; it has to be an object or an array")
		}
		return problem(http.StatusBadRequest, "%s is null; leave it out", name)
	}
	if reflect.PointerTo(t).Implements(unmarshaler) {
		if err := reflect.New(t).Interface().(json.Unmarshaler).UnmarshalJSON(text); err != nil {
			return problem(http.StatusBadRequest, "%s: %v", name, err)
		}
		return nil
	}
	switch {
	case t.Kind() == reflect.Slice && text[0] == '[':
		var list []json.RawMessage
		json.Unmarshal(text, &list) // which is valid
		for i, element := range list {
			if err := checkMembers(element, t.Elem(), fmt.Sprintf("element %d", i+1)); err != nil {
				return err
			}
		}
	case t.Kind() == reflect.Struct && text[0] == '{':
		return checkObject(text, membersOf(t))
	}
	return nil
}

// membersOf are the members that a struct is read from.
func membersOf(t reflect.Type) map[string]reflect.Type {
	members := map[string]reflect.Type{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		members[name] = f.Type
	}
	return members
}

func checkObject(text []byte, members map[string]reflect.Type) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.Token() // {
	seen := map[string]bool{}
	for d.More() {
		key, _ := d.Token()
		name := key.(string)
		var value json.RawMessage
		d.Decode(&value) // which is valid
		t := members[name]
		switch {
		case t == nil:
			return problem(http.StatusBadRequest, "unknown member %q", name)
		case seen[name]:
			return problem(http.StatusBadRequest, "member %q is there twice", name)
		}
		seen[name] = true
		if err := checkMembers(value, t, fmt.Sprintf("member %q", name)); err != nil {
			return err
		}
	}
	return nil
}

// jsonProblem says what is wrong in words a user can act on, without the body.
func jsonProblem(err error) error {
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return problem(http.StatusBadRequest, "member %q must be %s, not %s", e.Field, jsonKind(e.Type), e.Value)
	}
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		return problem(http.StatusBadRequest, "not valid JSON at byte %d", e.Offset)
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return problem(http.StatusBadRequest, "unknown member %s", name)
	}
	switch {
	case errors.Is(err, io.EOF):
		return problem(http.StatusBadRequest, "the body is empty")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return problem(http.StatusBadRequest, "the JSON value ends too early")
	}
	return problem(http.StatusBadRequest, "%v", err)
}

// jsonKind names a Go type in JSON's words.
func jsonKind(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice, reflect.Array:
		return "an array"
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Float64:
		return "a number"
	}
	return "a whole number in range (" + t.Kind().String() + ")"
}
