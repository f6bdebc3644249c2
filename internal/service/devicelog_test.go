package service

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"
)

var hints = []Hint{
	{[]string{"authentication"}, "authentication", "The authentication token is not the one in the package."},
	{[]string{"Response Code", "404"}, "not found", "The path is not served."},
}

func report(t *testing.T, d *DeviceLog, body string) {
	t.Helper()
	w := httptest.NewRecorder()
	d.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/v1/log", strings.NewReader(body)))
	if w.Code != http.StatusOK || w.Body.Len() != 0 {
		t.Errorf("status %d, %d bytes", w.Code, w.Body.Len())
	}
}

// The texts have the device, the serial number and the authentication token in
// them; the log must have none of it.
func TestDeviceLogHints(t *testing.T) {
	var got []Report
	var out bytes.Buffer
	d := &DeviceLog{
		Service: "passes", Hints: hints, Logger: slog.New(slog.NewTextHandler(&out, nil)),
		Reports: func(_ context.Context, r []Report) { got = append(got, r...) },
	}
	texts := []string{
		"Get pass task (pass type pass.com.example, serial number secret-1) encountered error: Authentication failure",
		"Register task (for device secret-2) encountered error: Unexpected response code 404",
		"Something about secret-3\x00\u202e",
	}
	body, _ := json.Marshal(map[string]any{"logs": texts, "more": 1})
	report(t, d, string(body))
	want := []Report{
		{texts[0], "authentication", hints[0].Advice},
		{texts[1], "not found", hints[1].Advice},
		{texts[2], "other", ""},
	}
	if len(got) != len(want) {
		t.Fatalf("%d reports", len(got))
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("got %+v, want %+v", got[i], want[i])
		}
	}
	if n := strings.Count(out.String(), "\n"); n != 3 || strings.Contains(out.String(), "secret") {
		t.Errorf("%d lines:\n%s", n, out.String())
	}
	for _, kind := range []string{`service=passes kind=authentication advice="The authentication`, `kind="not found"`, "kind=other"} {
		if !strings.Contains(out.String(), kind) {
			t.Errorf("no %s in\n%s", kind, out.String())
		}
	}
}

func TestDeviceLogAlwaysAnswers200(t *testing.T) {
	called := false
	var out bytes.Buffer
	d := &DeviceLog{Logger: slog.New(slog.NewTextHandler(&out, nil)), Reports: func(context.Context, []Report) { called = true }}
	bad := []string{"", "{", "[]", `{"logs":"text"}`, `{"logs":[1]}`, `{"logs":[["secret"]]}`, "\xff", strings.Repeat(" ", maxLogBody+1)}
	for _, body := range bad {
		report(t, d, body)
	}
	if n := strings.Count(out.String(), "kind=unreadable"); n != len(bad) || strings.Contains(out.String(), "secret") {
		t.Errorf("%d lines of %d:\n%s", n, len(bad), out.String())
	}
	for _, body := range []string{"{}", `{"logs":[]}`, `{"logs":null}`} {
		report(t, d, body)
	}
	if called {
		t.Error("reports were handed over where there are none")
	}

	w := httptest.NewRecorder()
	d.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v1/log", nil))
	if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != http.MethodPost {
		t.Errorf("GET: %d, Allow %q", w.Code, w.Header().Get("Allow"))
	}
}

func TestDeviceLogIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []Report
		var out bytes.Buffer
		d := &DeviceLog{Logger: slog.New(slog.NewTextHandler(&out, nil)), Reports: func(_ context.Context, r []Report) { got = r }}
		body, _ := json.Marshal(map[string]any{"logs": []string{strings.Repeat("ü", MaxReportText)}})
		report(t, d, string(body))
		if text := got[0].Text; len(text) != MaxReportText || !utf8.ValidString(text) {
			t.Errorf("%d bytes, valid %v", len(text), utf8.ValidString(text))
		}

		many, _ := json.Marshal(map[string]any{"logs": make([]string, 1000)})
		for range 10 {
			report(t, d, string(many))
			if len(got) != MaxReports {
				t.Fatalf("%d reports", len(got))
			}
		}
		if n := strings.Count(out.String(), "\n"); n != reportBurst {
			t.Errorf("%d lines", n)
		}
		out.Reset()
		time.Sleep(time.Second)
		report(t, d, string(many))
		if n := strings.Count(out.String(), "\n"); n != reportRate {
			t.Errorf("%d lines a second later", n)
		}
		if want := "not_logged_before=271"; !strings.Contains(out.String(), want) { // 1 + 320 - 50
			t.Errorf("no %s in\n%s", want, out.String())
		}
	})
}

func FuzzDeviceLog(f *testing.F) {
	f.Add([]byte(`{"logs":["Unexpected response code 404"]}`))
	f.Add([]byte(`{"logs":["\ud800"]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		d := &DeviceLog{Hints: hints, Reports: func(_ context.Context, reports []Report) {
			for _, r := range reports {
				if len(r.Text) > MaxReportText || !utf8.ValidString(r.Text) || r.Kind == "" {
					t.Errorf("%+v", r)
				}
			}
		}}
		report(t, d, string(body))
	})
}
