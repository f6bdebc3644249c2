package api

import "time"

const (
	// maxMessageBody bounds the body of POST /v1/messages in bytes: the engine's
	// limit of 100,000 device tokens with twice the room each one usually takes.
	maxMessageBody = 16 << 20
	// keptBody is up to which size a body's memory is kept for the next request.
	keptBody = 1 << 20
	// maxControlBody bounds the bodies of all other requests, which hold a note
	// or a number.
	maxControlBody = 64 << 10
	// maxListed is how many device tokens a message can have for its answer to
	// list the ids of all deliveries; beyond, they can be fetched page by page.
	maxListed = 1000
	// maxRefusedListed bounds the refused device tokens that an answer lists.
	maxRefusedListed = 1000

	// maxLineErrors bounds the wrong lines that the answer to a batch lists.
	maxLineErrors = 1000
	// batchLinger is how long a line of a batch may be in memory only: long enough
	// for a chunk to fill when lines come fast, and short for whoever looks.
	batchLinger = 100 * time.Millisecond
	// batchSilence is how long the sender of a batch may say nothing: long enough
	// for a slow query to give its first row, and short enough that a connection
	// nobody closed does not keep a batch open for ever.
	batchSilence = 5 * time.Minute
	// answerTime is how long the answer to a batch may take to be written,
	// whatever the server's limit for whole requests.
	answerTime = time.Minute

	// defaultLimit and maxLimit bound a page.
	defaultLimit = 100
	maxLimit     = 1000

	// maxQuoted is how much of somebody's text a problem repeats, in bytes. It is
	// shorter than any device token there is.
	maxQuoted = 40

	// maxMessage is the longest of huma's messages that a problem repeats, in
	// bytes: its own have a sentence.
	maxMessage = 300

	// snapshotAge is how old the engine's figures may be for /readyz and
	// /metrics: asking the log about every queue costs something, and anybody can
	// ask for /readyz.
	snapshotAge = time.Second
	// snapshotTime bounds how long the log may take to give them.
	snapshotTime = 5 * time.Second

	// busyRetry, fullRetry and closingRetry are what Retry-After says: a busy log
	// is free again in a moment, a full one has to be emptied by APNs, and a
	// server that is replaced needs some seconds.
	busyRetry    = time.Second
	fullRetry    = 30 * time.Second
	closingRetry = 5 * time.Second
)
