package apns_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"aviso.example/apns"
	"aviso.example/apnstest"
	"aviso.example/sim"
)

const goal = `{"aps":{"timestamp":1732200060,"event":"update","content-state":{"score":"2-1"}}}`

// broadcast makes a channel and a notification to it.
func broadcast(t testing.TB, server *apnstest.Server, policy int) *apns.Notification {
	t.Helper()
	ch, err := server.CreateChannel(server.Topic, policy)
	if err != nil {
		t.Fatal(err)
	}
	return &apns.Notification{
		ChannelID: ch.ID, Payload: []byte(goal),
		Priority: apns.PriorityImmediate, Expiration: apns.ExpireImmediately,
	}
}

// names returns the fields of a recorded push, without those of HTTP itself.
func names(p sim.Push) (list []string) {
	for _, f := range p.Header {
		if strings.HasPrefix(f[0], "apns-") || f[0] == ":path" {
			list = append(list, f[0]+": "+f[1])
		}
	}
	slices.Sort(list)
	return list
}

func TestBroadcastOnTheWire(t *testing.T) {
	server := apnstest.Start(t)
	client := newClient(t, server, nil)
	n := broadcast(t, server, 1)
	at := time.Now().Add(time.Hour)
	n.Expiration = apns.ExpireAt(at)
	n.Payload = []byte(strings.Replace(goal, "2-1", strings.Repeat("x", 5120-len(goal)+3), 1))
	receipt, err := client.Push(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	p := server.WaitForPush(t, sim.Filter{ChannelID: n.ChannelID})
	want := []string{
		":path: /4/broadcasts/apps/com.example.app", "apns-channel-id: " + n.ChannelID, fmt.Sprint("apns-expiration: ", at.Unix()),
		"apns-priority: 10", "apns-push-type: liveactivity", "apns-request-id: " + receipt.ID.String(),
	}
	if got := names(p); !slices.Equal(got, want) {
		t.Errorf("sent\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if receipt.UniqueID == "" || receipt.UniqueID != p.UniqueID || receipt.Attempts != 1 || len(p.Payload) != 5120 {
		t.Errorf("receipt %+v, %d bytes", receipt, len(p.Payload))
	}
	// The id may be the caller's, the bundle identifier the notification's.
	id := apns.NewID()
	n = broadcast(t, server, 0)
	n.ID, n.BundleID, n.PushType, n.Priority = id, "com.example.app", apns.PushTypeLiveActivity, apns.PriorityConserve
	if receipt, err = client.Push(t.Context(), n); err != nil || receipt.ID != id {
		t.Errorf("%+v %v", receipt, err)
	}
	if p := server.WaitForPush(t, sim.Filter{ID: id.String()}); p.Priority != 5 || *p.Expiration != 0 {
		t.Errorf("%+v", p)
	}
}

// Devices and channels go through one client, one PushAll and one connection.
func TestDevicesAndChannelsTogether(t *testing.T) {
	server := apnstest.Start(t)
	client := newClient(t, server, nil)
	toChannel := broadcast(t, server, 0)
	gone := broadcast(t, server, 0)
	if err := server.DeleteChannel(gone.ChannelID); err != nil {
		t.Fatal(err)
	}
	const each = 200
	outcomes := map[string]int{}
	for r := range client.PushAll(t.Context(), func(yield func(*apns.Notification) bool) {
		for range each {
			for _, n := range []*apns.Notification{note(server), toChannel, gone} {
				if !yield(n) {
					return
				}
			}
		}
	}) {
		name := r.Outcome.String()
		if e, ok := errors.AsType[*apns.RejectedError](r.Err); ok {
			name = string(e.Reason)
		}
		if (r.Notification == gone) != (r.Err != nil) {
			t.Fatalf("%+v: %v", r.Notification, r.Err)
		}
		outcomes[name]++
	}
	if outcomes["accepted"] != 2*each || outcomes["ChannelNotRegistered"] != each {
		t.Error(outcomes)
	}
	for _, p := range server.Pushes(sim.Filter{DeviceToken: server.DeviceToken}) {
		if slices.ContainsFunc(names(p), func(s string) bool {
			return strings.HasPrefix(s, "apns-channel-id") || strings.HasPrefix(s, "apns-request-id")
		}) {
			t.Fatalf("a push to a device has fields of broadcasts: %v", names(p))
		}
	}
	if st := server.Stats(); st.Connections != 1 {
		t.Errorf("%d connections", st.Connections)
	}
}

func TestInvalidBroadcasts(t *testing.T) {
	server := apnstest.Start(t)
	client := newClient(t, server, func(cfg *apns.Config) { cfg.BundleID = "" })
	for name, test := range map[string]struct {
		change func(*apns.Notification)
		want   []string
	}{
		"both targets":  {func(n *apns.Notification) { n.DeviceToken = server.DeviceToken }, []string{"DeviceToken and ChannelID exclude each other"}},
		"no bundle":     {func(n *apns.Notification) { n.BundleID = "" }, []string{"BundleID is missing"}},
		"topic":         {func(n *apns.Notification) { n.Topic = "com.example.app.push-type.liveactivity" }, []string{"Topic is not used for a channel"}},
		"suffix":        {func(n *apns.Notification) { n.BundleID += ".push-type.liveactivity" }, []string{"BundleID ends in", "TopicDisallowed"}},
		"path in it":    {func(n *apns.Notification) { n.BundleID += "/../x" }, []string{"BundleID has '/' at position 16"}},
		"push type":     {func(n *apns.Notification) { n.PushType = apns.PushTypeAlert }, []string{"PushType has to be liveactivity"}},
		"no priority":   {func(n *apns.Notification) { n.Priority = 0 }, []string{"Priority is missing", "5 costs no budget"}},
		"priority":      {func(n *apns.Notification) { n.Priority = 7 }, []string{"Priority has to be 10, 5 or 1"}},
		"no expiration": {func(n *apns.Notification) { n.Expiration = apns.Expiration{} }, []string{"Expiration is missing"}},
		"by policy":     {func(n *apns.Notification) { n.Expiration = apns.ExpireByStoragePolicy }, []string{"Expiration is missing"}},
		"a duration":    {func(n *apns.Notification) { n.Expiration = apns.ExpireAtUnix(3600) }, []string{"Expiration lies in 1970"}},
		"collapse id":   {func(n *apns.Notification) { n.CollapseID = "x" }, []string{"CollapseID is not used for a channel"}},
		"empty":         {func(n *apns.Notification) { n.Payload = nil }, []string{"Payload is empty"}},
		"too large":     {func(n *apns.Notification) { n.Payload = make([]byte, 5121) }, []string{"Payload has 5121 bytes; the limit for a channel is 5120"}},
		"no object":     {func(n *apns.Notification) { n.Payload = []byte(`[]`) }, []string{"Payload is not a JSON object"}},
		"a start":       {func(n *apns.Notification) { n.Payload = []byte(`{"aps":{"event":"start"}}`) }, []string{"Payload has event start", "push-to-start"}},
		"all at once": {func(n *apns.Notification) { *n = apns.Notification{ChannelID: "a b"} }, []string{
			"ChannelID has a space at position 2", "BundleID is missing", "Priority is missing", "Expiration is missing", "Payload is empty",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			n := broadcast(t, server, 0)
			n.BundleID = server.Topic
			test.change(n)
			_, err := client.Push(t.Context(), n)
			if _, ok := errors.AsType[*apns.InvalidError](err); !ok || apns.OutcomeOf(err) != apns.NotSent {
				t.Fatalf("%v", err)
			}
			valid := n.Validate("", time.Now())
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) || valid == nil || !strings.Contains(valid.Error(), want) {
					t.Errorf("%v\n%v\ndo not both say %q", err, valid, want)
				}
			}
		})
	}
	if n := server.Stats().Streams; n != 0 {
		t.Errorf("%d requests were sent", n)
	}
	n := broadcast(t, server, 0)
	if err := n.Validate(server.Topic, time.Now()); err != nil {
		t.Error(err)
	}
}

