package apns

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"aviso.example/internal/h2"
	"aviso.example/internal/pool"
	"aviso.example/internal/retryafter"
)

const (
	// resendsAtOnce is how often a notification that was not processed goes
	// out again without a pause; a peer that refuses more often than that is
	// given time.
	resendsAtOnce = 2
	// resendPause is the first pause after that; it doubles up to a second.
	resendPause = 20 * time.Millisecond
	// retryPause is the first pause after 429 and 5xx; it doubles. Apple asks
	// for 15 minutes after a 5xx, which only callers with long deadlines can
	// grant; see maxRetryPause.
	retryPause    = time.Second
	maxRetryPause = 15 * time.Minute
	// staleAfter is how long a connection has to have been without success for
	// InternalServerError to be blamed on it; the trouble was seen at an hour.
	staleAfter = 20 * time.Minute
)

// Positions in Call.Kept, as asked for in setup.
const (
	keptUniqueID = iota
	keptRetryAfter
	keptChannelID // with HostManagement only
)

// done takes calls that have ended from the pool and settles what becomes of
// their notifications. It runs on the goroutines of the connections.
func (c *Client) done(calls []*h2.Call) {
	var ended endedJobs
	var from *connection // all calls of one Done come from the same
	for _, call := range calls {
		j := call.Owner.(*job)
		// The answer to an accepted notification is all there is to most of
		// them.
		if call.Err == nil && call.Status == http.StatusOK {
			if from == nil {
				from = owner(call)
			}
			j.attempts++
			j.uniqueID = call.Kept[keptUniqueID]
			c.end(j, nil)
			ended.add(j)
		} else if err, over := c.settle(j); over {
			c.end(j, err)
			ended.add(j)
		}
	}
	if from != nil {
		from.succeeded.Store(int64(time.Since(c.born)))
		if from.troubled.Load() > 0 {
			from.troubled.Store(0)
		}
	}
	ended.flush()
}

// finish ends a job that is not with the pool.
func (c *Client) finish(j *job, err error) {
	c.end(j, err)
	var ended endedJobs
	ended.add(j)
	ended.flush()
}

// end notes the outcome and tells the hook.
func (c *Client) end(j *job, err error) {
	switch e := err.(type) {
	case *RejectedError:
		e.Receipt, e.what = j.receipt(), j.what()
	case *NotSentError:
		e.Receipt, e.what = j.receipt(), j.what()
	case *UnknownError:
		e.Receipt, e.what = j.receipt(), j.what()
	}
	j.err = err
	if c.cfg.Hooks.OnOutcome != nil && j.request == nil {
		c.cfg.Hooks.OnOutcome(j.n, OutcomeEvent{OutcomeOf(err), j.receipt(), err, c.now().Sub(j.begun)})
	}
	if c.open.Add(-1) == 0 && c.closing.Load() {
		c.quiet()
	}
}

// settle decides what an ended call means that was not accepted. Either the notification is over, with
// the error it ends with, or it has been handed to the pool again; then the job
// must not be touched any more.
func (c *Client) settle(j *job) (err error, over bool) {
	call := &j.call
	f, _ := call.Err.(*h2.Failure)
	if f == nil {
		j.attempts++
		if j.request != nil && call.Status/100 == 2 { // 201 and 204; 200 is never seen here
			owner(call).succeeded.Store(int64(time.Since(c.born)))
			return nil, true
		}
		return c.rejected(j)
	}
	if f.NotProcessed {
		return c.notProcessed(j, f)
	}
	j.attempts++
	cause := translate(f.Cause)
	if j.unsure != nil {
		return &UnknownError{Cause: both(j.unsure, cause)}, true
	}
	if j.n.ResendUnknown || c.cfg.ResendUnknown && j.request == nil {
		j.unsure = cause // only once: a second silence is no accident
		if c.again(j, 0, RetryEvent{Attempt: j.attempts, Err: cause}) {
			return nil, false
		}
	}
	return &UnknownError{Cause: cause}, true
}

// again hands a job to the pool once more, unless its time would be up by then, or
// its caller has given up and the pool has not been told yet.
// If it returns true, the job is gone and must not be touched.
func (c *Client) again(j *job, delay time.Duration, e RetryEvent) bool {
	if !time.Now().Add(delay).Before(j.call.NotAfter) || j.call.Context.Err() != nil {
		return false
	}
	if c.cfg.Hooks.OnRetry != nil && j.request == nil {
		e.Delay = delay
		c.cfg.Hooks.OnRetry(j.n, e)
	}
	return c.pool.Again(&j.call, delay)
}

