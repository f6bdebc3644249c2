package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"aviso.example/apns"
)

// lease is a chunk that this engine is sending. It ends when every notification
// in it has a verdict on the disk; then the chunk leaves the queue.
type lease struct {
	engine *Engine
	queue  *queue
	chunk  *chunk
	seq    uint64
	number int // times the chunk was delivered

	// validUntil is when the lease runs out unless it is renewed, in UNIX
	// nanoseconds. A process that was stopped for longer must not go on: another
	// engine has taken over.
	validUntil atomic.Int64

	deliveries []delivery
	window     *window
	held       int // of the window

	mu        sync.Mutex
	msg       jetstream.Msg
	open      int           // without a verdict
	done      []bool        // which targets have one
	missing   int           // given up without one: the chunk has to come again
	pause     time.Duration // before it does
	section   sectionWriter
	again     []target // due again, with their times
	dueAt     []time.Time
	buried    []target
	dead      []deadToken
	announced bool // that some are being sent is on the disk
	ended     bool
	began     time.Time // when section became non-empty
	tally     tally     // of the verdicts in section
	sent      int       // verdicts in section on what was handed to the client
	unsaved   int       // verdicts handed to the recorder and not yet on disk
}

// delivery is one notification on its way.
type delivery struct {
	n     apns.Notification
	lease *lease
	index int
}

// take begins a lease with a message from a queue. It returns when the chunk has
// been handed to the client, so that a queue reads no faster than it can send.
func (e *Engine) take(ctx context.Context, q *queue, msg jetstream.Msg) {
	meta, err := msg.Metadata()
	if err != nil {
		return // not a message of a stream
	}
	c, err := parseChunk(msg.Data())
	if err != nil {
		if e.setAside(ctx, q.name, msg, err) {
			q.finished.Add(1)
		}
		return
	}
	l := &lease{engine: e, queue: q, chunk: c, done: make([]bool, len(c.targets)), seq: meta.Sequence.Stream, number: int(meta.NumDelivered), msg: msg}
	if wasAside(msg) {
		l.number++
	}
	l.section.begin(c, l.number > 1)
	l.renewed(time.Now())
	if !e.leases.add(l) {
		return // it is under way here already; the lease goes on with this message
	}
	q.leased.Add(1)
	app := e.app(c.app)
	if app == nil || app.credential(c.environment) == nil || ctx.Err() != nil {
		l.giveBack(troublePause)
		return
	}
	if id := c.batchID(); q.batch.IsZero() && !id.IsZero() && e.control.apart(id) {
		l.park(ctx)
		return
	}
	todo, err := l.sort(ctx)
	if err != nil {
		if !errors.Is(err, errOtherCopy) {
			e.complain(ctx, "verdicts cannot be read", err)
		}
		l.giveBack(troublePause)
		return
	}
	if len(todo) == 0 {
		l.saveNow()
		return
	}
	if err := e.gates.admit(ctx, q, len(todo)); err != nil {
		l.giveBack(0)
		return
	}
	route, err := e.route(c.path)
	if err != nil {
		e.log.Warn("an app cannot send", "app", c.app, "environment", c.environment, "error", err)
		l.giveBack(troublePause)
		return
	}
	if !route.window.acquire(ctx, len(todo)) {
		l.giveBack(0)
		return
	}
	// Much can have been decided while it waited for its turn.
	n := len(todo)
	todo = l.sortAgain(todo)
	route.window.release(n - len(todo))
	l.mu.Lock()
	l.window, l.held = route.window, len(todo)
	l.mu.Unlock()
	if len(todo) == 0 {
		l.saveNow()
		return
	}
	if e.gates.closed(q) {
		l.giveBack(0)
		return
	}
	if err := l.announce(ctx, todo); err != nil {
		l.giveBack(troublePause)
		return
	}
	l.prepare(todo)
	if !route.hand(ctx, l.deliveries) {
		l.unsent(l.deliveries)
	}
}

