package namedfile

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// secrets are what people give in place of a name.
func secrets(t *testing.T) map[string]string {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	scalar, err := key.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	packed := base64.StdEncoding.EncodeToString([]byte(text))
	return map[string]string{
		"PEM":                        text,
		"PEM in one line":            strings.ReplaceAll(text, "\n", ""),
		"PEM with escapes":           strings.ReplaceAll(text, "\n", `\n`),
		"PEM with CRLF":              strings.ReplaceAll(text, "\n", "\r\n"),
		"PEM with escaped escapes":   strings.ReplaceAll(text, "\n", `\\n`),
		"PEM without its first line": text[strings.Index(text, "\n")+1:],
		"the lines between":          strings.Split(text, "\n")[1],
		"base64 of PEM":              packed,
		"base64 of PEM, marked":      "base64:" + packed,
		"base64 of DER":              base64.StdEncoding.EncodeToString(der),
		"base64url of DER":           base64.RawURLEncoding.EncodeToString(der),
		"the number itself":          base64.RawURLEncoding.EncodeToString(scalar),
		"the number in hex":          hex.EncodeToString(scalar),
		"a data URL":                 "data:application/x-pem-file;base64," + packed,
		"JSON":                       `{"publicKey":"BE","privateKey":"` + base64.RawURLEncoding.EncodeToString(scalar) + `"}`,
		"a certificate":              "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
		"with a prefix":              "./" + text,
	}
}

func TestSecretsAreNotRepeated(t *testing.T) {
	for name, secret := range secrets(t) {
		_, err := Open(secret)
		for _, err := range []error{err, Check(secret)} {
			if _, ok := errors.AsType[*NotANameError](err); !ok {
				t.Errorf("%s: %v", name, err)
				continue
			}
			for i := 0; i+12 <= len(secret); i++ {
				if part := secret[i : i+12]; strings.Contains(err.Error(), part) && !strings.Contains("-----BEGIN PRIVATE KEY-----", part) {
					t.Errorf("%s: the error has %q", name, part)
				}
			}
		}
	}
}

// A mistyped name is repeated, or nobody could find the mistake.
func TestNamesAreRepeated(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{
		"AuthKey_ABC123DEFG.p8", "keys/AuthKey_ABC123DEFG.p8", "push.p12", "key", "/run/secrets/apns_key", "/etc/aviso/api-key",
		"/var/run/secrets/kubernetes.io/serviceaccount/..data/token", "../certs/current/apns.p8", "~/keys/a.pem", `C:\keys\AuthKey.p8`,
		"a file with spaces in its name.p12", "/mnt/1f0c5b7e-3d52-4a8e-9a34-b0a1c2d3e4f5/key.p8", "very-long-name-of-a-certificate-for-production-2026.pem",
		"ключ.p8",
	} {
		if _, err := Open(filepath.Join(dir, name)); err == nil || !strings.Contains(err.Error(), name) && !strings.Contains(name, "..") {
			t.Errorf("%s: %v", name, err)
		}
		if !Quotable(name) {
			t.Errorf("%s is not taken for a name", name)
		}
	}
	// What is there is a name, whatever it looks like.
	odd := filepath.Join(dir, "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg")
	if err := os.WriteFile(odd, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Open(odd)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if err := Check(odd); err != nil {
		t.Error(err)
	}
}
