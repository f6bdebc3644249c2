package cli

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"aviso.example/webpush"
)

// pushService is a push service for scripts, with one browser. The last part of
// the path of an endpoint says how it answers.
type pushService struct {
	receiver *webpush.Receiver

	mu   sync.Mutex
	last string
}

func (p *pushService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	if len(body) > 0 {
		payload, err := p.receiver.Decrypt(body)
		if err != nil {
			http.Error(w, "it cannot be decrypted", http.StatusBadRequest)
			return
		}
		body = payload
	}
	p.mu.Lock()
	p.last = fmt.Sprintf("TTL %s, urgency %q, topic %q: %s\n", r.Header.Get("TTL"), r.Header.Get("Urgency"), r.Header.Get("Topic"), body)
	p.mu.Unlock()
	switch path.Base(r.URL.Path) {
	case "gone":
		w.WriteHeader(http.StatusGone)
	case "mismatch":
		w.WriteHeader(http.StatusBadRequest)
		io.WriteString(w, `{"reason":"VapidPkHashMismatch"}`)
	case "busy":
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(http.StatusTooManyRequests)
		io.WriteString(w, "come back later, "+r.URL.Path)
	case "drop":
		panic(http.ErrAbortHandler)
	default:
		w.Header().Set("apns-id", "1A7D0BF9-DC0D-4F8B-9F1E-3B7F1D2C4E5F")
		w.WriteHeader(http.StatusCreated)
	}
}

// pushServiceCommand starts a push service. It writes ca.pem, and a subscription
// for each name into NAME.json.
func pushServiceCommand(ts *testscript.TestScript, _ bool, args []string) {
	receiver, err := webpush.NewReceiver()
	ts.Check(err)
	p := &pushService{receiver: receiver}
	server := httptest.NewUnstartedServer(p)
	server.EnableHTTP2 = true
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	ts.Defer(server.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	ts.Check(os.WriteFile(ts.MkAbs("ca.pem"), ca, 0o600))
	for _, name := range args {
		s, err := receiver.Subscription(server.URL + "/SecretOfTheEndpoint/" + name)
		ts.Check(err)
		text, err := json.Marshal(s)
		ts.Check(err)
		ts.Check(os.WriteFile(ts.MkAbs(name+".json"), text, 0o600))
	}
	backgrounds(ts)["push service"] = &background{ended: true, service: p}
}

// receivedCommand prints what the push service got last.
func receivedCommand(ts *testscript.TestScript, _ bool, _ []string) {
	p := backgrounds(ts)["push service"].service
	p.mu.Lock()
	defer p.mu.Unlock()
	io.WriteString(ts.Stdout(), p.last)
}

func TestParseTTL(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"": 0, "0": webpush.DeliverNow, "0s": webpush.DeliverNow, "0d": webpush.DeliverNow, "60": time.Minute, "1h30m": 90 * time.Minute, "30d": webpush.MaxTTL,
	} {
		if got, err := parseTTL(text); err != nil || got != want {
			t.Errorf("%q is %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"-1", "31d", "721h", "x", "1.5", "500ms", "d", "99999999999", "-5s"} {
		if got, err := parseTTL(text); err == nil || !strings.Contains(err.Error(), "--ttl is") {
			t.Errorf("%q is %v", text, got)
		}
	}
}
