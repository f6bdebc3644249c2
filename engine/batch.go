package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Batch takes notifications of one app, one by one and as many as there are.
// They are on disk in chunks while more are added. It is for one goroutine.
type Batch struct {
	engine *Engine
	writer *chunkWriter
	record BatchRecord
	number uint32
	last   *template // kept, so that equal templates follow each other
	ended  bool
}

// BatchConfig says what a batch is.
type BatchConfig struct {
	App string
	// Message gives environment and lane for all lines; Lane nil means Bulk.
	Message Message
	// Label is for people; it must not name a person.
	Label string
	// Rate bounds the notifications sent a second; 0 means no bound.
	Rate float64
	// Paused batches wait for ResumeBatch.
	Paused bool
}

// ownQueueFrom is from how many chunks on a batch gets a queue of its own. Before
// that it is not worth a stream.
const ownQueueFrom = 16

// NewBatch begins a batch.
func (e *Engine) NewBatch(ctx context.Context, cfg BatchConfig) (*Batch, error) {
	if err := e.intakeOpen(); err != nil {
		return nil, err
	}
	defer e.intake.Done()
	app := e.app(cfg.App)
	if app == nil {
		return nil, &InputError{"App", "is not an app of this engine"}
	}
	p := path{app: app.ID, environment: app.Default, lane: Bulk}
	if cfg.Message.Environment != nil {
		p.environment = *cfg.Message.Environment
	}
	if cfg.Message.Lane != nil {
		p.lane = *cfg.Message.Lane
	}
	switch {
	case app.credential(p.environment) == nil:
		return nil, &InputError{"Environment", "is " + p.environment.String() + ", for which the app has no credential"}
	case p.lane >= lanes:
		return nil, &InputError{"Lane", "is none of urgent, normal and bulk"}
	case cfg.Rate < 0:
		return nil, &InputError{"Rate", "is negative; 0 means no limit"}
	case len(cfg.Label) > 200:
		return nil, &InputError{"Label", "has more than 200 bytes"}
	}
	if _, err := e.queueFor(ctx, p, BatchID{}); err != nil {
		return nil, err
	}
	now := time.Now()
	b := &Batch{engine: e}
	b.record = BatchRecord{
		ID: BatchID(newUnit(now)), App: app.ID, Environment: p.environment, Lane: p.lane, Label: cfg.Label,
		CreatedAt: now.UTC(), Paused: cfg.Paused, Rate: cfg.Rate, TakenBy: e.life,
	}
	data, err := json.Marshal(&b.record)
	if err != nil {
		return nil, err
	}
	key := strings.TrimPrefix(b.record.ID.String(), batchPrefix)
	revision, err := e.control.batches.Create(ctx, key, data)
	if err != nil {
		return nil, storeError(err)
	}
	e.control.takeBatch(key, data, revision)
	b.writer = e.newChunkWriter(ctx, chunk{path: p, unit: b.record.ID.unit(), batch: true})
	b.writer.queue = b.queue
	e.batches.Add(1)
	return b, nil
}

func (b BatchID) unit() [16]byte { return b }

// queue decides where a chunk goes. Several ask at once.
func (b *Batch) queue(ctx context.Context, chunks int) (*queue, error) {
	own := BatchID{}
	if chunks > ownQueueFrom || b.record.Paused || b.record.Rate > 0 {
		own = b.record.ID
	}
	return b.engine.queueFor(ctx, b.writer.chunk.path, own)
}

// ID names the batch.
func (b *Batch) ID() BatchID { return b.record.ID }

// Add adds one notification. An *InputError or *apns.InvalidError says what is
// wrong with it; the batch goes on. Any other error is the log's, and the batch
// cannot go on: what was added before may be on disk.
//
// It blocks while the log has enough to write. The returned number is the
// notification's place in the batch.
func (b *Batch) Add(m *Message, t *Target) (number uint32, err error) {
	if err := b.writer.failed(); err != nil {
		return 0, err
	}
	if b.number == maxUnit {
		return 0, &InputError{"Batch", "is full; begin another one"}
	}
	_, environment, tm, err := b.engine.template(m, time.Now())
	if err == nil && environment != b.record.Environment {
		err = &InputError{"Environment", "is not the batch's; a batch goes to one environment"}
	}
	if err == nil && m.App != b.record.App {
		err = &InputError{"App", "is not the batch's; a batch is for one app"}
	}
	var parsed target
	if err == nil {
		var problem string
		if parsed, problem = parseTarget(t); problem != "" {
			err = &InputError{"DeviceToken", problem}
		}
	}
	if err != nil {
		b.record.Refused++
		return 0, err
	}
	parsed.number = b.number
	b.number++
	if b.last == nil || !b.last.equal(&tm) {
		tm.payload = append([]byte(nil), tm.payload...)
		b.last = &tm
	}
	b.writer.add(b.last, &parsed)
	b.record.Accepted++
	return parsed.number, nil
}

// equal reports whether two templates say the same; which message they belong to
// does not matter, as in a batch they belong to none.
func (t *template) equal(o *template) bool {
	return string(t.payload) == string(o.payload) && t.pushType == o.pushType && t.topic == o.topic && t.bundleID == o.bundleID &&
		t.priority == o.priority && t.expiration == o.expiration && t.collapseID == o.collapseID && t.dropUnknown == o.dropUnknown && t.sendAt == o.sendAt
}

// Flush begins to write what was added so far, for a sender that pauses: until
// then up to a chunk of it is in memory only. Like Add it blocks while the log has
// enough to write. It is not needed before Close.
func (b *Batch) Flush() { b.writer.flush() }

// Unflushed is when the first of what is in memory only was added, or the zero
// time if there is nothing.
func (b *Batch) Unflushed() time.Time {
	if len(b.writer.chunk.targets) == 0 {
		return time.Time{}
	}
	return b.writer.chunk.accepted()
}

// Refuse counts a line that was not even a notification.
func (b *Batch) Refuse() { b.record.Refused++ }

// Close writes what is left and returns when everything that was added is on
// disk. With broken, it notes why the end of the batch is missing; what was
// added is sent all the same.
func (b *Batch) Close(ctx context.Context, broken string) (BatchRecord, error) {
	if b.ended {
		return b.record, nil
	}
	b.ended = true
	defer b.engine.batches.Done()
	err := b.writer.close()
	accepted, refused := int64(b.writer.written), b.record.Refused
	if err != nil && broken == "" {
		broken = "the log did not take everything"
	}
	b.record.Accepted, b.record.Broken, b.record.ClosedAt = accepted, broken, time.Now().UTC()
	change := func(r *BatchRecord) {
		r.Accepted, r.Refused, r.Broken, r.ClosedAt, r.Swept = accepted, refused, broken, b.record.ClosedAt, false
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	if changeErr := b.engine.changeBatch(ctx, b.record.ID, change); err == nil {
		err = changeErr
	}
	if b.engine.control.calledBack(b.record.ID) {
		b.engine.sweeper.cancelled(b.record.ID.unit()) // with what came after that
	}
	if b.engine.pushing.Err() != nil && errors.Is(err, context.Canceled) && !errors.Is(err, ErrClosed) {
		err = fmt.Errorf("%w: %w", ErrClosed, err) // ours was cancelled, not the caller's
	}
	return b.record, err
}
