package apns_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"aviso.example/apns"
	"aviso.example/apnstest"
	"aviso.example/internal/proto"
	"aviso.example/sim"
)

// Two Close calls at once.
func TestTwoClosers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := apnstest.StartMem(t)
		client := newClient(t, server, nil)
		client.Push(t.Context(), note(server))
		server.AddFault(t, sim.Fault{Kind: sim.FaultDelay, Delay: time.Second})
		go client.Push(t.Context(), note(server))
		synctest.Wait()
		done := make(chan int, 2)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		for i := range 2 {
			go func() { client.Close(ctx); done <- i }()
		}
		<-done
		begin := time.Now()
		<-done
		if took := time.Since(begin); took > 2*time.Second {
			t.Errorf("the second Close returned %v after the first", took)
		}
	})
}

// Errgroup cancels its context with the first error as cause.
func TestCauseIsAnotherNotification(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := apnstest.StartMem(t)
		client := newClient(t, server, nil)
		a := fmt.Sprintf("%064x", 1)
		server.AddFault(t, sim.Fault{Kind: sim.FaultAnswer, Reason: "Unregistered", DeviceToken: a, Timestamp: time.Now().UnixMilli()})
		ctx, cancel := context.WithCancelCause(t.Context()) // what errgroup.WithContext does
		_, errA := client.Push(ctx, &apns.Notification{DeviceToken: a, Payload: []byte(hello)})
		cancel(errA)
		_, errB := client.Push(ctx, &apns.Notification{DeviceToken: fmt.Sprintf("%064x", 2), Payload: []byte(hello)})
		t.Log(errB)
		if _, ok := errB.(*apns.NotSentError); !ok {
			t.Fatal(errB)
		}
		if r, ok := errors.AsType[*apns.RejectedError](errB); ok && r.DropDeviceToken(time.Now().Add(-time.Hour)) {
			t.Error("device token B would be dropped for A's 410")
		}
		if errors.Is(errB, apns.ReasonUnregistered) {
			t.Error("B is reported Unregistered")
		}
		ctx, cancel = context.WithCancelCause(t.Context())
		cancel(&apns.UnknownError{Cause: apns.ErrTimeout})
		_, errC := client.Push(ctx, note(server))
		if o := apns.OutcomeOf(errC); o != apns.NotSent {
			t.Errorf("the outcome of a push that was never written is %v", o)
		}
	})
}

// What the input has yielded when ctx is done.
func TestEveryNotificationTakenHasAnOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := apnstest.StartMem(t)
		client := newClient(t, server, nil)
		ctx, cancel := context.WithCancel(t.Context())
		source := make(chan *apns.Notification, 10)
		for range 3 {
			source <- note(server)
		}
		taken, outcomes := 0, 0
		input := func(yield func(*apns.Notification) bool) {
			for n := range source {
				taken++
				if taken == 3 {
					cancel()
				}
				if !yield(n) {
					return
				}
			}
		}
		for range client.PushAll(ctx, input) {
			outcomes++
		}
		if taken != outcomes {
			t.Errorf("%d notifications yielded, %d outcomes", taken, outcomes)
		}
	})
}

// The retry of a renewed provider token meets another old connection.
func TestRenewalWithSeveralConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := apnstest.StartMem(t, func(c *sim.Config) { c.RoundTrip = 100 * time.Millisecond; c.MaxStreams = 20 })
		client := newClient(t, server, func(c *apns.Config) { c.MaxConnections = 4 })
		// Four connections under load, kept busy for 25 minutes.
		begin := time.Now()
		for time.Since(begin) < 25*time.Minute {
			for r := range client.PushAll(t.Context(), notes(server, 800)) {
				if r.Err != nil {
					t.Fatal(r.Err)
				}
			}
			time.Sleep(2 * time.Minute)
		}
		t.Log(client.Stats())
		// The server's clock is 40 minutes ahead of ours (a host that slept, say):
		// what was issued 25 minutes ago is over an hour old to it.
		server.AddFault(t, sim.Fault{Kind: sim.FaultClockSkew, Skew: 40 * time.Minute})
		bad := 0
		var last error
		for range 10 {
			if _, err := client.Push(t.Context(), note(server)); err != nil {
				bad++
				last = err
			}
		}
		t.Log(client.Stats())
		if bad > 0 {
			t.Errorf("%d of 10 rejected, though one renewal cures it: %v", bad, last)
		}
	})
}

