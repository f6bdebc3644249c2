package engine

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"aviso.example/apns"
)

// lease is a chunk that this engine has, to send it or to end what is over in it. It
// ends when every notification in it has a verdict on the disk; then the chunk
// leaves the queue.
type lease struct {
	engine *Engine
	queue  *queue // nil for a sweep, which looks at a chunk where it waits
	chunk  *chunk
	seq    uint64
	number int // times the chunk was delivered
	// first says that no other copy of the chunk can have been worked on: it came
	// straight from whoever handed it in, in the life of this process, for the
	// first time. Whatever came any other way asks the ledger before it is sent.
	first bool

	// validUntil is when the lease runs out unless it is renewed, in UNIX
	// nanoseconds. A process that was stopped for longer must not go on: another
	// engine has taken over.
	validUntil atomic.Int64

	over chan struct{} // closed when it ends

	mu      sync.Mutex
	wake    context.CancelFunc // ends the wait for the next turn
	msg     *nats.Msg
	status  []status  // of each target
	nextEnd time.Time // when the first of those that wait is over
	window  *window
	held    int // of the window

	open    int           // without a verdict
	missing int           // given up without one: the chunk has to come again
	pause   time.Duration // before it does
	section sectionWriter
	fresh   []uint32 // targets whose verdict is in section
	again   []target // due again
	dueAt   []due    // and when
	buried  []buriedTarget
	dead    []deadToken
	gone    bool
	began   time.Time // when section became non-empty
	tally   tally     // of the verdicts in section
	sent    int       // verdicts in section on what was handed to the client
	unsaved int       // verdicts handed to the recorder and not yet on disk
}

// status is how far a notification of a lease is.
type status uint8

const (
	waiting   status = iota // for its turn
	handed                  // to the client
	answered                // what became of it is not on the disk yet
	ended                   // the same, and it was not sent
	saved                   // nothing more is to be done about it here
	announced status = 0x80 // and that it is being sent is on the disk
)

func (s status) is(of status) bool { return s&^announced == of }

// underWay says that it may be sent, or has been and nobody could know it.
func (s status) underWay() bool { return !s.is(saved) }

// sending says that it is with the client, or that its verdict is about to be there.
func (s status) sending() bool { return s.is(handed) || s.is(answered) }

// delivery is one notification on its way.
type delivery struct {
	n     apns.Notification
	lease *lease
	index int
}

// newLease returns a lease of a chunk whose notifications all wait.
func (e *Engine) newLease(c *chunk) *lease {
	return &lease{engine: e, chunk: c, status: make([]status, len(c.targets)), open: len(c.targets), over: make(chan struct{}), wake: func() {}}
}

// take begins a lease with a message from a queue. It returns when the chunk has
// been handed to the client, so that a queue reads no faster than it can send.
func (e *Engine) take(ctx context.Context, q *queue, msg *nats.Msg) {
	meta, err := msg.Metadata()
	if err != nil {
		return // not a message of a stream
	}
	c, err := parseChunk(msg.Data)
	if err != nil {
		if e.setAside(ctx, q.name, msg, err) {
			q.finished.Add(1)
		}
		return
	}
	l := e.newLease(c)
	l.queue, l.seq, l.number, l.msg = q, meta.Sequence.Stream, int(meta.NumDelivered), msg
	l.first = l.number == 1 && msg.Subject == q.subject && l.seq > max(q.known.Load(), q.swept.Load())
	l.section.begin(c, l.number > 1)
	l.renewed(time.Now())
	if !e.leases.add(l) {
		return // it is under way here already; the lease goes on with this message
	}
	q.leased.Add(1)
	if err := l.sort(ctx); err != nil {
		if !errors.Is(err, errOtherCopy) {
			e.complain(ctx, "verdicts cannot be read", err)
		}
		l.letGo(min(time.Duration(l.number)*otherCopyPause, maxOtherCopyPause))
		return
	}
	l.send(ctx)
}

const (
	// otherCopyPause is before a chunk is looked at again of which another copy is
	// under way. What becomes of that one decides about it.
	otherCopyPause    = 200 * time.Millisecond
	maxOtherCopyPause = 5 * time.Second
	// strangerPause is before a chunk is looked at again whose app is not
	// configured here.
	strangerPause = time.Second
)

// send hands over what waits, as fast as gates, rates and the window allow.
func (l *lease) send(ctx context.Context) {
	e, q := l.engine, l.queue
	for {
		turn, wake := context.WithCancel(ctx)
		l.mu.Lock()
		l.wake = wake
		l.mu.Unlock()
		n := l.count(waiting)
		if n == 0 {
			wake()
			l.saveIfOver()
			return
		}
		if id := l.chunk.batchID(); q.batch.IsZero() && !id.IsZero() && e.control.apart(id) {
			wake()
			l.park(ctx)
			return
		}
		route, n, err := e.gates.admit(turn, q, n)
		wake()
		switch {
		case ctx.Err() != nil && n == 0:
			l.letGo(0)
			return
		case n == 0 && err == nil: // some was called back, is over, or may go now
		case err != nil:
			if err != errStranger {
				e.log.Warn("an app cannot send", "app", q.app, "environment", q.environment, "error", err)
			}
			l.letGo(strangerPause)
			pause(ctx, strangerPause/4)
			return
		default:
			l.hand(ctx, route, n)
		}
	}
}

