package payload

import (
	"strconv"

	"aviso.example/internal/proto"
)

// PushType is the value of apns-push-type. The zero value means "not stated".
type PushType = proto.PushType

// The eleven push types ("Sending notification requests to APNs").
const (
	PushTypeAlert        = proto.PushTypeAlert
	PushTypeBackground   = proto.PushTypeBackground
	PushTypeComplication = proto.PushTypeComplication
	PushTypeControls     = proto.PushTypeControls
	PushTypeFileProvider = proto.PushTypeFileProvider
	PushTypeLiveActivity = proto.PushTypeLiveActivity
	PushTypeLocation     = proto.PushTypeLocation
	PushTypeMDM          = proto.PushTypeMDM
	PushTypePushToTalk   = proto.PushTypePushToTalk
	PushTypeVoIP         = proto.PushTypeVoIP
	PushTypeWidgets      = proto.PushTypeWidgets
)

// Priority is the value of apns-priority. The zero value means "not stated",
// which APNs reads as 10.
type Priority = proto.Priority

// The three priorities.
const (
	PriorityImmediate = proto.PriorityImmediate
	PriorityConserve  = proto.PriorityConserve
	PriorityPower     = proto.PriorityPower
)

// A Payload is the body of a push to one device. Every builder in this package
// is one, as value and as pointer; other packages may bring their own.
type Payload interface {
	// JSON returns the body: checked, within Apple's size limit for its push
	// type, UTF-8, with keys in a fixed order. The caller owns the bytes. The
	// error is an *InvalidError.
	JSON() ([]byte, error)
	// PushType returns the value that apns-push-type must have for this body,
	// or "" where Apple documents none (Wallet).
	PushType() PushType
}

// A Broadcast is a body that can be sent to a channel: Live Activity updates
// and ends, and raw JSON. A start is not among them because Apple has no way
// to start an activity by broadcast ("Sending broadcast push notification
// requests to APNs").
type Broadcast interface {
	// BroadcastJSON is JSON with the size limit of broadcasts, 5120 bytes.
	BroadcastJSON() ([]byte, error)
}

// Every builder keeps its promise at compile time.
var (
	_ Payload = Alert{}
	_ Payload = Website{}
	_ Payload = Background{}
	_ Payload = Complication{}
	_ Payload = Location{}
	_ Payload = VoIP{}
	_ Payload = PushToTalk{}
	_ Payload = FileProvider{}
	_ Payload = MDM{}
	_ Payload = Widgets{}
	_ Payload = Controls{}
	_ Payload = LiveActivityStart{}
	_ Payload = LiveActivityUpdate{}
	_ Payload = LiveActivityEnd{}
	_ Payload = WalletUpdate{}
	_ Payload = Raw{}

	_ Broadcast = LiveActivityUpdate{}
	_ Broadcast = LiveActivityEnd{}
	_ Broadcast = Raw{}
)

// MaxBroadcast is the largest body of a broadcast, in bytes: 5,120 ("Sending
// broadcast push notification requests to APNs").
const MaxBroadcast = proto.MaxPayloadBroadcast

// MaxSize returns the largest body Apple takes for a push type, in bytes: 5120
// for voip and 4096 for everything else, unknown types included ("Generating a
// remote notification").
func MaxSize(t PushType) int {
	if rule, ok := proto.RuleFor(t); ok {
		return rule.MaxPayload
	}
	return proto.MaxPayload
}

// kindName is how errors call a push type.
func kindName(t PushType) string {
	if t == "" {
		return "payload"
	}
	return strconv.Quote(string(t)) + " payload"
}

// pushName is how findings call a push type, none of which is ever data.
func pushName(t PushType) string {
	if t == "" {
		return "a push"
	}
	return "push type " + string(t)
}
