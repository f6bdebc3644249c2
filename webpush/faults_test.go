package webpush

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
)

// sent is what became of one message at a raw peer.
func sent(t *testing.T, p *rawPeer, m *Message, change ...func(*Config)) (Receipt, error) {
	t.Helper()
	c := newClient(t, p.listener.DialContext, change...)
	_, s := newReceiver(t, "https://"+pushHost+"/x")
	receipt, err := c.Send(t.Context(), s, m)
	if c.Close(context.Background()) != nil {
		t.Error("it does not close")
	}
	return receipt, err
}

// first does something wrong on the first connection and accepts on the others.
func first(wrong func(c *rawConn, stream uint32)) func(c *rawConn, stream uint32) {
	return func(c *rawConn, stream uint32) {
		if c.number == 1 {
			wrong(c, stream)
			return
		}
		c.answer(stream, "201")
	}
}

// What each way to end a request without an answer proves (RFC 9113 sections 6.8
// and 8.7; RFC 9110 section 9.2.2).
func TestFatesOfRequests(t *testing.T) {
	resets := func(code http2.ErrCode) func(c *rawConn, stream uint32) {
		return func(c *rawConn, stream uint32) {
			c.WriteGoAway(stream, http2.ErrCodeNo, nil) // first, so that the next attempt has another connection
			c.WriteRSTStream(stream, code)
		}
	}
	for _, test := range []struct {
		name  string
		wrong func(c *rawConn, stream uint32)
		// proves says that the request was certainly not processed, so that it is
		// sent again and accepted; otherwise the outcome is Unknown at once.
		proves bool
		// empty is the same for a message without body, which net/http tells less
		// about: what is not known for certain is Unknown.
		empty bool
	}{
		{"GOAWAY below", func(c *rawConn, _ uint32) { c.WriteGoAway(0, http2.ErrCodeNo, nil) }, true, false},
		{"GOAWAY below, with an error", func(c *rawConn, _ uint32) { c.WriteGoAway(0, http2.ErrCodeEnhanceYourCalm, nil) }, true, true},
		{"GOAWAY below, then closed", func(c *rawConn, _ uint32) { c.WriteGoAway(0, http2.ErrCodeNo, nil); c.Close() }, true, false},
		{"REFUSED_STREAM", resets(http2.ErrCodeRefusedStream), true, false},
		{"PROTOCOL_ERROR", resets(http2.ErrCodeProtocol), false, false},
		{"INTERNAL_ERROR", resets(http2.ErrCodeInternal), false, false},
		{"CANCEL", resets(http2.ErrCodeCancel), false, false},
		{"GOAWAY above, then closed", func(c *rawConn, s uint32) { c.WriteGoAway(s, http2.ErrCodeNo, nil); c.Close() }, false, false},
		{"GOAWAY whose words lie", func(c *rawConn, s uint32) {
			c.WriteGoAway(s, http2.ErrCodeNo, []byte("http2: Transport received GOAWAY from server ErrCode:NO_ERROR"))
			c.Close()
		}, false, false},
		{"closed", func(c *rawConn, _ uint32) { c.Close() }, false, false},
		{"nonsense", func(c *rawConn, _ uint32) { c.Conn.Write([]byte(strings.Repeat("\xff", 100))) }, false, false},
	} {
		for _, m := range []*Message{{Payload: []byte("x")}, {Empty: true}} {
			t.Run(test.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p := startRaw(t, first(test.wrong))
					receipt, err := sent(t, p, m)
					whole, conns := p.counts()
					proves := test.proves
					if m.Empty {
						proves = test.empty
					}
					if proves {
						if err != nil || receipt.Attempts != 1 || whole != 2 || conns < 2 {
							t.Errorf("%+v, %v, %d requests, %d connections", receipt, err, whole, conns)
						}
						return
					}
					if OutcomeOf(err) != Unknown || receipt.Attempts != 1 || whole != 1 {
						t.Errorf("%+v, %v, %d requests", receipt, err, whole)
					}
				})
			})
		}
	}
}

