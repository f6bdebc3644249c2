package main

import (
	"bytes"
	"os"
	"strings"
)

// names reports whether a text that a server wrote has a name in it, as a word.
func names(text []byte, name string) bool {
	for rest := text; ; {
		i := bytes.Index(rest, []byte(name))
		if i < 0 {
			return false
		}
		before, after := byte(' '), byte(' ')
		if i > 0 {
			before = rest[i-1]
		}
		if end := i + len(name); end < len(rest) {
			after = rest[end]
		}
		if !partOfName(before) && !partOfName(after) {
			return true
		}
		rest = rest[i+len(name):]
	}
}

func partOfName(c byte) bool {
	return c == '-' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// logged is how long the server's log is now.
func (r *rig) logged() int64 {
	info, err := os.Stat(r.log)
	if err != nil {
		return 0
	}
	return info.Size()
}

// complaints are the lines of the log at level Warn or Error since it had that
// length; errors are those at level Error.
func (r *rig) complaints(since int64) (list []string) {
	return r.lines(since, " WRN ", " ERR ")
}

func (r *rig) errors(since int64) []string { return r.lines(since, " ERR ") }

func (r *rig) lines(since int64, levels ...string) (list []string) {
	text, err := os.ReadFile(r.log)
	if err != nil || since > int64(len(text)) {
		return nil
	}
	for line := range strings.Lines(string(text[since:])) {
		for _, level := range levels {
			if strings.Contains(line, level) {
				list = append(list, strings.TrimSpace(line))
				break
			}
		}
	}
	return list
}
