package pool

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"aviso.example/internal/h2"
)

// Config is the setting of a pool. Dial, Setup and Done are required.
type Config struct {
	// Dial makes a connection ready for HTTP/2.
	Dial func(context.Context) (net.Conn, error)
	// Setup returns the settings of the connection about to be used; the pool
	// fills in Source and Handler.
	Setup func() (h2.Config, error)
	// Done takes the calls that have ended. The slice is only valid during the
	// call. It runs on several goroutines and must not block.
	Done func([]*h2.Call)
	// Permanent says of a failed attempt, or of the end of a connection, that
	// trying again will not help: a certificate that is not accepted, say. The
	// calls that wait then fail at once.
	Permanent func(error) bool
	// Event, if set, hears of connections coming and going. It runs on one
	// goroutine and must not block.
	Event func(Event)

	// MaxConns and the times: zero means the default of the same name. As many
	// again as MaxConns may be ending.
	MaxConns                                                    int
	DialTimeout, ConnectWait, IdleTimeout, MaxAge, DrainTimeout time.Duration
	// MaxDialPause bounds the pause after attempts to connect that failed.
	MaxDialPause time.Duration
}

// EventKind names what happened to a connection.
type EventKind string

// The kinds of events.
const (
	Dialled    EventKind = "dialled"     // the network connection stands
	DialFailed EventKind = "dial failed" // Err says why
	Draining   EventKind = "draining"    // takes no more calls; Err says why
	Closed     EventKind = "closed"      // Err says why
)

// Event is something that happened to a connection.
type Event struct {
	Kind EventKind
	// Conn numbers the attempts of a pool from 1.
	Conn int
	// Remote is the peer's address, if there is one.
	Remote string
	Err    error
	// Took is the time of the attempt, or the life of the connection.
	Took time.Duration
	// Status is the connection's last state.
	Status h2.Status
}

// ErrClosed fails calls that a closed pool will not send.
var ErrClosed = errors.New("the pool is closed")

// WaitError fails calls for which no connection could be had.
type WaitError struct {
	// Last is why the last attempt failed.
	Last error
	// Permanent says that waiting longer would not have helped.
	Permanent bool
}

// Error quotes the last attempt.
func (e *WaitError) Error() string { return fmt.Sprintf("no connection: %v", e.Last) }

// Unwrap returns Last.
func (e *WaitError) Unwrap() error { return e.Last }

// Pool is a set of connections to one endpoint under one identity. All methods
// are safe for concurrent use.
type Pool struct {
	cfg    Config
	queue  queue
	signal chan struct{}
	closed atomic.Bool
	// watching says that the manager looks again soon by itself.
	watching atomic.Bool
	ctx      context.Context
	cancel   context.CancelCauseFunc
	done     chan struct{} // the manager has ended

	dialled chan attempt
	abandon chan struct{} // closed when Close waits no longer for a dial
	once    sync.Once

	mu      sync.Mutex // guards what follows; members and stats only the manager changes
	members []*member
	blame   map[*h2.Conn]error
	stats   Stats
	wanted  []chan error // by Connect
}

// Stats are counters and gauges of a pool.
type Stats struct {
	// Dials, DialFailures and Closed count attempts and connections.
	Dials, DialFailures, Closed uint64
	// Queued and Delayed are the calls waiting for a stream and for their time.
	Queued, Delayed int
	// Conns are the connections open now.
	Conns []h2.Status
}

// New starts a pool. It opens no connection before the first call.
func New(cfg Config) *Pool {
	cfg.MaxConns = cmp.Or(cfg.MaxConns, DefaultMaxConns)
	cfg.DialTimeout = cmp.Or(cfg.DialTimeout, DefaultDialTimeout)
	cfg.ConnectWait = cmp.Or(cfg.ConnectWait, DefaultConnectWait)
	cfg.MaxDialPause = cmp.Or(cfg.MaxDialPause, DefaultMaxDialPause)
	cfg.IdleTimeout = cmp.Or(cfg.IdleTimeout, DefaultIdleTimeout)
	cfg.MaxAge = cmp.Or(cfg.MaxAge, DefaultMaxAge)
	cfg.DrainTimeout = cmp.Or(cfg.DrainTimeout, DefaultDrainTimeout)
	p := &Pool{
		cfg: cfg, signal: make(chan struct{}, 1),
		done: make(chan struct{}), dialled: make(chan attempt), abandon: make(chan struct{}),
		blame: map[*h2.Conn]error{},
	}
	p.ctx, p.cancel = context.WithCancelCause(context.Background())
	m := &manager{p: p, budget: budget{dialBurst, time.Now()}}
	go m.run()
	return p
}

// Submit queues a call; it comes back through Config.Done. It never blocks.
func (p *Pool) Submit(call *h2.Call) {
	if p.closed.Load() {
		p.fail([]*h2.Call{call}, ErrClosed)
		return
	}
	p.queue.push(call)
	p.stir()
	if p.closed.Load() { // closed between the check and the push: nobody may look again
		p.fail(p.queue.clear(true), ErrClosed)
	}
}

