package sim_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"aviso.example/apnstest"
	"aviso.example/sim"
)

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// sendAs pushes with a provider token and returns the reason, or the status.
func (r *raw) sendAs(providerToken string, over ...string) string {
	r.t.Helper()
	r.bearer = "bearer " + providerToken
	a := r.answer(r.push(over...))
	if a.status == "200" {
		return a.status
	}
	return a.reason()
}

func TestProviderTokenAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		apns := apnstest.StartMem(t)
		r, _ := dialRaw(t, apns)
		first := apns.ProviderToken(t)
		try := func(want, providerToken string) {
			t.Helper()
			if got := r.sendAs(providerToken); got != want {
				t.Errorf("after %v: %s, want %s", time.Since(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)), got, want)
			}
		}
		try("200", first)
		time.Sleep(20*time.Minute - 1)
		second := apns.ProviderToken(t)
		try("TooManyProviderTokenUpdates", second)
		try("200", first) // going back is fine
		time.Sleep(time.Nanosecond)
		try("200", second)
		try("TooManyProviderTokenUpdates", first)
		time.Sleep(40 * time.Minute)
		try("200", second)
		// second was issued one nanosecond before the 20 minutes, that is, in whole
		// seconds, at 19:59.
		time.Sleep(20*time.Minute - time.Second)
		try("200", second)
		time.Sleep(time.Nanosecond)
		try("ExpiredProviderToken", second)
		// Another connection judges for itself.
		r, _ = dialRaw(t, apns)
		try("200", apns.ProviderToken(t))
	})
}

func TestTeamWideTokenUpdates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		apns := apnstest.StartMem(t, func(c *sim.Config) { c.Guesses.TeamWideProviderTokenUpdates = true })
		a, _ := dialRaw(t, apns)
		b, _ := dialRaw(t, apns)
		if got := a.sendAs(apns.ProviderToken(t)); got != "200" {
			t.Error(got)
		}
		time.Sleep(time.Minute)
		if got := b.sendAs(apns.ProviderToken(t)); got != "TooManyProviderTokenUpdates" {
			t.Error(got)
		}
	})
}

func TestWedgedConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		apns := apnstest.StartMem(t, func(c *sim.Config) { c.Guesses.WedgeAfterProviderTokenError = true })
		r, _ := dialRaw(t, apns)
		first := apns.ProviderToken(t)
		r.sendAs(first)
		time.Sleep(time.Minute)
		if got := r.sendAs(apns.ProviderToken(t)); got != "TooManyProviderTokenUpdates" {
			t.Error(got)
		}
		if got := r.sendAs(first); got != "TooManyProviderTokenUpdates" {
			t.Errorf("not wedged: %s", got)
		}
		time.Sleep(20 * time.Minute)
		if got := r.sendAs(first); got != "200" {
			t.Error(got)
		}
	})
}

func TestInternalErrorAfterIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		apns := apnstest.StartMem(t, func(c *sim.Config) { c.Guesses.InternalErrorAfterIdle = time.Hour })
		r, _ := dialRaw(t, apns)
		r.answer(r.push())
		time.Sleep(time.Hour)
		if got := r.sendAs(apns.ProviderToken(t)); got != "InternalServerError" {
			t.Error(got)
		}
	})
}

func TestShrinkAfterRejection(t *testing.T) {
	apns := apnstest.Start(t, func(c *sim.Config) { c.Guesses.ShrinkAfterRejection = true })
	r := connect(t, apns)
	limit := func() uint32 { return r.settings()[http2.SettingMaxConcurrentStreams] }
	bad := r.push("apns-priority", "3")
	if n := limit(); n != 1 {
		t.Errorf("limit %d after a rejection", n)
	}
	r.answer(bad)
	good := r.push()
	if n := limit(); n != 1000 {
		t.Errorf("limit %d after an acceptance", n)
	}
	r.answer(good)
}