// hand gives up to n of those that wait to the client; there is room for them in the
// window.
func (l *lease) hand(ctx context.Context, route *route, n int) {
	some := l.claim(route.window, n)
	route.window.release(n - len(some))
	if len(some) == 0 {
		return
	}
	if err := l.announce(ctx, some); err != nil {
		l.engine.complain(ctx, "what is about to be sent cannot be written down", err)
		l.unclaim(some)
		pause(ctx, troublePause)
		return
	}
	if !route.hand(ctx, l.prepare(some)) {
		l.unclaim(some) // the app has just changed
		pause(ctx, staleRead)
	}
}

// count is how many are at a status.
func (l *lease) count(s status) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, have := range l.status {
		if have.is(s) {
			n++
		}
	}
	return n
}

// claim takes up to n of those that wait, which are the sender's from then on.
func (l *lease) claim(w *window, n int) (list []int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, s := range l.status {
		if len(list) == n {
			break
		}
		if s.is(waiting) {
			l.status[i] = handed | s&announced
			list = append(list, i)
		}
	}
	l.window = w
	l.held += len(list)
	return list
}

// unclaim is the inverse of claim.
func (l *lease) unclaim(list []int) {
	l.mu.Lock()
	for _, i := range list {
		l.status[i] = waiting | l.status[i]&announced
	}
	l.held -= len(list)
	w := l.window
	l.mu.Unlock()
	w.release(len(list))
}

// park moves what waits of a batch that is paused or paced out of the way of others,
// to a queue of the batch's own.
func (l *lease) park(ctx context.Context) {
	e := l.engine
	l.mu.Lock()
	rest := l.part(l.targets(waiting))
	l.mu.Unlock()
	q, err := e.queueFor(ctx, l.chunk.path, l.chunk.batchID())
	if err == nil {
		err = e.move(ctx, q, rest)
	}
	if err != nil {
		e.complain(ctx, "a batch cannot be moved out of the way", err)
		l.letGo(troublePause)
		return
	}
	l.mu.Lock()
	for i, s := range l.status {
		if s.is(waiting) {
			l.status[i] = saved
			l.open--
		}
	}
	l.mu.Unlock()
	l.saveIfOver()
}

// targets returns those at a status; l.mu is held.
func (l *lease) targets(s status) (list []target) {
	for i, have := range l.status {
		if have.is(s) {
			list = append(list, l.chunk.targets[i])
		}
	}
	return list
}

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
		case asked && (last.state.Final() || last.round > t.round || last.round == t.round && last.state == Retrying):
			l.open--
			l.status[i] = saved // it has ended, be it by an older copy, or a later copy of it is on its way
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

// announce writes down that notifications are about to be sent which must not be
// sent twice: without that, nobody could tell after a crash.
func (l *lease) announce(ctx context.Context, some []int) error {
	l.mu.Lock()
	var w sectionWriter
	now := time.Now()
	for _, i := range some {
		t := l.chunk.targets[i] // a copy
		if l.chunk.templates[t.template].dropUnknown && l.status[i]&announced == 0 {
			if w.count == 0 {
				w.begin(l.chunk, l.number > 1)
			}
			w.add(l.chunk, &t, now, &decision{state: Sending}, "", false)
			l.status[i] |= announced
		}
	}
	l.mu.Unlock()
	if w.count == 0 {
		return nil
	}
	return l.engine.recorder.write(ctx, &w)
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
		dec = decide(attempt{err: r.Err, earlier: t.attempts, now: now, until: e.until(l.chunk, tm), dropUnknown: tm.dropUnknown})
	}
	e.gates.observe(l.chunk.path, &dec)
	if dec.counts {
		t.attempts++
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
	case again && after > 0:
		msg.NakWithDelay(after)
	case again:
		msg.Nak()
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

// errOtherCopy: there are two copies of a notification, one of which is under way.
// What becomes of it decides about the other.
var errOtherCopy = errors.New("another copy is under way")

// leases are the chunks this engine holds.
type leases struct {
	mu   sync.Mutex
	held map[leaseKey]*lease
	some chan struct{} // has something in it when leases have begun
	// changed says that people have decided something, on this engine or on another,
	// that what waits here may have to end for.
	changed atomic.Bool
}

// leaseKey is a chunk on a queue or, for a sweep, the sweep.
type leaseKey struct {
	queue *queue
	seq   uint64
	sweep *lease
}

func (l *lease) key() leaseKey {
	if l.queue == nil {
		return leaseKey{sweep: l}
	}
	return leaseKey{queue: l.queue, seq: l.seq}
}

func newLeases() *leases {
	return &leases{held: map[leaseKey]*lease{}, some: make(chan struct{}, 1)}
}

// add notes a lease. If the chunk is under way already, because its lease ran out
// while it was being sent, it goes on under the new message.
func (s *leases) add(l *lease) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.held[l.key()]; old != nil {
		old.mu.Lock()
		old.msg = l.msg
		old.mu.Unlock()
		old.renewed(time.Now())
		return false
	}
	s.held[l.key()] = l
	select {
	case s.some <- struct{}{}:
	default:
	}
	return true
}

