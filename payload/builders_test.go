package payload_test

import (
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"aviso.example/payload"
)

// at is a moment given in UNIX seconds.
func at(seconds int64) time.Time { return time.Unix(seconds, 0) }

type health struct {
	Health int `json:"health"`
}

func TestOtherTypes(t *testing.T) {
	runBuildTests(t, []buildTest{
		{name: "website", payload: payload.Website{Title: "T", Body: "B"}, want: `{"aps":{"alert":{"title":"T","body":"B"},"url-args":[]}}`},
		{name: "website without texts", payload: payload.Website{}, problems: []string{"/aps/alert/title", "/aps/alert/body"}},
		{name: "background", payload: payload.Background{}, want: `{"aps":{"content-available":1}}`},
		{name: "background collision", payload: payload.Background{Custom: map[string]int{"aps": 1}}, problems: []string{"/aps"}},
		{name: "complication", payload: payload.Complication{Custom: map[string]int{"steps": 4321}}, want: `{"aps":{"content-available":1},"steps":4321}`},
		{name: "location", payload: payload.Location{Custom: map[string]int{"q": 1}}, want: `{"aps":{},"q":1}`},
		{name: "voip", payload: payload.VoIP{Custom: map[string]string{"callUUID": "7e9f"}}, want: `{"callUUID":"7e9f"}`},
		{name: "voip with aps", payload: payload.VoIP{Custom: map[string]any{"aps": map[string]any{"alert": "x"}}}, problems: []string{"/aps"}},
		{name: "ptt", payload: payload.PushToTalk{ServiceUpdate: true, Custom: map[string]string{"activeSpeaker": "Ann"}}, want: `{"aps":{"ptt-push-type":"service-update"},"activeSpeaker":"Ann"}`},
		{name: "fileprovider", payload: payload.FileProvider{Domain: "d"}, want: `{"container-identifier":"NSFileProviderWorkingSetContainerItemIdentifier","domain":"d"}`},
		{name: "fileprovider root", payload: payload.FileProvider{Container: payload.ContainerRoot, Domain: "d"}, want: `{"container-identifier":"NSFileProviderRootContainerItemIdentifier","domain":"d"}`},
		{name: "fileprovider without domain", payload: payload.FileProvider{}, problems: []string{"/domain"}},
		{name: "mdm without magic", payload: payload.MDM{}, problems: []string{"/mdm"}},
		{name: "mdm", payload: payload.MDM{PushMagic: "A\"B"}, want: `{"mdm":"A\"B"}`},
	})
}

