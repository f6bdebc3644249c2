package safari

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"unicode/utf8"

	"aviso.example/internal/bundle"
)

const websiteFile = "website.json"

// MinAuthenticationToken is how many characters an authentication token has at
// least.
const MinAuthenticationToken = 16

// Website is website.json. All of it is required.
type Website struct {
	// WebsiteName is the heading in Safari's notification settings.
	WebsiteName string `json:"websiteName"`
	// WebsitePushID is the identifier from the developer portal, such as
	// "web.com.example.news". It is the UID of the certificate and what the page
	// passes to requestPermission.
	WebsitePushID string `json:"websitePushID"`
	// AllowedDomains are the origins that may ask for permission, such as
	// "https://www.example.com".
	AllowedDomains []string `json:"allowedDomains"`
	// URLFormatString is the address that a click opens. Each %@ in it is filled
	// from url-args of the notification, in order; %% is a per cent sign.
	URLFormatString string `json:"urlFormatString"`
	// AuthenticationToken identifies the user in the calls to the web service: at
	// least 16 characters. It is a secret between site, package and Safari.
	AuthenticationToken string `json:"authenticationToken"`
	// WebServiceURL is where the web service is: https, without a slash at the
	// end, and the same as the first argument of requestPermission.
	WebServiceURL string `json:"webServiceURL"`
}

// String leaves the authentication token out.
func (w Website) String() string {
	return fmt.Sprintf("website %s (%s)", w.WebsitePushID, w.WebsiteName)
}

// GoString leaves the authentication token out.
func (w Website) GoString() string { return "safari." + w.String() }

// JSON returns website.json. The error is *[Error].
func (w Website) JSON() ([]byte, error) {
	if err := w.Validate(); err != nil {
		return nil, err
	}
	return w.encode()
}

