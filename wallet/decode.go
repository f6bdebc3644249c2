package wallet

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// jsonKind is the kind of a JSON value, for messages.
type jsonKind string

const (
	kindObject jsonKind = "an object"
	kindArray  jsonKind = "an array"
	kindString jsonKind = "a string"
	kindNumber jsonKind = "a number"
	kindBool   jsonKind = "true or false"
	kindNull   jsonKind = "null"
)

// kindOf tells the kind by the first byte; raw is JSON without white space
// around.
func kindOf(raw []byte) jsonKind {
	switch raw[0] {
	case '{':
		return kindObject
	case '[':
		return kindArray
	case '"':
		return kindString
	case 't', 'f':
		return kindBool
	case 'n':
		return kindNull
	default:
		return kindNumber
	}
}

func unquote(raw []byte) (string, error) {
	if inner := raw[1 : len(raw)-1]; bytes.IndexByte(inner, '\\') < 0 && utf8.Valid(inner) {
		return string(inner), nil
	}
	var text string
	err := json.Unmarshal(raw, &text)
	return text, err
}

// parse reads a file into one of the two structs that are files.
func parse[T any](data []byte) (*T, error) {
	v := new(T)
	d, err := decode(data, v)
	if err != nil {
		return nil, err
	}
	return v, d.err()
}

// unmarshal reads data into v, a pointer to one of our types.
func unmarshal(data []byte, v any) error {
	d, err := decode(data, v)
	if err != nil {
		return err
	}
	return d.err()
}

// decode reads data into v and returns what did not fit. The error says that
// data is no JSON, or of another kind altogether.
func decode(data []byte, v any) (*decoder, error) {
	data = trim(data)
	if err := syntax(data); err != nil {
		return nil, err
	}
	target := reflect.ValueOf(v).Elem()
	d := &decoder{}
	if kindOf(data) == kindNull {
		return d, nil // as encoding/json has it
	}
	if isObject(target.Type()) && kindOf(data) != kindObject {
		return nil, fmt.Errorf("%w: it is %s", errNotObject, kindOf(data))
	}
	d.value(data, target, "")
	return d, nil
}

// trim cuts off JSON's white space, which is less than Unicode's.
func trim(data []byte) []byte { return bytes.Trim(data, " \t\r\n") }

// syntax says where data stops being JSON.
func syntax(data []byte) error {
	if bytes.HasPrefix(data, []byte("\xef\xbb\xbf")) {
		return fmt.Errorf("%w: it begins with a byte order mark; write UTF-8 without one", errNotObject)
	}
	if !utf8.Valid(data) {
		for i := 0; i < len(data); {
			r, n := utf8.DecodeRune(data[i:])
			if r == utf8.RuneError && n == 1 {
				return fmt.Errorf("%w: %s is not UTF-8", errNotObject, position(data, i))
			}
			i += n
		}
	}
	if len(data) == 0 {
		return fmt.Errorf("%w: it is empty", errNotObject)
	}
	if json.Valid(data) {
		return nil
	}
	if repaired, ok := RepairJSON(data); ok {
		at := firstRepair(data, repaired)
		next := bytes.TrimLeft(data[at+1:], " \t\r\n")[0]
		return fmt.Errorf("%w: %s: there is a comma before %c", errNotObject, position(data, at), next)
	}
	var raw json.RawMessage
	err := json.Unmarshal(data, &raw)
	if bad, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("%w: %s: %s", errNotObject, position(data, int(bad.Offset)-1), bad.Error())
	}
	return err
}

// position returns line and column of a byte, counted from one.
func position(data []byte, offset int) string {
	before := data[:max(0, min(offset, len(data)))]
	line := bytes.Count(before, []byte("\n")) + 1
	return fmt.Sprintf("line %d, column %d", line, len(before)-bytes.LastIndexByte(before, '\n'))
}

func isObject(t reflect.Type) bool { return t.Kind() == reflect.Struct && t != valueType }

// decoder fills structs and remembers what did not fit.
type decoder struct {
	problems Problems
	// twice are the keys that occur more than once. They are problems too, and
	// the only ones that cannot be told from the structs, beside that of entries.
	twice Problems
	// entries counts what costs far more in memory than in a file: elements of
	// lists, and keys that are not known.
	entries int
}

// maxEntries bounds what a hostile file can make a program allocate. Passes and
// orders have a few hundred.
const maxEntries = 50_000

// room counts n more entries, and says once that there are too many. What is too
// much is left out.
func (d *decoder) room(n int, path string) bool {
	if d.entries <= maxEntries && d.entries+n > maxEntries {
		d.twice = append(d.twice, Problem{Error, "", path, fmt.Sprintf("there are more than %d entries of lists and unknown keys up to here, and what follows is not read", maxEntries), "write fewer"})
	}
	d.entries += n
	return d.entries <= maxEntries
}

// err lists everything.
func (d *decoder) err() error { return append(d.problems, d.twice...).Err() }

func (d *decoder) error(path, fix, format string, args ...any) {
	if len(d.problems) >= maxProblems {
		return
	}
	d.problems = append(d.problems, Problem{Error, "", path, fmt.Sprintf(format, args...), fix})
}

