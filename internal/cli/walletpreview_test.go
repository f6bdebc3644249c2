package cli

import (
	"archive/zip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What a Mac leaves in a package is told, and the pass is drawn all the same.
func TestPreviewBesideWhatAMacLeaves(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if code, out, err := runCLI(t, "", "wallet", "new", filepath.Join(dir, "card.pass"), "--style", "storeCard"); code != ExitOK {
		t.Fatal(out, err)
	}
	pass, err := os.ReadFile(filepath.Join(dir, "card.pass", "pass.json"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "card.zip")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	z := zip.NewWriter(f)
	for name, data := range map[string][]byte{"pass.json": pass, "__MACOSX/._pass.json": []byte("x")} {
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	code, _, stderr := runCLI(t, "", "wallet", "preview", path, "-o", filepath.Join(dir, "card.html"))
	if code != ExitOK || !strings.Contains(stderr, "left behind") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	if _, err := os.Stat(filepath.Join(dir, "card.html")); err != nil {
		t.Error(err)
	}
}
