package legacy_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"aviso.example/apns"
	"aviso.example/apnstest"
	"aviso.example/auth"
	"aviso.example/legacy"
	"aviso.example/sim"
)

// The tests in this file have the simulator for a peer, whose decoder and judge
// are not ours: it was written from the same description by itself.

// clientOf is a client of a simulator.
func clientOf(t testing.TB, apple *apnstest.Server, old *apnstest.Binary, change func(*legacy.Config)) *legacy.Client {
	t.Helper()
	p := &peer{dial: old.DialContext}
	return newClient(t, p, func(cfg *legacy.Config) {
		cfg.Certificate, cfg.ExtraRoots = must(auth.ParseCertificate(old.CertificatePEM, "")), apple.CAPEM
		cfg.Endpoint = old.Gateway
		if change != nil {
			change(cfg)
		}
	})
}

// tally counts what the simulator took, by the number in the payload.
func tally(apple *apnstest.Server) (taken map[int]int) {
	taken = map[int]int{}
	for _, p := range apple.Pushes(sim.Filter{Protocol: sim.ProtocolBinary}) {
		if p.Outcome == sim.Accepted || p.Outcome == sim.AcceptedUnanswered {
			taken[number(string(p.Payload))]++
		}
	}
	return taken
}

// isBad makes one device token in a hundred a bad one.
func isBad(i int) bool { return i%100 == 37 }

// mark has the simulator reject the bad ones, each for one of two reasons: it
// belongs to the other environment, or to another app.
func mark(t testing.TB, apple *apnstest.Server, total int) {
	t.Helper()
	for i := range total {
		d := sim.Device{DeviceToken: fmt.Sprintf("%064x", i)}
		switch {
		case !isBad(i):
			continue
		case i%200 == 37:
			d.Environment = sim.Production
		default:
			d.Topics = []string{"com.example.other"}
		}
		if err := apple.PutDevice(d); err != nil {
			t.Fatal(err)
		}
	}
}

// wantExact holds the outcomes against what the simulator took: each good one
// once, each bad one never.
func wantExact(t *testing.T, apple *apnstest.Server, results map[int]apns.Result, total int) {
	t.Helper()
	taken := tally(apple)
	if len(results) != total {
		t.Errorf("%d outcomes of %d", len(results), total)
	}
	for i := range total {
		r := results[i]
		switch {
		case isBad(i):
			if wantStatus(t, r.Err, legacy.StatusInvalidDeviceToken); taken[i] > 0 {
				t.Errorf("%d is bad and was taken %d times", i, taken[i])
			}
		case r.Outcome != apns.Accepted || taken[i] != 1:
			t.Errorf("%d: %v %v, taken %d times", i, r.Outcome, r.Err, taken[i])
		}
	}
}

// TestSimulator sends 10,000 notifications of which 1 % are bad.
func TestSimulator(t *testing.T) {
	virtually(t, func(t *testing.T) {
		const total = 10_000
		apple := apnstest.StartMem(t)
		client := clientOf(t, apple, apple.StartBinary(t), nil)
		mark(t, apple, total)
		results := pushAll(t.Context(), client, 0, total)
		wantExact(t, apple, results, total)
		st := apple.Stats().Binary
		if st.Rejected != total/100 || st.Packets != total/100 || st.ByStatus["8"] != total/100 {
			t.Errorf("%+v", st)
		}
		if late := client.Stats().Late; late > 0 {
			t.Errorf("%d called accepted too early", late)
		}
	})
}

// TestSimulatorSockets is the same over loopback, where a reset would destroy a
// packet and time is real.
func TestSimulatorSockets(t *testing.T) {
	const total = 1938 // the last one is bad, so that nothing has to settle by time
	apple := apnstest.Start(t)
	client := clientOf(t, apple, apple.StartBinary(t), func(c *legacy.Config) { c.SettleTime = time.Hour })
	mark(t, apple, total)
	wantExact(t, apple, pushAll(t.Context(), client, 0, total), total)
}

