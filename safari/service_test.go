package safari

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"aviso.example/internal/cmstest"
)

const device = "0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef"

// secrets of these tests, and a page whose userInfo is {"session":"<user>"}.
func users() *SignedUsers {
	return &SignedUsers{
		Secrets: [][]byte{bytes.Repeat([]byte{1}, 32)},
		User: func(_ context.Context, _ string, userInfo json.RawMessage) (string, error) {
			var page struct{ Session string }
			if json.Unmarshal(userInfo, &page) != nil || page.Session == "" {
				return "", ErrRefused
			}
			if page.Session == "broken" {
				return "", errors.New("the database is away")
			}
			return page.Session, nil
		},
	}
}

type rig struct {
	*testing.T
	service *Service
	store   *MemoryStore
	log     bytes.Buffer
	reports []Report
}

func newRig(t *testing.T) *rig {
	r := &rig{T: t, store: &MemoryStore{}}
	r.service = must(NewService(ServiceConfig{
		Builders: []*Builder{must(NewBuilder(config()))}, Users: users(), Store: r.store,
		Reports: func(_ context.Context, all []Report) { r.reports = append(r.reports, all...) },
		Logger:  slog.New(slog.NewTextHandler(&r.log, nil)),
	}))
	return r
}

func (r *rig) call(method, path, body, authorization string) *httptest.ResponseRecorder {
	r.Helper()
	request := httptest.NewRequest(method, path, strings.NewReader(body))
	if authorization != "" {
		request.Header.Set("Authorization", authorization)
	}
	w := httptest.NewRecorder()
	r.service.ServeHTTP(w, request)
	return w
}

// issue fetches a package as Safari does and returns the authentication token in
// it.
func (r *rig) issue(version, user string) string {
	r.Helper()
	w := r.call("POST", "/"+version+"/pushPackages/"+siteID, `{"session":"`+user+`"}`, "")
	if w.Code != 200 || w.Header().Get("Content-Type") != "application/zip" || w.Header().Get("Cache-Control") != "no-store" {
		r.Fatalf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	p, err := verify(w.Body.Bytes(), VerifyConfig{Roots: intermediates(cmstest.Apple().Root)})
	if err != nil || p.Version.String() != version {
		r.Fatalf("%v, %v", p.Version, err)
	}
	return p.Website.AuthenticationToken
}

func TestWebService(t *testing.T) {
	r := newRig(t)
	path := "/v1/devices/" + device + "/registrations/" + siteID
	ada := "ApplePushNotifications " + r.issue("v1", "ada")
	bob := "ApplePushNotifications " + r.issue("v2", "bob")
	want := func(all ...Registration) {
		t.Helper()
		if got := r.store.Registrations(); !slices.Equal(got, all) {
			t.Errorf("%v", got)
		}
	}
	registered := Registration{siteID, strings.ToLower(device), "ada"}
	for range 2 { // Safari repeats its calls.
		if w := r.call("POST", path, "", ada); w.Code != 200 || w.Body.Len() > 0 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		want(registered)
	}
	// Another user cannot take the device off, but can be at it now.
	if w := r.call("DELETE", path, "", bob); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	want(registered)
	r.call("POST", "/v2"+path[3:], "", bob)
	registered.User = "bob"
	want(registered)
	for range 2 {
		if w := r.call("DELETE", path, "", bob); w.Code != 200 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		want()
	}
	if text := r.log.String(); text != "" {
		t.Error(text)
	}
}

func TestWebServiceRefuses(t *testing.T) {
	r := newRig(t)
	registrations := "/v1/devices/" + device + "/registrations/" + siteID
	right := r.issue("v2", "ada")
	authorization := "ApplePushNotifications " + right
	for _, c := range []struct {
		method, path, body, authorization string
		status                            int
		detail                            string
	}{
		{"POST", registrations, "", "", 401, "Authorization is missing"},
		{"POST", registrations, "", "ApplePass " + right, 401, "has to be ApplePushNotifications"},
		{"POST", registrations, "", authorization + "x", 401, "authentication token"},
		{"POST", registrations, "", "ApplePushNotifications " + authenticationToken, 401, "authentication token"},
		{"DELETE", registrations, "", "", 401, "Authorization is missing"},
		{"GET", registrations, "", authorization, 405, "POST, DELETE"},
		{"POST", "/v1/devices/xyz/registrations/" + siteID, "", authorization, 400, "deviceToken"},
		{"POST", "/v1/devices/abc/registrations/" + siteID, "", authorization, 400, "even number"},
		{"POST", "/v1/devices/" + strings.Repeat("ab", 101) + "/registrations/" + siteID, "", authorization, 400, "limit"},
		{"POST", "/v1/devices/" + device + "/registrations/web.com.example.other", "", authorization, 404, "websitePushID"},
		{"POST", "/v1/pushPackages/web.com.example.other", "{}", "", 404, "websitePushID"},
		{"GET", "/v1/pushPackages/" + siteID, "", "", 405, "POST"},
		{"POST", "/v1/pushPackages/" + siteID, "", "", 400, "empty"},
		{"POST", "/v1/pushPackages/" + siteID, "[]", "", 400, "JSON object"},
		{"POST", "/v1/pushPackages/" + siteID, `{"session":"` + strings.Repeat("x", maxUserInfo) + `"}`, "", 413, "bytes"},
		{"POST", "/v1/pushPackages/" + siteID, `{}`, "", 403, "no package for this user"},
		{"POST", "/v1/pushPackages/" + siteID, `{"session":"broken"}`, "", 503, "at the moment"},
		{"POST", "/v3/log", `{"logs":[]}`, "", 404, "/v1/ or /v2/"},
		{"POST", "/v1/other", "", "", 404, "pushPackages"},
		{"POST", "/", "", "", 404, "/v1/"},
		{"GET", "/v2/log", "", "", 405, "POST"},
	} {
		w := r.call(c.method, c.path, c.body, c.authorization)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.detail) {
			t.Errorf("%s %.60s: %d %s, want %d %s", c.method, c.path, w.Code, w.Body, c.status, c.detail)
		}
		if strings.Contains(w.Body.String(), right) || strings.Contains(w.Body.String(), device) {
			t.Errorf("%s: a secret is shown: %s", c.path, w.Body)
		}
	}
	if len(r.store.Registrations()) > 0 {
		t.Error("a refused call registered a device")
	}
	if text := r.log.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "the database is away") {
		t.Error(text)
	}
}

