package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats-server/v2/server/ats"
	"go.uber.org/goleak"

	"aviso.example/apns"
	"aviso.example/apnstest"
	"aviso.example/auth"
)

func TestMain(m *testing.M) {
	if file := os.Getenv(simulatorVariable); file != "" {
		runSimulator(file)
		return
	}
	if settings := os.Getenv(victimVariable); settings != "" {
		runVictim(settings)
		return
	}
	flag.Parse()
	// A story on a real log takes a tenth of a second or more; `make model` plays
	// many.
	for name, value := range map[string]string{"rapid.checks": stories, "rapid.steps": "15"} {
		set := false
		flag.Visit(func(f *flag.Flag) { set = set || f.Name == name })
		if !set {
			flag.Set(name, value)
		}
	}
	goleak.VerifyTestMain(m)
}

// rig is an engine, a simulator, and the folder between two lives of the engine.
type rig struct {
	*Engine
	t     *testing.T
	apple *apnstest.Server
	cfg   Config
}

// virtually runs a test in virtual time, the real log included.
func virtually(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	// The log's clock for its caches belongs to the process: a goroutine that
	// must not be started inside the bubble.
	ats.Register()
	defer ats.Unregister()
	beforeShutdown = synctest.Wait
	defer func() { beforeShutdown = func() {} }()
	// The client of the log keeps timers for the next one who needs one, and those
	// of a bubble must not be used outside. They go with the second collection.
	defer func() { runtime.GC(); runtime.GC() }()
	present := time.Now()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(present)) // a bubble begins in the year 2000
		test(t)
	})
}

// testApp is an app of the simulator's.
func testApp(t testing.TB, apple *apnstest.Server, id string) App {
	t.Helper()
	key, err := auth.ParseSigningKey(apple.KeyPEM, apple.KeyID)
	if err != nil {
		t.Fatal(err)
	}
	c := &Credential{Key: key, TeamID: apple.TeamID, Endpoint: apple.Endpoint, ExtraRoots: apple.CAPEM}
	if !strings.HasPrefix(apple.Endpoint, "127.") {
		c.DialContext = apple.DialContext
	}
	return App{ID: id, BundleID: apple.Topic, Default: apns.Sandbox, Sandbox: c}
}

// testLog shows the engine's warnings with the test's output.
func testLog(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// newRig starts an engine with one app, "shop".
func newRig(t *testing.T, apple *apnstest.Server, change ...func(*Config)) *rig {
	t.Helper()
	cfg := Config{Store: StoreConfig{Dir: t.TempDir()}, Apps: []App{testApp(t, apple, "shop")}, Logger: testLog(t)}
	for _, c := range change {
		c(&cfg)
	}
	r := &rig{t: t, apple: apple, cfg: cfg}
	r.open()
	t.Cleanup(r.close)
	return r
}

func (r *rig) open() {
	r.t.Helper()
	e, err := Open(context.Background(), r.cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	r.Engine = e
}

func (r *rig) close() {
	r.t.Helper()
	if r.Engine == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := r.Engine.Close(ctx); err != nil {
		r.t.Errorf("Close: %v", err)
	}
	r.Engine = nil
}

// device returns a device token that is always the same for a number.
func device(n int) string {
	sum := sha256.Sum256(fmt.Append(nil, "device ", n))
	return hex.EncodeToString(sum[:])
}

func devices(from, to int) (list []Target) {
	for i := from; i < to; i++ {
		list = append(list, Target{DeviceToken: device(i)})
	}
	return list
}

// hello is a message that is in order.
func hello() *Message {
	return &Message{App: "shop", Notification: apns.Notification{Payload: []byte(`{"aps":{"alert":"Hello"}}`)}}
}

// submit hands in what must be accepted.
func (r *rig) submit(m *Message, targets ...Target) *Receipt {
	r.t.Helper()
	receipt, err := r.Submit(r.t.Context(), m, targets)
	if err != nil {
		r.t.Fatal(err)
	}
	return receipt
}

// wait waits for a message to be done and returns its states.
func (r *rig) wait(id MessageID) MessageStatus {
	r.t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(2 * time.Millisecond) {
		s, err := r.Message(r.t.Context(), id)
		if err != nil {
			r.t.Fatalf("%s: %v", id, err)
		}
		if s.Done {
			return s
		}
		if time.Now().After(end) {
			r.dump()
			r.t.Fatalf("%s is not done: %+v", id, s)
		}
	}
}

// dump shows where things are, when a test waits in vain.
func (r *rig) dump() {
	ctx := context.Background()
	for _, q := range r.allQueues() {
		ci, err := q.consumer.Info(ctx)
		si, _ := q.stream.Info(ctx)
		r.t.Logf("%s: err=%v stream msgs=%d first=%d last=%d; consumer pending=%d ackpending=%d floor=%d delivered=%d redelivered=%d waiting=%d leased=%d", q.name, err, si.State.Msgs, si.State.FirstSeq, si.State.LastSeq, ci.NumPending, ci.NumAckPending, ci.AckFloor.Stream, ci.Delivered.Stream, ci.NumRedelivered, ci.NumWaiting, q.leased.Load())
	}
	li, _ := r.later.stream.Info(ctx)
	r.t.Logf("later msgs=%d subjects=%d", li.State.Msgs, li.State.NumSubjects)
	for _, l := range r.leases.all() {
		l.mu.Lock()
		r.t.Logf("lease seq=%d open=%d missing=%d section=%d unsaved=%d held=%d status=%v", l.seq, l.open, l.missing, l.section.count, l.unsaved, l.held, l.status)
		l.mu.Unlock()
	}
	for k, rt := range r.routes {
		r.t.Logf("route %v window=%d client=%s", k, rt.window.inUse(), fmt.Sprintf("%+v", rt.client.Stats()))
	}
	r.t.Logf("gates %+v", r.gates.gates)
}
