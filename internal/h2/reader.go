package h2

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/net/http2"
)

// readLoop is the only goroutine that reads. It parses every whole frame that
// one Read brought, then hands over the calls that ended.
func (c *Conn) readLoop() {
	defer c.exit()
	buf := make([]byte, readBuffer)
	have, first := 0, true
	for {
		n, err := c.nc.Read(buf[have:])
		have += n
		c.mu.Lock()
		if n > 0 {
			c.lastRead = c.now()
		}
		used, wake := 0, false
		for c.dead == nil || c.lastWords {
			frame := buf[used:have]
			if first && (len(frame) >= frameHeaderLen || bytes.HasPrefix(frame, []byte("HTTP/"))) {
				if problem := checkFirst(frame); problem != nil {
					c.violation(problem)
					break
				}
				first = false
			}
			if len(frame) < frameHeaderLen {
				break
			}
			size := int(frame[0])<<16 | int(frame[1])<<8 | int(frame[2])
			if size > maxFrameSize {
				c.violation(&ProtocolError{http2.ErrCodeFrameSize, fmt.Sprintf("a frame of %d bytes", size)})
				break
			}
			if len(frame) < frameHeaderLen+size {
				break
			}
			poke, problem := c.frame(frame[:frameHeaderLen+size])
			wake = wake || poke
			if problem != nil {
				c.violation(problem)
				break
			}
			used += frameHeaderLen + size
		}
		switch {
		case err == nil:
		case c.dead == nil:
			c.end(c.lost(err), true)
		case c.lastWords && !errors.Is(err, os.ErrDeadlineExceeded):
			c.dead = c.lost(err)
		}
		over := err != nil || c.dead != nil && !c.lastWords
		wake = wake || over || c.ctl.Len() > 0 || c.draining && c.open == 0
		ended := c.ended
		c.unlock()
		if wake {
			c.Wake()
		}
		if len(ended) > 0 {
			c.cfg.Handler.Done(c, ended)
			clear(ended)
			c.ended = ended[:0]
		}
		if over {
			return
		}
		have = copy(buf, buf[used:have])
	}
}

// checkFirst recognises peers that do not speak HTTP/2 at all.
func checkFirst(frame []byte) *ProtocolError {
	switch {
	case bytes.HasPrefix(frame, []byte("HTTP/")):
		return &ProtocolError{http2.ErrCodeHTTP11Required, "it answered in HTTP/1; is this an APNs endpoint, or did a proxy answer?"}
	case http2.FrameType(frame[3]) != http2.FrameSettings || http2.Flags(frame[4])&http2.FlagSettingsAck != 0:
		return &ProtocolError{http2.ErrCodeProtocol, "its first frame is not SETTINGS"}
	}
	return nil
}

// violation ends the connection and tells the peer which rule it broke.
func (c *Conn) violation(problem *ProtocolError) {
	c.lastWords = false
	if c.dead == nil {
		c.framer.WriteGoAway(0, problem.Code, nil)
	}
	c.end(problem, false)
}

// frame handles one whole frame. wake says that the writer has something to do.
func (c *Conn) frame(f []byte) (wake bool, problem *ProtocolError) {
	kind, flags := http2.FrameType(f[3]), http2.Flags(f[4])
	id := binary.BigEndian.Uint32(f[5:]) & maxStreamID
	payload := f[frameHeaderLen:]
	if c.header.open && (kind != http2.FrameContinuation || id != c.header.id) {
		return false, &ProtocolError{http2.ErrCodeProtocol, "a header section was interrupted by another frame"}
	}
	switch kind {
	case http2.FrameHeaders:
		return c.onHeaders(id, flags, payload)
	case http2.FrameContinuation:
		return c.onContinuation(id, flags, payload)
	case http2.FrameData:
		return c.onData(id, flags, payload)
	}

	c.rare.Reset(f)
	parsed, err := c.framer.ReadFrame()
	if err != nil {
		switch err := err.(type) {
		case http2.ConnectionError:
			return false, &ProtocolError{http2.ErrCode(err), fmt.Sprintf("a malformed %v frame", kind)}
		case http2.StreamError:
			if call := c.lookup(err.StreamID); call != nil {
				c.malformed(call, err.Code, fmt.Sprintf("a malformed %v frame", kind))
			}
			return true, nil
		default:
			return false, &ProtocolError{http2.ErrCodeFrameSize, fmt.Sprintf("a malformed %v frame: %v", kind, err)}
		}
	}
	switch parsed := parsed.(type) {
	case *http2.SettingsFrame:
		return c.onSettings(parsed)
	case *http2.WindowUpdateFrame:
		return c.onWindowUpdate(parsed)
	case *http2.RSTStreamFrame:
		return c.onReset(parsed)
	case *http2.PingFrame:
		if !parsed.IsAck() {
			c.framer.WritePing(true, parsed.Data)
			return true, c.checkControl()
		}
	case *http2.GoAwayFrame:
		return c.onGoAway(parsed)
	case *http2.PushPromiseFrame:
		return false, &ProtocolError{http2.ErrCodeProtocol, "PUSH_PROMISE although server push is disabled"}
	}
	return false, nil // PRIORITY and unknown types are ignored (RFC 9113 sections 5.3.2, 5.5)
}

