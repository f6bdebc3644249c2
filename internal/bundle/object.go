package bundle

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Member is one member of a JSON object.
type Member struct {
	Name  string
	Value json.RawMessage
}

// ParseObject reads a JSON object, and nothing after it. It keeps the order of the
// members and those that are there twice, which maps and structs would hide, and
// does not take Name for name, as structs do. Errors quote nothing of the input.
func ParseObject(data []byte) ([]Member, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	if first, err := d.Token(); err != nil {
		return nil, errors.New("it is not JSON")
	} else if first != json.Delim('{') {
		return nil, errors.New("it is not a JSON object")
	}
	var listed []Member
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, fmt.Errorf("it is not JSON, at byte %d", d.InputOffset())
		}
		entry := Member{Name: key.(string)} // the decoder lets nothing else be a key
		if err := d.Decode(&entry.Value); err != nil {
			return nil, fmt.Errorf("it is not JSON, at byte %d", d.InputOffset())
		}
		listed = append(listed, entry)
	}
	if _, err := d.Token(); err != nil {
		return nil, errors.New("it is cut short")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the JSON object")
	}
	return listed, nil
}
