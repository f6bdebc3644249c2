package apns

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"time"
)

// ID is an apns-id: the UUID under which APNs knows a notification, from the
// caller's log to Apple's Push Notifications Console. The zero ID means none.
type ID [16]byte

// NewID returns a version 7 UUID (RFC 9562 section 5.7): the time in
// milliseconds, then 74 random bits, so that ids sort by the time they were
// made.
func NewID() ID { return newID(time.Now()) }

func newID(now time.Time) (id ID) {
	// An id has to be unlike any other, not hard to guess; math/rand's
	// generator is seeded by the system and needs no lock.
	binary.BigEndian.PutUint64(id[:8], uint64(now.UnixMilli())<<16|rand.Uint64()&0x0fff|0x7000)
	binary.BigEndian.PutUint64(id[8:], rand.Uint64()&(1<<62-1)|1<<63)
	return id
}

// ParseID reads the canonical form, 8-4-4-4-12 hexadecimal digits, in either
// case: APNs writes ids it made itself in capitals.
func ParseID(s string) (id ID, err error) {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return ID{}, fmt.Errorf("apns-id has to be a UUID like 0190e8f2-6f3a-7c3e-9b1d-2f0a4c5d6e7f, 36 characters; this has %d", len(s))
	}
	at := 0
	for i := range id {
		if at == 8 || at == 13 || at == 18 || at == 23 {
			at++
		}
		hi, lo := hexValue[s[at]], hexValue[s[at+1]]
		if hi|lo > 15 {
			return ID{}, fmt.Errorf("apns-id has a character at position %d that is not hexadecimal", at+1)
		}
		id[i] = hi<<4 | lo
		at += 2
	}
	return id, nil
}

// hexValue maps an ASCII digit to its value, everything else to 0xff.
var hexValue = func() (t [256]byte) {
	for i := range t {
		t[i] = 0xff
	}
	for i := range 10 {
		t['0'+i] = byte(i)
	}
	for i := range 6 {
		t['a'+i], t['A'+i] = byte(10+i), byte(10+i)
	}
	return t
}()

// IsZero reports whether id is the zero ID.
func (id ID) IsZero() bool { return id == ID{} }

// String returns the canonical form in lower case, as Apple demands.
func (id ID) String() string { return string(id.append(nil)) }

func (id ID) append(dst []byte) []byte {
	const digits = "0123456789abcdef"
	var b [36]byte
	at := 0
	for i, v := range id {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			b[at] = '-'
			at++
		}
		b[at], b[at+1] = digits[v>>4], digits[v&15]
		at += 2
	}
	return append(dst, b[:]...)
}

// AppendText appends what MarshalText returns; the error is always nil.
func (id ID) AppendText(dst []byte) ([]byte, error) {
	if id.IsZero() {
		return dst, nil
	}
	return id.append(dst), nil
}

// MarshalText returns the canonical form, or nothing for the zero ID.
func (id ID) MarshalText() ([]byte, error) {
	if id.IsZero() {
		return nil, nil
	}
	return id.append(nil), nil
}

// UnmarshalText reads what MarshalText writes.
func (id *ID) UnmarshalText(text []byte) (err error) {
	if len(text) == 0 {
		*id = ID{}
		return nil
	}
	*id, err = ParseID(string(text))
	return err
}
