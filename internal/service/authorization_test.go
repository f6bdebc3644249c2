package service

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestPresented(t *testing.T) {
	const right = "vxwxd7J8AlNNFPS8k0a0FfUFtq0ewzFdc"
	for name, tt := range map[string]struct {
		scheme Scheme
		fields []string
		want   string // of the authentication token
		detail string // of the refusal
	}{
		"a pass":          {ApplePass, []string{"ApplePass " + right}, right, ""},
		"an order":        {AppleOrder, []string{"AppleOrder " + right}, right, ""},
		"a website":       {ApplePushNotifications, []string{"ApplePushNotifications " + right}, right, ""},
		"other case":      {ApplePass, []string{"applepass " + right}, right, ""},
		"more spaces":     {ApplePass, []string{"ApplePass   " + right + " \t"}, right, ""},
		"none":            {ApplePass, nil, "", "missing"},
		"empty":           {ApplePass, []string{""}, "", "scheme of Authorization has to be ApplePass"},
		"another scheme":  {ApplePass, []string{"AppleOrder " + right}, "", "another kind of package"},
		"Bearer":          {AppleOrder, []string{"Bearer " + right}, "", "has to be AppleOrder"},
		"no scheme":       {ApplePass, []string{right}, "", "has to be ApplePass"},
		"joined":          {ApplePass, []string{"ApplePass" + right}, "", "has to be ApplePass"},
		"scheme only":     {ApplePass, []string{"ApplePass"}, "", "no authentication token"},
		"scheme and room": {ApplePass, []string{"ApplePass  "}, "", "no authentication token"},
		"twice":           {ApplePass, []string{"ApplePass " + right, "ApplePass " + right}, "", "more than once"},
		"endless":         {ApplePass, []string{"ApplePass " + strings.Repeat("a", 4097)}, "", "more than 4096"},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			for _, f := range tt.fields {
				r.Header.Add("Authorization", f)
			}
			got, problem := tt.scheme.Presented(r)
			if got != tt.want {
				t.Errorf("got %q", got)
			}
			if tt.detail == "" {
				if problem != nil {
					t.Error(problem)
				}
				return
			}
			if problem == nil || problem.Status != http.StatusUnauthorized || !strings.Contains(problem.Detail, tt.detail) {
				t.Fatalf("got %v, want 401 and %q", problem, tt.detail)
			}
			if strings.Contains(problem.Detail, right) {
				t.Error("the refusal repeats the authentication token")
			}
			w := httptest.NewRecorder()
			problem.Write(w)
			if got := w.Header().Get("WWW-Authenticate"); w.Code != 401 || got != string(tt.scheme) {
				t.Errorf("status %d, WWW-Authenticate %q", w.Code, got)
			}
		})
	}
}

func TestSameAuthenticationToken(t *testing.T) {
	const a, b = "0123456789abcdef", "0123456789abcdeF"
	for _, tt := range []struct {
		presented, issued string
		want              bool
	}{
		{a, a, true},
		{a, b, false},
		{a, a + "0", false},
		{a[:15], a, false},
		{"", a, false},
		{a, "", false},
		{"", "", false}, // nothing was issued, so nothing opens it
	} {
		if got := SameAuthenticationToken(tt.presented, tt.issued); got != tt.want {
			t.Errorf("%q and %q: %v", tt.presented, tt.issued, got)
		}
	}
}
