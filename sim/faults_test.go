package sim_test

import (
	"crypto/tls"
	"errors"
	"io"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"aviso.example/apnstest"
	"aviso.example/sim"
)

// faultCase shows one fault at the wire, in virtual time.
type faultCase struct {
	fault sim.Fault
	run   func(t *testing.T, apns *apnstest.Server)
}

func u32(n uint32) *uint32 { return &n }

func code(c http2.ErrCode) *http2.ErrCode { return &c }

// connect dials, authenticates with one push and returns with everything read.
// The faults under test come after that first push.
func connect(t *testing.T, apns *apnstest.Server) *raw {
	t.Helper()
	r, _ := dialRaw(t, apns)
	if a := r.answer(r.push()); a.status != "200" {
		t.Fatalf("first push: %+v", a)
	}
	return r
}

func outcomes(apns *apnstest.Server) (list []sim.Outcome) {
	for _, p := range apns.Pushes(sim.Filter{}) {
		list = append(list, p.Outcome)
	}
	return list
}

func wantOutcomes(t *testing.T, apns *apnstest.Server, want ...sim.Outcome) {
	t.Helper()
	if got := outcomes(apns); !slices.Equal(got, want) {
		t.Errorf("outcomes %v, want %v", got, want)
	}
}

var faultCases = map[string]faultCase{
	"delay": {sim.Fault{Kind: sim.FaultDelay, Delay: 7 * time.Second}, func(t *testing.T, apns *apnstest.Server) {
		start := time.Now()
		r := connect(t, apns)
		if took := time.Since(start); took != 7*time.Second {
			t.Errorf("took %v", took)
		}
		a, b := r.push(), r.push()
		r.answer(a)
		r.answer(b)
		if took := time.Since(start); took != 14*time.Second {
			t.Errorf("two at once took until %v", took)
		}
	}},
	"silence": {sim.Fault{Kind: sim.FaultSilence, Nth: 2}, func(t *testing.T, apns *apnstest.Server) {
		r := connect(t, apns)
		r.push()
		r.answer(r.push())
		r.expectSilence(time.Hour)
		wantOutcomes(t, apns, sim.Accepted, sim.NotProcessed, sim.Accepted)
	}},
	"silence after processing": {sim.Fault{Kind: sim.FaultSilence, Nth: 2, Processed: true}, func(t *testing.T, apns *apnstest.Server) {
		r := connect(t, apns)
		r.push()
		r.expectSilence(time.Minute)
		wantOutcomes(t, apns, sim.Accepted, sim.AcceptedUnanswered)
	}},
	"silence on headers": {sim.Fault{Kind: sim.FaultSilence, Nth: 2, OnHeaders: true}, func(t *testing.T, apns *apnstest.Server) {
		r := connect(t, apns)
		r.push()
		r.expectSilence(time.Minute)
	}},
	"reset_stream": {sim.Fault{Kind: sim.FaultResetStream, Nth: 2, Code: code(http2.ErrCodeCancel)}, func(t *testing.T, apns *apnstest.Server) {
		r := connect(t, apns)
		r.expectReset(r.push(), http2.ErrCodeCancel)
		if a := r.answer(r.push()); a.status != "200" {
			t.Error(a)
		}
	}},
	"reset_stream burst": {sim.Fault{Kind: sim.FaultResetStream, Every: 3, Burst: 2, After: 1, Code: code(http2.ErrCodeRefusedStream)}, func(t *testing.T, apns *apnstest.Server) {
		r := connect(t, apns)
		for _, refused := range []bool{false, false, true, true, false, true, true} {
			if id := r.push(); refused {
				r.expectReset(id, http2.ErrCodeRefusedStream)
			} else {
				r.answer(id)
			}
		}
		if st := apns.Stats(); st.Refused != 4 || st.Accepted != 4 {
			t.Errorf("%+v", st)
		}
	}},
	"reset_stream on headers": {sim.Fault{Kind: sim.FaultResetStream, Nth: 2, OnHeaders: true, Code: code(http2.ErrCodeRefusedStream)}, func(t *testing.T, apns *apnstest.Server) {
		r := connect(t, apns)
		id := r.open()
		r.expectReset(id, http2.ErrCodeRefusedStream)
		r.must(r.fr.WriteData(id, true, []byte(smallPayload))) // crossed on the wire: no error
		r.answer(r.push())
	}},
	"answer": {sim.Fault{Kind: sim.FaultAnswer, Reason: "ServiceUnavailable", After: 1, Count: 2, RetryAfter: "30"}, func(t *testing.T, apns *apnstest.Server) {
		r := connect(t, apns)
		for range 2 {
			if a := r.answer(r.push()); a.status != "503" || a.reason() != "ServiceUnavailable" || a.header["retry-after"] != "30" {
				t.Error(a)
			}
		}
		if a := r.answer(r.push()); a.status != "200" {
			t.Error(a)
		}
	}},
	"answer with any status": {sim.Fault{Kind: sim.FaultAnswer, Status: 418, Nth: 2}, func(t *testing.T, apns *apnstest.Server) {
		r := connect(t, apns)
		if a := r.answer(r.push()); a.status != "418" || a.body != "" {
			t.Error(a)
		}
	}},
	"goaway": {sim.Fault{Kind: sim.FaultGoAway, Nth: 2, Reason: "Shutdown", Timestamp: 5}, func(t *testing.T, apns *apnstest.Server) {
		r := connect(t, apns)
		id := r.push()
		late := r.push()
		g := r.expectGoAway()
		if g != (goAway{id, http2.ErrCodeNo, `{"reason":"Shutdown","timestamp":5}`}) {
			t.Errorf("%+v", g)
		}
		if a := r.answer(id); a.status != "200" {
			t.Error(a)
		}
		r.expectEnd()
		_ = late
		wantOutcomes(t, apns, sim.Accepted, sim.Accepted) // the late one was never seen
	}},
	"goaway with last id 0, plain text, twice": {sim.Fault{
		Kind: sim.FaultGoAway, Nth: 2, LastStream: u32(0), Code: code(http2.ErrCodeRefusedStream), Debug: "Maximum active streams violated for this endpoint.", Double: true,
	}, func(t *testing.T, apns *apnstest.Server) {
		r := connect(t, apns)
		r.push()
		first, second := r.expectGoAway(), r.expectGoAway()
		if first.last != 0 || first.code != http2.ErrCodeRefusedStream || !strings.HasPrefix(first.debug, "Maximum active") || second.debug != "" {
			t.Errorf("%+v %+v", first, second)
		}
		if err := r.expectEnd(); !errors.Is(err, io.EOF) {
			t.Errorf("end: %v", err)
		}
		wantOutcomes(t, apns, sim.Accepted, sim.NotProcessed)
	}},
	"close": {sim.Fault{Kind: sim.FaultClose, Nth: 2}, func(t *testing.T, apns *apnstest.Server) {
		r := connect(t, apns)
		r.push()
		if err := r.expectEnd(); errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("end: %v", err)
		}
	}},
	"reset_connection": {sim.Fault{Kind: sim.FaultResetConnection, Nth: 2, Processed: true}, func(t *testing.T, apns *apnstest.Server) {
		r := connect(t, apns)
		r.push()
		if err := r.expectEnd(); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("end: %v", err)
		}
		wantOutcomes(t, apns, sim.Accepted, sim.AcceptedUnanswered)
	}},
	"half_open": {sim.Fault{Kind: sim.FaultHalfOpen, Nth: 2}, func(t *testing.T, apns *apnstest.Server) {
		r := connect(t, apns)
		r.push()
		r.must(r.fr.WritePing(false, [8]byte{1}))
		for range 1000 { // it goes on taking what is written
			r.push()
		}
		r.expectSilence(24 * time.Hour)
	}},
	"settings": {sim.Fault{Kind: sim.FaultSettings, Nth: 2, Settings: sim.SettingsChange{MaxStreams: u32(1)}, RestoreAfter: time.Minute}, func(t *testing.T, apns *apnstest.Server) {
		r := connect(t, apns)
		var open []uint32
		for range 3 { // not complete when the limit drops
			open = append(open, r.open())
		}
		id := r.push()
		if s := r.settings(); s[http2.SettingMaxConcurrentStreams] != 1 {
			t.Errorf("%v", s)
		}
		// The newest go first, and the request that is complete is answered.
		r.expectReset(open[2], http2.ErrCodeRefusedStream)
		r.expectReset(open[1], http2.ErrCodeRefusedStream)
		r.expectReset(open[0], http2.ErrCodeRefusedStream)
		if a := r.answer(id); a.status != "200" {
			t.Error(a)
		}
		r.open()
		r.expectReset(r.open(), http2.ErrCodeRefusedStream)
		start := time.Now()
		r.nc.SetReadDeadline(time.Now().Add(time.Hour))
		for {
			f, err := r.fr.ReadFrame()
			r.must(err)
			if s, ok := f.(*http2.SettingsFrame); ok && !s.IsAck() {
				if v, _ := s.Value(http2.SettingMaxConcurrentStreams); v != 1000 {
					t.Errorf("restored to %d", v)
				}
				break
			}
		}
		if took := time.Since(start); took != time.Minute {
			t.Errorf("restored after %v", took)
		}
	}},
	"clock_skew": {sim.Fault{Kind: sim.FaultClockSkew, Nth: 2, Skew: 2 * time.Hour}, func(t *testing.T, apns *apnstest.Server) {
		r := connect(t, apns)
		if a := r.answer(r.push()); a.reason() != "ExpiredProviderToken" {
			t.Error(a)
		}
		if a := r.answer(r.push()); a.status != "200" {
			t.Error(a)
		}
	}},
	"informational": {sim.Fault{Kind: sim.FaultInformational, Status: 100}, func(t *testing.T, apns *apnstest.Server) {
		r, _ := dialRaw(t, apns)
		if a := r.answer(r.push()); a.status != "200" || !slices.Equal(a.early, []string{"100"}) {
			t.Error(a)
		}
	}},
	"trailers": {sim.Fault{Kind: sim.FaultTrailers}, func(t *testing.T, apns *apnstest.Server) {
		r, _ := dialRaw(t, apns)
		if a := r.answer(r.push()); a.status != "200" || a.trailer["x-simulator"] != "trailer" {
			t.Error(a)
		}
		if a := r.answer(r.push("apns-topic", "")); a.reason() != "MissingTopic" || a.trailer["x-simulator"] != "trailer" {
			t.Error(a)
		}
	}},
	"padding": {sim.Fault{Kind: sim.FaultPadding}, func(t *testing.T, apns *apnstest.Server) {
		r, _ := dialRaw(t, apns)
		if a := r.answer(r.push("apns-topic", "")); a.reason() != "MissingTopic" || a.padded != 2 {
			t.Error(a)
		}
	}},
	"continuation": {sim.Fault{Kind: sim.FaultContinuation}, func(t *testing.T, apns *apnstest.Server) {
		r, _ := dialRaw(t, apns)
		meta := r.fr.ReadMetaHeaders
		r.push("apns-topic", "")
		r.fr.ReadMetaHeaders = nil
		var kinds []string
		for len(kinds) < 4 {
			f := r.read()
			if k := f.Header().Type; k != http2.FrameSettings {
				kinds = append(kinds, k.String())
			}
		}
		if got := strings.Join(kinds, " "); got != "HEADERS CONTINUATION CONTINUATION DATA" {
			t.Error(got)
		}
		_ = meta
	}},
	"retry_after": {sim.Fault{Kind: sim.FaultRetryAfter, RetryAfter: "900"}, func(t *testing.T, apns *apnstest.Server) {
		r, _ := dialRaw(t, apns)
		if a := r.answer(r.push()); a.header["retry-after"] != "900" {
			t.Error(a)
		}
	}},
	"refuse_connection": {sim.Fault{Kind: sim.FaultRefuseConnection, Count: 1}, func(t *testing.T, apns *apnstest.Server) {
		nc, err := apns.Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := tls.Client(nc, apns.TLSConfig()).Handshake(); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("handshake: %v", err)
		}
		connect(t, apns)
	}},
	"stall_handshake": {sim.Fault{Kind: sim.FaultStallHandshake, Count: 1}, func(t *testing.T, apns *apnstest.Server) {
		nc, err := apns.Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		nc.SetDeadline(time.Now().Add(time.Minute))
		start := time.Now()
		if err := tls.Client(nc, apns.TLSConfig()).Handshake(); err == nil || time.Since(start) != time.Minute {
			t.Errorf("handshake: %v after %v", err, time.Since(start))
		}
		nc.Close()
	}},
	"reject_certificate": {sim.Fault{Kind: sim.FaultRejectCertificate}, func(t *testing.T, apns *apnstest.Server) {
		nc, err := apns.Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		cfg := apns.TLSConfig()
		cfg.Certificates = []tls.Certificate{*pushCertificate(t, apns.Topic, nil, "sandbox")}
		tc := tls.Client(nc, cfg)
		defer tc.Close()
		err = tc.Handshake()
		if err == nil { // TLS 1.3 tells the client with its first read
			_, err = tc.Read(make([]byte, 1))
		}
		if err == nil || !strings.Contains(err.Error(), "bad certificate") {
			t.Errorf("handshake: %v", err)
		}
		synctest.Wait()
		if st := apns.Stats(); st.HandshakeFailures != 1 {
			t.Errorf("%+v", st)
		}
	}},
	"slow_settings": {sim.Fault{Kind: sim.FaultSlowSettings, Delay: 9 * time.Second}, func(t *testing.T, apns *apnstest.Server) {
		start := time.Now()
		dialRaw(t, apns)
		if took := time.Since(start); took != 9*time.Second {
			t.Errorf("took %v", took)
		}
	}},
	"initial_settings": {sim.Fault{Kind: sim.FaultInitialSettings, Settings: sim.SettingsChange{InitialWindow: u32(1), MaxStreams: u32(7)}}, func(t *testing.T, apns *apnstest.Server) {
		r, s := dialRaw(t, apns)
		if s[http2.SettingInitialWindowSize] != 1 || s[http2.SettingMaxConcurrentStreams] != 7 {
			t.Errorf("%v", s)
		}
		// A byte at a time, each after the update for the one before.
		id := r.open()
		for i := range smallPayload {
			r.must(r.fr.WriteData(id, i == len(smallPayload)-1, []byte{smallPayload[i]}))
			for i < len(smallPayload)-1 {
				if w, ok := r.read().(*http2.WindowUpdateFrame); ok && w.StreamID == id {
					if w.Increment != 1 {
						t.Fatalf("update of %d", w.Increment)
					}
					break
				}
			}
		}
		if a := r.answer(id); a.status != "200" {
			t.Error(a)
		}
		id = r.open()
		r.must(r.fr.WriteData(id, true, []byte(smallPayload)))
		r.expectReset(id, http2.ErrCodeFlowControl)
	}},
	"no_window_updates": {sim.Fault{Kind: sim.FaultNoWindowUpdates}, func(t *testing.T, apns *apnstest.Server) {
		r, _ := dialRaw(t, apns)
		payload := []byte(`"` + strings.Repeat("x", 4000) + `"`)
		sent := 0
		for ; sent+len(payload) <= 65535; sent += len(payload) {
			id := r.open()
			r.must(r.fr.WriteData(id, true, payload))
			for _, f := range r.answer(id).frames {
				if f == "WINDOW_UPDATE" {
					t.Fatal("an update after all")
				}
			}
		}
		id := r.open()
		r.must(r.fr.WriteData(id, true, payload)) // more than the window
		if g := r.expectGoAway(); g.code != http2.ErrCodeFlowControl {
			t.Errorf("%+v", g)
		}
	}},
	"error_limit": {sim.Fault{Kind: sim.FaultErrorLimit, Errors: 10}, func(t *testing.T, apns *apnstest.Server) {
		r := connect(t, apns)
		bad := []string{":path", "/3/device/abcd"} // weighs 4
		if err := apns.Devices().Put(sim.Device{DeviceToken: deviceToken(1), State: sim.Unregistered}, apns.Now()); err != nil {
			t.Fatal(err)
		}
		r.answer(r.push(bad...))
		r.answer(r.push(bad...))
		for range 20 { // 410 is no error
			if a := r.answer(r.push(":path", "/3/device/"+deviceToken(1))); a.status != "410" {
				t.Fatal(a)
			}
		}
		r.answer(r.push("apns-priority", "3"))
		r.answer(r.push("apns-priority", "3"))
		if g := r.expectGoAway(); g.last == 0 {
			t.Errorf("%+v", g)
		}
		r.expectEnd()
	}},
}

