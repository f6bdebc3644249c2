package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"aviso.example/engine"
)

// DeadToken is an entry of the feed of dead device tokens.
type DeadToken struct {
	App         string    `json:"app"`
	Environment string    `json:"environment" enum:"production,sandbox"`
	DeviceToken string    `json:"device_token"`
	Since       time.Time `json:"since" doc:"APNs's timestamp: delete the device token unless it was registered later. With revived it is when it was registered again."`
	Revived     bool      `json:"revived,omitempty" doc:"It was registered again since, and is sent to again: do not delete it."`
	Doubtful    bool      `json:"doubtful,omitempty" doc:"So many were called dead at once that somebody should look before deleting anything. It is sent to as before."`
}

// DeadTokens is a part of the feed.
type DeadTokens struct {
	DeadTokens []DeadToken `json:"dead_tokens"`
	Next       string      `json:"next,omitempty" doc:"What to give as after, now or later: the feed goes on. Left out before its first entry."`
}

// DeadLetter is notifications that ended although they could have been accepted.
type DeadLetter struct {
	Number      uint64               `json:"number" doc:"Names the group."`
	App         string               `json:"app"`
	Environment string               `json:"environment" enum:"production,sandbox"`
	Lane        string               `json:"lane" enum:"urgent,normal,bulk"`
	Batch       string               `json:"batch,omitempty"`
	BuriedAt    time.Time            `json:"buried_at" doc:"When they ended."`
	State       string               `json:"state" enum:"rejected,expired" doc:"How they ended."`
	Status      int                  `json:"status,omitempty" doc:"The HTTP status that APNs answered with last."`
	Reason      string               `json:"reason,omitempty" doc:"Apple's word for why not."`
	Meaning     string               `json:"meaning,omitempty" doc:"What it means."`
	Action      string               `json:"action,omitempty" doc:"What to do, in a few words."`
	Advice      string               `json:"advice,omitempty" doc:"What to do, in a sentence."`
	Deliveries  []DeadLetterDelivery `json:"deliveries"`
}

// DeadLetterDelivery is one of them.
type DeadLetterDelivery struct {
	ID          string `json:"id" format:"uuid" doc:"The delivery; GET /v1/deliveries/{id} tells its whole story."`
	DeviceToken string `json:"device_token"`
}

// DeadLetters is a page of them.
type DeadLetters struct {
	DeadLetters []DeadLetter `json:"dead_letters"`
	Next        string       `json:"next,omitempty" doc:"The cursor of the next page; left out at the end."`
}

// LetterPath is the path of a dead letter.
type LetterPath struct {
	Number uint64 `path:"number" minimum:"1" doc:"The number of the group."`
}

func (a *API) deadRoutes() {
	huma.Register(a.huma, huma.Operation{
		OperationID: "list-dead-tokens", Method: http.MethodGet, Path: "/v1/dead-tokens", Tags: []string{"Dead device tokens"},
		Summary:     "The feed of dead device tokens, oldest first",
		Description: "Keep next, and ask again from there. An entry comes when APNs answers 410 with a timestamp later than registered_at, never for BadDeviceToken, which usually means the other environment.",
	}, a.listDeadTokens)
	huma.Register(a.huma, huma.Operation{
		OperationID: "list-dead-letters", Method: http.MethodGet, Path: "/v1/dead-letters", Tags: []string{"Dead letters"},
		Summary:     "Notifications that somebody can put right, oldest first",
		Description: "Topic or environment were wrong, or APNs did not take them in time. They are kept for 30 days, in groups that were handed in together and ended for the same reason.",
	}, a.listDeadLetters)
	huma.Register(a.huma, huma.Operation{
		OperationID: "retry-dead-letter", Method: http.MethodPost, Path: "/v1/dead-letters/{number}:retry", Tags: []string{"Dead letters"},
		Summary:     "Send a group again",
		Description: "With a new lifetime, but not beyond an expiration of its own. The deliveries keep their ids. Of several who retry or discard a group at the same time one succeeds, and the others get 409 or 404.",
	}, func(ctx context.Context, in *struct{ LetterPath }) (*struct{}, error) {
		if err := a.engine.RetryDeadLetters(ctx, in.Number); err != nil {
			return nil, a.problemOf(ctx, err, "dead letter", false)
		}
		return nil, nil
	})
	huma.Register(a.huma, huma.Operation{
		OperationID: "discard-dead-letter", Method: http.MethodDelete, Path: "/v1/dead-letters/{number}", Tags: []string{"Dead letters"},
		Summary: "Forget a group",
	}, func(ctx context.Context, in *struct{ LetterPath }) (*struct{}, error) {
		if err := a.engine.DiscardDeadLetters(ctx, in.Number); err != nil {
			return nil, a.problemOf(ctx, err, "dead letter", false)
		}
		return nil, nil
	})
}

