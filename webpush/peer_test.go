package webpush

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"aviso.example/internal/memnet"
)

const pushHost = "push.example.com"

// peer is a push service. It verifies the JWT and decrypts every message, with
// code that has nothing to do with ours, and records it.
type peer struct {
	t        testing.TB
	listener *memnet.Listener
	server   *http.Server
	receiver *Receiver
	auth     []byte

	mu       sync.Mutex
	requests []request
	answer   func(w http.ResponseWriter, r *http.Request, number int)
}

// request is what the push service was told.
type request struct {
	header  http.Header
	path    string
	proto   string
	payload string
	at      time.Time
}

// testCA makes one certificate for all tests, valid in virtual time as well.
var testCA = sync.OnceValues(func() (tls.Certificate, []byte) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<32, 0),
		DNSNames: []string{pushHost, "*." + pushHost, "localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
})

// startPeer runs a push service in memory. protocols are those of ALPN; streams=N
// is HTTP/2 with a limit.
func startPeer(t testing.TB, protocols ...string) *peer {
	t.Helper()
	limits := new(http.HTTP2Config)
	if len(protocols) == 1 {
		if n, err := fmt.Sscanf(protocols[0], "streams=%d", &limits.MaxConcurrentStreams); n == 1 && err == nil {
			protocols = nil
		}
	}
	r, s := newReceiver(t, "https://"+pushHost+"/x")
	certificate, _ := testCA()
	if len(protocols) == 0 {
		protocols = []string{"h2", "http/1.1"}
	}
	p := &peer{t: t, listener: memnet.Listen(pushHost), receiver: r, auth: bytes64(t, s.Auth())}
	p.server = &http.Server{
		Handler:   p,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: protocols},
		ErrorLog:  log.New(io.Discard, "", 0),
		HTTP2:     limits,
	}
	if protocols[0] != "h2" {
		p.server.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.server.ServeTLS(p.listener, "", "")
	}()
	t.Cleanup(func() {
		p.server.Close()
		<-done
	})
	return p
}

// client makes a client whose network is the peer.
func (p *peer) client(change ...func(*Config)) *Client {
	p.t.Helper()
	return newClient(p.t, p.listener.DialContext, change...)
}

func newClient(t testing.TB, dial func(ctx context.Context, network, address string) (net.Conn, error), change ...func(*Config)) *Client {
	t.Helper()
	key, err := GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	_, ca := testCA()
	cfg := Config{Key: key, Subject: "mailto:push@example.com", ExtraRoots: ca, dial: dial}
	for _, f := range change {
		f(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return c
}

// subscription makes one at the peer.
func (p *peer) subscription(path string) *Subscription {
	p.t.Helper()
	s, err := p.receiver.Subscription("https://" + pushHost + "/" + path)
	if err != nil {
		p.t.Fatal(err)
	}
	return s
}

// answers sets what the peer says; number counts requests from 1.
func (p *peer) answers(f func(w http.ResponseWriter, r *http.Request, number int)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = f
}

func (p *peer) seen() []request {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.requests
}

func (p *peer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	seen := request{header: r.Header, path: r.URL.Path, proto: r.Proto, at: time.Now()}
	if err := verifyVAPID(r.Header.Get("Authorization"), "https://"+r.Host); err != nil {
		p.t.Errorf("VAPID: %v", err)
	}
	if len(body) > 0 {
		plaintext, err := decryptByHand(p.receiver.in.key, p.auth, body)
		if err != nil {
			p.t.Errorf("decrypting: %v", err)
		}
		seen.payload = plaintext
	}
	p.mu.Lock()
	p.requests = append(p.requests, seen)
	number, answer := len(p.requests), p.answer
	p.mu.Unlock()
	if answer != nil {
		answer(w, r, number)
		return
	}
	w.WriteHeader(http.StatusCreated)
}

// verifyVAPID checks the field Authorization as RFC 8292 asks, with a library.
func verifyVAPID(field, audience string) error {
	rest, ok := strings.CutPrefix(field, "vapid t=")
	token, k, ok2 := strings.Cut(rest, ", k=")
	point, err := decode64(k)
	if !ok || !ok2 || err != nil {
		return errors.New("the field is malformed")
	}
	public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		return err
	}
	var claims jwt.RegisteredClaims
	parsed, err := jwt.ParseWithClaims(token, &claims, func(*jwt.Token) (any, error) { return public, nil },
		jwt.WithValidMethods([]string{"ES256"}), jwt.WithAudience(audience), jwt.WithExpirationRequired(), jwt.WithTimeFunc(time.Now))
	if err != nil {
		return err
	}
	if parsed.Header["typ"] != "JWT" || !strings.HasPrefix(claims.Subject, "mailto:") {
		return fmt.Errorf("header %v, subject %q", parsed.Header, claims.Subject)
	}
	if ahead := time.Until(claims.ExpiresAt.Time); ahead > 24*time.Hour {
		return fmt.Errorf("it expires in %v", ahead)
	}
	return nil
}

// decryptByHand follows RFC 8291 section 3.4 line by line, with HMAC alone.
func decryptByHand(key *ecdh.PrivateKey, auth, body []byte) (string, error) {
	mac := func(key []byte, parts ...[]byte) []byte {
		h := hmac.New(sha256.New, key)
		for _, p := range parts {
			h.Write(p)
		}
		return h.Sum(nil)
	}
	if len(body) < 86+17 || len(body) > 4096 || body[20] != 65 {
		return "", fmt.Errorf("%d bytes, the key id has %d", len(body), body[20])
	}
	salt, public, ciphertext := body[:16], body[21:86], body[86:]
	sender, err := ecdh.P256().NewPublicKey(public)
	if err != nil {
		return "", err
	}
	shared, err := key.ECDH(sender)
	if err != nil {
		return "", err
	}
	ikm := mac(mac(auth, shared), []byte("WebPush: info\x00"), key.PublicKey().Bytes(), public, []byte{1})
	prk := mac(salt, ikm)
	cek := mac(prk, []byte("Content-Encoding: aes128gcm\x00\x01"))[:16]
	nonce := mac(prk, []byte("Content-Encoding: nonce\x00\x01"))[:12]
	block, err := aes.NewCipher(cek)
	if err != nil {
		return "", err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return "", err
	}
	plaintext, err := gcm.Open(nil, nonce, ciphertext, nil)
	if err != nil {
		return "", err
	}
	text := strings.TrimRight(string(plaintext), "\x00")
	if !strings.HasSuffix(text, "\x02") {
		return "", errors.New("no delimiter")
	}
	return text[:len(text)-1], nil
}
