package legacy

import (
	"encoding/binary"
	"fmt"

	"aviso.example/internal/proto"
)

// ErrorPacket is the only thing a gateway ever sends: it names one notification
// and says what is wrong with it; then the connection ends. Before that
// notification everything was sent; after it, nothing.
type ErrorPacket struct {
	Status Status
	// Identifier is that of the notification, or 0 if the server never parsed
	// one. With StatusShutdown it names the last one that was sent.
	Identifier uint32
}

// ErrorPacketSize is the size of an error packet, in bytes.
const ErrorPacketSize = proto.BinaryErrorSize

// Append appends the six bytes of the packet.
func (p ErrorPacket) Append(dst []byte) []byte {
	dst = append(dst, proto.BinaryCommandError, byte(p.Status))
	return binary.BigEndian.AppendUint32(dst, p.Identifier)
}

// Error gives status and identifier; a packet is what a connection may end with.
func (p ErrorPacket) Error() string {
	return fmt.Sprintf("the server ended the connection with %s, identifier %d", p.Status.Error(), p.Identifier)
}

// Unwrap returns the status.
func (p ErrorPacket) Unwrap() error { return p.Status }

// ParseErrorPacket reads exactly one packet. An error says what else the bytes
// may be.
func ParseErrorPacket(b []byte) (ErrorPacket, error) {
	if len(b) != ErrorPacketSize {
		return ErrorPacket{}, fmt.Errorf("an error packet has %d bytes; this has %d", ErrorPacketSize, len(b))
	}
	if b[0] != proto.BinaryCommandError {
		return ErrorPacket{}, fmt.Errorf("an error packet begins with command %d; this begins with %d%s", proto.BinaryCommandError, b[0], stranger(b[0]))
	}
	return ErrorPacket{Status(b[1]), binary.BigEndian.Uint32(b[2:])}, nil
}

// stranger guesses who speaks, from the first byte.
func stranger(b byte) string {
	switch {
	case b == 0x16:
		return ", as TLS does: is TLS spoken inside TLS?"
	case b == 'H':
		return ", the letter H: does a web server listen there?"
	case b >= 'A' && b <= 'Z':
		return fmt.Sprintf(", the letter %c: is it HTTP, which belongs to today's interface?", b)
	}
	return ""
}
