package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"aviso.example/apns"
	"aviso.example/internal/message"
	"aviso.example/internal/proto"
)

// address finds out host and port as the client would.
func (d *doctor) address() error {
	d.host, d.port = proto.HostProduction, fmt.Sprint(d.flags.port)
	if d.flags.sandbox {
		d.host = proto.HostSandbox
	}
	if d.cfg.Endpoint == "" {
		return nil
	}
	text := d.cfg.Endpoint
	if !strings.Contains(text, "://") {
		text = "https://" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.Scheme != "https" {
		return usage("--endpoint has to be HOST, HOST:PORT or https://HOST:PORT")
	}
	d.host, d.port = u.Hostname(), u.Port()
	if d.port == "" {
		d.port = "443"
	}
	return nil
}

func (d *doctor) loadCredential(context.Context) {
	f := &d.flags.identity
	if f.key == "" && f.cert == "" && f.team == "" {
		d.credential = "none was given"
		return
	}
	if err := f.apply(d.app, &d.cfg); err != nil {
		d.credential, d.rejected = "it could not be loaded", true
		d.add("credential", checkFail, strings.TrimPrefix(err.Error(), "aviso: "), credentialFix(f))
		return
	}
	if d.cfg.Key != nil {
		d.add("credential", checkOK, fmt.Sprintf("signing key %s of team %s", d.cfg.Key.KeyID(), d.cfg.TeamID), "")
		return
	}
	info, now := &d.cfg.Certificate.Info, time.Now()
	about := fmt.Sprintf("%s for %s, until %s", info.Kind, info.UID, info.NotAfter.UTC().Format(time.DateOnly))
	switch days := info.DaysLeft(now); {
	case info.Expired(now):
		d.rejected = true
		d.add("credential", checkFail, about+": expired", "make a new certificate in the developer portal")
	case days <= 30:
		d.add("credential", checkWarn, fmt.Sprintf("%s: %d days left", about, days), "make a new certificate in the developer portal before it expires")
	default:
		d.add("credential", checkOK, about, "")
	}
}

// credentialFix is what helps with a credential that cannot be loaded.
func credentialFix(f *identity) string {
	if f.key != "" && f.team == "" {
		return "give --team; the id stands in the developer portal under Membership details"
	}
	return "look into the file with aviso credential"
}

// checkNames resolves the host.
func (d *doctor) checkNames(ctx context.Context) {
	switch {
	case net.ParseIP(d.host) != nil:
		d.add("dns", checkSkip, d.host+" is an address already", "")
		return
	case d.cfg.Proxy != nil:
		d.add("dns", checkSkip, "the proxy resolves names", "")
		return
	}
	ctx, cancel := context.WithTimeout(ctx, doctorTimeout)
	defer cancel()
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", d.host)
	if err != nil {
		d.unreachable = true
		d.add("dns", checkFail, err.Error(), "check this machine's resolver and network")
		return
	}
	v4, v6 := 0, 0
	for _, ip := range found {
		if ip.Unmap().Is4() {
			v4++
		} else {
			v6++
		}
	}
	d.add("dns", checkOK, fmt.Sprintf("%s has %d IPv4 and %d IPv6 addresses", d.host, v4, v6), "")
}

// checkPorts connects to both of Apple's ports, or to the endpoint's.
func (d *doctor) checkPorts(ctx context.Context) {
	if d.cfg.Proxy != nil {
		d.add("port", checkSkip, "the proxy connects", "")
		return
	}
	ports := []string{d.port}
	if d.cfg.Endpoint == "" {
		ports = []string{"443", "2197"}
	}
	for _, port := range ports {
		name := "port " + port
		if d.unreachable && d.cfg.Endpoint == "" {
			d.add(name, checkSkip, "the name does not resolve", "")
			continue
		}
		dial, cancel := context.WithTimeout(ctx, doctorTimeout)
		begun := time.Now()
		c, err := new(net.Dialer).DialContext(dial, "tcp", net.JoinHostPort(d.host, port))
		cancel()
		if err == nil {
			d.add(name, checkOK, fmt.Sprintf("%s answers after %v", c.RemoteAddr(), time.Since(begun).Round(100*time.Microsecond)), "")
			c.Close()
			continue
		}
		status, fix := checkFail, "let TCP connections out to this port; is a firewall or a proxy between?"
		if errors.Is(err, syscall.ECONNREFUSED) && d.cfg.Endpoint != "" {
			fix = "nothing listens there; is the port right, and is the simulator running?"
		}
		if port != d.port {
			status = checkWarn
			fix = "it is not the port that was asked for, so it matters only as an alternative"
		} else {
			d.unreachable = true
		}
		d.add(name, status, err.Error(), fix)
	}
}

// checkTLS makes one HTTP/2 request with net/http, which is not our client: what
// both find wrong is wrong outside.
func (d *doctor) checkTLS(ctx context.Context) {
	skip := func(why string) {
		for _, name := range []string{"tls", "http2", "clock"} {
			d.add(name, checkSkip, why, "")
		}
	}
	if d.unreachable {
		skip("the port cannot be reached")
		return
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	roots.AppendCertsFromPEM(d.cfg.ExtraRoots)
	transport := &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2: true, DisableKeepAlives: true,
	}
	if d.cfg.Proxy != nil {
		transport.Proxy = func(r *http.Request) (*url.URL, error) { return d.cfg.Proxy(r.URL) }
	}
	defer transport.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, doctorTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+net.JoinHostPort(d.host, d.port)+"/", nil)
	if err != nil {
		skip(err.Error())
		return
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		d.unreachable = true
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err
		}
		d.add("tls", checkFail, err.Error(), tlsFix(err))
		d.add("http2", checkSkip, "there is no TLS connection", "")
		d.add("clock", checkSkip, "there is no TLS connection", "")
		return
	}
	io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10))
	response.Body.Close()
	state := response.TLS
	root := state.PeerCertificates[0]
	if len(state.VerifiedChains) > 0 {
		chain := state.VerifiedChains[0]
		root = chain[len(chain)-1]
	}
	d.add("tls", checkOK, fmt.Sprintf("%s, trusted through %s", tls.VersionName(state.Version), name(root)), "")
	if state.NegotiatedProtocol == proto.ALPN && response.ProtoMajor == 2 {
		d.add("http2", checkOK, "agreed by ALPN; the server answers", "")
	} else {
		d.unreachable = true
		d.add("http2", checkFail, fmt.Sprintf("the server speaks %s only", response.Proto), "something between here and APNs inspects TLS, or the endpoint is not APNs")
	}
	d.checkClock(response.Header.Get("Date"), state.PeerCertificates[0], time.Now())
}

