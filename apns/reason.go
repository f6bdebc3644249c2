package apns

import (
	"iter"
	"strings"

	"aviso.example/internal/proto"
)

// Reason is Apple's word for a refusal, verbatim. It is an error, so that
// errors.Is(err, apns.ReasonUnregistered) works. Words that are not in the
// table survive as they came.
type Reason string

// Reasons of the device-push API ("Handling notification responses from APNs").
const (
	ReasonBadCollapseID               = Reason(proto.ReasonBadCollapseID)
	ReasonBadDeviceToken              = Reason(proto.ReasonBadDeviceToken)
	ReasonBadExpirationDate           = Reason(proto.ReasonBadExpirationDate)
	ReasonBadMessageID                = Reason(proto.ReasonBadMessageID)
	ReasonBadPriority                 = Reason(proto.ReasonBadPriority)
	ReasonBadTopic                    = Reason(proto.ReasonBadTopic)
	ReasonDeviceTokenNotForTopic      = Reason(proto.ReasonDeviceTokenNotForTopic)
	ReasonDuplicateHeaders            = Reason(proto.ReasonDuplicateHeaders)
	ReasonIdleTimeout                 = Reason(proto.ReasonIdleTimeout)
	ReasonInvalidPushType             = Reason(proto.ReasonInvalidPushType)
	ReasonMissingDeviceToken          = Reason(proto.ReasonMissingDeviceToken)
	ReasonMissingTopic                = Reason(proto.ReasonMissingTopic)
	ReasonPayloadEmpty                = Reason(proto.ReasonPayloadEmpty)
	ReasonTopicDisallowed             = Reason(proto.ReasonTopicDisallowed)
	ReasonBadCertificate              = Reason(proto.ReasonBadCertificate)
	ReasonBadCertificateEnvironment   = Reason(proto.ReasonBadCertificateEnvironment)
	ReasonExpiredProviderToken        = Reason(proto.ReasonExpiredProviderToken)
	ReasonForbidden                   = Reason(proto.ReasonForbidden)
	ReasonInvalidProviderToken        = Reason(proto.ReasonInvalidProviderToken)
	ReasonMissingProviderToken        = Reason(proto.ReasonMissingProviderToken)
	ReasonUnrelatedKeyIDInToken       = Reason(proto.ReasonUnrelatedKeyIDInToken)
	ReasonBadEnvironmentKeyIDInToken  = Reason(proto.ReasonBadEnvironmentKeyIDInToken)
	ReasonBadEnvironmentKeyInToken    = Reason(proto.ReasonBadEnvironmentKeyInToken)
	ReasonBadPath                     = Reason(proto.ReasonBadPath)
	ReasonMethodNotAllowed            = Reason(proto.ReasonMethodNotAllowed)
	ReasonExpiredToken                = Reason(proto.ReasonExpiredToken)
	ReasonUnregistered                = Reason(proto.ReasonUnregistered)
	ReasonPayloadTooLarge             = Reason(proto.ReasonPayloadTooLarge)
	ReasonTooManyProviderTokenUpdates = Reason(proto.ReasonTooManyProviderTokenUpdates)
	ReasonTooManyRequests             = Reason(proto.ReasonTooManyRequests)
	ReasonInternalServerError         = Reason(proto.ReasonInternalServerError)
	ReasonServiceUnavailable          = Reason(proto.ReasonServiceUnavailable)
	ReasonShutdown                    = Reason(proto.ReasonShutdown)
)

// Reasons of broadcasts and channel management ("Handling error responses from
// APNs"), besides those above.
const (
	ReasonFeatureNotEnabled         = Reason(proto.ReasonFeatureNotEnabled)
	ReasonMissingChannelID          = Reason(proto.ReasonMissingChannelID)
	ReasonBadChannelID              = Reason(proto.ReasonBadChannelID)
	ReasonChannelNotRegistered      = Reason(proto.ReasonChannelNotRegistered)
	ReasonBadRequestParams          = Reason(proto.ReasonBadRequestParams)
	ReasonBadRequestPayload         = Reason(proto.ReasonBadRequestPayload)
	ReasonMissingPushType           = Reason(proto.ReasonMissingPushType)
	ReasonCannotCreateChannelConfig = Reason(proto.ReasonCannotCreateChannelConfig)
	ReasonTopicMismatch             = Reason(proto.ReasonTopicMismatch)
	// ReasonMissingChannelQueueSize is not documented; it was seen when the
	// storage policy was missing or invalid.
	ReasonMissingChannelQueueSize = Reason(proto.ReasonMissingChannelQueueSize)
	// ReasonServiceUnavailableSpaced is how Apple's broadcast page prints
	// ServiceUnavailable.
	ReasonServiceUnavailableSpaced = Reason(proto.ReasonServiceUnavailableSpaced)
)

