package message

import (
	"fmt"
	"strings"

	"aviso.example/apns"
	"aviso.example/internal/proto"
	"aviso.example/payload"
)

// AppendPayload appends the payload that was given, or that the parts make. name
// says what the user calls a part.
func (m *Message) AppendPayload(dst []byte, name func(Field) string) ([]byte, error) {
	if m.Given&FieldPayload != 0 {
		return append(dst, m.Payload...), nil
	}
	dst, err := m.appendParts(dst, name)
	return dst, m.inUsersWords(err, name)
}

func (m *Message) appendParts(dst []byte, name func(Field) string) ([]byte, error) {
	t := m.PushType
	topic := m.Topic + m.BundleID
	var custom any
	if len(m.Data) > 0 {
		custom = m.Data
	}
	onlyData := func(p interface {
		AppendJSON([]byte) ([]byte, error)
	}) ([]byte, error) {
		if extra := m.Given & fieldsOfAlert; extra != 0 {
			hint := ""
			if t == apns.PushTypeBackground && extra == FieldContentAvailable {
				hint = "; it is there by itself"
			}
			return dst, fmt.Errorf("a push of type %s shows nothing, so it cannot have %s%s", t, names(extra, name), hint)
		}
		return p.AppendJSON(dst)
	}
	nothing := func(p interface {
		AppendJSON([]byte) ([]byte, error)
	}, what string) ([]byte, error) {
		if extra := m.Given & fieldsOfSugar; extra != 0 {
			return dst, fmt.Errorf("%s carries nothing of the app's, so it cannot have %s", what, names(extra, name))
		}
		return p.AppendJSON(dst)
	}
	switch t {
	case "", apns.PushTypeAlert:
		if t == "" && strings.HasPrefix(topic, proto.TopicPrefixPass) {
			return nothing(payload.WalletUpdate{}, "an update of a pass")
		}
		if t == "" && strings.HasPrefix(topic, proto.TopicPrefixOrder) {
			return nothing(payload.WalletUpdate{}, "an update of an order")
		}
		if m.Given&fieldsOfSugar == 0 {
			return dst, Problem{after: fieldsOfPayload, Text: fmt.Sprintf("there is nothing to send: give %s or %s and the like, or %s", name(FieldTitle), name(FieldBody), name(FieldPayload))}
		}
		if m.Given&fieldsOfAlert&^FieldContentAvailable == 0 {
			return dst, Problem{after: fieldsOfPayload, Text: fmt.Sprintf("there is nothing to show: give %s or %s, or set %s to background", name(FieldTitle), name(FieldBody), name(FieldPushType))}
		}
		return payload.Alert{
			Title: m.Title, Subtitle: m.Subtitle, Body: m.Body, Badge: m.Badge, Sound: sound(m.Sound),
			Category: m.Category, ThreadID: m.ThreadID, InterruptionLevel: m.InterruptionLevel,
			MutableContent: m.MutableContent, ContentAvailable: m.ContentAvailable, Custom: custom,
		}.AppendJSON(dst)
	case apns.PushTypeBackground:
		return onlyData(payload.Background{Custom: custom})
	case apns.PushTypeVoIP:
		return onlyData(payload.VoIP{Custom: custom})
	case apns.PushTypeComplication:
		return onlyData(payload.Complication{Custom: custom})
	case apns.PushTypeLocation:
		return onlyData(payload.Location{Custom: custom})
	case apns.PushTypePushToTalk:
		return onlyData(payload.PushToTalk{Custom: custom})
	case apns.PushTypeWidgets:
		return nothing(payload.Widgets{}, "a push of type widgets")
	case apns.PushTypeControls:
		return nothing(payload.Controls{}, "a push of type controls")
	}
	return dst, Problem{after: FieldPayload, Text: fmt.Sprintf("a push of type %s needs %s: its parts cannot be given one by one", t, name(FieldPayload))}
}

func sound(name string) payload.Sound {
	if name == "default" {
		return payload.DefaultSound()
	}
	return payload.NamedSound(name)
}
