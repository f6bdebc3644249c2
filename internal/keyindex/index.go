package keyindex

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
)

// ErrClosed is returned by whatever is called after Close.
var ErrClosed = errors.New("keyindex: index is closed")

// Options are the sizes of an index; the zero value is right for all but tests. They
// may differ from one Open to the next.
type Options struct {
	// SealEntries is how many entries the tail holds before it is sealed, from 1 to
	// 1<<24, by default DefaultSealEntries. Memory and what a crash costs are in
	// proportion; segments are written more often if it is small.
	SealEntries int
	// MergeUpTo is how many entries a merged segment holds at most, by default
	// DefaultMergeUpTo. If it is small, lookups open many segments; if it is large,
	// DropBefore frees space in large steps. Below 8 × SealEntries hardly anything is
	// merged.
	MergeUpTo int
}

// maxSealEntries keeps two tails and the room for sorting below 1.5 GB.
const maxSealEntries = 1 << 24

func (o Options) withDefaults() (Options, error) {
	o.SealEntries = cmp.Or(o.SealEntries, DefaultSealEntries)
	o.MergeUpTo = cmp.Or(o.MergeUpTo, DefaultMergeUpTo)
	if o.SealEntries < 1 || o.SealEntries > maxSealEntries {
		return o, fmt.Errorf("keyindex: SealEntries is %d and must be 1 to %d (0 for the default, %d)", o.SealEntries, maxSealEntries, DefaultSealEntries)
	}
	if o.MergeUpTo < 0 {
		return o, fmt.Errorf("keyindex: MergeUpTo is %d and must not be negative (0 for the default, %d)", o.MergeUpTo, DefaultMergeUpTo)
	}
	return o, nil
}

// Index is an index in a directory. Its methods may be called from several
// goroutines.
type Index struct {
	dir     string
	options Options
	lock    *os.File
	// stopping tells a merge to give up, and background waits for it and for a seal.
	stopping   atomic.Bool
	background sync.WaitGroup

	// files is held, across I/O, by whoever changes what the directory holds, so that
	// the list of segments and the directory change in the same order. It is taken
	// before mu.
	files sync.Mutex

	// mu is never held across I/O.
	mu sync.RWMutex
	// changed is told when a seal or a merge ends, and of Close.
	changed *sync.Cond
	// segments are listed from the oldest to the newest, each beginning where the one
	// before it ended. The slice is replaced and never changed.
	segments []*segment
	// sealing is the tail that is being sealed, or nil; lookups still need it. A seal
	// that failed leaves it here, with sealing not running and the reason.
	sealing     *tail
	sealRunning bool
	sealFailure error
	tail        *tail
	// mergeRunning is set while there is a merge, mergeFailure is the reason if the
	// last one failed, and mergePause how many seals to wait after that.
	mergeRunning bool
	mergeFailure error
	mergePause   int
	closed       bool
}

