package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
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

// DeadLetters is some of an app's dead letters: those of one chunk that ended in the
// same way.
type DeadLetters struct {
	// Number names them for RetryDeadLetters and DiscardDeadLetters.
	Number uint64
	App    string
	// BuriedAt is when they ended: State, and what APNs had said last, if it had
	// said anything.
	BuriedAt time.Time
	State    State
	Status   int
	Reason   apns.Reason
	Lane     Lane
	Batch    BatchID
	IDs      []apns.ID
	// DeviceTokens belong to IDs.
	DeviceTokens []string
	Environment  apns.Environment
}

// cause is why a notification is a dead letter.
type cause struct {
	state  State
	status int
	reason apns.Reason
}

type buriedTarget struct {
	target
	cause
}

// byCause groups dead letters that have the same cause.
func byCause(list []buriedTarget) map[cause][]target {
	groups := map[cause][]target{}
	for _, b := range list {
		groups[b.cause] = append(groups[b.cause], b.target)
	}
	return groups
}

// Header fields of a dead letter.
const (
	buriedState  = "Aviso-State"
	buriedStatus = "Aviso-Status"
	buriedReason = "Aviso-Reason"
)

// bury writes dead letters down.
func (e *Engine) bury(ctx context.Context, c *chunk, why cause) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	header := nats.Header{buriedState: {why.state.String()}, buriedStatus: {strconv.Itoa(why.status)}, buriedReason: {string(why.reason)}}
	_, err := e.store.putMsg(ctx, &nats.Msg{Subject: subjectBuried + c.app, Header: header, Data: c.append(nil)})
	return err
}

// causeOf reads what bury wrote.
func causeOf(h nats.Header) (why cause) {
	why.state.UnmarshalText([]byte(h.Get(buriedState))) // zero if it is not there
	why.status, _ = strconv.Atoi(h.Get(buriedStatus))
	why.reason = apns.Reason(h.Get(buriedReason))
	return why
}

// DeadLetters lists what is buried after a number, oldest first, at most limit
// groups, of an app and with one of Apple's reasons; empty means all.
func (e *Engine) DeadLetters(ctx context.Context, app string, reason apns.Reason, after uint64, limit int) (list []DeadLetters, err error) {
	stream, err := e.store.Stream(ctx, streamBuried)
	if err != nil {
		return nil, storeError(err)
	}
	subject := appSubject(subjectBuried, app)
	if subject == "" {
		return nil, nil
	}
	for seq := after + 1; len(list) < limit; {
		msg, err := stream.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(subject))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			break
		} else if err != nil {
			return nil, storeError(err)
		}
		seq = msg.Sequence + 1
		c, err := parseChunk(msg.Data)
		if err != nil {
			e.log.Error("a dead letter cannot be read", "sequence", msg.Sequence, "error", err)
			continue
		}
		if why := causeOf(msg.Header); reason == "" || why.reason == reason {
			list = append(list, newDeadLetters(msg.Sequence, msg.Time, why, c))
		}
	}
	return list, nil
}

func newDeadLetters(number uint64, at time.Time, why cause, c *chunk) DeadLetters {
	d := DeadLetters{
		Number: number, App: c.app, BuriedAt: at.UTC(), State: why.state, Status: why.status, Reason: why.reason,
		Lane: c.lane, Batch: c.batchID(), Environment: c.environment,
	}
	for i := range c.targets {
		d.IDs = append(d.IDs, numbered(c.unit, c.targets[i].number))
	}
	d.DeviceTokens = c.hexTokens(c.allTargets())
	return d
}

// ErrConflict: somebody else is changing the same thing at this moment, and what
// they do is done.
var ErrConflict = errors.New("somebody else is changing it at this moment")

// claimAge is for how long whoever has begun to do something with a dead letter is
// believed to be alive: longer than it can take, and not for ever, since a process
// can end in the middle.
const claimAge = 2 * time.Minute

// claim makes sure that nobody else does something with a group of dead letters at
// the same time: who wins is decided by one write. Release it if nothing was done.
func (e *Engine) claim(ctx context.Context, number uint64, what string) (release func(), err error) {
	key := claimPrefix + strconv.FormatUint(number, 10)
	_, err = e.control.claims.Create(ctx, key, []byte(what))
	if errors.Is(err, jetstream.ErrKeyExists) {
		return nil, ErrConflict
	} else if err != nil {
		return nil, storeError(err)
	}
	return func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
		defer cancel()
		e.control.claims.Purge(ctx, key) // or it is forgotten after claimAge
	}, nil
}

const (
	claimPrefix  = "letter."
	claimRetry   = "retry"
	claimDiscard = "discard"
)

