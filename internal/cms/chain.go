package cms

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Why a chain is refused, besides ErrNoIssuer; test with errors.Is.
var (
	// ErrExpired says that a certificate of the chain was not valid at that time.
	ErrExpired = errors.New("a certificate is not valid at that time")
	// ErrUntrusted says that the chain does not lead to one of the roots.
	ErrUntrusted = errors.New("the chain does not lead to a trusted root")
)

// VerifyChain checks that the signer's certificate leads over certificates in
// the signature to one of the roots, all of them valid at the given time. It
// returns the chain, the signer's certificate first and the root last.
//
// Without roots, it checks as far as the certificates in the signature go: that
// says that the package is complete, and not that Apple issued anything.
//
// Extended key usage is not looked at, since Apple's object identifiers are the
// caller's business. Errors match ErrNoIssuer, ErrExpired or ErrUntrusted.
func (s *Signature) VerifyChain(at time.Time, roots ...*x509.Certificate) ([]*x509.Certificate, error) {
	others := slices.DeleteFunc(slices.Clone(s.Certificates), s.Certificate.Equal)
	if len(roots) == 0 {
		return s.chainInside(at, others)
	}
	trusted, between := x509.NewCertPool(), x509.NewCertPool()
	for _, root := range roots {
		trusted.AddCert(root)
	}
	for _, c := range others {
		// A huge key would make this slow, and is never Apple's.
		if checkPublicKey(c.PublicKey, 1024) == nil {
			between.AddCert(c)
		}
	}
	chains, err := s.Certificate.Verify(x509.VerifyOptions{
		Roots: trusted, Intermediates: between, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err == nil {
		return chains[0], nil
	}
	if chain, ok := s.weakChain(at, others, roots); ok {
		return chain, nil
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		return nil, expired(invalid.Cert)
	}
	candidates := append(others, roots...)
	if !selfIssued(s.Certificate) && issuerOf(s.Certificate, candidates) == nil {
		return nil, fmt.Errorf("cms: %w: %s", ErrNoIssuer, whoIssued(s.Certificate, candidates))
	}
	return nil, fmt.Errorf("cms: %w: %w", ErrUntrusted, err)
}

// weakChain builds a chain in which something is signed with SHA-1, which crypto/x509
// takes from nobody any more.
func (s *Signature) weakChain(at time.Time, others, roots []*x509.Certificate) (chain []*x509.Certificate, ok bool) {
	candidates := append(slices.Clone(others), roots...)
	weak := Weak(s.Certificate)
	chain = []*x509.Certificate{s.Certificate}
	for c := s.Certificate; len(chain) <= maxChain; {
		if at.Before(c.NotBefore) || at.After(c.NotAfter) {
			return nil, false
		}
		if slices.ContainsFunc(roots, c.Equal) {
			return chain, weak
		}
		if c = issuerOf(c, candidates); c == nil {
			return nil, false
		}
		// Nobody asks how a root is signed.
		weak = weak || Weak(c) && !slices.ContainsFunc(roots, c.Equal)
		chain = append(chain, c)
	}
	return nil, false
}

func (s *Signature) chainInside(at time.Time, others []*x509.Certificate) ([]*x509.Certificate, error) {
	above, err := chainOf(s.Certificate, others)
	if err != nil {
		return nil, fmt.Errorf("cms: %w", err)
	}
	chain := append([]*x509.Certificate{s.Certificate}, above...)
	for _, c := range chain {
		if at.Before(c.NotBefore) || at.After(c.NotAfter) {
			return nil, expired(c)
		}
	}
	return chain, nil
}

func expired(c *x509.Certificate) error {
	return fmt.Errorf("cms: %w: %q is valid from %s to %s", ErrExpired, c.Subject.CommonName,
		c.NotBefore.UTC().Format(time.DateTime), c.NotAfter.UTC().Format(time.DateTime))
}