func (s *leases) remove(l *lease) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if key := l.key(); s.held[key] == l {
		delete(s.held, key)
	}
}

func (s *leases) all() []*lease {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*lease, 0, len(s.held))
	for _, l := range s.held {
		list = append(list, l)
	}
	return list
}

func (s *leases) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.held)
}

// holds reports whether a chunk of a queue is held.
func (s *leases) holds(q *queue, seq uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held[leaseKey{queue: q, seq: seq}] != nil
}

// overlap reports whether another lease holds a notification that this one holds
// too, and of which no verdict is on the disk yet.
func (s *leases) overlap(l *lease) bool {
	var numbers map[uint32]bool
	for _, other := range s.all() {
		if other == l || other.chunk.unit != l.chunk.unit {
			continue
		}
		if numbers == nil {
			numbers = map[uint32]bool{}
			for i := range l.chunk.targets {
				numbers[l.chunk.targets[i].number] = true
			}
		}
		if other.anyUnderWay(numbers) {
			return true
		}
	}
	return false
}

// anyUnderWay reports whether what becomes of one of the numbers is not on the disk
// yet: until then neither this lease nor the ledger tells everybody.
func (l *lease) anyUnderWay(numbers map[uint32]bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, s := range l.status {
		if s.underWay() && numbers[l.chunk.targets[i].number] {
			return true
		}
	}
	return false
}

// sending reports whether a notification has been handed to the client here.
func (s *leases) sending(unit apns.ID, number uint32) bool {
	for _, l := range s.all() {
		if l.chunk.unit != unit {
			continue
		}
		l.mu.Lock()
		for i, status := range l.status {
			if l.chunk.targets[i].number == number && status.sending() {
				l.mu.Unlock()
				return true
			}
		}
		l.mu.Unlock()
	}
	return false
}

// countSending is how many notifications of a message have been handed to the client
// here, of those that are chosen.
func (s *leases) countSending(id MessageID, chosen func(number uint32) bool) (n int) {
	unit, _ := split(id.First)
	for _, l := range s.all() {
		if l.chunk.unit != unit {
			continue
		}
		l.mu.Lock()
		for i, status := range l.status {
			number := l.chunk.targets[i].number
			if status.sending() && id.Contains(numbered(unit, number)) && chosen(number) {
				n++
			}
		}
		l.mu.Unlock()
	}
	return n
}

// partialAfter is when verdicts are written although others of their chunk are
// still missing: a single device that makes APNs wait must not keep a thousand
// verdicts from the disk.
const partialAfter = 250 * time.Millisecond

// tend renews leases, saves what has waited for long enough, and ends what is over
// while it waits for its turn.
func (e *Engine) tend(ctx context.Context) {
	tick := time.NewTicker(partialAfter / 2)
	defer tick.Stop()
	renewed := time.Now()
	for {
		if e.leases.count() == 0 {
			tick.Stop()
			select {
			case <-ctx.Done():
				return
			case <-e.leases.some:
			}
			tick.Reset(partialAfter / 2)
		}
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			changed := e.leases.changed.Swap(false)
			renew := now.Sub(renewed) > e.cfg.Lease/4
			if renew {
				renewed = now
			}
			for _, l := range e.leases.all() {
				l.tend(now, renew, changed)
			}
		}
	}
}

func (l *lease) tend(now time.Time, renew, changed bool) {
	l.mu.Lock()
	over := !l.nextEnd.IsZero() && !now.Before(l.nextEnd)
	l.mu.Unlock()
	if over || changed {
		l.endWaiting(now)
	}
	l.mu.Lock()
	save := l.section.count > 0 && now.Sub(l.began) > partialAfter
	msg := l.msg
	l.mu.Unlock()
	if save {
		l.engine.recorder.add(l)
	}
	if renew && l.queue != nil && l.valid(now) && msg.InProgress() == nil {
		l.renewed(now)
	}
}

// endCalledBack ends what was called back and is held here without having been
// handed over, and returns when that is on the disk.
func (s *leases) endCalledBack(ctx context.Context, unit apns.ID) error {
	now := time.Now()
	for _, l := range s.all() {
		if l.chunk.unit != unit {
			continue
		}
		l.endWaiting(now)
		for l.count(ended) > 0 {
			l.engine.recorder.add(l)
			select {
			case <-l.over:
			case <-ctx.Done():
				return storeError(ctx.Err())
			case <-time.After(recordLinger):
			}
		}
	}
	return nil
}