// TestSimulatorFaults has the simulator misbehave while one in a hundred is bad.
// As long as each packet arrives and is true, nothing is lost and nothing comes
// twice; when one does not, nobody is told a lie.
func TestSimulatorFaults(t *testing.T) {
	const total = 1000
	identifier, zero := uint32(3_000_000_000), uint32(0)
	for name, c := range map[string]struct {
		faults []sim.Fault
		exact  bool // the packets are true and arrive
	}{
		"packets late":               {[]sim.Fault{{Kind: sim.FaultDelayPacket, Delay: 800 * time.Millisecond, Jitter: 2 * time.Second}}, true},
		"reading slowly":             {[]sim.Fault{{Kind: sim.FaultSlowReading, Bytes: 4096, Delay: 5 * time.Millisecond}}, true},
		"shutdown now and then":      {[]sim.Fault{{Kind: sim.FaultErrorPacket, BinaryStatus: new(uint8(10)), Every: 150, Processed: true}}, true},
		"shutdown before taking":     {[]sim.Fault{{Kind: sim.FaultErrorPacket, BinaryStatus: new(uint8(10)), Every: 150, After: 1}}, true},
		"trouble of the server":      {[]sim.Fault{{Kind: sim.FaultErrorPacket, BinaryStatus: new(uint8(1)), Every: 70, Count: 3}, {Kind: sim.FaultErrorPacket, BinaryStatus: new(uint8(255)), Every: 90, Count: 3}}, true},
		"connections refused":        {[]sim.Fault{{Kind: sim.FaultRefuseConnection, Probability: 0.3, Protocol: sim.ProtocolBinary}}, true},
		"packets lost":               {[]sim.Fault{{Kind: sim.FaultCutPacket, Every: 3}}, false},
		"packets cut":                {[]sim.Fault{{Kind: sim.FaultCutPacket, Bytes: 5, Every: 3}}, false},
		"resets instead":             {[]sim.Fault{{Kind: sim.FaultResetAfterPacket, Every: 2}}, false},
		"identifier nobody gave":     {[]sim.Fault{{Kind: sim.FaultPacketIdentifier, Identifier: &identifier, Every: 3}}, false},
		"identifier 0":               {[]sim.Fault{{Kind: sim.FaultPacketIdentifier, Identifier: &zero, Every: 3}}, false},
		"closed without a word":      {[]sim.Fault{{Kind: sim.FaultClose, Every: 151}}, false},
		"closed after taking it":     {[]sim.Fault{{Kind: sim.FaultClose, Every: 151, Processed: true}}, false},
		"reset":                      {[]sim.Fault{{Kind: sim.FaultResetConnection, Every: 151}}, false},
		"shutdown that names nobody": {[]sim.Fault{{Kind: sim.FaultErrorPacket, BinaryStatus: new(uint8(10)), Identifier: &identifier, Every: 151, After: 50}}, false},
		"no errors, yet it hangs up": {[]sim.Fault{{Kind: sim.FaultErrorPacket, BinaryStatus: new(uint8(0)), Every: 151, Processed: true}}, true},
		"everything at once": {[]sim.Fault{
			{Kind: sim.FaultClose, Probability: 0.005}, {Kind: sim.FaultCutPacket, Probability: 0.3, Bytes: 2},
			{Kind: sim.FaultDelayPacket, Probability: 0.5, Delay: time.Second, Jitter: time.Second},
			{Kind: sim.FaultErrorPacket, BinaryStatus: new(uint8(10)), Probability: 0.005, Processed: true},
			{Kind: sim.FaultErrorPacket, BinaryStatus: new(uint8(1)), Probability: 0.005},
			{Kind: sim.FaultResetConnection, Probability: 0.003, Processed: true, Protocol: sim.ProtocolBinary},
			{Kind: sim.FaultRefuseConnection, Probability: 0.2, Protocol: sim.ProtocolBinary},
			{Kind: sim.FaultSlowReading, Probability: 0.2, Bytes: 4096, Delay: 3 * time.Millisecond},
		}, false},
		"a status nobody knows, once": {[]sim.Fault{{Kind: sim.FaultErrorPacket, BinaryStatus: new(uint8(9)), Nth: 55}}, true},
	} {
		for _, resend := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, resend unknown %v", name, resend), func(t *testing.T) {
				virtually(t, func(t *testing.T) {
					apple := apnstest.StartMem(t)
					client := clientOf(t, apple, apple.StartBinary(t), func(cfg *legacy.Config) {
						cfg.ResendUnknown, cfg.MaxAttempts = resend, 50
						cfg.Timeout, cfg.ConnectWait = time.Hour, time.Hour
					})
					mark(t, apple, total)
					for _, f := range c.faults {
						apple.AddFault(t, f)
					}
					results := pushAll(t.Context(), client, 0, total)
					if c.exact {
						wantExact(t, apple, results, total)
					} else {
						wantHonest(t, apple, results, total, resend)
					}
					fired := 0
					for _, f := range apple.Faults() {
						fired += f.Fired
					}
					if fired == 0 {
						t.Error("no fault ever fired")
					}
				})
			})
		}
	}
}

