package liveactivity_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"aviso.example/apns"
	"aviso.example/apnstest"
	"aviso.example/auth"
	"aviso.example/broadcast"
	"aviso.example/liveactivity"
	"aviso.example/payload"
	"aviso.example/sim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// order and progress are the app's attributes and content state.
type order struct {
	Number int `json:"number"`
}

type progress struct {
	Stops int `json:"stops"`
}

var alert = payload.LiveActivityAlert{Title: "Your parcel", Body: "is on its way"}

func newClient(t testing.TB, server *apnstest.Server) *apns.Client {
	t.Helper()
	key, err := auth.ParseSigningKey(server.KeyPEM, server.KeyID)
	if err != nil {
		t.Fatal(err)
	}
	client, err := apns.New(apns.Config{
		Key: key, TeamID: server.TeamID, BundleID: server.Topic,
		Endpoint: server.Endpoint, ExtraRoots: server.CAPEM, DialContext: server.DialContext,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		client.Close(ctx)
	})
	return client
}

func newDelivery(t testing.TB, server *apnstest.Server) *liveactivity.Activity[order, progress] {
	t.Helper()
	a, err := liveactivity.New[order, progress](liveactivity.Config{Sender: newClient(t, server), AttributesType: "Delivery"})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func no(t testing.TB, _ apns.Receipt, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

func stops(t testing.TB, a sim.Activity) int {
	t.Helper()
	var p progress
	if err := json.Unmarshal(a.ContentState, &p); err != nil {
		t.Fatalf("%v in %s", err, a.ContentState)
	}
	return p.Stops
}

// onDevice returns the one activity of the simulated device.
func onDevice(t testing.TB, server *apnstest.Server) sim.Activity {
	t.Helper()
	list := server.Activities(sim.ActivityFilter{DeviceToken: server.DeviceToken})
	if len(list) != 1 {
		t.Fatalf("%d activities", len(list))
	}
	return list[0]
}

func TestOneDelivery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := apnstest.StartMem(t)
		d, ctx := newDelivery(t, server), t.Context()
		r, err := d.Start(ctx, server.DeviceToken, order{42}, progress{7}, liveactivity.StartOptions{Alert: alert})
		no(t, r, err)
		if _, err := d.Start(ctx, server.DeviceToken, order{42}, progress{7}, liveactivity.StartOptions{Alert: alert}); !errors.Is(err, liveactivity.ErrStarted) {
			t.Error(err)
		}
		got := onDevice(t, server)
		if got.AttributesType != "Delivery" || string(got.Attributes) != `{"number":42}` || stops(t, got) != 7 {
			t.Errorf("%+v", got)
		}
		// Until the app has reported a device token, only the newest state is kept.
		for _, n := range []int{6, 5} {
			if _, err := d.Update(ctx, progress{n}, liveactivity.UpdateOptions{}); !errors.Is(err, liveactivity.ErrWaiting) {
				t.Error(err)
			}
		}
		if err := d.Follow(ctx, got.UpdateDeviceToken); err != nil {
			t.Error(err)
		}
		if got := onDevice(t, server); stops(t, got) != 5 || got.Updates != 1 {
			t.Errorf("%+v", got)
		}
		// Many updates within one second, each with a timestamp of its own.
		for n := 4; n > 1; n-- {
			r, err = d.Update(ctx, progress{n}, liveactivity.UpdateOptions{})
			no(t, r, err)
		}
		if got := onDevice(t, server); stops(t, got) != 2 || got.Ignored != 0 {
			t.Errorf("%+v", got)
		}
		r, err = d.End(ctx, progress{}, liveactivity.EndOptions{DismissalDate: time.Now().Add(time.Hour)})
		no(t, r, err)
		if _, err := d.End(ctx, progress{}, liveactivity.EndOptions{}); !errors.Is(err, liveactivity.ErrEnded) {
			t.Error(err)
		}
		if _, err := d.Update(ctx, progress{9}, liveactivity.UpdateOptions{}); !errors.Is(err, liveactivity.ErrEnded) {
			t.Error(err)
		}
		if err := d.Follow(ctx, got.UpdateDeviceToken); !errors.Is(err, liveactivity.ErrEnded) {
			t.Error(err)
		}
		if got := onDevice(t, server); got.State != sim.ActivityEnded || stops(t, got) != 0 || d.Snapshot().Phase != liveactivity.Ended {
			t.Errorf("%+v", got)
		}
	})
}

