// Command crash ends real `aviso serve` processes in every way a machine can,
// while they accept and send, and then holds what the API says against what was
// accepted and against what the simulator processed. docs/durability.md is
// written by it.
//
//	crash              a process killed 100 times, and the other rows
//	crash -cluster     two engines on three log servers, each of which fails
//	crash -run torn -v some rows
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"aviso.example/bench/lognodes"
)

const (
	// fullLimit and shortLimit bound a whole run; neither takes half of it.
	fullLimit  = 90 * time.Minute
	shortLimit = 12 * time.Minute
)

type options struct {
	short   bool
	verbose bool
	keep    bool
	seed    uint64
	n       int
	kills   int
	pattern *regexp.Regexp
	doc     string

	dir   string // everything is in it, and it goes at the end
	aviso string // the program under test
	nats  string
	// slow is what each sync of a server takes longer than it would.
	slow time.Duration
	// operations are the API's.
	operations *operations
}

func main() {
	if len(os.Args) > 2 && os.Args[1] == slowDisk {
		fmt.Fprintln(os.Stderr, "crash:", becomeSlow(os.Args[2:]))
		os.Exit(1)
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "crash:", err)
		os.Exit(1)
	}
}

func run() (err error) {
	var o options
	flag.BoolVar(&o.short, "short", false, "a small part of everything")
	flag.BoolVar(&o.verbose, "v", false, "say what happens meanwhile")
	flag.BoolVar(&o.keep, "keep", false, "keep data folders and logs, and say where they are")
	flag.Uint64Var(&o.seed, "seed", 1, "of everything that is left to chance; scheduling still varies")
	flag.IntVar(&o.n, "n", 0, "notifications in the row of kills (default 1,000,000, with -short 40,000)")
	flag.IntVar(&o.kills, "kills", 0, "how often to kill (default 100, with -short 8)")
	pattern := flag.String("run", ".", "rows whose name matches this")
	flag.StringVar(&o.doc, "o", "", "Markdown file to write the tables into")
	cluster := flag.Bool("cluster", false, "the rows of the cluster instead")
	flag.Parse()
	if o.pattern, err = regexp.Compile(*pattern); err != nil {
		return err
	}
	limit := fullLimit
	if o.short {
		limit = shortLimit
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("it was not over after %v", limit))
	defer cancel()
	if o.dir, err = os.MkdirTemp("", "aviso-crash-"); err != nil {
		return err
	}
	if o.keep {
		fmt.Println("everything is kept in", o.dir)
	} else {
		defer os.RemoveAll(o.dir)
	}
	if o.aviso, err = build(ctx, o.dir, "aviso", "aviso.example/cmd/aviso"); err != nil {
		return err
	}
	text, err := document(ctx, &o)
	if err != nil {
		return err
	}
	if o.operations, err = parseOperations(text); err != nil {
		return err
	}
	list, section, command := rows, "crash", "make crash"
	if *cluster {
		if o.nats, err = build(ctx, o.dir, "nats-server", lognodes.Module); err != nil {
			return err
		}
		list, section, command = clusterRows, "cluster", "make cluster"
	}
	began := time.Now()
	var results []*result
	good := true
	for _, r := range list {
		if !o.pattern.MatchString(r.name) || o.short && r.fullOnly {
			continue
		}
		res := r.play(ctx, &o)
		for _, id := range o.operations.untouched(r) {
			res.Broken = append(res.Broken, "the row is meant to call "+id+" and has not done so")
		}
		res.print()
		results = append(results, res)
		good = good && len(res.Broken) == 0
		if ctx.Err() != nil {
			break
		}
	}
	fmt.Printf("%d rows in %v\n", len(results), time.Since(began).Round(time.Second))
	if o.doc != "" {
		if err := write(&o, section, command, results, time.Since(began)); err != nil {
			return err
		}
	}
	if !*cluster && *pattern == "." && ctx.Err() == nil {
		if list := o.operations.unproven(); len(list) > 0 {
			return fmt.Errorf("no row calls %s", strings.Join(list, ", "))
		}
	}
	if !good {
		return fmt.Errorf("an invariant does not hold")
	}
	return context.Cause(ctx)
}

// build builds a program once, so that what is started again and again is a
// plain process.
func build(ctx context.Context, dir, name, path string) (string, error) {
	file := filepath.Join(dir, name)
	// The module of the command, whose versions of everything else count.
	module, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "aviso.example").Output()
	if err != nil {
		return "", fmt.Errorf("the module aviso.example is not known here; run this in bench: %w", err)
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-o", file, path)
	cmd.Dir, cmd.Stderr = strings.TrimSpace(string(module)), os.Stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("building %s: %w", path, err)
	}
	return file, nil
}
