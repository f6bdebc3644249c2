package passsample

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"math/big"
	"time"
)

// Apple's object identifiers, which tell what a certificate is for.
var (
	oidUID          = asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 1}
	oidPassType     = asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 6, 1, 16}
	oidProduction   = asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 6, 3, 2}
	oidIntermediate = asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 6, 2, 1}
	oidPassSigning  = asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 4, 14}
)

// Chain is what Apple would issue: a root, the intermediate of developer
// relations (WWDR), and the certificate that signs.
type Chain struct {
	Root, Intermediate, Leaf *x509.Certificate
	Key                      *rsa.PrivateKey
}

// Certificates makes a chain for one pass type or order type, valid for a year
// from now. It looks like Apple's to whoever checks the marks (subject, extended
// key usage, extensions) and is told from it by its root: no device accepts what
// it signs.
func Certificates(typeIdentifier, teamIdentifier string, order bool, now time.Time) (*Chain, error) {
	c := &Chain{}
	from, until := now.Add(-time.Hour), now.AddDate(1, 0, 0)
	rootKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	root := &x509.Certificate{
		Subject:   pkix.Name{CommonName: "Test Root, not Apple's", Organization: []string{"Aviso test certificates"}},
		NotBefore: from, NotAfter: until, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		IsCA: true, BasicConstraintsValid: true,
	}
	if c.Root, err = issue(root, root, rootKey.Public(), rootKey); err != nil {
		return nil, err
	}
	middleKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	middle := &x509.Certificate{
		Subject:   pkix.Name{CommonName: "Test Worldwide Developer Relations Certification Authority", OrganizationalUnit: []string{"G4"}, Organization: []string{"Aviso test certificates"}},
		NotBefore: from, NotAfter: until, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		ExtraExtensions: []pkix.Extension{{Id: oidIntermediate, Value: asn1.NullBytes}},
	}
	if c.Intermediate, err = issue(middle, c.Root, middleKey.Public(), rootKey); err != nil {
		return nil, err
	}
	if c.Key, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		return nil, err
	}
	leaf, err := leafTemplate(typeIdentifier, teamIdentifier, order)
	if err != nil {
		return nil, err
	}
	leaf.NotBefore, leaf.NotAfter = from, until
	c.Leaf, err = issue(leaf, c.Intermediate, c.Key.Public(), middleKey)
	return c, err
}

func leafTemplate(typeIdentifier, teamIdentifier string, order bool) (*x509.Certificate, error) {
	name := "Pass Type ID: "
	extensions := []pkix.Extension{{Id: oidProduction, Value: asn1.NullBytes}}
	var usages []asn1.ObjectIdentifier
	if order {
		name = "Order Type ID: "
	} else {
		value, err := asn1.MarshalWithParams(typeIdentifier, "utf8")
		if err != nil {
			return nil, fmt.Errorf("the pass type identifier: %w", err)
		}
		extensions = append(extensions, pkix.Extension{Id: oidPassType, Value: value})
		usages = append(usages, oidPassSigning)
	}
	return &x509.Certificate{
		Subject: pkix.Name{
			CommonName: name + typeIdentifier, OrganizationalUnit: []string{teamIdentifier},
			Organization: []string{"Aviso test certificates"}, Country: []string{"US"},
			ExtraNames: []pkix.AttributeTypeAndValue{{Type: oidUID, Value: typeIdentifier}},
		},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		UnknownExtKeyUsage: usages, ExtraExtensions: extensions, BasicConstraintsValid: true,
	}, nil
}

func issue(template, parent *x509.Certificate, public crypto.PublicKey, by crypto.Signer) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 100))
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial.Add(serial, big.NewInt(1))
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, by)
	if err != nil {
		return nil, fmt.Errorf("making the certificate of %s: %w", template.Subject.CommonName, err)
	}
	return x509.ParseCertificate(der)
}

// PEM returns the files of a chain: the leaf with its key, the intermediate and
// the root.
func (c *Chain) PEM() (leafAndKey, intermediate, root []byte, err error) {
	key, err := x509.MarshalPKCS8PrivateKey(c.Key)
	if err != nil {
		return nil, nil, nil, err
	}
	leafAndKey = append(certificatePEM(c.Leaf), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...)
	return leafAndKey, certificatePEM(c.Intermediate), certificatePEM(c.Root), nil
}

func certificatePEM(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

func throwawayPublicKey() ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return x509.MarshalPKIXPublicKey(key.Public())
}
