package webpush

import (
	"crypto/ecdh"
	"crypto/rand"
	"net/http"
	"testing"
	"time"
)

// BenchmarkEncrypt is what each message costs before it is sent: a key pair, an
// agreement, HKDF and AES-GCM.
func BenchmarkEncrypt(b *testing.B) {
	_, s := newReceiver(b, "https://push.example.com/x")
	for name, size := range map[string]int{"200 bytes": 200, "3993 bytes": MaxPayload} {
		payload := make([]byte, size)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Encrypt(s, payload, 0); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkP256 is the part of it that any implementation has, for comparison:
// a new key pair and one agreement.
func BenchmarkP256(b *testing.B) {
	_, s := newReceiver(b, "https://push.example.com/x")
	b.ReportAllocs()
	for b.Loop() {
		key, err := ecdh.P256().GenerateKey(rand.Reader)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := key.ECDH(s.get().key); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkAuthorization is the credential of a message: from the cache, and
// signed anew.
func BenchmarkAuthorization(b *testing.B) {
	key, err := GenerateKey()
	if err != nil {
		b.Fatal(err)
	}
	now := time.Now()
	b.Run("cached", func(b *testing.B) {
		s := newSigner(key, "mailto:push@example.com")
		b.ReportAllocs()
		for b.Loop() {
			if _, err := s.authorization("https://web.push.apple.com", now); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("signed", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := signJWT(key, "https://web.push.apple.com", "mailto:push@example.com", now); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkSend is a whole message over TLS and HTTP/2 in memory; the push service
// runs in the same process and counts.
func BenchmarkSend(b *testing.B) {
	p := startPeer(b)
	p.server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(201) })
	c, s := p.client(), p.subscription("x")
	m := &Message{Payload: make([]byte, 200)}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := c.Send(b.Context(), s, m); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
