package legacy

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"aviso.example/internal/proto"
)

// Limits is what a [Decoder] takes. The zero value is what APNs took when it was
// switched off.
type Limits struct {
	// Payload bounds the payload of CommandItems, in bytes: 2048 unless set.
	Payload int
	// EarlyPayload bounds the payload of CommandSimple and CommandEnhanced, in
	// bytes: as Payload unless set. Apple's chapter on them says 256, and
	// [PayloadUntil2014] is that number; but the limit rose for all systems in
	// 2014, and libraries that never learned CommandItems use it.
	EarlyPayload int
	// AnyPriority takes a priority that is neither 10 nor 5 for none at all.
	// timehop/apns, for one, writes 0 if it was given none. Otherwise such a
	// frame is refused; what APNs did is not documented.
	AnyPriority bool
}

// PayloadUntil2014 is the limit of payloads before iOS 8, in bytes.
const PayloadUntil2014 = proto.MaxPayloadBinary2009

// MaxPayload is the limit of payloads since iOS 8, in bytes.
const MaxPayload = proto.MaxPayloadBinary

const (
	// minBuffer is how much a Decoder reads at once at least: what one frame
	// of the usual limits needs, twice, so that small frames come by the dozen.
	minBuffer = 4096
	// mostItems bounds the frame of CommandItems that is read to its end in
	// order to learn which notification is too large: the five items, each as
	// long as two bytes can say.
	mostItems = 5 * (itemHead + 0xffff)
)

// Decoder reads frames from a connection on which anybody may write anything.
// Its memory is one buffer, made once, whatever comes; it allocates nothing for
// a frame. It is for one goroutine.
type Decoder struct {
	r       io.Reader
	limits  Limits
	buf     []byte
	at, end int // what was read and not taken
	err     error
}

// NewDecoder returns a Decoder. It reads ahead, so nobody else may read from r.
func NewDecoder(r io.Reader, limits Limits) *Decoder {
	limits.Payload = min(cmp.Or(max(limits.Payload, 0), MaxPayload), 0xffff)
	limits.EarlyPayload = min(cmp.Or(max(limits.EarlyPayload, 0), limits.Payload), 0xffff)
	largest := frameHead + itemsOverhead + proto.MaxDeviceTokenBytes + max(limits.Payload, limits.EarlyPayload)
	return &Decoder{r: r, limits: limits, buf: make([]byte, max(minBuffer, largest))}
}

// Next reads the next frame into f. DeviceToken and Payload point into the
// Decoder's buffer and hold until the next call.
//
// It returns io.EOF if the connection ended between two frames, an error that
// wraps io.ErrUnexpectedEOF if it ended inside one, a *[FrameError] for what
// APNs would have refused, or what the reader said. All errors are final: there
// is no way to find the next frame after one that could not be read.
func (d *Decoder) Next(f *Frame) error {
	if d.err == nil {
		*f = Frame{}
		d.err = d.next(f)
	}
	return d.err
}

// Buffered returns how many bytes were read and not decoded yet.
func (d *Decoder) Buffered() int { return d.end - d.at }

func (d *Decoder) next(f *Frame) error {
	head, err := d.need(1)
	if err != nil {
		return err // io.EOF too: nothing of a frame was there
	}
	f.Command = Command(head[0])
	switch f.Command {
	case CommandSimple:
		err = d.early(f, 1)
	case CommandEnhanced:
		err = d.early(f, 1+4+4)
	case CommandItems:
		err = d.items(f)
	default:
		return &FrameError{Status: StatusProtocolError, Field: "Command", Problem: fmt.Sprintf("is %d; it has to be 0, 1 or 2%s", head[0], stranger(head[0]))}
	}
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("the connection ended %d bytes into a frame of command %d: %w", d.Buffered(), f.Command, io.ErrUnexpectedEOF)
	}
	return err
}

// need returns the next n bytes without taking them; n is at most the size of
// the buffer.
func (d *Decoder) need(n int) ([]byte, error) {
	if d.at+n > len(d.buf) {
		d.end = copy(d.buf, d.buf[d.at:d.end])
		d.at = 0
	}
	for idle := 0; d.end-d.at < n; idle++ {
		got, err := d.r.Read(d.buf[d.end:])
		d.end += got
		switch {
		case d.end-d.at >= n:
		case err != nil:
			return nil, err
		case got > 0:
			idle = 0
		case idle >= 100: // as bufio does
			return nil, io.ErrNoProgress
		}
	}
	return d.buf[d.at : d.at+n], nil
}

