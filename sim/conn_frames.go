package sim

import (
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"aviso.example/internal/proto"
)

const (
	// maxBlockFrames bounds the frames of one header block; 8,000 octets fit in
	// one.
	maxBlockFrames = 64
	// maxSwallowed bounds what is read of a body that is too large already, before
	// the stream is reset. Within it the answer comes at the end of the request,
	// which every client understands.
	maxSwallowed = 1 << 20
	// maxKept bounds what is kept of a body: enough to judge and record.
	maxKept = proto.MaxPayloadVoIP + 1
	// maxWindow is the largest flow-control window (RFC 9113 section 6.9.1).
	maxWindow = 1<<31 - 1
	// controlSpan is the time in which control frames are counted.
	controlSpan = 10 * time.Second
)

// headerBlock is the block being read.
type headerBlock struct {
	req    request
	id     uint32
	end    bool
	size   int
	frames int
}

// handle acts on one frame.
func (c *conn) handle(f http2.Frame) {
	if !c.gotSettings {
		if s, ok := f.(*http2.SettingsFrame); !ok || s.IsAck() {
			c.fail(http2.ErrCodeProtocol, "the first frame must be SETTINGS")
			return
		}
		c.gotSettings = true
	}
	switch f := f.(type) {
	case *http2.DataFrame:
		c.onData(f)
	case *http2.HeadersFrame:
		c.onHeaders(f)
	case *http2.ContinuationFrame:
		c.onContinuation(f)
	case *http2.WindowUpdateFrame:
		c.onWindowUpdate(f)
	case *http2.SettingsFrame:
		c.onSettings(f)
	case *http2.PingFrame:
		if !f.IsAck() {
			c.chargeControl()
			c.fr.WritePing(true, f.Data)
		}
	case *http2.RSTStreamFrame:
		c.onReset(f)
	case *http2.PriorityFrame:
		if f.StreamDep == f.StreamID {
			c.resetOrFail(f.StreamID, http2.ErrCodeProtocol, "stream depends on itself")
		}
		c.chargeControl() // otherwise ignored, as Apple does
	case *http2.GoAwayFrame:
		// The peer opens no more streams; what runs is finished.
		c.goingAway, c.goAwayLast = true, c.maxID
		c.closeWhenDrained()
	case *http2.PushPromiseFrame:
		c.fail(http2.ErrCodeProtocol, "a client cannot push")
	default:
		c.chargeControl()
	}
}

// chargeControl counts a frame that costs work without bringing a request
// nearer. A peer that sends too many is told to calm down.
func (c *conn) chargeControl() {
	if c.batchTime.Sub(c.controlSince) >= controlSpan {
		c.control, c.controlSince = 0, c.batchTime
		c.controlLimit = c.srv.cfg.MaxControlFrames
	}
	if c.control++; c.control > c.controlLimit && !c.fatal {
		c.srv.cfg.Logger.Warn("connection ended: too many control frames", "connection", c.id)
		c.fail(http2.ErrCodeEnhanceYourCalm, "too many control frames")
	}
}

func (c *conn) idle(id uint32) bool { return id > c.maxID || id%2 == 0 }

// resetOrFail answers a stream error, which for a stream nobody opened is an
// error of the connection.
func (c *conn) resetOrFail(id uint32, code http2.ErrCode, why string) {
	if c.idle(id) && id%2 == 0 {
		c.fail(code, why)
		return
	}
	c.resetStream(id, code)
}

func (c *conn) onHeaders(f *http2.HeadersFrame) {
	id := f.StreamID
	st := c.streams[id]
	c.trailers = false
	switch {
	case id%2 == 0:
		c.fail(http2.ErrCodeProtocol, "even stream id from a client")
		return
	case st != nil && st.ended:
		c.drop(st, true)
		c.fr.WriteRSTStream(id, http2.ErrCodeStreamClosed)
		c.block = headerBlock{id: id, req: c.block.req}
		c.trailers = true // decoded, then ignored
	case st != nil:
		if !f.StreamEnded() {
			c.fail(http2.ErrCodeProtocol, "second header block without END_STREAM")
			return
		}
		c.trailers = true
	case id <= c.maxID:
		known, byUs := c.wasClosed(id)
		if !byUs {
			code := http2.ErrCodeProtocol
			if known {
				code = http2.ErrCodeStreamClosed
			}
			c.fail(code, "HEADERS on a closed stream")
			return
		}
		c.trailers = true
	default:
		c.maxID = id
	}
	if f.HasPriority() && f.Priority.StreamDep == id {
		c.resetStream(id, http2.ErrCodeProtocol)
		c.trailers = true
	}
	c.block.id, c.block.end = id, f.StreamEnded()
	c.block.size, c.block.frames = 0, 0
	c.block.req.reset()
	c.fragment(f.HeaderBlockFragment(), f.HeadersEnded())
}

