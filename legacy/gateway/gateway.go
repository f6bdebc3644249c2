package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"aviso.example/apns"
	"aviso.example/auth"
)

// ErrClosed is what Serve returns after Shutdown.
var ErrClosed = errors.New("gateway: it was shut down")

// handshakeTimeout bounds the handshake; until its end nobody is known.
const handshakeTimeout = 10 * time.Second

// Gateway serves old programs. It is safe for concurrent use.
type Gateway struct {
	cfg      Config
	tls      *tls.Config
	feedback *deadList
	counts   counts

	// ctx ends everything; late is done when the time to shut down has run out,
	// just before.
	ctx, late       context.Context
	cancel, tooLate context.CancelFunc

	routes      atomic.Pointer[map[fingerprint]*route]
	certificate atomic.Pointer[tls.Certificate]

	mu        sync.Mutex
	byName    map[string]*route
	listeners map[net.Listener]struct{}
	sessions  map[*session]struct{}
	closing   context.Context // done when Shutdown begins
	close     context.CancelFunc
	serving   sync.WaitGroup // listeners and connections
	ending    sync.WaitGroup // routes of removed providers
}

// New makes a gateway. It checks the whole Config and reports every problem at
// once; it connects to nobody before there is something to send.
func New(cfg Config) (*Gateway, error) {
	cfg, err := cfg.check()
	providers, clients, wrong := cfg.checkProviders(cfg.Providers)
	if err := errors.Join(err, wrong); err != nil {
		closeAll(clients)
		return nil, err
	}
	g := &Gateway{
		cfg:    cfg,
		byName: map[string]*route{}, listeners: map[net.Listener]struct{}{}, sessions: map[*session]struct{}{},
	}
	if g.feedback, err = openDeadList(cfg.FeedbackFile, cfg.Logger, cfg.Now); err != nil {
		closeAll(clients)
		return nil, err
	}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	g.late, g.tooLate = context.WithCancel(context.Background())
	g.closing, g.close = context.WithCancel(context.Background())
	g.certificate.Store(&cfg.Certificate.TLS)
	g.tls = &tls.Config{
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return g.certificate.Load(), nil },
		MinVersion:     cfg.MinTLSVersion,
		// Whom a certificate is of is decided by comparing it, in VerifyConnection.
		ClientAuth:       tls.RequireAnyClientCert,
		VerifyConnection: g.verify,
		// Tickets of TLS 1.3 come after the handshake. A program that writes and never
		// reads would leave them unread, so that its close would be a reset, which
		// throws away what is on its way.
		SessionTicketsDisabled: true,
	}
	if cfg.MinTLSVersion < tls.VersionTLS12 {
		for _, suite := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
			g.tls.CipherSuites = append(g.tls.CipherSuites, suite.ID)
		}
	}
	if err := g.take(providers, clients); err != nil {
		return nil, err
	}
	return g, nil
}

func (g *Gateway) now() time.Time { return g.cfg.Now() }

// SetProviders replaces the providers. It checks all of them first and changes
// nothing if one is wrong. Connections of those that are gone, or whose
// certificate is, are ended as in a shutdown; the others go on, and what they
// send from now on goes the new way. It does not wait for either. After Shutdown
// it returns ErrClosed.
func (g *Gateway) SetProviders(list []Provider) error {
	providers, clients, err := g.cfg.checkProviders(list)
	if err != nil {
		return err
	}
	return g.take(providers, clients)
}

// SetCertificate replaces the gateway's own certificate, for connections that
// begin from now on: one from an authority runs out while the gateway runs. The
// others go on.
func (g *Gateway) SetCertificate(c *auth.Certificate) error {
	if c == nil {
		return errNoCertificate
	}
	g.certificate.Store(&c.TLS)
	return nil
}

