package pool

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"pgregory.net/rapid"

	"aviso.example/internal/h2"
)

// model plays one random story on a pool of real connections: what the callers
// do, what the peer's side does, and time going by. The peer notes what it
// processed; everything a caller is told is held against that.
type model struct {
	t    *rapid.T
	s    *server
	pool *Pool
	down bool // dials fail

	mu        sync.Mutex
	open      []request // requests the peer has not dealt with
	processed map[string]int
	calls     []*h2.Call
	ended     map[*h2.Call]int
	resends   map[*h2.Call]int
}

type request struct {
	p  *peer
	id uint32
	// path names the call.
	path string
}

// resendLimit keeps calls from going round for ever between refusals.
const resendLimit = 5

func (m *model) done(calls []*h2.Call) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range calls {
		f, _ := errors.AsType[*h2.Failure](c.Err)
		if f != nil && f.NotProcessed && m.resends[c] < resendLimit {
			m.resends[c]++
			if m.pool.Again(c, time.Duration(m.resends[c]-1)*10*time.Millisecond) {
				continue
			}
		}
		if m.ended[c]++; m.ended[c] > 1 {
			m.t.Errorf("%s ended %d times", c.Path, m.ended[c])
		}
		n := m.processed[string(c.Path)]
		switch {
		case f == nil && n != 1:
			m.t.Errorf("%s was answered and processed %d times", c.Path, n)
		case f != nil && f.NotProcessed && n != 0:
			m.t.Errorf("%s is called not processed and was: %v", c.Path, c.Err)
		case n > 1:
			m.t.Errorf("%s was processed %d times", c.Path, n)
		}
	}
}

// pick takes a random open request away.
func (m *model) pick(label string) (request, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.open) == 0 {
		return request{}, false
	}
	i := rapid.IntRange(0, len(m.open)-1).Draw(m.t, label)
	r := m.open[i]
	m.open = slices.Delete(m.open, i, i+1)
	return r, true
}

func (m *model) process(r request) {
	m.mu.Lock()
	m.processed[r.path]++
	m.mu.Unlock()
	r.p.act(r.id)
}

// forget drops the open requests of a peer for which match is true.
func (m *model) forget(match func(request) bool) {
	m.mu.Lock()
	m.open = slices.DeleteFunc(m.open, match)
	m.mu.Unlock()
}

