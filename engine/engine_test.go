package engine

import (
	"testing"
	"time"

	"aviso.example/apnstest"
	"aviso.example/sim"
)

// One message goes the whole way, and says so.
func TestOneMessage(t *testing.T) { virtually(t, testOneMessage) }

func testOneMessage(t *testing.T) {
	apple := apnstest.StartMem(t)
	r := newRig(t, apple)
	receipt := r.submit(hello(), Target{DeviceToken: apple.DeviceToken})
	if s := r.wait(receipt.Message); s.States[Accepted] != 1 || s.App != "shop" {
		t.Errorf("%+v", s)
	}
	push := apple.WaitForPush(t, sim.Filter{DeviceToken: apple.DeviceToken})
	if push.ID != receipt.Message.ID(0).String() {
		t.Errorf("apns-id %s, want the delivery's id %s", push.ID, receipt.Message.ID(0))
	}
	d, err := r.Delivery(t.Context(), receipt.Message.ID(0))
	if err != nil || d.State != Accepted || d.DeviceToken != apple.DeviceToken || d.Attempts != 1 || d.Message != receipt.Message || d.UniqueID == "" {
		t.Errorf("%+v, %v", d, err)
	}
}

// What was accepted and not sent is sent by the next engine.
func TestRestart(t *testing.T) { virtually(t, testRestart) }

func testRestart(t *testing.T) {
	apple := apnstest.StartMem(t)
	r := newRig(t, apple)
	if err := r.PauseApp(t.Context(), "shop", "for the test"); err != nil {
		t.Fatal(err)
	}
	few, many := r.submit(hello(), devices(0, 3)...), r.submit(hello(), devices(10, 5000)...)
	if s, err := r.Message(t.Context(), many.Message); err != nil || s.States[Queued] != 4990 {
		t.Errorf("%+v, %v", s, err)
	}
	r.close()
	r.open()
	time.Sleep(50 * time.Millisecond)
	if n := apple.Stats().Accepted; n != 0 {
		t.Errorf("%d sent while paused", n)
	}
	if err := r.ResumeApp(t.Context(), "shop"); err != nil {
		t.Fatal(err)
	}
	if s := r.wait(few.Message); s.States[Accepted] != 3 {
		t.Errorf("%+v", s)
	}
	if s := r.wait(many.Message); s.States[Accepted] != 4990 {
		t.Errorf("%+v", s)
	}
	if n := apple.Stats().Accepted; n != 4993 {
		t.Errorf("APNs accepted %d", n)
	}
}
