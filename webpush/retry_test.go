package webpush

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// pauses returns the times between the requests that a peer saw.
func (p *peer) pauses() (all []time.Duration) {
	seen := p.seen()
	for i := 1; i < len(seen); i++ {
		all = append(all, seen[i].at.Sub(seen[i-1].at))
	}
	return all
}

// script answers with one step after the other; the last one stays.
func script(steps ...func(w http.ResponseWriter)) func(http.ResponseWriter, *http.Request, int) {
	return func(w http.ResponseWriter, _ *http.Request, number int) { steps[min(number, len(steps))-1](w) }
}

func status(code int, fields ...string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		for i := 0; i < len(fields); i += 2 {
			w.Header().Set(fields[i], fields[i+1])
		}
		w.WriteHeader(code)
		if code >= 400 && len(fields) == 0 {
			io.WriteString(w, `{"reason":"TooManyRequests"}`)
		}
	}
}

func TestRetries(t *testing.T) {
	inTwenty := func(w http.ResponseWriter) {
		w.Header().Set("Retry-After", time.Now().Add(20*time.Second).UTC().Format(http.TimeFormat))
		w.WriteHeader(429)
	}
	between := func(least, most time.Duration) [2]time.Duration { return [2]time.Duration{least, most} }
	for _, test := range []struct {
		name   string
		steps  []func(http.ResponseWriter)
		m      Message
		within time.Duration
		want   Outcome
		status int
		pauses [][2]time.Duration
	}{
		{name: "seconds", steps: []func(http.ResponseWriter){status(429, "Retry-After", "7"), status(201)}, want: Accepted, status: 201, pauses: [][2]time.Duration{between(7*time.Second, 7*time.Second)}},
		{name: "a date", steps: []func(http.ResponseWriter){inTwenty, status(201)}, want: Accepted, status: 201, pauses: [][2]time.Duration{between(19*time.Second, 20*time.Second)}},
		{name: "503 and seconds", steps: []func(http.ResponseWriter){status(503, "Retry-After", "30"), status(201)}, want: Accepted, status: 201, pauses: [][2]time.Duration{between(30*time.Second, 30*time.Second)}},
		{name: "longer than there is time", steps: []func(http.ResponseWriter){status(429, "Retry-After", "61")}, want: Rejected, status: 429},
		{name: "longer than the caller waits", steps: []func(http.ResponseWriter){status(503, "Retry-After", "10")}, within: 9 * time.Second, want: Rejected, status: 503},
		{name: "longer than the message lives", steps: []func(http.ResponseWriter){status(429, "Retry-After", "10")}, m: Message{TTL: 9 * time.Second}, want: Rejected, status: 429},
		{name: "now or never", steps: []func(http.ResponseWriter){status(500)}, m: Message{TTL: DeliverNow}, want: Rejected, status: 500},
		{name: "a growing pause", steps: []func(http.ResponseWriter){status(500), status(503), status(429), status(201)}, want: Accepted, status: 201, pauses: [][2]time.Duration{
			between(500*time.Millisecond, time.Second), between(time.Second, 2*time.Second), between(2*time.Second, 4*time.Second),
		}},
		{name: "to no end", steps: []func(http.ResponseWriter){status(500)}, want: Rejected, status: 500, pauses: [][2]time.Duration{
			between(0, time.Second), between(0, 2*time.Second), between(0, 4*time.Second),
		}},
		{name: "a gateway got no answer", steps: []func(http.ResponseWriter){status(504), status(201)}, want: Unknown, status: 504},
		{name: "a gateway got a wrong answer", steps: []func(http.ResponseWriter){status(502, "Retry-After", "1"), status(201)}, want: Unknown, status: 502},
		{name: "501", steps: []func(http.ResponseWriter){status(501)}, want: Rejected, status: 501},
		{name: "403", steps: []func(http.ResponseWriter){status(403, "Retry-After", "1")}, want: Rejected, status: 403},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := startPeer(t)
				p.answers(script(test.steps...))
				ctx := t.Context()
				if test.within > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, test.within)
					defer cancel()
				}
				test.m.Payload = []byte("x")
				receipt, err := p.client().Send(ctx, p.subscription("x"), &test.m)
				if OutcomeOf(err) != test.want || receipt.Status != test.status || receipt.Attempts != len(test.pauses)+1 {
					t.Errorf("%+v, %v", receipt, err)
				}
				got := p.pauses()
				if len(got) != len(test.pauses) {
					t.Fatalf("pauses %v", got)
				}
				for i, want := range test.pauses {
					if got[i] < want[0] || got[i] > want[1] {
						t.Errorf("pause %d is %v, want %v", i, got[i], want)
					}
				}
				if e, ok := errors.AsType[*RejectedError](err); ok && strings.HasPrefix(test.name, "longer") && (e.RetryAfter < 9*time.Second || !errors.Is(e, ErrNoTime)) {
					t.Errorf("retry after %v: %v", e.RetryAfter, e)
				}
			})
		})
	}
}

