package h2

import (
	"time"

	"golang.org/x/net/http2"
)

// writeLoop is the only goroutine that writes. It sleeps until woken, gathers
// everything that may go out into one buffer, writes it, and repeats until
// there is nothing left to say.
func (c *Conn) writeLoop() {
	defer c.exit()
	for range c.wake {
		for {
			more, over := c.gather()
			if len(c.out) > 0 {
				n, err := c.nc.Write(c.out)
				c.wrote(n, err)
			}
			if over {
				if !c.listening() {
					c.nc.Close()
				}
				return
			}
			if !more {
				break
			}
		}
	}
}

// gather fills out. more says that there may be something left to write, over
// that this was the last buffer.
func (c *Conn) gather() (more, over bool) {
	c.mu.Lock()
	defer c.unlock()
	c.out = append(c.out[:0], c.ctl.Bytes()...)
	c.ctl.Reset()
	if c.dead == nil {
		c.unblock()
		more = c.openStreams()
		if c.draining && c.open == 0 {
			// A client's last stream is the peer's to name; 0 says that it
			// opened none here (RFC 9113 section 6.8).
			c.framer.WriteGoAway(0, http2.ErrCodeNo, nil)
			c.out = append(c.out, c.ctl.Bytes()...)
			c.ctl.Reset()
			c.end(ErrClosed, false)
		}
	}
	c.queued += uint64(len(c.out))
	if len(c.out) > 0 {
		c.attempted = c.queued
		c.writingSince = c.now()
		c.scheduleAt(c.writingSince + int64(writeStall))
	}
	return more && c.dead == nil, c.dead != nil
}

// wrote notes the end of a Write. A TLS record that was not written whole
// cannot be read by the peer, so n bounds what it can have seen.
func (c *Conn) wrote(n int, err error) {
	c.mu.Lock()
	defer c.unlock()
	c.writingSince = 0
	if err != nil {
		c.attempted = c.queued - uint64(len(c.out)-n)
		if c.dead == nil {
			// The peer may have said why before it closed: a TLS alert, a
			// GOAWAY. The reader gets a moment to find it.
			c.lastWords = true
			c.nc.SetReadDeadline(time.Now().Add(lastWords))
			c.dead = c.lost(err)
			c.news, c.draining = true, true
		}
		c.Wake()
	}
}

// listening says that the reader is still looking for the peer's last words.
func (c *Conn) listening() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lastWords
}

// openStreams takes calls while there is room and encodes them. It returns true
// if it stopped because the buffer is full.
func (c *Conn) openStreams() bool {
	if !c.ready || c.draining {
		return false
	}
	if c.cfg.Refresh != nil {
		if fields := c.cfg.Refresh(); fields != nil {
			c.enc.setCommon(fields)
			c.common++
		}
	}
	c.idle = false
	for len(c.out) < writeBatch {
		room := min(int(c.limit)-c.open, takeBatch)
		if left := int64(maxStreamID-c.nextID)/2 + 1; c.nextID > maxStreamID || int64(room) > left {
			room = int(max(left, 0))
		}
		if c.window <= 0 || room <= 0 {
			c.full = true
			return false
		}
		// A stream that cannot send its body is of no use to anyone; the last
		// body's size tells how many the window will hold.
		if c.lastBody > 0 {
			room = min(room, max(1, int(c.window)/c.lastBody))
		}
		n := c.cfg.Source.Take(c, c.take[:room])
		now := c.now()
		for i := range n {
			c.lastBody = len(c.take[i].Body)
			c.start(c.take[i], now)
			c.take[i] = nil
		}
		if c.nextID > maxStreamID && !c.draining {
			c.draining, c.news = true, true // stream numbers are used up: RFC 9113 section 5.1.1
			return false
		}
		if n < room {
			c.idle, c.full = true, false
			return false
		}
	}
	return true
}