// The priorities spare the budget.
func TestPriorities(t *testing.T) {
	server := apnstest.Start(t)
	d, ctx := newDelivery(t, server), t.Context()
	r, err := d.Start(ctx, server.DeviceToken, order{1}, progress{7}, liveactivity.StartOptions{Alert: alert})
	no(t, r, err)
	if err := d.Follow(ctx, onDevice(t, server).UpdateDeviceToken); err != nil {
		t.Fatal(err)
	}
	for _, o := range []liveactivity.UpdateOptions{{}, {Alert: &alert}, {Alert: &alert, Priority: 5}, {Priority: 10}} {
		r, err = d.Update(ctx, progress{1}, o)
		no(t, r, err)
	}
	r, err = d.End(ctx, progress{}, liveactivity.EndOptions{})
	no(t, r, err)
	var got []int
	for _, p := range server.Pushes(sim.Filter{}) {
		got = append(got, p.Priority)
	}
	if want := []int{10, 5, 10, 5, 10, 10}; !slices.Equal(got, want) {
		t.Errorf("priorities %v, want %v", got, want)
	}
}

// The device token changes between and under updates.
func TestDeviceTokenChanges(t *testing.T) {
	server := apnstest.Start(t)
	d, ctx := newDelivery(t, server), t.Context()
	a, err := server.StartActivity(sim.ActivityStart{DeviceToken: server.DeviceToken, BundleID: server.Topic})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Follow(ctx, a.UpdateDeviceToken); err != nil { // the app has started it
		t.Fatal(err)
	}
	r, err := d.Update(ctx, progress{3}, liveactivity.UpdateOptions{})
	no(t, r, err)
	renewed, err := server.RenewUpdateDeviceToken(a.ID)
	if err != nil {
		t.Fatal(err)
	}
	// The old one answers 410; the state waits for the new one.
	if _, err := d.Update(ctx, progress{2}, liveactivity.UpdateOptions{}); !errors.Is(err, apns.ReasonUnregistered) {
		t.Error(err)
	}
	if _, err := d.Update(ctx, progress{1}, liveactivity.UpdateOptions{}); !errors.Is(err, liveactivity.ErrWaiting) {
		t.Error(err)
	}
	if d.Snapshot().UpdateDeviceToken != "" {
		t.Error("a dead device token is kept")
	}
	if err := d.Follow(ctx, renewed.UpdateDeviceToken); err != nil {
		t.Error(err)
	}
	if got := onDevice(t, server); stops(t, got) != 1 {
		t.Errorf("%+v", got)
	}
	// An end that meets a dead device token waits too, and keeps updates out.
	renewed, err = server.RenewUpdateDeviceToken(a.ID)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.End(ctx, progress{}, liveactivity.EndOptions{}); !errors.Is(err, apns.ReasonUnregistered) {
		t.Error(err)
	}
	if _, err := d.Update(ctx, progress{9}, liveactivity.UpdateOptions{}); !errors.Is(err, liveactivity.ErrEnded) {
		t.Error(err)
	}
	if err := d.Follow(ctx, renewed.UpdateDeviceToken); err != nil {
		t.Error(err)
	}
	if got := onDevice(t, server); got.State != sim.ActivityEnded {
		t.Errorf("%+v", got)
	}
	if err := d.Follow(ctx, "xyz"); err == nil {
		t.Error("xyz is no device token")
	}
}

