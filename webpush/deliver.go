package webpush

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"
)

// delivery is one message on its way to one subscription.
type delivery struct {
	client       *Client
	above        context.Context // ends with the caller's, the batch's and the client's
	subscription *subscription
	message      *Message

	receipt     Receipt
	begun       time.Time
	until       time.Time // in a batch: moved on by the time that it waits for its turn
	body        []byte    // encrypted; made when there is room to send it
	unprocessed int       // attempts that the push service did not act on
	pauses      int       // for the back-off
	failed      error     // why an attempt was not processed
	unknown     error     // why an attempt got no answer
	rejected    *RejectedError
}

// run makes attempts until one settles the matter.
func (d *delivery) run(ctx context.Context) error {
	d.begun = time.Now()
	o := d.client.origins.enter(d.subscription)
	defer d.client.origins.leave(o)
	for {
		pause, err := d.try(ctx, o)
		if err == nil {
			return nil
		}
		if pause < 0 {
			return d.end(err)
		}
		if cause := d.wait(ctx, pause); cause != nil {
			return d.end(cause)
		}
	}
}

// end is the outcome if there is no other attempt. What may have been processed
// once stays Unknown, whatever became of it later; and a refusal says more than
// that there was no time left.
func (d *delivery) end(cause error) error {
	switch {
	case d.unknown != nil:
		if cause != d.unknown {
			// As text: a refusal that could be found in it would pass for the outcome.
			cause = fmt.Errorf("%w; then: %v", d.unknown, cause)
		}
		return &UnknownError{d.receipt, cause}
	case d.rejected != nil:
		d.rejected.Receipt = d.receipt
		if cause != error(d.rejected) {
			d.rejected.Cause = cause
		}
		return d.rejected
	}
	if d.failed != nil && cause != d.failed {
		cause = both(d.failed, cause)
	}
	return &NotSentError{d.receipt, cause}
}

// settle tells try's caller that there is no point in another attempt.
const settle = -1

// try makes one attempt. It returns nil if the message was accepted; otherwise
// how long to wait before the next attempt, or settle.
func (d *delivery) try(ctx context.Context, o *origin) (pause time.Duration, err error) {
	c := d.client
	// The origin's room first: who waits for a slow origin must not hold room that
	// others could use.
	var turn context.Context
	var came func()
	for {
		if pause := o.resting(time.Now()); pause > 0 {
			if cause := d.wait(ctx, pause); cause != nil {
				return settle, fmt.Errorf("%w: the push service wants to be left alone for another %v", cause, pause.Round(time.Second))
			}
		}
		turn, came = d.queue(ctx, o)
		defer came()
		if o.room.Acquire(turn, 1) != nil {
			return settle, because(turn)
		}
		if o.resting(time.Now()) == 0 {
			break
		}
		o.room.Release(1) // it asked for that while this message waited
		came()
	}
	defer o.room.Release(1)
	if d.body == nil && !d.message.Empty { // here, since the door would let one at a time
		if d.body, err = Encrypt(wrap(d.subscription), d.message.Payload, d.message.Padding); err != nil {
			return settle, err
		}
	}
	through, err := o.enter(turn)
	if err != nil {
		return settle, err
	}
	defer through()
	if c.room.Acquire(turn, 1) != nil {
		return settle, because(turn)
	}
	defer c.room.Release(1)
	came()
	if !d.until.IsZero() {
		var done context.CancelFunc
		ctx, done = context.WithDeadlineCause(ctx, d.until, ErrNoTime)
		defer done()
	}
	if cause := d.over(ctx); cause != nil { // which does not keep a semaphore from saying yes
		return settle, cause
	}

	now := time.Now()
	if err := o.down(now); err != nil {
		return settle, err
	}
	ttl := d.message.lifetime()
	if ttl > 0 {
		if ttl -= now.Sub(d.begun); ttl <= 0 {
			return settle, ErrNoTime
		}
	}
	credential, err := c.signer.authorization(o.name, now)
	if err != nil {
		return settle, err
	}
	attempt, cancel := context.WithTimeoutCause(ctx, c.cfg.RequestTimeout, ErrTimeout)
	defer cancel()
	x := &exchange{origin: o, through: through, over: func() bool { return d.over(ctx) != nil }}
	answer, fate, err := x.do(attempt, d.subscription, d.header(credential, ttl), d.body)
	if fate == fateAnswered {
		return d.answered(o, answer, credential)
	}
	err = plainly(err, scrubber(d.subscription, credential.authorization))
	if fate == fateLost {
		d.receipt.Attempts++
		d.unknown = err
		if ctx.Err() != nil || !c.cfg.ResendUnknown || d.receipt.Attempts >= c.cfg.MaxAttempts {
			return settle, d.unknown
		}
		return d.again(d.backoff(), d.unknown)
	}
	return d.notProcessed(ctx, o, x.conns.Load() > 0, err)
}

