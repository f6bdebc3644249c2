package engine

import (
	"testing"
	"time"

	"aviso.example/apns"
	"aviso.example/apnstest"
)

// putBack writes a chunk of n that waits for a gate, as after an answer that condemned
// the credential, and is due in an hour.
func (r *rig) putBack(key gateKey, n int) {
	r.t.Helper()
	m := hello()
	m.App, m.Environment = key.app, &key.environment
	_, _, tm, err := r.template(m, time.Now())
	r.must(err)
	tm.count, tm.accepted = uint32(n), uint32(n)
	c := chunk{path: path{key.app, key.environment, Normal}, unit: newUnit(time.Now()), at: time.Now().UnixMilli(), templates: []template{tm}}
	for i, to := range devices(0, n) {
		t, _ := parseTarget(&to)
		t.number, t.round, t.attempts = uint32(i), 1, 1
		c.targets = append(c.targets, t)
	}
	r.must(r.putLater(r.t.Context(), &c, due{time.Now().Add(time.Hour).Unix(), true}))
}

func (r *rig) waitAt(key gateKey) int {
	r.t.Helper()
	subjects, err := r.later.subjects(r.t.Context(), waitingAt(key))
	r.must(err)
	return len(subjects)
}

// threeGates is an engine on which something waits for each of three gates.
func threeGates(t *testing.T) (*rig, []gateKey) {
	t.Helper()
	apple := apnstest.StartMem(t, recording)
	r := newRig(t, apple, func(cfg *Config) {
		cfg.Apps[0].Production = cfg.Apps[0].Sandbox
		cfg.Apps = append(cfg.Apps, testApp(t, apple, "other"))
	})
	keys := []gateKey{{"shop", apns.Sandbox}, {"shop", apns.Production}, {"other", apns.Sandbox}}
	time.Sleep(time.Second) // what waited in the life before has gone on
	for _, key := range keys {
		r.putBack(key, 2)
		r.putBack(key, 1)
	}
	return r, keys
}

// A gate that opens is that of an app in an environment, and of nobody else.
func TestHastenOne(t *testing.T) { virtually(t, testHastenOne) }

func testHastenOne(t *testing.T) {
	r, keys := threeGates(t)
	for i, key := range keys {
		r.goesOn(3, key.app+" "+key.environment.String(), func() { r.later.hasten(key) })
		for k, other := range keys {
			want := 2
			if k <= i {
				want = 0
			}
			if n := r.waitAt(other); n != want {
				t.Errorf("when %v has opened, %d chunks wait for %v", key, n, other)
			}
		}
	}
}

// What cannot be moved for one gate keeps nobody else waiting, and stays where it is.
func TestHastenBesideTrouble(t *testing.T) { virtually(t, testHastenBesideTrouble) }

func testHastenBesideTrouble(t *testing.T) {
	r, keys := threeGates(t)
	q, err := r.queueFor(t.Context(), path{"shop", apns.Sandbox, Normal}, BatchID{})
	r.must(err)
	info, err := q.stream.Info(t.Context())
	r.must(err)
	cfg := info.Config
	cfg.Sealed = true // it takes nothing
	_, err = r.store.UpdateStream(t.Context(), cfg)
	r.must(err)
	r.later.hasten(keys[0])
	for _, key := range keys[1:] {
		time.Sleep(troublePause / 5) // and it is tried again and again
		began := time.Now()
		r.later.hasten(key)
		time.Sleep(troublePause / 5)
		if n := len(r.accepted(began)); n != 3 {
			t.Errorf("%v: %d of 3 have gone on", key, n)
		}
	}
	if n := r.waitAt(keys[0]); n != 2 {
		t.Errorf("%d of 2 wait where nothing can be moved", n)
	}
}
