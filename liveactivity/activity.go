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

// Snapshot returns what Resume needs.
func (a *Activity[A, S]) Snapshot() Snapshot {
	a.mu.Lock()
	defer a.mu.Unlock()
	return Snapshot{a.phase, a.clock.last, a.deviceToken, a.onChannel}
}

// Start starts the activity with a push to the device's push-to-start device token
// (iOS 17.2). It is started once: afterwards Start returns ErrStarted, also when
// the outcome was Unknown, since another could put two activities on the device.
// After NotSent or Rejected it may be called again, for example with a
// push-to-start device token that the app has reported since.
func (a *Activity[A, S]) Start(ctx context.Context, pushToStartDeviceToken string, attributes A, state S, o StartOptions) (apns.Receipt, error) {
	a.mu.Lock()
	if a.phase != Fresh || a.starting {
		a.mu.Unlock()
		return apns.Receipt{}, ErrStarted
	}
	a.starting = true
	timestamp := a.clock.next()
	a.mu.Unlock()

	updates := payload.UpdatesByDeviceToken()
	if o.ChannelID != "" {
		updates = payload.UpdatesByChannel(o.ChannelID)
	}
	receipt, err := a.push(ctx, pushToStartDeviceToken, payload.LiveActivityStart{
		Timestamp: timestamp, AttributesType: a.cfg.AttributesType, Attributes: attributes, ContentState: state,
		Updates: updates, StaleDate: o.StaleDate, RelevanceScore: o.RelevanceScore, Alert: o.Alert,
	}, cmp.Or(o.Priority, apns.PriorityImmediate), o.Expiration)

	a.mu.Lock()
	defer a.mu.Unlock()
	a.starting = false
	if outcome := outcomeOf(err); (outcome == apns.Accepted || outcome == apns.Unknown) && a.phase == Fresh {
		a.phase, a.onChannel = Running, o.ChannelID != ""
	}
	return receipt, err
}

// Follow tells the update device token that the app has reported, the first one
// or another. What waited for it is sent, and the error is about that; what could
// not be sent goes on waiting, for another Follow or for something newer.
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
	if err != nil {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.keep(waiting)
	}
	return err
}

// Update sends a new state, complete and not a difference.
//
// While no update device token is known, it returns ErrWaiting and the newest
// state goes out with Follow. If the device token answers 410, the app has another
// one by now or the activity is over: the state waits for Follow too, and the
// error is APNs's.
func (a *Activity[A, S]) Update(ctx context.Context, state S, o UpdateOptions) (apns.Receipt, error) {
	a.mu.Lock()
	if err := a.open(); err != nil {
		a.mu.Unlock()
		return apns.Receipt{}, err
	}
	m := &message[S]{timestamp: a.clock.next(), state: state, update: o}
	a.mu.Unlock()
	return a.send(ctx, m)
}

// End ends the activity with a final state, which stays on the lock screen for up
// to four hours. It is sent once, by whoever comes first; others get ErrEnded, and
// so do updates from now on. After NotSent, Rejected or Unknown the activity runs
// on and End may be called again; a second end that reaches the device is ignored
// there. While no update device token is known, it returns ErrWaiting and the end
// goes out with Follow.
func (a *Activity[A, S]) End(ctx context.Context, state S, o EndOptions) (apns.Receipt, error) {
	a.mu.Lock()
	if err := a.open(); err != nil {
		a.mu.Unlock()
		return apns.Receipt{}, err
	}
	a.phase = Ending
	m := &message[S]{timestamp: a.clock.next(), state: state, end: &o}
	a.mu.Unlock()
	return a.send(ctx, m)
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

// maxFollows bounds how often one message is sent again because the device token
// has changed under it.
const maxFollows = 3

// send sends a message to the device token that is known, or keeps it.
func (a *Activity[A, S]) send(ctx context.Context, m *message[S]) (apns.Receipt, error) {
	for follows := 0; ; follows++ {
		a.mu.Lock()
		to := a.deviceToken
		if to == "" {
			a.keep(m)
			a.mu.Unlock()
			return apns.Receipt{}, ErrWaiting
		}
		a.mu.Unlock()
		receipt, err := a.push(ctx, to, m.payload(), m.priority(), m.expiration())
		if again := a.settle(m, to, err); !again || follows == maxFollows {
			return receipt, err
		}
	}
}

// settle notes an outcome, and says whether to send to another device token that
// has become known meanwhile.
func (a *Activity[A, S]) settle(m *message[S], to string, err error) (again bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if outcomeOf(err) == apns.Accepted {
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
	if m.end != nil {
		a.phase = Running // may be tried again
	}
	return false
}

// keep keeps a message until a device token is known, unless there is a newer one.
func (a *Activity[A, S]) keep(m *message[S]) {
	if a.phase == Ended {
		return
	}
	if a.pending == nil || m.timestamp.After(a.pending.timestamp) {
		a.pending = m
	}
}

func (a *Activity[A, S]) push(ctx context.Context, to string, p apns.Payload, priority apns.Priority, expiration apns.Expiration) (apns.Receipt, error) {
	n, err := apns.NewNotification(to, p)
	if err != nil {
		return apns.Receipt{}, err
	}
	n.BundleID, n.Priority, n.Expiration = a.cfg.BundleID, priority, expiration
	return a.cfg.Sender.Push(ctx, n)
}

// outcomeOf is apns.OutcomeOf, but for errors of payloads, which were not sent.
func outcomeOf(err error) apns.Outcome {
	if _, ok := errors.AsType[*payload.InvalidError](err); ok {
		return apns.NotSent
	}
	return apns.OutcomeOf(err)
}

// activityPayload is an update or an end, for a device or a channel.
type activityPayload interface {
	apns.Payload
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
