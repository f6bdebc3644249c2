// Package pages puts what the programs of this module found into the pages under
// docs.
package pages

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
)

// CPUModel is the name of the processor, or its architecture where nobody says.
func CPUModel() string {
	data, _ := os.ReadFile("/proc/cpuinfo")
	for l := range strings.Lines(string(data)) {
		if name, value, ok := strings.Cut(l, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	if out, err := exec.Command("uname", "-m").Output(); err == nil {
		return strings.TrimSpace(string(out))
	}
	return runtime.GOARCH
}

// Machine describes where the figures come from.
func Machine() string {
	return fmt.Sprintf("%s, %d cores, %s/%s, %s", CPUModel(), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version())
}

// Load is how many processes were at work on average in the last minute, or
// "unknown": figures are better on a machine that has nothing else to do.
func Load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	load, _, _ := strings.Cut(string(text), " ")
	return load
}

// Replace writes text between the marks of a section of the file.
func Replace(path, section, text string) error {
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

// Thousands writes 100000 as 100,000.
func Thousands[N int | int64 | uint64](n N) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
