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
// fast as they did. One that has not been heard for so long that the others count it
// no more has no part either.
//
// What is too little to be divided belongs to the first of those that can send it, so
// each also says for which apps it cannot.
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
	heardAt time.Time       // when the log had it last
	divisor int             // agreed; 0: it has no part
	known   bool            // who was there at the beginning
	parts   string          // what the rates of the gates depend on
}

// peer is what an engine says.
type peer struct {
	divisor int
	unable  map[string]bool // apps that it cannot send now
	at      time.Time
}

func (p *peer) String() string {
	return strings.Join(append([]string{strconv.Itoa(p.divisor)}, slices.Sorted(maps.Keys(p.unable))...), " ")
}

// parsePeer reads what another engine says.
func parsePeer(text string) (p peer) {
	words := strings.Fields(text)
	p.at, p.unable = time.Now(), map[string]bool{}
	for i, word := range words {
		if i == 0 {
			p.divisor, _ = strconv.Atoi(word) // 0 agrees with nobody
		} else {
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
	p := &peers{engine: e, kv: kv, others: map[string]peer{}, own: peer{divisor: 1}}
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

// changed has the gates take over new parts, if there are any.
func (p *peers) changed() {
	p.mu.Lock()
	parts := fmt.Sprint(p.divisor, p.own.divisor, slices.Sorted(maps.Keys(p.unable)))
	for _, name := range slices.Sorted(maps.Keys(p.others)) {
		other := p.others[name]
		parts += "\n" + name + " " + other.String()
	}
	same := parts == p.parts
	p.parts = parts
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
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
			p.kv.Delete(last, p.name) // or it is missed after absentAfter
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

// present says that this engine is there, by how many it divides, and what it cannot
// send.
func (p *peers) present(ctx context.Context) error {
	p.speaking.Lock()
	defer p.speaking.Unlock()
	ctx, cancel := context.WithTimeout(ctx, presentEvery)
	defer cancel()
	p.mu.Lock()
	said, unable, at := p.own.String(), p.own.unable, time.Now()
	p.mu.Unlock()
	_, err := p.kv.PutString(ctx, p.name, said)
	p.mu.Lock()
	if p.unsaid = err != nil; !p.unsaid {
		p.heardAt, p.unable = at, unable
	}
	p.mu.Unlock()
	p.changed()
	return err
}

// watch follows what the others say.
func (p *peers) watch(ctx context.Context) {
	for ctx.Err() == nil {
		w, err := p.kv.WatchAll(ctx)
		if err != nil {
			p.engine.complain(ctx, "the other engines cannot be counted", err)
			pause(ctx, troublePause)
			continue
		}
		for entry := range w.Updates() {
			if entry == nil {
				p.mu.Lock()
				p.known = true
				p.mu.Unlock()
			} else if entry.Key() != p.name {
				p.hear(entry)
			}
			p.divide(ctx)
		}
		w.Stop()
	}
}

func (p *peers) hear(entry jetstream.KeyValueEntry) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if entry.Operation() != jetstream.KeyValuePut {
		delete(p.others, entry.Key())
		return
	}
	p.others[entry.Key()] = parsePeer(string(entry.Value()))
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
	p.own = peer{divisor: count, unable: unable}
	switch {
	case now.Sub(p.heardAt) > absentAfter:
		p.divisor = 0 // the others do not count on it
	case agreed:
		p.divisor = count
	}
	p.mu.Unlock()
	p.changed()
	if changed {
		p.say(ctx)
	}
}

// say is present, and complains. What could not be said is said again at the next look.
func (p *peers) say(ctx context.Context) {
	if err := p.present(ctx); err != nil && ctx.Err() == nil {
		p.engine.complain(ctx, "the other engines cannot be told of this one", err)
	}
}
