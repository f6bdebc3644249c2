package main

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime"
	"runtime/pprof"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"aviso.example/apns"
	"aviso.example/auth"
	"aviso.example/sim"
)

const (
	keyID, teamID = "AVISOTEST1", "AVISOTEAM1"
	topic         = "com.example.app"
	body          = `{"aps":{"alert":{"title":"Boarding","body":"Gate 12 closes in ten minutes"}}}`
)

// row is what one run of a case found, for the table.
type row struct {
	Case                                 string
	Handed                               int
	Accepted, Rejected, NotSent, Unknown int
	Duplicates                           int
	Processed                            int // distinct notifications that a simulator processed
	Recovery                             time.Duration
	Dials                                int
	DialBound                            int
	Goroutines                           int // left behind
	Wall                                 time.Duration
	Reasons                              map[string]int // of the rejections
	Broken                               []string       // invariants that did not hold
	Error                                string         // the case could not be run
	UnknownProcessed, ErrorsUnprocessed  int
	Lost, Hung                           int // of the rival
}

// run is one case under way.
type run struct {
	c       *faultCase
	n       int
	short   bool
	seed    uint64
	began   time.Time
	key     *ecdsa.PrivateKey
	servers []*sim.Server
	client  *apns.Client
	// clock is added to the client's idea of the time, in nanoseconds.
	clock atomic.Int64

	outcomes []atomic.Uint32 // what callers saw: count<<8 | outcome
	hooked   []atomic.Uint32 // what Hooks.OnOutcome saw, likewise
	resent   []atomic.Uint32 // attempts that were followed by another
	answers  []string        // reasons of rejections, by index
	handed   atomic.Int64
	settled  atomic.Int64

	lastAccept, longest atomic.Int64 // nanoseconds since began

	// earned counts the connections that the simulators answered earnedBack
	// times with success; -1 if they keep no record.
	earned int

	mu     sync.Mutex
	events []connEvent
}

// connEvent is a dial, or the end of a connection that earned one back.
type connEvent struct {
	at     time.Time
	refund bool
}

// id makes the apns-id of a notification, from which its index can be read.
func (r *run) id(i int) (id apns.ID) {
	binary.BigEndian.PutUint64(id[:8], r.seed<<16|0x7000)
	id[8] = 0x80
	binary.BigEndian.PutUint32(id[12:], uint32(i)+1)
	return id
}

func indexOf(id apns.ID) int { return int(binary.BigEndian.Uint32(id[12:])) - 1 }

// deviceToken makes a device token for each notification; those of a case with
// hot devices come back every hundredth time.
func (r *run) deviceToken(i int) string {
	if r.c.hot > 0 && i%100 == 0 {
		return hotDevice(i / 100 % r.c.hot)
	}
	return fmt.Sprintf("%016x%016x%032x", r.seed, i, i*2654435761)
}

func hotDevice(i int) string { return fmt.Sprintf("%064x", 0xbeef0000+i) }

func (r *run) notification(i int) *apns.Notification {
	payload := []byte(body)
	if r.c.payload != "" {
		payload = []byte(r.c.payload)
	}
	return &apns.Notification{ID: r.id(i), DeviceToken: r.deviceToken(i), Payload: payload}
}

// input yields all notifications of the run, each counted as handed in.
func (r *run) input(yield func(*apns.Notification) bool) {
	for i := range r.n {
		r.handed.Add(1)
		if !yield(r.notification(i)) {
			return
		}
	}
}

// acceptedNow measures the gap since the acceptance before, as long as there is
// more to hand in: at the end only those are left that wait for something.
func (r *run) acceptedNow() {
	at := int64(time.Since(r.began))
	gap := at - r.lastAccept.Swap(at)
	if r.handed.Load() == int64(r.n) {
		return
	}
	for old := r.longest.Load(); gap > old && !r.longest.CompareAndSwap(old, gap); old = r.longest.Load() {
	}
}

