package engine

import (
	"context"
	"testing"
	"testing/synctest"
)

// A chunk that needs much room gets it, although small ones keep coming.
func TestWindowServesInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWindow(1024)
		for range 4 {
			w.acquire(t.Context(), 256)
		}
		got := make(chan int, 3)
		for _, n := range []int{1024, 1, 2} {
			go func() {
				if w.acquire(t.Context(), n) {
					got <- n
				}
			}()
			synctest.Wait()
		}
		w.release(256)
		synctest.Wait()
		if len(got) != 0 {
			t.Fatalf("%d was served before the chunk that came first", <-got)
		}
		for range 3 {
			w.release(256)
		}
		if n := <-got; n != 1024 {
			t.Fatalf("%d was served first", n)
		}
		if w.inUse() != 1024 {
			t.Errorf("%d in use", w.inUse())
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if w.acquire(ctx, 1) {
			t.Error("room was given to somebody who had left")
		}
		w.release(1024)
		if a, b := <-got, <-got; a+b != 3 {
			t.Errorf("%d and %d were served last", a, b)
		}
	})
}
