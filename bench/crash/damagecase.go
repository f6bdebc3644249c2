package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"aviso.example/sim"
)

const (
	// calm is how long nothing has to come before everything that comes has come.
	calm = 1200 * time.Millisecond
	// acceptsWithin bounds the time until something new is accepted, and sent.
	acceptsWithin = 5 * time.Second
)

// damageCase is one damage and what came of it.
type damageCase struct {
	*rig
	*template
	damage

	dir     string
	server  *server
	started bool
	after   uint64         // the simulator's last push before
	seen    map[string]int // device tokens, and how often they were sent to
	lost    int
}

// play damages a copy, starts a server on it, and looks at everything.
func (d *damageCase) play() error {
	data := filepath.Join(d.dir, "data")
	if err := os.CopyFS(data, os.DirFS(d.folder)); err != nil {
		return err
	}
	file := filepath.Join(data, d.file)
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if err := os.WriteFile(file, ways[d.how](content), 0o600); err != nil {
		return err
	}
	if err := d.configure(data, "", shop, news); err != nil {
		return err
	}
	d.log = filepath.Join(d.dir, "aviso.log")
	d.after = d.sim.Stats().Streams
	d.seen = map[string]int{}
	if list := d.sim.Pushes(sim.Filter{}); len(list) > 0 {
		d.after = list[len(list)-1].Sequence
	}
	d.server, err = d.serve(0)
	if err != nil {
		if d.ctx.Err() != nil {
			return err
		}
		d.refusesToStart(err)
		return nil
	}
	d.started = true
	defer d.server.kill()
	d.res.Ends++
	d.resume()
	d.await()
	d.compareGroups()
	d.compareLists()
	d.takesMore()
	if d.lost == 0 {
		d.say("%s: nothing lost", d.damage)
	}
	return nil
}

// refusesToStart judges what a server says that does not start.
func (d *damageCase) refusesToStart(err error) {
	lines := strings.Split(strings.TrimSpace(err.Error()), "\n")
	last := lines[len(lines)-1]
	if stream := streamOf(d.file); !strings.Contains(last, filepath.Base(d.file)) && (stream == "" || !strings.Contains(last, stream)) {
		d.wrongs("the server does not start, and the last it says does not name what is damaged", "%s: %s", d.damage, last)
	}
}

// resume resumes whatever was paused.
func (d *damageCase) resume() {
	for _, app := range []string{shop, news} {
		if err := d.control(d.server, "resume-app", app); err != nil {
			d.wrongs("an app cannot be resumed", "%s: %v", d.damage, err)
		}
	}
	for _, g := range d.groups {
		for _, q := range g.requests {
			if !q.paused {
				continue
			}
			if err := d.control(d.server, "resume-batch", q.name()); err != nil {
				d.wrongs("a batch cannot be resumed", "%s: %v", d.damage, err)
			}
		}
	}
}

// look reads what the simulator has seen of this case.
func (d *damageCase) look() {
	for _, p := range d.sim.Pushes(sim.Filter{After: d.after}) {
		d.after = p.Sequence
		if p.Outcome == sim.Accepted {
			d.seen[p.DeviceToken]++
		}
	}
}

// await waits until everything has come, or nothing comes any more.
func (d *damageCase) await() {
	want := 0
	for _, g := range d.groups {
		want += g.count()
	}
	last, since := 0, time.Now()
	d.until(20*time.Second, func() bool {
		d.look()
		if len(d.seen) != last {
			last, since = len(d.seen), time.Now()
		}
		time.Sleep(5 * time.Millisecond)
		return last >= want || time.Since(since) > calm
	})
}

// compareGroups looks for what should have been sent, and for what should not.
func (d *damageCase) compareGroups() {
	for _, g := range d.groups {
		lost := 0
		var one *request
		for _, q := range g.requests {
			for i := range q.count {
				switch d.seen[q.token(d.book.seed, i)] {
				case 0:
					lost++
					one = q
				case 1:
				default:
					d.wrongs("sent twice after a damage", "%s: %s of %s", d.damage, q, g.name)
				}
			}
		}
		if lost == 0 {
			continue
		}
		d.lost += lost
		d.say("%s: %d of %d of %s are lost, %s for one", d.damage, lost, g.count(), g.name, one)
		if !strings.Contains(streamOf(d.file), g.stream) {
			d.wrongs("something is lost that was not in what was damaged", "%s: %d of %d of %s", d.damage, lost, g.count(), g.name)
			continue
		}
		if !strings.HasSuffix(d.file, ".blk") {
			d.wrongs("something is lost although its blocks are whole", "%s: %d of %d of %s", d.damage, lost, g.count(), g.name)
		}
		d.told(streamOf(d.file), lost)
	}
	for _, q := range d.over.requests {
		for i := range q.count {
			if d.seen[q.token(d.book.seed, i)] > 0 {
				d.wrongs("sent again although it had ended", "%s: %s", d.damage, q)
			}
		}
	}
}