// park moves a chunk of a batch that is paused or paced out of the way of others,
// to a queue of the batch's own.
func (l *lease) park(ctx context.Context) {
	e := l.engine
	q, err := e.queueFor(ctx, l.chunk.path, l.chunk.batchID())
	if err == nil {
		id := fmt.Sprintf("%s.%d", l.queue.name, l.seq)
		err = e.put(ctx, q, l.msg.Data(), jetstream.WithMsgID(id))
	}
	if err != nil {
		e.complain(ctx, "a batch cannot be moved out of the way", err)
		l.giveBack(troublePause)
		return
	}
	l.end()
	if l.msg.Ack() == nil {
		l.queue.finished.Add(1)
	}
}

// errOtherCopy: a crash left two copies of a notification, one of which is under
// way. What becomes of it decides about the other.
var errOtherCopy = errors.New("another copy is under way")

// sort decides what needs no sending, and returns the targets that do.
func (l *lease) sort(ctx context.Context) (todo []int, err error) {
	e, c := l.engine, l.chunk
	now := time.Now()
	var done map[uint32]roundState
	before := ""
	if l.number > 1 || l.seq <= l.queue.known.Load() {
		before = "; an engine that ended may have sent it before"
	}
	if before != "" || c.targets[0].round > 0 || !l.queue.batch.IsZero() {
		// Somebody may have worked on it before, or may be working on another copy
		// of it now; a chunk that was moved to its batch's queue can have one.
		if e.leases.overlap(l) {
			return nil, errOtherCopy
		}
		if done, err = e.ledger.settled(ctx, c); err != nil {
			return nil, err
		}
	}
	todo = make([]int, 0, len(c.targets))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open = len(c.targets)
	for i := range c.targets {
		t := &c.targets[i]
		tm := &c.templates[t.template]
		last, known := done[t.number]
		switch {
		case known && (last.state.Final() || last.round > t.round || last.round == t.round && last.state == Retrying):
			l.open--
			l.done[i] = true // it has ended, be it by an older copy, or a later copy of it is on its way
		case known && last.round == t.round && last.state == Sending && tm.dropUnknown:
			// It was being sent when the process ended, and must not be doubled.
			l.decided(i, t, now, &decision{state: Unknown, detail: "the engine ended before there was an answer"}, "", false)
		case e.control.cancelled(c, t):
			l.decided(i, t, now, &decision{state: Cancelled, detail: "it was called back" + before}, "", false)
		case !e.until(c, tm).After(now):
			l.decided(i, t, now, &decision{state: Expired, detail: "its time was over before it could be sent" + before, buried: e.lifetimeOver(tm)}, "", false)
		case e.suppressed(c, t):
			since := e.dead.since(c.app, c.environment, t.token)
			l.decided(i, t, now, &decision{state: Rejected, status: 410, reason: apns.ReasonUnregistered, deadSince: since}, "", true)
		default:
			todo = append(todo, i)
		}
	}
	return todo, nil
}

