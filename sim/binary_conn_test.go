package sim_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"aviso.example/apnstest"
	"aviso.example/internal/await"
	"aviso.example/sim"
)

// TestBinaryCertificates: who is let in is decided in the handshake, by the rules
// of the HTTP/2 side.
func TestBinaryCertificates(t *testing.T) {
	const app = "com.example.app"
	trusted := pushCertificate(t, app, nil)
	leaf, err := x509.ParseCertificate(trusted.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	authority := x509.NewCertPool()
	authority.AddCert(leaf)
	for name, c := range map[string]struct {
		cert   *tls.Certificate // nil: none
		config func(*sim.Config)
		clock  time.Duration
		topic  string // of what is taken; empty: the handshake fails
		alert  string
	}{
		"both environments":      {cert: pushCertificate(t, app, nil, "sandbox", "production"), topic: app},
		"no marks":               {cert: pushCertificate(t, app, nil), topic: app},
		"VoIP":                   {cert: pushCertificate(t, app+".voip", nil), topic: app + ".voip"},
		"a list, the UID counts": {cert: pushCertificate(t, app, []string{app + ".voip", app}), topic: app},
		"sandbox":                {cert: pushCertificate(t, app, nil, "sandbox"), topic: app},
		"production":             {cert: pushCertificate(t, app, nil, "production"), alert: "bad certificate"},
		"production there":       {cert: pushCertificate(t, app, nil, "production"), topic: app, config: func(c *sim.Config) { c.Environment = sim.Production }},
		"none":                   {alert: "certificate required"},
		"expired":                {cert: pushCertificate(t, app, nil), clock: 400 * 24 * time.Hour, alert: "bad certificate"},
		"not valid yet":          {cert: pushCertificate(t, app, nil), clock: -2 * time.Hour, alert: "bad certificate"},
		"of the authority":       {cert: trusted, topic: app, config: func(c *sim.Config) { c.ClientCAs = authority }},
		"of another authority":   {cert: pushCertificate(t, app, nil), alert: "bad certificate", config: func(c *sim.Config) { c.ClientCAs = authority }},
		"in spite of Cleartext":  {cert: pushCertificate(t, app, nil), topic: app, config: func(c *sim.Config) { c.Cleartext = true }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			apple, b := startOld(t, func(cfg *sim.Config) {
				if c.config != nil {
					c.config(cfg)
				}
			})
			apple.SetClockOffset(c.clock)
			var certificates []tls.Certificate
			if c.cert != nil {
				certificates = append(certificates, *c.cert)
			}
			o, err := tryOld(t, apple, b, b.Gateway, certificates...)
			if c.topic == "" {
				if err == nil {
					_, err = o.Read(make([]byte, 1))
				}
				if err == nil || !strings.Contains(err.Error(), c.alert) {
					t.Errorf("got %v, want %s", err, c.alert)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			o.send(good(1))
			o.wantSilence()
			if p := apple.Pushes(sim.Filter{}); len(p) != 1 || p[0].Topic != c.topic || p[0].Credential.TeamID != apnstest.TeamID {
				t.Errorf("%+v", p)
			}
		})
	}
}

// TestBinaryPacketSurvives: a client that goes on writing does not destroy the
// packet, over real sockets.
func TestBinaryPacketSurvives(t *testing.T) {
	apple, b := startOld(t)
	for range 20 {
		o := dialOld(t, apple, b, b.Gateway)
		var written sync.WaitGroup
		written.Go(func() {
			after := bytes.Repeat(good(3), 1000)
			for range 20 {
				if _, err := o.Write(after); err != nil {
					return // the server has gone, long after its packet
				}
			}
		})
		o.send(bad(2))
		written.Wait()
		o.wantPacket(5, 2)
		o.Close()
	}
}

// TestBinaryTimeouts: silent and slow clients are let go without a packet.
func TestBinaryTimeouts(t *testing.T) {
	for name, c := range map[string]struct {
		set   func(*sim.Config)
		sends []byte
		end   time.Duration // 0: it does not end
	}{
		"idle":             {func(c *sim.Config) { c.Binary.IdleTimeout = 10 * time.Minute }, nil, 10 * time.Minute},
		"idle, after one":  {func(c *sim.Config) { c.Binary.IdleTimeout = 10 * time.Minute }, good(1), 10 * time.Minute},
		"idle as usual":    {func(c *sim.Config) { c.IdleTimeout = time.Hour }, good(1), time.Hour},
		"idle for ever":    {func(c *sim.Config) { c.Binary.IdleTimeout = -1 }, good(1), 0},
		"one byte":         {func(*sim.Config) {}, good(1)[:1], 30 * time.Second},
		"half a frame":     {func(c *sim.Config) { c.Binary.FrameTimeout = time.Minute }, concat(good(1), good(2)[:50]), time.Minute},
		"half a big frame": {func(*sim.Config) {}, command1(1, 0, make([]byte, 65535), strings.Repeat(" ", 65535))[:100_000], 30 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				apple := apnstest.StartMem(t, c.set)
				o := dialOld(t, apple, apple.StartBinary(t), "localhost:2195")
				o.raw.SetDeadline(time.Now().Add(100 * time.Hour))
				start := time.Now()
				if len(c.sends) > 0 {
					o.send(c.sends)
				}
				n, err := o.Read(make([]byte, 1))
				if c.end == 0 && !isTimeout(err) || c.end > 0 && (n > 0 || time.Since(start) != c.end) {
					t.Errorf("%d bytes, %v after %v", n, err, time.Since(start))
				}
			})
		})
	}
	t.Run("handshake", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			apple := apnstest.StartMem(t)
			raw, err := apple.StartBinary(t).DialContext(t.Context(), "tcp", "localhost:2195")
			if err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			if n, err := raw.Read(make([]byte, 1)); n > 0 || err == nil || time.Since(start) != 10*time.Second {
				t.Errorf("%d bytes, %v after %v", n, err, time.Since(start))
			}
			synctest.Wait()
			if st := apple.Stats().Binary; st.HandshakeFailures != 1 || st.ConnectionsOpen != 0 {
				t.Errorf("%+v", st)
			}
		})
	})
	// A client that sends one byte now and then is not idle, and gets no longer
	// than any other for its frame.
	t.Run("drops of a frame", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			apple := apnstest.StartMem(t)
			o := dialOld(t, apple, apple.StartBinary(t), "localhost:2195")
			o.raw.SetDeadline(time.Now().Add(time.Hour))
			start := time.Now()
			for _, b := range good(1) {
				if _, err := o.Write([]byte{b}); err != nil {
					break
				}
				time.Sleep(time.Second)
			}
			if took := time.Since(start); took < 30*time.Second || took > 32*time.Second {
				t.Errorf("let go after %v", took)
			}
		})
	})
}

