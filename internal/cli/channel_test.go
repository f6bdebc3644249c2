package cli

import (
	"encoding/json"
	"net"
	"slices"
	"strings"
	"testing"

	"aviso.example/apns"
	"aviso.example/sim"
)

// channel runs aviso channel against the simulator.
func (r *rig) channel(t *testing.T, sub string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	return runCLI(t, "", append([]string{
		"channel", sub, "--endpoint", r.Endpoint, "--ca", r.path("ca.pem"),
		"--key", r.path("AuthKey_" + r.KeyID + ".p8"), "--team", r.TeamID, "--topic", r.Topic,
	}, args...)...)
}

func TestChannelCommands(t *testing.T) {
	server := newRig(t, func(c *sim.Config) {
		c.ChannelLimit = 1
		c.Guesses.AcceptEqualTimestamps = true // commands that run within one second
	})
	code, out, errs := server.channel(t, "create", "--json", "--policy", "latest")
	var made channelJSON
	if err := json.Unmarshal([]byte(out), &made); err != nil || code != ExitOK || made.ChannelID == "" || made.Policy != "latest" || made.BundleID != server.Topic {
		t.Fatalf("exit code %d: %s%s", code, out, errs)
	}
	state := server.file(t, "state.json", `{"score":"2-1"}`)
	if _, err := server.Subscribe(made.ChannelID, server.DeviceToken); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		sub  string
		args []string
		code int
		want string // on either output
	}{
		{"one too many", "create", nil, ExitRejected, "400 CannotCreateChannelConfig"},
		{"one too many, as JSON", "create", []string{"--json"}, ExitRejected, `"reason":"CannotCreateChannelConfig","action":"fix the configuration"`},
		{"show", "show", []string{made.ChannelID}, ExitOK, "latest (the last message is kept for up to eight hours)"},
		{"list", "list", nil, ExitOK, made.ChannelID + "\n"},
		{"list as JSON", "list", []string{"--json"}, ExitOK, `{"channels":["` + made.ChannelID + `"]}`},
		{"update", "send", []string{made.ChannelID, "--event", "update", "--content-state", state}, ExitOK, "accepted by APNs"},
		{"with an alert", "send", []string{made.ChannelID, "--event", "update", "--content-state", state, "--title", "Goal", "--expiration", "1h", "--json"}, ExitOK, `"channel_id":"` + made.ChannelID + `","outcome":"accepted"`},
		{"end", "send", []string{made.ChannelID, "--event", "end", "--content-state", state, "--dismissal-date", "0", "--id", "0190e8f2-6f3a-7c3e-9b1d-2f0a4c5d6e7f"}, ExitOK, "0190e8f2-6f3a-7c3e-9b1d-2f0a4c5d6e7f"},
		{"a payload of one's own", "send", []string{made.ChannelID, "--payload", server.file(t, "p.json", `{"aps":{"timestamp":1000000000,"event":"update","content-state":{}}}`)}, ExitOK, "accepted"},
		{"unknown", "show", []string{"QUJD"}, ExitRejected, "ChannelNotRegistered"},
		{"send to an unknown one", "send", []string{"QUJD", "--event", "update", "--content-state", state}, ExitRejected, "Use the environment in which it was made"},

		{"no policy", "create", []string{"--policy", "all"}, ExitUsage, "--policy: a storage policy is none"},
		{"a suffix", "list", []string{"--topic", "com.example.app.push-type.liveactivity"}, ExitUsage, "--topic ends in"},
		{"no topic", "list", []string{"--topic", ""}, ExitUsage, "--topic is missing: it is"},
		{"a port", "list", []string{"--port", "2197"}, ExitUsage, "unknown flag: --port"},
		{"an id from a URL", "show", []string{"QUJ%3D"}, ExitUsage, "aviso: the channel id has % at position 4; it was probably escaped for a URL and has to be unescaped\n"},
		{"an empty id", "delete", []string{""}, ExitUsage, "aviso: the channel id is missing\n"},
		{"no time", "list", []string{"--timeout", "-1s"}, ExitUsage, "--timeout is -1s"},
		{"no id", "delete", nil, ExitUsage, "exactly one channel id"},
		{"nothing to send", "send", []string{made.ChannelID}, ExitUsage, "give --event with --content-state"},
		{"a start", "send", []string{made.ChannelID, "--event", "start", "--content-state", state}, ExitUsage, "cannot be started by broadcast"},
		{"a start in a payload", "send", []string{made.ChannelID, "--payload", server.file(t, "s.json", `{"aps":{"event":"start"}}`)}, ExitUsage, "cannot be started by broadcast"},
		{"no event", "send", []string{made.ChannelID, "--content-state", state}, ExitUsage, "--event says what happens"},
		{"no state", "send", []string{made.ChannelID, "--event", "update"}, ExitUsage, "--content-state: missing"},
		{"no such event", "send", []string{made.ChannelID, "--event", "updat", "--content-state", state}, ExitUsage, `did you mean "update"?`},
		{"second host", "send", []string{made.ChannelID, "--event", "update", "--content-state", state, "--second-host"}, ExitUsage, "--second-host"},
		{"no JSON", "send", []string{made.ChannelID, "--event", "update", "--content-state", server.file(t, "bad.json", "{")}, ExitUsage, "is not JSON"},
		{"useless", "send", []string{made.ChannelID, "--event", "update", "--content-state", state, "--dismissal-date", "1h"}, ExitUsage, "--dismissal-date means nothing with --event update"},
		{"both", "send", []string{made.ChannelID, "--event", "update", "--content-state", state, "--payload", state}, ExitUsage, "--payload is the whole payload"},
	} {
		code, out, errs := server.channel(t, test.sub, test.args...)
		if code != test.code || !strings.Contains(out+errs, test.want) {
			t.Errorf("%s: exit code %d, want %d and %q:\n%s%s", test.name, code, test.code, test.want, out, errs)
		}
	}
	pushes := server.Pushes(sim.Filter{ChannelID: made.ChannelID})
	if len(pushes) != 4 {
		t.Fatalf("%d broadcasts arrived", len(pushes))
	}
	if p := pushes[0]; p.Priority != 5 || *p.Expiration != 0 || p.Reached != 1 {
		t.Errorf("an update: %+v", p)
	}
	if p := pushes[2]; p.Priority != 10 {
		t.Errorf("an end: %+v", p)
	}
	if p := pushes[1]; p.Priority != 10 || *p.Expiration == 0 {
		t.Errorf("an update with an alert: %+v", p)
	}
	list := server.Activities(sim.ActivityFilter{ChannelID: made.ChannelID})
	if len(list) != 1 || list[0].State != sim.ActivityDismissed || string(list[0].ContentState) != `{"score":"2-1"}` {
		t.Errorf("%+v", list)
	}
	if code, out, errs := server.channel(t, "delete", made.ChannelID); code != ExitOK || !strings.Contains(out, "deleted") {
		t.Errorf("exit code %d: %s%s", code, out, errs)
	}
	if code, out, _ := server.channel(t, "list", "--json"); code != ExitOK || out != "{\"channels\":[]}\n" {
		t.Errorf("exit code %d: %s", code, out)
	}
	if code, out, _ := server.channel(t, "delete", made.ChannelID); code != ExitRejected || !strings.Contains(out, "ChannelNotRegistered") {
		t.Errorf("exit code %d: %s", code, out)
	}
}

