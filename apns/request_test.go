package apns_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"aviso.example/apns"
	"aviso.example/apnstest"
	"aviso.example/internal/proto"
	"aviso.example/sim"
)

// toSim is a reason as the simulator's configuration has it.
func toSim(r apns.Reason) proto.Reason { return proto.Reason(r) }

const channelsPath = "/1/apps/com.example.app/channels"

func create() *apns.Request {
	return &apns.Request{Method: "POST", Path: channelsPath, Body: []byte(`{"message-storage-policy":0,"push-type":"LiveActivity"}`)}
}

func manager(t *testing.T, server *apnstest.Server) *apns.Client {
	return newClient(t, server, func(cfg *apns.Config) {
		cfg.Host = apns.HostManagement
		cfg.ResendUnknown = true // for notifications only
		cfg.Hooks.OnOutcome = func(*apns.Notification, apns.OutcomeEvent) { t.Error("a request is not a notification") }
		cfg.Hooks.OnRetry = func(*apns.Notification, apns.RetryEvent) { t.Error("a request is not a notification") }
	})
}

func TestDo(t *testing.T) {
	server := apnstest.Start(t)
	client := manager(t, server)
	r := create()
	r.ID = apns.NewID()
	a, err := client.Do(t.Context(), r)
	if err != nil || a.Status != 201 || a.ChannelID == "" || a.ID != r.ID || len(a.Body) != 0 || a.Attempts != 1 {
		t.Fatalf("%+v %v", a, err)
	}
	read := &apns.Request{Method: "GET", Path: channelsPath, ChannelID: a.ChannelID, Repeatable: true}
	got, err := client.Do(t.Context(), read)
	if err != nil || got.Status != 200 || !strings.Contains(string(got.Body), `"message-storage-policy":0`) || got.ID.IsZero() {
		t.Errorf("%+v %v", got, err)
	}
	gone, err := client.Do(t.Context(), &apns.Request{Method: "DELETE", Path: channelsPath, ChannelID: a.ChannelID})
	if err != nil || gone.Status != 204 || gone.ChannelID != "" {
		t.Errorf("%+v %v", gone, err)
	}
	_, err = client.Do(t.Context(), read)
	if e := rejected(t, err); e.Reason != apns.ReasonChannelNotRegistered || !strings.HasPrefix(err.Error(), "APNs rejected the request: 400 ") {
		t.Error(err)
	}
	// A client for pushes can ask too, and jobs that carried a request carry
	// notifications afterwards.
	pushes := newClient(t, server, nil)
	for range 3 {
		if a, err := pushes.Do(t.Context(), create()); err != nil || a.Status != 201 {
			t.Errorf("%+v %v", a, err)
		}
		if _, err := pushes.Push(t.Context(), note(server)); err != nil {
			t.Error(err)
		}
	}
	if p := server.Pushes(sim.Filter{}); len(p) != 3 {
		t.Errorf("%d pushes were recorded", len(p))
	}
}

// The answer to a long list comes whole if the caller wants it.
func TestDoKeepsLongAnswers(t *testing.T) {
	server := apnstest.Start(t)
	client := manager(t, server)
	for range 2000 {
		if _, err := server.CreateChannel(server.Topic, 0); err != nil {
			t.Fatal(err)
		}
	}
	for limit, want := range map[int]int{0: 4096, 1 << 20: len(`{"channels":[]}`) + 2000*27 - 1} {
		a, err := client.Do(t.Context(), &apns.Request{Method: "GET", Path: "/1/apps/com.example.app/all-channels", MaxAnswer: limit})
		if err != nil || len(a.Body) != want {
			t.Errorf("%d bytes with a limit of %d, want %d: %v", len(a.Body), limit, want, err)
		}
	}
}

// Nobody can tell whether an unanswered creation made a channel, so it is Unknown
// and not sent again; what changes nothing is asked again.
func TestDoUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := apnstest.StartMem(t)
		client := manager(t, server)
		server.AddFault(t, sim.Fault{Kind: sim.FaultSilence, Processed: true, Count: 1})
		_, err := client.Do(t.Context(), create())
		if apns.OutcomeOf(err) != apns.Unknown || !strings.Contains(err.Error(), "whether APNs took the request") {
			t.Errorf("%v", err)
		}
		if n := len(server.Channels("")); n != 1 {
			t.Errorf("%d channels were made", n)
		}
		server.AddFault(t, sim.Fault{Kind: sim.FaultSilence, Count: 1})
		a, err := client.Do(t.Context(), &apns.Request{Method: "GET", Path: "/1/apps/com.example.app/all-channels", Repeatable: true})
		if err != nil || a.Attempts != 2 {
			t.Errorf("%+v %v", a, err)
		}
	})
}

// What was not processed is sent again, whatever it is; so is what APNs asks to
// send later.
func TestDoResends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := apnstest.StartMem(t)
		client := newClient(t, server, func(cfg *apns.Config) { cfg.Host = apns.HostManagement })
		refused := sim.Fault{Kind: sim.FaultGoAway, LastStream: new(uint32), Count: 1}
		server.AddFault(t, refused)
		if a, err := client.Do(t.Context(), create()); err != nil || a.Status != 201 || a.Attempts != 1 {
			t.Errorf("%+v %v", a, err)
		}
		server.AddFault(t, sim.Fault{Kind: sim.FaultAnswer, Reason: proto.ReasonShutdown, Count: 1})
		if a, err := client.Do(t.Context(), create()); err != nil || a.Attempts != 2 {
			t.Errorf("%+v %v", a, err)
		}
		server.AddFault(t, sim.Fault{Kind: sim.FaultAnswer, Reason: proto.ReasonServiceUnavailableSpaced, Count: 1})
		if a, err := client.Do(t.Context(), create()); err != nil || a.Attempts != 2 {
			t.Errorf("%+v %v", a, err)
		}
		// An old provider token is renewed.
		server.SetClockOffset(2 * time.Hour)
		_, err := client.Do(t.Context(), create())
		if e := rejected(t, err); e.Reason != apns.ReasonExpiredProviderToken {
			t.Error(err) // this side's clock says it is fresh
		}
		if n := len(server.Channels("")); n != 3 {
			t.Errorf("%d channels were made", n)
		}
	})
}

func TestInvalidRequests(t *testing.T) {
	server := apnstest.Start(t)
	client := manager(t, server)
	for want, r := range map[string]*apns.Request{
		"Method has to be":                        nil,
		"Method has to be GET":                    {Method: "PUT", Path: "/"},
		"Path has to begin with /":                {Method: "GET", Path: "x"},
		"Path has to begin with / and be printab": {Method: "GET", Path: "/x?y"},
		"ChannelID has":                           {Method: "GET", Path: "/", ChannelID: "a b"},
		"Body has 5121 bytes":                     {Method: "POST", Path: "/", Body: make([]byte, 5121)},
	} {
		_, err := client.Do(t.Context(), r)
		if _, ok := errors.AsType[*apns.InvalidError](err); !ok || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if n := server.Stats().Streams; n != 0 {
		t.Errorf("%d requests were sent", n)
	}
}
