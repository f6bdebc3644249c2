package keyindex

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// model plays one random story on an index beside the log that it is made from:
// records are added, segments dropped, the process ends or crashes, files are
// damaged. After each step every answer is held against the log.
type model struct {
	t       *rapid.T
	parent  string
	dirs    int
	options Options
	x       *Index
	// log has the keys of each record.
	log  map[uint64][]uint64
	last uint64
	// early is a copy of the directory from some time before.
	early string
}

// modelKeys are few, so that most are in many records.
var modelKeys = []uint64{0, 1, 2, 3, 1 << 20, 1<<63 - 1, 1 << 63, math.MaxUint64}

func (m *model) newDir() string {
	m.dirs++
	dir := filepath.Join(m.parent, fmt.Sprint(m.dirs))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		m.t.Fatal(err)
	}
	return dir
}

func (m *model) open(dir string) {
	x, err := Open(dir, m.options)
	if err != nil {
		m.t.Fatal(err)
	}
	m.x = x
}

func (m *model) close() {
	if err := m.x.Close(); err != nil {
		m.t.Fatal(err)
	}
}

// copyOf copies the directory as it is at this moment, which may be in the middle of
// writing a file, though not between two changes that only a loss of power parts.
func (m *model) copyOf() string {
	m.x.files.Lock()
	defer m.x.files.Unlock()
	listed, err := os.ReadDir(m.x.dir)
	if err != nil {
		m.t.Fatal(err)
	}
	dir := m.newDir()
	for _, item := range listed {
		from, to := filepath.Join(m.x.dir, item.Name()), filepath.Join(dir, item.Name())
		var err error
		switch {
		case item.Name() == "lock": // a link to it would be held by the other index
			continue
		case strings.HasSuffix(item.Name(), temporary):
			err = copyFile(from, to)
		default:
			err = os.Link(from, to) // never changed again, and far faster
		}
		if errors.Is(err, fs.ErrNotExist) {
			continue // a merge has just failed
		}
		if err != nil {
			m.t.Fatal(err)
		}
	}
	return dir
}

func copyFile(from, to string) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, content, 0o600)
}

// replay adds what the index does not have from the log, as its owner would.
func (m *model) replay() {
	for _, seq := range m.sequences() {
		if seq > m.x.Through() {
			m.add(seq)
		}
	}
}

func (m *model) add(seq uint64) {
	if err := m.x.Add(seq, m.log[seq]); err != nil {
		m.t.Fatal(err)
	}
}

func (m *model) sequences() []uint64 {
	var sequences []uint64
	for seq := range m.log {
		sequences = append(sequences, seq)
	}
	slices.Sort(sequences)
	return sequences
}

// crash goes on in a copy of the directory.
func (m *model) crash(dir string) {
	m.close()
	m.open(dir)
	if m.x.Through() != m.x.Durable() || m.x.Through() > m.last {
		m.t.Fatalf("after a crash, through %d, durable %d, last %d", m.x.Through(), m.x.Durable(), m.last)
	}
}

// check holds the answers for all keys in a range against the log, and reports
// whether one of them was that a file is damaged.
func (m *model) check(from, to uint64) (damaged bool) {
	first, through := m.x.From(), m.x.Through()
	for _, key := range modelKeys {
		got, err := all(m.x, key, from, to)
		if err != nil && !isDamaged(err) {
			m.t.Fatal(err)
		}
		damaged = damaged || err != nil
		var want []uint64
		for seq, keys := range m.log {
			// Below From, what is found depends on what was dropped with what.
			if seq >= max(from, first) && seq <= min(to, through) && slices.Contains(keys, key) {
				want = append(want, seq)
			}
		}
		slices.Sort(want)
		slices.Reverse(want)
		if err != nil {
			want = want[:min(len(got), len(want))] // what came before the error is right
		}
		if !slices.Equal(got, want) {
			m.t.Fatalf("key %d from %d to %d (index has %d to %d): %d, want %d", key, from, to, first, through, got, want)
		}
	}
	return damaged
}

