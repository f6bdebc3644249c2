package api

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"aviso.example/apns"
	"aviso.example/engine"
	"aviso.example/sim"
)

// A message goes the whole way, and everything can be asked about it.
func TestMessage(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	receipt := r.post(`{"to":"` + r.apple.DeviceToken + `","title":"T","collapse_id":"c","lane":"urgent"}`)
	if receipt.App != "shop" || receipt.Environment != "sandbox" || receipt.Lane != "urgent" || receipt.Count != 1 || receipt.Accepted != 1 || len(receipt.Deliveries) != 1 || receipt.Refused != nil {
		t.Errorf("%+v", receipt)
	}
	m := r.waitMessage(receipt.ID)
	if m.States["accepted"] != 1 || m.App != "shop" || m.Environment != "sandbox" || m.Lane != "urgent" || m.Accepted != 1 || m.Count != 1 {
		t.Errorf("%+v", m)
	}
	push := r.apple.WaitForPush(t, sim.Filter{DeviceToken: r.apple.DeviceToken})
	id := *receipt.Deliveries[0]
	if push.ID != id || string(push.Payload) != `{"aps":{"alert":{"title":"T"}}}` {
		t.Errorf("%s %s", push.ID, push.Payload)
	}
	var d Delivery
	r.get("/v1/deliveries/"+id, &d)
	if d.State != "accepted" || !d.Done || d.Attempts != 1 || d.Message != receipt.ID || d.DeviceToken != r.apple.DeviceToken || d.UniqueID == "" {
		t.Errorf("%+v", d)
	}
	var list Deliveries
	r.get("/v1/messages/"+receipt.ID+"/deliveries", &list)
	if len(list.Deliveries) != 1 || list.Deliveries[0].ID != id || list.Next != "" {
		t.Errorf("%+v", list)
	}
}

// Every way of naming devices, and what is said about a message.
func TestMessageForms(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.pause()
	for body, want := range map[string]MessageReceipt{
		`{"to":["` + device(1) + `","` + device(2) + `"],"payload":{"aps":{"alert":"x"}}}`:                        {Count: 2, Lane: "normal"},
		`{"to":{"device_token":"` + device(1) + `","registered_at":1800000000},"title":"x"}`:                      {Count: 1, Lane: "normal"},
		`{"to":"` + device(1) + `","registered_at":"2026-01-31T12:00:00+02:00","title":"x"}`:                      {Count: 1, Lane: "normal"},
		`{"to":[{"device_token":"` + device(1) + `"},"` + device(2) + `"],"title":"x","on_unknown":"drop"}`:       {Count: 2, Lane: "normal"},
		`{"to":"\u0061\u0061","push_type":"voip","data":{"k":1},"expiration":0}`:                                  {Count: 1, Lane: "urgent"},
		`{"to":"aa","title":"x","send_at":` + toJSON(time.Now().Add(time.Hour)) + `,"expiration":"10m"}`:          {Count: 1, Lane: "normal"},
		`{"to":"aa","title":"x","send_at":1700000000}`:                                                            {Count: 1, Lane: "normal"},
		`{"to":` + toJSON(deviceTokens(0, 1001)) + `,"title":"x"}`:                                                {Count: 1001, Lane: "bulk"},
		`{"to":"aa","title":"x","app":"shop","environment":"sandbox","lane":"bulk","on_unknown":"resend"}` + "\n": {Count: 1, Lane: "bulk"},
	} {
		got := r.post(body)
		listed := got.Count
		if got.Count > maxListed {
			listed = 0
		}
		if got.Count != want.Count || got.Accepted != want.Count || got.Lane != want.Lane || len(got.Deliveries) != listed {
			t.Errorf("%.100s: %+v", body, got)
		}
	}
}

