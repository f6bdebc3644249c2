package engine

import (
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"aviso.example/apns"
	"aviso.example/apnstest"
)

// What was handed out and did not arrive is missed, also if nothing else comes.
func TestFollowerMisses(t *testing.T) {
	apple := apnstest.Start(t)
	r := newRig(t, apple)
	for i := range 6 {
		r.only(r.submit(hello(), devices(i, i+1)...))
	}
	f, err := newFollower(t.Context(), r.store, r.ledger.stream, 1)
	if err != nil {
		t.Fatal(err)
	}
	var got []uint64
	take := func(seq uint64, _ []byte) error { got = append(got, seq); return nil }
	if n, err := f.read(t.Context(), 2, take); n != 2 || err != nil {
		t.Fatal(n, err)
	}
	// As if the process had been stopped.
	lost, err := f.consumer.Fetch(2, jetstream.FetchMaxWait(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	for range lost.Messages() {
	}
	if n, err := f.read(t.Context(), 1, take); n != 0 || !errors.Is(err, errMissed) {
		t.Error(n, err)
	}
	if f, err = newFollower(t.Context(), r.store, r.ledger.stream, got[len(got)-1]+1); err != nil {
		t.Fatal(err)
	}
	if n, err := f.read(t.Context(), 1, take); n != 1 || err != nil || got[2] != got[1]+1 {
		t.Error(n, err, got)
	}
	if lost, err = f.consumer.Fetch(3, jetstream.FetchMaxWait(time.Second)); err != nil {
		t.Fatal(err)
	}
	for range lost.Messages() {
	}
	if n, err := f.read(t.Context(), 1, take); n != 0 || !errors.Is(err, errMissed) {
		t.Error("at the end:", n, err)
	}
}

// All dead device tokens are known after a start, and at once.
func TestDeadTokensSurvive(t *testing.T) { virtually(t, testDeadTokensSurvive) }

func testDeadTokensSurvive(t *testing.T) {
	apple := apnstest.StartMem(t)
	r := newRig(t, apple)
	const n = 150
	for i := range n {
		target, _ := parseTarget(&Target{DeviceToken: device(i)})
		if err := r.dead.add(t.Context(), "shop", apns.Sandbox, []deadToken{{token: target.token, since: time.Now()}}); err != nil {
			t.Fatal(err)
		}
	}
	r.close()
	began := time.Now()
	r.open()
	if got := r.dead.size(); got != n {
		t.Errorf("%d of %d are known", got, n)
	}
	if took := time.Since(began); took > 0 {
		t.Errorf("the start took %v", took)
	}
}
