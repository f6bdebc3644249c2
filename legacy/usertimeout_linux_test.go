package legacy_test

import (
	"context"
	"net"
	"syscall"
	"testing"
	"time"

	"aviso.example/legacy"
)

// On Linux the kernel ends a connection whose peer acknowledges nothing, before
// anything settles that was written to it.
func TestUnacknowledged(t *testing.T) {
	came := make(chan bool)
	p := newSocketPeer(t, func(c *peerConn) {
		came <- c.read(1)
		c.readAll()
	})
	var conn *net.TCPConn
	client := newClient(t, p, func(c *legacy.Config) {
		c.SettleTime = 2 * time.Second
		c.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			made, err := new(net.Dialer).DialContext(ctx, network, address)
			if err == nil {
				conn = made.(*net.TCPConn)
			}
			return made, err
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go client.Push(ctx, numbered(1))
	if !<-came {
		t.Fatal("nothing came")
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	got := 0
	if err := raw.Control(func(fd uintptr) { got, err = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, 18) }); err != nil {
		t.Fatal(err)
	}
	if err != nil || got != 1500 {
		t.Errorf("%d ms, %v", got, err)
	}
}