// A slow clock.
func TestRefusedProviderTokensMakeNoStorm(t *testing.T) {
	for _, reason := range []proto.Reason{proto.ReasonExpiredProviderToken, proto.ReasonTooManyProviderTokenUpdates} {
		t.Run(string(reason), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := apnstest.StartMem(t)
				client := newClient(t, server, nil)
				server.AddFault(t, sim.Fault{Kind: sim.FaultAnswer, Reason: reason})
				begin := time.Now()
				for time.Since(begin) < 10*time.Minute {
					go func() {
						ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
						defer cancel()
						client.Push(ctx, note(server))
					}()
					time.Sleep(200 * time.Millisecond)
				}
				time.Sleep(10 * time.Second)
				t.Logf("%d connections in 10 minutes", client.Stats().Dials)
				if d := client.Stats().Dials; d > 60 {
					t.Errorf("%d connections in 10 minutes", d)
				}
			})
		})
	}
}

// A nil notification is a mistake of the caller's that must not end the process.
func TestNilNotification(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := apnstest.StartMem(t)
		client := newClient(t, server, nil)
		var outcomes []apns.Outcome
		for r := range client.PushAll(t.Context(), func(yield func(*apns.Notification) bool) {
			if yield(nil) {
				yield(note(server))
			}
		}) {
			outcomes = append(outcomes, r.Outcome)
		}
		slices.Sort(outcomes)
		if !slices.Equal(outcomes, []apns.Outcome{apns.Accepted, apns.NotSent}) {
			t.Errorf("%v", outcomes)
		}
		if _, err := client.Push(t.Context(), nil); apns.OutcomeOf(err) != apns.NotSent {
			t.Error(err)
		}
	})
}

// A panic in the input reaches the caller, who can recover.
func TestPanicInTheInput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := apnstest.StartMem(t)
		client := newClient(t, server, nil)
		outcomes := 0
		defer func() {
			if r := recover(); r != "the input's mistake" || outcomes != 2 {
				t.Errorf("recovered %v after %d outcomes", r, outcomes)
			}
		}()
		for range client.PushAll(t.Context(), func(yield func(*apns.Notification) bool) {
			yield(note(server))
			yield(note(server))
			panic("the input's mistake")
		}) {
			outcomes++
		}
	})
}

// A panic in the loop's body.
func TestPanicInTheLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := apnstest.StartMem(t)
		client := newClient(t, server, nil)
		client.Push(t.Context(), note(server))
		server.AddFault(t, sim.Fault{Kind: sim.FaultDelay, Delay: 10 * time.Second, After: 1})
		func() {
			defer func() { recover() }()
			for range client.PushAll(t.Context(), notes(server, 100)) {
				panic("the caller's mistake")
			}
		}()
		synctest.Wait()
		if open := client.Stats().Open; open != 0 {
			t.Errorf("%d notifications are still under way after the loop was left by a panic", open)
		}
	})
}

// Waiting for a slot is not bounded by Timeout.
func TestTimeoutBoundsTheWaitForASlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := apnstest.StartMem(t)
		client := newClient(t, server, func(c *apns.Config) { c.MaxInFlight = 1; c.Timeout = 10 * time.Second })
		server.AddFault(t, sim.Fault{Kind: sim.FaultSilence})
		begin := time.Now()
		done := make(chan time.Duration, 4)
		for range 4 {
			go func() { client.Push(context.Background(), note(server)); done <- time.Since(begin) }()
		}
		var last time.Duration
		for range 4 {
			last = <-done
		}
		if last > 11*time.Second {
			t.Errorf("a Push took %v, Timeout is 10s", last)
		}
	})
}