// A message that waits has less time left to live.
func TestTTLShrinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := startPeer(t)
		p.answers(script(status(429, "Retry-After", "25"), status(201)))
		if _, err := p.client().Send(t.Context(), p.subscription("x"), &Message{Payload: []byte("x"), TTL: time.Minute}); err != nil {
			t.Fatal(err)
		}
		if a, b := p.seen()[0].header.Get("TTL"), p.seen()[1].header.Get("TTL"); a != "60" || b != "35" {
			t.Errorf("TTL %s, then %s", a, b)
		}
	})
}

// 503 with Retry-After speaks for all messages, 429 for one.
func TestOriginRests(t *testing.T) {
	for code, want := range map[int]time.Duration{503: 20 * time.Second, 429: 0} {
		synctest.Test(t, func(t *testing.T) {
			p := startPeer(t)
			p.answers(script(status(code, "Retry-After", "20"), status(201)))
			c := p.client(func(c *Config) { c.MaxAttempts = 1 })
			m := &Message{Payload: []byte("x")}
			if _, err := c.Send(t.Context(), p.subscription("a"), m); OutcomeOf(err) != Rejected {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			if _, err := c.Send(ctx, p.subscription("b"), m); want > 0 && (OutcomeOf(err) != NotSent || !strings.Contains(err.Error(), "wants to be left alone for another 20s")) || want == 0 && err != nil {
				t.Errorf("%d: %v", code, err)
			}
			if _, err := c.Send(t.Context(), p.subscription("b"), m); err != nil || p.pauses()[0] != want {
				t.Errorf("%d: %v after %v", code, err, p.pauses())
			}
		})
	}
}

func TestRejections(t *testing.T) {
	const long = "0123456789 "
	for _, test := range []struct {
		status     int
		kind, body string
		gone       bool
		action     Action
		reason     Reason
		want       []string
	}{
		{410, "", "", true, DropSubscription, "", []string{"push.example.com rejected the message: 410 (the subscription does not exist any more). Delete the subscription"}},
		{404, "", `{"code":404,"errno":102,"message":"Request did not validate"}`, true, DropSubscription, "", []string{`It says: {"code":404,`}},
		{410, "", `{"reason":"Unregistered"}`, true, DropSubscription, "Unregistered", []string{"410 Unregistered ("}},
		{404, "", `{"reason":"BadPath"}`, false, FixRequest, ReasonBadPath, []string{"cut short or re-encoded"}},
		{403, "", `{"reason":"BadJwtToken"}`, false, FixConfiguration, ReasonBadJwtToken, []string{"403 BadJwtToken (the VAPID JWT is missing, expired,", "mailto:name@example.com"}},
		{400, "", `{"reason":"VapidPkHashMismatch"}`, false, FixConfiguration, ReasonVapidPkHashMismatch, []string{"made with another VAPID key"}},
		{401, "", "the VAPID credentials\tdo not\nmatch", false, FixConfiguration, "", []string{"It says: the VAPID credentials do not match"}},
		{400, "text/html; charset=utf-8", "<html>secret", false, FixRequest, "", []string{"It says: an HTML page"}},
		{413, "", `{"reason":"not a word"}`, false, FixRequest, "", []string{"It says: {\"reason\":\"not a word\"}"}},
		{405, "", `{"reason":"` + strings.Repeat("x", 100) + `"}`, false, FixRequest, "", []string{"It says: "}},
		{400, "", strings.Repeat(long, 1000), false, FixRequest, "", []string{"It says: 0123456789 ", "…"}},
		{400, "", "\x1b[31m\x00\xff", false, FixRequest, "", []string{"It says: [31m"}},
		{307, "", "", false, FixRequest, "", []string{"307 (a redirect, which is not followed)"}},
		{301, "", "", false, FixRequest, "", []string{"a redirect"}},
		{599, "", "", false, RetryLater, "", []string{"599 (trouble inside"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := startPeer(t)
			p.answers(func(w http.ResponseWriter, r *http.Request, _ int) {
				w.Header().Set("Content-Type", test.kind)
				w.Header().Set("Location", "https://push.example.com/elsewhere")
				w.WriteHeader(test.status)
				io.WriteString(w, test.body)
			})
			_, err := p.client().Send(t.Context(), p.subscription("x"), &Message{Payload: []byte("x")})
			e, ok := errors.AsType[*RejectedError](err)
			if !ok || e.Status != test.status || e.Gone() != test.gone || e.Action() != test.action || e.Reason != test.reason || e.Advice() == "" {
				t.Fatalf("%+v, %v", e, err)
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v\nwant %s", err, want)
				}
			}
			if len(e.Detail) > maxDetail+len("…") || strings.ContainsAny(err.Error(), "\n\x1b\x00") {
				t.Errorf("%d bytes: %q", len(e.Detail), e.Detail)
			}
			if test.reason != "" && !errors.Is(err, test.reason) {
				t.Error("errors.Is does not find the reason")
			}
			if n := len(p.seen()); n != 1 {
				t.Errorf("%d requests", n)
			}
		})
	}
}

