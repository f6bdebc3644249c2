package sim

import (
	"io"
	"math"
	"net"
	"time"

	"golang.org/x/net/http2"
)

// goAwayParams is a GOAWAY to send.
type goAwayParams struct {
	last   uint32
	code   http2.ErrCode
	debug  []byte
	double bool // followed by a second one without debug data
}

// goAway says goodbye. Streams above last were not processed and are forgotten;
// the others are finished, and then the connection closes.
func (c *conn) goAway(p goAwayParams) {
	c.count.GoAways++
	c.fr.WriteGoAway(p.last, p.code, p.debug)
	if p.double {
		c.count.GoAways++
		c.fr.WriteGoAway(p.last, p.code, nil)
	}
	if !c.goingAway || p.last < c.goAwayLast {
		c.goingAway, c.goAwayLast = true, p.last
	}
	for id, st := range c.streams {
		if id > c.goAwayLast {
			c.drop(st, true)
		}
	}
	c.closeWhenDrained()
	c.flush()
}

// closeWhenDrained begins to close once GOAWAY was said and nothing runs.
func (c *conn) closeWhenDrained() {
	if c.goingAway && c.active == 0 && !c.closing {
		c.startClosing()
	}
}

// startClosing lets the writer finish and wakes the reader.
func (c *conn) startClosing() {
	c.closing = true
	c.flush()
	c.raw.SetReadDeadline(time.Unix(1, 0))
}

// fail answers a connection error (RFC 9113 section 5.4.1).
func (c *conn) fail(code http2.ErrCode, why string) {
	if c.fatal || c.dead {
		return
	}
	c.fatal = true
	c.count.ProtocolErrors++
	c.log.Debug("connection error", "code", code.String(), "why", why)
	c.fr.WriteGoAway(min(c.maxID, math.MaxInt32), code, []byte(why))
	c.startClosing()
}

// linger lets the peer read the last frames: half-close, then read until it is
// gone too.
func (c *conn) linger() {
	if half, ok := c.nc.(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
	}
	if half, ok := c.raw.(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
	}
	c.raw.SetReadDeadline(time.Now().Add(lingerTime))
	io.Copy(io.Discard, c.raw)
}

// abort closes at once, with a TCP reset if asked.
func (c *conn) abort(reset bool) {
	c.mu.Lock()
	c.dead = true
	c.wake.Broadcast()
	c.mu.Unlock()
	if reset {
		resetConn(c.raw)
		return
	}
	c.raw.Close()
}

// resetConn closes with RST instead of FIN where the transport can.
func resetConn(nc net.Conn) {
	switch t := nc.(type) {
	case interface{ SetLinger(int) error }:
		t.SetLinger(0)
	case interface{ Reset() }:
		t.Reset()
	}
	nc.Close()
}
