package sim

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"aviso.example/internal/proto"
)

const (
	// readBuffer holds four full TLS records.
	readBuffer = 64 << 10
	// protocolWindow is the window every HTTP/2 connection and stream starts with
	// (RFC 9113 section 6.9.2).
	protocolWindow = 65535
	// lingerTime is how long a closing connection reads on, so that its last
	// frames are not destroyed by a reset from unread input.
	lingerTime = 500 * time.Millisecond
	// closedMemory is how many ended streams are remembered, to tell late frames
	// from invented ones.
	closedMemory = 1024
)

// conn is one connection. The reader goroutine decides, the writer goroutine
// writes, timers fire now and then; mu guards everything they share and is never
// held during I/O.
type conn struct {
	srv   *Server
	id    uint64
	raw   net.Conn // as accepted
	nc    net.Conn // TLS, or raw in cleartext
	br    *bufio.Reader
	fr    *http2.Framer // reads from br, writes into out
	log   *slog.Logger
	start time.Time
	rng   *rand.Rand // guarded by mu

	cert *clientCertificate // set before the first request

	mu   sync.Mutex
	wake sync.Cond // the writer waits for work, the reader for room

	// Writing.
	out      []byte    // frames of the current batch
	ready    []byte    // handed to the writer
	spare    []byte    // the writer's other buffer
	held     []segment // waiting for Config.RoundTrip
	heldSize int
	writing  bool
	enc      *hpack.Encoder
	encBuf   headerBuffer
	encFresh bool // the encoder has to be used next, to signal a table change

	// Reading.
	dec       *hpack.Decoder
	block     headerBlock
	plain     plainer
	trailers  bool // the block being read ends a request
	scratch   judged
	batchTime time.Time // of the current batch of input
	ruleTime  time.Time // the same by the rules' clock, zero until asked for
	stale     bool      // idle for Guesses.InternalErrorAfterIdle

	// Streams.
	streams    map[uint32]*stream
	free       []*stream
	maxID      uint32 // highest stream the peer opened
	active     int    // streams that count against the limit
	closedIDs  [closedMemory]closedStream
	closedNext int
	blocked    []*stream // answers that wait for the connection's window

	// Settings and windows.
	limit       uint32 // announced MAX_CONCURRENT_STREAMS
	fullLimit   uint32 // what an authenticated connection gets
	recvWindow  int64  // of the connection
	recvUnsent  int64
	localWindow int64   // of new streams, as the peer has acknowledged
	acked       bool    // the peer has acknowledged SETTINGS
	silentStart bool    // the first SETTINGS is being slow
	unacked     []int64 // initial windows announced, -1 for none, oldest first
	sendWindow  int64
	peerWindow  int64 // initial window of streams towards the peer
	peerFrame   int

	// Identity.
	pt                 *providerToken
	ptValue            string
	firstProviderToken *providerToken
	providerTokenUses  providerTokenUses
	okTopic            string
	okTopicKey         *providerToken
	wedged             proto.Reason
	wedgedUntil        time.Time
	authed             bool // a valid provider token came
	shrunk             bool
	errorScore         int

	// Ending.
	gotSettings bool
	goingAway   bool
	goAwayLast  uint32
	swallow     bool // fault: half-open
	closing     bool // close once everything is written
	dead        bool // closed
	fatal       bool // a connection error was sent

	// Hostile peers.
	control      int
	controlSince time.Time
	controlLimit int

	timers timerQueue
	faults connFaults
	count  counters
}

func newConn(s *Server, nc net.Conn, id uint64) *conn {
	c := &conn{
		srv: s, id: id, raw: nc, nc: nc,
		log:   s.cfg.Logger.With("connection", id),
		start: time.Now(),
		rng:   rand.New(rand.NewPCG(s.cfg.Seed, id)),

		streams:     map[uint32]*stream{},
		fullLimit:   s.cfg.MaxStreams,
		recvWindow:  protocolWindow,
		localWindow: protocolWindow,
		sendWindow:  protocolWindow,
		peerWindow:  protocolWindow,
		peerFrame:   16384,
	}
	c.batchTime = c.start
	c.wake.L = &c.mu
	c.count.Connections = 1
	c.enc = hpack.NewEncoder(&c.encBuf)
	c.dec = hpack.NewDecoder(proto.HeaderTableSize, c.onField)
	c.dec.SetMaxStringLength(4 * int(s.cfg.MaxHeaderList))
	return c
}