// over returns why nothing may be begun any more, or nil. The message's own context
// is not enough: see package endwith.
func (d *delivery) over(own context.Context) error {
	for _, ctx := range [...]context.Context{d.above, own} {
		if ctx.Err() != nil {
			return because(ctx)
		}
	}
	return nil
}

// queue returns the context of a wait for a turn, and what to call when it is over.
// In a batch, the time does not count as long as the origin takes messages: the
// others of the batch are in front, and all of them would be late together.
func (d *delivery) queue(ctx context.Context, o *origin) (turn context.Context, came func()) {
	if d.until.IsZero() {
		return ctx, func() {}
	}
	begun := time.Now()
	turn, cancel := context.WithCancelCause(ctx)
	var mu sync.Mutex
	var timer *time.Timer
	mu.Lock()
	defer mu.Unlock()
	timer = time.AfterFunc(d.until.Sub(begun), func() {
		mu.Lock()
		defer mu.Unlock()
		left := d.client.cfg.Timeout - time.Since(o.took())
		switch {
		case turn.Err() != nil:
		case left > 0:
			timer.Reset(left)
		default:
			cancel(ErrNoTime)
		}
	})
	return turn, sync.OnceFunc(func() {
		mu.Lock()
		defer mu.Unlock()
		timer.Stop()
		cancel(nil)
		if took := o.took(); took.After(begun) {
			d.until = d.until.Add(took.Sub(begun))
		}
	})
}

// header is what RFC 8030 section 5 and RFC 8292 section 3 ask for.
func (d *delivery) header(c *credential, ttl time.Duration) http.Header {
	m := d.message
	h := http.Header{
		"Authorization": {c.authorization},
		// Rounded up: a second more does no harm, and 0 would mean now or never.
		"Ttl":        {strconv.FormatInt(int64((ttl+time.Second-1)/time.Second), 10)},
		"User-Agent": {"aviso"},
	}
	if !m.Empty {
		h["Content-Encoding"] = []string{"aes128gcm"}
		h["Content-Type"] = []string{"application/octet-stream"}
	}
	if m.Urgency != "" {
		h["Urgency"] = []string{string(m.Urgency)}
	}
	if m.Topic != "" {
		h["Topic"] = []string{m.Topic}
	}
	return h
}

// answered judges an answer.
func (d *delivery) answered(o *origin, a *answer, c *credential) (time.Duration, error) {
	d.receipt.Attempts++
	d.receipt.Status = a.status
	if !retryable(a.status) && !gateway(a.status) {
		o.takes(time.Now())
	}
	scrub := scrubber(d.subscription, c.authorization)
	if id := oneLine(scrub.Replace(a.id), 64); id != "" {
		d.receipt.ID = id
	}
	if a.status >= 200 && a.status < 300 {
		d.receipt.location = d.client.guard.resolve(d.subscription.url, a.location)
		return 0, nil
	}
	reason, detail := a.explain(scrub)
	if gateway(a.status) {
		d.unknown = &gatewayError{a.status, detail}
		if !d.client.cfg.ResendUnknown || d.receipt.Attempts >= d.client.cfg.MaxAttempts {
			return settle, d.unknown
		}
		return d.again(d.pauseAfter(a), d.unknown)
	}
	d.rejected = &RejectedError{Receipt: d.receipt, Reason: reason, Detail: detail, RetryAfter: a.retryAfter}
	if a.status == http.StatusServiceUnavailable && a.retryAfter > 0 {
		o.rest(time.Now().Add(min(a.retryAfter, maxRest))) // it speaks for all messages
	}
	if !retryable(a.status) || d.receipt.Attempts >= d.client.cfg.MaxAttempts {
		return settle, d.rejected
	}
	return d.again(d.pauseAfter(a), d.rejected)
}

