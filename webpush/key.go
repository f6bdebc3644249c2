package webpush

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"aviso.example/internal/namedfile"
)

// Key is a VAPID key (RFC 8292): the P-256 key that says who sends. Its public
// half goes into the page as applicationServerKey, and every subscription is
// tied to it: with another key they are worthless. It is immutable, safe for
// concurrent use, and prints without the key.
type Key struct {
	private *ecdsa.PrivateKey
	public  *string // 65 bytes in base64url
}

// GenerateKey makes a new key. Make one for a site, once.
func GenerateKey() (*Key, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("webpush: making a VAPID key: %w", err)
	}
	return newKey(private)
}

func newKey(private *ecdsa.PrivateKey) (*Key, error) {
	if private.Curve != elliptic.P256() {
		return nil, keyError("the key is on %s, and VAPID takes P-256 only (RFC 8292 section 2)", private.Curve.Params().Name)
	}
	point, err := private.PublicKey.Bytes()
	if err != nil {
		return nil, keyError("the public key is not a point on P-256")
	}
	return &Key{private, new(encode64(point))}, nil
}

// PublicKey returns the public half, 65 bytes in base64url, which the page gives
// to pushManager.subscribe as applicationServerKey.
func (k *Key) PublicKey() string { return *k.public }

// PrivateKey returns the private half as the npm tool web-push prints it: 32
// bytes in base64url. It is a secret.
func (k *Key) PrivateKey() string {
	scalar, err := k.private.Bytes()
	if err != nil {
		// Every way to make a Key has checked it.
		panic(fmt.Sprintf("webpush: a checked P-256 key cannot be encoded: %v", err))
	}
	return encode64(scalar)
}

