package apns_test

import (
	"context"
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

func TestServerErrorsAreRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := apnstest.StartMem(t)
		var retries []apns.RetryEvent
		client := newClient(t, server, func(c *apns.Config) {
			c.Hooks.OnRetry = func(_ *apns.Notification, e apns.RetryEvent) { retries = append(retries, e) }
		})
		server.AddFault(t, sim.Fault{Kind: sim.FaultAnswer, Reason: proto.ReasonServiceUnavailable, Count: 3})
		begin := time.Now()
		receipt, err := client.Push(t.Context(), note(server))
		if err != nil || receipt.Attempts != 4 || len(retries) != 3 {
			t.Fatalf("%+v, %v, %d retries", receipt, err, len(retries))
		}
		// Pauses of 1, 2 and 4 s, each cut by up to half.
		if took := time.Since(begin); took < 3500*time.Millisecond || took > 7*time.Second {
			t.Errorf("it took %v", took)
		}
		for _, p := range server.Pushes(sim.Filter{}) {
			if p.ID != receipt.ID.String() {
				t.Error("the apns-id changed between attempts")
			}
		}
	})
}

func TestRetriesEndWithTheDeadline(t *testing.T) {
	tests := map[string]struct {
		n       apns.Notification
		timeout time.Duration
		within  time.Duration
	}{
		"no time for another attempt":  {timeout: 100 * time.Millisecond, within: 0},
		"time for some":                {timeout: 10 * time.Second, within: 10 * time.Second},
		"the notification expires":     {n: apns.Notification{Expiration: apns.ExpireAtUnix(946684800 + 5)}, timeout: time.Hour, within: 5 * time.Second},
		"attempts are limited (5)":     {timeout: 100 * time.Hour, within: 16 * time.Second},
		"without a deadline: a minute": {timeout: 0, within: time.Minute},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // the bubble's clock begins in 2000
				server := apnstest.StartMem(t)
				client := newClient(t, server, nil)
				server.AddFault(t, sim.Fault{Kind: sim.FaultAnswer, Reason: proto.ReasonInternalServerError})
				n := test.n
				n.DeviceToken, n.Payload = server.DeviceToken, []byte(hello)
				ctx := t.Context()
				if test.timeout > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, test.timeout)
					defer cancel()
				}
				begin := time.Now()
				_, err := client.Push(ctx, &n)
				if r := rejected(t, err); r.Reason != apns.ReasonInternalServerError {
					t.Error(r)
				}
				if took := time.Since(begin); took > test.within {
					t.Errorf("it took %v, at most %v makes sense", took, test.within)
				}
			})
		})
	}
}

func TestRetryAfterIsHonoured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := apnstest.StartMem(t)
		client := newClient(t, server, nil)
		server.AddFault(t, sim.Fault{Kind: sim.FaultAnswer, Reason: proto.ReasonTooManyRequests, RetryAfter: "17", Count: 1})
		begin := time.Now()
		if _, err := client.Push(t.Context(), note(server)); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took < 17*time.Second || took > 18700*time.Millisecond { // a tenth of jitter
			t.Errorf("it took %v", took)
		}
	})
}

