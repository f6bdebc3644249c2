package payload_test

import (
	"errors"
	"fmt"
	"os"
	"time"

	"aviso.example/payload"
)

// show prints a payload or what is wrong with it.
func show(p payload.Payload) {
	body, err := p.JSON()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s: %s\n", p.PushType(), body)
}

func ExampleAlert() {
	show(payload.Alert{Title: "Game Request", Body: "Bob wants to play", Sound: payload.DefaultSound()})
	// Output:
	// alert: {"aps":{"alert":{"title":"Game Request","body":"Bob wants to play"},"sound":"default"}}
}

func ExampleAlert_custom() {
	type game struct {
		ID   string `json:"gameID"`
		Turn int    `json:"turn"`
	}
	show(payload.Alert{Body: "Your turn", Custom: game{ID: "12345678", Turn: 3}})
	// Output:
	// alert: {"aps":{"alert":{"body":"Your turn"}},"gameID":"12345678","turn":3}
}

func ExampleAlert_localized() {
	show(payload.Alert{TitleLocKey: "REQUEST", LocKey: "WANTS_TO_PLAY", LocArgs: []string{"Bob", "Poker"}})
	// Output:
	// alert: {"aps":{"alert":{"title-loc-key":"REQUEST","loc-key":"WANTS_TO_PLAY","loc-args":["Bob","Poker"]}}}
}

func ExampleAlert_problems() {
	// Everything that is wrong is reported at once.
	_, err := payload.Alert{
		LocArgs: []string{"Bob"},
		Sound:   payload.CriticalSound("alarm.aiff", 80),
		Badge:   payload.SetBadge(-1),
	}.JSON()
	invalid, _ := errors.AsType[*payload.InvalidError](err)
	for _, p := range invalid.Problems {
		fmt.Printf("%s: %s\n", p.Path, p.Message)
	}
	// Output:
	// /aps/alert/loc-args: arguments without a localisation key have no string to go into
	// /aps/badge: a badge cannot be negative
	// /aps/sound/volume: the volume of a critical sound runs from 0 to 1
}

func ExampleBadge() {
	show(payload.Alert{Body: "kept"})
	show(payload.Alert{Body: "cleared", Badge: payload.ClearBadge()})
	show(payload.Alert{Body: "set", Badge: payload.SetBadge(3)})
	// Output:
	// alert: {"aps":{"alert":{"body":"kept"}}}
	// alert: {"aps":{"alert":{"body":"cleared"},"badge":0}}
	// alert: {"aps":{"alert":{"body":"set"},"badge":3}}
}

func ExampleCriticalSound() {
	show(payload.Alert{
		Title: "Smoke", Body: "Kitchen",
		Sound:             payload.CriticalSound("alarm.aiff", 1),
		InterruptionLevel: payload.InterruptionCritical,
	})
	// Output:
	// alert: {"aps":{"alert":{"title":"Smoke","body":"Kitchen"},"sound":{"critical":1,"name":"alarm.aiff","volume":1},"interruption-level":"critical"}}
}

func ExampleBackground() {
	show(payload.Background{Custom: map[string]any{"inbox": 42}})
	// Output:
	// background: {"aps":{"content-available":1},"inbox":42}
}

func ExampleVoIP() {
	show(payload.VoIP{Custom: map[string]string{"callUUID": "7e9f", "handle": "+15551234567"}})
	// Output:
	// voip: {"callUUID":"7e9f","handle":"+15551234567"}
}

func ExamplePushToTalk() {
	show(payload.PushToTalk{Custom: map[string]string{"activeSpeaker": "Ann"}})
	show(payload.PushToTalk{ServiceUpdate: true})
	// Output:
	// pushtotalk: {"activeSpeaker":"Ann"}
	// pushtotalk: {"aps":{"ptt-push-type":"service-update"}}
}

func ExampleMDM() {
	show(payload.MDM{PushMagic: "5AC8C91F"})
	// Output:
	// mdm: {"mdm":"5AC8C91F"}
}

func ExampleWidgets() {
	show(payload.Widgets{})
	// Output:
	// widgets: {"aps":{"content-changed":true}}
}

func ExampleWebsite() {
	show(payload.Website{Title: "Flight", Body: "Now boarding", Action: "View", URLArgs: []string{"boarding", "A998"}})
	// Output:
	// alert: {"aps":{"alert":{"title":"Flight","body":"Now boarding","action":"View"},"url-args":["boarding","A998"]}}
}