// TestBinaryShutdown: status 10 names the last notification that was taken.
func TestBinaryShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		apple := apnstest.StartMem(t)
		b := apple.StartBinary(t)
		idle, busy, half := dialOld(t, apple, b, b.Gateway), dialOld(t, apple, b, b.Gateway), dialOld(t, apple, b, b.Gateway)
		nameless := dialOld(t, apple, b, b.Gateway)
		busy.send(good(7), good(8))
		half.send(good(9), good(10)[:20])
		nameless.send(command0(oldDevice(1), "{}"))
		stalled, err := b.DialContext(t.Context(), "tcp", b.Gateway) // no handshake yet
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		var waiting sync.WaitGroup
		waiting.Go(func() {
			if err := apple.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
		})
		idle.wantPacket(10, 0)
		busy.wantPacket(10, 8)
		half.wantPacket(10, 9)
		nameless.wantPacket(10, 0)
		if _, err := stalled.Read(make([]byte, 1)); err == nil {
			t.Error("the handshake goes on")
		}
		for _, o := range []*old{idle, busy, half, nameless} {
			o.Close()
		}
		waiting.Wait()
		if st := apple.Stats().Binary; st.ConnectionsOpen != 0 || st.Packets != 4 || st.Accepted != 4 {
			t.Errorf("%+v", st)
		}
		if _, err := apple.Server.StartBinary("127.0.0.1:0"); !errors.Is(err, sim.ErrServerClosed) {
			t.Errorf("a port after the end: %v", err)
		}
	})
}

