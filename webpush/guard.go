package webpush

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"syscall"
)

// A subscription comes from whoever visits a page. Without a guard, an endpoint
// could make this machine send requests into its own network: to a neighbour's
// administration page, or to the address where a cloud tells machines their
// credentials (server-side request forgery).
//
// The guard looks twice. checkEndpoint looks at the URL before anything happens.
// checkAddress looks at the address that DNS gave, at the moment of connecting,
// so a name that resolves to something else the second time gains nothing.

// KnownPushServices are the host names of the push services of Apple, Mozilla
// (Firefox), Google (Chrome and most browsers made from it) and Microsoft (Edge),
// for [Config.Hosts].
func KnownPushServices() []string {
	return []string{"push.apple.com", "push.services.mozilla.com", "fcm.googleapis.com", "notify.windows.com"}
}

// ForbiddenError says why no connection is made to where an endpoint leads. It
// is part of a NotSentError, and sending again changes nothing.
type ForbiddenError struct {
	// Host is the host of the endpoint.
	Host string
	// Problem says what the guard objects to.
	Problem string
}

// Error names host and reason.
func (e *ForbiddenError) Error() string {
	return fmt.Sprintf("endpoints at %s are not connected to: %s", e.Host, e.Problem)
}

// guard decides where a client connects to.
type guard struct {
	hosts    []string // suffixes; none means all
	ports    []int
	loopback bool
}

// checkEndpoint returns a *ForbiddenError, or nil.
func (g *guard) checkEndpoint(s *subscription) error {
	host, port := s.url.Hostname(), portOf(s.url)
	no := func(format string, args ...any) error {
		return &ForbiddenError{host, fmt.Sprintf(format, args...)}
	}
	if isLoopbackHost(host) {
		if g.loopback {
			return nil
		}
		return no("it is this machine itself (for tests and development there is Config.AllowLoopback)")
	}
	name := strings.TrimSuffix(host, ".")
	last := name[strings.LastIndexByte(name, '.')+1:]
	switch {
	case strings.Contains(host, ":") || numeric(last):
		return no("it is an address, and push services have names")
	case !strings.Contains(name, "."):
		return no("the name has no dot, which only names of a local network do without")
	case strings.Contains("."+name+".", ".."):
		return no("it is no host name")
	case within(name, "invalid"):
		return no("the browser has removed the subscription: Chrome and Edge leave permanently-removed.invalid in its place; delete it")
	case len(g.hosts) == 0 && reservedName(name) != "":
		return no("names below .%s lead nowhere on the internet, and no push service has one", reservedName(name))
	case len(g.hosts) > 0 && !slices.ContainsFunc(g.hosts, func(suffix string) bool { return within(name, suffix) }):
		return no("the host is not among those of Config.Hosts")
	case port != 443 && !slices.Contains(g.ports, port):
		return no("port %d is not 443, where push services listen", port)
	}
	return nil
}

// within reports whether a name is the suffix or below it.
func within(name, suffix string) bool {
	return name == suffix || strings.HasSuffix(name, "."+suffix)
}

// numeric reports whether the last part of a host makes it an IPv4 address for
// some resolvers, which take 127.1, 0x7f000001 and 2130706433 too (the URL
// standard's "ends in a number").
func numeric(label string) bool {
	if hex, ok := strings.CutPrefix(label, "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return label != "" && strings.Trim(label, "0123456789") == ""
}

func isLoopbackHost(host string) bool {
	if host == "localhost" || host == "localhost." || strings.HasSuffix(host, ".localhost") || strings.HasSuffix(host, ".localhost.") {
		return true // RFC 6761 section 6.3
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// control is a net.Dialer's Control: it is called with every address before a
// socket connects to it.
func (g *guard) control(host string) func(network, address string, _ syscall.RawConn) error {
	return func(network, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil || !strings.HasPrefix(network, "tcp") {
			return &ForbiddenError{host, "it is reached over neither IPv4 nor IPv6"}
		}
		if err := checkAddress(to.Addr(), g.loopback && isLoopbackHost(host)); err != nil {
			return &ForbiddenError{host, err.Error()}
		}
		return nil
	}
}

// notPublic are the networks that a push service cannot be in, beyond those that
// package netip knows. From the IANA registries of special-purpose addresses.
var notPublic = []struct {
	network netip.Prefix
	what    string
}{
	{netip.MustParsePrefix("0.0.0.0/8"), "this network"},
	{netip.MustParsePrefix("100.64.0.0/10"), "an address shared by a provider's customers (RFC 6598)"},
	{netip.MustParsePrefix("168.63.129.16/32"), "the address where a cloud serves its machines"},
	{netip.MustParsePrefix("192.0.0.0/24"), "an address for protocols"},
	{netip.MustParsePrefix("192.0.2.0/24"), "an address for documentation"},
	{netip.MustParsePrefix("192.88.99.0/24"), "an address of 6to4 relays"},
	{netip.MustParsePrefix("198.18.0.0/15"), "an address for benchmarks"},
	{netip.MustParsePrefix("198.51.100.0/24"), "an address for documentation"},
	{netip.MustParsePrefix("203.0.113.0/24"), "an address for documentation"},
	{netip.MustParsePrefix("240.0.0.0/4"), "a reserved address"},
	{netip.MustParsePrefix("2001::/23"), "an address for protocols"}, // Teredo among them
	{netip.MustParsePrefix("2001:db8::/32"), "an address for documentation"},
	{netip.MustParsePrefix("2002::/16"), "an address of 6to4, which leads to an IPv4 address"},
	{netip.MustParsePrefix("3fff::/20"), "an address for documentation"},
}

var (
	// nat64 leads to the IPv4 address in its last four bytes (RFC 6052). Networks
	// that have IPv6 only see the whole IPv4 Internet there, push services too.
	nat64 = netip.MustParsePrefix("64:ff9b::/96")
	// globalIPv6 is all of IPv6 that is routed to anybody.
	globalIPv6 = netip.MustParsePrefix("2000::/3")
)

// checkAddress returns an error for an address that is not a public one.
func checkAddress(a netip.Addr, loopback bool) error {
	a = a.Unmap()
	if a.Zone() != "" {
		return errors.New("it is an address of one link")
	}
	if nat64.Contains(a) {
		b := a.As16()
		a = netip.AddrFrom4([4]byte(b[12:]))
	}
	switch {
	case a.IsLoopback():
		if loopback {
			return nil
		}
		return errors.New("its address is this machine itself")
	case a.IsPrivate():
		return errors.New("its address is a private one")
	case a.IsLinkLocalUnicast():
		return errors.New("its address is of one link, where clouds serve credentials too")
	case a.IsUnspecified() || a.IsMulticast():
		return errors.New("its address is not one machine's")
	}
	for _, n := range notPublic {
		if n.network.Contains(a) {
			return errors.New("its address is " + n.what)
		}
	}
	if a.Is6() && !globalIPv6.Contains(a) {
		return errors.New("its address is not a public one")
	}
	if !a.IsGlobalUnicast() {
		return errors.New("its address is not a public one")
	}
	return nil
}
