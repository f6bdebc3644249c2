package engine

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"math"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"aviso.example/apns"
)

// Place is where a list of deliveries or messages goes on. Its zero value is the
// beginning. What waits comes first, queue by queue and then what is scheduled, each
// in its order; then what has ended, the newest first.
type Place struct {
	Stage Stage
	// Queue is the number that a queue has among others, as long as it is there.
	Queue uint64
	// At is the last chunk or record that was looked at; Skip how much of it was.
	At   uint64
	Skip int
}

// Stage is a part of a list.
type Stage uint8

// The stages of a list, in their order.
const (
	OnQueues Stage = iota
	InTime
	Ended
)

const (
	// maxChunksListed bounds the chunks that one page looks at, and maxScan the
	// records, so that a filter which matches little answers in time; the next page
	// then goes on.
	maxChunksListed = 200
	// maxScan bounds the records that one page looks at.
	maxScan = 2000
)

// List lists notifications in their present state, each once, beginning at a place;
// next is where to go on, or nil at the end. A page can be short, or empty, and not
// be the last.
//
// It is no snapshot: what moves on between two pages can be missed, or met again in
// its next state.
func (e *Engine) List(ctx context.Context, f Filter, from Place, limit int) (list []Verdict, next *Place, err error) {
	if err := e.ledger.catchUp(ctx); err != nil {
		return nil, nil, err
	}
	match, err := f.chooser()
	if err != nil {
		return nil, nil, err
	}
	next, err = e.eachDelivery(ctx, &f, from, func(d *listed) bool {
		if match(&d.Verdict) {
			if len(list) == limit {
				return false
			}
			list = append(list, d.Verdict)
		}
		return true
	})
	return list, next, err
}

// Messages lists messages, those first of which something waits and then the others,
// the newest first; otherwise it is like List. Of the filter, App and States count:
// a message is chosen if one of its notifications is in one of the states.
func (e *Engine) Messages(ctx context.Context, f Filter, from Place, limit int) (list []MessageStatus, next *Place, err error) {
	if err := e.ledger.catchUp(ctx); err != nil {
		return nil, nil, err
	}
	seen := map[MessageID]bool{}
	var failed error
	next, err = e.eachDelivery(ctx, &Filter{App: f.App}, from, func(d *listed) bool {
		id := d.Message
		if id.Count == 0 || f.App != "" && d.App != f.App || seen[id] {
			return true
		}
		s, err := e.Message(ctx, id)
		if errors.Is(err, ErrNotFound) {
			return true
		}
		if err == nil && len(f.States) > 0 && !slices.ContainsFunc(f.States, func(state State) bool { return s.States[state] > 0 }) {
			seen[id] = true
			return true
		}
		var here bool
		if err == nil {
			here, err = e.listedHere(ctx, d, &s)
		}
		if err != nil {
			failed = err
			return false
		}
		if here && len(list) == limit {
			return false
		}
		seen[id] = true
		if here {
			list = append(list, s)
		}
		return true
	})
	return list, next, errors.Join(failed, err)
}

// listedHere reports whether a delivery is the one that its message is listed with,
// if it is in several places: the first of those that wait or, if none does, the
// last that ended.
func (e *Engine) listedHere(ctx context.Context, d *listed, s *MessageStatus) (bool, error) {
	if d.place.Stage == Ended {
		if !s.Done {
			return false, nil
		}
		last, err := e.lastOf(ctx, s.ID)
		for _, v := range last {
			if v.record > d.place.At {
				return false, err
			}
		}
		return true, err
	}
	if d.chunkHas >= s.Accepted {
		return true, nil
	}
	first := d.place
	err := e.eachWaiting(ctx, s.ID, func(p Place) { first = earlier(first, p) })
	return first == Place{Stage: d.place.Stage, Queue: d.place.Queue, At: d.place.At, Skip: first.Skip}, err
}

