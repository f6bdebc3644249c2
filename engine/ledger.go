package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"aviso.example/apns"
	"aviso.example/internal/keyindex"
)

// ledger reads verdicts. Each engine follows the log of verdicts and keeps an
// index of it in its folder, which can be thrown away at any time: what is
// missing is read from the log again.
type ledger struct {
	engine *Engine
	stream jetstream.Stream
	dir    string

	// index is replaced when it is found to be damaged, which nobody may be in the
	// middle of reading.
	indexMu sync.RWMutex
	index   *keyindex.Index
	had     uint64        // through, when it was made anew
	damaged chan struct{} // has something in it when the index has to be made anew

	mu          sync.Mutex
	stopReading context.CancelFunc
	through     uint64        // the last sequence that was taken in
	moved       chan struct{} // closed and replaced when through changes
	batches     map[BatchID]*Counts
	late        lateVerdicts
	saved       uint64    // through when the counts were last written
	log         time.Time // when the log was made, which tells it from another

	standings map[block]map[uint32]standing // takeIn's
}

// Counts says how many notifications of a batch have ended how.
type Counts struct {
	Accepted  int64 `json:"accepted"`
	Rejected  int64 `json:"rejected"`
	Expired   int64 `json:"expired"`
	Cancelled int64 `json:"cancelled"`
	Unknown   int64 `json:"unknown"`
	// Retries counts attempts that will be followed by another.
	Retries int64 `json:"retries"`
	// Reasons counts Apple's words among Rejected and Expired.
	Reasons map[apns.Reason]int64 `json:"reasons,omitempty"`
	// Last is when a verdict was last added.
	Last time.Time `json:"last"`
}

// Final is how many have ended.
func (c *Counts) Final() int64 {
	return c.Accepted + c.Rejected + c.Expired + c.Cancelled + c.Unknown
}

func (e *Engine) openLedger(ctx context.Context) (l *ledger, err error) {
	l = &ledger{engine: e, stopReading: func() {}, dir: filepath.Join(e.cfg.Store.Dir, "index"), moved: make(chan struct{}), damaged: make(chan struct{}, 1), batches: map[BatchID]*Counts{}, late: newLateVerdicts(), standings: map[block]map[uint32]standing{}}
	l.stream, err = e.store.stream(ctx, jetstream.StreamConfig{
		Name: streamVerdicts, Subjects: []string{subjectVerdicts},
		Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardOld,
		MaxAge: e.cfg.VerdictAge, MaxBytes: e.cfg.VerdictBytes, AllowDirect: true,
	})
	if err != nil {
		return nil, err
	}
	info, err := l.stream.Info(ctx)
	if err != nil {
		return nil, fmt.Errorf("engine: %w", err)
	}
	l.log = info.Created.UTC()
	l.loadCounts(info.State.LastSeq)
	if l.index, err = keyindex.Open(l.dir, keyindex.Options{}); err != nil {
		return nil, fmt.Errorf("engine: %w", err)
	}
	if x := l.index; x.Through() > info.State.LastSeq || x.Through() > 0 && x.From() > info.State.FirstSeq && info.State.Msgs > 0 {
		// It is of another log, or of one that lost its end, or its beginning is
		// missing.
		e.log.Warn("the index of verdicts does not fit the log and is made anew", "covers", x.Through(), "log", info.State.LastSeq)
		if l.index, err = l.reopenIndex(); err != nil {
			return nil, fmt.Errorf("engine: %w", err)
		}
		// The counts may be of verdicts that the log does not have any more.
		if err := l.writeCounts(); err != nil {
			return nil, fmt.Errorf("engine: %w", err)
		}
	}
	l.through = min(l.index.Through(), l.saved)
	return l, nil
}

// countsFile holds the counts of batches, and which verdicts are late, and up to
// where they count. What comes after that is counted again at the next start, and so
// would be all of it, if the log did not forget verdicts: the file has to be as sure
// as the log is.
type countsFile struct {
	Log     time.Time
	Through uint64
	Batches map[BatchID]*Counts
	Late    lateVerdicts
}

func (l *ledger) countsPath() string { return filepath.Join(l.dir, "counts.json") }

