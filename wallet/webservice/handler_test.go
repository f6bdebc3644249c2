package webservice_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"aviso.example/wallet/webservice"
)

func both(t *testing.T, test func(t *testing.T, kind webservice.Kind)) {
	for _, kind := range []webservice.Kind{webservice.Passes, webservice.Orders} {
		t.Run(kind.String(), func(t *testing.T) { test(t, kind) })
	}
}

// TestStatusCodes has a row for every answer there is.
func TestStatusCodes(t *testing.T) {
	both(t, func(t *testing.T, kind webservice.Kind) {
		const right = `{"pushToken":"` + pushToken + `"}`
		r := newRig(t, kind, nil)
		r.put(r.id("SN-2"), "other")
		right401 := http.Header{"Authorization": {"ApplePass " + secret}}
		if kind == webservice.Passes {
			right401 = http.Header{"Authorization": {"AppleOrder " + secret}}
		}
		wrong := http.Header{"Authorization": {strings.Replace(r.authorized().Get("Authorization"), secret, secret+"x", 1)}}
		list := "/v1/devices/" + phone + "/registrations/" + r.typ
		other := "/v1/orders/" + r.typ + "/SN-1"
		if kind == webservice.Orders {
			other = "/v1/passes/" + r.typ + "/SN-1"
		}
		for _, tt := range []struct {
			name, method, path, body string
			header                   http.Header
			want                     int
			detail                   string
		}{
			{"list before", "GET", list, "", nil, 204, ""},
			{"register", "POST", r.registrations("SN-1"), right, r.authorized(), 201, ""},
			{"register again", "POST", r.registrations("SN-1"), right, r.authorized(), 200, ""},
			{"register another", "POST", r.registrations("SN-2"), right, r.authorized(), 201, ""},
			{"register, other device token", "POST", r.registrations("SN-2"), `{"pushToken":"AB12","x":1}`, r.authorized(), 200, ""},
			{"list", "GET", list, "", nil, 200, ""},
			{"list, HEAD", "HEAD", list, "", nil, 200, ""},
			{"list, tag from elsewhere", "GET", list + "?passesUpdatedSince=%22x%22&ordersModifiedSince=-1", "", nil, 200, ""},
			{"list of another device", "GET", "/v1/devices/0/registrations/" + r.typ, "", nil, 204, ""},
			{"list of another type", "GET", list + "x", "", nil, 204, ""},
			{"fetch", "GET", r.packages("SN-1"), "", r.authorized(), 200, ""},
			{"fetch, HEAD", "HEAD", r.packages("SN-1"), "", r.authorized(), 200, ""},
			{"fetch what nobody registered for", "GET", r.packages("SN-1"), "", r.authorized(), 200, ""},
			{"log", "POST", "/v1/log", `{"logs":["x"]}`, nil, 200, ""},
			{"log, hostile", "POST", "/v1/log", `{"logs":`, nil, 200, ""},

			{"register without authorization", "POST", r.registrations("SN-1"), right, nil, 401, "Authorization is missing"},
			{"register, wrong", "POST", r.registrations("SN-1"), right, wrong, 401, "not that of the package"},
			{"register, other scheme", "POST", r.registrations("SN-1"), right, right401, 401, "has to be Apple"},
			{"register an unknown one", "POST", r.registrations("SN-0"), right, r.authorized(), 401, "no such package, or"},
			{"unregister, wrong", "DELETE", r.registrations("SN-1"), "", wrong, 401, "not that of the package"},
			{"fetch, wrong", "GET", r.packages("SN-1"), "", wrong, 401, "not that of the package"},
			{"fetch an unknown one", "GET", r.packages("SN-0"), "", r.authorized(), 401, "no such package, or"},
			{"fetch without authorization", "GET", r.packages("SN-1"), "", nil, 401, "Authorization is missing"},

			{"no body", "POST", r.registrations("SN-1"), "", r.authorized(), 400, "empty"},
			{"no pushToken", "POST", r.registrations("SN-1"), "{}", r.authorized(), 400, "pushToken is missing"},
			{"pushToken of another kind", "POST", r.registrations("SN-1"), `{"pushToken":1}`, r.authorized(), 400, "pushToken has to be a string"},
			{"pushToken in base64", "POST", r.registrations("SN-1"), `{"pushToken":"AAA="}`, r.authorized(), 400, "looks like base64"},
			{"pushToken cut off", "POST", r.registrations("SN-1"), `{"pushToken":"abc"}`, r.authorized(), 400, "odd number"},
			{"body too large", "POST", r.registrations("SN-1"), `{"pushToken":"` + strings.Repeat("a", 16<<10) + `"}`, r.authorized(), 413, "more than 16384"},
			{"body compressed", "POST", r.registrations("SN-1"), right, with(r.authorized(), "Content-Encoding", "gzip"), 415, "compressed"},
			{"empty device", "POST", "/v1/devices//registrations/" + r.typ + "/SN-1", right, r.authorized(), 400, "evice"},
			{"long device and type", "GET", "/v1/devices/" + strings.Repeat("d", 256) + "/registrations/" + strings.Repeat("t", 256), "", nil, 400, "limit is 255"},
			{"long serial", "GET", r.packages(strings.Repeat("s", 1025)), "", r.authorized(), 400, "limit is 1024"},
			{"control character", "GET", r.packages("a%00b"), "", r.authorized(), 400, "control character"},
			{"not UTF-8", "GET", r.packages("%FF"), "", r.authorized(), 400, "UTF-8"},

			{"other paths", "GET", "/", "", nil, 404, "webServiceURL"},
			{"other version", "GET", strings.Replace(r.packages("SN-1"), "v1", "v2", 1), "", r.authorized(), 404, "webServiceURL"},
			{"no type", "GET", "/v1/devices/" + phone + "/registrations", "", nil, 404, "webServiceURL"},
			{"the other kind's path", "GET", other, "", r.authorized(), 404, "/v1/" + kind.String() + "/"},
			{"one part too many", "GET", r.packages("SN-1") + "/x", "", r.authorized(), 404, ""},

			{"GET of a registration", "GET", r.registrations("SN-1"), "", r.authorized(), 405, "POST, DELETE"},
			{"PUT of a package", "PUT", r.packages("SN-1"), "", r.authorized(), 405, "GET, HEAD"},
			{"POST to the list", "POST", list, right, r.authorized(), 405, "GET, HEAD"},
			{"GET of the log", "GET", "/v1/log", "", nil, 405, "POST"},

			{"unregister", "DELETE", r.registrations("SN-1"), "", r.authorized(), 200, ""},
			{"unregister again", "DELETE", r.registrations("SN-1"), "", r.authorized(), 200, ""},
		} {
			a := r.call(tt.method, tt.path, tt.body, tt.header)
			if a.status != tt.want || !strings.Contains(a.body, tt.detail) {
				t.Errorf("%s: %d %s, want %d and %q", tt.name, a.status, a.body, tt.want, tt.detail)
			}
			checkRefusal(t, tt.name, a)
		}
	})
}

