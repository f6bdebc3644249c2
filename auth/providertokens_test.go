package auth

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"aviso.example/internal/proto"
	"github.com/golang-jwt/jwt/v5"
	"pgregory.net/rapid"
)

// clock is a wall clock without a monotonic reading, set by hand.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func testProviderTokens(t testing.TB, now func() time.Time) *ProviderTokens {
	t.Helper()
	key := must(ParseSigningKey(fixture(t, "AuthKey_ABC123DEFG.p8"), testKeyID))
	return must(NewProviderTokens(ProviderTokensConfig{Key: key, TeamID: testTeamID, Own: true, Now: now}))
}

// A library that is not ours must find the provider token valid, and every field
// must be what Apple's page shows and nothing else.
func TestProviderTokenIsWhatAppleAsksFor(t *testing.T) {
	now := newClock()
	key := must(GenerateSigningKey(testKeyID))
	for _, subject := range []string{"", "com.example.app"} {
		p := must(NewProviderTokens(ProviderTokensConfig{Key: key, TeamID: testTeamID, Subject: subject, Now: now.Now}))
		// One signature in 128 has a leading zero in r or s; see it at least once.
		for range 400 {
			now.advance(time.Hour)
			current := must(p.Current())
			text, found := strings.CutPrefix(current.Authorization(), "bearer ")
			if !found {
				t.Fatal("no bearer prefix")
			}
			claims := jwt.MapClaims{}
			parser := jwt.NewParser(jwt.WithValidMethods([]string{"ES256"}), jwt.WithTimeFunc(now.Now), jwt.WithIssuedAt(), jwt.WithStrictDecoding())
			parsed, err := parser.ParseWithClaims(text, claims, func(*jwt.Token) (any, error) { return key.Public(), nil })
			if err != nil {
				t.Fatal(err)
			}
			if want := map[string]any{"alg": "ES256", "kid": testKeyID}; !reflect.DeepEqual(parsed.Header, want) {
				t.Fatalf("header %v", parsed.Header)
			}
			wantIssued := now.Now().Add(-issuedAtSkew)
			want := jwt.MapClaims{"iss": testTeamID, "iat": float64(wantIssued.Unix())}
			if subject != "" {
				want["sub"] = subject
			}
			if !reflect.DeepEqual(claims, want) {
				t.Fatalf("claims %v, want %v", claims, want)
			}
			if !current.IssuedAt().Equal(wantIssued) {
				t.Fatalf("IssuedAt %v, want %v", current.IssuedAt(), wantIssued)
			}
			parts := strings.Split(text, ".")
			if signature := must(base64.RawURLEncoding.DecodeString(parts[2])); len(signature) != 64 {
				t.Fatalf("signature of %d bytes", len(signature))
			}
			// iat must be an integer as written, not only as parsed.
			var raw struct {
				IssuedAt json.RawMessage `json:"iat"`
			}
			if err := json.Unmarshal(must(base64.RawURLEncoding.DecodeString(parts[1])), &raw); err != nil || strings.ContainsAny(string(raw.IssuedAt), `".e`) {
				t.Fatalf("iat %s: %v", raw.IssuedAt, err)
			}
		}
	}
}

func TestNewProviderTokensRefusals(t *testing.T) {
	key := must(GenerateSigningKey(testKeyID))
	for _, test := range []struct {
		name   string
		config ProviderTokensConfig
		want   string
	}{
		{"no key", ProviderTokensConfig{TeamID: testTeamID}, "signing key: is missing"},
		{"zero key", ProviderTokensConfig{Key: new(SigningKey), TeamID: testTeamID}, "signing key: is missing"},
		{"no team", ProviderTokensConfig{Key: key}, "team id: is missing"},
		{"bundle id", ProviderTokensConfig{Key: key, TeamID: "com.example.app"}, "which is the topic"},
		{"key id twice", ProviderTokensConfig{Key: key, TeamID: testKeyID}, "the same as the key id"},
		{
			// The name of the file proves the mistake.
			"swapped",
			ProviderTokensConfig{Key: must(LoadSigningKey("testdata/AuthKey_ABC123DEFG.p8", testTeamID)), TeamID: testKeyID},
			"seem to be swapped",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := NewProviderTokens(test.config)
			wantError(t, err, test.want)
		})
	}
}

