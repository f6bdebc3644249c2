package webpush

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A peer that answers 101 gets no conversation: net/http hands such a connection
// over, and nothing would end reading from it.
func TestSwitchingProtocols(t *testing.T) {
	for _, m := range []*Message{{Payload: []byte("x")}, {Empty: true}} {
		synctest.Test(t, func(t *testing.T) {
			p := startPeer(t, "http/1.1")
			p.answers(func(w http.ResponseWriter, _ *http.Request, n int) {
				if n > 1 {
					w.WriteHeader(201)
					return
				}
				c, _, err := w.(http.Hijacker).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				defer c.Close()
				io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
				io.Copy(io.Discard, c) // until the other side ends it
			})
			c := p.client(func(c *Config) { c.MaxConnections = 1 })
			begun := time.Now()
			receipt, err := c.Send(t.Context(), p.subscription("x"), m)
			if OutcomeOf(err) != Rejected || receipt.Status != 101 || time.Since(begun) > 0 {
				t.Errorf("%+v, %v after %v", receipt, err, time.Since(begun))
			}
			if _, err := c.Send(t.Context(), p.subscription("x"), m); err != nil {
				t.Errorf("the connection still counts: %v", err)
			}
		})
	}
}

// Messages of a batch wait for their turn however long it takes: Config.Timeout
// begins with it.
func TestSendAllGoesAtThePaceOfTheOrigin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := startPeer(t)
		p.answers(func(w http.ResponseWriter, _ *http.Request, _ int) {
			time.Sleep(time.Second)
			w.WriteHeader(201)
		})
		c := p.client(func(c *Config) { c.MaxInFlightPerOrigin, c.Timeout = 2, 10*time.Second })
		begun := time.Now()
		for i, r := range c.SendAll(t.Context(), p.pushes(100, func(i int) string { return fmt.Sprint(i) })) {
			if r.Outcome != Accepted {
				t.Fatalf("%d: %v after %v", i, r.Err, time.Since(begun))
			}
		}
		if took := time.Since(begun); took != 50*time.Second {
			t.Errorf("it took %v", took)
		}
		// A deadline of the caller's holds for what waits, too.
		ctx, cancel := context.WithTimeout(t.Context(), 9500*time.Millisecond)
		defer cancel()
		count := map[Outcome]int{}
		for _, r := range c.SendAll(ctx, p.pushes(100, func(i int) string { return fmt.Sprint(i) })) {
			count[r.Outcome]++
		}
		if count[Accepted] != 18 || count[Unknown] != 2 || count[NotSent] != 80 {
			t.Error(count)
		}
		time.Sleep(time.Second) // for the peer
	})
}

// An origin that takes nothing is not waited for: one that never answers, and one
// that always has too much to do.
func TestSendAllDoesNotWaitForNothing(t *testing.T) {
	for name, answer := range map[string]func(w http.ResponseWriter, r *http.Request, n int){
		"silent": func(_ http.ResponseWriter, r *http.Request, _ int) { <-r.Context().Done() },
		"busy": func(w http.ResponseWriter, r *http.Request, _ int) {
			time.Sleep(time.Second)
			w.WriteHeader(503)
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := startPeer(t)
			p.answers(answer)
			c := p.client(func(c *Config) { c.MaxInFlightPerOrigin, c.Timeout = 2, 10*time.Second })
			begun := time.Now()
			count := map[Outcome]int{}
			for _, r := range c.SendAll(t.Context(), p.pushes(200, func(i int) string { return fmt.Sprint(i) })) {
				count[r.Outcome]++
			}
			if took := time.Since(begun); took > 25*time.Second || count[Accepted] != 0 || count[NotSent] < 150 {
				t.Errorf("%s: %v in %v", name, count, took)
			}
			time.Sleep(time.Second) // for the peer
		})
	}
}

// What waits for room at an origin when it asks to be left alone, waits on.
func TestOriginRestsForThoseWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := startPeer(t)
		p.answers(func(w http.ResponseWriter, _ *http.Request, n int) {
			time.Sleep(time.Second)
			if n == 1 {
				w.Header().Set("Retry-After", "20")
				w.WriteHeader(503)
				return
			}
			w.WriteHeader(201)
		})
		c := p.client(func(c *Config) { c.MaxInFlightPerOrigin = 1 })
		for i, r := range c.SendAll(t.Context(), p.pushes(5, func(i int) string { return fmt.Sprint(i) })) {
			if r.Outcome != Accepted {
				t.Errorf("%d: %v", i, r.Err)
			}
		}
		if seen := p.seen(); len(seen) != 6 || p.pauses()[0] != 21*time.Second {
			t.Errorf("%d requests, pauses %v", len(seen), p.pauses())
		}
	})
}

// A result or a push in a log for machines is as safe as in one for people.
func TestNothingSecretIsLogged(t *testing.T) {
	s, err := NewSubscription(someEndpoint, someP256dh, someAuth, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	push := Push{s, &Message{Payload: []byte("the content")}, "row 7"}
	result := Result{Push: push, Outcome: Unknown, Receipt: Receipt{Host: s.Host()}, Err: &UnknownError{Receipt{Host: s.Host()}, ErrTimeout}}
	content, err := json.Marshal(push.Message.Payload)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{push, &push, result, &result, push.Message, *push.Message} {
		var log strings.Builder
		slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "v", v)
		slog.New(slog.NewTextHandler(&log, nil)).Info("x", "v", v)
		for _, secret := range []string{s.Endpoint(), someAuth, someP256dh, "the content", string(content), "116 104 101"} {
			if strings.Contains(log.String(), secret) {
				t.Errorf("%q was logged in\n%s", secret, log.String())
			}
		}
		if _, ok := v.(Result); ok && (!strings.Contains(log.String(), "unknown") || !strings.Contains(log.String(), ErrTimeout.Error())) {
			t.Error(log.String())
		}
	}
}

