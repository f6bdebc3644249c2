package webpush

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

const (
	someEndpoint = "https://web.push.apple.com/QGvLqYlzSecretPathOfTheEndpointThatNobodyMaySee"
	someP256dh   = vectorUaPublic
	someAuth     = vectorAuth
)

func TestParseSubscription(t *testing.T) {
	point, secret := bytes64(t, someP256dh), bytes64(t, someAuth)
	standard := func(e *base64.Encoding, b []byte) string { return e.EncodeToString(b) }
	for name, text := range map[string]string{
		"as browsers give it": `{"endpoint":"` + someEndpoint + `","expirationTime":null,"keys":{"p256dh":"` + someP256dh + `","auth":"` + someAuth + `"}}`,
		"padded":              `{"endpoint":"` + someEndpoint + `","keys":{"p256dh":"` + standard(base64.URLEncoding, point) + `","auth":"` + standard(base64.URLEncoding, secret) + `"}}`,
		"standard base64":     `{"endpoint":"` + someEndpoint + `","keys":{"p256dh":"` + standard(base64.StdEncoding, point) + `","auth":"` + standard(base64.RawStdEncoding, secret) + `"}}`,
		"more keys, spaces":   ` {"endpoint":"` + someEndpoint + `","keys":{"auth":"` + someAuth + ` ","p256dh":"` + someP256dh + `","x":1},"options":{"userVisibleOnly":true}} ` + "\n",
	} {
		s, err := ParseSubscription([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if s.Endpoint() != someEndpoint || s.P256dh() != someP256dh || s.Auth() != someAuth || !s.Expires().IsZero() ||
			s.Origin() != "https://web.push.apple.com" || s.Host() != "web.push.apple.com" {
			t.Errorf("%s: %s %s %s %s %v", name, s.Endpoint(), s.P256dh(), s.Auth(), s.Origin(), s.Expires())
		}
	}
	s, err := ParseSubscription([]byte(`{"endpoint":"` + someEndpoint + `","expirationTime":1453523768000.5,"keys":{"p256dh":"` + someP256dh + `","auth":"` + someAuth + `"}}`))
	if err != nil || s.Expires().Unix() != 1453523768 {
		t.Errorf("%v, %v", s.Expires(), err)
	}
}

// What is stored is read again.
func TestSubscriptionJSON(t *testing.T) {
	for _, expires := range []time.Time{{}, time.UnixMilli(1453523768123).UTC()} {
		s, err := NewSubscription(someEndpoint, someP256dh, someAuth, expires)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(map[string]any{"a": s, "b": *s})
		if err != nil {
			t.Fatal(err)
		}
		var read map[string]*Subscription
		if err := json.Unmarshal(text, &read); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"a", "b"} {
			got := read[name]
			if got.Endpoint() != s.Endpoint() || got.P256dh() != s.P256dh() || got.Auth() != s.Auth() || !got.Expires().Equal(expires) {
				t.Errorf("%s", text)
			}
		}
	}
	if text, err := json.Marshal(Subscription{}); err != nil || string(text) != "null" {
		t.Errorf("%s, %v", text, err)
	}
	if err := json.Unmarshal([]byte(`{}`), new(Subscription)); err == nil {
		t.Error("took an empty object")
	}
}

// Everything that is wrong is reported at once, by its path, without repeating
// what is secret.
func TestSubscriptionProblems(t *testing.T) {
	valid := `"keys":{"p256dh":"` + someP256dh + `","auth":"` + someAuth + `"}`
	for _, test := range []struct {
		text string
		want []string
	}{
		{``, []string{"is not a JSON object"}},
		{`[]`, []string{"is not a JSON object"}},
		{`null`, []string{"is not a JSON object"}},
		{`{"endpoint":`, []string{"is not a JSON object"}},
		{`{"endpoint":"` + someEndpoint + `",` + valid + `} x`, []string{"has something after"}},
		{`{}`, []string{"endpoint is missing", "keys is missing; use JSON.stringify"}},
		{`{"endpoint":1,"keys":[],"expirationTime":"x"}`, []string{"endpoint is not a text", "keys is not a JSON object", "expirationTime is neither"}},
		{`{"keys":{},"expirationTime":-1}`, []string{"endpoint is missing", "keys.p256dh is missing", "keys.auth is missing", "expirationTime is neither"}},
		{`{"endpoint":"` + someEndpoint + `","keys":{"p256dh":5,"auth":null}}`, []string{"keys.p256dh is not a text", "keys.auth is missing"}},
		{`{"endpoint":"` + someEndpoint + `","keys":{"p256dh":"` + someAuth + `","auth":"` + someP256dh + `"}}`, []string{"keys.p256dh has 16 bytes, as keys.auth has", "keys.auth has 65 bytes"}},
		{`{"endpoint":"` + someEndpoint + `","keys":{"p256dh":"` + someP256dh[:80] + `","auth":"geheim*"}}`, []string{"keys.p256dh has 60 bytes", "keys.auth is not base64url"}},
		{`{"endpoint":"` + someEndpoint + `","keys":{"p256dh":"` + someP256dh[:86] + `w","auth":"ab+-"}}`, []string{"keys.p256dh is not a point", "keys.auth mixes"}},
		{`{"subscription":{"endpoint":"x"}}`, []string{`under "subscription"`}},
		{`{"endpoint":"http://geheim.example/x",` + valid + `}`, []string{"endpoint begins with http:"}},
		{`{"endpoint":"http://localhost.geheim.example/x",` + valid + `}`, []string{"endpoint begins with http:"}},
		{`{"endpoint":"` + strings.Repeat("x", maxEndpoint+1) + `",` + valid + `}`, []string{"endpoint has more than 4096 bytes"}},
		{strings.Repeat(" ", maxSubscription) + `{}`, []string{"has more than 16384 bytes"}},
	} {
		_, err := ParseSubscription([]byte(test.text))
		invalid, ok := errors.AsType[*InvalidError](err)
		if !ok || len(invalid.Problems) != len(test.want) {
			t.Errorf("%.60s: %v", test.text, err)
			continue
		}
		for _, want := range test.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%.60s: %v, want %s", test.text, err, want)
			}
		}
		for _, secret := range []string{"geheim", "SecretPath", someAuth, someP256dh[:20]} {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("the error repeats %q: %v", secret, err)
			}
		}
	}
}

