package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"aviso.example/apns"
	"aviso.example/engine"
)

// App is somebody to send for, and how that goes.
type App struct {
	ID           string           `json:"id"`
	BundleID     string           `json:"bundle_id,omitempty"`
	Environments []string         `json:"environments" doc:"Those it has a credential for: production, sandbox."`
	Default      string           `json:"default_environment" enum:"production,sandbox"`
	Rate         float64          `json:"rate" doc:"The notifications sent a second at most; 0 means as fast as APNs takes them."`
	Paused       bool             `json:"paused" doc:"Somebody paused it; what comes in waits."`
	Note         string           `json:"note,omitempty" doc:"What they noted."`
	PausedAt     *time.Time       `json:"paused_at,omitempty"`
	Holds        []AppHold        `json:"holds,omitempty" doc:"Where the engine sends nothing by itself, and why. resume ends it."`
	Certificates []AppCertificate `json:"certificates,omitempty" doc:"When its certificates expire; a signing key never does."`
	Lanes        []AppLane        `json:"lanes,omitempty" doc:"Those that something was handed in for. The figures may be a second old."`
}

// AppHold is a pause that the engine made by itself.
type AppHold struct {
	Environment string     `json:"environment" enum:"production,sandbox"`
	Reason      string     `json:"reason" doc:"What APNs or the network said."`
	Until       *time.Time `json:"until,omitempty" doc:"When it is tried again; left out if only resume helps."`
}

// AppCertificate is a certificate that an app sends with.
type AppCertificate struct {
	Environment string    `json:"environment" enum:"production,sandbox"`
	Expires     time.Time `json:"expires" doc:"From then on APNs refuses it."`
}

// AppLane is a queue and its connections.
type AppLane struct {
	Environment  string           `json:"environment" enum:"production,sandbox"`
	Lane         string           `json:"lane" enum:"urgent,normal,bulk"`
	QueuedChunks int64            `json:"queued_chunks" doc:"Chunks on disk that are not done; each has up to 1,024 notifications."`
	QueuedBytes  int64            `json:"queued_bytes"`
	OldestQueued *time.Time       `json:"oldest_queued,omitempty"`
	UnderWay     int              `json:"under_way" doc:"Notifications on their way to APNs."`
	Connections  int              `json:"connections"`
	Streams      int              `json:"streams"`
	Verdicts     map[string]int64 `json:"verdicts" doc:"By state, since the engine began."`
	Reasons      []ReasonCount    `json:"reasons,omitempty"`
}

// Apps is all of them.
type Apps struct {
	Apps []App `json:"apps"`
}

// AppPath is the path of an app.
type AppPath struct {
	ID string `path:"id" maxLength:"40" doc:"The id of the app." example:"shop"`
}

func (a *API) appRoutes() {
	huma.Register(a.huma, huma.Operation{
		OperationID: "list-apps", Method: http.MethodGet, Path: "/v1/apps", Tags: []string{"Apps"}, Summary: "All apps",
	}, func(ctx context.Context, _ *struct{}) (*struct{ Body Apps }, error) {
		s, err := a.figures.get(ctx)
		if err != nil {
			return nil, a.problemOf(ctx, err, "app", false)
		}
		out := &struct{ Body Apps }{Apps{[]App{}}}
		for _, info := range a.engine.Apps() {
			out.Body.Apps = append(out.Body.Apps, newApp(&info, &s))
		}
		return out, nil
	})
	huma.Register(a.huma, huma.Operation{
		OperationID: "get-app", Method: http.MethodGet, Path: "/v1/apps/{id}", Tags: []string{"Apps"}, Summary: "One app",
	}, func(ctx context.Context, in *struct{ AppPath }) (*struct{ Body App }, error) {
		return a.appStatus(ctx, in.ID)
	})
	huma.Register(a.huma, huma.Operation{
		OperationID: "pause-app", Method: http.MethodPost, Path: "/v1/apps/{id}:pause", Tags: []string{"Apps"}, Summary: "Stop sending for an app",
		Description: "What is handed in meanwhile is accepted and waits. It outlives the process.", MaxBodyBytes: maxControlBody,
	}, func(ctx context.Context, in *struct {
		AppPath
		Body *struct {
			Note string `json:"note,omitempty" maxLength:"200" doc:"Why, for others; it must not name a person."`
		}
	},
	) (*struct{ Body App }, error) {
		note := ""
		if in.Body != nil {
			note = in.Body.Note
		}
		return a.changeApp(ctx, in.ID, a.engine.PauseApp(ctx, in.ID, note))
	})
	huma.Register(a.huma, huma.Operation{
		OperationID: "resume-app", Method: http.MethodPost, Path: "/v1/apps/{id}:resume", Tags: []string{"Apps"}, Summary: "Go on sending for an app",
		Description: "Also when the engine paused it by itself.",
	}, func(ctx context.Context, in *struct{ AppPath }) (*struct{ Body App }, error) {
		return a.changeApp(ctx, in.ID, a.engine.ResumeApp(ctx, in.ID))
	})
}

func (a *API) changeApp(ctx context.Context, id string, err error) (*struct{ Body App }, error) {
	if err != nil {
		return nil, a.problemOf(ctx, err, "app", false)
	}
	a.figures.forget()
	return a.appStatus(ctx, id)
}

func (a *API) appStatus(ctx context.Context, id string) (*struct{ Body App }, error) {
	info, ok := a.engine.App(id)
	if !ok || id == "" {
		return nil, newProblem(&notFound, "there is no such app; GET /v1/apps lists all")
	}
	s, err := a.figures.get(ctx)
	if err != nil {
		return nil, a.problemOf(ctx, err, "app", false)
	}
	return &struct{ Body App }{newApp(&info, &s)}, nil
}

func newApp(info *engine.AppInfo, s *engine.Stats) App {
	out := App{ID: info.ID, BundleID: info.BundleID, Default: info.Default.String(), Rate: info.Rate, Environments: []string{}}
	if info.Production {
		out.Environments = append(out.Environments, apns.Production.String())
	}
	if info.Sandbox {
		out.Environments = append(out.Environments, apns.Sandbox.String())
	}
	for e, at := range info.Expires {
		if !at.IsZero() {
			out.Certificates = append(out.Certificates, AppCertificate{apns.Environment(e).String(), at})
		}
	}
	for i := range s.Apps {
		app := &s.Apps[i]
		if app.App != info.ID {
			continue
		}
		if app.Control.Paused {
			out.Paused, out.Note, out.PausedAt = true, app.Control.Note, moment(app.Control.At)
		}
		for _, h := range app.Holds {
			out.Holds = append(out.Holds, AppHold{h.Environment.String(), h.Reason, moment(h.Until)})
		}
		for j := range app.Paths {
			out.Lanes = append(out.Lanes, newAppLane(&app.Paths[j]))
		}
	}
	return out
}

func newAppLane(p *engine.PathStats) AppLane {
	out := AppLane{
		Environment: p.Environment.String(), Lane: p.Lane.String(), QueuedChunks: p.QueuedChunks, QueuedBytes: p.QueuedBytes,
		OldestQueued: moment(p.OldestQueued), UnderWay: p.UnderWay, Connections: p.Client.Connections, Streams: p.Client.Streams,
		Verdicts: map[string]int64{}, Reasons: reasonCounts(p.Reasons),
	}
	for state, n := range p.Verdicts {
		out.Verdicts[state.String()] = n
	}
	return out
}
