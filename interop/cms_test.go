package interop

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"aviso.example/internal/cms"
)

const manifest = "{\"icon.png\":\"da39a3ee5e6b4b0d3255bfef95601890afd80709\",\n\"pass.json\":\"86f7e437faa5a7fce15d1ddcb9eaeaea377667b8\"}\n"

// signingChain is what openssl made: stand-ins for Apple's root and WWDR
// intermediate, another intermediate of the same name, and Website Push ID
// certificates with an RSA and an EC key.
type signingChain struct {
	dir, root, wwdr, other string
	leaf, key              map[string]string // by "rsa" and "ec"
}

const chainConfig = `
[root]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[wwdr]
basicConstraints = critical,CA:TRUE,pathlen:0
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
1.2.840.113635.100.6.2.1 = ASN1:NULL
[website]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = clientAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
1.2.840.113635.100.6.1.17 = ASN1:UTF8String:web.com.example.interop
1.2.840.113635.100.6.3.2 = ASN1:NULL
`

func makeSigningChain(t *testing.T) *signingChain {
	t.Helper()
	c := &signingChain{dir: t.TempDir(), leaf: map[string]string{}, key: map[string]string{}}
	file := func(name string) string { return filepath.Join(c.dir, name) }
	extensions := writeFile(t, file("extensions.cnf"), chainConfig)
	issue := func(name, subject, section, issuer string, newKey ...string) string {
		run(t, c.dir, "openssl", append([]string{"genpkey", "-out", name + ".key"}, newKey...)...)
		run(t, c.dir, "openssl", "req", "-new", "-key", name+".key", "-subj", subject, "-out", name+".csr")
		signer := []string{"-CA", issuer + ".pem", "-CAkey", issuer + ".key", "-CAcreateserial"}
		if issuer == "" {
			signer = []string{"-signkey", name + ".key"}
		}
		run(t, c.dir, "openssl", append([]string{"x509", "-req", "-in", name + ".csr", "-sha256", "-days", "30",
			"-extfile", extensions, "-extensions", section, "-out", name + ".pem"}, signer...)...)
		return file(name + ".pem")
	}
	rsa := []string{"-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"}
	ec := []string{"-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"}
	const intermediate = "/CN=Test Worldwide Developer Relations Certification Authority/OU=G4/O=Example Test/C=US"
	const website = "/UID=web.com.example.interop/CN=Website Push ID: web.com.example.interop/OU=" + teamID + "/O=Example/C=US"
	c.root = issue("root", "/C=US/O=Example Test Root/CN=Test Apple Root CA", "root", "", rsa...)
	c.wwdr = issue("wwdr", intermediate, "wwdr", "root", rsa...)
	c.other = issue("other", intermediate, "wwdr", "root", ec...)
	for kind, newKey := range map[string][]string{"rsa": rsa, "ec": ec} {
		c.leaf[kind] = issue("leaf-"+kind, website, "website", "wwdr", newKey...)
		c.key[kind] = file("leaf-" + kind + ".key")
	}
	return c
}

func (c *signingChain) certificate(t *testing.T, path string) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(readFile(t, path))
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

func (c *signingChain) privateKey(t *testing.T, kind string) crypto.Signer {
	t.Helper()
	block, _ := pem.Decode(readFile(t, c.key[kind]))
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return key.(crypto.Signer)
}

// TestOpenSSLTakesOurSignatures, with both of its commands, and refuses them over
// other bytes.
func TestOpenSSLTakesOurSignatures(t *testing.T) {
	c := makeSigningChain(t)
	content := writeFile(t, filepath.Join(c.dir, "manifest.json"), manifest)
	changed := writeFile(t, filepath.Join(c.dir, "changed.json"), manifest+"\n")
	for _, kind := range []string{"rsa", "ec"} {
		signer, err := cms.NewSigner(c.certificate(t, c.leaf[kind]), c.privateKey(t, kind), c.certificate(t, c.other), c.certificate(t, c.wwdr))
		if err != nil {
			t.Fatal(err)
		}
		signature, err := signer.Sign([]byte(manifest))
		if err != nil {
			t.Fatal(err)
		}
		path := writeFile(t, filepath.Join(c.dir, "signature"), string(signature))
		for _, command := range []string{"cms", "smime"} {
			args := func(content string) []string {
				return []string{command, "-verify", "-binary", "-inform", "DER", "-in", path, "-content", content, "-CAfile", c.root, "-purpose", "any", "-out", os.DevNull}
			}
			run(t, c.dir, "openssl", args(content)...)
			if _, err := try(t, c.dir, "openssl", args(changed)...); err == nil {
				t.Errorf("openssl %s takes a signature by %s over other bytes", command, kind)
			}
		}
		shown := run(t, c.dir, "openssl", "cms", "-cmsout", "-print", "-inform", "DER", "-in", path)
		for _, want := range []string{"signingTime", "messageDigest", "contentType", "algorithm: sha256", "eContent: <ABSENT>"} {
			if !strings.Contains(shown, want) {
				t.Errorf("openssl does not see %s in\n%s", want, shown)
			}
		}
	}
}

