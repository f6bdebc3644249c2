package gateway

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"aviso.example/apns"
	"aviso.example/auth"
)

// Defaults of Config.
const (
	// DefaultWindow is how many notifications of a connection may be under way.
	DefaultWindow = 256
	// DefaultMaxConnections is how many connections there may be.
	DefaultMaxConnections = 8192
	// DefaultHoldTime is how long a notification is kept that cannot be sent.
	DefaultHoldTime = 15 * time.Minute
	// DefaultIdleTimeout is how long a connection may be idle. Apple asked
	// programs to keep them open for hours.
	DefaultIdleTimeout = 24 * time.Hour
	// DefaultFirstFrameTimeout is how long one may be idle that has never sent
	// anything; some libraries open them in advance.
	DefaultFirstFrameTimeout = 15 * time.Minute
	// DefaultFrameTimeout is how long one notification may take to arrive.
	DefaultFrameTimeout = 30 * time.Second
)

// Limits of Config.
const (
	// MaxWindow is the largest Window.
	MaxWindow = 8192
	// MaxConnections is the largest MaxConnections.
	MaxConnections = 1 << 20
)

// Config is what a Gateway is made of. Certificate and FeedbackFile are required.
type Config struct {
	// Certificate is the gateway's own, with its key: the one that programs have
	// to trust, for the host name they connect to. It can be changed later.
	Certificate *auth.Certificate
	// Providers are those who may send. They can be changed later.
	Providers []Provider
	// FeedbackFile is where dead device tokens are kept until they are read. One
	// gateway at a time uses it.
	FeedbackFile string

	// MinTLSVersion is the oldest version of TLS; the default is TLS 1.2. Programs
	// of the time may know 1.0 only, and with it cipher suites that need
	// tls.VersionTLS10 here and are switched on by it. Nothing but a program's
	// client certificate is at stake then that it has not chosen itself.
	MinTLSVersion uint16

	// Window is how many notifications of one connection may be under way to APNs.
	// What a program wrote after a rejected notification it has to send again
	// from memory, so the window, and what waits in the sockets, has to be smaller
	// than that memory: 1,000 notifications in npm's apn, 10,000 in go-libapns.
	// The least is 1, the most 8192. The default is 256.
	Window int
	// MaxConnections bounds the connections of programs; more are not accepted
	// until others end. If there are several providers, none has more than three
	// quarters of them. The default is 8192.
	MaxConnections int
	// HoldTime is how long a notification is kept while it cannot be sent through
	// no fault of its own; then the program is told of a processing error. The default is
	// 15 minutes.
	HoldTime time.Duration
	// DropUnknown leaves it at one attempt when no answer came from APNs, and
	// tells the program status 255. Otherwise such a notification is sent again,
	// at the risk of a duplicate.
	DropUnknown bool

	// IdleTimeout, FirstFrameTimeout and FrameTimeout: see their defaults.
	IdleTimeout, FirstFrameTimeout, FrameTimeout time.Duration

	// Logger receives what an operator wants to know: connections that begin and
	// end, and each rejection. Nil means silence. Device tokens and payloads never
	// appear.
	Logger *slog.Logger
	// Now is the clock for expirations and for how long things are kept; nil means
	// time.Now.
	Now func() time.Time
}

// Provider is one app that old programs send for.
type Provider struct {
	// Name is for logs and names the feedback list. It has to be unique and should
	// stay the same.
	Name string
	// Certificates are the client certificates of its programs. They are compared
	// byte by byte: neither issuer nor dates count, since those of old programs
	// have long expired.
	Certificates []*x509.Certificate
	// APNs says how to send for the app today: credential, environment, endpoint.
	// Hooks and limits are used as they are; ResendUnknown is set unless
	// Config.DropUnknown.
	APNs apns.Config
	// Topic is sent with each notification. If it is empty, it is the one that
	// the certificates imply, or else the bundle identifier of APNs.
	Topic string
	// PushType is sent with each notification. If it is empty, it is voip or mdm
	// if the topic says so, and otherwise background or alert as the payload says.
	PushType apns.PushType

	derivesPushType bool
}

// fingerprint identifies a certificate.
type fingerprint [sha256.Size]byte

func fingerprintOf(c *x509.Certificate) fingerprint { return sha256.Sum256(c.Raw) }

