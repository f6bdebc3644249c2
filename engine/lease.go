package engine

import (
	"context"
	"errors"
	"math/rand/v2"
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
	first  bool
	spread float64 // of its retries

	// validUntil is when the lease runs out unless it is renewed, in UNIX
	// nanoseconds. A process that was stopped for longer must not go on: another
	// engine has taken over.
	validUntil atomic.Int64

	over chan struct{} // closed when it ends

	mu      sync.Mutex
	wake    context.CancelFunc // ends the wait for the next turn
	msg     *nats.Msg
	status  []status  // of each target
	sorted  bool      // what needs no sending has been sorted out
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
	announced status = 0x80 // and that it is being sent may be on the disk
	marked    status = 0x40 // and it is
)

func (s status) is(of status) bool { return s&^(announced|marked) == of }

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
	return &lease{engine: e, chunk: c, status: make([]status, len(c.targets)), open: len(c.targets), over: make(chan struct{}), wake: func() {}, spread: rand.Float64()}
}

// take begins a lease with a message from a queue. It returns when the chunk has
// been handed to the client, so that a queue reads no faster than it can send. The
// lease may run since a time.
func (e *Engine) take(ctx context.Context, q *queue, msg *nats.Msg, since time.Time) {
	meta, err := msg.Metadata()
	if err != nil {
		return // not a message of a stream
	}
	q.cameBack(meta.Sequence.Stream)
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
	l.section.begin(c, l.mayBeSecond())
	l.renewed(since)
	if !l.valid(time.Now()) {
		return // it was on its way for so long that it is somebody else's
	}
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

// mayBeSecond says that another engine may decide about the same notifications, now or
// when it wakes up: one that had the chunk before, or that it was put back by.
func (l *lease) mayBeSecond() bool {
	putBack := l.msg.Subject != l.queue.subject || len(l.chunk.targets) > 0 && l.chunk.targets[0].round > 0
	return l.number > 1 || !l.engine.store.embedded() && putBack
}

const (
	// otherCopyPause is before a chunk is looked at again of which another copy is
	// under way. What becomes of that one decides about it.
	otherCopyPause    = 200 * time.Millisecond
	maxOtherCopyPause = time.Second
	// strangerPause is before a chunk is looked at again whose app is not
	// configured here.
	strangerPause = time.Second
)

// send hands over what waits, as fast as gates, rates and the window allow.
func (l *lease) send(ctx context.Context) {
	e, q := l.engine, l.queue
	for {
		if !l.valid(time.Now()) {
			l.letGo(0)
			return
		}
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
		case err == errNoPart:
			l.letGo(0)
			return
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
	if l.engine.control.cancelledIn(l.chunk.unit) {
		l.endWaiting(time.Now()) // a paused batch's gate opens when it is called back
	}
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
			l.status[i] = handed | s&(announced|marked)
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
		l.status[i] = waiting | l.status[i]&(announced|marked)
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
		if !isEnding(err) { // or it is made anew in a moment
			e.complain(ctx, "a batch cannot be moved out of the way", err)
		}
		l.letGo(troublePause)
		return
	}
	l.letRest()
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
