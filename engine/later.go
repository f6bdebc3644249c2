package engine

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"aviso.example/apns"
)

// later holds chunks that are due at a time: scheduled messages and retries. The
// log itself keeps the time and puts them on subjectDue, from where they are
// moved to the queue they belong to.
type later struct {
	engine *Engine
	stream jetstream.Stream
	leased jetstream.Consumer // what is due
	// clockWasBack says that the clock was put back before this engine began.
	clockWasBack bool

	mu      sync.Mutex
	opened  map[gateKey]bool // gates that opened; what waited for them is to be moved
	moving  map[gateKey]bool // gates for which it is being moved
	opening chan struct{}    // has something in it when opened has
}

func (e *Engine) openLater(ctx context.Context) (err error) {
	l := &later{engine: e, opened: map[gateKey]bool{}, moving: map[gateKey]bool{}, opening: make(chan struct{}, 1)}
	if l.stream, err = e.store.stream(ctx, jetstream.StreamConfig{
		Name: streamLater, Subjects: []string{subjectLater + ">", subjectDue},
		Retention: jetstream.WorkQueuePolicy, AllowMsgSchedules: true, AllowDirect: true,
	}); err != nil {
		return err
	}
	if l.clockWasBack, err = l.wasPutBack(ctx, time.Now()); err != nil {
		return fmt.Errorf("engine: %w", err)
	}
	if l.leased, err = e.openConsumer(ctx, e.store, l.stream, subjectDue); err != nil {
		return fmt.Errorf("engine: %w", err)
	}
	e.later = l
	return nil
}

// A chunk's subject on this log says what can be known without reading it, and is
// its own: the log keeps one message of each until it is due.
//
//	aviso.later.APP.ENVIRONMENT.time.UNIT.NUMBER.ROUND.COUNT.SUM
//
// In place of "time" stands "gate" for what goes on earlier when the app's gate
// opens. Number and round are those of the first notification; the sum is of all of
// it, since what is left of a chunk after a crash can begin with the same one.
const (
	forTime = "time"
	forGate = "gate"
)

func laterSubject(c *chunk, data []byte, gate bool) string {
	kind := forTime
	if gate {
		kind = forGate
	}
	t := &c.targets[0]
	return fmt.Sprintf("%s%s.%s.%s.%s.%d.%d.%d.%08x", subjectLater, c.app, c.environment, kind, c.unit, t.number, t.round, len(c.targets), crc32.Checksum(data, castagnoli))
}

// laterOf selects the subjects of a unit, in a round or in all of them.
func laterOf(unit apns.ID, round string) string {
	return fmt.Sprintf("%s*.*.*.%s.*.%s.*.*", subjectLater, unit, round)
}

// putLater writes a chunk that is due later.
func (e *Engine) putLater(ctx context.Context, c *chunk, when due) error {
	data := c.append(nil)
	return e.putAt(ctx, laterSubject(c, data, when.forGate), data, time.Unix(when.at, 0))
}

// putAt writes a chunk under a subject of its own.
func (e *Engine) putAt(ctx context.Context, subject string, data []byte, at time.Time) error {
	// The log's clock counts whole seconds; the rest is waited for when it is due.
	at = at.Truncate(time.Second)
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	_, err := e.store.put(ctx, subject, data, jetstream.WithScheduleAt(at), jetstream.WithScheduleTarget(subjectDue))
	return err
}

// movesAtOnce is how many chunks are moved at a time: many can be due in the same
// second, and the log syncs each.
const movesAtOnce = 16

// run moves what is due until ctx is done.
func (l *later) run(ctx context.Context) {
	var moves sync.WaitGroup
	defer moves.Wait()
	slots := make(chan struct{}, movesAtOnce)
	for ctx.Err() == nil { // its consumer may be gone for a moment only
		l.engine.read(ctx, streamLater, func(msg *nats.Msg, _ time.Time) {
			slots <- struct{}{}
			moves.Go(func() {
				defer func() { <-slots }()
				if err := l.due(ctx, msg); err != nil {
					l.engine.complain(ctx, "what is due cannot be queued", err)
					msg.NakWithDelay(troublePause)
				}
			})
		})
		pause(ctx, troublePause)
	}
}

// due puts a chunk that is due onto its queue. If the process ends before the
// acknowledgement it does so again; see Engine.move.
func (l *later) due(ctx context.Context, msg *nats.Msg) error {
	c, err := parseChunk(msg.Data)
	if err != nil {
		l.engine.setAside(ctx, streamLater, msg, err)
		return nil
	}
	if early := time.Until(c.notBefore()); early > 0 {
		return msg.NakWithDelay(early)
	}
	if err := l.engine.requeue(ctx, c); err != nil {
		return err
	}
	// It is off this log when that is over: what an orderly end counts is what there is.
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	return msg.AckSync(nats.Context(ctx))
}

// hasten has everything that waits for a gate go on now. It does not block.
func (l *later) hasten(key gateKey) {
	if l == nil {
		return // the engine has not begun, and nothing waits
	}
	l.mu.Lock()
	l.opened[key] = true
	l.mu.Unlock()
	select {
	case l.opening <- struct{}{}:
	default:
	}
}

// runHasten does what hasten asks for until ctx is done, for each gate by itself.
func (l *later) runHasten(ctx context.Context) {
	var all sync.WaitGroup
	defer all.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.opening:
		}
		l.mu.Lock()
		for key := range l.opened {
			if !l.moving[key] {
				delete(l.opened, key)
				l.moving[key] = true
				all.Go(func() { l.moveEarly(ctx, key) })
			}
		}
		l.mu.Unlock()
	}
}

