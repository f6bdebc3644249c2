package auth

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"software.sslmate.com/src/go-pkcs12"
)

// Every file that users bring and that is complete must open, and with its key.
func TestParseCertificateVariants(t *testing.T) {
	both := fixture(t, "apns-both.pem")
	type variant struct {
		data     []byte
		password string
		chain    int
	}
	variants := map[string]variant{
		// What transport makes of a file.
		"CRLF":                {bytes.ReplaceAll(both, []byte("\n"), []byte("\r\n")), "", 1},
		"literal \\n":         {bytes.ReplaceAll(both, []byte("\n"), []byte(`\n`)), "", 1},
		"byte order mark":     {append([]byte("\xef\xbb\xbf"), both...), "", 1},
		"indented":            {append([]byte("  "), bytes.ReplaceAll(both, []byte("\n"), []byte("\n  "))...), "", 1},
		"base64 of PEM":       {[]byte(base64.StdEncoding.EncodeToString(both)), "", 1},
		"base64 of .p12":      {[]byte(base64.StdEncoding.EncodeToString(fixture(t, "openssl3.p12"))), fixturePassword, 1},
		".p12 with line end":  {append(fixture(t, "openssl3.p12"), '\n'), fixturePassword, 1},
		"needless password":   {both, "not needed", 1},
		"leaf twice":          {append(bytes.Clone(both), fixture(t, "apns.pem")...), "", 1},
		"with an unused key":  {append(fixture(t, "AuthKey_ABC123DEFG.p8"), both...), "", 1},
		"with root and chain": {append(bytes.Clone(both), fixture(t, "wwdr.pem")...), "", 2},
	}
	for name, chain := range map[string]int{
		"keychain-style.p12": 1, "des.p12": 1, "openssl3.p12": 1, "openssl3-chain.p12": 2, "legacy-chain.p12": 2,
		"sha512.p12": 1, "noenc.p12": 1, "ec.p12": 1,
		"pkcs1-aes256.pem": 1, "pkcs1-3des.pem": 1, "pkcs8-pbes2.pem": 1, "pkcs8-aes128.pem": 1,
		"pkcs8-aes192-sha1.pem": 1, "pkcs8-aes256-sha384.pem": 1, "pkcs8-3des.pem": 1, "pkcs8-scrypt.pem": 1,
		"pkcs8-v1-sha1-3des.pem": 1, "pkcs8-v1-md5-des.pem": 1,
	} {
		variants[name] = variant{fixture(t, name), fixturePassword, chain}
	}
	for name, chain := range map[string]int{
		"openssl3-nopass.p12": 1, "legacy-nopass.p12": 1,
		"apns-both.pem": 1, "apns-key-first-chain.pem": 2, "keychain-export.pem": 1, "passec-parameters.pem": 1, "pkcs1.pem": 1,
	} {
		variants[name] = variant{fixture(t, name), "", chain}
	}
	// What only newer tools write, through the encoder of the library.
	source := must(ParseCertificate(both, ""))
	for name, encoder := range map[string]*pkcs12.Encoder{
		"PBMAC1": pkcs12.Modern2026, "Modern2023": pkcs12.Modern2023, "LegacyRC2": pkcs12.LegacyRC2, "LegacyDES": pkcs12.LegacyDES,
	} {
		for password, label := range map[string]string{fixturePassword: "", "": ", empty password", "grüße, 世界": ", password beyond ASCII"} {
			data := must(encoder.WithRand(rand.Reader).Encode(source.TLS.PrivateKey, source.TLS.Leaf, nil, password))
			variants[name+label] = variant{data, password, 1}
		}
	}
	// As many as careful people ask for, in each of three places.
	careful := must(pkcs12.Modern2026.WithIterations(600_000).Encode(source.TLS.PrivateKey, source.TLS.Leaf, nil, fixturePassword))
	variants["600,000 iterations"] = variant{careful, fixturePassword, 1}
	variants["Passwordless"] = variant{must(pkcs12.Passwordless.Encode(source.TLS.PrivateKey, source.TLS.Leaf, nil, "")), "", 1}

	variants["Passwordless, needless password"] = variant{variants["Passwordless"].data, "not needed", 1}

	for name, v := range variants {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			certificate, err := ParseCertificate(v.data, v.password)
			if err != nil {
				t.Fatal(err)
			}
			if len(certificate.TLS.Certificate) != v.chain {
				t.Errorf("%d certificates to send, want %d", len(certificate.TLS.Certificate), v.chain)
			}
			// The standard library's own check that key and leaf belong together.
			keyDER := must(x509.MarshalPKCS8PrivateKey(certificate.TLS.PrivateKey))
			_, err = tls.X509KeyPair(
				pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.TLS.Certificate[0]}),
				pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
			if err != nil {
				t.Error(err)
			}
			if !certificate.Info.HasKey || !certificate.Info.KeyMatches || certificate.Info.UID == "" {
				t.Errorf("%+v", certificate.Info)
			}
		})
	}
}