// Whatever the answer repeats of the request, secrets do not come out again.
func TestSecretsStayIn(t *testing.T) {
	const path = "send/dGhpcyBpcyB0aGUgc2VjcmV0/v2?auth=aGVyZSBpcyBtb3Jl&x=y"
	for _, code := range []int{201, 400, 410, 503} {
		synctest.Test(t, func(t *testing.T) {
			p := startPeer(t)
			var authorization string
			p.answers(func(w http.ResponseWriter, r *http.Request, _ int) {
				authorization = r.Header.Get("Authorization")
				w.Header().Set("Location", "/"+path)
				w.WriteHeader(code)
				fmt.Fprintf(w, "no %s at https://%s%s (%s) for %s", r.URL.Path, r.Host, r.URL.RequestURI(), r.URL.Query().Get("auth"), authorization)
			})
			var log strings.Builder
			c := p.client(func(c *Config) {
				c.Logger = slog.New(slog.NewTextHandler(&log, nil))
				c.Timeout = 2 * time.Second
			})
			receipt, err := c.Send(t.Context(), p.subscription(path), &Message{Payload: []byte("the content")})
			fmt.Fprintf(&log, "%v %+v %#v", err, receipt, receipt)
			token, key, _ := strings.Cut(strings.TrimPrefix(authorization, "vapid t="), ", k=")
			for _, secret := range []string{"dGhpcyBpcyB0aGUgc2VjcmV0", "aGVyZSBpcyBtb3Jl", token, key, "the content"} {
				if secret == "" || strings.Contains(log.String(), secret) {
					t.Errorf("%d: %q came out: %s", code, secret, log.String())
				}
			}
			if code != 201 && !strings.Contains(log.String(), "It says: no … at … (…) for vapid t=…, k=…") {
				t.Error(log.String())
			}
		})
	}
}

// An answer may be as long and as slow as it likes.
func TestEndlessAnswers(t *testing.T) {
	for _, proto := range []string{"h2", "http/1.1"} {
		for _, code := range []int{201, 400} {
			synctest.Test(t, func(t *testing.T) {
				p := startPeer(t, proto)
				p.answers(func(w http.ResponseWriter, r *http.Request, n int) {
					w.WriteHeader(code)
					block := strings.Repeat("x", 1<<16)
					for i := 0; r.Context().Err() == nil && i < 1<<20; i++ {
						if r.URL.Path == "/slow" {
							block = "x"
							select {
							case <-time.After(time.Second):
							case <-r.Context().Done():
							}
						}
						if _, err := io.WriteString(w, block); err != nil {
							return
						}
						w.(http.Flusher).Flush()
					}
				})
				c := p.client()
				for _, path := range []string{"fast", "slow"} {
					begun := time.Now()
					receipt, err := c.Send(t.Context(), p.subscription(path), &Message{Payload: []byte("x")})
					if want := map[int]Outcome{201: Accepted, 400: Rejected}[code]; OutcomeOf(err) != want || receipt.Status != code || time.Since(begun) > answerTimeout+time.Second {
						t.Errorf("%s, %s: %+v, %v after %v", proto, path, receipt, err, time.Since(begun))
					}
				}
			})
		}
	}
}
