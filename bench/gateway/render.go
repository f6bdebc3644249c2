package main

import (
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"aviso.example/bench/pages"
)

// of returns least, median and most.
func (w *row) of(value func(sample) float64) (least, median, most float64) {
	var list []float64
	for _, s := range w.runs {
		list = append(list, value(s))
	}
	slices.Sort(list)
	n := len(list)
	return list[0], (list[(n-1)/2] + list[n/2]) / 2, list[n-1]
}

func (w *row) median(value func(sample) float64) float64 {
	_, median, _ := w.of(value)
	return median
}

func (w *row) cpu() string {
	least, median, most := w.of(sample.perNotification)
	return fmt.Sprintf("**%.2f** [%.2f–%.2f]", median, least, most)
}

func (w *row) rate() string {
	least, median, most := w.of(sample.perSecond)
	return fmt.Sprintf("%s [%s–%s]", pages.Thousands(int(median)), pages.Thousands(int(least)), pages.Thousands(int(most)))
}

func (r *report) find(name string) *row {
	for _, w := range r.rows {
		if w.name == name {
			return w
		}
	}
	return nil
}

// bound is what a window allows over the round trip, a second.
func (w *row) bound() float64 { return float64(w.window) / roundTrip.Seconds() }

// perRejection is what one more of them costs: CPU in seconds, and time on its
// connection.
func perRejection(with, without *row) (cpu float64, took time.Duration) {
	s := with.runs[0]
	cpu = (with.median(sample.perNotification) - without.median(sample.perNotification)) / 1e6 * float64(s.n) / float64(s.rejected)
	each := 1/with.median(sample.perSecond) - 1/without.median(sample.perSecond)
	took = time.Duration(each * float64(s.n) / float64(s.rejected) * float64(with.connections) * float64(time.Second))
	return cpu, took
}

// busy says that others were at work when the measurement began.
func (r *report) busy() bool {
	load, err := strconv.ParseFloat(r.load, 64)
	return err == nil && load > float64(runtime.NumCPU())/4
}

func (r *report) render() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	form := "`make bench-gateway`"
	if r.quick {
		form += " QUICK=1, a tenth of the notifications"
	}
	line("%s; %s; %s; %.0f s in all.", r.began.UTC().Format(time.DateOnly), pages.Machine(), form, r.ended.Sub(r.began).Seconds())
	if r.busy() {
		line("**Measured on a busy machine**: its load was %s before anything began, so that times and rates are", r.load)
		line("worse than they are on a machine that has nothing else to do, and CPU is somewhat higher.")
	}
	line("")
	r.ratios(line)
	r.tables(line)
	return b.String()
}

// ratios is what most want to know.
func (r *report) ratios(line func(string, ...any)) {
	direct := r.find("direct")
	for _, name := range []string{"1 program, window 256", "8 programs, window 256", "64 programs, window 256"} {
		if w := r.find(name); w != nil && direct != nil {
			line("- %s: **%.2f ×** the direct client's CPU, %.2f × its notifications per second.", name,
				w.median(sample.perNotification)/direct.median(sample.perNotification), w.median(sample.perSecond)/direct.median(sample.perSecond))
		}
	}
	if with, without := r.find("8 programs, 1 % bad"), r.find("8 programs, none bad"); with != nil && without != nil {
		cpu, took := perRejection(with, without)
		line("- A rejected notification costs the gateway **%.0f µs** of CPU, as much as %.0f that are accepted, and its connection %.0f ms: an error packet ends it, and the program makes another.",
			cpu*1e6, cpu*1e6/without.median(sample.perNotification), took.Seconds()*1e3)
	}
	for _, w := range r.rows {
		if w.group == distance && w.window > 0 {
			line("- One connection with a window of %d over %d ms: **%.0f %%** of window ÷ round trip.", w.window, roundTrip.Milliseconds(), 100*w.median(sample.perSecond)/w.bound())
		}
	}
	if r.connections > 0 {
		line("- A connection that is idle takes **%.1f KiB**.", r.idleBytes/1024)
	}
	line("")
}

func (r *report) tables(line func(string, ...any)) {
	direct := r.find("direct")
	head := map[string]string{
		throughput: "| through | CPU per notification, µs | of direct | allocations | per second | of direct | notifications |\n|---|---:|---:|---:|---:|---:|---:|",
		rejections: "| rejections | CPU per notification, µs | allocations | per second | rejected | connections | notifications |\n|---|---:|---:|---:|---:|---:|---:|",
		distance:   fmt.Sprintf("| over a round trip of %d ms | CPU per notification, µs | per second | window ÷ round trip | reached | notifications |\n|---|---:|---:|---:|---:|---:|", roundTrip.Milliseconds()),
	}
	group := ""
	for _, w := range r.rows {
		if w.group != group {
			if group != "" {
				line("")
			}
			group = w.group
			line("%s", head[group])
		}
		n := fmt.Sprintf("%d × %s", len(w.runs), pages.Thousands(w.n))
		switch group {
		case throughput:
			ofCPU, ofRate := "", ""
			if direct != nil && w != direct {
				ofCPU = fmt.Sprintf("%.2f ×", w.median(sample.perNotification)/direct.median(sample.perNotification))
				ofRate = fmt.Sprintf("%.2f ×", w.median(sample.perSecond)/direct.median(sample.perSecond))
			}
			line("| %s | %s | %s | %.2f | %s | %s | %s |", w.name, w.cpu(), ofCPU, w.median(sample.allocations), w.rate(), ofRate, n)
		case rejections:
			line("| %s | %s | %.2f | %s | %d | %d | %s |", w.name, w.cpu(), w.median(sample.allocations), w.rate(), w.runs[0].rejected, w.runs[0].dials, n)
		case distance:
			if w.window == 0 {
				line("| direct | %s | %s | | | %s |", w.cpu(), w.rate(), n)
				continue
			}
			line("| 1 program, window %d | %s | %s | %s | %.0f %% | %s |", w.window, w.cpu(), w.rate(), pages.Thousands(int(w.bound())), 100*w.median(sample.perSecond)/w.bound(), n)
		}
	}
	if r.connections > 0 {
		line("\n| idle connections | memory each, KiB | CPU to begin one, µs |\n|---:|---:|---:|")
		line("| %s | %.1f | %.0f |", pages.Thousands(r.connections), r.idleBytes/1024, r.handshake*1e6)
	}
}
