package message

import (
	"cmp"
	"errors"
	"slices"
	"strings"

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
	// notice. An error refuses the value, of which Key may have read nothing, some
	// or all; those that come from s have to be passed on as they are.
	Key func(key string, field Field, s *Scan) (done bool, err error)
	// Discreet errors repeat nothing of the app's own data, not even its keys: for
	// those who are not the only ones to read them.
	Discreet bool
	// OtherKeys are what to suggest for a mistyped key besides those of a
	// notification.
	OtherKeys []string

	scan Scan
	// problems are what is wrong with the text that is read, seen the parts whose
	// keys it has had, and twice those whose keys came again.
	problems    []Problem
	unknown     int
	seen, twice Field
	// topic is the last one, which the next message probably shares.
	topic string
}

const (
	// maxProblems bounds what is said about one text. The keys that there are have
	// room in it, whatever they hold and however often they come.
	maxProblems = 100
	// maxUnknown bounds the unknown keys among them, of which a text can have any
	// number.
	maxUnknown = 20
)

// Note adds something that is wrong with the text that is being read.
func (p *Parser) Note(problem Problem) {
	if len(p.problems) < maxProblems {
		p.problems = append(p.problems, problem)
	}
}

// Read reads a text that is one object into m, on top of the defaults. m.Given
// has the parts that the object itself has, until Merge; m has parts of the text.
//
// The error is an *InvalidError. A wrong value hides no other: what comes after it
// is read as well, and m.Wrong has the parts whose values are of no use.
func (p *Parser) Read(m *Message, text []byte) error {
	*m = p.Defaults
	m.Given, m.Wrong, m.discreet = 0, 0, p.Discreet
	p.problems, p.unknown, p.seen, p.twice = p.problems[:0], 0, 0, 0
	p.scan = NewScan(text, cmp.Or(p.What, Line))
	err := p.scan.Object(func(key string) error { return p.key(m, key) })
	if err != nil {
		p.Note(Problem{Text: err.Error()})
	}
	if len(p.problems) == 0 {
		return nil
	}
	return &InvalidError{slices.Clone(p.problems), err != nil}
}

// key reads a key and its value. An error is one of the JSON; what is wrong with
// the message is noted.
func (p *Parser) key(m *Message, key string) error {
	field := FieldOf(key)
	if p.seen&field != 0 {
		if p.twice&field == 0 {
			p.Note(Problem{Field: key, Text: "is there twice"})
		}
		p.twice |= field
		m.Wrong |= field
		_, err := p.scan.Value()
		return err
	}
	p.seen |= field
	m.Given |= field
	pos, depth := p.scan.pos, p.scan.depth
	problem, err := p.value(m, key, field)
	if err != nil || problem == nil {
		return err
	}
	m.Wrong |= field
	p.refuse(problem)
	// Whoever refused a value may have read it, or some of it, or not.
	p.scan.pos, p.scan.depth = pos, depth
	v, err := p.scan.Value()
	if v.Kind == KindNull {
		m.Given &^= field
	}
	return err
}

// value reads a value, unless it is refused as a problem.
func (p *Parser) value(m *Message, key string, field Field) (problem, err error) {
	if p.Key != nil {
		done, err := p.Key(key, field, &p.scan)
		if _, malformed := errors.AsType[*syntaxError](err); malformed {
			return nil, err
		}
		if done || err != nil {
			return err, nil
		}
	}
	if field == 0 {
		return UnknownKey(key, p.OtherKeys), nil
	}
	v, err := p.scan.Value()
	if err != nil {
		return nil, err
	}
	if problem := p.member(m, key, field, v); problem != nil {
		return problem, nil
	}
	return v.Sound(key), nil
}

func (p *Parser) refuse(problem error) {
	for _, one := range ProblemsOf(problem) {
		if strings.HasPrefix(one.Text, unknownKey) {
			if p.unknown++; p.unknown > maxUnknown {
				continue
			}
		}
		p.Note(one)
	}
}

// Merge refuses what contradicts itself in a message that was read, and lets the
// rest win over the defaults: m.Given then has theirs too. A payload and the parts
// of one exclude each other, so either drops the other of the defaults; so do a
// topic and a bundle identifier.
func (p *Parser) Merge(m *Message) error {
	err := m.Check(KeyName)
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
	return err
}

// member takes the value of a key into its part of the message.
func (p *Parser) member(m *Message, key string, field Field, v Value) (err error) {
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
		if p, ok := errors.AsType[Problem](err); ok && v.Kind == KindObject {
			p.Text += "; a critical sound is given in payload"
			err = p
		}
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
