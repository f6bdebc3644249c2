package main

import (
	"encoding/json"
	"io"
	"math"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"aviso.example/auth"
	"aviso.example/bench/pages"
)

// A small run of every client that is made of Go, in this process. What the
// others need is not on every machine, and what they cost is nothing a test can
// judge.
func TestEveryGoClient(t *testing.T) {
	dir := t.TempDir()
	key, err := auth.GenerateSigningKey(keyID)
	if err != nil {
		t.Fatal(err)
	}
	s := settings{
		CAFile: filepath.Join(dir, "ca.pem"), KeyFile: filepath.Join(dir, "key.p8"), KeyID: keyID, TeamID: teamID, Topic: topic,
		PayloadFile: filepath.Join(dir, "payload.json"), Connections: 1, InFlight: 100, Warmup: 100, Notifications: 1000,
	}
	for path, content := range map[string][]byte{s.KeyFile: key.PEM(), s.PayloadFile: payloadOf(smallPayload)} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}

	questions, ask := io.Pipe()
	hear, answers := io.Pipe()
	served := make(chan error, 1)
	go func() { served <- serve(t.Context(), serverSettings{CAFile: s.CAFile}, questions, answers) }()
	said := json.NewDecoder(hear)
	var ready serverReady
	if err := said.Decode(&ready); err != nil {
		t.Fatal(err)
	}
	host, port, err := net.SplitHostPort(ready.Near)
	if err != nil {
		t.Fatal(err)
	}
	s.Host = host
	if s.Port, err = strconv.Atoi(port); err != nil {
		t.Fatal(err)
	}
	for name := range goClients {
		for _, latency := range []bool{false, true} {
			s.Client, s.Latency = name, latency
			r, err := measure(t.Context(), s)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if r.Accepted != s.Notifications || r.CPU <= 0 || r.Seconds <= 0 || r.Mallocs == 0 {
				t.Errorf("%s: %+v", name, r)
			}
			if latency && (r.P50 <= 0 || r.P99 < r.P50 || r.P999 < r.P99 || r.P999 > r.Seconds) {
				t.Errorf("%s: latencies: %+v", name, r)
			}
		}
	}
	go ask.Write([]byte("usage\n"))
	var u serverUsage
	if err := said.Decode(&u); err != nil {
		t.Fatal(err)
	}
	if want := uint64(2 * len(goClients) * (s.Connections + s.Warmup + s.Notifications)); u.Accepted != want || u.Rejected != 0 || u.CPU <= 0 {
		t.Errorf("the server accepted %d, want %d: %+v", u.Accepted, want, u)
	}
	ask.Close()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestPayloadHasTheSize(t *testing.T) {
	for _, size := range []int{smallPayload, largePayload} {
		if p := payloadOf(size); len(p) != size || !json.Valid(p) {
			t.Errorf("%d bytes: %s", len(p), p)
		}
	}
}

// A report says what fell short, and who was absent.
func TestRender(t *testing.T) {
	b := &bench{options: options{only: "one,far"}, clients: competitors()}
	for _, c := range b.clients {
		r := b.plan("one", c, smallPayload, 1, 1000)
		for _, cpu := range []float64{3, 1, 2} {
			if c.name == "h2load" {
				cpu /= 2
			}
			r.runs = append(r.runs, sample{report: report{Accepted: 1000, Seconds: 1, CPU: cpu / 1000, Mallocs: 500}, handled: 1000, server: 0.001, peak: 1024})
		}
	}
	b.find("a2").absent = "cargo is not installed"
	text := b.render()
	for _, want := range []string{
		"**2.00 ×** h2load's (**missed**)", "a2 (Rust): cargo is not installed",
		"| **Aviso, PushAll** | 2.00 [1.00–3.00] | 1,000 | 0.50 | 0 | 1 | 1.00 |", "allocations per notification, PushAll | 0.500 |",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
}

func TestParseMicro(t *testing.T) {
	got := parseMicro([]byte("goos: linux\npkg: aviso.example/payload\nBenchmarkLint/4KB-2  \t 1000\t 1234 ns/op\t 3.1 MB/s\t 56 B/op\t 2 allocs/op\nPASS\n"))
	if want := []microResult{{"payload", "Lint/4KB", 1234, 56, 2}}; !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
}

func TestNumbers(t *testing.T) {
	for v, want := range map[float64]string{0: "0.00", 0.0123: "0.012", 1.234: "1.23", 12.34: "12.3", 1234.5: "1,235", math.NaN(): ""} {
		if got := number(v); got != want && !math.IsNaN(v) {
			t.Errorf("%v: %s, want %s", v, got, want)
		}
	}
	if got := pages.Thousands(1234567); got != "1,234,567" {
		t.Error(got)
	}
}
