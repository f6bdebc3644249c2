package main

import (
	"fmt"
	"slices"
	"time"
)

// result is what one row found, for the table.
type result struct {
	row *row

	Ends, Bound             int // how often an engine ended, and what that may repeat
	Messages, Batches       int // accepted requests
	Accepted                int // notifications
	Unsure, UnsureAccepted  int // requests without an answer, and of the messages those that were accepted
	States                  map[string]int
	Processed               int // distinct notifications
	DoubledByEnd            int
	DoubledByFault          int
	MostPerEnd              int
	DropDoubled, TwiceEnded int
	TwiceByOne              int // sent twice by one engine, for no reason
	NextPush, Carried       []time.Duration
	Late                    lateness
	Verdicts                int
	Starts                  []time.Duration
	Wall                    time.Duration
	Notes                   []string
	Broken                  []string
	Often                   []often
	more                    int // broken beyond those listed
}

func (res *result) note(format string, args ...any) {
	res.Notes = append(res.Notes, fmt.Sprintf(format, args...))
}

func (res *result) start(quantile float64) time.Duration {
	if len(res.Starts) == 0 {
		return 0
	}
	list := slices.Sorted(slices.Values(res.Starts))
	return list[int(quantile*float64(len(list)-1))]
}

func (res *result) print() {
	verdict := "ok"
	if len(res.Broken) > 0 {
		verdict = "BROKEN"
	}
	fmt.Printf("%-22s %3d ends  %8d accepted (%d messages, %d batches; %d unsure)  %d processed  doubled %d by ends (most %d, bound %d), %d by faults  start %v..%v  %v  %s\n",
		res.row.name, res.Ends, res.Accepted, res.Messages, res.Batches, res.Unsure, res.Processed, res.DoubledByEnd, res.MostPerEnd, res.Bound, res.DoubledByFault,
		res.start(0.5).Round(time.Millisecond), res.start(1).Round(time.Millisecond), res.Wall.Round(time.Second), verdict)
	for _, n := range res.Notes {
		fmt.Printf("%22s %s\n", "", n)
	}
	for _, b := range res.Broken {
		fmt.Printf("%22s BROKEN: %s\n", "", b)
	}
	if res.more > 0 {
		fmt.Printf("%22s and %d more\n", "", res.more)
	}
}

// often is something wrong that was seen many times.
type often struct {
	what    string
	times   int
	example string
}
