package engine

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/bits"
	"time"

	"aviso.example/apns"
)

// Verdict is what became of one notification at one moment: an attempt, a
// decision without one, or the end.
type Verdict struct {
	App         string
	Environment apns.Environment
	Lane        Lane
	ID          apns.ID
	Message     MessageID // zero for lines of a batch
	Batch       BatchID   // zero for messages
	DeviceToken string
	State       State
	At          time.Time
	// Attempts is how many there were until then, this one included; a dead letter
	// that is sent again begins anew.
	Attempts int
	// Status and Reason are APNs's answer, if there was one.
	Status int
	Reason apns.Reason
	// Detail says in words why there was none, or why nothing was sent.
	Detail string
	// UniqueID is the sandbox's apns-unique-id.
	UniqueID string
	// RetryAt is when the next attempt is due, with Retrying and Scheduled.
	RetryAt time.Time
	// DeadSince is APNs's timestamp with status 410.
	DeadSince time.Time
	// Suppressed: nothing was sent, as the device token is known to be dead.
	Suppressed bool
	// Buried: it went to the dead letters, from where it can be sent again until they
	// are discarded.
	Buried bool
}

// A verdict record is one message on the log: sections, each with the verdicts
// of notifications of one unit. Sections are written by the leases they come
// from and joined here.
const verdictFormat = 1

const (
	verdictStateBits = 4
	verdictMessage   = 1 << (verdictStateBits + iota)
	verdictAnswer
	verdictDetail
	verdictUniqueID
	verdictRetryAt
	verdictDeadSince
	verdictSuppressed
	verdictBuried
)

// sectionWriter collects the verdicts of one lease. Its zero value is empty.
type sectionWriter struct {
	head    []byte // once, from the chunk
	body    []byte
	count   int
	number  uint32
	at      int64
	message MessageID
}

// sectionTakenOver marks the verdicts of a lease that was not the chunk's first: an
// engine that had it before may still write others. See late.go.
const sectionTakenOver = chunkOfBatch << 1

func (w *sectionWriter) begin(c *chunk, takenOver bool) {
	flags := byte(0)
	if c.batch {
		flags |= chunkOfBatch
	}
	if takenOver {
		flags |= sectionTakenOver
	}
	w.head = append(w.head[:0], flags, byte(c.environment), byte(c.lane))
	w.head = append(appendBytes(w.head, c.app), c.unit[:]...)
	w.reset()
}

func (w *sectionWriter) reset() {
	w.body, w.count, w.number, w.at, w.message = w.body[:0], 0, 0, 0, MessageID{}
}

// add appends the verdict on one target.
func (w *sectionWriter) add(c *chunk, t *target, now time.Time, d *decision, uniqueID string, suppressed bool) {
	at := now.UnixMilli()
	flags := uint64(d.state)
	set := func(when bool, bit uint64) {
		if when {
			flags |= bit
		}
	}
	message := MessageID{}
	if !c.batch {
		message = c.message(t)
	}
	set(message != w.message, verdictMessage)
	set(d.status != 0 || d.reason != "", verdictAnswer)
	set(d.detail != "", verdictDetail)
	set(uniqueID != "", verdictUniqueID)
	set(!d.retryAt.IsZero(), verdictRetryAt)
	set(!d.deadSince.IsZero(), verdictDeadSince)
	set(suppressed, verdictSuppressed)
	set(d.buried, verdictBuried)
	b := binary.AppendUvarint(w.body, flags)
	b = binary.AppendVarint(b, int64(t.number)-int64(w.number))
	b = binary.AppendVarint(b, at-w.at)
	b = appendBytes(b, t.token)
	b = binary.AppendUvarint(b, uint64(t.attempts))
	b = binary.AppendUvarint(b, uint64(t.round))
	if flags&verdictMessage != 0 {
		_, first := split(message.First)
		b = binary.AppendUvarint(b, uint64(first))
		b = binary.AppendUvarint(b, uint64(message.Count))
		b = binary.AppendUvarint(b, uint64(c.templates[t.template].accepted))
	}
	if flags&verdictAnswer != 0 {
		b = binary.AppendUvarint(b, uint64(d.status))
		b = appendBytes(b, string(d.reason))
	}
	if flags&verdictDetail != 0 {
		b = appendBytes(b, d.detail)
	}
	if flags&verdictUniqueID != 0 {
		b = appendBytes(b, uniqueID)
	}
	if flags&verdictRetryAt != 0 {
		b = binary.AppendVarint(b, d.retryAt.UnixMilli())
	}
	if flags&verdictDeadSince != 0 {
		b = binary.AppendVarint(b, d.deadSince.UnixMilli())
	}
	w.body, w.number, w.at, w.message = b, t.number+1, at, message
	w.count++
}

// appendTo appends the section to a record.
func (w *sectionWriter) appendTo(dst []byte) []byte {
	dst = append(dst, w.head...)
	dst = binary.AppendUvarint(dst, uint64(w.count))
	return append(dst, w.body...)
}

