package engine

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"aviso.example/apns"
)

// sweeper ends what is over where it waits. A queue is sent from its beginning, and
// what stands behind a pause, a hold, a slow rate, a long campaign or an app that is
// not configured has its turn much later, or never. Its end is true all the same,
// and due at once: nobody sends what is called back or whose time has passed.
//
// It looks at what stays on a queue for longer than a moment, once, and remembers
// when the first of it is over.
type sweeper struct {
	engine *Engine
	wake   chan struct{} // has something in it when a queue may have something
	called chan struct{} // and when something was called back

	mu        sync.Mutex
	units     []apns.ID       // called back, and not swept yet
	strangers []Stranger      // the last look at them
	nextLook  time.Time       // when they are looked for again
	reset     time.Time       // when the apps last changed
	told      map[string]bool // and what was said of them
}

// Stranger is an app that something waits for and that is not configured, or has no
// credential for the environment.
type Stranger struct {
	App           string
	Environment   apns.Environment
	Notifications int64
}

const (
	// sweepEvery is how often queues are looked at that something waits on: what is
	// over has ended within twice of it.
	sweepEvery = 400 * time.Millisecond
	// sweepMost bounds the chunks of a queue that are looked at in one go, so that
	// all queues have their turn.
	sweepMost = 512
	// strangersEvery is how often the log of scheduled chunks is asked for them.
	strangersEvery = 2 * time.Second
	// blockChunks is for how many chunks there is one entry in memory.
	blockChunks = 64
)

func newSweeper(e *Engine) *sweeper {
	return &sweeper{engine: e, wake: make(chan struct{}, 1), called: make(chan struct{}, 1), told: map[string]bool{}}
}

// look has queues looked at soon.
func (s *sweeper) look() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// waitList is what is known of what waits on a queue. It is the sweeper's.
type waitList struct {
	seen    uint64 // the end of the queue, at the last look
	scanned uint64 // what is up to there has been looked at
	blocks  []waitBlock
	held    map[uint64]bool // chunks that somebody has, who may give them back
}

// waitBlock is about blockChunks chunks that follow each other.
type waitBlock struct {
	number        uint64 // sequence / blockChunks
	end           time.Time
	notifications int64
}

// run sweeps until ctx is done.
func (s *sweeper) run(ctx context.Context) {
	e := s.engine
	for ctx.Err() == nil {
		busy, more := false, false
		for _, q := range e.allQueues() {
			waits, again, err := s.sweep(ctx, q)
			if err != nil && !isGone(err) {
				e.complain(ctx, "what waits cannot be looked at", err, "queue", q.name)
				waits = true
			}
			busy, more = busy || waits, more || again
		}
		if now := time.Now(); s.strangersAreDue(now) {
			e.complain(ctx, "what waits for apps that are not configured cannot be counted", s.lookForStrangers(ctx))
			// Where much is scheduled for them, that is a long list.
			s.lookAgain(now, time.Now().Add(max(strangersEvery, 20*time.Since(now))))
		}
		switch {
		case more:
		case busy || !e.store.embedded():
			pause(ctx, sweepEvery)
		default:
			select {
			case <-ctx.Done():
			case <-s.wake:
				pause(ctx, sweepEvery)
			}
		}
	}
}

