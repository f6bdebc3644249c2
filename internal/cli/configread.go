package cli

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"aviso.example/internal/namedfile"
	"aviso.example/internal/secret"
)

// configReader reads settings as what they have to be.
type configReader struct {
	*serverConfig
	problems *problems
}

// where names a key as whoever set it wrote it.
func (r *configReader) where(name string) string {
	if origin := r.settings[name].origin; strings.HasPrefix(origin, envPrefix) || strings.HasPrefix(origin, "--") {
		return origin
	}
	return name
}

func (r *configReader) bad(name, format string, args ...any) {
	r.problems.add(r.where(name), format, args...)
}

func (r *configReader) has(name string) bool { _, ok := r.settings[name]; return ok }

// text returns the value as text. YAML takes some texts for numbers.
func (r *configReader) text(name string) string {
	switch v := r.settings[name].value.(type) {
	case nil:
		return ""
	case string:
		if v == "" {
			r.bad(name, "is empty; give a value, or remove it")
		}
		if holds := secret.What(v); holds != "" && !r.mayBeSecret(name) {
			r.bad(name, "%w%s", &namedfile.NotANameError{Holds: holds}, r.inPlaceOf(name))
			return ""
		}
		return v
	default:
		r.bad(name, "is %v, which YAML does not take for a text; put it in quotes", v)
		return ""
	}
}

// texts returns a list, or one text with commas, as one text with commas.
func (r *configReader) texts(name string) string {
	list, ok := r.settings[name].value.([]any)
	if !ok {
		return r.text(name)
	}
	var texts []string
	for _, v := range list {
		text, ok := v.(string)
		if !ok {
			r.bad(name, "has %v in its list, which is no text", v)
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, ",")
}

// mayBeSecret says that a key takes a secret itself.
func (r *configReader) mayBeSecret(name string) bool {
	kind, _ := keyKind(name)
	return kind == kindSecret || strings.HasSuffix(name, "_pem")
}

// inPlaceOf names the key that takes what a file would hold.
func (r *configReader) inPlaceOf(name string) string {
	for _, suffix := range []string{"_pem", ""} {
		if inline := strings.TrimSuffix(name, "_file") + suffix; inline != name {
			if _, known := keyKind(inline); known {
				return fmt.Sprintf("; it can be given in %s (%s)", inline, keyVariable(inline))
			}
		}
	}
	return ""
}

// secret returns a value that no error may repeat.
func (r *configReader) secret(name string) string {
	switch v := r.settings[name].value.(type) {
	case nil:
		return ""
	case string:
		if v == "" {
			r.bad(name, "is empty; give a value, or remove it")
		}
		return v
	}
	r.bad(name, "has to be a text; put it in quotes")
	return ""
}

// file returns the absolute path of a file that is read now, and again whenever it
// changes; "" if a problem was noted.
func (r *configReader) file(name string) string {
	path := r.path(name)
	if path == "" {
		return ""
	}
	if err := namedfile.Check(path); err != nil {
		hint := ""
		if _, wrong := errors.AsType[*namedfile.NotANameError](err); wrong {
			hint = r.inPlaceOf(name)
			r.settings[name] = setting{hidden, r.settings[name].origin, ""} // for whoever shows it
		}
		r.bad(name, "%w%s", err, hint)
		return ""
	}
	r.read = append(r.read, path)
	return path
}

// path returns a file's absolute path.
func (r *configReader) path(name string) string {
	path := r.text(name)
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(r.settings[name].dir, path)
}

// scalar returns what numbers, sizes and times are parsed from.
func (r *configReader) scalar(name string) (string, bool) {
	switch v := r.settings[name].value.(type) {
	case nil:
		return "", false
	case string:
		return v, true
	case int, int64, uint64:
		return fmt.Sprint(v), true
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), true
	case bool:
		return strconv.FormatBool(v), true
	default:
		r.bad(name, "has to be a single value")
		return "", false
	}
}

// parse reads a value; the parser's error wants the key before it.
func parse[T any](r *configReader, name string, parser func(string) (T, error)) (value T) {
	text, ok := r.scalar(name)
	if !ok {
		return value
	}
	value, err := parser(text)
	if err != nil {
		r.bad(name, "%w", err)
	}
	return value
}

func (r *configReader) duration(name string) time.Duration { return parse(r, name, parseDuration) }

func (r *configReader) bytes(name string) int64 { return parse(r, name, parseBytes) }

func (r *configReader) number(name string) float64 {
	return parse(r, name, func(text string) (float64, error) {
		n, err := strconv.ParseFloat(text, 64)
		if err != nil || !(n >= 0) || n > 1e15 {
			return 0, fmt.Errorf("is %q; it has to be a number from 0", text)
		}
		return n, nil
	})
}

func (r *configReader) count(name string) int {
	n := r.number(name)
	if n != float64(int(n)) {
		r.bad(name, "is %v; it has to be a whole number", n)
	}
	return int(n)
}

func (r *configReader) flag(name string) bool {
	return parse(r, name, func(text string) (bool, error) {
		v, err := strconv.ParseBool(text)
		if err != nil {
			return false, fmt.Errorf("is %q; it has to be true or false", text)
		}
		return v, nil
	})
}

// address returns where to listen.
func (r *configReader) address(name string) string {
	address := r.text(name)
	if _, port, err := net.SplitHostPort(address); err != nil {
		r.bad(name, "has to be HOST:PORT: %w", err)
	} else if n, err := strconv.ParseUint(port, 10, 16); err != nil || n > 65535 {
		r.bad(name, "has the port %q; it has to be a number up to 65535", port)
	}
	return address
}
