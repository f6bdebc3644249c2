package payload

import (
	"encoding/base64"
	"strings"
	"time"
)

const (
	// maxDismissal is how long the lock screen keeps an ended activity.
	maxDismissal = 4 * time.Hour
	// firstSecond is the start of the year 2000. Anything before it is a
	// duration, a Swift reference date or an unset variable taken for a time.
	firstSecond = 946684800
	// lastSecond lies in the year 5138. What is beyond it was counted in
	// milliseconds.
	lastSecond = 100_000_000_000
)

// event opens aps with the two members that every Live Activity push has.
func (e *encoder) event(name string, timestamp time.Time) {
	e.open("aps")
	if timestamp.IsZero() {
		e.problem("/aps/timestamp", "the device orders pushes by their timestamp and drops one without it",
			"set Timestamp to time.Now()")
	} else {
		e.seconds("timestamp", timestamp, time.Unix(firstSecond, 0))
	}
	e.text("/aps", "event", name)
}

// seconds writes a time and catches the wrong unit.
func (e *encoder) seconds(name string, t, earliest time.Time) {
	switch {
	case t.Unix() > lastSecond:
		e.problem("/aps/"+name, "thousands of years away", "use time.UnixMilli for milliseconds, time.Unix for seconds")
	case t.Before(earliest):
		e.problem("/aps/"+name, "before "+earliest.UTC().Format(time.DateOnly),
			"give a moment, not a duration; time.Now().Add(d) makes one from the other")
	}
	e.integer(name, t.Unix())
}

func (e *encoder) stale(at, timestamp time.Time) {
	if at.IsZero() {
		return
	}
	if !at.After(timestamp) {
		e.problem("/aps/stale-date", "not after the timestamp, so the state would be outdated on arrival",
			"choose a time after Timestamp, or leave it zero")
	}
	e.seconds("stale-date", at, time.Unix(firstSecond, 0))
}

// required writes an object that the app decodes.
func (e *encoder) required(name string, value any, what string) {
	if value == nil {
		e.problem("/aps/"+name, "missing; the device drops the push", "give "+what)
		return
	}
	e.object("/aps", name, value)
}

func (e *encoder) updates(u UpdateSource) {
	e.flag("input-push-token", u.deviceToken)
	if !u.isChannel {
		return
	}
	const fix = "give the id that APNs returned when the channel was created"
	if u.channel == "" {
		e.problem("/aps/input-push-channel", "an empty channel id", fix)
	} else if !isChannelID(u.channel) {
		e.problem("/aps/input-push-channel", "not base64, as channel ids are; the activity would never get an update", fix)
	}
	e.text("/aps", "input-push-channel", u.channel)
}

// isChannelID reports whether s is base64, padded or not. The length of ids is for
// Apple to choose.
func isChannelID(s string) bool {
	_, padded := base64.StdEncoding.DecodeString(s)
	_, unpadded := base64.RawStdEncoding.DecodeString(s)
	return s != "" && !strings.ContainsAny(s, "\r\n") && (padded == nil || unpadded == nil)
}

func (a *LiveActivityAlert) hasText() bool {
	return a.Title != "" || a.TitleLocKey != "" || a.Body != "" || a.LocKey != ""
}

// activityAlert writes the alert, whose localised texts are objects here and
// flat keys in an ordinary alert.
func (e *encoder) activityAlert(a *LiveActivityAlert, withoutText string) {
	const path = "/aps/alert"
	if a == nil {
		return
	}
	if !a.hasText() {
		e.problem(path, withoutText, "set Title and Body of Alert")
	}
	e.open("alert")
	e.activityText(path, "title", a.Title, a.TitleLocKey, a.TitleLocArgs)
	e.activityText(path, "body", a.Body, a.LocKey, a.LocArgs)
	e.text(path, "sound", a.Sound)
	e.close()
}

func (e *encoder) activityText(parent, name, plain, locKey string, locArgs []string) {
	if len(locArgs) > 0 || locKey != "" {
		e.checkLocalized(parent, name, name+"/loc-args", plain, locKey, locArgs)
	}
	if locKey == "" {
		e.text(parent, name, plain)
		return
	}
	path := parent + "/" + name
	e.open(name)
	e.text(path, "loc-key", locKey)
	if len(locArgs) > 0 {
		e.texts(path, "loc-args", locArgs)
	}
	e.close()
}
