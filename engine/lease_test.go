package engine

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"aviso.example/apns"
	"aviso.example/apnstest"
)

// A chunk does not come again before what was decided about a part of it is
// written: whoever got it then would decide about that part too.
func TestGiveBackAfterVerdicts(t *testing.T) { virtually(t, testGiveBackAfterVerdicts) }

func testGiveBackAfterVerdicts(t *testing.T) {
	apple := apnstest.StartMem(t)
	r := newRig(t, apple)
	if err := r.PauseApp(t.Context(), "shop", ""); err != nil {
		t.Fatal(err)
	}
	receipt := r.submit(hello(), devices(0, 2)...)
	q, err := r.queueFor(t.Context(), path{"shop", apns.Sandbox, Normal}, BatchID{})
	if err != nil {
		t.Fatal(err)
	}
	next := func() jetstream.Msg {
		t.Helper()
		msg, err := q.consumer.Next(jetstream.FetchMaxWait(10 * time.Second))
		if err != nil {
			t.Fatal(err)
		}
		return msg
	}
	msg := next()
	meta, err := msg.Metadata()
	if err != nil {
		t.Fatal(err)
	}
	c, err := parseChunk(msg.Data())
	if err != nil {
		t.Fatal(err)
	}
	l := &lease{engine: r.Engine, queue: q, chunk: c, done: make([]bool, 2), seq: meta.Sequence.Stream, number: 1, msg: msg}
	l.section.begin(c, false)
	l.renewed(time.Now())
	if !r.leases.add(l) {
		t.Fatal("it is under way already")
	}
	q.leased.Add(1)
	l.mu.Lock()
	l.open = 2
	l.decided(0, &c.targets[0], time.Now(), &decision{state: Cancelled, detail: "by a test"}, "", false)
	l.mu.Unlock()
	l.giveBack(0)

	msg = next()
	known, err := r.ledger.settled(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if s := known[c.targets[0].number]; s.state != Cancelled || len(known) != 1 {
		t.Errorf("when the chunk came again, this was known: %v", known)
	}
	if n := r.leases.count(); n != 0 {
		t.Errorf("%d leases", n)
	}
	if err := msg.Nak(); err != nil {
		t.Fatal(err)
	}
	if err := r.ResumeApp(t.Context(), "shop"); err != nil {
		t.Fatal(err)
	}
	if s := r.wait(receipt.Message); s.States[Cancelled] != 1 || s.States[Accepted] != 1 {
		t.Errorf("%v", s.States)
	}
}