// Action is what a sender has to do about a refusal.
type Action string

// The six things there are to do.
const (
	// FixRequest: this notification is wrong; sending it again changes nothing.
	FixRequest Action = "fix the request"
	// DropDeviceToken: the device token is dead, unless the device registered
	// again since (RejectedError.DropDeviceToken compares the times).
	DropDeviceToken Action = "drop the device token"
	// RenewProviderToken: the provider token is too old. The client does it.
	RenewProviderToken Action = "renew the provider token"
	// FixConfiguration: credential, topic and environment do not fit together;
	// other notifications will fail alike.
	FixConfiguration Action = "fix the configuration"
	// SlowDown: too much at once. The client waits and tries again.
	SlowDown Action = "slow down"
	// RetryLater: the trouble is Apple's. The client waits and tries again.
	RetryLater Action = "retry later"
)

// ReasonInfo is one row of the table of reasons.
type ReasonInfo struct {
	Reason Reason `json:"reason"`
	// Status is the HTTP status the reason travels with.
	Status int    `json:"status"`
	Action Action `json:"action"`
	// Meaning says what APNs objects to.
	Meaning string `json:"meaning"`
	// Advice says what to do, in a sentence.
	Advice string `json:"advice"`
	// Broadcast marks reasons of the broadcast and channel APIs.
	Broadcast bool `json:"broadcast,omitempty"`
	// Note tells what senders observed beyond Apple's pages.
	Note string `json:"note,omitempty"`
}

