package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
	"time"
)

const (
	// expiresIn is how long what expires while its app is away has from when it is
	// handed in.
	expiresIn = 3 * time.Second
	// takenOver bounds the time until a change of the configuration holds.
	takenOver = 10 * time.Second
)

// away is one way in which an app goes and comes.
type away struct {
	name     string
	restarts bool     // it goes and comes while the server is down
	killed   bool     // which is not stopped but killed
	hangUp   bool     // SIGHUP says to look at the configuration
	instead  []string // the apps that are there meanwhile
}

// waiting is what an app has when it goes, in every way that something can wait.
type waiting struct {
	queued, scheduled, expiring, expiringLater, expiringBatch *request
}

func (w *waiting) all() []*request {
	return []*request{w.queued, w.scheduled, w.expiring, w.expiringLater, w.expiringBatch}
}

// expire are those whose end comes while the app is away.
func (w *waiting) expire() []*request {
	return []*request{w.expiring, w.expiringLater, w.expiringBatch}
}

// comings is the row under way.
type comings struct {
	*alone
	expiries []time.Duration // from the expiration until the API says so
	backs    []time.Duration // from when the app is there and resumed to its next push
}

// apps has an app go and come.
func apps(r *rig) error {
	c := &comings{alone: &alone{rig: r}}
	defer c.kill()
	r.book.healthy = true
	if err := r.configure(r.data(), "", shop, news); err != nil {
		return err
	}
	if err := c.up(); err != nil {
		return err
	}
	// The other app has something to do all the time.
	r.load.pace, r.load.batch = 150*time.Millisecond, 300
	r.load.plan = toShop
	loading, stop := context.WithCancel(r.ctx)
	var all sync.WaitGroup
	all.Go(func() { r.load.run(loading, r.o.seed) })
	defer all.Wait()
	defer stop()
	for _, way := range []away{
		{name: "by a reload", hangUp: true, instead: []string{shop}},
		{name: "over a restart", restarts: true, instead: []string{shop}},
		{name: "over a kill", restarts: true, killed: true, instead: []string{shop}},
		{name: "under another name", instead: []string{shop, renamed}},
	} {
		if err := c.goAndCome(&way); err != nil {
			return fmt.Errorf("%s: %w", way.name, err)
		}
	}
	stop()
	all.Wait()
	r.book.change(func() {
		for _, q := range r.book.requests {
			q.held = q.held || q.app == news
		}
	})
	if len(c.expiries) > 0 {
		r.res.note("What expired while its app was away was told to be expired within %s of its expiration (median; the longest %s)", middle(c.expiries), longest(c.expiries))
	}
	if len(c.backs) > 0 {
		r.res.note("Back again, its next push came within %s (median; the longest %s)", middle(c.backs), longest(c.backs))
	}
	r.late("expired while its app was away", c.expiries)
	r.late("the next push of an app that is back", c.backs)
	c.close()
	return nil
}

func (c *comings) goAndCome(way *away) error {
	w, err := c.leave()
	if err != nil {
		return err
	}
	c.say("%s: the app goes", way.name)
	mark := c.logged()
	if err := c.reconfigure(way, false, way.instead...); err != nil {
		return err
	}
	c.told(way, mark)
	c.expired(way, w)
	if err := c.reconfigure(way, true, shop, news); err != nil {
		return err
	}
	c.say("%s: the app is back", way.name)
	if err := c.control(c.server, "resume-app", news); err != nil {
		return err
	}
	back := time.Now()
	if !c.until(20*time.Second, func() bool { return c.sent(w.queued) == w.queued.count && c.sent(w.scheduled) == w.scheduled.count }) {
		c.wrongs("what waited for its app was not sent within 20 s of its coming back", "%s: %d of %d queued, %d of %d scheduled", way.name, c.sent(w.queued), w.queued.count, c.sent(w.scheduled), w.scheduled.count)
		return nil
	}
	c.backs = append(c.backs, c.firstOf(w).Sub(back))
	return nil
}

