package sim_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"aviso.example/apnstest"
	"aviso.example/sim"
)

// h2spec covers RFC 9113 line by line (see docs/simulator-fidelity.md); these
// are the rules that matter to a sender, and the peers that mean harm.

func TestLimitRisesWithTheFirstProviderToken(t *testing.T) {
	apns := apnstest.Start(t)
	r, s := dialRaw(t, apns)
	if s[http2.SettingMaxConcurrentStreams] != 1 || s[http2.SettingMaxHeaderListSize] != 8000 || s[http2.SettingInitialWindowSize] != 65535 {
		t.Errorf("first SETTINGS %v", s)
	}
	if a := r.answer(r.push("authorization", "bearer nonsense")); a.reason() != "InvalidProviderToken" || a.frames[0] != "SETTINGS" {
		t.Errorf("%+v", a) // that SETTINGS is the ACK
	}
	first := r.open()
	r.expectReset(r.push(), http2.ErrCodeRefusedStream)
	r.must(r.fr.WriteData(first, true, []byte(smallPayload)))
	if s := r.settings(); s[http2.SettingMaxConcurrentStreams] != 1000 {
		t.Errorf("second SETTINGS %v", s)
	}
	r.answer(first)
	a, b := r.open(), r.open()
	r.must(r.fr.WriteData(a, true, []byte(smallPayload)))
	r.answer(a)
	r.must(r.fr.WriteData(b, true, []byte(smallPayload)))
	r.answer(b)
}

func TestLimitFromAck(t *testing.T) {
	apns := apnstest.Start(t)
	r := dialOnly(t, apns, nil)
	r.preface()
	a, b := r.open(), r.open() // crossing with the first SETTINGS
	r.settings()
	r.expectReset(r.open(), http2.ErrCodeRefusedStream)
	for _, id := range []uint32{a, b} {
		r.must(r.fr.WriteData(id, true, []byte(smallPayload)))
		if res := r.answer(id); res.status != "200" {
			t.Errorf("%+v", res)
		}
	}
	if list := apns.Pushes(sim.Filter{}); len(list) != 2 || len(list[0].Remarks) != 0 || len(list[1].Remarks) != 1 {
		t.Errorf("%+v", list)
	}
}

// With LimitAtOnce, what crosses with the first SETTINGS is held to them.
func TestLimitAtOnce(t *testing.T) {
	apns := apnstest.Start(t, func(c *sim.Config) { c.Guesses.LimitAtOnce = true })
	r := dialOnly(t, apns, nil)
	r.preface()
	r.open()
	b := r.open()
	r.settings()
	r.expectReset(b, http2.ErrCodeRefusedStream)
}

// Shutdown meets connections at every stage.
func TestShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		apns := apnstest.StartMem(t)
		nc, err := apns.Dial(t.Context()) // not even TLS
		if err != nil {
			t.Fatal(err)
		}
		dialOnly(t, apns, nil).nc.(*tls.Conn).Handshake() // no preface
		swallowed := connect(t, apns)
		apns.AddFault(t, sim.Fault{Kind: sim.FaultHalfOpen, Now: true})
		apns.AddFault(t, sim.Fault{Kind: sim.FaultDelay, Delay: 3 * time.Second})
		busy, _ := dialRaw(t, apns)
		id := busy.push()
		synctest.Wait()
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		done := make(chan error)
		go func() { done <- apns.Shutdown(ctx) }()
		if g := busy.expectGoAway(); g.last != id {
			t.Errorf("%+v", g)
		}
		if a := busy.answer(id); a.status != "200" || time.Since(start) != 3*time.Second {
			t.Errorf("%+v after %v", a, time.Since(start))
		}
		busy.expectEnd()
		// The half-open connection holds out until the context ends.
		if err := <-done; !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 5*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		swallowed.nc.Close()
		nc.Close()
	})
}

func TestOverTheLimitMayBeTheEnd(t *testing.T) {
	apns := apnstest.Start(t, func(c *sim.Config) { c.Guesses.GoAwayOverLimit = true })
	r, _ := dialRaw(t, apns)
	first := r.open()
	r.open()
	if g := r.expectGoAway(); g != (goAway{first, http2.ErrCodeRefusedStream, "Maximum active streams violated for this endpoint."}) {
		t.Errorf("%+v", g)
	}
	r.must(r.fr.WriteData(first, true, []byte(smallPayload)))
	r.answer(first)
	r.expectEnd()
}