func TestCurrentSharesAndRotates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := testProviderTokens(t, nil) // time.Now, which is the bubble's
		first := must(p.Current())
		time.Sleep(mintInterval - 1)
		if must(p.Current()) != first {
			t.Error("changed a nanosecond too soon")
		}
		time.Sleep(time.Nanosecond)
		second := must(p.Current())
		if second == first {
			t.Error("not changed at 30 minutes")
		}
		if must(p.Current()) != second {
			t.Error("changed again at once")
		}
	})
}

func TestPinKeepsUntilFiftyFiveMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := testProviderTokens(t, nil)
		pin := p.Pin()
		// The pin is taken with the first use, not when the connection opens.
		time.Sleep(10 * time.Hour)
		first, changed, err := pin.Token()
		if err != nil || !changed {
			t.Fatalf("first use: changed %v, %v", changed, err)
		}
		if age := time.Since(first.IssuedAt()); age > 2*issuedAtSkew {
			t.Errorf("a new connection got one of %v", age)
		}

		time.Sleep(40 * time.Minute)
		young, _, _ := p.Pin().Token() // another connection makes everybody's next one
		if young == first {
			t.Fatal("no overlap")
		}
		time.Sleep(15*time.Minute - 1)
		if current, changed, _ := pin.Token(); current != first || changed {
			t.Error("changed before 55 minutes")
		}
		time.Sleep(time.Nanosecond)
		if current, changed, _ := pin.Token(); current != young || !changed {
			t.Error("did not take over the newest at 55 minutes")
		}
		if current, changed, _ := pin.Token(); current != young || changed {
			t.Error("changed twice")
		}
	})
}

func TestRenew(t *testing.T) {
	now := newClock()
	p := testProviderTokens(t, now.Now)
	first := must(p.Current())

	now.advance(proto.ProviderTokenMinInterval - time.Second)
	_, err := p.Renew(first)
	tooSoon, ok := errors.AsType[*RenewTooSoonError](err)
	if !ok || tooSoon.Wait != time.Second || !tooSoon.Now.Equal(now.Now()) || !tooSoon.IssuedAt.Equal(first.IssuedAt()) {
		t.Fatalf("%#v", err)
	}
	wantError(t, err, "issued at 2026-03-01T11:59:55Z and it is 2026-03-01T12:19:59Z now", "the clock is probably slow", "date -u", "in 1s")
	if must(p.Current()) != first {
		t.Error("a refused renewal changed the current one")
	}

	now.advance(time.Second)
	second, err := p.Renew(first)
	if err != nil || second == first {
		t.Fatalf("at 20 minutes: %v", err)
	}
	if again := must(p.Renew(first)); again != second {
		t.Error("a second caller with the same refusal made another one")
	}
	if _, err := p.Renew(second); err == nil {
		t.Error("renewed the renewed at once")
	}
	if _, err := p.Renew(nil); err == nil {
		t.Error("Renew(nil) mints at once")
	}

	fresh := testProviderTokens(t, now.Now)
	if _, err := fresh.Renew(nil); err != nil {
		t.Errorf("the first one through Renew: %v", err)
	}
	// One that another process made, or an earlier run, and that is newer than
	// ours, is no reason to hand out ours.
	now.advance(time.Minute)
	stranger := must(testProviderTokens(t, now.Now).Current())
	if _, err := fresh.Renew(stranger); err == nil {
		t.Error("an older one was handed out for a newer one that was refused")
	}
}

