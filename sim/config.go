package sim

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"aviso.example/internal/proto"
)

// Environment says which of Apple's two worlds a server, a key or a device token
// belongs to.
type Environment string

// The two environments.
const (
	Sandbox    Environment = "sandbox"
	Production Environment = "production"
)

// Key is a signing key the simulator knows, as Apple knows the keys a team made
// in its account.
type Key struct {
	// KeyID is the kid of the provider tokens it signs, ten characters.
	KeyID string
	// TeamID is the iss of those provider tokens; empty means Config.TeamID.
	TeamID string
	// Public verifies the signature; it must be on P-256.
	Public *ecdsa.PublicKey
	// Environments the key works in; empty means both, as with keys made before
	// February 2025.
	Environments []Environment
	// Topics makes the key topic-specific: it may push to these bundle
	// identifiers (with any known suffix) and nothing else. Empty means
	// team-scoped.
	Topics []string
	// Related is the one key id that may share a connection with this
	// topic-specific key. It is enough to state it on one of the two.
	Related string
}

// Config says how a Server behaves. The zero value is a sandbox that knows no
// key, so that every provider token is refused: set Keys or TrustAnyKey.
type Config struct {
	// Environment is Sandbox by default. It decides which device tokens and keys
	// are at home and whether apns-unique-id is returned.
	Environment Environment
	// TeamID is the team of keys that state none. With TrustAnyKey and a TeamID,
	// other teams are still refused.
	TeamID string
	// Keys are the signing keys whose provider tokens are accepted.
	Keys []Key
	// TrustAnyKey accepts a provider token whose kid is not in Keys without
	// verifying its signature. Form, algorithm, ids and age are still checked.
	TrustAnyKey bool
	// ClientCAs, when set, are the only issuers a client certificate may have;
	// others are refused in the TLS handshake, as revoked ones are by Apple.
	// When nil, any client certificate is taken at its word.
	ClientCAs *x509.CertPool
	// Topics are the bundle identifiers team-scoped keys may push to, each with
	// any suffix of a push type. Empty means any.
	Topics []string

	// Certificate replaces the certificate the server makes for itself. CAPEM
	// then returns the last certificate of its chain.
	Certificate *tls.Certificate
	// Hosts are further names and addresses for the generated certificate, which
	// always names localhost, the loopback addresses and Apple's hosts.
	Hosts []string
	// Cleartext serves HTTP/2 without TLS (prior knowledge), for tools that
	// cannot do TLS. There are no client certificates then.
	Cleartext bool

	// MaxStreams is the stream limit of an authenticated connection. Default
	// 1000, which is what was last seen from Apple.
	MaxStreams uint32
	// UnauthenticatedMaxStreams is the limit before the first valid provider
	// token. Default 1, as documented.
	UnauthenticatedMaxStreams uint32
	// InitialWindow is the receive window of a stream, in bytes. Default 65535
	// (observed).
	InitialWindow uint32
	// ConnectionWindow is the receive window of a connection, in bytes, at least
	// the protocol's 65535, which is the default; what APNs grants is not known.
	// Over a long round trip it bounds a sender before the stream limit does:
	// 65535 bytes are 374 payloads of 175 bytes under way.
	ConnectionWindow uint32
	// MaxFrameSize is the largest frame the server takes, 16384 to 16777215.
	// Default 16384 (observed).
	MaxFrameSize uint32
	// MaxHeaderList is the announced header list size. Default 8000 (observed).
	// Longer lists are answered with 431; four times as much ends the connection.
	MaxHeaderList uint32

	// KnownDevicesOnly answers BadDeviceToken for device tokens that were not
	// added. By default an unknown, well-formed device token appears by itself as
	// an active device.
	KnownDevicesOnly bool
	// Devices shares one register of devices between servers, so that a device
	// token of the sandbox is a BadDeviceToken in production. Nil makes one.
	Devices *Devices
	// DeviceRate, when its Limit is set, answers 429 TooManyRequests to pushes
	// to one device above it. A device's own Throttle comes first.
	DeviceRate Throttle

	// ChannelLimit is how many broadcast channels an app may have; one more is
	// CannotCreateChannelConfig. Default 10,000, as documented.
	ChannelLimit int
	// ChannelRate, when its Limit is set, answers 429 TooManyRequests to
	// broadcasts to one channel above it. Apple's limits are undisclosed.
	ChannelRate Throttle
	// NoBroadcast are bundle identifiers of apps without the broadcast capability,
	// for which broadcasts and channel management are FeatureNotEnabled.
	NoBroadcast []string

	// Lean turns the recorder, the inboxes, Live Activities and the counting of duplicates off and
	// keeps all checks on: for benchmarks.
	Lean bool
	// RecorderLimit bounds the pushes kept; the oldest go first. Each takes its
	// payload and about 1 KiB. Default 100,000.
	RecorderLimit int
	// DeviceLimit bounds the devices that appear by themselves; above it, unknown
	// device tokens are accepted without being remembered. Default 100,000.
	DeviceLimit int

	// RoundTrip delays everything the server sends after the TLS handshake, as if
	// the network had this round-trip time. Order is kept. Default 0.
	RoundTrip time.Duration
	// IdleTimeout ends a connection on which nothing arrives, with GOAWAY and
	// reason IdleTimeout. Default 2 h; negative means never. Apple's value is
	// unknown.
	IdleTimeout time.Duration
	// WriteTimeout ends a connection whose peer takes no bytes. Default 30 s.
	WriteTimeout time.Duration
	// HandshakeTimeout bounds TLS and the HTTP/2 preface. Default 10 s.
	HandshakeTimeout time.Duration
	// MaxConnections bounds open connections; further ones are reset. Default
	// 1024.
	MaxConnections int
	// MaxControlFrames bounds, in any 10 s, the frames of a connection that cost
	// work and bring no request nearer (PING, SETTINGS, RST_STREAM, PRIORITY,
	// empty DATA, unknown types, window updates beyond reason). Above it: GOAWAY
	// with ENHANCE_YOUR_CALM. Default 20,000, plus one for each request answered.
	MaxControlFrames int

	// Binary is for the ports of the binary protocol, if they are started.
	Binary BinaryConfig

	// Guesses chooses where Apple's behaviour is not known.
	Guesses Guesses

	// Now is the clock of all rules about time. Default time.Now.
	Now func() time.Time
	// Logger receives connection events at Debug and refusals of service at Warn.
	// Device tokens are shortened; provider tokens never appear. Nil is silent.
	Logger *slog.Logger
	// Seed makes generated ids and fault probabilities repeatable. Connections
	// are numbered in order of acceptance and each draws from its own sequence.
	Seed uint64
}

