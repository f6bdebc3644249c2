package legacy

import (
	"fmt"
	"time"

	"aviso.example/apns"
	"aviso.example/auth"
	"aviso.example/internal/proto"
)

// rules is what the client knows about notifications before it sees one.
type rules struct {
	maxPayload  int
	certificate *auth.CertificateInfo
}

// wire is what a notification becomes, apart from its two long fields.
type wire struct {
	has        Fields
	priority   uint8
	expiration uint32
}

// check turns a notification into what goes over the wire, or says everything
// that is wrong with it. What the binary protocol has no place for is refused
// where leaving it out would change what the device does. It runs for each of
// millions and allocates only problems.
func (r *rules) check(n *apns.Notification, now time.Time) (w wire, problems []apns.Problem) {
	if n == nil {
		return w, []apns.Problem{{Field: "Notification", Message: "is nil"}}
	}
	bad := func(field, format string, args ...any) {
		problems = append(problems, apns.Problem{Field: field, Message: fmt.Sprintf(format, args...)})
	}
	if p := apns.CheckDeviceToken(n.DeviceToken); p != nil {
		problems = append(problems, *p)
	} else if size := len(n.DeviceToken) / 2; size > proto.MaxDeviceTokenBytes {
		bad("DeviceToken", "has %d bytes; the binary protocol takes %d, and 32 were usual", size, proto.MaxDeviceTokenBytes)
	}
	switch size := len(n.Payload); {
	case size == 0:
		bad("Payload", "is empty; the least there is is {}")
	case size > r.maxPayload:
		bad("Payload", "has %d bytes; the limit of the binary protocol is %d (Config.MaxPayload). payload.Shorten trims the alert to fit", size, r.maxPayload)
	case !looksLikeObject(n.Payload):
		bad("Payload", "is not a JSON object: it has to begin with { and end with }")
	}
	w.has, w.priority = HasIdentifier|HasPriority, uint8(n.Priority)
	switch n.PushType {
	case "", apns.PushTypeAlert, apns.PushTypeVoIP, apns.PushTypeMDM:
		if n.Priority == 0 {
			w.priority = uint8(apns.PriorityImmediate)
		}
	case apns.PushTypeBackground:
		if n.Priority == 0 {
			w.priority = uint8(apns.PriorityConserve)
		} else if n.Priority != apns.PriorityConserve {
			bad("Priority", "%d is an error with push type background; leave it out, or use 5", n.Priority)
		}
	default:
		bad("PushType", "is none that the binary protocol knew; those are alert, background, voip and mdm, told apart by payload and certificate")
	}
	switch n.Priority {
	case 0, apns.PriorityImmediate, apns.PriorityConserve:
	case apns.PriorityPower:
		bad("Priority", "1 came with today's interface; the binary protocol has 10 and 5")
	default:
		bad("Priority", "has to be 10 or 5")
	}
	if n.CollapseID != "" {
		bad("CollapseID", "has no place in the binary protocol: without it, the notification would stand beside the one it should replace")
	}
	if topic := r.certificate.DefaultTopic(); topic != "" {
		if n.Topic != "" && n.Topic != topic {
			bad("Topic", "is not that of the certificate, which alone decides where the binary protocol sends to")
		}
		if n.BundleID != "" && n.BundleID != topic && n.BundleID+".voip" != topic {
			bad("BundleID", "is not that of the certificate, which alone decides where the binary protocol sends to")
		}
	}
	w.expiration, problems = expiration(n.Expiration, now, &w.has, problems)
	return w, problems
}

// expiration leaves the item out if nothing was said, which is not the same as
// 0: that asks APNs not to store the notification (timehop/apns always wrote
// it).
func expiration(e apns.Expiration, now time.Time, has *Fields, problems []apns.Problem) (uint32, []apns.Problem) {
	if e == apns.ExpireImmediately {
		*has |= HasExpiration
		return 0, problems
	}
	at, ok := e.Time()
	if !ok {
		return 0, problems
	}
	*has |= HasExpiration
	bad := func(message string) (uint32, []apns.Problem) {
		return 0, append(problems, apns.Problem{Field: "Expiration", Message: message})
	}
	switch seconds := at.Unix(); {
	case seconds > lastExpiration:
		return bad("is later than 7 February 2106, where 32 bits of seconds end; it was probably given in milliseconds")
	case seconds > now.Unix():
		return uint32(seconds), problems
	case seconds >= 0 && seconds < 365*24*3600:
		return bad(fmt.Sprintf("lies in 1970: it has to be a time, not a duration; did you mean %d seconds from now?", seconds))
	}
	return bad("has passed; use ExpireImmediately for a single attempt")
}

func looksLikeObject(b []byte) bool {
	first, last := 0, len(b)-1
	for first < len(b) && isSpace(b[first]) {
		first++
	}
	for last > first && isSpace(b[last]) {
		last--
	}
	return first < last && b[first] == '{' && b[last] == '}'
}

func isSpace(b byte) bool { return b == ' ' || b == '\n' || b == '\r' || b == '\t' }

// appendHex appends the bytes that hexadecimal digits stand for. They were
// checked before.
func appendHex(dst []byte, digits string) []byte {
	for i := 0; i+1 < len(digits); i += 2 {
		dst = append(dst, hexDigit(digits[i])<<4|hexDigit(digits[i+1]))
	}
	return dst
}

func hexDigit(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c&^0x20 - 'A' + 10
}
