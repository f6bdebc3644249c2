package payload

import "slices"

// Severity says what becomes of a push with a finding.
type Severity uint8

// The three severities, worst first.
const (
	// Rejected: APNs answers with an error.
	Rejected Severity = iota + 1
	// Dropped: APNs answers 200, and the push or a part of it comes to nothing.
	Dropped
	// Suspicious: it may work, but looks like a mistake.
	Suspicious
)

// String returns "rejected", "dropped" or "suspicious".
func (s Severity) String() string {
	switch s {
	case Rejected:
		return "rejected"
	case Dropped:
		return "dropped"
	case Suspicious:
		return "suspicious"
	}
	return "unknown"
}

// MarshalText returns what String returns.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Code names a rule of the linter. Codes stay the same from version to version.
type Code string

// What Apple rejects.
const (
	CodePayloadEmpty      Code = "payload-empty"
	CodePayloadTooLarge   Code = "payload-too-large"
	CodeUnknownPushType   Code = "unknown-push-type"
	CodePriorityInvalid   Code = "priority-invalid"
	CodeExpirationInvalid Code = "expiration-invalid"
	CodeTopicSuffix       Code = "topic-suffix"
	CodeWalletEnvironment Code = "wallet-environment"
)

// What Apple accepts and then drops without a word.
const (
	CodeNotUTF8              Code = "not-utf8"
	CodeByteOrderMark        Code = "byte-order-mark"
	CodeMalformedJSON        Code = "malformed-json"
	CodeTooDeep              Code = "too-deep"
	CodeLoneSurrogate        Code = "lone-surrogate"
	CodeNumberRange          Code = "number-range"
	CodeDuplicateKey         Code = "duplicate-key"
	CodeNotAnObject          Code = "not-an-object"
	CodeAPSMissing           Code = "aps-missing"
	CodeAPSNotObject         Code = "aps-not-object"
	CodeWrongType            Code = "wrong-type"
	CodeNumericString        Code = "numeric-string"
	CodeNothingToPresent     Code = "nothing-to-present"
	CodeContentAvailable     Code = "background-content-available"
	CodeBackgroundAlert      Code = "background-alert"
	CodeBackgroundPriority   Code = "background-priority"
	CodePresentationIgnored  Code = "presentation-ignored"
	CodePushTypeMismatch     Code = "push-type-mismatch"
	CodeMDMMagic             Code = "mdm-push-magic"
	CodeMDMExtraKey          Code = "mdm-extra-key"
	CodeContainerIdentifier  Code = "container-identifier"
	CodeContentChanged       Code = "content-changed"
	CodeActivityTimestamp    Code = "activity-timestamp"
	CodeActivityEvent        Code = "activity-event"
	CodeActivityContentState Code = "activity-content-state"
	CodeActivityStart        Code = "activity-start"
	CodeActivityInputs       Code = "activity-inputs"
	CodeActivityMilliseconds Code = "activity-milliseconds"
	CodeActivityBroadcast    Code = "activity-start-broadcast"
	CodeSafariURLArgs        Code = "safari-url-args"
	CodeSafariText           Code = "safari-text"
)

