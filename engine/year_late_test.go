package engine

import (
	"fmt"
	"math"
	"slices"
	"sort"
	"time"
)

// yearWait is a time in which a notification waited: until an attempt, or until
// its end.
type yearWait struct {
	note     *yearNote
	from, to time.Time
	// last is the verdict before it, or nil.
	last *Verdict
	// under is an attempt that has no verdict.
	under *yearAttempt
}

// yearRows is what a notification may wait for. Each row says until when it holds
// a notification back that could go at a moment but for this, be it that it begins
// to do so within the second that the engine has; the zero time if it does not.
// What no row holds goes on within a second.
var yearRows = []struct {
	name string
	next func(y *year, w *yearWait, at time.Time) (until time.Time)
}{
	{"its time", func(_ *year, w *yearWait, _ time.Time) time.Time { return w.note.sendAt }},
	{"its next attempt", (*year).nextAttempt},
	{"an answer", (*year).answerDue},
	{"the app is paused", func(_ *year, w *yearWait, at time.Time) time.Time { return overAfter(&w.note.app.paused, at) }},
	{"the batch is paused", func(_ *year, w *yearWait, at time.Time) time.Time { return overAfter(w.note.pauses(), at) }},
	{"the app is removed", func(_ *year, w *yearWait, at time.Time) time.Time { return overAfter(&w.note.app.removed, at) }},
	{"the key is wrong", func(_ *year, w *yearWait, at time.Time) time.Time { return overAfter(&w.note.app.wrong, at) }},
	{"APNs is unwell", func(y *year, w *yearWait, at time.Time) time.Time {
		return latest(overAfter(&y.troubles[w.note.env], at), overAfter(w.note.app.troubles[w.note.env], at))
	}},
	{"no engine runs", func(y *year, _ *yearWait, at time.Time) time.Time { return overAfter(&y.down, at) }},
	{"the rate", (*year).rateHolds},
}

// overAfter is when a span is over that holds soon after a time, or the zero time.
func overAfter(s *spans, at time.Time) time.Time {
	if sp := s.next(at, at.Add(soon)); sp != nil {
		return sp.over()
	}
	return time.Time{}
}

// nextAttempt is when the last verdict said that it would be tried again. Those
// due within an eighth of the time until then go together. What a wrong key was
// to blame for waits for the right one and no longer.
func (y *year) nextAttempt(w *yearWait, _ time.Time) time.Time {
	v := w.last
	if v == nil || v.RetryAt.IsZero() {
		return time.Time{}
	}
	due := v.RetryAt.Add(v.RetryAt.Sub(v.At) / 8).Add(time.Second)
	if right := overAfter(&w.note.app.wrong, v.At.Add(-soon)); v.Status == 403 && right.After(v.At) && right.Before(due) {
		return time.Time{} // another row has that
	}
	return due
}

// answerDue: what was sent and has no verdict was under way when an engine ended.
func (y *year) answerDue(w *yearWait, _ time.Time) time.Time {
	if w.under == nil {
		return time.Time{}
	}
	if sp := y.down.next(w.under.at, w.under.at.Add(underWay)); sp != nil {
		return sp.from
	}
	return time.Time{}
}

// rateHolds: a pace is a reason to wait while others go at that pace.
func (y *year) rateHolds(w *yearWait, at time.Time) time.Time {
	held := false
	if r := w.note.app.rate; r > 0 {
		held = busy(w.note.app.times, at, r)
	}
	if b := w.note.batch; b != nil {
		if r := b.rateAt(at); r > 0 {
			held = held || busy(b.times, at, r)
		}
	}
	if !held {
		return time.Time{}
	}
	return at.Add(250 * time.Millisecond)
}

// busy says that in a second around a moment, or in one that begins within the second
// that the engine has, most of what a rate allows was sent.
func busy(times []time.Time, at time.Time, rate float64) bool {
	first := sort.Search(len(times), func(i int) bool { return times[i].After(at.Add(-time.Second)) })
	most := int(math.Ceil(rate * 0.9))
	for i := first; i < len(times) && !times[i].After(at.Add(soon)); i++ {
		if end := i + most - 1; end < len(times) && times[end].Sub(times[i]) <= time.Second {
			return true
		}
	}
	return false
}

