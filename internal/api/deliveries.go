package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"aviso.example/apns"
	"aviso.example/engine"
)

// Delivery is where one notification is.
type Delivery struct {
	ID          string `json:"id" format:"uuid" doc:"The notification, also in Apple's console: it travels as apns-id."`
	Message     string `json:"message,omitempty" doc:"The message it belongs to."`
	Batch       string `json:"batch,omitempty" doc:"The batch it was a line of."`
	App         string `json:"app"`
	Environment string `json:"environment" enum:"production,sandbox"`
	Lane        string `json:"lane" enum:"urgent,normal,bulk"`
	DeviceToken string `json:"device_token"`
	Verdict
	History []Verdict `json:"history,omitempty" doc:"The verdicts before the last one, oldest first. Given for one delivery only."`
}

// Verdict is what was decided about a notification at one moment.
type Verdict struct {
	State        string     `json:"state" enum:"queued,scheduled,sending,retrying,accepted,rejected,expired,cancelled,unknown" doc:"accepted is by APNs; whether a device has it, nobody knows. The first four go on by themselves."`
	Done         bool       `json:"done" doc:"Nothing follows by itself."`
	At           time.Time  `json:"at" doc:"When that was decided; for what waits, when it was handed in."`
	Attempts     int        `json:"attempts" doc:"How many there were until then."`
	Status       int        `json:"status,omitempty" doc:"The HTTP status that APNs answered with."`
	Reason       string     `json:"reason,omitempty" doc:"Apple's word for why not."`
	Meaning      string     `json:"meaning,omitempty" doc:"What it means."`
	Action       string     `json:"action,omitempty" doc:"What to do, in a few words."`
	Advice       string     `json:"advice,omitempty" doc:"What to do, in a sentence."`
	Detail       string     `json:"detail,omitempty" doc:"Why there was no answer, or why nothing was sent."`
	UniqueID     string     `json:"apns_unique_id,omitempty" doc:"APNs's own id in the sandbox, for the delivery log in Apple's console."`
	RetryAt      *time.Time `json:"retry_at,omitempty" doc:"When it is sent (again)."`
	DeadSince    *time.Time `json:"dead_since,omitempty" doc:"Since when the device token is dead, with status 410."`
	Suppressed   bool       `json:"suppressed,omitempty" doc:"Nothing was sent, as the device token is known to be dead."`
	InDeadLetter bool       `json:"in_dead_letters,omitempty" doc:"It went to the dead letters, from where it can be sent again until somebody discards it."`
}

func newVerdict(v *engine.Verdict) Verdict {
	out := Verdict{
		State: v.State.String(), Done: v.State.Final(), At: v.At, Attempts: v.Attempts, Status: v.Status, Reason: string(v.Reason),
		Detail: v.Detail, UniqueID: v.UniqueID, RetryAt: moment(v.RetryAt), DeadSince: moment(v.DeadSince), Suppressed: v.Suppressed, InDeadLetter: v.Buried,
	}
	if v.Reason != "" {
		info := v.Reason.Info(v.Status)
		out.Meaning, out.Action, out.Advice = info.Meaning, string(info.Action), info.Advice
	}
	return out
}

// moment returns nil for the zero time.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func newDelivery(v *engine.Verdict) Delivery {
	d := Delivery{
		ID: v.ID.String(), App: v.App, Environment: v.Environment.String(), Lane: v.Lane.String(), DeviceToken: v.DeviceToken, Verdict: newVerdict(v),
	}
	if v.Message.Count > 0 {
		d.Message = v.Message.String()
	}
	if !v.Batch.IsZero() {
		d.Batch = v.Batch.String()
	}
	return d
}

// Deliveries is a page of them.
type Deliveries struct {
	Deliveries []Delivery `json:"deliveries"`
	Next       string     `json:"next,omitempty" doc:"The cursor of the next page; left out at the end. A page can be short, or empty, and not be the last."`
}

// VerdictFilter chooses by what became of a notification.
type VerdictFilter struct {
	State  []string `query:"state" enum:"queued,scheduled,sending,retrying,accepted,rejected,expired,cancelled,unknown" doc:"Only these states, separated by commas."`
	Reason string   `query:"reason" maxLength:"64" doc:"Only this one of Apple's reasons."`
}

func (f *VerdictFilter) states() (list []engine.State) {
	for _, name := range f.State {
		var s engine.State
		if s.UnmarshalText([]byte(name)) == nil { // which the enumeration has seen to
			list = append(list, s)
		}
	}
	return list
}

// reason finds Apple's word whatever its case.
func (f *VerdictFilter) reason() apns.Reason {
	if info, ok := apns.LookupReason(f.Reason); ok {
		return info.Reason
	}
	return apns.Reason(f.Reason)
}

