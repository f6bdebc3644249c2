package sim

import (
	"cmp"
	"strconv"

	"aviso.example/internal/proto"
)

// statusOf is the status each reason travels with ("Handling notification
// responses from APNs").
var statusOf = map[proto.Reason]int{
	proto.ReasonBadCollapseID:               400,
	proto.ReasonBadDeviceToken:              400,
	proto.ReasonBadExpirationDate:           400,
	proto.ReasonBadMessageID:                400,
	proto.ReasonBadPriority:                 400,
	proto.ReasonBadTopic:                    400,
	proto.ReasonDeviceTokenNotForTopic:      400,
	proto.ReasonDuplicateHeaders:            400,
	proto.ReasonIdleTimeout:                 400,
	proto.ReasonInvalidPushType:             400,
	proto.ReasonMissingDeviceToken:          400,
	proto.ReasonMissingTopic:                400,
	proto.ReasonPayloadEmpty:                400,
	proto.ReasonTopicDisallowed:             400,
	proto.ReasonBadRequestPayload:           400,
	proto.ReasonBadCertificate:              403,
	proto.ReasonBadCertificateEnvironment:   403,
	proto.ReasonExpiredProviderToken:        403,
	proto.ReasonForbidden:                   403,
	proto.ReasonInvalidProviderToken:        403,
	proto.ReasonMissingProviderToken:        403,
	proto.ReasonUnrelatedKeyIDInToken:       403,
	proto.ReasonBadEnvironmentKeyIDInToken:  403,
	proto.ReasonBadEnvironmentKeyInToken:    403,
	proto.ReasonBadPath:                     404,
	proto.ReasonMethodNotAllowed:            405,
	proto.ReasonExpiredToken:                410,
	proto.ReasonUnregistered:                410,
	proto.ReasonPayloadTooLarge:             413,
	proto.ReasonTooManyProviderTokenUpdates: 429,
	proto.ReasonTooManyRequests:             429,
	proto.ReasonInternalServerError:         500,
	proto.ReasonServiceUnavailable:          503,
	proto.ReasonShutdown:                    503,
}

// statusOfChannels is the same for broadcasts and channel management ("Handling
// error responses from APNs").
var statusOfChannels = map[proto.Reason]int{
	proto.ReasonFeatureNotEnabled:         400,
	proto.ReasonMissingChannelID:          400,
	proto.ReasonBadChannelID:              400,
	proto.ReasonChannelNotRegistered:      400,
	proto.ReasonBadRequestParams:          400,
	proto.ReasonMissingPushType:           400,
	proto.ReasonCannotCreateChannelConfig: 400,
	proto.ReasonMissingChannelQueueSize:   400,
	proto.ReasonTopicMismatch:             403,
	proto.ReasonServiceUnavailableSpaced:  503,
}

// verdict is what the checks decided about a request.
type verdict struct {
	status    int
	reason    proto.Reason
	timestamp int64 // milliseconds; 410 only
	fate      Fate
	// managed is the answer to a request of channel management that was granted.
	managed *managed
	// goAway asks for the observed pair of GOAWAY frames instead of an answer.
	goAway bool
}

func (v *verdict) accepted() bool { return v.reason == "" && (v.status == 200 || v.managed != nil) }

func refuse(reason proto.Reason) verdict {
	return verdict{status: cmp.Or(statusFor(reason), 400), reason: reason}
}

// statusFor is the status of a reason of any of the APIs, or 0.
func statusFor(reason proto.Reason) int {
	return cmp.Or(statusOf[reason], statusOfChannels[reason])
}

// reasonJSON is the body of an error answer, and the debug data of a GOAWAY that
// has a reason.
func reasonJSON(reason proto.Reason, timestamp int64) []byte {
	b := append([]byte(`{"reason":`), strconv.Quote(string(reason))...)
	if timestamp != 0 {
		b = append(b, `,"timestamp":`...)
		b = strconv.AppendInt(b, timestamp, 10)
	}
	return append(b, '}')
}
