package apns

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"aviso.example/auth"
	"aviso.example/internal/h2"
	"aviso.example/internal/pool"
	"aviso.example/internal/proto"
	"aviso.example/internal/roots"
)

// Environment is one of the two worlds that APNs consists of. A device token
// works in one of them only: builds run from Xcode register in the sandbox,
// TestFlight, App Store, ad-hoc and enterprise builds in production.
type Environment uint8

// The environments. The zero value is Production.
const (
	Production Environment = iota
	Sandbox
)

// String returns production or sandbox.
func (e Environment) String() string {
	if e == Sandbox {
		return "sandbox"
	}
	return "production"
}

// Host says which of Apple's services a client speaks to.
type Host uint8

// The services. The zero value is HostPush.
const (
	// HostPush takes pushes to devices and broadcasts to channels:
	// api.push.apple.com and api.sandbox.push.apple.com.
	HostPush Host = iota
	// HostBroadcast takes broadcasts only: api-broadcast.push.apple.com and
	// api-broadcast.sandbox.push.apple.com. Apple's page on broadcasts names
	// HostPush in its text and HostBroadcast in its samples; both are there in
	// case one of them should stop working.
	HostBroadcast
	// HostManagement creates, reads, lists and deletes channels:
	// api-manage-broadcast.push.apple.com:2196 and
	// api-manage-broadcast.sandbox.push.apple.com:2195. Package broadcast makes
	// such a client for itself.
	HostManagement
)

// Defaults of Config.
const (
	// DefaultTimeout bounds a whole Push, resends included, if the context sets
	// no deadline: one minute.
	DefaultTimeout = time.Minute
	// DefaultRequestTimeout bounds one attempt, from writing to the answer: 30
	// seconds.
	DefaultRequestTimeout = h2.DefaultRequestTimeout
	// DefaultConnectWait is how long notifications wait for a connection: 15 seconds.
	DefaultConnectWait = pool.DefaultConnectWait
	// DefaultMaxDialPause is the longest pause before another attempt to connect: one
	// minute.
	DefaultMaxDialPause = pool.DefaultMaxDialPause
	// DefaultMaxConnections is how many connections a client opens at most: four.
	DefaultMaxConnections = pool.DefaultMaxConns
	// DefaultMaxInFlight bounds the notifications that Push holds at once; it
	// exceeds what DefaultMaxConnections connections of 1,000 streams carry.
	DefaultMaxInFlight = 8192
	// DefaultBatchWindow is the same for one PushAll.
	DefaultBatchWindow = 8192
	// DefaultMaxAttempts is how often a notification is written before the last
	// refusal counts.
	DefaultMaxAttempts = 5
)

