package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"regexp"
	"time"

	"aviso.example/apns"
	"aviso.example/auth"
)

// Config is what an Engine is made of. Store.Dir is required.
type Config struct {
	Store StoreConfig
	// Apps can be sent to; SetApps changes them later.
	Apps []App

	// Window bounds, for each lane of each app and environment, the
	// notifications that were handed to the client and have no verdict on disk
	// yet. It is also what a crash can repeat. More than streams × connections
	// gains nothing, except that verdicts take a few milliseconds to be written. The
	// default is 16384.
	Window int
	// Lease is how long a chunk belongs to an engine that gives no sign of
	// life; then another one takes over. It has to exceed any pause of the
	// process. The default is 30 seconds.
	Lease time.Duration
	// Lifetime is how long a notification is worth sending that has no
	// expiration; one that expires immediately is worth ImmediateLifetime. The defaults are
	// 24 hours and 30 seconds.
	Lifetime, ImmediateLifetime time.Duration
	// Linger is how long single notifications wait for others while the log is
	// busy, to share a write with them. The urgent lane never waits. The default is a
	// millisecond.
	Linger time.Duration
	// VerdictAge and VerdictBytes bound the verdicts that are kept. The defaults are seven
	// days and 4 GiB.
	VerdictAge   time.Duration
	VerdictBytes int64 // 4 GiB by default
	// SuppressionAge is how long a dead device token is remembered. The default is 400
	// days.
	SuppressionAge time.Duration

	// Logger receives what an operator has to know: Warn for what needs
	// attention, Info for what comes and goes. Nil means silence. Device tokens
	// and payloads never appear.
	Logger *slog.Logger
}

// Defaults of Config.
const (
	DefaultWindow            = 16384
	DefaultLease             = 30 * time.Second
	DefaultLifetime          = 24 * time.Hour
	DefaultImmediateLifetime = 30 * time.Second
	DefaultLinger            = time.Millisecond
	DefaultVerdictAge        = 7 * 24 * time.Hour
	DefaultVerdictBytes      = 4 << 30
	DefaultSuppressionAge    = 400 * 24 * time.Hour
)

// Validate says what is wrong with the numbers, all of it at once. It looks at
// neither Store nor Apps.
func (cfg Config) Validate() error {
	_, err := cfg.check()
	return err
}