func name(c *x509.Certificate) string {
	if c.Subject.CommonName != "" {
		return c.Subject.CommonName
	}
	return c.Subject.String()
}

func tlsFix(err error) string {
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, new(x509.SystemRootsError)), errors.As(err, new(x509.UnknownAuthorityError)) && apns.NoSystemRoots():
		return "there are no root certificates on this machine: install the package ca-certificates, or copy /etc/ssl/certs/ca-certificates.crt into the image"
	case errors.As(err, new(x509.UnknownAuthorityError)):
		return "for the simulator give its certificate with --ca; for APNs a proxy may be inspecting TLS, which APNs does not support"
	case errors.As(err, new(x509.HostnameError)):
		return "the endpoint's certificate is for another name; use the name it has"
	case errors.As(err, new(x509.CertificateInvalidError)):
		return "check this machine's clock; the certificate may have expired or not be valid yet"
	case errors.As(err, &record):
		return "the server does not speak TLS; is the port right?"
	case errors.Is(err, context.DeadlineExceeded):
		return "a firewall may let the connection through and drop what is sent on it"
	}
	return "check what stands between this machine and APNs"
}

// skew is how far the clock may be off: provider tokens have an hour to live, and
// the client dates them back only a little.
const skew = time.Minute

// checkClock compares with the server's idea of the time. Apple does not promise
// the field; the certificate's dates are the next best.
func (d *doctor) checkClock(date string, leaf *x509.Certificate, now time.Time) {
	const fix = "set the clock by NTP: a provider token with the wrong time is refused with InvalidProviderToken or ExpiredProviderToken"
	if server, err := http.ParseTime(date); err == nil {
		off := now.Sub(server).Round(time.Second)
		if off.Abs() > skew {
			d.add("clock", checkFail, fmt.Sprintf("differs from the server's by %v", off), fix)
			d.rejected = true
			return
		}
		d.add("clock", checkOK, fmt.Sprintf("differs from the server's by %v", off), "")
		return
	}
	if now.Before(leaf.NotBefore) || now.After(leaf.NotAfter) {
		d.rejected = true
		d.add("clock", checkFail, "is outside the dates of the server's certificate", fix)
		return
	}
	d.add("clock", checkOK, "lies within the dates of the server's certificate; the server does not tell its time", "")
}

