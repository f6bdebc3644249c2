package sim_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"aviso.example/apnstest"
	"aviso.example/sim"
)

// pushActivity sends a Live Activity push to a device token.
func (s *stranger) pushActivity(deviceToken, body string) reply {
	s.t.Helper()
	return s.ask("POST", "/3/device/"+deviceToken, body, "apns-topic", "com.example.app.push-type.liveactivity", "apns-push-type", "liveactivity")
}

// start is the body of a push-to-start, with more members of aps.
func start(timestamp int64, more string) string {
	return fmt.Sprintf(`{"aps":{"timestamp":%d,"event":"start","attributes-type":"Delivery","attributes":{"order":7},"content-state":{"score":"start"},"alert":{"title":"T"}%s}}`, timestamp, more)
}

func only(t testing.TB, apns *apnstest.Server, f sim.ActivityFilter) sim.Activity {
	t.Helper()
	list := apns.Activities(f)
	if len(list) != 1 {
		t.Fatalf("%d activities: %+v", len(list), list)
	}
	return list[0]
}

// The life of an activity: started by push, updated, its update device token
// changed, ended, dismissed.
func TestActivityByPush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		apns := apnstest.StartMem(t)
		s := newStranger(t, apns)
		defer s.client.CloseIdleConnections()
		now := time.Now().Unix()
		s.want(s.pushActivity(apns.DeviceToken, start(now, `,"input-push-token":1,"relevance-score":75,"stale-date":`+fmt.Sprint(now+60))), "200")
		a := only(t, apns, sim.ActivityFilter{DeviceToken: apns.DeviceToken})
		if a.State != sim.ActivityActive || string(a.Attributes) != `{"order":7}` || a.AttributesType != "Delivery" || len(a.UpdateDeviceToken) != 160 ||
			a.BundleID != "com.example.app" || *a.RelevanceScore != 75 || a.Timestamp != now || string(a.ContentState) != `{"score":"start"}` {
			t.Errorf("%+v", a)
		}
		look := func() sim.Activity {
			t.Helper()
			a, err := apns.Activity(a.ID)
			if err != nil {
				t.Fatal(err)
			}
			return a
		}
		time.Sleep(time.Minute)
		if got := look().State; got != sim.ActivityStale {
			t.Errorf("after its stale date it is %s", got)
		}
		// The newest timestamp wins, in whatever order updates come.
		s.want(s.pushActivity(a.UpdateDeviceToken, update(now+3, "3")), "200")
		s.want(s.pushActivity(a.UpdateDeviceToken, update(now+2, "2")), "200")
		s.want(s.pushActivity(a.UpdateDeviceToken, update(now+3, "3 again")), "200")
		if got := look(); string(got.ContentState) != `{"score":"3"}` || got.Updates != 1 || got.Ignored != 2 || got.State != sim.ActivityActive {
			t.Errorf("%+v", got)
		}
		inbox, err := apns.Devices().Inbox(apns.DeviceToken)
		if err != nil || len(inbox) != 4 || inbox[2].Ignored == "" || inbox[1].ActivityID != a.ID {
			t.Errorf("the device's inbox: %+v %v", inbox, err)
		}
		// What is no Live Activity push does not belong to its device token.
		s.want(s.ask("POST", "/3/device/"+a.UpdateDeviceToken, `{"aps":{"alert":"x"}}`, "apns-topic", "com.example.app", "apns-push-type", "alert"), "400 DeviceTokenNotForTopic")

		renewed, err := apns.RenewUpdateDeviceToken(a.ID)
		if err != nil || renewed.UpdateDeviceToken == a.UpdateDeviceToken {
			t.Fatalf("%+v %v", renewed, err)
		}
		s.want(s.pushActivity(a.UpdateDeviceToken, update(now+4, "4")), "410 Unregistered")
		s.want(s.pushActivity(renewed.UpdateDeviceToken, update(now+5, "5")), "200")

		dismissal := time.Now().Add(10 * time.Minute)
		s.want(s.pushActivity(renewed.UpdateDeviceToken, strings.Replace(end(now+6, "final"), `"event"`, fmt.Sprintf(`"dismissal-date":%d,"event"`, dismissal.Unix()), 1)), "200")
		s.want(s.pushActivity(renewed.UpdateDeviceToken, update(now+7, "late")), "200")
		if got := look(); got.State != sim.ActivityEnded || string(got.ContentState) != `{"score":"final"}` || got.LastIgnored != "the Live Activity has ended" {
			t.Errorf("%+v", got)
		}
		time.Sleep(10 * time.Minute)
		if got := look().State; got != sim.ActivityDismissed {
			t.Errorf("after its dismissal date it is %s", got)
		}
		r := s.pushActivity(renewed.UpdateDeviceToken, update(now+8, "too late"))
		s.want(r, "410 ExpiredToken")
		if !strings.Contains(r.body, fmt.Sprint(dismissal.Unix())) {
			t.Errorf("since when? %s", r.body)
		}
		if _, err := apns.RenewUpdateDeviceToken(a.ID); err == nil {
			t.Error("an ended activity got another device token")
		}
	})
}

