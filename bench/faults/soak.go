package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"aviso.example/apns"
	"aviso.example/sim"
)

const (
	// soakPhases alternate between faults after which the peer leaves no doubt
	// and all faults.
	soakPhases = 10
	// flatness and flatSlack are how far the least that is alive after a phase
	// may rise from the first half of the phases to the second. The least,
	// since a phase that ends with more connections keeps their buffers, about
	// 3 MiB for both ends of one; what leaks stays after every phase.
	flatness  = 1.2
	flatSlack = 4 << 20
	// mostRSS bounds the process at any moment. Its resident set wanders with
	// the collector's pace and the machine's load, between 28 and 57 MiB on one
	// day, so that two of its maxima say nothing about growth.
	mostRSS = 128 << 20
	// soakGoroutines bounds what client and simulator need together: a handful
	// for each of at most nine connections at both ends.
	soakGoroutines = 150
)

// sample is the process at one moment.
type sample struct {
	at          time.Duration
	settled     int64
	heap, rss   uint64
	goroutines  int
	connections int
}

// soakResult is what the soak found.
type soakResult struct {
	handed                                          int
	accepted, rejected, notSent, unknown            int64
	toldAccepted, toldProcessed                     int64 // of the phases that leave no doubt
	processed                                       int64
	dials                                           uint64
	samples                                         []sample
	live                                            []uint64 // bytes in use after each phase, collected
	firstLive, lastLive, mostRSS, mostHeap          uint64
	goroutinesMost, goroutinesLeft, connectionsMost int
	wall                                            time.Duration
	broken                                          []string
}

// soak sends for a long time through everything and watches what must not grow.
// The simulator is lean, since what a recorder keeps would hide what leaks: here
// duplicates are told from totals, exactly in the phases that leave no doubt.
func soak(o options) bool {
	before := runtime.NumGoroutine()
	r, err := prepare(&faultCase{
		name:   "soak",
		server: func(c *sim.Config) { c.Lean = true },
		client: func(_ *run, c *apns.Config) {
			c.MaxAttempts = 20
			c.RequestTimeout = 5 * time.Second
		},
	}, 0, false, o.seed)
	if err == nil {
		r.n = o.n
		// Hooks of the matrix keep a word for each notification; here a bit for
		// each has to do.
		err = r.newSoakClient()
	}
	if err != nil {
		fail(err)
	}
	var out soakResult
	broken := func(format string, args ...any) { out.broken = append(out.broken, fmt.Sprintf(format, args...)) }
	server := r.servers[0]
	seen := make([]atomic.Uint64, (o.n+63)/64)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Minute)
	defer cancel()

	began := time.Now()
	var settled atomic.Int64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	interval := 2 * time.Second
	if o.short {
		interval = 100 * time.Millisecond
	}
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(interval):
			}
			s := takeSample()
			s.at, s.settled, s.connections = time.Since(began), settled.Load(), r.client.Stats().Connections
			out.samples = append(out.samples, s)
			if len(out.samples)%5 == 0 && !o.short {
				fmt.Printf("%6v  %9d settled  heap %3d MiB  RSS %3d MiB  %3d goroutines  %d connections\n",
					s.at.Round(time.Second), s.settled, s.heap>>20, s.rss>>20, s.goroutines, s.connections)
			}
		}
	})

	for phase := range soakPhases {
		from, to := o.n/soakPhases*phase, o.n/soakPhases*(phase+1)
		if phase == soakPhases-1 {
			to = o.n
		}
		told := phase%2 == 0
		list := soakFaults(told)
		if phase == soakPhases-1 {
			// Only here, since a connection that swallows everything outlives
			// its phase and would leave doubt in the next.
			list = append(list, sim.Fault{Kind: sim.FaultHalfOpen, Every: o.n / soakPhases / 4})
		}
		if err := server.SetFaults(list...); err != nil {
			fail(err)
		}
		was, acceptedBefore := int64(server.Stats().Processed), out.accepted
		// The notifications of a phase share one payload, and few of them are
		// alive at a time.
		input := func(yield func(*apns.Notification) bool) {
			for i := from; i < to; i++ {
				out.handed++
				if !yield(r.notification(i)) {
					return
				}
			}
		}
		for result := range r.client.PushAll(ctx, input) {
			i := indexOf(result.Notification.ID)
			if bit := uint64(1) << (i % 64); seen[i/64].Or(bit)&bit != 0 {
				broken("#%d has two outcomes", i)
			}
			settled.Add(1)
			switch result.Outcome {
			case apns.Accepted:
				out.accepted++
			case apns.Rejected:
				out.rejected++
			case apns.NotSent:
				out.notSent++
			case apns.Unknown:
				out.unknown++
				if told {
					broken("#%d is unknown, although the peer always told: %v", i, result.Err)
				}
			}
			if result.Outcome == apns.NotSent || result.Outcome == apns.Rejected {
				broken("#%d: %v", i, result.Err)
			}
			if len(out.broken) > 50 {
				cancel()
			}
		}
		if told {
			out.toldAccepted += out.accepted - acceptedBefore
			out.toldProcessed += int64(server.Stats().Processed) - was
		}
		out.live = append(out.live, liveBytes())
	}
	out.wall = time.Since(began)
	close(stop)
	wg.Wait()
	out.processed = int64(server.Stats().Processed)
	out.dials = r.client.Stats().Dials
	closing, done := context.WithTimeout(context.Background(), 10*time.Second)
	defer done()
	if err := r.client.Close(closing); err != nil {
		broken("Close: %v", err)
	}
	r.judgeDials(&row{Dials: int(out.dials)}, time.Since(r.began), broken)
	server.Close()
	cancel()
	out.goroutinesLeft = leftBehind(before)
	out.judge(o, broken)
	for i := range out.handed {
		if seen[i/64].Load()&(1<<(i%64)) == 0 {
			broken("#%d has no outcome", i)
			break
		}
	}
	out.print()
	if o.doc != "" {
		if err := writeSoak(o, &out); err != nil {
			fail(err)
		}
	}
	return len(out.broken) == 0
}

