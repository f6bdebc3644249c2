package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"aviso.example/apns"
)

// path is what a notification's way depends on. Each has its own queue, its own
// connections and its own share of what may be under way.
type path struct {
	app         string
	environment apns.Environment
	lane        Lane
}

// queue is a stream of chunks: one for each path, and one for each large batch,
// so that apps and batches are paused, paced and thrown away by themselves, and
// their writes do not wait for each other.
type queue struct {
	name, subject string
	path
	batch    BatchID // zero for an app's own queue
	stream   jetstream.Stream
	consumer jetstream.Consumer

	// known is the last chunk that was there when the queue was opened: somebody
	// may have worked on those before.
	known atomic.Uint64

	// writing keeps the queue from being dropped while something is written to it.
	writing sync.RWMutex
	dropped bool

	leased   atomic.Int64  // chunks taken from it and not yet done
	finished atomic.Uint64 // chunks done; purging is due when it has changed
	purged   uint64        // finished at the last purge; the janitor's

	cancel context.CancelFunc
}

const consumerName = "engine"

// name says how a queue is called on the log. App ids have neither dots nor
// capital letters, so names are read back without doubt.
func (p path) name(batch BatchID) (name, subject string) {
	parts := []string{p.lane.String(), p.environment.String(), p.app}
	prefix, kind := queuePrefix, "queue"
	if !batch.IsZero() {
		parts = append(parts, strings.TrimPrefix(batch.String(), batchPrefix))
		prefix, kind = batchStream, "batch"
	}
	return prefix + strings.Join(parts, "-"), "aviso." + kind + "." + strings.Join(parts, ".")
}

// parseQueueSubject reads what a queue is for from its subject.
func parseQueueSubject(subject string) (p path, batch BatchID, ok bool) {
	parts := strings.Split(subject, ".")
	if len(parts) < 5 || parts[0] != "aviso" {
		return p, batch, false
	}
	switch {
	case parts[1] == "queue" && len(parts) == 5:
	case parts[1] == "batch" && len(parts) == 6:
		var err error
		if batch, err = ParseBatchID(batchPrefix + parts[5]); err != nil {
			return p, batch, false
		}
	default:
		return p, batch, false
	}
	switch parts[3] {
	case apns.Production.String():
	case apns.Sandbox.String():
		p.environment = apns.Sandbox
	default:
		return p, batch, false
	}
	p.app = parts[4]
	return p, batch, p.lane.UnmarshalText([]byte(parts[2])) == nil && appID.MatchString(p.app)
}

// knownQueue returns a queue that is open here, or nil.
func (e *Engine) knownQueue(p path, batch BatchID) *queue {
	e.queuesMu.RLock()
	defer e.queuesMu.RUnlock()
	return e.queues[queueKey{p, batch}]
}

type queueKey struct {
	path
	batch BatchID
}

// queueFor returns a queue. One that is not there is made, and begins to be
// sent from.
func (e *Engine) queueFor(ctx context.Context, p path, batch BatchID) (*queue, error) {
	if q := e.knownQueue(p, batch); q != nil {
		return q, nil
	}
	e.queuesOpening.Lock()
	defer e.queuesOpening.Unlock()
	if q := e.knownQueue(p, batch); q != nil {
		return q, nil
	}
	q := &queue{path: p, batch: batch}
	q.name, q.subject = p.name(batch)
	var err error
	q.stream, err = e.store.stream(ctx, jetstream.StreamConfig{
		Name: q.name, Subjects: []string{q.subject},
		// A queue that deletes what is acknowledged writes, and syncs, for every
		// acknowledgement; one that is purged up to the last of them does not.
		Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew,
	})
	if err != nil {
		return nil, storeError(err)
	}
	q.known.Store(q.stream.CachedInfo().State.LastSeq)
	if q.consumer, err = e.openConsumer(ctx, q.stream); err != nil {
		return nil, storeError(err)
	}
	run, cancel := context.WithCancel(e.sending)
	q.cancel = cancel
	e.queuesMu.Lock()
	defer e.queuesMu.Unlock()
	e.queues[queueKey{p, batch}] = q
	if e.sending.Err() == nil {
		e.sources.Go(func() { e.source(run, q) })
	}
	return q, nil
}

// maxAckPending bounds the chunks that all engines together have leased of one
// queue.
const maxAckPending = 4096

func (e *Engine) openConsumer(ctx context.Context, stream jetstream.Stream) (jetstream.Consumer, error) {
	cfg := jetstream.ConsumerConfig{
		Durable: consumerName, AckPolicy: jetstream.AckExplicitPolicy,
		AckWait: e.cfg.Lease, MaxAckPending: maxAckPending, MaxDeliver: -1,
	}
	if e.store.embedded() {
		// Nobody else can hold a lease, so those of a process that died are void
		// at once. What was acknowledged out of order comes again with the rest;
		// its verdicts say that it is done.
		switch old, err := stream.Consumer(ctx, consumerName); {
		case errors.Is(err, jetstream.ErrConsumerNotFound):
		case err != nil:
			return nil, err
		default:
			if info := old.CachedInfo(); info.NumAckPending > 0 {
				cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, info.AckFloor.Stream+1
				if err := stream.DeleteConsumer(ctx, consumerName); err != nil {
					return nil, err
				}
			} else {
				return old, nil
			}
		}
	}
	return stream.CreateOrUpdateConsumer(ctx, cfg)
}