func ExampleLiveActivityStart() {
	type attributes struct {
		Hero string `json:"hero"`
	}
	type state struct {
		Health int `json:"health"`
	}
	show(payload.LiveActivityStart{
		Timestamp:      time.Unix(1732200000, 0), // time.Now() in real life
		AttributesType: "AdventureAttributes",
		Attributes:     attributes{Hero: "Panda"},
		ContentState:   state{Health: 100},
		Updates:        payload.UpdatesByDeviceToken(),
		Alert:          payload.LiveActivityAlert{Title: "Adventure", Body: "It has begun"},
	})
	// Output:
	// liveactivity: {"aps":{"timestamp":1732200000,"event":"start","attributes-type":"AdventureAttributes","attributes":{"hero":"Panda"},"content-state":{"health":100},"input-push-token":1,"alert":{"title":"Adventure","body":"It has begun"}}}
}

func ExampleLiveActivityUpdate_BroadcastJSON() {
	goal := payload.LiveActivityUpdate{
		Timestamp:    time.Unix(1732200060, 0),
		ContentState: map[string]string{"score": "2-1"},
		Alert:        &payload.LiveActivityAlert{Title: "Goal!", Body: "2-1", Sound: "default"},
	}
	body, err := goal.BroadcastJSON()
	if err != nil {
		fmt.Println(err)
	}
	fmt.Printf("%s\n", body)
	// Output:
	// {"aps":{"timestamp":1732200060,"event":"update","content-state":{"score":"2-1"},"alert":{"title":"Goal!","body":"2-1","sound":"default"}}}
}

func ExampleLiveActivityEnd() {
	whistle := time.Unix(1732203660, 0)
	show(payload.LiveActivityEnd{
		Timestamp:     whistle,
		ContentState:  map[string]string{"score": "3-1"},
		DismissalDate: whistle.Add(10 * time.Minute),
	})
	// Output:
	// liveactivity: {"aps":{"timestamp":1732203660,"event":"end","content-state":{"score":"3-1"},"dismissal-date":1732204260}}
}

func ExampleSwiftDate() {
	type state struct {
		KickOff payload.SwiftDate `json:"kickOff"` // let kickOff: Date
	}
	show(payload.LiveActivityUpdate{
		Timestamp:    time.Unix(1732200060, 0),
		ContentState: state{KickOff: payload.SwiftDate(time.Unix(1732200000, 0))},
	})
	// Output:
	// liveactivity: {"aps":{"timestamp":1732200060,"event":"update","content-state":{"kickOff":753892800}}}
}

func ExampleParseRaw() {
	raw, err := payload.ParseRaw(payload.PushTypeAlert, []byte(`{ "aps": {"alert": "sent as it is"} }`))
	if err != nil {
		fmt.Println(err)
		return
	}
	show(raw)
	_, err = payload.ParseRaw(payload.PushTypeAlert, []byte(`{'aps': {'alert': 'from Python'}}`))
	fmt.Println(err)
	// Output:
	// alert: { "aps": {"alert": "sent as it is"} }
	// invalid "alert" payload: not JSON at byte 1: a key in single quotes (JSON keys stand in double quotes; is this the print form of a Python or Ruby value?)
}

func ExampleShorten() {
	long := `{"aps":{"alert":{"title":"News","body":"The family 👨‍👩‍👧 is back home"}}}`
	short, err := payload.Shorten([]byte(long), 80) // payload.MaxSize(t) in real life
	fmt.Printf("%s %v\n", short, err)
	// Output:
	// {"aps":{"alert":{"title":"News","body":"The family 👨‍👩‍👧 is…"}}} <nil>
}

func ExampleAlert_Shorten() {
	alert := payload.Alert{Title: "News", Body: "A text that is longer than it may be"}
	short, err := alert.Shorten(62)
	fmt.Println(short.Body, err)
	// Output:
	// A text that is… <nil>
}

func ExampleLint() {
	for _, finding := range payload.Lint(payload.PushTypeBackground, []byte(`{"aps":{"content-available":"1","sond":"x"}}`)) {
		fmt.Printf("%s %s at %s: %s\n", finding.Severity, finding.Code, finding.Path, finding.Fix)
	}
	// Output:
	// dropped background-content-available at /aps/content-available: send "content-available":1
	// dropped numeric-string at /aps/content-available: send the number without quotes
	// suspicious misspelled-key at /aps/sond: did you mean sound?
}

func ExampleLinter() {
	linter := payload.Linter{Topic: "com.example.app", Priority: payload.PriorityImmediate, Expiration: new(int64(300))}
	for _, finding := range linter.Lint(payload.PushTypeVoIP, []byte(`{"callUUID":"7e9f"}`)) {
		fmt.Fprintln(os.Stdout, finding)
	}
	// Output:
	// rejected: apns-topic: the topic of push type voip ends in .voip (append .voip to the bundle identifier) [topic-suffix]
	// suspicious: apns-expiration: a moment before 2000, so the push has expired before it is sent (add the duration to the present UNIX time) [expiration-relative]
}
