package sim

import (
	"encoding/binary"
	"math"
	"slices"
	"strconv"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

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
	if len(c.out) == 0 {
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
	if c.cert != nil && !cfg.Guesses.CertificateStartsAtOne {
		c.limit = c.fullLimit
	}
	special := c.faults.settings
	if special.MaxStreams != nil {
		c.limit, c.fullLimit = *special.MaxStreams, *special.MaxStreams
	}
	first := func() {
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
		if c.cert != nil {
			c.setLimit(c.fullLimit)
		}
	}
	if d := c.faults.slowSettings; d > 0 {
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

// answer is a response and the unusual ways to send it.
type answer struct {
	verdict
	informational []int // 1xx before it
	retryAfter    string
	trailers      [][2]string
	padding       uint8
	split         bool // headers in CONTINUATION frames
}

func (a *answer) plain() bool {
	return a.informational == nil && a.retryAfter == "" && a.trailers == nil && a.padding == 0 && !a.split
}

// answer writes a response; requestEnded is false when the peer still sends.
func (c *conn) answer(st *stream, a answer, requestEnded bool) {
	st.answered = true
	if a.accepted() {
		c.count.Accepted++
	} else {
		c.count.reject(a.reason, a.status)
	}
	if a.accepted() && c.srv.cfg.Lean && !c.encFresh && a.plain() {
		c.appendAccepted(st)
		c.finishStream(st, requestEnded)
		return
	}
	for _, status := range a.informational {
		c.writeFields(st.id, false, &a, [][2]string{{":status", strconv.Itoa(status)}})
	}
	var body []byte
	fields := append(make([][2]string, 0, 6), [2]string{":status", strconv.Itoa(a.status)})
	if a.reason != "" {
		fields = append(fields, [2]string{"content-type", "application/json"})
		if st.req.get(fieldMethod) != "HEAD" {
			body = reasonJSON(a.reason, a.timestamp)
		}
	}
	fields = append(fields, [2]string{proto.FieldID, c.idFor(st)})
	if a.accepted() && c.srv.cfg.Environment == Sandbox {
		fields = append(fields, [2]string{proto.FieldUniqueID, c.uniqueFor(st)})
	}
	if a.retryAfter != "" {
		fields = append(fields, [2]string{proto.FieldRetryAfter, a.retryAfter})
	}
	noBody := len(body) == 0 && a.trailers == nil
	c.writeFields(st.id, noBody, &a, fields)
	if noBody {
		c.finishStream(st, requestEnded)
		return
	}
	st.pending, st.padding, st.tail = body, a.padding, a.trailers
	st.ended = requestEnded
	c.continueBody(st)
}

// writeFields writes one header block.
func (c *conn) writeFields(id uint32, end bool, a *answer, fields [][2]string) {
	c.encBuf.b = c.encBuf.b[:0]
	c.encFresh = false
	for _, f := range fields {
		c.enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	block := c.encBuf.b
	param := http2.HeadersFrameParam{StreamID: id, EndStream: end, EndHeaders: true, BlockFragment: block, PadLength: a.padding}
	if !a.split && len(block) <= c.peerFrame {
		c.fr.WriteHeaders(param)
		return
	}
	// Three pieces, the middle one empty: legal, and a good test of a decoder.
	cut := min(len(block)/2, c.peerFrame-256)
	param.BlockFragment, param.EndHeaders = block[:cut], false
	c.fr.WriteHeaders(param)
	c.fr.WriteContinuation(id, false, nil)
	c.fr.WriteContinuation(id, true, block[cut:])
}

// continueBody sends as much of the body as the windows allow, then the end.
func (c *conn) continueBody(st *stream) {
	if !st.answered {
		return
	}
	for len(st.pending) > 0 {
		overhead := 0
		if st.padding > 0 {
			overhead = 1 + int(st.padding)
		}
		room := min(c.sendWindow, st.sendWindow, int64(c.peerFrame)) - int64(overhead)
		if room <= 0 {
			if st.padding > 0 && min(c.sendWindow, st.sendWindow) > 0 {
				st.padding = 0 // the padding does not fit; the body may
				continue
			}
			if !st.inBlocked {
				st.inBlocked = true
				c.blocked = append(c.blocked, st)
			}
			return
		}
		n := min(int(room), len(st.pending))
		chunk := st.pending[:n]
		st.pending = st.pending[n:]
		last := len(st.pending) == 0 && st.tail == nil
		c.sendWindow -= int64(n + overhead)
		st.sendWindow -= int64(n + overhead)
		if st.padding > 0 {
			c.fr.WriteDataPadded(st.id, last, chunk, make([]byte, st.padding))
		} else {
			c.fr.WriteData(st.id, last, chunk)
		}
	}
	if st.tail != nil {
		c.writeFields(st.id, true, &answer{}, st.tail)
		st.tail = nil
	}
	c.finishStream(st, st.ended)
}

// unblock retries the answers that wait for a window.
func (c *conn) unblock() {
	if len(c.blocked) == 0 {
		return
	}
	waiting := c.blocked
	c.blocked = nil
	for _, st := range waiting {
		st.inBlocked = false
		if c.streams[st.id] == st {
			c.continueBody(st)
		}
	}
}

// finishStream ends a stream after its answer. A peer that still sends is asked
// to stop, without an error (RFC 9113 section 8.1).
func (c *conn) finishStream(st *stream, requestEnded bool) {
	st.judged = true
	if !requestEnded {
		c.fr.WriteRSTStream(st.id, http2.ErrCodeNo)
	}
	c.drop(st, !requestEnded)
}

// appendAccepted writes the answer to an accepted push without the encoder: the
// status is in the static table and the ids are literals that are never indexed,
// so that the table does not change and the two ways can be mixed.
func (c *conn) appendAccepted(st *stream) {
	id := st.req.get(fieldID)
	sandbox := c.srv.cfg.Environment == Sandbox
	length := 1 + 2 + len(proto.FieldID) + 1 + 36
	if sandbox {
		length += 2 + len(proto.FieldUniqueID) + 1 + 36
	}
	out := append(c.out, 0, 0, byte(length), byte(http2.FrameHeaders), byte(http2.FlagHeadersEndHeaders|http2.FlagHeadersEndStream))
	out = binary.BigEndian.AppendUint32(out, st.id)
	out = append(out, 0x88) // :status 200
	out = append(out, 0, byte(len(proto.FieldID)))
	out = append(out, proto.FieldID...)
	out = append(out, 36)
	if len(id) == 36 {
		out = append(out, id...)
	} else {
		out = c.appendUUID(out, !c.srv.cfg.Guesses.LowercaseServerIDs)
	}
	if sandbox {
		out = append(out, 0, byte(len(proto.FieldUniqueID)))
		out = append(out, proto.FieldUniqueID...)
		out = append(out, 36)
		out = c.appendUUID(out, false)
	}
	c.out = out
}

// idFor is the apns-id of a stream: the request's when it is one, else a made
// one.
func (c *conn) idFor(st *stream) string {
	if id := st.req.get(fieldID); canonicalID(id, true) {
		return id
	}
	if st.madeID == "" {
		st.madeID = string(c.appendUUID(nil, !c.srv.cfg.Guesses.LowercaseServerIDs))
	}
	return st.madeID
}

func (c *conn) uniqueFor(st *stream) string {
	if st.uniqueID == "" {
		st.uniqueID = string(c.appendUUID(nil, false))
	}
	return st.uniqueID
}

// appendUUID makes a random UUID (version 4) from the connection's sequence.
func (c *conn) appendUUID(b []byte, upper bool) []byte {
	digits := "0123456789abcdef"
	if upper {
		digits = "0123456789ABCDEF"
	}
	var raw [16]byte
	binary.NativeEndian.PutUint64(raw[:8], c.rng.Uint64())
	binary.NativeEndian.PutUint64(raw[8:], c.rng.Uint64())
	raw[6] = raw[6]&0x0f | 0x40
	raw[8] = raw[8]&0x3f | 0x80
	for i, x := range raw {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			b = append(b, '-')
		}
		b = append(b, digits[x>>4], digits[x&15])
	}
	return b
}

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