// What the peer provably did not process goes out again, and no notification is
// processed twice.
func TestNothingIsLostWhenStreamsAreRefused(t *testing.T) {
	faults := map[string]sim.Fault{
		"REFUSED_STREAM":         {Kind: sim.FaultResetStream, Code: new(refusedStream), Every: 3},
		"REFUSED_STREAM bursts":  {Kind: sim.FaultResetStream, Code: new(refusedStream), Every: 100, Burst: 60},
		"GOAWAY":                 {Kind: sim.FaultGoAway, Every: 50},
		"GOAWAY, JSON":           {Kind: sim.FaultGoAway, Every: 50, Reason: proto.ReasonShutdown},
		"GOAWAY, text, double":   {Kind: sim.FaultGoAway, Every: 50, Debug: "Maximum active streams violated for this endpoint.", Double: true},
		"GOAWAY, nothing served": {Kind: sim.FaultGoAway, LastStream: new(uint32(0)), Nth: 1},
		"SETTINGS 1, then 1000":  {Kind: sim.FaultSettings, Every: 100, Settings: sim.SettingsChange{MaxStreams: new(uint32(1))}, RestoreAfter: 10 * time.Millisecond},
		"tiny windows":           {Kind: sim.FaultInitialSettings, Settings: sim.SettingsChange{InitialWindow: new(uint32(1))}},
		"slow SETTINGS":          {Kind: sim.FaultSlowSettings, Delay: 5 * time.Second},
		"informational":          {Kind: sim.FaultInformational, Every: 2},
		"trailers":               {Kind: sim.FaultTrailers, Every: 2},
		"padding":                {Kind: sim.FaultPadding, Every: 2},
		"CONTINUATION":           {Kind: sim.FaultContinuation, Every: 2},
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := apnstest.StartMem(t, func(c *sim.Config) { c.RoundTrip = 20 * time.Millisecond })
				client := newClient(t, server, nil)
				server.AddFault(t, fault)
				const n = 400
				accepted := 0
				for r := range client.PushAll(t.Context(), notes(server, n)) {
					if r.Err != nil {
						t.Errorf("%v", r.Err)
						break
					}
					accepted++
				}
				st := server.Stats()
				if accepted != n || st.Duplicates != 0 {
					t.Errorf("%d of %d accepted, %d duplicates", accepted, n, st.Duplicates)
				}
			})
		})
	}
}

func TestUnknown(t *testing.T) {
	for name, fault := range map[string]sim.Fault{
		"silence":    {Kind: sim.FaultSilence, Count: 1, Processed: true},
		"reset":      {Kind: sim.FaultResetStream, Count: 1, Processed: true},
		"half open":  {Kind: sim.FaultHalfOpen, Count: 1, Processed: true},
		"connection": {Kind: sim.FaultResetConnection, Count: 1, Processed: true},
		"close":      {Kind: sim.FaultClose, Count: 1, Processed: true},
	} {
		t.Run(name, func(t *testing.T) {
			for _, resend := range []bool{false, true} {
				synctest.Test(t, func(t *testing.T) {
					server := apnstest.StartMem(t)
					client := newClient(t, server, nil)
					server.AddFault(t, fault)
					n := note(server)
					n.ResendUnknown = resend
					receipt, err := client.Push(t.Context(), n)
					if resend {
						if err != nil || receipt.Attempts != 2 {
							t.Errorf("resent: %+v, %v", receipt, err)
						}
					} else if apns.OutcomeOf(err) != apns.Unknown || receipt.Attempts != 1 || !strings.Contains(err.Error(), "duplicate") {
						t.Errorf("not resent: %+v, %v", receipt, err)
					}
				})
			}
		})
	}
}

// A resend that is refused does not make the first attempt unhappen.
func TestUnknownStaysUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := apnstest.StartMem(t)
		client := newClient(t, server, func(c *apns.Config) { c.ResendUnknown = true })
		server.AddFault(t, sim.Fault{Kind: sim.FaultResetStream, Nth: 1, Processed: true})
		server.AddFault(t, sim.Fault{Kind: sim.FaultAnswer, Reason: proto.ReasonServiceUnavailable, After: 1})
		_, err := client.Push(t.Context(), note(server))
		if apns.OutcomeOf(err) != apns.Unknown || !errors.Is(err, apns.ReasonServiceUnavailable) {
			t.Errorf("%v: %v", apns.OutcomeOf(err), err)
		}
	})
}