// checkControl ends a connection whose peer makes us owe it more control frames
// than it is willing to read.
func (c *Conn) checkControl() *ProtocolError {
	if c.ctl.Len() > maxControl {
		return &ProtocolError{http2.ErrCodeEnhanceYourCalm, "too many frames that need an answer"}
	}
	return nil
}

// idle streams were never opened; a frame on one is a connection error (RFC
// 9113 section 5.1).
func (c *Conn) isIdle(id uint32) bool { return id%2 == 0 || id >= c.nextID }

func idleStream(kind string, id uint32) *ProtocolError {
	return &ProtocolError{http2.ErrCodeProtocol, fmt.Sprintf("%s on stream %d, which was never opened", kind, id)}
}

func (c *Conn) onHeaders(id uint32, flags http2.Flags, payload []byte) (bool, *ProtocolError) {
	if c.isIdle(id) {
		return false, idleStream("HEADERS", id)
	}
	pad := 0
	if flags.Has(http2.FlagHeadersPadded) {
		if len(payload) < 1 {
			return false, &ProtocolError{http2.ErrCodeFrameSize, "padded HEADERS without a pad length"}
		}
		pad, payload = int(payload[0]), payload[1:]
	}
	if flags.Has(http2.FlagHeadersPriority) {
		if len(payload) < 5 {
			return false, &ProtocolError{http2.ErrCodeFrameSize, "HEADERS too short for its priority"}
		}
		payload = payload[5:]
	}
	if pad > len(payload) {
		return false, &ProtocolError{http2.ErrCodeProtocol, "HEADERS with more padding than payload"}
	}
	payload = payload[:len(payload)-pad]
	end := flags.Has(http2.FlagHeadersEndStream)
	if flags.Has(http2.FlagHeadersEndHeaders) {
		return c.section(id, payload, end)
	}
	c.header.open, c.header.id, c.header.end, c.header.frames = true, id, end, 0
	c.header.block = append(c.header.block[:0], payload...)
	return false, nil
}

func (c *Conn) onContinuation(id uint32, flags http2.Flags, payload []byte) (bool, *ProtocolError) {
	h := &c.header
	if !h.open {
		return false, &ProtocolError{http2.ErrCodeProtocol, "CONTINUATION without HEADERS"}
	}
	if len(h.block)+len(payload) > maxHeaderBlock {
		return false, &ProtocolError{http2.ErrCodeEnhanceYourCalm, "a header section without end"}
	}
	if h.frames++; h.frames > maxContinuations {
		return false, &ProtocolError{http2.ErrCodeEnhanceYourCalm, "a header section in too many pieces"}
	}
	h.block = append(h.block, payload...)
	if !flags.Has(http2.FlagContinuationEndHeaders) {
		return false, nil
	}
	h.open = false
	return c.section(id, h.block, h.end)
}

// headerState collects one header section; its field method is the decoder's
// callback.
type headerState struct {
	open   bool // END_HEADERS has not come yet
	end    bool // END_STREAM came with HEADERS
	id     uint32
	block  []byte
	frames int

	keep    []string
	chunk   strings.Builder // what text returns; only ever appended to
	call    *Call           // nil: decode for the table's sake only
	status  int
	regular bool
	size    int
	bad     string
}

// text returns the value as a string. Those of several answers share one
// allocation of keptChunk bytes or of its own size.
func (h *headerState) text(value []byte) string {
	if h.chunk.Cap()-h.chunk.Len() < len(value) {
		h.chunk.Reset()
		h.chunk.Grow(max(keptChunk, len(value)))
	}
	from := h.chunk.Len()
	h.chunk.Write(value)
	return h.chunk.String()[from:]
}

func (h *headerState) begin(call *Call) {
	h.call, h.status, h.regular, h.size, h.bad = call, 0, false, 0, ""
}

