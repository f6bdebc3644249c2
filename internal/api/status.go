package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// Status is how the server fares.
type Status struct {
	Version    string    `json:"version"`
	Since      time.Time `json:"since" doc:"When the engine began to count."`
	Full       bool      `json:"full" doc:"Nothing is accepted for want of space."`
	LogBytes   int64     `json:"log_bytes" doc:"The size of the log on disk; 0 on a cluster."`
	LogLimit   int64     `json:"log_limit" doc:"How large it may get; 0 on a cluster."`
	Aside      int64     `json:"aside" doc:"Chunks that cannot be read and were set aside. Their notifications are not sent."`
	Suppressed int       `json:"suppressed" doc:"Device tokens that are known to be dead and not sent to."`
	// What asks for a person.
	Unconfigured []Unconfigured `json:"unconfigured,omitempty" doc:"Apps that notifications wait for and that are not configured, or have no credential there. They are sent when it is, and expire by their time."`
	Lost         []Lost         `json:"lost,omitempty" doc:"What the log had and cannot be read any more, since its files are damaged."`

	Apps []App `json:"apps"`
}

// Unconfigured is an app that something waits for.
type Unconfigured struct {
	App           string `json:"app"`
	Environment   string `json:"environment" enum:"production,sandbox"`
	Notifications int64  `json:"notifications" doc:"How many wait."`
}

// Lost is what is missing of a stream of the log.
type Lost struct {
	Stream   string `json:"stream" example:"AVISO_Q_normal-production-shop"`
	Messages int64  `json:"messages" doc:"How many messages of the log are missing; on a queue each is up to 1,024 notifications."`
	Detail   string `json:"detail" doc:"What was found."`
}

func (a *API) statusRoute(version string) {
	huma.Register(a.huma, huma.Operation{
		OperationID: "get-status", Method: http.MethodGet, Path: "/v1/status", Tags: []string{"Operation"}, Summary: "How the server fares",
		Description: "For people; the figures may be a second old. /metrics has them for programs that draw curves.",
	}, func(ctx context.Context, _ *struct{}) (*struct{ Body Status }, error) {
		s, err := a.figures.get(ctx)
		if err != nil {
			return nil, a.problemOf(ctx, err, "status", false)
		}
		out := Status{
			Version: version, Since: s.Since, Full: s.Full, LogBytes: s.LogBytes, LogLimit: s.LogLimit, Aside: s.Aside, Suppressed: s.Suppressed, Apps: []App{},
		}
		for _, x := range s.Strangers {
			out.Unconfigured = append(out.Unconfigured, Unconfigured{x.App, x.Environment.String(), x.Notifications})
		}
		for _, x := range s.Lost {
			out.Lost = append(out.Lost, Lost{x.Stream, x.Messages, x.Detail})
		}
		for _, info := range a.engine.Apps() {
			out.Apps = append(out.Apps, newApp(&info, &s))
		}
		return &struct{ Body Status }{out}, nil
	})
}
