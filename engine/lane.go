package engine

import (
	"fmt"

	"aviso.example/apns"
)

// Lane says how urgent a notification is. Each lane has its own queue, its own
// share of what may be under way and its own connections, so that nothing waits
// behind what is less urgent.
type Lane uint8

// The lanes, the most urgent first.
const (
	// Urgent is for calls, push-to-talk and breaking news.
	Urgent Lane = iota
	// Normal is for what one person waits for.
	Normal
	// Bulk is for campaigns.
	Bulk

	lanes = 3
)

var laneNames = [lanes]string{"urgent", "normal", "bulk"}

// String returns urgent, normal or bulk.
func (l Lane) String() string {
	if l < lanes {
		return laneNames[l]
	}
	return fmt.Sprintf("Lane(%d)", uint8(l))
}

// MarshalText returns String.
func (l Lane) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText reads what String returns.
func (l *Lane) UnmarshalText(text []byte) error {
	for i, name := range laneNames {
		if name == string(text) {
			*l = Lane(i)
			return nil
		}
	}
	return fmt.Errorf("a lane is urgent, normal or bulk, not %q", text)
}

// bulkFrom is from how many device tokens on a message is a campaign, unless it
// says otherwise.
const bulkFrom = 1000

// usualLane is the lane of what names none.
func usualLane(t apns.PushType, targets int) Lane {
	switch {
	case t == apns.PushTypeVoIP || t == apns.PushTypePushToTalk:
		return Urgent
	case targets > bulkFrom:
		return Bulk
	}
	return Normal
}
