package engine

import (
	"context"
	"testing"
	"time"

	"aviso.example/apnstest"
	"aviso.example/sim"
)

// What is to be tried again does not wait for a time that the clock has left.
func TestClockPutBack(t *testing.T) { virtually(t, testClockPutBack) }

func testClockPutBack(t *testing.T) {
	apple := apnstest.StartMem(t)
	r := newRig(t, apple)
	apple.AddFault(t, sim.Fault{Kind: sim.FaultAnswer, Reason: "TooManyRequests", RetryAfter: "600", Count: 3})
	scheduled := hello()
	scheduled.SendAt = time.Now().Add(time.Hour)
	later := r.submit(scheduled, devices(10, 12)...)
	receipt := r.submit(hello(), devices(0, 3)...)
	state := func(id MessageID) State {
		t.Helper()
		d, err := r.Delivery(t.Context(), id.ID(0))
		if err != nil {
			t.Fatal(err)
		}
		return d.State
	}
	time.Sleep(5 * time.Second)
	if s := state(receipt.Message); s != Retrying {
		t.Fatal(s)
	}
	if back, err := r.later.wasPutBack(t.Context(), time.Now()); err != nil || back {
		t.Error(back, err)
	}
	r.must(r.later.putBack(t.Context(), time.Now()))
	time.Sleep(5 * time.Second)
	if s := state(receipt.Message); s != Retrying {
		t.Errorf("nothing was put back, and it is %s", s)
	}
	hourAgo := time.Now().Add(-time.Hour)
	if back, err := r.later.wasPutBack(t.Context(), hourAgo); err != nil || !back {
		t.Error(back, err)
	}
	r.must(r.later.putBack(t.Context(), hourAgo))
	time.Sleep(time.Second)
	if s := state(receipt.Message); s != Accepted {
		t.Errorf("it is %s", s)
	}
	if s := state(later.Message); s != Scheduled {
		t.Errorf("what is for a time is %s", s)
	}
}

// An engine that ends while that cannot be done waits for nothing.
func TestClockPutBackAtTheEnd(t *testing.T) { virtually(t, testClockPutBackAtTheEnd) }

func testClockPutBackAtTheEnd(t *testing.T) {
	r := newRig(t, apnstest.StartMem(t))
	l := r.later
	r.close()
	l.clockWasBack = true
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	began := time.Now()
	l.runClock(ctx)
	if took := time.Since(began); took > time.Minute {
		t.Errorf("it took %v", took)
	}
}
