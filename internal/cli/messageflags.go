package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/pflag"

	"aviso.example/apns"
	"aviso.example/internal/message"
	"aviso.example/internal/namedfile"
)

// messageFlags are the flags that describe a notification.
type messageFlags struct {
	topic, pushType, expiration, collapseID, id string
	priority                                    int
	title, subtitle, body, badge, sound         string
	category, threadID, interruption            string
	mutable, contentAvailable                   bool
	data                                        []string
	payload                                     string
}

// messageFlagNames ties the flags to the parts of a message.
var messageFlagNames = map[message.Field]string{
	message.FieldTitle: "title", message.FieldSubtitle: "subtitle", message.FieldBody: "body", message.FieldBadge: "badge", message.FieldSound: "sound",
	message.FieldCategory: "category", message.FieldThreadID: "thread-id", message.FieldInterruptionLevel: "interruption-level",
	message.FieldMutableContent: "mutable-content", message.FieldContentAvailable: "content-available", message.FieldData: "data",
	message.FieldPayload: "payload", message.FieldTopic: "topic", message.FieldPushType: "push-type", message.FieldPriority: "priority",
	message.FieldExpiration: "expiration", message.FieldCollapseID: "collapse-id", message.FieldID: "id", message.FieldTo: "to",
}

func flagName(f message.Field) string { return "--" + messageFlagNames[f] }

func (f *messageFlags) register(flags *pflag.FlagSet) {
	flags.StringVar(&f.topic, "topic", "", "bundle `ID` of the app, or a whole topic with the suffix of its push type")
	flags.StringVar(&f.pushType, "push-type", "", "push `TYPE`: alert (default), background, voip, liveactivity, …")
	flags.IntVar(&f.priority, "priority", 0, "`N`: 10 at once, 5 mind the power, 1 never wake (default: what the push type asks for)")
	flags.StringVar(&f.expiration, "expiration", "", "give up at `WHEN`: 0 (one attempt), 1h, 7d, 2030-01-31T12:00:00Z or UNIX seconds")
	flags.StringVar(&f.collapseID, "collapse-id", "", "replace an earlier notification with the same `ID`, at most 64 bytes")
	flags.StringVar(&f.title, "title", "", "`TEXT` of the title")
	flags.StringVar(&f.subtitle, "subtitle", "", "`TEXT` of the subtitle")
	flags.StringVar(&f.body, "body", "", "`TEXT` of the body")
	flags.StringVar(&f.badge, "badge", "", "`NUMBER` on the app's icon, or clear")
	flags.StringVar(&f.sound, "sound", "", "`NAME` of a sound in the app, or default")
	flags.StringVar(&f.category, "category", "", "`NAME` of a category that the app registered")
	flags.StringVar(&f.threadID, "thread-id", "", "group notifications with the same `ID`")
	flags.StringVar(&f.interruption, "interruption-level", "", "`LEVEL`: passive, active, time-sensitive or critical")
	flags.BoolVar(&f.mutable, "mutable-content", false, "run the app's notification service extension first")
	flags.BoolVar(&f.contentAvailable, "content-available", false, "wake the app in the background too")
	flags.StringArrayVar(&f.data, "data", nil, "custom `KEY=VALUE` (text), KEY:=JSON, or a JSON object (repeatable)")
	flags.StringVar(&f.payload, "payload", "", "send the JSON of this `FILE` as it is; - is standard input")
}

// registerID is for those who may choose the id.
func (f *messageFlags) registerID(flags *pflag.FlagSet) {
	flags.StringVar(&f.id, "id", "", "apns-id, a `UUID` (default: a new one)")
}