func earlier(a, b Place) Place {
	if cmp.Or(cmp.Compare(a.Stage, b.Stage), cmp.Compare(a.Queue, b.Queue), cmp.Compare(a.At, b.At)) <= 0 {
		return a
	}
	return b
}

// listed is a delivery on its way into a list.
type listed struct {
	Verdict
	place    Place
	chunkHas int // live notifications of the same message in the same chunk
}

// eachDelivery goes through the deliveries from a place on until look says that it
// does not take one, which is where the next page begins.
func (e *Engine) eachDelivery(ctx context.Context, f *Filter, from Place, look func(*listed) bool) (next *Place, err error) {
	if from.Stage < Ended && f.canWait() {
		if next, err = e.eachLive(ctx, f, from, look); err != nil || next != nil {
			return next, err
		}
	}
	if !f.canEnd() {
		return nil, nil
	}
	if from.Stage < Ended {
		from = Place{Stage: Ended}
	}
	return e.eachEnded(ctx, f, from, look)
}

func (f *Filter) canWait() bool {
	return len(f.States) == 0 || slices.ContainsFunc(f.States, func(s State) bool { return !s.Final() })
}

func (f *Filter) canEnd() bool {
	return len(f.States) == 0 || slices.ContainsFunc(f.States, State.Final)
}

// eachLive goes through what waits or is being sent.
func (e *Engine) eachLive(ctx context.Context, f *Filter, from Place, look func(*listed) bool) (next *Place, err error) {
	looked := 0
	met := map[apns.ID]bool{} // a crash can have left two copies
	lookAt := func(p Place, c *chunk) (*Place, error) {
		skip := 0
		if earlier(p, from) == p { // it is the one that the page before ended in
			skip = from.Skip
		}
		if looked++; looked > maxChunksListed {
			return &Place{p.Stage, p.Queue, p.At, skip}, nil
		}
		if f.App != "" && c.app != f.App || !f.Batch.IsZero() && c.batchID() != f.Batch {
			return nil, nil
		}
		live, err := e.live(ctx, c)
		if err != nil {
			return nil, err
		}
		count := map[MessageID]int{}
		for i := range live {
			count[live[i].Message]++
		}
		for i := skip; i < len(live); i++ {
			d := listed{live[i], p, count[live[i].Message]}
			if met[d.ID] {
				continue
			}
			met[d.ID] = true
			if !look(&d) {
				return &Place{p.Stage, p.Queue, p.At, i}, nil
			}
		}
		return nil, nil
	}
	whole := from == Place{}
	seen := map[uint64]uint64{} // how far each queue was looked through
	queues := func() (next *Place, err error) {
		for _, q := range e.queuesInOrder() {
			n := q.listNumber()
			if n < from.Queue || f.App != "" && q.app != f.App {
				continue
			}
			seq := seen[n]
			if n == from.Queue {
				seq = max(seq, from.At)
			}
			if next, err = q.eachChunk(ctx, seq, func(at uint64, c *chunk) (*Place, error) {
				seen[n] = at + 1
				return lookAt(Place{OnQueues, n, at, 0}, c)
			}); err != nil || next != nil {
				return next, err
			}
		}
		return nil, nil
	}
	due := func() (*Place, error) {
		seq := seen[becomingDue]
		if from.Queue == becomingDue {
			seq = max(seq, from.At)
		}
		return eachChunkOf(ctx, e.later.stream, subjectDue, seq, func(at uint64, c *chunk) (*Place, error) {
			seen[becomingDue] = at + 1
			return lookAt(Place{OnQueues, becomingDue, at, 0}, c)
		})
	}
	if from.Stage == OnQueues {
		if next, err = queues(); err != nil || next != nil {
			return next, err
		}
		if next, err = due(); err != nil || next != nil {
			return next, err
		}
	}
	subject := subjectLater + ">"
	if f.App != "" && appSubject(subjectLater, f.App) != "" {
		subject = subjectLater + f.App + ".>"
	}
	at := uint64(0)
	if from.Stage == InTime {
		at = from.At
	}
	next, err = eachChunkOf(ctx, e.later.stream, subject, at, func(at uint64, c *chunk) (*Place, error) { return lookAt(Place{InTime, 0, at, 0}, c) })
	if err != nil || next != nil || !whole {
		return next, err
	}
	// What became due meanwhile went the other way: from where it waited for its time to
	// where it becomes due, and on to its queue.
	if next, err = due(); err != nil || next != nil {
		return next, err
	}
	return queues()
}

