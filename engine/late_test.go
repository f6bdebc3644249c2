package engine

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"aviso.example/apnstest"
	"aviso.example/internal/await"
	"aviso.example/sim"
)

// What follows an end is late, except a person's decision to send it again, and
// what follows that.
func TestStanding(t *testing.T) {
	type step struct {
		state State
		round uint32
		ended State // with Queued: what is sent again
		late  bool
	}
	for name, steps := range map[string][]step{
		"one end":                 {{Sending, 0, 0, false}, {Retrying, 0, 0, false}, {Sending, 1, 0, false}, {Accepted, 1, 0, false}},
		"two ends":                {{Accepted, 0, 0, false}, {Rejected, 0, 0, true}, {Accepted, 0, 0, true}},
		"a retry after the end":   {{Accepted, 0, 0, false}, {Retrying, 0, 0, true}, {Accepted, 1, 0, true}},
		"taken back":              {{Sending, 0, 0, false}, {Queued, 0, 0, false}, {Accepted, 0, 0, false}, {Queued, 0, 0, true}},
		"sent again":              {{Expired, 2, 0, false}, {Queued, 2, Expired, false}, {Accepted, 3, 0, false}, {Expired, 2, 0, true}},
		"a stale end meanwhile":   {{Expired, 2, 0, false}, {Queued, 2, Expired, false}, {Rejected, 2, 0, true}, {Accepted, 3, 0, false}},
		"sent again by two":       {{Expired, 2, 0, false}, {Queued, 2, Expired, false}, {Queued, 2, Expired, true}, {Accepted, 3, 0, false}},
		"sent again and again":    {{Expired, 0, 0, false}, {Queued, 0, Expired, false}, {Expired, 1, 0, false}, {Queued, 1, Expired, false}, {Accepted, 2, 0, false}},
		"sent again, with a mark": {{Sending, 0, 0, false}, {Rejected, 0, 0, false}, {Queued, 0, Rejected, false}, {Sending, 1, 0, false}, {Accepted, 1, 0, false}},
		"sent again too late":     {{Rejected, 0, 0, false}, {Queued, 0, Rejected, false}, {Accepted, 1, 0, false}, {Queued, 0, Rejected, true}},
		"the beginning is gone":   {{Queued, 2, Expired, false}, {Accepted, 3, 0, false}, {Accepted, 3, 0, true}},
	} {
		var s standing
		for i, st := range steps {
			v := rawVerdict{state: st.state, round: st.round, attempts: uint32(st.ended)}
			if late := s.take(&v); late != st.late {
				t.Errorf("%s: step %d, %s: late is %v", name, i, st.state, late)
			}
		}
	}
}

// startLog starts a log server that several engines can share.
func startLog(t *testing.T, change ...func(*server.Options)) (urls string) {
	t.Helper()
	options := &server.Options{Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir(), SyncAlways: true}
	for _, c := range change {
		c(options)
	}
	s, err := server.NewServer(options)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the log is not ready")
	}
	u := url.URL{Scheme: "nats", Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Addr().(*net.TCPAddr).Port))}
	return u.String()
}

// onLog has an engine use a log server beside others, with a lease.
func onLog(urls string, lease time.Duration) func(*Config) {
	return func(cfg *Config) { cfg.Store.URLs, cfg.Store.Replicas, cfg.Lease = urls, 1, lease }
}

// A cluster without room for what is kept says what has to change.
func TestNoRoomOnTheCluster(t *testing.T) {
	urls := startLog(t, func(o *server.Options) { o.JetStreamMaxStore = 1 << 30 })
	cfg := Config{Store: StoreConfig{Dir: t.TempDir(), URLs: urls, Replicas: 1}}
	_, err := Open(t.Context(), cfg)
	if err == nil || !strings.Contains(err.Error(), "Config.VerdictBytes is 4294967296") || !strings.Contains(err.Error(), "max_file") {
		t.Error(err)
	}
}

