package payload

import "aviso.example/internal/proto"

// Alert is a push that a person sees, hears or finds as a badge
// ("Generating a remote notification"). At least one text, a badge or a sound
// must be set. Fields left at their zero value are left out of the JSON.
type Alert struct {
	// Title, Subtitle and Body are the texts, shown as they are.
	Title    string
	Subtitle string
	Body     string

	// TitleLocKey, SubtitleLocKey and LocKey (for the body) name strings in the
	// app's Localizable.strings and take the place of the texts; a text and its
	// key together are refused. The arguments replace %@ in those strings and
	// need their key.
	TitleLocKey     string
	TitleLocArgs    []string
	SubtitleLocKey  string
	SubtitleLocArgs []string
	LocKey          string
	LocArgs         []string

	// LaunchImage names the image or storyboard shown while the app starts.
	LaunchImage string

	// Badge keeps, clears or sets the number on the app's icon.
	Badge Badge
	// Sound is what is played; nothing by default.
	Sound Sound
	// ThreadID groups notifications.
	ThreadID string
	// Category names a category that the app registered, and with it the
	// actions offered.
	Category string
	// ContentAvailable wakes the app in the background as well. A push that
	// only does that is a [Background].
	ContentAvailable bool
	// MutableContent runs the app's notification service extension first. The
	// extension is skipped when there is no text, so that is refused.
	MutableContent bool
	// TargetContentID names the window to bring forward.
	TargetContentID string
	// InterruptionLevel is how much the push may disturb; active by default.
	InterruptionLevel InterruptionLevel
	// RelevanceScore, from 0 to 1, sorts the notifications of one app in the
	// summary; write it as new(0.5).
	RelevanceScore *float64
	// FilterCriteria is compared with the app's Focus filter.
	FilterCriteria string

	// Custom becomes keys beside "aps": a struct or a map with string keys,
	// encoded by encoding/json (so invalid UTF-8 in it becomes U+FFFD). A key
	// "aps" is refused.
	Custom any
}

// InterruptionLevel is how much a notification may disturb. The zero value
// leaves it to the system, which takes active.
type InterruptionLevel string

// The four interruption levels ("Generating a remote notification").
const (
	// InterruptionPassive adds to the list without lighting the screen or
	// playing a sound.
	InterruptionPassive InterruptionLevel = "passive"
	// InterruptionActive lights the screen and can play a sound.
	InterruptionActive InterruptionLevel = "active"
	// InterruptionTimeSensitive breaks through a Focus; the app needs the
	// capability.
	InterruptionTimeSensitive InterruptionLevel = "time-sensitive"
	// InterruptionCritical breaks through the mute switch; the app needs the
	// critical-alerts entitlement.
	InterruptionCritical InterruptionLevel = "critical"
)

func (l InterruptionLevel) known() bool {
	switch l {
	case InterruptionPassive, InterruptionActive, InterruptionTimeSensitive, InterruptionCritical:
		return true
	}
	return false
}

// PushType returns "alert".
func (Alert) PushType() PushType { return proto.PushTypeAlert }

// JSON returns the body, at most 4096 bytes; see [Payload].
func (a Alert) JSON() ([]byte, error) {
	size := 96 + len(a.Title) + len(a.Subtitle) + len(a.Body) + len(a.ThreadID) + len(a.Category)
	return owned(a.AppendJSON(make([]byte, 0, size)))
}

// AppendJSON appends what JSON returns to dst, for senders that reuse their
// buffers. On error it returns dst as it was.
func (a Alert) AppendJSON(dst []byte) ([]byte, error) {
	return a.append(dst, proto.MaxPayload)
}

func (a *Alert) hasText() bool {
	return a.Title != "" || a.Subtitle != "" || a.Body != "" ||
		a.TitleLocKey != "" || a.SubtitleLocKey != "" || a.LocKey != ""
}

func (a *Alert) append(dst []byte, limit int) ([]byte, error) {
	e := begin(dst)
	e.open("aps")
	a.texts(&e)
	e.badge("/aps", a.Badge)
	e.sound("/aps", a.Sound)
	e.text("/aps", "thread-id", a.ThreadID)
	e.text("/aps", "category", a.Category)
	e.flag("content-available", a.ContentAvailable)
	e.flag("mutable-content", a.MutableContent)
	e.text("/aps", "target-content-id", a.TargetContentID)
	e.text("/aps", "interruption-level", string(a.InterruptionLevel))
	if a.RelevanceScore != nil {
		e.float("/aps", "relevance-score", *a.RelevanceScore)
	}
	e.text("/aps", "filter-criteria", a.FilterCriteria)
	a.check(&e)
	e.close()
	e.custom(a.Custom)
	return e.finish(proto.PushTypeAlert, limit)
}

func (a *Alert) texts(e *encoder) {
	const path = "/aps/alert"
	if !a.hasText() && a.LaunchImage == "" && len(a.TitleLocArgs)+len(a.SubtitleLocArgs)+len(a.LocArgs) == 0 {
		return
	}
	e.open("alert")
	e.localized(path, &titleNames, a.Title, a.TitleLocKey, a.TitleLocArgs)
	e.localized(path, &subtitleNames, a.Subtitle, a.SubtitleLocKey, a.SubtitleLocArgs)
	e.localized(path, &bodyNames, a.Body, a.LocKey, a.LocArgs)
	e.text(path, "launch-image", a.LaunchImage)
	e.close()
}

// check refuses what contradicts itself across fields.
func (a *Alert) check(e *encoder) {
	text := a.hasText()
	if !text && !a.Badge.set && a.Sound.IsZero() {
		fix := "set Title, Body, Badge or Sound"
		if a.ContentAvailable {
			fix = "use Background, which has the push type and priority that a silent push needs"
		}
		e.problem("/aps", "nothing to show, play or count; the device would drop this alert", fix)
	}
	if a.MutableContent && !text {
		e.problem("/aps/mutable-content", "the service extension runs only for a push with a title, subtitle or body",
			"set a text; the extension may replace it")
	}
	if a.InterruptionLevel != "" && !a.InterruptionLevel.known() {
		e.problem("/aps/interruption-level", "not one of passive, active, time-sensitive, critical",
			"use one of the Interruption constants")
	}
	if a.InterruptionLevel == InterruptionPassive && !a.Sound.IsZero() {
		e.problem("/aps/sound", "a passive notification plays no sound", "drop the sound, or use InterruptionActive")
	}
	if a.Sound.critical && a.InterruptionLevel.known() && a.InterruptionLevel != InterruptionCritical {
		e.problem("/aps/interruption-level", "contradicts the critical sound",
			"use InterruptionCritical, or leave the level unset")
	}
	if s := a.RelevanceScore; s != nil && (*s < 0 || *s > 1) {
		e.problem("/aps/relevance-score", "the relevance of an alert runs from 0 to 1", "divide a percentage by 100")
	}
}
