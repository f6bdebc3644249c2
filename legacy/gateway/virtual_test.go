package gateway_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"aviso.example/apnstest"
	"aviso.example/internal/memnet"
	"aviso.example/legacy/gateway"
	"aviso.example/sim"
)

// virtually runs a test where time is exact and costs nothing, with a gateway on a
// network inside the process.
func virtually(t *testing.T, change func(*gateway.Config), test func(t *testing.T, h *virtual)) {
	t.Helper()
	serverIdentity() // made outside: keys take real time
	programIdentity()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		h := &virtual{house: house{t: t, apns: apnstest.StartMem(t), log: &log{}}, listener: memnet.Listen("gateway.test:2195")}
		client := h.client()
		client.DialContext = h.apns.DialContext
		h.config = gateway.Config{
			Certificate: serverIdentity().auth, FeedbackFile: filepath.Join(dir, "feedback.db"),
			Logger: slog.New(slog.NewTextHandler(h.log, nil)),
			Providers: []gateway.Provider{{
				Name: "shop", Certificates: []*x509.Certificate{programIdentity().tls.Leaf}, APNs: client,
			}},
		}
		if change != nil {
			change(&h.config)
		}
		h.gateway = must(gateway.New(h.config))
		var served sync.WaitGroup
		served.Go(func() {
			if err := h.gateway.Serve(h.listener); !errors.Is(err, gateway.ErrClosed) {
				t.Errorf("serving ended with %v", err)
			}
		})
		test(t, h)
		h.shutdown(time.Second)
		served.Wait()
		if t.Failed() {
			t.Logf("the gateway said:\n%s", h.log)
		}
	})
}

type virtual struct {
	house
	listener *memnet.Listener
}

// dial connects.
func (h *virtual) dial() *tls.Conn {
	conn, err := h.dialAs(context.Background(), programIdentity())
	if err != nil {
		h.t.Fatal(err)
	}
	return conn
}

// dialAs connects as one program or another; the clock says 2000, when the
// certificates were not yet valid.
func (h *virtual) dialAs(ctx context.Context, i *identity) (*tls.Conn, error) {
	raw, err := h.listener.DialContext(ctx, "tcp", "gateway.test:2195")
	if err != nil {
		return nil, err
	}
	conn := tls.Client(raw, &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{i.tls}})
	if err := conn.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, err
	}
	return conn, nil
}

// inbox is how many pushes APNs accepted.
func (h *virtual) inbox() int { return len(h.apns.Pushes(sim.Filter{Outcome: sim.Accepted})) }

// said collects what a connection says, and when it ends.
type said struct {
	bytes []byte
	after time.Duration
	err   error
}

func listen(conn net.Conn) <-chan said {
	began, ended := time.Now(), make(chan said, 1)
	go func() {
		b, err := io.ReadAll(conn)
		ended <- said{b, time.Since(began), err}
	}()
	return ended
}

func (h *virtual) fault(f sim.Fault) {
	if _, err := h.apns.Server.AddFault(f); err != nil {
		h.t.Fatal(err)
	}
}

// three are notifications 1, 2 and 3 to devices of their own.
func three(expiration uint32) string {
	var b strings.Builder
	for i := uint32(1); i <= 3; i++ {
		b.WriteString(frame1(i, expiration, strings.Repeat(string(rune('a'+i)), 32), hello))
	}
	return b.String()
}

// TestHold: trouble that is no notification's fault stops the reading and loses
// nothing, however long it lasts.
func TestHold(t *testing.T) {
	for name, fault := range map[string]sim.Fault{
		"APNs is unavailable":       {Kind: sim.FaultAnswer, Status: 503, Reason: "ServiceUnavailable"},
		"the key was revoked":       {Kind: sim.FaultAnswer, Status: 403, Reason: "InvalidProviderToken"},
		"the topic is not allowed":  {Kind: sim.FaultAnswer, Status: 400, Reason: "TopicDisallowed"},
		"nobody listens":            {Kind: sim.FaultRefuseConnection},
		"the certificate is no use": {Kind: sim.FaultRejectCertificate},
	} {
		t.Run(name, func(t *testing.T) {
			virtually(t, nil, func(t *testing.T, h *virtual) {
				fault.For = 10 * time.Minute
				h.fault(fault)
				conn := h.dial()
				ended := listen(conn)
				io.WriteString(conn, three(0x7fffffff))
				time.Sleep(9 * time.Minute)
				if n := h.inbox(); n != 0 {
					t.Fatalf("%d were accepted", n)
				}
				select {
				case s := <-ended:
					t.Fatalf("the gateway said %x after %v: %v", s.bytes, s.after, s.err)
				default:
				}
				if !strings.Contains(h.log.String(), "nothing can be sent") {
					t.Error("the log does not say so")
				}
				attempts := len(h.apns.Pushes(sim.Filter{}))
				if most := 5 * (9*60/20 + 10); attempts > most {
					t.Errorf("APNs was asked %d times meanwhile, more than %d", attempts, most)
				}
				time.Sleep(2 * time.Minute)
				if n := h.inbox(); n != 3 {
					t.Errorf("%d were accepted afterwards, want 3", n)
				}
				conn.CloseWrite()
				if s := <-ended; len(s.bytes) > 0 {
					t.Errorf("the gateway said %x", s.bytes)
				}
			})
		})
	}
}

