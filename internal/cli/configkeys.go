package cli

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"aviso.example/internal/suggest"
)

// valueKind is what a key of the configuration takes.
type valueKind uint8

const (
	kindText valueKind = iota
	kindPath
	kindDuration
	kindBytes
	kindNumber
	kindFlag
	kindSecret // text that is never shown
	kindURL    // text that may hold a password
)

// serverKeys are the keys of the server itself.
var serverKeys = map[string]valueKind{
	"data": kindPath, "listen": kindText, "grace": kindDuration, "memory_limit": kindBytes,
	"api.key": kindSecret, "api.key_file": kindPath,
	"nats.urls": kindURL, "nats.credentials_file": kindPath, "nats.replicas": kindNumber,
	"engine.window": kindNumber, "engine.lease": kindDuration,
	"engine.lifetime": kindDuration, "engine.immediate_lifetime": kindDuration, "engine.linger": kindDuration,
	"engine.verdict_age": kindDuration, "engine.verdict_bytes": kindBytes,
	"engine.suppression_age": kindDuration, "engine.max_bytes": kindBytes,
	"gateway.listen": kindText, "gateway.feedback": kindText, "gateway.certificate": kindPath, "gateway.certificate_pem": kindSecret,
	"gateway.password": kindSecret, "gateway.password_file": kindPath,
	"gateway.tls_min_version": kindNumber, "gateway.window": kindNumber, "gateway.max_connections": kindNumber,
	"gateway.hold": kindDuration, "gateway.on_unknown": kindText,
}

// appKeys are the keys of an app, below apps and its id; those of a credential
// can stand below production or sandbox too.
var appKeys = func() map[string]valueKind {
	all := map[string]valueKind{"bundle_id": kindText, "environment": kindText, "rate": kindNumber, providerKey: kindText}
	for _, environment := range []string{"production.", "sandbox."} {
		all[environment+providerKey] = kindText
	}
	for name, kind := range credentialKeys {
		all[name], all["production."+name], all["sandbox."+name] = kind, kind, kind
	}
	return all
}()

var credentialKeys = map[string]valueKind{
	"key": kindPath, "key_pem": kindSecret, "key_id": kindText, "team": kindText,
	"certificate": kindPath, "certificate_pem": kindSecret, "password": kindSecret, "password_file": kindPath,
	"endpoint": kindText, "proxy": kindURL, "ca": kindPath, "ca_pem": kindText, "alternative_port": kindFlag, "max_connections": kindNumber,
}

// keyKind returns what a key takes, and whether there is such a key.
func keyKind(name string) (valueKind, bool) {
	if rest, ok := strings.CutPrefix(name, "apps."); ok {
		_, key, _ := strings.Cut(rest, ".")
		kind, known := appKeys[key]
		return kind, known
	}
	kind, known := serverKeys[name]
	return kind, known
}

