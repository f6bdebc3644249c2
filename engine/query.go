package engine

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"aviso.example/apns"
)

// Delivery is where a notification is, and how it got there.
type Delivery struct {
	// Verdict is the last one. While there is none, only ID, Message, Batch,
	// App, State and what the queue knows are set.
	Verdict
	// History are the verdicts before it, the oldest first.
	History []Verdict
}

// Delivery tells where a notification is. ErrNotFound means that it was never
// accepted here, or ended so long ago that its verdict is gone.
func (e *Engine) Delivery(ctx context.Context, id apns.ID) (Delivery, error) {
	return twice(func() (Delivery, error) { return e.delivery(ctx, id) })
}

// twice looks again for what was not found: between two looks it may have gone
// from the queue to the verdicts.
func twice[T any](look func() (T, error)) (T, error) {
	found, err := look()
	if errors.Is(err, ErrNotFound) {
		return look()
	}
	return found, err
}

func (e *Engine) delivery(ctx context.Context, id apns.ID) (Delivery, error) {
	unit, number := split(id)
	type at struct {
		record uint64
		Verdict
	}
	var list []at
	if err := e.ledger.catchUp(ctx); err != nil {
		return Delivery{}, err
	}
	err := e.ledger.records(ctx, []uint64{rangeKey(&unit, number)}, func(seq uint64, v *rawVerdict) bool {
		if v.unit == unit && v.number == number {
			list = append(list, at{seq, v.verdict()})
		}
		return true
	})
	if err != nil {
		return Delivery{}, err
	}
	// Records are read newest first; within one, verdicts are in order.
	slices.SortStableFunc(list, func(a, b at) int { return cmp.Compare(a.record, b.record) })
	if n := len(list); n > 0 {
		d := Delivery{Verdict: list[n-1].Verdict}
		for _, v := range list[:n-1] {
			d.History = append(d.History, v.Verdict)
		}
		if !d.State.Final() {
			e.unfinished(&d.Verdict)
		}
		return d, nil
	}
	c, err := e.find(ctx, id)
	if err != nil {
		return Delivery{}, err
	}
	if c == nil {
		return Delivery{}, ErrNotFound
	}
	return Delivery{Verdict: e.queued(c, number)}, nil
}

// unfinished says where a notification is whose last verdict is no end.
func (e *Engine) unfinished(v *Verdict) {
	unit, number := split(v.ID)
	switch {
	case e.leases.sending(unit, number):
		v.State = Sending
	case v.State == Sending || v.State == Retrying && !v.RetryAt.After(time.Now()):
		v.State = Queued // its time has come, and it waits for its turn
	}
}

// queued is what is known of a notification that is on a queue.
func (e *Engine) queued(c *chunk, number uint32) Verdict {
	v := Verdict{App: c.app, Environment: c.environment, Lane: c.lane, ID: numbered(c.unit, number), Batch: c.batchID(), State: Queued, At: c.accepted().UTC()}
	for i := range c.targets {
		t := &c.targets[i]
		if t.number != number {
			continue
		}
		v.DeviceToken = hex.EncodeToString(t.token)
		if !c.batch {
			v.Message = c.message(t)
		}
		if at := c.templates[t.template].sendAt; at > time.Now().UnixMilli() {
			v.State, v.RetryAt = Scheduled, time.UnixMilli(at).UTC()
		}
	}
	if v.State == Queued && e.leases.sending(c.unit, number) {
		v.State = Sending
	}
	return v
}

// find looks for a notification without a verdict where it may be waiting.
func (e *Engine) find(ctx context.Context, id apns.ID) (*chunk, error) {
	unit, number := split(id)
	return e.findChunk(ctx, unit, number, number, func(t *target) bool { return t.number == number })
}

// findChunk looks for a chunk of a unit that has one of the notifications from
// first to last, where it may be waiting.
func (e *Engine) findChunk(ctx context.Context, unit apns.ID, first, last uint32, wanted func(*target) bool) (*chunk, error) {
	has := func(c *chunk) bool {
		if c.unit != unit {
			return false
		}
		for i := range c.targets {
			if wanted(&c.targets[i]) {
				return true
			}
		}
		return false
	}
	if c, err := e.later.waiting(ctx, unit, first, last, has); err != nil || c != nil {
		return c, err
	}
	if c, err := e.later.becameDue(ctx, has); err != nil || c != nil {
		return c, err
	}
	for _, l := range e.leases.all() {
		if has(l.chunk) {
			return l.chunk, nil
		}
	}
	looked := map[*queue]bool{}
	look := func() (*chunk, error) {
		for _, q := range e.allQueues() {
			if looked[q] || !q.batch.IsZero() && q.batch != BatchID(unit) {
				continue
			}
			looked[q] = true
			c, err := q.find(ctx, unit, e.writtenThrough(unit), has)
			if err != nil || c != nil {
				return c, err
			}
		}
		return nil, nil
	}
	c, err := look()
	if err != nil || c != nil || e.store.embedded() {
		return c, err
	}
	// Another engine may have made a queue a moment ago.
	if err := e.findQueues(ctx); err != nil {
		return nil, storeError(err)
	}
	return look()
}

