package api

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"aviso.example/apns"
	"aviso.example/sim"
)

// Verdicts are listed newest first, by every filter there is.
func TestListDeliveries(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.apple.AddFault(t, sim.Fault{Kind: sim.FaultAnswer, Reason: "BadDeviceToken", Nth: 3})
	before := time.Now()
	receipt := r.post(`{"to":` + toJSON(deviceTokens(0, 30)) + `,"title":"x"}`)
	m := r.waitMessage(receipt.ID)
	collect := func(query string) (list []Delivery) {
		t.Helper()
		for cursor := ""; ; {
			var page Deliveries
			r.get("/v1/deliveries?limit=7&"+query+next("cursor", cursor), &page)
			list = append(list, page.Deliveries...)
			if cursor = page.Next; cursor == "" {
				return list
			}
		}
	}
	soon := url.QueryEscape(before.Add(time.Hour).UTC().Format(time.RFC3339Nano))
	early := url.QueryEscape(before.Add(-time.Second).UTC().Format(time.RFC3339Nano))
	for query, want := range map[string]int{
		"":                          30,
		"app=shop":                  30,
		"app=bank":                  0,
		"state=rejected":            m.States["rejected"],
		"state=rejected,accepted":   30,
		"reason=BadDeviceToken":     m.States["rejected"],
		"device_token=" + device(7): 1,
		"device_token=" + strings.ToUpper(device(7)): 1,
		"after=" + early:  30,
		"after=" + soon:   0,
		"before=" + soon:  30,
		"before=" + early: 0,
	} {
		list := collect(query)
		if len(list) != want {
			t.Errorf("%s: %d, want %d", query, len(list), want)
		}
		for _, d := range list {
			if d.Reason != "" && (d.Meaning == "" || d.Action == "" || d.Advice == "") {
				t.Errorf("not explained: %+v", d)
			}
		}
	}
	r.wantProblem(r.do("GET", "/v1/deliveries?device_token=xyz&batch=x&after="+soon+"&before="+early, ""), &invalidRequest,
		`"device_token" has a wrong character`, `"batch" is not an id of a batch`, `"before" is not later than after`)
	r.wantProblem(r.do("GET", "/v1/deliveries?after=yesterday&limit=many", ""), &invalidRequest, `"after" has to be a time like`, `"limit" has to be a whole number`)
}

// A delivery that took several attempts tells of each.
func TestDeliveryHistory(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.apple.AddFault(t, sim.Fault{Kind: sim.FaultAnswer, Reason: "ServiceUnavailable", Count: 1})
	receipt := r.post(`{"to":"` + r.apple.DeviceToken + `","title":"x"}`)
	r.waitMessage(receipt.ID)
	var d Delivery
	r.get("/v1/deliveries/"+*receipt.Deliveries[0], &d)
	if d.State != "accepted" || d.Attempts != 2 || len(d.History) != 1 {
		t.Fatalf("%+v", d)
	}
	if h := d.History[0]; h.State != "retrying" || h.Status != 503 || h.Reason != "ServiceUnavailable" || h.Advice == "" || h.RetryAt == nil || h.Done {
		t.Errorf("%+v", h)
	}
	r.wantProblem(r.do("GET", "/v1/deliveries/"+apns.NewID().String(), ""), &notFound, "there is no such delivery")
	r.wantProblem(r.do("GET", "/v1/deliveries/7", ""), &invalidRequest, `"id" is not the id of a delivery`)
}

