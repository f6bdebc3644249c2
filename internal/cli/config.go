package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/v2"
	yamlv3 "go.yaml.in/yaml/v3"

	"aviso.example/apns"
	"aviso.example/engine"
	"aviso.example/internal/namedfile"
	"aviso.example/internal/suggest"
	"aviso.example/legacy/gateway"
)

const (
	// defaultServer is where the API is served: the next port after those of the
	// simulator.
	defaultServer = "127.0.0.1:2199"
	// configVariable names the configuration file where --config does not.
	configVariable = "AVISO_CONFIG"
	// serverVariable names the server to hand notifications to.
	serverVariable = "AVISO_SERVER"
	// maxConfigFile bounds the configuration in bytes: ten thousand apps.
	maxConfigFile = 4 << 20
)

// setting is the value of one key, and where it comes from.
type setting struct {
	value any
	// origin is the file's name, an environment variable, a flag or "default".
	origin string
	// dir is what a relative path is relative to.
	dir string
}

// serverConfig is what a server is made of.
type serverConfig struct {
	file        string // "" if there is none
	listen      string
	grace       time.Duration
	memoryLimit int64
	apiKey      string // "" if none was chosen
	engine      engine.Config
	gateway     gatewayConfig

	settings map[string]setting
	// read are the files that were read, whose change is worth a look.
	read []string
}

// configSource says where a configuration comes from.
type configSource struct {
	file    string
	flags   map[string]flagValue // by key
	environ []string
	// optional says that the file may be missing, strict that what a server would only
	// complain about is wrong.
	optional, strict bool
}

// flagValue is the value of a flag that was given.
type flagValue struct{ name, value string }

// problems gathers everything that is wrong, so that it can be put right in one
// go.
type problems struct{ list []string }

// add notes a problem. What both environments of an app complain about is one.
func (p *problems) add(where, format string, args ...any) {
	if text := where + ": " + oneLine(fmt.Errorf(format, args...).Error()); !slices.Contains(p.list, text) {
		p.list = append(p.list, text)
	}
}

// err returns all problems as one error of usage.
func (p *problems) err(what string) error {
	switch len(p.list) {
	case 0:
		return nil
	case 1:
		return usage("%s%s", what, p.list[0])
	}
	return usage("%sthere are %d problems:\n  %s", what, len(p.list), strings.Join(p.list, "\n  "))
}

// loadConfig reads and checks a configuration with all the files it names. Nothing
// is written, and nobody is connected to.
func loadConfig(source configSource) (*serverConfig, []string, error) {
	c := &serverConfig{settings: map[string]setting{}}
	p := &problems{}
	warnings, err := c.gather(source, p)
	if err != nil {
		return nil, nil, err
	}
	r := &configReader{serverConfig: c, problems: p}
	r.readServer()
	c.apiKey = r.readAPIKey()
	r.readGateway()
	r.readApps()
	r.checkProviders()
	if source.strict {
		if err := c.checkExposure(); err != nil {
			p.list = append(p.list, err.Error())
		}
		now := time.Now()
		expiries(c.engine.Apps, now, func(app string, e apns.Environment, at time.Time, text string) {
			where := fmt.Sprintf("apps.%s: its certificate for %s", app, e)
			if at.Before(now) {
				p.list = append(p.list, where+" "+text)
			} else {
				warnings = append(warnings, where+" "+text)
			}
		})
	}
	what := ""
	if c.file != "" {
		what = c.file + ": "
	}
	return c, warnings, p.err(what)
}

