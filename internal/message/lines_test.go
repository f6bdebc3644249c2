package message

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestLines(t *testing.T) {
	long := strings.Repeat("x", MaxLine+1)
	input := "\xef\xbb\xbfone\n\n  two \r\n" + long + "\n" + long + long + long + "\nfive" // no line break at the end
	l := NewLines(iotest.HalfReader(strings.NewReader(input)))
	for _, want := range []struct {
		number int64
		text   string
	}{{1, "one"}, {3, "two"}, {4, ""}, {5, ""}, {6, "five"}} {
		text, err := l.Next()
		if l.Number != want.number || want.text != "" && (string(text) != want.text || err != nil) || want.text == "" && !errors.Is(err, ErrLineTooLong) {
			t.Errorf("line %d: %.40q, %v; want line %d, %q", l.Number, text, err, want.number, want.text)
		}
	}
	if _, err := l.Next(); !errors.Is(err, io.EOF) || l.Bytes.Load() != int64(len(input)) {
		t.Errorf("%v after %d of %d bytes", err, l.Bytes.Load(), len(input))
	}
}

// What an input that breaks off leaves of a line is no line.
func TestLinesBreakOff(t *testing.T) {
	broken := errors.New("the cable")
	l := NewLines(io.MultiReader(strings.NewReader("one\ntw"), iotest.ErrReader(broken)))
	if text, err := l.Next(); string(text) != "one" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
	if text, err := l.Next(); !errors.Is(err, broken) {
		t.Errorf("%q, %v", text, err)
	}
}

func TestDefaultsOf(t *testing.T) {
	for text, want := range map[string]string{
		`{"defaults":{"title":"x"}}`:             `{"title":"x"}`,
		` { "defaults" : { } } `:                 `{ }`,
		`{"to":"aa","title":"defaults"}`:         ``,
		`{"defaults"`:                            ``,
		`{"defaults":7}`:                         `! has to be an object, not a number`,
		`{"defaults":{},"defaults":{}}`:          `! is there twice`,
		`{"defaults":{},"to":"aa"}`:              `!"to" stands beside "defaults"`,
		`{"defaults":{}} {"to":"aa"}`:            `!a second object`,
		"{\"defaults\":{\"title\":\"\xff\"}}":    "{\"title\":\"\xff\"}",
		`{"defaults":`:                           `!cut off`,
		`{"defaults":null}`:                      `!"defaults" is null`,
		`{"title":"defaults","defaults":{"a":1}`: `!cut off`,
	} {
		object, err := DefaultsOf([]byte(text))
		if problem, bad := strings.CutPrefix(want, "!"); bad {
			if err == nil || !strings.Contains(err.Error(), problem) {
				t.Errorf("%s: %v, want %q", text, err, problem)
			}
		} else if err != nil || string(object) != want {
			t.Errorf("%s: %q, %v", text, object, err)
		}
	}
}
