// Command gateway measures the gateway for old programs, package legacy/gateway:
// what a notification costs that comes in by the binary protocol, beside one that
// goes to the same simulator directly. `make bench-gateway` runs it and writes a
// section of docs/gateway-performance.md.
//
// The simulator, each gateway, the old programs and the direct client are
// processes of this program on loopback. CPU time is the kernel's account of one
// process alone: the gateway's, or the direct client's.
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

	"aviso.example/bench/pages"
)

// maxDuration bounds the whole measurement.
const maxDuration = 20 * time.Minute

func main() {
	if role := os.Getenv(roleVariable); role != "" {
		if err := child(role); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", role, err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, maxDuration)
	defer cancel()
	if err := run(ctx); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench-gateway:", err)
		os.Exit(1)
	}
}

type options struct {
	quick   bool
	out     string
	only    string
	profile string
	rounds  int
	// share of the usual numbers that is sent, and how many connections idle.
	share float64
	idle  int
}

func run(ctx context.Context) error {
	o := options{share: 1, idle: 5000}
	flags := flag.NewFlagSet("gateway", flag.ContinueOnError)
	flags.BoolVar(&o.quick, "quick", false, "a tenth of the notifications and of the idle connections")
	flags.StringVar(&o.out, "o", "", "the page that has the section to write; empty means standard output only")
	flags.StringVar(&o.only, "only", "", "measure only rows whose name contains this, to compare two builds; writes no page")
	flags.StringVar(&o.profile, "profile", "", "write CPU profiles of the gateways into this folder")
	flags.IntVar(&o.rounds, "rounds", 5, "how often each row is measured")
	if err := flags.Parse(os.Args[1:]); err != nil {
		return err
	}
	if o.quick {
		o.share, o.idle = o.share/10, o.idle/10
	}
	r, err := measureAll(ctx, o)
	if err != nil {
		return err
	}
	text := r.render()
	fmt.Print(text)
	if o.out == "" || o.only != "" {
		return nil
	}
	return pages.Replace(filepath.Clean(o.out), "figures", text)
}
