package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// inside is a log server in this process, which listens on no port.
//
// A stream whose file could not be written to once takes nothing any more, and
// leaves whoever writes to it without an answer: the disk had no space for a
// moment, and the log is stuck for good. A new server over the same folder finds
// everything that was ever confirmed, so that is what it gets; see Engine.reopen.
type inside struct {
	dir  string
	most int64 // bytes
	log  *slog.Logger

	mu      sync.Mutex
	server  *server.Server // nil while there is none
	closed  bool
	turn    context.Context // done when there is no answer to what was asked in it
	endTurn context.CancelFunc

	asking *question // the janitor's
}

var (
	errGivenUp  = errors.New("the log does not answer any more and is opened again")
	errNoServer = errors.New("the log is not open")
	errHung     = errors.New("the log has come to a standstill")
	errSlow     = errors.New("the log takes its time")
)

func embed(cfg StoreConfig, log *slog.Logger) (*inside, error) {
	in := &inside{dir: cfg.Dir, most: cfg.MaxBytes, log: log}
	in.turn, in.endTurn = context.WithCancel(context.Background())
	if in.most == 0 {
		free, err := freeBytes(cfg.Dir)
		if err != nil {
			return nil, fmt.Errorf("engine: %w", err)
		}
		// What the log has taken already is its own, or it would get less with
		// every start, and nothing fitted any more into one that is full.
		taken, err := dirBytes(filepath.Join(cfg.Dir, "log"))
		if err != nil {
			return nil, fmt.Errorf("engine: %w", err)
		}
		in.most = (free + taken) / 5 * 4
	}
	var err error
	in.server, err = in.start()
	return in, err
}

// start starts a server; one that does not become ready is gone again.
func (in *inside) start() (*server.Server, error) {
	s, err := server.NewServer(&server.Options{
		ServerName: "aviso", DontListen: true, NoSigs: true, DisableJetStreamBanner: true,
		JetStream: true, StoreDir: filepath.Join(in.dir, "log"),
		// A write is acknowledged when it is on the disk; the default of two
		// minutes loses whole streams with the power.
		SyncAlways:         true,
		JetStreamMaxStore:  in.most,
		JetStreamMaxMemory: 64 << 20,
		MaxPayload:         maxLogMessage, MaxPending: maxPendingOut,
	})
	if err != nil {
		return nil, fmt.Errorf("engine: %w", err)
	}
	s.SetLoggerV2(serverLog{in.log}, false, false, false)
	s.Start()
	if !s.ReadyForConnections(startTimeout) {
		shutdown(s)
		return nil, fmt.Errorf("engine: the log in %s did not become ready within %v", in.dir, startTimeout)
	}
	return s, nil
}

// beforeShutdown is for tests in virtual time: the server sleeps with a lock held
// while it shuts down, and whoever waits for that lock then stops the clock.
var beforeShutdown = func() {}

const (
	// shutdownTime bounds the end of a server: it writes down what it holds.
	shutdownTime = 10 * time.Second
	// probeTime bounds the wait for a server that is asked how it is; hungAfter is
	// when one that has not answered never will. A write to a full disk can leave
	// it with a lock held for good. A disk can take its time, so it is long.
	probeTime = 2 * time.Second
	hungAfter = 30 * time.Second
)

// shutdown ends a server, or reports errHung.
func shutdown(s *server.Server) error {
	beforeShutdown()
	ended := make(chan struct{})
	go func() {
		s.Shutdown()
		s.WaitForShutdown()
		close(ended)
	}()
	timer := time.NewTimer(shutdownTime)
	defer timer.Stop()
	select {
	case <-ended:
		return nil
	case <-timer.C:
		return errHung
	}
}

func (in *inside) now() *server.Server {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.server
}

// present is the present turn.
func (in *inside) present() context.Context {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.turn
}

// nextTurn begins another turn; in.mu is held.
func (in *inside) nextTurn() {
	in.endTurn()
	in.turn, in.endTurn = context.WithCancel(context.Background())
}

