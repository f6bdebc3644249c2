package auth

import (
	"crypto"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"time"
)

// jwtHeader has no "typ": Apple's page shows only alg and kid, and every byte
// travels with every request that does not hit the header table.
type jwtHeader struct {
	Algorithm string `json:"alg"`
	KeyID     string `json:"kid"`
}

type jwtClaims struct {
	Issuer string `json:"iss"`
	// IssuedAt is an integer of seconds, as RFC 7519 section 4.1.6 has it.
	IssuedAt int64  `json:"iat"`
	Subject  string `json:"sub,omitempty"`
}

// signJWT makes the compact form (RFC 7515 section 3.1) of a provider token.
//
// The signature is r and s as two 32-byte big-endian numbers (RFC 7518 section
// 3.4), not the DER that openssl makes and that Apple's shell example sends:
// whether Apple still takes DER is uncertain, and the raw form is certain.
func signJWT(key *SigningKey, teamID, subject string, issuedAt time.Time) (string, error) {
	header, err := json.Marshal(jwtHeader{Algorithm: "ES256", KeyID: key.keyID})
	if err != nil {
		return "", fmt.Errorf("auth: encoding a provider token: %w", err)
	}
	claims, err := json.Marshal(jwtClaims{Issuer: teamID, IssuedAt: issuedAt.Unix(), Subject: subject})
	if err != nil {
		return "", fmt.Errorf("auth: encoding a provider token: %w", err)
	}
	encoding := base64.RawURLEncoding
	text := make([]byte, 0, 256)
	text = encoding.AppendEncode(text, header)
	text = append(text, '.')
	text = encoding.AppendEncode(text, claims)

	digest := sha256.Sum256(text)
	// Without a source of randomness the signature is deterministic (RFC 6979):
	// equal claims make equal provider tokens, on any machine.
	der, err := key.key.Sign(nil, digest[:], crypto.SHA256)
	if err != nil {
		return "", fmt.Errorf("auth: signing a provider token: %w", err)
	}
	var numbers struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &numbers); err != nil {
		return "", fmt.Errorf("auth: signing a provider token: %w", err)
	}
	var signature [64]byte
	// FillBytes keeps leading zeros, without which one signature in 128 would
	// be short and refused.
	numbers.R.FillBytes(signature[:32])
	numbers.S.FillBytes(signature[32:])

	text = append(text, '.')
	text = encoding.AppendEncode(text, signature[:])
	return string(text), nil
}
