package sim

import (
	"cmp"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"aviso.example/internal/proto"
)

// ActivityState is the state of a Live Activity on a device.
type ActivityState string

// States of a Live Activity.
const (
	ActivityActive ActivityState = "active"
	// ActivityStale is active, and its stale-date has passed.
	ActivityStale ActivityState = "stale"
	// ActivityEnded shows its final state and takes no more updates.
	ActivityEnded ActivityState = "ended"
	// ActivityDismissed is gone from the lock screen; its update device token
	// answers 410.
	ActivityDismissed ActivityState = "dismissed"
)

// Activity is a Live Activity on a simulated device, as its person sees it.
type Activity struct {
	ID string `json:"id"`
	// DeviceToken is the device: the push-to-start device token that started it,
	// or the one named when the app did.
	DeviceToken string        `json:"device_token"`
	BundleID    string        `json:"bundle_id"`
	State       ActivityState `json:"state"`
	// UpdateDeviceToken takes its updates, unless it listens to a channel. The
	// system may change it; see Server.RenewUpdateDeviceToken.
	UpdateDeviceToken string `json:"update_device_token,omitempty"`
	ChannelID         string `json:"channel_id,omitempty"`

	AttributesType string   `json:"attributes_type,omitempty"`
	Attributes     Payload  `json:"attributes,omitempty"`
	ContentState   Payload  `json:"content_state,omitempty"`
	RelevanceScore *float64 `json:"relevance_score,omitempty"`
	// Timestamp is that of the newest state, in UNIX seconds; 0 if the app
	// started it and no push has come.
	Timestamp int64 `json:"timestamp"`
	// StaleDate and DismissalDate are UNIX seconds; 0 for none.
	StaleDate     int64     `json:"stale_date,omitempty"`
	DismissalDate int64     `json:"dismissal_date,omitempty"`
	Started       time.Time `json:"started"`
	Ended         time.Time `json:"ended,omitzero"`
	// Updates counts the pushes that changed it, Ignored those that did not, and
	// LastIgnored says why the last one of these did not.
	Updates     int    `json:"updates"`
	Ignored     int    `json:"ignored"`
	LastIgnored string `json:"last_ignored,omitempty"`
}

// ActivityStart is a Live Activity that an app starts by itself, without a push.
type ActivityStart struct {
	// DeviceToken names the device; an unknown one appears.
	DeviceToken string
	// BundleID of the app; with a ChannelID it may be empty.
	BundleID string
	// ChannelID, if set, is where its updates come from; else it gets an update
	// device token.
	ChannelID                string
	AttributesType           string
	Attributes, ContentState Payload
}

// ErrUnknownActivity is returned for an id that no Live Activity has.
var ErrUnknownActivity = errors.New("sim: no such Live Activity")

// maxActivities bounds the Live Activities kept; pushes beyond it start none.
const maxActivities = 200_000

type activity struct {
	Activity // State is filled in by view
	env      Environment
	owner    *device
	update   *device // has the update device token
	channel  *channel
	caughtUp *Notification // of the channel
	renewals int
}

// state is what has become of it by now: an activity ends by itself after eight
// hours, and leaves the lock screen four hours after its end ("Displaying live
// data with Live Activities").
func (a *activity) state(now time.Time) ActivityState {
	gone := a.dismissed()
	switch {
	case !gone.After(now):
		return ActivityDismissed
	case !a.Ended.IsZero(), !now.Before(a.Started.Add(proto.ActivityMax)):
		return ActivityEnded
	case a.StaleDate != 0 && a.StaleDate <= now.Unix():
		return ActivityStale
	}
	return ActivityActive
}

// dismissed is when it leaves the lock screen, as things are.
func (a *activity) dismissed() time.Time {
	ended := a.Ended
	if ended.IsZero() {
		ended = a.Started.Add(proto.ActivityMax)
	}
	latest := ended.Add(proto.ActivityLingers)
	switch at := time.Unix(a.DismissalDate, 0); {
	case a.DismissalDate == 0 || at.After(latest):
		return latest
	case at.Before(ended):
		return ended
	default:
		return at
	}
}

func (a *activity) view(now time.Time) Activity {
	v := a.Activity
	v.State = a.state(now)
	return v
}

// begin makes an activity on a device. It is subscribed to ch, or gets an update
// device token.
func (d *Devices) begin(owner *device, env Environment, bundleID string, ch *channel, channelID string, now time.Time) (*activity, error) {
	if len(d.activities) >= maxActivities {
		return nil, fmt.Errorf("sim: there are %d Live Activities already", maxActivities)
	}
	d.activitySeq++
	a := &activity{env: env, owner: owner, channel: ch, Activity: Activity{
		ID: fmt.Sprintf("a%d", d.activitySeq), DeviceToken: owner.DeviceToken, BundleID: bundleID,
		ChannelID: channelID, Started: now,
	}}
	d.activities[a.ID] = a
	owner.activities = append(owner.activities, a)
	if channelID == "" {
		d.issueUpdateDeviceToken(a)
	} else if ch != nil {
		ch.listens[a] = struct{}{}
	}
	return a, nil
}

