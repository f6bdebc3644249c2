package sim

import (
	"container/heap"
	"time"

	"aviso.example/internal/proto"
)

// timerQueue is everything a connection has to do later, on one timer.
type timerQueue struct {
	events  eventHeap
	seq     uint64
	timer   *time.Timer
	stopped bool
}

type event struct {
	due time.Duration // since the connection began
	seq uint64        // keeps the order of equal times
	do  func()
}

type eventHeap []event

func (h eventHeap) Len() int { return len(h) }
func (h eventHeap) Less(i, j int) bool {
	return h[i].due < h[j].due || h[i].due == h[j].due && h[i].seq < h[j].seq
}
func (h eventHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *eventHeap) Push(x any)   { *h = append(*h, x.(event)) }
func (h *eventHeap) Pop() any {
	old := *h
	e := old[len(old)-1]
	old[len(old)-1] = event{}
	*h = old[:len(old)-1]
	return e
}

// after runs do under the connection's lock once d has passed, unless the
// connection ends first. The caller holds the lock.
func (c *conn) after(d time.Duration, do func()) {
	q := &c.timers
	if q.stopped {
		return
	}
	q.seq++
	e := event{time.Since(c.start) + d, q.seq, do}
	heap.Push(&q.events, e)
	if q.timer == nil {
		q.timer = time.AfterFunc(d, c.runTimers)
	} else if q.events[0].seq == e.seq {
		q.timer.Reset(d)
	}
}

func (c *conn) runTimers() {
	c.mu.Lock()
	defer c.mu.Unlock()
	q := &c.timers
	for !q.stopped && len(q.events) > 0 {
		now := time.Since(c.start)
		if wait := q.events[0].due - now; wait > 0 {
			q.timer.Reset(wait)
			break
		}
		heap.Pop(&q.events).(event).do()
	}
	if !q.stopped {
		c.flush()
	}
}

func (q *timerQueue) stop() {
	q.stopped = true
	q.events = nil
	if q.timer != nil {
		q.timer.Stop()
	}
}

// watchIdle ends the connection when nothing has arrived for IdleTimeout.
func (c *conn) watchIdle() {
	limit := c.srv.cfg.IdleTimeout
	if limit <= 0 {
		return
	}
	var check func()
	check = func() {
		if quiet := time.Since(c.batchTime); quiet < limit {
			c.after(limit-quiet, check)
			return
		}
		c.goAway(goAwayParams{last: c.maxID, debug: reasonJSON(proto.ReasonIdleTimeout, 0)})
		for _, st := range c.streams { // nobody has touched them for so long
			c.drop(st, true)
		}
	}
	c.after(limit, check)
}
