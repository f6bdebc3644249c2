package engine

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
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
	// may have worked on those before. Of those up to doubtful somebody has, who did
	// not come to an orderly end.
	known, doubtful atomic.Uint64

	// givenBack are chunks that are to come again.
	backMu    sync.Mutex
	givenBack map[uint64]bool
	purging   bool     // meanwhile it is not said that they are
	untold    []func() // but after it

	// writing keeps the queue from being dropped while something is written to it.
	writing sync.RWMutex
	dropped bool

	written  atomic.Uint64 // chunks that this engine has put on it
	swept    atomic.Uint64 // the last chunk of which something was ended where it waits
	leased   atomic.Int64  // chunks taken from it and not yet done
	finished atomic.Uint64 // chunks done; purging is due when it has changed
	purged   uint64        // finished at the last purge; the janitor's
	sealed   time.Time     // on a cluster, when it was seen to take nothing any more; the janitor's

	// What waits, and that nothing did when so many had been written; the
	// sweeper's.
	waits   waitList
	empty   bool
	emptyAt uint64

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
	if q.stream, err = e.openQueue(ctx, q); err != nil {
		return nil, storeError(err)
	}
	if q.consumer, err = e.attach(ctx, e.store, q, q.stream); err != nil {
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

// openQueue opens the stream of a queue.
func (e *Engine) openQueue(ctx context.Context, q *queue) (jetstream.Stream, error) {
	if !e.store.embedded() && !q.batch.IsZero() {
		stream, err := e.store.Stream(ctx, q.name)
		if !errors.Is(err, jetstream.ErrStreamNotFound) {
			return stream, err // it stays as it is: another engine may be sealing it
		}
	}
	return e.store.stream(ctx, jetstream.StreamConfig{
		Name: q.name, Subjects: []string{q.subject, q.subject + ".>"},
		// A queue that deletes what is acknowledged writes, and syncs, for every
		// acknowledgement; one that is purged up to the last of them does not.
		Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew,
	})
}

// maxAckPending bounds the chunks that all engines together have leased of one
// queue.
const maxAckPending = 4096

// attach opens the consumer of a queue, and takes note of what may have been worked
// on before.
func (e *Engine) attach(ctx context.Context, js jetstream.JetStream, q *queue, stream jetstream.Stream) (jetstream.Consumer, error) {
	old, err := stream.Consumer(ctx, consumerName)
	if err == nil && e.crashed {
		q.doubtful.Store(old.CachedInfo().Delivered.Stream)
	}
	q.known.Store(stream.CachedInfo().State.LastSeq)
	return e.openConsumer(ctx, js, stream, "")
}

// openConsumer opens the consumer that leases the chunks of a stream, or those with
// a subject.
func (e *Engine) openConsumer(ctx context.Context, js jetstream.JetStream, stream jetstream.Stream, subject string) (consumer jetstream.Consumer, err error) {
	cfg := jetstream.ConsumerConfig{
		Durable: consumerName, AckPolicy: jetstream.AckExplicitPolicy, FilterSubject: subject,
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
			info := old.CachedInfo()
			done, sure := e.done(info)
			if sure && info.NumAckPending == 0 && info.Delivered.Stream == done {
				return old, nil
			}
			if stream.CachedInfo().Config.Retention == jetstream.LimitsPolicy {
				cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, done+1
			}
			if err := stream.DeleteConsumer(ctx, consumerName); err != nil {
				return nil, err
			}
		}
	}
	name := stream.CachedInfo().Config.Name
	create := func(ctx context.Context) (err error) {
		consumer, err = js.CreateOrUpdateConsumer(ctx, name, cfg)
		return err
	}
	err = persist(ctx, create)
	if isCode(err, jetstream.JSErrCodeConsumerCreate) && e.store.embedded() {
		// What the server has noted of it cannot be read.
		e.tellPlaceLost(name)
		if err := os.RemoveAll(filepath.Join(streamsFolder(e.store.dir), name, "obs", consumerName)); err != nil {
			return nil, err
		}
		err = persist(ctx, create)
	}
	return consumer, err
}

// done is up to where a consumer is done, and whether the log's server has that right:
// its note has no sum. After a crash nobody else knows.
func (e *Engine) done(info *jetstream.ConsumerInfo) (floor uint64, sure bool) {
	floor = info.AckFloor.Stream
	if noted := e.doneBefore.Load(); noted != nil {
		if done, known := (*noted)[info.Stream]; known && done != floor {
			e.tellPlaceLost(info.Stream)
			return done, false
		}
	}
	return floor, true
}

// tellPlaceLost says that it is not known how far a stream was done.
func (e *Engine) tellPlaceLost(stream string) {
	e.log.Error("the place in a part of the log is damaged; it is read again from the beginning, and verdicts tell what is done", "stream", stream)
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
		if _, err := e.queueFor(ctx, p, batch); err != nil && (batch.IsZero() || !isGone(err)) {
			return err
		}
	}
	return streams.Err()
}

