package sim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// maxAPIBody bounds what the test API reads: 1 MiB is some 5,000 devices.
	maxAPIBody = 1 << 20
	// maxWait bounds a long poll.
	maxWait = 60 * time.Second
	// defaultListed and maxListed bound the pushes in one answer.
	defaultListed = 100
	maxListed     = 10_000
)

// Handler returns the test API, for the caller to serve on an address of its
// own:
//
//	GET    /sim/v1/info                    endpoint, CA, keys, environment
//	GET    /sim/v1/pushes                  recorded pushes; wait=5s polls
//	DELETE /sim/v1/pushes                  forget them
//	GET    /sim/v1/devices                 all devices
//	POST   /sim/v1/devices                 add one or several
//	DELETE /sim/v1/devices                 forget all
//	GET    /sim/v1/devices/{device_token}  one, with inbox and stored notifications
//	PUT    /sim/v1/devices/{device_token}  add or replace one
//	DELETE /sim/v1/devices/{device_token}  forget one
//	GET    /sim/v1/channels                broadcast channels, with what is stored
//	POST   /sim/v1/channels                make one without the wire
//	GET    /sim/v1/channels/{channel_id}   one
//	DELETE /sim/v1/channels/{channel_id}   delete one
//	GET    /sim/v1/activities              Live Activities and what they show
//	POST   /sim/v1/activities              start one as the app does, or many on a
//	                                       channel
//	GET    /sim/v1/activities/{id}         one
//	DELETE /sim/v1/activities/{id}         its person dismisses it
//	POST   /sim/v1/activities/{id}/renew   another update device token
//	GET    /sim/v1/faults                  the faults and how often they fired
//	POST   /sim/v1/faults                  add one
//	PUT    /sim/v1/faults                  replace all
//	DELETE /sim/v1/faults                  remove all
//	DELETE /sim/v1/faults/{id}             remove one
//	GET    /sim/v1/feedback                what waits at the feedback service
//	POST   /sim/v1/feedback                add a dead device token without a push
//	DELETE /sim/v1/feedback                forget all
//	GET    /sim/v1/stats                   counts
//	GET    /sim/v1/connections             open connections
//	GET    /sim/v1/clock, PUT              the offset of the server's clock
//
// Bodies are JSON and strict: an unknown member is refused by name. Errors are
// application/problem+json (RFC 9457). There is no authentication, so serve it on
// loopback; writes that a browser sends from another origin are refused. Device
// tokens appear in full, since a test needs them; provider tokens never do.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	route := func(pattern string, h func(*http.Request) (any, error)) {
		mux.Handle(pattern, apiFunc(h))
	}
	route("GET /sim/v1/info", s.apiInfo)
	route("GET /sim/v1/pushes", s.apiPushes)
	route("DELETE /sim/v1/pushes", s.apiClear)
	route("GET /sim/v1/devices", s.apiDevices)
	route("POST /sim/v1/devices", s.apiAddDevices)
	route("DELETE /sim/v1/devices", s.apiClearDevices)
	route("GET /sim/v1/devices/{device_token}", s.apiDevice)
	route("PUT /sim/v1/devices/{device_token}", s.apiPutDevice)
	route("DELETE /sim/v1/devices/{device_token}", s.apiRemoveDevice)
	route("GET /sim/v1/channels", s.apiChannels)
	route("POST /sim/v1/channels", s.apiAddChannel)
	route("GET /sim/v1/channels/{channel_id}", s.apiChannel)
	route("DELETE /sim/v1/channels/{channel_id}", s.apiRemoveChannel)
	route("GET /sim/v1/activities", s.apiActivities)
	route("POST /sim/v1/activities", s.apiStartActivities)
	route("GET /sim/v1/activities/{id}", onActivity(s.Activity))
	route("DELETE /sim/v1/activities/{id}", onActivity(s.DismissActivity))
	route("POST /sim/v1/activities/{id}/renew", onActivity(s.RenewUpdateDeviceToken))
	route("GET /sim/v1/faults", s.apiFaults)
	route("POST /sim/v1/faults", s.apiAddFault)
	route("PUT /sim/v1/faults", s.apiSetFaults)
	route("DELETE /sim/v1/faults", s.apiClearFaults)
	route("DELETE /sim/v1/faults/{id}", s.apiRemoveFault)
	route("GET /sim/v1/feedback", s.apiFeedback)
	route("POST /sim/v1/feedback", s.apiAddFeedback)
	route("DELETE /sim/v1/feedback", s.apiClearFeedback)
	route("GET /sim/v1/stats", s.apiStats)
	route("GET /sim/v1/connections", s.apiConnections)
	route("GET /sim/v1/clock", s.apiClock)
	route("PUT /sim/v1/clock", s.apiSetClock)
	// Without these two, the multiplexer would answer in plain text.
	known := map[string]bool{}
	for _, p := range []string{"info", "pushes", "devices", "channels", "activities", "faults", "feedback", "stats", "connections", "clock"} {
		known[p] = true
	}
	route("/", func(r *http.Request) (any, error) {
		rest, ok := strings.CutPrefix(r.URL.Path, "/sim/v1/")
		first, _, _ := strings.Cut(rest, "/")
		if ok && known[first] {
			return nil, problem(http.StatusMethodNotAllowed, "%s is not possible on %s", r.Method, r.URL.Path)
		}
		return nil, problem(http.StatusNotFound, "there is nothing at this path; the test API begins with /sim/v1/info")
	})
	guard := http.NewCrossOriginProtection()
	guard.SetDenyHandler(apiFunc(func(*http.Request) (any, error) {
		return nil, problem(http.StatusForbidden, "this write came from a web page of another origin")
	}))
	return guard.Handler(mux)
}

