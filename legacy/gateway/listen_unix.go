//go:build unix

package gateway

import (
	"errors"
	"syscall"
)

// smallBuffers sets what accepted connections inherit. It has to be set before
// the socket listens, since the window is scaled when a connection begins.
func smallBuffers(_, _ string, c syscall.RawConn) (err error) {
	controlled := c.Control(func(fd uintptr) {
		err = errors.Join(
			syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, receiveBuffer),
			syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_MAXSEG, segmentSize),
		)
	})
	if controlled != nil {
		return controlled
	}
	return err
}
