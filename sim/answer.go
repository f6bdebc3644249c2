package sim

import (
	"encoding/binary"
	"math/rand/v2"
	"strconv"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"aviso.example/internal/proto"
)

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
	switch {
	case a.accepted() && st.kind == requestManage:
		c.count.Managed++
	case a.accepted():
		c.count.Accepted++
	default:
		c.count.reject(a.reason, a.status)
	}
	if a.accepted() && c.srv.cfg.Lean && st.kind == requestDevice && !c.encFresh && a.plain() {
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
	if m := a.managed; m != nil {
		if m.channelID != "" {
			fields = append(fields, [2]string{proto.FieldChannelID, m.channelID})
		}
		if body = m.body; len(body) > 0 {
			fields = append(fields, [2]string{"content-type", "application/json"})
		}
	}
	fields = append(fields, [2]string{st.idField(), c.idFor(st)})
	if a.accepted() && c.givesUniqueID(st) {
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
		out = c.appendUUID(out, !c.srv.guesses().LowercaseServerIDs)
	}
	if sandbox {
		out = append(out, 0, byte(len(proto.FieldUniqueID)))
		out = append(out, proto.FieldUniqueID...)
		out = append(out, 36)
		out = c.appendUUID(out, false)
	}
	c.out = out
}

// idField is the field that names a request: apns-request-id for channels, and
// apns-id for devices and where nobody knows what it was meant to be.
func (st *stream) idField() string {
	if st.kind == requestDevice {
		return proto.FieldID
	}
	return proto.FieldRequestID
}

// givesUniqueID: for device pushes Apple limits apns-unique-id to the sandbox; for
// broadcasts it does not say so.
func (c *conn) givesUniqueID(st *stream) bool {
	return st.kind == requestBroadcast || st.kind == requestDevice && c.srv.cfg.Environment == Sandbox
}

// idFor is the id of a stream's request: the one it came with, else a made one.
func (c *conn) idFor(st *stream) string {
	field := fieldID
	if st.kind != requestDevice {
		field = fieldRequestID
	}
	if id := st.req.get(field); canonicalID(id, true) {
		return id
	}
	if st.madeID == "" {
		st.madeID = string(c.appendUUID(nil, !c.srv.guesses().LowercaseServerIDs))
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
func (c *conn) appendUUID(b []byte, upper bool) []byte { return appendUUID(b, c.rng, upper) }

func appendUUID(b []byte, rng *rand.Rand, upper bool) []byte {
	digits := "0123456789abcdef"
	if upper {
		digits = "0123456789ABCDEF"
	}
	var raw [16]byte
	binary.NativeEndian.PutUint64(raw[:8], rng.Uint64())
	binary.NativeEndian.PutUint64(raw[8:], rng.Uint64())
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
