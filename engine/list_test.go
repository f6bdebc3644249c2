package engine

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"aviso.example/apnstest"
	"aviso.example/sim"
)

// listAll reads all pages.
func (r *rig) listAll(f Filter, limit int) (list []Verdict) {
	r.t.Helper()
	for from, pages := (Place{}), 0; ; pages++ {
		page, next, err := r.List(r.t.Context(), f, from, limit)
		if err != nil || len(page) > limit || pages > 1000 {
			r.t.Fatalf("%d, %v", len(page), err)
		}
		list = append(list, page...)
		if next == nil {
			return list
		}
		from = *next
	}
}

func (r *rig) messagesAll(f Filter, limit int) (list []MessageStatus) {
	r.t.Helper()
	for from, pages := (Place{}), 0; ; pages++ {
		page, next, err := r.Messages(r.t.Context(), f, from, limit)
		if err != nil || len(page) > limit || pages > 1000 {
			r.t.Fatalf("%d, %v", len(page), err)
		}
		list = append(list, page...)
		if next == nil {
			return list
		}
		from = *next
	}
}

// A list has each notification once, in the state that it is in, and finds what waits
// as well as what has ended; pages of any size give the same.
func TestList(t *testing.T) { virtually(t, testList) }

func testList(t *testing.T) {
	apple := apnstest.StartMem(t, recording)
	r := newRig(t, apple, func(cfg *Config) {
		cfg.Apps = append(cfg.Apps, testApp(t, apple, "other"), testApp(t, apple, "third"))
	})
	to := func(app string) *Message { m := hello(); m.App = app; return m }
	want := map[State]int{}
	// Some are accepted, some dead letters of which some are sent again.
	r.wait(r.submit(hello(), devices(0, 5)...).Message)
	apple.AddFault(t, sim.Fault{Kind: sim.FaultAnswer, Reason: "TopicDisallowed", Count: 4})
	r.wait(r.submit(hello(), devices(10, 12)...).Message)
	r.wait(r.submit(hello(), devices(12, 14)...).Message)
	letters, err := r.DeadLetters(t.Context(), "shop", "TopicDisallowed", 0, 10)
	if err != nil || len(letters) == 0 || letters[0].Status != 400 || letters[0].State != Rejected {
		t.Fatalf("%+v, %v", letters, err)
	}
	revived := len(letters[0].IDs)
	r.must(r.RetryDeadLetters(t.Context(), letters[0].Number))
	time.Sleep(time.Second)
	want[Accepted], want[Rejected] = 5+revived, 4-revived
	// Some wait for a pause, more than fit into a chunk.
	r.must(r.PauseApp(t.Context(), "other", ""))
	big := r.submit(to("other"), devices(100, 2600)...)
	want[Queued] = 2500
	// Some for their time, among them a batch's; some for another attempt.
	m := to("third")
	m.SendAt = time.Now().Add(240 * time.Hour)
	scheduled := r.submit(m, devices(3000, 3003)...)
	b := r.batch(BatchConfig{})
	for i := range 4 {
		line := hello()
		line.SendAt = m.SendAt
		if _, err := b.Add(line, &Target{DeviceToken: device(4000 + i)}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.Close(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	want[Scheduled] = 7
	apple.AddFault(t, sim.Fault{Kind: sim.FaultAnswer, Reason: "ServiceUnavailable", Count: 2})
	retrying := r.submit(to("third"), devices(5000, 5002)...)
	time.Sleep(300 * time.Millisecond)
	want[Retrying] = 2
	called := r.submit(m, devices(6000, 6001)...)
	r.must(r.CancelMessage(t.Context(), called.Message))
	want[Cancelled] = 1

	total := 0
	for _, n := range want {
		total += n
	}
	for _, limit := range []int{1000, 7} {
		got, ids := map[State]int{}, map[string]bool{}
		for _, v := range r.listAll(Filter{}, limit) {
			got[v.State]++
			ids[v.ID.String()] = true
		}
		if fmt.Sprint(got) != fmt.Sprint(want) || len(ids) != total {
			t.Errorf("pages of %d: %v of %d, not %v", limit, got, len(ids), want)
		}
	}
	for state, n := range want {
		list := r.listAll(Filter{States: []State{state}}, 100)
		if len(list) != n || slices.ContainsFunc(list, func(v Verdict) bool { return v.State != state }) {
			t.Errorf("%d are %s, not %d", len(list), state, n)
		}
	}
	if list := r.listAll(Filter{App: "third", States: []State{Retrying}}, 1); len(list) != 2 || list[0].Attempts != 1 || list[0].Status != 503 || list[0].RetryAt.IsZero() {
		t.Errorf("%+v", list)
	}
	if list := r.listAll(Filter{Batch: b.ID()}, 3); len(list) != 4 {
		t.Errorf("%+v", list)
	}

	// Messages are found without their ids, each once.
	for _, limit := range []int{100, 1} {
		if list := r.messagesAll(Filter{}, limit); len(list) != 7 {
			t.Errorf("pages of %d: %+v", limit, list)
		}
		for state, id := range map[State]MessageID{Scheduled: scheduled.Message, Queued: big.Message, Cancelled: called.Message, Retrying: retrying.Message} {
			list := r.messagesAll(Filter{States: []State{state}}, limit)
			if len(list) != 1 || list[0].ID != id || list[0].Done != state.Final() {
				t.Errorf("%s: %+v", state, list)
			}
		}
	}
	if list := r.messagesAll(Filter{App: "other"}, 10); len(list) != 1 || list[0].States[Queued] != 2500 {
		t.Errorf("%+v", list)
	}
}

// What goes on while a list is read is told as it is then.
func TestMessageCountsWhatIsSent(t *testing.T) { virtually(t, testMessageCountsWhatIsSent) }

func testMessageCountsWhatIsSent(t *testing.T) {
	apple := apnstest.StartMem(t)
	r := newRig(t, apple, func(cfg *Config) { cfg.Window = maxChunk })
	r.submit(hello(), devices(0, 1)...)
	time.Sleep(time.Second)
	apple.AddFault(t, sim.Fault{Kind: sim.FaultSilence})
	receipt := r.submit(hello(), devices(1, 1+2*maxChunk)...)
	time.Sleep(time.Second)
	// There is room for one of its two chunks, and it may be either.
	s, err := r.Message(t.Context(), receipt.Message)
	if err != nil || s.States[Sending] != maxChunk || s.States[Queued] != maxChunk || s.Done {
		t.Errorf("%+v, %v", s, err)
	}
	apple.ClearFaults()
	if s := r.wait(receipt.Message); s.States[Accepted] != 2*maxChunk {
		t.Errorf("%+v", s)
	}
}

// What becomes due is in every list, wherever it is on its way.
func TestListedWhileBecomingDue(t *testing.T) {
	t.Parallel()
	apple := apnstest.Start(t)
	r := newRig(t, apple)
	const all = 60 // each is a chunk, and a page looks at 200
	at := time.Now().Add(2 * time.Second).Truncate(time.Second)
	for i := range all {
		m := hello()
		m.SendAt = at
		r.submit(m, devices(i, i+1)...)
	}
	time.Sleep(time.Until(at))
	looks := 0
	for ended := 0; ended < all && time.Since(at) < 30*time.Second; looks++ {
		list, next, err := r.List(t.Context(), Filter{}, Place{}, 2*all)
		if err != nil || next != nil {
			t.Fatal(next, err)
		}
		there := map[string]bool{}
		ended = 0
		for _, v := range list {
			there[v.ID.String()] = true
			if v.State.Final() {
				ended++
			}
		}
		if len(there) < all {
			t.Fatalf("look %d: %d of %d are listed", looks, len(there), all)
		}
	}
	t.Logf("%d looks", looks)
}
