package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// The test is its own children, as the program is.
func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		if err := child(role); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", role, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// A small run of every row but the client of package legacy, which waits for
// seconds to be sure. Each checks that everything was accepted, or rejected and
// told, as it should be.
func TestEveryRow(t *testing.T) {
	for _, only := range []string{"program", "far", "bad", "idle"} {
		t.Run(only, func(t *testing.T) {
			t.Parallel()
			r, err := measureAll(t.Context(), options{share: 0.005, idle: 30, rounds: 1, only: only})
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range r.rows {
				for _, s := range w.runs {
					if s.cpu <= 0 || s.took <= 0 || s.mallocs == 0 || s.rejected != (&question{N: s.n, BadEvery: w.badEvery}).badOnes() {
						t.Errorf("%s: %+v", w.name, s)
					}
					if w.sender == "programs" && s.dials != w.connections+int(s.rejected) {
						t.Errorf("%s: %d connections for %d rejections", w.name, s.dials, s.rejected)
					}
				}
			}
			if only == "idle" && (r.connections != 30 || r.idleBytes <= 0 || r.handshake <= 0) {
				t.Errorf("%d idle connections: %.0f bytes, %v s", r.connections, r.idleBytes, r.handshake)
			}
		})
	}
}

func TestRender(t *testing.T) {
	r := &report{began: time.Now(), ended: time.Now(), load: "99", rows: rows(), connections: 5000, idleBytes: 40 << 10, handshake: 0.0005}
	for i, w := range r.rows {
		s := sample{n: w.n, cpu: float64(w.n) * 2e-6, took: time.Second}
		if w.window > 0 {
			s.cpu *= 2
		}
		if w.badEvery > 0 {
			s.rejected, s.cpu = int64(w.n/w.badEvery), 2*s.cpu
		}
		w.runs = []sample{s, s, s}
		w.runs[i%3].cpu *= 1.5
	}
	text := r.render()
	for _, want := range []string{
		"Measured on a busy machine", "**2.00 ×** the direct client's CPU", "**400 µs** of CPU", "takes **40.0 KiB**",
		"| 1 program, window 256 | **4.00** [4.00–6.00] | 2.00 × |", "window of 256 over 20 ms: **234 %**", "| 5,000 | 40.0 | 500 |",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
}
