package payload

import (
	"strings"

	"aviso.example/internal/proto"
)

// typeSet is a set of push types.
type typeSet uint16

const (
	inAlert typeSet = 1 << iota
	inBackground
	inComplication
	inControls
	inFileProvider
	inLiveActivity
	inLocation
	inMDM
	inPushToTalk
	inVoIP
	inWidgets

	inAny typeSet = 1<<iota - 1
)

// setOf returns the set with one type; a type that is not stated or not known
// gives the full set, so that no rule about other types fires.
func setOf(t PushType) typeSet {
	for i, rule := range proto.TypeRules {
		if rule.Type == t {
			return 1 << i
		}
	}
	return inAny
}

// is reports whether the push type is stated and among those given.
func (s typeSet) is(types typeSet) bool { return s != inAny && s&types != 0 }

// keyRule is what Apple says about one key.
type keyRule struct {
	name  string
	kinds kind
	types typeSet
	// distinct marks names that nobody would give a key of their own.
	distinct bool
}

var apsKeyRules = []keyRule{
	{"alert", kindString | kindObject, inAlert | inLiveActivity, true},
	{"badge", kindNumber, inAlert, true},
	{"sound", kindString | kindObject, inAlert, true},
	{"thread-id", kindString, inAlert, true},
	{"category", kindString, inAlert, false},
	// Apple's guides tolerate it beside an alert, and it is habit in the types
	// that wake an app anyway.
	{"content-available", kindNumber, inAny &^ inLiveActivity &^ inWidgets &^ inControls, true},
	{"mutable-content", kindNumber, inAlert, true},
	{"target-content-id", kindString, inAlert, true},
	{"interruption-level", kindString, inAlert, true},
	{"relevance-score", kindNumber, inAlert | inLiveActivity, true},
	{"filter-criteria", kindString, inAlert, true},
	{"stale-date", kindNumber, inLiveActivity, true},
	{"content-state", kindObject, inLiveActivity, true},
	{"timestamp", kindNumber, inLiveActivity, false},
	{"event", kindString, inLiveActivity, false},
	{"dismissal-date", kindNumber, inLiveActivity, true},
	{"attributes-type", kindString, inLiveActivity, true},
	{"attributes", kindObject, inLiveActivity, false},
	{"input-push-token", kindNumber, inLiveActivity, true},
	{"input-push-channel", kindString, inLiveActivity, true},
	{"content-changed", kindBool, inWidgets | inControls, true},
	{"ptt-push-type", kindString, inPushToTalk, true},
	{"url-args", kindArray, inAlert, true},
}

var alertKeyRules = []keyRule{
	{name: "title", kinds: kindString},
	{name: "subtitle", kinds: kindString},
	{name: "body", kinds: kindString},
	{name: "launch-image", kinds: kindString},
	{name: "title-loc-key", kinds: kindString},
	{name: "title-loc-args", kinds: kindArray},
	{name: "subtitle-loc-key", kinds: kindString},
	{name: "subtitle-loc-args", kinds: kindArray},
	{name: "loc-key", kinds: kindString},
	{name: "loc-args", kinds: kindArray},
	{name: "action", kinds: kindString},
	{name: "action-loc-key", kinds: kindString},
	{name: "summary-arg", kinds: kindString},
	{name: "summary-arg-count", kinds: kindNumber},
}

var activityAlertKeyRules = []keyRule{
	{name: "title", kinds: kindString | kindObject},
	{name: "body", kinds: kindString | kindObject},
	{name: "sound", kinds: kindString},
}

var soundKeyRules = []keyRule{
	{name: "critical", kinds: kindNumber},
	{name: "name", kinds: kindString},
	{name: "volume", kinds: kindNumber},
}

// locKeyRules are the members of a localised text in a Live Activity alert.
var locKeyRules = []keyRule{
	{name: "loc-key", kinds: kindString},
	{name: "loc-args", kinds: kindArray},
}

// obsoleteKeys maps alert keys that lost their meaning to what to do.
var obsoleteKeys = map[string]string{
	"summary-arg":       "remove it; iOS 15 and later ignore it, use relevance-score",
	"summary-arg-count": "remove it; iOS 15 and later ignore it, use relevance-score",
	"action-loc-key":    "remove it; use category for actions",
}

func findRule(table []keyRule, name []byte) (keyRule, bool) {
	for _, rule := range table {
		if rule.name == string(name) {
			return rule, true
		}
	}
	return keyRule{}, false
}

// suggest returns the key that name was probably meant to be, or "": equal but
// for case and separators, or one slip away.
func suggest(table []keyRule, name []byte) string {
	const longest = 32 // no key of Apple's comes near; bounds the work
	if len(name) == 0 || len(name) > longest {
		return ""
	}
	squeezed := squeeze(string(name))
	for _, rule := range table {
		if squeeze(rule.name) == squeezed {
			return rule.name
		}
	}
	for _, rule := range table {
		// In a short word one slip makes another word: "tile", "bade".
		if len(rule.name) >= 5 && oneSlip(squeezed, squeeze(rule.name)) {
			return rule.name
		}
	}
	return ""
}

// squeeze removes what naming styles differ in.
func squeeze(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '-' || r == '_' || r == '.' || r == ' ' {
			return -1
		}
		return r
	}, strings.ToLower(s))
}

// oneSlip reports whether one letter was added, left out, changed or swapped
// with its neighbour.
func oneSlip(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	i := 0
	for i < len(a) && a[i] == b[i] {
		i++
	}
	switch len(b) - len(a) {
	case 0:
		if i >= len(a) {
			return false
		}
		swapped := i+1 < len(a) && a[i] == b[i+1] && a[i+1] == b[i] && a[i+2:] == b[i+2:]
		return a[i+1:] == b[i+1:] || swapped
	case 1:
		return a[i:] == b[i+1:]
	}
	return false
}

// pushTypeNames are the names in the order of the bits of typeSet.
var pushTypeNames = func() (names []string) {
	for _, rule := range proto.TypeRules {
		names = append(names, string(rule.Type))
	}
	return names
}()
