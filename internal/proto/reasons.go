package proto

// Reason is the word APNs gives for a refusal, verbatim. Words that are not in
// this list are possible and must survive as they came.
type Reason string

// Reasons of the device-push API ("Handling notification responses from APNs").
const (
	ReasonBadCollapseID               Reason = "BadCollapseId"
	ReasonBadDeviceToken              Reason = "BadDeviceToken"
	ReasonBadExpirationDate           Reason = "BadExpirationDate"
	ReasonBadMessageID                Reason = "BadMessageId"
	ReasonBadPriority                 Reason = "BadPriority"
	ReasonBadTopic                    Reason = "BadTopic"
	ReasonDeviceTokenNotForTopic      Reason = "DeviceTokenNotForTopic"
	ReasonDuplicateHeaders            Reason = "DuplicateHeaders"
	ReasonIdleTimeout                 Reason = "IdleTimeout"
	ReasonInvalidPushType             Reason = "InvalidPushType"
	ReasonMissingDeviceToken          Reason = "MissingDeviceToken"
	ReasonMissingTopic                Reason = "MissingTopic"
	ReasonPayloadEmpty                Reason = "PayloadEmpty"
	ReasonTopicDisallowed             Reason = "TopicDisallowed"
	ReasonBadCertificate              Reason = "BadCertificate"
	ReasonBadCertificateEnvironment   Reason = "BadCertificateEnvironment"
	ReasonExpiredProviderToken        Reason = "ExpiredProviderToken"
	ReasonForbidden                   Reason = "Forbidden"
	ReasonInvalidProviderToken        Reason = "InvalidProviderToken"
	ReasonMissingProviderToken        Reason = "MissingProviderToken"
	ReasonUnrelatedKeyIDInToken       Reason = "UnrelatedKeyIdInToken"
	ReasonBadPath                     Reason = "BadPath"
	ReasonMethodNotAllowed            Reason = "MethodNotAllowed"
	ReasonExpiredToken                Reason = "ExpiredToken"
	ReasonUnregistered                Reason = "Unregistered"
	ReasonPayloadTooLarge             Reason = "PayloadTooLarge"
	ReasonTooManyProviderTokenUpdates Reason = "TooManyProviderTokenUpdates"
	ReasonTooManyRequests             Reason = "TooManyRequests"
	ReasonInternalServerError         Reason = "InternalServerError"
	ReasonServiceUnavailable          Reason = "ServiceUnavailable"
	ReasonShutdown                    Reason = "Shutdown"
)

// Two spellings of one refusal: a key restricted to the other environment.
const (
	// ReasonBadEnvironmentKeyIDInToken is what Apple documents.
	ReasonBadEnvironmentKeyIDInToken Reason = "BadEnvironmentKeyIdInToken"
	// ReasonBadEnvironmentKeyInToken is what senders receive (observed).
	ReasonBadEnvironmentKeyInToken Reason = "BadEnvironmentKeyInToken"
)

// Reasons of the broadcast and channel-management APIs.
const (
	ReasonFeatureNotEnabled         Reason = "FeatureNotEnabled"
	ReasonMissingChannelID          Reason = "MissingChannelId"
	ReasonBadChannelID              Reason = "BadChannelId"
	ReasonChannelNotRegistered      Reason = "ChannelNotRegistered"
	ReasonBadRequestParams          Reason = "BadRequestParams"
	ReasonBadRequestPayload         Reason = "BadRequestPayload"
	ReasonMissingPushType           Reason = "MissingPushType"
	ReasonCannotCreateChannelConfig Reason = "CannotCreateChannelConfig"
	ReasonTopicMismatch             Reason = "TopicMismatch"
	// ReasonMissingChannelQueueSize is undocumented; observed when the storage
	// policy is missing or invalid.
	ReasonMissingChannelQueueSize Reason = "MissingChannelQueueSize"
	// ReasonServiceUnavailableSpaced is how the broadcast page prints
	// ServiceUnavailable; which of the two travels on the wire is unknown.
	ReasonServiceUnavailableSpaced Reason = "Service Unavailable"
)
