package legacy

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// failUnacknowledged makes the kernel fail the connection if the peer's kernel
// does not acknowledge what was sent for so long (tcp(7), TCP_USER_TIMEOUT).
// Without it a line that died quietly, behind a NAT that forgot it, say, is as
// silent as success, and everything written to it would settle.
func failUnacknowledged(conn net.Conn, after time.Duration) {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return
	}
	// Where the option is not known, the protocol is as it always was.
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(after.Milliseconds()))
	})
}
