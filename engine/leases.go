package engine

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"aviso.example/apns"
)

// errOtherCopy: there are two copies of a notification, one of which is under way.
// What becomes of it decides about the other.
var errOtherCopy = errors.New("another copy is under way")

// leases are the chunks this engine holds.
type leases struct {
	mu   sync.Mutex
	held map[leaseKey]*lease
	some chan struct{} // has something in it when leases have begun
	// changed says that people have decided something, on this engine or on another,
	// that what waits here may have to end for.
	changed atomic.Bool
}

// leaseKey is a chunk on a queue or, for a sweep, the sweep.
type leaseKey struct {
	queue *queue
	seq   uint64
	sweep *lease
}

func (l *lease) key() leaseKey {
	if l.queue == nil {
		return leaseKey{sweep: l}
	}
	return leaseKey{queue: l.queue, seq: l.seq}
}

func newLeases() *leases {
	return &leases{held: map[leaseKey]*lease{}, some: make(chan struct{}, 1)}
}

// add notes a lease. If the chunk is under way already, because its lease ran out
// while it was being sent, it goes on under the new message.
func (s *leases) add(l *lease) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.held[l.key()]; old != nil {
		old.mu.Lock()
		old.msg = l.msg
		old.mu.Unlock()
		old.validUntil.Store(l.validUntil.Load())
		return false
	}
	s.held[l.key()] = l
	select {
	case s.some <- struct{}{}:
	default:
	}
	return true
}

func (s *leases) remove(l *lease) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if key := l.key(); s.held[key] == l {
		delete(s.held, key)
	}
}

func (s *leases) all() []*lease {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*lease, 0, len(s.held))
	for _, l := range s.held {
		list = append(list, l)
	}
	return list
}

func (s *leases) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.held)
}

// holds reports whether a chunk of a queue is held.
func (s *leases) holds(q *queue, seq uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held[leaseKey{queue: q, seq: seq}] != nil
}

// overlap reports whether another lease holds a notification that this one holds
// too, and of which no verdict is on the disk yet.
func (s *leases) overlap(l *lease) bool {
	var numbers map[uint32]bool
	for _, other := range s.all() {
		if other == l || other.chunk.unit != l.chunk.unit {
			continue
		}
		if numbers == nil {
			numbers = map[uint32]bool{}
			for i := range l.chunk.targets {
				numbers[l.chunk.targets[i].number] = true
			}
		}
		if other.anyUnderWay(numbers) {
			return true
		}
	}
	return false
}

// anyUnderWay reports whether what becomes of one of the numbers is not on the disk
// yet: until then neither this lease nor the ledger tells everybody.
func (l *lease) anyUnderWay(numbers map[uint32]bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, s := range l.status {
		if s.underWay() && numbers[l.chunk.targets[i].number] {
			return true
		}
	}
	return false
}

// sending reports whether a notification has been handed to the client here.
func (s *leases) sending(unit apns.ID, number uint32) bool {
	for _, l := range s.all() {
		if l.chunk.unit != unit {
			continue
		}
		l.mu.Lock()
		for i, status := range l.status {
			if l.chunk.targets[i].number == number && status.sending() {
				l.mu.Unlock()
				return true
			}
		}
		l.mu.Unlock()
	}
	return false
}

// countSending is how many notifications of a message have been handed to the client
// here, of those that are chosen.
func (s *leases) countSending(id MessageID, chosen func(number uint32) bool) (n int) {
	unit, _ := split(id.First)
	for _, l := range s.all() {
		if l.chunk.unit != unit {
			continue
		}
		l.mu.Lock()
		for i, status := range l.status {
			number := l.chunk.targets[i].number
			if status.sending() && id.Contains(numbered(unit, number)) && chosen(number) {
				n++
			}
		}
		l.mu.Unlock()
	}
	return n
}

// partialAfter is when verdicts are written although others of their chunk are
// still missing: a single device that makes APNs wait must not keep a thousand
// verdicts from the disk.
const partialAfter = 250 * time.Millisecond

// tend renews leases, saves what has waited for long enough, and ends what is over
// while it waits for its turn.
func (e *Engine) tend(ctx context.Context) {
	tick := time.NewTicker(partialAfter / 2)
	defer tick.Stop()
	renewed := time.Now()
	for {
		if e.leases.count() == 0 {
			tick.Stop()
			select {
			case <-ctx.Done():
				return
			case <-e.leases.some:
			}
			tick.Reset(partialAfter / 2)
		}
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			changed := e.leases.changed.Swap(false)
			renew := now.Sub(renewed) > e.cfg.Lease/4
			if renew {
				renewed = now
			}
			for _, l := range e.leases.all() {
				l.tend(now, renew, changed)
			}
		}
	}
}

func (l *lease) tend(now time.Time, renew, changed bool) {
	l.mu.Lock()
	over := !l.nextEnd.IsZero() && !now.Before(l.nextEnd)
	l.mu.Unlock()
	if over || changed {
		l.endWaiting(now)
	}
	l.mu.Lock()
	save := l.section.count > 0 && now.Sub(l.began) > partialAfter
	msg := l.msg
	l.mu.Unlock()
	if save {
		l.engine.recorder.add(l)
	}
	if renew && l.queue != nil && l.valid(now) {
		l.engine.background.Go(func() { l.renew(now, msg) })
	}
}

// inProgress is what JetStream is told by who is still at work on a message.
var inProgress = []byte("+WPI")

// renew asks the log for another term from now on. It counts when the log's answer
// came before the last one was over: the log answers whoever asks, also about a lease
// that is somebody else's by then.
func (l *lease) renew(now time.Time, msg *nats.Msg) {
	e := l.engine
	if e.store.embedded() {
		msg.InProgress()
		return
	}
	ctx, cancel := context.WithTimeout(e.hard, e.cfg.Lease/4)
	defer cancel()
	if _, err := e.store.conn.RequestWithContext(ctx, msg.Reply, inProgress); err == nil && l.valid(time.Now()) {
		l.renewed(now)
	}
}

// endCalledBack ends what was called back and is held here without having been
// handed over, and returns when that is on the disk.
func (s *leases) endCalledBack(ctx context.Context, unit apns.ID) error {
	now := time.Now()
	for _, l := range s.all() {
		if l.chunk.unit != unit {
			continue
		}
		l.endWaiting(now)
		for l.count(ended) > 0 {
			l.engine.recorder.add(l)
			select {
			case <-l.over:
			case <-ctx.Done():
				return storeError(ctx.Err())
			case <-time.After(recordLinger):
			}
		}
	}
	return nil
}