func (d *Decoder) take(n int) {
	if d.at += n; d.at == d.end {
		d.at, d.end = 0, 0
	}
}

// early reads CommandSimple and CommandEnhanced, whose device token is preceded
// by head bytes.
func (d *Decoder) early(f *Frame, head int) error {
	b, err := d.need(head + 2)
	if err != nil {
		return err
	}
	if f.Command == CommandEnhanced {
		f.Has = HasIdentifier | HasExpiration
		f.Identifier = binary.BigEndian.Uint32(b[1:])
		f.Expiration = binary.BigEndian.Uint32(b[5:])
	}
	deviceToken := int(binary.BigEndian.Uint16(b[head:]))
	if err := d.checkDeviceToken(f, deviceToken); err != nil {
		return err
	}
	from := head + 2
	if b, err = d.need(from + deviceToken + 2); err != nil {
		return err
	}
	payload := int(binary.BigEndian.Uint16(b[from+deviceToken:]))
	if err := d.checkPayload(f, payload); err != nil {
		return err
	}
	size := from + deviceToken + 2 + payload
	if b, err = d.need(size); err != nil {
		return err
	}
	f.DeviceToken = b[from : from+deviceToken : from+deviceToken]
	f.Payload = b[from+deviceToken+2 : size : size]
	d.take(size)
	return nil
}

func (d *Decoder) checkDeviceToken(f *Frame, size int) error {
	switch {
	case size == 0:
		return &FrameError{StatusMissingDeviceToken, f.Identifier, "DeviceToken", "is missing"}
	case size > proto.MaxDeviceTokenBytes:
		return &FrameError{StatusInvalidDeviceTokenSize, f.Identifier, "DeviceToken", fmt.Sprintf("has %d bytes; the limit is %d, and 32 are usual. Did the frame before have the right lengths?", size, proto.MaxDeviceTokenBytes)}
	}
	return nil
}

func (d *Decoder) checkPayload(f *Frame, size int) error {
	limit := d.limits.Payload
	if f.Command != CommandItems {
		limit = d.limits.EarlyPayload
	}
	switch {
	case size == 0:
		return &FrameError{StatusMissingPayload, f.Identifier, "Payload", "is missing"}
	case size > limit:
		return &FrameError{StatusInvalidPayloadSize, f.Identifier, "Payload", fmt.Sprintf("has %d bytes; the limit is %d with command %d", size, limit, f.Command)}
	}
	return nil
}

// items reads CommandItems.
func (d *Decoder) items(f *Frame) error {
	b, err := d.need(frameHead)
	if err != nil {
		return err
	}
	size := int64(binary.BigEndian.Uint32(b[1:]))
	if size > mostItems {
		return &FrameError{Status: StatusProtocolError, Field: "Command", Problem: fmt.Sprintf("2 announces %d bytes; five items never have more than %d. Is the length in big-endian order?", size, mostItems)}
	}
	if frameHead+int(size) > len(d.buf) {
		return d.oversize(f, int(size))
	}
	if b, err = d.need(frameHead + int(size)); err != nil {
		return err
	}
	r := itemReader{f: f, limits: &d.limits}
	for rest := b[frameHead:]; len(rest) > 0; {
		id, length, ok := r.head(rest, len(rest))
		if !ok {
			break
		}
		end := itemHead + length
		r.data(id, rest[itemHead:end:end])
		rest = rest[end:]
	}
	if err := r.finish(d); err != nil {
		return err
	}
	d.take(frameHead + int(size))
	return nil
}

// oversize reads a frame of CommandItems that is too large to be right, without
// keeping it, to find out which notification it is about: the identifier
// usually follows the payload.
func (d *Decoder) oversize(f *Frame, size int) error {
	d.take(frameHead)
	r := itemReader{f: f, limits: &d.limits}
	for size > 0 {
		b, err := d.need(min(size, itemHead))
		if err != nil {
			return err
		}
		id, length, ok := r.head(b, size)
		if !ok {
			break
		}
		d.take(itemHead)
		size -= itemHead + length
		if id == proto.BinaryItemIdentifier && length == 4 {
			if b, err = d.need(length); err != nil {
				return err
			}
			r.data(id, b)
			d.take(length)
			continue
		}
		r.note(id, length)
		for length > 0 {
			part := min(length, minBuffer)
			if _, err := d.need(part); err != nil {
				return err
			}
			d.take(part)
			length -= part
		}
	}
	if err := r.finish(d); err != nil {
		return err
	}
	return &FrameError{StatusProtocolError, f.Identifier, "Command", "2 announces more bytes than its items may have"}
}