const (
	// writtenWithin is how long after a unit was made its chunks are on the log.
	writtenWithin = storeTimeout
)

// find reads a queue until it has what is looked for.
func (q *queue) find(ctx context.Context, unit apns.ID, through time.Time, has func(*chunk) bool) (found *chunk, err error) {
	err = q.each(ctx, unit, through, func(_ uint64, c *chunk) (bool, error) {
		if has(c) {
			found = c
		}
		return found == nil, nil
	})
	return found, err
}

// each goes through the chunks of a queue that can belong to a unit: those that were
// moved there, which their subject tells, and those that were written when the unit
// was made. Messages on a log are in the order of time, so the beginning of these is
// found by halves.
func (q *queue) each(ctx context.Context, unit apns.ID, through time.Time, look func(seq uint64, c *chunk) (more bool, err error)) error {
	info, err := q.stream.Info(ctx, jetstream.WithSubjectFilter(q.subject+"."+unit.String()+".*"))
	if err != nil || info.State.Msgs == 0 {
		return storeError(err)
	}
	for subject := range info.State.Subjects {
		msg, err := q.stream.GetLastMsgForSubject(ctx, subject)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		} else if err != nil {
			return storeError(err)
		}
		if more, err := lookAt(msg, look); err != nil || !more {
			return err
		}
	}
	get := func(seq uint64) (*jetstream.RawStreamMsg, error) {
		msg, err := q.stream.GetMsg(ctx, seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil, nil
		}
		return msg, storeError(err)
	}
	made := madeAt(unit)
	low, high := info.State.FirstSeq, info.State.LastSeq+1
	for low < high {
		middle := low + (high-low)/2
		msg, err := get(middle)
		if err != nil {
			return err
		}
		if msg == nil || msg.Time.Before(made.Add(-time.Second)) {
			low = middle + 1
		} else {
			high = middle
		}
	}
	for seq := low; seq <= info.State.LastSeq; seq++ {
		msg, err := get(seq)
		if err != nil {
			return err
		}
		if msg == nil {
			continue
		}
		if msg.Time.After(through) {
			break
		}
		if more, err := lookAt(msg, look); err != nil || !more {
			return err
		}
	}
	return nil
}

func lookAt(msg *jetstream.RawStreamMsg, look func(uint64, *chunk) (bool, error)) (more bool, err error) {
	c, err := parseChunk(msg.Data)
	if err != nil {
		return true, nil // it is set aside when it has its turn
	}
	return look(msg.Sequence, c)
}

// writtenThrough is when the last chunk of a unit can have been written.
func (e *Engine) writtenThrough(unit apns.ID) time.Time {
	e.control.mu.RLock()
	b := e.control.batch[BatchID(unit)]
	e.control.mu.RUnlock()
	switch {
	case b == nil:
		return madeAt(unit).Add(writtenWithin)
	case b.ClosedAt.IsZero():
		return madeAt(unit).Add(maxBatchTime)
	}
	return b.ClosedAt.Add(writtenWithin)
}

// MessageStatus says how many notifications of a message are where.
type MessageStatus struct {
	ID          MessageID
	App         string
	Environment apns.Environment
	Lane        Lane
	// Accepted is how many device tokens were accepted; the others of ID.Count
	// were refused.
	Accepted int
	States   map[State]int
	// Reasons counts Apple's words among those that APNs did not take.
	Reasons map[apns.Reason]int
	// Done says that every one has ended.
	Done bool
}

// Message tells how a message fares.
func (e *Engine) Message(ctx context.Context, id MessageID) (MessageStatus, error) {
	return twice(func() (MessageStatus, error) { return e.message(ctx, id) })
}

