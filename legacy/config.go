package legacy

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"aviso.example/apns"
	"aviso.example/auth"
	"aviso.example/internal/roots"
)

// Config is what a Client is made of. Certificate and Endpoint are required;
// everything else has a default.
type Config struct {
	// Certificate is the client certificate of the app, with its key: it says
	// who is sending, and the topic too, which is never on the wire.
	// auth.LoadCertificate reads it from a .p12 or .pem file.
	Certificate *auth.Certificate
	// Endpoint is host and port of the gateway, like "localhost:2195"; the port
	// is 2195 if it is left out. There is no default, since Apple's own hosts
	// were switched off on 31 March 2021.
	Endpoint string
	// ExtraRoots are certificates in PEM to trust in addition to the system's,
	// such as the authority that signed the gateway's.
	ExtraRoots []byte
	// DialContext makes the network connection, below TLS. The default is
	// net.Dialer's.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)

	// SettleTime is how long the server has to stay silent after a
	// notification was written before it counts as accepted: the protocol has
	// no other sign of success. The default is DefaultSettleTime, the least is
	// 10 ms. If it is shorter than an error packet takes, notifications are
	// called accepted that were not; the client notices when such a packet
	// comes, and says so (LateError). The longer it is, the longer Push
	// takes, and the fewer notifications can be sent: MaxInFlight ÷ SettleTime
	// a second.
	SettleTime time.Duration
	// MaxInFlight bounds the notifications that were written and have not
	// settled, and those that concurrent Push calls hold; further calls wait,
	// or give up with their context. Each keeps its apns.Notification, of at
	// most MaxPayload bytes, in memory, and about 200 bytes beside it. The
	// default is DefaultMaxInFlight, the most is 16,777,216.
	MaxInFlight int
	// BatchWindow bounds the notifications that one PushAll holds; more than
	// MaxInFlight gains nothing. The default is 65536.
	BatchWindow int
	// MaxPayload bounds the payload, in bytes: 2048 unless set, the limit since
	// 2014. Before it was 256. A gateway to today's interface may take 4096.
	MaxPayload int

	// Timeout bounds how long a notification waits until it is written, if its
	// context has no deadline, and in PushAll always. The outcome follows
	// within SettleTime. The default is one minute.
	Timeout time.Duration
	// ConnectWait is how long notifications wait while no connection can be
	// had. Trouble that waiting does not cure, like a certificate that is not
	// accepted, is reported at once. The default is 15 seconds.
	ConnectWait time.Duration
	// MaxAttempts bounds how often one notification is written when the server
	// reports trouble of its own (status 1, 255) and, with ResendUnknown, when
	// the connection ends without a word. What was certainly not processed is
	// sent again regardless, within Timeout. The default is 5.
	MaxAttempts int
	// ResendUnknown sends notifications again whose outcome is unknown since
	// the connection ended without an error packet, at the risk of duplicates,
	// as if each had ResendUnknown set. Without it they end as apns.Unknown.
	ResendUnknown bool

	// Hooks observe, as those of package apns do. They run on the client's one
	// goroutine, or on the caller's when it gives up: they must not block and
	// must not call the client. ConnectionEvent.Answered counts what is known
	// to have been accepted or refused, Err is an ErrorPacket, a *LateError, an
	// *apns.ConnectError, or what the network said.
	Hooks apns.Hooks
	// Logger receives connection events: Info for what belongs to the normal
	// course of things, Warn for what does not. Nil means silence. Device
	// tokens and payloads never appear.
	Logger *slog.Logger

	// Now is the clock for expirations; nil means time.Now.
	Now func() time.Time
}

// endpoint is where to connect to.
type endpoint struct {
	host, port string
	roots      *x509.CertPool
}

func (e endpoint) address() string { return net.JoinHostPort(e.host, e.port) }

// check validates the whole Config, fills in defaults, and reports every
// problem at once.
func (cfg Config) check() (Config, endpoint, error) {
	var problems []error
	bad := func(field, format string, args ...any) {
		problems = append(problems, fmt.Errorf("legacy: Config.%s %s", field, fmt.Sprintf(format, args...)))
	}
	where, wrong := checkIdentity(cfg.Certificate, cfg.Endpoint, cfg.ExtraRoots, "2195")
	for _, w := range wrong {
		bad(w.Field, "%s", w.Message)
	}
	for _, n := range []struct {
		field             string
		value             *int
		fallback, maximum int
	}{
		{"MaxInFlight", &cfg.MaxInFlight, DefaultMaxInFlight, maxInFlight},
		{"BatchWindow", &cfg.BatchWindow, DefaultBatchWindow, maxInFlight},
		{"MaxAttempts", &cfg.MaxAttempts, DefaultMaxAttempts, 1000},
		{"MaxPayload", &cfg.MaxPayload, MaxPayload, 8192},
	} {
		if *n.value < 0 || *n.value > n.maximum {
			bad(n.field, "is %d; it has to be between 1 and %d, and 0 means the default of %d", *n.value, n.maximum, n.fallback)
		}
		*n.value = cmp.Or(*n.value, n.fallback)
	}
	for _, d := range []struct {
		field             string
		value             *time.Duration
		fallback, minimum time.Duration
	}{
		{"SettleTime", &cfg.SettleTime, DefaultSettleTime, minSettleTime},
		{"Timeout", &cfg.Timeout, DefaultTimeout, time.Millisecond},
		{"ConnectWait", &cfg.ConnectWait, DefaultConnectWait, time.Millisecond},
	} {
		if *d.value < 0 || *d.value > 0 && *d.value < d.minimum {
			bad(d.field, "is %v; it has to be %v at least, and a plain number counts nanoseconds", *d.value, d.minimum)
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

// checkIdentity checks what gateway and feedback service have in common.
func checkIdentity(certificate *auth.Certificate, address string, extraRoots []byte, port string) (e endpoint, problems []apns.Problem) {
	bad := func(field, message string) { problems = append(problems, apns.Problem{Field: field, Message: message}) }
	if certificate == nil {
		bad("Certificate", "is missing: the binary protocol knows the sender by its client certificate alone; provider tokens and .p8 keys belong to package apns")
	}
	e.host, e.port = address, port
	host, explicit, err := net.SplitHostPort(address)
	switch {
	case address == "":
		bad("Endpoint", "is missing: name the gateway's host and port. Apple's own were switched off on 31 March 2021")
	case strings.Contains(address, "://"):
		bad("Endpoint", "has a scheme; it is host:port, and TLS is always spoken")
	case strings.Contains(address, "/"):
		bad("Endpoint", "has a path; it is host:port")
	case err == nil && (host == "" || explicit == ""):
		bad("Endpoint", "lacks host or port; it is host:port")
	case err == nil:
		e.host, e.port = host, explicit
	case strings.Contains(address, ":") && net.ParseIP(address) == nil:
		bad("Endpoint", "is not host:port; IPv6 addresses with a port stand in brackets")
	}
	if len(extraRoots) > 0 {
		if e.roots, err = x509.SystemCertPool(); err != nil {
			e.roots = x509.NewCertPool()
		}
		if !roots.Add(e.roots, extraRoots) {
			bad("ExtraRoots", "holds no certificate in PEM: it has to contain -----BEGIN CERTIFICATE-----, not a file name")
		}
	}
	return e, problems
}
