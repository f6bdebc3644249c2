package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"aviso.example/apns"
	"aviso.example/apnstest"
	"aviso.example/auth"
	"aviso.example/engine"
	"aviso.example/internal/await"
)

func TestMain(m *testing.M) {
	http.DefaultTransport.(*http.Transport).DisableKeepAlives = true // or idle connections look like leaks
	goleak.VerifyTestMain(m)
}

// rig is the API over a real engine and a simulator, on a real server.
type rig struct {
	*API
	t      testing.TB
	apple  *apnstest.Server
	engine *engine.Engine
	url    string
	key    string
	log    *bytes.Buffer
}

func testApp(t testing.TB, apple *apnstest.Server, id string) engine.App {
	t.Helper()
	key, err := auth.ParseSigningKey(apple.KeyPEM, apple.KeyID)
	if err != nil {
		t.Fatal(err)
	}
	return engine.App{
		ID: id, BundleID: apple.Topic, Default: apns.Sandbox,
		Sandbox: &engine.Credential{Key: key, TeamID: apple.TeamID, Endpoint: apple.Endpoint, ExtraRoots: apple.CAPEM},
	}
}

// newRig starts everything, with one app, "shop", unless apps are named.
func newRig(t testing.TB, apps ...string) *rig {
	t.Helper()
	apple := apnstest.Start(t)
	if len(apps) == 0 {
		apps = []string{"shop"}
	}
	cfg := engine.Config{Store: engine.StoreConfig{Dir: t.TempDir()}, Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))}
	for _, id := range apps {
		cfg.Apps = append(cfg.Apps, testApp(t, apple, id))
	}
	e, err := engine.Open(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, apple: apple, engine: e, key: GenerateKey(), log: &bytes.Buffer{}}
	r.API, err = New(Config{Engine: e, Key: r.key, Version: "test", Logger: slog.New(slog.NewTextHandler(io.MultiWriter(r.log, t.Output()), nil))})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(r.API)
	r.url = server.URL
	t.Cleanup(func() {
		server.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := e.Close(ctx); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return r
}

// pause keeps everything in the queue.
func (r *rig) pause() {
	r.t.Helper()
	if err := r.engine.PauseApp(context.Background(), "shop", "for the test"); err != nil {
		r.t.Fatal(err)
	}
}

// answer is what came back.
type answer struct {
	*http.Response
	text string
}

// request makes one, with the key unless fields say otherwise.
func (r *rig) request(method, path, body string, fields ...string) *http.Request {
	r.t.Helper()
	req, err := http.NewRequest(method, r.url+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+r.key)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(fields); i += 2 {
		if fields[i+1] == "" {
			req.Header.Del(fields[i])
		} else {
			req.Header.Set(fields[i], fields[i+1])
		}
	}
	return req
}

func (r *rig) do(method, path, body string, fields ...string) answer {
	r.t.Helper()
	return r.send(r.request(method, path, body, fields...))
}

func (r *rig) send(req *http.Request) answer {
	r.t.Helper()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return answer{resp, string(text)}
}

// want checks the status and reads the body into v, unless that is nil.
func (r *rig) want(a answer, status int, v any) {
	r.t.Helper()
	if a.StatusCode != status {
		r.t.Fatalf("%s %s: status %d, want %d: %s", a.Request.Method, a.Request.URL, a.StatusCode, status, a.text)
	}
	if v != nil {
		d := json.NewDecoder(strings.NewReader(a.text))
		d.DisallowUnknownFields()
		if err := d.Decode(v); err != nil {
			r.t.Fatalf("%v in %s", err, a.text)
		}
	}
}

func (r *rig) get(path string, v any) {
	r.t.Helper()
	r.want(r.do("GET", path, ""), 200, v)
}

// wantProblem checks a problem by its kind, and that all of the words are in it.
func (r *rig) wantProblem(a answer, k *kind, words ...string) *Problem {
	r.t.Helper()
	var p Problem
	if a.StatusCode != k.Status || a.Header.Get("Content-Type") != "application/problem+json" {
		r.t.Errorf("%s %s: status %d, %s, want %d: %s", a.Request.Method, a.Request.URL, a.StatusCode, a.Header.Get("Content-Type"), k.Status, a.text)
		return &p
	}
	if err := json.Unmarshal([]byte(a.text), &p); err != nil {
		r.t.Fatalf("%v in %s", err, a.text)
	}
	if p.Type != problemsPath+"/"+k.Kind || p.Title != k.Title || p.Status != k.Status || p.RequestID == "" || p.RequestID != a.Header.Get(requestIDField) {
		r.t.Errorf("%s %s: %s, want %s", a.Request.Method, a.Request.URL, a.text, k.Kind)
	}
	all := p.Detail + "\n"
	for _, e := range p.Errors {
		all += e.String() + "\n"
	}
	for _, word := range words {
		if !strings.Contains(all, word) {
			r.t.Errorf("%s %s: %q is not in %s", a.Request.Method, a.Request.URL, word, a.text)
		}
	}
	return &p
}

// next is the parameter for the next page, or nothing for the first.
func next(name, cursor string) string {
	if cursor == "" {
		return ""
	}
	return "&" + name + "=" + cursor
}

// device returns a device token that is always the same for a number.
func device(n int) string {
	sum := sha256.Sum256(fmt.Append(nil, "device ", n))
	return hex.EncodeToString(sum[:])
}

func deviceTokens(from, to int) (list []string) {
	for i := from; i < to; i++ {
		list = append(list, device(i))
	}
	return list
}

func toJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// post sends a message that must be accepted.
func (r *rig) post(body string) MessageReceipt {
	r.t.Helper()
	a := r.do("POST", "/v1/messages", body)
	var receipt MessageReceipt
	r.want(a, 202, &receipt)
	if a.Header.Get("Location") != "/v1/messages/"+receipt.ID {
		r.t.Errorf("Location is %q", a.Header.Get("Location"))
	}
	return receipt
}

// wait asks for something until it is as it should be.
func wait[T any](r *rig, path string, ready func(*T) bool) T {
	r.t.Helper()
	var v T
	await.Until(r.t, path+" to be as it should", func() bool {
		v = *new(T)
		r.get(path, &v)
		return ready(&v)
	})
	return v
}

func (r *rig) waitMessage(id string) Message {
	r.t.Helper()
	return wait(r, "/v1/messages/"+id, func(m *Message) bool { return m.Done })
}
