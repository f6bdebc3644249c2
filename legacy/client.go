package legacy

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"aviso.example/apns"
)

// Client sends notifications over the binary protocol, on one connection at a
// time. It is safe for concurrent use; make one and keep it, since Apple asked
// to keep connections for hours.
type Client struct {
	cfg     Config
	where   endpoint
	rules   rules
	dialler *dialler
	slots   chan struct{} // Config.MaxInFlight
	born    time.Time
	jobs    sync.Pool // of *job

	submitted atomic.Pointer[job]        // stack of jobs for the loop
	current   atomic.Pointer[connection] // for whoever has no time for farewells
	wake      chan struct{}              // submitted may not be empty
	stop      chan struct{}              // closed when the loop is to end
	gone      chan struct{}              // closed when it has

	open      atomic.Int64 // notifications without an outcome
	closing   atomic.Bool
	abandoned atomic.Bool // some of those that wait were given up

	dials, dialFailures, resends, late atomic.Uint64

	firstIdentifier atomic.Uint32 // for tests: where to begin, if not at 1

	stopOnce sync.Once

	mu      sync.Mutex
	closers []chan struct{} // each told when open may have become zero
}

// closedStack stands in Client.submitted when the loop has gone.
var closedStack = new(job)

// New makes a client. It checks the whole Config and reports every problem at
// once; it opens no connection before the first notification.
func New(cfg Config) (*Client, error) {
	cfg, where, err := cfg.check()
	if err != nil {
		return nil, err
	}
	c := &Client{
		cfg: cfg, where: where, born: time.Now(),
		rules:   rules{cfg.MaxPayload, &cfg.Certificate.Info},
		dialler: newDialler(cfg.Certificate, where, cfg.DialContext),
		slots:   make(chan struct{}, cfg.MaxInFlight),
		wake:    make(chan struct{}, 1),
		stop:    make(chan struct{}), gone: make(chan struct{}),
	}
	c.jobs.New = func() any { return newJob(nil) }
	go newLoop(c).run()
	return c, nil
}

// Push sends one notification and waits for its outcome. The error is nil if
// APNs accepted it, otherwise an *apns.RejectedError, *apns.NotSentError or
// *apns.UnknownError.
//
// Accepted means that the server was silent for Config.SettleTime, or named a
// later notification in an error packet; so Push takes SettleTime at least,
// unless others are rejected meanwhile. Callers that send many use many
// goroutines, or PushAll.
//
// Push gives up when ctx is done: a notification that was not written by then
// is NotSent, one that was is Unknown. A context that leaves less than
// SettleTime cannot learn more than that. Without a deadline in ctx,
// Config.Timeout bounds the wait until the notification is written.
//
// The binary protocol has no CollapseID and no apns-id: the first is refused,
// the second comes back in the Receipt and is not sent.
func (c *Client) Push(ctx context.Context, n *apns.Notification) (apns.Receipt, error) {
	j := c.jobs.Get().(*job)
	now := c.now()
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = now.Add(c.cfg.Timeout)
	}
	c.open.Add(1)
	err := error(nil)
	if problems := j.prepare(ctx, c, n, now, deadline); len(problems) > 0 {
		err = &apns.NotSentError{Cause: &apns.InvalidError{Problems: problems}}
	} else if ctx.Err() != nil {
		err = &apns.NotSentError{Cause: because(ctx)}
	} else {
		err = c.acquire(ctx, deadline)
	}
	if err == nil {
		j.slot = true
		if !c.submit(j) {
			<-c.slots
			err = &apns.NotSentError{Cause: apns.ErrClosed}
		}
	}
	if err != nil {
		c.tell(j, err)
	} else {
		select {
		case <-j.done:
		case <-ctx.Done():
			if err, ok := j.giveUp(because(ctx)); ok {
				c.tell(j, err)
				c.abandon()
				return j.receipt(), j.err // the loop has the job still
			}
			<-j.done
		}
	}
	receipt, err := j.receipt(), j.err
	j.n, j.ctx = nil, nil
	c.jobs.Put(j)
	return receipt, err
}

