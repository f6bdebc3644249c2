package wallet

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"aviso.example/internal/cms"
)

// WWDRURL is where Apple publishes the intermediate certificate that belongs into
// every signature, generation 4, which issues the certificates for passes and
// orders (apple.com/certificateauthority).
const WWDRURL = "https://www.apple.com/certificateauthority/AppleWWDRCAG4.cer"

// soon is when an expiring certificate is worth a warning.
const soon = 30 * 24 * time.Hour

// oidPassType marks Pass Type ID certificates; its value is the pass type.
var oidPassType = asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 6, 1, 16}

// Signer is a Pass Type ID or Order Type ID certificate with its private key, and
// the intermediate that issued it. It is safe for concurrent use if the key is,
// as those of the standard library are.
type Signer struct {
	cms     *cms.Signer
	subject identity
}

// identity is what a certificate may sign.
type identity struct {
	certificate *x509.Certificate
	cms.Subject
	// passType is the value of Apple's mark, "" if there is none that could be
	// read.
	passType string
}

func identityOf(certificate *x509.Certificate) identity {
	id := identity{certificate: certificate, Subject: cms.SubjectOf(certificate)}
	for _, extension := range certificate.Extensions {
		var text asn1.RawValue
		if extension.Id.Equal(oidPassType) {
			if _, err := asn1.Unmarshal(extension.Value, &text); err == nil {
				id.passType = string(text.Bytes)
			}
		}
	}
	return id
}

// NewSigner makes a signer. The key has to belong to the certificate, and the
// WWDR intermediate that issued it has to be among the intermediates; it is found
// by its key identifier, so others may be among them. Whether the certificate is
// expired is looked at when something is signed.
//
// The errors say what is missing, and where Apple publishes it.
func NewSigner(certificate *x509.Certificate, key crypto.Signer, intermediates ...*x509.Certificate) (*Signer, error) {
	signer, err := cms.NewSigner(certificate, key, intermediates...)
	if errors.Is(err, cms.ErrNoIssuer) {
		return nil, fmt.Errorf("wallet: %w; Apple's are at %s and beside it", err, WWDRURL)
	} else if err != nil {
		return nil, fmt.Errorf("wallet: %w", err)
	}
	return &Signer{cms: signer, subject: identityOf(certificate)}, nil
}

// NewSignerTLS makes a signer from a certificate as crypto/tls and package auth
// have it. Certificates that come with it count as intermediates.
func NewSignerTLS(certificate *tls.Certificate, intermediates ...*x509.Certificate) (*Signer, error) {
	key, ok := certificate.PrivateKey.(crypto.Signer)
	if !ok || len(certificate.Certificate) == 0 {
		return nil, errors.New("wallet: a certificate and its private key are needed; a .cer file holds no key, export a .p12 from the keychain")
	}
	chain := slices.Clone(intermediates)
	var leaf *x509.Certificate
	for i, der := range certificate.Certificate {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("wallet: certificate %d: %w", i+1, err)
		}
		if i == 0 {
			leaf = c
		} else {
			chain = append(chain, c)
		}
	}
	return NewSigner(leaf, key, chain...)
}

// ParseCertificates reads certificates from a file: one in DER, as Apple's .cer
// files, or any number in PEM. Other blocks of a PEM file are passed over.
func ParseCertificates(data []byte) ([]*x509.Certificate, error) {
	if !bytes.Contains(data, []byte("-----BEGIN ")) {
		c, err := x509.ParseCertificate(data)
		if err != nil {
			return nil, fmt.Errorf("wallet: this is no certificate, neither in PEM nor in DER: %w", err)
		}
		return []*x509.Certificate{c}, nil
	}
	var found []*x509.Certificate
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("wallet: certificate %d of the file: %w", len(found)+1, err)
		}
		found = append(found, c)
	}
	if len(found) == 0 {
		return nil, errors.New("wallet: there is no certificate in the file")
	}
	return found, nil
}

// Certificate returns the signing certificate. It must not be changed.
func (s *Signer) Certificate() *x509.Certificate { return s.subject.certificate }

// TypeIdentifier returns the pass type or order type that the certificate is for,
// its UID.
func (s *Signer) TypeIdentifier() string { return s.subject.UID }

// TeamIdentifier returns the team that the certificate is for, its OU; "" if it
// names none.
func (s *Signer) TeamIdentifier() string { return s.subject.team() }

