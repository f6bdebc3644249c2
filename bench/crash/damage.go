package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"aviso.example/sim"
)

// group is what waits in one queue of the template, or has ended in it.
type group struct {
	name     string
	stream   string // a part of the stream's name
	requests []*request
}

func (g *group) count() (n int) {
	for _, q := range g.requests {
		n += q.count
	}
	return n
}

// template is a folder of a server that was stopped, and what is in it.
type template struct {
	folder string
	groups []*group // that wait
	over   *group
	// due is when what is scheduled may be sent.
	due time.Time
	// verdicts, letters and dead are how many the API listed before.
	lists map[string]int
}

// listed are lists that get shorter if their stream loses something.
var listed = []struct{ stream, operation, key string }{
	{"AVISO_VERDICTS", "", ""}, // the operation is verdictList
	{"AVISO_BURIED", "list-dead-letters", "dead_letters"},
	{"AVISO_DEAD", "list-dead-tokens", "dead_tokens"},
}

// damaged damages one file after the other of a server that was stopped, each in
// a copy of its own, and starts it.
func damaged(r *rig) error {
	t, err := r.makeTemplate()
	if err != nil {
		return err
	}
	cases, err := t.cases(r.o.short, r.random)
	if err != nil {
		return err
	}
	lost, started := 0, 0
	for i := range cases {
		d := &damageCase{rig: r, template: t, damage: cases[i], dir: filepath.Join(r.dir, fmt.Sprint("case-", i+1))}
		time.Sleep(time.Until(t.due))
		if err := d.play(); err != nil {
			return fmt.Errorf("%s: %w", d.damage, err)
		}
		if d.started {
			started++
		}
		lost += d.lost
		if !r.o.keep {
			os.RemoveAll(d.dir)
		}
		if r.ctx.Err() != nil {
			break
		}
	}
	r.res.note("%d times something was damaged, after %d of which the server started; %d notifications, verdicts, dead letters and dead device tokens were lost with what held them", len(cases), started, lost)
	return nil
}

// makeTemplate fills a folder with something of everything.
func (r *rig) makeTemplate() (*template, error) {
	r.book.healthy = true
	if err := r.configure(r.data(), "", shop, news); err != nil {
		return nil, err
	}
	s, err := r.serve(0)
	if err != nil {
		return nil, err
	}
	defer s.kill()
	t := &template{folder: r.data(), lists: map[string]int{}}
	n := r.n
	send := func(name, stream string, requests int, o order) *group {
		g := &group{name: name, stream: stream}
		var all sync.WaitGroup
		var mu sync.Mutex
		for range 8 {
			all.Go(func() {
				for range requests / 8 {
					q := r.load.send(r.ctx, s.url, o)
					mu.Lock()
					g.requests = append(g.requests, q)
					mu.Unlock()
				}
			})
		}
		all.Wait()
		return g
	}
	t.over = send("what has ended", "", n, order{app: shop, count: 1})
	if _, err := r.sim.AddFault(sim.Fault{Kind: sim.FaultAnswer, Reason: buryReason, Every: 2}); err != nil {
		return nil, err
	}
	send("dead letters", "", n/2, order{app: shop, count: 1})
	if err := r.sendToDead(s.url); err != nil {
		return nil, err
	}
	if !r.until(10*time.Second, func() bool { accepted, _ := r.book.progress(); return r.sim.Stats().Requests >= uint64(accepted) }) {
		return nil, errorf("APNs has not seen everything within 10 s")
	}
	time.Sleep(300 * time.Millisecond)
	r.sim.ClearFaults()
	for _, app := range []string{shop, news} {
		if err := r.control(s, "pause-app", app); err != nil {
			return nil, err
		}
	}
	t.due = time.Now().Add(4 * time.Second)
	t.groups = []*group{
		send("shop, normal", "AVISO_Q_normal-sandbox-shop", n, order{app: shop, count: 1}),
		send("shop, urgent", "AVISO_Q_urgent-sandbox-shop", n/2, order{app: shop, count: 1, lane: "urgent"}),
		send("news, normal", "AVISO_Q_normal-sandbox-news", n/2, order{app: news, count: 1}),
		send("a batch of shop", "AVISO_B_", 8, order{app: shop, count: n / 4, batch: true, paused: true}),
		send("scheduled for shop", "AVISO_LATER", n/2, order{app: shop, count: 1, sendAt: t.due}),
	}
	for _, g := range t.groups {
		for _, q := range g.requests {
			if q.answer != accepted {
				return nil, errorf("%s was not accepted", q)
			}
		}
	}
	for _, l := range listed {
		if t.lists[l.stream], err = r.countList(s.url, l.operation, l.key); err != nil {
			return nil, err
		}
	}
	r.say("%v, and %d waiting", t.lists, len(t.groups))
	if err := s.stop(); err != nil {
		return nil, err
	}
	if time.Now().After(t.due) {
		return nil, errorf("handing in took too long for what is scheduled to be scheduled still")
	}
	return t, nil
}

