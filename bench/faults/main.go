// Command faults runs the real client against the simulator through everything
// that can go wrong between them, counts what became of every notification, and
// fails if one invariant does not hold. docs/reliability.md is written by it.
//
//	faults                 the matrix, then apns2 through the same
//	faults -soak           ten million notifications with faults mixed in
//	faults -run reset -v   some rows
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"sync"
	"time"
)

const (
	// rowLimit bounds a row; none takes half of it.
	rowLimit = 3 * time.Minute
	// childLimit is when a row that does not even notice that is ended.
	childLimit = rowLimit + time.Minute
)

type options struct {
	short    bool
	n        int
	seed     uint64
	parallel int
	pattern  *regexp.Regexp
	rivals   bool
	doc      string
}

func main() {
	var o options
	short := flag.Bool("short", false, "2,000 notifications a row (200,000 in the soak), short waits, no comparison")
	n := flag.Int("n", 0, "notifications a row")
	seed := flag.Uint64("seed", 1, "of everything that is left to chance; scheduling still varies")
	parallel := flag.Int("parallel", 0, "rows at a time (default 2, with -short 4)")
	pattern := flag.String("run", ".", "rows whose name matches this")
	doc := flag.String("o", "", "Markdown file to write the tables into")
	soaking := flag.Bool("soak", false, "one long run instead of the matrix")
	rivals := flag.Bool("rivals", true, "apns2 through the same rows")
	child := flag.String("case", "", "internal: run one row in this process and print it as JSON")
	rival := flag.Bool("rival", false, "internal: with apns2")
	flag.Parse()
	var err error
	if o.pattern, err = regexp.Compile(*pattern); err != nil {
		fail(err)
	}
	o.short, o.n, o.seed, o.parallel, o.doc, o.rivals = *short, *n, *seed, *parallel, *doc, *rivals && !*short
	if o.parallel == 0 {
		o.parallel = 2 // some rows mostly wait
		if o.short {
			o.parallel = 4
		}
	}
	switch {
	case *child != "":
		one := runCase
		if *rival {
			one = runRival
		}
		for _, c := range cases {
			if c.name == *child {
				json.NewEncoder(os.Stdout).Encode(one(c, o.n, o.short, o.seed))
			}
		}
	case *soaking:
		if o.n == 0 {
			o.n = 10_000_000
			if o.short {
				o.n = 200_000
			}
		}
		if !soak(o) {
			os.Exit(1)
		}
	default:
		if o.n == 0 {
			o.n = 100_000
			if o.short {
				o.n = 2_000
			}
		}
		if !matrix(o) {
			os.Exit(1)
		}
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "faults:", err)
	os.Exit(1)
}

// matrix runs every row in a process of its own, so that none can lean on what
// another left behind.
func matrix(o options) bool {
	began := time.Now()
	var ours, theirs []row
	type task struct {
		c     *faultCase
		rival bool
		out   *row
	}
	var chosen []*faultCase
	for _, c := range cases {
		if o.pattern.MatchString(c.name) {
			chosen = append(chosen, c)
		}
	}
	ours, theirs = make([]row, len(chosen)), make([]row, len(chosen))
	var tasks []task
	for i, c := range chosen {
		tasks = append(tasks, task{c, false, &ours[i]})
	}
	for i, c := range chosen {
		if o.rivals && c.rival == "" {
			tasks = append(tasks, task{c, true, &theirs[i]})
		}
	}
	queue := make(chan task)
	var wg sync.WaitGroup
	var mu sync.Mutex
	for range o.parallel {
		wg.Go(func() {
			for t := range queue {
				*t.out = inChild(t.c, t.rival, o)
				mu.Lock()
				t.out.print(t.rival)
				mu.Unlock()
			}
		})
	}
	for _, t := range tasks {
		queue <- t
	}
	close(queue)
	wg.Wait()
	good := true
	for _, r := range ours {
		good = good && len(r.Broken) == 0 && r.Error == ""
	}
	fmt.Printf("%d rows in %v\n", len(tasks), time.Since(began).Round(time.Second))
	if o.doc != "" {
		if err := writeMatrix(o, chosen, ours, theirs, time.Since(began)); err != nil {
			fail(err)
		}
	}
	return good
}

// inChild runs one row in its own process.
func inChild(c *faultCase, rival bool, o options) (out row) {
	ctx, cancel := context.WithTimeout(context.Background(), childLimit)
	defer cancel()
	self, err := os.Executable()
	if err != nil {
		return row{Case: c.name, Error: err.Error()}
	}
	n := o.n
	if c.n > 0 {
		if n = c.n; o.short {
			n = c.short
		}
	}
	cmd := exec.CommandContext(ctx, self, "-case", c.name, "-n", fmt.Sprint(n), "-seed", fmt.Sprint(o.seed),
		fmt.Sprintf("-short=%t", o.short), fmt.Sprintf("-rival=%t", rival))
	cmd.Stderr = os.Stderr
	text, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(text, &out)
	}
	if err != nil {
		return row{Case: c.name, Error: fmt.Sprintf("the process of this row ended: %v", err)}
	}
	return out
}

func (r *row) print(rival bool) {
	verdict := "ok"
	switch {
	case r.Error != "":
		verdict = "FAILED: " + r.Error
	case len(r.Broken) > 0:
		verdict = "BROKEN"
	case rival:
		verdict = "apns2"
	}
	fmt.Printf("%-26s %7d in %7d acc %6d rej %6d notsent %5d unk %5d dup  gap %8v  dials %3d/%3d  %8v  %s\n",
		r.Case, r.Handed, r.Accepted, r.Rejected, r.NotSent, r.Unknown, r.Duplicates,
		r.Recovery.Round(time.Millisecond), r.Dials, r.DialBound, r.Wall.Round(time.Millisecond), verdict)
	if rival {
		fmt.Printf("%26s errors %d (processed %d, lost %d, hung %d)\n", "", r.Unknown, r.UnknownProcessed, r.Lost, r.Hung)
	}
	for _, b := range r.Broken {
		fmt.Printf("%26s   %s\n", "", b)
	}
}
