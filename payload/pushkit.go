package payload

import "aviso.example/internal/proto"

// VoIP announces a call ("Responding to VoIP Notifications from PushKit"). The
// app must report a call at once, so the payload should say whose. Send it with
// an expiration of 0, to the device token that PushKit gave out.
type VoIP struct {
	// Custom becomes the keys of the payload, all of them the app's own; see
	// [Alert].Custom. The system shows nothing by itself, so there is no aps.
	Custom any
}

// PushType returns "voip".
func (VoIP) PushType() PushType { return proto.PushTypeVoIP }

// JSON returns the body, at most 5120 bytes; see [Payload].
func (p VoIP) JSON() ([]byte, error) { return owned(p.AppendJSON(nil)) }

// AppendJSON appends what JSON returns to dst. On error it returns dst as it
// was.
func (p VoIP) AppendJSON(dst []byte) ([]byte, error) {
	e := begin(dst)
	e.custom(p.Custom)
	return e.finish(proto.PushTypeVoIP, proto.MaxPayloadVoIP)
}

// PushToTalk says that somebody speaks, or that the state of a channel changed
// ("Creating a Push to Talk app"). Send it with priority 10 and an expiration of
// 0, to the device token the channel manager gave out when the person joined.
type PushToTalk struct {
	// ServiceUpdate marks a change of state instead of speech: ptt-push-type
	// "service-update", iOS 17.2 and later (observed; Apple names it only in
	// its forum, thread 787878).
	ServiceUpdate bool
	// Custom becomes keys of the app's own, such as activeSpeaker in Apple's
	// sample; see [Alert].Custom.
	Custom any
}

// PushType returns "pushtotalk".
func (PushToTalk) PushType() PushType { return proto.PushTypePushToTalk }

// JSON returns the body, at most 4096 bytes; see [Payload].
func (p PushToTalk) JSON() ([]byte, error) { return owned(p.AppendJSON(nil)) }

// AppendJSON appends what JSON returns to dst. On error it returns dst as it
// was.
func (p PushToTalk) AppendJSON(dst []byte) ([]byte, error) {
	e := begin(dst)
	if p.ServiceUpdate {
		e.open("aps")
		e.text("/aps", "ptt-push-type", "service-update")
		e.close()
	}
	e.custom(p.Custom)
	return e.finish(proto.PushTypePushToTalk, proto.MaxPayload)
}
