package cms

import (
	"crypto"
	_ "crypto/sha1" // Signatures of other programs still use it.
	_ "crypto/sha256"
	_ "crypto/sha512"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
)

// oid turns the octets of an object identifier into its usual form.
func oid(body []byte) string {
	if len(body) > 64 {
		return ""
	}
	var id asn1.ObjectIdentifier
	if _, err := asn1.Unmarshal(append([]byte{tagOID, byte(len(body))}, body...), &id); err != nil {
		return ""
	}
	return id.String()
}

const (
	oidData          = "1.2.840.113549.1.7.1"
	oidSignedData    = "1.2.840.113549.1.7.2"
	oidContentType   = "1.2.840.113549.1.9.3"
	oidMessageDigest = "1.2.840.113549.1.9.4"
	oidSigningTime   = "1.2.840.113549.1.9.5"
)

// digests are the digest algorithms that are read (RFC 3370 section 2.1, RFC
// 5754 section 2). MD5 is not: whoever signs with it wants to be told.
var digests = map[string]crypto.Hash{
	"1.3.14.3.2.26":          crypto.SHA1,
	"2.16.840.1.101.3.4.2.1": crypto.SHA256,
	"2.16.840.1.101.3.4.2.2": crypto.SHA384,
	"2.16.840.1.101.3.4.2.3": crypto.SHA512,
}

// signatureAlgorithm is one that SignerInfo may name: with a digest of its own,
// which must be the one named beside it, or without (0).
type signatureAlgorithm struct {
	rsa    bool
	digest crypto.Hash
}

var signatureAlgorithms = map[string]signatureAlgorithm{
	"1.2.840.113549.1.1.1":  {rsa: true}, // rsaEncryption
	"1.2.840.113549.1.1.5":  {true, crypto.SHA1},
	"1.2.840.113549.1.1.11": {true, crypto.SHA256},
	"1.2.840.113549.1.1.12": {true, crypto.SHA384},
	"1.2.840.113549.1.1.13": {true, crypto.SHA512},
	"1.2.840.10045.2.1":     {}, // id-ecPublicKey, which some write for ECDSA
	"1.2.840.10045.4.1":     {false, crypto.SHA1},
	"1.2.840.10045.4.3.2":   {false, crypto.SHA256},
	"1.2.840.10045.4.3.3":   {false, crypto.SHA384},
	"1.2.840.10045.4.3.4":   {false, crypto.SHA512},
}

// x509Algorithm says what a certificate's CheckSignature is to be told.
func x509Algorithm(id string, digest crypto.Hash) (x509.SignatureAlgorithm, error) {
	algorithm, ok := signatureAlgorithms[id]
	if !ok {
		return 0, fmt.Errorf("algorithm %s is not read here; RSA (PKCS #1 v1.5) and ECDSA are", id)
	}
	if algorithm.digest != 0 && algorithm.digest != digest {
		return 0, fmt.Errorf("algorithm %s goes with %v, but the digest algorithm is %v", id, algorithm.digest, digest)
	}
	rsa, ecdsa := x509.SHA256WithRSA, x509.ECDSAWithSHA256
	switch digest {
	case crypto.SHA1:
		rsa, ecdsa = x509.SHA1WithRSA, x509.ECDSAWithSHA1
	case crypto.SHA384:
		rsa, ecdsa = x509.SHA384WithRSA, x509.ECDSAWithSHA384
	case crypto.SHA512:
		rsa, ecdsa = x509.SHA512WithRSA, x509.ECDSAWithSHA512
	}
	if algorithm.rsa {
		return rsa, nil
	}
	return ecdsa, nil
}