// loadCounts takes the counts that were saved, if they are of this log and it has
// not lost its end since.
func (l *ledger) loadCounts(last uint64) {
	var f countsFile
	data, err := os.ReadFile(l.countsPath())
	if err != nil || json.Unmarshal(data, &f) != nil || !f.Log.Equal(l.log) || f.Through > last {
		return // they are counted again
	}
	// Where they reach further than the index, what is read again for the index
	// is not counted again.
	l.saved = f.Through
	if f.Batches != nil {
		l.batches = f.Batches
	}
	if f.Late.Records != nil {
		l.late.Records = f.Late.Records
	}
	if f.Late.TakenOver != nil {
		l.late.TakenOver = f.Late.TakenOver
	}
}

// saveCounts writes the counts if there is something new.
func (l *ledger) saveCounts() error {
	l.mu.Lock()
	// While the index catches up with them they are ahead of what was read.
	if l.through <= l.saved {
		l.mu.Unlock()
		return nil
	}
	for id, c := range l.batches {
		if time.Since(c.Last) > batchAge {
			delete(l.batches, id)
		}
	}
	through := l.through
	data, err := json.Marshal(countsFile{l.log, through, l.batches, l.late})
	l.mu.Unlock()
	if err == nil {
		err = l.replaceCounts(data)
	}
	if err != nil {
		return err
	}
	l.mu.Lock()
	l.saved = through
	l.mu.Unlock()
	return nil
}

// replaceCounts writes the file; one that is half written is never seen, also when
// the power fails.
func (l *ledger) replaceCounts(data []byte) error {
	return replaceFile(l.countsPath(), data)
}

