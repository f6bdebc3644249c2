package proto

// The binary provider interface, which Apple switched off on 31 March 2021.
// Source of everything in this file: "Local and Remote Notification Programming
// Guide" in Apple's documentation archive, its chapters "Binary Provider API"
// (commands 2 and 8, feedback) and "Legacy Notification Format" (commands 0
// and 1). All integers are big-endian.

// Hosts of the binary interface. They do not answer any more.
const (
	HostBinaryGatewayProduction  = "gateway.push.apple.com"
	HostBinaryGatewaySandbox     = "gateway.sandbox.push.apple.com"
	HostBinaryFeedbackProduction = "feedback.push.apple.com"
	HostBinaryFeedbackSandbox    = "feedback.sandbox.push.apple.com"
)

// Ports of the binary interface. Port 2195 and 2196 lead to channel management
// on other hosts today; see PortManageSandbox.
const (
	PortBinaryGateway  = 2195
	PortBinaryFeedback = 2196
)

// The first byte of whatever is sent.
const (
	BinaryCommandSimple   = 0 // 2009
	BinaryCommandEnhanced = 1 // 2010: identifier and expiration
	BinaryCommandItems    = 2 // 2013: items in any number
	BinaryCommandError    = 8 // from the server: status and identifier
)

// The items of command 2.
const (
	BinaryItemDeviceToken = 1
	BinaryItemPayload     = 2
	BinaryItemIdentifier  = 3
	BinaryItemExpiration  = 4
	BinaryItemPriority    = 5
)

// The status in an error packet, in Apple's words.
const (
	BinaryStatusNoErrors           = 0
	BinaryStatusProcessingError    = 1
	BinaryStatusMissingDeviceToken = 2 // "Missing device token"
	BinaryStatusMissingTopic       = 3
	BinaryStatusMissingPayload     = 4
	BinaryStatusInvalidTokenSize   = 5 // "Invalid token size"
	BinaryStatusInvalidTopicSize   = 6
	BinaryStatusInvalidPayloadSize = 7
	BinaryStatusInvalidToken       = 8   // "Invalid token"
	BinaryStatusShutdown           = 10  // documented from April 2013
	BinaryStatusProtocolError      = 128 // "Protocol error (APNs could not parse the notification)"
	BinaryStatusUnknown            = 255 // "None (unknown)"
)

const (
	// BinaryErrorSize is the size of an error packet, in bytes.
	BinaryErrorSize = 6
	// BinaryDeviceTokenBytes is how long every device token was in the days of
	// this interface; MaxDeviceTokenBytes is what Apple warned of later.
	BinaryDeviceTokenBytes = 32
	// MaxPayloadBinary2009 was the limit until 2014, in bytes.
	MaxPayloadBinary2009 = 256
	// MaxPayloadBinary is the limit since iOS 8, in bytes.
	MaxPayloadBinary = 2048
)
