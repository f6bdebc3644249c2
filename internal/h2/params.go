package h2

import "time"

// Defaults of Config; each says what it bounds and why it has that value.
const (
	// DefaultRequestTimeout bounds the time from the first byte of a request to
	// the end of its answer. Some APNs servers never answer some requests (pushy
	// issue 773 waited 25 minutes), and 10 to 30 seconds is what senders settle
	// on.
	DefaultRequestTimeout = 30 * time.Second
	// DefaultPingAfter is how long a connection with open streams may be silent
	// before it is asked for a sign of life.
	DefaultPingAfter = 5 * time.Second
	// DefaultPingTimeout is how long the sign of life may take. Together with
	// DefaultPingAfter it stays below DefaultRequestTimeout, so that a dead
	// connection is known as such before its requests time out one by one.
	DefaultPingTimeout = 5 * time.Second
	// DefaultIdlePing is how often a connection without streams is probed, below
	// the few minutes after which NATs forget a flow.
	DefaultIdlePing = time.Minute
	// DefaultSettingsTimeout bounds the wait for the peer's first SETTINGS.
	DefaultSettingsTimeout = 10 * time.Second
	// DefaultMaxStreams caps what a peer may allow: RFC 9113 lets it allow two
	// billion, and each open stream costs memory.
	DefaultMaxStreams = 4096
	// DefaultMaxBody is how much of an answer's body is kept; APNs answers with
	// less than 100 bytes.
	DefaultMaxBody = 4 << 10
)

const (
	// suspectAfter is how many requests in a row may go unanswered, with no
	// answer between them, before the connection is called suspect even though
	// it still answers PING.
	suspectAfter = 3

	// writeBatch is the number of encoded bytes after which the writer stops
	// gathering and writes: four full TLS records. Larger buffers delay the
	// first request in them for no gain in system calls.
	writeBatch = 64 << 10
	// takeBatch is how many calls are taken from the Source at a time, so that
	// one connection does not drain a queue that others could share.
	takeBatch = 128

	// readBuffer holds several TLS records; it must exceed maxFrameSize plus a
	// frame header.
	readBuffer = 64 << 10

	// maxFrameSize is what this side accepts, the protocol's minimum (RFC 9113
	// section 6.5.2); answers are tiny.
	maxFrameSize = 16384
	// frameHeaderLen is fixed by RFC 9113 section 4.1.
	frameHeaderLen = 9
	// initialWindow is the protocol's default for both windows (RFC 9113
	// section 6.9.2); it is what this side offers and what it assumes before
	// SETTINGS.
	initialWindow = 65535
	// maxWindow is the largest window there may be (RFC 9113 section 6.9.1).
	maxWindow = 1<<31 - 1
	// maxStreamID is the last stream a client can open (RFC 9113 section 5.1.1).
	maxStreamID = 1<<31 - 1
	// maxTable is the most HPACK table this side uses even if the peer allows
	// more; constants fit many times over.
	maxTable = 4096
	// keptChunk is the size of the allocation that response fields to keep share:
	// some fourteen UUIDs, so that one which a caller keeps for long does not
	// keep many others.
	keptChunk = 512
	// maxHeaderList is what this side accepts in one header section.
	maxHeaderList = 16 << 10
	// maxHeaderBlock bounds the encoded bytes of HEADERS and CONTINUATION
	// together, against peers that never send END_HEADERS.
	maxHeaderBlock = 32 << 10
	// maxContinuations bounds the frames of a header section, against empty ones
	// without end.
	maxContinuations = 64
	// noLimit stands for a setting the peer has not sent (RFC 9113 section 6.5.2:
	// initially unlimited).
	noLimit = 1<<32 - 1
	// maxGoAwayDebug is how much of GOAWAY's debug data is kept.
	maxGoAwayDebug = 4 << 10
	// maxControl bounds the control frames waiting to be written; a peer that
	// makes us owe more (PING or SETTINGS floods while it does not read) is
	// hostile.
	maxControl = 64 << 10

	// lastWords bounds the search for the reason why a Write failed; what the
	// peer said about it has arrived already.
	lastWords = 200 * time.Millisecond
	// farewell bounds the time spent telling the peer why we leave.
	farewell = time.Second
	// writeStall is how long one Write may block before the connection counts
	// as dead.
	writeStall = 15 * time.Second
)
