package webpush

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestKeyRoundTrips(t *testing.T) {
	key, err := GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	if n := len(bytes64(t, key.PublicKey())); n != keyLength {
		t.Errorf("the public key has %d bytes", n)
	}
	if n := len(bytes64(t, key.PrivateKey())); n != 32 {
		t.Errorf("the private key has %d bytes", n)
	}
	sec1, err := x509.MarshalECPrivateKey(key.private)
	if err != nil {
		t.Fatal(err)
	}
	forms := map[string][]byte{
		"PKCS#8":       key.PEM(),
		"SEC 1":        pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1}),
		"as openssl":   append(pem.EncodeToMemory(&pem.Block{Type: "EC PARAMETERS", Bytes: []byte{6, 8, 42, 134, 72, 206, 61, 3, 1, 7}}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1})...),
		"web-push":     []byte(`{"publicKey":"` + key.PublicKey() + `","privateKey":"` + key.PrivateKey() + `"}` + "\n"),
		"DOS line end": []byte("\ufeff" + strings.ReplaceAll(string(key.PEM()), "\n", "\r\n")),
	}
	for name, data := range forms {
		read, err := ParseKey(data)
		if err != nil || !read.private.Equal(key.private) || read.PublicKey() != key.PublicKey() {
			t.Errorf("%s: %v", name, err)
		}
	}
	if read, err := ParseKeyPair(key.PublicKey()+"=", key.PrivateKey()+"="); err != nil || !read.private.Equal(key.private) {
		t.Error(err)
	}
	for n := range key.PEM() { // a key that was cut short is not taken for another
		if read, err := ParseKey(key.PEM()[:n]); err == nil && !read.private.Equal(key.private) {
			t.Fatalf("%d bytes are another key", n)
		}
	}
}

