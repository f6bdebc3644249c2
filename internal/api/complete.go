package api

import (
	"context"
	"errors"
	"time"

	"aviso.example/apns"
	"aviso.example/engine"
	"aviso.example/internal/message"
)

// unknownBundle stands in for the bundle identifier of an app that is not known, as
// was said: the topic is not missing as well.
const unknownBundle = "app.unknown"

// complete adds what else is wrong with words of which some are, so that whoever
// wrote them learns it all at once. It takes its time, which good words do not need.
func (w *words) complete(a *API, info *engine.AppInfo, now time.Time) {
	bundleID := info.BundleID
	if w.own.wrong&keyApp != 0 {
		bundleID = unknownBundle
	}
	w.object(message.Invalid(w.message.More(bundleID, now, message.KeyName)...))
	if w.scope == inMessage && w.own.wrong&(keyApp|keyEnvironment) == 0 {
		environment := info.Default
		if w.own.given&keyEnvironment != 0 {
			environment = w.own.environment
		}
		w.ask(a, info, &engine.Message{Environment: &environment})
	}
	if !w.own.sendAt.IsZero() && w.own.wrong&keySendAt == 0 {
		w.completeTime(a, now)
	}
}

// completeTime adds what is wrong with the time at which it is to be sent, and with
// an expiration that does not go with it.
func (w *words) completeTime(a *API, now time.Time) {
	apps := a.engine.Apps()
	if len(apps) == 0 {
		return
	}
	app := &apps[0] // any will do, as a time is wrong for all
	environment := apns.Sandbox
	if app.Production {
		environment = apns.Production
	}
	m := &engine.Message{Environment: &environment, SendAt: w.own.sendAt}
	if w.ask(a, app, m) && w.message.Wrong&message.FieldExpiration == 0 {
		m.Notification.Expiration = w.message.Expiration.Value(w.sent(now))
		w.ask(a, app, m)
	}
}

// ask asks the engine about a part of a message, in a message that has nothing else
// that could be wrong, and reports whether it is right. Submit judges before it
// takes, and for no device token there is nothing to take.
func (w *words) ask(a *API, app *engine.AppInfo, m *engine.Message) bool {
	m.App = app.ID
	m.Notification.Payload, m.Notification.BundleID = []byte("{}"), unknownBundle
	_, err := a.engine.Submit(context.Background(), m, nil)
	e, ok := errors.AsType[*engine.InputError](err)
	if !ok || e.Field == "Targets" {
		return true // or something else than this part, which has been said
	}
	for _, p := range inputProblems(err) {
		w.problem(p)
	}
	return false
}