// The URL of an accepted message comes from a stranger like the endpoint, and
// whoever uses it connects to it.
func TestMessageURLIsGuarded(t *testing.T) {
	for location, want := range map[string]string{
		"/m/1":                                "https://" + pushHost + "/m/1",
		"https://messages." + pushHost + "/1": "https://messages." + pushHost + "/1",
		"https://" + pushHost + ":443/1":      "https://" + pushHost + ":443/1",
		"":                                    "",
		"http://" + pushHost + "/1":           "",
		"https://" + pushHost + ":8443/1":     "",
		"https://user@" + pushHost + "/1":     "",
		"https://169.254.169.254/latest":      "",
		"//[::1]/x":                           "",
		"https://localhost/x":                 "",
		"https://elsewhere.example/1":         "", // not among Config.Hosts
		"javascript:alert(1)":                 "",
		"file:///etc/passwd":                  "",
	} {
		synctest.Test(t, func(t *testing.T) {
			p := startPeer(t)
			p.answers(script(status(201, "Location", location)))
			receipt, err := p.client(func(c *Config) { c.Hosts = []string{pushHost} }).Send(t.Context(), p.subscription("x"), &Message{Payload: []byte("x")})
			if err != nil || receipt.MessageURL() != want {
				t.Errorf("%q gives %q, %v", location, receipt.MessageURL(), err)
			}
		})
	}
}

// What looks like one of Apple's words, or an id, may be the secret.
func TestSecretsInWords(t *testing.T) {
	const secret = "dGhpcyBpcyB0aGUgc2VjcmV0"
	synctest.Test(t, func(t *testing.T) {
		p := startPeer(t)
		p.answers(func(w http.ResponseWriter, r *http.Request, _ int) {
			w.Header().Set("apns-id", secret)
			w.WriteHeader(400)
			io.WriteString(w, `{"reason":"`+secret+`"}`)
		})
		receipt, err := p.client().Send(t.Context(), p.subscription("send/"+secret), &Message{Payload: []byte("x")})
		if text := fmt.Sprintf("%v %+v", err, receipt); strings.Contains(text, secret) || OutcomeOf(err) != Rejected {
			t.Error(text)
		}
	})
	// Decoded, it is the same secret.
	synctest.Test(t, func(t *testing.T) {
		p := startPeer(t)
		p.answers(func(w http.ResponseWriter, r *http.Request, _ int) {
			w.WriteHeader(400)
			io.WriteString(w, "no such subscription: "+strings.TrimPrefix(r.URL.Path, "/send/"))
		})
		_, err := p.client().Send(t.Context(), p.subscription("send/dGhpcyBpcyB0%2BaGUgc2VjcmV0"), &Message{Payload: []byte("x")})
		if strings.Contains(err.Error(), "dGhpcyBpcyB0+aGUgc2VjcmV0") {
			t.Error(err)
		}
	})
}

func TestCheckEndpointOfNothing(t *testing.T) {
	c := newClient(t, func(context.Context, string, string) (net.Conn, error) { return nil, io.EOF })
	for _, s := range []*Subscription{nil, {}} {
		if err := c.CheckEndpoint(s); err == nil {
			t.Error("no subscription, and no error")
		}
	}
}

// A date in Retry-After is by the clock of the push service, not by ours.
func TestRetryAfterByAnotherClock(t *testing.T) {
	for _, skew := range []time.Duration{-time.Hour, 0, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			p := startPeer(t)
			p.answers(func(w http.ResponseWriter, _ *http.Request, n int) {
				if n > 1 {
					w.WriteHeader(201)
					return
				}
				theirs := time.Now().Add(skew).UTC()
				w.Header().Set("Date", theirs.Format(http.TimeFormat))
				w.Header().Set("Retry-After", theirs.Add(20*time.Second).Format(http.TimeFormat))
				w.WriteHeader(429)
			})
			if _, err := p.client().Send(t.Context(), p.subscription("x"), &Message{Payload: []byte("x")}); err != nil || p.pauses()[0] != 20*time.Second {
				t.Errorf("%v: %v, %v", skew, err, p.pauses())
			}
		})
	}
}

// One answer does not silence an origin for longer than somebody would notice.
func TestLongestRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := startPeer(t)
		var n atomic.Int64
		p.answers(func(w http.ResponseWriter, _ *http.Request, _ int) {
			if n.Add(1) == 1 {
				w.Header().Set("Retry-After", "99999999999999999999")
				w.WriteHeader(503)
				return
			}
			w.WriteHeader(201)
		})
		c := p.client()
		_, err := c.Send(t.Context(), p.subscription("x"), &Message{Payload: []byte("x")})
		if rejected, ok := err.(*RejectedError); !ok || rejected.RetryAfter != 365*24*time.Hour || rejected.Receipt.Attempts != 1 {
			t.Fatalf("%#v", err)
		}
		time.Sleep(maxRest - time.Second)
		if _, err := c.Send(t.Context(), p.subscription("y"), &Message{Payload: []byte("x"), TTL: DeliverNow}); OutcomeOf(err) != NotSent {
			t.Errorf("it does not rest: %v", err)
		}
		time.Sleep(time.Second)
		if _, err := c.Send(t.Context(), p.subscription("y"), &Message{Payload: []byte("x"), TTL: DeliverNow}); err != nil {
			t.Errorf("it rests for ever: %v", err)
		}
	})
}
