package main

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"aviso.example/bench/pages"
)

func (r *report) render() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	form := "`make bench-serve`"
	if r.quick {
		form = "`make bench-serve QUICK=1`: smaller numbers, nothing that waits in millions"
	}
	line("# Performance of the push server\n")
	line("Written by `make bench-serve`, not by hand. The server (`aviso serve`, defaults), the simulator it sends")
	line("to and the program that makes the load are three processes on loopback that share the machine's cores.")
	line("CPU is what the kernel charged to the server's process, user and system, from the first request to the")
	line("last verdict on disk: HTTP, the synced log, sending over TLS, and the synced verdict.\n")
	line("| | |\n|---|---|")
	line("| date | %s |", time.Now().UTC().Format(time.DateOnly))
	line("| form | %s |", form)
	line("| machine | %s, %d cores |", pages.CPUModel(), runtime.NumCPU())
	line("| Go | %s |\n", strings.TrimPrefix(runtime.Version(), "go"))
	line("## Cost\n")
	line("| handed in as | callers | server | CPU per notification, µs | of aviso serve's | log servers' CPU, µs | settled per second | notifications |")
	line("|---|---:|---|---:|---:|---:|---:|---:|")
	for _, c := range r.ways {
		cpu, rate := c.of(costRun.perNotification), c.of(costRun.perSecond)
		ratio, others := "", ""
		if c.subject != ownName {
			for _, ours := range r.ways {
				if ours.subject == ownName && ours.size == c.size {
					ratio = fmt.Sprintf("%.2g ×", cpu[1]/ours.of(costRun.perNotification)[1])
				}
			}
		}
		if other := c.of(costRun.othersPer)[1]; other > 0 {
			others = fmt.Sprintf("%.2f", other)
		}
		line("| %s | %d | %s | **%.2f** [%.2f–%.2f] | %s | %s | %.0f | %d × %d |",
			c.what, c.callers, c.subject, cpu[1], cpu[0], cpu[2], ratio, others, rate[1], len(c.runs), c.runs[0].n)
	}
	line("\nMedian of interleaved runs, with least and most; all servers run all the time, and one at a time has work.")
	line("`aviso serve` answers 202 when a message is on disk, on a cluster when two of three nats-servers have it on")
	line("theirs; gorush, where it was measured, when it is in memory. *net/http that does nothing* reads the same")
	line("requests and answers as long a text at once: what no server on it can go below.\n")
	line("## Latency\n")
	line("Single messages, arriving by the clock whether the server keeps up or not, at a share of the most that 64")
	line("callers got accepted (%.0f a second). Accepting is measured from when a request was due; a verdict from", r.best)
	line("when the server made the id, to the millisecond.\n")
	line("| load | a second | accepted, p50 | p99 | verdict, p50 | p99 | CPU per message, µs |")
	line("|---:|---:|---:|---:|---:|---:|---:|")
	for _, l := range r.latency {
		line("| %.0f %% | %.0f | %s ms | %s ms | %s ms | %s ms | %.1f |", 100*l.share, l.perSecond, ms(l.accept[0]), ms(l.accept[1]), ms(l.verdict[0]), ms(l.verdict[1]), l.cpuPerMessage.Seconds()*1e6)
	}
	line("\n## What waits\n")
	line("One batch of an app that is paused: 32 bytes for a device token, and one payload.\n")
	line("| waiting | taken in | a second | resident, MiB | at most, MiB | start after SIGTERM | start after kill -9 |")
	line("|---:|---:|---:|---:|---:|---:|---:|")
	for _, w := range r.wait {
		line("| %d | %.1f s | %.0f | %d | %d | %.2f s | %.2f s |", w.n, w.ingest.Seconds(), float64(w.n)/w.ingest.Seconds(), w.now>>20, w.most>>20, w.clean.Seconds(), w.kill.Seconds())
	}
	return b.String()
}

func (c *cost) of(value func(costRun) float64) [3]float64 {
	var list []float64
	for _, run := range c.runs {
		list = append(list, value(run))
	}
	slices.Sort(list)
	n := len(list)
	return [3]float64{list[0], (list[(n-1)/2] + list[n/2]) / 2, list[n-1]}
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f", d.Seconds()*1e3) }
