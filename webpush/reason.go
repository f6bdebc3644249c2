package webpush

import (
	"iter"
	"strings"
)

// Reason is Apple's word for a refusal, verbatim. It is an error, so that
// errors.Is(err, webpush.ReasonVapidPkHashMismatch) works. Words that are not in
// the table survive as they came.
type Reason string

// Reasons of Apple's push service for the web ("Sending web push notifications
// in web apps and browsers").
const (
	ReasonBadTTL                 = Reason("BadTtl")
	ReasonBadUrgency             = Reason("BadUrgency")
	ReasonBadWebPushTopic        = Reason("BadWebPushTopic")
	ReasonBadWebPushRequest      = Reason("BadWebPushRequest")
	ReasonBadAuthorizationHeader = Reason("BadAuthorizationHeader")
	ReasonBadVapidPublicKey      = Reason("BadVapidPublicKey")
	ReasonVapidPkHashMismatch    = Reason("VapidPkHashMismatch")
	ReasonBadJwtToken            = Reason("BadJwtToken")
	ReasonBadPath                = Reason("BadPath")
	ReasonMethodNotAllowed       = Reason("MethodNotAllowed")
	ReasonPayloadTooLarge        = Reason("PayloadTooLarge")
	ReasonTooManyRequests        = Reason("TooManyRequests")
	ReasonIdleTimeout            = Reason("IdleTimeout")
	ReasonInternalServerError    = Reason("InternalServerError")
	ReasonServiceUnavailable     = Reason("ServiceUnavailable")
	ReasonShutdown               = Reason("Shutdown")
)

// Error returns the word, which makes a Reason a target for errors.Is.
func (r Reason) Error() string {
	if r == "" {
		return "no reason given"
	}
	return string(r)
}

// Action is what a sender has to do about a refusal.
type Action string

// The five things there are to do.
const (
	// FixRequest: this message is wrong; sending it again changes nothing.
	FixRequest Action = "fix the request"
	// DropSubscription: the subscription is dead.
	DropSubscription Action = "drop the subscription"
	// FixConfiguration: key, subject or clock are wrong, or the key does not
	// belong to the subscription; other messages may fail alike.
	FixConfiguration Action = "fix the configuration"
	// SlowDown: too much at once. The client waits and tries again.
	SlowDown Action = "slow down"
	// RetryLater: the trouble is the push service's. The client waits and tries
	// again.
	RetryLater Action = "retry later"
)

// ReasonInfo is one row of the table of reasons.
type ReasonInfo struct {
	Reason Reason `json:"reason,omitempty"`
	// Action is what to do.
	Action Action `json:"action"`
	// Meaning says what the push service objects to.
	Meaning string `json:"meaning"`
	// Advice says what to do, in a sentence.
	Advice string `json:"advice"`
}

