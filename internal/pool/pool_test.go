package pool

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"aviso.example/internal/h2"
)

func maxStreams(n uint32) []http2.Setting {
	return []http2.Setting{{ID: http2.SettingMaxConcurrentStreams, Val: n}}
}

func TestOneConnectionServesABurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.settings = maxStreams(10)
		r := newRig(t, s, Config{})
		if n := len(r.pool.Stats().Conns); n != 0 {
			t.Fatalf("%d connections before the first call", n)
		}
		r.submit(5000)
		r.accept(5000)
		if st := r.pool.Stats(); st.Dials != 1 {
			t.Errorf("%d dials for a burst that one connection can take", st.Dials)
		}
	})
}

// A peer that starts at one stream, as APNs does with provider tokens, must not
// provoke further connections.
func TestWarmUpDoesNotStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.settings = maxStreams(1)
		s.serve = func(p *peer, id uint32) {
			time.Sleep(400 * time.Millisecond)
			p.write(func() { p.fr.WriteSettings(maxStreams(1000)...) })
			s.serve = nil
			p.ok(id)
		}
		r := newRig(t, s, Config{})
		r.submit(500)
		r.accept(500)
		if st := r.pool.Stats(); st.Dials != 1 {
			t.Errorf("%d dials", st.Dials)
		}
	})
}

func TestGrowsUnderLoadAndShrinksAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.settings = maxStreams(2)
		s.serve = func(p *peer, id uint32) { // 100 ms away, two streams: 20 a second each
			s.wg.Go(func() { time.Sleep(100 * time.Millisecond); p.ok(id) })
		}
		r := newRig(t, s, Config{MaxConns: 3})
		begin := time.Now()
		r.submit(600)
		r.accept(600)
		if took := time.Since(begin); took > 13*time.Second {
			t.Errorf("three connections took %v, one would take 30 s", took)
		}
		if n := len(r.pool.Stats().Conns); n != 3 {
			t.Errorf("%d connections, want 3", n)
		}
		time.Sleep(DefaultIdleTimeout + 2*time.Minute)
		synctest.Wait()
		if n := len(r.pool.Stats().Conns); n != 1 {
			t.Errorf("%d connections after being idle, want 1", n)
		}
	})
}

func TestGoAwayMovesCallsElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.serve = func(p *peer, id uint32) {
			if id/2 >= 500 { // every connection ends after 500 requests
				p.write(func() { p.fr.WriteGoAway(999, http2.ErrCodeNo, nil) })
				if id == 1001 {
					return
				}
			}
			if id < 1000 {
				p.ok(id)
			}
		}
		r := newRig(t, s, Config{MaxConns: 1})
		r.resend = true
		r.submit(2000)
		r.accept(2000)
		for path, n := range s.paths {
			if n > 4 {
				t.Errorf("%s was sent %d times", path, n)
			}
		}
		if d := r.pool.Stats().Dials; d < 4 || d > 6 {
			t.Errorf("%d connections for 2000 calls at 500 each", d)
		}
	})
}

func TestResetsAreSurvivedWithoutStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.settings = maxStreams(10)
		s.serve = func(p *peer, id uint32) {
			if id > 100 {
				p.nc.Reset()
				return
			}
			p.ok(id)
		}
		r := newRig(t, s, Config{MaxConns: 1})
		r.resend = true
		begin := time.Now()
		r.submit(2000)
		unknown := 0
		for range 2000 {
			if c := r.result(); c.Err != nil {
				unknown++
			}
		}
		st, took := r.pool.Stats(), time.Since(begin)
		if limit := dialBurst + uint64(took/dialEvery) + 1; st.Dials > limit {
			t.Errorf("%d dials in %v, at most %d are allowed", st.Dials, took, limit)
		}
		if unknown > int(st.Dials)*10 {
			t.Errorf("%d calls unanswered after %d resets with 10 streams", unknown, st.Dials)
		}
	})
}