func TestLiveActivity(t *testing.T) {
	state := health{40}
	alert := payload.LiveActivityAlert{Title: "T", Body: "B"}
	runBuildTests(t, []buildTest{
		{
			name: "start over a channel",
			payload: payload.LiveActivityStart{Timestamp: at(1732200000), AttributesType: "A", Attributes: struct{}{},
				ContentState: state, Updates: payload.UpdatesByChannel("dHN0LXNyY2gtY2hubA=="), StaleDate: at(1732203600),
				RelevanceScore: new(-2.5), Alert: alert},
			want: `{"aps":{"timestamp":1732200000,"event":"start","attributes-type":"A","attributes":{},"content-state":{"health":40},` +
				`"input-push-channel":"dHN0LXNyY2gtY2hubA==","stale-date":1732203600,"relevance-score":-2.5,"alert":{"title":"T","body":"B"}}}`,
		},
		{
			name: "localised alert",
			payload: payload.LiveActivityUpdate{Timestamp: at(1732200060), ContentState: state, Alert: &payload.LiveActivityAlert{
				TitleLocKey: "TK", TitleLocArgs: []string{"1"}, LocKey: "BK", Sound: "default"}},
			want: `{"aps":{"timestamp":1732200060,"event":"update","content-state":{"health":40},` +
				`"alert":{"title":{"loc-key":"TK","loc-args":["1"]},"body":{"loc-key":"BK"},"sound":"default"}}}`,
		},
		{
			name:    "end at once",
			payload: payload.LiveActivityEnd{Timestamp: at(1732203660), ContentState: state, DismissalDate: at(1732203660), Alert: &alert},
			want: `{"aps":{"timestamp":1732203660,"event":"end","content-state":{"health":40},"dismissal-date":1732203660,` +
				`"alert":{"title":"T","body":"B"}}}`,
		},
		{
			name:    "end long past",
			payload: payload.LiveActivityEnd{Timestamp: at(1732203660), ContentState: state, DismissalDate: at(0)},
			want:    `{"aps":{"timestamp":1732203660,"event":"end","content-state":{"health":40},"dismissal-date":0}}`,
		},
		{
			name:     "empty start",
			payload:  payload.LiveActivityStart{Updates: payload.UpdatesByChannel("")},
			problems: []string{"/aps/timestamp", "/aps/attributes-type", "/aps/attributes", "/aps/content-state", "/aps/input-push-channel", "/aps/alert"},
		},
		{name: "empty update", payload: payload.LiveActivityUpdate{}, problems: []string{"/aps/timestamp", "/aps/content-state"}},
		{name: "empty end", payload: payload.LiveActivityEnd{}, problems: []string{"/aps/timestamp", "/aps/content-state"}},
		{
			name: "wrong times",
			payload: payload.LiveActivityUpdate{Timestamp: at(1732200000000), ContentState: state, StaleDate: at(3600),
				RelevanceScore: new(math.Inf(1)), Alert: &payload.LiveActivityAlert{Sound: "x"}},
			problems: []string{"/aps/timestamp", "/aps/stale-date", "/aps/stale-date", "/aps/relevance-score", "/aps/alert"},
		},
		{
			name:     "dismissal after five hours",
			payload:  payload.LiveActivityEnd{Timestamp: at(1732200000), ContentState: state, DismissalDate: at(1732200000 + 5*3600)},
			problems: []string{"/aps/dismissal-date"},
		},
		{name: "state is null", payload: payload.LiveActivityUpdate{Timestamp: at(1732200000), ContentState: (*health)(nil)}, problems: []string{"/aps/content-state"}},
		{name: "state is a number", payload: payload.LiveActivityUpdate{Timestamp: at(1732200000), ContentState: 7}, problems: []string{"/aps/content-state"}},
		{
			name: "text and key",
			payload: payload.LiveActivityUpdate{Timestamp: at(1732200000), ContentState: state,
				Alert: &payload.LiveActivityAlert{Title: "T", TitleLocKey: "K", LocArgs: []string{"a"}, Body: "B"}},
			problems: []string{"/aps/alert/title", "/aps/alert/body/loc-args"},
		},
	})
}

func TestBroadcast(t *testing.T) {
	update := payload.LiveActivityUpdate{Timestamp: at(1732200000), ContentState: map[string]string{"s": strings.Repeat("x", 5000)}}
	if _, err := update.JSON(); !errors.Is(err, payload.ErrTooLarge) {
		t.Errorf("to a device: %v", err)
	}
	if got, err := update.BroadcastJSON(); err != nil || len(got) < 5000 {
		t.Errorf("to a channel: %d bytes, %v", len(got), err)
	}
	update.ContentState = map[string]string{"s": strings.Repeat("x", 5120)}
	if _, err := update.BroadcastJSON(); !errors.Is(err, payload.ErrTooLarge) {
		t.Errorf("to a channel: %v", err)
	}
	end := payload.LiveActivityEnd{Timestamp: at(1732200000), ContentState: struct{}{}}
	if _, err := end.BroadcastJSON(); err != nil {
		t.Error(err)
	}
	raw := payload.Raw{Type: payload.PushTypeLiveActivity, Body: []byte(`{"aps":{"event":"start"}}`)}
	if _, err := raw.BroadcastJSON(); err == nil {
		t.Error("a raw start was let through to a channel")
	}
	raw.Body = []byte(`{"aps":{"event":"end"}}`)
	if got, err := raw.BroadcastJSON(); err != nil || string(got) != string(raw.Body) {
		t.Errorf("%s, %v", got, err)
	}
	var start any = payload.LiveActivityStart{}
	if _, ok := start.(payload.Broadcast); ok {
		t.Error("a start must not be a Broadcast")
	}
}