// itemReader collects the items of one frame. The first fault counts, but the
// rest is read all the same, for the identifier.
type itemReader struct {
	f          *Frame
	limits     *Limits
	seen       uint8 // bit for each item id
	deviceSize int
	payload    int
	fault      *FrameError
}

func (r *itemReader) bad(status Status, field, format string, args ...any) {
	if r.fault == nil {
		r.fault = &FrameError{Status: status, Field: field, Problem: fmt.Sprintf(format, args...)}
	}
}

// head reads id and length of an item; left is what remains of the frame. ok is
// false if there is no way to go on.
func (r *itemReader) head(b []byte, left int) (id byte, length int, ok bool) {
	if left < itemHead {
		r.bad(StatusProtocolError, "Command", "2 has %d bytes after its last item; the length of the frame or of an item is wrong", left)
		return 0, 0, false
	}
	id, length = b[0], int(binary.BigEndian.Uint16(b[1:]))
	switch {
	case id < proto.BinaryItemDeviceToken || id > proto.BinaryItemPriority:
		r.bad(StatusProtocolError, "Command", "2 has an item %d; there are items 1 to 5. Did the item before declare the right length?", id)
		return 0, 0, false
	case r.seen&(1<<id) != 0:
		r.bad(StatusProtocolError, "Command", "2 has item %d twice; a frame is for one notification", id)
		return 0, 0, false
	case length > left-itemHead:
		r.bad(StatusProtocolError, "Command", "2 has an item %d of %d bytes, but the frame ends after %d of them", id, length, left-itemHead)
		return 0, 0, false
	}
	r.seen |= 1 << id
	return id, length, true
}

// note takes the size of an item.
func (r *itemReader) note(id byte, length int) {
	switch id {
	case proto.BinaryItemDeviceToken:
		r.deviceSize = length
	case proto.BinaryItemPayload:
		r.payload = length
	case proto.BinaryItemIdentifier:
		if length != 4 {
			r.bad(StatusProtocolError, "Identifier", "has %d bytes; it has to have 4", length)
		}
	case proto.BinaryItemExpiration:
		if length != 4 {
			r.bad(StatusProtocolError, "Expiration", "has %d bytes; it has to have 4, UNIX seconds", length)
		}
	case proto.BinaryItemPriority:
		if length != 1 {
			r.bad(StatusProtocolError, "Priority", "has %d bytes; it has to have 1. go-libapns declares 4 and writes 1", length)
		}
	}
}

// data takes an item with its content.
func (r *itemReader) data(id byte, b []byte) {
	r.note(id, len(b))
	f := r.f
	switch {
	case id == proto.BinaryItemDeviceToken:
		f.DeviceToken = b
	case id == proto.BinaryItemPayload:
		f.Payload = b
	case id == proto.BinaryItemIdentifier && len(b) == 4:
		f.Identifier, f.Has = binary.BigEndian.Uint32(b), f.Has|HasIdentifier
	case id == proto.BinaryItemExpiration && len(b) == 4:
		f.Expiration, f.Has = binary.BigEndian.Uint32(b), f.Has|HasExpiration
	case id == proto.BinaryItemPriority && len(b) == 1:
		switch {
		case knownPriority(b[0]):
			f.Priority, f.Has = b[0], f.Has|HasPriority
		case !r.limits.AnyPriority:
			r.bad(StatusProtocolError, "Priority", "is %d; it has to be 10 or 5", b[0])
		}
	}
}

// finish returns the fault of the whole frame, or nil. A layout that is broken
// comes before sizes, since sizes may be wrong because of it.
func (r *itemReader) finish(d *Decoder) error {
	if r.fault == nil {
		err := d.checkDeviceToken(r.f, r.deviceSize)
		if err == nil {
			err = d.checkPayload(r.f, r.payload)
		}
		return err
	}
	r.fault.Identifier = r.f.Identifier
	return r.fault
}
