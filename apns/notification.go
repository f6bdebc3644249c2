package apns

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"aviso.example/internal/proto"
)

// PushType is the value of apns-push-type. The zero value means no push type at all
// for Wallet passes, Wallet orders and Safari websites, which have none, mdm for an MDM
// topic, background for a payload that only wakes the app, and else alert.
type PushType = proto.PushType

// The eleven push types ("Sending notification requests to APNs").
const (
	PushTypeAlert        = proto.PushTypeAlert
	PushTypeBackground   = proto.PushTypeBackground
	PushTypeComplication = proto.PushTypeComplication
	PushTypeControls     = proto.PushTypeControls
	PushTypeFileProvider = proto.PushTypeFileProvider
	PushTypeLiveActivity = proto.PushTypeLiveActivity
	PushTypeLocation     = proto.PushTypeLocation
	PushTypeMDM          = proto.PushTypeMDM
	PushTypePushToTalk   = proto.PushTypePushToTalk
	PushTypeVoIP         = proto.PushTypeVoIP
	PushTypeWidgets      = proto.PushTypeWidgets
)

// Priority is the value of apns-priority. The zero value means what the push
// type asks for: 5 for background, else 10.
type Priority = proto.Priority

// The three priorities.
const (
	PriorityImmediate = proto.PriorityImmediate // 10: at once
	PriorityConserve  = proto.PriorityConserve  // 5: mind the device's power
	PriorityPower     = proto.PriorityPower     // 1: never wake the device
)

// Expiration says how long APNs may keep trying. The zero value leaves it to
// APNs, which stores a notification for at most 30 days; for VoIP and
// push-to-talk it means ExpireImmediately, as Apple advises, since a late call
// is worse than none.
type Expiration struct {
	at    int64
	state expirationState
}

type expirationState uint8

const (
	expirationUnset expirationState = iota
	expirationAtOnce
	expirationAt
	expirationStored
)

var (
	// ExpireImmediately asks for one attempt and no storage (apns-expiration
	// 0).
	ExpireImmediately = Expiration{state: expirationAtOnce}
	// ExpireByStoragePolicy sends no apns-expiration, whatever the push type.
	ExpireByStoragePolicy = Expiration{state: expirationStored}
)

// ExpireAt asks APNs to try until t. Seconds count; a time in the past is
// refused before sending, and one in 1970 with the likely mistake.
func ExpireAt(t time.Time) Expiration {
	return Expiration{at: t.Unix(), state: expirationAt}
}

// ExpireAfter asks APNs to try for so long from now on. Seconds count, and a part of one
// counts as a whole; what is not positive is refused before sending, as a time in the
// past.
func ExpireAfter(d time.Duration) Expiration {
	if d > 0 {
		d += time.Second - 1
	}
	return ExpireAt(time.Now().Add(d))
}

// ExpireAtUnix is ExpireAt for the value of apns-expiration: UNIX seconds, or 0
// for ExpireImmediately.
func ExpireAtUnix(seconds int64) Expiration {
	if seconds == 0 {
		return ExpireImmediately
	}
	return Expiration{at: seconds, state: expirationAt}
}

// Time returns the time set with ExpireAt; ok is false for the other states.
func (e Expiration) Time() (t time.Time, ok bool) {
	if e.state != expirationAt {
		return time.Time{}, false
	}
	return time.Unix(e.at, 0), true
}

// Notification is one push to one device, or to all devices that are subscribed
// to one broadcast channel. It must not be changed between handing it in and its
// outcome.
type Notification struct {
	// DeviceToken is the device token in hexadecimal digits, as the app
	// received it. Apple asks to assume no length; 64 digits are usual.
	DeviceToken string
	// ChannelID, instead of DeviceToken, is the id of a broadcast channel in
	// base64, as APNs gave it when the channel was made; it works in the
	// environment of its making only. Such a notification updates or ends Live
	// Activities (iOS 18). It must state Priority and Expiration, since APNs has
	// no default for either; it has neither Topic nor CollapseID; BundleID is
	// without a suffix. Package broadcast makes channels and such notifications
	// ("Sending broadcast push notification requests to APNs").
	ChannelID string
	// Payload is a JSON object of at most 4096 bytes, 5120 for VoIP and
	// channels. Package payload builds and checks it.
	Payload []byte

	// PushType: see its zero value.
	PushType PushType
	// BundleID is the app's bundle identifier, to which the suffix of the push
	// type is added to make the topic. Empty means Config.BundleID.
	BundleID string
	// Topic, if set, is sent as it is and must fit the push type. It is for
	// MDM, Wallet and Safari, whose topics are not made from a bundle
	// identifier.
	Topic string
	// Priority: see its zero value.
	Priority Priority
	// Expiration: see its zero value.
	Expiration Expiration
	// CollapseID, at most 64 bytes, makes this notification replace an earlier
	// one with the same CollapseID on the device.
	CollapseID string
	// ID is the apns-id, or the apns-request-id of a broadcast; the client makes
	// one if it is zero. It stays the same when the notification is sent again.
	ID ID

	// ResendUnknown allows another attempt when no answer came, at the risk of
	// a duplicate. See also Config.ResendUnknown.
	ResendUnknown bool
	// Tag is for the caller; it comes back with the Result.
	Tag any
}