// note takes an outcome as a caller sees it.
func (r *run) note(i int, err error) {
	r.outcomes[i].Store((r.outcomes[i].Load()>>8+1)<<8 | uint32(apns.OutcomeOf(err)))
	if e, ok := errors.AsType[*apns.RejectedError](err); ok {
		r.answers[i] = cmp.Or(string(e.Reason), fmt.Sprint(e.Status))
	}
	r.settled.Add(1)
}

// pushAll is how a case hands in its notifications if it says nothing else.
func pushAll(ctx context.Context, r *run) {
	for result := range r.client.PushAll(ctx, r.input) {
		r.note(indexOf(result.Notification.ID), result.Err)
	}
}

// until waits until a share of the notifications has an outcome.
func (r *run) until(ctx context.Context, share float64) bool {
	for r.settled.Load() < int64(share*float64(r.n)) {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(time.Millisecond):
		}
	}
	return true
}

func (r *run) startServer() (*sim.Server, error) {
	cfg := sim.Config{
		TeamID: teamID, Keys: []sim.Key{{KeyID: keyID, TeamID: teamID, Public: &r.key.PublicKey}},
		// Above every push of the run, resends included: duplicates are counted
		// among the recorded ones.
		RecorderLimit: 20*r.n + 10_000, DeviceLimit: 1,
		Seed: r.seed,
		Now:  r.now,
	}
	if r.short {
		// Or it would be over before a case's middle comes.
		cfg.RoundTrip = 3 * time.Millisecond
	}
	if r.c.server != nil {
		r.c.server(&cfg)
	}
	s, err := sim.New(cfg)
	if err != nil {
		return nil, err
	}
	if _, err := s.Start("127.0.0.1:0"); err != nil {
		return nil, err
	}
	for i := range r.c.hot {
		if err := s.PutDevice(sim.Device{DeviceToken: hotDevice(i), Throttle: sim.Throttle{Limit: 1}}); err != nil {
			return nil, err
		}
	}
	r.servers = append(r.servers, s)
	return s, nil
}

func (r *run) now() time.Time { return time.Now().Add(time.Duration(r.clock.Load())) }

// prepare starts the simulator with the faults of the case.
func prepare(c *faultCase, n int, short bool, seed uint64) (*run, error) {
	r := &run{
		c: c, n: n, short: short, seed: seed & (1<<40 - 1), began: time.Now(),
		outcomes: make([]atomic.Uint32, n), hooked: make([]atomic.Uint32, n), resent: make([]atomic.Uint32, n),
		answers: make([]string, n), earned: -1,
	}
	var err error
	if r.key, err = ecdsa.GenerateKey(elliptic.P256(), crand.Reader); err != nil {
		return nil, err
	}
	s, err := r.startServer()
	if err != nil {
		return nil, err
	}
	if c.faults != nil {
		err = s.SetFaults(c.faults(r)...)
	}
	return r, err
}

func (r *run) keyPEM() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(r.key)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), err
}