// A machine has two clocks: the wall clock can be set and runs on during a
// suspension, the monotonic one cannot and does not.
func TestClockIsSet(t *testing.T) {
	t.Run("suspended", func(t *testing.T) {
		// Without a monotonic reading a forward step looks like a suspension,
		// during which the monotonic clock stands still.
		now := newClock()
		p := testProviderTokens(t, now.Now)
		pin := p.Pin()
		first, _, _ := pin.Token()
		now.advance(8 * time.Hour)
		if current, changed, _ := pin.Token(); current == first || !changed {
			t.Error("the pin did not notice eight hours")
		}
	})
	t.Run("set back with a monotonic reading", func(t *testing.T) {
		minted := instant{wall: time.Unix(7200, 0)}
		minted.reading = minted.wall
		later := instant{wall: time.Unix(0, 0), reading: time.Unix(7200+1800, 0)}
		if age := later.since(minted); age != 30*time.Minute {
			t.Errorf("age %v, want the monotonic 30 minutes", age)
		}
	})
	t.Run("set back without one", func(t *testing.T) {
		now := newClock()
		now.advance(100 * 365 * 24 * time.Hour)
		p := testProviderTokens(t, now.Now)
		pin := p.Pin()
		first, _, _ := pin.Token()
		now.advance(-time.Minute)
		if current, _, _ := pin.Token(); current != first {
			t.Error("a small correction changed the provider token")
		}
		now.advance(-100 * 365 * 24 * time.Hour)
		second, changed, _ := pin.Token()
		if second == first || !changed {
			t.Error("a provider token from the next century stayed")
		}
		if _, err := p.Renew(second); err == nil {
			t.Error("renewed at once after the clock was put right")
		}
	})
	t.Run("machine clock reading is stripped", func(t *testing.T) {
		if reading := instantOf(time.Now()); reading.wall.String() != reading.wall.Round(0).String() || strings.Contains(reading.wall.String(), "m=") {
			t.Error("the wall reading still has a monotonic part")
		}
	})
}

func TestSingleFlight(t *testing.T) {
	now := newClock()
	p := testProviderTokens(t, now.Now)
	const callers = 64
	var first *ProviderToken
	for round := range 4 {
		results := make([]*ProviderToken, callers)
		var group sync.WaitGroup
		for i := range callers {
			group.Go(func() {
				switch {
				case round > 0 && i%2 == 0:
					results[i] = must(p.Renew(first))
				case i%3 == 0:
					results[i], _, _ = p.Pin().Token()
				default:
					results[i] = must(p.Current())
				}
			})
		}
		group.Wait()
		for i, result := range results {
			if result != results[0] {
				t.Fatalf("round %d: caller %d got another one", round, i)
			}
		}
		if results[0] == first {
			t.Fatalf("round %d: nothing new", round)
		}
		first = results[0]
		now.advance(mintInterval)
	}
}

