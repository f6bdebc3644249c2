package cli

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"aviso.example/apns"
	"aviso.example/internal/message"
	"aviso.example/internal/proto"
)

const (
	// benchRing is how many device tokens go round; to header compression, one
	// that comes again after so many is new.
	benchRing = 4096
	// benchWindow is how many notifications each connection has at hand: more
	// than its streams, so that another one is opened while all are full.
	benchWindow = 2048
	// benchWarmup is sent before anything is measured.
	benchWarmup = 10_000
	// benchHopeless is after how many outcomes it stops if none was accepted.
	benchHopeless = 100
	// benchSettle bounds the time in which connections are opened.
	benchSettle = 30 * time.Second
	// benchSamples bounds the latencies that are kept, evenly spaced.
	benchSamples = 1 << 18

	maxBenchNotifications = 1_000_000_000
	maxBenchConnections   = 64
)

type benchFlags struct {
	endpoint, ca               string
	identity                   identity
	topic                      string
	notifications, connections int
	payloadSize                int
	timeout                    time.Duration
	forceRemote                bool
}

func (a *app) benchCommand() *cobra.Command {
	f := &benchFlags{}
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure this client against a simulator",
		Long: `Send many notifications to a simulator as fast as it takes them, and say what
that cost: CPU time, throughput, latency, allocations and memory of this process.

Start the simulator with aviso simulate --lean, in a process of its own, so that
its CPU time is not counted. All devices are invented, so this never sends to
Apple, and to other machines only with --force-remote. The first notifications
open the connections and are not measured. Latency runs from handing in to the
outcome, with 2,048 notifications for each connection under way or waiting.

Exit code 3 or 4 says that some were not accepted.`,
		Example: `  aviso simulate --lean --trust-any-key --ca-out ca.pem
  aviso bench --endpoint 127.0.0.1:2197 --ca ca.pem --key AuthKey_ABC123DEFG.p8 --team A1B2C3D4E5`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.bench(cmd.Context(), f) },
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.endpoint, "endpoint", "", "send to the simulator at `HOST:PORT`")
	flags.StringVar(&f.ca, "ca", "", "trust the certificates in this PEM `FILE` too, such as the simulator's")
	f.identity.register(flags)
	flags.StringVar(&f.topic, "topic", "com.example.app", "bundle `ID` to send to")
	flags.IntVar(&f.notifications, "notifications", 100_000, "measure `N` notifications")
	flags.IntVar(&f.connections, "connections", 1, "open up to `N` connections")
	flags.IntVar(&f.payloadSize, "payload-size", 170, "payload of `N` bytes")
	flags.DurationVar(&f.timeout, "timeout", 5*time.Minute, "stop after this `TIME`, done or not")
	flags.BoolVar(&f.forceRemote, "force-remote", false, "let --endpoint be another machine, but never Apple's")
	return cmd
}

// benchPayload parts are what surrounds the filling.
const (
	benchPayloadBefore = `{"aps":{"alert":{"title":"Bench","body":"`
	benchPayloadAfter  = `"}}}`
)

func (f *benchFlags) config(a *app) (cfg apns.Config, err error) {
	// The endpoint comes first: nobody should have to find a credential only to
	// hear that the address will not do.
	if f.endpoint == "" {
		return cfg, usage("--endpoint is missing: the address of a simulator, as aviso simulate prints it")
	}
	host, _, err := net.SplitHostPort(f.endpoint)
	if err != nil {
		return cfg, usage("--endpoint has to be HOST:PORT: %w", err)
	}
	loopback, err := isLoopback(f.endpoint)
	switch {
	case err != nil:
		return cfg, usage("--endpoint has to be HOST:PORT: %w", err)
	case isApple(host):
		return cfg, usage("--endpoint %s is Apple's; invented device tokens by the thousand get a sender blocked there, so this command never goes there", host)
	case !loopback && !f.forceRemote:
		return cfg, usage("--endpoint %s is another machine, which may not expect this; use a simulator on 127.0.0.1, or add --force-remote", host)
	}
	least := len(benchPayloadBefore) + len(benchPayloadAfter)
	switch {
	case f.notifications < 1 || f.notifications > maxBenchNotifications:
		return cfg, usage("--notifications is %d; it has to be from 1 to %d", f.notifications, maxBenchNotifications)
	case f.connections < 1 || f.connections > maxBenchConnections:
		return cfg, usage("--connections is %d; it has to be from 1 to %d", f.connections, maxBenchConnections)
	case f.payloadSize < least || f.payloadSize > proto.MaxPayload:
		return cfg, usage("--payload-size is %d; it has to be from %d to %d", f.payloadSize, least, proto.MaxPayload)
	case f.timeout <= 0:
		return cfg, usage("--timeout is %v; it has to be a time like 30s", f.timeout)
	}
	cfg.Endpoint = f.endpoint
	if f.ca != "" {
		if cfg.ExtraRoots, err = readRoots(f.ca); err != nil {
			return cfg, usage("--ca: %w", err)
		}
	}
	if err := f.identity.apply(a, &cfg); err != nil {
		return cfg, err
	}
	cfg.MaxConnections = f.connections
	cfg.BatchWindow = benchWindow * f.connections
	if a.verbose > 0 {
		cfg.Logger = a.logger()
	}
	return cfg, nil
}

