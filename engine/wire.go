package engine

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// Chunks and verdict records share a few habits: variable-length integers,
// strings with their length before them, and a checksum (CRC-32C) at the end, so
// that a torn or foreign message is an error and never half believed.

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func appendBytes[T string | []byte](dst []byte, b T) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

func appendSum(dst []byte) []byte {
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst, castagnoli))
}

var errDamaged = errors.New("it is damaged: the checksum does not fit")

// wireReader reads what the functions above wrote. The first error sticks, and
// everything after it reads as zero.
type wireReader struct {
	data []byte
	err  error
}

// newWireReader checks the sum.
func newWireReader(data []byte) *wireReader {
	if len(data) < 4 || crc32.Checksum(data[:len(data)-4], castagnoli) != binary.LittleEndian.Uint32(data[len(data)-4:]) {
		return &wireReader{err: errDamaged}
	}
	return &wireReader{data: data[:len(data)-4]}
}

var errShort = errors.New("it ends too early")

func (r *wireReader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.data = nil
}

func (r *wireReader) octet() byte {
	if len(r.data) == 0 {
		r.fail(errShort)
		return 0
	}
	b := r.data[0]
	r.data = r.data[1:]
	return b
}

// take returns the next n bytes, which lie in the data.
func (r *wireReader) take(n uint64) []byte {
	if n > uint64(len(r.data)) {
		r.fail(errShort)
		return nil
	}
	b := r.data[:n:n]
	r.data = r.data[n:]
	return b
}

func (r *wireReader) uvarint() uint64 {
	if len(r.data) > 0 && r.data[0] < 0x80 { // most are small
		return uint64(r.octet())
	}
	v, n := binary.Uvarint(r.data)
	if n <= 0 {
		r.fail(errShort)
		return 0
	}
	r.data = r.data[n:]
	return v
}

func (r *wireReader) varint() int64 {
	v := r.uvarint()
	return int64(v>>1) ^ -int64(v&1)
}

func (r *wireReader) bytes() []byte { return r.take(r.uvarint()) }

func (r *wireReader) text() string { return string(r.bytes()) }

var errNumber = errors.New("a number in it is too large")

// below reads a number that has to be less than limit.
func (r *wireReader) below(limit uint64) uint64 {
	v := r.uvarint()
	if v >= limit && r.err == nil {
		r.fail(errNumber)
		return 0
	}
	return v
}

func (r *wireReader) id() (id [16]byte) {
	copy(id[:], r.take(16))
	return id
}

var errLonger = errors.New("it goes on after its end")

// done returns the first error, or that something is left.
func (r *wireReader) done() error {
	if r.err == nil && len(r.data) > 0 {
		return errLonger
	}
	return r.err
}
