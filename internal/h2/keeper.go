package h2

import (
	"time"

	"golang.org/x/net/http2"
)

// scheduleAt makes the timer fire no later than at. Callers hold mu.
func (c *Conn) scheduleAt(at int64) {
	if at < c.timerAt {
		c.timerAt = at
		c.timer.Reset(max(0, time.Duration(at-c.now())))
	}
}

// keep runs when the timer fires: it ends calls whose time is up, asks a silent
// peer for a sign of life, and gives up a connection that gives none.
func (c *Conn) keep() {
	c.mu.Lock()
	if c.dead != nil {
		c.mu.Unlock()
		return
	}
	now := c.now()
	late := c.expire(now)
	c.probe(now)
	// The next moment at which anything can be due.
	next := now + int64(c.cfg.IdlePing)
	consider := func(at int64) {
		if at != 0 {
			next = min(next, at)
		}
	}
	switch {
	case !c.ready:
		consider(c.settingsBy)
	case c.pingAt != 0:
		consider(c.pingAt + int64(c.cfg.PingTimeout))
	case c.open > 0:
		consider(max(c.lastRead, c.activeSince) + int64(c.cfg.PingAfter))
	default:
		consider(c.lastRead + int64(c.cfg.IdlePing))
	}
	consider(c.nextDeadline)
	if c.writingSince != 0 {
		consider(c.writingSince + int64(writeStall))
	}
	c.timerAt = max(next, now+1)
	if c.dead == nil {
		c.timer.Reset(time.Duration(c.timerAt - now))
	}
	c.unlock()
	c.Wake()
	if len(late) > 0 {
		c.cfg.Handler.Done(c, late)
	}
}

// expire ends the calls whose deadline has passed.
func (c *Conn) expire(now int64) []*Call {
	if c.nextDeadline == 0 || now < c.nextDeadline {
		return nil
	}
	c.nextDeadline = 0
	var late []*Call
	patience := min(c.cfg.RequestTimeout, c.cfg.PingAfter+c.cfg.PingTimeout)
	for _, call := range c.allOpen() {
		switch {
		case call.deadline <= now:
			// A caller in a hurry says nothing about the peer, and neither does
			// a request that flow control held back. What speaks against it is
			// a whole request that had time, with no answer to any since.
			if call.endOffset != 0 && now-call.began >= int64(patience) && c.lastAnswer < call.began {
				c.unanswered++
			}
			c.reset(call, http2.ErrCodeCancel)
			c.fail(call, ErrTimeout, false)
			late = append(late, call)
		case c.nextDeadline == 0 || call.deadline < c.nextDeadline:
			c.nextDeadline = call.deadline
		}
	}
	if c.unanswered >= suspectAfter && !c.suspect {
		c.suspect, c.news = true, true
	}
	return late
}

// probe looks for a connection that has died without saying so.
func (c *Conn) probe(now int64) {
	if !c.ready {
		if now >= c.settingsBy {
			c.end(ErrNoSettings, true)
		}
		return
	}
	if c.writingSince != 0 && now >= c.writingSince+int64(writeStall) {
		c.end(ErrStalled, true)
		return
	}
	if c.pingAt != 0 {
		switch {
		case c.lastRead >= c.pingAt: // any frame is a sign of life
			c.pingAt = 0
		case now >= c.pingAt+int64(c.cfg.PingTimeout):
			c.end(ErrSilent, true)
			return
		}
	}
	silentSince, patience := c.lastRead, c.cfg.IdlePing
	if c.open > 0 {
		silentSince, patience = max(c.lastRead, c.activeSince), c.cfg.PingAfter
	}
	if c.pingAt == 0 && now >= silentSince+int64(patience) {
		c.pingAt = now
		c.framer.WritePing(false, [8]byte{'a', 'v', 'i', 's', 'o'})
	}
}
