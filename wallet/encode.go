package wallet

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

// encoding/json keeps no unknown keys, stops at the first wrong type, and leaves
// out values where absent and empty differ. So the structs of this package are
// read and written by two short functions over reflection, guided by a plan for
// each type.

// plan is what reading and writing have to know about a struct.
type plan struct {
	fields []planField
	byName map[string]int // index into fields
	names  []string       // for suggestions
	extra  int            // index of the field Extra in the struct
}

type planField struct {
	name   string
	quoted string // name as a JSON key, with the colon
	index  int
	rule   rule
}

// rule says how a field is checked by its type alone.
type rule uint8

const (
	ruleNone rule = iota
	ruleObject
	ruleObjects
	ruleDate
	ruleColor
	ruleWord  // one of a few fixed words
	ruleWords // a list of these
	ruleLink
	ruleText
	ruleTexts
	ruleValue
)

func ruleOf(t reflect.Type, name string) rule {
	_, fixed := words[t]
	switch {
	case t == valueType:
		return ruleValue
	case t == reflect.TypeFor[Date]():
		return ruleDate
	case t == reflect.TypeFor[Color]():
		return ruleColor
	case fixed:
		return ruleWord
	case t.Kind() == reflect.Pointer && isObject(t.Elem()):
		return ruleObject
	case t.Kind() == reflect.String:
		// The two have rules of their own.
		if name != "URL" && name != "webServiceURL" && (strings.HasSuffix(name, "URL") || strings.HasSuffix(name, "Website")) {
			return ruleLink
		}
		return ruleText
	case t.Kind() != reflect.Slice || t == rawType:
		return ruleNone
	case isObject(t.Elem()):
		return ruleObjects
	}
	if _, fixed = words[t.Elem()]; fixed {
		return ruleWords
	}
	if t.Elem().Kind() == reflect.String {
		return ruleTexts
	}
	return ruleNone
}

var (
	plans     sync.Map // reflect.Type to *plan
	valueType = reflect.TypeFor[Value]()
	rawType   = reflect.TypeFor[json.RawMessage]()
)

// planOf returns the plan of one of our structs.
func planOf(t reflect.Type) *plan {
	if p, ok := plans.Load(t); ok {
		return p.(*plan)
	}
	p := &plan{byName: map[string]int{}}
	for i := range t.NumField() {
		f := t.Field(i)
		name := f.Tag.Get("json")
		if name == "-" {
			p.extra = i
			continue
		}
		p.byName[name] = len(p.fields)
		p.names = append(p.names, name)
		p.fields = append(p.fields, planField{name, string(appendString(nil, name)) + ":", i, ruleOf(f.Type, name)})
	}
	actual, _ := plans.LoadOrStore(t, p)
	return actual.(*plan)
}

// marshal writes what v, a pointer to one of our structs, points to.
func marshal(v any) ([]byte, error) {
	return appendValue(make([]byte, 0, 2048), reflect.ValueOf(v).Elem())
}

var errNotFinite = errors.New("wallet: a number is infinite or not a number, which JSON cannot express")

func appendValue(dst []byte, v reflect.Value) ([]byte, error) {
	switch v.Kind() {
	case reflect.String:
		return appendString(dst, v.String()), nil
	case reflect.Bool:
		return strconv.AppendBool(dst, v.Bool()), nil
	case reflect.Int, reflect.Int64:
		return strconv.AppendInt(dst, v.Int(), 10), nil
	case reflect.Uint16:
		return strconv.AppendUint(dst, v.Uint(), 10), nil
	case reflect.Float64:
		if f := v.Float(); math.IsInf(f, 0) || math.IsNaN(f) {
			return dst, errNotFinite
		}
		return appendFloat(dst, v.Float()), nil
	case reflect.Pointer:
		return appendValue(dst, v.Elem())
	case reflect.Slice:
		if v.Type() == rawType {
			return appendRaw(dst, "userInfo", v.Bytes())
		}
		dst = append(dst, '[')
		for i := range v.Len() {
			if i > 0 {
				dst = append(dst, ',')
			}
			var err error
			if dst, err = appendValue(dst, v.Index(i)); err != nil {
				return dst, err
			}
		}
		return append(dst, ']'), nil
	case reflect.Struct:
		if v.Type() == valueType {
			return v.Interface().(Value).append(dst), nil
		}
		return appendObject(dst, v)
	}
	panic("wallet: no way to write a " + v.Type().String()) // a field was added with a new type
}

func appendObject(dst []byte, v reflect.Value) ([]byte, error) {
	p := planOf(v.Type())
	extra := v.Field(p.extra).Interface().(Extra)
	dst = append(dst, '{')
	first := true
	var err error
	for i := range p.fields {
		f := &p.fields[i]
		value := v.Field(f.index)
		raw, kept := json.RawMessage(nil), false
		if value.IsZero() {
			if raw, kept = extra[f.name]; !kept {
				continue
			}
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(dst, f.quoted...)
		if kept {
			dst, err = appendRaw(dst, f.name, raw)
		} else {
			dst, err = appendValue(dst, value)
		}
		if err != nil {
			return dst, err
		}
	}
	for _, key := range sortedKeys(extra) {
		if _, known := p.byName[key]; known {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(appendString(dst, key), ':')
		if dst, err = appendRaw(dst, key, extra[key]); err != nil {
			return dst, err
		}
	}
	return append(dst, '}'), nil
}

func sortedKeys(extra Extra) []string {
	if len(extra) == 0 {
		return nil
	}
	return slices.Sorted(maps.Keys(extra))
}

func appendRaw(dst []byte, key string, raw json.RawMessage) ([]byte, error) {
	if !json.Valid(raw) {
		return dst, fmt.Errorf("wallet: the value of %q is not JSON", key)
	}
	return append(dst, raw...), nil
}

func appendFloat(dst []byte, f float64) []byte {
	if a := math.Abs(f); a != 0 && (a < 1e-6 || a >= 1e21) {
		return strconv.AppendFloat(dst, f, 'e', -1, 64)
	}
	return strconv.AppendFloat(dst, f, 'f', -1, 64)
}

// appendString writes a JSON string. It leaves < and > alone, which
// encoding/json does not: they stand in every attributedValue.
func appendString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\ufffd")
	}
	from := 0
	for i := range len(s) {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[from:i]...)
		from = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	return append(append(dst, s[from:]...), '"')
}
