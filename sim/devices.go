package sim

import (
	"cmp"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"aviso.example/internal/proto"
)

// DeviceState is the condition of a simulated device.
type DeviceState string

// States of a device. The zero value means active.
const (
	// Active devices show what they receive in their inbox.
	Active DeviceState = "active"
	// Offline devices have notifications stored for them, one per topic.
	Offline DeviceState = "offline"
	// Unregistered devices answer 410 Unregistered with the time since when.
	Unregistered DeviceState = "unregistered"
	// Expired devices answer 410 ExpiredToken, as ended Live Activities do.
	Expired DeviceState = "expired"
)

// Throttle allows Limit pushes in each span of time Per (default 1 s). The zero
// value allows any number.
type Throttle struct {
	Limit int
	Per   time.Duration
}

// Device is one device token, which is one app on one device.
type Device struct {
	// DeviceToken is the hexadecimal device token. Case does not matter.
	DeviceToken string
	// Environment is where the device token is valid; elsewhere it is a
	// BadDeviceToken. Empty means the environment of the server it is added to.
	Environment Environment
	// Topics are the bundle identifiers or full topics it belongs to; others get
	// DeviceTokenNotForTopic. Empty means any.
	Topics []string
	// State is Active by default.
	State DeviceState
	// Since is when an unregistered device token became invalid; zero means when
	// the state was set. It is sent in milliseconds.
	Since time.Time
	// Throttle answers 429 TooManyRequests above it.
	Throttle Throttle
}

// Notification is a push as a device got it.
type Notification struct {
	ID         string    `json:"apns_id"`
	Protocol   Protocol  `json:"protocol,omitempty"` // it was sent over
	Topic      string    `json:"topic"`
	PushType   string    `json:"push_type,omitempty"`
	CollapseID string    `json:"collapse_id,omitempty"`
	Time       time.Time `json:"time"`
	// Expires is when a stored notification is dropped; zero for shown ones.
	Expires time.Time `json:"expires,omitzero"`
	Payload Payload   `json:"payload"`
	// ChannelID is set if it came by broadcast, ActivityID if it was for a Live
	// Activity that was there.
	ChannelID  string `json:"channel_id,omitempty"`
	ActivityID string `json:"activity_id,omitempty"`
	// Ignored says why the device did nothing about it: its payload is not JSON, or the
	// Live Activity that it is for does not take it.
	Ignored string `json:"ignored,omitempty"`
}

// inboxLimit bounds what one device shows; the oldest go first.
const inboxLimit = 100

type device struct {
	Device
	appeared bool // by itself
	inbox    []Notification
	stored   []Notification
	spanFrom time.Time
	spanUsed int

	activities []*activity // on this device
	activity   *activity   // whose update device token this is
}

// reachable says whether pushes arrive at once. An update device token is as
// reachable as the device that its activity is on.
func (e *device) reachable() bool {
	return e.State == Active && (e.activity == nil || e.activity.owner.State == Active)
}

// Devices is a register of devices, with the channels they listen to and the Live
// Activities they show, which several servers may share. Its methods may be called
// from several goroutines.
type Devices struct {
	mu            sync.Mutex
	byDeviceToken map[string]*device
	appeared      int
	channels      map[channelKey]*channel
	channelsOf    map[appKey]int
	activities    map[string]*activity
	activitySeq   int
	// acceptEqualTimestamps is Guesses.AcceptEqualTimestamps of a server that
	// uses the register.
	acceptEqualTimestamps bool
	// size is read without the lock by servers that only need to know that
	// nothing is registered.
	size atomic.Int64
}

// NewDevices returns an empty register.
func NewDevices() *Devices {
	return &Devices{
		byDeviceToken: map[string]*device{}, channels: map[channelKey]*channel{},
		channelsOf: map[appKey]int{}, activities: map[string]*activity{},
	}
}