// A device token that cannot be one costs the others nothing.
func TestRefusedDevices(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	to := []string{"xyz", r.apple.DeviceToken, "", "abc", r.apple.DeviceToken}
	receipt := r.post(`{"to":` + toJSON(to) + `,"title":"x"}`)
	if receipt.Count != 5 || receipt.Accepted != 2 || len(receipt.Refused) != 3 {
		t.Fatalf("%+v", receipt)
	}
	for i, d := range receipt.Deliveries {
		if refused := i == 0 || i == 2 || i == 3; (d == nil) != refused {
			t.Errorf("delivery %d is %v", i, d)
		}
	}
	if f := receipt.Refused[0]; f.Index != 0 || !strings.Contains(f.Problem, "position 1") || strings.Contains(f.Problem, "xyz") {
		t.Errorf("%+v", f)
	}
	if m := r.waitMessage(receipt.ID); m.States["accepted"] != 2 || m.Accepted != 2 || m.Count != 5 {
		t.Errorf("%+v", m)
	}
	var all Deliveries
	r.get("/v1/messages/"+receipt.ID+"/deliveries?limit=1", &all)
	for all.Next != "" {
		var more Deliveries
		r.get("/v1/messages/"+receipt.ID+"/deliveries?limit=1&cursor="+all.Next, &more)
		all.Deliveries, all.Next = append(all.Deliveries, more.Deliveries...), more.Next
	}
	if len(all.Deliveries) != 2 || all.Deliveries[0].ID != *receipt.Deliveries[1] || all.Deliveries[1].ID != *receipt.Deliveries[4] {
		t.Errorf("%+v", all)
	}
}

func TestMessageProblems(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	far := toJSON(time.Now().Add(400 * 24 * time.Hour))
	for body, want := range map[string][]string{
		`{"title":"x"}`:                                                           {`"to" is missing`},
		`{"to":"","title":"x"}`:                                                   {`"to" is empty`},
		`{"to":[],"title":"x"}`:                                                   {`"to" is empty`},
		`{"to":"xyz","title":"x"}`:                                                {`"to" has a wrong character at position 1`},
		`{"to":["xyz","abc"],"title":"x"}`:                                        {`"to" has 2 device tokens of which none can be one; the first has a wrong character`},
		`{"to":["aa",7],"title":"x"}`:                                             {`"to[1]" has to be a device token, or an object`},
		`{"to":[{"token":"aa"}],"title":"x"}`:                                     {`"to[0]" has the unknown key "token"`, `has no "device_token"`},
		`{"to":[{"device_token":"aa","registered_at":"x"}]}`:                      {`"registered_at" has to be a time`},
		`{"to":["aa"],"title":"x","registered_at":1700000000}`:                    {`"registered_at" goes with a single device token`},
		`{"to":"aa","title":"x","registered_at":1700000000000}`:                   {"in milliseconds"},
		`{"to":"aa","title":"x","registered_at":"1700000000"}`:                    {"without quotes"},
		`{"to":"aa","title":"x","registered_at":-1}`:                              {"has to be a time like"},
		`{"to":"aa","title":"x","send_at":1.5}`:                                   {"whole number of UNIX seconds"},
		`{"to":"aa","title":"x","send_at":null}`:                                  {"is null; leave the key out"},
		`{"to":"aa","title":"x","send_at":` + far + `}`:                           {`"send_at" is more than 60 days away`},
		`{"to":"aa","title":"x","id":"` + apns.NewID().String() + `"}`:            {`"id" cannot be chosen`},
		`{"to":"aa","title":"x","app":"shopp"}`:                                   {`"app" is not an app of this server; did you mean "shop"?`},
		`{"to":"aa","title":"x","app":""}`:                                        {`"app" is empty`},
		`{"to":"aa","title":"x","app":"shop","app":"shop"}`:                       {`"app" is there twice`},
		`{"to":"aa","title":"x","environment":"production"}`:                      {`"environment" is production, for which app shop has no credential`},
		`{"to":"aa","title":"x","environment":"development"}`:                     {"development is called sandbox"},
		`{"to":"aa","title":"x","lane":"urgnt"}`:                                  {`did you mean "urgent"?`},
		`{"to":"aa","title":"x","on_unknown":true}`:                               {`"on_unknown" has to be a string, not true`},
		`{"to":"aa","title":"x","on_unknown":"retry"}`:                            {`has to be resend or drop`},
		`{"to":"aa","titel":"x","laen":"bulk"}`:                                   {`did you mean "title"?`, `did you mean "lane"?`},
		`{"to":"aa","token":"x","title":"x"}`:                                     {`did you mean to?`},
		`{"to":"aa","defaults":{}}`:                                               {`"defaults" can only stand alone on the first line of a batch`},
		`{"to":"aa"}`:                                                             {"there is nothing to send"},
		`{"to":"aa","payload":{},"title":"x"}`:                                    {`"payload" is the whole payload`},
		`{"to":"aa","title":"x","priority":7}`:                                    {`"priority" is 7`},
		`{"to":"aa","title":"x","collapse_id":"` + strings.Repeat("x", 65) + `"}`: {`"collapse_id" `, "64"},
		`{"to":"aa","title":"` + strings.Repeat("x", 5000) + `"}`:                 {"more than the limit of 4096"},
		// All at once.
		`{"lane":"x","environment":"y","on_unknown":"z","app":"w","collapse_id":"` + strings.Repeat("x", 65) + `"}`: {`"lane"`, `"environment"`, `"on_unknown"`, `"app"`, `"to" is missing`, "there is nothing to send", `"collapse_id"`},
	} {
		r.wantProblem(r.do("POST", "/v1/messages", body), &invalidRequest, want...)
	}
	for body, want := range map[string]string{
		`{"to":"aa","title":"x"`:   "the request ends where a comma or } should be",
		`{"to":["aa","title":"x"}`: "where a comma or ] should be",
		`[]`:                       "",
		``:                         "",
		"{\"to\":\"\xff\"}":        "not UTF-8",
		`{"to":"aa"} {"to":"bb"}`:  "'{' where the end of the request should be",
	} {
		k := &malformedBody
		if json.Valid([]byte(body)) {
			k = &invalidRequest
		}
		r.wantProblem(r.do("POST", "/v1/messages", body, "Content-Type", "application/json"), k, want)
	}
	many := `{"title":"x","to":[` + strings.Repeat(`"aa",`, 100_001) + `"aa"]}`
	r.wantProblem(r.do("POST", "/v1/messages", many), &invalidRequest, `"to" has more than 100000 device tokens`)
	r.wantProblem(r.do("POST", "/v1/messages", `{"title":"`+strings.Repeat("x", maxMessageBody)+`"}`, "Expect", "100-continue"), &bodyTooLarge, "16777216")
	r.wantProblem(r.do("POST", "/v1/messages", `{}`, "Content-Type", "application/x-www-form-urlencoded"), &unsupportedMedia, "curl")
	r.wantProblem(r.do("POST", "/v1/messages", `{}`, "Content-Type", ""), &unsupportedMedia, "it is missing")
	r.wantProblem(r.do("POST", "/v1/messages", `{}`, "Content-Encoding", "gzip"), &unsupportedMedia, "cannot be compressed")
	r.wantProblem(r.do("POST", "/v1/messages?app=shop", `{}`), &invalidRequest, `"app" unknown query parameter`)
}

