package legacy

import (
	"encoding/binary"
	"fmt"

	"aviso.example/internal/proto"
)

// Command is the first byte of a frame: which of the three layouts follows.
type Command uint8

// The layouts, in the order in which they were introduced.
const (
	// CommandSimple (0, 2009) has device token and payload only. Nothing in it
	// can be named by an error packet.
	CommandSimple Command = proto.BinaryCommandSimple
	// CommandEnhanced (1, 2010) adds identifier and expiration.
	CommandEnhanced Command = proto.BinaryCommandEnhanced
	// CommandItems (2, 2013) is a list of items, and adds the priority.
	CommandItems Command = proto.BinaryCommandItems
)

// Fields says which of the fields that may be left out are there.
type Fields uint8

// The fields that CommandItems may leave out.
const (
	HasIdentifier Fields = 1 << iota
	HasExpiration
	HasPriority
)

// Frame is one notification as it goes over the wire.
type Frame struct {
	Command Command
	// Has says which of the last three fields are there. CommandSimple has none
	// of them, CommandEnhanced the first two, CommandItems any.
	Has Fields
	// Priority is 10 (at once) or 5 (mind the device's power).
	Priority uint8
	// Identifier comes back in an error packet. It should not be 0, with which
	// a server says that it parsed none.
	Identifier uint32
	// Expiration is in UNIX seconds; 0 asks for one attempt and no storage.
	Expiration uint32
	// DeviceToken is binary, 1 to 100 bytes, usually 32.
	DeviceToken []byte
	// Payload is a JSON object, not terminated by a zero byte.
	Payload []byte
}

const (
	itemHead = 3 // one byte id, two bytes length
	// frameHead is command and length of CommandItems.
	frameHead = 5
	// itemsOverhead is what CommandItems with all five items adds to device
	// token and payload.
	itemsOverhead = 5*itemHead + 4 + 4 + 1
)

// Append appends the frame. It checks everything that can be wrong with a frame
// except the size of the payload beyond what its two bytes of length can say:
// that limit changed with the years, and is the caller's. An error is a
// *[FrameError] with the status by which a server would refuse the frame; dst
// then comes back as it was.
func (f *Frame) Append(dst []byte) ([]byte, error) {
	if err := f.check(); err != nil {
		return dst, err
	}
	return f.append(dst), nil
}

func (f *Frame) check() error {
	bad := func(status Status, field, format string, args ...any) error {
		return &FrameError{Status: status, Identifier: f.Identifier, Field: field, Problem: fmt.Sprintf(format, args...)}
	}
	switch {
	case f.Command > CommandItems:
		return bad(StatusProtocolError, "Command", "is %d; it has to be 0, 1 or 2", f.Command)
	case f.Command == CommandSimple && f.Has != 0:
		return bad(StatusProtocolError, "Has", "names fields that command 0 does not have; use command 1 or 2")
	case f.Command == CommandEnhanced && f.Has != HasIdentifier|HasExpiration:
		return bad(StatusProtocolError, "Has", "has to be HasIdentifier|HasExpiration for command 1, which always has both and no priority")
	case f.Has > HasIdentifier|HasExpiration|HasPriority:
		return bad(StatusProtocolError, "Has", "has bits that stand for nothing")
	case f.Has&HasIdentifier == 0 && f.Identifier != 0:
		return bad(StatusProtocolError, "Identifier", "is set, but Has does not say so")
	case f.Has&HasExpiration == 0 && f.Expiration != 0:
		return bad(StatusProtocolError, "Expiration", "is set, but Has does not say so")
	case f.Has&HasPriority == 0 && f.Priority != 0:
		return bad(StatusProtocolError, "Priority", "is set, but Has does not say so")
	case f.Has&HasPriority != 0 && !knownPriority(f.Priority):
		return bad(StatusProtocolError, "Priority", "is %d; it has to be 10 or 5", f.Priority)
	case len(f.DeviceToken) == 0:
		return bad(StatusMissingDeviceToken, "DeviceToken", "is missing")
	case len(f.DeviceToken) > proto.MaxDeviceTokenBytes:
		return bad(StatusInvalidDeviceTokenSize, "DeviceToken", "has %d bytes; the limit is %d. It has to be binary, not hexadecimal digits", len(f.DeviceToken), proto.MaxDeviceTokenBytes)
	case len(f.Payload) == 0:
		return bad(StatusMissingPayload, "Payload", "is missing; the least there is is {}")
	case len(f.Payload) > 0xffff:
		return bad(StatusInvalidPayloadSize, "Payload", "has %d bytes; its length has to fit into two", len(f.Payload))
	}
	return nil
}

