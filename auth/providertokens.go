package auth

import (
	"fmt"
	"log/slog"
	"sync"
	"time"

	"aviso.example/internal/proto"
)

// Apple's two limits, 20 and 60 minutes between provider tokens, are counted
// somewhere in Apple's network that nobody outside knows: the documentation
// says by connection, senders report by team and by address as well. The three
// numbers below keep both limits under every reading:
//
//	minutes  0         20        30         55    60
//	         |---------|---------|----------|-----|
//	         minted    may be    new conn-  each  APNs
//	                   renewed   ections    conn- refuses
//	                   if APNs   get a new  ection
//	                   refuses   one        changes
//
// A connection takes a provider token that is younger than 30 minutes and keeps
// it until it is 55 minutes old, hence for at least 25 minutes; what it takes
// next is again younger than 30. Provider tokens of one key overlap, so no
// connection has to change because another one did.
const (
	// mintInterval is the age from which a new connection gets a new provider
	// token. It must be above proto.ProviderTokenMinInterval, so that minting is
	// never too frequent, and at least that much below pinFor, so that no
	// connection sees a change too soon.
	mintInterval = 30 * time.Minute
	// pinFor is the age up to which a connection keeps its provider token. The
	// rest up to proto.ProviderTokenMaxAge is for issuedAtSkew, for a request
	// that waits in a queue, and for clocks that differ by a minute or two.
	pinFor = 55 * time.Minute
	// issuedAtSkew is how far in the past iat is set: this machine's clock may
	// be a little fast, and a provider token from the future is not valid yet.
	// Clocks kept by NTP differ by far less; more would only eat into pinFor.
	issuedAtSkew = 5 * time.Second
)

// ProviderTokensConfig configures [NewProviderTokens].
type ProviderTokensConfig struct {
	// Key signs the provider tokens. Required.
	Key *SigningKey
	// TeamID is the developer team that owns the key: 10 characters, A to Z and
	// 0 to 9. Required. With the wrong one APNs answers InvalidProviderToken.
	TeamID string
	// Subject, if set, becomes the claim "sub". No page of Apple's asks for it;
	// one program of 2026 claims that a topic-specific key wants its bundle
	// identifier there. Leave it empty unless APNs answers InvalidProviderToken
	// to such a key.
	Subject string
	// Own makes provider tokens that bear the moment at which they are made. By default
	// they are the same, byte for byte, in every process and on every machine that has
	// the key: they bear the last half hour, and signatures are deterministic. APNs may
	// count the changes of a team's provider tokens over all its connections ("Update
	// the authentication token no more than once every 20 minutes"), and a program that
	// is called for each push would change it each time.
	Own bool
	// Now tells the time; nil means time.Now. It must be safe for concurrent use
	// and, being called with a lock held, must not call back.
	Now func() time.Time
}

// ProviderTokens makes the provider tokens of one signing key and team, as
// seldom as Apple asks. Share one among all connections that use the key, for
// Apple may count per team; it is safe for concurrent use.
type ProviderTokens struct {
	key     *SigningKey
	teamID  string
	subject string
	shared  bool
	now     func() time.Time

	// mu also makes signing single flight: signing takes some ten
	// microseconds, and whoever waits wants the result.
	mu     sync.Mutex
	newest *ProviderToken
}

// NewProviderTokens checks the configuration; nothing is signed yet. Errors are
// [*InputError].
func NewProviderTokens(config ProviderTokensConfig) (*ProviderTokens, error) {
	if config.Key == nil || config.Key.key == nil {
		return nil, &InputError{
			Field:   "signing key",
			Problem: "is missing",
			Fix:     "load one with LoadSigningKey",
		}
	}
	if err := ValidateTeamID(config.TeamID); err != nil {
		return nil, err
	}
	switch config.TeamID {
	case config.Key.nameKeyID:
		return nil, &InputError{
			Field:   "team id",
			Problem: "it is the key id from the name of the key's file",
			Fix:     "key id and team id seem to be swapped; the team id stands in the developer portal under Membership details",
		}
	case config.Key.keyID:
		return nil, &InputError{
			Field:   "team id",
			Problem: "it is the same as the key id",
			Fix:     "they are two different identifiers; the team id stands in the developer portal under Membership details",
		}
	}
	now := config.Now
	if now == nil {
		now = time.Now
	}
	return &ProviderTokens{key: config.Key, teamID: config.TeamID, subject: config.Subject, shared: !config.Own, now: now}, nil
}

// KeyID returns the key id that the provider tokens name.
func (p *ProviderTokens) KeyID() string { return p.key.keyID }

// TeamID returns the team id that the provider tokens name.
func (p *ProviderTokens) TeamID() string { return p.teamID }

// String names the key and the team.
func (p *ProviderTokens) String() string {
	return "provider tokens of key " + p.key.keyID + ", team " + p.teamID
}

// LogValue names the key and the team.
func (p *ProviderTokens) LogValue() slog.Value {
	return slog.GroupValue(slog.String("key_id", p.key.keyID), slog.String("team_id", p.teamID))
}

// ProviderToken is one signed statement of who sends. It is immutable, safe for
// concurrent use, and prints without its content.
type ProviderToken struct {
	authorization *string
	issuedAt      time.Time
	minted        instant
}

// Authorization returns the value of the authorization field, "bearer " and the
// JWT. It is a secret for an hour.
func (p *ProviderToken) Authorization() string { return *p.authorization }

// IssuedAt returns the time that the claim iat states, in whole seconds. It
// lies a few seconds before the time of signing.
func (p *ProviderToken) IssuedAt() time.Time { return p.issuedAt }

