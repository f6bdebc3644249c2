package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"aviso.example/apns"
)

// Dead letters are notifications that ended although they could have been
// accepted, had somebody put something right in time: topic or environment were
// wrong, or APNs did not take them within Config.Lifetime. They are kept with
// payload and device token until somebody has them sent again or discards them.

const buriedAge = 30 * 24 * time.Hour

func (e *Engine) openBuried(ctx context.Context) error {
	_, err := e.store.stream(ctx, jetstream.StreamConfig{
		Name: streamBuried, Subjects: []string{subjectBuried + "*"}, Retention: jetstream.LimitsPolicy,
		Discard: jetstream.DiscardOld, MaxAge: buriedAge, AllowDirect: true,
	})
	return err
}

// DeadLetters is some of an app's dead letters: those of one chunk.
type DeadLetters struct {
	// Number names them for RetryDeadLetters and DiscardDeadLetters.
	Number uint64
	App    string
	// BuriedAt is when they ended.
	BuriedAt time.Time
	Lane     Lane
	Batch    BatchID
	IDs      []apns.ID
	// DeviceTokens belong to IDs.
	DeviceTokens []string
	Environment  apns.Environment
}

// DeadLetters lists what is buried after a number, oldest first, at most limit
// groups. An empty app means all.
func (e *Engine) DeadLetters(ctx context.Context, app string, after uint64, limit int) (list []DeadLetters, err error) {
	err = e.eachBuried(ctx, app, after, func(seq uint64, at time.Time, _ string, c *chunk) (bool, error) {
		d := DeadLetters{Number: seq, App: c.app, BuriedAt: at.UTC(), Lane: c.lane, Batch: c.batchID(), Environment: c.environment, DeviceTokens: c.hexTokens()}
		for i := range c.targets {
			d.IDs = append(d.IDs, numbered(c.unit, c.targets[i].number))
		}
		list = append(list, d)
		return len(list) < limit, nil
	})
	return list, err
}

func (e *Engine) eachBuried(ctx context.Context, app string, after uint64, each func(seq uint64, at time.Time, app string, c *chunk) (bool, error)) error {
	stream, err := e.store.Stream(ctx, streamBuried)
	if err != nil {
		return storeError(err)
	}
	subject := appSubject(subjectBuried, app)
	if subject == "" {
		return nil
	}
	for seq := after + 1; ; {
		msg, err := stream.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(subject))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil
		} else if err != nil {
			return storeError(err)
		}
		seq = msg.Sequence + 1
		c, err := parseChunk(msg.Data)
		if err != nil {
			e.log.Error("a dead letter cannot be read", "sequence", msg.Sequence, "error", err)
			continue
		}
		if more, err := each(msg.Sequence, msg.Time, c.app, c); err != nil || !more {
			return err
		}
	}
}

// RetryDeadLetters has a group of dead letters sent again, with a new lifetime
// but not beyond an expiration of their own, and without waiting for those it
// stood with.
func (e *Engine) RetryDeadLetters(ctx context.Context, number uint64) error {
	stream, c, err := e.buried(ctx, number)
	if err != nil {
		return err
	}
	// They get a new lifetime by being scheduled for now.
	now := time.Now()
	for i := range c.templates {
		c.templates[i].sendAt = now.UnixMilli()
	}
	states, err := e.ledger.settled(ctx, c)
	if err != nil {
		return err
	}
	// One that has been accepted since, by another copy, stays accepted.
	c.targets = slices.DeleteFunc(c.targets, func(t target) bool {
		state := states[t.number].state
		return state != Rejected && state != Expired && state != Queued
	})
	if len(c.targets) == 0 {
		return storeError(stream.DeleteMsg(ctx, number))
	}
	var w sectionWriter
	w.begin(c, false)
	for i := range c.targets {
		t := &c.targets[i]
		// The verdict says that it is queued again, and in place of attempts as
		// what it had ended.
		last := states[t.number]
		t.attempts, t.round = uint32(last.state), last.round
		w.add(c, t, now, &decision{state: Queued}, "", false)
		t.attempts, t.round = 0, last.round+1
	}
	if err := e.recorder.write(ctx, &w); err != nil {
		return err
	}
	q, err := e.returnTo(ctx, c)
	if err != nil {
		return err
	}
	if err := e.put(ctx, q, c.append(nil), jetstream.WithMsgID(fmt.Sprintf("buried.%d", number))); err != nil {
		return err
	}
	return storeError(stream.DeleteMsg(ctx, number))
}

// DiscardDeadLetters forgets a group of dead letters.
func (e *Engine) DiscardDeadLetters(ctx context.Context, number uint64) error {
	stream, _, err := e.buried(ctx, number)
	if err != nil {
		return err
	}
	return storeError(stream.DeleteMsg(ctx, number))
}

func (e *Engine) buried(ctx context.Context, number uint64) (jetstream.Stream, *chunk, error) {
	stream, err := e.store.Stream(ctx, streamBuried)
	if err != nil {
		return nil, nil, storeError(err)
	}
	msg, err := stream.GetMsg(ctx, number)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil, ErrNotFound
	} else if err != nil {
		return nil, nil, storeError(err)
	}
	c, err := parseChunk(msg.Data)
	return stream, c, err
}
