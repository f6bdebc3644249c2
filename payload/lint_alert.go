package payload

import (
	"bytes"
	"math"
	"strings"
	"unicode"
)

// presentation applies the rules about alert, badge and sound.
func (r *lintRun) presentation(aps int) {
	if r.in.is(inBackground) {
		if at := r.doc.member(aps, "content-available"); at < 0 || !r.isOne(at) {
			r.missing(CodeContentAvailable, aps, "content-available", "a background push without content-available 1 does not wake the app",
				`send "content-available":1`)
		}
	}
	alert := r.doc.member(aps, "alert")
	if alert >= 0 && r.doc.nodes[alert].kind == kindObject {
		if r.t == PushTypeLiveActivity || r.t == "" && eventOf(r.doc) != "" {
			r.activityAlert(alert)
		} else {
			r.alertKeys(alert)
		}
	}
	if r.blank(alert) {
		r.at(CodeBlankText, alert, "the texts have nothing in them that can be seen", "give a text, or leave the alert out")
	}
	if r.t != PushTypeAlert && r.t != "" {
		return
	}
	text := r.hasText(alert)
	badge, sound := r.doc.member(aps, "badge"), r.doc.member(aps, "sound")
	if r.t == PushTypeAlert && !text && !r.present(badge) && !r.plays(sound) {
		fix := "give a title or body, a badge or a sound"
		if r.doc.member(aps, "content-available") >= 0 {
			fix = "send it with push type background and priority 5"
		}
		r.at(CodeNothingToPresent, aps, "nothing to show, play or count", fix)
	}
	if at := r.doc.member(aps, "mutable-content"); at >= 0 && r.isOne(at) && !text {
		r.at(CodeMutableWithoutText, at, "the service extension runs only for a push with a title, subtitle or body",
			"give a text; the extension may replace it")
	}
	r.badge(badge)
	r.levelAndSound(r.doc.member(aps, "interruption-level"), sound)
	if at := r.doc.member(aps, "relevance-score"); at >= 0 && r.doc.nodes[at].kind == kindNumber && r.t == PushTypeAlert {
		if f := r.doc.number(at); f < 0 || f > 1 {
			r.at(CodeRelevanceScore, at, "the relevance of an alert runs from 0 to 1", "divide a percentage by 100")
		}
	}
}

// present reports whether a member is there and not null.
func (r *lintRun) present(at int) bool { return at >= 0 && r.doc.nodes[at].kind != kindNull }

// isOne reports whether a flag is set, true included, which has a finding of
// its own.
func (r *lintRun) isOne(at int) bool {
	switch r.doc.nodes[at].kind {
	case kindNumber:
		return r.doc.number(at) == 1
	case kindBool:
		return r.doc.raw(at)[0] == 't'
	}
	return false
}

// says reports whether a member is a text and not empty.
func (r *lintRun) says(at int) bool {
	return at >= 0 && r.doc.nodes[at].kind == kindString && len(r.doc.text(at)) > 0
}

// blank reports whether all that there is of the texts of an alert is blanks, and what has
// no width.
func (r *lintRun) blank(alert int) bool {
	seen := func(at int) bool {
		return r.says(at) && bytes.ContainsFunc(r.doc.text(at), func(c rune) bool {
			return !unicode.In(c, unicode.White_Space, unicode.Cf, unicode.Mn) && !strings.ContainsRune("\u2800\u3164\u115f\u1160\uffa0", c)
		})
	}
	return r.hasText(alert) && !r.anyText(alert, seen)
}

// plays reports whether a sound is one: a name, or an object, which has rules of its own.
func (r *lintRun) plays(sound int) bool {
	return r.present(sound) && (r.doc.nodes[sound].kind != kindString || r.says(sound))
}

// hasText reports whether an alert shows anything. In a Live Activity's, a localised text
// is an object.
func (r *lintRun) hasText(alert int) bool {
	return r.anyText(alert, r.says)
}

// anyText reports whether there is a text in an alert of which something holds.
func (r *lintRun) anyText(alert int, holds func(at int) bool) bool {
	if alert < 0 || holds(alert) {
		return alert >= 0
	}
	for _, key := range []string{"title", "subtitle", "body", "title-loc-key", "subtitle-loc-key", "loc-key"} {
		if at := r.doc.member(alert, key); holds(at) || at >= 0 && r.doc.nodes[at].kind == kindObject && holds(r.doc.member(at, "loc-key")) {
			return true
		}
	}
	return false
}

