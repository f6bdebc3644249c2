package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"aviso.example/apns"
	"aviso.example/auth"
	"aviso.example/engine"
	"aviso.example/internal/message"
)

// readApps reads the apps and their credentials.
func (r *configReader) readApps() {
	ids := r.appIDs()
	if len(ids) == 0 && len(r.problems.list) == 0 {
		r.problems.add("apps", "there is no app to send for; `%s config init` shows what one looks like", "aviso")
	}
	for _, id := range ids {
		r.readApp(id)
	}
}

// appReader reads one app.
type appReader struct {
	*configReader
	id     string
	prefix string // of its keys
}

func (r *configReader) readApp(id string) {
	a := appReader{r, id, "apps." + id + "."}
	before := len(r.problems.list)
	app := engine.App{ID: id, BundleID: a.text(a.prefix + "bundle_id"), Rate: a.number(a.prefix + "rate")}
	environment := a.prefix + "environment"
	switch word := a.text(environment); word {
	case "", "production", "sandbox":
	default:
		a.bad(environment, "is %q; it has to be production (TestFlight and the App Store) or sandbox (builds run from Xcode)", word)
	}
	a.checkBundleID(app.BundleID)
	app.Production = a.credential(apns.Production)
	app.Sandbox = a.credential(apns.Sandbox)
	if len(r.problems.list) > before {
		return
	}
	if app.Production == nil && app.Sandbox == nil {
		r.problems.add("apps."+id, "has no credential: give key (a .p8 file) and team, or certificate, for both environments or below production or sandbox")
		return
	}
	if a.text(environment) == "sandbox" || a.text(environment) == "" && app.Production == nil {
		app.Default = apns.Sandbox
	}
	if app.Default == apns.Production && app.Production == nil || app.Default == apns.Sandbox && app.Sandbox == nil {
		a.bad(environment, "is %s, for which the app has no credential", app.Default)
	}
	for _, c := range []*engine.Credential{app.Production, app.Sandbox} {
		if app.BundleID == "" && c != nil && c.Certificate != nil {
			app.BundleID = c.Certificate.Info.DefaultTopic()
		}
	}
	for _, environment := range []apns.Environment{apns.Production, apns.Sandbox} {
		a.tryOut(&app, environment)
	}
	a.readProviders(&app)
	if len(r.problems.list) == before {
		r.engine.Apps = append(r.engine.Apps, app)
	}
}

// checkBundleID refuses what is a topic or an app ID and would never fit.
func (a *appReader) checkBundleID(id string) {
	name := a.prefix + "bundle_id"
	if suffix := message.TopicSuffix(id); suffix != "" {
		a.bad(name, "ends in %s, which is added for its push type; give %s", suffix, strings.TrimSuffix(id, suffix))
	}
	team, rest, _ := strings.Cut(id, ".")
	if own := a.text(a.prefix + "team"); team != "" && team == own {
		a.bad(name, "begins with the id of the team, which is a part of the app's ID and not of its bundle identifier; give %s", rest)
	}
}

// name returns the key that holds for an environment: the one below it, or else
// the app's.
func (a *appReader) name(e apns.Environment, key string) string {
	if nested := a.prefix + e.String() + "." + key; a.has(nested) {
		return nested
	}
	return a.prefix + key
}

// material are the keys that say who sends.
var material = []string{"key", "key_pem", "certificate", "certificate_pem"}

// accessories are the other keys of a credential.
var accessories = []string{"key_id", "team", "password", "password_file", "endpoint", "proxy", "ca", "ca_pem", "alternative_port", "max_connections"}

// section returns the prefix of the keys that hold for an environment: of what stands
// below it if any of some keys does, or else the app's.
func (a *appReader) section(e apns.Environment, keys ...string) string {
	for _, key := range keys {
		if nested := a.prefix + e.String() + "."; a.has(nested + key) {
			return nested
		}
	}
	return a.prefix
}

// credential reads the credential for one environment, nil if there is none.
func (a *appReader) credential(e apns.Environment) *engine.Credential {
	name := func(key string) string { return a.name(e, key) }
	section := a.section(e, material...)
	which := a.oneOf(section, "key", "key_pem")
	certificate := a.oneOf(section, "certificate", "certificate_pem")
	switch {
	case which == "" && certificate == "":
		for _, other := range accessories {
			nested := strings.HasPrefix(name(other), a.prefix+e.String()+".")
			if n := name(other); a.has(n) && (nested || !a.anyCredential()) {
				a.bad(n, "belongs to a credential, and there is none: give key or certificate")
				break
			}
		}
		return nil
	case which != "" && certificate != "":
		a.bad(certificate, "and key exclude each other: APNs ties a connection to one identity")
		return nil
	}
	c := &engine.Credential{
		Endpoint: a.text(name("endpoint")), AlternativePort: a.flag(name("alternative_port")), MaxConnections: a.count(name("max_connections")),
		ExtraRoots: a.roots(a.section(e, "ca", "ca_pem")), Proxy: a.proxy(name("proxy")),
	}
	if which != "" {
		return a.withKey(c, e, which)
	}
	return a.withCertificate(c, e, certificate)
}

