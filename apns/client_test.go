package apns_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"aviso.example/apns"
	"aviso.example/apnstest"
	"aviso.example/internal/await"
	"aviso.example/internal/proto"
	"aviso.example/sim"
)

// What each push type looks like on the wire when nothing but the push type is
// stated.
func TestDerivedHeaders(t *testing.T) {
	type wire struct {
		Topic, PushType string
		Priority        int
		Expiration      string
	}
	const wakes = `{"aps":{"content-available":1},"id":7}`
	tests := []struct {
		n    apns.Notification
		want wire
	}{
		{apns.Notification{}, wire{"com.example.app", "alert", 10, ""}},
		{apns.Notification{PushType: apns.PushTypeAlert, Priority: apns.PriorityPower}, wire{"com.example.app", "alert", 1, ""}},
		{apns.Notification{PushType: apns.PushTypeBackground}, wire{"com.example.app", "background", 5, ""}},
		{apns.Notification{PushType: apns.PushTypeComplication}, wire{"com.example.app.complication", "complication", 10, ""}},
		{apns.Notification{PushType: apns.PushTypeControls}, wire{"com.example.app.push-type.controls", "controls", 10, ""}},
		{apns.Notification{PushType: apns.PushTypeFileProvider}, wire{"com.example.app.pushkit.fileprovider", "fileprovider", 10, ""}},
		{apns.Notification{PushType: apns.PushTypeLiveActivity, Priority: 5}, wire{"com.example.app.push-type.liveactivity", "liveactivity", 5, ""}},
		{apns.Notification{PushType: apns.PushTypeLocation}, wire{"com.example.app.location-query", "location", 10, ""}},
		{apns.Notification{PushType: apns.PushTypePushToTalk}, wire{"com.example.app.voip-ptt", "pushtotalk", 10, "0"}},
		{apns.Notification{PushType: apns.PushTypeVoIP}, wire{"com.example.app.voip", "voip", 10, "0"}},
		{apns.Notification{PushType: apns.PushTypeVoIP, Expiration: apns.ExpireByStoragePolicy}, wire{"com.example.app.voip", "voip", 10, ""}},
		{apns.Notification{PushType: apns.PushTypeWidgets}, wire{"com.example.app.push-type.widgets", "widgets", 10, ""}},
		{apns.Notification{PushType: apns.PushTypeVoIP, Topic: "com.other.app.voip"}, wire{"com.other.app.voip", "voip", 10, "0"}},
		{apns.Notification{BundleID: "com.other.app", PushType: apns.PushTypeWidgets}, wire{"com.other.app.push-type.widgets", "widgets", 10, ""}},
		{apns.Notification{Topic: "pass.com.example"}, wire{"pass.com.example", "", 0, ""}},
		{apns.Notification{Topic: "order.com.example"}, wire{"order.com.example", "", 0, ""}},
		{apns.Notification{Topic: "web.com.example"}, wire{"web.com.example", "", 0, ""}},
		// What topic and payload tell.
		{apns.Notification{Topic: "com.apple.mgmt.External.0"}, wire{"com.apple.mgmt.External.0", "mdm", 10, ""}},
		{apns.Notification{Payload: []byte(wakes)}, wire{"com.example.app", "background", 5, ""}},
		{apns.Notification{Payload: []byte(wakes), Priority: apns.PriorityConserve}, wire{"com.example.app", "background", 5, ""}},
		{apns.Notification{Payload: []byte(wakes), Priority: apns.PriorityImmediate}, wire{"com.example.app", "alert", 10, ""}},
		{apns.Notification{Payload: []byte(wakes), PushType: apns.PushTypeAlert}, wire{"com.example.app", "alert", 10, ""}},
		{apns.Notification{Payload: []byte(wakes), PushType: apns.PushTypeBackground}, wire{"com.example.app", "background", 5, ""}},
		{apns.Notification{Payload: []byte(wakes), Topic: "pass.com.example"}, wire{"pass.com.example", "", 0, ""}},
		{apns.Notification{Payload: []byte(`{"aps":{"content-available":1,"sound":"default"}}`)}, wire{"com.example.app", "alert", 10, ""}},
		{apns.Notification{Payload: []byte(`{"aps":{},"content-available":1}`)}, wire{"com.example.app", "alert", 10, ""}},
		{apns.Notification{Expiration: apns.ExpireImmediately}, wire{"com.example.app", "alert", 10, "0"}},
		{apns.Notification{Expiration: apns.ExpireAtUnix(1262304000)}, wire{"com.example.app", "alert", 10, "1262304000"}},
	}
	synctest.Test(t, func(t *testing.T) {
		server := apnstest.StartMem(t)
		client := newClient(t, server, nil)
		for i, test := range tests {
			n := test.n
			n.DeviceToken, n.CollapseID = fmt.Sprintf("%064x", i), fmt.Sprint("c", i)
			if n.Payload == nil {
				n.Payload = []byte(hello)
			}
			receipt, err := client.Push(t.Context(), &n)
			if r, ok := errors.AsType[*apns.RejectedError](err); err != nil && (!ok || n.Topic == "" || r.Reason != apns.ReasonTopicDisallowed) {
				t.Errorf("%+v: %v", test.want, err)
				continue
			}
			p := server.WaitForPush(t, sim.Filter{ID: receipt.ID.String()})
			got := wire{Topic: p.Topic, PushType: p.PushType, Priority: p.Priority}
			if p.Expiration != nil {
				got.Expiration = fmt.Sprint(*p.Expiration)
			}
			if diff := cmp.Diff(test.want, got); diff != "" || p.CollapseID != n.CollapseID || p.DeviceToken != n.DeviceToken || p.Attempt != 1 {
				t.Errorf("%d (-want +got):\n%s", i, diff)
			}
		}
	})
}

func TestCapitalsInDeviceTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := apnstest.StartMem(t)
		client := newClient(t, server, nil)
		n := note(server)
		n.DeviceToken = strings.ToUpper(n.DeviceToken)
		if _, err := client.Push(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		server.WaitForPush(t, sim.Filter{DeviceToken: server.DeviceToken})
	})
}

// Every problem is found before a byte is sent, all at once, and named.
func TestInvalidNotifications(t *testing.T) {
	const good = "00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0"
	body := []byte(hello)
	tests := map[string]struct {
		n      apns.Notification
		fields string
		says   string
	}{
		"nothing":               {apns.Notification{}, "DeviceToken Payload", "is missing"},
		"description of NSData": {apns.Notification{DeviceToken: "<00fc13ad ff78>", Payload: body}, "DeviceToken", "angle brackets"},
		"base64":                {apns.Notification{DeviceToken: "APwTrf94USK0rSiAmjQgmA==", Payload: body}, "DeviceToken", "hexadecimal"},
		"Firebase":              {apns.Notification{DeviceToken: "ab:12", Payload: body}, "DeviceToken", "Firebase"},
		"UUID":                  {apns.Notification{DeviceToken: "00fc13ad-ff78", Payload: body}, "DeviceToken", "UUID"},
		"cut off":               {apns.Notification{DeviceToken: good[:63], Payload: body}, "DeviceToken", "cut off"},
		"endless":               {apns.Notification{DeviceToken: strings.Repeat("ab", 3000), Payload: body}, "DeviceToken", "8000"},
		"large":                 {apns.Notification{DeviceToken: good, Payload: object(4097)}, "Payload", "4096"},
		"large call":            {apns.Notification{DeviceToken: good, PushType: "voip", Payload: object(5121)}, "Payload", "5120"},
		"string":                {apns.Notification{DeviceToken: good, Payload: []byte(`"hello"`)}, "Payload", "JSON object"},
		"collapse id":           {apns.Notification{DeviceToken: good, Payload: body, CollapseID: strings.Repeat("ü", 33)}, "CollapseID", "66 bytes"},
		"control character":     {apns.Notification{DeviceToken: good, Payload: body, CollapseID: "a\nb"}, "CollapseID", "control"},
		"1970":                  {apns.Notification{DeviceToken: good, Payload: body, Expiration: apns.ExpireAtUnix(300)}, "Expiration", "300 seconds from now"},
		"past":                  {apns.Notification{DeviceToken: good, Payload: body, Expiration: apns.ExpireAtUnix(900000000)}, "Expiration", "has passed"},
		"milliseconds":          {apns.Notification{DeviceToken: good, Payload: body, Expiration: apns.ExpireAtUnix(4102444800000)}, "Expiration", "milliseconds"},
		"push type":             {apns.Notification{DeviceToken: good, Payload: body, PushType: "Alert"}, "PushType", `did you mean "alert"`},
		"silent":                {apns.Notification{DeviceToken: good, Payload: body, PushType: "silent"}, "PushType", "background"},
		"priority 7":            {apns.Notification{DeviceToken: good, Payload: body, Priority: 7}, "Priority", "10, 5 or 1"},
		"urgent background":     {apns.Notification{DeviceToken: good, Payload: body, PushType: "background", Priority: 10}, "Priority", "use 5"},
		"suffix missing":        {apns.Notification{DeviceToken: good, Payload: body, PushType: "voip", Topic: "com.example.app"}, "Topic", ".voip"},
		"suffix twice":          {apns.Notification{DeviceToken: good, Payload: body, PushType: "voip", BundleID: "com.example.app.voip"}, "BundleID", "already ends"},
		"alert to an MDM":       {apns.Notification{DeviceToken: good, Payload: []byte(`{"mdm":"M"}`), PushType: "alert", Topic: "com.apple.mgmt.External.0"}, "Topic", "belongs to push type mdm"},
		"long suffix twice":     {apns.Notification{DeviceToken: good, Payload: body, PushType: "liveactivity", Topic: "com.example.app.push-type.liveactivity.push-type.liveactivity"}, "Topic", "twice"},
		"blanks":                {apns.Notification{DeviceToken: good, Payload: []byte(`{"aps":{"alert":"` + strings.Repeat("x", 4000) + `"}}` + strings.Repeat("\n", 200))}, "Payload", "of which 200 are blanks"},
		"suffix of another":     {apns.Notification{DeviceToken: good, Payload: body, PushType: "alert", Topic: "com.example.app.voip"}, "Topic", "voip"},
		"placeholder":           {apns.Notification{DeviceToken: good, Payload: body, BundleID: "<bundle.id>"}, "BundleID", "placeholder"},
		"space":                 {apns.Notification{DeviceToken: good, Payload: body, BundleID: "com.example app"}, "BundleID", "position 12"},
		"no dot":                {apns.Notification{DeviceToken: good, Payload: body, BundleID: "app"}, "BundleID", "no dot"},
		"mdm without topic":     {apns.Notification{DeviceToken: good, Payload: body, PushType: "mdm"}, "Topic", "com.apple.mgmt."},
		"mdm topic":             {apns.Notification{DeviceToken: good, Payload: body, PushType: "mdm", Topic: "com.example.app"}, "Topic", "com.apple.mgmt."},
		"all at once":           {apns.Notification{PushType: "nope", Priority: 3, CollapseID: strings.Repeat("x", 65)}, "PushType Priority DeviceToken Payload CollapseID", ""},
	}
	synctest.Test(t, func(t *testing.T) {
		server := apnstest.StartMem(t)
		client := newClient(t, server, nil)
		for name, test := range tests {
			_, err := client.Push(t.Context(), &test.n)
			invalid, ok := errors.AsType[*apns.InvalidError](err)
			if !ok || apns.OutcomeOf(err) != apns.NotSent {
				t.Errorf("%s: %v", name, err)
				continue
			}
			var fields []string
			for _, p := range invalid.Problems {
				fields = append(fields, p.Field)
			}
			if got := strings.Join(fields, " "); got != test.fields || !strings.Contains(err.Error(), test.says) {
				t.Errorf("%s: fields %s, want %s: %v", name, got, test.fields, err)
			}
			if diff := cmp.Diff(error(invalid), test.n.Validate(server.Topic, time.Now())); diff != "" {
				t.Errorf("%s: Validate says something else: %s", name, diff)
			}
			if len(test.n.DeviceToken) > 20 && strings.Contains(err.Error(), test.n.DeviceToken) {
				t.Errorf("%s: the error echoes the device token", name)
			}
		}
		if st := client.Stats(); st.Dials != 0 {
			t.Error("a connection was opened for invalid notifications")
		}
	})
}

