package legacy

import (
	"fmt"
	"slices"

	"aviso.example/apns"
	"aviso.example/internal/proto"
)

// Status is the one byte with which an error packet says what was wrong ("Binary
// Provider API", table of status codes). It is an error, so that
// errors.Is(err, legacy.StatusInvalidDeviceToken) works on what [Client.Push]
// returns. Numbers that are not in the table survive as they came.
type Status uint8

// The statuses Apple documented.
const (
	// StatusNoErrors (0) blames nothing. Nobody reported to have seen it in a
	// packet; it is read like StatusShutdown.
	StatusNoErrors Status = proto.BinaryStatusNoErrors
	// StatusProcessingError (1): an error inside APNs; the notification may be
	// sent again.
	StatusProcessingError Status = proto.BinaryStatusProcessingError
	// StatusMissingDeviceToken (2): there was no device token.
	StatusMissingDeviceToken Status = proto.BinaryStatusMissingDeviceToken
	// StatusMissingTopic (3): the certificate implied no topic.
	StatusMissingTopic Status = proto.BinaryStatusMissingTopic
	// StatusMissingPayload (4): there was no payload, or an empty one.
	StatusMissingPayload Status = proto.BinaryStatusMissingPayload
	// StatusInvalidDeviceTokenSize (5): the device token was not 32 bytes long.
	StatusInvalidDeviceTokenSize Status = proto.BinaryStatusInvalidTokenSize
	// StatusInvalidTopicSize (6): the topic that the certificate implies is too
	// long or too short.
	StatusInvalidTopicSize Status = proto.BinaryStatusInvalidTopicSize
	// StatusInvalidPayloadSize (7): the payload was too large.
	StatusInvalidPayloadSize Status = proto.BinaryStatusInvalidPayloadSize
	// StatusInvalidDeviceToken (8): the device token is not one, or belongs to
	// the other environment or to another app. It is no reason to forget it.
	StatusInvalidDeviceToken Status = proto.BinaryStatusInvalidToken
	// StatusShutdown (10): the server is going away and nothing is wrong with
	// any notification. The identifier names the last one that was sent.
	StatusShutdown Status = proto.BinaryStatusShutdown
	// StatusProtocolError (128): what came could not be parsed.
	StatusProtocolError Status = proto.BinaryStatusProtocolError
	// StatusUnknown (255): Apple's "none (unknown)".
	StatusUnknown Status = proto.BinaryStatusUnknown
)

// statusInfo is what is known of a status. The reason is the modern word for
// the same trouble and the HTTP status it travels with, so that one caller can
// understand both interfaces; the mapping is ours, not Apple's, and so is the
// word ProtocolError, which has no modern twin.
type statusInfo struct {
	status     Status
	name       string
	httpStatus int
	reason     apns.Reason
}

// statuses is the table of Apple's chapter, in its order and its words, except
// that a device token is called by its full name.
var statuses = []statusInfo{
	{StatusNoErrors, "no errors encountered", 500, ""},
	{StatusProcessingError, "processing error", 500, apns.ReasonInternalServerError},
	{StatusMissingDeviceToken, "missing device token", 400, apns.ReasonMissingDeviceToken},
	{StatusMissingTopic, "missing topic", 400, apns.ReasonMissingTopic},
	{StatusMissingPayload, "missing payload", 400, apns.ReasonPayloadEmpty},
	{StatusInvalidDeviceTokenSize, "invalid device token size", 400, apns.ReasonBadDeviceToken},
	{StatusInvalidTopicSize, "invalid topic size", 400, apns.ReasonBadTopic},
	{StatusInvalidPayloadSize, "invalid payload size", 413, apns.ReasonPayloadTooLarge},
	{StatusInvalidDeviceToken, "invalid device token", 400, apns.ReasonBadDeviceToken},
	{StatusShutdown, "shutdown", 503, apns.ReasonShutdown},
	{StatusProtocolError, "protocol error, the notification could not be parsed", 400, "ProtocolError"},
	{StatusUnknown, "none (unknown)", 500, ""},
}

func (s Status) info() statusInfo {
	for _, row := range statuses {
		if row.status == s {
			return row
		}
	}
	return statusInfo{status: s, name: "not documented", httpStatus: 500}
}

// Known reports whether Apple documented it.
func (s Status) Known() bool {
	return slices.ContainsFunc(statuses, func(row statusInfo) bool { return row.status == s })
}

// Meaning is what Apple's table says of it, like "invalid device token"; for a status
// that is not in the table, "not documented".
func (s Status) Meaning() string { return s.info().name }

// String returns number and meaning, like "8 (invalid device token)".
func (s Status) String() string { return fmt.Sprintf("%d (%s)", uint8(s), s.info().name) }

// Error returns String with a word before it, which makes a Status a target for
// errors.Is.
func (s Status) Error() string { return "status " + s.String() }

// Sent reports whether the notification that the packet names was sent: the
// status blames none, and the identifier names the last one that was taken.
func (s Status) Sent() bool { return s == StatusShutdown || s == StatusNoErrors }

// Temporary reports whether the same notification may be taken if it is sent
// again: the trouble was the server's (1, 255, and whatever is not documented).
func (s Status) Temporary() bool {
	info := s.info()
	return !s.Sent() && info.httpStatus >= 500
}

// Reason returns the word and the HTTP status with which today's interface
// reports the same trouble; the word is empty if there is none.
func (s Status) Reason() (apns.Reason, int) {
	info := s.info()
	return info.reason, info.httpStatus
}