// Open opens the index in a directory, which it makes if need be. One directory
// serves one log, and one process at a time. What is damaged or does not join up is
// removed; Durable says from where the log has to be read again.
func Open(dir string, options Options) (*Index, error) {
	options, err := options.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := makeDirectory(dir); err != nil {
		return nil, fmt.Errorf("keyindex: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("keyindex: %w", err)
	}
	if err := lockFile(lock); err != nil {
		lock.Close()
		return nil, fmt.Errorf("keyindex: %s is in use by another process: %w", dir, err)
	}
	segments, err := openSegments(dir)
	if err != nil {
		lock.Close()
		return nil, fmt.Errorf("keyindex: %w", err)
	}
	x := &Index{dir: dir, options: options, lock: lock, segments: segments}
	x.changed = sync.NewCond(&x.mu)
	x.tail = newTail(x.durable()+1, options.SealEntries)
	return x, nil
}

// durable must be called with mu held.
func (x *Index) durable() uint64 {
	if len(x.segments) == 0 {
		return 0
	}
	return x.segments[len(x.segments)-1].through
}

// Through returns the highest sequence added, 0 if there is none. Lookups know of
// every record from From to here.
func (x *Index) Through() uint64 {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.tail.through
}

// Durable returns the highest sequence that survives a crash, 0 if there is none.
// After Open it equals Through, and the log has to be read again from the next one.
func (x *Index) Durable() uint64 {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.durable()
}

// From returns the lowest sequence that the index covers: 1 until DropBefore has
// removed something. If the log goes back further than that, the index is not that
// of this log.
func (x *Index) From() uint64 {
	x.mu.RLock()
	defer x.mu.RUnlock()
	switch {
	case len(x.segments) > 0:
		return x.segments[0].from
	case x.sealing != nil:
		return x.sealing.from
	default:
		return x.tail.from
	}
}

// Add adds a record. Sequences rise; one that is left out is taken for a record that
// holds no key or is gone. Keys may repeat, and none need be given; the slice is not
// kept.
//
// Add waits if the tail is full while the one before it is still being sealed. If
// that fails, so does Add, and nothing was added; it can be called again once the
// reason is gone (a full disk, most likely).
func (x *Index) Add(seq uint64, keys []uint64) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	for {
		switch {
		case x.closed:
			return ErrClosed
		case seq <= x.tail.through || seq == math.MaxUint64:
			return fmt.Errorf("keyindex: record %d cannot be added after %d: sequences must rise, and stay below the last number there is", seq, x.tail.through)
		case len(keys) > math.MaxInt32:
			return fmt.Errorf("keyindex: record %d has %d keys, more than %d", seq, len(keys), math.MaxInt32)
		case x.tail.fits(seq, len(keys), x.options.SealEntries):
			x.tail.add(seq, keys)
			return nil
		}
		if err := x.makeRoom(); err != nil {
			return fmt.Errorf("keyindex: record %d was not added: %w", seq, err)
		}
	}
}

// DropBefore removes the segments that lie wholly before a sequence, as the log was
// trimmed. What lies before it in other segments may still be found. The newest
// segment always stays, since it is what says how far the index got.
func (x *Index) DropBefore(seq uint64) error {
	x.files.Lock()
	defer x.files.Unlock()
	for {
		s, err := x.oldestBefore(seq)
		if s == nil || err != nil {
			return err
		}
		// One by one from the oldest on, so that what a crash leaves joins up.
		if err := removeSegments(x.dir, s); err != nil {
			return fmt.Errorf("keyindex: %w", err)
		}
		x.mu.Lock()
		x.segments = x.segments[1:]
		x.mu.Unlock()
		s.release()
	}
}

// oldestBefore returns the oldest segment if it lies before a sequence and is not the
// only one.
func (x *Index) oldestBefore(seq uint64) (*segment, error) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if x.closed {
		return nil, ErrClosed
	}
	if len(x.segments) < 2 || x.segments[0].through >= seq {
		return nil, nil
	}
	return x.segments[0], nil
}

// Stats is what an index holds at one moment.
type Stats struct {
	// Segments is how many files there are, Entries what they hold and Bytes their
	// size.
	Segments int
	Entries  uint64
	Bytes    uint64
	// Damaged is how many of the segments could not be read, wholly or in part. Lookups
	// fail there; closing and opening the index again gives them up.
	Damaged int
	// Unsealed is how many entries are in memory only.
	Unsealed int
	// Failure is why the last seal or the last merge failed; nil if they did not.
	Failure error
}

// Stats returns what the index holds.
func (x *Index) Stats() Stats {
	x.mu.RLock()
	defer x.mu.RUnlock()
	stats := Stats{
		Segments: len(x.segments),
		Unsealed: len(x.tail.entries),
		Failure:  errors.Join(x.sealFailure, x.mergeFailure),
	}
	if x.sealing != nil {
		stats.Unsealed += len(x.sealing.entries)
	}
	for _, s := range x.segments {
		stats.Entries += s.count
		stats.Bytes += s.size()
		if s.damaged.Load() {
			stats.Damaged++
		}
	}
	return stats
}

// Close seals what is in memory, so that nothing has to be read again, and closes
// the index. Lookups under way end with ErrClosed.
func (x *Index) Close() error {
	x.mu.Lock()
	wasClosed := x.closed
	x.closed = true
	x.changed.Broadcast()
	x.mu.Unlock()
	if wasClosed {
		return nil
	}
	x.stopping.Store(true)
	x.background.Wait()

	err := x.sealRest()
	x.files.Lock() // a DropBefore under way ends first
	defer x.files.Unlock()
	releaseAll(x.segments)
	if err := errors.Join(err, x.lock.Close()); err != nil {
		return fmt.Errorf("keyindex: %w", err)
	}
	return nil
}