// dummyDeviceToken has the form of a device token and is none.
var dummyDeviceToken = strings.Repeat("0", 64)

// checkPush tries the credential and the topic.
func (d *doctor) checkPush(ctx context.Context) {
	topic := d.flags.topic
	if topic == "" && d.cfg.Certificate != nil {
		topic = d.cfg.Certificate.Info.DefaultTopic()
	}
	switch {
	case d.credential != "":
		d.add("push", checkSkip, "the credential is not tried: "+d.credential, "")
		return
	case topic == "":
		d.add("push", checkSkip, "the credential is not tried without a topic", "add --topic with the app's bundle identifier")
		return
	case d.unreachable:
		d.add("push", checkSkip, "APNs cannot be reached", "")
		return
	}
	client, err := newClient(d.cfg)
	if err != nil {
		d.rejected = true
		d.add("push", checkFail, err.Error(), "")
		return
	}
	defer closeClient(client)
	n := &apns.Notification{
		DeviceToken: dummyDeviceToken, Payload: []byte(`{"aps":{}}`),
		PushType: apns.PushType(d.flags.pushType), Expiration: apns.ExpireImmediately,
	}
	message.SetTopic(n, topic)
	ctx, cancel := context.WithTimeout(ctx, doctorTimeout)
	defer cancel()
	receipt, err := client.Push(ctx, n)
	d.judge(n, newVerdict(n, receipt, err, flagWords))
}

// judge reads the answer to a push that cannot succeed.
func (d *doctor) judge(n *apns.Notification, v verdict) {
	aboutDevice := []apns.Reason{apns.ReasonBadDeviceToken, apns.ReasonUnregistered, apns.ReasonExpiredToken, apns.ReasonDeviceTokenNotForTopic}
	switch {
	case v.Outcome == apns.Accepted:
		d.add("push", checkOK, "credential and topic are good; it was accepted for a device token that does not exist, so this is a simulator", "")
	case v.Outcome == apns.Rejected && slices.Contains(aboutDevice, v.Reason):
		d.add("push", checkOK, fmt.Sprintf("credential and topic are good: %s is the answer to a device token that does not exist", v.Reason), "")
	case v.Outcome == apns.Rejected:
		d.rejected = true
		if v.Status >= 500 || v.Status == 429 {
			d.unreachable = true
		}
		d.add("push", checkFail, fmt.Sprintf("%s: %s", reasonText(v.Status, v.Reason), v.Error), v.Advice)
	case v.invalid:
		d.rejected = true
		d.add("push", checkFail, v.Error, "")
	default:
		if v.Action == apns.FixConfiguration {
			d.rejected = true
		} else {
			d.unreachable = true
		}
		detail := v.Error
		if v.Reason != "" {
			detail = string(v.Reason) + ": " + detail
		}
		d.add("push", checkFail, detail, v.Advice)
	}
}
