package webservice

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"aviso.example/apns"
)

// payloadOfUpdate is all there is to say: the device asks for the rest ("Adding a
// Web Service to Update Passes").
var payloadOfUpdate = []byte("{}")

// round pushes once what is due for one type. Two goroutines work on it: PushAll's
// runs the input, which claims a page when the last one is used up, and the caller's
// settles outcomes. So memory is bounded by PushAll's window and two pages, however
// many devices there are.
type round struct {
	updater *Updater
	typ     string
	sender  Sender

	stop   atomic.Bool // trouble: claim no more
	inARow int         // outcomes that the next push would have too

	// Of the input; the caller's once PushAll has returned.
	left     []Push // claimed and not handed over
	claimErr error

	settled []Settlement
	report  Report
}

func (r *round) run(ctx context.Context) error {
	var settleErr error
	for result := range r.sender.PushAll(ctx, func(yield func(*apns.Notification) bool) { r.feed(ctx, yield) }) {
		r.outcome(ctx, result)
		if len(r.settled) >= page && settleErr == nil {
			if settleErr = r.settle(ctx); settleErr != nil {
				r.stop.Store(true) // without a store there is no use in pushing
			}
		}
	}
	for _, p := range r.left {
		r.settled = append(r.settled, Settlement{Push: p, Verdict: Returned})
	}
	if settleErr == nil {
		settleErr = r.settle(ctx)
	}
	return errors.Join(r.claimErr, settleErr)
}

// feed claims pages and hands them over. One that ctx ended before, or that trouble
// did, goes back.
func (r *round) feed(ctx context.Context, yield func(*apns.Notification) bool) {
	u := r.updater
	for ctx.Err() == nil && !r.stop.Load() {
		now := u.cfg.Now()
		claimed, err := u.cfg.Store.Claim(ctx, r.typ, page, now, now.Add(u.cfg.Lease))
		if err != nil {
			if ctx.Err() == nil {
				r.claimErr = fmt.Errorf("webservice: what is to be pushed could not be looked up: %w", err)
			}
			return
		}
		if len(claimed) == 0 {
			return
		}
		r.left = claimed
		for len(r.left) > 0 {
			if r.stop.Load() || ctx.Err() != nil {
				return
			}
			p := r.left[0]
			r.left = r.left[1:]
			n := &apns.Notification{
				DeviceToken: p.DeviceToken, Topic: r.typ, PushType: u.cfg.PushType, Payload: payloadOfUpdate,
				ResendUnknown: true, // a second one does no harm
				Tag:           p,
			}
			if !yield(n) {
				return
			}
		}
	}
}

// outcome decides what follows.
func (r *round) outcome(ctx context.Context, result apns.Result) {
	p, ok := result.Notification.Tag.(Push)
	if !ok {
		return // a Sender made it up
	}
	u := r.updater
	now := u.cfg.Now()
	s := Settlement{Push: p, Verdict: Told}
	trouble := false
	switch result.Outcome {
	case apns.Accepted:
		r.report.Accepted++
	case apns.Rejected:
		r.report.Rejected++
		rejected, _ := errors.AsType[*apns.RejectedError](result.Err)
		s.Verdict, s.Time, trouble = afterRejection(p, rejected)
	case apns.NotSent:
		r.report.NotSent++
		_, invalid := errors.AsType[*apns.InvalidError](result.Err)
		switch {
		case invalid: // the next attempt would be invalid too
		case ctx.Err() != nil:
			s.Verdict = Returned
		default:
			s.Verdict, trouble = Later, true
		}
	default:
		r.report.Unknown++
		s.Verdict = Later
		if ctx.Err() != nil {
			s.Verdict = Returned
		}
	}
	switch s.Verdict {
	case Later:
		s.Time = now.Add(retryAfter(p.Attempts))
		r.report.Again++
	case Returned:
		r.report.Again++
	}
	r.settled = append(r.settled, s)
	if trouble {
		if r.inARow++; r.inARow >= maxTrouble && !r.stop.Swap(true) {
			r.report.Trouble = result.Err
		}
	} else if result.Outcome != apns.Unknown {
		r.inARow = 0
	}
	if u.cfg.OnOutcome != nil {
		o := PushOutcome{Push: p, Outcome: result.Outcome, Err: result.Err, Verdict: s.Verdict}
		if s.Verdict == Later {
			o.Again = s.Time
		}
		u.cfg.OnOutcome(o)
	}
}

// afterRejection decides what follows a refusal; trouble says that the next push may
// well be refused as well. Only a 410 drops a device. BadDeviceToken says that the
// device token is malformed or of the other environment, which is a mistake of this
// side (contract 4): it drops nobody, and when all are refused so, the round ends
// before APNs has heard all of them.
//
// All pushes are alike but for the device token. So what APNs finds wrong with the
// request is no more about the device than a certificate that expired, and a push is
// given up only for what may be the device's.
func afterRejection(p Push, e *apns.RejectedError) (v Verdict, since time.Time, trouble bool) {
	if e == nil {
		return Later, time.Time{}, false
	}
	patient := false
	switch action := e.Action(); {
	case e.DropDeviceToken(p.Registered):
		return Gone, e.Since, false
	case e.Reason == apns.ReasonDeviceTokenNotForTopic:
		return Told, time.Time{}, false // another attempt would say the same
	case action == apns.DropDeviceToken || e.Reason == apns.ReasonTooManyRequests:
	case e.Reason == apns.ReasonBadDeviceToken || action == apns.FixRequest:
		trouble = true // and yet it may be this one alone
	default:
		trouble, patient = true, true
	}
	if !patient && p.Attempts+1 >= maxAttempts {
		return Told, time.Time{}, trouble
	}
	return Later, time.Time{}, trouble
}

// retryAfter doubles from firstRetry to lastRetry, less up to a fifth, so that what
// failed together does not come back together.
func retryAfter(attempts int) time.Duration {
	d := min(firstRetry<<min(attempts, 20), lastRetry)
	return d - rand.N(d/5)
}

// settle writes down what became of the pushes so far, even if ctx has ended: they
// would be pushed again.
func (r *round) settle(ctx context.Context) error {
	if len(r.settled) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	removed, err := r.updater.cfg.Store.Settle(ctx, r.settled)
	r.report.Removed += removed
	r.settled = r.settled[:0]
	if err != nil {
		return fmt.Errorf("webservice: what became of pushes could not be stored, so they will be pushed again: %w", err)
	}
	return nil
}
