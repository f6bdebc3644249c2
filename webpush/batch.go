package webpush

import (
	"context"
	"iter"
	"sync"
)

// Push is one message for one subscription.
type Push struct {
	Subscription *Subscription
	Message      *Message
	// Tag is the caller's, such as the row of a database.
	Tag any
}

// Result is the outcome of one push.
type Result struct {
	Push    Push
	Outcome Outcome
	Receipt Receipt
	// Err is what Send would have returned.
	Err error
}

// SendAll sends every push of an iterator and yields the outcomes as they come,
// each with its position in the input, from 0. It holds at most
// Config.BatchWindow pushes, so memory stays flat however many there are; the
// input is read as fast as outcomes are consumed.
//
// Pushes for the same subscription are sent one after the other, in the order of
// the input, since a topic would otherwise be replaced by an older message.
// Others overtake each other: a push service that is slow has at most
// Config.MaxInFlightPerOrigin requests under way, and the others go on as long as
// the window has room. A batch for a slow one alone goes at its pace: as long as
// it takes messages, waiting for a turn there does not count towards Config.Timeout,
// which holds if ctx has no deadline.
//
// Each push handed in gets exactly one outcome. When ctx is done, no more input
// is read, and what is under way ends as NotSent or Unknown. Leaving the loop
// early has the same effect, except that the remaining outcomes are not seen; the
// loop ends when they are settled. The input runs on a goroutine of its own,
// which SendAll waits for: an input that can block for long should observe ctx
// too.
//
// The result can be ranged over once.
func (c *Client) SendAll(ctx context.Context, pushes iter.Seq[Push]) iter.Seq2[int, Result] {
	return func(yield func(int, Result) bool) {
		caller := ctx
		ctx, cancel := context.WithCancelCause(caller)
		defer cancel(nil)
		b := &batch{
			client: c, caller: caller, results: make(chan numbered), window: make(chan struct{}, c.cfg.BatchWindow),
			last: map[string]chan struct{}{},
		}
		go b.feed(ctx, pushes)
		// Also when the caller's loop is left, or panics: what was handed in is
		// settled before SendAll returns.
		defer func() {
			cancel(ErrStopped)
			for range b.results {
			}
			if b.panicked != nil {
				panic(b.panicked)
			}
		}()
		for r := range b.results {
			if r.held {
				<-b.window
			}
			if !yield(r.number, r.result) {
				return
			}
		}
	}
}

type numbered struct {
	number int
	held   bool // it has an entry in window
	result Result
}

// batch is one SendAll.
type batch struct {
	client  *Client
	caller  context.Context
	results chan numbered // closed when all are settled
	window  chan struct{} // has one entry for each push that is held
	running sync.WaitGroup

	mu   sync.Mutex
	last map[string]chan struct{} // by endpoint: closed when its last push is settled

	panicked any // what the input panicked with; final when results is closed
}

// feed runs the input and one goroutine for each push that is held.
func (b *batch) feed(ctx context.Context, pushes iter.Seq[Push]) {
	defer close(b.results)
	defer b.running.Wait()
	defer func() { b.panicked = recover() }() // for the caller's goroutine
	number := 0
	for p := range pushes {
		held := true
		select {
		case b.window <- struct{}{}:
		case <-ctx.Done():
			held = false // it was handed in and gets its outcome, beyond the window
		}
		before, settled := b.line(p.Subscription)
		n := number
		number++
		b.running.Go(func() {
			result := b.send(ctx, p, before)
			b.leave(p.Subscription, settled)
			b.results <- numbered{n, held, result}
		})
		if ctx.Err() != nil {
			return
		}
	}
}

// send waits for the push before it to the same subscription, if any.
func (b *batch) send(ctx context.Context, p Push, before <-chan struct{}) Result {
	if before != nil {
		select {
		case <-before:
		case <-ctx.Done():
		}
	}
	var receipt Receipt
	var err error
	if ctx.Err() != nil {
		if p.Subscription.get() != nil {
			receipt.Host = p.Subscription.Host()
		}
		err = &NotSentError{receipt, because(ctx)}
	} else {
		receipt, err = b.client.send(ctx, p.Subscription, p.Message, b.caller)
	}
	return Result{p, OutcomeOf(err), receipt, err}
}

// line puts a push behind the last one for its subscription. It returns what is
// closed when that one is settled, or nil, and what to close when this one is.
func (b *batch) line(s *Subscription) (before, settled chan struct{}) {
	if s.get() == nil {
		return nil, nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	before, settled = b.last[s.get().endpoint], make(chan struct{})
	b.last[s.get().endpoint] = settled
	return before, settled
}

func (b *batch) leave(s *Subscription, settled chan struct{}) {
	if settled == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	close(settled)
	if b.last[s.get().endpoint] == settled {
		delete(b.last, s.get().endpoint)
	}
}