func TestParseCertificateRefusals(t *testing.T) {
	p12 := fixture(t, "openssl3.p12")
	indefinite := append([]byte{0x30, 0x80}, p12[4:]...)
	indefinite = append(indefinite, 0, 0)
	for _, test := range []struct {
		name     string
		data     []byte
		password string
		is       error
		want     []string
	}{
		{"empty", nil, "", nil, []string{"it is empty"}},
		{"huge", make([]byte, MaxFileSize+1), "", ErrTooLarge, []string{"larger than 256 KiB"}},
		{".cer", fixture(t, "apns.cer"), "", ErrNoPrivateKey, []string{"without its private key", "Keychain Access", "export it as .p12"}},
		{"certificate in PEM", fixture(t, "apns.pem"), "", ErrNoPrivateKey, []string{"not its private key", ".p12"}},
		{".p12 without key", fixture(t, "nokey.p12"), fixturePassword, ErrNoPrivateKey, []string{"not its private key"}},
		{"old .p12 without key", fixture(t, "nokey-legacy.p12"), fixturePassword, ErrNoPrivateKey, []string{"not its private key"}},
		{".p12 without certificate", fixture(t, "nocert.p12"), fixturePassword, ErrNoCertificate, []string{"a private key and no certificate", "My Certificates"}},
		{"wrong password", p12, "secret!", ErrWrongPassword, []string{"the password does not open it", "not the login password"}},
		{"password with line break", p12, "secret\n", ErrWrongPassword, []string{"a space or a line break"}},
		{"wrong password, old .p12", fixture(t, "keychain-style.p12"), "secret!", ErrWrongPassword, nil},
		{"wrong password, plain bags", fixture(t, "noenc.p12"), "secret!", ErrWrongPassword, nil},
		{"wrong password, no key", fixture(t, "nokey.p12"), "secret!", ErrWrongPassword, nil},
		{"password for an empty one", fixture(t, "openssl3-nopass.p12"), "secret!", ErrWrongPassword, nil},
		{"emoji", p12, "🔑", ErrWrongPassword, []string{"characters that a .p12 file cannot have"}},
		{"no password", p12, "", ErrPasswordRequired, []string{"no password was given"}},
		{"no password, old .p12", fixture(t, "keychain-style.p12"), "", ErrPasswordRequired, nil},
		{"no MAC", fixture(t, "nomac.p12"), fixturePassword, nil, []string{"no integrity check (MAC)", "openssl pkcs12 -in old.p12 -nodes"}},
		{"no MAC and no password", fixture(t, "nomac.p12"), "", nil, []string{"no integrity check (MAC)"}},
		{"MAC of SHA-384", fixture(t, "sha384.p12"), fixturePassword, nil, []string{"cannot be read", "openssl pkcs12 -in old.p12 -nodes"}},
		{"BER", indefinite, fixturePassword, nil, []string{"BER", "openssl pkcs12 -in old.p12 -nodes"}},
		{"cut short", p12[:len(p12)-1], fixturePassword, nil, []string{"cut short"}},
		{"more behind", append(bytes.Clone(p12), p12...), fixturePassword, nil, []string{"neither a key nor a certificate"}},
		{"PEM key without password", fixture(t, "pkcs8-pbes2.pem"), "", ErrPasswordRequired, []string{"private key: it is encrypted"}},
		{"PEM key, wrong password", fixture(t, "pkcs8-pbes2.pem"), "secret!", ErrWrongPassword, nil},
		{"scrypt, wrong password", fixture(t, "pkcs8-scrypt.pem"), "secret!", ErrWrongPassword, nil},
		{"PBES1, wrong password", fixture(t, "pkcs8-v1-sha1-3des.pem"), "secret!", ErrWrongPassword, nil},
		{"traditional, no password", fixture(t, "pkcs1-aes256.pem"), "", ErrPasswordRequired, nil},
		{"traditional, wrong password", fixture(t, "pkcs1-aes256.pem"), "secret!", ErrWrongPassword, nil},
		{"RC2 key", fixture(t, "pkcs8-v1-sha1-rc2.pem"), fixturePassword, nil, []string{"encrypted in a way that is not known", "openssl pkcs8"}},
		{"mismatch", fixture(t, "apns-mismatch.pem"), "", ErrKeyMismatch, []string{"belongs to none of the certificates"}},
		{"signing key", fixture(t, "AuthKey_ABC123DEFG.p8"), "", ErrNoCertificate, []string{"use it as a signing key"}},
		{"RSA key alone", []byte(strings.SplitAfter(string(fixture(t, "pkcs1.pem")), "PRIVATE KEY-----\n")[1]), "", nil, []string{"a private key and no certificate"}},
		{"request", fixture(t, "apns.csr"), "", ErrNoCertificate, []string{"a certificate signing request"}},
		{"public key", fixture(t, "public.pem"), "", ErrNoCertificate, []string{"a public key"}},
		{".p7b", fixture(t, "apns.p7b"), "", ErrNoCertificate, []string{"PKCS#7"}},
		{"damaged PEM", []byte("-----BEGIN CERTIFICATE-----\nMIID\n"), "", nil, []string{"cut short or was edited"}},
		{"damaged certificate", []byte("-----BEGIN CERTIFICATE-----\nMIID\n-----END CERTIFICATE-----\n"), "", nil, []string{"certificate: it cannot be read"}},
		{"Java keystore", []byte("\xfe\xed\xfe\xed\x00\x00\x00\x02"), "", nil, []string{"a Java keystore", "keytool -importkeystore"}},
		{"words", []byte("hello"), "", nil, []string{"neither a key nor a certificate"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := ParseCertificate(test.data, test.password)
			wantError(t, err, test.want...)
			if test.is != nil && !errors.Is(err, test.is) {
				t.Errorf("%v is not %v", err, test.is)
			}
			if _, ok := errors.AsType[*InputError](err); !ok {
				t.Errorf("%T is not an *InputError", err)
			}
			if test.is != ErrPasswordRequired && errors.Is(err, ErrPasswordRequired) || test.is != ErrWrongPassword && errors.Is(err, ErrWrongPassword) {
				t.Errorf("%v blames the password", err)
			}
		})
	}
}