func (r *run) newClient() error {
	text, err := r.keyPEM()
	if err != nil {
		return err
	}
	key, err := auth.ParseSigningKey(text, keyID)
	if err != nil {
		return err
	}
	cfg := apns.Config{
		Key: key, TeamID: teamID, BundleID: topic,
		Endpoint: r.servers[0].Endpoint(), ExtraRoots: r.servers[0].CAPEM(),
		Timeout: 80 * time.Second, Now: r.now,
	}
	if os.Getenv("FAULTS_LOG") != "" {
		cfg.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	if r.short {
		// The faults of a short run come every 100 requests: the default window
		// of thousands would put all of it in flight at once.
		cfg.BatchWindow = 60
	}
	if r.c.client != nil {
		r.c.client(r, &cfg)
	}
	cfg.Hooks = apns.Hooks{
		OnOutcome: func(n *apns.Notification, e apns.OutcomeEvent) {
			seen := &r.hooked[indexOf(n.ID)]
			seen.Store((seen.Load()>>8+1)<<8 | uint32(e.Outcome))
			if e.Outcome == apns.Accepted {
				r.acceptedNow()
			}
		},
		OnRetry: func(n *apns.Notification, _ apns.RetryEvent) { r.resent[indexOf(n.ID)].Add(1) },
		OnConnection: func(e apns.ConnectionEvent) {
			r.mu.Lock()
			defer r.mu.Unlock()
			switch now := time.Now(); e.Kind {
			case apns.Connected, apns.ConnectFailed:
				r.events = append(r.events, connEvent{at: now.Add(-e.Took)})
			case apns.ConnectionClosed:
				if e.Answered >= earnedBack {
					r.events = append(r.events, connEvent{at: now, refund: true})
				}
			}
		},
	}
	if r.c.lean {
		cfg.Hooks.OnOutcome, cfg.Hooks.OnRetry = nil, nil
	}
	r.client, err = apns.New(cfg)
	return err
}

// runCase runs one case with our client and judges it.
func runCase(c *faultCase, n int, short bool, seed uint64) row {
	before := runtime.NumGoroutine()
	if c.procs > 0 {
		runtime.GOMAXPROCS(c.procs)
	}
	r, err := prepare(c, n, short, seed)
	if err == nil {
		err = r.newClient()
	}
	if err != nil {
		return row{Case: c.name, Error: err.Error()}
	}
	ctx, cancel := context.WithTimeout(context.Background(), rowLimit)
	beside, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	if c.middle != nil {
		wg.Go(func() { c.middle(beside, r) })
	}
	r.began = time.Now()
	if c.send != nil {
		c.send(ctx, r)
	} else {
		pushAll(ctx, r)
	}
	out := row{Case: c.name, Handed: int(r.handed.Load()), Wall: time.Since(r.began), Recovery: time.Duration(r.longest.Load()), Reasons: map[string]int{}}
	broken := func(format string, args ...any) {
		if len(out.Broken) < 20 {
			out.Broken = append(out.Broken, fmt.Sprintf(format, args...))
		}
	}
	if ctx.Err() != nil {
		broken("it was not over after %v", rowLimit)
	}
	stop()
	wg.Wait()
	dials := r.client.Stats().Dials
	closing, done := context.WithTimeout(context.Background(), 10*time.Second)
	if err := r.client.Close(closing); err != nil {
		broken("Close: %v", err)
	}
	done()
	cancel()
	life := time.Since(r.began)
	for _, s := range r.servers {
		s.Close()
	}
	out.Dials = int(dials)
	r.judge(&out, broken)
	r.judgeDials(&out, life, broken)
	out.Goroutines = leftBehind(before)
	if out.Goroutines > 0 {
		broken("%d goroutines were left behind", out.Goroutines)
		pprof.Lookup("goroutine").WriteTo(os.Stderr, 1)
	}
	return out
}

// leftBehind counts the goroutines that do not end within a moment.
func leftBehind(before int) int {
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		if left := runtime.NumGoroutine() - before; left <= 0 || time.Since(began) > 5*time.Second {
			return max(0, left)
		}
	}
}

// fate is what the simulators did with one notification.
type fate struct {
	processed int
	seen      int
	rejected  string // the reason given last
}

func (r *run) fates() []fate {
	fates := make([]fate, r.n)
	r.earned = 0
	for _, s := range r.servers {
		succeeded := map[uint64]int{}
		for _, p := range s.Pushes(sim.Filter{}) {
			if p.Outcome == sim.Accepted {
				if succeeded[p.Connection]++; succeeded[p.Connection] == earnedBack {
					r.earned++
				}
			}
			id, err := apns.ParseID(p.ID)
			if i := indexOf(id); err == nil && i >= 0 && i < r.n {
				f := &fates[i]
				f.seen++
				switch p.Outcome {
				case sim.Accepted, sim.AcceptedUnanswered:
					f.processed++
				case sim.Rejected:
					f.rejected = cmp.Or(string(p.Reason), fmt.Sprint(p.Status))
				}
			}
		}
	}
	return fates
}

