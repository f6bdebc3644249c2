package webpush

import (
	"strings"
	"time"
)

// Urgency says how much a message is worth to the battery of a device (RFC 8030
// section 5.3). The zero value is Normal.
type Urgency string

// The urgencies.
const (
	VeryLow Urgency = "very-low" // on power and Wi-Fi
	Low     Urgency = "low"      // on either power or Wi-Fi
	Normal  Urgency = "normal"   // on neither
	High    Urgency = "high"     // with a low battery too
)

// DeliverNow is the TTL of a message that is for a browser that is connected at
// this moment and is otherwise dropped: TTL 0 on the wire.
const DeliverNow time.Duration = -1

// Message is what is sent. It must not be changed while it is being sent; it may
// be sent to any number of subscriptions.
type Message struct {
	// Payload is encrypted for each subscription; at most [MaxPayload] bytes. The
	// page's service worker gets it as event.data, or the browser shows it
	// ([Declarative]). Safari takes permission from a site whose messages show
	// nothing. With an empty one, Empty has to be set.
	Payload []byte
	// Empty sends a message without body, which only wakes the service worker.
	Empty bool
	// Padding is how many zeros to encrypt with the payload, to hide how long it
	// is. Payload and Padding together have at most [MaxPayload] bytes.
	Padding int
	// TTL is how long the push service keeps the message for a browser that is
	// away, in whole seconds, at most [MaxTTL]. Zero is [DefaultTTL]; for TTL 0 on
	// the wire say [DeliverNow]. It counts from the call of Send, also while the
	// message waits to be sent again.
	TTL time.Duration
	// Urgency lets a device that saves power wait. Zero is Normal.
	Urgency Urgency
	// Topic replaces a message with the same topic that the browser has not got
	// yet: at most 32 characters of A-Z, a-z, 0-9, - and _ (RFC 8030 section 5.4).
	Topic string
}

// Validate returns an [*InvalidError] with everything that is wrong, or nil. Send
// does the same.
func (m *Message) Validate() error {
	var p problems
	m.check(&p)
	return p.in("message")
}

func (m *Message) check(p *problems) {
	if m == nil {
		p.add("", "is missing")
		return
	}
	checkSize(p, len(m.Payload), m.Padding)
	switch {
	case m.Empty && len(m.Payload) > 0:
		p.add("Empty", "is set, and there is a payload")
	case m.Empty && m.Padding > 0:
		p.add("Padding", "is set, and a message without body has none")
	case !m.Empty && len(m.Payload) == 0:
		p.add("Payload", "is empty; to send a message without one, set Empty")
	}
	switch {
	case m.TTL > MaxTTL:
		p.add("TTL", "is %v, and 30 days is the limit: no push service keeps a message for longer", m.TTL)
	case m.TTL < 0 && m.TTL != DeliverNow:
		p.add("TTL", "is negative; for a message that is delivered now or never, use DeliverNow")
	case 0 < m.TTL && m.TTL < time.Second:
		p.add("TTL", "is %v, and a second is the smallest; a plain number counts nanoseconds", m.TTL)
	}
	switch m.Urgency {
	case "", VeryLow, Low, Normal, High:
	default:
		p.add("Urgency", "is none of very-low, low, normal and high (RFC 8030 section 5.3)")
	}
	if len(m.Topic) > MaxTopicLength {
		p.add("Topic", "has %d characters, and %d is the limit (RFC 8030 section 5.4); a hash of a longer name fits", len(m.Topic), MaxTopicLength)
	} else if strings.ContainsFunc(m.Topic, notBase64URL) {
		p.add("Topic", "has a character that is none of A-Z, a-z, 0-9, - and _ (RFC 8030 section 5.4)")
	}
}

func notBase64URL(c rune) bool {
	return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_')
}

// lifetime is TTL with its default.
func (m *Message) lifetime() time.Duration {
	switch m.TTL {
	case 0:
		return DefaultTTL
	case DeliverNow:
		return 0
	}
	return m.TTL
}
