package cli

import (
	"errors"
	"fmt"
	"net/url"

	"github.com/spf13/pflag"

	"aviso.example/apns"
	"aviso.example/engine"
)

// target says where to send. Exactly one environment has to be named.
type target struct {
	endpoint            string
	sandbox, production bool
	port                int
	ca, proxy           string
}

func (t *target) register(flags *pflag.FlagSet) {
	t.registerWithoutPort(flags)
	flags.IntVar(&t.port, "port", 443, "`PORT` at Apple: 443, or 2197 where a firewall lets only APNs out")
}

// registerWithoutPort is for channel management, whose ports are fixed.
func (t *target) registerWithoutPort(flags *pflag.FlagSet) {
	t.port = 443
	flags.StringVar(&t.endpoint, "endpoint", "", "send to `HOST:PORT`, such as the simulator")
	flags.BoolVar(&t.sandbox, "sandbox", false, "send to Apple's sandbox, where builds run from Xcode register")
	flags.BoolVar(&t.production, "production", false, "send to Apple's production, where TestFlight and App Store builds register")
	flags.StringVar(&t.ca, "ca", "", "trust the certificates in this PEM `FILE` too, such as the simulator's")
	flags.StringVar(&t.proxy, "proxy", "", "go through the proxy at `URL` (http, https, socks5), or \"env\" to follow HTTPS_PROXY")
}

// apply checks the flags and writes them into cfg.
func (t *target) apply(flags *pflag.FlagSet, cfg *apns.Config) error {
	named := 0
	for _, set := range []bool{t.endpoint != "", t.sandbox, t.production} {
		if set {
			named++
		}
	}
	switch {
	case named == 0:
		return usage("one of --sandbox, --production and --endpoint is needed: a device token works in one environment only (builds run from Xcode register in the sandbox, TestFlight and App Store builds in production), so there is no default")
	case named > 1:
		return usage("--sandbox, --production and --endpoint exclude each other: a device token works in one environment only")
	case t.endpoint != "" && flags.Changed("port"):
		return usage("--port belongs to --sandbox and --production; with --endpoint write HOST:PORT")
	case t.port != 443 && t.port != 2197:
		return usage("--port is %d, but APNs listens on 443 and 2197 only", t.port)
	}
	cfg.Endpoint = t.endpoint
	if t.sandbox {
		cfg.Environment = apns.Sandbox
	}
	cfg.AlternativePort = t.port == 2197
	if t.ca != "" {
		pem, err := readRoots(t.ca)
		if err != nil {
			return usage("--ca: %w", err)
		}
		cfg.ExtraRoots = pem
	}
	switch t.proxy {
	case "":
	case proxyFromEnvironment:
		cfg.Proxy = apns.ProxyFromEnvironment
	default:
		if err := checkProxy(t.proxy); err != nil {
			return usage("--proxy %w", err)
		}
		u, err := url.Parse(t.proxy)
		if err != nil {
			return err // it was checked
		}
		if _, secret := u.User.Password(); secret {
			return usage("--proxy holds a password, which every user of the machine could read; put the URL into HTTPS_PROXY and use --proxy env")
		}
		cfg.Proxy = apns.ProxyURL(u)
	}
	return nil
}

// proxyFromEnvironment stands for the proxy that HTTPS_PROXY and NO_PROXY name.
const proxyFromEnvironment = engine.ProxyFromEnvironment

// checkProxy says what is wrong with the URL of a proxy, without showing it: it may hold
// a password.
func checkProxy(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" {
		return errors.New("has to be a URL like http://proxy.example:3128, or env for what HTTPS_PROXY says")
	}
	switch u.Scheme {
	case "http", "https", "socks5", "socks5h":
		return nil
	}
	return fmt.Errorf("has the scheme %q; a proxy is reached by http, https, socks5 or socks5h", u.Scheme)
}
