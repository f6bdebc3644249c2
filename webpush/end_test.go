package webpush

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"aviso.example/internal/endwith/endwithtest"
)

// Once the context that was handed in is done, nothing new is begun, whatever the
// messages' own contexts say: neither what gets room because something ended, nor
// another attempt.
func TestNothingBeginsAfterTheEnd(t *testing.T) {
	for name, send := range map[string]func(context.Context, *peer, *Client) []error{
		"Send": func(ctx context.Context, p *peer, c *Client) (errs []error) {
			results := make(chan error)
			for range 3 {
				go func() {
					_, err := c.Send(ctx, p.subscription("x"), &Message{Payload: []byte("x")})
					results <- err
				}()
			}
			return append(errs, <-results, <-results, <-results)
		},
		"SendAll": func(ctx context.Context, p *peer, c *Client) (errs []error) {
			for _, r := range c.SendAll(ctx, p.pushes(3, func(i int) string { return strconv.Itoa(i) })) {
				errs = append(errs, r.Err)
			}
			return errs
		},
	} {
		for status, want := range map[int]Outcome{201: Accepted, 503: Rejected} {
			t.Run(name+http.StatusText(status), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p := startPeer(t)
					c := p.client(func(c *Config) { c.MaxInFlightPerOrigin = 1 })
					parent, cancel := context.WithCancel(t.Context())
					defer cancel()
					ctx := endwithtest.New(parent)
					p.answers(func(w http.ResponseWriter, _ *http.Request, _ int) {
						time.Sleep(time.Second)
						ctx.End()
						w.WriteHeader(status)
					})
					count := map[Outcome]int{}
					for _, err := range send(ctx, p, c) {
						count[OutcomeOf(err)]++
						if OutcomeOf(err) == NotSent && !errors.Is(err, context.Canceled) {
							t.Error(err)
						}
					}
					if len(p.seen()) != 1 || count[want] != 1 || count[NotSent] != 2 {
						t.Errorf("%d requests, %v", len(p.seen()), count)
					}
				})
			})
		}
	}
}

// The same when Close has no more time.
func TestNothingBeginsAfterClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := startPeer(t)
		c := p.client(func(c *Config) { c.MaxInFlightPerOrigin = 2 })
		p.answers(func(_ http.ResponseWriter, r *http.Request, _ int) { <-r.Context().Done() })
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, func() {
			cancel()
			c.Close(ctx)
		})
		count := map[Outcome]int{}
		for _, r := range c.SendAll(t.Context(), p.pushes(200, func(i int) string { return strconv.Itoa(i) })) {
			count[r.Outcome]++
			if !errors.Is(r.Err, ErrClosed) {
				t.Error(r.Err)
			}
		}
		if count[Unknown] != 2 || count[NotSent] != 198 || len(p.seen()) != 2 {
			t.Errorf("%d requests, %v", len(p.seen()), count)
		}
	})
}
