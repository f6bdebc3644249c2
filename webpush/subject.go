package webpush

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// CheckSubject says what is wrong with a VAPID subject, or returns nil. It tells
// the push service whom to contact about a sender that misbehaves: a mailto: or
// an https: URI (RFC 8292 section 2.1). Apple answers BadJwtToken to one that it
// cannot parse, such as "mailto: <push@example.com>", to localhost and, as was reported
// with a control, to names below .local and .invalid; so names that lead nowhere on the
// internet are refused here.
func CheckSubject(subject string) error {
	scheme, rest, _ := strings.Cut(subject, ":")
	_, err := url.Parse(subject)
	why, _ := errors.AsType[*url.Error](err)
	switch {
	case subject == "":
		return errors.New("is missing: give mailto:name@example.com or an https: address where you can be reached")
	case len(subject) > maxSubject:
		return errors.New("has more than 255 bytes, and travels with every message")
	case strings.ContainsAny(subject, " \t\r\n<>"):
		return errors.New("has a space or an angle bracket in it, which Apple refuses; write mailto:name@example.com")
	case !plainASCII(subject):
		return errors.New("has characters in it that a URI cannot have; only printable ASCII is allowed")
	case why != nil:
		return fmt.Errorf("is no URI: %w", why.Err)
	case strings.EqualFold(scheme, "mailto"):
		return checkMail(rest)
	case strings.EqualFold(scheme, "https"):
		return checkSite(subject)
	case !strings.Contains(subject, ":") && strings.Contains(subject, "@"):
		return errors.New("has no scheme; write mailto: before the address")
	case strings.EqualFold(scheme, "http"):
		return errors.New("begins with http:, and only https: and mailto: are allowed (RFC 8292 section 2.1)")
	}
	return errors.New("is neither a mailto: nor an https: URI (RFC 8292 section 2.1)")
}

func checkMail(address string) error {
	if i := strings.IndexByte(address, ':'); i >= 0 {
		return errors.New("has a second scheme after mailto:; was mailto: put before what has it already?")
	}
	local, domain, ok := strings.Cut(address, "@")
	if !ok || local == "" || domain == "" || strings.Contains(domain, "@") {
		return errors.New("is not a mail address after mailto:; write mailto:name@example.com")
	}
	return checkDomain(domain)
}

func checkSite(subject string) error {
	u, err := url.Parse(subject)
	if err != nil || u.Host == "" || u.Opaque != "" {
		return errors.New("is not an https: address; write https://example.com/contact")
	}
	if u.User != nil {
		return errors.New("has a user name in it; write https://example.com/contact")
	}
	return checkDomain(u.Hostname())
}

func checkDomain(domain string) error {
	const fix = "; give an address where you can be reached"
	name := strings.TrimSuffix(domain, ".")
	reserved := reservedName(name)
	switch {
	case reserved == "localhost":
		return errors.New("is at localhost, which Apple refuses" + fix)
	case reserved != "":
		return fmt.Errorf("is below .%s, a name that leads nowhere on the internet, which Apple refuses%s", reserved, fix)
	case strings.ContainsAny(name, "[]:") || numeric(strings.ToLower(name[strings.LastIndexByte(name, '.')+1:])):
		return errors.New("is at an IP address and not at a name" + fix)
	case strings.Contains(name, "*"):
		return errors.New("is at a name with an asterisk, which is none" + fix)
	case !strings.Contains(name, "."):
		return errors.New("is at a name without a dot, which leads nowhere on the internet" + fix)
	}
	return nil
}

func plainASCII(text string) bool {
	for i := range len(text) {
		if text[i] <= ' ' || text[i] >= 0x7f {
			return false
		}
	}
	return true
}
