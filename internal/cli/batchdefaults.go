package cli

import (
	"errors"
	"fmt"

	"aviso.example/internal/message"
	"aviso.example/internal/suggest"
)

// readDefaults reads the first line if it is {"defaults":{…}}, and reports
// whether it was. Everything but the device token and the id can have a default.
func (p *lineParser) readDefaults(text []byte) (bool, error) {
	object, err := message.DefaultsOf(text)
	if object == nil || err != nil {
		return object != nil, err
	}
	// The file's defaults stand on top of those from the command line.
	var d message.Message
	parser := message.Parser{Defaults: p.objects.Defaults, Key: keyOfDefaults}
	err = parser.Read(&d, object)
	if !message.Malformed(err) {
		err = message.Invalid(append(message.ProblemsOf(err), message.ProblemsOf(parser.Merge(&d))...)...)
	}
	if err != nil {
		return true, fmt.Errorf("in the defaults: %w", err)
	}
	p.objects.Defaults = d
	return true, nil
}

// keyOfDefaults is the Key of the defaults' parser.
func keyOfDefaults(key string, field message.Field, _ *message.Scan) (done bool, err error) {
	if field == message.FieldTo || field == message.FieldID {
		return false, message.Problem{Field: key, Text: "cannot have a default: each line needs its own"}
	}
	return false, aboutDefaults(key)
}

var errDefaults = errors.New("defaults can only stand on the first line that is not empty")

// aboutDefaults refuses what looks like the first line of a batch.
func aboutDefaults(key string) error {
	if key == "defaults" {
		return errDefaults
	}
	if suggest.Plain(key) == "default" {
		return message.Problem{Field: key, Text: "unknown key; did you mean defaults?"}
	}
	return nil
}
