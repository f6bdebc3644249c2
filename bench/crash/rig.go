package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"time"

	"aviso.example/sim"
)

const (
	keyID, teamID = "AVISOTEST1", "AVISOTEAM1"
	topic         = "com.example.app"
	// window is Config.Window of the engines: small, so that the bound is worth
	// something.
	window = 2048
	lanes  = 3
	// roundTrip is the simulator's: with it, more is under way at a kill.
	roundTrip = 10 * time.Millisecond
	// drainEvery is how often the simulator's record is read, which keeps
	// recorded pushes at most.
	drainEvery = 25 * time.Millisecond
	recorded   = 300_000
)

// row is one scenario.
type row struct {
	name string
	// what happens, and what its numbers mean, for the table.
	what, noted string
	fullOnly    bool
	// n notifications, and ends of engines, of a full and a short run.
	n, ends           int
	shortN, shortEnds int
	faults            func(n int) []sim.Fault
	config            string // further lines of the engine section
	// calls are the operations of the API that change something and that this row
	// calls, by their ids in the document.
	calls []string
	play1 func(r *rig) error
}

// rig is a row under way.
type rig struct {
	*row
	*caller
	o      *options
	ctx    context.Context
	n      int
	ends   int
	dir    string
	config string
	log    string
	random *rand.Rand

	sim  *sim.Server
	book *book
	load *load
	res  *result

	mu      sync.Mutex
	borders []uint64 // the simulator's connections up to each end
	// byTime says that several engines run, and that what came after an end is
	// told by when it came.
	byTime bool
	fails  []failed
	lived  []life
	// unhurried says that how long things take after a start means nothing here.
	unhurried bool
	finals    int // notifications with a final verdict
}

func (r *rig) broken(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.res.Broken) < 20 {
		r.res.Broken = append(r.res.Broken, fmt.Sprintf(format, args...))
	} else {
		r.res.more++
	}
}

// wrongs is broken for what can go wrong again and again: it is counted, and the
// first time is told.
func (r *rig) wrongs(what, format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.res.Often {
		if r.res.Often[i].what == what {
			r.res.Often[i].times++
			return
		}
	}
	r.res.Often = append(r.res.Often, often{what, 1, fmt.Sprintf(format, args...)})
}

func (r *rig) say(format string, args ...any) {
	if r.o.verbose {
		fmt.Printf("%s %s: %s\n", time.Now().Format("15:04:05.000"), r.name, fmt.Sprintf(format, args...))
	}
}

// play runs a row.
func (c *row) play(ctx context.Context, o *options) *result {
	r := &rig{row: c, o: o, ctx: ctx, n: c.n, ends: c.ends, res: &result{row: c, States: map[string]int{}}}
	if o.short {
		r.n, r.ends = c.shortN, c.shortEnds
	}
	if c.name == "kill" {
		r.n, r.ends = max(o.n, 0), o.kills
		if r.n == 0 {
			r.n = map[bool]int{false: c.n, true: c.shortN}[o.short]
		}
		if r.ends == 0 {
			r.ends = map[bool]int{false: c.ends, true: c.shortEnds}[o.short]
		}
	}
	began := time.Now()
	if err := r.run(); err != nil {
		r.broken("%v", err)
	}
	r.res.Wall = time.Since(began)
	for _, o := range r.res.Often {
		r.res.Broken = append(r.res.Broken, fmt.Sprintf("%s, %d times; the first: %s", o.what, o.times, o.example))
	}
	return r.res
}

func (r *rig) run() error {
	r.random = rand.New(rand.NewPCG(r.o.seed, 1))
	r.dir = filepath.Join(r.o.dir, strings.ReplaceAll(strings.ReplaceAll(r.name, " ", "-"), ",", ""))
	if err := os.MkdirAll(r.dir, 0o700); err != nil {
		return err
	}
	r.log = filepath.Join(r.dir, "aviso.log")
	if err := r.simulate(); err != nil {
		return err
	}
	defer r.sim.Close()
	if err := r.configure(r.data(), r.row.config, shop); err != nil {
		return err
	}
	r.book = newBook(r.o.seed)
	r.book.strange = r.wrongs
	r.caller = &caller{operations: r.o.operations, row: r.name, http: newHTTP()}
	r.load = &load{book: r.book, caller: r.caller, most: 30_000, batch: 8_000, broken: r.broken}
	if r.o.short {
		r.load.batch = 3_000
	}
	draining, stop := context.WithCancel(r.ctx)
	var all sync.WaitGroup
	all.Go(func() {
		for tick := time.NewTicker(drainEvery); ; {
			select {
			case <-draining.Done():
				tick.Stop()
				return
			case <-tick.C:
				r.drain()
			}
		}
	})
	defer all.Wait()
	defer stop()
	return r.row.play1(r)
}

var drainMu sync.Mutex

// drain reads what the simulator recorded since the last time.
func (r *rig) drain() {
	drainMu.Lock()
	defer drainMu.Unlock()
	for _, p := range r.sim.Pushes(sim.Filter{After: r.book.seen}) {
		r.book.take(&p, r.epoch(p.Connection))
	}
}

