package engine

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"aviso.example/apnstest"
)

// Whatever became of the folder, a batch is counted once: from the counts that
// were saved where they fit the log, and from its verdicts otherwise.
func TestCountsAfterAccidents(t *testing.T) { virtually(t, testCountsAfterAccidents) }

func testCountsAfterAccidents(t *testing.T) {
	const n = 3000
	apple := apnstest.StartMem(t)
	r := newRig(t, apple)
	b := r.batch(BatchConfig{})
	fill(t, b, 0, n)
	if _, err := b.Close(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	want := r.waitBatch(b.ID(), isDone).Counts
	if want.Accepted != n {
		t.Fatalf("%+v", want)
	}
	dir := r.ledger.dir
	edit := func(change func(*countsFile)) {
		var f countsFile
		data, err := os.ReadFile(filepath.Join(dir, "counts.json"))
		if err == nil {
			err = json.Unmarshal(data, &f)
		}
		if err != nil {
			t.Fatal(err)
		}
		change(&f)
		data, _ = json.Marshal(f)
		if err := os.WriteFile(filepath.Join(dir, "counts.json"), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, accident := range []struct {
		name   string
		happen func()
	}{
		{"nothing", func() {}},
		{"the file is empty, as after a loss of power", func() { os.Truncate(filepath.Join(dir, "counts.json"), 0) }},
		{"the counts are of another log", func() {
			edit(func(f *countsFile) { f.Log = f.Log.Add(time.Second); f.Batches[b.ID()].Accepted = 7 })
		}},
		{"the log has lost its end", func() { edit(func(f *countsFile) { f.Through += 1000; f.Batches[b.ID()].Accepted = 7 }) }},
		{"the index is gone", func() {
			files, _ := filepath.Glob(filepath.Join(dir, "*.keys"))
			for _, f := range files {
				os.Remove(f)
			}
		}},
		{"the folder is gone", func() { os.RemoveAll(dir) }},
	} {
		r.close()
		accident.happen()
		r.open()
		if got := r.waitBatch(b.ID(), func(BatchStatus) bool { return true }).Counts; cmp.Diff(want, got) != "" {
			t.Errorf("%s: %s", accident.name, cmp.Diff(want, got))
		}
	}
	// What was counted is known for longer than verdicts are.
	r.close()
	r.open()
	if err := r.ledger.stream.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.close()
	r.open()
	if got := r.waitBatch(b.ID(), isDone).Counts; cmp.Diff(want, got) != "" {
		t.Error(cmp.Diff(want, got))
	}
}

// While the index catches up with them, counts must not be saved as those of where
// it is: what lies between would be counted twice.
func TestCountsAheadOfIndex(t *testing.T) {
	l := &ledger{dir: t.TempDir(), batches: map[BatchID]*Counts{}, saved: 10, through: 5}
	if err := l.saveCounts(); err != nil || l.saved != 10 {
		t.Error(l.saved, err)
	}
	if _, err := os.Stat(l.countsPath()); err == nil {
		t.Error("they were saved")
	}
	l.through = 11
	if err := l.saveCounts(); err != nil || l.saved != 11 {
		t.Error(l.saved, err)
	}
}
