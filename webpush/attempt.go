package webpush

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"aviso.example/internal/retryafter"
)

// fate is what became of one attempt.
type fate uint8

const (
	fateAnswered    fate = iota // the push service said something
	fateUnprocessed             // it certainly did not act on the request
	fateLost                    // nobody knows
)

// parcel is the body of one attempt. It knows whether all of it was given away,
// and gives away nothing once it is sealed or over says that it is too late. That decides what became of a request
// without an answer: HTTP/1.1 and HTTP/2 alike end a request after the last byte
// of its body, so one whose last byte never left the parcel was never complete,
// and cannot have been acted on. (net/http's own traces do not tell: it may still
// be writing when it returns.)
type parcel struct {
	over   func() bool
	mu     sync.Mutex
	rest   []byte
	gone   bool // the last byte was given away
	sealed bool
}

var errSealed = errors.New("the request was given up")

func (p *parcel) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sealed || p.over() {
		return 0, errSealed
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	if len(p.rest) > 0 {
		return n, nil
	}
	p.gone = true
	return n, io.EOF
}

func (p *parcel) Close() error { return nil }

// seal ends it and reports whether all of it was given away.
func (p *parcel) seal() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sealed = true
	return p.gone
}

// exchange is one attempt.
type exchange struct {
	origin  *origin
	through func()      // lets the next request to the origin begin
	over    func() bool // nothing may be begun any more
	parcel  *parcel     // nil for a message without body
	cancel  context.CancelCauseFunc

	conns atomic.Int32 // connections that net/http has tried
	wrote atomic.Bool  // the header went out on one of them
}

var errSecond = errors.New("the connection ended")

// gotConn is called for each connection that net/http tries.
func (x *exchange) gotConn(httptrace.GotConnInfo) {
	x.origin.connected()
	// net/http repeats a request without body by itself, also after RST_STREAM
	// with PROTOCOL_ERROR, which proves nothing (net/http.http2canRetryError). A
	// request that is cancelled here is not written.
	if x.conns.Add(1); x.wrote.Load() && x.parcel == nil {
		x.cancel(errSecond)
	}
}

func (x *exchange) wroteHeaders() {
	x.wrote.Store(true)
	x.through()
}

// refused matches what net/http says of a request that the peer certainly did
// not process: REFUSED_STREAM, or GOAWAY with a last stream below it (RFC 9113
// sections 6.8 and 8.7). These errors have no types. Should a later Go say it
// in other words, the outcome becomes Unknown, which is safe, and the tests fail.
var refused = regexp.MustCompile(`^http2: Transport: cannot retry err \[(?:` +
	`http2: Transport received Server's graceful shutdown GOAWAY|` +
	`stream error: stream ID \d+; REFUSED_STREAM(?:; received from peer)?` +
	`)\] after Request\.Body was written|` +
	`^http2: Transport received GOAWAY from server ErrCode:`)

// do makes one request and reads the answer. Of the three results, the error is
// nil if there was an answer.
func (x *exchange) do(ctx context.Context, target *subscription, header http.Header, body []byte) (*answer, fate, error) {
	ctx, x.cancel = context.WithCancelCause(ctx)
	defer x.cancel(nil)
	req := &http.Request{
		Method: http.MethodPost, URL: target.url, Host: target.url.Host, Header: header, Body: http.NoBody,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	if body != nil {
		x.parcel = &parcel{over: x.over, rest: body}
		// Without GetBody, net/http repeats nothing that was written in part.
		req.Body, req.ContentLength = x.parcel, int64(len(body))
	}
	trace := &httptrace.ClientTrace{GotConn: x.gotConn, WroteHeaders: x.wroteHeaders}
	req = req.WithContext(httptrace.WithClientTrace(ctx, trace))
	res, err := x.origin.transport.RoundTrip(req)
	if err != nil {
		return nil, x.fate(err), x.why(ctx, err)
	}
	defer res.Body.Close()
	// The status is the answer; the body must not keep it waiting.
	late := time.AfterFunc(answerTimeout, func() { x.cancel(errSealed) })
	defer late.Stop()
	return readAnswer(res), fateAnswered, nil
}

// answerTimeout bounds reading the body of an answer.
const answerTimeout = 5 * time.Second

func (x *exchange) fate(err error) fate {
	// A message without body may be out once there is a connection.
	gone := x.parcel == nil && x.conns.Load() > 0 || x.parcel != nil && x.parcel.seal()
	if !gone || refused.MatchString(err.Error()) {
		return fateUnprocessed
	}
	return fateLost
}

// why is the reason in our words, where net/http's would not help.
func (x *exchange) why(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return because(ctx)
	case refused.MatchString(err.Error()):
		return ErrRefused
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the connection was closed without an answer")
	}
	return err
}

// answer is what a push service said.
type answer struct {
	status     int
	id         string
	location   string
	retryAfter time.Duration
	mediaType  string
	body       []byte
}

func readAnswer(res *http.Response) *answer {
	a := &answer{
		status:     res.StatusCode,
		id:         res.Header.Get("apns-id"),
		location:   res.Header.Get("Location"),
		retryAfter: retryafter.Parse(res.Header.Get("Retry-After"), dateOf(res)),
		mediaType:  res.Header.Get("Content-Type"),
	}
	if a.status == http.StatusSwitchingProtocols {
		return a // net/http hands the connection over: reading would end with the peer only
	}
	if a.status < 300 && (res.ProtoMajor > 1 || res.ContentLength < 0) {
		return a // nothing worth waiting for; only HTTP/1.1 wants its connection read empty
	}
	var b bytes.Buffer
	// What fails while it is read has been answered all the same.
	io.Copy(&b, io.LimitReader(res.Body, maxAnswer))
	a.body = b.Bytes()
	return a
}

// dateOf is when the answer was made, by the clock of who made it (RFC 9110 section
// 6.6.1), or now.
func dateOf(res *http.Response) time.Time {
	if date, err := http.ParseTime(res.Header.Get("Date")); err == nil {
		return date
	}
	return time.Now()
}
