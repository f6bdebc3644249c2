package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The page gets what was measured, and only what is valid is measured.
func TestReport(t *testing.T) {
	m, err := newMaterial(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	results := map[string][]turn{}
	for name, run := range map[string]func(time.Duration) (turn, error){"rsa": m.signature, "aviso": m.pass} {
		turn, err := run(50 * time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		if turn.Passes == 0 || turn.CPU <= 0 {
			t.Errorf("%s: %d in %v s", name, turn.Passes, turn.CPU)
		}
		if name == "aviso" {
			if err := m.verify(turn.Last); err != nil {
				t.Error(err)
			}
			turn.Last[len(turn.Last)/2] ^= 1
			if err := m.verify(turn.Last); err == nil {
				t.Error("a damaged pass passes")
			}
		}
		results[name] = append(results[name], turn)
	}
	page := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(page, []byte("# Title\n\n<!-- results: written by the program -->\nold\n<!-- end of results -->\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := report(page, m, results); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"# Title\n", "| **Aviso** | ", "of what the limit allows"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the page lacks %q:\n%s", want, text)
		}
	}
	if strings.Contains(string(text), "old") {
		t.Error("what was there is there still")
	}
}
