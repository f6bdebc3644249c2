package webpush

import (
	"bytes"
	"crypto/ecdh"
	"encoding/json"
	"io"
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Subscription is where a browser wants its messages: what
// PushSubscription.toJSON() gives in the page. It is immutable, safe for
// concurrent use, and prints as the host of its push service.
type Subscription struct {
	in *box
}

// box keeps what is secret two pointers away from a Subscription, which is where
// fmt prints addresses whatever the verb.
type box struct{ is *subscription }

func wrap(s *subscription) *Subscription { return &Subscription{&box{s}} }

// get returns nil for no subscription.
func (s *Subscription) get() *subscription {
	if s == nil || s.in == nil {
		return nil
	}
	return s.in.is
}

type subscription struct {
	endpoint string
	url      *url.URL
	origin   string // of the URL, as RFC 6454 section 6.2 writes it
	key      *ecdh.PublicKey
	auth     [authLength]byte
	expires  time.Time
}

// NewSubscription makes a subscription from its parts, as they may be stored in
// a database: the endpoint, the browser's public key (65 bytes) and
// authentication secret (16 bytes) in base64url, and when it expires (zero for
// never). Padding and the other base64 alphabet are let through. Errors are
// [*InvalidError] with everything that is wrong.
//
// Whether the endpoint may be connected to is decided by the [Client].
func NewSubscription(endpoint, p256dh, auth string, expires time.Time) (*Subscription, error) {
	var p problems
	s := newSubscription(&p, endpoint, p256dh, auth, expires)
	if err := p.in("subscription"); err != nil {
		return nil, err
	}
	return s, nil
}

func newSubscription(p *problems, endpoint, p256dh, auth string, expires time.Time) *Subscription {
	s := &subscription{endpoint: endpoint, expires: expires}
	s.url = parseEndpoint(p, endpoint)
	if s.url != nil {
		s.origin = originOf(s.url)
	}
	switch point, err := decode64(p256dh); {
	case p256dh == "":
		p.add("keys.p256dh", "is missing; it is the browser's public key")
	case err != nil:
		p.add("keys.p256dh", "%v", err)
	case len(point) == authLength:
		p.add("keys.p256dh", "has %d bytes, as keys.auth has; the two seem to be swapped", authLength)
	case len(point) != keyLength:
		p.add("keys.p256dh", "has %d bytes, and a public key on P-256 has %d", len(point), keyLength)
	default:
		if s.key, err = ecdh.P256().NewPublicKey(point); err != nil {
			p.add("keys.p256dh", "is not a point on P-256")
		}
	}
	s.auth = parseAuth(p, "keys.auth", auth)
	return wrap(s)
}

func parseAuth(p *problems, field, text string) (auth [authLength]byte) {
	switch secret, err := decode64(text); {
	case text == "":
		p.add(field, "is missing; it is the browser's authentication secret")
	case err != nil:
		p.add(field, "%v", err)
	case len(secret) != authLength:
		p.add(field, "has %d bytes, and an authentication secret has %d (RFC 8291 section 3.2)", len(secret), authLength)
	default:
		copy(auth[:], secret)
	}
	return auth
}

// parseEndpoint takes what RFC 8030 allows, an absolute https URL, and what push services
// for tests have: an http URL at this machine, for the client to refuse or take. The
// problems do not quote it.
func parseEndpoint(p *problems, endpoint string) *url.URL {
	const field = "endpoint"
	if endpoint == "" {
		p.add(field, "is missing; it is the URL of the subscription")
		return nil
	}
	if len(endpoint) > maxEndpoint {
		p.add(field, "has more than %d bytes", maxEndpoint)
		return nil
	}
	if !plainASCII(endpoint) {
		p.add(field, "has a space or another character in it that a URL cannot have")
		return nil
	}
	u, err := url.Parse(endpoint)
	switch {
	case err != nil:
		p.add(field, "is not a URL") // err quotes it
		return nil
	case u.Scheme == "http" && !isLoopbackHost(strings.ToLower(u.Hostname())):
		p.add(field, "begins with http:, and push services speak https: only (RFC 8030 section 8)")
	case u.Scheme != "https" && u.Scheme != "http":
		p.add(field, "is not an https: URL; copy it as the browser gave it")
	case u.Hostname() == "":
		p.add(field, "has no host")
	case u.User != nil:
		p.add(field, "has a user name in it, which no push service uses")
	case u.Fragment != "" || strings.HasSuffix(endpoint, "#"):
		p.add(field, "has a fragment (#), which no push service uses")
	case !validHost(u.Hostname()):
		p.add(field, "has a host that is neither a name nor an address")
	case !validPort(u):
		p.add(field, "has a port that is none")
	default:
		u.Host = strings.ToLower(u.Host)
		return u
	}
	return nil
}

// validHost reports whether a host is an IPv6 address or made of letters, digits,
// hyphens, underscores and dots. Names beyond ASCII come as punycode, and
// percent signs would be decoded by the parser.
func validHost(host string) bool {
	if strings.Contains(host, ":") {
		return !strings.Contains(host, "%") // a zone belongs to one machine
	}
	for i := range len(host) {
		c := host[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.') {
			return false
		}
	}
	return len(host) <= 253
}

func validPort(u *url.URL) bool {
	if u.Port() == "" {
		return !strings.HasSuffix(u.Host, ":")
	}
	n, err := strconv.ParseUint(u.Port(), 10, 16)
	return err == nil && n > 0
}

// originOf is scheme, host, and the port if it is not the usual one. It is what
// "aud" has to be (RFC 8292 section 2).
func originOf(u *url.URL) string {
	host := u.Hostname()
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if port := portOf(u); port != usualPort(u) {
		host += ":" + strconv.Itoa(port)
	}
	return u.Scheme + "://" + host
}

func usualPort(u *url.URL) int {
	if u.Scheme == "http" {
		return 80
	}
	return 443
}

func portOf(u *url.URL) int {
	if u.Port() == "" {
		return usualPort(u)
	}
	n, _ := strconv.Atoi(u.Port())
	return n
}

// ParseSubscription reads what JSON.stringify(subscription) gives in the page.
// Keys beside endpoint, expirationTime, keys.p256dh and keys.auth are ignored.
// Errors are [*InvalidError] with everything that is wrong, by the path of the
// key.
func ParseSubscription(data []byte) (*Subscription, error) {
	var p problems
	s := parseSubscription(&p, data)
	if err := p.in("subscription"); err != nil {
		return nil, err
	}
	return s, nil
}

func parseSubscription(p *problems, data []byte) *Subscription {
	if len(data) > maxSubscription {
		p.add("", "has more than %d bytes of JSON, and a browser's has some hundred", maxSubscription)
		return nil
	}
	top, ok := object(p, "", data)
	if !ok {
		return nil
	}
	if inner, wrapped := top["subscription"]; wrapped && top["endpoint"] == nil && len(inner) > 0 && inner[0] == '{' {
		p.add("", `holds the subscription under "subscription"; give the inner object`)
		return nil
	}
	endpoint, endpointOK := text(p, "endpoint", top["endpoint"])
	keys, keysOK := map[string]json.RawMessage(nil), top["keys"] != nil
	if !keysOK {
		p.add("keys", "is missing; use JSON.stringify(subscription) in the page, which has the keys that copying its fields loses")
	} else {
		keys, keysOK = object(p, "keys", top["keys"])
	}
	p256dh, p256dhOK := text(p, "keys.p256dh", keys["p256dh"])
	auth, authOK := text(p, "keys.auth", keys["auth"])
	expires := expiration(p, top["expirationTime"])

	var q problems
	s := newSubscription(&q, endpoint, p256dh, auth, expires)
	for _, problem := range q { // what was no text has been told already
		switch {
		case problem.Field == "endpoint" && !endpointOK,
			problem.Field == "keys.p256dh" && !(keysOK && p256dhOK),
			problem.Field == "keys.auth" && !(keysOK && authOK):
		default:
			*p = append(*p, problem)
		}
	}
	return s
}

// object reads a JSON object, and nothing after it.
func object(p *problems, field string, data []byte) (map[string]json.RawMessage, bool) {
	var m map[string]json.RawMessage
	d := json.NewDecoder(bytes.NewReader(data))
	if err := d.Decode(&m); err != nil || m == nil {
		p.add(field, "is not a JSON object")
		return nil, false
	}
	if _, err := d.Token(); err != io.EOF {
		p.add(field, "has something after its JSON object")
		return nil, false
	}
	return m, true
}

// text reads a JSON string; absent and null are the empty one.
func text(p *problems, field string, raw json.RawMessage) (string, bool) {
	if raw == nil || string(raw) == "null" {
		return "", true
	}
	var s string
	if json.Unmarshal(raw, &s) != nil {
		p.add(field, "is not a text")
		return "", false
	}
	return s, true
}

// expiration reads milliseconds since 1970, or null.
func expiration(p *problems, raw json.RawMessage) time.Time {
	if raw == nil || string(raw) == "null" {
		return time.Time{}
	}
	var ms float64
	if json.Unmarshal(raw, &ms) != nil || ms < 0 || ms > 8.64e15 { // the last moment that JavaScript knows
		p.add("expirationTime", "is neither null nor milliseconds since 1970")
		return time.Time{}
	}
	return time.UnixMilli(int64(math.Round(ms))).UTC()
}

// Endpoint returns the URL of the subscription. Its path is a secret.
func (s *Subscription) Endpoint() string { return s.get().endpoint }

// Origin returns scheme and host of the endpoint, and its port if that is not
// 443: what a VAPID JWT is made for.
func (s *Subscription) Origin() string { return s.get().origin }

// Host returns the host of the push service, without a port.
func (s *Subscription) Host() string { return s.get().url.Hostname() }

// Expires returns when the subscription ends, or zero if the browser did not say.
func (s *Subscription) Expires() time.Time { return s.get().expires }

// P256dh returns the browser's public key in base64url.
func (s *Subscription) P256dh() string { return encode64(s.get().key.Bytes()) }

// Auth returns the authentication secret in base64url.
func (s *Subscription) Auth() string { return encode64(s.get().auth[:]) }

// MarshalJSON writes what [ParseSubscription] reads, secrets included, in the
// browser's form: it is how subscriptions are stored.
func (s Subscription) MarshalJSON() ([]byte, error) {
	if s.get() == nil {
		return []byte("null"), nil
	}
	type keys struct {
		P256dh string `json:"p256dh"`
		Auth   string `json:"auth"`
	}
	var expires *int64
	if !s.get().expires.IsZero() {
		expires = new(s.get().expires.UnixMilli())
	}
	return json.Marshal(struct {
		Endpoint       string `json:"endpoint"`
		ExpirationTime *int64 `json:"expirationTime"`
		Keys           keys   `json:"keys"`
	}{s.get().endpoint, expires, keys{s.P256dh(), s.Auth()}})
}

// UnmarshalJSON is [ParseSubscription].
func (s *Subscription) UnmarshalJSON(data []byte) error {
	parsed, err := ParseSubscription(data)
	if err != nil {
		return err
	}
	*s = *parsed
	return nil
}
