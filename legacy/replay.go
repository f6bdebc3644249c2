package legacy

import (
	"fmt"
	"math/rand/v2"
	"time"

	"aviso.example/apns"
)

// What is known when a connection has ended ("Binary Provider API", error
// response packet). Let E be the notification that the packet names, and the
// others stand in the order in which they were written:
//
//	packet                          before E   E           after E
//	status 10 (shutdown) or 0       sent       sent        not processed
//	any other status                sent       refused     not processed
//	E has settled already           —          see below   all in flight come after E
//	10, E = 0, nothing has settled  —          —           not processed: none was sent
//	E = 0 or never written          unknown, all of them
//	no packet                       unknown, except what was not written whole
//
// What was not processed is written again on the next connection, in its order
// and before anything new. What is unknown ends so, or is written again if the
// caller allows duplicates.

// line is where an ended connection divides what was in flight on it.
type line struct {
	// sent were accepted, counted from the oldest.
	sent int
	// refused says that the next one was, with the packet's status.
	refused bool
	// unprocessed says that nothing of the rest was processed. Otherwise it is
	// unknown.
	unprocessed bool
	// late is set if the packet names one that had settled: how many notifications
	// were called accepted and were not.
	late uint64
}

// drawLine applies the table above. oldest is the identifier of the first
// notification in flight, or the next to be given out; at is the position of
// the one that the packet names, or -1; settled counts those that the
// connection's silence accepted before.
func drawLine(p *ErrorPacket, at int, oldest uint32, settled uint64) line {
	switch {
	case p == nil:
		return line{}
	case at >= 0 && p.Status.Sent():
		return line{sent: at + 1, unprocessed: true}
	case at >= 0:
		return line{sent: at, refused: true, unprocessed: true}
	case p.Identifier == 0:
		return line{unprocessed: p.Status == StatusShutdown && settled == 0}
	}
	// As serial numbers: how far back it lies, without the 0 that is not used.
	back := oldest - p.Identifier
	if oldest < p.Identifier {
		back--
	}
	if uint64(back) > settled {
		return line{} // not one of this connection's
	}
	wrong := uint64(back)
	if p.Status.Sent() {
		wrong--
	}
	return line{unprocessed: true, late: wrong}
}

// identifierAfter returns the identifier after id. 0 is left out, since a server
// uses it for "none".
func identifierAfter(id uint32) uint32 {
	if id++; id == 0 {
		id = 1
	}
	return id
}

// find returns the position of an identifier among what is in flight, or -1.
func (l *list) find(id uint32) int {
	at := 0
	for j := l.first; j != nil; j = j.next {
		if j.id == id {
			return at
		}
		at++
	}
	return -1
}

// connectionEnded draws the line and gives each notification in flight what it
// gets by it.
func (l *loop) connectionEnded(now time.Time) {
	conn := l.conn
	l.setConnection(nil)
	oldest := l.identifier
	if l.history.first != nil {
		oldest = l.history.first.id
	}
	at := -1
	if conn.packet != nil {
		at = l.history.find(conn.packet.Identifier)
	}
	line := drawLine(conn.packet, at, oldest, conn.settled)
	cause := l.whyEnded(conn, line)
	refused := conn.packet == nil && conn.settled == 0 && refusal(conn.err) != ""
	if refused {
		// TLS 1.3: the server refused the handshake after our part of it.
		line.unprocessed = true
	}

	for range line.sent {
		l.accept(conn, l.history.pop())
	}
	if line.refused {
		l.refuse(conn, l.history.pop(), conn.packet.Status, now)
	}
	var again list
	for j := l.history.pop(); j != nil; j = l.history.pop() {
		if !line.unprocessed && j.end <= conn.done {
			if !l.uncertain(j, cause) {
				continue
			}
		}
		j.waiting = now
		if j.state.CompareAndSwap(jobWritten, jobWaiting) {
			l.resent(j, cause)
			again.push(j)
		} else {
			l.drop(j)
		}
	}
	again.join(&l.again)
	l.again = again
	l.afterConnection(conn, cause, refused, now)
}

// whyEnded is what callers and hooks are told.
func (l *loop) whyEnded(conn *connection, line line) error {
	switch {
	case conn.packet != nil && line.late > 0:
		l.c.late.Add(line.late)
		return &LateError{*conn.packet, line.late}
	case conn.packet != nil:
		return *conn.packet
	case refusal(conn.err) != "":
		return &apns.ConnectError{Stage: "tls", Address: l.c.where.address(), Hint: refusal(conn.err), Err: conn.err}
	case conn.broken != nil:
		return fmt.Errorf("writing failed (%w), and no error packet came", conn.broken)
	}
	return conn.err
}

// accept ends a notification that was sent.
func (l *loop) accept(conn *connection, j *job) {
	conn.judged++
	j.attempts.Add(1)
	l.end(j, nil)
}

// refuse deals with the notification that an error packet names.
func (l *loop) refuse(conn *connection, j *job, s Status, now time.Time) {
	conn.judged++
	attempt := j.attempts.Add(1)
	e := rejection(s)
	if !s.Temporary() {
		// The fault lies in the notification, so that no earlier attempt can
		// have been taken either.
		l.end(j, e)
		return
	}
	delay := jitter(min(retryPauseMax, retryPause<<min(attempt-1, 10)))
	if int(attempt) < l.c.cfg.MaxAttempts && now.Add(delay).Before(j.notAfter) {
		j.refused, j.due, j.waiting = e, now.Add(delay), now.Add(delay)
		if j.state.CompareAndSwap(jobWritten, jobWaiting) {
			l.retried(j, apns.RetryEvent{Attempt: int(attempt), Status: e.Status, Reason: e.Reason, Err: s, Delay: delay})
			l.delay(j)
			return
		}
	}
	if j.unsure != nil {
		l.end(j, &apns.UnknownError{Cause: fmt.Errorf("%w; sent again, it was answered with %w", j.unsure, s)})
		return
	}
	l.end(j, e)
}

// uncertain deals with a notification of which nobody knows what became. It
// reports whether it should be written again.
func (l *loop) uncertain(j *job, cause error) bool {
	attempts := int(j.attempts.Add(1))
	if j.state.Load() == jobOver {
		l.drop(j) // given up: its notification is the caller's again
		return false
	}
	if (l.c.cfg.ResendUnknown || j.resendUnknown) && attempts < l.c.cfg.MaxAttempts {
		j.unsure = cause
		return true
	}
	l.end(j, &apns.UnknownError{Cause: cause})
	return false
}

// unsent is the outcome of a notification that waits and will not be written.
func unsent(j *job, cause error) error {
	switch {
	case j.unsure != nil:
		// An earlier attempt may have been taken; that this one was not made
		// does not change it.
		return &apns.UnknownError{Cause: fmt.Errorf("%w; %w", j.unsure, cause)}
	case j.refused != nil:
		return j.refused // the last thing the server itself had to say
	}
	return &apns.NotSentError{Cause: cause}
}

// jitter spreads a pause over its upper half, so that clients that failed
// together do not come back together.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d/2+1) }
