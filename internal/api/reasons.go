package api

import (
	"context"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"aviso.example/apns"
)

// wordRoutes explain the words that answers are made of.
func (a *API) wordRoutes() {
	type problems struct {
		Body struct {
			Problems []*kind `json:"problems"`
		}
	}
	huma.Register(a.huma, huma.Operation{
		OperationID: "list-problems", Method: http.MethodGet, Path: problemsPath, Tags: []string{"Words"},
		Summary: "All problems that requests can have",
	}, func(context.Context, *struct{}) (*problems, error) {
		out := &problems{}
		out.Body.Problems = kinds
		return out, nil
	})
	huma.Register(a.huma, huma.Operation{
		OperationID: "get-problem", Method: http.MethodGet, Path: problemsPath + "/{kind}", Tags: []string{"Words"},
		Summary: "One problem", Description: "What the type of a problem links to.",
	}, func(_ context.Context, in *struct {
		Kind string `path:"kind"`
	}) (*struct{ Body kind }, error) {
		for _, k := range kinds {
			if k.Kind == in.Kind {
				return &struct{ Body kind }{*k}, nil
			}
		}
		return nil, newProblem(&notFound, "there is no such problem; GET "+problemsPath+" lists all")
	})
	type reasons struct {
		Body struct {
			Reasons []apns.ReasonInfo `json:"reasons"`
		}
	}
	huma.Register(a.huma, huma.Operation{
		OperationID: "list-reasons", Method: http.MethodGet, Path: "/v1/reasons", Tags: []string{"Words"},
		Summary: "Apple's reasons, and what to do about each",
	}, func(context.Context, *struct{}) (*reasons, error) {
		out := &reasons{}
		out.Body.Reasons = slices.Collect(apns.Reasons())
		return out, nil
	})
}
