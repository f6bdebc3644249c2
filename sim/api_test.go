package sim_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"aviso.example/apnstest"
	"aviso.example/sim"
)

// api calls the test API without a socket.
func api(t testing.TB, apns *apnstest.Server, method, path, body string) (int, string) {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	req.Host = "127.0.0.1:2198"
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	w := httptest.NewRecorder()
	apns.Handler().ServeHTTP(w, req)
	if w.Body.Len() > 0 && !json.Valid(w.Body.Bytes()) {
		t.Errorf("%s %s: not JSON: %s", method, path, w.Body)
	}
	if want := "application/problem+json"; w.Code >= 400 && w.Header().Get("Content-Type") != want {
		t.Errorf("%s %s: %d is %s", method, path, w.Code, w.Header().Get("Content-Type"))
	}
	return w.Code, w.Body.String()
}

func TestAPIPushes(t *testing.T) {
	apns := apnstest.Start(t)
	r := connect(t, apns)
	r.answer(r.push("apns-collapse-id", "score", "apns-id", longID(1)))
	r.answer(r.push("apns-topic", ""))
	id := r.open()
	r.must(r.fr.WriteData(id, true, []byte("not JSON")))
	r.answer(id)

	get := func(query string) (list []map[string]any, next float64) {
		t.Helper()
		code, body := api(t, apns, "GET", "/sim/v1/pushes"+query, "")
		if code != 200 {
			t.Fatalf("%s: %d %s", query, code, body)
		}
		var v struct {
			Pushes []map[string]any
			Next   float64
		}
		if err := json.Unmarshal([]byte(body), &v); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(body, strings.TrimPrefix(r.bearer, "bearer ")) {
			t.Error("the provider token is in the answer")
		}
		return v.Pushes, v.Next
	}
	all, next := get("")
	if len(all) != 4 || next != 4 {
		t.Fatalf("%d pushes, next %v", len(all), next)
	}
	if s := fmt.Sprint(all[0]["payload"]); s != "map[aps:map[alert:Hello]]" {
		t.Error(s)
	}
	if s := fmt.Sprint(all[3]["payload"]); s != "map[base64:bm90IEpTT04=]" {
		t.Error(s)
	}
	for query, want := range map[string]int{
		"?collapse_id=score": 1, "?outcome=rejected": 1, "?after=2": 2, "?limit=1": 1, "?order=newest&limit=1": 1, "?order=newest&after=2": 2,
		"?device_token=" + strings.ToUpper(apns.DeviceToken): 4, "?topic=com.example.none": 0,
		"?apns_id=" + longID(1): 1, "?push_type=alert&after=3": 1, "?after=4&wait=1ms": 0,
	} {
		if got, _ := get(query); len(got) != want {
			t.Errorf("%s: %d, want %d", query, len(got), want)
		}
	}
	if last, next := get("?order=newest&limit=2"); len(last) != 2 || fmt.Sprint(last[0]["sequence"], last[1]["sequence"], next) != "4 3 4" {
		t.Errorf("%v, %v", last, next)
	}
	if code, _ := api(t, apns, "DELETE", "/sim/v1/pushes", ""); code != 204 {
		t.Error(code)
	}
	if got, _ := get(""); len(got) != 0 {
		t.Error(got)
	}
}

func TestAPILongPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		apns := apnstest.StartMem(t)
		start := time.Now()
		if code, body := api(t, apns, "GET", "/sim/v1/pushes?wait=5s", ""); code != 200 || !strings.Contains(body, `"pushes":[]`) {
			t.Error(code, body)
		}
		if took := time.Since(start); took != 5*time.Second {
			t.Errorf("an empty wait took %v", took)
		}
		r := connect(t, apns)
		apns.Clear()
		go func() {
			time.Sleep(3 * time.Second)
			r.push()
		}()
		start = time.Now()
		if _, body := api(t, apns, "GET", "/sim/v1/pushes?wait=60s&topic="+apns.Topic, ""); !strings.Contains(body, `"sequence":2`) {
			t.Error(body)
		}
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("the wait took %v", took)
		}
	})
}