// compareLists looks whether the lists that live in a stream got shorter.
func (d *damageCase) compareLists() {
	for _, l := range listed {
		n, err := d.countList(d.server.url, l.operation, l.key)
		if err != nil {
			d.wrongs("a list cannot be read", "%s: %s: %v", d.damage, l.stream, err)
			continue
		}
		lost := d.lists[l.stream] - n
		if lost <= 0 {
			continue
		}
		d.lost += lost
		d.say("%s: %d of %d in the list of %s are lost", d.damage, lost, d.lists[l.stream], l.stream)
		if streamOf(d.file) != l.stream {
			d.wrongs("a list is shorter although its stream was not damaged", "%s: %s by %d of %d", d.damage, l.stream, lost, d.lists[l.stream])
			continue
		}
		d.told(l.stream, lost)
	}
}

// told looks whether somebody would notice that a stream has lost something, and
// how much.
func (d *damageCase) told(stream string, lost int) {
	example := func(what string) { d.wrongs(what, "%s: %d lost", d.damage, lost) }
	var n int
	if !d.until(soon+patience, func() bool { n = d.lostOf(stream); return n > 0 }) {
		example("/v1/status does not tell that something is lost")
	} else if n*perMessage < lost || n > 2*lost+already {
		d.wrongs("another number is said to be lost than is", "%s: %d lost, and %d messages of the log by /v1/status", d.damage, lost, n)
	}
	if !slices.ContainsFunc(d.errors(0), func(line string) bool { return names([]byte(line), stream) || namesQueue(line, stream) }) {
		example("nothing at level Error names the queue that has lost something")
	}
	if p, err := d.request(d.ctx, d.server.url, "readyz", "", "?verbose", "", nil); err != nil || !names(p.body, stream) {
		example("/readyz?verbose does not tell that something is lost")
	}
}

const (
	// perMessage is how many notifications a message of the log has at most.
	perMessage = 1024
	// already is how many messages of what had ended can be lost with the others.
	already = 50
)

// lostOf is how many messages of the log a stream has lost, by /v1/status.
func (d *damageCase) lostOf(stream string) (n int) {
	time.Sleep(50 * time.Millisecond)
	var status struct {
		Lost []struct {
			Stream   string
			Messages int
		}
	}
	d.get(d.ctx, d.server.url, "get-status", "", "", &status) // what cannot be read tells of nothing
	for _, l := range status.Lost {
		if l.Stream == stream {
			n += l.Messages
		}
	}
	return n
}

// namesQueue says that a line has a queue's app and lane.
func namesQueue(line, stream string) bool {
	parts := strings.Split(strings.TrimPrefix(stream, "AVISO_Q_"), "-")
	return len(parts) == 3 && names([]byte(line), parts[0]) && names([]byte(line), parts[2])
}

// takesMore hands in something for every lane, which has to be accepted and sent.
func (d *damageCase) takesMore() {
	for _, o := range []order{
		{app: shop, count: 1},
		{app: shop, count: 1, lane: "urgent"},
		{app: shop, count: 1, lane: "bulk"},
		{app: news, count: 1},
		{app: shop, count: 1, sendAt: time.Now().Add(50 * time.Millisecond)},
	} {
		var p reply
		err := errors.New("nobody was asked")
		var q *request
		if !d.until(acceptsWithin, func() bool {
			q = d.book.begin(o)
			m := d.load.notification(&o)
			m["to"] = []string{q.token(d.book.seed, 0)}
			p, err = d.call(d.ctx, d.server.url, "post-message", "", m)
			if err != nil || !p.ok() {
				time.Sleep(300 * time.Millisecond)
			}
			return err == nil && p.ok()
		}) {
			d.wrongs("nothing new is accepted", "%s: for %s %s: %s (%v)", d.damage, o.app, o.lane, p, err)
			continue
		}
		if !d.until(acceptsWithin, func() bool { d.look(); return d.seen[q.token(d.book.seed, 0)] > 0 }) {
			d.wrongs("what was newly accepted is not sent", "%s: for %s %s, scheduled %v", d.damage, o.app, o.lane, !o.sendAt.IsZero())
		}
	}
}
