package apns

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	"aviso.example/internal/h2"
	"aviso.example/internal/proto"
)

// Request is a request to APNs that is not a notification, such as those of
// channel management, which package broadcast has ready-made.
type Request struct {
	// Method is GET, POST or DELETE.
	Method string
	// Path begins with / and has no query.
	Path string
	// ChannelID, if set, is sent as apns-channel-id.
	ChannelID string
	// Body may be empty.
	Body []byte
	// ID is the apns-request-id; the client makes one if it is zero.
	ID ID
	// Repeatable allows another attempt when no answer came. Only what changes
	// nothing should have it.
	Repeatable bool
	// MaxAnswer bounds what is kept of the answer's body, in bytes; the rest is
	// cut off. 0 means 4096.
	MaxAnswer int
}

// Answer is APNs's answer to a Request that it took.
type Answer struct {
	Receipt
	// Status is 200, 201 or 204.
	Status int
	// ChannelID is the answer's apns-channel-id, seen with HostManagement only.
	ChannelID string
	Body      []byte
}

var requestMethods = []string{"GET", "POST", "DELETE"}

// requestHeads are the shared parts of Requests, by method.
var requestHeads = func() map[string]*h2.Head {
	all := map[string]*h2.Head{}
	for _, method := range requestMethods {
		all[method] = h2.NewHead(h2.Field{Name: ":method", Value: []byte(method)}, h2.Field{Name: ":scheme", Value: []byte("https")})
	}
	return all
}()

// Do sends a request that is not a notification. It goes the way of Push, on the
// same connections, with the same resends and the same four outcomes: the error
// is nil if APNs answered with a 2xx status, otherwise a *RejectedError,
// *NotSentError or *UnknownError. Hooks for notifications do not hear of it.
func (c *Client) Do(ctx context.Context, r *Request) (Answer, error) {
	j := c.jobs.Get().(*job)
	now, deadline := c.span(ctx)
	c.open.Add(1)
	j.begun, j.deadline = now, deadline
	c.run(ctx, j, deadline, j.prepareRequest(r))
	a := Answer{Receipt: j.receipt()}
	err := j.err
	if err == nil {
		a.Status, a.ChannelID, a.Body = j.call.Status, j.call.Kept[keptChannelID], bytes.Clone(j.call.Data)
	}
	j.release()
	c.jobs.Put(j)
	return a, err
}

// prepareRequest checks a request and makes it the job's call. Nothing is sent.
func (j *job) prepareRequest(r *Request) error {
	j.attempts, j.resends, j.renewals, j.moved = 0, 0, 0, false
	if r == nil {
		r = &Request{}
	}
	j.request, j.n, j.id = r, &Notification{ResendUnknown: r.Repeatable}, r.ID
	if j.id.IsZero() {
		j.id = newID(j.begun)
	}
	var problems []Problem
	if !slices.Contains(requestMethods, r.Method) {
		problems = append(problems, Problem{"Method", "has to be GET, POST or DELETE"})
	}
	if !strings.HasPrefix(r.Path, "/") || strings.ContainsFunc(r.Path, func(c rune) bool { return c <= ' ' || c >= 0x7f || c == '?' || c == '#' }) {
		problems = append(problems, Problem{"Path", "has to begin with / and be printable ASCII without a query"})
	}
	if r.ChannelID != "" {
		if p := CheckChannelID(r.ChannelID); p != nil {
			problems = append(problems, *p)
		}
	}
	if len(r.Body) > proto.MaxPayloadBroadcast {
		problems = append(problems, Problem{"Body", fmt.Sprintf("has %d bytes; the limit is %d", len(r.Body), proto.MaxPayloadBroadcast)})
	}
	if len(problems) > 0 {
		return &NotSentError{Cause: &InvalidError{problems}}
	}
	call := &j.call
	call.Head, call.Body, call.MaxBody = requestHeads[r.Method], r.Body, r.MaxAnswer
	call.Link, call.Deadline, call.NotAfter = h2.Link{}, j.deadline, j.deadline
	j.path = append(j.path[:0], r.Path...)
	call.Path = j.path
	j.values = append(j.id.append(j.values[:0]), r.ChannelID...)
	fields := append(j.fields[:0], h2.Field{Name: proto.FieldRequestID, Value: j.values[:36:36]})
	if r.ChannelID != "" {
		fields = append(fields, h2.Field{Name: proto.FieldChannelID, Value: j.values[36:]})
	}
	call.Fields = fields
	return nil
}

// releaseRequest makes the job fit for notifications again.
func (j *job) releaseRequest() {
	j.request, j.call.MaxBody = nil, 0
	j.call.Data = nil // a list of channels is larger than what idle jobs should keep
}

// what is how errors call the job.
func (j *job) what() string {
	switch {
	case j.request != nil:
		return "the request"
	case j.n != nil && j.n.ChannelID != "":
		return "the broadcast"
	}
	return ""
}
