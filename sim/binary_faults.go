package sim

import (
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"aviso.example/internal/proto"
)

// Faults of the binary protocol alone. Of the others, refuse_connection,
// stall_handshake and reject_certificate hit its connections too, and close
// (without a packet), reset_connection, half_open and clock_skew hit its
// notifications, unless Fault.Protocol says otherwise.
const (
	// FaultErrorPacket answers a notification with an error packet of
	// BinaryStatus, whatever it is. The packet names this notification, or
	// Identifier; with status 10 and 0, which blame nobody, it names the last one
	// that was taken, which is this one if Processed is set. With Now it names the
	// last one.
	FaultErrorPacket FaultKind = "error_packet"
	// FaultSlowReading hits a connection: it waits Delay before each read, and
	// reads at most Bytes (default 16384) at once.
	FaultSlowReading FaultKind = "slow_reading"
	// FaultSlowFeedback hits a connection to the feedback service, which tells
	// nothing for Delay.
	FaultSlowFeedback FaultKind = "slow_feedback"
	// FaultCutFeedback hits a connection to the feedback service, which ends
	// after Bytes, without a goodbye of TLS.
	FaultCutFeedback FaultKind = "cut_feedback"
)

// Faults that hit an error packet that is about to be sent, whatever its cause.
// Nth, Every, After, Burst, Count and Probability count packets, and DeviceToken
// selects by the notification that it rejects.
const (
	// FaultDelayPacket sends it only after Delay, plus up to Jitter. What comes
	// meanwhile is discarded as usual.
	FaultDelayPacket FaultKind = "delay_packet"
	// FaultCutPacket sends its first Bytes only, 0 to 5, and closes.
	FaultCutPacket FaultKind = "cut_packet"
	// FaultPacketIdentifier has it name Identifier.
	FaultPacketIdentifier FaultKind = "packet_identifier"
	// FaultResetAfterPacket closes with a TCP reset right after it, which may
	// destroy it on its way.
	FaultResetAfterPacket FaultKind = "reset_after_packet"
)

var packetKinds = []FaultKind{FaultDelayPacket, FaultCutPacket, FaultPacketIdentifier, FaultResetAfterPacket}

// faultTarget is what a fault hits.
type faultTarget int

const (
	hitsConnections faultTarget = iota
	hitsRequests                // or notifications
	hitsPackets                 // error packets
)

func (f *Fault) target() faultTarget {
	switch {
	case slices.Contains(connectionKinds, f.Kind):
		return hitsConnections
	case slices.Contains(packetKinds, f.Kind):
		return hitsPackets
	}
	return hitsRequests
}

// protocolsOf says which protocols have a kind of fault.
func protocolsOf(kind FaultKind) []Protocol {
	switch kind {
	case FaultRefuseConnection, FaultStallHandshake, FaultRejectCertificate:
		return []Protocol{ProtocolHTTP2, ProtocolBinary, ProtocolFeedback}
	case FaultClose, FaultResetConnection, FaultHalfOpen, FaultClockSkew:
		return []Protocol{ProtocolHTTP2, ProtocolBinary}
	case FaultErrorPacket, FaultSlowReading, FaultDelayPacket, FaultCutPacket, FaultPacketIdentifier, FaultResetAfterPacket:
		return []Protocol{ProtocolBinary}
	case FaultSlowFeedback, FaultCutFeedback:
		return []Protocol{ProtocolFeedback}
	}
	return []Protocol{ProtocolHTTP2}
}

// protocols are those that a fault plays on.
func (f *Fault) protocols() []Protocol {
	if f.Protocol != "" {
		return []Protocol{f.Protocol} // validate has seen that it has the kind
	}
	return protocolsOf(f.Kind)
}

func (f *activeFault) plays(p Protocol) bool { return slices.Contains(f.on, p) }

