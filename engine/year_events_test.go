package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"aviso.example/apns"
	"aviso.example/internal/proto"
	"aviso.example/sim"
)

// yearKinds is what happens in this world, and how often in a day.
var yearKinds = []struct {
	name   string
	perDay float64
	do     func(*year, *rand.Rand)
	// awake: it is people's doing, who sleep at night.
	awake bool
	// free: it happens also while no engine runs.
	free bool
}{
	{"a message", 60, (*year).aMessage, true, false},
	{"a message for later", 10, (*year).aMessageForLater, true, false},
	{"a campaign", 3, (*year).aCampaign, true, false},
	{"somebody calls a message back", 4, (*year).callBack, true, false},
	{"somebody steers a campaign", 5, (*year).steerCampaign, true, false},
	{"somebody pauses an app", 2, (*year).pauseApp, true, false},
	{"a key is replaced", 0.7, (*year).replaceKey, true, false},
	{"a wrong key is installed", 1, (*year).wrongKey, true, false},
	{"an app is removed", 0.4, (*year).removeApp, true, false},
	{"dead letters are looked at", 3, (*year).lookAtDeadLetters, true, false},
	{"devices die", 3, (*year).devicesDie, false, true},
	{"topics are refused", 3, (*year).refuseTopics, false, true},
	{"APNs has trouble", 4, (*year).trouble, false, true},
	{"the disk is full", 0.7, (*year).diskFull, false, false},
	{"the engine is killed", 3, (*year).killSometime, false, false},
	{"the engine is killed while something scheduled is under way", 2.5, (*year).killWhenDue, false, false},
	{"the engine is stopped", 1.5, (*year).stopAndStart, false, false},
}

// planDay draws what happens on a day. It depends on the seed and the day and on
// nothing else, so that a story of fewer days is the beginning of a longer one.
func (y *year) planDay(day int, from, until time.Time) {
	for k := range yearKinds {
		kind := &yearKinds[k]
		rng := rand.New(rand.NewPCG(y.seed, uint64(day)<<16|uint64(k)))
		n := int(kind.perDay + rng.Float64())
		for i := range n {
			at := from.Add(time.Duration(rng.Int64N(int64(24 * time.Hour))))
			for kind.awake && (at.UTC().Hour() < 6 && rng.IntN(20) > 0) {
				at = from.Add(time.Duration(rng.Int64N(int64(24 * time.Hour))))
			}
			ev := &yearEvent{at: at, name: kind.name, free: kind.free, rng: rand.New(rand.NewPCG(y.seed^0x5ea7, uint64(day)<<32|uint64(k)<<16|uint64(i)))}
			ev.do = func(r *rand.Rand) { kind.do(y, r) }
			if at.Before(until) {
				y.plan(ev)
			}
		}
	}
}

// spell draws a time between two, the short ones as often as the long ones, and
// never beyond the end of the story.
func (y *year) spell(rng *rand.Rand, least, most time.Duration) time.Duration {
	d := float64(least) * math.Pow(float64(most)/float64(least), rng.Float64())
	return max(0, min(time.Duration(d), y.ends.Sub(y.now())))
}

func pick[T any](rng *rand.Rand, list ...T) T { return list[rng.IntN(len(list))] }

// somebody's app that is there.
func (y *year) anApp(rng *rand.Rand) *yearApp {
	a := pick(rng, y.apps...)
	if a.is(&a.removed) {
		return nil
	}
	return a
}

var yearContext = context.Background()

func (y *year) aMessage(rng *rand.Rand) { y.submit(rng, time.Time{}) }
func (y *year) aMessageForLater(rng *rand.Rand) {
	y.submit(rng, y.now().Add(y.spell(rng, 2*time.Second, 45*24*time.Hour)))
}

