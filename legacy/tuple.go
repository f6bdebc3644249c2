package legacy

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"aviso.example/internal/proto"
)

// Unregistered is one entry of the feedback service: a device token that APNs
// found to be dead.
type Unregistered struct {
	// DeviceToken is in hexadecimal digits, lower case.
	DeviceToken string
	// Since is when APNs found out, to the second.
	Since time.Time
}

// DropDeviceToken reports whether the device token should be forgotten, given
// when the app last registered it: only if APNs found it dead after that
// ("Binary Provider API", The Feedback Service).
func (u Unregistered) DropDeviceToken(registered time.Time) bool {
	return u.Since.After(registered)
}

const (
	tupleHead = 4 + 2
	// maxTuple is the longest tuple, in bytes.
	maxTuple = tupleHead + proto.MaxDeviceTokenBytes
)

// Append appends the tuple: four bytes of UNIX seconds, two of length, and the
// device token in binary. If the entry cannot be written, dst comes back as it
// was.
func (u Unregistered) Append(dst []byte) ([]byte, error) {
	seconds := u.Since.Unix()
	if seconds < 0 || seconds > 0xffffffff {
		return dst, errors.New("legacy: Unregistered.Since does not fit into 32 bits of seconds since 1970, which end in 2106")
	}
	deviceToken, err := hex.DecodeString(u.DeviceToken)
	if err != nil {
		return dst, errors.New("legacy: Unregistered.DeviceToken has to be hexadecimal digits, an even number of them")
	}
	if n := len(deviceToken); n == 0 || n > proto.MaxDeviceTokenBytes {
		return dst, fmt.Errorf("legacy: Unregistered.DeviceToken has %d bytes; it has to have 1 to %d, and 32 are usual", n, proto.MaxDeviceTokenBytes)
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(seconds))
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(deviceToken)))
	return append(dst, deviceToken...), nil
}

// TupleReader reads the tuples of the feedback service. Its memory is one
// buffer. It is for one goroutine.
type TupleReader struct {
	r    io.Reader
	err  error
	buf  [maxTuple]byte
	done int  // tuples read
	cut  bool // the error came inside a tuple
}

// NewTupleReader returns a TupleReader. It reads exactly what it needs, so r
// should be buffered.
func NewTupleReader(r io.Reader) *TupleReader { return &TupleReader{r: r} }

// Next returns the next tuple. It returns io.EOF after the last one, an error
// that wraps io.ErrUnexpectedEOF if the list was cut off inside a tuple, an
// error that says so if the bytes are no tuple, or what the reader said. All
// errors are final.
func (t *TupleReader) Next() (Unregistered, error) {
	if t.err != nil {
		return Unregistered{}, t.err
	}
	u, err := t.next()
	t.err = err
	return u, err
}

func (t *TupleReader) next() (u Unregistered, err error) {
	head := t.buf[:tupleHead]
	if n, err := io.ReadFull(t.r, head); err != nil {
		if n == 0 {
			return u, err
		}
		return u, t.cutOff(n, err)
	}
	size := int(binary.BigEndian.Uint16(head[4:]))
	if size == 0 || size > proto.MaxDeviceTokenBytes {
		return u, fmt.Errorf("tuple %d of the feedback list announces a device token of %d bytes; it has to have 1 to %d, and 32 are usual%s", t.done+1, size, proto.MaxDeviceTokenBytes, stranger(head[0]))
	}
	body := t.buf[tupleHead : tupleHead+size]
	if n, err := io.ReadFull(t.r, body); err != nil {
		return u, t.cutOff(tupleHead+n, err)
	}
	t.done++
	return Unregistered{
		DeviceToken: hex.EncodeToString(body),
		Since:       time.Unix(int64(binary.BigEndian.Uint32(head)), 0),
	}, nil
}

// whole reports whether the end came between two tuples.
func (t *TupleReader) whole() bool { return t.err != nil && !t.cut }

func (t *TupleReader) cutOff(n int, err error) error {
	t.cut = true
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("the feedback list ended %d bytes into tuple %d: %w", n, t.done+1, err)
}
