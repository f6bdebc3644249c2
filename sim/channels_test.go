package sim_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"aviso.example/apnstest"
	"aviso.example/sim"
)

// stranger speaks to the channel APIs with net/http, which shares nothing with
// the simulator.
type stranger struct {
	t      testing.TB
	apns   *apnstest.Server
	client *http.Client
	bearer string
}

func newStranger(t testing.TB, apns *apnstest.Server) *stranger {
	return &stranger{t, apns, apns.HTTPClient(t), "bearer " + apns.ProviderToken(t)}
}

// reply is an answer.
type reply struct {
	status int
	header http.Header
	body   string
}

func (r reply) String() string {
	var v struct{ Reason string }
	json.Unmarshal([]byte(r.body), &v)
	return strings.TrimSpace(fmt.Sprint(r.status, " ", v.Reason))
}

// ask sends a request; fields are names and values, and an empty value removes
// one.
func (s *stranger) ask(method, path, body string, fields ...string) reply {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.apns.URL+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if body == "" {
		req.Body = nil
	}
	req.Header["Authorization"] = []string{s.bearer}
	for i := 0; i < len(fields); i += 2 {
		req.Header.Del(fields[i])
		if fields[i+1] != "" {
			req.Header.Set(fields[i], fields[i+1])
		}
	}
	res, err := s.client.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return reply{res.StatusCode, res.Header, string(answer)}
}

const channelsPath = "/1/apps/com.example.app/channels"

// create makes a channel on the wire.
func (s *stranger) create(policy int) string {
	s.t.Helper()
	r := s.ask("POST", channelsPath, fmt.Sprintf(`{"message-storage-policy":%d,"push-type":"LiveActivity"}`, policy))
	if r.status != 201 {
		s.t.Fatalf("%v %s", r, r.body)
	}
	return r.header.Get("apns-channel-id")
}

// send broadcasts; the defaults are what every channel takes.
func (s *stranger) send(channelID, body string, fields ...string) reply {
	s.t.Helper()
	return s.ask("POST", "/4/broadcasts/apps/com.example.app", body, append([]string{
		"apns-channel-id", channelID, "apns-push-type", "liveactivity", "apns-priority", "5", "apns-expiration", "0",
	}, fields...)...)
}

func (s *stranger) want(r reply, want string) {
	s.t.Helper()
	if r.String() != want {
		s.t.Errorf("%v, want %s", r, want)
	}
}

// update is the body of a Live Activity update.
func update(timestamp int64, score string) string {
	return fmt.Sprintf(`{"aps":{"timestamp":%d,"event":"update","content-state":{"score":%q}}}`, timestamp, score)
}

func end(timestamp int64, score string) string {
	return strings.Replace(update(timestamp, score), `"update"`, `"end"`, 1)
}

var uuid = regexp.MustCompile(`^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$`)

func TestChannelManagement(t *testing.T) {
	apns := apnstest.Start(t)
	s := newStranger(t, apns)
	const requestID = "2288cf3f-70d8-46a6-97d7-dd5d00867127"

	r := s.ask("POST", channelsPath, `{"message-storage-policy":1,"push-type":"LiveActivity"}`, "apns-request-id", requestID)
	id := r.header.Get("apns-channel-id")
	if r.status != 201 || r.body != "" || id == "" || r.header.Get("apns-request-id") != requestID || r.header.Get("apns-id") != "" {
		t.Errorf("create: %v %q %v", r, r.body, r.header)
	}
	r = s.ask("GET", channelsPath, "", "apns-channel-id", id)
	if r.status != 200 || r.body != `{"message-storage-policy":1,"push-type":"LiveActivity"}` ||
		r.header.Get("content-type") != "application/json" || !uuid.MatchString(r.header.Get("apns-request-id")) {
		t.Errorf("read: %v %q %v", r, r.body, r.header)
	}
	other := s.create(0)
	r = s.ask("GET", "/1/apps/com.example.app/all-channels", "")
	var list struct{ Channels []string }
	if err := json.Unmarshal([]byte(r.body), &list); err != nil || len(list.Channels) != 2 {
		t.Errorf("list: %v %q", r, r.body)
	}
	// Another app has none, and does not see these.
	if r := s.ask("GET", "/1/apps/com.example.other/all-channels", ""); r.body != `{"channels":[]}` {
		t.Errorf("another app: %v %q", r, r.body)
	}
	s.want(s.ask("GET", "/1/apps/com.example.other/channels", "", "apns-channel-id", id), "400 ChannelNotRegistered")
	if r := s.ask("DELETE", channelsPath, "", "apns-channel-id", id); r.status != 204 || r.body != "" {
		t.Errorf("delete: %v %q", r, r.body)
	}
	s.want(s.ask("DELETE", channelsPath, "", "apns-channel-id", id), "400 ChannelNotRegistered")
	s.want(s.send(id, update(1, "0-0")), "400 ChannelNotRegistered")
	s.want(s.send(other, update(1, "0-0")), "200")
	if st := apns.Stats(); st.Managed != 6 || st.Accepted != 1 {
		t.Errorf("managed %d, accepted %d", st.Managed, st.Accepted)
	}
}

