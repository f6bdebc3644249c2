package keyindex

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
	"sort"
	"sync/atomic"
)

// ErrDamaged is wrapped by errors about a file that is not what was written. The
// error names the file, which the next Open will remove.
var ErrDamaged = errors.New("file is damaged")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// header is what a segment says of itself.
type header struct {
	// from and through are the first and the last sequence that it covers.
	from, through uint64
	// base is what the sequences of its entries are counted from.
	base uint64
	// count is the number of its entries.
	count uint64
}

func (h header) blocks() uint64 { return (h.count + blockEntries - 1) / blockEntries }

// size is the size of the file. It does not overflow if count is not larger than
// the size of some file.
func (h header) size() uint64 {
	return headerBytes + h.count*entryBytes + h.blocks()*rowBytes + checksumBytes
}

func (h header) encode() []byte {
	b := make([]byte, 0, headerBytes)
	b = append(b, magic...)
	b = binary.LittleEndian.AppendUint64(b, version)
	b = binary.LittleEndian.AppendUint64(b, h.from)
	b = binary.LittleEndian.AppendUint64(b, h.base)
	b = binary.LittleEndian.AppendUint64(b, h.through)
	return binary.LittleEndian.AppendUint64(b, h.count)
}

// decodeHeader returns what a header says if it can be that of a file of that size.
func decodeHeader(b []byte, size uint64) (header, error) {
	if !bytes.HasPrefix(b, []byte(magic)) || binary.LittleEndian.Uint64(b[8:]) != version {
		return header{}, fmt.Errorf("%w: it does not begin like a segment", ErrDamaged)
	}
	h := header{
		from:    binary.LittleEndian.Uint64(b[16:]),
		base:    binary.LittleEndian.Uint64(b[24:]),
		through: binary.LittleEndian.Uint64(b[32:]),
		count:   binary.LittleEndian.Uint64(b[40:]),
	}
	switch {
	case h.count > size || h.size() != size:
		return header{}, fmt.Errorf("%w: %d bytes cannot hold %d entries", ErrDamaged, size, h.count)
	case h.from == 0 || h.base < h.from || h.through < h.base || h.through-h.base > math.MaxUint32:
		return header{}, fmt.Errorf("%w: it covers %d to %d and counts from %d", ErrDamaged, h.from, h.through, h.base)
	}
	return h, nil
}

// segment is a sealed file. It stays open while anybody uses it, even after it was
// removed.
type segment struct {
	header
	path string
	file *os.File
	// firstKeys and sums have for each block its first key and its checksum.
	firstKeys []uint64
	sums      []uint32
	// users are the index, as long as it lists the segment, and everyone who reads.
	users atomic.Int32
	// damaged is set once a read has failed: a merge would fail there as well.
	damaged atomic.Bool
}

// openSegment opens a file and verifies its header and its table of blocks.
func openSegment(path string) (*segment, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	s := &segment{path: path, file: file}
	s.users.Store(1)
	if err := s.readTable(); err != nil {
		file.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

func (s *segment) readTable() error {
	info, err := s.file.Stat()
	if err != nil {
		return err
	}
	begin := make([]byte, headerBytes)
	if err := readFull(s.file, begin, 0); err != nil {
		return err
	}
	if s.header, err = decodeHeader(begin, uint64(info.Size())); err != nil {
		return err
	}
	table := make([]byte, s.blocks()*rowBytes+checksumBytes)
	if err := readFull(s.file, table, info.Size()-int64(len(table))); err != nil {
		return err
	}
	table, sum := table[:len(table)-checksumBytes], binary.LittleEndian.Uint32(table[len(table)-checksumBytes:])
	if crc32.Update(crc32.Checksum(begin, castagnoli), castagnoli, table) != sum {
		return fmt.Errorf("%w: wrong checksum of its table", ErrDamaged)
	}
	s.firstKeys = make([]uint64, s.blocks())
	s.sums = make([]uint32, s.blocks())
	for i := range s.sums {
		row := table[i*rowBytes:]
		s.firstKeys[i] = binary.LittleEndian.Uint64(row)
		s.sums[i] = binary.LittleEndian.Uint32(row[8:])
	}
	return nil
}

// readFull reads all of b. A file that ends too early is damaged; any other failure
// is the machine's, and no reason to give up a file.
func readFull(file *os.File, b []byte, offset int64) error {
	_, err := file.ReadAt(b, offset)
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: it is too short", ErrDamaged)
	}
	return err
}

// release ends one use.
func (s *segment) release() {
	if s.users.Add(-1) == 0 {
		s.file.Close() // only ever read, so there is nothing to lose
	}
}

// read reads the blocks from first to before end into the buffer, which must be
// large enough, and returns their entries.
func (s *segment) read(first, end int, buffer []byte) ([]byte, error) {
	offset := first * blockBytes
	b := buffer[:min(end*blockBytes, int(s.count)*entryBytes)-offset]
	if err := readFull(s.file, b, headerBytes+int64(offset)); err != nil {
		return nil, fmt.Errorf("%s: %w", s.path, err)
	}
	for i := first; i < end; i++ {
		at := (i - first) * blockBytes
		if crc32.Checksum(b[at:min(at+blockBytes, len(b))], castagnoli) != s.sums[i] {
			return nil, fmt.Errorf("%s: %w: wrong checksum of block %d of %d", s.path, ErrDamaged, i+1, len(s.sums))
		}
	}
	return b, nil
}

// decodeEntry returns entry i of what read returned.
func decodeEntry(b []byte, i int) (key uint64, delta uint32) {
	b = b[i*entryBytes : (i+1)*entryBytes]
	return binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint32(b[8:])
}

// each calls yield with the sequences from lower through upper whose record has the
// key, newest first, and reports whether all yields returned true. The buffer holds
// a block.
func (s *segment) each(key, lower, upper uint64, buffer []byte, yield func(uint64) bool) (bool, error) {
	// Entries with the key can begin in a block before the last one that begins with
	// it or with a smaller one, so blocks are read from there backwards.
	last := sort.Search(len(s.firstKeys), func(i int) bool { return s.firstKeys[i] > key }) - 1
	for ; last >= 0; last-- {
		b, err := s.read(last, last+1, buffer)
		if err != nil {
			return false, err
		}
		above := sort.Search(len(b)/entryBytes, func(i int) bool {
			k, delta := decodeEntry(b, i)
			return k > key || k == key && s.base+uint64(delta) > upper
		})
		for i := above - 1; i >= 0; i-- {
			k, delta := decodeEntry(b, i)
			seq := s.base + uint64(delta)
			if k != key || seq < lower {
				return true, nil
			}
			if seq > upper {
				return false, fmt.Errorf("%s: %w: entries of block %d are out of order", s.path, ErrDamaged, last+1)
			}
			if !yield(seq) {
				return false, nil
			}
			upper = seq - 1
		}
	}
	return true, nil
}
