package message

import (
	"errors"
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
	", here and in Config: it is", ": it is",
	"; or set BundleID instead, and the suffix is added", "; or give the plain bundle identifier, and the suffix is added",
	"give the plain bundle identifier, or use Topic", "give the plain bundle identifier",
	"use InterruptionActive", "use the interruption level active",
	"use InterruptionCritical", "use the interruption level critical",
	"and raw JSON can be sent as Raw", "and raw JSON can be sent as the payload",
)

// Problem says what is wrong in the user's words.
func (w Words) Problem(p apns.Problem) string {
	name := w[p.Field]
	if name == "" {
		name = p.Field
	}
	return name + " " + goWords.Replace(p.Message)
}

// Problems lists what is wrong with a notification in the user's words.
func (w Words) Problems(e *apns.InvalidError) string {
	var s []string
	for _, p := range e.Problems {
		s = append(s, w.Problem(p))
	}
	return strings.Join(s, "; ")
}

// inUsersWords lists what is wrong with a payload in the user's words.
func inUsersWords(err error) error {
	e, ok := errors.AsType[*payload.InvalidError](err)
	if !ok {
		return err
	}
	var s []string
	for _, p := range e.Problems {
		s = append(s, goWords.Replace(p.String()))
	}
	return errors.New(strings.Join(s, "; "))
}
