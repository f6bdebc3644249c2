package proto

import "time"

const (
	// MaxPayload is the largest body of an ordinary push, in bytes of UTF-8
	// ("Generating a remote notification").
	MaxPayload = 4096
	// MaxPayloadVoIP is the largest body of a VoIP push, in bytes.
	MaxPayloadVoIP = 5120
	// MaxPayloadBroadcast is the largest body of a broadcast, in bytes.
	MaxPayloadBroadcast = 5120
	// MaxChannels is how many channels an app may have in one environment
	// ("Sending channel management requests to APNs").
	MaxChannels = 10_000
	// MaxCollapseID is the longest apns-collapse-id, in bytes, not characters.
	MaxCollapseID = 64
	// MaxDeviceTokenBytes is the longest device token Apple warned of: 100
	// bytes, 200 hexadecimal digits. Live Activity tokens are longer still and
	// Apple says to assume no length, so this is a hint for people, never a
	// reason to refuse.
	MaxDeviceTokenBytes = 100
	// MaxHeaderList is the header list size APNs announces in SETTINGS
	// (observed), in octets counted as RFC 9113 section 6.5.2 counts them.
	MaxHeaderList = 8000
	// HeaderTableSize is the HPACK table APNs announces (observed).
	HeaderTableSize = 4096
	// InitialWindowSize is the per-stream window APNs announces (observed).
	InitialWindowSize = 65535
	// TypicalMaxStreams is the stream limit seen on an authenticated
	// connection; 500, 1000 and 1500 were seen between 2016 and 2026, and Apple
	// says to assume no number.
	TypicalMaxStreams = 1000
	// UnauthenticatedMaxStreams is the limit of a connection that uses provider
	// tokens until its first accepted request ("Sending notification requests
	// to APNs").
	UnauthenticatedMaxStreams = 1
	// KeyIDLength and TeamIDLength are the lengths of Apple's identifiers.
	KeyIDLength  = 10
	TeamIDLength = 10
)

const (
	// ProviderTokenMinInterval is the shortest time between two provider tokens
	// on one connection: sooner is 429 TooManyProviderTokenUpdates.
	ProviderTokenMinInterval = 20 * time.Minute
	// ProviderTokenMaxAge is the age at which a provider token is refused with
	// 403 ExpiredProviderToken.
	ProviderTokenMaxAge = 60 * time.Minute
	// StorageMax is how long APNs keeps an undelivered notification whose
	// expiration is not set.
	StorageMax = 30 * 24 * time.Hour
	// ChannelStorageMax is how long APNs keeps the last message of a channel that
	// stores it ("Sending channel management requests to APNs").
	ChannelStorageMax = 8 * time.Hour
	// ActivityMax is how long a Live Activity stays active, and
	// ActivityLingers how long an ended one stays on the lock screen at most
	// ("Displaying live data with Live Activities").
	ActivityMax     = 8 * time.Hour
	ActivityLingers = 4 * time.Hour
	// ServerErrorRetry is how long Apple asks to wait before repeating a
	// request that was answered with a 5xx status.
	ServerErrorRetry = 15 * time.Minute
)
