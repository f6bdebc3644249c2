package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"aviso.example/apns"
)

// control is what people decided: which apps and batches are paused, how fast
// batches go, and what is cancelled. It is on the log, so that it outlives the
// process and holds for all engines, and in memory, where every chunk meets it.
type control struct {
	engine  *Engine
	apps    jetstream.KeyValue
	batches jetstream.KeyValue
	cancels jetstream.KeyValue
	claims  jetstream.KeyValue // who is doing something that only one can

	taken atomic.Uint64 // entries
	begun atomic.Bool   // what there was at the beginning is known

	mu        sync.RWMutex
	revisions map[string]uint64 // of what is known, by bucket and key
	pausedApp map[string]AppControl
	batch     map[BatchID]*BatchRecord
	cancel    map[apns.ID][]MessageID // by unit
	unswept   map[MessageID]bool      // cancellations that were not seen through
}

// AppControl is what a person decided about an app.
type AppControl struct {
	Paused bool      `json:"paused"`
	Note   string    `json:"note,omitempty"`
	At     time.Time `json:"at"`
}

// BatchRecord is what is known of a batch besides its verdicts.
type BatchRecord struct {
	ID          BatchID          `json:"id"`
	App         string           `json:"app"`
	Environment apns.Environment `json:"environment"`
	Lane        Lane             `json:"lane"`
	Label       string           `json:"label,omitempty"`
	CreatedAt   time.Time        `json:"created_at"`
	// ClosedAt is when the last line had been read, or it was found that nobody reads
	// any more. Before that the batch is open.
	ClosedAt time.Time `json:"closed_at,omitzero"`
	// Accepted lines are on disk, Refused ones were wrong.
	Accepted int64 `json:"accepted"`
	Refused  int64 `json:"refused"`
	// Broken says why the end of the batch was never read.
	Broken string `json:"broken,omitempty"`
	// TakenBy is the life of the engine that reads it.
	TakenBy   string `json:"taken_by,omitempty"`
	Paused    bool   `json:"paused,omitempty"`
	Cancelled bool   `json:"cancelled,omitempty"`
	// Swept says that what was scheduled of a cancelled batch has been ended.
	Swept bool    `json:"swept,omitempty"`
	Rate  float64 `json:"rate,omitempty"`
}

const (
	// batchAge is how long a batch is remembered after it last changed, beyond
	// the longest SendAt.
	batchAge = maxSendAhead + 30*24*time.Hour
	// cancelAge is how long a cancellation has to be known: as long as anything
	// can still be waiting to be sent.
	cancelAge = batchAge
)

func (e *Engine) openControl(ctx context.Context) (*control, error) {
	c := &control{engine: e, revisions: map[string]uint64{}, pausedApp: map[string]AppControl{}, batch: map[BatchID]*BatchRecord{}, cancel: map[apns.ID][]MessageID{}, unswept: map[MessageID]bool{}}
	for _, b := range []struct {
		name string
		age  time.Duration
		kv   *jetstream.KeyValue
	}{
		{bucketControl, 0, &c.apps}, {bucketBatches, batchAge, &c.batches},
		{bucketCancels, cancelAge, &c.cancels}, {bucketClaims, claimAge, &c.claims},
	} {
		var err error
		if *b.kv, err = e.store.bucket(ctx, b.name, b.age); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// watch follows the log until ctx is done; ready is closed when everything that
// was there at the beginning is known.
func (c *control) watch(ctx context.Context, kv jetstream.KeyValue, take func(key string, value []byte, revision uint64), ready *sync.WaitGroup) {
	first := true
	signal := func() {
		if first {
			first = false
			ready.Done()
		}
	}
	defer signal()
	for ctx.Err() == nil {
		w, err := kv.WatchAll(ctx)
		if err != nil {
			c.engine.complain(ctx, "what people decided cannot be followed", err, "bucket", kv.Bucket())
			pause(ctx, troublePause)
			continue
		}
		for entry := range w.Updates() {
			if entry == nil { // everything up to now was seen
				signal()
				continue
			}
			value := entry.Value()
			if entry.Operation() != jetstream.KeyValuePut {
				value = nil
			}
			take(entry.Key(), value, entry.Revision())
			c.taken.Add(1)
			c.engine.leases.changed.Store(true)
			c.engine.gates.controlled()
		}
		w.Stop()
	}
}

// start follows the log until hard is done, and returns when it knows what there
// is.
func (c *control) start(ctx, hard context.Context) error {
	var all sync.WaitGroup
	all.Add(3)
	e := c.engine
	e.background.Go(func() { c.watch(hard, c.apps, c.takeApp, &all) })
	e.background.Go(func() { c.watch(hard, c.batches, c.takeBatch, &all) })
	e.background.Go(func() { c.watch(hard, c.cancels, c.takeCancel, &all) })
	known := make(chan struct{})
	e.background.Go(func() {
		all.Wait()
		close(known)
	})
	err := e.await(ctx, "what people decided", known, c.taken.Load)
	c.begun.Store(err == nil)
	return err
}

// newer reports whether an entry is newer than what is known of its key. Entries come
// from the log, and from whoever has just written one, and those of two who change
// the same thing at once come in any order: the log's order is the one that counts.
// c.mu is held.
func (c *control) newer(kind, key string, revision uint64) bool {
	if key = kind + key; revision <= c.revisions[key] {
		return false
	}
	c.revisions[key] = revision
	return true
}

func (c *control) takeApp(key string, value []byte, revision uint64) {
	var a AppControl
	if value != nil && json.Unmarshal(value, &a) != nil {
		return
	}
	c.mu.Lock()
	newer := c.newer("app ", key, revision)
	if newer {
		c.pausedApp[key] = a
	}
	c.mu.Unlock()
	if newer && !a.Paused && c.begun.Load() {
		c.engine.gates.release(key) // whichever engine was asked to resume it
	}
}

func (c *control) takeBatch(key string, value []byte, revision uint64) {
	id, err := ParseBatchID(batchPrefix + key)
	if err != nil {
		return
	}
	var b *BatchRecord
	if value != nil {
		b = &BatchRecord{}
		if json.Unmarshal(value, b) != nil {
			return
		}
	}
	c.mu.Lock()
	switch {
	case !c.newer("batch ", key, revision):
	case b == nil:
		delete(c.batch, id)
		delete(c.revisions, "batch "+key) // nobody writes it any more
	default:
		c.batch[id] = b
	}
	c.mu.Unlock()
	c.engine.gates.limitBatch(id)
}

// rate is that of a batch, and of which app it is; 0 means no bound.
func (c *control) rate(id BatchID) (app string, perSecond float64) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if b := c.batch[id]; b != nil {
		return b.App, b.Rate
	}
	return "", 0
}

func (c *control) takeCancel(key string, value []byte, _ uint64) {
	id, err := ParseMessageID(messagePrefix + key)
	if err != nil {
		return
	}
	unit, _ := split(id.First)
	c.mu.Lock()
	defer c.mu.Unlock()
	if value == nil {
		delete(c.cancel, unit)
		return
	}
	if string(value) != cancelSwept {
		c.unswept[id] = true
	} else {
		delete(c.unswept, id)
	}
	if !slices.Contains(c.cancel[unit], id) {
		c.cancel[unit] = append(c.cancel[unit], id)
	}
}

func (c *control) paused(app string) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.pausedApp[app].Paused
}

