package liveactivity

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"aviso.example/apns"
	"aviso.example/payload"
)

// Activity is one Live Activity on one device. A and S are the app's attributes
// and content state. It is safe for concurrent use; no call waits for another.
type Activity[A, S any] struct {
	cfg Config

	mu          sync.Mutex
	clock       clock
	phase       Phase
	starting    bool
	deviceToken string // for updates; empty while none is known
	onChannel   bool
	pending     *message[S] // to be sent when a device token is known
}

// message is an update or the end. It keeps its timestamp when it has to wait or is
// sent again, so that it never passes for newer than it is.
type message[S any] struct {
	timestamp time.Time
	// body is made when the message is handed in: that is who can mend a state
	// which cannot be sent, not who tells a device token later, and until then the
	// state may have changed.
	body []byte
	// waits says that whoever handed it in was told it goes out with Follow.
	waits bool

	state  S
	update UpdateOptions
	end    *EndOptions // nil for an update
}

// New makes the keeper of an activity that has not been started, or that the app
// starts by itself.
func New[A, S any](cfg Config) (*Activity[A, S], error) {
	return Resume[A, S](cfg, Snapshot{Phase: Fresh})
}

// Snapshot is what a server has to store to go on with an activity after a
// restart. It holds a whole device token, which belongs into no log.
type Snapshot struct {
	Phase Phase `json:"phase"`
	// Timestamp of the last push, in UNIX seconds.
	Timestamp         int64  `json:"timestamp"`
	UpdateDeviceToken string `json:"update_device_token,omitempty"`
	OnChannel         bool   `json:"on_channel,omitempty"`
}

// Resume makes the keeper of an activity from a Snapshot. A state that waited for
// an update device token is not part of it: send the present one with Update.
func Resume[A, S any](cfg Config, from Snapshot) (*Activity[A, S], error) {
	if cfg.Sender == nil {
		return nil, errors.New("liveactivity: Config.Sender is missing: it is the *apns.Client that sends")
	}
	a := &Activity[A, S]{
		cfg: cfg, clock: newClock(cfg.Now, from.Timestamp), phase: cmp.Or(from.Phase, Fresh),
		deviceToken: from.UpdateDeviceToken, onChannel: from.OnChannel,
	}
	switch a.phase {
	case Fresh, Running, Ended:
	case Ending:
		a.phase = Running // whether the end was sent is not known; it may be sent again
	default:
		return nil, errors.New("liveactivity: Snapshot.Phase is none of fresh, running, ending and ended")
	}
	return a, nil
}

// Snapshot returns what Resume needs. While a start is on its way, it says that the
// activity runs, since after a restart nobody could tell, and another start could
// put two on the device.
func (a *Activity[A, S]) Snapshot() Snapshot {
	a.mu.Lock()
	defer a.mu.Unlock()
	phase := a.phase
	if phase == Fresh && a.starting {
		phase = Running
	}
	return Snapshot{phase, a.clock.last, a.deviceToken, a.onChannel}
}