func TestEveryFault(t *testing.T) {
	shown := map[sim.FaultKind]bool{}
	for name, c := range faultCases {
		shown[c.fault.Kind] = true
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				apns := apnstest.StartMem(t, func(cfg *sim.Config) { cfg.IdleTimeout = -1 })
				id := apns.AddFault(t, c.fault)
				c.run(t, apns)
				if f := apns.Faults()[0]; f.Fired == 0 || f.ID != id {
					t.Errorf("the fault never fired: %+v", f)
				}
			})
		})
	}
	for _, c := range oldCases {
		shown[c.fault.Kind] = true
	}
	for _, kind := range sim.FaultKinds() {
		if !shown[kind] {
			t.Errorf("%s is shown by no test", kind)
		}
	}
}

func TestFaultsNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		apns := apnstest.StartMem(t)
		r := connect(t, apns)
		other := connect(t, apns)
		apns.AddFault(t, sim.Fault{Kind: sim.FaultGoAway, Now: true, Connection: 1, Debug: "bye"})
		if g := r.expectGoAway(); g != (goAway{1, http2.ErrCodeNo, "bye"}) {
			t.Errorf("%+v", g)
		}
		r.expectEnd()
		apns.AddFault(t, sim.Fault{Kind: sim.FaultSettings, Now: true, Settings: sim.SettingsChange{MaxStreams: u32(1)}})
		if s := other.settings(); s[http2.SettingMaxConcurrentStreams] != 1 {
			t.Errorf("%v", s)
		}
		apns.AddFault(t, sim.Fault{Kind: sim.FaultHalfOpen, Now: true})
		other.push()
		other.expectSilence(time.Hour)
		if n := len(apns.Faults()); n != 0 {
			t.Errorf("%d faults kept", n)
		}
	})
}

