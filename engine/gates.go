package engine

import (
	"context"
	"errors"
	"fmt"
	"net/http"
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
	changed chan struct{}         // closed and replaced when anything opens or shuts
	probing chan struct{}         // has something in it when there is trouble to be probed
	freed   map[gateKey]time.Time // when a gate last opened
}

type gateKey struct {
	app         string
	environment apns.Environment
}

// gate is the breaker of one credential: an app in one environment.
type gate struct {
	began time.Time // of the trouble
	// troubled counts answers in a row that blame the same thing.
	troubled int
	blame    blame
	// held says that nothing is sent until then; the zero time with a reason
	// means until somebody resumes the app.
	reason string
	until  time.Time
	level  int  // how often in a row it was held
	noWay  bool // there was no connection
	// probe is when the next notification may find out whether APNs answers again.
	probe time.Time
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
	// probeEvery is how often one notification of an app tries whether APNs, or the
	// way to it, is well again: once it is, everything else goes on at once.
	probeEvery = 700 * time.Millisecond
	// maxHold bounds the pause before a credential is tried again that was refused.
	maxHold = 5 * time.Minute
)

func newGates(e *Engine) *gates {
	return &gates{
		engine: e, gates: map[gateKey]*gate{}, freed: map[gateKey]time.Time{}, rates: map[string]*rate.Limiter{}, batches: map[BatchID]*rate.Limiter{},
		changed: make(chan struct{}), probing: make(chan struct{}, 1),
	}
}

// errStranger: an app is not configured here, or has no credential.
var errStranger = errors.New("the app is not configured")

// errNoPart: other engines send this. They have all of the rate, or they can send and
// this one cannot.
var errNoPart = errors.New("other engines send this")

// admit waits until some of n notifications of a queue may be sent, takes room for
// them in the window, and returns how many. None without an error means that
// something has changed and the caller should look again, or that ctx is done.
func (g *gates) admit(ctx context.Context, q *queue, n int) (*route, int, error) {
	g.mu.Lock()
	changed := g.changed
	allowed, wait, err := g.allowed(q, n)
	g.mu.Unlock()
	if err != nil {
		return nil, 0, err
	}
	if allowed == 0 {
		untilChanged(ctx, wait, changed)
		return nil, 0, nil
	}
	route, err := g.engine.route(q.path)
	if err != nil {
		return nil, 0, err
	}
	if !g.findsWay(ctx, q, route) {
		return nil, 0, nil
	}
	if g.paced(q) {
		// What waits for a connection would go all at once when there is one, and
		// what had gathered meanwhile with it; the pace begins anew after it.
		behind := !route.keepsUp(allowed)
		was := route.behind.Swap(behind)
		if was && !behind {
			g.drain(q)
		}
		if behind || was {
			untilChanged(ctx, paceStep, changed)
			return nil, 0, nil
		}
	}
	if !route.window.acquire(ctx, allowed) {
		return nil, 0, nil
	}
	// Much can have been decided while it waited for its turn.
	taken := g.takeUp(q, allowed)
	route.window.release(allowed - taken)
	return route, taken, nil
}

// findsWay reports whether there is a connection, where the trouble is that none can be
// had. A notification that found that out would be written down as tried, every second
// for as long as an outage lasts.
func (g *gates) findsWay(ctx context.Context, q *queue, to *route) bool {
	g.mu.Lock()
	b := g.gates[q.gateKey()]
	missing := b != nil && b.noWay && g.gate(q) == probe
	g.mu.Unlock()
	if !missing {
		return true
	}
	began := time.Now()
	if err := to.client.Connect(ctx); err == nil || isCredential(err) {
		return true // and what is wrong with a credential is judged by its answer
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	b.probe = began.Add(probeEvery) // one that took longer is followed by the next at once
	return false
}

// untilChanged waits for a time, or for a change if there is none.
func untilChanged(ctx context.Context, wait time.Duration, changed <-chan struct{}) {
	var after <-chan time.Time
	if wait > 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		after = t.C
	}
	select {
	case <-ctx.Done():
	case <-changed:
	case <-after:
	}
}

// paceStep is how finely a pace is kept: what is due within one goes together.
const paceStep = 20 * time.Millisecond

