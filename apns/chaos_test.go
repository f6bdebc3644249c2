package apns_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"aviso.example/apns"
	"aviso.example/apnstest"
	"aviso.example/sim"
)

// Random faults, callers, cancellations and closings, in virtual time; the
// invariants are those of the package comment: one outcome each, Accepted was
// processed, NotSent was not, and nothing twice unless the caller allowed it.
// CHAOS sets the number of runs, SEED repeats one.
func TestChaos(t *testing.T) {
	runs, _ := strconv.Atoi(os.Getenv("CHAOS"))
	if runs == 0 {
		runs = 3
	}
	base := uint64(time.Now().UnixNano())
	if x, err := strconv.ParseUint(os.Getenv("SEED"), 10, 64); err == nil {
		base = x
	}
	for i := range runs {
		seed := base + uint64(i)
		t.Run(fmt.Sprint(seed), func(t *testing.T) { synctest.Test(t, func(t *testing.T) { chaos(t, seed) }) })
		if t.Failed() {
			return
		}
	}
}

func chaos(t *testing.T, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 1))
	server := apnstest.StartMem(t, func(c *sim.Config) {
		c.Seed = seed
		c.RoundTrip = time.Duration(1+rnd.IntN(80)) * time.Millisecond
		c.MaxStreams = uint32(1 + rnd.IntN(50))
	})
	resend := rnd.IntN(3) == 0
	client := newClient(t, server, func(c *apns.Config) {
		c.MaxConnections = 1 + rnd.IntN(4)
		c.BatchWindow = 1 + rnd.IntN(200)
		c.MaxInFlight = 1 + rnd.IntN(100)
		c.ResendUnknown = resend
		c.Timeout = time.Duration(1+rnd.IntN(60)) * time.Second
		limit := c.Timeout
		c.Hooks.OnOutcome = func(_ *apns.Notification, e apns.OutcomeEvent) {
			if e.Took > limit+500*time.Millisecond && e.Took > 4500*time.Millisecond {
				t.Errorf("took %v, Timeout %v: %v", e.Took, limit, e.Err)
			}
		}
		c.RequestTimeout = time.Duration(1+rnd.IntN(30)) * time.Second
	})
	p := func() float64 { return rnd.Float64() * 0.02 }
	enhance := http2.ErrCodeEnhanceYourCalm
	pool := []sim.Fault{
		{Kind: sim.FaultResetStream, Code: &refusedStream, Probability: p()},
		{Kind: sim.FaultResetStream, Probability: p(), Processed: true},
		{Kind: sim.FaultResetStream, Probability: p(), OnHeaders: true},
		{Kind: sim.FaultGoAway, Probability: p() / 4},
		{Kind: sim.FaultGoAway, Probability: p() / 4, Code: &enhance, Double: true},
		{Kind: sim.FaultResetConnection, Probability: p() / 4},
		{Kind: sim.FaultResetConnection, Probability: p() / 4, Processed: true},
		{Kind: sim.FaultClose, Probability: p() / 4},
		{Kind: sim.FaultClose, Probability: p() / 4, OnHeaders: true},
		{Kind: sim.FaultHalfOpen, Probability: p() / 8},
		{Kind: sim.FaultHalfOpen, Probability: p() / 8, Processed: true},
		{Kind: sim.FaultSilence, Probability: p() / 2},
		{Kind: sim.FaultSilence, Probability: p() / 2, Processed: true},
		{Kind: sim.FaultDelay, Probability: p(), Delay: time.Second, Jitter: time.Second},
		{Kind: sim.FaultSettings, Probability: p(), Settings: sim.SettingsChange{MaxStreams: new(uint32(1))}, RestoreAfter: 300 * time.Millisecond},
		{Kind: sim.FaultSettings, Probability: p(), Settings: sim.SettingsChange{InitialWindow: new(uint32(3)), HeaderTableSize: new(uint32(100))}, RestoreAfter: 300 * time.Millisecond},
		{Kind: sim.FaultAnswer, Reason: "ServiceUnavailable", Probability: p()},
		{Kind: sim.FaultAnswer, Reason: "TooManyRequests", RetryAfter: "1", Probability: p()},
		{Kind: sim.FaultAnswer, Reason: "BadDeviceToken", Probability: p()},
		{Kind: sim.FaultAnswer, Reason: "Shutdown", Probability: p() / 4},
		{Kind: sim.FaultAnswer, Reason: "ExpiredProviderToken", Probability: p() / 8},
		{Kind: sim.FaultRefuseConnection, Probability: 0.2},
		{Kind: sim.FaultStallHandshake, Probability: 0.05},
		{Kind: sim.FaultSlowSettings, Delay: 3 * time.Second, Probability: 0.1},
		{Kind: sim.FaultTrailers, Probability: p()}, {Kind: sim.FaultContinuation, Probability: p()},
	}
	for _, f := range pool {
		if rnd.IntN(3) == 0 {
			server.AddFault(t, f)
		}
	}
	var mu sync.Mutex
	results := map[apns.ID][]apns.Outcome{}
	note := func(id apns.ID, o apns.Outcome) {
		mu.Lock()
		results[id] = append(results[id], o)
		mu.Unlock()
	}
	handed := map[apns.ID]bool{}
	channel, err := server.CreateChannel(server.Topic, 0)
	if err != nil {
		t.Fatal(err)
	}
	make1 := func() *apns.Notification {
		n := &apns.Notification{ID: apns.NewID(), DeviceToken: fmt.Sprintf("%064x", rand.Uint64()), Payload: []byte(hello)}
		if rand.IntN(5) == 0 {
			n.DeviceToken, n.ChannelID, n.Payload = "", channel.ID, []byte(goal)
			n.Priority, n.Expiration = apns.PriorityConserve, apns.ExpireImmediately
		}
		mu.Lock()
		handed[n.ID] = true
		mu.Unlock()
		return n
	}
	var wg sync.WaitGroup
	for range 4 + rnd.IntN(4) {
		cancelAfter := time.Duration(rnd.IntN(3000)) * time.Millisecond
		timed := rnd.IntN(2) == 0
		size := rnd.IntN(600)
		wg.Go(func() {
			ctx := t.Context()
			if timed {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, cancelAfter)
				defer cancel()
			}
			for r := range client.PushAll(ctx, func(yield func(*apns.Notification) bool) {
				for range size {
					time.Sleep(time.Duration(rand.IntN(3)) * time.Millisecond)
					if ctx.Err() != nil {
						return
					}
					if !yield(make1()) {
						return
					}
				}
			}) {
				note(r.Notification.ID, r.Outcome)
			}
		})
	}
	for range 30 {
		wg.Go(func() {
			for range 20 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.IntN(4000))*time.Millisecond)
				if rand.IntN(2) == 0 {
					time.AfterFunc(time.Duration(rand.IntN(2000))*time.Millisecond, cancel)
				}
				n := make1()
				_, err := client.Push(ctx, n)
				cancel()
				note(n.ID, apns.OutcomeOf(err))
				time.Sleep(time.Duration(rand.IntN(200)) * time.Millisecond)
			}
		})
	}
	created := map[apns.Outcome]int{}
	for range 5 {
		wg.Go(func() {
			for range 10 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.IntN(4000))*time.Millisecond)
				_, err := client.Do(ctx, create())
				cancel()
				mu.Lock()
				created[apns.OutcomeOf(err)]++
				mu.Unlock()
			}
		})
	}
	if rnd.IntN(3) == 0 {
		after, grace := time.Duration(rnd.IntN(10000))*time.Millisecond, time.Duration(rnd.IntN(4000))*time.Millisecond
		wg.Go(func() {
			time.Sleep(after)
			ctx, cancel := context.WithTimeout(t.Context(), grace)
			defer cancel()
			client.Close(ctx)
		})
	}
	wg.Wait()
	processed := map[string]int{}
	for _, p := range server.Pushes(sim.Filter{}) {
		if p.Outcome == sim.Accepted || p.Outcome == sim.AcceptedUnanswered {
			processed[p.ID]++
		}
	}
	mu.Lock()
	defer mu.Unlock()
	// Each Accepted request made a channel, and each Unknown one may have.
	if made := len(server.Channels("")) - 1; made < created[apns.Accepted] || made > created[apns.Accepted]+created[apns.Unknown] {
		t.Errorf("%d channels were made by requests with the outcomes %v", made, created)
	}
	count := map[apns.Outcome]int{}
	for id := range handed {
		rs, n := results[id], processed[id.String()]
		if len(rs) == 0 {
			t.Errorf("%v was handed in and has no outcome", id)
			continue
		}
		if len(rs) != 1 {
			t.Errorf("%v: outcomes %v", id, rs)
			continue
		}
		count[rs[0]]++
		switch {
		case rs[0] == apns.Accepted && n == 0, rs[0] == apns.NotSent && n > 0, n > 1 && !resend, rs[0] == apns.Rejected && n > 0 && !resend:
			t.Errorf("%v: outcome %v, processed %d times", id, rs[0], n)
			for _, p := range server.Pushes(sim.Filter{ID: id.String()}) {
				f := ""
				for _, g := range server.Faults() {
					if g.ID == p.Fault {
						f = fmt.Sprintf("%+v", g)
					}
				}
				t.Logf("%v conn %d stream %d %v %v %v fault %.80s", p.Time.Format("05.000"), p.Connection, p.Stream, p.Outcome, p.Status, p.Reason, f)
			}
			for _, f := range server.Faults() {
				t.Logf("%v last %v processed %v fired %d", f.Kind, f.LastStream != nil, f.Processed, f.Fired)
			}
		}
	}
	t.Log(count, created, "open", client.Stats().Open)
}