func TestValidate(t *testing.T) {
	now := time.Unix(1_900_000_000, 0)
	n := apns.Notification{DeviceToken: "00fc13ad", Payload: []byte(hello), Expiration: apns.ExpireAt(now.Add(time.Second))}
	if err := n.Validate("com.example.app", now); err != nil {
		t.Error(err)
	}
	for name, test := range map[string]struct {
		n        *apns.Notification
		bundleID string
		now      time.Time
		field    string
	}{
		"nothing":      {nil, "com.example.app", now, "Notification"},
		"no bundle id": {&n, "", now, "BundleID"},
		"too late":     {&n, "com.example.app", now.Add(time.Second), "Expiration"},
	} {
		invalid, ok := errors.AsType[*apns.InvalidError](test.n.Validate(test.bundleID, test.now))
		if !ok || len(invalid.Problems) != 1 || invalid.Problems[0].Field != test.field {
			t.Errorf("%s: %v", name, invalid)
		}
	}
}

// Of what Validate finds, CheckDeviceToken finds what depends on the device.
func TestCheckDeviceToken(t *testing.T) {
	good := strings.Repeat("0aF9", 16)
	if allocations := testing.AllocsPerRun(100, func() {
		if p := apns.CheckDeviceToken(good); p != nil {
			t.Error(p)
		}
	}); allocations != 0 {
		t.Errorf("%v allocations for a good device token", allocations)
	}
	for _, bad := range []string{"", "<00fc>", "APwT=", "ab:12", "00fc-13", good[:63], strings.Repeat("ab", 3000)} {
		n := apns.Notification{DeviceToken: bad, BundleID: "com.example.app", Payload: []byte(hello)}
		invalid, ok := errors.AsType[*apns.InvalidError](n.Validate("", time.Now()))
		p := apns.CheckDeviceToken(bad)
		if !ok || p == nil || !slices.Equal(invalid.Problems, []apns.Problem{*p}) {
			t.Errorf("%.20q: %v, and Validate says %v", bad, p, invalid)
		}
	}
}

