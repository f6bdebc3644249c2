package keyindex

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"path/filepath"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// The middle one of three segments is cut at every byte: it goes, and the last one
// with it.
func TestSegmentCutAtEveryByte(t *testing.T) {
	t.Parallel()
	dir := written(t, 5, 20, 25)
	names := segmentFiles(t, dir)
	contents := [][]byte{read(t, dir, names[0]), read(t, dir, names[1]), read(t, dir, names[2])}
	for n := range contents[1] {
		write(t, contents[0], dir, names[0])
		write(t, contents[1][:n], dir, names[1])
		write(t, contents[2], dir, names[2])
		x := open(t, dir, small)
		wantCover(t, x, 1, 5, 5)
		wantLookup(t, x, 7, 0, 100, 5, 4, 3, 2, 1)
		if left := segmentFiles(t, dir); !slices.Equal(left, names[:1]) {
			t.Fatalf("cut at %d, %q are left", n, left)
		}
		add(t, x, 6, 7)
		closeIndex(t, x)
		x = open(t, dir, small)
		wantCover(t, x, 1, 6, 6)
		closeIndex(t, x)
		for _, name := range segmentFiles(t, dir)[1:] {
			if err := removeFiles(dir, []string{name}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Each bit of a segment is flipped: either Open removes it, or a lookup says that it
// is damaged and the next Open removes it.
func TestSegmentWithEveryBitFlipped(t *testing.T) {
	t.Parallel()
	dir := written(t, 5, 10)
	names := segmentFiles(t, dir)
	first, second := read(t, dir, names[0]), read(t, dir, names[1])
	for bit := range len(second) * 8 {
		flipped := slices.Clone(second)
		flipped[bit/8] ^= 1 << (bit % 8)
		write(t, first, dir, names[0])
		write(t, flipped, dir, names[1])
		x := open(t, dir, small)
		if x.Through() == 10 {
			if got, err := all(x, 7, 0, 100); !isDamaged(err) || len(got) > 0 {
				t.Fatalf("bit %d: %d, %v", bit, got, err)
			}
			wantLookup(t, x, 7, 0, 5, 5, 4, 3, 2, 1) // the other is not affected
			closeIndex(t, x)
			x = open(t, dir, small)
		}
		wantCover(t, x, 1, 5, 5)
		if left := segmentFiles(t, dir); !slices.Equal(left, names[:1]) {
			t.Fatalf("bit %d, %q are left", bit, left)
		}
		closeIndex(t, x)
	}
}

func TestHeaders(t *testing.T) {
	good := header{from: 3, base: 5, through: 9, count: 600}
	if h, err := decodeHeader(good.encode(), good.size()); err != nil || h != good {
		t.Errorf("%+v, %v", h, err)
	}
	for name, h := range map[string]header{
		"begins at 0":          {from: 0, base: 5, through: 9},
		"counts from before":   {from: 6, base: 5, through: 9},
		"ends before its base": {from: 3, base: 5, through: 4},
		"too wide":             {from: 1, base: 1, through: math.MaxUint32 + 2},
		"too many entries":     {from: 1, base: 1, through: 1, count: math.MaxUint64},
		"size overflows":       {from: 1, base: 1, through: 1, count: 1 << 62},
	} {
		if _, err := decodeHeader(h.encode(), h.size()); !isDamaged(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for i := range 16 {
		b := good.encode()
		b[i]++
		if _, err := decodeHeader(b, good.size()); !isDamaged(err) {
			t.Errorf("byte %d differs: %v", i, err)
		}
	}
	if _, err := decodeHeader(good.encode(), good.size()+1); !isDamaged(err) {
		t.Errorf("one byte too many: %v", err)
	}
}

// Whatever a file says, no sequence comes twice or above one that came before.
func TestEntriesOutOfOrder(t *testing.T) {
	s, err := writeSegment(filepath.Join(t.TempDir(), "segment"), header{from: 1, base: 1, through: 9, count: 3}, func(w *writer) error {
		return errors.Join(w.add(5, 3), w.add(5, 1), w.add(5, 2))
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.release()
	var got []uint64
	_, err = s.each(5, 1, 9, make([]byte, blockBytes), func(seq uint64) bool {
		got = append(got, seq)
		return true
	})
	if !isDamaged(err) || !slices.Equal(got, []uint64{3, 2}) {
		t.Errorf("%d, %v", got, err)
	}
}

// Nothing is left of a segment that could not be written.
func TestFailedWriteLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	reason := errors.New("no more entries")
	h := header{from: 1, base: 1, through: 9, count: 2}
	if _, err := writeSegment(filepath.Join(dir, "segment"), h, func(*writer) error { return reason }); !errors.Is(err, reason) {
		t.Error(err)
	}
	if _, err := writeSegment(filepath.Join(dir, "segment"), h, func(w *writer) error { return w.add(1, 1) }); err == nil {
		t.Error("one entry was taken for two")
	}
	if left := segmentFiles(t, dir); len(left) > 0 {
		t.Errorf("%q are left", left)
	}
}

func TestSort(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.OneOf(rapid.Uint64(), rapid.Uint64Range(0, 5), rapid.Custom(func(t *rapid.T) uint64 {
			return uint64(rapid.IntRange(0, 5).Draw(t, "high")) << 61
		}))
		var entries []entry
		for i, k := range rapid.SliceOfN(key, 0, 300).Draw(t, "keys") {
			entries = append(entries, entry{key: k, delta: uint32(i)})
		}
		before := slices.Clone(entries)
		got := sortByKey(entries)
		if !slices.Equal(entries, before) {
			t.Fatal("the argument was changed")
		}
		slices.SortStableFunc(before, func(a, b entry) int {
			switch {
			case a.key < b.key:
				return -1
			case a.key > b.key:
				return 1
			}
			return 0
		})
		if !slices.Equal(got, before) {
			t.Fatalf("%v, want %v", got, before)
		}
	})
}

// repaired makes a segment of any bytes by putting right what checksums would find,
// so that the fuzzer gets past them.
func repaired(b []byte) []byte {
	h := header{}
	for next := h; next.size() <= uint64(len(b)); next.count++ {
		h = next
	}
	b = slices.Clone(b[:min(uint64(len(b)), h.size())])
	if uint64(len(b)) < h.size() {
		return b
	}
	copy(b, magic)
	binary.LittleEndian.PutUint64(b[8:], version)
	binary.LittleEndian.PutUint64(b[40:], h.count)
	end := headerBytes + int(h.count)*entryBytes
	table := b[end : len(b)-checksumBytes]
	for i := range int(h.blocks()) {
		block := b[headerBytes+i*blockBytes : min(headerBytes+(i+1)*blockBytes, end)]
		binary.LittleEndian.PutUint32(table[i*rowBytes+8:], crc32.Checksum(block, castagnoli))
	}
	sum := crc32.Update(crc32.Checksum(b[:headerBytes], castagnoli), castagnoli, table)
	binary.LittleEndian.PutUint32(b[len(b)-checksumBytes:], sum)
	return b
}

func FuzzSegment(f *testing.F) {
	var keys []uint64
	for i := range uint64(700) {
		keys = append(keys, i/3)
	}
	for _, n := range []int{0, 1, 511, 512, 513, 700} {
		path := filepath.Join(f.TempDir(), "segment")
		h := header{from: 1, base: 2, through: 900, count: uint64(n)}
		s, err := writeSegment(path, h, func(w *writer) error {
			for i, key := range keys[:n] {
				if err := w.add(key, uint32(i)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			f.Fatal(err)
		}
		s.release()
		whole := read(f, path+temporary)
		f.Add(whole, false, uint64(100))
		f.Add(whole, true, uint64(0))
		f.Add(whole[:len(whole)/2], true, uint64(3))
		f.Add(whole[:len(whole)-1], false, uint64(4))
	}
	f.Fuzz(func(t *testing.T, content []byte, repair bool, key uint64) {
		if repair {
			content = repaired(content)
		}
		path := filepath.Join(t.TempDir(), "segment")
		write(t, content, path)
		s, err := openSegment(path)
		if err != nil {
			if !isDamaged(err) {
				t.Fatal(err)
			}
			return
		}
		defer s.release()
		buffer := make([]byte, blockBytes)
		for _, k := range append(slices.Clone(s.firstKeys), key) {
			lower, upper := s.from, s.through
			_, err := s.each(k, lower, upper, buffer, func(seq uint64) bool {
				if seq < lower || seq > upper {
					t.Fatalf("key %d: %d is not between %d and %d", k, seq, lower, upper)
				}
				upper = seq - 1
				return true
			})
			if err != nil && !isDamaged(err) {
				t.Fatal(err)
			}
		}
	})
}
