package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"aviso.example/apns"
)

// maxLine bounds a line of a batch in bytes: the largest payload with every
// character escaped, and everything else three times over.
const maxLine = 64 << 10

// lineKeys are the keys of a line, and the flags' parts they stand for.
var lineKeys = map[string]field{
	"to": fieldTo, "payload": fieldPayload,
	"title": fieldTitle, "subtitle": fieldSubtitle, "body": fieldBody, "badge": fieldBadge, "sound": fieldSound,
	"category": fieldCategory, "thread_id": fieldThreadID, "interruption_level": fieldInterruptionLevel,
	"mutable_content": fieldMutableContent, "content_available": fieldContentAvailable, "data": fieldData,
	"topic": fieldTopic, "bundle_id": fieldBundleID, "push_type": fieldPushType, "priority": fieldPriority,
	"expiration": fieldExpiration, "collapse_id": fieldCollapseID, "id": fieldID,
}

var lineKeyNames = slices.Sorted(maps.Keys(lineKeys))

var internedKeys = func() map[string]string {
	m := map[string]string{}
	for name := range lineKeys {
		m[name] = name
	}
	return m
}()

// strangeKeys are what other senders call things.
var strangeKeys = map[string]string{
	"token": "to", "tokens": "to", "devicetoken": "to", "device": "to", "registrationid": "to",
	"alert": "title and body", "message": "body", "text": "body", "aps": "payload", "custom": "data",
	"apnstopic": "topic", "apnspushtype": "push_type", "type": "push_type", "apnspriority": "priority",
	"apnsexpiration": "expiration", "ttl": "expiration", "expiry": "expiration",
	"apnscollapseid": "collapse_id", "collapsekey": "collapse_id", "apnsid": "id", "uuid": "id",
	"default": "defaults",
}

func keyName(f field) string {
	for name, bit := range lineKeys {
		if bit == f {
			return strconv.Quote(name)
		}
	}
	return "?"
}

// line is one line of a batch on its way to an outcome.
type line struct {
	notification apns.Notification
	number       int64
	// original is the object as it was read, to be written to --failures.
	original []byte
	err      error // why it cannot be sent

	text    []byte // the line; original lies in it
	body    []byte // the payload that was made from parts
	message message
}

// lineParser turns lines into notifications. Use it from one goroutine.
type lineParser struct {
	defaults message
	scan     jsonScan
	// topics remembers what setTopic made of the last topic.
	topicOf  apns.Notification
	topicFor string
}

var errDefaults = errors.New("defaults can only stand on the first line that is not empty")

// parse reads l.text into l. The line may be an object that another run wrote to
// its --failures; then what counts is the original in it.
func (p *lineParser) parse(l *line) error {
	if !utf8.Valid(l.text) {
		return errors.New("not UTF-8; save the file as UTF-8")
	}
	return p.parseObject(l, l.text, nil)
}

// parseObject reads an object into l.message, on top of the defaults.
func (p *lineParser) parseObject(l *line, text []byte, id *apns.ID) error {
	m := &l.message
	*m = p.defaults
	if id != nil {
		m.id = *id
	}
	var own field
	var failure failureLine
	p.scan = jsonScan{data: text}
	err := p.object(func(key string) error {
		bit := lineKeys[key]
		if bit == 0 {
			if failure.key(key) {
				return failure.read(&p.scan, key)
			}
			return unknownKey(key)
		}
		if own&bit != 0 {
			return fmt.Errorf("the key %q is there twice", key)
		}
		own |= bit
		return p.member(m, key, bit)
	})
	if err != nil {
		return err
	}
	if failure.original != nil {
		if id != nil || own != 0 {
			return errors.New(`"original" stands beside keys of a notification; a line is either one or the other`)
		}
		l.original = failure.original
		return p.parseObject(l, failure.original, &failure.id)
	}
	if failure.any {
		return unknownKey(failure.first)
	}
	return p.finish(l, own)
}

// object runs each over the members of the one object on the line.
func (p *lineParser) object(each func(key string) error) error {
	s := &p.scan
	if s.space(); s.pos >= len(s.data) || s.data[s.pos] != '{' {
		if s.pos < len(s.data) && s.data[s.pos] == '[' {
			return errors.New("an array; a batch has one object on each line, without brackets around them")
		}
		return s.unexpected("{")
	}
	err := s.members(0, func(key []byte, escaped bool) error {
		if escaped {
			var name string
			if err := json.Unmarshal(slices.Concat([]byte{'"'}, key, []byte{'"'}), &name); err != nil {
				return err
			}
			return each(name)
		}
		if known, ok := internedKeys[string(key)]; ok { // which allocates nothing
			return each(known)
		}
		return each(string(key))
	})
	if err != nil {
		return err
	}
	if s.space(); s.pos < len(s.data) {
		if s.data[s.pos] == '{' {
			return fmt.Errorf("a second object begins at character %d; write one object on each line", s.pos+1)
		}
		return s.unexpected("the end of the line")
	}
	return nil
}