// Start starts the activity with a push to the device's push-to-start device token
// (iOS 17.2). It is started once: afterwards Start returns ErrStarted, also when
// the outcome was Unknown, since another could put two activities on the device.
// After NotSent or Rejected it may be called again, for example with a
// push-to-start device token that the app has reported since. After End it returns
// ErrEnded.
func (a *Activity[A, S]) Start(ctx context.Context, pushToStartDeviceToken string, attributes A, state S, o StartOptions) (apns.Receipt, error) {
	a.mu.Lock()
	if a.phase == Ending || a.phase == Ended {
		a.mu.Unlock()
		return apns.Receipt{}, ErrEnded
	}
	if a.phase != Fresh || a.starting {
		a.mu.Unlock()
		return apns.Receipt{}, ErrStarted
	}
	// Who updates it from now on has to use the channel: no update device token
	// will come that a state could wait for.
	a.starting, a.onChannel = true, o.ChannelID != ""
	timestamp := a.clock.next()
	a.mu.Unlock()

	updates := payload.UpdatesByDeviceToken()
	if o.ChannelID != "" {
		updates = payload.UpdatesByChannel(o.ChannelID)
	}
	var receipt apns.Receipt
	body, err := payload.LiveActivityStart{
		Timestamp: timestamp, AttributesType: a.cfg.AttributesType, Attributes: attributes, ContentState: state,
		Updates: updates, StaleDate: o.StaleDate, RelevanceScore: o.RelevanceScore, Alert: o.Alert,
	}.JSON()
	if err != nil {
		err = notSent(err)
	} else {
		receipt, err = a.push(ctx, pushToStartDeviceToken, body, cmp.Or(o.Priority, apns.PriorityImmediate), o.Expiration)
	}

	a.mu.Lock()
	defer a.mu.Unlock()
	a.starting = false
	if outcome := apns.OutcomeOf(err); outcome != apns.Accepted && outcome != apns.Unknown {
		a.onChannel = false
		return receipt, err
	}
	if a.phase == Fresh {
		a.phase = Running
	}
	if p := a.pending; p != nil && !p.timestamp.After(timestamp) {
		a.pending = nil // overtaken
	}
	return receipt, err
}

// Follow tells the update device token that the app has reported, the first one
// or another. What waited for it is sent, and the error is about that; what could
// not be sent goes on waiting, an update for another Follow or for something newer,
// the end for another Follow or another End. Only what never can be sent, since its
// Expiration has passed, say, waits no longer.
func (a *Activity[A, S]) Follow(ctx context.Context, updateDeviceToken string) error {
	if p := apns.CheckDeviceToken(updateDeviceToken); p != nil {
		return &apns.InvalidError{Problems: []apns.Problem{*p}}
	}
	a.mu.Lock()
	if a.phase == Ended {
		a.mu.Unlock()
		return ErrEnded
	}
	a.deviceToken, a.onChannel = updateDeviceToken, false
	if a.phase == Fresh {
		a.phase = Running // the app has started it
	}
	waiting := a.pending
	a.pending = nil
	a.mu.Unlock()
	if waiting == nil {
		return nil
	}
	_, err := a.send(ctx, waiting)
	return err
}

// Update sends a new state, complete and not a difference.
//
// While no update device token is known, it returns ErrWaiting and the newest
// state goes out with Follow. If the device token answers 410, the app has another
// one by now or the activity is over: the state waits for Follow too, and the
// error is APNs's.
func (a *Activity[A, S]) Update(ctx context.Context, state S, o UpdateOptions) (apns.Receipt, error) {
	m := &message[S]{state: state, update: o}
	if err := a.begin(m); err != nil {
		return apns.Receipt{}, err
	}
	return a.send(ctx, m)
}

// End ends the activity with a final state, which stays on the lock screen for up
// to four hours. It is sent once, by whoever comes first; others get ErrEnded, and
// so do updates from now on. After NotSent, Rejected or Unknown the activity runs
// on and End may be called again; a second end that reaches the device is ignored
// there. While no update device token is known, it returns ErrWaiting and the end
// goes out with Follow; if it could not be sent then, End may be called again too.
func (a *Activity[A, S]) End(ctx context.Context, state S, o EndOptions) (apns.Receipt, error) {
	m := &message[S]{state: state, end: &o}
	if err := a.begin(m); err != nil {
		return apns.Receipt{}, err
	}
	return a.send(ctx, m)
}

// begin gives a message its timestamp and makes its body, or says why it is not
// sent. All that happens at once, so that no update with a newer timestamp slips
// past an end: the device would ignore the end then.
func (a *Activity[A, S]) begin(m *message[S]) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	// An end that Follow could not send can be replaced: whoever ends the
	// activity need not wait for the app to report another device token.
	replaces := m.end != nil && a.deviceToken != "" && a.pending != nil && a.pending.end != nil
	if !replaces {
		if err := a.open(); err != nil {
			return err
		}
	}
	m.timestamp = a.clock.next()
	var err error
	if m.body, err = m.payload().JSON(); err != nil {
		return notSent(err)
	}
	if m.end != nil {
		a.phase = Ending
	}
	if replaces {
		a.pending, m.waits = nil, true
	}
	return nil
}

