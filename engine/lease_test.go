package engine

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"aviso.example/apns"
	"aviso.example/apnstest"
)

// A chunk does not come again before what was decided about a part of it is
// written: whoever got it then would decide about that part too.
func TestComesAgainAfterVerdicts(t *testing.T) { virtually(t, testComesAgainAfterVerdicts) }

func testComesAgainAfterVerdicts(t *testing.T) {
	apple := apnstest.StartMem(t)
	r := newRig(t, apple)
	q, err := r.queueFor(t.Context(), path{"shop", apns.Sandbox, Normal}, BatchID{})
	if err != nil {
		t.Fatal(err)
	}
	q.cancel() // the test reads it, and nobody else
	receipt := r.submit(hello(), devices(0, 2)...)
	p, err := r.puller(q.name, consumerName)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	next := func() *nats.Msg {
		t.Helper()
		msg, _, err := p.next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return msg
	}
	msg := next()
	c, err := parseChunk(msg.Data)
	if err != nil {
		t.Fatal(err)
	}
	l := r.newLease(c)
	l.queue, l.seq, l.number, l.msg = q, 1, 1, msg
	l.section.begin(c, false)
	l.renewed(time.Now())
	if !r.leases.add(l) {
		t.Fatal("it is under way already")
	}
	q.leased.Add(1)
	l.mu.Lock()
	l.decided(0, &c.targets[0], time.Now(), &decision{state: Cancelled, detail: "by a test"}, "", false)
	l.mu.Unlock()
	l.letGo(0)

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
	r.take(t.Context(), q, msg, time.Now())
	if s := r.wait(receipt.Message); s.States[Cancelled] != 1 || s.States[Accepted] != 1 {
		t.Errorf("%v", s.States)
	}
}

// Two copies of a notification are not both under way: one waits until what becomes
// of the other is on the disk, which is later than when it is decided.
func TestOverlapUntilSaved(t *testing.T) {
	e := &Engine{leases: newLeases()}
	c := &chunk{unit: newUnit(time.Now()), templates: []template{{}}, targets: []target{{number: 1}, {number: 2}}}
	one, other := e.newLease(c), e.newLease(&chunk{unit: c.unit, templates: c.templates, targets: []target{{number: 2, round: 1}}})
	for _, l := range []*lease{one, other} {
		if !e.leases.add(l) {
			t.Fatal("it is there")
		}
	}
	for _, test := range []struct {
		status  status
		overlap bool
	}{{waiting, true}, {handed, true}, {handed | announced, true}, {answered, true}, {ended | announced, true}, {saved, false}, {saved | announced, false}} {
		one.status[1] = test.status
		if got := e.leases.overlap(other); got != test.overlap {
			t.Errorf("while the other copy has status %x: overlap %v", test.status, got)
		}
	}
}
