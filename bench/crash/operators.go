package main

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// operatorsAtOnce do as they like at the same time.
	operatorsAtOnce = 4
	// paceOf is the rate that a batch begins with, and pacedFor how long each rate
	// is kept: longer than a chunk of 1,024 takes at it.
	paceOf   = 400
	pacedFor = 3500 * time.Millisecond
	// quietFor is how long something is paused before it is resumed.
	quietFor = 400 * time.Millisecond
)

// operators is what people do to apps, batches and messages while a row runs, and
// how long it took.
type operators struct {
	*rig
	at site

	mu      sync.Mutex
	acted   int
	asleep  []*request      // paused, and the server died before they were resumed
	cancels []time.Duration // from the answer of a cancel until everything of it was done
	resumes []time.Duration // from the answer of a resume until the next push of it
	paces   []pace
}

// pace is a rate that was set for a batch, from when it was confirmed to when the
// next was asked for.
type pace struct {
	request  *request
	rate     float64
	from, to time.Time
}

// operate has people change what is under way while it is, and servers die.
func operate(r *rig, at site) error {
	if err := at.up(); err != nil {
		return err
	}
	o := &operators{rig: r, at: at}
	r.load.pace, r.load.most, r.load.batch = 100*time.Millisecond, 8_000, 500
	loading, stop := context.WithCancel(r.ctx)
	var all sync.WaitGroup
	all.Go(func() { r.load.run(loading, r.o.seed) })
	defer all.Wait()
	defer stop()
	for part := range r.ends + 1 {
		if err := at.up(); err != nil {
			return err
		}
		acting, enough := context.WithCancel(r.ctx)
		var people sync.WaitGroup
		for i := range operatorsAtOnce {
			people.Go(func() { o.act(acting, rand.New(rand.NewPCG(r.o.seed, uint64(100*part+i)))) })
		}
		goal := (part + 1) * r.n / (r.ends + 2)
		r.until(20*time.Second, func() bool { o.mu.Lock(); defer o.mu.Unlock(); return o.acted >= goal })
		if part < r.ends {
			at.down()
		}
		enough()
		people.Wait()
		r.say("part %d is over, operators acted %d times", part, o.acted)
	}
	if err := o.resumeAll(); err != nil {
		return err
	}
	// What takes its time is measured where nobody else acts.
	o.measureResumes()
	o.measureCancels()
	o.measurePaces()
	stop()
	all.Wait()
	r.book.change(func() {
		for _, q := range r.book.requests {
			q.held = true // apps were paused all the time
		}
	})
	at.close()
	o.judge()
	return nil
}

// server is one that is there, or "".
func (o *operators) server(random *rand.Rand) string {
	urls := o.at.urls()
	if len(urls) == 0 {
		return ""
	}
	return urls[random.IntN(len(urls))]
}

// act does this and that until ctx is done.
func (o *operators) act(ctx context.Context, random *rand.Rand) {
	for ctx.Err() == nil {
		url := o.server(random)
		if url == "" {
			time.Sleep(5 * time.Millisecond)
			continue
		}
		switch random.IntN(8) {
		case 0:
			o.try(url, "pause-app", shop, map[string]string{"note": "somebody looks at it"})
			o.rest(ctx, random)
			o.try(url, "resume-app", shop, nil)
		case 1:
			q := o.load.send(ctx, url, order{batch: true, count: 200, paused: random.IntN(2) == 0})
			if q.answer == accepted {
				o.tryByAll("pause-batch", q.name(), nil)
				o.rest(ctx, random)
				if !o.tryByAll("resume-batch", q.name(), nil) {
					o.mu.Lock()
					o.asleep = append(o.asleep, q)
					o.mu.Unlock()
				}
			}
		case 2:
			q := o.load.send(ctx, url, order{batch: true, count: 300, rate: 500})
			if q.answer == accepted {
				o.rest(ctx, random)
				o.tryByAll("change-batch", q.name(), map[string]float64{"rate": float64(random.IntN(3) * 1000)})
			}
		default:
			q := o.load.send(ctx, url, o.callable(random))
			o.rest(ctx, random)
			o.callBack(o.server(random), q)
		}
		o.mu.Lock()
		o.acted++
		o.mu.Unlock()
	}
}

func (o *operators) rest(ctx context.Context, random *rand.Rand) {
	select {
	case <-ctx.Done():
	case <-time.After(time.Duration(random.IntN(150)) * time.Millisecond):
	}
}

