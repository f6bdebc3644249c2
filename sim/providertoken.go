package sim

import (
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/asn1"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"aviso.example/internal/proto"
)

// providerToken is what remains of a provider token once read: everything but
// its secret. It is immutable and shared between connections.
type providerToken struct {
	// sum tells provider tokens apart without keeping them.
	sum       [sha256.Size]byte
	kid, team string
	issuedAt  time.Time
	key       *Key // nil when any key is trusted and this one is not known
	// reason refuses it whatever the time and the connection; empty when it is
	// well-formed and signed by a key we trust.
	reason proto.Reason
	// remarks say what is taken and should be otherwise.
	remarks []string
}

// maxCachedProviderTokens bounds the cache against peers that invent provider tokens; a
// sender has a handful.
const maxCachedProviderTokens = 4096

// providerTokenCache remembers provider tokens by their exact value, good and bad, so
// that the signature is checked once and not per request.
type providerTokenCache struct {
	mu    sync.Mutex
	known map[string]*providerToken
}

func newProviderTokenCache() *providerTokenCache {
	return &providerTokenCache{known: map[string]*providerToken{}}
}

func (s *Server) lookupProviderToken(value string) *providerToken {
	cache := s.providerTokens
	cache.mu.Lock()
	pt := cache.known[value]
	cache.mu.Unlock()
	if pt != nil {
		return pt
	}
	pt = s.readProviderToken(value) // ECDSA: not under the lock
	cache.mu.Lock()
	defer cache.mu.Unlock()
	if len(cache.known) >= maxCachedProviderTokens {
		clear(cache.known)
	}
	cache.known[strings.Clone(value)] = pt
	return pt
}

var providerTokenParser = jwt.NewParser(
	jwt.WithValidMethods([]string{"ES256"}),
	jwt.WithoutClaimsValidation(), // the rules about age are Apple's, in judgeAge
	jwt.WithJSONNumber(),
)

var refusedProviderToken = &providerToken{reason: proto.ReasonInvalidProviderToken}

// readProviderToken verifies form, algorithm and signature ("Establishing a token-based
// connection to APNs").
func (s *Server) readProviderToken(value string) *providerToken {
	claims := jwt.MapClaims{}
	parsed, parts, err := providerTokenParser.ParseUnverified(value, claims)
	if err != nil || parsed.Method != jwt.SigningMethodES256 {
		return refusedProviderToken
	}
	kid, _ := parsed.Header["kid"].(string)
	team, _ := claims["iss"].(string)
	issuedAt, remark, ok := s.issuedAt(claims["iat"])
	if !ok || kid == "" || team == "" {
		return refusedProviderToken
	}
	signature, err := providerTokenParser.DecodeSegment(parts[2])
	if err != nil || len(signature) == 0 {
		return refusedProviderToken
	}
	var remarks []string
	if raw, ok := rawSignature(signature); ok && !s.guesses().RefuseDER {
		signature = raw
		remarks = append(remarks, "the provider token's signature is in DER form; RFC 7518 wants 64 raw bytes")
	}
	if remark != "" {
		remarks = append(remarks, remark)
	}
	pt := &providerToken{remarks: remarks, sum: sha256.Sum256([]byte(value)), kid: kid, team: team, issuedAt: issuedAt, key: s.keys[kid]}
	switch {
	case pt.key != nil:
		if pt.key.TeamID != team {
			return refusedProviderToken
		}
		signed := parts[0] + "." + parts[1]
		if parsed.Method.Verify(signed, signature, pt.key.Public) != nil {
			return refusedProviderToken
		}
	case !s.cfg.TrustAnyKey,
		s.cfg.TeamID != "" && s.cfg.TeamID != team,
		!appleID(kid, proto.KeyIDLength), !appleID(team, proto.TeamIDLength):
		return refusedProviderToken
	}
	return pt
}

// appleID reports whether id has the form of Apple's key and team ids.
func appleID(id string, length int) bool {
	return len(id) == length && !strings.ContainsFunc(id, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'A' || r > 'Z')
	})
}

