package api

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
)

// A key is aviso_ and 26 characters of chance, 130 bits, and 6 that check them:
// so a key that was mistyped or cut off can be told from one that is wrong, and
// scanners find keys that leaked.
const (
	keyPrefix   = "aviso_"
	keyRandom   = 26
	keyChecksum = 6
	// minKey is the least length of a key that was not made by GenerateKey.
	minKey = 20
)

// GenerateKey returns a new API key.
func GenerateKey() string {
	key := keyPrefix + rand.Text()[:keyRandom]
	return key + keySum(key)
}

// keySum returns the characters that check the rest of a key.
func keySum(key string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	sum := crc32.ChecksumIEEE([]byte(key))
	var text [keyChecksum]byte
	for i := range text {
		text[i] = alphabet[sum&31]
		sum >>= 5
	}
	return string(text[:])
}

// misspelt says why a text cannot be a key of GenerateKey, or "".
func misspelt(key string) string {
	switch {
	case strings.HasPrefix(key, keyPrefix) && len(key) != len(keyPrefix)+keyRandom+keyChecksum:
		why := "it was probably cut off"
		if len(key) > len(keyPrefix)+keyRandom+keyChecksum {
			why = "something was probably copied with it"
		}
		return fmt.Sprintf("it has %d characters instead of %d; %s", len(key), len(keyPrefix)+keyRandom+keyChecksum, why)
	case strings.HasPrefix(key, keyPrefix) && keySum(key[:len(key)-keyChecksum]) != key[len(key)-keyChecksum:]:
		return "its checksum is wrong, so it was mistyped"
	}
	return ""
}

// checkKey refuses a key that a server must not be run with.
func checkKey(key string) error {
	switch {
	case key == "":
		return errors.New("api: Config.Key is missing; GenerateKey makes one")
	case strings.TrimSpace(key) != key:
		return errors.New("api: Config.Key has white space around it; was a line break read with it?")
	case misspelt(key) != "":
		return errors.New("api: Config.Key cannot be right: " + misspelt(key))
	case len(key) < minKey:
		return fmt.Errorf("api: Config.Key has %d characters; it has to have %d at least, and GenerateKey makes a good one", len(key), minKey)
	}
	return nil
}

// keyGuard knows the key by its hash, so that comparing takes the same time
// whatever is compared.
type keyGuard [sha256.Size]byte

// check says what is wrong with an Authorization field, or "".
func (g *keyGuard) check(authorization string) string {
	scheme, key, found := strings.Cut(authorization, " ")
	if authorization == "" {
		return "the header field Authorization is missing; send Authorization: Bearer and the API key"
	}
	if !found || !strings.EqualFold(scheme, "Bearer") {
		return "the header field Authorization has to be Bearer, a space and the API key"
	}
	key = strings.TrimLeft(key, " ") // one or more, RFC 9110 section 11.4
	sum := sha256.Sum256([]byte(key))
	if subtle.ConstantTimeCompare(sum[:], g[:]) == 1 {
		return ""
	}
	if why := misspelt(key); why != "" {
		return "the API key cannot be right: " + why
	}
	return "the API key is not one of this server"
}
