package message

import (
	"cmp"
	"errors"
	"fmt"
	"unicode/utf8"

	"aviso.example/apns"
)

// Parser reads messages from JSON objects. Use it from one goroutine.
type Parser struct {
	// Defaults are the parts of messages that have none of their own.
	Defaults Message
	// What names the texts in errors, as in "the line ends inside a string". The
	// default is Line, with advice for batches.
	What string
	// Key, if set, is asked first about every key and may read its value from s,
	// or refuse it; field is the part that the key stands for, or 0 if it is none
	// of a notification. A key that is not done with is read as usual, or is
	// unknown. Whether a key that stands for no part comes twice is for Key to
	// notice.
	Key func(key string, field Field, s *Scan) (done bool, err error)
	// Discreet errors repeat nothing of the app's own data, not even its keys: for
	// those who are not the only ones to read them.
	Discreet bool
	// OtherKeys are what to suggest for a mistyped key besides those of a
	// notification.
	OtherKeys []string

	scan Scan
	// topic is the last one, which the next message probably shares.
	topic string
}

// Read reads a text that is one object into m, on top of the defaults. m.Given
// has the parts that the object itself has, until Merge; m has parts of the text.
func (p *Parser) Read(m *Message, text []byte) error {
	*m = p.Defaults
	m.Given = 0
	p.scan = NewScan(text, cmp.Or(p.What, Line))
	if !utf8.Valid(text) {
		if p.scan.what == Line {
			return errors.New("not UTF-8; save the file as UTF-8")
		}
		return errors.New("not UTF-8")
	}
	return p.scan.Object(func(key string) error {
		field := FieldOf(key)
		if m.Given&field != 0 {
			return fmt.Errorf("the key %q is there twice", key)
		}
		m.Given |= field
		if p.Key != nil {
			if done, err := p.Key(key, field, &p.scan); done || err != nil {
				return err
			}
		}
		if field == 0 {
			return UnknownKey(key, p.OtherKeys)
		}
		return p.member(m, key, field)
	})
}

// Merge refuses what contradicts itself in a message that was read, and lets the
// rest win over the defaults: m.Given then has theirs too. A payload and the parts
// of one exclude each other, so either drops the other of the defaults; so do a
// topic and a bundle identifier.
func (p *Parser) Merge(m *Message) error {
	if err := m.Check(KeyName); err != nil {
		return err
	}
	own := m.Given
	m.Given |= p.Defaults.Given
	switch {
	case own&FieldPayload != 0:
		m.Given &^= fieldsOfSugar
	case own&fieldsOfSugar != 0:
		m.Given &^= FieldPayload
	}
	switch {
	case own&FieldTopic != 0:
		m.BundleID = ""
		m.Given &^= FieldBundleID
	case own&FieldBundleID != 0:
		m.Topic = ""
		m.Given &^= FieldTopic
	}
	// A switch that is off is as good as absent.
	if !m.MutableContent {
		m.Given &^= FieldMutableContent
	}
	if !m.ContentAvailable {
		m.Given &^= FieldContentAvailable
	}
	return nil
}

// member reads the value of a key into its part of the message.
func (p *Parser) member(m *Message, key string, field Field) error {
	v, err := p.scan.Value()
	if err != nil {
		return err
	}
	switch field {
	case FieldTo:
		m.To, err = v.Text(key)
	case FieldTitle:
		m.Title, err = v.Text(key)
	case FieldSubtitle:
		m.Subtitle, err = v.Text(key)
	case FieldBody:
		m.Body, err = v.Text(key)
	case FieldSound:
		m.Sound, err = v.Text(key)
	case FieldCategory:
		m.Category, err = v.Text(key)
	case FieldThreadID:
		m.ThreadID, err = v.Text(key)
	case FieldBundleID:
		m.BundleID, err = v.Text(key)
	case FieldCollapseID:
		m.CollapseID, err = v.Text(key)
	case FieldMutableContent:
		m.MutableContent, err = v.Flag(key)
	case FieldContentAvailable:
		m.ContentAvailable, err = v.Flag(key)
	case FieldTopic:
		m.Topic, err = p.readTopic(v, key)
	case FieldPayload:
		m.Payload, err = readPayload(v, key)
	case FieldData:
		m.Data, err = p.readData(v, key)
	case FieldPushType:
		m.PushType, err = readText(v, key, ParsePushType)
	case FieldInterruptionLevel:
		m.InterruptionLevel, err = readText(v, key, ParseInterruptionLevel)
	case FieldID:
		m.ID, err = readText(v, key, apns.ParseID)
	case FieldPriority:
		m.Priority, err = readPriority(v, key)
	case FieldBadge:
		m.Badge, err = readBadge(v, key)
	case FieldExpiration:
		m.Expiration, err = readExpiration(v, key)
	}
	return err
}
