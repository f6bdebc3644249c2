package keyindex

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// What Open keeps, by what stands in the directory: sequences from 1 to 30 in three
// segments of ten, and what else the story puts there or takes away.
func TestWhatOpenKeeps(t *testing.T) {
	a, b, c := segmentName(1, 10), segmentName(11, 20), segmentName(21, 30)
	whole := segmentName(1, 30)
	for story, test := range map[string]struct {
		remove, tear  []string
		put           map[string][2]uint64 // a sound segment under this name
		from, through uint64
		left          []string
	}{
		"nothing happened":         {from: 1, through: 30, left: []string{a, b, c}},
		"the newest is gone":       {remove: []string{c}, from: 1, through: 20, left: []string{a, b}},
		"a middle one is gone":     {remove: []string{b}, from: 1, through: 10, left: []string{a}},
		"the oldest was dropped":   {remove: []string{a}, from: 11, through: 30, left: []string{b, c}},
		"the newest is torn":       {tear: []string{c}, from: 1, through: 20, left: []string{a, b}},
		"a middle one is torn":     {tear: []string{b}, from: 1, through: 10, left: []string{a}},
		"the oldest is torn":       {tear: []string{a}, from: 1, through: 0},
		"a merge was just done":    {put: map[string][2]uint64{whole: {1, 30}}, from: 1, through: 30, left: []string{whole}},
		"some leftovers are gone":  {put: map[string][2]uint64{whole: {1, 30}}, remove: []string{a, c}, from: 1, through: 30, left: []string{whole}},
		"the merged one is torn":   {put: map[string][2]uint64{whole: {1, 30}}, tear: []string{whole}, from: 1, through: 30, left: []string{a, b, c}},
		"only it is left, torn":    {put: map[string][2]uint64{whole: {1, 30}}, tear: []string{whole}, remove: []string{a}, from: 1, through: 0},
		"a seal was under way":     {put: map[string][2]uint64{segmentName(31, 40) + temporary: {31, 40}}, from: 1, through: 30, left: []string{a, b, c}},
		"one overlaps":             {put: map[string][2]uint64{segmentName(15, 25): {15, 25}}, remove: []string{c}, from: 1, through: 20, left: []string{a, b}},
		"one has another's name":   {put: map[string][2]uint64{c: {21, 31}}, from: 1, through: 20, left: []string{a, b}},
		"one is marked as damaged": {put: map[string][2]uint64{b + markedDamaged: {11, 20}}, remove: []string{b}, from: 1, through: 10, left: []string{a}},
		"the first is marked":      {put: map[string][2]uint64{a + markedDamaged: {1, 10}}, remove: []string{a}, from: 1, through: 0},
		"strangers are left alone": {put: map[string][2]uint64{"notes": {1, 1}, "1-2.keys": {1, 2}}, from: 1, through: 30, left: []string{a, b, c, "1-2.keys", "notes"}},
	} {
		t.Run(story, func(t *testing.T) {
			dir := written(t, 10, 20, 30)
			for name, covers := range test.put {
				putSegment(t, filepath.Join(dir, name), covers[0], covers[1])
			}
			for _, name := range test.remove {
				if err := os.Remove(filepath.Join(dir, name)); err != nil {
					t.Fatal(err)
				}
			}
			for _, name := range test.tear {
				if err := os.Truncate(filepath.Join(dir, name), 40); err != nil {
					t.Fatal(err)
				}
			}
			x := open(t, dir, small)
			wantCover(t, x, test.from, test.through, test.through)
			if left := segmentFiles(t, dir); !slices.Equal(left, test.left) {
				t.Errorf("%q are left, want %q", left, test.left)
			}
			var want []uint64
			for seq := test.through; seq >= test.from; seq-- {
				want = append(want, seq)
			}
			wantLookup(t, x, 7, 0, math.MaxUint64, want...)
		})
	}
}

