package apns

import (
	"context"
	"iter"
	"sync/atomic"
	"time"
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
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		go b.feed(ctx, notifications)
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

	jobs    []*job // all that were ever made; written by feed only
	shared  atomic.Pointer[[]*job]
	handed  int                   // notifications taken from the input
	current atomic.Pointer[job]   // being submitted at this moment
	stopped atomic.Pointer[error] // why everything is to be cancelled
}

// States of a job in a batch, for whoever cancels.
const (
	jobFree = iota
	jobSubmitted
)

// feed runs the input.
func (b *batch) feed(ctx context.Context, notifications iter.Seq[*Notification]) {
	defer close(b.fed)
	c := b.client
	var free *job
	done := ctx.Done()
	for n := range notifications {
		select {
		case <-done:
			return
		default:
		}
		if free == nil {
			if free = b.freeJobs(done); free == nil {
				return
			}
		}
		j := free
		free, j.next = j.next, nil

		b.handed++
		c.open.Add(1)
		now := time.Now()
		deadline := now.Add(c.cfg.Timeout)
		if err := j.prepare(n, now, deadline); err != nil {
			c.finish(j, err)
			continue
		}
		b.current.Store(j)
		j.state.Store(jobSubmitted)
		c.submit(j)
		b.current.Store(nil)
		// Whoever stops the batch first says so and then cancels what has been
		// submitted; what is just being submitted is cancelled here.
		if cause := b.stopped.Load(); cause != nil {
			c.pool.Cancel(&j.call, *cause)
			return
		}
	}
}

// freeJobs returns a chain of jobs to use: those that ended, or a new one while
// the window has room, or it waits.
func (b *batch) freeJobs(done <-chan struct{}) *job {
	for {
		if j := b.free.Swap(nil); j != nil {
			return j
		}
		if len(b.jobs) < b.client.cfg.BatchWindow {
			j := newJob(b.client)
			j.batch = b
			b.jobs = append(b.jobs, j)
			seen := b.jobs[:len(b.jobs):len(b.jobs)]
			b.shared.Store(&seen)
			return j
		}
		select {
		case <-b.room:
		case <-done:
			return nil
		}
	}
}

// drain yields outcomes until every notification handed in has one.
func (b *batch) drain(ctx context.Context, cancel context.CancelCauseFunc, yield func(Result) bool) {
	settled, wanted := 0, true
	fed, done := b.fed, ctx.Done()
	for {
		var freed, last *job
		for j := b.ended.Swap(nil); j != nil; {
			next := j.next
			settled++
			if wanted {
				wanted = yield(Result{j.n, OutcomeOf(j.err), j.receipt(), j.err})
				if !wanted {
					cancel(ErrStopped)
				}
			}
			j.state.Store(jobFree)
			j.release()
			if j.next = freed; freed == nil {
				last = j
			}
			freed, j = j, next
		}
		if freed != nil {
			b.recycle(freed, last)
		}
		if fed == nil && settled == b.handed {
			return
		}
		select {
		case <-b.ready:
		case <-fed:
			fed = nil
		case <-done:
			done = nil
			b.stop(context.Cause(ctx))
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
