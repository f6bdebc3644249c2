package engine

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A chunk that cannot be read is damaged, or of a later version that somebody went
// back from. On its queue it would keep everything behind it from being purged, so
// it is set aside: for a person to look at, and for a version that can read it,
// which takes it back when it starts.

const (
	streamAside  = streamPrefix + "ASIDE"
	subjectAside = "aviso.aside"

	// asideAge is how long they are kept.
	asideAge = 30 * 24 * time.Hour
	// asidePause is before another attempt to set one aside.
	asidePause = time.Minute
	// asideID begins the message ids of those that were taken back.
	asideID = "aside."
)

func (e *Engine) openAside(ctx context.Context) (err error) {
	e.aside, err = e.store.stream(ctx, jetstream.StreamConfig{
		Name: streamAside, Subjects: []string{subjectAside}, Retention: jetstream.LimitsPolicy,
		Discard: jetstream.DiscardOld, MaxAge: asideAge, AllowDirect: true,
	})
	return err
}

// setAside moves a message that cannot be read out of the way, and reports whether
// it left the log that it came from.
func (e *Engine) setAside(ctx context.Context, from string, msg *nats.Msg, cause error) bool {
	place := uint64(0)
	if meta, err := msg.Metadata(); err == nil {
		place = meta.Sequence.Stream
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	seq, err := e.store.put(ctx, subjectAside, msg.Data, jetstream.WithMsgID(contentID(msg.Data)))
	if err != nil {
		e.log.Warn("a chunk that cannot be read cannot be set aside either", "from", from, "sequence", place, "error", err)
		msg.NakWithDelay(asidePause)
		return false
	}
	e.log.Error("a chunk cannot be read and is set aside; its notifications are not sent", "from", from, "sequence", place, "aside", seq, "error", cause)
	return msg.Ack() == nil
}

// contentID names a chunk by what is in it: a crash can have the same one moved
// twice, and no two have the same notifications in the same state.
func contentID(data []byte) string {
	return fmt.Sprintf("%s%x", asideID, sha256.Sum256(data))
}

// takeBack puts what this version can read back on its queue.
func (e *Engine) takeBack(ctx context.Context) {
	for seq := uint64(1); ctx.Err() == nil; {
		next, err := e.takeBackFrom(ctx, seq)
		switch {
		case err == nil && next == 0:
			return
		case err == nil:
			seq = next
		case ctx.Err() == nil:
			e.log.Warn("what was set aside cannot be taken back", "error", err)
			pause(ctx, troublePause)
		}
	}
}

// takeBackFrom takes the first one from a sequence on, and returns where to go on,
// or 0 at the end.
func (e *Engine) takeBackFrom(ctx context.Context, seq uint64) (next uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	msg, err := e.aside.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(subjectAside))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0, nil
	} else if err != nil {
		return 0, storeError(err)
	}
	c, err := parseChunk(msg.Data)
	if err != nil {
		return msg.Sequence + 1, nil // not this version either
	}
	// The name is its own: where it was before, it may stand with another.
	if err := e.requeueAs(ctx, c, fmt.Sprintf("%s.aside-%d", c.unit, msg.Sequence), msg.Data); err != nil {
		return 0, err
	}
	if err := deleteMsg(ctx, e.aside, msg.Sequence); err != nil {
		return 0, err
	}
	e.log.Info("a chunk that was set aside is on its queue again", "app", c.app, "environment", c.environment, "notifications", len(c.targets))
	return msg.Sequence + 1, nil
}

// countAside is how many chunks lie aside.
func (e *Engine) countAside(ctx context.Context) (int64, error) {
	info, err := e.aside.Info(ctx)
	if err != nil {
		return 0, storeError(err)
	}
	return int64(info.State.Msgs), nil
}
