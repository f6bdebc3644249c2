package payload

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// activity applies the rules about Live Activities.
func (r *lintRun) activity(aps int) {
	// A time in the wrong unit is wrong whatever the push type is said to be.
	timestamp := r.time(aps, "timestamp")
	stale := r.time(aps, "stale-date")
	dismissal := r.time(aps, "dismissal-date")
	r.inputs(aps)
	event := eventOf(r.doc)
	if event == "start" && r.Broadcast {
		r.at(CodeActivityBroadcast, r.doc.member(aps, "event"), startOverBroadcast.Message, startOverBroadcast.Fix)
	}
	if r.t != PushTypeLiveActivity {
		return
	}
	if !r.present(r.doc.member(aps, "timestamp")) {
		r.missing(CodeActivityTimestamp, aps, "timestamp", "the device orders pushes by their timestamp and drops one without it",
			"send the present time in UNIX seconds")
	}
	if at := r.doc.member(aps, "event"); event != "start" && event != "update" && event != "end" &&
		(at < 0 || r.doc.nodes[at].kind == kindString || r.doc.nodes[at].kind == kindNull) {
		r.missing(CodeActivityEvent, aps, "event", "missing, or not one of start, update, end", "send one of start, update, end")
	}
	if !r.present(r.doc.member(aps, "content-state")) {
		if event == "end" {
			r.missing(CodeActivityEndState, aps, "content-state", "without it the lock screen keeps the last state", "send the final state")
		} else {
			r.missing(CodeActivityContentState, aps, "content-state", "missing; the device has nothing to decode", "send the complete state")
		}
	}
	r.keysByEvent(aps, event)
	r.dates(r.doc.member(aps, "content-state"), timestamp)
	r.dates(r.doc.member(aps, "attributes"), timestamp)
	if stale > 0 && timestamp > 0 && stale <= timestamp {
		r.at(CodeActivityStale, r.doc.member(aps, "stale-date"), "not after the timestamp, so the state is outdated on arrival",
			"choose a later time and advance it with each update")
	}
	if event == "end" && dismissal-timestamp > maxDismissal.Seconds() && timestamp > 0 && dismissal < lastSecond {
		r.at(CodeActivityDismissal, r.doc.member(aps, "dismissal-date"), "more than four hours after the end; the system removes the activity sooner",
			"choose a time within four hours, or leave the key out")
	}
}

// time returns a member that is a time, or 0, and judges its unit.
func (r *lintRun) time(aps int, key string) float64 {
	at := r.doc.member(aps, key)
	if at < 0 || r.doc.nodes[at].kind != kindNumber {
		return 0
	}
	f := r.doc.number(at)
	switch {
	case f > lastSecond:
		r.at(CodeActivityMilliseconds, at, "thousands of years away", "divide by 1000: the unit is seconds")
	case f < firstSecond && key != "dismissal-date": // there any past moment means "at once"
		r.at(CodeActivityTime, at, "a moment before 2000; is it a duration, or seconds since 2001 as Swift counts them?",
			"send UNIX seconds, counted from 1970")
	}
	return f
}

// dates looks for times in what the app decodes that are no Swift dates: text, which is
// what most languages make of a time, and for which the device drops the push without a
// word; and numbers that count from 1970, of which Swift makes a time 31 years off.
func (r *lintRun) dates(at int, timestamp float64) {
	if at < 0 {
		return
	}
	// What is inside a value follows it, up to its end.
	for i := at; i < len(r.doc.nodes) && r.doc.nodes[i].start < r.doc.nodes[at].end; i++ {
		switch r.doc.nodes[i].kind {
		case kindString:
			if isTime(r.doc.text(i)) {
				r.at(CodeActivityDate, i, "a time as text, which a Swift Date does not decode; the device drops the push",
					"send seconds since 2001-01-01 00:00:00 UTC (SwiftDate does), unless the property is a String")
			}
			if n, err := strconv.ParseFloat(string(r.doc.text(i)), 64); err == nil && isNearPresent(n, timestamp) {
				r.at(CodeActivityDate, i, "a time as text, which a Swift Date does not decode; the device drops the push",
					"send seconds since 2001-01-01 00:00:00 UTC (SwiftDate does), unless the property is a String")
			}
		case kindNumber:
			if isNearPresent(r.doc.number(i), timestamp) {
				r.at(CodeActivityDateEpoch, i, "close to the present in time counted from 1970; a Swift Date counts seconds from 2001 and would be 31 years off or more",
					"send seconds since 2001-01-01 00:00:00 UTC (SwiftDate does), unless the app decodes it otherwise or it is no time")
			}
		}
	}
}

// isNearPresent says that a number is close to a timestamp, in seconds, milliseconds or
// microseconds since 1970.
func isNearPresent(n, timestamp float64) bool {
	if timestamp <= firstSecond || timestamp >= lastSecond {
		return false
	}
	for _, unit := range []float64{1, 1e3, 1e6} {
		if math.Abs(n/unit-timestamp) < nearPresent.Seconds() {
			return true
		}
	}
	return false
}

// nearPresent is how far from the timestamp a number is taken for a time.
const nearPresent = 31 * 24 * time.Hour

