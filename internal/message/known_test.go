package message

import (
	"strings"
	"testing"
	"time"

	"aviso.example/apns"
)

func TestParseExpiration(t *testing.T) {
	now := time.Unix(1_900_000_000, 0)
	for text, want := range map[string]apns.Expiration{
		"0":                         apns.ExpireImmediately,
		"1h":                        apns.ExpireAt(now.Add(time.Hour)),
		"90m":                       apns.ExpireAt(now.Add(90 * time.Minute)),
		"7d":                        apns.ExpireAt(now.AddDate(0, 0, 7)),
		"1ms":                       apns.ExpireAt(now.Add(time.Second)),
		"2030-01-31T12:00:00Z":      apns.ExpireAtUnix(1896091200),
		"2030-01-31T13:00:00+01:00": apns.ExpireAtUnix(1896091200),
		"1896091200":                apns.ExpireAtUnix(1896091200),
	} {
		e, err := ParseExpiration(text)
		if err != nil || e.Value(now) != want {
			t.Errorf("%s: %+v %v", text, e.Value(now), err)
		}
	}
	for text, want := range map[string]string{
		"":                         "has to be 0",
		"tomorrow":                 "has to be 0",
		"3600":                     "for a duration write 3600s",
		"-5":                       "cannot be negative",
		"-1h":                      "has to lie in the future",
		"0s":                       "has to lie in the future",
		"200000d":                  "has to lie in the future",
		"2030-01-31":               "has to be 0",
		"99999999999999999999":     "has to be 0",
		"9999999999999999999999h":  "has to be 0",
		"2030-01-31T12:00:00+9999": "has to be 0",
	} {
		if _, err := ParseExpiration(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	if (Expiration{}).Value(now) != (apns.Expiration{}) {
		t.Error("no expiration became one")
	}
}

func TestSetTopic(t *testing.T) {
	for _, test := range []struct {
		topic     string
		pushType  apns.PushType
		wantTopic bool
	}{
		{"com.example.app", "", false},
		{"com.example.app", apns.PushTypeVoIP, false},
		{"com.example.app.voip", apns.PushTypeVoIP, true},
		{"com.example.app.voip", apns.PushTypeAlert, true}, // for the client to refuse
		{"com.example.app.push-type.liveactivity", apns.PushTypeLiveActivity, true},
		{"com.apple.mgmt.External.1", apns.PushTypeMDM, true},
		{"pass.com.example", "", false},
	} {
		n := apns.Notification{PushType: test.pushType, Topic: "old", BundleID: "old"}
		SetTopic(&n, test.topic)
		if got := n.Topic == test.topic && n.BundleID == ""; got != test.wantTopic {
			t.Errorf("%s for %s: %q %q", test.topic, test.pushType, n.Topic, n.BundleID)
		}
		if !test.wantTopic && (n.BundleID != test.topic || n.Topic != "") {
			t.Errorf("%s for %s: %q %q", test.topic, test.pushType, n.Topic, n.BundleID)
		}
	}
}