// Payload is a typed payload, such as those of package payload. It knows which
// push type it is for.
type Payload interface {
	// JSON returns the validated JSON object.
	JSON() ([]byte, error)
	PushType() PushType
}

// NewNotification returns a notification with a typed payload and the push type
// that belongs to it. The error is the payload's.
func NewNotification(deviceToken string, p Payload) (*Notification, error) {
	body, err := p.JSON()
	if err != nil {
		return nil, err
	}
	return &Notification{DeviceToken: deviceToken, PushType: p.PushType(), Payload: body}, nil
}

// Validate returns everything that Push would find wrong before sending, as an
// *InvalidError, or nil. It is for callers that keep a notification and send it
// later. bundleID stands in for Config.BundleID, where the notification names
// none; an expiration has to lie after now. Which topics a certificate can push
// to is for the client to know.
func (n *Notification) Validate(bundleID string, now time.Time) error {
	if n == nil {
		return &InvalidError{[]Problem{{"Notification", "is nil"}}}
	}
	if n.ChannelID != "" {
		if problems := n.checkBroadcast(bundleID, now); len(problems) > 0 {
			return &InvalidError{problems}
		}
		return nil
	}
	_, pushType, _, problems := n.checkHead(bundleID)
	problems = append(problems, n.checkRest(pushType, now)...)
	if len(problems) > 0 {
		return &InvalidError{problems}
	}
	return nil
}

// topic derives the topic, or says what contradicts what.
func (n *Notification) topic(bundleID string, rule *proto.TypeRule) (topic string, problem *Problem) {
	named := n.Topic
	if n.BundleID != "" {
		bundleID = n.BundleID
	} else if named == "" && proto.TypeOfTopic(bundleID) != "" {
		named = bundleID // the certificate has nothing else
	}
	switch {
	case named != "":
		if rule != nil && rule.TopicSuffix != "" && !strings.HasSuffix(named, rule.TopicSuffix) {
			return "", &Problem{"Topic", fmt.Sprintf("has to end in %q for push type %s; or set BundleID instead, and the suffix is added", rule.TopicSuffix, rule.Type)}
		}
		if rule != nil && rule.Type == PushTypeMDM && !strings.HasPrefix(named, proto.TopicPrefixMDM) {
			return "", &Problem{"Topic", fmt.Sprintf("has to begin with %q for push type mdm: it is the UID of the MDM certificate's subject", proto.TopicPrefixMDM)}
		}
		if rule != nil && rule.Type != PushTypeMDM && strings.HasPrefix(named, proto.TopicPrefixMDM) {
			return "", &Problem{"Topic", fmt.Sprintf("begins with %q, which belongs to push type mdm, but the push type is %s", proto.TopicPrefixMDM, rule.Type)}
		}
		if rule != nil && rule.TopicSuffix == "" && rule.Type != PushTypeMDM {
			for _, other := range proto.TypeRules {
				if other.TopicSuffix != "" && strings.HasSuffix(named, other.TopicSuffix) {
					return "", &Problem{"Topic", fmt.Sprintf("ends in %q, which belongs to push type %s, but the push type is %s", other.TopicSuffix, other.Type, rule.Type)}
				}
			}
		}
		// A bundle identifier can end in .voip, and none ends like this.
		if rule != nil && strings.HasPrefix(rule.TopicSuffix, ".push") && strings.HasSuffix(named, rule.TopicSuffix+rule.TopicSuffix) {
			return "", &Problem{"Topic", fmt.Sprintf("ends in %q twice", rule.TopicSuffix)}
		}
		return named, checkTopic("Topic", named)
	case rule != nil && rule.Type == PushTypeMDM:
		return "", &Problem{"Topic", "is needed for push type mdm: the UID of the MDM certificate's subject, which begins with " + proto.TopicPrefixMDM}
	case bundleID == "":
		return "", &Problem{"BundleID", "is missing, here and in Config: it is the app's bundle identifier, like com.example.app"}
	}
	if problem := checkTopic("BundleID", bundleID); problem != nil {
		return "", problem
	}
	if rule == nil || rule.TopicSuffix == "" {
		return bundleID, nil
	}
	if strings.HasSuffix(bundleID, rule.TopicSuffix) {
		return "", &Problem{"BundleID", fmt.Sprintf("already ends in %q, which is added for push type %s; give the plain bundle identifier, or use Topic", rule.TopicSuffix, rule.Type)}
	}
	return bundleID + rule.TopicSuffix, nil
}

