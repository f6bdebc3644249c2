package gateway_test

import (
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"aviso.example/internal/await"
	"aviso.example/legacy/gateway"
	"aviso.example/sim"
)

// TestResetAnywhere: a connection that is reset, or ends, after any number of bytes
// leaves whole notifications behind, once each, and nothing else.
func TestResetAnywhere(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	var stream []byte
	var ends []int
	for i := range 2 {
		stream = append(stream, newMessage(i).bytes(uint32(i))...)
		ends = append(ends, len(stream))
	}
	want := 0
	for cut := 0; cut <= len(stream); cut++ {
		conn := h.dial(programIdentity())
		if _, err := conn.Write(stream[:cut]); err != nil {
			t.Fatal(err)
		}
		for _, end := range ends {
			if cut >= end {
				want++
			}
		}
		if cut%2 == 0 {
			conn.CloseWrite()
			if b := readPacket(t, conn); len(b) > 0 {
				t.Fatalf("cut after %d bytes, the gateway said %x", cut, b)
			}
			continue
		}
		h.accepted(want) // a reset would throw away what has not been read
		conn.NetConn().(*net.TCPConn).SetLinger(0)
		conn.NetConn().Close()
	}
	h.accepted(want)
	if err := h.shutdown(time.Minute); err != nil { // whatever else was read is judged
		t.Fatal(err)
	}
	if s := h.gateway.Stats(); s.Accepted != int64(want) || s.Frames != int64(want) || s.Rejected != 0 {
		t.Errorf("%+v, want %d", s, want)
	}
}

// TestErrorPacketLost: the program never sees the packet, since its connection
// breaks. A careful one then sends everything again; what followed the rejected
// notification is recognised.
func TestErrorPacketLost(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	bad := func(i int) bool { return i == 10 }
	h.foreign(100, bad)
	conn := h.dial(programIdentity())
	for i := range 100 {
		conn.Write(newMessage(i).bytes(uint32(i)))
	}
	h.accepted(10)
	await.Until(t, "an error packet", func() bool { return h.gateway.Stats().Packets > 0 })
	conn.NetConn().(*net.TCPConn).SetLinger(0)
	conn.NetConn().Close()

	p := h.program(memory, 0, bad)
	for i := 11; i < 100; i++ {
		p.line = append(p.line, newMessage(i))
	}
	p.run()
	for device, pushes := range h.accepted(99) {
		if len(pushes) != 1 {
			t.Errorf("%s was accepted %d times", device, len(pushes))
		}
	}
}

// TestSameThingTwice: two notifications with the same content are two, also while
// the gateway remembers what it sent.
func TestSameThingTwice(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	bad := func(i int) bool { return i == 3 }
	h.foreign(10, bad)
	p := h.program(memory, 3, bad)
	p.line = append(p.line, newMessage(3))
	for range 5 {
		p.line = append(p.line, newMessage(4))
	}
	p.run()
	if n := len(h.accepted(8)[newMessage(4).device()]); n != 5 {
		t.Errorf("it was accepted %d times, want 5", n)
	}
}

// TestIdentifiersWrap: the gateway makes nothing of identifiers.
func TestIdentifiersWrap(t *testing.T) {
	h := open(t, nil)
	h.foreign(6, func(i int) bool { return i == 4 })
	conn := h.dial(programIdentity())
	for i := range 6 {
		conn.Write(newMessage(i).bytes(0xfffffffe + uint32(i)))
	}
	if got := fmt.Sprintf("%x", readPacket(t, conn)); got != "080800000002" {
		t.Errorf("the gateway said %s", got)
	}
}

// TestBackPressure: while APNs does not answer, no more is read than the window,
// and the program is held up by the network.
func TestBackPressure(t *testing.T) {
	virtually(t, func(c *gateway.Config) { c.Window = 50 }, func(t *testing.T, h *virtual) {
		h.fault(sim.Fault{Kind: sim.FaultDelay, Delay: 10 * time.Second, For: time.Second})
		conn := h.dial()
		conn.SetWriteDeadline(time.Now().Add(5 * time.Second))
		written := 0
		for ; written < 1_000_000; written++ {
			if _, err := conn.Write(newMessage(written).bytes(uint32(written))); err != nil {
				break
			}
		}
		if n := h.gateway.Stats().Frames; n != 50 {
			t.Errorf("%d were read, want 50", n)
		}
		if written > 10_000 {
			t.Errorf("%d could be written", written)
		}
		conn.NetConn().Close()
		time.Sleep(10 * time.Second)
		if n := h.inbox(); n < 50 {
			t.Errorf("APNs accepted %d", n)
		}
	})
}

// TestIdleConnections: thousands of them are fine.
func TestIdleConnections(t *testing.T) {
	const connections = 400
	h := open(t, func(c *gateway.Config) { c.MaxConnections = connections })
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var all []net.Conn
	for range connections {
		conn := h.dial(programIdentity())
		io.WriteString(conn, frame1(1, 0, active, hello))
		all = append(all, conn.NetConn())
	}
	h.accepted(connections)
	// One more has to wait.
	waiting := must(net.Dial("tcp", h.address))
	defer waiting.Close()
	waiting.SetDeadline(time.Now().Add(50 * time.Millisecond))
	waiting.Write([]byte("x"))
	if _, err := waiting.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "timeout") {
		t.Errorf("a connection too many was answered: %v", err)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	each := (int64(after.HeapAlloc+after.StackInuse) - int64(before.HeapAlloc+before.StackInuse)) / connections
	t.Logf("%d bytes for both ends of a connection", each)
	if each > 150<<10 {
		t.Errorf("both ends of an idle connection take %d bytes", each)
	}
	for _, conn := range all {
		conn.Close()
	}
}