func TestCertificates(t *testing.T) {
	apns := apnstest.Start(t)
	t.Run("one topic", func(t *testing.T) {
		r := dialOnly(t, apns, pushCertificate(t, apns.Topic, nil, "sandbox"))
		r.preface()
		if s := r.settings(); s[http2.SettingMaxConcurrentStreams] != 1000 {
			t.Errorf("%v", s)
		}
		if a := r.answer(r.push("apns-topic", "", "authorization", "bearer ignored")); a.status != "200" {
			t.Errorf("%+v", a)
		}
		if a := r.answer(r.push("apns-topic", "com.example.other")); a.reason() != "TopicDisallowed" {
			t.Errorf("%+v", a)
		}
		p := apns.WaitForPush(t, sim.Filter{Topic: apns.Topic})
		if p.Credential.Kind != "certificate" || p.Credential.UID != apns.Topic || p.Credential.TeamID != apns.TeamID {
			t.Errorf("%+v", p.Credential)
		}
	})
	t.Run("several topics", func(t *testing.T) {
		r := dialCert(t, apns, pushCertificate(t, apns.Topic, []string{apns.Topic, apns.Topic + ".voip"}, "sandbox", "production"))
		if a := r.answer(r.push("apns-topic", "")); a.reason() != "MissingTopic" {
			t.Errorf("%+v", a)
		}
		if a := r.answer(r.push("apns-topic", apns.Topic+".voip", "apns-push-type", "voip")); a.status != "200" {
			t.Errorf("%+v", a)
		}
	})
	t.Run("environment as an answer", func(t *testing.T) {
		apns := apnstest.Start(t, func(c *sim.Config) { c.Guesses.BadCertificateEnvironmentAnswer = true })
		r := dialCert(t, apns, pushCertificate(t, apns.Topic, nil, "production"))
		if a := r.answer(r.push()); a.status != "403" || a.reason() != "BadCertificateEnvironment" {
			t.Errorf("%+v", a)
		}
	})
	t.Run("unknown authority", func(t *testing.T) {
		apns := apnstest.Start(t, func(c *sim.Config) { c.ClientCAs = apns.RootCAs })
		nc, err := apns.Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		cfg := apns.TLSConfig()
		cfg.Certificates = []tls.Certificate{*pushCertificate(t, apns.Topic, nil, "sandbox")}
		tc := tls.Client(nc, cfg)
		if err = tc.Handshake(); err == nil {
			_, err = tc.Read(make([]byte, 1))
		}
		if err == nil || !strings.Contains(err.Error(), "bad certificate") {
			t.Errorf("%v", err)
		}
	})
	t.Run("one stream first", func(t *testing.T) {
		apns := apnstest.Start(t, func(c *sim.Config) { c.Guesses.CertificateStartsAtOne = true })
		r := dialOnly(t, apns, pushCertificate(t, apns.Topic, nil))
		r.preface()
		if a, b := r.settings(), r.settings(); a[http2.SettingMaxConcurrentStreams] != 1 || b[http2.SettingMaxConcurrentStreams] != 1000 {
			t.Errorf("%v %v", a, b)
		}
	})
}

// An answer waits for the client's windows, and SETTINGS in mid-flight move them.
func TestSmallClientWindows(t *testing.T) {
	apns := apnstest.Start(t)
	r, _ := dialRaw(t, apns, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1})
	id := r.push("apns-topic", "")
	body := ""
	step := 0
	for {
		f := r.read()
		d, ok := f.(*http2.DataFrame)
		if !ok {
			continue
		}
		body += string(d.Data())
		if d.StreamEnded() {
			break
		}
		switch step++; {
		case step < 5:
			if len(d.Data()) != 1 {
				t.Fatalf("%d bytes in a window of 1", len(d.Data()))
			}
			r.must(r.fr.WriteWindowUpdate(id, 1))
		case step == 5:
			r.must(r.fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 8}))
		default:
			r.must(r.fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1000}))
		}
	}
	if body != `{"reason":"MissingTopic"}` {
		t.Error(body)
	}
}

// A client that shrinks its header table is obeyed, in lean mode too, where most
// answers bypass the encoder.
func TestHeaderTableSize(t *testing.T) {
	for _, lean := range []bool{false, true} {
		apns := apnstest.Start(t, func(c *sim.Config) { c.Lean = lean })
		r, _ := dialRaw(t, apns)
		r.answer(r.push("apns-topic", "")) // fills the table
		r.must(r.fr.WriteSettings(http2.Setting{ID: http2.SettingHeaderTableSize, Val: 0}))
		r.fr.ReadMetaHeaders.SetAllowedMaxDynamicTableSize(0)
		for range 3 {
			if a := r.answer(r.push()); a.status != "200" || len(a.header["apns-id"]) != 36 {
				t.Errorf("lean %v: %+v", lean, a)
			}
			if a := r.answer(r.push("apns-topic", "")); a.reason() != "MissingTopic" {
				t.Errorf("lean %v: %+v", lean, a)
			}
		}
	}
}