// What looks like a mistake.
const (
	CodeSizeNearLimit       Code = "size-near-limit"
	CodeNullValue           Code = "null-value"
	CodeBooleanForNumber    Code = "boolean-for-number"
	CodeFlagNotOne          Code = "flag-not-one"
	CodeMisspelledKey       Code = "misspelled-key"
	CodeCustomKeyInAPS      Code = "custom-key-in-aps"
	CodeUnknownAlertKey     Code = "unknown-alert-key"
	CodeBlankText           Code = "blank-text"
	CodeUnknownSoundKey     Code = "unknown-sound-key"
	CodeObsoleteKey         Code = "obsolete-key"
	CodeKeyOfOtherType      Code = "key-of-other-type"
	CodeAPSNested           Code = "aps-nested"
	CodeBadgeValue          Code = "badge-value"
	CodeRelevanceScore      Code = "relevance-score"
	CodeCriticalEntitlement Code = "critical-entitlement"
	CodePassiveSound        Code = "passive-sound"
	CodeCriticalLevel       Code = "critical-level"
	CodeSoundObject         Code = "sound-object"
	CodeInterruptionLevel   Code = "interruption-level"
	CodeMutableWithoutText  Code = "mutable-content-without-text"
	CodeLocArgsWithoutKey   Code = "loc-args-without-key"
	CodeKeyOutsideAPS       Code = "aps-key-outside"
	CodeTextAndLocKey       Code = "text-and-loc-key"
	CodeNothingForApp       Code = "nothing-for-app"
	CodePriorityUnusual     Code = "priority-unusual"
	CodeTopicUnexpected     Code = "topic-unexpected-suffix"
	CodeExpirationRelative  Code = "expiration-relative"
	CodeExpirationUnit      Code = "expiration-milliseconds"
	CodeExpirationPast      Code = "expiration-past"
	CodeExpirationLong      Code = "expiration-not-immediate"
	CodeFileProviderDomain  Code = "fileprovider-domain"
	CodeContainerUnusual    Code = "container-unusual"
	CodePTTPushType         Code = "ptt-push-type"
	CodeActivityEndState    Code = "activity-end-without-state"
	CodeActivityTime        Code = "activity-time"
	CodeActivityStale       Code = "activity-stale-date"
	CodeActivityDate        Code = "activity-date-as-text"
	CodeActivityDateEpoch   Code = "activity-date-from-1970"
	CodeActivityAlert       Code = "activity-alert-as-text"
	CodeActivityDismissal   Code = "activity-dismissal-date"
	CodeActivityEventKey    Code = "activity-key-of-other-event"
	CodeActivitySound       Code = "activity-sound-outside-alert"
	CodeActivityInputFlag   Code = "activity-input-flag"
	CodeWalletPayload       Code = "wallet-payload"
	CodeSafariExtraKey      Code = "safari-extra-key"
	CodeFindingsTruncated   Code = "findings-truncated"
)

// A Rule describes one code of the linter.
type Rule struct {
	Code     Code     `json:"code"`
	Severity Severity `json:"severity"`
	// Summary is one sentence that fits every finding with this code.
	Summary string `json:"summary"`
	// Source is the title of the Apple page the rule comes from, or "observed";
	// see the package documentation.
	Source string `json:"source"`
}

// Rules returns every rule of the linter in a fixed order, worst first.
func Rules() []Rule { return slices.Clone(ruleTable) }

// rules finds a rule by its code.
var rules = func() map[Code]Rule {
	m := make(map[Code]Rule, len(ruleTable))
	for _, r := range ruleTable {
		m[r.Code] = r
	}
	return m
}()

// Pages, by title.
const (
	observed       = "observed"
	pageGenerating = "Generating a remote notification"
	pageSending    = "Sending notification requests to APNs"
	pageResponses  = "Handling notification responses from APNs"
	pageBackground = "Pushing background updates to your App"
	pageBroadcast  = "Sending broadcast push notification requests to APNs"
	pageActivity   = "Starting and updating Live Activities with ActivityKit push notifications"
	pageMDM        = "Sending MDM commands to a device"
	pageFiles      = "Using push notifications to signal changes"
	pageWidgets    = "Updating widgets with WidgetKit push notifications"
	pagePTT        = "Creating a Push to Talk app"
	pageVoIP       = "Responding to VoIP Notifications from PushKit"
	pageWallet     = "Adding a Web Service to Update Passes"
	pageSafari     = "Configuring Safari Push Notifications (retired)"
	pageCritical   = "Critical Alerts Entitlement"
)