// The same seed draws the same lots for the same connection.
func TestProbabilityIsRepeatable(t *testing.T) {
	draw := func(seed uint64) (list string) {
		synctest.Test(t, func(t *testing.T) {
			apns := apnstest.StartMem(t, func(c *sim.Config) { c.Seed = seed })
			r := connect(t, apns)
			apns.AddFault(t, sim.Fault{Kind: sim.FaultAnswer, Status: 503, Probability: 0.3})
			for range 100 {
				list += r.answer(r.push("apns-id", longID(1))).status[:1]
			}
		})
		return list
	}
	a, b, c := draw(1), draw(1), draw(2)
	if a != b {
		t.Errorf("the same seed gave\n%s\n%s", a, b)
	}
	if a == c {
		t.Error("another seed gave the same")
	}
	if n := strings.Count(a, "5"); n < 15 || n > 45 {
		t.Errorf("%d of 100 at 0.3", n)
	}
}

func TestCountingOfFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		apns := apnstest.StartMem(t)
		a, b := connect(t, apns), connect(t, apns)
		apns.AddFault(t, sim.Fault{Kind: sim.FaultAnswer, Status: 500, PerConnection: true, Nth: 2, Topic: apns.Topic})
		apns.AddFault(t, sim.Fault{Kind: sim.FaultAnswer, Status: 503, For: time.Minute, DeviceToken: strings.ToUpper(deviceToken(9))})
		for _, r := range []*raw{a, b} {
			got := ""
			for range 3 {
				got += r.answer(r.push()).status[:1]
			}
			if got != "252" {
				t.Errorf("second on each connection: %s", got)
			}
		}
		nine := []string{":path", "/3/device/" + deviceToken(9)}
		if s := a.answer(a.push(nine...)).status; s != "503" {
			t.Error(s)
		}
		time.Sleep(time.Minute)
		if s := a.answer(a.push(nine...)).status; s != "200" {
			t.Error(s)
		}
	})
}

