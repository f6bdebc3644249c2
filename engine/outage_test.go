package engine

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"aviso.example/apnstest"
	"aviso.example/sim"
)

// An outage is not written down every second: what tries whether APNs can be reached
// leaves no trace on the log, and everything goes on at once afterwards.
func TestOutageWritesLittle(t *testing.T) {
	for _, test := range []struct {
		kind sim.FaultKind
		drop bool
		n    int
	}{
		{sim.FaultRefuseConnection, false, 1}, {sim.FaultRefuseConnection, true, 3}, {sim.FaultRefuseConnection, false, 1500},
		{sim.FaultStallHandshake, true, 1}, {sim.FaultStallHandshake, false, 3}, {sim.FaultStallHandshake, true, 1500},
	} {
		t.Run(fmt.Sprint(test.kind, " drop ", test.drop, " ", test.n), func(t *testing.T) {
			virtually(t, func(t *testing.T) { testOutageWritesLittle(t, test.kind, test.drop, test.n) })
		})
	}
}

func testOutageWritesLittle(t *testing.T, kind sim.FaultKind, drop bool, n int) {
	apple := apnstest.StartMem(t, recording)
	r := newRig(t, apple)
	apple.AddFault(t, sim.Fault{Kind: kind})
	m := hello()
	m.DropUnknown = drop
	var ids []MessageID
	for i := range 3 { // messages of one chunk each, some of them before it is known
		ids = append(ids, r.submit(m, devices(i*n, i*n+n)...).Message)
		time.Sleep(40 * time.Second)
	}
	before := r.logged()
	time.Sleep(10 * time.Minute)
	if wrote := r.logged() - before; wrote > 10 {
		t.Errorf("%d messages were written to the log in ten minutes in which nothing happened", wrote)
	}
	r.must(r.CancelMessage(t.Context(), ids[1]))
	time.Sleep(onTime)
	if s, err := r.Message(t.Context(), ids[1]); err != nil || s.States[Cancelled] != n {
		t.Errorf("called back: %+v, %v", s, err)
	}
	ids = []MessageID{ids[0], ids[2]}
	r.goesOn(len(ids)*n, string(kind), func() { apple.ClearFaults() })
	for _, id := range ids {
		if s, err := r.Message(t.Context(), id); err != nil || s.States[Accepted] != n {
			t.Errorf("%+v, %v", s, err)
		}
	}
}

// logged is how much has been written to the log.
func (r *rig) logged() (n uint64) {
	streams := []jetstream.Stream{r.ledger.stream, r.later.stream}
	for _, q := range r.allQueues() {
		streams = append(streams, q.stream)
	}
	for _, stream := range streams {
		info, err := stream.Info(r.t.Context())
		r.must(err)
		n += info.State.LastSeq
	}
	return n
}

// What tries while nothing can be sent ends on time like everything else.
func TestOutageOutlived(t *testing.T) { virtually(t, testOutageOutlived) }

func testOutageOutlived(t *testing.T) {
	apple := apnstest.StartMem(t)
	r := newRig(t, apple, func(cfg *Config) { cfg.Lifetime = time.Hour })
	apple.AddFault(t, sim.Fault{Kind: sim.FaultRefuseConnection})
	id := r.submit(hello(), devices(0, 3)...).Message
	time.Sleep(time.Hour + 2*time.Second)
	if s, err := r.Message(t.Context(), id); err != nil || s.States[Expired] != 3 {
		t.Errorf("%+v, %v", s, err)
	}
}
