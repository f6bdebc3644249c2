package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"aviso.example/apns"
)

const (
	// presentEvery is how often an engine says on a cluster that it is there.
	presentEvery = 5 * time.Second
	// absentAfter is after what silence it does not count any more; the others
	// then go faster.
	absentAfter = 3 * presentEvery
)

// peers are the engines that share a cluster, among which rates are divided. Work
// needs no dividing: who has room takes the next chunk.
//
// Each says by how many it divides. A change makes parts smaller at once, and larger
// when all others have said that they divide by as many: until then they may send as
// fast as they did. One that has not heard itself for so long that the others may count
// it no more has no part either: what it hears of itself says that it is heard, and that
// it would hear them.
//
// What is too little to be divided belongs to the first of those that can send it, so
// each also says for which apps it cannot; and whatever one cannot send is left to
// those that can.
type peers struct {
	engine *Engine
	kv     jetstream.KeyValue
	name   string

	speaking sync.Mutex // what is said later is on the log later

	mu      sync.Mutex
	others  map[string]peer
	own     peer            // what this engine says
	unable  map[string]bool // what the log has of that
	unsaid  bool            // it has to be said again soon
	said    saying          // the last that the log took
	heard   uint64          // the revision of it that came back
	heardAt time.Time       // when what came back last was said
	left    bool            // it says nothing any more
	divisor int             // agreed; 0: it has no part
	known   bool            // who was there at the beginning
	shares  shares          // what the rates of the gates were set by
}

// saying is one time that this engine said that it is there.
type saying struct {
	revision uint64
	at       time.Time
}

// shares are what this engine's parts of rates depend on.
type shares struct {
	divisor, said int
	unable        map[string]bool
	others        map[string]map[string]bool // what each cannot send
}

func (s shares) equal(other shares) bool {
	return s.divisor == other.divisor && s.said == other.said && maps.Equal(s.unable, other.unable) &&
		maps.EqualFunc(s.others, other.others, maps.Equal[map[string]bool, map[string]bool])
}

// peer is what an engine says.
type peer struct {
	divisor int
	life    string
	unable  map[string]bool // apps that it cannot send now
	at      time.Time
}

func (p *peer) String() string {
	return strings.Join(append([]string{strconv.Itoa(p.divisor), p.life}, slices.Sorted(maps.Keys(p.unable))...), " ")
}

// parsePeer reads what another engine says.
func parsePeer(text string) (p peer) {
	words := strings.Fields(text)
	p.at, p.unable = time.Now(), map[string]bool{}
	for i, word := range words {
		switch i {
		case 0:
			p.divisor, _ = strconv.Atoi(word) // 0 agrees with nobody
		case 1:
			p.life = word
		default:
			p.unable[word] = true
		}
	}
	return p
}

func (e *Engine) openPeers(ctx context.Context) error {
	kv, err := e.store.bucket(ctx, streamPrefix+"ENGINES", absentAfter)
	if err != nil {
		return err
	}
	p := &peers{engine: e, kv: kv, others: map[string]peer{}, own: peer{divisor: 1, life: e.life}}
	if p.name, err = e.store.engineName(); err != nil {
		return fmt.Errorf("engine: %w", err)
	}
	e.peers = p
	e.gates.shared() // it has no part yet
	if err := p.present(ctx); err != nil {
		return fmt.Errorf("engine: the list of engines: %w", err)
	}
	e.background.Go(func() { p.watch(e.hard) })
	e.background.Go(func() { p.run(e.sending) }) // who sends no more is not there
	return nil
}

// leastPart is the smallest part of a rate, per second, that an engine gets. Each can
// send one at any time, and with smaller parts these would be more than a tenth of
// what is allowed together.
const leastPart = 10

// part is this engine's part of a rate of an app that all engines have together.
func (e *Engine) part(app string, perSecond float64) float64 {
	if e.peers == nil {
		return perSecond
	}
	return e.peers.part(app, perSecond)
}

func (p *peers) part(app string, perSecond float64) float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.divisor == 0 {
		return 0
	}
	first := p.first(app)
	of := func(divisor int) float64 {
		switch {
		case perSecond >= leastPart*float64(divisor):
			return perSecond / float64(divisor)
		case first:
			return perSecond
		}
		return 0
	}
	return min(of(p.divisor), of(p.own.divisor))
}

// first reports whether this engine is the first of those that can send an app or, if
// none can, of all: it finds out when that is over. p.mu is held.
func (p *peers) first(app string) bool {
	able, first := !p.unable[app], true
	for name, other := range p.others {
		switch can := !other.unable[app]; {
		case can && !able:
			return false
		case can == able && name < p.name:
			first = false
		}
	}
	return first
}

// living reports whether another engine is there, in a life.
func (p *peers) living(life string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, other := range p.others {
		if other.life == life {
			return true
		}
	}
	return false
}

