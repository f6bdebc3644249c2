package cli

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"aviso.example/auth"
	"aviso.example/legacy/gateway"
)

type gatewayFlags struct {
	config                        string
	data, listen, feedback, grace string
}

func (a *app) gatewayCommand() *cobra.Command {
	f := &gatewayFlags{}
	cmd := &cobra.Command{
		Use:   "gateway",
		Short: "Let old programs send that speak Apple's dead binary protocol",
		Long: `Run the server that gateway.push.apple.com and feedback.push.apple.com were until
2021, for programs that still speak to them, and relay what they send over
today's interface. An old program needs another host name and nothing else.

It reads the same configuration as aviso serve. Under an app, the key
` + providerKey + ` lists the client certificates of its old programs; they
are compared byte by byte and may have expired. Without gateway.certificate, the
gateway makes a certificate for itself, which the programs have to trust. When it
is ready, it prints

  ready gateway 127.0.0.1:2195
  ready feedback 127.0.0.1:2196

What a program sees is what it saw at Apple: silence when all is well, an error
packet and the end of the connection for a notification that APNs rejects, and
the device tokens that are dead on the feedback port. What it sends again after
an error packet is not sent twice. While APNs cannot be reached, or refuses the
credential, the gateway keeps what it has read and reads no more.

Changes of apps and certificates are taken over at once, or on SIGHUP. SIGTERM or
SIGINT ends it: programs are told of a shutdown and which notification was the
last that was sent. What is under way gets --grace.`,
		Example: `  aviso gateway --config aviso.yaml
  aviso gateway --config aviso.yaml --listen :2195 --feedback :2196`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.gateway(cmd, f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.config, "config", "", "read the configuration in this YAML `FILE`")
	flags.StringVar(&f.data, "data", "", "keep the feedback list in `DIR` (default aviso-data beside the configuration)")
	flags.StringVar(&f.listen, "listen", "", "take notifications on `HOST:PORT` (default "+defaultGateway+")")
	flags.StringVar(&f.feedback, "feedback", "", "serve the feedback list on `HOST:PORT` (default "+defaultFeedback+")")
	flags.StringVar(&f.grace, "grace", "", "`TIME` for what is under way when the gateway stops (default 15s)")
	return cmd
}

// gatewayKeys are the keys that flags of gateway stand for.
var gatewayKeys = map[string]string{"data": "data", "listen": "gateway.listen", "feedback": "gateway.feedback", "grace": "grace"}

func (a *app) gateway(cmd *cobra.Command, f *gatewayFlags) (err error) {
	source := a.configSource(cmd, f.config, gatewayKeys)
	log := a.serverLogger()
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	r, err := newReloader(cmd.Context(), func() (*serverConfig, error) { return a.loadConfig(source) }, log)
	if err != nil && cmd.Context().Err() != nil {
		return nil // asked to stop before it had begun
	}
	if err != nil {
		return err
	}
	defer r.close()
	c := r.current
	if len(c.gateway.Providers) == 0 {
		return usage("no old program may send: name its client certificate under an app, as %s: FILE", providerKey)
	}
	if err := os.MkdirAll(c.engine.Store.Dir, 0o700); err != nil {
		return err
	}
	cfg := c.gateway.Config
	cfg.Logger = log
	// The data folder and the address stay, so this is the same one every time; it is not
	// read again, beside which a reload would have to wait.
	var own *auth.Certificate
	certificateOf := func(of *serverConfig) (_ *auth.Certificate, err error) {
		if of.gateway.Certificate != nil {
			return of.gateway.Certificate, nil
		}
		if own == nil {
			own, err = a.ownCertificate(c.engine.Store.Dir, c.gateway.listen)
		}
		return own, err
	}
	if cfg.Certificate, err = certificateOf(c); err != nil {
		return err
	}
	g, err := gateway.New(cfg)
	if err != nil {
		return errors.New(gatewayWords.Replace(err.Error()))
	}
	r.apply = func(c *serverConfig) error {
		certificate, err := certificateOf(c)
		if err == nil {
			err = g.SetProviders(c.gateway.Providers)
		}
		if err == nil {
			err = g.SetCertificate(certificate)
		}
		return err
	}
	ended := make(chan error, 2)
	err = a.serveGateway(cmd.Context(), g, c, ended)
	if err == nil {
		err = r.attend(cmd.Context(), hup, ended)
		log.Info("stopping", "grace", c.grace)
	}
	ctx, cancel := context.WithTimeoutCause(context.Background(), c.grace, errGrace)
	defer cancel()
	if late := g.Shutdown(ctx); late != nil {
		log.Warn("not everything that was under way could be judged; programs send again what they were not told of", "because", late)
	}
	s := g.Stats()
	log.Info("stopped", "connections", s.Connections, "notifications", s.Frames, "accepted", s.Accepted, "rejected", s.Rejected, "unregistered", s.Unregistered)
	return err
}

// serveGateway listens on both ports.
func (a *app) serveGateway(ctx context.Context, g *gateway.Gateway, c *serverConfig, ended chan<- error) error {
	for _, port := range []struct {
		name, address string
		serve         func(net.Listener) error
	}{{"gateway", c.gateway.listen, g.Serve}, {"feedback", c.gateway.feedback, g.ServeFeedback}} {
		l, err := gateway.Listen(ctx, port.address)
		if err != nil {
			return fmt.Errorf("%s: %w", port.name, portHint(err))
		}
		go func() { ended <- port.serve(l) }()
		a.ready(port.name, l.Addr().String())
	}
	return nil
}

const (
	// ownCertificateFile and ownKeyFile are in the data folder.
	ownCertificateFile = "gateway-certificate.pem"
	ownKeyFile         = "gateway-key.pem"
	ownCertificateAge  = 10 * 365 * 24 * time.Hour
)

// ownCertificate returns the certificate that the gateway made for itself, and
// makes one the first time.
func (a *app) ownCertificate(dir, listen string) (*auth.Certificate, error) {
	path, keyPath := filepath.Join(dir, ownCertificateFile), filepath.Join(dir, ownKeyFile)
	public, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		a.sayf("The gateway made itself a certificate, which programs have to trust: %s", path)
		if err = makeOwnCertificate(path, keyPath, listen); err == nil {
			public, err = os.ReadFile(path)
		}
	}
	if err != nil {
		return nil, err
	}
	private, err := os.ReadFile(keyPath)
	if err != nil {
		return nil, err
	}
	certificate, err := auth.ParseCertificate(append(public, private...), "")
	if err != nil {
		return nil, fmt.Errorf("%s: %w; remove it and %s, and others are made", path, trimmed{err}, ownKeyFile)
	}
	return certificate, nil
}

// makeOwnCertificate writes a certificate for this machine's names, and its key:
// RSA, since programs of 2010 know nothing else.
func makeOwnCertificate(path, keyPath, listen string) error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "Aviso gateway"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(ownCertificateAge),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, IsCA: true, BasicConstraintsValid: true,
	}
	if name, err := os.Hostname(); err == nil {
		template.DNSNames = append(template.DNSNames, name)
	}
	if host, _, err := net.SplitHostPort(listen); err == nil {
		if ip := net.ParseIP(host); ip != nil && !ip.IsUnspecified() && !slices.ContainsFunc(template.IPAddresses, ip.Equal) {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else if ip == nil && host != "" && host != "localhost" {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	// The key first: without it the certificate would be of no use.
	if err := os.WriteFile(keyPath, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), 0o600); err != nil {
		return err
	}
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644)
}