func TestRoundTrip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		apns := apnstest.StartMem(t, func(c *sim.Config) { c.RoundTrip = 50 * time.Millisecond })
		start := time.Now()
		r, _ := dialRaw(t, apns)
		r.answer(r.push())
		if took := time.Since(start); took != 100*time.Millisecond {
			t.Errorf("SETTINGS and one answer took %v", took)
		}
		var ids []uint32
		for range 100 {
			ids = append(ids, r.push())
		}
		for _, id := range ids {
			r.answer(id)
		}
		if took := time.Since(start); took != 150*time.Millisecond {
			t.Errorf("a hundred at once took until %v", took)
		}
	})
}

func TestFaultsAreValidated(t *testing.T) {
	apns := apnstest.Start(t)
	for want, f := range map[string]sim.Fault{
		"kind is":           {Kind: "earthquake"},
		"exclude":           {Kind: sim.FaultSilence, Nth: 1, Every: 1},
		"probability":       {Kind: sim.FaultSilence, Probability: 2},
		"needs delay":       {Kind: sim.FaultDelay},
		"status":            {Kind: sim.FaultAnswer, Reason: "NoSuchWord"},
		"at least one":      {Kind: sim.FaultSettings},
		"hits connections":  {Kind: sim.FaultSlowSettings, Delay: 1, Topic: "x"},
		"now is possible":   {Kind: sim.FaultAnswer, Status: 500, Now: true},
		"on_headers":        {Kind: sim.FaultAnswer, Status: 500, OnHeaders: true},
		"processed is":      {Kind: sim.FaultGoAway, Processed: true},
		"not both":          {Kind: sim.FaultGoAway, Debug: "x", Reason: "Shutdown"},
		"burst needs":       {Kind: sim.FaultSilence, Burst: 3},
		"cannot be negativ": {Kind: sim.FaultSilence, Count: -1},
	} {
		if _, err := apns.Server.AddFault(f); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", f, err, want)
		}
	}
	if err := apns.SetFaults(sim.Fault{Kind: sim.FaultSilence}, sim.Fault{Kind: "?"}); err == nil || len(apns.Faults()) != 0 {
		t.Errorf("%v, %d kept", err, len(apns.Faults()))
	}
}
