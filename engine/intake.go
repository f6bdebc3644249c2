package engine

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"aviso.example/apns"
)

// Message is one payload for one or many device tokens of an app.
type Message struct {
	// App is the App.ID to send for.
	App string
	// Environment is the app's default if nil.
	Environment *apns.Environment
	// Lane is decided by push type and number of targets if nil.
	Lane *Lane
	// Notification is what to send; DeviceToken, ID, Tag and ResendUnknown are
	// not used.
	Notification apns.Notification
	// DropUnknown says that it must not be sent again when no answer came, as
	// for calls: a gap is better than a duplicate.
	DropUnknown bool
	// SendAt, if in the future, is when to send it.
	SendAt time.Time
}

// Target is one device.
type Target struct {
	DeviceToken string
	// RegisteredAt, if known, is when the app last registered the device token:
	// one that APNs called dead before that is sent to.
	RegisteredAt time.Time
}

// Receipt is the answer to what was handed in.
type Receipt struct {
	// Message names it; Message.ID(i) is the id of target i.
	Message MessageID
	// Refused lists the targets that were not accepted.
	Refused []RefusedTarget
	Lane    Lane
}

// RefusedTarget is a target whose device token cannot be one.
type RefusedTarget struct {
	Index   int
	Problem string
}

// InputError says what is wrong with what was handed in; nothing was accepted.
type InputError struct {
	// Field is the Go name of the field.
	Field   string
	Problem string
}

// Error names the field.
func (e *InputError) Error() string { return e.Field + " " + e.Problem }

// maxSendAhead bounds SendAt, and with it for how long batches and cancellations
// have to be remembered.
const maxSendAhead = 60 * 24 * time.Hour

// maxTargets bounds one Submit; more are a batch.
const maxTargets = 100_000

// Submit accepts a message. When it returns without an error, the message is on
// disk and every target that was not refused will have a verdict. An *InputError
// says that nothing was accepted and why; ErrFull and ErrBusy that nothing was
// accepted now; ErrStore that it is not known.
func (e *Engine) Submit(ctx context.Context, m *Message, targets []Target) (*Receipt, error) {
	now := time.Now()
	app, environment, t, err := e.template(m, now)
	if err != nil {
		return nil, err
	}
	switch {
	case len(targets) == 0:
		return nil, &InputError{"Targets", "is empty: name at least one device token"}
	case len(targets) > maxTargets:
		return nil, &InputError{"Targets", fmt.Sprintf("has %d device tokens; the limit is %d, and a batch has none", len(targets), maxTargets)}
	}
	lane := usualLane(t.pushType, len(targets))
	if m.Lane != nil {
		lane = *m.Lane
	}
	s := &submission{template: t, targets: make([]target, 0, len(targets)), count: len(targets)}
	receipt := &Receipt{Lane: lane}
	for i := range targets {
		parsed, problem := parseTarget(&targets[i])
		if problem != "" {
			receipt.Refused = append(receipt.Refused, RefusedTarget{i, problem})
			continue
		}
		parsed.number = uint32(i)
		s.targets = append(s.targets, parsed)
	}
	if len(s.targets) == 0 {
		return nil, &InputError{"DeviceToken", receipt.Refused[0].Problem}
	}
	s.template.accepted = uint32(len(s.targets))
	if err := e.accept(ctx, path{app.ID, environment, lane}, s); err != nil {
		return nil, err
	}
	receipt.Message = MessageID{numbered(s.unit, s.first), s.count}
	return receipt, nil
}

