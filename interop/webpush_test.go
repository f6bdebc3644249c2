package interop

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"aviso.example/webpush"
)

// browser is a subscription with both of its ends, and a push service that takes
// what is sent to it.
type browser struct {
	privateKey, auth string
	receiver         *webpush.Receiver
	subscription     *webpush.Subscription
	server           *httptest.Server
	ca               []byte
	caFile           string

	mu      sync.Mutex
	bodies  [][]byte
	headers []http.Header
}

func newBrowser(t *testing.T) *browser {
	t.Helper()
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	secret := make([]byte, 16)
	rand.Read(secret)
	b := &browser{privateKey: base64.RawURLEncoding.EncodeToString(key.Bytes()), auth: base64.RawURLEncoding.EncodeToString(secret)}
	b.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		b.bodies, b.headers = append(b.bodies, body), append(b.headers, r.Header)
		if strings.HasSuffix(r.URL.Path, "/gone") {
			w.WriteHeader(http.StatusGone)
			return
		}
		w.WriteHeader(http.StatusCreated)
	}))
	b.server.EnableHTTP2 = true
	b.server.StartTLS()
	t.Cleanup(b.server.Close)
	b.ca = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: b.server.Certificate().Raw})
	b.caFile = writeFile(t, filepath.Join(t.TempDir(), "ca.pem"), string(b.ca))
	if b.receiver, err = webpush.ParseReceiver(b.privateKey, b.auth); err != nil {
		t.Fatal(err)
	}
	if b.subscription, err = b.receiver.Subscription(b.server.URL + "/interop"); err != nil {
		t.Fatal(err)
	}
	return b
}

// somePayloads have every interesting length, and any bytes.
func somePayloads() (list [][]byte) {
	for _, n := range []int{1, 2, 15, 16, 17, 1000, webpush.MaxPayload - 1, webpush.MaxPayload} {
		payload := make([]byte, n)
		rand.Read(payload)
		list = append(list, payload)
	}
	return append(list, []byte("Grüße \x00\x01\x02"), bytes.Repeat([]byte{2, 0}, 50))
}

// TestWebPushAndHTTPECE lets the npm library http_ece, by an author of the RFCs,
// decrypt what we send and encrypt what we receive; jws verifies the JWT.
func TestWebPushAndHTTPECE(t *testing.T) {
	b := newBrowser(t)
	key, err := webpush.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	client, err := webpush.New(webpush.Config{Key: key, Subject: "mailto:interop@example.com", AllowLoopback: true, ExtraRoots: b.ca})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close(t.Context())
	payloads := somePayloads()
	type padded struct {
		Payload []byte `json:"payload"`
		Pad     int    `json:"pad"`
	}
	var theirs []padded
	for i, payload := range payloads {
		pad := min(37*i, webpush.MaxPayload-len(payload))
		if receipt, err := client.Send(t.Context(), b.subscription, &webpush.Message{Payload: payload, Padding: pad}); err != nil || receipt.Status != 201 {
			t.Fatalf("%d bytes: %v", len(payload), err)
		}
		theirs = append(theirs, padded{payload, pad})
	}
	jwt, publicKey, _ := strings.Cut(strings.TrimPrefix(b.headers[0].Get("Authorization"), "vapid t="), ", k=")
	var result struct {
		Decrypted, Encrypted [][]byte
		Verified             bool
		Claims               struct{ Aud, Sub string }
	}
	runScript(t, "webpush-ece.cjs", map[string]any{
		"ca":       b.caFile,
		"messages": b.bodies, "payloads": theirs, "privateKey": b.privateKey, "p256dh": b.subscription.P256dh(), "auth": b.auth,
		"jwt": jwt, "publicKey": publicKey,
	}, &result)
	if len(result.Decrypted) != len(payloads) || len(result.Encrypted) != len(payloads) {
		t.Fatalf("%d decrypted, %d encrypted", len(result.Decrypted), len(result.Encrypted))
	}
	for i, payload := range payloads {
		if !bytes.Equal(result.Decrypted[i], payload) {
			t.Errorf("http_ece read %d bytes as %d", len(payload), len(result.Decrypted[i]))
		}
		if got, err := b.receiver.Decrypt(result.Encrypted[i]); err != nil || !bytes.Equal(got, payload) {
			t.Errorf("of http_ece's %d bytes we read %d: %v", len(payload), len(got), err)
		}
	}
	if !result.Verified || result.Claims.Aud != b.server.URL || result.Claims.Sub != "mailto:interop@example.com" || publicKey != key.PublicKey() {
		t.Errorf("verified is %v, claims %+v", result.Verified, result.Claims)
	}
	t.Logf("%d messages each way", len(payloads))
}

// TestWebPushFromNode receives what the npm library web-push sends with a key of
// ours, and reads the keys that it makes.
func TestWebPushFromNode(t *testing.T) {
	b := newBrowser(t)
	gone, err := b.receiver.Subscription(b.server.URL + "/gone")
	if err != nil {
		t.Fatal(err)
	}
	key, err := webpush.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	payloads := somePayloads()
	var result struct {
		Outcomes []any
		Keys     json.RawMessage
	}
	runScript(t, "webpush-send.cjs", map[string]any{
		"ca":            b.caFile,
		"subscriptions": []*webpush.Subscription{b.subscription, gone}, "payloads": payloads,
		"subject": "mailto:interop@example.com", "publicKey": key.PublicKey(), "privateKey": key.PrivateKey(),
	}, &result)
	want := slices.Repeat([]any{201.0}, len(payloads))
	want = append(want, slices.Repeat([]any{410.0}, len(payloads))...)
	if !slices.Equal(result.Outcomes, want) {
		t.Errorf("web-push was told %v", result.Outcomes)
	}
	if len(b.bodies) != 2*len(payloads) {
		t.Fatalf("%d messages came", len(b.bodies))
	}
	for i, body := range b.bodies {
		payload := payloads[i%len(payloads)]
		if got, err := b.receiver.Decrypt(body); err != nil || !bytes.Equal(got, payload) {
			t.Errorf("of %d bytes we read %d: %v", len(payload), len(got), err)
		}
		h := b.headers[i]
		if told := fmt.Sprint(h.Get("TTL"), h.Get("Urgency"), h.Get("Topic"), h.Get("Content-Encoding")); told != "60highinteropaes128gcm" ||
			!strings.HasSuffix(h.Get("Authorization"), "k="+key.PublicKey()) {
			t.Errorf("%s", told)
		}
	}
	theirs, err := webpush.ParseKey(result.Keys)
	if err != nil {
		t.Fatal(err)
	}
	if client, err := webpush.New(webpush.Config{Key: theirs, Subject: "mailto:interop@example.com", AllowLoopback: true, ExtraRoots: b.ca}); err != nil {
		t.Error(err)
	} else {
		defer client.Close(t.Context())
		if _, err := client.Send(t.Context(), b.subscription, &webpush.Message{Payload: []byte("x")}); err != nil {
			t.Error(err)
		}
	}
}