// wantHonest is what holds when nobody can know everything.
func wantHonest(t *testing.T, apple *apnstest.Server, results map[int]apns.Result, total int, resend bool) {
	t.Helper()
	taken := tally(apple)
	unknown := 0
	for i := range total {
		r, n := results[i], taken[i]
		if n > 1 && !resend {
			t.Errorf("%d was taken %d times", i, n)
		}
		switch r.Outcome {
		case apns.Accepted:
			if n == 0 || isBad(i) {
				t.Errorf("%d is called accepted and was taken %d times", i, n)
			}
		case apns.Rejected:
			if n > 0 || !isBad(i) {
				t.Errorf("%d is called rejected and was taken %d times: %v", i, n, r.Err)
			}
		case apns.NotSent:
			t.Errorf("%d was not sent: %v", i, r.Err)
		case apns.Unknown:
			unknown++
		default:
			t.Errorf("%d has no outcome", i)
		}
	}
	if resend == (unknown > 0) {
		t.Errorf("%d outcomes are unknown with ResendUnknown %v", unknown, resend)
	}
}

// TestSimulatorShutdown: the simulator goes away in the middle and says which one
// was the last; another takes the rest. Together they took each one once.
func TestSimulatorShutdown(t *testing.T) {
	virtually(t, func(t *testing.T) {
		const total = 3000
		first, second := apnstest.StartMem(t), apnstest.StartMem(t)
		gone, next := first.StartBinary(t), second.StartBinary(t)
		dials := 0
		p := &peer{dial: gone.DialContext}
		client := newClient(t, p, func(cfg *legacy.Config) {
			cfg.Certificate = must(auth.ParseCertificate(gone.CertificatePEM, ""))
			cfg.ExtraRoots, cfg.Endpoint = slices.Concat(first.CAPEM, second.CAPEM), gone.Gateway
			dial := cfg.DialContext
			cfg.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
				if dials++; dials == 1 {
					return dial(ctx, network, addr)
				}
				return next.DialContext(ctx, network, addr)
			}
		})
		first.AddFault(t, sim.Fault{Kind: sim.FaultSlowReading, Bytes: 8192, Delay: 50 * time.Millisecond})
		go func() {
			time.Sleep(400 * time.Millisecond)
			first.Shutdown(t.Context())
		}()
		results := pushAll(t.Context(), client, 0, total)
		a, b := tally(first), tally(second)
		if len(a) == 0 || len(b) == 0 {
			t.Errorf("one took %d, the other %d", len(a), len(b))
		}
		for i := range total {
			if r := results[i]; r.Outcome != apns.Accepted || a[i]+b[i] != 1 {
				t.Errorf("%d: %v %v, taken %d and %d times", i, r.Outcome, r.Err, a[i], b[i])
			}
		}
	})
}

// TestSimulatorThatForgets: a server that reads and forgets cannot be told from
// one that takes everything. The protocol has no answer to that.
func TestSimulatorThatForgets(t *testing.T) {
	virtually(t, func(t *testing.T) {
		apple := apnstest.StartMem(t)
		client := clientOf(t, apple, apple.StartBinary(t), nil)
		apple.AddFault(t, sim.Fault{Kind: sim.FaultHalfOpen, Nth: 31})
		for i, r := range pushAll(t.Context(), client, 0, 100) {
			if r.Outcome != apns.Accepted {
				t.Errorf("%d: %v", i, r.Err)
			}
		}
		if taken := tally(apple); len(taken) != 30 {
			t.Errorf("%d were taken", len(taken))
		}
	})
}

