package h2

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/net/http2"
)

// Field is one header field. Names are lower case (RFC 9113 section 8.2.1).
type Field struct {
	Name  string
	Value []byte
}

// MaxKept is how many response fields a connection can be asked to keep.
const MaxKept = 5

// Head is the part of a request that many calls share: method, scheme, topic
// and the like. Its fields enter the HPACK table, so that they cost one byte
// each from the second call on. A Head must not change once used; calls with
// equal content should share one Head, since the pointer is what a connection
// remembers.
type Head struct {
	fields []Field
	size   uint32
}

// NewHead returns a head with the given fields, pseudo-header fields first.
// :path and :authority do not belong here.
func NewHead(fields ...Field) *Head { return &Head{fields, listSize(fields)} }

// Fields returns what NewHead was given.
func (h *Head) Fields() []Field { return h.fields }

// listSize counts fields as SETTINGS_MAX_HEADER_LIST_SIZE does (RFC 9113
// section 6.5.2).
func listSize(fields []Field) uint32 {
	n := 0
	for i := range fields {
		n += len(fields[i].Name) + len(fields[i].Value) + 32
	}
	return uint32(n)
}

// Call is one request and its answer. The owner fills in the request, hands the
// call to a Source, and gets it back, ended, through Handler.Done; between the
// two it belongs to the connection. A call may be reused after Reset.
type Call struct {
	// Head is required.
	Head *Head
	// Path is the value of :path; it is never indexed.
	Path []byte
	// Fields are the fields of this request only; their values are never
	// indexed.
	Fields []Field
	// Body is sent as DATA; without one the request ends with its HEADERS. It
	// must not change until the call ends.
	Body []byte
	// Deadline, if not zero, ends the call earlier than Config.RequestTimeout
	// would.
	Deadline time.Time
	// NotAfter, if not zero, is when the call is no longer worth sending; it
	// does not end a call that has been written.
	NotAfter time.Time
	// Context, if not nil, is asked when the call's turn comes: if it is done, the
	// call is not begun. It does not end a call that has been written. Its Err
	// is called with the connection locked.
	Context context.Context
	// MaxBody is how much of the answer's body to keep; 0 means DefaultMaxBody.
	// What is beyond is read and dropped.
	MaxBody int
	// Owner is for whoever made the call.
	Owner any

	// Status is the answer's final :status, once the call has ended without Err.
	Status int
	// Kept holds the values of the fields named in Config.Keep, by position.
	Kept [MaxKept]string
	// Data is the answer's body, at most MaxBody bytes of it.
	Data []byte
	// Err is nil when the answer is complete, otherwise a *Failure.
	Err error

	// Link is for the Source that holds the call; a connection does not touch
	// it.
	Link Link

	conn       *Conn
	common     int
	id         uint32
	began      int64 // on the connection's clock
	sendWindow int64
	recvWindow int32
	sent       int    // bytes of Body already encoded
	endOffset  uint64 // position of END_STREAM's last byte in the output; 0: not encoded
	deadline   int64  // on the connection's clock
	gotFinal   bool   // final (not 1xx) HEADERS seen
	blocked    bool   // waits for flow control
}

// Link is what a Source notes about a call it holds, so that it can queue calls
// without allocating.
type Link struct {
	Next, Prev *Call
	// Where and Index say in which of the source's structures the call is, and
	// at which place.
	Where, Index int
	// Conn is the connection that took the call.
	Conn *Conn
	// Cancelled is why the call must not be sent any more, or nil.
	Cancelled error
	// Due is when a delayed call comes up again.
	Due time.Time
}

// Reset forgets the answer and every trace of a connection, so that the call
// can be handed out again. The request stays.
func (c *Call) Reset() {
	c.Status, c.Err, c.Data = 0, nil, c.Data[:0]
	for i := range c.Kept {
		if c.Kept[i] != "" { // they rarely are set, and writing pointers costs
			c.Kept[i] = ""
		}
	}
	c.conn, c.id, c.sent, c.endOffset = nil, 0, 0, 0
	c.gotFinal, c.blocked = false, false
}

// Conn returns the connection the call was last handed to, or nil. It may be
// called by the call's owner only after the call has ended.
func (c *Call) Conn() *Conn { return c.conn }

