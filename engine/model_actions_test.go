package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// setApps leaves one app.
func (m *model) setApps(id string) {
	m.cfg.Apps = []App{testApp(m.outside, m.apple, id)}
	if err := m.engine.SetApps(m.cfg.Apps); err != nil {
		m.t.Fatal(err)
	}
}

// cancel calls a message back; what had not been handed over has ended then, and is
// listed.
func (m *model) cancel(t *rapid.T, mm *modelMessage) {
	mm.cancelled = true
	if err := m.engine.CancelMessage(context.Background(), mm.id); err != nil {
		t.Fatal(err)
	}
	s, err := m.engine.Message(context.Background(), mm.id)
	if err != nil {
		t.Fatal(err)
	}
	if n := s.States[Scheduled] + s.States[Queued] + s.States[Retrying]; n > 0 && !m.retryUnderWay(mm) {
		m.dump()
		t.Fatalf("%+v was called back and is %+v", mm, s)
	}
}

// retryUnderWay says that some of a message are between two places: one that has just
// been answered waits for its next attempt, which it learns is not to be.
func (m *model) retryUnderWay(mm *modelMessage) bool {
	time.Sleep(time.Second)
	s, err := m.engine.Message(context.Background(), mm.id)
	return err == nil && s.States[Scheduled]+s.States[Queued]+s.States[Retrying] == 0
}

func (m *model) dump() { (&rig{Engine: m.engine, t: m.outside}).dump() }

func (m *model) batch(t *rapid.T) {
	if m.away {
		return
	}
	b := &modelBatch{lines: rapid.SampledFrom([]int{1, 30, 2500}).Draw(t, "lines"), rate: rapid.SampledFrom([]float64{0, 0, 20, 1000}).Draw(t, "rate")}
	batch, err := m.engine.NewBatch(context.Background(), BatchConfig{App: "shop", Rate: b.rate, Paused: rapid.IntRange(0, 3).Draw(t, "paused") == 0})
	if err != nil {
		t.Fatal(err)
	}
	b.id = batch.ID()
	for range b.lines {
		m.devices++
		if _, err := batch.Add(hello(), &Target{DeviceToken: device(m.devices)}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := batch.Close(context.Background(), ""); err != nil {
		t.Fatal(err)
	}
	m.batches = append(m.batches, b)
}

func (m *model) changeBatch(t *rapid.T) {
	if len(m.batches) == 0 {
		return
	}
	b := rapid.SampledFrom(m.batches).Draw(t, "batch")
	ctx := context.Background()
	var err error
	switch rapid.SampledFrom([]string{"pause", "resume", "pace", "cancel", "both"}).Draw(t, "change") {
	case "pause":
		err = m.engine.PauseBatch(ctx, b.id)
	case "resume":
		err = m.engine.ResumeBatch(ctx, b.id)
	case "pace":
		b.rate = rapid.SampledFrom([]float64{0, 5, 200}).Draw(t, "rate")
		err = m.engine.PaceBatch(ctx, b.id, b.rate)
	case "cancel":
		b.cancelled = true
		err = m.engine.CancelBatch(ctx, b.id)
		time.Sleep(time.Second)
		if s, statusErr := m.engine.Batch(ctx, b.id); statusErr != nil || !s.Done && !m.someAreWithAPNs() {
			m.dump()
			t.Fatalf("a batch was called back and is %+v, %v", s, statusErr)
		}
	case "both":
		// What two do at once both holds, and the last one's word is the log's.
		var all sync.WaitGroup
		errs := make([]error, 2)
		all.Go(func() { errs[0] = m.engine.PauseBatch(ctx, b.id) })
		all.Go(func() { errs[1] = m.engine.ResumeBatch(ctx, b.id) })
		all.Wait()
		err = errors.Join(errs...)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// someAreWithAPNs says that something was handed over and has no answer yet.
func (m *model) someAreWithAPNs() bool {
	for _, l := range m.engine.leases.all() {
		if l.count(handed)+l.count(answered) > 0 {
			return true
		}
	}
	return false
}

// letters has two people want each group of dead letters: one is served, and the
// other is told so.
func (m *model) letters(t *rapid.T) {
	ctx := context.Background()
	list, err := m.engine.DeadLetters(ctx, "", "", 0, 5)
	if err != nil {
		t.Fatal(err)
	}
	for _, letter := range list {
		errs := make([]error, 3)
		discards := rapid.IntRange(0, 3).Draw(t, "discards")
		var all sync.WaitGroup
		for i := range errs {
			all.Go(func() {
				if i < discards {
					errs[i] = m.engine.DiscardDeadLetters(ctx, letter.Number)
				} else {
					errs[i] = m.engine.RetryDeadLetters(ctx, letter.Number)
				}
			})
		}
		all.Wait()
		served := 0
		for _, err := range errs {
			switch {
			case err == nil:
				served++
			case !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrConflict):
				t.Fatal(err)
			}
		}
		if served != 1 {
			t.Fatalf("%d of three were served: %v", served, errs)
		}
	}
}

// allIsWell puts everything right, and checks that what can go on does so within a
// second: whatever is left then waits for a time of its own, for its batch, or for an
// answer that APNs owes.
func (m *model) allIsWell(t *rapid.T) {
	m.apple.ClearFaults()
	m.away = false
	m.setApps("shop")
	if err := m.engine.ResumeApp(context.Background(), "shop"); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	time.Sleep(onTime)
	synctest.Wait()
	if m.someAreWithAPNs() {
		return // what was written to a silent connection blocks the window until it is given up
	}
	now := time.Now()
	for _, mm := range m.messages {
		if mm.sendAt.After(began.Add(-time.Second)) {
			continue
		}
		list, _, err := m.engine.Deliveries(context.Background(), mm.id, 0, mm.id.Count)
		if err != nil {
			t.Fatal(err)
		}
		for i := range list {
			v := &list[i]
			if v.State.Final() || v.State == Retrying && v.RetryAt.After(began) || v.RetryAt.After(began.Add(-time.Second)) {
				continue
			}
			m.dump()
			m.t.Fatalf("it is %s, and could have gone on within %v: %+v of %+v, %v", now.Format(time.DateTime), onTime, v, mm, m.story(v))
		}
	}
}

func (m *model) story(v *Verdict) (story string) {
	d, err := m.engine.Delivery(context.Background(), v.ID)
	for _, v := range append(d.History, d.Verdict) {
		story += fmt.Sprintf("\n  %s %s attempts %d, %d %s %s retry at %s", v.At.Format("15:04:05.000"), v.State, v.Attempts, v.Status, v.Reason, v.Detail, v.RetryAt.Format(time.DateTime))
	}
	return fmt.Sprint(story, " ", err)
}

// checkBatch looks at a batch at its end.
func (m *model) checkBatch(b *modelBatch) {
	s, err := m.engine.Batch(context.Background(), b.id)
	if err != nil || !s.Done || s.Counts.Final() != int64(b.lines) || s.Counts.Cancelled > 0 && !b.cancelled {
		m.t.Fatalf("%+v ended as %+v, %v", b, s, err)
	}
}