// Everything a request may legally look like.
func TestUnusualRequests(t *testing.T) {
	apns := apnstest.Start(t)
	r, _ := dialRaw(t, apns)
	r.answer(r.push())

	// Padding, priority, CONTINUATION after every byte, empty DATA, trailers.
	id := r.next
	r.next += 2
	block := append([]byte(nil), r.headers()...)
	r.must(r.fr.WriteHeaders(http2.HeadersFrameParam{
		StreamID: id, BlockFragment: block[:1], PadLength: 255, Priority: http2.PriorityParam{Weight: 7},
	}))
	for i := 1; i < len(block); i++ {
		r.must(r.fr.WriteContinuation(id, i == len(block)-1, block[i:i+1]))
	}
	r.must(r.fr.WriteData(id, false, nil))
	r.must(r.fr.WriteDataPadded(id, false, []byte(smallPayload), make([]byte, 200)))
	r.must(r.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: append([]byte(nil), r.field("x-checksum", "none")...), EndHeaders: true, EndStream: true}))
	if a := r.answer(id); a.status != "200" {
		t.Errorf("%+v", a)
	}
	if p := apns.Pushes(sim.Filter{}); string(p[1].Payload) != smallPayload {
		t.Errorf("%+v", p[1])
	}

	// Malformed ones are stream errors; the connection lives.
	for name, over := range map[string][]string{
		"no scheme":          {":scheme", ""},
		"upper-case name":    {"X-Upper", "1"},
		"connection":         {"connection", "close"},
		"te":                 {"te", "gzip"},
		"line feed in value": {"apns-collapse-id", "a\nb"},
		"content-length":     {"content-length", "7"},
		"unknown pseudo":     {":protocol", "x"},
	} {
		id := r.push(over...)
		r.expectReset(id, http2.ErrCodeProtocol)
		_ = name
	}
	// A header list over 8,000 octets is answered, not fatal.
	if a := r.answer(r.push("x-long", strings.Repeat("v", 9000))); a.status != "431" {
		t.Errorf("%+v", a)
	}
	if a := r.answer(r.push()); a.status != "200" {
		t.Errorf("%+v", a)
	}
	// A body that never ends is answered early and stopped without an error.
	id = r.open()
	stream, conn := 60_000, 40_000 // less than what is left of the windows
	for status := ""; status == ""; {
		for n := min(stream, conn, 16384); n > 0; n = min(stream, conn, 16384) {
			r.must(r.fr.WriteData(id, false, make([]byte, n)))
			stream, conn = stream-n, conn-n
		}
		switch f := r.read().(type) {
		case *http2.WindowUpdateFrame:
			if f.StreamID == 0 {
				conn += int(f.Increment)
			} else {
				stream += int(f.Increment)
			}
		case *http2.MetaHeadersFrame:
			if status = f.PseudoValue("status"); status != "413" {
				t.Errorf("status %s", status)
			}
		}
	}
	r.expectReset(id, http2.ErrCodeNo)
}

func TestHostilePeers(t *testing.T) {
	start := func(t *testing.T) (*apnstest.Server, *raw) {
		apns := apnstest.StartMem(t, func(c *sim.Config) { c.MaxControlFrames = 500 })
		r, _ := dialRaw(t, apns)
		r.answer(r.push())
		return apns, r
	}
	calm := func(t *testing.T, r *raw, flood func(i int) error) {
		t.Helper()
		go func() { // the server's answers must not stop the flood
			for i := range 100_000 {
				if flood(i) != nil {
					return
				}
			}
		}()
		if g := r.expectGoAway(); g.code != http2.ErrCodeEnhanceYourCalm {
			t.Errorf("%+v", g)
		}
		r.expectEnd()
		r.nc.Close()
	}
	attacks := map[string]func(r *raw) func(int) error{
		"ping": func(r *raw) func(int) error {
			return func(int) error { return r.fr.WritePing(false, [8]byte{}) }
		},
		"settings": func(r *raw) func(int) error {
			return func(int) error { return r.fr.WriteSettings() }
		},
		"priority": func(r *raw) func(int) error {
			return func(int) error { return r.fr.WritePriority(1, http2.PriorityParam{StreamDep: 3}) }
		},
		"rapid reset": func(r *raw) func(int) error {
			block := append([]byte(nil), r.headers()...)
			return func(i int) error {
				id := r.next + 2*uint32(i)
				if err := r.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block, EndHeaders: true}); err != nil {
					return err
				}
				return r.fr.WriteRSTStream(id, http2.ErrCodeCancel)
			}
		},
		"empty data": func(r *raw) func(int) error {
			id := r.open()
			return func(int) error { return r.fr.WriteData(id, false, nil) }
		},
		"continuation": func(r *raw) func(int) error {
			return func(i int) error {
				if i == 0 {
					return r.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: r.next, BlockFragment: []byte{0x88}})
				}
				return r.fr.WriteContinuation(r.next, false, nil)
			}
		},
		"header bomb": func(r *raw) func(int) error {
			// One large field in the table, then thousands of references to it.
			block := append([]byte(nil), r.field("x-bomb", strings.Repeat("b", 3000))...)
			block = append(block, bytes.Repeat([]byte{0xbe}, 10_000)...)
			return func(i int) error {
				return r.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: r.next + 2*uint32(i), BlockFragment: block, EndHeaders: true})
			}
		},
		"unknown frames": func(r *raw) func(int) error {
			return func(int) error { return r.fr.WriteRawFrame(0xbe, 0, 0, nil) }
		},
		"window updates": func(r *raw) func(int) error {
			return func(int) error { return r.fr.WriteWindowUpdate(0, 1) }
		},
	}
	for name, attack := range attacks {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, r := start(t)
				calm(t, r, attack(r))
			})
		})
	}
}

func TestSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		apns := apnstest.StartMem(t)
		r, _ := dialRaw(t, apns)
		r.answer(r.push())
		start := time.Now()
		// It asks and never reads: the server first stops reading, then gives up.
		for {
			if _, err := r.nc.Write(bytes.Repeat(pingFrame, 100)); err != nil {
				break
			}
		}
		if took := time.Since(start); took != 30*time.Second {
			t.Errorf("given up after %v", took)
		}
	})
}

var pingFrame = []byte{0, 0, 8, byte(http2.FramePing), 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8}

func TestSlowHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		apns := apnstest.StartMem(t)
		nc, err := apns.Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		io.Copy(io.Discard, nc)
		if took := time.Since(start); took != 10*time.Second {
			t.Errorf("waited %v", took)
		}
		r := dialOnly(t, apns, nil) // TLS, but no preface
		start = time.Now()
		r.expectEnd()
		if took := time.Since(start); took != 10*time.Second {
			t.Errorf("waited %v", took)
		}
	})
}

// Go's TLS lets a client that offers only http/1.1 in, as if it had offered
// nothing; the preface then decides.
func TestHTTP1IsRefused(t *testing.T) {
	apns := apnstest.Start(t)
	for _, offered := range [][]string{nil, {"http/1.1"}} {
		nc, err := apns.Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		cfg := apns.TLSConfig()
		cfg.NextProtos = offered
		r := &raw{t: t, apns: apns, nc: tls.Client(nc, cfg)}
		r.init(r.nc, r.nc)
		io.WriteString(r.nc, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
		if g := r.expectGoAway(); g.code != http2.ErrCodeProtocol || !strings.Contains(g.debug, "HTTP/1.1") {
			t.Errorf("%+v", g)
		}
	}
}

func TestTooManyConnections(t *testing.T) {
	apns := apnstest.Start(t, func(c *sim.Config) { c.MaxConnections = 1 })
	dialRaw(t, apns)
	if nc, err := apns.Dial(t.Context()); err == nil { // the reset may be faster
		defer nc.Close()
		if err := tls.Client(nc, apns.TLSConfig()).Handshake(); err == nil {
			t.Error("a second connection was served")
		}
	}
	if st := apns.Stats(); st.ConnectionsRefused != 1 || st.ConnectionsOpen != 1 {
		t.Errorf("%+v", st)
	}
}

// A request cut off at any byte does nothing and leaves nothing behind.
func TestTruncationAtEveryByte(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		apns := apnstest.StartMem(t, func(c *sim.Config) { c.Cleartext = true })
		var stream bytes.Buffer
		stream.WriteString(http2.ClientPreface)
		r := &raw{t: t, apns: apns, next: 1, bearer: "bearer " + apns.ProviderToken(t)}
		r.init(&stream, &stream)
		r.must(r.fr.WriteSettings())
		r.push()
		whole := stream.Bytes()
		for n := range len(whole) + 1 {
			nc, err := apns.Dial(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := nc.Write(whole[:n]); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			nc.Close()
			synctest.Wait()
			if st := apns.Stats(); st.ConnectionsOpen != 0 {
				t.Fatalf("cut at %d of %d: %+v", n, len(whole), st)
			} else if complete := n == len(whole); (st.Accepted == 1) != complete {
				t.Fatalf("cut at %d of %d: %+v", n, len(whole), st)
			}
		}
	})
}
