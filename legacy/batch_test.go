package legacy_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"aviso.example/apns"
	"aviso.example/legacy"
)

func TestPushAllMany(t *testing.T) {
	virtually(t, func(t *testing.T) {
		p := newPeer(t, func(c *peerConn) {
			for n, err := c.next(); err == nil; n, err = c.next() {
				if c.seen = c.seen[:0]; number(n.payload)%100 == 99 {
					c.refuse(8, n.id)
					return
				}
			}
		})
		client := newClient(t, p, nil)
		outcomes := map[apns.Outcome]int{}
		const count = 10_000
		for i, r := range pushAll(t.Context(), client, 0, count) {
			outcomes[r.Outcome]++
			if (i%100 == 99) != (r.Outcome == apns.Rejected) {
				t.Errorf("%d: %v", i, r.Err)
			}
		}
		if outcomes[apns.Rejected] != count/100 || outcomes[apns.Accepted] != count-count/100 {
			t.Errorf("%v", outcomes)
		}
		if s := client.Stats(); s.Open != 0 || s.Late != 0 || s.Dials < count/100 {
			t.Errorf("%+v", s)
		}
	})
}

// Leaving the loop ends what is under way; the client goes on.
func TestPushAllLeft(t *testing.T) {
	virtually(t, func(t *testing.T) {
		p := newPeer(t, (*peerConn).readAll)
		client := newClient(t, p, func(c *legacy.Config) { c.BatchWindow = 10 })
		read := 0
		endless := func(yield func(*apns.Notification) bool) {
			for i := 0; yield(numbered(i)); i++ {
				read++
			}
		}
		for range client.PushAll(t.Context(), endless) {
			break
		}
		if read > 3*10 {
			t.Errorf("%d were read", read)
		}
		if s := client.Stats(); s.Open != 0 {
			t.Errorf("%+v", s)
		}
		if _, err := client.Push(t.Context(), numbered(0)); err != nil {
			t.Error(err)
		}
	})
}

func TestPushAllCancelled(t *testing.T) {
	virtually(t, func(t *testing.T) {
		p := newPeer(t, (*peerConn).readAll)
		client := newClient(t, p, func(c *legacy.Config) { c.MaxInFlight, c.BatchWindow = 5, 10 })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun := time.Now()
		outcomes := map[apns.Outcome]int{}
		for _, r := range pushAll(ctx, client, 0, 100) {
			outcomes[r.Outcome]++
			if !errors.Is(r.Err, context.DeadlineExceeded) {
				t.Error(r.Err)
			}
		}
		// Ten in the window, and the one that was handed in when time was up.
		if outcomes[apns.Unknown] != 5 || outcomes[apns.NotSent] != 6 || time.Since(begun) != time.Second {
			t.Errorf("%v after %v", outcomes, time.Since(begun))
		}
	})
}

func TestPushAllPanics(t *testing.T) {
	virtually(t, func(t *testing.T) {
		client := newClient(t, newPeer(t, (*peerConn).readAll), nil)
		try := func(where string, run func()) {
			defer func() {
				if got := recover(); got != where {
					t.Errorf("%v, want a panic in the %s", got, where)
				}
				if s := client.Stats(); s.Open != 0 {
					t.Errorf("%+v", s)
				}
			}()
			run()
		}
		try("body", func() {
			for range client.PushAll(t.Context(), sequence(0, 10)) {
				panic("body")
			}
		})
		try("input", func() {
			for range client.PushAll(t.Context(), func(yield func(*apns.Notification) bool) {
				yield(numbered(1))
				panic("input")
			}) {
			}
		})
	})
}

// After Close, a batch of any size gets NotSent and does not hang.
func TestPushAllAfterClose(t *testing.T) {
	virtually(t, func(t *testing.T) {
		client := newClient(t, newPeer(t, (*peerConn).readAll), func(c *legacy.Config) { c.BatchWindow = 3 })
		client.Close(t.Context())
		results := pushAll(t.Context(), client, 0, 50)
		for i, r := range results {
			if r.Outcome != apns.NotSent || !errors.Is(r.Err, apns.ErrClosed) {
				t.Errorf("%d: %v", i, r.Err)
			}
		}
		if len(results) != 50 {
			t.Errorf("%d outcomes", len(results))
		}
	})
}

// Invalid ones among valid ones cost the others nothing.
func TestPushAllInvalid(t *testing.T) {
	virtually(t, func(t *testing.T) {
		client := newClient(t, newPeer(t, (*peerConn).readAll), func(c *legacy.Config) { c.BatchWindow = 3 })
		i := 0
		for r := range client.PushAll(t.Context(), func(yield func(*apns.Notification) bool) {
			for i := range 20 {
				n := numbered(i)
				if i%2 == 1 {
					n.DeviceToken = "no hexadecimal digits"
				}
				if !yield(n) {
					return
				}
			}
		}) {
			i++
			_, invalid := errors.AsType[*apns.InvalidError](r.Err)
			if odd := r.Notification.Tag.(int)%2 == 1; odd != invalid || odd != (r.Outcome == apns.NotSent) {
				t.Errorf("%v: %v", r.Notification.Tag, r.Err)
			}
		}
		if i != 20 {
			t.Errorf("%d outcomes", i)
		}
	})
}

