package engine

import (
	"flag"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

var (
	yearSeed = flag.Uint64("year.seed", 0, "the seed of the story that TestYear plays; 0 plays those it knows")
	yearDays = flag.Float64("year.days", 0, "how many days it has")
	yearCut  = flag.Duration("year.within", time.Hour, "the story is cut off when it has taken so long")
	yearOld  = flag.Bool("year.known", false, "play the stories that once found something")
	yearSkip = flag.String("year.skip", "", "promises not to look at, by name, separated by commas")
	yearOn   = flag.Bool("year.on", false, "go on when a promise was broken")
	yearShow = flag.Int("year.show", 3, "how many breaches of a promise are told in full")
)

// yearSeeds are stories that are played again because they found something.
var yearSeeds = []struct {
	seed uint64
	days float64
}{
	// A person had a dead letter sent again whose verdict was too old to be kept. He
	// was told that it was done; it was thrown away.
	{22, 4},
	// Two people decided about a dead letter at once: one was told that it was
	// discarded, the other got an error of the log, and it was sent.
	{12, 2},
	// What was called back while it was being sent, and was then refused for a wrong
	// key, was put back for later.
	{1796104716, 0.7},
	// What waited of a paused campaign went out when it was called back.
	{1796115726, 4.6},
	// What had expired behind a pause, and was sent again, was ended by the copy that it
	// had expired in.
	{1796126695, 4.2},
	// Two hours without a way to APNs were written down every second, and verdicts that
	// were promised to be kept lost their place.
	{1796115725, 1.2},
}

// A server with five apps lives through days or months: people send by day and
// sleep at night, plan weeks ahead, pause, resume and call back; keys are replaced,
// also by wrong ones; devices die and come back; APNs has trouble for seconds and
// for days; the engine is stopped, and killed. Whatever was promised is looked at
// all the time, for each notification.
//
// Engine and log are the real ones, the clock is not: all of it runs in virtual
// time. What happens depends on the seed alone. What the engine draws for itself
// (how long a pause is, ids) does not, nor does the order in which goroutines
// run, so a seed most often, and not always, breaks the same promise again.
//
// What virtual time cannot do: put a clock right while an engine runs, and kill in
// the middle of a write; `make crash` does the latter.
func TestYear(t *testing.T) {
	if *yearSeed != 0 {
		playYear(t, *yearSeed, max(*yearDays, 0.1))
		return
	}
	if !*yearOld {
		playYear(t, 1, 0.3)
		return
	}
	for _, s := range yearSeeds {
		playYear(t, s.seed, s.days)
	}
}

func playYear(t *testing.T, seed uint64, days float64) {
	began := time.Now()
	var y *year
	var cut atomic.Bool // set by the clock outside
	defer time.AfterFunc(*yearCut, func() { cut.Store(true) }).Stop()
	defer func() { y.tell(t, time.Since(began)) }()
	throughYears(t, func(t *testing.T) {
		skip := map[string]bool{}
		for _, name := range strings.Split(*yearSkip, ",") {
			skip[name] = true
		}
		y = newYear(t, seed, days, skip)
		y.cut = &cut
		y.open()
		defer func() {
			if y.engine != nil {
				y.stop(time.Minute)
			}
		}()
		y.live()
		y.ends = y.now()
	})
}

// live plays the story.
func (y *year) live() {
	for day, from := 0, y.began; from.Before(y.ends); day, from = day+1, from.Add(24*time.Hour) {
		y.planDay(day, from, y.ends)
		for at := from; at.Before(from.Add(24 * time.Hour)); at = at.Add(2 * time.Hour) {
			y.run(earliest(at.Add(2*time.Hour), y.ends))
			if y.stopped() {
				return
			}
			y.inspect(day)
			if y.cut.Load() {
				return // what has not ended yet, nobody waits for
			}
			if !at.Before(y.ends) {
				break
			}
		}
	}
	y.heal()
	// Everything has an end now: what is due, what waits for its next attempt, and
	// at the latest what nobody wants any more.
	for y.waiting() && !y.stopped() && !y.cut.Load() {
		y.run(y.now().Add(10 * time.Minute))
		y.checkpoint()
	}
	for _, n := range y.notes {
		if y.cut.Load() {
			break
		}
		y.failNote("lost", n, "it has no end")
	}
}

// waiting says that something has no end whose time is not over.
func (y *year) waiting() bool {
	for _, n := range y.notes {
		if y.now().Before(n.until.Add(time.Minute)) {
			return true
		}
	}
	return false
}

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func (y *year) stopped() bool { return y.t.Failed() && !*yearOn }

// inspect looks at everything, and at some messages in all ways there are.
func (y *year) inspect(day int) {
	if y.engine == nil {
		return
	}
	rng := rand.New(rand.NewPCG(y.seed, uint64(day)|1<<40))
	for range min(3, len(y.messages)) {
		y.compare(pick(rng, y.messages...))
	}
	y.checkpoint()
}

// tell says how it went.
func (y *year) tell(t *testing.T, took time.Duration) {
	days := y.ends.Sub(y.began).Hours() / 24
	t.Logf("seed %d: %.1f days in %v (%.1f a minute); %d notifications accepted, %d pushes seen", y.seed, days, took.Round(time.Second), days/took.Minutes(), y.accepted, y.pushes)
	names := make([]string, 0, len(y.done))
	for name := range y.done {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		t.Logf("%6d %s", y.done[name], name)
	}
	for name, n := range y.failures {
		t.Logf("BROKEN %d times: %s", n, name)
	}
}
