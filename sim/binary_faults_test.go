package sim_test

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"aviso.example/apnstest"
	"aviso.example/sim"
)

// oldCase shows one fault of the binary protocol at the wire, in virtual time.
type oldCase struct {
	fault sim.Fault
	run   func(t *testing.T, apple *apnstest.Server, b *apnstest.Binary)
	want  []sim.Outcome
}

// bad is a notification with status 5.
func bad(id uint32) []byte { return usual(id, []byte{1, 2, 3}, "{}") }

// good is one that is taken.
func good(id uint32) []byte { return usual(id, oldDevice(int(id)), fmt.Sprintf(`{"n":%d}`, id)) }

func status(s uint8) *uint8 { return &s }

var oldCases = map[string]oldCase{
	"error_packet": {
		sim.Fault{Kind: sim.FaultErrorPacket, BinaryStatus: status(255), Nth: 3},
		func(t *testing.T, apple *apnstest.Server, b *apnstest.Binary) {
			o := dialOld(t, apple, b, b.Gateway)
			o.send(good(1), good(2), good(3), good(4))
			o.wantPacket(255, 3)
		},
		[]sim.Outcome{sim.Accepted, sim.Accepted, sim.Rejected},
	},
	"error_packet, n times": {
		sim.Fault{Kind: sim.FaultErrorPacket, BinaryStatus: status(1), Count: 2},
		func(t *testing.T, apple *apnstest.Server, b *apnstest.Binary) {
			for range 2 {
				o := dialOld(t, apple, b, b.Gateway)
				o.send(good(1))
				o.wantPacket(1, 1)
			}
			o := dialOld(t, apple, b, b.Gateway)
			o.send(good(1))
			o.wantSilence()
		},
		[]sim.Outcome{sim.Rejected, sim.Rejected, sim.Accepted},
	},
	"error_packet of shutdown": {
		sim.Fault{Kind: sim.FaultErrorPacket, BinaryStatus: status(10), Nth: 2, Processed: true},
		func(t *testing.T, apple *apnstest.Server, b *apnstest.Binary) {
			o := dialOld(t, apple, b, b.Gateway)
			o.send(good(1), good(2), good(3))
			o.wantPacket(10, 2)
		},
		[]sim.Outcome{sim.Accepted, sim.Accepted},
	},
	"error_packet of shutdown before": {
		sim.Fault{Kind: sim.FaultErrorPacket, BinaryStatus: status(10), Nth: 2},
		func(t *testing.T, apple *apnstest.Server, b *apnstest.Binary) {
			o := dialOld(t, apple, b, b.Gateway)
			o.send(good(1), good(2), good(3))
			o.wantPacket(10, 1)
		},
		[]sim.Outcome{sim.Accepted, sim.NotProcessed},
	},
	"error_packet that lies": {
		sim.Fault{Kind: sim.FaultErrorPacket, BinaryStatus: status(8), DeviceToken: deviceToken(2), Identifier: u32(77), Processed: true},
		func(t *testing.T, apple *apnstest.Server, b *apnstest.Binary) {
			o := dialOld(t, apple, b, b.Gateway)
			o.send(good(1), good(2))
			o.wantPacket(8, 77)
		},
		[]sim.Outcome{sim.Accepted, sim.AcceptedUnanswered},
	},
	"error_packet on a bad one": {
		sim.Fault{Kind: sim.FaultErrorPacket, BinaryStatus: status(10), Processed: true},
		func(t *testing.T, apple *apnstest.Server, b *apnstest.Binary) {
			o := dialOld(t, apple, b, b.Gateway)
			o.send(bad(1), good(2))
			o.wantPacket(5, 1)
		},
		[]sim.Outcome{sim.Rejected},
	},
	"delay_packet": {
		sim.Fault{Kind: sim.FaultDelayPacket, Delay: 7 * time.Second, Nth: 1},
		func(t *testing.T, apple *apnstest.Server, b *apnstest.Binary) {
			start := time.Now()
			o := dialOld(t, apple, b, b.Gateway)
			o.send(good(1), bad(2), good(3))
			time.Sleep(time.Second)
			// More than any buffer holds: what comes meanwhile is swallowed.
			o.send(bytes.Repeat(good(4), 20_000))
			o.wantPacket(5, 2)
			if took := time.Since(start); took != 7*time.Second {
				t.Errorf("after %v", took)
			}
		},
		[]sim.Outcome{sim.Accepted, sim.Rejected},
	},
	"cut_packet": {
		sim.Fault{Kind: sim.FaultCutPacket, Bytes: 3},
		func(t *testing.T, apple *apnstest.Server, b *apnstest.Binary) {
			o := dialOld(t, apple, b, b.Gateway)
			o.send(bad(1))
			if got := o.packet(); !bytes.Equal(got, []byte{8, 5, 0}) {
				t.Errorf("%x", got)
			}
		},
		[]sim.Outcome{sim.NotProcessed},
	},
	"cut_packet to nothing": {
		sim.Fault{Kind: sim.FaultCutPacket},
		func(t *testing.T, apple *apnstest.Server, b *apnstest.Binary) {
			o := dialOld(t, apple, b, b.Gateway)
			o.send(good(1), bad(2))
			if got := o.packet(); len(got) > 0 {
				t.Errorf("%x", got)
			}
		},
		[]sim.Outcome{sim.Accepted, sim.NotProcessed},
	},
	"packet_identifier": {
		sim.Fault{Kind: sim.FaultPacketIdentifier, Identifier: u32(0)},
		func(t *testing.T, apple *apnstest.Server, b *apnstest.Binary) {
			o := dialOld(t, apple, b, b.Gateway)
			o.send(bad(9))
			o.wantPacket(5, 0)
		},
		[]sim.Outcome{sim.Rejected},
	},
	"reset_after_packet": {
		sim.Fault{Kind: sim.FaultResetAfterPacket},
		func(t *testing.T, apple *apnstest.Server, b *apnstest.Binary) {
			o := dialOld(t, apple, b, b.Gateway)
			o.send(bad(9))
			o.wantReset()
		},
		[]sim.Outcome{sim.NotProcessed},
	},
	"close": {
		sim.Fault{Kind: sim.FaultClose, Nth: 2},
		func(t *testing.T, apple *apnstest.Server, b *apnstest.Binary) {
			o := dialOld(t, apple, b, b.Gateway)
			o.send(good(1), good(2), good(3))
			if got := o.packet(); len(got) > 0 {
				t.Errorf("%x", got)
			}
		},
		[]sim.Outcome{sim.Accepted, sim.NotProcessed},
	},
	"reset_connection, processed": {
		sim.Fault{Kind: sim.FaultResetConnection, Nth: 2, Processed: true, Protocol: sim.ProtocolBinary},
		func(t *testing.T, apple *apnstest.Server, b *apnstest.Binary) {
			o := dialOld(t, apple, b, b.Gateway)
			o.send(good(1), good(2), good(3))
			o.wantReset()
		},
		[]sim.Outcome{sim.Accepted, sim.AcceptedUnanswered},
	},
	"half_open": {
		sim.Fault{Kind: sim.FaultHalfOpen, Nth: 2},
		func(t *testing.T, apple *apnstest.Server, b *apnstest.Binary) {
			o := dialOld(t, apple, b, b.Gateway)
			o.send(good(1), good(2), bad(3))
			o.send(bytes.Repeat(bad(4), 20_000))
			o.raw.SetReadDeadline(time.Now().Add(10 * time.Hour))
			if n, err := o.Read(make([]byte, 1)); !isTimeout(err) {
				t.Errorf("%d %v", n, err)
			}
		},
		[]sim.Outcome{sim.Accepted, sim.NotProcessed},
	},
	"clock_skew": {
		sim.Fault{Kind: sim.FaultClockSkew, Skew: time.Hour},
		func(t *testing.T, apple *apnstest.Server, b *apnstest.Binary) {
			o := dialOld(t, apple, b, b.Gateway)
			o.send(command1(1, uint32(apple.Now().Add(time.Minute).Unix()), oldDevice(1), "{}"))
			o.wantSilence()
			if p := apple.Pushes(sim.Filter{})[0]; p.Fate != sim.FateDiscarded {
				t.Errorf("%+v", p)
			}
		},
		[]sim.Outcome{sim.Accepted},
	},
	"slow_reading": {
		sim.Fault{Kind: sim.FaultSlowReading, Bytes: 1, Delay: time.Second},
		func(t *testing.T, apple *apnstest.Server, b *apnstest.Binary) {
			start := time.Now()
			o := dialOld(t, apple, b, b.Gateway)
			o.raw.SetDeadline(time.Now().Add(time.Hour))
			o.send(command0(oldDevice(1), "{}"))
			o.wantSilence()
			if took := time.Since(start); took < 30*time.Second || took > 45*time.Second {
				t.Errorf("38 bytes took %v", took)
			}
		},
		[]sim.Outcome{sim.Accepted},
	},
	"refuse_connection": {
		sim.Fault{Kind: sim.FaultRefuseConnection, Protocol: sim.ProtocolBinary},
		func(t *testing.T, apple *apnstest.Server, b *apnstest.Binary) { wantNoConnection(t, apple, b) },
		nil,
	},
	"stall_handshake": {
		sim.Fault{Kind: sim.FaultStallHandshake},
		func(t *testing.T, apple *apnstest.Server, b *apnstest.Binary) { wantNoConnection(t, apple, b) },
		nil,
	},
	"reject_certificate": {
		sim.Fault{Kind: sim.FaultRejectCertificate},
		func(t *testing.T, apple *apnstest.Server, b *apnstest.Binary) {
			if err := wantNoConnection(t, apple, b); !strings.Contains(fmt.Sprint(err), "bad certificate") {
				t.Error(err)
			}
		},
		nil,
	},
	"slow_feedback": {
		sim.Fault{Kind: sim.FaultSlowFeedback, Delay: 9 * time.Second},
		func(t *testing.T, apple *apnstest.Server, b *apnstest.Binary) {
			start := time.Now()
			wantTuples(t, apple, b, nil)
			if took := time.Since(start); took != 9*time.Second {
				t.Errorf("after %v", took)
			}
		},
		nil,
	},
	"cut_feedback": {
		sim.Fault{Kind: sim.FaultCutFeedback, Bytes: 38 + 37, Count: 1},
		func(t *testing.T, apple *apnstest.Server, b *apnstest.Binary) {
			var all []byte
			for n := range 3 {
				addFeedback(t, apple, n)
				all = append(all, tuple(n)...)
			}
			o := dialOld(t, apple, b, b.Feedback)
			if got := o.packet(); !bytes.Equal(got, all[:75]) {
				t.Errorf("%x", got)
			}
			// What was cut is told again, what was whole is not.
			wantTuples(t, apple, b, all[38:])
			wantTuples(t, apple, b, nil)
		},
		nil,
	},
}

