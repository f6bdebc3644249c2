package engine

import (
	"context"
	"sync"
)

// window bounds what is under way on one path, from being handed to the client to
// the verdict on the disk. It is what can be repeated after a crash.
type window struct {
	limit int

	mu      sync.Mutex
	used    int
	waiting []chan struct{}
}

// acquire waits for room for n notifications; false means that ctx is done.
func (w *window) acquire(ctx context.Context, n int) bool {
	for {
		w.mu.Lock()
		if w.used+n <= w.limit || w.used == 0 {
			w.used += n
			w.mu.Unlock()
			return true
		}
		freed := make(chan struct{})
		w.waiting = append(w.waiting, freed)
		w.mu.Unlock()
		select {
		case <-freed:
		case <-ctx.Done():
			return false
		}
	}
}

func (w *window) release(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.used -= n
	for _, freed := range w.waiting {
		close(freed)
	}
	w.waiting = w.waiting[:0]
}

func (w *window) inUse() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.used
}