func (c *conn) onContinuation(f *http2.ContinuationFrame) {
	c.fragment(f.HeaderBlockFragment(), f.HeadersEnded())
}

// fragment decodes a part of a header block as it comes, so that a block in many
// frames needs no memory of its own.
func (c *conn) fragment(p []byte, last bool) {
	c.block.size += len(p)
	c.block.frames++
	limit := 4 * int(c.srv.cfg.MaxHeaderList)
	tooLarge := c.block.size > limit || c.block.frames > maxBlockFrames
	if !tooLarge {
		if last && c.block.frames == 1 {
			p = c.plain.block(p)
		}
		if _, err := c.dec.Write(p); err != nil {
			c.fail(http2.ErrCodeCompression, "header block cannot be decoded")
			return
		}
		// Few bytes can refer to much: that is judged after decoding.
		tooLarge = c.block.req.size > 4*limit
	}
	if tooLarge {
		c.fail(http2.ErrCodeEnhanceYourCalm, "header block too large")
		return
	}
	if !last {
		return
	}
	if err := c.dec.Close(); err != nil {
		c.fail(http2.ErrCodeCompression, "header block is truncated")
		return
	}
	if c.trailers {
		c.onTrailers()
		return
	}
	c.onRequest()
}

// onField receives one decoded field.
func (c *conn) onField(hf hpack.HeaderField) {
	c.block.req.add(hf, c.ptValue, int(c.srv.cfg.MaxHeaderList), !c.srv.cfg.Lean)
}

func (c *conn) onTrailers() {
	st := c.streams[c.block.id]
	if st == nil {
		return // reset by us
	}
	if r := &c.block.req; r.malformed != "" || r.seen&(1<<firstRegularField-1) != 0 {
		c.drop(st, true)
		c.fr.WriteRSTStream(st.id, http2.ErrCodeProtocol)
		return
	}
	c.endRequest(st)
}

// onRequest begins a stream once its header block is complete.
func (c *conn) onRequest() {
	id := c.block.id
	c.count.Streams++
	if c.goingAway && id > c.goAwayLast {
		// Above the last id: the peer knows that it is not processed.
		c.remember(id, true)
		return
	}
	r := &c.block.req
	if why := r.problem(); why != "" && r.size <= int(c.srv.cfg.MaxHeaderList) {
		c.log.Debug("malformed request", "stream", id, "why", why)
		c.count.Malformed++
		c.resetStream(id, http2.ErrCodeProtocol)
		return
	}
	over := uint32(c.active) >= c.limit
	if over && (c.acked || c.srv.guesses().LimitAtOnce) {
		c.count.Refused++
		if c.srv.guesses().GoAwayOverLimit {
			c.goAway(goAwayParams{last: c.lastBefore(id), code: http2.ErrCodeRefusedStream, debug: []byte(overLimitText)})
			c.remember(id, true)
			return
		}
		c.resetStream(id, http2.ErrCodeRefusedStream)
		return
	}
	st := c.newStream(id) // takes the request over: r is another one now
	st.crossed = over
	if c.srv.faults.busy.Load() && c.playOnHeaders(st) {
		return
	}
	if c.block.end {
		c.endRequest(st)
	}
}

// overLimitText is Netty's, as seen from Apple (golang/go#17265).
const overLimitText = "Maximum active streams violated for this endpoint."

func (c *conn) lastBefore(id uint32) uint32 {
	if id < 2 {
		return 0
	}
	return id - 2
}

func (c *conn) onData(f *http2.DataFrame) {
	n := int64(f.Length) // padding counts too
	if c.recvWindow -= n; c.recvWindow < 0 {
		c.fail(http2.ErrCodeFlowControl, "connection window exceeded")
		return
	}
	if c.recvUnsent += n; c.recvUnsent >= int64(c.srv.cfg.ConnectionWindow)/2 && !c.faults.noUpdates {
		c.fr.WriteWindowUpdate(0, uint32(c.recvUnsent))
		c.recvWindow += c.recvUnsent
		c.recvUnsent = 0
	}
	st := c.streams[f.StreamID]
	if st == nil {
		c.lateData(f.StreamID)
		return
	}
	if st.ended {
		c.resetStream(st.id, http2.ErrCodeStreamClosed)
		return
	}
	if st.recvWindow -= n; st.recvWindow < 0 {
		c.resetStream(st.id, http2.ErrCodeFlowControl)
		return
	}
	data := f.Data()
	if len(data) == 0 && !f.StreamEnded() {
		c.chargeControl()
	}
	st.size += len(data)
	if c.keepsBodies(st) && len(st.body) < maxKept {
		st.body = append(st.body, data[:min(len(data), maxKept-len(st.body))]...)
	}
	if f.StreamEnded() {
		c.endRequest(st)
		return
	}
	if st.size > maxSwallowed {
		st.judged = true
		c.answer(st, answer{verdict: refuse(proto.ReasonPayloadTooLarge)}, false)
		return
	}
	if st.unsent += n; st.unsent >= max(1, c.localWindow/2) && !c.faults.noUpdates {
		c.fr.WriteWindowUpdate(st.id, uint32(st.unsent))
		st.recvWindow += st.unsent
		st.unsent = 0
	}
}

