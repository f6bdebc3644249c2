package interop

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"aviso.example/apns"
)

// goServer starts net/http's HTTP/2 server with the certificate openssl made.
func goServer(t *testing.T, keys *pki, handler http.Handler, change func(*httptest.Server)) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(handler)
	s.EnableHTTP2 = true
	pair, err := tls.LoadX509KeyPair(keys.serverCert, keys.serverKey)
	if err != nil {
		t.Fatal(err)
	}
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	s.Config.ErrorLog = log.New(t.Output(), "", 0)
	if change != nil {
		change(s)
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func host(s *httptest.Server) string { return s.Listener.Addr().String() }

func TestClientAndNetHTTP(t *testing.T) {
	const n = 20_000
	keys := makePKI(t)
	t.Run("plain", func(t *testing.T) {
		h := &tally{}
		client := newClient(t, keys, host(goServer(t, keys, h, nil)), nil)
		wantAccepted(t, sendAll(t, client, n, nil), n)
		h.check(t, n)
	})
	t.Run("GOAWAY every 500 requests", func(t *testing.T) {
		h := &tally{before: func(w http.ResponseWriter, total int) {
			if total%500 == 0 {
				w.Header().Set("Connection", "close") // net/http's way to ask for GOAWAY
			}
		}}
		var seen goodbyes
		client := newClient(t, keys, host(goServer(t, keys, h, nil)), seen.watch)
		wantAccepted(t, sendAll(t, client, 5000, nil), 5000)
		h.check(t, 5000)
		seen.atLeast(t, 5) // two may hit one connection
	})
	t.Run("three streams at a time", func(t *testing.T) {
		h := &tally{}
		server := goServer(t, keys, h, func(s *httptest.Server) {
			s.Config.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: 3}
		})
		client := newClient(t, keys, host(server), nil)
		wantAccepted(t, sendAll(t, client, 3000, nil), 3000)
		h.check(t, 3000)
	})
	t.Run("small windows", func(t *testing.T) {
		h := &tally{}
		server := goServer(t, keys, h, func(s *httptest.Server) {
			// 65535 is the least net/http takes for a connection: some 500
			// payloads, so the client has to wait for window updates.
			s.Config.HTTP2 = &http.HTTP2Config{MaxReceiveBufferPerConnection: 65535, MaxReceiveBufferPerStream: 100, MaxConcurrentStreams: 1000}
		})
		client := newClient(t, keys, host(server), nil)
		wantAccepted(t, sendAll(t, client, 5000, nil), 5000)
		h.check(t, 5000)
	})
	t.Run("early hints, trailers, a body and answers out of order", func(t *testing.T) {
		h := &tally{}
		server := goServer(t, keys, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			last := r.URL.Path[len(r.URL.Path)-1]
			w.Header().Set("Link", "</style.css>; rel=preload")
			w.WriteHeader(http.StatusEarlyHints)
			if last%2 == 0 {
				time.Sleep(time.Millisecond)
			}
			w.Header().Set("Trailer", "X-Checksum")
			h.ServeHTTP(w, r)
			w.Write([]byte(strings.Repeat("unexpected ", 100)))
			w.Header().Set("X-Checksum", "1")
		}), nil)
		client := newClient(t, keys, host(server), nil)
		wantAccepted(t, sendAll(t, client, 3000, nil), 3000)
		h.check(t, 3000)
	})
	t.Run("graceful shutdown and a successor", func(t *testing.T) {
		first, second := &tally{}, &tally{}
		one, two := goServer(t, keys, first, nil), goServer(t, keys, second, nil)
		client := newClient(t, keys, host(one), func(cfg *apns.Config) {
			cfg.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
				var d net.Dialer
				if c, err := d.DialContext(ctx, network, host(one)); err == nil {
					return c, nil
				}
				return d.DialContext(ctx, network, host(two))
			}
		})
		stopped := make(chan error, 1)
		outcomes := sendAll(t, client, n, func(i int) {
			if i == n/4 {
				go func() { stopped <- one.Config.Shutdown(context.Background()) }()
			}
		})
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		wantAccepted(t, outcomes, n)
		for deviceToken, times := range first.seen {
			if second.seen == nil {
				t.Fatal("the successor saw nothing")
			}
			second.seen[deviceToken] += times
		}
		second.check(t, n)
	})
	t.Run("answers that are not Apple's", func(t *testing.T) {
		server := goServer(t, keys, http.NotFoundHandler(), nil)
		_, err := newClient(t, keys, host(server), nil).Push(t.Context(), &apns.Notification{DeviceToken: deviceToken(1), Payload: []byte(payload)})
		if r, ok := errors.AsType[*apns.RejectedError](err); !ok || r.Status != 404 {
			t.Errorf("%v: %v", apns.OutcomeOf(err), err)
		}
	})
	t.Run("no HTTP/2", func(t *testing.T) {
		server := goServer(t, keys, http.NotFoundHandler(), func(s *httptest.Server) { s.EnableHTTP2 = false })
		_, err := newClient(t, keys, host(server), nil).Push(t.Context(), &apns.Notification{DeviceToken: deviceToken(1), Payload: []byte(payload)})
		if c, ok := errors.AsType[*apns.ConnectError](err); !ok || apns.OutcomeOf(err) != apns.NotSent || c.Hint == "" {
			t.Errorf("%v: %v", apns.OutcomeOf(err), err)
		}
	})
	t.Run("an issuer that is not trusted", func(t *testing.T) {
		server := goServer(t, keys, http.NotFoundHandler(), nil)
		client := newClient(t, keys, host(server), func(cfg *apns.Config) { cfg.ExtraRoots = nil })
		_, err := client.Push(t.Context(), &apns.Notification{DeviceToken: deviceToken(1), Payload: []byte(payload)})
		if !errors.As(err, new(x509.UnknownAuthorityError)) || apns.OutcomeOf(err) != apns.NotSent {
			t.Errorf("%v: %v", apns.OutcomeOf(err), err)
		}
	})
}

