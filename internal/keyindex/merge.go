package keyindex

import (
	"errors"
	"math"
	"slices"
)

// errStopped ends a merge when the index is closed.
var errStopped = errors.New("stopped")

// startMerge starts a merge if there is something to merge. It is called with mu
// held.
func (x *Index) startMerge() {
	if x.closed || x.mergeRunning || x.mergePause > 0 {
		return
	}
	group := x.options.nextMerge(x.segments)
	if group == nil {
		return
	}
	for _, s := range group {
		s.users.Add(1) // one of them may be dropped meanwhile
	}
	x.mergeRunning = true
	x.background.Go(func() {
		err := x.merge(group)
		releaseAll(group)
		x.mu.Lock()
		defer x.mu.Unlock()
		x.mergeRunning, x.mergeFailure = false, err
		if err != nil {
			x.mergePause = mergePause
		}
		x.startMerge()
		x.changed.Broadcast()
	})
}

// tier tells how large a segment is: 0 up to a full tail, 1 up to mergeWidth of
// them, and so on.
func (o Options) tier(count uint64) int {
	tier := 0
	for limit := uint64(o.SealEntries); count > limit; limit *= mergeWidth {
		tier++
	}
	return tier
}

// nextMerge returns the neighbours to merge next, or nil. These are the oldest
// mergeWidth in the newest row of one tier that has so many. What they become is of
// the same tier or the next, so tiers fall from the oldest segment to the newest,
// and none has more than mergeWidth-1 segments for long.
func (o Options) nextMerge(segments []*segment) []*segment {
	for end := len(segments); end > 0; {
		begin := end - 1
		for begin > 0 && alike(o, segments[begin-1], segments[end-1]) {
			begin--
		}
		if end-begin >= mergeWidth {
			if group := segments[begin : begin+mergeWidth]; o.mergeable(group) {
				return group
			}
		}
		end = begin
	}
	return nil
}

func alike(o Options, a, b *segment) bool {
	return !a.damaged.Load() && !b.damaged.Load() && o.tier(a.count) == o.tier(b.count)
}

func (o Options) mergeable(group []*segment) bool {
	h := mergedHeader(group)
	return h.count <= uint64(o.MergeUpTo) && h.through-h.base <= math.MaxUint32
}

func mergedHeader(group []*segment) header {
	h := header{from: group[0].from, base: group[0].base, through: group[len(group)-1].through}
	for _, s := range group {
		h.count += s.count
	}
	return h
}

// merge makes one segment of neighbours.
func (x *Index) merge(group []*segment) error {
	h := mergedHeader(group)
	s, err := writeSegment(x.path(h), h, func(w *writer) error { return x.mergeEntries(w, group) })
	switch {
	case errors.Is(err, errStopped):
		return nil
	case err != nil:
		return err
	}
	_, err = x.install(s, group)
	return err
}

// mergeEntries adds the entries of all segments in order of key. Of equal keys those
// of the older segment come first, as their sequences are lower.
func (x *Index) mergeEntries(w *writer, group []*segment) error {
	// The keys that come next are kept beside each other and not in the cursors,
	// since looking for the least of them is most of the work.
	var cursors []*cursor
	var keys []uint64
	for _, s := range group {
		c := &cursor{s: s, rebase: uint32(s.base - w.segment.base), buffer: make([]byte, mergeBlocks*blockBytes)}
		more, err := x.advance(c)
		if err != nil {
			return err
		}
		if more {
			cursors = append(cursors, c)
			keys = append(keys, c.key)
		}
	}
	for len(keys) > 0 {
		least := slices.Index(keys, slices.Min(keys)) // of equal ones, the oldest
		c := cursors[least]
		if err := w.add(c.key, c.delta+c.rebase); err != nil {
			return err
		}
		more, err := x.advance(c)
		if err != nil {
			return err
		}
		if more {
			keys[least] = c.key
			continue
		}
		cursors = slices.Delete(cursors, least, least+1)
		keys = slices.Delete(keys, least, least+1)
	}
	return nil
}

// cursor goes through the entries of a segment.
type cursor struct {
	s *segment
	// rebase is what turns its deltas into those of the merged segment.
	rebase uint32
	// entries are what was read and not passed yet, in the buffer.
	entries, buffer []byte
	block           int
	key             uint64
	delta           uint32
}

// advance goes to the next entry, and reports false at the end.
func (x *Index) advance(c *cursor) (bool, error) {
	if len(c.entries) == 0 {
		if c.block == len(c.s.sums) {
			return false, nil
		}
		if x.stopping.Load() {
			return false, errStopped
		}
		end := min(c.block+mergeBlocks, len(c.s.sums))
		b, err := c.s.read(c.block, end, c.buffer)
		if err != nil {
			return false, x.foundDamage(c.s, err)
		}
		c.entries, c.block = b, end
	}
	c.key, c.delta = decodeEntry(c.entries, 0)
	c.entries = c.entries[entryBytes:]
	return true, nil
}
