package webservice_test

import (
	"bytes"
	"cmp"
	"context"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"aviso.example/wallet/webservice"
	"aviso.example/wallet/webservice/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Names that the tests use.
const (
	passType  = "pass.com.example.card"
	orderType = "order.com.example.shop"
	phone     = "3f1a64a5a1dc4d7f8f5ac2a2d9f34fd1"
	pushToken = "00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0"
	secret    = "vxwxd7J8AlNNFPS8k0a0FfUFtq0ewzFdc" // the authentication token of every pass
)

// issuer is what the program that makes passes has: authentication tokens and the
// present content.
type issuer struct {
	mu       sync.Mutex
	content  map[webservice.ID]string
	err      error // of both callbacks
	withdraw error // of Package
	made     int   // how many times Package was called
	during   func()
}

func (i *issuer) put(id webservice.ID, content string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.content == nil {
		i.content = map[webservice.ID]string{}
	}
	i.content[id] = content
}

func (r *rig) current(serial string) string {
	r.issuer.mu.Lock()
	defer r.issuer.mu.Unlock()
	return r.content[r.id(serial)]
}

func (i *issuer) authenticationToken(_ context.Context, id webservice.ID) (string, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.err != nil {
		return "", i.err
	}
	if _, ok := i.content[id]; !ok {
		return "", webservice.ErrNotFound
	}
	return secret, nil
}

func (i *issuer) pack(_ context.Context, id webservice.ID) ([]byte, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if during := i.during; during != nil {
		i.during = nil
		i.mu.Unlock()
		during()
		i.mu.Lock()
	}
	i.made++
	return []byte(i.content[id]), cmp.Or(i.withdraw, i.err)
}

// clock is set by hand.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// rig is a web service on loopback, seen from a device.
type rig struct {
	*testing.T
	issuer
	clock
	store webservice.Store
	url   string
	kind  webservice.Kind
	typ   string
	logs  lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newRig(t *testing.T, kind webservice.Kind, change func(*webservice.Config)) *rig {
	t.Helper()
	r := &rig{T: t, kind: kind, typ: passType, store: &storetest.Memory{}}
	if kind == webservice.Orders {
		r.typ = orderType
	}
	r.at = time.Date(2026, 11, 24, 9, 41, 0, 250_000_000, time.UTC)
	cfg := webservice.Config{
		Kind: kind, Store: r.store, AuthenticationToken: r.authenticationToken, Package: r.pack,
		Logger: slog.New(slog.NewTextHandler(&r.logs, nil)), Now: r.now,
	}
	if change != nil {
		change(&cfg)
	}
	r.store = cfg.Store
	handler, err := webservice.NewHandler(cfg)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	r.url = server.URL
	t.Cleanup(func() {
		server.Close()
		client.CloseIdleConnections()
		// Whatever the test did, nothing of these may be in the log.
		for _, private := range []string{phone, pushToken, secret, "SN-"} {
			if strings.Contains(r.logs.String(), private) {
				t.Errorf("the log has %q:\n%s", private, r.logs.String())
			}
		}
	})
	r.put(r.id("SN-1"), "first")
	return r
}

func (r *rig) id(serial string) webservice.ID { return webservice.ID{Type: r.typ, Serial: serial} }

var client = &http.Client{Transport: &http.Transport{}, Timeout: 10 * time.Second}

// answer is what came back, read to its end.
type answer struct {
	status int
	header http.Header
	body   string
}

// call sends one request; path is below the webServiceURL.
func (r *rig) call(method, path, body string, header http.Header) answer {
	r.Helper()
	return call(r.T, method, r.url+path, body, header)
}

func call(t testing.TB, method, url, body string, header http.Header) answer {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(request.Header, header)
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, string(content)}
}

// authorized is the header of a device that has the package.
func (r *rig) authorized() http.Header {
	scheme := "ApplePass "
	if r.kind == webservice.Orders {
		scheme = "AppleOrder "
	}
	return http.Header{"Authorization": {scheme + secret}}
}

func (r *rig) registrations(serial string) string {
	return "/v1/devices/" + phone + "/registrations/" + r.typ + "/" + serial
}

func (r *rig) packages(serial string) string {
	return "/v1/" + r.kind.String() + "/" + r.typ + "/" + serial
}

// register does it and expects 201 or 200.
func (r *rig) register(serial string) {
	r.Helper()
	a := r.call(http.MethodPost, r.registrations(serial), `{"pushToken":"`+pushToken+`"}`, r.authorized())
	if a.status != http.StatusCreated && a.status != http.StatusOK {
		r.Fatalf("registering: %d %s", a.status, a.body)
	}
}

// change marks it as changed, as an Updater would.
func (r *rig) change(serial, content string) {
	r.Helper()
	r.put(r.id(serial), content)
	if _, err := r.store.Change(r.Context(), r.typ, []string{serial}, r.now()); err != nil {
		r.Fatal(err)
	}
}

// fetch asks for the package, with If-Modified-Since if it is not empty.
func (r *rig) fetch(serial, since string) answer {
	r.Helper()
	header := r.authorized()
	if since != "" {
		header.Set("If-Modified-Since", since)
	}
	return r.call(http.MethodGet, r.packages(serial), "", header)
}