// Without a name there has to be one app.
func TestWhichApp(t *testing.T) {
	t.Parallel()
	r := newRig(t, "shop", "bank")
	r.wantProblem(r.do("POST", "/v1/messages", `{"to":"aa","title":"x"}`), &invalidRequest, `"app" is missing: this server has several`)
	if err := r.engine.SetApps(nil); err != nil {
		t.Fatal(err)
	}
	r.wantProblem(r.do("POST", "/v1/messages", `{"to":"aa","title":"x"}`), &invalidRequest, `this server has no app`)
	r.wantProblem(r.do("GET", "/v1/apps/shop", ""), &notFound)
}

// A mistake is told once, and not what follows from it.
func TestOnlyTheMistake(t *testing.T) {
	t.Parallel()
	r := newRig(t, "shop", "bank")
	for body, want := range map[string][]string{
		`{"to":"aa","title":"x","app":"shopp"}`:                                                  {"app"},
		`{"to":"aa","title":"x"}`:                                                                {"app"},
		`{"to":"aa","data":{"k":1},"app":"shopp","push_type":"voip"}`:                            {"app"},
		`{"to":"aa","title":"x","app":"shopp","priority":7}`:                                     {"app", "priority"},
		`{"to":"aa","title":"x","app":"shopp","topic":"a b"}`:                                    {"app", "topic"},
		`{"title":"x","app":"shopp","lane":"x","collapse_id":"` + strings.Repeat("x", 65) + `"}`: {"app", "collapse_id", "lane", "to"},
	} {
		var got []string
		for _, e := range r.wantProblem(r.do("POST", "/v1/messages", body), &invalidRequest).Errors {
			got = append(got, e.Field)
		}
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("%.80s: %q, not %q", body, got, want)
		}
	}
}

func TestCancelMessage(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.pause()
	receipt := r.post(`{"to":` + toJSON(deviceTokens(0, 3)) + `,"title":"x"}`)
	var m Message
	r.want(r.do("POST", "/v1/messages/"+receipt.ID+":cancel", ""), 200, &m)
	if m.States["cancelled"] != 3 || m.Environment != "sandbox" {
		t.Errorf("%+v", m)
	}
	r.want(r.do("POST", "/v1/apps/shop:resume", ""), 200, nil)
	if m := r.waitMessage(receipt.ID); m.States["cancelled"] != 3 {
		t.Errorf("%+v", m)
	}
	if n := r.apple.Stats().Accepted; n != 0 {
		t.Errorf("APNs got %d", n)
	}
}