// reasons is the table. Sources: "Handling notification responses from APNs"
// for the statuses and meanings, "Handling error responses from APNs" for the
// broadcast rows; notes are observations.
var reasons = []ReasonInfo{
	{Reason: ReasonBadCollapseID, Status: 400, Action: FixRequest, Meaning: "the collapse id is too long", Advice: "Shorten apns-collapse-id to 64 bytes; bytes count, not characters."},
	{Reason: ReasonBadDeviceToken, Status: 400, Action: FixConfiguration, Meaning: "the device token is malformed or belongs to the other environment", Advice: "Check that device tokens from Xcode builds go to the sandbox and those from TestFlight and the App Store to production; do not delete the device token for this.", Note: "Bursts of it slow a connection down and end it."},
	{Reason: ReasonBadExpirationDate, Status: 400, Action: FixRequest, Meaning: "apns-expiration is not a valid time", Advice: "Send 0 or a UNIX time in seconds; a broadcast must state it, and to a channel without storage send 0."},
	{Reason: ReasonBadMessageID, Status: 400, Action: FixRequest, Meaning: "apns-id, or apns-request-id, is not a canonical UUID", Advice: "Send 32 lowercase hexadecimal digits as 8-4-4-4-12, or no id."},
	{Reason: ReasonBadPriority, Status: 400, Action: FixRequest, Meaning: "apns-priority is not allowed here", Advice: "Send 10, 5 or 1; background pushes must use 5, and broadcasts must state it."},
	{Reason: ReasonBadTopic, Status: 400, Action: FixRequest, Meaning: "apns-topic is malformed", Advice: "Send the bundle identifier, with the suffix that the push type needs."},
	{Reason: ReasonDeviceTokenNotForTopic, Status: 400, Action: FixRequest, Meaning: "the device token belongs to another app", Advice: "Check which app the device token was collected for: a debug build has its own bundle identifier, VoIP and Live Activities have device tokens of their own."},
	{Reason: ReasonDuplicateHeaders, Status: 400, Action: FixRequest, Meaning: "a header field was sent twice", Advice: "Fix the client or the proxy that repeats a field."},
	{Reason: ReasonIdleTimeout, Status: 400, Action: RetryLater, Meaning: "the connection was idle for too long", Advice: "Nothing to do: the client opens another connection and sends again."},
	{Reason: ReasonInvalidPushType, Status: 400, Action: FixRequest, Meaning: "apns-push-type is unknown or does not fit the topic", Advice: "Use one of the eleven push types, and the topic suffix that belongs to it; a channel knows LiveActivity only."},
	{Reason: ReasonMissingDeviceToken, Status: 400, Action: FixRequest, Meaning: "the path has no device token", Advice: "Set the device token."},
	{Reason: ReasonMissingTopic, Status: 400, Action: FixConfiguration, Meaning: "apns-topic is missing", Advice: "Set the bundle identifier: it is needed with provider tokens, and with certificates that cover several topics."},
	{Reason: ReasonPayloadEmpty, Status: 400, Action: FixRequest, Meaning: "the payload is empty", Advice: "Send a JSON object, at least {}."},
	{Reason: ReasonTopicDisallowed, Status: 400, Action: FixConfiguration, Meaning: "this credential may not push to this topic", Advice: "Check the bundle identifier and its suffix, that the key or certificate belongs to the app's team, and whether the key is limited to other topics."},
	{Reason: ReasonBadCertificate, Status: 403, Action: FixConfiguration, Meaning: "the certificate is invalid", Advice: "Replace the certificate: it may be revoked, expired or not a push certificate."},
	{Reason: ReasonBadCertificateEnvironment, Status: 403, Action: FixConfiguration, Meaning: "the certificate is for the other environment", Advice: "Use the other host, or a certificate for sandbox and production.", Note: "It comes in GOAWAY, not as an answer."},
	{Reason: ReasonExpiredProviderToken, Status: 403, Action: RenewProviderToken, Meaning: "the provider token is more than an hour old", Advice: "The client has renewed it already if this persists: check this machine's clock."},
	{Reason: ReasonForbidden, Status: 403, Action: FixConfiguration, Meaning: "the action is not allowed", Advice: "Look at the developer account: agreements, membership, capabilities of the App ID."},
	{Reason: ReasonInvalidProviderToken, Status: 403, Action: FixConfiguration, Meaning: "the provider token is not valid", Advice: "Check that key file, key id and team id belong together, that the key is not revoked, and this machine's clock; a new key can take hours to work."},
	{Reason: ReasonMissingProviderToken, Status: 403, Action: FixConfiguration, Meaning: "neither a certificate nor a provider token was sent", Advice: "Configure a signing key or a certificate."},
	{Reason: ReasonUnrelatedKeyIDInToken, Status: 403, Action: FixConfiguration, Meaning: "the key is not related to the one this connection began with", Advice: "Use one client for each key."},
	{Reason: ReasonBadEnvironmentKeyIDInToken, Status: 403, Action: FixConfiguration, Meaning: "the key is limited to the other environment", Advice: "Use the other host, or a key for this environment.", Note: "Apple documents this spelling; senders receive BadEnvironmentKeyInToken."},
	{Reason: ReasonBadEnvironmentKeyInToken, Status: 403, Action: FixConfiguration, Meaning: "the key is limited to the other environment", Advice: "Use the other host, or a key for this environment.", Note: "Senders receive this spelling; Apple documents BadEnvironmentKeyIdInToken."},
	{Reason: ReasonBadPath, Status: 404, Action: FixRequest, Meaning: "the path is wrong", Advice: "Check the endpoint and the device token; a device push goes to /3/device/ and the device token, and channels are managed on a host of their own."},
	{Reason: ReasonMethodNotAllowed, Status: 405, Action: FixRequest, Meaning: "the method is not allowed here", Advice: "Check what stands between this client and APNs."},
	{Reason: ReasonExpiredToken, Status: 410, Action: DropDeviceToken, Meaning: "the device token has expired", Advice: "Drop the device token unless the device registered it again since then; Live Activity device tokens end with their activity."},
	{Reason: ReasonUnregistered, Status: 410, Action: DropDeviceToken, Meaning: "the device token is no longer active for the topic", Advice: "Drop the device token unless the device registered it again since then."},
	{Reason: ReasonPayloadTooLarge, Status: 413, Action: FixRequest, Meaning: "the payload is too large", Advice: "Stay within 4096 bytes, or 5120 for VoIP and broadcasts."},
	{Reason: ReasonTooManyProviderTokenUpdates, Status: 429, Action: SlowDown, Meaning: "the provider token changed more than once in 20 minutes", Advice: "Let all processes of a team share one provider token, and keep it for at least 20 minutes."},
	{Reason: ReasonTooManyRequests, Status: 429, Action: SlowDown, Meaning: "too many notifications for this one device or channel", Advice: "Send fewer to it, or merge them; others are not affected."},
	{Reason: ReasonInternalServerError, Status: 500, Action: RetryLater, Meaning: "an error inside APNs", Advice: "Try again later; Apple asks for 15 minutes."},
	{Reason: ReasonServiceUnavailable, Status: 503, Action: RetryLater, Meaning: "APNs is unavailable", Advice: "Try again later; Apple asks for 15 minutes."},
	{Reason: ReasonShutdown, Status: 503, Action: RetryLater, Meaning: "this APNs server is shutting down", Advice: "Nothing to do: the client opens another connection and sends again."},

	{Broadcast: true, Reason: ReasonFeatureNotEnabled, Status: 400, Action: FixConfiguration, Meaning: "broadcast is not enabled for this app", Advice: "Enable Broadcast Capability under Push Notifications of the App ID in the developer portal; Xcode cannot."},
	{Broadcast: true, Reason: ReasonMissingChannelID, Status: 400, Action: FixRequest, Meaning: "apns-channel-id is missing", Advice: "Send the channel id in the header field."},
	{Broadcast: true, Reason: ReasonBadChannelID, Status: 400, Action: FixRequest, Meaning: "the channel id is malformed", Advice: "Send the base64 text exactly as APNs returned it."},
	{Broadcast: true, Reason: ReasonChannelNotRegistered, Status: 400, Action: FixConfiguration, Meaning: "the channel does not exist in this environment", Advice: "Use the environment in which it was made; if it was deleted, make another one, since ids never come back."},
	{Broadcast: true, Reason: ReasonBadRequestParams, Status: 400, Action: FixRequest, Meaning: "the request has an unknown attribute", Advice: "Send message-storage-policy and push-type only."},
	{Broadcast: true, Reason: ReasonBadRequestPayload, Status: 400, Action: FixRequest, Meaning: "the request is not valid JSON", Advice: "Send a JSON object."},
	{Broadcast: true, Reason: ReasonMissingPushType, Status: 400, Action: FixRequest, Meaning: "the push type is missing", Advice: "Send liveactivity in apns-push-type, and LiveActivity in push-type when creating a channel."},
	{Broadcast: true, Reason: ReasonCannotCreateChannelConfig, Status: 400, Action: FixConfiguration, Meaning: "the app has as many channels as it may have", Advice: "Delete channels that are no longer used: an app may have 10,000 per environment."},
	{Broadcast: true, Reason: ReasonTopicMismatch, Status: 403, Action: FixConfiguration, Meaning: "the bundle identifier is not among those of the credential", Advice: "Write the bundle identifier exactly as registered, without a suffix, and use a key of its team.", Note: "Seen for bundle identifiers with capitals in October 2024."},
	{Broadcast: true, Reason: ReasonMissingChannelQueueSize, Status: 400, Action: FixRequest, Meaning: "the storage policy is missing or invalid", Advice: "Send message-storage-policy 0 or 1.", Note: "Apple does not document this word."},
	{Broadcast: true, Reason: ReasonServiceUnavailableSpaced, Status: 503, Action: RetryLater, Meaning: "APNs is unavailable", Advice: "Try again later; Apple asks for 15 minutes.", Note: "Apple's broadcast page prints ServiceUnavailable with a space."},
}

