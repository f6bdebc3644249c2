package api

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sync/atomic"

	"github.com/danielgtaylor/huma/v2"

	"aviso.example/engine"
)

// Config is what an API is made of. Engine and Key are required.
type Config struct {
	// Engine takes the notifications. It must be open until the server has ended
	// its last request.
	Engine *engine.Engine
	// Key is what clients have to show, as in GenerateKey. Keys of another make
	// need 20 characters at least.
	Key string
	// Logger receives what an operator has to know: Warn for requests that failed
	// through no fault of the caller, Info for batches. Device tokens, payloads
	// and keys never appear. Nil means silence.
	Logger *slog.Logger
	// Version is named by /openapi.json and by aviso_build_info; empty means that
	// of the build.
	Version string
}

// API answers HTTP requests. Make one with New.
type API struct {
	engine  *engine.Engine
	key     keyGuard
	log     *slog.Logger
	mux     *mux
	huma    huma.API
	csrf    *http.CrossOriginProtection
	metrics *metrics
	figures *figures
	drained atomic.Bool

	// submit is engine.Submit, except in benchmarks.
	submit func(context.Context, *engine.Message, []engine.Target) (*engine.Receipt, error)
}

// New returns an API, or says what is wrong with its configuration.
func New(cfg Config) (*API, error) {
	var missing error
	if cfg.Engine == nil {
		missing = errors.New("api: Config.Engine is missing")
	}
	if err := errors.Join(missing, checkKey(cfg.Key)); err != nil {
		return nil, err
	}
	a := &API{
		engine: cfg.Engine, key: sha256.Sum256([]byte(cfg.Key)), log: cfg.Logger, mux: newMux(),
		csrf: http.NewCrossOriginProtection(), figures: newFigures(cfg.Engine), submit: cfg.Engine.Submit,
	}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	version := cmp.Or(cfg.Version, buildVersion())
	a.metrics = newMetrics(a.figures, version)
	a.routes(version)
	return a, nil
}

// buildVersion is the version that the go command noted in the program.
func buildVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

// Drain makes /readyz answer 503 and refuses whatever would change something with
// 503, while requests that are running go on: the first step of a shutdown, to be
// followed by http.Server.Shutdown and then by Engine.Close. Reading goes on as
// well. It cannot be undone.
func (a *API) Drain() { a.drained.Store(true) }
