package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"aviso.example/engine"
)

// Batch is how a batch fares.
type Batch struct {
	ID          string        `json:"id"`
	App         string        `json:"app"`
	Environment string        `json:"environment" enum:"production,sandbox"`
	Lane        string        `json:"lane" enum:"urgent,normal,bulk"`
	Label       string        `json:"label,omitempty"`
	CreatedAt   time.Time     `json:"created_at"`
	ClosedAt    *time.Time    `json:"closed_at,omitempty" doc:"When its last line had been read; left out while it is being read."`
	Accepted    int64         `json:"accepted" doc:"Lines that are on disk. Before closed_at it is 0."`
	Refused     int64         `json:"refused" doc:"Lines that were wrong."`
	Broken      string        `json:"broken,omitempty" doc:"Why the end of the batch is missing."`
	Paused      bool          `json:"paused"`
	Cancelled   bool          `json:"cancelled"`
	Rate        float64       `json:"rate" doc:"The notifications sent a second at most; 0 means as fast as APNs takes them."`
	Waiting     int64         `json:"waiting" doc:"Notifications that have not ended."`
	Outcomes    BatchOutcomes `json:"outcomes" doc:"How many notifications ended how."`
	Retries     int64         `json:"retries" doc:"Attempts that were followed by another."`
	Reasons     []ReasonCount `json:"reasons,omitempty" doc:"Why APNs did not take some, the most frequent first."`
	Done        bool          `json:"done" doc:"It is closed, and every notification has ended."`
}

// BatchOutcomes counts ends.
type BatchOutcomes struct {
	Accepted  int64 `json:"accepted"`
	Rejected  int64 `json:"rejected"`
	Expired   int64 `json:"expired"`
	Cancelled int64 `json:"cancelled"`
	Unknown   int64 `json:"unknown"`
}

func newBatch(s *engine.BatchStatus) Batch {
	c := &s.Counts
	return Batch{
		ID: s.ID.String(), App: s.App, Environment: s.Environment.String(), Lane: s.Lane.String(), Label: s.Label, CreatedAt: s.CreatedAt,
		ClosedAt: moment(s.ClosedAt), Accepted: s.Accepted, Refused: s.Refused, Broken: s.Broken, Paused: s.Paused, Cancelled: s.Cancelled,
		Rate: s.Rate, Waiting: s.Waiting, Retries: c.Retries, Reasons: reasonCounts(c.Reasons), Done: s.Done,
		Outcomes: BatchOutcomes{c.Accepted, c.Rejected, c.Expired, c.Cancelled, c.Unknown},
	}
}

// Batches is a page of them.
type Batches struct {
	Batches []Batch `json:"batches"`
	Next    string  `json:"next,omitempty" doc:"The cursor of the next page; left out at the end."`
}

// BatchPath is the path of a batch.
type BatchPath struct {
	ID string `path:"id" maxLength:"40" doc:"The id of the batch." example:"bat_068uhsjfacu3sc8v6l7m3b8mfs"`
}

func (b *BatchPath) parse() (engine.BatchID, *Problem) {
	id, err := engine.ParseBatchID(b.ID)
	if err != nil {
		return id, invalid(FieldProblem{"id", "is not the id of a batch, which is bat_ and 26 characters, as it was returned"})
	}
	return id, nil
}

func (a *API) batchRoutes() {
	a.raw(a.postBatchOperation(), a.postBatch)
	huma.Register(a.huma, huma.Operation{
		OperationID: "list-batches", Method: http.MethodGet, Path: "/v1/batches", Tags: []string{"Batches"}, Summary: "Batches, newest first",
	}, func(ctx context.Context, in *struct {
		App string `query:"app" maxLength:"40" doc:"Only this app."`
		Paging
	},
	) (*page[Batches], error) {
		var high, low uint64
		if p := batchCursor.read("cursor", in.Cursor, &high, &low); p != nil {
			return nil, p
		}
		list, err := a.engine.Batches(ctx, in.App, batchIDOf(high, low), in.Limit)
		if err != nil {
			return nil, a.problemOf(ctx, err, "batch", false)
		}
		out := &page[Batches]{Body: Batches{Batches: make([]Batch, 0, len(list))}}
		for i := range list {
			out.Body.Batches = append(out.Body.Batches, newBatch(&list[i]))
		}
		if len(list) == in.Limit {
			out.Body.Next = batchCursor.text(numbersOf(list[len(list)-1].ID))
		}
		out.Link = in.link("cursor", out.Body.Next)
		return out, nil
	})
	huma.Register(a.huma, huma.Operation{
		OperationID: "get-batch", Method: http.MethodGet, Path: "/v1/batches/{id}", Tags: []string{"Batches"}, Summary: "How a batch fares",
	}, func(ctx context.Context, in *struct{ BatchPath }) (*struct{ Body Batch }, error) {
		id, p := in.parse()
		if p != nil {
			return nil, p
		}
		return a.batchStatus(ctx, id)
	})
	for _, v := range []struct {
		verb, summary, description string
		do                         func(context.Context, engine.BatchID) error
	}{
		{"pause", "Stop sending a batch", "What has not been handed to APNs waits for :resume.", a.engine.PauseBatch},
		{"resume", "Go on sending a batch", "", a.engine.ResumeBatch},
		{"cancel", "Call a batch back", "Notifications that have not been handed to APNs end as cancelled. It cannot be undone.", a.engine.CancelBatch},
	} {
		huma.Register(a.huma, huma.Operation{
			OperationID: v.verb + "-batch", Method: http.MethodPost, Path: "/v1/batches/{id}:" + v.verb, Tags: []string{"Batches"},
			Summary: v.summary, Description: v.description,
		}, func(ctx context.Context, in *struct{ BatchPath }) (*struct{ Body Batch }, error) {
			return a.changeBatch(ctx, &in.BatchPath, v.do)
		})
	}
	huma.Register(a.huma, huma.Operation{
		OperationID: "change-batch", Method: http.MethodPatch, Path: "/v1/batches/{id}", Tags: []string{"Batches"}, Summary: "Change the pace of a batch",
		MaxBodyBytes: maxControlBody,
	}, func(ctx context.Context, in *struct {
		BatchPath
		Body struct {
			Rate float64 `json:"rate" minimum:"0" maximum:"1000000000" doc:"The notifications to send a second at most; 0 means as fast as APNs takes them."`
		}
	},
	) (*struct{ Body Batch }, error) {
		return a.changeBatch(ctx, &in.BatchPath, func(ctx context.Context, id engine.BatchID) error {
			return a.engine.PaceBatch(ctx, id, in.Body.Rate)
		})
	})
}

func (a *API) changeBatch(ctx context.Context, path *BatchPath, do func(context.Context, engine.BatchID) error) (*struct{ Body Batch }, error) {
	id, p := path.parse()
	if p != nil {
		return nil, p
	}
	if err := do(ctx, id); err != nil {
		return nil, a.problemOf(ctx, err, "batch", false)
	}
	return a.batchStatus(ctx, id)
}

func (a *API) batchStatus(ctx context.Context, id engine.BatchID) (*struct{ Body Batch }, error) {
	s, err := a.engine.Batch(ctx, id)
	if err != nil {
		return nil, a.problemOf(ctx, err, "batch", false)
	}
	return &struct{ Body Batch }{newBatch(&s)}, nil
}
