package webpush

import (
	"fmt"
	"io"
	"log/slog"
)

// A type that holds a secret prints safely however it is printed. Its methods
// are on the value, so that a copy is as safe as a pointer, and it keeps its
// secret two pointers away, since fmt cannot call methods on unexported fields of
// other structs but prints pointers there as addresses; with a verb that does not
// fit, the first pointer is followed.

func (k Key) redacted() string {
	if k.public == nil {
		return "no VAPID key"
	}
	return "VAPID key " + (*k.public)[:8] + "… (private key redacted)"
}

// String begins with the public key and never shows the private one.
func (k Key) String() string { return k.redacted() }

// GoString is String.
func (k Key) GoString() string { return k.redacted() }

// Format prints String for every verb.
func (k Key) Format(s fmt.State, _ rune) { io.WriteString(s, k.redacted()) }

// LogValue is String.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.redacted()) }

// MarshalText is String, so that no encoder can write the key by accident; use
// [Key.PEM] to write it on purpose.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.redacted()), nil }

func (s Subscription) redacted() string {
	if s.get() == nil {
		return "no subscription"
	}
	return "subscription at " + s.get().url.Host + " (redacted)"
}

// String names the host of the push service only.
func (s Subscription) String() string { return s.redacted() }

// GoString is String.
func (s Subscription) GoString() string { return s.redacted() }

// Format prints String for every verb.
func (s Subscription) Format(f fmt.State, _ rune) { io.WriteString(f, s.redacted()) }

// LogValue is String.
func (s Subscription) LogValue() slog.Value { return slog.StringValue(s.redacted()) }

func (r Receiver) redacted() string { return "the receiving end of a subscription (redacted)" }

// String shows nothing of the keys.
func (r Receiver) String() string { return r.redacted() }

// GoString is String.
func (r Receiver) GoString() string { return r.redacted() }

// Format prints String for every verb.
func (r Receiver) Format(f fmt.State, _ rune) { io.WriteString(f, r.redacted()) }

// LogValue is String.
func (r Receiver) LogValue() slog.Value { return slog.StringValue(r.redacted()) }

// MarshalText is String.
func (r Receiver) MarshalText() ([]byte, error) { return []byte(r.redacted()), nil }

// LogValue gives sizes and header fields, never the payload. A handler for machines
// would encode the whole struct.
func (m Message) LogValue() slog.Value {
	return slog.GroupValue(slog.Int("payload_bytes", len(m.Payload)), slog.Duration("ttl", m.TTL), slog.String("urgency", string(m.Urgency)))
}

// LogValue gives host, size and tag.
func (p Push) LogValue() slog.Value {
	attributes := []slog.Attr{slog.Any("tag", p.Tag)}
	if p.Subscription != nil {
		attributes = append(attributes, slog.Any("subscription", *p.Subscription))
	}
	if p.Message != nil {
		attributes = append(attributes, slog.Any("message", *p.Message))
	}
	return slog.GroupValue(attributes...)
}

// LogValue gives the outcome, what explains it, and the push as it logs itself.
func (r Result) LogValue() slog.Value {
	attributes := []slog.Attr{slog.String("outcome", r.Outcome.String()), slog.String("host", r.Receipt.Host), slog.Any("push", r.Push)}
	if r.Err != nil {
		attributes = append(attributes, slog.String("err", r.Err.Error()))
	}
	return slog.GroupValue(attributes...)
}