func with(h http.Header, name, value string) http.Header {
	h.Set(name, value)
	return h
}

// checkRefusal holds what goes for all refusals.
func checkRefusal(t *testing.T, name string, a answer) {
	t.Helper()
	if a.status < 400 {
		return
	}
	var problem struct{ Status int }
	if err := json.Unmarshal([]byte(a.body), &problem); err != nil || problem.Status != a.status || a.header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%s: %v, %s", name, err, a.body)
	}
	if a.status == 401 && !strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Apple") || a.status == 405 && a.header.Get("Allow") == "" ||
		a.status == 503 && a.header.Get("Retry-After") == "" || a.header.Get("Last-Modified") != "" {
		t.Errorf("%s: %v", name, a.header)
	}
	for _, private := range []string{phone, pushToken, secret, "SN-"} {
		if strings.Contains(a.body, private) {
			t.Errorf("%s: the refusal repeats the request: %s", name, a.body)
		}
	}
}

// TestCallbacks has what follows from what the caller's program says.
func TestCallbacks(t *testing.T) {
	both(t, func(t *testing.T, kind webservice.Kind) {
		broken := errors.New("the database is away")
		for _, tt := range []struct {
			name           string
			both, withdraw error
			content        string
			want           int
			logged         string
		}{
			{"not there any more", nil, fmt.Errorf("no row: %w", webservice.ErrNotFound), "", 404, ""},
			{"withdrawn", nil, webservice.ErrGone, "", 410, ""},
			{"broken", nil, broken, "", 503, "the database is away"},
			{"no bytes", nil, nil, "", 503, "no bytes"},
			{"all is broken", broken, nil, "x", 503, "the database is away"},
			{"all is gone", webservice.ErrGone, nil, "x", 401, ""},
		} {
			r := newRig(t, kind, nil)
			r.register("SN-1") // so that there is a time to be left out
			r.put(r.id("SN-1"), tt.content)
			r.err, r.withdraw = tt.both, tt.withdraw
			a := r.fetch("SN-1", "")
			if a.status != tt.want {
				t.Errorf("%s: %d %s", tt.name, a.status, a.body)
			}
			checkRefusal(t, tt.name, a)
			if logs := r.logs.String(); (tt.logged == "") != (logs == "") || !strings.Contains(logs, tt.logged) {
				t.Errorf("%s: logged %q", tt.name, logs)
			}
		}
	})
}

