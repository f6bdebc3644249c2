package webpush

import (
	"crypto/tls"
	"encoding/base64"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestGuardEndpoints(t *testing.T) {
	open := &guard{}
	known := &guard{hosts: KnownPushServices()}
	local := &guard{loopback: true, ports: []int{8443}}
	for _, test := range []struct {
		g        *guard
		endpoint string
		want     string // of the problem; empty if it may be connected to
	}{
		{open, "https://web.push.apple.com/x", ""},
		{open, "https://web.push.apple.com:443/x", ""},
		{open, "https://push.somebody.net/x", ""},
		{open, "https://push.somebody.net./x", ""},
		{open, "https://web.push.apple.com:444/x", "port 444 is not 443"},
		{open, "https://web.push.apple.com:80/x", "port 80"},
		{open, "https://127.0.0.1/x", "this machine itself"},
		{open, "https://127.1.2.3/x", "this machine itself"},
		{open, "https://[::1]/x", "this machine itself"},
		{open, "https://[::ffff:127.0.0.1]/x", "this machine itself"},
		{open, "https://localhost/x", "this machine itself"},
		{open, "https://LocalHost./x", "this machine itself"},
		{open, "https://a.localhost/x", "this machine itself"},
		{open, "https://10.0.0.1/x", "it is an address"},
		{open, "https://17.188.1.1/x", "it is an address"},
		{open, "https://[2606:4700::1111]/x", "it is an address"},
		{open, "https://2130706433/x", "it is an address"},
		{open, "https://0x7f000001/x", "it is an address"},
		{open, "https://127.1/x", "it is an address"},
		{open, "https://0177.0.0.0x1/x", "it is an address"},
		{open, "https://10.0.0.1./x", "it is an address"},
		{open, "https://metadata/x", "no dot"},
		{open, "https://metadata./x", "no dot"},
		{open, "https://a..example/x", "no host name"},
		{open, "https://push.example../x", "no host name"},
		{open, "https://127.0.0.1../x", "no host name"},
		{open, "https://.example.com/x", "no host name"},
		{open, "https://permanently-removed.invalid/fcm/send/x", "removed the subscription"},
		{known, "https://permanently-removed.invalid./fcm/send/x", "removed the subscription"},
		{open, "https://push.local/x", "below .local"},
		{open, "https://push.corp.internal/x", "below .internal"},
		{open, "https://push.home.arpa/x", "below .home.arpa"},
		{open, "https://push.example/x", "below .example"},
		{open, "https://a.onion/x", "below .onion"},
		{known, "https://web.push.apple.com/x", ""},
		{known, "https://updates.push.services.mozilla.com/wpush/v2/x", ""},
		{known, "https://fcm.googleapis.com/fcm/send/x", ""},
		{known, "https://wns2-par02p.notify.windows.com/w/?token=x", ""},
		{known, "https://push.apple.com.evil.example/x", "not among those"},
		{known, "https://evilpush.apple.com/x", "not among those"},
		{known, "https://googleapis.com/x", "not among those"},
		{local, "https://127.0.0.1:5000/x", ""},
		{local, "https://localhost:5000/x", ""},
		{local, "https://[::1]:5000/x", ""},
		{local, "https://push.example.com:8443/x", ""},
		{local, "https://push.example.com:5000/x", "port 5000"},
		{local, "https://10.0.0.1/x", "it is an address"},
	} {
		s, err := NewSubscription(test.endpoint, someP256dh, someAuth, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		err = test.g.checkEndpoint(s.get())
		forbidden, ok := errors.AsType[*ForbiddenError](err)
		if ok != (test.want != "") || ok && !strings.Contains(forbidden.Problem, test.want) {
			t.Errorf("%s: %v, want %q", test.endpoint, err, test.want)
		}
	}
}

func TestGuardAddresses(t *testing.T) {
	for address, public := range map[string]bool{
		"17.188.1.1": true, "1.1.1.1": true, "172.15.255.255": true, "172.32.0.1": true, "100.63.255.255": true, "100.128.0.1": true,
		"2606:4700::1111": true, "2620:149:a44::1": true, "::ffff:17.188.1.1": true, "64:ff9b::17.188.1.1": true,

		"0.0.0.0": false, "0.1.2.3": false, "10.1.2.3": false, "172.16.0.1": false, "192.168.1.1": false, "127.0.0.1": false,
		"169.254.169.254": false, "100.64.0.1": false, "100.100.100.200": false, "168.63.129.16": false, "192.0.0.192": false,
		"192.0.2.1": false, "192.88.99.1": false, "198.18.0.1": false, "198.19.255.255": false, "198.51.100.1": false,
		"203.0.113.1": false, "224.0.0.1": false, "240.0.0.1": false, "255.255.255.255": false,
		"::": false, "::1": false, "::ffff:127.0.0.1": false, "::ffff:169.254.169.254": false, "::127.0.0.1": false,
		"64:ff9b::127.0.0.1": false, "64:ff9b::169.254.169.254": false, "64:ff9b::10.0.0.1": false, "64:ff9b:1::1.1.1.1": false,
		"fe80::1": false, "fe80::1%eth0": false, "fec0::1": false, "fd00:ec2::254": false, "fc00::1": false, "ff02::1": false,
		"100::1": false, "2001::1": false, "2001:db8::1": false, "2002:7f00:1::": false, "3fff::1": false, "4000::1": false,
	} {
		if err := checkAddress(netip.MustParseAddr(address), false); (err == nil) != public {
			t.Errorf("%s: %v", address, err)
		}
	}
	for address, want := range map[string]bool{"127.0.0.1": true, "::1": true, "::ffff:127.0.0.1": true, "10.0.0.1": false, "0.0.0.0": false, "169.254.169.254": false} {
		if err := checkAddress(netip.MustParseAddr(address), true); (err == nil) != want {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// A name may resolve to whatever it likes, at any time: what counts is the
// address that is connected to. Here a public name leads to loopback.
func TestGuardAfterDNS(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	reached := make(chan struct{}, 10)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			reached <- struct{}{}
			c.Close()
		}
	}()
	for _, loopback := range []bool{false, true} {
		os := &origins{guard: &guard{loopback: loopback}}
		for _, host := range []string{"push.example.com", "localhost"} {
			c := newClient(t, nil)
			dial := c.origins.dial
			if dial != nil {
				t.Fatal("the client has a network of its own")
			}
			os.tls = c.origins.tls
			transport := os.newTransport(host, &origin{conns: map[*conn]struct{}{}})
			conn, err := transport.DialContext(t.Context(), "tcp", l.Addr().String())
			allowed := loopback && host == "localhost"
			if (err == nil) != allowed {
				t.Errorf("loopback %v, %s: %v", loopback, host, err)
			}
			if err == nil {
				conn.Close()
				<-reached
			} else if _, ok := errors.AsType[*ForbiddenError](err); !ok || !hopeless(err) {
				t.Error(err)
			}
		}
	}
	l.Close()
	<-done
	if len(reached) > 0 {
		t.Error("what is forbidden was connected to")
	}
	for _, address := range []string{"/tmp/socket", "127.0.0.1"} {
		if err := (&guard{}).control("x")("unix", address, nil); err == nil {
			t.Error(address)
		}
	}
}

// The whole way, over real sockets: redirects are not followed, and loopback has
// to be allowed.
func TestLoopback(t *testing.T) {
	var elsewhere int
	r, _ := newReceiver(t, "https://push.example.com/x")
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/elsewhere" {
			elsewhere++
		}
		if r.URL.Path == "/redirect" {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
			return
		}
		if r.ProtoMajor != 2 {
			t.Errorf("%s", r.Proto)
		}
		w.WriteHeader(201)
	}))
	certificate, ca := testCA()
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	open := newClient(t, nil, func(c *Config) { c.AllowLoopback = true })
	strict := newClient(t, nil, func(c *Config) { c.ExtraRoots = ca })
	for path, want := range map[string]Outcome{"/x": Accepted, "/redirect": Rejected} {
		s, err := r.Subscription(server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		m := &Message{Payload: []byte("x")}
		if receipt, err := open.Send(t.Context(), s, m); OutcomeOf(err) != want || receipt.Host != "127.0.0.1" {
			t.Errorf("%s: %+v, %v", path, receipt, err)
		}
		_, err = strict.Send(t.Context(), s, m)
		if _, ok := errors.AsType[*ForbiddenError](err); !ok || OutcomeOf(err) != NotSent {
			t.Error(err)
		}
		if err := strict.CheckEndpoint(s); err == nil {
			t.Error("the endpoint passes")
		}
		if err := open.CheckEndpoint(s); err != nil {
			t.Error(err)
		}
	}
	if elsewhere > 0 {
		t.Error("a redirect was followed")
	}
}

// Push services for tests speak http at this machine. They can be sent to where this
// machine can, and the audience of the signature is theirs.
func TestLoopbackWithoutTLS(t *testing.T) {
	r, _ := newReceiver(t, "https://push.example.com/x")
	audience := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, rest, _ := strings.Cut(r.Header.Get("Authorization"), ".")
		claims, _, _ := strings.Cut(rest, ".")
		data, err := base64.RawURLEncoding.DecodeString(claims)
		if err != nil {
			t.Error(err)
		}
		audience <- string(data)
		w.WriteHeader(201)
	}))
	defer server.Close()
	s, err := r.Subscription(strings.Replace(server.URL, "127.0.0.1", "localhost", 1) + "/x")
	if err != nil {
		t.Fatal(err)
	}
	open := newClient(t, nil, func(c *Config) { c.AllowLoopback = true })
	if _, err := open.Send(t.Context(), s, &Message{Payload: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	if claims := <-audience; !strings.Contains(claims, `"aud":"http://localhost:`) {
		t.Error(claims)
	}
	if _, err := newClient(t, nil).Send(t.Context(), s, &Message{}); OutcomeOf(err) != NotSent || !strings.Contains(err.Error(), "AllowLoopback") {
		t.Error(err)
	}
}
