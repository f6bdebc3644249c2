package proto

// Request and response fields, in the lower case that HTTP/2 requires (RFC 9113
// section 8.2).
const (
	FieldAuthorization = "authorization"
	FieldTopic         = "apns-topic"
	FieldPushType      = "apns-push-type"
	FieldPriority      = "apns-priority"
	FieldExpiration    = "apns-expiration"
	FieldCollapseID    = "apns-collapse-id"
	FieldID            = "apns-id"
	// FieldUniqueID comes back from the sandbox only; it is the key for the
	// delivery log in Apple's Push Notifications Console.
	FieldUniqueID  = "apns-unique-id"
	FieldRequestID = "apns-request-id"
	FieldChannelID = "apns-channel-id"
	// FieldRetryAfter is neither documented nor observed; it is honoured if it
	// should ever come.
	FieldRetryAfter = "retry-after"
)

// BearerPrefix precedes the provider token in the authorization field.
const BearerPrefix = "bearer "
