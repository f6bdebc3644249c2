package broadcast

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"aviso.example/apns"
	"aviso.example/internal/proto"
	"aviso.example/payload"
)

// StoragePolicy says what APNs keeps for devices that come online later. It is
// chosen when a channel is created and cannot be changed.
type StoragePolicy = proto.StoragePolicy

// The two policies.
const (
	// StoreNothing (0) keeps nothing: who is offline misses the message. Apple
	// grants such channels the higher publishing budget. Notifications to them
	// must have apns.ExpireImmediately.
	StoreNothing = proto.StoreNothing
	// StoreLatest (1) keeps the most recent message, until its expiration and
	// for eight hours at most.
	StoreLatest = proto.StoreLatest
)

// StorageMax is how long APNs keeps the last message of a StoreLatest channel: eight
// hours.
const StorageMax = proto.ChannelStorageMax

// MaxChannels is how many channels an app may have in each environment: 10,000.
const MaxChannels = proto.MaxChannels

// Channel is a broadcast channel. Keep all of it: APNs lists ids only, and has no
// names for channels.
type Channel struct {
	// ID is the base64 text that APNs chose. It is valid in the environment of
	// the Manager that made it, and nowhere else.
	ID string `json:"id"`
	// BundleID is the app's bundle identifier; empty means that of the client
	// which sends.
	BundleID string        `json:"bundle_id"`
	Policy   StoragePolicy `json:"policy"`
}

// Notification returns a notification that carries p to every device that listens
// to the channel; hand it to any apns.Client of the same environment and team.
//
// priority has to be stated, since APNs has no default: apns.PriorityConserve (5)
// does not count against the app's budget, apns.PriorityImmediate (10) does. The
// zero expiration means the only one there is for StoreNothing, at once, and for
// StoreLatest as long as APNs stores, eight hours from now.
//
// The error names what is wrong with p, or what contradicts the channel.
func (c Channel) Notification(p payload.Broadcast, priority apns.Priority, expiration apns.Expiration) (*apns.Notification, error) {
	body, err := p.BroadcastJSON()
	if err != nil {
		return nil, err
	}
	if p := apns.CheckChannelID(c.ID); p != nil {
		return nil, &apns.InvalidError{Problems: []apns.Problem{*p}}
	}
	now := time.Now()
	if expiration == (apns.Expiration{}) {
		expiration = apns.ExpireImmediately
		if c.Policy == StoreLatest {
			expiration = apns.ExpireAt(now.Add(StorageMax))
		}
	}
	if c.Policy == StoreNothing && expiration != apns.ExpireImmediately {
		return nil, &apns.InvalidError{Problems: []apns.Problem{{
			Field:   "Expiration",
			Message: "has to be ExpireImmediately: the channel stores nothing, and APNs would answer BadExpirationDate. Make a channel with StoreLatest for devices that come online later",
		}}}
	}
	n := &apns.Notification{
		ChannelID: c.ID, BundleID: c.BundleID, PushType: apns.PushTypeLiveActivity,
		Payload: body, Priority: priority, Expiration: expiration,
	}
	// The one that stands in is the client's to give, and to check.
	if err := n.Validate(standIn, now); err != nil {
		return nil, err
	}
	return n, nil
}

// standIn is a bundle identifier that nothing can be said against.
const standIn = "com.example.app"

// ParsePolicy reads a policy in words: "none" or "0" for StoreNothing, "latest"
// or "1" for StoreLatest.
func ParsePolicy(text string) (StoragePolicy, error) {
	switch strings.ToLower(text) {
	case "none", "nothing", "0":
		return StoreNothing, nil
	case "latest", "last", "1":
		return StoreLatest, nil
	}
	return 0, errors.New("a storage policy is none (0: devices that are offline miss the message) or latest (1: the last message is kept for them)")
}

// PolicyName is the word that ParsePolicy reads.
func PolicyName(p StoragePolicy) string {
	switch p {
	case StoreNothing:
		return "none"
	case StoreLatest:
		return "latest"
	}
	return fmt.Sprintf("StoragePolicy(%d)", int(p))
}