// serve runs the connection to its end.
func (c *conn) serve() {
	defer c.finish()
	c.mu.Lock()
	c.faults = c.srv.faults.forConn(c.id, ProtocolHTTP2, c.rng)
	c.mu.Unlock()
	if !c.handshake() {
		return
	}
	writer := make(chan struct{})
	go func() {
		defer close(writer)
		c.writeLoop()
	}()
	err := c.readLoop()
	c.mu.Lock()
	c.closing = true
	lingering := (c.fatal || c.goingAway) && !c.dead
	c.flush()
	c.mu.Unlock()
	<-writer
	c.log.LogAttrs(context.Background(), slog.LevelDebug, "connection ended", slog.Any("cause", err))
	if lingering {
		c.linger()
	}
}

// finish releases what the connection holds.
func (c *conn) finish() {
	c.mu.Lock()
	c.dead = true
	c.timers.stop()
	clear(c.streams)
	c.wake.Broadcast()
	c.mu.Unlock()
	c.nc.Close()
}

// handshake does TLS and reports whether HTTP/2 may begin.
func (c *conn) handshake() bool {
	if c.faults.refuse {
		c.countHandshake()
		resetConn(c.raw)
		return false
	}
	if c.faults.stall {
		io.Copy(io.Discard, c.raw) // until either side has had enough
		return false
	}
	if err := c.raw.SetDeadline(time.Now().Add(c.srv.cfg.HandshakeTimeout)); err != nil {
		return false
	}
	if !c.srv.cfg.Cleartext {
		// TLS reads five bytes of record header and then the record; the buffer
		// below makes that one system call for several records.
		tc := tls.Server(&bufferedConn{Conn: c.raw, br: bufio.NewReaderSize(c.raw, readBuffer)}, c.srv.tlsConfig(c.faults.rejectCertificate))
		if err := tc.Handshake(); err != nil {
			c.countHandshake()
			c.log.Debug("TLS handshake failed", "error", err)
			return false
		}
		c.nc = tc
		if certs := tc.ConnectionState().PeerCertificates; len(certs) > 0 {
			c.cert = readCertificate(certs[0])
		}
	}
	c.br = bufio.NewReaderSize(c.nc, readBuffer)
	c.fr = http2.NewFramer((*frameSink)(c), c.br)
	c.fr.SetReuseFrames()
	c.fr.SetMaxReadFrameSize(c.srv.cfg.MaxFrameSize)
	return true
}

func (c *conn) countHandshake() {
	c.mu.Lock()
	c.count.HandshakeFailures++
	c.mu.Unlock()
}

// bufferedConn reads ahead and writes through.
type bufferedConn struct {
	net.Conn
	br *bufio.Reader
}

func (b *bufferedConn) Read(p []byte) (int, error) { return b.br.Read(p) }