// now is the time by the monotonic clock alone, which is exact for durations
// and deadlines.
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
		return &apns.NotSentError{Cause: because(ctx)}
	case <-timer.C:
		return &apns.NotSentError{Cause: apns.ErrNoTime}
	case <-c.stop:
		return &apns.NotSentError{Cause: apns.ErrClosed}
	}
}

// submit hands a job to the loop. It returns false if the client is closed.
func (c *Client) submit(j *job) bool {
	if c.closing.Load() {
		return false
	}
	for {
		top := c.submitted.Load()
		if top == closedStack {
			return false
		}
		j.next = top
		if c.submitted.CompareAndSwap(top, j) {
			if top == nil {
				c.poke() // otherwise whoever came first did it
			}
			return true
		}
	}
}

// abandon makes the loop let go what was given up.
func (c *Client) abandon() {
	c.abandoned.Store(true)
	c.poke()
}

// poke makes the loop look around.
func (c *Client) poke() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// tell notes an outcome and tells the hook. Who calls it has moved the job to
// jobOver, or never handed it in.
func (c *Client) tell(j *job, err error) {
	switch e := err.(type) {
	case *apns.RejectedError:
		e.Receipt = j.receipt()
	case *apns.NotSentError:
		e.Receipt = j.receipt()
	case *apns.UnknownError:
		e.Receipt = j.receipt()
	}
	j.err = err
	if c.cfg.Hooks.OnOutcome != nil {
		c.cfg.Hooks.OnOutcome(j.n, apns.OutcomeEvent{Outcome: apns.OutcomeOf(err), Receipt: j.receipt(), Err: err, Took: c.now().Sub(j.begun)})
	}
	if c.open.Add(-1) == 0 && c.closing.Load() {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, told := range c.closers {
			select {
			case told <- struct{}{}:
			default:
			}
		}
	}
}

// Close stops taking notifications and waits until those under way have their
// outcome, which takes Config.SettleTime after the last was written, or until
// ctx is done. What is still waiting then becomes NotSent, what was written and
// has not settled Unknown, and Close returns the context's error. The connection
// stays open and is listened to while it waits: a packet that comes in that time
// counts, and what it says has to be sent again is.
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
	c.stopOnce.Do(func() { close(c.stop) })
	if err != nil {
		// The loop may be in a Write, and there is no time to wait for it.
		if conn := c.current.Load(); conn != nil {
			conn.raw.Close()
		}
	}
	<-c.gone
	return err
}

// Stats is a snapshot of a client.
type Stats struct {
	// Open notifications have no outcome yet: they wait, or were written and
	// have not settled.
	Open int
	// Connected says that there is a connection now.
	Connected bool
	// Dials and DialFailures count attempts to connect.
	Dials, DialFailures uint64
	// Resends counts notifications that were written again.
	Resends uint64
	// Late counts notifications that were called accepted and were not, since
	// an error packet took longer than Config.SettleTime.
	Late uint64
}

// Stats returns a snapshot. It is cheap enough to be asked every second.
func (c *Client) Stats() Stats {
	return Stats{
		Open: int(c.open.Load()), Connected: c.current.Load() != nil,
		Dials: c.dials.Load(), DialFailures: c.dialFailures.Load(),
		Resends: c.resends.Load(), Late: c.late.Load(),
	}
}

// Endpoint returns host and port that the client connects to.
func (c *Client) Endpoint() string { return c.where.address() }

// because returns why a context is done. A cause that is itself the outcome of
// a notification (the first error of an errgroup, say) is kept as text only, or
// one device's outcome would pass for another's.
func because(ctx context.Context) error {
	cause := context.Cause(ctx)
	_, rejected := errors.AsType[*apns.RejectedError](cause)
	_, notSent := errors.AsType[*apns.NotSentError](cause)
	_, unknown := errors.AsType[*apns.UnknownError](cause)
	if rejected || notSent || unknown {
		return fmt.Errorf("%w, because of another notification: %v", ctx.Err(), cause)
	}
	return cause
}
