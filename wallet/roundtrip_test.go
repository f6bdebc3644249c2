package wallet

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// tree decodes JSON for comparison. Numbers become doubles, which is what
// devices make of them, as long as they fit.
func tree(t testing.TB, data []byte) any {
	t.Helper()
	var v any
	in := json.NewDecoder(bytes.NewReader(data))
	in.UseNumber()
	if err := in.Decode(&v); err != nil {
		t.Fatalf("%v in %s", err, data)
	}
	return doubles(v)
}

func doubles(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			v[key] = doubles(value)
		}
	case []any:
		for i, value := range v {
			v[i] = doubles(value)
		}
	case json.Number:
		if f, err := v.Float64(); err == nil {
			return f
		}
	}
	return v
}

// fill sets everything below v to something that is not zero.
func fill(v reflect.Value, depth int) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(fmt.Sprintf("%s %d", v.Type().Name(), depth))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(depth) + 7)
	case reflect.Uint16:
		v.SetUint(9)
	case reflect.Float64:
		v.SetFloat(12.5)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), depth+1)
	case reflect.Map:
		v.Set(reflect.ValueOf(Extra{"newer": json.RawMessage(`{"a":[1,null]}`)}))
	case reflect.Slice:
		if v.Type() == rawType {
			v.SetBytes([]byte(`{"mine":[1,2]}`))
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), depth+1)
		fill(v.Index(1), depth+2)
	case reflect.Struct:
		if v.Type() == valueType {
			v.Set(reflect.ValueOf(Decimal("12.50")))
			return
		}
		for i := range v.NumField() {
			fill(v.Field(i), depth+1)
		}
	default:
		panic(v.Type().String())
	}
}

// TestEveryKeySurvives sets every field there is, unknown keys at every level
// included, and takes it through JSON and back.
func TestEveryKeySurvives(t *testing.T) {
	for _, v := range []any{&Pass{}, &Order{}, &Personalization{}} {
		fill(reflect.ValueOf(v).Elem(), 0)
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		back := reflect.New(reflect.TypeOf(v).Elem()).Interface()
		if err := json.Unmarshal(data, back); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(v, back, cmp.AllowUnexported(Value{})); diff != "" {
			t.Errorf("%T: %s", v, diff)
		}
		if n := bytes.Count(data, []byte(`"newer"`)); n < 10 && len(data) > 1000 {
			t.Errorf("%T: only %d unknown keys in the JSON", v, n)
		}
	}
}

// TestTagsOfAllFields finds fields that were added without a key, or with an
// option that the plans do not know.
func TestTagsOfAllFields(t *testing.T) {
	seen := map[reflect.Type]bool{}
	var look func(reflect.Type)
	look = func(typ reflect.Type) {
		for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct || typ == valueType || seen[typ] {
			return
		}
		seen[typ] = true
		names := map[string]bool{}
		for i := range typ.NumField() {
			f := typ.Field(i)
			tag := f.Tag.Get("json")
			if tag == "" || strings.Contains(tag, ",") || names[tag] {
				t.Errorf("%s.%s: tag %q", typ, f.Name, tag)
			}
			names[tag] = true
			if (f.Name == "Extra") != (tag == "-") {
				t.Errorf("%s.%s: tag %q", typ, f.Name, tag)
			}
			look(f.Type)
		}
		if !names["-"] {
			t.Errorf("%s has no Extra", typ)
		}
	}
	look(reflect.TypeFor[Pass]())
	look(reflect.TypeFor[Order]())
	look(reflect.TypeFor[Personalization]())
	if len(seen) < 35 {
		t.Errorf("looked at %d types only", len(seen))
	}
}

// strange is a pass of somebody else: empty values, nulls, wrong types, newer
// keys. Nothing of it may be lost.
const strange = `{
	"formatVersion": 1, "serialNumber": 42, "description": "", "voided": false, "maxDistance": "500",
	"sharingProhibited": null, "suppressStripShine": false, "locations": [], "iOS99": {"x": [1.50, "a<b>"]},
	"barcodes": [{"format": "PKBarcodeFormatQR", "message": 7, "new": true}, {"message": ""}],
	"beacons": [{"proximityUUID": "x", "major": 70000}, {"major": 0}],
	"userInfo": null, "logoText": "a\u2028\"\\\u0001\n<",
	"eventTicket": {
		"primaryFields": [{"key": "a", "value": 0, "label": ""}, {"key": "b", "value": ""}, {"key": "c", "value": 1.50}, {"key": "d", "value": true}],
		"backFields": [{"key": "e", "value": "2", "dataDetectorTypes": []}],
		"auxiliaryFields": ["f"], "headerFields": {"key": "g"}
	},
	"semantics": {"silenceRequested": false, "duration": 0, "seats": [{"seatRow": "1", "newer": null}], "flightNumber": 1.5}
}`

