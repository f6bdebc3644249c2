package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// competitor is one way to send, measured beside the others.
type competitor struct {
	name, label string
	// version is said in the report.
	version string
	// absent says why it could not be measured here.
	absent string
	// slow divides how many notifications it is given, so that all run about
	// equally long.
	slow int
	// far leaves it out of the measurement with a round-trip time if false.
	far bool
	// stalls marks one that takes 40 ms for a request when nothing else is under
	// way, since it leaves Nagle's algorithm on; there is no use in many of these.
	stalls bool
	// install makes it ready, and fails with the reason if that cannot be done.
	install func(ctx context.Context, b *bench, c *competitor) error
	run     func(ctx context.Context, b *bench, s settings) (report, ended, error)
}

func goClient(name, label, version string, slow int) *competitor {
	return &competitor{
		name: name, label: label, version: version, slow: slow, far: true,
		run: func(ctx context.Context, b *bench, s settings) (report, ended, error) {
			self, err := os.Executable()
			if err != nil {
				return report{}, ended{}, err
			}
			return reporting(run(ctx, "", roleEnv("client", s), self))
		},
	}
}

func competitors() []*competitor {
	return []*competitor{
		goClient("aviso-batch", "**Aviso, PushAll**", "this tree", 1),
		goClient("aviso-push", "**Aviso, Push** from 1,000 goroutines", "this tree", 1),
		{
			name: "h2load", label: "h2load (C; one constant path, no APNs logic)", slow: 1, far: true,
			install: installH2load, run: runH2load,
		},
		goClient("apns2", "apns2 (Go), 1,000 goroutines", "v0.25.0", 10),
		goClient("net-http", "net/http (Go), 1,000 goroutines", "", 8),
		{
			name: "a2", label: "a2 (Rust), 1,000 tasks", version: "0.10.0, patched, see below", slow: 5, stalls: true,
			install: installA2, run: runProgram(func(b *bench) (string, []string) {
				return filepath.Join(b.scratch("a2"), "target", "release", "aviso-bench-a2"), nil
			}),
		},
		{
			name: "pushy", label: "pushy (Java), 1,000 under way", version: "0.15.4", slow: 5,
			install: installPushy, run: runProgram(func(b *bench) (string, []string) {
				dir := b.scratch("pushy")
				return "java", []string{"-cp", filepath.Join(dir, "classes") + ":" + filepath.Join(dir, "lib", "*"), "Main"}
			}),
		},
		{
			name: "node-apn", label: "@parse/node-apn (JavaScript), 1,000 under way", version: "8.1.0", slow: 15,
			install: installNode, run: runProgram(func(b *bench) (string, []string) {
				return "node", []string{filepath.Join(b.scratch("node"), "main.cjs")}
			}),
		},
	}
}

// reporting reads the report that a client prints as its last line.
func reporting(e ended, err error) (report, ended, error) {
	if err != nil {
		return report{}, e, err
	}
	lines := bytes.Split(bytes.TrimSpace(e.stdout), []byte("\n"))
	var r report
	if err := json.Unmarshal(lines[len(lines)-1], &r); err != nil {
		return r, e, fmt.Errorf("%w in %.200q", err, e.stdout)
	}
	return r, e, nil
}

func runProgram(command func(*bench) (string, []string)) func(context.Context, *bench, settings) (report, ended, error) {
	return func(ctx context.Context, b *bench, s settings) (report, ended, error) {
		name, args := command(b)
		return reporting(run(ctx, b.dir, roleEnv("client", s), name, args...))
	}
}

// need looks for programs.
func need(names ...string) error {
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			return fmt.Errorf("%s is not installed", name)
		}
	}
	return nil
}

func installH2load(ctx context.Context, _ *bench, c *competitor) error {
	if err := need("h2load"); err != nil {
		return fmt.Errorf("%w (Debian: nghttp2-client)", err)
	}
	e, err := run(ctx, "", nil, "h2load", "--version")
	c.version = strings.TrimSpace(strings.TrimPrefix(string(e.stdout), "h2load "))
	return err
}

var (
	h2loadDone     = regexp.MustCompile(`requests: (\d+) total, .* (\d+) done, (\d+) succeeded`)
	h2loadFinished = regexp.MustCompile(`finished in ([0-9.]+)(us|ms|s|m|h)`)
	h2loadStatus   = regexp.MustCompile(`status codes: (\d+) 2xx`)
)

