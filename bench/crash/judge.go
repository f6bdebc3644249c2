package main

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"aviso.example/apns"
)

const (
	// endsWithin bounds the time until everything accepted has ended, once
	// nothing goes wrong any more.
	endsWithin = 4 * time.Minute
	// endsShort is the same for a short run, which is longer than a lease.
	endsShort = 50 * time.Second
	// askers ask the API at the same time.
	askers = 8
	// batchesListed is how many batches are also listed by themselves, since
	// each listing reads the whole log of verdicts.
	batchesListed = 20
)

// verdictList is the operation that lists verdicts.
const verdictList = "list-verdicts"

// delivery is what the API says about one notification.
type delivery struct {
	ID          string
	Message     string
	Batch       string
	DeviceToken string `json:"device_token"`
	State       string
	Done        bool
	Status      int
	Reason      string
	Detail      string
	At          time.Time
}

// fate is all that is told about one notification.
type fate struct {
	asked      string // the state, asked by message
	final      string // the state, from the list of all verdicts
	finals     uint8  // final verdicts in that list
	unanswered uint8  // attempts without an answer
	last       ending
}

// ending is what has to be looked at for some ends.
type ending struct {
	at             time.Time
	reason, detail string
}

// judge holds what the API says against the book.
type judge struct {
	*book
	*caller
	ctx    context.Context
	limit  time.Duration // until everything has to have ended
	url    string
	res    *result
	broken func(format string, args ...any)
	wrongs func(what, format string, args ...any)

	fates    []fate
	messages map[string]*request
	batches  map[string]*request
	verdicts int
	// shared says that several engines send: what two of them sent, since the
	// lease of one had run out, can have a verdict by each.
	shared bool
	// elsewhere are ends of notifications to dead device tokens in requests
	// without an answer, which cannot be told apart.
	elsewhere int
}

// ask reads what the API tells.
func (j *judge) ask(operation, arg, query string, out any) error {
	return j.get(j.ctx, j.url, operation, arg, query, out)
}

// all reads every page of a list of deliveries or verdicts; query is not empty.
func (j *judge) all(operation, arg, query string, each func(*delivery)) error {
	for cursor := ""; ; {
		var page struct {
			Deliveries, Verdicts []delivery
			Next                 string
		}
		if err := j.ask(operation, arg, query+cursor, &page); err != nil {
			return err
		}
		for i := range page.Deliveries {
			each(&page.Deliveries[i])
		}
		for i := range page.Verdicts {
			each(&page.Verdicts[i])
		}
		if page.Next == "" {
			return nil
		}
		cursor = "&cursor=" + url.QueryEscape(page.Next)
	}
}

// run judges. The simulator's record has to be complete by the time the last
// verdict is there, which drain sees to.
func (j *judge) run(drain func()) {
	j.fates = make([]fate, len(j.notes))
	j.messages, j.batches = map[string]*request{}, map[string]*request{}
	var open []*request
	for _, r := range j.requests {
		switch {
		case r.answer == cut, r.answer == accepted && r.batch:
			j.batches[r.batchID.String()] = r
			open = append(open, r)
		case r.answer == accepted:
			j.messages[r.message.String()] = r
			open = append(open, r)
		}
	}
	j.await(open)
	// What got no answer is asked for by nobody, and may take as long.
	for end := time.Now().Add(j.limit); ; time.Sleep(200 * time.Millisecond) {
		drain()
		j.list()
		if time.Now().After(end) || !j.partly() {
			break
		}
		j.fresh()
	}
	j.compare()
	j.listBatches()
}

// partly says that a message without an answer was accepted and has not ended.
func (j *judge) partly() bool {
	for _, r := range j.requests {
		if r.answer != unknown || r.batch {
			continue
		}
		known, touched := 0, false
		for i := range r.count {
			n, f := &j.notes[r.base+i], &j.fates[r.base+i]
			touched = touched || n.id != (apns.ID{}) || f.finals > 0
			if f.finals > 0 || r.isDead(i) {
				known++
			}
		}
		if touched && known < r.count {
			return true
		}
	}
	return false
}

// fresh forgets what the list of verdicts said.
func (j *judge) fresh() {
	j.verdicts, j.elsewhere = 0, 0
	for i := range j.fates {
		j.fates[i] = fate{asked: j.fates[i].asked}
	}
}

