package service

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Problem is a refusal in the form of RFC 9457. It repeats nothing of the request
// but names of fields. Its type is about:blank: the status says what kind it is.
type Problem struct {
	Status int
	// Detail says what went wrong this time, and the likely mistake.
	Detail string
	// Errors has all that was found wrong.
	Errors []FieldProblem
	// Allow lists the methods that fit, with 405.
	Allow []string
	// RetryAfter is when to come back, or zero; with 503. Whole seconds count.
	RetryAfter time.Duration

	scheme Scheme // with 401
}

// FieldProblem is about one field or one part of the path.
type FieldProblem struct {
	// Field is its name in Apple's documentation.
	Field string `json:"field"`
	// Problem completes the sentence that begins with the field's name.
	Problem string `json:"problem"`
}

// Invalid is the answer 400 with everything that is wrong.
func Invalid(errs ...FieldProblem) *Problem {
	detail := make([]string, len(errs))
	for i, e := range errs {
		detail[i] = e.Field + " " + e.Problem
	}
	return &Problem{Status: http.StatusBadRequest, Detail: strings.Join(detail, "; "), Errors: errs}
}

// NoSuchPath is the answer 404 to a path that is none of the service's. what
// describes those that are.
func NoSuchPath(what string) *Problem {
	return &Problem{Status: http.StatusNotFound, Detail: "there is no such path here; " + what}
}

// WrongMethod is the answer 405.
func WrongMethod(allow ...string) *Problem {
	return &Problem{
		Status: http.StatusMethodNotAllowed, Allow: allow,
		Detail: fmt.Sprintf("the method does not fit the path; it takes %s", strings.Join(allow, ", ")),
	}
}

// Unavailable is the answer 503: it is not the device's fault, and the device
// tries again. What it was is for the log.
func Unavailable() *Problem {
	return &Problem{Status: http.StatusServiceUnavailable, Detail: "the service cannot answer at the moment", RetryAfter: time.Minute}
}

// Error says status and detail.
func (p *Problem) Error() string { return fmt.Sprintf("%d: %s", p.Status, p.Detail) }

// Write answers with the problem.
func (p *Problem) Write(w http.ResponseWriter) {
	h := w.Header()
	if p.scheme != "" {
		h.Set("WWW-Authenticate", string(p.scheme))
	}
	if len(p.Allow) > 0 {
		h.Set("Allow", strings.Join(p.Allow, ", "))
	}
	if p.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(p.RetryAfter/time.Second)))
	}
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(p.Status)
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.Encode(struct { // whoever is gone needs no answer
		Title  string         `json:"title"`
		Status int            `json:"status"`
		Detail string         `json:"detail,omitempty"`
		Errors []FieldProblem `json:"errors,omitempty"`
	}{http.StatusText(p.Status), p.Status, p.Detail, p.Errors})
}
