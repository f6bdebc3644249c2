package cms

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"

	"github.com/smallstep/pkcs7"
)

// What is wrong with the parts of a [Signer]; test with errors.Is.
var (
	// ErrKeyMismatch says that the private key is not the certificate's.
	ErrKeyMismatch = errors.New("the private key does not belong to the certificate")
	// ErrNoIssuer says that none of the intermediates issued the certificate.
	ErrNoIssuer = errors.New("the intermediate that issued the certificate is missing")
	// ErrKeyType says that the key is of a kind or size that Apple's devices do
	// not take: anything but RSA of 2048 to 8192 bits and EC P-256, P-384 and
	// P-521.
	ErrKeyType = errors.New("the key is of a kind that cannot be used")
)

// Signer makes detached signatures with one certificate. It is safe for
// concurrent use if its key is, as those of the standard library are.
type Signer struct {
	key   crypto.Signer
	leaf  *x509.Certificate
	chain []*x509.Certificate // above the leaf, without the root
}

// NewSigner checks that key belongs to leaf and finds the intermediate that
// issued it among those given: by key identifier (RFC 5280 section 4.2.1.1) and
// signature, since all of Apple's WWDR intermediates bear the same name. Which
// others are given does not matter; only those of the chain go into signatures,
// and roots never do.
//
// Dates are for the caller to judge. But of several certificates of one intermediate,
// which Apple renews with the same key, the one that is valid longest is taken.
// The error names every problem and matches ErrKeyMismatch, ErrNoIssuer and
// ErrKeyType, as they apply.
func NewSigner(leaf *x509.Certificate, key crypto.Signer, intermediates ...*x509.Certificate) (*Signer, error) {
	if leaf == nil || key == nil {
		return nil, errors.New("cms: a certificate and its private key are needed")
	}
	var problems []error
	if public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok || !public.Equal(leaf.PublicKey) {
		problems = append(problems, fmt.Errorf("cms: %w; find the key with which the certificate was requested", ErrKeyMismatch))
	}
	if err := checkPublicKey(leaf.PublicKey, 2048); err != nil {
		problems = append(problems, fmt.Errorf("cms: %w: %w", ErrKeyType, err))
	}
	chain, err := chainOf(leaf, intermediates)
	if err != nil {
		problems = append(problems, fmt.Errorf("cms: %w", err))
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	return &Signer{key: key, leaf: leaf, chain: chain}, nil
}

// Certificate returns the signing certificate. It must not be changed.
func (s *Signer) Certificate() *x509.Certificate { return s.leaf }

// Intermediates returns what goes into signatures beside the signing certificate:
// the one that issued it first. They must not be changed.
func (s *Signer) Intermediates() []*x509.Certificate { return s.chain }

// Sign returns the DER encoding of a detached signature over content: digest
// SHA-256, and the signed attributes contentType, messageDigest and signingTime
// (now, in whole seconds). It fails only if the key does, as one that lives in
// other hardware may.
func (s *Signer) Sign(content []byte) ([]byte, error) {
	data, err := pkcs7.NewSignedData(content)
	if err != nil {
		return nil, fmt.Errorf("cms: sign: %w", err)
	}
	data.SetDigestAlgorithm(pkcs7.OIDDigestAlgorithmSHA256)
	// Not AddSignerChain, which verifies the whole chain again each time.
	if err := data.AddSigner(s.leaf, s.key, pkcs7.SignerInfoConfig{}); err != nil {
		return nil, fmt.Errorf("cms: sign: %w", err)
	}
	for _, above := range s.chain {
		data.AddCertificate(above)
	}
	if _, ok := s.leaf.PublicKey.(*rsa.PublicKey); ok {
		// The library writes sha256WithRSAEncryption without parameters. Readers
		// must know rsaEncryption, and may know that one (RFC 3370 section 3.2);
		// both must have NULL as parameters (RFC 5754 section 3.2).
		data.GetSignedData().SignerInfos[0].DigestEncryptionAlgorithm = pkix.AlgorithmIdentifier{
			Algorithm: pkcs7.OIDEncryptionAlgorithmRSA, Parameters: asn1.NullRawValue,
		}
	}
	data.Detach()
	signature, err := data.Finish()
	if err != nil {
		return nil, fmt.Errorf("cms: sign: %w", err)
	}
	return signature, nil
}

// maxRSABits bounds what a hostile certificate can make a verification cost.
// crypto/tls has the same limit.
const maxRSABits = 8192

func checkPublicKey(key crypto.PublicKey, minRSABits int) error {
	switch key := key.(type) {
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits < minRSABits || bits > maxRSABits {
			return fmt.Errorf("RSA with %d bits; %d to %d are possible", bits, minRSABits, maxRSABits)
		}
		return nil
	case *ecdsa.PublicKey:
		if key.Curve.Params().BitSize < 256 {
			return fmt.Errorf("EC %s; P-256, P-384 and P-521 are possible", key.Curve.Params().Name)
		}
		return nil
	default:
		return fmt.Errorf("%T; RSA and EC are possible", key)
	}
}

// maxChain is more than any chain of Apple's, which are three long.
const maxChain = 8

// chainOf returns what stands between the leaf and a root, the leaf's issuer
// first.
func chainOf(leaf *x509.Certificate, candidates []*x509.Certificate) ([]*x509.Certificate, error) {
	if selfIssued(leaf) {
		return nil, fmt.Errorf("%w: it is signed by itself; use the certificate from Apple's developer portal", ErrNoIssuer)
	}
	issuer := issuerOf(leaf, candidates)
	if issuer == nil {
		return nil, fmt.Errorf("%w: %s", ErrNoIssuer, whoIssued(leaf, candidates))
	}
	var chain []*x509.Certificate
	for ; issuer != nil && !selfIssued(issuer) && len(chain) < maxChain; issuer = issuerOf(issuer, candidates) {
		chain = append(chain, issuer)
	}
	return chain, nil
}

func selfIssued(c *x509.Certificate) bool { return bytes.Equal(c.RawSubject, c.RawIssuer) }

// issuerOf tries the candidates by key identifier, and all of them if the
// certificate names none. The signature decides, and then which is valid longest.
func issuerOf(c *x509.Certificate, candidates []*x509.Certificate) (best *x509.Certificate) {
	for _, candidate := range candidates {
		if candidate == nil || len(c.AuthorityKeyId) > 0 && !bytes.Equal(c.AuthorityKeyId, candidate.SubjectKeyId) {
			continue
		}
		if best != nil && !candidate.NotAfter.After(best.NotAfter) {
			continue
		}
		if checkPublicKey(candidate.PublicKey, 1024) == nil && signedBy(c, candidate) {
			best = candidate
		}
	}
	return best
}

// signedBy reports whether an authority has signed a certificate, with SHA-1 too: WWDR G1
// signed with it until 2021, and what it issued is all over the world. That it is frowned
// upon today is for whoever judges the date.
func signedBy(c, issuer *x509.Certificate) bool {
	err := c.CheckSignatureFrom(issuer)
	if _, weak := errors.AsType[x509.InsecureAlgorithmError](err); !weak || !Weak(c) {
		return err == nil
	}
	sum := sha1.Sum(c.RawTBSCertificate)
	switch key := issuer.PublicKey.(type) {
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(key, crypto.SHA1, sum[:], c.Signature) == nil
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(key, sum[:], c.Signature)
	}
	return false
}

// Weak says that a certificate is signed with SHA-1.
func Weak(c *x509.Certificate) bool {
	return c.SignatureAlgorithm == x509.SHA1WithRSA || c.SignatureAlgorithm == x509.ECDSAWithSHA1
}

// whoIssued helps to find the right one of several intermediates that bear the
// same name.
func whoIssued(c *x509.Certificate, candidates []*x509.Certificate) string {
	text := fmt.Sprintf("%q", c.Issuer.CommonName)
	if units := c.Issuer.OrganizationalUnit; len(units) > 0 {
		text = fmt.Sprintf("%q (%q)", c.Issuer.CommonName, units[0])
	}
	text = fmt.Sprintf("%s issued it, key identifier %X", text, c.AuthorityKeyId)
	for _, candidate := range candidates {
		if candidate != nil {
			text += fmt.Sprintf("; there is %q with key identifier %X", candidate.Subject.CommonName, candidate.SubjectKeyId)
		}
	}
	return text + "; add Apple's WWDR intermediate of that key identifier, which is AppleWWDRCAG4.cer for certificates of today"
}
