package engine

import (
	"context"
	"sync/atomic"

	"golang.org/x/sync/semaphore"
)

// window bounds what is under way on one path, from being handed to the client to
// the verdict on the disk. It is what can be repeated after a crash. Chunks get
// their room in the order in which they asked, so that small ones do not keep
// pushing in before a large one.
type window struct {
	room *semaphore.Weighted
	used atomic.Int64
}

// newWindow has room for limit notifications, which must hold a whole chunk.
func newWindow(limit int) *window { return &window{room: semaphore.NewWeighted(int64(limit))} }

// acquire waits for room for n notifications; false means that ctx is done.
func (w *window) acquire(ctx context.Context, n int) bool {
	if w.room.Acquire(ctx, int64(n)) != nil {
		return false
	}
	w.used.Add(int64(n))
	return true
}

func (w *window) release(n int) {
	w.used.Add(-int64(n))
	w.room.Release(int64(n))
}

func (w *window) inUse() int { return int(w.used.Load()) }