func (c *control) batchPaused(id BatchID) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	b := c.batch[id]
	return b != nil && b.Paused && !b.Cancelled
}

func (c *control) calledBack(id BatchID) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	b := c.batch[id]
	return b != nil && b.Cancelled
}

// apart says that a batch goes at a pace of its own, and must not keep others
// waiting that stand behind it.
func (c *control) apart(id BatchID) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	b := c.batch[id]
	return b != nil && (b.Paused || b.Rate > 0) && !b.Cancelled
}

// paced are the batches that have a rate.
func (c *control) paced() map[BatchID]*BatchRecord {
	c.mu.RLock()
	defer c.mu.RUnlock()
	list := map[BatchID]*BatchRecord{}
	for id, b := range c.batch {
		if b.Rate > 0 {
			list[id] = b
		}
	}
	return list
}

// cancelled reports whether a notification has been called back.
func (c *control) cancelled(ch *chunk, t *target) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if ch.batch {
		b := c.batch[BatchID(ch.unit)]
		return b != nil && b.Cancelled
	}
	for _, m := range c.cancel[ch.unit] {
		if m.Contains(numbered(ch.unit, t.number)) {
			return true
		}
	}
	return false
}

// cancelledIn reports whether anything of a unit has been called back.
func (c *control) cancelledIn(unit apns.ID) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	b := c.batch[BatchID(unit)]
	return b != nil && b.Cancelled || len(c.cancel[unit]) > 0
}

// cancelledAny reports whether a notification of a chunk has been called back.
func (c *control) cancelledAny(ch *chunk) bool {
	return slices.ContainsFunc(ch.targets, func(t target) bool { return c.cancelled(ch, &t) })
}

// ErrNotFound: there is no such app, message, notification or batch, or it was
// so long ago that nothing is known of it any more.
var ErrNotFound = errors.New("not found")

// PauseApp stops sending for an app; what comes in waits. ResumeApp goes on, also
// after the engine paused it by itself. An app that is paused already stays so since
// then, and without another note keeps the one it has.
func (e *Engine) PauseApp(ctx context.Context, app, note string) error {
	e.control.mu.RLock()
	before := e.control.pausedApp[app]
	e.control.mu.RUnlock()
	if before.Paused {
		return e.setApp(ctx, app, AppControl{Paused: true, Note: cmp.Or(note, before.Note), At: before.At})
	}
	return e.setApp(ctx, app, AppControl{Paused: true, Note: note, At: time.Now().UTC()})
}

// ResumeApp is the inverse of PauseApp.
func (e *Engine) ResumeApp(ctx context.Context, app string) error {
	return e.setApp(ctx, app, AppControl{At: time.Now().UTC()})
}