// Many callers, cancellations, faults and a Close, under the race detector and
// in real time's disorder.
func TestChaos(t *testing.T) {
	p := newSocketPeer(t, func(c *peerConn) {
		life := rand.IntN(300)
		for n, err := c.next(); err == nil; n, err = c.next() {
			c.seen = c.seen[:0]
			if life--; life < 0 {
				switch rand.IntN(4) {
				case 0:
					c.refuse(8, n.id)
				case 1:
					c.refuse(10, n.id)
				case 2:
					c.raw.Close()
				case 3:
					c.Write([]byte{8, 8})
				}
				return
			}
		}
	})
	var hooked sync.Map
	client := newClient(t, p, func(c *legacy.Config) {
		c.SettleTime, c.MaxInFlight, c.BatchWindow = 20*time.Millisecond, 200, 100
		c.Hooks.OnOutcome = func(n *apns.Notification, _ apns.OutcomeEvent) {
			if _, twice := hooked.LoadOrStore(n, true); twice {
				t.Error("two outcomes for one notification")
			}
		}
	})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 50 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.IntN(60))*time.Millisecond)
				n := numbered(i)
				client.Push(ctx, n)
				n.Payload[0] = 'x' // the caller's again
				cancel()
			}
		})
		wg.Go(func() {
			for range 3 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.IntN(300))*time.Millisecond)
				handed, told := 0, 0
				for r := range client.PushAll(ctx, func(yield func(*apns.Notification) bool) {
					for i := range 1000 {
						handed++
						if !yield(numbered(i)) {
							return
						}
					}
				}) {
					told++
					r.Notification.Payload[0] = 'x'
				}
				if handed != told {
					t.Errorf("%d handed in, %d outcomes", handed, told)
				}
				cancel()
			}
		})
	}
	wg.Go(func() {
		time.Sleep(300 * time.Millisecond)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		client.Close(ctx)
	})
	wg.Wait()
	if s := client.Stats(); s.Open != 0 {
		t.Errorf("%+v", s)
	}
}

// Memory for a million notifications is that of the window.
func TestFlatMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("sends 300,000 notifications")
	}
	p := newSocketPeer(t, func(c *peerConn) {
		buf := make([]byte, 1<<16)
		for {
			if _, err := c.Read(buf); err != nil {
				return
			}
		}
	})
	client := newClient(t, p, func(c *legacy.Config) {
		c.SettleTime, c.MaxInFlight, c.BatchWindow = 10*time.Millisecond, 2000, 2000
	})
	n := numbered(1)
	var before, after runtime.MemStats
	sent := 0
	for range client.PushAll(t.Context(), func(yield func(*apns.Notification) bool) {
		for range 300_000 {
			if !yield(n) {
				return
			}
		}
	}) {
		if sent++; sent == 20_000 {
			runtime.GC()
			runtime.ReadMemStats(&before)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 1<<20 {
		t.Errorf("%d bytes more at the end than after 20,000", grown)
	}
	if mallocs := after.Mallocs - before.Mallocs; mallocs > 280_000/10 {
		t.Errorf("%d allocations for 280,000 notifications", mallocs)
	}
}

// Hooks hear of everything once.
func TestHooks(t *testing.T) {
	virtually(t, func(t *testing.T) {
		var events []string
		note := func(format string, args ...any) { events = append(events, fmt.Sprintf(format, args...)) }
		p := newPeer(t, func(c *peerConn) {
			if c.number == 1 && c.read(2) {
				time.Sleep(time.Second)
				c.refuse(8, c.seen[0].id)
				return
			}
			c.readAll()
		})
		client := newClient(t, p, func(c *legacy.Config) {
			c.Hooks = apns.Hooks{
				OnOutcome: func(n *apns.Notification, e apns.OutcomeEvent) {
					note("%v %v after %v", n.Tag, e.Outcome, e.Took)
				},
				OnRetry: func(n *apns.Notification, e apns.RetryEvent) { note("%v again: %v", n.Tag, e.Err) },
				OnConnection: func(e apns.ConnectionEvent) {
					note("%d %s, %d: %v", e.Connection, e.Kind, e.Answered, e.Err)
				},
			}
		})
		pushAll(t.Context(), client, 1, 2)
		client.Close(t.Context())
		synctest.Wait()
		want := []string{
			"1 connected, 0: <nil>",
			"1 rejected after 1s",
			"2 again: the server ended the connection with status 8 (invalid device token), identifier 1",
			"1 closed, 1: the server ended the connection with status 8 (invalid device token), identifier 1",
			"2 connected, 0: <nil>",
			"2 accepted after 4s",
			"2 closed, 1: <nil>",
		}
		if fmt.Sprint(events) != fmt.Sprint(want) {
			t.Errorf("got  %q\nwant %q", events, want)
		}
	})
}
