// Package apnstest starts the APNs simulator of package sim for a Go test, in one
// line, and ends it with the test:
//
//	apns := apnstest.Start(t)
//	// send to apns.URL, trusting apns.RootCAs, with apns.KeyPEM, apns.KeyID,
//	// apns.TeamID, apns.Topic and apns.DeviceToken
//	push := apns.WaitForPush(t, sim.Filter{DeviceToken: apns.DeviceToken})
//
// [StartMem] does the same without a socket, for testing/synctest.
// [Server.StartBinary] adds the ports of the binary protocol of 2009 to 2021.
package apnstest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"aviso.example/internal/memnet"
	"aviso.example/sim"
)

// Names every Server has unless an option changes them.
const (
	KeyID  = "AVISOTEST1"
	TeamID = "AVISOTEAM1"
	Topic  = "com.example.app"
)

// WaitTimeout bounds WaitForPush.
const WaitTimeout = 10 * time.Second

// Server is a simulator that runs for one test. All methods of sim.Server are
// there too.
type Server struct {
	*sim.Server

	// Addr is host and port; Endpoint is another name for it.
	Addr, Endpoint string
	// URL is https:// and the address.
	URL string
	// RootCAs trusts the simulator; CAPEM is the same in PEM.
	RootCAs *x509.CertPool
	CAPEM   []byte

	// Key is a signing key the simulator knows, KeyPEM the same as Apple's .p8
	// files have it.
	Key    *ecdsa.PrivateKey
	KeyPEM []byte
	KeyID  string
	TeamID string
	// Topic is a bundle identifier the key may push to.
	Topic string
	// DeviceToken is an active device of that app.
	DeviceToken string

	mem *memnet.Listener
}

// Option changes the simulator's configuration before it starts. What it sets is
// kept; keys are added to the one every Server has.
type Option func(*sim.Config)

// Start runs a simulator on a loopback port until the test ends.
func Start(t testing.TB, options ...Option) *Server {
	t.Helper()
	s := prepare(t, options)
	addr, err := s.Server.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.at(addr)
	t.Cleanup(func() { s.Close() })
	return s
}

// StartMem runs a simulator on a network inside the process until the test (or
// the synctest bubble) ends. Connections are made with DialContext or Dial.
func StartMem(t testing.TB, options ...Option) *Server {
	t.Helper()
	s := prepare(t, options)
	s.mem = memnet.Listen("apns.memory.test:443")
	served := make(chan error, 1)
	go func() { served <- s.Serve(s.mem) }()
	s.at("localhost:443")
	t.Cleanup(func() {
		s.Close()
		if err := <-served; !errors.Is(err, sim.ErrServerClosed) {
			t.Errorf("apnstest: %v", err)
		}
	})
	return s
}

func prepare(t testing.TB, options []Option) *Server {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{
		Key: key, KeyPEM: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
		KeyID: KeyID, TeamID: TeamID, Topic: Topic,
		DeviceToken: "a0b1c2d3e4f5061728394a5b6c7d8e9fa0b1c2d3e4f5061728394a5b6c7d8e9f",
	}
	cfg := sim.Config{TeamID: TeamID, Keys: []sim.Key{{KeyID: KeyID, TeamID: TeamID, Public: &key.PublicKey}}}
	for _, option := range options {
		option(&cfg)
	}
	if s.Server, err = sim.New(cfg); err != nil {
		t.Fatal(err)
	}
	s.CAPEM, s.RootCAs = s.Server.CAPEM(), s.Server.CertPool()
	if !cfg.Lean { // a lean server keeps no register as long as it is empty
		if err := s.PutDevice(sim.Device{DeviceToken: s.DeviceToken, Topics: []string{Topic}}); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func (s *Server) at(addr string) {
	s.Addr, s.Endpoint, s.URL = addr, addr, "https://"+addr
}

// DialContext connects to the simulator whatever the address says, so that it
// can stand in for a dialer. It works with Start and StartMem.
func (s *Server) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	if s.mem != nil {
		return s.mem.DialContext(ctx, network, addr)
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp", s.Addr)
}

// Dial connects like DialContext.
func (s *Server) Dial(ctx context.Context) (net.Conn, error) {
	return s.DialContext(ctx, "tcp", s.Addr)
}

// TLSConfig returns a client configuration that trusts the simulator and speaks
// HTTP/2.
func (s *Server) TLSConfig() *tls.Config {
	return &tls.Config{RootCAs: s.RootCAs, ServerName: "localhost", NextProtos: []string{"h2"}}
}

// HTTPClient returns net/http's HTTP/2 client for the simulator. The caller
// closes its idle connections; the end of the test does too.
func (s *Server) HTTPClient(t testing.TB) *http.Client {
	t.Helper()
	tr := &http.Transport{TLSClientConfig: s.TLSConfig(), DialContext: s.DialContext, ForceAttemptHTTP2: true}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// ProviderToken signs a provider token issued now, by the simulator's clock.
func (s *Server) ProviderToken(t testing.TB) string {
	t.Helper()
	return SignProviderToken(t, s.Key, s.KeyID, s.TeamID, s.Now())
}

// SignProviderToken signs a provider token with any key, ids and age.
func SignProviderToken(t testing.TB, key *ecdsa.PrivateKey, keyID, teamID string, issuedAt time.Time) string {
	t.Helper()
	tok := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{"iss": teamID, "iat": issuedAt.Unix()})
	tok.Header["kid"] = keyID
	signed, err := tok.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// WaitForPush returns the oldest recorded push that matches and fails the test
// when none comes within WaitTimeout.
func (s *Server) WaitForPush(t testing.TB, f sim.Filter) sim.Push {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), WaitTimeout)
	defer cancel()
	p, err := s.Server.WaitForPush(ctx, f)
	if err != nil {
		t.Fatalf("apnstest: no push matched %+v: %v (recorded so far: %d)", f, err, s.Stats().Recorded)
	}
	return p
}

// AddFault adds a fault and fails the test when it makes no sense.
func (s *Server) AddFault(t testing.TB, f sim.Fault) string {
	t.Helper()
	id, err := s.Server.AddFault(f)
	if err != nil {
		t.Fatal(err)
	}
	return id
}
