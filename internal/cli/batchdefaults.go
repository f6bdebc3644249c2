package cli

import (
	"bytes"
	"errors"
	"fmt"
	"unicode/utf8"

	"aviso.example/internal/message"
	"aviso.example/internal/suggest"
)

// readDefaults reads the first line if it is {"defaults":{…}}, and reports
// whether it was. Everything but the device token and the id can have a default.
func (p *lineParser) readDefaults(text []byte) (bool, error) {
	// Millions of files have none; a look is enough to know.
	if !bytes.Contains(text, []byte("defaults")) || !utf8.Valid(text) {
		return false, nil
	}
	scan := message.NewScan(text, message.Line)
	var others []string
	var object []byte
	err := scan.Object(func(key string) error {
		value, err := scan.Value()
		if key != "defaults" {
			others = append(others, key)
			return err
		}
		switch {
		case err != nil:
		case object != nil:
			err = errors.New(`the key "defaults" is there twice`)
		case value.Kind != message.KindObject:
			err = fmt.Errorf(`"defaults" has to be an object, not %s`, value.Kind)
		}
		object = value.Raw
		return err
	})
	if object == nil {
		return false, nil // an ordinary line, right or wrong
	}
	if err != nil {
		return true, err
	}
	if len(others) > 0 {
		return true, fmt.Errorf(`%q stands beside "defaults", which has to be alone on its line`, others[0])
	}
	// The file's defaults stand on top of those from the command line.
	var d message.Message
	parser := message.Parser{Defaults: p.objects.Defaults, Key: keyOfDefaults}
	err = parser.Read(&d, bytes.Clone(object)) // the payload stays for long
	if err == nil {
		err = parser.Merge(&d)
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
		return false, fmt.Errorf("%q cannot have a default: each line needs its own", key)
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
		return fmt.Errorf("unknown key %q; did you mean defaults?", key)
	}
	return nil
}