// leave hands in for the app, which sends nothing.
func (c *comings) leave() (*waiting, error) {
	if err := c.control(c.server, "pause-app", news); err != nil {
		return nil, err
	}
	now := time.Now()
	over := now.Add(expiresIn).Truncate(time.Second)
	order := order{app: news, count: c.n}
	send := func(change func()) *request {
		o := order
		defer func() { order = o }()
		change()
		return c.load.send(c.ctx, c.server.url, order)
	}
	w := &waiting{
		queued:    send(func() {}),
		scheduled: send(func() { order.sendAt = now.Add(expiresIn) }),
		expiring:  send(func() { order.expires = over }),
		expiringLater: send(func() {
			order.sendAt, order.expires = over.Add(-time.Second), over
		}),
		expiringBatch: send(func() { order.batch, order.expires = true, over }),
	}
	for _, q := range w.all() {
		if q.answer != accepted {
			return nil, errorf("%s was not accepted", q)
		}
	}
	return w, nil
}

// reconfigure has the server run with other apps.
func (c *comings) reconfigure(way *away, back bool, apps ...string) error {
	if way.restarts {
		if way.killed {
			c.server.kill()
		} else if err := c.server.stop(); err != nil {
			c.broken("%s: the server ended with %v", way.name, err)
		}
		c.server = nil
		c.load.at()
		c.ended()
	}
	if err := c.configure(c.data(), "", apps...); err != nil {
		return err
	}
	if way.restarts {
		return c.up()
	}
	if way.hangUp {
		c.server.signal(syscall.SIGHUP)
	}
	if !c.until(takenOver, func() bool {
		p, err := c.call(c.ctx, c.server.url, "get-app", news, nil)
		return err == nil && p.ok() == back
	}) {
		return errorf("the configuration was not taken over within %v", takenOver)
	}
	return nil
}

// told looks whether anybody would notice that something waits for an app that is
// not there.
func (c *comings) told(way *away, mark int64) {
	var status struct{ Unconfigured json.RawMessage }
	if !c.until(soon+patience, func() bool {
		time.Sleep(50 * time.Millisecond)
		return c.get(c.ctx, c.server.url, "get-status", "", "", &status) == nil && names(status.Unconfigured, news)
	}) {
		c.wrongs("/v1/status does not name an app for which something waits and which is not configured", "%s: unconfigured is %s", way.name, status.Unconfigured)
	}
	if p, err := c.request(c.ctx, c.server.url, "readyz", "", "?verbose", "", nil); err != nil || !names(p.body, news) {
		c.wrongs("/readyz?verbose does not name an app for which something waits and which is not configured", "%s: %s (%v)", way.name, p, err)
	}
	if !slices.ContainsFunc(c.complaints(mark), func(line string) bool { return names([]byte(line), news) }) {
		c.wrongs("no line of the log, Warn or Error, names an app for which something waits and which is not configured", "%s", way.name)
	}
}

// expired waits for what expires while the app is away.
func (c *comings) expired(way *away, w *waiting) {
	for _, q := range w.expire() {
		id := "get-message"
		if q.batch {
			id = "get-batch"
		}
		ended := func() bool {
			var is struct {
				States, Outcomes map[string]int
				Done             bool
			}
			err := c.get(c.ctx, c.server.url, id, q.name(), "", &is)
			return err == nil && is.Done && is.States["expired"]+is.Outcomes["expired"] == q.count
		}
		if !c.until(time.Until(q.expires)+soon+patience, ended) {
			c.wrongs("what expired while its app was away has not ended", "%s: %v after its expiration, %s", way.name, time.Since(q.expires).Round(time.Millisecond), q)
			continue
		}
		c.expiries = append(c.expiries, max(0, time.Since(q.expires)))
	}
	// And what was scheduled is due while the app is away.
	time.Sleep(time.Until(w.scheduled.sendAt.Add(100 * time.Millisecond)))
}

// sent is how much of a request was processed.
func (c *comings) sent(q *request) (n int) {
	c.book.change(func() { n = q.processed })
	return n
}

// firstOf is when the first of them was processed.
func (c *comings) firstOf(w *waiting) (first time.Time) {
	c.book.change(func() {
		for _, q := range w.all() {
			for k := range q.count {
				n := &c.book.notes[q.base+k]
				if at := time.UnixMilli(n.first); n.processed > 0 && (first.IsZero() || at.Before(first)) {
					first = at
				}
			}
		}
	})
	return first
}

// toShop has the load send for the app that stays.
func toShop(o *order, _ *rand.Rand) { o.app = shop }