func (c *conn) keepsBodies(st *stream) bool {
	return st.kind != requestDevice || !c.srv.cfg.Lean || c.srv.guesses().RefuseMalformedJSON
}

// lateData judges DATA for a stream that is gone: no error after our own reset
// or above GOAWAY's last id, since both cross on the wire.
func (c *conn) lateData(id uint32) {
	switch known, byUs := c.wasClosed(id); {
	case c.idle(id):
		c.fail(http2.ErrCodeProtocol, "DATA on an idle stream")
	case known && byUs, c.goingAway && id > c.goAwayLast:
	default:
		c.chargeControl()
		c.resetStream(id, http2.ErrCodeStreamClosed)
	}
}

// endRequest judges a complete request and answers it.
func (c *conn) endRequest(st *stream) {
	st.ended = true
	if st.silent {
		return
	}
	if st.req.contentLength >= 0 && st.req.contentLength != int64(st.size) {
		c.count.Malformed++
		c.resetStream(st.id, http2.ErrCodeProtocol)
		return
	}
	c.count.Requests++
	c.controlLimit++ // a peer that gets work done may also talk more
	if st.req.size > int(c.srv.cfg.MaxHeaderList) {
		c.answer(st, answer{verdict: verdict{status: 431}}, true)
		return
	}
	if c.srv.faults.busy.Load() && c.play(st) {
		return
	}
	c.process(st, plan{})
}

func (c *conn) onReset(f *http2.RSTStreamFrame) {
	if c.idle(f.StreamID) {
		c.fail(http2.ErrCodeProtocol, "RST_STREAM on an idle stream")
		return
	}
	c.chargeControl()
	if st := c.streams[f.StreamID]; st != nil {
		c.count.Cancelled++
		c.drop(st, false)
	}
}

func (c *conn) onWindowUpdate(f *http2.WindowUpdateFrame) {
	n := int64(f.Increment)
	if f.StreamID == 0 {
		if c.sendWindow += n; c.sendWindow > maxWindow {
			c.fail(http2.ErrCodeFlowControl, "connection window above 2^31-1")
			return
		}
		if len(c.blocked) == 0 {
			c.chargeControl()
		}
		c.unblock()
		return
	}
	if c.idle(f.StreamID) {
		c.fail(http2.ErrCodeProtocol, "WINDOW_UPDATE on an idle stream")
		return
	}
	st := c.streams[f.StreamID]
	if st == nil {
		return // late
	}
	if st.sendWindow += n; st.sendWindow > maxWindow {
		c.resetStream(st.id, http2.ErrCodeFlowControl)
		return
	}
	if len(st.pending) == 0 {
		c.chargeControl()
	}
	c.continueBody(st)
}

func (c *conn) onSettings(f *http2.SettingsFrame) {
	if f.IsAck() {
		if len(c.unacked) == 0 {
			c.chargeControl() // nobody asked
			return
		}
		c.acked = true
		window := c.unacked[0]
		if c.unacked = c.unacked[1:]; window >= 0 {
			delta := window - c.localWindow
			c.localWindow = window
			for _, st := range c.streams {
				st.recvWindow += delta
			}
		}
		return
	}
	c.chargeControl()
	err := f.ForeachSetting(func(s http2.Setting) error {
		if err := s.Valid(); err != nil {
			return err
		}
		switch s.ID {
		case http2.SettingHeaderTableSize:
			// Larger tables are allowed, not demanded.
			c.enc.SetMaxDynamicTableSize(min(s.Val, proto.HeaderTableSize))
			c.encFresh = true
		case http2.SettingInitialWindowSize:
			delta := int64(s.Val) - c.peerWindow
			c.peerWindow = int64(s.Val)
			for _, st := range c.streams {
				if st.sendWindow += delta; st.sendWindow > maxWindow {
					return http2.ConnectionError(http2.ErrCodeFlowControl)
				}
			}
		case http2.SettingMaxFrameSize:
			c.peerFrame = int(s.Val)
		}
		return nil
	})
	if err != nil {
		code := http2.ErrCodeProtocol
		if e, ok := err.(http2.ConnectionError); ok {
			code = http2.ErrCode(e)
		}
		c.fail(code, "invalid SETTINGS")
		return
	}
	c.fr.WriteSettingsAck()
	c.unblock()
}