// appleNetwork belongs to Apple as a whole, its servers for push included.
var appleNetwork = netip.MustParsePrefix("17.0.0.0/8")

// isApple reports whether a host is one of Apple's, by name or address.
func isApple(host string) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		return appleNetwork.Contains(ip.Unmap())
	}
	host = strings.ToLower(strings.TrimRight(host, "."))
	return host == "apple.com" || strings.HasSuffix(host, ".apple.com")
}

// benchReport is what it prints.
type benchReport struct {
	Notifications int     `json:"notifications"`
	Accepted      int     `json:"accepted"`
	Rejected      int     `json:"rejected"`
	NotSent       int     `json:"not_sent"`
	Unknown       int     `json:"unknown"`
	PayloadSize   int     `json:"payload_size"`
	Connections   int     `json:"connections"`
	Seconds       float64 `json:"seconds"`
	PerSecond     float64 `json:"accepted_per_second"`
	// CPU time, user and system, where the system tells.
	CPUSeconds float64      `json:"cpu_seconds,omitempty"`
	CPUMicros  float64      `json:"cpu_microseconds_per_accepted,omitempty"`
	Allocs     float64      `json:"allocations_per_notification"`
	Bytes      float64      `json:"bytes_per_notification"`
	PeakMiB    float64      `json:"peak_mib,omitempty"`
	Latency    benchLatency `json:"latency_milliseconds"`
	// Example is the first error.
	Example string `json:"example,omitempty"`
	invalid bool   // the first error is of the command line's making
}

type benchLatency struct {
	P50  float64 `json:"p50"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p99.9"`
}

func (a *app) bench(ctx context.Context, f *benchFlags) error {
	cfg, err := f.config(a)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	latencies := newReservoir(f.notifications)
	cfg.Hooks.OnOutcome = latencies.add
	client, err := newClient(cfg)
	if err != nil {
		return err
	}
	defer closeClient(client)
	run := newBenchRun(client, f)

	if warm := run.warmUp(ctx, f.connections); warm.Accepted == 0 {
		a.warnf("warming up: %s", warm.Example)
		return exit(warm.exitCode())
	}
	if n := client.Stats().Connections; n < f.connections && ctx.Err() == nil {
		a.warnf("only %d of %d connections stand after %v", n, f.connections, benchSettle)
	}

	latencies.start()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	cpu, began := processCPU(), time.Now()
	r := run.send(ctx, f.notifications)
	r.Seconds, r.CPUSeconds = time.Since(began).Seconds(), (processCPU() - cpu).Seconds()
	runtime.ReadMemStats(&after)
	if r.Notifications == 0 {
		return &exitError{ExitUnreachable, fmt.Errorf("stopped while warming up: %w", context.Cause(ctx))}
	}
	r.Connections, r.PayloadSize = client.Stats().Connections, f.payloadSize
	r.PerSecond = float64(r.Accepted) / r.Seconds
	if r.Accepted > 0 {
		r.CPUMicros = 1e6 * r.CPUSeconds / float64(r.Accepted)
	}
	r.Allocs = float64(after.Mallocs-before.Mallocs) / float64(r.Notifications)
	r.Bytes = float64(after.TotalAlloc-before.TotalAlloc) / float64(r.Notifications)
	r.PeakMiB = float64(processPeak()) / (1 << 20)
	r.Latency = latencies.quantiles()
	if r.Notifications < f.notifications {
		a.warnf("stopped after %d of %d notifications: %v", r.Notifications, f.notifications, context.Cause(ctx))
	}
	if a.json {
		if err := a.printJSON(r); err != nil {
			return err
		}
		return exit(r.exitCode())
	}
	a.printBench(&r)
	return exit(r.exitCode())
}

// benchRun holds what is sent, made before anything is measured.
type benchRun struct {
	client *apns.Client
	list   []apns.Notification
}

