package message

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"aviso.example/apns"
	"aviso.example/internal/suggest"
)

var someTime = time.Unix(1_900_000_000, 0)

// read does all that makes a notification of a text.
func read(p *Parser, text string) (n apns.Notification, err error) {
	var m Message
	if err := p.Read(&m, []byte(text)); err != nil {
		return n, err
	}
	if err := p.Merge(&m); err != nil {
		return n, err
	}
	m.Fill(&n, someTime)
	n.Payload, err = m.AppendPayload(nil, KeyName)
	return n, err
}

func TestRead(t *testing.T) {
	id, err := apns.ParseID("0190e8f2-6f3a-7c3e-9b1d-2f0a4c5d6e7f")
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		text, defaults string
		want           apns.Notification
	}{
		"payload": {
			text: `{"to":"aa","payload":{"aps":{"alert":"ä\n"} , "a":[1,2.5e3,null,true]},"topic":"com.example.app"}`,
			want: apns.Notification{DeviceToken: "aa", BundleID: "com.example.app", Payload: []byte(`{"aps":{"alert":"ä\n"} , "a":[1,2.5e3,null,true]}`)},
		},
		"parts": {
			text: `{"to":"aa","title":"T","subtitle":"S","body":"B\u0021","badge":0,"sound":"default","category":"C","thread_id":"D","interruption_level":"active","mutable_content":true,"content_available":true,"data":{"k":{"x":1}}}`,
			want: apns.Notification{DeviceToken: "aa", Payload: []byte(`{"aps":{"alert":{"title":"T","subtitle":"S","body":"B!"},"badge":0,"sound":"default","thread-id":"D","category":"C","content-available":1,"mutable-content":1,"interruption-level":"active"},"k":{"x":1}}`)},
		},
		"headers": {
			text: `{"to":"aa","title":"T","bundle_id":"b.c","push_type":"alert","priority":5,"expiration":0,"collapse_id":"x\"y","id":"0190E8F2-6f3a-7c3e-9b1d-2f0a4c5d6e7f"}`,
			want: apns.Notification{DeviceToken: "aa", BundleID: "b.c", PushType: "alert", Priority: 5, Expiration: apns.ExpireImmediately, CollapseID: `x"y`, ID: id, Payload: []byte(`{"aps":{"alert":{"title":"T"}}}`)},
		},
		"full topic":                     {text: `{"to":"aa","topic":"b.c.voip","push_type":"voip","data":{"k":1}}`, want: apns.Notification{DeviceToken: "aa", Topic: "b.c.voip", PushType: "voip", Payload: []byte(`{"k":1}`)}},
		"bundle id":                      {text: `{"to":"aa","topic":"b.c","push_type":"voip","data":{"k":1}}`, want: apns.Notification{DeviceToken: "aa", BundleID: "b.c", PushType: "voip", Payload: []byte(`{"k":1}`)}},
		"escaped key":                    {text: `{"\u0074o":"aa","payload":{}}`, want: apns.Notification{DeviceToken: "aa", Payload: []byte(`{}`)}},
		"clear the badge":                {text: `{"to":"aa","badge":"clear"}`, want: apns.Notification{DeviceToken: "aa", Payload: []byte(`{"aps":{"badge":0}}`)}},
		"in an hour":                     {text: `{"to":"aa","payload":{},"expiration":"1h"}`, want: apns.Notification{DeviceToken: "aa", Payload: []byte(`{}`), Expiration: apns.ExpireAt(someTime.Add(time.Hour))}},
		"over defaults":                  {text: `{"to":"aa","body":"B","bundle_id":"d.e","mutable_content":false}`, defaults: `{"title":"T","topic":"b.c","push_type":"alert","mutable_content":true}`, want: apns.Notification{DeviceToken: "aa", BundleID: "d.e", PushType: "alert", Payload: []byte(`{"aps":{"alert":{"title":"T","body":"B"}}}`)}},
		"topic over a default bundle id": {text: `{"to":"aa","topic":"b.c.voip"}`, defaults: `{"bundle_id":"d.e","push_type":"voip","payload":{}}`, want: apns.Notification{DeviceToken: "aa", Topic: "b.c.voip", PushType: "voip", Payload: []byte(`{}`)}},
	} {
		t.Run(name, func(t *testing.T) {
			var p Parser
			if test.defaults != "" {
				var defaults Message
				if err := p.Read(&defaults, []byte(test.defaults)); err != nil {
					t.Fatal(err)
				}
				p.Defaults = defaults
			}
			got, err := read(&p, test.text)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got, cmp.Comparer(func(a, b apns.Expiration) bool { return a == b })); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestReadRefuses(t *testing.T) {
	for text, want := range map[string]string{
		`{"to":"aa","title":"x","titel":"x"}`:                      `unknown key "titel"; did you mean "title"?`,
		`{"to":"aa","collapseId":"x"}`:                             `did you mean "collapse_id"?`,
		`{"token":"aa"}`:                                           `unknown key "token"; did you mean to?`,
		`{"device_token":"aa","title":"x"}`:                        `unknown key "device_token"; did you mean to?`,
		`{"to":"aa","alert":"x"}`:                                  `did you mean title and body?`,
		`{"to":"aa","zebra":"x"}`:                                  `unknown key "zebra"`,
		`{"to":"aa","to":"bb"}`:                                    `"to" is there twice`,
		`{"to":"aa","title":null}`:                                 `"title" is null; leave the key out`,
		`{"sound":{"critical":1,"name":"x"}}`:                      `"sound" has to be a string, not an object; a critical sound is given in payload`,
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
		`{"to":"aa","title":"x"} x`:                                "'x' where the end of the line should be",
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
		`{"to":"aa","data":{"a":` + strings.Repeat("[", 600):       "more than 512 levels",
		`{"to":"aa","title":"x","interruption_level":"aktive"}`:    `did you mean "active"?`,
		`{"to":"aa","data":{"k":1},"push_type":"widgets"}`:         "carries nothing of the app's",
		`{"to":"aa","title":"x","push_type":"voip"}`:               `cannot have "title"`,
		`{"to":"aa","title":"x","push_type":"liveactivity"}`:       `needs "payload"`,
	} {
		var p Parser
		if _, err := read(&p, text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80s: %v, want %q", text, err, want)
		}
	}
}

// A caller can have keys of its own, and read ours in its own way.
func TestKey(t *testing.T) {
	var app string
	var to []string
	p := Parser{What: "request", OtherKeys: []string{"app", "to_all"}}
	p.Key = func(key string, field Field, s *Scan) (bool, error) {
		switch key {
		case "app":
			value, err := s.Value()
			if err == nil {
				app, err = value.Text(key)
			}
			return true, err
		case "to":
			kind, err := s.Peek()
			if kind != KindArray {
				return false, err
			}
			return true, s.Elements(func() error {
				value, err := s.Value()
				if err != nil {
					return err
				}
				deviceToken, err := value.Text(fmt.Sprintf("to[%d]", len(to)))
				to = append(to, deviceToken)
				return err
			})
		case "id":
			return false, errors.New("no ids here")
		}
		if (field == 0) == slices.Contains(Keys(), key) {
			t.Errorf("key %q is part %d", key, field)
		}
		return false, nil
	}
	for text, want := range map[string][]string{
		`{"app":"shop", "to" : [ "aa" , "bb" ] , "title":"x"}`: {"aa", "bb"},
		`{"to":[],"title":"x","app":"shop"}`:                   nil,
		`{"app":"shop","to":"cc","title":"x"}`:                 {"cc"},
	} {
		app, to = "", nil
		var m Message
		err := p.Read(&m, []byte(text))
		if m.To != "" {
			to = append(to, m.To)
		}
		if err != nil || app != "shop" || m.Given != FieldTo|FieldTitle || !slices.Equal(to, want) {
			t.Errorf("%s: %v, app %q, to %q, given %b", text, err, app, to, m.Given)
		}
	}
	for text, want := range map[string]string{
		`{"to":["aa",7]}`:               `"to[1]" has to be a string, not a number`,
		`{"to":["aa" "bb"]}`:            "where a comma or ] should be",
		`{"to":["aa"],"to":["bb"]}`:     `"to" is there twice`,
		`{"to":null}`:                   `"to" is null`,
		`{"to":`:                        "the request ends where a value should be",
		`{"to":["a`:                     "the request ends inside a string",
		`{"app":"shop"} {"app":"shop"}`: "'{' where the end of the request should be",
		`[{"app":"shop"}]`:              "'[' where { should be",
		`{"app":null}`:                  `"app" is null; leave the key out`,
		`{"ap":"shop"}`:                 `unknown key "ap"; did you mean "app"?`,
		`{"toall":1}`:                   `did you mean "to_all"?`,
		`{"id":"x"}`:                    "no ids here",
		"{\"app\":\"\xff\"}":            "not UTF-8",
	} {
		to = nil
		if err := p.Read(new(Message), []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// Errors repeat what is short enough to be a word, and nothing of the app's data
// where others read them.
func TestErrorsAreDiscreet(t *testing.T) {
	secret := strings.Repeat("5ec2e7", 12)
	for _, text := range []string{
		`{"` + secret + `":1}`, `{"push_type":"` + secret + `"}`, `{"interruption_level":"` + secret + `"}`, `{"id":"` + secret + `"}`,
		`{"expiration":"` + secret + `"}`, `{"badge":"` + secret + `"}`, `{"data":{"` + secret + `":1,"` + secret + `":2}}`,
	} {
		p := Parser{Discreet: true}
		if err := p.Read(new(Message), []byte(text)); err == nil || strings.Contains(err.Error(), secret[:12]) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestStrangeKeys(t *testing.T) {
	for word, means := range strangeKeys {
		for part := range strings.SplitSeq(means, " and ") {
			if FieldOf(part) == 0 {
				t.Errorf("%q is said to mean %q, which is no key", word, part)
			}
		}
		if suggest.Plain(word) != word {
			t.Errorf("%q would never be found", word)
		}
	}
	for _, name := range Keys() {
		if got := KeyName(FieldOf(name)); got != `"`+name+`"` {
			t.Errorf("the part of %q is called %s", name, got)
		}
	}
}

// Reading one notification after another costs the strings it holds.
func TestReadAllocates(t *testing.T) {
	text := []byte(`{"to":"aabb","payload":{"aps":{"alert":"x"}},"topic":"com.example.app"}`)
	var p Parser
	var m Message
	var n apns.Notification
	got := testing.AllocsPerRun(100, func() {
		if err := errors.Join(p.Read(&m, text), p.Merge(&m)); err != nil {
			t.Fatal(err)
		}
		m.Fill(&n, time.Time{})
	})
	if got > 1 {
		t.Errorf("%v allocations, want one: the device token", got)
	}
}

// What Read takes, encoding/json takes and understands alike.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		`{"to":"aa","payload":{"aps":{"alert":"x"}}}`,
		`{"to":"aa","title":"T","badge":"clear","data":{"k":[1,2]},"expiration":"7d","priority":5}`,
		`{"\u0074o":"a\u0061","body":"\ud83d\ude00","push_type":"background"}`,
		`{"to":["aa","b\u0062"],"collapse_id":"x","thread_id":"\ud800"}`,
		`{"to":"aa"}{"to":"bb"}`, `[]`, `{"to":["`, "{\"to\":\"\xff\"}", ``,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var to []string
		p := Parser{Key: func(key string, field Field, s *Scan) (bool, error) {
			kind, err := s.Peek()
			if field != FieldTo || kind != KindArray || err != nil {
				return false, err
			}
			to = []string{}
			return true, s.Elements(func() error {
				value, err := s.Value()
				if err != nil {
					return err
				}
				deviceToken, err := value.Text(key)
				to = append(to, deviceToken)
				return err
			})
		}}
		var m Message
		if err := p.Read(&m, bytes.Clone(text)); err != nil {
			if strings.ContainsAny(err.Error(), "\n") {
				t.Errorf("the error has several lines: %q", err)
			}
			return
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal(text, &members); err != nil {
			t.Fatalf("took what is not JSON: %q", text)
		}
		for name := range members {
			if m.Given&FieldOf(name) == 0 {
				t.Errorf("%q was not noted", name)
			}
		}
		for name, got := range map[string]any{
			"title": m.Title, "subtitle": m.Subtitle, "body": m.Body, "sound": m.Sound, "category": m.Category, "thread_id": m.ThreadID,
			"topic": m.Topic, "bundle_id": m.BundleID, "push_type": string(m.PushType), "collapse_id": m.CollapseID,
			"interruption_level": string(m.InterruptionLevel), "priority": int(m.Priority),
			"mutable_content": m.MutableContent, "content_available": m.ContentAvailable, "to": any(m.To),
		} {
			if name == "to" && to != nil {
				got = to
			}
			if want, _ := json.Marshal(got); members[name] != nil && !sameJSON(want, members[name]) {
				t.Errorf("%s is %s, and %s for encoding/json", name, want, members[name])
			}
		}
		if raw := members["payload"]; !bytes.Equal(raw, m.Payload) {
			t.Errorf("payload is %q, and %q for encoding/json", m.Payload, raw)
		}
		if members["data"] != nil {
			var data map[string]json.RawMessage
			if err := json.Unmarshal(members["data"], &data); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(data, m.Data); diff != "" {
				t.Error(diff)
			}
		}
		if p.Merge(&m) != nil {
			return
		}
		if body, err := m.AppendPayload(nil, KeyName); err == nil && !json.Valid(body) {
			t.Errorf("made a payload that is not JSON: %q", body)
		}
	})
}

// sameJSON compares two values of which one may have escapes.
func sameJSON(a, b []byte) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && cmp.Equal(x, y)
}