func (e *Engine) message(ctx context.Context, id MessageID) (MessageStatus, error) {
	s := MessageStatus{ID: id, States: map[State]int{}, Reasons: map[apns.Reason]int{}}
	if err := e.ledger.catchUp(ctx); err != nil {
		return s, err
	}
	last, err := e.lastOf(ctx, id)
	if err != nil {
		return s, err
	}
	ended := 0
	for _, v := range last {
		if v.Message != id {
			return s, ErrNotFound // it names others' notifications
		}
		s.App, s.Environment, s.Lane, s.Accepted = v.App, v.Environment, v.Lane, v.accepted
		if !v.State.Final() {
			e.unfinished(&v.Verdict)
		} else {
			ended++
		}
		s.States[v.State]++
		if v.Reason != "" && v.State != Accepted {
			s.Reasons[v.Reason]++
		}
	}
	if len(last) > 0 && len(last) == s.Accepted {
		s.Done = ended == len(last)
		return s, nil
	}
	unit, first := split(id.First)
	var found *target
	c, err := e.findChunk(ctx, unit, first, first+uint32(id.Count)-1, func(t *target) bool {
		if _, ended := last[t.number]; ended || t.number < first || int(t.number-first) >= id.Count {
			return false
		}
		found = t
		return true
	})
	switch {
	case err != nil:
		return s, err
	case c != nil && (c.batch || c.message(found) != id):
		return s, ErrNotFound
	case c != nil:
		v := e.queued(c, found.number)
		s.App, s.Environment, s.Lane = v.App, v.Environment, v.Lane
		s.Accepted = int(c.templates[found.template].accepted)
		// All of it was to be sent at the same time.
		missing := s.Accepted - len(last)
		sending := min(missing, e.leases.countSending(id, func(number uint32) bool { _, told := last[number]; return !told }))
		if v.State == Sending {
			v.State = Queued
		}
		s.States[v.State] = s.States[v.State] + missing - sending
		s.States[Sending] += sending
		maps.DeleteFunc(s.States, func(_ State, n int) bool { return n == 0 })
	case len(last) > 0:
		// It is between two places at this moment.
		s.States[Queued] += s.Accepted - len(last)
	default:
		return s, ErrNotFound
	}
	return s, nil
}

// lastVerdict is the last verdict of a notification, and how many targets its
// message has.
type lastVerdict struct {
	Verdict
	accepted int
	record   uint64
}

// lastOf returns the last verdict of each notification of a message.
func (e *Engine) lastOf(ctx context.Context, id MessageID) (map[uint32]lastVerdict, error) {
	unit, first := split(id.First)
	last := map[uint32]lastVerdict{}
	err := e.ledger.records(ctx, id.rangeKeys(), func(seq uint64, v *rawVerdict) bool {
		if v.unit == unit && v.number >= first && int(v.number-first) < id.Count && seq >= last[v.number].record {
			last[v.number] = lastVerdict{v.verdict(), int(v.accepted), seq}
		}
		return true
	})
	return last, err
}

// rangeKeys are the keys under which the read index has a message.
func (m MessageID) rangeKeys() (keys []uint64) {
	unit, first := split(m.First)
	for n := first >> rangeBits; n <= (first+uint32(m.Count)-1)>>rangeBits; n++ {
		keys = append(keys, rangeKey(&unit, n<<rangeBits))
	}
	return keys
}

// Filter chooses verdicts. Its zero value chooses all.
type Filter struct {
	App         string
	Message     MessageID
	Batch       BatchID
	DeviceToken string
	States      []State
	Reason      apns.Reason
	// After and Before bound Verdict.At.
	After, Before time.Time
}

// Page is some verdicts, newest first.
type Page struct {
	Verdicts []Verdict
	// Next is the cursor of the next page; empty at the end.
	Next Cursor
}

// Cursor is a place in the log of verdicts. Its zero value is the end of it.
type Cursor struct {
	// Record is the last record that was looked at; Skip how many of its
	// verdicts, from its end, were.
	Record uint64
	Skip   int
}

// Verdicts lists verdicts newest first, beginning at a cursor.
func (e *Engine) Verdicts(ctx context.Context, f Filter, from Cursor, limit int) (page Page, err error) {
	if err := e.ledger.catchUp(ctx); err != nil {
		return page, err
	}
	match, err := f.matcher()
	if err != nil {
		return page, err
	}
	info, err := e.ledger.stream.Info(ctx)
	if err != nil {
		return page, storeError(err)
	}
	if info.State.Msgs == 0 {
		return page, nil
	}
	upper := info.State.LastSeq
	if from.Record != 0 {
		upper = min(upper, from.Record)
	}
	next, err := e.ledger.candidates(ctx, &f, info.State.FirstSeq, upper)
	if err != nil {
		return page, err
	}
	for looked := 0; ; looked++ {
		seq, ok := next()
		if !ok {
			return page, nil
		}
		if looked == maxScan {
			page.Next = Cursor{Record: seq}
			return page, nil
		}
		data, err := e.ledger.record(ctx, seq)
		if err != nil {
			return page, err
		}
		if data == nil {
			continue
		}
		var found []Verdict
		old := false
		if err := eachInTime(data, e.ledger.lateOf(seq), func(v *rawVerdict) {
			old = !f.After.IsZero() && v.at < f.After.UnixMilli()
			if match(v) {
				found = append(found, v.verdict())
			}
		}); err != nil {
			return page, err
		}
		skip := 0
		if seq == from.Record {
			skip = from.Skip
		}
		for i := len(found) - 1 - skip; i >= 0; i-- {
			if len(page.Verdicts) == limit {
				page.Next = Cursor{seq, len(found) - 1 - i}
				return page, nil
			}
			page.Verdicts = append(page.Verdicts, found[i])
		}
		if old && len(found) == 0 {
			return page, nil // the rest is older still
		}
	}
}