// allowed is how many of n may be sent now. If none, it says for how long at least,
// 0 meaning until something changes. g.mu is held.
func (g *gates) allowed(q *queue, n int) (now int, wait time.Duration, err error) {
	passage := g.gate(q)
	if passage != open && passage != probe && g.others(q) {
		return 0, 0, errNoPart
	}
	switch passage {
	case shut:
		return 0, 0, nil
	case stranger:
		return 0, 0, errStranger
	case probe:
		n = 1
	case held:
		return 0, max(g.gates[q.gateKey()].wait(), time.Microsecond), nil // 0 would be for ever
	}
	for _, l := range g.limiters(q) {
		if l.Limit() == 0 {
			return 0, 0, errNoPart
		}
		enough := max(1, min(float64(n), float64(l.Limit())*paceStep.Seconds()))
		if tokens := l.Tokens(); tokens < enough {
			// Rounded up, or it would be awake for the last nanosecond.
			wait = max(wait, time.Duration((enough-tokens)/float64(l.Limit())*float64(time.Second))+time.Microsecond)
		} else {
			n = min(n, int(tokens))
		}
	}
	if wait > 0 {
		return 0, wait, nil
	}
	return n, 0, nil
}

// takeUp is allowed for somebody who has the room; what it returns has been taken
// from the rates.
func (g *gates) takeUp(q *queue, n int) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	n, _, err := g.allowed(q, n)
	if err != nil || n == 0 {
		return 0
	}
	now := time.Now()
	for _, l := range g.limiters(q) {
		l.AllowN(now, n)
	}
	if b := g.gates[q.gateKey()]; b != nil {
		b.probe = now.Add(probeEvery)
	}
	return n
}

// others reports whether this engine cannot send from a queue and others can; g.mu is
// held.
func (g *gates) others(q *queue) bool {
	trouble := g.gates[q.gateKey()]
	return (trouble != nil && trouble.reason != "" || g.gate(q) == stranger) && g.engine.peers.able(q.app)
}

// awaitPart waits until this engine has something to do with a queue: a part of its
// rates, and a way to send, unless nobody has.
func (g *gates) awaitPart(ctx context.Context, q *queue) {
	for ctx.Err() == nil {
		g.mu.Lock()
		changed := g.changed
		_, wait, err := g.allowed(q, 1)
		if err == errNoPart {
			if trouble := g.gates[q.gateKey()]; trouble != nil {
				wait = trouble.wait() // then it tries
			}
		}
		g.mu.Unlock()
		if err != errNoPart {
			return
		}
		untilChanged(ctx, wait, changed)
	}
}

// passage is what a gate says.
type passage uint8

const (
	open     passage = iota
	probe            // one may try whether all is well again
	held             // by trouble of its own, for a time
	shut             // until somebody opens it
	stranger         // the app is not configured here
)

// gate says whether anything of a queue may be sent now; g.mu is held.
func (g *gates) gate(q *queue) passage {
	app := g.engine.app(q.app)
	if app == nil || app.credential(q.environment) == nil {
		return stranger
	}
	if g.engine.control.paused(q.app) || !q.batch.IsZero() && g.engine.control.batchPaused(q.batch) {
		return shut
	}
	b := g.gates[q.gateKey()]
	switch {
	case b == nil || b.reason == "":
		return open
	case b.until.IsZero():
		return shut
	case b.wait() > 0:
		return held
	}
	return probe
}

// mayPass reports whether one of a queue could try now.
func (g *gates) mayPass(q *queue) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	n, _, err := g.allowed(q, 1)
	return err == nil && n > 0
}

func (q *queue) gateKey() gateKey { return gateKey{q.app, q.environment} }

// wait is how long a gate stays as it is.
func (b *gate) wait() time.Duration {
	at := b.until
	if b.probe.After(at) {
		at = b.probe
	}
	return max(0, time.Until(at))
}

// observe judges an app by what became of one notification, and notes with it
// whether another attempt waits for the app's gate or for a time of its own.
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
			g.wellAgain(key, b)
		}
		return
	}
	defer func() {
		// An internal error can be about the one notification, which would be tried
		// again and again if it did not wait for its own time.
		d.waitsForGate = d.blame == blameCredential || d.blame == blamePeer && (d.status != http.StatusInternalServerError || b.level > 0)
	}()
	if b == nil {
		b = &gate{began: time.Now(), probe: time.Now().Add(probeEvery)}
		g.gates[key] = b
		g.trouble.Store(true)
		select {
		case g.probing <- struct{}{}:
		default:
		}
	}
	if b.blame != d.blame {
		b.blame, b.troubled = d.blame, 0
	}
	b.troubled++
	b.noWay = d.noWay
	limit := map[blame]int{blamePeer: peerTrouble, blameCredential: credentialTrouble, blameTopic: topicTrouble}[d.blame]
	if d.noWay || b.level > 0 && d.blame != blameTopic {
		limit = 1 // there is nothing to wait for, or it is on probation
	}
	if b.troubled < limit || b.reason != "" && (b.until.IsZero() || time.Now().Before(b.until)) {
		return
	}
	g.hold(key, b, d)
}

