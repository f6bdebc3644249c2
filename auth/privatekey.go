package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"strconv"
	"strings"
)

// maxPrivateKeyDER bounds the DER of a private key, in bytes. RSA with 16384
// bits takes 9.4 KiB; Apple issues 2048. Checking an RSA key costs more than
// the square of its length, so an absurd one could keep the processor busy.
const maxPrivateKeyDER = 10 << 10

var errKeyTooLarge = errors.New("the key is larger than RSA with 16384 bits")

// parsePrivateKey reads a private key by trying what it can be, since labels
// are often wrong: PKCS#8 (RFC 5208), SEC 1 (RFC 5915), PKCS#1 (RFC 8017).
func parsePrivateKey(der []byte) (crypto.Signer, error) {
	if len(der) > maxPrivateKeyDER {
		return nil, errKeyTooLarge
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err == nil {
		signer, ok := key.(crypto.Signer)
		if !ok {
			return nil, errors.New("it is a key for key agreement, which cannot sign")
		}
		return signer, nil
	}
	if key, err := x509.ParseECPrivateKey(der); err == nil {
		return key, nil
	}
	if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return key, nil
	}
	// The standard library's advice names Go functions; a user needs none.
	return nil, errors.New(strings.TrimPrefix(firstClause(err.Error()), "x509: "))
}

func firstClause(text string) string {
	clause, _, _ := strings.Cut(text, " (use ")
	return clause
}

// keyType names a public key as people do: "RSA 2048", "EC P-256", "Ed25519".
func keyType(public crypto.PublicKey) string {
	switch key := public.(type) {
	case *rsa.PublicKey:
		return "RSA " + strconv.Itoa(key.N.BitLen())
	case *ecdsa.PublicKey:
		return "EC " + key.Curve.Params().Name
	case ed25519.PublicKey:
		return "Ed25519"
	default:
		return "unknown type"
	}
}

// publicKeysEqual reports whether two public keys are the same key.
func publicKeysEqual(a, b crypto.PublicKey) bool {
	key, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && key.Equal(b)
}