// scripted is a Sender that answers as a test says, for what cannot be timed with
// a real peer.
type scripted func(*apns.Notification) error

func (s scripted) Push(_ context.Context, n *apns.Notification) (apns.Receipt, error) {
	return apns.Receipt{}, s(n)
}

// The app reports another device token while an update is on its way to the old
// one.
func TestDeviceTokenChangesUnderway(t *testing.T) {
	const first, second = "aa", "bb"
	var d *liveactivity.Activity[order, progress]
	var sent []string
	var timestamps []string
	d, err := liveactivity.New[order, progress](liveactivity.Config{Sender: scripted(func(n *apns.Notification) error {
		sent = append(sent, n.DeviceToken)
		timestamps = append(timestamps, string(n.Payload[:32]))
		if n.DeviceToken == first {
			if err := d.Follow(t.Context(), second); err != nil {
				t.Error(err)
			}
			return &apns.RejectedError{Status: 410, Reason: apns.ReasonUnregistered}
		}
		return nil
	})})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Follow(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	r, err := d.Update(t.Context(), progress{1}, liveactivity.UpdateOptions{})
	no(t, r, err)
	if !slices.Equal(sent, []string{first, second}) || timestamps[0] != timestamps[1] {
		t.Errorf("sent to %v at %v", sent, timestamps)
	}
}

// However many call at once, one end is sent, timestamps are all different, and the
// newest state stays.
func TestEndedOnce(t *testing.T) {
	server := apnstest.Start(t)
	d, ctx := newDelivery(t, server), t.Context()
	r, err := d.Start(ctx, server.DeviceToken, order{1}, progress{7}, liveactivity.StartOptions{Alert: alert})
	no(t, r, err)
	if err := d.Follow(ctx, onDevice(t, server).UpdateDeviceToken); err != nil {
		t.Fatal(err)
	}
	var ended, refused atomic.Int32
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			if _, err := d.Update(ctx, progress{i}, liveactivity.UpdateOptions{}); err != nil && !errors.Is(err, liveactivity.ErrEnded) {
				t.Error(err)
			}
		})
		wg.Go(func() {
			switch _, err := d.End(ctx, progress{-1}, liveactivity.EndOptions{}); {
			case err == nil:
				ended.Add(1)
			case errors.Is(err, liveactivity.ErrEnded):
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if ended.Load() != 1 || refused.Load() != 49 {
		t.Errorf("%d ends, %d refused", ended.Load(), refused.Load())
	}
	ends := 0
	seen := map[int64]bool{}
	for _, p := range server.Pushes(sim.Filter{}) {
		var body struct {
			APS struct {
				Timestamp int64
				Event     string
			}
		}
		if err := json.Unmarshal(p.Payload, &body); err != nil {
			t.Fatal(err)
		}
		if seen[body.APS.Timestamp] {
			t.Errorf("two pushes with timestamp %d", body.APS.Timestamp)
		}
		seen[body.APS.Timestamp] = true
		if body.APS.Event == "end" {
			ends++
		}
	}
	if got := onDevice(t, server); ends != 1 || stops(t, got) != -1 || got.State != sim.ActivityEnded {
		t.Errorf("%d ends reached the peer: %+v", ends, got)
	}
}

// What was not sent can be tried again; what may have been started is not started
// twice.
func TestTryAgain(t *testing.T) {
	var answer error
	d, err := liveactivity.New[order, progress](liveactivity.Config{
		AttributesType: "Delivery", Sender: scripted(func(*apns.Notification) error { return answer }),
	})
	if err != nil {
		t.Fatal(err)
	}
	begin := func() error {
		_, err := d.Start(t.Context(), "aa", order{1}, progress{7}, liveactivity.StartOptions{Alert: alert})
		return err
	}
	end := func() error {
		_, err := d.End(t.Context(), progress{}, liveactivity.EndOptions{})
		return err
	}
	for _, answer = range []error{&apns.NotSentError{}, &apns.RejectedError{Status: 400, Reason: apns.ReasonBadDeviceToken}} {
		if err := begin(); err != answer {
			t.Error(err)
		}
	}
	if _, err := d.Start(t.Context(), "aa", order{1}, progress{7}, liveactivity.StartOptions{}); err == nil || !strings.Contains(err.Error(), "alert") {
		t.Error(err) // no alert: the payload says so, and nothing was started
	}
	answer = &apns.UnknownError{}
	if err := begin(); err != answer {
		t.Error(err)
	}
	if err := begin(); !errors.Is(err, liveactivity.ErrStarted) {
		t.Error(err)
	}
	if err := d.Follow(t.Context(), "bb"); err != nil {
		t.Error(err)
	}
	for _, answer = range []error{&apns.NotSentError{}, &apns.UnknownError{}, &apns.RejectedError{Status: 500}} {
		if err := end(); err != answer {
			t.Error(err)
		}
	}
	answer = nil
	if err := end(); err != nil {
		t.Error(err)
	}
	if err := end(); !errors.Is(err, liveactivity.ErrEnded) {
		t.Error(err)
	}
}

// What Follow could not send waits for the next one, and is gone once something
// newer was accepted.
func TestFollowAgain(t *testing.T) {
	var answer error
	var sent []string
	d, err := liveactivity.New[order, progress](liveactivity.Config{Sender: scripted(func(n *apns.Notification) error {
		sent = append(sent, string(n.Payload[strings.Index(string(n.Payload), `"event"`):]))
		return answer
	})})
	if err != nil {
		t.Fatal(err)
	}
	update := func(n int) error {
		_, err := d.Update(t.Context(), progress{n}, liveactivity.UpdateOptions{})
		return err
	}
	if err := update(3); !errors.Is(err, liveactivity.ErrWaiting) {
		t.Error(err)
	}
	answer = &apns.NotSentError{}
	if err := d.Follow(t.Context(), "aa"); err != answer {
		t.Error(err)
	}
	answer = nil
	if err := d.Follow(t.Context(), "aa"); err != nil {
		t.Error(err)
	}
	if err := d.Follow(t.Context(), "aa"); err != nil { // nothing waits
		t.Error(err)
	}
	// An end that waits, fails, and is sent at last.
	answer = &apns.RejectedError{Status: 410}
	if err := update(2); err != answer {
		t.Error(err)
	}
	if _, err := d.End(t.Context(), progress{}, liveactivity.EndOptions{}); !errors.Is(err, liveactivity.ErrWaiting) {
		t.Error(err)
	}
	answer = &apns.UnknownError{}
	if err := d.Follow(t.Context(), "bb"); err != answer {
		t.Error(err)
	}
	answer = nil
	if err := d.Follow(t.Context(), "bb"); err != nil {
		t.Error(err)
	}
	if err := update(1); !errors.Is(err, liveactivity.ErrEnded) {
		t.Error(err)
	}
	want := []string{"3", "3", "2", "0", "0"}
	for i, s := range sent {
		if i >= len(want) || !strings.Contains(s, `"stops":`+want[i]+`}`) {
			t.Errorf("push %d is %s", i, s)
		}
	}
	if len(sent) != len(want) {
		t.Errorf("%d pushes", len(sent))
	}
}

// After a restart timestamps go on from where they were.
func TestResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := apnstest.StartMem(t)
		client, ctx := newClient(t, server), t.Context()
		cfg := liveactivity.Config{Sender: client, AttributesType: "Delivery"}
		d := newDelivery(t, server)
		r, err := d.Start(ctx, server.DeviceToken, order{1}, progress{7}, liveactivity.StartOptions{Alert: alert})
		no(t, r, err)
		if err := d.Follow(ctx, onDevice(t, server).UpdateDeviceToken); err != nil {
			t.Fatal(err)
		}
		for range 10 { // ten seconds ahead of the clock
			r, err = d.Update(ctx, progress{6}, liveactivity.UpdateOptions{})
			no(t, r, err)
		}
		stored, err := json.Marshal(d.Snapshot())
		if err != nil {
			t.Fatal(err)
		}
		var snapshot liveactivity.Snapshot
		if err := json.Unmarshal(stored, &snapshot); err != nil {
			t.Fatal(err)
		}
		if d, err = liveactivity.Resume[order, progress](cfg, snapshot); err != nil {
			t.Fatal(err)
		}
		r, err = d.Update(ctx, progress{1}, liveactivity.UpdateOptions{})
		no(t, r, err)
		if got := onDevice(t, server); stops(t, got) != 1 || got.Ignored != 0 {
			t.Errorf("%+v", got)
		}
		snapshot.Phase = "asleep"
		if _, err := liveactivity.Resume[order, progress](cfg, snapshot); err == nil {
			t.Error("asleep is no phase")
		}
		if _, err := liveactivity.New[order, progress](liveactivity.Config{}); err == nil {
			t.Error("without a sender")
		}
	})
}

