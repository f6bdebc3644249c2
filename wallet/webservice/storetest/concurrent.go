package storetest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"aviso.example/wallet/webservice"
)

// testManyWriters looks for changes that become visible after a later one has been
// seen: a device that asks in between would never hear of them.
func testManyWriters(t *testing.T, r *rig) {
	const writers, changes = 4, 40
	for w := range writers {
		for c := range changes {
			r.register(phone, tokenA, card(fmt.Sprint(w, ".", c)), begin)
		}
	}
	first, err := r.store.Updated(t.Context(), phone, passes, 0)
	if err != nil {
		t.Fatal(err)
	}
	var writing sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			for c := range changes {
				// Clocks disagree, and time plays no part.
				if _, err := r.store.Change(t.Context(), passes, []string{fmt.Sprint(w, ".", c)}, begin.Add(time.Duration(-w)*time.Hour)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() {
		writing.Wait()
		close(done)
	}()
	seen, tag := map[string]int{}, first.Sequence
	for last := false; ; {
		u, err := r.store.Updated(t.Context(), phone, passes, tag)
		if err != nil {
			t.Fatal(err)
		}
		for _, serial := range u.Serials {
			seen[serial]++
		}
		tag = max(tag, u.Sequence)
		if last {
			break
		}
		select {
		case <-done:
			last = true // once more
		default:
		}
	}
	for w := range writers {
		for c := range changes {
			if serial := fmt.Sprint(w, ".", c); seen[serial] != 1 {
				t.Errorf("%s was listed %d times", serial, seen[serial])
			}
		}
	}
}

// testManyClaimers has several updaters share the work without doing it twice.
func testManyClaimers(t *testing.T, r *rig) {
	const devices, claimers = 120, 4
	for i := range devices {
		r.register(fmt.Sprint(i), tokenA, card("shared"), begin)
	}
	r.change(passes, begin, "shared")
	var mu sync.Mutex
	claims := map[string]int{}
	var claiming sync.WaitGroup
	for range claimers {
		claiming.Go(func() {
			for {
				claimed, err := r.store.Claim(t.Context(), passes, 7, begin, begin.Add(time.Minute))
				if err != nil {
					t.Error(err)
				}
				if len(claimed) == 0 {
					return
				}
				var settlements []webservice.Settlement
				mu.Lock()
				for _, p := range claimed {
					claims[p.Device]++
					settlements = append(settlements, webservice.Settlement{Push: p, Verdict: webservice.Told})
				}
				mu.Unlock()
				if _, err := r.store.Settle(t.Context(), settlements); err != nil {
					t.Error(err)
				}
			}
		})
	}
	claiming.Wait()
	for i := range devices {
		if n := claims[fmt.Sprint(i)]; n != 1 {
			t.Errorf("device %d was claimed %d times", i, n)
		}
	}
}
