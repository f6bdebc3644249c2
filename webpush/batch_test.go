package webpush

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// pushes makes n pushes for subscriptions that path names.
func (p *peer) pushes(n int, path func(i int) string) iter.Seq[Push] {
	return func(yield func(Push) bool) {
		for i := range n {
			if !yield(Push{p.subscription(path(i)), &Message{Payload: fmt.Append(nil, i)}, i}) {
				return
			}
		}
	}
}

func TestSendAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := startPeer(t)
		p.answers(func(w http.ResponseWriter, r *http.Request, n int) {
			if r.URL.Path == "/7" {
				w.WriteHeader(410)
				return
			}
			w.WriteHeader(201)
		})
		c := p.client(func(c *Config) { c.BatchWindow = 16 })
		const n = 1000
		var seen [n]bool
		gone := 0
		input := func(yield func(Push) bool) {
			for push := range p.pushes(n, func(i int) string { return fmt.Sprint(i % 50) }) {
				if push.Tag == 500 {
					push.Message = &Message{} // invalid
				}
				if push.Tag == 501 {
					push.Subscription = nil
				}
				if !yield(push) {
					return
				}
			}
		}
		for i, r := range c.SendAll(t.Context(), input) {
			if seen[i] || r.Push.Tag != i {
				t.Fatalf("position %d: %+v", i, r)
			}
			seen[i] = true
			want := Accepted
			switch {
			case i == 500 || i == 501:
				want = NotSent
			case i%50 == 7:
				want = Rejected
				gone++
			}
			if r.Outcome != want || OutcomeOf(r.Err) != want {
				t.Errorf("%d: %+v", i, r)
			}
		}
		if slices.Contains(seen[:], false) || gone != n/50 || len(p.seen()) != n-2 {
			t.Errorf("%d gone, %d requests", gone, len(p.seen()))
		}
	})
}

// Messages for one subscription arrive in their order, whatever happens to them.
func TestSendAllKeepsOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := startPeer(t)
		var mu sync.Mutex
		refused := map[string]bool{}
		p.answers(func(w http.ResponseWriter, r *http.Request, n int) {
			mu.Lock()
			defer mu.Unlock()
			if n%5 == 0 && !refused[r.URL.Path] {
				refused[r.URL.Path] = true
				w.WriteHeader(503)
				return
			}
			w.WriteHeader(201)
		})
		for range p.client().SendAll(t.Context(), p.pushes(200, func(i int) string { return fmt.Sprint(i % 10) })) {
		}
		last := map[string]int{}
		for _, r := range p.seen() {
			var i int
			fmt.Sscan(r.payload, &i)
			if i < last[r.path] {
				t.Fatalf("%d after %d", i, last[r.path])
			}
			last[r.path] = i
		}
	})
}

// An origin that does not answer holds its own share, and the others go on.
func TestSlowOriginStopsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := startPeer(t)
		letGo := make(chan struct{})
		var slow, fast atomic.Int64
		p.answers(func(w http.ResponseWriter, r *http.Request, n int) {
			if r.Host == "slow."+pushHost {
				slow.Add(1)
				<-letGo
			} else {
				fast.Add(1)
			}
			w.WriteHeader(201)
		})
		c := p.client(func(c *Config) { c.MaxInFlightPerOrigin, c.MaxInFlight, c.BatchWindow = 8, 16, 1000 })
		const n = 800
		input := func(yield func(Push) bool) {
			for i := range n { // every second one is for the slow origin
				host := "slow."
				if i%2 == 1 {
					host = fmt.Sprintf("fast%d.", i%8)
				}
				s, err := p.receiver.Subscription(fmt.Sprintf("https://%s%s/%d", host, pushHost, i))
				if err != nil {
					t.Error(err)
				}
				if !yield(Push{s, &Message{Payload: []byte("x")}, nil}) {
					return
				}
			}
		}
		accepted := 0
		begun := time.Now()
		for _, r := range c.SendAll(t.Context(), input) {
			if r.Outcome != Accepted {
				t.Fatalf("%+v", r)
			}
			if accepted++; accepted == n/2 {
				synctest.Wait()
				if slow.Load() != 8 || fast.Load() != n/2 || time.Since(begun) > 0 {
					t.Errorf("%d slow, %d fast under way after %v", slow.Load(), fast.Load(), time.Since(begun))
				}
				close(letGo)
			}
		}
		if accepted != n {
			t.Errorf("%d accepted", accepted)
		}
	})
}

