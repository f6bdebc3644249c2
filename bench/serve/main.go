// Command serve measures the push server, `aviso serve`, from outside: what a
// notification costs from the HTTP request to its verdict on disk, how long that
// takes at different loads, and what ten million that wait need. `make bench-serve`
// runs it and writes docs/server-performance.md.
//
// The server, the simulator it sends to, and this program, which makes the load,
// are three processes on loopback. CPU time is the kernel's account of the server's
// process alone. With -gorush, a built gorush is measured beside it, with the same
// load against the same simulator.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

// maxDuration bounds the whole measurement.
const maxDuration = time.Hour

// simulatorVariable makes a process of this program the simulator.
const simulatorVariable = "AVISO_BENCH_SERVE_SIMULATOR"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, maxDuration)
	defer cancel()
	if file := os.Getenv(simulatorVariable); file != "" {
		if err := simulate(file); err != nil {
			fmt.Fprintln(os.Stderr, "simulator:", err)
			os.Exit(1)
		}
		return
	}
	if os.Getenv(bareVariable) != "" {
		if err := serveBare(); err != nil {
			fmt.Fprintln(os.Stderr, "bare server:", err)
			os.Exit(1)
		}
		return
	}
	if err := run(ctx); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench-serve:", err)
		os.Exit(1)
	}
}

type options struct {
	quick             bool
	out, gorush, root string
	only              string
}

func run(ctx context.Context) error {
	var o options
	flags := flag.NewFlagSet("serve", flag.ContinueOnError)
	flags.BoolVar(&o.quick, "quick", false, "a tenth of the notifications, and none that wait in millions")
	flags.StringVar(&o.out, "o", "", "write the report to this file; empty means standard output only")
	flags.StringVar(&o.gorush, "gorush", "", "measure this gorush binary too")
	flags.StringVar(&o.only, "only", "", "measure only this way of handing in, as it is called in the report, and nothing else: to compare two builds, or to look at one with perf")
	flags.StringVar(&o.root, "root", "..", "the repository")
	if err := flags.Parse(os.Args[1:]); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "aviso-bench-serve-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	r := &report{options: o, began: time.Now()}
	apple, err := startSimulator(ctx, dir)
	if err != nil {
		return err
	}
	defer apple.stop()
	binary, err := build(ctx, o.root, dir, "./cmd/aviso")
	if err != nil {
		return err
	}
	subjects, err := open(ctx, o, binary, dir, apple)
	if err != nil {
		return err
	}
	err = r.costs(ctx, subjects)
	for _, s := range subjects {
		s.stop()
	}
	if err != nil {
		return err
	}
	if o.only != "" {
		return nil
	}
	if err := r.latencies(ctx, binary, dir, apple); err != nil {
		return err
	}
	if err := r.waiting(ctx, binary, dir, apple); err != nil {
		return err
	}
	text := r.render()
	fmt.Print(text)
	if o.out == "" {
		return nil
	}
	return os.WriteFile(filepath.Clean(o.out), []byte(text), 0o644)
}

// open starts everything that is compared.
func open(ctx context.Context, o options, binary, dir string, apple *simulator) (list []subject, err error) {
	defer func() {
		if err != nil {
			for _, s := range list {
				s.stop()
			}
			list = nil
		}
	}()
	ours, err := startAviso(ctx, binary, dir, apple)
	if err != nil {
		return list, err
	}
	list = append(list, ours)
	nothing, err := startBare(ctx)
	if err != nil {
		return list, err
	}
	list = append(list, nothing)
	clustered, err := startCluster(ctx, o.root, binary, dir, apple)
	if err != nil {
		return list, err
	}
	list = append(list, clustered)
	if o.gorush == "" {
		return list, nil
	}
	theirs, err := startGorush(ctx, o.gorush, dir, apple)
	if err != nil {
		return list, err
	}
	return append(list, theirs), nil
}