// findQueuesInTime is findQueues for the start, which a cluster that has much to do must
// not keep from going on.
func (e *Engine) findQueuesInTime(ctx context.Context) error {
	for end := time.Now().Add(patience); ; {
		err := e.findQueues(ctx)
		if err == nil || !errors.Is(storeError(err), ErrStore) || ctx.Err() != nil || time.Now().After(end) {
			return err
		}
		pause(ctx, staleRead)
	}
}

// errDropped: the queue went while somebody was about to write to it.
var errDropped = errors.New("the queue is gone")

// put writes a chunk to a queue, for the first time.
func (e *Engine) put(ctx context.Context, q *queue, data []byte) error {
	return e.orOwn(ctx, q, func(q *queue) error { return e.putAs(ctx, q, "", data) })
}

// orOwn writes to a queue or, when that is a batch's and takes nothing any more, to its
// app's own.
func (e *Engine) orOwn(ctx context.Context, q *queue, write func(*queue) error) error {
	err := write(q)
	if q.batch.IsZero() || !isEnding(err) {
		return err
	}
	if q, err = e.queueFor(ctx, q.path, BatchID{}); err != nil {
		return err
	}
	return write(q)
}

// putAs writes a chunk with a name to a queue, or to the one that takes its place if it
// has just been dropped.
func (e *Engine) putAs(ctx context.Context, q *queue, name string, data []byte, options ...jetstream.PublishOpt) error {
	err := q.put(ctx, e.store, q.subject+name, data, options...)
	e.sweeper.look()
	if errors.Is(err, errDropped) {
		if q, err = e.queueFor(ctx, q.path, q.batch); err == nil {
			err = q.put(ctx, e.store, q.subject+name, data, options...)
		}
	}
	return err
}

// isEnding says that a queue takes nothing more, because it is about to be dropped or
// has just been.
func isEnding(err error) bool {
	return isCode(err, streamSealed) || errors.Is(err, jetstream.ErrNoStreamResponse) || errors.Is(err, jetstream.ErrStreamNotFound)
}

func (e *Engine) isSealed(ctx context.Context, q *queue) bool {
	stream, err := q.stream.Info(ctx)
	return err == nil && stream.Config.Sealed
}

const streamSealed jetstream.ErrorCode = 10109

func (q *queue) put(ctx context.Context, s *store, subject string, data []byte, options ...jetstream.PublishOpt) error {
	q.writing.RLock()
	defer q.writing.RUnlock()
	if q.dropped {
		return errDropped
	}
	_, err := s.put(ctx, subject, data, options...)
	q.written.Add(1)
	return err
}

// move puts a chunk that was somewhere else onto a queue, and is how everything gets
// there that does not come from a caller: what was due, what was called dead and is
// sent again, what was set aside or was in the way of others. A process can end
// between this and the removal of the chunk from where it was, and then it does so
// again; whatever stands on the queue under the same subject is the same, bit for
// bit, and is not put there twice.
//
// What has left the queue by then was settled, and the copy finds that on the
// ledger: what comes this way asks, which its subject tells (lease.first).
func (e *Engine) move(ctx context.Context, q *queue, c *chunk) error {
	data := c.append(nil)
	return e.moveAs(ctx, q, sumName(c, data), data)
}

// sumName is the name of a chunk that is told by its bytes.
func sumName(c *chunk, data []byte) string {
	sum := sha256.Sum256(data)
	return fmt.Sprintf("%s.%x", c.unit, sum[:8])
}

// moveAs is move for a chunk with a name of its own.
func (e *Engine) moveAs(ctx context.Context, q *queue, name string, data []byte) error {
	err := e.putAs(ctx, q, "."+name, data, jetstream.WithExpectLastSequencePerSubject(0))
	if tooLate(err) {
		return nil // it is there
	}
	return err
}

// requeue moves a chunk that is on no queue to the one that it belongs to: the
// batch's own if it still has one.
func (e *Engine) requeue(ctx context.Context, c *chunk) error {
	data := c.append(nil)
	return e.requeueAs(ctx, c, sumName(c, data), data)
}

func (e *Engine) requeueAs(ctx context.Context, c *chunk, name string, data []byte) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	q := e.knownQueue(c.path, c.batchID())
	if q == nil {
		var err error
		if q, err = e.queueFor(ctx, c.path, BatchID{}); err != nil {
			return err
		}
	}
	return e.orOwn(ctx, q, func(q *queue) error { return e.moveAs(ctx, q, name, data) })
}

