package payload

import (
	"bytes"
	"errors"
)

// errOneWay is the answer to reading a payload back into its type. The other parts of a
// program would take what cannot be read for what was not there.
var errOneWay = errors.New("payload: a body cannot be read into the type that made it; keep the bytes, or read them into a Raw")

// encoding/json gives the body that is sent, and not the fields of these types: a program
// that marshals one by itself would send {"Title":…}, which APNs accepts and no device
// shows. The errors are those of JSON.

// MarshalJSON implements [encoding/json.Marshaler]; it is JSON.
func (a Alert) MarshalJSON() ([]byte, error) { return a.JSON() }

// UnmarshalJSON refuses to read.
func (*Alert) UnmarshalJSON([]byte) error { return errOneWay }

// MarshalJSON implements [encoding/json.Marshaler]; it is JSON.
func (w Website) MarshalJSON() ([]byte, error) { return w.JSON() }

// UnmarshalJSON refuses to read.
func (*Website) UnmarshalJSON([]byte) error { return errOneWay }

// MarshalJSON implements [encoding/json.Marshaler]; it is JSON.
func (p Background) MarshalJSON() ([]byte, error) { return p.JSON() }

// UnmarshalJSON refuses to read.
func (*Background) UnmarshalJSON([]byte) error { return errOneWay }

// MarshalJSON implements [encoding/json.Marshaler]; it is JSON.
func (p Complication) MarshalJSON() ([]byte, error) { return p.JSON() }

// UnmarshalJSON refuses to read.
func (*Complication) UnmarshalJSON([]byte) error { return errOneWay }

// MarshalJSON implements [encoding/json.Marshaler]; it is JSON.
func (p Location) MarshalJSON() ([]byte, error) { return p.JSON() }

// UnmarshalJSON refuses to read.
func (*Location) UnmarshalJSON([]byte) error { return errOneWay }

// MarshalJSON implements [encoding/json.Marshaler]; it is JSON.
func (p VoIP) MarshalJSON() ([]byte, error) { return p.JSON() }

// UnmarshalJSON refuses to read.
func (*VoIP) UnmarshalJSON([]byte) error { return errOneWay }

// MarshalJSON implements [encoding/json.Marshaler]; it is JSON.
func (p PushToTalk) MarshalJSON() ([]byte, error) { return p.JSON() }

// UnmarshalJSON refuses to read.
func (*PushToTalk) UnmarshalJSON([]byte) error { return errOneWay }

// MarshalJSON implements [encoding/json.Marshaler]; it is JSON.
func (p FileProvider) MarshalJSON() ([]byte, error) { return p.JSON() }

// UnmarshalJSON refuses to read.
func (*FileProvider) UnmarshalJSON([]byte) error { return errOneWay }

// MarshalJSON implements [encoding/json.Marshaler]; it is JSON.
func (p MDM) MarshalJSON() ([]byte, error) { return p.JSON() }

// UnmarshalJSON refuses to read.
func (*MDM) UnmarshalJSON([]byte) error { return errOneWay }

// MarshalJSON implements [encoding/json.Marshaler]; it is JSON.
func (p Widgets) MarshalJSON() ([]byte, error) { return p.JSON() }

// UnmarshalJSON refuses to read.
func (*Widgets) UnmarshalJSON([]byte) error { return errOneWay }

// MarshalJSON implements [encoding/json.Marshaler]; it is JSON.
func (p Controls) MarshalJSON() ([]byte, error) { return p.JSON() }

// UnmarshalJSON refuses to read.
func (*Controls) UnmarshalJSON([]byte) error { return errOneWay }

// MarshalJSON implements [encoding/json.Marshaler]; it is JSON.
func (l LiveActivityStart) MarshalJSON() ([]byte, error) { return l.JSON() }

// UnmarshalJSON refuses to read.
func (*LiveActivityStart) UnmarshalJSON([]byte) error { return errOneWay }

// MarshalJSON implements [encoding/json.Marshaler]; it is JSON.
func (l LiveActivityUpdate) MarshalJSON() ([]byte, error) { return l.JSON() }

// UnmarshalJSON refuses to read.
func (*LiveActivityUpdate) UnmarshalJSON([]byte) error { return errOneWay }

// MarshalJSON implements [encoding/json.Marshaler]; it is JSON.
func (l LiveActivityEnd) MarshalJSON() ([]byte, error) { return l.JSON() }

// UnmarshalJSON refuses to read.
func (*LiveActivityEnd) UnmarshalJSON([]byte) error { return errOneWay }

// MarshalJSON implements [encoding/json.Marshaler]; it is JSON.
func (p WalletUpdate) MarshalJSON() ([]byte, error) { return p.JSON() }

// UnmarshalJSON refuses to read.
func (*WalletUpdate) UnmarshalJSON([]byte) error { return errOneWay }

// MarshalJSON implements [encoding/json.Marshaler]; it is JSON.
func (r Raw) MarshalJSON() ([]byte, error) { return r.JSON() }

// UnmarshalJSON implements [encoding/json.Unmarshaler]: it is [ParseRaw], with a copy of
// the body and the push type that r has.
func (r *Raw) UnmarshalJSON(body []byte) error {
	read, err := ParseRaw(r.Type, bytes.Clone(body))
	if err == nil {
		*r = read
	}
	return err
}
