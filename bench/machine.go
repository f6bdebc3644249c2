package main

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
)

// machine is what figures depend on.
type machine struct {
	cpu, memory, kernel, goVersion, load string
	cores                                int
}

func thisMachine() machine {
	m := machine{cores: runtime.NumCPU(), goVersion: strings.TrimPrefix(runtime.Version(), "go"), cpu: "unknown CPU", memory: "unknown memory"}
	m.cpu = cmp.Or(after("/proc/cpuinfo", "model name"), m.cpu)
	if kib, err := strconv.Atoi(strings.TrimSuffix(after("/proc/meminfo", "MemTotal"), " kB")); err == nil {
		m.memory = fmt.Sprintf("%.0f GiB", float64(kib)/(1<<20))
	}
	var u syscall.Utsname
	if syscall.Uname(&u) == nil {
		m.kernel = fmt.Sprintf("%s %s %s", text(u.Sysname[:]), text(u.Release[:]), text(u.Machine[:]))
	}
	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		m.load, _, _ = strings.Cut(string(load), " ")
	}
	return m
}

// after returns the value of the first line that begins with key.
func after(path, key string) string {
	content, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	for line := range bytes.Lines(content) {
		if name, value, ok := strings.Cut(string(line), ":"); ok && strings.TrimSpace(name) == key {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func text[T int8 | uint8](list []T) string {
	var s strings.Builder
	for _, c := range list {
		if c == 0 {
			break
		}
		s.WriteByte(byte(c))
	}
	return s.String()
}
