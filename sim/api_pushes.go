package sim

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"regexp"
	"slices"
	"time"
)

// apiPushes lists pushes, the oldest first unless order says otherwise. With wait it
// answers as soon as one matches, or with an empty list when the time is over.
func (s *Server) apiPushes(r *http.Request) (any, error) {
	q := readQuery(r)
	f := Filter{
		DeviceToken: q.values.Get("device_token"),
		ChannelID:   q.values.Get("channel_id"),
		Topic:       q.values.Get("topic"),
		CollapseID:  q.values.Get("collapse_id"),
		PushType:    q.values.Get("push_type"),
		ID:          q.values.Get("apns_id"),
		Protocol:    Protocol(q.values.Get("protocol")),
		Outcome:     Outcome(q.values.Get("outcome")),
		After:       q.number("after", 0, math.MaxUint64),
	}
	if o := f.Outcome; o != "" && !slices.Contains([]Outcome{Accepted, Rejected, AcceptedUnanswered, NotProcessed}, o) {
		q.wrong("outcome must be %s, %s, %s or %s", Accepted, Rejected, AcceptedUnanswered, NotProcessed)
	}
	if p := f.Protocol; p != "" && p != ProtocolHTTP2 && p != ProtocolBinary {
		q.wrong("protocol must be %s or %s", ProtocolHTTP2, ProtocolBinary)
	}
	limit := int(q.number("limit", defaultListed, maxListed))
	order := cmp.Or(q.values.Get("order"), "oldest")
	if order != "oldest" && order != "newest" {
		q.wrong("order must be oldest or newest")
	}
	wait := q.duration("wait", maxWait)
	switch {
	case q.err != nil:
		return nil, q.err
	case s.rec == nil:
		return nil, problem(http.StatusConflict, "this simulator runs lean and records no pushes")
	}
	ctx, cancel := context.WithTimeout(r.Context(), wait)
	defer cancel()
	found, err := s.wait(ctx, f, max(limit, 1), order == "newest")
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return nil, problem(http.StatusServiceUnavailable, "the wait was interrupted")
	}
	next := f.After
	if len(found) > 0 {
		next = max(found[0].Sequence, found[len(found)-1].Sequence)
	}
	if found == nil {
		found = []Push{}
	}
	return struct {
		Pushes []Push `json:"pushes"`
		// Next is the value of after that continues this list.
		Next uint64 `json:"next"`
	}{found, next}, nil
}

func (s *Server) apiClear(*http.Request) (any, error) {
	s.Clear()
	return nil, nil
}

func (s *Server) apiStats(*http.Request) (any, error) { return s.Stats(), nil }

func (s *Server) apiConnections(*http.Request) (any, error) {
	list := s.Connections()
	if list == nil {
		list = []ConnectionInfo{}
	}
	return map[string]any{"connections": list}, nil
}

type keyInfo struct {
	KeyID        string        `json:"key_id"`
	TeamID       string        `json:"team_id"`
	Environments []Environment `json:"environments,omitempty"`
	Topics       []string      `json:"topics,omitempty"`
	Related      string        `json:"related,omitempty"`
}

func (s *Server) apiInfo(*http.Request) (any, error) {
	keys := []keyInfo{}
	for _, k := range s.cfg.Keys {
		keys = append(keys, keyInfo{k.KeyID, k.TeamID, k.Environments, k.Topics, k.Related})
	}
	return map[string]any{
		"endpoint":      s.Endpoint(),
		"binary":        s.BinaryEndpoint(),
		"feedback":      s.FeedbackEndpoint(),
		"environment":   s.cfg.Environment,
		"ca_pem":        string(s.caPEM),
		"keys":          keys,
		"trust_any_key": s.cfg.TrustAnyKey,
		"topics":        s.cfg.Topics,
		"max_streams":   s.cfg.MaxStreams,
		"lean":          s.cfg.Lean,
		"time":          s.now().UTC(),
	}, nil
}

type clockJSON struct {
	Offset jsonDuration `json:"offset"`
	Time   *time.Time   `json:"time,omitempty"`
}

func (s *Server) apiClock(*http.Request) (any, error) {
	return clockJSON{jsonDuration(s.ClockOffset()), new(s.now().UTC())}, nil
}

func (s *Server) apiSetClock(r *http.Request) (any, error) {
	var in struct {
		Offset *jsonDuration `json:"offset"`
	}
	if err := readJSON(r, &in); err != nil {
		return nil, err
	}
	if in.Offset == nil {
		return nil, problem(http.StatusBadRequest, `member "offset" is missing; it is a duration such as "-2h"`)
	}
	s.SetClockOffset(time.Duration(*in.Offset))
	return s.apiClock(r)
}

// durationForm tells a duration that is too long from what is none.
var durationForm = regexp.MustCompile(`^[-+]?((\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h))+$`)

// jsonDuration is a duration as text, such as "1.5s".
type jsonDuration time.Duration

func (d jsonDuration) MarshalJSON() ([]byte, error) {
	return json.Marshal(time.Duration(d).String())
}

func (d *jsonDuration) UnmarshalJSON(b []byte) error {
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return errors.New(`a duration must be text, such as "1.5s"`)
	}
	v, err := time.ParseDuration(text)
	if err != nil && durationForm.MatchString(text) {
		return fmt.Errorf("a duration is at most %v", time.Duration(math.MaxInt64).Truncate(time.Hour))
	}
	if err != nil {
		return errors.New(`a duration must be text, such as "1.5s", with a unit`)
	}
	*d = jsonDuration(v)
	return nil
}
