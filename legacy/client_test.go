package legacy_test

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"aviso.example/apns"
	"aviso.example/legacy"
)

// Silence for the settling time is success, exactly.
func TestPushSettles(t *testing.T) {
	virtually(t, func(t *testing.T) {
		p := newPeer(t, (*peerConn).readAll)
		client := newClient(t, p, func(c *legacy.Config) { c.SettleTime = 7 * time.Second })
		begun := time.Now()
		n := numbered(1)
		n.ID = apns.NewID()
		receipt, err := client.Push(t.Context(), n)
		if took := time.Since(begun); err != nil || took != 7*time.Second {
			t.Errorf("%v after %v", err, took)
		}
		if receipt.ID != n.ID || receipt.Attempts != 1 {
			t.Errorf("%+v", receipt)
		}
		if err := client.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := client.Push(t.Context(), n); !errors.Is(err, apns.ErrClosed) || apns.OutcomeOf(err) != apns.NotSent {
			t.Error(err)
		}
	})
}

// The worked bytes of the protocol description, from a Notification.
func TestBytesOnTheWire(t *testing.T) {
	device, payload := wireDevice, string(unhex(wirePayload))
	for name, tc := range map[string]struct {
		change func(*apns.Notification)
		wire   string
	}{
		"everything": {
			func(n *apns.Notification) {
				n.Priority, n.Expiration = apns.PriorityImmediate, apns.ExpireAt(time.Unix(1767225600, 0))
			},
			"02 0000004e 01 0020" + wireDevice + "02 0016" + wirePayload + "03 0004 01020304 04 0004 6955b900 05 0001 0a",
		},
		// Without an expiration there is no item, which is not the same as 0.
		"as little as possible": {
			func(*apns.Notification) {},
			"02 00000047 01 0020" + wireDevice + "02 0016" + wirePayload + "03 0004 01020304 05 0001 0a",
		},
		"upper case, background, once": {
			func(n *apns.Notification) {
				n.DeviceToken, n.PushType = strings.ToUpper(n.DeviceToken), apns.PushTypeBackground
				n.Expiration = apns.ExpireImmediately
			},
			"02 0000004e 01 0020" + wireDevice + "02 0016" + wirePayload + "03 0004 01020304 04 0004 00000000 05 0001 05",
		},
	} {
		t.Run(name, func(t *testing.T) {
			virtually(t, func(t *testing.T) {
				got := make(chan []byte, 1)
				p := newPeer(t, func(c *peerConn) {
					all, _ := io.ReadAll(c)
					got <- all
				})
				client := newClient(t, p, nil)
				client.SetIdentifier(0x01020304)
				n := &apns.Notification{DeviceToken: device, Payload: []byte(payload)}
				tc.change(n)
				if _, err := client.Push(t.Context(), n); err != nil {
					t.Fatal(err)
				}
				client.Close(t.Context())
				if all := <-got; !slices.Equal(all, unhex(tc.wire)) {
					t.Errorf("%x, want %x", all, unhex(tc.wire))
				}
			})
		})
	}
}

