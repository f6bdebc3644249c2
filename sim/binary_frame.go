package sim

import (
	"encoding/binary"
	"errors"
	"fmt"

	"aviso.example/internal/proto"
)

// The frames of the binary protocol ("Local and Remote Notification Programming
// Guide", chapters "Binary Provider API" and "Legacy Notification Format"). All
// integers are big-endian. This codec is the simulator's own: package legacy has
// another, so that neither proves itself.

// maxBinaryFrame bounds what is read of one notification. Two fields of 65,535
// bytes, the most that a length of two bytes can say, fit with all around them.
const maxBinaryFrame = 160 << 10

// binaryNote is a notification as it came. The slices point into the buffer
// that was parsed; nil and empty mean the same, which is missing.
type binaryNote struct {
	command       byte
	deviceToken   []byte
	payload       []byte
	identifier    uint32
	expiration    uint32
	priority      byte
	hasIdentifier bool
	hasExpiration bool
	hasPriority   bool
	unknownItem   bool // one that is not in Apple's table
}

// errShortFrame says that the buffer ends before the notification does.
var errShortFrame = errors.New("the notification is not complete")

// parseError says why a frame has status 128.
type parseError struct{ problem string }

// Error returns the problem.
func (e *parseError) Error() string { return e.problem }

func unparsable(format string, args ...any) error {
	return &parseError{fmt.Sprintf(format, args...)}
}

// parseBinary reads the notification at the beginning of b and returns how many
// bytes it took. It returns errShortFrame if there is more to come, or a
// *parseError; what was understood until then is in the notification.
func parseBinary(b []byte) (n binaryNote, size int, err error) {
	if len(b) == 0 {
		return n, 0, errShortFrame
	}
	n.command = b[0]
	switch n.command {
	case proto.BinaryCommandSimple:
		return n.early(b, 1)
	case proto.BinaryCommandEnhanced:
		if len(b) < 9 {
			return n, 0, errShortFrame
		}
		n.identifier, n.hasIdentifier = binary.BigEndian.Uint32(b[1:]), true
		n.expiration, n.hasExpiration = binary.BigEndian.Uint32(b[5:]), true
		return n.early(b, 9)
	case proto.BinaryCommandItems:
		return n.items(b)
	}
	return n, 0, unparsable("command %d", n.command)
}

// early reads the two fields of commands 0 and 1, which begin at from.
func (n binaryNote) early(b []byte, from int) (binaryNote, int, error) {
	field := func() []byte {
		if len(b) < from+2 {
			return nil
		}
		size := int(binary.BigEndian.Uint16(b[from:]))
		if len(b) < from+2+size {
			return nil
		}
		from += 2 + size
		return b[from-size : from]
	}
	deviceToken := field()
	if deviceToken == nil {
		return n, 0, errShortFrame
	}
	n.deviceToken = deviceToken
	if n.payload = field(); n.payload == nil {
		return n, 0, errShortFrame
	}
	return n, from, nil
}

// items reads the frame of command 2. The items may come in any order, each once.
func (n binaryNote) items(b []byte) (binaryNote, int, error) {
	const head = 5
	if len(b) < head {
		return n, 0, errShortFrame
	}
	length := binary.BigEndian.Uint32(b[1:])
	if length > maxBinaryFrame-head {
		return n, 0, unparsable("a frame of %d bytes", length)
	}
	size := head + int(length)
	if len(b) < size {
		return n, 0, errShortFrame
	}
	var seen [256]bool
	for rest := b[head:size]; len(rest) > 0; {
		if len(rest) < 3 {
			return n, 0, unparsable("%d bytes after the last item", len(rest))
		}
		id, length := rest[0], int(binary.BigEndian.Uint16(rest[1:]))
		if len(rest) < 3+length {
			return n, 0, unparsable("item %d of %d bytes, where the frame has %d more", id, length, len(rest)-3)
		}
		data := rest[3 : 3+length]
		rest = rest[3+length:]
		if seen[id] {
			return n, 0, unparsable("item %d is there twice", id)
		}
		seen[id] = true
		if want := itemSize(id); want != 0 && length != want {
			return n, 0, unparsable("item %d of %d bytes, not %d", id, length, want)
		}
		switch id {
		case proto.BinaryItemDeviceToken:
			n.deviceToken = data
		case proto.BinaryItemPayload:
			n.payload = data
		case proto.BinaryItemIdentifier:
			n.identifier, n.hasIdentifier = binary.BigEndian.Uint32(data), true
		case proto.BinaryItemExpiration:
			n.expiration, n.hasExpiration = binary.BigEndian.Uint32(data), true
		case proto.BinaryItemPriority:
			n.priority, n.hasPriority = data[0], true
		default:
			n.unknownItem = true
		}
	}
	return n, size, nil
}

// itemSize is the length of an item where Apple's table gives one, else 0.
func itemSize(id byte) int {
	switch id {
	case proto.BinaryItemIdentifier, proto.BinaryItemExpiration:
		return 4
	case proto.BinaryItemPriority:
		return 1
	}
	return 0
}

// appendErrorPacket appends the six bytes that precede the end of a connection.
func appendErrorPacket(b []byte, status byte, identifier uint32) []byte {
	b = append(b, proto.BinaryCommandError, status)
	return binary.BigEndian.AppendUint32(b, identifier)
}

// appendTuple appends what the feedback service says about one device token.
func appendTuple(b []byte, since uint32, deviceToken []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, since)
	b = binary.BigEndian.AppendUint16(b, uint16(len(deviceToken)))
	return append(b, deviceToken...)
}
