package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"aviso.example/apns"
	"aviso.example/sim"
)

// yearNote is what the book has on one notification: what was promised, what the
// simulators saw, and what the engine tells.
type yearNote struct {
	id      apns.ID
	app     *yearApp
	env     apns.Environment
	lane    Lane
	batch   *yearBatch
	message *yearMessage
	device  string
	// registered is what was said of the device token.
	registered time.Time
	drop       bool
	// lasts is how long it is worth sending; 0 if its sender has said until when.
	lasts time.Duration

	accepted  time.Time // or when a person had it sent again
	sendAt    time.Time
	until     time.Time
	cancelled time.Time

	attempts []yearAttempt
	verdicts []Verdict
	life     int // how often a person had it sent again
	gone     bool
	// past are the verdicts on the lives before.
	past []Verdict
	// processed counts how often it was processed in the lives before.
	processed int
	// unsure: two people were told different things about it.
	unsure bool
	// overdue was told already.
	overdue bool
}

// yearAttempt is a push as a simulator saw it.
type yearAttempt struct {
	at      time.Time
	outcome sim.Outcome
	status  int
	reason  string
	fault   string
}

func (a *yearAttempt) processed() bool {
	return a.outcome == sim.Accepted || a.outcome == sim.AcceptedUnanswered
}

type yearMessage struct {
	id        MessageID
	notes     []*yearNote
	cancelled time.Time
}

type yearBatch struct {
	id        BatchID
	app       *yearApp
	env       apns.Environment
	lane      Lane
	rates     []yearRate
	paused    spans
	times     []time.Time // of its pushes
	checked   int
	closed    time.Time
	cancelled time.Time
	open      int // notes without an end
	left      int // notes in the book
	lines     int
}

// yearRate is a pace and since when it holds.
type yearRate struct {
	from      time.Time
	perSecond float64
}

// knows says that a verdict was read before.
func (n *yearNote) knows(v *Verdict) bool {
	return slices.ContainsFunc(slices.Concat(n.past, n.verdicts), func(o Verdict) bool {
		return o.State == v.State && o.At.Equal(v.At) && o.Attempts == v.Attempts && o.RetryAt.Equal(v.RetryAt)
	})
}

func (n *yearNote) last() *Verdict {
	if len(n.verdicts) == 0 {
		return nil
	}
	return &n.verdicts[len(n.verdicts)-1]
}

func (n *yearNote) ended() bool { v := n.last(); return v != nil && v.State.Final() }

func (n *yearNote) countProcessed() (count int) {
	for i := range n.attempts {
		if n.attempts[i].processed() {
			count++
		}
	}
	return count
}

// story tells all the book has on a notification, in order of time.
func (n *yearNote) story(y *year) string {
	type line struct {
		at   time.Time
		text string
	}
	lines := []line{{n.accepted, fmt.Sprintf("accepted for %s, %s, %s; drop %v, life %d", n.app.id, n.env, n.lane, n.drop, n.life)}}
	add := func(at time.Time, format string, args ...any) {
		if !at.IsZero() && at.Before(endOfTime) {
			lines = append(lines, line{at, fmt.Sprintf(format, args...)})
		}
	}
	add(n.sendAt, "its time to be sent")
	add(n.until, "its time is over")
	add(n.cancelled, "called back")
	for i := range n.attempts {
		a := &n.attempts[i]
		add(a.at, "the simulator: %s %d %s %s", a.outcome, a.status, a.reason, a.fault)
	}
	for i := range n.verdicts {
		v := &n.verdicts[i]
		text := fmt.Sprintf("verdict: %s, attempts %d, %d %s %s", v.State, v.Attempts, v.Status, v.Reason, v.Detail)
		if !v.RetryAt.IsZero() {
			text += ", again at " + y.clock(v.RetryAt)
		}
		add(v.At, "%s", text)
	}
	from, until := n.accepted.Add(-time.Minute), y.now()
	if v := n.last(); v != nil && v.State.Final() {
		until = v.At.Add(time.Minute)
	}
	sources := []*spans{&n.app.paused, &n.app.removed, &n.app.wrong, &y.down, &y.troubles[n.env], n.app.troubles[n.env], &y.mild}
	if n.batch != nil {
		sources = append(sources, &n.batch.paused)
	}
	for _, s := range sources {
		for _, sp := range s.list {
			if sp.from.Before(until) && sp.over().After(from) {
				add(sp.from, "begins: %s", sp.what)
				add(sp.until, "ends: %s", sp.what)
			}
		}
	}
	slices.SortStableFunc(lines, func(a, b line) int { return a.at.Compare(b.at) })
	var b strings.Builder
	fmt.Fprintf(&b, "%s", n.id)
	for i, l := range lines {
		if i > 60 {
			fmt.Fprintf(&b, "\n      and %d lines more", len(lines)-i)
			break
		}
		fmt.Fprintf(&b, "\n      %s %s", y.clock(l.at), l.text)
	}
	return b.String()
}

