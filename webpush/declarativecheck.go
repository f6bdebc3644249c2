package webpush

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// CheckDeclarative looks at a payload that somebody else made. It reports whether
// the payload is meant as a declarative message, which the member "web_push" says,
// and what a browser would then object to: an [*InvalidError] with all of it, by
// the path of the member. A browser says nothing; it takes such a message for an
// ordinary one.
func CheckDeclarative(payload []byte) (declarative bool, err error) {
	var top map[string]json.RawMessage
	if json.Unmarshal(payload, &top) != nil || top["web_push"] == nil {
		return false, nil
	}
	var p problems
	if number := 0.0; json.Unmarshal(top["web_push"], &number) != nil || number != magic {
		p.add("web_push", "is not the number 8030")
	}
	flag(&p, "mutable", top["mutable"])
	switch n := top["notification"]; {
	case n == nil:
		p.add("notification", "is missing")
	default:
		if members, ok := object(&p, "notification", n); ok {
			checkNotification(&p, members)
		}
	}
	if len(payload) > MaxPayload {
		p.add("", "has %d bytes, and %d is the limit", len(payload), MaxPayload)
	}
	return true, p.in("declarative message")
}

// member is a text in a JSON object, and where it goes.
type member struct {
	name string
	to   *string
}

func checkNotification(p *problems, members map[string]json.RawMessage) {
	at := func(name string) string { return "notification." + name }
	var d Declarative
	for _, m := range []member{
		{"title", &d.Title}, {"navigate", &d.Navigate}, {"body", &d.Body}, {"tag", &d.Tag}, {"lang", &d.Lang}, {"dir", &d.Dir},
		{"image", &d.Image}, {"icon", &d.Icon}, {"badge", &d.Badge},
	} {
		*m.to, _ = text(p, at(m.name), members[m.name])
	}
	d.Silent = flag(p, at("silent"), members["silent"])
	d.Renotify = flag(p, at("renotify"), members["renotify"])
	flag(p, at("requireInteraction"), members["requireInteraction"])
	if raw := members["vibrate"]; raw != nil && json.Unmarshal(raw, &d.Vibrate) != nil && json.Unmarshal(raw, new(int)) != nil {
		p.add(at("vibrate"), "is neither a number nor a list of them")
	}
	var actions []json.RawMessage
	if raw := members["actions"]; raw != nil && json.Unmarshal(raw, &actions) != nil {
		p.add(at("actions"), "is not a list")
	}
	for i, raw := range actions {
		path := fmt.Sprintf("actions[%d]", i)
		var b Button
		if button, ok := object(p, at(path), raw); ok {
			for _, m := range []member{{"action", &b.Action}, {"title", &b.Title}, {"navigate", &b.Navigate}, {"icon", &b.Icon}} {
				*m.to, _ = text(p, at(path+"."+m.name), button[m.name])
			}
		}
		d.Actions = append(d.Actions, b)
	}
	// The rest is what the builder checks, under the names of JSON. What was no
	// text is told once.
	told := map[string]bool{}
	for _, problem := range *p {
		told[problem.Field] = true
	}
	var rules problems
	d.check(&rules)
	for _, r := range rules {
		field := at(strings.ToLower(r.Field[:1]) + memberCase.Replace(r.Field[1:]))
		path, _, nested := strings.Cut(field, "].")
		if !told[field] && !(nested && told[path+"]"]) {
			p.add(field, "%s", r.Message)
		}
	}
}

// memberCase makes JSON's names of those of Declarative and Button.
var memberCase = strings.NewReplacer("].A", "].a", "].T", "].t", "].N", "].n", "].I", "].i")

// flag reads true or false; absent is false.
func flag(p *problems, field string, raw json.RawMessage) bool {
	on := false
	if raw != nil && (json.Unmarshal(raw, &on) != nil || bytes.Equal(raw, []byte("null"))) {
		p.add(field, "is neither true nor false")
	}
	return on
}
