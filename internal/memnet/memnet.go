// Package memnet is a network inside the process: connections with buffers,
// deadlines and faults, made only of locks and condition variables, so that
// whole client and server stacks run inside a testing/synctest bubble, where
// real sockets cannot.
package memnet

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// DefaultBuffer is how many bytes one direction of a connection holds before
// Write blocks, close to what a socket on loopback takes.
const DefaultBuffer = 256 << 10

// Addr is the address of one end.
type Addr string

// Network returns "mem".
func (Addr) Network() string { return "mem" }

// String returns the name of the end.
func (a Addr) String() string { return string(a) }

// Listener accepts connections made with Dial. Its methods may be called from
// several goroutines.
type Listener struct {
	name   Addr
	accept chan *Conn
	once   sync.Once
	done   chan struct{}
}

// Listen returns a listener with the given name, which is only a label.
func Listen(name string) *Listener {
	return &Listener{name: Addr(name), accept: make(chan *Conn), done: make(chan struct{})}
}

// Accept waits for the next connection.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.accept:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close makes Accept and Dial fail; connections that exist go on.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

// Addr returns the label given to Listen.
func (l *Listener) Addr() net.Addr { return l.name }

// Dial makes a connection and waits until it is accepted. After Close it fails
// with ECONNREFUSED, as a real dial would.
func (l *Listener) Dial(ctx context.Context) (net.Conn, error) {
	client, server := Pipe("client", string(l.name))
	select {
	case l.accept <- server:
		return client, nil
	case <-l.done:
		return nil, &net.OpError{Op: "dial", Net: "mem", Addr: l.name, Err: syscall.ECONNREFUSED}
	case <-ctx.Done():
		return nil, &net.OpError{Op: "dial", Net: "mem", Addr: l.name, Err: context.Cause(ctx)}
	}
}

// DialContext has the signature that dialers have and ignores the address.
func (l *Listener) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	return l.Dial(ctx)
}

// Pipe returns the two ends of one connection.
func Pipe(nameA, nameB string) (a, b *Conn) {
	ab, ba := newStream(), newStream()
	a = &Conn{in: ba, out: ab, local: Addr(nameA), remote: Addr(nameB)}
	b = &Conn{in: ab, out: ba, local: Addr(nameB), remote: Addr(nameA)}
	return a, b
}

// Conn is one end of a connection. It is safe for one reader and one writer at
// a time, like any net.Conn, and Close, Reset and Freeze may come from anywhere.
type Conn struct {
	in, out       *stream
	local, remote Addr
}

// Read returns bytes the peer wrote, io.EOF after the peer's Close.
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.in.read(p)
	return n, c.wrap("read", err)
}

// Write blocks while the buffer is full.
func (c *Conn) Write(p []byte) (int, error) {
	n, err := c.out.write(p)
	return n, c.wrap("write", err)
}

func (c *Conn) wrap(op string, err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	return &net.OpError{Op: op, Net: "mem", Source: c.local, Addr: c.remote, Err: err}
}

// Close ends both directions: the peer reads what is buffered, then io.EOF, and
// its writes fail with EPIPE.
func (c *Conn) Close() error {
	c.out.closeWrite(io.EOF)
	c.in.closeRead(net.ErrClosed, syscall.EPIPE)
	return nil
}

// Reset drops what is buffered; both ends then fail with ECONNRESET.
func (c *Conn) Reset() {
	for _, s := range []*stream{c.in, c.out} {
		s.reset(syscall.ECONNRESET)
	}
}

// Freeze makes the connection half-open as seen from the other end: everything
// it writes is swallowed, and it never hears anything again. Nothing fails; it
// is the silence after a cable was cut.
func (c *Conn) Freeze() {
	c.in.freeze()
	c.out.freeze()
}