// gather fills settings: defaults, then the file, then the environment, then
// flags.
func (c *serverConfig) gather(source configSource, p *problems) (warnings []string, err error) {
	here, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	dir := here
	layer := func(provider koanf.Provider, parser koanf.Parser, origin func(key string) string, dir string) error {
		// The names of apps may hold anything until they are checked, also dots.
		k := koanf.New("\x00")
		if err := k.Load(provider, parser); err != nil {
			return err
		}
		c.take("", k.Raw(), origin, dir, p)
		return nil
	}
	if source.file != "" {
		path, err := filepath.Abs(source.file)
		if err != nil {
			return nil, err
		}
		text, err := readConfigFile(path)
		switch {
		case errors.Is(err, fs.ErrNotExist) && source.optional:
		case err != nil:
			return nil, usage("the configuration cannot be read: %w", err)
		default:
			c.file, dir = source.file, filepath.Dir(path)
			c.read = append(c.read, path)
			name := filepath.Base(path)
			err := oneDocument(text)
			if err == nil {
				err = layer(document(text), yaml.Parser(), func(string) string { return name }, dir)
			}
			if err != nil {
				return nil, usage("%s cannot be read: %s", source.file, oneLine(err.Error()))
			}
		}
	}
	variables := map[string]string{}
	fromEnvironment := env.Provider("\x00", env.Opt{
		Prefix: envPrefix, EnvironFunc: func() []string { return source.environ },
		TransformFunc: func(name, value string) (string, any) {
			key := keyOfVariable(name, c.appIDs())
			if key == "" {
				warnings = append(warnings, unknownVariable(name, p)...)
				return "", nil
			}
			if value == "" { // as good as absent, and the only way to say so in some places
				return "", nil
			}
			variables[key] = name
			return strings.ReplaceAll(key, ".", "\x00"), value
		},
	})
	if err := layer(fromEnvironment, nil, func(key string) string { return variables[key] }, here); err != nil {
		return nil, err
	}
	for key, flag := range source.flags {
		c.settings[key] = setting{flag.value, flag.name, here}
	}
	for key, value := range defaults {
		if _, given := c.settings[key]; !given {
			c.settings[key] = setting{value, "default", dir}
		}
	}
	return warnings, nil
}

// readConfigFile reads a file that a running server reads again.
func readConfigFile(path string) ([]byte, error) {
	if err := namedfile.Check(path); err != nil {
		return nil, fmt.Errorf("%s %w", path, err)
	}
	return namedfile.Read(path, maxConfigFile)
}

// document is a koanf.Provider of what was read.
type document []byte

func (d document) ReadBytes() ([]byte, error)    { return d, nil }
func (d document) Read() (map[string]any, error) { return nil, errors.ErrUnsupported }

// oneDocument refuses what follows the first YAML document (YAML 1.2, section 9.2): it
// would not be read, and whoever wrote it would not know.
func oneDocument(text []byte) error {
	decoder := yamlv3.NewDecoder(bytes.NewReader(text))
	var first, second yamlv3.Node
	if decoder.Decode(&first) != nil {
		return nil // which the parser tells, or it is empty
	}
	if err := decoder.Decode(&second); !errors.Is(err, io.EOF) {
		return errors.New("it has more than one YAML document, and only the first would be read; remove the line --- or ... in it, and what is twice")
	}
	return nil
}

// defaults are the values of keys that nobody sets.
var defaults = map[string]string{
	"data": "aviso-data", "listen": defaultServer, "grace": "15s", "memory_limit": "400MiB",
	"engine.window": strconv.Itoa(engine.DefaultWindow), "engine.lease": days(engine.DefaultLease),
	"engine.lifetime": days(engine.DefaultLifetime), "engine.immediate_lifetime": days(engine.DefaultImmediateLifetime),
	"engine.linger": days(engine.DefaultLinger), "engine.verdict_age": days(engine.DefaultVerdictAge),
	"engine.verdict_bytes": "4GiB", "engine.suppression_age": days(engine.DefaultSuppressionAge),
	"gateway.listen": defaultGateway, "gateway.feedback": defaultFeedback, "gateway.tls_min_version": "1.2",
	"gateway.window": strconv.Itoa(gateway.DefaultWindow), "gateway.max_connections": strconv.Itoa(gateway.DefaultMaxConnections),
	"gateway.hold": days(gateway.DefaultHoldTime), "gateway.on_unknown": "resend",
}

// days writes a time as parseDuration reads it.
func days(d time.Duration) string {
	if day := 24 * time.Hour; d >= day && d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	text := d.String()
	if short, ok := strings.CutSuffix(text, "m0s"); ok {
		return short + "m"
	}
	return text
}

