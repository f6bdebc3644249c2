package apns

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"aviso.example/internal/h2"
	"aviso.example/internal/proto"
)

// broadcastHeads are the shared parts of broadcasts, by priority. They have no
// topic, and the priority is there even when it is 10: APNs has no default for
// broadcasts, and senders that left 10 out were refused (node-apn issue 172).
var broadcastHeads = func() map[Priority]*h2.Head {
	all := map[Priority]*h2.Head{}
	for _, p := range []Priority{PriorityImmediate, PriorityConserve, PriorityPower} {
		all[p] = h2.NewHead(
			h2.Field{Name: ":method", Value: []byte("POST")},
			h2.Field{Name: ":scheme", Value: []byte("https")},
			h2.Field{Name: proto.FieldPushType, Value: []byte(PushTypeLiveActivity)},
			h2.Field{Name: proto.FieldPriority, Value: strconv.AppendInt(nil, int64(p), 10)},
		)
	}
	return all
}()

// prepareBroadcast is prepare for a notification to a channel.
func (j *job) prepareBroadcast(n *Notification, now, deadline time.Time) error {
	cfg := &j.client.cfg
	wall := cfg.Now()
	problems := n.checkBroadcast(cfg.BundleID, wall)
	bundleID := n.BundleID
	if bundleID == "" {
		bundleID = cfg.BundleID
	}
	if cert := cfg.Certificate; cert != nil && len(problems) == 0 && !cert.Info.CanPushTo(bundleID) {
		problems = append(problems, Problem{"BundleID", "is not among the topics of the certificate; APNs would answer TopicMismatch"})
	}
	if len(problems) > 0 {
		return &NotSentError{Cause: &InvalidError{problems}}
	}
	call := j.fill(broadcastHeads[n.Priority], n, now, wall, deadline)
	j.path = append(append(j.path[:0], proto.PathBroadcast...), bundleID...)
	call.Path = j.path

	v := j.id.append(j.values[:0])
	v = strconv.AppendInt(v, n.Expiration.at, 10)
	expirationEnd := len(v)
	v = append(v, n.ChannelID...)
	j.values = v
	call.Fields = append(j.fields[:0],
		h2.Field{Name: proto.FieldRequestID, Value: v[:36:36]},
		h2.Field{Name: proto.FieldExpiration, Value: v[36:expirationEnd:expirationEnd]},
		h2.Field{Name: proto.FieldChannelID, Value: v[expirationEnd:]},
	)
	return nil
}

// checkBroadcast checks a notification to a channel ("Sending broadcast push
// notification requests to APNs").
func (n *Notification) checkBroadcast(bundleID string, now time.Time) (problems []Problem) {
	bad := func(field, format string, args ...any) {
		problems = append(problems, Problem{field, fmt.Sprintf(format, args...)})
	}
	if p := CheckChannelID(n.ChannelID); p != nil {
		problems = append(problems, *p)
	}
	if n.DeviceToken != "" {
		bad("DeviceToken", "and ChannelID exclude each other: a notification goes to one device, or to a channel")
	}
	if n.Topic != "" {
		bad("Topic", "is not used for a channel; give the plain bundle identifier as BundleID")
	}
	if n.BundleID != "" {
		bundleID = n.BundleID
	}
	if p := CheckBundleID(bundleID); p != nil {
		problems = append(problems, *p)
	}
	if n.PushType != "" && n.PushType != PushTypeLiveActivity {
		bad("PushType", "has to be liveactivity for a channel; Apple broadcasts nothing else")
	}
	switch n.Priority {
	case PriorityImmediate, PriorityConserve, PriorityPower:
	case 0:
		bad("Priority", "is missing: APNs has no default for a channel; 5 costs no budget, 10 lights up at once and counts against it")
	default:
		bad("Priority", "has to be 10, 5 or 1")
	}
	switch n.Expiration.state {
	case expirationAtOnce:
	case expirationAt:
		if p := checkExpiration(n.Expiration.at, now.Unix()); p != "" {
			bad("Expiration", "%s", p)
		}
	default:
		bad("Expiration", "is missing: APNs has no default for a channel; use ExpireImmediately, the only one for a channel that stores nothing, or ExpireAt within eight hours")
	}
	if n.CollapseID != "" {
		bad("CollapseID", "is not used for a channel; devices keep the newest timestamp")
	}
	switch size := len(n.Payload); {
	case size == 0:
		bad("Payload", "is empty; a channel takes updates and ends of Live Activities")
	case size > proto.MaxPayloadBroadcast:
		bad("Payload", "has %d bytes; the limit for a channel is %d", size, proto.MaxPayloadBroadcast)
	case !looksLikeObject(n.Payload):
		bad("Payload", "is not a JSON object: it has to begin with { and end with }")
	case startsActivity(n.Payload):
		bad("Payload", "has event start, but a Live Activity cannot be started by broadcast: start it on each device with its push-to-start device token, or in the app")
	}
	return problems
}

