package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"aviso.example/bench/pages"
)

func seconds(d time.Duration) string {
	if d < 100*time.Millisecond {
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

func writeMatrix(o options, chosen []*faultCase, ours, theirs []row, took time.Duration) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s; %s; `make faults`, seed %d, %d rows at a time, %s in all.\n\n", time.Now().Format(time.DateOnly), pages.Machine(), o.seed, o.parallel, took.Round(time.Second))
	held, handed, dials := 0, 0, 0
	for _, r := range ours {
		if len(r.Broken) == 0 && r.Error == "" {
			held++
		}
		handed += r.Handed
		dials += r.Dials
	}
	fmt.Fprintf(&b, "**%d of %d rows hold every invariant**; %s notifications, %s connections dialled.\n\n", held, len(ours), pages.Thousands(handed), pages.Thousands(dials))
	b.WriteString("| row | handed in | accepted | rejected | not sent | unknown (of those processed) | duplicates | recovery | dials (allowed) | goroutines left | time | invariants |\n")
	b.WriteString("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|\n")
	for _, r := range ours {
		verdict := "hold"
		if r.Error != "" {
			verdict = "**could not be run**"
		} else if len(r.Broken) > 0 {
			verdict = "**broken: " + strings.ReplaceAll(r.Broken[0], "|", "/") + "**"
		}
		unknown := pages.Thousands(r.Unknown)
		if r.Unknown > 0 {
			unknown += fmt.Sprintf(" (%s)", pages.Thousands(r.UnknownProcessed))
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s | %s | %d (%d) | %d | %s | %s |\n",
			r.Case, pages.Thousands(r.Handed), pages.Thousands(r.Accepted), pages.Thousands(r.Rejected), pages.Thousands(r.NotSent), unknown, pages.Thousands(r.Duplicates),
			seconds(r.Recovery), r.Dials, r.DialBound, r.Goroutines, seconds(r.Wall), verdict)
	}
	b.WriteString("\nWhat happens in each row, and what its numbers mean:\n\n")
	for i, c := range chosen {
		fmt.Fprintf(&b, "- **%s**: %s. → %s%s.", c.name, c.what, c.note, reasons(ours[i].Reasons))
		if c.fewer != "" {
			fmt.Fprintf(&b, " Only %s notifications: %s.", pages.Thousands(ours[i].Handed), c.fewer)
		}
		b.WriteByte('\n')
	}
	if err := pages.Replace(o.doc, "matrix", b.String()); err != nil || !o.rivals {
		return err
	}
	b.Reset()
	fmt.Fprintf(&b, "%s; the same machine, faults and seed; apns2 v0.25.0.\n\n", time.Now().Format(time.DateOnly))
	b.WriteString("| row | handed in | accepted | rejected | errors | of those processed | of those not processed (lost) | never returned | duplicates | dials | time |\n")
	b.WriteString("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	var apart []string
	for i, r := range theirs {
		if chosen[i].rival != "" {
			apart = append(apart, fmt.Sprintf("%s (%s)", chosen[i].name, chosen[i].rival))
			continue
		}
		if r.Error != "" {
			fmt.Fprintf(&b, "| %s | %s |\n", chosen[i].name, r.Error)
			continue
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n",
			r.Case, pages.Thousands(r.Handed), pages.Thousands(r.Accepted), pages.Thousands(r.Rejected), pages.Thousands(r.Unknown), pages.Thousands(r.UnknownProcessed),
			pages.Thousands(r.Lost), pages.Thousands(r.Hung), pages.Thousands(r.Duplicates), pages.Thousands(r.Dials), seconds(r.Wall))
	}
	fmt.Fprintf(&b, "\nNot run: %s.\n", strings.Join(apart, ", "))
	return pages.Replace(o.doc, "apns2", b.String())
}

// reasons adds how many were rejected with what.
func reasons(m map[string]int) string {
	var list []string
	for _, reason := range slices.Sorted(maps.Keys(m)) {
		list = append(list, fmt.Sprintf("%s %s", pages.Thousands(m[reason]), reason))
	}
	if len(list) == 0 {
		return ""
	}
	return " (" + strings.Join(list, ", ") + ")"
}

func writeSoak(o options, s *soakResult) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s; %s; `make soak`, seed %d.\n\n", time.Now().Format(time.DateOnly), pages.Machine(), o.seed)
	verdict := "**Every assertion holds.**"
	if len(s.broken) > 0 {
		verdict = "**Broken**: " + strings.Join(s.broken, "; ") + "."
	}
	fmt.Fprintf(&b, "%s\n\n| | |\n|---|--:|\n", verdict)
	line := func(what string, value any) { fmt.Fprintf(&b, "| %s | %v |\n", what, value) }
	line("handed in", pages.Thousands(s.handed))
	line("accepted", pages.Thousands(s.accepted))
	line("rejected, not sent", pages.Thousands(s.rejected+s.notSent))
	line("unknown", pages.Thousands(s.unknown))
	line("processed by the simulator", pages.Thousands(s.processed))
	line("phases in which the peer leaves no doubt: accepted", pages.Thousands(s.toldAccepted))
	line("the same: processed (equal, so no duplicate and no loss)", pages.Thousands(s.toldProcessed))
	line("alive after a phase, collected: least in the first and in the second half", kib(s.firstLive)+", "+kib(s.lastLive))
	line("live heap and garbage, most", fmt.Sprintf("%d MiB", s.mostHeap>>20))
	line("RSS of client and simulator together, most", fmt.Sprintf("%d MiB", s.mostRSS>>20))
	line("goroutines, most (both ends), and left behind", fmt.Sprintf("%d, %d", s.goroutinesMost, s.goroutinesLeft))
	line("connections of the client, most", s.connectionsMost)
	line("dials", pages.Thousands(s.dials))
	line("time", s.wall.Round(time.Second))
	b.WriteString("\n| at | settled | heap | RSS | goroutines | connections |\n|--:|--:|--:|--:|--:|--:|\n")
	for i := range 11 {
		p := s.samples[(len(s.samples)-1)*i/10]
		fmt.Fprintf(&b, "| %v | %s | %d MiB | %d MiB | %d | %d |\n", p.at.Round(time.Second), pages.Thousands(p.settled), p.heap>>20, p.rss>>20, p.goroutines, p.connections)
	}
	return pages.Replace(o.doc, "soak", b.String())
}