func TestClockOffset(t *testing.T) {
	apns := apnstest.Start(t)
	providerToken := apns.ProviderToken(t)
	for _, c := range []struct {
		offset time.Duration
		want   string
	}{{0, "200"}, {2 * time.Hour, "ExpiredProviderToken"}, {-2 * time.Hour, "InvalidProviderToken"}, {-30 * time.Minute, "200"}} {
		apns.SetClockOffset(c.offset)
		r, _ := dialRaw(t, apns)
		if got := r.sendAs(providerToken); got != c.want {
			t.Errorf("offset %v: %s, want %s", c.offset, got, c.want)
		}
	}
}

// providerTokenOf signs exactly this header and these claims.
func providerTokenOf(t testing.TB, key *ecdsa.PrivateKey, der bool, header, claims string) string {
	t.Helper()
	enc := base64.RawURLEncoding.EncodeToString
	signed := enc([]byte(header)) + "." + enc([]byte(claims))
	sum := sha256.Sum256([]byte(signed))
	if der {
		sig, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		return signed + "." + enc(sig)
	}
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	sig := make([]byte, 64)
	r.FillBytes(sig[:32])
	s.FillBytes(sig[32:])
	return signed + "." + enc(sig)
}

func TestProviderTokenForms(t *testing.T) {
	now := time.Now().Unix()
	head := fmt.Sprintf(`{"alg":"ES256","kid":"%s"}`, apnstest.KeyID)
	claims := fmt.Sprintf(`{"iss":"%s","iat":%d}`, apnstest.TeamID, now)
	strict := func(c *sim.Config) { c.Guesses.RefuseDER, c.Guesses.StrictIssuedAt = true, true }
	trusting := func(c *sim.Config) { c.Keys, c.TrustAnyKey, c.TeamID = nil, true, "" }
	const ok, invalid = "200", "InvalidProviderToken"
	for name, c := range map[string]struct {
		option       apnstest.Option
		der          bool
		head, claims string
		want         string
	}{
		"plain":                      {nil, false, head, claims, ok},
		"with typ and further claim": {nil, false, `{"typ":"JWT",` + head[1:], `{"sub":"com.example.app",` + claims[1:], ok},
		"DER":                        {nil, true, head, claims, ok},
		"DER refused":                {strict, true, head, claims, invalid},
		"raw when DER is refused":    {strict, false, head, claims, ok},
		"iat as text":                {nil, false, head, strings.Replace(claims, fmt.Sprint(now), fmt.Sprintf(`"%d"`, now), 1), ok},
		"iat as text refused":        {strict, false, head, strings.Replace(claims, fmt.Sprint(now), fmt.Sprintf(`"%d"`, now), 1), invalid},
		"iat in milliseconds":        {nil, false, head, strings.Replace(claims, fmt.Sprint(now), fmt.Sprint(now*1000), 1), ok},
		"milliseconds refused":       {strict, false, head, strings.Replace(claims, fmt.Sprint(now), fmt.Sprint(now*1000), 1), invalid},
		"iat no number":              {nil, false, head, strings.Replace(claims, fmt.Sprint(now), `"yesterday"`, 1), invalid},
		"any key, no signature":      {trusting, false, head, claims, ok},
		"no iat":                     {nil, false, head, `{"iss":"` + apnstest.TeamID + `"}`, invalid},
		"no kid":                     {nil, false, `{"alg":"ES256"}`, claims, invalid},
		"other algorithm":            {nil, false, strings.Replace(head, "ES256", "HS256", 1), claims, invalid},
		"no algorithm":               {nil, false, strings.Replace(head, "ES256", "none", 1), claims, invalid},
		"unknown key":                {nil, false, strings.Replace(head, apnstest.KeyID, "UNKNOWNKEY", 1), claims, invalid},
		"key and team swapped":       {nil, false, strings.Replace(head, apnstest.KeyID, apnstest.TeamID, 1), strings.Replace(claims, apnstest.TeamID, apnstest.KeyID, 1), invalid},
		"not JSON":                   {nil, false, head, "iss", invalid},
		"any key":                    {trusting, false, strings.Replace(head, apnstest.KeyID, "UNKNOWNKEY", 1), claims, ok},
		"any key, odd id":            {trusting, false, strings.Replace(head, apnstest.KeyID, "short", 1), claims, invalid},
		"any key, DER":               {trusting, true, head, claims, ok},
		"any key, other team": {func(c *sim.Config) { trusting(c); c.TeamID = "OTHERTEAM1" }, false,
			head, claims, invalid},
	} {
		t.Run(name, func(t *testing.T) {
			var options []apnstest.Option
			if c.option != nil {
				options = append(options, c.option)
			}
			apns := apnstest.Start(t, options...)
			r, _ := dialRaw(t, apns)
			providerToken := providerTokenOf(t, apns.Key, c.der, c.head, c.claims)
			if got := r.sendAs(providerToken); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
			for _, p := range apns.Pushes(sim.Filter{}) {
				if strings.Contains(fmt.Sprintf("%+v", p), providerToken) {
					t.Error("the recorder keeps the provider token")
				}
				odd := c.der || strings.Contains(name, "iat as text") || strings.Contains(name, "milliseconds")
				if c.want == ok && odd != (len(p.Remarks) == 1) {
					t.Errorf("remarks: %q", p.Remarks)
				}
			}
		})
	}
}

