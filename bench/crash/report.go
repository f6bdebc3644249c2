package main

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

func errorf(format string, args ...any) error { return fmt.Errorf(format, args...) }

// machine describes where the figures come from.
func machine() string {
	model := runtime.GOARCH
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	return fmt.Sprintf("%s, %d cores, %s/%s, %s", model, runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version())
}

// replace writes text between the marks of a section of the file.
func replace(path, section, text string) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	begin, end := "<!-- "+section+": written by the program -->\n", "<!-- end of "+section+" -->\n"
	before, rest, ok := bytes.Cut(content, []byte(begin))
	_, after, ok2 := bytes.Cut(rest, []byte(end))
	if !ok || !ok2 {
		return fmt.Errorf("%s has no section between %q and %q", path, begin, end)
	}
	return os.WriteFile(path, slices.Concat(before, []byte(begin+"\n"+text+"\n"+end), after), 0o644)
}

// thousands writes 100000 as 100,000.
func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

// write puts the results into the page.
func write(o *options, section, command string, results []*result, took time.Duration) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s; %s; `%s`, seed %d, %s in all.\n\n", time.Now().Format(time.DateOnly), machine(), command, o.seed, took.Round(time.Second))
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
			res.row.name, res.Ends, thousands(res.Accepted), thousands(res.Messages), thousands(res.Batches), thousands(res.States[""]), thousands(res.Unsure),
			thousands(res.DoubledByEnd), thousands(res.MostPerEnd), thousands(one), thousands(res.DoubledByFault), seconds(res.start(0.5)), seconds(res.start(1)), seconds(res.Wall), verdict)
	}
	b.WriteString("\nWhat happens in each row, and what came of it:\n\n")
	for _, res := range results {
		fmt.Fprintf(&b, "- **%s**: %s. → %s.", res.row.name, res.row.what, res.row.noted)
		for _, n := range res.Notes {
			fmt.Fprintf(&b, " %s.", n)
		}
		b.WriteByte('\n')
	}
	return replace(o.doc, section, b.String())
}
