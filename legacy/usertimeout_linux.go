package legacy

import (
	"net"
	"syscall"
	"time"
)

// tcpUserTimeout is TCP_USER_TIMEOUT of linux/tcp.h, which package syscall does
// not name.
const tcpUserTimeout = 18

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
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, int(after.Milliseconds()))
	})
}