// ErrUnknownDevice is returned for a device token that is not registered.
var ErrUnknownDevice = errors.New("sim: no such device")

// Put adds a device or replaces one, keeping its inbox. An empty Environment
// means Sandbox. It fails when the device token is not hexadecimal or a field
// has no meaning.
func (d *Devices) Put(dev Device, now time.Time) error {
	dev.DeviceToken = strings.ToLower(dev.DeviceToken)
	if _, err := hex.DecodeString(dev.DeviceToken); err != nil || dev.DeviceToken == "" {
		return errors.New("sim: device_token must be an even number of hexadecimal digits, at least two")
	}
	dev.Environment = cmp.Or(dev.Environment, Sandbox)
	dev.State = cmp.Or(dev.State, Active)
	if dev.Throttle.Limit > 0 {
		dev.Throttle.Per = cmp.Or(dev.Throttle.Per, time.Second)
	}
	switch {
	case dev.Environment != Sandbox && dev.Environment != Production:
		return fmt.Errorf("sim: environment is %q; it must be %q or %q", dev.Environment, Sandbox, Production)
	case !slices.Contains([]DeviceState{Active, Offline, Unregistered, Expired}, dev.State):
		return fmt.Errorf("sim: state is %q; it must be %q, %q, %q or %q", dev.State, Active, Offline, Unregistered, Expired)
	case dev.Throttle.Limit < 0 || dev.Throttle.Per < 0:
		return errors.New("sim: throttle cannot be negative")
	}
	dev.Topics = slices.Clone(dev.Topics)
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.byDeviceToken[dev.DeviceToken]
	if e == nil {
		e = &device{}
		d.byDeviceToken[dev.DeviceToken] = e
		d.size.Add(1)
	} else if e.appeared {
		e.appeared = false
		d.appeared--
	}
	old := e.State
	e.Device = dev
	d.entered(e, old, now)
	return nil
}

// entered does what follows from a change of state.
func (d *Devices) entered(e *device, old DeviceState, now time.Time) {
	gone := e.State == Unregistered || e.State == Expired
	if gone && e.Since.IsZero() {
		e.Since = now
	}
	if e.State == Active && old == Offline {
		d.deliverStored(e, now)
		for _, a := range slices.Clone(e.activities) {
			if a.update != nil {
				d.deliverStored(a.update, now)
			}
			d.catchUp(a, now)
		}
	}
	if e.State != Offline {
		e.stored = nil
	}
	if gone {
		// Activities end with their app, and their device tokens with them.
		for _, a := range e.activities {
			a.end(now)
			if a.update != nil {
				a.update.State, a.update.Since, a.update.stored = e.State, e.Since, nil
			}
		}
	}
}

// deliverStored shows what was kept for a device that is back.
func (d *Devices) deliverStored(e *device, now time.Time) {
	stored := e.stored
	e.stored = nil
	for _, n := range stored {
		if n.Expires.After(now) {
			n.Expires = time.Time{}
			d.show(e, e.activity, n, now)
		}
	}
}

// SetState changes the state of a registered device. A device that comes back
// from Offline shows what was stored for it and has not expired. since matters
// for Unregistered; zero means now.
func (d *Devices) SetState(deviceToken string, state DeviceState, since, now time.Time) error {
	dev, err := d.Get(deviceToken)
	if err != nil {
		return err
	}
	dev.State, dev.Since = state, since
	return d.Put(dev, now)
}

// Get returns a device.
func (d *Devices) Get(deviceToken string) (Device, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.byDeviceToken[strings.ToLower(deviceToken)]
	if e == nil {
		return Device{}, ErrUnknownDevice
	}
	return e.clone(), nil
}

func (e *device) clone() Device {
	dev := e.Device
	dev.Topics = slices.Clone(dev.Topics)
	return dev
}

