package api

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"aviso.example/apns"
	"aviso.example/engine"
)

// Message is how a message fares.
type Message struct {
	ID          string         `json:"id"`
	App         string         `json:"app"`
	Environment string         `json:"environment" enum:"production,sandbox"`
	Lane        string         `json:"lane" enum:"urgent,normal,bulk"`
	Count       int            `json:"count" doc:"How many device tokens were given."`
	Accepted    int            `json:"accepted" doc:"How many of them were accepted here."`
	States      map[string]int `json:"states" doc:"How many notifications are in each state."`
	Reasons     []ReasonCount  `json:"reasons,omitempty" doc:"Why APNs did not take some, the most frequent first."`
	Done        bool           `json:"done" doc:"Every notification has ended."`
}

// ReasonCount is how often Apple gave a reason, explained.
type ReasonCount struct {
	Reason  string `json:"reason"`
	Count   int64  `json:"count"`
	Meaning string `json:"meaning"`
	Action  string `json:"action"`
	Advice  string `json:"advice"`
}

// reasonCounts explains reasons and puts the most frequent first.
func reasonCounts[N int | int64](counts map[apns.Reason]N) (list []ReasonCount) {
	for reason, n := range counts {
		info := reason.Info(0)
		list = append(list, ReasonCount{string(reason), int64(n), info.Meaning, string(info.Action), info.Advice})
	}
	slices.SortFunc(list, func(a, b ReasonCount) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Reason, b.Reason))
	})
	return list
}

// MessagePath is the path of a message.
type MessagePath struct {
	ID string `path:"id" maxLength:"80" doc:"The id of the message." example:"msg_068uhsjfacu3sc8v6l7m3b8mfs"`
}

func (m *MessagePath) parse() (engine.MessageID, *Problem) {
	id, err := engine.ParseMessageID(m.ID)
	if err != nil {
		return id, invalid(FieldProblem{"id", "is not the id of a message, which is msg_ and 26 characters or a few more, as it was returned"})
	}
	return id, nil
}

func (a *API) messageRoutes() {
	a.raw(a.postMessageOperation(), a.postMessage)
	huma.Register(a.huma, huma.Operation{
		OperationID: "list-messages", Method: http.MethodGet, Path: "/v1/messages", Tags: []string{"Messages"},
		Summary:     "Messages and how they fare",
		Description: "Each once: first those of which something waits or is being sent, queue by queue and then by their time; then those that are done, the newest first. It is no snapshot: what moves on between two pages can be missed, or met again.",
	}, a.listMessages)
	huma.Register(a.huma, huma.Operation{
		OperationID: "get-message", Method: http.MethodGet, Path: "/v1/messages/{id}", Tags: []string{"Messages"},
		Summary: "How a message fares",
	}, func(ctx context.Context, in *struct{ MessagePath }) (*struct{ Body Message }, error) {
		id, p := in.parse()
		if p != nil {
			return nil, p
		}
		return a.messageStatus(ctx, id)
	})
	huma.Register(a.huma, huma.Operation{
		OperationID: "list-message-deliveries", Method: http.MethodGet, Path: "/v1/messages/{id}/deliveries", Tags: []string{"Messages"},
		Summary:     "Where each notification of a message is",
		Description: "In the order of the device tokens, each once; those that were refused are left out.",
	}, a.listMessageDeliveries)
	huma.Register(a.huma, huma.Operation{
		OperationID: "cancel-message", Method: http.MethodPost, Path: "/v1/messages/{id}:cancel", Tags: []string{"Messages"},
		Summary:     "Call a message back",
		Description: "Notifications that have not been handed to APNs end as cancelled; what was sent was sent. The answer is how the message fares now.",
	}, func(ctx context.Context, in *struct{ MessagePath }) (*struct{ Body Message }, error) {
		id, p := in.parse()
		if p != nil {
			return nil, p
		}
		if err := a.engine.CancelMessage(ctx, id); err != nil {
			return nil, a.problemOf(ctx, err, "message", false)
		}
		return a.messageStatus(ctx, id)
	})
}

