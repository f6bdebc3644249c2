package message

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
)

// MaxLine bounds a line of a batch in bytes: the largest payload with every
// character escaped, and everything else three times over.
const MaxLine = 64 << 10

// ErrLineTooLong is a line's problem, not the input's.
var ErrLineTooLong = fmt.Errorf("longer than %d bytes; is a line break missing?", MaxLine)

// Lines splits a batch into lines, which it numbers from 1. A line may be of any
// length, but of one that is too long only the beginning is kept.
type Lines struct {
	// Number is that of the line that was read last.
	Number int64
	// Bytes is how many were read; it may be asked from elsewhere.
	Bytes atomic.Int64

	r *bufio.Reader
}

// NewLines returns the lines of an input.
func NewLines(in io.Reader) *Lines {
	return &Lines{r: bufio.NewReaderSize(in, 2*MaxLine)}
}

// Next returns the next line that is not blank, without its line break. The bytes
// are valid until the next call. The error is ErrLineTooLong, with the beginning
// of the line, or that of the input.
func (l *Lines) Next() ([]byte, error) {
	for {
		text, err := l.r.ReadSlice('\n')
		l.Bytes.Add(int64(len(text)))
		if len(text) == 0 && err != nil {
			return nil, err
		}
		l.Number++
		if l.Number == 1 {
			// Windows marks UTF-8 so.
			text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
		}
		if errors.Is(err, bufio.ErrBufferFull) || len(text) > MaxLine {
			beginning := bytes.Clone(text[:MaxLine/64])
			for errors.Is(err, bufio.ErrBufferFull) {
				text, err = l.r.ReadSlice('\n')
				l.Bytes.Add(int64(len(text)))
			}
			if err != nil && !errors.Is(err, io.EOF) {
				return nil, err
			}
			return beginning, ErrLineTooLong
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		if text = bytes.TrimSpace(text); len(text) > 0 {
			return text, nil
		}
	}
}

// Idle reports that the next line is not there yet, as with a slow pipe.
func (l *Lines) Idle() bool { return l.r.Buffered() == 0 }

// DefaultsOf returns a copy of the object of a first line {"defaults":{…}}, and nil
// for an ordinary line, right or wrong.
func DefaultsOf(text []byte) ([]byte, error) {
	const name = "defaults"
	// Millions of batches have none; a look is enough to know.
	if !bytes.Contains(text, []byte(name)) {
		return nil, nil
	}
	scan := NewScan(text, Line)
	var others []string
	var object []byte
	err := scan.Object(func(key string) error {
		if key != name {
			others = append(others, key)
			_, err := scan.Value()
			return err
		}
		if object != nil {
			return Problem{Field: name, Text: "is there twice"}
		}
		// From here on it is the line of defaults, right or wrong: to take it for an
		// ordinary one would be to send the others without.
		object = []byte{}
		value, err := scan.Value()
		if err == nil {
			err = value.Want(name, KindObject)
		}
		object = append(object, value.Raw...)
		return err
	})
	switch {
	case object == nil:
		return nil, nil
	case err == nil && len(others) > 0:
		err = Problem{Field: shorten(others[0]), Text: `stands beside "defaults", which has to be alone on its line`}
	}
	return object, err
}
