package engine

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/minio/highwayhash"
)

// A damaged record makes the log's server give up the rest of its file, and in the
// file that is being written to it goes on at the wrong place. So before it starts,
// such a record is written over with one that says that it was erased, which the
// server steps over: what is lost is the record, and how many there were is known.
//
// A record of the files is
//
//	4 bytes  its length, of which the highest bit says that it has header fields
//	8 bytes  sequence, of which the highest bit says that it was erased
//	8 bytes  time
//	2 bytes  length of the subject
//	         subject, and with header fields 4 bytes with their length and these
//	         message
//	8 bytes  checksum, with the file's name as the key
const (
	recordHead      = 22
	recordSum       = 8
	recordFields    = 1 << 31
	recordErased    = 1 << 63
	recordTombstone = 1 << 62 // or it is about another one that was erased
	recordMarks     = recordErased | recordTombstone
	// recordMost is more than any record has that is written here.
	recordMost = maxLogMessage + 64<<10

	// repairBytes is how much of the log is read through at a start: the newest files
	// of each stream, and of the others as many as that. What is damaged in the rest
	// costs what stands behind it in its file, and is counted when it is noticed.
	repairBytes = 256 << 20
)

// blockFile is a file of a stream's messages.
type blockFile struct {
	stream, path string
	number       int
	size         int64
}

// repair puts right what can be, and returns how many records of each stream are
// lost for good.
func repair(dir string) (lost map[string]int, err error) {
	files, err := blockFiles(streamsFolder(dir))
	if err != nil {
		return nil, err
	}
	ends := readEnds(dir)
	lost = map[string]int{}
	read, ended := map[string]bool{}, map[string]bool{}
	left := int64(repairBytes)
	for _, f := range files {
		if read[f.stream] && left < f.size {
			continue
		}
		read[f.stream] = true
		left -= f.size
		n, last, empty, err := f.repair()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.path, err)
		}
		// A stream of which any message can be taken off may end before its last one.
		cut := 0
		if end, known := ends.Streams[f.stream]; known && f.created().Equal(end.Created) {
			cut = int(end.Last) - int(last)
		}
		if first := !ended[f.stream] && last > 0; first && cut > 0 && gapless(f.stream) {
			n += cut
			// The server goes on at a place that consumers may have passed.
			if err := os.RemoveAll(filepath.Join(filepath.Dir(filepath.Dir(f.path)), "obs")); err != nil {
				return nil, err
			}
		}
		ended[f.stream] = ended[f.stream] || last > 0
		if n > 0 {
			lost[f.stream] += n
		}
		if n > 0 || empty {
			// It describes the files as they were.
			if err := os.Remove(filepath.Join(filepath.Dir(f.path), "index.db")); err != nil && !errors.Is(err, os.ErrNotExist) {
				return nil, err
			}
		}
	}
	return lost, nil
}

// blockFiles lists the files of our streams, the newest of each first.
func blockFiles(folder string) (list []blockFile, err error) {
	paths, err := filepath.Glob(filepath.Join(folder, "*", "msgs", "*.blk"))
	for _, path := range paths {
		f := blockFile{path: path, stream: filepath.Base(filepath.Dir(filepath.Dir(path)))}
		info, statErr := os.Stat(path)
		f.number, err = strconv.Atoi(strings.TrimSuffix(filepath.Base(path), ".blk"))
		if err != nil || statErr != nil || !ours(f.stream) {
			continue
		}
		f.size = info.Size()
		list = append(list, f)
	}
	slices.SortFunc(list, func(a, b blockFile) int {
		return cmp.Or(cmp.Compare(b.number, a.number), strings.Compare(a.stream, b.stream))
	})
	return list, err
}

// created is when the stream was made, or the zero time if its description cannot be
// read.
func (f *blockFile) created() time.Time {
	var info struct{ Created time.Time }
	text, err := os.ReadFile(filepath.Join(filepath.Dir(filepath.Dir(f.path)), "meta.inf"))
	if err != nil || json.Unmarshal(text, &info) != nil {
		return time.Time{}
	}
	return info.Created
}

