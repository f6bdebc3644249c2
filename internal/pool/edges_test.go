package pool

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"aviso.example/internal/h2"
)

// Both connections die at once; a call submitted while the manager is in the
// Middle of its look is offered to the corpse and nobody is told.
func TestWakeUpOfDeadConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.settings = maxStreams(1)
		s.serve = func(p *peer, id uint32) { s.wg.Go(func() { time.Sleep(100 * time.Millisecond); p.ok(id) }) }
		r := newRig(t, s, Config{MaxConns: 3})
		r.submit(60)
		r.accept(60)
		if n := len(r.pool.Stats().Conns); n != 3 {
			t.Fatal(n)
		}
		time.Sleep(time.Second)
		inner := r.pool.cfg.Event
		r.pool.cfg.Event = func(e Event) {
			inner(e)
			if e.Kind == Closed && e.Conn == 3 { // while the manager is busy, the other two die
				s.peers[0].nc.Close()
				s.peers[1].nc.Close()
				time.Sleep(50 * time.Millisecond)
			}
			if e.Kind == Closed && e.Conn == 1 {
				// Stands for any goroutine that submits while look() runs.
				r.pool.Submit(&h2.Call{Head: testHead, Path: []byte("/late"), Body: []byte("{}")})
			}
		}
		begin := time.Now()
		s.peers[2].nc.Close()
		r.result()
		for i, e := range r.events {
			t.Log(r.times[i].Sub(begin), e.Kind, e.Conn, e.Err)
		}
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("the call was stuck for %v with no connection and nobody dialling", took)
		}
	})
}

// A hungry connection whose limit was lowered swallows the wake-up although
// Another connection is idle.
func TestWakeUpOfConnectionWithoutRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.settings = maxStreams(2)
		s.serve = func(p *peer, id uint32) { s.wg.Go(func() { time.Sleep(100 * time.Millisecond); p.ok(id) }) }
		r := newRig(t, s, Config{MaxConns: 2})
		r.submit(60)
		r.accept(60)
		if n := len(r.pool.Stats().Conns); n != 2 {
			t.Fatal(n)
		}
		time.Sleep(2*time.Minute + time.Second)
		var victim *peer
		s.serve = func(p *peer, id uint32) {
			if victim == nil {
				victim = p // never answers this one, and lowers the limit
				p.write(func() { p.fr.WriteSettings(maxStreams(1)...) })
				return
			}
			p.ok(id)
		}
		r.submit(1)
		synctest.Wait()
		// The other connection is idle and must serve this.
		worst := time.Duration(0)
		for range 1 {
			begin := time.Now()
			r.submit(1) // goes to the idle one
			r.result()
			r.submit(1)
			r.result()
			worst = max(worst, time.Since(begin))
		}
		t.Logf("worst %v; %+v", worst, r.pool.Stats())
		if worst > time.Second {
			t.Errorf("a call waited %v with an idle connection next door", worst)
		}
	})
}

// The same with a connection that is blocked in Write.
func TestWakeUpOfConnectionInWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.settings = []http2.Setting{{ID: http2.SettingMaxConcurrentStreams, Val: 2}}
		s.serve = func(p *peer, id uint32) { s.wg.Go(func() { time.Sleep(100 * time.Millisecond); p.ok(id) }) }
		r := newRig(t, s, Config{MaxConns: 2})
		r.submit(60)
		r.accept(60)
		if n := len(r.pool.Stats().Conns); n != 2 {
			t.Fatal(n)
		}
		time.Sleep(time.Second)
		// Connection 1's peer allows much and stops reading.
		stop := make(chan struct{})
		defer close(stop)
		var stuck *peer
		s.serve = func(p *peer, id uint32) {
			if stuck == nil {
				stuck = p
				p.write(func() {
					p.fr.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 1000}, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 24})
					p.fr.WriteWindowUpdate(0, 1<<24)
				})
				<-stop
				return
			}
			if p == stuck {
				return
			}
			p.ok(id)
		}
		big := func(i int) {
			r.pool.Submit(&h2.Call{Head: testHead, Path: []byte("/big"), Body: make([]byte, 1<<20)})
		}
		r.submit(1)
		synctest.Wait()
		big(0)
		synctest.Wait()
		big(1)
		synctest.Wait()
		for i := range 3 {
			begin := time.Now()
			c := &h2.Call{Head: testHead, Path: []byte("/small"), Body: []byte("{}")}
			r.pool.Submit(c)
			for r.result() != c {
			}
			t.Logf("%d: %v %v", i, time.Since(begin), c.Err)
			if took := time.Since(begin); took > time.Second {
				t.Errorf("waited %v with an idle connection next door", took)
			}
			time.Sleep(100 * time.Millisecond)
		}
	})
}

