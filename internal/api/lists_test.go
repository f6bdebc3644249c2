package api

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"aviso.example/sim"
)

// What waits is found without an id, in the state that it is in, and what was called
// back is done and listed at once.
func TestListsSayWhatIs(t *testing.T) {
	r := newRig(t)
	at := time.Now().Add(24 * 24 * time.Hour).UTC().Format(time.RFC3339)
	scheduled := r.post(`{"to":"` + device(1) + `","title":"x","send_at":"` + at + `"}`)
	r.waitMessage(r.post(`{"to":"` + device(2) + `","title":"x"}`).ID)
	var messages Messages
	if r.get("/v1/messages?state=scheduled", &messages); len(messages.Messages) != 1 || messages.Messages[0].ID != scheduled.ID || messages.Messages[0].Done {
		t.Errorf("%+v", messages)
	}
	var list Deliveries
	if r.get("/v1/deliveries?state=scheduled", &list); len(list.Deliveries) != 1 || list.Deliveries[0].State != "scheduled" || list.Deliveries[0].RetryAt == nil {
		t.Errorf("%+v", list)
	}
	if r.get("/v1/messages?limit=1", &messages); len(messages.Messages) != 1 || messages.Next == "" {
		t.Errorf("%+v", messages)
	}
	if r.get("/v1/messages?limit=1&cursor="+messages.Next, &messages); len(messages.Messages) != 1 || !messages.Messages[0].Done {
		t.Errorf("%+v", messages)
	}
	r.wantProblem(r.do("GET", "/v1/messages?cursor="+list.Next+"AAAA", ""), &invalidRequest, "is not a cursor of this list")

	var m Message
	r.want(r.do("POST", "/v1/messages/"+scheduled.ID+":cancel", ""), http.StatusOK, &m)
	if !m.Done || m.States["cancelled"] != 1 {
		t.Errorf("%+v", m)
	}
	var called Deliveries
	if r.get("/v1/deliveries?state=cancelled", &called); len(called.Deliveries) != 1 || !called.Deliveries[0].Done || called.Deliveries[0].RetryAt != nil {
		t.Errorf("%+v", called)
	}
}

// A delivery that was tried thrice is one delivery and three verdicts.
func TestDeliveriesAndVerdicts(t *testing.T) {
	r := newRig(t)
	r.apple.AddFault(t, sim.Fault{Kind: sim.FaultAnswer, Reason: "ServiceUnavailable", Count: 2})
	r.waitMessage(r.post(`{"to":"` + device(1) + `","title":"x"}`).ID)
	var list Deliveries
	if r.get("/v1/deliveries", &list); len(list.Deliveries) != 1 || list.Deliveries[0].State != "accepted" || list.Deliveries[0].Attempts != 3 {
		t.Errorf("%+v", list)
	}
	if r.get("/v1/deliveries?state=retrying", &list); len(list.Deliveries) != 0 {
		t.Errorf("%+v", list)
	}
	var log Verdicts
	if r.get("/v1/verdicts", &log); len(log.Verdicts) != 3 || log.Verdicts[2].State != "retrying" {
		t.Errorf("%+v", log)
	}
}

// Of several who want the same dead letters one is served, and the others are told so;
// those that were sent again end.
func TestDeadLettersForOne(t *testing.T) {
	r := newRig(t)
	const letters, callers = 12, 8
	r.apple.AddFault(t, sim.Fault{Kind: sim.FaultAnswer, Reason: "TopicDisallowed", Count: letters})
	for i := range letters {
		r.waitMessage(r.post(`{"to":"` + device(i) + `","title":"x"}`).ID)
	}
	all := wait(r, "/v1/dead-letters?reason=TopicDisallowed", func(d *DeadLetters) bool { return len(d.DeadLetters) == letters })
	for i, letter := range all.DeadLetters {
		if letter.State != "rejected" || letter.Status != 400 || letter.Advice == "" {
			t.Errorf("%+v", letter)
		}
		path := "/v1/dead-letters/" + toJSON(letter.Number)
		answers := make([]int, callers)
		var callersDone sync.WaitGroup
		for c := range callers {
			callersDone.Go(func() {
				if (c+i)%3 == 0 {
					answers[c] = r.do("DELETE", path, "").StatusCode
				} else {
					answers[c] = r.do("POST", path+":retry", "").StatusCode
				}
			})
		}
		callersDone.Wait()
		won := -1
		for c, status := range answers {
			switch {
			case status == http.StatusNoContent && won < 0:
				won = c
			case status == http.StatusNotFound, status == http.StatusConflict:
			default:
				t.Errorf("letter %d: %v", letter.Number, answers)
			}
		}
		if won < 0 {
			t.Fatalf("letter %d: nobody was served: %v", letter.Number, answers)
		}
		want, discarded := "accepted", (won+i)%3 == 0
		if discarded {
			want = "rejected"
		}
		d := wait(r, "/v1/deliveries/"+letter.Deliveries[0].ID, func(d *Delivery) bool { return d.Done })
		if d.State != want {
			t.Errorf("letter %d was discarded: %v, and its delivery is %s", letter.Number, discarded, d.State)
		}
		for _, v := range d.History {
			if v.State == "queued" && v.Attempts != 0 {
				t.Errorf("attempts of what is queued: %+v", v)
			}
		}
	}
}
