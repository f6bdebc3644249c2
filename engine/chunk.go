package engine

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"aviso.example/apns"
)

// A chunk is what the queue is made of: up to maxChunk notifications of one app,
// environment and lane in one message on the log. One synced write for all of
// them is what makes durability cheap.
type chunk struct {
	path
	// unit is what all ids in the chunk have in common.
	unit apns.ID
	// batch says that they belong to a batch; the unit is then the batch.
	batch     bool
	at        int64 // UNIX milliseconds when the first of them was handed in
	templates []template
	targets   []target
}

// template is what many notifications share.
type template struct {
	payload         []byte
	pushType        apns.PushType
	topic, bundleID string
	priority        apns.Priority
	expiration      apns.Expiration
	collapseID      string
	dropUnknown     bool
	sendAt          int64 // UNIX milliseconds, 0: at once
	// first and count are the message it belongs to; accepted is how many of
	// the message's targets were.
	first, count, accepted uint32
}

// target is one notification.
type target struct {
	number     uint32
	template   uint32
	token      []byte // the device token
	registered int64  // UNIX seconds, 0: not known
	// attempts were made so far. round says how often the notification has been
	// put back, be it an attempt or not: of two copies of one notification, which
	// a crash can leave, the one with the lower round is out of date.
	attempts, round uint32
}

const (
	chunkFormat = 1
	// maxChunk is how many notifications a chunk holds at most. More would make
	// a write hardly cheaper, and what is repeated after a crash more.
	maxChunk = 1024
	// chunkBytes is when a chunk is full, whatever their number; with one
	// notification of the largest size more it stays far below the log's limit
	// for a message.
	chunkBytes = 256 << 10
)

// Flags of a chunk and of its parts on the wire.
const (
	chunkOfBatch = 1 << iota
)

const (
	templateDropUnknown = 1 << iota
	templateExpires
	templateCollapses
	templateTopic
	templateSendAt
)

const (
	targetRegistered = 1 << iota
	targetAgain
	targetFlagBits = 2
)

func (c *chunk) batchID() BatchID {
	if !c.batch {
		return BatchID{}
	}
	return BatchID(c.unit)
}

func (c *chunk) append(dst []byte) []byte {
	flags := byte(0)
	if c.batch {
		flags |= chunkOfBatch
	}
	dst = append(dst, chunkFormat, flags, byte(c.environment), byte(c.lane))
	dst = appendBytes(dst, c.app)
	dst = append(dst, c.unit[:]...)
	dst = binary.AppendVarint(dst, c.at)
	dst = binary.AppendUvarint(dst, uint64(len(c.templates)))
	for i := range c.templates {
		dst = c.templates[i].append(dst)
	}
	dst = binary.AppendUvarint(dst, uint64(len(c.targets)))
	template, number := uint32(0), uint32(0)
	for i := range c.targets {
		t := &c.targets[i]
		// Differences are small where things go on as before.
		dst = binary.AppendVarint(dst, int64(t.template)-int64(template))
		dst = binary.AppendVarint(dst, int64(t.number)-int64(number))
		template, number = t.template, t.number+1
		flags := uint64(0)
		if t.registered != 0 {
			flags |= targetRegistered
		}
		if t.round != 0 {
			flags |= targetAgain
		}
		dst = binary.AppendUvarint(dst, uint64(len(t.token))<<targetFlagBits|flags)
		dst = append(dst, t.token...)
		if t.registered != 0 {
			dst = binary.AppendVarint(dst, t.registered)
		}
		if t.round != 0 {
			dst = binary.AppendUvarint(dst, uint64(t.round))
			dst = binary.AppendUvarint(dst, uint64(t.attempts))
		}
	}
	return appendSum(dst)
}

func (t *template) append(dst []byte) []byte {
	flags := byte(0)
	set := func(when bool, bit byte) {
		if when {
			flags |= bit
		}
	}
	state, at := expirationToWire(t.expiration)
	set(t.dropUnknown, templateDropUnknown)
	set(state != 0, templateExpires)
	set(t.collapseID != "", templateCollapses)
	set(t.topic != "", templateTopic)
	set(t.sendAt != 0, templateSendAt)
	dst = append(dst, flags, byte(t.priority))
	dst = appendBytes(dst, t.payload)
	dst = appendBytes(dst, string(t.pushType))
	dst = appendBytes(dst, t.bundleID)
	if t.topic != "" {
		dst = appendBytes(dst, t.topic)
	}
	if state != 0 {
		dst = append(dst, state)
		if state == expiresAt {
			dst = binary.AppendVarint(dst, at)
		}
	}
	if t.collapseID != "" {
		dst = appendBytes(dst, t.collapseID)
	}
	if t.sendAt != 0 {
		dst = binary.AppendVarint(dst, t.sendAt)
	}
	dst = binary.AppendUvarint(dst, uint64(t.first))
	dst = binary.AppendUvarint(dst, uint64(t.count))
	return binary.AppendUvarint(dst, uint64(t.accepted))
}

var errFormat = errors.New("its format is not known to this version")