// issueUpdateDeviceToken gives an activity another update device token. It has 80
// bytes: those of Live Activities are longer than an app's, and no sender should
// count on 32.
func (d *Devices) issueUpdateDeviceToken(a *activity) {
	a.renewals++
	name := fmt.Sprintf("%s/%s/%s/%d", a.env, a.DeviceToken, a.ID, a.renewals)
	head, tail := sha512.Sum512([]byte(name)), sha256.Sum256([]byte(name))
	value := hex.EncodeToString(slices.Concat(head[:], tail[:16]))
	rule, _ := proto.RuleFor(proto.PushTypeLiveActivity)
	a.update = &device{activity: a, Device: Device{
		DeviceToken: value, Environment: a.env, Topics: []string{a.BundleID + rule.TopicSuffix}, State: Active,
	}}
	if d.byDeviceToken[value] == nil {
		d.size.Add(1)
	}
	d.byDeviceToken[value] = a.update
	a.UpdateDeviceToken = value
}

// end ends an activity, if it has not ended yet.
func (a *activity) end(now time.Time) {
	if a.Ended.IsZero() {
		a.Ended = now
	}
	if a.channel != nil {
		delete(a.channel.listens, a)
		a.channel = nil
	}
}

// forget removes an activity and its update device token.
func (d *Devices) forget(a *activity) {
	a.end(time.Time{})
	delete(d.activities, a.ID)
	if a.update != nil && d.byDeviceToken[a.UpdateDeviceToken] == a.update {
		delete(d.byDeviceToken, a.UpdateDeviceToken)
		d.size.Add(-1)
	}
}

// apply lets a device act on a Live Activity push, and returns why it did not.
// target is the activity it is for, or nil for one that should start.
func (d *Devices) apply(owner *device, target *activity, n *Notification, now time.Time) string {
	p := readActivityPush(n.Payload)
	if target == nil {
		return d.startByPush(owner, &p, n, now)
	}
	why := p.problem
	switch {
	case why != "":
	case p.event == "start":
		why = "a start was sent to a running Live Activity; it belongs to a push-to-start device token"
	case target.state(now) == ActivityEnded || target.state(now) == ActivityDismissed:
		why = "the Live Activity has ended"
	case p.timestamp < target.Timestamp:
		why = "the timestamp is older than that of the state shown"
	case p.timestamp == target.Timestamp && !d.acceptEqualTimestamps:
		why = "the timestamp is that of the state shown; it has to grow"
	case p.event == "update" && p.contentState == nil:
		why = "an update without content-state"
	}
	if why != "" {
		target.Ignored++
		target.LastIgnored = why
		return why
	}
	target.Updates++
	target.take(&p, now)
	return ""
}

// take changes the activity as a push says.
func (a *activity) take(p *activityPush, now time.Time) {
	a.Timestamp = p.timestamp
	if p.contentState != nil {
		a.ContentState = p.contentState
	}
	a.StaleDate = p.staleDate
	if p.relevanceScore != nil {
		a.RelevanceScore = p.relevanceScore
	}
	if p.event == "end" {
		// 1 stands for any moment in the past, since 0 is none.
		if p.hasDismissal {
			a.DismissalDate = max(1, p.dismissalDate)
		}
		a.end(now)
	}
}

// startByPush starts an activity, if the push is a good start.
func (d *Devices) startByPush(owner *device, p *activityPush, n *Notification, now time.Time) string {
	switch {
	case p.problem != "":
		return p.problem
	case p.event != "start":
		return "an " + p.event + " was sent to a device token that is no activity's; use its update device token"
	case p.missing != "":
		return "a start without " + p.missing
	case p.inputDeviceToken && p.inputChannel != "":
		return "input-push-token and input-push-channel exclude each other: the device refuses two forms of push input"
	}
	var ch *channel
	if p.inputChannel != "" {
		// An unknown channel, or one of another app, keeps nothing from starting;
		// the activity then never hears of an update.
		ch = d.channels[channelKey{owner.Environment, p.inputChannel}]
		if ch != nil && ch.BundleID != bundleOf(n.Topic) {
			ch = nil
		}
	}
	a, err := d.begin(owner, owner.Environment, bundleOf(n.Topic), ch, p.inputChannel, now)
	if err != nil {
		return strings.TrimPrefix(err.Error(), "sim: ")
	}
	a.AttributesType, a.Attributes = p.attributesType, p.attributes
	a.take(p, now)
	d.catchUp(a, now)
	return ""
}

// StartActivity starts a Live Activity as an app does by itself. On a channel it
// gets the message stored there, if any.
func (s *Server) StartActivity(start ActivityStart) (Activity, error) {
	list, err := s.startActivities(start, []string{start.DeviceToken})
	if err != nil {
		return Activity{}, err
	}
	return list[0], nil
}

// Subscribe starts a Live Activity on each of the devices, all listening to one
// channel. All of them start or, if something makes no sense, none.
func (s *Server) Subscribe(channelID string, deviceTokens ...string) ([]Activity, error) {
	return s.startActivities(ActivityStart{ChannelID: channelID}, deviceTokens)
}

