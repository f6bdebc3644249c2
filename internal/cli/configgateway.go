package cli

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"aviso.example/apns"
	"aviso.example/auth"
	"aviso.example/engine"
	"aviso.example/internal/namedfile"
	"aviso.example/legacy/gateway"
)

const (
	// The ports are those of Apple's dead hosts, so that old programs need another
	// name and nothing else.
	defaultGateway  = "127.0.0.1:2195"
	defaultFeedback = "127.0.0.1:2196"
	// providerKey lists the certificates of the old programs of an app.
	providerKey = "gateway_certificates"
	// feedbackFile is where the gateway keeps dead device tokens, in the data
	// folder.
	feedbackFile = "gateway-feedback.db"
)

// gatewayConfig is what the gateway for old programs is made of.
type gatewayConfig struct {
	listen, feedback string
	gateway.Config
}

// tlsVersions are what gateway.tls_min_version may be. YAML takes 1.0 for 1.
var tlsVersions = map[string]uint16{"1": tls.VersionTLS10, "1.0": tls.VersionTLS10, "1.1": tls.VersionTLS11, "1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}

// readGateway reads the section gateway.
func (r *configReader) readGateway() {
	g := &r.serverConfig.gateway
	g.listen, g.feedback = r.address("gateway.listen"), r.address("gateway.feedback")
	g.Window, g.MaxConnections, g.HoldTime = r.count("gateway.window"), r.count("gateway.max_connections"), r.duration("gateway.hold")
	for _, n := range []struct {
		name        string
		value, most int
	}{{"gateway.window", g.Window, gateway.MaxWindow}, {"gateway.max_connections", g.MaxConnections, gateway.MaxConnections}} {
		if n.value < 1 || n.value > n.most {
			r.bad(n.name, "is %d; it has to be from 1 to %d", n.value, n.most)
		}
	}
	g.MinTLSVersion = parse(r, "gateway.tls_min_version", func(text string) (uint16, error) {
		if version, known := tlsVersions[text]; known {
			return version, nil
		}
		return 0, fmt.Errorf("is %q; it has to be 1.0, 1.1, 1.2 or 1.3", text)
	})
	switch word := r.text("gateway.on_unknown"); word {
	case "resend":
	case "drop":
		g.DropUnknown = true
	default:
		r.bad("gateway.on_unknown", "is %q; it has to be resend or drop", word)
	}
	if data := r.path("data"); data != "" {
		g.FeedbackFile = filepath.Join(data, feedbackFile)
	}
	switch name := "gateway.certificate"; {
	case r.has(name), r.has(name + "_pem"):
		g.Certificate = r.certificate(r.oneOf("gateway.", "certificate", "certificate_pem"), r.password("gateway."))
	default:
		for _, name := range []string{"gateway.password", "gateway.password_file"} {
			if r.has(name) {
				r.bad(name, "belongs to gateway.certificate, which is missing")
			}
		}
	}
}

// oneOf returns which of some keys of a section is set, and complains about more than
// one.
func (r *configReader) oneOf(section string, keys ...string) (name string) {
	for _, key := range keys {
		switch {
		case !r.has(section + key):
		case name == "":
			name = section + key
		default:
			r.bad(section+key, "and %s exclude each other; give one of them", r.where(name))
		}
	}
	return name
}

// password reads the password of a section: the text itself, or the file that holds it.
func (r *configReader) password(section string) string {
	name := r.oneOf(section, "password", "password_file")
	if name == "" || strings.HasSuffix(name, "password") {
		return r.secret(name)
	}
	file := r.file(name)
	if file == "" {
		return ""
	}
	password, err := readPassword(file)
	if err != nil {
		r.bad(name, "%w%s", err, r.inPlaceOf(name))
	}
	return password
}

// certificate reads a certificate with its key, from a file or from the text itself.
func (r *configReader) certificate(name, password string) (c *auth.Certificate) {
	var err error
	if strings.HasSuffix(name, "_pem") {
		c, err = auth.ParseCertificate([]byte(r.secret(name)), password)
	} else if path := r.file(name); path != "" {
		c, err = auth.LoadCertificate(path, password)
	}
	if err == nil {
		return c
	}
	hint := ""
	if errors.Is(err, auth.ErrPasswordRequired) {
		hint = "; give it under password, or put it into a file and name that under password_file"
	}
	r.bad(name, "%w%s", trimmed{err}, hint)
	return nil
}

// readProviders reads which old programs may send for an app: their certificates,
// below the app or below production or sandbox.
func (a *appReader) readProviders(app *engine.App) {
	for _, section := range []string{"", "production.", "sandbox."} {
		key := a.prefix + section + providerKey
		if !a.has(key) {
			continue
		}
		for path := range strings.SplitSeq(a.texts(key), ",") {
			path = strings.TrimSpace(path)
			if !filepath.IsAbs(path) {
				path = filepath.Join(a.settings[key].dir, path)
			}
			a.read = append(a.read, path)
			certificate, info, err := readClientCertificate(path)
			if err != nil {
				a.bad(key, "%w", err)
				continue
			}
			environment := app.Default
			switch {
			case section == "production.", section == "" && info.Production && !info.Sandbox:
				environment = apns.Production
			case section == "sandbox.", section == "" && info.Sandbox && !info.Production:
				environment = apns.Sandbox
			}
			a.addProvider(app, key, environment, certificate, info)
		}
	}
}

// addProvider adds a certificate to the provider of its topic and environment.
func (a *appReader) addProvider(app *engine.App, key string, environment apns.Environment, certificate *x509.Certificate, info *auth.CertificateInfo) {
	credential := app.Production
	if environment == apns.Sandbox {
		credential = app.Sandbox
	}
	if credential == nil {
		a.bad(key, "is for %s, for which the app has no credential", environment)
		return
	}
	topic := info.DefaultTopic()
	switch {
	case topic == "":
		topic = app.BundleID
	case app.BundleID != "" && topic != app.BundleID && !strings.HasPrefix(topic, app.BundleID+"."):
		a.bad(key, "names a certificate for %s, but the app's bundle_id is %s", topic, app.BundleID)
		return
	}
	name := fmt.Sprintf("%s/%s/%s", app.ID, environment, topic)
	list := &a.serverConfig.gateway.Providers
	at := slices.IndexFunc(*list, func(p gateway.Provider) bool { return p.Name == name })
	if at < 0 {
		at = len(*list)
		*list = append(*list, gateway.Provider{Name: name, Topic: topic, APNs: clientConfig(app, credential, environment)})
	}
	(*list)[at].Certificates = append((*list)[at].Certificates, certificate)
}

// checkProviders says what is wrong with all providers together.
func (r *configReader) checkProviders() {
	if len(r.serverConfig.gateway.Providers) == 0 {
		return
	}
	if err := gateway.CheckProviders(r.serverConfig.gateway.Providers); err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			r.problems.add(providerKey, "%s", gatewayWords.Replace(line))
		}
	}
}