// The rules of key kinds, per connection (February 2025).
func TestKeyKinds(t *testing.T) {
	keys := map[string]*ecdsa.PrivateKey{}
	add := func(c *sim.Config, k sim.Key) {
		key := newKey(t)
		keys[k.KeyID], k.Public = key, &key.PublicKey
		c.Keys = append(c.Keys, k)
	}
	apns := apnstest.Start(t, func(c *sim.Config) {
		add(c, sim.Key{KeyID: "TEAMWIDE01"})
		add(c, sim.Key{KeyID: "TEAMWIDE02"})
		add(c, sim.Key{KeyID: "TOPICKEY01", Topics: []string{"com.example.app"}, Related: "TOPICKEY02"})
		add(c, sim.Key{KeyID: "TOPICKEY02", Topics: []string{"com.example.app"}})
		add(c, sim.Key{KeyID: "TOPICKEY03", Topics: []string{"com.example.app"}})
		add(c, sim.Key{KeyID: "PRODUCTION", Environments: []sim.Environment{sim.Production}})
		add(c, sim.Key{KeyID: "OTHERTEAM1", TeamID: "TEAMNUMBR2"})
	})
	team := map[string]string{"OTHERTEAM1": "TEAMNUMBR2"}
	for _, c := range []struct{ first, then, want string }{
		{"TEAMWIDE01", "TEAMWIDE01", "200"},
		{"TEAMWIDE01", "TEAMWIDE02", "UnrelatedKeyIdInToken"},
		{"TEAMWIDE01", "TOPICKEY01", "UnrelatedKeyIdInToken"},
		{"TEAMWIDE01", "PRODUCTION", "BadEnvironmentKeyInToken"},
		{"TEAMWIDE01", "OTHERTEAM1", "InvalidProviderToken"},
		{"TOPICKEY01", "TOPICKEY02", "200"},
		{"TOPICKEY02", "TOPICKEY01", "200"}, // related both ways
		{"TOPICKEY01", "TOPICKEY03", "UnrelatedKeyIdInToken"},
		{"TOPICKEY01", "TEAMWIDE01", "UnrelatedKeyIdInToken"},
	} {
		r, _ := dialRaw(t, apns)
		sign := func(id string) string {
			tm := team[id]
			if tm == "" {
				tm = apns.TeamID
			}
			return apnstest.SignProviderToken(t, keys[id], id, tm, apns.Now())
		}
		first, then := sign(c.first), sign(c.then)
		if c.first == c.then {
			then = first // a second signature would be another provider token
		}
		if got := r.sendAs(first); got != "200" {
			t.Errorf("%s first: %s", c.first, got)
		}
		if got := r.sendAs(then); got != c.want {
			t.Errorf("%s then %s: %s, want %s", c.first, c.then, got, c.want)
		}
	}
	r, _ := dialRaw(t, apns)
	if got := r.sendAs(apnstest.SignProviderToken(t, keys["TOPICKEY01"], "TOPICKEY01", apns.TeamID, apns.Now()), "apns-topic", "com.example.other"); got != "TopicDisallowed" {
		t.Errorf("topic outside the key: %s", got)
	}
}