func TestNoConnection(t *testing.T) {
	refused := errors.New("refused")
	t.Run("calls wait, then fail with the reason", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newServer(t)
			r := newRig(t, s, Config{Dial: func(context.Context) (net.Conn, error) { return nil, refused }})
			begin := time.Now()
			r.submit(3)
			for range 3 {
				c := r.result()
				var w *WaitError
				if !errors.As(c.Err, &w) || !errors.Is(c.Err, refused) || w.Permanent {
					t.Errorf("%v", c.Err)
				}
			}
			if took := time.Since(begin); took < DefaultConnectWait || took > DefaultConnectWait+time.Second {
				t.Errorf("failed after %v", took)
			}
			// Attempts double in distance: at 1, 2, 4, 8 s at the latest.
			if d := r.pool.Stats().Dials; d < 4 || d > 7 {
				t.Errorf("%d dials in 15 s", d)
			}
			// Once down, calls fail at once, but each pause ends with a try.
			for range 100 {
				r.submit(1)
				r.result()
				time.Sleep(time.Second)
			}
			if d := r.pool.Stats().Dials; d > 14 {
				t.Errorf("%d dials in 115 s", d)
			}
		})
	})
	t.Run("permanent failures end the wait", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newServer(t)
			r := newRig(t, s, Config{
				Dial:      func(context.Context) (net.Conn, error) { return nil, refused },
				Permanent: func(error) bool { return true },
			})
			begin := time.Now()
			r.submit(3)
			for range 3 {
				var w *WaitError
				if c := r.result(); !errors.As(c.Err, &w) || !w.Permanent {
					t.Error(c.Err)
				}
			}
			if took := time.Since(begin); took > 0 {
				t.Errorf("failed after %v", took)
			}
		})
	})
	t.Run("a server that ends connections before any answer", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newServer(t)
			s.serve = func(p *peer, _ uint32) {
				p.write(func() { p.fr.WriteGoAway(0, http2.ErrCodeNo, []byte(`{"reason":"BadCertificateEnvironment"}`)) })
				p.nc.Close()
			}
			r := newRig(t, s, Config{Permanent: func(err error) bool {
				_, ok := errors.AsType[*h2.GoAwayError](err)
				return ok
			}})
			r.resend = true
			r.submit(1)
			c := r.result()
			if g, ok := errors.AsType[*h2.GoAwayError](c.Err); !ok || len(g.Debug) == 0 {
				t.Errorf("%v", c.Err)
			}
			if d := r.pool.Stats().Dials; d != 1 {
				t.Errorf("%d dials", d)
			}
		})
	})
	t.Run("it comes back", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newServer(t)
			up := time.Now().Add(5 * time.Second)
			r := newRig(t, s, Config{Dial: func(ctx context.Context) (net.Conn, error) {
				if time.Now().Before(up) {
					return nil, refused
				}
				return s.l.Dial(ctx)
			}})
			r.submit(10)
			r.accept(10)
		})
	})
}

func TestSilentConnectionIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.serve = func(p *peer, id uint32) {
			if p.number == 1 && id > 20 {
				p.nc.Freeze()
				return
			}
			p.ok(id)
		}
		r := newRig(t, s, Config{MaxConns: 1})
		r.submit(10)
		r.accept(10)
		begin := time.Now()
		r.submit(50)
		silent := 0
		for range 50 {
			if c := r.result(); errors.Is(c.Err, h2.ErrSilent) {
				silent++
			}
		}
		r.submit(1)
		r.accept(1)
		// The manager may see the end at its next look only.
		least := h2.DefaultPingAfter + h2.DefaultPingTimeout
		if took := time.Since(begin); silent == 0 || took < least || took > least+lookAgain {
			t.Errorf("%d calls ended with the silent connection after %v", silent, took)
		}
	})
}

func TestStuckAtOneStreamIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.settings = maxStreams(1)
		s.serve = func(p *peer, id uint32) {
			if p.number == 1 {
				time.Sleep(time.Second)
			} else {
				p.write(func() { p.fr.WriteSettings(maxStreams(100)...) })
			}
			p.ok(id)
		}
		r := newRig(t, s, Config{MaxConns: 1})
		r.submit(100)
		r.accept(100)
		if n, err := r.seen(Draining); n != 1 || !errors.Is(err, errStuck) {
			t.Errorf("%d connections drained: %v", n, err)
		}
	})
}

func TestOldConnectionsAreReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		r := newRig(t, s, Config{MaxAge: time.Hour})
		for range 5 * 60 {
			r.submit(1)
			r.accept(1)
			time.Sleep(time.Minute)
		}
		if d := r.pool.Stats().Dials; d < 4 || d > 6 {
			t.Errorf("%d connections in five hours", d)
		}
	})
}

func TestCancelAndExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.settings = maxStreams(1)
		s.serve = func(p *peer, id uint32) {} // never answers
		r := newRig(t, s, Config{MaxConns: 1})
		cause := errors.New("no longer needed")
		expiring := &h2.Call{Head: testHead, Path: []byte("/e"), Body: []byte("{}")}
		begin := time.Now()
		expiring.NotAfter = begin.Add(7 * time.Second)
		calls := r.submit(3)
		r.pool.Submit(expiring)
		later := &h2.Call{Head: testHead, Path: []byte("/l")}
		r.pool.Again(later, time.Hour)
		synctest.Wait()

		r.pool.Cancel(calls[1], cause) // queued
		if c := r.result(); c != calls[1] || !notProcessed(c) || !errors.Is(c.Err, cause) {
			t.Error(c.Err)
		}
		r.pool.Cancel(later, cause) // delayed
		if c := r.result(); c != later || !notProcessed(c) {
			t.Error(c.Err)
		}
		r.pool.Cancel(calls[0], cause) // on the connection
		if c := r.result(); c != calls[0] || notProcessed(c) || !errors.Is(c.Err, cause) {
			t.Error(c.Err)
		}
		if r.pool.Again(calls[0], 0) {
			t.Error("a cancelled call came back")
		}
		if c := r.result(); c != expiring || !errors.Is(c.Err, h2.ErrTooLate) || time.Since(begin) != 7*time.Second {
			t.Errorf("%s after %v: %v", c.Path, time.Since(begin), c.Err)
		}
	})
}

func notProcessed(c *h2.Call) bool {
	f, ok := errors.AsType[*h2.Failure](c.Err)
	return ok && f.NotProcessed
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.settings = maxStreams(1)
		s.serve = func(p *peer, id uint32) { time.Sleep(time.Second); p.ok(id) }
		r := newRig(t, s, Config{MaxConns: 1})
		calls := r.submit(2)
		synctest.Wait()
		time.Sleep(time.Millisecond)
		if err := r.pool.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			switch c := r.result(); c {
			case calls[0]:
				if c.Err != nil {
					t.Errorf("the open stream: %v", c.Err)
				}
			case calls[1]:
				if !errors.Is(c.Err, ErrClosed) || !notProcessed(c) {
					t.Errorf("the waiting call: %v", c.Err)
				}
			}
		}
		r.pool.Submit(&h2.Call{Head: testHead})
		if c := r.result(); !errors.Is(c.Err, ErrClosed) {
			t.Error(c.Err)
		}
	})
}

func TestCloseCutsOffWhatDoesNotEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.serve = func(*peer, uint32) {}
		r := newRig(t, s, Config{})
		r.submit(3)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		begin := time.Now()
		if err := r.pool.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if took := time.Since(begin); took != 2*time.Second {
			t.Errorf("closed after %v", took)
		}
		for range 3 {
			if c := r.result(); !errors.Is(c.Err, ErrClosed) || notProcessed(c) {
				t.Error(c.Err)
			}
		}
	})
}

// Many goroutines, several connections, real scheduling: every call ends once.
func TestStress(t *testing.T) {
	s := newServer(t)
	s.settings = maxStreams(20)
	var served atomic.Int64
	s.serve = func(p *peer, id uint32) {
		switch n := served.Add(1); {
		case n%997 == 0:
			p.nc.Reset()
		case n%101 == 0:
			p.write(func() { p.fr.WriteRSTStream(id, http2.ErrCodeRefusedStream) })
		default:
			p.ok(id)
		}
	}
	r := newRig(t, s, Config{})
	r.resend = true
	const callers, each = 8, 1000
	for i := range callers {
		go func() {
			for j := range each {
				c := &h2.Call{Head: testHead, Path: fmt.Appendf(nil, "/%d/%d", i, j), Body: []byte("{}")}
				r.pool.Submit(c)
				if j%50 == 0 {
					r.pool.Cancel(c, context.Canceled)
				}
			}
		}()
	}
	ended := map[*h2.Call]bool{}
	for range callers * each {
		select {
		case c := <-r.results:
			if ended[c] {
				t.Fatalf("%s ended twice", c.Path)
			}
			ended[c] = true
		case <-time.After(time.Minute):
			t.Fatalf("%d of %d calls ended; %+v", len(ended), callers*each, r.pool.Stats())
		}
	}
}
