package payload

import "aviso.example/internal/proto"

// Raw is JSON made elsewhere, sent byte for byte as it came. It is held to the
// form and the size that Apple asks for and to nothing else; [Lint] says what
// else may be wrong with it.
type Raw struct {
	// Type is the push type that the JSON is for; "" when not stated.
	Type PushType
	// Body is the JSON object. It is not copied: do not change it afterwards.
	Body []byte
}

// ParseRaw checks that body is one JSON object in UTF-8, nested at most 512
// deep, and returns it unchanged. It does not look at the size, so that the
// result can still be given to [Shorten]; JSON does. The error is an
// *InvalidError that says where the JSON breaks and what the likely mistake is.
func ParseRaw(t PushType, body []byte) (Raw, error) {
	if _, problems := checkObject(body); len(problems) > 0 {
		return Raw{}, &InvalidError{Type: t, Problems: problems}
	}
	return Raw{Type: t, Body: body}, nil
}

// PushType returns Type.
func (r Raw) PushType() PushType { return r.Type }

// JSON checks as [ParseRaw] does, and the size limit of the push type too, and
// returns Body itself, not a copy.
func (r Raw) JSON() ([]byte, error) {
	_, problems := checkObject(r.Body)
	return r.verdict(problems, MaxSize(r.Type))
}

// BroadcastJSON is JSON with the limit of broadcasts, 5120 bytes. A Live
// Activity start is refused, because Apple has no way to broadcast one.
func (r Raw) BroadcastJSON() ([]byte, error) {
	doc, problems := checkObject(r.Body)
	if doc != nil && eventOf(doc) == "start" {
		problems = append(problems, startOverBroadcast)
	}
	return r.verdict(problems, proto.MaxPayloadBroadcast)
}

// AppendJSON appends what JSON returns to dst. On error it returns dst as it
// was.
func (r Raw) AppendJSON(dst []byte) ([]byte, error) {
	body, err := r.JSON()
	return append(dst, body...), err
}

func (r Raw) verdict(problems []Problem, limit int) ([]byte, error) {
	over := len(r.Body) > limit
	if over {
		problems = append(problems, tooLarge(len(r.Body), limit))
	}
	if len(problems) > 0 {
		return nil, &InvalidError{Type: r.Type, Problems: problems, tooLarge: over}
	}
	return r.Body, nil
}

var startOverBroadcast = Problem{
	Path:    "/aps/event",
	Message: "a Live Activity cannot be started by broadcast",
	Fix:     "start it with a push to each device's push-to-start device token; update and end by broadcast",
}

// checkObject returns what keeps body from being one JSON object in UTF-8, and
// its tree if it is JSON at all.
func checkObject(body []byte) (*document, []Problem) {
	if len(body) == 0 {
		return nil, []Problem{{Message: "empty; APNs answers PayloadEmpty", Fix: "send at least {}"}}
	}
	doc, bad := scan(body)
	if bad != nil {
		return nil, []Problem{bad.problem()}
	}
	var problems []Problem
	if k := doc.nodes[0].kind; k != kindObject {
		problems = append(problems, Problem{Message: "must be a JSON object, not " + k.String(), Fix: notObjectFix(k)})
	}
	for _, f := range doc.faults {
		// A key given twice is valid JSON, if unwise: for the linter to tell.
		if f.code == CodeNotUTF8 {
			text := faultTexts[f.code]
			problems = append(problems, Problem{Path: doc.pointer(f.at), Message: text.message, Fix: text.fix})
			break // one is enough; the rest is the same mistake
		}
	}
	return doc, problems
}

func notObjectFix(k kind) string {
	if k == kindString {
		return "the JSON was encoded twice; send the object itself"
	}
	return `put the payload into an object: {"aps":{…}}`
}

// eventOf returns the event of a Live Activity payload, or "".
func eventOf(doc *document) string {
	aps := doc.member(0, "aps")
	if aps < 0 {
		return ""
	}
	event := doc.member(aps, "event")
	if event < 0 || doc.nodes[event].kind != kindString {
		return ""
	}
	return string(doc.text(event))
}
