package sim

import (
	"encoding/json"
	"testing"
	"time"

	"aviso.example/internal/proto"
)

// FuzzActivityPush feeds what a device makes of a Live Activity push. Whatever the
// bytes, states stay JSON, time does not go back, and an ended activity stays as
// it is.
func FuzzActivityPush(f *testing.F) {
	for _, seed := range []string{
		`{"aps":{"timestamp":2,"event":"update","content-state":{"score":1}}}`,
		`{"aps":{"timestamp":3,"event":"end","content-state":{},"dismissal-date":-1}}`,
		`{"aps":{"timestamp":1e300,"event":"update","content-state":{}}}`,
		`{"aps":{"timestamp":2,"event":"start","attributes-type":"A","attributes":{},"content-state":{},"alert":{},"input-push-token":1}}`,
		`{"aps":{"timestamp":2,"event":"start","attributes-type":"A","attributes":{},"content-state":{},"alert":"x","input-push-channel":"QQ=="}}`,
		`{"aps":{"timestamp":2,"event":"update","content-state":null,"stale-date":1e400}}`,
		`{"aps":[]}`, `null`, `[`, ``, `{"aps":{"timestamp":0,"event":"end"}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		d, now := NewDevices(), time.Unix(1_000_000, 0)
		owner := &device{Device: Device{DeviceToken: "aa", Environment: Sandbox, State: Active}}
		d.byDeviceToken["aa"] = owner
		a, err := d.begin(owner, Sandbox, "com.example.app", nil, "", now)
		if err != nil {
			t.Fatal(err)
		}
		note := Notification{Topic: "com.example.app.push-type.liveactivity", PushType: string(proto.PushTypeLiveActivity), Payload: body}
		for _, target := range []*activity{a, nil, a} {
			before, ended := a.Timestamp, !a.Ended.IsZero()
			why := d.apply(owner, target, &note, now)
			if target == a && a.Timestamp < before || target == a && why == "" && ended {
				t.Fatalf("%q: timestamp %d after %d, ended before: %v", body, a.Timestamp, before, ended)
			}
		}
		for _, a := range d.activities {
			if _, err := json.Marshal(a.view(now)); err != nil {
				t.Fatalf("%q: %v", body, err)
			}
		}
		d.entered(owner, Active, now)
		for _, a := range owner.activities {
			d.forget(a)
		}
		if len(d.activities) != 0 || len(d.byDeviceToken) != 1 {
			t.Fatalf("%q: %d activities and %d device tokens are left", body, len(d.activities), len(d.byDeviceToken)-1)
		}
	})
}

// FuzzCreateChannel feeds the body that creates a channel: it is granted or has
// one of the documented reasons, and what is granted can be read back.
func FuzzCreateChannel(f *testing.F) {
	for _, seed := range []string{
		`{"message-storage-policy":1,"push-type":"LiveActivity"}`, `{"push-type":"LiveActivity"}`, `{"message-storage-policy":"1","push-type":1}`,
		`{}`, ` `, ``, `[]`, `null`, `{"message-storage-policy":0,"push-type":"LiveActivity"}{}`, `{"message-storage-policy":null,"push-type":null}`,
	} {
		f.Add([]byte(seed))
	}
	s, err := New(Config{TrustAnyKey: true})
	if err != nil {
		f.Fatal(err)
	}
	c := newConn(s, nil, 1)
	f.Fuzz(func(t *testing.T, body []byte) {
		j := &judged{c: c, req: &request{}, size: len(body), body: body, bundleID: "com.example.app"}
		v := j.createChannel()
		if !v.accepted() {
			if v.reason == "" || v.status != statusFor(v.reason) {
				t.Fatalf("%q: %+v", body, v)
			}
			return
		}
		ch, err := s.Channel(v.managed.channelID)
		if err != nil || ch.Policy != 0 && ch.Policy != 1 {
			t.Fatalf("%q: %+v %v", body, ch, err)
		}
		s.DeleteChannel(ch.ID)
	})
}
