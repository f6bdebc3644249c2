package webpush

import (
	"container/list"
	"crypto"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"sync"
	"time"
)

// signer makes the values of the field Authorization, one JWT for each origin,
// as seldom as Apple asks. It is safe for concurrent use.
type signer struct {
	key     *Key
	subject string

	// mu also makes signing single flight: it takes some ten microseconds, and
	// whoever waits wants the result.
	mu       sync.Mutex
	byOrigin map[string]*list.Element
	used     *list.List // of *credential; the one used last is in front
}

// credential is one JWT and what is sent with it.
type credential struct {
	origin string
	// authorization is "vapid t=<JWT>, k=<public key>" (RFC 8292 section 3).
	authorization string
	signed        time.Time // with a monotonic reading
}

func newSigner(key *Key, subject string) *signer {
	return &signer{key: key, subject: subject, byOrigin: map[string]*list.Element{}, used: list.New()}
}

// authorization returns the credential for an origin: the one that is there, or
// a new one when that is old. It fails only if the system cannot sign.
func (s *signer) authorization(origin string, now time.Time) (*credential, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.byOrigin[origin]
	if e != nil {
		s.used.MoveToFront(e)
		if c := e.Value.(*credential); c.fresh(now) {
			return c, nil
		}
	}
	jwt, err := signJWT(s.key, origin, s.subject, now.Add(vapidLifetime))
	if err != nil {
		return nil, err
	}
	c := &credential{origin: origin, authorization: "vapid t=" + jwt + ", k=" + s.key.PublicKey(), signed: now}
	if e != nil {
		e.Value = c
		return c, nil
	}
	s.byOrigin[origin] = s.used.PushFront(c)
	if s.used.Len() > maxVAPIDOrigins {
		oldest := s.used.Back()
		s.used.Remove(oldest)
		delete(s.byOrigin, oldest.Value.(*credential).origin)
	}
	return c, nil
}

// fresh reports whether a credential may still be used. Both clocks count: the
// monotonic one stands still while a machine is suspended, and the wall clock
// may be set back. If it was set back by more than the hour that Apple asks
// for, what was signed before expires later than is allowed.
func (c *credential) fresh(now time.Time) bool {
	wall := now.Round(0).Sub(c.signed.Round(0))
	age := max(wall, now.Sub(c.signed))
	return age < vapidRenew && wall > -vapidMinInterval
}

// vapidHeader is the same for every JWT (RFC 8292 section 2).
const vapidHeader = `{"typ":"JWT","alg":"ES256"}`

type vapidClaims struct {
	Audience string `json:"aud"`
	Expires  int64  `json:"exp"`
	Subject  string `json:"sub"`
}

// signJWT makes the compact form (RFC 7515 section 3.1) of the claims of RFC 8292
// section 2. The signature is r and s as two 32-byte big-endian numbers (RFC 7518
// section 3.4), not DER.
func signJWT(key *Key, origin, subject string, expires time.Time) (string, error) {
	claims, err := json.Marshal(vapidClaims{origin, expires.Unix(), subject})
	if err != nil {
		return "", fmt.Errorf("webpush: encoding VAPID claims: %w", err)
	}
	encoding := base64.RawURLEncoding
	text := encoding.AppendEncode(make([]byte, 0, 384), []byte(vapidHeader))
	text = append(text, '.')
	text = encoding.AppendEncode(text, claims)

	digest := sha256.Sum256(text)
	// Without a source of randomness the signature is deterministic (RFC 6979).
	der, err := key.private.Sign(nil, digest[:], crypto.SHA256)
	if err != nil {
		return "", fmt.Errorf("webpush: signing for VAPID: %w", err)
	}
	var numbers struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &numbers); err != nil {
		return "", fmt.Errorf("webpush: signing for VAPID: %w", err)
	}
	var signature [64]byte
	// FillBytes keeps leading zeros, without which one signature in 128 would be
	// short and refused.
	numbers.R.FillBytes(signature[:32])
	numbers.S.FillBytes(signature[32:])
	text = append(text, '.')
	text = encoding.AppendEncode(text, signature[:])
	return string(text), nil
}
