package payload

import (
	"time"

	"aviso.example/internal/proto"
)

// LiveActivityStart starts a Live Activity (iOS 17.2; "Starting and updating
// Live Activities with ActivityKit push notifications"). Send it to a
// push-to-start device token. It cannot be broadcast.
//
// All times here are time.Time and go out as whole UNIX seconds.
type LiveActivityStart struct {
	// Timestamp is when this was sent; required. The device keeps the newest
	// state, so it must grow from push to push.
	Timestamp time.Time
	// AttributesType is the name of the app's ActivityAttributes struct;
	// required.
	AttributesType string
	// Attributes is the static data: a struct, a map with string keys or a
	// json.RawMessage that the struct decodes from with Swift's default
	// strategies (see [SwiftDate]); required.
	Attributes any
	// ContentState is the first dynamic state, as Attributes; required.
	ContentState any
	// Updates says how the activity gets its updates; see [UpdatesByDeviceToken]
	// and [UpdatesByChannel].
	Updates UpdateSource
	// StaleDate is when the state counts as outdated; zero for never.
	StaleDate time.Time
	// RelevanceScore orders the activities of one app; any finite number, the
	// highest wins the Dynamic Island. Write it as new(75.0).
	RelevanceScore *float64
	// Alert announces the activity; required by Apple.
	Alert LiveActivityAlert
}

// LiveActivityUpdate changes the state of a running activity, on one device or,
// through a channel, on many.
type LiveActivityUpdate struct {
	// Timestamp is when this was sent; required. An update older than the one
	// shown is ignored.
	Timestamp time.Time
	// ContentState is the complete new state; required. See
	// [LiveActivityStart].Attributes for what it may be.
	ContentState any
	// StaleDate is when the state counts as outdated; zero for never. Advance
	// it with each update.
	StaleDate time.Time
	// RelevanceScore is as in [LiveActivityStart].
	RelevanceScore *float64
	// Alert lights the screen for this update; nil updates quietly.
	Alert *LiveActivityAlert
}

// LiveActivityEnd ends an activity.
type LiveActivityEnd struct {
	// Timestamp is when this was sent; required.
	Timestamp time.Time
	// ContentState is the final state, which stays on the lock screen;
	// required.
	ContentState any
	// DismissalDate is when the activity leaves the lock screen: at the latest
	// four hours after Timestamp, at once when it is not after Timestamp. Zero
	// leaves it to the system (up to four hours).
	DismissalDate time.Time
	// Alert lights the screen for the final state; nil ends quietly.
	Alert *LiveActivityAlert
}

// LiveActivityAlert is what a Live Activity push shows and plays besides the
// activity itself. Each text is either plain or a key of Localizable.strings
// with arguments for its %@.
type LiveActivityAlert struct {
	Title        string
	TitleLocKey  string
	TitleLocArgs []string
	Body         string
	LocKey       string
	LocArgs      []string
	// Sound is a file name or "default"; empty for none. It stands inside the
	// alert, unlike that of an [Alert].
	Sound string
}

// UpdateSource says how a started activity gets its updates (iOS 18). The zero
// value leaves it to the app. There are two sources and they exclude each other
// (observed: the device refuses "two forms of push input"), so this is one
// value and not two fields.
type UpdateSource struct {
	deviceToken bool
	channel     string
	isChannel   bool
}

// UpdatesByDeviceToken lets the device issue a device token for updates:
// "input-push-token":1.
func UpdatesByDeviceToken() UpdateSource { return UpdateSource{deviceToken: true} }

// UpdatesByChannel subscribes the activity to a broadcast channel:
// "input-push-channel":id, with the base64 id as APNs gave it. On devices below
// iOS 18 the activity then does not start.
func UpdatesByChannel(id string) UpdateSource { return UpdateSource{channel: id, isChannel: true} }

// PushType returns "liveactivity".
func (LiveActivityStart) PushType() PushType { return proto.PushTypeLiveActivity }

// PushType returns "liveactivity".
func (LiveActivityUpdate) PushType() PushType { return proto.PushTypeLiveActivity }

