package sim

import (
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http2/hpack"

	"aviso.example/internal/proto"
)

// field numbers the request fields that mean something here, so that one word of
// bits tells which were seen.
type field uint8

const (
	fieldMethod field = iota
	fieldScheme
	fieldPath
	fieldAuthority
	fieldAuthorization
	fieldTopic
	fieldPushType
	fieldPriority
	fieldExpiration
	fieldCollapseID
	fieldID
	fieldRequestID
	fieldChannelID
	fieldContentLength
	fieldContentType
	fieldUserAgent
	fieldCount
	fieldUnknown = fieldCount
)

const firstRegularField = fieldAuthorization

func fieldByName(name string) field {
	switch name {
	case ":method":
		return fieldMethod
	case ":scheme":
		return fieldScheme
	case ":path":
		return fieldPath
	case ":authority":
		return fieldAuthority
	case proto.FieldAuthorization:
		return fieldAuthorization
	case proto.FieldTopic:
		return fieldTopic
	case proto.FieldPushType:
		return fieldPushType
	case proto.FieldPriority:
		return fieldPriority
	case proto.FieldExpiration:
		return fieldExpiration
	case proto.FieldCollapseID:
		return fieldCollapseID
	case proto.FieldID:
		return fieldID
	case proto.FieldRequestID:
		return fieldRequestID
	case proto.FieldChannelID:
		return fieldChannelID
	case "content-length":
		return fieldContentLength
	case "content-type":
		return fieldContentType
	case "user-agent":
		return fieldUserAgent
	}
	return fieldUnknown
}

// request is one header list as received. It is reused from stream to stream.
type request struct {
	value [fieldCount]string
	seen  uint32 // bit per field
	size  int    // of the list, counted as RFC 9113 section 6.5.2 counts it
	// contentLength is -1 when not stated.
	contentLength int64
	// malformed says what RFC 9113 section 8.1.1 forbids; such a request is a
	// stream error and has no answer.
	malformed string
	duplicate bool // a regular field came twice
	others    []string
	regular   bool // a regular field came; no pseudo-field may follow
	// fields is the whole list, kept for the recorder only.
	fields [][2]string
}

func (r *request) reset() {
	others, fields := r.others[:0], r.fields[:0]
	clear(others[:cap(others)])
	*r = request{contentLength: -1, others: others, fields: fields}
}

func (r *request) has(f field) bool   { return r.seen&(1<<f) != 0 }
func (r *request) get(f field) string { return r.value[f] }

// add takes one field of the list. known is a value that was checked before, so
// that a provider token need not be searched for forbidden bytes each time.
func (r *request) add(hf hpack.HeaderField, known string, limit int, keep bool) {
	if r.size += len(hf.Name) + len(hf.Value) + 32; r.size > limit {
		return // answered with 431; nothing of it is used
	}
	f := fieldByName(hf.Name)
	if f < firstRegularField {
		if r.regular || r.has(f) {
			r.malformed = "pseudo-field " + hf.Name + " repeated or after a regular field"
		}
	} else {
		if strings.HasPrefix(hf.Name, ":") {
			r.malformed = "unknown pseudo-field"
		}
		r.regular = true
		if f == fieldUnknown {
			r.addOther(hf)
		} else if r.has(f) {
			r.duplicate = true
		}
	}
	if hf.Value != known && (strings.IndexByte(hf.Value, 0) >= 0 ||
		strings.IndexByte(hf.Value, '\n') >= 0 || strings.IndexByte(hf.Value, '\r') >= 0) {
		r.malformed = "forbidden byte in the value of " + hf.Name
	}
	if f == fieldContentLength {
		n, err := strconv.ParseUint(hf.Value, 10, 62)
		if err != nil || r.has(f) && int64(n) != r.contentLength {
			r.malformed = "content-length is not one number"
		}
		r.contentLength = int64(n)
	}
	if f < fieldCount {
		r.seen |= 1 << f
		r.value[f] = hf.Value
	}
	if keep && f != fieldAuthorization {
		r.fields = append(r.fields, [2]string{hf.Name, hf.Value})
	}
}

// addOther checks a field we have no use for (RFC 9113 sections 8.2.1, 8.2.2).
func (r *request) addOther(hf hpack.HeaderField) {
	if !validName(hf.Name) {
		r.malformed = "forbidden character in a field name"
	}
	switch hf.Name {
	case "connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade":
		r.malformed = "connection-specific field " + hf.Name
	case "te":
		if hf.Value != "trailers" {
			r.malformed = "te other than trailers"
		}
	case "cookie": // may be split into several fields, section 8.2.3
		return
	}
	if slices.Contains(r.others, hf.Name) {
		r.duplicate = true
	}
	r.others = append(r.others, hf.Name)
}

func validName(name string) bool {
	for i := range len(name) {
		switch c := name[i]; {
		case c <= ' ', c >= 0x7f, c >= 'A' && c <= 'Z', c == ':' && i > 0:
			return false
		}
	}
	return name != ""
}

// problem returns why the list is malformed, or "".
func (r *request) problem() string {
	switch {
	case r.malformed != "":
		return r.malformed
	case r.get(fieldMethod) == "":
		return "no :method"
	case r.get(fieldMethod) == "CONNECT":
		return "" // has neither scheme nor path; refused as a method
	case r.get(fieldScheme) == "":
		return "no :scheme"
	case r.get(fieldPath) == "":
		return "no :path"
	}
	return ""
}

// lowerDeviceToken returns the device token in lower case, or false when it is not an
// even number of hexadecimal digits. It allocates only for upper case.
func lowerDeviceToken(s string) (string, bool) {
	upper := false
	for i := range len(s) {
		switch hexClass[s[i]] {
		case 0:
			return "", false
		case 2:
			upper = true
		}
	}
	if upper {
		s = strings.ToLower(s)
	}
	return s, len(s) > 0 && len(s)%2 == 0
}

// hexClass is 1 for digits and a to f, 2 for A to F.
var hexClass = func() (t [256]byte) {
	for c := '0'; c <= '9'; c++ {
		t[c] = 1
	}
	for c := 'a'; c <= 'f'; c++ {
		t[c], t[c-'a'+'A'] = 1, 2
	}
	return t
}()

// canonicalID reports whether s is 32 hexadecimal digits in groups of 8-4-4-4-12.
func canonicalID(s string, upperToo bool) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		switch i {
		case 8, 13, 18, 23:
			if s[i] != '-' {
				return false
			}
		default:
			if class := hexClass[s[i]]; class == 0 || class == 2 && !upperToo {
				return false
			}
		}
	}
	return true
}

// shortDeviceToken is how device tokens appear in logs.
func shortDeviceToken(s string) string {
	if len(s) <= 8 {
		return "…"
	}
	return s[:4] + "…" + s[len(s)-4:]
}