func object(size int) []byte {
	return []byte(`{"a":"` + strings.Repeat("x", size-8) + `"}`)
}

func TestLargestPayloads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := apnstest.StartMem(t)
		client := newClient(t, server, nil)
		for pushType, size := range map[apns.PushType]int{"alert": 4096, "voip": 5120} {
			n := note(server)
			n.PushType, n.Payload = pushType, object(size)
			if _, err := client.Push(t.Context(), n); err != nil {
				t.Error(err)
			}
		}
	})
}

// Each of Apple's reasons, as an answer, comes back as itself with advice.
func TestReasons(t *testing.T) {
	retried := map[apns.Action]bool{apns.RetryLater: true, apns.SlowDown: true}
	for info := range apns.Reasons() {
		if info.Broadcast {
			continue
		}
		synctest.Test(t, func(t *testing.T) {
			server := apnstest.StartMem(t)
			client := newClient(t, server, nil)
			server.AddFault(t, sim.Fault{Kind: sim.FaultAnswer, Status: info.Status, Reason: proto.Reason(info.Reason), Timestamp: 1629907200000})
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			_, err := client.Push(ctx, note(server))
			r := rejected(t, err)
			if r.Status != info.Status || r.Reason != info.Reason || !errors.Is(err, info.Reason) || r.Action() != info.Action {
				t.Errorf("%s: %+v", info.Reason, r)
			}
			if !strings.Contains(err.Error(), info.Advice) || info.Advice == "" || info.Meaning == "" {
				t.Errorf("%s gives no advice: %v", info.Reason, err)
			}
			if want := retried[info.Action] || info.Reason == apns.ReasonUnrelatedKeyIDInToken; want != (r.Attempts > 1) {
				t.Errorf("%s (%s) was attempted %d times", info.Reason, info.Action, r.Attempts)
			}
			if got := r.Since.IsZero(); got != (info.Status != 410) {
				t.Errorf("%s: since %v", info.Reason, r.Since)
			}
		})
	}
}

