package apns

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"

	"golang.org/x/net/http/httpproxy"
	"golang.org/x/net/proxy"

	"aviso.example/internal/h2"
	"aviso.example/internal/proto"
)

// ProxyURL returns a Config.Proxy that always uses one proxy. The scheme is
// http, https, socks5 or socks5h.
func ProxyURL(u *url.URL) func(*url.URL) (*url.URL, error) {
	return func(*url.URL) (*url.URL, error) { return u, nil }
}

// ProxyFromEnvironment is a Config.Proxy that follows HTTPS_PROXY and NO_PROXY,
// as curl does.
func ProxyFromEnvironment(u *url.URL) (*url.URL, error) {
	return httpproxy.FromEnvironment().ProxyFunc()(u)
}

// dialler makes connections that are ready for HTTP/2.
type dialler struct {
	where endpoint
	tls   *tls.Config
	proxy func(*url.URL) (*url.URL, error)
	dial  func(ctx context.Context, network, address string) (net.Conn, error)

	addresses *addresses // of the endpoint, and of a proxy in its place
}

func newDialler(cfg Config, where endpoint) *dialler {
	d := &dialler{
		where: where, proxy: cfg.Proxy, dial: cfg.DialContext, addresses: newAddresses(),
		tls: &tls.Config{
			// "Establishing a connection to APNs": TLS 1.2 or later.
			MinVersion: tls.VersionTLS12,
			NextProtos: []string{proto.ALPN},
			ServerName: where.host,
			RootCAs:    where.roots,
		},
	}
	if cfg.Certificate != nil {
		d.tls.Certificates = []tls.Certificate{cfg.Certificate.TLS}
	}
	if d.dial == nil {
		d.dial = d.addresses.DialContext
	}
	return d
}

// connect dials, through a proxy if there is one, and completes TLS.
func (d *dialler) connect(ctx context.Context) (net.Conn, error) {
	raw, err := d.network(ctx)
	if err != nil {
		return nil, err
	}
	d.addresses.doubt(raw)
	c := tls.Client(raw, d.tls)
	if err := c.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, d.tlsError(err)
	}
	d.addresses.trust(raw)
	if got := c.ConnectionState().NegotiatedProtocol; got != proto.ALPN {
		c.Close()
		return nil, &ConnectError{
			Stage: "http2", Address: d.where.address(),
			Err:  fmt.Errorf("the server did not agree to HTTP/2 (ALPN %q)", got),
			Hint: "Something between here and APNs may inspect TLS, or the endpoint is not APNs",
		}
	}
	return c, nil
}

func (d *dialler) network(ctx context.Context) (net.Conn, error) {
	address := d.where.address()
	var via *url.URL
	if d.proxy != nil {
		var err error
		if via, err = d.proxy(&url.URL{Scheme: "https", Host: address}); err != nil {
			return nil, &ConnectError{Stage: "proxy", Address: address, Err: err}
		}
	}
	if via != nil {
		return d.throughProxy(ctx, via, address)
	}
	c, err := d.dial(ctx, "tcp", address)
	if err != nil {
		return nil, networkError(err, "tcp", address)
	}
	return c, nil
}

func networkError(err error, stage, address string) *ConnectError {
	e := &ConnectError{Stage: stage, Address: address, Err: err}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		e.Stage = "dns"
		if dns.IsNotFound {
			e.Hint = "Check the name, and this machine's resolver"
		}
	} else if errors.Is(err, syscall.ECONNREFUSED) {
		e.Hint = "Nothing listens there; is the port right, and is the server running?"
	} else if errors.Is(err, context.DeadlineExceeded) {
		e.Hint = "A firewall may drop the packets; APNs needs TCP port 443 or 2197 outwards"
	}
	return e
}

func (d *dialler) throughProxy(ctx context.Context, via *url.URL, address string) (net.Conn, error) {
	fail := func(err error, hint string) (net.Conn, error) {
		return nil, &ConnectError{Stage: "proxy", Address: via.Host, Err: err, Hint: hint}
	}
	switch via.Scheme {
	case "socks5", "socks5h":
		socks, err := proxy.FromURL(via, d.addresses)
		if err != nil {
			return fail(err, "")
		}
		c, err := socks.(proxy.ContextDialer).DialContext(ctx, "tcp", address)
		if err != nil {
			if strings.Contains(err.Error(), "authentication") {
				return fail(errProxyLogin{err}, "Put the right user and password into the proxy's URL")
			}
			return fail(err, "")
		}
		return c, nil
	case "http", "https":
	default:
		return fail(fmt.Errorf("scheme %q", via.Scheme), "Proxies are http, https, socks5 or socks5h")
	}
	host := via.Host
	if via.Port() == "" {
		host = net.JoinHostPort(via.Hostname(), map[string]string{"http": "80", "https": "443"}[via.Scheme])
	}
	c, err := d.addresses.DialContext(ctx, "tcp", host)
	if err != nil {
		return nil, networkError(err, "proxy", host)
	}
	if via.Scheme == "https" {
		secure := tls.Client(c, &tls.Config{MinVersion: tls.VersionTLS12, ServerName: via.Hostname(), RootCAs: d.where.roots})
		if err := secure.HandshakeContext(ctx); err != nil {
			c.Close()
			return fail(err, "The proxy's own certificate is not accepted")
		}
		c = secure
	}
	tunnel, err := connectTunnel(ctx, c, via, address)
	if err != nil {
		c.Close()
		hint := ""
		if status, ok := errors.AsType[proxyStatus](err); ok {
			switch int(status) {
			case http.StatusProxyAuthRequired, http.StatusUnauthorized:
				hint = "Put user and password into the proxy's URL"
			case http.StatusForbidden, http.StatusMethodNotAllowed:
				hint = "The proxy has to allow CONNECT to ports 443 and 2197"
			}
		}
		return fail(err, hint)
	}
	return tunnel, nil
}

