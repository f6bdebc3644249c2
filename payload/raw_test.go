package payload_test

import (
	"errors"
	"strings"
	"testing"

	"aviso.example/payload"
)

func TestParseRaw(t *testing.T) {
	const spaced = " { \"aps\" : {\"alert\":\"\\u0041\", \"x\":1.0e0} }\n"
	raw, err := payload.ParseRaw(payload.PushTypeAlert, []byte(spaced))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := raw.JSON(); err != nil || string(got) != spaced {
		t.Errorf("%q, %v; the bytes must stay as they were", got, err)
	}
	if raw.PushType() != payload.PushTypeAlert {
		t.Errorf("push type %q", raw.PushType())
	}
	if got, err := raw.AppendJSON([]byte("x")); err != nil || string(got) != "x"+spaced {
		t.Errorf("%q, %v", got, err)
	}

	for _, tt := range []struct{ name, body, want string }{
		{"empty", ``, "PayloadEmpty"},
		{"array", `[1]`, "not an array"},
		{"twice", `"{}"`, "encoded twice"},
		{"cut", `{"aps":{"alert":"hel`, "at byte 20: the JSON ends before it is complete"},
		{"trailing comma", `{"a":1,}`, "trailing comma"},
		{"trailing comma in array", `{"a":[1,]}`, "trailing comma"},
		{"python", `{'a': 1}`, "Python"},
		{"python value", `{"a": True}`, "json.dumps"},
		{"javascript", `{a: 1}`, "a key without quotes"},
		{"comment", `{"a": 1 // one` + "\n}", "neither a comma nor a closing bracket"},
		{"comment first", `{// one` + "\n}", "a comment"},
		{"NaN", `{"a":NaN}`, "NaN"},
		{"line break", "{\"a\":\"x\ny\"}", "line break"},
		{"bad escape", `{"a":"\x41"}`, "escape"},
		{"bad unicode escape", `{"a":"\u12g4"}`, "hexadecimal"},
		{"leading zero", `{"a":01}`, "leading zero"},
		{"bare point", `{"a":1.}`, "decimal point"},
		{"bare exponent", `{"a":1e}`, "exponent"},
		{"plus", `{"a":+1}`, "plus sign"},
		{"missing value", `{"a":,"b":1}`, "is a value missing"},
		{"missing colon", `{"a" 1}`, "no colon"},
		{"two objects", `{}{}`, "after the end"},
		{"UTF-16", "{\x00\"\x00", "no key"},
		{"UTF-16 with mark", "\xff\xfe{\x00", "UTF-16"},
		{"compressed", "\x1f\x8b\x08\x00", "compress"},
		{"Latin-1", "{\"a\":\"gr\xfcn\"}", "/a: bytes that are not UTF-8"},
		{"deep", strings.Repeat(`{"a":`, 600), "deeper than 512"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := payload.ParseRaw("", []byte(tt.body))
			if _, ok := errors.AsType[*payload.InvalidError](err); !ok {
				t.Fatalf("%v, want an *InvalidError", err)
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%q does not say %q", err, tt.want)
			}
		})
	}

	// A large payload parses, so that it can be shortened, but is not sent.
	large := []byte(sized(5000))
	raw, err = payload.ParseRaw(payload.PushTypeAlert, large)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := raw.JSON(); !errors.Is(err, payload.ErrTooLarge) {
		t.Errorf("5000 bytes: %v", err)
	}
	// A literal that skips ParseRaw is held to the same form.
	if _, err := (payload.Raw{Body: []byte(`[]`)}).JSON(); err == nil {
		t.Error("an array was let through")
	}
}
