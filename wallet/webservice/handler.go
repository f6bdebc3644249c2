package webservice

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"aviso.example/internal/service"
)

// Errors that the callbacks of Config return, wrapped or not.
var (
	// ErrNotFound: there is no such pass. Devices get 404, and 401 if the
	// authentication token is asked for.
	ErrNotFound = errors.New("webservice: there is no such pass or order")
	// ErrGone: the pass was withdrawn and will not come back. Devices get 410. A pass
	// that is merely void should be served, with voided set, so that its owner sees
	// it.
	ErrGone = errors.New("webservice: the pass or order was withdrawn")
)

// DeviceReport is what a device reported to the log endpoint. Its Text is as the
// device wrote it, and can name the device, the pass and the address.
type DeviceReport = service.Report

// Config is what a Handler is made of. Store, AuthenticationToken and Package are
// required.
type Config struct {
	// Kind is Passes or Orders. Their paths look alike, so each has a Handler and a
	// webServiceURL of its own.
	Kind Kind
	// Store may be shared by handlers of both kinds and by updaters.
	Store Store

	// AuthenticationToken returns what is written into the pass as
	// authenticationToken: at least 16 characters, the same in all its versions. It
	// is asked before anything is done to or told about a pass. ErrNotFound, ErrGone
	// and an empty text refuse the device with 401; any other error, and a text that is
	// too short, answers 503, and the device tries again. [DeriveAuthenticationToken] makes one that needs no
	// storage.
	AuthenticationToken func(context.Context, ID) (string, error)
	// Package returns the bytes of the .pkpass or .order file as it is now. It is not
	// called if the device has the latest version already. ErrNotFound answers 404,
	// ErrGone 410, and any other error 503.
	Package func(context.Context, ID) ([]byte, error)
	// Reports, if set, gets what devices report to the log endpoint. It should return
	// soon. At most 32 texts of one request are handed over, each of at most 2048
	// bytes.
	Reports func(context.Context, []DeviceReport)

	// Logger receives what goes wrong: Error for the callbacks and the store, Warn
	// for what devices report, by kind and without their words. Errors of the
	// callbacks are logged as they are, so they should not name people. Nil means
	// silence.
	Logger *slog.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Handler answers devices. It serves the paths that begin with /v1/ under the
// webServiceURL of the packages; mount it with http.StripPrefix if that has a path.
// It is safe for concurrent use.
//
// The time limits of the server apply: set ReadTimeout, or slow bodies hold
// connections. Devices need HTTPS.
type Handler struct {
	cfg   Config
	words *vocabulary
	log   *service.DeviceLog
}

// NewHandler checks the Config and reports all that is wrong with it.
func NewHandler(cfg Config) (*Handler, error) {
	var problems []error
	bad := func(text string) { problems = append(problems, errors.New("webservice: Config."+text)) }
	if cfg.Kind > Orders {
		bad("Kind has a value that does not exist; it is Passes or Orders")
	}
	if cfg.Store == nil {
		bad("Store is missing; sqlite.Open makes one")
	}
	if cfg.AuthenticationToken == nil {
		bad("AuthenticationToken is missing: it returns what the package has as authenticationToken")
	}
	if cfg.Package == nil {
		bad("Package is missing: it returns the bytes of the package as it is now")
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	h := &Handler{cfg: cfg, words: &words[cfg.Kind]}
	h.log = &service.DeviceLog{Service: cfg.Kind.String(), Hints: hints, Reports: cfg.Reports, Logger: cfg.Logger}
	return h, nil
}

// ServeHTTP answers one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if problem := h.route(w, r); problem != nil {
		problem.Write(w)
	}
}

// route finds out what is asked for. The paths are
//
//	v1/devices/{device}/registrations/{type}
//	v1/devices/{device}/registrations/{type}/{serial}
//	v1/passes/{type}/{serial} or v1/orders/{type}/{serial}
//	v1/log
func (h *Handler) route(w http.ResponseWriter, r *http.Request) *service.Problem {
	s, ok := service.Segments(r)
	if !ok {
		return service.Invalid(service.FieldProblem{Field: "path", Problem: "cannot be decoded: it has to be percent-encoded UTF-8"})
	}
	is := func(i int, word string) bool { return len(s) > i && s[i] == word }
	switch {
	case !is(0, "v1"):
	case len(s) == 2 && is(1, "log"):
		h.log.ServeHTTP(w, r)
		return nil
	case len(s) == 4 && is(1, h.words.collection):
		return h.about(w, r, "", ID{s[2], s[3]}, map[string]action{http.MethodGet: h.fetch, http.MethodHead: h.fetch})
	case len(s) == 5 && is(1, "devices") && is(3, "registrations"):
		return h.list(w, r, s[2], s[4])
	case len(s) == 6 && is(1, "devices") && is(3, "registrations"):
		return h.about(w, r, s[2], ID{s[4], s[5]}, map[string]action{http.MethodPost: h.register, http.MethodDelete: h.unregister})
	}
	return service.NoSuchPath("those that are begin with /v1/devices/, /v1/" + h.words.collection + "/ or are /v1/log, under the webServiceURL")
}

// action is what is done once the device has shown that it has the package.
type action func(w http.ResponseWriter, r *http.Request, device string, id ID) *service.Problem

// about checks the path, the method and the authentication token, in this order, and
// then acts. Nothing is read of a body before.
func (h *Handler) about(w http.ResponseWriter, r *http.Request, device string, id ID, actions map[string]action) *service.Problem {
	act, ok := actions[r.Method]
	if !ok {
		if actions[http.MethodGet] != nil {
			return service.WrongMethod(http.MethodGet, http.MethodHead)
		}
		return service.WrongMethod(http.MethodPost, http.MethodDelete)
	}
	var wrong []service.FieldProblem
	check := func(p *service.FieldProblem) {
		if p != nil {
			wrong = append(wrong, *p)
		}
	}
	if actions[http.MethodPost] != nil {
		check(service.CheckSegment(h.words.device, device, maxDevice))
	}
	check(service.CheckSegment(h.words.typ, id.Type, maxType))
	check(service.CheckSegment(h.words.serial, id.Serial, maxSerial))
	if len(wrong) > 0 {
		return service.Invalid(wrong...)
	}
	if problem := h.authorize(r, id); problem != nil {
		return problem
	}
	return act(w, r, device, id)
}

func (h *Handler) authorize(r *http.Request, id ID) *service.Problem {
	presented, problem := h.words.scheme.Presented(r)
	if problem != nil {
		return problem
	}
	issued, err := h.cfg.AuthenticationToken(r.Context(), id)
	if errors.Is(err, ErrNotFound) || errors.Is(err, ErrGone) {
		issued, err = "", nil
	}
	if err == nil && issued != "" && len(issued) < service.MinAuthenticationToken {
		// Devices take no such package, so it would be open to whoever guesses.
		err = fmt.Errorf("it returned %d bytes; an authentication token has %d at least", len(issued), service.MinAuthenticationToken)
	}
	if err != nil {
		return h.failed(r, "Config.AuthenticationToken failed", err)
	}
	if !service.SameAuthenticationToken(presented, issued) {
		return h.words.scheme.Refused()
	}
	return nil
}

// failed logs what the device need not know.
func (h *Handler) failed(r *http.Request, what string, err error) *service.Problem {
	if r.Context().Err() == nil { // otherwise the device has gone
		h.cfg.Logger.ErrorContext(r.Context(), "webservice: "+what, "kind", h.cfg.Kind.String(), "err", err)
	}
	return service.Unavailable()
}