func TestAPIDevices(t *testing.T) {
	apns := apnstest.Start(t)
	r := connect(t, apns)
	path := "/sim/v1/devices/" + apns.DeviceToken
	steps := []struct {
		method, path, body string
		code               int
		want               string
	}{
		{"GET", path, "", 200, `"inbox":[{"apns_id"`},
		{"PUT", path, `{"state":"unregistered","since":"2021-08-25T16:00:00Z"}`, 200, `"since":"2021-08-25T16:00:00Z"`},
		{"GET", "/sim/v1/devices", "", 200, `"state":"unregistered"`},
		{"POST", "/sim/v1/devices", `{"device_token":"ABCD","topics":["com.example.app"],"throttle":{"limit":2,"per":"1m"}}`, 201, `"per":"1m0s"`},
		{"POST", "/sim/v1/devices", `[{"device_token":"01"},{"device_token":"02","environment":"production"}]`, 201, `"environment":"production"`},
		{"POST", "/sim/v1/devices", `[{"device_token":"03"},{"device_token":"xyz"}]`, 422, `device 2: device_token must be`},
		{"GET", "/sim/v1/devices/03", "", 404, "no such device"},
		{"POST", "/sim/v1/devices", `{"token":"01"}`, 400, `unknown member \"token\"`},
		{"PUT", path, `{"state":"asleep"}`, 422, `state is \"asleep\"`},
		{"PUT", path, `{"device_token":"01"}`, 422, "differ"},
		{"DELETE", "/sim/v1/devices/01", "", 204, ""},
		{"DELETE", "/sim/v1/devices/01", "", 404, "no such device"},
	}
	for _, s := range steps {
		if code, body := api(t, apns, s.method, s.path, s.body); code != s.code || !strings.Contains(body, s.want) {
			t.Errorf("%s %s %s: %d %s", s.method, s.path, s.body, code, body)
		}
	}
	if a := r.answer(r.push()); a.body != `{"reason":"Unregistered","timestamp":1629907200000}` {
		t.Errorf("%+v", a)
	}
	if code, _ := api(t, apns, "DELETE", "/sim/v1/devices", ""); code != 204 || apns.Devices().Len() != 0 {
		t.Error(code, apns.Devices().Len())
	}
}

func TestAPIFaults(t *testing.T) {
	apns := apnstest.Start(t)
	r := connect(t, apns)
	code, body := api(t, apns, "POST", "/sim/v1/faults", `{"kind":"reset_stream","code":"refused_stream","count":1}`)
	if code != 201 || body != `{"id":"f1"}`+"\n" {
		t.Error(code, body)
	}
	r.expectReset(r.push(), 7)
	_, listed := api(t, apns, "GET", "/sim/v1/faults", "")
	if !strings.Contains(listed, `"code":"REFUSED_STREAM"`) || !strings.Contains(listed, `"fired":1`) {
		t.Error(listed)
	}
	// What GET gives, PUT takes.
	if code, body := api(t, apns, "PUT", "/sim/v1/faults", listed); code != 200 || !strings.Contains(body, `"fired":0`) {
		t.Error(code, body)
	}
	if code, body := api(t, apns, "PUT", "/sim/v1/faults", `[{"kind":"settings","settings":{"max_streams":1},"restore_after":"1s","now":true}]`); code != 200 || body != `{"faults":[]}`+"\n" {
		t.Error(code, body)
	}
	if s := r.settings(); s[3] != 1 {
		t.Error(s)
	}
	for body, want := range map[string]string{
		`{"kind":"quake"}`:                        "it must be one of",
		`{"kind":"delay","delay":5}`:              "a duration must be text",
		`{"kind":"delay","delay":"5"}`:            "with a unit",
		`{"kind":"answer","status":"x"}`:          `member \"status\" must be a whole number`,
		`{"kind":"goaway","code":"NOPE"}`:         "name of an HTTP/2 error",
		`{"kind":"padding","padding":300}`:        `member \"padding\"`,
		`{"id":"f9","kind":"silence"}`:            "given by the simulator",
		`{"kind":"silence"} {}`:                   "after the JSON value",
		`{"kind":"silence"`:                       "ends too early",
		`[`:                                       "ends too early",
		`{"kind":"silence","every":2,"nth":1}`:    "exclude each other",
		`{"kind":"silence","chance":1}`:           `unknown member \"chance\"`,
		`"` + strings.Repeat("x", 1<<20+10) + `"`: "larger than",
	} {
		code, answer := api(t, apns, "POST", "/sim/v1/faults", body)
		if code < 400 || code >= 500 || !strings.Contains(answer, want) {
			t.Errorf("%.60s: %d %s, want %q", body, code, answer, want)
		}
	}
	if code, _ := api(t, apns, "DELETE", "/sim/v1/faults/f1", ""); code != 404 {
		t.Error(code)
	}
	if code, _ := api(t, apns, "DELETE", "/sim/v1/faults", ""); code != 204 {
		t.Error(code)
	}
}