// CloseWrite passes a half-close on.
func (b *bufferedConn) CloseWrite() error {
	if half, ok := b.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

var errPreface = errors.New("the client did not send the HTTP/2 preface; is it speaking HTTP/1.1?")

// readLoop reads frames until the connection ends. Output is handed to the
// writer whenever the next frame is not here yet.
func (c *conn) readLoop() error {
	c.mu.Lock()
	c.begin()
	c.flush()
	c.mu.Unlock()
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(c.br, preface); err != nil {
		return err
	}
	if string(preface) != http2.ClientPreface {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.fail(http2.ErrCodeProtocol, errPreface.Error())
		return errPreface
	}
	if !c.beginFrames() {
		return net.ErrClosed
	}
	fresh := true
	for {
		if fresh {
			if err := c.endBatch(); err != nil {
				return err
			}
		}
		fh, err := c.fr.ReadFrameHeader()
		if err == nil && fresh {
			c.beginBatch()
		}
		var f http2.Frame
		if err == nil {
			f, err = c.fr.ReadFrameForHeader(fh)
		}
		c.mu.Lock()
		if !c.swallow && !c.closing && !c.dead {
			if err != nil {
				err = c.frameError(fh, err)
			} else {
				c.handle(f)
			}
		} else if err != nil && !isFrameError(err) {
			c.mu.Unlock()
			return err
		} else {
			err = nil
		}
		stop := c.closing || c.dead
		swallow := c.swallow
		c.mu.Unlock()
		switch {
		case err != nil:
			return err
		case stop:
			return nil
		case swallow:
			_, err := io.Copy(io.Discard, c.br)
			return err
		}
		fresh = !c.frameBuffered()
	}
}

// beginFrames replaces the handshake's deadline by the idle timer, unless the
// connection is ending already: its past deadline must then stay.
func (c *conn) beginFrames() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing || c.dead {
		return false
	}
	c.raw.SetDeadline(time.Time{})
	c.batchTime = time.Now()
	c.watchIdle()
	return true
}

// frameBuffered reports whether the next frame can be read without waiting.
func (c *conn) frameBuffered() bool {
	n := c.br.Buffered()
	if n < 9 {
		return false
	}
	head, err := c.br.Peek(3)
	return err == nil && n >= 9+int(head[0])<<16+int(head[1])<<8+int(head[2])
}

// endBatch hands the answers so far to the writer and, when the peer reads too
// slowly, waits: back-pressure instead of memory.
func (c *conn) endBatch() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flush()
	for len(c.ready) > maxReady && !c.dead && !c.closing {
		c.wake.Wait()
	}
	if c.dead {
		return net.ErrClosed
	}
	return nil
}

// beginBatch notes when input arrived, once for all frames that came together.
func (c *conn) beginBatch() {
	now := time.Now()
	c.mu.Lock()
	if limit := c.srv.guesses().InternalErrorAfterIdle; limit > 0 && now.Sub(c.batchTime) >= limit {
		c.stale = true // until the client reconnects (node-apn#463)
	}
	c.batchTime, c.ruleTime = now, time.Time{}
	c.mu.Unlock()
}

// ruleNow is the rules' clock at the current batch.
func (c *conn) ruleNow() time.Time {
	if c.ruleTime.IsZero() {
		c.ruleTime = c.srv.now()
	}
	return c.ruleTime
}

func isFrameError(err error) bool {
	if _, ok := errors.AsType[http2.ConnectionError](err); ok {
		return true
	}
	_, ok := errors.AsType[http2.StreamError](err)
	return ok || errors.Is(err, http2.ErrFrameTooLarge)
}

// frameError turns what the Framer objects to into the answer RFC 9113 asks for.
// It returns nil when the connection goes on.
func (c *conn) frameError(fh http2.FrameHeader, err error) error {
	if e, ok := errors.AsType[http2.StreamError](err); ok {
		// A bad header block leaves the decoder behind, and a stream nobody
		// opened cannot be reset.
		if fh.Type == http2.FrameHeaders || c.idle(e.StreamID) {
			c.fail(e.Code, "malformed "+fh.Type.String()+" frame")
			return err
		}
		c.resetStream(e.StreamID, e.Code)
		return nil
	}
	switch e, ok := errors.AsType[http2.ConnectionError](err); {
	case ok:
		c.fail(http2.ErrCode(e), "malformed "+fh.Type.String()+" frame")
	case errors.Is(err, http2.ErrFrameTooLarge):
		c.fail(http2.ErrCodeFrameSize, "frame larger than announced")
	case errors.Is(err, io.ErrUnexpectedEOF):
		c.fail(http2.ErrCodeFrameSize, "frame too short for its type")
	}
	return err
}