// putSegment writes what written would have written for these sequences.
func putSegment(t *testing.T, path string, from, through uint64) {
	t.Helper()
	tail := newTail(from, int(2*(through-from+1)))
	for seq := from; seq <= through; seq++ {
		tail.add(seq, []uint64{7, seq * 1000})
	}
	h := header{from: from, base: from, through: through, count: uint64(len(tail.entries))}
	s, err := writeSegment(path, h, func(w *writer) error {
		for _, e := range sortByKey(tail.entries) {
			if err := w.add(e.key, e.delta); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	s.release()
	if err := os.Rename(path+temporary, path); err != nil {
		t.Fatal(err)
	}
}

// A file that cannot be opened for want of something else than its content is no
// reason to remove it, or anything.
func TestOpenRemovesNothingItCannotRead(t *testing.T) {
	dir := written(t, 10, 20)
	names := segmentFiles(t, dir)
	path := filepath.Join(dir, names[0])
	content := read(t, path)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	// Reading a directory fails, and says nothing of what the file would have held.
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if x, err := Open(dir, small); err == nil || isDamaged(err) {
		if x != nil {
			x.Close()
		}
		t.Fatalf("opened, or called damaged: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	write(t, content, path)
	x := open(t, dir, small)
	wantCover(t, x, 1, 20, 20)
}

// A merge that meets damage marks it, leaves the rest as it is, and does not try the
// same again.
func TestMergeMeetsDamage(t *testing.T) {
	dir := written(t, 10, 20, 30, 40, 50, 60, 70)
	names := segmentFiles(t, dir)
	content := read(t, dir, names[3])
	content[headerBytes+5] ^= 1
	write(t, content, dir, names[3])

	x := open(t, dir, Options{SealEntries: 20, MergeUpTo: 1000})
	for seq := uint64(71); seq <= 100; seq++ {
		add(t, x, seq, 7, seq*1000)
	}
	x.settle()
	if stats := x.Stats(); !isDamaged(stats.Failure) || stats.Damaged != 1 || stats.Segments != 9 {
		t.Errorf("%+v", stats)
	}
	if got, err := all(x, 7, 0, math.MaxUint64); !isDamaged(err) || len(got) != 60 {
		t.Errorf("%d sequences, want those after 40; %v", len(got), err)
	}
	wantLookup(t, x, 7, 0, 30, sequence(30, 1)...)

	// After a pause, others are merged.
	for seq := uint64(101); seq <= 250; seq++ {
		add(t, x, seq, 7, seq*1000)
		x.settle()
	}
	if stats := x.Stats(); stats.Failure != nil || stats.Damaged != 1 || stats.Segments > 4+2*mergeWidth {
		t.Errorf("%+v", stats)
	}
	closeIndex(t, x)
	x = open(t, dir, Options{SealEntries: 20, MergeUpTo: 1000})
	wantCover(t, x, 1, 30, 30)
	wantLookup(t, x, 7, 0, math.MaxUint64, sequence(30, 1)...)
}

// sequence returns the numbers from high down to low.
func sequence(high, low uint64) (numbers []uint64) {
	for seq := high; seq >= low; seq-- {
		numbers = append(numbers, seq)
	}
	return numbers
}

func TestNames(t *testing.T) {
	for _, name := range []string{
		"", "lock", "1-2.keys", segmentName(1, 2) + "x", "+" + segmentName(1, 2)[1:],
		fmt.Sprintf("%020d-%020d.key", 1, 2), "99999999999999999999-99999999999999999999.keys",
	} {
		if f, ok := parseName(name); ok {
			t.Errorf("%q was taken for %+v", name, f)
		}
	}
	for _, name := range []string{segmentName(0, 0), segmentName(1, math.MaxUint64), segmentName(5, 9) + markedDamaged} {
		if _, ok := parseName(name); !ok {
			t.Errorf("%q was not recognised", name)
		}
	}
}