type listDeadTokens struct {
	App   string `query:"app" maxLength:"40" doc:"Only this app."`
	After string `query:"after" maxLength:"64" doc:"The next of the last answer; opaque."`
	Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"How many to give; there can be some more, since entries that came together stay together."`
}

func (a *API) listDeadTokens(ctx context.Context, in *listDeadTokens) (*page[DeadTokens], error) {
	var after uint64
	if p := deadCursor.read("after", in.After, &after); p != nil {
		return nil, p
	}
	list, next, err := a.engine.DeadTokens(ctx, in.App, after, in.Limit)
	if err != nil {
		return nil, a.problemOf(ctx, err, "dead device token", false)
	}
	out := &page[DeadTokens]{Body: DeadTokens{DeadTokens: make([]DeadToken, 0, len(list))}}
	if next > 0 {
		out.Body.Next = deadCursor.text(next)
	}
	for i := range list {
		t := &list[i]
		out.Body.DeadTokens = append(out.Body.DeadTokens, DeadToken{t.App, t.Environment.String(), t.DeviceToken, t.Since, t.Revived, t.Doubtful})
	}
	return out, nil
}

type listDeadLetters struct {
	App    string `query:"app" maxLength:"40" doc:"Only this app."`
	Reason string `query:"reason" maxLength:"64" doc:"Only this one of Apple's reasons."`
	Paging
}

func (a *API) listDeadLetters(ctx context.Context, in *listDeadLetters) (*page[DeadLetters], error) {
	var after uint64
	if p := letterCursor.read("cursor", in.Cursor, &after); p != nil {
		return nil, p
	}
	list, err := a.engine.DeadLetters(ctx, in.App, (&VerdictFilter{Reason: in.Reason}).reason(), after, in.Limit)
	if err != nil {
		return nil, a.problemOf(ctx, err, "dead letter", false)
	}
	out := &page[DeadLetters]{Body: DeadLetters{DeadLetters: make([]DeadLetter, 0, len(list))}}
	for i := range list {
		out.Body.DeadLetters = append(out.Body.DeadLetters, newDeadLetter(&list[i]))
	}
	if len(list) == in.Limit {
		out.Body.Next = letterCursor.text(list[len(list)-1].Number)
	}
	out.Link = in.link("cursor", out.Body.Next)
	return out, nil
}

func newDeadLetter(l *engine.DeadLetters) DeadLetter {
	out := DeadLetter{
		Number: l.Number, App: l.App, Environment: l.Environment.String(), Lane: l.Lane.String(), BuriedAt: l.BuriedAt,
		State: l.State.String(), Status: l.Status, Reason: string(l.Reason), Deliveries: []DeadLetterDelivery{},
	}
	if l.Reason != "" {
		info := l.Reason.Info(l.Status)
		out.Meaning, out.Action, out.Advice = info.Meaning, string(info.Action), info.Advice
	}
	if !l.Batch.IsZero() {
		out.Batch = l.Batch.String()
	}
	for i := range l.IDs {
		out.Deliveries = append(out.Deliveries, DeadLetterDelivery{l.IDs[i].String(), l.DeviceTokens[i]})
	}
	return out
}
