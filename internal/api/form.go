package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/validation"

	"aviso.example/internal/message"
	"aviso.example/internal/suggest"
)

// form is what the document says about the requests of an operation. It is held
// against each of them before the handler runs, so that document and server agree
// and nothing that is not understood is left out: it is refused.
type form struct {
	schemas    huma.Registry
	parameters map[string]*huma.Param // of the query
	// body is the schema of the body, or nil if there is none; with raw, the handler
	// looks at the body itself.
	body *huma.Schema
	raw  bool
	// query, if set, has better words for wrong values than the schemas.
	query func(url.Values) []FieldProblem
}

// maxFormProblems bounds how many unknown parameters and keys are told.
const maxFormProblems = 50

// isRaw marks the operations of API.raw, queryWords their own words for a query.
const (
	isRaw      = "raw"
	queryWords = "query"
)

// newForm reads the form of an operation, and completes the document: whoever has
// nothing to say leaves a parameter out.
func newForm(schemas huma.Registry, op *huma.Operation) *form {
	f := &form{schemas: schemas, parameters: map[string]*huma.Param{}}
	for _, p := range op.Parameters {
		if p.In != "query" {
			continue
		}
		notEmpty(p.Schema)
		p.Schema.PrecomputeMessages()
		f.parameters[p.Name] = p
	}
	if op.RequestBody != nil && op.RequestBody.Content["application/json"] != nil {
		f.body = op.RequestBody.Content["application/json"].Schema
	}
	f.raw, _ = op.Metadata[isRaw].(bool)
	f.query, _ = op.Metadata[queryWords].(func(url.Values) []FieldProblem)
	return f
}

// notEmpty has a schema say that there is something.
func notEmpty(s *huma.Schema) {
	switch {
	case s.Type == huma.TypeArray:
		s.MinItems = new(1)
		notEmpty(s.Items)
	case s.Type == huma.TypeString && s.Enum == nil:
		s.MinLength = new(1)
	}
}

// check says what is wrong with the form of a request.
func (f *form) check(w http.ResponseWriter, r *http.Request) *Problem {
	if r.URL.RawQuery != "" {
		if p := f.checkQuery(r.URL.RawQuery); p != nil {
			return p
		}
	}
	if f.raw || r.Method == http.MethodGet || r.Method == http.MethodHead {
		return nil
	}
	return f.checkBody(w, r)
}

// checkQuery reads a query strictly. The standard library drops what it cannot
// parse, and with it, say, paused=true.
func (f *form) checkQuery(query string) *Problem {
	values, err := url.ParseQuery(query)
	if err != nil {
		return newProblem(&malformedQuery, whyNoQuery(err, query))
	}
	var problems []FieldProblem
	right := url.Values{}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		switch why := f.misused(name, values[name]); {
		case why == "":
			right[name] = values[name]
		case len(problems) < maxFormProblems:
			problems = append(problems, FieldProblem{quotable(name), why})
		}
	}
	problems = append(problems, f.wrongValues(right)...)
	if len(problems) > 0 {
		return invalid(problems...)
	}
	return nil
}

// whyNoQuery says why a query cannot be parsed, without repeating it.
func whyNoQuery(err error, query string) string {
	if _, ok := errors.AsType[url.EscapeError](err); ok {
		return "a % is not followed by two hexadecimal digits; write %25 for a % that means itself"
	}
	if strings.Contains(query, ";") {
		return "a semicolon does not separate parameters; write &, or %3B for a semicolon in a value"
	}
	return "it cannot be parsed; it has to be name=value, joined by &"
}

// misused says why a parameter cannot be there, or not so, or "".
func (f *form) misused(name string, values []string) string {
	p := f.parameters[name]
	switch {
	case p == nil && len(f.parameters) == 0 && f.raw && f.body != nil:
		return unknownParameter + "; what is said about a message stands in its body"
	case p == nil:
		return unknownParameter + suggest.Hint(name, slices.Sorted(maps.Keys(f.parameters)))
	case p.Explode != nil && *p.Explode && p.Schema.Type == huma.TypeArray:
	case len(values) > 1 && p.Schema.Type == huma.TypeArray:
		return "is there twice; separate its values by commas"
	case len(values) > 1:
		return "is there twice"
	}
	for _, value := range values {
		if value == "" && !p.AllowEmptyValue {
			return "is empty; leave it out"
		}
		if !utf8.ValidString(value) {
			return message.NotUTF8.String()
		}
	}
	return ""
}

const unknownParameter = "unknown query parameter"

