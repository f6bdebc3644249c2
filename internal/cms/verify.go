package cms

import (
	"bytes"
	"crypto"
	"crypto/subtle"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Why a signature is refused; test with errors.Is.
var (
	// ErrMalformed says that it is no detached signature that could be read.
	ErrMalformed = errors.New("the signature cannot be read")
	// ErrContentChanged says that it was made over other bytes.
	ErrContentChanged = errors.New("the content is not what was signed")
	// ErrBadSignature says that the signer's key did not make it.
	ErrBadSignature = errors.New("the signature does not match the signer's key")
	// ErrNoCertificate says that the signer's certificate is not in it.
	ErrNoCertificate = errors.New("the signer's certificate is not in the signature")
)

// Signature is what [Verify] found in a signature that is in order.
type Signature struct {
	// Certificate is the signer's.
	Certificate *x509.Certificate
	// Certificates are all that the signature holds, the signer's among them, in
	// the order in which they stand there.
	Certificates []*x509.Certificate
	// SigningTime is when the signer says it was made, in UTC; zero if the
	// signature does not say.
	SigningTime time.Time
	// Digest is the digest algorithm: SHA-1, SHA-256, SHA-384 or SHA-512.
	Digest crypto.Hash
}

// Verify checks a detached signature over content and says who made it: BER or
// DER, with or without signed attributes, RSA (PKCS #1 v1.5) or ECDSA. That the
// signer is somebody to be trusted is another question, see
// [Signature.VerifyChain].
//
// Errors match ErrMalformed, ErrNoCertificate, ErrContentChanged or
// ErrBadSignature.
func Verify(signature, content []byte) (*Signature, error) {
	d, err := parse(signature)
	if err != nil {
		return nil, fmt.Errorf("cms: %w: %w", ErrMalformed, err)
	}
	certificate := d.certificate()
	if certificate == nil {
		return nil, fmt.Errorf("cms: %w, which holds %d certificates", ErrNoCertificate, len(d.certificates))
	}
	if err := checkPublicKey(certificate.PublicKey, 1024); err != nil {
		return nil, fmt.Errorf("cms: %w: %w", ErrBadSignature, err)
	}
	algorithm, err := x509Algorithm(d.signer.algorithm, d.signer.digest)
	if err != nil {
		return nil, fmt.Errorf("cms: %w: signatureAlgorithm: %w", ErrMalformed, err)
	}
	if err := d.signer.verify(certificate, algorithm, content); err != nil {
		return nil, fmt.Errorf("cms: %w", err)
	}
	return &Signature{
		Certificate:  certificate,
		Certificates: d.certificates,
		SigningTime:  d.signer.signingTime,
		Digest:       d.signer.digest,
	}, nil
}

func (s *signerInfo) verify(certificate *x509.Certificate, algorithm x509.SignatureAlgorithm, content []byte) error {
	if s.attributes == nil {
		// The signed attributes of another signature, taken as content, would pass
		// as signed without attributes: both are hashed as they are (RFC 5652 section
		// 5.4). A manifest is JSON and never begins with the octet of a SET.
		if len(content) > 0 && content[0] == tagSet {
			return fmt.Errorf("%w: the content has the form of signed attributes", ErrContentChanged)
		}
		if err := certificate.CheckSignature(algorithm, content, s.signature); err != nil {
			return fmt.Errorf("%w, or %w: there are no signed attributes that would tell", ErrBadSignature, ErrContentChanged)
		}
		return nil
	}
	h := s.digest.New()
	h.Write(content)
	if subtle.ConstantTimeCompare(h.Sum(nil), s.messageDigest) != 1 {
		return ErrContentChanged
	}
	// What is signed has the identifier of a SET, not that of the field (RFC 5652
	// section 5.4). It should be in DER order, and node-forge neither sorts it nor
	// hashes it sorted; OpenSSL and Apple take it as it was received. Others hash
	// it sorted and send it as it comes.
	if certificate.CheckSignature(algorithm, asSet(s.attributes), s.signature) == nil {
		return nil
	}
	if sorted := inOrder(s.attributes); sorted != nil && certificate.CheckSignature(algorithm, asSet(sorted), s.signature) == nil {
		return nil
	}
	return ErrBadSignature
}

// asSet puts the identifier and length of a SET before contents octets.
func asSet(body []byte) []byte {
	out := []byte{tagSet}
	switch n := len(body); {
	case n < 0x80:
		out = append(out, byte(n))
	case n < 0x100:
		out = append(out, 0x81, byte(n))
	case n < 0x10000:
		out = binary.BigEndian.AppendUint16(append(out, 0x82), uint16(n))
	default: // up to MaxSignatureSize
		out = append(out, 0x83, byte(n>>16), byte(n>>8), byte(n))
	}
	return append(out, body...)
}

// inOrder sorts the members of a SET OF (X.690 section 11.6). It returns nil if
// they are in order.
func inOrder(body []byte) []byte {
	var members [][]byte
	for rest := body; len(rest) > 0; {
		e, after, err := next(rest)
		if err != nil {
			return nil // It was parsed before, so this does not happen.
		}
		members, rest = append(members, e.full), after
	}
	if slices.IsSortedFunc(members, bytes.Compare) {
		return nil
	}
	slices.SortFunc(members, bytes.Compare)
	return slices.Concat(members...)
}
