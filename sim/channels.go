package sim

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"aviso.example/internal/proto"
)

// Channel is a broadcast channel of one app in one environment.
type Channel struct {
	// ID is what APNs returns in apns-channel-id.
	ID          string      `json:"channel_id"`
	BundleID    string      `json:"bundle_id"`
	Environment Environment `json:"environment"`
	// Policy is message-storage-policy: 0 stores nothing, 1 the last message.
	Policy  int       `json:"message_storage_policy"`
	Created time.Time `json:"created"`
	// Subscribers counts the Live Activities that listen to it now.
	Subscribers int `json:"subscribers"`
	// Broadcasts counts those that were accepted.
	Broadcasts int `json:"broadcasts"`
	// Stored is the message that devices get which come later; nil if there is
	// none or it has expired.
	Stored *Notification `json:"stored,omitempty"`
}

// ErrUnknownChannel is returned for a channel that does not exist in the
// server's environment.
var ErrUnknownChannel = errors.New("sim: no such channel in this environment")

// errChannelsFull is what the wire calls CannotCreateChannelConfig.
var errChannelsFull = errors.New("sim: the app has as many channels as it may have")

type channelKey struct {
	env Environment
	id  string
}

type channel struct {
	Channel  // Subscribers and Stored are filled in by view
	stored   *Notification
	listens  map[*activity]struct{}
	spanFrom time.Time
	spanUsed int
}

func (ch *channel) view(now time.Time) Channel {
	ch.sweep(now)
	v := ch.Channel
	v.Subscribers = len(ch.listens)
	if ch.stored != nil && ch.stored.Expires.After(now) {
		v.Stored = new(*ch.stored)
	}
	return v
}

// sweep drops the activities that have ended by themselves.
func (ch *channel) sweep(now time.Time) {
	for a := range ch.listens {
		if end := a.Started.Add(proto.ActivityMax); !end.After(now) {
			a.end(end)
		}
	}
}

// appKey is an app in one environment, which is what the limit of channels is
// about.
type appKey struct {
	env      Environment
	bundleID string
}

func newChannelID(a, b uint64) string {
	var raw [16]byte
	binary.BigEndian.PutUint64(raw[:8], a)
	binary.BigEndian.PutUint64(raw[8:], b)
	return base64.StdEncoding.EncodeToString(raw[:])
}

// createChannel adds a channel unless the app has too many.
func (d *Devices) createChannel(ch Channel, limit int) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	app := appKey{ch.Environment, ch.BundleID}
	if d.channelsOf[app] >= limit {
		return errChannelsFull
	}
	d.channelsOf[app]++
	d.channels[channelKey{ch.Environment, ch.ID}] = &channel{Channel: ch, listens: map[*activity]struct{}{}}
	return nil
}

// channel returns a channel of an app; an empty bundleID stands for any.
func (d *Devices) channel(env Environment, bundleID, id string, now time.Time) (Channel, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	ch := d.channels[channelKey{env, id}]
	if ch == nil || bundleID != "" && ch.BundleID != bundleID {
		return Channel{}, ErrUnknownChannel
	}
	return ch.view(now), nil
}

// deleteChannel forgets a channel. Activities that listened to it hear no more.
func (d *Devices) deleteChannel(env Environment, bundleID, id string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	key := channelKey{env, id}
	ch := d.channels[key]
	if ch == nil || bundleID != "" && ch.BundleID != bundleID {
		return ErrUnknownChannel
	}
	for a := range ch.listens {
		a.channel = nil
	}
	delete(d.channels, key)
	app := appKey{env, ch.BundleID}
	if d.channelsOf[app]--; d.channelsOf[app] == 0 {
		delete(d.channelsOf, app)
	}
	return nil
}