// silent is for how long nothing that this engine says has gone through the log.
func (p *peers) silent() time.Duration {
	if p == nil {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	last := p.heardAt
	if p.engine.began.After(last) {
		last = p.engine.began
	}
	return time.Since(last)
}

// able reports whether another engine can send an app.
func (p *peers) able(app string) bool {
	if p == nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, other := range p.others {
		if !other.unable[app] {
			return true
		}
	}
	return false
}

// changed has the gates take over new parts, if there are any.
func (p *peers) changed() {
	p.mu.Lock()
	now := shares{p.divisor, p.own.divisor, p.unable, map[string]map[string]bool{}}
	for name, other := range p.others {
		now.others[name] = other.unable
	}
	same := now.equal(p.shares)
	p.shares = now
	p.mu.Unlock()
	if !same {
		p.engine.gates.shared()
	}
}

// run says that this engine is there until ctx is done, and then that it is not.
func (p *peers) run(ctx context.Context) {
	tick := time.NewTicker(presentEvery / 5)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			p.leave(ctx)
			return
		case <-tick.C:
		}
		p.mu.Lock()
		due := time.Since(p.heardAt) >= presentEvery
		p.mu.Unlock()
		if due {
			p.say(ctx)
		}
		p.divide(ctx)
	}
}

// leave says that this engine is not there any more, after all else that it says.
func (p *peers) leave(ctx context.Context) {
	p.speaking.Lock()
	defer p.speaking.Unlock()
	p.left = true
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	p.kv.Delete(last, p.name) // or it is missed after absentAfter
}

// present says that this engine is there, by how many it divides, and what it cannot
// send.
func (p *peers) present(ctx context.Context) error {
	p.speaking.Lock()
	defer p.speaking.Unlock()
	if p.left {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, presentEvery)
	defer cancel()
	p.mu.Lock()
	text, unable, at := p.own.String(), p.own.unable, time.Now()
	p.mu.Unlock()
	revision, err := p.kv.PutString(ctx, p.name, text)
	p.mu.Lock()
	if p.unsaid = err != nil; !p.unsaid {
		p.said, p.unable = saying{revision, at}, unable
		p.hearOwn(p.heard)
	}
	p.mu.Unlock()
	p.changed()
	return err
}

// watch follows what is said. When it has not even heard this engine for long, it
// begins anew.
func (p *peers) watch(ctx context.Context) {
	for ctx.Err() == nil {
		w, err := p.kv.WatchAll(ctx)
		if err != nil {
			p.engine.complain(ctx, "the other engines cannot be counted", err)
			pause(ctx, troublePause)
			continue
		}
		p.follow(ctx, w.Updates())
		w.Stop()
	}
}

func (p *peers) follow(ctx context.Context, updates <-chan jetstream.KeyValueEntry) {
	deaf := time.NewTimer(absentAfter)
	defer deaf.Stop()
	for {
		select {
		case entry, open := <-updates:
			if !open {
				return
			}
			deaf.Reset(absentAfter)
			if entry != nil {
				p.hear(entry)
			} else {
				p.mu.Lock()
				p.known = true
				p.mu.Unlock()
			}
			p.divide(ctx)
		case <-deaf.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

func (p *peers) hear(entry jetstream.KeyValueEntry) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case entry.Key() == p.name:
		p.hearOwn(entry.Revision())
	case entry.Operation() != jetstream.KeyValuePut:
		delete(p.others, entry.Key())
	default:
		p.others[entry.Key()] = parsePeer(string(entry.Value()))
	}
}

// hearOwn takes note that what this engine said came back, which can be before the log
// has said that it took it. p.mu is held.
func (p *peers) hearOwn(revision uint64) {
	p.heard = revision
	if p.said.revision != 0 && revision == p.said.revision {
		p.heardAt = p.said.at
	}
}

// divide works out this engine's part anew, and tells the others what has changed.
func (p *peers) divide(ctx context.Context) {
	now := time.Now()
	unable := p.engine.gates.unable()
	p.mu.Lock()
	if !p.known {
		p.mu.Unlock()
		return
	}
	count, agreed := 1, true
	for name, other := range p.others {
		if now.Sub(other.at) > absentAfter {
			delete(p.others, name)
			continue
		}
		count++
	}
	for _, other := range p.others {
		agreed = agreed && other.divisor == count
	}
	changed := p.unsaid || p.own.divisor != count || !maps.Equal(p.own.unable, unable)
	p.own = peer{divisor: count, life: p.own.life, unable: unable}
	switch {
	case now.Sub(p.heardAt) > absentAfter:
		p.divisor = 0 // the others do not count on it
	case agreed:
		p.divisor = count
	}
	takesOver := map[string]bool{}
	for _, other := range p.others {
		for app := range other.unable {
			takesOver[app] = !unable[app]
		}
	}
	p.mu.Unlock()
	p.changed()
	if changed {
		p.say(ctx)
	}
	// What was refused to others waits for a gate that is open here.
	for app, can := range takesOver {
		if can {
			p.engine.later.hasten(gateKey{app, apns.Production})
			p.engine.later.hasten(gateKey{app, apns.Sandbox})
		}
	}
}

// say is present, and complains. What could not be said is said again at the next look.
func (p *peers) say(ctx context.Context) {
	if err := p.present(ctx); err != nil && ctx.Err() == nil {
		p.engine.complain(ctx, "the other engines cannot be told of this one", err)
	}
}
