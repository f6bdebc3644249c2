package sim

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"
)

// binaryPorts is what a Server has for the two ports of the binary protocol. The
// Server's mu guards all but feedback.
type binaryPorts struct {
	conns    map[*binaryConn]struct{}
	past     binaryCounters
	gateway  string // address of the first listener
	service  string // the same of the feedback service
	feedback feedbackLists
	tls      *tls.Config
}

// StartBinary listens on addr (such as "127.0.0.1:0") for the binary protocol of
// port 2195 and serves in the background until Close. It returns the address it
// got. Clients need a certificate; what they send meets the same devices and the
// same recorder as pushes over HTTP/2.
func (s *Server) StartBinary(addr string) (string, error) {
	return s.start(addr, ProtocolBinary)
}

// ServeBinary is Serve for the binary protocol.
func (s *Server) ServeBinary(l net.Listener) error { return s.serve(l, ProtocolBinary) }

// BinaryEndpoint returns the address of the first listener for the binary
// protocol, or "" before there is one.
func (s *Server) BinaryEndpoint() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.binary.gateway
}

// StartFeedback listens on addr for the feedback service of port 2196 and serves
// in the background until Close. It returns the address it got.
func (s *Server) StartFeedback(addr string) (string, error) {
	return s.start(addr, ProtocolFeedback)
}

// ServeFeedback is Serve for the feedback service.
func (s *Server) ServeFeedback(l net.Listener) error { return s.serve(l, ProtocolFeedback) }

// FeedbackEndpoint returns the address of the first listener for the feedback
// service, or "" before there is one.
func (s *Server) FeedbackEndpoint() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.binary.service
}

// binaryConn is one connection to one of the two ports. One goroutine reads,
// judges and writes; others only look at its counts, hand it faults and end it.
type binaryConn struct {
	srv      *Server
	id       uint64
	protocol Protocol
	raw      net.Conn
	nc       *tls.Conn
	log      *slog.Logger
	start    time.Time
	rng      *rand.Rand
	faults   connFaults
	over     chan struct{} // closed when the connection is to end at once

	// Of the goroutine that serves.
	in   binaryInput
	last uint32 // identifier of the last notification that was taken, 0 for none

	mu    sync.Mutex
	cert  *clientCertificate
	topic string
	count binaryCounters
	// orders are faults to play now; leaving says to name the last notification
	// that was taken, with status 10, and to end.
	orders  []Fault
	leaving bool
	ready   bool // the handshake is over
	ending  bool // the last word is being said
	dead    bool
}

func newBinaryConn(s *Server, nc net.Conn, id uint64, p Protocol) *binaryConn {
	c := &binaryConn{
		srv: s, id: id, protocol: p, raw: nc, start: time.Now(),
		log:  s.cfg.Logger.With("connection", id, "protocol", string(p)),
		rng:  rand.New(rand.NewPCG(s.cfg.Seed, id)),
		over: make(chan struct{}),
	}
	c.count.begun(p)
	return c
}

// admitBinary starts serving a connection unless there are too many.
func (s *Server) admitBinary(nc net.Conn, p Protocol) {
	s.mu.Lock()
	if full := len(s.binary.conns) >= s.cfg.Binary.MaxConnections; s.closed || s.draining || full {
		s.binary.past.ConnectionsRefused++
		s.mu.Unlock()
		if full {
			s.cfg.Logger.Warn("connection refused: too many are open", "protocol", string(p), "limit", s.cfg.Binary.MaxConnections)
		}
		resetConn(nc)
		return
	}
	s.accepted++
	c := newBinaryConn(s, nc, s.accepted, p)
	s.binary.conns[c] = struct{}{}
	s.wg.Go(func() {
		err := c.serve()
		c.log.LogAttrs(context.Background(), slog.LevelDebug, "connection ended", slog.Any("cause", err))
		c.abort(false)
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.binary.conns, c)
		c.mu.Lock()
		defer c.mu.Unlock()
		s.binary.past.add(&c.count)
	})
	s.mu.Unlock()
}

// openBinary returns the connections that exist now, oldest first.
func (s *Server) openBinary() []*binaryConn {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*binaryConn, 0, len(s.binary.conns))
	for c := range s.binary.conns {
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b *binaryConn) int { return int(a.id) - int(b.id) })
	return list
}