func TestCheckChannelID(t *testing.T) {
	for id, want := range map[string]string{
		"dHN0LXNyY2gtY2hubA==": "", "dHN0LXNyY2gtY2hubA": "", "+/+/": "",
		"":                            "is missing",
		"dHN0LXNyY2gtY2hubA=":         "cut off",
		"a-b_":                        "base64 for URLs",
		"dHN0LXNyY2gtY2hubA%3D%3D":    "unescaped",
		"ab cd":                       "a + becomes one",
		"ab\ncd":                      "position 3",
		strings.Repeat("AAAA", 1_001): "4004 characters",
	} {
		p := apns.CheckChannelID(id)
		if (p == nil) != (want == "") || p != nil && !strings.Contains(p.Message, want) {
			t.Errorf("%.30q: %v, want %q", id, p, want)
		}
	}
}

func FuzzCheckChannelID(f *testing.F) {
	for _, s := range []string{"", "dHN0LXNyY2gtY2hubA==", "a b", "====", "a\x00", "Ü", "AAA"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p := apns.CheckChannelID(s)
		if p == nil && strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
			t.Fatalf("%q passed", s)
		}
		if p != nil && len(s) > 8 && strings.Contains(p.Message, s) {
			t.Fatalf("the value is in %q", p.Message)
		}
	})
}

