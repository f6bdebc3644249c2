package apns

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"testing"
	"time"
)

func TestNewID(t *testing.T) {
	now := time.UnixMilli(0x0190e8f26f3a)
	var ids []string
	for range 1000 {
		s := newID(now).String()
		if s[:13] != "0190e8f2-6f3a" || s[14] != '7' || s[19] != '8' && s[19] != '9' && s[19] != 'a' && s[19] != 'b' {
			t.Fatalf("%s is not a UUID of version 7 made at that time", s)
		}
		ids = append(ids, s)
	}
	slices.Sort(ids)
	if len(slices.Compact(ids)) != 1000 {
		t.Error("an id came twice")
	}
	if a, b := newID(now), newID(now.Add(time.Millisecond)); a.String() >= b.String() {
		t.Error("ids do not sort by time")
	}
}

func FuzzParseID(f *testing.F) {
	for _, s := range []string{"0190e8f2-6f3a-7c3e-9b1d-2f0a4c5d6e7f", "EABEAE54-14A8-11E5-B60B-1697F925EC7B", "", "x", "0190e8f2-6f3a-7c3e-9b1d-2f0a4c5d6e7", "0190e8f2-6f3a-7c3e-9b1d-2f0a4c5d6e7g", "0190e8f26f3a-7c3e-9b1d-2f0a4c5d6e7f-", "00000000-0000-0000-0000-00-000000000"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, err := ParseID(s)
		if err != nil {
			return
		}
		if text, _ := id.AppendText([]byte("x")); string(text[1:]) != id.String() && !id.IsZero() {
			t.Errorf("AppendText gave %q, String %q", text[1:], id)
		}
		again, err := ParseID(id.String())
		if err != nil || again != id {
			t.Fatalf("%q: %v, %v", s, again, err)
		}
		b, err := json.Marshal(id)
		var back ID
		if err != nil || json.Unmarshal(b, &back) != nil || back != id {
			t.Fatalf("%q does not survive JSON: %s", s, b)
		}
	})
}

// Every reason that internal/proto names has a row with an action, a meaning and
// advice.
func TestReasonTableIsComplete(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../internal/proto/reasons.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	named := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		for _, v := range spec.Values {
			word, err := strconv.Unquote(v.(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			named++
			row, ok := reasonRow[Reason(word)]
			if !ok || row.Action == "" || row.Meaning == "" || row.Advice == "" || row.Status < 400 {
				t.Errorf("%s has no complete row", word)
			}
		}
		return true
	})
	if named != len(reasons) {
		t.Errorf("%d words, %d rows", named, len(reasons))
	}
}

func TestLookupReason(t *testing.T) {
	if info, ok := LookupReason("baddevicetoken"); !ok || info.Reason != ReasonBadDeviceToken {
		t.Errorf("%+v", info)
	}
	if _, ok := LookupReason("NoSuchReason"); ok {
		t.Error("found")
	}
}

// A heads cache under attack by ever-new topics stays bounded and correct.
func TestHeadsAreBounded(t *testing.T) {
	var h heads
	full := map[headKey]head{} // each that is added costs a copy, so most are here before
	for i := range maxHeads - 10 {
		full[headKey{topic: strconv.Itoa(i)}] = head{}
	}
	h.known.Store(&full)
	for i := range 20 {
		n := &Notification{BundleID: "com.example.app" + strconv.Itoa(i), PushType: PushTypeVoIP}
		hd, problems := h.get(n, "")
		if len(problems) > 0 || string(hd.head.Fields()[2].Value) != n.BundleID+".voip" {
			t.Fatal(problems)
		}
	}
	if n := len(*h.known.Load()); n != maxHeads {
		t.Errorf("%d heads are remembered", n)
	}
}