// Config is what a Client is made of. A credential is required; everything else
// has a default.
type Config struct {
	// Key and TeamID make provider tokens: the signing key of a .p8 file and
	// the 10-character id of the team it belongs to. Exactly one of Key,
	// ProviderTokens and Certificate has to be set.
	Key    *auth.SigningKey
	TeamID string
	// ProviderTokens replaces Key and TeamID; share one between the clients of
	// a process that use the same key, so that APNs sees few provider tokens.
	ProviderTokens *auth.ProviderTokens
	// Certificate is a client certificate with its key. Apple's certificates
	// cover one app, and for some push types not even that.
	Certificate *auth.Certificate

	// BundleID is the bundle identifier of notifications that set none. Empty means
	// what the certificate is for, if that is one thing; then it can be a whole topic,
	// such as com.example.app.voip, which is for its push type alone.
	BundleID string

	// Environment chooses the host: api.push.apple.com or
	// api.sandbox.push.apple.com. Device tokens of the other environment are
	// rejected with BadDeviceToken.
	Environment Environment
	// Host chooses among Apple's services; the default is the one that takes
	// pushes to devices and to channels alike.
	Host Host
	// AlternativePort uses port 2197 instead of 443, for firewalls that let
	// only APNs out. It exists for HostPush only.
	AlternativePort bool
	// Endpoint replaces host and port: "host", "host:port" or
	// "https://host:port". It is for the simulator and for relays.
	Endpoint string
	// ExtraRoots are certificates in PEM to trust in addition to the system's,
	// such as the simulator's.
	ExtraRoots []byte
	// Proxy returns the proxy to use for an endpoint, or nil for none. ProxyURL
	// makes one from a URL, ProxyFromEnvironment follows HTTPS_PROXY. http and
	// https proxies need CONNECT and must not inspect TLS; socks5 and socks5h
	// work too. User and password may be part of the URL. The default is none.
	Proxy func(*url.URL) (*url.URL, error)
	// DialContext makes the network connection, below TLS. The default is
	// net.Dialer's, which resolves the name anew each time, as Apple asks, and
	// tries IPv6 and IPv4. It is not used with Proxy.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)

	// MaxConnections bounds the connections open at once. The client starts
	// with one and opens another when all are full for a while. The default is 4.
	MaxConnections int
	// MaxInFlight bounds the notifications that concurrent Push calls hold;
	// further calls wait, or give up with their context. The default is 8192.
	MaxInFlight int
	// BatchWindow bounds the notifications that one PushAll holds; more than
	// streams × connections gains nothing. The default is 8192.
	BatchWindow int

	// RequestTimeout bounds one attempt: a request that is not answered by then
	// is Unknown. APNs has been seen never to answer some requests. The default is
	// 30 seconds.
	RequestTimeout time.Duration
	// Timeout bounds a whole Push if its context has no deadline, and every
	// notification of PushAll. The default is one minute.
	Timeout time.Duration
	// ConnectWait is how long notifications wait while no connection can be
	// had. Trouble that waiting does not cure, like a certificate that is not
	// accepted, is reported at once. The default is 15 seconds.
	ConnectWait time.Duration
	// MaxDialPause bounds the pause after attempts to connect that failed, which
	// doubles from a second and is shortened by up to a half at random. Whoever
	// decides by itself how often to try wants it short. The default is a minute.
	MaxDialPause time.Duration
	// MaxAttempts bounds how often one notification is written when APNs asks
	// for patience (429 and 5xx). What was certainly not processed is sent
	// again regardless, within the deadline. The default is 5.
	MaxAttempts int
	// ResendUnknown sends notifications again whose outcome is unknown, at the
	// risk of duplicates, as if each had ResendUnknown set.
	ResendUnknown bool

	// Hooks observe; see there.
	Hooks Hooks
	// Logger receives connection events: Info for connections that come and go
	// in the normal course of things, Warn for those that fail. Nil means
	// silence. Provider tokens never appear; device tokens do not either.
	Logger *slog.Logger

	// Now is the clock for expirations; nil means time.Now.
	Now func() time.Time
}

// endpoint is where a client connects to.
type endpoint struct {
	host, port string
	roots      *x509.CertPool
}

func (e endpoint) address() string { return net.JoinHostPort(e.host, e.port) }

// authority is the value of :authority; the default port is left out (RFC 9110
// section 4.2.2).
func (e endpoint) authority() string {
	if e.port == "443" {
		if strings.Contains(e.host, ":") {
			return "[" + e.host + "]"
		}
		return e.host
	}
	return e.address()
}