// open says why no more can be sent, or nil.
func (a *Activity[A, S]) open() error {
	switch {
	case a.phase == Ending || a.phase == Ended:
		return ErrEnded
	case a.onChannel:
		return ErrOnChannel
	}
	return nil
}

// send sends a message to the device token that is known, or keeps it.
func (a *Activity[A, S]) send(ctx context.Context, m *message[S]) (apns.Receipt, error) {
	for {
		a.mu.Lock()
		to := a.deviceToken
		if to == "" {
			a.keep(m)
			a.mu.Unlock()
			return apns.Receipt{}, ErrWaiting
		}
		a.mu.Unlock()
		receipt, err := a.push(ctx, to, m.body, m.priority(), m.expiration())
		if !a.settle(m, to, err) {
			return receipt, err
		}
	}
}

// settle notes an outcome, and says whether to send to another device token that
// has become known meanwhile.
func (a *Activity[A, S]) settle(m *message[S], to string, err error) (again bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if apns.OutcomeOf(err) == apns.Accepted {
		if m.end != nil {
			a.phase = Ended
		}
		if a.pending != nil && !a.pending.timestamp.After(m.timestamp) {
			a.pending = nil // overtaken
		}
		return false
	}
	if rejected, ok := errors.AsType[*apns.RejectedError](err); ok && rejected.Status == http.StatusGone {
		if a.deviceToken != to {
			return true
		}
		a.deviceToken = ""
		a.keep(m)
		return false
	}
	_, never := errors.AsType[*apns.InvalidError](err)
	switch {
	case m.waits && !never:
		a.keep(m) // it was promised
	case m.end != nil:
		a.phase = Running // may be tried again
	}
	return false
}

// keep keeps a message until a device token is known, unless there is a newer one.
func (a *Activity[A, S]) keep(m *message[S]) {
	if a.phase == Ended {
		return
	}
	m.waits = true
	if a.pending == nil || m.timestamp.After(a.pending.timestamp) {
		a.pending = m
	}
}

func (a *Activity[A, S]) push(ctx context.Context, to string, body []byte, priority apns.Priority, expiration apns.Expiration) (apns.Receipt, error) {
	return a.cfg.Sender.Push(ctx, &apns.Notification{
		DeviceToken: to, BundleID: a.cfg.BundleID, PushType: apns.PushTypeLiveActivity,
		Payload: body, Priority: priority, Expiration: expiration,
	})
}

// notSent makes the outcome of what is wrong with a payload, which must not pass for
// Unknown.
func notSent(err error) error { return &apns.NotSentError{Cause: err} }

// activityPayload is an update or an end, for a device or a channel.
type activityPayload interface {
	JSON() ([]byte, error)
	payload.Broadcast
}

func (m *message[S]) payload() activityPayload {
	if m.end != nil {
		return payload.LiveActivityEnd{
			Timestamp: m.timestamp, ContentState: m.state, DismissalDate: m.end.DismissalDate, Alert: m.end.Alert,
		}
	}
	return payload.LiveActivityUpdate{
		Timestamp: m.timestamp, ContentState: m.state, StaleDate: m.update.StaleDate,
		RelevanceScore: m.update.RelevanceScore, Alert: m.update.Alert,
	}
}

// priority spares the budget where it does no harm.
func (m *message[S]) priority() apns.Priority {
	switch {
	case m.end != nil:
		return cmp.Or(m.end.Priority, apns.PriorityImmediate)
	case m.update.Alert != nil:
		return cmp.Or(m.update.Priority, apns.PriorityImmediate)
	}
	return cmp.Or(m.update.Priority, apns.PriorityConserve)
}

func (m *message[S]) expiration() apns.Expiration {
	if m.end != nil {
		return m.end.Expiration
	}
	return m.update.Expiration
}