// Apple's samples of GET and DELETE end with an empty DATA frame.
func TestEmptyDataEndsARequest(t *testing.T) {
	apns := apnstest.Start(t)
	ch, err := apns.CreateChannel(apns.Topic, 0)
	if err != nil {
		t.Fatal(err)
	}
	r, _ := dialRaw(t, apns)
	for _, method := range []string{"GET", "DELETE"} {
		id := r.open(":method", method, ":path", channelsPath, "apns-channel-id", ch.ID, "apns-topic", "", "apns-push-type", "")
		r.must(r.fr.WriteData(id, true, nil))
		if a := r.answer(id); a.status[0] != '2' || a.header["apns-request-id"] == "" {
			t.Errorf("%s: %s %s", method, a.status, a.body)
		}
	}
	// The usual way, END_STREAM on HEADERS, is fine too.
	id := r.next
	r.next += 2
	r.must(r.fr.WriteHeaders(http2.HeadersFrameParam{
		StreamID: id, EndHeaders: true, EndStream: true,
		BlockFragment: r.headers(":method", "GET", ":path", "/1/apps/com.example.app/all-channels", "apns-topic", "", "apns-push-type", ""),
	}))
	if a := r.answer(id); a.status != "200" || a.body != `{"channels":[]}` {
		t.Errorf("%s %s", a.status, a.body)
	}
}

