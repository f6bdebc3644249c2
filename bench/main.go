// Command bench measures Aviso's client beside other people's against one
// server, and writes docs/performance.md. `make bench` runs it.
//
// The server (our simulator, with all its checks, recording nothing) and every
// client are processes of their own on loopback, so that the CPU time of each is
// the kernel's account of that process and of nothing else. Runs of different
// clients are interleaved, so that what else the machine does hits all alike.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// maxDuration bounds the whole measurement.
const maxDuration = 90 * time.Minute

// roleVariable tells a process of this program what it is in a measurement;
// without it, it is the one that conducts.
const roleVariable = "AVISO_BENCH_ROLE"

// settingsVariable holds what a server or client process has to know, as JSON.
const settingsVariable = "AVISO_BENCH_SETTINGS"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, maxDuration)
	defer cancel()
	if err := dispatch(ctx); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func dispatch(ctx context.Context) error {
	given := []byte(os.Getenv(settingsVariable))
	switch role := os.Getenv(roleVariable); role {
	case "":
		return conduct(ctx)
	case "server":
		var s serverSettings
		if err := json.Unmarshal(given, &s); err != nil {
			return err
		}
		return serve(ctx, s, os.Stdin, os.Stdout)
	case "client":
		var s settings
		if err := json.Unmarshal(given, &s); err != nil {
			return err
		}
		r, err := measure(ctx, s)
		if err != nil {
			return fmt.Errorf("%s: %w", s.Client, err)
		}
		return json.NewEncoder(os.Stdout).Encode(r)
	default:
		return fmt.Errorf("%s is %q", roleVariable, role)
	}
}

// options are the flags.
type options struct {
	quick bool
	out   string
	only  string
	who   string
	root  string
}

func conduct(ctx context.Context) error {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.BoolVar(&o.quick, "quick", false, "take minutes off and exactness with them")
	flags.StringVar(&o.out, "out", "", "write the report to this file; empty means standard output only")
	flags.StringVar(&o.only, "only", "", "measure these series only, separated by commas: "+strings.Join(seriesNames(), ", "))
	flags.StringVar(&o.who, "who", "", "measure these clients only, separated by commas, such as aviso-batch,h2load")
	flags.StringVar(&o.root, "root", "..", "the repository")
	if err := flags.Parse(os.Args[1:]); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "aviso-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &bench{options: o, dir: dir, log: os.Stderr, began: time.Now()}
	if err := b.prepare(ctx); err != nil {
		return err
	}
	if err := b.run(ctx); err != nil {
		return err
	}
	text := b.render()
	fmt.Print(text)
	if o.out == "" {
		return nil
	}
	return os.WriteFile(filepath.Clean(o.out), []byte(text), 0o644)
}
