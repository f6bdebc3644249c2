package apns

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"aviso.example/auth"
	"aviso.example/internal/h2"
	"aviso.example/internal/pool"
	"aviso.example/internal/proto"
)

// Client sends notifications to one APNs environment under one identity. It is
// safe for concurrent use; make one and keep it, since connections are meant to
// live for hours to days.
type Client struct {
	cfg   Config
	where endpoint
	pool  *pool.Pool
	heads heads
	slots chan struct{} // Config.MaxInFlight
	born  time.Time
	jobs  sync.Pool // of *job

	open    atomic.Int64 // notifications without an outcome
	closing atomic.Bool

	mu      sync.Mutex
	closers []chan struct{} // each told when open may have become zero
}

// connection is what the client notes about each connection, as its h2.Owner.
type connection struct {
	pin *auth.Pin
	// used are the provider tokens of this connection, oldest first, so that an
	// answer can be told from the one that its request carried.
	used atomic.Pointer[[]*auth.ProviderToken]
	// troubled counts InternalServerError answers in a row; succeeded is when
	// the last notification was accepted, on the client's clock.
	troubled  atomic.Int32
	succeeded atomic.Int64
}

// note remembers the provider token that is used from now on.
func (c *connection) note(p *auth.ProviderToken) {
	var list []*auth.ProviderToken
	if old := c.used.Load(); old != nil {
		list = append(list, *old...)
	}
	list = append(list, p)
	c.used.Store(&list)
}

// New makes a client. It checks the whole Config and reports every problem at
// once; it opens no connection before the first notification.
func New(cfg Config) (*Client, error) {
	cfg, where, err := cfg.check()
	if err != nil {
		return nil, err
	}
	c := &Client{
		cfg: cfg, where: where, born: time.Now(),
		slots: make(chan struct{}, cfg.MaxInFlight),
	}
	c.heads.certificate = cfg.Certificate
	c.jobs.New = func() any { return newJob(c) }
	c.pool = pool.New(pool.Config{
		Dial:      newDialler(cfg, where).connect,
		Setup:     c.setup,
		Done:      c.done,
		Permanent: permanent,
		Event:     c.connectionEvent,
		MaxConns:  cfg.MaxConnections, ConnectWait: cfg.ConnectWait, MaxDialPause: cfg.MaxDialPause,
		// Longer than any request may take, so that it only cuts off what would
		// never end.
		DrainTimeout: cfg.RequestTimeout + 10*time.Second,
	})
	return c, nil
}

// setup prepares a connection that has just been made: its constant fields and,
// with provider tokens, the rule by which they change.
func (c *Client) setup() (h2.Config, error) {
	conn := &connection{}
	conn.succeeded.Store(int64(time.Since(c.born)))
	// The answer's apns-id is the request's, so it is not kept.
	keep := []string{keptUniqueID: proto.FieldUniqueID, keptRetryAfter: proto.FieldRetryAfter}
	if c.cfg.Host == HostManagement {
		keep = append(keep, proto.FieldChannelID)
	}
	cfg := h2.Config{
		Keep:           keep,
		RequestTimeout: c.cfg.RequestTimeout,
		Owner:          conn,
	}
	authority := h2.Field{Name: ":authority", Value: []byte(c.where.authority())}
	cfg.Common = []h2.Field{authority}
	if c.cfg.ProviderTokens == nil {
		return cfg, nil
	}
	conn.pin = c.cfg.ProviderTokens.Pin()
	use := func(p *auth.ProviderToken) []h2.Field {
		conn.note(p)
		return []h2.Field{authority, {Name: proto.FieldAuthorization, Value: []byte(p.Authorization())}}
	}
	first, _, err := conn.pin.Token()
	if err != nil {
		return cfg, &ConnectError{Stage: "credential", Address: c.where.address(), Err: err}
	}
	cfg.Common = use(first)
	cfg.Refresh = func() []h2.Field {
		next, changed, err := conn.pin.Token()
		if err != nil || !changed {
			return nil // an old one that APNs refuses is dealt with when it does
		}
		return use(next)
	}
	return cfg, nil
}

// Push sends one notification and waits for its outcome. The error is nil if
// APNs accepted it, otherwise a *RejectedError, *NotSentError or *UnknownError;
// see the package comment.
//
// It waits while Config.MaxInFlight notifications are under way, and gives up
// when ctx is done: a notification that was not written by then is NotSent, one
// that was is Unknown. Without a deadline in ctx, Config.Timeout applies.
func (c *Client) Push(ctx context.Context, n *Notification) (Receipt, error) {
	j := c.jobs.Get().(*job)
	now, deadline := c.span(ctx)
	c.open.Add(1)
	c.run(ctx, j, deadline, j.prepare(n, now, deadline))
	receipt, err := j.receipt(), j.err
	j.release()
	c.jobs.Put(j)
	return receipt, err
}

