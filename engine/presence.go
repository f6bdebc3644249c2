package engine

import (
	"context"
	"fmt"
	"strconv"
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
// Each says by how many it divides. One that has just come takes its part when all
// others have said that they divide by as many: until then they send as fast as all
// are allowed to. One that has not been heard for so long that the others count it
// no more takes none either.
type peers struct {
	engine *Engine
	kv     jetstream.KeyValue
	name   string

	mu      sync.Mutex
	others  map[string]peer
	said    int       // by how many this engine says that it divides
	heardAt time.Time // when it last said so, and the log has it
	divisor int       // 0: it has no part
	first   bool      // and of what cannot be divided, all
	known   bool      // who was there at the beginning
}

type peer struct {
	divisor int
	at      time.Time
}

func (e *Engine) openPeers(ctx context.Context) error {
	kv, err := e.store.bucket(ctx, streamPrefix+"ENGINES", absentAfter)
	if err != nil {
		return err
	}
	p := &peers{engine: e, kv: kv, others: map[string]peer{}, said: 1}
	if p.name, err = e.store.engineName(); err != nil {
		return fmt.Errorf("engine: %w", err)
	}
	e.peers = p
	e.gates.shared() // it has no part yet
	if err := p.present(ctx); err != nil {
		return fmt.Errorf("engine: the list of engines: %w", err)
	}
	e.background.Go(func() { p.watch(e.hard) })
	e.background.Go(func() { p.run(e.hard) })
	return nil
}

// leastPart is the smallest part of a rate, per second, that an engine gets. Each can
// send one at any time, and with smaller parts these would be more than a tenth of
// what is allowed together.
const leastPart = 10

// part is this engine's part of a rate that all engines have together. What is too
// little to be divided belongs to the first of them.
func (e *Engine) part(perSecond float64) float64 {
	if e.peers == nil {
		return perSecond
	}
	e.peers.mu.Lock()
	defer e.peers.mu.Unlock()
	divisor := e.peers.divisor
	switch {
	case divisor == 0:
		return 0
	case perSecond >= leastPart*float64(divisor):
		return perSecond / float64(divisor)
	case e.peers.first:
		return perSecond
	}
	return 0
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
			if err := p.present(ctx); err != nil && ctx.Err() == nil {
				p.engine.log.Warn("the other engines cannot be told that this one is there", "error", discreet(p.engine.cfg.Store.URLs, err))
			}
		}
		p.divide(ctx)
	}
}

// present says that this engine is there, and by how many it divides.
func (p *peers) present(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, presentEvery)
	defer cancel()
	p.mu.Lock()
	said, at := p.said, time.Now()
	p.mu.Unlock()
	if _, err := p.kv.PutString(ctx, p.name, strconv.Itoa(said)); err != nil {
		return err
	}
	p.mu.Lock()
	p.heardAt = at
	p.mu.Unlock()
	return nil
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
	n, err := strconv.Atoi(string(entry.Value()))
	if err != nil {
		n = 1 // it says nothing that is known here, and may send as fast as it likes
	}
	p.others[entry.Key()] = peer{n, time.Now()}
}

// divide works out this engine's part anew, and says so if it has become less.
func (p *peers) divide(ctx context.Context) {
	now := time.Now()
	p.mu.Lock()
	if !p.known {
		p.mu.Unlock()
		return
	}
	count, agreed := 1, true
	p.first = true
	for name, other := range p.others {
		if now.Sub(other.at) > absentAfter {
			delete(p.others, name)
			continue
		}
		count++
		p.first = p.first && p.name < name
	}
	for _, other := range p.others {
		agreed = agreed && other.divisor >= count
	}
	divisor, first, told := p.divisor, p.first, p.said
	p.said = count
	switch {
	case now.Sub(p.heardAt) > absentAfter:
		p.divisor = 0 // the others do not count on it
	case agreed, p.divisor != 0 && count >= p.divisor:
		p.divisor = count
	}
	changed := p.divisor != divisor || p.first != first
	p.mu.Unlock()
	if changed {
		p.engine.gates.shared()
	}
	if told != count {
		if err := p.present(ctx); err != nil {
			p.engine.complain(ctx, "the other engines cannot be told of this one's part", err)
		}
	}
}
