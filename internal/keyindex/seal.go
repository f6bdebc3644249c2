package keyindex

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
)

// makeRoom sets the full tail aside to be sealed and makes a new one; if the one set
// aside before is not sealed yet, it waits for that instead. It is called with mu
// held, and afterwards everything may have changed.
func (x *Index) makeRoom() error {
	if x.sealing == nil {
		x.sealing = x.tail
		x.tail = newTail(x.sealing.through+1, x.options.SealEntries)
		x.startSeal()
		return nil
	}
	if !x.sealRunning {
		x.startSeal() // it failed, and is tried again
	}
	for x.sealRunning && !x.closed {
		x.changed.Wait()
	}
	if x.closed {
		return ErrClosed
	}
	return x.sealFailure
}

// startSeal is called with mu held.
func (x *Index) startSeal() {
	x.sealRunning = true
	t := x.sealing
	x.background.Go(func() {
		err := x.seal(t)
		x.mu.Lock()
		defer x.mu.Unlock()
		x.sealRunning, x.sealFailure = false, err
		if err == nil {
			x.sealing = nil
			x.mergePause = max(0, x.mergePause-1)
			x.startMerge()
		}
		x.changed.Broadcast()
	})
}

// seal makes a segment of a tail to which nothing is added any more.
func (x *Index) seal(t *tail) error {
	sorted := sortByKey(t.entries)
	h := header{from: t.from, through: t.through, base: t.base, count: uint64(len(sorted))}
	s, err := writeSegment(x.path(h), h, func(w *writer) error {
		for i := range sorted {
			if err := w.add(sorted[i].key, sorted[i].delta); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	_, err = x.install(s, nil)
	return err
}

// sealRest seals both tails when no Add can come any more and nothing runs.
func (x *Index) sealRest() error {
	for _, t := range []*tail{x.sealing, x.tail} {
		if t == nil || !t.covers() {
			continue
		}
		if err := x.seal(t); err != nil {
			return err // what comes after it would leave a gap
		}
	}
	return nil
}

func (x *Index) path(h header) string {
	return filepath.Join(x.dir, segmentName(h.from, h.through))
}

// install gives a new segment its name and lists it, in the place of those it was
// merged from or else as the newest. It reports false if it came too late, because
// one of those was dropped.
func (x *Index) install(s *segment, merged []*segment) (bool, error) {
	x.files.Lock()
	defer x.files.Unlock()
	at, ok := x.placeOf(merged)
	if !ok {
		return false, discard(s)
	}
	if err := os.Rename(s.path+temporary, s.path); err != nil {
		return false, errors.Join(err, discard(s))
	}
	if err := syncDirectory(x.dir); err != nil {
		// It may have its name or not; without it, the directory is as it was.
		s.release()
		return false, errors.Join(err, os.Remove(s.path))
	}
	x.mu.Lock()
	x.segments = slices.Concat(x.segments[:at], []*segment{s}, x.segments[at+len(merged):])
	x.mu.Unlock()

	// From here on the others are only leftovers, which Open would remove.
	releaseAll(merged)
	if len(merged) == 0 {
		return true, nil
	}
	return true, removeSegments(x.dir, merged...)
}

// placeOf returns where segments stand in the list, which is at its end if there are
// none, and whether they are all still there. They were neighbours, and only the
// oldest are ever dropped, so the first tells.
func (x *Index) placeOf(segments []*segment) (int, bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if len(segments) == 0 {
		return len(x.segments), true
	}
	at := slices.Index(x.segments, segments[0])
	return at, at >= 0
}