func (l *later) moveEarly(ctx context.Context, key gateKey) {
	err := l.early(ctx, key)
	if err != nil {
		l.engine.complain(ctx, "what waited for APNs cannot be queued", err)
		pause(ctx, troublePause)
	}
	l.mu.Lock()
	delete(l.moving, key)
	again := l.opened[key] || err != nil
	l.mu.Unlock()
	if again {
		l.hasten(key)
	}
}

// try has one chunk go on that waits for a gate, unless something waits at the gate
// itself: that tries.
func (l *later) try(ctx context.Context, key gateKey) {
	for _, held := range l.engine.leases.all() {
		if held.queue != nil && held.queue.gateKey() == key && held.count(waiting) > 0 && l.engine.gates.mayPass(held.queue) {
			return
		}
	}
	if err := l.tryOne(ctx, key); err != nil {
		l.engine.complain(ctx, "what waits for APNs cannot be tried", err)
	}
}

// waitingAt selects the subjects of what waits for a gate.
func waitingAt(key gateKey) string {
	return fmt.Sprintf("%s%s.%s.%s.>", subjectLater, key.app, key.environment, forGate)
}

// tryOne moves the oldest chunk that waits for a gate, and can be read, before it is
// due.
func (l *later) tryOne(ctx context.Context, key gateKey) error {
	for seq := uint64(1); ; seq++ {
		msg, err := l.stream.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(waitingAt(key)))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil
		} else if err != nil {
			return storeError(err)
		}
		if _, err := parseChunk(msg.Data); err == nil {
			return l.earlier(ctx, msg.Subject)
		}
		seq = msg.Sequence
	}
}

// early moves all chunks that wait for a gate before they are due.
func (l *later) early(ctx context.Context, key gateKey) error {
	subjects, err := l.subjects(ctx, waitingAt(key))
	if err != nil {
		return err
	}
	moves, ctx := errgroup.WithContext(ctx)
	moves.SetLimit(movesAtOnce)
	for _, subject := range subjects {
		moves.Go(func() error { return l.earlier(ctx, subject) })
	}
	return moves.Wait()
}

// earlier moves what is under a subject before it is due, if it is still there.
func (l *later) earlier(ctx context.Context, subject string) error {
	msg, c, err := l.at(ctx, subject)
	if err != nil || c == nil {
		return err
	}
	if err := l.engine.requeue(ctx, c); err != nil {
		return err
	}
	return l.remove(ctx, msg.Sequence)
}

// each looks at the chunks that a filter of subjects selects, until look has seen
// enough.
func (l *later) each(ctx context.Context, filter string, look func(seq uint64, c *chunk) (more bool, err error)) error {
	subjects, err := l.subjects(ctx, filter)
	if err != nil {
		return err
	}
	for _, subject := range subjects {
		msg, c, err := l.at(ctx, subject)
		if err != nil {
			return err
		}
		if c == nil {
			continue
		}
		if more, err := look(msg.Sequence, c); err != nil || !more {
			return err
		}
	}
	return nil
}

// subjects lists what is there, the oldest units first.
func (l *later) subjects(ctx context.Context, filter string) ([]string, error) {
	info, err := l.stream.Info(ctx, jetstream.WithSubjectFilter(filter))
	if err != nil {
		return nil, storeError(err)
	}
	list := make([]string, 0, len(info.State.Subjects))
	for s := range info.State.Subjects {
		list = append(list, s)
	}
	slices.Sort(list)
	return list, nil
}

// at reads what is under a subject; no chunk if it has just become due, or cannot be
// read, which is told when it is due.
func (l *later) at(ctx context.Context, subject string) (*jetstream.RawStreamMsg, *chunk, error) {
	msg, err := l.stream.GetLastMsgForSubject(ctx, subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil, nil
	} else if err != nil {
		return nil, nil, storeError(err)
	}
	c, err := parseChunk(msg.Data)
	if err != nil {
		return nil, nil, nil
	}
	return msg, c, nil
}

// remove takes a chunk off, if it has not become due.
func (l *later) remove(ctx context.Context, seq uint64) error {
	return deleteMsg(ctx, l.stream, seq)
}

// waiting returns a scheduled chunk of a unit, of those that can hold the
// notifications from first to last, or nil. Retries are told by their verdicts and
// not looked for here.
func (l *later) waiting(ctx context.Context, unit apns.ID, first, last uint32, has func(*chunk) bool) (*chunk, error) {
	subjects, err := l.subjects(ctx, laterOf(unit, "0"))
	if err != nil {
		return nil, err
	}
	type place struct {
		subject string
		begin   uint64
	}
	var places []place
	for _, s := range subjects {
		parts := strings.Split(s, ".")
		if begin, err := strconv.ParseUint(parts[len(parts)-4], 10, 32); err == nil && begin <= uint64(last) {
			places = append(places, place{s, begin})
		}
	}
	slices.SortFunc(places, func(a, b place) int { return int(int64(a.begin) - int64(b.begin)) })
	for i, p := range places {
		if i+1 < len(places) && places[i+1].begin <= uint64(first) {
			continue // it ends before them
		}
		if _, c, err := l.at(ctx, p.subject); err != nil || c != nil && has(c) {
			return c, err
		}
	}
	return nil, nil
}

// maxDue bounds the search among what has just become due.
const maxDue = 1024

// becameDue looks through the chunks that have become due and are not on their queue
// yet.
func (l *later) becameDue(ctx context.Context, has func(*chunk) bool) (*chunk, error) {
	seq := uint64(1)
	for range maxDue {
		msg, err := l.stream.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(subjectDue))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil, nil
		} else if err != nil {
			return nil, storeError(err)
		}
		seq = msg.Sequence + 1
		if c, err := parseChunk(msg.Data); err == nil && has(c) {
			return c, nil
		}
	}
	return nil, nil
}
