package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"aviso.example/apns"
)

// later holds chunks that are due at a time: scheduled messages and retries. The
// log itself keeps the time and puts them on subjectDue, from where they are
// moved to the queue they belong to.
type later struct {
	engine   *Engine
	stream   jetstream.Stream
	consumer jetstream.Consumer
}

func (e *Engine) openLater(ctx context.Context) (*later, error) {
	l := &later{engine: e}
	var err error
	l.stream, err = e.store.stream(ctx, jetstream.StreamConfig{
		Name: streamLater, Subjects: []string{subjectLater + ">", subjectDue},
		Retention: jetstream.WorkQueuePolicy, AllowMsgSchedules: true, AllowDirect: true,
	})
	if err != nil {
		return nil, err
	}
	l.consumer, err = l.stream.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{
		Durable: consumerName, FilterSubject: subjectDue, AckPolicy: jetstream.AckExplicitPolicy,
		AckWait: e.cfg.Lease, MaxAckPending: maxAckPending, MaxDeliver: -1,
	})
	if err != nil {
		return nil, fmt.Errorf("engine: %w", err)
	}
	return l, nil
}

// run moves what is due until ctx is done.
func (l *later) run(ctx context.Context) {
	for ctx.Err() == nil {
		turn, leave := l.engine.store.wait(ctx)
		fetch, cancel := context.WithTimeout(turn, fetchWait)
		batch, err := l.consumer.Fetch(fetchChunks, jetstream.FetchContext(fetch))
		if err == nil {
			for msg := range batch.Messages() {
				if err := l.move(ctx, msg); err != nil {
					l.engine.complain(ctx, "what is due cannot be queued", err)
					msg.NakWithDelay(troublePause)
				}
			}
			err = batch.Error()
		}
		cancel()
		leave()
		if err = ignoreEnd(err); err != nil {
			l.engine.complain(ctx, "what is due cannot be read", err)
			pause(ctx, troublePause)
		}
	}
}

// move puts a chunk that is due onto its queue. If the process ends before the
// acknowledgement it does so again; the log recognises the second copy by its
// id, for two minutes, and after that verdicts tell.
func (l *later) move(ctx context.Context, msg jetstream.Msg) error {
	c, err := parseChunk(msg.Data())
	if err != nil {
		l.engine.setAside(ctx, streamLater, msg, err)
		return nil
	}
	q, err := l.engine.returnTo(ctx, c)
	if err != nil {
		return err
	}
	meta, err := msg.Metadata()
	if err != nil {
		return err
	}
	// The place on this log names the copy. The notifications in it do not: one
	// that was not even sent can come by here twice within the two minutes, and
	// would be taken for its own copy.
	id := fmt.Sprintf("later.%d", meta.Sequence.Stream)
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	if err := l.engine.put(ctx, q, msg.Data(), jetstream.WithMsgID(id)); err != nil {
		return err
	}
	return msg.Ack()
}

// returnTo is the queue for a chunk that had left it: the batch's own if it still
// has one.
func (e *Engine) returnTo(ctx context.Context, c *chunk) (*queue, error) {
	if id := c.batchID(); !id.IsZero() {
		if q := e.knownQueue(c.path, id); q != nil {
			return q, nil
		}
	}
	return e.queueFor(ctx, c.path, BatchID{})
}

// waiting returns a scheduled chunk of a unit, of those that can hold the
// notifications from first to last, or nil. Retries are told by their verdicts and
// not looked for here.
func (l *later) waiting(ctx context.Context, unit apns.ID, first, last uint32, has func(*chunk) bool) (*chunk, error) {
	info, err := l.stream.Info(ctx, jetstream.WithSubjectFilter(subjectLater+unit.String()+".*.0"))
	if err != nil {
		return nil, storeError(err)
	}
	var begins []uint64
	for s := range info.State.Subjects {
		parts := strings.Split(strings.TrimPrefix(s, subjectLater), ".")
		if begin, err := strconv.ParseUint(parts[1], 10, 32); err == nil && begin <= uint64(last) {
			begins = append(begins, begin)
		}
	}
	slices.Sort(begins)
	for i, begin := range begins {
		if i+1 < len(begins) && begins[i+1] <= uint64(first) {
			continue // it ends before them
		}
		msg, err := l.stream.GetLastMsgForSubject(ctx, fmt.Sprintf("%s%s.%d.0", subjectLater, unit, begin))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue // it has just become due
		} else if err != nil {
			return nil, storeError(err)
		}
		if c, err := parseChunk(msg.Data); err != nil || has(c) {
			return c, err
		}
	}
	return nil, nil
}

// maxDue bounds the search among what has just become due.
const maxDue = 1024

// due looks through the chunks that have become due and are not on their queue
// yet.
func (l *later) due(ctx context.Context, has func(*chunk) bool) (*chunk, error) {
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
