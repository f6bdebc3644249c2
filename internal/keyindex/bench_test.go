package keyindex

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// recordKeys is how many keys a record has here: what a chunk of a thousand
// notifications has, about half of them with two.
const recordKeys = 1500

func randomKeys(n int) []uint64 {
	random := rand.New(rand.NewPCG(1, 2))
	keys := make([]uint64, n)
	for i := range keys {
		keys[i] = random.Uint64()
	}
	return keys
}

func addAll(b *testing.B, x *Index, keys []uint64) {
	seq := x.Through()
	for chunk := range slices.Chunk(keys, recordKeys) {
		seq++
		if err := x.Add(seq, chunk); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkAdd adds five million keys and waits until all of them are sealed and
// merged. With -cpu 1 the time is what it costs.
func BenchmarkAdd(b *testing.B) {
	keys := randomKeys(5_000_000)
	for _, test := range []struct {
		name    string
		options Options
	}{
		{"sealed", Options{MergeUpTo: 1}},
		{"sealed and merged", Options{}},
	} {
		b.Run(test.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				x, err := Open(b.TempDir(), test.options)
				if err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
				addAll(b, x, keys)
				x.settle()
				b.StopTimer()
				if err := x.Close(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(keys)), "ns/key")
		})
	}
}

func BenchmarkLookup(b *testing.B) {
	keys := randomKeys(10_000_000)
	x, err := Open(b.TempDir(), Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer x.Close()
	addAll(b, x, keys)
	x.settle()
	for _, test := range []struct {
		name string
		keys []uint64
	}{
		{"found", keys},
		{"not there", randomKeys(20_000_000)[10_000_000:]},
	} {
		b.Run(test.name, func(b *testing.B) {
			b.ReportAllocs()
			random := rand.New(rand.NewPCG(3, 4))
			for b.Loop() {
				for _, err := range x.Lookup(test.keys[random.IntN(len(test.keys))], 0, math.MaxUint64) {
					if err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(x.Stats().Segments), "segments")
		})
	}
	b.Run("open", func(b *testing.B) {
		if err := x.Close(); err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			x, err := Open(x.dir, Options{})
			if err != nil {
				b.Fatal(err)
			}
			if err := x.Close(); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkSort sorts one full tail, as we do and as the standard library would.
func BenchmarkSort(b *testing.B) {
	var entries []entry
	for i, key := range randomKeys(DefaultSealEntries) {
		entries = append(entries, entry{key: key, delta: uint32(i)})
	}
	perKey := func(b *testing.B) {
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(entries)), "ns/key")
	}
	b.Run("ours", func(b *testing.B) {
		for b.Loop() {
			sortByKey(entries)
		}
		perKey(b)
	})
	b.Run("slices", func(b *testing.B) {
		for b.Loop() {
			slices.SortFunc(slices.Clone(entries), func(x, y entry) int { return cmp.Or(cmp.Compare(x.key, y.key), cmp.Compare(x.delta, y.delta)) })
		}
		perKey(b)
	})
}

// BenchmarkMerge merges eight segments of a full tail each.
func BenchmarkMerge(b *testing.B) {
	x, err := Open(b.TempDir(), Options{MergeUpTo: 1})
	if err != nil {
		b.Fatal(err)
	}
	defer x.Close()
	for seq, key := range slices.All(randomKeys((mergeWidth + 1) * DefaultSealEntries)) {
		if err := x.Add(uint64(seq+1), []uint64{key}); err != nil {
			b.Fatal(err)
		}
	}
	x.settle()
	group := x.segments[:mergeWidth]
	h := mergedHeader(group)
	b.ReportAllocs()
	for b.Loop() {
		s, err := writeSegment(x.path(h), h, func(w *writer) error { return x.mergeEntries(w, group) })
		if err != nil {
			b.Fatal(err)
		}
		if err := discard(s); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(h.count), "ns/key")
}
