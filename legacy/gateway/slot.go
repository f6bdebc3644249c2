package gateway

import (
	"sync"
	"sync/atomic"
	"time"

	"aviso.example/apns"
	"aviso.example/legacy"
)

// States of a slot. Whoever changes a state by compare-and-swap owns what
// follows from it.
const (
	slotQueued  = iota // with its route, not handed to the client
	slotSent           // with the client, or waiting for another slot's verdict
	slotDecided        // its verdict is known to its session
	slotOrphan         // sent, but the program was told that it was thrown away
	slotDropped        // queued when the program was told so: nobody sends it
)

// slot is one notification on its way through. Slots are used again.
type slot struct {
	n       apns.Notification
	payload []byte // what n.Payload points to
	state   atomic.Uint32
	verdict verdict // once the state is slotDecided

	session *session
	seq     uint64 // its place on the connection
	read    time.Time
	// identifier is the program's, if it gave one.
	identifier    uint32
	hasIdentifier bool

	orphan *orphan // what the ledger knows, once the state is slotOrphan
	next   *slot   // in a list of its route
}

// verdict is what the program is to learn, or the gateway knows, of a
// notification.
type verdict struct {
	// status is what an error packet would say; legacy.StatusNoErrors stands for
	// silence.
	status legacy.Status
	// why is for the log.
	why error
}

func (v verdict) failed() bool { return v.status != legacy.StatusNoErrors }

var slots = sync.Pool{New: func() any { return new(slot) }}

func newSlot() *slot { return slots.Get().(*slot) }

// free gives a slot back. Nobody else may know it any more.
func (s *slot) free() {
	payload := s.payload[:0]
	*s = slot{payload: payload}
	slots.Put(s)
}

// decide makes a verdict known to whom it concerns. It is called once for each
// slot that is slotSent.
func (s *slot) decide(v verdict) {
	session, seq := s.session, s.seq // once it is decided, it may be free at any time
	s.verdict = v
	if s.state.CompareAndSwap(slotSent, slotDecided) {
		session.decided(seq, v)
		return
	}
	session.route.ledger.settle(s, v)
}

// part takes a slot away from its session and says in which state it was: what is
// queued is dropped, what was sent is an orphan, what is decided stays so.
func (s *slot) part() uint32 {
	for {
		switch state := s.state.Load(); state {
		case slotQueued:
			if s.state.CompareAndSwap(slotQueued, slotDropped) {
				return state
			}
		case slotSent:
			if s.state.CompareAndSwap(slotSent, slotOrphan) {
				return state
			}
		default:
			return state
		}
	}
}

// slotStack is a stack to which anybody may push, and from which one goroutine
// takes all.
type slotStack struct{ top atomic.Pointer[slot] }

func (q *slotStack) push(s *slot) {
	for {
		top := q.top.Load()
		s.next = top
		if q.top.CompareAndSwap(top, s) {
			return
		}
	}
}

// takeAll empties the stack and returns its slots as a list, the first pushed
// first, and the list's end.
func (q *slotStack) takeAll() (first, last *slot) {
	top := q.top.Swap(nil)
	last = top
	for top != nil {
		next := top.next
		top.next = first
		first, top = top, next
	}
	return first, last
}

// slotLine is a list of slots that one goroutine uses.
type slotLine struct{ first, last *slot }

func (l *slotLine) append(first, last *slot) {
	switch {
	case first == nil:
	case l.first == nil:
		l.first, l.last = first, last
	default:
		l.last.next, l.last = first, last
	}
}

func (l *slotLine) prepend(first, last *slot) {
	switch {
	case first == nil:
	case l.first == nil:
		l.first, l.last = first, last
	default:
		last.next, l.first = l.first, first
	}
}

func (l *slotLine) pop() *slot {
	s := l.first
	if s != nil {
		if l.first = s.next; l.first == nil {
			l.last = nil
		}
		s.next = nil
	}
	return s
}
