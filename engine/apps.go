package engine

import (
	"slices"
	"strings"

	"aviso.example/apns"
)

// AppInfo says who can be sent for, and where; it has no secrets.
type AppInfo struct {
	ID, BundleID string
	Default      apns.Environment
	// Production and Sandbox say whether there is a credential.
	Production, Sandbox bool
	Rate                float64
}

func (a *appState) info() AppInfo {
	return AppInfo{a.ID, a.BundleID, a.Default, a.Production != nil, a.Sandbox != nil, a.Rate}
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

// MaxTargets is how many targets one Submit takes; more are a batch.
const MaxTargets = maxTargets
