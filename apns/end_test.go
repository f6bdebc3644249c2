package apns_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"aviso.example/apns"
	"aviso.example/apnstest"
	"aviso.example/internal/endwith/endwithtest"
	"aviso.example/internal/proto"
	"aviso.example/sim"
)

// Once the context that was handed in is done, nothing new is begun: neither what
// gets a stream because another one ended, nor another attempt.
func TestNothingBeginsAfterTheEnd(t *testing.T) {
	for name, send := range map[string]func(context.Context, *apnstest.Server, *apns.Client) []error{
		"Push": func(ctx context.Context, server *apnstest.Server, client *apns.Client) []error {
			results := make(chan error)
			for range 3 {
				go func() {
					_, err := client.Push(ctx, note(server))
					results <- err
				}()
			}
			return []error{<-results, <-results, <-results}
		},
		"PushAll": func(ctx context.Context, server *apnstest.Server, client *apns.Client) (errs []error) {
			for r := range client.PushAll(ctx, notes(server, 3)) {
				errs = append(errs, r.Err)
			}
			return errs
		},
	} {
		for what, fault := range map[string]sim.Fault{
			"streams":  {},
			"retries":  {Kind: sim.FaultAnswer, Reason: proto.ReasonServiceUnavailable},
			"refusals": {Kind: sim.FaultResetStream, Code: &refusedStream},
		} {
			t.Run(name+" "+what, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					server := apnstest.StartMem(t, func(c *sim.Config) { c.MaxStreams, c.RoundTrip = 1, time.Second })
					client := newClient(t, server, func(c *apns.Config) { c.MaxConnections = 1 })
					if _, err := client.Push(t.Context(), note(server)); err != nil {
						t.Fatal(err)
					}
					want := map[apns.Outcome]int{apns.Accepted: 1, apns.NotSent: 2}
					switch fault.Kind {
					case sim.FaultAnswer:
						want = map[apns.Outcome]int{apns.Rejected: 1, apns.NotSent: 2}
					case sim.FaultResetStream:
						want = map[apns.Outcome]int{apns.NotSent: 3}
					}
					if fault.Kind != "" {
						server.AddFault(t, fault)
					}
					parent, cancel := context.WithCancel(t.Context())
					defer cancel()
					ctx := endwithtest.New(parent)
					time.AfterFunc(100*time.Millisecond, ctx.End)
					for _, err := range send(ctx, server, client) {
						want[apns.OutcomeOf(err)]--
						if _, refused := errors.AsType[*apns.NotSentError](err); refused && fault.Kind == "" && !errors.Is(err, context.Canceled) {
							t.Error(err)
						}
					}
					for outcome, missing := range want {
						if missing != 0 {
							t.Errorf("%d %v are missing", missing, outcome)
						}
					}
					if n := server.Stats().Requests; n != 2 {
						t.Errorf("APNs had %d requests after the first", n-1)
					}
				})
			})
		}
	}
}

// Whoever is told that the end has come cancels one notification after another; the
// streams that this frees are for nobody of the same batch.
func TestCancellingMakesNoRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := apnstest.StartMem(t, func(c *sim.Config) { c.MaxStreams = 500 })
		client := newClient(t, server, func(c *apns.Config) { c.MaxConnections = 1 })
		client.Push(t.Context(), note(server))
		server.AddFault(t, sim.Fault{Kind: sim.FaultSilence})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		count := map[apns.Outcome]int{}
		for r := range client.PushAll(ctx, notes(server, 1000)) {
			count[r.Outcome]++
		}
		synctest.Wait()
		if count[apns.Unknown] != 500 || count[apns.NotSent] != 500 || server.Stats().Requests != 501 {
			t.Errorf("%v, %d requests", count, server.Stats().Requests)
		}
	})
}