// runH2load cannot look at its own process, so what a run with one request on
// each connection costs is taken off: starting, and shaking hands.
func runH2load(ctx context.Context, b *bench, s settings) (report, ended, error) {
	log := filepath.Join(b.dir, "h2load.log")
	args := func(n int) []string {
		list := []string{
			"-n", strconv.Itoa(n), "-c", strconv.Itoa(s.Connections), "-m", strconv.Itoa(s.InFlight), "-t", "1", "-d", s.PayloadFile,
			"-H", "authorization: " + b.bearer, "-H", "apns-topic: " + s.Topic, "-H", "apns-push-type: alert", "-H", "apns-priority: 10",
			"-H", "apns-id: 123e4567-e89b-12d3-a456-426614174000",
		}
		if s.Latency && n > s.Connections {
			list = append(list, "--log-file="+log)
		}
		return append(list, "https://"+s.endpoint()+"/3/device/"+strings.Repeat("0123456789abcdef", 4))
	}
	var empty float64
	const tries = 3
	for range tries {
		e, err := run(ctx, "", nil, "h2load", args(s.Connections)...)
		if err != nil {
			return report{}, e, err
		}
		empty += e.cpu / tries
	}
	e, err := run(ctx, "", nil, "h2load", args(s.Notifications+s.Connections)...)
	if err != nil {
		return report{}, e, err
	}
	var r report
	status, finished := h2loadStatus.FindSubmatch(e.stdout), h2loadFinished.FindSubmatch(e.stdout)
	if status == nil || finished == nil || h2loadDone.FindSubmatch(e.stdout) == nil {
		return r, e, fmt.Errorf("not the output that was expected: %.300q", e.stdout)
	}
	if r.Accepted, err = strconv.Atoi(string(status[1])); err != nil {
		return r, e, err
	}
	r.Accepted -= s.Connections
	if r.Seconds, err = strconv.ParseFloat(string(finished[1]), 64); err != nil {
		return r, e, err
	}
	r.Seconds *= map[string]float64{"us": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}[string(finished[2])]
	r.CPU, r.Connections = e.cpu-empty, s.Connections
	if s.Latency {
		r.P50, r.P99, r.P999, err = h2loadLatencies(log)
	}
	return r, e, err
}

// h2loadLatencies reads its log: begin, status, microseconds.
func h2loadLatencies(path string) (p50, p99, p999 float64, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, 0, 0, err
	}
	defer os.Remove(path)
	var times []float64
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) != 3 {
			continue
		}
		us, err := strconv.ParseFloat(f[2], 64)
		if err != nil {
			return 0, 0, 0, err
		}
		times = append(times, us/1e6)
	}
	if len(times) == 0 {
		return 0, 0, 0, errors.New("h2load logged nothing")
	}
	slices.SortFunc(times, cmp.Compare)
	at := func(q float64) float64 { return times[int(math.Ceil(q*float64(len(times))))-1] }
	return at(0.5), at(0.99), at(0.999), nil
}

// scratch is where a stranger is built: outside the tree, and kept between runs.
func (b *bench) scratch(name string) string { return filepath.Join(b.cache, name) }

// installed runs the strangers' own installer.
func installed(ctx context.Context, b *bench, name string) error {
	e, err := run(ctx, "", nil, filepath.Join("strangers", name, "install"), b.scratch(name))
	if err != nil {
		return fmt.Errorf("it could not be built: %w%s", err, tail(e.stdout))
	}
	return nil
}

func tail(out []byte) string {
	text := strings.TrimSpace(string(out))
	return text[max(0, len(text)-300):]
}

func installA2(ctx context.Context, b *bench, c *competitor) error {
	if err := need("cargo", "patch"); err != nil {
		return err
	}
	return installed(ctx, b, c.name)
}

func installPushy(ctx context.Context, b *bench, c *competitor) error {
	if err := need("mvn", "java"); err != nil {
		return err
	}
	return installed(ctx, b, c.name)
}

func installNode(ctx context.Context, b *bench, c *competitor) error {
	if err := need("npm", "node"); err != nil {
		return err
	}
	return installed(ctx, b, "node")
}