// terms draws what a message says about its sending.
func (y *year) terms(rng *rand.Rand, a *yearApp, sendAt time.Time) (m *Message, n yearNote) {
	env := pick(rng, a.envs...)
	m = &Message{App: a.id, Environment: &env, Notification: apns.Notification{Payload: fmt.Appendf(nil, `{"aps":{"alert":"%d"}}`, rng.IntN(1000))}}
	m.DropUnknown = rng.IntN(4) == 0
	from := y.now()
	if !sendAt.IsZero() && sendAt.After(from) {
		m.SendAt, from = sendAt, sendAt
	}
	n = yearNote{app: a, env: env, drop: m.DropUnknown, sendAt: m.SendAt, lasts: y.cfg.Lifetime}
	switch rng.IntN(5) {
	case 0:
		n.lasts, n.until = 0, from.Add(y.spell(rng, 3*time.Second, 3*24*time.Hour)+2*time.Second).Truncate(time.Second)
		m.Notification.Expiration = apns.ExpireAt(n.until)
	case 1:
		n.lasts = DefaultImmediateLifetime
		m.Notification.Expiration = apns.ExpireImmediately
	}
	if n.lasts > 0 {
		n.until = from.Add(n.lasts)
	}
	return m, n
}

// target draws a device. One that was registered again says so.
func (a *yearApp) target(rng *rand.Rand) Target {
	d := pick(rng, a.devices...)
	return Target{DeviceToken: d, RegisteredAt: a.registered[d]}
}

func (y *year) submit(rng *rand.Rand, sendAt time.Time) *yearMessage {
	a := y.anApp(rng)
	if a == nil {
		return nil
	}
	m, like := y.terms(rng, a, sendAt)
	if lane := Lane(rng.IntN(5)); lane < lanes {
		m.Lane = &lane
	}
	var targets []Target
	for range pick(rng, 1, 1, 1, 1, 2, 7, 40, 300) {
		targets = append(targets, a.target(rng))
	}
	began := y.now()
	receipt, err := y.engine.Submit(yearContext, m, targets)
	if err != nil {
		y.refused(err, began)
		return nil
	}
	message := &yearMessage{id: receipt.Message}
	for i := range targets {
		n := like
		n.id, n.lane, n.message, n.accepted = receipt.Message.ID(i), receipt.Lane, message, y.now()
		n.device, n.registered = targets[i].DeviceToken, targets[i].RegisteredAt
		y.enter(&n)
		message.notes = append(message.notes, &n)
	}
	y.messages = append(y.messages, message)
	return message
}

func (y *year) enter(n *yearNote) {
	y.notes[n.id] = n
	y.accepted++
}

// refused judges that nothing was accepted: only a full disk may be the reason,
// and the engine looks at it every two seconds.
func (y *year) refused(err error, at time.Time) {
	if !errors.Is(err, ErrFull) || !y.full.hit(at.Add(-3*time.Second), y.now()) {
		y.fail("refused", "%s: what is in order was not accepted: %v", y.clock(at), err)
	}
}

func (y *year) aCampaign(rng *rand.Rand) {
	a := y.anApp(rng)
	if a == nil {
		return
	}
	cfg := BatchConfig{App: a.id, Rate: pick(rng, 0.0, 0, 3, 10, 40), Paused: rng.IntN(5) == 0}
	if y.skip["rate"] {
		cfg.Rate = 0
	}
	env := pick(rng, a.envs...)
	cfg.Message.Environment = &env
	began := y.now()
	batch, err := y.engine.NewBatch(yearContext, cfg)
	if err != nil {
		y.refused(err, began)
		return
	}
	b := &yearBatch{id: batch.ID(), app: a, env: env, lane: Bulk, rates: []yearRate{{began, cfg.Rate}}}
	if cfg.Paused {
		b.paused.begin(began, "the batch is paused")
	}
	var m *Message
	var like yearNote
	for i := range pick(rng, 30, 200, 500, 1200) {
		if i%400 == 0 {
			sendAt := time.Time{}
			if rng.IntN(4) == 0 {
				sendAt = y.now().Add(y.spell(rng, time.Minute, 10*24*time.Hour))
			}
			m, like = y.terms(rng, a, sendAt)
			m.Environment, like.env = &env, env
		}
		target := a.target(rng)
		number, err := batch.Add(m, &target)
		if err != nil {
			y.refused(err, began)
			break
		}
		n := like
		n.id, n.lane, n.batch = numbered(batch.ID().unit(), number), Bulk, b
		n.device, n.registered = target.DeviceToken, target.RegisteredAt
		b.lines++
		y.enter(&n)
	}
	record, err := batch.Close(yearContext, "")
	if err != nil || record.Accepted != int64(b.lines) {
		y.refused(fmt.Errorf("%d of %d lines are there: %w", record.Accepted, b.lines, err), began)
		// What was accepted of it nobody knows.
		for i := range b.lines {
			delete(y.notes, numbered(batch.ID().unit(), uint32(i)))
		}
		return
	}
	b.closed = y.now()
	b.open, b.left = b.lines, b.lines
	for i := range b.lines {
		y.notes[numbered(batch.ID().unit(), uint32(i))].accepted = y.now()
	}
	y.batches = append(y.batches, b)
	if cfg.Paused {
		y.later(y.spell(rng, time.Second, 3*24*time.Hour), "a campaign is resumed", func() { y.resumeCampaign(b) })
	}
}

