package keyindex

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

func TestLookup(t *testing.T) {
	x := open(t, t.TempDir(), small)
	for seq, keys := range [][]uint64{
		1: {1, 2, 3}, 2: {2}, 3: {}, 4: {2, 2, 9, 2}, 5: {math.MaxUint64, 0}, 6: {2, 3}, 9: {2},
	} {
		if keys != nil {
			add(t, x, uint64(seq), keys...)
		}
	}
	check := func() {
		t.Helper()
		wantLookup(t, x, 1, 0, math.MaxUint64, 1)
		wantLookup(t, x, 2, 0, math.MaxUint64, 9, 6, 4, 2, 1)
		wantLookup(t, x, 2, 2, 6, 6, 4, 2)
		wantLookup(t, x, 2, 3, 5, 4)
		wantLookup(t, x, 2, 5, 5)
		wantLookup(t, x, 2, 6, 5)
		wantLookup(t, x, 2, 10, 20)
		wantLookup(t, x, 2, 0, 0)
		wantLookup(t, x, 3, 0, 100, 6, 1)
		wantLookup(t, x, 0, 1, 100, 5)
		wantLookup(t, x, math.MaxUint64, 1, 100, 5)
		wantLookup(t, x, 77, 0, math.MaxUint64)
	}
	check()
	x.settle()
	wantCover(t, x, 1, 9, 5) // the record after the eighth entry had the tail sealed

	closeIndex(t, x)
	x = open(t, x.dir, small)
	wantCover(t, x, 1, 9, 9)
	check()
}

func TestLookupStopsWhereTheCallerDoes(t *testing.T) {
	x := open(t, t.TempDir(), small)
	for seq := range uint64(100) {
		add(t, x, seq+1, 5, 6)
	}
	for want := range 100 {
		var got int
		for range x.Lookup(5, 0, math.MaxUint64) {
			if got == want {
				break
			}
			got++
		}
		if got != want {
			t.Fatalf("stopped after %d, want %d", got, want)
		}
	}
}

// A key that fills many blocks is found across their borders.
func TestOneKeyInManyBlocks(t *testing.T) {
	x := open(t, t.TempDir(), Options{})
	const records = 5 * blockEntries
	for seq := range uint64(records) {
		add(t, x, seq+1, 4, 5, 6)
	}
	closeIndex(t, x)
	x = open(t, x.dir, Options{})
	for _, r := range [][2]uint64{{1, records}, {0, 1}, {700, 1900}, {blockEntries, blockEntries + 1}, {records, records}} {
		got, err := all(x, 5, r[0], r[1])
		if err != nil {
			t.Fatal(err)
		}
		var want []uint64
		for seq := min(r[1], records); seq >= max(r[0], 1); seq-- {
			want = append(want, seq)
		}
		if !slices.Equal(got, want) {
			t.Errorf("from %d to %d: %d sequences, want %d", r[0], r[1], len(got), len(want))
		}
	}
}

func TestAddRefuses(t *testing.T) {
	x := open(t, t.TempDir(), small)
	add(t, x, 5, 1)
	for _, seq := range []uint64{0, 4, 5, math.MaxUint64} {
		if err := x.Add(seq, []uint64{9}); err == nil || !strings.Contains(err.Error(), "rise") {
			t.Errorf("record %d after 5: %v", seq, err)
		}
	}
	wantLookup(t, x, 9, 0, math.MaxUint64)
	closeIndex(t, x)
	if err := x.Add(6, nil); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if err := x.DropBefore(6); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if _, err := all(x, 1, 0, 9); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	closeIndex(t, x) // once more does nothing
}

func TestOptionsAreChecked(t *testing.T) {
	for _, o := range []Options{{SealEntries: -1}, {SealEntries: maxSealEntries + 1}, {MergeUpTo: -1}} {
		if x, err := Open(t.TempDir(), o); err == nil {
			x.Close()
			t.Errorf("%+v was taken", o)
		}
	}
}

