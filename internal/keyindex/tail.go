package keyindex

import (
	"math"
	"math/bits"
)

// entry says that the record with a sequence holds a key.
type entry struct {
	key uint64
	// delta is the sequence less the base of what the entry stands in.
	delta uint32
	// previous is where the next older entry with the same hash stands in the
	// tail, plus one; 0 if there is none.
	previous uint32
}

// tail holds what is not sealed yet. Entries are only ever appended, in order of
// sequence, and chained from the newest to the oldest with the same hash. So a
// reader that has taken a chain under the lock can follow it without.
type tail struct {
	// from is the first sequence that the tail covers, through the last; base is
	// the first that was added, and may be far above from.
	from, base, through uint64
	entries             []entry
	// heads has for each hash where its newest entry stands, plus one.
	heads []uint32
	shift int
}

func newTail(from uint64, capacity int) *tail {
	hashBits := bits.Len(uint(capacity - 1))
	return &tail{
		from:    from,
		through: from - 1,
		entries: make([]entry, 0, capacity),
		heads:   make([]uint32, 1<<hashBits),
		shift:   64 - hashBits,
	}
}

// covers reports whether anything was added, if only a record without keys.
func (t *tail) covers() bool { return t.through >= t.from }

// fits reports whether a record can be added before the tail has to be sealed. A
// record is never split, so one that is larger than a tail gets one of its own.
func (t *tail) fits(seq uint64, keys, capacity int) bool {
	return !t.covers() || len(t.entries)+keys <= capacity && seq-t.base <= math.MaxUint32
}

func (t *tail) add(seq uint64, keys []uint64) {
	if !t.covers() {
		t.base = seq
	}
	t.through = seq
	delta := uint32(seq - t.base)
	first := uint32(len(t.entries))
	for _, key := range keys {
		head := &t.heads[t.hash(key)]
		if t.has(key, *head, first) {
			continue
		}
		t.entries = append(t.entries, entry{key: key, delta: delta, previous: *head})
		*head = uint32(len(t.entries))
	}
}

// has reports whether a key is among the entries of the present record, which
// begin at first.
func (t *tail) has(key uint64, head, first uint32) bool {
	for head > first {
		e := &t.entries[head-1]
		if e.key == key {
			return true
		}
		head = e.previous
	}
	return false
}

// hash spreads keys, which are hashes already but need not differ in the bits that
// we look at, by Fibonacci hashing: 2^64 divided by the golden ratio.
func (t *tail) hash(key uint64) uint64 { return key * 0x9e3779b97f4a7c15 >> t.shift }

// chain is a walk from the newest entry with the hash of a key. It stays valid
// while the tail grows.
type chain struct {
	from, base, key uint64
	entries         []entry
	head            uint32
}

// chain must be called with the lock held. A nil tail is one that covers nothing.
func (t *tail) chain(key uint64) chain {
	if t == nil {
		return chain{from: math.MaxUint64}
	}
	return chain{from: t.from, base: t.base, key: key, entries: t.entries, head: t.heads[t.hash(key)]}
}

// each calls yield with the sequences from lower through upper whose record has
// the key, newest first, and reports whether all yields returned true.
func (c chain) each(lower, upper uint64, yield func(uint64) bool) bool {
	for at := c.head; at != 0; at = c.entries[at-1].previous {
		e := &c.entries[at-1]
		seq := c.base + uint64(e.delta)
		if seq < lower {
			break
		}
		if e.key == c.key && seq <= upper && !yield(seq) {
			return false
		}
	}
	return true
}
