package engine

import (
	"context"
	"time"

	"aviso.example/apns"
)

// announce writes down that notifications are about to be sent which must not be
// sent twice: without that, nobody could tell after a crash.
func (l *lease) announce(ctx context.Context, some []int) error {
	l.mu.Lock()
	var w sectionWriter
	now := time.Now()
	for _, i := range some {
		t := l.chunk.targets[i] // a copy
		if l.chunk.templates[t.template].dropUnknown && l.status[i]&marked == 0 {
			if w.count == 0 {
				w.begin(l.chunk, l.mayBeSecond())
			}
			w.add(l.chunk, &t, now, &decision{state: Sending}, "", false)
			l.status[i] |= announced
		}
	}
	l.mu.Unlock()
	if w.count == 0 {
		return nil
	}
	if err := l.engine.recorder.write(ctx, &w); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, i := range some {
		if l.status[i]&announced != 0 {
			l.status[i] |= marked
		}
	}
	return nil
}

// prepare makes the notifications.
func (l *lease) prepare(some []int) []delivery {
	c := l.chunk
	tokens := c.hexTokens(some)
	list := make([]delivery, len(some))
	for k, i := range some {
		t, tm := &c.targets[i], &c.templates[c.targets[i].template]
		d := &list[k]
		d.lease, d.index = l, i
		d.n = apns.Notification{
			DeviceToken: tokens[k], Payload: tm.payload, PushType: tm.pushType, BundleID: tm.bundleID, Topic: tm.topic,
			Priority: tm.priority, Expiration: tm.expiration, CollapseID: tm.collapseID, ID: numbered(c.unit, t.number), Tag: d,
		}
	}
	return list
}

func (l *lease) renewed(now time.Time) { l.validUntil.Store(now.Add(l.engine.cfg.Lease).UnixNano()) }

// valid says that no other engine can have taken the chunk over.
func (l *lease) valid(now time.Time) bool {
	return l.engine.store.embedded() || now.UnixNano() < l.validUntil.Load()
}

// settle takes the outcome of one notification.
func (l *lease) settle(d *delivery, r *apns.Result) {
	e := l.engine
	now := time.Now()
	t := l.chunk.targets[d.index] // a copy: others may read the chunk
	tm := &l.chunk.templates[t.template]
	if r.Err != nil && e.stopping(r.Err) {
		// The engine is closing. What was not sent stays on the queue; so does
		// what may have been sent, unless it must not be doubled.
		unknown := isUnknown(r.Err)
		if !unknown || !tm.dropUnknown {
			l.giveUp(!unknown, d.index)
			return
		}
	}
	dec := decision{state: Accepted, status: 200, counts: true}
	if r.Err != nil {
		dec = decide(attempt{err: r.Err, earlier: t.attempts, now: now, until: e.until(l.chunk, tm), dropUnknown: tm.dropUnknown, spread: l.spread})
	}
	e.gates.observe(l.chunk.path, &dec)
	if dec.counts {
		t.attempts++
	}
	if dec.state == Retrying && e.control.cancelled(l.chunk, &t) {
		dec = decision{state: Cancelled, status: dec.status, reason: dec.reason, detail: "it was called back while it was being sent"}
	}
	l.mu.Lock()
	l.sent++
	l.decided(d.index, &t, now, &dec, r.Receipt.UniqueID, false)
	l.mu.Unlock()
	l.saveIfOver()
}

// decided notes a verdict; l.mu is held.
func (l *lease) decided(i int, t *target, now time.Time, d *decision, uniqueID string, suppressed bool) {
	if l.section.count == 0 {
		l.began = now
	}
	l.section.add(l.chunk, t, now, d, uniqueID, suppressed)
	l.open--
	if l.status[i].is(handed) {
		l.status[i] = answered
	} else {
		l.status[i] = ended
	}
	l.fresh = append(l.fresh, uint32(i))
	if d.state == Retrying {
		next := *t
		next.round++
		l.again = append(l.again, next)
		l.dueAt = append(l.dueAt, due{d.retryAt.Unix(), d.waitsForGate})
	}
	if d.buried {
		l.buried = append(l.buried, buriedTarget{*t, cause{d.state, d.status, d.reason}})
	}
	if !d.deadSince.IsZero() && !suppressed && l.engine.dropsDeviceToken(t, d) {
		l.dead = append(l.dead, deadToken{token: t.token, since: d.deadSince})
	}
	l.tally.add(d)
}

// giveUp notes that notifications get no verdict from this lease, and that the
// chunk has to come again for them. Where it is on the disk that they were about to
// be sent and they certainly were not, that is taken back, or they would be taken
// for sent.
func (l *lease) giveUp(unsent bool, list ...int) {
	now := time.Now()
	l.mu.Lock()
	for _, i := range list {
		if unsent && l.status[i]&announced != 0 {
			if l.section.count == 0 {
				l.began = now
			}
			t := l.chunk.targets[i] // a copy
			t.attempts = 0          // of a state it had ended in: none
			l.section.add(l.chunk, &t, now, &decision{state: Queued}, "", false)
			l.fresh = append(l.fresh, uint32(i))
			l.status[i] = ended
		} else {
			l.status[i] = saved
		}
	}
	l.open -= len(list)
	l.missing += len(list)
	l.mu.Unlock()
	l.saveIfOver()
}

// letGo gives up what waits: the chunk comes again after a pause, here or
// elsewhere.
func (l *lease) letGo(after time.Duration) {
	l.mu.Lock()
	l.pause = max(l.pause, after)
	var list []int
	for i, s := range l.status {
		if s.is(waiting) {
			list = append(list, i)
		}
	}
	l.mu.Unlock()
	l.giveUp(true, list...)
}

// saveIfOver hands what was decided to the recorder if it was the last, or ends the
// lease if there is nothing to be written.
func (l *lease) saveIfOver() {
	l.mu.Lock()
	over, unwritten := l.open == 0, l.section.count > 0 || l.unsaved > 0
	l.mu.Unlock()
	switch {
	case over && unwritten:
		l.engine.recorder.add(l)
	case over:
		l.finish()
	}
}

// finish ends a lease of which nothing is left: the chunk leaves its queue or, if
// some of it was given up, comes again.
func (l *lease) finish() {
	if !l.end() || l.queue == nil {
		return
	}
	l.mu.Lock()
	msg, again, after := l.msg, l.missing > 0, l.pause
	l.mu.Unlock()
	switch {
	case again && !l.valid(time.Now()):
		// Another engine has it, and would not have it for itself any more.
	case again:
		l.queue.giveBack(l.seq, func() { msg.NakWithDelay(after) })
	case msg.Ack() == nil:
		l.queue.finished.Add(1)
	}
}

// end forgets the lease, and reports whether it was there.
func (l *lease) end() bool {
	l.mu.Lock()
	w, n, gone := l.window, l.held, l.gone
	l.held, l.gone = 0, true
	l.mu.Unlock()
	if gone {
		return false
	}
	l.engine.leases.remove(l)
	if l.queue != nil {
		l.queue.leased.Add(-1)
	}
	if n > 0 {
		w.release(n)
	}
	close(l.over)
	return true
}
