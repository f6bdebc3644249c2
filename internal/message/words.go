package message

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"aviso.example/apns"
	"aviso.example/payload"
)

// Words translates the names of the fields of apns.Notification into the user's
// words.
type Words map[string]string

// KeyWords are the words of those who write the keys of an object.
var KeyWords = Words{
	"DeviceToken": `"to"`, "BundleID": `"topic"`, "Topic": `"topic"`, "Payload": `"payload"`,
	"PushType": `"push_type"`, "Priority": `"priority"`, "Expiration": `"expiration"`, "CollapseID": `"collapse_id"`,
}

// goWords is advice in the errors of apns and payload that speaks to Go
// programmers, and what it means to others.
var goWords = strings.NewReplacer(
	"use ExpireImmediately for a single attempt", "use 0 for a single attempt",
	" (Shorten does)", "",
	". payload.Shorten trims the alert to fit", "; shorten the texts",
	". Take them out, as json.Compact does", "; send it without them",
	", here and in Config: it is", ": it is",
	"; or set BundleID instead, and the suffix is added", "; or give the plain bundle identifier, and the suffix is added",
	"give the plain bundle identifier, or use Topic", "give the plain bundle identifier",
	"use InterruptionActive", "use the interruption level active",
	"use InterruptionCritical", "use the interruption level critical",
	"and raw JSON can be sent as Raw", "and raw JSON can be sent as the payload",
)

// Problem says what is wrong in the user's words.
func (w Words) Problem(p apns.Problem) string {
	return cmp.Or(w[p.Field], p.Field) + " " + goWords.Replace(p.Message)
}

// Problems lists what is wrong with a notification in the user's words.
func (w Words) Problems(e *apns.InvalidError) string {
	var s []string
	for _, p := range e.Problems {
		s = append(s, w.Problem(p))
	}
	return strings.Join(s, "; ")
}

// partOf is the part of a message that became a value of a payload.
var partOf = map[string]Field{
	"/aps/alert/title": FieldTitle, "/aps/alert/subtitle": FieldSubtitle, "/aps/alert/body": FieldBody, "/aps/badge": FieldBadge,
	"/aps/sound": FieldSound, "/aps/thread-id": FieldThreadID, "/aps/category": FieldCategory,
	"/aps/content-available": FieldContentAvailable, "/aps/mutable-content": FieldMutableContent, "/aps/interruption-level": FieldInterruptionLevel,
}

// inUsersWords lists what is wrong with a payload that was made from parts in the
// user's words.
func (m *Message) inUsersWords(err error, name func(Field) string) error {
	e, ok := errors.AsType[*payload.InvalidError](err)
	if !ok {
		return err
	}
	var list []Problem
	for _, p := range e.Problems {
		list = append(list, m.payloadProblem(p, name))
	}
	return Invalid(list...)
}

func (m *Message) payloadProblem(p payload.Problem, name func(Field) string) Problem {
	text := goWords.Replace(payload.Problem{Message: p.Message, Fix: p.Fix}.String())
	switch {
	case p.Path == "":
		return Problem{Text: text}
	case p.Path == "/aps": // nothing to show
		fix := fmt.Sprintf(" (give %s, %s, %s or %s)", name(FieldTitle), name(FieldBody), name(FieldBadge), name(FieldSound))
		if m.ContentAvailable {
			fix = fmt.Sprintf(" (set %s to background, which has the priority that a silent push needs)", name(FieldPushType))
		}
		return Problem{Text: p.Message + fix, after: fieldsOfPayload}
	case partOf[p.Path] != 0:
		return Problem{Field: fieldName(name, partOf[p.Path]), Text: "is wrong: " + text}
	}
	where := "at " + p.Path
	if m.discreet {
		where = "inside" // the path has the app's own keys
	}
	return Problem{Field: fieldName(name, FieldData), Text: "is wrong " + where + ": " + text}
}
