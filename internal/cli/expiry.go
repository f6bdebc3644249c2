package cli

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"aviso.example/apns"
	"aviso.example/auth"
	"aviso.example/engine"
)

// expirySoon is how long before a certificate expires it is told: Apple mails a month
// ahead too.
const expirySoon = 30 * 24 * time.Hour

// expiryText says that a certificate has expired or soon will; empty if there is time.
func expiryText(at, now time.Time) string {
	day := at.UTC().Format(time.DateOnly)
	switch left := at.Sub(now); {
	case left < 0:
		return fmt.Sprintf("expired on %s, and APNs refuses it; make a new one in the developer portal", day)
	case left < expirySoon:
		return fmt.Sprintf("expires on %s, in %s; make a new one in the developer portal", day, plural(int64(left/(24*time.Hour)), "day"))
	}
	return ""
}

// expiries says of each app which certificates have expired or soon will.
func expiries(apps []engine.App, now time.Time, say func(app string, e apns.Environment, at time.Time, text string)) {
	for i := range apps {
		for _, e := range []apns.Environment{apns.Production, apns.Sandbox} {
			at := apps[i].Expires(e)
			if at.IsZero() {
				continue
			}
			if text := expiryText(at, now); text != "" {
				say(apps[i].ID, e, at, text)
			}
		}
	}
}

// logExpiries tells operators, who have to act before an app falls silent.
func logExpiries(log *slog.Logger, apps []engine.App) {
	now := time.Now()
	expiries(apps, now, func(app string, e apns.Environment, at time.Time, text string) {
		level := slog.LevelWarn
		if at.Before(now) {
			level = slog.LevelError
		}
		log.Log(context.Background(), level, "the certificate of an app "+text, "app", app, "environment", e.String(), "expires", at)
	})
}

// tellTopicChanges says where a certificate was replaced by one for something else: what
// goes there is taken, and no device hears it.
func tellTopicChanges(log *slog.Logger, before, after []engine.App) {
	for i := range after {
		for j := range before {
			if before[j].ID != after[i].ID {
				continue
			}
			for _, e := range []apns.Environment{apns.Production, apns.Sandbox} {
				old, now := certificateOf(&before[j], e), certificateOf(&after[i], e)
				if old == nil || now == nil || old.DefaultTopic() == now.DefaultTopic() {
					continue
				}
				log.Warn("the new certificate of an app is for another topic; what names the old one is refused, and what names none goes to the new one, which devices that enrolled with the old one do not hear",
					"app", after[i].ID, "environment", e.String(), "topic", now.DefaultTopic(), "before", old.DefaultTopic())
			}
		}
	}
}

func certificateOf(app *engine.App, e apns.Environment) *auth.CertificateInfo {
	c := app.Production
	if e == apns.Sandbox {
		c = app.Sandbox
	}
	if c == nil || c.Certificate == nil {
		return nil
	}
	return &c.Certificate.Info
}