// sortAgain decides what was cancelled or expired while it waited, and returns the
// rest.
func (l *lease) sortAgain(todo []int) []int {
	e, c := l.engine, l.chunk
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(todo, func(i int) bool {
		t := &c.targets[i]
		tm := &c.templates[t.template]
		switch {
		case e.control.cancelled(c, t):
			l.decided(i, t, now, &decision{state: Cancelled, detail: "it was called back"}, "", false)
		case !e.until(c, tm).After(now):
			l.decided(i, t, now, &decision{state: Expired, detail: "its time was over before it could be sent", buried: e.lifetimeOver(tm)}, "", false)
		default:
			return false
		}
		return true
	})
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
func (l *lease) announce(ctx context.Context, todo []int) error {
	l.mu.Lock()
	var w sectionWriter
	now := time.Now()
	for _, i := range todo {
		t := &l.chunk.targets[i]
		if l.chunk.templates[t.template].dropUnknown {
			if w.count == 0 {
				w.begin(l.chunk, l.number > 1)
			}
			w.add(l.chunk, t, now, &decision{state: Sending}, "", false)
		}
	}
	l.announced = w.count > 0
	l.mu.Unlock()
	if w.count == 0 {
		return nil
	}
	return l.engine.recorder.write(ctx, &w)
}

// prepare makes the notifications.
func (l *lease) prepare(todo []int) {
	c := l.chunk
	tokens := c.hexTokens()
	l.deliveries = make([]delivery, len(todo))
	for k, i := range todo {
		t, tm := &c.targets[i], &c.templates[c.targets[i].template]
		d := &l.deliveries[k]
		d.lease, d.index = l, i
		d.n = apns.Notification{
			DeviceToken: tokens[i], Payload: tm.payload, PushType: tm.pushType, BundleID: tm.bundleID, Topic: tm.topic,
			Priority: tm.priority, Expiration: tm.expiration, CollapseID: tm.collapseID, ID: numbered(c.unit, t.number), Tag: d,
		}
	}
}

func (l *lease) renewed(now time.Time) { l.validUntil.Store(now.Add(l.engine.cfg.Lease).UnixNano()) }

func (l *lease) valid(now time.Time) bool { return now.UnixNano() < l.validUntil.Load() }

// settle takes the outcome of one notification.
func (l *lease) settle(d *delivery, r *apns.Result) {
	e := l.engine
	now := time.Now()
	t := l.chunk.targets[d.index] // a copy: others may read the chunk
	tm := &l.chunk.templates[t.template]
	if r.Err != nil && e.stopping(r.Err) {
		// The engine is closing. What was not sent stays on the queue; so does
		// what may have been sent, unless it must not be doubled.
		_, unknown := errors.AsType[*apns.UnknownError](r.Err)
		if !unknown || !tm.dropUnknown {
			if unknown {
				l.abandon(1)
			} else {
				l.unsent([]delivery{{index: d.index}})
			}
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
	full := l.open == 0
	l.mu.Unlock()
	if full {
		l.saveNow()
	}
}

// decided notes a verdict; l.mu is held.
func (l *lease) decided(i int, t *target, now time.Time, d *decision, uniqueID string, suppressed bool) {
	if l.section.count == 0 {
		l.began = now
	}
	l.section.add(l.chunk, t, now, d, uniqueID, suppressed)
	l.open--
	l.done[i] = true
	if d.state == Retrying {
		next := *t
		next.round++
		l.again = append(l.again, next)
		l.dueAt = append(l.dueAt, d.retryAt)
	}
	if d.buried {
		l.buried = append(l.buried, *t)
	}
	if !d.deadSince.IsZero() && !suppressed && l.engine.dropsDeviceToken(t, d) {
		l.dead = append(l.dead, deadToken{token: t.token, since: d.deadSince})
	}
	l.tally.add(d)
}

// unsent notes that notifications were certainly not sent and get no verdict from
// this lease. Where it was written down that they were about to be, it is taken
// back, or they would be taken for sent.
func (l *lease) unsent(list []delivery) {
	now := time.Now()
	l.mu.Lock()
	for i := range list {
		t := l.chunk.targets[list[i].index] // a copy
		if l.announced && l.chunk.templates[t.template].dropUnknown {
			if l.section.count == 0 {
				l.began = now
			}
			t.attempts = 0 // of a state it had ended in: none
			l.section.add(l.chunk, &t, now, &decision{state: Queued}, "", false)
		}
	}
	l.open -= len(list)
	l.missing += len(list)
	over := l.open == 0
	l.mu.Unlock()
	if over {
		l.saveNow()
	}
}

// abandon notes that so many notifications get no verdict from this lease.
func (l *lease) abandon(n int) {
	l.mu.Lock()
	l.open -= n
	l.missing += n
	over := l.open == 0
	l.mu.Unlock()
	if over {
		l.saveNow()
	}
}

// saveNow hands what was decided to the recorder.
func (l *lease) saveNow() { l.engine.recorder.add(l) }

// giveBack ends a lease that sent nothing: the chunk comes again after a pause,
// here or elsewhere. What was decided about some of it is written first, or it
// could come before its verdicts are there and be decided once more.
func (l *lease) giveBack(after time.Duration) {
	l.mu.Lock()
	l.missing += l.open
	l.open, l.pause = 0, after
	decided := l.section.count > 0 || l.unsaved > 0
	l.mu.Unlock()
	if decided {
		l.saveNow()
		return
	}
	l.end()
	l.handBack()
}

// handBack gives the chunk back to its queue.
func (l *lease) handBack() {
	l.mu.Lock()
	msg, after := l.msg, l.pause
	l.mu.Unlock()
	if after > 0 {
		msg.NakWithDelay(after)
	} else {
		msg.Nak()
	}
}

// end forgets the lease; a second time it does nothing.
func (l *lease) end() {
	l.mu.Lock()
	w, n, ended := l.window, l.held, l.ended
	l.held, l.ended = 0, true
	l.mu.Unlock()
	if ended {
		return
	}
	l.engine.leases.remove(l)
	l.queue.leased.Add(-1)
	if n > 0 {
		w.release(n)
	}
}

// leases are the chunks this engine holds.
type leases struct {
	mu   sync.Mutex
	held map[leaseKey]*lease
}

type leaseKey struct {
	queue *queue
	seq   uint64
}

// add notes a lease. If the chunk is under way already, because its lease ran out
// while it was being sent, it goes on under the new message.
func (s *leases) add(l *lease) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := leaseKey{l.queue, l.seq}
	if old := s.held[key]; old != nil {
		old.mu.Lock()
		old.msg = l.msg
		old.mu.Unlock()
		old.renewed(time.Now())
		return false
	}
	if s.held == nil {
		s.held = map[leaseKey]*lease{}
	}
	s.held[key] = l
	return true
}

func (s *leases) remove(l *lease) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if key := (leaseKey{l.queue, l.seq}); s.held[key] == l {
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

// overlap reports whether another lease holds a notification that this one holds
// too.
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
		if other.undecided(numbers) {
			return true
		}
	}
	return false
}

// undecided reports whether one of the numbers has no verdict of this lease yet.
func (l *lease) undecided(numbers map[uint32]bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.chunk.targets {
		if numbers[l.chunk.targets[i].number] && !l.done[i] {
			return true
		}
	}
	return false
}

// sending reports whether a notification is under way here.
func (s *leases) sending(unit apns.ID, number uint32) bool {
	for _, l := range s.all() {
		if l.chunk.unit != unit {
			continue
		}
		for i := range l.chunk.targets {
			if l.chunk.targets[i].number == number {
				return true
			}
		}
	}
	return false
}

// partialAfter is when verdicts are written although others of their chunk are
// still missing: a single device that makes APNs wait must not keep a thousand
// verdicts from the disk.
const partialAfter = 250 * time.Millisecond

// tend renews leases and saves what has waited for long enough.
func (e *Engine) tend(ctx context.Context) {
	tick := time.NewTicker(partialAfter / 2)
	defer tick.Stop()
	renewed := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			renew := now.Sub(renewed) > e.cfg.Lease/4
			if renew {
				renewed = now
			}
			for _, l := range e.leases.all() {
				l.mu.Lock()
				save := l.section.count > 0 && l.open > 0 && now.Sub(l.began) > partialAfter
				msg := l.msg
				l.mu.Unlock()
				if save {
					l.saveNow()
				}
				if renew && l.valid(now) && msg.InProgress() == nil {
					l.renewed(now)
				}
			}
		}
	}
}
