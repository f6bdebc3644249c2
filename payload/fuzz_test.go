package payload_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
	"unicode/utf8"

	"aviso.example/payload"
)

func FuzzLint(f *testing.F) {
	for i, sample := range samples {
		f.Add(uint8(i), []byte(sample), "com.example.app", int64(i)*100_000_000)
	}
	for _, tt := range lintCases {
		if len(tt.bad) < 5000 {
			f.Add(uint8(2), []byte(tt.bad), "web.example", int64(-1))
		}
	}
	f.Fuzz(func(t *testing.T, selector uint8, body []byte, topic string, expiration int64) {
		pushType := pushTypes[int(selector)%len(pushTypes)]
		linter := payload.Linter{Topic: topic, Priority: payload.Priority(selector), Expiration: &expiration, Broadcast: selector%3 == 0}
		before := bytes.Clone(body)
		findings := linter.Lint(pushType, body)
		if !bytes.Equal(before, body) {
			t.Fatal("the payload was changed")
		}
		if !reflect.DeepEqual(findings, linter.Lint(pushType, body)) {
			t.Fatal("not deterministic")
		}
		last := payload.Rejected
		for _, finding := range findings {
			if finding.Message == "" || finding.Fix == "" || finding.Source == "" || finding.Severity < last ||
				finding.Offset < -1 || finding.Offset > len(body) {
				t.Fatalf("%+v", finding)
			}
			last = finding.Severity
			if finding.Code == payload.CodeFindingsTruncated {
				last = payload.Suspicious
			}
			if encoded, err := json.Marshal(finding); err != nil || !utf8.Valid(encoded) || !utf8.ValidString(finding.String()) {
				t.Fatalf("%+v: %v", finding, err)
			}
		}
		checkBuilders(t, body)
	})
}

// checkBuilders fills builders with arbitrary content: what they let through
// must be free of everything but suspicions.
func checkBuilders(t *testing.T, body []byte) {
	text := string(body)
	for _, p := range []payload.Payload{
		payload.Alert{Body: text, ThreadID: text, Badge: payload.SetBadge(len(text))},
		payload.Alert{LocKey: text, LocArgs: []string{text}, InterruptionLevel: payload.InterruptionLevel(text)},
		payload.Alert{Title: "t", Custom: json.RawMessage(body)},
		payload.Background{Custom: map[string]any{text: text}},
		payload.VoIP{Custom: json.RawMessage(body)},
		payload.MDM{PushMagic: text},
		payload.FileProvider{Container: text, Domain: text},
		payload.Website{Title: text, Body: text, URLArgs: []string{text}},
		payload.LiveActivityUpdate{Timestamp: at(int64(len(text)) << 24), ContentState: json.RawMessage(body)},
		payload.LiveActivityStart{Timestamp: at(1732200000), AttributesType: text, Attributes: map[string]string{text: text},
			ContentState: struct{}{}, Updates: payload.UpdatesByChannel(text), Alert: payload.LiveActivityAlert{TitleLocKey: text}},
	} {
		encoded, err := p.JSON()
		if err != nil {
			continue
		}
		if !json.Valid(encoded) || !utf8.Valid(encoded) {
			t.Fatalf("%T: not JSON: %q", p, encoded)
		}
		for _, finding := range payload.Lint(p.PushType(), encoded) {
			if finding.Severity != payload.Suspicious {
				t.Fatalf("%T: %v\n%q", p, finding, encoded)
			}
		}
	}
}

func FuzzShorten(f *testing.F) {
	for _, sample := range samples {
		f.Add([]byte(sample), "text", len(sample)-5)
	}
	f.Add([]byte(`{"aps":{"alert":{"subtitle":"\u00e9\u0301🇩🇪🇫🇷","body":"👨‍👩‍👧\ud83d\ude00\ud83d x\r\n"}}}`), "e\u0301🇩🇪🇫🇷\r\n\u0600x", 40)
	f.Fuzz(func(t *testing.T, body []byte, text string, limit int) {
		before := bytes.Clone(body)
		out, err := payload.Shorten(body, limit)
		if !bytes.Equal(before, body) {
			t.Fatal("the payload was changed in place")
		}
		if err == nil {
			checkShortened(t, body, out, limit)
		}
		alert := payload.Alert{Title: "t", Subtitle: text, Body: text + string(body) + text}
		encoded, err := alert.JSON()
		if err != nil {
			return
		}
		short, err := alert.Shorten(limit)
		raw, rawErr := payload.Shorten(encoded, limit)
		if (err == nil) != (rawErr == nil) {
			t.Fatalf("%v, %v", err, rawErr)
		}
		if err != nil {
			return
		}
		checkShortened(t, encoded, raw, limit)
		if got, err := short.JSON(); err != nil || !bytes.Equal(got, raw) {
			t.Fatalf("%q, %v; raw %q", got, err, raw)
		}
	})
}

func FuzzParseRaw(f *testing.F) {
	for _, sample := range samples {
		f.Add([]byte(sample))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		raw, err := payload.ParseRaw(payload.PushTypeVoIP, body)
		if err != nil {
			if err.Error() == "" || !utf8.ValidString(err.Error()) {
				t.Fatalf("%q", err.Error())
			}
			return
		}
		var decoded map[string]json.RawMessage
		if err := json.Unmarshal(body, &decoded); err != nil || !utf8.Valid(body) {
			t.Fatalf("took %q: %v", body, err)
		}
		if got, err := raw.JSON(); err == nil && (!bytes.Equal(got, body) || len(got) > 5120) {
			t.Fatalf("%q became %q", body, got)
		}
	})
}
