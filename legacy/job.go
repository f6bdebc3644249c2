package legacy

import (
	"context"
	"runtime"
	"sync/atomic"
	"time"

	"aviso.example/apns"
)

// A job is a notification on its way. Its state says whose it is:
//
//	waiting ──► encoding ──► written ──► over
//	   ▲                        │          ▲
//	   └── certainly not sent ──┘          │
//	   └───────────────── anybody ─────────┘
//
// The loop moves it along; whoever gives up waiting (a context, a batch) may
// move it to over from waiting or written, and whoever moves it there tells the
// outcome, so that there is exactly one. Encoding is passed within a
// microsecond: only then does the loop read the notification, which belongs to
// the caller again once the outcome is known.
type job struct {
	n    *apns.Notification
	ctx  context.Context // once it is done, the job is not written any more
	wire wire
	size int // of its frame
	// resendUnknown is n's: the notification itself is read while encoding only.
	resendUnknown bool
	begun         time.Time
	// notAfter is when it must not be written any more.
	notAfter time.Time

	// These are the loop's.
	id      uint32    // on the connection it was written to last
	end     uint64    // position of its last byte on that connection
	written time.Time // when the Write with it returned
	waiting time.Time // since when it waits for a connection
	due     time.Time // when it may be written again
	unsure  error     // why an earlier attempt may have been processed
	refused *apns.RejectedError
	next    *job // in one of the loop's lists

	state    atomic.Uint32
	attempts atomic.Int32 // how often it was written and not certainly unprocessed

	err   error
	batch *batch // nil for Push
	link  *job   // in the batch's stacks
	done  chan struct{}
	// given says that it was given up in a batch: the loop may have it still.
	given bool
	// slot says that it holds one of Client.slots until the loop lets it go.
	slot bool
}

const (
	jobWaiting = iota
	jobEncoding
	jobWritten
	jobOver
)

func newJob(b *batch) *job {
	j := &job{batch: b}
	if b == nil {
		j.done = make(chan struct{}, 1)
	}
	j.state.Store(jobOver)
	return j
}

// prepare makes a job ready for a notification, or returns what is wrong with
// it.
func (j *job) prepare(ctx context.Context, c *Client, n *apns.Notification, begun, notAfter time.Time) (problems []apns.Problem) {
	j.n, j.ctx, j.begun, j.notAfter = n, ctx, begun, notAfter
	j.waiting, j.due = begun, time.Time{}
	j.unsure, j.refused, j.err, j.slot = nil, nil, nil, false
	j.attempts.Store(0)
	wall := begun
	if n != nil && n.Expiration != (apns.Expiration{}) {
		wall = c.cfg.Now()
	}
	if j.wire, problems = c.rules.check(n, wall); len(problems) > 0 {
		return problems
	}
	j.resendUnknown = n.ResendUnknown
	f := Frame{Command: CommandItems, Has: j.wire.has, Payload: n.Payload}
	j.size = f.size() + len(n.DeviceToken)/2
	if j.wire.has&HasExpiration != 0 && j.wire.expiration != 0 {
		left := time.Unix(int64(j.wire.expiration), 0).Sub(wall)
		if expires := begun.Add(left); expires.Before(notAfter) {
			j.notAfter = expires
		}
	}
	j.state.Store(jobWaiting)
	return nil
}

// encode appends the frame, unless somebody has given the job up.
func (j *job) encode(dst []byte, id uint32, device *[]byte) ([]byte, bool) {
	if !j.state.CompareAndSwap(jobWaiting, jobEncoding) {
		return dst, false
	}
	*device = appendHex((*device)[:0], j.n.DeviceToken)
	f := Frame{
		Command: CommandItems, Has: j.wire.has, Priority: j.wire.priority, Expiration: j.wire.expiration,
		Identifier: id, DeviceToken: *device, Payload: j.n.Payload,
	}
	dst = f.append(dst)
	j.id = id
	j.state.Store(jobWritten)
	return dst, true
}

// giveUp ends the job for a reason of the caller's. If it returns false, the
// loop was first and the outcome is on its way. Otherwise the loop may still
// have the job in one of its lists, so it must not be used again.
func (j *job) giveUp(cause error) (err error, ok bool) {
	for {
		switch state := j.state.Load(); state {
		case jobOver:
			return nil, false
		case jobEncoding:
			runtime.Gosched()
		default:
			if !j.state.CompareAndSwap(state, jobOver) {
				continue
			}
			if state == jobWaiting && j.unsure == nil {
				return &apns.NotSentError{Cause: cause}, true
			}
			if state == jobWritten {
				j.attempts.Add(1)
			}
			return &apns.UnknownError{Cause: cause}, true
		}
	}
}

func (j *job) receipt() apns.Receipt {
	r := apns.Receipt{Attempts: int(j.attempts.Load())}
	if j.n != nil {
		r.ID = j.n.ID
	}
	return r
}

// list is a queue of jobs, linked through next. The loop alone uses it.
type list struct {
	first, last *job
	len         int
}

func (l *list) push(j *job) {
	if j.next = nil; l.first == nil {
		l.first = j
	} else {
		l.last.next = j
	}
	l.last = j
	l.len++
}

func (l *list) pop() *job {
	j := l.first
	if j == nil {
		return nil
	}
	if l.first = j.next; l.first == nil {
		l.last = nil
	}
	j.next = nil
	l.len--
	return j
}

// join appends another list and empties it.
func (l *list) join(other *list) {
	if other.first == nil {
		return
	}
	if l.first == nil {
		l.first = other.first
	} else {
		l.last.next = other.first
	}
	l.last = other.last
	l.len += other.len
	*other = list{}
}
