package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"aviso.example/apns"
	"aviso.example/engine"
	"aviso.example/internal/message"
	"aviso.example/internal/suggest"
)

// MessageReceipt is the answer to a message.
type MessageReceipt struct {
	ID          string `json:"id" doc:"The message, for GET /v1/messages/{id}."`
	App         string `json:"app"`
	Environment string `json:"environment" enum:"production,sandbox"`
	Lane        string `json:"lane" enum:"urgent,normal,bulk"`
	Count       int    `json:"count" doc:"How many device tokens were given."`
	Accepted    int    `json:"accepted" doc:"How many of them were accepted: their notifications are on disk and each will have a verdict."`
	// Deliveries are the ids, in order.
	Deliveries []*string `json:"deliveries,omitempty" doc:"The id of each delivery, in the order of the device tokens; null where one was refused. It is the apns-id too. Left out beyond 1,000 device tokens: GET /v1/messages/{id}/deliveries has them."`
	// Refused are the first of those that were not accepted.
	Refused []RefusedDevice `json:"refused,omitempty" doc:"The first 1,000 device tokens that were refused."`
	// Warnings are what the linter has to say about it.
	Warnings []Warning `json:"warnings,omitempty" doc:"What APNs will take and a device may drop, or what looks like a mistake. It is accepted all the same."`
}

// RefusedDevice is a device token that cannot be one.
type RefusedDevice struct {
	Index   int    `json:"index" doc:"Its place in to, counted from 0."`
	Problem string `json:"problem"`
}

// submission is one POST /v1/messages. They are used again, since there are
// millions.
type submission struct {
	body   []byte
	words  *words
	answer []byte

	message engine.Message
	info    engine.AppInfo
}

var submissions = sync.Pool{New: func() any { return &submission{words: newWords(inMessage, "request")} }}

func (s *submission) free() {
	if cap(s.body) > keptBody || cap(s.answer) > keptBody {
		return
	}
	submissions.Put(s)
}

// postMessage accepts a message. It answers when the message is on disk.
func (a *API) postMessage(w http.ResponseWriter, r *http.Request) {
	s := submissions.Get().(*submission)
	defer s.free()
	if p := s.accept(a, w, r); p != nil {
		a.note(p, r.Header.Get(requestIDField))
		p.write(w, r)
		return
	}
	h := w.Header()
	h["Content-Type"] = jsonType
	h.Set("Content-Length", strconv.Itoa(len(s.answer)))
	w.WriteHeader(http.StatusAccepted)
	w.Write(s.answer) // whoever is gone needs no answer
}

var jsonType = []string{"application/json"}

func (s *submission) accept(a *API, w http.ResponseWriter, r *http.Request) *Problem {
	if p := wantType(r, "application/json"); p != nil {
		return p
	}
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return newProblem(&unsupportedMedia, "the body of a message cannot be compressed; that of a batch can, with gzip")
	}
	if p := s.read(w, r); p != nil {
		return p
	}
	now := time.Now()
	targets, p := s.parse(a, now)
	if p != nil {
		return p
	}
	// Whoever goes away now has handed it in all the same: half of a message is
	// worse than all of it.
	receipt, err := a.submit(context.WithoutCancel(r.Context()), &s.message, targets)
	if err != nil {
		return s.refusal(a, r.Context(), err, targets, now)
	}
	s.write(receipt, warningsOf(&s.message.Notification, s.info.BundleID, *s.message.Environment, now))
	a.metrics.messageAccepted(s.info.ID, s.message.Environment.String(), receipt)
	w.Header().Set("Location", "/v1/messages/"+receipt.Message.String())
	return nil
}

// refusal is the problem of a message that the engine did not take.
func (s *submission) refusal(a *API, ctx context.Context, err error, targets []engine.Target, now time.Time) *Problem {
	found := inputProblems(err)
	if found == nil {
		return a.problemOf(ctx, err, "message", true)
	}
	return s.invalid(a, targets, now, found...)
}

