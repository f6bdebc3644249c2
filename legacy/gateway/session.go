package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"sync/atomic"
	"time"

	"aviso.example/legacy"
)

// creditBlock is how many slots a connection takes from its route at once.
const creditBlock = 16

// Why a session stops reading.
var (
	errRejected = errors.New("a notification was rejected")
	errDraining = errors.New("the gateway is shutting down")
	errRemoved  = errors.New("the provider was removed from the configuration")
	errIdle     = errors.New("nothing was sent for too long")
	errSlow     = errors.New("a notification took too long to arrive")
)

// session is one connection of an old program.
type session struct {
	g     *Gateway
	conn  *tls.Conn
	raw   net.Conn
	route *route
	// fingerprint is of the program's certificate.
	fingerprint fingerprint
	log         *slog.Logger
	window

	decoder  *legacy.Decoder
	inside   bool  // some of a frame was read
	credits  int64 // slots that may be used; the goroutine's own
	stopping atomic.Pointer[error]
	ctx      context.Context // done with the first interrupt
	cancel   context.CancelFunc
	over     atomic.Bool // nobody is there to be told anything any more
}

// run serves the connection until it ends.
func (s *session) run() {
	began := s.g.now()
	cause := s.read()
	packet, why := s.finish(cause)
	s.route.credit.Release(s.credits)
	s.credits = 0
	attrs := []any{"frames", s.next.Load(), "sent", s.judged.Load(), "lasted", s.g.now().Sub(began).Round(time.Millisecond)}
	if packet != nil {
		attrs = append(attrs, "status", packet.Status.String(), "identifier", packet.Identifier)
	}
	if why != nil {
		attrs = append(attrs, "because", why)
	}
	level := slog.LevelInfo
	if packet != nil && !packet.Status.Sent() {
		level = slog.LevelWarn
	}
	s.log.Log(context.Background(), level, "connection ended", attrs...)
}

// read reads frames until there are no more, and says why.
func (s *session) read() error {
	s.decoder = legacy.NewDecoder(s, legacy.Limits{Payload: s.route.maxPayload(), AnyPriority: true})
	var f legacy.Frame
	for {
		if err := s.room(); err != nil {
			return err
		}
		s.inside = false
		if err := s.decoder.Next(&f); err != nil {
			return err
		}
		if err := s.draw(); err != nil {
			return err // the program sends it again
		}
		s.take(&f)
	}
}

// room waits until another notification may be under way.
func (s *session) room() error {
	size := uint64(len(s.ring))
	if s.open() >= size {
		// A little more than one has to be free, or the goroutine would be woken
		// for every single verdict.
		enough := size - max(1, size/4)
		s.waitUntil(func() bool { return s.open() <= enough || s.stopping.Load() != nil }, s.ctx.Done())
	}
	return s.cause()
}

// draw sees to it that there is credit for what was read.
func (s *session) draw() error {
	if s.credits == 0 {
		if s.route.credit.Acquire(s.ctx, creditBlock) != nil {
			return s.cause()
		}
		s.credits = creditBlock
	}
	return nil
}

// take hands on what was read.
func (s *session) take(f *legacy.Frame) {
	s.g.counts.frames.Add(1)
	now := s.g.now()
	sl := newSlot()
	sl.session = s
	sl.fill(f, s.route.settings.Load(), now)
	s.credits--
	sl.state.Store(slotSent)
	s.add(sl)
	if s.route.ledger.adopt(sl, now) {
		s.g.counts.adopted.Add(1)
		return
	}
	s.route.submit(sl)
}

// Read is what the decoder reads from. It bounds how long nothing may come, and
// how long a frame may take.
func (s *session) Read(p []byte) (int, error) {
	// It may take hours, and there may be thousands of others.
	s.route.credit.Release(s.credits)
	s.credits = 0
	switch {
	case s.decoder.Buffered() == 0:
		s.inside = false
		patience := s.g.cfg.IdleTimeout
		if s.next.Load() == 0 {
			patience = s.g.cfg.FirstFrameTimeout
		}
		s.conn.SetReadDeadline(time.Now().Add(patience))
	case !s.inside:
		s.inside = true
		s.conn.SetReadDeadline(time.Now().Add(s.g.cfg.FrameTimeout))
	}
	// After the deadline was set, or an interrupt in between would be lost.
	if err := s.cause(); err != nil {
		return 0, err
	}
	n, err := s.conn.Read(p)
	switch {
	case err == nil || n > 0:
		return n, nil
	case s.cause() != nil:
		return 0, s.cause()
	case errors.Is(err, os.ErrDeadlineExceeded) && s.inside:
		return 0, errSlow
	case errors.Is(err, os.ErrDeadlineExceeded):
		return 0, errIdle
	}
	return 0, err
}

