package proto

// PushType is the value of apns-push-type. The zero value means "not stated".
type PushType string

// The eleven push types ("Sending notification requests to APNs", table of
// apns-push-type).
const (
	PushTypeAlert        PushType = "alert"
	PushTypeBackground   PushType = "background"
	PushTypeComplication PushType = "complication"
	PushTypeControls     PushType = "controls"
	PushTypeFileProvider PushType = "fileprovider"
	PushTypeLiveActivity PushType = "liveactivity"
	PushTypeLocation     PushType = "location"
	PushTypeMDM          PushType = "mdm"
	PushTypePushToTalk   PushType = "pushtotalk"
	PushTypeVoIP         PushType = "voip"
	PushTypeWidgets      PushType = "widgets"
)

// Priority is the value of apns-priority. The zero value means "not stated",
// which APNs reads as 10.
type Priority int

// The three priorities.
const (
	// PriorityImmediate (10) asks for delivery at once.
	PriorityImmediate Priority = 10
	// PriorityConserve (5) lets the device's power situation decide when.
	PriorityConserve Priority = 5
	// PriorityPower (1) puts power before everything and never wakes a device.
	PriorityPower Priority = 1
)

// TypeRule is what Apple's pages say about one push type.
type TypeRule struct {
	Type PushType
	// TopicSuffix is appended to the bundle identifier to make the topic; empty
	// for alert, background and mdm.
	TopicSuffix string
	// DefaultPriority is what a sender means when it states none: Apple's own
	// default where one is given, otherwise what Apple's sample uses.
	DefaultPriority Priority
	// OnlyPriority, when set, is the one value Apple allows.
	OnlyPriority Priority
	// Priorities lists the allowed values; nil means any of 10, 5, 1.
	Priorities []Priority
	// ExpireAtOnce says that Apple advises an expiration of 0 (or a few
	// seconds), since a late delivery is worse than none.
	ExpireAtOnce bool
	// MaxPayload is the size limit in bytes.
	MaxPayload int
	// NeedsAPS says that the payload must have an aps dictionary.
	NeedsAPS bool
	// ProviderToken and Certificate say which credentials can send this type.
	ProviderToken, Certificate bool
	// Since is the system version that introduced the type, or empty.
	Since string
}

// TypeRules has one row for each push type, in alphabetical order.
var TypeRules = []TypeRule{
	{Type: PushTypeAlert, DefaultPriority: 10, MaxPayload: MaxPayload, NeedsAPS: true, ProviderToken: true, Certificate: true},
	// "Always use priority 5. Using priority 10 is an error."
	{Type: PushTypeBackground, DefaultPriority: 5, OnlyPriority: 5, Priorities: []Priority{5}, MaxPayload: MaxPayload, NeedsAPS: true, ProviderToken: true, Certificate: true},
	{Type: PushTypeComplication, TopicSuffix: ".complication", DefaultPriority: 10, MaxPayload: MaxPayload, ProviderToken: true, Certificate: true},
	{Type: PushTypeControls, TopicSuffix: ".push-type.controls", DefaultPriority: 10, MaxPayload: MaxPayload, NeedsAPS: true, ProviderToken: true, Since: "iOS 18"},
	{Type: PushTypeFileProvider, TopicSuffix: ".pushkit.fileprovider", DefaultPriority: 10, MaxPayload: MaxPayload, ProviderToken: true},
	{Type: PushTypeLiveActivity, TopicSuffix: ".push-type.liveactivity", DefaultPriority: 10, Priorities: []Priority{10, 5}, MaxPayload: MaxPayload, NeedsAPS: true, ProviderToken: true, Since: "iOS 16.1"},
	{Type: PushTypeLocation, TopicSuffix: ".location-query", DefaultPriority: 10, Priorities: []Priority{10, 5}, MaxPayload: MaxPayload, ProviderToken: true, Since: "iOS 15"},
	{Type: PushTypeMDM, DefaultPriority: 10, MaxPayload: MaxPayload, Certificate: true},
	{Type: PushTypePushToTalk, TopicSuffix: ".voip-ptt", DefaultPriority: 10, OnlyPriority: 10, Priorities: []Priority{10}, ExpireAtOnce: true, MaxPayload: MaxPayload, ProviderToken: true, Certificate: true, Since: "iOS 16"},
	{Type: PushTypeVoIP, TopicSuffix: ".voip", DefaultPriority: 10, ExpireAtOnce: true, MaxPayload: MaxPayloadVoIP, ProviderToken: true, Certificate: true},
	{Type: PushTypeWidgets, TopicSuffix: ".push-type.widgets", DefaultPriority: 10, MaxPayload: MaxPayload, NeedsAPS: true, ProviderToken: true, Since: "iOS 26"},
}

// RuleFor returns the row of a push type.
func RuleFor(t PushType) (TypeRule, bool) {
	for i := range TypeRules {
		if TypeRules[i].Type == t {
			return TypeRules[i], true
		}
	}
	return TypeRule{}, false
}

// TopicPrefixMDM begins every MDM topic, which is the UID of the certificate.
const TopicPrefixMDM = "com.apple.mgmt."

// TopicPrefixWebsite begins the topic of legacy Safari pushes.
const TopicPrefixWebsite = "web."

// TopicPrefixPass begins a Wallet pass type identifier.
const TopicPrefixPass = "pass."

// TopicPrefixOrder begins a Wallet order type identifier.
const TopicPrefixOrder = "order."
