package main

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"aviso.example/bench/pages"
)

// spread is what several turns came to: the middle one, and the middle half.
type spread struct{ lower, median, upper float64 }

func spreadOf(values []float64) spread {
	slices.Sort(values)
	n := len(values)
	return spread{values[n/4], values[n/2], values[n-1-n/4]}
}

func rates(turns []turn) (list []float64) {
	for _, t := range turns {
		list = append(list, t.rate())
	}
	return list
}

// ratios divides turn by turn, since neighbours had the same machine.
func ratios(a, b []turn) (list []float64) {
	for i := range a {
		list = append(list, a[i].rate()/b[i].rate())
	}
	return list
}

func report(out string, m *material, results map[string][]turn) error {
	var w strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&w, format+"\n", args...) }
	limit, ours, theirs := results["rsa"], results["aviso"], results["passkit-generator"]
	whole := func(v float64) string { return pages.Thousands(int64(math.Round(v))) }
	row := func(name string, turns []turn) {
		s := spreadOf(rates(turns))
		bytes := "–"
		if turns[0].Bytes > 0 {
			bytes = pages.Thousands(turns[0].Bytes)
		}
		of := spreadOf(ratios(turns, limit))
		line("| %s | %s | %s–%s | %.1f %% | %s |", name, whole(s.median), whole(s.lower), whole(s.upper), 100*of.median, bytes)
	}
	line("| | per second of one core | middle half of the turns | of the limit | bytes a pass |")
	line("|---|---:|---:|---:|---:|")
	row("the RSA-2048 signature alone: the limit", limit)
	row("**Aviso**", ours)
	if theirs != nil {
		row("passkit-generator "+passkitVersion, theirs)
	}
	line("")
	share := spreadOf(ratios(ours, limit))
	line("Aviso signs %.1f %% of what the limit allows (aim: 90 %%; %.1f to %.1f in the middle half of the turns).", 100*share.median, 100*share.lower, 100*share.upper)
	if theirs != nil {
		line("It makes %.0f passes in the time of one of passkit-generator's.", spreadOf(ratios(ours, theirs)).median)
	}
	line("")
	line("Measured on %s: %s%s%s. %d turns of each, medians; the pass is the sample %s with %s bytes of images and translations.",
		time.Now().UTC().Format(time.DateOnly), pages.Machine(), nodeVersion(theirs != nil), load(), len(ours), style, pages.Thousands(m.size))
	fmt.Print(w.String())
	if out == "" {
		return nil
	}
	return pages.Replace(out, "results", w.String())
}

// load says what else the machine did; this program alone makes it one.
func load() string {
	data, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return ""
	}
	average, _, _ := strings.Cut(string(data), " ")
	return ", load average " + average + " (this program alone makes it 1)"
}

// passkitVersion is pinned in strangers/passkit/package.json.
const passkitVersion = "3.6.1"

func nodeVersion(used bool) string {
	if !used {
		return ""
	}
	out, err := exec.Command("node", "--version").Output()
	if err != nil {
		return ""
	}
	return ", Node.js " + strings.TrimSpace(string(out))
}
