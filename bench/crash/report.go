package main

import (
	"fmt"
	"strings"
	"time"

	"aviso.example/bench/pages"
)

func errorf(format string, args ...any) error { return fmt.Errorf(format, args...) }

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

// write puts the results into the page.
func write(o *options, section, command string, results []*result, took time.Duration) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s; %s; `%s`, seed %d, %s in all.\n\n", time.Now().Format(time.DateOnly), pages.Machine(), command, o.seed, took.Round(time.Second))
	held := 0
	for _, res := range results {
		if len(res.Broken) == 0 {
			held++
		}
	}
	fmt.Fprintf(&b, "**%d of %d rows hold every invariant.**\n\n", held, len(results))
	b.WriteString("| row | ends | accepted (messages, batches) | lost | requests without an answer | doubled after an end (most after one, bound for one) | doubled by the network | start, median and longest | time | invariants |\n")
	b.WriteString("|---|--:|--:|--:|--:|--:|--:|--:|--:|---|\n")
	for _, res := range results {
		verdict := "hold"
		if len(res.Broken) > 0 {
			verdict = "**broken: " + strings.NewReplacer("|", "/", "\n", " ").Replace(res.Broken[0]) + "**"
		}
		one := 0
		if res.Ends > 0 {
			one = res.Bound / res.Ends
		}
		fmt.Fprintf(&b, "| %s | %d | %s (%s, %s) | %s | %s | %s (%s, %s) | %s | %s, %s | %s | %s |\n",
			res.row.name, res.Ends, pages.Thousands(res.Accepted), pages.Thousands(res.Messages), pages.Thousands(res.Batches), pages.Thousands(res.States[""]), pages.Thousands(res.Unsure),
			pages.Thousands(res.DoubledByEnd), pages.Thousands(res.MostPerEnd), pages.Thousands(one), pages.Thousands(res.DoubledByFault), seconds(res.start(0.5)), seconds(res.start(1)), seconds(res.Wall), verdict)
	}
	b.WriteString("\nWhat happens in each row, and what came of it:\n\n")
	for _, res := range results {
		fmt.Fprintf(&b, "- **%s**: %s. → %s.", res.row.name, res.row.what, res.row.noted)
		for _, n := range res.Notes {
			fmt.Fprintf(&b, " %s.", n)
		}
		b.WriteByte('\n')
	}
	return pages.Replace(o.doc, section, b.String())
}

// fine is for what should take next to no time.
func fine(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}