// Connect waits until a connection to APNs takes notifications, and has one made if
// there is none: before the first push, say, or to learn whether an outage is over
// without a notification at stake. The error is what a notification would not have been
// sent for: a *ConnectError, ErrNoTime, ErrClosed, or the context's error. Without a
// deadline in ctx, Config.Timeout applies. It is safe for concurrent use.
func (c *Client) Connect(ctx context.Context) error {
	_, deadline := c.span(ctx)
	within, cancel := context.WithDeadlineCause(ctx, deadline, ErrNoTime)
	defer cancel()
	err := c.pool.Connect(within)
	if err != nil && within.Err() != nil {
		return because(within)
	}
	return translate(err)
}

// span returns the present time and when a call has to be over.
func (c *Client) span(ctx context.Context) (now, deadline time.Time) {
	now = c.now()
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = now.Add(c.cfg.Timeout)
	}
	return now, deadline
}

// run takes a job from its preparation, which err is about, to its outcome.
func (c *Client) run(ctx context.Context, j *job, deadline time.Time, err error) {
	if err == nil && ctx.Err() != nil {
		err = &NotSentError{Cause: because(ctx)}
	}
	if err == nil {
		if err = c.acquire(ctx, deadline); err == nil {
			defer func() { <-c.slots }()
		}
	}
	if err != nil {
		c.finish(j, err)
		<-j.done
	} else {
		j.call.Context = ctx
		c.submit(j)
		select {
		case <-j.done:
		case <-ctx.Done():
			c.pool.Cancel(&j.call, because(ctx))
			<-j.done
		}
	}
}

// now is the time by the monotonic clock alone, which takes half as long to read
// as time.Now. It is exact for durations and deadlines; as a date, in ids, it
// ignores corrections of the system's clock since the client was made.
func (c *Client) now() time.Time { return c.born.Add(time.Since(c.born)) }

// acquire waits for one of Config.MaxInFlight slots.
func (c *Client) acquire(ctx context.Context, deadline time.Time) error {
	select {
	case c.slots <- struct{}{}:
		return nil
	default:
	}
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	select {
	case c.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return &NotSentError{Cause: because(ctx)}
	case <-timer.C:
		return &NotSentError{Cause: ErrNoTime}
	}
}

// submit hands a job to the pool, or ends it if the client is closing.
func (c *Client) submit(j *job) {
	if c.closing.Load() {
		c.finish(j, &NotSentError{Cause: ErrClosed})
		return
	}
	c.pool.Submit(&j.call)
}

// Close stops taking notifications, waits until those under way have their
// outcome or ctx is done, and closes all connections. What is still waiting
// when ctx is done becomes NotSent, what was written and not answered Unknown;
// Close then returns the context's error. A PushAll that is still running gets
// NotSent for the rest of its input.
func (c *Client) Close(ctx context.Context) error {
	told := make(chan struct{}, 1)
	c.mu.Lock()
	c.closers = append(c.closers, told)
	c.mu.Unlock()
	c.closing.Store(true)
	var err error
	for c.open.Load() > 0 && err == nil {
		select {
		case <-told:
		case <-ctx.Done():
			err = because(ctx)
		}
	}
	// When nothing is under way, connections need no more than a moment to say
	// goodbye; when ctx is done, there is no time for that.
	grace, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), farewell, ErrClosed)
	if err != nil {
		cancel()
	}
	defer cancel()
	if perr := c.pool.Close(grace); perr != nil && !errors.Is(perr, ErrClosed) && !errors.Is(perr, context.Canceled) {
		err = errors.Join(err, perr)
	}
	return err
}

// quiet tells those who wait in Close that nothing is under way.
func (c *Client) quiet() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, told := range c.closers {
		select {
		case told <- struct{}{}:
		default:
		}
	}
}

// farewell bounds the GOAWAY at the end.
const farewell = time.Second

// Stats is a snapshot of a client.
type Stats struct {
	// Waiting notifications have no stream yet, Delayed ones wait for their
	// next attempt, Open ones have no outcome yet, whatever the cause.
	Waiting, Delayed, Open int
	// Connections are open now; Streams is how many requests they have under
	// way, StreamLimit how many APNs allows them.
	Connections, Streams, StreamLimit int
	// Dials and DialFailures count attempts to connect.
	Dials, DialFailures uint64
}

// Stats returns a snapshot. It is cheap enough to be asked every second.
func (c *Client) Stats() Stats {
	p := c.pool.Stats()
	s := Stats{
		Waiting: p.Queued, Delayed: p.Delayed, Open: int(c.open.Load()),
		Connections: len(p.Conns), Dials: p.Dials, DialFailures: p.DialFailures,
	}
	for _, conn := range p.Conns {
		s.Streams += conn.Open
		s.StreamLimit += conn.Limit
	}
	return s
}

// Endpoint returns host and port that the client connects to.
func (c *Client) Endpoint() string { return c.where.address() }