func TestAnswersOutsideTheTable(t *testing.T) {
	tests := []struct {
		status int
		reason proto.Reason
		action apns.Action
	}{
		{400, "BrandNewReason", apns.FixRequest},
		{403, "BadProviderToken", apns.FixConfiguration},
		{410, "GoneFishing", apns.DropDeviceToken},
		{418, "", apns.FixRequest},
	}
	for _, test := range tests {
		synctest.Test(t, func(t *testing.T) {
			server := apnstest.StartMem(t)
			client := newClient(t, server, nil)
			server.AddFault(t, sim.Fault{Kind: sim.FaultAnswer, Status: test.status, Reason: test.reason})
			_, err := client.Push(t.Context(), note(server))
			r := rejected(t, err)
			if r.Status != test.status || string(r.Reason) != string(test.reason) || r.Action() != test.action {
				t.Errorf("%+v: %v", test, err)
			}
		})
	}
}

func TestDropDeviceToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := apnstest.StartMem(t)
		client := newClient(t, server, nil)
		gone := time.Now().Add(-time.Hour).Truncate(time.Millisecond)
		if err := server.Devices().SetState(server.DeviceToken, sim.Unregistered, gone, server.Now()); err != nil {
			t.Fatal(err)
		}
		_, err := client.Push(t.Context(), note(server))
		r := rejected(t, err)
		if !r.Since.Equal(gone) || !errors.Is(err, apns.ReasonUnregistered) {
			t.Fatalf("%+v", r)
		}
		if !r.DropDeviceToken(gone.Add(-time.Minute)) || r.DropDeviceToken(gone.Add(time.Minute)) || r.DropDeviceToken(gone) {
			t.Error("only a 410 newer than the registration drops the device token")
		}
		bad := &apns.RejectedError{Status: 400, Reason: apns.ReasonBadDeviceToken, Since: gone}
		if bad.DropDeviceToken(time.Time{}) || (&apns.RejectedError{Status: 410}).DropDeviceToken(time.Time{}) {
			t.Error("dropped without proof")
		}
	})
}

func TestConnectionsFail(t *testing.T) {
	t.Run("untrusted issuer, at once", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			server, other := apnstest.StartMem(t), apnstest.StartMem(t)
			client := newClient(t, server, func(c *apns.Config) { c.ExtraRoots = other.CAPEM })
			begin := time.Now()
			_, err := client.Push(t.Context(), note(server))
			c, ok := errors.AsType[*apns.ConnectError](err)
			if !ok || c.Stage != "tls" || !strings.Contains(c.Hint, "CA file") || apns.OutcomeOf(err) != apns.NotSent {
				t.Errorf("%v", err)
			}
			if time.Since(begin) != 0 {
				t.Errorf("it took %v", time.Since(begin))
			}
		})
	})
	t.Run("nobody there, after ConnectWait", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			server := apnstest.StartMem(t)
			client := newClient(t, server, nil)
			server.Close()
			begin := time.Now()
			_, err := client.Push(t.Context(), note(server))
			c, ok := errors.AsType[*apns.ConnectError](err)
			if !ok || c.Stage != "tcp" || !strings.Contains(c.Hint, "Nothing listens") {
				t.Errorf("%v", err)
			}
			if took := time.Since(begin); took < apns.DefaultConnectWait || took > apns.DefaultConnectWait+time.Second {
				t.Errorf("it took %v", took)
			}
		})
	})
	t.Run("certificate environment, told by GOAWAY", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			server := apnstest.StartMem(t)
			client := newClient(t, server, nil)
			server.AddFault(t, sim.Fault{Kind: sim.FaultGoAway, LastStream: new(uint32(0)), Reason: proto.ReasonBadCertificateEnvironment, Double: true})
			_, err := client.Push(t.Context(), note(server))
			n, ok := errors.AsType[*apns.NotSentError](err)
			if !ok || n.Reason != apns.ReasonBadCertificateEnvironment || !errors.Is(err, apns.ReasonBadCertificateEnvironment) || !strings.Contains(err.Error(), "other host") {
				t.Errorf("%v", err)
			}
			if d := client.Stats().Dials; d != 1 {
				t.Errorf("%d dials", d)
			}
		})
	})
	t.Run("HTTP/1 only", func(t *testing.T) {
		server := startHTTP1(t)
		client := newClient(t, server.like(t), func(c *apns.Config) {
			c.Endpoint, c.ExtraRoots, c.DialContext = server.addr, server.ca, nil
		})
		_, err := client.Push(t.Context(), &apns.Notification{DeviceToken: "abcd", Payload: []byte("{}")})
		if c, ok := errors.AsType[*apns.ConnectError](err); !ok || c.Hint == "" {
			t.Errorf("%v", err)
		}
	})
}