// pauseAfter is what an answer asks for, or else the back-off.
func (d *delivery) pauseAfter(a *answer) time.Duration {
	if a.retryAfter > 0 {
		return a.retryAfter
	}
	return d.backoff()
}

// notProcessed judges an attempt that the push service did not act on: tried
// again, at once the first time if there was a connection, which had just been
// closed or told to stop.
func (d *delivery) notProcessed(ctx context.Context, o *origin, connected bool, err error) (time.Duration, error) {
	if cause := d.over(ctx); cause != nil {
		return settle, cause
	}
	d.failed = err
	d.unprocessed++
	switch {
	case hopeless(err) || d.unprocessed > maxUnprocessed:
		return settle, err
	// Who waited in vain for a connection that others use has learned nothing.
	case !connected && !errors.Is(err, ErrTimeout) && o.failed(time.Now(), err):
		return settle, err
	case connected && d.unprocessed == 1:
		return d.again(0, err)
	case connected:
		pause := min(refusedMin<<(d.unprocessed-2), refusedMax)
		return d.again(pause-rand.N(pause/2), err)
	}
	return d.again(d.backoff(), err)
}

// hopeless reports whether the next attempt would end in the same way.
func hopeless(err error) bool {
	if _, ok := errors.AsType[*ForbiddenError](err); ok {
		return true
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	dns, ok := errors.AsType[*net.DNSError](err)
	return ok && dns.IsNotFound
}

// again tells the log that there will be another attempt.
func (d *delivery) again(pause time.Duration, err error) (time.Duration, error) {
	args := []any{"host", d.receipt.Host, "attempts", d.receipt.Attempts, "pause", pause}
	if r, ok := errors.AsType[*RejectedError](err); ok {
		args = append(args, "status", r.Status, "reason", string(r.Reason))
	} else {
		args = append(args, "err", err)
	}
	d.client.cfg.Logger.Info("a message will be sent again", args...)
	return pause, err
}

// backoff doubles, with jitter.
func (d *delivery) backoff() time.Duration {
	pause := min(backoffMin<<min(d.pauses, 16), backoffMax)
	d.pauses++
	return pause - rand.N(pause/2)
}

// wait waits, and returns why it did not: a wait that would end after the
// deadline or the message's life is not begun.
func (d *delivery) wait(ctx context.Context, pause time.Duration) error {
	if cause := d.over(ctx); cause != nil {
		return cause
	}
	if pause == 0 {
		return nil
	}
	until := time.Now().Add(pause)
	if deadline, ok := ctx.Deadline(); ok && until.After(deadline) || !d.until.IsZero() && until.After(d.until) {
		return ErrNoTime
	}
	if until.Sub(d.begun) > d.message.lifetime() {
		return ErrNoTime
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return because(ctx)
	}
}

// resolve makes an absolute URL of the field Location, or nil of one that could not
// be an endpoint: the peer is a stranger, and whoever uses it connects to it.
func (g *guard) resolve(endpoint *url.URL, location string) *string {
	if location == "" || len(location) > maxEndpoint {
		return nil
	}
	u, err := endpoint.Parse(location)
	if err != nil {
		return nil
	}
	text := u.String()
	var p problems
	if u = parseEndpoint(&p, text); u == nil || g.checkEndpoint(&subscription{url: u}) != nil {
		return nil
	}
	return &text
}
