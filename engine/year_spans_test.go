package engine

import (
	"sort"
	"time"
)

// span is a time in which something held.
type span struct {
	from, until time.Time // until is zero while it still holds
	// loose is how much longer it may be felt: APNs is well again before anybody
	// has found that out.
	loose time.Duration
	what  string
}

// spans are the times in which something held, oldest first. They may overlap.
type spans struct {
	list []*span
	// longest is what a span took at most, which bounds how far to look back.
	longest time.Duration
}

func (s *spans) begin(now time.Time, what string) *span {
	sp := &span{from: now, what: what}
	s.list = append(s.list, sp)
	return sp
}

func (s *spans) end(sp *span, now time.Time, loose time.Duration) {
	sp.until, sp.loose = now, loose
	s.longest = max(s.longest, now.Sub(sp.from)+loose)
}

// open returns the span that holds now, or nil.
func (s *spans) open() *span {
	for i := len(s.list) - 1; i >= 0; i-- {
		if s.list[i].until.IsZero() {
			return s.list[i]
		}
	}
	return nil
}

// over says when a span is not felt any more; one that still holds, never.
func (sp *span) over() time.Time {
	if sp.until.IsZero() {
		return endOfTime
	}
	return sp.until.Add(sp.loose)
}

var endOfTime = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

// next returns a span that is felt after a time and began before the other; of
// several the one that is felt longest.
func (s *spans) next(at, before time.Time) (found *span) {
	if s == nil {
		return nil
	}
	n := sort.Search(len(s.list), func(i int) bool { return s.list[i].from.After(before) })
	for i := n - 1; i >= 0; i-- {
		sp := s.list[i]
		if sp.over().After(at) && (found == nil || sp.over().After(found.over())) {
			found = sp
		}
		if open := s.list[0]; !open.until.IsZero() && sp.from.Add(s.longest).Before(at) && s.open() == nil {
			break // whatever began earlier is over
		}
	}
	return found
}

// hit reports whether any of it was felt between two times.
func (s *spans) hit(from, until time.Time) bool { return s.next(from, until) != nil }