// errProxyLogin is a SOCKS proxy's refusal of user and password, for which x/net
// has no type.
type errProxyLogin struct{ error }

// proxyStatus is a proxy's refusal.
type proxyStatus int

func (s proxyStatus) Error() string {
	return fmt.Sprintf("the proxy answered %d %s", int(s), http.StatusText(int(s)))
}

// connectTunnel asks an HTTP proxy for a tunnel (RFC 9110 section 9.3.6).
func connectTunnel(ctx context.Context, c net.Conn, via *url.URL, address string) (net.Conn, error) {
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	req := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: address}, Host: address, Header: http.Header{}}
	if u := via.User; u != nil {
		password, _ := u.Password()
		req.Header.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(u.Username()+":"+password)))
	}
	if err := req.Write(c); err != nil {
		return nil, err
	}
	r := bufio.NewReader(c)
	res, err := http.ReadResponse(r, req)
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, err
	}
	if res.StatusCode/100 != 2 {
		res.Body.Close()
		return nil, proxyStatus(res.StatusCode)
	}
	// What follows is the tunnel, whatever content fields say (RFC 9110 section
	// 9.3.6): the body must not be touched.
	if r.Buffered() > 0 {
		return nil, errors.New("the proxy sent data before the tunnel was used")
	}
	return c, nil
}

// tlsError guesses what a failed handshake means.
func (d *dialler) tlsError(err error) error {
	e := &ConnectError{Stage: "tls", Address: d.where.address(), Err: err}
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &record):
		e.Hint = "The server does not speak TLS; is the port right?"
	case errors.As(err, new(x509.UnknownAuthorityError)):
		e.Hint = "The server's issuer is not trusted: for the simulator trust its CA file too; for APNs a proxy may be inspecting TLS, which APNs does not support"
		if NoSystemRoots() {
			e.Hint = noSystemRoots
		}
	case errors.As(err, new(x509.SystemRootsError)):
		e.Hint = noSystemRoots
	case errors.As(err, new(x509.HostnameError)):
		e.Hint = "The server's certificate is for another name"
	case errors.As(err, new(x509.CertificateInvalidError)):
		e.Hint = "The server's certificate has expired or is not valid yet; check this machine's clock"
	case refusal(err) != "":
		e.Hint = refusal(err)
	}
	return e
}

// noSystemRoots is for the images of containers that hold a program and nothing else.
const noSystemRoots = "There are no root certificates on this machine, so no server can be trusted: install the package ca-certificates, or copy /etc/ssl/certs/ca-certificates.crt into the image"

// NoSystemRoots reports whether this machine has no root certificates at all, as in
// images of containers that hold a program and nothing else.
func NoSystemRoots() bool {
	roots, err := x509.SystemCertPool()
	return err != nil || roots.Equal(x509.NewCertPool())
}

// refusal explains a TLS alert by which the peer refuses this client for good,
// and is empty for everything else. crypto/tls has no type for alerts; they are
// net.OpErrors with the alert's name (RFC 8446 section 6.2).
func refusal(err error) string {
	op, ok := errors.AsType[*net.OpError](err)
	if !ok || op.Op != "remote error" {
		return ""
	}
	switch alert := op.Err.Error(); {
	case strings.Contains(alert, "certificate required"):
		return "The server demands a client certificate; APNs does not, if provider tokens are used"
	case strings.Contains(alert, "certificate"), strings.Contains(alert, "access denied"):
		return "APNs refused the client certificate: it may be revoked, expired or of the wrong kind"
	case strings.Contains(alert, "no application protocol"):
		return "The server does not speak HTTP/2 (ALPN)"
	case strings.Contains(alert, "protocol version"):
		return "The server does not speak TLS 1.2 or later"
	}
	return ""
}

// permanent says of the end of a connection that trying again cannot help.
func permanent(err error) bool {
	if c, ok := errors.AsType[*ConnectError](err); ok {
		switch c.Stage {
		case "credential", "http2":
			return true
		case "proxy":
			_, refused := errors.AsType[proxyStatus](err)
			_, login := errors.AsType[errProxyLogin](err)
			return refused || login
		case "tls":
			var record tls.RecordHeaderError
			return refusal(err) != "" || errors.As(err, &record) ||
				errors.As(err, new(x509.UnknownAuthorityError)) ||
				errors.As(err, new(x509.HostnameError)) ||
				errors.As(err, new(x509.CertificateInvalidError))
		}
		return false
	}
	// TLS 1.3 lets the client finish before the server has looked at its
	// certificate, so a refusal may come as an alert on first use.
	if refusal(err) != "" {
		return true
	}
	if p, ok := errors.AsType[*h2.ProtocolError](err); ok {
		return p.NotHTTP2()
	}
	// Credentials are refused with status 403; other reasons in GOAWAY, like a
	// burst of bad device tokens, pass with the connection.
	row := reasonRow[goAwayReason(err)]
	return row != nil && row.Status == 403 && row.Action == FixConfiguration
}
