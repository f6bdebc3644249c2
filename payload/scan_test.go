package payload

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"aviso.example/internal/proto"
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

// TestTypeSetFollowsTheTable fails when a push type joins proto.TypeRules and
// the bits here no longer stand for the rows there.
func TestTypeSetFollowsTheTable(t *testing.T) {
	want := map[PushType]typeSet{
		PushTypeAlert: inAlert, PushTypeBackground: inBackground, PushTypeComplication: inComplication,
		PushTypeControls: inControls, PushTypeFileProvider: inFileProvider, PushTypeLiveActivity: inLiveActivity,
		PushTypeLocation: inLocation, PushTypeMDM: inMDM, PushTypePushToTalk: inPushToTalk, PushTypeVoIP: inVoIP,
		PushTypeWidgets: inWidgets,
	}
	for _, rule := range proto.TypeRules {
		if setOf(rule.Type) != want[rule.Type] {
			t.Errorf("%s has the bit %b, want %b", rule.Type, setOf(rule.Type), want[rule.Type])
		}
		// Where Apple needs aps, withoutAPS must say so.
		if found := len(Lint(rule.Type, []byte(`{"k":1}`))) > 0; rule.NeedsAPS && !found {
			t.Errorf("%s without aps passes", rule.Type)
		}
	}
	if inAny != 1<<len(proto.TypeRules)-1 {
		t.Errorf("%d push types, but the full set is %b", len(proto.TypeRules), inAny)
	}
}

func TestPointer(t *testing.T) {
	long := strings.Repeat("ü", 100)
	doc, bad := scan([]byte(`{"a/b~c":[0,{"line\nbreak":{"` + long + `":1}}]}`))
	if bad != nil {
		t.Fatal(bad.message)
	}
	want := "/a~1b~0c/1/line\ufffdbreak/" + strings.Repeat("ü", 32) + "…"
	if got := doc.pointer(len(doc.nodes) - 1); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	deep, bad := scan([]byte(strings.Repeat(`{"`+long+`":`, 500) + "1" + strings.Repeat("}", 500)))
	if bad != nil {
		t.Fatal(bad.message)
	}
	if got := deep.pointer(len(deep.nodes) - 1); len(got) > 1000 || !strings.HasSuffix(got, "/…") {
		t.Errorf("a pointer of %d bytes", len(got))
	}
}

// TestOneSlip is the measure of what counts as misspelled.
func TestOneSlip(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{"badge", "badges", true}, {"badges", "badge", true}, {"bagde", "badge", true}, {"badgf", "badge", true}, {"xadge", "badge", true},
		{"adge", "badge", true}, {"badge", "badge", false}, {"bad", "badge", false}, {"bxdgx", "badge", false}, {"", "a", true},
	} {
		if got := oneSlip(tt.a, tt.b); got != tt.want {
			t.Errorf("%q, %q: %v", tt.a, tt.b, got)
		}
	}
}
