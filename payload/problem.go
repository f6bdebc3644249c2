package payload

import (
	"errors"
	"strings"
)

// ErrTooLarge is matched by errors.Is when one of the problems is the size, so
// that a sender can answer with Shorten.
var ErrTooLarge = errors.New("payload: larger than Apple's limit")

// A Problem is one thing that is wrong with a payload.
type Problem struct {
	// Path is the JSON pointer (RFC 6901) of the value, such as
	// "/aps/alert/loc-args"; "" is the whole payload.
	Path string
	// Message says what is wrong and why, without repeating the value.
	Message string
	// Fix says what to do.
	Fix string
}

// String returns path, message and fix in one line.
func (p Problem) String() string {
	var s strings.Builder
	if p.Path != "" {
		s.WriteString(p.Path)
		s.WriteString(": ")
	}
	s.WriteString(p.Message)
	if p.Fix != "" {
		s.WriteString(" (")
		s.WriteString(p.Fix)
		s.WriteString(")")
	}
	return s.String()
}

// InvalidError lists everything that is wrong with a payload. It repeats key
// names and numbers of bytes, never texts or other values.
type InvalidError struct {
	// Type is the push type, or "" where it is not known.
	Type PushType
	// Problems has at least one entry, in the order of the JSON.
	Problems []Problem

	tooLarge bool
}

// Error returns all problems in one line.
func (e *InvalidError) Error() string {
	var s strings.Builder
	s.WriteString("invalid ")
	s.WriteString(kindName(e.Type))
	for i, p := range e.Problems {
		if i == 0 {
			s.WriteString(": ")
		} else {
			s.WriteString("; ")
		}
		s.WriteString(p.String())
	}
	return s.String()
}

// Is reports whether the error is of the given sort; only ErrTooLarge is
// asked for.
func (e *InvalidError) Is(target error) bool {
	return target == ErrTooLarge && e.tooLarge
}
