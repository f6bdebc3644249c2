package api

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"aviso.example/apns"
	"aviso.example/engine"
	"aviso.example/internal/message"
	"aviso.example/internal/suggest"
)

// scope is where words stand, which decides what they may say.
type scope uint8

const (
	inMessage  scope = iota // the body of POST /v1/messages
	inDefaults              // what a batch says for all its lines
	inLine                  // one line of a batch
)

// ownKey is a bit for each key that is the API's and not a notification's.
type ownKey uint8

const (
	keyApp ownKey = 1 << iota
	keyEnvironment
	keyLane
	keyOnUnknown
	keySendAt
	keyRegisteredAt
	keyDefaults // which is a key of lines only to be refused
)

// ownKeys are their names.
var ownKeys = map[string]ownKey{
	"app": keyApp, "environment": keyEnvironment, "lane": keyLane, "on_unknown": keyOnUnknown, "send_at": keySendAt, "registered_at": keyRegisteredAt,
}

// ownWords are what they say.
type ownWords struct {
	given        ownKey
	wrong        ownKey // those of them whose values are of no use
	app          string
	environment  apns.Environment
	lane         engine.Lane
	dropUnknown  bool
	sendAt       time.Time
	registeredAt time.Time
}

// words reads a notification and what is said about it. It is used again and
// again, by one goroutine; what it gives is valid until the next text.
type words struct {
	scope    scope
	parser   message.Parser
	message  message.Message
	defaults ownWords
	own      ownWords
	devices  devices
	problems []FieldProblem
	// now is when the words are read. malformed says that not all were, as they are
	// not one JSON object.
	now       time.Time
	malformed bool
	// plain says that a line has a device token and nothing else that would
	// change its notification.
	plain bool

	notification apns.Notification
	payload      []byte // that was made from parts
}

func newWords(s scope, what string) *words {
	w := &words{scope: s}
	w.parser = message.Parser{What: what, Discreet: true, Key: w.key}
	return w
}

// problem notes what is wrong, once.
func (w *words) problem(p FieldProblem) {
	if !slices.Contains(w.problems, p) {
		w.problems = append(w.problems, p)
	}
}

// object notes what an error says that is made of problems.
func (w *words) object(err error) {
	for _, p := range fieldProblems(err) {
		w.problem(p)
	}
}

// read reads a text and reports whether nothing is wrong with it so far.
func (w *words) read(text []byte, now time.Time) bool {
	w.own, w.problems, w.now = w.defaults, w.problems[:0], now
	w.own.given, w.own.wrong = 0, 0
	w.devices.reset()
	err := w.parser.Read(&w.message, text)
	w.object(err)
	if w.malformed = message.Malformed(err); w.malformed {
		return false
	}
	w.plain = w.scope == inLine && w.message.Given&^message.FieldTo == 0 && w.own.given&^keyRegisteredAt == 0
	if w.plain && len(w.problems) == 0 {
		w.message.Given |= w.parser.Defaults.Given
		return true
	}
	w.object(w.parser.Merge(&w.message))
	return len(w.problems) == 0
}

// sent is when it is to be sent, from which an expiration counts that was given as
// a duration.
func (w *words) sent(now time.Time) time.Time {
	if w.own.wrong&keySendAt == 0 && w.own.sendAt.After(now) {
		return w.own.sendAt
	}
	return now
}

// notify makes the notification of what was read, all but the device token.
func (w *words) notify(now time.Time) bool {
	w.message.Fill(&w.notification, w.sent(now))
	if w.message.Given&message.FieldPayload != 0 {
		w.notification.Payload = w.message.Payload
		return true
	}
	var err error
	if w.payload, err = w.message.AppendPayload(w.payload[:0], message.KeyName); err != nil {
		w.object(err)
		return false
	}
	w.notification.Payload = w.payload
	return true
}

// key is the parser's Key.
func (w *words) key(key string, field message.Field, s *message.Scan) (done bool, err error) {
	switch field {
	case 0:
		return true, w.ownKey(key, s)
	case message.FieldID:
		return false, message.Problem{Field: key, Text: "cannot be chosen: the id of the delivery, which the answer has, travels as apns-id"}
	case message.FieldTo:
		return w.readTo(s)
	}
	return false, nil
}

// misplaced says why a key must not stand here, or "".
func (w *words) misplaced(k ownKey) string {
	switch {
	case k == keyDefaults:
		return "can only stand alone on the first line of a batch"
	case k == keyRegisteredAt && w.scope == inDefaults:
		return "belongs to one device; write it on the lines"
	case w.scope == inLine && k&(keyApp|keyEnvironment|keyLane) != 0:
		return "is the same for all of a batch; write it in the defaults or in the query"
	}
	return ""
}

