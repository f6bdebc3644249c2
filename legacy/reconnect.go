package legacy

import (
	"context"
	"time"

	"aviso.example/apns"
)

// dial begins an attempt to connect, if there is something to write and it is
// time.
func (l *loop) dial(now time.Time) {
	if l.conn != nil || l.dialling || !l.hasWork() || now.Before(l.dialNext) {
		return
	}
	l.credit = min(dialBurst, l.credit+now.Sub(l.credited).Seconds()/dialEvery.Seconds())
	l.credited = now
	if l.credit < 1 {
		l.dialNext = now.Add(time.Duration((1 - l.credit) * float64(dialEvery)))
		// A rounding error must not make the loop spin.
		l.dialNext = l.dialNext.Add(time.Millisecond)
		return
	}
	l.credit--
	l.dialling = true
	l.numbers++
	l.c.dials.Add(1)
	d, results := l.c.dialler, l.dialled
	go func() {
		ctx, cancel := context.WithTimeout(l.dialBy, dialTimeout)
		defer cancel()
		secure, raw, err := d.connect(ctx)
		results <- dialResult{secure, raw, err, time.Since(now)}
	}()
}

// connected takes the result of a dial.
func (l *loop) connected(r dialResult) {
	l.dialling = false
	now := l.c.now()
	if r.err != nil {
		l.c.dialFailures.Add(1)
		l.event(apns.ConnectionEvent{Kind: apns.ConnectFailed, Connection: l.numbers, Err: r.err, Took: r.took})
		l.noConnection(r.err, permanent(r.err), now)
		return
	}
	failUnacknowledged(r.raw, max(time.Second, l.c.cfg.SettleTime*3/4))
	l.setConnection(newConnection(l.numbers, r.secure, r.raw, now))
	l.sweepSoon(now)
	l.event(apns.ConnectionEvent{Kind: apns.Connected, Connection: l.numbers, Remote: r.raw.RemoteAddr().String(), Took: r.took})
}

// afterConnection decides what follows the end of a connection: another one at
// once if this one came to something, otherwise a pause.
func (l *loop) afterConnection(conn *connection, cause error, refused bool, now time.Time) {
	l.closed(conn, cause, now)
	l.credit = min(dialBurst, l.credit+float64(conn.judged)/earnedBack)
	l.offline = now
	if conn.judged > 0 {
		l.failures = 0
		l.dialNext, l.lastErr = now, cause
		l.sweepSoon(now)
		return
	}
	l.noConnection(cause, refused, now)
}

// noConnection notes an attempt that led to nothing.
func (l *loop) noConnection(cause error, forGood bool, now time.Time) {
	l.failures++
	l.lastErr = cause
	l.dialNext = now.Add(jitter(min(backoffMax, backoffMin<<min(l.failures-1, 10))))
	l.sweepSoon(now)
	if forGood {
		for _, queue := range []*list{&l.again, &l.fresh} {
			for j := queue.pop(); j != nil; j = queue.pop() {
				l.end(j, unsent(j, cause))
			}
		}
	}
}

func (l *loop) setConnection(conn *connection) {
	l.conn = conn
	l.c.current.Store(conn)
}

// closed reports the end of a connection.
func (l *loop) closed(conn *connection, cause error, now time.Time) {
	l.event(apns.ConnectionEvent{
		Kind: apns.ConnectionClosed, Connection: conn.number, Remote: conn.raw.RemoteAddr().String(),
		Err: cause, Took: now.Sub(conn.since), Answered: conn.judged,
	})
}

func (l *loop) event(e apns.ConnectionEvent) {
	log, args := l.c.cfg.Logger, []any{"connection", e.Connection, "endpoint", l.c.where.address()}
	if e.Err != nil {
		args = append(args, "err", e.Err)
	}
	_, late := e.Err.(*LateError)
	switch {
	case e.Kind == apns.Connected:
		log.Info("connected to the binary gateway", append(args, "took", e.Took)...)
	case e.Kind == apns.ConnectFailed:
		log.Warn("no connection to the binary gateway", append(args, "took", e.Took)...)
	case late:
		log.Warn("an error packet came too late", append(args, "judged", e.Answered, "age", e.Took)...)
	default:
		log.Info("connection to the binary gateway closed", append(args, "judged", e.Answered, "age", e.Took)...)
	}
	if l.c.cfg.Hooks.OnConnection != nil {
		l.c.cfg.Hooks.OnConnection(e)
	}
}