// invalid is the problem of a message that is wrong, with all that is. The engine
// says one thing only, which counts if nothing else was found.
func (s *submission) invalid(a *API, targets []engine.Target, now time.Time, found ...FieldProblem) *Problem {
	w := s.words
	if why := noDevice(targets); why != "" && w.message.Wrong&message.FieldTo == 0 && len(w.devices.ends) > 0 {
		w.problem(FieldProblem{"to", why})
	}
	w.complete(a, &s.info, now)
	if len(w.problems) == 0 {
		w.problems = found
	}
	return invalid(w.problems...)
}

// noDevice says why none of the device tokens can be one, or "" if one can.
func noDevice(targets []engine.Target) string {
	var first *apns.Problem
	for i := range targets {
		p := apns.CheckDeviceToken(targets[i].DeviceToken)
		if p == nil {
			return ""
		}
		if first == nil {
			first = p
		}
	}
	switch len(targets) {
	case 0:
		return ""
	case 1:
		return first.Message
	}
	return fmt.Sprintf("has %d device tokens of which none can be one; the first %s", len(targets), first.Message)
}

// read reads the body.
func (s *submission) read(w http.ResponseWriter, r *http.Request) *Problem {
	if r.ContentLength > maxMessageBody {
		return tooLarge(maxMessageBody)
	}
	s.body = s.body[:0]
	if n := int(r.ContentLength) + 1; n > cap(s.body) { // one more, to see the end
		s.body = make([]byte, 0, n)
	}
	body := http.MaxBytesReader(w, r.Body, maxMessageBody)
	for {
		if len(s.body) == cap(s.body) {
			s.body = append(s.body, 0)[:len(s.body)]
		}
		n, err := body.Read(s.body[len(s.body):cap(s.body)])
		s.body = s.body[:len(s.body)+n]
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return bodyProblem(err, maxMessageBody)
		}
	}
}

// parse makes a message and its targets of the body.
func (s *submission) parse(a *API, now time.Time) ([]engine.Target, *Problem) {
	w := s.words
	body := bytes.TrimPrefix(s.body, []byte("\xef\xbb\xbf")) // as the lines of a batch may have one
	if w.read(body, now); w.malformed {
		if json.Valid(body) { // and no object
			return nil, invalid(w.problems...)
		}
		return nil, newProblem(&malformedBody, "", w.problems...)
	}
	s.info = engine.AppInfo{}
	if w.own.wrong&keyApp == 0 {
		var why string
		if s.info, why = a.findApp(w.own.app); why != "" {
			w.own.wrong |= keyApp
			w.problem(FieldProblem{"app", why})
		}
	}
	targets := s.targets()
	if len(w.problems) > 0 || !w.notify(now) {
		return nil, s.invalid(a, targets, now)
	}
	environment := s.info.Default
	if w.own.given&keyEnvironment != 0 {
		environment = w.own.environment
	}
	s.message = engine.Message{
		App: s.info.ID, Environment: &environment, Notification: w.notification, DropUnknown: w.own.dropUnknown, SendAt: w.own.sendAt,
	}
	if w.own.given&keyLane != 0 {
		s.message.Lane = &w.own.lane
	}
	return targets, nil
}

// targets returns the device tokens of a message, in either form.
func (s *submission) targets() []engine.Target {
	w := s.words
	switch to := &w.message; {
	case to.Wrong&message.FieldTo != 0:
		return nil
	case to.Given&message.FieldTo == 0:
		w.problem(FieldProblem{"to", "is missing: a device token, or an array of device tokens"})
		return nil
	case len(w.devices.ends) == 0 && to.To == "":
		w.problem(FieldProblem{"to", "is empty: name at least one device token"})
		return nil
	case len(w.devices.ends) > engine.MaxTargets:
		w.problem(FieldProblem{"to", fmt.Sprintf("has more than %d device tokens; send several messages, or a batch, which has no limit", engine.MaxTargets)})
		return nil
	}
	if len(w.devices.ends) == 0 {
		w.devices.text = append(w.devices.text, w.message.To...)
		w.devices.end(w.own.registeredAt)
	} else if w.own.given&keyRegisteredAt != 0 && w.own.wrong&keyRegisteredAt == 0 {
		w.problem(FieldProblem{"registered_at", `goes with a single device token; in an array, write {"device_token":…,"registered_at":…}`})
	}
	return w.devices.list()
}

