package engine

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"aviso.example/apns"
)

// Engine delivers durably. Make one with Open, and Close it.
type Engine struct {
	cfg   Config
	log   *slog.Logger
	began time.Time
	life  string // tells it from the same one started again
	store *store

	control  *control
	gates    *gates
	ledger   *ledger
	recorder *recorder
	dead     *deadTokens
	later    *later
	aside    jetstream.Stream
	sweeper  *sweeper
	damage   damage
	leases   *leases
	stats    stats
	full     atomic.Bool
	stuck    atomic.Bool           // the log takes nothing until it is opened again
	room     atomic.Int64          // bytes that notifications can still take, until the next look
	reopened reopenings            // the janitor's
	trouble  atomic.Pointer[error] // the last that was complained of
	failed   chan struct{}
	failure  error  // why, when failed is closed
	peers    *peers // the engines that share the log; nil if there can be none
	crashed  bool   // the one that had the folder before did not come to an orderly end
	// doneBefore is up to where each queue was done at an orderly end, while the next
	// life begins.
	doneBefore atomic.Pointer[map[string]uint64]

	settingApps sync.Mutex
	appsMu      sync.RWMutex
	apps        map[string]*appState
	generation  uint64

	packersMu sync.Mutex
	packers   map[path]*packer

	queuesOpening sync.Mutex // one at a time is made
	queuesMu      sync.RWMutex
	queues        map[queueKey]*queue

	routesMu sync.Mutex
	routes   map[path]*route
	windows  map[path]*window

	intakeMu     sync.Mutex
	intakeClosed bool
	intake       sync.WaitGroup
	batches      sync.WaitGroup // open ones, which end when their caller likes

	// Close ends these one after the other: first nothing new is sent, then
	// what is under way may end, then clients give up, then everything stops.
	sending     context.Context
	stopSending context.CancelFunc
	pushing     context.Context
	stopPushing context.CancelFunc
	hard        context.Context
	stopHard    context.CancelFunc
	sources     sync.WaitGroup // read queues
	senders     sync.WaitGroup // wait for APNs
	background  sync.WaitGroup // everything else
	closed      sync.Once
	closeErr    error
}