func (e *Engine) setApp(ctx context.Context, app string, a AppControl) error {
	if e.app(app) == nil {
		return ErrNotFound
	}
	data, err := json.Marshal(a)
	if err != nil {
		return err
	}
	revision, err := e.control.apps.Put(ctx, app, data)
	if err != nil {
		return storeError(err)
	}
	e.control.takeApp(app, data, revision)
	e.gates.controlled()
	return nil
}

// CancelMessage calls a message back: notifications of it that have not been
// handed to APNs end as Cancelled. ErrNotFound means that there is no such
// message, or that nothing is known of it any more.
func (e *Engine) CancelMessage(ctx context.Context, id MessageID) error {
	// What is written here is kept, and looked at for every chunk, for months;
	// whoever makes ids up must not add to it.
	if _, err := e.Message(ctx, id); err != nil {
		return err
	}
	ctx, cancel := toItsEnd(ctx)
	defer cancel()
	key := strings.TrimPrefix(id.String(), messagePrefix)
	if _, err := e.control.cancels.Put(ctx, key, []byte(time.Now().UTC().Format(time.RFC3339))); err != nil {
		return storeError(err)
	}
	e.control.takeCancel(key, []byte{}, 0)
	if err := e.endCancelled(ctx, id); err != nil {
		unit, _ := split(id.First)
		e.sweeper.cancelled(unit) // it is tried again
		if errors.Is(err, errOtherCopy) {
			err = nil // what becomes of that one decides
		}
		return err
	}
	return e.swept(ctx, key)
}

// endPatience is how long what has begun may take to come to its end.
const endPatience = time.Minute

// toItsEnd is the context of what goes on to its end once it has begun, whether or not
// whoever asked for it is still there: half of it would be done by nobody.
func toItsEnd(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), endPatience)
}

// swept notes that a message that was called back has been ended wherever it waited.
func (e *Engine) swept(ctx context.Context, key string) error {
	_, err := e.control.cancels.PutString(ctx, key, cancelSwept)
	return storeError(err)
}

// cancelSwept is in place of the time of a cancellation that was seen through.
const cancelSwept = "ended"

// PauseBatch, ResumeBatch and CancelBatch do the same for a batch; PaceBatch
// bounds the notifications sent a second, 0 meaning no bound.
func (e *Engine) PauseBatch(ctx context.Context, id BatchID) error {
	return e.changeBatch(ctx, id, func(b *BatchRecord) { b.Paused = true })
}

// ResumeBatch: see PauseBatch.
func (e *Engine) ResumeBatch(ctx context.Context, id BatchID) error {
	return e.changeBatch(ctx, id, func(b *BatchRecord) { b.Paused = false })
}

// CancelBatch: see PauseBatch.
func (e *Engine) CancelBatch(ctx context.Context, id BatchID) error {
	ctx, cancel := toItsEnd(ctx)
	defer cancel()
	if err := e.changeBatch(ctx, id, func(b *BatchRecord) { b.Cancelled = true }); err != nil {
		return err
	}
	e.sweeper.cancelled(id.unit())
	return e.leases.endCalledBack(ctx, id.unit())
}

// PaceBatch: see PauseBatch.
func (e *Engine) PaceBatch(ctx context.Context, id BatchID, perSecond float64) error {
	return e.changeBatch(ctx, id, func(b *BatchRecord) { b.Rate = perSecond })
}

// staleRead is the pause before something is read again that has to be there.
const staleRead = 50 * time.Millisecond

// knows reports whether there is a batch, as far as was heard.
func (c *control) knows(id BatchID) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.batch[id] != nil
}

// changeBatch changes a batch's record, over again if somebody else did so at the
// same time.
func (e *Engine) changeBatch(ctx context.Context, id BatchID, change func(*BatchRecord)) error {
	key := strings.TrimPrefix(id.String(), batchPrefix)
	c := e.control
	for {
		entry, err := e.control.batches.Get(ctx, key)
		if errors.Is(err, jetstream.ErrKeyNotFound) {
			if !c.knows(id) {
				return ErrNotFound
			}
			// A replica has answered that lags behind.
			pause(ctx, staleRead)
			if ctx.Err() != nil {
				return storeError(ctx.Err())
			}
			continue
		} else if err != nil {
			return storeError(err)
		}
		var b BatchRecord
		if err := json.Unmarshal(entry.Value(), &b); err != nil {
			return fmt.Errorf("the record of batch %s cannot be read: %w", id, err)
		}
		change(&b)
		data, err := json.Marshal(&b)
		if err != nil {
			return err
		}
		revision, err := e.control.batches.Update(ctx, key, data, entry.Revision())
		if tooLate(err) && ctx.Err() == nil {
			pause(ctx, rand.N(staleRead/5)) // several who go on at once meet again
			continue
		}
		if err != nil {
			return storeError(err)
		}
		e.control.takeBatch(key, data, revision)
		e.gates.controlled()
		return nil
	}
}