// judge compares what callers were told with what the simulators did.
func (r *run) judge(out *row, broken func(string, ...any)) {
	fates := r.fates()
	duplicates := 0
	for _, s := range r.servers {
		duplicates += int(s.Stats().Duplicates)
	}
	for i := range r.n {
		told, f := r.outcomes[i].Load(), fates[i]
		o := apns.Outcome(told & 0xff)
		if i >= out.Handed {
			if told != 0 || f.seen > 0 {
				broken("#%d was never handed in, but has an outcome or was seen", i)
			}
			continue
		}
		if told>>8 != 1 {
			broken("#%d has %d outcomes", i, told>>8)
			continue
		}
		if hooked := r.hooked[i].Load(); hooked != told {
			broken("#%d: the caller was told %v, the hook %d times %v", i, o, hooked>>8, apns.Outcome(hooked&0xff))
		}
		if f.processed > 0 {
			out.Processed++
			out.Duplicates += f.processed - 1
		}
		switch o {
		case apns.Accepted:
			out.Accepted++
			if f.processed == 0 {
				broken("#%d is called accepted and was not processed", i)
			}
		case apns.Rejected:
			out.Rejected++
			out.Reasons[r.answers[i]]++
			switch {
			case f.processed > 0 && !r.c.resend:
				broken("#%d is called rejected (%s) and was processed", i, r.answers[i])
			case f.rejected != r.answers[i]:
				broken("#%d: rejected with %q, told %q", i, f.rejected, r.answers[i])
			case r.c.rejects == nil || !slices.Contains(r.c.rejects, r.answers[i]):
				broken("#%d: rejected with %q, which this row has no reason for", i, r.answers[i])
			}
		case apns.NotSent:
			out.NotSent++
			switch {
			case f.processed > 0:
				broken("#%d is called not sent and was processed", i)
			case !r.c.unsent:
				broken("#%d was not sent, although there was time", i)
			}
		case apns.Unknown:
			out.Unknown++
			if f.processed > 0 {
				out.UnknownProcessed++
			}
			if !r.c.silent {
				broken("#%d is called unknown, although the peer always told", i)
			}
		default:
			broken("#%d has outcome %d", i, o)
		}
		switch {
		case f.processed <= 1:
		case !r.c.resend:
			broken("#%d was processed %d times, and nobody had allowed it", i, f.processed)
		case f.processed > 2 || r.resent[i].Load() == 0:
			broken("#%d was processed %d times; an unanswered attempt may be followed by one more", i, f.processed)
		}
	}
	if duplicates != out.Duplicates {
		broken("the simulators count %d duplicates, their records hold %d", duplicates, out.Duplicates)
	}
	if r.c.expect != nil {
		if problem := r.c.expect(out, r.n); problem != "" {
			broken("%s", problem)
		}
	}
}

// The documented rate of attempts to connect (internal/pool/params.go): a bucket
// of dialBurst that gains one each dialEvery, and one for each connection that
// answered earnedBack requests.
const (
	dialBurst  = 10
	dialEvery  = 800 * time.Millisecond
	earnedBack = 100
)

// heardLate is by how much the replayed bucket may stand below the real one.
// The hook hears of a dial a little after the bucket did, a fraction of what it
// gains in a second; and if a dial is given back in between to a bucket that was
// full, the replay, which has it the other way round, loses that one.
const heardLate = 1.25

// judgeDials replays the bucket with what the hooks saw, and compares the sum.
func (r *run) judgeDials(out *row, life time.Duration, broken func(string, ...any)) {
	slices.SortStableFunc(r.events, func(a, b connEvent) int { return a.at.Compare(b.at) })
	level, at, earned := float64(dialBurst), r.began, 0
	for _, e := range r.events {
		level = min(dialBurst, level+float64(e.at.Sub(at))/float64(dialEvery))
		at = e.at
		if e.refund {
			level = min(dialBurst, level+1)
			earned++
			continue
		}
		if level--; level < -heardLate {
			broken("the dial at %v exceeds the documented rate: %.2f in the bucket", e.at.Sub(r.began), level)
		}
	}
	if r.earned >= 0 {
		// The hook tells how many requests were answered, not with what; the
		// simulators know, if not when.
		earned = min(earned, r.earned)
	}
	out.DialBound = dialBurst + int(life/dialEvery) + earned
	if out.Dials > out.DialBound {
		broken("%d dials, %d allowed", out.Dials, out.DialBound)
	}
}

// dialTo is a net.Dialer that connects to whatever address says now.
func dialTo(address func() string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address())
	}
}