// An activity that was started with a channel is updated there.
func TestOnChannel(t *testing.T) {
	server := apnstest.Start(t)
	client, ctx := newClient(t, server), t.Context()
	made, err := server.CreateChannel(server.Topic, 1)
	if err != nil {
		t.Fatal(err)
	}
	d := newDelivery(t, server)
	r, err := d.Start(ctx, server.DeviceToken, order{1}, progress{7}, liveactivity.StartOptions{Alert: alert, ChannelID: made.ID})
	no(t, r, err)
	if _, err := d.Update(ctx, progress{1}, liveactivity.UpdateOptions{}); !errors.Is(err, liveactivity.ErrOnChannel) {
		t.Error(err)
	}
	last := d.Snapshot().Timestamp
	event, err := liveactivity.OnChannel[progress](liveactivity.Config{Sender: client}, broadcast.Channel{ID: made.ID, BundleID: server.Topic, Policy: broadcast.StoreLatest}, last)
	if err != nil {
		t.Fatal(err)
	}
	for n := 6; n > 3; n-- {
		r, err = event.Update(ctx, progress{n}, liveactivity.UpdateOptions{})
		no(t, r, err)
	}
	if got := onDevice(t, server); stops(t, got) != 4 || got.Ignored != 0 || event.Timestamp() != got.Timestamp {
		t.Errorf("%+v", got)
	}
	// An end that was refused can be sent again, and then no more.
	server.AddFault(t, sim.Fault{Kind: sim.FaultAnswer, Reason: "BadPriority", Count: 1})
	if _, err := event.End(ctx, progress{}, liveactivity.EndOptions{}); !errors.Is(err, apns.ReasonBadPriority) {
		t.Error(err)
	}
	r, err = event.End(ctx, progress{}, liveactivity.EndOptions{})
	no(t, r, err)
	if _, err := event.End(ctx, progress{}, liveactivity.EndOptions{}); !errors.Is(err, liveactivity.ErrEnded) {
		t.Error(err)
	}
	if _, err := event.Update(ctx, progress{}, liveactivity.UpdateOptions{}); !errors.Is(err, liveactivity.ErrEnded) {
		t.Error(err)
	}
	if got := onDevice(t, server); got.State != sim.ActivityEnded {
		t.Errorf("%+v", got)
	}
	for _, wrong := range []broadcast.Channel{{}, {ID: "a b"}} {
		if _, err := liveactivity.OnChannel[progress](liveactivity.Config{Sender: client}, wrong, 0); err == nil {
			t.Errorf("%+v is no channel", wrong)
		}
	}
	if _, err := liveactivity.OnChannel[progress](liveactivity.Config{}, broadcast.Channel{ID: "QUJD"}, 0); err == nil {
		t.Error("without a sender")
	}
}
