package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"aviso.example/auth"
)

// bench conducts the measurement and keeps its results.
type bench struct {
	options
	dir, cache string
	log        io.Writer
	began      time.Time
	server     *serverProcess
	base       settings
	payloads   map[int]string // files, by size
	bearer     string
	clients    []*competitor
	results    []*result
	micro      []microResult
}

// result is one cell of a table: one client in one situation, several times.
type result struct {
	series string
	who    *competitor
	s      settings
	size   int
	far    bool
	runs   []sample
	failed string
}

// sample is one run.
type sample struct {
	report
	server  float64 // CPU seconds of the server meanwhile
	handled uint64  // requests it accepted meanwhile, warm-up included
	peak    int     // KiB of the client

	connections uint64
}

// cpu is the client's CPU time per accepted notification, in microseconds.
func (s sample) cpu() float64 { return 1e6 * s.CPU / float64(s.Accepted) }

func (s sample) perSecond() float64 { return float64(s.Accepted) / s.Seconds }

// serverCPU is the server's CPU time per request, in microseconds.
func (s sample) serverCPU() float64 { return 1e6 * s.server / float64(s.handled) }

// median and its bounds over the runs of a result.
type spreadOf struct{ median, min, max float64 }

func (r *result) of(value func(sample) float64) spreadOf {
	if len(r.runs) == 0 {
		return spreadOf{math.NaN(), math.NaN(), math.NaN()}
	}
	var list []float64
	for _, s := range r.runs {
		list = append(list, value(s))
	}
	slices.Sort(list)
	n := len(list)
	return spreadOf{(list[(n-1)/2] + list[n/2]) / 2, list[0], list[n-1]}
}

const (
	keyID  = "BENCHKEY01"
	teamID = "BENCHTEAM1"
	topic  = "com.example.bench"

	smallPayload = 170
	largePayload = 4096
)

// prepare starts the server, makes what clients need, and installs strangers.
func (b *bench) prepare(ctx context.Context) error {
	cache, err := os.UserCacheDir()
	if err != nil {
		return err
	}
	b.cache = filepath.Join(cache, "aviso-bench")
	key, err := auth.GenerateSigningKey(keyID)
	if err != nil {
		return err
	}
	b.base = settings{
		CAFile: filepath.Join(b.dir, "ca.pem"), KeyFile: filepath.Join(b.dir, "AuthKey_"+keyID+".p8"),
		KeyID: keyID, TeamID: teamID, Topic: topic,
	}
	if err := os.WriteFile(b.base.KeyFile, key.PEM(), 0o600); err != nil {
		return err
	}
	if b.bearer, err = bearer(&b.base); err != nil {
		return err
	}
	b.payloads = map[int]string{}
	for _, size := range []int{smallPayload, largePayload} {
		b.payloads[size] = filepath.Join(b.dir, fmt.Sprintf("payload-%d.json", size))
		if err := os.WriteFile(b.payloads[size], payloadOf(size), 0o600); err != nil {
			return err
		}
	}
	for _, c := range competitors() {
		if b.who != "" && !slices.Contains(strings.Split(b.who, ","), c.name) {
			c.absent = "left out by -who"
			b.clients = append(b.clients, c)
			continue
		}
		if c.install != nil {
			fmt.Fprintf(b.log, "preparing %s\n", c.name)
			if err := c.install(ctx, b, c); err != nil {
				c.absent = err.Error()
				fmt.Fprintf(b.log, "  absent: %s\n", c.absent)
			}
		}
		b.clients = append(b.clients, c)
	}
	return ctx.Err()
}

// payloadOf is a notification of so many bytes.
func payloadOf(size int) []byte {
	const before, after = `{"aps":{"alert":{"title":"Game Request","body":"`, `"},"badge":9,"sound":"default"},"gameID":"12345678"}`
	return []byte(before + strings.Repeat("x", size-len(before)-len(after)) + after)
}

// plan says what is measured. Counts are for the fastest clients; others get a
// fraction (competitor.slow).
type plan struct {
	name, what string
	add        func(b *bench)
	rounds     func(quick bool) int
}

// alone is the series that shows how long the distance really is.
const alone = "far, one at a time"

// quickRounds is how many rounds of a short measurement those take part in that
// are many times slower than the rest, whatever their last digit.
const quickRounds = 2

func pick(quick bool, short, long int) int {
	if quick {
		return short
	}
	return long
}