// rawVerdict is a verdict as it lies in a record.
type rawVerdict struct {
	app           string
	environment   apns.Environment
	lane          Lane
	unit          apns.ID
	batch         bool
	takenOver     bool
	number        uint32
	state         State
	at            int64
	token         []byte
	attempts      uint32
	round         uint32
	first, count  uint32
	accepted      uint32
	status        int
	reason        string
	detail        string
	uniqueID      string
	retryAt, dead int64
	flags         uint64
}

// readVerdicts calls each with every verdict of a record, in order. What each is
// given is used again.
func readVerdicts(data []byte, each func(*rawVerdict)) error {
	r := newWireReader(data)
	if format := r.octet(); r.err == nil && format != verdictFormat {
		r.fail(fmt.Errorf("%w: %d", errFormat, format))
	}
	var v rawVerdict
	for r.err == nil && len(r.data) > 0 {
		flags := r.octet()
		v = rawVerdict{batch: flags&chunkOfBatch != 0, takenOver: flags&sectionTakenOver != 0, app: v.app}
		v.environment, v.lane = apns.Environment(r.octet()), Lane(r.octet())
		if app := r.bytes(); string(app) != v.app { // which allocates nothing
			v.app = string(app)
		}
		v.unit = r.id()
		for range r.uvarint() {
			v.read(r)
			if r.err != nil {
				break
			}
			each(&v)
			v.number++
		}
	}
	if err := r.done(); err != nil {
		return fmt.Errorf("a verdict record of %d bytes cannot be read: %w", len(data), err)
	}
	return nil
}

func (v *rawVerdict) read(r *wireReader) {
	v.flags = r.uvarint()
	v.state = State(v.flags & (1<<verdictStateBits - 1))
	v.number = uint32(int64(v.number)+r.varint()) & numberMask
	v.at += r.varint()
	v.token = r.bytes()
	v.attempts, v.round = uint32(r.uvarint()), uint32(r.uvarint())
	v.status, v.reason, v.detail, v.uniqueID, v.retryAt, v.dead = 0, "", "", "", 0, 0
	if v.flags&verdictMessage != 0 {
		v.first, v.count, v.accepted = uint32(r.uvarint()), uint32(r.uvarint()), uint32(r.uvarint())
	}
	if v.flags&verdictAnswer != 0 {
		v.status, v.reason = int(r.uvarint()), r.text()
	}
	if v.flags&verdictDetail != 0 {
		v.detail = r.text()
	}
	if v.flags&verdictUniqueID != 0 {
		v.uniqueID = r.text()
	}
	if v.flags&verdictRetryAt != 0 {
		v.retryAt = r.varint()
	}
	if v.flags&verdictDeadSince != 0 {
		v.dead = r.varint()
	}
}

// verdict makes it readable.
func (v *rawVerdict) verdict() Verdict {
	out := Verdict{
		App: v.app, Environment: v.environment, Lane: v.lane, ID: numbered(v.unit, v.number),
		DeviceToken: hex.EncodeToString(v.token), State: v.state, At: time.UnixMilli(v.at).UTC(), Attempts: int(v.attempts),
		Status: v.status, Reason: apns.Reason(v.reason), Detail: v.detail, UniqueID: v.uniqueID,
		Suppressed: v.flags&verdictSuppressed != 0, Buried: v.flags&verdictBuried != 0,
	}
	if v.state == Queued {
		out.Attempts = 0 // it has what the notification had ended as in their place
	}
	if v.batch {
		out.Batch = BatchID(v.unit)
	} else {
		out.Message = MessageID{numbered(v.unit, v.first), int(v.count)}
	}
	if v.retryAt != 0 {
		out.RetryAt = time.UnixMilli(v.retryAt).UTC()
	}
	if v.dead != 0 {
		out.DeadSince = time.UnixMilli(v.dead).UTC()
	}
	return out
}

// The read index finds verdicts by two keys: the device token, and a range of
// 1,024 ids of a unit.
const rangeBits = 10

func tokenKey(token []byte) uint64 { return hash(0x9e3779b97f4a7c15, token) }

func rangeKey(unit *apns.ID, number uint32) uint64 {
	return mix(hash(0xd1b54a32d192ed03, unit[:]), uint64(number>>rangeBits)+1)
}

// hash and mix spread bits well enough for keys that are random by themselves;
// nobody gains from a collision, which costs one record read in vain.
func hash(seed uint64, b []byte) uint64 {
	for ; len(b) >= 8; b = b[8:] {
		seed = mix(seed, binary.LittleEndian.Uint64(b))
	}
	for _, c := range b {
		seed = mix(seed, uint64(c)+257)
	}
	return seed
}

func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a^0xa0761d6478bd642f, b^0xe7037ed1a0b428db)
	return hi ^ lo
}

// recordKeys appends the keys of a record to dst, and shows its verdicts to each on
// the way.
func recordKeys(dst []uint64, data []byte, each func(*rawVerdict)) ([]uint64, error) {
	last := uint64(0)
	err := readVerdicts(data, func(v *rawVerdict) {
		if k := rangeKey(&v.unit, v.number); k != last {
			last = k
			dst = append(dst, k)
		}
		dst = append(dst, tokenKey(v.token))
		each(v)
	})
	return dst, err
}