// callable is an order that is going to be called back: waiting for its time, in
// part or wholly under way, at a pace, or paused.
func (o *operators) callable(random *rand.Rand) order {
	ask := order{count: 1 + random.IntN(50), drop: random.IntN(4) == 0, batch: random.IntN(2) == 0}
	switch random.IntN(4) {
	case 0:
		ask.sendAt = time.Now().Add(time.Hour)
	case 1:
		ask.sendAt = time.Now().Add(100 * time.Millisecond)
	case 2:
		if ask.batch {
			ask.rate, ask.count = 100, 200
		}
	}
	return ask
}

// try calls an operation that has to be granted, unless the server dies.
func (o *operators) try(url, id, arg string, body any) bool {
	if url == "" {
		return false
	}
	p, err := o.call(o.ctx, url, id, arg, body)
	if err == nil && !p.ok() {
		o.wrongs(id+" was refused", "%s: %s", arg, p)
	}
	return err == nil && p.ok()
}

// tryByAll is try by two callers at each server, all at the same moment. It reports
// whether one of them was granted it.
func (o *operators) tryByAll(id, arg string, body any) bool {
	var granted atomic.Bool
	var callers sync.WaitGroup
	for _, url := range o.at.urls() {
		for range 2 {
			callers.Go(func() {
				if o.try(url, id, arg, body) {
					granted.Store(true)
				}
			})
		}
	}
	callers.Wait()
	return granted.Load()
}

// callBack cancels a request, and notes what was answered.
func (o *operators) callBack(url string, q *request) bool {
	if q.answer != accepted || url == "" {
		return false
	}
	id := "cancel-message"
	if q.batch {
		id = "cancel-batch"
	}
	o.book.change(func() {
		if q.called.asked.IsZero() {
			q.called.asked = time.Now()
		}
	})
	if !o.try(url, id, q.name(), nil) {
		return false
	}
	o.book.change(func() { q.called.answered = time.Now() })
	return true
}

// resumeAll ends all pauses that a dying server left, and calls back what would
// wait for an hour otherwise.
func (o *operators) resumeAll() error {
	url := o.at.urls()[0]
	if !o.try(url, "resume-app", shop, nil) {
		return errorf("the app cannot be resumed")
	}
	for _, q := range o.asleep {
		o.try(url, "resume-batch", q.name(), nil)
	}
	var left []*request
	o.book.change(func() {
		for _, q := range o.book.requests {
			if time.Until(q.sendAt) > time.Minute && q.called.answered.IsZero() {
				left = append(left, q)
			}
		}
	})
	for _, q := range left {
		o.callBack(url, q)
	}
	return nil
}

// measureResumes pauses the app, and a batch, and takes the time until what came
// meanwhile is pushed after each is resumed.
func (o *operators) measureResumes() {
	for i := range 6 {
		urls := o.at.urls()
		url, other := urls[i%len(urls)], urls[(i+1)%len(urls)]
		var q *request
		var resume func() bool
		if i%2 == 0 {
			if !o.try(url, "pause-app", shop, nil) {
				continue
			}
			q = o.load.send(o.ctx, url, order{count: 50})
			resume = func() bool { return o.try(other, "resume-app", shop, nil) }
		} else {
			q = o.load.send(o.ctx, url, order{batch: true, count: 100, paused: true})
			resume = func() bool { return o.try(other, "resume-batch", q.name(), nil) }
		}
		time.Sleep(quietFor)
		if at := time.Now(); resume() && q.answer == accepted {
			o.resumed(at, q)
		}
	}
}

// resumed waits for the first push of a request that waited at that time.
func (o *operators) resumed(at time.Time, q *request) {
	took := 10 * time.Second
	o.until(took, func() bool {
		next := o.next(at, q)
		if !next.IsZero() {
			took = next.Sub(at)
		}
		return !next.IsZero()
	})
	o.resumes = append(o.resumes, took)
}

// next is when the first notification of a request was processed after a time.
func (o *operators) next(at time.Time, q *request) (next time.Time) {
	o.book.change(func() {
		for k := range q.count {
			first := time.UnixMilli(o.book.notes[q.base+k].first)
			if first.After(at) && (next.IsZero() || first.Before(next)) {
				next = first
			}
		}
	})
	return next
}