var plans = []plan{
	{
		"one", "one connection, 170 bytes", func(b *bench) {
			for _, c := range b.clients {
				b.plan("one", c, smallPayload, 1, pick(b.quick, 150_000, 1_000_000))
			}
		}, func(q bool) int { return pick(q, 5, 7) },
	},
	{
		"large", "one connection, 4 KB", func(b *bench) {
			for _, c := range b.clients {
				r := b.plan("large", c, largePayload, 1, pick(b.quick, 30_000, 300_000))
				if c.stalls { // with few payloads in a window it does so here too
					r.s.Notifications, r.s.Warmup = pick(b.quick, 500, 3000), 100
				}
			}
		}, func(q bool) int { return pick(q, 3, 5) },
	},
	{
		"several", "several connections", func(b *bench) {
			counts := []int{1, 2, 4, 8, 16}
			if b.quick {
				counts = []int{1, 4, 16}
			}
			for _, n := range counts {
				b.plan("several", b.find("aviso-batch"), smallPayload, n, pick(b.quick, 200_000, 1_000_000))
			}
			for _, c := range b.clients {
				if c.name != "aviso-batch" && !b.quick {
					b.plan("several", c, smallPayload, 4, 500_000)
				}
			}
		}, func(q bool) int { return pick(q, 1, 5) },
	},
	{
		"far", "50 ms round trip", func(b *bench) {
			for _, c := range b.clients {
				if c.far {
					r := b.plan("far", c, smallPayload, 1, pick(b.quick, 60_000, 200_000)*c.slow)
					r.far = true
					r.s.Warmup = 5_000
				}
			}
			r := b.plan(alone, b.find("aviso-push"), smallPayload, 1, pick(b.quick, 40, 200))
			r.far = true
			r.s.Latency, r.s.InFlight, r.s.Warmup = true, 1, 10
		}, func(q bool) int { return pick(q, 1, 5) },
	},
	{
		"latency", "latency", func(b *bench) {
			for _, c := range b.clients {
				b.plan("latency", c, smallPayload, 1, pick(b.quick, 60_000, 500_000)).s.Latency = true
			}
			for _, c := range b.clients {
				r := b.plan("latency", c, smallPayload, 1, pick(b.quick, 5_000, 20_000)*c.slow)
				r.s.Latency, r.s.InFlight, r.s.Warmup = true, 1, 2_000
				if c.stalls {
					r.s.Notifications, r.s.Warmup = 200, 20
				}
			}
		}, func(q bool) int { return pick(q, 1, 5) },
	},
	{
		"linear", "cost by number", func(b *bench) {
			counts := []int{10_000, 100_000, 1_000_000}
			if !b.quick {
				counts = append(counts, 10_000_000)
			}
			for _, n := range counts {
				b.plan("linear", b.find("aviso-batch"), smallPayload, 1, n)
			}
			if !b.quick {
				for _, name := range []string{"apns2", "net-http"} {
					c := b.find(name)
					for _, n := range []int{10_000, 100_000, 1_000_000} {
						b.plan("linear", c, smallPayload, 1, n*c.slow)
					}
				}
			}
		}, func(q bool) int { return pick(q, 1, 3) },
	},
}

func seriesNames() (names []string) {
	for _, p := range plans {
		names = append(names, p.name)
	}
	return append(names, "micro")
}

func (b *bench) find(name string) *competitor {
	for _, c := range b.clients {
		if c.name == name {
			return c
		}
	}
	panic(name)
}

// plan adds a cell.
func (b *bench) plan(series string, c *competitor, size, connections, n int) *result {
	s := b.base
	s.Client, s.PayloadFile, s.Connections, s.InFlight = c.name, b.payloads[size], connections, streams
	s.Notifications = n / c.slow
	s.Warmup = max(2*streams, min(20_000, s.Notifications))
	if connections > 1 {
		// Aviso opens another connection when those there have been full for a
		// while, without a pause.
		s.Warmup = 300_000 / c.slow
	}
	r := &result{series: series, who: c, s: s, size: size}
	b.results = append(b.results, r)
	return r
}

func (b *bench) wants(series string) bool {
	return b.only == "" || slices.Contains(strings.Split(b.only, ","), series)
}

func (b *bench) run(ctx context.Context) error {
	var err error
	if b.server, err = startServer(serverSettings{CAFile: b.base.CAFile}); err != nil {
		return err
	}
	defer b.server.stop()
	for _, p := range plans {
		if !b.wants(p.name) {
			continue
		}
		from := len(b.results)
		p.add(b)
		cells := b.results[from:]
		for round := range p.rounds(b.quick) {
			fmt.Fprintf(b.log, "%4.0f s  %s, round %d of %d\n", time.Since(b.began).Seconds(), p.what, round+1, p.rounds(b.quick))
			for i := range cells {
				// Each round begins with another client, so that nobody always
				// runs after the same one.
				cell := cells[(i+round)%len(cells)]
				if b.quick && round >= quickRounds && cell.who.slow > 1 {
					continue // starting them is most of a short measurement
				}
				if err := b.once(ctx, cell); err != nil {
					return err
				}
			}
		}
	}
	if b.wants("micro") {
		fmt.Fprintf(b.log, "%4.0f s  go test -bench\n", time.Since(b.began).Seconds())
		b.micro, err = b.runMicro(ctx)
	}
	return err
}

// once runs one client once. A client that fails is left out from then on, with
// the reason; only the server's failure, or a signal, ends the measurement.
func (b *bench) once(ctx context.Context, r *result) error {
	if r.who.absent != "" || r.failed != "" {
		return nil
	}
	s := r.s
	address := b.server.Near
	if r.far {
		address = b.server.Far
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	s.Host = host
	if s.Port, err = strconv.Atoi(port); err != nil {
		return err
	}
	before, err := b.server.usage()
	if err != nil {
		return fmt.Errorf("the server: %w", err)
	}
	rep, e, err := r.who.run(ctx, b, s)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err == nil && rep.Accepted == 0 {
		err = errors.New("nothing was accepted")
	}
	if err != nil {
		r.failed = err.Error()
		fmt.Fprintf(b.log, "  %s failed: %s\n", r.who.name, r.failed)
		return nil
	}
	after, err := b.server.usage()
	if err != nil {
		return fmt.Errorf("the server: %w", err)
	}
	sample := sample{
		report: rep, peak: e.peak, server: after.CPU - before.CPU, handled: after.Accepted - before.Accepted,
		// Who does not know how many it has is told by how many it made.
		connections: cmp.Or(uint64(max(rep.Connections, 0)), after.Connections-before.Connections),
	}
	r.runs = append(r.runs, sample)
	fmt.Fprintf(b.log, "        %-12s %2d conn %8d of %8d accepted %7.2f µs CPU %9.0f/s server %5.2f µs peak %d MiB\n", r.who.name, s.Connections, rep.Accepted, s.Notifications,
		sample.cpu(), sample.perSecond(), sample.serverCPU(), sample.peak>>10)
	return nil
}
