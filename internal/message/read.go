package message

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"aviso.example/apns"
	"aviso.example/payload"
)

// named puts the key before what a parser says about its value.
func named(key string, problem error) error {
	if problem == nil {
		return nil
	}
	return Problem{Field: key, Text: problem.Error()}
}

func readText[T any](v Value, key string, parse func(string) (T, error)) (result T, err error) {
	text, err := v.Text(key)
	if err != nil {
		return result, err
	}
	result, err = parse(text)
	return result, named(key, err)
}

func (p *Parser) readTopic(v Value, key string) (string, error) {
	if v.Kind == KindString && bytes.IndexByte(v.Raw, '\\') < 0 && string(v.Raw[1:len(v.Raw)-1]) == p.topic {
		return p.topic, nil // as in the message before; millions share it
	}
	var err error
	p.topic, err = v.Text(key)
	return p.topic, err
}

func readPriority(v Value, key string) (apns.Priority, error) {
	if err := v.Want(key, KindNumber); err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(string(v.Raw))
	if err != nil {
		return 0, named(key, errors.New("has to be 10, 5 or 1"))
	}
	priority, err := ParsePriority(n)
	return priority, named(key, err)
}

func readBadge(v Value, key string) (payload.Badge, error) {
	if v.Kind == KindString {
		return readText(v, key, func(text string) (payload.Badge, error) {
			badge, err := ParseBadge(text)
			if err == nil && text != "clear" {
				err = errors.New("has to be a number without quotes, or \"clear\"")
			}
			return badge, err
		})
	}
	if err := v.Want(key, KindNumber, KindString); err != nil {
		return payload.Badge{}, err
	}
	badge, err := ParseBadge(string(v.Raw))
	return badge, named(key, err)
}

func readExpiration(v Value, key string) (Expiration, error) {
	if v.Kind == KindString {
		return readText(v, key, ParseExpiration)
	}
	if err := v.Want(key, KindNumber, KindString); err != nil {
		return Expiration{}, err
	}
	e, err := ParseExpiration(string(v.Raw))
	if err != nil && bytes.ContainsAny(v.Raw, ".eE") {
		err = errors.New("has to be a whole number of UNIX seconds")
	}
	return e, named(key, err)
}

func readPayload(v Value, key string) ([]byte, error) {
	err := v.Want(key, KindObject)
	if p, ok := errors.AsType[Problem](err); ok && v.Kind == KindString {
		p.Text += "; the payload was encoded twice"
		err = p
	}
	return v.Raw, err
}

// readData reads the app's own keys.
func (p *Parser) readData(v Value, key string) (map[string]json.RawMessage, error) {
	if err := v.Want(key, KindObject); err != nil {
		return nil, err
	}
	data := map[string]json.RawMessage{}
	s := Scan{data: v.Raw, what: p.scan.what}
	err := s.Members(func(name string) error {
		if _, twice := data[name]; twice {
			if p.Discreet {
				return Problem{Field: key, Text: "has a key twice"}
			}
			return Problem{Field: key, Text: fmt.Sprintf("has the key %q twice", name)}
		}
		if name == "aps" {
			return Problem{Field: key, Text: `cannot have the key "aps", which is Apple's; use the other keys, or "payload"`}
		}
		value, err := s.Value()
		data[name] = value.Raw
		return err
	})
	return data, err
}