func (a *API) messageStatus(ctx context.Context, id engine.MessageID) (*struct{ Body Message }, error) {
	s, err := a.engine.Message(ctx, id)
	if err != nil {
		return nil, a.problemOf(ctx, err, "message", false)
	}
	return &struct{ Body Message }{newMessage(&s)}, nil
}

func newMessage(s *engine.MessageStatus) Message {
	out := Message{ID: s.ID.String(), App: s.App, Environment: s.Environment.String(), Lane: s.Lane.String(), Count: s.ID.Count, Accepted: s.Accepted, States: map[string]int{}, Done: s.Done, Reasons: reasonCounts(s.Reasons)}
	for state, n := range s.States {
		out.States[state.String()] = n
	}
	return out
}

// Messages is a page of them.
type Messages struct {
	Messages []Message `json:"messages"`
	Next     string    `json:"next,omitempty" doc:"The cursor of the next page; left out at the end. A page can be short, or empty, and not be the last."`
}

func (a *API) listMessages(ctx context.Context, in *struct {
	App   string   `query:"app" maxLength:"40" doc:"Only this app."`
	State []string `query:"state" enum:"queued,scheduled,sending,retrying,accepted,rejected,expired,cancelled,unknown" doc:"Only those of which a notification is in one of these states, separated by commas."`
	Paging
},
) (*page[Messages], error) {
	from, p := readPlace(messagesCursor, in.Cursor)
	if p != nil {
		return nil, p
	}
	list, next, err := a.engine.Messages(ctx, engine.Filter{App: in.App, States: (&VerdictFilter{State: in.State}).states()}, from, in.Limit)
	if err != nil {
		return nil, a.problemOf(ctx, err, "message", false)
	}
	out := &page[Messages]{Body: Messages{Messages: make([]Message, 0, len(list)), Next: writePlace(messagesCursor, next)}}
	for i := range list {
		out.Body.Messages = append(out.Body.Messages, newMessage(&list[i]))
	}
	out.Link = in.link("cursor", out.Body.Next)
	return out, nil
}

// maxLookedAt bounds the notifications that one page looks at, so that a filter
// which matches little answers in time.
const maxLookedAt = 10_000

func (a *API) listMessageDeliveries(ctx context.Context, in *struct {
	MessagePath
	VerdictFilter
	Paging
},
) (*page[Deliveries], error) {
	id, p := in.parse()
	if p != nil {
		return nil, p
	}
	var from uint64
	if p := messageCursor.read("cursor", in.Cursor, &from); p != nil {
		return nil, p
	}
	out := &page[Deliveries]{Body: Deliveries{Deliveries: []Delivery{}}}
	states, reason := in.states(), in.reason()
	at, looked := int(min(from, uint64(id.Count))), 0
	for at < id.Count && len(out.Body.Deliveries) < in.Limit && looked < maxLookedAt {
		list, next, err := a.engine.Deliveries(ctx, id, at, min(maxLimit, in.Limit))
		if errors.Is(err, engine.ErrNotFound) {
			if _, err = a.engine.Message(ctx, id); err == nil {
				looked, at = looked+next-at, next // all of these were refused
				continue
			}
		}
		if err != nil {
			return nil, a.problemOf(ctx, err, "message", false)
		}
		for i := range list {
			v := &list[i]
			if len(states) > 0 && !slices.Contains(states, v.State) || reason != "" && v.Reason != reason {
				continue
			}
			if len(out.Body.Deliveries) == in.Limit {
				for next = at; id.ID(next) != v.ID; next++ { // its place is where the next page begins
				}
				break
			}
			out.Body.Deliveries = append(out.Body.Deliveries, newDelivery(v))
		}
		looked, at = looked+next-at, next
	}
	if at < id.Count {
		out.Body.Next = messageCursor.text(uint64(at))
	}
	out.Link = in.link("cursor", out.Body.Next)
	return out, nil
}
