package payload_test

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	"aviso.example/payload"
)

// buildTest is one payload with its exact JSON or the paths of its problems.
type buildTest struct {
	name     string
	payload  payload.Payload
	want     string
	problems []string // paths, in order
}

func runBuildTests(t *testing.T, tests []buildTest) {
	t.Helper()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.payload.JSON()
			if len(tt.problems) > 0 {
				invalid, ok := errors.AsType[*payload.InvalidError](err)
				if !ok {
					t.Fatalf("JSON() = %s, %v; want an *InvalidError", got, err)
				}
				if got != nil {
					t.Errorf("JSON() returned bytes with its error")
				}
				var paths []string
				for _, p := range invalid.Problems {
					paths = append(paths, p.Path)
					if p.Message == "" {
						t.Errorf("%s: no message", p.Path)
					}
				}
				if strings.Join(paths, " ") != strings.Join(tt.problems, " ") {
					t.Errorf("problems at %q, want %q\n%v", paths, tt.problems, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != tt.want {
				t.Errorf("\n got %s\nwant %s", got, tt.want)
			}
			if !json.Valid(got) {
				t.Error("not valid JSON")
			}
			for _, f := range payload.Lint(tt.payload.PushType(), got) {
				if f.Severity != payload.Suspicious {
					t.Errorf("a built payload has the finding %v", f)
				}
			}
		})
	}
}