func TestActivityLifetime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		apns := apnstest.StartMem(t)
		a, err := apns.StartActivity(sim.ActivityStart{DeviceToken: apns.DeviceToken, BundleID: apns.Topic, ContentState: sim.Payload(`{}`)})
		if err != nil {
			t.Fatal(err)
		}
		for _, step := range []struct {
			wait time.Duration
			want sim.ActivityState
		}{
			{8*time.Hour - 1, sim.ActivityActive}, {1, sim.ActivityEnded}, {4*time.Hour - 1, sim.ActivityEnded}, {1, sim.ActivityDismissed},
		} {
			time.Sleep(step.wait)
			if got, _ := apns.Activity(a.ID); got.State != step.want {
				t.Errorf("after %v: %s, want %s", step.wait, got.State, step.want)
			}
		}
	})
}

// An activity that has ended by itself listens to its channel no more.
func TestActivityLifetimeOnAChannel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		apns := apnstest.StartMem(t)
		ch, err := apns.CreateChannel(apns.Topic, 0)
		if err != nil {
			t.Fatal(err)
		}
		list, err := apns.Subscribe(ch.ID, deviceToken(1), deviceToken(2))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(8 * time.Hour)
		s := newStranger(t, apns)
		defer s.client.CloseIdleConnections()
		s.want(s.send(ch.ID, update(time.Now().Unix(), "1-0")), "200")
		if p := apns.WaitForPush(t, sim.Filter{ChannelID: ch.ID}); p.Reached != 0 || p.Fate != sim.FateDiscarded {
			t.Errorf("%+v", p)
		}
		if ch, err = apns.Channel(ch.ID); err != nil || ch.Subscribers != 0 {
			t.Errorf("%+v %v", ch, err)
		}
		if a, err := apns.Activity(list[0].ID); err != nil || a.State != sim.ActivityEnded || a.Ended != a.Started.Add(8*time.Hour) {
			t.Errorf("%+v %v", a, err)
		}
	})
}

// What a device does nothing about is accepted by APNs all the same.
func TestActivityPushesThatDoNothing(t *testing.T) {
	apns := apnstest.Start(t)
	s := newStranger(t, apns)
	a, err := apns.StartActivity(sim.ActivityStart{DeviceToken: deviceToken(1), BundleID: apns.Topic})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().Unix()
	for i, try := range []struct {
		to, body, why string
	}{
		{apns.DeviceToken, start(now, `,"input-push-token":1,"input-push-channel":"QQ=="`), "exclude each other"},
		{apns.DeviceToken, strings.Replace(start(now, ""), `"alert"`, `"alarm"`, 1), "without alert"},
		{apns.DeviceToken, strings.Replace(start(now, ""), `"attributes":{"order":7},`, "", 1), "without attributes"},
		{apns.DeviceToken, update(now, ""), "is no activity's"},
		{apns.DeviceToken, "{", "not JSON"},
		{apns.DeviceToken, `{}`, "no aps"},
		{apns.DeviceToken, `{"aps":{"timestamp":"1","event":"start"}}`, "aps.timestamp must be a number, not string"},
		{apns.DeviceToken, `{"aps":{"event":"start"}}`, "no timestamp"},
		{apns.DeviceToken, `{"aps":{"timestamp":1,"event":"stop"}}`, "not start, update or end"},
		{apns.DeviceToken, `{"aps":{"timestamp":1732200000000,"event":"start"}}`, "UNIX seconds"},
		{a.UpdateDeviceToken, start(now, ""), "push-to-start"},
		{a.UpdateDeviceToken, `{"aps":{"timestamp":1,"event":"update"}}`, "without content-state"},
		{a.UpdateDeviceToken, `{"aps":{"timestamp":1,"event":"update","content-state":[]}}`, "not an object"},
	} {
		s.want(s.pushActivity(try.to, try.body), "200")
		inbox, err := apns.Devices().Inbox(try.to)
		if err != nil || len(inbox) == 0 || !strings.Contains(inbox[len(inbox)-1].Ignored, try.why) {
			t.Errorf("%d: %+v %v, want %q", i, inbox, err, try.why)
		}
	}
	if n := len(apns.Activities(sim.ActivityFilter{})); n != 1 {
		t.Errorf("%d activities", n)
	}
}

