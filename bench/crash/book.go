package main

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"aviso.example/apns"
	"aviso.example/engine"
	"aviso.example/sim"
)

// answer says what became of a request, as its caller knows it.
type answer uint8

const (
	pending  answer = iota
	refused         // certainly not accepted
	unknown         // cut off, or not confirmed; it is not sent again
	accepted        // 202
	cut             // a batch of which a part was accepted, and the answer says so
)

// order is what is asked for with one POST.
type order struct {
	batch bool
	drop  bool // on_unknown=drop
	count int
	app   string // "" if the configuration has one only
	lane  string
	// sendAt and expires are zero if nothing is said about them.
	sendAt, expires time.Time
	rate            float64 // of a batch
	paused          bool
}

// request is one POST that was made.
type request struct {
	order
	index  int
	base   int // of its notifications in the book
	answer answer
	at     time.Time // of the answer
	// held says that somebody kept it back, so that it tells nothing about how
	// long things take.
	held bool
	// buriable says that APNs was told to refuse some of it for their topic.
	buriable bool
	// called is how it was called back, if it was.
	called calledBack
	// times are of all that was processed, if it has or had a rate, as UNIX
	// milliseconds.
	times []int64
	paced bool
	// healthy: see book.
	healthy bool

	message engine.MessageID // of a message that was accepted
	batchID engine.BatchID   // of a batch
	sure    int64            // lines that a cut batch is sure of

	processed int // distinct notifications of it
}

// String says what was asked for, for whoever has to find out what went wrong.
func (r *request) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, #%d, of %d", r.name(), r.index, r.count)
	add := func(is bool, format string, args ...any) {
		if is {
			fmt.Fprintf(&b, ", "+format, args...)
		}
	}
	clock := func(t time.Time) string { return t.Format("15:04:05.000") }
	add(r.app != "", "for %s", r.app)
	add(r.lane != "", "%s", r.lane)
	add(r.drop, "drop")
	add(r.rate > 0, "at a rate of %g", r.rate)
	add(r.paused, "paused at first")
	add(!r.sendAt.IsZero(), "for %s", clock(r.sendAt))
	add(!r.expires.IsZero(), "expires at %s", clock(r.expires))
	add(!r.called.asked.IsZero(), "called back at %s", clock(r.called.asked))
	add(r.called.answered.IsZero() && !r.called.asked.IsZero(), "without an answer")
	return b.String()
}

// name is how the API calls it.
func (r *request) name() string {
	if r.batch {
		return r.batchID.String()
	}
	return r.message.String()
}

// calledBack is the cancelling of a request, as its caller knows it.
type calledBack struct {
	asked, answered time.Time // zero if it was not
}

// notification is what the simulator saw of one.
type notification struct {
	id        apns.ID
	first     int64 // when it was processed, in UNIX milliseconds
	processed uint8
	refused   bool   // there was an attempt that was not processed
	lives     uint8  // how often it may have been sent again by a person
	epoch     uint16 // of the engine that it was last processed for
}

// book holds all that was handed in, and what the simulator did with it. A device
// token says which notification it belongs to.
type book struct {
	seed uint64

	mu       sync.Mutex
	requests []*request
	notes    []notification
	accepted int // notifications
	ended    int // of those, seen by the simulator
	// doubles are the further times that a notification was processed: for which
	// engine before, and for which now.
	doubles map[int][]double
	// strange is told what the simulator saw and must not have.
	strange func(what, format string, args ...any)
	dead    int // pushes to dead device tokens
	// healthy says that no device token of this row is dead.
	healthy bool
	seen    uint64
	// gaps are the times in which nothing was processed, if they were long.
	last time.Time
	gaps []gap
}

type gap struct {
	end  time.Time
	took time.Duration
}

// longGap is from when on a gap is noted.
const longGap = 200 * time.Millisecond

type double struct{ before, now uint16 }

func newBook(seed uint64) *book { return &book{seed: seed, doubles: map[int][]double{}} }

const (
	// deadTokens is how many device tokens APNs calls dead, and every deadEvery-th
	// notification goes to one of them.
	deadTokens = 200
	deadEvery  = 499
)

func deadToken(i int) string { return fmt.Sprintf("dead%060x", i) }

// begin notes a request before it is made.
func (b *book) begin(o order) *request {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := &request{order: o, index: len(b.requests), base: len(b.notes), healthy: b.healthy, paced: o.rate > 0, held: o.rate > 0 || o.paused}
	b.requests = append(b.requests, r)
	b.notes = append(b.notes, make([]notification, o.count)...)
	return r
}