// checkTopic looks for what can never be a topic. What bundle identifiers may
// look like is for Apple to say.
func checkTopic(field, topic string) *Problem {
	for i := range len(topic) {
		switch b := topic[i]; {
		case b == '<' || b == '>':
			return &Problem{field, "has angle brackets; a placeholder was probably not replaced"}
		case b <= ' ' || b >= 0x7f:
			return &Problem{field, fmt.Sprintf("has a space, control or non-ASCII character at position %d", i+1)}
		}
	}
	if !strings.Contains(topic, ".") {
		return &Problem{field, "has no dot; a bundle identifier looks like com.example.app"}
	}
	if len(topic) > 255 {
		return &Problem{field, fmt.Sprintf("has %d bytes; bundle identifiers have at most 155", len(topic))}
	}
	return nil
}

// EffectivePushType is the push type that a notification goes out with: PushType, or
// where that is not set mdm for an MDM topic, background for a payload that only wakes
// the app, and else alert; a topic with the suffix of another push type is refused then. It
// is empty for passes, orders and websites. bundleID stands in for Config.BundleID.
func (n *Notification) EffectivePushType(bundleID string) PushType {
	if n.PushType != "" {
		return n.PushType
	}
	topic := cmp.Or(n.Topic, n.BundleID, bundleID)
	if proto.HasNoType(topic) {
		return ""
	}
	if strings.HasPrefix(topic, proto.TopicPrefixMDM) {
		return PushTypeMDM
	}
	return cmp.Or(n.typeOfPayload(), PushTypeAlert)
}

// typeOfPayload is the push type that the payload tells where none is stated. Whoever
// states a priority that it cannot have means something else.
func (n *Notification) typeOfPayload() PushType {
	if n.PushType != "" || n.Priority != 0 && n.Priority != PriorityConserve {
		return ""
	}
	return proto.TypeOfPayload(n.Payload)
}

// checkHead checks what goes into the shared part of the header section and
// returns it.
func (n *Notification) checkHead(bundleID string) (topic string, pushType PushType, priority Priority, problems []Problem) {
	pushType = n.EffectivePushType(bundleID)
	var rule *proto.TypeRule
	if r, ok := proto.RuleFor(pushType); ok {
		rule = &r
	} else if pushType != "" {
		problems = append(problems, Problem{"PushType", fmt.Sprintf("is not one of Apple's eleven push types%s", didYouMean(pushType))})
	}
	topic, problem := n.topic(bundleID, rule)
	if problem != nil {
		problems = append(problems, *problem)
	}
	priority = n.Priority
	switch {
	case priority == 0 && rule != nil:
		priority = rule.DefaultPriority
	case priority == 0:
	case priority != 10 && priority != 5 && priority != 1:
		problems = append(problems, Problem{"Priority", "has to be 10, 5 or 1"})
	case rule != nil && rule.Priorities != nil && !slices.Contains(rule.Priorities, priority):
		problems = append(problems, Problem{"Priority", fmt.Sprintf("%d is an error with push type %s; leave it out, or use %s", priority, rule.Type, join(rule.Priorities))})
	}
	return topic, pushType, priority, problems
}

func join(list []Priority) string {
	s := ""
	for i, p := range list {
		if i > 0 {
			s += " or "
		}
		s += strconv.Itoa(int(p))
	}
	return s
}

