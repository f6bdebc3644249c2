package engine

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"aviso.example/apns"
	"aviso.example/apnstest"
	"aviso.example/internal/await"
	"aviso.example/sim"
)

// What an engine decided long ago and writes down when another has ended the
// notification in a later round is late.
func TestLateRetry(t *testing.T) {
	apple := apnstest.Start(t)
	r := newRig(t, apple, onLog(startLog(t), time.Second))
	apple.AddFault(t, sim.Fault{Kind: sim.FaultAnswer, Reason: "ServiceUnavailable", Count: 1})
	receipt := r.submit(hello(), devices(0, 1)...)
	r.wait(receipt.Message)

	unit, number := split(receipt.Message.First)
	d, err := r.Delivery(t.Context(), receipt.Message.First)
	if err != nil {
		t.Fatal(err)
	}
	c := &chunk{
		path: path{d.App, d.Environment, d.Lane}, unit: unit, at: d.At.UnixMilli(),
		templates: []template{{first: number, count: 1, accepted: 1}}, targets: []target{{number: number, token: make([]byte, 32)}},
	}
	var w sectionWriter
	w.begin(c, false)
	w.add(c, &c.targets[0], time.Now(), &decision{state: Retrying, status: 503, retryAt: time.Now().Add(time.Minute)}, "", false)
	if err := r.recorder.write(t.Context(), &w); err != nil {
		t.Fatal(err)
	}
	if s := r.wait(receipt.Message); s.States[Accepted] != 1 {
		t.Errorf("%+v", s)
	}
	if d, err := r.Delivery(t.Context(), receipt.Message.First); err != nil || d.State != Accepted || len(d.History) != 1 {
		t.Errorf("%+v, %v", d, err)
	}
}

