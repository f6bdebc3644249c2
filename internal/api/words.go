package api

import (
	"bytes"
	"fmt"
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
)

// ownKeys are their names.
var ownKeys = map[string]ownKey{
	"app": keyApp, "environment": keyEnvironment, "lane": keyLane, "on_unknown": keyOnUnknown, "send_at": keySendAt, "registered_at": keyRegisteredAt,
}

// ownWords are what they say.
type ownWords struct {
	given        ownKey
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

// maxProblems bounds how many are reported at once.
const maxProblems = 20

func (w *words) problem(p FieldProblem) {
	if len(w.problems) < maxProblems {
		w.problems = append(w.problems, p)
	}
}

// read reads a text and reports whether nothing is wrong with it so far.
func (w *words) read(text []byte) bool {
	w.own, w.problems = w.defaults, w.problems[:0]
	w.own.given = 0
	w.devices.reset()
	if err := w.parser.Read(&w.message, text); err != nil {
		w.problem(splitProblem(err.Error()))
		return false
	}
	w.plain = w.scope == inLine && w.message.Given&^message.FieldTo == 0 && w.own.given&^keyRegisteredAt == 0
	if w.plain && len(w.problems) == 0 {
		w.message.Given |= w.parser.Defaults.Given
		return true
	}
	if err := w.parser.Merge(&w.message); err != nil {
		w.problem(splitProblem(err.Error()))
	}
	return len(w.problems) == 0
}

// notify makes the notification of what was read, all but the device token. An
// expiration that was given as a duration counts from when it is to be sent.
func (w *words) notify(now time.Time) bool {
	if w.own.sendAt.After(now) {
		now = w.own.sendAt
	}
	w.message.Fill(&w.notification, now)
	if w.message.Given&message.FieldPayload != 0 {
		w.notification.Payload = w.message.Payload
		return true
	}
	var err error
	if w.payload, err = w.message.AppendPayload(w.payload[:0], message.KeyName); err != nil {
		w.problem(splitProblem(err.Error()))
		return false
	}
	w.notification.Payload = w.payload
	return true
}

// validate adds what else is wrong with a notification, once something is.
func (w *words) validate(bundleID string, now time.Time) {
	n := w.notification
	n.DeviceToken = "00"
	if len(n.Payload) == 0 {
		n.Payload = []byte("{}") // that it is missing was said
	}
	if bundleID == "" {
		// The app is not known, as was said: the topic is not missing as well.
		bundleID = "app.unknown"
	}
	for _, p := range inputProblems(n.Validate(bundleID, now)) {
		w.problem(p)
	}
}

// key is the parser's Key.
func (w *words) key(key string, field message.Field, s *message.Scan) (done bool, err error) {
	switch field {
	case 0:
		return true, w.ownKey(key, s)
	case message.FieldID:
		w.problem(FieldProblem{"id", "cannot be chosen: the id of the delivery, which the answer has, travels as apns-id"})
		_, err := s.Value()
		return true, err
	case message.FieldTo:
		return w.readTo(s)
	}
	return false, nil
}

// misplaced says why a key must not stand here, or "".
func (w *words) misplaced(k ownKey) string {
	switch {
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
	v, err := s.Value()
	if err != nil {
		return err
	}
	bad := func(problem string) {
		w.problem(FieldProblem{key, problem})
	}
	switch {
	case k == 0:
		if key == "defaults" {
			bad("can only stand alone on the first line of a batch")
			return nil
		}
		var names []string
		for name, k := range ownKeys {
			if w.misplaced(k) == "" {
				names = append(names, name)
			}
		}
		w.problem(FieldProblem{Problem: message.UnknownKey(key, names).Error()})
		return nil
	case w.own.given&k != 0:
		bad("is there twice")
		return nil
	}
	w.own.given |= k
	if why := w.misplaced(k); why != "" {
		bad(why)
		return nil
	}
	if why := w.own.set(k, v); why != "" {
		bad(why)
	}
	return nil
}

// set takes the value of a key and says what is wrong with it, or "".
func (o *ownWords) set(k ownKey, v message.Value) (why string) {
	if k == keySendAt || k == keyRegisteredAt {
		at, why := readMoment(v)
		if k == keySendAt {
			o.sendAt = at
		} else {
			o.registeredAt = at
		}
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
	const want = "a time like 2030-01-31T12:00:00Z or a number of UNIX seconds"
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
		if err == nil {
			at, err = time.Parse(time.RFC3339, text)
		}
		if err != nil {
			why = "has to be " + want
			if strings.Trim(text, "0123456789") == "" {
				why += ", without quotes"
			}
		}
		return at, why
	}
	return at, wrongKind(v.Kind, want)
}

// devices are the device tokens of a message. Their texts lie one behind the
// other, so that they cost one string and not a thousand.
type devices struct {
	text       []byte
	ends       []int
	registered []time.Time // nil, or one for each
	targets    []engine.Target
}

func (d *devices) reset() {
	d.text, d.ends, d.registered = d.text[:0], d.ends[:0], d.registered[:0]
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
		w.problem(FieldProblem{"to", "cannot have a default: each line is for a device of its own"})
		_, err = s.Value()
		return true, err
	case kind == message.KindArray && w.scope == inLine:
		w.problem(FieldProblem{"to", "has to be one device token: a line of a batch is one notification"})
		_, err = s.Value()
		return true, err
	case kind == message.KindArray:
		return true, s.Elements(func() error { return w.device(s, len(w.devices.ends)) })
	case kind == message.KindObject && w.scope == inMessage:
		return true, w.device(s, -1)
	}
	return false, nil
}

// device reads one element of "to".
func (w *words) device(s *message.Scan, index int) error {
	d := &w.devices
	name := "to"
	if index >= 0 {
		name = "" // which costs something to make, and is rarely needed
	}
	bad := func(format string, args ...any) {
		if name == "" {
			name = fmt.Sprintf("to[%d]", index)
		}
		w.problem(FieldProblem{name, fmt.Sprintf(format, args...)})
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
		if err := d.appendText(v); err != nil {
			return err
		}
		d.end(time.Time{})
		return nil
	case message.KindObject:
		return w.deviceObject(s, bad)
	}
	bad("has to be a device token, or an object with \"device_token\" and \"registered_at\", not %s", kind)
	_, err = s.Value()
	return err
}

func (w *words) deviceObject(s *message.Scan, bad func(string, ...any)) error {
	d := &w.devices
	var registered time.Time
	hasToken, hasTime := false, false
	err := s.Members(func(key string) error {
		v, err := s.Value()
		if err != nil {
			return err
		}
		switch key {
		case "device_token":
			if hasToken || v.Kind != message.KindString {
				bad(`has to have "device_token" once, as a string`)
				return nil
			}
			hasToken = true
			return d.appendText(v)
		case "registered_at":
			if hasTime {
				bad(`has "registered_at" twice`)
				return nil
			}
			hasTime = true
			var why string
			if registered, why = readMoment(v); why != "" {
				bad(`"registered_at" %s`, why)
			}
		default:
			bad(`has the unknown key %q; there are "device_token" and "registered_at"`, quotable(key))
		}
		return nil
	})
	if err == nil && !hasToken {
		bad(`has no "device_token"`)
	}
	d.end(registered)
	return err
}

// appendText adds the text of a string.
func (d *devices) appendText(v message.Value) error {
	if bytes.IndexByte(v.Raw, '\\') < 0 {
		d.text = append(d.text, v.Raw[1:len(v.Raw)-1]...)
		return nil
	}
	text, err := v.Text("to")
	d.text = append(d.text, text...)
	return err
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
