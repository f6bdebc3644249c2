package engine

import (
	"slices"
	"strings"
	"time"

	"aviso.example/apns"
)

// AppInfo says who can be sent for, and where; it has no secrets.
type AppInfo struct {
	ID, BundleID string
	Default      apns.Environment
	// Production and Sandbox say whether there is a credential.
	Production, Sandbox bool
	Rate                float64
	// Expires is when its certificate expires, by environment; zero for a signing key,
	// which never does, and where there is no credential.
	Expires [2]time.Time
}

// Expires is when the certificate for an environment expires; zero if there is none.
func (a *App) Expires(e apns.Environment) (at time.Time) {
	if c := a.credential(e); c != nil && c.Certificate != nil {
		at = c.Certificate.Info.NotAfter
	}
	return at
}

func (a *appState) info() AppInfo {
	return AppInfo{a.ID, a.BundleID, a.Default, a.Production != nil, a.Sandbox != nil, a.Rate, [2]time.Time{a.Expires(apns.Production), a.Expires(apns.Sandbox)}}
}

// App returns an app. An empty id means the only one; ok is false if there is no
// such app, or not exactly one.
func (e *Engine) App(id string) (info AppInfo, ok bool) {
	e.appsMu.RLock()
	defer e.appsMu.RUnlock()
	if id == "" && len(e.apps) == 1 {
		for _, a := range e.apps {
			return a.info(), true
		}
	}
	if a := e.apps[id]; a != nil {
		return a.info(), true
	}
	return AppInfo{}, false
}

// Apps returns all apps in the order of their ids.
func (e *Engine) Apps() (list []AppInfo) {
	e.appsMu.RLock()
	defer e.appsMu.RUnlock()
	for _, a := range e.apps {
		list = append(list, a.info())
	}
	slices.SortFunc(list, func(a, b AppInfo) int { return strings.Compare(a.ID, b.ID) })
	return list
}

// MaxTargets is how many targets one Submit takes, 100,000; more are a batch.
const MaxTargets = maxTargets