func didYouMean(t PushType) string {
	for _, r := range proto.TypeRules {
		if strings.EqualFold(string(r.Type), string(t)) {
			return fmt.Sprintf("; did you mean %q? Case matters", r.Type)
		}
	}
	if strings.EqualFold(string(t), "silent") {
		return "; silent notifications are called background"
	}
	return ""
}

// checkRest checks what differs from notification to notification. It runs for
// each of millions, so it looks at each byte once and allocates only problems.
func (n *Notification) checkRest(pushType PushType, now time.Time) (problems []Problem) {
	if p := CheckDeviceToken(n.DeviceToken); p != nil {
		problems = append(problems, *p)
	}
	limit := proto.MaxPayload
	if pushType == PushTypeVoIP {
		limit = proto.MaxPayloadVoIP
	}
	switch size := len(n.Payload); {
	case size == 0:
		problems = append(problems, Problem{"Payload", "is empty; the least there is is {}"})
	case size > limit:
		problems = append(problems, Problem{"Payload", tooLarge(n.Payload, limit)})
	case !looksLikeObject(n.Payload):
		problems = append(problems, Problem{"Payload", "is not a JSON object: it has to begin with { and end with }"})
	}
	if len(n.CollapseID) > proto.MaxCollapseID {
		problems = append(problems, Problem{"CollapseID", fmt.Sprintf("has %d bytes; the limit is %d bytes, not characters", len(n.CollapseID), proto.MaxCollapseID)})
	} else if n.CollapseID != "" && !isFieldValue(n.CollapseID) {
		problems = append(problems, Problem{"CollapseID", "has a control character or begins or ends with a space, which no header field can hold"})
	}
	if n.Expiration.state == expirationAt {
		if p := checkExpiration(n.Expiration.at, now.Unix()); p != "" {
			problems = append(problems, Problem{"Expiration", p})
		}
	}
	return problems
}

// CheckDeviceToken returns what is wrong with a device token before anything is
// sent, or nil. It is what Validate does of all that differs from device to
// device, for callers that send one payload to thousands; it allocates nothing
// if there is nothing to say.
func CheckDeviceToken(s string) *Problem {
	if s == "" {
		return &Problem{"DeviceToken", "is missing"}
	}
	for i := range len(s) {
		if hexValue[s[i]] > 15 {
			hint := "a device token is hexadecimal digits only"
			if looks := looksLike(s); looks != "" {
				hint += "; it looks like " + looks
			}
			return &Problem{"DeviceToken", fmt.Sprintf("has a wrong character at position %d of %d: %s", i+1, len(s), hint)}
		}
	}
	if len(s)%2 != 0 {
		return &Problem{"DeviceToken", fmt.Sprintf("has %d digits, an odd number; it was probably cut off", len(s))}
	}
	// Apple asks to assume no length, but a header section has one.
	if len(s) > proto.MaxHeaderList/2 {
		return &Problem{"DeviceToken", fmt.Sprintf("has %d digits; APNs takes header sections of %d bytes", len(s), proto.MaxHeaderList)}
	}
	return nil
}

// tooLarge says what a payload needs that is over the limit.
func tooLarge(payload []byte, limit int) string {
	var compact bytes.Buffer
	if json.Compact(&compact, payload) == nil && compact.Len() <= limit {
		return fmt.Sprintf("has %d bytes, of which %d are blanks and line breaks between its parts; the limit is %d. Take them out, as json.Compact does", len(payload), len(payload)-compact.Len(), limit)
	}
	return fmt.Sprintf("has %d bytes; the limit is %d. payload.Shorten trims the alert to fit", len(payload), limit)
}

