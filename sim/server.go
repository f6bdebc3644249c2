package sim

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"aviso.example/internal/proto"
)

// ErrServerClosed is what Serve returns after Close or Shutdown.
var ErrServerClosed = errors.New("sim: server closed")

// Server is one simulated APNs host. Its methods may be called from several
// goroutines.
type Server struct {
	cfg            Config // but for Guesses, which can be replaced
	chosen         atomic.Pointer[Guesses]
	cert           tls.Certificate
	caPEM          []byte
	keys           map[string]*Key
	devices        *Devices
	rec            *recorder // nil when lean
	faults         *faultSet
	providerTokens *providerTokenCache
	teams          teamUses

	clockOffset atomic.Int64 // nanoseconds added to cfg.Now

	// Lock order: mu before a connection's mu. A connection never takes mu while
	// it holds its own.
	mu        sync.Mutex
	listeners map[net.Listener]struct{}
	conns     map[*conn]struct{}
	endpoint  string // of the first listener
	accepted  uint64 // connections so far, also the number of the latest
	past      counters
	draining  bool
	closed    bool
	wg        sync.WaitGroup
	binary    binaryPorts
}

// New checks the configuration and makes a server with a certificate of its own.
// It starts nothing: see Start and Serve.
func New(cfg Config) (*Server, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Server{
		cfg:       cfg,
		keys:      make(map[string]*Key, len(cfg.Keys)),
		devices:   cfg.Devices,
		faults:    &faultSet{},
		listeners: map[net.Listener]struct{}{},
		conns:     map[*conn]struct{}{},
	}
	s.binary.conns = map[*binaryConn]struct{}{}
	s.binary.feedback.limit = cfg.Binary.FeedbackLimit
	s.setGuesses(cfg.Guesses)
	for i := range cfg.Keys {
		s.keys[cfg.Keys[i].KeyID] = &cfg.Keys[i]
	}
	relate(s.keys)
	s.providerTokens = newProviderTokenCache()
	if !cfg.Lean {
		s.rec = newRecorder(cfg.RecorderLimit)
	}
	if cfg.Certificate != nil {
		s.cert = *cfg.Certificate
		s.caPEM, err = chainEnd(s.cert)
	} else {
		s.cert, s.caPEM, err = makeCertificate(cfg.Hosts, time.Now())
	}
	if err != nil {
		return nil, fmt.Errorf("sim: server certificate: %w", err)
	}
	s.binary.tls = s.binaryTLSConfig(false)
	return s, nil
}

// relate makes Key.Related symmetric, since it may be stated on one side only.
func relate(keys map[string]*Key) {
	for id, k := range keys {
		if other := keys[k.Related]; other != nil && other.Related == "" {
			other.Related = id
		}
	}
}

// Start listens on addr (such as "127.0.0.1:0") and serves in the background
// until Close. It returns the address it got.
func (s *Server) Start(addr string) (string, error) { return s.start(addr, ProtocolHTTP2) }

func (s *Server) start(addr string, p Protocol) (string, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return "", fmt.Errorf("sim: %w", err)
	}
	if err := s.track(l, p, func() { s.wg.Go(func() { s.acceptLoop(l, p) }) }); err != nil {
		l.Close()
		return "", err
	}
	return l.Addr().String(), nil
}

// ListenAndServe listens on addr and serves until Close, then returns
// ErrServerClosed.
func (s *Server) ListenAndServe(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("sim: %w", err)
	}
	return s.Serve(l)
}

// Serve accepts connections from l, which must be plain: the server speaks TLS
// itself. It blocks until Close and then returns ErrServerClosed, or until l
// fails. Several listeners may be served at once.
func (s *Server) Serve(l net.Listener) error { return s.serve(l, ProtocolHTTP2) }

func (s *Server) serve(l net.Listener, p Protocol) error {
	if err := s.track(l, p, func() {}); err != nil {
		l.Close()
		return err
	}
	return s.acceptLoop(l, p)
}

// track notes a listener and runs start before Close can begin to wait.
func (s *Server) track(l net.Listener, p Protocol, start func()) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.draining {
		return ErrServerClosed
	}
	s.listeners[l] = struct{}{}
	first := &s.endpoint
	switch p {
	case ProtocolBinary:
		first = &s.binary.gateway
	case ProtocolFeedback:
		first = &s.binary.service
	}
	*first = cmp.Or(*first, l.Addr().String())
	start()
	return nil
}

