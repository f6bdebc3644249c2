package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"aviso.example/bench/lognodes"
)

const (
	// shortLease is engine.lease of the two servers where they fail, longLease
	// the default, where the log does: it has to be longer than the log needs to
	// agree on new leaders.
	shortLease, longLease = 3 * time.Second, 30 * time.Second
	// frozen is how long a process is stopped that comes back: well beyond the
	// short lease, and beyond the log's own patience of some seconds.
	frozen = 4 * shortLease
	// clusterStart bounds the time until a server starts that did not at first.
	clusterStart = 40 * time.Second
	// firstScheduled is how far ahead the first scheduled notification is.
	firstScheduled = 2 * time.Second
)

var clusterRows = []*row{
	{
		name: "server killed", what: "one of the two `aviso serve` gets SIGKILL under load and is started again after 12 s, then the other one",
		noted: "the other one takes over what was under way when the lease of 3 s has run out",
		n:     60_000, shortN: 10_000, calls: handsIn, play1: clusterRow(shortLease, func(c *cluster) []failure {
			return []failure{c.killEngine(0), c.killEngine(1)}
		}),
	},
	{
		name: "scheduled", what: "as with one server; people ask both, and one of them is killed around the time at which a campaign is due and comes back; the lease is 3 s",
		noted: "each has one end, nothing comes before its time",
		n:     24_000, ends: 6, shortN: 6_000, shortEnds: 1,
		calls: handsIn, play1: onTwo(scheduled),
	},
	{
		name: "dead letters", what: "as with one server; people ask both, and one of them is killed and comes back",
		noted: "one of them gets it, the others 404 or 409; what is sent again ends, what was discarded is not sent",
		n:     1_500, ends: 4, shortN: 200, shortEnds: 1,
		calls: letterCalls, play1: onTwo(letters),
	},
	{
		name: "operators", what: "as with one server; people ask both, and one of them is killed and comes back",
		noted: "what was called back ends so, unless APNs had it; everything ends",
		n:     600, ends: 4, shortN: 100, shortEnds: 1,
		calls: operatorCalls, play1: onTwo(operate),
	},
	{
		name: "server stopped", what: "SIGSTOP for 12 s, then SIGCONT, one after the other",
		noted: "it finds that its leases are over and sends nothing of what another has taken",
		n:     60_000, shortN: 10_000, fullOnly: true, calls: handsIn, play1: clusterRow(shortLease, func(c *cluster) []failure {
			return []failure{c.freeze("server 1", c.engines[0].process), c.freeze("server 2", c.engines[1].process)}
		}),
	},
	{
		name: "log server killed", what: "each of the three NATS servers gets SIGKILL under load and is started again after 12 s; the lease is 30 s",
		noted: "two of three are enough",
		n:     60_000, shortN: 10_000, fullOnly: true, calls: handsIn, play1: clusterRow(longLease, func(c *cluster) []failure {
			return []failure{c.killNATS(0), c.killNATS(1), c.killNATS(2)}
		}),
	},
	{
		name: "log server cut off", what: "each of the three NATS servers is stopped (SIGSTOP) for 12 s: its connections stay open and nothing comes; the lease is 30 s",
		noted: "the others agree on new leaders after some seconds",
		n:     60_000, shortN: 10_000, fullOnly: true, calls: handsIn, play1: clusterRow(longLease, func(c *cluster) []failure {
			return []failure{c.freeze("log server 1", c.nats[0].process), c.freeze("log server 2", c.nats[1].process), c.freeze("log server 3", c.nats[2].process)}
		}),
	},
}

// cluster is three log servers and two servers.
type cluster struct {
	*rig
	lease   time.Duration
	urls    string
	nats    [3]*natsServer
	engines [2]*server
	configs [2]string
}

type natsServer struct {
	*process
	config, log string
}

// failure is something that happens, and how it is put right.
type failure struct {
	name         string
	begin, after func() error
}

func (c *cluster) startNATS(i int) error {
	n := c.nats[i]
	p, err := start("nats-server", n.log, exec.Command(c.o.nats, "-c", n.config))
	if err != nil {
		return err
	}
	p.watch(nil)
	n.process = p
	return nil
}

// errorLog is the file for what a server logs.
func errorLog(i int) string { return fmt.Sprintf("aviso-%d.log", i+1) }