// No more is read from the input than the window holds, and no more is under way
// than is allowed, by us or by the peer.
func TestBounds(t *testing.T) {
	for streams, want := range map[int]int64{100: 5, 3: 3} {
		t.Run(fmt.Sprint(streams, " streams"), func(t *testing.T) { testBounds(t, streams, want) })
	}
}

func testBounds(t *testing.T, streams int, want int64) {
	synctest.Test(t, func(t *testing.T) {
		p := startPeer(t, "streams="+fmt.Sprint(streams))
		var now, most atomic.Int64
		p.answers(func(w http.ResponseWriter, r *http.Request, n int) {
			if v := now.Add(1); v > most.Load() {
				most.Store(v)
			}
			time.Sleep(time.Millisecond)
			now.Add(-1)
			w.WriteHeader(201)
		})
		var conns atomic.Int64
		c := newClient(t, func(ctx context.Context, network, address string) (net.Conn, error) {
			conns.Add(1)
			return p.listener.Dial(ctx)
		}, func(c *Config) { c.MaxInFlightPerOrigin, c.MaxInFlight, c.BatchWindow, c.MaxConnections = 8, 5, 20, 1 })
		read, settled := 0, 0
		input := func(yield func(Push) bool) {
			for push := range p.pushes(300, func(i int) string { return fmt.Sprint(i) }) {
				read++
				if !yield(push) {
					return
				}
			}
		}
		for range c.SendAll(t.Context(), input) {
			synctest.Wait()
			if settled++; read > settled+20+1 {
				t.Fatalf("%d read, %d settled", read, settled)
			}
		}
		if settled != 300 || most.Load() != want || conns.Load() != 1 {
			t.Errorf("%d settled, %d at once, %d connections", settled, most.Load(), conns.Load())
		}
	})
}

// However a batch ends, everything handed in has one outcome and nothing is left
// running (goleak, and the bubble, would tell).
func TestSendAllEnds(t *testing.T) {
	endless := func(p *peer, read *int) iter.Seq[Push] {
		return func(yield func(Push) bool) {
			for push := range p.pushes(1<<30, func(i int) string { return fmt.Sprint(i) }) {
				*read++
				if !yield(push) {
					return
				}
			}
		}
	}
	panics := func(t *testing.T, f func()) {
		defer func() {
			if recover() == nil {
				t.Error("the panic got lost")
			}
		}()
		f()
	}
	for name, test := range map[string]func(t *testing.T, p *peer, c *Client){
		"cancelled": func(t *testing.T, p *peer, c *Client) {
			ctx, cancel := context.WithTimeout(t.Context(), 3500*time.Millisecond)
			defer cancel()
			read, outcomes := 0, map[Outcome]int{}
			for _, r := range c.SendAll(ctx, endless(p, &read)) {
				outcomes[r.Outcome]++
			}
			if outcomes[Accepted] != 12 || outcomes[Unknown] != 4 || len(p.seen()) != 16 || outcomes[Rejected] != 0 || read != outcomes[Accepted]+outcomes[Unknown]+outcomes[NotSent] {
				t.Errorf("%d read, %v", read, outcomes)
			}
		},
		"left": func(t *testing.T, p *peer, c *Client) {
			read := 0
			for range c.SendAll(t.Context(), endless(p, &read)) {
				break
			}
			if read > 20 {
				t.Errorf("%d read", read)
			}
		},
		"closed": func(t *testing.T, p *peer, c *Client) {
			n := 0
			time.AfterFunc(1500*time.Millisecond, func() { c.Close(context.Background()) })
			for _, r := range c.SendAll(t.Context(), p.pushes(30, func(i int) string { return fmt.Sprint(i) })) {
				if r.Outcome != Accepted && !errors.Is(r.Err, ErrClosed) {
					t.Errorf("%+v", r)
				}
				n++
			}
			if n != 30 {
				t.Errorf("%d outcomes", n)
			}
		},
		"the input panics": func(t *testing.T, p *peer, c *Client) {
			panics(t, func() {
				for range c.SendAll(t.Context(), func(yield func(Push) bool) { panic("input") }) {
				}
			})
		},
		"the loop panics": func(t *testing.T, p *peer, c *Client) {
			panics(t, func() {
				read := 0
				for range c.SendAll(t.Context(), endless(p, &read)) {
					panic("loop")
				}
			})
		},
		"the loop's goroutine ends": func(t *testing.T, p *peer, c *Client) {
			read, done := 0, make(chan struct{})
			go func() {
				defer close(done)
				for range c.SendAll(t.Context(), endless(p, &read)) {
					runtime.Goexit()
				}
			}()
			<-done
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := startPeer(t)
				p.answers(func(w http.ResponseWriter, r *http.Request, n int) {
					select {
					case <-time.After(time.Second):
					case <-r.Context().Done():
					}
					w.WriteHeader(201)
				})
				test(t, p, p.client(func(c *Config) { c.BatchWindow, c.MaxInFlightPerOrigin = 10, 4 }))
			})
		})
	}
}

