package cli

import (
	"bytes"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"aviso.example/apns"
)

// finish merges a line with the defaults and makes the notification. own are the
// parts that the line itself has.
func (p *lineParser) finish(l *line, own field) error {
	m := &l.message
	if own&fieldTo == 0 {
		return errors.New(`"to" is missing: the device token to send to`)
	}
	m.given = own
	if err := m.check(keyName); err != nil {
		return err
	}
	p.merge(m, own)

	n := &l.notification
	*n = apns.Notification{
		DeviceToken: m.to, PushType: m.pushType, Priority: m.priority,
		CollapseID: m.collapseID, ID: m.id, Tag: l,
	}
	if m.expiration.given {
		n.Expiration = m.expiration.value(time.Now())
	}
	if m.bundleID != "" {
		n.BundleID = m.bundleID
	} else if m.topic != "" {
		if p.topicFor != m.topic || p.topicOf.PushType != m.pushType {
			p.topicFor, p.topicOf.PushType = m.topic, m.pushType
			setTopic(&p.topicOf, m.topic)
		}
		n.Topic, n.BundleID = p.topicOf.Topic, p.topicOf.BundleID
	}
	if m.given&fieldPayload != 0 {
		n.Payload = m.payload
		return nil
	}
	body, err := m.appendPayload(l.body[:0], keyName)
	l.body, n.Payload = body, body
	return payloadProblem(err)
}

// merge lets what a line says win over the defaults. A payload and the parts of
// one exclude each other, so either drops the other of the defaults.
func (p *lineParser) merge(m *message, own field) {
	m.given = own | p.defaults.given
	switch {
	case own&fieldPayload != 0:
		m.given &^= fieldsOfSugar
	case own&fieldsOfSugar != 0:
		m.given &^= fieldPayload
	}
	switch {
	case own&fieldTopic != 0:
		m.bundleID = ""
		m.given &^= fieldBundleID
	case own&fieldBundleID != 0:
		m.topic = ""
		m.given &^= fieldTopic
	}
	// A switch that is off is as good as absent.
	if !m.mutable {
		m.given &^= fieldMutableContent
	}
	if !m.contentAvailable {
		m.given &^= fieldContentAvailable
	}
}

// readDefaults reads the first line if it is {"defaults":{…}}, and reports
// whether it was. Everything but the device token and the id can have a default.
func (p *lineParser) readDefaults(text []byte) (bool, error) {
	// Millions of files have none; a look is enough to know.
	if !bytes.Contains(text, []byte("defaults")) || !utf8.Valid(text) {
		return false, nil
	}
	p.scan = jsonScan{data: text}
	var others []string
	var object []byte
	err := p.object(func(key string) error {
		kind, raw, err := p.scan.value(1)
		if key != "defaults" {
			others = append(others, key)
			return err
		}
		switch {
		case err != nil:
		case object != nil:
			err = errors.New(`the key "defaults" is there twice`)
		case kind != jsonObject:
			err = fmt.Errorf(`"defaults" has to be an object, not %s`, kind)
		}
		object = raw
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
	d := p.defaults
	var own field
	p.scan = jsonScan{data: bytes.Clone(object)} // the payload stays for long
	err = p.object(func(key string) error {
		bit := lineKeys[key]
		switch {
		case bit == 0:
			return unknownKey(key)
		case bit == fieldTo || bit == fieldID:
			return fmt.Errorf("%q cannot have a default: each line needs its own", key)
		case own&bit != 0:
			return fmt.Errorf("the key %q is there twice", key)
		}
		own |= bit
		return p.member(&d, key, bit)
	})
	if err != nil {
		return true, fmt.Errorf("in the defaults: %w", err)
	}
	d.given = own
	if err := d.check(keyName); err != nil {
		return true, fmt.Errorf("in the defaults: %w", err)
	}
	// The file's defaults stand on top of those from the command line.
	p.merge(&d, own)
	p.defaults = d
	return true, nil
}
