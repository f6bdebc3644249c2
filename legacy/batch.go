package legacy

import (
	"context"
	"iter"
	"sync"
	"sync/atomic"

	"aviso.example/apns"
	"aviso.example/internal/endwith"
)

// PushAll sends every notification of an iterator and yields their outcomes as
// they come, each with its notification. They are written in the order of the
// input; outcomes of notifications that were rejected come before those of
// their neighbours, which have to settle. It holds at most Config.BatchWindow
// notifications, so memory stays flat however many there are; the input is read
// as fast as outcomes are consumed.
//
// Each notification handed in gets exactly one outcome. When ctx is done, no
// more input is read, and what is under way ends as NotSent or Unknown. Leaving
// the loop early has the same effect, except that the remaining outcomes are
// not seen. The input runs on a goroutine of its own, which PushAll waits for:
// an input that can block for long should observe ctx too.
//
// The result can be ranged over once.
func (c *Client) PushAll(ctx context.Context, notifications iter.Seq[*apns.Notification]) iter.Seq[apns.Result] {
	return func(yield func(apns.Result) bool) {
		b := &batch{client: c, ready: make(chan struct{}, 1), room: make(chan struct{}, 1), fed: make(chan struct{})}
		caller := ctx
		ctx, cancel := context.WithCancelCause(caller)
		defer cancel(nil)
		go b.feed(endwith.Any(ctx, caller), notifications)
		b.drain(ctx, cancel, yield)
	}
}

// batch is one PushAll. Two goroutines work on it: feed takes free jobs and
// hands them to the loop, drain takes ended jobs and frees them. Between them
// stand two stacks that need no lock.
type batch struct {
	client *Client
	ended  atomic.Pointer[job] // stack of jobs with an outcome, through link
	free   atomic.Pointer[job] // stack of jobs to be used again, through link
	ready  chan struct{}       // ended may not be empty
	room   chan struct{}       // free may not be empty
	fed    chan struct{}       // the input has ended; handed and panicked are final

	handed   int // notifications taken from the input
	panicked any // what the input panicked with

	chain   *job // ended jobs whose outcomes have not been taken; drain's
	settled int  // outcomes taken; drain's

	mu   sync.Mutex
	jobs []*job // all that were made; locked while the window grows

	stopped atomic.Pointer[error] // why everything is given up
}

// feed runs the input.
func (b *batch) feed(ctx context.Context, notifications iter.Seq[*apns.Notification]) {
	defer close(b.fed)
	defer func() { b.panicked = recover() }() // for drain, on the caller's goroutine
	c := b.client
	var free *job
	for n := range notifications {
		if free == nil {
			free = b.freeJobs(ctx.Done())
		}
		j := free
		if j == nil {
			// The context is done. What was handed in gets its outcome all the
			// same, with a job beyond the window.
			j = newJob(b)
		} else {
			free, j.link = j.link, nil
		}
		b.handed++
		c.open.Add(1)
		now := c.now()
		problems := j.prepare(ctx, c, n, now, now.Add(c.cfg.Timeout))
		over := ctx.Err() != nil
		switch {
		case len(problems) > 0:
			b.finish(j, &apns.NotSentError{Cause: &apns.InvalidError{Problems: problems}})
		case over:
			b.giveUp(j, because(ctx))
		case !c.submit(j):
			if j.state.Swap(jobOver) != jobOver { // or stop was first
				b.finish(j, &apns.NotSentError{Cause: apns.ErrClosed})
			}
		default:
			// stop notes its cause first and then gives up what it sees; what
			// it did not see, this does.
			if cause := b.stopped.Load(); cause != nil {
				b.giveUp(j, *cause)
				over = true
			}
		}
		if over {
			return
		}
	}
}

// finish ends a job that the loop does not have, and which can be used again.
func (b *batch) finish(j *job, err error) {
	b.client.tell(j, err)
	b.add(j, j)
}

// freeJobs returns a chain of jobs to use: those that ended, or a new one while
// the window has room, or it waits. It returns nil when done is closed.
func (b *batch) freeJobs(done <-chan struct{}) *job {
	for {
		if j := b.free.Swap(nil); j != nil {
			return j
		}
		if len(b.jobs) < b.client.cfg.BatchWindow {
			j := newJob(b)
			b.mu.Lock()
			b.jobs = append(b.jobs, j)
			b.mu.Unlock()
			return j
		}
		select {
		case <-b.room:
		case <-done:
			return nil
		}
	}
}

// drain yields outcomes until every notification handed in has one. If the
// loop's body or the input panics, it settles the rest before the panic goes on.
func (b *batch) drain(ctx context.Context, cancel context.CancelCauseFunc, yield func(apns.Result) bool) {
	finished, wanted := false, true
	defer func() {
		if !finished {
			cancel(apns.ErrStopped)
			b.settle(ctx, func(apns.Result) {})
		}
		if b.panicked != nil {
			panic(b.panicked)
		}
	}()
	b.settle(ctx, func(r apns.Result) {
		if wanted {
			if wanted = yield(r); !wanted {
				cancel(apns.ErrStopped)
			}
		}
	})
	finished = true
}

// settle takes outcomes as they come until all are there. take may panic; the
// next settle goes on after the outcome it was given.
func (b *batch) settle(ctx context.Context, take func(apns.Result)) {
	fed, done := b.fed, ctx.Done()
	for {
		if b.chain == nil {
			b.chain = inOrder(b.ended.Swap(nil))
		}
		var freed, last *job
		for b.chain != nil {
			j := b.chain
			b.chain = j.link
			b.settled++
			r := apns.Result{Notification: j.n, Outcome: apns.OutcomeOf(j.err), Receipt: j.receipt(), Err: j.err}
			// A job that was given up may still be in one of the loop's lists.
			if !j.given {
				j.n, j.ctx, j.err = nil, nil, nil
				if j.link = freed; freed == nil {
					last = j
				}
				freed = j
			}
			take(r)
		}
		if freed != nil {
			pushChain(&b.free, freed, last)
			notify(b.room)
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

// stop gives up everything under way.
func (b *batch) stop(cause error) {
	b.stopped.Store(&cause)
	b.mu.Lock()
	jobs := b.jobs
	b.mu.Unlock()
	for _, j := range jobs {
		b.giveUp(j, cause)
	}
	b.client.abandon()
}

func (b *batch) giveUp(j *job, cause error) {
	if err, ok := j.giveUp(cause); ok {
		j.given = true
		b.client.tell(j, err)
		b.add(j, j)
	}
}

// add pushes a chain of jobs with their outcomes, the last one first.
func (b *batch) add(first, last *job) {
	pushChain(&b.ended, first, last)
	notify(b.ready)
}

func pushChain(stack *atomic.Pointer[job], first, last *job) {
	for {
		top := stack.Load()
		last.link = top
		if stack.CompareAndSwap(top, first) {
			return
		}
	}
}

func inOrder(top *job) (first *job) {
	for top != nil {
		next := top.link
		top.link, first = first, top
		top = next
	}
	return first
}

func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
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
	if j.link = e.first; e.first == nil {
		e.last = j
	}
	e.first = j
}

func (e *endedJobs) flush() {
	if e.first != nil {
		e.batch.add(e.first, e.last)
	}
	e.batch, e.first, e.last = nil, nil, nil
}