// Remove forgets a device and its inbox and reports whether it was there.
func (d *Devices) Remove(deviceToken string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	deviceToken = strings.ToLower(deviceToken)
	e := d.byDeviceToken[deviceToken]
	if e == nil {
		return false
	}
	if e.appeared {
		d.appeared--
	}
	for _, a := range e.activities {
		d.forget(a)
	}
	delete(d.byDeviceToken, deviceToken)
	d.size.Add(-1)
	return true
}

// Clear forgets all devices and their Live Activities. Channels stay.
func (d *Devices) Clear() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, a := range d.activities {
		a.end(time.Time{})
	}
	clear(d.activities)
	clear(d.byDeviceToken)
	d.appeared = 0
	d.size.Store(0)
}

// All yields the devices in order of their device tokens, from a copy made when
// the loop starts.
func (d *Devices) All() iter.Seq[Device] {
	return func(yield func(Device) bool) {
		d.mu.Lock()
		list := make([]Device, 0, len(d.byDeviceToken))
		for _, e := range d.byDeviceToken {
			list = append(list, e.clone())
		}
		d.mu.Unlock()
		slices.SortFunc(list, func(a, b Device) int { return strings.Compare(a.DeviceToken, b.DeviceToken) })
		for _, dev := range list {
			if !yield(dev) {
				return
			}
		}
	}
}

// Len returns how many devices are registered.
func (d *Devices) Len() int { return int(d.size.Load()) }

// Inbox returns what the device shows, oldest first. A push with the collapse id
// of an earlier one has replaced it.
func (d *Devices) Inbox(deviceToken string) ([]Notification, error) {
	return d.list(deviceToken, func(e *device) []Notification { return e.inbox })
}

// Stored returns what is kept for an offline device.
func (d *Devices) Stored(deviceToken string) ([]Notification, error) {
	return d.list(deviceToken, func(e *device) []Notification { return e.stored })
}

func (d *Devices) list(deviceToken string, pick func(*device) []Notification) ([]Notification, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.byDeviceToken[strings.ToLower(deviceToken)]
	if e == nil {
		return nil, ErrUnknownDevice
	}
	return slices.Clone(pick(e)), nil
}

// arrival is a push that passed every check but those of the device.
type arrival struct {
	deviceToken string // lower case
	topic       string
	// expires is unset when the sender stated no expiration.
	expires    time.Time
	hasExpires bool
	once       bool // expiration 0: do not store
	now        time.Time
	perTopic   int          // Guesses.StoredPerTopic
	note       Notification // filled in unless lean
}

