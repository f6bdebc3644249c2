package gateway

import (
	"sync/atomic"

	"aviso.example/legacy"
)

// window is the part of a connection's notifications that was read and is not
// judged. The session's goroutine adds to it; whoever brings a verdict moves the
// judged mark.
type window struct {
	ring   []*slot       // by sequence number; its length is Config.Window
	next   atomic.Uint64 // sequence number of the next frame
	judged atomic.Uint64 // everything before it was silence
	failed atomic.Uint64 // sequence number of the earliest failure known, plus 1
	turns  atomic.Int64  // who moves the mark: see advance
	last   atomic.Uint64 // the last before judged: its identifier, and identified
	owed   int64         // slots freed and not given back to the route's credit

	waiting atomic.Bool   // the session's goroutine waits for wake
	wake    chan struct{} // 1
}

// identified says that window.last has an identifier.
const identified = 1 << 32

// add publishes a slot at the end of the window, which has to have room.
func (w *window) add(s *slot) {
	s.seq = w.next.Load()
	w.ring[s.seq%uint64(len(w.ring))] = s
	w.next.Store(s.seq + 1)
}

func (w *window) open() uint64 { return w.next.Load() - w.judged.Load() }

// tell wakes the session's goroutine if it waits.
func (w *window) tell() {
	if w.waiting.Load() {
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

// waitUntil waits until done says so, which is asked after every change, or until
// stop is closed.
func (w *window) waitUntil(done func() bool, stop <-chan struct{}) {
	w.waiting.Store(true)
	defer w.waiting.Store(false)
	for !done() {
		select {
		case <-w.wake:
		case <-stop:
			return
		}
	}
}

// decided takes note of a verdict: a failure ends the reading.
func (s *session) decided(seq uint64, v verdict) {
	if v.failed() {
		for {
			known := s.failed.Load()
			if known != 0 && known <= seq+1 || s.failed.CompareAndSwap(known, seq+1) {
				break
			}
		}
		s.interrupt(errRejected)
	}
	s.advance()
}

// advance moves the judged mark past everything that is silence. Verdicts come on
// several goroutines; the first one here looks for the others too, so that nobody
// waits and no lock is needed for each notification.
func (s *session) advance() {
	if s.turns.Add(1) > 1 {
		return
	}
	for {
		seen := s.turns.Load()
		s.look()
		if s.turns.CompareAndSwap(seen, 0) {
			break
		}
	}
	s.tell()
}

func (s *session) look() {
	w := &s.window
	judged, next := w.judged.Load(), w.next.Load()
	ended := false // the mark moves no more
	last := w.last.Load()
	for ; judged < next; judged++ {
		at := &w.ring[judged%uint64(len(w.ring))]
		sl := *at
		if sl.state.Load() != slotDecided {
			break
		}
		if sl.verdict.failed() {
			if ended = !s.over.Load(); ended {
				break
			}
			s.g.counts.untold.Add(1)
			s.log.Warn("a notification was rejected, and the provider had gone", "status", sl.verdict.status.String(), "because", sl.verdict.why)
		}
		if last = 0; sl.hasIdentifier {
			last = identified | uint64(sl.identifier)
		}
		*at = nil
		sl.free()
		w.owed++
	}
	w.last.Store(last)
	w.judged.Store(judged)
	if w.owed >= creditBlock || w.owed > 0 && (ended || judged == next) {
		s.route.credit.Release(w.owed)
		w.owed = 0
	}
}

// failure returns what the earliest failure was, once everything before it is
// judged.
func (w *window) failure() (sl *slot, ok bool) {
	if f := w.failed.Load(); f != 0 && w.judged.Load() == f-1 {
		return w.ring[(f-1)%uint64(len(w.ring))], true
	}
	return nil, false
}

// packet is what to say about a slot that failed.
func (s *slot) packet() legacy.ErrorPacket {
	return legacy.ErrorPacket{Status: s.verdict.status, Identifier: s.identifier}
}
