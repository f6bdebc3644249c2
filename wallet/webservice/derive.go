package webservice

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
)

// DeriveAuthenticationToken makes the authentication token of a pass from a key of
// at least 32 random bytes, so that it need not be stored: the same key and id always
// give the same 43 characters, and without the key nobody can tell them. Use it both
// where passes are made and in Config.AuthenticationToken, where it opens only what
// the key's owner issued.
//
// The key has to stay the same as long as passes are in use, and must be kept as
// secret as the certificate's key.
func DeriveAuthenticationToken(key []byte, id ID) (string, error) {
	if len(key) < sha256.Size {
		return "", errors.New("webservice: the key of DeriveAuthenticationToken is too short; it has to have 32 random bytes at least")
	}
	mac := hmac.New(sha256.New, key)
	for _, part := range []string{"aviso wallet authentication token", id.Type, id.Serial} {
		// With its length before it, no part can borrow from the next.
		mac.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		mac.Write([]byte(part))
	}
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)), nil
}
