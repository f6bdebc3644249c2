//go:build unix

package bundle

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestReplacedWhileRead: what was a file when the folder was listed is something
// else by the time it is opened.
func TestReplacedWhileRead(t *testing.T) {
	dir := folder(t, map[string]string{"ok": "x"})
	if err := errors.Join(os.Symlink("ok", filepath.Join(dir, "link")), syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600)); err != nil {
		t.Fatal(err)
	}
	root := must(os.OpenRoot(dir))
	defer root.Close()
	for name, want := range map[string]string{"link": "it is a symbolic link, which packages cannot hold", "pipe": "it is not a regular file", "ok": ""} {
		data, problem, err := readFile(root, name, Limits{}.orDefault(), 100)
		if err != nil || problem != want || (data == nil) != (want != "") {
			t.Errorf("%s: %q, %q, %v", name, data, problem, err)
		}
	}
}
