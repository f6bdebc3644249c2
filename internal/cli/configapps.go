package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"aviso.example/apns"
	"aviso.example/auth"
	"aviso.example/engine"
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
	app.Production = a.credential(apns.Production)
	app.Sandbox = a.credential(apns.Sandbox)
	if len(r.problems.list) > before {
		return
	}
	if app.Production == nil && app.Sandbox == nil {
		r.problems.add("apps."+id, "has no credential: give key (a .p8 file) and team, or certificate, for both environments or below production or sandbox")
		return
	}
	if app.BundleID == "" { // a certificate knows
		for _, c := range []*engine.Credential{app.Sandbox, app.Production} {
			if c != nil && c.Certificate != nil {
				app.BundleID = cmp.Or(c.Certificate.Info.DefaultTopic(), app.BundleID)
			}
		}
	}
	switch name := a.prefix + "environment"; a.text(name) {
	case "production":
		app.Default = apns.Production
	case "sandbox":
		app.Default = apns.Sandbox
	case "":
		if app.Production == nil {
			app.Default = apns.Sandbox
		}
	default:
		a.bad(name, "is %q; it has to be production (TestFlight and the App Store) or sandbox (builds run from Xcode)", a.text(name))
	}
	if app.Default == apns.Production && app.Production == nil || app.Default == apns.Sandbox && app.Sandbox == nil {
		a.bad(a.prefix+"environment", "is %s, for which the app has no credential", app.Default)
	}
	for _, environment := range []apns.Environment{apns.Production, apns.Sandbox} {
		a.tryOut(&app, environment)
	}
	a.readProviders(&app)
	if len(r.problems.list) == before {
		r.engine.Apps = append(r.engine.Apps, app)
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

// credential reads the credential for one environment, nil if there is none.
func (a *appReader) credential(e apns.Environment) *engine.Credential {
	name := func(key string) string { return a.name(e, key) }
	key, certificate := name("key"), name("certificate")
	nested := func(name string) bool { return strings.HasPrefix(name, a.prefix+e.String()+".") }
	switch hasKey, hasCertificate := a.has(key), a.has(certificate); {
	case !hasKey && !hasCertificate:
		for _, other := range []string{"key_id", "team", "password_file", "endpoint", "ca", "alternative_port", "max_connections"} {
			if n := name(other); a.has(n) && (nested(n) || !a.anyCredential()) {
				a.bad(n, "belongs to a credential, and there is none: give key or certificate")
				break
			}
		}
		return nil
	case hasKey && hasCertificate && nested(key) == nested(certificate):
		a.bad(certificate, "and key exclude each other: APNs ties a connection to one identity")
		return nil
	case hasKey && hasCertificate && nested(certificate):
		key = "" // what stands below the environment wins
	case hasKey && hasCertificate:
		certificate = ""
	case hasKey:
		certificate = ""
	default:
		key = ""
	}
	c := &engine.Credential{
		Endpoint: a.text(name("endpoint")), AlternativePort: a.flag(name("alternative_port")), MaxConnections: a.count(name("max_connections")),
	}
	if file := a.path(name("ca")); file != "" {
		a.read = append(a.read, file)
		var err error
		if c.ExtraRoots, err = os.ReadFile(file); err != nil {
			a.bad(name("ca"), "%w", err)
		}
	}
	if key != "" {
		return a.withKey(c, e, key)
	}
	return a.withCertificate(c, e, certificate)
}

// anyCredential says that the app has one in some environment.
func (a *appReader) anyCredential() bool {
	for _, e := range []apns.Environment{apns.Production, apns.Sandbox} {
		if a.has(a.name(e, "key")) || a.has(a.name(e, "certificate")) {
			return true
		}
	}
	return false
}

func (a *appReader) withKey(c *engine.Credential, e apns.Environment, key string) *engine.Credential {
	path, team := a.path(key), a.name(e, "team")
	if path == "" {
		return nil
	}
	keyID := a.name(e, "key_id")
	if strings.Count(keyID, ".") < strings.Count(key, ".") {
		keyID = "" // the app's key id is not that of another key
	}
	a.read = append(a.read, path)
	var err error
	if c.Key, err = auth.LoadSigningKey(path, a.text(keyID)); err != nil {
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
	if name := a.name(e, "password_file"); a.has(name) {
		a.bad(name, "belongs to certificate; a .p8 file has no password")
	}
	return c
}

func (a *appReader) withCertificate(c *engine.Credential, e apns.Environment, certificate string) *engine.Credential {
	path, password := a.path(certificate), ""
	if path == "" {
		return nil
	}
	a.read = append(a.read, path)
	before := len(a.problems.list)
	if password = a.password(a.name(e, "password_file")); len(a.problems.list) > before {
		return nil
	}
	for _, other := range []string{"key_id", "team"} {
		if name := a.name(e, other); a.has(name) && strings.Count(name, ".") == strings.Count(certificate, ".") {
			a.bad(name, "belongs to key; a certificate says by itself which team it is of")
		}
	}
	var err error
	if c.Certificate, err = auth.LoadCertificate(path, password); err != nil {
		hint := ""
		if errors.Is(err, auth.ErrPasswordRequired) {
			hint = "; put it into a file and name that under password_file"
		}
		a.bad(certificate, "%w%s", trimmed{err}, hint)
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
		Key: c.Key, TeamID: c.TeamID, Certificate: c.Certificate, BundleID: app.BundleID, Environment: e, Endpoint: c.Endpoint,
		ExtraRoots: c.ExtraRoots, AlternativePort: c.AlternativePort, MaxConnections: c.MaxConnections,
	}
}