// A push-to-start with a channel subscribes the activity, and gives it what is
// stored there.
func TestActivityOnAChannel(t *testing.T) {
	apns := apnstest.Start(t)
	s := newStranger(t, apns)
	id := s.create(1)
	now := time.Now().Unix()
	s.want(s.send(id, update(now+1, "1-0"), "apns-expiration", fmt.Sprint(now+3600)), "200")
	s.want(s.pushActivity(apns.DeviceToken, start(now, `,"input-push-channel":"`+id+`"`)), "200")
	a := only(t, apns, sim.ActivityFilter{ChannelID: id})
	if a.UpdateDeviceToken != "" || string(a.ContentState) != `{"score":"1-0"}` || a.Updates != 1 {
		t.Errorf("%+v", a)
	}
	if _, err := apns.RenewUpdateDeviceToken(a.ID); err == nil {
		t.Error("an activity on a channel has no update device token to change")
	}
	s.want(s.send(id, `{"aps":{"timestamp":99999999999,"event":"start"}}`), "200")
	if a, _ = apns.Activity(a.ID); a.Ignored != 1 {
		t.Errorf("a start by broadcast was not ignored: %+v", a)
	}
	// Nor does it listen to a channel of another app.
	other, err := apns.CreateChannel("com.example.other", 1)
	if err != nil {
		t.Fatal(err)
	}
	s.want(s.pushActivity(deviceToken(5), start(now, `,"input-push-channel":"`+other.ID+`"`)), "200")
	if other, err = apns.Channel(other.ID); err != nil || other.Subscribers != 0 {
		t.Errorf("%+v %v", other, err)
	}
	// Without its channel, it hears nothing.
	if err := apns.DeleteChannel(id); err != nil {
		t.Fatal(err)
	}
	if a, _ = apns.Activity(a.ID); a.State != sim.ActivityActive || a.ChannelID != id {
		t.Errorf("%+v", a)
	}
}