// ownKey reads a key that is not a notification's.
func (w *words) ownKey(key string, s *message.Scan) error {
	k := ownKeys[key]
	if key == "defaults" {
		k = keyDefaults
	}
	if k == 0 {
		var names []string
		for name, k := range ownKeys {
			if w.misplaced(k) == "" {
				names = append(names, name)
			}
		}
		return message.UnknownKey(key, names)
	}
	v, err := s.Value()
	if err != nil {
		return err
	}
	why := w.misplaced(k)
	switch {
	case w.own.given&k == 0 && why == "":
		why = w.own.set(k, v, w.now)
	case w.own.given&k == 0:
	case w.own.wrong&k != 0:
		return nil // that is enough
	default:
		why = "is there twice"
	}
	w.own.given |= k
	if why == "" {
		return nil
	}
	w.own.wrong |= k
	return message.Problem{Field: key, Text: why}
}

// set takes the value of a key and says what is wrong with it, or "".
func (o *ownWords) set(k ownKey, v message.Value, now time.Time) (why string) {
	switch k {
	case keySendAt:
		o.sendAt, why = readMoment(v)
		return why
	case keyRegisteredAt:
		o.registeredAt, why = readRegistration(v, now)
		return why
	}
	if v.Kind != message.KindString {
		return wrongKind(v.Kind, "a string")
	}
	text, err := v.Text("")
	if err != nil {
		return err.Error()
	}
	switch k {
	case keyApp:
		o.app = text
		if text == "" {
			return "is empty; name an app, or leave the key out if there is only one"
		}
	case keyEnvironment:
		o.environment, why = readEnvironment(text)
	case keyLane:
		o.lane, why = readLane(text)
	case keyOnUnknown:
		o.dropUnknown = text == "drop"
		if text != "drop" && text != "resend" {
			return "has to be resend or drop" + suggest.Hint(text, []string{"resend", "drop"})
		}
	}
	return why
}

func wrongKind(k message.Kind, want string) string {
	if k == message.KindNull {
		return "is null; leave the key out"
	}
	return fmt.Sprintf("has to be %s, not %s", want, k)
}

func readEnvironment(text string) (apns.Environment, string) {
	switch text {
	case "production":
		return apns.Production, ""
	case "sandbox":
		return apns.Sandbox, ""
	case "development":
		return 0, "has to be production or sandbox; development is called sandbox"
	}
	return 0, "has to be production or sandbox" + suggest.Hint(text, []string{"production", "sandbox"})
}

func readLane(text string) (lane engine.Lane, why string) {
	if lane.UnmarshalText([]byte(text)) != nil {
		return 0, "has to be urgent, normal or bulk" + suggest.Hint(text, []string{"urgent", "normal", "bulk"})
	}
	return lane, ""
}

// lastSecond is later than anybody means in seconds, and earlier than today in
// milliseconds.
const lastSecond = 100_000_000_000

// readMoment reads a time as text or in UNIX seconds.
func readMoment(v message.Value) (at time.Time, why string) {
	// An example that would be refused as too far away helps nobody.
	want := "a time like " + time.Now().UTC().Add(24*time.Hour).Truncate(time.Hour).Format(time.RFC3339) + " or a number of UNIX seconds"
	switch v.Kind {
	case message.KindNumber:
		seconds, err := strconv.ParseInt(string(v.Raw), 10, 64)
		switch {
		case err != nil:
			return at, "has to be a whole number of UNIX seconds"
		case seconds <= 0:
			return at, "has to be " + want
		case seconds > lastSecond:
			return at, "is in milliseconds; it has to be in seconds"
		}
		return time.Unix(seconds, 0), ""
	case message.KindString:
		text, err := v.Text("")
		if err != nil {
			return at, err.Error()
		}
		if at, err = time.Parse(time.RFC3339, text); err != nil {
			why = "has to be " + want
			if text != "" && strings.Trim(text, "0123456789") == "" {
				why += ", without quotes"
			}
		}
		return at, why
	}
	return at, wrongKind(v.Kind, want)
}

// maxRegisteredAhead bounds registered_at as send_at is bounded. Clocks differ, but
// not by months: until then the device token would not be called dead.
const maxRegisteredAhead = 60 * 24 * time.Hour

// readRegistration reads when a device token was registered.
func readRegistration(v message.Value, now time.Time) (at time.Time, why string) {
	if at, why = readMoment(v); why == "" && at.Sub(now) > maxRegisteredAhead {
		why = "is more than 60 days away; was it given in milliseconds instead of seconds?"
	}
	return at, why
}

