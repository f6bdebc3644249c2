package engine

import (
	"context"
	"errors"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"aviso.example/apnstest"
)

// hangUp is the context of a caller who is gone when it has been looked at so many
// times: one after the other, that is at every place where it matters.
type hangUp struct {
	context.Context
	mu   sync.Mutex
	left int
	gone chan struct{}
}

func hangsUpAfter(ctx context.Context, looks int) *hangUp {
	return &hangUp{Context: ctx, left: looks, gone: make(chan struct{})}
}

func (h *hangUp) Done() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.left--; h.left == 0 {
		close(h.gone)
	}
	return h.gone
}

func (h *hangUp) Err() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.left <= 0 {
		return context.Canceled
	}
	return h.Context.Err()
}

// Whoever calls a message back and hangs up, at whatever moment, leaves nothing with two
// ends, also if somebody asks again at once, while what the first had begun is not on
// the disk yet; and what had begun to end ends, if nobody does.
func TestHangUpDuringCancel(t *testing.T) {
	for name, test := range map[string]struct {
		prepare func(*rig, *Message)
		again   time.Duration // when somebody asks again
	}{
		"scheduled, asked again at once": {schedule, 0},
		"scheduled, asked again later":   {schedule, onTime},
		"paused, asked again at once":    {pauseFirst, 0},
		"paused, asked again later":      {pauseFirst, onTime},
	} {
		t.Run(name, func(t *testing.T) {
			virtually(t, func(t *testing.T) { testHangUpDuringCancel(t, test.prepare, test.again) })
		})
	}
}

func schedule(_ *rig, m *Message) { m.SendAt = time.Now().Add(time.Hour) }

func pauseFirst(r *rig, _ *Message) { r.must(r.PauseApp(r.t.Context(), "shop", "")) }

func testHangUpDuringCancel(t *testing.T, prepare func(*rig, *Message), again time.Duration) {
	const n = 3
	r := newRig(t, apnstest.StartMem(t))
	for looks, heard := 1, false; !heard; looks++ {
		m := hello()
		prepare(r, m)
		receipt := r.submit(m, devices(0, n)...)
		unit, _ := split(receipt.Message.First)
		time.Sleep(2 * time.Second)
		// Something has just been written, so that what is decided now is not for a
		// moment.
		r.recorder.add(r.newLease(&chunk{}))
		synctest.Wait()
		caller := hangsUpAfter(t.Context(), looks)
		err := r.CancelMessage(caller, receipt.Message)
		heard = caller.Err() == nil
		if err != nil && (heard || !errors.Is(err, context.Canceled)) {
			t.Errorf("gone after %d looks: %v", looks, err)
		}
		time.Sleep(time.Millisecond) // what is on the log is heard
		r.control.mu.RLock()
		begun := len(r.control.cancel[unit]) > 0
		r.control.mu.RUnlock()
		time.Sleep(again)
		if s, err := r.Message(t.Context(), receipt.Message); begun && again > 0 && (err != nil || !s.Done) {
			t.Errorf("gone after %d looks: nobody asked again, and it is %+v, %v", looks, s, err)
		}
		r.control.mu.RLock()
		if n := len(r.control.unswept); begun && again > 0 && n > 0 {
			t.Errorf("gone after %d looks: %d are not seen through", looks, n)
		}
		r.control.mu.RUnlock()
		r.must(r.CancelMessage(t.Context(), receipt.Message))
		time.Sleep(onTime)
		if s, err := r.Message(t.Context(), receipt.Message); err != nil || s.States[Cancelled] != n {
			t.Errorf("gone after %d looks: %+v, %v", looks, s, err)
		}
		if got, want := r.written(receipt.Message), (map[State]int{Cancelled: n}); !maps.Equal(got, want) {
			t.Errorf("gone after %d looks: written was %v", looks, got)
		}
	}
}

// So it is with a batch, what is scheduled of it included.
func TestHangUpDuringCancelOfBatch(t *testing.T) { virtually(t, testHangUpDuringCancelOfBatch) }

func testHangUpDuringCancelOfBatch(t *testing.T) {
	r := newRig(t, apnstest.StartMem(t))
	for looks, heard := 1, false; !heard; looks++ {
		b := r.batch(BatchConfig{Paused: true})
		fill(t, b, 0, 3)
		m := hello()
		m.SendAt = time.Now().Add(240 * time.Hour)
		for i := range 3 {
			if _, err := b.Add(m, &Target{DeviceToken: device(i)}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := b.Close(t.Context(), ""); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		caller := hangsUpAfter(t.Context(), looks)
		err := r.CancelBatch(caller, b.ID())
		heard = caller.Err() == nil
		if err != nil && (heard || !errors.Is(err, context.Canceled)) {
			t.Errorf("gone after %d looks: %v", looks, err)
		}
		time.Sleep(onTime)
		if s, err := r.Batch(t.Context(), b.ID()); err != nil || r.control.calledBack(b.ID()) && (!s.Done || s.Counts.Cancelled != 6) {
			t.Errorf("gone after %d looks: %+v, %v", looks, s, err)
		}
		r.must(r.CancelBatch(t.Context(), b.ID()))
		time.Sleep(onTime)
		if s, err := r.Batch(t.Context(), b.ID()); err != nil || !s.Done || s.Counts.Cancelled != 6 {
			t.Errorf("gone after %d looks: %+v, %v", looks, s, err)
		}
	}
}

// What was called back by an engine that was killed before it had ended it is ended by
// another.
func TestCancelledByWhoWasKilled(t *testing.T) { virtually(t, testCancelledByWhoWasKilled) }

func testCancelledByWhoWasKilled(t *testing.T) {
	other := startBubbleLog(t, 30*time.Second).join(t, apnstest.StartMem(t))
	m := hello()
	m.SendAt = time.Now().Add(time.Hour)
	receipt := other.submit(m, devices(0, 3)...)
	// As far as the killed one came.
	_, err := other.control.cancels.PutString(t.Context(), strings.TrimPrefix(receipt.Message.String(), messagePrefix), time.Now().UTC().Format(time.RFC3339))
	other.must(err)
	time.Sleep(3 * absentAfter) // it is missed, and then missed again
	if s, err := other.Message(t.Context(), receipt.Message); err != nil || s.States[Cancelled] != 3 {
		t.Errorf("%+v, %v", s, err)
	}
}

// However many are called back, the last does not wait for the others.
func TestManyCalledBackOnACluster(t *testing.T) { virtually(t, testManyCalledBackOnACluster) }

func testManyCalledBackOnACluster(t *testing.T) {
	log, apple := startBubbleLog(t, 30*time.Second), apnstest.StartMem(t)
	r, other := log.join(t, apple), log.join(t, apple)
	later := hello()
	later.SendAt = time.Now().Add(time.Hour)
	var ids []BatchID
	for i := range 25 {
		b := r.batch(BatchConfig{})
		if _, err := b.Add(later, &devices(i, i+1)[0]); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Close(t.Context(), ""); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, b.ID())
	}
	for _, id := range ids {
		r.must(other.CancelBatch(t.Context(), id))
	}
	time.Sleep(onTime)
	for i, id := range ids {
		if s, err := r.Batch(t.Context(), id); err != nil || s.Counts.Cancelled != 1 {
			t.Errorf("batch %d: %+v, %v", i, s, err)
		}
	}
}
