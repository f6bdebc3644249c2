package h2

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"aviso.example/internal/memnet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a connection under test, its source and handler, and the raw peer that
// the test plays.
type rig struct {
	t    *testing.T
	conn *Conn
	net  *memnet.Conn // the peer's end
	ours *memnet.Conn
	fr   *http2.Framer
	dec  *hpack.Decoder
	hbuf bytes.Buffer
	enc  *hpack.Encoder

	mu      sync.Mutex
	queue   []*Call
	ended   map[*Call]int
	results chan *Call
	changes int
}

func (r *rig) Take(_ *Conn, into []*Call) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := copy(into, r.queue)
	r.queue = r.queue[n:]
	return n
}

func (r *rig) Done(_ *Conn, calls []*Call) {
	for _, c := range calls {
		r.mu.Lock()
		r.ended[c]++
		if r.ended[c] > 1 {
			r.t.Errorf("call %s ended %d times", c.Path, r.ended[c])
		}
		r.mu.Unlock()
		r.results <- c
	}
}

func (r *rig) Changed(*Conn) {
	r.mu.Lock()
	r.changes++
	r.mu.Unlock()
}

var testHead = NewHead(
	Field{":method", []byte("POST")}, Field{":scheme", []byte("https")}, Field{"apns-topic", []byte("com.example.app")},
)

func newCall(i int, body string) *Call {
	return &Call{
		Head: testHead, Path: fmt.Appendf(nil, "/3/device/%064d", i),
		Fields: []Field{{"apns-id", fmt.Appendf(nil, "%036d", i)}}, Body: []byte(body),
	}
}

// start makes a rig whose peer has read the preface; it has sent nothing yet.
func start(t *testing.T, cfg Config) *rig {
	t.Helper()
	r := &rig{t: t, ended: map[*Call]int{}, results: make(chan *Call, 10000)}
	ours, theirs := memnet.Pipe("client", "peer")
	r.net, r.ours = theirs, ours
	cfg.Source, cfg.Handler = r, r
	if cfg.Common == nil {
		cfg.Common = []Field{{":authority", []byte("api.push.example")}, {"authorization", []byte("bearer abc")}}
	}
	if cfg.Keep == nil {
		cfg.Keep = []string{"apns-id"}
	}
	r.conn = New(ours, cfg)
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(theirs, preface); err != nil || string(preface) != http2.ClientPreface {
		t.Fatalf("preface %q, %v", preface, err)
	}
	r.fr = http2.NewFramer(theirs, theirs)
	r.dec = hpack.NewDecoder(4096, nil)
	r.enc = hpack.NewEncoder(&r.hbuf)
	t.Cleanup(func() {
		r.conn.Abort(errors.New("the test is over"))
		<-r.conn.Done()
		theirs.Close()
	})
	return r
}

// ready makes a rig with the settings exchanged.
func ready(t *testing.T, cfg Config, settings ...http2.Setting) *rig {
	t.Helper()
	r := start(t, cfg)
	r.check(r.fr.WriteSettings(settings...))
	if f := read[*http2.SettingsFrame](r); f.IsAck() {
		t.Fatal("the first frame is an acknowledgement")
	}
	if f := read[*http2.SettingsFrame](r); !f.IsAck() {
		t.Fatal("the settings were not acknowledged")
	}
	return r
}

func (r *rig) check(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// frame reads the next frame of any type.
func (r *rig) frame() http2.Frame {
	r.t.Helper()
	f, err := r.fr.ReadFrame()
	if err != nil {
		r.t.Fatalf("reading a frame: %v", err)
	}
	return f
}

func read[F http2.Frame](r *rig) F {
	r.t.Helper()
	f := r.frame()
	want, ok := f.(F)
	if !ok {
		r.t.Fatalf("got %v, want %T", f, want)
	}
	return want
}

// request reads one whole request.
func (r *rig) request() (id uint32, fields map[string]string, body string) {
	r.t.Helper()
	h := read[*http2.HeadersFrame](r)
	block := bytes.Clone(h.HeaderBlockFragment())
	id, end := h.StreamID, h.StreamEnded()
	for ended := h.HeadersEnded(); !ended; {
		c := read[*http2.ContinuationFrame](r)
		block, ended = append(block, c.HeaderBlockFragment()...), c.HeadersEnded()
	}
	fields = map[string]string{}
	list, err := r.dec.DecodeFull(block)
	r.check(err)
	for _, f := range list {
		if _, twice := fields[f.Name]; twice {
			r.t.Errorf("field %s twice", f.Name)
		}
		fields[f.Name] = f.Value
	}
	for !end {
		d := read[*http2.DataFrame](r)
		body += string(d.Data())
		end = d.StreamEnded()
	}
	return id, fields, body
}

func (r *rig) answer(id uint32, end bool, pairs ...string) {
	r.t.Helper()
	r.check(r.fr.WriteHeaders(http2.HeadersFrameParam{
		StreamID: id, BlockFragment: r.block(pairs...), EndHeaders: true, EndStream: end,
	}))
}

func (r *rig) block(pairs ...string) []byte {
	r.hbuf.Reset()
	for i := 0; i < len(pairs); i += 2 {
		r.check(r.enc.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]}))
	}
	return bytes.Clone(r.hbuf.Bytes())
}

// submit queues calls and wakes the connection.
func (r *rig) submit(calls ...*Call) {
	r.mu.Lock()
	r.queue = append(r.queue, calls...)
	r.mu.Unlock()
	r.conn.Wake()
}

func (r *rig) result() *Call {
	r.t.Helper()
	select {
	case c := <-r.results:
		return c
	case <-time.After(10 * time.Minute): // virtual where it matters
		r.t.Fatal("no call ended")
		return nil
	}
}

func (r *rig) failure(c *Call) *Failure {
	r.t.Helper()
	f, ok := errors.AsType[*Failure](c.Err)
	if !ok {
		r.t.Fatalf("Err is %v, not a *Failure", c.Err)
	}
	return f
}
