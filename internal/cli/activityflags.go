package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"aviso.example/apns"
	"aviso.example/internal/message"
	"aviso.example/internal/suggest"
	"aviso.example/payload"
)

// activityFlags are the flags that make the payload of a Live Activity. Its alert
// comes from --title, --body and --sound.
type activityFlags struct {
	event, contentState        string
	attributesType, attributes string
	staleDate, dismissalDate   string
	relevance                  float64
	inputDeviceToken           bool
	inputChannel               string
}

// register adds the flags; start says whether an activity can be started with
// them, which a broadcast cannot.
func (f *activityFlags) register(flags *pflag.FlagSet, start bool) {
	events := "update or end"
	if start {
		events = "start, update or end"
	}
	flags.StringVar(&f.event, "event", "", "what happens to a Live Activity: `EVENT` "+events)
	flags.StringVar(&f.contentState, "content-state", "", "complete state of the Live Activity: the JSON object in `FILE`; - is standard input")
	flags.StringVar(&f.staleDate, "stale-date", "", "the state is outdated at `WHEN`: 1h, 2030-01-31T12:00:00Z or UNIX seconds")
	flags.StringVar(&f.dismissalDate, "dismissal-date", "", "an ended Live Activity leaves the lock screen at `WHEN`; 0 is at once")
	flags.Float64Var(&f.relevance, "relevance-score", 0, "`NUMBER` that orders the Live Activities of an app, the highest first")
	if start {
		flags.StringVar(&f.attributesType, "attributes-type", "", "`NAME` of the app's ActivityAttributes struct, to start")
		flags.StringVar(&f.attributes, "attributes", "", "static data of the Live Activity, to start: the JSON object in `FILE`")
		flags.BoolVar(&f.inputDeviceToken, "input-push-token", false, "let the device issue an update device token, when starting")
		flags.StringVar(&f.inputChannel, "input-push-channel", "", "let the started Live Activity listen to the channel `ID`")
	}
}

var activityFlagNames = []string{
	"event", "content-state", "stale-date", "dismissal-date", "relevance-score",
	"attributes-type", "attributes", "input-push-token", "input-push-channel",
}

// activityFlagOf names the flags that members of a payload come from.
var activityFlagOf = map[string]string{
	"/aps/content-state": "--content-state", "/aps/attributes-type": "--attributes-type", "/aps/attributes": "--attributes",
	"/aps/stale-date": "--stale-date", "/aps/dismissal-date": "--dismissal-date", "/aps/relevance-score": "--relevance-score",
	"/aps/input-push-channel": "--input-push-channel", "/aps/alert": "--title and --body",
}

// given reports whether any of the flags was used.
func (f *activityFlags) given(flags *pflag.FlagSet) (name string, ok bool) {
	for _, name := range activityFlagNames {
		if flags.Changed(name) {
			return name, true
		}
	}
	return "", false
}

// apply makes the payload of m, if the flags ask for it.
func (f *activityFlags) apply(a *app, flags *pflag.FlagSet, m *message.Message, toChannel bool) error {
	name, ok := f.given(flags)
	switch {
	case !ok:
		return nil
	case f.event == "":
		return usage("--%s belongs to a Live Activity, and --event says what happens to it", name)
	case m.Given&message.FieldPayload != 0:
		return usage("--payload is the whole payload, so it cannot go with --event")
	case m.Given&message.FieldPushType != 0 && m.PushType != apns.PushTypeLiveActivity:
		return usage("--event belongs to --push-type liveactivity, not %s", m.PushType)
	}
	const ofAlert = message.FieldTitle | message.FieldBody | message.FieldSound
	for field := message.FieldTitle; field != 0; field <<= 1 {
		if m.Given&field != 0 && field.MakesPayload() && field&ofAlert == 0 {
			return usage("%s is not part of a Live Activity; its alert has --title, --body and --sound", flagName(field))
		}
	}
	p, err := f.payload(a, flags, m, time.Now())
	if err != nil {
		return err
	}
	var body []byte
	if to, ok := p.(payload.Broadcast); toChannel && ok {
		body, err = to.BroadcastJSON()
	} else {
		body, err = p.JSON()
	}
	if err != nil {
		return usage("%w", activityProblems(err))
	}
	alert := m.Title+m.Body+m.Sound != ""
	m.Title, m.Body, m.Sound, m.Payload = "", "", "", body
	m.Given = m.Given&^ofAlert | message.FieldPayload | message.FieldPushType
	m.PushType = apns.PushTypeLiveActivity
	if m.Given&message.FieldPriority == 0 {
		m.Given |= message.FieldPriority
		if m.Priority = apns.PriorityImmediate; f.event == "update" && !alert {
			m.Priority = apns.PriorityConserve // what costs no budget, as package liveactivity does
		}
	}
	return nil
}

