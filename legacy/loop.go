package legacy

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"runtime"
	"slices"
	"time"

	"aviso.example/apns"
)

// loop is the client's one goroutine: it writes, judges what ended, settles what
// stayed silent, and decides when to dial. All of this is its own, so there is
// no lock; what others want of it comes through the client's stack of submitted
// jobs and two channels.
//
// It also blocks in Write, on purpose. While the server does not take what is
// written, its silence says nothing, and no notification may settle by it.
type loop struct {
	c    *Client
	conn *connection

	// A notification waits in again (it was written before, and goes first) or
	// in fresh, or in delayed until it is due; once written it stands in
	// history until it is judged. Each in the order in which it was handed in.
	again, fresh list
	delayed      []*job // by due
	history      list

	identifier uint32 // the next to be given out
	buf        []byte
	device     []byte
	ended      endedJobs

	dialling bool
	dialled  chan dialResult
	dialBy   context.Context
	numbers  int
	failures int       // attempts to connect in a row that led to nothing
	lastErr  error     // why there is no connection
	offline  time.Time // when the last connection ended
	dialNext time.Time // not earlier
	credit   float64   // dials that may be made at once
	credited time.Time

	swept   time.Time
	sweepAt time.Time // when something may have waited too long; zero: nothing
	timer   *time.Timer
}

type dialResult struct {
	secure *tls.Conn
	raw    net.Conn
	err    error
	took   time.Duration
}

func newLoop(c *Client) *loop {
	now := c.now()
	return &loop{
		c: c, identifier: 1, buf: make([]byte, 0, batchSize), dialled: make(chan dialResult, 1),
		offline: now, dialNext: now, credited: now, credit: dialBurst,
		timer: time.NewTimer(time.Hour),
	}
}

func (l *loop) run() {
	defer close(l.c.gone)
	dialBy, cancel := context.WithCancelCause(context.Background())
	l.dialBy = dialBy
	for !l.stopped() {
		if id := l.c.firstIdentifier.Swap(0); id != 0 {
			l.identifier = id
		}
		now := l.c.now()
		l.take(now)
		if l.conn != nil && l.conn.over() {
			l.connectionEnded(now)
		}
		l.settle(now)
		l.release(now)
		wrote := l.write(now)
		l.ended.flush()
		if wrote {
			continue
		}
		now = l.c.now()
		l.sweep(now)
		l.dial(now)
		l.ended.flush()
		l.wait(now)
	}
	cancel(apns.ErrClosed)
	l.finish()
}

func (l *loop) stopped() bool {
	select {
	case <-l.c.stop:
		return true
	default:
		return false
	}
}

