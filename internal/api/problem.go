package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"aviso.example/apns"
	"aviso.example/engine"
	"aviso.example/internal/message"
)

// kind is a row of the table of problems.
type kind struct {
	Kind    string `json:"kind" doc:"The last part of a problem's type."`
	Status  int    `json:"status" doc:"The HTTP status it comes with."`
	Title   string `json:"title"`
	Meaning string `json:"meaning" doc:"What happened, and what to do."`
}

// The problems there are.
var (
	invalidRequest   = kind{"invalid-request", 422, "The request is not valid", "Nothing was accepted. errors names every field that was found wrong; sending the same again changes nothing."}
	malformedBody    = kind{"malformed-body", 400, "The body cannot be read", "It is not JSON, or not what its header fields say. Nothing was accepted."}
	malformedQuery   = kind{"malformed-query", 400, "The query cannot be read", "It is not name=value, joined by &, with everything else escaped. Nothing was done."}
	bodyTooLarge     = kind{"body-too-large", 413, "The body is too large", "Nothing was accepted. Send several messages, or a batch, which has no limit."}
	bodyTooSlow      = kind{"body-too-slow", 408, "The body took too long", "Nothing was accepted."}
	unsupportedMedia = kind{"unsupported-media", 415, "The body is of a kind that is not taken here", "Set Content-Type, and Content-Encoding if it is compressed, as the documentation of the endpoint says."}
	notAcceptable    = kind{"not-acceptable", 406, "The answer cannot be given in that form", "Answers are JSON: send Accept: application/json, or nothing."}
	unauthorized     = kind{"unauthorized", 401, "An API key is needed", "Send Authorization: Bearer and the key that the server was started with."}
	crossOrigin      = kind{"cross-origin", 403, "Refused to a page of another origin", "A browser said that a page of another site made this request. Programs are not affected."}
	notFound         = kind{"not-found", 404, "There is no such thing", "The path is wrong, or what it names was never here, or it was so long ago that nothing is known of it any more."}
	wrongMethod      = kind{"method-not-allowed", 405, "The method does not fit the path", "The header field Allow names those that do."}
	conflict         = kind{"conflict", 409, "Somebody else is changing it", "Two wanted to change the same thing at the same moment, and the other one was first. Look what has become of it."}
	tooBusy          = kind{"busy", 429, "Too much is being handed in at once", "Nothing was accepted. Send it again after Retry-After seconds, and then with fewer requests at a time."}
	queueFull        = kind{"queue-full", 503, "The queue is full", "Nothing was accepted. It passes when notifications have been sent, or when somebody makes room on the disk."}
	notConfirmed     = kind{"not-confirmed", 503, "The log did not confirm in time", "It is not known whether the message was accepted. Sending it again can have it arrive twice; a collapse id makes that harmless."}
	logUnavailable   = kind{"log-unavailable", 503, "The log does not answer", "Nothing can be said or changed at the moment. Try again."}
	shuttingDown     = kind{"shutting-down", 503, "The server is shutting down", "Nothing was accepted. Send it again after Retry-After seconds."}
	cutShort         = kind{"batch-cut-short", 400, "The end of the batch is missing", "What came before was accepted and is sent: batch says how much. Send the rest as another batch."}
	batchInterrupted = kind{"batch-interrupted", 503, "The batch could not be taken to its end", "Some of it was accepted and is sent: batch says how much is certain."}
	internalError    = kind{"internal", 500, "Something went wrong here", "It is the server's fault; its log says more under request_id."}
)

// kinds is the table, for GET /v1/problems and for those that huma knows by their
// status alone: the first of a status is meant.
var kinds = []*kind{
	&invalidRequest, &malformedBody, &malformedQuery, &bodyTooLarge, &bodyTooSlow, &unsupportedMedia, &notAcceptable, &unauthorized, &crossOrigin, &notFound,
	&wrongMethod, &conflict, &tooBusy, &queueFull, &notConfirmed, &logUnavailable, &shuttingDown, &cutShort, &batchInterrupted, &internalError,
}

// problemsPath is where the table is served, and with the kind a problem's type.
const problemsPath = "/v1/problems"

// Problem is an error as RFC 9457 has it. It never repeats a device token, a
// payload or a key.
type Problem struct {
	Type      string         `json:"type" format:"uri-reference" doc:"The kind of problem; a GET explains it."`
	Title     string         `json:"title"`
	Status    int            `json:"status"`
	Detail    string         `json:"detail,omitempty" doc:"What went wrong this time."`
	Errors    []FieldProblem `json:"errors,omitempty" doc:"All that was found wrong with the request."`
	RequestID string         `json:"request_id,omitempty" doc:"The request in the server's log."`
	Batch     *BatchReceipt  `json:"batch,omitempty" doc:"What was accepted of a batch that was cut short."`

	retryAfter time.Duration
	allow      string
	cause      error  // for the log, if an operator should know
	what       string // what the request was about, for the log
}

// FieldProblem is about one field.
type FieldProblem struct {
	Field   string `json:"field,omitempty" doc:"The key or parameter, unless the problem is with all of the text."`
	Problem string `json:"problem"`
}

// String has the field first.
func (f FieldProblem) String() string {
	return message.Problem{Field: f.Field, Text: f.Problem}.Error()
}

// fieldProblems takes an error apart that internal/message made.
func fieldProblems(err error) (list []FieldProblem) {
	for _, p := range message.ProblemsOf(err) {
		list = append(list, FieldProblem{p.Field, p.Text})
	}
	return list
}

func newProblem(k *kind, detail string, errs ...FieldProblem) *Problem {
	return &Problem{Type: problemsPath + "/" + k.Kind, Title: k.Title, Status: k.Status, Detail: detail, Errors: errs}
}

