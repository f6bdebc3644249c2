package legacy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"syscall"

	"aviso.example/apns"
	"aviso.example/auth"
)

// dialler makes TLS connections with a client certificate. TLS begins at once;
// there is no STARTTLS and no ALPN.
type dialler struct {
	where endpoint
	tls   *tls.Config
	dial  func(ctx context.Context, network, address string) (net.Conn, error)
}

func newDialler(certificate *auth.Certificate, where endpoint, dial func(context.Context, string, string) (net.Conn, error)) *dialler {
	d := &dialler{
		where: where, dial: dial,
		tls: &tls.Config{
			MinVersion:   tls.VersionTLS12,
			ServerName:   where.host,
			RootCAs:      where.roots,
			Certificates: []tls.Certificate{certificate.TLS},
			// Each Write is one batch and should be one record.
			DynamicRecordSizingDisabled: true,
		},
	}
	if d.dial == nil {
		d.dial = new(net.Dialer).DialContext
	}
	return d
}

// connect returns the TLS connection and the network connection below it, whose
// Close waits for nothing. The error is an *apns.ConnectError.
func (d *dialler) connect(ctx context.Context) (*tls.Conn, net.Conn, error) {
	raw, err := d.dial(ctx, "tcp", d.where.address())
	if err != nil {
		return nil, nil, d.networkError(err)
	}
	secure := tls.Client(raw, d.tls)
	if err := secure.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, nil, d.tlsError(err)
	}
	return secure, raw, nil
}

func (d *dialler) networkError(err error) error {
	e := &apns.ConnectError{Stage: "tcp", Address: d.where.address(), Err: err}
	dns, isDNS := errors.AsType[*net.DNSError](err)
	switch {
	case isDNS:
		e.Stage = "dns"
		if dns.IsNotFound {
			e.Hint = "Check the name, and this machine's resolver"
		}
	case errors.Is(err, syscall.ECONNREFUSED):
		e.Hint = "Nothing listens there; is the port right, and is the gateway running?"
	case errors.Is(err, context.DeadlineExceeded):
		e.Hint = "A firewall may drop the packets"
	}
	if strings.HasSuffix(d.where.host, ".push.apple.com") {
		e.Hint = "Apple switched the binary interface off on 31 March 2021; use package apns, or the address of a gateway"
	}
	return e
}

// tlsError guesses what a failed handshake means.
func (d *dialler) tlsError(err error) error {
	e := &apns.ConnectError{Stage: "tls", Address: d.where.address(), Err: err}
	switch {
	case errors.As(err, new(tls.RecordHeaderError)):
		e.Hint = "The server does not speak TLS; is the port right?"
	case errors.As(err, new(x509.UnknownAuthorityError)):
		e.Hint = "The server's issuer is not trusted: give its CA file (ExtraRoots)"
	case errors.As(err, new(x509.HostnameError)):
		e.Hint = "The server's certificate is for another name"
	case errors.As(err, new(x509.CertificateInvalidError)):
		e.Hint = "The server's certificate has expired or is not valid yet; check this machine's clock"
	default:
		e.Hint = refusal(err)
	}
	return e
}

// refusal explains a TLS alert by which the server refuses this client, and is
// empty for everything else. With TLS 1.3 the client has finished its part of
// the handshake before the server looks at the certificate, so the alert may
// come on the first Read: then nothing was processed.
func refusal(err error) string {
	op, ok := errors.AsType[*net.OpError](err)
	if !ok || op.Op != "remote error" {
		return ""
	}
	// crypto/tls has no constants for alerts, only their names (RFC 8446
	// section 6.2).
	switch alert := op.Err.Error(); {
	case strings.Contains(alert, "certificate"), strings.Contains(alert, "access denied"):
		return "The gateway refused the client certificate: it may be unknown there, revoked, expired or of the wrong kind"
	case strings.Contains(alert, "protocol version"):
		return "The server does not speak TLS 1.2 or later"
	}
	return ""
}

// permanent says of a failure to connect that trying again at once cannot help.
func permanent(err error) bool {
	return refusal(err) != "" || errors.As(err, new(tls.RecordHeaderError)) ||
		errors.As(err, new(x509.UnknownAuthorityError)) ||
		errors.As(err, new(x509.HostnameError)) ||
		errors.As(err, new(x509.CertificateInvalidError))
}