var reasonRow = func() map[Reason]*ReasonInfo {
	m := make(map[Reason]*ReasonInfo, len(reasons))
	for i := range reasons {
		m[reasons[i].Reason] = &reasons[i]
	}
	return m
}()

// Reasons lists the table in Apple's order: device push, then broadcast.
func Reasons() iter.Seq[ReasonInfo] {
	return func(yield func(ReasonInfo) bool) {
		for _, r := range reasons {
			if !yield(r) {
				return
			}
		}
	}
}

// LookupReason finds a row, whatever the case of the word. ok is false for
// words Apple does not document and nobody has reported.
func LookupReason(word string) (info ReasonInfo, ok bool) {
	if row := reasonRow[Reason(word)]; row != nil {
		return *row, true
	}
	for _, r := range reasons {
		if strings.EqualFold(string(r.Reason), word) {
			return r, true
		}
	}
	return ReasonInfo{}, false
}

// Info returns the row of a reason, or for an unknown word one made from the
// status it came with.
func (r Reason) Info(status int) ReasonInfo {
	if row := reasonRow[r]; row != nil {
		return *row
	}
	info := ReasonInfo{Reason: r, Status: status, Meaning: "a reason that is not documented"}
	switch {
	case status == 410:
		info.Action, info.Advice = DropDeviceToken, "The status says that the device token is no longer active; drop it unless the device registered it again since then."
	case status == 429:
		info.Action, info.Advice = SlowDown, "The status says that there were too many requests; send fewer."
	case status == 403:
		info.Action, info.Advice = FixConfiguration, "The status says that the credential is at fault; check key, team, certificate and environment."
	case status >= 500:
		info.Action, info.Advice = RetryLater, "The status says that the fault is on Apple's side; try again later."
	default:
		info.Action, info.Advice = FixRequest, "The status says that the request is at fault; look the word up in Apple's documentation."
	}
	return info
}

// Error returns the word, which makes a Reason a target for errors.Is.
func (r Reason) Error() string {
	if r == "" {
		return "no reason given"
	}
	return string(r)
}