func TestMessageDeliveries(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.apple.AddFault(t, sim.Fault{Kind: sim.FaultAnswer, Reason: "BadDeviceToken", Nth: 2})
	receipt := r.post(`{"to":` + toJSON(deviceTokens(0, 250)) + `,"title":"x"}`)
	m := r.waitMessage(receipt.ID)
	if len(m.Reasons) != 1 || m.Reasons[0].Reason != "BadDeviceToken" || m.Reasons[0].Count != int64(m.States["rejected"]) || m.Reasons[0].Advice == "" {
		t.Errorf("%+v", m)
	}
	collect := func(query string) (ids []string, pages int) {
		for cursor := ""; ; {
			path := "/v1/messages/" + receipt.ID + "/deliveries?limit=40" + query
			if cursor != "" {
				path += "&cursor=" + cursor
			}
			a := r.do("GET", path, "")
			var list Deliveries
			r.want(a, 200, &list)
			pages++
			for _, d := range list.Deliveries {
				ids = append(ids, d.ID)
			}
			if cursor = list.Next; cursor == "" {
				return ids, pages
			}
			if !strings.Contains(a.Header.Get("Link"), "cursor="+cursor) || !strings.HasSuffix(a.Header.Get("Link"), `; rel="next"`) {
				t.Errorf("Link is %q", a.Header.Get("Link"))
			}
		}
	}
	all, _ := collect("")
	var want []string
	for _, d := range receipt.Deliveries {
		want = append(want, *d)
	}
	if !slices.Equal(all, want) {
		t.Errorf("%d of 250, in another order or not all", len(all))
	}
	rejected, _ := collect("&state=rejected,expired")
	same, _ := collect("&reason=baddevicetoken")
	accepted, _ := collect("&state=accepted")
	if len(rejected) != m.States["rejected"] || !slices.Equal(rejected, same) || len(accepted) != m.States["accepted"] || len(rejected)+len(accepted) != 250 {
		t.Errorf("%d rejected, %d for the reason, %d accepted", len(rejected), len(same), len(accepted))
	}
}

// What asks for something that is not there is told so.
func TestMessageNotFound(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	receipt := r.post(`{"to":"` + r.apple.DeviceToken + `","title":"x"}`)
	other := engine.MessageID{First: apns.NewID(), Count: 1}.String()
	r.wantProblem(r.do("GET", "/v1/messages/"+other, ""), &notFound, "there is no such message")
	r.wantProblem(r.do("POST", "/v1/messages/"+other+":cancel", ""), &notFound)
	r.wantProblem(r.do("GET", "/v1/messages/"+other+"/deliveries", ""), &notFound)
	for _, id := range []string{"msg_1", "bat_" + receipt.ID[4:], "x"} {
		r.wantProblem(r.do("GET", "/v1/messages/"+id, ""), &invalidRequest, `"id" is not the id of a message`)
	}
	r.wantProblem(r.do("GET", "/v1/messages/"+receipt.ID+"/deliveries?limit=0&stat=x", ""), &invalidRequest, `"stat" unknown query parameter; did you mean "state"?`)
	r.wantProblem(r.do("GET", "/v1/messages/"+receipt.ID+"/deliveries?limit=0&state=x", ""), &invalidRequest, `"limit" expected number >= 1`, `"state[0]" expected value to be one of`)
	r.wantProblem(r.do("GET", "/v1/messages/"+receipt.ID+"/deliveries?cursor=AAAA", ""), &invalidRequest, `"cursor" is not a cursor of this list`)
	r.wantProblem(r.do("POST", "/v1/messages/"+receipt.ID+":cancle", ""), &notFound, `did you mean "cancel"?`)
	a := r.do("POST", "/v1/messages/"+receipt.ID, "")
	r.wantProblem(a, &wrongMethod, "use GET")
	if a.Header.Get("Allow") != "GET" {
		t.Errorf("Allow: %q", a.Header.Get("Allow"))
	}
	if a := r.do("PUT", "/v1/messages", ""); a.Header.Get("Allow") != "GET, POST" {
		t.Errorf("Allow: %q", a.Header.Get("Allow"))
	}
	r.wantProblem(r.do("GET", "/v2/messages", ""), &notFound, "/openapi.json")
}