// devices are the device tokens of a message. Their texts lie one behind the
// other, so that they cost one string and not a thousand.
type devices struct {
	text       []byte
	ends       []int
	registered []time.Time // nil, or one for each
	targets    []engine.Target
	wrong      int // elements that are no device
}

func (d *devices) reset() {
	d.text, d.ends, d.registered, d.wrong = d.text[:0], d.ends[:0], d.registered[:0], 0
	clear(d.targets)
	d.targets = d.targets[:0]
}

// list returns them for the engine.
func (d *devices) list() []engine.Target {
	all, begin := string(d.text), 0
	for i, end := range d.ends {
		t := engine.Target{DeviceToken: all[begin:end]}
		if len(d.registered) > 0 {
			t.RegisteredAt = d.registered[i]
		}
		d.targets = append(d.targets, t)
		begin = end
	}
	return d.targets
}

// readTo reads the value of "to", unless it is a string, which is the parser's.
func (w *words) readTo(s *message.Scan) (done bool, err error) {
	kind, err := s.Peek()
	if err != nil {
		return false, err
	}
	switch {
	case w.scope == inDefaults:
		return false, message.Problem{Field: "to", Text: "cannot have a default: each line is for a device of its own"}
	case kind == message.KindArray && w.scope == inLine:
		return false, message.Problem{Field: "to", Text: "has to be one device token: a line of a batch is one notification"}
	case kind == message.KindArray:
		return true, s.Elements(func() error { return w.device(s, len(w.devices.ends)) })
	case kind == message.KindObject && w.scope == inMessage:
		return true, w.device(s, -1)
	}
	return false, nil
}

// maxWrongDevices bounds what is said about the elements of "to", of which there
// are thousands.
const maxWrongDevices = 10

// device reads one element of "to".
func (w *words) device(s *message.Scan, index int) error {
	d := &w.devices
	bad := func(format string, args ...any) {
		name := "to"
		if index >= 0 {
			name = fmt.Sprintf("to[%d]", index)
		}
		w.message.Wrong |= message.FieldTo
		if d.wrong++; d.wrong <= maxWrongDevices {
			w.parser.Note(message.Problem{Field: name, Text: fmt.Sprintf(format, args...)})
		}
	}
	if len(d.ends) > engine.MaxTargets {
		_, err := s.Value() // there are too many, as will be said
		return err
	}
	kind, err := s.Peek()
	if err != nil {
		return err
	}
	switch kind {
	case message.KindString:
		v, err := s.Value()
		if err != nil {
			return err
		}
		d.appendText(v)
		d.end(time.Time{})
		return nil
	case message.KindObject:
		return w.deviceObject(s, bad)
	}
	bad("has to be a device token, or an object with \"device_token\" and \"registered_at\", not %s", kind)
	d.end(time.Time{}) // it keeps its place
	_, err = s.Value()
	return err
}

func (w *words) deviceObject(s *message.Scan, bad func(string, ...any)) error {
	d := &w.devices
	var registered time.Time
	hasToken, hasTime := 0, 0
	err := s.Members(func(key string) error {
		v, err := s.Value()
		if err != nil {
			return err
		}
		switch key {
		case "device_token":
			switch hasToken++; {
			case hasToken == 2:
				bad(`has "device_token" twice`)
			case v.Kind != message.KindString:
				bad(`"device_token" has to be a string, not %s`, v.Kind)
			default:
				d.appendText(v)
			}
		case "registered_at":
			var why string
			if hasTime++; hasTime == 2 {
				bad(`has "registered_at" twice`)
			} else if registered, why = readRegistration(v, w.now); why != "" {
				bad(`"registered_at" %s`, why)
			}
		default:
			bad(`has the unknown key %q; there are "device_token" and "registered_at"`, quotable(key))
		}
		return nil
	})
	if err == nil && hasToken == 0 {
		bad(`has no "device_token"`)
	}
	d.end(registered)
	return err
}

// appendText adds the text of a string. One that is no text becomes what no device
// token has, so that it is refused by itself.
func (d *devices) appendText(v message.Value) {
	if bytes.IndexByte(v.Raw, '\\') < 0 {
		d.text = append(d.text, v.Raw[1:len(v.Raw)-1]...)
		return
	}
	text, err := v.Text("to")
	if err != nil {
		text = "\ufffd"
	}
	d.text = append(d.text, text...)
}

// end completes a device.
func (d *devices) end(registered time.Time) {
	if !registered.IsZero() && len(d.registered) == 0 {
		d.registered = append(d.registered, make([]time.Time, len(d.ends))...)
	}
	d.ends = append(d.ends, len(d.text))
	if len(d.registered) > 0 || !registered.IsZero() {
		d.registered = append(d.registered, registered)
	}
}