// A device that is off gets the newest update when it is back, and one that is
// gone has no activities.
func TestActivityOfAnOfflineDevice(t *testing.T) {
	apns := apnstest.Start(t)
	s := newStranger(t, apns)
	before := apns.Devices().Len()
	a, err := apns.StartActivity(sim.ActivityStart{DeviceToken: deviceToken(1), BundleID: apns.Topic})
	if err != nil {
		t.Fatal(err)
	}
	set := func(state sim.DeviceState) {
		t.Helper()
		if err := apns.SetDeviceState(deviceToken(1), state, time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	set(sim.Offline)
	s.want(s.pushActivity(a.UpdateDeviceToken, update(1, "1")), "200")
	s.want(s.pushActivity(a.UpdateDeviceToken, update(2, "2")), "200")
	if a, _ = apns.Activity(a.ID); a.Updates != 0 {
		t.Errorf("%+v", a)
	}
	set(sim.Active)
	if a, _ = apns.Activity(a.ID); string(a.ContentState) != `{"score":"2"}` || a.Updates != 1 {
		t.Errorf("%+v", a)
	}
	set(sim.Unregistered)
	if a, _ = apns.Activity(a.ID); a.State != sim.ActivityEnded {
		t.Errorf("%+v", a)
	}
	// Their device tokens are gone with the app.
	s.want(s.pushActivity(a.UpdateDeviceToken, update(3, "3")), "410 Unregistered")
	apns.Devices().Remove(deviceToken(1))
	if _, err := apns.Activity(a.ID); err == nil {
		t.Error("the activity outlived its device")
	}
	if n := apns.Devices().Len(); n != before {
		t.Errorf("%d devices are left, where %d were", n, before)
	}
}

func TestChannelsAPI(t *testing.T) {
	apns := apnstest.Start(t)
	call := func(want int, method, path, body string) (v struct {
		sim.Channel
		Channels   []sim.Channel
		Activities []map[string]any
		Detail     string
	},
	) {
		t.Helper()
		code, out := api(t, apns, method, path, body)
		if code != want {
			t.Errorf("%s %s: %d %s", method, path, code, out)
		}
		if out != "" {
			if err := json.Unmarshal([]byte(out), &v); err != nil && code < 300 {
				t.Fatalf("%v in %s", err, out)
			}
		}
		return v
	}
	id := call(201, "POST", "/sim/v1/channels", `{"bundle_id":"com.example.app","message_storage_policy":1}`).ID
	path := "/sim/v1/channels/" + url.PathEscape(id)
	if ch := call(200, "GET", path, ""); ch.ID != id || ch.Policy != 1 {
		t.Errorf("%+v", ch)
	}
	started := call(201, "POST", "/sim/v1/activities", `{"channel_id":"`+id+`","device_tokens":["aa","bb"],"attributes_type":"Match","attributes":{"home":"A"},"content_state":{"score":"0-0"}}`)
	if len(started.Activities) != 2 || fmt.Sprint(started.Activities[0]["content_state"]) != "map[score:0-0]" {
		t.Errorf("%+v", started)
	}
	s := newStranger(t, apns)
	s.want(s.send(id, update(1, "1-0")), "200")
	one := call(200, "GET", "/sim/v1/activities?device_token=AA&state=active&channel_id="+url.QueryEscape(id), "").Activities
	if len(one) != 1 || fmt.Sprint(one[0]["content_state"]) != "map[score:1-0]" {
		t.Errorf("%v", one)
	}
	if list := call(200, "GET", "/sim/v1/channels?bundle_id=com.example.app", "").Channels; len(list) != 1 || list[0].Subscribers != 2 {
		t.Errorf("%+v", list)
	}
	aid := fmt.Sprint(one[0]["id"])
	call(200, "GET", "/sim/v1/activities/"+aid, "")
	call(422, "POST", "/sim/v1/activities/"+aid+"/renew", "")
	call(200, "DELETE", "/sim/v1/activities/"+aid, "")
	if list := call(200, "GET", "/sim/v1/activities?state=dismissed", "").Activities; len(list) != 1 {
		t.Errorf("%v", list)
	}
	code, out := api(t, apns, "GET", "/sim/v1/pushes?channel_id="+url.QueryEscape(id), "")
	if code != 200 || !strings.Contains(out, `"reached":2`) {
		t.Errorf("%d %s", code, out)
	}
	call(204, "DELETE", path, "")
	for _, wrong := range [][3]string{
		{"404", "GET", path},
		{"404", "DELETE", path},
		{"404", "GET", "/sim/v1/activities/a99"},
		{"404", "POST", "/sim/v1/activities/a99/renew"},
		{"400", "GET", "/sim/v1/activities?state=asleep"},
		{"405", "PUT", "/sim/v1/channels"},
	} {
		if code, out := api(t, apns, wrong[1], wrong[2], ""); fmt.Sprint(code) != wrong[0] {
			t.Errorf("%v: %d %s", wrong, code, out)
		}
	}
	for body, detail := range map[string]string{
		`{"bundle_id":"com.example.app","device_token":"xyz"}`:                   "hexadecimal",
		`{"bundle_id":"com.example.app"}`:                                        "device_token is missing",
		`{"bundle_id":"com.example.app","device_token":"aa","device_tokens":[]}`: "exclude each other",
		`{"device_token":"aa"}`:                                                  "bundle_id is missing",
		`{"device_token":"aa","channel_id":"QQ=="}`:                              "no channel",
		`{"devicetoken":"aa"}`:                                                   "unknown member",
	} {
		code, out := api(t, apns, "POST", "/sim/v1/activities", body)
		if code < 400 || !strings.Contains(out, detail) {
			t.Errorf("%s: %d %s", body, code, out)
		}
	}
	if code, out := api(t, apns, "POST", "/sim/v1/channels", `{"bundle_id":"com.example.app","message_storage_policy":2}`); code != 422 {
		t.Errorf("%d %s", code, out)
	}
}
