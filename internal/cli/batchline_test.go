package cli

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"aviso.example/apns"
	"aviso.example/internal/message"
)

const someDevice = "a0b1c2d3e4f5061728394a5b6c7d8e9fa0b1c2d3e4f5061728394a5b6c7d8e9f"

// parseLine parses one line after the given defaults.
func parseLine(t testing.TB, text, defaults string) (*line, error) {
	t.Helper()
	p := newLineParser(new(message.Message))
	if defaults != "" {
		is, err := p.readDefaults([]byte(defaults))
		if err != nil || !is {
			t.Fatalf("defaults: %v %v", is, err)
		}
	}
	l := &line{text: []byte(text)}
	l.original = l.text
	return l, p.parse(l)
}

func TestBatchLine(t *testing.T) {
	id, err := apns.ParseID("0190e8f2-6f3a-7c3e-9b1d-2f0a4c5d6e7f")
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		line, defaults string
		want           apns.Notification
	}{
		"defaults":                         {line: `{"to":"aa","body":"B"}`, defaults: `{"defaults":{"title":"T","topic":"b.c","priority":5}}`, want: apns.Notification{DeviceToken: "aa", BundleID: "b.c", Priority: 5, Payload: []byte(`{"aps":{"alert":{"title":"T","body":"B"}}}`)}},
		"defaults are overruled":           {line: `{"to":"aa","title":"U","bundle_id":"d.e","priority":10}`, defaults: `{"defaults":{"title":"T","topic":"b.c","priority":5}}`, want: apns.Notification{DeviceToken: "aa", BundleID: "d.e", Priority: 10, Payload: []byte(`{"aps":{"alert":{"title":"U"}}}`)}},
		"payload overrules default parts":  {line: `{"to":"aa","payload":{"x":1}}`, defaults: `{"defaults":{"title":"T"}}`, want: apns.Notification{DeviceToken: "aa", Payload: []byte(`{"x":1}`)}},
		"parts overrule a default payload": {line: `{"to":"aa","title":"T"}`, defaults: `{"defaults":{"payload":{"x":1}}}`, want: apns.Notification{DeviceToken: "aa", Payload: []byte(`{"aps":{"alert":{"title":"T"}}}`)}},
		"default payload":                  {line: `{"to":"aa"}`, defaults: ` {"defaults" : {"payload":{"x":1}}} `, want: apns.Notification{DeviceToken: "aa", Payload: []byte(`{"x":1}`)}},
		"failure": {
			line: `{"line":7,"device_token":"aa","outcome":"unknown","error":"x","apns_id":"0190e8f2-6f3a-7c3e-9b1d-2f0a4c5d6e7f","original":{"to":"aa","payload":{}}}`,
			want: apns.Notification{DeviceToken: "aa", ID: id, Payload: []byte(`{}`)},
		},
		"failure, as text": {line: `{"line":7,"original":"{\"to\":\"aa\",\"payload\":{}}"}`, want: apns.Notification{DeviceToken: "aa", Payload: []byte(`{}`)}},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := parseLine(t, test.line, test.defaults)
			if err != nil {
				t.Fatal(err)
			}
			got := l.notification
			got.Tag = nil
			if diff := cmp.Diff(test.want, got, cmp.Comparer(func(a, b apns.Expiration) bool { return a == b })); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestBatchLineRelativeExpiration(t *testing.T) {
	l, err := parseLine(t, `{"to":"aa","payload":{}}`, `{"defaults":{"expiration":"2h"}}`)
	if err != nil {
		t.Fatal(err)
	}
	at, ok := l.notification.Expiration.Time()
	if left := time.Until(at); !ok || left < 2*time.Hour-2*time.Second || left > 2*time.Hour {
		t.Errorf("expires in %v", left)
	}
}

func TestBadBatchLines(t *testing.T) {
	for text, want := range map[string]string{
		`{"to":"aa"}`:                                       "there is nothing to send",
		`{"title":"x"}`:                                     `"to" is missing`,
		`{"to":"aa","title":"x"}{"to":"bb"}`:                "a second object begins at character 24",
		`[{"to":"aa"}]`:                                     "an array; a batch has one object on each line",
		`{"defaults":{"topic":"a.b"}}`:                      "defaults can only stand on the first line",
		`{"original":{"original":{"to":"aa"}}}`:             "either one or the other",
		`{"original":{"to":"aa","payload":{}},"title":"x"}`: "either one or the other",
		`{"original":42}`:                                   `"original" has to be an object or a string`,
		`{"line":7}`:                                        `unknown key "line"`,
	} {
		_, err := parseLine(t, text, "")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80s: %v, want %q", text, err, want)
		}
	}
}

