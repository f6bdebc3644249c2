package cms

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"aviso.example/internal/cmstest"
)

const manifest = `{"icon.png":"da39a3ee5e6b4b0d3255bfef95601890afd80709"}`

func newSigner(t testing.TB, leaf cmstest.Leaf) *Signer {
	t.Helper()
	apple := cmstest.Apple()
	issued := apple.Issue(leaf)
	signer, err := NewSigner(issued.Certificate, issued.Key, apple.OtherWWDR.Certificate, apple.Root.Certificate, apple.WWDR.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

func TestSignedThenVerified(t *testing.T) {
	apple := cmstest.Apple()
	for name, leaf := range map[string]cmstest.Leaf{
		"RSA": cmstest.Pass("pass.com.example.a"),
		"EC":  {CommonName: "Order Type ID: order.com.example.a", UID: "order.com.example.a", EC: true},
	} {
		t.Run(name, func(t *testing.T) {
			signer := newSigner(t, leaf)
			before := time.Now().UTC().Truncate(time.Second)
			signature, err := signer.Sign([]byte(manifest))
			if err != nil {
				t.Fatal(err)
			}
			got, err := Verify(signature, []byte(manifest))
			if err != nil {
				t.Fatal(err)
			}
			if !got.Certificate.Equal(signer.Certificate()) || got.Digest != crypto.SHA256 {
				t.Errorf("signed by %v with %v", got.Certificate.Subject, got.Digest)
			}
			if got.SigningTime.Before(before) || got.SigningTime.After(time.Now()) {
				t.Errorf("signing time %v", got.SigningTime)
			}
			// The intermediate that issued it, not the other one, and no root.
			if len(got.Certificates) != 2 || !got.Certificates[1].Equal(apple.WWDR.Certificate) {
				t.Errorf("%d certificates", len(got.Certificates))
			}
			chain, err := got.VerifyChain(time.Now(), apple.Root.Certificate)
			if err != nil || len(chain) != 3 {
				t.Errorf("chain of %d: %v", len(chain), err)
			}
			if _, err := Verify(signature, []byte(manifest+" ")); !errors.Is(err, ErrContentChanged) {
				t.Errorf("other content: %v", err)
			}
		})
	}
}

// TestSignatureBytes looks at what RFC 5652 and RFC 5754 prescribe and a lenient
// reader would not notice.
func TestSignatureBytes(t *testing.T) {
	signature := must(newSigner(t, cmstest.Pass("pass.com.example.a")).Sign([]byte(manifest)))
	rsaEncryption := der(tagSequence, id("1.2.840.113549.1.1.1"), asn1.NullBytes)
	if !bytes.Contains(signature, append(rsaEncryption, tagOctetString, 0x82, 1, 0)) {
		t.Error("the signature algorithm is not rsaEncryption with NULL")
	}
	if bytes.Contains(signature, []byte(manifest)) {
		t.Error("the content is in it: not detached")
	}
	parsed := must(parse(signature))
	if inOrder(parsed.signer.attributes) != nil {
		t.Error("signed attributes are not in DER order")
	}
	if _, rest, err := next(signature); err != nil || len(rest) != 0 {
		t.Errorf("%d octets follow, %v", len(rest), err)
	}
}

// TestSigningIsReproducible: RSA PKCS #1 v1.5 has nothing random in it, so the
// same content in the same second gives the same bytes.
func TestSigningIsReproducible(t *testing.T) {
	cmstest.Apple()
	synctest.Test(t, func(t *testing.T) {
		signer := newSigner(t, cmstest.Pass("pass.com.example.a"))
		first := must(signer.Sign([]byte(manifest)))
		time.Sleep(time.Second / 2)
		if !bytes.Equal(first, must(signer.Sign([]byte(manifest)))) {
			t.Error("two signatures of one second differ")
		}
		time.Sleep(time.Second)
		if bytes.Equal(first, must(signer.Sign([]byte(manifest)))) {
			t.Error("the signing time did not change")
		}
	})
}

func TestSignerIsConcurrent(t *testing.T) {
	signer := newSigner(t, cmstest.Leaf{UID: "web.com.example", EC: true})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			content := []byte(strings.Repeat("x", i))
			if _, err := Verify(must(signer.Sign(content)), content); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestNewSignerRefuses(t *testing.T) {
	apple := cmstest.Apple()
	leaf := apple.Issue(cmstest.Pass("pass.com.example.a"))
	other := apple.Issue(cmstest.Leaf{UID: "pass.com.example.b", EC: true})
	small := must(rsa.GenerateKey(rand.Reader, 1024))
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	p224 := must(ecdsa.GenerateKey(elliptic.P224(), rand.Reader))
	certify := func(key crypto.Signer) *x509.Certificate {
		template := *leaf.Certificate
		template.PublicKey, template.ExtraExtensions = nil, nil
		return must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, &template, apple.WWDR.Certificate, key.Public(), apple.WWDR.Key))))
	}
	wwdr := apple.WWDR.Certificate
	for name, c := range map[string]struct {
		leaf          *x509.Certificate
		key           crypto.Signer
		intermediates []*x509.Certificate
		want          []error
		says          []string
	}{
		"another's key":       {leaf.Certificate, other.Key, []*x509.Certificate{wwdr}, []error{ErrKeyMismatch}, []string{"requested"}},
		"no intermediate":     {leaf.Certificate, leaf.Key, nil, []error{ErrNoIssuer}, []string{`("G4")`, "AppleWWDRCAG4.cer"}},
		"wrong intermediate":  {leaf.Certificate, leaf.Key, []*x509.Certificate{apple.OtherWWDR.Certificate, nil}, []error{ErrNoIssuer}, []string{"key identifier"}},
		"the leaf as its own": {leaf.Certificate, leaf.Key, []*x509.Certificate{leaf.Certificate}, []error{ErrNoIssuer}, nil},
		"self-signed":         {apple.Root.Certificate, apple.Root.Key, []*x509.Certificate{wwdr}, []error{ErrNoIssuer}, []string{"developer portal"}},
		"small RSA":           {certify(small), small, []*x509.Certificate{wwdr}, []error{ErrKeyType}, []string{"1024 bits", "2048"}},
		"Ed25519":             {certify(ed), ed, []*x509.Certificate{wwdr}, []error{ErrKeyType}, []string{"ed25519"}},
		"EC P-224":            {certify(p224), p224, []*x509.Certificate{wwdr}, []error{ErrKeyType}, []string{"P-224"}},
		"everything at once":  {certify(small), other.Key, nil, []error{ErrKeyMismatch, ErrKeyType, ErrNoIssuer}, nil},
	} {
		_, err := NewSigner(c.leaf, c.key, c.intermediates...)
		for _, want := range c.want {
			if !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", name, err, want)
			}
		}
		for _, text := range c.says {
			if err == nil || !strings.Contains(err.Error(), text) {
				t.Errorf("%s: %v does not say %q", name, err, text)
			}
		}
	}
	if _, err := NewSigner(nil, nil); err == nil {
		t.Error("nothing at all was taken")
	}
}