// readClientCertificate reads the certificate of an old program, whose key it
// keeps for itself.
func readClientCertificate(path string) (*x509.Certificate, *auth.CertificateInfo, error) {
	data, err := namedfile.Read(path, maxConfigFile)
	if err != nil {
		return nil, nil, err
	}
	whole, err := auth.ParseCertificate(data, "")
	if err == nil {
		return whole.TLS.Leaf, &whole.Info, nil
	}
	if errors.Is(err, auth.ErrPasswordRequired) || errors.Is(err, auth.ErrWrongPassword) {
		return nil, nil, fmt.Errorf("%s: the gateway needs the certificate alone, without a password: openssl pkcs12 -in %[1]s -nokeys -clcerts", filepath.Base(path))
	}
	report, err := auth.Inspect(filepath.Base(path), data, "")
	if err != nil {
		return nil, nil, trimmed{err}
	}
	var leaf *x509.Certificate
	for _, der := range certificatesIn(data) {
		c, err := x509.ParseCertificate(der)
		if err == nil && (leaf == nil || leaf.IsCA && !c.IsCA) {
			leaf = c
		}
	}
	if leaf == nil || report.Certificate == nil {
		return nil, nil, fmt.Errorf("%s holds no certificate", filepath.Base(path))
	}
	return leaf, report.Certificate, nil
}

// certificatesIn returns the certificates of a PEM file, or the whole of another.
func certificatesIn(data []byte) (list [][]byte) {
	for rest := data; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type == "CERTIFICATE" {
			list = append(list, block.Bytes)
		}
	}
	if list == nil {
		list = append(list, data)
	}
	return list
}

// gatewayWords translates the names of the fields of gateway.Config.
var gatewayWords = strings.NewReplacer(
	"gateway: Config.Window", "gateway.window", "gateway: Config.MaxConnections", "gateway.max_connections",
	"gateway: Config.HoldTime", "gateway.hold", "gateway: ", "",
)
