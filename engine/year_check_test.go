package engine

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"aviso.example/sim"
)

// yearPromises are what the book holds the engine to. Each can be left out by its
// name (-year.skip), and lateness by its row too: late/the app is paused. Without
// the promise about rates there are no rates.
var yearPromises = map[string]string{
	"lost":         "what was accepted has an end",
	"one-end":      "and has exactly one",
	"states":       "states follow each other as they are drawn in docs/state-machine.md",
	"true":         "an end is what happened",
	"secret":       "nothing happens to what nobody accepted",
	"doubled":      "nothing is processed twice, unless an answer was lost or an engine killed in that moment",
	"doubled-drop": "and what must not be doubled never is",
	"early":        "nothing is sent before its time",
	"held":         "nothing is sent for what is paused or removed",
	"late":         "what can go on goes on within a second",
	"expired":      "what has expired is listed as that within two seconds, and never before",
	"cancelled":    "what is cancelled is final within a second, and is not sent any more",
	"rate":         "a pace is kept in every second",
	"kept":         "a verdict is found for as long as it is kept",
	"agree":        "all queries say the same",
	"two-callers":  "of two who decide the same at once one is told that it is done",
	"refused":      "what is in order is accepted while there is space",
	"steering":     "what somebody decides is done",
	"lists":        "lists can be read and hold what they should",
}

const (
	// soon is how long what can go on may take, with the round trips of a new
	// connection.
	soon = time.Second + 150*time.Millisecond
	// expiredSoon is the same for being listed as expired.
	expiredSoon = 2 * time.Second
	// blink is what separates moments that the engine and the simulators write
	// down differently: milliseconds are cut off, and a write takes one.
	blink = 100 * time.Millisecond
	// underWay is how long something may be on its way while APNs is not well.
	underWay = clientTimeout + time.Second
)

// fail notes that a promise was broken.
func (y *year) fail(check, format string, args ...any) {
	kind, _, _ := strings.Cut(check, "/")
	promise, ok := yearPromises[kind]
	if !ok {
		panic("there is no promise " + kind)
	}
	if y.skip[check] || y.skip[kind] {
		return
	}
	y.failures[check]++
	if y.failures[check] <= *yearShow {
		y.t.Errorf("%s (%s): %s", check, promise, fmt.Sprintf(format, args...))
	}
}

func (y *year) failNote(check string, n *yearNote, what string) {
	if n.unsure {
		return
	}
	y.fail(check, "%s: %s", what, n.story(y))
}

// checkpoint reads everything, looks at what has ended and forgets it.
func (y *year) checkpoint() {
	if y.engine == nil {
		return
	}
	y.read()
	for id, n := range y.notes {
		switch {
		case n.ended():
			y.judge(n)
			y.forget(n)
			delete(y.notes, id)
		case !n.overdue:
			y.judgeOpen(n)
		}
	}
	y.checkRates()
	y.checkBatches()
	y.messages = slices.DeleteFunc(y.messages, func(m *yearMessage) bool {
		return !slices.ContainsFunc(m.notes, func(n *yearNote) bool { return !n.gone })
	})
}

// forget keeps of what has ended only its end, unless it can begin again, and
// looks once more before its verdict goes.
func (y *year) forget(n *yearNote) {
	v := *n.last()
	y.forgotten[n.id] = yearEnd{v.State, v.At}
	n.gone = true
	if n.batch != nil {
		n.batch.left--
	}
	if v.Buried {
		y.buried[n.id] = n
	}
	if n.id[15]%16 == 0 {
		id, until := n.id, v.At.Add(yearVerdictAge-10*time.Minute)
		y.later(until.Sub(y.now()), "a verdict is looked up before it goes", func() { y.checkKept(id, &v, until) })
	}
}

// judge holds a notification that has ended against what was promised.
func (y *year) judge(n *yearNote) {
	slices.SortFunc(n.attempts, func(a, b yearAttempt) int { return a.at.Compare(b.at) })
	y.judgeEnd(n, n.last())
	y.judgeDoubles(n)
	y.judgeTimes(n)
	y.judgeLateness(n)
}

// judgeEnd asks whether an end is what happened.
func (y *year) judgeEnd(n *yearNote, v *Verdict) {
	processed := n.countProcessed() + n.processed
	attempted := func(ok func(*yearAttempt) bool) bool {
		return slices.ContainsFunc(n.attempts, func(a yearAttempt) bool { return !a.at.After(v.At.Add(blink)) && ok(&a) })
	}
	switch v.State {
	case Accepted:
		if !attempted((*yearAttempt).processed) {
			y.failNote("true", n, "it is said to be accepted and APNs did not take it")
		}
	case Rejected:
		if v.Suppressed {
			y.judgeSuppressed(n)
		} else if !attempted(func(a *yearAttempt) bool { return a.outcome == sim.Rejected && a.status == v.Status }) {
			y.failNote("true", n, "it is said to be rejected and APNs did not reject it")
		}
	case Cancelled:
		if n.cancelled.IsZero() {
			y.failNote("true", n, "nobody called it back")
		}
	case Unknown:
		if !n.drop {
			y.failNote("true", n, "it could have been sent again")
		}
	case Expired:
		y.judgeExpired(n, v)
	}
	if processed > 0 && (v.State == Rejected || v.State == Cancelled) && !slices.ContainsFunc(n.attempts, func(a yearAttempt) bool { return a.processed() && y.unanswered(n, &a, v.At) }) && n.processed == 0 {
		y.failNote("true", n, "APNs took it and said so")
	}
}

