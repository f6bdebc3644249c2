package h2

import (
	"bytes"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
)

// Source is where a connection gets its calls.
type Source interface {
	// Take moves up to len(into) calls to the connection and returns how many.
	// When it returns fewer than asked for, it must call Conn.Wake once more
	// have come. It is called with the connection locked, so it must be quick
	// and must not call any method of the connection but Wake.
	Take(c *Conn, into []*Call) int
}

// Handler hears of everything that happens to a connection and its calls.
type Handler interface {
	// Done hands back calls that have ended. The slice is only valid during the
	// call; the calls belong to the handler from then on. It runs on the
	// connection's goroutines and must not block.
	Done(c *Conn, calls []*Call)
	// Changed says that Status has changed in a way that matters to whoever
	// chooses connections: ready, a new stream limit, draining, suspect, ended.
	// It must not block.
	Changed(c *Conn)
}

// Config is the setting of one connection. Source and Handler are required.
type Config struct {
	Source  Source
	Handler Handler
	// Common are fields of every request, :authority among them.
	Common []Field
	// Refresh, if set, is asked before each batch of requests whether Common
	// has to change; nil means no. It runs on the writer, with the connection
	// locked, and must not call the connection's methods.
	Refresh func() []Field
	// Keep names up to MaxKept response fields whose values are wanted.
	Keep []string

	// Times; zero means the default of the same name.
	RequestTimeout, PingAfter, PingTimeout, IdlePing, SettingsTimeout time.Duration
	// MaxStreams caps the peer's limit; zero means DefaultMaxStreams.
	MaxStreams uint32
	// FirstStreamID is where stream numbers start; zero means 1. Tests of
	// exhaustion use it.
	FirstStreamID uint32
	// Owner is for whoever made the connection.
	Owner any
}

// Conn is one connection. All methods are safe for concurrent use.
type Conn struct {
	cfg   Config
	nc    net.Conn
	epoch time.Time
	wake  chan struct{}
	done  chan struct{}
	loops atomic.Int32 // goroutines still running; the last one cleans up

	framer *http2.Framer // writes into ctl, reads single frames from rare
	rare   bytes.Reader
	dec    decoder

	// Used by the reader only.
	header headerState
	ended  []*Call

	mu      sync.Mutex // guards everything below
	enc     encoder
	out     []byte       // the buffer being written
	ctl     bytes.Buffer // control frames waiting for the writer
	take    [takeBatch]*Call
	slots   []*Call // open streams, by stream number modulo the length
	over    map[uint32]*Call
	blocked []*Call // wait for flow control, first come first served
	// lastBody is the size of the last call's body, a guess at the next one's.
	lastBody int
	open     int
	nextID   uint32

	news       bool    // Handler.Changed is owed
	unsent     []*Call // ended by the writer before they were written
	ready      bool
	draining   bool
	suspect    bool
	idle       bool  // the source had nothing; it will call Wake
	full       bool  // there was no room when work was last looked for
	dead       error // why the connection ended or is about to
	lastWords  bool  // a Write failed; the reader looks for a better reason
	goAway     *GoAwayError
	limit      uint32 // the peer's SETTINGS_MAX_CONCURRENT_STREAMS, capped
	maxFrame   int
	maxList    uint32
	window     int64 // what the connection may still send
	initial    int64 // what a new stream may send
	recvWindow int32 // what the peer may still send
	queued     uint64
	attempted  uint64 // bytes handed to Write; on failure, bytes it took
	unanswered int    // requests in a row that timed out

	timer        *time.Timer
	timerAt      int64
	settingsBy   int64
	nextDeadline int64
	activeSince  int64
	lastRead     int64
	lastAnswer   int64
	pingAt       int64 // when the unanswered PING was sent
	writingSince int64

	opened, answered, succeeded, refused uint64

	common int // how often Refresh has changed Config.Common
}

