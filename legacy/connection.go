package legacy

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"aviso.example/apns"
)

// connection is one connection to the gateway. The loop writes to it; a
// goroutine of its own waits for the one packet that may come.
type connection struct {
	number int
	secure *tls.Conn
	raw    net.Conn
	since  time.Time

	// ended is closed when nothing more will be read. Then packet is what came,
	// or err says why nothing did, and the network connection is closed.
	ended  chan struct{}
	packet *ErrorPacket
	err    error

	// These are the loop's. encoded and done count bytes: handed to Write, and
	// gone into a Write that succeeded.
	encoded, done uint64
	broken        error  // what the last Write said; nothing is written any more
	settled       uint64 // notifications accepted by silence
	judged        uint64 // the same, and those an error packet decided

	// burst is how many notifications may be written in the period that began
	// at period, used how many were; see firstBurst.
	burst, used int
	period      time.Time
}

func newConnection(number int, secure *tls.Conn, raw net.Conn, now time.Time) *connection {
	c := &connection{number: number, secure: secure, raw: raw, since: now, ended: make(chan struct{}), burst: firstBurst, period: now}
	go c.read()
	return c
}

// read waits for the error packet from the moment the connection stands. What
// comes after it means nothing.
func (c *connection) read() {
	// The socket is closed first: a Write that the server does not take must
	// end, since the loop is in it and has to hear of this.
	defer close(c.ended)
	defer c.raw.Close()
	var b [ErrorPacketSize]byte
	switch n, err := io.ReadFull(c.secure, b[:]); {
	case err == nil:
		if p, err := ParseErrorPacket(b[:]); err != nil {
			c.err = fmt.Errorf("what the server sent is no error packet: %w", err)
		} else {
			c.packet = &p
		}
	case n > 0:
		// Half a packet names nobody: it says no more than none.
		c.err = fmt.Errorf("the server ended the connection %d bytes into an error packet: %w", n, err)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		c.err = ErrNoPacket
	default:
		c.err = err
	}
}

// newPeriod looks whether another period has begun.
func (c *connection) newPeriod(now time.Time) {
	age := now.Sub(c.period)
	if age < burstPeriod {
		return
	}
	switch {
	case age >= burstForgotten:
		c.burst = firstBurst
	case c.used == c.burst:
		c.burst = min(maxInFlight, 2*c.burst)
	}
	c.used, c.period = 0, now
}

// over reports whether the connection has ended, without waiting.
func (c *connection) over() bool {
	select {
	case <-c.ended:
		return true
	default:
		return false
	}
}

// write writes a batch. After an error nothing more is written, but the
// connection is read for a moment longer: a server that refuses a notification
// closes the connection, and if that is noticed by writing, the packet may
// still be on its way.
func (c *connection) write(b []byte, now time.Time) {
	c.encoded += uint64(len(b))
	c.secure.SetWriteDeadline(now.Add(writeTimeout))
	n, err := c.secure.Write(b)
	// crypto/tls counts whole records, and a record that is not whole cannot be
	// read: what lies beyond n has certainly not been processed.
	c.done += uint64(n)
	if err != nil {
		c.broken = err
		c.secure.SetReadDeadline(time.Now().Add(lastWords))
	}
}

// farewell says goodbye and closes; it waits for the reader.
func (c *connection) farewell() {
	c.raw.SetDeadline(time.Now().Add(farewell))
	c.secure.Close()
	c.raw.Close()
	<-c.ended
}

// ErrNoPacket: the server ended the connection without an error packet, so that
// nobody knows which of the notifications in flight it took.
var ErrNoPacket = errors.New("the server ended the connection without an error packet")

// LateError is an error packet that came when the notification it names had
// been taken for accepted, since the server was silent for Config.SettleTime.
// It says that SettleTime is too short.
type LateError struct {
	Packet ErrorPacket
	// Wrong is how many notifications were called accepted and were not, as far
	// as can be known: the one that is named, unless the packet says that it
	// was sent, and those written after it that had settled too.
	Wrong uint64
}

// Error says what happened and what to do.
func (e *LateError) Error() string {
	return fmt.Sprintf("%v; it came so late that %d notifications had been taken for accepted that were not. Raise Config.SettleTime", e.Packet, e.Wrong)
}

// Unwrap returns the packet.
func (e *LateError) Unwrap() error { return e.Packet }

// rejection is the outcome of the notification that an error packet names.
func rejection(s Status) *apns.RejectedError {
	reason, status := s.Reason()
	return &apns.RejectedError{Status: status, Reason: reason, Cause: s}
}
