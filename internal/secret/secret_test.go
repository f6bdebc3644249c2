package secret

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf16"
)

// keys are files that people have, and the text that must not get out of each.
func keys(t *testing.T) map[string]string {
	t.Helper()
	must := func(der []byte, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	block := func(label string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: label, Bytes: der}))
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	old, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "x"}, NotAfter: time.Now().Add(time.Hour)}
	certificate := must(x509.CreateCertificate(rand.Reader, template, template, ec.Public(), ec))
	large := must(x509.CreateCertificate(rand.Reader, template, template, old.Public(), old))
	return map[string]string{
		PrivateKey + " p8":      block("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(ec))),
		PrivateKey + " sec1":    block("EC PRIVATE KEY", must(x509.MarshalECPrivateKey(ec))),
		PrivateKey + " rsa":     block("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(old))),
		PrivateKey + " pkcs1":   block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(old)),
		PrivateKey + " ed25519": block("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(edwards))),
		Certificate + " ec":     block("CERTIFICATE", certificate),
		Certificate + " rsa":    block("CERTIFICATE", large),
		Both + " one file":      block("CERTIFICATE", large) + block("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(old))),
		PublicKey + " ec":       block("PUBLIC KEY", must(x509.MarshalPKIXPublicKey(ec.Public()))),
	}
}

// wrappings are what a file goes through on its way into an environment variable, a
// shell, a pipeline or a chat.
var wrappings = map[string]func(string) string{
	"as it is":        func(s string) string { return s },
	"literal \\n":     func(s string) string { return strings.ReplaceAll(s, "\n", `\n`) },
	"literal \\\\n":   func(s string) string { return strings.ReplaceAll(s, "\n", `\\n`) },
	"literal \\r\\n":  func(s string) string { return strings.ReplaceAll(s, "\n", `\r\n`) },
	"spaces":          func(s string) string { return strings.ReplaceAll(s, "\n", " ") },
	"semicolons":      func(s string) string { return strings.ReplaceAll(s, "\n", "; ") },
	"one line":        func(s string) string { return strings.ReplaceAll(s, "\n", "") },
	"quoted":          func(s string) string { return strconv.Quote(s) },
	"br":              func(s string) string { return strings.ReplaceAll(s, "\n", "<br>") },
	"%0A":             func(s string) string { return strings.ReplaceAll(s, "\n", "%0A") },
	"URL":             url.QueryEscape,
	"URL path":        url.PathEscape,
	"em dashes":       func(s string) string { return strings.ReplaceAll(s, "-----", "—") },
	"no-break spaces": func(s string) string { return strings.ReplaceAll(s, "PRIVATE KEY", "PRIVATE\u00a0KEY") },
	"zero width":      func(s string) string { return "\u200b" + strings.ReplaceAll(s, "\n", "\n\u200b") },
	"indented":        func(s string) string { return strings.ReplaceAll(s, "\n", "\n    ") },
	"BOM":             func(s string) string { return "\ufeff" + s },
	"first line lost": func(s string) string { _, rest, _ := strings.Cut(s, "\n"); return rest },
	"body alone":      body,
	"body, one line":  func(s string) string { return strings.ReplaceAll(body(s), "\n", "") },
	"base64":          func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
	"base64, url":     func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) },
	"base64 twice": func(s string) string {
		return base64.StdEncoding.EncodeToString([]byte(base64.StdEncoding.EncodeToString([]byte(s))))
	},
	"base64 of UTF-16": func(s string) string { return base64.StdEncoding.EncodeToString(utf16le(s, "")) },
	"base64 of UTF-16 with BOM": func(s string) string {
		return base64.StdEncoding.EncodeToString(utf16le(s, "\ufeff"))
	},
	"data URL": func(s string) string {
		return "data:application/x-pem-file;base64," + base64.StdEncoding.EncodeToString([]byte(s))
	},
	"hex": func(s string) string { b, _ := pem.Decode([]byte(s)); return hex.EncodeToString(b.Bytes) },
	"a path before it": func(s string) string {
		return "open /etc/aviso/" + s + ": no such file or directory"
	},
	"a path before base64": func(s string) string {
		return "open /etc/aviso/" + base64.StdEncoding.EncodeToString([]byte(s)) + ": file name too long"
	},
	"a flag before it": func(s string) string { return "unknown flag: 'L' in -" + base64.StdEncoding.EncodeToString([]byte(s)) },
	"in JSON":          func(s string) string { return fmt.Sprintf(`{"type":"service_account","private_key":%q}`, s) },
}