func TestEndpoints(t *testing.T) {
	for endpoint, want := range map[string]string{
		"https://fcm.googleapis.com/fcm/send/abc:def": "https://fcm.googleapis.com",
		"https://FCM.googleapis.COM:443/wp/x?a=b%":    "https://fcm.googleapis.com",
		"https://FCM.googleapis.COM:443/wp/x?a=b%20c": "https://fcm.googleapis.com",
		"https://push.example.com:8443/x":             "https://push.example.com:8443",
		"https://127.0.0.1:9/x":                       "https://127.0.0.1:9", // the client decides
		"https://[::1]:9/x":                           "https://[::1]:9",
		"https://push.example.com":                    "https://push.example.com",
		"http://push.example.com/x":                   "",
		"ftp://push.example.com/x":                    "",
		"//push.example.com/x":                        "",
		"push.example.com/x":                          "",
		"https:push.example.com/x":                    "",
		"https:///x":                                  "",
		"https://user@push.example.com/x":             "",
		"https://user:word@push.example.com/x":        "",
		"https://@push.example.com/x":                 "",
		"https://push.example.com/x#y":                "",
		"https://push.example.com/x#":                 "",
		"https://push.example.com/a b":                "",
		"https://push.example.com/\x00":               "",
		"https://püsh.example.com/x":                  "",
		"https://push%2eexample.com/x":                "",
		"https://push.example.com:0/x":                "",
		"https://push.example.com:99999/x":            "",
		"https://push.example.com:/x":                 "",
		"https://push.example.com\\@evil.example/x":   "",
		"https://[fe80::1%25eth0]/x":                  "",
		"https://a!b.example.com/x":                   "",
	} {
		s, err := NewSubscription(endpoint, someP256dh, someAuth, time.Time{})
		if want == "" {
			if err == nil {
				t.Errorf("%q was taken, as %s", endpoint, s.Origin())
			} else if p := err.(*InvalidError).Problems; len(p) != 1 || p[0].Field != "endpoint" {
				t.Errorf("%q: %v", endpoint, err)
			}
			continue
		}
		if err != nil || s.Origin() != want {
			t.Errorf("%q: %v", endpoint, err)
		}
	}
}

// However they are printed, nothing secret is.
func TestNothingSecretIsPrinted(t *testing.T) {
	s, err := NewSubscription(someEndpoint, someP256dh, someAuth, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := ParseReceiver(vectorUaPrivate, vectorAuth)
	if err != nil {
		t.Fatal(err)
	}
	key, err := GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	receipt := Receipt{Host: "web.push.apple.com", location: new("https://web.push.apple.com/SecretPath")}
	var log strings.Builder
	logger := slog.New(slog.NewTextHandler(&log, nil))
	type inside struct {
		S *Subscription
		s Subscription
		R Receiver
		K *Key
		k Key
		r Receiver
		P Push
	}
	holder := inside{s, *s, *r, key, *key, *r, Push{s, &Message{}, nil}}
	for _, v := range []any{s, *s, r, *r, key, *key, receipt, holder, &holder, []*Key{key}, Subscription{}, Key{}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&log, verb+"\n", v)
		}
		logger.Info("x", "v", v)
	}
	if text, err := json.Marshal([]any{r, key, *key}); err != nil {
		t.Error(err)
	} else {
		log.Write(text)
	}
	for _, secret := range []string{"SecretPath", someAuth, vectorUaPrivate, key.PrivateKey(), "PRIVATE"} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("%q was printed in\n%s", secret, log.String())
		}
	}
	if !strings.Contains(log.String(), "subscription at web.push.apple.com (redacted)") || !strings.Contains(log.String(), key.PublicKey()[:8]) {
		t.Error(log.String())
	}
}
