package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"testing"
	"time"
)

// template says what is particular about a certificate made at run time.
type template struct {
	uid, commonName string
	units           []string // OU
	extensions      []pkix.Extension
	days            int // of validity from testNow; 0 means 365
	authority       bool
	selfSigned      bool
	key             *ecdsa.PrivateKey
}

var testNow = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func makeCertificate(t testing.TB, from template) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key := from.key
	if key == nil {
		key = must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	}
	if from.days == 0 {
		from.days = 365
	}
	subject := pkix.Name{CommonName: from.commonName, OrganizationalUnit: from.units}
	if from.uid != "" {
		subject.ExtraNames = []pkix.AttributeTypeAndValue{{Type: oidUID, Value: from.uid}}
	}
	// Issued by another name, or it would count as signed by itself.
	issuer := &x509.Certificate{Subject: pkix.Name{CommonName: "Test Authority"}}
	certificate := &x509.Certificate{
		SerialNumber:          big.NewInt(0xABC),
		Subject:               subject,
		NotBefore:             testNow.AddDate(-1, 0, 0),
		NotAfter:              testNow.AddDate(0, 0, from.days),
		ExtraExtensions:       from.extensions,
		BasicConstraintsValid: true,
		IsCA:                  from.authority,
	}
	if from.selfSigned {
		issuer = certificate
	}
	der := must(x509.CreateCertificate(rand.Reader, certificate, issuer, key.Public(), key))
	return must(x509.ParseCertificate(der)), key
}

func encodePEM(t testing.TB, key crypto.Signer, certificates ...*x509.Certificate) []byte {
	t.Helper()
	out := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(key))})
	for _, certificate := range certificates {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw})...)
	}
	return out
}

func null(oid asn1.ObjectIdentifier) pkix.Extension {
	return pkix.Extension{Id: oid, Value: asn1.NullBytes}
}

func utf8String(s string) asn1.RawValue {
	return asn1.RawValue{Tag: asn1.TagUTF8String, Bytes: []byte(s)}
}

// topicsExtension writes what parseTopics reads; each list is a topic and its
// labels.
func topicsExtension(lists ...[]string) pkix.Extension {
	var elements []asn1.RawValue
	for _, list := range lists {
		labels := []asn1.RawValue{}
		for _, label := range list[1:] {
			labels = append(labels, utf8String(label))
		}
		elements = append(elements, utf8String(list[0]), asn1.RawValue{FullBytes: must(asn1.Marshal(labels))})
	}
	return pkix.Extension{Id: oidTopics, Value: must(asn1.Marshal(elements))}
}
