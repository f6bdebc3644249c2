package legacy_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"aviso.example/apns"
	"aviso.example/internal/endwith/endwithtest"
	"aviso.example/legacy"
)

// Once the context that was handed in is done, nothing is written any more, although
// what was written before has settled and made room.
func TestNothingBeginsAfterTheEnd(t *testing.T) {
	for name, send := range map[string]func(context.Context, *legacy.Client) []error{
		"Push": func(ctx context.Context, client *legacy.Client) []error {
			results := make(chan error)
			for i := range 3 {
				go func() {
					_, err := client.Push(ctx, numbered(i))
					results <- err
				}()
			}
			return []error{<-results, <-results, <-results}
		},
		"PushAll": func(ctx context.Context, client *legacy.Client) (errs []error) {
			for _, r := range pushAll(ctx, client, 0, 3) {
				errs = append(errs, r.Err)
			}
			return errs
		},
	} {
		t.Run(name, func(t *testing.T) {
			virtually(t, func(t *testing.T) {
				p := newPeer(t, (*peerConn).readAll)
				client := newClient(t, p, func(c *legacy.Config) { c.MaxInFlight = 1 })
				parent, cancel := context.WithCancel(t.Context())
				defer cancel()
				ctx := endwithtest.New(parent)
				time.AfterFunc(legacy.DefaultSettleTime/2, ctx.End)
				count := map[apns.Outcome]int{}
				for _, err := range send(ctx, client) {
					count[apns.OutcomeOf(err)]++
					if err != nil && !errors.Is(err, context.Canceled) {
						t.Error(err)
					}
				}
				if count[apns.Accepted] != 1 || count[apns.NotSent] != 2 {
					t.Error(count)
				}
			})
		})
	}
}
