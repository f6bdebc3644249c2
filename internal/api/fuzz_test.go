package api

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"aviso.example/apns"
	"aviso.example/engine"
	"aviso.example/internal/message"
)

// FuzzMessage gives POST /v1/messages anything: what it takes has device tokens,
// and is answered with JSON that has an id for each.
func FuzzMessage(f *testing.F) {
	for _, seed := range []string{
		`{"to":"aa","title":"x"}`, `{"to":["aa",{"device_token":"bb","registered_at":1800000000},"xyz"],"payload":{"aps":{"alert":"x"}},"lane":"bulk"}`,
		`{"to":{"device_token":"\u0061a"},"data":{"k":[1,{}]},"push_type":"background","send_at":"2030-01-31T12:00:00Z","on_unknown":"drop"}`,
		`{"to":[],"app":"shop","environment":"sandbox","expiration":"1h","id":"x","registered_at":7}`, `{"to":"aa","to":"bb"}`, `{"to":[["aa"]]`, `{}`, ``, `[`, "{\"to\":\"\xff\"}",
	} {
		f.Add([]byte(seed))
	}
	r := newRig(f)
	s := &submission{words: newWords(inMessage, "request")}
	f.Fuzz(func(t *testing.T, body []byte) {
		s.body = append(s.body[:0], body...)
		targets, p := s.parse(r.API, time.Now())
		if p != nil {
			if len(p.Errors) == 0 || p.Status != 422 && p.Status != 400 {
				t.Errorf("%+v", p)
			}
			return
		}
		if !json.Valid(body) || len(targets) == 0 || s.message.App != "shop" || s.message.Environment == nil || !json.Valid(s.message.Notification.Payload) {
			t.Fatalf("took %q as %+v", body, s.message)
		}
		s.write(&engine.Receipt{Message: engine.MessageID{First: apns.NewID(), Count: len(targets)}, Refused: []engine.RefusedTarget{{Index: 0, Problem: "\"\n"}}}, nil)
		var receipt MessageReceipt
		if err := json.Unmarshal(s.answer, &receipt); err != nil || len(receipt.Deliveries) != len(targets) && len(targets) <= maxListed || receipt.Refused[0].Problem != "\"\n" {
			t.Errorf("%v in %s", err, s.answer)
		}
	})
}

// FuzzBatchLine gives a batch any first and second line. A line that says nothing
// of its own takes a short way, which must lead to the same notification.
func FuzzBatchLine(f *testing.F) {
	for _, seed := range []string{
		`{"to":"aa"}`, `{"to":"aa","registered_at":1800000000,"title":"y"}`, `{"to":"aa","registered_at":1800000000}`, `{"to":["aa"]}`, `{"app":"shop"}`,
		`{"to":"aa"}{"to":"bb"}`, `{"defaults":{}}`, `{"to":"aa","payload":{"a":1}}`, `{"to":"aa","send_at":1800000000,"expiration":"1h","on_unknown":"drop","id":1}`, ``, `{"to":`, "\xff",
	} {
		f.Add([]byte(`{"title":"x","expiration":"1h","mutable_content":false}`), []byte(seed))
		f.Add([]byte(`{"payload":{"aps":{}},"topic":"a.b","send_at":"2030-01-31T12:00:00Z","on_unknown":"drop"}`), []byte(seed))
	}
	now := time.Unix(1_900_000_000, 0)
	f.Fuzz(func(t *testing.T, defaults, line []byte) {
		g := &ingest{words: newWords(inLine, message.Line), defaults: newWords(inDefaults, message.Line)}
		environment := apns.Sandbox
		g.cfg = engine.BatchConfig{App: "shop", Message: engine.Message{Environment: &environment}}
		if g.readDefaults(defaults) != nil {
			return
		}
		m, target, ok := g.read(line, now)
		if !ok {
			if len(g.words.problems) == 0 {
				t.Errorf("nothing is said about %q", line)
			}
			return
		}
		if target.DeviceToken == "" || !json.Valid(line) || !json.Valid(m.Notification.Payload) {
			t.Fatalf("took %q as %+v", line, m)
		}
		w := newWords(inLine, message.Line)
		w.parser.Defaults, w.defaults = g.defaults.message, g.defaults.own
		w.own, w.now = w.defaults, now
		if err := w.parser.Read(&w.message, line); err != nil {
			t.Fatal(err)
		}
		if err := w.parser.Merge(&w.message); err != nil {
			t.Fatal(err)
		}
		w.own.given = 0
		long, _ := g.message(w, now)
		m.Notification.DeviceToken = long.Notification.DeviceToken // which the target has
		if diff := cmp.Diff(long, *m, cmp.Comparer(func(a, b apns.Expiration) bool { return a == b })); diff != "" {
			t.Errorf("%s after %s: %s", line, defaults, diff)
		}
	})
}
