package sim

import (
	"slices"
	"time"

	"golang.org/x/net/http2"

	"aviso.example/internal/proto"
)

// maxReady is how much output may wait for a slow peer before the connection
// stops reading.
const maxReady = 1 << 20

// frameSink is what the Framer writes into.
type frameSink conn

func (s *frameSink) Write(p []byte) (int, error) {
	s.out = append(s.out, p...)
	return len(p), nil
}

// headerBuffer is what the HPACK encoder writes into.
type headerBuffer struct{ b []byte }

func (h *headerBuffer) Write(p []byte) (int, error) {
	h.b = append(h.b, p...)
	return len(p), nil
}

// segment is output on its simulated way to the peer.
type segment struct {
	due   time.Duration // since the connection began
	bytes []byte
}

// flush hands the current batch to the writer, or to the simulated network.
func (c *conn) flush() {
	if len(c.out) == 0 || c.silentStart && !c.closing {
		if c.closing {
			c.wake.Broadcast()
		}
		return
	}
	if rtt := c.srv.cfg.RoundTrip; rtt > 0 {
		c.held = append(c.held, segment{time.Since(c.start) + rtt, slices.Clone(c.out)})
		c.heldSize += len(c.out)
		c.out = c.out[:0]
		c.after(rtt, c.arrive)
		return
	}
	if len(c.ready) == 0 {
		c.ready, c.out = c.out, c.ready
	} else {
		c.ready = append(c.ready, c.out...)
		c.out = c.out[:0]
	}
	if !c.writing || c.closing {
		c.wake.Broadcast()
	}
}

// arrive releases output whose round trip is over.
func (c *conn) arrive() {
	now := time.Since(c.start)
	n := 0
	for ; n < len(c.held) && c.held[n].due <= now; n++ {
		c.ready = append(c.ready, c.held[n].bytes...)
		c.heldSize -= len(c.held[n].bytes)
		c.held[n].bytes = nil
	}
	c.held = c.held[n:]
	c.wake.Broadcast()
}

// writeLoop writes what is ready until the connection ends; it then closes the
// raw connection unless the reader lingers.
func (c *conn) writeLoop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		for len(c.ready) == 0 && !c.dead && !(c.closing && len(c.held) == 0) {
			c.wake.Wait()
		}
		if c.dead || len(c.ready) == 0 {
			return
		}
		buf := c.ready
		c.ready, c.spare = c.spare[:0], nil
		c.writing = true
		c.mu.Unlock()
		c.nc.SetWriteDeadline(time.Now().Add(c.srv.cfg.WriteTimeout))
		_, err := c.nc.Write(buf)
		c.mu.Lock()
		c.writing = false
		if cap(buf) <= 2*maxReady {
			c.spare = buf[:0]
		}
		c.wake.Broadcast()
		if err != nil {
			if !c.dead {
				c.dead = true
				c.raw.Close()
			}
			return
		}
	}
}

// begin sends the first SETTINGS, unless a fault is slow about it.
func (c *conn) begin() {
	cfg := &c.srv.cfg
	c.limit = cfg.UnauthenticatedMaxStreams
	if c.cert != nil && !c.srv.guesses().CertificateStartsAtOne {
		c.limit = c.fullLimit
	}
	special := c.faults.settings
	if special.MaxStreams != nil {
		c.limit, c.fullLimit = *special.MaxStreams, *special.MaxStreams
	}
	first := func() {
		// SETTINGS has to be the first frame (RFC 9113 section 3.4), so what was
		// said meanwhile follows it.
		early := slices.Clone(c.out)
		c.out, c.silentStart = c.out[:0], false
		defer func() { c.out = append(c.out, early...) }()
		or := func(v *uint32, usual uint32) uint32 {
			if v != nil {
				return *v
			}
			return usual
		}
		c.sendSettings(
			http2.Setting{ID: http2.SettingHeaderTableSize, Val: or(special.HeaderTableSize, proto.HeaderTableSize)},
			http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: c.limit},
			http2.Setting{ID: http2.SettingInitialWindowSize, Val: or(special.InitialWindow, cfg.InitialWindow)},
			http2.Setting{ID: http2.SettingMaxFrameSize, Val: or(special.MaxFrameSize, cfg.MaxFrameSize)},
			http2.Setting{ID: http2.SettingMaxHeaderListSize, Val: or(special.MaxHeaderList, cfg.MaxHeaderList)},
		)
		if more := cfg.ConnectionWindow - protocolWindow; more > 0 {
			c.fr.WriteWindowUpdate(0, more)
			c.recvWindow += int64(more)
		}
		if c.cert != nil {
			c.setLimit(c.fullLimit)
		}
	}
	if d := c.faults.slowSettings; d > 0 {
		c.silentStart = true
		c.after(d, first)
		return
	}
	first()
}

// sendSettings writes SETTINGS and remembers what takes effect with the ACK.
func (c *conn) sendSettings(settings ...http2.Setting) {
	window := int64(-1)
	for _, s := range settings {
		if s.ID == http2.SettingInitialWindowSize {
			window = int64(s.Val)
		}
	}
	c.unacked = append(c.unacked, window)
	c.fr.WriteSettings(settings...)
}

// setLimit announces another stream limit and holds the peer to it from now on:
// when it drops, streams whose request is not complete are refused, newest first
// (observed: pushy#476).
func (c *conn) setLimit(n uint32) {
	if n == c.limit {
		return
	}
	c.limit = n
	c.sendSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: n})
	if uint32(c.active) <= n {
		return
	}
	var open []uint32
	for id, st := range c.streams {
		if !st.ended {
			open = append(open, id)
		}
	}
	slices.Sort(open)
	for len(open) > 0 && uint32(c.active) > n {
		id := open[len(open)-1]
		open = open[:len(open)-1]
		c.count.Refused++
		c.resetStream(id, http2.ErrCodeRefusedStream)
	}
}

// authenticated raises the limit after the first valid provider token.
func (c *conn) authenticated() {
	if !c.authed {
		c.authed = true
		c.setLimit(c.fullLimit)
	}
}
