package sim

import (
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// What nobody knows about APNs can be chosen by name: from the command line, over the
// test API, and in Go as fields of Guesses, whose names the others are in lower case.

// guess is one field of Guesses or of BinaryGuesses.
type guess struct {
	name  string
	index []int
}

var allGuesses = guessesOf(reflect.TypeFor[Guesses](), "", nil)

func guessesOf(t reflect.Type, prefix string, index []int) (list []guess) {
	for i := range t.NumField() {
		field := t.Field(i)
		at := append(slices.Clone(index), i)
		if field.Type.Kind() == reflect.Struct {
			list = append(list, guessesOf(field.Type, prefix+wordOf(field.Name)+".", at)...)
			continue
		}
		list = append(list, guess{prefix + wordOf(field.Name), at})
	}
	return list
}

// wordOf writes a Go name with underscores: RefuseDER is refuse_der.
func wordOf(name string) string {
	var b strings.Builder
	letters := []rune(name)
	for i, r := range letters {
		if unicode.IsUpper(r) && i > 0 && (!unicode.IsUpper(letters[i-1]) || i+1 < len(letters) && unicode.IsLower(letters[i+1])) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return strings.ReplaceAll(b.String(), "_i_ds", "_ids") // not two words
}

// GuessNames lists what [Guesses.Set] takes, in the order of the fields.
func GuessNames() (names []string) {
	for _, g := range allGuesses {
		names = append(names, g.name)
	}
	return names
}

// Set chooses one by name, such as refuse_der, future_issued_at or
// binary.early_limit. The value is true or false, a number, a word, or a time such as
// 30m; empty means true. An error says what there is.
func (g *Guesses) Set(name, value string) error {
	at := slices.IndexFunc(allGuesses, func(g guess) bool { return g.name == name })
	if at < 0 {
		return fmt.Errorf("there is no guess %q; there are %s", name, strings.Join(GuessNames(), ", "))
	}
	field := reflect.ValueOf(g).Elem().FieldByIndex(allGuesses[at].index)
	bad := func(what string) error { return fmt.Errorf("guess %s is %q; it has to be %s", name, value, what) }
	switch field.Interface().(type) {
	case bool:
		on, err := strconv.ParseBool(value)
		if err != nil && value != "" {
			return bad("true or false")
		}
		field.SetBool(on || value == "")
		return nil
	case time.Duration:
		d, err := time.ParseDuration(value)
		if err != nil {
			return bad("a time such as 30m")
		}
		field.SetInt(int64(d))
		return nil
	}
	if field.Kind() == reflect.String {
		field.SetString(value)
		return nil
	}
	n, err := strconv.Atoi(value)
	if err != nil {
		return bad("a whole number")
	}
	field.SetInt(int64(n))
	return nil
}

// guesses are those that hold now.
func (s *Server) guesses() *Guesses { return s.chosen.Load() }

// setGuesses takes others, which have been checked.
func (s *Server) setGuesses(g Guesses) {
	s.chosen.Store(&g)
	s.devices.mu.Lock()
	s.devices.acceptEqualTimestamps = g.AcceptEqualTimestamps
	s.devices.mu.Unlock()
}

// SetGuesses replaces them while the server runs: requests that come from now on are
// judged by them. It is safe for concurrent use; an error says what is wrong, and then
// nothing has changed.
func (s *Server) SetGuesses(g Guesses) error {
	cfg := s.cfg
	cfg.Guesses = g
	cfg, err := cfg.withDefaults()
	if err != nil {
		return err
	}
	s.setGuesses(cfg.Guesses)
	return nil
}

// apiGuesses shows what is chosen, by name.
func (s *Server) apiGuesses(*http.Request) (any, error) {
	g, values := s.guesses(), map[string]any{}
	for _, one := range allGuesses {
		switch v := reflect.ValueOf(g).Elem().FieldByIndex(one.index).Interface().(type) {
		case time.Duration:
			values[one.name] = v.String()
		default:
			values[one.name] = v
		}
	}
	return values, nil
}

// apiSetGuesses replaces all: those that are not named have their default again.
func (s *Server) apiSetGuesses(r *http.Request) (any, error) {
	var values map[string]any
	if err := readJSON(r, &values); err != nil {
		return nil, err
	}
	var g Guesses
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if values[name] == nil {
			return nil, problem(http.StatusBadRequest, "member %q is null; leave it out for the default", name)
		}
		if err := g.Set(name, fmt.Sprint(values[name])); err != nil {
			return nil, problem(http.StatusBadRequest, "%s", err)
		}
	}
	if err := s.SetGuesses(g); err != nil {
		return nil, problem(http.StatusBadRequest, "%s", strings.TrimPrefix(err.Error(), "sim: "))
	}
	return s.apiGuesses(r)
}