func TestPushTypesAndTopics(t *testing.T) {
	apns := apnstest.Start(t, func(c *sim.Config) { c.Topics = []string{"com.example.app"} })
	if err := apns.Devices().Put(sim.Device{DeviceToken: apns.DeviceToken}, apns.Now()); err != nil { // any topic
		t.Fatal(err)
	}
	r := connect(t, apns)
	for _, c := range []struct{ pushType, topic, want string }{
		{"alert", "com.example.app", "200"},
		{"alert", "com.example.app.voip", "InvalidPushType"},
		{"alert", "com.example.app.watch", "TopicDisallowed"},
		{"alert", "<com.example.app>", "TopicDisallowed"},
		{"background", "com.example.app", "200"},
		{"voip", "com.example.app.voip", "200"},
		{"voip", "com.example.app", "InvalidPushType"},
		{"complication", "com.example.app.complication", "200"},
		{"controls", "com.example.app.push-type.controls", "200"},
		{"fileprovider", "com.example.app.pushkit.fileprovider", "200"},
		{"liveactivity", "com.example.app.push-type.liveactivity", "200"},
		{"location", "com.example.app.location-query", "200"},
		{"pushtotalk", "com.example.app.voip-ptt", "200"},
		{"widgets", "com.example.app.push-type.widgets", "200"},
		{"mdm", "com.example.app", "InvalidPushType"},
		{"", "com.example.app.voip", "200"},
	} {
		got := r.sendAs(strings.TrimPrefix(r.bearer, "bearer "), "apns-push-type", c.pushType, "apns-topic", c.topic)
		if got != c.want {
			t.Errorf("%s to %s: %s, want %s", c.pushType, c.topic, got, c.want)
		}
	}
}

