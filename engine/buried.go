package engine

import (
	"cmp"
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

// claimAge is for how long it is remembered what somebody had begun with a dead letter:
// longer than everything is down after a crash.
const claimAge = 30 * 24 * time.Hour

// claim makes sure that nobody else does something with a group of dead letters at
// the same time: who wins is decided by one write. It says who has it: when that engine
// ends in the middle, the next or another one finishes it.
func (e *Engine) claim(ctx context.Context, number uint64, what string) (release func(), err error) {
	key := claimPrefix + strconv.FormatUint(number, 10)
	_, err = e.control.claims.Create(ctx, key, []byte(what+" "+e.life))
	if tooLate(err) {
		return nil, ErrConflict
	} else if err != nil {
		return nil, storeError(err)
	}
	return func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
		defer cancel()
		if e.control.claims.Purge(ctx, key) != nil {
			e.background.Go(func() { e.forgetClaim(key) })
		}
	}, nil
}

// forgetClaim releases a claim that the log did not let go of in time.
func (e *Engine) forgetClaim(key string) {
	for e.hard.Err() == nil {
		ctx, cancel := context.WithTimeout(e.hard, storeTimeout)
		err := e.control.claims.Purge(ctx, key)
		cancel()
		if err == nil {
			return
		}
		pause(e.hard, troublePause)
	}
}

const (
	claimPrefix  = "letter."
	claimRetry   = "retry"
	claimDiscard = "discard"
)

// finishClaims finishes what engines had begun with dead letters that were killed in
// the middle.
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
			continue // somebody has just released it
		}
		what, life, _ := strings.Cut(string(entry.Value()), " ")
		if e.mayLive(life) {
			continue
		}
		// Of several engines that see this one goes on.
		if err := e.control.claims.Purge(ctx, key, jetstream.LastRevision(entry.Revision())); tooLate(err) {
			continue
		} else if err != nil {
			return storeError(err)
		}
		finish := e.RetryDeadLetters
		if what == claimDiscard {
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
	return e.withLetter(ctx, number, claimDiscard, func(ctx context.Context, c *chunk, why cause) error { return e.endAgain(ctx, number, c, why) })
}

// endAgain gives an end to dead letters that somebody had begun to have sent again,
// and had said so, when it failed.
//
// They may be on their queue all the same, said too late, and then what becomes of them
// there is their end. So the place that they would have is taken first, with a chunk
// that nothing is in: who comes there second finds it taken.
func (e *Engine) endAgain(ctx context.Context, number uint64, c *chunk, why cause) error {
	if w, err := e.stillQueued(ctx, c, why); err != nil || w.count == 0 {
		return err
	}
	name := letterName(c, number)
	if err := e.requeueAs(ctx, c, name, placeholder(c)); err != nil {
		return err
	}
	if there, err := e.requeued(ctx, c, name); err != nil {
		return err
	} else if there != nil && len(there.targets) > 0 {
		return errRevived
	}
	w, err := e.stillQueued(ctx, c, why)
	if err != nil || w.count == 0 {
		return err
	}
	return e.recorder.write(ctx, w)
}

// errRevived: dead letters that were to be discarded are on their queue.
var errRevived = fmt.Errorf("%w: it is being sent again", ErrConflict)

// stillQueued writes, without the log, the ends of those of a group of dead letters whose
// last verdict says that they are queued.
func (e *Engine) stillQueued(ctx context.Context, c *chunk, why cause) (*sectionWriter, error) {
	states, err := e.ledger.settled(ctx, c)
	if err != nil {
		return nil, err
	}
	w := &sectionWriter{}
	w.begin(c, !e.store.embedded())
	for i := range c.targets {
		t := c.targets[i] // a copy
		if last, known := states[t.number]; known && last.state == Queued && last.round == t.round {
			// In the round of what could come to a queue after all, which finds it ended.
			t.round++
			w.add(c, &t, time.Now(), &decision{state: why.state, status: why.status, reason: why.reason}, "", false)
		}
	}
	return w, nil
}

// placeholder is a chunk like another that nothing is in.
func placeholder(c *chunk) []byte {
	nothing := *c
	nothing.targets = nil
	return nothing.append(nil)
}

// letterName is the name under which a group of dead letters comes to its queue.
func letterName(c *chunk, number uint64) string { return fmt.Sprintf("%s.letter-%d", c.unit, number) }

// withLetter does something with a group of dead letters, which is gone then.
func (e *Engine) withLetter(ctx context.Context, number uint64, what string, do func(context.Context, *chunk, cause) error) error {
	if _, _, _, err := e.letter(ctx, number); err != nil {
		return err
	}
	ctx, cancel := toItsEnd(ctx)
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
		done := do(ctx, c, why)
		if done != nil && done != errRevived {
			return done
		}
		return cmp.Or(deleteMsg(ctx, stream, number), done)
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
	name := letterName(c, number)
	if err := e.requeueAs(ctx, c, name, c.append(nil)); err != nil {
		return err
	}
	there, err := e.requeued(ctx, c, name)
	if err == nil && there != nil && len(there.targets) == 0 {
		err = ErrConflict // whoever had begun to discard them was killed; see endAgain
	}
	return err
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
