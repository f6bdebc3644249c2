package api

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"runtime/debug"
)

// requestIDField is where a request is named, in both directions.
const requestIDField = "X-Request-Id"

// ServeHTTP lets a request through that may pass, and makes sure that everything
// has an end that is counted and logged.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := []string{requestID(r.Header)}
	r.Header[requestIDField] = name
	w.Header()[requestIDField] = name
	out := &response{ResponseWriter: w}
	defer a.end(out, r)
	if p := a.admit(r); p != nil {
		p.write(out, r)
		return
	}
	a.mux.ServeHTTP(out, r)
}

// Authorized reports whether a request has the API key. Those that need none pass
// without it.
func (a *API) Authorized(r *http.Request) bool {
	return a.key.check(r.Header.Get("Authorization")) == ""
}

// admit says why a request must not go on.
func (a *API) admit(r *http.Request) *Problem {
	if r.URL.Path == livezPath || r.URL.Path == readyzPath {
		return nil
	}
	if why := a.key.check(r.Header.Get("Authorization")); why != "" {
		return newProblem(&unauthorized, why)
	}
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return nil
	}
	if a.csrf.Check(r) != nil {
		return newProblem(&crossOrigin, "")
	}
	if a.drained.Load() {
		p := newProblem(&shuttingDown, "")
		p.retryAfter = closingRetry
		return p
	}
	return nil
}

// end counts a request and answers for one that panicked.
func (a *API) end(w *response, r *http.Request) {
	if reason := recover(); reason != nil {
		err, _ := reason.(error)
		if errors.Is(err, http.ErrAbortHandler) {
			panic(reason)
		}
		if r.Context().Err() == nil {
			a.log.LogAttrs(context.Background(), levelOf(w), "a request ended in a panic", requestAttrs(r, fmt.Sprint(reason), string(debug.Stack()))...)
		}
		if w.status != 0 {
			panic(http.ErrAbortHandler) // half an answer must not look like a whole one
		}
		newProblem(&internalError, "").write(w, r)
	}
	a.metrics.request(r, w.status)
}

// response notes the status of an answer.
type response struct {
	http.ResponseWriter
	status int
}

func (w *response) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *response) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// requestID takes the caller's name for a request, if it is fit for a log, or
// makes one.
func requestID(h http.Header) string {
	if given := h.Get(requestIDField); given != "" && len(given) <= maxQuoted {
		fit := true
		for _, c := range []byte(given) {
			fit = fit && (c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' || c == '-' || c == '_' || c == '.')
		}
		if fit {
			return given
		}
	}
	var b [16]byte
	n := rand.Uint64()
	for i := range 8 {
		b[i] = byte(n >> (8 * i))
	}
	var text [16]byte
	hex.Encode(text[:], b[:8])
	return string(text[:])
}