// keysBelow returns the keys and sections that can stand in a section. Any id
// can stand below apps.
func keysBelow(section string) []string {
	keys, prefix := serverKeys, ""
	if section != "" {
		prefix = section + "."
	}
	found := map[string]bool{}
	if rest, ok := strings.CutPrefix(section, "apps."); ok {
		_, inner, nested := strings.Cut(rest, ".")
		keys, prefix = appKeys, ""
		if nested {
			prefix = inner + "."
		}
	} else if section == "" {
		found["apps"] = true
	}
	for name := range keys {
		if rest, ok := strings.CutPrefix(name, prefix); ok {
			key, _, _ := strings.Cut(rest, ".")
			found[key] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// strangeNames are what others call our keys.
var strangeNames = map[string]string{
	"topic": "bundle_id", "bundle": "bundle_id", "teamid": "team", "p8": "key", "keyfile": "key", "signingkey": "key",
	"cert": "certificate", "p12": "certificate", "pem": "certificate", "certfile": "certificate", "passphrase": "password",
	"keybase64": "key_pem", "keycontent": "key_pem", "privatekey": "key_pem", "httpsproxy": "proxy", "proxyurl": "proxy",
	"port": "listen", "address": "listen", "dir": "data", "datadir": "data", "host": "endpoint", "cafile": "ca",
	"ratelimit": "rate", "url": "urls", "servers": "urls", "memory": "memory_limit", "apikey": "key_file",
}

// unknownKey says what is wrong with a key of a section.
func unknownKey(section, key string) string {
	known := keysBelow(section)
	hint := suggest.Hint(key, known)
	if other := strangeNames[suggest.Plain(key)]; hint == "" && slices.Contains(known, other) {
		hint = fmt.Sprintf("; did you mean %q?", other)
	}
	if hint == "" { // it may be right in another place
		for _, name := range slices.Sorted(maps.Keys(serverKeys)) {
			if strings.HasSuffix("."+name, "."+key) {
				hint = fmt.Sprintf("; did you mean %s?", name)
			}
		}
	}
	if hint == "" {
		hint = "; there are " + strings.Join(known, ", ")
	}
	return "unknown key" + hint
}

// envPrefix begins the environment variables that stand for keys.
const envPrefix = "AVISO_"

// keyVariable is the environment variable of a key.
func keyVariable(name string) string {
	return envPrefix + strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(name))
}

// otherVariables begin like keys and are not.
var otherVariables = []string{passwordVariable, keyVariableOfCommands, certificateVariable, guessesVariable, configVariable, serverVariable}

// serviceVariable matches what Kubernetes tells every process about a service
// that is called aviso, or aviso and more.
var serviceVariable = regexp.MustCompile(`^AVISO_([A-Z0-9_]+_)?(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

// keyOfVariable returns the key that an environment variable stands for, or "".
// apps are the ids known from elsewhere: in a variable, - and _ are the same.
func keyOfVariable(variable string, apps []string) string {
	for name := range serverKeys {
		if keyVariable(name) == variable {
			return name
		}
	}
	rest, ok := strings.CutPrefix(variable, envPrefix+"APPS_")
	if !ok {
		return ""
	}
	// The id that is known, or else what the longest key leaves of the name.
	best := ""
	for key := range appKeys {
		id, ok := strings.CutSuffix(rest, "_"+strings.TrimPrefix(keyVariable(key), envPrefix))
		if !ok || id == "" {
			continue
		}
		for _, app := range apps {
			if keyVariable(app) == envPrefix+id {
				return "apps." + app + "." + key
			}
		}
		if _, other, _ := strings.Cut(strings.TrimPrefix(best, "apps."), "."); best == "" || len(key) > len(other) {
			best = "apps." + strings.ToLower(id) + "." + key
		}
	}
	return best
}

// parseDuration reads 1h30m, and days too.
func parseDuration(text string) (time.Duration, error) {
	plain, unit := text, time.Duration(1)
	if days, ok := strings.CutSuffix(text, "d"); ok {
		plain, unit = days+"h", 24
	}
	d, err := time.ParseDuration(plain)
	switch {
	case err == nil && d*unit/unit != d:
		return 0, fmt.Errorf("is too long")
	case err == nil && d < 0:
		return 0, fmt.Errorf("is negative")
	case err == nil:
		return d * unit, nil
	}
	if _, err := strconv.ParseFloat(text, 64); err == nil {
		return 0, fmt.Errorf("is %s without a unit; write %ss, %sm or %sh", text, text, text, text)
	}
	return 0, fmt.Errorf("is %q; it has to be a time like 500ms, 30s, 1h30m or 7d", text)
}

// byteUnits are the units of sizes, the longer ones first.
var byteUnits = []struct {
	name  string
	bytes float64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"kB", 1e3}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1}, {"", 1},
}

// parseBytes reads 400MiB, 4GB or a number of bytes.
func parseBytes(text string) (int64, error) {
	for _, unit := range byteUnits {
		number, ok := strings.CutSuffix(text, unit.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if err != nil {
			break
		}
		if n *= unit.bytes; !(0 <= n && n <= 1<<60) {
			return 0, fmt.Errorf("is %s, which no disk holds", text)
		}
		return int64(n), nil
	}
	return 0, fmt.Errorf("is %q; it has to be a size like 400MiB, 4GiB or a number of bytes", text)
}

// writeBytes is the inverse of parseBytes for people.
func writeBytes(n int64) string {
	for i := 3; i >= 0; i-- {
		if size := int64(byteUnits[i].bytes); n >= size {
			text := strconv.FormatFloat(float64(n)/float64(size), 'f', 1, 64)
			return strings.TrimSuffix(text, ".0") + " " + byteUnits[i].name
		}
	}
	return fmt.Sprintf("%d B", n)
}