// check validates the whole Config, fills in defaults, and reports every
// problem at once.
func (cfg Config) check() (Config, endpoint, error) {
	var problems []error
	bad := func(field, format string, args ...any) {
		problems = append(problems, fmt.Errorf("apns: Config.%s %s", field, fmt.Sprintf(format, args...)))
	}
	credentials := 0
	for _, set := range []bool{cfg.Key != nil, cfg.ProviderTokens != nil, cfg.Certificate != nil} {
		if set {
			credentials++
		}
	}
	switch {
	case credentials == 0:
		bad("Key", "is missing: set Key and TeamID, or ProviderTokens, or Certificate")
	case credentials > 1:
		bad("Key", "and ProviderTokens and Certificate exclude each other: APNs ties a connection to one identity")
	case cfg.Key != nil:
		var err error
		if cfg.ProviderTokens, err = auth.NewProviderTokens(auth.ProviderTokensConfig{Key: cfg.Key, TeamID: cfg.TeamID, Now: cfg.Now}); err != nil {
			problems = append(problems, fmt.Errorf("apns: %w", err))
		}
	}
	if cfg.Certificate != nil && cfg.Endpoint == "" {
		info := cfg.Certificate.Info
		if (info.Sandbox || info.Production) && !(cfg.Environment == Sandbox && info.Sandbox || cfg.Environment == Production && info.Production) {
			bad("Environment", "is %s, but the certificate is for the other environment; APNs would answer BadCertificateEnvironment", cfg.Environment)
		}
	}
	if cfg.BundleID == "" && cfg.Certificate != nil {
		cfg.BundleID = cfg.Certificate.Info.DefaultTopic()
	} else if cfg.BundleID != "" {
		if p := checkTopic("BundleID", cfg.BundleID); p != nil {
			bad("BundleID", "%s", p.Message)
		}
	}
	where, err := cfg.where()
	if err != nil {
		problems = append(problems, err)
	}
	if len(cfg.ExtraRoots) > 0 {
		if where.roots, err = x509.SystemCertPool(); err != nil {
			where.roots = x509.NewCertPool()
		}
		if !roots.Add(where.roots, cfg.ExtraRoots) {
			bad("ExtraRoots", "holds no certificate in PEM: it has to contain -----BEGIN CERTIFICATE-----, not a file name")
		}
	}
	for _, n := range []struct {
		field    string
		value    *int
		fallback int
	}{
		{"MaxConnections", &cfg.MaxConnections, DefaultMaxConnections},
		{"MaxInFlight", &cfg.MaxInFlight, DefaultMaxInFlight},
		{"BatchWindow", &cfg.BatchWindow, DefaultBatchWindow},
		{"MaxAttempts", &cfg.MaxAttempts, DefaultMaxAttempts},
	} {
		if *n.value < 0 {
			bad(n.field, "is negative; 0 means the default of %d", n.fallback)
		}
		*n.value = cmp.Or(*n.value, n.fallback)
	}
	if cfg.MaxConnections > 64 {
		bad("MaxConnections", "is %d; more than 64 to one host looks like an attack to Apple, and one connection carries thousands of notifications a second", cfg.MaxConnections)
	}
	for _, d := range []struct {
		field    string
		value    *time.Duration
		fallback time.Duration
	}{
		{"RequestTimeout", &cfg.RequestTimeout, DefaultRequestTimeout},
		{"Timeout", &cfg.Timeout, DefaultTimeout},
		{"ConnectWait", &cfg.ConnectWait, DefaultConnectWait},
		{"MaxDialPause", &cfg.MaxDialPause, DefaultMaxDialPause},
	} {
		if *d.value < 0 || *d.value > 0 && *d.value < time.Millisecond {
			bad(d.field, "is %v; it has to be a millisecond at least, and a plain number counts nanoseconds", *d.value)
		}
		*d.value = cmp.Or(*d.value, d.fallback)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return cfg, where, errors.Join(problems...)
}

// hosts are Apple's names, by Host and Environment.
var hosts = [...][2]struct {
	host string
	port int
}{
	HostPush: {
		Production: {proto.HostProduction, proto.PortHTTPS},
		Sandbox:    {proto.HostSandbox, proto.PortHTTPS},
	},
	HostBroadcast: {
		Production: {proto.HostBroadcastProduction, proto.PortHTTPS},
		Sandbox:    {proto.HostBroadcastSandbox, proto.PortHTTPS},
	},
	HostManagement: {
		Production: {proto.HostManageProduction, proto.PortManageProduction},
		Sandbox:    {proto.HostManageSandbox, proto.PortManageSandbox},
	},
}

// where decides host and port.
func (cfg Config) where() (endpoint, error) {
	if cfg.Environment > Sandbox || cfg.Host > HostManagement {
		return endpoint{}, errors.New("apns: Config.Environment or Config.Host has a value that does not exist")
	}
	at := hosts[cfg.Host][cfg.Environment]
	e := endpoint{host: at.host, port: strconv.Itoa(at.port)}
	if cfg.AlternativePort {
		if cfg.Host != HostPush {
			return e, errors.New("apns: Config.AlternativePort is for HostPush only: Apple documents port 2197 for the two device-push hosts")
		}
		e.port = strconv.Itoa(proto.PortAlternative)
	}
	if cfg.Endpoint == "" {
		return e, nil
	}
	bad := func(message string) (endpoint, error) {
		return e, fmt.Errorf("apns: Config.Endpoint %s; it looks like host, host:port or https://host:port", message)
	}
	text := cfg.Endpoint
	if !strings.Contains(text, "://") {
		text = "https://" + text
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return bad("is not an address")
	case u.Scheme != "https":
		return bad(fmt.Sprintf("has scheme %s, but APNs is always spoken over TLS", u.Scheme))
	case u.User != nil:
		return bad("has a user, which APNs does not know")
	case u.Path != "" && u.Path != "/" || u.RawQuery != "":
		return bad("has a path; the client adds /3/device/ and the device token itself")
	case u.Hostname() == "":
		return bad("has no host")
	}
	e.host = u.Hostname()
	if u.Port() != "" {
		e.port = u.Port()
	}
	return e, nil
}