// epoch says for which engine a connection was, counted from 0.
func (r *rig) epoch(connection uint64) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byTime {
		return len(r.borders)
	}
	return sort.Search(len(r.borders), func(i int) bool { return connection <= r.borders[i] })
}

// ended notes that an engine is gone: later connections are another one's.
func (r *rig) ended() {
	n := r.sim.Stats().Connections
	r.mu.Lock()
	defer r.mu.Unlock()
	r.borders = append(r.borders, n)
	r.res.Ends++
}

func (r *rig) simulate() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	r.sim, err = sim.New(sim.Config{
		TeamID: teamID, Keys: []sim.Key{{KeyID: keyID, TeamID: teamID, Public: &key.PublicKey}},
		RecorderLimit: recorded, DeviceLimit: 1, RoundTrip: roundTrip, Seed: r.o.seed,
	})
	if err != nil {
		return err
	}
	if _, err := r.sim.Start("127.0.0.1:0"); err != nil {
		return err
	}
	for i := range deadTokens {
		if err := r.sim.PutDevice(sim.Device{DeviceToken: deadToken(i), State: sim.Unregistered, Since: time.Now().Add(-time.Hour)}); err != nil {
			return err
		}
	}
	if r.faults != nil {
		if err := r.sim.SetFaults(r.faults(r.n)...); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(r.dir, "key.p8"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.dir, "ca.pem"), r.sim.CAPEM(), 0o600)
}

// data is the engine's folder.
func (r *rig) data() string { return filepath.Join(r.dir, "data") }

// Apps of the configuration, and what they send for.
const shop, news, renamed = "shop", "news", "news-2"

// configure writes the configuration of the engine, in one step, as a server may
// be reading it.
func (r *rig) configure(data, more string, apps ...string) error {
	r.config = filepath.Join(r.dir, "aviso.yaml")
	var b strings.Builder
	fmt.Fprintf(&b, "data: %s\ngrace: 20s\nengine:\n  window: %d\n%sapps:\n", data, window, more)
	for _, app := range apps {
		fmt.Fprintf(&b, `  %s:
    bundle_id: %s
    environment: sandbox
    key: key.p8
    key_id: %s
    team: %s
    endpoint: %s
    ca: ca.pem
`, app, topic, keyID, teamID, r.sim.Endpoint())
	}
	next := r.config + ".next"
	if err := os.WriteFile(next, []byte(b.String()), 0o600); err != nil {
		return err
	}
	return os.Rename(next, r.config)
}

func (r *rig) serve(killAfter time.Duration) (*server, error) {
	began := time.Now()
	s, err := serve(r.ctx, r.o, r.config, r.log, killAfter)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		r.res.Starts = append(r.res.Starts, s.took)
	}
	r.lived = append(r.lived, life{began, time.Now()})
	return s, err
}

// until waits for something, and reports whether it came.
func (r *rig) until(limit time.Duration, what func() bool) bool {
	for end := time.Now().Add(limit); !what(); {
		if r.ctx.Err() != nil || time.Now().After(end) {
			return false
		}
		time.Sleep(2 * time.Millisecond)
	}
	return true
}

// settle holds everything against each other, with an engine that is left alone.
func (r *rig) settle(s *server) {
	r.say("judging %d requests", len(r.book.requests))
	j := &judge{book: r.book, caller: r.caller, ctx: r.ctx, url: s.url, res: r.res, broken: r.broken, wrongs: r.wrongs, shared: r.byTime, limit: endsWithin}
	if r.o.short {
		j.limit = endsShort
	}
	j.run(func() { r.drain() })
	r.http.CloseIdleConnections()
	r.measure()
	for i := range j.fates {
		if j.fates[i].finals > 0 {
			r.finals++
		}
	}
	r.finals += j.elsewhere
}

// told are faults after which the peer leaves no doubt what it processed.
func told(n int) []sim.Fault {
	return []sim.Fault{
		{Kind: sim.FaultGoAway, Every: max(500, n/50)},
		{Kind: sim.FaultAnswer, Reason: "ServiceUnavailable", Every: max(400, n/300), Burst: 5},
		{Kind: sim.FaultAnswer, Reason: "ServiceUnavailable", Every: max(20_000, n/10), Burst: 100},
		{Kind: sim.FaultAnswer, Reason: "TooManyRequests", Probability: 0.0005},
	}
}

// doubtful are those and others.
func doubtful(n int) []sim.Fault {
	return append(told(n),
		sim.Fault{Kind: sim.FaultResetConnection, Every: max(3_001, n/30)},
		sim.Fault{Kind: sim.FaultSilence, Every: max(1_501, n/120)},
		sim.Fault{Kind: sim.FaultSilence, Every: max(2_503, n/60), Processed: true},
		sim.Fault{Kind: sim.FaultResetStream, Every: max(1_007, n/150), Processed: true},
	)
}

// busy are the faults of an APNs that has much to do and says so.
func busy(int) []sim.Fault {
	return []sim.Fault{
		{Kind: sim.FaultAnswer, Reason: "ServiceUnavailable", Probability: 0.08},
		{Kind: sim.FaultAnswer, Reason: "TooManyRequests", Probability: 0.18},
	}
}
