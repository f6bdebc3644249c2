package gateway

import (
	"context"
	"net"
)

// receiveBuffer is what the kernel may hold of a connection that is not read, in
// bytes; Linux doubles it: some fifty notifications. What waits there counts as sent
// for the program, which has to remember it. It costs a third of the gateway's CPU
// (docs/gateway-performance.md), and 16 KiB let programs get half as far ahead again.
const receiveBuffer = 4 << 10

// segmentSize is the largest segment to ask for, in bytes: what Ethernet carries.
// The other side's send buffer is made for ten segments and more, which on
// loopback, with 64 KiB each, are thousands of notifications.
const segmentSize = 1400

// Listen listens on a TCP address as a gateway should: with small receive buffers,
// so that an old program does not write further ahead than it remembers. Serve
// takes any listener, though.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	config := net.ListenConfig{Control: smallBuffers, KeepAliveConfig: net.KeepAliveConfig{Enable: true}}
	return config.Listen(ctx, "tcp", address)
}
