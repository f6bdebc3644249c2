package main

import (
	"slices"
	"time"
)

// life is a process, from its start to its ready line.
type life struct{ began, ready time.Time }

// lateness is how late scheduled notifications were sent.
type lateness struct {
	n       int
	longest time.Duration
	which   string
}

func (l *lateness) add(late time.Duration, q *request, first time.Time) {
	l.n++
	if late > l.longest {
		l.longest, l.which = late, q.String()+", sent at "+first.Format("15:04:05.000")
	}
}

// lifeOf is the process that was there at a time: the last that had begun.
func (r *rig) lifeOf(at time.Time) int {
	i, _ := slices.BinarySearchFunc(r.lived, at, func(l life, at time.Time) int {
		if l.began.After(at) {
			return 1
		}
		return -1
	})
	return i - 1
}

// measure says for each start when the next push came, and when the last of what
// had been waiting had been sent for the first time; and for what was scheduled
// how late it was. What was kept back, refused or called back tells nothing.
func (r *rig) measure() {
	b := r.book
	next, carried := make([]time.Duration, len(r.lived)), make([]time.Duration, len(r.lived))
	requests := make([]int, len(r.lived)) // that these were of
	for i := range next {
		next[i], carried[i] = -1, -1
	}
	for _, q := range b.requests {
		if q.answer != accepted || q.held || !q.called.asked.IsZero() {
			continue
		}
		due := q.at
		if q.sendAt.After(due) {
			due = q.sendAt
		}
		counted := -1
		for k := range q.count {
			n := &b.notes[q.base+k]
			if n.processed == 0 || n.refused {
				continue
			}
			first := time.UnixMilli(n.first)
			from, which := due, r.lifeOf(first)
			if which >= 0 && r.lived[which].ready.After(due) {
				from = r.lived[which].ready
				took := max(0, first.Sub(from))
				carried[which] = max(carried[which], took)
				if counted != which {
					counted = which
					requests[which]++
				}
				if next[which] < 0 || took < next[which] {
					next[which] = took
				}
			}
			if !q.sendAt.IsZero() {
				r.res.Late.add(first.Sub(from), q, first)
			}
		}
	}
	worst, excess := time.Duration(0), time.Duration(0)
	for i := range next {
		if i > 0 && next[i] >= 0 { // before the first nothing can have been waiting
			r.res.NextPush = append(r.res.NextPush, next[i])
			r.res.Carried = append(r.res.Carried, carried[i])
			if over := carried[i] - r.backlog(requests[i]); over > excess {
				worst, excess = carried[i], over
			}
		}
	}
	if len(r.res.NextPush) > 0 && !r.byTime {
		r.res.note("After a start the next push came within %s (median; the longest %s), and the last of what had been waiting or under way within %s (%s)",
			middle(r.res.NextPush), longest(r.res.NextPush), middle(r.res.Carried), longest(r.res.Carried))
		if !r.unhurried {
			r.late("the next push after a start", r.res.NextPush)
			if excess > 0 {
				r.broken("after a start it took %s until all had been sent that waited or was under way", fine(worst))
			}
		}
	}
	if r.res.Late.n > 0 {
		r.res.note("What was scheduled was sent at most %s after its time, or after the server that sent it was ready", seconds(r.res.Late.longest))
	}
}

// slowest is how many a second are sent at least, with everything else that this
// machine does meanwhile.
const slowest = 5_000

// syncsEach is how many syncs a request takes before its last notification is sent, one
// after the other and between those of callers: that it is about to be sent, what came
// of it, what is tried again, and that being moved to its queue.
const syncsEach = 4

// backlog is how long after a start all that waited of some requests may take to be
// sent.
func (r *rig) backlog(requests int) time.Duration {
	return soon + patience + time.Duration(r.load.most)*time.Second/slowest + time.Duration(startSyncs+syncsEach*requests)*r.o.slow
}

func sorted(list []time.Duration) []time.Duration { return slices.Sorted(slices.Values(list)) }

func middle(list []time.Duration) string { return fine(sorted(list)[(len(list)-1)/2]) }

func longest(list []time.Duration) string { return fine(slices.Max(list)) }

// startSyncs is how many syncs come before the first push after a start.
const startSyncs = 40

// late complains about the longest of some waits if it is beyond what a busy
// machine explains.
func (r *rig) late(what string, list []time.Duration) {
	if len(list) == 0 {
		return
	}
	if worst := slices.Max(list); worst > soon+patience+startSyncs*r.o.slow {
		r.broken("%s: the longest took %s of %s", what, fine(worst), fine(soon))
	}
}
