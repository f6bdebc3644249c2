package engine

import (
	"errors"
	"testing"

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
