package engine

import (
	"errors"
	"fmt"
	"time"

	"aviso.example/apns"
)

// checkKept looks a verdict up that ought still to be there.
func (y *year) checkKept(id apns.ID, v *Verdict, until time.Time) {
	if y.notes[id] != nil || y.now().After(until.Add(5*time.Minute)) {
		return // it began again, or no engine ran in time
	}
	d, err := y.engine.Delivery(yearContext, id)
	if end := y.forgotten[id]; !end.at.Equal(v.At) {
		return // it has ended anew since
	}
	if err == nil && d.State == v.State && d.At.Equal(v.At) {
		return
	}
	info, infoErr := y.engine.ledger.stream.Info(yearContext)
	if infoErr != nil {
		y.t.Fatal(infoErr)
	}
	s := info.State
	if s.Bytes > yearVerdictBytes*9/10 && s.FirstTime.After(v.At) {
		y.done["a verdict made room for others"]++
		return // they are bounded by their bytes, too
	}
	y.fail("kept", "%s ended as %s at %s; at %s there is %s, %v; the log has %d records of %d bytes, the oldest of %s",
		id, v.State, y.clock(v.At), y.clock(y.now()), d.State, err, s.Msgs, s.Bytes, y.clock(s.FirstTime))
}

// watchCancelled looks a second later whether what was cancelled is final.
func (y *year) watchCancelled(message *yearMessage, batch *yearBatch) {
	at := y.now()
	y.later(soon, "what was cancelled is looked at", func() { y.lookAtCancelled(message, batch, at) })
}

func (y *year) lookAtCancelled(message *yearMessage, batch *yearBatch, at time.Time) {
	if y.starts[len(y.starts)-1].After(at) {
		return // an engine that has just begun has its own second, and the end is looked at too
	}
	done, sending, err, what := false, false, error(nil), ""
	if message != nil {
		s, e := y.engine.Message(yearContext, message.id)
		done, sending, err, what = s.Done, s.States[Sending] > 0, e, fmt.Sprintf("message %s: %v", message.id, s.States)
		if y.felt(message.notes[0], at.Add(-underWay), y.now()) && sending {
			return
		}
	} else {
		s, e := y.engine.Batch(yearContext, batch.id)
		done, err, what = s.Done, e, fmt.Sprintf("batch %s: %+v, %d wait", batch.id, s.Counts, s.Waiting)
		if y.felt(&yearNote{app: batch.app, env: batch.env}, at.Add(-underWay), y.now()) {
			return
		}
	}
	if errors.Is(err, ErrNotFound) {
		return // it ended long ago
	}
	if !done || err != nil {
		y.fail("cancelled", "it was cancelled at %s and is not done a second later: %s, %v", y.clock(at), what, err)
	}
}

// checkBatches holds what is told of a batch against the book when all of it has
// ended.
func (y *year) checkBatches() {
	rest := y.batches[:0]
	for _, b := range y.batches {
		if b.left > 0 {
			rest = append(rest, b)
			continue
		}
		y.checkBatch(b)
	}
	y.batches = rest
}

func (y *year) checkBatch(b *yearBatch) {
	s, err := y.engine.Batch(yearContext, b.id)
	if err != nil {
		y.fail("agree", "batch %s: %v", b.id, err)
		return
	}
	counts := map[State]int64{}
	oldest := y.now()
	for i := range b.lines {
		end := y.forgotten[numbered(b.id.unit(), uint32(i))]
		counts[end.state]++
		if end.at.Before(oldest) {
			oldest = end.at
		}
	}
	if y.now().Sub(oldest) > yearVerdictAge-time.Hour {
		return // some are not on the log any more
	}
	told := map[State]int64{Accepted: s.Counts.Accepted, Rejected: s.Counts.Rejected, Expired: s.Counts.Expired, Cancelled: s.Counts.Cancelled, Unknown: s.Counts.Unknown}
	for _, state := range []State{Accepted, Rejected, Expired, Cancelled, Unknown} {
		if told[state] != counts[state] {
			y.fail("agree", "batch %s counts %+v, and its notifications ended as %v", b.id, s.Counts, counts)
			break
		}
	}
	if !s.Done {
		y.fail("agree", "all of batch %s have ended and it is not done: %+v", b.id, s)
	}
}

// compare asks for a message in all ways there are.
func (y *year) compare(m *yearMessage) {
	for _, n := range m.notes {
		if n.gone && y.now().Sub(y.forgotten[n.id].at) > yearVerdictAge-time.Hour {
			return // some are not on the log any more
		}
	}
	status, err := y.engine.Message(yearContext, m.id)
	if err != nil {
		y.fail("agree", "message %s cannot be found: %v", m.id, err)
		return
	}
	list, _, err := y.engine.Deliveries(yearContext, m.id, 0, m.id.Count)
	if err != nil || len(list) != m.id.Count {
		y.fail("agree", "message %s has %d notifications, and %d are listed: %v", m.id, m.id.Count, len(list), err)
		return
	}
	states := map[State]int{}
	final := 0
	for i := range list {
		states[list[i].State]++
		if list[i].State.Final() {
			final++
		}
	}
	d, err := y.engine.Delivery(yearContext, list[0].ID)
	if again, _ := y.engine.Message(yearContext, m.id); fmt.Sprint(again.States) != fmt.Sprint(status.States) {
		return // it moves
	}
	if err != nil || d.State != list[0].State {
		y.fail("agree", "%s is %s by itself and %s in its message, %v", list[0].ID, d.State, list[0].State, err)
	}
	if fmt.Sprint(states) != fmt.Sprint(status.States) || status.Done != (final == m.id.Count) {
		y.fail("agree", "message %s is %v, done %v, and its notifications are %v", m.id, status.States, status.Done, states)
	}
}
