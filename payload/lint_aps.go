package payload

import (
	"bytes"
	"strconv"
	"strings"
)

// apsKeys applies the rules about each key inside aps.
func (r *lintRun) apsKeys(aps int) {
	for i, n := range r.doc.children(aps) {
		rule, known := findRule(apsKeyRules, n.key)
		switch {
		case !known:
			r.unknownKey(i, apsKeyRules, CodeCustomKeyInAPS, "not a key of Apple's, and the system ignores it inside aps",
				"move it beside aps, where the app can read it")
			continue
		case n.kind != kindNull:
			r.keyOfOtherType(i, rule)
		}
		r.kindOf(i, rule.kinds)
	}
	for _, flag := range []string{"content-available", "mutable-content"} {
		if at := r.doc.member(aps, flag); at >= 0 && r.doc.nodes[at].kind == kindNumber && r.doc.number(at) != 1 {
			r.at(CodeFlagNotOne, at, flag+" knows only the value 1", "send 1, or leave the key out")
		}
	}
}

// unknownKey tells a misspelling from a foreign key.
func (r *lintRun) unknownKey(at int, table []keyRule, code Code, message, fix string) {
	if meant := suggest(table, r.doc.nodes[at].key); meant != "" {
		r.at(CodeMisspelledKey, at, "almost a key of Apple's, and ignored as it is", "did you mean "+meant+"?")
		return
	}
	r.at(code, at, message, fix)
}

// keyOfOtherType reports a key that means nothing for this push type. What the
// key carries decides how bad that is.
func (r *lintRun) keyOfOtherType(at int, rule keyRule) {
	if r.in == inAny || r.in&rule.types != 0 {
		return
	}
	switch rule.name {
	case "alert", "badge", "sound":
		switch {
		case r.in == inBackground:
			r.at(CodeBackgroundAlert, at, "a background push must not carry "+rule.name,
				"use push type alert, or remove "+rule.name)
		case r.in != inLiveActivity:
			r.at(CodePresentationIgnored, at, "the system never presents "+pushName(r.t), "let the app present it, or use push type alert")
		case rule.name == "sound":
			r.at(CodeActivitySound, at, "outside the alert, where a Live Activity does not look for it", "move it into alert")
		default:
			r.at(CodeKeyOfOtherType, at, "means nothing for "+pushName(r.t), "remove it")
		}
	case "content-state", "event", "attributes-type", "content-changed", "ptt-push-type":
		r.at(CodePushTypeMismatch, at, "belongs to push type "+typeNames(rule.types),
			"send it with that push type and its topic, or remove it")
	default:
		r.at(CodeKeyOfOtherType, at, "means nothing for "+pushName(r.t)+"; it belongs to "+typeNames(rule.types), "remove it")
	}
}

// kindOf reports a value of the wrong JSON type.
func (r *lintRun) kindOf(at int, want kind) {
	n := &r.doc.nodes[at]
	switch {
	case n.kind&want != 0:
	case n.kind == kindNull:
		r.at(CodeNullValue, at, "null, where "+want.String()+" belongs", "leave the key out")
	case want == kindNumber && n.kind == kindBool:
		r.at(CodeBooleanForNumber, at, "a boolean, where Apple documents a number", "send 1, or leave the key out")
	case want == kindNumber && n.kind == kindString && isNumeric(r.doc.text(at)):
		r.at(CodeNumericString, at, "a number in quotes, which devices do not read as a number", "send the number without quotes")
	default:
		r.at(CodeWrongType, at, n.kind.String()+", where "+want.String()+" belongs", "send "+want.String())
	}
}

func isNumeric(text []byte) bool {
	if len(text) > 32 {
		return false
	}
	_, err := strconv.ParseFloat(string(bytes.TrimSpace(text)), 64)
	return err == nil
}

// strings reports elements of an array that are not strings.
func (r *lintRun) strings(array int) {
	if array < 0 || r.doc.nodes[array].kind != kindArray {
		return
	}
	for i, n := range r.doc.children(array) {
		if n.kind != kindString {
			r.at(CodeWrongType, i, n.kind.String()+", where a string belongs", "send it in quotes")
		}
	}
}

// withoutAPS looks for the aps dictionary that should have been there.
func (r *lintRun) withoutAPS() {
	needed := r.in.is(inAlert | inBackground | inLiveActivity | inWidgets | inControls)
	nested := r.nestedAPS()
	if nested >= 0 {
		r.at(CodeAPSNested, nested, "aps below the top level; that is the form of another service, not of APNs",
			"send the object that contains aps as the whole payload")
	}
	if !needed {
		return
	}
	fix := `put Apple's keys into {"aps":{…}}`
	for i, n := range r.doc.children(0) {
		if squeezed := strings.TrimSpace(strings.ToLower(string(n.key))); len(n.key) <= 8 &&
			(squeezed == "aps" || squeezed == "apns" || squeezed == "apn" || squeezed == "asp") && i != nested {
			r.at(CodeMisspelledKey, i, "almost aps, and ignored as it is", "did you mean aps?")
		}
	}
	if r.in == inAlert || r.in == inBackground {
		if mdm := r.doc.member(0, "mdm"); mdm >= 0 {
			r.at(CodePushTypeMismatch, mdm, "belongs to push type mdm", "send it with push type mdm and the topic of its certificate")
		}
	}
	r.missing(CodeAPSMissing, 0, "aps", pushName(r.t)+" without aps does nothing", fix)
}

// nestedAPS finds the first aps that is an object and not at the top, or -1.
func (r *lintRun) nestedAPS() int {
	for i := range r.doc.nodes {
		n := &r.doc.nodes[i]
		if n.parent != 0 && n.kind == kindObject && string(n.key) == "aps" {
			return i
		}
	}
	return -1
}

// keysOutside reports keys of Apple's beside aps. Names that an app might well
// use itself pass.
func (r *lintRun) keysOutside(aps int) {
	// These types are all the app's own keys.
	if r.in.is(inVoIP | inPushToTalk | inFileProvider | inComplication | inLocation) {
		return
	}
	for _, rule := range apsKeyRules {
		i := r.doc.member(0, rule.name)
		if i < 0 || !rule.distinct || rule.types&r.in == 0 {
			continue
		}
		if aps >= 0 && r.doc.member(aps, rule.name) >= 0 {
			continue // a copy for the app
		}
		r.at(CodeKeyOutsideAPS, i, "a key of Apple's beside aps, where the system does not look", "move it into aps")
	}
}

// typeNames lists push types as people write them.
func typeNames(types typeSet) string {
	var names []string
	for i, name := range pushTypeNames {
		if types&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, " or ")
}
