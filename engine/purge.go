package engine

import (
	"context"
	"fmt"
	"maps"

	"github.com/nats-io/nats.go/jetstream"
)

// giveBack has a chunk come again.
func (q *queue) giveBack(seq uint64, tell func()) {
	q.backMu.Lock()
	defer q.backMu.Unlock()
	if q.givenBack == nil {
		q.givenBack = map[uint64]bool{}
	}
	q.givenBack[seq] = true
	if q.purging {
		q.untold = append(q.untold, tell)
		return
	}
	tell()
}

// beginPurge reports whether nothing is to come again, and has it stay so until
// endPurge. done is up to where all is.
func (q *queue) beginPurge(done uint64) bool {
	q.backMu.Lock()
	defer q.backMu.Unlock()
	// On a cluster some may have come to another engine, and be done.
	maps.DeleteFunc(q.givenBack, func(seq uint64, _ bool) bool { return seq <= done })
	q.purging = len(q.givenBack) == 0
	return q.purging
}

func (q *queue) endPurge() {
	q.backMu.Lock()
	defer q.backMu.Unlock()
	q.purging = false
	for _, tell := range q.untold {
		tell()
	}
	q.untold = nil
}

// cameBack takes note that a chunk has come.
func (q *queue) cameBack(seq uint64) {
	q.backMu.Lock()
	defer q.backMu.Unlock()
	delete(q.givenBack, seq)
}

// purge deletes the chunks that are done. Everything up to the acknowledgement
// floor is.
//
// Not while something is to come again: JetStream forgets at a purge what it was about
// to deliver another time (consumer.purge, seen with 2.15.2), and thinks of it when its
// lease is over, which is half a minute in which it waits for nothing. On a cluster,
// where others give back too, that is put up with: it is what a lease can cost there.
func (q *queue) purge(ctx context.Context) error {
	done := q.finished.Load()
	if done == q.purged {
		return nil
	}
	info, err := q.consumer.Info(ctx)
	if err != nil {
		return err
	}
	if !q.beginPurge(info.AckFloor.Stream) {
		return nil
	}
	defer q.endPurge()
	if info.AckFloor.Stream > 0 {
		if err := q.stream.Purge(ctx, jetstream.WithPurgeSequence(info.AckFloor.Stream+1)); err != nil && !isEnding(err) {
			return fmt.Errorf("purging %s: %w", q.name, err)
		}
	}
	if info.NumAckPending == 0 {
		q.purged = done
	}
	return nil
}