// Open starts an engine: it recovers the log, reads what it has to know, and
// goes on sending what is queued. It fails if the log does not answer for
// openPatience.
func Open(ctx context.Context, cfg Config) (*Engine, error) {
	e, err := newEngine(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if e.store, err = openStore(ctx, e.cfg.Store, e.log); err != nil {
		return nil, err
	}
	if err := e.begin(ctx); err != nil {
		return nil, err
	}
	return e, nil
}

// newEngine returns an engine that has no log yet.
func newEngine(ctx context.Context, cfg Config) (*Engine, error) {
	cfg, err := cfg.check()
	if err != nil {
		return nil, err
	}
	e := &Engine{
		cfg: cfg, log: cfg.Logger, began: time.Now(), life: apns.NewID().String(), failed: make(chan struct{}),
		packers: map[path]*packer{}, queues: map[queueKey]*queue{}, routes: map[path]*route{}, windows: map[path]*window{},
	}
	e.stats.paths = map[path]*tally{}
	e.leases = newLeases()
	e.damage = newDamage()
	e.sweeper = newSweeper(e)
	e.gates = newGates(e)
	e.recorder = &recorder{engine: e, id: apns.NewID(), wake: make(chan struct{}, 1)}
	e.hard, e.stopHard = context.WithCancel(context.WithoutCancel(ctx))
	e.pushing, e.stopPushing = context.WithCancel(e.hard)
	e.sending, e.stopSending = context.WithCancel(e.pushing)
	return e, e.SetApps(cfg.Apps)
}

// begin has an engine do its work, when it has its log.
func (e *Engine) begin(ctx context.Context) (err error) {
	if e.crashed, err = e.store.begin(); err != nil {
		e.store.close()
		return fmt.Errorf("engine: %w", err)
	}
	if err := e.start(ctx); err != nil {
		e.Close(ctx)
		return err
	}
	return nil
}

func (e *Engine) start(ctx context.Context) (err error) {
	if e.store.embedded() {
		// Verdicts must leave room for what they are about.
		e.cfg.VerdictBytes = min(e.cfg.VerdictBytes, e.store.limit()/4)
	}
	e.tellOfInspection()
	if e.store.embedded() {
		if err := e.compareEnds(ctx); err != nil {
			return fmt.Errorf("engine: what the log had cannot be compared with what it has: %w", err)
		}
	}
	if e.ledger, err = e.openLedger(ctx); err != nil {
		return err
	}
	if e.control, err = e.openControl(ctx); err != nil {
		return err
	}
	if e.dead, err = e.openDead(ctx); err != nil {
		return err
	}
	if err := e.openLater(ctx); err != nil {
		return err
	}
	if err := e.openBuried(ctx); err != nil {
		return err
	}
	if err := e.openAside(ctx); err != nil {
		return err
	}
	if !e.store.embedded() {
		if err := e.openPeers(ctx); err != nil {
			return err
		}
	}
	e.background.Go(func() { e.recorder.run(e.hard) })
	e.background.Go(func() { e.ledger.follow(e.hard) })
	if err := e.control.start(ctx, e.hard); err != nil {
		return err
	}
	known := make(chan struct{})
	var once sync.Once
	e.background.Go(func() { e.dead.follow(e.hard, func() { once.Do(func() { close(known) }) }) })
	if err := e.await(ctx, "the list of dead device tokens", known, func() uint64 { return uint64(e.dead.size()) }); err != nil {
		return err
	}
	caught := make(chan struct{})
	var catchErr error
	catching, stop := context.WithCancel(ctx)
	defer stop()
	e.background.Go(func() {
		defer close(caught)
		catchErr = e.ledger.catchUp(catching)
	})
	if err := e.await(ctx, "the log of verdicts", caught, e.ledger.position); err != nil {
		return err
	}
	if catchErr != nil {
		return catchErr
	}
	if err := e.lookForSpace(ctx); err != nil {
		return err
	}
	e.background.Go(func() { e.tend(e.hard) })
	e.background.Go(func() { e.janitor(e.hard) })
	if err := e.findQueuesInTime(ctx); err != nil {
		return fmt.Errorf("engine: the queues cannot be read: %w", err)
	}
	if err := e.openDamaged(ctx); err != nil {
		return fmt.Errorf("engine: what is damaged cannot be opened: %w", err)
	}
	e.doneBefore.Store(nil)
	if e.store.embedded() {
		if err := e.finishClaims(ctx); err != nil {
			return fmt.Errorf("engine: what was begun with dead letters cannot be finished: %w", err)
		}
		if err := e.closeOrphans(ctx); err != nil {
			return fmt.Errorf("engine: batches that were not handed in to their end cannot be closed: %w", err)
		}
	}
	e.sources.Go(func() { e.later.run(e.sending) })
	e.sources.Go(func() { e.later.runHasten(e.sending) })
	if e.store.embedded() { // on a cluster it is the log servers' clock that counts
		e.sources.Go(func() { e.later.runClock(e.sending) })
	}
	e.sources.Go(func() { e.gates.probe(e.sending) })
	e.gates.begin()
	e.sources.Go(func() { e.sweeper.run(e.sending) })
	e.sources.Go(func() { e.sweeper.runCalledBack(e.sending) })
	e.sources.Go(func() { e.takeBack(e.sending) })
	return nil
}

const (
	// LastWrites is how much longer than its context Close takes at most to write
	// down what has come already: answers of APNs, and what was handed in.
	LastWrites = 2 * time.Second
	// lastSteps bounds what is left to do then: to write down what the log and its
	// index hold in memory. It takes longer only if the disk stands still.
	lastSteps = 5*time.Second + shutdownTime
)

// errUnfinished: something waits for a disk that does not answer.
var errUnfinished = errors.New("engine: not everything has come to an end")

// openPatience is for how long the log may bring nothing while Open reads it.
// There can be much to read, so all of it has no bound.
const openPatience = 30 * time.Second

// await waits until something has been read.
func (e *Engine) await(ctx context.Context, what string, read <-chan struct{}, progress func() uint64) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	seen, since := progress(), time.Now()
	for {
		select {
		case <-read:
			return nil
		case <-ctx.Done():
			return fmt.Errorf("engine: %s has not been read: %w", what, context.Cause(ctx))
		case now := <-tick.C:
			if n := progress(); n != seen {
				seen, since = n, now
			} else if now.Sub(since) >= openPatience {
				err := fmt.Errorf("engine: %s cannot be read: the log has brought nothing for %v; are the servers reachable, and enough of them to agree?", what, openPatience)
				if cause := e.trouble.Load(); cause != nil {
					err = fmt.Errorf("%w The last error: %w", err, *cause)
				}
				return err
			}
		}
	}
}