// looksLike says what people give in place of a device token, as far as the whole of it
// tells, or "".
func looksLike(s string) string {
	trimmed := strings.Trim(s, " \t\r\n\"'")
	lower := strings.ToLower(trimmed)
	has := func(set string) bool { return strings.ContainsAny(trimmed, set) }
	switch {
	case isHex(trimmed):
		return "a device token with quotes or blanks around it: remove them"
	case lower == "null" || lower == "nil" || lower == "undefined" || lower == "none" || lower == "(null)":
		return "the word that a program has for nothing: the app had no device token"
	case strings.Contains(trimmed, ",") && !strings.Contains(trimmed, "length"):
		return "several device tokens: give each by itself"
	case strings.HasPrefix(trimmed, "[object "):
		return "what JavaScript prints of an object: take the member that has the device token"
	case isHex(strings.Trim(trimmed, "[]()")):
		return "a device token in brackets: remove them"
	case strings.Contains(lower, "%3c") || strings.Contains(lower, "%20"):
		return "a part of a URL: decode it first"
	case strings.HasSuffix(trimmed, "…") || strings.HasSuffix(trimmed, "..."):
		return "a device token that was cut for display: take all of it"
	case strings.HasPrefix(trimmed, "<") && strings.ContainsAny(lower, "ghijklmnopqrstuvwxyz"):
		return "a placeholder that was not replaced"
	case strings.HasPrefix(lower, "0x") && isHex(trimmed[2:]):
		return "a number in a program: remove 0x"
	case strings.HasPrefix(trimmed, "Optional("):
		return "the description of a Swift optional: unwrap it before it is printed"
	case strings.HasPrefix(trimmed, "ExponentPushToken[") || strings.HasPrefix(trimmed, "ExpoPushToken["):
		return "a registration with Expo, which APNs does not know: ask the app for the device push token"
	case strings.HasSuffix(trimmed, " bytes"):
		return "what Swift prints of a Data: convert the bytes to hexadecimal digits in the app"
	case strings.HasPrefix(trimmed, "{length") || strings.Contains(trimmed, "bytes = 0x"):
		return "the description that NSData has since iOS 13, which is cut: convert the bytes to hexadecimal digits in the app"
	case strings.HasPrefix(trimmed, "http://") || strings.HasPrefix(trimmed, "https://"):
		return "the endpoint of a Web Push subscription: that is package webpush's, or aviso webpush"
	case has("-") && isHex(strings.ReplaceAll(trimmed, "-", "")):
		return "a UUID, perhaps a device identifier"
	case len(trimmed) >= leastHex && isHex(trimmed[strings.LastIndexByte(trimmed, ':')+1:]) && len(trimmed)-strings.LastIndexByte(trimmed, ':') > leastHex:
		return "a device token with a name before it: remove it"
	case len(trimmed) >= leastHex && nearlyHex(trimmed):
		return "a device token with a letter that is no digit, such as O in place of 0"
	case strings.Contains(trimmed, ":") && isWord(strings.ReplaceAll(trimmed, ":", "")):
		return "a Firebase registration, which APNs does not know"
	case has(" <>") && isHex(strings.NewReplacer(" ", "", "<", "", ">", "").Replace(trimmed)):
		return "the description of an NSData: remove spaces and angle brackets"
	case (has("+/=") || len(trimmed) >= 40) && isWord(strings.NewReplacer("+", "", "/", "", "=", "").Replace(trimmed)) && !strings.Contains(trimmed, ":"):
		return "base64: convert the bytes to hexadecimal digits"
	}
	return ""
}

// leastHex is how many digits tell a device token from a word.
const leastHex = 32

// nearlyHex says that all but two characters at most are hexadecimal digits.
func nearlyHex(s string) bool {
	others := 0
	for i := range len(s) {
		if hexValue[s[i]] > 15 {
			others++
		}
	}
	return others <= 2 && isWord(s) && !strings.Contains(s, "-")
}

func isHex(s string) bool {
	for i := range len(s) {
		if hexValue[s[i]] > 15 {
			return false
		}
	}
	return s != ""
}

// isWord says that a text has letters, digits, - and _ only.
func isWord(s string) bool {
	return s != "" && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") == ""
}

func checkExpiration(at, now int64) string {
	switch {
	case at > now:
		if at > now+100*365*24*3600 {
			return "is more than a hundred years away; it was probably given in milliseconds instead of seconds"
		}
		return ""
	case at < 0:
		return "lies before 1970"
	case at < 365*24*3600:
		return fmt.Sprintf("lies in 1970: it has to be a time, not a duration; did you mean %d seconds from now?", at)
	default:
		return "has passed; use ExpireImmediately for a single attempt"
	}
}

func looksLikeObject(b []byte) bool {
	first, last := 0, len(b)-1
	for first < len(b) && isSpace(b[first]) {
		first++
	}
	for last > first && isSpace(b[last]) {
		last--
	}
	return first < last && b[first] == '{' && b[last] == '}'
}

func isSpace(b byte) bool { return b == ' ' || b == '\n' || b == '\r' || b == '\t' }

// isFieldValue is RFC 9113 section 8.2.1's rule.
func isFieldValue(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] == 0x7f {
			return false
		}
	}
	return s[0] != ' ' && s[len(s)-1] != ' '
}