// CheckOrder names an order of checks; Apple documents none.
type CheckOrder string

const (
	// OrderDefault is: path, method, duplicate headers, authentication, header
	// syntax, topic, payload, device token, device state, rate.
	OrderDefault CheckOrder = ""
	// OrderHeadersFirst judges headers, topic and the device token's form before
	// authentication, as pushy's mock server does.
	OrderHeadersFirst CheckOrder = "headers_first"
)

// Guesses are behaviours that could not be confirmed or on which sources
// disagree; docs/simulator-fidelity.md gives the evidence. The zero value is our
// best guess for each.
type Guesses struct {
	// Order of the checks.
	Order CheckOrder
	// DocumentedEnvironmentReason answers BadEnvironmentKeyIdInToken, as
	// documented, instead of BadEnvironmentKeyInToken, as seen on the wire.
	DocumentedEnvironmentReason bool
	// RefuseDER refuses provider tokens signed in DER form, which is what Apple's own
	// recipe for the shell makes, instead of the 64 raw bytes of RFC 7518; by default
	// both are taken.
	RefuseDER bool
	// StrictIssuedAt refuses iat as text (a Python library in use, kalyke) and in
	// milliseconds (Apple's own sample); by default both are taken.
	StrictIssuedAt bool
	// FutureIssuedAt is how far iat may lie ahead of the clock. Default 1 h;
	// further ahead is InvalidProviderToken. Negative means not at all.
	FutureIssuedAt time.Duration
	// TeamWideProviderTokenUpdates counts changes of the provider token per team over all
	// connections, instead of per connection as documented.
	TeamWideProviderTokenUpdates bool
	// WedgeAfterProviderTokenError keeps answering ExpiredProviderToken and
	// TooManyProviderTokenUpdates on a connection that once earned it, until the
	// 20 minutes are over.
	WedgeAfterProviderTokenError bool
	// InternalErrorAfterIdle answers 500 InternalServerError on a provider-token
	// connection once it was idle for so long (seen at one hour). 0 is off.
	InternalErrorAfterIdle time.Duration
	// CertificateStartsAtOne announces one stream first on certificate
	// connections too, followed by the full limit.
	CertificateStartsAtOne bool
	// BadCertificateEnvironmentAnswer answers 403 instead of sending the observed
	// pair of GOAWAY frames.
	BadCertificateEnvironmentAnswer bool
	// ShrinkAfterRejection announces one stream after a 4xx answer and the full
	// limit again after the next acceptance (seen 2016 to 2020).
	ShrinkAfterRejection bool
	// GoAwayOverLimit ends a connection that opens too many streams with GOAWAY
	// REFUSED_STREAM and Netty's text, instead of refusing the surplus.
	GoAwayOverLimit bool
	// LimitAtOnce refuses requests that cross with the first SETTINGS on the wire and
	// are more than they allow, as was seen from Apple in 2018; senders that take no
	// REFUSED_STREAM well lose some then. By default the peer is held to the limit once
	// it has acknowledged it, as Netty does, whose words APNs uses; later reports of
	// first bursts lost none.
	LimitAtOnce bool
	// LowercaseServerIDs makes generated apns-id values lower case; those of
	// Apple were seen in upper case.
	LowercaseServerIDs bool
	// RefuseUppercaseIDs answers BadMessageId to an apns-id in upper case, which
	// Apple's pages do not allow and Swift's UUID writes; by default it is taken.
	RefuseUppercaseIDs bool
	// AcceptBackgroundPriority10 accepts apns-priority 10 on a background push,
	// which Apple calls an error without naming the reason; by default
	// BadPriority. A missing priority is accepted either way.
	AcceptBackgroundPriority10 bool
	// RequirePushType answers InvalidPushType when apns-push-type is missing.
	RequirePushType bool
	// RefuseMalformedJSON answers 400 BadRequestPayload to a body that is not
	// JSON; APNs probably accepts it and the device drops it.
	RefuseMalformedJSON bool
	// StoredPerTopic is how many notifications are kept for an offline device and
	// topic. Default 1, as documented.
	StoredPerTopic int
	// ErrorLimit ends a connection after so many rejections, 410 not counted.
	// Default 0: never. Apple does it at a number it does not tell.
	ErrorLimit int
	// BadDeviceTokenWeight is how many rejections one BadDeviceToken counts for.
	// Default 4: Apple says only "sooner".
	BadDeviceTokenWeight int
	// CreateChannelOK answers 200 to the creation of a channel, as one library
	// reports, instead of 201, as documented.
	CreateChannelOK bool
	// StrictChannelBody takes only what Apple documents in the body that creates a
	// channel; by default also the push type in any case and the storage policy as
	// text, as a library's manual writes them.
	StrictChannelBody bool
	// IgnoreBadRequestID takes an apns-request-id that is no UUID; by default it
	// is BadMessageId. Apple names no reason.
	IgnoreBadRequestID bool
	// RefuseBroadcastPriority1 answers BadPriority to a broadcast with priority 1,
	// which one of Apple's pages allows and another does not mention.
	RefuseBroadcastPriority1 bool
	// RefuseLongBroadcastExpiration answers BadExpirationDate to a broadcast that
	// expires later than the eight hours that APNs stores it; by default it is
	// taken and kept for eight hours.
	RefuseLongBroadcastExpiration bool
	// RefuseBroadcastStart answers BadRequestPayload to a broadcast with event
	// start. Apple says that it is not possible and names no reason; by default
	// it is accepted and devices ignore it.
	RefuseBroadcastStart bool
	// AcceptEqualTimestamps lets a Live Activity take an update with the timestamp
	// of the state it shows; by default the timestamp has to grow.
	AcceptEqualTimestamps bool
	// MinDeviceTokenBytes is the shortest device token taken for well-formed, in
	// bytes (two digits each). Default 32. Devices added by hand may be shorter.
	MinDeviceTokenBytes int
	// Binary is what is guessed about the binary protocol.
	Binary BinaryGuesses
}