// TestClientCertificate has the server insist on a client certificate. The
// certificate comes from openssl, in each form users have it.
func TestClientCertificate(t *testing.T) {
	keys := makePKI(t)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(readFile(t, keys.ca))
	both := writeFile(t, keys.dir+"/both.pem", string(readFile(t, keys.clientKey))+string(readFile(t, keys.clientCert)))
	h := &tally{}
	server := goServer(t, keys, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.TLS.PeerCertificates) != 1 || !strings.HasSuffix(r.TLS.PeerCertificates[0].Subject.CommonName, bundleID) || r.Header.Get("authorization") != "" {
			t.Errorf("certificates %v, authorization %q", r.TLS.PeerCertificates, r.Header.Get("authorization"))
		}
		h.ServeHTTP(w, r)
	}), func(s *httptest.Server) {
		s.TLS.ClientAuth, s.TLS.ClientCAs = tls.RequireAndVerifyClientCert, pool
	})
	for name, file := range map[string]string{"pem": both, "p12": keys.clientP12, "p12 of the old kind": keys.old} {
		t.Run(name, func(t *testing.T) {
			h.mu.Lock()
			h.seen = nil
			h.mu.Unlock()
			client := newClient(t, keys, host(server), withCertificate(t, file, p12Password))
			wantAccepted(t, sendAll(t, client, 1000, nil), 1000)
			h.check(t, 1000)
		})
	}
	t.Run("none", func(t *testing.T) {
		client := newClient(t, keys, host(server), nil)
		_, err := client.Push(t.Context(), &apns.Notification{DeviceToken: deviceToken(1), Payload: []byte(payload)})
		if apns.OutcomeOf(err) != apns.NotSent {
			t.Errorf("%v: %v", apns.OutcomeOf(err), err)
		}
		t.Log(err)
	})
}
