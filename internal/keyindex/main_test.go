package keyindex

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// small seals and merges after a few entries, so that short tests see all of it.
var small = Options{SealEntries: 8, MergeUpTo: 8 * 8 * 8}

func open(t *testing.T, dir string, options Options) *Index {
	t.Helper()
	x, err := Open(dir, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { x.Close() })
	return x
}

func add(t *testing.T, x *Index, seq uint64, keys ...uint64) {
	t.Helper()
	if err := x.Add(seq, keys); err != nil {
		t.Fatal(err)
	}
}

func closeIndex(t *testing.T, x *Index) {
	t.Helper()
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	wantUnused(t, x)
}

// wantUnused checks that a closed index and its lookups have let go of all files.
func wantUnused(t *testing.T, x *Index) {
	t.Helper()
	for _, s := range x.segments {
		if n := s.users.Load(); n != 0 {
			t.Errorf("%s has %d users after Close", s.path, n)
		}
	}
}

// settle waits until nothing is sealed or merged any more.
func (x *Index) settle() {
	x.mu.Lock()
	defer x.mu.Unlock()
	for x.sealRunning || x.mergeRunning {
		x.changed.Wait()
	}
}

// all returns what a lookup yields before it ends, and the error it ends with.
func all(x *Index, key, from, to uint64) (sequences []uint64, err error) {
	for seq, err := range x.Lookup(key, from, to) {
		if err != nil {
			return sequences, err
		}
		sequences = append(sequences, seq)
	}
	return sequences, nil
}

func wantLookup(t *testing.T, x *Index, key, from, to uint64, want ...uint64) {
	t.Helper()
	got, err := all(x, key, from, to)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		t.Errorf("key %d from %d to %d: %d, want %d", key, from, to, got, want)
	}
}

// wantCover checks From, Through and Durable.
func wantCover(t *testing.T, x *Index, from, through, durable uint64) {
	t.Helper()
	if x.From() != from || x.Through() != through || x.Durable() != durable {
		t.Errorf("covers %d to %d, durable to %d; want %d to %d, durable to %d", x.From(), x.Through(), x.Durable(), from, through, durable)
	}
}

// segmentFiles returns the names in a directory except that of the lock.
func segmentFiles(t *testing.T, dir string) []string {
	t.Helper()
	listed, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, item := range listed {
		if item.Name() != "lock" {
			names = append(names, item.Name())
		}
	}
	return names
}

func read(t testing.TB, path ...string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t testing.TB, content []byte, path ...string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(path...), content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// written makes a directory of closed segments, each of records with the key 7 and
// one that equals the sequence, through the given sequences.
func written(t *testing.T, through ...uint64) (dir string) {
	t.Helper()
	dir = t.TempDir()
	seq := uint64(1)
	for _, last := range through {
		x := open(t, dir, Options{})
		for ; seq <= last; seq++ {
			add(t, x, seq, 7, seq*1000)
		}
		closeIndex(t, x)
	}
	return dir
}

func isDamaged(err error) bool { return errors.Is(err, ErrDamaged) }
