package interop

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"aviso.example/apns"
)

// requestsPerConnection is after how many requests nginx says GOAWAY here. Ten
// connections are made at once; above that our client paces itself, since Apple
// takes frequent reconnecting for an attack.
const requestsPerConnection = 500

// nginx starts nginx in front of a handler of ours and returns its address.
func nginx(t *testing.T, keys *pki, backend *httptest.Server, keepalive int, more string) (*process, string) {
	t.Helper()
	dir, addr := t.TempDir(), freeAddr(t)
	conf := writeFile(t, filepath.Join(dir, "nginx.conf"), fmt.Sprintf(`
daemon off;
user root;
worker_processes 1;
pid %[1]s/nginx.pid;
error_log stderr notice;
events { worker_connections 512; }
http {
	access_log off;
	client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi; uwsgi_temp_path %[1]s/uwsgi; scgi_temp_path %[1]s/scgi;
	upstream backend { server %[2]s; keepalive 64; }
	server {
		listen %[3]s ssl http2;
		ssl_certificate %[4]s; ssl_certificate_key %[5]s;
		keepalive_requests %[6]d;
		%[7]s
		location / {
			proxy_pass http://backend;
			proxy_http_version 1.1;
			proxy_set_header Connection "";
			proxy_next_upstream off;
		}
	}
}`, dir, backend.Listener.Addr(), addr, keys.serverCert, keys.serverKey, keepalive, more))
	p := start(t, "nginx", "-c", conf, "-p", dir, "-e", "stderr")
	p.listening(t, addr)
	return p, addr
}

func TestClientAndNginx(t *testing.T) {
	const n = 5000
	keys := makePKI(t)
	t.Run("GOAWAY every 500 requests", func(t *testing.T) {
		h := &tally{}
		backend := httptest.NewServer(h)
		defer backend.Close()
		_, addr := nginx(t, keys, backend, requestsPerConnection, "")
		var seen goodbyes
		wantAccepted(t, sendAll(t, newClient(t, keys, addr, seen.watch), n, nil), n)
		h.check(t, n)
		seen.atLeast(t, n/requestsPerConnection/2) // connections are shared out as they come
	})
	t.Run("reload under load", func(t *testing.T) {
		h := &tally{}
		backend := httptest.NewServer(h)
		defer backend.Close()
		p, addr := nginx(t, keys, backend, 1_000_000, "")
		var seen goodbyes
		const reloads, many = 2, 20_000 // few enough not to be paced
		wantAccepted(t, sendAll(t, newClient(t, keys, addr, seen.watch), many, func(i int) {
			if i%(many/reloads) == many/reloads/2 {
				p.Process.Signal(syscall.SIGHUP) // a new worker; the old one says GOAWAY
			}
		}), many)
		h.check(t, many)
		seen.atLeast(t, 1) // a reload may meet a connection that is being replaced already
	})
	t.Run("client certificate required", func(t *testing.T) {
		h := &tally{}
		backend := httptest.NewServer(h)
		defer backend.Close()
		_, addr := nginx(t, keys, backend, requestsPerConnection, "ssl_verify_client on; ssl_client_certificate "+keys.ca+";")
		client := newClient(t, keys, addr, withCertificate(t, keys.clientP12, p12Password))
		wantAccepted(t, sendAll(t, client, 1000, nil), 1000)
		h.check(t, 1000)
		// Without one, nginx finishes the handshake and says so in HTML.
		_, err := newClient(t, keys, addr, nil).Push(t.Context(), &apns.Notification{DeviceToken: deviceToken(1), Payload: []byte(payload)})
		if r, ok := errors.AsType[*apns.RejectedError](err); !ok || r.Status != 400 {
			t.Errorf("without a certificate %v: %v", apns.OutcomeOf(err), err)
		}
	})
	t.Run("no backend", func(t *testing.T) {
		backend := httptest.NewServer(nil)
		_, addr := nginx(t, keys, backend, requestsPerConnection, "")
		backend.Close()
		client := newClient(t, keys, addr, func(cfg *apns.Config) { cfg.MaxAttempts = 1 })
		_, err := client.Push(t.Context(), &apns.Notification{DeviceToken: deviceToken(1), Payload: []byte(payload)})
		if r, ok := errors.AsType[*apns.RejectedError](err); !ok || r.Status != 502 {
			t.Errorf("%v: %v", apns.OutcomeOf(err), err)
		}
	})
}

func TestClientAndHAProxy(t *testing.T) {
	const n = 10_000
	keys := makePKI(t)
	haproxy := func(t *testing.T, backend *httptest.Server) (*process, string) {
		t.Helper()
		dir, addr := t.TempDir(), freeAddr(t)
		conf := writeFile(t, filepath.Join(dir, "haproxy.cfg"), fmt.Sprintf(`
global
	maxconn 512
	tune.h2.max-concurrent-streams 100
	hard-stop-after 20s
defaults
	mode http
	timeout connect 5s
	timeout client 20s
	timeout server 20s
	retries 0
frontend apns
	bind %s ssl crt %s alpn h2
	default_backend ours
backend ours
	server one %s
`, addr, keys.serverBoth, backend.Listener.Addr()))
		p := start(t, "haproxy", "-W", "-f", conf, "-p", filepath.Join(dir, "pid"))
		p.listening(t, addr)
		return p, addr
	}
	t.Run("HTTP/2 ends here", func(t *testing.T) {
		h := &tally{}
		backend := httptest.NewServer(h)
		defer backend.Close()
		_, addr := haproxy(t, backend)
		wantAccepted(t, sendAll(t, newClient(t, keys, addr, nil), n, nil), n)
		h.check(t, n)
	})
	t.Run("reload under load", func(t *testing.T) {
		h := &tally{}
		backend := httptest.NewServer(h)
		defer backend.Close()
		p, addr := haproxy(t, backend)
		var seen goodbyes
		wantAccepted(t, sendAll(t, newClient(t, keys, addr, seen.watch), n, func(i int) {
			if i%(n/3) == 0 {
				p.Process.Signal(syscall.SIGUSR2)
			}
		}), n)
		h.check(t, n)
		seen.atLeast(t, 1)
	})
}

