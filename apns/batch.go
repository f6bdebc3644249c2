package apns

import (
	"context"
	"iter"
	"sync/atomic"
	"time"

	"aviso.example/internal/endwith"
)

// Result is the outcome of one notification of PushAll.
type Result struct {
	// Notification is the pointer that the input yielded.
	Notification *Notification
	Outcome      Outcome
	Receipt      Receipt
	// Err is what Push would have returned.
	Err error
}

// PushAll sends every notification of an iterator and yields their outcomes as
// they come, in any order, each with its notification. It holds at most
// Config.BatchWindow notifications, so memory stays flat however many there
// are; the input is read as fast as outcomes are consumed.
//
// Each notification handed in gets exactly one outcome. When ctx is done, no
// more input is read, and what is under way ends as NotSent or Unknown. Leaving
// the loop early has the same effect, except that the remaining outcomes are
// not seen; the loop ends when they are settled. The input runs on a goroutine
// of its own, which PushAll waits for: an input that can block for long should
// observe ctx too.
//
// The result can be ranged over once.
func (c *Client) PushAll(ctx context.Context, notifications iter.Seq[*Notification]) iter.Seq[Result] {
	return func(yield func(Result) bool) {
		b := &batch{client: c, ready: make(chan struct{}, 1), room: make(chan struct{}, 1), fed: make(chan struct{})}
		caller := ctx
		ctx, cancel := context.WithCancelCause(caller)
		defer cancel(nil)
		go b.feed(endwith.Any(ctx, caller), notifications)
		b.drain(ctx, cancel, yield)
	}
}

// batch is one PushAll. Two goroutines work on it: feed takes free jobs and
// hands them to the pool, drain takes ended jobs and frees them. Between them
// stand two stacks that need no lock.
type batch struct {
	client *Client
	ended  atomic.Pointer[job] // stack of jobs with an outcome
	free   atomic.Pointer[job] // stack of jobs to be used again
	ready  chan struct{}       // ended may not be empty
	room   chan struct{}       // free may not be empty
	fed    chan struct{}       // the input has ended; jobs and handed are final

	window  int // how many jobs there may be; feed's
	timer   *time.Timer
	jobs    []*job // all that were ever made; written by feed only
	shared  atomic.Pointer[[]*job]
	handed  int                   // notifications taken from the input
	current atomic.Pointer[job]   // being submitted at this moment
	stopped atomic.Pointer[error] // why everything is to be cancelled

	panicked any  // what the input panicked with; final when fed is closed
	chain    *job // ended jobs whose outcomes have not been taken yet
	settled  int  // outcomes taken
}

// States of a job in a batch, for whoever cancels.
const (
	jobFree = iota
	jobSubmitted
)

// feed runs the input.
func (b *batch) feed(ctx context.Context, notifications iter.Seq[*Notification]) {
	defer close(b.fed)
	defer func() { b.panicked = recover() }() // for drain, on the caller's goroutine
	b.window, b.timer = firstWindow, time.NewTimer(time.Hour)
	defer b.timer.Stop()
	c := b.client
	var free *job
	done := ctx.Done()
	for n := range notifications {
		if free == nil {
			free = b.freeJobs(done)
		}
		j := free
		if j == nil {
			// The context is done. What was handed in gets its outcome all the
			// same, with a job beyond the window.
			j = newJob(c)
			j.batch = b
		} else {
			free, j.next = j.next, nil
		}
		b.handed++
		c.open.Add(1)
		now := c.now()
		err := j.prepare(n, now, now.Add(c.cfg.Timeout))
		over := ctx.Err() != nil
		switch {
		case err != nil:
			c.finish(j, err)
		case over:
			c.finish(j, &NotSentError{Cause: because(ctx)})
		default:
			b.current.Store(j)
			j.state.Store(jobSubmitted)
			j.call.Context = ctx
			c.submit(j)
			b.current.Store(nil)
			// Whoever stops the batch first says so and then cancels what has
			// been submitted; what is just being submitted is cancelled here.
			if cause := b.stopped.Load(); cause != nil {
				c.pool.Cancel(&j.call, *cause)
				over = true
			}
		}
		if over {
			return
		}
	}
}