func (m *model) actions() map[string]func(*rapid.T) {
	pick := func(t *rapid.T, label string, names []string) string {
		return names[rapid.IntRange(0, len(names)-1).Draw(t, label)]
	}
	return map[string]func(*rapid.T){
		"add": func(t *rapid.T) {
			for range rapid.IntRange(1, 25).Draw(t, "records") {
				m.last += uint64(rapid.IntRange(1, 3).Draw(t, "gap"))
				m.log[m.last] = rapid.SliceOfN(rapid.SampledFrom(modelKeys), 0, 12).Draw(t, "keys")
				m.add(m.last)
			}
		},
		"far gap": func(t *rapid.T) { m.last += 1 << 31 },
		"drop": func(t *rapid.T) {
			if err := m.x.DropBefore(rapid.Uint64Range(0, m.last+1).Draw(t, "before")); err != nil {
				t.Fatal(err)
			}
		},
		"settle": func(*rapid.T) { m.x.settle() },
		"look into a range": func(t *rapid.T) {
			m.check(rapid.Uint64Range(0, m.last+1).Draw(t, "from"), rapid.Uint64Range(0, m.last+1).Draw(t, "to"))
		},
		"reopen": func(t *rapid.T) {
			through, from := m.x.Through(), m.x.From()
			m.close()
			m.open(m.x.dir)
			if m.x.Through() != through || m.x.Durable() != through || m.x.From() < from {
				t.Fatalf("from %d through %d durable %d, want %d through %d", m.x.From(), m.x.Through(), m.x.Durable(), from, through)
			}
		},
		"crash": func(t *rapid.T) {
			durable := m.x.Durable()
			m.crash(m.copyOf())
			if m.x.Durable() < durable {
				t.Fatalf("durable was %d and is %d", durable, m.x.Durable())
			}
			m.check(0, math.MaxUint64)
			m.replay()
		},
		"remember": func(*rapid.T) { m.early = m.copyOf() },
		"crash while merged segments are removed": func(t *rapid.T) {
			durable := m.x.Durable()
			dir := m.copyOf()
			m.restoreMerged(t, dir)
			m.crash(dir)
			if m.x.Durable() < durable {
				t.Fatalf("durable was %d and is %d", durable, m.x.Durable())
			}
			m.check(0, math.MaxUint64)
			m.replay()
		},
		"damage": func(t *rapid.T) {
			dir := m.copyOf()
			files, _, err := listSegments(dir)
			if err != nil {
				t.Fatal(err)
			}
			if len(files) == 0 {
				return
			}
			names := make([]string, len(files))
			for i, f := range files {
				names[i] = f.name
			}
			m.damage(t, filepath.Join(dir, pick(t, "file", names)))
			m.crash(dir)
			if m.check(0, math.MaxUint64) {
				m.close()
				m.open(dir)
				if m.check(0, math.MaxUint64) {
					t.Fatal("still damaged after it was opened again")
				}
			}
			m.replay()
		},
		"": func(*rapid.T) { m.check(0, math.MaxUint64) },
	}
}

// restoreMerged puts back some of the files that were there before and have been
// merged since: their removal did not get to the disk.
func (m *model) restoreMerged(t *rapid.T, dir string) {
	if m.early == "" {
		return
	}
	before, _, err := listSegments(m.early)
	if err != nil {
		t.Fatal(err)
	}
	now, _, err := listSegments(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, old := range before {
		merged := slices.ContainsFunc(now, func(f found) bool {
			return f.from <= old.from && old.through <= f.through && f.name != old.name
		})
		if !merged || !rapid.Bool().Draw(t, "is back") {
			continue
		}
		if err := os.Link(filepath.Join(m.early, old.name), filepath.Join(dir, old.name)); err != nil {
			t.Fatal(err)
		}
	}
}

func (m *model) damage(t *rapid.T, path string) {
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil { // other copies share it
		t.Fatal(err)
	}
	at := rapid.IntRange(0, len(content)-1).Draw(t, "at")
	switch kind := rapid.SampledFrom([]string{"cut", "flip", "grow", "remove"}).Draw(t, "kind"); kind {
	case "cut":
		content = content[:at]
	case "flip":
		content[at] ^= byte(1 + rapid.IntRange(0, 254).Draw(t, "bits"))
	case "grow":
		content = append(content, content[:at]...)
	case "remove":
		return
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		m := &model{
			t: rt, parent: t.TempDir(), log: map[uint64][]uint64{},
			options: Options{
				SealEntries: rapid.SampledFrom([]int{4, 20, 100, 1000}).Draw(rt, "seal"),
				MergeUpTo:   rapid.SampledFrom([]int{1, 300, 5000}).Draw(rt, "merge up to"),
			},
		}
		m.open(m.newDir())
		defer func() {
			m.close()
			os.RemoveAll(m.parent)
		}()
		rt.Repeat(m.actions())
	})
}