// template checks everything about a message that does not depend on a device.
func (e *Engine) template(m *Message, now time.Time) (*appState, apns.Environment, template, error) {
	fail := func(field, format string, args ...any) (*appState, apns.Environment, template, error) {
		return nil, 0, template{}, &InputError{field, fmt.Sprintf(format, args...)}
	}
	app := e.app(m.App)
	switch {
	case m.App == "":
		return fail("App", "is missing: the id of the app to send for")
	case app == nil:
		return fail("App", "is not an app of this engine")
	}
	environment := app.Default
	if m.Environment != nil {
		environment = *m.Environment
	}
	if app.credential(environment) == nil {
		return fail("Environment", "is %s, for which app %s has no credential", environment, app.ID)
	}
	n := m.Notification
	n.DeviceToken, n.PushType = "00", n.EffectivePushType(app.BundleID)
	if err := n.Validate(app.BundleID, now); err != nil {
		return nil, 0, template{}, err
	}
	if !json.Valid(n.Payload) {
		return fail("Payload", "is not valid JSON")
	}
	if m.Lane != nil && *m.Lane >= lanes {
		return fail("Lane", "is none of urgent, normal and bulk")
	}
	t := template{
		payload: n.Payload, pushType: n.PushType, topic: n.Topic, bundleID: n.BundleID,
		priority: n.Priority, expiration: n.Expiration, collapseID: n.CollapseID, dropUnknown: m.DropUnknown,
	}
	if !m.SendAt.IsZero() && m.SendAt.After(now) {
		if m.SendAt.Sub(now) > maxSendAhead {
			return fail("SendAt", "is more than 60 days away; was it given in milliseconds instead of seconds?")
		}
		t.sendAt = m.SendAt.Add(time.Millisecond - time.Nanosecond).UnixMilli() // not before
		if at, ok := n.Expiration.Time(); ok && !at.After(m.SendAt) {
			return fail("Expiration", "lies before SendAt: it would expire before it is sent")
		}
	}
	return app, environment, t, nil
}

// parseTarget turns a device token into bytes.
func parseTarget(t *Target) (out target, problem string) {
	if p := apns.CheckDeviceToken(t.DeviceToken); p != nil {
		return out, p.Message
	}
	out.token, _ = hex.DecodeString(t.DeviceToken)
	if !t.RegisteredAt.IsZero() {
		out.registered = t.RegisteredAt.Unix()
	}
	return out, ""
}

// accept gets a submission onto the disk.
func (e *Engine) accept(ctx context.Context, p path, s *submission) error {
	if err := e.intakeOpen(); err != nil {
		return err
	}
	defer e.intake.Done()
	// A cluster may take longer to make a queue than a write may take. What is
	// scheduled is counted with its queue.
	if _, err := e.queueFor(ctx, p, BatchID{}); err != nil {
		return err
	}
	switch {
	case s.template.sendAt != 0, s.count > groupLimit:
		// Large enough to be worth writes of its own, or not for the queue.
		s.unit = newUnit(time.Now())
		return e.writeAlone(ctx, p, s)
	}
	return e.packer(p).add(ctx, s)
}

// submission is a message on its way into a chunk.
type submission struct {
	template template
	targets  []target
	count    int

	unit  apns.ID
	first uint32
	err   error
	done  chan struct{}
}

const (
	// groupLimit is how many targets a message may have to share a chunk with
	// others; from there on a write of its own costs little for each.
	groupLimit = 256
	// maxWaiting bounds the notifications that wait for a chunk, per lane, app
	// and environment; beyond, Submit fails with ErrBusy.
	maxWaiting = 65536
	// writesAtOnce is how many chunks of one message or batch are being written
	// at a time: enough to keep the log busy while the next is made.
	writesAtOnce = 4
)

// writeAlone writes a message into chunks of its own.
func (e *Engine) writeAlone(ctx context.Context, p path, s *submission) error {
	w := e.newChunkWriter(ctx, chunk{path: p, unit: s.unit})
	s.template.first, s.template.count = 0, uint32(s.count)
	// Room for all of it is taken at once, so that it is not accepted in part.
	size := 0
	for i := range s.targets {
		size += len(s.targets[i].token) + 8
	}
	if err := e.reserve(size + (1+len(s.targets)/maxChunk)*(len(s.template.payload)+writeCost)); err != nil {
		return err
	}
	w.reserved = true
	for i := range s.targets {
		w.add(&s.template, &s.targets[i])
	}
	err := w.close()
	if err != nil && w.written > 0 {
		return fmt.Errorf("%w: %d of %d are on the log: %w", ErrStore, w.written, len(s.targets), err)
	}
	return err
}

