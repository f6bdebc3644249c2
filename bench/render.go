package main

import (
	"fmt"
	"math"
	"strings"

	"aviso.example/bench/pages"
)

// render writes the report: ratios first, then what they are made of.
func (b *bench) render() string {
	w := &page{}
	w.line("# Performance")
	w.line("")
	w.line("Written by `make bench`, not by hand. Everything here is one run of that command on one machine: our")
	w.line("client, and other people's, each in a process of its own, by turns against one server process on")
	w.line("loopback. The server is [our simulator](../sim) with all its checks and without its recorder, which")
	w.line("accepts any signing key; it is never the subject, so its own CPU time is shown beside. Numbers are")
	w.line("medians with [least–most]; other machines give other numbers, the ratios should hold.")
	w.line("")
	b.renderMachine(w)
	b.renderRatios(w)
	b.renderOne(w, "one", "One connection, 170-byte payload", smallPayload)
	b.renderOne(w, "large", "One connection, 4 KB payload", largePayload)
	b.renderSeveral(w)
	b.renderFar(w)
	b.renderLatency(w)
	b.renderLinear(w)
	b.renderMicro(w)
	b.renderMethod(w)
	return strings.TrimRight(w.String(), "\n") + "\n"
}

type page struct{ strings.Builder }

func (w *page) line(format string, args ...any) {
	if len(args) == 0 {
		w.WriteString(format)
	} else {
		fmt.Fprintf(w, format, args...)
	}
	w.WriteByte('\n')
}

// made names the command that makes a section, and how often each client ran.
func (b *bench) made(w *page, series string) {
	least, most := 0, 0
	for _, r := range b.results {
		if n := len(r.runs); r.series == series && n > 0 {
			most = max(most, n)
			if least == 0 || n < least {
				least = n
			}
		}
	}
	quick, runs := "", fmt.Sprintf("median of %d interleaved runs", most)
	switch {
	case most == 1:
		runs = "one run"
	case least < most:
		runs += fmt.Sprintf(" (of %d for the slower ones)", least)
	}
	if b.quick {
		quick = " QUICK=1"
	}
	w.line("")
	w.line("`make bench%s ONLY=%s`; %s.", quick, series, runs)
	w.line("")
}

func (b *bench) renderMachine(w *page) {
	m := thisMachine()
	w.line("| | |")
	w.line("|---|---|")
	w.line("| date | %s |", b.began.UTC().Format("2006-01-02"))
	form := "full, `make bench`"
	if b.quick {
		form = "short, `make bench QUICK=1`: smaller numbers, fewer runs"
	}
	if b.only != "" {
		form += ", in part: ONLY=" + b.only
	}
	w.line("| form | %s |", form)
	w.line("| machine | %s, %d cores, %s |", m.cpu, m.cores, m.memory)
	w.line("| system | %s |", m.kernel)
	w.line("| Go | %s |", m.goVersion)
	if m.load != "" {
		w.line("| load | %s runnable processes when it ended, in the last minute's average; this program's are among them |", m.load)
	}
	var present, absent []string
	for _, c := range b.clients {
		name := plain(c.label)
		if c.absent != "" {
			absent = append(absent, fmt.Sprintf("%s: %s", name, oneLine(c.absent)))
		} else if c.version != "" && c.version != "this tree" {
			present = append(present, name+" "+c.version)
		}
	}
	w.line("| versions | %s |", strings.Join(present, " · "))
	if absent == nil {
		absent = []string{"nobody"}
	}
	w.line("| **absent** | %s |", strings.Join(absent, " · "))
	w.line("")
}

func plain(label string) string {
	label, _, _ = strings.Cut(label, ",")
	label, _, _ = strings.Cut(label, ";")
	return strings.TrimSpace(strings.NewReplacer("*", "", "(C", "(C)").Replace(label))
}

func oneLine(text string) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(text), " "), "|", "/")
}

// cell finds a result.
func (b *bench) cell(series, name string, connections int, more ...func(*result) bool) *result {
next:
	for _, r := range b.results {
		if r.series != series || r.who.name != name || r.s.Connections != connections || len(r.runs) == 0 {
			continue
		}
		for _, m := range more {
			if !m(r) {
				continue next
			}
		}
		return r
	}
	return nil
}