func (c *cluster) startEngine(i int) error {
	s, err := serve(c.ctx, c.o, c.configs[i], filepath.Join(c.dir, errorLog(i)), 0, "--nats", c.urls)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.engines[i] = s
	c.res.Starts = append(c.res.Starts, s.took)
	return nil
}

// listen tells the callers whom they can ask.
func (c *cluster) listen() { c.load.at(c.engines[0].url, c.engines[1].url) }

func (c *cluster) prepare() error {
	nodes, err := lognodes.Write(c.dir)
	if err != nil {
		return err
	}
	c.urls = nodes.URLs
	for i, config := range nodes.Configs {
		c.nats[i] = &natsServer{config: config, log: filepath.Join(c.dir, fmt.Sprintf("nats-%d.log", i+1))}
		if err := c.startNATS(i); err != nil {
			return err
		}
	}
	for i := range c.engines {
		if err := c.configure(filepath.Join(c.dir, fmt.Sprintf("data-%d", i+1)), fmt.Sprintf("  lease: %v\n", c.lease), shop); err != nil {
			return err
		}
		c.configs[i] = filepath.Join(c.dir, fmt.Sprintf("aviso-%d.yaml", i+1))
		if err := os.Rename(c.config, c.configs[i]); err != nil {
			return err
		}
	}
	if err := c.startBoth(); err != nil {
		return err
	}
	return c.firstUse()
}

// startBoth starts both servers at the same moment, while the log servers are
// still agreeing with each other and everything on them has to be made.
func (c *cluster) startBoth() error {
	var all sync.WaitGroup
	var errs [2]error
	begin := make(chan struct{})
	for i := range c.engines {
		all.Go(func() {
			<-begin
			errs[i] = c.startEngine(i)
		})
	}
	close(begin)
	all.Wait()
	for i, err := range errs {
		if err == nil {
			continue
		}
		c.wrongs("a server that was started at the same moment as the other one did not start", "server %d: %v", i+1, err)
		// The rest of the row is worth knowing all the same.
		if !c.until(clusterStart, func() bool { err = c.startEngine(i); return err == nil }) {
			return err
		}
	}
	return nil
}

// firstUse hands in the first notification of every lane, the first scheduled one
// and the first batch to both servers at the same moment. Both have to take them,
// and what is scheduled has to come in time.
func (c *cluster) firstUse() error {
	orders := []order{
		{count: 1, lane: "urgent"}, {count: 1, lane: "normal"}, {count: 1, lane: "bulk"},
		{count: 1, sendAt: time.Now().Add(firstScheduled)}, {count: 10, batch: true}, {count: 10, batch: true, rate: 100},
	}
	c.http.CloseIdleConnections()
	var all sync.WaitGroup
	var later []*request
	for _, o := range orders {
		begin := make(chan struct{})
		made := make([]*request, len(c.engines))
		for i, e := range c.engines {
			all.Go(func() {
				<-begin
				made[i] = c.load.send(c.ctx, e.url, o)
			})
		}
		close(begin)
		all.Wait()
		for i, q := range made {
			if q.answer != accepted {
				c.wrongs("both servers used a lane for the first time at the same moment, and it was not accepted", "%s by server %d", q, i+1)
			} else if !q.sendAt.IsZero() {
				later = append(later, q)
			}
		}
	}
	for _, q := range later {
		if !c.until(time.Until(q.sendAt)+soon+patience, func() (done bool) {
			c.book.change(func() { done = q.processed+q.deadCount() == q.count })
			return done
		}) {
			c.wrongs("what was scheduled first through both servers at the same moment came too late", "%v after its time it was not there: %s", time.Since(q.sendAt).Round(time.Millisecond), q)
		}
	}
	return nil
}

// end kills whatever is left.
func (c *cluster) end() {
	for _, e := range c.engines {
		if e != nil {
			e.signal(syscall.SIGCONT)
			e.kill()
		}
	}
	for _, n := range c.nats {
		if n != nil && n.process != nil {
			n.signal(syscall.SIGCONT)
			n.kill()
		}
	}
}

func (c *cluster) killEngine(i int) failure {
	return failure{fmt.Sprintf("server %d killed", i+1), func() error { c.engines[i].kill(); return nil }, func() error {
		if err := c.startEngine(i); err != nil {
			return err
		}
		c.listen()
		return nil
	}}
}