func (m *model) actions() map[string]func(*rapid.T) {
	anyPeer := func() *peer {
		m.s.mu.Lock()
		defer m.s.mu.Unlock()
		if len(m.s.peers) == 0 {
			return nil
		}
		return m.s.peers[rapid.IntRange(0, len(m.s.peers)-1).Draw(m.t, "peer")]
	}
	return map[string]func(*rapid.T){
		"submit": func(t *rapid.T) {
			for range rapid.IntRange(1, 20).Draw(t, "calls") {
				c := &h2.Call{
					Head: testHead, Path: fmt.Appendf(nil, "/%d", len(m.calls)),
					Body: make([]byte, rapid.SampledFrom([]int{0, 10, 5000}).Draw(t, "size")),
				}
				if rapid.Bool().Draw(t, "expires") {
					c.NotAfter = time.Now().Add(time.Duration(rapid.IntRange(1, 5000).Draw(t, "ms")) * time.Millisecond)
				}
				m.calls = append(m.calls, c)
				m.pool.Submit(c)
			}
		},
		"cancel": func(t *rapid.T) {
			if len(m.calls) > 0 {
				m.pool.Cancel(m.calls[rapid.IntRange(0, len(m.calls)-1).Draw(t, "call")], context.Canceled)
			}
		},
		"answer": func(t *rapid.T) {
			for range rapid.IntRange(1, 10).Draw(t, "answers") {
				if r, ok := m.pick("request"); ok {
					m.process(r)
					r.p.ok(r.id)
				}
			}
		},
		"answer everything": func(*rapid.T) {
			for {
				synctest.Wait()
				m.mu.Lock()
				all := m.open
				m.open = nil
				m.mu.Unlock()
				if len(all) == 0 {
					return
				}
				for _, r := range all {
					m.process(r)
					r.p.ok(r.id)
				}
			}
		},
		"refuse": func(t *rapid.T) {
			if r, ok := m.pick("request"); ok {
				r.p.write(func() { r.p.fr.WriteRSTStream(r.id, http2.ErrCodeRefusedStream) })
			}
		},
		"reset a stream, perhaps after processing it": func(t *rapid.T) {
			if r, ok := m.pick("request"); ok {
				if rapid.Bool().Draw(t, "processed") {
					m.process(r)
				}
				r.p.write(func() { r.p.fr.WriteRSTStream(r.id, http2.ErrCodeInternal) })
			}
		},
		"process and never answer": func(t *rapid.T) {
			if r, ok := m.pick("request"); ok {
				m.process(r)
			}
		},
		"say goodbye": func(t *rapid.T) {
			p := anyPeer()
			if p == nil {
				return
			}
			last := uint32(rapid.IntRange(0, 40).Draw(t, "last stream"))
			// What was acted upon must not be disowned.
			last = max(last, p.acted())
			p.write(func() { p.fr.WriteGoAway(last, http2.ErrCodeNo, nil) })
			m.forget(func(r request) bool { return r.p == p && r.id > last })
			p.deaf(last)
		},
		"change the stream limit": func(t *rapid.T) {
			if p := anyPeer(); p != nil {
				n := uint32(rapid.IntRange(0, 30).Draw(t, "limit"))
				p.write(func() { p.fr.WriteSettings(maxStreams(n)...) })
			}
		},
		"change the window": func(t *rapid.T) {
			if p := anyPeer(); p != nil {
				n := uint32(rapid.SampledFrom([]int{0, 1, 4000, 65535}).Draw(t, "window"))
				p.write(func() { p.fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: n}) })
			}
		},
		"reset a connection": func(t *rapid.T) {
			if p := anyPeer(); p != nil {
				p.nc.Reset()
				m.forget(func(r request) bool { return r.p == p })
			}
		},
		"freeze a connection": func(t *rapid.T) {
			if p := anyPeer(); p != nil {
				p.nc.Freeze()
				m.forget(func(r request) bool { return r.p == p })
			}
		},
		"break or mend the network": func(*rapid.T) { m.down = !m.down },
		"wait a little": func(t *rapid.T) {
			time.Sleep(time.Duration(rapid.IntRange(1, 200).Draw(t, "ms")) * time.Millisecond)
		},
		"wait": func(t *rapid.T) {
			time.Sleep(time.Duration(rapid.IntRange(1, 20000).Draw(t, "ms")) * time.Millisecond)
		},
		"": func(t *rapid.T) {
			synctest.Wait()
			st := m.pool.Stats()
			if n := len(st.Conns); n > 2*m.pool.cfg.MaxConns+1 {
				t.Errorf("%d connections, MaxConns is %d", n, m.pool.cfg.MaxConns)
			}
			for _, c := range st.Conns {
				if c.Open < 0 || c.Answered+c.Refused > c.Opened {
					t.Errorf("%+v", c)
				}
			}
		},
	}
}

// TestModel holds connection and pool to the contract of calls: each ends exactly
// once, "not processed" is never said of what the peer processed, nothing is
// processed twice by the resends that follow from it, dials keep to the budget,
// and nothing is left behind.
func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		synctest.Test(t, func(t *testing.T) {
			m := &model{
				t: rt, s: newServer(t), processed: map[string]int{},
				ended: map[*h2.Call]int{}, resends: map[*h2.Call]int{},
			}
			m.s.settings = maxStreams(uint32(rapid.IntRange(1, 20).Draw(rt, "initial limit")))
			m.s.serve = func(p *peer, id uint32) {
				m.mu.Lock()
				defer m.mu.Unlock()
				if !p.isDeaf(id) {
					m.open = append(m.open, request{p, id, p.path(id)})
				}
			}
			begin := time.Now()
			m.pool = New(Config{
				Dial: func(ctx context.Context) (net.Conn, error) {
					if m.down {
						return nil, errors.New("the network is down")
					}
					return m.s.l.Dial(ctx)
				},
				Setup: func() (h2.Config, error) {
					return h2.Config{Common: []h2.Field{{Name: ":authority", Value: []byte("a")}}}, nil
				},
				Permanent: func(error) bool { return false },
				Done:      m.done,
				MaxConns:  rapid.IntRange(1, 3).Draw(rt, "MaxConns"),
			})
			rt.Repeat(m.actions())

			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			st := m.pool.Stats()
			m.pool.Close(ctx)
			synctest.Wait()
			for _, c := range m.calls {
				if m.ended[c] != 1 {
					rt.Errorf("%s ended %d times", c.Path, m.ended[c])
				}
			}
			if limit := dialBurst + uint64(time.Since(begin)/dialEvery) + 1 + uint64(len(m.calls)/earnedBack); st.Dials > limit {
				rt.Errorf("%d dials in %v", st.Dials, time.Since(begin))
			}
		})
	})
}