// unknownVariable refuses a variable that was probably meant for us. Others may
// have variables of their own that begin like ours.
func unknownVariable(name string, p *problems) (warnings []string) {
	if slices.Contains(otherVariables, name) || serviceVariable.MatchString(name) {
		return nil
	}
	known := slices.Clone(otherVariables)
	for key := range serverKeys {
		known = append(known, keyVariable(key))
	}
	slices.Sort(known)
	hint := suggest.Hint(name, known)
	if strings.HasPrefix(name, envPrefix+"APPS_") {
		hint = "; it has to be AVISO_APPS_<ID>_<KEY>, with one of the keys " + strings.Join(keysBelow("apps.x"), ", ")
	}
	for _, section := range []string{"API_", "NATS_", "ENGINE_", "GATEWAY_"} {
		if hint == "" && strings.HasPrefix(name, envPrefix+section) {
			hint = "; there are " + strings.Join(keysBelow(strings.ToLower(strings.TrimSuffix(section, "_"))), ", ")
		}
	}
	if hint == "" {
		return []string{fmt.Sprintf("the environment variable %s stands for no key and is ignored", name)}
	}
	p.add(name, "unknown environment variable%s", hint)
	return nil
}

// take takes a tree of values over.
func (c *serverConfig) take(section string, tree map[string]any, origin func(string) string, dir string, p *problems) {
	for _, key := range slices.Sorted(maps.Keys(tree)) {
		name := key
		if section != "" {
			name = section + "." + key
		}
		value := tree[key]
		below, isTree := value.(map[string]any)
		isSection := section == "apps" || slices.Contains(keysBelow(section), key) && !isLeaf(name)
		switch {
		case section == "apps" && !appID(key):
			p.add("apps", "%q cannot be the id of an app: 1 to 40 lower-case letters, digits, - and _, beginning with a letter or digit", key)
			if isTree && !strings.Contains(key, ".") {
				c.take(name, below, origin, dir, p) // what is wrong in it is said at once
			}
		case isSection && isTree:
			c.take(name, below, origin, dir, p)
		case isSection && value == nil && section != "apps": // only comments below it
		case isSection:
			p.add(name, "has to be a section with the keys %s, not a single value", strings.Join(sectionHint(name), ", "))
		case !isLeaf(name):
			p.add(name, "%s", unknownKey(section, key))
		case isTree:
			p.add(name, "has to be a single value, not a section")
		case value == nil:
			p.add(name, "has no value; give one, or remove the line")
		default:
			c.settings[name] = setting{value, origin(name), dir}
		}
	}
}

func isLeaf(name string) bool { _, ok := keyKind(name); return ok }

func sectionHint(name string) []string {
	if name == "apps" {
		return []string{"of each app's id"}
	}
	return keysBelow(name)
}

