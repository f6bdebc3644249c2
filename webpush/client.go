package webpush

import (
	"container/list"
	"context"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"aviso.example/internal/endwith"
)

// Client sends messages. It keeps few connections, closes those nobody uses, and
// is safe for concurrent use. Make one for a VAPID key and keep it.
type Client struct {
	cfg     Config
	signer  *signer
	guard   *guard
	origins *origins
	room    *semaphore.Weighted // for requests under way, in all

	base context.Context // done when what is under way has to stop
	stop context.CancelCauseFunc

	mu      sync.Mutex
	closed  bool
	running sync.WaitGroup // calls of Send
}

// New makes a client; nothing is connected yet. An error is an [*InvalidError]
// with everything that is wrong.
func New(config Config) (*Client, error) {
	cfg, secure, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	c := &Client{
		cfg:    cfg,
		signer: newSigner(cfg.Key, cfg.Subject),
		guard:  &guard{hosts: cfg.Hosts, ports: cfg.Ports, loopback: cfg.AllowLoopback},
		room:   semaphore.NewWeighted(int64(cfg.MaxInFlight)),
	}
	c.origins = &origins{
		max: cfg.MaxOrigins, limit: int64(cfg.MaxInFlightPerOrigin), conns: cfg.MaxConnections,
		tls: secure, guard: c.guard, dial: cfg.dial,
		byName: map[string]*origin{}, idle: list.New(),
	}
	c.base, c.stop = context.WithCancelCause(context.Background())
	return c, nil
}

// CheckEndpoint returns a [*ForbiddenError] if the client would not connect to
// where a subscription leads, as far as its URL tells; a page's server can refuse
// to store such a one. The address that DNS gives is looked at when sending. No
// subscription at all is an [*InvalidError].
func (c *Client) CheckEndpoint(s *Subscription) error {
	if s.get() == nil {
		return errNoSubscription
	}
	return c.guard.checkEndpoint(s.get())
}

var errNoSubscription = &InvalidError{"subscription", []Problem{{"", "is missing"}}}

// Send encrypts a message for a subscription, sends it, and waits for the
// outcome: nil if the push service accepted it, else a [*RejectedError],
// [*NotSentError] or [*UnknownError].
//
// Until the context's deadline, or Config.Timeout if it has none, it sends again
// what was certainly not processed and what the push service asks to send later.
// If the pause it asks for is longer than that, the outcome is Rejected at once,
// with RetryAfter set.
func (c *Client) Send(ctx context.Context, s *Subscription, m *Message) (Receipt, error) {
	return c.send(ctx, s, m, nil)
}

// send is Send, or one message of a batch: then caller is what SendAll was given,
// and waiting for a turn does not count as time.
func (c *Client) send(ctx context.Context, s *Subscription, m *Message, caller context.Context) (Receipt, error) {
	batch := caller != nil
	if !batch {
		caller = ctx
	}
	d := &delivery{client: c, above: endwith.Any(ctx, caller, c.base), message: m}
	if err := d.check(s); err != nil {
		return d.receipt, &NotSentError{d.receipt, err}
	}
	if !c.enter() {
		return d.receipt, &NotSentError{d.receipt, ErrClosed}
	}
	defer c.running.Done()

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(c.base, func() { cancel(context.Cause(c.base)) })()
	if _, ok := ctx.Deadline(); !ok && batch {
		d.until = time.Now().Add(c.cfg.Timeout)
	} else if !ok {
		var done context.CancelFunc
		ctx, done = context.WithTimeoutCause(ctx, c.cfg.Timeout, ErrNoTime)
		defer done()
	}
	err := d.run(ctx)
	return d.receipt, err
}

// check looks at what can be known before sending.
func (d *delivery) check(s *Subscription) error {
	if s.get() == nil {
		return errNoSubscription
	}
	d.subscription = s.get()
	d.receipt.Host = s.Host()
	invalid, forbidden := d.message.Validate(), d.client.guard.checkEndpoint(s.get())
	switch {
	case forbidden == nil:
		return invalid
	case invalid == nil:
		return forbidden
	}
	return both(invalid, forbidden)
}

// enter reports whether the client still takes messages; running counts the
// caller then.
func (c *Client) enter() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.running.Add(1)
	return true
}

// Close takes no more messages, waits for those under way, and closes all
// connections. When ctx is done first, what is under way ends as NotSent or
// Unknown, and Close returns the context's cause.
func (c *Client) Close(ctx context.Context) error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.running.Wait()
	}()
	var err error
	select {
	case <-ended:
	case <-ctx.Done():
		err = context.Cause(ctx)
		c.stop(ErrClosed)
		<-ended
	}
	c.stop(ErrClosed)
	c.origins.close()
	return err
}