// receive judges an arrival by its device and, when it is accepted, shows,
// stores or discards it.
func (d *Devices) receive(a *arrival, cfg *Config) verdict {
	if cfg.Lean && !cfg.KnownDevicesOnly && cfg.DeviceRate.Limit == 0 && d.size.Load() == 0 {
		return verdict{status: 200}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.byDeviceToken[a.deviceToken]
	if e == nil {
		switch {
		case cfg.KnownDevicesOnly:
			return refuse(proto.ReasonBadDeviceToken)
		case d.appeared >= cfg.DeviceLimit, cfg.Lean && cfg.DeviceRate.Limit == 0:
			return verdict{status: 200, fate: FateUnknown}
		}
		e = &device{appeared: true, Device: Device{
			DeviceToken: strings.Clone(a.deviceToken), Environment: cfg.Environment, State: Active,
		}}
		d.byDeviceToken[e.DeviceToken] = e
		d.size.Add(1)
		d.appeared++
	}
	switch {
	case e.Environment != cfg.Environment:
		return refuse(proto.ReasonBadDeviceToken)
	case len(e.Topics) > 0 && !covers(e.Topics, a.topic):
		return refuse(proto.ReasonDeviceTokenNotForTopic)
	case e.State == Unregistered:
		return verdict{status: 410, reason: proto.ReasonUnregistered, timestamp: e.Since.UnixMilli()}
	case e.activity != nil && e.activity.state(a.now) == ActivityDismissed:
		return verdict{status: 410, reason: proto.ReasonExpiredToken, timestamp: e.activity.dismissed().UnixMilli()}
	case e.State == Expired:
		return verdict{status: 410, reason: proto.ReasonExpiredToken, timestamp: e.Since.UnixMilli()}
	case !e.allow(cmp.Or(e.Throttle, cfg.DeviceRate), a.now):
		return refuse(proto.ReasonTooManyRequests)
	}
	return verdict{status: 200, fate: d.take(e, a, cfg)}
}

// allow counts a push against the device's rate.
func (e *device) allow(t Throttle, now time.Time) bool {
	return allowed(&e.spanFrom, &e.spanUsed, t, now)
}

// allowed counts one more in the present span of time.
func allowed(from *time.Time, used *int, t Throttle, now time.Time) bool {
	if t.Limit == 0 {
		return true
	}
	if since := now.Sub(*from); since < 0 || since >= cmp.Or(t.Per, time.Second) {
		*from, *used = now, 0
	}
	*used++
	return *used <= t.Limit
}

// take follows Apple's storage policy ("Sending notification requests to APNs"):
// expiration 0 is tried once, a time is kept until then, none is kept 30 days,
// and of several notifications for one app only the newest is kept.
func (d *Devices) take(e *device, a *arrival, cfg *Config) Fate {
	expired := a.hasExpires && !a.once && !a.expires.After(a.now)
	switch {
	case expired:
		return FateDiscarded
	case e.reachable():
		if !cfg.Lean {
			d.show(e, e.activity, a.note, a.now)
		}
		return FateShown
	case a.once:
		return FateDiscarded
	}
	n := a.note
	n.Expires = a.now.Add(proto.StorageMax)
	if a.hasExpires && a.expires.Before(n.Expires) {
		n.Expires = a.expires
	}
	n.Topic = a.topic
	if cfg.Lean {
		return FateStored
	}
	// A notification for the same app pushes the oldest one out, and one with the
	// same collapse id takes its place.
	bundle := bundleOf(a.topic)
	same := 0
	for i := len(e.stored) - 1; i >= 0; i-- {
		if s := &e.stored[i]; bundleOf(s.Topic) == bundle {
			same++
			if same >= a.perTopic || n.CollapseID != "" && s.CollapseID == n.CollapseID {
				e.stored = slices.Delete(e.stored, i, i+1)
				same--
			}
		}
	}
	e.stored = append(e.stored, n)
	return FateStored
}

// show adds to the inbox of the device and, of a Live Activity push, does what it
// says. target is the activity that it is for, if it was addressed to one. What is
// addressed to an update device token appears in the inbox of both.
func (d *Devices) show(e *device, target *activity, n Notification, now time.Time) {
	if len(n.Payload) > 0 && !json.Valid(n.Payload) {
		n.Ignored = "the payload is not JSON, so the device shows nothing"
	} else if n.ChannelID != "" || isActivityPush(&n) {
		if target != nil {
			n.ActivityID = target.ID
		}
		n.Ignored = d.apply(e, target, &n, now)
	}
	e.display(n)
	if e.activity != nil {
		e.activity.owner.display(n)
	}
}

func isActivityPush(n *Notification) bool { return n.PushType == string(proto.PushTypeLiveActivity) }

// display adds to the inbox. A collapse id replaces what is displayed.
func (e *device) display(n Notification) {
	if n.CollapseID != "" {
		e.inbox = slices.DeleteFunc(e.inbox, func(o Notification) bool {
			return o.CollapseID == n.CollapseID && bundleOf(o.Topic) == bundleOf(n.Topic)
		})
	}
	if len(e.inbox) >= inboxLimit {
		e.inbox = slices.Delete(e.inbox, 0, len(e.inbox)-inboxLimit+1)
	}
	e.inbox = append(e.inbox, n)
}