// times are how languages write a time as text: ISO 8601 and what comes close to it, with
// or without separators, fraction and zone (Python, Ruby, Java, Go, databases, shells); a
// day of the week before it (HTTP, mail, C, JavaScript); and what Americans read.
var times = regexp.MustCompile(`(?i)^(?:` +
	`\d{4}-?\d{2}-?\d{2}[T ]\d{2}:?\d{2}(?::?\d{2}(?:[.,]\d+)?)?(?: ?(?:Z|[+-]\d{2}(?::?\d{2})?|[A-Z]{3,5}))?(?: ?[A-Z]{3,5})?(?:\[[\w/+-]+\])?` +
	`|(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,? [\w -]{3,20}\d{2}:\d{2}:\d{2}(?:[ \w+:()-]*)` +
	`|\d{1,2}/\d{1,2}/\d{4},? \d{1,2}:\d{2}(?::\d{2})?(?: ?[AP]M)?` +
	`|(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]* \d{1,2}, \d{4},? (?:at )?\d{1,2}:\d{2}(?::\d{2})?(?: ?[AP]M)?` +
	`)$`)

// isTime reports whether a text is a time with a date. A date alone is not looked for: it
// is a text in many apps.
func isTime(text []byte) bool {
	const shortest, longest = len("20060102T1504"), 80
	return len(text) >= shortest && len(text) <= longest && times.Match(text)
}

// inputs applies the rules about the two sources of updates.
func (r *lintRun) inputs(aps int) {
	flag, channel := r.doc.member(aps, "input-push-token"), r.doc.member(aps, "input-push-channel")
	if r.present(flag) && r.present(channel) {
		r.at(CodeActivityInputs, channel, "given together with input-push-token; the device refuses two forms of push input",
			"keep the channel for broadcasts, or the flag for updates to one device")
	}
	if flag >= 0 && r.doc.nodes[flag].kind == kindNumber && r.doc.number(flag) != 1 {
		r.at(CodeActivityInputFlag, flag, "input-push-token knows only the value 1", "send 1, or leave the key out")
	}
	if channel >= 0 && r.doc.nodes[channel].kind == kindString {
		if !isChannelID(string(r.doc.text(channel))) {
			r.at(CodeActivityInputFlag, channel, "not base64, as channel ids are", "send the id as APNs returned it in apns-channel-id")
		}
	}
}

// keysByEvent applies the rules about what each event needs and what it cannot
// use.
func (r *lintRun) keysByEvent(aps int, event string) {
	useless := func(keys ...string) {
		for _, key := range keys {
			if at := r.doc.member(aps, key); at >= 0 {
				r.at(CodeActivityEventKey, at, "means nothing for event "+event, "remove it")
			}
		}
	}
	switch event {
	case "start":
		for _, key := range []string{"attributes-type", "attributes", "alert"} {
			at := r.doc.member(aps, key)
			switch {
			case !r.present(at):
				r.missing(CodeActivityStart, aps, key, "Apple requires it to start a Live Activity", "add "+key)
			case key == "attributes-type" && r.doc.nodes[at].kind == kindString && strings.TrimSpace(string(r.doc.text(at))) == "":
				r.at(CodeActivityStart, at, "empty, so no type of the app is named", "give the name of the Swift type of the attributes")
			case key == "alert" && r.doc.nodes[at].kind == kindString && r.says(at):
				r.at(CodeActivityAlert, at, "a text, where Apple documents an object for a Live Activity", `write {"title":…,"body":…}`)
			case key == "alert" && (r.doc.nodes[at].kind == kindObject || r.doc.nodes[at].kind == kindString) && !r.hasText(at):
				r.at(CodeActivityStart, at, "has nothing to show, and Apple requires an alert with a text to start a Live Activity", "give it a title and a body")
			}
		}
		useless("dismissal-date")
	case "update":
		useless("attributes-type", "attributes", "input-push-token", "input-push-channel", "dismissal-date")
	case "end":
		useless("attributes-type", "attributes", "input-push-token", "input-push-channel")
	}
}

// activityAlert applies the rules about the keys of a Live Activity alert,
// whose localised texts are objects.
func (r *lintRun) activityAlert(alert int) {
	for i, n := range r.doc.children(alert) {
		rule, known := findRule(activityAlertKeyRules, n.key)
		if !known {
			if loc, isLoc := findRule(alertKeyRules, n.key); isLoc {
				r.at(CodeUnknownAlertKey, i, "not a key of a Live Activity alert, though one of an ordinary alert",
					`a localised text is an object here: "title":{"loc-key":…,"loc-args":[…]}; `+loc.name+" is ignored")
				continue
			}
			r.unknownKey(i, activityAlertKeyRules, CodeUnknownAlertKey, "not a key of Apple's, and ignored inside alert", "use title, body and sound")
			continue
		}
		r.kindOf(i, rule.kinds)
		if n.kind != kindObject {
			continue
		}
		for j, m := range r.doc.children(i) {
			if rule, known := findRule(locKeyRules, m.key); known {
				r.kindOf(j, rule.kinds)
			} else {
				r.unknownKey(j, locKeyRules, CodeUnknownAlertKey, "not a key of a localised text", "use loc-key and loc-args")
			}
		}
		args := r.doc.member(i, "loc-args")
		r.strings(args)
		if r.present(args) && !r.present(r.doc.member(i, "loc-key")) {
			r.at(CodeLocArgsWithoutKey, args, "arguments without loc-key have no string to go into", "add loc-key")
		}
	}
}
