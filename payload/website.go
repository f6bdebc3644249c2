package payload

import "aviso.example/internal/proto"

// Website is a legacy Safari website push (the retired "Configuring Safari Push
// Notifications"). Its topic begins with "web."; its credential is the Website
// Push ID certificate. Safari takes no other keys.
type Website struct {
	// Title and Body are both required.
	Title string
	Body  string
	// Action is the label of the button; "Show" by default.
	Action string
	// URLArgs fill the %@ of the push package's urlFormatString, one each and in
	// order; with any other number of them nothing is shown. Nil is none: the
	// key is written even so, because Safari drops a push without it.
	URLArgs []string
}

// PushType returns "alert".
func (Website) PushType() PushType { return proto.PushTypeAlert }

// JSON returns the body, at most 4096 bytes; see [Payload].
func (w Website) JSON() ([]byte, error) { return owned(w.AppendJSON(nil)) }

// AppendJSON appends what JSON returns to dst. On error it returns dst as it
// was.
func (w Website) AppendJSON(dst []byte) ([]byte, error) {
	const path = "/aps/alert"
	e := begin(dst)
	e.open("aps")
	e.open("alert")
	if w.Title == "" {
		e.problem(path+"/title", "Safari needs a title", "set Title")
	}
	e.text(path, "title", w.Title)
	if w.Body == "" {
		e.problem(path+"/body", "Safari needs a body", "set Body")
	}
	e.text(path, "body", w.Body)
	e.text(path, "action", w.Action)
	e.close()
	e.texts("/aps", "url-args", w.URLArgs)
	e.close()
	return e.finish(proto.PushTypeAlert, proto.MaxPayload)
}