func TestDeadTokens(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	since := time.Now().Add(-time.Hour).Truncate(time.Second).UTC()
	for i := range 3 {
		if err := r.apple.Devices().Put(sim.Device{DeviceToken: device(i), Environment: sim.Sandbox, Topics: []string{r.apple.Topic}, State: sim.Unregistered, Since: since}, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	r.waitMessage(r.post(`{"to":` + toJSON(deviceTokens(0, 2)) + `,"title":"x"}`).ID)
	all := wait(r, "/v1/dead-tokens", func(d *DeadTokens) bool { return len(d.DeadTokens) == 2 })
	if d := all.DeadTokens[0]; d.App != "shop" || d.Environment != "sandbox" || !d.Since.Equal(since) || d.Revived || d.Doubtful {
		t.Errorf("%+v", d)
	}
	var more DeadTokens
	r.get("/v1/dead-tokens?app=shop&after="+all.Next, &more)
	if len(more.DeadTokens) != 0 || more.Next != all.Next {
		t.Errorf("%+v", more)
	}
	r.waitMessage(r.post(`{"to":"` + device(2) + `","title":"x"}`).ID)
	if more = wait(r, "/v1/dead-tokens?after="+all.Next, func(d *DeadTokens) bool { return len(d.DeadTokens) == 1 }); more.DeadTokens[0].DeviceToken != device(2) || more.Next == all.Next {
		t.Errorf("%+v", more)
	}
	if r.get("/v1/dead-tokens?app=bank", &more); len(more.DeadTokens) != 0 {
		t.Errorf("%+v", more)
	}
	r.wantProblem(r.do("GET", "/v1/dead-tokens?after=7", ""), &invalidRequest, `"after" is not a cursor`)
	// A dead device token is not sent to again, and says so.
	receipt := r.post(`{"to":"` + device(2) + `","title":"x"}`)
	r.waitMessage(receipt.ID)
	var d Delivery
	if r.get("/v1/deliveries/"+*receipt.Deliveries[0], &d); d.State != "rejected" || !d.Suppressed || d.DeadSince == nil || d.Action != string(apns.DropDeviceToken) {
		t.Errorf("%+v", d)
	}
}

func TestDeadLetters(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.apple.AddFault(t, sim.Fault{Kind: sim.FaultAnswer, Reason: "TopicDisallowed", Count: 2})
	var receipts []MessageReceipt
	for i := range 2 {
		receipts = append(receipts, r.post(`{"to":"`+device(i)+`","title":"x"}`))
		r.waitMessage(receipts[i].ID)
	}
	all := wait(r, "/v1/dead-letters?app=shop", func(d *DeadLetters) bool { return len(d.DeadLetters) == 2 })
	first := all.DeadLetters[0]
	if len(first.Deliveries) != 1 || first.Deliveries[0].ID != *receipts[0].Deliveries[0] || first.Deliveries[0].DeviceToken != device(0) || first.App != "shop" {
		t.Errorf("%+v", first)
	}
	var one DeadLetters
	r.get("/v1/dead-letters?limit=1", &one)
	r.get("/v1/dead-letters?limit=1&cursor="+one.Next, &one)
	if len(one.DeadLetters) != 1 || one.DeadLetters[0].Number != all.DeadLetters[1].Number {
		t.Errorf("%+v", one)
	}
	var d Delivery
	if r.get("/v1/deliveries/"+first.Deliveries[0].ID, &d); !d.InDeadLetter || d.Reason != "TopicDisallowed" {
		t.Errorf("%+v", d)
	}
	path := "/v1/dead-letters/" + toJSON(first.Number)
	if a := r.do("POST", path+":retry", ""); a.StatusCode != 204 || a.text != "" {
		t.Errorf("%d %s", a.StatusCode, a.text)
	}
	wait(r, "/v1/deliveries/"+first.Deliveries[0].ID, func(d *Delivery) bool { return d.State == "accepted" })
	r.wantProblem(r.do("POST", path+":retry", ""), &notFound, "there is no such dead letter")
	if a := r.do("DELETE", "/v1/dead-letters/"+toJSON(all.DeadLetters[1].Number), ""); a.StatusCode != 204 {
		t.Errorf("%d %s", a.StatusCode, a.text)
	}
	if r.get("/v1/dead-letters", &all); len(all.DeadLetters) != 0 {
		t.Errorf("%+v", all)
	}
	r.wantProblem(r.do("DELETE", "/v1/dead-letters/0", ""), &invalidRequest, `"number" expected number >= 1`)
	r.wantProblem(r.do("POST", "/v1/dead-letters/x:retry", ""), &invalidRequest, `"number" invalid integer`)
}

func TestApps(t *testing.T) {
	t.Parallel()
	r := newRig(t, "shop", "bank")
	var all Apps
	r.get("/v1/apps", &all)
	if len(all.Apps) != 2 || all.Apps[0].ID != "bank" || all.Apps[1].BundleID != r.apple.Topic || all.Apps[1].Default != "sandbox" || len(all.Apps[1].Environments) != 1 {
		t.Errorf("%+v", all)
	}
	var app App
	r.want(r.do("POST", "/v1/apps/shop:pause", `{"note":"key is being replaced"}`), 200, &app)
	if !app.Paused || app.Note != "key is being replaced" || app.PausedAt == nil {
		t.Errorf("%+v", app)
	}
	receipt := r.post(`{"app":"shop","to":"` + r.apple.DeviceToken + `","title":"x"}`)
	if r.want(r.do("POST", "/v1/apps/shop:pause", ""), 200, &app); !app.Paused {
		t.Errorf("%+v", app)
	}
	app = App{}
	if r.want(r.do("POST", "/v1/apps/shop:resume", ""), 200, &app); app.Paused || app.Note != "" {
		t.Errorf("%+v", app)
	}
	r.waitMessage(receipt.ID)
	app = wait(r, "/v1/apps/shop", func(a *App) bool { return len(a.Lanes) == 1 && a.Lanes[0].Verdicts["accepted"] == 1 })
	if l := app.Lanes[0]; l.Lane != "normal" || l.Environment != "sandbox" {
		t.Errorf("%+v", l)
	}
	for _, path := range []string{"/v1/apps/none:pause", "/v1/apps/none:resume"} {
		r.wantProblem(r.do("POST", path, ""), &notFound, "there is no such app")
	}
	r.wantProblem(r.do("GET", "/v1/apps/none", ""), &notFound)
	r.wantProblem(r.do("POST", "/v1/apps/shop:pause", `{"notes":"x"}`), &invalidRequest, "unexpected property")
	r.wantProblem(r.do("POST", "/v1/apps/shop:pause", `{"note":"`+strings.Repeat("x", 201)+`"}`), &invalidRequest, "expected length <= 200")
	r.wantProblem(r.do("POST", "/v1/apps/shop:pause", `{"note"`), &malformedBody)
}