// Again queues a call once more, ahead of all others, or after a delay. It must
// be a call that Config.Done has just received. It returns false, and leaves the
// call and its answer as they are, if the call was cancelled or the pool is
// closed: then it has ended.
func (p *Pool) Again(call *h2.Call, delay time.Duration) bool {
	var due time.Time
	if delay > 0 {
		due = time.Now().Add(delay)
	}
	if p.closed.Load() || !p.queue.again(call, due) {
		return false
	}
	if delay > 0 {
		p.poke()
	} else {
		p.stir()
	}
	if p.closed.Load() {
		p.fail(p.queue.clear(true), ErrClosed)
	}
	return true
}

// Connect waits until a connection takes calls, and has one made if there is none. It
// returns what a call that was submitted in its place would have failed with.
func (p *Pool) Connect(ctx context.Context) error {
	answer := make(chan error, 1)
	p.mu.Lock()
	p.wanted = append(p.wanted, answer)
	p.mu.Unlock()
	p.poke()
	select {
	case err := <-answer:
		return err
	case <-p.ctx.Done():
		return ErrClosed
	case <-ctx.Done():
	}
	p.mu.Lock()
	p.wanted = slices.DeleteFunc(p.wanted, func(c chan error) bool { return c == answer })
	p.mu.Unlock()
	return context.Cause(ctx)
}

// wants is how many wait in Connect.
func (p *Pool) wants() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.wanted)
}

// answer tells those who wait in Connect.
func (p *Pool) answer(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.wanted {
		c <- err
	}
	p.wanted = nil
}

// Starving reports whether a connection has run out of work.
func (p *Pool) Starving() bool { return p.queue.hungryN.Load() > 0 }

// stir makes sure that somebody attends to the queue.
func (p *Pool) stir() {
	if p.queue.hungryN.Load() > 0 {
		p.queue.offer()
	}
	// The connection that was woken may be about to end, or stuck in a Write, so
	// somebody has to look after the call all the same.
	if p.watching.CompareAndSwap(false, true) {
		p.poke()
	}
}

// poke makes the manager look now.
func (p *Pool) poke() {
	select {
	case p.signal <- struct{}{}:
	default:
	}
}

// Cancel ends a call wherever it is: one that waits ends as not processed, one
// that is on a connection is reset there. Config.Done gets it either way,
// before or after Cancel returns.
func (p *Pool) Cancel(call *h2.Call, cause error) {
	held, conn := p.queue.cancel(call, cause)
	switch {
	case held:
		p.fail([]*h2.Call{call}, cause)
	case conn != nil:
		conn.Cancel(call, cause)
	}
}

// fail ends calls that no connection has.
func (p *Pool) fail(calls []*h2.Call, cause error) {
	if len(calls) == 0 {
		return
	}
	for _, call := range calls {
		call.Err = &h2.Failure{NotProcessed: true, Cause: cause}
	}
	p.cfg.Done(calls)
}

// handler is the pool as the connections see it.
type handler struct{ *Pool }

func (h handler) Done(_ *h2.Conn, calls []*h2.Call) { h.cfg.Done(calls) }
func (h handler) Changed(*h2.Conn)                  { h.poke() }

// Stats returns a snapshot.
func (p *Pool) Stats() Stats {
	l := p.queue.load()
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.stats
	s.Queued, s.Delayed = l.queued, l.delayed
	for _, m := range p.members {
		s.Conns = append(s.Conns, m.conn.Status())
	}
	return s
}

// Close fails the calls that wait, lets open streams end until ctx is done,
// then cuts the rest off, and returns when every goroutine has ended.
func (p *Pool) Close(ctx context.Context) error {
	if p.closed.CompareAndSwap(false, true) {
		p.fail(p.queue.clear(true), ErrClosed)
	}
	p.cancel(ErrClosed)
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
	}
	p.once.Do(func() { close(p.abandon) })
	for _, m := range p.snapshot() {
		m.conn.Abort(ErrClosed)
	}
	<-p.done
	return context.Cause(ctx)
}

// Retire stops using a connection, for a reason that only the owner of the
// calls can see in their answers. What is open there may end. With a blame, the
// reason counts as a failed attempt, so that a refusal that comes as an answer
// slows dialling down as one that comes in the handshake does.
func (p *Pool) Retire(c *h2.Conn, blame error) {
	if blame != nil {
		p.mu.Lock()
		if slices.ContainsFunc(p.members, func(m *member) bool { return m.conn == c }) {
			p.blame[c] = blame // until the manager removes the connection
		}
		p.mu.Unlock()
	}
	c.Drain()
}

// RetireWhere retires, without blame, every connection for which match is true.
func (p *Pool) RetireWhere(match func(*h2.Conn) bool) {
	for _, m := range p.snapshot() {
		if match(m.conn) {
			m.conn.Drain()
		}
	}
}

func (p *Pool) blamed(c *h2.Conn) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.blame[c]
}

func (p *Pool) snapshot() []*member {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]*member(nil), p.members...)
}
