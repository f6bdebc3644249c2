package sim

import (
	"bytes"
	"encoding/json"
	"errors"
)

// activityPush is the body of a Live Activity push as a device reads it.
type activityPush struct {
	timestamp                int64
	event                    string
	contentState, attributes Payload
	attributesType           string
	staleDate, dismissalDate int64
	hasDismissal             bool
	relevanceScore           *float64
	inputDeviceToken         bool
	inputChannel             string
	missing                  string // what a start should have and has not
	problem                  string // why a device drops it
}

const notJSON = "the payload is not JSON"

// readActivityPush reads a body. What the device would drop has a problem
// ("Starting and updating Live Activities with ActivityKit push notifications").
func readActivityPush(body []byte) (p activityPush) {
	var in struct {
		APS *struct {
			Timestamp      *float64        `json:"timestamp"`
			Event          string          `json:"event"`
			ContentState   json.RawMessage `json:"content-state"`
			AttributesType string          `json:"attributes-type"`
			Attributes     json.RawMessage `json:"attributes"`
			StaleDate      *float64        `json:"stale-date"`
			DismissalDate  *float64        `json:"dismissal-date"`
			RelevanceScore *float64        `json:"relevance-score"`
			InputToken     *int            `json:"input-push-token"`
			InputChannel   string          `json:"input-push-channel"`
			Alert          json.RawMessage `json:"alert"`
		} `json:"aps"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		p.problem = notJSON
		if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			p.problem = e.Field + " must be " + jsonKind(e.Type) + ", not " + e.Value
		}
		return p
	}
	switch a := in.APS; {
	case a == nil:
		p.problem = "the payload has no aps"
	case a.Timestamp == nil:
		p.problem = "the payload has no timestamp"
	case *a.Timestamp < 0 || *a.Timestamp > 1e12:
		p.problem = "the timestamp is not in UNIX seconds"
	case a.Event != "start" && a.Event != "update" && a.Event != "end":
		p.problem = "the event is not start, update or end"
	case !isObject(a.ContentState) && a.ContentState != nil:
		p.problem = "content-state is not an object"
	}
	if p.problem != "" {
		return p
	}
	a := in.APS
	p.timestamp, p.event, p.relevanceScore = int64(*a.Timestamp), a.Event, a.RelevanceScore
	p.contentState, p.attributes, p.attributesType = Payload(a.ContentState), Payload(a.Attributes), a.AttributesType
	seconds := func(f *float64) int64 {
		if f == nil {
			return 0
		}
		return int64(min(max(*f, 0), 1e12))
	}
	p.staleDate, p.dismissalDate, p.hasDismissal = seconds(a.StaleDate), seconds(a.DismissalDate), a.DismissalDate != nil
	p.inputDeviceToken, p.inputChannel = a.InputToken != nil && *a.InputToken == 1, a.InputChannel
	switch {
	case a.AttributesType == "":
		p.missing = "attributes-type"
	case !isObject(a.Attributes):
		p.missing = "attributes"
	case a.ContentState == nil:
		p.missing = "content-state"
	case len(a.Alert) == 0 || bytes.Equal(a.Alert, []byte("null")):
		p.missing = "alert"
	}
	return p
}

func isObject(raw json.RawMessage) bool { return len(raw) > 0 && raw[0] == '{' }
