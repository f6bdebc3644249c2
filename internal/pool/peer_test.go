package pool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"aviso.example/internal/h2"
	"aviso.example/internal/memnet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server is a raw peer: it accepts connections and answers as told.
type server struct {
	l        *memnet.Listener
	settings []http2.Setting
	// serve decides about one request; nil answers 200 at once. It runs on the
	// connection's goroutine.
	serve func(c *peer, id uint32)
	// greet runs when a connection begins, before SETTINGS; false closes it.
	greet func(c *peer) bool

	mu    sync.Mutex
	peers []*peer
	paths map[string]int
	wg    sync.WaitGroup
}

// peer is one accepted connection.
type peer struct {
	s      *server
	number int
	nc     *memnet.Conn
	wmu    sync.Mutex
	fr     *http2.Framer

	mu        sync.Mutex
	named     map[uint32]string // the path of each stream
	highest   uint32            // stream that was acted upon
	deafAbove uint32            // streams above it are ignored, as GOAWAY said
	isGone    bool
}

func (p *peer) path(id uint32) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.named[id]
}

// act notes that a stream was acted upon.
func (p *peer) act(id uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.highest = max(p.highest, id)
}

// acted is the highest stream that was acted upon.
func (p *peer) acted() uint32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.highest
}

// deaf ignores streams above last from now on.
func (p *peer) deaf(last uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.isGone || last < p.deafAbove {
		p.isGone, p.deafAbove = true, last
	}
}

func (p *peer) isDeaf(id uint32) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.isGone && id > p.deafAbove
}

func newServer(t *testing.T) *server {
	s := &server{l: memnet.Listen("server"), paths: map[string]int{}}
	s.wg.Go(func() {
		for {
			nc, err := s.l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			p := &peer{s: s, number: len(s.peers) + 1, nc: nc.(*memnet.Conn), fr: http2.NewFramer(nc, nc), named: map[uint32]string{}}
			s.peers = append(s.peers, p)
			s.mu.Unlock()
			s.wg.Go(p.run)
		}
	})
	t.Cleanup(func() {
		s.l.Close()
		s.mu.Lock()
		for _, p := range s.peers {
			p.nc.Close()
		}
		s.mu.Unlock()
		s.wg.Wait()
	})
	return s
}

func (p *peer) run() {
	defer p.nc.Close()
	if p.s.greet != nil && !p.s.greet(p) {
		return
	}
	if _, err := io.CopyN(io.Discard, p.nc, int64(len(http2.ClientPreface))); err != nil {
		return
	}
	p.write(func() { p.fr.WriteSettings(p.s.settings...) })
	dec := hpack.NewDecoder(4096, nil)
	for {
		f, err := p.fr.ReadFrame()
		if err != nil {
			return
		}
		ended := uint32(0)
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				p.write(func() { p.fr.WriteSettingsAck() })
			}
		case *http2.PingFrame:
			if !f.IsAck() {
				p.write(func() { p.fr.WritePing(true, f.Data) })
			}
		case *http2.HeadersFrame:
			fields, _ := dec.DecodeFull(f.HeaderBlockFragment())
			p.s.mu.Lock()
			for _, h := range fields {
				if h.Name == ":path" {
					p.s.paths[h.Value]++
					p.mu.Lock()
					p.named[f.StreamID] = h.Value
					p.mu.Unlock()
				}
			}
			p.s.mu.Unlock()
			if f.StreamEnded() {
				ended = f.StreamID
			}
		case *http2.DataFrame:
			if f.StreamEnded() {
				ended = f.StreamID
			}
			if n := uint32(len(f.Data())); n > 0 {
				p.write(func() { p.fr.WriteWindowUpdate(0, n) })
			}
		}
		if ended != 0 {
			if p.s.serve != nil {
				p.s.serve(p, ended)
			} else {
				p.ok(ended)
			}
		}
	}
}

func (p *peer) write(f func()) {
	p.wmu.Lock()
	defer p.wmu.Unlock()
	f()
}

func (p *peer) ok(id uint32) { p.status(id, "200") }

func (p *peer) status(id uint32, status string) {
	var b bytes.Buffer
	hpack.NewEncoder(&b).WriteField(hpack.HeaderField{Name: ":status", Value: status})
	p.write(func() {
		p.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: b.Bytes(), EndHeaders: true, EndStream: true})
	})
}

// rig is a pool under test. Its owner resends what was not processed, as the
// real one does.
type rig struct {
	t       *testing.T
	s       *server
	pool    *Pool
	results chan *h2.Call
	resend  bool

	mu     sync.Mutex
	events []Event
	times  []time.Time
}

var testHead = h2.NewHead(h2.Field{Name: ":method", Value: []byte("POST")}, h2.Field{Name: ":scheme", Value: []byte("https")})

func newRig(t *testing.T, s *server, cfg Config) *rig {
	r := &rig{t: t, s: s, results: make(chan *h2.Call, 100000)}
	if cfg.Dial == nil {
		cfg.Dial = func(ctx context.Context) (net.Conn, error) { return s.l.Dial(ctx) }
	}
	cfg.Setup = func() (h2.Config, error) {
		return h2.Config{Common: []h2.Field{{Name: ":authority", Value: []byte("a")}}}, nil
	}
	if cfg.Permanent == nil {
		cfg.Permanent = func(error) bool { return false }
	}
	cfg.Event = func(e Event) {
		r.mu.Lock()
		r.events = append(r.events, e)
		r.times = append(r.times, time.Now())
		r.mu.Unlock()
	}
	cfg.Done = func(calls []*h2.Call) {
		for _, c := range calls {
			if f, ok := errors.AsType[*h2.Failure](c.Err); ok && f.NotProcessed && r.resend {
				if _, ok := errors.AsType[*WaitError](f); !ok && r.pool.Again(c, 0) {
					continue
				}
			}
			r.results <- c
		}
	}
	r.pool = New(cfg)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		r.pool.Close(ctx)
	})
	return r
}

func (r *rig) submit(n int) []*h2.Call {
	calls := make([]*h2.Call, n)
	for i := range calls {
		calls[i] = &h2.Call{Head: testHead, Path: fmt.Appendf(nil, "/%d", i), Body: []byte("{}")}
		r.pool.Submit(calls[i])
	}
	return calls
}

func (r *rig) result() *h2.Call {
	r.t.Helper()
	select {
	case c := <-r.results:
		return c
	case <-time.After(time.Hour): // virtual
		r.t.Fatalf("no call ended; %+v", r.pool.Stats())
		return nil
	}
}

func (r *rig) accept(n int) {
	r.t.Helper()
	for range n {
		if c := r.result(); c.Err != nil || c.Status != 200 {
			r.t.Fatalf("%s: status %d, %v", c.Path, c.Status, c.Err)
		}
	}
}

func (r *rig) seen(kind EventKind) (n int, last error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		if e.Kind == kind {
			n, last = n+1, e.Err
		}
	}
	return n, last
}
