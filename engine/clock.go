package engine

import (
	"context"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// clockLook is how often the clock is compared with the time that passes.
	clockLook = time.Second
	// clockStep is how far it has to be put back to count: what is below is over soon.
	clockStep = time.Second
)

// runClock watches whether the clock is put back, until ctx is done. The log keeps what is
// due by the clock, so that what is to be tried again in a second would otherwise wait for
// as long as the clock has to come up to that again.
func (l *later) runClock(ctx context.Context) {
	back := l.clockWasBack
	last := time.Now()
	for ctx.Err() == nil {
		if back {
			l.engine.log.Warn("the clock was put back; what is to be tried again is tried now")
			if err := l.putBack(ctx, time.Now()); err != nil {
				l.engine.complain(ctx, "what waits for a time that the clock has left cannot be queued", err)
				pause(ctx, troublePause)
				continue
			}
		}
		pause(ctx, clockLook)
		now := time.Now()
		// Times that come from the clock alone have no monotonic reading.
		back = now.Round(0).Sub(last.Round(0)) < now.Sub(last)-clockStep
		last = now
	}
}

// wasPutBack says that something was written at a time that has not come yet: while no
// engine ran, the clock was put back.
func (l *later) wasPutBack(ctx context.Context, now time.Time) (bool, error) {
	info, err := l.stream.Info(ctx)
	if err != nil {
		return false, storeError(err)
	}
	return info.State.LastTime.After(now.Add(clockStep)), nil
}

// putBack has retries go on that were written at a time later than now. What is scheduled
// stays, since its time is the clock's.
func (l *later) putBack(ctx context.Context, now time.Time) error {
	subjects, err := l.subjects(ctx, subjectLater+">")
	if err != nil {
		return err
	}
	moves, ctx := errgroup.WithContext(ctx)
	moves.SetLimit(movesAtOnce)
	for _, subject := range subjects {
		if isFirstRound(subject) {
			continue
		}
		moves.Go(func() error {
			msg, c, err := l.at(ctx, subject)
			if err != nil || c == nil || !msg.Time.After(now) {
				return err
			}
			return l.earlier(ctx, subject)
		})
	}
	return moves.Wait()
}

// isFirstRound says that a subject is of notifications that were not tried yet; see
// laterSubject.
func isFirstRound(subject string) bool {
	parts := strings.Split(subject, ".")
	return len(parts) < 3 || parts[len(parts)-3] == "0"
}