// await asks for each request until all of it has ended.
func (j *judge) await(open []*request) {
	for end := time.Now().Add(j.limit); len(open) > 0; {
		var mu sync.Mutex
		var left []*request
		var failed error
		queue := make(chan *request)
		var all sync.WaitGroup
		for range askers {
			all.Go(func() {
				for r := range queue {
					done, err := j.ended(r)
					mu.Lock()
					if err != nil && failed == nil {
						failed = err
					}
					if !done {
						left = append(left, r)
					}
					mu.Unlock()
				}
			})
		}
		for _, r := range open {
			queue <- r
		}
		close(queue)
		all.Wait()
		open = left
		if len(open) == 0 {
			return
		}
		if failed != nil && j.ctx.Err() != nil || time.Now().After(end) {
			j.broken("%d requests that were accepted have not ended within %v, the first is %s; %v", len(open), j.limit, open[0], failed)
			return
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// ended asks for one request, and reports whether all of it has ended.
func (j *judge) ended(r *request) (bool, error) {
	if r.batch {
		var b struct {
			Done     bool
			Accepted int64
			Outcomes map[string]int64
		}
		err := j.ask("get-batch", r.batchID.String(), "", &b)
		if err == nil && r.answer == cut && !b.Done {
			// Its end could not be written down, so it stays open.
			sum := int64(0)
			for _, n := range b.Outcomes {
				sum += n
			}
			return sum >= r.sure, nil
		}
		return err == nil && b.Done, err
	}
	n, done := 0, true
	var wrong string
	err := j.all("list-message-deliveries", r.message.String(), "?limit=1000", func(d *delivery) {
		if n >= r.count || d.ID != r.id(n).String() || d.DeviceToken != r.token(j.seed, n) {
			wrong = fmt.Sprintf("%s lists %s to %s in place %d", r.message, d.ID, d.DeviceToken, n)
			return
		}
		done = done && d.Done
		j.fates[r.base+n].asked = d.State
		n++
	})
	if err != nil {
		return false, err
	}
	if wrong == "" && n != r.count {
		wrong = fmt.Sprintf("%s has %d deliveries of %d", r.message, n, r.count)
	}
	if wrong != "" {
		return false, fmt.Errorf("%s", wrong)
	}
	return done, nil
}

// place finds the notification that a verdict is about.
func (j *judge) place(d *delivery) (int, bool) {
	r, i, ok := j.find(d.DeviceToken)
	if ok {
		return r.base + i, true
	}
	if r = j.messages[d.Message]; r == nil {
		r = j.batches[d.Batch]
	}
	id, err := apns.ParseID(d.ID)
	if r == nil || err != nil {
		return 0, false
	}
	// The numbers of a request's notifications follow each other.
	first := r.id(0)
	i = int(low(id)) - int(low(first))
	if i < 0 || i >= r.count || r.id(i) != id || r.token(j.seed, i) != d.DeviceToken {
		return 0, false
	}
	return r.base + i, true
}

func low(id apns.ID) uint32 {
	return uint32(id[12])<<24&0x3fffffff | uint32(id[13])<<16 | uint32(id[14])<<8 | uint32(id[15])
}

// mayReject says that a rejection is one that was asked for.
func (j *judge) mayReject(d *delivery) bool {
	if strings.HasPrefix(d.DeviceToken, "dead") && d.Status == 410 {
		return true
	}
	r, _, ok := j.find(d.DeviceToken)
	if !ok {
		r = j.messages[d.Message]
	}
	return r != nil && r.buriable && d.Reason == buryReason
}

// list reads every verdict there is.
func (j *judge) list() {
	err := j.all(verdictList, "", "?limit=1000", func(d *delivery) {
		j.verdicts++
		at, ok := j.place(d)
		if !ok {
			if !strings.HasPrefix(d.DeviceToken, "dead") {
				j.broken("there is a verdict on %s to %s, which nobody handed in", d.ID, d.DeviceToken)
			}
			if d.Done {
				j.elsewhere++
			}
			return
		}
		f, n := &j.fates[at], &j.notes[at]
		if n.id != (apns.ID{}) && n.id.String() != d.ID {
			j.broken("the verdict on %s is about the device token of %s", d.ID, n.id)
		}
		switch {
		case d.Done:
			f.finals++
			if f.final != "" && f.final != d.State && !j.shared && n.lives == 0 {
				j.broken("%s has ended as %s and as %s", d.ID, f.final, d.State)
			}
			if f.final == "" { // the newest, as the list begins with it
				f.final, f.last = d.State, ending{d.At, d.Reason, d.Detail}
			}
			if d.State == "rejected" && !j.mayReject(d) {
				j.broken("%s was rejected with %d %s", d.ID, d.Status, d.Reason)
			}
		case d.State == "retrying" && d.Status == 0:
			f.unanswered++
		}
	})
	if err != nil {
		j.broken("the list of verdicts: %v", err)
	}
}

// compare looks at every notification of every request.
func (j *judge) compare() {
	res := j.res
	perEnd := map[uint16]int{}
	for _, r := range j.requests {
		if r.answer == accepted {
			res.Accepted += r.count
			if r.batch {
				res.Batches++
			} else {
				res.Messages++
			}
		}
		if r.answer == unknown || r.answer == cut {
			res.Unsure++
		}
		known := 0
		for i := range r.count {
			at := r.base + i
			n, f := &j.notes[at], &j.fates[at]
			name := func() string { return fmt.Sprintf("%s (%d of %s)", n.id, i, r) }
			if r.answer == accepted {
				res.States[f.final]++
				switch {
				case f.finals == 0:
					j.wrongs("accepted, and has no end", "%s; the simulator processed it %d times", name(), n.processed)
				case !r.batch && f.asked != f.final:
					j.wrongs("one state asked by its message, another in the list", "%s: %q and %q", name(), f.asked, f.final)
				}
			}
			if f.finals > 0 {
				known++
			}
			if f.finals > 1+n.lives {
				res.TwiceEnded++
				if !j.shared || n.processed < 2 && !r.drop {
					j.wrongs("ended more than once", "%s: %d final verdicts, the newest %s", name(), f.finals, f.final)
				}
			}
			if wrong := j.wrong(r, i); wrong != "" {
				j.wrongs(wrong, "%s: %s, processed %d times", name(), f.final, n.processed)
			}
			if n.processed > 0 {
				res.Processed++
			}
			if n.processed < 2 {
				continue
			}
			if r.drop {
				res.DropDoubled++
				j.wrongs("on_unknown=drop, and processed more than once", "%s: %d times", name(), n.processed)
			}
			// A further time that followed an attempt without an answer is the
			// network's doing; the others are those of an end.
			further := int(n.processed) - 1
			byFault := min(further, int(f.unanswered))
			res.DoubledByFault += byFault
			res.DoubledByEnd += further - byFault
			atOnce := 0
			for _, d := range j.doubles[at] {
				if d.before != d.now {
					perEnd[d.before]++
				} else {
					atOnce++
				}
			}
			if atOnce > byFault && !j.shared {
				res.TwiceByOne++
				j.wrongs("sent again by the same engine although APNs had answered", "%s: processed %d times, %d attempts without an answer", name(), n.processed, f.unanswered)
			}
		}
		if !r.batch && r.answer == unknown {
			live := r.count - r.deadCount()
			switch {
			case known == 0:
			case known >= live:
				res.UnsureAccepted++
			default:
				j.broken("of the message #%d, which got no answer, %d of %d have a verdict: it was accepted in part", r.index, known, r.count)
			}
		}
	}
	for _, n := range perEnd {
		res.MostPerEnd = max(res.MostPerEnd, n)
	}
	if res.DoubledByEnd > res.Bound {
		j.broken("%d were processed again after an end; the bound is %d", res.DoubledByEnd, res.Bound)
	}
	if res.Ends > 0 && res.MostPerEnd > res.Bound/res.Ends {
		j.broken("%d were processed again after one end; the bound is %d", res.MostPerEnd, res.Bound/res.Ends)
	}
	res.Verdicts = j.verdicts
}

// listBatches compares the counts of each batch with its verdicts.
func (j *judge) listBatches() {
	listed := 0
	for _, r := range j.requests {
		if !r.batch || r.answer != accepted && r.answer != cut {
			continue
		}
		id := r.batchID.String()
		var b struct {
			Accepted, Waiting int64
			Outcomes          map[string]int64
			Done              bool
		}
		if err := j.ask("get-batch", id, "", &b); err != nil {
			j.broken("%v", err)
			continue
		}
		counted, twice := map[string]int64{}, false
		for i := range r.count {
			if f := &j.fates[r.base+i]; f.finals > 0 {
				counted[f.final]++
				twice = twice || f.finals > 1
			}
		}
		if twice && j.shared {
			continue // its counts have those twice as well
		}
		lines := int64(r.count)
		if r.answer == cut {
			// The log can have more than the answer was sure of, not less.
			lines = max(r.sure, counted["accepted"]+counted["rejected"]+counted["unknown"])
			if b.Done && b.Accepted != r.sure {
				j.broken("batch %s: %d lines are sure by its answer, %d by the API", id, r.sure, b.Accepted)
			}
		} else if b.Accepted != lines {
			j.broken("batch %s: %d of %d lines are accepted", id, b.Accepted, lines)
		}
		sum := int64(0)
		for state, n := range b.Outcomes {
			sum += n
			if n != counted[state] {
				j.wrongs("a batch counts other ends than the list of verdicts has", "%s: %d %s by its counts, %d by the list", r, n, state, counted[state])
			}
		}
		if sum != lines || r.answer == accepted && (!b.Done || b.Waiting != 0) {
			j.wrongs("a batch has not ended by its counts", "%s: %d of %d lines have, %d wait, done %v", r, sum, lines, b.Waiting, b.Done)
		}
		if listed++; listed > batchesListed {
			continue
		}
		finals := map[string]int{}
		if err := j.all(verdictList, "", "?limit=1000&batch="+id, func(d *delivery) {
			if d.Done {
				finals[d.ID]++
			}
			if d.Batch != id {
				j.broken("batch %s lists a notification of %q", id, d.Batch)
			}
		}); err != nil {
			j.broken("%v", err)
		}
		if int64(len(finals)) != lines {
			j.wrongs("a batch does not list all its ends", "%s: %d of %d lines", r, len(finals), lines)
		}
	}
}