// alertKeys applies the rules about each key inside alert.
func (r *lintRun) alertKeys(alert int) {
	for i, n := range r.doc.children(alert) {
		rule, known := findRule(alertKeyRules, n.key)
		if !known {
			r.unknownKey(i, alertKeyRules, CodeUnknownAlertKey, "not a key of Apple's, and ignored inside alert",
				"move it beside aps, or into aps if it is a key of Apple's there")
			continue
		}
		if fix, obsolete := obsoleteKeys[rule.name]; obsolete {
			r.at(CodeObsoleteKey, i, "no longer does anything", fix)
			continue
		}
		r.kindOf(i, rule.kinds)
	}
	for _, stem := range []string{"title", "subtitle", "body"} {
		prefix := stem + "-"
		if stem == "body" {
			prefix = ""
		}
		key, args := r.doc.member(alert, prefix+"loc-key"), r.doc.member(alert, prefix+"loc-args")
		r.strings(args)
		if r.present(args) && !r.present(key) {
			r.at(CodeLocArgsWithoutKey, args, "arguments without "+prefix+"loc-key have no string to go into", "add "+prefix+"loc-key")
		}
		if r.present(key) && r.present(r.doc.member(alert, stem)) {
			r.at(CodeTextAndLocKey, key, "given together with "+stem+"; the device shows only one of them", "keep one of them")
		}
	}
}

func (r *lintRun) badge(at int) {
	if at < 0 || r.doc.nodes[at].kind != kindNumber {
		return
	}
	if f := r.doc.number(at); f < 0 || f > math.MaxInt32 || f != math.Trunc(f) {
		r.at(CodeBadgeValue, at, "a badge is a whole number from 0", "send 0 to clear it; leave the key out to keep it")
	}
}

// levelAndSound applies the rules about how loud a push may be.
func (r *lintRun) levelAndSound(level, sound int) {
	var name InterruptionLevel
	if level >= 0 && r.doc.nodes[level].kind == kindString {
		name = InterruptionLevel(r.doc.text(level))
		if !name.known() {
			r.at(CodeInterruptionLevel, level, "not one of Apple's levels, so the default is used",
				"use passive, active, time-sensitive or critical")
		}
	}
	critical := false
	if sound >= 0 && r.doc.nodes[sound].kind == kindObject {
		critical = r.soundObject(sound)
	}
	if name == InterruptionPassive && r.present(sound) {
		r.at(CodePassiveSound, sound, "a passive notification plays no sound", "remove the sound, or use active")
	}
	if critical && name.known() && name != InterruptionCritical {
		r.at(CodeCriticalLevel, level, "contradicts the critical sound", "use critical, or leave the level out")
	}
	if r.CriticalAlerts {
		return
	}
	const message = "works only in an app with the critical-alerts entitlement, which APNs does not check"
	const fix = "ask Apple for the entitlement; if the app has it, say so to the linter"
	switch {
	case name == InterruptionCritical:
		r.at(CodeCriticalEntitlement, level, message, fix)
	case critical:
		r.at(CodeCriticalEntitlement, sound, message, fix)
	}
}

// soundObject applies the rules about a critical sound and reports whether it
// is one.
func (r *lintRun) soundObject(sound int) (critical bool) {
	for i, n := range r.doc.children(sound) {
		if rule, known := findRule(soundKeyRules, n.key); known {
			r.kindOf(i, rule.kinds)
			continue
		}
		r.unknownKey(i, soundKeyRules, CodeUnknownSoundKey, "not a key of Apple's, and ignored inside sound", "use critical, name and volume")
	}
	if at := r.doc.member(sound, "critical"); at >= 0 && r.isOne(at) {
		critical = true
	} else {
		r.missing(CodeSoundObject, sound, "critical", "an object is only needed for a critical sound, with critical 1",
			`send "critical":1, or the name alone as a string`)
	}
	if r.doc.member(sound, "name") < 0 {
		r.missing(CodeSoundObject, sound, "name", "no name, so nothing is played", `add a file name or "default"`)
	}
	if at := r.doc.member(sound, "volume"); at >= 0 && r.doc.nodes[at].kind == kindNumber {
		if f := r.doc.number(at); f < 0 || f > 1 {
			r.at(CodeSoundObject, at, "the volume runs from 0 to 1", "divide a percentage by 100")
		}
	}
	return critical
}