// Common says with which values of Config.Common the call was sent: 0 for the
// first, then one more with each change by Config.Refresh. Like Conn, it is for
// the call's owner once the call has ended.
func (c *Call) Common() int { return c.common }

// Failure is why a call has no complete answer.
type Failure struct {
	// NotProcessed says that the peer certainly did not act on the request: it
	// was never written whole, or refused, or above GOAWAY's last stream
	// (RFC 9113 sections 6.8 and 8.7). Resending is safe. Otherwise the peer
	// may or may not have acted.
	NotProcessed bool
	// Cause is what happened; see the errors of this package.
	Cause error
}

// Error describes what happened and what it means for a resend.
func (f *Failure) Error() string {
	if f.NotProcessed {
		return fmt.Sprintf("not processed by the peer: %v", f.Cause)
	}
	return fmt.Sprintf("no answer: %v", f.Cause)
}

// Unwrap returns Cause.
func (f *Failure) Unwrap() error { return f.Cause }

// Errors that end calls or connections.
var (
	// ErrTimeout ends a call whose answer did not come in time.
	ErrTimeout = errors.New("the peer did not answer in time")
	// ErrSilent ends a connection that did not answer PING.
	ErrSilent = errors.New("the connection is silent: PING was not answered")
	// ErrStalled ends a connection that took no more bytes.
	ErrStalled = errors.New("the connection is stuck: the peer reads nothing")
	// ErrNoSettings ends a connection whose peer never sent SETTINGS.
	ErrNoSettings = errors.New("the peer sent no SETTINGS: it may not speak HTTP/2")
	// ErrClosed ends a connection closed from this side.
	ErrClosed = errors.New("the connection was closed by this side")
	// ErrPeerClosed ends a connection that the peer closed without GOAWAY.
	ErrPeerClosed = errors.New("the peer closed the connection")
	// ErrTooLate ends a call that was not sent by its NotAfter.
	ErrTooLate = errors.New("the call was not sent in time")
	// ErrOver ends a call whose Context was done before it was sent.
	ErrOver = errors.New("the call was given up before it was sent")
	// ErrHeaderTooLarge ends a call whose header section exceeds the peer's
	// SETTINGS_MAX_HEADER_LIST_SIZE.
	ErrHeaderTooLarge = errors.New("the header fields exceed the size the peer accepts")
)

// ResetError is a stream ended by the peer's RST_STREAM, or by this side because
// the peer's answer was malformed (Local).
type ResetError struct {
	Code  http2.ErrCode
	Local bool
	// Detail says what was malformed.
	Detail string
}

// Error names the code as RFC 9113 section 7 does.
func (e *ResetError) Error() string {
	if e.Local {
		return fmt.Sprintf("stream reset by this side (%v): %s", e.Code, e.Detail)
	}
	return fmt.Sprintf("stream reset by the peer with %v", e.Code)
}

// GoAwayError is the peer's GOAWAY.
type GoAwayError struct {
	LastStreamID uint32
	Code         http2.ErrCode
	// Debug is the additional debug data, kept up to 4 KiB. APNs puts JSON or
	// plain text here, sometimes in the second GOAWAY of two.
	Debug []byte
}

// Error names code and last stream and quotes the debug data.
func (e *GoAwayError) Error() string {
	if len(e.Debug) == 0 {
		return fmt.Sprintf("the peer sent GOAWAY (%v, last stream %d)", e.Code, e.LastStreamID)
	}
	return fmt.Sprintf("the peer sent GOAWAY (%v, last stream %d): %q", e.Code, e.LastStreamID, e.Debug)
}

// ProtocolError is a connection error raised by this side.
type ProtocolError struct {
	Code   http2.ErrCode
	Detail string
}

// NotHTTP2 says that the peer does not speak HTTP/2 at all.
func (e *ProtocolError) NotHTTP2() bool { return e.Code == http2.ErrCodeHTTP11Required }

// Error names the code and the rule that was broken.
func (e *ProtocolError) Error() string {
	return fmt.Sprintf("the peer broke HTTP/2 (%v): %s", e.Code, e.Detail)
}
