package payload

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"aviso.example/internal/proto"
)

// immediate is how far an expiration may lie ahead and still count as "a few
// seconds" for a call.
const immediate = time.Minute

func isWalletTopic(topic string) bool {
	return strings.HasPrefix(topic, proto.TopicPrefixPass) || strings.HasPrefix(topic, proto.TopicPrefixOrder)
}

func isWebsiteTopic(topic string) bool { return strings.HasPrefix(topic, proto.TopicPrefixWebsite) }

// headers applies the rules about header fields, as far as they are known.
func (r *lintRun) headers() {
	rule, known := proto.RuleFor(r.t)
	if r.t != "" && !known {
		r.header(CodeUnknownPushType, proto.FieldPushType, "not one of Apple's eleven push types; APNs answers InvalidPushType",
			"use one of the PushType constants; they are lower case")
	}
	if r.Broadcast && known && r.t != PushTypeLiveActivity {
		r.header(CodeUnknownPushType, proto.FieldPushType, "a broadcast is always a Live Activity; APNs answers InvalidPushType",
			"use liveactivity, or send to device tokens")
	}
	r.priority(rule)
	r.expiration(rule)
	if r.Topic != "" {
		r.topic(rule, known)
	}
}

func (r *lintRun) priority(rule proto.TypeRule) {
	switch p := r.Priority; {
	case p == 0:
	case p != PriorityImmediate && p != PriorityConserve && p != PriorityPower:
		r.header(CodePriorityInvalid, proto.FieldPriority, "a priority is 10, 5 or 1; APNs answers BadPriority", "use 10, 5 or 1")
	case r.t == PushTypeBackground && p != PriorityConserve:
		r.header(CodeBackgroundPriority, proto.FieldPriority,
			`Apple: "Always use priority 5. Using priority 10 is an error."`, "use priority 5")
	case rule.Priorities != nil && !slices.Contains(rule.Priorities, p):
		r.header(CodePriorityUnusual, proto.FieldPriority,
			fmt.Sprintf("priority %d is not one Apple gives for %s", p, pushName(r.t)), fmt.Sprintf("use %d", rule.DefaultPriority))
	}
}

func (r *lintRun) expiration(rule proto.TypeRule) {
	if r.Expiration == nil || *r.Expiration == 0 {
		return
	}
	at := *r.Expiration
	switch {
	case at < 0:
		r.header(CodeExpirationInvalid, proto.FieldExpiration, "negative; APNs answers BadExpirationDate",
			"use 0 for one attempt, or UNIX seconds")
	case at < firstSecond:
		r.header(CodeExpirationRelative, proto.FieldExpiration,
			"a moment before 2000, so the push has expired before it is sent", "add the duration to the present UNIX time")
	case at > lastSecond:
		r.header(CodeExpirationUnit, proto.FieldExpiration, "a moment thousands of years away", "divide by 1000: the unit is seconds")
	case r.Now.IsZero():
	case at <= r.Now.Unix():
		r.header(CodeExpirationPast, proto.FieldExpiration, "the moment has passed", "use 0 for one attempt, or a later moment")
	case rule.ExpireAtOnce && at > r.Now.Add(immediate).Unix():
		r.header(CodeExpirationLong, proto.FieldExpiration,
			"the push would still arrive when it has lost its meaning", "use 0, or a few seconds")
	}
}

func (r *lintRun) topic(rule proto.TypeRule, known bool) {
	if r.wallet() {
		if r.Environment == Sandbox {
			r.header(CodeWalletEnvironment, proto.FieldTopic, "Wallet's device tokens exist in production only; the sandbox answers BadDeviceToken",
				"send to "+proto.HostProduction)
		}
		return
	}
	switch {
	case !known:
	case r.t == PushTypeMDM:
		if !strings.HasPrefix(r.Topic, proto.TopicPrefixMDM) {
			r.header(CodeTopicSuffix, proto.FieldTopic, "the topic of an MDM push begins with "+proto.TopicPrefixMDM,
				"use the UID of the MDM push certificate")
		}
	case r.Broadcast:
		// The path names the app; apns-topic is not used.
	case !strings.HasSuffix(r.Topic, rule.TopicSuffix):
		r.header(CodeTopicSuffix, proto.FieldTopic,
			fmt.Sprintf("the topic of %s ends in %s", pushName(r.t), rule.TopicSuffix),
			"append "+rule.TopicSuffix+" to the bundle identifier")
	case rule.TopicSuffix == "":
		for _, other := range proto.TypeRules {
			if other.TopicSuffix != "" && strings.HasSuffix(r.Topic, other.TopicSuffix) {
				r.header(CodeTopicUnexpected, proto.FieldTopic,
					fmt.Sprintf("the topic ends in %s, like that of %s", other.TopicSuffix, pushName(other.Type)),
					"use the bare bundle identifier, or the other push type")
			}
		}
	}
}