func TestBadDefaults(t *testing.T) {
	for text, want := range map[string]string{
		`{"defaults":{"topik":"a.b"}}`:                  `unknown key "topik"; did you mean "topic"?`,
		`{"defaults":{"to":"aa"}}`:                      "each line needs its own",
		`{"defaults":{"id":"aa"}}`:                      "each line needs its own",
		`{"defaults":[]}`:                               `"defaults" has to be an object, not an array`,
		`{"defaults":{},"to":"aa"}`:                     `"to" stands beside "defaults"`,
		`{"defaults":{"title":"x","payload":{}}}`:       "the whole payload",
		`{"defaults":{"title":"x"`:                      "cut off",
		`{"defaults":{"priority":5,"priority":10}}`:     "twice",
		`{"defaults":{"topic":"a.b"}}{"defaults":{}}`:   "a second object",
		`{"defaults":{"topic":"a"},"defaults":{"x":1}}`: "twice",
	} {
		_, err := newLineParser(new(message.Message)).readDefaults([]byte(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	// What only mentions the word is an ordinary line.
	if is, err := newLineParser(new(message.Message)).readDefaults([]byte(`{"to":"aa","title":"defaults"}`)); is || err != nil {
		t.Errorf("%v %v", is, err)
	}
}

// No beginning of a line is a line.
func TestTruncatedBatchLine(t *testing.T) {
	whole := `{"to":"` + someDevice + `","payload":{"aps":{"alert":"\u00e4é"},"n":[-1.5e+3,true,false,null,{}]},"priority":10,"collapse_id":"x","expiration":"1h"}`
	if _, err := parseLine(t, whole, ""); err != nil {
		t.Fatal(err)
	}
	for n := range len(whole) {
		if _, err := parseLine(t, whole[:n], ""); err == nil {
			t.Errorf("accepted the first %d bytes: %s", n, whole[:n])
		}
	}
	p := newLineParser(new(message.Message))
	defaults := `{"defaults":{"topic":"com.example.app","payload":{"aps":{}}}}`
	for n := range len(defaults) {
		if is, err := p.readDefaults([]byte(defaults[:n])); is && err == nil {
			t.Errorf("accepted the first %d bytes: %s", n, defaults[:n])
		}
	}
}

func FuzzBatchLine(f *testing.F) {
	for _, seed := range []string{
		`{"to":"aa","payload":{"aps":{"alert":"x"}}}`,
		`{"to":"aa","title":"T","badge":"clear","data":{"k":[1,2]},"expiration":"7d","priority":5}`,
		`{"line":7,"original":{"to":"aa","payload":{}},"apns_id":"x"}`,
		`{"line":7,"original":"{\"to\":\"aa\",\"title\":\"\\u0041\"}"}`,
		`{"defaults":{"topic":"a.b","payload":{}}}`,
		`{"\u0074o":"a\u0061","body":"\ud83d\ude00","push_type":"background"}`,
		`{"to":"aa"}{"to":"bb"}`, `[]`, `{"to":"`, "{\"to\":\"\xff\"}", ``,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		p := newLineParser(new(message.Message))
		if is, err := p.readDefaults(bytes.Clone(text)); is && err == nil && !json.Valid(text) {
			t.Fatalf("took defaults that are not JSON: %q", text)
		}
		l := &line{text: bytes.Clone(text)}
		l.original = l.text
		if err := p.parse(l); err != nil {
			if strings.ContainsAny(err.Error(), "\n") {
				t.Errorf("the error has several lines: %q", err)
			}
			return
		}
		if !json.Valid(l.text) || !json.Valid(l.original) || !json.Valid(l.notification.Payload) {
			t.Fatalf("took what is not JSON: %q", text)
		}
		var reference struct {
			To         string          `json:"to"`
			CollapseID string          `json:"collapse_id"`
			Payload    json.RawMessage `json:"payload"`
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal(l.original, &members); err != nil {
			t.Fatal(err)
		}
		// encoding/json would match keys in any case; ours are exact.
		exact, _ := json.Marshal(map[string]json.RawMessage{"to": members["to"], "collapse_id": members["collapse_id"], "payload": members["payload"]})
		if err := json.Unmarshal(exact, &reference); err != nil {
			t.Fatal(err)
		}
		if reference.To != l.notification.DeviceToken {
			t.Errorf("to is %q, and %q for encoding/json", l.notification.DeviceToken, reference.To)
		}
		if members["collapse_id"] != nil && reference.CollapseID != l.notification.CollapseID {
			t.Errorf("collapse_id is %q, and %q for encoding/json", l.notification.CollapseID, reference.CollapseID)
		}
		if raw := members["payload"]; raw != nil && !bytes.Equal(raw, l.notification.Payload) {
			t.Errorf("payload is %q, and %q for encoding/json", l.notification.Payload, raw)
		}
	})
}

func BenchmarkBatchLine(b *testing.B) {
	text := []byte(`{"to":"` + someDevice + `","payload":{"aps":{"alert":{"title":"Your order has shipped","body":"It arrives on Thursday between 9 and 12."},"sound":"default"},"order":4711},"topic":"com.example.app"}`)
	p := newLineParser(new(message.Message))
	l := &line{}
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		l.text = append(l.text[:0], text...)
		l.original = l.text
		if err := p.parse(l); err != nil {
			b.Fatal(err)
		}
	}
}

// A wrong value of a line hides no other and invents none.
func TestWrongValuesOfLines(t *testing.T) {
	for text, want := range map[string]string{
		`{"to":5,"badge":"x","priority":7,"title":"x"}`: `"to" has to be a string, not a number; "badge" has to be a number from 0, or clear; "priority" is 7; it has to be 10 (at once), 5 (mind the device's power) or 1 (never wake the device)`,
		`{"badge":"x","titel":"y"}`:                     `"badge" has to be a number from 0, or clear; unknown key "titel"; did you mean "title"?; "to" is missing: the device token to send to`,
		`{"to":"aa","push_type":"silent","data":null}`:  `"push_type" "silent" is not a push type; silent pushes are called background; "data" is null; leave the key out`,
		`{"to":"xyz","title":5}`:                        `"title" has to be a string, not a number; "to" has a wrong character at position 1 of 3: a device token is hexadecimal digits only`,
		`{"original":{"to":5,"title":5}}`:               `"to" has to be a string, not a number; "title" has to be a string, not a number`,
		`{"original":5,"title":5}`:                      `"original" has to be an object or a string, not a number; "title" has to be a string, not a number`,
	} {
		if _, err := parseLine(t, text, ""); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	_, err := newLineParser(new(message.Message)).readDefaults([]byte("{\"defaults\":{\"title\":\"caf\xe9\",\"to\":\"aa\",\"priority\":7}}"))
	for _, want := range []string{`"title" has bytes that are not UTF-8`, "each line needs its own", `"priority" is 7`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
