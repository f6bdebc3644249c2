package webpush

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Outcome is what became of a message.
type Outcome uint8

// The four outcomes, as in package apns.
const (
	// Accepted: the push service took it. It does not mean that a browser has it.
	Accepted Outcome = iota + 1
	// Rejected: the push service refused it.
	Rejected
	// NotSent: it was certainly not processed; sending it again is safe.
	NotSent
	// Unknown: it was handed to the connection and no answer came, or that of a
	// gateway which does not know either; sending it again may duplicate it.
	Unknown
)

// String returns accepted, rejected, not_sent or unknown.
func (o Outcome) String() string {
	switch o {
	case Accepted:
		return "accepted"
	case Rejected:
		return "rejected"
	case NotSent:
		return "not_sent"
	case Unknown:
		return "unknown"
	}
	return fmt.Sprintf("Outcome(%d)", uint8(o))
}

// MarshalText returns String.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText reads what String returns.
func (o *Outcome) UnmarshalText(text []byte) error {
	for known := Accepted; known <= Unknown; known++ {
		if known.String() == string(text) {
			*o = known
			return nil
		}
	}
	return errors.New("an outcome is accepted, rejected, not_sent or unknown")
}

// OutcomeOf tells the outcome from the error of Send: nil is Accepted. An error
// from elsewhere is Unknown, the outcome that promises nothing.
func OutcomeOf(err error) Outcome {
	if err == nil {
		return Accepted
	}
	if _, ok := errors.AsType[*UnknownError](err); ok {
		return Unknown
	}
	if _, ok := errors.AsType[*NotSentError](err); ok {
		return NotSent
	}
	if _, ok := errors.AsType[*RejectedError](err); ok {
		return Rejected
	}
	return Unknown
}

// Receipt is what is known of a message whatever its outcome.
type Receipt struct {
	// Host is the push service.
	Host string
	// ID is the apns-id of Apple's answer; other push services have none.
	ID string
	// Status is the HTTP status of the last answer, or 0.
	Status int
	// Attempts is how many times the push service answered it or may have
	// processed it; attempts that it certainly did not process do not count.
	Attempts int

	location *string
}

// MessageURL is where the push service keeps the accepted message, from the
// field Location (RFC 8030 section 5), or empty. Whoever has it can delete the
// message: it is a secret, and not printed with the receipt. One that the client
// would not connect to as an endpoint is left out. That looks at the URL alone:
// whoever requests it should look at the address, too, if Config.Hosts is empty.
func (r Receipt) MessageURL() string {
	if r.location == nil {
		return ""
	}
	return *r.location
}

// RejectedError is the outcome Rejected. Status is always set.
type RejectedError struct {
	Receipt
	// Reason is Apple's word, verbatim; empty if the answer held none.
	Reason Reason
	// Detail is the beginning of what another push service wrote into its answer,
	// in one line and without what is secret.
	Detail string
	// RetryAfter is what the answer asked for, or zero.
	RetryAfter time.Duration
	// Cause adds what the client knows about it, or is nil.
	Cause error
}

// Gone reports whether the subscription should be forgotten: status 404 or 410
// (RFC 8030 section 7.3). The browser will make another one when the page asks.
// It is false for Apple's BadPath, which says that the endpoint was damaged on
// its way, and true for nothing else: not for a key that does not fit.
func (e *RejectedError) Gone() bool { return e.Reason.Info(e.Status).Action == DropSubscription }

// Action is what to do about it.
func (e *RejectedError) Action() Action { return e.Reason.Info(e.Status).Action }

// Advice says what to do about it in a sentence.
func (e *RejectedError) Advice() string { return e.Reason.Info(e.Status).Advice }

// Error gives host, status, word, meaning and advice.
func (e *RejectedError) Error() string {
	info := e.Reason.Info(e.Status)
	var b strings.Builder
	fmt.Fprintf(&b, "%s rejected the message: %d", e.Host, e.Status)
	if e.Reason != "" {
		fmt.Fprintf(&b, " %s", string(e.Reason))
	}
	fmt.Fprintf(&b, " (%s). %s", info.Meaning, info.Advice)
	if e.RetryAfter > 0 {
		fmt.Fprintf(&b, " It asks to wait for %v.", e.RetryAfter.Round(time.Second))
	}
	if e.Detail != "" {
		fmt.Fprintf(&b, " It says: %s", e.Detail)
	}
	if e.Cause != nil {
		fmt.Fprintf(&b, " (%v)", e.Cause)
	}
	return b.String()
}

// Unwrap returns Reason and Cause.
func (e *RejectedError) Unwrap() (errs []error) {
	if e.Reason != "" {
		errs = append(errs, e.Reason)
	}
	if e.Cause != nil {
		errs = append(errs, e.Cause)
	}
	return errs
}

