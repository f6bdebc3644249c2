package webpush

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"aviso.example/internal/retryafter"
)

// What is read as a subscription is stored and read as the same one, is https,
// and no error repeats what was read.
func FuzzParseSubscription(f *testing.F) {
	whole := `{"endpoint":"` + someEndpoint + `","expirationTime":null,"keys":{"p256dh":"` + someP256dh + `","auth":"` + someAuth + `"}}`
	for n := 0; n <= len(whole); n += 7 {
		f.Add([]byte(whole[:n]))
	}
	f.Add([]byte(whole))
	f.Add([]byte(strings.Replace(whole, "null", "1e300", 1)))
	f.Add([]byte(strings.Replace(whole, "web.push", "[::1]:9/", 1)))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := ParseSubscription(data)
		if err != nil {
			if invalid, ok := errors.AsType[*InvalidError](err); !ok || len(invalid.Problems) == 0 {
				t.Fatal(err)
			}
			if strings.Contains(err.Error(), "SecretPath") || strings.Contains(err.Error(), someAuth) {
				t.Fatalf("it repeats a secret: %v", err)
			}
			return
		}
		if !strings.HasPrefix(s.Origin(), "https://") || s.Host() == "" {
			t.Fatalf("%q has the origin %q", s.Endpoint(), s.Origin())
		}
		text, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseSubscription(text)
		if err != nil || again.Endpoint() != s.Endpoint() || again.Auth() != s.Auth() || again.P256dh() != s.P256dh() || !again.Expires().Equal(s.Expires()) {
			t.Fatalf("%s: %v", text, err)
		}
		if err := (&guard{}).checkEndpoint(s.get()); err == nil && portOf(s.get().url) != 443 {
			t.Fatalf("%q may be connected to", s.Endpoint())
		}
	})
}

// Nothing but what was encrypted for the receiver is decrypted.
func FuzzDecrypt(f *testing.F) {
	body, err := base64.RawURLEncoding.DecodeString(vectorBody)
	if err != nil {
		f.Fatal(err)
	}
	r, err := ParseReceiver(vectorUaPrivate, vectorAuth)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(body)
	f.Add(body[:headerLength])
	f.Add(bytes.Repeat([]byte{4}, 200))
	f.Fuzz(func(t *testing.T, data []byte) {
		plaintext, err := r.Decrypt(data)
		if err == nil && string(plaintext) != "When I grow up, I want to be a watermelon" {
			t.Fatalf("%x was decrypted to %q", data, plaintext)
		}
		if c, err := parseCoded(data); err == nil {
			c.open([]byte("secret")) // with any key id and many records
		}
	})
}

func FuzzParseKey(f *testing.F) {
	key, err := GenerateKey()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(key.PEM())
	f.Add([]byte(`{"publicKey":"` + key.PublicKey() + `","privateKey":"` + key.PrivateKey() + `"}`))
	f.Add([]byte("-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		k, err := ParseKey(data)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "webpush: VAPID key: ") {
				t.Fatal(err)
			}
			return
		}
		again, err := ParseKeyPair(k.PublicKey(), k.PrivateKey())
		if err != nil || !again.private.Equal(k.private) {
			t.Fatal(err)
		}
		if _, err := signJWT(k, "https://push.example.com", "mailto:a@b", time.Unix(0, 0)); err != nil {
			t.Fatal(err)
		}
	})
}

// A subject that passes is a URI that any parser takes.
func FuzzCheckSubject(f *testing.F) {
	for _, seed := range []string{"mailto:push@example.com", "https://example.com/contact", "mailto: <a@b>", "mailto:mailto:a@b", "https:", "", "mailto:0@#%", "mailto:a%zz@example.com"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, subject string) {
		if CheckSubject(subject) == nil {
			if _, err := http.NewRequest("GET", subject, nil); err != nil || strings.ContainsAny(subject, "<> ") || len(subject) > maxSubject {
				t.Fatalf("%q: %v", subject, err)
			}
		}
	})
}

// What a push service answers becomes one short line.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"reason":"BadJwtToken"}`), "application/json", "120", "/message/x")
	f.Add([]byte("<html>"), "text/html", "Tue, 24 Nov 2026 22:00:30 GMT", "https://[::1")
	f.Add([]byte("a\nb\x00\xff"), "", "-1", "")
	s, err := NewSubscription(someEndpoint, someP256dh, someAuth, time.Time{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte, kind, after, location string) {
		a := &answer{body: body, mediaType: kind}
		reason, detail := a.explain(scrubber(s.get(), "vapid t=abcdefghijkl, k=mnopqrstuvwx"))
		if len(reason) > 64 || len(detail) > maxDetail+3 || strings.ContainsAny(string(reason)+detail, "\r\n\x00\x1b") || !utf8.ValidString(detail) ||
			strings.Contains(detail, "SecretPath") && strings.Contains(string(body), someEndpoint) && !strings.Contains(strings.ReplaceAll(string(body), someEndpoint, ""), "SecretPath") {
			t.Fatalf("%q %q", reason, detail)
		}
		if d := retryafter.Parse(after, time.Unix(1e9, 0)); d < 0 || d > 365*24*time.Hour {
			t.Fatalf("%q is %v", after, d)
		}
		if u := (&guard{}).resolve(s.get().url, location); u != nil && !strings.HasPrefix(*u, "https://") {
			t.Errorf("%q gives %q", location, *u)
		}
	})
}

func FuzzDecode64(f *testing.F) {
	for _, seed := range []string{"", "AQ", "AQ==", "-_", "+/", "+_", "A===", "A\nA", someAuth} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		data, err := decode64(text)
		if err != nil {
			return
		}
		again, err := decode64(base64.StdEncoding.EncodeToString(data))
		if err != nil || !bytes.Equal(again, data) {
			t.Fatalf("%q: %v", text, err)
		}
	})
}