// An engine that stands still for longer than its lease and then goes on gives
// nothing a second end, neither in the lists nor in the counts of any engine, nor
// after a start without the index.
func TestOneEnd(t *testing.T) {
	apple := apnstest.Start(t, func(cfg *sim.Config) { cfg.RoundTrip = 300 * time.Millisecond })
	urls := startLog(t)
	onCluster := onLog(urls, time.Second)
	a := newRig(t, apple, onCluster)
	// It stands still: first it writes no verdict, and when it has sent everything
	// it does not renew its leases either.
	a.recorder.mu.Lock()
	receipt := a.submit(hello(), devices(0, 3)...)
	b := a.batch(BatchConfig{})
	fill(t, b, 10, 30)
	if _, err := b.Close(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	const all = 23
	await.Until(t, "everything being sent", func() bool { return apple.Stats().Accepted >= all })
	a.leases.mu.Lock()
	other := newRig(t, apple, onCluster)
	other.wait(receipt.Message)
	other.waitBatch(b.ID(), isDone)
	a.recorder.mu.Unlock()
	a.leases.mu.Unlock()

	written := func() (n int) {
		info, err := a.ledger.stream.Info(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for seq := uint64(1); seq <= info.State.LastSeq; seq++ {
			data, err := a.ledger.record(t.Context(), seq)
			if err != nil {
				t.Fatal(err)
			}
			if err := readVerdicts(data, func(v *rawVerdict) { n++ }); err != nil {
				t.Fatal(err)
			}
		}
		return n
	}
	await.Until(t, "two verdicts for each", func() bool { return written() >= 2*all })
	look := func(name string, e *Engine) {
		t.Helper()
		page, err := e.Verdicts(t.Context(), Filter{}, Cursor{}, 1000)
		if err != nil || len(page.Verdicts) != all {
			t.Errorf("%s: %d verdicts are listed, %v", name, len(page.Verdicts), err)
		}
		for i := range receipt.Message.Count {
			d, err := e.Delivery(t.Context(), receipt.Message.ID(i))
			if err != nil || d.State != Accepted || len(d.History) > 0 {
				t.Errorf("%s: %+v, %v", name, d, err)
			}
		}
		s, err := e.Batch(t.Context(), b.ID())
		if err != nil || s.Counts.Final() != 20 {
			t.Errorf("%s: %+v, %v", name, s.Counts, err)
		}
	}
	look("the one that stood still", a.Engine)
	look("the other", other.Engine)
	other.close()
	other.open()
	look("after a start", other.Engine)
	other.close()
	third := newRig(t, apple, onCluster) // in a folder of its own
	look("with a new index", third.Engine)
	if err := third.Close(context.Background()); err != nil {
		t.Error(err)
	}
	third.Engine = nil
}

// What a cluster cannot do for the moment is asked of it again; what it refuses is not.
func TestAskedAgain(t *testing.T) {
	answer := func(code int, number jetstream.ErrorCode, text string) error {
		return fmt.Errorf("nats: %w", &jetstream.APIError{Code: code, ErrorCode: number, Description: text})
	}
	for name, test := range map[string]struct {
		err   error
		again bool
	}{
		"no leader":                         {answer(503, 10008, "JetStream system temporarily unavailable"), true},
		"no answer":                         {context.DeadlineExceeded, true},
		"nobody there":                      {nats.ErrNoResponders, true},
		"servers that are not heard of yet": {answer(400, 10005, "no suitable peers for placement, peer offline"), true},
		"no room":                           {answer(400, 10005, "no suitable peers for placement, insufficient storage"), false},
		"no room on the one":                {answer(500, 10047, "insufficient storage resources available"), false},
		"not allowed":                       {nats.ErrAuthorization, false},
		"a mistake":                         {answer(400, 10052, "stream name is required"), false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				asked := 0
				err := persist(t.Context(), func(context.Context) error {
					if asked++; asked == 5 {
						return nil
					}
					return test.err
				})
				if again := asked > 1; again != test.again || again == (err != nil) {
					t.Errorf("asked %d times, and %v", asked, err)
				}
			})
		})
	}
}
