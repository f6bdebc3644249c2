package bundle

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestReadFolder(t *testing.T) {
	dir := folder(t, map[string]string{
		"pass.json": "{}", "en.lproj/pass.strings": "x", "en.lproj/.DS_Store": "x", ".DS_Store": "x", "__MACOSX/a": "x", "._pass.json": "x",
	})
	root := must(os.OpenRoot(dir))
	defer root.Close()
	p, err := ReadFolder(root, Limits{})
	if err != nil || len(p.Files) != 2 || p.Files[0].Name != "en.lproj/pass.strings" || string(p.Files[1].Data) != "{}" {
		t.Errorf("%+v, %v", p, err)
	}
	if strings.Join(p.Skipped, " ") != ".DS_Store ._pass.json __MACOSX en.lproj/.DS_Store" {
		t.Error(p.Skipped)
	}
}

func TestFolderRefused(t *testing.T) {
	outside := folder(t, map[string]string{"secret": "secret"})
	dir := folder(t, map[string]string{"a.png": "x", "A.png": "y", `back\slash`: "x", "big": strings.Repeat("x", 100), "ok": "x", "bad\n/x": "x"})
	for link, target := range map[string]string{"out": filepath.Join(outside, "secret"), "dir": outside, "in": "ok", "none": "nothing"} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	root := must(os.OpenRoot(dir))
	defer root.Close()
	p, err := ReadFolder(root, Limits{FileBytes: 50})
	for _, want := range []string{"a.png: it differs from A.png", `"back\\slash": its name`, "big: it is larger than 50 bytes", "out: it is a symbolic link", "dir: it is a", "in: it is a", "none: it is a", `"bad\n": its name`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("not reported: %q\n%v", want, err)
		}
	}
	if _, ok := p.Get("ok"); !ok || len(p.Files) != 3 {
		t.Errorf("%d files", len(p.Files))
	}
	for limits, want := range map[Limits]string{
		{Files: 2}:        "more than 2 files",
		{TotalBytes: 101}: "larger than 101 bytes together",
		{NameBytes: 2}:    "2 are possible",
	} {
		_, err := ReadFolder(root, limits)
		if problems, ok := errors.AsType[*Error](err); !ok || !strings.Contains(problems.Error(), want) {
			t.Errorf("%+v: %v", limits, err)
		}
	}
	root.Close()
	if _, err := ReadFolder(root, Limits{}); err == nil {
		t.Error("a closed root was read")
	}
}