func TestConnect(t *testing.T) {
	server := apnstest.Start(t)
	client := newClient(t, server, func(cfg *apns.Config) { cfg.ConnectWait = 50 * time.Millisecond })
	fault := server.AddFault(t, sim.Fault{Kind: sim.FaultRefuseConnection})
	if _, ok := errors.AsType[*apns.ConnectError](client.Connect(t.Context())); !ok {
		t.Error("no *ConnectError")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := client.Connect(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	server.RemoveFault(fault)
	// The next attempt comes after a pause.
	await.Until(t, "a connection", func() bool { return client.Connect(t.Context()) == nil })
	if err := client.Connect(t.Context()); err != nil {
		t.Error(err)
	}
	if s := client.Stats(); s.Connections != 1 {
		t.Errorf("%+v", s)
	}
	if err := client.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := client.Connect(t.Context()); !errors.Is(err, apns.ErrClosed) {
		t.Error(err)
	}
}

// A certificate can be for one topic of one push type; what it is for is used as it is,
// and for nothing else.
func TestWholeTopicInPlaceOfBundleID(t *testing.T) {
	for _, test := range []struct {
		bundleID string
		n        apns.Notification
		want     string // or what is wrong
	}{
		{"com.example.app.voip", apns.Notification{PushType: apns.PushTypeVoIP}, "com.example.app.voip"},
		{"com.example.app.voip", apns.Notification{}, "belongs to push type voip"},
		{"com.example.app.voip", apns.Notification{PushType: apns.PushTypeComplication}, `has to end in ".complication"`},
		{"com.example.app.voip", apns.Notification{BundleID: "com.example.app", PushType: apns.PushTypeComplication}, "com.example.app.complication"},
		{"com.apple.mgmt.External.0", apns.Notification{PushType: apns.PushTypeMDM}, "com.apple.mgmt.External.0"},
		{"com.apple.mgmt.External.0", apns.Notification{}, "com.apple.mgmt.External.0"},
		{"", apns.Notification{Topic: "com.apple.mgmt.External.0"}, "com.apple.mgmt.External.0"},
	} {
		server := apnstest.Start(t, func(cfg *sim.Config) { cfg.Topics = nil })
		client := newClient(t, server, func(cfg *apns.Config) { cfg.BundleID = test.bundleID })
		test.n.DeviceToken, test.n.Payload = server.DeviceToken, []byte(hello)
		_, err := client.Push(t.Context(), &test.n)
		if _, invalid := errors.AsType[*apns.InvalidError](err); invalid {
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("%+v: %v", test, err)
			}
			continue
		}
		if push := server.WaitForPush(t, sim.Filter{}); push.Topic != test.want {
			t.Errorf("%+v: %q", test, push.Topic)
		}
	}
}

// A program that is called for each push, and so makes a client each time, does not
// change the team's provider token each time.
func TestClientsOfOneTeam(t *testing.T) {
	server := apnstest.Start(t, func(cfg *sim.Config) { cfg.Guesses.TeamWideProviderTokenUpdates = true })
	for i := range 4 {
		if _, err := newClient(t, server, nil).Push(t.Context(), note(server)); err != nil {
			t.Errorf("client %d: %v", i, err)
		}
	}
}
