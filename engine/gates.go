package engine

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"aviso.example/apns"
)

// gates decide whether anything may be sent for an app now: not while somebody
// paused it or one of its batches, not faster than its rate, and not while its
// own answers say that sending is in vain. An app is judged by its own answers
// alone, each environment by itself.
type gates struct {
	engine *Engine

	// trouble says that there are gates to look at: while all goes well, which is
	// nearly always, nobody takes the lock for each notification.
	trouble atomic.Bool

	mu      sync.Mutex
	gates   map[gateKey]*gate
	rates   map[string]*rate.Limiter // by app
	batches map[BatchID]*rate.Limiter
	changed chan struct{} // closed and replaced when anything opens or shuts
}

type gateKey struct {
	app         string
	environment apns.Environment
}

// gate is the breaker of one credential: an app in one environment.
type gate struct {
	// troubled counts answers in a row that blame the same thing.
	troubled int
	blame    blame
	// held says that nothing is sent until then; the zero time with a reason
	// means until somebody resumes the app.
	reason string
	until  time.Time
	level  int // how often in a row it was held
}

const (
	// peerTrouble is how many answers in a row have to say that APNs or the way
	// to it has trouble before an app pauses by itself: more than a moment's
	// burst, and few compared with what could be sent in vain.
	peerTrouble = 64
	// credentialTrouble is the same for answers that condemn the credential:
	// some can be left over from one that has just been replaced.
	credentialTrouble = 8
	// topicTrouble is the same for topics and environments, where each answer
	// may be about one wrong notification only.
	topicTrouble = 200
	// peerHold is the first pause; it doubles up to maxHold.
	peerHold = 2 * time.Second
	maxHold  = 5 * time.Minute
)

func newGates(e *Engine) *gates {
	return &gates{engine: e, gates: map[gateKey]*gate{}, rates: map[string]*rate.Limiter{}, batches: map[BatchID]*rate.Limiter{}, changed: make(chan struct{})}
}

// wait returns when a queue may be read, or false when ctx is done.
func (g *gates) wait(ctx context.Context, q *queue) bool {
	for ctx.Err() == nil {
		g.mu.Lock()
		changed := g.changed
		left, shut := g.shut(q)
		g.mu.Unlock()
		if !shut {
			return true
		}
		if left == 0 {
			left = time.Hour // or until something changes
		}
		t := time.NewTimer(left)
		select {
		case <-ctx.Done():
		case <-changed:
		case <-t.C:
		}
		t.Stop()
	}
	return false
}

// shut reports whether a queue must not be read, and for how long at least; 0
// means until something changes. g.mu is held.
func (g *gates) shut(q *queue) (left time.Duration, shut bool) {
	app := g.engine.app(q.app)
	if g.engine.control.paused(q.app) || app == nil || app.credential(q.environment) == nil || !q.batch.IsZero() && g.engine.control.batchPaused(q.batch) {
		return 0, true
	}
	held := g.gates[gateKey{q.app, q.environment}]
	switch {
	case held == nil || held.reason == "":
		return 0, false
	case held.until.IsZero():
		return 0, true
	}
	left = time.Until(held.until)
	return left, left > 0
}

// closed reports whether a queue must not be read now.
func (g *gates) closed(q *queue) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, shut := g.shut(q)
	return shut
}

// admit waits until n notifications of a queue may be sent by rate.
func (g *gates) admit(ctx context.Context, q *queue, n int) error {
	g.mu.Lock()
	left, shut := g.shut(q)
	app, batch := g.rates[q.app], g.batches[q.batch]
	g.mu.Unlock()
	if shut {
		return fmt.Errorf("paused for %v", left)
	}
	for _, limiter := range []*rate.Limiter{app, batch} {
		for rest := n; limiter != nil && rest > 0; {
			part := min(rest, limiter.Burst())
			if err := limiter.WaitN(ctx, part); err != nil {
				return err
			}
			rest -= part
		}
	}
	return nil
}