func body(s string) string {
	b, _ := pem.Decode([]byte(s))
	text := string(pem.EncodeToMemory(&pem.Block{Type: "X", Bytes: b.Bytes}))
	return strings.TrimSuffix(strings.TrimPrefix(text, "-----BEGIN X-----\n"), "-----END X-----\n")
}

func utf16le(s, before string) []byte {
	var out []byte
	for _, unit := range utf16.Encode([]rune(before + s)) {
		out = append(out, byte(unit), byte(unit>>8))
	}
	return out
}

// Whatever a key or certificate was wrapped in, it is recognised, and nothing of it
// stays in a text that is to be shown.
func TestWhatAndHide(t *testing.T) {
	for name, file := range keys(t) {
		for wrapping, wrap := range wrappings {
			t.Run(name+"/"+wrapping, func(t *testing.T) {
				given := wrap(file)
				if what := What(given); what == "" {
					t.Fatalf("not recognised: %s", given)
				} else if wrapping == "as it is" && !strings.HasPrefix(name, what+" ") {
					t.Errorf("recognised as %s", what)
				}
				shown := Hide("apps.shop.key: " + given + ": no such file")
				// The wrappings keep runs of letters, so a run of the input shows a leak.
				for i := 40; i+12 <= len(given); i += 4 {
					if part := given[i : i+12]; !strings.Contains("open /etc/aviso/: no such file or directory unknown flag: 'L' in - {\"type\":\"service_account\",\"private_key\": data:application/x-pem-file;base64,", part) && strings.Contains(shown, part) {
						t.Fatalf("%q is in %q", part, shown)
					}
				}
			})
		}
	}
	for _, given := range []string{
		"eyJhbGciOiJFUzI1NiIsImtpZCI6IkFCQzEyM0RFRkcifQ.eyJpc3MiOiJBMUIyQzNENEU1IiwiaWF0IjoxfQ.MEUCIQDxSDFGSDFGsdfgsdfgsdfgsdfg",
		"-----BEGIN NATS USER JWT-----\nZXhhbXBsZSBvZiBhIGp3dCB0aGF0IGlzIG5vbmU\n------END NATS USER JWT------",
	} {
		if What(given) == "" || strings.Contains(Hide(given), given[40:52]) {
			t.Errorf("%q: %q, %q", given, What(given), Hide(given))
		}
	}
}

// What only speaks of keys, and what people call their files, is left as it is.
func TestHarmless(t *testing.T) {
	for _, text := range []string{
		"give the AuthKey_<key id>.p8 file from the developer portal, which begins with -----BEGIN PRIVATE KEY-----",
		"it has to contain -----BEGIN CERTIFICATE-----, not a file name",
		"there is a -----BEGIN line, and no complete PEM block after it; copy it again, with the -----END line",
		"the private key belongs to none of the certificates in the file",
		"a0b1c2d3e4f5061728394a5b6c7d8e9fa0b1c2d3e4f5061728394a5b6c7d8e9f",
		"3082a1b2c3d4e5f6a0b1c2d3e4f5061728394a5b6c7d8e9fa0b1c2d3e4f50617",
		"0190e8f2-6f3a-7c3e-9b1d-2f0a4c5d6e7f", "msg_068uhsjfacu3sc8v6l7m3b8mfs",
	} {
		if got := Hide(text); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
}

func FuzzHide(f *testing.F) {
	f.Add("open /etc/MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg")
	f.Add("-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEG")
	f.Add("LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0t")
	f.Fuzz(func(t *testing.T, text string) {
		hidden := Hide(text)
		if again := Hide(hidden); again != hidden {
			t.Errorf("%q is hidden as %q, and that as %q", text, hidden, again)
		}
	})
}
