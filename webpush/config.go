package webpush

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"strings"
	"time"

	trust "aviso.example/internal/roots"
)

// Config is what a Client is made of. Key and Subject are required; everything
// else has a default.
type Config struct {
	// Key is the VAPID key of the site. A subscription that was made with another
	// one is refused, by Apple with VapidPkHashMismatch.
	Key *Key
	// Subject is how push services reach you about messages that trouble them:
	// mailto:name@example.com or an https: address. [CheckSubject] says what is
	// wrong with one.
	Subject string

	// Hosts limits endpoints to these host names and the names below them;
	// [KnownPushServices] has those of the large browsers. Empty means any public
	// host, for browsers that nobody has heard of yet.
	Hosts []string
	// Ports are ports that endpoints may have beside 443.
	Ports []int
	// AllowLoopback lets endpoints at localhost, 127.0.0.1 and ::1 through, on any
	// port, with https or with http, which is what most push services for tests speak.
	// It is for tests and development.
	AllowLoopback bool
	// ExtraRoots are certificates in PEM to trust in addition to the system's,
	// such as those of a push service in a test.
	ExtraRoots []byte

	// MaxOrigins bounds the push services whose connections are kept while
	// nothing is sent to them; those not used for longest are closed first. The default is
	// 128.
	MaxOrigins int
	// MaxConnections bounds the connections to one origin. HTTP/2 needs one. The default is
	// 4.
	MaxConnections int
	// MaxInFlightPerOrigin bounds the requests under way at one origin, and with it
	// what a slow one can take from the others. The default is 64.
	MaxInFlightPerOrigin int
	// MaxInFlight bounds the requests under way in all; further calls of Send
	// wait, or give up with their context. The default is 1024.
	MaxInFlight int
	// BatchWindow bounds the messages that one SendAll holds. The default is 4096.
	BatchWindow int

	// RequestTimeout bounds one attempt, connecting included. A request that was
	// handed to the connection and is not answered by then is Unknown. The default is 30
	// seconds.
	RequestTimeout time.Duration
	// Timeout bounds a whole Send if its context has no deadline. A message of
	// SendAll does not use it up while it waits for its turn at a push service that
	// takes others meanwhile. The default is one minute.
	Timeout time.Duration
	// MaxAttempts is how often a message is handed to the push service before the
	// last refusal counts. 429, 500 and 503 are tried again, after what Retry-After
	// says or else with a growing pause, if it ends before the deadline and within
	// the TTL. The default is 4.
	MaxAttempts int
	// ResendUnknown sends again what got no answer, or a gateway's 502 or 504, at the
	// risk that the user sees it twice. A topic makes that less likely.
	ResendUnknown bool

	// Logger hears of attempts that will be repeated. It is given hosts, statuses
	// and reasons, nothing secret. Nil means silence.
	Logger *slog.Logger

	// dial makes connections in tests, which have networks of their own.
	dial dialFunc
}

// withDefaults returns a copy that has every field, or what is wrong with it.
func (c Config) withDefaults() (Config, *tls.Config, error) {
	var p problems
	if c.Key == nil || c.Key.private == nil {
		p.add("Key", "is missing: load one with LoadKey, or make one with aviso webpush keys")
	}
	if err := CheckSubject(c.Subject); err != nil {
		p.add("Subject", "%v", err)
	}
	hosts := make([]string, len(c.Hosts))
	for i, host := range c.Hosts {
		hosts[i] = strings.Trim(strings.ToLower(strings.TrimPrefix(host, "*.")), ".")
		if hosts[i] == "" || !validHost(hosts[i]) || strings.Contains(hosts[i], ":") {
			p.add("Hosts", "has %q, which is no host name such as push.apple.com", host)
		}
	}
	c.Hosts = hosts
	for _, port := range c.Ports {
		if port < 1 || port > 65535 {
			p.add("Ports", "has %d, which is no port", port)
		}
	}
	secure := &tls.Config{MinVersion: tls.VersionTLS12}
	if len(c.ExtraRoots) > 0 {
		roots, err := x509.SystemCertPool()
		if err != nil {
			roots = x509.NewCertPool()
		}
		if !trust.Add(roots, c.ExtraRoots) {
			p.add("ExtraRoots", "has no certificate in PEM")
		}
		secure.RootCAs = roots
	}
	for _, n := range []struct {
		field string
		value *int
		def   int
	}{
		{"MaxOrigins", &c.MaxOrigins, DefaultMaxOrigins},
		{"MaxConnections", &c.MaxConnections, DefaultMaxConnections},
		{"MaxInFlightPerOrigin", &c.MaxInFlightPerOrigin, DefaultMaxInFlightPerOrigin},
		{"MaxInFlight", &c.MaxInFlight, DefaultMaxInFlight},
		{"BatchWindow", &c.BatchWindow, DefaultBatchWindow},
		{"MaxAttempts", &c.MaxAttempts, DefaultMaxAttempts},
	} {
		if *n.value < 0 {
			p.add(n.field, "is negative")
		}
		*n.value = cmp.Or(*n.value, n.def)
	}
	for _, d := range []struct {
		field string
		value *time.Duration
		def   time.Duration
	}{
		{"RequestTimeout", &c.RequestTimeout, DefaultRequestTimeout},
		{"Timeout", &c.Timeout, DefaultTimeout},
	} {
		if *d.value < 0 || 0 < *d.value && *d.value < time.Millisecond {
			p.add(d.field, "is %v; it has to be a millisecond at least, and a plain number counts nanoseconds", *d.value)
		}
		*d.value = cmp.Or(*d.value, d.def)
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, secure, p.in("Config")
}
