package engine

import (
	"errors"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// URLs of a cluster can hold users and passwords, which belong into no error and
// no log, however wrongly they are written.

var plainHost = regexp.MustCompile(`^[A-Za-z0-9._-]+(:[0-9]+)?$|^\[[0-9A-Fa-f:.]+\](:[0-9]+)?$`)

// hosts is what can be said of URLs.
func hosts(urls string) string {
	var list []string
	for u := range strings.SplitSeq(urls, ",") {
		host := strings.TrimSpace(u[strings.LastIndexByte(u, '@')+1:])
		if _, rest, ok := strings.Cut(host, "://"); ok {
			host = rest
		}
		host, _, _ = strings.Cut(host, "/")
		if !plainHost.MatchString(host) {
			// The half of a password with a comma in it, for one.
			host = "(no host and port)"
		}
		list = append(list, host)
	}
	return strings.Join(list, ", ")
}

// discreet takes users and passwords out of an error's text.
func discreet(urls string, err error) error {
	if err == nil {
		return nil
	}
	if _, malformed := errors.AsType[*url.Error](err); malformed {
		return errors.New("one of the URLs cannot be read: it is nats://user:password@host:port, and in user and password other characters than letters and digits are written as %40 and the like")
	}
	text := err.Error()
	for _, secret := range secrets(urls) {
		text = strings.ReplaceAll(text, secret, "…")
	}
	if text == err.Error() {
		return err
	}
	return &discreetError{err, text}
}

// secrets are users and passwords in URLs, together and by themselves, the longest
// first.
func secrets(urls string) (list []string) {
	for u := range strings.SplitSeq(urls, ",") {
		i := strings.LastIndexByte(u, '@')
		if i < 0 {
			continue
		}
		info := u[:i]
		if _, rest, ok := strings.Cut(info, "://"); ok {
			info = rest
		}
		user, password, _ := strings.Cut(info, ":")
		for _, s := range []string{info, user, password} {
			list = append(list, s)
			if plain, err := url.PathUnescape(s); err == nil {
				list = append(list, plain)
			}
		}
	}
	list = slices.DeleteFunc(list, func(s string) bool { return s == "" })
	slices.SortFunc(list, func(a, b string) int { return len(b) - len(a) })
	return list
}

// discreetError is an error by another text. What it wraps is compared and never
// shown.
type discreetError struct {
	err  error
	text string
}

func (e *discreetError) Error() string { return e.text }

func (e *discreetError) Is(target error) bool { return errors.Is(e.err, target) }