// TestSimulatorStatuses: what the simulator refuses is what the client says.
func TestSimulatorStatuses(t *testing.T) {
	virtually(t, func(t *testing.T) {
		apple := apnstest.StartMem(t, func(c *sim.Config) { c.Binary.MaxPayload = 100 })
		client := clientOf(t, apple, apple.StartBinary(t), nil)
		for status, n := range map[legacy.Status]*apns.Notification{
			legacy.StatusInvalidDeviceTokenSize: {DeviceToken: strings.Repeat("ab", 40), Payload: []byte(`{}`)},
			legacy.StatusInvalidPayloadSize:     {DeviceToken: strings.Repeat("ab", 32), Payload: fmt.Appendf(nil, `{"n":%100d}`, 1)},
		} {
			_, err := client.Push(t.Context(), n)
			wantStatus(t, err, status)
		}
		receipt, err := client.Push(t.Context(), &apns.Notification{
			DeviceToken: apple.DeviceToken, Payload: []byte(`{"aps":{}}`), Priority: apns.PriorityConserve, Expiration: apns.ExpireImmediately,
		})
		if err != nil {
			t.Fatalf("%v %v", receipt, err)
		}
		p := apple.WaitForPush(t, sim.Filter{DeviceToken: apple.DeviceToken})
		if p.Priority != 5 || p.Expiration == nil || *p.Expiration != 0 || p.Binary.Command != 2 || p.Topic != apple.Topic {
			t.Errorf("%+v", p)
		}
	})
}

// TestSimulatorFeedback: pushes to devices that have gone succeed, and the
// feedback service tells which they were.
func TestSimulatorFeedback(t *testing.T) {
	virtually(t, func(t *testing.T) {
		const total = 1500
		apple := apnstest.StartMem(t)
		old := apple.StartBinary(t)
		client := clientOf(t, apple, old, nil)
		since := time.Now().Add(-time.Hour).Truncate(time.Second)
		for i := range total {
			if i%3 == 0 {
				d := sim.Device{DeviceToken: fmt.Sprintf("%064x", i), State: sim.Unregistered, Since: since}
				if err := apple.PutDevice(d); err != nil {
					t.Fatal(err)
				}
			}
		}
		for i, r := range pushAll(t.Context(), client, 0, total) {
			if r.Outcome != apns.Accepted {
				t.Errorf("%d: %v", i, r.Err)
			}
		}
		cfg := legacy.FeedbackConfig{
			Certificate: must(auth.ParseCertificate(old.CertificatePEM, "")), Endpoint: old.Feedback,
			ExtraRoots: apple.CAPEM, DialContext: old.DialContext,
		}
		i := 0
		for u, err := range legacy.Feedback(t.Context(), cfg) {
			if err != nil {
				t.Fatal(err)
			}
			if u.DeviceToken != fmt.Sprintf("%064x", i) || !u.Since.Equal(since) {
				t.Fatalf("%+v, want device %d", u, i)
			}
			i += 3
		}
		if i != total {
			t.Errorf("%d of %d were told", i/3, total/3)
		}
		synctest.Wait()
		for u, err := range legacy.Feedback(t.Context(), cfg) {
			t.Errorf("told again: %v %v", u, err)
		}
	})
}

// TestSimulatorRefusesCertificates: who is not let in learns it at once, and the
// notification was certainly not sent.
func TestSimulatorRefusesCertificates(t *testing.T) {
	virtually(t, func(t *testing.T) {
		apple := apnstest.StartMem(t)
		client := clientOf(t, apple, apple.StartBinary(t), nil)
		apple.AddFault(t, sim.Fault{Kind: sim.FaultRejectCertificate})
		_, err := client.Push(t.Context(), numbered(1))
		if _, ok := errors.AsType[*apns.NotSentError](err); !ok {
			t.Errorf("%v", err)
		}
		if _, ok := errors.AsType[*apns.ConnectError](err); !ok {
			t.Errorf("%v", err)
		}
	})
}