var ruleTable = []Rule{
	{CodePayloadEmpty, Rejected, "The body has no bytes.", pageResponses},
	{CodePayloadTooLarge, Rejected, "The body is larger than the limit of its push type.", pageGenerating},
	{CodeUnknownPushType, Rejected, "The push type is not one of Apple's eleven, or not one that can be broadcast.", pageSending},
	{CodePriorityInvalid, Rejected, "The priority is not 10, 5 or 1.", pageSending},
	{CodeExpirationInvalid, Rejected, "The expiration is negative.", pageSending},
	{CodeTopicSuffix, Rejected, "The topic does not have the form its push type needs.", pageSending},
	{CodeWalletEnvironment, Rejected, "Wallet updates exist in production only.", pageWallet},

	{CodeNotUTF8, Dropped, "The body is not UTF-8.", pageGenerating},
	{CodeByteOrderMark, Dropped, "The body begins with a byte order mark.", observed},
	{CodeMalformedJSON, Dropped, "The body is not JSON; APNs does not say so.", observed},
	{CodeTooDeep, Dropped, "Values nest too deeply for the device's parser.", observed},
	{CodeLoneSurrogate, Dropped, "An escape is half of a surrogate pair.", observed},
	{CodeNumberRange, Dropped, "A number does not fit a double.", observed},
	{CodeDuplicateKey, Dropped, "A key occurs twice; one of the values is lost.", observed},
	{CodeNotAnObject, Dropped, "The JSON is not an object.", pageGenerating},
	{CodeAPSMissing, Dropped, "There is no aps dictionary.", pageGenerating},
	{CodeAPSNotObject, Dropped, "aps is not an object.", pageGenerating},
	{CodeWrongType, Dropped, "A key of Apple's has a value of the wrong JSON type.", pageGenerating},
	{CodeNumericString, Dropped, "A number stands in quotes.", pageGenerating},
	{CodeNothingToPresent, Dropped, "An alert has neither text nor badge nor sound.", pageSending},
	{CodeContentAvailable, Dropped, "A background push lacks content-available 1.", pageBackground},
	{CodeBackgroundAlert, Dropped, "A background push carries an alert, badge or sound.", pageBackground},
	{CodeBackgroundPriority, Dropped, "A background push has a priority other than 5.", pageSending},
	{CodePresentationIgnored, Dropped, "The system never shows alert, badge or sound for this push type.", pageSending},
	{CodePushTypeMismatch, Dropped, "The content belongs to another push type.", pageSending},
	{CodeMDMMagic, Dropped, "An MDM push lacks the PushMagic.", pageMDM},
	{CodeMDMExtraKey, Dropped, "An MDM push has keys besides mdm.", pageMDM},
	{CodeContainerIdentifier, Dropped, "A File Provider push names no container.", pageFiles},
	{CodeContentChanged, Dropped, "A widgets or controls push lacks content-changed true.", pageWidgets},
	{CodeActivityTimestamp, Dropped, "A Live Activity push lacks its timestamp.", pageActivity},
	{CodeActivityEvent, Dropped, "A Live Activity push lacks its event, or names an unknown one.", pageActivity},
	{CodeActivityContentState, Dropped, "A Live Activity push lacks its content-state.", pageActivity},
	{CodeActivityStart, Dropped, "A Live Activity start lacks something Apple requires.", pageActivity},
	{CodeActivityInputs, Dropped, "input-push-token and input-push-channel exclude each other.", observed},
	{CodeActivityMilliseconds, Dropped, "A Live Activity time counts milliseconds, not seconds.", pageActivity},
	{CodeActivityBroadcast, Dropped, "A Live Activity cannot be started by broadcast.", pageBroadcast},
	{CodeSafariURLArgs, Dropped, "A Safari website push lacks url-args.", pageSafari},
	{CodeSafariText, Dropped, "A Safari website push lacks its title or body.", pageSafari},

	{CodeSizeNearLimit, Suspicious, "The body is within five per cent of the limit.", pageGenerating},
	{CodeNullValue, Suspicious, "A key of Apple's is null.", observed},
	{CodeBooleanForNumber, Suspicious, "true or false stands where Apple documents a number.", pageGenerating},
	{CodeFlagNotOne, Suspicious, "A flag that knows only 1 has another value.", pageGenerating},
	{CodeMisspelledKey, Suspicious, "A key is almost one of Apple's.", pageGenerating},
	{CodeCustomKeyInAPS, Suspicious, "A key inside aps is not one of Apple's and is ignored.", pageGenerating},
	{CodeUnknownAlertKey, Suspicious, "A key inside alert is not one of Apple's and is ignored.", pageGenerating},
	{CodeBlankText, Suspicious, "The texts of an alert are blanks.", observed},
	{CodeUnknownSoundKey, Suspicious, "A key inside sound is not one of Apple's and is ignored.", pageGenerating},
	{CodeObsoleteKey, Suspicious, "A key no longer does anything.", pageGenerating},
	{CodeKeyOfOtherType, Suspicious, "A key means nothing for this push type.", pageGenerating},
	{CodeAPSNested, Suspicious, "aps lies deeper than the top level, where nobody reads it.", pageGenerating},
	{CodeBadgeValue, Suspicious, "A badge is negative, a fraction or out of range.", pageGenerating},
	{CodeRelevanceScore, Suspicious, "The relevance of an alert is not between 0 and 1.", pageGenerating},
	{CodeCriticalEntitlement, Suspicious, "Critical alerts need an entitlement that Apple grants on request.", pageCritical},
	{CodePassiveSound, Suspicious, "A passive notification never plays its sound.", pageGenerating},
	{CodeCriticalLevel, Suspicious, "The sound is critical, the interruption level is not.", pageGenerating},
	{CodeSoundObject, Suspicious, "A critical sound is incomplete or out of range.", pageGenerating},
	{CodeInterruptionLevel, Suspicious, "The interruption level is not one of Apple's four.", pageGenerating},
	{CodeMutableWithoutText, Suspicious, "mutable-content does nothing without a text.", pageGenerating},
	{CodeLocArgsWithoutKey, Suspicious, "Localisation arguments have no key to go with.", pageGenerating},
	{CodeKeyOutsideAPS, Suspicious, "A key of Apple's stands beside aps instead of inside.", pageGenerating},
	{CodeTextAndLocKey, Suspicious, "A text and its localisation key are both given.", pageGenerating},
	{CodeNothingForApp, Suspicious, "The app must react at once and is told nothing.", pageVoIP},
	{CodePriorityUnusual, Suspicious, "The priority is not one Apple gives for this push type.", pageSending},
	{CodeTopicUnexpected, Suspicious, "The topic ends like that of another push type.", pageSending},
	{CodeExpirationRelative, Suspicious, "The expiration lies before 2000: a duration, not a time.", pageSending},
	{CodeExpirationUnit, Suspicious, "The expiration counts milliseconds, not seconds.", pageSending},
	{CodeExpirationPast, Suspicious, "The expiration has passed.", pageSending},
	{CodeExpirationLong, Suspicious, "A call or a voice is worth nothing later.", pageSending},
	{CodeFileProviderDomain, Suspicious, "A File Provider push names no domain.", pageFiles},
	{CodeContainerUnusual, Suspicious, "Replicated File Provider extensions listen to the working set only.", pageFiles},
	{CodePTTPushType, Suspicious, "ptt-push-type knows only service-update.", observed},
	{CodeActivityEndState, Suspicious, "An ended Live Activity keeps showing its last state.", pageActivity},
	{CodeActivityTime, Suspicious, "A Live Activity time lies before 2000.", pageActivity},
	{CodeActivityStale, Suspicious, "The stale date is not after the timestamp.", pageActivity},
	{CodeActivityDate, Suspicious, "A time in a Live Activity's own data is text, which no Swift Date decodes.", pageActivity},
	{CodeActivityDateEpoch, Suspicious, "A number in a Live Activity's own data looks like a time counted from 1970, where Swift counts from 2001.", observed},
	{CodeActivityAlert, Suspicious, "The alert of a Live Activity is a text and no object.", pageActivity},
	{CodeActivityDismissal, Suspicious, "The dismissal date is more than four hours after the end.", pageActivity},
	{CodeActivityEventKey, Suspicious, "A key means nothing for this event.", pageActivity},
	{CodeActivitySound, Suspicious, "The sound of a Live Activity stands inside its alert.", pageActivity},
	{CodeActivityInputFlag, Suspicious, "input-push-channel is not a channel id, or input-push-token is not 1.", pageActivity},
	{CodeWalletPayload, Suspicious, "Wallet ignores everything in the body.", pageWallet},
	{CodeSafariExtraKey, Suspicious, "Safari takes alert and url-args only.", pageSafari},
	{CodeFindingsTruncated, Suspicious, "There are more findings than are listed.", observed},
}
