package payload_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"aviso.example/payload"
	"github.com/rivo/uniseg"
)

func TestShorten(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		limit    int
		want     string // "" means ErrTooLarge
	}{
		{"fits", `{"aps":{"alert":"Hello"}}`, 25, `{"aps":{"alert":"Hello"}}`},
		{"one over", `{"aps":{"alert":"Hello you"}}`, 28, `{"aps":{"alert":"Hello…"}}`},
		{"object, spacing kept", `{ "k" : 1.0, "aps": {"alert" :{"title":"T","body":"abcdefghij"} } }`, 66, `{ "k" : 1.0, "aps": {"alert" :{"title":"T","body":"abcdef…"} } }`},
		{"escapes count as bytes", `{"aps":{"alert":"a\nb\u00e9c\"d\/efgh"}}`, 36, `{"aps":{"alert":"a\nb\u00e9c\"…"}}`},
		{"surrogate pair stays whole", `{"aps":{"alert":"ab\ud83d\ude00cdefgh"}}`, 30, `{"aps":{"alert":"ab…"}}`},
		{"family stays whole", `{"aps":{"alert":"ab👨‍👩‍👧cdefgh"}}`, 36, `{"aps":{"alert":"ab…"}}`},
		{"flag stays whole", `{"aps":{"alert":"🇩🇪🇫🇷🇮🇹"}}`, 40, `{"aps":{"alert":"🇩🇪🇫🇷…"}}`},
		{"combining mark stays on its letter", `{"aps":{"alert":"xe\u0301yzuvw"}}`, 27, `{"aps":{"alert":"x…"}}`},
		{"no space before the ellipsis", `{"aps":{"alert":"Hello \n\t you there"}}`, 34, `{"aps":{"alert":"Hello…"}}`},
		{"body before subtitle", `{"aps":{"alert":{"subtitle":"abcdefgh","body":"ijklmnop"}}}`, 54, `{"aps":{"alert":{"subtitle":"abcdefgh","body":"…"}}}`},
		{"then subtitle", `{"aps":{"alert":{"body":"ijklmnop","subtitle":"abcdefgh"}}}`, 53, `{"aps":{"alert":{"body":"…","subtitle":"abcd…"}}}`},
		{"never the title", `{"aps":{"alert":{"title":"abcdefgh","body":"ijklmnop"}}}`, 45, ""},
		{"short body not replaced", `{"aps":{"alert":{"body":"ab","subtitle":"abcdefgh"}}}`, 50, `{"aps":{"alert":{"body":"ab","subtitle":"ab…"}}}`},
		{"subtitle alone", `{"aps":{"alert":{"subtitle":"abcdefgh"}}}`, 40, `{"aps":{"alert":{"subtitle":"abcd…"}}}`},
		{"nothing to cut", `{"k":"abcdefgh"}`, 10, ""},
		{"aps is no object", `{"aps":"abcdefgh"}`, 10, ""},
		{"body is an object", `{"aps":{"alert":{"body":{"loc-key":"abcdefgh"}}}}`, 10, ""},
		{"limit 0", `{"aps":{"alert":"Hello"}}`, 0, ""},
		{"negative limit", `{"aps":{"alert":"Hello"}}`, -1 << 63, ""},
		{"the last of two counts", `{"aps":{"alert":"first","alert":"abcdefgh"}}`, 41, `{"aps":{"alert":"first","alert":"ab…"}}`},
		{"half a pair", `{"aps":{"alert":"ab\ud800cdefgh"}}`, 32, `{"aps":{"alert":"ab\ud800c…"}}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := payload.Shorten([]byte(tt.in), tt.limit)
			if tt.want == "" {
				if !errors.Is(err, payload.ErrTooLarge) {
					t.Errorf("%s, %v; want ErrTooLarge", got, err)
				}
				return
			}
			if err != nil || string(got) != tt.want {
				t.Errorf("\n got %s, %v\nwant %s", got, err, tt.want)
			}
		})
	}
	for _, in := range []string{``, `[]`, `"x"`, `{"aps":`, "{\"a\":\"\xff\"}", strings.Repeat(" ", 2<<20)} {
		if got, err := payload.Shorten([]byte(in), 4096); err == nil {
			t.Errorf("%.20q: %s, want an error", in, got)
		}
	}
}

func TestAlertShorten(t *testing.T) {
	long := payload.Alert{Title: "T", Subtitle: "S", Body: strings.Repeat("\"👩‍🚀 ", 600), Custom: map[string]int{"id": 7}}
	short, err := long.Shorten(4096)
	if err != nil {
		t.Fatal(err)
	}
	got, err := short.JSON()
	if err != nil {
		t.Fatal(err)
	}
	// The next cluster would have taken at most 13 bytes.
	if len(got) < 4096-13-3 {
		t.Errorf("only %d bytes used", len(got))
	}
	kept, ok := strings.CutSuffix(short.Body, "…")
	if !ok || !strings.HasPrefix(long.Body, kept) || strings.HasSuffix(kept, " ") {
		t.Errorf("body ends in %q", short.Body[len(short.Body)-12:])
	}
	if same, err := short.Shorten(4096); err != nil || !reflect.DeepEqual(same, short) {
		t.Errorf("a second time: %v", err)
	}
	if _, err := (payload.Alert{}).Shorten(4096); err == nil || errors.Is(err, payload.ErrTooLarge) {
		t.Errorf("an empty alert: %v", err)
	}
	big := payload.Alert{Body: "b", Subtitle: "subtitle", Custom: map[string]string{"k": strings.Repeat("x", 4096)}}
	if _, err := big.Shorten(4096); !errors.Is(err, payload.ErrTooLarge) {
		t.Errorf("too many custom keys: %v", err)
	}
	// Shortening the alert and shortening its JSON must agree.
	for limit := range 80 {
		a := payload.Alert{Subtitle: "sub\\title", Body: "a\x01é\"🇩🇪🇫🇷 b c"}
		encoded, err := a.JSON()
		if err != nil {
			t.Fatal(err)
		}
		raw, rawErr := payload.Shorten(encoded, limit)
		short, err := a.Shorten(limit)
		if (err == nil) != (rawErr == nil) {
			t.Fatalf("limit %d: %v, %v", limit, err, rawErr)
		}
		if err != nil {
			continue
		}
		if got, err := short.JSON(); err != nil || string(got) != string(raw) {
			t.Errorf("limit %d: %s, %v; raw %s", limit, got, err, raw)
		}
	}
}

// checkShortened holds a shortened payload against the original.
func checkShortened(t *testing.T, in, out []byte, limit int) {
	t.Helper()
	if len(out) > limit {
		t.Fatalf("%d bytes, limit %d", len(out), limit)
	}
	var before, after map[string]any
	if err := json.Unmarshal(in, &before); err != nil {
		return // numbers that encoding/json cannot hold
	}
	if err := json.Unmarshal(out, &after); err != nil {
		t.Fatalf("not JSON any more: %v\n%q", err, out)
	}
	checkText := func(was, is any) {
		a, _ := was.(string)
		b, _ := is.(string)
		if a == b {
			return
		}
		kept, ok := strings.CutSuffix(b, "…")
		if !ok || !strings.HasPrefix(a, kept) {
			t.Fatalf("%q is no prefix of %q", b, a)
		}
		end := 0
		for g := uniseg.NewGraphemes(a); end < len(kept) && g.Next(); {
			_, end = g.Positions()
		}
		if end != len(kept) {
			t.Fatalf("%q was cut inside a grapheme cluster of %q", b, a)
		}
	}
	beforeAPS, _ := before["aps"].(map[string]any)
	afterAPS, _ := after["aps"].(map[string]any)
	if alert, ok := beforeAPS["alert"].(map[string]any); ok {
		shortened, _ := afterAPS["alert"].(map[string]any)
		for _, key := range []string{"body", "subtitle"} {
			if _, isText := alert[key].(string); isText {
				checkText(alert[key], shortened[key])
				delete(alert, key)
				delete(shortened, key)
			}
		}
	} else if _, ok := beforeAPS["alert"].(string); ok {
		checkText(beforeAPS["alert"], afterAPS["alert"])
		delete(beforeAPS, "alert")
		delete(afterAPS, "alert")
	}
	if !reflect.DeepEqual(before, after) {
		t.Fatalf("something else changed:\n%q\n%q", in, out)
	}
	if utf8.Valid(in) && !utf8.Valid(out) {
		t.Fatal("not UTF-8 any more")
	}
}