// rateAt is the batch's pace at a moment.
func (b *yearBatch) rateAt(at time.Time) (perSecond float64) {
	for _, r := range b.rates {
		if !r.from.After(at) {
			perSecond = r.perSecond
		}
	}
	return perSecond
}

// freeFrom is when nothing held a waiting notification any more, and what did last.
func (y *year) freeFrom(w *yearWait) (at time.Time, row string) {
	at, row = w.from, "nothing"
	for again := true; again && at.Before(w.to); {
		again = false
		for i := range yearRows {
			if until := yearRows[i].next(y, w, at); until.After(at) {
				at, row, again = until, yearRows[i].name, true
			}
		}
	}
	return at, row
}

// waits are the times in which a notification waited.
func (n *yearNote) waits() (list []yearWait) {
	wait := func(to time.Time, i int) yearWait {
		w := yearWait{note: n, from: n.accepted, to: to}
		for k := range n.verdicts {
			if v := &n.verdicts[k]; v.At.Before(to) && v.State != Sending && !v.State.Final() {
				w.last, w.from = v, latest(v.At, w.from)
			}
		}
		if i > 0 && n.attempts[i-1].at.After(w.from) {
			w.under, w.from = &n.attempts[i-1], n.attempts[i-1].at
		}
		return w
	}
	for i := range n.attempts {
		list = append(list, wait(n.attempts[i].at, i))
	}
	v := n.last()
	if v.State == Expired && (len(n.attempts) == 0 || v.At.Sub(n.attempts[len(n.attempts)-1].at) > underWay) {
		list = append(list, wait(latest(n.until, n.accepted), len(n.attempts)))
	}
	return list
}

// judgeLateness asks of each wait whether it was too long.
func (y *year) judgeLateness(n *yearNote) {
	list := n.waits()
	for i := range list {
		w := &list[i]
		free, row := y.freeFrom(w)
		late := w.to.Sub(free)
		if late <= soon || !n.cancelled.IsZero() && w.to.After(n.cancelled) {
			continue
		}
		y.failNote("late/"+row, n, fmt.Sprintf("it could go at %s and went %v later, at %s", y.clock(free), late, y.clock(w.to)))
		return
	}
}

// checkRates looks at every second in which something was sent.
func (y *year) checkRates() {
	for _, a := range y.apps {
		slices.SortFunc(a.times, time.Time.Compare)
		if a.rate > 0 {
			y.checkRate("app "+a.id, a.times, a.checked, func(time.Time) float64 { return a.rate })
		}
		a.checked = len(a.times)
	}
	for _, b := range y.batches {
		if b.checked < len(b.times) {
			slices.SortFunc(b.times, time.Time.Compare)
			y.checkRate(b.id.String(), b.times, b.checked, func(at time.Time) float64 {
				before, after := b.rateAt(at.Add(-2*time.Second)), b.rateAt(at)
				if before == 0 || after == 0 {
					return 0
				}
				return max(before, after)
			})
			b.checked = len(b.times)
		}
	}
}

func (y *year) checkRate(what string, times []time.Time, from int, rate func(time.Time) float64) {
	first := max(0, from-100)
	worst, at, limit := 0, time.Time{}, 0.0
	for i := from; i < len(times); i++ {
		for times[i].Sub(times[first]) >= time.Second {
			first++
		}
		r := rate(times[i])
		// An engine that has just begun does not know what the one before it sent.
		young := slices.ContainsFunc(y.starts, func(s time.Time) bool { return !s.Before(times[first]) && !s.After(times[i]) })
		if n := i - first + 1; r > 0 && float64(n) > r*1.1+1 && !young && n > worst {
			worst, at, limit = n, times[i], r
		}
	}
	if worst > 0 {
		y.fail("rate", "%s: %d were sent in the second until %s, and its rate is %v", what, worst, y.clock(at), limit)
	}
}