// message reads the flags.
func (f *messageFlags) message(a *app, flags *pflag.FlagSet) (*message.Message, error) {
	m := &message.Message{
		Title: f.title, Subtitle: f.subtitle, Body: f.body, Sound: f.sound, Category: f.category, ThreadID: f.threadID,
		MutableContent: f.mutable, ContentAvailable: f.contentAvailable, Topic: f.topic, CollapseID: f.collapseID,
	}
	for bit, name := range messageFlagNames {
		if bit != message.FieldTo && flags.Changed(name) {
			m.Given |= bit
		}
	}
	// A switch that is turned off is as good as absent.
	if !f.mutable {
		m.Given &^= message.FieldMutableContent
	}
	if !f.contentAvailable {
		m.Given &^= message.FieldContentAvailable
	}
	var problems []message.Problem
	read := func(bit message.Field, parse func() error) {
		if m.Given&bit == 0 {
			return
		}
		if problem := parse(); problem != nil {
			problems = append(problems, message.Problem{Field: flagName(bit), Text: problem.Error()})
		}
	}
	read(message.FieldPushType, func() (err error) { m.PushType, err = message.ParsePushType(f.pushType); return })
	read(message.FieldPriority, func() (err error) { m.Priority, err = message.ParsePriority(f.priority); return })
	read(message.FieldExpiration, func() (err error) { m.Expiration, err = message.ParseExpiration(f.expiration); return })
	read(message.FieldID, func() (err error) { m.ID, err = apns.ParseID(f.id); return })
	read(message.FieldBadge, func() (err error) { m.Badge, err = message.ParseBadge(f.badge); return })
	read(message.FieldInterruptionLevel, func() (err error) { m.InterruptionLevel, err = message.ParseInterruptionLevel(f.interruption); return })
	read(message.FieldData, func() (err error) { m.Data, err = parseData(f.data); return })
	read(message.FieldPayload, func() (err error) { m.Payload, err = a.readPayload(f.payload); return })
	problems = append(problems, message.ProblemsOf(m.Check(flagName))...)
	if len(problems) > 0 {
		return nil, usage("%w", message.Invalid(problems...))
	}
	return m, nil
}

// parseData reads the custom keys. KEY:=JSON is httpie's way of writing what is
// not text, and leaves no doubt about KEY=42.
func parseData(list []string) (map[string]json.RawMessage, error) {
	data := map[string]json.RawMessage{}
	add := func(key string, value json.RawMessage) error {
		if _, twice := data[key]; twice {
			return fmt.Errorf("has the key %q twice", key)
		}
		if key == "aps" {
			return fmt.Errorf("cannot have the key %q, which is Apple's; use the other flags, or --payload", key)
		}
		data[key] = value
		return nil
	}
	for _, text := range list {
		if strings.HasPrefix(strings.TrimSpace(text), "{") {
			var object map[string]json.RawMessage
			if err := json.Unmarshal([]byte(text), &object); err != nil {
				return nil, fmt.Errorf("begins with { but is not a JSON object: %w", err)
			}
			for key, value := range object {
				if err := add(key, value); err != nil {
					return nil, err
				}
			}
			continue
		}
		key, value, ok := strings.Cut(text, "=")
		if !ok || key == "" || key == ":" {
			return nil, fmt.Errorf("has to be KEY=VALUE, KEY:=JSON or a JSON object")
		}
		raw := json.RawMessage(value)
		if name, isJSON := strings.CutSuffix(key, ":"); isJSON {
			if key = name; !json.Valid(raw) {
				return nil, fmt.Errorf("has no valid JSON after %q; for text write %s=… without the colon", key+":=", key)
			}
		} else {
			raw, _ = json.Marshal(value)
		}
		if err := add(key, raw); err != nil {
			return nil, err
		}
	}
	return data, nil
}

// maxPayloadFile bounds what is read of a payload, far above Apple's limits, so
// that the wrong file costs nothing and the right one gets its own error.
const maxPayloadFile = 1 << 20

func (a *app) readPayload(path string) ([]byte, error) {
	b, err := a.readFile(path, maxPayloadFile)
	if err != nil {
		return nil, err
	}
	if flaw := message.FlawOf(b); flaw != 0 {
		return nil, errors.New(flaw.String())
	}
	return bytes.TrimSpace(b), nil
}

// readFile reads a file, or standard input if path is "-".
func (a *app) readFile(path string, limit int64) ([]byte, error) {
	in := a.stdin
	if path != "-" {
		f, err := namedfile.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("%s has more than %d bytes; is it the right file?", path, limit)
	}
	return b, err
}