// finishClaims finishes what an engine had begun with dead letters that was killed in
// the middle. Embedded, nobody else can be at it.
func (e *Engine) finishClaims(ctx context.Context) error {
	keys, err := e.control.claims.Keys(ctx)
	if errors.Is(err, jetstream.ErrNoKeysFound) {
		return nil
	} else if err != nil {
		return storeError(err)
	}
	for _, key := range keys {
		number, err := strconv.ParseUint(strings.TrimPrefix(key, claimPrefix), 10, 64)
		entry, getErr := e.control.claims.Get(ctx, key)
		if err != nil || getErr != nil {
			continue // it is forgotten after claimAge
		}
		if err := e.control.claims.Purge(ctx, key); err != nil {
			return storeError(err)
		}
		finish := e.RetryDeadLetters
		if string(entry.Value()) == claimDiscard {
			finish = e.DiscardDeadLetters
		}
		if err := finish(ctx, number); err != nil && !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrConflict) {
			return err
		}
	}
	return nil
}

// RetryDeadLetters has a group of dead letters sent again, with a new lifetime
// but not beyond an expiration of their own, and without waiting for those it
// stood with.
// ErrNotFound means that there is no such group any more; ErrConflict that somebody
// else is retrying or discarding it.
func (e *Engine) RetryDeadLetters(ctx context.Context, number uint64) error {
	return e.withLetter(ctx, number, claimRetry, func(ctx context.Context, c *chunk, why cause) error { return e.revive(ctx, number, c, why) })
}

// DiscardDeadLetters forgets a group of dead letters. Errors are those of
// RetryDeadLetters.
func (e *Engine) DiscardDeadLetters(ctx context.Context, number uint64) error {
	return e.withLetter(ctx, number, claimDiscard, e.endAgain)
}

// endAgain gives an end to dead letters that somebody had begun to have sent again,
// and had said so, when it failed.
func (e *Engine) endAgain(ctx context.Context, c *chunk, why cause) error {
	states, err := e.ledger.settled(ctx, c)
	if err != nil {
		return err
	}
	var w sectionWriter
	for i := range c.targets {
		t := &c.targets[i]
		if last, known := states[t.number]; !known || last.state != Queued || last.round != t.round {
			continue
		}
		if w.count == 0 {
			w.begin(c, !e.store.embedded())
		}
		// In the round of what may be on a queue all the same, which finds it ended.
		t.round++
		w.add(c, t, time.Now(), &decision{state: why.state, status: why.status, reason: why.reason}, "", false)
	}
	if w.count == 0 {
		return nil
	}
	return e.recorder.write(ctx, &w)
}

// withLetter does something with a group of dead letters, which is gone then.
func (e *Engine) withLetter(ctx context.Context, number uint64, what string, do func(context.Context, *chunk, cause) error) error {
	if _, _, _, err := e.letter(ctx, number); err != nil {
		return err
	}
	// Once begun it goes on to its end, for which it has a time of its own.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), claimAge/2)
	defer cancel()
	release, err := e.claim(ctx, number, what)
	if err != nil {
		return err
	}
	err = func() error {
		// Whoever had the claim before may have done it.
		stream, c, why, err := e.letter(ctx, number)
		if err != nil {
			return err
		}
		if err := do(ctx, c, why); err != nil {
			return err
		}
		return deleteMsg(ctx, stream, number)
	}()
	release()
	return err
}

// revive puts dead letters on their queue again. It can be repeated: whoever died in
// the middle left a verdict that says so, a chunk on the queue, or both.
func (e *Engine) revive(ctx context.Context, number uint64, c *chunk, why cause) error {
	// They get a new lifetime by being scheduled for now.
	now := time.Now()
	for i := range c.templates {
		c.templates[i].sendAt = now.UnixMilli()
	}
	states, err := e.ledger.settled(ctx, c)
	if err != nil {
		return err
	}
	// One that was sent again since, and whatever became of it, is left alone.
	c.targets = slices.DeleteFunc(c.targets, func(t target) bool {
		last, known := states[t.number]
		return known && (last.round > t.round || last.state != Rejected && last.state != Expired && last.state != Queued)
	})
	if len(c.targets) == 0 {
		return nil
	}
	var w sectionWriter
	w.begin(c, !e.store.embedded())
	for i := range c.targets {
		t := &c.targets[i]
		last, known := states[t.number]
		if !known {
			last.state = why.state // its verdict is older than those that are kept
		}
		if last.state.Final() {
			// The verdict says that it is queued again, and in place of attempts as
			// what it had ended.
			t.attempts = uint32(last.state)
			w.add(c, t, now, &decision{state: Queued}, "", false)
		}
		t.attempts = 0
		t.round++
	}
	if w.count > 0 {
		if err := e.recorder.write(ctx, &w); err != nil {
			return err
		}
	}
	return e.requeueAs(ctx, c, fmt.Sprintf("%s.letter-%d", c.unit, number), c.append(nil))
}

// letter reads a group of dead letters.
func (e *Engine) letter(ctx context.Context, number uint64) (jetstream.Stream, *chunk, cause, error) {
	stream, err := e.store.Stream(ctx, streamBuried)
	if err != nil {
		return nil, nil, cause{}, storeError(err)
	}
	msg, err := stream.GetMsg(ctx, number)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil, cause{}, ErrNotFound
	} else if err != nil {
		return nil, nil, cause{}, storeError(err)
	}
	c, err := parseChunk(msg.Data)
	return stream, c, causeOf(msg.Header), err
}
