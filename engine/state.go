package engine

import (
	"errors"
	"fmt"
	"time"

	"aviso.example/apns"
)

// State is where a notification is. docs/state-machine.md draws how they follow
// each other.
type State uint8

// The states. The first four go on by themselves, the others are ends, except
// that a person may have a dead letter sent again.
const (
	Queued    State = iota + 1 // on disk, waiting for its turn
	Scheduled                  // on disk, waiting for its time
	Sending                    // on its way to APNs
	Retrying                   // an attempt failed in a way that may pass; another follows
	Accepted                   // APNs took it; whether a device has it, nobody knows
	Rejected                   // APNs refused it, or would have
	Expired                    // its time was over before APNs took it
	Cancelled                  // called back before it was sent
	Unknown                    // it was written, no answer came, and it must not be doubled
)

var stateNames = [...]string{Queued: "queued", Scheduled: "scheduled", Sending: "sending", Retrying: "retrying", Accepted: "accepted", Rejected: "rejected", Expired: "expired", Cancelled: "cancelled", Unknown: "unknown"}

// String returns the state's word.
func (s State) String() string {
	if s > 0 && int(s) < len(stateNames) {
		return stateNames[s]
	}
	return fmt.Sprintf("State(%d)", uint8(s))
}

// Final says that nothing follows by itself.
func (s State) Final() bool { return s >= Accepted }

// MarshalText returns String.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what String returns.
func (s *State) UnmarshalText(text []byte) error {
	for i, name := range stateNames {
		if i > 0 && name == string(text) {
			*s = State(i)
			return nil
		}
	}
	return fmt.Errorf("there is no state %q", text)
}

const (
	// firstPause is before the second attempt; it doubles with each further one.
	firstPause = time.Second
	// maxPause bounds it. Apple asks for 15 minutes after a 5xx.
	maxPause = 15 * time.Minute
	// tokenUpdatePause follows TooManyProviderTokenUpdates, which lasts 20
	// minutes from the first change of provider tokens.
	tokenUpdatePause = 5 * time.Minute
	// configurationPause follows an answer that condemns the credential and with
	// it every other notification; somebody has to act before another attempt
	// can do better.
	configurationPause = time.Minute
)

// decision is what follows an attempt.
type decision struct {
	state  State
	status int
	reason apns.Reason
	// detail says in words what was not answered.
	detail string
	// retryAt, with Retrying, is when the next attempt is due.
	retryAt time.Time
	// deadSince, with Rejected, is since when the device token is dead.
	deadSince time.Time
	// blame says who has to act.
	blame blame
	// patience, with blamePeer, is how long APNs asks everybody to wait.
	patience time.Duration
	// waitsForGate says that another attempt is due as soon as others succeed, or
	// somebody has put right what is wrong, and at retryAt in any case.
	waitsForGate bool
	// noWay says that there was no connection, so that all others fail alike.
	noWay bool
	// counts says that it was an attempt; what was certainly not processed is
	// none.
	counts bool
	// buried says that a person can have it sent again.
	buried bool
}

// blame is what an outcome says about more than one notification.
type blame uint8

const (
	blameNobody     blame = iota
	blameCredential       // key, certificate, team or clock: nothing can be sent with it
	blameTopic            // topic or environment: others will probably fail alike
	blamePeer             // APNs, or the way to it, has trouble
)

// credentialReasons condemn the credential, not the notification.
var credentialReasons = map[apns.Reason]bool{
	apns.ReasonBadCertificate: true, apns.ReasonBadCertificateEnvironment: true, apns.ReasonExpiredProviderToken: true,
	apns.ReasonForbidden: true, apns.ReasonInvalidProviderToken: true, apns.ReasonMissingProviderToken: true,
	apns.ReasonUnrelatedKeyIDInToken: true, apns.ReasonBadEnvironmentKeyIDInToken: true, apns.ReasonBadEnvironmentKeyInToken: true,
}