// notProcessed deals with a call that the peer certainly did not act upon.
func (c *Client) notProcessed(j *job, f *h2.Failure) (error, bool) {
	cause := translate(f.Cause)
	if f.Cause == h2.ErrOver {
		cause = because(j.call.Context)
	}
	reason := goAwayReason(f.Cause)
	if sendable(f.Cause) && !permanent(f.Cause) {
		delay := time.Duration(0)
		if j.resends++; j.resends > resendsAtOnce {
			delay = jitter(min(time.Second, resendPause<<min(10, j.resends-resendsAtOnce-1)))
		}
		if c.again(j, delay, RetryEvent{Attempt: j.attempts + j.resends, Reason: reason, Err: cause}) {
			return nil, false
		}
	}
	switch {
	case j.unsure != nil:
		// An earlier attempt may have been taken; that this one was not does
		// not change it.
		return &UnknownError{Cause: both(j.unsure, cause)}, true
	case j.rejected != nil:
		return j.rejected, true // the last thing APNs itself had to say
	}
	return &NotSentError{Reason: reason, Cause: cause}, true
}

// sendable says that a failure does not stand in the way of another attempt.
func sendable(cause error) bool {
	if _, ok := errors.AsType[*pool.WaitError](cause); ok {
		return false // waiting has been tried
	}
	for _, final := range []error{pool.ErrClosed, h2.ErrTooLate, h2.ErrOver, h2.ErrHeaderTooLarge} {
		if errors.Is(cause, final) {
			return false
		}
	}
	// Whatever ended a connection may pass; a cancelled call does not come
	// back, since the pool remembers.
	return true
}

// rejected deals with an answer that is not 200.
func (c *Client) rejected(j *job) (error, bool) {
	e := parseRejection(&j.call)
	conn, own := j.call.Conn(), owner(&j.call)
	retry := RetryEvent{Attempt: j.attempts, Status: e.Status, Reason: e.Reason}
	switch e.Reason {
	case ReasonExpiredProviderToken:
		if err := c.renew(j, own); err != nil {
			e.Cause = err
		} else if c.again(j, 0, retry) {
			return nil, false
		}
	case ReasonUnrelatedKeyIDInToken, ReasonIdleTimeout, ReasonShutdown:
		// This connection will not do; another one may.
		c.pool.Retire(conn, e.Reason)
		if !j.moved {
			j.moved = true
			if c.again(j, 0, retry) {
				return nil, false
			}
		}
	case ReasonTooManyProviderTokenUpdates:
		// Such a connection stays unusable for a while; another one may lead to
		// another server.
		c.pool.Retire(conn, e.Reason)
	case ReasonInternalServerError:
		// Connections that were idle for an hour were seen to answer nothing
		// else until they were replaced (node-apn issue 463). One that worked a
		// moment ago shares the trouble with all others, and stays.
		idle := time.Since(c.born) - time.Duration(own.succeeded.Load())
		if own.troubled.Add(1) >= 2 && idle > staleAfter {
			c.pool.Retire(conn, nil)
		}
	}
	info := e.Reason.Info(e.Status)
	if (info.Action == RetryLater || info.Action == SlowDown) && j.attempts < c.cfg.MaxAttempts {
		delay := jitter(min(maxRetryPause, retryPause<<min(20, j.attempts-1)))
		if e.RetryAfter > 0 {
			delay = e.RetryAfter + rand.N(e.RetryAfter/10+1)
		}
		j.rejected = e
		if c.again(j, delay, retry) {
			return nil, false
		}
	}
	if j.unsure != nil && info.Action != FixRequest && info.Action != DropDeviceToken {
		// This attempt failed for reasons that the unanswered one need not have
		// met. The reason is wrapped, not the rejection, so that nobody takes
		// the outcome for one.
		return &UnknownError{Cause: fmt.Errorf("%w; sent again, it was answered %d %w", j.unsure, e.Status, e.Reason)}, true
	}
	return e, true
}

// owner returns what the client notes about the connection of an ended call.
func owner(call *h2.Call) *connection { return call.Conn().Owner().(*connection) }

// maxRenewals bounds how often one notification is sent again because of its
// provider token. More than one is needed when several connections still use
// the old one.
const maxRenewals = 3

