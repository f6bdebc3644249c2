package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"aviso.example/bench/pages"
)

// row is one thing that is measured, several times.
type row struct {
	group, name string
	simulator   int
	window      int    // of the gateway; 0 is the direct client
	sender      string // role
	connections int
	n           int
	badEvery    int

	runs []sample
}

// Groups of rows.
const (
	throughput = "throughput"
	rejections = "rejections"
	distance   = "distance"
)

// Windows that are measured: the default, and a large one.
const (
	smallWindow = 256
	largeWindow = 2048
)

func rows() []*row {
	return []*row{
		{group: throughput, name: "direct", n: 300_000},
		{group: throughput, name: "1 program, window 256", window: smallWindow, sender: "programs", connections: 1, n: 200_000},
		{group: throughput, name: "1 program, window 2048", window: largeWindow, sender: "programs", connections: 1, n: 200_000},
		{group: throughput, name: "8 programs, window 256", window: smallWindow, sender: "programs", connections: 8, n: 200_000},
		{group: throughput, name: "8 programs, window 2048", window: largeWindow, sender: "programs", connections: 8, n: 200_000},
		{group: throughput, name: "64 programs, window 256", window: smallWindow, sender: "programs", connections: 64, n: 200_000},
		{group: throughput, name: "64 programs, window 2048", window: largeWindow, sender: "programs", connections: 64, n: 200_000},
		{group: throughput, name: "legacy client, window 256", window: smallWindow, sender: "legacy", connections: 1, n: 60_000},
		{group: rejections, name: "direct, 1 % bad", simulator: rejecting, n: 100_000, badEvery: 100},
		{group: rejections, name: "8 programs, none bad", simulator: rejecting, window: smallWindow, sender: "programs", connections: 8, n: 16_000},
		{group: rejections, name: "8 programs, 1 % bad", simulator: rejecting, window: smallWindow, sender: "programs", connections: 8, n: 16_000, badEvery: 100},
		{group: distance, name: "far, direct", simulator: far, n: 200_000},
		{group: distance, name: "far, window 256", simulator: far, window: smallWindow, sender: "programs", connections: 1, n: 30_000},
		{group: distance, name: "far, window 2048", simulator: far, window: largeWindow, sender: "programs", connections: 1, n: 100_000},
	}
}

// sample is one measurement of a row.
type sample struct {
	n        int
	cpu      float64 // seconds
	mallocs  uint64
	took     time.Duration
	rejected int64
	dials    int
}

func (s sample) perNotification() float64 { return s.cpu * 1e6 / float64(s.n) }
func (s sample) perSecond() float64       { return float64(s.n) / s.took.Seconds() }
func (s sample) allocations() float64     { return float64(s.mallocs) / float64(s.n) }

type report struct {
	options
	began, ended time.Time
	load         string
	rows         []*row
	// connections that were idle, and what one of them takes, in bytes, and its
	// handshake in seconds of CPU.
	connections int
	idleBytes   float64
	handshake   float64
}

func (r *report) log(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%4.0f s  %s\n", time.Since(r.began).Seconds(), fmt.Sprintf(format, args...))
}

// bench is what a measurement needs.
type bench struct {
	*report
	dir       string
	simulator *process
	all       []*process
	gateways  map[[2]int]*process    // by simulator and window
	senders   map[[2]string]*process // by role and where they send to
}

func measureAll(ctx context.Context, o options) (*report, error) {
	dir, err := os.MkdirTemp("", "aviso-bench-gateway-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	b := &bench{
		report: &report{options: o, began: time.Now(), load: pages.Load()}, dir: dir,
		gateways: map[[2]int]*process{}, senders: map[[2]string]*process{},
	}
	defer func() {
		for _, p := range slices.Backward(b.all) {
			p.end()
		}
	}()
	if err := writeRig(dir); err != nil {
		return nil, err
	}
	if b.simulator, err = b.start("simulator", settings{Dir: dir}); err != nil {
		return nil, err
	}
	for _, w := range rows() {
		if strings.Contains(w.name, o.only) {
			w.n = max(int(float64(w.n)*o.share), 8*batch)
			b.rows = append(b.rows, w)
		}
	}
	// The first round is for warming up, and not counted.
	for round := range o.rounds + 1 {
		for _, w := range b.rows {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			q := question{N: w.n, Connections: w.connections, BadEvery: w.badEvery}
			if round == 0 {
				q.N = max(w.n/5, 8*batch)
			}
			s, err := b.one(w, q)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", w.name, err)
			}
			if round > 0 {
				w.runs = append(w.runs, s)
				b.log("%-26s round %d: %6.2f µs CPU, %4.2f allocations, %8.0f a second", w.name, round, s.perNotification(), s.allocations(), s.perSecond())
			}
		}
	}
	if strings.Contains("idle", o.only) {
		if err := b.idleConnections(); err != nil {
			return nil, fmt.Errorf("idle connections: %w", err)
		}
	}
	b.ended = time.Now()
	return b.report, nil
}

func (b *bench) start(role string, s settings) (*process, error) {
	p, err := start(role, s)
	if err == nil {
		b.all = append(b.all, p)
	}
	return p, err
}