// start opens the stream of a call.
func (c *Conn) start(call *Call, now int64) {
	call.conn, call.common, call.began = c, c.common, now
	call.deadline = now + int64(c.cfg.RequestTimeout)
	if !call.Deadline.IsZero() {
		call.deadline = min(call.deadline, int64(call.Deadline.Sub(c.epoch)))
	}
	var problem error
	switch {
	case call.deadline <= now || !call.NotAfter.IsZero() && int64(call.NotAfter.Sub(c.epoch)) <= now:
		problem = ErrTooLate
	case call.Context != nil && call.Context.Err() != nil:
		problem = ErrOver
	case c.maxList != noLimit && c.enc.sectionSize(call) > c.maxList:
		problem = ErrHeaderTooLarge
	}
	if problem != nil {
		call.id = 0
		call.Err = &Failure{NotProcessed: true, Cause: problem}
		c.unsent = append(c.unsent, call)
		return
	}
	call.id = c.nextID
	c.nextID += 2
	call.sendWindow, call.recvWindow = c.initial, initialWindow
	c.add(call)
	c.opened++
	if c.open == 1 {
		c.activeSince = now
		c.scheduleAt(now + int64(c.cfg.PingAfter))
	}
	if c.nextDeadline == 0 || call.deadline < c.nextDeadline {
		c.nextDeadline = call.deadline
		c.scheduleAt(call.deadline)
	}
	c.headers(call)
	if len(call.Body) > 0 && !c.data(call) {
		call.blocked = true
		c.blocked = append(c.blocked, call)
	}
}

// headers appends HEADERS, and CONTINUATION where the block exceeds a frame.
func (c *Conn) headers(call *Call) {
	at := len(c.out)
	c.out = append(c.out, make([]byte, frameHeaderLen)...)
	c.out = c.enc.encode(c.out, call)
	n := len(c.out) - at - frameHeaderLen
	flags := http2.FlagHeadersEndHeaders
	if len(call.Body) == 0 {
		flags |= http2.FlagHeadersEndStream
	}
	if n <= c.maxFrame {
		putFrameHeader(c.out[at:], n, http2.FrameHeaders, flags, call.id)
	} else {
		block := append([]byte(nil), c.out[at+frameHeaderLen:]...)
		c.out = c.out[:at]
		kind, flags := http2.FrameHeaders, flags&^http2.FlagHeadersEndHeaders
		for len(block) > 0 {
			part := block[:min(len(block), c.maxFrame)]
			if block = block[len(part):]; len(block) == 0 {
				flags |= http2.FlagContinuationEndHeaders
			}
			c.out = appendFrameHeader(c.out, len(part), kind, flags, call.id)
			c.out = append(c.out, part...)
			kind, flags = http2.FrameContinuation, 0
		}
	}
	if len(call.Body) == 0 {
		call.endOffset = c.queued + uint64(len(c.out))
	}
}

// data appends as much of the body as the windows allow and reports whether all
// of it is out.
func (c *Conn) data(call *Call) bool {
	for call.sent < len(call.Body) {
		rest := call.Body[call.sent:]
		n := int(min(int64(len(rest)), int64(c.maxFrame), call.sendWindow, c.window))
		if n <= 0 {
			return false
		}
		var flags http2.Flags
		if n == len(rest) {
			flags = http2.FlagDataEndStream
		}
		c.out = appendFrameHeader(c.out, n, http2.FrameData, flags, call.id)
		c.out = append(c.out, rest[:n]...)
		call.sent += n
		call.sendWindow -= int64(n)
		c.window -= int64(n)
	}
	call.endOffset = c.queued + uint64(len(c.out))
	return true
}

// unblock lets bodies go on that waited for a window.
func (c *Conn) unblock() {
	if len(c.blocked) == 0 || c.window <= 0 {
		return
	}
	waiting := c.blocked
	c.blocked = c.blocked[:0]
	for i, call := range waiting {
		if len(c.out) >= 2*writeBatch {
			c.blocked = append(c.blocked, waiting[i:]...)
			c.Wake()
			return
		}
		if c.data(call) {
			call.blocked = false
		} else {
			c.blocked = append(c.blocked, call)
		}
	}
}

func appendFrameHeader(dst []byte, n int, kind http2.FrameType, flags http2.Flags, id uint32) []byte {
	return append(dst, byte(n>>16), byte(n>>8), byte(n), byte(kind), byte(flags),
		byte(id>>24), byte(id>>16), byte(id>>8), byte(id))
}

func putFrameHeader(dst []byte, n int, kind http2.FrameType, flags http2.Flags, id uint32) {
	appendFrameHeader(dst[:0], n, kind, flags, id)
}
