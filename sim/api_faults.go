package sim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"golang.org/x/net/http2"

	"aviso.example/internal/proto"
)

// faultJSON is a Fault in the test API; see there for the meaning.
type faultJSON struct {
	ID   string    `json:"id,omitempty"`
	Kind FaultKind `json:"kind"`

	DeviceToken string   `json:"device_token,omitempty"`
	ChannelID   string   `json:"channel_id,omitempty"`
	Topic       string   `json:"topic,omitempty"`
	Connection  uint64   `json:"connection,omitempty"`
	Protocol    Protocol `json:"protocol,omitempty"`

	PerConnection bool         `json:"per_connection,omitempty"`
	After         int          `json:"after,omitempty"`
	Nth           int          `json:"nth,omitempty"`
	Every         int          `json:"every,omitempty"`
	Burst         int          `json:"burst,omitempty"`
	Count         int          `json:"count,omitempty"`
	Probability   float64      `json:"probability,omitempty"`
	For           jsonDuration `json:"for,omitempty"`
	OnHeaders     bool         `json:"on_headers,omitempty"`
	Now           bool         `json:"now,omitempty"`

	Delay        jsonDuration    `json:"delay,omitempty"`
	Jitter       jsonDuration    `json:"jitter,omitempty"`
	Code         *errorCode      `json:"code,omitempty"`
	Status       int             `json:"status,omitempty"`
	Reason       proto.Reason    `json:"reason,omitempty"`
	Timestamp    int64           `json:"timestamp,omitempty"`
	RetryAfter   string          `json:"retry_after,omitempty"`
	LastStream   *uint32         `json:"last_stream,omitempty"`
	Debug        string          `json:"debug,omitempty"`
	Double       bool            `json:"double,omitempty"`
	Processed    bool            `json:"processed,omitempty"`
	Settings     *SettingsChange `json:"settings,omitempty"`
	RestoreAfter jsonDuration    `json:"restore_after,omitempty"`
	Skew         jsonDuration    `json:"skew,omitempty"`
	Errors       int             `json:"errors,omitempty"`
	Padding      uint8           `json:"padding,omitempty"`
	Trailers     [][2]string     `json:"trailers,omitempty"`
	BinaryStatus *uint8          `json:"binary_status,omitempty"`
	Identifier   *uint32         `json:"identifier,omitempty"`
	Bytes        int             `json:"bytes,omitempty"`

	// Fired is in answers only.
	Fired *int `json:"fired,omitempty"`
}

// errorCode is an HTTP/2 error code by its name or number.
type errorCode http2.ErrCode

func (c errorCode) MarshalJSON() ([]byte, error) {
	return json.Marshal(http2.ErrCode(c).String())
}

func (c *errorCode) UnmarshalJSON(b []byte) error {
	var n uint32
	if json.Unmarshal(b, &n) == nil {
		*c = errorCode(n)
		return nil
	}
	var name string
	if json.Unmarshal(b, &name) == nil {
		for code := range http2.ErrCode(14) {
			if strings.EqualFold(code.String(), name) {
				*c = errorCode(code)
				return nil
			}
		}
	}
	return fmt.Errorf("code must be the number or the name of an HTTP/2 error, such as %q", http2.ErrCodeRefusedStream)
}

func (j *faultJSON) fault() (Fault, error) {
	if j.ID != "" || j.Fired != nil {
		return Fault{}, problem(http.StatusBadRequest, `members "id" and "fired" are given by the simulator`)
	}
	f := Fault{
		Kind: j.Kind, DeviceToken: j.DeviceToken, ChannelID: j.ChannelID, Topic: j.Topic, Connection: j.Connection,
		PerConnection: j.PerConnection, After: j.After, Nth: j.Nth, Every: j.Every, Burst: j.Burst,
		Count: j.Count, Probability: j.Probability, For: time.Duration(j.For),
		OnHeaders: j.OnHeaders, Now: j.Now,
		Delay: time.Duration(j.Delay), Jitter: time.Duration(j.Jitter), Code: (*http2.ErrCode)(j.Code),
		Status: j.Status, Reason: j.Reason, Timestamp: j.Timestamp, RetryAfter: j.RetryAfter,
		LastStream: j.LastStream, Debug: j.Debug, Double: j.Double, Processed: j.Processed,
		RestoreAfter: time.Duration(j.RestoreAfter), Skew: time.Duration(j.Skew), Errors: j.Errors,
		Padding: j.Padding, Trailers: j.Trailers, Protocol: j.Protocol,
		BinaryStatus: j.BinaryStatus, Identifier: j.Identifier, Bytes: j.Bytes,
	}
	if j.Settings != nil {
		f.Settings = *j.Settings
	}
	return f, nil
}