// reasons is the table of Apple's words. Their statuses are not all documented;
// so the word decides here, and the status where there is none.
var reasons = []ReasonInfo{
	{ReasonBadTTL, FixRequest, "the field TTL is missing or not a number of seconds", "Send whole seconds, at most 30 days."},
	{ReasonBadUrgency, FixRequest, "the urgency is not one of the four", "Use very-low, low, normal or high."},
	{ReasonBadWebPushTopic, FixRequest, "the topic is malformed", "Use at most 32 characters of A-Z, a-z, 0-9, - and _."},
	{ReasonBadWebPushRequest, FixRequest, "the request is malformed, its body most likely", "Check that the message is encrypted as aes128gcm for this subscription."},
	{ReasonBadAuthorizationHeader, FixConfiguration, "the field Authorization is malformed", "Check what stands between this client and Apple."},
	{ReasonBadVapidPublicKey, FixConfiguration, "the VAPID public key is not a point on P-256", "Make a new key with aviso webpush keys."},
	{ReasonVapidPkHashMismatch, FixConfiguration, "the subscription was made with another VAPID key", "Send with the key whose public half the page gave as applicationServerKey; if that one is lost, the page has to subscribe anew."},
	{ReasonBadJwtToken, FixConfiguration, "the VAPID JWT is missing, expired, or signed with another key, or its subject is no mailto: or https: URI", "Check this machine's clock and the subject: mailto:name@example.com, without space or angle brackets, at a name that the whole internet can reach: not localhost, nothing below .local, .internal or .invalid."},
	{ReasonBadPath, FixRequest, "the path of the endpoint is malformed", "Compare the endpoint with what the browser gave: it was probably cut short or re-encoded when it was stored."},
	{ReasonMethodNotAllowed, FixRequest, "the method is not POST", "Check what stands between this client and Apple."},
	{ReasonPayloadTooLarge, FixRequest, "the body has more than 4096 bytes", "Keep the payload within 3993 bytes before encryption."},
	{ReasonTooManyRequests, SlowDown, "too many messages in too short a time", "Send fewer, or let a topic replace what was not delivered yet."},
	{ReasonIdleTimeout, RetryLater, "the connection was idle for too long", "Nothing to do: the client sends again on another connection."},
	{ReasonInternalServerError, RetryLater, "an error inside Apple's push service", "Try again later."},
	{ReasonServiceUnavailable, RetryLater, "Apple's push service is unavailable", "Try again later."},
	{ReasonShutdown, RetryLater, "this server of Apple's is shutting down", "Nothing to do: the client sends again on another connection."},
}

// Reasons lists the table.
func Reasons() iter.Seq[ReasonInfo] {
	return func(yield func(ReasonInfo) bool) {
		for _, r := range reasons {
			if !yield(r) {
				return
			}
		}
	}
}

// LookupReason finds a row, whatever the case of the word.
func LookupReason(word string) (info ReasonInfo, ok bool) {
	for _, r := range reasons {
		if strings.EqualFold(string(r.Reason), word) {
			return r, true
		}
	}
	return ReasonInfo{}, false
}

// Info returns the row of a reason, or for an unknown word and for none a row
// made from the status it came with (RFC 8030, RFC 8292 section 4.2).
func (r Reason) Info(status int) ReasonInfo {
	for _, row := range reasons {
		if row.Reason == r {
			return row
		}
	}
	info := ofStatus(status)
	info.Reason = r
	return info
}

func ofStatus(status int) ReasonInfo {
	switch {
	case status == 404 || status == 410:
		return ReasonInfo{"", DropSubscription, "the subscription does not exist any more", "Delete the subscription; the page makes another one when it subscribes again."}
	case status == 401 || status == 403:
		return ReasonInfo{"", FixConfiguration, "the push service does not accept the VAPID key for this subscription", "Check that the page subscribed with this key as applicationServerKey, the subject, and this machine's clock; do not delete the subscription for this."}
	case status == 405:
		return ReasonInfo{"", FixRequest, "the method is not allowed there", "Check that the endpoint is one of a push service, and what stands in between."}
	case status == 413:
		return ReasonInfo{"", FixRequest, "the body is too large", "Keep the payload within 3993 bytes before encryption."}
	case status == 429:
		return ReasonInfo{"", SlowDown, "too many messages in too short a time", "Send fewer, or let a topic replace what was not delivered yet."}
	case status >= 500:
		return ReasonInfo{"", RetryLater, "trouble inside the push service", "Try again later."}
	case status >= 300 && status < 400:
		return ReasonInfo{"", FixRequest, "a redirect, which is not followed", "Push services do not redirect: check the endpoint, and what stands between this machine and it."}
	}
	return ReasonInfo{"", FixRequest, "the push service finds the request wrong", "Read what it says; a subscription that was made with another VAPID key is a frequent cause."}
}

// retryable reports whether the same message may succeed later.
func retryable(status int) bool {
	switch status {
	case 429, 500, 503:
		return true
	}
	return false
}

// gateway reports whether the answer is that of a gateway which passed the request
// on and does not know what became of it (RFC 9110 sections 15.6.3 and 15.6.5).
func gateway(status int) bool { return status == 502 || status == 504 }
