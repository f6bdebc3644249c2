package engine

import (
	"errors"
	"testing"
	"time"

	"aviso.example/apns"
	"aviso.example/apnstest"
)

// Every notification of a message can be seen, whether it waits or has ended.
func TestDeliveries(t *testing.T) { virtually(t, testDeliveries) }

func testDeliveries(t *testing.T) {
	apple := apnstest.StartMem(t)
	r := newRig(t, apple)
	all := func(id MessageID, step int) (numbers []int, states map[State]int) {
		t.Helper()
		states = map[State]int{}
		for from := 0; from < id.Count; {
			list, next, err := r.Deliveries(t.Context(), id, from, step)
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range list {
				_, first := split(id.First)
				_, n := split(v.ID)
				numbers = append(numbers, int(n-first))
				states[v.State]++
				if v.Message != id || v.App != "shop" || v.DeviceToken != device(int(n-first)) {
					t.Errorf("%+v", v)
				}
			}
			if next <= from {
				t.Fatalf("from %d to %d", from, next)
			}
			from = next
		}
		return numbers, states
	}
	if err := r.PauseApp(t.Context(), "shop", ""); err != nil {
		t.Fatal(err)
	}
	targets := devices(0, 3000)
	for _, i := range []int{0, 7, 8, 1500, 2999} {
		targets[i].DeviceToken = "no"
	}
	big := r.submit(hello(), targets...)
	r.submit(hello(), devices(0, 2)...) // shares a unit with the next
	small := r.submit(hello(), targets[:10]...)
	for _, step := range []int{1000, 701} {
		numbers, states := all(big.Message, step)
		if len(numbers) != 2995 || states[Queued] != 2995 || numbers[0] != 1 || numbers[6] != 9 {
			t.Errorf("%d of 2995, %v", len(numbers), states)
		}
	}
	if numbers, _ := all(small.Message, 3); len(numbers) != 7 {
		t.Errorf("%v", numbers)
	}
	if err := r.ResumeApp(t.Context(), "shop"); err != nil {
		t.Fatal(err)
	}
	r.wait(big.Message)
	r.wait(small.Message)
	if numbers, states := all(big.Message, 999); len(numbers) != 2995 || states[Accepted] != 2995 {
		t.Errorf("%d of 2995, %v", len(numbers), states)
	}
	if _, _, err := r.Deliveries(t.Context(), small.Message, 10, 1); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if _, _, err := r.Deliveries(t.Context(), MessageID{newUnit(r.began), 3}, 0, 3); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
}

// A message is found whatever its first device tokens are like, and whether or
// not it has a time.
func TestMessageBehindRefused(t *testing.T) { virtually(t, testMessageBehindRefused) }

func testMessageBehindRefused(t *testing.T) {
	apple := apnstest.StartMem(t)
	r := newRig(t, apple)
	if err := r.PauseApp(t.Context(), "shop", ""); err != nil {
		t.Fatal(err)
	}
	targets := devices(0, 5000)
	for i := range 2000 {
		targets[i].DeviceToken = "no"
	}
	for _, n := range []int{2100, 5000} {
		for _, at := range []time.Time{{}, time.Now().Add(time.Hour)} {
			m, want := hello(), Queued
			if m.SendAt = at; !at.IsZero() {
				want = Scheduled
			}
			id := r.submit(m, targets[:n]...).Message
			if s, err := r.Message(t.Context(), id); err != nil || s.Accepted != n-2000 || s.States[want] != n-2000 {
				t.Errorf("%d at %v: %+v, %v", n, at, s, err)
			}
			listed := 0
			for from := 0; from < n; {
				list, next, err := r.Deliveries(t.Context(), id, from, 999)
				if err != nil && !errors.Is(err, ErrNotFound) {
					t.Fatal(err)
				}
				listed, from = listed+len(list), next
			}
			if listed != n-2000 {
				t.Errorf("%d at %v: %d are listed", n, at, listed)
			}
			if err := r.CancelMessage(t.Context(), id); err != nil {
				t.Error(err)
			}
			if s, err := r.Message(t.Context(), id); err != nil || s.States[Cancelled] != n-2000 {
				t.Errorf("%d at %v: %+v, %v", n, at, s, err)
			}
		}
	}
}

// Ids that name no message, be they made up or put together from others, leave
// nothing on the log.
func TestCancelNone(t *testing.T) { virtually(t, testCancelNone) }

func testCancelNone(t *testing.T) {
	apple := apnstest.StartMem(t)
	r := newRig(t, apple)
	ended := r.submit(hello(), devices(0, 3)...).Message
	r.wait(ended)
	if err := r.PauseApp(t.Context(), "shop", ""); err != nil {
		t.Fatal(err)
	}
	waits := r.submit(hello(), devices(0, 3)...).Message
	b := r.batch(BatchConfig{})
	fill(t, b, 0, 3)
	if _, err := b.Close(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	for _, id := range []MessageID{
		{newUnit(time.Now()), 1},
		{newUnit(time.Now()), maxTargets},
		{ended.First, 2}, {ended.First, 4}, {ended.ID(1), 2},
		{waits.First, 2}, {waits.First, 4}, {waits.ID(1), 2},
		{apns.ID(b.ID()), 3}, {apns.ID(b.ID()), 1},
	} {
		if err := r.CancelMessage(t.Context(), id); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %v", id, err)
		}
	}
	status, err := r.control.cancels.Status(t.Context())
	if err != nil || status.Values() != 0 {
		t.Errorf("%d records, %v", status.Values(), err)
	}
	if err := r.CancelMessage(t.Context(), waits); err != nil {
		t.Error(err)
	}
	if _, err := ParseMessageID(MessageID{waits.First, maxTargets + 1}.String()); err == nil {
		t.Error("an id of more device tokens than a message can have")
	}
}