func (c *cluster) killNATS(i int) failure {
	return failure{fmt.Sprintf("log server %d killed", i+1), func() error { c.nats[i].kill(); return nil }, func() error { return c.startNATS(i) }}
}

func (c *cluster) freeze(name string, p *process) failure {
	return failure{name + " stopped", func() error { p.signal(syscall.SIGSTOP); return nil }, func() error { p.signal(syscall.SIGCONT); return nil }}
}

func clusterRow(lease time.Duration, failures func(*cluster) []failure) func(*rig) error {
	return func(r *rig) (err error) {
		c := &cluster{rig: r, lease: lease}
		defer c.end()
		r.byTime = true
		if err := c.prepare(); err != nil {
			return err
		}
		// Failures last for a while, and what comes in meanwhile has to be judged.
		r.load.most, r.load.pace = 10_000, 60*time.Millisecond
		wait := frozen
		if r.o.short {
			r.load.pace, wait = 200*time.Millisecond, frozen/2
		}
		c.listen()
		loading, stop := context.WithCancel(r.ctx)
		var all sync.WaitGroup
		all.Go(func() { r.load.run(loading, r.o.seed) })
		defer all.Wait()
		defer stop()
		accepted := func() int { n, _ := r.book.progress(); return n }
		list := failures(c)
		for i, f := range list {
			goal := r.n * (i + 1) / (len(list) + 1)
			if !r.until(2*time.Minute, func() bool { return accepted() >= goal }) {
				return errors.Join(context.Cause(r.ctx), errorf("before %s: %d of %d were accepted within two minutes; the log ends:\n%s", f.name, accepted(), goal, tail(filepath.Join(r.dir, "aviso-1.log"))))
			}
			began := time.Now()
			r.ended()
			if err := f.begin(); err != nil {
				return err
			}
			r.say("%s at %d accepted", f.name, accepted())
			r.until(wait, func() bool { return false })
			if err := f.after(); err != nil {
				return err
			}
			r.fails = append(r.fails, failed{f.name, began})
		}
		if !r.until(2*time.Minute, func() bool { return accepted() >= r.n }) {
			return errorf("%d of %d were accepted within two minutes after everything was well; the log ends:\n%s", accepted(), r.n, tail(filepath.Join(r.dir, "aviso-1.log")))
		}
		stop()
		all.Wait()
		r.say("accepted %d", accepted())
		r.res.Bound = r.res.Ends * 2 * lanes * window
		r.settle(c.engines[0])
		// The other one says the same.
		other := &judge{book: r.book, caller: r.caller, ctx: r.ctx, url: c.engines[1].url, res: &result{}, broken: r.broken, wrongs: r.wrongs}
		finals := map[string]int{}
		if err := other.all(verdictList, "", "?limit=1000", func(d *delivery) {
			if d.Done {
				finals[d.ID]++
			}
		}); err != nil {
			return err
		}
		if len(finals) != r.finals {
			r.broken("one server knows the ends of %d notifications, the other of %d", r.finals, len(finals))
		}
		r.takeOver()
		if n := r.res.TwiceEnded; n > 0 {
			r.res.note("%d notifications that two servers had have a verdict by each", n)
		}
		for i, e := range c.engines {
			if err := e.stop(); err != nil {
				r.broken("server %d: %v", i+1, err)
			}
		}
		return nil
	}
}

// failed is a failure that happened.
type failed struct {
	name string
	at   time.Time
}

// takeOver says for each failure how long what had been accepted before it took
// to be sent, and for how long nothing was sent at all.
func (r *rig) takeOver() {
	b := r.book
	for i, f := range r.fails {
		var longest, gap time.Duration
		for _, q := range b.requests {
			if q.answer != accepted || q.drop || q.at.After(f.at) {
				continue
			}
			for k := range q.count {
				if n := &b.notes[q.base+k]; n.processed > 0 {
					longest = max(longest, time.UnixMilli(n.first).Sub(f.at))
				}
			}
		}
		end := time.Now()
		if i+1 < len(r.fails) {
			end = r.fails[i+1].at
		}
		for _, g := range b.gaps {
			if g.end.After(f.at) && g.end.Before(end) {
				gap = max(gap, g.took)
			}
		}
		r.res.note("%s: what had been accepted before was sent %.1f s later at the latest, and for %.1f s nothing was sent at all", f.name, max(0, longest.Seconds()), gap.Seconds())
	}
}