func (id identity) team() string {
	for _, unit := range id.TeamIDs {
		if isTeamID(unit) {
			return unit
		}
	}
	if len(id.TeamIDs) > 0 {
		return id.TeamIDs[0]
	}
	return ""
}

// short cuts off what no identifier needs.
func short(s string) string {
	const most = 100
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

// forPass checks a certificate against a pass. file is where the problems are
// said to be.
func (id identity) forPass(file string, p *Pass, at time.Time) Problems {
	c := &checker{file: file}
	switch {
	case id.UID != p.PassTypeIdentifier:
		c.error(nil, "", "use the certificate of that pass type, or set passTypeIdentifier to it",
			"is for %q (its UID), and passTypeIdentifier is %q", short(id.UID), short(p.PassTypeIdentifier))
	case !id.PassType:
		c.error(nil, "", "use a Pass Type ID certificate", "is not marked as a Pass Type ID certificate (extension 1.2.840.113635.100.6.1.16)")
	case id.passType != "" && id.passType != id.UID:
		c.error(nil, "", "use the certificate as Apple issued it", "is marked for another pass type (extension 1.2.840.113635.100.6.1.16) than its UID says")
	}
	if !id.PassSigning {
		c.error(nil, "", "use a Pass Type ID certificate", "is not for signing passes (extended key usage 1.2.840.113635.100.4.14)")
	}
	if !slices.Contains(id.TeamIDs, p.TeamIdentifier) {
		c.error(nil, "", "set teamIdentifier to the team of the certificate", "is of the team %q (its OU), and teamIdentifier is %q", short(id.team()), short(p.TeamIdentifier))
	}
	c.valid(id.certificate, at)
	return c.problems
}

// forOrder checks a certificate against an order. How Apple marks certificates
// for orders is not documented.
func (id identity) forOrder(file string, o *Order, at time.Time) Problems {
	c := &checker{file: file}
	switch {
	case id.UID != o.OrderTypeIdentifier:
		c.error(nil, "", "use the certificate of that order type, or set orderTypeIdentifier to it",
			"is for %q (its UID), and orderTypeIdentifier is %q", short(id.UID), short(o.OrderTypeIdentifier))
	case id.PassType || id.WebsitePush:
		c.error(nil, "", "use an Order Type ID certificate", "is for passes or websites, and not for orders")
	}
	c.valid(id.certificate, at)
	return c.problems
}

func (c *checker) valid(certificate *x509.Certificate, at time.Time) {
	const day = "2 January 2006"
	switch {
	case at.After(certificate.NotAfter):
		c.error(nil, "", "make a new one in Apple's developer account", "is expired since %s", certificate.NotAfter.UTC().Format(day))
	case at.Before(certificate.NotBefore):
		c.error(nil, "", "look at the clock of this machine", "is not valid before %s", certificate.NotBefore.UTC().Format(day))
	case certificate.NotAfter.Sub(at) < soon:
		c.warn(nil, "", "make a new one in Apple's developer account", "expires on %s", certificate.NotAfter.UTC().Format(day))
	}
}

// SignDetached makes a detached CMS signature over anything, with the certificates
// and the signing time in it. It is what a device expects as the answer to a
// request that personalizes a pass, over the personalizationToken.
func (s *Signer) SignDetached(content []byte) ([]byte, error) { return s.cms.Sign(content) }

// CheckPass says whether the certificate may sign the pass at that time: pass
// type, team, marks, dates, those of the intermediate included.
func (s *Signer) CheckPass(p *Pass, at time.Time) Problems {
	return append(s.subject.forPass("certificate", p, at), s.checkIssuer(at)...).sort()
}

// CheckOrder says whether the certificate may sign the order at that time.
func (s *Signer) CheckOrder(o *Order, at time.Time) Problems {
	return append(s.subject.forOrder("certificate", o, at), s.checkIssuer(at)...).sort()
}

// checkIssuer finds the intermediate of 2013, which expired in 2023 and is still
// in many folders.
func (s *Signer) checkIssuer(at time.Time) (found Problems) {
	for _, c := range s.cms.Intermediates() {
		if !validAt(c, at) {
			found = append(found, Problem{
				Error, "certificate", "", "the intermediate that issued it is valid from " + c.NotBefore.UTC().Format(time.DateOnly) + " to " +
					c.NotAfter.UTC().Format(time.DateOnly), "have a new certificate issued, and use the intermediate of today, " + WWDRURL,
			})
		}
	}
	return found
}
