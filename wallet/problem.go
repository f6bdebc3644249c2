package wallet

import (
	"errors"
	"slices"
	"strings"
)

// Severity says what comes of a problem.
type Severity uint8

// The severities.
const (
	// Error means that devices refuse the pass or order, or that Apple's own
	// tools do.
	Error Severity = iota + 1
	// Warning means that it works, but something in it does not, or looks like
	// a mistake.
	Warning
)

// String returns "error" or "warning".
func (s Severity) String() string {
	switch s {
	case Error:
		return "error"
	case Warning:
		return "warning"
	}
	return "unknown"
}

// MarshalText returns what String returns.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// A Problem is one thing that is wrong with a pass or an order. It repeats keys,
// file names and numbers, never texts of the pass.
type Problem struct {
	Severity Severity `json:"severity"`
	// File is the file in the package, such as "icon@2x.png". "" means pass.json
	// or order.json, or, if Path is empty too, the package as a whole.
	File string `json:"file,omitempty"`
	// Path is the key in the file, such as "eventTicket.primaryFields[0].value".
	Path string `json:"path,omitempty"`
	// Message says what is wrong, with the limit.
	Message string `json:"message"`
	// Fix says what to do.
	Fix string `json:"fix,omitempty"`
}

// String returns the place, the message and the fix in one line, without the
// severity.
func (p Problem) String() string {
	var s strings.Builder
	for _, place := range []string{p.File, p.Path} {
		if place != "" {
			s.WriteString(place)
			s.WriteString(": ")
		}
	}
	s.WriteString(p.Message)
	if p.Fix != "" {
		s.WriteString(" (")
		s.WriteString(p.Fix)
		s.WriteString(")")
	}
	return s.String()
}

// Problems is everything that is wrong with a pass or an order, errors first.
type Problems []Problem

// Errors returns the problems that are errors.
func (p Problems) Errors() Problems { return p.only(Error) }

// Warnings returns the problems that are warnings.
func (p Problems) Warnings() Problems { return p.only(Warning) }

func (p Problems) only(s Severity) (found Problems) {
	for _, problem := range p {
		if problem.Severity == s {
			found = append(found, problem)
		}
	}
	return found
}

// Err returns an *InvalidError with the errors among the problems, or nil if
// there are none.
func (p Problems) Err() error {
	if errors := p.Errors(); len(errors) > 0 {
		return &InvalidError{errors}
	}
	return nil
}

// sort puts errors first and keeps the order otherwise.
func (p Problems) sort() Problems {
	slices.SortStableFunc(p, func(a, b Problem) int { return int(a.Severity) - int(b.Severity) })
	return p
}

// InvalidError lists what makes a pass or an order invalid.
type InvalidError struct {
	// Problems has at least one entry.
	Problems Problems
}

// Error returns all problems in one line.
func (e *InvalidError) Error() string {
	var s strings.Builder
	s.WriteString("wallet: ")
	for i, p := range e.Problems {
		if i > 0 {
			s.WriteString("; ")
		}
		s.WriteString(p.String())
	}
	return s.String()
}

// errNotObject is wrapped when a file is not a JSON object at all.
var errNotObject = errors.New("wallet: not a JSON object")
