package api

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// routes registers everything there is.
func (a *API) routes(version string) {
	config := huma.DefaultConfig("Aviso", version)
	config.Info.Description = "Aviso delivers Apple push notifications durably. What it answers with 202 is on disk; what became of each notification can be asked for by the id that APNs knows it by."
	// The document is served below, made once; nothing is loaded from other
	// people's servers, and no answer gets a $schema.
	config.OpenAPIPath, config.DocsPath, config.SchemasPath, config.CreateHooks = "", "", "", nil
	config.OnAddOperation = append(config.OnAddOperation, func(document *huma.OpenAPI, op *huma.Operation) {
		a.mux.forms[strings.ToUpper(op.Method)+" "+op.Path] = newForm(document.Components.Schemas, op)
	})
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"key": {Type: "http", Scheme: "bearer", Description: "The API key that the server was started with."},
	}
	config.Security = []map[string][]string{{"key": {}}}
	config.Transformers = []huma.Transformer{a.nameProblem}
	a.huma = humago.New(a.mux, config)

	a.messageRoutes()
	a.batchRoutes()
	a.deliveryRoutes()
	a.appRoutes()
	a.deadRoutes()
	a.wordRoutes()
	a.healthRoutes()
	a.statusRoute(version)
	a.metricsRoute()
	a.documentRoutes()
}

// nameProblem puts the request's name into a problem that huma answers with, and
// logs it.
func (a *API) nameProblem(ctx huma.Context, _ string, v any) (any, error) {
	if p, ok := v.(*Problem); ok {
		p.RequestID = ctx.Header(requestIDField)
		a.note(p, p.RequestID)
	}
	return v, nil
}

// raw registers a handler that reads and writes by itself; the operation is for
// the document. Errors are the same everywhere, so they are noted here.
func (a *API) raw(op huma.Operation, h http.HandlerFunc) {
	if op.Responses == nil {
		op.Responses = map[string]*huma.Response{}
	}
	op.Responses["default"] = &huma.Response{Description: "Error", Content: map[string]*huma.MediaType{
		"application/problem+json": {Schema: a.schema(Problem{})},
	}}
	if op.Metadata == nil {
		op.Metadata = map[string]any{}
	}
	op.Metadata[isRaw] = true
	a.huma.OpenAPI().AddOperation(&op)
	a.huma.Adapter().Handle(&op, func(ctx huma.Context) {
		r, w := humago.Unwrap(ctx)
		h(w, r)
	})
}

// schema returns the schema of a type, for operations that are documented by
// hand.
func (a *API) schema(v any) *huma.Schema {
	return a.huma.OpenAPI().Components.Schemas.Schema(reflect.TypeOf(v), true, "")
}

func (a *API) content(v any) map[string]*huma.MediaType {
	return map[string]*huma.MediaType{"application/json": {Schema: a.schema(v)}}
}

// documentRoutes serve the document, which has to be complete by then.
func (a *API) documentRoutes() {
	var modern, old []byte
	for _, d := range []struct {
		path, id, version string
		text              *[]byte
	}{{"/openapi.json", "openapi", "3.1", &modern}, {"/openapi-3.0.json", "openapi-3.0", "3.0", &old}} {
		a.raw(huma.Operation{
			OperationID: d.id, Method: http.MethodGet, Path: d.path, Tags: []string{"Operation"},
			Summary: "This document, as OpenAPI " + d.version,
			Responses: map[string]*huma.Response{"200": {Description: "OK", Content: map[string]*huma.MediaType{
				"application/openapi+json": {Schema: &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true}},
			}}},
		}, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/openapi+json")
			w.Write(*d.text)
		})
	}
	document := a.huma.OpenAPI()
	var err error
	if modern, err = json.Marshal(document); err != nil {
		panic(err) // the document is ours, and the same in every run
	}
	if old, err = document.Downgrade(); err != nil {
		panic(err)
	}
}

func levelOf(w *response) slog.Level {
	if w.status != 0 {
		return slog.LevelWarn // probably the client was gone
	}
	return slog.LevelError
}

func requestAttrs(r *http.Request, reason, stack string) []slog.Attr {
	return []slog.Attr{
		slog.String("method", r.Method), slog.String("route", r.Pattern), slog.String("request_id", r.Header.Get(requestIDField)),
		slog.String("panic", reason), slog.String("stack", stack),
	}
}