var errTurnedAway = errors.New("turned away by a fault")

// serve runs the connection to its end and says why it ended.
func (c *binaryConn) serve() error {
	c.faults = c.srv.faults.forConn(c.id, c.protocol, c.rng)
	if err := c.handshake(); err != nil {
		c.mu.Lock()
		c.count.HandshakeFailures++
		c.mu.Unlock()
		return fmt.Errorf("handshake: %w", err)
	}
	if c.protocol == ProtocolFeedback {
		return c.tellFeedback()
	}
	defer c.in.release()
	err := c.readNotifications()
	switch err {
	case io.EOF, errSilentClient, errSlowClient:
		c.halfClose() // or TLS libraries report a truncated connection
	}
	return err
}

// handshake does TLS and learns who is there.
func (c *binaryConn) handshake() error {
	switch {
	case c.faults.refuse:
		c.abort(true)
		return errTurnedAway
	case c.faults.stall:
		c.drain(time.Time{}) // until either side has had enough
		return errTurnedAway
	}
	if err := c.raw.SetDeadline(time.Now().Add(c.srv.cfg.HandshakeTimeout)); err != nil {
		return err
	}
	config := c.srv.binary.tls
	if c.faults.rejectCertificate {
		config = c.srv.binaryTLSConfig(true)
	}
	nc := tls.Server(c.raw, config)
	if err := nc.Handshake(); err != nil {
		return err
	}
	c.nc = nc
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cert = readCertificate(nc.ConnectionState().PeerCertificates[0])
	// The protocol has no field for a topic: it is the one that the certificate
	// was made for.
	c.topic = c.cert.uid
	c.ready = true
	if c.dead || c.leaving {
		return net.ErrClosed
	}
	c.raw.SetDeadline(time.Time{})
	return nil
}

var (
	errCertificateAge         = errors.New("the client certificate is not valid at this time")
	errCertificateEnvironment = errors.New("the client certificate belongs to the other environment")
)

// binaryTLSConfig asks for a certificate and refuses in the handshake what the
// HTTP/2 side answers with a reason: there is no status for a wrong certificate.
func (s *Server) binaryTLSConfig(reject bool) *tls.Config {
	config := s.tlsConfig(reject)
	// A program that never reads leaves the ticket of TLS 1.3 unread, and closing
	// with something unread is a reset, which throws away what it has just written.
	config.SessionTicketsDisabled = true
	config.NextProtos = nil
	config.ClientAuth = tls.RequireAnyClientCert
	trusted := config.VerifyConnection
	config.VerifyConnection = func(state tls.ConnectionState) error {
		if err := trusted(state); err != nil {
			return err
		}
		cert := readCertificate(state.PeerCertificates[0])
		switch now := s.now(); {
		case now.Before(cert.notBefore), now.After(cert.notAfter):
			return errCertificateAge
		case !cert.worksIn(s.cfg.Environment):
			return errCertificateEnvironment
		}
		return nil
	}
	return config
}

// abort ends the connection at once, with a TCP reset if asked.
func (c *binaryConn) abort(reset bool) {
	c.mu.Lock()
	first := !c.dead
	c.dead = true
	c.mu.Unlock()
	if first {
		close(c.over)
	}
	if reset {
		resetConn(c.raw)
		return
	}
	c.raw.Close()
}

// leave asks the connection to say goodbye, as a server does that goes away. A
// feedback connection ends by itself; one that is shaking hands loses nothing.
func (c *binaryConn) leave() {
	c.mu.Lock()
	c.leaving = true
	ready := c.ready
	if !c.ending {
		c.raw.SetReadDeadline(time.Unix(1, 0))
	}
	c.mu.Unlock()
	if !ready {
		c.abort(false)
	}
}

// playNow hands a fault to the connection.
func (c *binaryConn) playNow(f *Fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.protocol != ProtocolBinary || !c.ready || c.ending || len(c.orders) > 0 {
		return
	}
	c.orders = append(c.orders, *f)
	c.raw.SetReadDeadline(time.Unix(1, 0))
}

// pause waits, unless the connection is to end at once.
func (c *binaryConn) pause(d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.over:
	}
}
