package service

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

func TestSegments(t *testing.T) {
	for path, want := range map[string][]string{
		"/v1/passes/pass.com.example/1":          {"v1", "passes", "pass.com.example", "1"},
		"//v1/log":                               {"v1", "log"}, // a webServiceURL with a slash at its end
		"/v1/passes/pass.com.example/a%2Fb":      {"v1", "passes", "pass.com.example", "a/b"},
		"/v1/passes/pass.com.example/a%252Fb":    {"v1", "passes", "pass.com.example", "a%2Fb"}, // once, not twice
		"/v1/passes/pass.com.example/J%C3%BCrg":  {"v1", "passes", "pass.com.example", "Jürg"},
		"/v1/passes/pass.com.example/a+b%20c":    {"v1", "passes", "pass.com.example", "a+b c"},
		"/v1/passes/pass.com.example/%2E%2E":     {"v1", "passes", "pass.com.example", ".."},
		"/v1/log/":                               {"v1", "log", ""},
		"/":                                      {""},
		"/v1/passes/pass.com.example/%FF%FE":     nil,
		"/v1/devices/x//registrations":           {"v1", "devices", "x", "", "registrations"},
		"/v1/passes/pass.com.example/1?since=a/": {"v1", "passes", "pass.com.example", "1"},
	} {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		if got, ok := Segments(r); !slices.Equal(got, want) || ok != (want != nil) {
			t.Errorf("%s: %q, %v", path, got, ok)
		}
	}
}

func TestCheckSegment(t *testing.T) {
	for value, want := range map[string]string{
		"pass.com.example":        "",
		strings.Repeat("a", 32):   "",
		"":                        "is empty",
		strings.Repeat("ü", 17):   "has 34 bytes; the limit is 32",
		"a\nb":                    "control character",
		"a\x7f":                   "control character",
		"a b":                     "",
		"' OR 1=1; DROP TABLE --": "",
	} {
		p := CheckSegment("serialNumber", value, 32)
		if (p == nil) != (want == "") || p != nil && !strings.Contains(p.Problem, want) {
			t.Errorf("%q: %v, want %q", value, p, want)
		}
	}
}

type pushTokenBody struct {
	PushToken string `json:"pushToken"`
}

func read(body io.Reader, header http.Header) (pushTokenBody, *Problem) {
	r := httptest.NewRequest(http.MethodPost, "/", body)
	for name, values := range header {
		r.Header[name] = values
	}
	var v pushTokenBody
	return v, ReadJSON(httptest.NewRecorder(), r, 64, &v)
}

func TestReadJSON(t *testing.T) {
	for body, want := range map[string]struct {
		status int
		detail string
	}{
		`{"pushToken":"ab"}`:                          {},
		` {"pushToken":"ab","device":{"later":[1]}} `: {}, // Apple may add keys
		``:                         {400, "empty"},
		" \n":                      {400, "empty"},
		`[]`:                       {400, "begin with {"},
		`null`:                     {400, "begin with {"},
		`"ab"`:                     {400, "begin with {"},
		`{"pushToken":"ab"`:        {400, "at byte 17 of 17"},
		`{"pushToken":"ab"}}`:      {400, "at byte 19"},
		`{"pushToken":"ab"} {}`:    {400, "at byte 20"},
		`{"pushToken":"` + "\xff":  {400, "UTF-8"},
		`{"pushToken":12}`:         {400, "pushToken has to be a string, but is a JSON number"},
		`{"pushToken":["secret"]}`: {400, "pushToken has to be a string, but is a JSON array"},
		`{"pushToken":"` + strings.Repeat("a", 60) + `"}`: {413, "more than 64 bytes"},
		strings.Repeat(" ", 65):                           {413, "more than 64 bytes"},
	} {
		_, problem := read(strings.NewReader(body), nil)
		switch {
		case want.status == 0 && problem != nil:
			t.Errorf("%q: %v", body, problem)
		case want.status != 0 && (problem == nil || problem.Status != want.status || !strings.Contains(problem.Detail, want.detail)):
			t.Errorf("%q: %v, want %d and %q", body, problem, want.status, want.detail)
		case problem != nil && (strings.Contains(problem.Detail, "secret") || strings.Contains(problem.Detail, "12}")):
			t.Errorf("%q: the refusal repeats a value: %v", body, problem)
		}
	}
}