// A gateway that passed the request on, and heard nothing or nonsense, knows as
// little as who heard nothing (RFC 9110 sections 15.6.3 and 15.6.5).
func TestGatewaysDoNotKnow(t *testing.T) {
	for _, test := range []struct {
		steps    []func(http.ResponseWriter)
		want     Outcome
		attempts int
	}{
		{[]func(http.ResponseWriter){status(504), status(502), status(201)}, Accepted, 3},
		{[]func(http.ResponseWriter){status(504), status(410)}, Unknown, 2},
		{[]func(http.ResponseWriter){status(503), status(504)}, Unknown, DefaultMaxAttempts},
		{[]func(http.ResponseWriter){status(502, "Retry-After", "3600")}, Unknown, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := startPeer(t)
			p.answers(script(test.steps...))
			receipt, err := p.client(func(c *Config) { c.ResendUnknown = true }).Send(t.Context(), p.subscription("x"), &Message{Payload: []byte("x")})
			if OutcomeOf(err) != test.want || receipt.Attempts != test.attempts || test.want == Unknown && !strings.Contains(err.Error(), "a gateway") {
				t.Errorf("%+v, %v", receipt, err)
			}
		})
	}
}

// A peer that refuses everything unread leaves no doubt, and is not asked for
// ever.
func TestRefusesEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := startRaw(t, func(c *rawConn, stream uint32) { c.WriteRSTStream(stream, http2.ErrCodeRefusedStream) })
		for _, test := range []struct {
			timeout time.Duration
			cause   error
			least   int
		}{{10 * time.Second, ErrNoTime, 5}, {time.Hour, ErrRefused, maxUnprocessed}} {
			before, _ := p.counts()
			receipt, err := sent(t, p, &Message{Payload: []byte("x")}, func(c *Config) { c.Timeout = test.timeout })
			if after, _ := p.counts(); OutcomeOf(err) != NotSent || !errors.Is(err, test.cause) || receipt.Attempts != 0 ||
				after-before < test.least || after-before > maxUnprocessed+1 {
				t.Errorf("%+v, %v, %d requests", receipt, err, after-before)
			}
		}
	})
}

func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := startRaw(t, func(*rawConn, uint32) {})
		begun := time.Now()
		receipt, err := sent(t, p, &Message{Payload: []byte("x")})
		if OutcomeOf(err) != Unknown || !errors.Is(err, ErrTimeout) || !errors.Is(err, context.DeadlineExceeded) ||
			time.Since(begun) != DefaultRequestTimeout || receipt.Attempts != 1 {
			t.Errorf("%+v, %v after %v", receipt, err, time.Since(begun))
		}

		// A caller who gives up does not know either.
		c := newClient(t, p.listener.DialContext)
		_, s := newReceiver(t, "https://"+pushHost+"/x")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(errors.New("enough")) })
		if _, err := c.Send(ctx, s, &Message{Payload: []byte("x")}); OutcomeOf(err) != Unknown || !strings.Contains(err.Error(), "enough") {
			t.Error(err)
		}
		// Another message's outcome does not pass for this one's.
		ctx, cancel = context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(&RejectedError{Receipt: Receipt{Host: "other", Status: 410}}) })
		_, err = c.Send(ctx, s, &Message{Payload: []byte("x")})
		if _, ok := errors.AsType[*RejectedError](err); ok || OutcomeOf(err) != Unknown || !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		// Cancelled before anything was done, it was not sent.
		if _, err := c.Send(ctx, s, &Message{Payload: []byte("x")}); OutcomeOf(err) != NotSent {
			t.Error(err)
		}
	})
}

// What got no answer is sent again only if that was asked for, and stays Unknown
// unless it is accepted.
func TestResendUnknown(t *testing.T) {
	for _, test := range []struct {
		then string
		want Outcome
	}{{"201", Accepted}, {"410", Unknown}, {"", Unknown}} {
		synctest.Test(t, func(t *testing.T) {
			p := startRaw(t, func(c *rawConn, stream uint32) {
				if c.number == 1 || test.then == "" {
					c.Close()
					return
				}
				c.answer(stream, test.then)
			})
			receipt, err := sent(t, p, &Message{Payload: []byte("x")}, func(c *Config) { c.ResendUnknown = true })
			attempts := 2
			if test.then == "" {
				attempts = DefaultMaxAttempts
			}
			if OutcomeOf(err) != test.want || receipt.Attempts != attempts {
				t.Errorf("%s: %+v, %v", test.then, receipt, err)
			}
			if _, ok := errors.AsType[*RejectedError](err); ok {
				t.Error("a refusal can be found in it")
			}
		})
	}
}

func TestNoConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dials atomic.Int64
		refuse := func(context.Context, string, string) (net.Conn, error) {
			dials.Add(1)
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
		}
		c := newClient(t, refuse)
		_, s := newReceiver(t, "https://"+pushHost+"/x")
		m := &Message{Payload: []byte("x")}
		begun := time.Now()
		receipt, err := c.Send(t.Context(), s, m)
		if took := time.Since(begun); OutcomeOf(err) != NotSent || !errors.Is(err, syscall.ECONNREFUSED) || receipt.Attempts != 0 ||
			took < connectWait || took > 2*connectWait {
			t.Errorf("%+v, %v after %v", receipt, err, took)
		}
		// Those who come now need not wait as long, and do not dial.
		before := dials.Load()
		begun = time.Now()
		if _, err := c.Send(t.Context(), s, m); OutcomeOf(err) != NotSent || time.Since(begun) > 0 || dials.Load() != before {
			t.Errorf("%v after %v and %d dials", err, time.Since(begun), dials.Load()-before)
		}
		time.Sleep(2 * backoffMin)
		if _, err := c.Send(t.Context(), s, m); OutcomeOf(err) != NotSent || dials.Load() == before {
			t.Errorf("%v after %d dials", err, dials.Load()-before)
		}
		// After a long pause nobody knows; and who has no time for that hears why.
		time.Sleep(time.Hour)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		before = dials.Load()
		if _, err := c.Send(ctx, s, m); OutcomeOf(err) != NotSent || !errors.Is(err, syscall.ECONNREFUSED) || !errors.Is(err, ErrNoTime) || dials.Load()-before < 2 {
			t.Errorf("%v after %d dials", err, dials.Load()-before)
		}
	})
}

// An origin that swallows everything costs its messages half a minute, not each
// of them a dial of its own, and the others nothing.
func TestBlackHole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := startPeer(t)
		var dials atomic.Int64
		c := newClient(t, func(ctx context.Context, network, address string) (net.Conn, error) {
			if address == pushHost+":443" {
				return p.listener.Dial(ctx)
			}
			dials.Add(1)
			select {
			case <-time.After(dialTimeout):
			case <-ctx.Done():
			}
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ETIMEDOUT}
		})
		const n = 200
		input := func(yield func(Push) bool) {
			for i := range n {
				host := pushHost
				if i%2 == 0 {
					host = "hole." + pushHost
				}
				s, err := p.receiver.Subscription(fmt.Sprintf("https://%s/%d", host, i))
				if err != nil {
					t.Error(err)
				}
				if !yield(Push{s, &Message{Payload: []byte("x")}, nil}) {
					return
				}
			}
		}
		begun := time.Now()
		for i, r := range c.SendAll(t.Context(), input) {
			took := time.Since(begun)
			if i%2 == 1 && (r.Outcome != Accepted || took > 0) || i%2 == 0 && (r.Outcome != NotSent || !errors.Is(r.Err, syscall.ETIMEDOUT) || took > 2*dialTimeout+2*backoffMin) {
				t.Errorf("%d: %+v after %v", i, r, took)
			}
		}
		if dials.Load() > 5 {
			t.Errorf("%d dials", dials.Load())
		}
	})
}

// An origin that was reached in between gets all its time when it is down again.
func TestDownAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := startPeer(t)
		var up atomic.Bool
		c := newClient(t, func(ctx context.Context, _, _ string) (net.Conn, error) {
			if up.Load() {
				return p.listener.Dial(ctx)
			}
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
		})
		s, m := p.subscription("x"), &Message{Payload: []byte("x")}
		for range 2 {
			up.Store(false)
			begun := time.Now()
			if _, err := c.Send(t.Context(), s, m); OutcomeOf(err) != NotSent || time.Since(begun) < connectWait {
				t.Fatalf("%v after %v", err, time.Since(begun))
			}
			up.Store(true)
			time.Sleep(time.Minute)
			if _, err := c.Send(t.Context(), s, m); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * idleTimeout) // the connection is closed
		}
	})
}

