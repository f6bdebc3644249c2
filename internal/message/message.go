package message

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"aviso.example/apns"
	"aviso.example/internal/proto"
	"aviso.example/payload"
)

// Field is a bit for each part of a message that can be given, as a flag or as a
// key. The zero values of most parts mean something, so what was given is noted
// apart.
type Field uint32

// The parts.
const (
	FieldTitle Field = 1 << iota
	FieldSubtitle
	FieldBody
	FieldBadge
	FieldSound
	FieldCategory
	FieldThreadID
	FieldInterruptionLevel
	FieldMutableContent
	FieldContentAvailable
	FieldData
	FieldPayload
	FieldTopic
	FieldBundleID
	FieldPushType
	FieldPriority
	FieldExpiration
	FieldCollapseID
	FieldID
	FieldTo

	// fieldsOfAlert are the parts that only an alert has.
	fieldsOfAlert = FieldTitle | FieldSubtitle | FieldBody | FieldBadge | FieldSound | FieldCategory |
		FieldThreadID | FieldInterruptionLevel | FieldMutableContent | FieldContentAvailable
	// fieldsOfSugar are those a payload is made from.
	fieldsOfSugar = fieldsOfAlert | FieldData
	// fieldsOfPayload are all that say what to send.
	fieldsOfPayload = fieldsOfSugar | FieldPayload
)

// MakesPayload says that a part is one that a payload is made from.
func (f Field) MakesPayload() bool { return f&fieldsOfSugar != 0 }

// Message is a notification in the user's words: a payload, or the parts of one,
// and what is said about it.
type Message struct {
	// Given has the parts that were given, Wrong those of them that cannot be used;
	// their values mean nothing. A part that is null is wrong and not given.
	Given, Wrong Field

	Title, Subtitle, Body, Sound, Category, ThreadID string
	InterruptionLevel                                payload.InterruptionLevel
	Badge                                            payload.Badge
	MutableContent, ContentAvailable                 bool
	// Data has the app's own keys.
	Data map[string]json.RawMessage

	// Payload is sent as it is, instead of one made from the parts above.
	Payload []byte

	// To is the device token.
	To string
	// Topic is a bundle identifier, or a whole topic with the suffix of its push
	// type; BundleID is never taken for the latter.
	Topic, BundleID string
	PushType        apns.PushType
	Priority        apns.Priority
	Expiration      Expiration
	CollapseID      string
	ID              apns.ID

	// discreet is Parser.Discreet.
	discreet bool
}

// Check refuses what contradicts itself. name says what the user calls a part.
func (m *Message) Check(name func(Field) string) error {
	var found []Problem
	if m.Given&FieldPayload != 0 && m.Given&fieldsOfSugar != 0 {
		found = append(found, Problem{Field: fieldName(name, FieldPayload), Text: "is the whole payload, so it cannot go with " + names(m.Given&fieldsOfSugar, name)})
	}
	if m.Given&FieldTopic != 0 && m.Given&FieldBundleID != 0 {
		found = append(found, Problem{
			Field: fieldName(name, FieldTopic),
			Text:  fmt.Sprintf("and %s exclude each other; %s takes either a bundle identifier or a whole topic", name(FieldBundleID), name(FieldTopic)),
		})
	}
	return Invalid(found...)
}

func names(fields Field, name func(Field) string) string {
	var list []string
	for f := Field(1); f != 0 && f <= fields; f <<= 1 {
		if fields&f != 0 {
			list = append(list, name(f))
		}
	}
	return strings.Join(list, ", ")
}

// Fill makes n this notification, all but the payload. An expiration that was
// given as a duration counts from now.
func (m *Message) Fill(n *apns.Notification, now time.Time) {
	*n = apns.Notification{
		DeviceToken: m.To, PushType: m.PushType, Priority: m.Priority,
		Expiration: m.Expiration.Value(now), CollapseID: m.CollapseID, ID: m.ID,
	}
	if m.BundleID != "" {
		n.BundleID = m.BundleID
	} else if m.Topic != "" {
		SetTopic(n, m.Topic)
	}
}

// SetTopic uses a topic as it is where it has the suffix of a push type, and else
// as a bundle identifier, to which the client adds the suffix. The push type of n
// has to be set before.
func SetTopic(n *apns.Notification, topic string) {
	n.Topic, n.BundleID = "", topic
	if TopicSuffix(topic) != "" || n.PushType == proto.PushTypeMDM || strings.HasPrefix(topic, proto.TopicPrefixMDM) {
		n.Topic, n.BundleID = topic, "" // also with the wrong type: the client says what does not fit
	}
}

// TopicSuffix returns the suffix of a push type that a topic ends in, or "".
func TopicSuffix(topic string) string {
	for i := range proto.TypeRules {
		if suffix := proto.TypeRules[i].TopicSuffix; suffix != "" && strings.HasSuffix(topic, suffix) {
			return suffix
		}
	}
	return ""
}