// take puts checked providers to work.
func (g *Gateway) take(providers []*Provider, clients []*apns.Client) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closing.Err() != nil {
		closeAll(clients)
		return ErrClosed
	}
	byName, routes := map[string]*route{}, map[fingerprint]*route{}
	for i, p := range providers {
		r := g.byName[p.Name]
		if r == nil {
			r = newRoute(g, p)
		}
		r.use(p, clients[i])
		byName[p.Name] = r
		for _, c := range p.Certificates {
			routes[fingerprintOf(c)] = r
		}
	}
	g.routes.Store(&routes)
	for name, r := range g.byName {
		if byName[name] == nil {
			g.ending.Go(r.close)
		}
	}
	g.byName = byName
	for s := range g.sessions {
		if routes[s.fingerprint] != s.route {
			s.interrupt(errRemoved)
		}
	}
	return nil
}

// verify refuses certificates that nobody gave us, while the handshake can still
// say so.
func (g *Gateway) verify(state tls.ConnectionState) error {
	if (*g.routes.Load())[fingerprintOf(state.PeerCertificates[0])] == nil {
		return errStranger
	}
	return nil
}

var errNoCertificate = errors.New("gateway: Config.Certificate is missing: the gateway needs a certificate of its own, for the host name that programs connect to")

var errStranger = errors.New("the client certificate belongs to no provider of the configuration")

// Serve takes connections of old programs until Shutdown, and returns ErrClosed
// then. Port 2195 was Apple's.
func (g *Gateway) Serve(l net.Listener) error { return g.serve(l, g.cfg.MaxConnections, g.relay) }

// ServeFeedback serves the feedback service, which lists dead device tokens to
// whoever connects, until Shutdown. Port 2196 was Apple's.
func (g *Gateway) ServeFeedback(l net.Listener) error { return g.serve(l, feedbackConnections, g.tell) }

// feedbackConnections bounds the connections to the feedback port, each of which
// lasts a moment.
const feedbackConnections = 64

func (g *Gateway) serve(l net.Listener, most int, handle func(*tls.Conn, net.Conn, *route)) error {
	room := semaphore.NewWeighted(int64(most))
	g.mu.Lock()
	if g.closing.Err() != nil {
		g.mu.Unlock()
		l.Close()
		return ErrClosed
	}
	g.listeners[l] = struct{}{}
	g.serving.Add(1)
	g.mu.Unlock()
	defer g.serving.Done()
	for pause := time.Duration(0); ; {
		if room.Acquire(g.closing, 1) != nil {
			return ErrClosed
		}
		raw, err := l.Accept()
		if err == nil {
			pause = 0
			g.serving.Go(func() {
				defer room.Release(1)
				g.greet(raw, handle)
			})
			continue
		}
		room.Release(1)
		if g.closing.Err() != nil {
			return ErrClosed
		}
		if errors.Is(err, net.ErrClosed) {
			return err
		}
		// Too many open files, say, which passes.
		pause = min(max(2*pause, 5*time.Millisecond), time.Second)
		g.cfg.Logger.Warn("a connection could not be accepted", "again_in", pause, "error", err)
		select {
		case <-g.closing.Done():
		case <-time.After(pause):
		}
	}
}

// greet does the handshake and finds out for whom the other side sends.
func (g *Gateway) greet(raw net.Conn, handle func(*tls.Conn, net.Conn, *route)) {
	conn := tls.Server(raw, g.tls)
	ctx, cancel := context.WithTimeout(g.closing, handshakeTimeout)
	err := conn.HandshakeContext(ctx)
	cancel()
	if err != nil {
		g.counts.refused.Add(1)
		g.cfg.Logger.Warn("a connection was refused", "remote", raw.RemoteAddr().String(), "because", handshakeHint(err))
		raw.Close()
		return
	}
	r := (*g.routes.Load())[fingerprintOf(conn.ConnectionState().PeerCertificates[0])]
	if r == nil { // removed a moment ago
		conn.Close()
		return
	}
	handle(conn, raw, r)
}

