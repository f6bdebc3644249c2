package keyindex

import (
	"errors"
	"fmt"
	"iter"
	"os"
	"slices"
	"sort"
	"sync"
)

var blocks = sync.Pool{New: func() any { return new([blockBytes]byte) }}

// Lookup returns the sequences from from to to whose record holds a key, newest
// first, each once. It reads files as far as the caller goes on, so whoever wants
// the newest only should stop there. An error is yielded once and ends it: what is
// older is then unknown. The result can be ranged over again, and looks again.
//
// Records that are added meanwhile may be missed; no lock is held while the caller
// has the turn.
func (x *Index) Lookup(key, from, to uint64) iter.Seq2[uint64, error] {
	return func(yield func(uint64, error) bool) {
		x.mu.RLock()
		closed := x.closed
		tails := [...]chain{x.tail.chain(key), x.sealing.chain(key)}
		x.mu.RUnlock()
		if closed {
			yield(0, ErrClosed)
			return
		}

		// Sequences are handed over down to position. What was sealed or merged since
		// covers the same ones, so the position is all that has to be remembered.
		position := to
		found := func(seq uint64) bool { return yield(seq, nil) }
		for _, c := range tails {
			if !c.each(from, position, found) {
				return
			}
			position = min(position, c.from-1)
		}
		if position < from {
			return
		}
		buffer := blocks.Get().(*[blockBytes]byte)
		defer blocks.Put(buffer)
		for position >= from {
			s, err := x.use(position)
			if err != nil {
				yield(0, err)
				return
			}
			if s == nil || !x.lookInto(s, key, from, position, buffer[:], yield) {
				return
			}
			position = s.from - 1
		}
	}
}

// use returns the segment that covers a sequence, which has to be released, or nil.
func (x *Index) use(seq uint64) (*segment, error) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if x.closed {
		return nil, ErrClosed
	}
	at := sort.Search(len(x.segments), func(i int) bool { return x.segments[i].through >= seq })
	if at == len(x.segments) || x.segments[at].from > seq {
		return nil, nil
	}
	s := x.segments[at]
	s.users.Add(1)
	return s, nil
}

// lookInto looks into one segment, and reports whether to go on with an older one.
func (x *Index) lookInto(s *segment, key, from, to uint64, buffer []byte, yield func(uint64, error) bool) bool {
	defer s.release()
	more, err := s.each(key, from, to, buffer, func(seq uint64) bool { return yield(seq, nil) })
	if err != nil {
		yield(0, fmt.Errorf("keyindex: %w", x.foundDamage(s, err)))
	}
	return more
}

// foundDamage returns the error, after it has marked the file if that is what the
// error says. The segment stays in use: most of its blocks may be sound, and without
// it lookups would miss records and not know. The next Open gives it up.
func (x *Index) foundDamage(s *segment, err error) error {
	if s.damaged.Swap(true) || !errors.Is(err, ErrDamaged) {
		return err
	}
	x.files.Lock()
	defer x.files.Unlock()
	x.mu.RLock()
	listed := !x.closed && slices.Contains(x.segments, s)
	x.mu.RUnlock()
	if !listed {
		return err
	}
	return errors.Join(err, os.Rename(s.path, s.path+markedDamaged), syncDirectory(x.dir))
}
