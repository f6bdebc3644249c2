package cli

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"aviso.example/apns"
	"aviso.example/internal/proto"
	"aviso.example/payload"
)

// field is a bit for each part of a message that can be given, as a flag or in a
// line of a batch. The zero values of most parts mean something, so what was
// given is noted apart.
type field uint32

const (
	fieldTitle field = 1 << iota
	fieldSubtitle
	fieldBody
	fieldBadge
	fieldSound
	fieldCategory
	fieldThreadID
	fieldInterruptionLevel
	fieldMutableContent
	fieldContentAvailable
	fieldData
	fieldPayload
	fieldTopic
	fieldBundleID
	fieldPushType
	fieldPriority
	fieldExpiration
	fieldCollapseID
	fieldID
	fieldTo

	// fieldsOfAlert are the parts that only an alert has.
	fieldsOfAlert = fieldTitle | fieldSubtitle | fieldBody | fieldBadge | fieldSound | fieldCategory |
		fieldThreadID | fieldInterruptionLevel | fieldMutableContent | fieldContentAvailable
	// fieldsOfSugar are those a payload is made from.
	fieldsOfSugar = fieldsOfAlert | fieldData
)

// message is a notification in the user's words.
type message struct {
	given field

	title, subtitle, body, sound, category, threadID string
	interruption                                     payload.InterruptionLevel
	badge                                            payload.Badge
	mutable, contentAvailable                        bool
	data                                             map[string]json.RawMessage

	payload []byte

	to, topic, bundleID string
	pushType            apns.PushType
	priority            apns.Priority
	expiration          expiration
	collapseID          string
	id                  apns.ID
}

// check refuses what contradicts itself.
func (m *message) check(name func(field) string) error {
	if m.given&fieldPayload != 0 && m.given&fieldsOfSugar != 0 {
		return fmt.Errorf("%s is the whole payload, so it cannot go with %s", name(fieldPayload), names(m.given&fieldsOfSugar, name))
	}
	if m.given&fieldTopic != 0 && m.given&fieldBundleID != 0 {
		return fmt.Errorf("%s and %s exclude each other; %s takes either a bundle identifier or a whole topic", name(fieldTopic), name(fieldBundleID), name(fieldTopic))
	}
	return nil
}

func names(fields field, name func(field) string) string {
	var list []string
	for f := field(1); f != 0 && f <= fields; f <<= 1 {
		if fields&f != 0 {
			list = append(list, name(f))
		}
	}
	return strings.Join(list, ", ")
}

