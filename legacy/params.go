package legacy

import (
	"math"
	"time"
)

// Defaults of Config; each says what it bounds and why it has that value.
const (
	// DefaultSettleTime is how long the server has to be silent before what was
	// written counts as accepted. Error packets came "well under a second"
	// after their notification; three leave room for a slow line and for one
	// retransmission by TCP at each end.
	DefaultSettleTime = 3 * time.Second
	// DefaultMaxInFlight bounds what was written and has not settled. With
	// DefaultSettleTime it allows 20,000 notifications a second; a job takes
	// about 200 bytes beside the caller's notification.
	DefaultMaxInFlight = 1 << 16
	// DefaultBatchWindow is the same for one PushAll, which holds no more than
	// can be in flight.
	DefaultBatchWindow = DefaultMaxInFlight
	// DefaultTimeout bounds the wait until a notification is written, if the
	// context sets no deadline; as with apns.
	DefaultTimeout = time.Minute
	// DefaultConnectWait is how long notifications wait while no connection can
	// be had; as with apns.
	DefaultConnectWait = 15 * time.Second
	// DefaultMaxAttempts is how often a notification is written for which the
	// server reports trouble of its own, or of which nobody knows what became.
	DefaultMaxAttempts = 5
	// DefaultFeedbackTimeout is how long the feedback service may send nothing.
	DefaultFeedbackTimeout = 30 * time.Second
)

const (
	// maxInFlight keeps everything in flight far below half of the 2^32
	// identifiers, so that earlier and later can be told apart across their
	// end.
	maxInFlight = 1 << 24
	// minSettleTime is a floor under Config.SettleTime: below it, a packet that
	// is on its way would regularly come too late.
	minSettleTime = 10 * time.Millisecond

	// batchSize is how much goes into one Write: the content of the largest TLS
	// record (RFC 8446 section 5.1). The largest frame fits in many times.
	batchSize = 16 << 10
	// dialTimeout bounds one attempt, DNS, TCP and TLS together.
	dialTimeout = 15 * time.Second
	// writeTimeout bounds one Write. A server that reads nothing for so long
	// has forgotten us.
	writeTimeout = 15 * time.Second
	// lastWords is how long a connection on which nothing can be written any
	// more is still read: the packet that says why may be on its way, and
	// without it nobody knows what was sent.
	lastWords = 2 * time.Second
	// farewell bounds the goodbye of a connection that is closed in peace.
	farewell = time.Second

	// backoffMin and backoffMax bound the wait after an attempt to connect that
	// led to nothing: the dial failed, or the connection ended before anything
	// was known to be sent. It doubles each time and is multiplied by a random
	// factor from 1/2 to 1, as in internal/pool.
	backoffMin = time.Second
	backoffMax = time.Minute
	// Each rejection costs a connection, so reconnecting at once is the normal
	// case; "connections and disconnections in rapid succession" were an attack
	// to Apple all the same. All dials come out of a bucket of dialBurst that
	// gains one each dialEvery, and one for every earnedBack notifications that
	// a connection settled: one bad device token in fifty costs no wait.
	dialBurst  = 20
	dialEvery  = 250 * time.Millisecond
	earnedBack = 50

	// A new or idle connection takes firstBurst notifications in the first
	// burstPeriod, and twice as many in each that follows one that was full:
	// 65,536 after 350 ms. Everything written after one that is refused is
	// thrown away and has to be written again, so a client that writes as fast
	// as it can turns one bad device token into tens of thousands of resends
	// (20,000 notifications with 1 % bad ones were written 37 times over on
	// loopback). burstPeriod is about a round trip across an ocean: who is
	// still silent after it will probably stay so. After burstForgotten, an
	// earlier silence says nothing about what comes now.
	firstBurst     = 512
	burstPeriod    = 50 * time.Millisecond
	burstForgotten = time.Second

	// retryPause is the wait before a notification is written again for which
	// the server reported trouble of its own; it doubles, up to retryPauseMax.
	retryPause    = time.Second
	retryPauseMax = time.Minute
	// sweepEvery is how often notifications that wait are looked through for
	// those that have waited too long or were given up, at most. It exceeds
	// what looking through DefaultMaxInFlight takes by far.
	sweepEvery = 10 * time.Millisecond
)

// lastExpiration is 7 February 2106, the end of 32 bits of seconds.
const lastExpiration = math.MaxUint32
