package wallet

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

func TestRepairJSON(t *testing.T) {
	for text, want := range map[string]string{
		`{"a":1,}`:                     `{"a":1 }`,
		"{\"a\":[1,2 ,\n ],\n}":        "{\"a\":[1,2  \n ] \n}",
		`{"a":",}","b":"\",]",}`:       `{"a":",}","b":"\",]" }`,
		`{"a":1}`:                      "",
		`{"a":1,`:                      "",
		`{"a":1,,}`:                    "",
		`{,}`:                          `{ }`,
		`{"a":"unfinished,}`:           "",
		`{"a":1,} x`:                   "",
		strings.Repeat("[", 9) + "1,}": "",
	} {
		got, changed := RepairJSON([]byte(text))
		if changed != (want != "") || changed && string(got) != want || !changed && string(got) != text {
			t.Errorf("%s: %s, %v", text, got, changed)
		}
	}
}

// Checking says what is wrong, and a package that somebody signed is read with a warning.
func TestTrailingComma(t *testing.T) {
	pass := []byte(strings.TrimSuffix(ticket, "}") + ",\n}")
	problems := CheckPass(pass)
	if len(problems) != 1 || problems[0].Severity != Error || !strings.Contains(problems[0].Message, "a comma before }") || !strings.Contains(problems[0].Message, "line") {
		t.Errorf("%+v", problems)
	}
	p := &Package{Files: Files{filePass: pass}}
	p.parse()
	if p.Pass == nil || p.Pass.SerialNumber != "1" {
		t.Fatalf("%+v", p.read)
	}
	if list := p.Problems(); len(list) != 1 || list[0].Severity != Warning || !strings.Contains(list[0].Message, "comma") {
		t.Errorf("%+v", list)
	}
	if !bytes.Equal(p.Files[filePass], pass) {
		t.Error("the bytes that were signed have changed")
	}
}

func FuzzRepairJSON(f *testing.F) {
	f.Add([]byte(`{"a":[1,],"b":",}",}`))
	f.Add([]byte(`{"a":"\\",}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		repaired, changed := RepairJSON(data)
		if len(repaired) != len(data) || changed != !bytes.Equal(repaired, data) || changed && (!json.Valid(repaired) || json.Valid(data)) {
			t.Errorf("%q became %q", data, repaired)
		}
	})
}