// OnRetry touches a notification whose outcome the caller already has.
func TestOnRetryComesBeforeTheOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := apnstest.StartMem(t, func(c *sim.Config) { c.RoundTrip = 50 * time.Millisecond; c.MaxStreams = 10 })
		sum := 0
		client := newClient(t, server, func(c *apns.Config) {
			c.MaxConnections = 2
			c.Hooks.OnRetry = func(n *apns.Notification, _ apns.RetryEvent) { sum += len(n.CollapseID) }
		})
		for range client.PushAll(t.Context(), notes(server, 200)) {
		}
		t.Log(client.Stats())
		server.AddFault(t, sim.Fault{Kind: sim.FaultResetStream, Code: &refusedStream, Connection: 1})
		n := note(server)
		for i := range 40 {
			n.CollapseID = fmt.Sprint(i) // the caller reuses its notification, as it may after Push returned
			if _, err := client.Push(t.Context(), n); err != nil {
				t.Log(err)
			}
		}
	})
}

// Sent again after its expiration.
func TestNotSentAgainAfterItsExpiration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := apnstest.StartMem(t, func(c *sim.Config) { c.RoundTrip = 3 * time.Second })
		client := newClient(t, server, nil)
		client.Push(t.Context(), note(server))
		server.AddFault(t, sim.Fault{Kind: sim.FaultResetStream, Code: &refusedStream, Nth: 1})
		n := note(server)
		at := time.Now().Add(2 * time.Second)
		n.Expiration = apns.ExpireAt(at)
		r, err := client.Push(t.Context(), n)
		if apns.OutcomeOf(err) != apns.NotSent {
			t.Error(err)
		}
		for _, p := range server.Pushes(sim.Filter{ID: r.ID.String()}) {
			if p.Time.After(at) {
				t.Errorf("sent %v after its expiration", p.Time.Sub(at))
			}
		}
	})
}

// A connection that answers 500 until it is replaced (node-apn 463).
func TestConnectionThatAlwaysAnswers500(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := apnstest.StartMem(t)
		client := newClient(t, server, nil)
		client.Push(t.Context(), note(server))
		time.Sleep(61 * time.Minute)
		server.AddFault(t, sim.Fault{Kind: sim.FaultAnswer, Reason: proto.ReasonInternalServerError, Connection: 1})
		for range 3 {
			if r, err := client.Push(t.Context(), note(server)); err != nil {
				t.Errorf("%d attempts, all on connection 1: %v", r.Attempts, err)
			}
		}
	})
}

// A credential that is refused: how many connections in ten minutes?
func TestRefusedCredentialMakesNoStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := apnstest.StartMem(t, func(c *sim.Config) { c.RoundTrip = 50 * time.Millisecond; c.MaxStreams = 1 })
		client := newClient(t, server, nil)
		server.AddFault(t, sim.Fault{Kind: sim.FaultAnswer, Reason: proto.ReasonInvalidProviderToken})
		begin := time.Now()
		for time.Since(begin) < 10*time.Minute {
			for range client.PushAll(t.Context(), notes(server, 5000)) {
			}
		}
		if d := client.Stats().Dials; d > 60 {
			t.Errorf("%d connections in 10 minutes", d)
		}
	})
}

// Impatient callers beside patient ones.
func TestShortDeadlinesDoNotChurnConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := apnstest.StartMem(t, func(c *sim.Config) { c.RoundTrip = 100 * time.Millisecond })
		client := newClient(t, server, nil)
		client.Push(t.Context(), note(server))
		begin := time.Now()
		for time.Since(begin) < time.Minute {
			for i := range 20 {
				d := 10 * time.Second
				if i < 5 {
					d = 90 * time.Millisecond
				}
				go func() {
					ctx, cancel := context.WithTimeout(t.Context(), d)
					defer cancel()
					client.Push(ctx, note(server))
				}()
			}
			time.Sleep(50 * time.Millisecond)
		}
		time.Sleep(11 * time.Second)
		t.Logf("%d connections in a minute", client.Stats().Dials)
		if d := client.Stats().Dials; d > 5 {
			t.Errorf("%d connections in a minute to a healthy server", d)
		}
	})
}
