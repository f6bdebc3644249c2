package pool

import (
	"errors"
	"math/rand/v2"
	"time"
)

// outage is what is known about attempts that led to nothing: how many there
// were in a row, and when the next one may be made.
type outage struct {
	failures  int
	last      error
	permanent bool // trying again will not help
	nextDial  time.Time
}

// failed counts an attempt that led to nothing and sets the pause before the
// next one: doubling, with jitter, between backoffMin and most.
func (o *outage) failed(err error, permanent bool, now time.Time, most time.Duration) {
	o.failures++
	o.last, o.permanent = err, permanent
	pause := most
	if o.failures < 7 {
		pause = min(most, backoffMin<<(o.failures-1))
	}
	o.nextDial = now.Add(pause/2 + rand.N(pause/2))
}

// errConnecting stands for an attempt that has had no result yet.
var errConnecting = errors.New("the connection is not up yet: nobody answers, or very slowly")

// explain says why calls could not be sent, with the last failure if there was
// one. err may be nil.
func (o *outage) explain(err error) error {
	wait := &WaitError{o.last, o.permanent}
	switch {
	case err == nil && o.last == nil:
		return &WaitError{errConnecting, false}
	case err == nil:
		return wait
	case o.last == nil:
		return err
	}
	return errors.Join(err, wait)
}

// budget bounds the rate of all attempts: a bucket that gains one every
// dialEvery and holds dialBurst.
type budget struct {
	left float64
	at   time.Time
}

// take takes one, or returns how long to wait for it.
func (b *budget) take(now time.Time) time.Duration {
	b.left = min(dialBurst, b.left+float64(now.Sub(b.at))/float64(dialEvery))
	b.at = now
	if b.left < 1 {
		return time.Duration((1-b.left)*float64(dialEvery)) + 1
	}
	b.left--
	return 0
}

// refund gives one back.
func (b *budget) refund() { b.left = min(dialBurst, b.left+1) }

// spread returns d give or take a tenth, so that what began together does not
// end together.
func spread(d time.Duration) time.Duration { return d - d/10 + rand.N(d/5+1) }