// invalid is the problem of a request with wrong fields.
func invalid(errs ...FieldProblem) *Problem {
	detail := "one field is wrong"
	if len(errs) != 1 {
		detail = strconv.Itoa(len(errs)) + " fields are wrong"
	}
	return newProblem(&invalidRequest, detail, errs...)
}

// Error lists what is wrong.
func (p *Problem) Error() string {
	var list []string
	for _, e := range p.Errors {
		list = append(list, e.String())
	}
	return cmp.Or(strings.Join(list, "; "), p.Detail, p.Title)
}

// GetStatus and the two below are for huma.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType returns that of RFC 9457.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// GetHeaders returns the header fields that go with the problem.
func (p *Problem) GetHeaders() http.Header {
	h := http.Header{}
	if p.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(p.retryAfter/time.Second)))
	}
	if p.allow != "" {
		h.Set("Allow", p.allow)
	}
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="aviso"`)
	}
	return h
}

// write answers with the problem.
func (p *Problem) write(w http.ResponseWriter, r *http.Request) {
	p.RequestID = r.Header.Get(requestIDField)
	for name, values := range p.GetHeaders() {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Type", p.ContentType(""))
	w.WriteHeader(p.Status)
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.Encode(p) // whoever is gone needs no answer
}

// init teaches huma our problems. It has one kind of error for a whole process,
// and nobody else in it uses huma.
func init() {
	huma.NewError = func(status int, msg string, errs ...error) huma.StatusError {
		return fromHuma(status, msg, errs)
	}
	huma.NewErrorWithContext = func(_ huma.Context, status int, msg string, errs ...error) huma.StatusError {
		return fromHuma(status, msg, errs)
	}
}

// fromHuma turns what huma found into a problem, without the values that it
// would repeat.
func fromHuma(status int, msg string, errs []error) *Problem {
	k := &internalError
	for i := len(kinds) - 1; i >= 0; i-- {
		if kinds[i].Status == status {
			k = kinds[i]
		}
	}
	p := newProblem(k, msg)
	p.Status = cmp.Or(status, k.Status)
	if k == &internalError {
		p.Detail = "" // what it was is for the log
		return p
	}
	for _, err := range errs {
		p.Errors = append(p.Errors, problemOfHuma(err))
	}
	if k == &invalidRequest {
		p.Detail = invalid(p.Errors...).Detail
	}
	return p
}

// problemOfHuma is what huma found, without somebody's text.
func problemOfHuma(err error) FieldProblem {
	found := FieldProblem{Problem: "cannot be read"}
	d, ok := err.(huma.ErrorDetailer)
	if !ok {
		return found
	}
	detail := d.ErrorDetail()
	if len(detail.Message) <= maxMessage {
		found.Problem = detail.Message
	}
	if _, field, ok := strings.Cut(detail.Location, "."); ok {
		found.Field = quotable(field)
	}
	return found
}

// quotable shortens somebody's word so that it cannot be a device token, nor fill
// a screen.
func quotable(word string) string {
	if len(word) <= maxQuoted {
		return word
	}
	return strings.ToValidUTF8(word[:8], "") + "…"
}

// inputFields are the engine's names for what requests call so.
var inputFields = map[string]string{
	"App": "app", "Environment": "environment", "Lane": "lane", "Targets": "to", "DeviceToken": "to", "Payload": "payload",
	"SendAt": "send_at", "Expiration": "expiration", "Label": "label", "Rate": "rate", "Batch": "",
}

var inputWords = strings.NewReplacer("SendAt", `"send_at"`)

// inputProblems lists what the engine has against what was handed in, or nothing
// if the error is of another kind.
func inputProblems(err error) []FieldProblem {
	if e, ok := errors.AsType[*engine.InputError](err); ok {
		return []FieldProblem{{inputFields[e.Field], inputWords.Replace(e.Problem)}}
	}
	e, ok := errors.AsType[*apns.InvalidError](err)
	if !ok {
		return nil
	}
	return fieldProblems(message.Invalid(message.ValidationProblems(e, 0, message.KeyName)...))
}

// problemOf turns an error of the engine into a problem. what it was about is
// for "there is no such …"; with writing, an unconfirmed write is told apart.
func (a *API) problemOf(ctx context.Context, err error, what string, writing bool) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	if list := inputProblems(err); list != nil {
		return invalid(list...)
	}
	later := func(k *kind, after time.Duration) *Problem {
		p := newProblem(k, "")
		p.retryAfter = after
		return p
	}
	var p *Problem
	switch {
	case errors.Is(err, engine.ErrNotFound):
		return newProblem(&notFound, "there is no such "+what+" here, or it was so long ago that nothing is known of it any more")
	case errors.Is(err, engine.ErrConflict):
		return newProblem(&conflict, "somebody else is changing this "+what+" at this moment, and what they do is done")
	case errors.Is(err, engine.ErrBusy):
		return later(&tooBusy, busyRetry)
	case errors.Is(err, engine.ErrFull):
		return later(&queueFull, fullRetry)
	case errors.Is(err, engine.ErrClosed):
		return later(&shuttingDown, closingRetry)
	case errors.Is(err, engine.ErrStore) && writing:
		p = newProblem(&notConfirmed, "it is not known whether it was accepted")
	case errors.Is(err, engine.ErrStore), ctx.Err() != nil:
		p = later(&logUnavailable, busyRetry)
	default:
		p = newProblem(&internalError, "")
	}
	if ctx.Err() == nil { // or the client went away
		p.cause, p.what = err, what
	}
	return p
}

// note logs what an operator should know of a problem that is about to be
// answered with.
func (a *API) note(p *Problem, requestID string) {
	if p.cause != nil {
		a.log.Warn("a request failed", "about", p.what, "problem", p.Title, "error", p.cause, "request_id", requestID)
	}
}
