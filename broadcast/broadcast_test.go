package broadcast_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"aviso.example/apns"
	"aviso.example/apnstest"
	"aviso.example/auth"
	"aviso.example/broadcast"
	"aviso.example/internal/proto"
	"aviso.example/payload"
	"aviso.example/sim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// config is a client's Config for a simulator.
func config(t testing.TB, server *apnstest.Server) apns.Config {
	t.Helper()
	key, err := auth.ParseSigningKey(server.KeyPEM, server.KeyID)
	if err != nil {
		t.Fatal(err)
	}
	return apns.Config{
		Key: key, TeamID: server.TeamID, BundleID: server.Topic,
		Endpoint: server.Endpoint, ExtraRoots: server.CAPEM, DialContext: server.DialContext,
	}
}

type closer interface{ Close(context.Context) error }

func closeLater(t testing.TB, c closer) {
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		c.Close(ctx)
	})
}

func newManager(t testing.TB, cfg apns.Config) *broadcast.Manager {
	t.Helper()
	m, err := broadcast.NewManager(cfg)
	if err != nil {
		t.Fatal(err)
	}
	closeLater(t, m)
	return m
}

func newClient(t testing.TB, cfg apns.Config) *apns.Client {
	t.Helper()
	c, err := apns.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	closeLater(t, c)
	return c
}

func TestManager(t *testing.T) {
	server := apnstest.Start(t)
	m := newManager(t, config(t, server))
	ctx := t.Context()
	if list, err := m.List(ctx); err != nil || len(list) != 0 {
		t.Errorf("%v %v", list, err)
	}
	for _, policy := range []broadcast.StoragePolicy{broadcast.StoreNothing, broadcast.StoreLatest} {
		made, err := m.Create(ctx, policy)
		if err != nil || made.ID == "" || made.BundleID != server.Topic || made.Policy != policy {
			t.Fatalf("%+v %v", made, err)
		}
		read, err := m.Read(ctx, made.ID)
		if err != nil || read != made {
			t.Errorf("made %+v, read %+v: %v", made, read, err)
		}
		// The peer knows it too.
		if ch, err := server.Channel(made.ID); err != nil || ch.Policy != int(policy) {
			t.Errorf("%+v %v", ch, err)
		}
	}
	list, err := m.List(ctx)
	if err != nil || len(list) != 2 {
		t.Fatalf("%v %v", list, err)
	}
	if err := m.Delete(ctx, list[0]); err != nil {
		t.Error(err)
	}
	if err := m.Delete(ctx, list[0]); !errors.Is(err, apns.ReasonChannelNotRegistered) {
		t.Error(err)
	}
	if _, err := m.Read(ctx, list[0]); !errors.Is(err, apns.ReasonChannelNotRegistered) {
		t.Error(err)
	}
	if _, err := m.Create(ctx, 2); apns.OutcomeOf(err) != apns.NotSent || !strings.Contains(err.Error(), "policy is 2") {
		t.Error(err)
	}
	if _, err := m.Read(ctx, "a b"); apns.OutcomeOf(err) != apns.NotSent || !strings.Contains(err.Error(), "ChannelID has a space") {
		t.Error(err)
	}
}

