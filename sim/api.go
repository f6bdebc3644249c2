package sim

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
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
//	GET    /sim/v1/guesses, PUT            what is chosen where nobody knows what APNs
//	                                       does; see Guesses
//	GET    /sim/v1/clock, PUT              the offset of the server's clock
//
// Bodies are JSON and strict: a member that is unknown, null or there twice is
// refused by name, as is a parameter that is unknown, empty or there twice. Errors are
// application/problem+json (RFC 9457). There is no authentication, so serve it on
// loopback; writes that a browser sends from another origin are refused. Device
// tokens appear in full, since a test needs them; provider tokens never do.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	// What is said in the query, or in a body where none is taken, is refused and not
	// left out: DELETE with the id of a fault in the body would remove all faults.
	route := func(pattern string, h func(*http.Request) (any, error), parameters ...string) {
		mux.Handle(pattern, apiFunc(func(r *http.Request) (any, error) {
			if err := checkQuery(r, parameters); err != nil {
				return nil, err
			}
			if err := checkNoBody(r); err != nil {
				return nil, err
			}
			return h(r)
		}))
	}
	withBody := func(pattern string, h func(*http.Request) (any, error)) {
		mux.Handle(pattern, apiFunc(func(r *http.Request) (any, error) {
			if err := checkQuery(r, nil); err != nil {
				return nil, err
			}
			return h(r)
		}))
	}
	route("GET /sim/v1/info", s.apiInfo)
	route("GET /sim/v1/pushes", s.apiPushes, "device_token", "channel_id", "topic", "collapse_id", "push_type", "apns_id", "protocol", "outcome", "after", "limit", "order", "wait")
	route("DELETE /sim/v1/pushes", s.apiClear)
	route("GET /sim/v1/devices", s.apiDevices)
	withBody("POST /sim/v1/devices", s.apiAddDevices)
	route("DELETE /sim/v1/devices", s.apiClearDevices)
	route("GET /sim/v1/devices/{device_token}", s.apiDevice)
	withBody("PUT /sim/v1/devices/{device_token}", s.apiPutDevice)
	route("DELETE /sim/v1/devices/{device_token}", s.apiRemoveDevice)
	route("GET /sim/v1/channels", s.apiChannels, "bundle_id")
	withBody("POST /sim/v1/channels", s.apiAddChannel)
	route("GET /sim/v1/channels/{channel_id}", s.apiChannel)
	route("DELETE /sim/v1/channels/{channel_id}", s.apiRemoveChannel)
	route("GET /sim/v1/activities", s.apiActivities, "device_token", "channel_id", "state")
	withBody("POST /sim/v1/activities", s.apiStartActivities)
	route("GET /sim/v1/activities/{id}", onActivity(s.Activity))
	route("DELETE /sim/v1/activities/{id}", onActivity(s.DismissActivity))
	route("POST /sim/v1/activities/{id}/renew", onActivity(s.RenewUpdateDeviceToken))
	route("GET /sim/v1/faults", s.apiFaults)
	withBody("POST /sim/v1/faults", s.apiAddFault)
	withBody("PUT /sim/v1/faults", s.apiSetFaults)
	route("DELETE /sim/v1/faults", s.apiClearFaults)
	route("DELETE /sim/v1/faults/{id}", s.apiRemoveFault)
	route("GET /sim/v1/feedback", s.apiFeedback, "topic")
	withBody("POST /sim/v1/feedback", s.apiAddFeedback)
	route("DELETE /sim/v1/feedback", s.apiClearFeedback)
	route("GET /sim/v1/stats", s.apiStats)
	route("GET /sim/v1/connections", s.apiConnections)
	route("GET /sim/v1/guesses", s.apiGuesses)
	withBody("PUT /sim/v1/guesses", s.apiSetGuesses)
	route("GET /sim/v1/clock", s.apiClock)
	withBody("PUT /sim/v1/clock", s.apiSetClock)
	// Without these two, the multiplexer would answer in plain text.
	known := map[string]bool{}
	for _, p := range []string{"info", "pushes", "devices", "channels", "activities", "faults", "feedback", "stats", "connections", "guesses", "clock"} {
		known[p] = true
	}
	mux.Handle("/", apiFunc(func(r *http.Request) (any, error) {
		rest, ok := strings.CutPrefix(r.URL.Path, "/sim/v1/")
		first, _, _ := strings.Cut(rest, "/")
		if ok && known[first] {
			return nil, problem(http.StatusMethodNotAllowed, "%s is not possible on %s", r.Method, r.URL.Path)
		}
		return nil, problem(http.StatusNotFound, "there is nothing at this path; the test API begins with /sim/v1/info")
	}))
	guard := http.NewCrossOriginProtection()
	guard.SetDenyHandler(apiFunc(func(*http.Request) (any, error) {
		return nil, problem(http.StatusForbidden, "this write came from a web page of another origin")
	}))
	guarded := guard.Handler(mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := s.checkHost(r); err != nil {
			apiFunc(func(*http.Request) (any, error) { return nil, err }).ServeHTTP(w, r)
			return
		}
		guarded.ServeHTTP(w, r)
	})
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

// checkHost refuses a name that anybody may have led here: a web page whose own name is
// suddenly that of this machine (DNS rebinding) is of the same origin for a browser.
// Addresses cannot be led anywhere, and localhost never leaves the machine (RFC 6761).
func (s *Server) checkHost(r *http.Request) error {
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.ToLower(strings.Trim(host, "[]")), ".")
	if host == "localhost" || strings.HasSuffix(host, ".localhost") || net.ParseIP(host) != nil || slices.ContainsFunc(s.cfg.Hosts, func(h string) bool { return strings.EqualFold(h, host) }) {
		return nil
	}
	return problem(http.StatusMisdirectedRequest, "the test API is not known as %.100q; use localhost or an address, or name it among the simulator's hosts (--host)", host)
}
