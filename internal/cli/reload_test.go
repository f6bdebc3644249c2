package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// A file that is being written is not read before it is at rest, and one that is
// missing and comes back is a change, too.
func TestLook(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "a")
	write(t, file, "1")
	r := &reloader{files: []string{file}}
	r.digest = digestOf(r.files)
	for i, step := range []struct {
		text          string // "-" removes the file, "" leaves it
		changed, rest bool
	}{
		{"", false, false},
		{"", false, true},
		{"2", true, false},
		{"23", true, false},
		{"", true, true},
		{"-", true, false},
		{"", true, true},
		{"1", false, false},
		{"", false, true},
	} {
		switch step.text {
		case "-":
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
		case "":
		default:
			write(t, file, step.text)
		}
		if changed, rest := r.look(); changed != step.changed || rest != step.rest {
			t.Errorf("step %d: changed %v, at rest %v", i, changed, rest)
		}
	}
}

// After a load the digest is of the files that were read, also if the load named
// others than the one before, and a file that is missing is watched for.
func TestFresh(t *testing.T) {
	dir := configDir(t, map[string]string{"aviso.yaml": shop})
	path := func(name string) string { return filepath.Join(dir, name) }
	source := configSource{file: path("aviso.yaml")}
	loads := 0
	r := &reloader{load: func() (*serverConfig, error) {
		loads++
		c, _, err := loadConfig(source)
		return c, err
	}}
	if _, err := r.fresh(); err != nil || loads != 2 {
		t.Errorf("%v after %d loads", err, loads)
	}
	if want := []string{path("AuthKey_ABC123DEFG.p8"), path("aviso.yaml")}; !slices.Equal(r.files, want) {
		t.Errorf("read %q", r.files)
	}
	if changed, _ := r.look(); changed {
		t.Error("nothing has changed")
	}
	write(t, path("aviso.yaml"), fmt.Sprintf("%s    ca: ca.pem\n", shop))
	if changed, _ := r.look(); !changed {
		t.Error("a change was not seen")
	}
	if _, err := r.fresh(); err == nil {
		t.Error("a file that is not there was read")
	}
	if !slices.Contains(r.files, path("ca.pem")) {
		t.Errorf("read %q", r.files)
	}
	if changed, _ := r.look(); changed {
		t.Error("nothing has changed since")
	}
	write(t, path("ca.pem"), "x")
	if changed, _ := r.look(); !changed {
		t.Error("that the file is there now was not seen")
	}
}
