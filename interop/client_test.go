package interop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"aviso.example/apns"
	"aviso.example/auth"
)

const payload = `{"aps":{"alert":{"title":"Interop","body":"A notification of the usual size, for strangers to look at"},"sound":"default"}}`

// newClient makes our client for a server of ours; change may adjust its Config.
func newClient(t *testing.T, keys *pki, addr string, change func(*apns.Config)) *apns.Client {
	t.Helper()
	key, err := auth.LoadSigningKey(keys.signingKey, "")
	if err != nil {
		t.Fatal(err)
	}
	cfg := apns.Config{
		Key: key, TeamID: teamID, BundleID: bundleID,
		Endpoint: addr, ExtraRoots: readFile(t, keys.ca),
		RequestTimeout: 10 * time.Second, ConnectWait: 10 * time.Second,
	}
	if change != nil {
		change(&cfg)
	}
	client, err := apns.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := client.Close(ctx); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return client
}

// goodbyes counts what became of a client's connections.
type goodbyes struct{ connected, goAway, closed atomic.Int64 }

func (g *goodbyes) watch(cfg *apns.Config) {
	cfg.Hooks.OnConnection = func(e apns.ConnectionEvent) {
		switch e.Kind {
		case apns.Connected:
			g.connected.Add(1)
		case apns.ConnectionClosed:
			g.closed.Add(1)
		case apns.ConnectionDrains:
			if _, ok := errors.AsType[*apns.GoAwayError](e.Err); ok {
				g.goAway.Add(1)
			}
		}
	}
}

// atLeast fails the test when the server did not say GOAWAY as often as the
// test is about; losing nothing would then prove nothing.
func (g *goodbyes) atLeast(t *testing.T, n int64) {
	t.Helper()
	t.Logf("%d connections, %d GOAWAYs", g.connected.Load(), g.goAway.Load())
	if g.goAway.Load() < n {
		t.Errorf("the server said GOAWAY %d times, expected at least %d", g.goAway.Load(), n)
	}
}

func withCertificate(t *testing.T, path, password string) func(*apns.Config) {
	t.Helper()
	certificate, err := auth.LoadCertificate(path, password)
	if err != nil {
		t.Fatal(err)
	}
	return func(cfg *apns.Config) {
		cfg.Key, cfg.TeamID, cfg.Certificate = nil, "", certificate
	}
}

// notifications makes n of them, each to another device and with an apns-id of
// its own, in a form that a log can be searched for.
func notifications(n int) iter.Seq[*apns.Notification] {
	return func(yield func(*apns.Notification) bool) {
		for i := range n {
			if !yield(&apns.Notification{DeviceToken: deviceToken(i), Payload: []byte(payload)}) {
				return
			}
		}
	}
}

func deviceToken(i int) string { return fmt.Sprintf("%064x", i) }

// sendAll sends n notifications and counts outcomes. each, if not nil, is called
// with the number of outcomes so far.
func sendAll(t *testing.T, client *apns.Client, n int, each func(int)) map[string]int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	outcomes := map[string]int{}
	began, total := time.Now(), 0
	seen := map[string]bool{}
	for r := range client.PushAll(ctx, notifications(n)) {
		outcome := r.Outcome.String()
		outcomes[outcome]++
		if total++; each != nil {
			each(total)
		}
		if r.Err != nil && outcomes[outcome] <= 3 {
			t.Logf("%s: %v", outcome, r.Err)
		}
		if seen[r.Notification.DeviceToken] {
			t.Errorf("two outcomes for %s", r.Notification.DeviceToken)
		}
		seen[r.Notification.DeviceToken] = true
	}
	if total != n {
		t.Errorf("%d outcomes for %d notifications", total, n)
	}
	t.Logf("%d notifications in %v: %v", n, time.Since(began).Round(time.Millisecond), outcomes)
	return outcomes
}

// wantAccepted fails the test unless all n were accepted.
func wantAccepted(t *testing.T, outcomes map[string]int, n int) {
	t.Helper()
	if want := map[string]int{"accepted": n}; !maps.Equal(outcomes, want) {
		t.Errorf("outcomes %v, want %v", outcomes, want)
	}
}

// tally is a handler that counts requests by device token, as the last in a row
// of servers: what it has not seen is lost, what it has seen twice a duplicate.
type tally struct {
	before func(http.ResponseWriter, int) // may set fields of the answer

	mu    sync.Mutex
	seen  map[string]int
	wrong []string
	total int
}

func (h *tally) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	h.mu.Lock()
	if h.seen == nil {
		h.seen = map[string]int{}
	}
	h.seen[strings.TrimPrefix(r.URL.Path, "/3/device/")]++
	h.total++
	total := h.total
	bad := func(what string) {
		if len(h.wrong) < 5 {
			h.wrong = append(h.wrong, what)
		}
	}
	switch {
	case err != nil:
		bad(err.Error())
	case r.Method != http.MethodPost || !strings.HasPrefix(r.URL.Path, "/3/device/"):
		bad(r.Method + " " + r.URL.Path)
	case string(body) != payload:
		bad(fmt.Sprintf("a body of %d bytes instead of %d", len(body), len(payload)))
	case r.Header.Get("apns-topic") != bundleID || r.Header.Get("apns-id") == "" || r.Header.Get("apns-push-type") != "alert":
		bad("fields of the request are missing")
	}
	h.mu.Unlock()
	w.Header().Set("apns-id", r.Header.Get("apns-id"))
	if h.before != nil {
		h.before(w, total)
	}
	w.WriteHeader(http.StatusOK)
}

// check says what was lost, doubled or damaged of n notifications.
func (h *tally) check(t *testing.T, n int) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	lost, twice := 0, 0
	for i := range n {
		switch h.seen[deviceToken(i)] {
		case 0:
			lost++
		case 1:
		default:
			twice++
		}
	}
	if lost > 0 || twice > 0 || len(h.seen) != n {
		t.Errorf("of %d notifications %d never arrived, %d arrived more than once; %d device tokens were seen", n, lost, twice, len(h.seen))
	}
	for _, w := range h.wrong {
		t.Error("the server saw " + w)
	}
}
