package engine

import (
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"aviso.example/apns"
)

// A notification is known by one id from the caller's log to Apple's console: a
// version 7 UUID (RFC 9562 section 5.7) that travels as apns-id. What is handed
// in together forms a unit, and the ids of a unit differ in their last 30 bits
// only, which count from zero:
//
//	48 bits  milliseconds since 1970
//	 4 bits  version 7
//	12 bits  random
//	 2 bits  variant
//	32 bits  random
//	30 bits  the notification's number in its unit
//
// So a thousand ids are one id and a count on the wire and on the disk, and the
// place of a notification's verdict follows from its id.
const (
	numberBits = 30
	// maxUnit is how many notifications a unit can hold: a batch is one.
	maxUnit    = 1 << numberBits
	numberMask = maxUnit - 1
)

// newUnit returns the id of the first notification of a new unit. 44 random bits
// keep units of the same millisecond apart: at a thousand units a second, two of
// them meet once in some five thousand years.
func newUnit(now time.Time) (id apns.ID) {
	random := rand.Uint64()
	binary.BigEndian.PutUint64(id[:8], uint64(now.UnixMilli())<<16|0x7000|random&0xfff)
	binary.BigEndian.PutUint64(id[8:], 1<<63|(random>>32)<<numberBits)
	return id
}

// numbered returns the id of notification number n of a unit.
func numbered(unit apns.ID, n uint32) apns.ID {
	low := binary.BigEndian.Uint64(unit[8:])
	binary.BigEndian.PutUint64(unit[8:], low&^numberMask|uint64(n))
	return unit
}

// split is the inverse of numbered.
func split(id apns.ID) (unit apns.ID, n uint32) {
	n = uint32(binary.BigEndian.Uint64(id[8:]) & numberMask)
	return numbered(id, 0), n
}

// madeAt is when a unit was made, to the millisecond.
func madeAt(id apns.ID) time.Time {
	return time.UnixMilli(int64(binary.BigEndian.Uint64(id[:8]) >> 16))
}

// MessageID names a message: one payload and the device tokens it goes to. It
// says by itself which notifications belong to it, so that nothing has to be
// stored to find them.
type MessageID struct {
	// First is the id of its first notification; the others follow by number.
	First apns.ID
	// Count is how many there are.
	Count int
}

const messagePrefix = "msg_"

// idText writes bytes as people can select with a double click and sort as text:
// base32hex keeps the order.
var idText = base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding)

// String returns msg_ and 26 characters, and more for a message of more than one
// device token.
func (m MessageID) String() string {
	b := m.First[:]
	if m.Count != 1 {
		b = binary.AppendUvarint(b[:16:16], uint64(m.Count))
	}
	return messagePrefix + idText.EncodeToString(b)
}

// Contains reports whether a notification belongs to the message.
func (m MessageID) Contains(id apns.ID) bool {
	unit, first := split(m.First)
	other, n := split(id)
	return unit == other && n >= first && int(n-first) < m.Count
}

// ID returns the id of notification i, counted from 0.
func (m MessageID) ID(i int) apns.ID {
	unit, first := split(m.First)
	return numbered(unit, first+uint32(i))
}

// MarshalText returns String.
func (m MessageID) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

var errMessageID = errors.New("a message id is msg_ and 26 characters or a few more, as it was returned")

// ParseMessageID reads what String returns.
func ParseMessageID(s string) (m MessageID, err error) {
	b, err := decodeID(messagePrefix, s)
	if err != nil {
		return m, errMessageID
	}
	m.Count = 1
	if len(b) > 16 {
		count, n := binary.Uvarint(b[16:])
		// A count that ends in a zero byte was written longer than it had to be:
		// one message has one text.
		if n != len(b)-16 || b[len(b)-1] == 0 || count == 1 || count == 0 || count > maxTargets {
			return m, errMessageID
		}
		m.Count = int(count)
	}
	copy(m.First[:], b)
	if _, first := split(m.First); !isOurs(m.First) || int(first)+m.Count > maxUnit {
		return MessageID{}, errMessageID
	}
	return m, nil
}

// BatchID names a batch, which is a unit.
type BatchID apns.ID

const batchPrefix = "bat_"

// IsZero says that there is no batch.
func (b BatchID) IsZero() bool { return b == BatchID{} }

// String returns bat_ and 26 characters.
func (b BatchID) String() string { return batchPrefix + idText.EncodeToString(b[:]) }

// MarshalText returns String, or nothing for no batch.
func (b BatchID) MarshalText() ([]byte, error) {
	if b.IsZero() {
		return nil, nil
	}
	return []byte(b.String()), nil
}

// UnmarshalText reads what MarshalText writes.
func (b *BatchID) UnmarshalText(text []byte) (err error) {
	if len(text) == 0 {
		*b = BatchID{}
		return nil
	}
	*b, err = ParseBatchID(string(text))
	return err
}

// ParseBatchID reads what String returns.
func ParseBatchID(s string) (BatchID, error) {
	raw, err := decodeID(batchPrefix, s)
	if err != nil || len(raw) != 16 {
		return BatchID{}, errors.New("a batch id is bat_ and 26 characters, as it was returned")
	}
	id := apns.ID(raw)
	if _, n := split(id); n != 0 || !isOurs(id) {
		return BatchID{}, errors.New("this is not the id of a batch")
	}
	return BatchID(id), nil
}

// isOurs tells ids that this package can have made from others.
func isOurs(id apns.ID) bool { return id[6]>>4 == 7 && id[8]>>6 == 2 }

// decodeID returns at least 16 bytes. It accepts only the text that encoding
// gives, so that one thing has one name.
func decodeID(prefix, s string) ([]byte, error) {
	if len(s) < len(prefix)+26 || len(s) > len(prefix)+64 || s[:len(prefix)] != prefix {
		return nil, fmt.Errorf("no id that begins with %s", prefix)
	}
	b, err := idText.DecodeString(s[len(prefix):])
	if err != nil || len(b) < 16 || idText.EncodeToString(b) != s[len(prefix):] {
		return nil, fmt.Errorf("no id that begins with %s", prefix)
	}
	return b, nil
}