func TestChannelReasons(t *testing.T) {
	apns := apnstest.Start(t, func(c *sim.Config) {
		c.Guesses.StrictChannelBody = true
		c.Topics = []string{"com.example.app", "com.example.silent"}
		c.NoBroadcast = []string{"com.example.silent"}
		c.ChannelLimit = 3
	})
	s := newStranger(t, apns)
	nothing, latest := s.create(0), s.create(1)
	good := `{"message-storage-policy":1,"push-type":"LiveActivity"}`
	hour := strconv.FormatInt(time.Now().Add(time.Hour).Unix(), 10)
	for want, tries := range map[string][]reply{
		"404 BadPath": {
			s.ask("POST", "/1/apps/com.example.app/channel", good), s.ask("GET", "/1/apps/com.example.app", ""),
			s.ask("GET", "/1/apps//channels", ""), s.ask("GET", channelsPath+"/"+nothing, ""), s.ask("GET", "/1/apps/com.example.app/channels/all", ""),
			s.ask("POST", "/4/broadcasts/apps/", update(1, "")), s.ask("POST", "/4/broadcasts/apps/com.example.app/x", update(1, "")),
		},
		"405 MethodNotAllowed": {
			s.ask("PUT", channelsPath, good), s.ask("POST", "/1/apps/com.example.app/all-channels", ""),
			s.ask("GET", "/4/broadcasts/apps/com.example.app", ""),
		},
		"403 MissingProviderToken": {
			s.ask("POST", channelsPath, good, "authorization", ""), s.send(nothing, update(1, ""), "authorization", ""),
		},
		"403 InvalidProviderToken": {s.send(nothing, update(1, ""), "authorization", "bearer a.b.c")},
		"403 TopicMismatch": {
			s.ask("POST", "/1/apps/com.example.stranger/channels", good), s.ask("POST", "/4/broadcasts/apps/com.example.App", update(1, "")),
		},
		"400 TopicDisallowed":   {s.ask("POST", "/1/apps/com.example.app.push-type.liveactivity/channels", good)},
		"400 FeatureNotEnabled": {s.ask("POST", "/1/apps/com.example.silent/channels", good)},
		"400 BadMessageId": {
			s.ask("POST", channelsPath, good, "apns-request-id", "42"), s.send(nothing, update(1, ""), "apns-id", "42"),
		},
		"400 PayloadEmpty":            {s.ask("POST", channelsPath, ""), s.send(nothing, "")},
		"400 BadRequestPayload":       {s.ask("POST", channelsPath, `{"push-type"`), s.ask("POST", channelsPath, `[]`)},
		"400 BadRequestParams":        {s.ask("POST", channelsPath, `{"message-storage-policy":1,"push-type":"LiveActivity","name":"x"}`)},
		"400 MissingPushType":         {s.ask("POST", channelsPath, `{"message-storage-policy":1}`), s.send(nothing, update(1, ""), "apns-push-type", "")},
		"400 InvalidPushType":         {s.ask("POST", channelsPath, `{"message-storage-policy":1,"push-type":"liveactivity"}`), s.send(nothing, update(1, ""), "apns-push-type", "alert")},
		"400 MissingChannelQueueSize": {s.ask("POST", channelsPath, `{"push-type":"LiveActivity"}`), s.ask("POST", channelsPath, `{"push-type":"LiveActivity","message-storage-policy":2}`)},
		"400 MissingChannelId":        {s.ask("GET", channelsPath, ""), s.ask("DELETE", channelsPath, ""), s.send("", update(1, ""))},
		"400 BadChannelId":            {s.ask("GET", channelsPath, "", "apns-channel-id", "?"), s.send("not base64", update(1, "")), s.send(strings.Repeat("A", 260), update(1, ""))},
		"400 ChannelNotRegistered":    {s.ask("GET", channelsPath, "", "apns-channel-id", "dHN0LXNyY2gtY2hubA=="), s.send("dHN0LXNyY2gtY2hubA==", update(1, ""))},
		"400 BadExpirationDate": {
			s.send(nothing, update(1, ""), "apns-expiration", ""), s.send(nothing, update(1, ""), "apns-expiration", "soon"),
			s.send(nothing, update(1, ""), "apns-expiration", hour), // it stores nothing
		},
		"400 BadPriority":     {s.send(nothing, update(1, ""), "apns-priority", ""), s.send(nothing, update(1, ""), "apns-priority", "7")},
		"413 PayloadTooLarge": {s.send(nothing, update(1, strings.Repeat("x", 5120))), s.ask("POST", channelsPath, strings.Repeat(" ", 5121))},
		"200": {
			s.send(latest, update(1, ""), "apns-expiration", hour), s.send(nothing, update(2, ""), "apns-push-type", "Liveactivity"),
			s.send(nothing, update(3, strings.Repeat("x", 5000))), s.send(nothing, update(4, ""), "apns-priority", "1"),
			s.send(nothing, "not JSON"), // as with device pushes
		},
		"201": {s.ask("POST", channelsPath, good)}, // the third
	} {
		for i, r := range tries {
			if r.String() != want {
				t.Errorf("%s, try %d: %v", want, i+1, r)
			}
			if r.status >= 400 && (r.header.Get("content-type") != "application/json" || !uuid.MatchString(r.header.Get("apns-request-id"))) {
				t.Errorf("%s, try %d: %v", want, i+1, r.header)
			}
		}
	}
	s.want(s.ask("POST", channelsPath, good), "400 CannotCreateChannelConfig")
	if r := s.ask("DELETE", channelsPath, "", "apns-channel-id", nothing); r.status != 204 {
		t.Error(r)
	}
	s.want(s.ask("POST", channelsPath, good), "201")
}

// What nobody knows can be chosen.
func TestChannelGuesses(t *testing.T) {
	apns := apnstest.Start(t, func(c *sim.Config) {
		c.Environment = sim.Production
		c.Guesses.CreateChannelOK = true
		c.Guesses.IgnoreBadRequestID = true
		c.Guesses.RefuseBroadcastPriority1 = true
		c.Guesses.RefuseLongBroadcastExpiration = true
		c.Guesses.RefuseBroadcastStart = true
		c.Guesses.RefuseMalformedJSON = true
		c.ChannelRate = sim.Throttle{Limit: 2, Per: time.Hour}
	})
	s := newStranger(t, apns)
	r := s.ask("POST", channelsPath, `{"message-storage-policy":"1","push-type":"liveactivity"}`, "apns-request-id", "42")
	s.want(r, "200")
	s.want(s.ask("POST", channelsPath, `{"message-storage-policy":"2","push-type":"liveactivity"}`), "400 MissingChannelQueueSize")
	id := r.header.Get("apns-channel-id")
	s.want(s.send(id, update(1, ""), "apns-priority", "1"), "400 BadPriority")
	s.want(s.send(id, update(1, ""), "apns-expiration", strconv.FormatInt(time.Now().Add(9*time.Hour).Unix(), 10)), "400 BadExpirationDate")
	s.want(s.send(id, `{"aps":{"timestamp":1,"event":"start"}}`), "400 BadRequestPayload")
	s.want(s.send(id, "not JSON"), "400 BadRequestPayload")
	r = s.send(id, update(1, ""))
	s.want(r, "200")
	// Apple limits apns-unique-id to the sandbox for device pushes only.
	if !uuid.MatchString(r.header.Get("apns-unique-id")) {
		t.Errorf("no apns-unique-id: %v", r.header)
	}
	s.want(s.send(id, update(2, "")), "200")
	s.want(s.send(id, update(3, "")), "429 TooManyRequests")
	apns.AddFault(t, sim.Fault{Kind: sim.FaultAnswer, Reason: "Service Unavailable", ChannelID: id, Count: 1})
	s.want(s.send(id, update(3, "")), "503 Service Unavailable")
}