// wantNoConnection expects that a handshake fails, at the first read at the
// latest, and returns how.
func wantNoConnection(t *testing.T, apple *apnstest.Server, b *apnstest.Binary) error {
	t.Helper()
	o, err := tryOld(t, apple, b, b.Gateway, b.Certificate)
	if err == nil {
		_, err = o.Read(make([]byte, 1))
	}
	if err == nil || err == io.EOF {
		t.Errorf("a connection (%v)", err)
	}
	return err
}

func TestEveryBinaryFault(t *testing.T) {
	for name, c := range oldCases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				apple := apnstest.StartMem(t, func(cfg *sim.Config) { cfg.Binary.FrameTimeout = time.Hour })
				b := apple.StartBinary(t)
				apple.AddFault(t, c.fault)
				c.run(t, apple, b)
				synctest.Wait()
				if got := outcomes(apple); !slices.Equal(got, c.want) {
					t.Errorf("outcomes %v, want %v", got, c.want)
				}
				if f := apple.Faults()[0]; f.Fired == 0 {
					t.Errorf("the fault never fired: %+v", f)
				}
			})
		})
	}
}

// TestBinaryFaultsNow plays faults on connections on which nothing comes.
func TestBinaryFaultsNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		apple := apnstest.StartMem(t)
		b := apple.StartBinary(t)
		over2 := connect(t, apple) // over HTTP/2
		var olds [4]*old
		for i := range olds {
			olds[i] = dialOld(t, apple, b, b.Gateway)
			olds[i].send(good(uint32(i + 1)))
		}
		synctest.Wait()
		apple.AddFault(t, sim.Fault{Kind: sim.FaultErrorPacket, BinaryStatus: status(10), Now: true, Connection: 2})
		olds[0].wantPacket(10, 1)
		apple.AddFault(t, sim.Fault{Kind: sim.FaultResetConnection, Now: true, Connection: 3})
		olds[1].wantReset()
		apple.AddFault(t, sim.Fault{Kind: sim.FaultClose, Now: true, Protocol: sim.ProtocolBinary})
		for _, o := range olds[2:] {
			if got := o.packet(); len(got) > 0 {
				t.Errorf("%x", got)
			}
		}
		if a := over2.answer(over2.push()); a.status != "200" {
			t.Errorf("the connection over HTTP/2: %+v", a)
		}
	})
}

