package apns_test

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"io"
	"iter"
	"log"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"aviso.example/apns"
	"aviso.example/apnstest"
	"aviso.example/sim"
)

var refusedStream = http2.ErrCodeRefusedStream

// notes yields n notifications to different devices.
func notes(server *apnstest.Server, n int) iter.Seq[*apns.Notification] {
	return func(yield func(*apns.Notification) bool) {
		for i := range n {
			if !yield(&apns.Notification{DeviceToken: fmt.Sprintf("%064x", i), Payload: []byte(hello), Tag: i}) {
				return
			}
		}
	}
}

func TestPushAllTiesOutcomesToInput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := apnstest.StartMem(t)
		client := newClient(t, server, func(c *apns.Config) { c.BatchWindow = 64 })
		server.AddFault(t, sim.Fault{Kind: sim.FaultAnswer, Reason: "BadDeviceToken", DeviceToken: fmt.Sprintf("%064x", 77)})
		const n = 3000
		seen := map[int]apns.Outcome{}
		var handed, settled atomic.Int64
		input := func(yield func(*apns.Notification) bool) {
			for note := range notes(server, n) {
				if i := note.Tag.(int); i%100 == 5 {
					note.DeviceToken = "not hexadecimal"
				}
				if held := handed.Add(1) - settled.Load(); held > 64+1 { // one is being handed in
					t.Errorf("%d notifications are held, the window is 64", held)
				}
				if !yield(note) {
					return
				}
			}
		}
		for r := range client.PushAll(t.Context(), input) {
			i := r.Notification.Tag.(int)
			if _, twice := seen[i]; twice {
				t.Errorf("%d has two outcomes", i)
			}
			seen[i] = r.Outcome
			settled.Add(1)
			want := apns.Accepted
			switch {
			case i%100 == 5:
				want = apns.NotSent
			case i == 77:
				want = apns.Rejected
			}
			if r.Outcome != want || r.Outcome != apns.OutcomeOf(r.Err) {
				t.Errorf("%d: %v, %v", i, r.Outcome, r.Err)
			}
		}
		if len(seen) != n {
			t.Errorf("%d outcomes for %d notifications", len(seen), n)
		}
	})
}

func TestPushAllStopsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := apnstest.StartMem(t)
		client := newClient(t, server, func(c *apns.Config) { c.BatchWindow = 50 })
		client.Push(t.Context(), note(server))
		server.AddFault(t, sim.Fault{Kind: sim.FaultSilence, After: 20})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		handed, outcomes := 0, map[apns.Outcome]int{}
		input := func(yield func(*apns.Notification) bool) {
			for n := range notes(server, 1000) {
				handed++
				if !yield(n) {
					return
				}
			}
		}
		for r := range client.PushAll(ctx, input) {
			outcomes[r.Outcome]++
		}
		total := 0
		for _, n := range outcomes {
			total += n
		}
		if outcomes[apns.Accepted] != 20 || outcomes[apns.Unknown] != 50 || handed > total+1 {
			t.Errorf("%d handed in, %v", handed, outcomes)
		}
	})
}

func TestLeavingTheLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := apnstest.StartMem(t)
		client := newClient(t, server, nil)
		for range client.PushAll(t.Context(), notes(server, 5000)) {
			break
		}
		if open := client.Stats().Open; open != 0 {
			t.Errorf("%d notifications are still open", open)
		}
		if _, err := client.Push(t.Context(), note(server)); err != nil {
			t.Error(err)
		}
	})
}

func TestEmptyBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := apnstest.StartMem(t)
		client := newClient(t, server, nil)
		for r := range client.PushAll(t.Context(), notes(server, 0)) {
			t.Error(r)
		}
	})
}

func TestCloseDuringABatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := apnstest.StartMem(t, func(c *sim.Config) { c.RoundTrip = 10 * time.Millisecond })
		client := newClient(t, server, func(c *apns.Config) { c.BatchWindow = 100 })
		outcomes := map[apns.Outcome]int{}
		n := 0
		closed := make(chan error, 1)
		for r := range client.PushAll(t.Context(), notes(server, 3000)) {
			outcomes[r.Outcome]++
			if n++; n == 500 {
				go func() { closed <- client.Close(context.Background()) }()
			}
		}
		if err := <-closed; err != nil {
			t.Error(err)
		}
		if n != 3000 || outcomes[apns.Accepted] < 500 || outcomes[apns.NotSent] < 1000 || outcomes[apns.Unknown]+outcomes[apns.Rejected] > 0 {
			t.Errorf("%d outcomes: %v", n, outcomes)
		}
	})
}

// Real sockets, real scheduling, all faults at once: one outcome each, and
// nothing that was accepted is reported as anything but accepted or unknown.
func TestStress(t *testing.T) {
	server := apnstest.Start(t, func(c *sim.Config) { c.Seed = 7 })
	client := newClient(t, server, nil)
	for _, f := range []sim.Fault{
		{Kind: sim.FaultResetStream, Code: &refusedStream, Probability: 0.02},
		{Kind: sim.FaultGoAway, Every: 700},
		{Kind: sim.FaultResetConnection, Every: 1900},
		{Kind: sim.FaultInformational, Probability: 0.05},
	} {
		server.AddFault(t, f)
	}
	const n = 6000
	outcomes := map[apns.Outcome]int{}
	go func() {
		for range 200 {
			client.Push(t.Context(), note(server))
		}
	}()
	for r := range client.PushAll(t.Context(), notes(server, n)) {
		outcomes[r.Outcome]++
	}
	if outcomes[apns.Accepted]+outcomes[apns.Unknown] != n || outcomes[apns.Accepted] < n/2 {
		t.Errorf("%v", outcomes)
	}
	if d := server.Stats().Duplicates; d != 0 {
		t.Errorf("%d duplicates", d)
	}
}

// http1 is a TLS server that does not speak HTTP/2.
type http1 struct {
	addr string
	ca   []byte
}

func startHTTP1(t *testing.T) http1 {
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.TLS = &tls.Config{NextProtos: []string{"http/1.1"}}
	s.StartTLS()
	t.Cleanup(s.Close)
	return http1{s.Listener.Addr().String(), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})}
}

// like returns a simulator whose keys a client for s can use.
func (http1) like(t *testing.T) *apnstest.Server { return apnstest.Start(t) }