// An old connection works, new ones cannot be dialled: calls are failed.
func TestOldConnectionServesWhileNoneCanBeHad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.settings = maxStreams(2)
		s.serve = func(p *peer, id uint32) { s.wg.Go(func() { time.Sleep(100 * time.Millisecond); p.ok(id) }) }
		dials := 0
		r := newRig(t, s, Config{MaxConns: 1, MaxAge: time.Minute, Dial: func(ctx context.Context) (net.Conn, error) {
			if dials++; dials > 1 {
				return nil, errors.New("no route to host")
			}
			return s.l.Dial(ctx)
		}})
		// steady load a little above the capacity of 20/s
		go func() {
			for range 22 * 120 {
				r.submit(1)
				time.Sleep(time.Second / 22)
			}
		}()
		ok, bad := 0, 0
		var last error
		for range 22 * 120 {
			if c := r.result(); c.Err != nil {
				bad++
				last = c.Err
			} else {
				ok++
			}
		}
		t.Logf("%d accepted, %d failed (%v), dials %d", ok, bad, last, dials)
		if bad > 0 {
			t.Errorf("%d calls failed although the connection serves", bad)
		}
	})
}

// One growth attempt failed long ago; the first failed dial of the next
// Outage fails everything at once instead of after ConnectWait.
func TestOldFailuresAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.settings = maxStreams(1)
		s.serve = func(p *peer, id uint32) { s.wg.Go(func() { time.Sleep(100 * time.Millisecond); p.ok(id) }) }
		dials := 0
		r := newRig(t, s, Config{MaxConns: 2, Dial: func(ctx context.Context) (net.Conn, error) {
			if dials++; dials == 2 || dials == 3 {
				return nil, errors.New("transient")
			}
			return s.l.Dial(ctx)
		}})
		r.submit(5) // 500 ms: one attempt to grow, which fails
		r.accept(5)
		if dials != 2 {
			t.Fatal(dials)
		}
		time.Sleep(3 * time.Hour)
		r.submit(1)
		r.accept(1) // all is well
		s.mu.Lock()
		s.peers[0].nc.Close() // the connection ends; the next dial fails once
		s.mu.Unlock()
		time.Sleep(time.Second)
		begin := time.Now()
		r.submit(1)
		c := r.result()
		t.Logf("after %v: %v", time.Since(begin), c.Err)
		if c.Err != nil {
			t.Errorf("failed after %v instead of waiting %v", time.Since(begin), DefaultConnectWait)
		}
	})
}

// A network that swallows packets.
func TestDialThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		r := newRig(t, s, Config{Dial: func(ctx context.Context) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() }})
		begin := time.Now()
		r.submit(1)
		c := r.result()
		t.Logf("after %v: %v", time.Since(begin), c.Err)
		if took := time.Since(begin); took > DefaultConnectWait+2*time.Second {
			t.Errorf("waited %v, ConnectWait is %v", took, DefaultConnectWait)
		}
	})
}

// A network that swallows packets for a while is found out when it does no more, and
// one that is slow is given its time all the same.
func TestDialsBesideOneThatHangs(t *testing.T) {
	for name, test := range map[string]struct {
		until, takes time.Duration // attempts before until hang; later ones take so long
		within       time.Duration
	}{
		"swallowed for 10 s": {10 * time.Second, 0, 11100 * time.Millisecond},
		"swallowed for 40 s": {40 * time.Second, 0, 41100 * time.Millisecond},
		"slow":               {0, 12 * time.Second, 12100 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t)
				begin := time.Now()
				r := newRig(t, s, Config{MaxDialPause: time.Second, ConnectWait: time.Hour, Dial: func(ctx context.Context) (net.Conn, error) {
					wait := test.takes
					if time.Since(begin) < test.until {
						wait = time.Hour
					}
					select {
					case <-time.After(wait):
						return s.l.Dial(ctx)
					case <-ctx.Done():
						return nil, ctx.Err()
					}
				}})
				r.submit(1)
				r.accept(1)
				if took := time.Since(begin); took > test.within {
					t.Errorf("it took %v, more than %v", took, test.within)
				}
			})
		})
	}
}

// Attempts that do not end when they are given up do not gather.
func TestDialsThatCannotBeGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		var under atomic.Int32
		end := make(chan struct{})
		r := newRig(t, s, Config{MaxDialPause: time.Second, ConnectWait: time.Hour, Dial: func(ctx context.Context) (net.Conn, error) {
			under.Add(1)
			defer under.Add(-1)
			<-end
			return s.l.Dial(ctx)
		}})
		r.submit(1)
		time.Sleep(2 * time.Minute)
		if n := under.Load(); n != 2*mostDials {
			t.Errorf("%d attempts are under way, not %d", n, 2*mostDials)
		}
		close(end)
		r.accept(1)
	})
}

// An attempt that has been going on for long is not given up for one that may not be
// made: here each would have led to a connection after six seconds.
func TestNoDialIsGivenUpForNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		var given atomic.Int32
		r := newRig(t, s, Config{MaxDialPause: 100 * time.Millisecond, ConnectWait: time.Hour, Dial: func(ctx context.Context) (net.Conn, error) {
			select {
			case <-time.After(6 * time.Second):
				return s.l.Dial(ctx)
			case <-ctx.Done():
				given.Add(1)
				return nil, ctx.Err()
			}
		}})
		r.submit(1)
		time.Sleep(5 * time.Second)
		dials := r.pool.Stats().Dials
		if n := int(given.Load()); n > int(dials)-mostDials {
			t.Errorf("%d of %d attempts were given up while %d may be under way", n, dials, mostDials)
		}
		r.accept(1)
	})
}

