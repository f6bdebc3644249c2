package safari

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
)

// ErrRefused is what [Users] answer if they do not know somebody.
var ErrRefused = errors.New("safari: no such user")

// Users say who the user behind a package is. Methods are called by many
// goroutines at once.
type Users interface {
	// Issue returns the authentication token for a new package. userInfo is the
	// JSON object that the page passed to requestPermission, which anybody can
	// make up: what it holds has to prove who the user is, as a signed session
	// does. It returns ErrRefused if nobody may have a package for it.
	Issue(ctx context.Context, websitePushID string, userInfo json.RawMessage) (authenticationToken string, err error)
	// Authenticate returns the user to whom an authentication token was issued,
	// or ErrRefused. It must not compare in a time that tells how much of it was
	// right.
	Authenticate(ctx context.Context, websitePushID, authenticationToken string) (user string, err error)
}

// SignedUsers are [Users] that store nothing: an authentication token holds the
// user and a MAC over user and website (HMAC-SHA-256). The user can read it in
// the package, so let it be an opaque identifier, and empty for sites that do not
// tell their visitors apart.
type SignedUsers struct {
	// Secrets have at least 32 random bytes each. The first one signs, all of them
	// are accepted. A secret that is taken away makes packages unusable whose
	// authentication tokens it signed.
	Secrets [][]byte
	// User finds out who the user is. Nil means that everybody is "".
	User func(ctx context.Context, websitePushID string, userInfo json.RawMessage) (string, error)
}

// Check says what is wrong with the secrets.
func (s *SignedUsers) Check() error {
	if len(s.Secrets) == 0 {
		return errors.New("safari: SignedUsers.Secrets is empty; give one of 32 random bytes")
	}
	for _, secret := range s.Secrets {
		if len(secret) < 32 {
			return errors.New("safari: SignedUsers.Secrets holds one of less than 32 bytes; make it with crypto/rand")
		}
	}
	return nil
}

// Issue implements [Users].
func (s *SignedUsers) Issue(ctx context.Context, websitePushID string, userInfo json.RawMessage) (string, error) {
	if err := s.Check(); err != nil {
		return "", err
	}
	user := ""
	if s.User != nil {
		var err error
		if user, err = s.User(ctx, websitePushID, userInfo); err != nil {
			return "", err
		}
	}
	encoding := base64.RawURLEncoding
	return encoding.EncodeToString(mac(s.Secrets[0], websitePushID, user)) + "." + encoding.EncodeToString([]byte(user)), nil
}

// Authenticate implements [Users].
func (s *SignedUsers) Authenticate(_ context.Context, websitePushID, authenticationToken string) (string, error) {
	if err := s.Check(); err != nil {
		return "", err
	}
	sum, user, _ := strings.Cut(authenticationToken, ".")
	encoding := base64.RawURLEncoding.Strict()
	presented, err1 := encoding.DecodeString(sum)
	name, err2 := encoding.DecodeString(user)
	if err1 != nil || err2 != nil {
		return "", ErrRefused
	}
	for _, secret := range s.Secrets {
		if hmac.Equal(presented, mac(secret, websitePushID, string(name))) {
			return string(name), nil
		}
	}
	return "", ErrRefused
}

func mac(secret []byte, websitePushID, user string) []byte {
	h := hmac.New(sha256.New, secret)
	// A NUL cannot be in an identifier, so the two cannot be cut elsewhere.
	h.Write([]byte(websitePushID + "\x00" + user))
	return h.Sum(nil)
}