// roots reads the certificates to trust besides the usual ones.
func (a *appReader) roots(section string) (roots []byte) {
	var err error
	name := a.oneOf(section, "ca", "ca_pem")
	switch {
	case name == "":
	case strings.HasSuffix(name, "_pem"):
		roots, err = rootsIn([]byte(strings.ReplaceAll(a.text(name), `\n`, "\n")))
	default:
		if path := a.file(name); path != "" {
			roots, err = readRoots(path)
		}
	}
	if err != nil {
		a.bad(name, "%w", err)
	}
	return roots
}

// proxy reads the way out: a URL, or env for what the environment says.
func (a *appReader) proxy(name string) string {
	text := a.text(name)
	if text == "" || text == proxyFromEnvironment {
		return text
	}
	if err := checkProxy(text); err != nil {
		a.bad(name, "%w", err)
		return ""
	}
	return text
}

// anyCredential says that the app has one in some environment.
func (a *appReader) anyCredential() bool {
	for _, e := range []apns.Environment{apns.Production, apns.Sandbox} {
		for _, key := range material {
			if a.has(a.name(e, key)) {
				return true
			}
		}
	}
	return false
}

func (a *appReader) withKey(c *engine.Credential, e apns.Environment, key string) *engine.Credential {
	inline, team := strings.HasSuffix(key, "_pem"), a.name(e, "team")
	keyID := a.name(e, "key_id")
	if strings.Count(keyID, ".") < strings.Count(key, ".") {
		keyID = "" // the app's key id is not that of another key
	}
	var err error
	switch id := a.text(keyID); {
	case inline && id == "":
		a.bad(a.section(e, material...)+"key_id", "is missing: the id of the key, 10 characters, which stands beside it in the developer portal; a file of Apple's has it in its name, and key_pem has no name")
	case inline:
		c.Key, err = auth.ParseSigningKey([]byte(a.secret(key)), id)
	default:
		if path := a.file(key); path != "" {
			c.Key, err = auth.LoadSigningKey(path, id)
		}
	}
	if err != nil {
		hint := ""
		if e, ok := errors.AsType[*auth.InputError](err); ok && e.Field == "key id" {
			hint = " (key_id)"
		}
		a.bad(key, "%w%s", trimmed{err}, hint)
	}
	if c.TeamID = a.text(team); c.TeamID == "" && !a.has(team) {
		a.bad(team, "is missing: a key needs the id of the team that owns it, 10 characters, under Membership details in the developer portal")
	} else if err := auth.ValidateTeamID(c.TeamID); err != nil && c.TeamID != "" {
		a.bad(team, "%s", inputProblem(err))
	}
	for _, other := range []string{"password", "password_file"} {
		if name := a.name(e, other); a.has(name) {
			a.bad(name, "belongs to certificate; a .p8 file has no password")
		}
	}
	return c
}

func (a *appReader) withCertificate(c *engine.Credential, e apns.Environment, certificate string) *engine.Credential {
	before := len(a.problems.list)
	password := a.password(a.section(e, "password", "password_file"))
	for _, other := range []string{"key_id", "team"} {
		if name := a.name(e, other); a.has(name) && strings.Count(name, ".") == strings.Count(certificate, ".") {
			a.bad(name, "belongs to key; a certificate says by itself which team it is of")
		}
	}
	if len(a.problems.list) > before {
		return nil
	}
	if c.Certificate = a.certificate(certificate, password); c.Certificate == nil {
		return nil
	}
	// One that stands for both environments is for those it is marked for.
	marks := c.Certificate.Info
	if shared := !strings.Contains(strings.TrimPrefix(certificate, a.prefix), "."); shared && (marks.Sandbox || marks.Production) {
		if e == apns.Sandbox && !marks.Sandbox || e == apns.Production && !marks.Production {
			return nil
		}
	}
	return c
}

// appWords translates the names of the fields of apns.Config.
var appWords = strings.NewReplacer(
	"apns: Config.Endpoint", "endpoint:", "apns: Config.BundleID", "bundle_id:", "apns: Config.ExtraRoots", "ca:",
	"apns: Config.MaxConnections", "max_connections:", "apns: Config.Environment", "the environment", "apns: ", "",
)

// tryOut makes a client, which says best what is wrong with its configuration and
// connects to nobody before it has something to send.
func (a *appReader) tryOut(app *engine.App, e apns.Environment) {
	c := app.Production
	if e == apns.Sandbox {
		c = app.Sandbox
	}
	if c == nil {
		return
	}
	client, err := apns.New(clientConfig(app, c, e))
	if err != nil {
		for _, line := range strings.Split(err.Error(), "\n") {
			a.bad(fmt.Sprintf("apps.%s", a.id), "%s", appWords.Replace(line))
		}
		return
	}
	client.Close(context.Background())
}

// clientConfig is how to send for an app in an environment.
func clientConfig(app *engine.App, c *engine.Credential, e apns.Environment) apns.Config {
	return apns.Config{
		Proxy: c.ProxyFunc(), Key: c.Key, TeamID: c.TeamID, Certificate: c.Certificate, BundleID: app.BundleID, Environment: e, Endpoint: c.Endpoint,
		ExtraRoots: c.ExtraRoots, AlternativePort: c.AlternativePort, MaxConnections: c.MaxConnections,
	}
}