type failing struct{ Store }

func (failing) Register(context.Context, Registration) error { return errors.New("the disk is full") }

func TestStoreFails(t *testing.T) {
	r := newRig(t)
	r.service.config.Store = failing{}
	w := r.call("POST", "/v1/devices/"+device+"/registrations/"+siteID, "", "ApplePushNotifications "+r.issue("v1", "ada"))
	if w.Code != 503 || w.Header().Get("Retry-After") == "" || strings.Contains(w.Body.String(), "disk") || !strings.Contains(r.log.String(), "the disk is full") {
		t.Errorf("%d %v %s\n%s", w.Code, w.Header(), w.Body, r.log.String())
	}
}

// TestReports has the texts of the guide in other words; Safari's own are not
// documented.
func TestReports(t *testing.T) {
	r := newRig(t)
	texts := map[string]string{
		"authenticationToken must be at least 16 characters.":                    "shorter than 16",
		"Downloading push notification package failed for " + siteID:             "did not answer 200",
		"Extracting push notification package failed":                            "a zip that holds a folder",
		"Missing file in push notification package: icon.iconset":                "a file is missing",
		"Missing image in push notification package":                             "six icons",
		"Missing key in website.json: allowedDomains":                            "six keys",
		"Serialization of JSON in website.json failed":                           "is not JSON",
		"Signature verification of push package failed":                          "lacks the intermediate",
		"Unable to create the notification icon. Check your images":              "PNG of the right size",
		"Unable to generate ICNS file":                                           "PNG of the right size",
		"Unable to parse webServiceURL: x":                                       "is not a URL",
		"webServiceURL must equal the URL passed to requestPermission":           "slash at the end",
		"The webServiceURL must begin with http or https":                        "https://",
		"The urlFormatString must begin with http or https":                      "http:// or https://",
		"websitePushID in website.json must equal the one in the script":         "certificate",
		`"https://example.com/%20" cannot be used as a format string`:            "begins neither %@ nor %%",
		"Validating hashes failed":                                               "v1 has SHA-1",
		"The manifest could not be read":                                         "v1 has SHA-1",
		"Something nobody has seen about device " + device + " with /v1/devices": "",
	}
	var logs []string
	for text := range texts {
		logs = append(logs, text)
	}
	body, _ := json.Marshal(map[string]any{"logs": logs})
	if w := r.call("POST", "/v2/log", string(body), ""); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if len(r.reports) != len(texts) {
		t.Fatalf("%d reports", len(r.reports))
	}
	for _, report := range r.reports {
		if want := texts[report.Text]; want == "" && report.Advice != "" || !strings.Contains(report.Advice, want) {
			t.Errorf("%q: %q", report.Text, report.Advice)
		}
	}
	if strings.Contains(r.log.String(), device) || strings.Contains(r.log.String(), siteID) {
		t.Error(r.log.String())
	}
}

