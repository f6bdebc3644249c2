package liveactivity_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"aviso.example/apns"
	"aviso.example/apnstest"
	"aviso.example/broadcast"
	"aviso.example/liveactivity"
	"aviso.example/payload"
	"aviso.example/sim"
)

// What can never be sent is said to whoever hands it in, is NotSent, and does not
// keep the device token of a later Follow from being taken.
func TestWrongStateIsSaidAtOnce(t *testing.T) {
	server := apnstest.Start(t)
	client, ctx := newClient(t, server), t.Context()
	d, err := liveactivity.New[order, string](liveactivity.Config{Sender: client, AttributesType: "Delivery"})
	if err != nil {
		t.Fatal(err)
	}
	wrong := func(_ apns.Receipt, err error) {
		t.Helper()
		if _, ok := errors.AsType[*payload.InvalidError](err); !ok || apns.OutcomeOf(err) != apns.NotSent {
			t.Errorf("%v: %v", apns.OutcomeOf(err), err)
		}
	}
	wrong(d.Update(ctx, "no object", liveactivity.UpdateOptions{}))
	wrong(d.End(ctx, "no object", liveactivity.EndOptions{}))
	wrong(d.Start(ctx, server.DeviceToken, order{1}, "no object", liveactivity.StartOptions{Alert: alert}))
	if got := d.Snapshot().Phase; got != liveactivity.Fresh {
		t.Errorf("it is %s", got)
	}
	a, err := server.StartActivity(sim.ActivityStart{DeviceToken: server.DeviceToken, BundleID: server.Topic})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Follow(ctx, a.UpdateDeviceToken); err != nil {
		t.Error(err)
	}
	made, err := server.CreateChannel(server.Topic, 0)
	if err != nil {
		t.Fatal(err)
	}
	event, err := liveactivity.OnChannel[string](liveactivity.Config{Sender: client}, broadcast.Channel{ID: made.ID}, 0)
	if err != nil {
		t.Fatal(err)
	}
	wrong(event.Update(ctx, "no object", liveactivity.UpdateOptions{}))
	wrong(event.End(ctx, "no object", liveactivity.EndOptions{}))
	if got := server.Pushes(sim.Filter{}); len(got) != 0 {
		t.Errorf("%d pushes", len(got))
	}
}

// A state that waits is the one that was handed in, whatever becomes of it.
func TestStateIsTakenWhenHandedIn(t *testing.T) {
	server := apnstest.Start(t)
	d, err := liveactivity.New[order, map[string]int](liveactivity.Config{Sender: newClient(t, server)})
	if err != nil {
		t.Fatal(err)
	}
	state := map[string]int{"stops": 3}
	if _, err := d.Update(t.Context(), state, liveactivity.UpdateOptions{}); !errors.Is(err, liveactivity.ErrWaiting) {
		t.Error(err)
	}
	state["stops"] = 99
	a, err := server.StartActivity(sim.ActivityStart{DeviceToken: server.DeviceToken, BundleID: server.Topic})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Follow(t.Context(), a.UpdateDeviceToken); err != nil {
		t.Error(err)
	}
	if got := onDevice(t, server); stops(t, got) != 3 {
		t.Errorf("%+v", got)
	}
}

// An end that was promised to go out with Follow is not lost if that fails: no
// update overtakes it, and Follow or End sends it.
func TestWaitingEndIsNotLost(t *testing.T) {
	for _, with := range []string{"Follow", "End"} {
		server := apnstest.Start(t)
		d, ctx := newDelivery(t, server), t.Context()
		if _, err := d.End(ctx, progress{}, liveactivity.EndOptions{}); !errors.Is(err, liveactivity.ErrWaiting) {
			t.Error(err)
		}
		if _, err := d.End(ctx, progress{}, liveactivity.EndOptions{}); !errors.Is(err, liveactivity.ErrEnded) {
			t.Error(err)
		}
		a, err := server.StartActivity(sim.ActivityStart{DeviceToken: server.DeviceToken, BundleID: server.Topic})
		if err != nil {
			t.Fatal(err)
		}
		server.AddFault(t, sim.Fault{Kind: sim.FaultAnswer, Reason: "BadPriority", Count: 2})
		if err := d.Follow(ctx, a.UpdateDeviceToken); !errors.Is(err, apns.ReasonBadPriority) {
			t.Error(err)
		}
		if _, err := d.Update(ctx, progress{9}, liveactivity.UpdateOptions{}); !errors.Is(err, liveactivity.ErrEnded) {
			t.Error(err)
		}
		if with == "Follow" {
			if err := d.Follow(ctx, a.UpdateDeviceToken); !errors.Is(err, apns.ReasonBadPriority) {
				t.Error(err)
			}
			if err := d.Follow(ctx, a.UpdateDeviceToken); err != nil {
				t.Error(err)
			}
		} else {
			if _, err := d.End(ctx, progress{}, liveactivity.EndOptions{}); !errors.Is(err, apns.ReasonBadPriority) {
				t.Error(err)
			}
			r, err := d.End(ctx, progress{}, liveactivity.EndOptions{})
			no(t, r, err)
		}
		if got := onDevice(t, server); got.State != sim.ActivityEnded || got.Ignored != 0 {
			t.Errorf("with %s: %+v", with, got)
		}
		if _, err := d.End(ctx, progress{}, liveactivity.EndOptions{}); !errors.Is(err, liveactivity.ErrEnded) {
			t.Error(err)
		}
	}
}

