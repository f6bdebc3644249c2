package sim

import (
	"encoding/hex"
	"encoding/json"
	"time"

	"aviso.example/internal/proto"
)

// binaryVerdict is what the server thinks of a notification. Status 0 is
// silence.
type binaryVerdict struct {
	status byte
	why    string // for the log
	// reason is the word that today's interface has for the same trouble, where
	// there is one, and timestamp what it adds to a 410.
	reason    proto.Reason
	timestamp int64
	fate      Fate
	dead      bool // taken in silence, and a case for the feedback service
}

// judge applies all checks and hands the notification to its device. Apple
// documents no order; ours is that of the status codes, the device last.
func (c *binaryConn) judge(n *binaryNote, id string, now time.Time) binaryVerdict {
	cfg := &c.srv.cfg
	guesses := c.srv.guesses()
	guess := &guesses.Binary
	limit := cfg.Binary.MaxPayload
	if guess.EarlyLimit && n.command != proto.BinaryCommandItems {
		limit = min(limit, proto.MaxPayloadBinary2009)
	}
	no := func(status byte, why string) binaryVerdict { return binaryVerdict{status: status, why: why} }
	switch {
	case n.unknownItem && guess.RefuseUnknownItems:
		return no(proto.BinaryStatusProtocolError, "an item that is not in Apple's table")
	case n.hasPriority && n.priority != 10 && n.priority != 5 && !guess.AnyPriority:
		return no(proto.BinaryStatusProtocolError, "a priority that is neither 10 nor 5")
	case len(n.deviceToken) == 0:
		return no(proto.BinaryStatusMissingDeviceToken, "no device token")
	case c.topic == "":
		return no(proto.BinaryStatusMissingTopic, "the certificate names no topic (UID of the subject)")
	case len(n.payload) == 0:
		return no(proto.BinaryStatusMissingPayload, "no payload")
	case !c.tokenSizeFits(n.deviceToken):
		return no(proto.BinaryStatusInvalidTokenSize, "the size of the device token")
	case len(c.topic) > maxTopic:
		return no(proto.BinaryStatusInvalidTopicSize, "the topic of the certificate is too long")
	case len(n.payload) > limit:
		return no(proto.BinaryStatusInvalidPayloadSize, "the size of the payload")
	case guesses.RefuseMalformedJSON && !json.Valid(n.payload):
		return no(proto.BinaryStatusProtocolError, "the payload is not JSON")
	case guess.RefuseBackgroundPriority10 && n.hasPriority && n.priority == 10 && backgroundOnly(n.payload):
		return no(proto.BinaryStatusProtocolError, "priority 10 with a payload that shows nothing")
	}
	a := arrival{
		deviceToken: hex.EncodeToString(n.deviceToken), topic: c.topic, now: now, perTopic: guesses.StoredPerTopic,
		hasExpires: n.hasExpiration, once: n.hasExpiration && n.expiration == 0,
		expires: time.Unix(int64(n.expiration), 0),
	}
	if !cfg.Lean {
		a.note = Notification{
			ID: id, Protocol: ProtocolBinary, Topic: c.topic, Time: now, Payload: append(Payload(nil), n.payload...),
		}
	}
	v := c.srv.devices.receive(&a, cfg)
	b := binaryVerdict{reason: v.reason, timestamp: v.timestamp, fate: v.fate, why: string(v.reason)}
	switch {
	case v.accepted():
	case v.status == 410:
		// There is no status for it: silence, and the feedback service tells.
		b.dead, b.fate = true, FateDiscarded
		c.srv.binary.feedback.add(c.topic, feedbackEntry{a.deviceToken, time.UnixMilli(v.timestamp)})
	case v.reason == proto.ReasonTooManyRequests:
		b.status = proto.BinaryStatusProcessingError
	default: // BadDeviceToken, DeviceTokenNotForTopic
		b.status = proto.BinaryStatusInvalidToken
	}
	return b
}

// tokenSizeFits: every device token was 32 bytes long in the days of this
// interface.
func (c *binaryConn) tokenSizeFits(deviceToken []byte) bool {
	size := len(deviceToken)
	if !c.srv.guesses().Binary.AnyDeviceTokenSize {
		return size == proto.BinaryDeviceTokenBytes
	}
	return size <= proto.MaxDeviceTokenBytes &&
		(size >= c.srv.guesses().MinDeviceTokenBytes || c.srv.devices.has(hex.EncodeToString(deviceToken)))
}

// backgroundOnly says whether a payload has content-available and nothing that a
// person would notice.
func backgroundOnly(payload []byte) bool {
	var p struct {
		APS map[string]json.RawMessage `json:"aps"`
	}
	if json.Unmarshal(payload, &p) != nil {
		return false
	}
	for _, shown := range []string{"alert", "badge", "sound"} {
		if _, ok := p.APS[shown]; ok {
			return false
		}
	}
	_, ok := p.APS["content-available"]
	return ok
}

// BinaryPush is what a Push has of the binary protocol alone.
type BinaryPush struct {
	// Command is 0, 1 or 2.
	Command uint8 `json:"command"`
	// Identifier is what the sender called it; nil if it did not.
	Identifier *uint32 `json:"identifier,omitempty"`
	// Status of the error packet; 0 was silence.
	Status uint8 `json:"status"`
}

// record counts a notification and keeps it, unless the server is lean.
func (c *binaryConn) record(n *binaryNote, id string, outcome Outcome, v *binaryVerdict, fault string, now time.Time) {
	c.mu.Lock()
	c.count.judged(outcome, v)
	c.mu.Unlock()
	if c.srv.rec == nil {
		return
	}
	p := Push{
		Time: now, Connection: c.id, Protocol: ProtocolBinary,
		DeviceToken: hex.EncodeToString(n.deviceToken), Topic: c.topic, ID: id,
		Header: [][2]string{}, Payload: append(Payload(nil), n.payload...),
		Credential: Credential{Kind: "certificate", UID: c.cert.uid, TeamID: c.cert.team},
		Binary:     &BinaryPush{Command: n.command, Status: v.status},
		Outcome:    outcome, Reason: v.reason, Timestamp: v.timestamp, Fate: v.fate, Fault: fault,
	}
	if n.hasIdentifier {
		p.Binary.Identifier = new(n.identifier)
	}
	if n.hasExpiration {
		p.Expiration = new(int64(n.expiration))
	}
	if n.hasPriority {
		p.Priority = int(n.priority)
	}
	c.srv.rec.add(p)
}
