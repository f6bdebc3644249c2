package bundle

import (
	"fmt"
	"strings"
)

// Problem is one thing that is wrong with a package.
type Problem struct {
	// Path is the name of the file inside the package, or empty if it is the
	// package as a whole. A name from a hostile archive is quoted.
	Path string `json:"path,omitempty"`
	// Problem is what is wrong, and Fix what to do about it, or empty.
	Problem string `json:"problem"`
	Fix     string `json:"fix,omitempty"`
}

func (p Problem) String() string {
	text := p.Problem
	if p.Path != "" {
		text = p.Path + ": " + text
	}
	if p.Fix != "" {
		text += "; " + p.Fix
	}
	return text
}

// Error is all that is wrong with a package.
type Error struct{ Problems []Problem }

func (e *Error) Error() string {
	if len(e.Problems) == 1 {
		return "bundle: " + e.Problems[0].String()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "bundle: %d problems:", len(e.Problems))
	for _, p := range e.Problems {
		b.WriteString("\n  " + p.String())
	}
	return b.String()
}

// maxProblems keeps a hostile archive from filling a log.
const maxProblems = 50

// problems collects.
type problems []Problem

func (p *problems) add(path, problem, fix string) {
	switch {
	case len(*p) < maxProblems:
		*p = append(*p, Problem{Path: shown(path), Problem: problem, Fix: fix})
	case len(*p) == maxProblems:
		*p = append(*p, Problem{Problem: fmt.Sprintf("there are more than %d problems; the others are not listed", maxProblems)})
	}
}

// err must not return a nil *Error as an error.
func (p problems) err() error {
	if len(p) == 0 {
		return nil
	}
	return &Error{Problems: p}
}

// shown quotes a name that could forge lines of a log or steer a terminal, and
// cuts one that is too long.
func shown(name string) string {
	const most = 300
	cut := ""
	if len(name) > most {
		name, cut = name[:most], "…"
	}
	if quoted := fmt.Sprintf("%q", name); quoted != `"`+name+`"` {
		name = quoted
	}
	return name + cut
}
