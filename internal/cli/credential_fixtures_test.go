package cli

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite testdata/credentials.golden")

// TestCredentialOnEveryVariant shows what aviso credential says of every kind of
// key and certificate file that people bring: the fixtures of package auth, which
// openssl made. Read the golden file to judge the words.
func TestCredentialOnEveryVariant(t *testing.T) {
	files, err := filepath.Glob("../../auth/testdata/*")
	if err != nil {
		t.Fatal(err)
	}
	// What depends on the day or on the random key is left out.
	varies := regexp.MustCompile(`(?m)^  (valid|serial number|SHA-256|key id +[A-Z0-9]{10} \(made).*\n`)
	var got strings.Builder
	for _, file := range files {
		if info, err := os.Stat(file); err != nil || info.IsDir() || filepath.Ext(file) == ".sh" {
			continue
		}
		var out, errs bytes.Buffer
		a := &app{stdin: strings.NewReader(""), stdout: &out, stderr: &errs, getenv: func(name string) string {
			if name == "AVISO_PASSWORD" && !strings.Contains(file, "nopass") {
				return "secret"
			}
			return ""
		}}
		code := a.run(t.Context(), []string{"credential", file})
		text := strings.ReplaceAll(out.String()+errs.String(), "../../auth/testdata/", "")
		fmt.Fprintf(&got, "$ aviso credential %s\n%sexit %d\n\n", filepath.Base(file), varies.ReplaceAllString(text, ""), code)
		if strings.Contains(text, "PRIVATE KEY-----") || strings.Contains(text, "secret") {
			t.Errorf("%s: a secret is shown", file)
		}
	}
	const golden = "testdata/credentials.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != got.String() {
		os.WriteFile(filepath.Join(t.ArtifactDir(), "credentials.got"), []byte(got.String()), 0o644)
		for i, line := range strings.Split(got.String(), "\n") {
			if old := strings.Split(string(want), "\n"); i >= len(old) || old[i] != line {
				t.Fatalf("line %d is %q; if that is right, run the test with -update", i+1, line)
			}
		}
		t.Fatal("lines are missing; if that is right, run the test with -update")
	}
}