func TestManagerLimit(t *testing.T) {
	server := apnstest.Start(t)
	m := newManager(t, config(t, server))
	for range broadcast.MaxChannels - 1 {
		if _, err := server.CreateChannel(server.Topic, 0); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := m.Create(t.Context(), broadcast.StoreNothing); err != nil {
		t.Fatal(err)
	}
	_, err := m.Create(t.Context(), broadcast.StoreNothing)
	if !errors.Is(err, apns.ReasonCannotCreateChannelConfig) || !strings.Contains(err.Error(), "Delete channels that are no longer used") {
		t.Error(err)
	}
	if list, err := m.List(t.Context()); err != nil || len(list) != broadcast.MaxChannels {
		t.Errorf("%d channels: %v", len(list), err)
	}
}

// Every word of Apple's comes with advice of our own.
func TestReasonsHaveAdvice(t *testing.T) {
	server := apnstest.Start(t)
	cfg := config(t, server)
	cfg.MaxAttempts = 1 // some are tried again otherwise
	m := newManager(t, cfg)
	n := 0
	for info := range apns.Reasons() {
		if !info.Broadcast {
			continue
		}
		n++
		id := server.AddFault(t, sim.Fault{Kind: sim.FaultAnswer, Reason: proto.Reason(info.Reason), Status: info.Status})
		_, err := m.Create(t.Context(), broadcast.StoreNothing)
		if !errors.Is(err, info.Reason) || !strings.Contains(err.Error(), info.Advice) || info.Meaning == "" {
			t.Errorf("%s: %v", info.Reason, err)
		}
		server.RemoveFault(id)
	}
	if n < 11 {
		t.Errorf("only %d reasons", n)
	}
}

func TestNewManagerChecks(t *testing.T) {
	server := apnstest.Start(t)
	for want, change := range map[string]func(*apns.Config){
		"Config.BundleID is missing":       func(c *apns.Config) { c.BundleID = "" },
		"Config.BundleID ends in":          func(c *apns.Config) { c.BundleID += ".push-type.liveactivity" },
		"Config.BundleID has '/'":          func(c *apns.Config) { c.BundleID = "com.example/app" },
		"apns: Config.Key is missing":      func(c *apns.Config) { c.Key = nil },
		"api-manage-broadcast.push.apple.": func(c *apns.Config) { c.Endpoint = "" },
		"sandbox.push.apple.com:2195":      func(c *apns.Config) { c.Endpoint, c.Environment, c.AlternativePort = "", apns.Sandbox, true },
	} {
		cfg := config(t, server)
		change(&cfg)
		m, err := broadcast.NewManager(cfg)
		got := ""
		if err != nil {
			got = err.Error()
		} else {
			got = m.Endpoint()
			closeLater(t, m)
		}
		if !strings.Contains(got, want) {
			t.Errorf("%s, want %q", got, want)
		}
	}
}

// An answer that is not APNs's is said to be none.
func TestStrangeAnswers(t *testing.T) {
	server := apnstest.Start(t)
	m := newManager(t, config(t, server))
	server.AddFault(t, sim.Fault{Kind: sim.FaultAnswer, Status: 200})
	_, create := m.Create(t.Context(), broadcast.StoreNothing)
	_, read := m.Read(t.Context(), "QUJD")
	_, list := m.List(t.Context())
	for _, err := range []error{create, read, list} {
		if err == nil || !strings.Contains(err.Error(), "is it APNs?") {
			t.Error(err)
		}
	}
}

func TestChannelNotification(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		latest := broadcast.Channel{ID: "QUJD", BundleID: "com.example.app", Policy: broadcast.StoreLatest}
		nothing := latest
		nothing.Policy = broadcast.StoreNothing
		update := payload.LiveActivityUpdate{Timestamp: time.Now(), ContentState: map[string]int{"score": 1}}
		hour := apns.ExpireAt(time.Now().Add(time.Hour))
		for name, test := range map[string]struct {
			channel  broadcast.Channel
			p        payload.Broadcast
			priority apns.Priority
			given    apns.Expiration
			want     apns.Expiration
			problem  string
		}{
			"stores nothing":          {nothing, update, 5, apns.Expiration{}, apns.ExpireImmediately, ""},
			"stores the last":         {latest, update, 10, apns.Expiration{}, apns.ExpireAt(time.Now().Add(8 * time.Hour)), ""},
			"for an hour":             {latest, update, 10, hour, hour, ""},
			"at once":                 {latest, update, 5, apns.ExpireImmediately, apns.ExpireImmediately, ""},
			"policy against":          {nothing, update, 5, hour, apns.Expiration{}, "APNs would answer BadExpirationDate"},
			"no priority":             {nothing, update, 0, apns.Expiration{}, apns.Expiration{}, "Priority is missing"},
			"no id":                   {broadcast.Channel{BundleID: "com.example.app"}, update, 5, apns.Expiration{}, apns.Expiration{}, "ChannelID is missing"},
			"an update without state": {latest, payload.LiveActivityUpdate{Timestamp: time.Now()}, 5, apns.Expiration{}, apns.Expiration{}, "content-state"},
			"a start": {
				latest,
				payload.Raw{Type: payload.PushTypeLiveActivity, Body: []byte(`{"aps":{"event":"start"}}`)},
				5,
				apns.Expiration{},
				apns.Expiration{},
				"cannot be started by broadcast",
			},
		} {
			n, err := test.channel.Notification(test.p, test.priority, test.given)
			switch {
			case test.problem != "":
				if err == nil || !strings.Contains(err.Error(), test.problem) {
					t.Errorf("%s: %v", name, err)
				}
			case err != nil || n.Expiration != test.want || n.ChannelID != "QUJD" || n.BundleID != "com.example.app" || n.Priority != test.priority:
				t.Errorf("%s: %+v %v", name, n, err)
			}
		}
	})
}

// A channel of the sandbox does not exist in production.
func TestOtherEnvironment(t *testing.T) {
	sandbox := apnstest.Start(t)
	production := apnstest.Start(t, func(c *sim.Config) { c.Environment = sim.Production })
	ch, err := newManager(t, config(t, sandbox)).Create(t.Context(), broadcast.StoreNothing)
	if err != nil {
		t.Fatal(err)
	}
	n, err := ch.Notification(payload.LiveActivityEnd{Timestamp: time.Now(), ContentState: struct{}{}}, 5, apns.Expiration{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = newClient(t, config(t, production)).Push(t.Context(), n)
	if !errors.Is(err, apns.ReasonChannelNotRegistered) || !strings.Contains(err.Error(), "Use the environment in which it was made") {
		t.Error(err)
	}
	if _, err := newClient(t, config(t, sandbox)).Push(t.Context(), n); err != nil {
		t.Error(err)
	}
}

func TestParsePolicy(t *testing.T) {
	for text, want := range map[string]broadcast.StoragePolicy{"none": 0, "0": 0, "Latest": 1, "1": 1} {
		got, err := broadcast.ParsePolicy(text)
		if err != nil || got != want {
			t.Errorf("%s: %v %v", text, got, err)
		}
		if back, err := broadcast.ParsePolicy(broadcast.PolicyName(got)); err != nil || back != want {
			t.Errorf("%s: %v %v", text, back, err)
		}
	}
	if _, err := broadcast.ParsePolicy("all"); err == nil {
		t.Error("all is no policy")
	}
	if got := broadcast.PolicyName(7); got != "StoragePolicy(7)" {
		t.Error(got)
	}
}
