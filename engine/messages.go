package engine

import (
	"context"
	"fmt"
)

// maxMissing bounds how many chunks are looked for to fill one call of
// Deliveries.
const maxMissing = 64

// Deliveries tells where each notification of a message is, in the order of its
// device tokens: those from one number on, at most limit of them. Device tokens
// that were refused are left out. next is the number to go on with, or
// Message.Count at the end. ErrNotFound means that none of all these is known
// here.
//
// Those without a verdict have what the queue knows, as in Delivery.
func (e *Engine) Deliveries(ctx context.Context, id MessageID, from, limit int) (list []Verdict, next int, err error) {
	if from < 0 || from >= id.Count || limit < 1 {
		return nil, id.Count, fmt.Errorf("from %d on there is nothing of %d: %w", from, id.Count, ErrNotFound)
	}
	part := MessageID{id.ID(from), min(limit, id.Count-from)}
	list, err = twice(func() ([]Verdict, error) { return e.deliveries(ctx, id, part) })
	return list, from + part.Count, err
}

func (e *Engine) deliveries(ctx context.Context, whole, part MessageID) ([]Verdict, error) {
	if err := e.ledger.catchUp(ctx); err != nil {
		return nil, err
	}
	last, err := e.lastOf(ctx, part)
	if err != nil {
		return nil, err
	}
	_, first := split(part.First)
	known := make(map[uint32]Verdict, part.Count)
	waiting := true
	for number, v := range last {
		if !v.State.Final() {
			e.unfinished(&v.Verdict)
		}
		known[number] = v.Verdict
		waiting = part.Count < whole.Count || len(last) < v.accepted
	}
	missing := func(t *target) bool {
		_, ok := known[t.number]
		return !ok && t.number >= first && int(t.number-first) < part.Count
	}
	unit, _ := split(part.First)
	for looked := 0; waiting && len(known) < part.Count && looked < maxMissing; looked++ {
		c, err := e.findChunk(ctx, unit, first, first+uint32(part.Count)-1, missing)
		if err != nil {
			return nil, err
		}
		if c == nil {
			break // the others were refused
		}
		for i := range c.targets {
			if t := &c.targets[i]; missing(t) {
				known[t.number] = e.queued(c, t.number)
			}
		}
	}
	if len(known) == 0 {
		return nil, ErrNotFound
	}
	list := make([]Verdict, 0, len(known))
	for i := range part.Count {
		if v, ok := known[first+uint32(i)]; ok {
			list = append(list, v)
		}
	}
	return list, nil
}
