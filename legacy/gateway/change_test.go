package gateway_test

import (
	"context"
	"crypto/x509"
	"encoding/hex"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"aviso.example/apnstest"
	"aviso.example/internal/memnet"
	"aviso.example/legacy/gateway"
	"aviso.example/sim"
)

// TestRemovedInTrouble: what was read of a provider that is removed meanwhile is
// judged all the same, and its connection ends.
func TestRemovedInTrouble(t *testing.T) {
	virtually(t, nil, func(t *testing.T, h *virtual) {
		h.fault(sim.Fault{Kind: sim.FaultAnswer, Status: 503, Reason: "ServiceUnavailable", For: 5 * time.Minute})
		conn := h.dial()
		ended := listen(conn)
		io.WriteString(conn, three(0x7fffffff))
		time.Sleep(time.Minute)
		if err := h.gateway.SetProviders(nil); err != nil {
			t.Fatal(err)
		}
		select {
		case s := <-ended:
			if hex.EncodeToString(s.bytes) != "080a00000003" {
				t.Errorf("the gateway said %x", s.bytes)
			}
		case <-time.After(time.Hour):
			t.Error("the connection did not end within an hour")
		}
		if n := h.inbox(); n != 3 {
			t.Errorf("%d were accepted, want 3", n)
		}
	})
}

// TestResetAndRemoved: nobody is there to be told, and what was read goes its way.
func TestResetAndRemoved(t *testing.T) {
	virtually(t, nil, func(t *testing.T, h *virtual) {
		h.fault(sim.Fault{Kind: sim.FaultAnswer, Status: 503, Reason: "ServiceUnavailable", For: 5 * time.Minute})
		conn := h.dial()
		io.WriteString(conn, three(0x7fffffff))
		time.Sleep(time.Minute)
		conn.NetConn().(*memnet.Conn).Reset()
		time.Sleep(time.Second)
		if err := h.gateway.SetProviders(nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		if n := h.inbox(); n != 3 {
			t.Errorf("%d were accepted, want 3", n)
		}
	})
}

// TestChangeWhileNothingMoves: a client that takes no more does not hold up a
// change of the configuration, and with it everybody else; and the change is what
// gets things moving again.
func TestChangeWhileNothingMoves(t *testing.T) {
	virtually(t, func(c *gateway.Config) { c.Providers[0].APNs.BatchWindow = 1 }, func(t *testing.T, h *virtual) {
		h.fault(sim.Fault{Kind: sim.FaultSilence, For: 20 * time.Second})
		conn := h.dial()
		for i := range 100 {
			conn.Write(newMessage(i).bytes(uint32(i)))
		}
		time.Sleep(time.Second)
		other := apnstest.StartMem(t)
		changed := h.config.Providers[0]
		client := (&house{t: t, apns: other}).client()
		client.DialContext = other.DialContext
		changed.APNs = client
		began := time.Now()
		if err := h.gateway.SetProviders([]gateway.Provider{changed}); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("the change took %v", took)
		}
		time.Sleep(2 * time.Minute)
		if n := len(other.Pushes(sim.Filter{Outcome: sim.Accepted})); n < 98 {
			t.Errorf("%d went the new way, want at least 98", n)
		}
		conn.Close()
	})
}

