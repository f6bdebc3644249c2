package webpush

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestSend(t *testing.T) {
	for _, proto := range []string{"HTTP/2.0", "HTTP/1.1"} {
		t.Run(proto, func(t *testing.T) {
			p := startPeer(t)
			if proto == "HTTP/1.1" {
				p = startPeer(t, "http/1.1")
			}
			p.answers(func(w http.ResponseWriter, r *http.Request, _ int) {
				w.Header().Set("apns-id", "1A7D0BF9-DC0D-4F8B-9F1E-3B7F1D2C4E5F")
				w.Header().Set("Location", "/message/secret")
				w.WriteHeader(http.StatusCreated)
			})
			c, s := p.client(), p.subscription("the/path?and=more")
			for _, m := range []*Message{
				{Payload: []byte("Grüße")},
				{Payload: []byte("x"), Padding: 100, TTL: time.Hour, Urgency: High, Topic: "a-B_9"},
				{Payload: []byte(strings.Repeat("x", MaxPayload)), TTL: DeliverNow, Urgency: VeryLow},
				{Empty: true, TTL: 1500 * time.Millisecond},
			} {
				receipt, err := c.Send(t.Context(), s, m)
				if err != nil || receipt.Status != 201 || receipt.Attempts != 1 || receipt.Host != pushHost ||
					receipt.ID != "1A7D0BF9-DC0D-4F8B-9F1E-3B7F1D2C4E5F" || receipt.MessageURL() != "https://push.example.com/message/secret" {
					t.Errorf("%+v, %v", receipt, err)
				}
				seen := p.seen()[len(p.seen())-1]
				h := seen.header
				ttl := map[time.Duration]string{0: "2419200", time.Hour: "3600", DeliverNow: "0", 1500 * time.Millisecond: "2"}[m.TTL]
				encoding := "aes128gcm"
				if m.Empty {
					encoding = ""
				}
				if seen.proto != proto || seen.payload != string(m.Payload) || seen.path != "/the/path" || h.Get("TTL") != ttl ||
					h.Get("Urgency") != string(m.Urgency) || h.Get("Topic") != m.Topic || h.Get("Content-Encoding") != encoding {
					t.Errorf("%+v", seen)
				}
				if h.Get("Accept-Encoding") != "" {
					t.Error("it offers to unpack answers")
				}
			}
		})
	}
}

// One JWT serves an origin for hours, and is renewed long before it expires.
func TestVAPIDInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := startPeer(t)
		c := p.client()
		a, b := p.subscription("a"), p.subscription("b")
		var last string
		var changed time.Time
		for range 4 * 48 { // four days of half hours; the peer verifies each
			for _, s := range []*Subscription{a, b} {
				if _, err := c.Send(t.Context(), s, &Message{Payload: []byte("x")}); err != nil {
					t.Fatal(err)
				}
			}
			seen := p.seen()[len(p.seen())-2:]
			first, second := seen[0].header.Get("Authorization"), seen[1].header.Get("Authorization")
			if first != second {
				t.Fatal("two JWTs for one origin at one moment")
			}
			if first != last {
				if age := time.Since(changed); last != "" && (age < time.Hour || age > vapidRenew) {
					t.Fatalf("renewed after %v", age)
				}
				last, changed = first, time.Now()
			}
			time.Sleep(30 * time.Minute)
		}
	})
}

func TestVAPIDCache(t *testing.T) {
	key, err := GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	s := newSigner(key, "https://example.com/contact")
	get := func(origin string, at time.Time) string {
		t.Helper()
		c, err := s.authorization(origin, at)
		if err != nil || c.origin != origin {
			t.Fatal(err)
		}
		return c.authorization
	}
	now := time.Now()
	a := get("https://a", now)
	if b := get("https://b", now); a == b {
		t.Error("two origins have one JWT")
	}
	for _, step := range []struct {
		at   time.Duration
		same bool
	}{
		{vapidRenew - time.Second, true},
		{-30 * time.Minute, true},  // a clock that was set back a little
		{-2 * time.Hour, false},    // one that was wrong when it signed
		{-time.Hour, true},         // again within six hours of that
		{10 * vapidRenew, false},   // a machine that slept
		{10*vapidRenew + 1, true},  // and goes on
		{11*vapidRenew + 1, false}, // and on
	} {
		got := get("https://a", now.Add(step.at).Round(0)) // without monotonic reading
		if (got == a) != step.same {
			t.Errorf("at %v: same is %v", step.at, got == a)
		}
		a = got
	}
	for i := range maxVAPIDOrigins {
		get("https://"+strings.Repeat("x", 1+i%50)+string(rune('a'+i/50%26))+string(rune('a'+i/1300)), now)
	}
	if len(s.byOrigin) > maxVAPIDOrigins || s.used.Len() != len(s.byOrigin) {
		t.Errorf("%d JWTs are kept", len(s.byOrigin))
	}
}