func TestOneProcessAtATime(t *testing.T) {
	x := open(t, t.TempDir(), small)
	if _, err := Open(x.dir, small); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("opened twice: %v", err)
	}
	closeIndex(t, x)
	open(t, x.dir, small)
}

// Deltas have 32 bits; sequences that lie further apart go into different segments.
func TestSequencesFarApart(t *testing.T) {
	x := open(t, t.TempDir(), small)
	far := []uint64{1 << 40, 1<<40 + math.MaxUint32, 1<<40 + math.MaxUint32 + 1, 1 << 50, math.MaxUint64 - 1}
	for _, seq := range far {
		add(t, x, seq, 3)
	}
	slices.Reverse(far)
	wantLookup(t, x, 3, 0, math.MaxUint64, far...)
	closeIndex(t, x)
	x = open(t, x.dir, small)
	wantLookup(t, x, 3, 0, math.MaxUint64, far...)
	wantCover(t, x, 1, math.MaxUint64-1, math.MaxUint64-1)
	if n := x.Stats().Segments; n != 4 {
		t.Errorf("%d segments, want 4", n)
	}
}

// A record is in one segment, however large it is.
func TestRecordLargerThanTheTail(t *testing.T) {
	x := open(t, t.TempDir(), small)
	keys := make([]uint64, 5000)
	for i := range keys {
		keys[i] = uint64(i)
	}
	add(t, x, 1, 1)
	add(t, x, 2, keys...)
	add(t, x, 3, 1)
	for range 2 {
		wantLookup(t, x, 1, 0, 9, 3, 2, 1)
		wantLookup(t, x, 4999, 0, 9, 2)
		closeIndex(t, x)
		x = open(t, x.dir, small)
	}
}

func TestSegmentsAreMerged(t *testing.T) {
	t.Parallel()
	x := open(t, t.TempDir(), small)
	for seq := range uint64(2100) {
		add(t, x, seq+1, seq%10, 10+seq%7)
		x.settle()
	}
	// 4200 entries: 8 of 512, which may not be merged any further, one of 64, 4 of 8,
	// and 8 in the tail.
	stats := x.Stats()
	if stats.Failure != nil || stats.Segments != 13 || stats.Unsealed != 8 {
		t.Errorf("%+v", stats)
	}
	if n := len(segmentFiles(t, x.dir)); n != stats.Segments {
		t.Errorf("%d files for %d segments", n, stats.Segments)
	}
	if stats.Entries+uint64(stats.Unsealed) != 4200 {
		t.Errorf("%+v, want 4200 entries", stats)
	}
	var want []uint64
	for seq := uint64(2094); seq > 0; seq -= min(seq, 10) {
		want = append(want, seq)
	}
	wantLookup(t, x, 3, 0, math.MaxUint64, want...)
}

func TestDropBefore(t *testing.T) {
	x := open(t, t.TempDir(), Options{SealEntries: 4, MergeUpTo: 4}) // two records each, never merged
	for seq := range uint64(11) {
		add(t, x, seq+1, 1, 2)
	}
	x.settle()
	drop := func(seq uint64) {
		t.Helper()
		if err := x.DropBefore(seq); err != nil {
			t.Fatal(err)
		}
	}
	drop(2)
	wantCover(t, x, 1, 11, 10)
	drop(3)
	wantCover(t, x, 3, 11, 10)
	drop(8)
	wantCover(t, x, 7, 11, 10)
	wantLookup(t, x, 1, 0, 100, 11, 10, 9, 8, 7)
	drop(1000)
	wantCover(t, x, 9, 11, 10) // the newest segment stays: it says how far we got
	closeIndex(t, x)
	x = open(t, x.dir, small)
	wantCover(t, x, 9, 11, 11)
	wantLookup(t, x, 2, 0, 100, 11, 10, 9)
}

