package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"aviso.example/apns"
)

const someDevice = "a0b1c2d3e4f5061728394a5b6c7d8e9fa0b1c2d3e4f5061728394a5b6c7d8e9f"

// parseLine parses one line after the given defaults.
func parseLine(t testing.TB, text, defaults string) (*line, error) {
	t.Helper()
	p := &lineParser{}
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
		"payload": {
			line: `{"to":"aa","payload":{"aps":{"alert":"ä\n"} , "a":[1,2.5e3,null,true]},"topic":"com.example.app"}`,
			want: apns.Notification{DeviceToken: "aa", BundleID: "com.example.app", Payload: []byte(`{"aps":{"alert":"ä\n"} , "a":[1,2.5e3,null,true]}`)},
		},
		"parts": {
			line: `{"to":"aa","title":"T","subtitle":"S","body":"B\u0021","badge":0,"sound":"default","category":"C","thread_id":"D","interruption_level":"active","mutable_content":true,"content_available":true,"data":{"k":{"x":1}}}`,
			want: apns.Notification{DeviceToken: "aa", Payload: []byte(`{"aps":{"alert":{"title":"T","subtitle":"S","body":"B!"},"badge":0,"sound":"default","thread-id":"D","category":"C","content-available":1,"mutable-content":1,"interruption-level":"active"},"k":{"x":1}}`)},
		},
		"headers": {
			line: `{"to":"aa","title":"T","bundle_id":"b.c","push_type":"alert","priority":5,"expiration":0,"collapse_id":"x\"y","id":"0190E8F2-6f3a-7c3e-9b1d-2f0a4c5d6e7f"}`,
			want: apns.Notification{DeviceToken: "aa", BundleID: "b.c", PushType: "alert", Priority: 5, Expiration: apns.ExpireImmediately, CollapseID: `x"y`, ID: id, Payload: []byte(`{"aps":{"alert":{"title":"T"}}}`)},
		},
		"full topic":                       {line: `{"to":"aa","topic":"b.c.voip","push_type":"voip","data":{"k":1}}`, want: apns.Notification{DeviceToken: "aa", Topic: "b.c.voip", PushType: "voip", Payload: []byte(`{"k":1}`)}},
		"bundle id":                        {line: `{"to":"aa","topic":"b.c","push_type":"voip","data":{"k":1}}`, want: apns.Notification{DeviceToken: "aa", BundleID: "b.c", PushType: "voip", Payload: []byte(`{"k":1}`)}},
		"escaped key":                      {line: `{"\u0074o":"aa","payload":{}}`, want: apns.Notification{DeviceToken: "aa", Payload: []byte(`{}`)}},
		"clear the badge":                  {line: `{"to":"aa","badge":"clear"}`, want: apns.Notification{DeviceToken: "aa", Payload: []byte(`{"aps":{"badge":0}}`)}},
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
		`{"to":"aa"}`:                                              "there is nothing to send",
		`{"title":"x"}`:                                            `"to" is missing`,
		`{"to":"aa","title":"x","titel":"x"}`:                      `unknown key "titel"; did you mean "title"?`,
		`{"to":"aa","collapseId":"x"}`:                             `did you mean "collapse_id"?`,
		`{"token":"aa"}`:                                           `unknown key "token"; did you mean to?`,
		`{"device_token":"aa","title":"x"}`:                        `unknown key "device_token"; did you mean to?`,
		`{"to":"aa","alert":"x"}`:                                  `did you mean title and body?`,
		`{"to":"aa","zebra":"x"}`:                                  `unknown key "zebra"`,
		`{"to":"aa","to":"bb"}`:                                    `the key "to" is there twice`,
		`{"to":"aa","title":null}`:                                 `"title" is null; leave the key out`,
		`{"to":42}`:                                                `"to" has to be a string, not a number`,
		`{"to":"aa","payload":"{}"}`:                               "the payload was encoded twice",
		`{"to":"aa","payload":[]}`:                                 `"payload" has to be an object, not an array`,
		`{"to":"aa","payload":{},"title":"x"}`:                     `"payload" is the whole payload, so it cannot go with "title"`,
		`{"to":"aa","payload":{},"topic":"a.b","bundle_id":"a.b"}`: "exclude each other",
		`{"to":"aa","title":"x","badge":-1}`:                       `"badge" has to be a number from 0, or clear`,
		`{"to":"aa","title":"x","badge":"7"}`:                      "without quotes",
		`{"to":"aa","title":"x","badge":true}`:                     `"badge" has to be a number or a string, not true`,
		`{"to":"aa","title":"x","mutable_content":1}`:              `"mutable_content" has to be true or false, not a number`,
		`{"to":"aa","title":"x","priority":"10"}`:                  `"priority" has to be a number, not a string`,
		`{"to":"aa","title":"x","priority":7}`:                     `"priority" is 7; it has to be 10`,
		`{"to":"aa","title":"x","priority":1e1}`:                   `"priority" has to be 10, 5 or 1`,
		`{"to":"aa","title":"x","push_type":"silent"}`:             "called background",
		`{"to":"aa","title":"x","expiration":3600}`:                "a time in 1970; for a duration write 3600s",
		`{"to":"aa","title":"x","expiration":1.5}`:                 "whole number of UNIX seconds",
		`{"to":"aa","title":"x","expiration":"soon"}`:              `"expiration" has to be 0`,
		`{"to":"aa","title":"x","expiration":-1}`:                  "cannot be negative",
		`{"to":"aa","title":"x","id":"1"}`:                         `"id" apns-id has to be a UUID`,
		`{"to":"aa","title":"x","data":{"aps":1}}`:                 "which is Apple's",
		`{"to":"aa","title":"x","data":{"a":1,"a":2}}`:             `"data" has the key "a" twice`,
		`{"to":"aa","title":"x"}{"to":"bb"}`:                       "a second object begins at character 24",
		`{"to":"aa","title":"x"} x`:                                "'x' where the end of the line should be",
		`[{"to":"aa"}]`:                                            "an array; a batch has one object on each line",
		`"to"`:                                                     "'\"' where { should be",
		`{'to':'aa'}`:                                              "JSON has double quotes only",
		`{“to”:"aa"}`:                                              "a typographic quote",
		`{"to":"aa",}`:                                             "'}' where a key in double quotes should be",
		`{"to":"aa" "title":"x"}`:                                  "where a comma or } should be",
		"{\"to\":\"a\ta\"}":                                        "a control character inside a string",
		`{"to":"aa", // device`:                                    "JSON has no comments",
		`{"to":"\x"}`:                                              "the rest of an escape",
		`{"to":tru}`:                                               "the rest of true",
		"{\"to\":\"\xff\"}":                                        "not UTF-8",
		`{"defaults":{"topic":"a.b"}}`:                             "defaults can only stand on the first line",
		`{"original":{"original":{"to":"aa"}}}`:                    "either one or the other",
		`{"original":{"to":"aa","payload":{}},"title":"x"}`:        "either one or the other",
		`{"original":42}`:                                          `"original" has to be an object or a string`,
		`{"line":7}`:                                               `unknown key "line"`,
		`{"to":"aa","data":{"a":` + strings.Repeat("[", 600):       "more than 512 levels",
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
		_, err := new(lineParser).readDefaults([]byte(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	// What only mentions the word is an ordinary line.
	if is, err := new(lineParser).readDefaults([]byte(`{"to":"aa","title":"defaults"}`)); is || err != nil {
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
	p := &lineParser{}
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
		p := &lineParser{}
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

// The scanner takes what encoding/json takes.
func FuzzJSONScan(f *testing.F) {
	for _, seed := range []string{`{"a":[1,-0.5e+10,"\u00e4\n",true,false,null,{}]}`, `[]`, ` 1 `, `"`, `{"a"}`, `01`, `-`, `1.`, `1e`, `{,}`, `[1,]`, `nul`, `"\ud800"`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if !utf8.Valid(text) {
			return
		}
		s := jsonScan{data: text}
		_, _, err := s.value(0)
		s.space()
		got := err == nil && s.pos == len(text)
		if want := json.Valid(text); got != want && !strings.Contains(fmt.Sprint(err), "levels") {
			t.Errorf("%q: %v (%v), and %v for encoding/json", text, got, err, want)
		}
	})
}

func BenchmarkBatchLine(b *testing.B) {
	text := []byte(`{"to":"` + someDevice + `","payload":{"aps":{"alert":{"title":"Your order has shipped","body":"It arrives on Thursday between 9 and 12."},"sound":"default"},"order":4711},"topic":"com.example.app"}`)
	p := &lineParser{}
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