// Draining connections do not count: MaxConns is exceeded.
func TestEndingConnectionsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.serve = func(p *peer, id uint32) {
			if id == 1 {
				p.ok(id)
				return
			}
			// answers nothing any more, and says goodbye including this stream
			p.write(func() { p.fr.WriteGoAway(id, http2.ErrCodeNo, nil) })
		}
		r := newRig(t, s, Config{MaxConns: 1})
		worst := 0
		for range 200 {
			r.submit(1)
			time.Sleep(250 * time.Millisecond)
			worst = max(worst, len(r.pool.Stats().Conns))
		}
		t.Logf("%d connections open at once, MaxConns 1", worst)
		if worst > 3 { // one that serves, one that ends, and one being cut off
			t.Errorf("%d connections open at once, MaxConns is 1", worst)
		}
	})
}

// Callers with short deadlines make a healthy connection suspect.
func TestShortDeadlinesDoNotMakeSuspect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.settings = maxStreams(1000)
		s.serve = func(p *peer, id uint32) { s.wg.Go(func() { time.Sleep(100 * time.Millisecond); p.ok(id) }) }
		r := newRig(t, s, Config{})
		stop := time.Now().Add(60 * time.Second)
		n := 0
		for time.Now().Before(stop) {
			// 20 patient calls and 3 with little time left, every 50 ms
			for i := range 23 {
				c := &h2.Call{Head: testHead, Path: []byte("/x"), Body: []byte("{}")}
				if i < 3 {
					c.Deadline = time.Now().Add(90 * time.Millisecond)
				}
				r.pool.Submit(c)
				n++
			}
			time.Sleep(50 * time.Millisecond)
		}
		ok := 0
		for range n {
			if c := r.result(); c.Err == nil {
				ok++
			}
		}
		d, why := r.seen(Draining)
		t.Logf("%d of %d accepted; %d dials; %d drained, last: %v", ok, n, r.pool.Stats().Dials, d, why)
		if r.pool.Stats().Dials > 3 {
			t.Errorf("%d dials in a minute; the connection was healthy all the time", r.pool.Stats().Dials)
		}
	})
}

// Take hands out a call whose time is over.
func TestLateCallsAreNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.settings = maxStreams(1)
		first := true
		s.serve = func(p *peer, id uint32) {
			if first {
				first = false
				s.wg.Go(func() { time.Sleep(time.Second); p.ok(id) })
				return
			}
			p.ok(id)
		}
		r := newRig(t, s, Config{MaxConns: 1})
		r.submit(1)
		synctest.Wait()
		c := &h2.Call{Head: testHead, Path: []byte("/late"), Body: []byte("{}"), Deadline: time.Now().Add(time.Second)}
		c.NotAfter = c.Deadline
		r.pool.Submit(c)
		for range 2 {
			if c := r.result(); string(c.Path) == "/late" {
				if s.paths["/late"] > 0 || !notProcessed(c) {
					t.Errorf("%v (written: %d)", c.Err, s.paths["/late"])
				}
			}
		}
	})
}

// A DialContext (or Proxy function) that ignores its context.
func TestCloseWithDialThatIgnoresItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		r := newRig(t, s, Config{Dial: func(context.Context) (net.Conn, error) {
			time.Sleep(time.Hour)
			return nil, errors.New("late")
		}})
		r.submit(1)
		time.Sleep(time.Millisecond)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin := time.Now()
		r.pool.Close(ctx)
		if took := time.Since(begin); took > 2*time.Second {
			t.Errorf("Close took %v with a context of 1s", took)
		}
		time.Sleep(time.Hour) // for the dial
	})
}

// GOAWAY on a hungry connection with one silent stream; a call submitted
// Between look's load() and its starve() is offered to the draining connection.
func TestWakeUpOfDrainingConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.settings = maxStreams(100)
		s.serve = func(p *peer, id uint32) {
			if id == 3 && p.number == 1 {
				p.write(func() { p.fr.WriteGoAway(3, http2.ErrCodeNo, nil) }) // and no answer
				return
			}
			p.ok(id)
		}
		var r *rig
		once := false
		r = newRig(t, s, Config{Permanent: func(error) bool {
			if !once { // runs inside look(); stands for any other goroutine
				once = true
				t.Log("hungry", r.pool.queue.hungryN.Load(), "signal", len(r.pool.signal), "watching", r.pool.watching.Load())
				r.pool.Submit(&h2.Call{Head: testHead, Path: []byte("/late"), Body: []byte("{}")})
			}
			return false
		}})
		r.submit(1)
		r.accept(1)
		time.Sleep(time.Second)
		begin := time.Now()
		r.submit(1)
		for {
			c := r.result()
			t.Log(time.Since(begin), string(c.Path), c.Err, r.events)
			if string(c.Path) == "/late" {
				break
			}
		}
		if took := time.Since(begin); took > time.Second {
			t.Errorf("a call was stuck for %v; dials %d", took, r.pool.Stats().Dials)
		}
	})
}
