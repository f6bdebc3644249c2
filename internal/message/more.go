package message

import (
	"errors"
	"slices"
	"time"

	"aviso.example/apns"
	"aviso.example/internal/proto"
)

// More returns what else is wrong with a message of which some is known to be
// wrong, for those who tell all mistakes at once. bundleID is the app's; name says
// what the user calls a part.
//
// What depends on a part that could not be used is wrong only if it is wrong
// whatever the part would have said: priority 7 always is, priority 10 is an error
// with some push types.
func (m *Message) More(bundleID string, now time.Time, name func(Field) string) []Problem {
	c := m.withStandIns()
	var found []Problem
	for i, variant := range c.variants() {
		problems := variant.judge(bundleID, now, name)
		if i == 0 {
			found = problems
			continue
		}
		found = slices.DeleteFunc(found, func(p Problem) bool {
			return !slices.ContainsFunc(problems, p.alike)
		})
	}
	return found
}

// alike reports whether two problems of variants are one: the words differ where
// they name the push type.
func (p Problem) alike(o Problem) bool {
	return p.Field == o.Field && (p.Field != "" || p.Text == o.Text)
}

// withStandIns returns the message with values that are right, or none, in the
// place of those that are wrong.
func (m *Message) withStandIns() *Message {
	c := *m
	// An extension that changes a notification needs a text to change.
	for field, text := range map[Field]*string{FieldTitle: &c.Title, FieldSubtitle: &c.Subtitle, FieldBody: &c.Body} {
		if m.Wrong&field != 0 {
			*text = "x"
		}
	}
	for field, text := range map[Field]*string{
		FieldSound: &c.Sound, FieldCategory: &c.Category, FieldThreadID: &c.ThreadID, FieldTo: &c.To, FieldTopic: &c.Topic,
		FieldBundleID: &c.BundleID, FieldCollapseID: &c.CollapseID,
		FieldInterruptionLevel: (*string)(&c.InterruptionLevel), FieldPushType: (*string)(&c.PushType),
	} {
		if m.Wrong&field != 0 {
			*text = ""
		}
	}
	var none Message
	for field, clear := range map[Field]func(){
		FieldBadge:            func() { c.Badge = none.Badge },
		FieldData:             func() { c.Data = nil },
		FieldMutableContent:   func() { c.MutableContent = false },
		FieldContentAvailable: func() { c.ContentAvailable = false },
		FieldPayload:          func() { c.Payload = []byte("{}") },
		FieldPriority:         func() { c.Priority = 0 },
		FieldExpiration:       func() { c.Expiration = none.Expiration },
		FieldID:               func() { c.ID = none.ID },
	} {
		if m.Wrong&field != 0 {
			clear()
		}
	}
	return &c
}

// variants are what the message would be with each value of the parts that decide
// about others, if one of them is wrong.
func (m *Message) variants() []Message {
	all := []Message{*m}
	if m.Wrong&FieldPushType != 0 {
		all = all[:0]
		// The one with the highest limit is first, as its words are kept.
		types := []apns.PushType{apns.PushTypeVoIP}
		for _, rule := range proto.TypeRules {
			types = append(types, rule.Type)
		}
		for _, t := range types {
			variant := *m
			variant.PushType = t
			all = append(all, variant)
		}
	}
	if m.Wrong&(FieldTopic|FieldBundleID) != 0 {
		for i := range all {
			all[i].Topic, all[i].BundleID = "", "app.unknown"
			variant := all[i]
			variant.BundleID = proto.TopicPrefixPass + "unknown"
			all = append(all, variant)
		}
	}
	return all
}

// partOfName is the part that a field of apns.Notification is made from.
var partOfName = map[string]Field{
	"DeviceToken": FieldTo, "BundleID": FieldTopic, "Topic": FieldTopic, "Payload": FieldPayload,
	"PushType": FieldPushType, "Priority": FieldPriority, "Expiration": FieldExpiration, "CollapseID": FieldCollapseID,
}

// judge lists what is wrong with a message, apart from its wrong parts.
func (m *Message) judge(bundleID string, now time.Time, name func(Field) string) []Problem {
	var n apns.Notification
	m.Fill(&n, now)
	body, err := m.AppendPayload(nil, name)
	problems := ProblemsOf(err)
	if n.Payload = body; err != nil || len(body) == 0 {
		n.Payload = []byte("{}") // what is wrong with it has been said
	}
	if m.To == "" {
		n.DeviceToken = "00" // there may be several
	}
	if e, ok := errors.AsType[*apns.InvalidError](n.Validate(bundleID, now)); ok {
		problems = append(problems, ValidationProblems(e, m.Given, name)...)
	}
	return slices.DeleteFunc(problems, func(p Problem) bool { return m.Wrong&(p.after|m.partOf(p, name)) != 0 })
}

// ValidationProblems takes the error of apns.Notification.Validate apart. given are
// the parts that were given, name says what the user calls a part.
func ValidationProblems(e *apns.InvalidError, given Field, name func(Field) string) (list []Problem) {
	for _, p := range e.Problems {
		part := partOfName[p.Field]
		if part == FieldTopic && given&FieldBundleID != 0 {
			part = FieldBundleID
		}
		list = append(list, Problem{Field: fieldName(name, part), Text: goWords.Replace(p.Message)})
	}
	return list
}

// partOf is the part that a problem is about.
func (m *Message) partOf(p Problem, name func(Field) string) Field {
	for f := Field(1); f != 0 && f <= FieldTo; f <<= 1 {
		if m.Wrong&f != 0 && p.Field == fieldName(name, f) {
			return f
		}
	}
	return 0
}
