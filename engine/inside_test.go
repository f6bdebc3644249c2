package engine

import (
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// A log server that does not say how it is has come to a standstill after a while,
// and is replaced. What was asked of the old one is given up.
func TestStandstill(t *testing.T) { virtually(t, testStandstill) }

func testStandstill(t *testing.T) {
	in, err := embed(StoreConfig{Dir: t.TempDir(), MaxBytes: 1 << 30}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer in.close()
	if err := in.stuck(); err != nil {
		t.Errorf("a good one: %v", err)
	}
	in.asking = &question{began: time.Now(), ended: make(chan struct{})}
	if err := in.stuck(); !errors.Is(err, errSlow) {
		t.Errorf("at first: %v", err)
	}
	time.Sleep(hungAfter)
	if err := in.stuck(); !errors.Is(err, errHung) {
		t.Errorf("after %v: %v", hungAfter, err)
	}
	turn, before := in.present(), in.now()
	prepared := false
	err = in.reopen(func() error { return nil }, func(js jetstream.JetStream) error {
		_, err := js.AccountInfo(t.Context())
		if _, other := in.InProcessConn(); !errors.Is(other, errNoServer) {
			t.Errorf("others can connect already: %v", other)
		}
		prepared = true
		return err
	})
	if err != nil || !prepared || turn.Err() == nil || in.now() == before || in.now() == nil {
		t.Errorf("%v, prepared %v, turn %v", err, prepared, turn.Err())
	}
	if err := in.stuck(); err != nil {
		t.Errorf("the new one: %v", err)
	}
	// One that cannot be prepared serves nobody, and the next attempt is free to
	// succeed.
	wrong := errors.New("wrong")
	if err := in.reopen(func() error { return nil }, func(jetstream.JetStream) error { return wrong }); !errors.Is(err, wrong) {
		t.Errorf("%v", err)
	}
	if err := in.stuck(); !errors.Is(err, errNoServer) {
		t.Errorf("without a server: %v", err)
	}
	if err := in.reopen(nil, func(jetstream.JetStream) error { return nil }); err != nil {
		t.Errorf("once more: %v", err)
	}
}

// An engine that cannot go on says so once, and why.
func TestFailure(t *testing.T) {
	e := &Engine{failed: make(chan struct{}), log: slog.New(slog.DiscardHandler)}
	if err := e.Failure(); err != nil {
		t.Error(err)
	}
	first := errors.New("first")
	e.fail(first)
	e.fail(errors.New("second"))
	<-e.Failed()
	if err := e.Failure(); err != first {
		t.Error(err)
	}
}