// hold shuts a gate; g.mu is held.
func (g *gates) hold(key gateKey, b *gate, d *decision) {
	log := g.engine.log.With("app", key.app, "environment", key.environment.String(), "reason", reasonOf(d))
	b.troubled = 0
	b.level++
	b.reason = reasonOf(d)
	switch d.blame {
	case blameTopic:
		b.until = time.Time{}
		log.Error("an app is paused: every answer says that topic or environment is wrong; resume it when that is put right")
	case blameCredential:
		b.until = time.Now().Add(min(maxHold, configurationPause*time.Duration(b.level)))
		log.Error("an app is paused: its credential is refused; nothing is lost, and it is tried again from time to time", "until", b.until)
	default:
		b.until = time.Now().Add(max(probeEvery, d.patience))
		if b.level == 1 {
			log.Warn("an app is paused: APNs takes nothing; one notification tries again about every second")
		}
	}
	g.notify()
}

// wellAgain takes note that a notification was accepted; g.mu is held.
func (g *gates) wellAgain(key gateKey, b *gate) {
	if b.level == 0 && time.Since(b.began) < probeEvery {
		// One answer among others was bad: what it was about waits for its time.
		delete(g.gates, key)
		g.trouble.Store(len(g.gates) > 0)
		return
	}
	if b.level > 0 && b.blame == blamePeer {
		g.engine.log.Info("APNs answers again", "app", key.app, "environment", key.environment.String())
	}
	g.free(key)
}

// free opens a gate: what waited for it goes on at once. g.mu is held.
func (g *gates) free(key gateKey) {
	delete(g.gates, key)
	g.trouble.Store(len(g.gates) > 0)
	g.freed[key] = time.Now()
	g.engine.later.hasten(key)
	g.notify()
}

// freedSince reports whether a gate has opened since a time: what was decided then and
// is written down only now has been missed.
func (g *gates) freedSince(p path, since time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.freed[gateKey{p.app, p.environment}].After(since)
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

// probe lets one notification of each app in trouble try again about every second,
// while nobody else does: of those that wait at the gate, or of those that were put
// back.
func (g *gates) probe(ctx context.Context) {
	for ctx.Err() == nil {
		if !g.trouble.Load() {
			select {
			case <-ctx.Done():
				return
			case <-g.probing:
			}
		}
		pause(ctx, probeEvery/7)
		now := time.Now()
		var due []gateKey
		g.mu.Lock()
		for key, b := range g.gates {
			if b.blame == blamePeer && !now.Before(b.until) && !now.Before(b.probe) && !g.engine.control.paused(key.app) {
				due = append(due, key)
			}
		}
		g.mu.Unlock()
		for _, key := range due {
			g.engine.later.try(ctx, key)
		}
	}
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
	for id, a := range apps {
		if a.generation == generation {
			g.free(gateKey{id, apns.Production})
			g.free(gateKey{id, apns.Sandbox})
		}
	}
	for key := range g.gates {
		if apps[key.app] == nil {
			delete(g.gates, key)
		}
	}
	g.trouble.Store(len(g.gates) > 0)
	g.setRates(apps)
	g.notify()
}

// controlled takes over what a person changed.
func (g *gates) controlled() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.notify()
}

// shared sets all rates anew, because there are more or fewer engines.
func (g *gates) shared() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.engine.appsMu.RLock()
	apps := g.engine.apps
	g.engine.appsMu.RUnlock()
	g.setRates(apps)
	for id, b := range g.engine.control.paced() {
		g.batches[id] = g.limiter(g.batches[id], b.App, b.Rate)
	}
	g.notify()
}

// unable are the apps that wait here for something that other engines may have: their
// configuration, or an answer of APNs.
func (g *gates) unable() map[string]bool {
	apps := map[string]bool{}
	for _, q := range g.engine.allQueues() {
		if a := g.engine.app(q.app); a == nil || a.credential(q.environment) == nil {
			apps[q.app] = true
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for key, b := range g.gates {
		if b.reason != "" {
			apps[key.app] = true
		}
	}
	return apps
}

// begin has what waited for a gate in the life before go on: they are all open, and
// shut soon if nothing has changed.
func (g *gates) begin() {
	g.engine.appsMu.RLock()
	defer g.engine.appsMu.RUnlock()
	for id := range g.engine.apps {
		g.engine.later.hasten(gateKey{id, apns.Production})
		g.engine.later.hasten(gateKey{id, apns.Sandbox})
	}
}

// release opens an app's gates, because somebody says that it is put right.
func (g *gates) release(app string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, environment := range []apns.Environment{apns.Production, apns.Sandbox} {
		g.free(gateKey{app, environment})
	}
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
		b := g.gates[gateKey{app, environment}]
		if b == nil || b.reason == "" {
			continue
		}
		h := Hold{environment, b.reason, b.until}
		if b.blame == blamePeer && b.probe.After(b.until) {
			h.Until = b.probe
		}
		list = append(list, h)
	}
	return list
}