// becomingDue stands for the number of a queue where what has just become due is listed.
const becomingDue = math.MaxUint64

// queuesInOrder are the queues by their numbers in lists.
func (e *Engine) queuesInOrder() []*queue {
	all := e.allQueues()
	slices.SortFunc(all, func(a, b *queue) int { return cmp.Compare(a.listNumber(), b.listNumber()) })
	return all
}

// listNumber keeps the place of a queue while others come and go.
func (q *queue) listNumber() uint64 { return hash(0x2545f4914f6cdd1d, []byte(q.name)) }

// eachChunk goes through the chunks of a queue that are not done, from a sequence
// on.
func (q *queue) eachChunk(ctx context.Context, from uint64, look func(seq uint64, c *chunk) (*Place, error)) (*Place, error) {
	info, err := q.consumer.Info(ctx)
	if isGone(err) {
		return nil, nil // its batch is done
	} else if err != nil {
		return nil, storeError(err)
	}
	return eachChunkOf(ctx, q.stream, ">", max(from, info.AckFloor.Stream+1), look)
}

// eachChunkOf goes through the chunks of a stream that have a subject.
func eachChunkOf(ctx context.Context, stream jetstream.Stream, subject string, from uint64, look func(seq uint64, c *chunk) (*Place, error)) (*Place, error) {
	for seq := max(1, from); ; {
		msg, err := stream.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(subject))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil, nil
		} else if err != nil {
			return nil, storeError(err)
		}
		seq = msg.Sequence + 1
		c, err := parseChunk(msg.Data)
		if err != nil {
			continue // it is set aside when it has its turn
		}
		if next, err := look(msg.Sequence, c); err != nil || next != nil {
			return next, err
		}
	}
}

