package engine

import (
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"aviso.example/apnstest"
)

// An engine has a part of a rate as long as it hears what it says itself: who does not
// would not hear the others either, and take all of it.
func TestDeafEngineHasNoPart(t *testing.T) { virtually(t, testDeafEngineHasNoPart) }

func testDeafEngineHasNoPart(t *testing.T) {
	r := newRig(t, apnstest.StartMem(t))
	p := &peers{engine: r.Engine, name: "this", others: map[string]peer{}, own: peer{divisor: 1}, known: true}
	says := func(revision uint64) { p.said = saying{revision, time.Now()} }
	part := func(want float64, when string) {
		t.Helper()
		p.divide(t.Context())
		if got := p.part("shop", 100); got != want {
			t.Errorf("%s its part is %v, not %v", when, got, want)
		}
	}
	says(1)
	part(0, "before it has heard itself")
	p.hearOwn(1)
	part(100, "when it has")
	time.Sleep(absentAfter / 2)
	says(2)
	part(100, "for a while")
	time.Sleep(absentAfter)
	says(3)
	part(0, "when it has heard nothing for long")
	if silent := p.silent(); silent < absentAfter {
		t.Errorf("it is silent for %v", silent)
	}
	p.hearOwn(2)
	part(0, "when it hears what it said long ago")
	p.hearOwn(3)
	part(100, "when it hears itself again")
	if silent := p.silent(); silent != 0 {
		t.Errorf("it is silent for %v", silent)
	}
	p.hearOwn(4) // before the log has answered
	time.Sleep(absentAfter + time.Second)
	says(4)
	p.hearOwn(p.heard)
	part(100, "when it heard itself before the log answered")
}

// An engine that has left does not come back on the list by what it was about to say.
func TestLeft(t *testing.T) {
	r := newRig(t, apnstest.Start(t), onLog(startLog(t), 5*time.Second))
	r.peers.leave(t.Context())
	r.must(r.peers.present(t.Context()))
	if _, err := r.peers.kv.Get(t.Context(), r.peers.name); !errors.Is(err, jetstream.ErrKeyNotFound) {
		t.Errorf("it is on the list: %v", err)
	}
}