// When the disk takes nothing, Add goes on while there is memory and then fails,
// losing nothing, until the disk takes something again.
func TestSealingFailsAndRecovers(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "index")
	x := open(t, dir, small)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	seq, failures := uint64(1), 0
	for ; failures < 3; seq++ {
		if err := x.Add(seq, []uint64{1, 2, 3}); err != nil {
			failures++
			seq--
		}
		if seq > 100 {
			t.Fatal("Add never failed")
		}
	}
	wantCover(t, x, 1, seq-1, 0)
	if x.Stats().Failure == nil {
		t.Error("Stats says nothing of it")
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	add(t, x, seq, 1, 2, 3)
	if err := x.Stats().Failure; err != nil {
		t.Error(err)
	}
	closeIndex(t, x)
	x = open(t, dir, small)
	wantCover(t, x, 1, seq, seq)
	got, err := all(x, 2, 0, math.MaxUint64)
	if err != nil || len(got) != int(seq) {
		t.Errorf("%d sequences, want %d: %v", len(got), seq, err)
	}
}

// What could not be sealed leaves no gap behind it.
func TestCloseSealsInOrder(t *testing.T) {
	x := open(t, t.TempDir(), Options{SealEntries: 4})
	obstacle := filepath.Join(x.dir, segmentName(1, 2)+temporary)
	if err := os.Mkdir(obstacle, 0o700); err != nil {
		t.Fatal(err)
	}
	for seq := range uint64(3) {
		add(t, x, seq+1, 7, 8)
	}
	if err := x.Close(); err == nil {
		t.Error("closed without an error")
	}
	if left := segmentFiles(t, x.dir); len(left) != 1 {
		t.Errorf("%q are left", left)
	}
	x = open(t, x.dir, small)
	wantCover(t, x, 1, 0, 0)
}

// Lookups agree with the log while records are added, sealed, merged and dropped.
func TestLookupsMeanwhile(t *testing.T) {
	t.Parallel()
	x := open(t, t.TempDir(), Options{SealEntries: 40, MergeUpTo: 40 * 8 * 8})
	const last, keyCount = 3000, 7
	var lookups sync.WaitGroup
	for reader := range uint64(3) {
		lookups.Go(func() {
			for through := uint64(0); through < last; {
				through = x.Through()
				key := (reader + through) % keyCount
				got, err := all(x, key, 0, through)
				if err != nil {
					t.Error(err)
					return
				}
				from := x.From() // what is found below it may be there or not
				for seq := through; seq >= from; seq-- {
					if seq%keyCount != key {
						continue
					}
					if len(got) == 0 || got[0] != seq {
						t.Errorf("key %d through %d: %d is missing before %d", key, through, seq, got)
						return
					}
					got = got[1:]
				}
			}
		})
	}
	for seq := uint64(1); seq <= last; seq++ {
		add(t, x, seq, seq%keyCount, 100)
		if seq%500 == 0 {
			if err := x.DropBefore(seq - 400); err != nil {
				t.Error(err)
			}
		}
	}
	lookups.Wait()
}

// Close comes at any moment, and whoever waits or looks up learns of it.
func TestCloseMeanwhile(t *testing.T) {
	t.Parallel()
	for stop := range uint64(15) {
		x := open(t, t.TempDir(), small)
		started := make(chan struct{})
		var users sync.WaitGroup
		users.Go(func() {
			for seq := uint64(1); ; seq++ {
				if err := x.Add(seq, []uint64{1, seq}); err != nil {
					if !errors.Is(err, ErrClosed) {
						t.Error(err)
					}
					return
				}
				if seq == stop*10+1 {
					close(started)
				}
			}
		})
		users.Go(func() {
			for {
				if _, err := all(x, 1, 0, math.MaxUint64); err != nil {
					if !errors.Is(err, ErrClosed) {
						t.Error(err)
					}
					return
				}
			}
		})
		<-started
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
		users.Wait()
		wantUnused(t, x)
		for _, name := range segmentFiles(t, x.dir) {
			if strings.HasSuffix(name, temporary) {
				t.Errorf("%s was left", name)
			}
		}
		through := x.Through()
		x = open(t, x.dir, small)
		wantCover(t, x, 1, through, through)
		closeIndex(t, x)
	}
}