func TestKeyFiles(t *testing.T) {
	key, err := GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "vapid.pem")
	if err := key.Save(path); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if read, err := LoadKey(path); err != nil || !read.private.Equal(key.private) {
		t.Error(err)
	}
	other, err := GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Save(path); !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), "not overwritten") {
		t.Error(err)
	}
	if read, err := LoadKey(path); err != nil || !read.private.Equal(key.private) {
		t.Errorf("the file was overwritten: %v", err)
	}
	if _, err := LoadKey(path + "x"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if err := os.WriteFile(path+"y", make([]byte, maxKeyFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadKey(path + "y"); err == nil || !strings.HasPrefix(err.Error(), "webpush: "+path+"y: VAPID key: the file is larger") {
		t.Error(err)
	}
	if err := key.Save(filepath.Join(path, "no folder")); err == nil {
		t.Error("saved below a file")
	}
}

func TestKeyProblems(t *testing.T) {
	key, err := GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	other, err := GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	armour := func(kind string, der []byte, err error) string {
		if err != nil {
			t.Fatal(err)
		}
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	pkcs8 := func(k any) string {
		der, err := x509.MarshalPKCS8PrivateKey(k)
		return armour("PRIVATE KEY", der, err)
	}
	for text, want := range map[string]string{
		"":                                       "the file is empty",
		"hello":                                  "neither PEM nor a key",
		"-----BEGIN PRIVATE KEY-----\nx":         "neither PEM nor a key",
		pkcs8(p384):                              "on P-384",
		pkcs8(ed):                                "another kind of key",
		armour("PRIVATE KEY", []byte{1}, nil):    "damaged",
		armour("EC PRIVATE KEY", []byte{1}, nil): "damaged",
		armour("ENCRYPTED PRIVATE KEY", []byte{1}, nil): "is encrypted; decrypt it with",
		armour("CERTIFICATE", []byte{1}, nil):           `holds a "CERTIFICATE"`,
		`{"a":1}`:                                       `no text under "publicKey"`,
		`{"publicKey":"` + other.PublicKey() + `","privateKey":"` + key.PrivateKey() + `"}`: "does not belong",
		`{"publicKey":"*","privateKey":"` + key.PrivateKey() + `"}`:                         "the public key is not base64url",
		`{"publicKey":"","privateKey":"*"}`:                                                 "the private key is not base64url",
		`{"publicKey":"","privateKey":"` + key.PublicKey() + `"}`:                           "seem to be swapped",
		`{"publicKey":"","privateKey":"AAAA"}`:                                              "has 3 bytes, and 32",
		`{"publicKey":"","privateKey":"` + strings.Repeat("A", 43) + `"}`:                   "not one of P-256",
	} {
		_, err := ParseKey([]byte(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q: %v", want, err)
		}
		if err != nil && strings.Contains(err.Error(), key.PrivateKey()[:10]) {
			t.Errorf("the error repeats the key: %v", err)
		}
	}
}

func TestSubjects(t *testing.T) {
	for subject, want := range map[string]string{
		"mailto:push@example.com":                   "",
		"MAILTO:push+x@example.com":                 "",
		"https://example.com":                       "",
		"https://example.com/contact?a":             "",
		"":                                          "is missing",
		"push@example.com":                          "has no scheme; write mailto:",
		"example.com":                               "neither a mailto:",
		"http://example.com":                        "begins with http:",
		"tel:+49":                                   "neither a mailto:",
		"mailto: <push@example.com>":                "space or an angle bracket",
		"mailto: push@example.com":                  "space or an angle bracket",
		"mailto:<push@example.com>":                 "space or an angle bracket",
		"mailto:mailto:push@example.com":            "second scheme",
		"mailto:https://example.com":                "second scheme",
		"mailto:":                                   "not a mail address",
		"mailto:push":                               "not a mail address",
		"mailto:@example.com":                       "not a mail address",
		"mailto:a@b@example.com":                    "not a mail address",
		"mailto:push@localhost":                     "at localhost",
		"https://localhost/x":                       "at localhost",
		"mailto:push@LOCALHOST.":                    "at localhost",
		"mailto:push@foo.localhost":                 "at localhost",
		"mailto:relay@printer.local":                "below .local",
		"https://example.invalid/contact":           "below .invalid",
		"mailto:a@b.test":                           "below .test",
		"mailto:a@b.example":                        "below .example",
		"https://a.internal":                        "below .internal",
		"https://a.home.arpa.":                      "below .home.arpa",
		"mailto:a@b.alt":                            "below .alt",
		"mailto:a@b":                                "without a dot",
		"https://example":                           "below .example",
		"https://127.0.0.1":                         "IP address",
		"mailto:a@[127.0.0.1]":                      "IP address",
		"mailto:a@192.168.1.1":                      "IP address",
		"https://[::1]/":                            "IP address",
		"https://*.example.com":                     "asterisk",
		"https:":                                    "not an https: address",
		"https:example.com":                         "not an https: address",
		"https://a:b@example.com":                   "user name",
		"mailto:püsh@example.com":                   "only printable ASCII",
		"mailto:a@b\x00":                            "only printable ASCII",
		"mailto:" + strings.Repeat("a", 250) + "@b": "more than 255 bytes",
	} {
		err := CheckSubject(subject)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", subject, err, want)
		}
	}
}

// The forms in which people have a VAPID key are one key.
func TestFormsOfKeys(t *testing.T) {
	key, err := GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	public, private := key.PublicKey(), key.PrivateKey()
	point, err := decode64(public)
	if err != nil {
		t.Fatal(err)
	}
	x, y := encode64(point[1:33]), encode64(point[33:])
	for name, text := range map[string]string{
		"web-push":              "\n=======================================\n\nPublic Key:\n" + public + "\n\nPrivate Key:\n" + private + "\n\n=======================================\n",
		"web-push --json":       `{"publicKey":"` + public + `","privateKey":"` + private + `"}`,
		"underscores":           `{"public_key":"` + public + `","private_key":"` + private + `"}`,
		"JSON, private alone":   `{"privateKey":"` + private + `"}`,
		"JSON Web Key":          `{"kty":"EC","crv":"P-256","d":"` + private + `","x":"` + x + `","y":"` + y + `"}`,
		"environment":           "# for push\nVAPID_PUBLIC_KEY=" + public + "\nVAPID_PRIVATE_KEY=\"" + private + "\"\nOTHER=1\n",
		"private alone":         private + "\n",
		"private alone, padded": private + "=\n",
		"environment, private":  "export VAPID_PRIVATE_KEY=" + private,
		"YAML":                  "vapid:\r\n  public: " + public + "\r\n  private: " + private + "\r\n",
	} {
		got, err := ParseKey([]byte(text))
		if err != nil || got.PrivateKey() != private {
			t.Errorf("%s: %v", name, err)
		}
	}
	other, err := GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ text, want string }{
		"another public key":      {"VAPID_PUBLIC_KEY=" + other.PublicKey() + "\nVAPID_PRIVATE_KEY=" + private, "does not belong"},
		"JWK of another":          {`{"kty":"EC","crv":"P-256","d":"` + other.PrivateKey() + `","x":"` + x + `","y":"` + y + `"}`, "does not belong"},
		"public alone":            {public, "neither PEM nor"},
		"words":                   {"my key is secret", "neither PEM nor"},
		"JSON of something else":  {`{"a":1}`, `no text under "publicKey"`},
		"a key of another length": {"VAPID_PRIVATE_KEY=" + private[:40], "neither PEM nor"},
	} {
		if _, err := ParseKey([]byte(test.text)); err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), private) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
