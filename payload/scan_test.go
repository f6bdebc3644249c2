package payload

import (
	"bytes"
	"encoding/json"
	"testing"
)

// FuzzScan holds the scanner against encoding/json, which was written by
// others: both must take the same texts and read the same strings.
func FuzzScan(f *testing.F) {
	for _, seed := range []string{
		``, `{}`, `{"a":[1,-0.5e+7,true,false,null,"\u00e9\ud83d\ude00\ud800\n"]}`, `[[[]]]`, `01`, `1.`, `-`, `"\x"`, "\"\xff\"",
		`{"a":1,}`, `nul`, ` 1 `, `1 2`, `{"a" 1}`, `{"a":1 "b":2}`, "\"\x00\"", `"\u12"`, `"\`, `tru`, `{"a"`, `1e5`, `-0`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		doc, bad := scan(text)
		if bad != nil {
			if bad.code == CodeTooDeep {
				return
			}
			if json.Valid(text) {
				t.Fatalf("refused valid JSON: %s", bad.message)
			}
			if bad.offset < 0 || bad.offset > len(text) || bad.message == "" || bad.fix == "" {
				t.Fatalf("%+v", bad)
			}
			return
		}
		if !json.Valid(text) {
			t.Fatalf("took invalid JSON %q", text)
		}
		for i := range doc.nodes {
			n := &doc.nodes[i]
			if !json.Valid(doc.raw(i)) {
				t.Fatalf("node %d is %q", i, doc.raw(i))
			}
			if n.kind == kindString {
				var want string
				if err := json.Unmarshal(doc.raw(i), &want); err != nil {
					t.Fatal(err)
				}
				if got := doc.text(i); !bytes.Equal(got, []byte(want)) {
					t.Fatalf("%q read as %q, want %q", doc.raw(i), got, want)
				}
			}
			doc.pointer(i)
		}
	})
}

func TestKindString(t *testing.T) {
	if got := (kindString | kindObject).String(); got != "a string or an object" {
		t.Error(got)
	}
}