func TestNothingIsLost(t *testing.T) {
	pass, err := ParsePass([]byte(strange))
	if pass == nil {
		t.Fatal(err)
	}
	data, encodeErr := pass.MarshalJSON()
	if encodeErr != nil {
		t.Fatal(encodeErr)
	}
	if diff := cmp.Diff(tree(t, []byte(strange)), tree(t, data)); diff != "" {
		t.Error(diff)
	}
	if !bytes.Contains(data, []byte(`"value":1.50`)) {
		t.Error("the digits of a value were changed")
	}
	// All wrong types are said at once.
	invalid, ok := errors.AsType[*InvalidError](err)
	if !ok {
		t.Fatal(err)
	}
	var got []string
	for _, p := range invalid.Problems {
		got = append(got, p.String())
	}
	want := []string{
		"serialNumber: a number where a string is expected (write it in quotes)",
		"maxDistance: a string where a number is expected (write it without quotes)",
		"barcodes[0].message: a number where a string is expected (write it in quotes)",
		"beacons[0].major: has to be a whole number from 0 to 65535 (write a number in that range)",
		"eventTicket.primaryFields[3].value: true or false where a string or a number is expected (write a string or a number)",
		"eventTicket.auxiliaryFields[0]: a string where an object is expected (write an object)",
		"eventTicket.headerFields: an object where an array is expected (put the object into [ ])",
		"semantics.flightNumber: has to be a whole number (write it without a fraction or exponent)",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	// What does fit is there, and a field that is set wins over what was read.
	fields := pass.EventTicket.PrimaryFields
	if v, ok := fields[0].Value.Float(); !ok || v != 0 || fields[1].Value != Text("") || fields[3].Value != (Value{}) {
		t.Errorf("values: %+v", fields)
	}
	pass.SerialNumber, pass.Description = "43", "a pass"
	data, _ = pass.MarshalJSON()
	if !bytes.Contains(data, []byte(`"serialNumber":"43"`)) || !bytes.Contains(data, []byte(`"description":"a pass"`)) ||
		bytes.Count(data, []byte(`"serialNumber"`)) != 1 {
		t.Errorf("%s", data)
	}
}

func TestNotJSON(t *testing.T) {
	for text, want := range map[string]string{
		"":                         "empty",
		"[]":                       "an array",
		"\v{}":                     "line 1, column 1",
		"{}\u00a0":                 "line 1",
		"\xef\xbb\xbf{}":           "byte order mark",
		"{\n \"a\": \"\xff\"}":     "line 2, column 8 is not UTF-8",
		"{\"a\": 1,\n}":            "line 1, column 8: there is a comma before }",
		`{"a": 1} x`:               "line 1",
		`{"formatVersion": 1`:      "unexpected end",
		strings.Repeat("[", 20000): "depth",
	} {
		pass, err := ParsePass([]byte(text))
		if pass != nil || !errors.Is(err, errNotObject) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: %v", text, err)
		}
	}
	for i := range len(strange) {
		if pass, err := ParsePass([]byte(strange[:i])); pass != nil || err == nil {
			t.Fatalf("cut off after %d bytes: %v, %v", i, pass, err)
		}
	}
}

func TestDuplicateKeys(t *testing.T) {
	_, err := ParsePass([]byte(`{"voided": true, "voided": 1, "x": 1, "x": 2, "generic": {"backFields": [], "backFields": []}}`))
	if err == nil {
		t.Fatal("no error")
	}
	for _, path := range []string{"voided: the key occurs", "voided: a number where", "x: the key occurs", "generic.backFields: the key occurs"} {
		if !strings.Contains(err.Error(), path) {
			t.Errorf("%q is missing in %v", path, err)
		}
	}
}

func TestWhatCannotBeWritten(t *testing.T) {
	if _, err := json.Marshal(Pass{MaxDistance: new(math.Inf(1))}); err == nil || !strings.Contains(err.Error(), "infinite") {
		t.Error(err)
	}
	for _, key := range []string{"x", "label"} {
		if _, err := json.Marshal(Field{Extra: Extra{key: json.RawMessage("{")}}); err == nil || !strings.Contains(err.Error(), key) {
			t.Error(err)
		}
	}
}