// findApp returns an app, or says what is wrong with its name.
func (a *API) findApp(id string) (info engine.AppInfo, why string) {
	info, ok := a.engine.App(id)
	if ok {
		return info, ""
	}
	var ids []string
	for _, app := range a.engine.Apps() {
		ids = append(ids, app.ID)
	}
	switch {
	case len(ids) == 0:
		return info, "cannot be anything yet: this server has no app"
	case id == "":
		return info, "is missing: this server has several; GET /v1/apps lists them"
	}
	return info, "is not an app of this server" + suggest.Hint(id, ids) + "; GET /v1/apps lists them"
}

// write makes the answer.
func (s *submission) write(receipt *engine.Receipt, warnings []Warning) {
	b := append(s.answer[:0], `{"id":"`...)
	b = append(b, receipt.Message.String()...)
	b = append(b, `","app":"`...)
	b = append(b, s.info.ID...)
	b = append(b, `","environment":"`...)
	b = append(b, s.message.Environment.String()...)
	b = append(b, `","lane":"`...)
	b = append(b, receipt.Lane.String()...)
	b = append(b, `","count":`...)
	count := receipt.Message.Count
	b = strconv.AppendInt(b, int64(count), 10)
	b = append(b, `,"accepted":`...)
	b = strconv.AppendInt(b, int64(count-len(receipt.Refused)), 10)
	if count <= maxListed {
		b = append(b, `,"deliveries":[`...)
		refused := receipt.Refused
		for i := range count {
			if i > 0 {
				b = append(b, ',')
			}
			if len(refused) > 0 && refused[0].Index == i {
				refused = refused[1:]
				b = append(b, "null"...)
				continue
			}
			b = append(b, '"')
			b, _ = receipt.Message.ID(i).AppendText(b)
			b = append(b, '"')
		}
		b = append(b, ']')
	}
	if len(receipt.Refused) > 0 {
		var list []RefusedDevice
		for _, t := range receipt.Refused[:min(len(receipt.Refused), maxRefusedListed)] {
			list = append(list, RefusedDevice(t))
		}
		text, _ := json.Marshal(list) // plain structs always can be
		b = append(append(b, `,"refused":`...), text...)
	}
	s.answer = append(appendWarnings(b, warnings), "}\n"...)
}

// wantType refuses bodies of another kind, with the likely mistake.
func wantType(r *http.Request, types ...string) *Problem {
	given := r.Header.Get("Content-Type")
	media, _, _ := strings.Cut(given, ";")
	for _, t := range types {
		if given == t || strings.EqualFold(strings.TrimSpace(media), t) {
			return nil
		}
	}
	detail := "Content-Type has to be " + strings.Join(types, " or ")
	if given == "" {
		detail += "; it is missing"
	} else if parsed, _, err := mime.ParseMediaType(given); err == nil && parsed == "application/x-www-form-urlencoded" {
		detail += "; curl sends another one unless told: add -H 'Content-Type: " + types[0] + "'"
	}
	return newProblem(&unsupportedMedia, detail)
}

func tooLarge(limit int64) *Problem {
	return newProblem(&bodyTooLarge, fmt.Sprintf("the limit is %d bytes", limit))
}

// bodyProblem says why a body could not be read.
func bodyProblem(err error, limit int64) *Problem {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return tooLarge(limit)
	}
	if e, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err); ok && e.Timeout() {
		return newProblem(&bodyTooSlow, "")
	}
	return newProblem(&malformedBody, "the connection ended before the body did")
}