// parseChunk reads a chunk. Payloads and device tokens lie in data.
func parseChunk(data []byte) (*chunk, error) {
	r := newWireReader(data)
	if format := r.octet(); r.err == nil && format != chunkFormat {
		r.fail(fmt.Errorf("%w: %d", errFormat, format))
	}
	c := &chunk{}
	flags := r.octet()
	if r.err == nil && flags&^chunkOfBatch != 0 {
		r.fail(errFormat)
	}
	c.batch = flags&chunkOfBatch != 0
	c.environment, c.lane = apns.Environment(r.octet()), Lane(r.octet())
	if r.err == nil && (c.environment > apns.Sandbox || c.lane >= lanes) {
		r.fail(errFormat)
	}
	c.app, c.unit, c.at = r.text(), r.id(), r.varint()
	c.templates = make([]template, r.below(maxChunk+1))
	for i := range c.templates {
		c.templates[i].read(r)
	}
	c.targets = make([]target, r.below(maxChunk+1))
	index, number := int64(0), int64(0)
	for i := range c.targets {
		t := &c.targets[i]
		index += r.varint()
		number += r.varint()
		if r.err == nil && (index < 0 || index >= int64(len(c.templates)) || number < 0 || number >= maxUnit) {
			r.fail(errNumber)
		}
		t.template, t.number = uint32(index), uint32(number)
		number++
		size := r.uvarint()
		t.token = r.take(size >> targetFlagBits)
		if size&targetRegistered != 0 {
			t.registered = r.varint()
		}
		if size&targetAgain != 0 {
			t.round, t.attempts = uint32(r.below(1<<31)), uint32(r.below(1<<31))
		}
		if r.err != nil {
			break
		}
	}
	if err := r.done(); err != nil {
		return nil, fmt.Errorf("a chunk of %d bytes cannot be read: %w", len(data), err)
	}
	return c, nil
}

func (t *template) read(r *wireReader) {
	if r.err != nil {
		return
	}
	flags := r.octet()
	t.dropUnknown = flags&templateDropUnknown != 0
	t.priority = apns.Priority(r.octet())
	t.payload = r.bytes()
	t.pushType = apns.PushType(r.text())
	t.bundleID = r.text()
	if flags&templateTopic != 0 {
		t.topic = r.text()
	}
	if flags&templateExpires != 0 {
		state := r.octet()
		at := int64(0)
		if state == expiresAt {
			at = r.varint()
		}
		var ok bool
		if t.expiration, ok = expirationFromWire(state, at); !ok && r.err == nil {
			r.fail(errFormat)
		}
	}
	if flags&templateCollapses != 0 {
		t.collapseID = r.text()
	}
	if flags&templateSendAt != 0 {
		t.sendAt = r.varint()
	}
	t.first, t.count, t.accepted = uint32(r.below(maxUnit)), uint32(r.below(maxUnit)), uint32(r.below(maxUnit))
}

// Expirations on the wire; 0 is one that was not set.
const (
	expiresAtOnce = iota + 1
	expiresByPolicy
	expiresAt
)

func expirationToWire(e apns.Expiration) (state byte, at int64) {
	switch e {
	case apns.Expiration{}:
		return 0, 0
	case apns.ExpireImmediately:
		return expiresAtOnce, 0
	case apns.ExpireByStoragePolicy:
		return expiresByPolicy, 0
	}
	t, _ := e.Time()
	return expiresAt, t.Unix()
}

func expirationFromWire(state byte, at int64) (e apns.Expiration, ok bool) {
	switch state {
	case expiresAtOnce:
		return apns.ExpireImmediately, true
	case expiresByPolicy:
		return apns.ExpireByStoragePolicy, true
	case expiresAt:
		return apns.ExpireAt(time.Unix(at, 0)), true
	}
	return e, false
}

// message names the message that a target belongs to.
func (c *chunk) message(t *target) MessageID {
	return MessageID{numbered(c.unit, c.templates[t.template].first), int(c.templates[t.template].count)}
}

// notBefore is when all of the chunk may be sent; zero if that is at any time.
func (c *chunk) notBefore() (at time.Time) {
	for i := range c.templates {
		if t := time.UnixMilli(c.templates[i].sendAt); c.templates[i].sendAt != 0 && (at.IsZero() || t.After(at)) {
			at = t
		}
	}
	return at
}

// accepted is when the chunk's notifications were handed in; lines of a batch can
// come long after the unit was made.
func (c *chunk) accepted() time.Time { return time.UnixMilli(c.at) }

// rangeKeys are the keys under which the read index has the chunk's notifications.
func (c *chunk) rangeKeys() (keys []uint64) {
	for i := range c.targets {
		if k := rangeKey(&c.unit, c.targets[i].number); len(keys) == 0 || keys[len(keys)-1] != k {
			keys = append(keys, k)
		}
	}
	return keys
}

// allTargets are the places of all targets.
func (c *chunk) allTargets() []int {
	all := make([]int, len(c.targets))
	for i := range all {
		all[i] = i
	}
	return all
}

// hexTokens writes the device tokens of some targets into one string, of which
// each is a part, instead of one string each.
func (c *chunk) hexTokens(some []int) []string {
	size := 0
	for _, i := range some {
		size += 2 * len(c.targets[i].token)
	}
	all := make([]byte, 0, size)
	for _, i := range some {
		all = hex.AppendEncode(all, c.targets[i].token)
	}
	text := string(all)
	list := make([]string, len(some))
	for k, i := range some {
		n := 2 * len(c.targets[i].token)
		list[k], text = text[:n], text[n:]
	}
	return list
}