// Everything that waits goes out together, in full TLS records.
func TestBatching(t *testing.T) {
	virtually(t, func(t *testing.T) {
		var sizes []int
		done := make(chan struct{})
		p := newPeer(t, func(c *peerConn) {
			defer close(done)
			buf := make([]byte, 1<<20) // Read returns one record
			for {
				n, err := c.Read(buf)
				if err != nil {
					return
				}
				sizes = append(sizes, n)
			}
		})
		client := newClient(t, p, func(c *legacy.Config) {
			c.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
				time.Sleep(time.Second) // until all wait
				return p.dial(ctx, network, address)
			}
		})
		var wg sync.WaitGroup
		const count = 1000
		for i := range count {
			wg.Go(func() {
				if _, err := client.Push(t.Context(), numbered(i)); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		client.Close(t.Context())
		<-done
		total := 0
		for _, n := range sizes {
			if total += n; n > legacy.BatchSize {
				t.Errorf("a record of %d bytes", n)
			}
		}
		if most := total/legacy.BatchSize + 2; len(sizes) > most {
			t.Errorf("%d bytes in %d records, want %d at most", total, len(sizes), most)
		}
	})
}

// What is written and has not settled is bounded, and settling makes room.
func TestWindow(t *testing.T) {
	virtually(t, func(t *testing.T) {
		p := newPeer(t, (*peerConn).readAll)
		client := newClient(t, p, func(c *legacy.Config) { c.MaxInFlight, c.BatchWindow, c.SettleTime = 4, 100, time.Second })
		begun := time.Now()
		for i, r := range pushAll(t.Context(), client, 0, 20) {
			if r.Outcome != apns.Accepted {
				t.Errorf("%d: %v", i, r.Err)
			}
		}
		if took := time.Since(begun); took != 5*time.Second {
			t.Errorf("20 in fours took %v", took)
		}
	})
}

// A new connection is not trusted with everything at once, so that a refusal
// costs little; silence doubles what it gets.
func TestBurst(t *testing.T) {
	virtually(t, func(t *testing.T) {
		p := newPeer(t, func(c *peerConn) {
			if n, err := c.next(); err == nil && c.number == 1 {
				time.Sleep(legacy.BurstPeriod - time.Millisecond)
				c.refuse(8, n.id)
				return
			}
			for c.read(1) {
				c.seen = c.seen[:0]
			}
		})
		client := newClient(t, p, nil)
		begun := time.Now()
		const count = 1 + 512*(1+2+4+8) // in four periods
		for i, r := range pushAll(t.Context(), client, 0, count) {
			if (i == 0) != (r.Outcome == apns.Rejected) {
				t.Errorf("%d: %v", i, r.Err)
			}
		}
		if s := client.Stats(); s.Resends != legacy.FirstBurst-1 {
			t.Errorf("%+v", s)
		}
		if took := time.Since(begun); took != 4*legacy.BurstPeriod-time.Millisecond+legacy.DefaultSettleTime {
			t.Errorf("after %v", took)
		}
		// A silence of long ago does not count.
		time.Sleep(time.Minute)
		begun = time.Now()
		pushAll(t.Context(), client, 0, legacy.FirstBurst+1)
		if took := time.Since(begun); took != legacy.BurstPeriod+legacy.DefaultSettleTime {
			t.Errorf("after %v", took)
		}
	})
}

func TestContexts(t *testing.T) {
	virtually(t, func(t *testing.T) {
		p := newPeer(t, (*peerConn).readAll)
		client := newClient(t, p, nil)
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun := time.Now()
		receipt, err := client.Push(short, numbered(1))
		if apns.OutcomeOf(err) != apns.Unknown || !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != time.Second || receipt.Attempts != 1 {
			t.Errorf("written, and given up: %v after %v, %+v", err, time.Since(begun), receipt)
		}
		if _, err := client.Push(short, numbered(2)); apns.OutcomeOf(err) != apns.NotSent {
			t.Errorf("given up before: %v", err)
		}
		p.listener.Close()
		client2 := newClient(t, p, func(c *legacy.Config) { c.MaxInFlight = 1 })
		for i := range 3 { // slots of what was given up are free again
			soon, cancel := context.WithTimeout(t.Context(), time.Second)
			begun := time.Now()
			if _, err := client2.Push(soon, numbered(i)); apns.OutcomeOf(err) != apns.NotSent || time.Since(begun) != time.Second {
				t.Errorf("waiting: %v after %v", err, time.Since(begun))
			}
			cancel()
			time.Sleep(20 * time.Millisecond)
		}
		p3 := newPeer(t, (*peerConn).readAll)
		client3 := newClient(t, p3, func(c *legacy.Config) { c.MaxInFlight = 1 })
		for i := range 3 { // and so are slots of what has settled
			if _, err := client3.Push(t.Context(), numbered(i)); err != nil {
				t.Error(err)
			}
		}
		soon, cancelSoon := context.WithTimeout(t.Context(), time.Second)
		defer cancelSoon()
		client3.Push(soon, numbered(3))
		begun = time.Now()
		if _, err := client3.Push(t.Context(), numbered(4)); err != nil || time.Since(begun) != 2*legacy.DefaultSettleTime-time.Second {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
		// A context's cause that is another notification's outcome stays text.
		caused, cancelCause := context.WithCancelCause(t.Context())
		cancelCause(&apns.RejectedError{Status: 410, Reason: apns.ReasonUnregistered})
		if _, err := client.Push(caused, numbered(3)); apns.OutcomeOf(err) != apns.NotSent || errors.Is(err, apns.ReasonUnregistered) {
			t.Error(err)
		}
	})
}

// Without a connection, notifications wait for ConnectWait, or their deadline,
// or their expiration.
func TestNoConnection(t *testing.T) {
	virtually(t, func(t *testing.T) {
		p := newPeer(t, (*peerConn).readAll)
		p.listener.Close()
		client := newClient(t, p, func(c *legacy.Config) { c.ConnectWait = 10 * time.Second })
		push := func(n *apns.Notification, want time.Duration, says string) {
			t.Helper()
			begun := time.Now()
			_, err := client.Push(t.Context(), n)
			if apns.OutcomeOf(err) != apns.NotSent || !strings.Contains(err.Error(), says) {
				t.Error(err)
			}
			if took := time.Since(begun); took < want || took > want+20*time.Millisecond {
				t.Errorf("after %v, want %v", took, want)
			}
		}
		push(numbered(1), 10*time.Second, "Nothing listens there")
		expires := numbered(2)
		expires.Expiration = apns.ExpireAt(time.Now().Add(3 * time.Second))
		push(expires, 3*time.Second, "could not be sent in time")
		// Backing off: 1, 2, 4, … seconds, each times 1/2 to 1.
		if dials := client.Stats().Dials; dials < 4 || dials > 7 {
			t.Errorf("%d dials in 13 s", dials)
		}
		if s := client.Stats(); s.Open != 0 || s.Connected || s.DialFailures != s.Dials {
			t.Errorf("%+v", s)
		}
	})
}

// A server that ends every connection before anything settles is not stormed.
func TestNoStorm(t *testing.T) {
	virtually(t, func(t *testing.T) {
		p := newPeer(t, func(c *peerConn) { c.read(1) })
		client := newClient(t, p, func(c *legacy.Config) {
			c.ResendUnknown, c.MaxAttempts, c.Timeout, c.ConnectWait = true, 1000, time.Hour, time.Hour
		})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		results := pushAll(ctx, client, 0, 3)
		for i, r := range results {
			if r.Outcome != apns.Unknown {
				t.Errorf("%d: %v", i, r.Err)
			}
		}
		// At most one a minute once the pause has grown, half of that at least.
		if n := p.connections(); n < 10 || n > 28 {
			t.Errorf("%d connections in ten minutes", n)
		}
	})
}

// Each bad device token costs a connection, but many of them do not make a
// storm.
func TestReconnectsArePaced(t *testing.T) {
	virtually(t, func(t *testing.T) {
		p := newPeer(t, func(c *peerConn) {
			if n, err := c.next(); err == nil {
				c.refuse(8, n.id)
			}
		})
		client := newClient(t, p, nil)
		const count = 100
		begun := time.Now()
		for i, r := range pushAll(t.Context(), client, 0, count) {
			if r.Outcome != apns.Rejected {
				t.Errorf("%d: %v", i, r.Err)
			}
		}
		slow := time.Duration(count-legacy.DialBurst-count/legacy.EarnedBack-1) * legacy.DialEvery
		if took := time.Since(begun); took < slow || took > slow+3*time.Second {
			t.Errorf("%d connections took %v", count, took)
		}
	})
}

func TestClose(t *testing.T) {
	t.Run("waits", func(t *testing.T) {
		virtually(t, func(t *testing.T) {
			p := newPeer(t, (*peerConn).readAll)
			client := newClient(t, p, nil)
			var err error
			var wg sync.WaitGroup
			wg.Go(func() { _, err = client.Push(t.Context(), numbered(1)) })
			synctest.Wait()
			begun := time.Now()
			if err := client.Close(t.Context()); err != nil {
				t.Error(err)
			}
			wg.Wait()
			if took := time.Since(begun); err != nil || took != legacy.DefaultSettleTime {
				t.Errorf("%v after %v", err, took)
			}
		})
	})
	t.Run("hears a late packet", func(t *testing.T) {
		virtually(t, func(t *testing.T) {
			p := newPeer(t, func(c *peerConn) {
				if c.number == 1 {
					c.read(3)
					time.Sleep(time.Second)
					c.refuse(8, c.seen[1].id)
					return
				}
				c.readAll()
			})
			client := newClient(t, p, nil)
			var results map[int]apns.Result
			var wg sync.WaitGroup
			wg.Go(func() { results = pushAll(t.Context(), client, 0, 3) })
			synctest.Wait()
			begun := time.Now()
			if err := client.Close(t.Context()); err != nil {
				t.Error(err)
			}
			wg.Wait()
			if took := time.Since(begun); took != time.Second+legacy.DefaultSettleTime {
				t.Errorf("after %v", took)
			}
			wantStatus(t, results[1].Err, legacy.StatusInvalidDeviceToken)
			if results[0].Outcome != apns.Accepted || results[2].Outcome != apns.Accepted || results[2].Receipt.Attempts != 1 {
				t.Errorf("%+v", results)
			}
		})
	})
	t.Run("has no time", func(t *testing.T) {
		virtually(t, func(t *testing.T) {
			p := newPeer(t, (*peerConn).readAll)
			client := newClient(t, p, func(c *legacy.Config) { c.MaxInFlight, c.BatchWindow = 2, 10 })
			var results map[int]apns.Result
			var wg sync.WaitGroup
			wg.Go(func() { results = pushAll(t.Context(), client, 0, 10) })
			synctest.Wait()
			begun := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if err := client.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
			wg.Wait()
			if took := time.Since(begun); took != time.Second {
				t.Errorf("after %v", took)
			}
			for i, r := range results {
				want := apns.NotSent
				if i < 2 {
					want = apns.Unknown
				}
				if r.Outcome != want || !errors.Is(r.Err, apns.ErrClosed) {
					t.Errorf("%d: %v", i, r.Err)
				}
			}
			client.Close(ctx) // again is allowed
		})
	})
}

// While the server does not read, its silence is not success.
func TestSlowReader(t *testing.T) {
	virtually(t, func(t *testing.T) {
		p := newPeer(t, func(c *peerConn) {
			if c.number == 1 {
				time.Sleep(time.Hour) // never reads
			}
			c.readAll()
		})
		big := make([]byte, 2000)
		for i := range big {
			big[i] = ' '
		}
		big[0], big[len(big)-1] = '{', '}'
		client := newClient(t, p, nil)
		outcomes := map[apns.Outcome]int{}
		begun := time.Now()
		// More than the network holds.
		for r := range client.PushAll(t.Context(), func(yield func(*apns.Notification) bool) {
			for range 500 {
				if !yield(&apns.Notification{DeviceToken: wireDevice, Payload: big}) {
					return
				}
			}
		}) {
			outcomes[r.Outcome]++
			if r.Outcome == apns.Accepted && time.Since(begun) < legacy.WriteTimeout {
				t.Fatal("accepted by a server that reads nothing")
			}
		}
		// What had not left whole is sent on the second connection.
		if outcomes[apns.Unknown] == 0 || outcomes[apns.Accepted] < 300 || outcomes[apns.Unknown]+outcomes[apns.Accepted] != 500 {
			t.Errorf("%v", outcomes)
		}
	})
}

// TLS 1.3 refuses a client certificate after the client is done: nothing was
// processed, and waiting does not help.
func TestCertificateRefused(t *testing.T) {
	virtually(t, func(t *testing.T) {
		p := newPeer(t, (*peerConn).readAll)
		p.tls.ClientCAs = nil // knows nobody
		client := newClient(t, p, nil)
		begun := time.Now()
		_, err := client.Push(t.Context(), numbered(1))
		refused, ok := errors.AsType[*apns.ConnectError](err)
		if !ok || apns.OutcomeOf(err) != apns.NotSent || !strings.Contains(refused.Hint, "refused the client certificate") || time.Since(begun) > time.Second {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
	})
	virtually(t, func(t *testing.T) {
		p := newPeer(t, (*peerConn).readAll)
		client := newClient(t, p, func(c *legacy.Config) { c.ExtraRoots = nil })
		_, err := client.Push(t.Context(), numbered(1))
		if refused, ok := errors.AsType[*apns.ConnectError](err); !ok || !strings.Contains(refused.Hint, "ExtraRoots") {
			t.Error(err)
		}
	})
}