// measureCancels calls back what has not been handed to APNs, in every way that
// something can wait, and takes the time until all of it is done.
func (o *operators) measureCancels() {
	ways := []struct {
		order
		appPaused bool
	}{
		{order: order{count: 50, sendAt: time.Now().Add(time.Hour)}},
		{order: order{count: 50, batch: true, sendAt: time.Now().Add(time.Hour)}},
		{order: order{count: 2000, batch: true, rate: 50}},
		{order: order{count: 200, batch: true, paused: true}},
		{order: order{count: 50}, appPaused: true},
		{order: order{count: 200, batch: true}, appPaused: true},
		{order: order{count: 50, batch: true, sendAt: time.Now().Add(time.Hour)}, appPaused: true},
	}
	for i, way := range ways {
		urls := o.at.urls()
		url, other := urls[i%len(urls)], urls[(i+1)%len(urls)]
		if way.appPaused && !o.try(url, "pause-app", shop, nil) {
			continue
		}
		if way.appPaused {
			time.Sleep(quietFor)
		}
		q := o.load.send(o.ctx, url, way.order)
		time.Sleep(quietFor)
		if o.callBack(other, q) {
			o.cancelled(url, q, way.appPaused)
		}
		if way.appPaused {
			o.try(other, "resume-app", shop, nil)
		}
	}
}

// cancelled waits until all of a request that was called back is done.
func (o *operators) cancelled(url string, q *request, appPaused bool) {
	id := "get-message"
	if q.batch {
		id = "get-batch"
	}
	limit := 5 * time.Second
	done := o.until(limit, func() bool {
		var is struct{ Done bool }
		return o.get(o.ctx, url, id, q.name(), "", &is) == nil && is.Done
	})
	took := time.Since(q.called.answered)
	o.cancels = append(o.cancels, took)
	if !done {
		o.wrongs("what was called back was not done within "+limit.String(), "%s; its app is paused: %v", q, appPaused)
	}
}

// measurePaces changes the rate of a batch under way.
func (o *operators) measurePaces() {
	rates := []float64{paceOf, 2 * paceOf}
	if !o.o.short {
		rates = append(rates, paceOf)
	}
	urls := o.at.urls()
	q := o.load.send(o.ctx, urls[0], order{batch: true, count: 10_000, rate: rates[0]})
	if q.answer != accepted {
		return
	}
	from := q.at
	for i, rate := range rates {
		time.Sleep(pacedFor)
		asked := time.Now()
		o.paces = append(o.paces, pace{q, rate, from, asked})
		next := 0.0 // which is no limit
		if i+1 < len(rates) {
			next = rates[i+1]
		}
		if !o.try(urls[i%len(urls)], "change-batch", q.name(), map[string]float64{"rate": next}) {
			return
		}
		from = time.Now()
	}
}

// judge says what was measured, and what of it was too slow or too fast.
func (o *operators) judge() {
	if len(o.resumes) > 0 {
		o.res.note("After a resume the next push of what waited came within %s (median; the longest %s)", middle(o.resumes), longest(o.resumes))
	}
	if len(o.cancels) > 0 {
		o.res.note("What was called back was done within %s of the answer (median; the longest %s)", middle(o.cancels), longest(o.cancels))
	}
	o.late("the next push after a resume", o.resumes)
	o.late("done after a cancel", o.cancels)
	worst := 0.0
	for i, p := range o.paces {
		most, all := p.sent()
		took := p.to.Sub(p.from).Seconds()
		if worst = max(worst, most/p.rate); most > 1.1*p.rate {
			o.wrongs("more was sent within a second than the rate and a tenth", "%.0f at a rate of %.0f, the %dth of %s", most, p.rate, i+1, p.request)
		}
		if all < p.rate*took/2 {
			o.wrongs("not half of what the rate allows was sent", "%.0f within %.1f s at a rate of %.0f, the %dth of %s", all, took, p.rate, i+1, p.request)
		}
	}
	if len(o.paces) > 0 {
		o.res.note("While a rate was set, at most %.2f of it was sent within a second", worst)
	}
}

// sent is the most that were sent within any second while the rate was set, and
// how many were sent in all. What was on its way when it was confirmed does not
// count.
func (p *pace) sent() (most, all float64) {
	times := slices.Sorted(slices.Values(p.request.times))
	from, to := p.from.Add(stillOnItsWay).UnixMilli(), p.to.UnixMilli()
	if p.rate == p.request.rate && p.from.Equal(p.request.at) {
		from = 0 // nothing of it can have been on its way before
	}
	times = slices.DeleteFunc(times, func(at int64) bool { return at < from || at > to })
	first := 0
	for i, at := range times {
		for times[first] <= at-1000 {
			first++
		}
		most = max(most, float64(i-first+1))
	}
	return most, float64(len(times))
}