// A request that was given up gives nothing away any more, so what was not whole
// then stays so.
func TestParcel(t *testing.T) {
	b := make([]byte, 3)
	for sealedAfter, want := range []bool{false, false, true, true} {
		p := &parcel{over: func() bool { return false }, rest: []byte("hello")}
		read := 0
		for range sealedAfter {
			n, _ := p.Read(b)
			read += n
		}
		if got := p.seal(); got != want {
			t.Errorf("after %d bytes it is whole: %v", read, got)
		}
		if n, err := p.Read(b); n != 0 || !errors.Is(err, errSealed) {
			t.Errorf("%d bytes more, %v", n, err)
		}
		if p.seal() != want {
			t.Error("it changed its mind")
		}
	}
}

// Nor does one that waited for a stream until nothing was to be begun any more.
func TestParcelOver(t *testing.T) {
	over := false
	p := &parcel{over: func() bool { return over }, rest: []byte("hello")}
	b := make([]byte, 3)
	if n, err := p.Read(b); n != 3 || err != nil {
		t.Error(n, err)
	}
	over = true
	if n, err := p.Read(b); n != 0 || !errors.Is(err, errSealed) || p.seal() {
		t.Errorf("%d bytes more, %v", n, err)
	}
}

// What cannot get better is not tried again.
func TestHopeless(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := startPeer(t)
		untrusting := p.client(func(c *Config) { c.ExtraRoots = nil })
		begun := time.Now()
		_, err := untrusting.Send(t.Context(), p.subscription("x"), &Message{Payload: []byte("x")})
		if _, ok := errors.AsType[x509.UnknownAuthorityError](err); !ok || OutcomeOf(err) != NotSent || time.Since(begun) > 0 {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
		unknown := newClient(t, func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.DNSError{Err: "no such host", Name: pushHost, IsNotFound: true}
		})
		if _, err := unknown.Send(t.Context(), p.subscription("x"), &Message{Payload: []byte("x")}); OutcomeOf(err) != NotSent || time.Since(begun) > 0 {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
	})
}

// HTTP/1.1 knows less, and is treated with the same care.
func TestHTTP1Faults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := startPeer(t, "http/1.1")
		p.answers(func(w http.ResponseWriter, r *http.Request, n int) {
			if n == 2 {
				panic(http.ErrAbortHandler) // closes the connection
			}
			w.Header().Set("Connection", map[bool]string{true: "close"}[n == 3])
			w.WriteHeader(201)
		})
		c := p.client()
		for n, want := range []Outcome{Accepted, Unknown, Accepted, Accepted, Accepted} {
			receipt, err := c.Send(t.Context(), p.subscription("x"), &Message{Payload: []byte("x")})
			if OutcomeOf(err) != want || receipt.Attempts != 1 {
				t.Errorf("%d: %+v, %v", n+1, receipt, err)
			}
		}
		// The peer closes an idle connection: nothing is lost.
		p.server.SetKeepAlivesEnabled(false)
		p.server.SetKeepAlivesEnabled(true)
		if _, err := c.Send(t.Context(), p.subscription("x"), &Message{Payload: []byte("x")}); err != nil {
			t.Error(err)
		}
		if n := len(p.seen()); n != 6 {
			t.Errorf("%d requests", n)
		}
	})
}

// brokenWrites is a connection on which nothing can be written once it is broken,
// while reading goes on.
type brokenWrites struct {
	net.Conn
	broken *atomic.Bool
}

func (c brokenWrites) Write(b []byte) (int, error) {
	if c.broken.Load() {
		return 0, syscall.EPIPE
	}
	return c.Conn.Write(b)
}

// If not a byte of a request was written to HTTP/1.1, it is sent again on another connection.
func TestNothingWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := startPeer(t, "http/1.1")
		var last *atomic.Bool
		c := newClient(t, func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := p.listener.Dial(ctx)
			last = new(atomic.Bool)
			return brokenWrites{conn, last}, err
		})
		for range 3 {
			receipt, err := c.Send(t.Context(), p.subscription("x"), &Message{Payload: []byte("x")})
			if err != nil || receipt.Attempts != 1 {
				t.Errorf("%+v, %v", receipt, err)
			}
			last.Store(true)
		}
		if n := len(p.seen()); n != 3 {
			t.Errorf("%d requests", n)
		}
	})
}
