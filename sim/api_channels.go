package sim

import (
	"errors"
	"net/http"
)

func unknownChannel() error {
	return problem(http.StatusNotFound, "no such channel in this environment; in a path, / + and = of its id have to be escaped as %%2F, %%2B and %%3D")
}

func (s *Server) apiChannels(r *http.Request) (any, error) {
	return map[string]any{"channels": s.Channels(r.URL.Query().Get("bundle_id"))}, nil
}

func (s *Server) apiAddChannel(r *http.Request) (any, error) {
	var in struct {
		BundleID string `json:"bundle_id"`
		Policy   int    `json:"message_storage_policy"`
	}
	if err := readJSON(r, &in); err != nil {
		return nil, err
	}
	ch, err := s.CreateChannel(in.BundleID, in.Policy)
	if err != nil {
		return nil, err
	}
	return created{ch}, nil
}

func (s *Server) apiChannel(r *http.Request) (any, error) {
	ch, err := s.Channel(r.PathValue("channel_id"))
	if err != nil {
		return nil, unknownChannel()
	}
	return ch, nil
}

func (s *Server) apiRemoveChannel(r *http.Request) (any, error) {
	if s.DeleteChannel(r.PathValue("channel_id")) != nil {
		return nil, unknownChannel()
	}
	return nil, nil
}

// activityStartJSON is a Live Activity that an app starts, on one device or, on a
// channel, on many.
type activityStartJSON struct {
	DeviceToken    string   `json:"device_token"`
	DeviceTokens   []string `json:"device_tokens"`
	BundleID       string   `json:"bundle_id"`
	ChannelID      string   `json:"channel_id"`
	AttributesType string   `json:"attributes_type"`
	Attributes     rawJSON  `json:"attributes"`
	ContentState   rawJSON  `json:"content_state"`
}

func (s *Server) apiStartActivities(r *http.Request) (any, error) {
	var in activityStartJSON
	if err := readJSON(r, &in); err != nil {
		return nil, err
	}
	devices := in.DeviceTokens
	switch {
	case in.DeviceToken != "" && devices != nil:
		return nil, problem(http.StatusUnprocessableEntity, "device_token and device_tokens exclude each other")
	case in.DeviceToken != "":
		devices = []string{in.DeviceToken}
	case len(devices) == 0:
		return nil, problem(http.StatusUnprocessableEntity, "device_token is missing; name the device, or several in device_tokens")
	}
	list, err := s.startActivities(ActivityStart{
		BundleID: in.BundleID, ChannelID: in.ChannelID, AttributesType: in.AttributesType,
		Attributes: Payload(in.Attributes), ContentState: Payload(in.ContentState),
	}, devices)
	if errors.Is(err, ErrUnknownChannel) {
		return nil, problem(http.StatusUnprocessableEntity, "channel_id names no channel of this app in this environment")
	}
	if err != nil {
		return nil, err
	}
	return created{map[string]any{"activities": list}}, nil
}

func (s *Server) apiActivities(r *http.Request) (any, error) {
	q := readQuery(r)
	f := ActivityFilter{
		DeviceToken: q.values.Get("device_token"), ChannelID: q.values.Get("channel_id"),
		State: ActivityState(q.values.Get("state")),
	}
	switch f.State {
	case "", ActivityActive, ActivityStale, ActivityEnded, ActivityDismissed:
	default:
		q.wrong("state must be %s, %s, %s or %s", ActivityActive, ActivityStale, ActivityEnded, ActivityDismissed)
	}
	if q.err != nil {
		return nil, q.err
	}
	return map[string]any{"activities": s.Activities(f)}, nil
}

// onActivity makes an endpoint of something that is done to one Live Activity.
func onActivity(do func(id string) (Activity, error)) func(*http.Request) (any, error) {
	return func(r *http.Request) (any, error) {
		a, err := do(r.PathValue("id"))
		if errors.Is(err, ErrUnknownActivity) {
			return nil, problem(http.StatusNotFound, "no such Live Activity; GET /sim/v1/activities lists them")
		}
		if err != nil {
			return nil, err
		}
		return a, nil
	}
}