// newSoakClient is newClient without what it notes about each notification.
func (r *run) newSoakClient() error {
	r.c.lean = true
	return r.newClient()
}

// soakFaults come a few times a second at the rates of a busy loopback.
func soakFaults(told bool) []sim.Fault {
	list := []sim.Fault{
		{Kind: sim.FaultGoAway, Probability: 1.0 / 20_000},
		{Kind: sim.FaultResetStream, Probability: 1.0 / 500, Code: &refusedStream},
		{Kind: sim.FaultAnswer, Probability: 1.0 / 1_000, Reason: "ServiceUnavailable"},
		{Kind: sim.FaultSettings, Probability: 1.0 / 50_000, Settings: sim.SettingsChange{MaxStreams: &one}, RestoreAfter: 20 * time.Millisecond},
		{Kind: sim.FaultRefuseConnection, Probability: 0.02},
	}
	if told {
		return append(list, sim.Fault{Kind: sim.FaultGoAway, Probability: 1.0 / 50_000, LastStream: &none, Double: true})
	}
	// Delays are not for the phases above: a request that was processed, and is
	// still to be answered when GOAWAY disowns everything, would be sent again
	// with good reason.
	list = append(list, sim.Fault{Kind: sim.FaultDelay, Probability: 1.0 / 1_000, Delay: 20 * time.Millisecond, Jitter: 50 * time.Millisecond})
	return append(list,
		sim.Fault{Kind: sim.FaultResetConnection, Probability: 1.0 / 50_000},
		sim.Fault{Kind: sim.FaultResetConnection, Probability: 1.0 / 50_000, Processed: true},
		sim.Fault{Kind: sim.FaultClose, Probability: 1.0 / 50_000},
		sim.Fault{Kind: sim.FaultResetStream, Probability: 1.0 / 10_000, Processed: true},
		sim.Fault{Kind: sim.FaultSilence, Probability: 1.0 / 50_000},
	)
}

