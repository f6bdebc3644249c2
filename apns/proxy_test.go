package apns_test

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"aviso.example/apns"
	"aviso.example/apnstest"
)

// relay copies both ways until both ends are done.
func relay(a, b net.Conn) {
	var wg sync.WaitGroup
	wg.Go(func() { io.Copy(a, b); a.Close() })
	wg.Go(func() { io.Copy(b, a); b.Close() })
	wg.Wait()
}

// A CONNECT proxy over net/http, with a password.
func TestHTTPProxy(t *testing.T) {
	server := apnstest.Start(t)
	var tunnels, refused atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect || r.Host != server.Addr {
			http.Error(w, "only CONNECT to the simulator", http.StatusForbidden)
			return
		}
		if r.Header.Get("Proxy-Authorization") != "Basic "+base64.StdEncoding.EncodeToString([]byte("user:pa:ss")) {
			refused.Add(1)
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		up, err := net.Dial("tcp", r.Host)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		tunnels.Add(1)
		// Hijacked before the answer: net/http would otherwise read ahead into
		// the tunnel.
		down, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		io.WriteString(down, "HTTP/1.1 200 Connection established\r\n\r\n")
		relay(down, up)
	}))
	t.Cleanup(proxy.Close)
	via := func(user *url.Userinfo) func(*apns.Config) {
		u, _ := url.Parse(proxy.URL)
		u.User = user
		return func(c *apns.Config) {
			c.Proxy = apns.ProxyURL(u)
		}
	}
	client := newClient(t, server, via(url.UserPassword("user", "pa:ss")))
	if _, err := client.Push(t.Context(), note(server)); err != nil || tunnels.Load() != 1 {
		t.Fatalf("%v, %d tunnels", err, tunnels.Load())
	}
	client = newClient(t, server, via(nil))
	_, err := client.Push(t.Context(), note(server))
	if c, ok := errors.AsType[*apns.ConnectError](err); !ok || c.Stage != "proxy" || !strings.Contains(err.Error(), "password") {
		t.Errorf("without a password: %v", err)
	}
	if strings.Contains(fmt.Sprint(err), "pa:ss") || refused.Load() != 1 { // nobody waits for a proxy to change its mind
		t.Errorf("after %d attempts: %v", refused.Load(), err)
	}
}

// A SOCKS5 proxy with a password (RFC 1928, RFC 1929), byte by byte.
func TestSOCKSProxy(t *testing.T) {
	server := apnstest.Start(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(func() { l.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				if err := socks(c); err != nil {
					t.Error(err)
				}
			})
		}
	})
	u := &url.URL{Scheme: "socks5", Host: l.Addr().String(), User: url.UserPassword("user", "secret")}
	client := newClient(t, server, func(c *apns.Config) { c.Proxy = apns.ProxyURL(u) })
	if _, err := client.Push(t.Context(), note(server)); err != nil {
		t.Fatal(err)
	}
	client.Close(t.Context())
}

func socks(c net.Conn) error {
	read := func(n int) []byte {
		b := make([]byte, n)
		io.ReadFull(c, b)
		return b
	}
	hello := read(2)
	read(int(hello[1]))
	c.Write([]byte{5, 2})
	name := string(read(int(read(2)[1])))
	if password := string(read(int(read(1)[0]))); name != "user" || password != "secret" {
		c.Write([]byte{1, 1})
		return fmt.Errorf("user %q", name)
	}
	c.Write([]byte{1, 0})
	var host string
	switch kind := read(4)[3]; kind {
	case 1, 4:
		host = net.IP(read(map[byte]int{1: 4, 4: 16}[kind])).String()
	case 3:
		host = string(read(int(read(1)[0])))
	}
	port := binary.BigEndian.Uint16(read(2))
	up, err := net.Dial("tcp", net.JoinHostPort(host, fmt.Sprint(port)))
	if err != nil {
		return err
	}
	c.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
	relay(c, up)
	return nil
}