func TestAPIRest(t *testing.T) {
	apns := apnstest.Start(t)
	connect(t, apns)
	for _, c := range []struct {
		method, path, body string
		code               int
		want               string
	}{
		{"GET", "/sim/v1/info", "", 200, `"endpoint":"` + apns.Addr + `"`},
		{"GET", "/sim/v1/info", "", 200, "BEGIN CERTIFICATE"},
		{"GET", "/sim/v1/info", "", 200, `"key_id":"AVISOTEST1"`},
		{"GET", "/sim/v1/stats", "", 200, `"accepted":1`},
		{"GET", "/sim/v1/connections", "", 200, `"max_streams":1000`},
		{"PUT", "/sim/v1/clock", `{"offset":"-2h"}`, 200, `"offset":"-2h0m0s"`},
		{"GET", "/sim/v1/clock", "", 200, `"offset":"-2h0m0s"`},
		{"PUT", "/sim/v1/clock", `{}`, 400, `member \"offset\" is missing`},
		{"PUT", "/sim/v1/clock", ``, 400, `the body is empty`},
		{"GET", "/sim/v1/pushes?token=x", "", 400, `unknown parameter \"token\"`},
		{"GET", "/sim/v1/pushes?wait=1h", "", 400, "at most 1m0s"},
		{"GET", "/sim/v1/pushes?limit=x", "", 400, "must be a number"},
		{"GET", "/sim/v1/pushes?order=x", "", 400, "must be oldest or newest"},
		{"GET", "/sim/v1/pushes?limit=1&limit=2", "", 400, "there twice"},
		{"GET", "/sim/v1/pushes?outcome=x", "", 400, "outcome must be"},
		{"PATCH", "/sim/v1/pushes", "", 405, "not possible"},
		{"GET", "/", "", 404, "/sim/v1/info"},
	} {
		if code, body := api(t, apns, c.method, c.path, c.body); code != c.code || !strings.Contains(body, c.want) {
			t.Errorf("%s %s %s: %d %s", c.method, c.path, c.body, code, body)
		}
	}
	lean := apnstest.Start(t, func(c *sim.Config) { c.Lean = true })
	if code, body := api(t, lean, "GET", "/sim/v1/pushes", ""); code != 409 || !strings.Contains(body, "lean") {
		t.Error(code, body)
	}
	if _, err := lean.Server.WaitForPush(t.Context(), sim.Filter{}); err != sim.ErrLean {
		t.Error(err)
	}
}

// A web page of another origin cannot move the simulator.
func TestAPICrossOrigin(t *testing.T) {
	apns := apnstest.Start(t)
	srv := httptest.NewServer(apns.Handler())
	defer srv.Close()
	req, err := http.NewRequestWithContext(t.Context(), "DELETE", srv.URL+"/sim/v1/pushes", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Origin", "https://evil.example")
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	res, err := srv.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	if res.StatusCode != 403 || !bytes.Contains(body, []byte("another origin")) {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	// Text posted by a form is no JSON, wherever it comes from.
	res, err = srv.Client().Post(srv.URL+"/sim/v1/faults", "text/plain", strings.NewReader(`{"kind":"silence"}`))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 415 {
		t.Error(res.StatusCode)
	}
}

// A name that leads here is not enough: a web page can have its own name lead here.
func TestAPIHost(t *testing.T) {
	apns := apnstest.Start(t, func(c *sim.Config) { c.Hosts = []string{"push.internal"} })
	for host, want := range map[string]int{
		"localhost": 200, "localhost:2198": 200, "LOCALHOST.:2198": 200, "sim.localhost": 200, "127.0.0.1:2198": 200, "[::1]:2198": 200, "192.0.2.1": 200,
		"push.internal:2198": 200, "evil.example": 421, "evil.example:2198": 421, "localhost.evil.example": 421, "127.0.0.1.evil.example": 421, "": 421,
	} {
		for _, method := range []string{http.MethodGet, http.MethodDelete} {
			req := httptest.NewRequestWithContext(t.Context(), method, "/sim/v1/pushes", nil)
			req.Host = host
			req.Header.Set("Origin", "http://"+host) // the same, as the browser sees it
			w := httptest.NewRecorder()
			apns.Handler().ServeHTTP(w, req)
			if got := w.Code; got != want && !(want == 200 && got == 204) {
				t.Errorf("%s %q: %d %s", method, host, got, w.Body)
			}
		}
	}
}
