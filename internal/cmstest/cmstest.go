// Package cmstest makes stand-ins for Apple's certificates at run time, for the
// tests of everything that signs or reads signatures.
package cmstest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"sync"
	"time"
)

// Object identifiers that mark Apple's certificates.
var (
	OIDUID         = asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 1}
	OIDPassType    = asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 6, 1, 16}
	OIDWebsitePush = asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 6, 1, 17}
	OIDProduction  = asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 6, 3, 2}
	OIDPassSigning = asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 4, 14}
	oidWWDR        = asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 6, 2, 1}
)

// TeamID is the OU of all certificates made here.
const TeamID = "A1B2C3D4E5"

// Issued is a certificate with its private key.
type Issued struct {
	Certificate *x509.Certificate
	Key         crypto.Signer
}

// PEM returns the certificate, and its key after it.
func (i *Issued) PEM() []byte {
	key := must(x509.MarshalPKCS8PrivateKey(i.Key))
	return append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.Certificate.Raw}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...)
}

// Authority stands in for Apple: a root, and two intermediates of the same name
// below it, since choosing by name is the mistake to catch. OtherWWDR issues
// nothing.
type Authority struct {
	Root, WWDR, OtherWWDR *Issued
}

// Apple returns an authority, which is the same in the whole process.
var Apple = sync.OnceValue(NewAuthority)

// NewAuthority makes one of its own. Its keys are EC, since RSA keys take long to
// make.
func NewAuthority() *Authority {
	a := &Authority{}
	a.Root = issue(nil, &x509.Certificate{
		Subject: pkix.Name{CommonName: "Test Apple Root CA", Organization: []string{"Example Test Root"}},
	}, newEC(), true)
	for unit, to := range map[string]**Issued{"G4": &a.WWDR, "G3": &a.OtherWWDR} {
		*to = issue(a.Root, &x509.Certificate{
			Subject: pkix.Name{
				CommonName:         "Test Worldwide Developer Relations Certification Authority",
				OrganizationalUnit: []string{unit}, Organization: []string{"Example Test"},
			},
			MaxPathLenZero:  true,
			ExtraExtensions: []pkix.Extension{{Id: oidWWDR, Value: asn1.NullBytes}},
		}, newEC(), true)
	}
	return a
}

// RenewWWDR makes another certificate of the same key and name as WWDR, as Apple
// did in 2016.
func (a *Authority) RenewWWDR(notBefore, notAfter time.Time) *x509.Certificate {
	old := a.WWDR.Certificate
	return issue(a.Root, &x509.Certificate{
		Subject: old.Subject, NotBefore: notBefore, NotAfter: notAfter, MaxPathLenZero: true,
		ExtraExtensions: []pkix.Extension{{Id: oidWWDR, Value: asn1.NullBytes}},
	}, a.WWDR.Key, true).Certificate
}

// Leaf says what is particular about a certificate.
type Leaf struct {
	// CommonName and UID are those of the subject.
	CommonName, UID string
	// TeamID is the OU; empty means [TeamID].
	TeamID string
	// Mark is an extension that holds UID, such as OIDPassType; nil for none.
	Mark asn1.ObjectIdentifier
	// PassSigning adds the extended key usage that Wallet asks for.
	PassSigning bool
	// EC makes an EC P-256 key instead of RSA with 2048 bits. All RSA leaves
	// share one key.
	EC bool
	// NotBefore and NotAfter have defaults: an hour ago, and a year from now.
	NotBefore, NotAfter time.Time
}

// Pass is a Pass Type ID certificate of the given type.
func Pass(passTypeIdentifier string) Leaf {
	return Leaf{CommonName: "Pass Type ID: " + passTypeIdentifier, UID: passTypeIdentifier, Mark: OIDPassType, PassSigning: true}
}

// Order is an Order Type ID certificate.
func Order(orderTypeIdentifier string) Leaf {
	return Leaf{CommonName: "Order Type ID: " + orderTypeIdentifier, UID: orderTypeIdentifier}
}

// Website is a Website Push ID certificate.
func Website(websitePushID string) Leaf {
	return Leaf{CommonName: "Website Push ID: " + websitePushID, UID: websitePushID, Mark: OIDWebsitePush}
}

// Issue makes a certificate signed by WWDR.
func (a *Authority) Issue(leaf Leaf) *Issued {
	if leaf.TeamID == "" {
		leaf.TeamID = TeamID
	}
	template := &x509.Certificate{
		Subject: pkix.Name{
			CommonName: leaf.CommonName, OrganizationalUnit: []string{leaf.TeamID}, Organization: []string{"Example"},
			ExtraNames: []pkix.AttributeTypeAndValue{{Type: OIDUID, Value: leaf.UID}},
		},
		NotBefore: leaf.NotBefore, NotAfter: leaf.NotAfter,
		KeyUsage:        x509.KeyUsageDigitalSignature,
		ExtKeyUsage:     []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		ExtraExtensions: []pkix.Extension{{Id: OIDProduction, Value: asn1.NullBytes}},
	}
	if leaf.PassSigning {
		template.UnknownExtKeyUsage = []asn1.ObjectIdentifier{OIDPassSigning}
	}
	if leaf.Mark != nil {
		value := must(asn1.MarshalWithParams(leaf.UID, "utf8"))
		template.ExtraExtensions = append(template.ExtraExtensions, pkix.Extension{Id: leaf.Mark, Value: value})
	}
	key := crypto.Signer(newEC())
	if !leaf.EC {
		key = sharedRSA()
	}
	return issue(a.WWDR, template, key, false)
}

// issue signs with the issuer's key, or with its own if there is none.
func issue(issuer *Issued, template *x509.Certificate, key crypto.Signer, authority bool) *Issued {
	template.SerialNumber = must(rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)))
	if template.NotBefore.IsZero() {
		template.NotBefore = time.Now().Add(-time.Hour)
	}
	if template.NotAfter.IsZero() {
		template.NotAfter = time.Now().AddDate(1, 0, 0)
	}
	template.BasicConstraintsValid = true
	if template.IsCA = authority; authority {
		template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	}
	public := must(x509.MarshalPKIXPublicKey(key.Public()))
	id := sha1.Sum(public)
	template.SubjectKeyId = id[:]
	parent, signer := template, key
	if issuer != nil {
		parent, signer = issuer.Certificate, issuer.Key
	}
	der := must(x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer))
	return &Issued{Certificate: must(x509.ParseCertificate(der)), Key: key}
}

func newEC() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) }

var sharedRSA = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })

// must is enough here: what it wraps fails only if this file is wrong.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
