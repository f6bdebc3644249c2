package legacy_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"aviso.example/apns"
	"aviso.example/auth"
	"aviso.example/internal/memnet"
	"aviso.example/legacy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// identities are a server's and a client's certificate. They are valid from
// before 2000, where the clock of a synctest bubble begins.
type identities struct {
	server     tls.Certificate
	serverPEM  []byte
	client     *auth.Certificate
	clientPEM  []byte
	clientRoot *x509.CertPool
}

const bundleID = "com.example.old"

var ids = sync.OnceValue(func() *identities {
	var i identities
	i.server, i.serverPEM, _ = makeCertificate("gateway.test", pkix.Name{CommonName: "gateway.test"})
	// Apple puts the bundle identifier into UID.
	subject := pkix.Name{
		CommonName: "Apple Push Services: " + bundleID,
		ExtraNames: []pkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 1}, Value: bundleID}},
	}
	cert, public, private := makeCertificate("client.test", subject)
	i.clientPEM = append(public, private...)
	i.client = must(auth.ParseCertificate(i.clientPEM, ""))
	i.clientRoot = x509.NewCertPool()
	i.clientRoot.AddCert(cert.Leaf)
	return &i
})

func makeCertificate(host string, subject pkix.Name) (tls.Certificate, []byte, []byte) {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: subject, DNSNames: []string{host}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC),
		BasicConstraintsValid: true, IsCA: true,
	}
	der := must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))
	public := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	private := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(key))})
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: must(x509.ParseCertificate(der))}, public, private
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// peer is a gateway made of nothing but the protocol description: it reads
// bytes, and a script writes bytes.
type peer struct {
	listener net.Listener
	dial     func(context.Context, string, string) (net.Conn, error)
	tls      *tls.Config
	script   func(*peerConn)
	handlers sync.WaitGroup

	mu    sync.Mutex
	conns []*peerConn
}

// peerConn is one connection to the peer.
type peerConn struct {
	*tls.Conn
	number int // from 1
	raw    net.Conn
	seen   []note // what was read so far; the script's
}

// note is what the peer read of one notification.
type note struct {
	id, expiration uint32
	priority       byte
	device         string
	payload        string
	items          string // the item ids, in their order
}

// newPeer runs a script for each connection that completes TLS, inside the
// process. When the script returns, the connection is closed.
func newPeer(t testing.TB, script func(*peerConn)) *peer {
	l := memnet.Listen("gateway.test:2195")
	p := &peer{listener: l, dial: l.DialContext, script: script}
	p.start()
	t.Cleanup(p.stop)
	return p
}

// newSocketPeer is newPeer on loopback.
func newSocketPeer(t testing.TB, script func(*peerConn)) *peer {
	p := &peer{listener: must(net.Listen("tcp", "127.0.0.1:0")), script: script}
	p.start()
	t.Cleanup(p.stop)
	return p
}

func (p *peer) start() {
	p.tls = &tls.Config{
		Certificates: []tls.Certificate{ids().server}, ClientCAs: ids().clientRoot, ClientAuth: tls.RequireAndVerifyClientCert,
	}
	p.handlers.Go(func() {
		for number := 1; ; number++ {
			raw, err := p.listener.Accept()
			if err != nil {
				return
			}
			p.handlers.Go(func() { p.serve(number, raw) })
		}
	})
}

func (p *peer) serve(number int, raw net.Conn) {
	defer raw.Close()
	c := &peerConn{Conn: tls.Server(raw, p.tls), number: number, raw: raw}
	if c.Handshake() != nil {
		return
	}
	p.mu.Lock()
	p.conns = append(p.conns, c)
	p.mu.Unlock()
	p.script(c)
}

func (p *peer) stop() {
	p.listener.Close()
	p.mu.Lock()
	for _, c := range p.conns {
		c.raw.Close()
	}
	p.mu.Unlock()
	p.handlers.Wait()
}

func (p *peer) connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.conns)
}