func (h *headerState) field(name, value []byte) {
	if h.call == nil || h.bad != "" {
		return
	}
	if h.size += len(name) + len(value) + 32; h.size > maxHeaderList {
		h.bad = "its header section is too large"
		return
	}
	if string(name) == ":status" {
		switch {
		case h.regular || h.status != 0:
			h.bad = ":status twice or out of place"
		case len(value) != 3 || value[0] < '1' || value[0] > '9':
			h.bad = ":status is not a three-digit number"
		default:
			for _, b := range value {
				if b < '0' || b > '9' {
					h.bad = ":status is not a three-digit number"
				}
				h.status = h.status*10 + int(b-'0')
			}
		}
		return
	}
	h.regular = true
	for _, b := range name {
		if b == ':' || 'A' <= b && b <= 'Z' || b <= ' ' || b >= 0x7f {
			h.bad = "a field name that RFC 9113 section 8.2.1 forbids"
			return
		}
	}
	if len(name) == 0 {
		h.bad = "an empty field name"
		return
	}
	for i, keep := range h.keep {
		if string(name) == keep {
			h.call.Kept[i] = h.text(value)
			return
		}
	}
}

// section handles a whole header section.
func (c *Conn) section(id uint32, block []byte, end bool) (bool, *ProtocolError) {
	call := c.lookup(id)
	h := &c.header
	h.begin(call)
	if err := c.dec.decode(block); err != nil {
		return false, &ProtocolError{http2.ErrCodeCompression, err.Error()}
	}
	if call == nil {
		return false, nil // a stream that has ended, or that we reset
	}
	switch {
	case h.bad != "":
	case call.gotFinal && h.status != 0:
		h.bad = ":status in trailers"
	case call.gotFinal && !end:
		h.bad = "trailers that do not end the stream"
	case !call.gotFinal && h.status == 0:
		h.bad = "no :status"
	case h.status == 101 || h.status/100 == 1 && end:
		h.bad = "an informational answer that ends the stream or switches protocols"
	}
	if h.bad != "" {
		c.malformed(call, http2.ErrCodeProtocol, h.bad)
		return true, nil
	}
	if h.status/100 == 1 {
		call.Kept = [MaxKept]string{}
		return false, nil
	}
	if h.status != 0 {
		call.Status, call.gotFinal = h.status, true
	}
	if end {
		return c.answer(call), nil
	}
	return false, nil
}

// answer ends a call with its answer and reports whether the writer has use for
// the freed stream.
func (c *Conn) answer(call *Call) bool {
	if call.endOffset == 0 {
		// Answered before the request was out; the rest need not be sent (RFC
		// 9113 section 8.1).
		c.reset(call, http2.ErrCodeCancel)
	}
	c.remove(call)
	c.counted(call)
	c.unanswered = 0
	if c.suspect {
		c.suspect, c.news = false, true
	}
	c.lastAnswer = c.lastRead
	if c.answered == 1 {
		c.news = true
	}
	c.ended = append(c.ended, call)
	return !c.idle
}

// malformed ends one call because its answer breaks HTTP (RFC 9113 section
// 8.1.1).
func (c *Conn) malformed(call *Call, code http2.ErrCode, detail string) {
	c.reset(call, code)
	c.fail(call, &ResetError{Code: code, Local: true, Detail: detail}, false)
	c.ended = append(c.ended, call)
}

func (c *Conn) onData(id uint32, flags http2.Flags, payload []byte) (bool, *ProtocolError) {
	if c.isIdle(id) {
		return false, idleStream("DATA", id)
	}
	n := int32(len(payload))
	if c.recvWindow -= n; c.recvWindow < 0 {
		return false, &ProtocolError{http2.ErrCodeFlowControl, "more DATA than the connection's window allows"}
	}
	wake := false
	if c.recvWindow < initialWindow/2 {
		c.framer.WriteWindowUpdate(0, uint32(initialWindow-c.recvWindow))
		c.recvWindow = initialWindow
		wake = true
	}
	if flags.Has(http2.FlagDataPadded) {
		if len(payload) < 1 || int(payload[0]) >= len(payload) {
			return wake, &ProtocolError{http2.ErrCodeProtocol, "DATA with more padding than payload"}
		}
		payload = payload[1 : len(payload)-int(payload[0])]
	}
	call := c.lookup(id)
	if call == nil {
		return wake, nil // late DATA of a stream that we reset
	}
	end := flags.Has(http2.FlagDataEndStream)
	switch call.recvWindow -= n; {
	case !call.gotFinal:
		c.malformed(call, http2.ErrCodeProtocol, "DATA before HEADERS")
		return true, nil
	case call.recvWindow < 0:
		c.malformed(call, http2.ErrCodeFlowControl, "more DATA than the stream's window allows")
		return true, nil
	case call.recvWindow < initialWindow/2 && !end:
		c.framer.WriteWindowUpdate(id, uint32(initialWindow-call.recvWindow))
		call.recvWindow = initialWindow
		wake = true
	}
	limit := call.MaxBody
	if limit == 0 {
		limit = DefaultMaxBody
	}
	call.Data = append(call.Data, payload[:min(len(payload), max(0, limit-len(call.Data)))]...)
	if end {
		return c.answer(call) || wake, nil
	}
	return wake, nil
}

