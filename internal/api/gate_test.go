package api

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"aviso.example/engine"
)

func TestKey(t *testing.T) {
	key := GenerateKey()
	if key == GenerateKey() || len(key) != 38 || misspelt(key) != "" || checkKey(key) != nil {
		t.Errorf("%q: %s, %v", key, misspelt(key), checkKey(key))
	}
	// Every single typing error is found.
	for i := len(keyPrefix); i < len(key); i++ {
		wrong := []byte(key)
		if wrong[i]++; misspelt(string(wrong)) == "" {
			t.Errorf("character %d is not checked", i)
		}
	}
	for key, want := range map[string]string{
		"":                     "is missing",
		key + "\n":             "white space",
		key[:20]:               "cut off",
		key + "ab":             "something was probably copied with it",
		key[:37] + "!":         "mistyped",
		"short":                "it has to have 20",
		"somebodys own secret": "",
	} {
		if err := checkKey(key); want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want) || len(key) > 30 && strings.Contains(err.Error(), key[6:20])) {
			t.Errorf("%q: %v, want %q", key, err, want)
		}
	}
	if _, err := New(Config{}); err == nil || !strings.Contains(err.Error(), "Engine") || !strings.Contains(err.Error(), "Key") {
		t.Error(err)
	}
}

func TestAuthorization(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	other := GenerateKey()
	for given, want := range map[string]string{
		"":                           "Authorization is missing",
		r.key:                        "has to be Bearer",
		"Basic " + r.key:             "has to be Bearer",
		"Bearer " + other:            "is not one of this server",
		"Bearer " + r.key[:30]:       "cut off",
		"Bearer " + r.key + "xx":     "copied with it",
		"Bearer " + r.key[:37] + "!": "mistyped",
		"Bearer ":                    "has to be Bearer",
	} {
		for _, path := range []string{"/v1/apps", "/metrics", "/openapi.json", "/nothing"} {
			a := r.do("GET", path, "", "Authorization", given)
			r.wantProblem(a, &unauthorized, want)
			if a.Header.Get("WWW-Authenticate") == "" || strings.Contains(a.text, r.key[6:20]) || strings.Contains(a.text, other[6:20]) {
				t.Errorf("%s: %v %s", given, a.Header, a.text)
			}
		}
		r.wantProblem(r.do("POST", "/v1/messages", `{}`, "Authorization", given), &unauthorized)
	}
	r.want(r.do("GET", "/v1/apps", "", "Authorization", "bearer "+r.key), 200, nil)
	r.want(r.do("GET", "/v1/apps", "", "Authorization", "Bearer   "+r.key), 200, nil)
	for _, path := range []string{"/livez", "/readyz"} {
		r.want(r.do("GET", path, "", "Authorization", ""), 200, nil)
	}
}

func TestCrossOrigin(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.wantProblem(r.do("POST", "/v1/apps/shop:pause", "", "Sec-Fetch-Site", "cross-site"), &crossOrigin)
	r.want(r.do("POST", "/v1/apps/shop:pause", "", "Sec-Fetch-Site", "same-origin"), 200, nil)
	r.want(r.do("GET", "/v1/apps", "", "Sec-Fetch-Site", "cross-site"), 200, nil)
}

func TestRequestID(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for given, kept := range map[string]bool{"order-7.a_B": true, "x y": false, "": false, strings.Repeat("x", 41): false, "a<script>": false} {
		a := r.do("GET", "/v1/deliveries/x", "", requestIDField, given)
		got := a.Header.Get(requestIDField)
		if (got == given) != kept || got == "" || !strings.Contains(a.text, `"request_id":"`+got+`"`) {
			t.Errorf("%q: %q, %s", given, got, a.text)
		}
	}
}

