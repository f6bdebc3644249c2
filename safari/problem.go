package safari

import (
	"errors"
	"fmt"
	"strings"

	"aviso.example/internal/bundle"
)

// Problem is one thing that is wrong with a push package or its parts.
type Problem struct {
	// Path is the file in the package, with the key after a number sign if it is
	// website.json: "icon.iconset/icon_16x16.png", "website.json#allowedDomains".
	// It is empty if it is the package as a whole.
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

// Error is all that is wrong. It repeats no authentication token.
type Error struct{ Problems []Problem }

func (e *Error) Error() string {
	if len(e.Problems) == 1 {
		return "safari: " + e.Problems[0].String()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "safari: %d problems:", len(e.Problems))
	for _, p := range e.Problems {
		b.WriteString("\n  " + p.String())
	}
	return b.String()
}

// maxProblems keeps a hostile package from filling a log.
const maxProblems = 100

// problems collects.
type problems []Problem

func (p *problems) add(path, problem, fix string) {
	switch {
	case len(*p) < maxProblems:
		*p = append(*p, Problem{path, problem, fix})
	case len(*p) == maxProblems:
		*p = append(*p, Problem{"", fmt.Sprintf("there are more than %d problems; the others are not listed", maxProblems), "fix these first"})
	}
}

// addErr takes over what a package below found.
func (p *problems) addErr(path string, err error) {
	if err == nil {
		return
	}
	if below, ok := errors.AsType[*bundle.Error](err); ok {
		for _, problem := range below.Problems {
			p.add(problem.Path, problem.Problem, problem.Fix)
		}
		return
	}
	if ours, ok := errors.AsType[*Error](err); ok {
		for _, problem := range ours.Problems {
			p.add(problem.Path, problem.Problem, problem.Fix)
		}
		return
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok && strings.Contains(err.Error(), "\n") {
		for _, one := range joined.Unwrap() {
			p.addErr(path, one)
		}
		return
	}
	text := strings.TrimPrefix(err.Error(), "cms: ")
	problem, fix, _ := strings.Cut(text, "; ")
	p.add(path, problem, fix)
}

func (p problems) err() error {
	if len(p) == 0 {
		return nil
	}
	return &Error{p}
}
