package engine

import (
	"context"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"aviso.example/apns"
)

// recorder writes verdicts. All leases share it, so that one synced write holds
// the verdicts of many chunks: group commit, as on the way in.
//
// The order of writes is what keeps the promise. First whatever will cause
// further sends (retries), or must not be lost with the chunk (dead letters, dead
// device tokens); then the verdicts; then the chunk is acknowledged. A crash
// between two steps repeats what comes after, and each step can be repeated.
type recorder struct {
	engine  *Engine
	id      apns.ID // of this recorder among others
	records int     // written; run's

	mu     sync.Mutex
	queue  []*lease
	queued map[*lease]bool
	wake   chan struct{}
}

const (
	// recordLinger is how long verdicts wait for others: the log is written 500
	// times a second at most.
	recordLinger = 2 * time.Millisecond
	// maxRecord is how large a verdict record gets before another is begun.
	maxRecord = 512 << 10
)

// add hands over what a lease has decided since the last time.
func (r *recorder) add(l *lease) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.queued == nil {
		r.queued = map[*lease]bool{}
	}
	if r.queued[l] {
		return
	}
	r.queued[l] = true
	r.queue = append(r.queue, l)
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// run writes until ctx is done.
func (r *recorder) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
		}
		for r.commit(ctx) {
			pause(ctx, recordLinger)
		}
	}
}

// part is what one lease gives to a commit.
type part struct {
	lease          *lease
	verdicts, sent int
	targets        []uint32 // that the verdicts are about
}

// commit writes what has gathered, and reports whether there was anything.
func (r *recorder) commit(ctx context.Context) bool {
	r.mu.Lock()
	list := r.queue
	r.queue = nil
	clear(r.queued)
	r.mu.Unlock()
	if len(list) == 0 {
		return false
	}
	var parts []part
	var records [][]byte
	record := []byte{verdictFormat}
	var first []func(context.Context) error
	for _, l := range list {
		l.mu.Lock()
		p := part{l, l.section.count, l.sent, l.fresh}
		l.fresh = nil
		if l.sent > 0 {
			r.engine.dead.observe(l.chunk.path, l.sent, len(l.dead))
		}
		r.engine.stats.add(l.chunk.path, &l.tally)
		l.sent = 0
		if p.verdicts > 0 {
			record = l.section.appendTo(record)
			l.section.reset()
			l.unsaved += p.verdicts
		}
		first = append(first, l.before()...)
		l.mu.Unlock()
		parts = append(parts, p)
		if len(record) > maxRecord {
			records = append(records, appendSum(record))
			record = []byte{verdictFormat}
		}
	}
	if len(record) > 1 {
		records = append(records, appendSum(record))
	}
	first = append(first, r.engine.dead.before()...)
	if !r.together(ctx, first) {
		return false
	}
	for _, data := range records {
		// The log may have it although it did not say so in time.
		r.records++
		id := jetstream.WithMsgID(fmt.Sprintf("%s.%d", r.id, r.records))
		if !r.untilDone(ctx, "verdicts", func(ctx context.Context) error { return r.engine.putVerdicts(ctx, data, id) }) {
			return false
		}
	}
	for _, p := range parts {
		p.lease.saved(p)
	}
	return true
}

// write writes one section now.
func (r *recorder) write(ctx context.Context, w *sectionWriter) error {
	return r.engine.putVerdicts(ctx, appendSum(w.appendTo([]byte{verdictFormat})))
}

func (e *Engine) putVerdicts(ctx context.Context, data []byte, options ...jetstream.PublishOpt) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	_, err := e.store.put(ctx, subjectVerdicts, data, options...)
	return err
}

// together does independent writes, some at a time; false means that ctx is done.
func (r *recorder) together(ctx context.Context, writes []func(context.Context) error) bool {
	var all sync.WaitGroup
	slots := make(chan struct{}, 2*writesAtOnce)
	ok := true
	var mu sync.Mutex
	for _, write := range writes {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			if !r.untilDone(ctx, "retries", write) {
				mu.Lock()
				ok = false
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return ok
}

// untilDone repeats a write until it succeeds: there is no place for verdicts but
// the log, and meanwhile the window keeps more from being sent.
func (r *recorder) untilDone(ctx context.Context, what string, write func(context.Context) error) bool {
	for last := (time.Time{}); ; {
		err := write(ctx)
		if err == nil {
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		if time.Since(last) > time.Minute {
			last = time.Now()
			r.engine.log.Error("the log does not take "+what+"; nothing more is sent until it does", "error", err)
		}
		pause(ctx, troublePause)
	}
}

// before returns the writes that have to come before the verdicts, and forgets
// what they are about; l.mu is held.
func (l *lease) before() (writes []func(context.Context) error) {
	e := l.engine
	if len(l.again) > 0 {
		decided := l.began
		for c, when := range l.retries() {
			writes = append(writes, func(ctx context.Context) error {
				err := e.putLater(ctx, c, when)
				if err != nil {
					return err
				}
				if when.forGate && e.gates.freedSince(c.path, decided) {
					e.later.hasten(gateKey{c.app, c.environment})
				}
				if e.control.cancelledAny(c) {
					e.sweeper.cancelled(c.unit) // since it was decided
				}
				return nil
			})
		}
		l.again, l.dueAt = nil, nil
	}
	for why, targets := range byCause(l.buried) {
		c := l.part(targets)
		writes = append(writes, func(ctx context.Context) error { return e.bury(ctx, c, why) })
	}
	l.buried = nil
	if len(l.dead) > 0 {
		list := l.dead
		writes = append(writes, func(ctx context.Context) error { return e.dead.add(ctx, l.chunk.app, l.chunk.environment, list) })
		l.dead = nil
	}
	return writes
}

// part returns a chunk with some of the targets and the templates they need.
func (l *lease) part(targets []target) *chunk {
	out := *l.chunk
	out.templates, out.targets = nil, make([]target, 0, len(targets))
	index := map[uint32]uint32{}
	for _, t := range targets {
		i, ok := index[t.template]
		if !ok {
			i = uint32(len(out.templates))
			index[t.template] = i
			out.templates = append(out.templates, l.chunk.templates[t.template])
		}
		t.template = i
		out.targets = append(out.targets, t)
	}
	return &out
}

// due is when a chunk is put on its queue again, and whether it waits for its app's
// gate until then.
type due struct {
	at      int64 // UNIX seconds
	forGate bool
}

// retries groups what has to be sent again by when it is due; l.mu is held.
func (l *lease) retries() iter.Seq2[*chunk, due] {
	groups := map[due][]target{}
	for i, t := range l.again {
		groups[l.dueAt[i]] = append(groups[l.dueAt[i]], t)
	}
	return func(yield func(*chunk, due) bool) {
		for when, list := range groups {
			if !yield(l.part(list), when) {
				return
			}
		}
	}
}

// saved takes note that verdicts are on the disk. When all are, the lease is over.
func (l *lease) saved(p part) {
	l.mu.Lock()
	l.unsaved -= p.verdicts
	for _, i := range p.targets {
		l.status[i] = saved
	}
	over := l.open == 0 && l.unsaved == 0 && l.section.count == 0
	// What has a verdict need not be held against the window any more.
	w, n := l.window, 0
	if !over && l.held > 0 {
		n = min(p.sent, l.held)
		l.held -= n
	}
	l.mu.Unlock()
	if n > 0 {
		w.release(n)
	}
	if over {
		l.finish()
	}
}