// appIDs returns the ids of apps so far.
func (c *serverConfig) appIDs() []string {
	found := map[string]bool{}
	for name := range c.settings {
		if rest, ok := strings.CutPrefix(name, "apps."); ok {
			id, _, _ := strings.Cut(rest, ".")
			found[id] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// appID says that a word can name an app, as the engine has it.
func appID(id string) bool {
	for i, r := range id {
		if !('a' <= r && r <= 'z' || '0' <= r && r <= '9' || i > 0 && (r == '-' || r == '_')) {
			return false
		}
	}
	return 0 < len(id) && len(id) <= 40
}

// engineWords translates the names of the fields of engine.Config.
var engineWords = strings.NewReplacer(
	"engine: Config.Window", "engine.window", "engine: Config.Lease", "engine.lease",
	"engine: Config.Lifetime", "engine.lifetime", "engine: Config.ImmediateLifetime", "engine.immediate_lifetime",
	"engine: Config.Linger", "engine.linger", "engine: Config.VerdictAge", "engine.verdict_age",
	"engine: Config.VerdictBytes", "engine.verdict_bytes", "engine: Config.SuppressionAge", "engine.suppression_age",
	", and a plain number counts nanoseconds", "",
)

// inOurWords is an error of the engine's with the names that the configuration has for
// its fields.
type inOurWords struct{ error }

func (e inOurWords) Error() string { return engineWords.Replace(e.error.Error()) }
func (e inOurWords) Unwrap() error { return e.error }

// readServer reads everything but the apps.
func (r *configReader) readServer() {
	c := r.serverConfig
	c.listen = r.address("listen")
	c.grace, c.memoryLimit = r.duration("grace"), r.bytes("memory_limit")
	if least := int64(32 << 20); c.memoryLimit != 0 && c.memoryLimit < least {
		r.bad("memory_limit", "is %s; below %s the collector of garbage would do nothing else", writeBytes(c.memoryLimit), writeBytes(least))
	}
	e := &c.engine
	e.Store = engine.StoreConfig{
		Dir: r.path("data"), MaxBytes: r.bytes("engine.max_bytes"),
		URLs: r.texts("nats.urls"), CredentialsFile: r.path("nats.credentials_file"), Replicas: r.count("nats.replicas"),
	}
	if e.Store.URLs == "" {
		for _, name := range []string{"nats.credentials_file", "nats.replicas"} {
			if r.has(name) {
				r.bad(name, "belongs to nats.urls, which is missing; without it the log is in the folder of data")
			}
		}
	} else if r.has("engine.max_bytes") {
		r.bad("engine.max_bytes", "bounds the log in the folder of data, but nats.urls puts it on a cluster, which has limits of its own")
	}
	if file := e.Store.CredentialsFile; file != "" {
		err := namedfile.Check(file)
		if err == nil {
			_, err = os.Stat(file)
		}
		if err != nil {
			r.bad("nats.credentials_file", "%w", err)
		}
	}
	if n := e.Store.Replicas; n > 5 || r.has("nats.replicas") && n == 0 {
		r.bad("nats.replicas", "is %d; NATS keeps 1 to 5 copies, and 3 survive the loss of one server", n)
	}
	e.Window, e.Lease, e.Linger = r.count("engine.window"), r.duration("engine.lease"), r.duration("engine.linger")
	e.Lifetime, e.ImmediateLifetime = r.duration("engine.lifetime"), r.duration("engine.immediate_lifetime")
	e.VerdictAge, e.VerdictBytes = r.duration("engine.verdict_age"), r.bytes("engine.verdict_bytes")
	e.SuppressionAge = r.duration("engine.suppression_age")
	if err := e.Validate(); err != nil {
		for _, line := range strings.Split(engineWords.Replace(err.Error()), "\n") {
			name, text, _ := strings.Cut(line, " ")
			r.bad(name, "%s", text)
		}
	}
}

// maxAPIKey bounds a file with an API key, so that a wrong one is noticed.
const maxAPIKey = 4096

// leastAPIKey is the shortest API key that the API takes, in characters.
const leastAPIKey = 20

func (r *configReader) readAPIKey() string {
	switch name := "api.key"; {
	case r.has(name):
		key := r.secret(name)
		if err := checkAPIKey(key); err != nil {
			r.bad(name, "%w", err)
		}
		return key
	case !r.has("api.key_file"):
		return ""
	}
	file := r.file("api.key_file")
	if file == "" {
		return ""
	}
	key, err := readAPIKeyFile(file)
	if err != nil {
		r.bad("api.key_file", "%w", err)
	}
	return key
}

func readAPIKeyFile(path string) (string, error) {
	data, err := namedfile.Read(path, maxAPIKey)
	if err != nil {
		return "", err
	}
	key := strings.TrimSpace(strings.TrimPrefix(string(data), "\ufeff"))
	return key, checkAPIKey(key)
}

// checkAPIKey says what is wrong with an API key, without showing it.
func checkAPIKey(key string) error {
	switch {
	case len(key) < leastAPIKey:
		return fmt.Errorf("holds an API key of %d characters, which can be guessed; take %d or more, as from openssl rand -hex 32", len(key), leastAPIKey)
	case strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }):
		return errors.New("holds an API key that cannot be sent in a header: it has to be one word of ASCII characters")
	}
	return nil
}