// attempt is what is decided about.
type attempt struct {
	err         error // of the client
	earlier     uint32
	now, until  time.Time // until: there is no point in sending after it
	dropUnknown bool
	// spread, from 0 to 1, is how much longer than it has to be the pause is, up to half:
	// not all try again at once. It is a lease's, as each time at which something of it
	// is due costs a write.
	spread float64
}

// decide says what follows an attempt: contract 3 of the project, as a function.
func decide(a attempt) (d decision) {
	var pause time.Duration
	switch e := a.err.(type) {
	case nil:
		return decision{state: Accepted, status: 200, counts: true}
	case *apns.RejectedError:
		info := e.Reason.Info(e.Status)
		d = decision{state: Rejected, status: e.Status, reason: e.Reason, counts: true}
		switch {
		case credentialReasons[e.Reason] || e.Status == 403:
			// It says nothing about this notification, which waits for a better
			// credential.
			d.blame, pause = blameCredential, configurationPause
		case e.Reason == apns.ReasonTooManyProviderTokenUpdates:
			d.blame, pause, d.patience = blamePeer, tokenUpdatePause, tokenUpdatePause
		case info.Action == apns.SlowDown:
			pause = backOff(a.earlier)
		case info.Action == apns.RetryLater:
			d.blame, pause, d.patience = blamePeer, backOff(a.earlier), e.RetryAfter
		case info.Action == apns.DropDeviceToken:
			d.deadSince = e.Since
		case info.Action == apns.FixConfiguration:
			d.blame, d.buried = blameTopic, true
		}
		if pause > 0 {
			pause = max(pause, e.RetryAfter)
		}
	case *apns.UnknownError:
		d = decision{state: Unknown, counts: true, detail: text(e.Cause)}
		if !a.dropUnknown {
			pause = backOff(a.earlier)
		}
	case *apns.NotSentError:
		d = decision{state: Expired, reason: e.Reason, detail: text(e.Cause)}
		if invalid, ok := errors.AsType[*apns.InvalidError](e.Cause); ok {
			// It was checked before it was accepted, so this is a rule that
			// changed with a new version, or an expiration that has passed.
			d.state, d.detail = Rejected, invalid.Error()
			if !a.until.After(a.now) {
				d.state = Expired
			}
			return d
		}
		d.blame, pause = blamePeer, backOff(min(a.earlier, 3))
		_, d.noWay = errors.AsType[*apns.ConnectError](e.Cause)
		if credentialReasons[e.Reason] || isCredential(e.Cause) {
			d.blame, pause = blameCredential, configurationPause
		}
	default:
		d = decision{state: Unknown, counts: true, detail: text(a.err)}
	}
	if pause == 0 {
		return d
	}
	d.state, d.retryAt = Retrying, dueTogether(a.now, a.now.Add(pause+time.Duration(a.spread*float64(pause/2))))
	if !d.retryAt.Before(a.until) {
		d.state, d.buried, d.retryAt = Expired, true, time.Time{}
	}
	return d
}

// dueTogether rounds the time of another attempt up to a whole second, which is what
// the log's clock counts, and more the further it is away: those that are due about
// the same time go together, or each round of retries would leave smaller chunks
// behind.
func dueTogether(now, at time.Time) time.Time {
	step := max(time.Second, at.Sub(now)/8).Truncate(time.Second)
	return at.Add(step - time.Nanosecond).Truncate(step)
}

// isUnknown says that nobody can know whether a notification was processed.
func isUnknown(err error) bool {
	_, unknown := errors.AsType[*apns.UnknownError](err)
	return unknown
}

// backOff is the pause after so many attempts.
func backOff(earlier uint32) time.Duration { return min(maxPause, firstPause<<min(earlier, 20)) }

// isCredential tells a connection that was refused because of who we are.
func isCredential(err error) bool {
	e, ok := errors.AsType[*apns.ConnectError](err)
	return ok && e.Stage == "credential"
}

// maxDetail bounds what is kept of an error, in bytes.
const maxDetail = 200

func text(err error) string {
	if err == nil {
		return ""
	}
	s := err.Error()
	if len(s) > maxDetail {
		s = s[:maxDetail-3] + "…"
	}
	return s
}
