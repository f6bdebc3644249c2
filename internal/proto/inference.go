package proto

import (
	"bytes"
	"encoding/json"
	"strings"
)

// TypeOfTopic returns the push type that a topic tells: the one whose suffix it has, or
// mdm. It is "" for the topics of apps, which take several, and for those that need none.
func TypeOfTopic(topic string) PushType {
	if strings.HasPrefix(topic, TopicPrefixMDM) {
		return PushTypeMDM
	}
	for i := range TypeRules {
		if suffix := TypeRules[i].TopicSuffix; suffix != "" && strings.HasSuffix(topic, suffix) {
			return TypeRules[i].Type
		}
	}
	return ""
}

// HasNoType says that pushes to a topic carry no push type: those of passes, orders and
// websites.
func HasNoType(topic string) bool {
	return strings.HasPrefix(topic, TopicPrefixPass) || strings.HasPrefix(topic, TopicPrefixOrder) || strings.HasPrefix(topic, TopicPrefixWebsite)
}

// TypeOfPayload returns background for a payload that only wakes the app, and else "".
// APNs may delay or drop a push whose type does not reflect its content ("Sending
// notification requests to APNs").
func TypeOfPayload(payload []byte) PushType {
	if !bytes.Contains(payload, []byte(`"content-available"`)) {
		return ""
	}
	var p struct {
		Aps struct {
			ContentAvailable    json.Number `json:"content-available"`
			Alert, Badge, Sound json.RawMessage
		} `json:"aps"`
	}
	if json.Unmarshal(payload, &p) != nil || p.Aps.ContentAvailable != "1" || p.Aps.Alert != nil || p.Aps.Badge != nil || p.Aps.Sound != nil {
		return ""
	}
	return PushTypeBackground
}
