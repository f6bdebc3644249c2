package keyindex

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
)

// temporary ends the name of a file that is being written.
const temporary = ".tmp"

// writer writes a segment under a temporary name. Entries are added in order of
// key, then sequence, and exactly as many as the header says.
type writer struct {
	segment  *segment
	out      *bufio.Writer
	block    []byte
	unsynced int
}

func createSegment(path string, h header) (*writer, error) {
	file, err := os.OpenFile(path+temporary, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	s := &segment{
		header: h, path: path, file: file,
		firstKeys: make([]uint64, 0, h.blocks()),
		sums:      make([]uint32, 0, h.blocks()),
	}
	s.users.Store(1)
	w := &writer{segment: s, out: bufio.NewWriterSize(file, writeBuffer), block: make([]byte, 0, blockBytes)}
	w.out.Write(h.encode()) // an error stays with a bufio.Writer until Flush
	return w, nil
}

func (w *writer) add(key uint64, delta uint32) error {
	if len(w.block) == 0 {
		w.segment.firstKeys = append(w.segment.firstKeys, key)
	}
	w.block = binary.LittleEndian.AppendUint64(w.block, key)
	w.block = binary.LittleEndian.AppendUint32(w.block, delta)
	if len(w.block) < blockBytes {
		return nil
	}
	return w.endBlock()
}

func (w *writer) endBlock() error {
	w.segment.sums = append(w.segment.sums, crc32.Checksum(w.block, castagnoli))
	_, err := w.out.Write(w.block)
	w.unsynced += len(w.block)
	w.block = w.block[:0]
	if err == nil && w.unsynced >= syncEvery {
		w.unsynced = 0
		err = w.segment.file.Sync()
	}
	return err
}

// finish writes what is left and forces all of it to the disk. The segment still
// has its temporary name.
func (w *writer) finish() (*segment, error) {
	if len(w.block) > 0 {
		if err := w.endBlock(); err != nil {
			return nil, err
		}
	}
	s := w.segment
	table := make([]byte, 0, len(s.sums)*rowBytes)
	for i, sum := range s.sums {
		table = binary.LittleEndian.AppendUint64(table, s.firstKeys[i])
		table = binary.LittleEndian.AppendUint32(table, sum)
	}
	sum := crc32.Update(crc32.Checksum(s.encode(), castagnoli), castagnoli, table)
	w.out.Write(table)
	w.out.Write(binary.LittleEndian.AppendUint32(nil, sum))
	if err := w.out.Flush(); err != nil {
		return nil, err
	}
	info, err := s.file.Stat()
	if err != nil {
		return nil, err
	}
	if uint64(info.Size()) != s.size() {
		return nil, fmt.Errorf("%s has %d bytes and %d entries take %d: a mistake in this package", s.path, info.Size(), s.count, s.size())
	}
	return s, s.file.Sync()
}

// discard removes a segment that has its temporary name still.
func discard(s *segment) error {
	s.release()
	return os.Remove(s.path + temporary)
}

// writeSegment writes a segment under its temporary name; entries hands over those
// that the header announces. If anything fails, nothing is left.
func writeSegment(path string, h header, entries func(*writer) error) (*segment, error) {
	w, err := createSegment(path, h)
	if err != nil {
		return nil, err
	}
	if err := entries(w); err != nil {
		return nil, errors.Join(err, discard(w.segment))
	}
	s, err := w.finish()
	if err != nil {
		return nil, errors.Join(err, discard(w.segment))
	}
	return s, nil
}