// clock writes a time as the day of the story and the time of day.
func (y *year) clock(t time.Time) string {
	return fmt.Sprintf("day %d %s", int(t.Sub(y.began.Truncate(24*time.Hour))/(24*time.Hour)), t.UTC().Format("15:04:05.000"))
}

// read takes into the book what the engine lists and then what the simulators
// saw, so that nothing has an end of which the cause is not in the book.
func (y *year) read() {
	y.readVerdicts()
	for env, apple := range y.apples {
		y.readPushes(apns.Environment(env), apple.Server)
	}
}

// overlap is how far back a list is read again: a verdict is on the log a moment
// after it was decided.
const overlap = 2 * time.Minute

func (y *year) readVerdicts() {
	if y.engine == nil {
		return
	}
	from := y.readUpTo
	y.readUpTo = y.now().Add(-overlap)
	var all []Verdict
	for cursor := (Cursor{}); ; {
		page, err := y.engine.Verdicts(context.Background(), Filter{After: from}, cursor, 5000)
		if err != nil {
			y.fail("lists", "the list of verdicts cannot be read: %v", err)
			return
		}
		all = append(all, page.Verdicts...)
		if page.Next == (Cursor{}) {
			break
		}
		cursor = page.Next
	}
	for i := len(all) - 1; i >= 0; i-- {
		v := &all[i]
		n := y.notes[v.ID]
		if n == nil {
			if _, ok := y.forgotten[v.ID]; !ok {
				y.fail("secret", "a verdict on what was never accepted: %+v", *v)
			}
			continue
		}
		if !n.knows(v) {
			y.takeVerdict(n, v)
		}
	}
}

// takeVerdict notes a verdict. Exactly one end is expected of each life.
func (y *year) takeVerdict(n *yearNote, v *Verdict) {
	before := State(0)
	if last := n.last(); last != nil {
		before = last.State
	}
	n.verdicts = append(n.verdicts, *v)
	switch {
	case before.Final() && before != 0 && v.State.Final():
		y.failNote("one-end", n, "it has ended twice")
	case !slices.Contains(follows[before], v.State) && !(before == 0 && n.life > 0 && v.State == Queued):
		y.failNote("states", n, fmt.Sprintf("%s follows %s", v.State, before))
	}
}

func (y *year) readPushes(env apns.Environment, apple *sim.Server) {
	for _, p := range apple.Pushes(sim.Filter{After: y.seen[env]}) {
		if p.Sequence != y.seen[env]+1 {
			y.t.Fatalf("the simulator has forgotten %d pushes before they were read", p.Sequence-y.seen[env]-1)
		}
		y.seen[env] = p.Sequence
		y.pushes++
		id, err := apns.ParseID(p.ID)
		if err != nil {
			y.t.Fatal(err)
		}
		n := y.notes[id]
		if n == nil {
			gone, ok := y.forgotten[id]
			if ok && (p.Outcome == sim.Accepted || p.Outcome == sim.AcceptedUnanswered) {
				y.fail("doubled", "%s was sent at %s, after its end, which was %s at %s", id, y.clock(p.Time), gone.state, y.clock(gone.at))
			} else if !ok {
				y.fail("secret", "the simulator has what nobody accepted: %s", id)
			}
			continue
		}
		if p.Status == 410 {
			n.app.dead[deadAt{env, p.DeviceToken}] = true
		}
		n.attempts = append(n.attempts, yearAttempt{p.Time, p.Outcome, p.Status, string(p.Reason), p.Fault})
		n.app.times = append(n.app.times, p.Time)
		if n.batch != nil {
			n.batch.times = append(n.batch.times, p.Time)
		}
	}
}