// live returns where those notifications of a chunk are that have not ended and of
// which this is the present copy.
func (e *Engine) live(ctx context.Context, c *chunk) (list []Verdict, err error) {
	type known struct {
		Verdict
		roundState
	}
	last := map[uint32]known{}
	err = e.ledger.records(ctx, c.rangeKeys(), func(seq uint64, v *rawVerdict) bool {
		if v.unit == c.unit && seq >= last[v.number].record {
			last[v.number] = known{v.verdict(), stateIn(v, seq)}
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	for i := range c.targets {
		t := &c.targets[i]
		v, told := last[t.number]
		switch {
		case told && v.doneWith(t):
			continue
		case told:
			e.unfinished(&v.Verdict)
			list = append(list, v.Verdict)
		default:
			if v := e.queued(c, t.number); !v.State.Final() {
				list = append(list, v)
			}
		}
	}
	return list, nil
}

// eachWaiting calls each with the places in which chunks with a message wait.
func (e *Engine) eachWaiting(ctx context.Context, id MessageID, each func(Place)) error {
	unit, first := split(id.First)
	has := func(c *chunk) (bool, error) {
		if c.unit != unit {
			return false, nil
		}
		live, err := e.live(ctx, c)
		return slices.ContainsFunc(live, func(v Verdict) bool {
			_, n := split(v.ID)
			return n >= first && int(n-first) < id.Count
		}), err
	}
	if err := e.later.each(ctx, laterOf(unit, "*"), func(seq uint64, c *chunk) (bool, error) {
		ok, err := has(c)
		if ok {
			each(Place{Stage: InTime, At: seq})
		}
		return true, err
	}); err != nil {
		return err
	}
	for _, q := range e.allQueues() {
		if !q.batch.IsZero() {
			continue
		}
		if err := q.each(ctx, unit, e.writtenThrough(unit), func(seq uint64, c *chunk) (bool, error) {
			ok, err := has(c)
			if ok {
				each(Place{Stage: OnQueues, Queue: q.listNumber(), At: seq})
			}
			return true, err
		}); err != nil {
			return err
		}
	}
	return nil
}

// eachEnded goes through the ends that are in force.
func (e *Engine) eachEnded(ctx context.Context, f *Filter, from Place, look func(*listed) bool) (*Place, error) {
	info, err := e.ledger.stream.Info(ctx)
	if err != nil {
		return nil, storeError(err)
	}
	if info.State.Msgs == 0 {
		return nil, nil
	}
	upper := info.State.LastSeq
	if from.At != 0 {
		upper = min(upper, from.At)
	}
	candidate, err := e.ledger.candidates(ctx, f, info.State.FirstSeq, upper)
	if err != nil {
		return nil, err
	}
	for looked := 0; ; looked++ {
		seq, ok := candidate()
		if !ok {
			return nil, nil
		}
		skip := 0
		if seq == from.At {
			skip = from.Skip
		}
		if looked == maxScan {
			return &Place{Ended, 0, seq, skip}, nil
		}
		ends, err := e.endsIn(ctx, seq)
		if err != nil {
			return nil, err
		}
		// Within a record verdicts are in order, so the newest is the last.
		slices.Reverse(ends)
		for i := skip; i < len(ends); i++ {
			if !look(&listed{Verdict: ends[i], place: Place{Ended, 0, seq, i}}) {
				return &Place{Ended, 0, seq, i}, nil
			}
		}
	}
}

// endsIn returns the ends in a record that nothing has followed.
func (e *Engine) endsIn(ctx context.Context, seq uint64) (list []Verdict, err error) {
	data, err := e.ledger.record(ctx, seq)
	if err != nil || data == nil {
		return nil, err
	}
	if err := eachInTime(data, e.ledger.lateOf(seq), func(v *rawVerdict) {
		if v.state.Final() {
			list = append(list, v.verdict())
		}
	}); err != nil {
		return nil, err
	}
	// Only a dead letter can be sent again.
	var failed error
	list = slices.DeleteFunc(list, func(v Verdict) bool {
		if !v.Buried || failed != nil {
			return false
		}
		revived, err := e.followed(ctx, v.ID, seq)
		failed = err
		return revived
	})
	return list, failed
}

// followed reports whether a later record has a verdict on a notification.
func (e *Engine) followed(ctx context.Context, id apns.ID, after uint64) (yes bool, err error) {
	unit, number := split(id)
	err = e.ledger.records(ctx, []uint64{rangeKey(&unit, number)}, func(seq uint64, v *rawVerdict) bool {
		yes = yes || seq > after && v.unit == unit && v.number == number
		return !yes
	})
	return yes, err
}

// chooser returns the filter as a function of what a list has.
func (f *Filter) chooser() (func(*Verdict) bool, error) {
	if _, err := hex.DecodeString(strings.ToLower(f.DeviceToken)); err != nil {
		return nil, &InputError{"DeviceToken", "is not hexadecimal"}
	}
	token := strings.ToLower(f.DeviceToken)
	return func(v *Verdict) bool {
		switch {
		case f.App != "" && v.App != f.App,
			token != "" && v.DeviceToken != token,
			f.Message.Count > 0 && !f.Message.Contains(v.ID),
			!f.Batch.IsZero() && v.Batch != f.Batch,
			len(f.States) > 0 && !slices.Contains(f.States, v.State),
			f.Reason != "" && v.Reason != f.Reason,
			!f.After.IsZero() && v.At.Before(f.After),
			!f.Before.IsZero() && !v.At.Before(f.Before):
			return false
		}
		return true
	}, nil
}