func knownPriority(p uint8) bool {
	return p == uint8(proto.PriorityImmediate) || p == uint8(proto.PriorityConserve)
}

// size is how many bytes append adds.
func (f *Frame) size() int {
	n := len(f.DeviceToken) + len(f.Payload)
	switch f.Command {
	case CommandSimple:
		return n + 1 + 2 + 2
	case CommandEnhanced:
		return n + 1 + 4 + 4 + 2 + 2
	}
	return frameHead + n + f.items()
}

// items is what the items of CommandItems add to device token and payload.
func (f *Frame) items() int {
	n := 2 * itemHead
	if f.Has&HasIdentifier != 0 {
		n += itemHead + 4
	}
	if f.Has&HasExpiration != 0 {
		n += itemHead + 4
	}
	if f.Has&HasPriority != 0 {
		n += itemHead + 1
	}
	return n
}

// append is Append for a frame that has been checked.
func (f *Frame) append(dst []byte) []byte {
	dst = append(dst, byte(f.Command))
	if f.Command != CommandItems {
		if f.Command == CommandEnhanced {
			dst = binary.BigEndian.AppendUint32(dst, f.Identifier)
			dst = binary.BigEndian.AppendUint32(dst, f.Expiration)
		}
		dst = binary.BigEndian.AppendUint16(dst, uint16(len(f.DeviceToken)))
		dst = append(dst, f.DeviceToken...)
		dst = binary.BigEndian.AppendUint16(dst, uint16(len(f.Payload)))
		return append(dst, f.Payload...)
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(f.DeviceToken)+len(f.Payload)+f.items()))
	dst = appendItem(dst, proto.BinaryItemDeviceToken, len(f.DeviceToken))
	dst = append(dst, f.DeviceToken...)
	dst = appendItem(dst, proto.BinaryItemPayload, len(f.Payload))
	dst = append(dst, f.Payload...)
	if f.Has&HasIdentifier != 0 {
		dst = appendItem(dst, proto.BinaryItemIdentifier, 4)
		dst = binary.BigEndian.AppendUint32(dst, f.Identifier)
	}
	if f.Has&HasExpiration != 0 {
		dst = appendItem(dst, proto.BinaryItemExpiration, 4)
		dst = binary.BigEndian.AppendUint32(dst, f.Expiration)
	}
	if f.Has&HasPriority != 0 {
		// One byte: go-libapns declared four here and wrote one, and APNs lost
		// its place in everything that followed.
		dst = appendItem(dst, proto.BinaryItemPriority, 1)
		dst = append(dst, f.Priority)
	}
	return dst
}

func appendItem(dst []byte, id byte, length int) []byte {
	return append(dst, id, byte(length>>8), byte(length))
}

// FrameError says what is wrong with a frame.
type FrameError struct {
	// Status is the one with which APNs would have refused it.
	Status Status
	// Identifier is that of the frame, 0 if there was none or it could not be
	// reached.
	Identifier uint32
	// Field is the Go name of the field of [Frame] that is wrong, or Command
	// if the layout is.
	Field string
	// Problem says what is wrong, the limit, and the likely mistake. It does
	// not quote device tokens or payloads.
	Problem string
}

// Error gives field, problem and status.
func (e *FrameError) Error() string {
	return fmt.Sprintf("the frame is invalid: %s %s (%s)", e.Field, e.Problem, e.Status.Error())
}

// Unwrap returns the status.
func (e *FrameError) Unwrap() error { return e.Status }

// Packet returns the error packet with which a server answers.
func (e *FrameError) Packet() ErrorPacket { return ErrorPacket{e.Status, e.Identifier} }