// TestBinaryShutdownEnds: a client that does not go away is cut off when the
// time is over.
func TestBinaryShutdownEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		apple := apnstest.StartMem(t)
		b := apple.StartBinary(t)
		swallowed, stuck := dialOld(t, apple, b, b.Gateway), dialOld(t, apple, b, b.Gateway)
		apple.AddFault(t, sim.Fault{Kind: sim.FaultHalfOpen, Connection: 1})
		swallowed.send(good(1))
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if err := apple.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if took := time.Since(start); took != time.Second {
			t.Errorf("took %v", took)
		}
		if got, _ := io.ReadAll(swallowed); len(got) > 0 {
			t.Errorf("the silent one said %x", got)
		}
		stuck.wantPacket(10, 0)
	})
}

// TestBinaryConnectionLimit: both ports count, and one that has gone makes room.
func TestBinaryConnectionLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		apple := apnstest.StartMem(t, func(c *sim.Config) { c.Binary.MaxConnections = 2 })
		b := apple.StartBinary(t)
		gateway, feedback := dialOld(t, apple, b, b.Gateway), dialOld(t, apple, b, b.Feedback)
		if _, err := tryOld(t, apple, b, b.Gateway, b.Certificate); err == nil {
			t.Error("one connection too many")
		}
		feedback.Close()
		synctest.Wait()
		another := dialOld(t, apple, b, b.Gateway)
		for _, o := range []*old{gateway, another} {
			o.send(good(1))
			o.wantSilence()
		}
		if st := apple.Stats().Binary; st.ConnectionsRefused != 1 || st.Accepted != 2 {
			t.Errorf("%+v", st)
		}
	})
}

// TestBinaryConnections: what the connections say about themselves.
func TestBinaryConnections(t *testing.T) {
	apple, b := startOld(t)
	o := dialOld(t, apple, b, b.Gateway)
	o.send(good(1), good(2))
	r := connect(t, apple)
	defer r.nc.Close()
	apple.WaitForPush(t, sim.Filter{DeviceToken: deviceToken(2)})
	list := apple.Connections()
	if len(list) != 2 || list[0].Protocol != sim.ProtocolBinary || list[0].UID != apple.Topic || list[0].Requests != 2 || list[1].Protocol != sim.ProtocolHTTP2 {
		t.Errorf("%+v", list)
	}
	if apple.BinaryEndpoint() != b.Gateway || apple.FeedbackEndpoint() != b.Feedback || apple.Server.Endpoint() != apple.Addr {
		t.Errorf("%s %s", apple.BinaryEndpoint(), apple.FeedbackEndpoint())
	}
}

// TestBinaryIdleMemory: thousands of connections on which nothing happens cost
// little. The figure counts both ends, of which the client is the larger.
func TestBinaryIdleMemory(t *testing.T) {
	const count = 300
	apple := apnstest.StartMem(t, func(c *sim.Config) { c.Lean = true })
	b := apple.StartBinary(t)
	before := memory()
	olds := make([]*old, count)
	for i := range olds {
		olds[i] = dialOld(t, apple, b, b.Gateway)
		olds[i].send(good(1))
	}
	await.Until(t, "all connections to be used", func() bool { return apple.Stats().Binary.Accepted >= count })
	each := (memory() - before) / count
	t.Logf("%d bytes for each connection, both ends", each)
	if each > 64<<10 {
		t.Errorf("%d bytes for each connection, both ends", each)
	}
	runtime.KeepAlive(olds)
}

func memory() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}

func TestBinaryConfigThatMakesNoSense(t *testing.T) {
	_, err := sim.New(sim.Config{
		Binary:  sim.BinaryConfig{FrameTimeout: -1, MaxConnections: -1, MaxPayload: 70_000, FeedbackLimit: -1},
		Guesses: sim.Guesses{Binary: sim.BinaryGuesses{FeedbackRemoval: "later"}},
	})
	for _, want := range []string{"Binary.FrameTimeout", "Binary.MaxConnections", "Binary.MaxPayload", "Binary.FeedbackLimit", "FeedbackRemoval"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %s", err, want)
		}
	}
}
