package sim

import (
	"encoding/hex"
	"time"

	"aviso.example/internal/proto"
)

// binaryLinger is how long a connection reads on after its last word, so that
// the client has time to read it: several round trips and a busy machine.
const binaryLinger = 5 * time.Second

const statusShutdown = proto.BinaryStatusShutdown

// errorPacket is the one thing the server may say, and how it says it.
type errorPacket struct {
	status     byte
	identifier uint32
	delay      time.Duration
	missing    int  // bytes cut off its end
	reset      bool // instead of an orderly close
	fault      string
}

func (p *errorPacket) whole() bool { return p.missing == 0 && !p.reset }

// handle judges one notification and does what follows. It returns an error when
// the connection is over.
func (c *binaryConn) handle(n *binaryNote) error {
	skew, end := c.srv.faults.forNote(c, n)
	now := c.srv.now().Add(skew)
	id := c.makeID()
	if end != nil && !end.Processed {
		return c.disrupt(n, id, end, false)
	}
	v := c.judge(n, id, now)
	if v.status != proto.BinaryStatusNoErrors {
		if end != nil && end.Kind != FaultErrorPacket {
			return c.disrupt(n, id, end, false)
		}
		return c.reject(n, id, &v, n.identifier, "")
	}
	outcome, fault := Accepted, ""
	if end != nil {
		fault = end.ID
		if !end.saysSent() {
			outcome = AcceptedUnanswered
		}
	}
	c.record(n, id, outcome, &v, fault, now)
	if n.hasIdentifier {
		c.last = n.identifier
	}
	if end != nil {
		return c.disrupt(n, id, end, true)
	}
	return nil
}

// unparsable ends the connection: nobody can tell where the next notification
// begins.
func (c *binaryConn) unparsable(n *binaryNote, err error) error {
	v := binaryVerdict{status: proto.BinaryStatusProtocolError, why: err.Error()}
	return c.reject(n, c.makeID(), &v, n.identifier, "")
}

// makeID makes what takes the place of an apns-id, for the recorder and the
// inbox: the protocol has none.
func (c *binaryConn) makeID() string {
	if c.srv.cfg.Lean {
		return ""
	}
	return string(appendUUID(nil, c.rng, !c.srv.guesses().LowercaseServerIDs))
}

// reject records a rejected notification, says so and ends the connection.
// Everything after it is discarded.
func (c *binaryConn) reject(n *binaryNote, id string, v *binaryVerdict, identifier uint32, fault string) error {
	p := errorPacket{status: v.status, identifier: identifier, fault: fault}
	c.srv.faults.shapePacket(c, n, &p)
	outcome := Rejected
	if !p.whole() {
		outcome = NotProcessed // nobody was told
	}
	c.record(n, id, outcome, v, p.fault, c.srv.now())
	c.log.Debug("rejected", "status", v.status, "why", v.why, "device_token", shortDeviceToken(hex.EncodeToString(n.deviceToken)))
	return c.say(p)
}

// goodbye is an error packet that rejects nothing.
func (c *binaryConn) goodbye(p errorPacket) error {
	c.srv.faults.shapePacket(c, nil, &p)
	return c.say(p)
}

// say writes the packet and ends the connection. Until the packet goes and after
// it, what the client writes is read and forgotten.
func (c *binaryConn) say(p errorPacket) error {
	c.in.release()
	if wait := p.delay + c.srv.cfg.RoundTrip; wait > 0 {
		due := time.Now().Add(wait)
		c.drain(due)
		c.pause(time.Until(due))
	}
	c.mu.Lock()
	c.ending = true
	c.mu.Unlock()
	b := appendErrorPacket(nil, p.status, p.identifier)
	if err := c.write(b[:len(b)-p.missing]); err != nil {
		return err
	}
	if p.missing == 0 {
		c.mu.Lock()
		c.count.Packets++
		c.mu.Unlock()
	}
	if p.reset {
		c.abort(true)
		return errByFault
	}
	c.leaveInOrder()
	return errSaidGoodbye
}

// leaveInOrder ends the connection without destroying what is on its way to the
// client, and reports whether the client has ended it in order too.
func (c *binaryConn) leaveInOrder() bool {
	c.mu.Lock()
	c.ending = true
	c.mu.Unlock()
	c.halfClose()
	return c.drain(time.Now().Add(binaryLinger))
}

// disrupt does what a fault wants at this notification, which was taken or not.
func (c *binaryConn) disrupt(n *binaryNote, id string, f *Fault, taken bool) error {
	if f.Kind == FaultErrorPacket {
		p := c.packetOf(f, n, taken)
		if taken || f.saysSent() {
			if !taken {
				c.record(n, id, NotProcessed, &binaryVerdict{status: p.status}, f.ID, c.srv.now())
			}
			c.srv.faults.shapePacket(c, n, &p)
			return c.say(p)
		}
		return c.reject(n, id, &binaryVerdict{status: p.status, why: "fault"}, p.identifier, f.ID)
	}
	if !taken {
		c.record(n, id, NotProcessed, &binaryVerdict{}, f.ID, c.srv.now())
	}
	return c.breakOff(f)
}

// packetOf is the packet of a fault. A status that blames nobody names the last
// notification that was taken, all others name this one.
func (c *binaryConn) packetOf(f *Fault, n *binaryNote, taken bool) errorPacket {
	p := errorPacket{status: *f.BinaryStatus, identifier: c.last, fault: f.ID}
	if n != nil && !f.saysSent() || taken {
		p.identifier = n.identifier
	}
	if f.Identifier != nil {
		p.identifier = *f.Identifier
	}
	return p
}

// saysSent reports whether the packet of a fault says that the notification it
// names was sent.
func (f *Fault) saysSent() bool {
	return f.Kind == FaultErrorPacket && (*f.BinaryStatus == statusShutdown || *f.BinaryStatus == proto.BinaryStatusNoErrors)
}

// obey plays a fault without a notification.
func (c *binaryConn) obey(f *Fault) error {
	if f.Kind == FaultErrorPacket {
		return c.goodbye(c.packetOf(f, nil, false))
	}
	return c.breakOff(f)
}

// breakOff ends the connection without a word.
func (c *binaryConn) breakOff(f *Fault) error {
	c.log.Debug("fault", "kind", string(f.Kind))
	c.in.release()
	switch f.Kind {
	case FaultResetConnection:
		c.abort(true)
	case FaultHalfOpen:
		c.drain(time.Time{})
	default:
		c.leaveInOrder()
	}
	return errByFault
}