// LocalAddr returns the label of this end.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr returns the label of the peer.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline sets both deadlines.
func (c *Conn) SetDeadline(t time.Time) error {
	c.in.setDeadline(&c.in.readBy, t)
	c.out.setDeadline(&c.out.writeBy, t)
	return nil
}

// SetReadDeadline bounds Read; the zero time removes the bound.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.in.setDeadline(&c.in.readBy, t)
	return nil
}

// SetWriteDeadline bounds Write; the zero time removes the bound.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.out.setDeadline(&c.out.writeBy, t)
	return nil
}

// limit is a deadline and the timer that wakes whoever waits for it.
type limit struct {
	at    time.Time
	timer *time.Timer
}

func (l *limit) passed() bool { return !l.at.IsZero() && !time.Now().Before(l.at) }

// stream is one direction.
type stream struct {
	mu       sync.Mutex
	changed  sync.Cond
	buf      []byte
	off      int   // bytes of buf already read
	readErr  error // after the buffer is empty
	writeErr error
	frozen   bool
	readBy   limit
	writeBy  limit
}

func newStream() *stream {
	s := &stream{}
	s.changed.L = &s.mu
	return s
}

func (s *stream) read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.readBy.passed():
			return 0, os.ErrDeadlineExceeded
		case len(s.buf) > s.off && !s.frozen:
			n := copy(p, s.buf[s.off:])
			if s.off += n; s.off == len(s.buf) {
				s.buf, s.off = s.buf[:0], 0
			}
			s.changed.Broadcast()
			return n, nil
		case s.readErr != nil && (!s.frozen || errors.Is(s.readErr, net.ErrClosed)):
			return 0, s.readErr
		case len(p) == 0:
			return 0, nil
		}
		s.changed.Wait()
	}
}

func (s *stream) write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	written := 0
	for {
		switch {
		case s.writeErr != nil:
			return written, s.writeErr
		case s.writeBy.passed():
			return written, os.ErrDeadlineExceeded
		case s.frozen:
			return written + len(p), nil
		}
		if s.off > 0 && len(s.buf)+len(p) > cap(s.buf) {
			s.buf = s.buf[:copy(s.buf, s.buf[s.off:])]
			s.off = 0
		}
		if room := DefaultBuffer - (len(s.buf) - s.off); room > 0 {
			n := min(room, len(p))
			s.buf = append(s.buf, p[:n]...)
			p, written = p[n:], written+n
			s.changed.Broadcast()
		}
		if len(p) == 0 {
			return written, nil
		}
		s.changed.Wait()
	}
}

func (s *stream) closeWrite(readErr error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.readErr == nil {
		s.readErr = readErr
	}
	if s.writeErr == nil {
		s.writeErr = net.ErrClosed
	}
	s.stopTimers()
	s.changed.Broadcast()
}

func (s *stream) closeRead(readErr, writeErr error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.buf, s.off = nil, 0
	s.readErr = readErr
	if s.writeErr == nil && !s.frozen {
		s.writeErr = writeErr
	}
	s.stopTimers()
	s.changed.Broadcast()
}

func (s *stream) reset(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.buf, s.off = nil, 0
	if s.readErr == nil || errors.Is(s.readErr, io.EOF) {
		s.readErr = err
	}
	if s.writeErr == nil {
		s.writeErr = err
	}
	s.stopTimers()
	s.changed.Broadcast()
}

func (s *stream) freeze() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.frozen = true
	s.buf, s.off = nil, 0
	s.changed.Broadcast()
}

func (s *stream) setDeadline(l *limit, t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.timer != nil {
		l.timer.Stop()
		l.timer = nil
	}
	l.at = t
	if !t.IsZero() {
		l.timer = time.AfterFunc(time.Until(t), func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.changed.Broadcast()
		})
	}
	s.changed.Broadcast()
}

func (s *stream) stopTimers() {
	for _, l := range []*limit{&s.readBy, &s.writeBy} {
		if l.timer != nil {
			l.timer.Stop()
			l.timer = nil
		}
	}
}
