//go:build unix

package namedfile

import (
	"errors"
	"path/filepath"
	"syscall"
	"testing"
)

func TestOnlyRegularFiles(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "key.p8")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Check(pipe); !errors.Is(err, ErrNotRegular) {
		t.Error(err)
	}
	if err := Check(filepath.Join(filepath.Dir(pipe), "nothing.p8")); err != nil {
		t.Error(err)
	}
}