func verifyTheirs(t *testing.T, c *signingChain, kind string, signature []byte, digest crypto.Hash) {
	t.Helper()
	got, err := cms.Verify(signature, []byte(manifest))
	if err != nil {
		t.Fatal(err)
	}
	if !got.Certificate.Equal(c.certificate(t, c.leaf[kind])) || got.Digest != digest {
		t.Errorf("signed by %v with %v", got.Certificate.Subject, got.Digest)
	}
	if at := got.SigningTime; !at.IsZero() && time.Since(at).Abs() > time.Minute {
		t.Errorf("signed at %v", at)
	}
	chain, err := got.VerifyChain(time.Now(), c.certificate(t, c.root))
	if err != nil || len(chain) != 3 {
		t.Errorf("a chain of %d: %v", len(chain), err)
	}
	if _, err := cms.Verify(signature, []byte(manifest+"\n")); !errors.Is(err, cms.ErrContentChanged) {
		t.Errorf("other bytes: %v", err)
	}
}

// TestWeTakeSignaturesOfOpenSSL in all the forms that it writes.
func TestWeTakeSignaturesOfOpenSSL(t *testing.T) {
	c := makeSigningChain(t)
	content := writeFile(t, filepath.Join(c.dir, "manifest.json"), manifest)
	for name, s := range map[string]struct {
		options string
		digest  crypto.Hash
	}{
		"smime":               {"smime -sign", crypto.SHA256},
		"smime, SHA-1":        {"smime -sign -md sha1", crypto.SHA1},
		"cms":                 {"cms -sign", crypto.SHA256},
		"cms, SHA-1":          {"cms -sign -md sha1", crypto.SHA1},
		"cms, SHA-384":        {"cms -sign -md sha384", crypto.SHA384},
		"cms, SHA-512":        {"cms -sign -md sha512", crypto.SHA512},
		"cms, key identifier": {"cms -sign -keyid", crypto.SHA256},
		"cms, no attributes":  {"cms -sign -noattr", crypto.SHA256},
		"cms, with the root":  {"cms -sign -certfile " + c.root, crypto.SHA256},
	} {
		for _, kind := range []string{"rsa", "ec"} {
			t.Run(name+" "+kind, func(t *testing.T) {
				out := filepath.Join(t.TempDir(), "signature")
				args := append(strings.Fields(s.options), "-binary", "-in", content, "-certfile", c.wwdr,
					"-signer", c.leaf[kind], "-inkey", c.key[kind], "-outform", "DER", "-out", out)
				run(t, c.dir, "openssl", args...)
				verifyTheirs(t, c, kind, readFile(t, out), s.digest)
			})
		}
	}
	// With -indef, which writes BER, openssl attaches the content whatever else it
	// is told.
	for _, option := range []string{"-nodetach", "-indef"} {
		out := filepath.Join(c.dir, "attached"+option)
		run(t, c.dir, "openssl", "cms", "-sign", option, "-binary", "-in", content, "-signer", c.leaf["rsa"], "-inkey", c.key["rsa"], "-outform", "DER", "-out", out)
		if _, err := cms.Verify(readFile(t, out), []byte(manifest)); !errors.Is(err, cms.ErrMalformed) || !strings.Contains(err.Error(), "detached") {
			t.Errorf("%s: %v", option, err)
		}
	}
}

// TestWeTakeSignaturesOfNodeForge signs as passkit-generator does, which uses
// node-forge. Its signed attributes are not sorted, and Wallet takes them.
func TestWeTakeSignaturesOfNodeForge(t *testing.T) {
	c := makeSigningChain(t)
	content := writeFile(t, filepath.Join(c.dir, "manifest.json"), manifest)
	for digest, name := range map[crypto.Hash]string{crypto.SHA1: "sha1", crypto.SHA256: "sha256"} {
		out := filepath.Join(c.dir, name)
		run(t, "node", "node", "sign-forge.cjs", c.leaf["rsa"], c.key["rsa"], c.wwdr, content, name, out)
		verifyTheirs(t, c, "rsa", readFile(t, out), digest)
	}
}
