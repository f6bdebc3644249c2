package apns

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Outcome is what became of a notification.
type Outcome uint8

// The four outcomes.
const (
	// Accepted: APNs took it. It does not mean that a device has it.
	Accepted Outcome = iota + 1
	// Rejected: APNs refused it, with a reason.
	Rejected
	// NotSent: it was certainly not processed; sending it again is safe.
	NotSent
	// Unknown: it was written and no answer came; sending it again may
	// duplicate it.
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

// OutcomeOf tells the outcome from the error of Push: nil is Accepted. An error
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

// Receipt is what is known of a notification whatever its outcome.
type Receipt struct {
	// ID is the apns-id it was sent under (the apns-request-id of a broadcast),
	// made by the client if the caller set none.
	ID ID
	// UniqueID is the apns-unique-id that the sandbox returns: the key for the
	// delivery log in Apple's Push Notifications Console. Empty in production,
	// where only broadcasts have one.
	UniqueID string
	// Attempts is how many times APNs answered it or may have processed it;
	// attempts that APNs certainly did not process do not count.
	Attempts int
}

// RejectedError is the outcome Rejected.
type RejectedError struct {
	Receipt
	// Status is the HTTP status.
	Status int
	// Reason is Apple's word, verbatim; empty if the answer held none.
	Reason Reason
	// Since, with status 410, is when APNs learned that the device token is no
	// longer active; otherwise zero.
	Since time.Time
	// RetryAfter is what the answer asked for, or zero.
	RetryAfter time.Duration
	// Cause adds what the client knows about it, or is nil.
	Cause error

	what string
}

// Action is what to do about it.
func (e *RejectedError) Action() Action { return e.Reason.Info(e.Status).Action }

// Advice says what to do about it in a sentence.
func (e *RejectedError) Advice() string { return e.Reason.Info(e.Status).Advice }

// DropDeviceToken reports whether the device token should be forgotten, given
// when the app last registered it: only with status 410, and only if APNs saw
// it inactive after that. It is never true for BadDeviceToken, which usually
// means the wrong environment.
func (e *RejectedError) DropDeviceToken(registered time.Time) bool {
	return e.Status == 410 && !e.Since.IsZero() && e.Since.After(registered)
}

// Error gives status, Apple's word, its meaning and advice.
func (e *RejectedError) Error() string {
	info := e.Reason.Info(e.Status)
	if e.Reason == "" && e.Status < 500 && e.Status != 429 {
		return fmt.Sprintf("the server rejected %s: %d without a reason. APNs always gives one; is the endpoint APNs, or did something in between answer?", subject(e.what), e.Status)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "APNs rejected %s: %d %s", subject(e.what), e.Status, e.Reason.Error())
	if !e.Since.IsZero() {
		fmt.Fprintf(&b, " since %s", e.Since.UTC().Format(time.RFC3339))
	}
	fmt.Fprintf(&b, " (%s). %s", info.Meaning, info.Advice)
	if e.Cause != nil {
		fmt.Fprintf(&b, " %v.", e.Cause)
	}
	return b.String()
}

// Unwrap returns Reason and Cause.
func (e *RejectedError) Unwrap() []error { return list(e.Reason, e.Cause) }

// NotSentError is the outcome NotSent: the notification was never written
// whole, or refused before processing, or is invalid.
type NotSentError struct {
	Receipt
	// Reason is set if APNs said in GOAWAY why it refuses the connection.
	Reason Reason
	// Cause says why: an *InvalidError, a *ConnectError, the context's error
	// and so on.
	Cause error

	what string
}

// Error says why, and gives advice where there is a reason.
func (e *NotSentError) Error() string {
	if e.Reason != "" {
		info := e.Reason.Info(0)
		return fmt.Sprintf("%s was not sent: APNs ended the connection with %s (%s). %s", subject(e.what), e.Reason, info.Meaning, info.Advice)
	}
	return fmt.Sprintf("%s was not sent: %v", subject(e.what), e.Cause)
}

// Unwrap returns Reason, if any, and Cause.
func (e *NotSentError) Unwrap() []error { return list(e.Reason, e.Cause) }

// UnknownError is the outcome Unknown: the notification was written, and nobody
// can tell whether APNs took it.
type UnknownError struct {
	Receipt
	// Cause says why no answer came.
	Cause error

	what string
}

// Error says why and warns of duplicates.
func (e *UnknownError) Error() string {
	return fmt.Sprintf("it is unknown whether APNs took %s (sending it again may duplicate it): %v", subject(e.what), e.Cause)
}

// Unwrap returns Cause.
func (e *UnknownError) Unwrap() error { return e.Cause }

// subject is what an error speaks of; outcomes made by hand speak of a
// notification.
func subject(what string) string { return cmp.Or(what, "the notification") }

// because returns why a context is done. A cause that is itself the outcome of
// a notification (the first error of an errgroup, say) is kept as text only, or
// one device's 410 would pass for another's.
func because(ctx context.Context) error {
	cause := context.Cause(ctx)
	_, rejected := errors.AsType[*RejectedError](cause)
	_, notSent := errors.AsType[*NotSentError](cause)
	_, unknown := errors.AsType[*UnknownError](cause)
	if rejected || notSent || unknown {
		return fmt.Errorf("%w, because of another notification: %v", ctx.Err(), cause)
	}
	return cause
}

// both joins two causes in one line.
func both(a, b error) error { return fmt.Errorf("%w; %w", a, b) }

func list(r Reason, cause error) (errs []error) {
	if r != "" {
		errs = append(errs, r)
	}
	if cause != nil {
		errs = append(errs, cause)
	}
	return errs
}

// Problem is one thing that is wrong with a notification or a Config.
type Problem struct {
	// Field is the Go name of the field.
	Field string
	// Message says what is wrong, the limit, and the likely mistake. It does
	// not quote the value.
	Message string
}

// InvalidError lists everything that is wrong with a notification; nothing was
// sent.
type InvalidError struct {
	Problems []Problem
}

// Error lists all problems.
func (e *InvalidError) Error() string {
	var b strings.Builder
	b.WriteString("it is invalid: ")
	for i, p := range e.Problems {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(p.Field + " " + p.Message)
	}
	return b.String()
}

// Errors that NotSentError and UnknownError wrap.
var (
	// ErrClosed: the client was closed.
	ErrClosed = errors.New("the client is closed")
	// ErrStopped: the loop over PushAll was left.
	ErrStopped = errors.New("the batch was stopped")
	// ErrTimeout: no answer came within Config.RequestTimeout, or before the
	// deadline. It is a context.DeadlineExceeded for errors.Is.
	ErrTimeout error = timeoutError("APNs did not answer in time")
	// ErrNoTime: it could not be sent before the deadline or its expiration. It
	// is a context.DeadlineExceeded for errors.Is.
	ErrNoTime error = timeoutError("it could not be sent in time")
)

// timeoutError makes it irrelevant who noticed first that time was up, the
// caller's context or the client.
type timeoutError string

func (e timeoutError) Error() string        { return string(e) }
func (e timeoutError) Timeout() bool        { return true }
func (e timeoutError) Is(target error) bool { return target == context.DeadlineExceeded }

// ConnectError says why no connection to APNs could be had.
type ConnectError struct {
	// Stage is how far it got: dns, tcp, proxy, tls, http2, or credential.
	Stage string
	// Address is host and port; empty if the refusal came on a connection that
	// stood already.
	Address string
	// Hint guesses the mistake; it may be empty.
	Hint string
	Err  error
}

// Error gives stage, address, cause and hint.
func (e *ConnectError) Error() string {
	where := ""
	if e.Address != "" {
		where = " to " + e.Address
	}
	s := fmt.Sprintf("no connection%s (%s): %v", where, e.Stage, e.Err)
	if e.Hint != "" {
		s += ". " + e.Hint
	}
	return s
}

// Unwrap returns Err.
func (e *ConnectError) Unwrap() error { return e.Err }
