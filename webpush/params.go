package webpush

import "time"

// Limits of the protocol and of Apple's push service.
const (
	// MaxPayload is how many bytes a message may have before encryption, 3,993: a body
	// of 4,096 bytes, which every push service takes (RFC 8030 section 7.2; Apple
	// takes no more), less 86 bytes of header, the delimiter and the 16 bytes that
	// authenticate (RFC 8291 section 4).
	MaxPayload = maxBody - headerLength - 1 - tagLength
	// MaxTTL is how long Apple keeps a message at most. No push service is known
	// to keep one for longer.
	MaxTTL = 30 * 24 * time.Hour
	// MaxTopicLength is from RFC 8030 section 5.4.
	MaxTopicLength = 32

	maxBody      = 4096
	tagLength    = 16 // AES-GCM
	saltLength   = 16
	keyLength    = 65 // an uncompressed point on P-256
	authLength   = 16
	headerLength = saltLength + 4 + 1 + keyLength
	// recordSize is written into each message. It has to exceed what the one
	// record holds, and 4,096 is customary.
	recordSize = 4096
)

// Defaults of Config and Message; each says what it bounds and why it has that
// value.
const (
	// DefaultTTL is how long a push service keeps a message for a browser that is
	// away: four weeks, as most libraries have it, and the most that one of the
	// large services takes.
	DefaultTTL = 28 * 24 * time.Hour
	// DefaultTimeout bounds a whole Send, resends included, if the context has no
	// deadline.
	DefaultTimeout = time.Minute
	// DefaultRequestTimeout bounds one attempt, connecting included.
	DefaultRequestTimeout = 30 * time.Second
	// DefaultMaxAttempts is how often a message is handed to the push service
	// before its last refusal counts.
	DefaultMaxAttempts = 4
	// DefaultMaxOrigins bounds the push services that connections are kept to.
	// Four serve nearly all browsers; one of them has dozens of host names.
	DefaultMaxOrigins = 128
	// DefaultMaxConnections bounds the connections to one origin. HTTP/2 needs
	// one; the others are for a push service that has only HTTP/1.1.
	DefaultMaxConnections = 4
	// DefaultMaxInFlightPerOrigin bounds the requests under way at one origin. It
	// stays below 100, the number of streams that RFC 9113 section 6.5.2 asks
	// every server to allow.
	DefaultMaxInFlightPerOrigin = 64
	// DefaultMaxInFlight bounds the requests under way in all. A slow origin holds
	// a sixteenth of it.
	DefaultMaxInFlight = 1024
	// DefaultBatchWindow bounds the messages that one SendAll holds. It has to
	// exceed DefaultMaxInFlight for every slot to be used.
	DefaultBatchWindow = 4096
)

const (
	// maxEndpoint bounds the length of an endpoint. Those of today have 150 to 500
	// bytes.
	maxEndpoint = 4096
	// maxSubscription bounds a subscription in JSON.
	maxSubscription = 16 << 10
	// maxKeyFile bounds a key file; one has 240 bytes.
	maxKeyFile = 16 << 10
	// maxSubject bounds the VAPID subject, which travels with every request.
	maxSubject = 255
	// maxAnswer bounds what is read of an answer's body. Apple's reason has 30
	// bytes; others explain in a few hundred.
	maxAnswer = 4096
	// maxAnswerHeader bounds an answer's header.
	maxAnswerHeader = 32 << 10
	// maxDetail bounds what an error quotes of a body, in bytes.
	maxDetail = 300
	// maxCause bounds what an error quotes of the network's error, which can
	// contain what the peer wrote, in bytes.
	maxCause = 300

	// dialTimeout bounds DNS and TCP, tlsTimeout the handshake. Together they
	// stay below DefaultRequestTimeout.
	dialTimeout = 15 * time.Second
	tlsTimeout  = 10 * time.Second
	// idleTimeout is how long a connection without requests is kept.
	idleTimeout = 2 * time.Minute
	// pingAfter is how long a connection may be silent before it is asked, and
	// pingTimeout how long it may take to answer.
	pingAfter   = 30 * time.Second
	pingTimeout = 15 * time.Second
	// connectWait is how long an origin that no connection can be had to is
	// tried; apns has the same.
	connectWait = 15 * time.Second

	// backoffMin and backoffMax bound the wait before a message is sent again, if
	// the answer names none. It doubles, and jitter takes up to half of it away.
	backoffMin = time.Second
	backoffMax = 30 * time.Second
	// refusedMin and refusedMax bound the wait before a message is sent again that
	// the peer refused unread. The first time there is none: most often a server
	// said goodbye, and the next one takes it.
	refusedMin = 50 * time.Millisecond
	refusedMax = 5 * time.Second
	// maxUnprocessed bounds attempts that the peer refuses unread: somebody who
	// refuses everything wants something else. With refusedMax it takes most of
	// DefaultTimeout to get there.
	maxUnprocessed = 16
	// maxRest bounds how long one answer keeps all messages from an origin. Retry-After
	// can say years, and a mistake there should not outlast the day; the message that
	// was answered waits, or ends, as it says.
	maxRest = time.Hour
)

// What VAPID has to keep (RFC 8292 section 2; Apple's page).
const (
	// vapidLifetime is how far ahead "exp" is. 24 hours are allowed; half of that
	// leaves room for clocks that are wrong either way.
	vapidLifetime = 12 * time.Hour
	// vapidRenew is the age at which another JWT is signed. Apple asks for no
	// more than one an hour. It stays below vapidLifetime by as much as a clock
	// may be behind the push service's.
	vapidRenew = 6 * time.Hour
	// vapidMinInterval is the hour that Apple asks for.
	vapidMinInterval = time.Hour
	// maxVAPIDOrigins bounds the JWTs kept, at about 500 bytes each. It is far
	// above DefaultMaxOrigins: a connection that is closed does not make a JWT old.
	maxVAPIDOrigins = 4096
)