// Whatever is refused, lost or changed under way, one end is accepted in the end, no
// update after it, and none with a newer timestamp, which would outlive it.
func TestOneEndWhateverHappens(t *testing.T) {
	for seed := range uint64(300) {
		var mu sync.Mutex
		random, trouble, current := rand.New(rand.NewPCG(seed, 0)), true, 0
		var end, newest int64
		d, err := liveactivity.New[order, progress](liveactivity.Config{Sender: scripted(func(n *apns.Notification) error {
			mu.Lock()
			defer mu.Unlock()
			if n.DeviceToken != fmt.Sprintf("%02x", current) {
				return &apns.RejectedError{Status: 410, Reason: apns.ReasonUnregistered}
			}
			if trouble {
				switch random.IntN(6) {
				case 0:
					return &apns.NotSentError{}
				case 1:
					return &apns.RejectedError{Status: 429}
				case 2:
					return &apns.RejectedError{Status: 410, Reason: apns.ReasonUnregistered}
				}
			}
			var p struct {
				APS struct {
					Timestamp int64
					Event     string
				}
			}
			if err := json.Unmarshal(n.Payload, &p); err != nil {
				t.Error(err)
			}
			if end != 0 && p.APS.Event == "end" {
				t.Errorf("seed %d: a second end", seed)
			}
			if newest = max(newest, p.APS.Timestamp); p.APS.Event == "end" {
				end = p.APS.Timestamp
			}
			return nil
		})})
		if err != nil {
			t.Fatal(err)
		}
		follow := func(change bool) {
			mu.Lock()
			if change {
				current++
			}
			deviceToken := fmt.Sprintf("%02x", current)
			mu.Unlock()
			d.Follow(t.Context(), deviceToken)
		}
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() { d.Update(t.Context(), progress{i}, liveactivity.UpdateOptions{}) })
			wg.Go(func() { follow(i%2 == 0) })
			if i > 3 {
				wg.Go(func() { d.End(t.Context(), progress{-1}, liveactivity.EndOptions{}) })
			}
		}
		wg.Wait()
		mu.Lock()
		trouble = false
		mu.Unlock()
		follow(false)
		d.End(t.Context(), progress{-1}, liveactivity.EndOptions{}) // unless one went out
		if got := d.Snapshot().Phase; got != liveactivity.Ended || end == 0 || newest > end {
			t.Fatalf("seed %d: it is %s, the end at %d, the newest push at %d", seed, got, end, newest)
		}
	}
}

// An end whose time is over before a device token came is not kept for ever.
func TestWaitingEndExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := apnstest.StartMem(t)
		d, ctx := newDelivery(t, server), t.Context()
		a, err := server.StartActivity(sim.ActivityStart{DeviceToken: server.DeviceToken, BundleID: server.Topic})
		if err != nil {
			t.Fatal(err)
		}
		o := liveactivity.EndOptions{Expiration: apns.ExpireAt(time.Now().Add(time.Minute))}
		if _, err := d.End(ctx, progress{}, o); !errors.Is(err, liveactivity.ErrWaiting) {
			t.Error(err)
		}
		time.Sleep(2 * time.Minute)
		if err := d.Follow(ctx, a.UpdateDeviceToken); err == nil || !strings.Contains(err.Error(), "Expiration has passed") {
			t.Error(err)
		}
		if err := d.Follow(ctx, a.UpdateDeviceToken); err != nil {
			t.Error(err)
		}
		r, err := d.End(ctx, progress{}, liveactivity.EndOptions{})
		no(t, r, err)
		if got := onDevice(t, server); got.State != sim.ActivityEnded {
			t.Errorf("%+v", got)
		}
	})
}

