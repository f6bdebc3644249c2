package sim

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// binaryBuffer is how much is read at once: the content of one TLS record.
const binaryBuffer = 16 << 10

// binaryBuffers lends buffers to connections that have something to read, so
// that thousands of silent ones need none.
var binaryBuffers = sync.Pool{New: func() any { return new([binaryBuffer]byte) }}

// binaryInput is what was read and not judged yet.
type binaryInput struct {
	lent *[binaryBuffer]byte // nil while nothing is there
	buf  []byte              // lent, or a larger one for a large frame
	at   int                 // buf[at:] is to be judged
	// until is when the notification that has begun has to be complete.
	until time.Time
}

func (in *binaryInput) bytes() []byte { return in.buf[in.at:] }

// take drops what was judged.
func (in *binaryInput) take(n int) {
	in.at += n
	in.until = time.Time{}
}

// room returns space for more, after what is there.
func (in *binaryInput) room() []byte {
	if in.lent == nil {
		in.lent = binaryBuffers.Get().(*[binaryBuffer]byte)
		in.buf = in.lent[:0]
	}
	if in.at > 0 {
		in.buf = append(in.buf[:0], in.buf[in.at:]...)
		in.at = 0
	}
	if len(in.buf) == cap(in.buf) {
		// One notification fills it: a frame larger than a record.
		in.buf = append(make([]byte, 0, 2*cap(in.buf)), in.buf...)
	}
	return in.buf[len(in.buf):cap(in.buf)]
}

func (in *binaryInput) release() {
	if in.lent != nil {
		binaryBuffers.Put(in.lent)
	}
	*in = binaryInput{}
}

var (
	errSilentClient = errors.New("nothing came for the idle timeout")
	errSlowClient   = errors.New("a notification has begun and did not end in time")
	errSaidGoodbye  = errors.New("said goodbye with an error packet")
	errByFault      = errors.New("ended by a fault")
)

// readNotifications judges one after the other, in order, until something ends
// the connection.
func (c *binaryConn) readNotifications() error {
	for {
		n, size, err := parseBinary(c.in.bytes())
		switch {
		case errors.Is(err, errShortFrame):
			if err := c.more(); err != nil {
				return err
			}
			continue
		case err != nil:
			return c.unparsable(&n, err)
		}
		if err := c.handle(&n); err != nil {
			return err
		}
		c.in.take(size)
	}
}

// more reads what comes next. It returns an error when the connection ends.
func (c *binaryConn) more() error {
	for {
		err := c.read()
		if err == nil {
			return nil
		}
		ne, ok := errors.AsType[net.Error](err)
		if !ok || !ne.Timeout() {
			return err
		}
		// Time is over, or somebody wants something.
		order, leaving := c.wanted()
		switch {
		case leaving:
			return c.goodbye(errorPacket{status: statusShutdown, identifier: c.last})
		case order != nil:
			if err := c.obey(order); err != nil {
				return err
			}
		case c.in.until.IsZero():
			return errSilentClient
		default:
			return errSlowClient
		}
	}
}

// wanted returns what others have asked of this connection.
func (c *binaryConn) wanted() (order *Fault, leaving bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.orders) > 0 {
		order = &c.orders[0]
		c.orders = nil
	}
	return order, c.leaving
}

// read waits for input: for the first byte of a notification as long as the idle
// timeout lets it, for the rest as long as the frame timeout does.
func (c *binaryConn) read() error {
	slow := c.faults.slowReading
	if slow != nil {
		c.pause(slow.delay)
	}
	if len(c.in.bytes()) == 0 {
		// A buffer is held only while there is something in it.
		c.in.release()
		var limit time.Time
		if idle := c.srv.cfg.Binary.IdleTimeout; idle > 0 {
			limit = time.Now().Add(idle)
		}
		var first [1]byte
		if _, err := c.readSome(first[:], limit); err != nil {
			return err
		}
		c.in.buf = append(c.in.room()[:0], first[0])
		return nil // it may be enough, if it is no command
	}
	if c.in.until.IsZero() {
		c.in.until = time.Now().Add(c.srv.cfg.Binary.FrameTimeout)
	}
	room := c.in.room()
	if slow != nil && slow.bytes > 0 {
		room = room[:min(len(room), slow.bytes)]
	}
	n, err := c.readSome(room, c.in.until)
	c.in.buf = c.in.buf[:len(c.in.buf)+n]
	return err
}

// readSome reads once, unless somebody wants something of this connection.
func (c *binaryConn) readSome(p []byte, by time.Time) (int, error) {
	c.mu.Lock()
	if c.leaving || len(c.orders) > 0 {
		c.mu.Unlock()
		return 0, os.ErrDeadlineExceeded
	}
	c.raw.SetReadDeadline(by)
	c.mu.Unlock()
	return c.nc.Read(p)
}

// drain reads and forgets what the client still writes, until the time or until
// it has gone. What is left unread when a connection closes makes TCP reset it,
// and a reset destroys a packet on its way. It reports whether the client closed
// in order.
func (c *binaryConn) drain(by time.Time) bool {
	c.mu.Lock()
	if c.dead || c.leaving && !c.ending {
		c.mu.Unlock()
		return false
	}
	c.raw.SetReadDeadline(by)
	c.mu.Unlock()
	_, err := io.Copy(io.Discard, c.raw)
	return err == nil
}

// write writes within the write timeout.
func (c *binaryConn) write(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	c.raw.SetWriteDeadline(time.Now().Add(c.srv.cfg.WriteTimeout))
	_, err := c.nc.Write(b)
	return err
}

// halfClose says that nothing more will come, and hears on.
func (c *binaryConn) halfClose() {
	c.raw.SetWriteDeadline(time.Now().Add(c.srv.cfg.WriteTimeout))
	c.nc.CloseWrite()
	if half, ok := c.raw.(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
	}
}
