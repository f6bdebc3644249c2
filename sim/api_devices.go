package sim

import (
	"bytes"
	"cmp"
	"net/http"
	"strings"
	"time"
)

// deviceJSON is a device in the test API.
type deviceJSON struct {
	DeviceToken string        `json:"device_token"`
	Environment Environment   `json:"environment,omitempty"`
	Topics      []string      `json:"topics,omitempty"`
	State       DeviceState   `json:"state,omitempty"`
	Since       time.Time     `json:"since,omitzero"`
	Throttle    *throttleJSON `json:"throttle,omitempty"`
}

type throttleJSON struct {
	Limit int          `json:"limit"`
	Per   jsonDuration `json:"per,omitempty"`
}

func (j *deviceJSON) device(env Environment) Device {
	d := Device{
		DeviceToken: j.DeviceToken, Environment: cmp.Or(j.Environment, env),
		Topics: j.Topics, State: j.State, Since: j.Since,
	}
	if j.Throttle != nil {
		d.Throttle = Throttle{j.Throttle.Limit, time.Duration(j.Throttle.Per)}
	}
	return d
}

func toJSON(d Device) deviceJSON {
	j := deviceJSON{
		DeviceToken: d.DeviceToken, Environment: d.Environment, Topics: d.Topics,
		State: d.State, Since: d.Since,
	}
	if d.Throttle.Limit > 0 {
		j.Throttle = &throttleJSON{d.Throttle.Limit, jsonDuration(d.Throttle.Per)}
	}
	return j
}

func (s *Server) apiDevices(r *http.Request) (any, error) {
	list := []deviceJSON{}
	for d := range s.devices.All() {
		list = append(list, toJSON(d))
	}
	return map[string]any{"devices": list}, nil
}

// apiAddDevices takes one device or an array of them. Of an array all are added
// or, when one makes no sense, none.
func (s *Server) apiAddDevices(r *http.Request) (any, error) {
	var raw rawJSON
	if err := readJSON(r, &raw); err != nil {
		return nil, err
	}
	var list []deviceJSON
	if bytes.HasPrefix(raw, []byte("[")) {
		if err := decodeJSON(raw, &list); err != nil {
			return nil, err
		}
	} else {
		list = make([]deviceJSON, 1)
		if err := decodeJSON(raw, &list[0]); err != nil {
			return nil, err
		}
	}
	trial := NewDevices()
	for i := range list {
		if err := trial.Put(list[i].device(s.cfg.Environment), s.now()); err != nil {
			return nil, problem(http.StatusUnprocessableEntity, "device %d: %s", i+1, strings.TrimPrefix(err.Error(), "sim: "))
		}
	}
	added := []deviceJSON{}
	for i := range list {
		d := list[i].device(s.cfg.Environment)
		if err := s.devices.Put(d, s.now()); err != nil {
			return nil, err
		}
		if d, err := s.devices.Get(d.DeviceToken); err == nil {
			added = append(added, toJSON(d))
		}
	}
	return created{map[string]any{"devices": added}}, nil
}

func (s *Server) apiClearDevices(*http.Request) (any, error) {
	s.devices.Clear()
	return nil, nil
}

func unknownDevice() error {
	return problem(http.StatusNotFound, "no such device; unknown ones appear with their first push")
}

func (s *Server) apiDevice(r *http.Request) (any, error) {
	deviceToken := r.PathValue("device_token")
	d, err := s.devices.Get(deviceToken)
	if err != nil {
		return nil, unknownDevice()
	}
	// The device may go between the calls; its lists are then empty.
	inbox, _ := s.devices.Inbox(deviceToken)
	stored, _ := s.devices.Stored(deviceToken)
	return struct {
		deviceJSON
		Inbox  []Notification `json:"inbox"`
		Stored []Notification `json:"stored"`
	}{toJSON(d), append([]Notification{}, inbox...), append([]Notification{}, stored...)}, nil
}

func (s *Server) apiPutDevice(r *http.Request) (any, error) {
	var in deviceJSON
	if err := readJSON(r, &in); err != nil {
		return nil, err
	}
	deviceToken := r.PathValue("device_token")
	if in.DeviceToken != "" && !strings.EqualFold(in.DeviceToken, deviceToken) {
		return nil, problem(http.StatusUnprocessableEntity, "the device tokens in the path and in the body differ")
	}
	in.DeviceToken = deviceToken
	if err := s.PutDevice(in.device(s.cfg.Environment)); err != nil {
		return nil, err
	}
	return s.apiDevice(r)
}

func (s *Server) apiRemoveDevice(r *http.Request) (any, error) {
	if !s.devices.Remove(r.PathValue("device_token")) {
		return nil, unknownDevice()
	}
	return nil, nil
}

// rawJSON is a JSON value without surrounding space.
type rawJSON []byte

func (r *rawJSON) UnmarshalJSON(b []byte) error {
	*r = bytes.TrimSpace(bytes.Clone(b))
	return nil
}