func TestDevices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		apns := apnstest.StartMem(t)
		r := connect(t, apns)
		d := apns.Devices()
		set := func(state sim.DeviceState) {
			t.Helper()
			if err := d.SetState(apns.DeviceToken, state, time.Time{}, apns.Now()); err != nil {
				t.Fatal(err)
			}
		}
		in := func(wait time.Duration) string { return fmt.Sprint(apns.Now().Add(wait).Unix()) }
		ids := func(list []sim.Notification, err error) (ids []string) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
			for _, n := range list {
				ids = append(ids, n.ID[len(n.ID)-1:])
			}
			return ids
		}
		push := func(n int, over ...string) {
			t.Helper()
			if a := r.answer(r.push(append(over, "apns-id", longID(n))...)); a.status != "200" {
				t.Fatal(a)
			}
		}
		want := func(what string, got []string, want ...string) {
			t.Helper()
			if !slices.Equal(got, want) {
				t.Errorf("%s: %v, want %v", what, got, want)
			}
		}
		d.Remove(apns.DeviceToken)
		push(0) // appears by itself
		want("inbox", ids(d.Inbox(apns.DeviceToken)), "0")
		push(1, "apns-collapse-id", "score")
		push(2)
		push(3, "apns-collapse-id", "score")
		want("collapsed", ids(d.Inbox(apns.DeviceToken)), "0", "2", "3")
		push(4, "apns-expiration", "300") // 1970
		want("expired before it came", ids(d.Inbox(apns.DeviceToken)), "0", "2", "3")

		set(sim.Offline)
		push(5)
		push(6)
		want("one is stored", ids(d.Stored(apns.DeviceToken)), "6")
		push(7, "apns-expiration", "0")
		want("0 is not stored", ids(d.Stored(apns.DeviceToken)), "6")
		push(8, "apns-topic", "com.example.app.voip", "apns-push-type", "voip", "apns-expiration", in(time.Hour))
		want("one per app", ids(d.Stored(apns.DeviceToken)), "8")
		time.Sleep(time.Hour)
		set(sim.Active)
		want("expired in store", ids(d.Inbox(apns.DeviceToken)), "0", "2", "3")

		set(sim.Offline)
		r.bearer = "bearer " + apns.ProviderToken(t)
		push(9)
		time.Sleep(time.Minute)
		set(sim.Active)
		want("back online", ids(d.Inbox(apns.DeviceToken)), "0", "2", "3", "9")

		fates := []sim.Fate{}
		for _, p := range apns.Pushes(sim.Filter{})[1:] {
			fates = append(fates, p.Fate)
		}
		if got := fmt.Sprint(fates); got != "[shown shown shown shown discarded stored stored discarded stored stored]" {
			t.Error(got)
		}

		if err := d.Put(sim.Device{DeviceToken: apns.DeviceToken, Throttle: sim.Throttle{Limit: 2, Per: time.Minute}}, apns.Now()); err != nil {
			t.Fatal(err)
		}
		push(1)
		push(2)
		if a := r.answer(r.push()); a.reason() != "TooManyRequests" {
			t.Error(a)
		}
		time.Sleep(time.Minute)
		push(3)
	})
}

// A register shared by two servers keeps the environments apart.
func TestEnvironmentsApart(t *testing.T) {
	devices := sim.NewDevices()
	sandbox := apnstest.Start(t, func(c *sim.Config) { c.Devices = devices })
	production := apnstest.Start(t, func(c *sim.Config) { c.Devices, c.Environment = devices, sim.Production })
	path := "/3/device/" + deviceToken(77)
	s, _ := dialRaw(t, sandbox)
	if a := s.answer(s.push(":path", path)); a.status != "200" || a.header["apns-unique-id"] == "" {
		t.Errorf("%+v", a)
	}
	p, _ := dialRaw(t, production)
	if a := p.answer(p.push(":path", path)); a.reason() != "BadDeviceToken" {
		t.Errorf("%+v", a)
	}
	if a := p.answer(p.push(":path", strings.ToUpper(path[:10])+deviceToken(78))); a.reason() != "BadPath" {
		t.Errorf("%+v", a)
	}
	if a := p.answer(p.push(":path", "/3/device/"+strings.ToUpper(deviceToken(0xabc)))); a.status != "200" || a.header["apns-unique-id"] != "" {
		t.Errorf("%+v", a)
	}
}

func TestKnownDevicesOnly(t *testing.T) {
	apns := apnstest.Start(t, func(c *sim.Config) { c.KnownDevicesOnly = true })
	r := connect(t, apns) // the ready device
	if a := r.answer(r.push(":path", "/3/device/"+deviceToken(1))); a.reason() != "BadDeviceToken" {
		t.Errorf("%+v", a)
	}
	if err := apns.Devices().Put(sim.Device{DeviceToken: "abcd"}, apns.Now()); err != nil {
		t.Fatal(err)
	}
	if a := r.answer(r.push(":path", "/3/device/ABCD")); a.status != "200" { // short, but added by hand
		t.Errorf("%+v", a)
	}
}