// packer packs the messages of several callers into one chunk: group commit. One
// chunk is being written at a time; what comes meanwhile goes into the next.
type packer struct {
	engine *Engine
	path

	mu      sync.Mutex
	waiting []*submission
	count   int  // targets in waiting
	running bool // a goroutine is writing
	last    time.Time
	spare   []byte
}

// add hands a message in and waits until it is on the disk.
func (p *packer) add(ctx context.Context, s *submission) error {
	s.done = make(chan struct{})
	p.mu.Lock()
	if p.count+len(s.targets) > maxWaiting {
		p.mu.Unlock()
		return ErrBusy
	}
	p.waiting = append(p.waiting, s)
	p.count += len(s.targets)
	if !p.running {
		p.running = true
		p.engine.background.Go(p.write)
	}
	p.mu.Unlock()
	select {
	case <-s.done:
		return s.err
	case <-ctx.Done():
		// It will be written all the same, so the caller must not think that it
		// was not accepted.
		return fmt.Errorf("%w: %w", ErrStore, context.Cause(ctx))
	}
}

// write writes chunk after chunk until nobody waits.
func (p *packer) write() {
	for {
		p.mu.Lock()
		// If the log was busy a moment ago there is more to come, and waiting for
		// it saves a write for each.
		linger := p.lane != Urgent && p.count < groupLimit && time.Since(p.last) < 2*p.engine.cfg.Linger
		p.mu.Unlock()
		if linger {
			time.Sleep(p.engine.cfg.Linger)
		}
		p.mu.Lock()
		if len(p.waiting) == 0 {
			p.running = false
			p.mu.Unlock()
			return
		}
		n, size, count := 0, 0, 0
		for n < len(p.waiting) && size < chunkBytes && (n == 0 || count+p.waiting[n].count <= maxChunk) {
			size += len(p.waiting[n].template.payload) + 40*len(p.waiting[n].targets)
			count += p.waiting[n].count
			p.count -= len(p.waiting[n].targets)
			n++
		}
		list := p.waiting[:n:n]
		p.waiting = p.waiting[n:]
		if len(p.waiting) == 0 {
			p.waiting = nil
		}
		p.mu.Unlock()
		err := p.commit(list)
		for _, s := range list {
			s.err = err
			close(s.done)
		}
		p.mu.Lock()
		p.last = time.Now()
		p.mu.Unlock()
	}
}

// commit writes one chunk.
func (p *packer) commit(list []*submission) error {
	now := time.Now()
	c := chunk{path: p.path, unit: newUnit(now), at: now.UnixMilli()}
	next := uint32(0)
	for i, s := range list {
		s.unit, s.first = c.unit, next
		s.template.first, s.template.count = next, uint32(s.count)
		c.templates = append(c.templates, s.template)
		for _, t := range s.targets {
			t.number += next
			t.template = uint32(i)
			c.targets = append(c.targets, t)
		}
		next += uint32(s.count)
	}
	p.spare = c.append(p.spare[:0])
	if err := p.engine.reserve(len(p.spare)); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(p.engine.hard, storeTimeout)
	defer cancel()
	q, err := p.engine.queueFor(ctx, p.path, BatchID{})
	if err != nil {
		return err
	}
	return p.engine.put(ctx, q, p.spare)
}