// sweep looks at a queue, and reports whether something waits there, and whether
// there is more to be looked at.
func (s *sweeper) sweep(ctx context.Context, q *queue) (waits, more bool, err error) {
	written := q.written.Load()
	if s.engine.store.embedded() && q.empty && written == q.emptyAt {
		return false, false, nil
	}
	info, err := q.consumer.Info(ctx)
	if err != nil {
		return false, false, err
	}
	w := &q.waits
	if w.held == nil {
		w.held = map[uint64]bool{}
	}
	floor, last := info.AckFloor.Stream, info.Delivered.Stream+info.NumPending
	seen := w.seen
	w.seen = last
	q.empty, q.emptyAt = info.NumPending == 0 && info.NumAckPending == 0, written
	if q.empty {
		w.blocks, w.scanned = nil, last
		clear(w.held)
		return false, false, nil
	}
	w.blocks = slices.DeleteFunc(w.blocks, func(b waitBlock) bool { return (b.number+1)*blockChunks <= floor+1 })
	w.scanned = max(w.scanned, floor)
	// What came since the last look has not waited.
	n := 0
	for seq := w.scanned + 1; seq <= seen; seq++ {
		if n++; n > sweepMost {
			return true, true, nil
		}
		if err := s.scan(ctx, q, w, seq, info.Delivered.Stream); err != nil {
			return true, false, err
		}
		w.scanned = seq
	}
	held := w.held
	w.held = map[uint64]bool{}
	for seq := range held {
		if seq > floor {
			if err := s.scan(ctx, q, w, seq, info.Delivered.Stream); err != nil {
				return true, false, err
			}
		}
	}
	now := time.Now()
	for i := range w.blocks {
		b := &w.blocks[i]
		if b.end.After(now) {
			continue
		}
		fresh := waitList{held: w.held}
		for seq := max(floor+1, b.number*blockChunks); seq < (b.number+1)*blockChunks && seq <= w.scanned; seq++ {
			if err := s.scan(ctx, q, &fresh, seq, info.Delivered.Stream); err != nil {
				return true, false, err
			}
		}
		b.end, b.notifications = now.Add(time.Hour), 0
		if len(fresh.blocks) == 1 {
			*b = fresh.blocks[0]
		}
	}
	return true, false, nil
}

// scan ends what is over in one chunk of a queue, and notes when the rest is.
func (s *sweeper) scan(ctx context.Context, q *queue, w *waitList, seq, delivered uint64) error {
	if s.engine.leases.holds(q, seq) || !s.engine.store.embedded() && seq <= delivered {
		// Whoever has it does that.
		w.held[seq] = true
		return nil
	}
	msg, err := q.stream.GetMsg(ctx, seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil // it is done, or damaged, which is told elsewhere
	} else if err != nil {
		return storeError(err)
	}
	c, err := parseChunk(msg.Data)
	if err != nil {
		return nil // it is set aside when it has its turn
	}
	end, rest, err := s.engine.sweepChunk(ctx, q, seq, c)
	if err != nil && !errors.Is(err, errOtherCopy) {
		return err
	}
	b := w.block(seq/blockChunks, end)
	b.notifications += int64(rest)
	if end.Before(b.end) {
		b.end = end
	}
	return nil
}

// block returns the entry with a number, which is made if it is not there.
func (w *waitList) block(number uint64, end time.Time) *waitBlock {
	i, found := slices.BinarySearchFunc(w.blocks, number, func(b waitBlock, n uint64) int { return cmp.Compare(b.number, n) })
	if !found {
		w.blocks = slices.Insert(w.blocks, i, waitBlock{number: number, end: end})
	}
	return &w.blocks[i]
}

// sweepChunk ends what is over in a chunk that nobody has, and returns when the next
// of it is over and how many wait. With errOtherCopy it has to be looked at again.
func (e *Engine) sweepChunk(ctx context.Context, q *queue, seq uint64, c *chunk) (end time.Time, rest int, err error) {
	l := e.newLease(c)
	l.section.begin(c, !e.store.embedded())
	now := time.Now()
	over := false
	for i := range c.targets {
		_, ends := l.ending(i, now)
		over = over || ends
	}
	if over {
		if q != nil {
			// It is not sent after this without asking, even if a clock is put back.
			raise(&q.swept, seq)
		}
		e.leases.add(l)
		if err := l.sort(ctx); err != nil {
			l.end()
			return now.Add(sweepEvery), len(c.targets), err
		}
	}
	end = now.Add(maxSendAhead)
	l.mu.Lock()
	for i, s := range l.status {
		if s.is(waiting) {
			rest++
			if at := e.until(c, &c.templates[c.targets[i].template]); at.Before(end) {
				end = at
			}
		}
	}
	l.mu.Unlock()
	if !over {
		return end, rest, nil
	}
	// The lease holds what it has ended until that is on the disk, whoever waits.
	l.letRest()
	select {
	case <-l.over:
		return end, rest, nil
	case <-ctx.Done():
		return end, rest, context.Cause(ctx)
	}
}

