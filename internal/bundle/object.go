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

// maxMembers is ten times as many as the largest object has, a manifest of as many
// files as there may be. A member costs far more in memory than in a file.
const maxMembers = 10_000

// ParseObject reads a JSON object, and nothing after it. It keeps the order of the
// members and those that are there twice, which maps and structs would hide, and
// does not take Name for name, as structs do. Errors quote nothing of the input.
func ParseObject(data []byte) ([]Member, error) {
	if bytes.HasPrefix(data, []byte("\xef\xbb\xbf")) {
		return nil, errors.New("it begins with a byte order mark; write UTF-8 without one")
	}
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
		if len(listed) == maxMembers {
			return nil, fmt.Errorf("it has more than %d members", maxMembers)
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