// startsActivity looks for the one event that no channel can carry. Broadcasts
// are few, so that reading the JSON costs nothing that counts.
func startsActivity(payload []byte) bool {
	var p struct {
		APS struct {
			Event any `json:"event"`
		} `json:"aps"`
	}
	return json.Unmarshal(payload, &p) == nil && p.APS.Event == "start"
}

// CheckChannelID returns what is wrong with the id of a broadcast channel before
// anything is sent, or nil. Ids are base64 of a length that Apple says not to
// assume; whether a channel exists is for APNs to say.
func CheckChannelID(s string) *Problem {
	if s == "" {
		return &Problem{"ChannelID", "is missing"}
	}
	if len(s) > proto.MaxHeaderList/2 {
		return &Problem{"ChannelID", fmt.Sprintf("has %d characters; APNs takes header sections of %d bytes", len(s), proto.MaxHeaderList)}
	}
	for i := range len(s) {
		switch b := s[i]; {
		case 'A' <= b && b <= 'Z', 'a' <= b && b <= 'z', '0' <= b && b <= '9', b == '+', b == '/', b == '=':
			continue
		case b == ' ':
			return &Problem{"ChannelID", fmt.Sprintf("has a space at position %d; a + becomes one when it stands in a URL without being escaped", i+1)}
		case b == '-', b == '_':
			return &Problem{"ChannelID", fmt.Sprintf("has %q at position %d, as base64 for URLs has; give the id exactly as APNs returned it", b, i+1)}
		case b == '%':
			return &Problem{"ChannelID", fmt.Sprintf("has %% at position %d; it was probably escaped for a URL and has to be unescaped", i+1)}
		default:
			return &Problem{"ChannelID", fmt.Sprintf("has a character at position %d that base64 does not have; give the id exactly as APNs returned it in apns-channel-id", i+1)}
		}
	}
	if _, err := base64.StdEncoding.DecodeString(s); err != nil {
		if _, err := base64.RawStdEncoding.DecodeString(s); err != nil {
			return &Problem{"ChannelID", fmt.Sprintf("is not whole base64, with %d characters; it was probably cut off", len(s))}
		}
	}
	return nil
}

// CheckBundleID returns what is wrong with the bundle identifier of a broadcast
// or of channel management, where it stands in the path without a suffix, or nil.
func CheckBundleID(s string) *Problem {
	if s == "" {
		return &Problem{"BundleID", "is missing, here and in Config: it is the app's bundle identifier, like com.example.app"}
	}
	if p := checkTopic("BundleID", s); p != nil {
		return p
	}
	if at := strings.IndexFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '.' && r != '-'
	}); at >= 0 {
		return &Problem{"BundleID", fmt.Sprintf("has %q at position %d; bundle identifiers consist of letters, digits, dots and hyphens", s[at], at+1)}
	}
	// A bundle identifier may well end in .voip; only this suffix is a mistake
	// beyond doubt.
	if rule, _ := proto.RuleFor(PushTypeLiveActivity); strings.HasSuffix(s, rule.TopicSuffix) {
		return &Problem{"BundleID", fmt.Sprintf("ends in %q; channels want the plain bundle identifier, or APNs answers TopicDisallowed", rule.TopicSuffix)}
	}
	return nil
}
