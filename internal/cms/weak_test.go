package cms

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"testing"
	"time"

	"aviso.example/internal/cmstest"
)

// WWDR G1 signed with SHA-1 until 2021. What it issued leads to its issuer, and over it to
// a root, as before; a signature that is wrong leads nowhere, whatever its algorithm.
func TestChainsOfSHA1(t *testing.T) {
	issue := func(name string, above *cmstest.Issued, algorithm x509.SignatureAlgorithm) *cmstest.Issued {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		ca := name != "leaf"
		template := &x509.Certificate{
			SerialNumber: big.NewInt(int64(len(name))), Subject: pkix.Name{CommonName: name}, SignatureAlgorithm: algorithm,
			NotBefore: time.Now().AddDate(-1, 0, 0), NotAfter: time.Now().AddDate(1, 0, 0), IsCA: ca, BasicConstraintsValid: true,
			KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, SubjectKeyId: []byte(name),
		}
		issued := &cmstest.Issued{Key: key}
		if above == nil {
			above = &cmstest.Issued{Certificate: template, Key: key}
		}
		der, err := x509.CreateCertificate(rand.Reader, template, above.Certificate, key.Public(), above.Key)
		if err == nil {
			issued.Certificate, err = x509.ParseCertificate(der)
		}
		if err != nil {
			t.Fatal(err)
		}
		return issued
	}
	const weak, strong = x509.SHA1WithRSA, x509.SHA256WithRSA
	for name, algorithms := range map[string][2]x509.SignatureAlgorithm{"leaf": {weak, strong}, "intermediate": {strong, weak}, "both": {weak, weak}} {
		root := issue("root", nil, weak)
		wwdr := issue("wwdr", root, algorithms[1])
		leaf := issue("leaf", wwdr, algorithms[0])
		signature, err := Verify(spec{signer: leaf, content: content, certificates: [][]byte{leaf.Certificate.Raw, wwdr.Certificate.Raw}}.make(t), []byte(content))
		if err != nil {
			t.Fatal(err)
		}
		if chain, err := signature.VerifyChain(time.Now()); err != nil || len(chain) != 2 {
			t.Errorf("%s: %d certificates, %v", name, len(chain), err)
		}
		if chain, err := signature.VerifyChain(time.Now(), root.Certificate); err != nil || len(chain) != 3 {
			t.Errorf("%s: with the root %d certificates, %v", name, len(chain), err)
		}
		if _, err := signature.VerifyChain(time.Now().AddDate(2, 0, 0), root.Certificate); !errors.Is(err, ErrExpired) {
			t.Errorf("%s: too late: %v", name, err)
		}
		if _, err := signature.VerifyChain(time.Now(), issue("another root", nil, weak).Certificate); !errors.Is(err, ErrUntrusted) {
			t.Errorf("%s: another root: %v", name, err)
		}
		if _, err := NewSigner(leaf.Certificate, leaf.Key, wwdr.Certificate); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		// The same names and identifiers, and another key.
		other := issue("wwdr", root, algorithms[1])
		signature.Certificates = []*x509.Certificate{leaf.Certificate, other.Certificate}
		if _, err := signature.VerifyChain(time.Now(), root.Certificate); !errors.Is(err, ErrNoIssuer) {
			t.Errorf("%s: somebody else's signature: %v", name, err)
		}
	}
}