const (
	defaultRecorderLimit    = 100_000
	defaultDeviceLimit      = 100_000
	defaultIdleTimeout      = 2 * time.Hour
	defaultWriteTimeout     = 30 * time.Second
	defaultHandshakeTimeout = 10 * time.Second
	defaultMaxConnections   = 1024
	defaultMaxControlFrames = 20_000
	defaultBadTokenWeight   = 4
	defaultMinTokenBytes    = 32
)

// withDefaults returns a copy in which every zero has its documented meaning, or
// an error that says which field is wrong and how to mend it.
func (c Config) withDefaults() (Config, error) {
	c.Environment = cmp.Or(c.Environment, Sandbox)
	c.MaxStreams = cmp.Or(c.MaxStreams, proto.TypicalMaxStreams)
	c.UnauthenticatedMaxStreams = cmp.Or(c.UnauthenticatedMaxStreams, proto.UnauthenticatedMaxStreams)
	c.InitialWindow = cmp.Or(c.InitialWindow, proto.InitialWindowSize)
	c.ConnectionWindow = cmp.Or(c.ConnectionWindow, protocolWindow)
	c.MaxFrameSize = cmp.Or(c.MaxFrameSize, 16384)
	c.MaxHeaderList = cmp.Or(c.MaxHeaderList, proto.MaxHeaderList)
	c.RecorderLimit = cmp.Or(c.RecorderLimit, defaultRecorderLimit)
	c.DeviceLimit = cmp.Or(c.DeviceLimit, defaultDeviceLimit)
	c.IdleTimeout = cmp.Or(c.IdleTimeout, defaultIdleTimeout)
	c.WriteTimeout = cmp.Or(c.WriteTimeout, defaultWriteTimeout)
	c.ChannelLimit = cmp.Or(c.ChannelLimit, proto.MaxChannels)
	c.HandshakeTimeout = cmp.Or(c.HandshakeTimeout, defaultHandshakeTimeout)
	c.MaxConnections = cmp.Or(c.MaxConnections, defaultMaxConnections)
	c.MaxControlFrames = cmp.Or(c.MaxControlFrames, defaultMaxControlFrames)
	g := &c.Guesses
	g.FutureIssuedAt = cmp.Or(g.FutureIssuedAt, proto.ProviderTokenMaxAge)
	g.StoredPerTopic = cmp.Or(g.StoredPerTopic, 1)
	g.BadDeviceTokenWeight = cmp.Or(g.BadDeviceTokenWeight, defaultBadTokenWeight)
	g.MinDeviceTokenBytes = cmp.Or(g.MinDeviceTokenBytes, defaultMinTokenBytes)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Devices == nil {
		c.Devices = NewDevices()
	}

	errs := []error{c.binaryDefaults()}
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("sim: "+format, args...)) }
	if c.Environment != Sandbox && c.Environment != Production {
		bad("Environment is %q; it must be %q or %q", c.Environment, Sandbox, Production)
	}
	if c.MaxFrameSize < 16384 || c.MaxFrameSize > 1<<24-1 {
		bad("MaxFrameSize is %d; HTTP/2 allows 16384 to 16777215", c.MaxFrameSize)
	}
	if c.ConnectionWindow < protocolWindow || c.ConnectionWindow > maxWindow {
		bad("ConnectionWindow is %d; HTTP/2 begins with 65535 and allows at most 2147483647", c.ConnectionWindow)
	}
	if c.InitialWindow > 1<<31-1 {
		bad("InitialWindow is %d; HTTP/2 allows at most 2147483647", c.InitialWindow)
	}
	if g.Order != OrderDefault && g.Order != OrderHeadersFirst {
		bad("Guesses.Order is %q; it must be empty or %q", g.Order, OrderHeadersFirst)
	}
	for name, n := range map[string]int{
		"RecorderLimit": c.RecorderLimit, "DeviceLimit": c.DeviceLimit,
		"ChannelLimit":   c.ChannelLimit,
		"MaxConnections": c.MaxConnections, "MaxControlFrames": c.MaxControlFrames,
		"Guesses.StoredPerTopic": g.StoredPerTopic, "Guesses.ErrorLimit": g.ErrorLimit,
	} {
		if n < 0 {
			bad("%s is %d; it cannot be negative", name, n)
		}
	}
	c.Keys = slices.Clone(c.Keys)
	seen := map[string]bool{}
	for i := range c.Keys {
		k := &c.Keys[i]
		k.TeamID = cmp.Or(k.TeamID, c.TeamID)
		switch {
		case k.KeyID == "":
			bad("Keys[%d] has no KeyID; it is the ten characters in the name of AuthKey_<id>.p8", i)
		case seen[k.KeyID]:
			bad("Keys[%d]: key id %s is there twice", i, k.KeyID)
		case k.TeamID == "":
			bad("Keys[%d] (%s) has no TeamID; set it there or in Config.TeamID", i, k.KeyID)
		case k.Public == nil || k.Public.Curve != elliptic.P256():
			bad("Keys[%d] (%s) needs a public key on P-256; Apple's keys have no other curve", i, k.KeyID)
		}
		for _, e := range k.Environments {
			if e != Sandbox && e != Production {
				bad("Keys[%d] (%s): environment %q; it must be %q or %q", i, k.KeyID, e, Sandbox, Production)
			}
		}
		seen[k.KeyID] = true
	}
	for _, topic := range c.Topics {
		if strings.TrimSpace(topic) != topic || topic == "" {
			bad("Topics: %q is not a bundle identifier", topic)
		}
	}
	return c, errors.Join(errs...)
}
