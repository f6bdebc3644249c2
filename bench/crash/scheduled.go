package main

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	// campaignAhead is how long before its time a campaign begins to be handed in.
	campaignAhead = 1500 * time.Millisecond
	// dueWithin bounds the wait for the first of it.
	dueWithin = 5 * time.Second
)

// campaign hands in n notifications that are due at the same second, half of them
// not to be doubled: single messages, messages to some, and a batch.
func (r *rig) campaign(urls []string, n int, due time.Time, seed uint64) []*request {
	left, made := make(chan order, callers), make(chan *request, callers)
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() {
			for o := range left {
				made <- r.load.send(r.ctx, urls[i%len(urls)], o)
			}
		})
	}
	go func() {
		random := rand.New(rand.NewPCG(seed, 7))
		for rest, first := n, true; rest > 0 && r.ctx.Err() == nil; first = false {
			o := order{count: 1, drop: random.IntN(2) == 0, sendAt: due}
			switch x := random.IntN(20); {
			case first:
				o.batch, o.count = true, n/5
			case x == 0:
				o.count = 100
			case x < 4:
				o.count = 10
			}
			if random.IntN(4) == 0 {
				o.sendAt = due.Add(time.Duration(random.IntN(800)) * time.Millisecond)
			}
			if random.IntN(5) == 0 && !o.batch {
				o.lane = "urgent"
			}
			rest -= o.count
			left <- o
		}
		close(left)
		all.Wait()
		close(made)
	}()
	var list []*request
	for q := range made {
		list = append(list, q)
	}
	return list
}

// scheduled kills around the time at which campaigns are due.
func scheduled(r *rig, at site) error {
	var late int
	for i := range r.ends {
		if err := at.up(); err != nil {
			return err
		}
		due := time.Now().Add(campaignAhead).Truncate(time.Second).Add(time.Second)
		n := r.n / (r.ends + 1)
		r.campaign(at.urls(), n, due, r.o.seed+uint64(i))
		if time.Now().After(due) {
			late++ // it was due at once, which is another test
		}
		r.moment(i, n, due)
		at.down()
		accepted, waiting := r.book.progress()
		r.say("killed %v after the time, %d accepted so far, %d wait", time.Since(due).Round(time.Millisecond), accepted, waiting)
	}
	if err := at.up(); err != nil {
		return err
	}
	due := time.Now().Add(campaignAhead).Truncate(time.Second).Add(time.Second)
	r.campaign(at.urls(), r.n/(r.ends+1), due, r.o.seed+uint64(r.ends))
	if late > r.ends/2 {
		r.broken("%d of %d campaigns were handed in too slowly to be scheduled", late, r.ends)
	}
	// Judging asks for each message, which would keep this machine from sending.
	time.Sleep(time.Until(due.Add(soon)))
	r.calm()
	at.close()
	if worst := r.res.Late.longest; worst > soon+patience+at.lease() {
		r.broken("what was scheduled was sent up to %s late: %s", fine(worst), r.res.Late.which)
	}
	return nil
}

// calm waits until nothing more is sent, within reason.
func (r *rig) calm() {
	last, since := uint64(0), time.Now()
	r.until(10*time.Second, func() bool {
		if n := r.sim.Stats().Processed; n != last {
			last, since = n, time.Now()
		}
		return time.Since(since) > calm
	})
}

// moment waits until a kill is worth most: when a tenth has been sent, or at any
// time around the one at which the campaign is due.
func (r *rig) moment(i, n int, due time.Time) {
	time.Sleep(time.Until(due.Add(-100 * time.Millisecond)))
	if i%2 == 1 {
		time.Sleep(time.Duration(r.random.Int64N(int64(600 * time.Millisecond))))
		return
	}
	before := r.sim.Stats().Processed
	ctx, cancel := context.WithDeadline(r.ctx, due.Add(dueWithin))
	defer cancel()
	for ctx.Err() == nil && r.sim.Stats().Processed < before+uint64(n/10) {
		time.Sleep(500 * time.Microsecond)
	}
}
