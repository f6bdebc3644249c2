package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"aviso.example/apns"
	"aviso.example/apnstest"
	"aviso.example/internal/proto"
	"aviso.example/sim"
)

// follows says which verdicts may follow which: docs/state-machine.md as a
// table. The zero State stands for a notification that has none yet.
var follows = map[State][]State{
	0:         {Sending, Retrying, Accepted, Rejected, Expired, Cancelled, Unknown},
	Sending:   {Queued, Sending, Retrying, Accepted, Rejected, Expired, Cancelled, Unknown},
	Retrying:  {Sending, Retrying, Accepted, Rejected, Expired, Cancelled, Unknown},
	Rejected:  {Queued},
	Expired:   {Queued},
	Queued:    {Sending, Retrying, Accepted, Rejected, Expired, Cancelled, Unknown},
	Accepted:  nil,
	Cancelled: nil,
	Unknown:   nil,
}

// model plays one random story on a real engine, its real log, and a simulator,
// in virtual time.
type model struct {
	t       *rapid.T
	outside *testing.T
	apple   *apnstest.Server
	cfg     Config
	engine  *Engine
	lives   int
	hard    bool // an engine ended with notifications under way

	messages []*modelMessage
	batches  []*modelBatch
	devices  int
	away     bool // the app is not configured
}

type modelBatch struct {
	id        BatchID
	lines     int
	rate      float64
	cancelled bool
}

type modelMessage struct {
	id        MessageID
	drop      bool
	sendAt    time.Time
	until     time.Time
	cancelled bool
	dead      []string // device tokens that APNs calls dead
}

func (m *model) open() {
	e, err := Open(context.Background(), m.cfg)
	if err != nil {
		m.t.Fatal(err)
	}
	m.engine = e
	if lost := e.damage.list(); len(lost) > 0 {
		m.t.Fatalf("a disk that is in order is called damaged: %+v", lost)
	}
}

func (m *model) close(patience time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	m.engine.Close(ctx)
}

// crash goes on with a copy of the folder as it is at this moment, which is what
// kill -9 leaves behind.
func (m *model) crash() {
	synctest.Wait()
	m.lives++
	m.hard = true
	next := filepath.Join(m.outside.TempDir(), fmt.Sprint(m.lives))
	if err := os.CopyFS(next, os.DirFS(m.cfg.Store.Dir)); err != nil {
		m.t.Fatal(err)
	}
	// The old one must not send any more.
	m.close(0)
	m.cfg.Store.Dir = next
	m.open()
}

func (m *model) fault(f sim.Fault) {
	if _, err := m.apple.Server.AddFault(f); err != nil {
		m.t.Fatal(err)
	}
}

func (m *model) submit(t *rapid.T) {
	if m.away {
		return // nobody could hand anything in
	}
	now := time.Now()
	mm := &modelMessage{drop: rapid.Bool().Draw(t, "drop unknown"), until: now.Add(DefaultLifetime)}
	message := hello()
	message.DropUnknown = mm.drop
	if rapid.IntRange(0, 3).Draw(t, "scheduled") == 0 {
		mm.sendAt = now.Add(time.Duration(rapid.IntRange(1, 7200).Draw(t, "in seconds")) * time.Second)
		message.SendAt, mm.until = mm.sendAt, mm.sendAt.Add(DefaultLifetime)
	}
	switch rapid.IntRange(0, 3).Draw(t, "expires") {
	case 0:
		from := now
		if !mm.sendAt.IsZero() {
			from = mm.sendAt
		}
		mm.until = from.Add(time.Duration(rapid.IntRange(2, 600).Draw(t, "after seconds")) * time.Second).Truncate(time.Second)
		message.Notification.Expiration = apns.ExpireAt(mm.until)
	case 1:
		message.Notification.Expiration = apns.ExpireImmediately
		mm.until = now.Add(DefaultImmediateLifetime)
		if !mm.sendAt.IsZero() {
			mm.until = mm.sendAt.Add(DefaultImmediateLifetime)
		}
	}
	var targets []Target
	for range rapid.SampledFrom([]int{1, 1, 2, 7, 300}).Draw(t, "targets") {
		m.devices++
		target := Target{DeviceToken: device(m.devices)}
		if m.devices%11 == 0 {
			mm.dead = append(mm.dead, target.DeviceToken)
			dead := sim.Device{DeviceToken: target.DeviceToken, Environment: sim.Sandbox, Topics: []string{m.apple.Topic}, State: sim.Unregistered, Since: now.Add(-time.Hour)}
			if err := m.apple.Devices().Put(dead, now); err != nil {
				t.Fatal(err)
			}
		}
		targets = append(targets, target)
	}
	receipt, err := m.engine.Submit(context.Background(), message, targets)
	if err != nil {
		t.Fatal(err)
	}
	mm.id = receipt.Message
	m.messages = append(m.messages, mm)
}

