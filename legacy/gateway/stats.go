package gateway

import "sync/atomic"

// Stats counts since the gateway began, except for what is marked as of now.
type Stats struct {
	// Connections that were taken, and OpenConnections as of now; Refused are
	// those whose handshake failed.
	Connections, Refused int64
	OpenConnections      int
	// Frames are the notifications that were read.
	Frames int64
	// Accepted by APNs.
	Accepted int64
	// Rejected are those that an error packet was for. Untold are those whose
	// program had gone by then.
	Rejected, Untold int64
	// Unregistered were sent to device tokens that are dead.
	Unregistered int64
	// Adopted were sent again by a program although they were under way already,
	// and not sent a second time.
	Adopted int64
	// Packets are the error packets that were written.
	Packets int64
}

type counts struct {
	connections, refused, frames, accepted, rejected, untold, unregistered, adopted, packets, abandoned atomic.Int64

	restless atomic.Bool // see Shutdown
}

// Stats returns the figures.
func (g *Gateway) Stats() Stats {
	g.mu.Lock()
	open := len(g.sessions)
	g.mu.Unlock()
	c := &g.counts
	return Stats{
		Connections: c.connections.Load(), OpenConnections: open, Refused: c.refused.Load(), Frames: c.frames.Load(),
		Accepted: c.accepted.Load(), Rejected: c.rejected.Load(), Untold: c.untold.Load(),
		Unregistered: c.unregistered.Load(), Adopted: c.adopted.Load(), Packets: c.packets.Load(),
	}
}