func (y *year) resumeCampaign(b *yearBatch) {
	sp := b.paused.open()
	if sp == nil {
		return
	}
	if err := y.engine.ResumeBatch(yearContext, b.id); err != nil {
		y.fail("steering", "a batch cannot be resumed: %v", err)
	}
	b.paused.end(sp, y.now(), 0)
}

// steerCampaign pauses, paces or cancels one that goes on.
func (y *year) steerCampaign(rng *rand.Rand) {
	var list []*yearBatch
	for _, b := range y.batches {
		if b.cancelled.IsZero() && b.left > 0 {
			list = append(list, b)
		}
	}
	if len(list) == 0 {
		return
	}
	b := pick(rng, list...)
	switch rng.IntN(4) {
	case 0:
		y.cancelCampaign(b)
	case 1:
		rate := pick(rng, 0.0, 2, 5, 25)
		if y.skip["rate"] {
			rate = 0
		}
		if err := y.engine.PaceBatch(yearContext, b.id, rate); err != nil {
			y.fail("steering", "a batch cannot be paced: %v", err)
		}
		b.rates = append(b.rates, yearRate{y.now(), rate})
	default:
		if b.paused.open() != nil {
			return
		}
		if err := y.engine.PauseBatch(yearContext, b.id); err != nil {
			y.fail("steering", "a batch cannot be paused: %v", err)
		}
		b.paused.begin(y.now(), "the batch is paused")
		y.later(y.spell(rng, time.Second, 2*24*time.Hour), "a campaign is resumed", func() { y.resumeCampaign(b) })
	}
}

func (y *year) cancelCampaign(b *yearBatch) {
	if err := y.engine.CancelBatch(yearContext, b.id); err != nil {
		y.fail("steering", "a batch cannot be cancelled: %v", err)
		return
	}
	b.cancelled = y.now()
	for i := range b.lines {
		if n := y.notes[numbered(b.id.unit(), uint32(i))]; n != nil {
			n.cancelled = y.now()
		}
	}
	y.watchCancelled(nil, b)
}

// callBack cancels a message: one of the last, or one that has time.
func (y *year) callBack(rng *rand.Rand) {
	var list []*yearMessage
	for _, m := range y.messages {
		if m.cancelled.IsZero() && !m.notes[len(m.notes)-1].gone {
			list = append(list, m)
		}
	}
	if len(list) == 0 || rng.IntN(4) == 0 {
		if m := y.submit(rng, time.Time{}); m != nil {
			time.Sleep(time.Duration(rng.IntN(30)) * time.Millisecond)
			list = []*yearMessage{m}
		}
	}
	if len(list) == 0 {
		return
	}
	m := pick(rng, list...)
	if err := y.engine.CancelMessage(yearContext, m.id); err != nil {
		y.fail("steering", "a message cannot be called back: %v", err)
		return
	}
	m.cancelled = y.now()
	for _, n := range m.notes {
		n.cancelled = y.now()
	}
	y.watchCancelled(m, nil)
}