func TestReadJSONOfStrangeBodies(t *testing.T) {
	_, problem := read(strings.NewReader(`{}`), http.Header{"Content-Encoding": {"gzip"}})
	if problem == nil || problem.Status != http.StatusUnsupportedMediaType {
		t.Errorf("compressed: %v", problem)
	}
	if _, problem = read(strings.NewReader(`{}`), http.Header{"Content-Encoding": {"identity"}}); problem != nil {
		t.Errorf("identity: %v", problem)
	}
	_, problem = read(io.MultiReader(strings.NewReader(`{"push`), iotest.ErrReader(io.ErrUnexpectedEOF)), nil)
	if problem == nil || problem.Status != http.StatusBadRequest || !strings.Contains(problem.Detail, "ended early") {
		t.Errorf("cut off: %v", problem)
	}
}

func TestReadJSONCutAnywhere(t *testing.T) {
	const body = `{"pushToken":"0a1b","x":[1,2.5e3,true,null]}`
	for n := range len(body) {
		if v, problem := read(strings.NewReader(body[:n]), nil); problem == nil || problem.Status != http.StatusBadRequest {
			t.Errorf("%d bytes: %v, %v", n, v, problem)
		}
	}
}

func TestProblemsAreJSON(t *testing.T) {
	p := Invalid(FieldProblem{"pushToken", "is missing"}, FieldProblem{"serialNumber", "is <empty>"})
	w := httptest.NewRecorder()
	p.Write(w)
	var got struct {
		Title, Detail string
		Status        int
		Errors        []FieldProblem
	}
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if w.Code != 400 || got.Status != 400 || got.Title != "Bad Request" || !slices.Equal(got.Errors, p.Errors) ||
		got.Detail != "pushToken is missing; serialNumber is <empty>" {
		t.Errorf("%d %+v", w.Code, got)
	}
	if got := w.Header().Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("Content-Type %q", got)
	}

	w = httptest.NewRecorder()
	WrongMethod("GET", "HEAD").Write(w)
	if w.Code != 405 || w.Header().Get("Allow") != "GET, HEAD" {
		t.Errorf("%d, Allow %q", w.Code, w.Header().Get("Allow"))
	}
	w = httptest.NewRecorder()
	Unavailable().Write(w)
	if w.Code != 503 || w.Header().Get("Retry-After") != "60" {
		t.Errorf("%d, Retry-After %q", w.Code, w.Header().Get("Retry-After"))
	}
}

func FuzzReadJSON(f *testing.F) {
	for _, seed := range []string{`{"pushToken":"ab"}`, `{"pushToken":1}`, `{"a":{"b":[[[`, "{}\x00", `{"pushtoken":"AB","pushToken":"cd"}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		v, problem := read(strings.NewReader(body), nil)
		if (problem == nil) != (len(body) <= 64 && json.Valid([]byte(body)) && isObjectWithText(body)) {
			t.Errorf("%q: %+v, %v", body, v, problem)
		}
	})
}

// isObjectWithText says what ReadJSON has to take, by way of another decoder.
func isObjectWithText(body string) bool {
	if strings.ToValidUTF8(body, "") != body {
		return false
	}
	d := json.NewDecoder(strings.NewReader(body))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return false
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return false
		}
		var value json.RawMessage
		if d.Decode(&value) != nil {
			return false
		}
		if strings.EqualFold(key.(string), "pushToken") && value[0] != '"' && string(value) != "null" {
			return false
		}
	}
	return true
}

func FuzzSegments(f *testing.F) {
	for _, seed := range []string{"/v1/log", "//v1/passes/a/b%2Fc", "/%zz", "/%FF", "/a%00b", "%2F0"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, path string) {
		r, err := http.NewRequest(http.MethodGet, "http://localhost/"+strings.TrimLeft(path, "/"), nil)
		if err != nil {
			return // net/http does not take it either
		}
		segments, ok := Segments(r)
		if !ok {
			return
		}
		slashes := strings.Count(strings.TrimLeft(r.URL.EscapedPath(), "/"), "/")
		joined := strings.TrimLeft(strings.Join(segments, "/"), "/")
		if joined != strings.TrimLeft(r.URL.Path, "/") || len(segments) != slashes+1 {
			t.Errorf("%q became %q", path, segments)
		}
	})
}