// renew prepares another attempt after ExpiredProviderToken: it makes sure that
// there is a newer provider token than the one the request carried, and retires
// every connection that still uses that one, since such a connection stays
// unusable even with a new one (pushy closes it too). It fails if there is
// nothing to be gained by trying again.
func (c *Client) renew(j *job, own *connection) error {
	used := own.used.Load()
	if used == nil || j.renewals == maxRenewals {
		return errors.New("a new provider token did not help")
	}
	refused := (*used)[j.call.Common()]
	if _, err := c.cfg.ProviderTokens.Renew(refused); err != nil {
		return err // too soon: another connection would be told the same
	}
	j.renewals++
	c.pool.RetireWhere(func(conn *h2.Conn) bool {
		list := conn.Owner().(*connection).used.Load()
		return (*list)[len(*list)-1] == refused
	})
	return nil
}

// jitter spreads a pause over its upper half, so that notifications that failed
// together do not come back together.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d/2+1) }

// parseRejection reads an answer like {"reason":"Unregistered","timestamp":…}.
func parseRejection(call *h2.Call) *RejectedError {
	e := &RejectedError{Status: call.Status}
	var body struct {
		Reason    string          `json:"reason"`
		Timestamp json.RawMessage `json:"timestamp"` // milliseconds
	}
	// An answer that is no JSON has no reason; its status still counts.
	if json.Unmarshal(call.Data, &body) == nil {
		e.Reason = Reason(body.Reason)
		if call.Status == http.StatusGone {
			e.Since = parseTimestamp(string(body.Timestamp))
		}
	}
	if value := call.Kept[keptRetryAfter]; value != "" {
		e.RetryAfter = min(retryafter.Parse(value, time.Now()), maxRetryAfter)
	}
	return e
}

// maxRetryAfter bounds what one answer can ask for.
const maxRetryAfter = 24 * time.Hour

// parseTimestamp reads milliseconds since 1970 however the number is written, as servers
// in Apple's place do; also in quotes. What is none costs the time and not the reason.
func parseTimestamp(text string) time.Time {
	ms, err := strconv.ParseFloat(strings.Trim(text, `"`), 64)
	if err != nil || ms < 1 || ms > 1<<53 {
		return time.Time{}
	}
	return time.UnixMilli(int64(ms))
}

// translate turns what lower layers say into words of this package.
func translate(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, pool.ErrClosed), errors.Is(err, h2.ErrClosed):
		return ErrClosed
	case errors.Is(err, h2.ErrTimeout):
		return ErrTimeout
	case errors.Is(err, h2.ErrTooLate):
		if w, ok := errors.AsType[*pool.WaitError](err); ok {
			return both(ErrNoTime, translate(w.Last))
		}
		return ErrNoTime
	}
	if w, ok := errors.AsType[*pool.WaitError](err); ok {
		return translate(w.Last)
	}
	if _, ok := errors.AsType[*ConnectError](err); !ok {
		// TLS 1.3 refuses a client after its side of the handshake is done.
		if hint := refusal(err); hint != "" {
			return &ConnectError{Stage: "tls", Hint: hint, Err: err}
		}
	}
	if g, ok := errors.AsType[*h2.GoAwayError](err); ok {
		return &GoAwayError{Reason: goAwayReason(err), Code: g.Code.String(), LastStreamID: g.LastStreamID, Debug: string(g.Debug)}
	}
	return err
}

// GoAwayError is APNs ending a connection. It reaches callers when the
// notification could not be sent elsewhere, and hooks always.
type GoAwayError struct {
	// Reason is Apple's word, if the debug data held one.
	Reason Reason
	// Code is the HTTP/2 error code's name (RFC 9113 section 7). NO_ERROR does
	// not mean that nothing is wrong: APNs uses it for refused certificates.
	Code         string
	LastStreamID uint32
	// Debug is the debug data: JSON, plain text or nothing.
	Debug string
}

// Error gives code and debug data.
func (e *GoAwayError) Error() string {
	s := "APNs ended the connection with GOAWAY (" + e.Code
	if e.Debug != "" {
		s += ", " + strconv.Quote(e.Debug)
	}
	return s + ")"
}

// Unwrap returns Reason, if there is one.
func (e *GoAwayError) Unwrap() error {
	if e.Reason == "" {
		return nil
	}
	return e.Reason
}

// goAwayReason returns the reason in GOAWAY's debug data, which is JSON, plain
// text or empty.
func goAwayReason(err error) Reason {
	g, ok := errors.AsType[*h2.GoAwayError](err)
	if !ok {
		return ""
	}
	var body struct {
		Reason string `json:"reason"`
	}
	if json.Unmarshal(g.Debug, &body) != nil {
		return ""
	}
	return Reason(body.Reason)
}