func TestAlert(t *testing.T) {
	runBuildTests(t, []buildTest{
		{name: "body", payload: payload.Alert{Body: "hi"}, want: `{"aps":{"alert":{"body":"hi"}}}`},
		{name: "pointer", payload: &payload.Alert{Body: "hi"}, want: `{"aps":{"alert":{"body":"hi"}}}`},
		{
			name: "everything",
			payload: payload.Alert{
				Title: "T", Subtitle: "S", Body: "B", LaunchImage: "L", Badge: payload.SetBadge(9),
				Sound: payload.DefaultSound(), ThreadID: "t", Category: "c", ContentAvailable: true, MutableContent: true,
				TargetContentID: "w", InterruptionLevel: payload.InterruptionTimeSensitive, RelevanceScore: new(0.25),
				FilterCriteria: "f", Custom: map[string]any{"b": 2, "a": []int{1}},
			},
			want: `{"aps":{"alert":{"title":"T","subtitle":"S","body":"B","launch-image":"L"},"badge":9,"sound":"default",` +
				`"thread-id":"t","category":"c","content-available":1,"mutable-content":1,"target-content-id":"w",` +
				`"interruption-level":"time-sensitive","relevance-score":0.25,"filter-criteria":"f"},"a":[1],"b":2}`,
		},
		{
			name: "localised",
			payload: payload.Alert{TitleLocKey: "T", TitleLocArgs: []string{"a", "b"}, SubtitleLocKey: "S",
				SubtitleLocArgs: []string{"c"}, LocKey: "B", LocArgs: []string{"d"}},
			want: `{"aps":{"alert":{"title-loc-key":"T","title-loc-args":["a","b"],"subtitle-loc-key":"S",` +
				`"subtitle-loc-args":["c"],"loc-key":"B","loc-args":["d"]}}}`,
		},
		{name: "badge alone", payload: payload.Alert{Badge: payload.ClearBadge()}, want: `{"aps":{"badge":0}}`},
		{name: "sound alone", payload: payload.Alert{Sound: payload.NamedSound("a.caf")}, want: `{"aps":{"sound":"a.caf"}}`},
		{
			name:    "critical",
			payload: payload.Alert{Body: "b", Sound: payload.CriticalSound("default", 0.5)},
			want:    `{"aps":{"alert":{"body":"b"},"sound":{"critical":1,"name":"default","volume":0.5}}}`,
		},
		{
			name:    "escapes",
			payload: payload.Alert{Body: "\"\\/\b\f\n\r\t\x00\x1f\x7f<&>\u2028é🇩🇪"},
			want:    `{"aps":{"alert":{"body":"\"\\/\b\f\n\r\t\u0000\u001f` + "\x7f<&>\u2028é🇩🇪" + `"}}}`,
		},
		{name: "custom struct", payload: payload.Alert{Body: "b", Custom: struct {
			ID   int `json:"id"`
			HTML string
		}{7, "<b>"}}, want: `{"aps":{"alert":{"body":"b"}},"id":7,"HTML":"<b>"}`},
		{name: "custom raw", payload: payload.Alert{Body: "b", Custom: json.RawMessage(` { "k" : [ 1 ] } `)}, want: `{"aps":{"alert":{"body":"b"}},"k":[1]}`},
		{name: "custom empty", payload: payload.Alert{Body: "b", Custom: struct{}{}}, want: `{"aps":{"alert":{"body":"b"}}}`},
		{name: "custom nil map", payload: payload.Alert{Body: "b", Custom: map[string]any(nil)}, want: `{"aps":{"alert":{"body":"b"}}}`},
		{name: "score 0", payload: payload.Alert{Body: "b", RelevanceScore: new(0.0)}, want: `{"aps":{"alert":{"body":"b"},"relevance-score":0}}`},

		{name: "nothing", payload: payload.Alert{}, problems: []string{"/aps"}},
		{name: "silent", payload: payload.Alert{ContentAvailable: true}, problems: []string{"/aps"}},
		{name: "mutable without text", payload: payload.Alert{Badge: payload.SetBadge(1), MutableContent: true}, problems: []string{"/aps/mutable-content"}},
		{
			name: "every contradiction at once",
			payload: payload.Alert{
				Title: "a", TitleLocKey: "b", SubtitleLocArgs: []string{"x"}, Body: "\xff", Badge: payload.SetBadge(-1),
				Sound: payload.CriticalSound("", 70), InterruptionLevel: payload.InterruptionPassive,
				RelevanceScore: new(50.0), Custom: map[string]any{"aps": 1},
			},
			problems: []string{"/aps/alert/title", "/aps/alert/subtitle-loc-args", "/aps/alert/body", "/aps/badge",
				"/aps/sound/name", "/aps/sound/volume", "/aps/sound", "/aps/interruption-level", "/aps/relevance-score", "/aps"},
		},
		{name: "level", payload: payload.Alert{Body: "b", InterruptionLevel: "urgent"}, problems: []string{"/aps/interruption-level"}},
		{name: "NaN", payload: payload.Alert{Body: "b", RelevanceScore: new(math.NaN())}, problems: []string{"/aps/relevance-score"}},
		{name: "NaN volume", payload: payload.Alert{Body: "b", Sound: payload.CriticalSound("x", math.NaN())}, problems: []string{"/aps/sound/volume", "/aps/sound/volume"}},
		{name: "bad argument", payload: payload.Alert{LocKey: "k", LocArgs: []string{"ok", "\xc3"}}, problems: []string{"/aps/alert/loc-args/1"}},
		{name: "custom array", payload: payload.Alert{Body: "b", Custom: []int{1}}, problems: []string{""}},
		{name: "custom bytes", payload: payload.Alert{Body: "b", Custom: []byte(`{}`)}, problems: []string{""}},
		{name: "custom channel", payload: payload.Alert{Body: "b", Custom: map[string]any{"c": make(chan int)}}, problems: []string{""}},
		{name: "custom infinity", payload: payload.Alert{Body: "b", Custom: map[string]any{"c": math.Inf(1)}}, problems: []string{""}},
		{name: "custom broken raw", payload: payload.Alert{Body: "b", Custom: json.RawMessage(`{`)}, problems: []string{""}},
		{name: "custom twice", payload: payload.Alert{Body: "b", Custom: json.RawMessage(`{"a":{"x":1,"x":2}}`)}, problems: []string{"/a/x"}},
		{name: "custom surrogate", payload: payload.Alert{Body: "b", Custom: json.RawMessage(`{"a":"\ud800"}`)}, problems: []string{"/a"}},
		{name: "custom huge number", payload: payload.Alert{Body: "b", Custom: map[string]any{"a": json.Number("1e999")}}, problems: []string{"/a"}},
		{name: "too large", payload: payload.Alert{Body: strings.Repeat("x", 4096)}, problems: []string{""}},
	})
}