// However often the device token changes under an end, it is sent once.
func TestDeviceTokenKeepsChanging(t *testing.T) {
	var d *liveactivity.Activity[order, progress]
	pushes := 0
	d, err := liveactivity.New[order, progress](liveactivity.Config{Sender: scripted(func(n *apns.Notification) error {
		if pushes++; pushes > 6 {
			return nil
		}
		if err := d.Follow(t.Context(), n.DeviceToken+"aa"); err != nil {
			t.Error(err)
		}
		return &apns.RejectedError{Status: 410, Reason: apns.ReasonUnregistered}
	})})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Follow(t.Context(), "aa"); err != nil {
		t.Fatal(err)
	}
	r, err := d.End(t.Context(), progress{}, liveactivity.EndOptions{})
	no(t, r, err)
	if got := d.Snapshot().Phase; got != liveactivity.Ended {
		t.Errorf("it is %s", got)
	}
}

// What happens while a start is on its way.
func TestWhileItStarts(t *testing.T) {
	var d *liveactivity.Activity[order, progress]
	var answer error
	underway := func() {}
	d, err := liveactivity.New[order, progress](liveactivity.Config{
		AttributesType: "Delivery", Sender: scripted(func(*apns.Notification) error { underway(); return answer }),
	})
	if err != nil {
		t.Fatal(err)
	}
	begin := func(o liveactivity.StartOptions) error {
		o.Alert = alert
		_, err := d.Start(t.Context(), "aa", order{1}, progress{7}, o)
		return err
	}
	// On a channel no update device token will come, so nothing waits for one; and
	// a server that stops now may not start another.
	underway = func() {
		if _, err := d.Update(t.Context(), progress{1}, liveactivity.UpdateOptions{}); !errors.Is(err, liveactivity.ErrOnChannel) {
			t.Error(err)
		}
		if _, err := d.End(t.Context(), progress{}, liveactivity.EndOptions{}); !errors.Is(err, liveactivity.ErrOnChannel) {
			t.Error(err)
		}
		if s := d.Snapshot(); s.Phase != liveactivity.Running || !s.OnChannel {
			t.Errorf("%+v", s)
		}
	}
	answer = &apns.NotSentError{}
	if err := begin(liveactivity.StartOptions{ChannelID: "QUJD"}); err != answer {
		t.Error(err)
	}
	if s := d.Snapshot(); s.Phase != liveactivity.Fresh || s.OnChannel {
		t.Errorf("%+v", s)
	}
	// What waited before a start is older than what the start shows.
	underway = func() {}
	if _, err := d.Update(t.Context(), progress{8}, liveactivity.UpdateOptions{}); !errors.Is(err, liveactivity.ErrWaiting) {
		t.Error(err)
	}
	answer = nil
	if err := begin(liveactivity.StartOptions{}); err != nil {
		t.Error(err)
	}
	underway = func() { t.Error("something older was sent") }
	if err := d.Follow(t.Context(), "bb"); err != nil {
		t.Error(err)
	}
	// An activity that has ended before it began does not start.
	underway = func() {}
	if d, err = liveactivity.New[order, progress](liveactivity.Config{AttributesType: "Delivery", Sender: scripted(func(*apns.Notification) error { return nil })}); err != nil {
		t.Fatal(err)
	}
	if _, err := d.End(t.Context(), progress{}, liveactivity.EndOptions{}); !errors.Is(err, liveactivity.ErrWaiting) {
		t.Error(err)
	}
	if err := begin(liveactivity.StartOptions{}); !errors.Is(err, liveactivity.ErrEnded) {
		t.Error(err)
	}
}

// A channel that was kept as id and policy goes by the client's bundle identifier.
func TestChannelOfTheClientsApp(t *testing.T) {
	server := apnstest.Start(t)
	made, err := server.CreateChannel(server.Topic, 1)
	if err != nil {
		t.Fatal(err)
	}
	event, err := liveactivity.OnChannel[progress](liveactivity.Config{Sender: newClient(t, server)},
		broadcast.Channel{ID: made.ID, Policy: broadcast.StoreLatest}, 0)
	if err != nil {
		t.Fatal(err)
	}
	r, err := event.Update(t.Context(), progress{1}, liveactivity.UpdateOptions{})
	no(t, r, err)
	if ch, err := server.Channel(made.ID); err != nil || ch.Stored == nil {
		t.Errorf("%+v %v", ch, err)
	}
}