// observe judges an app by what became of one notification.
func (g *gates) observe(p path, d *decision) {
	if d.blame == blameNobody && (d.state != Accepted || !g.trouble.Load()) {
		return // it says nothing about others, or nothing new
	}
	key := gateKey{p.app, p.environment}
	g.mu.Lock()
	defer g.mu.Unlock()
	b := g.gates[key]
	if d.blame == blameNobody {
		if b != nil {
			delete(g.gates, key)
			g.trouble.Store(len(g.gates) > 0)
			g.notify()
		}
		return
	}
	if b == nil {
		b = &gate{}
		g.gates[key] = b
		g.trouble.Store(true)
	}
	if b.blame != d.blame {
		b.blame, b.troubled = d.blame, 0
	}
	b.troubled++
	limit := map[blame]int{blamePeer: peerTrouble, blameCredential: credentialTrouble, blameTopic: topicTrouble}[d.blame]
	if b.level > 0 && d.blame != blameTopic {
		limit = 1 // it is on probation
	}
	if b.troubled < limit || b.reason != "" && (b.until.IsZero() || time.Now().Before(b.until)) {
		return
	}
	b.troubled = 0
	b.level++
	b.reason = reasonOf(d)
	switch d.blame {
	case blameTopic:
		b.until = time.Time{}
		g.engine.log.Error("an app is paused: every answer says that topic or environment is wrong; resume it when that is put right",
			"app", p.app, "environment", p.environment.String(), "reason", b.reason)
	case blameCredential:
		b.until = time.Now().Add(min(maxHold, configurationPause*time.Duration(b.level)))
		g.engine.log.Error("an app is paused: its credential is refused; nothing is lost, and it is tried again from time to time",
			"app", p.app, "environment", p.environment.String(), "reason", b.reason, "until", b.until)
	default:
		b.until = time.Now().Add(min(maxHold, peerHold<<min(b.level-1, 10)))
		g.engine.log.Warn("an app is paused: APNs takes nothing", "app", p.app, "environment", p.environment.String(), "reason", b.reason, "until", b.until)
	}
	g.notify()
}

func reasonOf(d *decision) string {
	switch {
	case d.reason != "" && d.status != 0:
		return fmt.Sprintf("%d %s", d.status, d.reason)
	case d.reason != "":
		return string(d.reason)
	case d.detail != "":
		return d.detail
	}
	return "no answer"
}

// notify wakes all who wait; g.mu is held.
func (g *gates) notify() {
	close(g.changed)
	g.changed = make(chan struct{})
}

// reset forgets what was held against apps whose credentials changed, and takes
// over their rates.
func (g *gates) reset(apps map[string]*appState, generation uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for key := range g.gates {
		if a := apps[key.app]; a == nil || a.generation == generation {
			delete(g.gates, key)
		}
	}
	for id, a := range apps {
		g.limit(id, g.share(a.Rate))
	}
	g.notify()
}

// share is this engine's part of a rate that all engines have together.
func (g *gates) share(perSecond float64) float64 {
	return perSecond / float64(max(1, g.engine.engines.Load()))
}

// limit sets the rate of an app; g.mu is held.
func (g *gates) limit(app string, perSecond float64) { g.rates[app] = limiter(g.rates[app], perSecond) }

// limiter keeps its state when the rate changes. A burst is a fifth of a second.
func limiter(old *rate.Limiter, perSecond float64) *rate.Limiter {
	if perSecond <= 0 {
		return nil
	}
	burst := max(1, int(perSecond/5))
	if old == nil {
		return rate.NewLimiter(rate.Limit(perSecond), burst)
	}
	old.SetLimit(rate.Limit(perSecond))
	old.SetBurst(burst)
	return old
}

// controlled takes over what a person changed.
func (g *gates) controlled() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.notify()
}

// shared sets all rates anew, because there are more or fewer engines.
func (g *gates) shared() {
	g.engine.appsMu.RLock()
	apps := g.engine.apps
	g.engine.appsMu.RUnlock()
	rates := g.engine.control.rates()
	g.mu.Lock()
	defer g.mu.Unlock()
	for id, a := range apps {
		g.limit(id, g.share(a.Rate))
	}
	for id, perSecond := range rates {
		g.batches[id] = limiter(g.batches[id], g.share(perSecond))
	}
}

// limitBatch sets the rate of a batch.
func (g *gates) limitBatch(b BatchID, perSecond float64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if l := limiter(g.batches[b], g.share(perSecond)); l != nil {
		g.batches[b] = l
	} else {
		delete(g.batches, b)
	}
}

// release opens an app's gates, because somebody says that it is put right.
func (g *gates) release(app string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for key := range g.gates {
		if key.app == app {
			delete(g.gates, key)
		}
	}
	g.notify()
}

// Hold says that an app pauses by itself, and why.
type Hold struct {
	Environment apns.Environment
	// Reason is what APNs or the network said.
	Reason string
	// Until is when it is tried again; zero means when it is resumed.
	Until time.Time
}

func (g *gates) holds(app string) (list []Hold) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, environment := range []apns.Environment{apns.Production, apns.Sandbox} {
		if b := g.gates[gateKey{app, environment}]; b != nil && b.reason != "" && (b.until.IsZero() || time.Now().Before(b.until)) {
			list = append(list, Hold{environment, b.reason, b.until})
		}
	}
	return list
}
