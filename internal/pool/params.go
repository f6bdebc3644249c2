package pool

import "time"

// Defaults of Config; each says what it bounds and why it has that value.
const (
	// DefaultMaxConns is how many connections may be open at once. One carries
	// about 20,000 requests a second at 50 ms round-trip time and 1,000
	// streams; Apple wants connections few and traffic spread.
	DefaultMaxConns = 4
	// DefaultDialTimeout bounds one attempt: DNS, TCP, proxy and TLS together.
	DefaultDialTimeout = 15 * time.Second
	// DefaultConnectWait is how long calls wait while no connection can be had
	// before they fail with the reason.
	DefaultConnectWait = 15 * time.Second
	// DefaultIdleTimeout is after how long without an answer a connection
	// beyond the first is closed.
	DefaultIdleTimeout = 5 * time.Minute
	// DefaultMaxAge is when a connection is replaced, give or take a tenth:
	// errors were seen to rise on connections a week old (mozilla autopush
	// issue 1393), and Apple asks to keep them for hours to days.
	DefaultMaxAge = 24 * time.Hour
	// DefaultDrainTimeout is how long a connection may take to finish its
	// streams after GOAWAY; it exceeds h2.DefaultRequestTimeout, so that it
	// only cuts off what would never end.
	DefaultDrainTimeout = 40 * time.Second
)

const (
	// lookAgain is how soon the manager looks again while calls are waiting or
	// moving.
	lookAgain = 100 * time.Millisecond
	// growAfter is how long all connections must have been full, at every look,
	// before another one is opened. It exceeds a few round trips, so that a
	// burst that one connection can take does not open a second.
	growAfter = 300 * time.Millisecond
	// stuckAfter is how long a connection may stay at one stream with calls
	// waiting before it is replaced: APNs connections have been seen to stay
	// there for good after provider-token errors (pushy issue 811).
	stuckAfter = 30 * time.Second

	// backoffMin and DefaultMaxDialPause bound the wait after a failed attempt, which
	// doubles each time and is multiplied by a random factor from 1/2 to 1.
	// pushy uses the same bounds.
	backoffMin          = time.Second
	DefaultMaxDialPause = time.Minute
	// dialBurst and dialEvery bound all attempts, failed or not: a bucket of
	// dialBurst that gains one each dialEvery. Apple may take frequent
	// reconnecting for an attack ("Sending notification requests to APNs").
	dialBurst = 10
	dialEvery = 800 * time.Millisecond
	// earnedBack is how many successful requests make a connection's dial free:
	// servers that end connections after so many requests (nginx: 1,000) are
	// followed as fast as they serve, at a hundredth of a dial per request.
	earnedBack = 100
)