func TestStoreFails(t *testing.T) {
	both(t, func(t *testing.T, kind webservice.Kind) {
		failing := failingStore{errors.New("disk full")}
		r := newRig(t, kind, func(cfg *webservice.Config) { cfg.Store = failing })
		for name, a := range map[string]answer{
			"register":   r.call("POST", r.registrations("SN-1"), `{"pushToken":"`+pushToken+`"}`, r.authorized()),
			"unregister": r.call("DELETE", r.registrations("SN-1"), "", r.authorized()),
			"list":       r.call("GET", "/v1/devices/"+phone+"/registrations/"+r.typ, "", nil),
			"fetch":      r.fetch("SN-1", ""),
		} {
			if a.status != 503 {
				t.Errorf("%s: %d %s", name, a.status, a.body)
			}
			checkRefusal(t, name, a)
		}
		if n := strings.Count(r.logs.String(), "disk full"); n != 4 {
			t.Errorf("%d lines:\n%s", n, r.logs.String())
		}
	})
}

// A short authentication token could be guessed, and Apple takes none.
func TestShortAuthenticationToken(t *testing.T) {
	const short = "0123456789abcde"
	r := newRig(t, webservice.Passes, func(cfg *webservice.Config) {
		cfg.AuthenticationToken = func(context.Context, webservice.ID) (string, error) { return short, nil }
	})
	a := r.call("GET", r.packages("SN-1"), "", http.Header{"Authorization": {"ApplePass " + short}})
	if a.status != 503 || !strings.Contains(r.logs.String(), "15 bytes; an authentication token has 16 at least") || strings.Contains(r.logs.String(), short) {
		t.Errorf("%d, logged %s", a.status, r.logs.String())
	}
	checkRefusal(t, "short", a)
}

// TestWords looks at what differs between passes and orders, byte by byte.
func TestWords(t *testing.T) {
	for kind, want := range map[webservice.Kind]struct{ list, since, contentType, file string }{
		webservice.Passes: {`{"lastUpdated":"2","serialNumbers":["SN-1","SN-2"]}`, "passesUpdatedSince", "application/vnd.apple.pkpass", "pass.pkpass"},
		webservice.Orders: {`{"lastModified":"2","orderIdentifiers":["SN-1","SN-2"]}`, "ordersModifiedSince", "application/vnd.apple.finance.order", "order.order"},
	} {
		r := newRig(t, kind, nil)
		r.put(r.id("SN-2"), "second")
		r.register("SN-1")
		r.register("SN-2")
		list := "/v1/devices/" + phone + "/registrations/" + r.typ
		if a := r.call("GET", list, "", nil); a.body != want.list || a.header.Get("Content-Type") != "application/json" || a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%v: %s %v", kind, a.body, a.header)
		}
		if a := r.call("GET", list+"?"+want.since+"=2", "", nil); a.status != 204 || a.body != "" {
			t.Errorf("%v: %d %s", kind, a.status, a.body)
		}
		r.change("SN-1", "new")
		if a := r.call("GET", list+"?"+want.since+"=2", "", nil); !strings.Contains(a.body, `["SN-1"]`) || !strings.Contains(a.body, `"3"`) {
			t.Errorf("%v: %d %s", kind, a.status, a.body)
		}
		a := r.fetch("SN-1", "")
		if a.body != "new" || a.header.Get("Content-Type") != want.contentType || a.header.Get("Content-Length") != "3" ||
			a.header.Get("Content-Disposition") != `attachment; filename="`+want.file+`"` || a.header.Get("Cache-Control") != "private, no-cache" {
			t.Errorf("%v: %q %v", kind, a.body, a.header)
		}
		if a := r.call("HEAD", r.packages("SN-1"), "", r.authorized()); a.body != "" || a.header.Get("Content-Length") != "3" || a.header.Get("Last-Modified") == "" {
			t.Errorf("%v: %q %v", kind, a.body, a.header)
		}
	}
}

