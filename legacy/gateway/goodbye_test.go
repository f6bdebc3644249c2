package gateway_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"aviso.example/apnstest"
	"aviso.example/legacy/gateway"
	"aviso.example/sim"
)

// TestNeverReads: many programs write and close, and never read. Closing with
// something unread resets the connection and throws away what was written, so the
// gateway says nothing unasked, in the TLS layer neither.
func TestNeverReads(t *testing.T) {
	t.Parallel()
	const messages = 300
	h := open(t, func(c *gateway.Config) { c.Window = 10 })
	// What does not go into the window stays in the sockets for a while.
	if _, err := h.apns.Server.AddFault(sim.Fault{Kind: sim.FaultDelay, Delay: 300 * time.Millisecond, Count: 10}); err != nil {
		t.Fatal(err)
	}
	cfg := programIdentity().clientTLS()
	cfg.ClientSessionCache = tls.NewLRUClientSessionCache(1) // what makes servers send tickets
	conn := must(tls.Dial("tcp", h.address, cfg))
	time.Sleep(50 * time.Millisecond) // whatever the gateway says after the handshake is there now
	for i := range messages {
		if _, err := conn.Write(newMessage(i).bytes(uint32(i))); err != nil {
			t.Fatal(err)
		}
	}
	conn.Close()
	h.accepted(messages)
}

// TestLogIsDiscreet: neither device tokens nor payloads are in the log, whatever
// goes wrong with them.
func TestLogIsDiscreet(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	h.devices()
	secret := `{"aps":{"alert":"Confidential"}}`
	for _, bytes := range []string{
		frame1(1, 0, active, secret), frame1(2, 0, foreign, secret), frame1(3, 0, gone, secret), frame1(4, 0, active, secret[1:]),
		frame1(4, 0, active[:31], secret), frame1(4, 0, active, "Confidential"), frame2(item(1, active), item(2, secret), item(2, secret)),
		"Confidential", "\x02Confidential", "\x01" + secret, frame1(4, 0, active, "Confidential"+strings.Repeat(" ", 5000)),
	} {
		conn := h.dial(programIdentity())
		io.WriteString(conn, bytes)
		conn.CloseWrite()
		readPacket(t, conn)
	}
	h.shutdown(5 * time.Second)
	said := h.log.String()
	for _, word := range []string{"Confidential", "aps", hex.EncodeToString([]byte(active))[:32], hex.EncodeToString([]byte(foreign))[:32], hex.EncodeToString([]byte(gone))[:32], active[:16], foreign[:16]} {
		if strings.Contains(said, word) {
			t.Errorf("the log says %q:\n%s", word, said)
		}
	}
	if n := strings.Count(said, "connection ended"); n != 11 {
		t.Errorf("%d connections ended, want 11", n)
	}
}

// TestConfigProblems: all are named at once.
func TestConfigProblems(t *testing.T) {
	apnsConfig := (&house{t: t, apns: apnstest.Start(t)}).client()
	certificate := programIdentity().tls.Leaf
	_, err := gateway.New(gateway.Config{
		Window: 8193, MaxConnections: -1, HoldTime: time.Microsecond, MinTLSVersion: 2,
		Providers: []gateway.Provider{
			{Name: "a", Certificates: []*x509.Certificate{certificate, certificate}, APNs: apnsConfig},
			{Name: "b", Certificates: []*x509.Certificate{certificate}, APNs: apnsConfig},
			{Name: "b", APNs: apnsConfig},
			{Certificates: []*x509.Certificate{serverIdentity().tls.Leaf, newIdentity("com.example.other").tls.Leaf, newIdentity("com.example.third").tls.Leaf}},
		},
	})
	if err == nil {
		t.Fatal("nothing is wrong with it")
	}
	for _, want := range []string{
		"Certificate is missing", "FeedbackFile is missing", "Window is 8193", "MaxConnections is -1", "HoldTime is 1µs", "MinTLSVersion is 0x0002",
		`provider "a" has the same certificate twice`, `provider "b" has a certificate of provider "a" too`, `provider "b" is there twice`,
		`provider "b" has no certificate`, `provider "" has no name`, `certificates for com.example.other and for com.example.third`, `provider "" cannot send`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q", want)
		}
	}
	if t.Failed() {
		t.Log(err)
	}
}

// TestListAge: entries that nobody reads are told for 90 days, on the gateway's
// clock.
func TestListAge(t *testing.T) {
	t.Parallel()
	var ahead atomic.Int64
	h := open(t, func(c *gateway.Config) {
		c.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	})
	h.unregister(programIdentity(), 0, 3)
	h.cutList(38) // one is told, so all are written down, and stay
	ahead.Store(int64(91 * 24 * time.Hour))
	h.unregister(programIdentity(), 7, 2)
	h.wantList(programIdentity(), 7, 2)
}

// TestListIsPruned: what nobody reads does not fill the disk for ever.
func TestListIsPruned(t *testing.T) {
	t.Parallel()
	var ahead atomic.Int64
	h := open(t, func(c *gateway.Config) {
		c.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	})
	h.unregister(programIdentity(), 0, 1500)
	if err := h.shutdown(5 * time.Second); err != nil {
		t.Fatal(err)
	}
	if n := entriesOf(t, h.config.FeedbackFile); n != 1500 {
		t.Fatalf("the file has %d entries, want 1500", n)
	}
	ahead.Store(int64(91 * 24 * time.Hour))
	h.gateway = must(gateway.New(h.config))
	if err := h.shutdown(5 * time.Second); err != nil {
		t.Fatal(err)
	}
	if n := entriesOf(t, h.config.FeedbackFile); n != 0 {
		t.Errorf("%d entries are left", n)
	}
}

// entriesOf looks into a file that no gateway uses.
func entriesOf(t *testing.T, file string) (n int) {
	t.Helper()
	db := must(bolt.Open(file, 0o600, nil))
	defer db.Close()
	db.View(func(tx *bolt.Tx) error {
		return tx.ForEach(func(_ []byte, b *bolt.Bucket) error {
			n += b.Stats().KeyN
			return nil
		})
	})
	return n
}