func TestValues(t *testing.T) {
	at := time.Date(2026, 7, 1, 20, 30, 0, 0, time.FixedZone("", 2*3600))
	for _, test := range []struct {
		value Value
		want  string
	}{
		{Text("a\"<b>"), `"a\"<b>"`},
		{Text(""), `""`},
		{Int(-3), "-3"},
		{Float(0), "0"},
		{Float(1e21), "1e+21"},
		{Float(1.25), "1.25"},
		{Decimal("12.50"), "12.50"},
		{Moment(at), `"2026-07-01T20:30:00+02:00"`},
		{Value{}, "null"},
		{Decimal("1 "), "null"},
		{Decimal("NaN"), "null"},
		{Decimal("0x1"), "null"},
		{Decimal(""), "null"},
		{Float(math.NaN()), "null"},
		{Text("\xff"), "\"\ufffd\""},
	} {
		data, err := test.value.MarshalJSON()
		if err != nil || string(data) != test.want {
			t.Errorf("%+v: %s, %v", test.value, data, err)
		}
		var back Value
		if err := json.Unmarshal(data, &back); err != nil || back != test.value && test.want != "\"\ufffd\"" {
			t.Errorf("%s: %+v, %v", data, back, err)
		}
	}
	var v Value
	if err := json.Unmarshal([]byte("true"), &v); err == nil {
		t.Error("true is no value")
	}
}

func TestDates(t *testing.T) {
	zone := func(h, m int) *time.Location { return time.FixedZone("", h*3600+m*60) }
	for text, want := range map[Date]time.Time{
		"2026-07-01T20:30Z":           time.Date(2026, 7, 1, 20, 30, 0, 0, time.UTC),
		"2026-07-01T20:30:15Z":        time.Date(2026, 7, 1, 20, 30, 15, 0, time.UTC),
		"2026-07-01T20:30+05:30":      time.Date(2026, 7, 1, 20, 30, 0, 0, zone(5, 30)),
		"2026-07-01T20:30:15.5-03:00": time.Date(2026, 7, 1, 20, 30, 15, 5e8, zone(-3, 0)),
	} {
		if got, err := text.Time(); err != nil || !got.Equal(want) {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, text := range []Date{
		"", "2026-07-01", "2026-07-01T20:30", "2026-07-01T20:30:00", "2026-07-01T20:30:00+0200", "2026-07-01T20:30:00+02",
		"2026-07-01 20:30:00Z", "2026-07-01T20:30:00Z ", "2026-07-01T20:30:00z", "2026-13-01T20:30Z", "2026-02-30T20:30Z",
		"2026-07-01T25:30Z", "2026-07-01T2:30:00Z", "2026-07-01T20:30:00,5Z", "2026-07-01T20:30:Z", "2026-07-01T20:30:0Z",
		"2026-07-01T20:30:00+02:00[Europe/Berlin]", "2026-07-01T20:30+24:00", "2026-07-01T20:30:00-24:30", "1751401800", "+002026-07-01T20:30Z",
	} {
		if got, err := text.Time(); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
	at := time.Date(2026, 7, 1, 20, 30, 0, 0, zone(2, 0))
	if d := DateOf(at); d != "2026-07-01T20:30:00+02:00" {
		t.Error(d)
	}
}

func TestColors(t *testing.T) {
	for text, want := range map[Color][3]uint8{
		"rgb(1, 2, 255)": {1, 2, 255}, "rgb(0,0,0)": {}, " rgb( 1 ,2 , 3 ) ": {1, 2, 3}, "#fff": {255, 255, 255}, "#0A1b2C": {10, 27, 44},
		RGB(9, 8, 7): {9, 8, 7},
	} {
		if r, g, b, err := text.RGB(); err != nil || [3]uint8{r, g, b} != want {
			t.Errorf("%q: %d %d %d %v", text, r, g, b, err)
		}
	}
	for text, want := range map[Color]float64{"rgba(220, 58, 92, 1.00)": 1, "rgba(220,58,92,0.75)": 0.75, "rgba(220, 58, 92, 0)": 0, "rgb(220, 58, 92)": 1, "#dc3a5c": 1} {
		if r, g, b, opacity, err := text.RGBA(); err != nil || r != 220 || g != 58 || b != 92 || opacity != want {
			t.Errorf("%q: %d %d %d %v %v", text, r, g, b, opacity, err)
		}
	}
	for _, text := range []Color{"", "red", "rgb(1,2)", "rgb(1,2,256)", "rgb(1,2,-3)", "rgb(1,2,3", "rgba(1,2,3,4)", "rgba(1,2,3)", "rgb(1,2,3,1)", "rgba(1,2,3,-0.5)", "rgba(1,2,3,NaN)", "rgb(255-255-255)", "#ff", "#ggg", "#+12345", "rgb(1.5,2,3)", "rgb(+1,2,3)"} {
		if _, _, _, err := text.RGB(); err == nil {
			t.Errorf("%q is no colour", text)
		}
	}
}