// raise makes a number at least as high as another.
func raise(n *atomic.Uint64, to uint64) {
	for have := n.Load(); have < to && !n.CompareAndSwap(have, to); have = n.Load() {
	}
}

// letRest gives up what waits, without a trace: it was never the lease's to send.
func (l *lease) letRest() {
	l.mu.Lock()
	for i, s := range l.status {
		if s.is(waiting) {
			l.status[i] = saved
			l.open--
		}
	}
	l.mu.Unlock()
	l.saveIfOver()
}

// cancelled has everything swept that waits of what was called back.
func (s *sweeper) cancelled(units ...apns.ID) {
	s.mu.Lock()
	s.units = append(s.units, units...)
	s.mu.Unlock()
	s.look()
	select {
	case s.called <- struct{}{}:
	default:
	}
}

// unitsAtOnce is how many units are swept at a time.
const unitsAtOnce = 8

// runCalledBack sweeps what was called back until ctx is done. What comes later waits
// for nothing that came before.
func (s *sweeper) runCalledBack(ctx context.Context) {
	s.cancelled(s.engine.control.toBeSwept()...)
	var all sync.WaitGroup
	defer all.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.called:
		}
		s.mu.Lock()
		list := s.units
		s.units = nil
		s.mu.Unlock()
		all.Go(func() { s.sweepUnits(ctx, list) })
	}
}

func (s *sweeper) sweepUnits(ctx context.Context, list []apns.ID) {
	s.engine.heard(ctx)
	var all errgroup.Group
	all.SetLimit(unitsAtOnce)
	for _, unit := range list {
		all.Go(func() error {
			err := s.engine.sweepUnit(ctx, unit)
			if err == nil {
				err = s.engine.control.seenThrough(ctx, unit)
			}
			if err != nil && ctx.Err() == nil {
				if !errors.Is(err, errOtherCopy) {
					s.engine.complain(ctx, "what was called back cannot be ended yet", err)
				}
				pause(ctx, staleRead)
				s.cancelled(unit)
			}
			return nil
		})
	}
	all.Wait()
}

// toBeSwept are the units that were called back by an engine that ended before it had
// seen that through.
func (c *control) toBeSwept() (units []apns.ID) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for id := range c.unswept {
		unit, _ := split(id.First)
		units = append(units, unit)
	}
	for id, b := range c.batch {
		if b.Cancelled && !b.Swept {
			units = append(units, id.unit())
		}
	}
	return units
}

// sweepForOthers sees through what was called back and is still as it was at the last
// round, which left is: whoever was asked has ended in the middle. It returns what is left
// at this one.
func (e *Engine) sweepForOthers(left map[apns.ID]bool) map[apns.ID]bool {
	now := map[apns.ID]bool{}
	for _, unit := range e.control.toBeSwept() {
		if left[unit] {
			e.sweeper.cancelled(unit)
		} else {
			now[unit] = true
		}
	}
	return now
}

// seenThrough notes that everything of a unit that was called back has ended where it
// waited.
func (c *control) seenThrough(ctx context.Context, unit apns.ID) error {
	c.mu.RLock()
	messages, b := slices.Clone(c.cancel[unit]), c.batch[BatchID(unit)]
	c.mu.RUnlock()
	for _, m := range messages {
		if err := c.engine.swept(ctx, strings.TrimPrefix(m.String(), messagePrefix)); err != nil {
			return err
		}
	}
	if b == nil {
		return nil
	}
	return c.engine.changeBatch(ctx, BatchID(unit), func(b *BatchRecord) { b.Swept = true })
}

// heardAfter is when every engine of a cluster has heard what one of them wrote down.
const heardAfter = 500 * time.Millisecond

// heard waits until every engine has heard of what was just written down.
func (e *Engine) heard(ctx context.Context) {
	if !e.store.embedded() {
		pause(ctx, heardAfter)
	}
}