// chunkWriter cuts notifications into chunks and writes several at a time. It is
// for one goroutine.
type chunkWriter struct {
	engine   *Engine
	ctx      context.Context
	chunk    chunk
	size     int
	at       *template // the template last added, by the caller's pointer
	sendAt   int64
	reserved bool // there is room for everything
	slots    chan struct{}
	writes   sync.WaitGroup

	mu      sync.Mutex
	err     error
	written int // notifications on disk
	chunks  int
	// queue decides where a chunk goes, by how many there were until then; nil
	// means the app's queue.
	queue func(ctx context.Context, chunks int) (*queue, error)
}

// newChunkWriter returns a writer of chunks like the one given.
func (e *Engine) newChunkWriter(ctx context.Context, like chunk) *chunkWriter {
	return &chunkWriter{engine: e, ctx: ctx, slots: make(chan struct{}, writesAtOnce), chunk: like}
}

// add appends a notification; what tm points to must not change until another
// template is added. It blocks while enough is being written.
func (w *chunkWriter) add(tm *template, t *target) {
	if len(w.chunk.targets) == maxChunk || w.size >= chunkBytes || w.sendAt != tm.sendAt {
		w.flush()
	}
	if w.at != tm || len(w.chunk.templates) == 0 {
		w.at, w.sendAt = tm, tm.sendAt
		w.chunk.templates = append(w.chunk.templates, *tm)
		w.size += len(tm.payload) + 64
	}
	if len(w.chunk.targets) == 0 {
		w.chunk.at = time.Now().UnixMilli()
	}
	copied := *t
	copied.template = uint32(len(w.chunk.templates) - 1)
	w.chunk.targets = append(w.chunk.targets, copied)
	w.size += len(t.token) + 8
}

// flush begins to write what there is.
func (w *chunkWriter) flush() {
	if len(w.chunk.targets) == 0 {
		return
	}
	data, count, sendAt := w.chunk.append(nil), len(w.chunk.targets), w.sendAt
	subject := ""
	if sendAt != 0 {
		subject = laterSubject(&w.chunk, data, false)
	}
	w.chunk.templates, w.chunk.targets, w.size, w.at = w.chunk.templates[:0], w.chunk.targets[:0], 0, nil
	w.slots <- struct{}{}
	w.chunks++
	chunks := w.chunks
	w.writes.Go(func() {
		defer func() { <-w.slots }()
		err := w.write(data, subject, sendAt, chunks)
		w.mu.Lock()
		defer w.mu.Unlock()
		if err == nil {
			w.written += count
		} else if w.err == nil {
			w.err = err
		}
	})
}

func (w *chunkWriter) write(data []byte, later string, sendAt int64, chunks int) error {
	ctx, leave := untilEither(w.ctx, w.engine.hard)
	defer leave()
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	if !w.reserved {
		if err := w.engine.reserve(len(data)); err != nil {
			return err
		}
	}
	if sendAt != 0 {
		return w.engine.putAt(ctx, later, data, time.UnixMilli(sendAt))
	}
	get := w.queue
	if get == nil {
		get = func(ctx context.Context, _ int) (*queue, error) {
			return w.engine.queueFor(ctx, w.chunk.path, BatchID{})
		}
	}
	q, err := get(ctx, chunks)
	if err != nil {
		return err
	}
	return w.engine.put(ctx, q, data)
}

// failed returns the first error so far.
func (w *chunkWriter) failed() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// close writes what is left and waits until all of it is on disk.
func (w *chunkWriter) close() error {
	w.flush()
	w.writes.Wait()
	return w.err
}

// intakeOpen keeps Close waiting until Done, or says that the engine is closing.
func (e *Engine) intakeOpen() error {
	e.intakeMu.Lock()
	defer e.intakeMu.Unlock()
	switch {
	case e.intakeClosed:
		return ErrClosed
	case e.full.Load(), e.stuck.Load():
		return ErrFull
	}
	e.intake.Add(1)
	return nil
}

// isInput reports whether an error is about what was handed in.
func isInput(err error) bool {
	_, input := errors.AsType[*InputError](err)
	_, invalid := errors.AsType[*apns.InvalidError](err)
	return input || invalid
}