// firstWindow is how many notifications a batch holds as long as no connection
// runs out of work: a little more than one connection's usual streams.
const firstWindow = 1100

// starvation is how long a connection may be without work before the window
// grows for it.
const starvation = 2 * time.Millisecond

// freeJobs returns a chain of jobs to use: those that ended, or a new one while
// the window has room, or it waits. It returns nil when done is closed.
func (b *batch) freeJobs(done <-chan struct{}) *job {
	for {
		if j := b.free.Swap(nil); j != nil {
			return j
		}
		// A window larger than what is on the way only fills caches, so it grows
		// when a connection has run out of work.
		most := b.client.cfg.BatchWindow
		if b.window < most && b.client.pool.Starving() {
			b.window = min(most, b.window+b.window/4)
		}
		if len(b.jobs) < min(b.window, most) {
			j := newJob(b.client)
			j.batch = b
			b.jobs = append(b.jobs, j)
			seen := b.jobs[:len(b.jobs):len(b.jobs)]
			b.shared.Store(&seen)
			return j
		}
		b.timer.Reset(starvation)
		select {
		case <-b.room:
		case <-done:
			return nil
		case <-b.timer.C: // look again whether connections have run out of work
		}
	}
}

// drain yields outcomes until every notification handed in has one. If the
// loop's body or the input panics, it settles the rest before the panic goes on.
func (b *batch) drain(ctx context.Context, cancel context.CancelCauseFunc, yield func(Result) bool) {
	finished, wanted := false, true
	defer func() {
		if !finished {
			cancel(ErrStopped)
			b.settle(ctx, func(Result) {})
		}
		if b.panicked != nil {
			panic(b.panicked)
		}
	}()
	b.settle(ctx, func(r Result) {
		if wanted {
			if wanted = yield(r); !wanted {
				cancel(ErrStopped)
			}
		}
	})
	finished = true
}

// settle takes outcomes as they come until all are there. take may panic; the
// next settle goes on after the outcome it was given.
func (b *batch) settle(ctx context.Context, take func(Result)) {
	fed, done := b.fed, ctx.Done()
	for {
		if b.chain == nil {
			b.chain = b.ended.Swap(nil)
		}
		var freed, last *job
		for b.chain != nil {
			j := b.chain
			b.chain = j.next
			b.settled++
			r := Result{j.n, OutcomeOf(j.err), j.receipt(), j.err}
			j.state.Store(jobFree)
			j.release()
			if j.next = freed; freed == nil {
				last = j
			}
			freed = j
			take(r)
		}
		if freed != nil {
			b.recycle(freed, last)
		}
		if fed == nil && b.settled == b.handed {
			return
		}
		select {
		case <-b.ready:
		case <-fed:
			fed = nil
		case <-done:
			done = nil
			b.stop(because(ctx))
		}
	}
}

func (b *batch) recycle(first, last *job) {
	for {
		top := b.free.Load()
		last.next = top
		if b.free.CompareAndSwap(top, first) {
			break
		}
	}
	select {
	case b.room <- struct{}{}:
	default:
	}
}

// stop cancels everything under way.
func (b *batch) stop(cause error) {
	b.stopped.Store(&cause)
	if jobs := b.shared.Load(); jobs != nil {
		for _, j := range *jobs {
			if j.state.Load() == jobSubmitted && b.current.Load() != j {
				b.client.pool.Cancel(&j.call, cause)
			}
		}
	}
}

// endedJobs gathers jobs that ended together, so that each waiting goroutine is
// woken once.
type endedJobs struct {
	batch       *batch
	first, last *job
}

func (e *endedJobs) add(j *job) {
	if j.batch == nil {
		j.done <- struct{}{}
		return
	}
	if e.batch != j.batch {
		e.flush()
		e.batch = j.batch
	}
	if j.next = e.first; e.first == nil {
		e.last = j
	}
	e.first = j
}

func (e *endedJobs) flush() {
	if e.first == nil {
		return
	}
	b := e.batch
	for {
		top := b.ended.Load()
		e.last.next = top
		if b.ended.CompareAndSwap(top, e.first) {
			break
		}
	}
	e.batch, e.first, e.last = nil, nil, nil
	select {
	case b.ready <- struct{}{}:
	default:
	}
}