// TestHoldEnds: after HoldTime the program learns of a processing error.
func TestHoldEnds(t *testing.T) {
	virtually(t, nil, func(t *testing.T, h *virtual) {
		h.fault(sim.Fault{Kind: sim.FaultAnswer, Status: 503, Reason: "ServiceUnavailable"})
		conn := h.dial()
		ended := listen(conn)
		io.WriteString(conn, three(0x7fffffff))
		s := <-ended
		if hex.EncodeToString(s.bytes) != "080100000001" || s.after < gateway.DefaultHoldTime || s.after > gateway.DefaultHoldTime+time.Minute {
			t.Errorf("the gateway said %x after %v", s.bytes, s.after)
		}
	})
}

// TestExpiredWhileHeld: APNs would have dropped it, and so does the gateway.
func TestExpiredWhileHeld(t *testing.T) {
	t.Parallel()
	virtually(t, nil, func(t *testing.T, h *virtual) {
		h.fault(sim.Fault{Kind: sim.FaultAnswer, Status: 503, Reason: "ServiceUnavailable", For: 5 * time.Minute})
		conn := h.dial()
		ended := listen(conn)
		io.WriteString(conn, three(uint32(time.Now().Add(time.Minute).Unix())))
		time.Sleep(10 * time.Minute)
		io.WriteString(conn, frame1(4, 0, strings.Repeat("z", 32), hello))
		conn.CloseWrite()
		if s := <-ended; len(s.bytes) > 0 || s.err != nil {
			t.Errorf("the gateway said %x, %v", s.bytes, s.err)
		}
		if n := h.inbox(); n != 1 {
			t.Errorf("%d were accepted, want 1", n)
		}
	})
}

func TestTimeouts(t *testing.T) {
	whole := frame1(7, 0, active, hello)
	for _, c := range []struct {
		name  string
		write string
		after time.Duration
		want  string
	}{
		{"nothing ever", "", gateway.DefaultFirstFrameTimeout, ""},
		{"silent afterwards", whole, gateway.DefaultIdleTimeout, "080a00000007"},
		{"in the middle", whole + whole[:40], gateway.DefaultFrameTimeout, "080a00000007"},
		{"in the middle of the first", whole[:40], gateway.DefaultFrameTimeout, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			virtually(t, nil, func(t *testing.T, h *virtual) {
				conn := h.dial()
				ended := listen(conn)
				io.WriteString(conn, c.write)
				s := <-ended
				if hex.EncodeToString(s.bytes) != c.want || s.after < c.after || s.after > c.after+5*time.Second {
					t.Errorf("the gateway said %x after %v, want %q after %v", s.bytes, s.after, c.want, c.after)
				}
			})
		})
	}
	// One byte at a time is no way out.
	virtually(t, nil, func(t *testing.T, h *virtual) {
		conn := h.dial()
		ended := listen(conn)
		for i := range whole {
			if _, err := io.WriteString(conn, whole[i:i+1]); err != nil {
				break
			}
			time.Sleep(20 * time.Second)
		}
		if s := <-ended; s.after > time.Minute {
			t.Errorf("a slow frame was awaited for %v", s.after)
		}
	})
	// Nobody is waited for in the handshake.
	virtually(t, nil, func(t *testing.T, h *virtual) {
		raw := must(h.listener.DialContext(context.Background(), "tcp", ""))
		if s := <-listen(raw); s.after > 15*time.Second {
			t.Errorf("a handshake was awaited for %v", s.after)
		}
	})
}

// TestDrain: a shutdown says what was sent last, and waits for what is under way.
func TestDrain(t *testing.T) {
	for _, c := range []struct {
		name   string
		within time.Duration
		delay  sim.Fault
		want   string
		fails  bool
	}{
		{"idle", 5 * time.Second, sim.Fault{}, "080a00000003", false},
		{"under way", 10 * time.Second, sim.Fault{Kind: sim.FaultDelay, Delay: 5 * time.Second}, "080a00000003", false},
		{"not in time", 2 * time.Second, sim.Fault{Kind: sim.FaultDelay, Delay: time.Minute, DeviceToken: hex.EncodeToString([]byte(strings.Repeat("c", 32)))}, "080a00000001", true},
		{"none in time", 2 * time.Second, sim.Fault{Kind: sim.FaultDelay, Delay: time.Minute}, "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			virtually(t, nil, func(t *testing.T, h *virtual) {
				if c.delay.Kind != "" {
					h.fault(c.delay)
				}
				conn := h.dial()
				ended := listen(conn)
				io.WriteString(conn, three(0))
				time.Sleep(time.Second)
				if err := h.shutdown(c.within); (err != nil) != c.fails {
					t.Errorf("shutting down ended with %v", err)
				}
				if s := <-ended; hex.EncodeToString(s.bytes) != c.want {
					t.Errorf("the gateway said %x, want %q", s.bytes, c.want)
				}
			})
		})
	}
}