// one measures a row once.
func (b *bench) one(w *row, q question) (sample, error) {
	if w.window == 0 {
		return b.oneDirect(w, q)
	}
	gateway, err := b.gateway(w)
	if err != nil {
		return sample{}, err
	}
	sender, err := b.sender(w.sender, gateway.addresses[0])
	if err != nil {
		return sample{}, err
	}
	q.Op = "open"
	if _, err := sender.ask(q); err != nil {
		return sample{}, err
	}
	before, err := gateway.ask(question{Op: "usage"})
	if err != nil {
		return sample{}, err
	}
	bad := q.badOnes()
	began := time.Now()
	q.Op = "send"
	if _, err := sender.ask(q); err != nil {
		return sample{}, err
	}
	after, err := gateway.ask(question{Op: "until", Accepted: before.Accepted + int64(q.N) - bad, Rejected: before.Rejected + bad})
	s := sample{n: q.N, took: time.Since(began), cpu: after.CPU - before.CPU, mallocs: after.Mallocs - before.Mallocs, rejected: bad}
	if err != nil {
		return s, err
	}
	a, err := sender.ask(question{Op: "finish"})
	if err != nil {
		return s, err
	}
	s.dials = a.Dials
	// What comes too late would be one too many.
	last, err := gateway.ask(question{Op: "usage"})
	if err != nil {
		return s, err
	}
	if accepted, rejected := last.Accepted-before.Accepted, last.Rejected-before.Rejected; accepted != int64(q.N)-bad || rejected != bad || a.Rejected != bad {
		return s, fmt.Errorf("of %d notifications, %d of them bad, %d were accepted and %d rejected; the programs were told of %d", q.N, bad, accepted, rejected, a.Rejected)
	}
	return s, nil
}

func (b *bench) oneDirect(w *row, q question) (sample, error) {
	client, err := b.sender("direct", b.simulator.addresses[w.simulator])
	if err != nil {
		return sample{}, err
	}
	before, err := client.ask(question{})
	if err != nil {
		return sample{}, err
	}
	began := time.Now()
	after, err := client.ask(q)
	if err != nil {
		return sample{}, err
	}
	s := sample{n: q.N, took: time.Since(began), cpu: after.CPU - before.CPU, mallocs: after.Mallocs - before.Mallocs, rejected: after.Rejected - before.Rejected}
	if accepted := after.Accepted - before.Accepted; s.rejected != q.badOnes() || accepted != int64(q.N)-s.rejected {
		return s, fmt.Errorf("%d were accepted and %d rejected of %d", accepted, s.rejected, q.N)
	}
	return s, nil
}

// gateway is the one for a row, which others may share.
func (b *bench) gateway(w *row) (p *process, err error) {
	key := [2]int{w.simulator, w.window}
	if p = b.gateways[key]; p != nil {
		return p, nil
	}
	s := settings{Dir: b.dir, Endpoint: b.simulator.addresses[w.simulator], Window: w.window}
	if b.profile != "" {
		s.Profile = filepath.Join(b.profile, fmt.Sprintf("gateway-%d-%d.prof", w.simulator, w.window))
	}
	if p, err = b.start("gateway", s); err == nil {
		b.gateways[key] = p
	}
	return p, err
}

// sender is the process in a role that sends to an address.
func (b *bench) sender(role, address string) (p *process, err error) {
	key := [2]string{role, address}
	if p = b.senders[key]; p != nil {
		return p, nil
	}
	if p, err = b.start(role, settings{Dir: b.dir, Endpoint: address}); err == nil {
		b.senders[key] = p
	}
	return p, err
}

// idleConnections measures the memory of connections that have sent one
// notification each and send no more.
func (b *bench) idleConnections() error {
	n := b.idle
	if most := descriptors() - 200; n > most {
		b.log("%d connections instead of %d: this process may not open more files", most, n)
		n = most
	}
	if n < 1 {
		return errors.New("no connection can be opened; raise the limit of open files (ulimit -n)")
	}
	gateway, err := b.start("gateway", settings{Dir: b.dir, Endpoint: b.simulator.addresses[near]})
	if err != nil {
		return err
	}
	sender, err := b.start("programs", settings{Dir: b.dir, Endpoint: gateway.addresses[0]})
	if err != nil {
		return err
	}
	measure := func(more, sum int) (answer, error) {
		if _, err := sender.ask(question{Op: "idle", Connections: more}); err != nil {
			return answer{}, err
		}
		before, err := gateway.ask(question{Op: "until", Accepted: int64(sum)})
		if err != nil {
			return answer{}, err
		}
		after, err := gateway.ask(question{Op: "memory"})
		after.usage = before.usage
		return after, err
	}
	// The first few bring what there is once.
	const few = 20
	before, err := measure(few, few)
	if err != nil {
		return err
	}
	after, err := measure(n, few+n)
	if err != nil {
		return err
	}
	b.connections = n
	b.idleBytes = float64(after.Resident-before.Resident) / float64(n)
	b.handshake = (after.CPU - before.CPU) / float64(n)
	b.log("%d idle connections: %.1f KiB each, %.0f µs CPU to begin", n, b.idleBytes/1024, b.handshake*1e6)
	return nil
}
