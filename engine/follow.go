package engine

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// follower reads a log from some place on, every message once and in order.
//
// Nothing is acknowledged, so what the log had handed out when nobody waited for
// it any more, be it because the process was stopped for a while, does not come
// again by itself. The log counts what it hands out; a follower whose count is
// another has missed something, and a new one has to go on from where it was.
type follower struct {
	consumer jetstream.Consumer
	taken    uint64
	turn     context.Context // done when the consumer is gone with its server
}

// followBatch is how many messages are asked for at a time.
const followBatch = 64

var errMissed = errors.New("messages were handed out and did not arrive")

func newFollower(ctx context.Context, s *store, stream jetstream.Stream, from uint64) (*follower, error) {
	turn := s.turn()
	ctx, cancel := untilEither(ctx, turn)
	defer cancel()
	consumer, err := stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: from,
		AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, InactiveThreshold: 5 * time.Minute, Replicas: 1,
	})
	if turn.Err() != nil {
		return nil, errMissed
	}
	if err != nil {
		return nil, err
	}
	return &follower{consumer: consumer, turn: turn}, nil
}

// fetchWait is how long a log without anything new is listened to before it is asked
// again.
const fetchWait = 5 * time.Second

// read takes what comes within a while, or that many, and reports how many it
// were.
func (f *follower) read(ctx context.Context, most int, take func(seq uint64, data []byte) error) (n int, err error) {
	if f.turn.Err() != nil {
		return 0, errMissed
	}
	ctx, leave := untilEither(ctx, f.turn)
	defer leave()
	fetch, cancel := context.WithTimeout(ctx, fetchWait)
	defer cancel()
	batch, err := f.consumer.Fetch(most, jetstream.FetchContext(fetch))
	if err != nil {
		return 0, ignoreEnd(err)
	}
	for msg := range batch.Messages() {
		meta, err := msg.Metadata()
		if err != nil {
			return n, err
		}
		if meta.Sequence.Consumer != f.taken+1 {
			return n, errMissed
		}
		f.taken++
		n++
		if err := take(meta.Sequence.Stream, msg.Data()); err != nil {
			return n, err
		}
	}
	if err := ignoreEnd(batch.Error()); err != nil || n > 0 {
		return n, err
	}
	if f.turn.Err() != nil {
		return 0, errMissed
	}
	// Nothing came. It may be that nothing else comes to tell of a gap.
	info, err := f.consumer.Info(ctx)
	if err != nil {
		return 0, ignoreEnd(err)
	}
	if info.Delivered.Consumer > f.taken {
		return 0, errMissed
	}
	return 0, nil
}

// untilEither returns a context that ends with either of two.
func untilEither(ctx, other context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(other, cancel)
	return ctx, func() { stop(); cancel() }
}

// ignoreEnd forgives a Fetch that ran out of time.
func ignoreEnd(err error) error {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) || errors.Is(err, nats.ErrTimeout) {
		return nil
	}
	return err
}
