package message

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// The scanner takes what encoding/json takes. Where that would put U+FFFD without
// a word, the value has a flaw: that is all in which the two differ.
func FuzzScan(f *testing.F) {
	for _, seed := range []string{
		`{"a":[1,-0.5e+10,"\u00e4\n",true,false,null,{}]}`, `[]`, ` 1 `, `"`, `{"a"}`, `01`, `-`, `1.`, `1e`, `{,}`, `[1,]`, `nul`, `"\ud800"`,
		`"\ud83d\ude00"`, `"\ude00\ud83d"`, `"\ud83d\ud83d\ude00"`, `"\ud83d\u00"`, `"\ud83d\`, `"\\ud83d"`, `{"\uD83D":[{"a":"\uDE00"}]}`, "[\"\xff\"]", "[\xff]", `"\uzzzz"`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		s := NewScan(text, Line)
		v, err := s.Value()
		s.space()
		got := err == nil && s.pos == len(text)
		if want := json.Valid(text); got != want && !strings.Contains(fmt.Sprint(err), "levels") {
			t.Errorf("%q: %v (%v), and %v for encoding/json", text, got, err, want)
		}
		if !got {
			return
		}
		var want Flaw
		if !utf8.Valid(text) {
			want |= NotUTF8
		}
		if hasHalfPair(string(text)) {
			want |= HalfPair
		}
		if v.Flaw != want || (FlawOf(text) != want) {
			t.Errorf("%q has flaw %b, want %b", text, v.Flaw, want)
		}
	})
}

var escapes = regexp.MustCompile(`\\u([0-9a-fA-F]{4})|\\.`)

// hasHalfPair finds half a surrogate pair in another way than Scan.
func hasHalfPair(text string) bool {
	high := -1 // where the half ends that waits for the other
	for _, at := range escapes.FindAllStringSubmatchIndex(text, -1) {
		var r uint64
		if at[2] >= 0 {
			r, _ = strconv.ParseUint(text[at[2]:at[3]], 16, 32)
		}
		low := r >= 0xdc00 && r < 0xe000
		if low != (high == at[0]) || high >= 0 && high != at[0] {
			return true
		}
		if high = -1; r >= 0xd800 && r < 0xdc00 {
			high = at[1]
		}
	}
	return high >= 0
}