// endCancelled ends what waits of a message that was called back.
func (e *Engine) endCancelled(ctx context.Context, id MessageID) error {
	unit, _ := split(id.First)
	if err := e.leases.endCalledBack(ctx, unit); err != nil {
		return err
	}
	e.heard(ctx)
	return e.sweepUnit(ctx, unit)
}

// sweepUnit ends what is over of a unit, wherever it waits.
func (e *Engine) sweepUnit(ctx context.Context, unit apns.ID) error {
	if err := e.later.each(ctx, laterOf(unit, "*"), func(seq uint64, c *chunk) (bool, error) {
		_, rest, err := e.sweepChunk(ctx, nil, 0, c)
		if err == nil && rest == 0 {
			err = e.later.remove(ctx, seq)
		}
		return true, err
	}); err != nil {
		return err
	}
	for _, q := range e.allQueues() {
		if !q.batch.IsZero() && q.batch != BatchID(unit) {
			continue
		}
		if err := e.sweepUnitOn(ctx, q, unit); err != nil && !isGone(err) {
			return err
		}
	}
	return nil
}

// sweepUnitOn does so on one queue.
func (e *Engine) sweepUnitOn(ctx context.Context, q *queue, unit apns.ID) error {
	info, err := q.consumer.Info(ctx)
	if err != nil {
		return err
	}
	return q.each(ctx, unit, e.writtenThrough(unit), func(seq uint64, c *chunk) (bool, error) {
		if c.unit != unit || seq <= info.AckFloor.Stream || e.leases.holds(q, seq) || !e.store.embedded() && seq <= info.Delivered.Stream {
			return true, nil
		}
		_, _, err := e.sweepChunk(ctx, q, seq, c)
		return true, err
	})
}

// lookForStrangers counts what waits for apps that are not configured, and says so
// once after each start and each change of the apps.
func (s *sweeper) lookForStrangers(ctx context.Context) error {
	e := s.engine
	counts := map[gateKey]int64{}
	for _, q := range e.allQueues() {
		if app := e.app(q.app); app != nil && app.credential(q.environment) != nil {
			continue
		}
		if _, ok := counts[q.gateKey()]; !ok {
			subjects, err := e.later.subjects(ctx, subjectLater+q.app+"."+q.environment.String()+".>")
			if err != nil {
				return err
			}
			counts[q.gateKey()] = 0
			for _, subject := range subjects {
				parts := strings.Split(subject, ".")
				n, _ := strconv.ParseInt(parts[len(parts)-2], 10, 64) // ours
				counts[q.gateKey()] += n
			}
		}
		for _, b := range q.waits.blocks {
			counts[q.gateKey()] += b.notifications
		}
	}
	var list []Stranger
	for key, n := range counts {
		if n > 0 {
			list = append(list, Stranger{key.app, key.environment, n})
		}
	}
	slices.SortFunc(list, func(a, b Stranger) int {
		if a.App != b.App {
			return strings.Compare(a.App, b.App)
		}
		return int(a.Environment) - int(b.Environment)
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.strangers = list
	for _, x := range list {
		if name := x.App + " " + x.Environment.String(); !s.told[name] {
			s.told[name] = true
			e.log.Error("notifications wait for an app that is not configured; they are sent when it is, and expire by their time",
				"app", x.App, "environment", x.Environment.String(), "notifications", x.Notifications)
		}
	}
	return nil
}

func (s *sweeper) strangersAreDue(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !now.Before(s.nextLook)
}

// lookAgain notes when they are to be looked for again, unless the apps have changed
// since the look that has just ended began.
func (s *sweeper) lookAgain(began, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reset.Before(began) {
		s.nextLook = at
	}
}

// changed takes note that the apps have changed.
func (s *sweeper) changed() {
	s.mu.Lock()
	clear(s.told)
	s.nextLook, s.reset = time.Time{}, time.Now()
	s.mu.Unlock()
	s.look()
}

func (s *sweeper) list() []Stranger {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.strangers)
}