// handshakeHint guesses why a handshake failed.
func handshakeHint(err error) error {
	switch text := err.Error(); {
	case strings.Contains(text, "unsupported versions"):
		return fmt.Errorf("%w; the program knows older versions of TLS only, see MinTLSVersion", err)
	case strings.Contains(text, "no cipher suite"):
		return fmt.Errorf("%w; the program knows older cipher suites only, see MinTLSVersion", err)
	case strings.Contains(text, "didn't provide a certificate"):
		return fmt.Errorf("%w; the binary protocol knows the sender by its client certificate alone", err)
	case strings.Contains(text, "bad certificate"), strings.Contains(text, "unknown certificate"):
		return fmt.Errorf("%w; the program does not trust the gateway's certificate", err)
	case strings.Contains(text, "first record does not look like"):
		return fmt.Errorf("%w; it does not speak TLS", err)
	}
	return err
}

// relay is the life of one connection to the gateway port.
func (g *Gateway) relay(conn *tls.Conn, raw net.Conn, r *route) {
	s := &session{
		g: g, conn: conn, raw: raw, route: r,
		fingerprint: fingerprintOf(conn.ConnectionState().PeerCertificates[0]),
		log:         r.log.With("remote", raw.RemoteAddr().String()),
		window:      window{ring: make([]*slot, g.cfg.Window), wake: make(chan struct{}, 1)},
	}
	s.ctx, s.cancel = context.WithCancel(g.ctx)
	defer s.cancel()
	g.mu.Lock()
	most := g.mostSessions()
	crowded := r.sessions >= most
	if !crowded {
		r.sessions++
		g.sessions[s] = struct{}{}
	}
	removed := (*g.routes.Load())[s.fingerprint] != r
	closing := g.closing.Err() != nil
	g.mu.Unlock()
	if crowded {
		g.counts.refused.Add(1)
		s.log.Warn("a connection was refused: the provider has its share of them", "connections", most, "limit", g.cfg.MaxConnections)
		conn.Close()
		return
	}
	defer func() {
		g.mu.Lock()
		r.sessions--
		delete(g.sessions, s)
		g.mu.Unlock()
	}()
	switch {
	case closing:
		s.interrupt(errDraining)
	case removed:
		s.interrupt(errRemoved)
	}
	g.counts.connections.Add(1)
	s.log.Info("connected", "topic", r.settings.Load().Topic, "tls", tls.VersionName(conn.ConnectionState().Version))
	s.run()
}

// mostSessions is how many connections a provider may have: three quarters of all
// if there are others, so that its programs cannot shut those out. Callers hold mu.
func (g *Gateway) mostSessions() int {
	if len(g.byName) < 2 {
		return g.cfg.MaxConnections
	}
	return max(1, g.cfg.MaxConnections-max(1, g.cfg.MaxConnections/4))
}

// Shutdown ends the gateway: nothing more is accepted or read, what was read is
// judged, and each program that has sent something is told of the shutdown and
// what was sent last, so that it sends the rest elsewhere. When ctx is done,
// connections end with what is known, and what is still under way ends with
// them; the error says how much that was. APNs may have accepted some of it.
func (g *Gateway) Shutdown(ctx context.Context) error {
	g.mu.Lock()
	g.close()
	for l := range g.listeners {
		l.Close()
	}
	for s := range g.sessions {
		s.interrupt(errDraining)
	}
	g.mu.Unlock()
	ended, quiet := make(chan struct{}), make(chan struct{})
	go func() {
		g.serving.Wait()
		close(ended)
		// What connections that broke have left behind is judged too.
		g.mu.Lock()
		for _, r := range g.byName {
			g.ending.Go(r.close)
		}
		g.byName = map[string]*route{}
		g.mu.Unlock()
		g.ending.Wait()
		close(quiet)
	}()
	select {
	case <-quiet:
	case <-ctx.Done():
		g.tooLate()
		<-ended
		g.cancel()
		<-quiet
	}
	g.tooLate()
	g.cancel()
	var err error
	if n := g.counts.abandoned.Load(); n > 0 {
		err = fmt.Errorf("gateway: %d notifications were under way when the time had run out; their programs send them again", n)
	} else if g.counts.restless.Load() {
		err = errors.New("gateway: when the time had run out, notifications were under way whose connections had ended before")
	}
	return errors.Join(err, g.feedback.close())
}