// PushType returns "liveactivity".
func (LiveActivityEnd) PushType() PushType { return proto.PushTypeLiveActivity }

// JSON returns the body, at most 4096 bytes; see [Payload].
func (l LiveActivityStart) JSON() ([]byte, error) { return owned(l.AppendJSON(nil)) }

// JSON returns the body, at most 4096 bytes; see [Payload].
func (l LiveActivityUpdate) JSON() ([]byte, error) { return owned(l.AppendJSON(nil)) }

// JSON returns the body, at most 4096 bytes; see [Payload].
func (l LiveActivityEnd) JSON() ([]byte, error) { return owned(l.AppendJSON(nil)) }

// BroadcastJSON returns the body for a channel, at most 5120 bytes.
func (l LiveActivityUpdate) BroadcastJSON() ([]byte, error) {
	return owned(l.append(nil, proto.MaxPayloadBroadcast))
}

// BroadcastJSON returns the body for a channel, at most 5120 bytes.
func (l LiveActivityEnd) BroadcastJSON() ([]byte, error) {
	return owned(l.append(nil, proto.MaxPayloadBroadcast))
}

// AppendJSON appends what JSON returns to dst. On error it returns dst as it
// was.
func (l LiveActivityUpdate) AppendJSON(dst []byte) ([]byte, error) {
	return l.append(dst, proto.MaxPayload)
}

// AppendJSON appends what JSON returns to dst. On error it returns dst as it
// was.
func (l LiveActivityEnd) AppendJSON(dst []byte) ([]byte, error) {
	return l.append(dst, proto.MaxPayload)
}

// AppendJSON appends what JSON returns to dst. On error it returns dst as it
// was.
func (l LiveActivityStart) AppendJSON(dst []byte) ([]byte, error) {
	e := begin(dst)
	e.event("start", l.Timestamp)
	if l.AttributesType == "" {
		e.problem("/aps/attributes-type", "a start must name the app's ActivityAttributes struct", "set AttributesType")
	}
	e.text("/aps", "attributes-type", l.AttributesType)
	e.required("attributes", l.Attributes, "the static data, which may be an empty struct{}{}")
	e.required("content-state", l.ContentState, "the first state")
	e.updates(l.Updates)
	e.stale(l.StaleDate, l.Timestamp)
	if l.RelevanceScore != nil {
		e.float("/aps", "relevance-score", *l.RelevanceScore)
	}
	e.activityAlert(&l.Alert, "Apple requires an alert with a text to start a Live Activity")
	e.close()
	return e.finish(proto.PushTypeLiveActivity, proto.MaxPayload)
}

func (l *LiveActivityUpdate) append(dst []byte, limit int) ([]byte, error) {
	e := begin(dst)
	e.event("update", l.Timestamp)
	e.required("content-state", l.ContentState, "the complete new state")
	e.stale(l.StaleDate, l.Timestamp)
	if l.RelevanceScore != nil {
		e.float("/aps", "relevance-score", *l.RelevanceScore)
	}
	e.activityAlert(l.Alert, "an alert without a text")
	e.close()
	return e.finish(proto.PushTypeLiveActivity, limit)
}

func (l *LiveActivityEnd) append(dst []byte, limit int) ([]byte, error) {
	e := begin(dst)
	e.event("end", l.Timestamp)
	e.required("content-state", l.ContentState, "the final state, which stays on the lock screen")
	if !l.DismissalDate.IsZero() {
		if l.DismissalDate.Sub(l.Timestamp) > maxDismissal && !l.Timestamp.IsZero() {
			e.problem("/aps/dismissal-date", "more than four hours after the end; the system removes the activity sooner",
				"choose a time within four hours of Timestamp, or leave it zero")
		}
		// A time in the past, however distant, means "at once".
		e.seconds("dismissal-date", l.DismissalDate, time.Unix(0, 0))
	}
	e.activityAlert(l.Alert, "an alert without a text")
	e.close()
	return e.finish(proto.PushTypeLiveActivity, limit)
}