// sendToDead has some device tokens known to be dead.
func (r *rig) sendToDead(url string) error {
	var to []string
	for i := range deadTokens {
		to = append(to, deadToken(i))
	}
	p, err := r.call(r.ctx, url, "post-message", "", map[string]any{"app": shop, "to": to, "title": title})
	if err == nil && p.status != http.StatusAccepted {
		err = errorf("%s", p)
	}
	return err
}

// countList is how long a list of the API is.
func (r *rig) countList(url, operation, key string) (n int, err error) {
	parameter := "cursor"
	if operation == "" {
		operation = verdictList
	}
	if operation == "list-dead-tokens" {
		parameter = "after"
	}
	for next := ""; ; {
		var page map[string]json.RawMessage
		if err := r.get(r.ctx, url, operation, "", "?limit=1000"+next, &page); err != nil {
			return n, err
		}
		var list []json.RawMessage
		for name, value := range page {
			if name != "next" && (key == "" || name == key) {
				if err := json.Unmarshal(value, &list); err != nil {
					return n, err
				}
			}
		}
		n += len(list)
		var cursor string
		json.Unmarshal(page["next"], &cursor)
		if cursor == "" || len(list) == 0 && parameter == "after" {
			return n, nil
		}
		next = "&" + parameter + "=" + cursor
	}
}

// damage is one file, and what happens to it.
type damage struct{ file, how string }

func (d damage) String() string { return d.how + " " + d.file }

// changed is what can happen to any file.
const changed = "a byte changed in"

// middleOf is where a file is damaged: beyond the half of a block that what has
// ended took, and before the end that a loss of power could damage as well.
func middleOf(data []byte) int { return len(data) * 3 / 4 }

// ways are what can happen to the middle of a file.
var ways = map[string]func([]byte) []byte{
	"a byte changed in":        func(data []byte) []byte { data[middleOf(data)] ^= 0x55; return data },
	"a byte cut out of":        func(data []byte) []byte { return slices.Delete(data, middleOf(data), middleOf(data)+1) },
	"the last quarter cut off": func(data []byte) []byte { return data[:middleOf(data)] },
	"all bytes zero in":        func(data []byte) []byte { return make([]byte, len(data)) },
}

// shortCases are those of a short run: each kind of file, in one way or two.
var shortCases = []struct{ file, how string }{
	{`Q_normal-sandbox-shop/msgs/\d+\.blk$`, changed},
	{`Q_normal-sandbox-shop/msgs/\d+\.blk$`, "the last quarter cut off"},
	{`Q_normal-sandbox-shop/meta\.inf$`, changed},
	{`Q_normal-sandbox-shop/meta\.sum$`, "the last quarter cut off"},
	{`Q_normal-sandbox-shop/obs/engine/meta\.inf$`, changed},
	{`Q_normal-sandbox-shop/obs/engine/o\.dat$`, "a byte cut out of"},
	{`Q_normal-sandbox-shop/msgs/index\.db$`, changed},
	{`/AVISO_B_[^/]*/msgs/\d+\.blk$`, "a byte cut out of"},
	{`/AVISO_LATER/msgs/\d+\.blk$`, "all bytes zero in"},
	{`/AVISO_LATER/meta\.inf$`, changed},
	{`/AVISO_VERDICTS/msgs/\d+\.blk$`, changed},
	{`/AVISO_DEAD/msgs/\d+\.blk$`, changed},
	{`/AVISO_BURIED/msgs/\d+\.blk$`, changed},
	{`^index/[^/]*$`, changed},
}

// cases are those of a short run, or for every file there is a byte that is
// changed and one more damage.
func (t *template) cases(short bool, random *rand.Rand) (list []damage, err error) {
	var files []string
	err = filepath.WalkDir(t.folder, func(path string, e os.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		if info, err := e.Info(); err != nil || info.Size() < 4 {
			return err // nothing has a middle
		}
		name, err := filepath.Rel(t.folder, path)
		if name == "api-key" || name == "lock" {
			return err
		}
		files = append(files, name)
		return err
	})
	if err != nil {
		return nil, err
	}
	if !short {
		others := slices.Sorted(maps.Keys(ways))
		others = slices.DeleteFunc(others, func(how string) bool { return how == changed })
		for _, file := range files {
			list = append(list, damage{file, changed}, damage{file, others[random.IntN(len(others))]})
		}
		return list, nil
	}
	for _, c := range shortCases {
		var fit []string
		for _, file := range files {
			if regexp.MustCompile(c.file).MatchString(file) {
				fit = append(fit, file)
			}
		}
		if len(fit) == 0 {
			return nil, errorf("there is no file like %s", c.file)
		}
		list = append(list, damage{fit[random.IntN(len(fit))], c.how})
	}
	return list, nil
}

// streamOf is the stream that a file is of, or "" if it is none's.
func streamOf(file string) string {
	_, rest, ok := strings.Cut(file, "/streams/")
	if !ok {
		return ""
	}
	stream, _, _ := strings.Cut(rest, "/")
	return stream
}