// A batch that is done loses its queue, and another engine that is about to put a
// retry there at that moment does not lose the retry.
func TestRetryIntoEndingQueue(t *testing.T) {
	apple := apnstest.Start(t)
	urls := startLog(t)
	a, other := newRig(t, apple, onLog(urls, 5*time.Second)), newRig(t, apple, onLog(urls, 5*time.Second))
	apple.AddFault(t, sim.Fault{Kind: sim.FaultAnswer, Reason: "ServiceUnavailable", DeviceToken: device(3), Count: 1})
	b := a.batch(BatchConfig{Rate: 10_000})
	fill(t, b, 0, 2*maxChunk) // and it stays open, so that nobody else drops its queue
	queueOf := func(r *rig) (q *queue) {
		await.Until(t, "the queue of the batch being known", func() bool {
			for _, have := range r.allQueues() {
				if !have.batch.IsZero() {
					q = have
				}
			}
			return q != nil
		})
		return q
	}
	mine, others := queueOf(a), queueOf(other)
	await.Until(t, "some being accepted", func() bool { return apple.Stats().Accepted >= maxChunk })
	await.Until(t, "the queue being sealed", func() bool {
		if err := a.dropIfEmpty(t.Context(), mine); err != nil {
			t.Fatal(err)
		}
		info, err := mine.stream.Info(t.Context())
		return err == nil && info.Config.Sealed
	})
	newRig(t, apple, onLog(urls, 5*time.Second)) // one that finds it so begins all the same
	c := &chunk{path: others.path, unit: BatchID(b.ID()).unit(), batch: true, at: time.Now().UnixMilli()}
	c.templates = []template{{payload: hello().Notification.Payload, bundleID: apple.Topic, pushType: "alert", priority: 10}}
	c.targets = []target{{number: 5000, token: []byte(strings.Repeat("x", 32)), round: 1}}
	if err := other.requeue(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	mine.sealed = time.Now().Add(-storeTimeout) // whatever was being written has been
	if err := a.dropIfEmpty(t.Context(), mine); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Close(t.Context(), ""); err != nil {
		t.Error(err)
	}
	await.Until(t, "the retries being accepted", func() bool { return apple.Stats().Accepted >= 2*maxChunk+1 })
}

// An engine that the log does not hear any more ends what it sends when its lease
// is over: by then somebody else may do it.
func TestLeaseIsConfirmed(t *testing.T) {
	urls := startLog(t)
	cut := newCut(t, strings.TrimPrefix(urls, "nats://"))
	mine, others := apnstest.Start(t), apnstest.Start(t)
	const lease = 2 * time.Second
	a := newRig(t, mine, onLog("nats://"+cut.Addr().String(), lease), func(cfg *Config) { cfg.Apps[0].Rate = 40 })
	receipt := a.submit(hello(), devices(0, 400)...)
	await.Until(t, "some being sent", func() bool { return mine.Stats().Accepted > 20 })
	cut.silence(true)
	defer cut.silence(false)
	other := newRig(t, others, onLog(urls, lease), func(cfg *Config) { cfg.Apps[0].Rate = 1000 })
	await.Until(t, "another taking over", func() bool { return others.Stats().Accepted > 0 })
	before := mine.Stats().Accepted
	other.wait(receipt.Message)
	if after := mine.Stats().Accepted; after > before {
		t.Errorf("%d were sent by an engine that had lost its lease", after-before)
	}
}

// Whoever resumes an app opens its gates on every engine.
func TestResumeOfAll(t *testing.T) {
	apple := apnstest.Start(t)
	urls := startLog(t)
	a, other := newRig(t, apple, onLog(urls, 5*time.Second)), newRig(t, apple, onLog(urls, 5*time.Second))
	for _, r := range []*rig{a, other} {
		r.gates.mu.Lock()
		r.gates.gates[gateKey{"shop", apns.Sandbox}] = &gate{reason: "400 TopicDisallowed", blame: blameTopic}
		r.gates.trouble.Store(true)
		r.gates.mu.Unlock()
	}
	receipt := a.submit(hello(), devices(0, 3)...)
	a.must(a.ResumeApp(t.Context(), "shop"))
	await.Until(t, "both gates being open", func() bool { return len(a.gates.holds("shop"))+len(other.gates.holds("shop")) == 0 })
	a.wait(receipt.Message)
}

// What one engine has accepted every engine knows, also on a queue that was made for it.
func TestKnownToOthersAtOnce(t *testing.T) {
	apple := apnstest.Start(t)
	urls := startLog(t)
	both := func(cfg *Config) {
		for i := range 8 {
			cfg.Apps = append(cfg.Apps, cfg.Apps[0])
			cfg.Apps[i+1].ID = fmt.Sprintf("app-%d", i)
		}
	}
	a, other := newRig(t, apple, onLog(urls, 5*time.Second), both), newRig(t, apple, onLog(urls, 5*time.Second), both)
	for _, app := range a.cfg.Apps {
		a.must(a.PauseApp(t.Context(), app.ID, ""))
		m := hello()
		m.App = app.ID
		receipt := a.submit(m, devices(0, 2)...)
		if s, err := other.Message(t.Context(), receipt.Message); err != nil || s.Accepted != 2 {
			t.Errorf("%+v, %v", s, err)
		}
		if d, err := other.Delivery(t.Context(), receipt.Message.ID(1)); err != nil || d.State != Queued {
			t.Errorf("%+v, %v", d, err)
		}
	}
}

// What one engine cannot send goes out by another: APNs refuses its credential, or it has
// no way to APNs; also at a rate that is too small to be divided, which it has.
func TestTroubleOfOneEngine(t *testing.T) {
	for name, test := range map[string]struct {
		noWay bool
		rate  float64
	}{
		"refused":                 {},
		"no way":                  {noWay: true},
		"no way, at a small rate": {noWay: true, rate: 8},
	} {
		t.Run(name, func(t *testing.T) {
			ill, well := apnstest.Start(t), apnstest.Start(t)
			urls := startLog(t)
			paced := func(cfg *Config) { cfg.Apps[0].Rate = test.rate }
			a := newRig(t, ill, onLog(urls, 5*time.Second), paced, func(cfg *Config) {
				if test.noWay {
					cfg.Apps[0].Sandbox.Endpoint = "127.0.0.1:1"
				}
				// It comes before all others.
				if err := os.WriteFile(filepath.Join(cfg.Store.Dir, nameFile), []byte("00000000-0000-0000-0000-000000000001"), 0o600); err != nil {
					t.Fatal(err)
				}
			})
			other := newRig(t, well, onLog(urls, 5*time.Second), paced)
			await.Until(t, "both having a part", func() bool { return a.part("shop", 100) == 50 && other.part("shop", 100) == 50 })
			ill.AddFault(t, sim.Fault{Kind: sim.FaultAnswer, Reason: "InvalidProviderToken"})
			var list []*Receipt
			for i := range 30 {
				list = append(list, a.submit(hello(), devices(i, i+1)...))
			}
			await.Until(t, "one engine having trouble", func() bool { return len(a.gates.holds("shop")) == 1 })
			began := time.Now()
			for _, receipt := range list {
				if s := other.wait(receipt.Message); s.States[Accepted] != 1 {
					t.Errorf("%+v", s)
				}
			}
			// The gate of one that is refused stays shut for half a minute at least.
			if took := time.Since(began); took > configurationPause/2 {
				t.Errorf("it took %v", took)
			}
			if n := ill.Stats().Accepted; n != 0 {
				t.Errorf("the one in trouble accepted %d", n)
			}
			if test.noWay {
				return // it tries once a second whether it has one again
			}
			for i := range 10 {
				if d := a.only(a.submit(hello(), devices(1000+i, 1001+i)...)); d.State != Accepted || d.Attempts != 1 {
					t.Errorf("%+v", d)
				}
			}
		})
	}
}

// What an engine held and gave back when it ended is called back where it is.
func TestCancelledAfterGivenBack(t *testing.T) {
	apple := apnstest.Start(t)
	urls := startLog(t)
	a := newRig(t, apple, onLog(urls, 5*time.Second))
	a.must(a.PauseApp(t.Context(), "shop", ""))
	other := newRig(t, apple, onLog(urls, 5*time.Second))
	var list []*Receipt
	for i := range 4 {
		list = append(list, a.submit(hello(), devices(i, i+1)...))
	}
	await.Until(t, "both holding some", func() bool { return a.leases.count() > 0 && other.leases.count() > 0 })
	other.close()
	for _, receipt := range list {
		a.must(a.CancelMessage(t.Context(), receipt.Message))
	}
	for _, receipt := range list {
		if s := a.wait(receipt.Message); s.States[Cancelled] != 1 {
			t.Errorf("%+v", s)
		}
	}
}

// A rate that is too small to be divided is kept by several engines as by one, and
// goes on when the one that had it ends.
func TestSmallRateOfMany(t *testing.T) {
	apple := apnstest.Start(t, recording)
	urls := startLog(t)
	var all []*rig
	for range 3 {
		all = append(all, newRig(t, apple, onLog(urls, 5*time.Second), func(cfg *Config) { cfg.Apps[0].Rate = 4 }))
	}
	whole := func() (first *rig, n int) {
		for _, r := range all {
			if r.Engine == nil {
				continue
			}
			switch r.part("shop", 4) {
			case 4:
				first = r
				n++
			case 0:
			default:
				t.Fatalf("a part of %v", r.part("shop", 4))
			}
		}
		return first, n
	}
	await.Until(t, "one having it", func() bool { _, n := whole(); return n == 1 && all[0].part("shop", 30) == 10 })
	began := time.Now()
	receipt := all[0].submit(hello(), devices(0, 12)...)
	for _, r := range all[1:] {
		r.submit(hello(), devices(100, 106)...)
	}
	await.Until(t, "some being accepted", func() bool { return apple.Stats().Accepted >= 12 })
	first, _ := whole()
	first.close()
	await.Until(t, "all being accepted", func() bool { return apple.Stats().Accepted >= 24 })
	for _, r := range all {
		if r.Engine != nil {
			r.wait(receipt.Message)
		}
	}
	// A busy machine is late, never early, also when another engine takes over.
	for i, at := range first.accepted(began) {
		if earliest := time.Duration(i) * time.Second / 4; at.Sub(began) < earliest {
			t.Errorf("number %d came after %v, at 4 a second", i+1, at.Sub(began))
		}
	}
}

// cut is a way to a server that can fall silent while its connections stay open.
type cut struct {
	net.Listener
	mu     sync.RWMutex // held for writing while it is silent
	quiet  bool
	ended  chan struct{}
	active sync.WaitGroup
}

func newCut(t *testing.T, to string) *cut {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cut{Listener: l, ended: make(chan struct{})}
	c.active.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				near.Close()
				continue
			}
			c.active.Go(func() { c.copy(far, near) })
			c.active.Go(func() { c.copy(near, far) })
			c.active.Go(func() { <-c.ended; near.Close(); far.Close() })
		}
	})
	t.Cleanup(func() { l.Close(); close(c.ended); c.active.Wait() })
	return c
}

func (c *cut) copy(to, from net.Conn) {
	defer to.Close()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		c.mu.RLock()
		_, werr := to.Write(buffer[:n])
		c.mu.RUnlock()
		if err != nil || werr != nil {
			return
		}
	}
}

func (c *cut) silence(on bool) {
	if on == c.quiet {
		return
	}
	c.quiet = on
	if on {
		c.mu.Lock()
	} else {
		c.mu.Unlock()
	}
}
