package webpush

import (
	"container/list"
	"context"
	"crypto/tls"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

// origin is one push service: its connections, and how many requests may be
// under way there. Each has a transport of its own, so that the trouble of one
// touches no other and its connections can be closed alone.
type origin struct {
	name      string
	transport *http.Transport
	room      *semaphore.Weighted
	// door lets one request at a time through until its header is written. Behind
	// it net/http chooses or makes a connection, so a burst makes one connection
	// and not four; and it waits for a stream there, which more than one must not
	// do: they would count each other as streams, and with a limit below their
	// number all would wait for ever (net/http.http2ClientConn, Go 1.26).
	door chan struct{}

	// In origins.mu:
	users int
	idle  *list.Element // its place in origins.idle, or nil while it is used

	mu        sync.Mutex
	restUntil time.Time // what Retry-After said with a 503
	downSince time.Time // no connection could be had since; zero if one could
	lastDown  time.Time
	downCause error
	taking    time.Time          // when it last answered something that is no reason to wait
	conns     map[*conn]struct{} // open ones
	closed    bool
}

// origins are those in use and, of the others, the ones used last. Those in use
// need no bound: they are bounded by the messages that wait.
type origins struct {
	max   int
	limit int64
	conns int
	tls   *tls.Config
	guard *guard
	dial  dialFunc

	mu     sync.Mutex
	byName map[string]*origin
	idle   *list.List // of *origin; the one used last is in front
}

// enter returns the origin of a subscription and keeps it until leave.
func (os *origins) enter(s *subscription) *origin {
	os.mu.Lock()
	defer os.mu.Unlock()
	o := os.byName[s.origin]
	if o == nil {
		o = &origin{
			name: s.origin, room: semaphore.NewWeighted(os.limit), door: make(chan struct{}, 1), conns: map[*conn]struct{}{},
		}
		o.transport = os.newTransport(s.url.Hostname(), o)
		os.byName[s.origin] = o
	}
	if o.idle != nil {
		os.idle.Remove(o.idle)
		o.idle = nil
	}
	o.users++
	return o
}

// leave closes what has not been used for longest, if there are too many.
func (os *origins) leave(o *origin) {
	os.mu.Lock()
	o.users--
	if o.users == 0 {
		o.idle = os.idle.PushFront(o)
	}
	var closing []*origin
	for len(os.byName) > os.max && os.idle.Len() > 0 {
		oldest := os.idle.Remove(os.idle.Back()).(*origin)
		delete(os.byName, oldest.name)
		closing = append(closing, oldest)
	}
	os.mu.Unlock()
	for _, o := range closing {
		o.close()
	}
}

// close closes all connections, none of which is in use any more.
func (os *origins) close() {
	os.mu.Lock()
	defer os.mu.Unlock()
	for _, o := range os.byName {
		o.close()
	}
	clear(os.byName)
	os.idle.Init()
}

func (os *origins) newTransport(host string, o *origin) *http.Transport {
	dial := os.dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: dialTimeout, Control: os.guard.control(host)}).DialContext
	}
	dial = o.keep(dial)
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	return &http.Transport{
		// No Proxy: with one, names are resolved where the guard sees nothing.
		DialContext:         dial,
		TLSClientConfig:     os.tls.Clone(),
		TLSHandshakeTimeout: tlsTimeout,
		Protocols:           protocols,
		MaxConnsPerHost:     os.conns,
		MaxIdleConnsPerHost: os.conns,
		IdleConnTimeout:     idleTimeout,
		// Answers are a few bytes; one that unpacks to gigabytes is no answer.
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxAnswerHeader,
		HTTP2: &http.HTTP2Config{
			SendPingTimeout: pingAfter,
			PingTimeout:     pingTimeout,
			// What exceeds the peer's limit waits for a stream. Otherwise it would
			// open another connection, beyond MaxConnsPerHost.
			StrictMaxConcurrentRequests: true,
		},
	}
}

// dialFunc is what net.Dialer's DialContext is.
type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// conn is a connection that its origin knows of, as long as it is open.
type conn struct {
	net.Conn
	origin *origin
}

func (c *conn) Close() error {
	c.origin.mu.Lock()
	delete(c.origin.conns, c)
	c.origin.mu.Unlock()
	return c.Conn.Close()
}

// keep has the origin know of its connections.
func (o *origin) keep(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.closed { // net/http goes on dialling when nobody waits any more
			c.Close()
			return nil, net.ErrClosed
		}
		kept := &conn{c, o}
		o.conns[kept] = struct{}{}
		return kept, nil
	}
}

// close ends all connections of an origin that nobody uses. net/http closes those
// that it takes for idle, and it may be a moment behind.
func (o *origin) close() {
	o.transport.CloseIdleConnections()
	o.mu.Lock()
	o.closed = true
	left := slices.Collect(maps.Keys(o.conns))
	o.mu.Unlock()
	for _, c := range left {
		c.Close()
	}
}

// enter waits at the door; what it returns opens the door for the next one, once.
func (o *origin) enter(ctx context.Context) (through func(), err error) {
	select {
	case o.door <- struct{}{}:
		return sync.OnceFunc(func() { <-o.door }), nil
	case <-ctx.Done():
		return nil, because(ctx)
	}
}

// connected notes that the origin can be reached.
func (o *origin) connected() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.downSince, o.downCause = time.Time{}, nil
}

// failed notes that no connection could be had, and reports whether that has
// been so for too long.
func (o *origin) failed(now time.Time, cause error) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.downSince.IsZero() || now.Sub(o.lastDown) > 2*connectWait {
		o.downSince = now // nobody has tried for long, or it was reached in between
	}
	o.lastDown, o.downCause = now, cause
	return now.Sub(o.downSince) >= connectWait
}

// down returns why there is no point in trying now: no connection could be had
// for a while, and the last attempt is not long ago.
func (o *origin) down(now time.Time) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.downSince.IsZero() || now.Sub(o.downSince) < connectWait || now.Sub(o.lastDown) >= backoffMin {
		return nil
	}
	return o.downCause
}

// takes notes that the origin answered, and not that it has too much to do.
func (o *origin) takes(now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.taking = now
}

// took returns when it last did.
func (o *origin) took() time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.taking
}

// rest notes when the origin wants to hear from anybody again.
func (o *origin) rest(until time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if until.After(o.restUntil) {
		o.restUntil = until
	}
}

// resting returns how long the origin wants to be left alone.
func (o *origin) resting(now time.Time) time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	return max(0, o.restUntil.Sub(now))
}