func (y *year) pauseApp(rng *rand.Rand) {
	a := y.anApp(rng)
	if a == nil || a.is(&a.paused) {
		return
	}
	if err := y.engine.PauseApp(yearContext, a.id, ""); err != nil {
		y.fail("steering", "an app cannot be paused: %v", err)
	}
	sp := a.paused.begin(y.now(), "the app is paused")
	var resume func()
	resume = func() {
		if removed := a.removed.open(); removed != nil {
			// Nobody can resume what is not there.
			y.later(time.Minute, "an app is resumed", resume)
			return
		}
		if err := y.engine.ResumeApp(yearContext, a.id); err != nil {
			y.fail("steering", "an app cannot be resumed: %v", err)
		}
		a.paused.end(sp, y.now(), 0)
	}
	y.later(y.spell(rng, time.Second, 4*24*time.Hour), "an app is resumed", resume)
}

func (y *year) replaceKey(rng *rand.Rand) {
	pick(rng, y.apps...).using ^= 1
	y.setApps()
}

func (y *year) wrongKey(rng *rand.Rand) {
	a := y.anApp(rng)
	if a == nil || a.certs != nil || a.is(&a.wrong) {
		return
	}
	sp := a.wrong.begin(y.now(), "its key is wrong")
	y.setApps()
	y.later(y.spell(rng, time.Second, 8*time.Hour), "the right key is installed", func() {
		sp.until = y.now()
		y.setApps()
		a.wrong.end(sp, y.now(), 0)
	})
}

func (y *year) removeApp(rng *rand.Rand) {
	a := y.anApp(rng)
	if a == nil {
		return
	}
	sp := a.removed.begin(y.now(), "the app is removed")
	y.setApps()
	y.later(y.spell(rng, time.Second, 20*24*time.Hour), "an app comes back", func() {
		sp.until = y.now()
		y.setApps()
		a.removed.end(sp, y.now(), 0)
	})
}

// devicesDie makes some devices of an app unregistered, for a while.
func (y *year) devicesDie(rng *rand.Rand) {
	a := pick(rng, y.apps...)
	for range 1 + rng.IntN(4) {
		d := pick(rng, a.devices...)
		y.setDevice(a, d, sim.Unregistered)
		y.later(y.spell(rng, time.Hour, 20*24*time.Hour), "a device is registered again", func() {
			y.setDevice(a, d, sim.Active)
			a.registered[d] = y.now()
		})
	}
}

func (y *year) setDevice(a *yearApp, d string, state sim.DeviceState) {
	for env, apple := range y.apples {
		if len(a.envs) == 1 && a.envs[0] != apns.Environment(env) {
			continue
		}
		dev := sim.Device{DeviceToken: d, Topics: []string{a.topic}, State: state, Since: y.now()}
		if err := apple.PutDevice(dev); err != nil {
			y.t.Fatal(err)
		}
	}
}

// refuseTopics makes dead letters.
func (y *year) refuseTopics(rng *rand.Rand) {
	a := pick(rng, y.apps...)
	reason := pick[proto.Reason](rng, "TopicDisallowed", "BadDeviceToken", "DeviceTokenNotForTopic")
	y.apples[pick(rng, a.envs...)].AddFault(y.t, sim.Fault{Kind: sim.FaultAnswer, Reason: reason, Topic: a.topic, Count: 1 + rng.IntN(20), For: y.spell(rng, time.Minute, 6*time.Hour)})
}

// lookAtDeadLetters has some sent again and discards others, and often two people
// have the same idea.
func (y *year) lookAtDeadLetters(rng *rand.Rand) {
	a := y.anApp(rng)
	if a == nil {
		return
	}
	y.checkpoint()
	list, err := y.engine.DeadLetters(yearContext, a.id, "", 0, 20)
	if err != nil {
		y.fail("lists", "dead letters cannot be listed: %v", err)
		return
	}
	for i := range list {
		switch rng.IntN(6) {
		case 0, 1:
			y.decide(&list[i], true, false)
		case 2:
			y.decide(&list[i], true, true)
		case 3:
			y.decide(&list[i], true)
		case 4:
			y.decide(&list[i], false)
		}
	}
}