func (b *bench) renderRatios(w *page) {
	w.line("## Ratios")
	w.line("")
	w.line("| what | Aviso | compared with | ratio | aim |")
	w.line("|---|---:|---:|---:|---|")
	if our := b.cell("one", "aviso-batch", 1); our != nil {
		ours := our.of(sample.cpu).median
		for _, c := range b.clients {
			their := b.cell("one", c.name, 1)
			if their == nil || strings.HasPrefix(c.name, "aviso-") {
				continue
			}
			theirs := their.of(sample.cpu).median
			if c.name == "h2load" {
				w.line("| client CPU per accepted notification, one connection, 170 bytes | %s µs | %s %s µs | **%.2f ×** h2load's%s | at most 0.75 × |",
					number(ours), plain(c.label), number(theirs), ours/theirs, verdict(ours/theirs <= 0.75))
				continue
			}
			aim := ""
			reached := ""
			if c.name == "apns2" {
				aim, reached = "20 × better", verdict(theirs/ours >= 20)
			}
			w.line("| the same | %s µs | %s %s µs | **%.0f ×** less%s | %s |", number(ours), plain(c.label), number(theirs), theirs/ours, reached, aim)
		}
		allocs := our.of(mallocs).median
		theirs := ""
		if r := b.cell("one", "apns2", 1); r != nil {
			theirs = fmt.Sprintf("apns2 %.0f", r.of(mallocs).median)
		}
		w.line("| allocations per notification, PushAll | %.3f | %s | %s | at most 1 |", allocs, theirs, strings.TrimSpace(verdict(allocs <= 1)))
	}
	if our := b.cell("far", "aviso-batch", 1); our != nil {
		share := our.of(boundShare).median
		theirs := ""
		if r := b.cell("far", "apns2", 1); r != nil {
			theirs = fmt.Sprintf("apns2 %.0f %%", 100*r.of(boundShare).median)
		}
		w.line("| share of streams ÷ round-trip time at 50 ms, 1,000 streams | %.1f %% | %s | %s | 97 %% |", 100*share, theirs, strings.TrimSpace(verdict(share >= 0.97)))
	}
	if list := b.linear("aviso-batch"); len(list) > 1 {
		last, before := list[len(list)-1], list[len(list)-2]
		grown := last.of(peak).median / before.of(peak).median
		w.line("| peak memory, %s against %s notifications | %.0f MiB | %.0f MiB | %.2f ×%s | flat |", pages.Thousands(last.s.Notifications), pages.Thousands(before.s.Notifications),
			last.of(peak).median, before.of(peak).median, grown, verdict(grown < 1.2))
	}
	w.line("")
}

func verdict(reached bool) string {
	if reached {
		return " (reached)"
	}
	return " (**missed**)"
}

// What samples are asked for.
func mallocs(s sample) float64     { return float64(s.Mallocs) / float64(s.Accepted) }
func heap(s sample) float64        { return float64(s.Bytes) / float64(s.Accepted) }
func peak(s sample) float64        { return float64(s.peak) / 1024 }
func connections(s sample) float64 { return float64(s.connections) }
func p50(s sample) float64         { return 1e3 * s.P50 }
func p99(s sample) float64         { return 1e3 * s.P99 }
func p999(s sample) float64        { return 1e3 * s.P999 }

// boundShare is the throughput as a share of streams ÷ round-trip time, for one
// connection.
func boundShare(s sample) float64 { return s.perSecond() / (streams / roundTrip.Seconds()) }

// lost is the share that was not accepted.
func (r *result) lost() int {
	n := 0
	for _, s := range r.runs {
		n += r.s.Notifications - s.Accepted
	}
	return n
}