// channelList returns the channels of an app, or of all, oldest first.
func (d *Devices) channelList(env Environment, bundleID string, now time.Time) []Channel {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := []Channel{}
	for key, ch := range d.channels {
		if key.env == env && (bundleID == "" || ch.BundleID == bundleID) {
			list = append(list, ch.view(now))
		}
	}
	slices.SortFunc(list, func(a, b Channel) int {
		if c := a.Created.Compare(b.Created); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return list
}

// broadcast hands a message to every activity that listens to a channel and
// keeps it if the channel's policy and its expiration say so. It judges what only
// the channel knows.
func (d *Devices) broadcast(a *arrival, bundleID, id string, cfg *Config) (v verdict, reached int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	ch := d.channels[channelKey{cfg.Environment, id}]
	switch {
	case ch == nil || ch.BundleID != bundleID:
		return refuse(proto.ReasonChannelNotRegistered), 0
	case !a.once && ch.Policy == int(proto.StoreNothing):
		return refuse(proto.ReasonBadExpirationDate), 0
	case !allowed(&ch.spanFrom, &ch.spanUsed, cfg.ChannelRate, a.now):
		return refuse(proto.ReasonTooManyRequests), 0
	}
	ch.Broadcasts++
	v = verdict{status: 200}
	if cfg.Lean {
		return v, 0
	}
	if !a.once && !a.expires.After(a.now) {
		v.fate = FateDiscarded
		return v, 0
	}
	ch.sweep(a.now)
	for act := range ch.listens {
		if act.owner.State == Active {
			d.show(act.owner, act, a.note, a.now)
			reached++
		}
	}
	switch {
	case !a.once:
		n := a.note
		n.Expires = a.now.Add(proto.ChannelStorageMax)
		if a.expires.Before(n.Expires) {
			n.Expires = a.expires
		}
		ch.stored = &n
		v.fate = FateStored
	case reached == 0:
		v.fate = FateDiscarded
	}
	if reached > 0 {
		v.fate = FateShown
	}
	return v, reached
}

// catchUp shows an activity what its channel has stored, unless it has seen it.
func (d *Devices) catchUp(act *activity, now time.Time) {
	ch := act.channel
	if ch == nil || ch.stored == nil || !ch.stored.Expires.After(now) || act.caughtUp == ch.stored || act.owner.State != Active {
		return
	}
	act.caughtUp = ch.stored
	if p := readActivityPush(ch.stored.Payload); p.problem == "" && p.timestamp <= act.Timestamp {
		return // it was there when this was sent
	}
	n := *ch.stored
	n.Expires = time.Time{}
	d.show(act.owner, act, n, now)
}

// CreateChannel makes a channel as a request to the management host would.
// policy is 0 to store nothing and 1 to store the last message.
func (s *Server) CreateChannel(bundleID string, policy int) (Channel, error) {
	if policy != int(proto.StoreNothing) && policy != int(proto.StoreLatest) {
		return Channel{}, fmt.Errorf("sim: message_storage_policy is %d; it is 0 (store nothing) or 1 (store the last message)", policy)
	}
	if bundleID == "" {
		return Channel{}, errors.New("sim: bundle_id is missing")
	}
	return s.makeChannel(bundleID, policy, newChannelID(rand.Uint64(), rand.Uint64()))
}

func (s *Server) makeChannel(bundleID string, policy int, id string) (Channel, error) {
	ch := Channel{ID: id, BundleID: bundleID, Environment: s.cfg.Environment, Policy: policy, Created: s.now()}
	return ch, s.devices.createChannel(ch, s.cfg.ChannelLimit)
}

// Channel returns a channel of this server's environment, or ErrUnknownChannel.
func (s *Server) Channel(id string) (Channel, error) {
	return s.devices.channel(s.cfg.Environment, "", id, s.now())
}

// Channels returns the channels of an app in this server's environment, or of
// all apps if bundleID is empty, oldest first.
func (s *Server) Channels(bundleID string) []Channel {
	return s.devices.channelList(s.cfg.Environment, bundleID, s.now())
}

// DeleteChannel deletes a channel of this server's environment.
func (s *Server) DeleteChannel(id string) error {
	return s.devices.deleteChannel(s.cfg.Environment, "", id)
}
