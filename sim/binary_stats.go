package sim

import (
	"strconv"
	"time"
)

// binaryCounters are what a connection of the binary protocol counts.
type binaryCounters struct {
	Connections         uint64
	FeedbackConnections uint64
	ConnectionsRefused  uint64
	HandshakeFailures   uint64
	Notifications       uint64
	Accepted            uint64
	Rejected            uint64
	NotProcessed        uint64
	Unregistered        uint64
	Packets             uint64
	FeedbackTold        uint64
	byStatus            map[uint8]uint64 // nil until there is something
}

func (c *binaryCounters) begun(p Protocol) {
	if p == ProtocolFeedback {
		c.FeedbackConnections = 1
	} else {
		c.Connections = 1
	}
}

func (c *binaryCounters) judged(outcome Outcome, v *binaryVerdict) {
	c.Notifications++
	switch outcome {
	case Accepted, AcceptedUnanswered:
		c.Accepted++
	case NotProcessed:
		c.NotProcessed++
	case Rejected:
		c.Rejected++
		c.status(v.status, 1)
	}
	if v.dead {
		c.Unregistered++
	}
}

func (c *binaryCounters) status(status uint8, n uint64) {
	if c.byStatus == nil {
		c.byStatus = map[uint8]uint64{}
	}
	c.byStatus[status] += n
}

func (c *binaryCounters) add(o *binaryCounters) {
	c.Connections += o.Connections
	c.FeedbackConnections += o.FeedbackConnections
	c.ConnectionsRefused += o.ConnectionsRefused
	c.HandshakeFailures += o.HandshakeFailures
	c.Notifications += o.Notifications
	c.Accepted += o.Accepted
	c.Rejected += o.Rejected
	c.NotProcessed += o.NotProcessed
	c.Unregistered += o.Unregistered
	c.Packets += o.Packets
	c.FeedbackTold += o.FeedbackTold
	for status, n := range o.byStatus {
		c.status(status, n)
	}
}

// BinaryStats counts what the two ports of the binary protocol did since the
// server began. None of it is in the other fields of Stats but Recorded and
// Devices.
type BinaryStats struct {
	// Connections to the gateway and FeedbackConnections so far, and how many of
	// both are open now.
	Connections         uint64 `json:"connections"`
	FeedbackConnections uint64 `json:"feedback_connections"`
	ConnectionsOpen     int    `json:"connections_open"`
	ConnectionsRefused  uint64 `json:"connections_refused"`
	HandshakeFailures   uint64 `json:"handshake_failures"`
	// Notifications are those that were looked at: Accepted in silence, Rejected
	// with a packet, by its status, or NotProcessed since a fault came first or
	// the packet was lost. What came after a rejected one is discarded uncounted.
	Notifications uint64            `json:"notifications"`
	Accepted      uint64            `json:"accepted"`
	Rejected      uint64            `json:"rejected"`
	NotProcessed  uint64            `json:"not_processed"`
	ByStatus      map[string]uint64 `json:"by_status"`
	// Unregistered are those among the accepted whose device token is dead.
	Unregistered uint64 `json:"unregistered"`
	// Packets are the error packets that were written whole, also those that
	// reject nothing.
	Packets uint64 `json:"packets"`
	// FeedbackWaiting device tokens wait to be read; FeedbackTold were written.
	FeedbackWaiting int    `json:"feedback_waiting"`
	FeedbackTold    uint64 `json:"feedback_told"`
}

// binaryStats sums up; the caller holds the server's lock.
func (s *Server) binaryStats() BinaryStats {
	var sum binaryCounters
	sum.add(&s.binary.past)
	for c := range s.binary.conns {
		c.mu.Lock()
		sum.add(&c.count)
		c.mu.Unlock()
	}
	st := BinaryStats{
		Connections: sum.Connections, FeedbackConnections: sum.FeedbackConnections,
		ConnectionsOpen: len(s.binary.conns), ConnectionsRefused: sum.ConnectionsRefused,
		HandshakeFailures: sum.HandshakeFailures,
		Notifications:     sum.Notifications, Accepted: sum.Accepted, Rejected: sum.Rejected,
		NotProcessed: sum.NotProcessed, ByStatus: map[string]uint64{}, Unregistered: sum.Unregistered,
		Packets: sum.Packets, FeedbackTold: sum.FeedbackTold, FeedbackWaiting: s.binary.feedback.waiting(),
	}
	for status, n := range sum.byStatus {
		st.ByStatus[strconv.Itoa(int(status))] = n
	}
	return st
}

// info describes an open connection.
func (c *binaryConn) info() ConnectionInfo {
	c.mu.Lock()
	defer c.mu.Unlock()
	info := ConnectionInfo{
		Connection: c.id, Protocol: c.protocol, Remote: c.raw.RemoteAddr().String(), Age: time.Since(c.start),
		Requests: c.count.Notifications, GoingAway: c.ending || c.leaving,
	}
	if c.cert != nil {
		info.TeamID, info.UID = c.cert.team, c.cert.uid
	}
	return info
}