// NotSentError is the outcome NotSent: the message was never handed to a
// connection whole, or refused before processing, or is invalid.
type NotSentError struct {
	Receipt
	// Cause says why: an *InvalidError, a *ForbiddenError, the context's error
	// and so on.
	Cause error
}

// Error says why.
func (e *NotSentError) Error() string {
	return fmt.Sprintf("the message%s was not sent: %v", toHost(e.Host), e.Cause)
}

// Unwrap returns Cause.
func (e *NotSentError) Unwrap() error { return e.Cause }

// UnknownError is the outcome Unknown: nobody can tell whether the push service
// took the message.
type UnknownError struct {
	Receipt
	// Cause says why no answer came.
	Cause error
}

// Error says why and warns of duplicates.
func (e *UnknownError) Error() string {
	return fmt.Sprintf("it is unknown whether %s took the message (sending it again may duplicate it): %v", e.Host, e.Cause)
}

// Unwrap returns Cause.
func (e *UnknownError) Unwrap() error { return e.Cause }

func toHost(host string) string {
	if host == "" {
		return ""
	}
	return " to " + host
}

// because returns why a context is done. A cause that is itself the outcome of a
// message (the first error of an errgroup, say) is kept as text only, or one
// subscription's 410 would pass for another's.
func because(ctx context.Context) error {
	cause := context.Cause(ctx)
	_, rejected := errors.AsType[*RejectedError](cause)
	_, notSent := errors.AsType[*NotSentError](cause)
	_, unknown := errors.AsType[*UnknownError](cause)
	if rejected || notSent || unknown {
		return fmt.Errorf("%w, because of another message: %v", ctx.Err(), cause)
	}
	return cause
}

// both joins two causes in one line.
func both(a, b error) error { return fmt.Errorf("%w; %w", a, b) }

// Problem is one thing that is wrong with input.
type Problem struct {
	// Field is the Go name of the field, or the path of the JSON key.
	Field string
	// Message says what is wrong, the limit, and the likely mistake. It does not
	// quote what may be secret.
	Message string
}

// InvalidError lists everything that is wrong with a subscription, a message, a
// payload or a Config.
type InvalidError struct {
	// What is "subscription", "receiver", "message", "declarative message" or
	// "Config".
	What     string
	Problems []Problem
}

// Error lists all problems.
func (e *InvalidError) Error() string {
	var b strings.Builder
	b.WriteString("the " + e.What + " is invalid: ")
	for i, p := range e.Problems {
		if i > 0 {
			b.WriteString("; ")
		}
		if p.Field != "" {
			b.WriteString(p.Field + " ")
		}
		b.WriteString(p.Message)
	}
	return b.String()
}

// problems gathers what is wrong.
type problems []Problem

func (p *problems) add(field, format string, args ...any) {
	*p = append(*p, Problem{field, fmt.Sprintf(format, args...)})
}

// in returns the error for what was found, or nil.
func (p problems) in(what string) error {
	if len(p) == 0 {
		return nil
	}
	return &InvalidError{what, p}
}

// gatewayError is the cause of Unknown when a gateway in front of the push service
// passed the request on and got no answer, or none that it understood.
type gatewayError struct {
	status int
	detail string
}

func (e *gatewayError) Error() string {
	text := fmt.Sprintf("a gateway answered %d, so the push service may have had it", e.status)
	if e.detail != "" {
		text += "; it says: " + e.detail
	}
	return text
}

// Errors that NotSentError and UnknownError wrap.
var (
	// ErrClosed: the client was closed.
	ErrClosed = errors.New("the client is closed")
	// ErrStopped: the loop over SendAll was left.
	ErrStopped = errors.New("the batch was stopped")
	// ErrTimeout: no answer came within Config.RequestTimeout, or before the
	// deadline. It is a context.DeadlineExceeded for errors.Is.
	ErrTimeout error = timeoutError("the push service did not answer in time")
	// ErrNoTime: it could not be sent, or sent again, before the deadline or within
	// its TTL. It is a context.DeadlineExceeded for errors.Is.
	ErrNoTime error = timeoutError("there was no time left to send it")
	// ErrRefused: the push service refused the request unread, as a server does
	// that shuts down or has too much to do.
	ErrRefused = errors.New("the push service refused the request unread")
)

// timeoutError makes it irrelevant who noticed first that time was up, the
// caller's context or the client.
type timeoutError string

func (e timeoutError) Error() string        { return string(e) }
func (e timeoutError) Timeout() bool        { return true }
func (e timeoutError) Is(target error) bool { return target == context.DeadlineExceeded }
