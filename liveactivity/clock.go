package liveactivity

import "time"

// clock gives timestamps that grow by a second at least. Its owner guards it.
type clock struct {
	now  func() time.Time
	last int64 // UNIX seconds
}

func newClock(now func() time.Time, last int64) clock {
	if now == nil {
		now = time.Now
	}
	return clock{now, last}
}

// next returns the timestamp of the next push.
func (c *clock) next() time.Time {
	c.last = max(c.now().Unix(), c.last+1)
	return time.Unix(c.last, 0)
}
