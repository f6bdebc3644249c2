package engine

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"aviso.example/apns"
	"aviso.example/apnstest"
)

// Apps are replaced while gates look at them.
func TestSetAppsBesideGates(t *testing.T) {
	apple := apnstest.Start(t)
	r := newRig(t, apple)
	r.submit(hello(), Target{DeviceToken: apple.DeviceToken})
	q := r.allQueues()[0]
	stop := make(chan struct{})
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					if route, n, err := r.gates.admit(context.Background(), q, 1); err != nil {
						t.Error(err)
					} else if n > 0 {
						route.window.release(n)
					}
					r.Stats(context.Background())
				}
			}
		})
	}
	for range 100 { // which would not end if they waited for each other
		if err := r.SetApps(r.cfg.Apps); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	all.Wait()
}

// A call that was announced and then not sent, since its route went, is sent.
func TestAnnouncedAndNotSent(t *testing.T) { virtually(t, testAnnouncedAndNotSent) }

func testAnnouncedAndNotSent(t *testing.T) {
	apple := apnstest.StartMem(t)
	r := newRig(t, apple)
	r.wait(r.submit(hello(), Target{DeviceToken: apple.DeviceToken}).Message)
	p := path{"shop", apns.Sandbox, Normal}
	r.routesMu.Lock()
	r.routes[p].retire()
	r.routesMu.Unlock()
	m := hello()
	m.DropUnknown = true
	receipt := r.submit(m, Target{DeviceToken: apple.DeviceToken})
	time.Sleep(time.Second)
	r.routesMu.Lock()
	delete(r.routes, p) // as when the app has changed
	r.routesMu.Unlock()
	d := r.only(receipt)
	if states(d) != "sending accepted" {
		t.Errorf("%s %+v", states(d), d)
	}
	if n := apple.Stats().Accepted; n != 2 {
		t.Errorf("APNs accepted %d", n)
	}
}

// A line of a batch lives from when it was added, not from when the batch began.
func TestLateLineOfBatch(t *testing.T) { virtually(t, testLateLineOfBatch) }

func testLateLineOfBatch(t *testing.T) {
	apple := apnstest.StartMem(t)
	r := newRig(t, apple)
	b := r.batch(BatchConfig{})
	time.Sleep(2 * DefaultImmediateLifetime)
	m := hello()
	m.Notification.Expiration = apns.ExpireImmediately
	if _, err := b.Add(m, &Target{DeviceToken: apple.DeviceToken}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Close(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	if s := r.waitBatch(b.ID(), isDone); s.Counts.Accepted != 1 {
		t.Errorf("%+v", s.Counts)
	}
}

// A message that does not fit is not accepted in part.
func TestFullForAll(t *testing.T) { virtually(t, testFullForAll) }

func testFullForAll(t *testing.T) {
	r := newRig(t, apnstest.StartMem(t))
	if err := r.PauseApp(t.Context(), "shop", ""); err != nil {
		t.Fatal(err)
	}
	r.submit(hello(), Target{DeviceToken: device(1)})
	r.room.Store(100_000)
	if _, err := r.Submit(t.Context(), hello(), devices(0, 20_000)); !errors.Is(err, ErrFull) {
		t.Errorf("%v", err)
	}
	for _, q := range r.allQueues() {
		if info, err := q.stream.Info(t.Context()); err != nil || q.lane == Bulk && info.State.Msgs > 0 {
			t.Errorf("%s: %+v, %v", q.name, info.State, err)
		}
	}
}

// No route is made while the engine closes, for nobody would end it.
func TestNoRouteWhileClosing(t *testing.T) { virtually(t, testNoRouteWhileClosing) }

func testNoRouteWhileClosing(t *testing.T) {
	r := newRig(t, apnstest.StartMem(t))
	e := r.Engine
	r.Engine = nil
	e.sources.Add(1) // a source that is about to ask for one
	began := time.Now()
	closed := make(chan error)
	go func() { closed <- e.Close(context.Background()) }()
	time.Sleep(time.Second)
	if _, err := e.route(path{"shop", apns.Sandbox, Normal}); !errors.Is(err, ErrClosed) {
		t.Errorf("%v", err)
	}
	e.sources.Done()
	if err := <-closed; err != nil || time.Since(began) > 2*time.Second {
		t.Errorf("%v after %v", err, time.Since(began))
	}
}

// A cancellation reaches what waits for its turn at a batch's pace.
func TestCancelWhileWaiting(t *testing.T) { virtually(t, testCancelWhileWaiting) }

func testCancelWhileWaiting(t *testing.T) {
	apple := apnstest.StartMem(t)
	r := newRig(t, apple)
	b := r.batch(BatchConfig{Rate: 5})
	fill(t, b, 0, 100)
	if _, err := b.Close(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	time.Sleep(10 * time.Second)
	if err := r.CancelBatch(t.Context(), b.ID()); err != nil {
		t.Fatal(err)
	}
	before := apple.Stats().Accepted
	if s := r.waitBatch(b.ID(), isDone); s.Counts.Accepted < 49 || s.Counts.Accepted > 50 || s.Counts.Accepted+s.Counts.Cancelled != 100 {
		t.Errorf("%+v", s.Counts)
	}
	if n := apple.Stats().Accepted - before; n != 0 {
		t.Errorf("%d were sent after they had been called back", n)
	}
}

// Whoever pauses an app that is paused takes no note away, and the app has been paused
// since the first time.
func TestPauseAgain(t *testing.T) {
	r := newRig(t, apnstest.Start(t))
	control := func() AppControl {
		t.Helper()
		s, err := r.Stats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return s.Apps[0].Control
	}
	pause := func(note string) AppControl {
		t.Helper()
		if err := r.PauseApp(t.Context(), "shop", note); err != nil {
			t.Fatal(err)
		}
		return control()
	}
	first := pause("wrong link")
	if again := pause(""); again != first || again.Note != "wrong link" {
		t.Errorf("%+v became %+v", first, again)
	}
	if again := pause("another link"); again.Note != "another link" || !again.At.Equal(first.At) {
		t.Errorf("%+v", again)
	}
	if err := r.ResumeApp(t.Context(), "shop"); err != nil {
		t.Fatal(err)
	}
	if again := pause(""); again.Note != "" || !again.At.After(first.At) {
		t.Errorf("%+v", again)
	}
}
