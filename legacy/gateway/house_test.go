package gateway_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"aviso.example/apns"
	"aviso.example/apnstest"
	"aviso.example/auth"
	"aviso.example/internal/await"
	"aviso.example/legacy/gateway"
	"aviso.example/sim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// identity is a certificate with its key, signed by itself.
type identity struct {
	pem  []byte // certificate and key
	tls  tls.Certificate
	auth *auth.Certificate
}

// newIdentity makes one for a topic, as Apple writes it, or a host.
func newIdentity(topic string) *identity {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "Apple Push Services: " + topic},
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		// Expired, as those of old programs are.
		NotBefore: time.Now().AddDate(-3, 0, 0), NotAfter: time.Now().AddDate(-2, 0, 0),
		BasicConstraintsValid: true, IsCA: true,
	}
	if topic != "" {
		template.Subject.ExtraNames = []pkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 1}, Value: topic}}
	} else {
		template.NotAfter = time.Now().AddDate(1, 0, 0)
	}
	der := must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))
	i := &identity{pem: append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(key))})...)}
	i.auth = must(auth.ParseCertificate(i.pem, ""))
	i.tls = i.auth.TLS
	return i
}

var (
	serverIdentity  = sync.OnceValue(func() *identity { return newIdentity("") })
	programIdentity = sync.OnceValue(func() *identity { return newIdentity(apnstest.Topic) })
)

// house is a gateway on loopback with the simulator behind it.
type house struct {
	t        testing.TB
	apns     *apnstest.Server
	gateway  *gateway.Gateway
	address  string
	feedback string
	config   gateway.Config
	log      *log
}

// log collects what the gateway logs.
type log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// open starts everything; change may adjust the gateway's Config.
func open(t testing.TB, change func(*gateway.Config), options ...apnstest.Option) *house {
	t.Helper()
	h := &house{t: t, apns: apnstest.Start(t, options...), log: &log{}}
	h.config = gateway.Config{
		Certificate: serverIdentity().auth, FeedbackFile: filepath.Join(t.TempDir(), "feedback.db"),
		Logger: slog.New(slog.NewTextHandler(h.log, nil)),
		Providers: []gateway.Provider{{
			Name: "shop", Certificates: []*x509.Certificate{programIdentity().tls.Leaf}, APNs: h.client(),
		}},
	}
	if change != nil {
		change(&h.config)
	}
	h.gateway = must(gateway.New(h.config))
	h.address, h.feedback = h.serve(h.gateway.Serve), h.serve(h.gateway.ServeFeedback)
	t.Cleanup(func() {
		h.shutdown(5 * time.Second)
		if t.Failed() {
			t.Logf("the gateway said:\n%s", h.log)
		}
	})
	return h
}

// client is how the gateway reaches the simulator.
func (h *house) client() apns.Config {
	return apns.Config{
		Key: must(auth.ParseSigningKey(h.apns.KeyPEM, h.apns.KeyID)), TeamID: h.apns.TeamID, BundleID: h.apns.Topic,
		Environment: apns.Sandbox, Endpoint: h.apns.Endpoint, ExtraRoots: h.apns.CAPEM,
	}
}

func (h *house) serve(serve func(net.Listener) error) string {
	l := must(gateway.Listen(context.Background(), "127.0.0.1:0"))
	served := make(chan error, 1)
	go func() { served <- serve(l) }()
	h.t.Cleanup(func() {
		h.shutdown(5 * time.Second)
		if err := <-served; !errors.Is(err, gateway.ErrClosed) {
			h.t.Errorf("serving ended with %v", err)
		}
	})
	return l.Addr().String()
}

func (h *house) shutdown(within time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	return h.gateway.Shutdown(ctx)
}

// dial connects as a program with a certificate does.
func (h *house) dial(i *identity) *tls.Conn {
	h.t.Helper()
	conn, err := tls.Dial("tcp", h.address, i.clientTLS())
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(await.Deadline(h.t))
	return conn
}

func (i *identity) clientTLS() *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(serverIdentity().tls.Leaf)
	return &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{i.tls}}
}

// accepted waits for a number of accepted pushes, and returns what was accepted by
// device token.
func (h *house) accepted(want int) map[string][]sim.Push {
	h.t.Helper()
	var pushes []sim.Push
	await.Until(h.t, fmt.Sprintf("APNs accepting %d", want), func() bool {
		pushes = h.apns.Pushes(sim.Filter{Outcome: sim.Accepted})
		return len(pushes) >= want
	})
	found := map[string][]sim.Push{}
	for _, p := range pushes {
		found[p.DeviceToken] = append(found[p.DeviceToken], p)
	}
	return found
}

// readPacket reads until the gateway ends the connection, and returns what it
// said: nothing, or an error packet.
func readPacket(t testing.TB, conn net.Conn) []byte {
	t.Helper()
	b, err := io.ReadAll(conn)
	if err != nil {
		t.Fatalf("after %x: %v", b, err)
	}
	return b
}