// After a renewal with the old request a file may hold both certificates.
func TestTheCertificateThatLastsLongestIsTaken(t *testing.T) {
	old, key := makeCertificate(t, template{uid: "com.example.app", days: 10})
	renewed, _ := makeCertificate(t, template{uid: "com.example.app", days: 300, key: key})
	for _, order := range [][]*x509.Certificate{{old, renewed}, {renewed, old}} {
		certificate := must(ParseCertificate(encodePEM(t, key, order...), ""))
		if !certificate.TLS.Leaf.Equal(renewed) {
			t.Error("the older one was taken")
		}
		if len(certificate.TLS.Certificate) != 1 {
			t.Error("the older one is sent along")
		}
	}
}

// The first certificate need not be the leaf, in a .p12 as little as elsewhere.
func TestPKCS12LeafIsNotFirst(t *testing.T) {
	source := must(ParseCertificate(fixture(t, "apns-key-first-chain.pem"), ""))
	intermediate := must(x509.ParseCertificate(source.TLS.Certificate[1]))
	data := must(pkcs12.Modern2023.Encode(source.TLS.PrivateKey, intermediate, []*x509.Certificate{source.TLS.Leaf}, fixturePassword))
	certificate := must(ParseCertificate(data, fixturePassword))
	if !certificate.TLS.Leaf.Equal(source.TLS.Leaf) || len(certificate.TLS.Certificate) != 2 {
		t.Errorf("leaf %s, %d certificates", certificate.Info.CommonName, len(certificate.TLS.Certificate))
	}
}

func TestLoadCertificate(t *testing.T) {
	certificate, err := LoadCertificate(filepath.Join("testdata", "openssl3-chain.p12"), fixturePassword)
	if err != nil || certificate.Info.CommonName != "Apple Push Services: com.example.app" {
		t.Fatalf("%v, %v", certificate, err)
	}
	path := filepath.Join("testdata", "apns.cer")
	_, err = LoadCertificate(path, "")
	wantError(t, err, "auth: "+path+": certificate: this is a .cer file")
	if file, ok := errors.AsType[*FileError](err); !ok || file.Path != path || !errors.Is(err, ErrNoPrivateKey) {
		t.Errorf("%#v", err)
	}
	_, err = LoadCertificate(filepath.Join(t.TempDir(), "nowhere.p12"), "")
	if !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}
