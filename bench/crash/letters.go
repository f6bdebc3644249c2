package main

import (
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"aviso.example/sim"
)

const (
	retryLetter, discardLetter = "retry-dead-letter", "discard-dead-letter"
	// atOnce bounds how many want the same dead letter, and groupsAtOnce how many
	// are fought for at the same time.
	atOnce, groupsAtOnce = 4, 4
	// sentAgain bounds the time until what was retried has ended.
	sentAgain = 20 * time.Second
)

// letter is a group of dead letters, and what became of it.
type letter struct {
	Number     uint64
	App        string
	State      string
	Status     int
	Reason     string
	Deliveries []struct {
		ID          string
		DeviceToken string `json:"device_token"`
	}

	winner  string // the operation that was granted, "" if none was
	retries int    // those that may have been granted, answered or not
	unsure  bool   // somebody got no answer
}

// deadLetters lists all of them.
func (r *rig) deadLetters(url string) (list []*letter, err error) {
	for cursor := ""; ; {
		var page struct {
			DeadLetters []*letter `json:"dead_letters"`
			Next        string
		}
		if err := r.get(r.ctx, url, "list-dead-letters", "", "?limit=500"+cursor, &page); err != nil {
			return nil, err
		}
		list = append(list, page.DeadLetters...)
		if page.Next == "" {
			return list, nil
		}
		cursor = "&cursor=" + page.Next
	}
}

// letters makes dead letters, and has several callers want each of them at once
// while servers are killed.
func letters(r *rig, at site) error {
	r.book.healthy = true
	if err := at.up(); err != nil {
		return err
	}
	if err := r.bury(at.urls()); err != nil {
		return err
	}
	list, err := r.deadLetters(at.urls()[0])
	if err != nil {
		return err
	}
	r.say("%d groups of dead letters", len(list))
	if len(list) < r.n/8 {
		r.broken("only %d groups of dead letters came of %d notifications", len(list), r.n)
	}
	for _, l := range list {
		if l.State != "rejected" || l.Status != 400 || l.Reason != buryReason {
			r.wrongs("a dead letter does not say why it is one", "%d says %q, %d %q", l.Number, l.State, l.Status, l.Reason)
		}
	}
	parts := r.ends + 1
	for part := range parts {
		if err := at.up(); err != nil {
			return err
		}
		these := list[len(list)*part/parts : len(list)*(part+1)/parts]
		var killer sync.WaitGroup
		if part < r.ends {
			killer.Go(func() {
				time.Sleep(time.Duration(50+r.random.IntN(250)) * time.Millisecond)
				at.down()
			})
		}
		r.fight(at.urls(), these)
		killer.Wait()
	}
	if err := at.up(); err != nil {
		return err
	}
	r.say("fought for")
	r.afterFight(at, list)
	at.close()
	return nil
}

// bury has APNs refuse about half of some messages and batches for their topic.
func (r *rig) bury(urls []string) error {
	r.book.change(func() {
		for _, q := range r.book.requests {
			q.buriable = true // what got no answer can be sent still
		}
	})
	// With more in a row the app would pause by itself.
	if _, err := r.sim.AddFault(sim.Fault{Kind: sim.FaultAnswer, Reason: buryReason, Probability: 0.5}); err != nil {
		return err
	}
	random := rand.New(rand.NewPCG(r.o.seed, 3))
	var all sync.WaitGroup
	orders := make(chan order)
	for i := range 8 {
		all.Go(func() {
			for o := range orders {
				q := r.load.send(r.ctx, urls[i%len(urls)], o)
				r.book.change(func() { q.buriable, q.held = true, true })
				time.Sleep(5 * time.Millisecond) // or the log makes few chunks of them all
			}
		})
	}
	for range r.n {
		o := order{count: 1, drop: random.IntN(4) == 0}
		switch random.IntN(20) {
		case 0:
			o.count = 10
		case 1:
			o.batch, o.count = true, 20
		}
		orders <- o
	}
	close(orders)
	all.Wait()
	if !r.until(10*time.Second, func() bool { accepted, _ := r.book.progress(); return r.sim.Stats().Requests >= uint64(accepted) }) {
		return errorf("APNs has not seen everything within 10 s; the log ends:\n%s", tail(r.log))
	}
	time.Sleep(200 * time.Millisecond) // their verdicts
	r.sim.ClearFaults()
	return nil
}

