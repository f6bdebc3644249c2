package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"aviso.example/apns"
)

// An orphan is a batch whose engine ended while it was handed in. Nobody will close it,
// so whoever finds it does: with what is on the log of it, and that its end is missing.

const orphaned = "the server that took it in ended before it had read all of it"

// closeOrphans closes the batches whose engine is certainly gone.
func (e *Engine) closeOrphans(ctx context.Context) error {
	var all error
	for _, b := range e.control.unclosed() {
		if e.mayLive(b.TakenBy) {
			continue
		}
		if err := e.closeOrphan(ctx, b); err != nil && !errors.Is(err, ErrNotFound) {
			all = errors.Join(all, err)
		}
	}
	return all
}

// mayLive reports whether an engine, in the life that it has named, may still be at work.
func (e *Engine) mayLive(life string) bool {
	return life == e.life || e.peers != nil && (time.Since(e.began) < absentAfter || e.peers.living(life))
}

func (e *Engine) closeOrphan(ctx context.Context, b BatchRecord) error {
	n, err := e.countOnLog(ctx, &b)
	if err != nil {
		return err
	}
	now := time.Now().UTC()
	if err := e.changeBatch(ctx, b.ID, func(r *BatchRecord) {
		if r.ClosedAt.IsZero() {
			r.Accepted, r.Broken, r.ClosedAt = n, orphaned, now
		}
	}); err != nil {
		return err
	}
	e.log.Warn("a batch was not handed in to its end", "batch", b.ID, "app", b.App, "accepted", n, "why", orphaned)
	if b.Cancelled {
		e.sweeper.cancelled(b.ID.unit())
	}
	return nil
}

// unclosed are the batches that are being handed in, as far as is known.
func (c *control) unclosed() (list []BatchRecord) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, b := range c.batch {
		if b.ClosedAt.IsZero() {
			list = append(list, *b)
		}
	}
	return list
}

// countOnLog counts the notifications of a batch that are on the log. It looks in the
// order in which they go: what waits for its time, what is due, queues, verdicts.
func (e *Engine) countOnLog(ctx context.Context, b *BatchRecord) (int64, error) {
	unit := apns.ID(b.ID)
	found, last := map[uint32]bool{}, uint32(0)
	note := func(number uint32) {
		found[number] = true
		last = max(last, number)
	}
	look := func(c *chunk) {
		for i := range c.targets {
			if c.unit == unit {
				note(c.targets[i].number)
			}
		}
	}
	if err := e.later.each(ctx, laterOf(unit, "*"), func(_ uint64, c *chunk) (bool, error) { look(c); return true, nil }); err != nil {
		return 0, err
	}
	if _, err := e.later.becameDue(ctx, func(c *chunk) bool { look(c); return false }); err != nil {
		return 0, err
	}
	p := path{b.App, b.Environment, b.Lane}
	for _, id := range []BatchID{b.ID, {}} {
		q := e.knownQueue(p, id)
		if q == nil {
			continue
		}
		err := q.each(ctx, unit, e.writtenThrough(unit), func(_ uint64, c *chunk) (bool, error) { look(c); return true, nil })
		if err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
			return 0, fmt.Errorf("queue %s: %w", q.name, err)
		}
	}
	if err := e.ledger.catchUp(ctx); err != nil {
		return 0, err
	}
	// Chunks are written several at once, and one in the middle can be missing.
	const gap = (writesAtOnce + 1) * maxChunk
	for number := uint32(0); number <= last+gap && number < maxUnit; number += 1 << rangeBits {
		err := e.ledger.records(ctx, []uint64{rangeKey(&unit, number)}, func(_ uint64, v *rawVerdict) bool {
			if v.unit == unit {
				note(v.number)
			}
			return true
		})
		if err != nil {
			return 0, err
		}
	}
	return int64(len(found)), nil
}
