package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// torn does to the ends of the log what a loss of power can do: whatever was not
// yet synced may be there in part, or be something else. What was synced stays,
// since that is what syncing is for.
func torn(r *rig) error {
	var appended, copied, cutOff int
	err := r.lives(func(s *server) error {
		s.kill()
		r.load.at()
		// Every answer that came has to be known.
		if !r.until(10*time.Second, r.book.quiet) {
			return errorf("requests do not end although the engine is gone")
		}
		r.drain()
		ends, err := filepath.Glob(filepath.Join(r.dir, "data/log/jetstream/*/streams/*/msgs"))
		if err != nil {
			return err
		}
		for _, dir := range ends {
			stream := filepath.Base(filepath.Dir(dir))
			queue := strings.HasPrefix(stream, "AVISO_Q_") || strings.HasPrefix(stream, "AVISO_B_")
			if !queue && stream != "AVISO_VERDICTS" {
				continue
			}
			file, err := newestBlock(dir)
			if err != nil || file == "" {
				return err
			}
			data, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			last, ok := lastRecord(data)
			if queue && ok && r.book.unacknowledged(data[last:]) {
				if err := os.Truncate(file, int64(last)+1+r.random.Int64N(int64(len(data)-last)-1)); err != nil {
					return err
				}
				cutOff++
				continue
			}
			tail := make([]byte, 1+r.random.IntN(4096))
			for i := range tail {
				tail[i] = byte(r.random.Uint32())
			}
			if ok && r.random.IntN(2) == 0 {
				record := data[last:]
				tail = record[:1+r.random.IntN(len(record)-1)]
				copied++
			} else {
				appended++
			}
			f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			_, err = f.Write(tail)
			if closeErr := f.Close(); err != nil || closeErr != nil {
				return errorf("%v, %v", err, closeErr)
			}
		}
		return nil
	}, 0)
	r.res.note("%d times up to 4,096 bytes of garbage and %d times a part of a record stood at the end of a file, and %d times the last record, which nobody had been told of, was cut", appended, copied, cutOff)
	return err
}

// quiet says that no request is under way.
func (b *book) quiet() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := len(b.requests) - 1; i >= max(0, len(b.requests)-10*callers); i-- {
		if b.requests[i].answer == pending {
			return false
		}
	}
	return true
}

// newestBlock returns the file that is being written to.
func newestBlock(dir string) (string, error) {
	list, err := filepath.Glob(filepath.Join(dir, "*.blk"))
	best := -1
	for _, f := range list {
		if n, err := strconv.Atoi(strings.TrimSuffix(filepath.Base(f), ".blk")); err == nil && n > best {
			best = n
		}
	}
	if best < 0 {
		return "", err
	}
	return filepath.Join(dir, fmt.Sprint(best, ".blk")), err
}

// A record of the log's files is four bytes with its length, of which the highest
// bit says that it has header fields, sequence, time, the subject's length, the
// subject, the message and a checksum.
const (
	recordHeader = 22
	headerBit    = 1 << 31
)

// lastRecord returns where the last complete record begins.
func lastRecord(data []byte) (at int, ok bool) {
	for pos := 0; pos+recordHeader < len(data); {
		n := int(binary.LittleEndian.Uint32(data[pos:]) &^ headerBit)
		if n < recordHeader || pos+n > len(data) {
			break
		}
		at, ok = pos, true
		pos += n
	}
	return at, ok
}

// unacknowledged says that a record holds nothing anybody was told of: neither
// did a caller get its 202, nor was any of it handed on, which happens after
// syncing as well.
func (b *book) unacknowledged(record []byte) bool {
	if binary.LittleEndian.Uint32(record)&headerBit != 0 {
		return false // a retry, which was moved from one log to another
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	found := 0
	zeros := make([]byte, 16)
	for pos := 8; ; {
		// Device tokens are two numbers of four bytes, sixteen zeros and a hash.
		i := bytes.Index(record[pos:], zeros)
		if i < 0 {
			break
		}
		end := pos + i + 16
		for end < len(record) && record[end] == 0 {
			end++
		}
		pos = end
		if end < 24 || end+8 > len(record) {
			continue
		}
		r, n, ok := b.find(fmt.Sprintf("%x", record[end-24:end+8]))
		if !ok {
			continue
		}
		if r.answer != unknown || b.notes[r.base+n].processed > 0 || b.notes[r.base+n].id != [16]byte{} {
			return false
		}
		found++
	}
	return found > 0
}