func TestChannelUnreachable(t *testing.T) {
	server := newRig(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	server.Endpoint = l.Addr().String()
	if code, out, errs := server.channel(t, "list", "--timeout", "300ms"); code != ExitUnreachable || !strings.Contains(out+errs, "the request was not sent") {
		t.Errorf("exit code %d: %s%s", code, out, errs)
	}
	// Programs get an answer too.
	code, out, errs := server.channel(t, "list", "--timeout", "300ms", "--json")
	var v verdict
	if err := json.Unmarshal([]byte(out), &v); err != nil || code != ExitUnreachable || v.Outcome != apns.NotSent || v.ID == "" {
		t.Errorf("exit code %d: %s%s", code, out, errs)
	}
}

// The life of a Live Activity from the shell.
func TestSendLiveActivity(t *testing.T) {
	server := newRig(t)
	state := server.file(t, "state.json", `{"stops":3}`)
	attributes := server.file(t, "attributes.json", `{"order":7}`)
	send := func(to string, args ...string) (int, string) {
		t.Helper()
		code, out, errs := runCLI(t, "", server.send(append([]string{"--to", to, "--push-type", "liveactivity"}, args...)...).Args[1:]...)
		return code, out + errs
	}
	start := []string{"--event", "start", "--content-state", state, "--attributes-type", "Delivery", "--attributes", attributes, "--title", "Your parcel", "--body", "is on its way", "--sound", "default"}
	if code, out := send(server.DeviceToken, append(start, "--input-push-token", "--stale-date", "1h", "--relevance-score", "7.5")...); code != ExitOK {
		t.Fatalf("exit code %d: %s", code, out)
	}
	list := server.Activities(sim.ActivityFilter{DeviceToken: server.DeviceToken})
	if len(list) != 1 || list[0].AttributesType != "Delivery" || *list[0].RelevanceScore != 7.5 || list[0].StaleDate == 0 {
		t.Fatalf("%+v", list)
	}
	body := string(server.Pushes(sim.Filter{})[0].Payload)
	for _, want := range []string{`"input-push-token":1`, `"alert":{"title":"Your parcel","body":"is on its way","sound":"default"}`} {
		if !strings.Contains(body, want) {
			t.Errorf("%s without %s", body, want)
		}
	}
	to := list[0].UpdateDeviceToken
	update := server.file(t, "update.json", `{"aps":{"timestamp":4102444800,"event":"update","content-state":{"stops":2}}}`)
	if code, out := send(to, "--payload", update, "--priority", "5"); code != ExitOK {
		t.Errorf("exit code %d: %s", code, out)
	}
	if code, out := send(to, "--event", "end", "--content-state", state, "--dismissal-date", "30m"); code != ExitOK {
		t.Errorf("exit code %d: %s", code, out)
	}
	if p := server.Pushes(sim.Filter{DeviceToken: to}); len(p) != 2 || p[0].Topic != "com.example.app.push-type.liveactivity" || !strings.Contains(string(p[1].Payload), `"dismissal-date":`) {
		t.Errorf("%+v", p)
	}
	for want, args := range map[string][]string{
		"exclude each other: the device refuses":   append(start, "--input-push-token", "--input-push-channel", "QUJD"),
		"--attributes-type: a start must name":     {"--event", "start", "--content-state", state, "--attributes", attributes, "--title", "x"},
		"--title and --body: Apple requires":       {"--event", "start", "--content-state", state, "--attributes", attributes, "--attributes-type", "A"},
		"--subtitle is not part":                   {"--event", "update", "--content-state", state, "--subtitle", "x"},
		"--attributes means nothing with --event":  {"--event", "update", "--content-state", state, "--attributes", attributes},
		"--dismissal-date: more than four hours":   {"--event", "end", "--content-state", state, "--dismissal-date", "5h"},
		"--stale-date has to be":                   {"--event", "update", "--content-state", state, "--stale-date", "soon"},
		"--content-state: must become":             {"--event", "update", "--content-state", server.file(t, "list.json", "[1]")},
		"missing.json":                             {"--event", "update", "--content-state", "missing.json"},
		"--input-push-channel: not base64":         append(start, "--input-push-channel", "a b"),
		"--event belongs to --push-type liveactiv": {"--event", "update", "--content-state", state, "--push-type", "alert"},
	} {
		if code, out := send(to, args...); code != ExitUsage || !strings.Contains(out, want) {
			t.Errorf("exit code %d, want %q: %s", code, want, out)
		}
	}
	// Without --push-type, --event implies it.
	code, out, errs := runCLI(t, "", server.send("--to", server.DeviceToken, "--event", "update", "--content-state", state).Args[1:]...)
	if code != ExitOK {
		t.Errorf("exit code %d: %s%s", code, out, errs)
	}
	// Only an update without an alert spares the budget.
	var priorities []int
	for _, p := range server.Pushes(sim.Filter{}) {
		priorities = append(priorities, p.Priority)
	}
	if want := []int{10, 5, 10, 5}; !slices.Equal(priorities, want) {
		t.Errorf("priorities %v, want %v", priorities, want)
	}
	for when, want := range map[string]string{"300": "write 300s", "-5m": "has to be a duration", "-1": "has to be a duration", "soon": "has to be a duration"} {
		if code, out := send(to, "--event", "end", "--content-state", state, "--dismissal-date="+when); code != ExitUsage || strings.Contains(out, "attempt") || !strings.Contains(out, want) {
			t.Errorf("--dismissal-date %s: exit code %d: %s", when, code, out)
		}
	}
}

// A client whose management port cannot be changed finds it on a second listener.
func TestSimulateAlsoListens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if code, _, errs := runCLI(t, "", "simulate", "--listen", "127.0.0.1:0", "--api=", "--trust-any-key", "--also-listen", address); code != ExitFailure || !strings.Contains(errs, "--also-listen") {
		t.Errorf("exit code %d: %s", code, errs)
	}
	l.Close()
	if code, _, errs := runCLI(t, "", "simulate", "--channel-limit", "-1"); code != ExitUsage || !strings.Contains(errs, "--channel-limit") {
		t.Errorf("exit code %d: %s", code, errs)
	}
	f := &simulateFlags{listen: "127.0.0.1:0", environment: "sandbox", channelLimit: 7, noBroadcast: []string{"com.example.app"}, trustAnyKey: true}
	cfg, err := f.config()
	if err != nil || cfg.ChannelLimit != 7 || len(cfg.NoBroadcast) != 1 {
		t.Errorf("%+v %v", cfg, err)
	}
}