// Close stops taking notifications, lets those under way end while ctx allows,
// and leaves the rest on the log for the next Open. What was written to APNs and
// not answered when ctx is done will be sent again then, unless DropUnknown. Batches
// that are still open then are cut off; what was added to them and is on disk is
// sent.
//
// An error says that not everything had ended, and is ctx's, or that the disk
// stands still; nothing is lost for that.
func (e *Engine) Close(ctx context.Context) error {
	e.closed.Do(func() { e.closeErr = e.close(ctx) })
	return e.closeErr
}

func (e *Engine) close(ctx context.Context) (err error) {
	e.intakeMu.Lock()
	e.intakeClosed = true
	e.intakeMu.Unlock()
	if endsWithin(ctx, e.intake.Wait) {
		endsWithin(ctx, e.batches.Wait)
	}
	e.queuesMu.Lock() // no queue begins to be read from now on
	e.stopSending()
	e.queuesMu.Unlock()
	e.routesMu.Lock()
	for _, r := range e.routes {
		r.retire()
	}
	e.routesMu.Unlock()
	sent := func() { e.sources.Wait(); e.senders.Wait() }
	if !endsWithin(ctx, sent) || !e.settleRest(ctx) {
		err = context.Cause(ctx)
		e.stopPushing()
		last, cancel := context.WithTimeout(context.Background(), LastWrites)
		if endsWithin(last, func() { e.intake.Wait(); e.batches.Wait(); sent() }) {
			e.settleRest(last)
		}
		cancel()
	}
	e.stopHard()
	last, cancel := context.WithTimeout(context.Background(), lastSteps)
	defer cancel()
	if !endsWithin(last, e.finish) && err == nil {
		err = errUnfinished
	}
	if err == nil {
		e.store.endedWell()
	}
	return err
}

// finish ends everything else; nothing waits longer than a moment once hard is
// done, unless it waits for the disk.
func (e *Engine) finish() {
	e.intake.Wait()
	e.sources.Wait()
	e.senders.Wait()
	e.background.Wait()
	if e.ledger != nil && e.store.embedded() && !e.stuck.Load() {
		ctx, cancel := context.WithTimeout(context.Background(), LastWrites)
		if err := e.writeEnds(ctx); err != nil {
			e.log.Debug("where the log ends cannot be noted", "error", err)
		}
		cancel()
	}
	if e.ledger != nil {
		if err := e.ledger.close(); err != nil {
			// It is made again from the log.
			e.log.Warn("the index of verdicts could not be completed; the next start takes longer", "error", err)
		}
	}
	if e.store != nil {
		e.store.close()
	}
}

// endsWithin reports whether something ended before ctx did.
func endsWithin(ctx context.Context, wait func()) bool {
	ended := make(chan struct{})
	go func() {
		wait()
		close(ended)
	}()
	select {
	case <-ended:
		return true
	case <-ctx.Done():
		return false
	}
}

// settleRest waits until the recorder has written what was decided, and reports
// whether it has.
func (e *Engine) settleRest(ctx context.Context) bool {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for e.leases.count() > 0 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// stopping says that an outcome is the doing of Close.
func (e *Engine) stopping(err error) bool {
	return e.pushing.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, apns.ErrClosed) || errors.Is(err, apns.ErrStopped))
}

func (e *Engine) packer(p path) *packer {
	e.packersMu.Lock()
	defer e.packersMu.Unlock()
	k := e.packers[p]
	if k == nil {
		k = &packer{engine: e, path: p}
		e.packers[p] = k
	}
	return k
}

const (
	// janitorEvery is how often queues are purged of what is done.
	janitorEvery = 500 * time.Millisecond
	// lookAroundEvery is how often space, retention and the queues of other
	// engines are looked at.
	lookAroundEvery = time.Second
	// idleLookEvery is the same while nothing happens.
	idleLookEvery = 5 * time.Second
)

// complain logs what does not work, unless it is the doing of Close or follows
// from what was logged already.
func (e *Engine) complain(ctx context.Context, what string, err error, more ...any) {
	if err == nil || ctx.Err() != nil {
		return
	}
	err = discreet(e.cfg.Store.URLs, err)
	e.trouble.Store(&err)
	if !e.stuck.Load() {
		e.log.Warn(what, append(more, "error", err)...)
	}
}