// liveBytes is what is in use between two phases, when nothing is under way, so
// that what stays is what would grow.
func liveBytes() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func takeSample() sample {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return sample{heap: m.HeapAlloc, rss: residentBytes(m.Sys), goroutines: runtime.NumGoroutine()}
}

// residentBytes asks Linux; elsewhere what the Go runtime has mapped stands in.
func residentBytes(fallback uint64) uint64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return fallback
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return fallback
	}
	pages, err := strconv.ParseUint(fields[1], 10, 64)
	if err != nil {
		return fallback
	}
	return pages * uint64(os.Getpagesize())
}

// judge says what has grown, and what was counted wrongly.
func (s *soakResult) judge(o options, broken func(string, ...any)) {
	// The first tenth fills buffers and the heap's first target.
	warm := s.samples[min(len(s.samples), max(1, len(s.samples)/10)):]
	if len(warm) < 4 {
		broken("there are only %d samples", len(warm))
		return
	}
	for _, p := range warm {
		s.mostRSS, s.mostHeap = max(s.mostRSS, p.rss), max(s.mostHeap, p.heap)
		s.goroutinesMost = max(s.goroutinesMost, p.goroutines)
		s.connectionsMost = max(s.connectionsMost, p.connections)
	}
	half := len(s.live) / 2
	s.firstLive, s.lastLive = slices.Min(s.live[:half]), slices.Min(s.live[half:])
	if float64(s.lastLive) > flatness*float64(s.firstLive)+flatSlack {
		broken("memory grows: at least %s alive after a phase of the first half, %s after one of the second", kib(s.firstLive), kib(s.lastLive))
	}
	if s.mostRSS > mostRSS {
		broken("RSS of %d MiB", s.mostRSS>>20)
	}
	if s.goroutinesMost > soakGoroutines {
		broken("%d goroutines", s.goroutinesMost)
	}
	if s.goroutinesLeft > 0 {
		broken("%d goroutines were left behind", s.goroutinesLeft)
	}
	if s.handed != o.n || s.accepted+s.rejected+s.notSent+s.unknown != int64(o.n) {
		broken("%d handed in of %d, with %d outcomes", s.handed, o.n, s.accepted+s.rejected+s.notSent+s.unknown)
	}
	if s.toldAccepted != s.toldProcessed {
		broken("in the phases that leave no doubt, %d are called accepted and %d were processed", s.toldAccepted, s.toldProcessed)
	}
	if s.processed < s.accepted || s.processed > s.accepted+s.unknown {
		broken("%d were processed, %d are called accepted and %d unknown", s.processed, s.accepted, s.unknown)
	}
}

func kib(n uint64) string { return fmt.Sprintf("%d KiB", n>>10) }

func (s *soakResult) print() {
	fmt.Printf("%d handed in: %d accepted, %d rejected, %d not sent, %d unknown; %d processed, in %v\n",
		s.handed, s.accepted, s.rejected, s.notSent, s.unknown, s.processed, s.wall.Round(time.Second/10))
	fmt.Printf("phases that leave no doubt: %d accepted, %d processed\n", s.toldAccepted, s.toldProcessed)
	fmt.Printf("alive after a phase: at least %s in the first half, %s in the second; heap at most %d MiB, RSS %d MiB\n",
		kib(s.firstLive), kib(s.lastLive), s.mostHeap>>20, s.mostRSS>>20)
	fmt.Printf("%d goroutines at most, %d left behind; %d connections at most, %d dials\n",
		s.goroutinesMost, s.goroutinesLeft, s.connectionsMost, s.dials)
	for _, b := range s.broken {
		fmt.Println("BROKEN:", b)
	}
}