func (s *Server) acceptLoop(l net.Listener, p Protocol) error {
	defer func() {
		l.Close()
		s.mu.Lock()
		delete(s.listeners, l)
		s.mu.Unlock()
	}()
	for {
		nc, err := l.Accept()
		if err != nil {
			s.mu.Lock()
			ending := s.closed || s.draining
			s.mu.Unlock()
			if ending {
				return ErrServerClosed
			}
			// Running out of file descriptors passes; everything else is the end
			// of this listener.
			if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
				time.Sleep(5 * time.Millisecond)
				continue
			}
			return fmt.Errorf("sim: accept: %w", err)
		}
		if p == ProtocolHTTP2 {
			s.admit(nc)
		} else {
			s.admitBinary(nc, p)
		}
	}
}

// admit starts serving a connection unless there are too many.
func (s *Server) admit(nc net.Conn) {
	s.mu.Lock()
	if s.closed || s.draining || len(s.conns) >= s.cfg.MaxConnections {
		full := len(s.conns) >= s.cfg.MaxConnections
		s.past.ConnectionsRefused++
		s.mu.Unlock()
		if full {
			s.cfg.Logger.Warn("connection refused: too many are open", "limit", s.cfg.MaxConnections)
		}
		resetConn(nc)
		return
	}
	s.accepted++
	c := newConn(s, nc, s.accepted)
	s.conns[c] = struct{}{}
	s.wg.Go(func() {
		c.serve()
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.conns, c)
		c.mu.Lock()
		defer c.mu.Unlock()
		s.past.add(&c.count)
	})
	s.mu.Unlock()
}

// open returns the connections that exist now, oldest first.
func (s *Server) open() []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*conn, 0, len(s.conns))
	for c := range s.conns {
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b *conn) int { return int(a.id) - int(b.id) })
	return list
}

// Close ends all listeners and connections at once and waits for every goroutine
// of the server. Closing twice is harmless.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	for l := range s.listeners {
		l.Close()
	}
	s.mu.Unlock()
	for _, c := range s.open() {
		c.abort(false)
	}
	for _, c := range s.openBinary() {
		c.abort(false)
	}
	s.wg.Wait()
	return nil
}

// Shutdown says GOAWAY with reason Shutdown on every connection, lets running
// streams finish and waits for that. On connections of the binary protocol it
// says status 10 with the last notification that was taken, and waits until the
// clients have gone. When ctx ends first, it closes what is left
// and returns the context's cause.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.draining = true
	for l := range s.listeners {
		l.Close()
	}
	s.mu.Unlock()
	for _, c := range s.open() {
		c.mu.Lock()
		begun := c.gotSettings
		if begun && !c.swallow {
			c.goAway(goAwayParams{debug: reasonJSON(proto.ReasonShutdown, 0), last: c.maxID})
		}
		c.mu.Unlock()
		if !begun {
			c.abort(false) // still shaking hands: nothing is lost
		}
	}
	for _, c := range s.openBinary() {
		c.leave()
	}
	done := make(chan struct{})
	go func() { // ends with the connections, which the Close below guarantees
		defer close(done)
		s.wg.Wait()
	}()
	select {
	case <-done:
		return s.Close()
	case <-ctx.Done():
		s.Close()
		<-done
		return context.Cause(ctx)
	}
}

// now is the clock of all rules about time.
func (s *Server) now() time.Time {
	return s.cfg.Now().Add(time.Duration(s.clockOffset.Load()))
}

// SetClockOffset moves the clock that judges provider tokens, expirations and
// timestamps: +2 h makes fresh provider tokens look two hours old. Delays and
// timeouts are not affected.
func (s *Server) SetClockOffset(d time.Duration) { s.clockOffset.Store(int64(d)) }

// ClockOffset returns what SetClockOffset set.
func (s *Server) ClockOffset() time.Duration { return time.Duration(s.clockOffset.Load()) }

// Now returns the server's idea of the time.
func (s *Server) Now() time.Time { return s.now() }

// Devices returns the register of simulated devices.
func (s *Server) Devices() *Devices { return s.devices }

// PutDevice adds a device to this server's register or replaces one. An empty
// Environment means the server's.
func (s *Server) PutDevice(d Device) error {
	d.Environment = cmp.Or(d.Environment, s.cfg.Environment)
	return s.devices.Put(d, s.now())
}

// SetDeviceState changes the state of a registered device. since matters for
// Unregistered and Expired; zero means now.
func (s *Server) SetDeviceState(deviceToken string, state DeviceState, since time.Time) error {
	return s.devices.SetState(deviceToken, state, since, s.now())
}

// CAPEM returns the certificate that clients must trust, in PEM.
func (s *Server) CAPEM() []byte { return slices.Clone(s.caPEM) }

// CertPool returns a pool that trusts this server.
func (s *Server) CertPool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(s.caPEM)
	return pool
}

// Endpoint returns the address of the first listener, or "" before there is one.
func (s *Server) Endpoint() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.endpoint
}
