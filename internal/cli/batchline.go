package cli

import (
	"errors"
	"time"

	"aviso.example/apns"
	"aviso.example/internal/message"
)

// line is one line of a batch on its way to an outcome.
type line struct {
	notification apns.Notification
	number       int64
	// original is the object as it was read, to be written to --failures.
	original []byte
	err      error // why it cannot be sent

	text    []byte // the line; original lies in it
	body    []byte // the payload that was made from parts
	message message.Message
}

// lineParser turns lines into notifications. Use it from one goroutine.
type lineParser struct {
	objects message.Parser
	failure failureLine // what the object that was read last has of --failures
}

// newLineParser returns a parser with the defaults of the command line.
func newLineParser(defaults *message.Message) *lineParser {
	p := &lineParser{objects: message.Parser{Defaults: *defaults}}
	p.objects.Key = func(key string, field message.Field, s *message.Scan) (bool, error) {
		switch {
		case field != 0:
			return false, nil
		case p.failure.key(key):
			return true, p.failure.read(s, key)
		}
		return false, aboutDefaults(key)
	}
	return p
}

// errBoth is about a line of --failures that is a line of a batch as well.
var errBoth = errors.New(`"original" stands beside keys of a notification; a line is either one or the other`)

// parse reads l.text into l. The line may be an object that another run wrote to
// its --failures; then what counts is the original in it.
func (p *lineParser) parse(l *line) error {
	err := p.read(l, l.text)
	if p.failure.any && err == nil && p.failure.original != nil {
		err = p.readOriginal(l)
	} else if p.failure.any && err == nil {
		return message.UnknownKey(p.failure.first, nil)
	} else if p.failure.any {
		return err
	}
	if message.Malformed(err) || errors.Is(err, errBoth) {
		return err
	}
	return p.finish(l, err)
}

func (p *lineParser) read(l *line, text []byte) error {
	p.failure = failureLine{}
	return p.objects.Read(&l.message, text)
}

// readOriginal reads what a line of --failures says was on the line at first.
func (p *lineParser) readOriginal(l *line) error {
	if l.message.Given != 0 {
		return errBoth
	}
	id := p.failure.id
	l.original = p.failure.original
	err := p.read(l, l.original)
	if p.failure.any {
		return errBoth
	}
	if l.message.Given&message.FieldID == 0 {
		l.message.ID = id
	}
	return err
}

// unknownBundle stands in for the topic while a line is judged: whether there is one
// is for the client to say, which knows the certificate.
const unknownBundle = "app.unknown"

// finish makes the notification, or adds to what is wrong with the line what else
// is.
func (p *lineParser) finish(l *line, err error) error {
	m := &l.message
	problems := message.ProblemsOf(err)
	if (m.Given|m.Wrong)&message.FieldTo == 0 {
		problems = append(problems, message.Problem{Field: "to", Text: "is missing: the device token to send to"})
	}
	problems = append(problems, message.ProblemsOf(p.objects.Merge(m))...)
	if len(problems) == 0 {
		if err = p.fill(l); err == nil {
			return nil
		}
	}
	if problems = append(problems, m.More(unknownBundle, time.Now(), message.KeyName)...); len(problems) > 0 {
		return message.Invalid(problems...)
	}
	return err
}

// fill makes the notification of a line with which nothing is wrong so far.
func (p *lineParser) fill(l *line) error {
	m, n := &l.message, &l.notification
	var now time.Time // which takes a while to ask for
	if m.Given&message.FieldExpiration != 0 {
		now = time.Now()
	}
	m.Fill(n, now)
	n.Tag = l
	if m.Given&message.FieldPayload != 0 {
		n.Payload = m.Payload
		return nil
	}
	body, err := m.AppendPayload(l.body[:0], message.KeyName)
	l.body, n.Payload = body, body
	return err
}