// Drain refuses what is new and lets go on what runs.
func TestDrain(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	body, writer := io.Pipe()
	req, err := http.NewRequest("POST", r.url+"/v1/batches", body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+r.key)
	req.Header.Set("Content-Type", ndjson)
	done := make(chan answer)
	go func() { done <- r.send(req) }()
	io.WriteString(writer, lines(`{"title":"x"}`, 0, 10))
	wait(r, "/v1/batches", func(l *Batches) bool { return len(l.Batches) == 1 })
	r.want(r.do("GET", "/readyz", ""), 200, nil)

	r.Drain()
	var h Health
	r.want(r.do("GET", "/readyz?verbose", ""), 503, &h)
	if h.OK || len(h.Checks) != 6 || h.Checks[0].OK || h.Checks[0].Detail != "shutting down" || !h.Checks[1].OK {
		t.Errorf("%+v", h)
	}
	r.want(r.do("GET", "/livez", ""), 200, nil)
	for _, path := range []string{"/v1/messages", "/v1/batches", "/v1/apps/shop:pause"} {
		a := r.do("POST", path, `{}`)
		r.wantProblem(a, &shuttingDown)
		if a.Header.Get("Retry-After") == "" {
			t.Errorf("%v", a.Header)
		}
	}
	r.get("/v1/apps", nil)
	io.WriteString(writer, lines("", 10, 20))
	writer.Close()
	var receipt BatchReceipt
	if r.want(<-done, 202, &receipt); receipt.Accepted != 20 {
		t.Errorf("%+v", receipt)
	}
}

// What the engine cannot take is answered so that a sender knows what to do.
func TestEngineRefuses(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for err, want := range map[error]struct {
		kind  *kind
		retry string
	}{
		engine.ErrBusy:                         {&tooBusy, "1"},
		engine.ErrFull:                         {&queueFull, "30"},
		engine.ErrClosed:                       {&shuttingDown, "5"},
		engine.ErrStore:                        {&notConfirmed, ""},
		errors.New("disk on fire at 0xc0ffee"): {&internalError, ""},
	} {
		r.submit = func(context.Context, *engine.Message, []engine.Target) (*engine.Receipt, error) { return nil, err }
		a := r.do("POST", "/v1/messages", `{"to":"aa","title":"x"}`)
		r.wantProblem(a, want.kind)
		if a.Header.Get("Retry-After") != want.retry || strings.Contains(a.text, "fire") {
			t.Errorf("%v: Retry-After %q, %s", err, a.Header.Get("Retry-After"), a.text)
		}
	}
	r.submit = func(context.Context, *engine.Message, []engine.Target) (*engine.Receipt, error) { panic("oh no") }
	r.wantProblem(r.do("POST", "/v1/messages", `{"to":"aa","title":"x"}`), &internalError)
	if log := r.log.String(); !strings.Contains(log, "oh no") || !strings.Contains(log, "on fire") {
		t.Error("the log does not say what happened")
	}
}

// After Close of the engine nothing is accepted, and everybody is told.
func TestEngineClosed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if err := r.engine.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.wantProblem(r.do("POST", "/v1/messages", `{"to":"aa","title":"x"}`), &shuttingDown)
	r.wantProblem(r.postBatch("", lines(`{"title":"x"}`, 0, 1)), &shuttingDown)
	var h Health
	r.want(r.do("GET", "/readyz?verbose", ""), 503, &h)
	if h.Checks[1].OK {
		t.Errorf("%+v", h)
	}
	a := r.do("GET", "/v1/batches/"+engine.BatchID{6: 0x70, 8: 0x80}.String(), "")
	if a.StatusCode < 400 {
		t.Errorf("%d %s", a.StatusCode, a.text)
	}
}

func TestHealthCosts(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	before := r.figures.at
	for range 3 {
		rec := httptest.NewRecorder()
		r.API.ServeHTTP(rec, httptest.NewRequest("GET", "/readyz", nil))
		if rec.Code != 200 || rec.Body.String() != "{\"ok\":true}\n" {
			t.Errorf("%d %s", rec.Code, rec.Body)
		}
		if !before.IsZero() && r.figures.at != before {
			t.Error("the log was asked again")
		}
		before = r.figures.at
	}
}
