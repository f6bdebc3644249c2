package main

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
)

// microResult is one line of go test -bench.
type microResult struct {
	pkg, name     string
	ns            float64
	bytes, allocs int
}

// microPackages hold the benchmarks that need no network.
var microPackages = []string{"./auth", "./payload"}

// runMicro runs the benchmarks of single parts.
func (b *bench) runMicro(ctx context.Context) ([]microResult, error) {
	long := "1s"
	if b.quick {
		long = "30ms"
	}
	args := append([]string{"test", "-run=^$", "-bench=.", "-benchmem", "-benchtime=" + long}, microPackages...)
	e, err := run(ctx, filepath.Clean(b.root), nil, "go", args...)
	if err != nil {
		return nil, fmt.Errorf("%w%s", err, tail(e.stdout))
	}
	return parseMicro(e.stdout), nil
}

func parseMicro(out []byte) (list []microResult) {
	pkg := ""
	for line := range bytes.Lines(out) {
		f := strings.Fields(string(line))
		if len(f) == 2 && f[0] == "pkg:" {
			_, pkg, _ = strings.Cut(f[1], "/")
		}
		if len(f) < 4 || !strings.HasPrefix(f[0], "Benchmark") {
			continue
		}
		r := microResult{pkg: pkg, name: strings.TrimPrefix(f[0], "Benchmark")}
		if at := strings.LastIndexByte(r.name, '-'); at > 0 {
			if _, err := strconv.Atoi(r.name[at+1:]); err == nil {
				r.name = r.name[:at] // how many cores it had
			}
		}
		for i := 2; i+1 < len(f); i += 2 {
			v, err := strconv.ParseFloat(f[i], 64)
			if err != nil {
				continue
			}
			switch f[i+1] {
			case "ns/op":
				r.ns = v
			case "B/op":
				r.bytes = int(v)
			case "allocs/op":
				r.allocs = int(v)
			}
		}
		list = append(list, r)
	}
	return list
}
