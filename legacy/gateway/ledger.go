package gateway

import (
	"crypto/sha256"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// resendMemory is how long the ledger remembers. Programs send again at once,
	// or, like npm's apn, behind everything else they have in line.
	resendMemory = 5 * time.Minute
	// mostOrphans bounds the ledger of a provider. A connection leaves fewer than
	// its window behind.
	mostOrphans = 1 << 16
)

// ledger remembers what a provider's programs were told to have been thrown
// away although it was sent: everything that followed a rejected notification
// and was on its way to APNs already. When a program sends it again, under a new
// identifier, it is not sent a second time: the first one's verdict counts.
//
// The content says what is the same: device token and payload. Each entry is
// used once, so that the numbers are right even if a program means to send the
// same thing twice: APNs, too, would have thrown away one of them.
type ledger struct {
	size atomic.Int64 // of all; most of the time there is nothing to look up

	mu    sync.Mutex
	byKey map[content][]*orphan
	line  []*orphan // oldest first
}

type content [16]byte

// orphan is one entry.
type orphan struct {
	key     content
	at      time.Time
	used    bool // it is in the ledger no more
	settled bool
	verdict verdict
	adopter *slot // waits for the verdict
}

func (s *slot) content() content {
	h := sha256.New()
	h.Write([]byte(s.n.DeviceToken))
	h.Write(s.payload)
	var sum [sha256.Size]byte
	return content(h.Sum(sum[:0])[:16])
}

// disown enters a slot that followed a rejected one. What was decided is
// remembered; what was sent will be; what was not sent never is. It says whether
// the slot is free to be used again.
func (l *ledger) disown(s *slot, now time.Time) (free bool) {
	o := &orphan{key: s.content(), at: now}
	s.orphan = o
	l.mu.Lock()
	defer l.mu.Unlock()
	switch s.part() {
	case slotQueued:
		return false // its route frees it
	case slotDecided:
		o.settled, o.verdict, free = true, s.verdict, true
	}
	if l.byKey == nil {
		l.byKey = map[content][]*orphan{}
	}
	l.byKey[o.key] = append(l.byKey[o.key], o)
	l.line = append(l.line, o)
	l.size.Add(1)
	for len(l.line) > 0 && (l.line[0].used || now.Sub(l.line[0].at) > resendMemory || len(l.line) > mostOrphans) {
		l.remove(l.line[0])
		l.line[0] = nil
		l.line = l.line[1:]
	}
	return free
}

// adopt looks whether a slot is one that was sent before. If so, its verdict is
// that of the first, now or when there is one; the slot has to be slotSent.
func (l *ledger) adopt(s *slot, now time.Time) bool {
	if l.size.Load() == 0 {
		return false
	}
	key := s.content()
	l.mu.Lock()
	var found *orphan
	for len(l.byKey[key]) > 0 && found == nil {
		o := l.byKey[key][0]
		l.remove(o)
		if now.Sub(o.at) <= resendMemory {
			found = o
		}
	}
	if found == nil {
		l.mu.Unlock()
		return false
	}
	if !found.settled {
		found.adopter = s
		l.mu.Unlock()
		return true
	}
	l.mu.Unlock()
	s.decide(found.verdict)
	return true
}

// settle notes the verdict of an orphan, and ends its slot.
func (l *ledger) settle(s *slot, v verdict) {
	o, r := s.orphan, s.session.route
	l.mu.Lock()
	o.settled, o.verdict = true, v
	adopter := o.adopter
	o.adopter = nil // the line remembers o for a while, and should not hold slots
	l.mu.Unlock()
	s.free()
	r.credit.Release(1)
	if adopter != nil {
		adopter.decide(v)
	}
}

// unsent ends an orphan that was not sent after all: whoever sends it again means
// it.
func (l *ledger) unsent(s *slot) {
	o, r := s.orphan, s.session.route
	l.mu.Lock()
	l.remove(o)
	adopter := o.adopter
	o.adopter = nil
	l.mu.Unlock()
	s.free()
	r.credit.Release(1)
	if adopter != nil {
		r.again(adopter)
	}
}

// remove takes an entry out of the map; the line forgets it in time. Callers hold
// mu.
func (l *ledger) remove(o *orphan) {
	if o.used {
		return
	}
	o.used = true
	l.size.Add(-1)
	list := l.byKey[o.key]
	for i, other := range list {
		if other == o {
			list = append(list[:i:i], list[i+1:]...)
			break
		}
	}
	if len(list) == 0 {
		delete(l.byKey, o.key)
		return
	}
	l.byKey[o.key] = list
}