// wait sleeps until something happens or is due.
func (l *loop) wait(now time.Time) {
	var ended <-chan struct{}
	var next time.Time
	soonest := func(t time.Time) {
		if !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	if l.conn != nil {
		ended = l.conn.ended
		if l.history.first != nil && l.conn.broken == nil {
			soonest(l.history.first.written.Add(l.c.cfg.SettleTime))
		}
		if l.hasWork() && l.conn.broken == nil && l.conn.used == l.conn.burst {
			soonest(l.conn.period.Add(burstPeriod))
		}
	} else if !l.dialling && l.hasWork() {
		soonest(l.dialNext)
	}
	if len(l.delayed) > 0 {
		soonest(l.delayed[0].due)
	}
	soonest(l.sweepAt)
	if next.IsZero() {
		l.timer.Stop()
	} else {
		l.timer.Reset(next.Sub(now))
	}
	select {
	case <-l.c.wake:
	case <-ended:
	case r := <-l.dialled:
		l.connected(r)
	case <-l.timer.C:
	case <-l.c.stop:
	}
}

func (l *loop) hasWork() bool { return l.again.first != nil || l.fresh.first != nil }

// take moves what was submitted into fresh. The stack gives the last one first.
func (l *loop) take(now time.Time) {
	if l.c.abandoned.Load() {
		l.c.abandoned.Store(false)
		l.sweepSoon(now)
	}
	top := l.c.submitted.Swap(nil)
	if top == nil {
		return
	}
	var first *job
	for top != nil {
		next := top.next
		top.next, first = first, top
		top = next
	}
	for first != nil {
		next := first.next
		l.fresh.push(first)
		first = next
	}
	l.sweepSoon(now)
}

// settle accepts what was written SettleTime ago, since nobody complained.
func (l *loop) settle(now time.Time) {
	if l.conn == nil || l.conn.broken != nil {
		return
	}
	limit := now.Add(-l.c.cfg.SettleTime)
	for j := l.history.first; j != nil && !j.written.After(limit); j = l.history.first {
		l.conn.settled++
		l.accept(l.conn, l.history.pop())
	}
	if l.conn.judged > 0 {
		l.failures = 0
	}
}

// release lets go what was delayed.
func (l *loop) release(now time.Time) {
	n := 0
	for n < len(l.delayed) && !l.delayed[n].due.After(now) {
		l.again.push(l.delayed[n])
		n++
	}
	l.delayed = slices.Delete(l.delayed, 0, n)
}

func (l *loop) delay(j *job) {
	at, _ := slices.BinarySearchFunc(l.delayed, j.due, func(other *job, due time.Time) int {
		if other.due.After(due) {
			return 1
		}
		return -1 // equals stay in their order
	})
	l.delayed = slices.Insert(l.delayed, at, j)
}

// write writes one batch: as much as waits, up to one TLS record. If less
// waits, it lets those run who may be about to submit more, looks once again,
// and then writes: nothing ever waits for a timer, and many small submissions
// still share a record.
func (l *loop) write(now time.Time) bool {
	if l.conn == nil || l.conn.broken != nil || l.conn.over() {
		return false
	}
	l.buf = l.buf[:0]
	l.conn.newPeriod(now)
	from := l.fill(nil, now)
	if from == nil {
		return false
	}
	if len(l.buf) < batchSize/2 {
		runtime.Gosched()
		l.take(now)
		l.fill(from, now)
	}
	l.conn.write(l.buf, now)
	now = l.c.now()
	for j := from; j != nil; j = j.next {
		j.written = now
	}
	return true
}

// fill encodes what waits into the buffer and moves it to history. It returns
// the first job of the batch, or nil.
func (l *loop) fill(from *job, now time.Time) *job {
	for l.history.len < l.c.cfg.MaxInFlight && l.conn.used < l.conn.burst {
		queue := &l.again
		if queue.first == nil {
			queue = &l.fresh
		}
		j := queue.first
		if j == nil || len(l.buf)+j.size > batchSize {
			return from
		}
		queue.pop()
		if !j.notAfter.After(now) {
			l.end(j, unsent(j, apns.ErrNoTime))
			continue
		}
		if j.ctx.Err() != nil { // and its owner has not been told yet
			l.giveUp(j)
			continue
		}
		var ok bool
		if l.buf, ok = j.encode(l.buf, l.identifier, &l.device); !ok {
			l.drop(j)
			continue
		}
		l.identifier = identifierAfter(l.identifier)
		l.conn.used++
		j.end = l.conn.encoded + uint64(len(l.buf))
		if from == nil {
			from = j
		}
		l.history.push(j)
	}
	return from
}

// sweepSoon arranges that those who wait are looked at, if they have to go on
// waiting.
func (l *loop) sweepSoon(now time.Time) {
	if at := l.swept.Add(sweepEvery); at.After(now) {
		l.sweepAt = at
	} else {
		l.sweepAt = now
	}
}

// sweep ends what has waited too long and lets go what was given up. It notes
// when to look again.
func (l *loop) sweep(now time.Time) {
	if l.sweepAt.IsZero() || now.Before(l.sweepAt) {
		return
	}
	l.swept, l.sweepAt = now, time.Time{}
	var first time.Time
	for _, queue := range []*list{&l.again, &l.fresh} {
		kept := list{}
		for j := queue.pop(); j != nil; j = queue.pop() {
			limit := l.waitsUntil(j)
			switch {
			case j.state.Load() == jobOver:
				l.drop(j)
				continue
			case !limit.After(now):
				cause := error(apns.ErrNoTime)
				if l.conn == nil && l.lastErr != nil {
					cause = l.lastErr
					if !j.notAfter.After(now) {
						cause = fmt.Errorf("%w; %w", apns.ErrNoTime, l.lastErr)
					}
				}
				l.end(j, unsent(j, cause))
				continue
			case first.IsZero() || limit.Before(first):
				first = limit
			}
			kept.push(j)
		}
		*queue = kept
	}
	if !first.IsZero() {
		l.sweepAt = first
		if soon := now.Add(sweepEvery); first.Before(soon) {
			l.sweepAt = soon
		}
	}
}

// waitsUntil is when a job that is not written by then ends.
func (l *loop) waitsUntil(j *job) time.Time {
	if l.conn != nil {
		return j.notAfter
	}
	since := j.waiting
	if l.offline.After(since) {
		since = l.offline
	}
	if giveUp := since.Add(l.c.cfg.ConnectWait); giveUp.Before(j.notAfter) {
		return giveUp
	}
	return j.notAfter
}

// end tells an outcome, unless somebody else has, and lets the job go.
func (l *loop) end(j *job, err error) {
	l.leave(j)
	if j.state.Swap(jobOver) == jobOver {
		return
	}
	l.c.tell(j, err)
	l.ended.add(j)
}

// giveUp does what the owner of a job is about to do.
func (l *loop) giveUp(j *job) {
	l.leave(j)
	if err, ok := j.giveUp(because(j.ctx)); ok {
		l.c.tell(j, err)
		l.ended.add(j)
	}
}

// drop lets go a job that somebody has given up.
func (l *loop) drop(j *job) { l.leave(j) }

// leave frees the room that a job took, now that the loop has no use for it.
func (l *loop) leave(j *job) {
	if j.slot {
		<-l.c.slots
	}
}

func (l *loop) resent(j *job, cause error) {
	l.c.resends.Add(1)
	l.retried(j, apns.RetryEvent{Attempt: int(j.attempts.Load()), Err: cause})
}

func (l *loop) retried(j *job, e apns.RetryEvent) {
	if l.c.cfg.Hooks.OnRetry != nil {
		l.c.cfg.Hooks.OnRetry(j.n, e)
	}
}

// finish ends everything that is left and waits for everybody.
func (l *loop) finish() {
	l.timer.Stop()
	if l.dialling {
		if r := <-l.dialled; r.raw != nil {
			r.raw.Close()
		}
	}
	conn := l.conn
	if conn != nil {
		if conn.over() && conn.packet != nil {
			l.connectionEnded(l.c.now()) // what it says still counts
		} else {
			l.setConnection(nil)
			conn.farewell()
			l.closed(conn, nil, l.c.now())
		}
	}
	cause := apns.ErrClosed
	for j := l.history.pop(); j != nil; j = l.history.pop() {
		if j.end <= conn.done {
			j.attempts.Add(1)
			l.end(j, &apns.UnknownError{Cause: cause})
		} else {
			l.end(j, unsent(j, cause))
		}
	}
	// From now on nothing can be submitted.
	top := l.c.submitted.Swap(closedStack)
	for top != nil {
		next := top.next
		l.fresh.push(top)
		top = next
	}
	l.again.join(&l.fresh)
	for _, j := range l.delayed {
		l.again.push(j)
	}
	l.delayed = nil
	for j := l.again.pop(); j != nil; j = l.again.pop() {
		l.end(j, unsent(j, cause))
	}
	l.ended.flush()
}