func faultToJSON(f Fault) faultJSON {
	j := faultJSON{
		ID: f.ID, Kind: f.Kind, DeviceToken: f.DeviceToken, ChannelID: f.ChannelID, Topic: f.Topic, Connection: f.Connection,
		PerConnection: f.PerConnection, After: f.After, Nth: f.Nth, Every: f.Every, Burst: f.Burst,
		Count: f.Count, Probability: f.Probability, For: jsonDuration(f.For),
		OnHeaders: f.OnHeaders, Now: f.Now,
		Delay: jsonDuration(f.Delay), Jitter: jsonDuration(f.Jitter), Code: (*errorCode)(f.Code),
		Status: f.Status, Reason: f.Reason, Timestamp: f.Timestamp, RetryAfter: f.RetryAfter,
		LastStream: f.LastStream, Debug: f.Debug, Double: f.Double, Processed: f.Processed,
		RestoreAfter: jsonDuration(f.RestoreAfter), Skew: jsonDuration(f.Skew), Errors: f.Errors,
		Padding: f.Padding, Trailers: f.Trailers, Fired: new(f.Fired), Protocol: f.Protocol,
		BinaryStatus: f.BinaryStatus, Identifier: f.Identifier, Bytes: f.Bytes,
	}
	if f.Settings != (SettingsChange{}) {
		j.Settings = &f.Settings
	}
	return j
}

func (s *Server) apiFaults(*http.Request) (any, error) {
	list := []faultJSON{}
	for _, f := range s.Faults() {
		list = append(list, faultToJSON(f))
	}
	return map[string]any{"faults": list}, nil
}

func (s *Server) apiAddFault(r *http.Request) (any, error) {
	var in faultJSON
	if err := readJSON(r, &in); err != nil {
		return nil, err
	}
	f, err := in.fault()
	if err != nil {
		return nil, err
	}
	id, err := s.AddFault(f)
	if err != nil {
		return nil, err
	}
	return created{map[string]string{"id": id}}, nil
}

// apiSetFaults takes an array, or an object with the one member "faults" as GET
// gives it.
func (s *Server) apiSetFaults(r *http.Request) (any, error) {
	var raw rawJSON
	if err := readJSON(r, &raw); err != nil {
		return nil, err
	}
	var list []faultJSON
	if bytes.HasPrefix(raw, []byte("[")) {
		if err := decodeJSON(raw, &list); err != nil {
			return nil, err
		}
	} else {
		var in struct {
			Faults *[]faultJSON `json:"faults"`
		}
		if err := decodeJSON(raw, &in); err != nil {
			return nil, err
		}
		if in.Faults == nil {
			return nil, problem(http.StatusBadRequest, `member "faults" is missing; an empty array removes all`)
		}
		list = *in.Faults
	}
	faults := make([]Fault, len(list))
	for i := range list {
		// What GET gave may come back.
		list[i].ID, list[i].Fired = "", nil
		var err error
		if faults[i], err = list[i].fault(); err != nil {
			return nil, err
		}
	}
	if err := s.SetFaults(faults...); err != nil {
		return nil, err
	}
	return s.apiFaults(r)
}

func (s *Server) apiClearFaults(*http.Request) (any, error) {
	s.ClearFaults()
	return nil, nil
}

func (s *Server) apiRemoveFault(r *http.Request) (any, error) {
	if !s.RemoveFault(r.PathValue("id")) {
		return nil, problem(http.StatusNotFound, "no such fault; GET /sim/v1/faults lists them")
	}
	return nil, nil
}