// validateBinary says what makes no sense in the fields of the binary protocol.
func (f *Fault) validateBinary(bad func(when bool, text string)) {
	has := protocolsOf(f.Kind)
	bad(f.Protocol != "" && !slices.Contains(has, f.Protocol), fmt.Sprintf("protocol is %q; %s is a fault of %v", f.Protocol, f.Kind, has))
	bad(f.OnHeaders && f.Protocol == ProtocolBinary, "on_headers is possible over http2 only")
	bad(f.BinaryStatus != nil && f.Kind != FaultErrorPacket, "binary_status belongs to error_packet")
	bad(f.Identifier != nil && f.Kind != FaultErrorPacket && f.Kind != FaultPacketIdentifier, "identifier belongs to error_packet and packet_identifier")
	bad(f.Bytes != 0 && !slices.Contains([]FaultKind{FaultCutPacket, FaultCutFeedback, FaultSlowReading}, f.Kind), "bytes belongs to cut_packet, cut_feedback and slow_reading")
	switch f.Kind {
	case FaultErrorPacket:
		bad(f.BinaryStatus == nil, "error_packet needs binary_status, such as 1, 10 or 255")
	case FaultPacketIdentifier:
		bad(f.Identifier == nil, "packet_identifier needs identifier; 0 is what a server says that parsed none")
	case FaultCutPacket:
		bad(f.Bytes >= proto.BinaryErrorSize, "cut_packet needs bytes from 0 to 5; the whole packet has 6")
	case FaultDelayPacket:
		bad(f.Delay == 0 && f.Jitter == 0, "delay_packet needs delay or jitter")
	case FaultSlowReading, FaultSlowFeedback:
		bad(f.Delay == 0 && f.Jitter == 0, string(f.Kind)+" needs delay or jitter")
	}
}

// slowReading is FaultSlowReading on a connection.
type slowReading struct {
	bytes int
	delay time.Duration
}

// feedbackFaults hit a connection to the feedback service.
type feedbackFaults struct {
	delay time.Duration
	cut   bool
	bytes int
}

// selects reports whether a fault is for this connection and notification; n is
// nil where there is none.
func (f *activeFault) selects(c *binaryConn, n *binaryNote) bool {
	if !f.plays(ProtocolBinary) || f.OnHeaders || f.ChannelID != "" ||
		f.Connection != 0 && f.Connection != c.id || f.Topic != "" && f.Topic != c.topic {
		return false
	}
	return f.DeviceToken == "" || n != nil && f.DeviceToken == hex.EncodeToString(n.deviceToken)
}

// forNote draws the faults that hit a notification: how far the clock is off, and
// the first of those that take its place or end the connection after it.
func (set *faultSet) forNote(c *binaryConn, n *binaryNote) (skew time.Duration, end *Fault) {
	if !set.busy.Load() {
		return 0, nil
	}
	set.mu.Lock()
	defer set.mu.Unlock()
	for _, f := range set.list {
		if f.hits != hitsRequests || !f.selects(c, n) || !f.fires(c.id, c.rng) {
			continue
		}
		if f.Kind == FaultClockSkew {
			skew += f.Skew
		} else if end == nil {
			end = new(f.Fault)
		}
	}
	return skew, end
}

// shapePacket lets the faults of error packets have their way with one. n is the
// notification that it is about, or nil.
func (set *faultSet) shapePacket(c *binaryConn, n *binaryNote, p *errorPacket) {
	if !set.busy.Load() {
		return
	}
	set.mu.Lock()
	defer set.mu.Unlock()
	for _, f := range set.list {
		if f.hits != hitsPackets || !f.selects(c, n) || !f.fires(c.id, c.rng) {
			continue
		}
		if p.fault == "" {
			p.fault = f.ID
		}
		switch f.Kind {
		case FaultDelayPacket:
			p.delay += f.Delay + jitter(c.rng, f.Jitter)
		case FaultCutPacket:
			p.missing = max(p.missing, proto.BinaryErrorSize-f.Bytes)
		case FaultPacketIdentifier:
			p.identifier = *f.Identifier
		case FaultResetAfterPacket:
			p.reset = true
		}
	}
}