// TestChangeUnderLoad: what waits goes the new way, however much there is.
func TestChangeUnderLoad(t *testing.T) {
	virtually(t, func(c *gateway.Config) { c.Providers[0].APNs.BatchWindow = 1 }, func(t *testing.T, h *virtual) {
		h.fault(sim.Fault{Kind: sim.FaultDelay, Delay: time.Second})
		conn := h.dial()
		for i := range 100 {
			conn.Write(newMessage(i).bytes(uint32(i)))
		}
		time.Sleep(5500 * time.Millisecond)
		other := apnstest.StartMem(t)
		changed := h.config.Providers[0]
		changed.APNs = (&house{t: t, apns: other}).client()
		changed.APNs.DialContext = other.DialContext
		if err := h.gateway.SetProviders([]gateway.Provider{changed}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		before, after := h.inbox(), len(other.Pushes(sim.Filter{Outcome: sim.Accepted}))
		if before > 10 || before+after != 100 {
			t.Errorf("%d went the old way and %d the new", before, after)
		}
		conn.Close()
	})
}

// TestShutdownIsInTime although somebody reads the feedback list and never hangs up.
func TestShutdownIsInTime(t *testing.T) {
	virtually(t, nil, func(t *testing.T, h *virtual) {
		feedback := memnet.Listen("gateway.test:2196")
		served := make(chan error, 1)
		go func() { served <- h.gateway.ServeFeedback(feedback) }()
		conn := (&virtual{h.house, feedback}).dial()
		time.Sleep(time.Second)
		began := time.Now()
		if err := h.shutdown(time.Second); err != nil {
			t.Error(err) // nothing was under way
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("it took %v", took)
		}
		<-served
		conn.Close()
	})
}

// TestResetAndShutdown: what a connection that broke has left behind gets its time.
func TestResetAndShutdown(t *testing.T) {
	for _, c := range []struct {
		within time.Duration
		want   int
	}{{5 * time.Second, 3}, {time.Second, 0}} {
		virtually(t, nil, func(t *testing.T, h *virtual) {
			h.fault(sim.Fault{Kind: sim.FaultAnswer, Status: 503, Reason: "ServiceUnavailable", For: 3 * time.Second})
			conn := h.dial()
			io.WriteString(conn, three(0x7fffffff))
			time.Sleep(time.Second)
			conn.NetConn().(*memnet.Conn).Reset()
			time.Sleep(time.Second)
			if err := h.shutdown(c.within); (err == nil) != (c.want > 0) {
				t.Errorf("shutting down within %v ended with %v", c.within, err)
			}
			if n := h.inbox(); n != c.want {
				t.Errorf("within %v %d were accepted, want %d", c.within, n, c.want)
			}
		})
	}
}

// TestChangeAfterShutdown is refused, and leaves nothing behind.
func TestChangeAfterShutdown(t *testing.T) {
	virtually(t, nil, func(t *testing.T, h *virtual) {
		h.shutdown(time.Second)
		if err := h.gateway.SetProviders(h.config.Providers); err != gateway.ErrClosed {
			t.Errorf("%v", err)
		}
	})
}

// TestOneProviderCannotTakeAllConnections: another one still gets in.
func TestOneProviderCannotTakeAllConnections(t *testing.T) {
	other := newIdentity("com.example.other")
	virtually(t, func(c *gateway.Config) {
		c.MaxConnections = 8
		second := c.Providers[0]
		second.Name, second.Certificates, second.Topic = "other", []*x509.Certificate{other.tls.Leaf}, "com.example.other"
		c.Providers = append(c.Providers, second)
	}, func(t *testing.T, h *virtual) {
		for range 20 {
			go func() {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				if conn, err := h.dialAs(ctx, programIdentity()); err == nil {
					<-ctx.Done()
					conn.Close()
				}
			}()
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		conn, err := h.dialAs(ctx, other)
		if err != nil {
			t.Fatal(err)
		}
		ended := listen(conn)
		io.WriteString(conn, frame1(1, 0, active, hello[:5]))
		select {
		case s := <-ended:
			if hex.EncodeToString(s.bytes) != "088000000001" {
				t.Errorf("the gateway said %x", s.bytes)
			}
		case <-time.After(10 * time.Second):
			t.Error("the other provider was not served")
		}
		time.Sleep(time.Minute)
	})
}

// TestExpiredInTheClient: a notification whose time was up before it could be sent
// is dropped, and no reason to let the others wait.
func TestExpiredInTheClient(t *testing.T) {
	virtually(t, func(c *gateway.Config) {
		dial := c.Providers[0].APNs.DialContext
		c.Providers[0].APNs.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			time.Sleep(4 * time.Second)
			return dial(ctx, network, address)
		}
	}, func(t *testing.T, h *virtual) {
		conn := h.dial()
		ended := listen(conn)
		io.WriteString(conn, three(uint32(time.Now().Add(2*time.Second).Unix())))
		io.WriteString(conn, frame1(4, 0, active, hello))
		time.Sleep(time.Minute)
		conn.CloseWrite()
		if s := <-ended; len(s.bytes) > 0 || s.err != nil {
			t.Errorf("the gateway said %x, %v", s.bytes, s.err)
		}
		if n := h.inbox(); n != 1 {
			t.Errorf("%d were accepted, want 1", n)
		}
		if said := h.log.String(); strings.Contains(said, "nothing can be sent") {
			t.Errorf("the log says that nothing can be sent:\n%s", said)
		}
	})
}

// TestOneProviderCannotTakeTheFeedbackPort: another one still gets its list.
func TestOneProviderCannotTakeTheFeedbackPort(t *testing.T) {
	other := newIdentity("com.example.other")
	virtually(t, func(c *gateway.Config) {
		second := c.Providers[0]
		second.Name, second.Certificates, second.Topic = "other", []*x509.Certificate{other.tls.Leaf}, "com.example.other"
		c.Providers = append(c.Providers, second)
	}, func(t *testing.T, h *virtual) {
		feedback := &virtual{h.house, memnet.Listen("gateway.test:2196")}
		served := make(chan error, 1)
		go func() { served <- h.gateway.ServeFeedback(feedback.listener) }()
		for range 100 {
			go func() {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				if conn, err := feedback.dialAs(ctx, programIdentity()); err == nil {
					<-ctx.Done()
					conn.Close()
				}
			}()
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		conn, err := feedback.dialAs(ctx, other)
		if err != nil {
			t.Error(err)
		} else {
			if b := readPacket(t, conn); len(b) > 0 {
				t.Errorf("the list is %x", b)
			}
			conn.Close()
		}
		time.Sleep(time.Minute)
		h.shutdown(time.Second)
		<-served
	})
}
