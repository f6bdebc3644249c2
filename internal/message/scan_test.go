package message

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

// The scanner takes what encoding/json takes.
func FuzzScan(f *testing.F) {
	for _, seed := range []string{`{"a":[1,-0.5e+10,"\u00e4\n",true,false,null,{}]}`, `[]`, ` 1 `, `"`, `{"a"}`, `01`, `-`, `1.`, `1e`, `{,}`, `[1,]`, `nul`, `"\ud800"`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if !utf8.Valid(text) {
			return
		}
		s := NewScan(text, Line)
		_, err := s.Value()
		s.space()
		got := err == nil && s.pos == len(text)
		if want := json.Valid(text); got != want && !strings.Contains(fmt.Sprint(err), "levels") {
			t.Errorf("%q: %v (%v), and %v for encoding/json", text, got, err, want)
		}
	})
}