// Problem is an error of the test API (RFC 9457).
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
}

// Error implements error.
func (p *Problem) Error() string { return p.Detail }

func problem(status int, format string, args ...any) *Problem {
	return &Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: fmt.Sprintf(format, args...)}
}

// apiFunc turns a function that returns a value or a *Problem into a handler. A
// nil value is 204.
type apiFunc func(*http.Request) (any, error)

func (h apiFunc) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxAPIBody)
	value, err := h(r)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	status := http.StatusOK
	switch {
	case err != nil:
		p, ok := errors.AsType[*Problem](err)
		if !ok {
			p = problem(http.StatusUnprocessableEntity, "%s", strings.TrimPrefix(err.Error(), "sim: "))
		}
		w.Header().Set("Content-Type", "application/problem+json")
		status, value = p.Status, p
	case value == nil:
		w.WriteHeader(http.StatusNoContent)
		return
	default:
		if c, ok := value.(created); ok {
			status, value = http.StatusCreated, c.value
		}
		w.Header().Set("Content-Type", "application/json")
	}
	body, err := json.Marshal(value)
	if err != nil {
		http.Error(w, `{"title":"Internal Server Error"}`, http.StatusInternalServerError)
		return
	}
	w.WriteHeader(status)
	w.Write(append(body, '\n'))
}

type created struct{ value any }

// readJSON reads a body strictly into v.
func readJSON(r *http.Request, v any) error {
	if ct := r.Header.Get("Content-Type"); ct != "" {
		if t, _, err := mime.ParseMediaType(ct); err != nil || t != "application/json" {
			return problem(http.StatusUnsupportedMediaType, "the body must be application/json")
		}
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return problem(http.StatusRequestEntityTooLarge, "the body is larger than %d bytes", maxAPIBody)
		}
		return problem(http.StatusBadRequest, "the body could not be read")
	}
	return decodeJSON(body, v)
}

func decodeJSON(body []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return jsonProblem(err)
	}
	if _, err := d.Token(); err != io.EOF {
		return problem(http.StatusBadRequest, "there is something after the JSON value")
	}
	return nil
}

// jsonProblem says what is wrong in words a user can act on, without the body.
func jsonProblem(err error) error {
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return problem(http.StatusBadRequest, "member %q must be %s, not %s", e.Field, jsonKind(e.Type), e.Value)
	}
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		return problem(http.StatusBadRequest, "not valid JSON at byte %d", e.Offset)
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return problem(http.StatusBadRequest, "unknown member %s", name)
	}
	switch {
	case errors.Is(err, io.EOF):
		return problem(http.StatusBadRequest, "the body is empty")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return problem(http.StatusBadRequest, "the JSON value ends too early")
	}
	return problem(http.StatusBadRequest, "%v", err)
}

// jsonKind names a Go type in JSON's words.
func jsonKind(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice, reflect.Array:
		return "an array"
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Float64:
		return "a number"
	}
	return "a whole number in range (" + t.Kind().String() + ")"
}

// query reads the parameters of a request strictly.
type query struct {
	values url.Values
	err    error
}

func readQuery(r *http.Request, names ...string) *query {
	q := &query{}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		q.err = problem(http.StatusBadRequest, "the query cannot be parsed")
		return q
	}
	q.values = values
	for name, v := range values {
		if !slices.Contains(names, name) {
			q.err = problem(http.StatusBadRequest, "unknown parameter %q; there are %s", name, strings.Join(names, ", "))
		} else if len(v) > 1 {
			q.err = problem(http.StatusBadRequest, "parameter %q is there twice", name)
		}
	}
	return q
}

func (q *query) number(name string, usual, most uint64) uint64 {
	text := q.values.Get(name)
	if text == "" {
		return usual
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n > most {
		q.err = problem(http.StatusBadRequest, "parameter %q must be a number from 0 to %d", name, most)
	}
	return n
}

func (q *query) duration(name string, most time.Duration) time.Duration {
	text := q.values.Get(name)
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d > most {
		q.err = problem(http.StatusBadRequest, "parameter %q must be a duration such as 5s, at most %v", name, most)
	}
	return d
}