func TestSizes(t *testing.T) {
	// The wrapping of an alert with nothing but a body.
	const wrapping = len(`{"aps":{"alert":{"body":""}}}`)
	fits := payload.Alert{Body: strings.Repeat("x", 4096-wrapping)}
	if got, err := fits.JSON(); err != nil || len(got) != 4096 {
		t.Errorf("4096 bytes: %d, %v", len(got), err)
	}
	over := payload.Alert{Body: fits.Body + "x"}
	_, err := over.JSON()
	if !errors.Is(err, payload.ErrTooLarge) {
		t.Errorf("4097 bytes: %v, want ErrTooLarge", err)
	}
	if want := "4097 bytes of JSON, 1 more than the limit of 4096"; !strings.Contains(err.Error(), want) {
		t.Errorf("%q does not say %q", err, want)
	}
	if _, err := (payload.Alert{}).JSON(); errors.Is(err, payload.ErrTooLarge) {
		t.Error("an empty alert is not too large")
	}
	voip := func(n int) payload.VoIP {
		return payload.VoIP{Custom: map[string]string{"k": strings.Repeat("x", n-len(`{"k":""}`))}}
	}
	if _, err := voip(5120).JSON(); err != nil {
		t.Errorf("voip of 5120 bytes: %v", err)
	}
	if _, err := voip(5121).JSON(); !errors.Is(err, payload.ErrTooLarge) {
		t.Errorf("voip of 5121 bytes: %v", err)
	}
	if payload.MaxSize(payload.PushTypeVoIP) != 5120 || payload.MaxSize("") != 4096 {
		t.Error("MaxSize")
	}
}

func TestErrorsKeepTextsOut(t *testing.T) {
	const secret = "Ann is ill"
	_, err := payload.Alert{
		Title: secret + "\xff", TitleLocKey: secret, TitleLocArgs: []string{secret + "\xff"},
		InterruptionLevel: secret, Custom: failingMarshaler{secret},
	}.JSON()
	if err == nil || strings.Contains(err.Error(), secret) {
		t.Errorf("error repeats a text: %v", err)
	}
	for _, body := range []string{`{"aps":{"alert":"` + secret + `}`, `"` + secret + `"`, `{"aps":` + secret} {
		if _, err := payload.ParseRaw("", []byte(body)); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("error repeats a text: %v", err)
		}
		for _, f := range payload.Lint("alert", []byte(body)) {
			if strings.Contains(f.String(), secret) {
				t.Errorf("finding repeats a text: %v", f)
			}
		}
	}
}

type failingMarshaler struct{ text string }

func (f failingMarshaler) MarshalJSON() ([]byte, error) { return nil, errors.New(f.text) }

func TestAppendJSONKeepsPrefix(t *testing.T) {
	prefix := []byte("prefix")
	got, err := payload.Alert{Body: "b"}.AppendJSON(prefix)
	if err != nil || string(got) != `prefix{"aps":{"alert":{"body":"b"}}}` {
		t.Errorf("%s, %v", got, err)
	}
	got, err = payload.Alert{}.AppendJSON(prefix)
	if err == nil || string(got) != "prefix" {
		t.Errorf("on error: %s, %v", got, err)
	}
}

func TestBadgeAndSoundValues(t *testing.T) {
	for _, tt := range []struct {
		badge payload.Badge
		n     int
		ok    bool
		s     string
	}{
		{payload.Badge{}, 0, false, "keep"}, {payload.KeepBadge(), 0, false, "keep"}, {payload.ClearBadge(), 0, true, "clear"},
		{payload.SetBadge(0), 0, true, "clear"}, {payload.SetBadge(3), 3, true, "3"},
	} {
		if n, ok := tt.badge.Value(); n != tt.n || ok != tt.ok || tt.badge.String() != tt.s {
			t.Errorf("%v: %d %v, want %s", tt.badge, n, ok, tt.s)
		}
	}
	if !(payload.Sound{}).IsZero() || !payload.NamedSound("").IsZero() || payload.DefaultSound().IsZero() {
		t.Error("IsZero")
	}
	if !payload.CriticalSound("x", 1).IsCritical() || payload.DefaultSound().IsCritical() {
		t.Error("IsCritical")
	}
}