// New takes over an established connection (for APNs: TLS with ALPN "h2"),
// sends the preface and starts. It never blocks.
func New(nc net.Conn, cfg Config) *Conn {
	for _, d := range []struct {
		have *time.Duration
		want time.Duration
	}{
		{&cfg.RequestTimeout, DefaultRequestTimeout},
		{&cfg.PingAfter, DefaultPingAfter},
		{&cfg.PingTimeout, DefaultPingTimeout},
		{&cfg.IdlePing, DefaultIdlePing},
		{&cfg.SettingsTimeout, DefaultSettingsTimeout},
	} {
		if *d.have == 0 {
			*d.have = d.want
		}
	}
	if cfg.MaxStreams == 0 {
		cfg.MaxStreams = DefaultMaxStreams
	}
	if cfg.FirstStreamID == 0 {
		cfg.FirstStreamID = 1
	}
	if len(cfg.Keep) > MaxKept {
		panic("h2: more response fields to keep than MaxKept")
	}
	c := &Conn{
		// One nanosecond early, so that no moment is 0, which means "none".
		cfg: cfg, nc: nc, epoch: time.Now().Add(-1),
		wake: make(chan struct{}, 1), done: make(chan struct{}),
		slots: make([]*Call, 64), nextID: cfg.FirstStreamID,
		maxFrame: maxFrameSize, maxList: noLimit,
		window: initialWindow, initial: initialWindow, recvWindow: initialWindow,
		out: make([]byte, 0, writeBatch+8<<10),
	}
	c.enc = newEncoder(cfg.Common)
	c.framer = http2.NewFramer(&c.ctl, &c.rare)
	c.framer.SetMaxReadFrameSize(maxFrameSize)
	c.framer.SetReuseFrames()
	c.dec = decoder{max: maxTable, emit: c.header.field}
	c.header.keep = cfg.Keep

	c.ctl.WriteString(http2.ClientPreface)
	c.framer.WriteSettings(
		http2.Setting{ID: http2.SettingEnablePush, Val: 0},
		http2.Setting{ID: http2.SettingMaxHeaderListSize, Val: maxHeaderList},
	)
	c.settingsBy = c.now() + int64(cfg.SettingsTimeout)
	c.timerAt = c.settingsBy
	c.timer = time.AfterFunc(cfg.SettingsTimeout, c.keep)
	c.wake <- struct{}{}
	c.loops.Store(2)
	go c.readLoop()
	go c.writeLoop()
	return c
}

// now is the connection's clock: nanoseconds since it was made.
func (c *Conn) now() int64 { return int64(time.Since(c.epoch)) }

// Owner returns Config.Owner.
func (c *Conn) Owner() any { return c.cfg.Owner }

// Wake tells the connection that its source has calls. It never blocks.
func (c *Conn) Wake() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Done is closed when the connection has ended and all its calls with it.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Status is a snapshot of a connection.
type Status struct {
	// Ready: the peer's SETTINGS have come and calls are taken.
	Ready bool
	// Draining: no new call is taken; the connection ends with its last stream.
	Draining bool
	// Full: when the connection last looked for work, it had no room for any,
	// because of the stream limit or the window.
	Full bool
	// Suspect: several requests in a row were not answered in time.
	Suspect bool
	// Err is why the connection ended, or nil.
	Err error
	// GoAway is the peer's GOAWAY, or nil.
	GoAway *GoAwayError
	// Limit is how many streams may be open at once, Open how many are.
	Limit, Open int
	// Opened, Answered, Succeeded (answered with 2xx) and Refused count streams
	// so far.
	Opened, Answered, Succeeded, Refused uint64
	// Age is the time since New; SinceAnswer the time since the last answer, or
	// since New if there was none.
	Age, SinceAnswer time.Duration
}

// unlock releases mu and tells the handler what it is owed, which must not be
// done with mu held.
func (c *Conn) unlock() {
	news, unsent := c.news, c.unsent
	c.news, c.unsent = false, nil
	c.mu.Unlock()
	if len(unsent) > 0 {
		c.cfg.Handler.Done(c, unsent)
	}
	if news {
		c.cfg.Handler.Changed(c)
	}
}

// Status returns a snapshot.
func (c *Conn) Status() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Status{
		Ready: c.ready, Draining: c.draining, Full: c.full, Suspect: c.suspect, Err: c.dead, GoAway: c.goAway,
		Limit: int(c.limit), Open: c.open,
		Opened: c.opened, Answered: c.answered, Succeeded: c.succeeded, Refused: c.refused,
		Age: time.Duration(c.now()), SinceAnswer: time.Duration(c.now() - c.lastAnswer),
	}
}

// Drain stops taking calls; when the last open stream has ended, the peer is
// told and the connection closes. It does not wait.
func (c *Conn) Drain() {
	c.mu.Lock()
	c.news = c.news || !c.draining
	c.draining = true
	c.unlock()
	c.Wake()
}

// Abort ends the connection now. Its open calls fail with cause.
func (c *Conn) Abort(cause error) {
	c.mu.Lock()
	c.end(cause, true)
	c.unlock()
	c.Wake()
}

// Cancel ends a call on this connection with the given cause and resets its
// stream. It reports whether the call was open here; if not, it has ended or
// was never here.
func (c *Conn) Cancel(call *Call, cause error) bool {
	c.mu.Lock()
	if !c.holds(call) {
		c.mu.Unlock()
		return false
	}
	c.reset(call, http2.ErrCodeCancel)
	c.fail(call, cause, false)
	c.mu.Unlock()
	c.cfg.Handler.Done(c, []*Call{call})
	c.Wake()
	return true
}