// wrongValues says what is wrong with the values of parameters that are there as
// they may be.
func (f *form) wrongValues(values url.Values) (problems []FieldProblem) {
	if f.query != nil {
		return f.query(values)
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		p := f.parameters[name]
		v, why := parameterValue(p, values[name])
		if why != "" {
			problems = append(problems, FieldProblem{name, why})
			continue
		}
		problems = append(problems, f.validate(p.Schema, v, name)...)
	}
	return problems
}

// parameterValue reads a value as the JSON that the schema means.
func parameterValue(p *huma.Param, texts []string) (v any, why string) {
	switch p.Schema.Type {
	case huma.TypeArray:
		if p.Explode == nil || !*p.Explode {
			texts = strings.Split(texts[0], ",")
		}
		list := []any{}
		for _, text := range texts {
			list = append(list, text)
		}
		return list, ""
	case huma.TypeInteger:
		// Numbers are written as in JSON, without 05 and the like, which people read
		// in several ways.
		n, err := strconv.Atoi(texts[0])
		if err != nil || !json.Valid([]byte(texts[0])) {
			return nil, "has to be a whole number"
		}
		return n, ""
	}
	if _, err := time.Parse(time.RFC3339, texts[0]); err != nil && p.Schema.Format == "date-time" {
		why = "has to be a time like 2030-01-31T12:00:00Z"
		if strings.Contains(texts[0], " ") {
			why += "; a + in a query is a space, and %2B a plus"
		}
	}
	return texts[0], why
}

// validate holds a value against its schema.
func (f *form) validate(s *huma.Schema, v any, path string) (problems []FieldProblem) {
	res := &huma.ValidateResult{}
	at := huma.NewPathBuffer([]byte{}, 0)
	at.Push("form") // which problemOfHuma cuts off
	if path != "" {
		at.Push(path)
	}
	huma.Validate(f.schemas, s, at, huma.ModeWriteToServer, v, res)
	for _, err := range res.Errors {
		problems = append(problems, problemOfHuma(err))
	}
	return problems
}

// checkBody reads the body of an operation of huma strictly, and gives it back to be
// read again. encoding/json takes null for nothing, and the last of two equal keys.
func (f *form) checkBody(w http.ResponseWriter, r *http.Request) *Problem {
	if media, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); f.body != nil && media != "" && !strings.EqualFold(strings.TrimSpace(media), "application/json") {
		return nil // huma refuses it
	}
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxControlBody))
	if err != nil {
		return bodyProblem(err, maxControlBody)
	}
	r.Body = io.NopCloser(bytes.NewReader(text))
	if len(bytes.TrimSpace(text)) == 0 {
		return nil
	}
	problems, err := f.wrongMembers(text)
	switch {
	case err != nil && !json.Valid(text):
		return newProblem(&malformedBody, "", fieldProblems(err)...)
	case err != nil:
		return invalid(fieldProblems(err)...)
	case len(problems) > 0:
		return invalid(problems...)
	}
	return nil
}

// wrongMembers says what is wrong with a body, or that it is no object.
func (f *form) wrongMembers(text []byte) (problems []FieldProblem, err error) {
	seen := map[string]bool{}
	right := map[string]any{}
	bad := func(p ...FieldProblem) {
		if len(problems) < maxFormProblems {
			problems = append(problems, p...)
		}
	}
	scan := message.NewScan(text, "request")
	err = scan.Object(func(key string) error {
		v, err := scan.Value()
		if err != nil {
			return err
		}
		why := ""
		switch {
		case f.body == nil:
			why = "unknown key; this request takes none"
		case seen[key]:
			why = "is there twice"
		case v.Kind == message.KindNull:
			why = "is null; leave the key out"
		default:
			why = v.Flaw.String()
		}
		seen[key] = true
		if delete(right, key); why != "" {
			bad(FieldProblem{quotable(key), why})
			return nil
		}
		var value any
		if json.Unmarshal(v.Raw, &value) != nil {
			bad(FieldProblem{quotable(key), "has a number that is too large"})
			return nil
		}
		right[key] = value
		return nil
	})
	if err != nil || f.body == nil {
		return problems, err
	}
	bad(f.wrongBody(right, seen)...)
	return problems, nil
}

// wrongBody says what is wrong with the values of a body that are there as they may
// be, and with what is not there. Of the others that has been said.
func (f *form) wrongBody(right map[string]any, seen map[string]bool) []FieldProblem {
	schema := f.body
	if schema.Ref != "" {
		schema = f.schemas.SchemaFromRef(schema.Ref)
	}
	problems := f.validate(schema, right, "")
	for _, name := range schema.Required {
		missing := FieldProblem{Problem: fmt.Sprintf(validation.MsgExpectedRequiredProperty, name)}
		problems = slices.DeleteFunc(problems, func(p FieldProblem) bool { return p == missing })
		if !seen[name] {
			problems = append(problems, FieldProblem{name, "is missing"})
		}
	}
	return problems
}