// giveUp ends all waiting for what was asked so far.
func (in *inside) giveUp() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.nextTurn()
}

// InProcessConn connects the client to whichever server there is.
func (in *inside) InProcessConn() (net.Conn, error) {
	s := in.now()
	if s == nil {
		return nil, errNoServer
	}
	return s.InProcessConn()
}

// question is one to a server how it is.
type question struct {
	began time.Time
	ended chan struct{}
	err   error
}

// stuck returns an error if a part of the log takes nothing any more, or errSlow if
// that is not known yet. It is for the janitor.
func (in *inside) stuck() error {
	s := in.now()
	if s == nil {
		return errNoServer
	}
	p := in.asking
	if p == nil {
		p = &question{began: time.Now(), ended: make(chan struct{})}
		in.asking = p
		go func() {
			p.err = health(s)
			close(p.ended)
		}()
	}
	timer := time.NewTimer(probeTime)
	defer timer.Stop()
	select {
	case <-p.ended:
		in.asking = nil
		return p.err
	case <-timer.C:
	}
	if time.Since(p.began) > hungAfter {
		return errHung
	}
	return errSlow
}

func health(s *server.Server) error {
	for _, e := range s.Healthz(&server.HealthzOptions{Details: true}).Errors {
		// Whether a stream can be recovered is no question while queues come and
		// go.
		if e.Type == server.HealthzErrorJetStream || strings.Contains(e.Error, "write error") {
			return errors.New(e.Error)
		}
	}
	return nil
}

// reopen replaces the server by a new one. Nobody else is connected to it before
// prepare has returned. If it fails there is no server, until it succeeds.
// Disconnect makes the client notice at once, so that it asks nothing that nobody
// answers.
func (in *inside) reopen(disconnect func() error, prepare func(jetstream.JetStream) error) error {
	in.mu.Lock()
	if in.closed {
		in.mu.Unlock()
		return ErrClosed
	}
	old := in.server
	in.server = nil
	in.nextTurn()
	in.mu.Unlock()
	if old != nil {
		if err := disconnect(); err != nil {
			return fmt.Errorf("engine: %w", err)
		}
		if err := shutdown(old); err != nil {
			return err
		}
		in.asking = nil
	}
	s, err := in.start()
	if err != nil {
		return err
	}
	if err := in.privately(s, prepare); err != nil {
		shutdown(s)
		return err
	}
	in.mu.Lock()
	closed := in.closed
	if !closed {
		in.server = s
	}
	in.mu.Unlock()
	if closed {
		shutdown(s)
		return ErrClosed
	}
	return nil
}

func (in *inside) privately(s *server.Server, do func(jetstream.JetStream) error) error {
	conn, err := nats.Connect("", nats.InProcessServer(s))
	if err != nil {
		return fmt.Errorf("engine: no connection to the log: %w", err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn, jetstream.WithDefaultTimeout(storeTimeout))
	if err != nil {
		return fmt.Errorf("engine: %w", err)
	}
	return do(js)
}

func (in *inside) close() {
	in.mu.Lock()
	in.closed = true
	s := in.server
	in.server = nil
	in.endTurn()
	in.mu.Unlock()
	if s != nil && shutdown(s) != nil {
		in.log.Warn("the log does not come to an end, and is left as after a crash")
	}
}

// serverLog passes on what the embedded server says; its notices are of no
// interest to the people who run Aviso.
type serverLog struct{ *slog.Logger }

func (l serverLog) Noticef(format string, v ...any) { l.Debug("log: " + fmt.Sprintf(format, v...)) }
func (l serverLog) Warnf(format string, v ...any)   { l.Warn("log: " + fmt.Sprintf(format, v...)) }
func (l serverLog) Fatalf(format string, v ...any)  { l.Error("log: " + fmt.Sprintf(format, v...)) }
func (l serverLog) Errorf(format string, v ...any)  { l.Error("log: " + fmt.Sprintf(format, v...)) }
func (l serverLog) Debugf(string, ...any)           {}
func (l serverLog) Tracef(string, ...any)           {}