// janitor keeps the log small and the engine informed.
func (e *Engine) janitor(ctx context.Context) {
	tick := time.NewTicker(janitorEvery)
	defer tick.Stop()
	looked, written := time.Time{}, uint64(0)
	swept, left := time.Now(), map[apns.ID]bool{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		every := lookAroundEvery
		if e.store.embedded() && e.store.written.Load() == written && e.leases.count() == 0 && !e.full.Load() && !e.stuck.Load() {
			every = idleLookEvery
		}
		look := time.Since(looked) >= every
		if look {
			looked, written = time.Now(), e.store.written.Load()
			e.complain(ctx, "the space of the log cannot be looked at", e.lookForSpace(ctx))
		}
		if e.stuck.Load() {
			continue // it would not answer
		}
		// A purge writes too, and one that cannot has been seen to bring the log to
		// a standstill.
		if free, err := freeSpace(e.cfg.Store.Dir); err != nil || !e.store.embedded() || free >= purgeSpace {
			for _, q := range e.allQueues() {
				e.complain(ctx, "a queue cannot be purged", q.purge(ctx))
			}
		}
		if !look {
			continue
		}
		if e.store.embedded() {
			e.complain(ctx, "damage cannot be looked for", e.lookForDamage(ctx))
		}
		e.complain(ctx, "the index of verdicts cannot be trimmed", e.ledger.trim(ctx))
		e.complain(ctx, "the queues of batches cannot be looked at", e.endBatches(ctx))
		if !e.store.embedded() && e.sending.Err() == nil {
			e.complain(ctx, "the queues of other engines cannot be looked at", e.findQueues(ctx))
			e.complain(ctx, "batches of engines that are gone cannot be closed", e.closeOrphans(ctx))
			if time.Since(swept) > absentAfter {
				swept = time.Now()
				left = e.sweepForOthers(left)
				e.complain(ctx, "what engines that are gone had begun with dead letters cannot be finished", e.finishClaims(ctx))
			}
		}
	}
}

const (
	// fullShare is how much notifications may take of the log's space that
	// verdicts leave them. The rest is for retries and for what people decide,
	// without which nothing would leave the queue.
	fullShare = 0.8
	// leastFree is how much of the disk has to stay free: a log that meets the
	// end of the disk stops until it is opened again.
	leastFree = 64 << 20
	// purgeSpace is how much of it has to be free for purging.
	purgeSpace = 1 << 20
	// writeCost is what a write takes on the disk besides its bytes, at most.
	writeCost = 512
)

// freeSpace is freeBytes, except in tests.
var freeSpace = freeBytes

// lookForSpace refuses notifications before there is no room for them. Between
// two looks every write is counted, since a fast disk is full within one.
func (e *Engine) lookForSpace(ctx context.Context) error {
	if !e.store.embedded() {
		return nil // a cluster says so itself
	}
	free, err := freeSpace(e.cfg.Store.Dir)
	if err != nil {
		return err
	}
	if e.mend(ctx, free); e.stuck.Load() {
		return nil
	}
	used, err := e.store.used(ctx)
	if err != nil {
		return err
	}
	verdicts, err := e.ledger.stream.Info(ctx)
	if err != nil {
		return storeError(err)
	}
	limit := e.store.limit()
	// Verdicts will take their share sooner or later, so it counts as taken.
	queued := used - int64(verdicts.State.Bytes)
	room := min(free-leastFree, int64(fullShare*float64(limit-e.cfg.VerdictBytes))-queued)
	e.room.Store(room)
	full := room <= 0
	if full != e.full.Swap(full) {
		if full {
			e.log.Error("the log is full: nothing is accepted until there is space", "bytes", used, "limit", limit, "free", free)
		} else {
			e.log.Info("there is space on the log again", "bytes", used)
		}
	}
	return nil
}

// reserve takes room for notifications that are about to be written.
func (e *Engine) reserve(bytes int) error {
	if e.store.embedded() && e.room.Add(-int64(bytes)-writeCost) < 0 {
		return ErrFull
	}
	return nil
}

// endBatches deletes the queues of batches that are done.
func (e *Engine) endBatches(ctx context.Context) error {
	for _, q := range e.allQueues() {
		if q.batch.IsZero() || q.leased.Load() > 0 {
			continue
		}
		e.control.mu.RLock()
		b := e.control.batch[q.batch]
		// Another engine may have begun it a moment ago.
		open := (b == nil || b.ClosedAt.IsZero()) && time.Since(madeAt(apns.ID(q.batch))) < maxBatchTime
		e.control.mu.RUnlock()
		if open {
			continue
		}
		if err := e.dropIfEmpty(ctx, q); isGone(err) {
			// Another engine has deleted it.
			e.forgetQueue(q)
			q.cancel()
		} else if err != nil {
			return storeError(err)
		}
	}
	return nil
}

// maxBatchTime is how long a batch may be open; a sender that went away without
// a word never closes it.
const maxBatchTime = 24 * time.Hour

func hexText(b []byte) string { return hex.EncodeToString(b) }