// wrong says that a value has the wrong type.
func (d *decoder) wrong(path string, raw []byte, want string) bool {
	is := kindOf(raw)
	fix := "write " + want
	switch {
	case is == kindString && (want == string(kindNumber) || want == string(kindBool) || want == wholeNumber):
		fix = "write it without quotes"
	case is == kindNumber && want == string(kindString):
		fix = "write it in quotes"
	case is == kindNull:
		fix = "leave the key out"
	case is == kindObject && want == string(kindArray):
		fix = "put the object into [ ]"
	}
	d.error(path, fix, "%s where %s is expected", is, want)
	return false
}

const wholeNumber = "a whole number"

// value sets v, and returns false if raw does not fit.
func (d *decoder) value(raw json.RawMessage, v reflect.Value, path string) bool {
	t := v.Type()
	is := kindOf(raw)
	switch {
	case t == valueType:
		return v.Addr().Interface().(*Value).set(raw) || d.wrong(path, raw, "a string or a number")
	case t == rawType:
		v.SetBytes(bytes.Clone(raw))
		return true
	case isObject(t):
		if is != kindObject {
			return d.wrong(path, raw, string(kindObject))
		}
		d.object(raw, v, path)
		return true
	}
	switch t.Kind() {
	case reflect.Pointer:
		element := reflect.New(t.Elem())
		if !d.value(raw, element.Elem(), path) {
			return false
		}
		v.Set(element)
		return true
	case reflect.Slice:
		return d.slice(raw, v, path)
	case reflect.String:
		if is != kindString {
			return d.wrong(path, raw, string(kindString))
		}
		text, err := unquote(raw)
		v.SetString(text)
		return err == nil
	case reflect.Bool:
		if is != kindBool {
			return d.wrong(path, raw, string(kindBool))
		}
		v.SetBool(raw[0] == 't')
		return true
	default:
		if is != kindNumber {
			return d.wrong(path, raw, string(kindNumber))
		}
		return d.number(string(raw), v, path)
	}
}

func (d *decoder) number(digits string, v reflect.Value, path string) bool {
	switch v.Kind() {
	case reflect.Float64:
		f, err := strconv.ParseFloat(digits, 64)
		if err != nil {
			d.error(path, "write a smaller number", "the number is larger than a double can be")
			return false
		}
		v.SetFloat(f)
	case reflect.Uint16:
		n, err := strconv.ParseUint(digits, 10, 16)
		if err != nil {
			d.error(path, "write a number in that range", "has to be a whole number from 0 to 65535")
			return false
		}
		v.SetUint(n)
	default:
		n, err := strconv.ParseInt(digits, 10, 64)
		if err != nil {
			// 1.0 and 1e2 are whole numbers, too.
			f, _ := strconv.ParseFloat(digits, 64)
			n = int64(f)
			if math.Abs(f) < 1<<53 && float64(n) == f && f != 0 {
				err = nil
			}
		}
		if err != nil {
			d.error(path, "write it without a fraction or exponent", "has to be %s", wholeNumber)
			return false
		}
		v.SetInt(n)
	}
	return true
}

func (d *decoder) slice(raw json.RawMessage, v reflect.Value, path string) bool {
	if kindOf(raw) != kindArray {
		return d.wrong(path, raw, string(kindArray))
	}
	n := 0
	eachElement(raw, func(json.RawMessage) { n++ })
	if !d.room(n, path) {
		return false
	}
	list := reflect.MakeSlice(v.Type(), n, n)
	fits, i := true, 0
	eachElement(raw, func(element json.RawMessage) {
		fits = d.value(element, list.Index(i), path+"["+strconv.Itoa(i)+"]") && fits
		i++
	})
	if fits {
		v.Set(list)
	}
	return fits
}

// object fills a struct. What does not fit into its fields goes into Extra.
func (d *decoder) object(raw json.RawMessage, v reflect.Value, path string) {
	p := planOf(v.Type())
	v.SetZero()
	var extra Extra
	keep := func(key string, value json.RawMessage) {
		if !d.room(1, path) {
			return
		}
		if extra == nil {
			extra = Extra{}
		}
		extra[key] = bytes.Clone(value)
	}
	seen := make([]bool, len(p.fields))
	eachMember(raw, func(name, value json.RawMessage) {
		key, err := unquote(name)
		if err != nil {
			return // not reached: syntax was checked
		}
		at, known := p.byName[key]
		_, again := extra[key]
		if again || known && seen[at] {
			if len(d.twice) < maxProblems {
				d.twice = append(d.twice, Problem{Error, "", join(path, key), "the key occurs more than once; which one counts is undefined", "keep one of them"})
			}
			delete(extra, key) // the last one counts
		}
		if !known {
			keep(key, value)
			return
		}
		seen[at] = true
		field := v.Field(p.fields[at].index)
		field.SetZero()
		switch {
		case kindOf(value) == kindNull && field.Type() != rawType:
			keep(key, value) // Apple's decoders take it for absent
		case !d.value(value, field, join(path, key)):
			field.SetZero()
			keep(key, value)
		case field.IsZero():
			keep(key, value) // such as "", so that it is written again
		}
	})
	if extra != nil {
		v.Field(p.extra).Set(reflect.ValueOf(extra))
	}
}

// join makes a key path. Keys come from anybody: what could forge the lines of a
// log is quoted, and what is long cut off.
func join(path, key string) string {
	key = short(key)
	if strings.ContainsFunc(key, func(r rune) bool { return !unicode.IsGraphic(r) || r == '"' }) {
		key = strconv.Quote(key)
	}
	if path == "" {
		return key
	}
	return path + "." + key
}