// findQueues takes up the queues that are on the log and not known here: at the
// start, and on a cluster whenever another engine made one.
func (e *Engine) findQueues(ctx context.Context) error {
	streams := e.store.ListStreams(ctx, jetstream.WithStreamListSubject("aviso.>"))
	for info := range streams.Info() {
		p, batch, ok := parseQueueSubject(info.Config.Subjects[0])
		if !ok {
			continue
		}
		if _, err := e.queueFor(ctx, p, batch); err != nil {
			return err
		}
	}
	return streams.Err()
}

// errDropped: the queue went while somebody was about to write to it.
var errDropped = errors.New("the queue is gone")

// put writes a chunk to a queue, and to the one that takes its place if it has
// just been dropped.
func (e *Engine) put(ctx context.Context, q *queue, data []byte, options ...jetstream.PublishOpt) error {
	err := q.put(ctx, e.store, data, options...)
	if errors.Is(err, errDropped) {
		if q, err = e.queueFor(ctx, q.path, q.batch); err == nil {
			err = q.put(ctx, e.store, data, options...)
		}
	}
	return err
}

func (q *queue) put(ctx context.Context, s *store, data []byte, options ...jetstream.PublishOpt) error {
	q.writing.RLock()
	defer q.writing.RUnlock()
	if q.dropped {
		return errDropped
	}
	_, err := s.put(ctx, q.subject, data, options...)
	return err
}

// dropIfEmpty deletes the queue of a batch that is done.
func (e *Engine) dropIfEmpty(ctx context.Context, q *queue) error {
	q.writing.Lock()
	defer q.writing.Unlock()
	info, err := q.consumer.Info(ctx)
	if err != nil {
		return err
	}
	if info.NumPending > 0 || info.NumAckPending > 0 {
		return nil
	}
	q.dropped = true
	e.forgetQueue(q)
	q.cancel()
	if err := e.store.DeleteStream(ctx, q.name); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		return err
	}
	return nil
}

func (e *Engine) forgetQueue(q *queue) {
	e.queuesMu.Lock()
	defer e.queuesMu.Unlock()
	if key := (queueKey{q.path, q.batch}); e.queues[key] == q {
		delete(e.queues, key)
	}
}

func (e *Engine) allQueues() []*queue {
	e.queuesMu.RLock()
	defer e.queuesMu.RUnlock()
	list := make([]*queue, 0, len(e.queues))
	for _, q := range e.queues {
		list = append(list, q)
	}
	return list
}

const (
	// fetchChunks is how many chunks are asked for at a time. They are leased
	// while they wait for their turn, so it is small.
	fetchChunks = 4
	// fetchWait is how long an empty queue is listened to before asking again.
	fetchWait = 20 * time.Second
	// troublePause follows an error of the log.
	troublePause = 500 * time.Millisecond
)

// source sends what is in a queue, until ctx is done.
func (e *Engine) source(ctx context.Context, q *queue) {
	for ctx.Err() == nil {
		if !e.gates.wait(ctx, q) {
			return
		}
		turn, leave := e.store.wait(ctx)
		fetch, cancel := context.WithTimeout(turn, fetchWait)
		n := fetchChunks
		if !e.store.embedded() {
			// What waits for its turn here is not renewed, and another engine could
			// take it over meanwhile.
			n = 1
		}
		batch, err := q.consumer.Fetch(n, jetstream.FetchContext(fetch))
		if err == nil {
			for msg := range batch.Messages() {
				e.take(ctx, q, msg)
			}
			err = batch.Error()
		}
		cancel()
		gone := turn.Err() != nil
		leave()
		switch {
		case gone:
			// Whatever the old server said to the end, the queue is still there.
			pause(ctx, staleRead)
		case err == nil, errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled), errors.Is(err, nats.ErrTimeout):
		case errors.Is(err, jetstream.ErrConsumerDeleted), errors.Is(err, jetstream.ErrConsumerNotFound), errors.Is(err, jetstream.ErrStreamNotFound):
			// A batch's queue goes when the batch is done; on a cluster another
			// engine may have seen that first.
			e.forgetQueue(q)
			return
		default:
			e.complain(ctx, "a queue cannot be read", err, "queue", q.name)
			pause(ctx, troublePause)
		}
	}
}

// pause waits for a time, or until ctx is done.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// purge deletes the chunks that are done. Everything up to the acknowledgement
// floor is.
func (q *queue) purge(ctx context.Context) error {
	done := q.finished.Load()
	if done == q.purged {
		return nil
	}
	info, err := q.consumer.Info(ctx)
	if err != nil {
		return err
	}
	if info.AckFloor.Stream > 0 {
		if err := q.stream.Purge(ctx, jetstream.WithPurgeSequence(info.AckFloor.Stream+1)); err != nil {
			return fmt.Errorf("purging %s: %w", q.name, err)
		}
	}
	if info.NumAckPending == 0 {
		q.purged = done
	}
	return nil
}
