package api

import (
	"encoding/json"
	"time"

	"aviso.example/apns"
	"aviso.example/payload"
)

// Warning is something about what was accepted that APNs will take and a device may then
// drop, or that looks like a mistake.
type Warning struct {
	Line     int64  `json:"line,omitempty" doc:"Of a batch: the first line that has it."`
	Severity string `json:"severity" enum:"rejected,dropped,suspicious"`
	Code     string `json:"code" doc:"The name of the rule; aviso lint --rules lists them."`
	Path     string `json:"path" doc:"The JSON pointer of the value, or the name of a header field; empty for the whole payload."`
	Message  string `json:"message"`
	Fix      string `json:"fix"`
}

// lintedLines bounds how many lines of a batch are looked at: those that follow are
// mostly made by the same program.
const lintedLines = 1000

// warningsOf is what the linter has to say about a notification of an app. The server
// does not know who has the entitlement for critical alerts, so it does not speak of it.
func warningsOf(n *apns.Notification, bundleID string, environment apns.Environment, now time.Time) (list []Warning) {
	l := payload.Linter{Topic: n.Topic, Priority: n.Priority, CriticalAlerts: true, Now: now, Environment: payload.Production}
	if environment == apns.Sandbox {
		l.Environment = payload.Sandbox
	}
	if at, ok := n.Expiration.Time(); ok {
		l.Expiration = new(at.Unix())
	}
	pushType := n.EffectivePushType(bundleID) // which may have to read the payload
	if l.Topic == "" && pushType == "" {
		l.Topic = bundleID // a pass, whose payload is empty for good reason
	}
	for _, f := range l.Lint(pushType, n.Payload) {
		list = append(list, Warning{Severity: f.Severity.String(), Code: string(f.Code), Path: f.Path, Message: f.Message, Fix: f.Fix})
	}
	return list
}

// appendWarnings adds the member to an object that is being written.
func appendWarnings(b []byte, list []Warning) []byte {
	if len(list) == 0 {
		return b
	}
	text, _ := json.Marshal(list) // plain structs always can be
	return append(append(b, `,"warnings":`...), text...)
}