// decide lets people decide about dead letters at the same time, each to have them
// sent again or not. One of them is right.
func (y *year) decide(letters *DeadLetters, again ...bool) {
	errs := make([]error, len(again))
	var all sync.WaitGroup
	for i := range again {
		all.Go(func() {
			if again[i] {
				errs[i] = y.engine.RetryDeadLetters(yearContext, letters.Number)
			} else {
				errs[i] = y.engine.DiscardDeadLetters(yearContext, letters.Number)
			}
		})
	}
	all.Wait()
	var won []bool
	for i, err := range errs {
		if err == nil {
			won = append(won, again[i])
		} else if !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrConflict) {
			y.fail("two-callers", "%s: dead letter %d (to have it sent again: %v): %v", y.clock(y.now()), letters.Number, again, err)
			won = []bool{true, false} // whatever he thinks now
		}
	}
	switch len(won) {
	case 0:
		y.fail("steering", "dead letter %d was listed and nobody could decide about it: %v", letters.Number, errs)
	case 1:
	default:
		y.fail("two-callers", "%s: two people decided about dead letter %d at once (to have it sent again: %v), and both were told that it was done", y.clock(y.now()), letters.Number, again)
	}
	for _, id := range letters.IDs {
		y.letterDecided(id, won)
	}
}

func (y *year) letterDecided(id apns.ID, won []bool) {
	n := y.buried[id]
	if n == nil {
		if y.notes[id] == nil || !y.notes[id].unsure {
			y.fail("lists", "%s is among the dead letters and should not be: %+v", id, y.forgotten[id])
		}
		return
	}
	delete(y.buried, id)
	if len(won) == 0 || len(won) == 1 && !won[0] {
		return
	}
	n.unsure = len(won) > 1 || n.unsure
	n.life++
	n.past, n.verdicts = append(n.past, n.verdicts...), nil
	n.processed += n.countProcessed()
	n.attempts, n.gone, n.overdue = nil, false, false
	n.accepted, n.sendAt = y.now(), time.Time{}
	if n.lasts > 0 {
		n.until = y.now().Add(n.lasts)
	}
	delete(y.forgotten, id)
	y.notes[id] = n
	if n.batch != nil {
		n.batch.left++
	}
}

func (y *year) diskFull(rng *rand.Rand) {
	if y.full.open() != nil {
		return
	}
	y.free.Store(32 << 20)
	sp := y.full.begin(y.now(), "the disk is full")
	y.later(y.spell(rng, time.Second, 6*time.Hour), "there is space again", func() {
		y.free.Store(1 << 40)
		y.full.end(sp, y.now(), 0)
	})
}

// killSometime kills, most often while something is under way.
func (y *year) killSometime(rng *rand.Rand) {
	for range rng.IntN(4) {
		y.submit(rng, time.Time{})
	}
	time.Sleep(time.Duration(rng.IntN(60)) * time.Millisecond)
	y.kill()
	y.startAfter(rng)
}

// killWhenDue kills when something scheduled is under way, or was a moment ago: the
// log may not have written down yet that it was taken.
func (y *year) killWhenDue(rng *rand.Rand) {
	due := time.Time{}
	for _, m := range y.messages {
		at := m.notes[0].sendAt
		if at.After(y.now()) && at.Before(y.now().Add(12*time.Hour)) && (due.IsZero() || at.Before(due)) && m.cancelled.IsZero() {
			due = at
		}
	}
	if due.IsZero() {
		return
	}
	due = due.Add(time.Second - 1).Truncate(time.Second).Add(y.spell(rng, 2*time.Millisecond, 5*time.Second))
	y.plan(&yearEvent{at: due, name: "killed while something scheduled is under way", rng: rng, do: func(rng *rand.Rand) {
		y.kill()
		y.startAfter(rng)
	}})
}

func (y *year) stopAndStart(rng *rand.Rand) {
	patience := 20 * time.Second
	if rng.IntN(3) == 0 {
		patience = 0
	}
	y.stop(patience)
	y.startAfter(rng)
}

// startAfter starts the next engine, mostly at once.
func (y *year) startAfter(rng *rand.Rand) {
	after := time.Duration(0)
	if rng.IntN(2) == 0 {
		after = y.spell(rng, time.Second, 24*time.Hour)
	}
	y.plan(&yearEvent{at: y.now().Add(after), name: "an engine is started", free: true, do: func(*rand.Rand) {
		if y.engine == nil {
			y.open()
		}
	}})
}