func TestConfigProblems(t *testing.T) {
	_, err := New(Config{
		Hosts: []string{"", "push.apple.com", "a b", "::1"}, Ports: []int{0, 8443, 70000}, ExtraRoots: []byte("x"),
		MaxOrigins: -1, MaxInFlight: -1, RequestTimeout: 30, Timeout: -1,
	})
	invalid, ok := errors.AsType[*InvalidError](err)
	if !ok {
		t.Fatal(err)
	}
	var fields []string
	for _, p := range invalid.Problems {
		fields = append(fields, p.Field)
	}
	if got := strings.Join(fields, " "); got != "Key Subject Hosts Hosts Hosts Ports Ports ExtraRoots MaxOrigins MaxInFlight RequestTimeout Timeout" {
		t.Errorf("%s: %v", got, err)
	}
	if !strings.HasPrefix(err.Error(), "the Config is invalid: Key is missing") {
		t.Error(err)
	}
}

func TestMessageProblems(t *testing.T) {
	for want, m := range map[string]*Message{
		"the message is invalid: is missing":                     nil,
		"Payload is empty; to send":                              {},
		"Empty is set, and there is a payload":                   {Empty: true, Payload: []byte("x")},
		"a message without body has none":                        {Empty: true, Padding: 1},
		"Payload has 3994 bytes":                                 {Payload: make([]byte, MaxPayload+1)},
		"TTL is 721h0m0s, and 30 days":                           {Payload: []byte("x"), TTL: 721 * time.Hour},
		"TTL is negative":                                        {Payload: []byte("x"), TTL: -2},
		"TTL is 60ns, and a second":                              {Payload: []byte("x"), TTL: 60},
		"Urgency is none of":                                     {Payload: []byte("x"), Urgency: "HIGH"},
		"Topic has 33 characters":                                {Payload: []byte("x"), Topic: strings.Repeat("x", 33)},
		"Topic has a character":                                  {Payload: []byte("x"), Topic: "a=b"},
		"is empty; to send a message without one, set Empty; TT": {TTL: -2},
	} {
		if err := m.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q: %v", want, err)
		}
	}
	c := newClient(t, nil)
	_, forbidden := newReceiver(t, "https://127.0.0.1/x")
	receipt, err := c.Send(t.Context(), forbidden, &Message{})
	_, invalid := errors.AsType[*InvalidError](err)
	_, no := errors.AsType[*ForbiddenError](err)
	if OutcomeOf(err) != NotSent || !invalid || !no || receipt.Attempts != 0 || receipt.Host != "127.0.0.1" {
		t.Errorf("%+v, %v", receipt, err)
	}
	if _, err := c.Send(t.Context(), nil, &Message{}); OutcomeOf(err) != NotSent {
		t.Error(err)
	}
	if _, err := c.Send(t.Context(), &Subscription{}, &Message{}); OutcomeOf(err) != NotSent {
		t.Error(err)
	}
}

// Close waits for what is under way, and cuts it short when it has no more time.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := startPeer(t)
		p.answers(func(w http.ResponseWriter, r *http.Request, n int) {
			select {
			case <-time.After(10 * time.Second):
			case <-r.Context().Done():
			}
			w.WriteHeader(201)
		})
		send := func(c *Client) <-chan error {
			result := make(chan error, 1)
			go func() {
				_, err := c.Send(context.Background(), p.subscription("x"), &Message{Payload: []byte("x")})
				result <- err
			}()
			synctest.Wait()
			return result
		}
		patient := p.client()
		result := send(patient)
		begun := time.Now()
		if err := patient.Close(t.Context()); err != nil || time.Since(begun) != 10*time.Second {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
		if err := <-result; err != nil {
			t.Error(err)
		}
		if _, err := patient.Send(t.Context(), p.subscription("x"), &Message{Payload: []byte("x")}); !errors.Is(err, ErrClosed) || OutcomeOf(err) != NotSent {
			t.Error(err)
		}

		hasty := p.client()
		result = send(hasty)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := hasty.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if err := <-result; OutcomeOf(err) != Unknown || !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	})
}

func TestOutcomes(t *testing.T) {
	for o := Outcome(0); o <= Unknown+1; o++ {
		text, err := o.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var read Outcome
		if err := read.UnmarshalText(text); (err == nil) != (o >= Accepted && o <= Unknown) || err == nil && read != o {
			t.Errorf("%s is read as %v, %v", text, read, err)
		}
	}
	if OutcomeOf(errors.New("from elsewhere")) != Unknown || OutcomeOf(nil) != Accepted {
		t.Error("an error from elsewhere promises something")
	}
}

// The table of reasons is complete, and each word is found whatever its case.
func TestReasons(t *testing.T) {
	n := 0
	for r := range Reasons() {
		n++
		if r.Reason == "" || r.Action == "" || r.Meaning == "" || !strings.HasSuffix(r.Advice, ".") {
			t.Errorf("%+v", r)
		}
		for _, word := range []string{string(r.Reason), strings.ToLower(string(r.Reason))} {
			if found, ok := LookupReason(word); !ok || found != r {
				t.Errorf("%s is %+v", word, found)
			}
		}
		if r.Reason.Info(418) != r {
			t.Errorf("%s goes by its status", r.Reason)
		}
	}
	if _, ok := LookupReason("Zebra"); ok || n != 16 {
		t.Errorf("%d reasons", n)
	}
}
