package cli

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
)

// lineReader splits an input into lines, which it numbers from 1. A line may be
// of any length, but of one that is too long only the beginning is kept.
type lineReader struct {
	r      *bufio.Reader
	number int64
	read   atomic.Int64 // bytes, for the progress bar
}

func newLineReader(in io.Reader) *lineReader {
	return &lineReader{r: bufio.NewReaderSize(in, 2*maxLine)}
}

// errLineTooLong is a line's problem, not the input's.
var errLineTooLong = fmt.Errorf("longer than %d bytes; is a line break missing?", maxLine)

// next returns the next line that is not blank, without its line break. The
// bytes are valid until the next call. The error is errLineTooLong, with the
// beginning of the line, or that of the input.
func (l *lineReader) next() ([]byte, error) {
	for {
		text, err := l.r.ReadSlice('\n')
		l.read.Add(int64(len(text)))
		if len(text) == 0 && err != nil {
			return nil, err
		}
		l.number++
		if l.number == 1 {
			// Windows marks UTF-8 so.
			text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
		}
		if errors.Is(err, bufio.ErrBufferFull) || len(text) > maxLine {
			beginning := bytes.Clone(text[:maxLine/64])
			for errors.Is(err, bufio.ErrBufferFull) {
				text, err = l.r.ReadSlice('\n')
				l.read.Add(int64(len(text)))
			}
			if err != nil && !errors.Is(err, io.EOF) {
				return nil, err
			}
			return beginning, errLineTooLong
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		if text = bytes.TrimSpace(text); len(text) > 0 {
			return text, nil
		}
	}
}

// idle reports that the next line is not there yet, as with a slow pipe.
func (l *lineReader) idle() bool { return l.r.Buffered() == 0 }