func unknownKey(key string) error {
	if key == "defaults" {
		return errDefaults
	}
	if len(key) > 64 {
		key = key[:60] + "…"
	}
	if other := strangeKeys[plain(key)]; other != "" {
		return fmt.Errorf("unknown key %q; did you mean %s?", key, other)
	}
	return fmt.Errorf("unknown key %q%s", key, didYouMean(key, lineKeyNames))
}

// member reads one value into its part of the message.
func (p *lineParser) member(m *message, key string, bit field) (err error) {
	kind, raw, err := p.scan.value(1)
	if err != nil {
		return err
	}
	if kind == jsonNull {
		return fmt.Errorf("%q is null; leave the key out", key)
	}
	want := func(kinds ...jsonKind) bool {
		if slices.Contains(kinds, kind) {
			return true
		}
		var list []string
		for _, k := range kinds {
			list = append(list, k.String())
		}
		err = fmt.Errorf("%q has to be %s, not %s", key, strings.Join(list, " or "), kind)
		if kind == jsonString && bit == fieldPayload {
			err = fmt.Errorf("%w; the payload was encoded twice", err)
		}
		return false
	}
	text := func() (s string) {
		if want(jsonString) {
			s, err = unquote(raw, bytes.IndexByte(raw, '\\') >= 0)
		}
		return s
	}
	flag := func() bool {
		if kind == jsonTrue || kind == jsonFalse {
			return kind == jsonTrue
		}
		return !want(jsonTrue, jsonFalse)
	}
	// parse adds the key to what a parser says about a text.
	named := func(problem error) {
		if problem != nil && err == nil {
			err = fmt.Errorf("%q %w", key, problem)
		}
	}
	switch bit {
	case fieldTo:
		m.to = text()
	case fieldPayload:
		if want(jsonObject) {
			m.payload = raw
		}
	case fieldTitle:
		m.title = text()
	case fieldSubtitle:
		m.subtitle = text()
	case fieldBody:
		m.body = text()
	case fieldSound:
		m.sound = text()
	case fieldCategory:
		m.category = text()
	case fieldThreadID:
		m.threadID = text()
	case fieldTopic:
		if kind == jsonString && bytes.IndexByte(raw, '\\') < 0 && string(raw[1:len(raw)-1]) == p.topicFor {
			m.topic = p.topicFor // as on the line before; millions share it
		} else {
			m.topic = text()
		}
	case fieldBundleID:
		m.bundleID = text()
	case fieldCollapseID:
		m.collapseID = text()
	case fieldMutableContent:
		m.mutable = flag()
	case fieldContentAvailable:
		m.contentAvailable = flag()
	case fieldData:
		if want(jsonObject) {
			m.data, err = readData(raw)
		}
	case fieldPushType:
		if t := text(); err == nil {
			var problem error
			m.pushType, problem = knownPushType(t)
			named(problem)
		}
	case fieldInterruptionLevel:
		if t := text(); err == nil {
			var problem error
			m.interruption, problem = knownInterruption(t)
			named(problem)
		}
	case fieldID:
		if t := text(); err == nil {
			var problem error
			m.id, problem = apns.ParseID(t)
			named(problem)
		}
	case fieldPriority:
		if want(jsonNumber) {
			n, problem := strconv.Atoi(string(raw))
			if problem == nil {
				m.priority, problem = knownPriority(n)
			} else {
				problem = errors.New("has to be 10, 5 or 1")
			}
			named(problem)
		}
	case fieldBadge:
		var problem error
		switch kind {
		case jsonNumber:
			m.badge, problem = parseBadge(string(raw))
		case jsonString:
			t := text()
			if m.badge, problem = parseBadge(t); problem == nil && t != "clear" {
				problem = errors.New("has to be a number without quotes, or \"clear\"")
			}
		default:
			want(jsonNumber, jsonString)
		}
		named(problem)
	case fieldExpiration:
		var problem error
		switch kind {
		case jsonNumber:
			if m.expiration, problem = parseExpiration(string(raw)); problem != nil && bytes.ContainsAny(raw, ".eE") {
				problem = errors.New("has to be a whole number of UNIX seconds")
			}
		case jsonString:
			m.expiration, problem = parseExpiration(text())
		default:
			want(jsonNumber, jsonString)
		}
		named(problem)
	}
	return err
}

// readData reads the custom keys of a line.
func readData(raw []byte) (data map[string]json.RawMessage, err error) {
	s := jsonScan{data: raw}
	data = map[string]json.RawMessage{}
	err = s.members(1, func(key []byte, escaped bool) error {
		name, err := unquote(slices.Concat([]byte{'"'}, key, []byte{'"'}), escaped)
		if err != nil {
			return err
		}
		if _, twice := data[name]; twice {
			return fmt.Errorf(`"data" has the key %q twice`, name)
		}
		if name == "aps" {
			return errors.New(`"data" cannot have the key "aps", which is Apple's; use the other keys, or "payload"`)
		}
		_, value, err := s.value(2)
		data[name] = value
		return err
	})
	return data, err
}