// What APNs asks to send later is sent later, in both spellings of the word for
// it, and under the same id.
func TestBroadcastsAreRetried(t *testing.T) {
	for _, reason := range []apns.Reason{apns.ReasonServiceUnavailable, apns.ReasonServiceUnavailableSpaced, apns.ReasonTooManyRequests} {
		t.Run(string(reason), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := apnstest.StartMem(t)
				var retried []apns.Reason
				client := newClient(t, server, func(cfg *apns.Config) {
					cfg.Hooks.OnRetry = func(_ *apns.Notification, e apns.RetryEvent) { retried = append(retried, e.Reason) }
				})
				n := broadcast(t, server, 0)
				server.AddFault(t, sim.Fault{Kind: sim.FaultAnswer, Reason: toSim(reason), ChannelID: n.ChannelID, Count: 2})
				receipt, err := client.Push(t.Context(), n)
				if err != nil || receipt.Attempts != 3 || !slices.Equal(retried, []apns.Reason{reason, reason}) {
					t.Errorf("%+v %v, retried %v", receipt, err, retried)
				}
				for _, p := range server.Pushes(sim.Filter{ChannelID: n.ChannelID}) {
					if p.ID != receipt.ID.String() {
						t.Errorf("sent under %s and %s", p.ID, receipt.ID)
					}
				}
			})
		})
	}
}

func TestBroadcastErrorsSayWhat(t *testing.T) {
	server := apnstest.Start(t)
	client := newClient(t, server, nil)
	n := broadcast(t, server, 0)
	n.Expiration = apns.ExpireAt(time.Now().Add(time.Hour)) // the channel stores nothing
	_, err := client.Push(t.Context(), n)
	e := rejected(t, err)
	if e.Reason != apns.ReasonBadExpirationDate || !strings.HasPrefix(err.Error(), "APNs rejected the broadcast: 400 BadExpirationDate") ||
		!strings.Contains(err.Error(), "to a channel without storage send 0") {
		t.Error(err)
	}
}

func TestHosts(t *testing.T) {
	key := apnstest.Start(t)
	for want, cfg := range map[string]apns.Config{
		"api.push.apple.com:443":                           {},
		"api.sandbox.push.apple.com:2197":                  {Environment: apns.Sandbox, AlternativePort: true},
		"api-broadcast.push.apple.com:443":                 {Host: apns.HostBroadcast},
		"api-broadcast.sandbox.push.apple.com:443":         {Host: apns.HostBroadcast, Environment: apns.Sandbox},
		"api-manage-broadcast.push.apple.com:2196":         {Host: apns.HostManagement},
		"api-manage-broadcast.sandbox.push.apple.com:2195": {Host: apns.HostManagement, Environment: apns.Sandbox},
	} {
		client := newClient(t, key, func(c *apns.Config) {
			c.Endpoint, c.Environment, c.Host, c.AlternativePort = "", cfg.Environment, cfg.Host, cfg.AlternativePort
		})
		if got := client.Endpoint(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	for _, cfg := range []apns.Config{{Host: apns.HostManagement, AlternativePort: true}, {Host: 9}, {Environment: 9}} {
		if _, err := apns.New(cfg); err == nil || !strings.Contains(err.Error(), "Config.") {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
}