func (r *request) isDead(i int) bool { return !r.healthy && (r.base+i)%deadEvery == deadEvery-1 }

func (r *request) token(seed uint64, i int) string {
	if r.isDead(i) {
		return deadToken((r.base + i) / deadEvery % deadTokens)
	}
	return fmt.Sprintf("%08x%08x%048x", r.index, i, seed*0x9e3779b97f4a7c15+uint64(r.base+i))
}

// id is the apns-id of a notification of an accepted request.
func (r *request) id(i int) apns.ID {
	if r.batch {
		id := apns.ID(r.batchID)
		low := binary.BigEndian.Uint64(id[8:])
		binary.BigEndian.PutUint64(id[8:], low+uint64(i))
		return id
	}
	return r.message.ID(i)
}

// end notes the answer.
func (b *book) end(r *request, a answer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r.answer, r.at = a, time.Now()
	if a == accepted {
		b.accepted += r.count
		b.ended += r.processed + r.deadCount()
	}
}

func (r *request) deadCount() (n int) {
	for i := range r.count {
		if r.isDead(i) {
			n++
		}
	}
	return n
}

// progress is how much was accepted, and how much of that still waits, nearly.
func (b *book) progress() (accepted, waiting int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.accepted, b.accepted - b.ended
}

// find returns the notification that a device token belongs to.
func (b *book) find(token string) (*request, int, bool) {
	if len(token) != 64 {
		return nil, 0, false
	}
	n, err := strconv.ParseUint(token[:8], 16, 32)
	i, err2 := strconv.ParseUint(token[8:16], 16, 32)
	if err != nil || err2 != nil || n >= uint64(len(b.requests)) || i >= uint64(b.requests[n].count) {
		return nil, 0, false
	}
	r := b.requests[n]
	return r, int(i), r.token(b.seed, int(i)) == token
}

// take notes what the simulator did with one push.
func (b *book) take(p *sim.Push, epoch int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	complain := func(what string) { b.strange("the simulator saw: "+what, "%s to %s", p.ID, p.DeviceToken) }
	if p.Sequence != b.seen+1 {
		complain("the record of pushes has a gap before it")
	}
	b.seen = p.Sequence
	processed := p.Outcome == sim.Accepted || p.Outcome == sim.AcceptedUnanswered
	if p.DeviceToken[:4] == "dead" {
		b.dead++
		if processed {
			complain("a dead device token was accepted")
		}
		return
	}
	r, i, ok := b.find(p.DeviceToken)
	if !ok {
		complain("nobody handed that in")
		return
	}
	id, err := apns.ParseID(p.ID)
	n := &b.notes[r.base+i]
	switch {
	case err != nil:
		complain(err.Error())
	case n.id == apns.ID{}:
		n.id = id
	case n.id != id:
		complain("it had another id before")
	}
	b.early(r, p)
	if !processed {
		n.refused = true
		return
	}
	if r.paced {
		r.times = append(r.times, p.Time.UnixMilli())
	}
	if took := p.Time.Sub(b.last); took > longGap && !b.last.IsZero() {
		b.gaps = append(b.gaps, gap{p.Time, took})
	}
	b.last = p.Time
	if n.processed > 0 {
		b.doubles[r.base+i] = append(b.doubles[r.base+i], double{n.epoch, uint16(epoch)})
	} else {
		r.processed++
		n.first = p.Time.UnixMilli()
		if r.answer == accepted {
			b.ended++
		}
	}
	n.processed++
	n.epoch = uint16(epoch)
}

// stillOnItsWay is what a push may come later than the moment it was called back
// or expired: it had been written and the answer was quicker, or another server
// of the cluster had not heard of it yet.
const stillOnItsWay = soon

// early complains about a push that must not come, or not yet, or not any more.
func (b *book) early(r *request, p *sim.Push) {
	if p.Time.Before(r.sendAt) {
		b.strange("sent before its time", "%s by %v: %s", p.ID, r.sendAt.Sub(p.Time), r)
	}
	if late := p.Time.Sub(r.expires); !r.expires.IsZero() && late > stillOnItsWay {
		b.strange("sent after it had expired", "%s, %v later: %s", p.ID, late, r)
	}
	if late := p.Time.Sub(r.called.answered); !r.called.answered.IsZero() && late > stillOnItsWay {
		b.strange("sent after the answer that it is called back", "%s, %v later: %s", p.ID, late, r)
	}
}

// change changes what is known of a request while others read it.
func (b *book) change(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
}