// wants are the operations that several callers ask for at once for a letter.
func wants(l *letter) []string {
	switch l.Number % 3 {
	case 0:
		return slices.Repeat([]string{retryLetter}, atOnce)
	case 1:
		return slices.Repeat([]string{discardLetter}, atOnce-1)
	}
	return []string{retryLetter, discardLetter, retryLetter, discardLetter}
}

// fight has each letter wanted by several callers at the same moment.
func (r *rig) fight(urls []string, list []*letter) {
	queue := make(chan *letter)
	var all sync.WaitGroup
	for range groupsAtOnce {
		all.Go(func() {
			for l := range queue {
				r.fightFor(urls, l)
			}
		})
	}
	for _, l := range list {
		queue <- l
	}
	close(queue)
	all.Wait()
}

func (r *rig) fightFor(urls []string, l *letter) {
	operations := wants(l)
	answers, errs := make([]reply, len(operations)), make([]error, len(operations))
	number := strconv.FormatUint(l.Number, 10)
	begin := make(chan struct{})
	var all sync.WaitGroup
	for i, id := range operations {
		all.Go(func() {
			<-begin
			answers[i], errs[i] = r.call(r.ctx, urls[i%len(urls)], id, number, nil)
		})
	}
	close(begin)
	all.Wait()
	for i, id := range operations {
		p := answers[i]
		switch {
		case errs[i] != nil:
			// What found nobody to connect to was certainly not done.
			if e, ok := errors.AsType[*net.OpError](errs[i]); ok && e.Op == "dial" {
				continue
			}
			l.unsure = true
			if id == retryLetter {
				l.retries++
			}
		case p.ok():
			if l.winner != "" {
				r.wrongs("two callers were told that the dead letter is theirs", "%d: %s and %s", l.Number, l.winner, id)
			}
			l.winner = id
			if id == retryLetter {
				l.retries++
			}
		case p.status == http.StatusNotFound, p.status == http.StatusConflict && p.kind == "conflict":
		default:
			r.wrongs("who lost a dead letter was answered with something else than 404 or 409 conflict", "%s %d: %s", id, l.Number, p)
			if id == retryLetter {
				l.retries++ // whoever is told that, knows nothing
			}
		}
	}
	if l.winner == "" && !l.unsure && answers[0].status != 0 {
		r.wrongs("a dead letter was nobody's", "%d: %s", l.Number, answers[0])
	}
}

// afterFight looks whether everybody got what they were told.
func (r *rig) afterFight(at site, list []*letter) {
	url := at.urls()[0]
	open := map[string]*letter{} // deliveries that were sent again
	// A crash may leave it open whether drop was sent.
	again := func(id string) (d delivery, ended bool, err error) {
		err = r.get(r.ctx, url, "get-delivery", id, "", &d)
		q, _, ok := r.book.find(d.DeviceToken)
		return d, err == nil && (d.State == "accepted" || d.State == "unknown" && ok && q.drop), err
	}
	for _, l := range list {
		for _, d := range l.Deliveries {
			r.book.change(func() {
				if q, i, ok := r.book.find(d.DeviceToken); ok {
					r.book.notes[q.base+i].lives += uint8(l.retries)
				}
			})
			if l.winner == retryLetter {
				open[d.ID] = l
			}
		}
	}
	r.until(sentAgain+at.lease(), func() bool {
		for id := range open {
			if _, ended, _ := again(id); ended {
				delete(open, id)
			}
		}
		if len(open) > 0 {
			time.Sleep(200 * time.Millisecond)
		}
		return len(open) == 0
	})
	for id, l := range open {
		d, _, err := again(id)
		r.wrongs("what was sent again was not accepted within "+(sentAgain+at.lease()).String(), "%s of %d is %s, done %v (%v)", id, l.Number, d.State, d.Done, err)
	}
	still, err := r.deadLetters(url)
	if err != nil {
		r.broken("%v", err)
	}
	theirs := map[uint64]*letter{}
	for _, l := range list {
		theirs[l.Number] = l
	}
	for _, l := range still {
		if before := theirs[l.Number]; before != nil && before.winner != "" {
			r.wrongs("a dead letter is listed still", "%d, for which %s was granted", l.Number, before.winner)
		}
	}
	r.drain()
	discarded := 0
	for _, l := range list {
		if l.winner != discardLetter {
			continue
		}
		discarded++
		for _, d := range l.Deliveries {
			if q, i, ok := r.book.find(d.DeviceToken); ok && r.book.notes[q.base+i].processed > 0 {
				r.wrongs("what was discarded was sent", "%s of %d", d.ID, l.Number)
			}
		}
	}
	r.res.note("%d groups of dead letters, %d discarded, the others sent again", len(list), discarded)
}