// next reads one notification, as the protocol description lays it out.
func (c *peerConn) next() (n note, err error) {
	var head [5]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return n, err
	}
	if head[0] != 2 {
		return n, fmt.Errorf("command %d", head[0])
	}
	body := make([]byte, binary.BigEndian.Uint32(head[1:]))
	if _, err := io.ReadFull(c, body); err != nil {
		return n, err
	}
	for len(body) > 0 {
		id, size := body[0], binary.BigEndian.Uint16(body[1:])
		data := body[3 : 3+size]
		body = body[3+size:]
		n.items += fmt.Sprint(id)
		switch id {
		case 1:
			n.device = hex.EncodeToString(data)
		case 2:
			n.payload = string(data)
		case 3:
			n.id = binary.BigEndian.Uint32(data)
		case 4:
			n.expiration = binary.BigEndian.Uint32(data)
		case 5:
			n.priority = data[0]
			if size != 1 {
				return n, fmt.Errorf("a priority of %d bytes", size)
			}
		}
	}
	c.seen = append(c.seen, n)
	return n, nil
}

// read reads so many notifications; it returns false if the connection ends.
func (c *peerConn) read(count int) bool {
	for range count {
		if _, err := c.next(); err != nil {
			return false
		}
	}
	return true
}

// readAll reads until the client has gone.
func (c *peerConn) readAll() {
	for c.read(1) {
	}
}

// refuse writes an error packet and closes, as APNs did.
func (c *peerConn) refuse(status byte, id uint32) {
	c.Write([]byte{8, status, byte(id >> 24), byte(id >> 16), byte(id >> 8), byte(id)})
	c.Close()
}

// reset ends the connection as a crash would.
func (c *peerConn) reset() {
	if m, ok := c.raw.(*memnet.Conn); ok {
		m.Reset()
	}
}

// newClient makes a client for the peer; change may adjust its Config.
func newClient(t testing.TB, p *peer, change func(*legacy.Config)) *legacy.Client {
	t.Helper()
	cfg := legacy.Config{
		Certificate: ids().client, ExtraRoots: ids().serverPEM,
		Endpoint: "gateway.test:2195", DialContext: p.dial,
	}
	if p.dial == nil {
		cfg.Endpoint = p.listener.Addr().String()
	}
	if change != nil {
		change(&cfg)
	}
	client, err := legacy.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		client.Close(ctx)
	})
	return client
}

// numbered returns the notification that payloadNumber knows again.
func numbered(i int) *apns.Notification {
	return &apns.Notification{DeviceToken: fmt.Sprintf("%064x", i), Payload: fmt.Appendf(nil, `{"n":%d}`, i), Tag: i}
}

func number(payload string) (i int) {
	fmt.Sscanf(payload, `{"n":%d}`, &i)
	return i
}

func numbers(notes []note) (list []int) {
	for _, n := range notes {
		list = append(list, number(n.payload))
	}
	return list
}

// pushAll sends notifications numbered from first, and returns what became of
// each.
func pushAll(ctx context.Context, client *legacy.Client, first, count int) map[int]apns.Result {
	results := map[int]apns.Result{}
	for r := range client.PushAll(ctx, sequence(first, count)) {
		i := r.Notification.Tag.(int)
		if _, twice := results[i]; twice {
			panic(fmt.Sprintf("%d has two outcomes", i))
		}
		results[i] = r
	}
	return results
}

func sequence(first, count int) func(func(*apns.Notification) bool) {
	return func(yield func(*apns.Notification) bool) {
		for i := first; i < first+count; i++ {
			if !yield(numbered(i)) {
				return
			}
		}
	}
}

// virtually runs a test where time is exact and costs nothing.
func virtually(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	ids() // made outside: keys take real time
	synctest.Test(t, test)
}

// wantStatus checks for a rejection with a status.
func wantStatus(t testing.TB, err error, want legacy.Status) *apns.RejectedError {
	t.Helper()
	r, ok := errors.AsType[*apns.RejectedError](err)
	if !ok || !errors.Is(err, want) {
		t.Fatalf("the outcome is %v: %v, want %v", apns.OutcomeOf(err), err, want)
	}
	return r
}