// repair writes over what is damaged in a file, and returns how many records that
// was, and the last sequence in it, 0 if there is none; empty says that there is
// nothing in it that could be read, although there should be.
func (f *blockFile) repair() (lost int, last uint64, empty bool, err error) {
	data, err := os.ReadFile(f.path)
	if err != nil {
		return 0, 0, false, err
	}
	key := sha256.Sum256(fmt.Appendf(nil, "%s-%d", f.stream, f.number))
	sum, err := highwayhash.NewDigest64(key[:])
	if err != nil {
		return 0, 0, false, err
	}
	b := blockData{data, sum}
	damaged := false
	empty = len(data) > 0
	for at := 0; at < len(data); {
		if r, ok := b.record(at); ok {
			empty = false
			if !r.tombstone {
				last = max(last, r.sequence)
			}
			at += r.size
			continue
		}
		next, sequence := b.next(at, last)
		if next < 0 {
			// The end was never written whole, and the server cuts it off, unless it
			// is a whole record with a wrong sum.
			if r, _ := b.record(at); r.size == len(data)-at && r.size >= recordHead+recordSum {
				last++
				b.erase(at, len(data), last)
				lost++
				damaged = true
			}
			break
		}
		if next-at < recordHead+recordSum {
			break
		}
		// What stood there was one that the next follows, or else only said that
		// another was erased.
		missing := 1
		switch {
		case sequence == 0 || last > 0 && sequence == last+1:
			missing = 0
			b.erase(at, next, 0)
		case last > 0 && gapless(f.stream):
			missing = int(sequence - last - 1)
			fallthrough
		default:
			b.erase(at, next, sequence-1)
		}
		lost += missing
		damaged = true
		at = next
	}
	if !damaged {
		return 0, last, empty, nil
	}
	return lost, last, empty, replaceFile(f.path, data)
}

// blockData is the content of a file.
type blockData struct {
	data []byte
	sum  *highwayhash.Digest64
}

type blockRecord struct {
	size      int
	sequence  uint64
	tombstone bool // it says that another one was erased
}

// gapless says that messages of a stream are cut off at its beginning only.
func gapless(stream string) bool {
	return strings.HasPrefix(stream, queuePrefix) || strings.HasPrefix(stream, batchStream) || stream == streamVerdicts || stream == streamDead
}

// record reads the record at a place, and reports whether it is a good one; its size
// is what it says.
func (b *blockData) record(at int) (r blockRecord, ok bool) {
	rest := b.data[at:]
	if len(rest) < recordHead+recordSum {
		return r, false
	}
	length := binary.LittleEndian.Uint32(rest)
	r.size = int(length &^ recordFields)
	subject := int(binary.LittleEndian.Uint16(rest[20:]))
	text := recordHead + subject
	if length&recordFields != 0 {
		text += 4
	}
	if r.size > min(len(rest), recordMost) || text > r.size-recordSum {
		return r, false
	}
	b.sum.Reset()
	b.sum.Write(rest[4:20])
	b.sum.Write(rest[recordHead : recordHead+subject])
	b.sum.Write(rest[text : r.size-recordSum])
	sequence := binary.LittleEndian.Uint64(rest[4:])
	r.sequence, r.tombstone = sequence&^recordMarks, sequence&recordTombstone != 0
	return r, bytes.Equal(b.sum.Sum(nil), rest[r.size-recordSum:r.size])
}

// next finds the next good record after a damaged one, or returns -1; its sequence is
// 0 if it is about another one.
func (b *blockData) next(after int, last uint64) (at int, sequence uint64) {
	for at := after + 1; at+recordHead+recordSum <= len(b.data); at++ {
		// Few places look like one, and sums are dear.
		s := binary.LittleEndian.Uint64(b.data[at+4:])
		tombstone := s&recordTombstone != 0
		if s &^= recordMarks; !tombstone && s <= last || last > 0 && s > last+1<<20 {
			continue
		}
		if _, ok := b.record(at); !ok {
			continue
		}
		if tombstone {
			s = 0
		}
		return at, s
	}
	return -1, 0
}

// erase writes a record over a part of the file that says that there was one.
func (b *blockData) erase(from, to int, sequence uint64) {
	part := b.data[from:to]
	clear(part)
	binary.LittleEndian.PutUint32(part, uint32(len(part)))
	binary.LittleEndian.PutUint64(part[4:], sequence|recordErased)
	end := len(part) - recordSum
	b.sum.Reset()
	b.sum.Write(part[4:20])
	b.sum.Write(part[recordHead:end])
	copy(part[end:], b.sum.Sum(nil))
}

// replaceFile replaces a file's content; whoever reads it has the old or the new.
func replaceFile(path string, data []byte) error {
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}