// syncFolder makes the names in a folder survive a loss of power.
func syncFolder(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // folders cannot be opened there
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// saveCountsEvery is how often counts are written, which bounds what is counted
// again at the next start.
const saveCountsEvery = 10 * time.Second

// follow takes in verdicts until ctx is done.
func (l *ledger) follow(ctx context.Context) {
	var f *follower
	saved := time.Now()
	for ctx.Err() == nil {
		var err error
		select {
		case <-l.damaged:
			f = nil
			err = l.rebuild()
		default:
		}
		if err == nil && f == nil {
			f, err = newFollower(ctx, l.engine.store, l.stream, l.position()+1)
		}
		if err == nil {
			reading, stop := context.WithCancel(ctx)
			l.mu.Lock()
			l.stopReading = stop
			l.mu.Unlock()
			if len(l.damaged) == 0 {
				_, err = f.read(reading, followBatch, l.takeIn)
			}
			stop()
		}
		if err != nil && ctx.Err() == nil {
			f = nil
			if !errors.Is(err, errMissed) {
				l.engine.complain(ctx, "verdicts cannot be followed", err)
				pause(ctx, troublePause)
			}
		}
		if time.Since(saved) > saveCountsEvery {
			saved = time.Now()
			if err := l.saveCounts(); err != nil {
				l.engine.log.Warn("the counts of batches cannot be saved", "error", err)
			}
		}
	}
}

// rebuild makes the index anew from the log; it is follow's.
func (l *ledger) rebuild() error {
	l.engine.log.Error("the index of verdicts is damaged and is made anew from the log; nothing is lost, and until then nothing is sent that has to be looked up")
	l.indexMu.Lock()
	defer l.indexMu.Unlock()
	index, err := l.reopenIndex()
	if err != nil {
		select {
		case l.damaged <- struct{}{}: // to be tried again
		default:
		}
		return err
	}
	l.index = index
	clear(l.standings)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.had = max(l.had, l.through)
	// What was taken in has been counted.
	l.saved = max(l.saved, l.through)
	l.through = 0
	return l.writeCounts()
}

// writeCounts writes the counts as they are; l.mu is held, or nobody else is there.
func (l *ledger) writeCounts() error {
	data, err := json.Marshal(countsFile{l.log, l.saved, l.batches, l.late})
	if err != nil {
		return err
	}
	return l.replaceCounts(data)
}

// reopenIndex throws the index away and opens an empty one.
func (l *ledger) reopenIndex() (*keyindex.Index, error) {
	if err := errors.Join(ignoreDamage(l.index.Close()), os.RemoveAll(l.dir)); err != nil {
		return nil, err
	}
	return keyindex.Open(l.dir, keyindex.Options{})
}

// ignoreDamage forgives what is thrown away for being damaged.
func ignoreDamage(err error) error {
	if errors.Is(err, keyindex.ErrDamaged) {
		return nil
	}
	return err
}

// lookup returns the records that have a key, newest first. If the index turns out to
// be damaged it is made anew meanwhile.
func (l *ledger) lookup(ctx context.Context, key, from, to uint64) ([]uint64, error) {
	for {
		list, err := l.lookupNow(key, from, to)
		if err == nil && !l.rebuilt() {
			err = keyindex.ErrDamaged // what it does not have, it may not have yet
		}
		if !errors.Is(err, keyindex.ErrDamaged) {
			return list, err
		}
		pause(ctx, troublePause)
		if err := l.catchUp(ctx); err != nil {
			return nil, err
		}
	}
}

// rebuilt says that the index has all that the one before it had.
func (l *ledger) rebuilt() bool {
	l.indexMu.RLock()
	defer l.indexMu.RUnlock()
	return l.index.Through() >= l.had
}

// lookupNow is lookup for follow, which makes the index anew itself.
func (l *ledger) lookupNow(key, from, to uint64) (list []uint64, err error) {
	l.indexMu.RLock()
	defer l.indexMu.RUnlock()
	for seq, err := range l.index.Lookup(key, from, to) {
		if errors.Is(err, keyindex.ErrDamaged) {
			select {
			case l.damaged <- struct{}{}:
			default:
			}
			l.mu.Lock()
			l.stopReading() // there may be nothing to come for a while
			l.mu.Unlock()
		}
		if err != nil {
			return nil, err
		}
		list = append(list, seq)
	}
	return list, nil
}

// takeIn indexes and counts one record.
func (l *ledger) takeIn(seq uint64, data []byte) error {
	if seq <= l.position() {
		return nil
	}
	// Nearly every record is read once: it is looked at again only where it can
	// hold what is late, or what counts for a batch.
	marked, counts := false, false
	keys, err := recordKeys(nil, data, func(v *rawVerdict) {
		marked, counts = marked || v.takenOver, counts || v.batch
	})
	if err != nil {
		// It must not stop what comes after it.
		l.engine.log.Error("a verdict record cannot be read", "sequence", seq, "error", err)
	}
	var takenOver []uint64
	var late []int
	if marked || l.anyTakenOver() {
		if takenOver, late, err = l.lateIn(l.engine.hard, seq, data); err != nil {
			return err
		}
	}
	if seq > l.index.Through() {
		if err := l.index.Add(seq, keys); err != nil {
			clear(l.standings) // which have this record already
			return err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, key := range takenOver {
		l.late.TakenOver[key] = seq
	}
	if len(late) > 0 {
		l.late.Records[seq] = late
	}
	if counts && seq > l.saved {
		eachInTime(data, late, func(v *rawVerdict) {
			if v.batch {
				l.count(v)
			}
		})
	}
	l.through = seq
	close(l.moved)
	l.moved = make(chan struct{})
	return nil
}

// count adds a verdict to its batch; l.mu is held.
func (l *ledger) count(v *rawVerdict) {
	c := l.batches[BatchID(v.unit)]
	if c == nil {
		c = &Counts{}
		l.batches[BatchID(v.unit)] = c
	}
	c.Last = time.UnixMilli(v.at).UTC()
	add := int64(1)
	state := v.state
	if state == Queued { // a dead letter is sent again: its end did not count
		add, state = -1, State(v.attempts)
	}
	switch state {
	case Accepted:
		c.Accepted += add
	case Rejected:
		c.Rejected += add
	case Expired:
		c.Expired += add
	case Cancelled:
		c.Cancelled += add
	case Unknown:
		c.Unknown += add
	case Retrying:
		c.Retries++
	}
	if v.reason != "" && state.Final() {
		if c.Reasons == nil {
			c.Reasons = map[apns.Reason]int64{}
		}
		c.Reasons[apns.Reason(v.reason)] += add
	}
}

func (l *ledger) position() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.through
}

// catchUp waits until every verdict that is on the log now has been taken in.
func (l *ledger) catchUp(ctx context.Context) error {
	for {
		turn, leave := l.engine.store.wait(ctx)
		err := l.catchUpOnce(turn)
		again := errors.Is(context.Cause(turn), errGivenUp) && ctx.Err() == nil
		leave()
		if err == nil || !again {
			return err
		}
	}
}

func (l *ledger) catchUpOnce(ctx context.Context) error {
	info, err := l.stream.Info(ctx)
	if err != nil {
		return storeError(err)
	}
	for {
		l.mu.Lock()
		through, moved := l.through, l.moved
		l.mu.Unlock()
		if through >= info.State.LastSeq || info.State.Msgs == 0 {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// roundState is a state, and which copy of a notification had it.
type roundState struct {
	state   State
	round   uint32
	record  uint64
	revives bool // a person has it sent again, in the round that follows
}

func stateIn(v *rawVerdict, record uint64) roundState {
	return roundState{v.state, v.round, record, v.revives()}
}

// doneWith says that a copy needs nothing more: its notification has ended, or a later
// copy of it is the present one. A copy can outlive its end, since what expires is ended
// where it waits.
func (s roundState) doneWith(t *target) bool {
	return s.state.Final() || s.round > t.round || s.round == t.round && (s.state == Retrying || s.revives)
}

// settled returns the last known state of each notification of a chunk that has
// one.
func (l *ledger) settled(ctx context.Context, c *chunk) (map[uint32]roundState, error) {
	if err := l.catchUp(ctx); err != nil {
		return nil, err
	}
	wanted := make(map[uint32]bool, len(c.targets))
	for i := range c.targets {
		wanted[c.targets[i].number] = true
	}
	states := map[uint32]roundState{}
	err := l.records(ctx, c.rangeKeys(), func(seq uint64, v *rawVerdict) bool {
		if v.unit == c.unit && wanted[v.number] && seq >= states[v.number].record {
			states[v.number] = stateIn(v, seq)
		}
		// The newest records come first. A retry is found in them, and does not
		// read all that there ever was of its neighbours.
		return len(states) < len(wanted)
	})
	return states, err
}

// records calls each with the verdicts of every record that has one of the keys, the
// newest record first; false ends it with the record.
func (l *ledger) records(ctx context.Context, keys []uint64, each func(seq uint64, v *rawVerdict) bool) error {
	var all []uint64
	for _, key := range keys {
		seqs, err := l.lookup(ctx, key, 0, ^uint64(0))
		if err != nil {
			return err
		}
		all = append(all, seqs...)
	}
	slices.Sort(all)
	for _, seq := range slices.Backward(slices.Compact(all)) {
		data, err := l.record(ctx, seq)
		if err != nil {
			return err
		}
		more := true
		if data != nil {
			err = eachInTime(data, l.lateOf(seq), func(v *rawVerdict) { more = each(seq, v) && more })
		}
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// record reads one message of the log; nil if it is not there any more.
func (l *ledger) record(ctx context.Context, seq uint64) ([]byte, error) {
	msg, err := l.stream.GetMsg(ctx, seq)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return nil, nil
	case err != nil:
		return nil, storeError(err)
	}
	return msg.Data, nil
}

// trim forgets what the log does not hold any more.
func (l *ledger) trim(ctx context.Context) error {
	info, err := l.stream.Info(ctx)
	if err != nil {
		return storeError(err)
	}
	l.mu.Lock()
	l.late.trim(info.State.FirstSeq)
	l.mu.Unlock()
	l.indexMu.RLock()
	defer l.indexMu.RUnlock()
	return l.index.DropBefore(info.State.FirstSeq)
}

func (l *ledger) close() error {
	return errors.Join(l.saveCounts(), l.index.Close())
}

// counts returns what became of a batch so far.
func (l *ledger) counts(id BatchID) Counts {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.batches[id]
	if c == nil {
		return Counts{}
	}
	out := *c
	out.Reasons = map[apns.Reason]int64{}
	for k, v := range c.Reasons {
		out.Reasons[k] = v
	}
	return out
}
