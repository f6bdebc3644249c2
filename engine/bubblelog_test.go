package engine

import (
	"net"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"aviso.example/apns"
	"aviso.example/apnstest"
)

// bubbleLog is a log server that several engines share in virtual time. They reach it
// as a cluster, by a connection each, so that everything holds that is said of one.
type bubbleLog struct {
	server *server.Server
	lease  time.Duration
}

func startBubbleLog(t *testing.T, lease time.Duration) *bubbleLog {
	t.Helper()
	s, err := server.NewServer(&server.Options{DontListen: true, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir(), SyncAlways: true, MaxPayload: maxLogMessage})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() {
		if err := shutdown(s); err != nil {
			t.Error(err)
		}
	})
	if !s.ReadyForConnections(startTimeout) {
		t.Fatal("the log is not ready")
	}
	return &bubbleLog{s, lease}
}

// member is an engine beside others, with its way to the log.
type member struct {
	*rig
	way *way
}

// join starts an engine on the log. It is Open but for the connection, which a
// configuration cannot name.
func (l *bubbleLog) join(t *testing.T, apple *apnstest.Server, change ...func(*Config)) *member {
	t.Helper()
	cfg := Config{Store: StoreConfig{Dir: t.TempDir()}, Apps: []App{testApp(t, apple, "shop")}, Logger: testLog(t), Lease: l.lease}
	for _, c := range change {
		c(&cfg)
	}
	m := &member{&rig{t: t, apple: apple, cfg: cfg}, newWay(l.server)}
	e, err := l.open(t, cfg, m.way)
	if err != nil {
		t.Fatal(err)
	}
	m.Engine = e
	t.Cleanup(func() { m.way.silence(false); m.close() })
	return m
}

func (l *bubbleLog) open(t *testing.T, cfg Config, w *way) (*Engine, error) {
	e, err := newEngine(t.Context(), cfg)
	if err != nil {
		return nil, err
	}
	e.store = &store{dir: cfg.Store.Dir, replicas: 1, log: e.log}
	if e.store.conn, err = nats.Connect("", nats.InProcessServer(w), nats.MaxReconnects(-1)); err != nil {
		return nil, err
	}
	if e.store.JetStream, err = jetstream.New(e.store.conn, jetstream.WithDefaultTimeout(storeTimeout)); err != nil {
		return nil, err
	}
	return e, e.begin(t.Context())
}

// named has an engine use a name, by which engines are put in order.
func named(t *testing.T, name byte) func(*Config) {
	return func(cfg *Config) {
		id := apns.ID{name}
		if err := replaceFile(filepath.Join(cfg.Store.Dir, nameFile), []byte(id.String())); err != nil {
			t.Fatal(err)
		}
	}
}

// readsNothing has an engine take nothing from the queue of its app by itself, so that a
// test says which of several does.
func (m *member) readsNothing() {
	m.t.Helper()
	q, err := m.queueFor(m.t.Context(), path{"shop", apns.Sandbox, Normal}, BatchID{})
	m.must(err)
	q.cancel()
}

// way is an engine's connection to a log, which can fall silent while it stays open:
// what is written then arrives later, as on a network that comes back.
type way struct {
	server *server.Server

	mu    sync.Mutex
	quiet chan struct{} // closed when it is not silent
}

func newWay(s *server.Server) *way {
	w := &way{server: s, quiet: make(chan struct{})}
	close(w.quiet)
	return w
}

func (w *way) silence(on bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case <-w.quiet:
		if on {
			w.quiet = make(chan struct{})
		}
	default:
		if !on {
			close(w.quiet)
		}
	}
}

func (w *way) open() {
	w.mu.Lock()
	open := w.quiet
	w.mu.Unlock()
	<-open // no lock held: that would stop the clock
}

// InProcessConn connects the client.
func (w *way) InProcessConn() (net.Conn, error) {
	far, err := w.server.InProcessConn()
	if err != nil {
		return nil, err
	}
	near, middle := net.Pipe()
	go w.carry(far, middle)
	go w.carry(middle, far)
	return near, nil
}

// carry takes what comes at any time, so that whoever writes is not the one who waits.
func (w *way) carry(to, from net.Conn) {
	lines := make(chan []byte, 10_000)
	go func() {
		defer to.Close()
		for line := range lines {
			w.open()
			if _, err := to.Write(line); err != nil {
				break
			}
		}
		for range lines {
		}
	}()
	defer close(lines)
	defer from.Close()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			lines <- slices.Clone(buffer[:n])
		}
		if err != nil {
			return
		}
	}
}

// written counts what is written of the notifications of a message, by state, whether it
// is late or not.
func (r *rig) written(id MessageID) map[State]int {
	r.t.Helper()
	info, err := r.ledger.stream.Info(r.t.Context())
	r.must(err)
	unit, _ := split(id.First)
	counts := map[State]int{}
	for seq := uint64(1); seq <= info.State.LastSeq; seq++ {
		data, err := r.ledger.record(r.t.Context(), seq)
		r.must(err)
		r.must(readVerdicts(data, func(v *rawVerdict) {
			if v.unit == unit && id.Contains(numbered(unit, v.number)) {
				counts[v.state]++
			}
		}))
	}
	return counts
}