// PEM returns the private key as unencrypted PKCS#8 in PEM, which openssl and
// most languages read. It is a secret.
func (k *Key) PEM() []byte {
	der, err := x509.MarshalPKCS8PrivateKey(k.private)
	if err != nil {
		panic(fmt.Sprintf("webpush: a checked P-256 key cannot be encoded: %v", err))
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// Save writes [Key.PEM] to a new file that only its owner can read, and syncs it.
// It never overwrites: all subscriptions would be lost with the key. If the file exists, the error is fs.ErrExist for errors.Is.
func (k *Key) Save(path string) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("webpush: %w; it is not overwritten, since every subscription is tied to the key in it", err)
	}
	if err != nil {
		return fmt.Errorf("webpush: %w", err)
	}
	defer func() {
		if err != nil {
			// Half a key is in the way of the next attempt.
			err = errors.Join(fmt.Errorf("webpush: %w", err), os.Remove(path))
		}
	}()
	if _, err := f.Write(k.PEM()); err != nil {
		f.Close()
		return err
	}
	if err := f.Sync(); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// LoadKey reads a key file as [ParseKey] does; its errors name the path.
func LoadKey(path string) (*Key, error) {
	f, err := namedfile.Open(path)
	if err != nil {
		return nil, fmt.Errorf("webpush: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return nil, fmt.Errorf("webpush: %w", err)
	}
	key, err := ParseKey(data)
	if err != nil {
		return nil, fmt.Errorf("webpush: %s: %s", path, strings.TrimPrefix(err.Error(), "webpush: "))
	}
	return key, nil
}

// ParseKey reads a private key on P-256: PEM with PKCS#8 or SEC 1, as openssl writes
// them, what `web-push generate-vapid-keys` prints, with --json and without, JSON with
// private_key, a JSON Web Key, lines of an environment file such as VAPID_PRIVATE_KEY=…,
// or the private key alone, 32 bytes in base64url. Where a public key stands beside it,
// the two have to belong together.
func ParseKey(data []byte) (*Key, error) {
	data = bytes.TrimSpace(bytes.TrimPrefix(data, []byte("\ufeff")))
	switch {
	case len(data) == 0:
		return nil, keyError("the file is empty")
	case len(data) > maxKeyFile:
		return nil, keyError("the file is larger than %d KiB, and a key is below one", maxKeyFile>>10)
	case data[0] == '{':
		return parseKeyJSON(data)
	}
	if public, private := keysInText(string(data)); private != "" && !bytes.HasPrefix(data, []byte("---")) && !bytes.Contains(data, []byte("BEGIN")) { // what is left of PEM is no key
		return parseKeys(public, private)
	}
	seen := ""
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		switch block.Type {
		case "PRIVATE KEY":
			key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			if err != nil {
				return nil, keyError("the file is damaged, or holds a kind of key that is none of VAPID's")
			}
			if private, ok := key.(*ecdsa.PrivateKey); ok {
				return newKey(private)
			}
			return nil, keyError("the file holds another kind of key; VAPID takes P-256 only (RFC 8292 section 2)")
		case "EC PRIVATE KEY":
			private, err := x509.ParseECPrivateKey(block.Bytes)
			if err != nil {
				return nil, keyError("the file is damaged or encrypted")
			}
			return newKey(private)
		case "ENCRYPTED PRIVATE KEY":
			return nil, keyError("the file is encrypted; decrypt it with: openssl pkcs8 -in encrypted.pem -out plain.pem")
		case "EC PARAMETERS": // openssl writes the name of the curve first
		default:
			seen = block.Type
		}
	}
	if seen != "" {
		return nil, keyError("the file holds a %q, not a private key", seen)
	}
	return nil, keyError("this is neither PEM nor a key in base64url nor what web-push prints; %s", "the JSON for it is {\"publicKey\":\"…\",\"privateKey\":\"…\"}")
}

// parseKeyJSON reads the JSON of web-push, of libraries that write names with
// underscores, and a JSON Web Key (RFC 7517).
func parseKeyJSON(data []byte) (*Key, error) {
	var pair struct {
		PublicKey, PrivateKey string
		Public                string `json:"public_key"`
		Private               string `json:"private_key"`
		Curve                 string `json:"crv"`
		D, X, Y               string
	}
	if err := json.Unmarshal(data, &pair); err != nil {
		return nil, keyError(`the JSON has no text under "publicKey" and "privateKey", as web-push writes them`)
	}
	switch {
	case pair.PrivateKey != "":
		return parseKeys(pair.PublicKey, pair.PrivateKey)
	case pair.Private != "":
		return parseKeys(pair.Public, pair.Private)
	case pair.D != "" && pair.Curve == "P-256":
		x, errX := decode64(pair.X)
		y, errY := decode64(pair.Y)
		if errX != nil || errY != nil {
			return nil, keyError("the JSON Web Key has coordinates that are not base64url")
		}
		return parseKeys(encode64(slices.Concat([]byte{4}, x, y)), pair.D)
	}
	return nil, keyError(`the JSON has no text under "publicKey" and "privateKey", as web-push writes them`)
}

// parseKeys is ParseKeyPair for a public key that may be missing.
func parseKeys(public, private string) (*Key, error) {
	if public != "" {
		return ParseKeyPair(public, private)
	}
	key, err := parseScalar(private)
	if err != nil {
		return nil, err
	}
	return newKey(key)
}

// keysInText finds keys in base64url in lines of text: after a name with an equals sign
// or a colon, in the line below, or alone.
func keysInText(text string) (public, private string) {
	label := ""
	for line := range strings.SplitSeq(text, "\n") {
		line = strings.TrimSpace(line)
		name, value, ok := strings.Cut(line, "=")
		if !ok || strings.Trim(value, "=") == "" { // padding
			if name, value, ok = strings.Cut(line, ":"); !ok {
				name, value = label, line
			}
		}
		name, value = strings.ToLower(name), strings.Trim(strings.TrimSpace(value), "\"'")
		if value == "" {
			label = name // the key is in the next line
			continue
		}
		label = ""
		switch point, err := decode64(value); {
		case err != nil:
		case len(point) == keyLength && strings.Contains(name, "public"):
			public = value
		case len(point) == 32 && (strings.Contains(name, "private") || name == "" && line == text):
			private = value
		}
	}
	return public, private
}

// ParseKeyPair reads the pair that the npm tool web-push and most others print:
// 65 and 32 bytes in base64url, public and private.
func ParseKeyPair(public, private string) (*Key, error) {
	key, err := parseScalar(private)
	if err != nil {
		return nil, err
	}
	k, err := newKey(key)
	if err != nil {
		return nil, err
	}
	point, err := decode64(public)
	if err != nil {
		return nil, keyError("the public key %w", err)
	}
	if encode64(point) != k.PublicKey() {
		return nil, keyError("the public key does not belong to the private one")
	}
	return k, nil
}

func parseScalar(private string) (*ecdsa.PrivateKey, error) {
	scalar, err := decode64(private)
	if err != nil {
		return nil, keyError("the private key %w", err)
	}
	if len(scalar) == keyLength {
		return nil, keyError("the private key has 65 bytes, as a public key has; the two seem to be swapped")
	}
	if len(scalar) != 32 {
		return nil, keyError("the private key has %d bytes, and 32 are needed", len(scalar))
	}
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar)
	if err != nil {
		return nil, keyError("the private key is not one of P-256")
	}
	return key, nil
}

func keyError(format string, args ...any) error {
	return fmt.Errorf("webpush: VAPID key: "+format, args...)
}
