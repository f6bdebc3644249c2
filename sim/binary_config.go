package sim

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"aviso.example/internal/proto"
)

// Protocol says over what a connection or a push came.
type Protocol string

// The protocols the simulator speaks.
const (
	// ProtocolHTTP2 is today's interface.
	ProtocolHTTP2 Protocol = "http2"
	// ProtocolBinary is the gateway of the binary protocol (Apple's port 2195,
	// until 31 March 2021).
	ProtocolBinary Protocol = "binary"
	// ProtocolFeedback is the feedback service beside it (port 2196).
	ProtocolFeedback Protocol = "feedback"
)

// BinaryConfig says how the two ports of the binary protocol behave, if they are
// started: see Server.StartBinary and Server.StartFeedback. The zero value is
// what is known of Apple's. They always speak TLS, whatever Config.Cleartext
// says, since the client certificate is the only credential they know.
type BinaryConfig struct {
	// IdleTimeout closes a connection to the gateway on which nothing arrives,
	// without a packet. Default Config.IdleTimeout; negative means never.
	IdleTimeout time.Duration
	// FrameTimeout closes a connection on which a notification has begun and
	// does not end, without a packet. Default 30 s.
	FrameTimeout time.Duration
	// MaxConnections bounds the open connections to both ports; further ones are
	// reset. Default 10,000.
	MaxConnections int
	// MaxPayload bounds the payload, in bytes; above it the status is 7. Default
	// 2048, the limit since 2014; at most 65,535.
	MaxPayload int
	// FeedbackLimit bounds the device tokens that wait to be read from the
	// feedback service; the oldest of the same app go first. Default 100,000.
	FeedbackLimit int
}

// FeedbackRemoval says when the feedback service forgets what it has told.
type FeedbackRemoval string

const (
	// RemoveWritten forgets a device token once it was written to a connection
	// without an error. What a client that is cut off had not read yet is lost.
	RemoveWritten FeedbackRemoval = ""
	// RemoveConfirmed forgets the list once a client has read all of it and
	// closed in order; after anything else all of it is told again.
	RemoveConfirmed FeedbackRemoval = "confirmed"
	// RemoveNever tells everything every time.
	RemoveNever FeedbackRemoval = "never"
)

// BinaryGuesses are behaviours of the binary protocol that nobody can ask Apple
// about any more. The zero value is our best guess for each.
type BinaryGuesses struct {
	// AnyDeviceTokenSize judges device tokens of up to 100 bytes as the HTTP/2
	// side does; by default everything but 32 bytes has status 5.
	AnyDeviceTokenSize bool
	// EarlyLimit holds commands 0 and 1 to 256 bytes of payload, as the chapter
	// about them says; by default the limit rose for all commands in 2014.
	EarlyLimit bool
	// AnyPriority takes a priority other than 10 and 5 for none; by default it
	// has status 128.
	AnyPriority bool
	// RefuseUnknownItems answers 128 to a frame with an item that is not in
	// Apple's table; by default the item is ignored.
	RefuseUnknownItems bool
	// RefuseBackgroundPriority10 answers 128 to an item of priority 10 with a
	// payload that has content-available and nothing to show, which Apple calls
	// an error without naming the status; by default it is accepted.
	RefuseBackgroundPriority10 bool
	// FeedbackRemoval is when a device token leaves the list of the feedback
	// service. Apple says only that reading empties it.
	FeedbackRemoval FeedbackRemoval
	// FeedbackFromHTTP2 lists device tokens that were found dead by a push over
	// HTTP/2 too; by default only those found over the binary protocol, since a
	// sender over HTTP/2 is told at once.
	FeedbackFromHTTP2 bool
}

const (
	defaultFrameTimeout         = 30 * time.Second
	defaultMaxBinaryConnections = 10_000
	defaultFeedbackLimit        = 100_000
)

// binaryDefaults fills in what Config.Binary leaves out and returns everything
// that makes no sense.
func (c *Config) binaryDefaults() error {
	b := &c.Binary
	b.IdleTimeout = cmp.Or(b.IdleTimeout, c.IdleTimeout)
	b.FrameTimeout = cmp.Or(b.FrameTimeout, defaultFrameTimeout)
	b.MaxConnections = cmp.Or(b.MaxConnections, defaultMaxBinaryConnections)
	b.MaxPayload = cmp.Or(b.MaxPayload, proto.MaxPayloadBinary)
	b.FeedbackLimit = cmp.Or(b.FeedbackLimit, defaultFeedbackLimit)
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("sim: "+format, args...)) }
	if b.FrameTimeout < 0 {
		bad("Binary.FrameTimeout is %v; it cannot be negative, or a client that stops in the middle would stay for ever", b.FrameTimeout)
	}
	if b.MaxConnections < 0 {
		bad("Binary.MaxConnections is %d; it cannot be negative", b.MaxConnections)
	}
	if b.MaxPayload < 0 || b.MaxPayload > 0xffff {
		bad("Binary.MaxPayload is %d; the length of a payload is written in two bytes, so it is at most 65535", b.MaxPayload)
	}
	if b.FeedbackLimit < 0 {
		bad("Binary.FeedbackLimit is %d; it cannot be negative", b.FeedbackLimit)
	}
	switch r := c.Guesses.Binary.FeedbackRemoval; r {
	case RemoveWritten, RemoveConfirmed, RemoveNever:
	default:
		bad("Guesses.Binary.FeedbackRemoval is %q; it must be empty, %q or %q", r, RemoveConfirmed, RemoveNever)
	}
	return errors.Join(errs...)
}