// TestFaultsStayWithTheirProtocol: a fault that both protocols have hits the one
// that it names, and counts only what it could hit.
func TestFaultsStayWithTheirProtocol(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		apple := apnstest.StartMem(t)
		b := apple.StartBinary(t)
		apple.AddFault(t, sim.Fault{Kind: sim.FaultClose, Protocol: sim.ProtocolHTTP2, Nth: 2})
		apple.AddFault(t, sim.Fault{Kind: sim.FaultDelay, Nth: 2, Delay: time.Hour})
		apple.AddFault(t, sim.Fault{Kind: sim.FaultCutPacket, Nth: 2, Bytes: 1})
		o := dialOld(t, apple, b, b.Gateway)
		o.send(good(1), good(2), good(3), bad(4))
		o.wantPacket(5, 4)
		r := connect(t, apple)
		r.push()
		r.expectEnd()
		o = dialOld(t, apple, b, b.Gateway)
		o.send(bad(1))
		if got := o.packet(); !bytes.Equal(got, []byte{8}) {
			t.Errorf("the second packet is %x", got)
		}
	})
}

func TestBinaryFaultsThatMakeNoSense(t *testing.T) {
	apple := apnstest.Start(t)
	for want, f := range map[string]sim.Fault{
		"error_packet needs binary_status":    {Kind: sim.FaultErrorPacket},
		"binary_status belongs to":            {Kind: sim.FaultClose, BinaryStatus: status(1)},
		"packet_identifier needs identifier":  {Kind: sim.FaultPacketIdentifier},
		"identifier belongs to":               {Kind: sim.FaultCutPacket, Identifier: u32(1)},
		"bytes from 0 to 5":                   {Kind: sim.FaultCutPacket, Bytes: 6},
		"bytes belongs to":                    {Kind: sim.FaultDelayPacket, Delay: 1, Bytes: 1},
		"errors and bytes cannot be negative": {Kind: sim.FaultCutPacket, Bytes: -1},
		"delay_packet needs delay":            {Kind: sim.FaultDelayPacket},
		"slow_reading needs delay":            {Kind: sim.FaultSlowReading},
		"slow_feedback needs delay":           {Kind: sim.FaultSlowFeedback},
		`protocol is "binary"; goaway`:        {Kind: sim.FaultGoAway, Protocol: sim.ProtocolBinary},
		`protocol is "smtp"`:                  {Kind: sim.FaultClose, Protocol: "smtp"},
		"over http2 only":                     {Kind: sim.FaultClose, Protocol: sim.ProtocolBinary, OnHeaders: true},
		"now is possible for":                 {Kind: sim.FaultCutPacket, Now: true},
		"processed is possible for":           {Kind: sim.FaultCutPacket, Processed: true},
	} {
		if _, err := apple.Server.AddFault(f); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", f, err, want)
		}
	}
}
