package apns

import (
	"strconv"
	"sync/atomic"
	"time"

	"aviso.example/auth"
	"aviso.example/internal/h2"
	"aviso.example/internal/proto"
)

// job is a notification on its way. Jobs are reused, with their buffers, so
// that a notification costs no allocation.
type job struct {
	call   h2.Call
	client *Client
	n      *Notification
	// request is set instead of n's content by Do, whose n is a stand-in.
	request *Request
	id      ID

	path   []byte
	values []byte // of the fields
	fields [3]h2.Field

	begun    time.Time
	deadline time.Time
	attempts int
	resends  int            // attempts that were certainly not processed
	renewals int            // times sent again because of the provider token
	moved    bool           // sent again because its connection would not do
	unsure   error          // an attempt went unanswered, for this cause
	rejected *RejectedError // the last refusal that was worth another attempt

	uniqueID string
	err      error

	done  chan struct{} // for Push
	batch *batch        // for PushAll; nil with Push
	next  *job          // in the batch's list of ended jobs
	state atomic.Int32  // for the batch
}

func newJob(c *Client) *job {
	j := &job{client: c, done: make(chan struct{}, 1)}
	j.call.Owner = j
	return j
}

// release forgets the notification, so that an idle job keeps nothing alive.
func (j *job) release() {
	j.n, j.unsure, j.rejected, j.err, j.uniqueID = nil, nil, nil, nil, ""
	j.call.Body, j.call.Context = nil, nil
	if j.request != nil {
		j.releaseRequest()
	}
	j.call.Reset()
}

func (j *job) receipt() Receipt {
	return Receipt{ID: j.id, UniqueID: j.uniqueID, Attempts: j.attempts}
}

// prepare validates a notification and fills in the request. Nothing is sent.
func (j *job) prepare(n *Notification, now, deadline time.Time) error {
	j.n, j.begun, j.deadline = n, now, deadline
	j.attempts, j.resends, j.renewals, j.moved = 0, 0, 0, false
	if n == nil {
		j.id = ID{}
		return &NotSentError{Cause: &InvalidError{[]Problem{{"Notification", "is nil"}}}}
	}
	j.id = n.ID
	if j.id.IsZero() {
		j.id = newID(now)
	}
	if n.ChannelID != "" {
		return j.prepareBroadcast(n, now, deadline)
	}
	head, problems := j.client.heads.get(n, j.client.cfg.BundleID)
	// The clock that judges expirations may differ from the one that runs
	// timers, so it is asked only when there is one to judge.
	wall := now
	if n.Expiration.state == expirationAt {
		wall = j.client.cfg.Now()
	}
	problems = append(problems, n.checkRest(head.pushType, wall)...)
	if len(problems) > 0 {
		return &NotSentError{Cause: &InvalidError{problems}}
	}

	call := j.fill(head.head, n, now, wall, deadline)
	j.path = append(append(j.path[:0], proto.PathDevice...), n.DeviceToken...)
	// One device, one path, whatever the case: of the hexadecimal digits, only
	// the capitals have 0x40 and not 0x20.
	for i, b := range j.path[len(proto.PathDevice):] {
		if b&0x60 == 0x40 {
			j.path[len(proto.PathDevice)+i] = b | 0x20
		}
	}
	call.Path = j.path

	fields := j.fields[:0]
	v := j.id.append(j.values[:0])
	fields = append(fields, h2.Field{Name: proto.FieldID, Value: v[:36:36]})
	expiration := n.Expiration
	if expiration.state == expirationUnset && head.atOnce {
		expiration = ExpireImmediately
	}
	if expiration.state == expirationAtOnce || expiration.state == expirationAt {
		from := len(v)
		v = strconv.AppendInt(v, expiration.at, 10)
		fields = append(fields, h2.Field{Name: proto.FieldExpiration, Value: v[from:len(v):len(v)]})
	}
	if n.CollapseID != "" {
		from := len(v)
		v = append(v, n.CollapseID...)
		fields = append(fields, h2.Field{Name: proto.FieldCollapseID, Value: v[from:len(v):len(v)]})
	}
	j.values, call.Fields = v, fields
	return nil
}

// fill sets what calls to devices and to channels have in common. now and wall
// are one moment on the two clocks.
func (j *job) fill(head *h2.Head, n *Notification, now, wall, deadline time.Time) *h2.Call {
	call := &j.call // reset when the job was released
	call.Head, call.Body, call.Deadline = head, n.Payload, deadline
	call.Link, call.NotAfter = h2.Link{}, deadline
	if at, ok := n.Expiration.Time(); ok {
		if left := now.Add(at.Sub(wall)); left.Before(deadline) {
			call.NotAfter = left
		}
	}
	return call
}

// head is the shared part of requests with equal topic, push type and priority.
type head struct {
	head     *h2.Head
	pushType PushType
	atOnce   bool // no expiration means expire at once
}

type headKey struct {
	bundleID, topic string
	pushType        PushType
	byPayload       PushType // where none is stated
	priority        Priority
}

// heads remembers the heads in use. Reading takes no lock; the map is replaced
// when a head is added, which happens a handful of times in a program's life.
type heads struct {
	known       atomic.Pointer[map[headKey]head]
	certificate *auth.Certificate
}

// maxHeads bounds the memory that ever-new topics can take; beyond it heads are
// made for the one request.
const maxHeads = 4096

func (h *heads) get(n *Notification, bundleID string) (head, []Problem) {
	key := headKey{n.BundleID, n.Topic, n.PushType, n.typeOfPayload(), n.Priority}
	known := h.known.Load()
	if known != nil {
		if hd, ok := (*known)[key]; ok {
			return hd, nil
		}
	}
	topic, pushType, priority, problems := n.checkHead(bundleID)
	if h.certificate != nil && len(problems) == 0 && !h.certificate.Info.CanPushTo(topic) {
		problems = append(problems, Problem{"Topic", "is not among those of the certificate; APNs would answer TopicDisallowed"})
	}
	hd := head{pushType: pushType}
	if rule, ok := proto.RuleFor(pushType); ok {
		hd.atOnce = rule.ExpireAtOnce
	}
	if len(problems) > 0 {
		return hd, problems
	}
	fields := []h2.Field{
		{Name: ":method", Value: []byte("POST")},
		{Name: ":scheme", Value: []byte("https")},
		{Name: proto.FieldTopic, Value: []byte(topic)},
	}
	if pushType != "" {
		fields = append(fields, h2.Field{Name: proto.FieldPushType, Value: []byte(pushType)})
	}
	if priority != 0 {
		fields = append(fields, h2.Field{Name: proto.FieldPriority, Value: strconv.AppendInt(nil, int64(priority), 10)})
	}
	hd.head = h2.NewHead(fields...)
	for known == nil || len(*known) < maxHeads {
		next := map[headKey]head{key: hd}
		if known != nil {
			for k, v := range *known {
				next[k] = v
			}
			if other, ok := next[key]; ok && other.head != hd.head {
				hd = other // somebody was faster; one head, one pointer
			}
		}
		if h.known.CompareAndSwap(known, &next) {
			break
		}
		known = h.known.Load()
	}
	return hd, nil
}