func (s *Server) startActivities(start ActivityStart, deviceTokens []string) ([]Activity, error) {
	d, now, env := s.devices, s.now(), s.cfg.Environment
	lower := make([]string, len(deviceTokens))
	for i, deviceToken := range deviceTokens {
		var ok bool
		if lower[i], ok = lowerDeviceToken(deviceToken); !ok {
			return nil, fmt.Errorf("sim: device_token %d of %d must be an even number of hexadecimal digits, at least two", i+1, len(deviceTokens))
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	var ch *channel
	if start.ChannelID != "" {
		if ch = d.channels[channelKey{env, start.ChannelID}]; ch == nil || start.BundleID != "" && start.BundleID != ch.BundleID {
			return nil, ErrUnknownChannel
		}
	}
	bundleID := start.BundleID
	if ch != nil {
		bundleID = ch.BundleID
	}
	if bundleID == "" {
		return nil, errors.New("sim: bundle_id is missing")
	}
	if len(d.activities)+len(lower) > maxActivities {
		return nil, fmt.Errorf("sim: there can be %d Live Activities at most", maxActivities)
	}
	for _, deviceToken := range lower {
		e := d.byDeviceToken[deviceToken]
		switch {
		case e == nil:
		case e.Environment != env:
			return nil, fmt.Errorf("sim: device %s belongs to the other environment", shortDeviceToken(deviceToken))
		case e.activity != nil:
			return nil, fmt.Errorf("sim: %s is an update device token, not a device", shortDeviceToken(deviceToken))
		case e.State == Unregistered || e.State == Expired:
			return nil, fmt.Errorf("sim: device %s is %s", shortDeviceToken(deviceToken), e.State)
		}
	}
	list := make([]Activity, 0, len(lower))
	for _, deviceToken := range lower {
		e := d.byDeviceToken[deviceToken]
		if e == nil {
			e = &device{Device: Device{DeviceToken: deviceToken, Environment: env, State: Active}}
			d.byDeviceToken[deviceToken] = e
			d.size.Add(1)
		}
		a, err := d.begin(e, env, bundleID, ch, start.ChannelID, now)
		if err != nil {
			return nil, err
		}
		a.AttributesType, a.Attributes, a.ContentState = start.AttributesType, start.Attributes, start.ContentState
		d.catchUp(a, now)
		list = append(list, a.view(now))
	}
	return list, nil
}

// ActivityFilter selects Live Activities; empty fields match everything.
type ActivityFilter struct {
	DeviceToken, ChannelID string
	State                  ActivityState
}

// Activities returns the Live Activities in this server's environment that match,
// oldest first.
func (s *Server) Activities(f ActivityFilter) []Activity {
	d, now := s.devices, s.now()
	d.mu.Lock()
	defer d.mu.Unlock()
	list := []Activity{}
	for _, a := range d.activities {
		if a.env != s.cfg.Environment ||
			f.DeviceToken != "" && !strings.EqualFold(f.DeviceToken, a.DeviceToken) ||
			f.ChannelID != "" && f.ChannelID != a.ChannelID {
			continue
		}
		if v := a.view(now); f.State == "" || f.State == v.State {
			list = append(list, v)
		}
	}
	slices.SortFunc(list, func(a, b Activity) int {
		return cmp.Or(len(a.ID)-len(b.ID), strings.Compare(a.ID, b.ID))
	})
	return list
}

// Activity returns a Live Activity, or ErrUnknownActivity.
func (s *Server) Activity(id string) (Activity, error) {
	return s.withActivity(id, func(*activity, time.Time) error { return nil })
}

// RenewUpdateDeviceToken gives a Live Activity another update device token, as
// the system may do at any time. The old one answers 410 from now on.
func (s *Server) RenewUpdateDeviceToken(id string) (Activity, error) {
	return s.withActivity(id, func(a *activity, now time.Time) error {
		if a.update == nil {
			return errors.New("sim: this Live Activity listens to a channel and has no update device token")
		}
		if !a.Ended.IsZero() {
			return errors.New("sim: this Live Activity has ended")
		}
		old := a.update
		old.activity, old.State, old.Since = nil, Unregistered, now
		s.devices.issueUpdateDeviceToken(a)
		return nil
	})
}

// DismissActivity takes a Live Activity off the lock screen, as its person may.
func (s *Server) DismissActivity(id string) (Activity, error) {
	return s.withActivity(id, func(a *activity, now time.Time) error {
		a.end(now)
		a.DismissalDate = now.Unix()
		return nil
	})
}

func (s *Server) withActivity(id string, change func(*activity, time.Time) error) (Activity, error) {
	d, now := s.devices, s.now()
	d.mu.Lock()
	defer d.mu.Unlock()
	a := d.activities[id]
	if a == nil || a.env != s.cfg.Environment {
		return Activity{}, ErrUnknownActivity
	}
	if err := change(a, now); err != nil {
		return Activity{}, err
	}
	return a.view(now), nil
}
