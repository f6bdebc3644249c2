package engine

import (
	"context"
	"time"

	"aviso.example/apns"
)

// ending says how a notification ends without being sent, if it does.
func (l *lease) ending(i int, now time.Time) (d decision, ends bool) {
	e, c := l.engine, l.chunk
	t := &c.targets[i]
	tm := &c.templates[t.template]
	before := ""
	if l.queue != nil && (l.seq <= l.queue.doubtful.Load() || l.number > 1 && !e.store.embedded()) {
		before = "; an engine that ended may have sent it before"
	}
	switch {
	case e.control.cancelled(c, t):
		return decision{state: Cancelled, detail: "it was called back" + before}, true
	case !e.until(c, tm).After(now):
		return decision{state: Expired, detail: "its time was over before it could be sent" + before, buried: e.lifetimeOver(tm)}, true
	}
	return d, false
}

// sort decides what needs no sending. It fails if another copy of a notification is
// under way, or if the ledger cannot be asked.
func (l *lease) sort(ctx context.Context) error {
	e, c := l.engine, l.chunk
	now := time.Now()
	ask := !l.first
	for i := 0; i < len(c.targets) && !ask; i++ {
		// What is called back or over may have been ended where it waited.
		_, ask = l.ending(i, now)
	}
	var known map[uint32]roundState
	if ask {
		if e.leases.overlap(l) {
			return errOtherCopy
		}
		var err error
		if known, err = e.ledger.settled(ctx, c); err != nil {
			return err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range c.targets {
		t := &c.targets[i]
		last, asked := known[t.number]
		switch {
		case !l.status[i].is(waiting): // it was ended since
		case asked && last.doneWith(t):
			l.open--
			l.status[i] = saved
		case asked && last.round == t.round && last.state == Sending && c.templates[t.template].dropUnknown:
			// It was being sent when the process ended, and must not be doubled.
			l.decided(i, t, now, &decision{state: Unknown, detail: "the engine ended before there was an answer"}, "", false)
		default:
			if d, ends := l.ending(i, now); ends {
				l.decided(i, t, now, &d, "", false)
			} else if l.queue != nil && e.suppressed(c, t) {
				since := e.dead.since(c.app, c.environment, t.token)
				l.decided(i, t, now, &decision{state: Rejected, status: 410, reason: apns.ReasonUnregistered, deadSince: since}, "", true)
			}
		}
	}
	l.sorted = true
	l.lookAhead()
	return nil
}

// lookAhead notes when the next of those that wait is over, and wakes the sender if
// none waits; l.mu is held.
func (l *lease) lookAhead() {
	l.nextEnd = time.Time{}
	wait := false
	for i, s := range l.status {
		if !s.is(waiting) {
			continue
		}
		wait = true
		end := l.engine.until(l.chunk, &l.chunk.templates[l.chunk.targets[i].template])
		if l.nextEnd.IsZero() || end.Before(l.nextEnd) {
			l.nextEnd = end
		}
	}
	if !wait {
		l.wake()
	}
}

// endWaiting ends what is called back or over while it waits for its turn.
func (l *lease) endWaiting(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.sorted {
		return // whether it has ended already is still being asked, and what is over with it
	}
	for i, s := range l.status {
		if !s.is(waiting) {
			continue
		}
		if d, ends := l.ending(i, now); ends {
			t := l.chunk.targets[i]
			l.decided(i, &t, now, &d, "", false)
		}
	}
	l.lookAhead()
}

// until is when there is no point in sending any more.
func (e *Engine) until(c *chunk, t *template) time.Time {
	from := c.accepted()
	if t.sendAt != 0 {
		from = time.UnixMilli(t.sendAt)
	}
	if t.expiration == apns.ExpireImmediately || t.expiration == (apns.Expiration{}) && usualLane(t.pushType, 1) == Urgent {
		return from.Add(e.cfg.ImmediateLifetime)
	}
	end := from.Add(e.cfg.Lifetime)
	if at, ok := t.expiration.Time(); ok {
		return at
	}
	return end
}

// lifetimeOver says that it ends by our limit and not by its sender's, so that a
// person may want to send it all the same.
func (e *Engine) lifetimeOver(t *template) bool {
	_, ok := t.expiration.Time()
	return !ok
}