func (cfg Config) check() (Config, error) {
	var problems []error
	bad := func(field, format string, args ...any) {
		problems = append(problems, fmt.Errorf("engine: Config.%s %s", field, fmt.Sprintf(format, args...)))
	}
	if cfg.Window != 0 && cfg.Window < maxChunk {
		bad("Window", "is %d; it has to hold a chunk, %d notifications", cfg.Window, maxChunk)
	}
	cfg.Window = cmp.Or(cfg.Window, DefaultWindow)
	for _, d := range []struct {
		field           string
		value           *time.Duration
		fallback, least time.Duration
	}{
		{"Lease", &cfg.Lease, DefaultLease, time.Second},
		{"Lifetime", &cfg.Lifetime, DefaultLifetime, time.Second},
		{"ImmediateLifetime", &cfg.ImmediateLifetime, DefaultImmediateLifetime, time.Second},
		{"Linger", &cfg.Linger, DefaultLinger, 0},
		{"VerdictAge", &cfg.VerdictAge, DefaultVerdictAge, time.Minute},
		{"SuppressionAge", &cfg.SuppressionAge, DefaultSuppressionAge, time.Minute},
	} {
		*d.value = cmp.Or(*d.value, d.fallback)
		if *d.value < d.least {
			bad(d.field, "is %v; it has to be %v at least, and a plain number counts nanoseconds", *d.value, d.least)
		}
	}
	cfg.VerdictBytes = cmp.Or(cfg.VerdictBytes, DefaultVerdictBytes)
	if cfg.VerdictBytes < 16<<20 {
		bad("VerdictBytes", "is %d; it has to be 16 MiB at least", cfg.VerdictBytes)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return cfg, errors.Join(problems...)
}

// App is somebody to send for: a bundle identifier, and with whose credentials.
type App struct {
	// ID names the app in requests, verdicts and metrics: 1 to 40 lower-case
	// letters, digits, - and _.
	ID string
	// BundleID is for notifications that name neither bundle identifier nor
	// topic.
	BundleID string
	// Default is the environment of notifications that name none.
	Default apns.Environment
	// Production and Sandbox are the credentials; nil where the app has none.
	Production, Sandbox *Credential
	// Rate bounds the notifications sent a second, in all lanes together; 0
	// means as fast as APNs takes them. On a cluster each engine gets a share.
	Rate float64
}

// Credential is who sends, and where to.
type Credential struct {
	// Key and TeamID, or Certificate: see apns.Config.
	Key         *auth.SigningKey
	TeamID      string
	Certificate *auth.Certificate
	// Endpoint, ExtraRoots and AlternativePort: see apns.Config.
	Endpoint        string
	ExtraRoots      []byte
	AlternativePort bool
	// Proxy is the way out: the URL of a proxy (http, https, socks5 or socks5h, with
	// user and password if it wants them), ProxyFromEnvironment, or empty for none.
	Proxy string
	// DialContext: see apns.Config. An app whose credential has one is made anew by
	// every SetApps, since functions cannot be compared.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)
	// MaxConnections bounds the connections of each lane; 0 means the client's
	// default.
	MaxConnections int
}

func (a *App) credential(e apns.Environment) *Credential {
	if e == apns.Sandbox {
		return a.Sandbox
	}
	return a.Production
}

var appID = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,39}$`)

// check validates an app and makes nothing.
func (a *App) check() error {
	var problems []error
	bad := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf("engine: app %q: %s", a.ID, fmt.Sprintf(format, args...)))
	}
	if !appID.MatchString(a.ID) {
		bad("an id has 1 to 40 lower-case letters, digits, - and _, and begins with a letter or digit")
	}
	if a.Production == nil && a.Sandbox == nil {
		bad("it has no credential, neither for production nor for the sandbox")
	} else if a.credential(a.Default) == nil {
		bad("its default environment is %s, for which it has no credential", a.Default)
	}
	if a.Rate < 0 {
		bad("its rate is negative; 0 means no limit")
	}
	return errors.Join(problems...)
}

// ProxyFromEnvironment, as Credential.Proxy, stands for what HTTPS_PROXY and NO_PROXY
// say.
const ProxyFromEnvironment = "env"

// ProxyFunc is Proxy as apns.Config has it, nil for none.
func (c *Credential) ProxyFunc() func(*url.URL) (*url.URL, error) {
	switch c.Proxy {
	case "":
		return nil
	case ProxyFromEnvironment:
		return apns.ProxyFromEnvironment
	}
	u, err := url.Parse(c.Proxy)
	if err != nil {
		err = errors.New("the proxy is no URL") // and not its text, which may hold a password
	}
	return func(*url.URL) (*url.URL, error) { return u, err }
}

// client returns the configuration of a client for one lane. A notification waits for a
// connection for connectWait, 0 meaning the client's default.
func (a *App) client(e apns.Environment, tokens *auth.ProviderTokens, connectWait time.Duration, log *slog.Logger) apns.Config {
	c := a.credential(e)
	cfg := apns.Config{
		BundleID: a.BundleID, Environment: e, Endpoint: c.Endpoint, ExtraRoots: c.ExtraRoots,
		AlternativePort: c.AlternativePort, Proxy: c.ProxyFunc(), DialContext: c.DialContext, MaxConnections: c.MaxConnections,
		ProviderTokens: tokens, Certificate: c.Certificate, Logger: log,
		// Patience is the engine's: what APNs asks to send later goes back to
		// the disk and keeps nothing else from being sent.
		MaxAttempts: 1, Timeout: clientTimeout, ConnectWait: connectWait,
		// So is how often an app in trouble tries.
		MaxDialPause: maxDialPause,
	}
	return cfg
}

// maxDialPause is the longest pause between attempts to connect for an app. It is
// shorter than the pause between two notifications that try whether APNs is there
// again, which would wait for it otherwise.
const maxDialPause = 400 * time.Millisecond

// fellowConnectWait is how long one waits for a connection where others may have one.
const fellowConnectWait = 2 * time.Second

// clientTimeout bounds the time from the engine handing a notification to the
// client until its outcome, above apns.DefaultConnectWait and
// apns.DefaultRequestTimeout, which tell better what is wrong.
const clientTimeout = 45 * time.Second