func newBenchRun(client *apns.Client, f *benchFlags) *benchRun {
	payload := []byte(benchPayloadBefore + strings.Repeat("x", f.payloadSize-len(benchPayloadBefore)-len(benchPayloadAfter)) + benchPayloadAfter)
	run := &benchRun{client: client, list: make([]apns.Notification, benchRing)}
	for i := range run.list {
		var device [32]byte
		rand.Read(device[:])
		run.list[i] = apns.Notification{DeviceToken: hex.EncodeToString(device[:]), Payload: payload}
		message.SetTopic(&run.list[i], f.topic)
	}
	return run
}

// send sends n notifications.
func (b *benchRun) send(ctx context.Context, n int) benchReport {
	return b.sendAll(ctx, func(i int) bool { return i < n })
}

// warmUp sends until all connections stand. They are opened one by one while
// those there are full, so there must be no pause.
func (b *benchRun) warmUp(ctx context.Context, connections int) benchReport {
	end := time.Now().Add(benchSettle)
	return b.sendAll(ctx, func(i int) bool {
		return i%benchWindow != 0 || i < benchWarmup || b.client.Stats().Connections < connections && time.Now().Before(end)
	})
}

func (b *benchRun) sendAll(ctx context.Context, more func(i int) bool) benchReport {
	var r benchReport
	input := func(yield func(*apns.Notification) bool) {
		for i := 0; more(i); i++ {
			if !yield(&b.list[i%len(b.list)]) {
				return
			}
		}
	}
	for result := range b.client.PushAll(ctx, input) {
		r.Notifications++
		switch result.Outcome {
		case apns.Accepted:
			r.Accepted++
		case apns.Rejected:
			r.Rejected++
		case apns.NotSent:
			r.NotSent++
		case apns.Unknown:
			r.Unknown++
		}
		if result.Err != nil && r.Example == "" {
			r.Example = result.Err.Error()
			_, r.invalid = errors.AsType[*apns.InvalidError](result.Err)
		}
		if r.Accepted == 0 && r.Notifications == benchHopeless {
			break // the rest would fare no better
		}
	}
	if r.Notifications == 0 { // ctx was done before the first
		r.Example = context.Cause(ctx).Error()
	}
	return r
}

func (r *benchReport) exitCode() int {
	switch {
	case r.invalid:
		return ExitUsage
	case r.NotSent+r.Unknown > 0 || r.Notifications == 0:
		return ExitUnreachable
	case r.Rejected > 0:
		return ExitRejected
	}
	return ExitOK
}

// reservoir keeps the latency of every step-th notification. Outcomes come from
// several connections at once.
type reservoir struct {
	step    int64
	started atomic.Bool
	seen    atomic.Int64
	times   []time.Duration
}

func newReservoir(n int) *reservoir {
	step := (n + benchSamples - 1) / benchSamples
	return &reservoir{step: int64(step), times: make([]time.Duration, n/step+1)}
}

// start begins, after the warm-up.
func (r *reservoir) start() { r.started.Store(true) }

// add is a hook of the client.
func (r *reservoir) add(_ *apns.Notification, e apns.OutcomeEvent) {
	if !r.started.Load() {
		return
	}
	if i := r.seen.Add(1) - 1; i%r.step == 0 {
		r.times[i/r.step] = e.Took
	}
}

func (r *reservoir) quantiles() benchLatency {
	times := r.times[:(r.seen.Load()+r.step-1)/r.step]
	slices.Sort(times)
	at := func(q float64) float64 {
		if len(times) == 0 {
			return 0
		}
		return float64(times[int(math.Ceil(q*float64(len(times))))-1].Microseconds()) / 1000
	}
	return benchLatency{P50: at(0.5), P99: at(0.99), P999: at(0.999)}
}

func (a *app) printBench(r *benchReport) {
	row := func(name, format string, args ...any) {
		a.printf("%-22s %s\n", name, fmt.Sprintf(format, args...))
	}
	row("notifications", "%d of %d bytes, %d connections", r.Notifications, r.PayloadSize, r.Connections)
	row("accepted", "%d", r.Accepted)
	for _, o := range []struct {
		name string
		n    int
	}{{"rejected", r.Rejected}, {"not sent", r.NotSent}, {"unknown", r.Unknown}} {
		if o.n > 0 {
			row(o.name, "%d", o.n)
		}
	}
	if r.Example != "" {
		row("first error", "%s", r.Example)
	}
	row("throughput", "%.0f a second, in %.2f s", r.PerSecond, r.Seconds)
	if r.CPUSeconds > 0 {
		row("CPU per accepted", "%.2f µs", r.CPUMicros)
	}
	row("allocations", "%.3f, %.0f bytes for each notification", r.Allocs, r.Bytes)
	if r.PeakMiB > 0 {
		row("peak memory", "%.0f MiB", r.PeakMiB)
	}
	row("latency", "p50 %.2f ms, p99 %.2f ms, p99.9 %.2f ms", r.Latency.P50, r.Latency.P99, r.Latency.P999)
}
