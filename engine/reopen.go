package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// reopenSpace is how much of the disk has to be free before a log that is
	// stuck is opened again: enough for the verdicts that wait, and well below
	// leastFree, since notifications are not accepted yet.
	reopenSpace = 16 << 20
	// maxReopenPause bounds the pause before the next attempt. A disk that fails
	// for another reason than space fails again.
	maxReopenPause = time.Minute
	// wellAgainAfter is how long a log has to go on for the attempt to have helped.
	wellAgainAfter = 5 * time.Second
)

// reopenings are the attempts to open the log again.
type reopenings struct {
	last  time.Time
	pause time.Duration
}

// due says whether an attempt may be made, and takes note that it is.
func (r *reopenings) due(now time.Time) bool {
	if now.Sub(r.last) < r.pause {
		return false
	}
	r.last, r.pause = now, min(max(2*r.pause, lookAroundEvery), maxReopenPause)
	return true
}

// stuck takes note that the log has come to a standstill. When it was well for a while
// before, the attempts of then have nothing to do with it.
func (r *reopenings) stuck(now time.Time) {
	if now.Sub(r.last) > wellAgainAfter {
		r.pause = 0
	}
}

// Failed is closed when the engine cannot go on and cannot help itself: the log
// has come to a standstill. Failure says why. Close it then, and begin a new
// process; nothing that was accepted is lost.
func (e *Engine) Failed() <-chan struct{} { return e.failed }

// Failure is why the engine failed, or nil.
func (e *Engine) Failure() error {
	select {
	case <-e.failed:
		return e.failure
	default:
		return nil
	}
}

// fail is the janitor's.
func (e *Engine) fail(err error) {
	if e.Failure() == nil {
		e.failure = err
		close(e.failed)
		e.log.Error("the engine cannot go on", "error", err)
	}
}

// mend opens the log again if a write to it has failed and there is space. Until
// then nothing is accepted, and verdicts wait for it.
func (e *Engine) mend(ctx context.Context, free int64) {
	problem := e.store.inside.stuck()
	switch {
	case errors.Is(problem, errSlow):
		return
	case problem == nil:
		e.stuck.Store(false)
		return
	}
	if !e.stuck.Swap(true) {
		e.reopened.stuck(time.Now())
		e.room.Store(0)
		e.store.inside.giveUp() // whoever waits for a write waits in vain
		e.log.Error("the log cannot be written to: nothing is accepted and no verdict written until it has been opened again", "error", problem, "free", free)
	}
	if free < reopenSpace || !e.reopened.due(time.Now()) {
		return
	}
	if err := e.reopen(ctx); errors.Is(err, errHung) {
		// Its files are still open, and nobody knows what it does with them.
		e.fail(fmt.Errorf("engine: %w after a write had failed (%w), and can only be opened by another process: start it again", err, problem))
		return
	} else if err != nil {
		if ctx.Err() == nil {
			e.log.Error("the log cannot be opened again; it is tried once more", "after", e.reopened.pause, "error", err)
		}
		return
	}
	e.stuck.Store(false)
	e.log.Info("the log was opened again", "free", free)
}

// reopen opens the embedded log again. Everything that was confirmed is on it.
// What it knew of acknowledgements may be older than what it had said, as after a
// crash, and is treated like that: chunks come again, those that are under way
// here go on, and of the others the verdicts say what is done.
func (e *Engine) reopen(ctx context.Context) error {
	queues := e.allQueues()
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	var turn context.Context
	err := e.store.inside.reopen(e.store.conn.ForceReconnect, func(js jetstream.JetStream) error {
		turn = e.store.turn()
		verdicts, err := js.Stream(ctx, streamVerdicts)
		if err != nil {
			return fmt.Errorf("engine: stream %s: %w", streamVerdicts, storeError(err))
		}
		if last := verdicts.CachedInfo().State.LastSeq; last < e.ledger.position() {
			return fmt.Errorf("engine: the log of verdicts ends at %d and was read up to %d; start the server again, which reads it anew", last, e.ledger.position())
		}
		later, err := js.Stream(ctx, streamLater)
		if err == nil {
			_, err = e.openConsumer(ctx, js, later, subjectDue)
		}
		if err != nil {
			return fmt.Errorf("engine: stream %s: %w", streamLater, storeError(err))
		}
		for _, q := range queues {
			stream, err := js.Stream(ctx, q.name)
			if err == nil {
				// The queue's own handle goes by its name, and stays good.
				_, err = e.attach(ctx, js, q, stream)
			}
			if err != nil {
				return fmt.Errorf("engine: stream %s: %w", q.name, storeError(err))
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	select {
	case <-turn.Done(): // the client is connected to it
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