// check validates everything but the providers, and fills in defaults.
func (cfg Config) check() (Config, error) {
	var problems []error
	bad := func(field, format string, args ...any) {
		problems = append(problems, fmt.Errorf("gateway: Config.%s %s", field, fmt.Sprintf(format, args...)))
	}
	if cfg.Certificate == nil {
		problems = append(problems, errNoCertificate)
	}
	if cfg.FeedbackFile == "" {
		bad("FeedbackFile", "is missing: name a file for the device tokens that are dead")
	}
	for _, n := range []struct {
		field             string
		value             *int
		fallback, maximum int
	}{
		{"Window", &cfg.Window, DefaultWindow, MaxWindow},
		{"MaxConnections", &cfg.MaxConnections, DefaultMaxConnections, MaxConnections},
	} {
		if *n.value < 0 || *n.value > n.maximum {
			bad(n.field, "is %d; it has to be between 1 and %d, and 0 means the default of %d", *n.value, n.maximum, n.fallback)
		}
		*n.value = cmp.Or(*n.value, n.fallback)
	}
	for _, d := range []struct {
		field    string
		value    *time.Duration
		fallback time.Duration
	}{
		{"HoldTime", &cfg.HoldTime, DefaultHoldTime},
		{"IdleTimeout", &cfg.IdleTimeout, DefaultIdleTimeout},
		{"FirstFrameTimeout", &cfg.FirstFrameTimeout, DefaultFirstFrameTimeout},
		{"FrameTimeout", &cfg.FrameTimeout, DefaultFrameTimeout},
	} {
		if *d.value < 0 || *d.value > 0 && *d.value < time.Millisecond {
			bad(d.field, "is %v; it has to be a millisecond at least, and a plain number counts nanoseconds", *d.value)
		}
		*d.value = cmp.Or(*d.value, d.fallback)
	}
	switch cfg.MinTLSVersion {
	case 0:
		cfg.MinTLSVersion = tls.VersionTLS12
	case tls.VersionTLS10, tls.VersionTLS11, tls.VersionTLS12, tls.VersionTLS13:
	default:
		bad("MinTLSVersion", "is %#04x; it has to be one of the crypto/tls constants", cfg.MinTLSVersion)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return cfg, errors.Join(problems...)
}

// CheckProviders says everything that New and SetProviders would say about
// providers. Nobody is connected to.
func CheckProviders(list []Provider) error {
	_, clients, err := new(Config).checkProviders(list)
	closeAll(clients)
	return err
}

// closeAll closes clients that have done nothing.
func closeAll(clients []*apns.Client) {
	for _, client := range clients {
		client.Close(context.Background())
	}
}

// checkProviders validates providers, fills in what follows from the rest, and
// makes their clients. It reports every problem at once.
func (cfg *Config) checkProviders(list []Provider) (all []*Provider, clients []*apns.Client, err error) {
	var problems []error
	bad := func(p *Provider, format string, args ...any) {
		problems = append(problems, fmt.Errorf("gateway: provider %q %s", p.Name, fmt.Sprintf(format, args...)))
	}
	names, owners := map[string]bool{}, map[fingerprint]string{}
	for _, p := range list {
		switch {
		case p.Name == "":
			bad(&p, "has no name")
		case names[p.Name]:
			bad(&p, "is there twice")
		}
		names[p.Name] = true
		if len(p.Certificates) == 0 {
			bad(&p, "has no certificate: nobody could send for it")
		}
		topic := ""
		for _, c := range p.Certificates {
			if other, taken := owners[fingerprintOf(c)]; taken && other == p.Name {
				bad(&p, "has the same certificate twice (%s)", c.Subject.CommonName)
			} else if taken {
				bad(&p, "has a certificate of provider %q too: it could not be told for whom a program sends", other)
			}
			owners[fingerprintOf(c)] = p.Name
			implied := impliedTopic(c)
			if topic != "" && implied != "" && implied != topic {
				bad(&p, "has certificates for %s and for %s; each topic is a provider of its own", topic, implied)
			}
			topic = cmp.Or(topic, implied)
		}
		p.Topic = cmp.Or(p.Topic, topic, p.APNs.BundleID)
		if p.Topic == "" {
			bad(&p, "has no topic: its certificates imply none, and there is no bundle identifier")
		}
		switch {
		case p.PushType != "":
		case strings.HasSuffix(p.Topic, ".voip"):
			p.PushType = apns.PushTypeVoIP
		case strings.HasPrefix(p.Topic, "com.apple.mgmt."):
			p.PushType = apns.PushTypeMDM
		default:
			// Passes and websites have no push type at all.
			p.derivesPushType = !strings.HasPrefix(p.Topic, "pass.") && !strings.HasPrefix(p.Topic, "web.")
		}
		p.APNs.ResendUnknown = !cfg.DropUnknown
		client, err := apns.New(p.APNs)
		if err != nil {
			for line := range bytes.Lines([]byte(err.Error())) {
				bad(&p, "cannot send: %s", bytes.TrimSpace(line))
			}
			continue
		}
		all, clients = append(all, &p), append(clients, client)
	}
	if err := errors.Join(problems...); err != nil {
		closeAll(clients)
		return nil, nil, err
	}
	return all, clients, nil
}

// oidUserID is the attribute of a certificate's subject in which Apple puts the
// topic.
var oidUserID = []int{0, 9, 2342, 19200300, 100, 1, 1}

// impliedTopic is the topic that a certificate stands for, or "".
func impliedTopic(c *x509.Certificate) string {
	for _, name := range c.Subject.Names {
		if topic, ok := name.Value.(string); ok && slices.Equal(name.Type, oidUserID) {
			return topic
		}
	}
	return ""
}