// Devices encode the parts of the path, and webServiceURL may have a path or a slash
// at its end.
func TestPaths(t *testing.T) {
	r := newRig(t, webservice.Passes, nil)
	const serial = "SN-1/ü ?%2F#+"
	r.put(r.id(serial), "odd")
	encoded := "SN-1%2F%C3%BC%20%3F%252F%23+"
	r.register(encoded)
	if a := r.call("GET", "/v1/devices/"+phone+"/registrations/"+passType, "", nil); !strings.Contains(a.body, serial) {
		t.Errorf("%d %s", a.status, a.body)
	}
	for _, path := range []string{r.packages(encoded), "/" + r.packages(encoded)} {
		if a := r.call("GET", path, "", r.authorized()); a.body != "odd" {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}

	handler, err := webservice.NewHandler(webservice.Config{Store: r.store, AuthenticationToken: r.authenticationToken, Package: r.pack})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/wallet/", http.StripPrefix("/wallet", handler))
	server := httptest.NewServer(mux)
	defer server.Close()
	if a := call(t, "GET", server.URL+"/wallet"+r.packages(encoded), "", r.authorized()); a.body != "odd" {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestConfigErrors(t *testing.T) {
	_, err := webservice.NewHandler(webservice.Config{Kind: 2})
	for _, want := range []string{"Config.Kind", "Config.Store", "Config.AuthenticationToken", "Config.Package"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s is not in %v", want, err)
		}
	}
}

// TestDeviceReports has texts as devices wrote them, from reports that developers
// published.
func TestDeviceReports(t *testing.T) {
	var got []webservice.DeviceReport
	r := newRig(t, webservice.Passes, func(cfg *webservice.Config) {
		cfg.Reports = func(_ context.Context, reports []webservice.DeviceReport) { got = append(got, reports...) }
	})
	about := "(for device " + phone + ", pass type pass.com.example, serial number SN-1; with web service url https://example.com)"
	texts := map[string]string{
		"Register task " + about + " encountered error: Authentication failure":                                                           "unauthorized",
		"Unregister task " + about + " encountered error: Unexpected response code 401":                                                   "unauthorized",
		"Get pass task " + about + " encountered error: Unexpected response code 404":                                                     "not found",
		"Get serial #s task " + about + " encountered error: Unexpected response code 503":                                                "server error",
		"Web service error for " + about + ": Server requested update to serial number 'SN-1', but the pass was unmodified.":              "not modified",
		"Web service error: Response to 'What changed?' request included 1 serial numbers but the lastUpdated tag (1) remained the same.": "tag",
		"Get pass task " + about + " encountered error: Received invalid pass data (The pass cannot be read because it isn’t valid.)":     "invalid package",
		"Get pass task " + about + " encountered error: The request timed out.":                                                           "unreachable",
		"Get pass task " + about + " encountered error: The certificate for this server is invalid.":                                      "tls",
		"Something else about SN-1": "other",
	}
	for text, kind := range texts {
		got = nil
		body, _ := json.Marshal(map[string][]string{"logs": {text}})
		if a := r.call("POST", "/v1/log", string(body), nil); a.status != 200 {
			t.Errorf("%d", a.status)
		}
		if len(got) != 1 || got[0].Text != text || got[0].Kind != kind || (got[0].Advice == "") != (kind == "other") {
			t.Errorf("%q: %+v, want %s", text, got, kind)
		}
	}
	if n := strings.Count(r.logs.String(), "\n"); n != len(texts) {
		t.Errorf("%d lines", n)
	}
}

func TestDeriveAuthenticationToken(t *testing.T) {
	key := []byte(strings.Repeat("k", 32))
	seen := map[string]webservice.ID{}
	for _, id := range []webservice.ID{{Type: "a", Serial: "bc"}, {Type: "ab", Serial: "c"}, {Type: "abc"}, {Serial: "abc"}} {
		got, err := webservice.DeriveAuthenticationToken(key, id)
		if err != nil || len(got) != 43 || strings.ContainsAny(got, "+/= ") {
			t.Errorf("%v: %q, %v", id, got, err)
		}
		if other, ok := seen[got]; ok {
			t.Errorf("%v and %v have the same", id, other)
		}
		seen[got] = id
		again, _ := webservice.DeriveAuthenticationToken(key, id)
		other, _ := webservice.DeriveAuthenticationToken([]byte(strings.Repeat("l", 32)), id)
		if again != got || other == got {
			t.Errorf("%v: %q, again %q, with another key %q", id, got, again, other)
		}
	}
	if _, err := webservice.DeriveAuthenticationToken(key[:31], webservice.ID{}); err == nil || strings.Contains(err.Error(), "kkk") {
		t.Errorf("a short key: %v", err)
	}
}
