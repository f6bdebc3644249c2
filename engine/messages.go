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
	looked := 0
	refused := map[uint32]bool{}
	for i := 0; waiting && i < part.Count && looked < maxMissing; i++ {
		number := first + uint32(i)
		if _, ok := known[number]; ok || refused[number] {
			continue
		}
		looked++
		c, err := e.find(ctx, numbered(part.First, number))
		if err != nil {
			return nil, err
		}
		if c == nil {
			continue
		}
		// It has others of those that are missing; a number between two of its
		// own was refused, and need not be looked for.
		before := number
		for j := range c.targets {
			n := c.targets[j].number
			if n < number || int(n-first) >= part.Count {
				continue
			}
			for between := before + 1; between < n; between++ {
				refused[between] = true
			}
			before = n
			if _, ok := known[n]; !ok {
				known[n] = e.queued(c, n)
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
