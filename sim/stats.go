package sim

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"time"

	"aviso.example/internal/proto"
)

// counters are what a connection counts; each has its own, so that counting
// needs no shared memory on the hot path.
type counters struct {
	Connections        uint64
	ConnectionsRefused uint64
	HandshakeFailures  uint64
	Streams            uint64
	Requests           uint64
	Accepted           uint64
	Managed            uint64
	Rejected           uint64
	Processed          uint64
	NotProcessed       uint64
	Unanswered         uint64
	Refused            uint64
	ResetsSent         uint64
	Cancelled          uint64
	GoAways            uint64
	Malformed          uint64
	ProtocolErrors     uint64
	byReason           map[string]uint64
}

func (c *counters) reject(reason proto.Reason, status int) {
	c.Rejected++
	if c.byReason == nil {
		c.byReason = map[string]uint64{}
	}
	name := string(reason)
	if name == "" {
		name = strconv.Itoa(status)
	}
	if _, ok := c.byReason[name]; !ok && len(c.byReason) >= 256 {
		name = "other" // faults may invent reasons without end
	}
	c.byReason[name]++
}

func (c *counters) add(o *counters) {
	c.Connections += o.Connections
	c.ConnectionsRefused += o.ConnectionsRefused
	c.HandshakeFailures += o.HandshakeFailures
	c.Streams += o.Streams
	c.Requests += o.Requests
	c.Accepted += o.Accepted
	c.Managed += o.Managed
	c.Rejected += o.Rejected
	c.Processed += o.Processed
	c.NotProcessed += o.NotProcessed
	c.Unanswered += o.Unanswered
	c.Refused += o.Refused
	c.ResetsSent += o.ResetsSent
	c.Cancelled += o.Cancelled
	c.GoAways += o.GoAways
	c.Malformed += o.Malformed
	c.ProtocolErrors += o.ProtocolErrors
	for reason, n := range o.byReason {
		if c.byReason == nil {
			c.byReason = map[string]uint64{}
		}
		c.byReason[reason] += n
	}
}

// Stats counts since the server began.
type Stats struct {
	// Connections accepted so far, ConnectionsOpen now. Refused ones were turned
	// away because too many were open; HandshakeFailures include those by fault.
	Connections        uint64 `json:"connections"`
	ConnectionsOpen    int    `json:"connections_open"`
	ConnectionsRefused uint64 `json:"connections_refused"`
	HandshakeFailures  uint64 `json:"handshake_failures"`
	// Streams opened by clients; Requests are those that arrived complete.
	Streams  uint64 `json:"streams"`
	Requests uint64 `json:"requests"`
	// Accepted and Rejected requests were answered so; ByReason counts the latter
	// by Apple's word, or by status where a fault gave no reason.
	Accepted uint64            `json:"accepted"`
	Rejected uint64            `json:"rejected"`
	ByReason map[string]uint64 `json:"by_reason"`
	// Managed requests of channel management were granted; they are not among the
	// accepted.
	Managed uint64 `json:"managed"`
	// Processed pushes were taken for delivery, answered or not.
	Processed uint64 `json:"processed"`
	// NotProcessed were complete requests that a fault ended first.
	NotProcessed uint64 `json:"not_processed"`
	// Unanswered had their answer kept back by a fault.
	Unanswered uint64 `json:"unanswered"`
	// Refused streams got RST_STREAM REFUSED_STREAM; ResetsSent counts all resets
	// by the server, Cancelled those by clients.
	Refused    uint64 `json:"refused"`
	ResetsSent uint64 `json:"resets_sent"`
	Cancelled  uint64 `json:"cancelled"`
	GoAways    uint64 `json:"goaways"`
	// Malformed requests break RFC 9113 section 8.1.1; ProtocolErrors ended
	// connections.
	Malformed      uint64 `json:"malformed"`
	ProtocolErrors uint64 `json:"protocol_errors"`
	// Duplicates are pushes processed although one with their apns-id had been;
	// counted among the recorded pushes, so 0 on a lean server.
	Duplicates uint64 `json:"duplicates"`
	Recorded   int    `json:"recorded"`
	Devices    int    `json:"devices"`
	// Binary is for the binary protocol, whose connections and notifications are
	// counted apart.
	Binary BinaryStats `json:"binary"`
}

// Stats returns the counts so far.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	var sum counters
	sum.add(&s.past)
	for c := range s.conns {
		c.mu.Lock()
		sum.add(&c.count)
		c.mu.Unlock()
	}
	open := len(s.conns)
	binary := s.binaryStats()
	s.mu.Unlock()
	st := Stats{
		Connections: sum.Connections, ConnectionsOpen: open,
		ConnectionsRefused: sum.ConnectionsRefused, HandshakeFailures: sum.HandshakeFailures,
		Streams: sum.Streams, Requests: sum.Requests,
		Accepted: sum.Accepted, Managed: sum.Managed, Rejected: sum.Rejected, ByReason: map[string]uint64{},
		Processed: sum.Processed, NotProcessed: sum.NotProcessed, Unanswered: sum.Unanswered,
		Refused: sum.Refused, ResetsSent: sum.ResetsSent, Cancelled: sum.Cancelled,
		GoAways: sum.GoAways, Malformed: sum.Malformed, ProtocolErrors: sum.ProtocolErrors,
		Devices: s.devices.Len(), Binary: binary,
	}
	maps.Copy(st.ByReason, sum.byReason)
	if s.rec != nil {
		s.rec.mu.Lock()
		st.Duplicates, st.Recorded = s.rec.duplicates, len(s.rec.ring)
		s.rec.mu.Unlock()
	}
	return st
}

// ConnectionInfo describes an open connection. Over the binary protocol, Requests
// are notifications and the figures of streams are 0.
type ConnectionInfo struct {
	Connection uint64        `json:"connection"`
	Protocol   Protocol      `json:"protocol"`
	Remote     string        `json:"remote"`
	Age        time.Duration `json:"age_ns"`
	// Active streams now, and the limit announced last.
	Active     int    `json:"active_streams"`
	MaxStreams uint32 `json:"max_streams"`
	Requests   uint64 `json:"requests"`
	GoingAway  bool   `json:"going_away"`
	// Team and key of the first provider token, or the UID of the certificate.
	TeamID string `json:"team_id,omitempty"`
	KeyID  string `json:"key_id,omitempty"`
	UID    string `json:"uid,omitempty"`
}

// Connections describes the open connections, oldest first.
func (s *Server) Connections() []ConnectionInfo {
	var list []ConnectionInfo
	for _, c := range s.open() {
		c.mu.Lock()
		info := ConnectionInfo{
			Connection: c.id, Protocol: ProtocolHTTP2, Remote: c.raw.RemoteAddr().String(), Age: time.Since(c.start),
			Active: c.active, MaxStreams: c.limit, Requests: c.count.Requests, GoingAway: c.goingAway,
		}
		if c.firstProviderToken != nil {
			info.TeamID, info.KeyID = c.firstProviderToken.team, c.firstProviderToken.kid
		}
		if c.cert != nil {
			info.TeamID, info.UID = c.cert.team, c.cert.uid
		}
		c.mu.Unlock()
		list = append(list, info)
	}
	for _, c := range s.openBinary() {
		list = append(list, c.info())
	}
	slices.SortFunc(list, func(a, b ConnectionInfo) int { return cmp.Compare(a.Connection, b.Connection) })
	return list
}