func TestClientAndNghttpd(t *testing.T) {
	const n = 10_000
	keys := makePKI(t)
	nghttpd := func(t *testing.T, args ...string) string {
		t.Helper()
		addr := freeAddr(t)
		p := start(t, "nghttpd", append(args, "-a", "127.0.0.1", "-d", t.TempDir(), port(addr), keys.serverKey, keys.serverCert)...)
		p.listening(t, addr)
		return addr
	}
	t.Run("echo", func(t *testing.T) {
		// Every answer carries the request's payload back, which the client has
		// to read past and account for in its windows.
		client := newClient(t, keys, nghttpd(t, "--echo-upload"), nil)
		wantAccepted(t, sendAll(t, client, n, nil), n)
	})
	t.Run("ten streams, small windows, padding, no table", func(t *testing.T) {
		client := newClient(t, keys, nghttpd(t, "--echo-upload", "-m", "10", "-w", "10", "-W", "12", "-b", "200", "-c", "0"), nil)
		wantAccepted(t, sendAll(t, client, 3000, nil), 3000)
	})
	t.Run("trailers", func(t *testing.T) {
		client := newClient(t, keys, nghttpd(t, "--echo-upload", "--trailer", "x-end: here"), nil)
		wantAccepted(t, sendAll(t, client, 3000, nil), 3000)
	})
	t.Run("not found", func(t *testing.T) {
		outcomes := sendAll(t, newClient(t, keys, nghttpd(t), nil), 500, nil)
		if outcomes["rejected"] != 500 {
			t.Errorf("%v", outcomes)
		}
	})
	t.Run("killed and started again", func(t *testing.T) {
		addr := freeAddr(t)
		args := []string{"--echo-upload", "-a", "127.0.0.1", "-d", t.TempDir(), port(addr), keys.serverKey, keys.serverCert}
		p := start(t, "nghttpd", args...)
		p.listening(t, addr)
		outcomes := sendAll(t, newClient(t, keys, addr, func(cfg *apns.Config) { cfg.ConnectWait, cfg.MaxConnections = 30*time.Second, 1 }), n, func(i int) {
			if i == n/2 {
				p.Process.Kill()
				<-p.ended
				p = start(t, "nghttpd", args...)
			}
		})
		// What had been written when it died is honestly unknown, at most a
		// connection's worth of streams; nothing else may be anything but
		// accepted.
		if unknown := outcomes["unknown"]; outcomes["accepted"]+unknown != n || unknown > 100 {
			t.Errorf("%v", outcomes)
		}
	})
}

func withProxy(t *testing.T, proxy string) func(*apns.Config) {
	t.Helper()
	u, err := url.Parse(proxy)
	if err != nil {
		t.Fatal(err)
	}
	return func(cfg *apns.Config) { cfg.Proxy = apns.ProxyURL(u) }
}

func TestClientThroughProxies(t *testing.T) {
	const n = 3000
	keys := makePKI(t)
	h := &tally{}
	server := goServer(t, keys, h, nil)
	try := func(t *testing.T, proxy string) {
		t.Helper()
		h.mu.Lock()
		h.seen = nil
		h.mu.Unlock()
		client := newClient(t, keys, host(server), withProxy(t, proxy))
		wantAccepted(t, sendAll(t, client, n, nil), n)
		h.check(t, n)
	}
	refused := func(t *testing.T, proxy string) error {
		t.Helper()
		client := newClient(t, keys, host(server), func(cfg *apns.Config) {
			withProxy(t, proxy)(cfg)
			cfg.ConnectWait = 2 * time.Second
		})
		_, err := client.Push(t.Context(), &apns.Notification{DeviceToken: deviceToken(1), Payload: []byte(payload)})
		c, ok := errors.AsType[*apns.ConnectError](err)
		if !ok || apns.OutcomeOf(err) != apns.NotSent || c.Stage != "proxy" || strings.Contains(err.Error(), "wrong") {
			t.Errorf("%v: %v", apns.OutcomeOf(err), err)
		}
		return err
	}
	t.Run("CONNECT through tinyproxy", func(t *testing.T) {
		dir, addr := t.TempDir(), freeAddr(t)
		conf := writeFile(t, filepath.Join(dir, "tinyproxy.conf"), fmt.Sprintf(
			"Port %s\nListen 127.0.0.1\nTimeout 60\nMaxClients 20\nBasicAuth user secret\nConnectPort %s\nAllow 127.0.0.1\nLogLevel Info\n",
			port(addr), port(host(server))))
		start(t, "tinyproxy", "-d", "-c", conf).listening(t, addr)
		try(t, "http://user:secret@"+addr)
		if err := refused(t, "http://user:wrong@"+addr); err != nil {
			t.Log(err)
		}
	})
	t.Run("SOCKS5 through microsocks", func(t *testing.T) {
		addr := freeAddr(t)
		start(t, "microsocks", "-i", "127.0.0.1", "-p", port(addr), "-u", "user", "-P", "secret").listening(t, addr)
		try(t, "socks5://user:secret@"+addr)
		if err := refused(t, "socks5://user:wrong@"+addr); err != nil {
			t.Log(err)
		}
	})
	t.Run("no proxy there", func(t *testing.T) { t.Log(refused(t, "http://"+freeAddr(t))) })
}