// payload gathers what the flags say. Of what an event cannot use, it says so
// instead of leaving it out.
func (f *activityFlags) payload(a *app, flags *pflag.FlagSet, m *message.Message, now time.Time) (payload.Payload, error) {
	useless := func(names ...string) error {
		for _, name := range names {
			if flags.Changed(name) {
				return usage("--%s means nothing with --event %s", name, f.event)
			}
		}
		return nil
	}
	state, err := a.readObject("--content-state", f.contentState)
	if err != nil {
		return nil, err
	}
	stale, err := moment("--stale-date", f.staleDate, now)
	if err != nil {
		return nil, err
	}
	dismissal, err := moment("--dismissal-date", f.dismissalDate, now)
	if err != nil {
		return nil, err
	}
	var relevance *float64
	if flags.Changed("relevance-score") {
		relevance = &f.relevance
	}
	var alert *payload.LiveActivityAlert
	if m.Title+m.Body+m.Sound != "" {
		alert = &payload.LiveActivityAlert{Title: m.Title, Body: m.Body, Sound: m.Sound}
	}
	const onlyStart = "attributes-type attributes input-push-token input-push-channel"
	switch f.event {
	case "start":
		return f.start(a, flags, now, state, stale, relevance, alert, useless("dismissal-date"))
	case "update":
		return payload.LiveActivityUpdate{
			Timestamp: now, ContentState: state, StaleDate: stale, RelevanceScore: relevance, Alert: alert,
		}, useless(append(strings.Fields(onlyStart), "dismissal-date")...)
	case "end":
		return payload.LiveActivityEnd{Timestamp: now, ContentState: state, DismissalDate: dismissal, Alert: alert},
			useless(append(strings.Fields(onlyStart), "stale-date", "relevance-score")...)
	}
	events := []string{"start", "update", "end"}
	return nil, usage("--event %q is none of %s%s", f.event, strings.Join(events, ", "), suggest.Hint(f.event, events))
}

func (f *activityFlags) start(a *app, flags *pflag.FlagSet, now time.Time, state any, stale time.Time, relevance *float64, alert *payload.LiveActivityAlert, err error) (payload.Payload, error) {
	if flags.Lookup("attributes") == nil {
		return nil, usage("a Live Activity cannot be started by broadcast: start it on each device with aviso send, to its push-to-start device token, or in the app")
	}
	if f.inputDeviceToken && f.inputChannel != "" {
		return nil, usage("--input-push-token and --input-push-channel exclude each other: the device refuses two forms of push input")
	}
	if err != nil {
		return nil, err
	}
	attributes, err := a.readObject("--attributes", f.attributes)
	if err != nil {
		return nil, err
	}
	p := payload.LiveActivityStart{
		Timestamp: now, AttributesType: f.attributesType, Attributes: attributes, ContentState: state,
		StaleDate: stale, RelevanceScore: relevance,
	}
	if alert != nil {
		p.Alert = *alert
	}
	switch {
	case f.inputDeviceToken:
		p.Updates = payload.UpdatesByDeviceToken()
	case f.inputChannel != "":
		p.Updates = payload.UpdatesByChannel(f.inputChannel)
	}
	return p, nil
}

// readObject reads a JSON object from a file; without a file it is nil.
func (a *app) readObject(flag, path string) (any, error) {
	if path == "" {
		return nil, nil
	}
	b, err := a.readFile(path, maxPayloadFile)
	if err != nil {
		return nil, usage("%s: %w", flag, err)
	}
	if b = bytes.TrimSpace(b); !json.Valid(b) {
		return nil, usage("%s: %s is not JSON", flag, path)
	}
	return json.RawMessage(b), nil
}

// moment reads a time; none is the zero time, and 0 is 1970, which for the end of an
// activity means at once.
func moment(flag, text string, now time.Time) (time.Time, error) {
	switch text {
	case "":
		return time.Time{}, nil
	case "0":
		return time.Unix(0, 0), nil
	}
	at, err := message.ParseTime(text, now)
	if err != nil {
		return time.Time{}, usage("%s %w", flag, err)
	}
	return at, nil
}

// activityProblems names flags where payload names members.
func activityProblems(err error) error {
	e, ok := errors.AsType[*payload.InvalidError](err)
	if !ok {
		return err
	}
	var list []string
	for _, p := range e.Problems {
		where := activityFlagOf[p.Path]
		if where == "" {
			where = strings.TrimSpace("the payload " + p.Path)
		}
		list = append(list, where+": "+p.Message)
	}
	return errors.New(strings.Join(list, "; "))
}