func TestSignedUsers(t *testing.T) {
	ctx := t.Context()
	old, renewed := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)
	issued := must((&SignedUsers{Secrets: [][]byte{old}}).Issue(ctx, siteID, nil))
	if problem, _ := checkAuthenticationToken(issued); problem != "" {
		t.Error(problem)
	}
	for name, c := range map[string]struct {
		secrets   [][]byte
		site      string
		presented string
		ok        bool
	}{
		"same":            {[][]byte{old}, siteID, issued, true},
		"renewed":         {[][]byte{renewed, old}, siteID, issued, true},
		"taken away":      {[][]byte{renewed}, siteID, issued, false},
		"another website": {[][]byte{old}, "web.other", issued, false},
		"another user":    {[][]byte{old}, siteID, issued + "YWRh", false},
		"cut":             {[][]byte{old}, siteID, issued[1:], false},
		"no dot":          {[][]byte{old}, siteID, strings.TrimSuffix(issued, "."), true}, // the user is "" all the same
		"empty":           {[][]byte{old}, siteID, "", false},
	} {
		user, err := (&SignedUsers{Secrets: c.secrets}).Authenticate(ctx, c.site, c.presented)
		if user != "" || (err == nil) != c.ok || err != nil && !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %q, %v", name, user, err)
		}
	}
	for _, secrets := range [][][]byte{nil, {old, {1}}} {
		weak := &SignedUsers{Secrets: secrets}
		if _, err := weak.Issue(ctx, siteID, nil); err == nil {
			t.Error("issued with a weak secret")
		}
		if _, err := weak.Authenticate(ctx, siteID, issued); err == nil || errors.Is(err, ErrRefused) {
			t.Error(err)
		}
		if _, err := NewService(ServiceConfig{Users: weak}); err == nil {
			t.Error("a service with a weak secret")
		}
	}
}

func TestNewServiceRefuses(t *testing.T) {
	_, err := NewService(ServiceConfig{})
	for _, want := range []string{"Builders is missing", "Users is missing", "Store is missing"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	builder := must(NewBuilder(config()))
	if _, err := NewService(ServiceConfig{Builders: []*Builder{builder, nil}, Users: users(), Store: &MemoryStore{}}); err == nil || !strings.Contains(err.Error(), "Builders[1] is nil") {
		t.Error(err)
	}
	if _, err := NewService(ServiceConfig{Builders: []*Builder{builder, builder}, Users: users(), Store: &MemoryStore{}}); err == nil || !strings.Contains(err.Error(), "two for "+siteID) {
		t.Error(err)
	}
	// What is set and yet nothing is told apart from what is missing.
	_, err = NewService(ServiceConfig{Builders: []*Builder{builder, nil}, Users: (*SignedUsers)(nil), Store: (*MemoryStore)(nil)})
	for _, want := range []string{"Builders[1] is nil", "Users is missing", "Store is missing"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}

func TestServiceIsConcurrent(t *testing.T) {
	r := newRig(t)
	authorization := "ApplePushNotifications " + r.issue("v1", "ada")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			method := []string{http.MethodPost, http.MethodDelete}[i%2]
			if w := r.call(method, "/v1/devices/"+device+"/registrations/"+siteID, "", authorization); w.Code != 200 {
				t.Error(w.Code)
			}
			if w := r.call("POST", "/v2/pushPackages/"+siteID, `{"session":"ada"}`, ""); w.Code != 200 {
				t.Error(w.Code)
			}
		})
	}
	wg.Wait()
}
