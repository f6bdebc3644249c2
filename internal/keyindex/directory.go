package keyindex

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// markedDamaged ends the name of a segment in which damage was found: the next Open
// must not keep it, and must know that something is missing in its place.
const markedDamaged = ".damaged"

// segmentName is the name of the file that covers these sequences. Names are in
// order of sequence.
func segmentName(from, through uint64) string { return fmt.Sprintf("%020d-%020d.keys", from, through) }

// found is a file that looks like a segment.
type found struct {
	name          string
	from, through uint64
	damaged       bool
}

// parseName reads the name of a segment, marked or not.
func parseName(name string) (found, bool) {
	f := found{name: name}
	plain, damaged := strings.CutSuffix(name, markedDamaged)
	f.damaged = damaged
	_, err := fmt.Sscanf(plain, "%d-%d.keys", &f.from, &f.through)
	return f, err == nil && plain == segmentName(f.from, f.through)
}

// openSegments returns the segments of a directory that are sound and join up,
// oldest first, and removes all other files that are ours. Whatever cannot be read
// for another reason than damage is an error, and then nothing is removed: a
// process that has too many files open is no reason to give up an index.
func openSegments(dir string) (kept []*segment, err error) {
	defer func() {
		if err != nil {
			releaseAll(kept)
			kept = nil
		}
	}()
	files, useless, err := listSegments(dir)
	if err != nil || len(files) == 0 {
		return nil, errors.Join(err, removeFiles(dir, useless))
	}
	next := files[0].from
	for _, f := range files {
		s, err := openFound(dir, f, next)
		switch {
		case errors.Is(err, ErrDamaged):
			useless = append(useless, f.name)
		case err != nil:
			return kept, err
		default:
			kept = append(kept, s)
			next = s.through + 1
		}
	}
	// The newest go first: if we are interrupted, those that are left must still be
	// seen not to join up.
	slices.Reverse(useless)
	return kept, removeFiles(dir, useless)
}

// listSegments returns the files of a directory that look like segments, in order of
// their first sequence and larger ones first, and the names of unfinished ones.
func listSegments(dir string) (files []found, unfinished []string, err error) {
	listed, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, err
	}
	for _, item := range listed {
		plain, isTemporary := strings.CutSuffix(item.Name(), temporary)
		f, ours := parseName(plain)
		switch {
		case !ours:
		case isTemporary:
			unfinished = append(unfinished, item.Name())
		default:
			files = append(files, f)
		}
	}
	slices.SortFunc(files, func(a, b found) int {
		if a.from != b.from {
			return cmp.Compare(a.from, b.from)
		}
		return cmp.Compare(b.through, a.through)
	})
	return files, unfinished, nil
}

func openFound(dir string, f found, next uint64) (*segment, error) {
	if f.damaged || f.from != next {
		return nil, fmt.Errorf("%s: %w, or does not follow", f.name, ErrDamaged)
	}
	s, err := openSegment(filepath.Join(dir, f.name))
	if err != nil {
		return nil, err
	}
	if s.from != f.from || s.through != f.through {
		s.release()
		return nil, fmt.Errorf("%s: %w: it covers %d to %d", f.name, ErrDamaged, s.from, s.through)
	}
	return s, nil
}

func releaseAll(segments []*segment) {
	for _, s := range segments {
		s.release()
	}
}

// removeFiles removes files one by one, and makes sure of each before the next, so
// that a crash leaves what a crash before or after one of them would have left.
func removeFiles(dir string, names []string) error {
	for _, name := range names {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			return err
		}
		if err := syncDirectory(dir); err != nil {
			return err
		}
	}
	return nil
}

// removeSegments removes the files of segments, whether they were marked or not. A
// crash may bring back any of them.
func removeSegments(dir string, segments ...*segment) error {
	var all error
	for _, s := range segments {
		err := os.Remove(s.path)
		if errors.Is(err, fs.ErrNotExist) {
			err = os.Remove(s.path + markedDamaged)
		}
		if !errors.Is(err, fs.ErrNotExist) { // or else somebody tidied up
			all = errors.Join(all, err)
		}
	}
	return errors.Join(all, syncDirectory(dir))
}

// makeDirectory makes a directory that survives a crash, if there is none.
func makeDirectory(dir string) error {
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return syncDirectory(filepath.Dir(dir))
}

// syncDirectory makes names given and taken away survive a crash.
func syncDirectory(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // directories cannot be opened there
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