// A channel exists in one environment, even if devices are shared.
func TestChannelsOfEnvironments(t *testing.T) {
	shared := sim.NewDevices()
	with := func(env sim.Environment) func(*sim.Config) {
		return func(c *sim.Config) { c.Environment, c.Devices = env, shared }
	}
	sandbox := newStranger(t, apnstest.Start(t, with(sim.Sandbox)))
	production := newStranger(t, apnstest.Start(t, with(sim.Production)))
	id := sandbox.create(0)
	production.want(production.send(id, update(1, "")), "400 ChannelNotRegistered")
	sandbox.want(sandbox.send(id, update(1, "")), "200")
	if _, err := production.apns.Subscribe(id, deviceToken(1)); err == nil {
		t.Error("subscribed to a channel of the other environment")
	}
}

func TestBroadcastReachesSubscribers(t *testing.T) {
	const devices = 10_000
	apns := apnstest.Start(t)
	s := newStranger(t, apns)
	id := s.create(0)
	list := make([]string, devices)
	for i := range list {
		list[i] = deviceToken(i)
	}
	if _, err := apns.Subscribe(id, list...); err != nil {
		t.Fatal(err)
	}
	if err := apns.SetDeviceState(list[7], sim.Offline, time.Time{}); err != nil {
		t.Fatal(err)
	}
	s.want(s.send(id, update(100, "1-0"), "apns-request-id", "2288cf3f-70d8-46a6-97d7-dd5d00867127"), "200")
	p := apns.WaitForPush(t, sim.Filter{ChannelID: id})
	if p.Reached != devices-1 || p.Topic != "com.example.app" || p.DeviceToken != "" || p.ID != "2288cf3f-70d8-46a6-97d7-dd5d00867127" || p.Fate != sim.FateShown {
		t.Errorf("%+v", p)
	}
	for i, d := range list {
		inbox, err := apns.Devices().Inbox(d)
		if err != nil {
			t.Fatal(err)
		}
		want := 1
		if i == 7 {
			want = 0
		}
		if len(inbox) != want || want == 1 && (inbox[0].ChannelID != id || string(inbox[0].Payload) != update(100, "1-0")) {
			t.Fatalf("device %d: %+v", i, inbox)
		}
	}
	// What is not stored is gone for those who were away.
	if err := apns.SetDeviceState(list[7], sim.Active, time.Time{}); err != nil {
		t.Fatal(err)
	}
	if inbox, _ := apns.Devices().Inbox(list[7]); len(inbox) != 0 {
		t.Errorf("%+v", inbox)
	}
	s.want(s.send(id, end(101, "2-0")), "200")
	if n := len(apns.Activities(sim.ActivityFilter{ChannelID: id, State: sim.ActivityEnded})); n != devices {
		t.Errorf("%d activities ended", n)
	}
	if ch, err := apns.Channel(id); err != nil || ch.Subscribers != 0 || ch.Broadcasts != 2 {
		t.Errorf("%+v %v", ch, err)
	}
}