func (c *Conn) onSettings(f *http2.SettingsFrame) (bool, *ProtocolError) {
	if f.IsAck() {
		return false, nil
	}
	limit := c.limit
	if !c.ready {
		limit = c.cfg.MaxStreams // unlimited unless this frame says otherwise
	}
	err := f.ForeachSetting(func(s http2.Setting) error {
		if err := s.Valid(); err != nil {
			return err
		}
		switch s.ID {
		case http2.SettingHeaderTableSize:
			c.enc.setMax(s.Val)
		case http2.SettingEnablePush:
			if s.Val != 0 {
				return http2.ConnectionError(http2.ErrCodeProtocol)
			}
		case http2.SettingMaxConcurrentStreams:
			limit = min(s.Val, c.cfg.MaxStreams)
		case http2.SettingInitialWindowSize:
			// Windows of open streams move along and may become negative (RFC
			// 9113 section 6.9.2).
			delta := int64(s.Val) - c.initial
			c.initial = int64(s.Val)
			for _, call := range c.allOpen() {
				if call.sendWindow += delta; call.sendWindow > maxWindow {
					return http2.ConnectionError(http2.ErrCodeFlowControl)
				}
			}
		case http2.SettingMaxFrameSize:
			c.maxFrame = int(s.Val)
		case http2.SettingMaxHeaderListSize:
			c.maxList = s.Val
		}
		return nil
	})
	if err != nil {
		code := http2.ErrCodeProtocol
		if ce, ok := err.(http2.ConnectionError); ok {
			code = http2.ErrCode(ce)
		}
		return false, &ProtocolError{code, "a setting with a value that is not allowed"}
	}
	if !c.ready || limit != c.limit {
		c.news = true
	}
	c.ready, c.limit = true, limit
	c.framer.WriteSettingsAck()
	return true, c.checkControl()
}

func (c *Conn) onWindowUpdate(f *http2.WindowUpdateFrame) (bool, *ProtocolError) {
	if f.StreamID == 0 {
		was := c.window
		if c.window += int64(f.Increment); c.window > maxWindow {
			return false, &ProtocolError{http2.ErrCodeFlowControl, "the connection's window grew too large"}
		}
		return len(c.blocked) > 0 || was <= 0, nil
	}
	if c.isIdle(f.StreamID) {
		return false, idleStream("WINDOW_UPDATE", f.StreamID)
	}
	call := c.lookup(f.StreamID)
	if call == nil {
		return false, nil
	}
	if call.sendWindow += int64(f.Increment); call.sendWindow > maxWindow {
		c.malformed(call, http2.ErrCodeFlowControl, "the stream's window grew too large")
		return true, nil
	}
	return call.blocked, nil
}

func (c *Conn) onReset(f *http2.RSTStreamFrame) (bool, *ProtocolError) {
	if c.isIdle(f.StreamID) {
		return false, idleStream("RST_STREAM", f.StreamID)
	}
	call := c.lookup(f.StreamID)
	if call == nil {
		return false, nil
	}
	refused := f.ErrCode == http2.ErrCodeRefusedStream
	if refused {
		c.refused++
	}
	c.fail(call, &ResetError{Code: f.ErrCode}, refused)
	c.ended = append(c.ended, call)
	return !c.idle, nil
}

// onGoAway begins the end of the connection. Streams above the last stream id
// were not and will not be processed, so their calls go back at once; the
// others may still be answered (RFC 9113 section 6.8). A second GOAWAY may lower
// the id, and may be the one that says why.
func (c *Conn) onGoAway(f *http2.GoAwayFrame) (bool, *ProtocolError) {
	next := &GoAwayError{LastStreamID: f.LastStreamID, Code: f.ErrCode}
	debug := f.DebugData()
	next.Debug = bytes.Clone(debug[:min(len(debug), maxGoAwayDebug)])
	if old := c.goAway; old != nil {
		next.LastStreamID = min(next.LastStreamID, old.LastStreamID)
		if len(next.Debug) == 0 && len(old.Debug) > 0 {
			next.Code, next.Debug = old.Code, old.Debug
		}
	}
	c.goAway = next
	c.draining, c.news = true, true
	for _, call := range c.allOpen() {
		if call.id > next.LastStreamID {
			c.fail(call, next, true)
			c.ended = append(c.ended, call)
		}
	}
	return true, nil
}
