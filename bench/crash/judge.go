package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"aviso.example/apns"
)

const (
	// endsWithin bounds the time until everything accepted has ended, once
	// nothing goes wrong any more.
	endsWithin = 4 * time.Minute
	// askers ask the API at the same time.
	askers = 8
	// batchesListed is how many batches are also listed by themselves, since
	// each listing reads the whole log of verdicts.
	batchesListed = 20
)

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
}

// fate is all that is told about one notification.
type fate struct {
	asked      string // the state, asked by message
	final      string // the state, from the list of all verdicts
	finals     uint8  // final verdicts in that list
	unanswered uint8  // attempts without an answer
}

// judge holds what the API says against the book.
type judge struct {
	*book
	ctx    context.Context
	http   *http.Client
	url    string
	res    *result
	broken func(format string, args ...any)

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

// get asks the API.
func (j *judge) get(path string, out any) error {
	req, err := http.NewRequestWithContext(j.ctx, http.MethodGet, j.url+path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+apiKey)
	response, err := j.http.Do(req)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %d %.300s", path, response.StatusCode, data)
	}
	return json.Unmarshal(data, out)
}

// all reads every page of a list of deliveries.
func (j *judge) all(path string, each func(*delivery)) error {
	for cursor := ""; ; {
		var page struct {
			Deliveries []delivery
			Next       string
		}
		if err := j.get(path+cursor, &page); err != nil {
			return err
		}
		for i := range page.Deliveries {
			each(&page.Deliveries[i])
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
	drain()
	j.list()
	j.compare()
	j.listBatches()
}

// await asks for each request until all of it has ended.
func (j *judge) await(open []*request) {
	for end := time.Now().Add(endsWithin); len(open) > 0; {
		var mu sync.Mutex
		var left []*request
		var failed error
		queue := make(chan *request)
		var all sync.WaitGroup
		for range askers {
			all.Go(func() {
				for r := range queue {
					done, err := j.ask(r)
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
			j.broken("%d requests that were accepted have not ended, the first is #%d (%s %s); %v", len(open), open[0].index, open[0].message, open[0].batchID, failed)
			return
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// ask asks for one request, and reports whether all of it has ended.
func (j *judge) ask(r *request) (bool, error) {
	if r.batch {
		var b struct {
			Done     bool
			Accepted int64
			Outcomes map[string]int64
		}
		err := j.get("/v1/batches/"+r.batchID.String(), &b)
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
	err := j.all("/v1/messages/"+r.message.String()+"/deliveries?limit=1000", func(d *delivery) {
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

// list reads every verdict there is.
func (j *judge) list() {
	err := j.all("/v1/deliveries?limit=1000", func(d *delivery) {
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
			if f.final != "" && f.final != d.State && !j.shared {
				j.broken("%s has ended as %s and as %s", d.ID, f.final, d.State)
			}
			if f.final == "" {
				f.final = d.State // the newest, as the list begins with it
			}
			if d.State == "rejected" && (d.Status != 410 || !strings.HasPrefix(d.DeviceToken, "dead")) {
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
	for _, text := range j.strange {
		j.broken("the simulator saw %s", text)
	}
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
			name := func() string { return fmt.Sprintf("%s (#%d, %d of %d)", n.id, r.index, i, r.count) }
			if r.answer == accepted {
				res.States[f.final]++
				switch {
				case f.finals == 0:
					j.broken("%s was accepted and has no verdict; the simulator processed it %d times", name(), n.processed)
				case !r.batch && f.asked != f.final:
					j.broken("%s is %q asked by its message and %q in the list", name(), f.asked, f.final)
				}
			}
			if f.finals > 0 {
				known++
			}
			if f.finals > 1 {
				res.TwiceEnded++
				if !j.shared || n.processed < 2 && !r.drop {
					j.broken("%s has %d final verdicts (%s)", name(), f.finals, f.final)
				}
			}
			switch {
			case f.final == "accepted" && n.processed == 0 && !r.isDead(i):
				j.broken("%s is called accepted and was never processed", name())
			case f.final == "accepted" && r.isDead(i), f.final == "rejected" && n.processed > 0:
				j.broken("%s is called %s and was processed %d times", name(), f.final, n.processed)
			case f.final == "unknown" && !r.drop:
				j.broken("%s is called unknown, and could have been sent again", name())
			case f.final == "expired", f.final == "cancelled":
				j.broken("%s is called %s, and nothing gave it a reason to be", name(), f.final)
			case n.processed > 0 && f.finals == 0 && r.answer != accepted:
				j.broken("%s was sent and has no verdict", name())
			case r.answer == refused && (n.processed > 0 || f.finals > 0):
				j.broken("%s was refused and sent all the same", name())
			}
			if n.processed > 0 {
				res.Processed++
			}
			if n.processed < 2 {
				continue
			}
			if r.drop {
				res.DropDoubled++
				j.broken("%s must not be doubled and was processed %d times", name(), n.processed)
			}
			// A further time that followed an attempt without an answer is the
			// network's doing; the others are those of an end.
			further := int(n.processed) - 1
			byFault := min(further, int(f.unanswered))
			res.DoubledByFault += byFault
			res.DoubledByEnd += further - byFault
			for _, d := range j.doubles[at] {
				if d.before != d.now {
					perEnd[d.before]++
				}
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
		if err := j.get("/v1/batches/"+id, &b); err != nil {
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
				j.broken("batch %s: %d %s by its counts, %d by the list of verdicts", id, n, state, counted[state])
			}
		}
		if sum != lines || r.answer == accepted && (!b.Done || b.Waiting != 0) {
			j.broken("batch %s: %d of %d lines have ended, %d wait, done %v", id, sum, lines, b.Waiting, b.Done)
		}
		if listed++; listed > batchesListed {
			continue
		}
		finals := map[string]int{}
		if err := j.all("/v1/deliveries?limit=1000&batch="+id, func(d *delivery) {
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
			j.broken("batch %s lists the ends of %d of %d lines", id, len(finals), lines)
		}
	}
}

// result is what one row found, for the table.
type result struct {
	row *row

	Ends, Bound             int // how often an engine ended, and what that may repeat
	Messages, Batches       int // accepted requests
	Accepted                int // notifications
	Unsure, UnsureAccepted  int // requests without an answer, and of the messages those that were accepted
	States                  map[string]int
	Processed               int // distinct notifications
	DoubledByEnd            int
	DoubledByFault          int
	MostPerEnd              int
	DropDoubled, TwiceEnded int
	Verdicts                int
	Starts                  []time.Duration
	Wall                    time.Duration
	Notes                   []string
	Broken                  []string
	more                    int // broken beyond those listed
}

func (res *result) note(format string, args ...any) {
	res.Notes = append(res.Notes, fmt.Sprintf(format, args...))
}

func (res *result) start(quantile float64) time.Duration {
	if len(res.Starts) == 0 {
		return 0
	}
	list := slices.Sorted(slices.Values(res.Starts))
	return list[int(quantile*float64(len(list)-1))]
}

func (res *result) print() {
	verdict := "ok"
	if len(res.Broken) > 0 {
		verdict = "BROKEN"
	}
	fmt.Printf("%-22s %3d ends  %8d accepted (%d messages, %d batches; %d unsure)  %d processed  doubled %d by ends (most %d, bound %d), %d by faults  start %v..%v  %v  %s\n",
		res.row.name, res.Ends, res.Accepted, res.Messages, res.Batches, res.Unsure, res.Processed, res.DoubledByEnd, res.MostPerEnd, res.Bound, res.DoubledByFault,
		res.start(0.5).Round(time.Millisecond), res.start(1).Round(time.Millisecond), res.Wall.Round(time.Second), verdict)
	for _, n := range res.Notes {
		fmt.Printf("%22s %s\n", "", n)
	}
	for _, b := range res.Broken {
		fmt.Printf("%22s BROKEN: %s\n", "", b)
	}
	if res.more > 0 {
		fmt.Printf("%22s and %d more\n", "", res.more)
	}
}
