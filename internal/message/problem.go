package message

import (
	"errors"
	"strconv"
	"strings"
)

// Problem is one thing that is wrong with a message.
type Problem struct {
	// Field is what the user calls the part that is wrong: a key, or a flag with
	// its dashes. It is empty where the problem is with more than one part.
	Field string
	// Text says what is wrong with it, as in "is null; leave the key out".
	Text string

	// after are the parts from which the problem follows. If one of them is wrong
	// itself, nobody knows whether there is a problem.
	after Field
}

// Error begins with the field.
func (p Problem) Error() string {
	switch rest, unknown := strings.CutPrefix(p.Text, unknownKey); {
	case p.Field == "":
		return p.Text
	case strings.HasPrefix(p.Field, "--"):
		return p.Field + " " + p.Text
	case unknown:
		return unknownKey + " " + strconv.Quote(p.Field) + rest
	}
	return strconv.Quote(p.Field) + " " + p.Text
}

// InvalidError lists everything that is wrong with a message.
type InvalidError struct {
	Problems []Problem
	// Malformed says that the text is not one JSON object: the last problem says
	// where it stops being one, and what follows was not read.
	Malformed bool
}

// Error has all problems in one line.
func (e *InvalidError) Error() string {
	list := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		list[i] = p.Error()
	}
	return strings.Join(list, "; ")
}

// Invalid is an error of these problems, or nil if there is none.
func Invalid(problems ...Problem) error {
	if len(problems) == 0 {
		return nil
	}
	return &InvalidError{Problems: problems}
}

// ProblemsOf takes an error of this package apart, or any other as a problem with
// no field.
func ProblemsOf(err error) []Problem {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*InvalidError](err); ok {
		return e.Problems
	}
	if p, ok := errors.AsType[Problem](err); ok {
		return []Problem{p}
	}
	return []Problem{{Text: err.Error()}}
}

// Malformed reports whether an error says that a text is not one JSON object, so
// that not all of it was read.
func Malformed(err error) bool {
	e, ok := errors.AsType[*InvalidError](err)
	return ok && e.Malformed
}

// fieldName is what a user calls a part, without the quotes of a key.
func fieldName(name func(Field) string, f Field) string { return strings.Trim(name(f), `"`) }