// Connections to origins that nobody sends to any more are closed, and their
// JWTs are kept.
func TestOriginsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := startPeer(t)
		var mu sync.Mutex
		open := map[string]int{}
		c := newClient(t, func(ctx context.Context, _, address string) (net.Conn, error) {
			conn, err := p.listener.Dial(ctx)
			mu.Lock()
			defer mu.Unlock()
			open[address]++
			return closing{conn, sync.OnceFunc(func() {
				mu.Lock()
				defer mu.Unlock()
				open[address]--
			})}, err
		}, func(c *Config) { c.MaxOrigins = 3 })
		send := func(host int) {
			s, err := p.receiver.Subscription(fmt.Sprintf("https://host%d.%s/x", host, pushHost))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Send(t.Context(), s, &Message{Payload: []byte("x")}); err != nil {
				t.Fatal(err)
			}
		}
		for host := range 10 {
			send(host)
			send(0) // is used all the time and stays
		}
		synctest.Wait()
		mu.Lock()
		total := 0
		for _, n := range open {
			total += n
		}
		if total != 3 || open["host0."+pushHost+":443"] != 1 || open["host9."+pushHost+":443"] != 1 {
			t.Errorf("open: %v", open)
		}
		mu.Unlock()
		first := p.seen()[4].header.Get("Authorization") // host 2
		send(2)
		if p.seen()[20].header.Get("Authorization") != first {
			t.Error("another JWT within an hour")
		}
		// Nothing is sent for a while.
		time.Sleep(idleTimeout + time.Second)
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		for address, n := range open {
			if n != 0 {
				t.Errorf("%s has %d connections", address, n)
			}
		}
	})
}

type closing struct {
	net.Conn
	closed func()
}

func (c closing) Close() error {
	c.closed()
	return c.Conn.Close()
}

// A connection that net/http does not take for idle yet ends with its origin, and
// so does one that is made too late.
func TestOriginClosesConnections(t *testing.T) {
	o := &origin{transport: &http.Transport{}, conns: map[*conn]struct{}{}}
	ends := 0
	dial := o.keep(func(context.Context, string, string) (net.Conn, error) {
		c, _ := net.Pipe()
		return closing{c, func() { ends++ }}, nil
	})
	open := func() net.Conn {
		t.Helper()
		c, err := dial(t.Context(), "tcp", "x")
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	early := open()
	open()
	if early.Close(); ends != 1 || len(o.conns) != 1 {
		t.Errorf("%d closed, %d known", ends, len(o.conns))
	}
	if o.close(); ends != 2 || len(o.conns) != 0 {
		t.Errorf("%d closed, %d known", ends, len(o.conns))
	}
	if _, err := dial(t.Context(), "tcp", "x"); !errors.Is(err, net.ErrClosed) || ends != 3 {
		t.Errorf("%v, %d closed", err, ends)
	}
}