func TestRecorder(t *testing.T) {
	apns := apnstest.Start(t, func(c *sim.Config) { c.RecorderLimit = 3 })
	r := connect(t, apns)
	for _, id := range []int{1, 2, 1, 1} {
		r.answer(r.push("apns-id", longID(id), "apns-expiration", "0", "apns-priority", "5", "apns-collapse-id", "c"))
	}
	got := apns.Pushes(sim.Filter{})
	if len(got) != 3 || got[0].Sequence != 3 || got[2].Sequence != 5 {
		t.Fatalf("%+v", got)
	}
	if p := got[2]; p.Attempt != 3 || !p.Duplicate || *p.Expiration != 0 || p.Priority != 5 || p.CollapseID != "c" || p.Stream == 0 || p.Connection != 1 {
		t.Errorf("%+v", p)
	}
	if st := apns.Stats(); st.Duplicates != 2 || st.Recorded != 3 {
		t.Errorf("%+v", st)
	}
	if p := got[2]; p.Credential.KeyID != apns.KeyID || p.Credential.TeamID != apns.TeamID || p.Credential.Kind != "provider_token" {
		t.Errorf("%+v", p.Credential)
	}
	apns.Clear()
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := apns.Server.WaitForPush(ctx, sim.Filter{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	go r.push("apns-topic", "")
	if p := apns.WaitForPush(t, sim.Filter{Outcome: sim.Rejected}); p.Reason != "MissingTopic" || p.Sequence != 6 {
		t.Errorf("%+v", p)
	}
}

func TestServerIDs(t *testing.T) {
	for _, lower := range []bool{false, true} {
		apns := apnstest.Start(t, func(c *sim.Config) { c.Guesses.LowercaseServerIDs = lower; c.Guesses.RefuseUppercaseIDs = !lower })
		r := connect(t, apns)
		id := r.answer(r.push()).header["apns-id"]
		if want := strings.ToUpper(id); lower == (id == want) || len(id) != 36 {
			t.Errorf("lower %v: %s", lower, id)
		}
		upper := "EABEAE54-14A8-11E5-B60B-1697F925EC7B"
		a := r.answer(r.push("apns-id", upper))
		if accepted := a.status == "200"; accepted != lower || accepted && a.header["apns-id"] != upper {
			t.Errorf("%+v", a)
		} else if p := apns.WaitForPush(t, sim.Filter{ID: upper}); accepted != (len(p.Remarks) == 1) && accepted {
			t.Errorf("%+v", p)
		}
	}
}

func TestConfigIsValidated(t *testing.T) {
	for want, cfg := range map[string]sim.Config{
		"Environment":  {Environment: "staging"},
		"MaxFrameSize": {MaxFrameSize: 1},
		"no KeyID":     {Keys: []sim.Key{{}}},
		"no TeamID":    {Keys: []sim.Key{{KeyID: "K"}}},
		"P-256":        {TeamID: "T", Keys: []sim.Key{{KeyID: "K"}}},
		"twice":        {TeamID: "T", Keys: []sim.Key{{KeyID: "K", Public: &newKey(t).PublicKey}, {KeyID: "K"}}},
		"Order":        {Guesses: sim.Guesses{Order: "random"}},
		"negative":     {MaxConnections: -1},
	} {
		if _, err := sim.New(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
	}
}

func TestCloseIsOrderly(t *testing.T) {
	s, err := sim.New(sim.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := s.Start("127.0.0.1:0"); !errors.Is(err, sim.ErrServerClosed) {
		t.Errorf("%v", err)
	}
}

// A larger connection window is granted at once and replenished by halves.
func TestConnectionWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		apns := apnstest.StartMem(t, func(c *sim.Config) { c.ConnectionWindow = 1 << 20 })
		r, _ := dialRaw(t, apns)
		for {
			if w, ok := r.read().(*http2.WindowUpdateFrame); ok {
				if w.StreamID != 0 || w.Increment != 1<<20-65535 {
					t.Errorf("%v", w)
				}
				return
			}
		}
	})
}