func (a *API) deliveryRoutes() {
	huma.Register(a.huma, huma.Operation{
		OperationID: "get-delivery", Method: http.MethodGet, Path: "/v1/deliveries/{id}", Tags: []string{"Deliveries"},
		Summary: "Where one notification is, and how it got there",
	}, func(ctx context.Context, in *struct {
		ID string `path:"id" doc:"The id of the delivery, which is its apns-id." example:"0190e8f2-6f3a-7c3e-9b1d-2f0a4c5d6e7f"`
	}) (*struct{ Body Delivery }, error) {
		id, err := apns.ParseID(in.ID)
		if err != nil {
			return nil, invalid(FieldProblem{"id", "is not the id of a delivery, which looks like 0190e8f2-6f3a-7c3e-9b1d-2f0a4c5d6e7f"})
		}
		d, err := a.engine.Delivery(ctx, id)
		if err != nil {
			return nil, a.problemOf(ctx, err, "delivery", false)
		}
		out := newDelivery(&d.Verdict)
		for i := range d.History {
			out.History = append(out.History, newVerdict(&d.History[i]))
		}
		return &struct{ Body Delivery }{out}, nil
	})
	huma.Register(a.huma, huma.Operation{
		OperationID: "list-deliveries", Method: http.MethodGet, Path: "/v1/deliveries", Tags: []string{"Deliveries"},
		Summary:     "Notifications in their present state",
		Description: "Each once: first what waits or is being sent, queue by queue and then what is scheduled or tried again later; then what has ended, the newest first. It is no snapshot: what moves on between two pages can be missed, or met again in its next state. How each came to where it is, GET /v1/verdicts tells.",
	}, a.listDeliveries)
	huma.Register(a.huma, huma.Operation{
		OperationID: "list-verdicts", Method: http.MethodGet, Path: "/v1/verdicts", Tags: []string{"Deliveries"},
		Summary:     "Verdicts on notifications, newest first",
		Description: "One entry for each verdict, so a notification that was tried thrice is there three times, and one that was never tried is not there.",
	}, a.listVerdicts)
}

// deliveryFilter is what chooses deliveries, and verdicts on them.
type deliveryFilter struct {
	App         string    `query:"app" maxLength:"40" doc:"Only this app."`
	DeviceToken string    `query:"device_token" maxLength:"8192" doc:"Only this device token."`
	Batch       string    `query:"batch" maxLength:"40" doc:"Only lines of this batch."`
	After       time.Time `query:"after" doc:"Only what was decided, or of what waits handed in, from this time on."`
	Before      time.Time `query:"before" doc:"Only what was before this time."`
	VerdictFilter
	Paging
}

func (in *deliveryFilter) filter() (engine.Filter, *Problem) {
	f := engine.Filter{App: in.App, DeviceToken: in.DeviceToken, States: in.states(), Reason: in.reason(), After: in.After, Before: in.Before}
	var problems []FieldProblem
	if in.DeviceToken != "" {
		if p := apns.CheckDeviceToken(in.DeviceToken); p != nil {
			problems = append(problems, FieldProblem{"device_token", p.Message})
		}
	}
	if in.Batch != "" {
		var err error
		if f.Batch, err = engine.ParseBatchID(in.Batch); err != nil {
			problems = append(problems, FieldProblem{"batch", "is not an id of a batch, which is bat_ and 26 characters"})
		}
	}
	if !in.After.IsZero() && !in.Before.IsZero() && !in.Before.After(in.After) {
		problems = append(problems, FieldProblem{"before", "is not later than after, so there can be nothing between"})
	}
	if len(problems) > 0 {
		return f, invalid(problems...)
	}
	return f, nil
}

func newDeliveries(list []engine.Verdict) []Delivery {
	out := make([]Delivery, 0, len(list))
	for i := range list {
		out = append(out, newDelivery(&list[i]))
	}
	return out
}

func (a *API) listDeliveries(ctx context.Context, in *deliveryFilter) (*page[Deliveries], error) {
	f, p := in.filter()
	if p != nil {
		return nil, p
	}
	from, p := readPlace(liveCursor, in.Cursor)
	if p != nil {
		return nil, p
	}
	list, next, err := a.engine.List(ctx, f, from, in.Limit)
	if err != nil {
		return nil, a.problemOf(ctx, err, "delivery", false)
	}
	out := &page[Deliveries]{Body: Deliveries{Deliveries: newDeliveries(list), Next: writePlace(liveCursor, next)}}
	out.Link = in.link("cursor", out.Body.Next)
	return out, nil
}

// Verdicts is a page of them.
type Verdicts struct {
	Verdicts []Delivery `json:"verdicts"`
	Next     string     `json:"next,omitempty" doc:"The cursor of the next page; left out at the end. A page can be short, or empty, and not be the last."`
}

func (a *API) listVerdicts(ctx context.Context, in *deliveryFilter) (*page[Verdicts], error) {
	f, p := in.filter()
	if p != nil {
		return nil, p
	}
	var record, skip uint64
	if p := verdictCursor.read("cursor", in.Cursor, &record, &skip); p != nil {
		return nil, p
	}
	found, err := a.engine.Verdicts(ctx, f, engine.Cursor{Record: record, Skip: int(skip)}, in.Limit)
	if err != nil {
		return nil, a.problemOf(ctx, err, "delivery", false)
	}
	out := &page[Verdicts]{Body: Verdicts{Verdicts: newDeliveries(found.Verdicts)}}
	if found.Next != (engine.Cursor{}) {
		out.Body.Next = verdictCursor.text(found.Next.Record, uint64(found.Next.Skip))
	}
	out.Link = in.link("cursor", out.Body.Next)
	return out, nil
}

// readPlace and writePlace carry a place in a list of the engine through a cursor.
func readPlace(k cursorKind, text string) (engine.Place, *Problem) {
	var stage, queue, at, skip uint64
	p := k.read("cursor", text, &stage, &queue, &at, &skip)
	return engine.Place{Stage: engine.Stage(stage), Queue: queue, At: at, Skip: int(skip)}, p
}

func writePlace(k cursorKind, p *engine.Place) string {
	if p == nil {
		return ""
	}
	return k.text(uint64(p.Stage), p.Queue, p.At, uint64(p.Skip))
}
