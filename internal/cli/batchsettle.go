package cli

import (
	"errors"
	"fmt"

	"aviso.example/apns"
	"aviso.example/internal/message"
)

// badLine deals with a line that says nothing that could be sent.
func (b *batchRun) badLine(l *line) {
	v := verdict{DeviceToken: l.message.To, Outcome: apns.NotSent, Error: l.err.Error(), invalid: true}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sum.Lines++
	b.invalid(l, &v)
	b.recycle(l)
}

// settle takes one outcome.
func (b *batchRun) settle(r *apns.Result) {
	l := r.Notification.Tag.(*line)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sum.Lines++
	if r.Outcome == apns.Accepted {
		b.sum.Accepted++
		b.record(l)
		b.recycle(l)
		return
	}
	v := newVerdict(r.Notification, r.Receipt, r.Err, message.KeyWords)
	switch {
	case v.invalid:
		b.invalid(l, &v)
	case v.Outcome == apns.NotSent && b.state != nil:
		// It stays open for the next run, which would send it twice if it stood
		// in the failures too.
		b.sum.Open++
		b.sum.add(&v, class(&v, r.Err))
	default:
		b.write(l, &v)
		b.record(l)
		b.sum.add(&v, class(&v, r.Err))
	}
	b.giveUp(&v, r.Err)
	b.recycle(l)
}

// invalid notes a line that nothing was sent for.
func (b *batchRun) invalid(l *line, v *verdict) {
	if b.sum.Invalid++; b.sum.Invalid <= shownBadLines {
		b.progress.clear()
		b.app.warnf("line %d: %s", l.number, v.Error)
		if b.sum.Invalid == shownBadLines {
			b.app.warnf("further bad lines are only counted here; --failures lists all")
		}
	}
	b.write(l, v)
	b.record(l)
	if b.sum.Invalid == hopeless && b.sum.Lines == hopeless {
		text := fmt.Sprintf("the first %d lines are all wrong (%s)", hopeless, v.Error)
		if b.state != nil {
			text += "; remove the file of --resume to begin anew"
		}
		b.halt(stopped(text))
	}
}

// giveUp stops the batch when going on would do harm or no good.
func (b *batchRun) giveUp(v *verdict, err error) {
	connect, noConnection := errors.AsType[*apns.ConnectError](err)
	switch {
	case v.Outcome == apns.NotSent && noConnection:
		b.halt(stopped(oneLine(connect.Error())))
	case v.Outcome == apns.NotSent && v.Action == apns.FixConfiguration:
		b.halt(stopped(fmt.Sprintf("APNs refuses the connection: %s. %s", v.Reason, v.Advice)))
	case v.Outcome == apns.Rejected && v.Action == apns.FixConfiguration && b.sum.Accepted == 0 &&
		b.sum.Rejected >= hopeless && b.sum.misconfigured == b.sum.Rejected:
		b.halt(stopped(fmt.Sprintf("the first %d answers all say that the configuration is wrong (the last one %s). %s", b.sum.Rejected, v.Reason, v.Advice)))
	}
}

// write adds to --failures, and record to the state of --resume, in this order:
// a crash in between leaves a line that is listed and sent again, rather than
// one that is neither.
func (b *batchRun) write(l *line, v *verdict) { b.check(b.failures.write(l, v)) }

func (b *batchRun) record(l *line) { b.check(b.state.record(l.number)) }

// check stops the batch when the disk does not take what must not be lost.
func (b *batchRun) check(err error) {
	if err != nil && b.broken == nil {
		b.broken = err
		b.halt(stopped(err.Error()))
	}
}

func (b *batchRun) recycle(l *line) {
	l.notification = apns.Notification{}
	l.original, l.err = nil, nil
	b.free.Put(l)
}