func (b *bench) renderOne(w *page, series, title string, size int) {
	if !b.wants(series) {
		return
	}
	w.line("## %s", title)
	w.line("")
	w.line("| client | CPU per notification, µs | accepted per second | allocations | bytes | peak MiB | server CPU per request, µs | connections | not accepted |")
	w.line("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
	for _, r := range b.results {
		if r.series != series || r.size != size {
			continue
		}
		w.row(r, func() string {
			allocations, bytes := "", ""
			if r.runs[0].Mallocs > 0 {
				allocations, bytes = number(r.of(mallocs).median), pages.Thousands(int(r.of(heap).median))
			}
			return fmt.Sprintf("%s | %s | %s | %s | %.0f | %s | %s | %d", ranged(r.of(sample.cpu)), pages.Thousands(int(r.of(sample.perSecond).median)), allocations, bytes,
				r.of(peak).median, number(r.of(sample.serverCPU).median), counted(r.of(connections)), r.lost())
		})
	}
	b.made(w, series)
}

// row writes one client's row, or why there is none.
func (w *page) row(r *result, cells func() string) {
	switch {
	case r.who.absent != "":
		return // said once, at the top
	case len(r.runs) == 0:
		w.line("| %s | failed: %s |", r.who.label, oneLine(r.failed))
	default:
		w.line("| %s | %s |", r.who.label, cells())
	}
}

func (b *bench) renderSeveral(w *page) {
	if !b.wants("several") {
		return
	}
	w.line("## Several connections")
	w.line("")
	w.line("With as many cores as client and server together need, several connections carry more; where they")
	w.line("share two, this shows only that each costs nothing. Everybody has 1,000 under way on each; Aviso opens")
	w.line("further ones by itself while all are full.")
	w.line("")
	w.line("| client | connections | stood | CPU per notification, µs | accepted per second | peak MiB | server CPU per request, µs |")
	w.line("|---|---:|---:|---:|---:|---:|---:|")
	for _, r := range b.results {
		if r.series != "several" {
			continue
		}
		w.row(r, func() string {
			return fmt.Sprintf("%d | %s | %s | %s | %.0f | %s", r.s.Connections, counted(r.of(connections)), ranged(r.of(sample.cpu)), pages.Thousands(int(r.of(sample.perSecond).median)),
				r.of(peak).median, number(r.of(sample.serverCPU).median))
		})
	}
	b.made(w, "several")
}

func (b *bench) renderFar(w *page) {
	if !b.wants("far") {
		return
	}
	w.line("## 50 ms away")
	w.line("")
	w.line("One connection of 1,000 streams cannot carry more than 1,000 ÷ 50 ms = 20,000 notifications a second.")
	w.line("The server holds back everything it sends by 50 ms. Its connection window is 16 MiB here, for with the")
	w.line("65,535 bytes that HTTP/2 begins with, 385 payloads of 170 bytes would be under way and no more. What")
	w.line("window APNs grants is not known.")
	w.line("")
	w.line("| client | share of the bound | accepted per second | CPU per notification, µs | connections |")
	w.line("|---|---:|---:|---:|---:|")
	for _, r := range b.results {
		if r.series != "far" {
			continue
		}
		w.row(r, func() string {
			s := r.of(boundShare)
			return fmt.Sprintf("%.1f %% [%.1f–%.1f] | %s | %s | %s", 100*s.median, 100*s.min, 100*s.max, pages.Thousands(int(r.of(sample.perSecond).median)),
				ranged(r.of(sample.cpu)), counted(r.of(connections)))
		})
	}
	b.made(w, "far")
	real, our := b.cell(alone, "aviso-push", 1), b.cell("far", "aviso-batch", 1)
	if real != nil && our != nil {
		ms := real.of(p50).median
		w.line("Timers wake late: one request at a time takes %.1f ms there (median). Of the bound at *that* distance", ms)
		w.line("Aviso, PushAll reaches %.1f %%.", our.of(sample.perSecond).median*ms/1e3/streams*100)
		w.line("")
	}
}

func (b *bench) renderLatency(w *page) {
	if !b.wants("latency") {
		return
	}
	w.line("## Latency")
	w.line("")
	w.line("From handing in to the outcome, in milliseconds, on one connection without simulated distance. With 1,000")
	w.line("under way, everybody is as fast as it can be and latency is 1,000 ÷ throughput; with one, it is what a")
	w.line("single push takes on an idle machine.")
	w.line("")
	w.line("| client | under way | p50 | p99 | p99.9 | accepted per second |")
	w.line("|---|---:|---:|---:|---:|---:|")
	for _, r := range b.results {
		if r.series != "latency" {
			continue
		}
		w.row(r, func() string {
			return fmt.Sprintf("%s | %s | %s | %s | %s", pages.Thousands(r.s.InFlight), number(r.of(p50).median), number(r.of(p99).median), number(r.of(p999).median),
				pages.Thousands(int(r.of(sample.perSecond).median)))
		})
	}
	b.made(w, "latency")
}

func (b *bench) linear(name string) (list []*result) {
	for _, r := range b.results {
		if r.series == "linear" && r.who.name == name && len(r.runs) > 0 {
			list = append(list, r)
		}
	}
	return list
}

func (b *bench) renderLinear(w *page) {
	if !b.wants("linear") {
		return
	}
	w.line("## Cost by number")
	w.line("")
	w.line("| client | notifications | CPU per notification, µs | CPU in all, s | allocations | peak MiB |")
	w.line("|---|---:|---:|---:|---:|---:|")
	for _, r := range b.results {
		if r.series != "linear" {
			continue
		}
		w.row(r, func() string {
			return fmt.Sprintf("%s | %s | %.2f | %s | %.0f", pages.Thousands(r.s.Notifications), ranged(r.of(sample.cpu)), r.of(func(s sample) float64 { return s.CPU }).median,
				number(r.of(mallocs).median), r.of(peak).median)
		})
	}
	b.made(w, "linear")
}

func (b *bench) renderMicro(w *page) {
	if len(b.micro) == 0 {
		return
	}
	w.line("## Parts that need no network")
	w.line("")
	w.line("Provider tokens (`Mint` signs one, `Pin` is what each request pays), credentials, payloads.")
	w.line("")
	w.line("| package | benchmark | µs | allocations | bytes |")
	w.line("|---|---|---:|---:|---:|")
	for _, m := range b.micro {
		w.line("| %s | %s | %s | %d | %s |", m.pkg, m.name, number(m.ns/1e3), m.allocs, pages.Thousands(m.bytes))
	}
	w.line("")
	w.line("`go test -run '^$' -bench . -benchmem %s`.", strings.Join(microPackages, " "))
	w.line("")
}

func number(v float64) string {
	switch {
	case math.IsNaN(v):
		return ""
	case v >= 100:
		return pages.Thousands(int(math.Round(v)))
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	case v >= 0.1 || v == 0:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.3f", v)
}

func ranged(s spreadOf) string {
	if s.min == s.max {
		return number(s.median)
	}
	return fmt.Sprintf("%s [%s–%s]", number(s.median), number(s.min), number(s.max))
}

// counted is for whole numbers, which mostly do not vary.
func counted(s spreadOf) string {
	if s.min == s.max {
		return pages.Thousands(int(s.median))
	}
	return fmt.Sprintf("%s–%s", pages.Thousands(int(s.min)), pages.Thousands(int(s.max)))
}
