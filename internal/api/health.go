package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"aviso.example/engine"
)

const (
	livezPath  = "/livez"
	readyzPath = "/readyz"
)

// Health is the answer of /livez and /readyz.
type Health struct {
	OK     bool          `json:"ok"`
	Checks []HealthCheck `json:"checks,omitempty" doc:"Each thing that was looked at; with ?verbose."`
}

// HealthCheck is one thing that has to be in order, or that a person should know of.
type HealthCheck struct {
	Name   string `json:"name" example:"log"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail,omitempty"`
}

func (a *API) healthRoutes() {
	answers := func(status string) map[string]*huma.Response {
		return map[string]*huma.Response{
			"200":  {Description: "Yes", Content: a.content(Health{})},
			status: {Description: "No", Content: a.content(Health{})},
		}
	}
	alive := answers("503")
	delete(alive, "503")
	a.raw(huma.Operation{
		OperationID: "livez", Method: http.MethodGet, Path: livezPath, Tags: []string{"Operation"}, Security: []map[string][]string{},
		Summary: "Is the process alive?", Description: "Needs no key. Restart the process if it does not answer.", Responses: alive,
	}, func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, Health{OK: true})
	})
	a.raw(huma.Operation{
		OperationID: "readyz", Method: http.MethodGet, Path: readyzPath, Tags: []string{"Operation"}, Security: []map[string][]string{},
		Summary:     "Can it take notifications?",
		Description: "Needs no key. 503 while the log does not answer, cannot be written to or is full, while no app is configured, and from the beginning of a shutdown. A paused app is no reason: what is handed in waits for it.",
		Parameters:  []*huma.Param{{Name: "verbose", In: "query", Description: "Give each check.", AllowEmptyValue: true, Schema: text("", "", "true", "false")}},
		Responses:   answers("503"),
	}, func(w http.ResponseWriter, r *http.Request) {
		h := a.ready(r.Context())
		if asked, verbose := r.URL.Query()["verbose"]; !verbose || asked[0] == "false" {
			h.Checks = nil
		}
		status := http.StatusOK
		if !h.OK {
			status = http.StatusServiceUnavailable
		}
		writeJSON(w, status, h)
	})
}

func (a *API) ready(ctx context.Context) Health {
	h := Health{OK: true}
	check := func(name string, ok bool, otherwise string) {
		if ok {
			otherwise = ""
		}
		h.Checks = append(h.Checks, HealthCheck{name, ok, otherwise})
		h.OK = h.OK && ok
	}
	s, err := a.figures.get(ctx)
	check("serving", !a.drained.Load(), "shutting down")
	if s.Stuck {
		check("log", false, "the log cannot be written to; it is opened again when the disk has space")
	} else {
		check("log", err == nil, "the log does not answer")
	}
	check("space", err != nil || !s.Full, "the log is full")
	check("apps", len(a.engine.Apps()) > 0, "no app is configured")
	// What follows wants a person, and is no reason not to take notifications.
	remark := func(name string, ok bool, otherwise string) {
		if ok {
			otherwise = ""
		}
		h.Checks = append(h.Checks, HealthCheck{name, ok, otherwise})
	}
	var waiting, lost []string
	for _, x := range s.Strangers {
		waiting = append(waiting, fmt.Sprintf("%d for %s, %s", x.Notifications, x.App, x.Environment))
	}
	for _, x := range s.Lost {
		lost = append(lost, x.Stream+": "+x.Detail)
	}
	remark("unconfigured", waiting == nil, "notifications wait for apps that are not configured: "+strings.Join(waiting, "; "))
	remark("damage", lost == nil, strings.Join(lost, "; "))
	return h
}

// figures keep the engine's for a moment, so that asking often costs little.
type figures struct {
	engine *engine.Engine
	turn   chan struct{} // one asks at a time

	at    time.Time
	stats engine.Stats
	err   error
}

func newFigures(e *engine.Engine) *figures { return &figures{engine: e, turn: make(chan struct{}, 1)} }

// get returns figures that are at most snapshotAge old.
func (f *figures) get(ctx context.Context) (engine.Stats, error) {
	select {
	case f.turn <- struct{}{}:
		defer func() { <-f.turn }()
	case <-ctx.Done():
		return engine.Stats{}, context.Cause(ctx)
	}
	if time.Since(f.at) > snapshotAge {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), snapshotTime)
		defer cancel()
		f.stats, f.err = f.engine.Stats(ctx)
		f.at = time.Now()
	}
	return f.stats, f.err
}

// forget makes the next answer a fresh one, after something was changed.
func (f *figures) forget() {
	f.turn <- struct{}{} // whoever has it gives it back within snapshotTime
	f.at = time.Time{}
	<-f.turn
}

// writeJSON answers with a value.
func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.Encode(v) // whoever is gone needs no answer
}
