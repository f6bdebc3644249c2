// Package namedfile opens the files that people name in flags, settings and
// environment variables.
//
// What is given there is not always a name. Whoever is used to other programs, or to
// places that have variables and no files, gives the key, the certificate or the
// password itself; an error that repeats it, as those of package os do, puts it into a
// log. So there is one rule: what cannot be opened is repeated only if it reads like the
// name of a file.
package namedfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode"

	"aviso.example/internal/secret"
)

// NotANameError says that something was given in place of a file's name. It never has
// what was given.
type NotANameError struct {
	// Holds is what was given, as far as it can be told: "a private key".
	Holds string
}

func (e *NotANameError) Error() string {
	return "holds " + e.Holds + " and not the name of a file (it is not repeated here)"
}

// Open opens a file for reading. The error is a [*NotANameError] where the name does
// not read like one and there is no such file, or else what package os says.
func Open(name string) (*os.File, error) {
	f, err := os.Open(name)
	if err == nil {
		return f, nil
	}
	if wrong := notAName(name); wrong != nil {
		return nil, wrong
	}
	return nil, err
}

// Read returns what is in a file of at most so many bytes. Its errors are those of
// [Open], and a [*TooLargeError].
func Read(name string, most int64) ([]byte, error) {
	f, err := Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(data)) > most {
		return nil, &TooLargeError{name, most}
	}
	return data, err
}

// TooLargeError says that a file has more bytes than anything that belongs there.
type TooLargeError struct {
	Name string
	Most int64
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("%s has more than %d bytes; is it the right file?", e.Name, e.Most)
}

const (
	// patience is for how long a file may keep one waiting that is only looked at.
	patience = 5 * time.Second
	// longestElement is how long a part of a path may be on any file system in use.
	longestElement = 255
	// longestWord is longer than names without a dot are, and shorter than secrets.
	longestWord = 24
)

// ErrNotRegular says that there is no ordinary file under a name: a named pipe or a
// device would keep a server waiting when it reads it again.
var ErrNotRegular = errors.New("is not a regular file; a server reads it again and again, and a pipe or a device would keep it waiting")

// ErrSilent says that the file system does not answer.
var ErrSilent = errors.New("does not answer; is it on a mount that hangs?")

// Check looks whether a server can read a file again and again. A name that nothing is
// to be found under passes, for whoever opens it to complain, unless it reads like
// something else than a name: that is a [*NotANameError]. It returns within some
// seconds whatever the file system does.
func Check(name string) error {
	found := make(chan error, 1)
	go func() {
		info, err := os.Stat(name)
		switch {
		case err != nil && notAName(name) != nil:
			err = notAName(name)
		case err == nil && !info.Mode().IsRegular() && !info.IsDir(): // which opening tells
			err = ErrNotRegular
		default:
			err = nil
		}
		found <- err
	}()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case err := <-found:
		return err
	case <-timer.C:
		return ErrSilent
	}
}

// Quotable reports whether a text may be repeated where a file's name is expected.
func Quotable(name string) bool { return notAName(name) == nil }

// notAName says what a text is that cannot be the name of a file, or that nobody would
// give one; nil if it reads like a name.
func notAName(name string) error {
	if name == "" {
		return nil
	}
	if holds := kindOf(name); holds != "" {
		return &NotANameError{holds}
	}
	return nil
}

func kindOf(text string) string {
	if holds := secret.What(text); holds != "" {
		return holds
	}
	switch {
	case strings.Contains(text, "-----BEGIN"), strings.Contains(text, "-----END"):
		return "a key or a certificate"
	case strings.ContainsAny(text, "\n\r"), strings.Contains(text, `\n`):
		return "text of several lines"
	case strings.HasPrefix(strings.TrimSpace(text), "{"):
		return "JSON"
	case strings.ContainsFunc(text, func(r rune) bool { return r < ' ' }):
		return "something else"
	case strings.HasPrefix(text, "base64:"), strings.HasPrefix(text, "data:"):
		return "something in base64"
	}
	for _, element := range strings.FieldsFunc(missing(text), func(r rune) bool { return r == '/' || r == filepath.Separator }) {
		if len(element) > longestElement || len(element) > longestWord && !nameLike(element) {
			return "something else, a key or a password perhaps,"
		}
	}
	return ""
}

// missing is the part of a path that is below the folders that are there.
func missing(path string) string {
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			return strings.TrimPrefix(path, dir)
		}
		if dir == filepath.Dir(dir) {
			return path
		}
	}
}

// nameLike says that a long word reads like one that people or programs give to files:
// it has an ending, or consists of short words.
func nameLike(element string) bool {
	if ext := filepath.Ext(element); len(ext) > 1 && len(ext) <= 12 {
		return true
	}
	for _, word := range strings.FieldsFunc(element, func(r rune) bool { return strings.ContainsRune("-_.+ @,=~", r) }) {
		mixed := strings.ContainsFunc(word, unicode.IsUpper) && strings.ContainsFunc(word, unicode.IsLower) && strings.ContainsFunc(word, unicode.IsDigit)
		if len(word) > longestWord || mixed && len(word) > 7 {
			return false
		}
	}
	return true
}