func (m *model) actions() map[string]func(*rapid.T) {
	burst := func(t *rapid.T) int { return rapid.IntRange(1, 20).Draw(t, "burst") }
	return map[string]func(*rapid.T){
		"submit": m.submit,
		"APNs asks for patience": func(t *rapid.T) {
			reason := rapid.SampledFrom([]proto.Reason{"ServiceUnavailable", "InternalServerError", "TooManyRequests", "Shutdown"}).Draw(t, "reason")
			m.fault(sim.Fault{Kind: sim.FaultAnswer, Reason: reason, Count: burst(t)})
		},
		"APNs refuses": func(t *rapid.T) {
			reason := rapid.SampledFrom([]proto.Reason{"BadDeviceToken", "DeviceTokenNotForTopic", "InvalidProviderToken"}).Draw(t, "reason")
			m.fault(sim.Fault{Kind: sim.FaultAnswer, Reason: reason, Count: burst(t)})
		},
		"answers are lost": func(t *rapid.T) {
			kind := rapid.SampledFrom([]sim.FaultKind{sim.FaultResetStream, sim.FaultSilence, sim.FaultResetConnection, sim.FaultClose}).Draw(t, "kind")
			m.fault(sim.Fault{Kind: kind, Processed: rapid.Bool().Draw(t, "processed"), Count: min(3, burst(t))})
		},
		"APNs says goodbye": func(t *rapid.T) { m.fault(sim.Fault{Kind: sim.FaultGoAway, Count: 1}) },
		"connections are refused": func(t *rapid.T) {
			m.fault(sim.Fault{Kind: sim.FaultRefuseConnection, For: time.Duration(rapid.IntRange(1, 300).Draw(t, "seconds")) * time.Second})
		},
		"APNs is well again": func(*rapid.T) { m.apple.ClearFaults() },
		"cancel": func(t *rapid.T) {
			if len(m.messages) > 0 {
				m.cancel(t, rapid.SampledFrom(m.messages).Draw(t, "message"))
			}
		},
		"pause": func(t *rapid.T) {
			if err := m.engine.PauseApp(context.Background(), "shop", ""); err != nil && !m.away {
				t.Fatal(err)
			}
		},
		"resume": func(t *rapid.T) {
			if err := m.engine.ResumeApp(context.Background(), "shop"); err != nil && !m.away {
				t.Fatal(err)
			}
		},
		"a moment passes":          func(t *rapid.T) { time.Sleep(time.Duration(rapid.IntRange(1, 50).Draw(t, "ms")) * time.Millisecond) },
		"a while passes":           func(t *rapid.T) { time.Sleep(time.Duration(rapid.IntRange(1, 90).Draw(t, "s")) * time.Second) },
		"an hour passes":           func(*rapid.T) { time.Sleep(time.Hour) },
		"the app goes":             func(*rapid.T) { m.away = true; m.setApps("other") },
		"the app comes back":       func(*rapid.T) { m.away = false; m.setApps("shop") },
		"a batch":                  m.batch,
		"a batch is changed":       m.changeBatch,
		"dead letters":             m.letters,
		"all is well":              func(t *rapid.T) { m.allIsWell(t) },
		"the engine stops":         func(*rapid.T) { m.close(10 * time.Second); m.open() },
		"the engine stops at once": func(*rapid.T) { m.hard = true; m.close(0); m.open() },
		"the engine is killed":     func(*rapid.T) { m.crash() },
	}
}

