package liveactivity

import (
	"context"
	"errors"
	"time"

	"aviso.example/apns"
	"aviso.example/payload"
)

// Sender sends notifications; *apns.Client does.
type Sender interface {
	Push(context.Context, *apns.Notification) (apns.Receipt, error)
}

// Config is what an Activity or a Broadcast is made of.
type Config struct {
	// Sender is required.
	Sender Sender
	// BundleID is the app's; empty means the client's.
	BundleID string
	// AttributesType is the name of the app's ActivityAttributes struct, which
	// Start needs. The app's Attributes and ContentState decode what encoding/json
	// makes of the Go types, with Swift's default strategies: a nil slice becomes
	// null, which no Swift array decodes, and a Date wants payload.SwiftDate.
	AttributesType string
	// Now is the clock for timestamps; nil means time.Now.
	Now func() time.Time
}

// StartOptions is what a start says besides attributes and state.
type StartOptions struct {
	// Alert announces the activity; Apple requires a text.
	Alert payload.LiveActivityAlert
	// ChannelID, if set, lets the activity listen to a broadcast channel instead
	// of getting an update device token; a Broadcast then updates and ends it.
	ChannelID      string
	StaleDate      time.Time
	RelevanceScore *float64
	// Priority is 10 by default: a start is what the person waits for.
	Priority apns.Priority
	// Expiration is for devices that are off; see apns.Notification.
	Expiration apns.Expiration
}

// UpdateOptions is what an update says besides the state. The zero value is a
// quiet update that costs no budget.
type UpdateOptions struct {
	// Alert lights the screen.
	Alert *payload.LiveActivityAlert
	// StaleDate is when the state counts as outdated; it has to be stated with
	// each update, or the one before is gone.
	StaleDate      time.Time
	RelevanceScore *float64
	// Priority is 5 by default, and 10 with an Alert.
	Priority apns.Priority
	// Expiration is for devices that are off; see apns.Notification, and for a
	// channel broadcast.Channel.Notification.
	Expiration apns.Expiration
}

// EndOptions is what an end says besides the final state.
type EndOptions struct {
	Alert *payload.LiveActivityAlert
	// DismissalDate is when the activity leaves the lock screen: at once if it is
	// not in the future, in four hours at the latest, which is also the default.
	DismissalDate time.Time
	// Priority is 10 by default.
	Priority   apns.Priority
	Expiration apns.Expiration
}

var (
	// ErrEnded: the activity has ended, or is ending; nothing was sent.
	ErrEnded = errors.New("liveactivity: the activity has ended")
	// ErrStarted: the activity was started before; nothing was sent.
	ErrStarted = errors.New("liveactivity: the activity was started before; a second start would put two on the device")
	// ErrWaiting: no update device token is known at the moment. The newest state
	// goes out when Follow is told one.
	ErrWaiting = errors.New("liveactivity: the app has not reported an update device token; the newest state goes out when it does")
	// ErrOnChannel: the activity listens to a channel; a Broadcast updates it.
	ErrOnChannel = errors.New("liveactivity: the activity listens to a channel, and its updates go there")
)

// Phase is how far an activity has come.
type Phase string

// The phases.
const (
	Fresh   Phase = "fresh" // nothing was sent
	Running Phase = "running"
	Ending  Phase = "ending" // the end is on its way, or waits for an update device token
	Ended   Phase = "ended"
)
