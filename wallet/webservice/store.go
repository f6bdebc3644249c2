package webservice

import (
	"context"
	"time"
)

// ID names a pass or an order.
type ID struct {
	// Type is the pass type identifier or the order type identifier.
	Type string
	// Serial is the serial number of a pass or the order identifier of an order.
	Serial string
}

// Registration says that a device has a pass or an order and wants to hear when it
// changes.
type Registration struct {
	ID
	// Device is the device library identifier of passes, the device identifier of
	// orders: what a device calls itself here. Whoever knows it can ask what the
	// device has, so it is a secret.
	Device string
	// DeviceToken is where to push to, in hexadecimal digits: Apple's pushToken.
	DeviceToken string
	// Time is when the device registered.
	Time time.Time
}

// Updated is what changed for a device.
type Updated struct {
	// Serials are in the order in which they changed, the latest last.
	Serials []string
	// Sequence is that of the latest change among them.
	Sequence int64
}

// Change says what became of a call of Store.Change.
type Change struct {
	// Known is how many of the passes some device has ever registered for.
	Known int
	// Queued is how many devices were put down to be told, or to be told again.
	Queued int
}

// Push is a device that is to be told that something changed. All that changed under
// one type is one push.
type Push struct {
	Type, Device string
	// DeviceToken and Registered are those of the device at the moment.
	DeviceToken string
	Registered  time.Time
	// Sequence is that of the latest change it is to be told of.
	Sequence int64
	// Attempts is how many times it was settled as Later, since that change.
	Attempts int
}

// Verdict is what becomes of a push that was claimed.
type Verdict uint8

// The verdicts.
const (
	// Told: there is nothing more to do for it.
	Told Verdict = iota + 1
	// Later: it is due again at Settlement.Time, as one more attempt.
	Later
	// Returned: it was not tried, and is due at once.
	Returned
	// Gone: the device token is not active since Settlement.Time.
	Gone
)

// Settlement is the end of a claim.
type Settlement struct {
	Push
	Verdict Verdict
	Time    time.Time
}

// Store remembers which device has what, what changed, and who has to be told. Its
// methods are called by many goroutines, and by several processes if several share
// it; each of them happens at once or not at all, and is durable when it returns
// nil.
//
// One *sequence* of numbers, rising from 1, orders all changes and all new
// registrations. It must become visible in order: when a call of Updated has seen
// one number, none that is smaller may appear later. A store in which writers wait
// for each other, as those of SQLite do, has that by itself. Elsewhere take the
// number from a row that the transaction locks until it ends (in PostgreSQL UPDATE
// ... RETURNING), not from a sequence of the database, which is handed out before
// the commit.
//
// Package storetest has the tests that a Store has to pass.
type Store interface {
	// Register adds the registration, unless it is there, and says whether it did.
	// In both cases it sets device token and time of the device: a device has one of
	// each, whatever it registered for. A new registration gets the next number of
	// the sequence; with it the device is told of the pass once more, since nobody
	// knows which version it has. If the device token is another one than before,
	// what is to be pushed to the device is due again, with the next number, and
	// whatever a push under way comes to no longer settles it.
	//
	// A pass that was not known becomes known, as modified at r.Time.
	Register(ctx context.Context, r Registration) (created bool, err error)

	// Unregister removes the registration, if it is there; what is to be pushed to
	// the device under a type for which it has no registration left; and the device,
	// if it has none at all. That a pass was known is kept.
	Unregister(ctx context.Context, device string, id ID) error

	// Updated returns the passes of a type that the device is registered for and that
	// changed, or were registered for, after the number since. All of them are
	// returned if since is 0, or larger than the latest number, which says that it
	// comes from elsewhere.
	Updated(ctx context.Context, device, typ string, since int64) (Updated, error)

	// Modified returns when a pass last changed, in whole seconds, or the zero time if
	// it is not known.
	Modified(ctx context.Context, id ID) (time.Time, error)

	// Change marks passes as changed, each with a number of its own from the sequence,
	// and puts every device that is registered for one of them down to be told, due at
	// now; one that is put down already keeps its place, with the new number, no
	// attempts, and due at once, even if it is claimed. Passes that are not known are
	// left alone, and a serial number that is repeated counts once.
	//
	// A pass is then modified at now, or one second after it was modified before,
	// whichever is later. So two versions never have the same time, although HTTP has
	// nothing finer than seconds, and a clock that goes back does no harm.
	Change(ctx context.Context, typ string, serials []string, now time.Time) (Change, error)

	// Claim returns at most limit pushes of a type that are due at now, the longest
	// due first, and makes them due at until: if they are not settled, they come
	// again. A push that is due more than a day after now counts as due, since the
	// clock must have gone back.
	Claim(ctx context.Context, typ string, limit int, now, until time.Time) ([]Push, error)

	// Settle ends claims. A settlement whose Sequence is no longer that of the push is
	// ignored: something changed since, and the device has to be told again. Gone
	// removes the device, with all its registrations and pushes, if it still has that
	// device token and registered before Time, whatever the Sequence; otherwise it has
	// registered again, and the push is Returned. Settle returns how many devices were
	// removed. What is not there any more is ignored.
	Settle(ctx context.Context, settlements []Settlement) (removed int, err error)
}

// MaxDue is how far ahead a push can be due. See Store.Claim.
const MaxDue = 24 * time.Hour