func TestContextEndsAPush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := apnstest.StartMem(t, func(c *sim.Config) { c.UnauthenticatedMaxStreams = 1 })
		client := newClient(t, server, nil)
		server.AddFault(t, sim.Fault{Kind: sim.FaultSilence})
		type result struct {
			err  error
			took time.Duration
		}
		results := make(chan result, 2)
		begin := time.Now()
		push := func(timeout time.Duration) {
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			defer cancel()
			_, err := client.Push(ctx, note(server))
			results <- result{err, time.Since(begin)}
		}
		go push(3 * time.Second)
		synctest.Wait()
		go push(2 * time.Second)
		waiting, written := <-results, <-results
		if waiting.took != 2*time.Second || apns.OutcomeOf(waiting.err) != apns.NotSent || !errors.Is(waiting.err, context.DeadlineExceeded) {
			t.Errorf("the one that waited for a stream: %+v", waiting)
		}
		if written.took != 3*time.Second || apns.OutcomeOf(written.err) != apns.Unknown || !errors.Is(written.err, context.DeadlineExceeded) {
			t.Errorf("the one that was written: %+v", written)
		}
		cancelled, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := client.Push(cancelled, note(server)); apns.OutcomeOf(err) != apns.NotSent || !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

func TestProviderTokenIsRenewed(t *testing.T) {
	expired := sim.Fault{Kind: sim.FaultAnswer, Reason: proto.ReasonExpiredProviderToken, Count: 1}
	t.Run("once it may be", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			server := apnstest.StartMem(t)
			client := newClient(t, server, nil)
			client.Push(t.Context(), note(server))
			time.Sleep(25 * time.Minute)
			server.AddFault(t, expired)
			receipt, err := client.Push(t.Context(), note(server))
			if err != nil || receipt.Attempts != 2 {
				t.Fatalf("%+v, %v", receipt, err)
			}
			if d := client.Stats().Dials; d != 2 {
				t.Errorf("%d dials: a connection that saw ExpiredProviderToken stays unusable", d)
			}
		})
	})
	t.Run("not within 20 minutes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			server := apnstest.StartMem(t)
			client := newClient(t, server, nil)
			server.AddFault(t, expired)
			_, err := client.Push(t.Context(), note(server))
			if r := rejected(t, err); r.Reason != apns.ReasonExpiredProviderToken || r.Cause == nil || !strings.Contains(err.Error(), "clock") {
				t.Errorf("%v", err)
			}
		})
	})
	t.Run("day and night, without APNs ever complaining", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			server := apnstest.StartMem(t)
			client := newClient(t, server, nil)
			for range 30 * 60 / 7 {
				if _, err := client.Push(t.Context(), note(server)); err != nil {
					t.Fatal(err)
				}
				time.Sleep(7 * time.Minute)
			}
		})
	})
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := apnstest.StartMem(t)
		client := newClient(t, server, nil)
		client.Push(t.Context(), note(server))
		server.AddFault(t, sim.Fault{Kind: sim.FaultDelay, Delay: 2 * time.Second})
		errs := make(chan error, 10)
		for range 10 {
			go func() {
				_, err := client.Push(t.Context(), note(server))
				errs <- err
			}()
		}
		synctest.Wait()
		begin := time.Now()
		if err := client.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if took := time.Since(begin); took != 2*time.Second {
			t.Errorf("closed after %v", took)
		}
		for range 10 {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		if _, err := client.Push(t.Context(), note(server)); !errors.Is(err, apns.ErrClosed) || apns.OutcomeOf(err) != apns.NotSent {
			t.Error(err)
		}
	})
}

func TestCloseInAHurry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := apnstest.StartMem(t)
		client := newClient(t, server, nil)
		server.AddFault(t, sim.Fault{Kind: sim.FaultSilence})
		errs := make(chan error, 10)
		for range 10 {
			go func() {
				_, err := client.Push(t.Context(), note(server))
				errs <- err
			}()
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin := time.Now()
		if err := client.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if took := time.Since(begin); took != time.Second {
			t.Errorf("closed after %v", took)
		}
		outcomes := map[apns.Outcome]int{}
		for range 10 {
			err := <-errs
			outcomes[apns.OutcomeOf(err)]++
			if !errors.Is(err, apns.ErrClosed) {
				t.Error(err)
			}
		}
		if outcomes[apns.Unknown] != 1 || outcomes[apns.NotSent] != 9 { // one stream until authenticated
			t.Errorf("%v", outcomes)
		}
	})
}
