package auth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"

	"aviso.example/internal/proto"
)

// SigningKey is an APNs authentication key: the P-256 private key of a .p8 file
// together with its key id. It is immutable, safe for concurrent use, and
// prints without the key.
type SigningKey struct {
	keyID string
	// nameKeyID is the key id in the name of the file, if it had one. It is
	// kept only to recognise a key id and a team id that were swapped.
	nameKeyID string
	key       *ecdsa.PrivateKey
}

// KeyID returns the 10 characters that Apple gave the key.
func (k *SigningKey) KeyID() string { return k.keyID }

// Public returns a copy of the public key.
func (k *SigningKey) Public() *ecdsa.PublicKey {
	return new(k.key.PublicKey)
}

// PEM returns the private key as Apple writes it: unencrypted PKCS#8 in PEM.
// It is a secret: write it with mode 0600 and log it never.
func (k *SigningKey) PEM() []byte {
	der, err := x509.MarshalPKCS8PrivateKey(k.key)
	if err != nil {
		// Every way to make a SigningKey has checked for a valid P-256 key, and
		// those can always be encoded.
		panic(fmt.Sprintf("auth: a checked P-256 key cannot be encoded: %v", err))
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// GenerateSigningKey makes a new key, for tests, the simulator and `aviso dev`;
// Apple knows only keys that were made in its portal. An empty keyID stands for
// a random one.
func GenerateSigningKey(keyID string) (*SigningKey, error) {
	if keyID == "" {
		keyID = rand.Text()[:proto.KeyIDLength]
	}
	if err := ValidateKeyID(keyID); err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("auth: making a signing key: %w", err)
	}
	return &SigningKey{keyID: keyID, key: key}, nil
}

// LoadSigningKey reads a .p8 file as [ParseSigningKey] does. An empty keyID
// stands for the one in the name of Apple's file, AuthKey_<key id>.p8; a keyID
// that is given wins over the name. Errors are [*FileError].
func LoadSigningKey(path, keyID string) (*SigningKey, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, err
	}
	nameKeyID := keyIDFromName(path)
	if keyID == "" {
		keyID = nameKeyID
	}
	if keyID == "" {
		// Say first what is wrong with the file, if anything: a .p12 has no key
		// id to look for.
		if _, err := parseSigningKey(data); err != nil {
			return nil, &FileError{Path: path, Err: err}
		}
		return nil, &FileError{Path: path, Err: &InputError{
			Field:   "key id",
			Problem: "is missing, and the name of the file does not tell it",
			Fix:     "give the 10 characters that stand beside the key in the developer portal, or keep Apple's file name AuthKey_<key id>.p8",
		}}
	}
	key, err := ParseSigningKey(data, keyID)
	if err != nil {
		return nil, &FileError{Path: path, Err: err}
	}
	key.nameKeyID = nameKeyID
	return key, nil
}

// ParseSigningKey reads an APNs authentication key: a P-256 private key in PEM,
// PKCS#8 as Apple writes it or SEC 1 as `openssl ecparam` does, whatever the
// label says. It also takes what transport makes of such a file: a byte order
// mark, any line ends, literal \n from an environment variable, a single line,
// base64 without armour or around the whole file, and bare DER.
//
// keyID must have 10 characters, A to Z and 0 to 9. The key must be on P-256
// ("Establishing a token-based connection to APNs"; RFC 7518 section 3.4): with
// another curve everything would seem to work here, and APNs would answer every
// request with InvalidProviderToken.
//
// Errors are [*InputError].
func ParseSigningKey(data []byte, keyID string) (*SigningKey, error) {
	if err := ValidateKeyID(keyID); err != nil {
		return nil, err
	}
	key, err := parseSigningKey(data)
	if err != nil {
		return nil, err
	}
	return &SigningKey{keyID: keyID, key: key}, nil
}

func parseSigningKey(data []byte) (*ecdsa.PrivateKey, error) {
	if err := checkSize(data); err != nil {
		return nil, err
	}
	data = unwrap(data)
	if !isPEM(data) {
		if kind := kindOfDER(data); kind != derPrivateKey {
			return nil, notASigningKey(kind.String())
		}
		return signingKeyFromDER(data)
	}

	var found *ecdsa.PrivateKey
	seen := ""
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		switch {
		case block.Type == "EC PARAMETERS":
			// openssl writes the name of the curve before the key; the key
			// repeats it.
		case block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "":
			return nil, &InputError{
				Field:   "signing key",
				Problem: "it is encrypted, which Apple's .p8 files never are",
				Fix:     "decrypt it with: openssl pkcs8 -topk8 -nocrypt -in encrypted.p8 -out plain.p8",
			}
		case block.Type == "PRIVATE KEY" || block.Type == "EC PRIVATE KEY" || block.Type == "RSA PRIVATE KEY":
			key, err := signingKeyFromDER(block.Bytes)
			if err != nil {
				return nil, err
			}
			if found != nil && !found.Equal(key) {
				return nil, &InputError{
					Field:   "signing key",
					Problem: "the file holds more than one private key, and only one can belong to the key id",
					Fix:     "keep one key in one file",
				}
			}
			found = key
		default:
			seen = describePEM(block.Type)
		}
	}
	switch {
	case found != nil:
		return found, nil
	case seen != "":
		return nil, notASigningKey(seen)
	default:
		return nil, damagedPEM("signing key")
	}
}

func damagedPEM(field string) error {
	return &InputError{
		Field:   field,
		Problem: "there is a -----BEGIN line, and no complete PEM block after it",
		Fix:     "the file is cut short or was edited: copy it again, with the -----END line",
	}
}

func notASigningKey(what string) error {
	e := &InputError{
		Field:   "signing key",
		Problem: "this is " + what + ", not a signing key",
		Fix:     "give the AuthKey_<key id>.p8 file from the developer portal, which begins with -----BEGIN PRIVATE KEY-----",
	}
	if what == derPKCS12.String() || what == derCertificate.String() {
		e.Fix = "use it as a certificate, or " + e.Fix
	}
	return e
}

// signingKeyFromDER takes PKCS#8 (RFC 5208) and SEC 1 (RFC 5915), and refuses
// everything that APNs would refuse later.
func signingKeyFromDER(der []byte) (*ecdsa.PrivateKey, error) {
	key, err := parsePrivateKey(der)
	if err != nil {
		return nil, &InputError{
			Field:   "signing key",
			Problem: "it is not a private key that can be read (" + err.Error() + ")",
			Fix:     "copy the .p8 file again as it was downloaded; Apple offers a key once, so a lost one must be revoked and replaced",
			Err:     err,
		}
	}
	ec, ok := key.(*ecdsa.PrivateKey)
	if !ok || ec.Curve != elliptic.P256() {
		return nil, &InputError{
			Field:   "signing key",
			Problem: "the key is " + keyType(key.Public()) + "; APNs takes P-256 only and would answer InvalidProviderToken",
			Fix:     "use the .p8 file from the developer portal; a key made elsewhere is unknown to Apple",
		}
	}
	return ec, nil
}