func (w Website) encode() ([]byte, error) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(w); err != nil {
		return nil, fmt.Errorf("safari: website.json: %w", err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

// ParseWebsite reads website.json and checks it as [Website.Validate] does. The
// error is *[Error]; what could be read is returned even so. Keys that Apple does
// not list are left alone, but for those that are one in other letters.
func ParseWebsite(data []byte) (Website, error) {
	var w Website
	var found problems
	members, err := bundle.ParseObject(data)
	if err != nil {
		found.add(websiteFile, err.Error(), "it is one JSON object in UTF-8")
		return w, found.err()
	}
	targets := map[string]any{
		"websiteName": &w.WebsiteName, "websitePushID": &w.WebsitePushID, "allowedDomains": &w.AllowedDomains,
		"urlFormatString": &w.URLFormatString, "authenticationToken": &w.AuthenticationToken, "webServiceURL": &w.WebServiceURL,
	}
	bad := map[string]bool{}
	seen := map[string]bool{}
	for _, m := range members {
		if seen[m.Name] {
			found.add(key(m.Name), "it is there twice", "")
		}
		seen[m.Name] = true
		target, known := targets[m.Name]
		if !known {
			for name := range targets {
				if strings.EqualFold(name, m.Name) {
					found.add(key(m.Name), "there is no such key", "write it "+name)
				}
			}
			continue
		}
		if string(m.Value) == "null" || json.Unmarshal(m.Value, target) != nil {
			bad[m.Name] = true
			want := "a string"
			if m.Name == "allowedDomains" {
				want = "an array of strings"
			}
			found.add(key(m.Name), "it is not "+want, "")
		}
	}
	for _, problem := range w.check(true) {
		// One problem with a key is enough.
		name := strings.TrimPrefix(problem.Path, websiteFile+"#")
		if !bad[name] {
			found.add(problem.Path, problem.Problem, problem.Fix)
		}
	}
	return w, found.err()
}

// key names a key of website.json. The name may be a stranger's.
func key(name string) string {
	if len(name) > 100 {
		name = name[:100] + "…"
	}
	if quoted := fmt.Sprintf("%q", name); quoted != `"`+name+`"` {
		name = quoted
	}
	return websiteFile + "#" + name
}

// Validate checks everything that can be known without the certificate. The
// error is *[Error] and names every problem.
func (w Website) Validate() error { return w.check(true).err() }

// check leaves the authentication token out if it differs from package to
// package.
func (w Website) check(authenticationToken bool) (found problems) {
	missing := func(name, value string) bool {
		switch {
		case value == "":
			found.add(key(name), "it is missing", "all six keys are required")
		case !utf8.ValidString(value):
			found.add(key(name), "it is not UTF-8", "")
		default:
			return false
		}
		return true
	}
	missing("websiteName", w.WebsiteName)
	if !missing("websitePushID", w.WebsitePushID) {
		if name, ok := strings.CutPrefix(w.WebsitePushID, "web."); !ok || name == "" || strings.ContainsAny(w.WebsitePushID, " /\t\r\n") {
			found.add(key("websitePushID"), "it does not begin with web. and a name", "use the identifier from the developer portal, such as web.com.example.news")
		}
	}
	if len(w.AllowedDomains) == 0 {
		found.add(key("allowedDomains"), "it is missing or empty", "list the origins that may ask for permission, such as https://www.example.com")
	}
	domains := map[string]bool{}
	for i, domain := range w.AllowedDomains {
		problem, fix := checkOrigin(domain)
		if problem == "" && domains[domain] {
			problem = "it is there twice"
		}
		if problem != "" {
			found.add(key(fmt.Sprintf("allowedDomains/%d", i)), problem, fix)
		}
		domains[domain] = true
	}
	if !missing("urlFormatString", w.URLFormatString) {
		if _, problem, fix := parseFormat(w.URLFormatString); problem != "" {
			found.add(key("urlFormatString"), problem, fix)
		}
	}
	if authenticationToken && !missing("authenticationToken", w.AuthenticationToken) {
		if problem, fix := checkAuthenticationToken(w.AuthenticationToken); problem != "" {
			found.add(key("authenticationToken"), problem, fix)
		}
	}
	if !missing("webServiceURL", w.WebServiceURL) {
		if problem, fix := checkWebServiceURL(w.WebServiceURL); problem != "" {
			found.add(key("webServiceURL"), problem, fix)
		}
	}
	return found
}

// checkOrigin wants an origin as browsers write it (RFC 6454 section 6.2), since
// Safari compares texts.
func checkOrigin(origin string) (problem, fix string) {
	const example = "write scheme and host only, such as https://www.example.com"
	u, err := url.Parse(origin)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return "it is not an origin", example
	case strings.Contains(u.Host, "*"):
		return "wildcards are not possible", "list each host"
	case u.Path != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.Contains(origin, "#") || u.User != nil:
		return "an origin has nothing after the host, not even a slash", example
	case strings.ContainsFunc(origin, func(r rune) bool { return r > '~' }):
		return "browsers write the hosts of origins in ASCII", "write the name with xn--"
	case strings.ToLower(origin) != origin:
		return "browsers write origins in lower case", "write " + strings.ToLower(origin)
	case u.Scheme == "https" && u.Port() == "443" || u.Scheme == "http" && u.Port() == "80" || strings.HasSuffix(u.Host, ":"):
		return "browsers leave the usual port out", "leave the port out"
	}
	return "", ""
}

func checkAuthenticationToken(text string) (problem, fix string) {
	switch n := utf8.RuneCountInString(text); {
	case n < MinAuthenticationToken:
		return fmt.Sprintf("it has %d characters, and at least %d are needed", n, MinAuthenticationToken), "use a long random text"
	case strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }):
		return "it holds a character that cannot be sent in the Authorization field", "use letters, digits and the marks of base64url"
	}
	return "", ""
}

func checkWebServiceURL(text string) (problem, fix string) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "":
		return "it is not a URL", "write it like https://push.example.com/safari"
	case u.Scheme != "https":
		return "it does not begin with https://", "serve the web service over TLS"
	case strings.HasSuffix(text, "/"):
		return "it ends with a slash", "leave the slash out; it must be the very text that the page passes to requestPermission"
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.HasSuffix(text, "#") || u.User != nil:
		return "it has more than scheme, host and path", "Safari appends the paths of its calls to it"
	}
	return "", ""
}
