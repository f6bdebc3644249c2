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
	Apps       []App     `json:"apps"`
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
		for _, info := range a.engine.Apps() {
			out.Apps = append(out.Apps, newApp(&info, &s))
		}
		return &struct{ Body Status }{out}, nil
	})
}