// appendPayload appends the payload that the parts make.
func (m *message) appendPayload(dst []byte, name func(field) string) ([]byte, error) {
	if m.given&fieldPayload != 0 {
		return append(dst, m.payload...), nil
	}
	t := m.pushType
	topic := m.topic + m.bundleID
	var custom any
	if len(m.data) > 0 {
		custom = m.data
	}
	onlyData := func(p interface {
		AppendJSON([]byte) ([]byte, error)
	}) ([]byte, error) {
		if extra := m.given & fieldsOfAlert; extra != 0 {
			hint := ""
			if t == apns.PushTypeBackground && extra == fieldContentAvailable {
				hint = "; it is there by itself"
			}
			return dst, fmt.Errorf("a push of type %s shows nothing, so it cannot have %s%s", t, names(extra, name), hint)
		}
		return p.AppendJSON(dst)
	}
	nothing := func(p interface {
		AppendJSON([]byte) ([]byte, error)
	}, what string) ([]byte, error) {
		if extra := m.given & fieldsOfSugar; extra != 0 {
			return dst, fmt.Errorf("%s carries nothing of the app's, so it cannot have %s", what, names(extra, name))
		}
		return p.AppendJSON(dst)
	}
	switch t {
	case "", apns.PushTypeAlert:
		if t == "" && strings.HasPrefix(topic, proto.TopicPrefixPass) {
			return nothing(payload.WalletUpdate{}, "an update of a pass")
		}
		if m.given&fieldsOfSugar == 0 {
			return dst, fmt.Errorf("there is nothing to send: give %s or %s and the like, or %s", name(fieldTitle), name(fieldBody), name(fieldPayload))
		}
		if m.given&fieldsOfAlert&^fieldContentAvailable == 0 {
			return dst, fmt.Errorf("there is nothing to show: give %s or %s, or set %s to background", name(fieldTitle), name(fieldBody), name(fieldPushType))
		}
		return payload.Alert{
			Title: m.title, Subtitle: m.subtitle, Body: m.body, Badge: m.badge, Sound: sound(m.sound),
			Category: m.category, ThreadID: m.threadID, InterruptionLevel: m.interruption,
			MutableContent: m.mutable, ContentAvailable: m.contentAvailable, Custom: custom,
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
	return dst, fmt.Errorf("a push of type %s needs %s: its parts cannot be given one by one", t, name(fieldPayload))
}

func sound(name string) payload.Sound {
	if name == "default" {
		return payload.DefaultSound()
	}
	return payload.NamedSound(name)
}

// setTopic uses a topic as it is where it has the suffix of its push type, and
// else as a bundle identifier, to which the client adds the suffix.
func setTopic(n *apns.Notification, topic string) {
	n.Topic, n.BundleID = "", topic
	for _, rule := range proto.TypeRules {
		if rule.TopicSuffix != "" && strings.HasSuffix(topic, rule.TopicSuffix) || rule.Type == proto.PushTypeMDM && n.PushType == proto.PushTypeMDM {
			n.Topic, n.BundleID = topic, "" // also with the wrong type: the client says what does not fit
			return
		}
	}
}

// knownPushType refuses a push type that does not exist, with the likely mistake.
func knownPushType(text string) (apns.PushType, error) {
	var all []string
	for _, rule := range proto.TypeRules {
		if string(rule.Type) == text {
			return rule.Type, nil
		}
		all = append(all, string(rule.Type))
	}
	if strings.EqualFold(text, "silent") {
		return "", fmt.Errorf("%q is not a push type; silent pushes are called background", text)
	}
	return "", fmt.Errorf("%q is not a push type%s; there are %s", text, didYouMean(text, all), strings.Join(all, ", "))
}

func knownPriority(n int) (apns.Priority, error) {
	if n != 10 && n != 5 && n != 1 {
		return 0, fmt.Errorf("is %d; it has to be 10 (at once), 5 (mind the device's power) or 1 (never wake the device)", n)
	}
	return apns.Priority(n), nil
}

func knownInterruption(text string) (payload.InterruptionLevel, error) {
	levels := []string{"passive", "active", "time-sensitive", "critical"}
	for _, l := range levels {
		if l == text {
			return payload.InterruptionLevel(l), nil
		}
	}
	return "", fmt.Errorf("%q is not an interruption level%s; there are %s", text, didYouMean(text, levels), strings.Join(levels, ", "))
}

// parseBadge reads a number, or clear.
func parseBadge(text string) (payload.Badge, error) {
	if text == "clear" {
		return payload.ClearBadge(), nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return payload.Badge{}, fmt.Errorf("has to be a number from 0, or clear")
	}
	return payload.SetBadge(n), nil
}

// expiration is a time, or a distance from the moment of sending.
type expiration struct {
	given bool
	at    int64 // UNIX seconds; 0 is at once
	after time.Duration
}

func (e expiration) value(now time.Time) apns.Expiration {
	switch {
	case !e.given:
		return apns.Expiration{}
	case e.after > 0:
		return apns.ExpireAt(now.Add(e.after))
	}
	return apns.ExpireAtUnix(e.at)
}

// parseExpiration reads 0, a duration, a time or UNIX seconds.
func parseExpiration(text string) (expiration, error) {
	if at, err := strconv.ParseInt(text, 10, 64); err == nil {
		return unixExpiration(at)
	}
	duration, unit := text, time.Duration(1)
	if days, ok := strings.CutSuffix(text, "d"); ok {
		duration, unit = days+"h", 24
	}
	if d, err := time.ParseDuration(duration); err == nil {
		if d <= 0 || d*unit/unit != d {
			return expiration{}, fmt.Errorf("has to lie in the future; use 0 for a single attempt")
		}
		return expiration{given: true, after: max(d*unit, time.Second)}, nil
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return expiration{given: true, at: at.Unix()}, nil
	}
	return expiration{}, fmt.Errorf("has to be 0 (one attempt), a duration like 1h or 7d, a time like 2030-01-31T12:00:00Z, or UNIX seconds")
}

func unixExpiration(at int64) (expiration, error) {
	switch {
	case at < 0:
		return expiration{}, fmt.Errorf("cannot be negative; use 0 for a single attempt")
	case 0 < at && at < 365*24*3600:
		return expiration{}, fmt.Errorf("is %d, a time in 1970; for a duration write %ds", at, at)
	}
	return expiration{given: true, at: at}, nil
}
