package gateway

import (
	"cmp"
	"encoding/hex"
	"errors"
	"time"

	"aviso.example/apns"
	"aviso.example/internal/proto"
	"aviso.example/legacy"
)

// fill makes a slot's notification out of a frame.
func (s *slot) fill(f *legacy.Frame, p *Provider, now time.Time) {
	s.read = now
	s.identifier, s.hasIdentifier = f.Identifier, f.Has&legacy.HasIdentifier != 0
	s.payload = append(s.payload[:0], f.Payload...)
	var digits [2 * proto.MaxDeviceTokenBytes]byte
	s.n = apns.Notification{
		DeviceToken: string(digits[:hex.Encode(digits[:], f.DeviceToken)]),
		Payload:     s.payload,
		Topic:       p.Topic,
		PushType:    p.PushType,
		Tag:         s,
	}
	if f.Has&legacy.HasPriority != 0 {
		s.n.Priority = apns.Priority(f.Priority)
	}
	if p.PushType == "" && p.derivesPushType {
		s.n.PushType = cmp.Or(proto.TypeOfPayload(f.Payload), apns.PushTypeAlert) // the protocol had none
		if s.n.PushType == apns.PushTypeBackground {
			s.n.Priority = apns.PriorityConserve // anything else is BadPriority today
		}
	}
	if f.Has&legacy.HasExpiration != 0 {
		// A time that has passed meant what 0 means: one attempt, no storage.
		s.n.Expiration = apns.ExpireImmediately
		if int64(f.Expiration) > now.Unix() {
			s.n.Expiration = apns.ExpireAtUnix(int64(f.Expiration))
		}
	}
}

// judgement is what follows from an outcome.
type judgement uint8

const (
	judged judgement = iota
	held             // the trouble is not the notification's: try again later
	gone             // silence, and an entry on the feedback list
)

// judge turns the outcome of one notification into what the program is told.
func judge(r *apns.Result) (verdict, judgement) {
	switch r.Outcome {
	case apns.Accepted:
		return verdict{}, judged
	case apns.Unknown:
		return verdict{legacy.StatusUnknown, r.Err}, judged
	case apns.Rejected:
		rejected, ok := errors.AsType[*apns.RejectedError](r.Err)
		if !ok {
			return verdict{legacy.StatusUnknown, r.Err}, judged
		}
		return judgeReason(rejected)
	}
	if invalid, ok := errors.AsType[*apns.InvalidError](r.Err); ok {
		return verdict{statusOfProblems(invalid), r.Err}, judged
	}
	return verdict{legacy.StatusProcessingError, r.Err}, held
}

// judgeReason is the table of statuses. Apple published none; that a device token
// of another app, or of the other environment, was status 8 is what senders saw.
func judgeReason(e *apns.RejectedError) (verdict, judgement) {
	status := legacy.StatusProtocolError // "could not parse the notification", in Apple's words
	switch e.Reason {
	case apns.ReasonBadDeviceToken, apns.ReasonDeviceTokenNotForTopic:
		status = legacy.StatusInvalidDeviceToken
	case apns.ReasonMissingDeviceToken:
		status = legacy.StatusMissingDeviceToken
	case apns.ReasonPayloadEmpty:
		status = legacy.StatusMissingPayload
	case apns.ReasonPayloadTooLarge:
		status = legacy.StatusInvalidPayloadSize
	case apns.ReasonTooManyRequests, apns.ReasonInternalServerError:
		// For this one device, or by this one notification; the client has tried
		// several times.
		status = legacy.StatusProcessingError
	default:
		switch e.Action() {
		case apns.DropDeviceToken:
			return verdict{}, gone
		case apns.FixConfiguration, apns.RenewProviderToken:
			// The operator's mistake, which hits every notification alike.
			// Telling the program would make it throw all of them away.
			return verdict{legacy.StatusMissingTopic, e}, held
		case apns.SlowDown, apns.RetryLater:
			return verdict{legacy.StatusProcessingError, e}, held
		}
	}
	return verdict{status, e}, judged
}

// statusOfProblems is the status for what the client refuses to send: a payload
// that is no JSON object, as a rule, since the decoder has checked all sizes.
func statusOfProblems(e *apns.InvalidError) legacy.Status {
	for _, p := range e.Problems {
		switch p.Field {
		case "DeviceToken":
			return legacy.StatusInvalidDeviceToken
		}
	}
	return legacy.StatusProtocolError
}