// holds looks for a call without reading it: it may belong to another
// connection by now.
func (c *Conn) holds(call *Call) bool {
	if slices.Contains(c.slots, call) {
		return true
	}
	for _, over := range c.over {
		if over == call {
			return true
		}
	}
	return false
}

// end marks the connection as over. hard closes the network at once; otherwise
// the writer gets a moment to say goodbye. Callers hold mu and call Wake.
func (c *Conn) end(cause error, hard bool) {
	if c.dead == nil {
		c.dead = cause
	}
	c.news = c.news || !c.draining
	c.draining = true
	if hard {
		CloseHard(c.nc)
	} else {
		c.nc.SetWriteDeadline(time.Now().Add(farewell))
	}
}

// CloseHard closes the network below TLS (twice below, through an https proxy):
// tls.Conn.Close would wait up to five seconds to tell a peer that may not be
// there.
func CloseHard(nc net.Conn) {
	for {
		under, ok := nc.(interface{ NetConn() net.Conn })
		if !ok {
			nc.Close()
			return
		}
		nc = under.NetConn()
	}
}

// exit is called by each loop as it ends; the last one settles what is open.
// Waiting for both makes attempted exact: no Write is under way any more.
func (c *Conn) exit() {
	if c.loops.Add(-1) > 0 {
		return
	}
	CloseHard(c.nc)
	c.mu.Lock()
	c.timer.Stop()
	failed := c.allOpen()
	for _, call := range failed {
		c.fail(call, c.dead, false)
	}
	c.mu.Unlock()
	if len(failed) > 0 {
		c.cfg.Handler.Done(c, failed)
	}
	close(c.done)
	c.cfg.Handler.Changed(c)
}

// The stream table. Stream numbers rise by two, so a ring indexed by the number
// finds a stream without hashing; one that is still open when the ring comes
// round again moves to a map.

func (c *Conn) slot(id uint32) *(*Call) { return &c.slots[int(id>>1)&(len(c.slots)-1)] }

func (c *Conn) lookup(id uint32) *Call {
	if call := *c.slot(id); call != nil && call.id == id {
		return call
	}
	return c.over[id]
}

func (c *Conn) add(call *Call) {
	for c.open >= len(c.slots)/4 && len(c.slots) < 4*int(c.cfg.MaxStreams) {
		old := c.slots
		c.slots = make([]*Call, 2*len(old))
		for _, o := range old {
			if o != nil {
				*c.slot(o.id) = o // numbers that differed modulo n differ modulo 2n
			}
		}
	}
	s := c.slot(call.id)
	if *s != nil {
		if c.over == nil {
			c.over = make(map[uint32]*Call)
		}
		c.over[(*s).id] = *s
	}
	*s = call
	c.open++
}

func (c *Conn) remove(call *Call) {
	if s := c.slot(call.id); *s == call {
		*s = nil
	} else {
		delete(c.over, call.id)
	}
	c.open--
	if call.blocked {
		call.blocked = false
		for i, b := range c.blocked {
			if b == call {
				c.blocked = append(c.blocked[:i], c.blocked[i+1:]...)
				break
			}
		}
	}
}

func (c *Conn) allOpen() []*Call {
	all := make([]*Call, 0, c.open)
	for _, call := range c.slots {
		if call != nil {
			all = append(all, call)
		}
	}
	for _, call := range c.over {
		all = append(all, call)
	}
	return all
}

// fail ends an open call without an answer. The caller hands it to the handler
// once mu is free.
func (c *Conn) fail(call *Call, cause error, refused bool) {
	c.remove(call)
	reset, _ := cause.(*ResetError)
	if call.gotFinal && (reset == nil || !reset.Local) {
		// The status has come, and with it what became of the request; only the
		// rest of the answer is lost.
		c.counted(call)
		return
	}
	whole := call.endOffset != 0 && call.endOffset <= c.attempted
	call.Err = &Failure{NotProcessed: !call.gotFinal && (refused || !whole), Cause: cause}
}

// counted notes an answer.
func (c *Conn) counted(call *Call) {
	c.answered++
	if call.Status/100 == 2 {
		c.succeeded++
	}
}

// reset tells the peer that a stream is over.
func (c *Conn) reset(call *Call, code http2.ErrCode) {
	if c.dead == nil {
		c.framer.WriteRSTStream(call.id, code)
	}
}

// lost turns a network error into the reason a connection ended: if the peer
// had announced the end, its words say more than EOF.
func (c *Conn) lost(err error) error {
	switch {
	case c.goAway != nil:
		return c.goAway
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return ErrPeerClosed
	}
	return err
}