// finish lets everything end and holds what was told against what happened.
func (m *model) finish() {
	m.allIsWell(m.t)
	for _, b := range m.batches {
		if err := errors.Join(m.engine.ResumeBatch(context.Background(), b.id), m.engine.PaceBatch(context.Background(), b.id, 0)); err != nil {
			m.t.Fatal(err)
		}
	}
	for end := time.Now().Add(40 * time.Hour); !m.ended() && time.Now().Before(end); {
		time.Sleep(time.Minute)
	}
	time.Sleep(time.Second) // a verdict can be read before its lease has ended
	synctest.Wait()
	processed := map[string]int{}
	for _, p := range m.apple.Pushes(sim.Filter{}) {
		if p.Outcome == sim.Accepted || p.Outcome == sim.AcceptedUnanswered {
			processed[p.ID]++
		}
	}
	for _, mm := range m.messages {
		for i := range mm.id.Count {
			id := mm.id.ID(i)
			d, err := m.engine.Delivery(context.Background(), id)
			if err != nil {
				m.t.Fatalf("%s of %+v: %v", id, mm, err)
			}
			m.check(mm, d, processed[id.String()])
		}
	}
	for _, b := range m.batches {
		m.checkBatch(b)
	}
	if n := m.engine.leases.count(); n != 0 {
		m.t.Errorf("%d leases are left", n)
	}
	for p, r := range m.engine.routes {
		if n := r.window.inUse(); n != 0 {
			m.t.Errorf("%v: %d are held against the window", p, n)
		}
	}
}

// ended reports whether everything has; the last of each message is enough to
// ask most of the time.
func (m *model) ended() bool {
	for _, mm := range m.messages {
		s, err := m.engine.Message(context.Background(), mm.id)
		if err != nil {
			m.t.Fatalf("%+v: %v", mm, err)
		}
		if !s.Done {
			return false
		}
	}
	for _, b := range m.batches {
		if s, err := m.engine.Batch(context.Background(), b.id); err != nil || !s.Done {
			return false
		}
	}
	return true
}

// check looks at one notification at its end.
func (m *model) check(mm *modelMessage, d Delivery, processed int) {
	fail := func(what string) {
		story := ""
		for _, v := range append(slices.Clone(d.History), d.Verdict) {
			story += fmt.Sprintf("\n  %s %s attempts %d, %d %s %s retry at %s", v.At.Format(time.DateTime), v.State, v.Attempts, v.Status, v.Reason, v.Detail, v.RetryAt.Format(time.DateTime))
		}
		mm.dead = nil
		m.t.Fatalf("%s: %s at %s%s\n%+v, processed %d times", d.ID, what, time.Now().UTC().Format(time.DateTime), story, mm, processed)
	}
	before := State(0)
	unsure := m.hard // some answers never came to anybody
	until := mm.until
	for _, v := range append(slices.Clone(d.History), d.Verdict) {
		if !slices.Contains(follows[before], v.State) {
			fail(fmt.Sprintf("%s follows %s", v.State, before))
		}
		if v.State == Retrying && v.Status == 0 {
			unsure = true
		}
		if before.Final() { // a person has it sent again, with a new lifetime
			until = v.At.Add(DefaultLifetime)
		}
		before = v.State
	}
	if !d.State.Final() {
		(&rig{Engine: m.engine, t: m.outside}).dump()
		fail("it has not ended")
	}
	switch d.State {
	case Accepted:
		if processed == 0 {
			fail("it was never processed")
		}
	case Cancelled:
		if !mm.cancelled {
			fail("nobody called it back")
		}
	case Expired:
		if d.At.Before(until.Add(-maxPause)) && d.RetryAt.IsZero() && d.At.Before(until) && d.Status == 0 && d.Detail == "" {
			fail("it expired before its time")
		}
	case Unknown:
		if !mm.drop {
			fail("it could have been sent again")
		}
	}
	if d.At.After(until.Add(time.Second)) && d.State == Accepted && d.Attempts > 0 && d.At.Sub(until) > time.Minute {
		fail("it was accepted after its time")
	}
	if d.At.Before(mm.sendAt) && d.State == Accepted {
		fail("it was sent before its time")
	}
	switch {
	case processed > 1 && mm.drop:
		fail("it was doubled, and must not be")
	case processed > 1 && !unsure:
		fail("it was doubled although every answer came")
	case processed > 0 && (d.State == Rejected || d.State == Cancelled) && !unsure:
		fail("it was processed")
	}
}

// Whatever happens, each notification goes through the states as they are drawn,
// ends once, ends in time, and is doubled only where nobody could know.
func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var failure any // rapid stops by a panic, which has to leave the bubble first
		virtually(t, func(t *testing.T) {
			defer func() { failure = recover() }()
			apple := apnstest.StartMem(t, func(cfg *sim.Config) { cfg.Lean = false })
			m := &model{t: rt, outside: t, apple: apple, cfg: Config{
				Store: StoreConfig{Dir: t.TempDir()}, Apps: []App{testApp(t, apple, "shop")}, Window: maxChunk,
			}}
			m.open()
			defer func() { m.close(time.Minute) }()
			rt.Repeat(m.actions())
			m.finish()
		})
		if failure != nil {
			panic(failure)
		}
	})
}