// interrupt ends the reading. The first cause counts.
func (s *session) interrupt(cause error) {
	if s.stopping.CompareAndSwap(nil, &cause) {
		s.cancel()
		s.conn.SetReadDeadline(time.Unix(1, 0))
	}
	s.tell()
}

// cause says why the session has to stop, or nil.
func (s *session) cause() error {
	if p := s.stopping.Load(); p != nil {
		return *p
	}
	return nil
}

// finish judges what was read, says the last word, and closes the connection. It
// returns what was said and why.
func (s *session) finish(cause error) (packet *legacy.ErrorPacket, why error) {
	frame, unreadable := errors.AsType[*legacy.FrameError](cause)
	broken := !unreadable && s.stopping.Load() == nil && !errors.Is(cause, io.EOF) &&
		!errors.Is(cause, errIdle) && !errors.Is(cause, errSlow) && !errors.Is(cause, io.ErrUnexpectedEOF)
	if broken {
		// There is nobody to tell; what was read goes its way.
		s.abandon()
		s.conn.Close()
		return nil, cause
	}
	if !errors.Is(cause, io.EOF) {
		why = cause
	}
	decided := func() bool {
		_, failed := s.failure()
		return failed || s.open() == 0
	}
	s.waitUntil(decided, s.g.late.Done())
	failed, ok := s.failure()
	switch {
	case ok:
		p := failed.packet()
		packet, why = &p, failed.verdict.why
		s.g.counts.rejected.Add(1)
		s.disown(failed.seq)
	case s.open() > 0: // the time to shut down has run out
		packet, why = s.shutdownPacket(), errDraining
		s.g.counts.abandoned.Add(int64(s.open()))
		s.abandon()
	case unreadable:
		p := frame.Packet()
		packet, why = &p, frame
		s.g.counts.rejected.Add(1)
	case s.stopping.Load() != nil, errors.Is(cause, errIdle), errors.Is(cause, errSlow):
		packet = s.shutdownPacket()
	}
	s.say(packet)
	return packet, why
}

// abandon leaves the rest of the window to itself: there will be nobody to tell.
func (s *session) abandon() {
	s.over.Store(true)
	s.advance()
}

// shutdownPacket says that nothing is wrong with any notification and which was
// the last one that was sent; nil if there is no name for it.
func (s *session) shutdownPacket() *legacy.ErrorPacket {
	last := s.last.Load()
	if last&identified == 0 {
		return nil
	}
	return &legacy.ErrorPacket{Status: legacy.StatusShutdown, Identifier: uint32(last)}
}

// disown gives up the notification that failed and everything after it: the
// program sends the rest again. The failed one stays where it is, so that advance
// never gets past it.
func (s *session) disown(failed uint64) {
	now, freed := s.g.now(), int64(1)
	for seq := failed + 1; seq < s.next.Load(); seq++ {
		at := &s.ring[seq%uint64(len(s.ring))]
		sl := *at
		*at = nil
		if s.route.ledger.disown(sl, now) {
			sl.free()
			freed++
		}
	}
	s.route.credit.Release(freed)
}

// say writes the packet in one TLS record, ends our half of the connection, and
// reads what is still coming: closing with unread data would make TCP throw the
// packet away. First it waits a little, since until the program has noticed, what
// is read makes room for more, all of which the program has to remember.
func (s *session) say(packet *legacy.ErrorPacket) {
	defer s.conn.Close()
	s.conn.SetWriteDeadline(time.Now().Add(lastWords))
	if packet != nil {
		if _, err := s.conn.Write(packet.Append(nil)); err != nil {
			s.log.Info("the error packet could not be sent", "status", packet.Status.String(), "error", err)
			return
		}
		s.g.counts.packets.Add(1)
	}
	s.conn.CloseWrite()
	if half, ok := s.raw.(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
	}
	select {
	case <-time.After(noticeTime):
	case <-s.g.late.Done():
	}
	// Not through TLS: what comes is thrown away.
	s.raw.SetReadDeadline(time.Now().Add(lastWords))
	defer context.AfterFunc(s.g.late, func() { s.raw.SetReadDeadline(time.Unix(1, 0)) })()
	io.Copy(io.Discard, io.LimitReader(s.raw, lastBytes))
}

const (
	// lastWords bounds how long the end of a connection takes.
	lastWords = 2 * time.Second
	// noticeTime is a round trip and what a busy program needs.
	noticeTime = 100 * time.Millisecond
	// lastBytes bounds what is read and thrown away meanwhile: more than any
	// socket holds.
	lastBytes = 16 << 20
)