// issuedAt reads iat; the remark says what about it is not as it should be.
func (s *Server) issuedAt(claim any) (at time.Time, remark string, ok bool) {
	var text string
	switch v := claim.(type) {
	case interface{ String() string }: // json.Number
		text = v.String()
	case string:
		text, remark = v, "iat of the provider token is text; it should be a number"
	default:
		return at, "", false
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || n < 0 || n > 1e15 {
		return at, "", false
	}
	at = time.Unix(int64(n), 0)
	if n > 1e11 { // as in Apple's sample
		at, remark = time.UnixMilli(int64(n)), "iat of the provider token is in milliseconds; it should be in seconds"
	}
	return at, remark, remark == "" || !s.guesses().StrictIssuedAt
}

// rawSignature turns the DER form (SEQUENCE of two integers) into r‖s.
func rawSignature(der []byte) ([]byte, bool) {
	var rs struct{ R, S *big.Int }
	if rest, err := asn1.Unmarshal(der, &rs); err != nil || len(rest) > 0 {
		return nil, false
	}
	n := elliptic.P256().Params().N
	if rs.R.Sign() <= 0 || rs.S.Sign() <= 0 || rs.R.Cmp(n) >= 0 || rs.S.Cmp(n) >= 0 {
		return nil, false
	}
	raw := make([]byte, 64)
	rs.R.FillBytes(raw[:32])
	rs.S.FillBytes(raw[32:])
	return raw, true
}

// judgeAge applies the hour: older is expired, too far ahead is invalid.
func (s *Server) judgeAge(pt *providerToken, now time.Time) proto.Reason {
	switch {
	case now.Sub(pt.issuedAt) > proto.ProviderTokenMaxAge:
		return proto.ReasonExpiredProviderToken
	case pt.issuedAt.After(now.Add(max(0, s.guesses().FutureIssuedAt))):
		return proto.ReasonInvalidProviderToken
	}
	return ""
}

// providerTokenUse is the provider token a connection (or a team) uses with one key, and
// since when.
type providerTokenUse struct {
	pt    *providerToken
	since time.Time
}

// providerTokenUses applies the 20-minute rule. It is kept per key id, because a
// topic-specific key and its related key may alternate on one connection.
type providerTokenUses struct {
	byKey map[string]providerTokenUse
}

// use returns TooManyProviderTokenUpdates when pt replaces another provider
// token sooner than 20 minutes after that one was first used. The other one stays
// the one in use, so that going back to it works.
func (u *providerTokenUses) use(pt *providerToken, now time.Time) proto.Reason {
	if u.byKey == nil {
		u.byKey = map[string]providerTokenUse{}
	}
	old, ok := u.byKey[pt.kid]
	switch {
	case ok && old.pt.sum == pt.sum:
		return ""
	case ok && now.Sub(old.since) < proto.ProviderTokenMinInterval:
		return proto.ReasonTooManyProviderTokenUpdates
	}
	u.byKey[pt.kid] = providerTokenUse{pt, now}
	return ""
}

// teamUses is the same over all connections, for Guesses.TeamWideProviderTokenUpdates.
type teamUses struct {
	mu     sync.Mutex
	byTeam map[string]*providerTokenUses
}

func (t *teamUses) use(pt *providerToken, now time.Time) proto.Reason {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byTeam == nil {
		t.byTeam = map[string]*providerTokenUses{}
	}
	u := t.byTeam[pt.team]
	if u == nil {
		u = &providerTokenUses{}
		t.byTeam[pt.team] = u
	}
	return u.use(pt, now)
}

// environmentReason is the refusal of a key of the other environment, in the
// chosen spelling.
func (s *Server) environmentReason() proto.Reason {
	if s.guesses().DocumentedEnvironmentReason {
		return proto.ReasonBadEnvironmentKeyIDInToken
	}
	return proto.ReasonBadEnvironmentKeyInToken
}

// judgeKey applies the rules of key kinds, introduced in February 2025: the key
// of the first push decides which others the connection may use.
func (s *Server) judgeKey(first, pt *providerToken) proto.Reason {
	if pt.key != nil && len(pt.key.Environments) > 0 && !slices.Contains(pt.key.Environments, s.cfg.Environment) {
		return s.environmentReason()
	}
	switch {
	case first == nil || first.kid == pt.kid && first.team == pt.team:
		return ""
	case first.team != pt.team:
		return proto.ReasonInvalidProviderToken // observed: AndrewBarba/apns2#90
	case first.key != nil && pt.key != nil && len(first.key.Topics) > 0 && first.key.Related == pt.kid:
		return ""
	}
	return proto.ReasonUnrelatedKeyIDInToken
}