// requeued reads what stands on a queue under a name that requeueAs gave it; nil if
// nothing does.
func (e *Engine) requeued(ctx context.Context, c *chunk, name string) (*chunk, error) {
	for _, batch := range []BatchID{c.batchID(), {}} {
		q := e.knownQueue(c.path, batch)
		if q == nil {
			continue
		}
		msg, err := q.stream.GetLastMsgForSubject(ctx, q.subject+"."+name)
		if err == nil {
			return parseChunk(msg.Data)
		} else if !errors.Is(err, jetstream.ErrMsgNotFound) && !errors.Is(err, jetstream.ErrStreamNotFound) {
			return nil, storeError(err)
		}
	}
	return nil, nil
}

// tooLate says that something was not written because somebody else had written it
// before, or on a cluster, was writing it at that moment.
func tooLate(err error) bool {
	return isCode(err, jetstream.JSErrCodeStreamWrongLastSequence, jetstream.JSErrCodeStreamWrongLastSequenceConstant) ||
		errors.Is(err, jetstream.ErrKeyExists)
}

// dropIfEmpty deletes the queue of a batch that is done. On a cluster another engine
// may be about to write something to it, a retry that is due for one, and nobody can
// keep it from that but the log: so the queue is sealed first, and deleted if it is
// still empty when whatever was being written then has been written.
func (e *Engine) dropIfEmpty(ctx context.Context, q *queue) error {
	q.writing.Lock()
	defer q.writing.Unlock()
	info, err := q.consumer.Info(ctx)
	if err != nil {
		return err
	}
	stream, err := q.stream.Info(ctx)
	if err != nil {
		return err
	}
	// What has just been written is not pending yet.
	if info.NumPending > 0 || info.NumAckPending > 0 || stream.State.Msgs > 0 && stream.State.LastSeq > info.AckFloor.Stream {
		return nil
	}
	if cfg := stream.Config; !e.store.embedded() {
		if !cfg.Sealed {
			cfg.Sealed = true
			_, err := e.store.UpdateStream(ctx, cfg)
			if err != nil && e.isSealed(ctx, q) {
				err = nil // another engine did so at the same moment
			}
			return err
		}
		if q.sealed.IsZero() {
			q.sealed = time.Now()
		}
		if time.Since(q.sealed) < storeTimeout {
			return nil
		}
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
	// troublePause follows an error of the log.
	troublePause = 500 * time.Millisecond
)

// On a cluster, what an engine gives back is anybody's again, and whoever waits at a
// gate with one chunk must not leave it lying: it may be over, and nobody but its
// holder ends it. So such an engine goes on taking some.
const (
	takesAtOnce  = 4
	takePatience = 250 * time.Millisecond
)

// source sends what is in a queue, until ctx is done.
func (e *Engine) source(ctx context.Context, q *queue) {
	var takes sync.WaitGroup
	defer takes.Wait()
	slots := make(chan struct{}, takesAtOnce)
	slots <- struct{}{} // for the next chunk, before it is asked for: nobody renews it until it is taken
	e.gates.awaitPart(ctx, q)
	e.read(ctx, q.name, func(msg *nats.Msg, since time.Time) {
		if e.store.embedded() {
			e.take(ctx, q, msg, since)
			return
		}
		taken := make(chan struct{})
		takes.Go(func() {
			e.take(ctx, q, msg, since)
			close(taken)
			<-slots
		})
		wait, stop := context.WithTimeout(ctx, takePatience)
		defer stop()
		select {
		case <-taken:
		case <-wait.Done():
		}
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
		}
		e.gates.awaitPart(ctx, q)
	})
	if ctx.Err() == nil {
		// A batch's queue goes when the batch is done; on a cluster another
		// engine may have seen that first.
		e.forgetQueue(q)
	}
}

// read takes one message after the other of a stream's consumer, until ctx is done
// or there is no such consumer any more.
func (e *Engine) read(ctx context.Context, stream string, take func(msg *nats.Msg, since time.Time)) {
	p, err := e.puller(stream, consumerName)
	if err != nil {
		e.complain(ctx, "a queue cannot be read", err, "queue", stream)
		return
	}
	defer p.close()
	for ctx.Err() == nil {
		msg, since, err := p.next(ctx)
		switch {
		case err == nil:
			take(msg, since)
		case errors.Is(err, errConsumerGone):
			return
		case ctx.Err() == nil:
			// The servers of a cluster do not all know at once that a queue is gone.
			pause(ctx, troublePause)
			if errors.Is(err, nats.ErrNoResponders) && e.gone(ctx, stream) {
				return
			}
			e.complain(ctx, "a queue cannot be read", err, "queue", stream)
		}
	}
}

// gone reports whether a stream, or its consumer, is certainly not there.
func (e *Engine) gone(ctx context.Context, stream string) bool {
	_, err := e.store.Consumer(ctx, stream, consumerName)
	return isGone(err)
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