// Whatever connections open, idle, send, are refused and close, at any pace: no
// connection sees two provider tokens within 20 minutes, none sees one older
// than 60, and two are never made within 20 minutes.
func TestPropertyApplesLimits(t *testing.T) {
	key := must(GenerateSigningKey(testKeyID))
	rapid.Check(t, func(t *rapid.T) {
		now := newClock()
		shared := rapid.Bool().Draw(t, "shared")
		p := must(NewProviderTokens(ProviderTokensConfig{Key: key, TeamID: testTeamID, Own: !shared, Now: now.Now}))
		type connection struct {
			pin       *Pin
			known     *ProviderToken
			changedAt time.Time
		}
		var connections []*connection
		mintedAt := map[*ProviderToken]time.Time{}
		var lastMint time.Time
		see := func(current *ProviderToken) {
			if _, known := mintedAt[current]; known {
				return
			}
			// One that bears the last half hour can follow the one before at once;
			// what APNs counts is what a connection sees.
			if !shared && len(mintedAt) > 0 && now.Now().Sub(lastMint) < proto.ProviderTokenMinInterval {
				t.Fatalf("two made within %v", now.Now().Sub(lastMint))
			}
			lastMint = now.Now()
			mintedAt[current] = lastMint
		}
		send := func(c *connection) {
			current, changed, err := c.pin.Token()
			if err != nil {
				t.Fatal(err)
			}
			see(current)
			if changed != (current != c.known) {
				t.Fatal("changed does not tell the truth")
			}
			if age := now.Now().Sub(current.IssuedAt()); age > proto.ProviderTokenMaxAge {
				t.Fatalf("used at an age of %v", age)
			}
			if changed {
				if c.known != nil && now.Now().Sub(c.changedAt) < proto.ProviderTokenMinInterval {
					t.Fatalf("changed after %v", now.Now().Sub(c.changedAt))
				}
				c.known, c.changedAt = current, now.Now()
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"time passes": func(t *rapid.T) {
				scale := rapid.SampledFrom([]time.Duration{time.Nanosecond, time.Second, time.Minute, 10 * time.Minute}).Draw(t, "scale")
				now.advance(time.Duration(rapid.IntRange(0, 12).Draw(t, "count")) * scale)
			},
			"a limit is met exactly": func(t *rapid.T) {
				if len(mintedAt) == 0 {
					return
				}
				limit := rapid.SampledFrom([]time.Duration{proto.ProviderTokenMinInterval, mintInterval, pinFor, proto.ProviderTokenMaxAge}).Draw(t, "limit")
				at := lastMint.Add(limit + time.Duration(rapid.IntRange(-1, 1).Draw(t, "nanoseconds")))
				if at.After(now.Now()) {
					now.advance(at.Sub(now.Now()))
				}
			},
			"a connection opens": func(t *rapid.T) {
				connections = append(connections, &connection{pin: p.Pin()})
			},
			"a connection sends": func(t *rapid.T) {
				if len(connections) > 0 {
					send(rapid.SampledFrom(connections).Draw(t, "connection"))
				}
			},
			"all connections send": func(t *rapid.T) {
				for _, c := range connections {
					send(c)
				}
			},
			"a connection comes as late as it can": func(t *rapid.T) {
				if len(mintedAt) == 0 {
					return
				}
				now.advance(max(0, lastMint.Add(mintInterval-1).Sub(now.Now())))
				connections = append(connections, &connection{pin: p.Pin()})
				send(connections[len(connections)-1])
			},
			"a request is refused": func(t *rapid.T) {
				if len(connections) == 0 {
					return
				}
				at := rapid.IntRange(0, len(connections)-1).Draw(t, "connection")
				c := connections[at]
				newer, err := p.Renew(c.known)
				if err != nil {
					if tooSoon, ok := errors.AsType[*RenewTooSoonError](err); !ok || tooSoon.Wait <= 0 || tooSoon.Wait > proto.ProviderTokenMinInterval {
						t.Fatalf("%#v", err)
					}
					return
				}
				see(newer)
				if newer == c.known {
					t.Fatal("the refused one came back")
				}
				// The connection is closed with the refusal.
				connections = append(connections[:at], connections[at+1:]...)
			},
		})
	})
}

// Machines that share a key make the same provider token at different moments of
// the same half hour, and each connection still keeps Apple's two limits.
func TestSharedProviderTokens(t *testing.T) {
	key := must(GenerateSigningKey(testKeyID))
	a, b := newClock(), newClock()
	shared := func(c *clock) *ProviderTokens {
		return must(NewProviderTokens(ProviderTokensConfig{Key: key, TeamID: testTeamID, Now: c.Now}))
	}
	a.advance(7*time.Minute + time.Second)
	b.advance(29*time.Minute + 59*time.Second)
	p, q := shared(a), shared(b)
	if must(p.Current()).Authorization() != must(q.Current()).Authorization() {
		t.Error("two machines made two provider tokens in one half hour")
	}
	pin := q.Pin()
	var changes []time.Time
	for range 24 * 60 {
		current, changed, err := pin.Token()
		if err != nil {
			t.Fatal(err)
		}
		if age := b.Now().Sub(current.IssuedAt()); age >= proto.ProviderTokenMaxAge {
			t.Fatalf("a provider token that is %v old was used", age)
		}
		if changed {
			changes = append(changes, b.Now())
		}
		b.advance(time.Minute)
	}
	for i := 1; i < len(changes); i++ {
		if gap := changes[i].Sub(changes[i-1]); gap < proto.ProviderTokenMinInterval {
			t.Errorf("a connection changed its provider token after %v", gap)
		}
	}
	a.advance(23 * time.Minute)
	b.now = a.now.Add(20 * time.Minute)
	if must(p.Current()).Authorization() != must(q.Current()).Authorization() {
		t.Error("the next half hour has two provider tokens")
	}
}