// instant is a moment read from both clocks of a machine.
type instant struct {
	// wall has no monotonic reading: time that passed while the machine was
	// suspended counts.
	wall time.Time
	// reading is what the clock gave, with its monotonic reading if it had one:
	// time goes on when somebody sets the wall clock back.
	reading time.Time
}

func instantOf(reading time.Time) instant {
	return instant{wall: reading.Round(0), reading: reading}
}

// since returns how long ago the earlier instant was. Each of the two clocks can
// miss time and neither can invent any, short of being set forward; so the
// larger difference is right.
func (i instant) since(earlier instant) time.Duration {
	return max(i.wall.Sub(earlier.wall), i.reading.Sub(earlier.reading))
}

// Current returns a provider token for a new connection: the newest one, or a
// new one when that is 30 minutes old or there is none. It fails only if the
// system cannot sign.
func (p *ProviderTokens) Current() (*ProviderToken, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := instantOf(p.now())
	if p.newest != nil && !dueAt(now.since(p.newest.minted), mintInterval) {
		return p.newest, nil
	}
	if p.shared {
		// It counts from the half hour, so that all change at the same moment.
		// The first can already be 30 minutes old; that leaves 25 of pinFor.
		now = instantOf(now.reading.Add(-now.wall.Sub(now.wall.Truncate(mintInterval))))
	}
	return p.mint(now)
}

// dueAt reports whether an age has reached a limit. An age far below zero is a
// clock without monotonic reading that was set back: what bears a date in the
// future has to be replaced too, or it would stay for good.
func dueAt(age, limit time.Duration) bool {
	return age >= limit || age <= -proto.ProviderTokenMinInterval
}

// Renew returns a provider token that is newer than the one APNs refused with
// ExpiredProviderToken, making it if need be. Of many callers that were refused
// together, one makes it and all get the same.
//
// Apple allows one in 20 minutes. A provider token that is refused sooner than
// that was expired when it was made, so another would be refused as well, with
// TooManyProviderTokenUpdates on top: Renew then returns a [*RenewTooSoonError]
// instead. Renew(nil) asks for one that is newer than any.
func (p *ProviderTokens) Renew(refused *ProviderToken) (*ProviderToken, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := instantOf(p.now())
	if p.newest == nil {
		return p.mint(now)
	}
	if refused != nil && refused != p.newest && p.newest.minted.since(refused.minted) > 0 {
		return p.newest, nil
	}
	if age := now.since(p.newest.minted); !dueAt(age, proto.ProviderTokenMinInterval) {
		return nil, &RenewTooSoonError{
			Now:      now.wall,
			IssuedAt: p.newest.issuedAt,
			Wait:     proto.ProviderTokenMinInterval - max(age, 0),
		}
	}
	return p.mint(now)
}

// mint needs p.mu.
func (p *ProviderTokens) mint(now instant) (*ProviderToken, error) {
	// Whole seconds, so that IssuedAt is exactly what APNs reads.
	issuedAt := time.Unix(now.wall.Add(-issuedAtSkew).Unix(), 0)
	jwt, err := signJWT(p.key, p.teamID, p.subject, issuedAt)
	if err != nil {
		return nil, err
	}
	p.newest = &ProviderToken{
		authorization: new(proto.BearerPrefix + jwt),
		issuedAt:      issuedAt,
		minted:        now,
	}
	return p.newest, nil
}

// RenewTooSoonError says that APNs calls a provider token expired which, by this
// machine's clock, is younger than 20 minutes. The usual cause is a clock that
// is an hour slow, often by a wrong time zone.
type RenewTooSoonError struct {
	// Now is this machine's idea of the time.
	Now time.Time
	// IssuedAt is the time stated in the refused provider token.
	IssuedAt time.Time
	// Wait is how long from Now until another provider token may be made.
	Wait time.Duration
}

func (e *RenewTooSoonError) Error() string {
	return fmt.Sprintf("auth: APNs says that the provider token has expired, but by this machine's clock it was issued at %s and it is %s now: "+
		"the clock is probably slow; compare `date -u` with the real time and set it by NTP. "+
		"Apple allows one provider token in 20 minutes, the next one can be made in %s",
		e.IssuedAt.UTC().Format(time.RFC3339), e.Now.UTC().Format(time.RFC3339), e.Wait.Round(time.Second))
}

// Pin holds the provider token of one connection. Use it from one goroutine.
type Pin struct {
	source *ProviderTokens
	// pinned is nil until the first use, not taken at the opening: what counts
	// is how long the peer has known it, and a connection may idle first.
	pinned *ProviderToken
}

// Pin returns a pin for a new connection.
func (p *ProviderTokens) Pin() *Pin { return &Pin{source: p} }

// Token returns the provider token that the connection has to use now, and
// whether it is another one than last time (true the first time). It keeps the
// same one until that is 55 minutes old; on one connection two changes lie at
// least 25 minutes apart, and none is older than 55 minutes. It fails only if
// the system cannot sign.
//
// Call it when requests are written rather than when they are queued, for each
// one or for each batch: it costs one reading of the clock and allocates
// nothing.
func (pin *Pin) Token() (current *ProviderToken, changed bool, err error) {
	if pin.pinned != nil && !dueAt(instantOf(pin.source.now()).since(pin.pinned.minted), pinFor) {
		return pin.pinned, false, nil
	}
	current, err = pin.source.Current()
	if err != nil {
		return nil, false, err
	}
	changed = current != pin.pinned
	pin.pinned = current
	return current, changed, nil
}