// candidates returns the records that can hold what a filter chooses, newest
// first.
func (l *ledger) candidates(ctx context.Context, f *Filter, first, upper uint64) (next func() (uint64, bool), err error) {
	var keys []uint64
	switch {
	case f.DeviceToken != "":
		token, err := hex.DecodeString(strings.ToLower(f.DeviceToken))
		if err != nil {
			return nil, &InputError{"DeviceToken", "is not hexadecimal"}
		}
		keys = append(keys, tokenKey(token))
	case f.Message.Count > 0:
		keys = f.Message.rangeKeys()
	default:
		seq := upper + 1
		return func() (uint64, bool) {
			seq--
			return seq, seq >= first
		}, nil
	}
	var list []uint64
	for _, key := range keys {
		seqs, err := l.lookup(ctx, key, first, upper)
		if err != nil {
			return nil, err
		}
		list = append(list, seqs...)
	}
	slices.Sort(list)
	list = slices.Compact(list)
	return func() (uint64, bool) {
		if len(list) == 0 {
			return 0, false
		}
		seq := list[len(list)-1]
		list = list[:len(list)-1]
		return seq, true
	}, nil
}

// matcher returns the filter as a function.
func (f *Filter) matcher() (func(*rawVerdict) bool, error) {
	token, err := hex.DecodeString(strings.ToLower(f.DeviceToken))
	if err != nil {
		return nil, &InputError{"DeviceToken", "is not hexadecimal"}
	}
	unit, first := split(f.Message.First)
	return func(v *rawVerdict) bool {
		switch {
		case f.App != "" && v.app != f.App,
			f.DeviceToken != "" && string(v.token) != string(token),
			f.Message.Count > 0 && (v.unit != unit || v.number < first || int(v.number-first) >= f.Message.Count),
			!f.Batch.IsZero() && (!v.batch || BatchID(v.unit) != f.Batch),
			len(f.States) > 0 && !slices.Contains(f.States, v.state),
			f.Reason != "" && v.reason != string(f.Reason),
			!f.After.IsZero() && v.at < f.After.UnixMilli(),
			!f.Before.IsZero() && v.at >= f.Before.UnixMilli():
			return false
		}
		return true
	}, nil
}

// BatchStatus is a batch with what became of it so far.
type BatchStatus struct {
	BatchRecord
	Counts Counts
	// Waiting notifications have not ended.
	Waiting int64
	// Done says that the batch is closed and all of it has ended.
	Done bool
}

// Batch tells how a batch fares.
func (e *Engine) Batch(ctx context.Context, id BatchID) (BatchStatus, error) {
	e.control.mu.RLock()
	record := e.control.batch[id]
	var s BatchStatus
	if record != nil {
		s.BatchRecord = *record
	}
	e.control.mu.RUnlock()
	if record == nil {
		return s, ErrNotFound
	}
	if err := e.ledger.catchUp(ctx); err != nil {
		return s, err
	}
	s.Counts = e.ledger.counts(id)
	s.Waiting = max(0, s.Accepted-s.Counts.Final())
	s.Done = !s.ClosedAt.IsZero() && s.Waiting == 0
	return s, nil
}

// Batches lists the batches of an app, newest first; an empty app means all.
func (e *Engine) Batches(ctx context.Context, app string, before BatchID, limit int) ([]BatchStatus, error) {
	e.control.mu.RLock()
	var ids []BatchID
	for id, b := range e.control.batch {
		if (app == "" || b.App == app) && (before.IsZero() || strings.Compare(id.String(), before.String()) < 0) {
			ids = append(ids, id)
		}
	}
	e.control.mu.RUnlock()
	slices.SortFunc(ids, func(a, b BatchID) int { return strings.Compare(b.String(), a.String()) })
	var list []BatchStatus
	for _, id := range ids[:min(limit, len(ids))] {
		s, err := e.Batch(ctx, id)
		if errors.Is(err, ErrNotFound) {
			continue
		} else if err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, nil
}