// A channel that stores its last message gives it to those who come later, until
// it expires and for eight hours at most.
func TestStoredBroadcast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		apns := apnstest.StartMem(t)
		s := newStranger(t, apns)
		defer s.client.CloseIdleConnections()
		id := s.create(1)
		away, late := deviceToken(1), deviceToken(2)
		if _, err := apns.Subscribe(id, away); err != nil {
			t.Fatal(err)
		}
		set := func(state sim.DeviceState) {
			t.Helper()
			if err := apns.SetDeviceState(away, state, time.Time{}); err != nil {
				t.Fatal(err)
			}
		}
		score := func(device string) string {
			t.Helper()
			list := apns.Activities(sim.ActivityFilter{DeviceToken: device})
			if len(list) == 0 {
				return "no activity"
			}
			return string(list[len(list)-1].ContentState)
		}
		in := func(d time.Duration) string { return strconv.FormatInt(time.Now().Add(d).Unix(), 10) }

		set(sim.Offline)
		s.want(s.send(id, update(1, "1-0"), "apns-expiration", in(time.Hour)), "200")
		s.want(s.send(id, update(2, "2-0"), "apns-expiration", in(24*time.Hour)), "200")
		if got := score(away); got != "" {
			t.Errorf("an offline device shows %s", got)
		}
		if p := apns.Pushes(sim.Filter{ChannelID: id}); len(p) != 2 || p[1].Fate != sim.FateStored || p[1].Reached != 0 {
			t.Errorf("%+v", p)
		}
		ch, err := apns.Channel(id)
		if err != nil || ch.Stored == nil || !ch.Stored.Expires.Equal(time.Now().Add(8*time.Hour)) {
			t.Errorf("stored %+v %v", ch.Stored, err)
		}
		time.Sleep(8*time.Hour - time.Second)
		if _, err := apns.Subscribe(id, late); err != nil {
			t.Fatal(err)
		}
		if got := score(late); got != `{"score":"2-0"}` {
			t.Errorf("a late device shows %s", got)
		}
		time.Sleep(time.Second)
		set(sim.Active) // a moment too late
		if inbox, _ := apns.Devices().Inbox(away); len(inbox) != 0 {
			t.Errorf("it was stored for more than eight hours: %+v", inbox)
		}
		// One that is there gets it once, going away and coming back included.
		if _, err := apns.Subscribe(id, deviceToken(3)); err != nil {
			t.Fatal(err)
		}
		s.bearer = "bearer " + apns.ProviderToken(t)
		s.want(s.send(id, update(3, "3-0"), "apns-expiration", in(time.Hour)), "200")
		for _, state := range []sim.DeviceState{sim.Offline, sim.Active, sim.Offline, sim.Active} {
			if err := apns.SetDeviceState(deviceToken(3), state, time.Time{}); err != nil {
				t.Fatal(err)
			}
		}
		if inbox, _ := apns.Devices().Inbox(deviceToken(3)); len(inbox) != 1 {
			t.Errorf("%+v", inbox)
		}
		// Expiration 0 is for those who are there.
		s.want(s.send(id, update(4, "4-0")), "200")
		if _, err := apns.Subscribe(id, deviceToken(4)); err != nil {
			t.Fatal(err)
		}
		if got := score(deviceToken(4)); got != `{"score":"3-0"}` {
			t.Errorf("a new device shows %s", got)
		}
	})
}

// Broadcasts, subscriptions, devices that come and go and channels that are
// deleted, all at once: for the race detector.
func TestChannelsUnderLoad(t *testing.T) {
	apns := apnstest.Start(t)
	s := newStranger(t, apns)
	ids := []string{s.create(0), s.create(1)}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 30 {
				id, device := ids[n%2], deviceToken(i)
				switch (i + n) % 4 {
				case 0:
					apns.Subscribe(id, device, deviceToken(100+i))
				case 1:
					apns.SetDeviceState(device, []sim.DeviceState{sim.Offline, sim.Active, sim.Unregistered, sim.Active}[n/4%4], time.Time{})
				case 2:
					r := s.send(id, update(int64(100*i+n), "1"), "apns-expiration", map[int]string{0: "0", 1: strconv.FormatInt(time.Now().Add(time.Hour).Unix(), 10)}[n%2])
					if r.status != 200 {
						t.Error(r)
					}
				case 3:
					for _, a := range apns.Activities(sim.ActivityFilter{DeviceToken: device}) {
						apns.RenewUpdateDeviceToken(a.ID)
						apns.DismissActivity(a.ID)
					}
					apns.Channels("")
					apns.Devices().Remove(deviceToken(100 + i))
				}
			}
		})
	}
	wg.Wait()
	for _, id := range ids {
		if err := apns.DeleteChannel(id); err != nil {
			t.Error(err)
		}
	}
	apns.Devices().Clear()
	if n := len(apns.Activities(sim.ActivityFilter{})) + apns.Devices().Len(); n != 0 {
		t.Errorf("%d activities and devices are left", n)
	}
}

// On a lean server nothing is delivered, and everything is judged.
func TestLeanChannels(t *testing.T) {
	apns := apnstest.Start(t, func(c *sim.Config) { c.Lean = true })
	s := newStranger(t, apns)
	id := s.create(0)
	s.want(s.send(id, update(1, "")), "200")
	s.want(s.send(id, ""), "400 PayloadEmpty")
	s.want(s.ask("GET", channelsPath, "", "apns-channel-id", id), "200")
}