// TestRenewedIntermediate: two certificates of one key, of which the old one may
// lie in a .p12 beside the leaf.
func TestRenewedIntermediate(t *testing.T) {
	apple := cmstest.Apple()
	leaf := apple.Issue(cmstest.Pass("pass.com.example.a"))
	old := apple.RenewWWDR(time.Now().AddDate(-3, 0, 0), time.Now().AddDate(-1, 0, 0))
	for _, given := range [][]*x509.Certificate{{old, apple.WWDR.Certificate}, {apple.WWDR.Certificate, old}} {
		signer := must(NewSigner(leaf.Certificate, leaf.Key, given...))
		if chain := signer.Intermediates(); len(chain) != 1 || !chain[0].Equal(apple.WWDR.Certificate) {
			t.Errorf("the intermediate is valid until %v", chain[0].NotAfter)
		}
	}
}

type brokenKey struct{ crypto.Signer }

func (brokenKey) Sign(_ io.Reader, _ []byte, _ crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("the module is not there")
}

func TestKeyFails(t *testing.T) {
	apple := cmstest.Apple()
	leaf := apple.Issue(cmstest.Pass("pass.com.example.a"))
	signer := must(NewSigner(leaf.Certificate, brokenKey{leaf.Key}, apple.WWDR.Certificate))
	if _, err := signer.Sign(nil); err == nil || !strings.Contains(err.Error(), "the module is not there") {
		t.Error(err)
	}
}

// BenchmarkSign beside BenchmarkKey shows what everything around the bare
// signature costs.
func BenchmarkSign(b *testing.B) {
	signer := newSigner(b, cmstest.Pass("pass.com.example.a"))
	b.ReportAllocs()
	for b.Loop() {
		must(signer.Sign([]byte(manifest)))
	}
}

func BenchmarkKey(b *testing.B) {
	signer := newSigner(b, cmstest.Pass("pass.com.example.a"))
	digest := make([]byte, 32)
	for b.Loop() {
		must(signer.key.Sign(rand.Reader, digest, crypto.SHA256))
	}
}

func BenchmarkVerify(b *testing.B) {
	signature := must(newSigner(b, cmstest.Pass("pass.com.example.a")).Sign([]byte(manifest)))
	b.ReportAllocs()
	for b.Loop() {
		must(Verify(signature, []byte(manifest)))
	}
}