func TestSwiftDate(t *testing.T) {
	for _, tt := range []struct {
		t    time.Time
		want string
	}{
		{time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC), "0"},
		{time.Date(2026, 11, 22, 8, 0, 0, 500_000_000, time.UTC), "817027200.5"},
		{time.Date(2000, 12, 31, 23, 59, 59, 0, time.UTC), "-1"},
	} {
		got, err := json.Marshal(payload.SwiftDate(tt.t))
		if err != nil || string(got) != tt.want {
			t.Errorf("%v: %s, %v; want %s", tt.t, got, err, tt.want)
		}
		var back payload.SwiftDate
		if err := json.Unmarshal(got, &back); err != nil || !time.Time(back).Equal(tt.t) {
			t.Errorf("%s came back as %v, %v", got, time.Time(back), err)
		}
	}
	if err := json.Unmarshal([]byte(`"2026-11-22"`), new(payload.SwiftDate)); err == nil {
		t.Error("a string is not a SwiftDate")
	}
}

// TestReferenceExamples builds every example of Apple's forms; each must lint
// without a single finding.
func TestReferenceExamples(t *testing.T) {
	game := payload.Alert{Title: "Game Request", Subtitle: "Five Card Draw", Body: "Bob wants to play",
		Badge: payload.SetBadge(9), Sound: payload.DefaultSound(), ThreadID: "game-42", Category: "GAME_INVITATION",
		MutableContent: true, InterruptionLevel: payload.InterruptionActive, RelevanceScore: new(0.5),
		Custom: map[string]string{"gameID": "12345678"}}
	adventure := payload.LiveActivityAlert{Title: "Adventure", Body: "It has begun", Sound: "chime.aiff"}
	const app = "com.example.app"
	for _, tt := range []struct {
		name   string
		p      payload.Payload
		want   string
		linter payload.Linter
	}{
		{"alert", game, `{"aps":{"alert":{"title":"Game Request","subtitle":"Five Card Draw","body":"Bob wants to play"},
			"badge":9,"sound":"default","thread-id":"game-42","category":"GAME_INVITATION",
			"mutable-content":1,"interruption-level":"active","relevance-score":0.5},"gameID":"12345678"}`,
			payload.Linter{Topic: app, Priority: 10}},
		{"critical", payload.Alert{Title: "Smoke", Body: "Kitchen", Sound: payload.CriticalSound("alarm.aiff", 1), InterruptionLevel: payload.InterruptionCritical},
			`{"aps":{"alert":{"title":"Smoke","body":"Kitchen"},"sound":{"critical":1,"name":"alarm.aiff","volume":1},"interruption-level":"critical"}}`,
			payload.Linter{Topic: app, CriticalAlerts: true}},
		{"background", payload.Background{Custom: map[string]any{"acme1": "bar", "acme2": 42}},
			`{"aps":{"content-available":1},"acme1":"bar","acme2":42}`, payload.Linter{Topic: app, Priority: 5}},
		{"voip", payload.VoIP{Custom: map[string]any{"callUUID": "7e9f…", "handle": "+15551234567"}},
			`{"callUUID":"7e9f…","handle":"+15551234567"}`, payload.Linter{Topic: app + ".voip", Expiration: new(int64(0))}},
		{"complication", payload.Complication{Custom: map[string]any{"steps": 4321}},
			`{"aps":{"content-available":1},"steps":4321}`, payload.Linter{Topic: app + ".complication"}},
		{"fileprovider", payload.FileProvider{Domain: "domain-1"},
			`{"container-identifier":"NSFileProviderWorkingSetContainerItemIdentifier","domain":"domain-1"}`, payload.Linter{Topic: app + ".pushkit.fileprovider"}},
		{"location", payload.Location{}, `{"aps":{}}`, payload.Linter{Topic: app + ".location-query"}},
		{"mdm", payload.MDM{PushMagic: "<PushMagic>"}, `{"mdm":"<PushMagic>"}`, payload.Linter{Topic: "com.apple.mgmt.External.1"}},
		{"speaker", payload.PushToTalk{Custom: map[string]any{"activeSpeaker": "Ann"}}, `{"activeSpeaker":"Ann"}`,
			payload.Linter{Topic: app + ".voip-ptt", Priority: 10, Expiration: new(int64(0))}},
		{"service update", payload.PushToTalk{ServiceUpdate: true}, `{"aps":{"ptt-push-type":"service-update"}}`, payload.Linter{}},
		{"widgets", payload.Widgets{}, `{"aps":{"content-changed":true}}`, payload.Linter{Topic: app + ".push-type.widgets"}},
		{"controls", payload.Controls{}, `{"aps":{"content-changed":true}}`, payload.Linter{Topic: app + ".push-type.controls"}},
		{"start", payload.LiveActivityStart{Timestamp: at(1732200000), AttributesType: "AdventureAttributes",
			Attributes: map[string]string{"hero": "Panda"}, ContentState: health{100}, Updates: payload.UpdatesByDeviceToken(), Alert: adventure},
			`{"aps":{"timestamp":1732200000,"event":"start","attributes-type":"AdventureAttributes",
			"attributes":{"hero":"Panda"},"content-state":{"health":100},"input-push-token":1,
			"alert":{"title":"Adventure","body":"It has begun","sound":"chime.aiff"}}}`, payload.Linter{Topic: app + ".push-type.liveactivity"}},
		{"update", payload.LiveActivityUpdate{Timestamp: at(1732200060), ContentState: health{40}, StaleDate: at(1732203660), RelevanceScore: new(75.0)},
			`{"aps":{"timestamp":1732200060,"event":"update","content-state":{"health":40},"stale-date":1732203660,"relevance-score":75}}`, payload.Linter{Priority: 5}},
		{"end", payload.LiveActivityEnd{Timestamp: at(1732203660), ContentState: health{0}, DismissalDate: at(1732204000)},
			`{"aps":{"timestamp":1732203660,"event":"end","content-state":{"health":0},"dismissal-date":1732204000}}`, payload.Linter{}},
		{"wallet", payload.WalletUpdate{}, `{}`, payload.Linter{Topic: "pass.com.example", Environment: payload.Production}},
		{"website", payload.Website{Title: "Flight", Body: "Now boarding", Action: "View", URLArgs: []string{"boarding", "A998"}},
			`{"aps":{"alert":{"title":"Flight","body":"Now boarding","action":"View"},"url-args":["boarding","A998"]}}`, payload.Linter{Topic: "web.com.example"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.p.JSON()
			if err != nil {
				t.Fatal(err)
			}
			// The examples are printed on several lines; nothing else differs.
			if want := strings.ReplaceAll(strings.ReplaceAll(tt.want, "\n", ""), "\t", ""); string(got) != want {
				t.Errorf("\n got %s\nwant %s", got, want)
			}
			for _, f := range tt.linter.Lint(tt.p.PushType(), got) {
				t.Error(f)
			}
			// encoding/json gives the same, wherever the payload stands.
			pointer := reflect.New(reflect.TypeOf(tt.p))
			pointer.Elem().Set(reflect.ValueOf(tt.p))
			for _, v := range []any{tt.p, pointer.Interface(), []payload.Payload{tt.p}} {
				text, err := json.Marshal(v)
				if err != nil {
					t.Fatal(err)
				}
				var sent, marshalled any
				if err := errors.Join(json.Unmarshal(got, &sent), json.Unmarshal(text, &marshalled)); err != nil {
					t.Fatal(err)
				}
				if list, ok := marshalled.([]any); ok {
					marshalled = list[0]
				}
				if !reflect.DeepEqual(marshalled, sent) {
					t.Errorf("%T gives %s", v, text)
				}
			}
			if err := json.Unmarshal(got, pointer.Interface()); err == nil {
				t.Error("it is read back, which loses everything")
			}
			for _, f := range tt.linter.Lint("", got) {
				t.Errorf("with the push type not stated: %v", f)
			}
		})
	}
}