// judgeSuppressed: only what APNs called dead is suppressed, and not once it was
// registered again.
func (y *year) judgeSuppressed(n *yearNote) {
	switch {
	case !n.app.dead[deadAt{n.env, n.device}]:
		y.failNote("true", n, "APNs did not call its device token dead")
	case !n.registered.IsZero():
		dev, err := y.apples[n.env].Devices().Get(n.device)
		if err == nil && dev.State == sim.Active && !n.registered.Before(n.app.registered[n.device]) {
			y.failNote("true", n, "its device token was registered again, and it said so")
		}
	}
}

// judgeExpired: not before its time, unless an attempt failed and there was no
// time for another, and not later.
func (y *year) judgeExpired(n *yearNote, v *Verdict) {
	if v.At.Before(n.until.Add(-blink)) {
		from := n.accepted
		if len(n.verdicts) > 1 {
			from = n.verdicts[len(n.verdicts)-2].At
		}
		tried := slices.ContainsFunc(n.attempts, func(a yearAttempt) bool { return !a.at.Before(from.Add(-blink)) })
		if !tried && !y.felt(n, from, v.At) {
			y.failNote("expired", n, "it expired before its time, and nothing had been tried")
		}
		return
	}
	if due := y.listedBy(n, n.until); v.At.After(due) {
		y.failNote("expired", n, fmt.Sprintf("it is listed as expired %v late", v.At.Sub(due)+expiredSoon))
	}
}

// listedBy is when what was decided at a time has to be listed at the latest: an
// engine has to run, and what is under way comes to its end first.
func (y *year) listedBy(n *yearNote, at time.Time) time.Time {
	due := latest(at, n.accepted)
	for sp := y.down.next(due, due.Add(expiredSoon)); sp != nil; sp = y.down.next(due, due.Add(expiredSoon)) {
		due = sp.over()
	}
	due = due.Add(expiredSoon)
	if y.felt(n, at.Add(-underWay), at) {
		due = due.Add(underWay)
	}
	return due
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// felt reports whether APNs was unwell for a notification between two times.
func (y *year) felt(n *yearNote, from, until time.Time) bool {
	return y.troubles[n.env].hit(from, until) || n.app.troubles[n.env].hit(from, until) || y.mild.hit(from, until)
}

// judgeOpen looks at what has not ended: is its time over?
func (y *year) judgeOpen(n *yearNote) {
	if y.now().After(y.listedBy(n, n.until)) {
		n.overdue = true
		y.failNote("expired", n, "its time is over and it has not ended")
	}
}

// unanswered says that a push that was processed may well be sent again: its
// answer was lost, or the engine was killed before it could write it down.
func (y *year) unanswered(n *yearNote, a *yearAttempt, before time.Time) bool {
	if a.outcome == sim.AcceptedUnanswered {
		return true
	}
	patience := time.Second
	if y.mild.hit(a.at, a.at) {
		patience = 5 * time.Second
	}
	if slices.ContainsFunc(y.kills, func(k time.Time) bool { return k.After(a.at.Add(-blink)) && k.Before(a.at.Add(patience)) }) {
		return true
	}
	return y.felt(n, a.at, a.at.Add(underWay)) && slices.ContainsFunc(n.verdicts, func(v Verdict) bool {
		return v.Status == 0 && (v.State == Retrying || v.State == Expired || v.State == Unknown) && !v.At.Before(a.at.Add(-blink)) && !v.At.After(before.Add(blink))
	})
}

func (y *year) judgeDoubles(n *yearNote) {
	var earlier *yearAttempt
	for i := range n.attempts {
		a := &n.attempts[i]
		if !a.processed() {
			continue
		}
		if earlier != nil && !y.unanswered(n, earlier, a.at) {
			y.failNote("doubled", n, "it was processed twice, although it was answered")
			return
		}
		earlier = a
	}
	if n.drop && n.countProcessed()+n.processed > 1 {
		y.failNote("doubled-drop", n, "it was processed twice and must not be")
	}
}

// judgeTimes asks whether anything was sent when it must not be.
func (y *year) judgeTimes(n *yearNote) {
	for i := range n.attempts {
		at := n.attempts[i].at
		grace := soon
		if y.felt(n, at.Add(-underWay), at) {
			grace = underWay
		}
		if at.Before(n.sendAt) {
			y.failNote("early", n, "it was sent before its time")
		}
		if !n.cancelled.IsZero() && at.After(latest(n.cancelled, n.accepted).Add(grace)) {
			y.failNote("cancelled", n, "it was sent although it had been called back")
		}
		for _, s := range []*spans{&n.app.paused, &n.app.removed, n.pauses()} {
			if sp := s.next(at, at.Add(-grace)); sp != nil {
				y.failNote("held", n, fmt.Sprintf("it was sent at %s, and there: %s", y.clock(at), sp.what))
			}
		}
	}
	if v := n.last(); v.State == Cancelled {
		from := latest(n.cancelled, n.accepted)
		if due := y.listedBy(n, from).Add(soon - expiredSoon); v.At.After(due) {
			y.failNote("cancelled", n, fmt.Sprintf("it is listed as cancelled %v after it was", v.At.Sub(from)))
		}
	}
}

// pauses are those of its batch.
func (n *yearNote) pauses() *spans {
	if n.batch == nil {
		return nil
	}
	return &n.batch.paused
}
