package gateway_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"aviso.example/legacy/gateway"
	"aviso.example/sim"
)

// wantNoCredit checks that every provider has all its credits: what is kept is
// missing to the provider's other connections, in the end to all of them.
func (h *virtual) wantNoCredit(when string) {
	h.t.Helper()
	synctest.Wait()
	for name, n := range h.gateway.CreditsOut() {
		if n != 0 {
			h.t.Errorf("%s, %d credits of provider %s are out", when, n, name)
		}
	}
}

// TestCreditAfterRejection: a connection that ends with an error packet gives back
// what it took, whatever the place of the rejected notification.
func TestCreditAfterRejection(t *testing.T) {
	virtually(t, nil, func(t *testing.T, h *virtual) {
		h.foreign(41, func(i int) bool { return i == 40 })
		for good := range 40 {
			conn := h.dial()
			for i := range good {
				conn.Write(newMessage(i).bytes(uint32(i)))
			}
			conn.Write(newMessage(40).bytes(77))
			conn.Write(newMessage(good).bytes(78))
			if got := fmt.Sprintf("%x", readPacket(t, conn)); got != "08080000004d" {
				t.Fatalf("after %d good ones the gateway said %s", good, got)
			}
			conn.Close()
			time.Sleep(time.Minute)
			h.wantNoCredit(fmt.Sprintf("after %d good ones and a bad one", good))
		}
	})
}

// TestIdleConnectionsHoldNoCredit: else a thousand that have sent one notification
// each would stop the provider's others until they time out, hours later.
func TestIdleConnectionsHoldNoCredit(t *testing.T) {
	virtually(t, nil, func(t *testing.T, h *virtual) {
		if _, err := h.apns.Server.AddFault(sim.Fault{Kind: sim.FaultDelay, Delay: 50 * time.Millisecond}); err != nil {
			t.Fatal(err)
		}
		var all []*tls.Conn
		for i := range 5 {
			conn := h.dial()
			all = append(all, conn)
			if i > 0 { // the first has never sent anything
				io.WriteString(conn, frame1(1, 0, active, hello))
			}
			if i > 1 { // half of another one
				io.WriteString(conn, frame1(2, 0, strings.Repeat("x", 32), hello)[:20+i])
			}
		}
		time.Sleep(time.Second)
		if n := h.inbox(); n != 4 {
			t.Errorf("%d were accepted, want 4", n)
		}
		h.wantNoCredit("while connections are idle")
		for _, conn := range all {
			conn.Close()
		}
	})
}

// TestSmallWindows: no more is under way than the window, however small.
func TestSmallWindows(t *testing.T) {
	for window := 1; window <= 9; window++ {
		virtually(t, func(c *gateway.Config) { c.Window = window }, func(t *testing.T, h *virtual) {
			h.fault(sim.Fault{Kind: sim.FaultDelay, Delay: time.Second})
			conn := h.dial()
			for i := range 20 {
				conn.Write(newMessage(i).bytes(uint32(i)))
			}
			time.Sleep(500 * time.Millisecond)
			if n := h.gateway.Stats().Frames; n != int64(window) {
				t.Errorf("%d were read, want %d", n, window)
			}
			time.Sleep(time.Minute)
			if n := h.inbox(); n != 20 {
				t.Errorf("window %d: %d were accepted, want 20", window, n)
			}
			conn.Close()
		})
	}
}
