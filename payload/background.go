package payload

import "aviso.example/internal/proto"

// Background wakes the app without telling the person ("Pushing background
// updates to your App"). It can carry neither text nor badge nor sound, and
// goes out at priority 5. Expect two or three an hour; the device keeps only
// the newest.
type Background struct {
	// Custom becomes keys beside "aps"; see [Alert].Custom.
	Custom any
}

// PushType returns "background".
func (Background) PushType() PushType { return proto.PushTypeBackground }

// JSON returns the body, at most 4096 bytes; see [Payload].
func (p Background) JSON() ([]byte, error) { return owned(p.AppendJSON(nil)) }

// AppendJSON appends what JSON returns to dst. On error it returns dst as it
// was.
func (p Background) AppendJSON(dst []byte) ([]byte, error) {
	return appendWake(dst, proto.PushTypeBackground, p.Custom)
}

// Complication updates a ClockKit complication that is on the active watch face
// ("Keeping your complications up to date"): 50 a day. Complications made with
// WidgetKit use [Widgets].
type Complication struct {
	// Custom becomes keys beside "aps"; see [Alert].Custom.
	Custom any
}

// PushType returns "complication".
func (Complication) PushType() PushType { return proto.PushTypeComplication }

// JSON returns the body, at most 4096 bytes; see [Payload].
func (p Complication) JSON() ([]byte, error) { return owned(p.AppendJSON(nil)) }

// AppendJSON appends what JSON returns to dst. On error it returns dst as it
// was.
func (p Complication) AppendJSON(dst []byte) ([]byte, error) {
	return appendWake(dst, proto.PushTypeComplication, p.Custom)
}

func appendWake(dst []byte, t PushType, custom any) ([]byte, error) {
	e := begin(dst)
	e.open("aps")
	e.flag("content-available", true)
	e.close()
	e.custom(custom)
	return e.finish(t, proto.MaxPayload)
}

// Location asks the app's location push service extension for a position
// ("Creating a location push service extension"). Only a provider token can
// send it.
type Location struct {
	// Custom becomes keys beside "aps" for the extension; see [Alert].Custom.
	Custom any
}

// PushType returns "location".
func (Location) PushType() PushType { return proto.PushTypeLocation }

// JSON returns the body, at most 4096 bytes; see [Payload]. Without custom keys
// that is an empty aps, because APNs refuses a body of no bytes.
func (p Location) JSON() ([]byte, error) { return owned(p.AppendJSON(nil)) }

// AppendJSON appends what JSON returns to dst. On error it returns dst as it
// was.
func (p Location) AppendJSON(dst []byte) ([]byte, error) {
	e := begin(dst)
	e.open("aps")
	e.close()
	e.custom(p.Custom)
	return e.finish(proto.PushTypeLocation, proto.MaxPayload)
}
