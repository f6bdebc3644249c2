package auth

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"aviso.example/internal/cputime"
)

// A file states itself how much work its password is. Years of it must be
// refused in no time, wherever the number hides.
func TestHostileIterations(t *testing.T) {
	const years = 2_000_000_000
	source := must(ParseCertificate(fixture(t, "ec.p12"), fixturePassword))
	pbes2 := func(kdf asn1.ObjectIdentifier, parameters any) pkix.AlgorithmIdentifier {
		aes256 := encryptionSchemes[2].oid
		return pkix.AlgorithmIdentifier{Algorithm: oidPBES2, Parameters: raw(pbes2Parameters{
			KDF:    pkix.AlgorithmIdentifier{Algorithm: kdf, Parameters: raw(parameters)},
			Scheme: pkix.AlgorithmIdentifier{Algorithm: aes256, Parameters: raw(make([]byte, 16))},
		})}
	}
	slow := pbes2(oidPBKDF2, pbkdf2Parameters{Salt: raw([]byte("saltsalt")), Iterations: years})
	slowPBES1 := pkix.AlgorithmIdentifier{Algorithm: oidPBESHA1TripDES, Parameters: raw(pbeParameters{Salt: []byte("saltsalt"), Iterations: years})}
	certificateBags := must(asn1.Marshal([]safeBag{{ID: oidCertificateBag, Value: explicit0(must(asn1.Marshal(certificateBag{ID: oidX509InCertificate, Data: source.TLS.Leaf.Raw})))}}))
	shrouded := func(algorithm pkix.AlgorithmIdentifier) safeBag {
		return safeBag{ID: oidShroudedKeyBag, Value: explicit0(must(asn1.Marshal(encryptedPrivateKeyInfo{algorithm, make([]byte, 160)})))}
	}
	plainSafe := func(bags []byte) contentInfo {
		return contentInfo{Type: oidData, Content: explicit0(must(asn1.Marshal(bags)))}
	}
	cipherSafe := func(algorithm pkix.AlgorithmIdentifier) contentInfo {
		var data encryptedData
		data.Content.Type, data.Content.Algorithm, data.Content.Data = oidData, algorithm, make([]byte, 160)
		return contentInfo{Type: oidEncryptedData, Content: explicit0(must(asn1.Marshal(data)))}
	}
	pemKey := func(algorithm pkix.AlgorithmIdentifier) []byte {
		key := must(asn1.Marshal(encryptedPrivateKeyInfo{algorithm, make([]byte, 160)}))
		return pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: key})
	}
	mac := func(algorithm pkix.AlgorithmIdentifier, iterations int) macData {
		return macData{MAC: digestInfo{Algorithm: algorithm, Digest: make([]byte, 20)}, Salt: []byte("saltsalt"), Iterations: iterations}
	}
	sha1MAC := mac(pkix.AlgorithmIdentifier{Algorithm: oidSHA1, Parameters: asn1.NullRawValue}, 1)
	// Each within the budget, and not together.
	third := pbes2(oidPBKDF2, pbkdf2Parameters{Salt: raw([]byte("saltsalt")), Iterations: 1_000_000})

	for name, data := range map[string][]byte{
		"MAC":        pfxOf(t, mac(sha1MAC.MAC.Algorithm, years), plainSafe(certificateBags)),
		"PBMAC1":     pfxOf(t, mac(pkix.AlgorithmIdentifier{Algorithm: oidPBMAC1, Parameters: slow.Parameters}, 1), plainSafe(certificateBags)),
		"safe":       pfxOf(t, sha1MAC, cipherSafe(slow)),
		"safe PBES1": pfxOf(t, sha1MAC, cipherSafe(slowPBES1)),
		"key bag":    pfxOf(t, sha1MAC, plainSafe(must(asn1.Marshal([]safeBag{shrouded(slow)})))),
		"key PBES1":  pfxOf(t, sha1MAC, plainSafe(must(asn1.Marshal([]safeBag{shrouded(slowPBES1)})))),
		"PEM key":    pemKey(slow),
		"PEM PBES1":  pemKey(slowPBES1),
		"PEM MD5":    pemKey(pkix.AlgorithmIdentifier{Algorithm: oidPBEMD5DES, Parameters: slowPBES1.Parameters}),
		"scrypt N":   pemKey(pbes2(oidScrypt, scryptParameters{Salt: []byte("s"), N: 1 << 40, R: 8, P: 1})),
		"scrypt r":   pemKey(pbes2(oidScrypt, scryptParameters{Salt: []byte("s"), N: 16384, R: 1 << 40, P: 1})),
		"scrypt p":   pemKey(pbes2(oidScrypt, scryptParameters{Salt: []byte("s"), N: 16384, R: 8, P: 1 << 40})),
		"many keys":  bytes.Repeat(pemKey(third), 500),
	} {
		t.Run(name, func(t *testing.T) {
			before := cputime.Used()
			_, err := ParseCertificate(data, fixturePassword)
			// Without a bound each would take minutes at least.
			if elapsed := cputime.Used() - before; elapsed > 30*time.Second {
				t.Errorf("took %v", elapsed)
			}
			if !errors.Is(err, ErrTooExpensive) {
				t.Fatalf("%v is not ErrTooExpensive", err)
			}
			wantError(t, err, "iterations")
			report, err := inspect(name, data, fixturePassword, testNow, &workBudget{left: 100_000})
			if err == nil && report.Usable() {
				t.Error("inspection finds it usable")
			}
		})
	}
}

// Inside an encrypted safe the number is hidden until the safe is open; opening
// it must not set it to work.
func TestHostileIterationsInsideASafe(t *testing.T) {
	source := must(ParseCertificate(fixture(t, "ec.p12"), fixturePassword))
	certificate := safeBag{ID: oidCertificateBag, Value: explicit0(must(asn1.Marshal(certificateBag{ID: oidX509InCertificate, Data: source.TLS.Leaf.Raw})))}
	slow := pkix.AlgorithmIdentifier{Algorithm: oidPBESHA1TripDES, Parameters: raw(pbeParameters{Salt: []byte("saltsalt"), Iterations: 2_000_000_000})}
	hidden := safeBag{ID: oidShroudedKeyBag, Value: explicit0(must(asn1.Marshal(encryptedPrivateKeyInfo{slow, make([]byte, 160)})))}
	for name, bags := range map[string][]safeBag{
		"key first": {hidden, certificate}, "certificate first": {certificate, hidden}, "alone": {hidden},
	} {
		t.Run(name, func(t *testing.T) {
			before := cputime.Used()
			_, err := ParseCertificate(encryptSafe(t, must(asn1.Marshal(bags))), fixturePassword)
			if elapsed := cputime.Used() - before; elapsed > 30*time.Second {
				t.Errorf("took %v", elapsed)
			}
			wantError(t, err, "in the encrypted part for certificates", "openssl pkcs12 -in old.p12 -nodes")
		})
	}
	// The same construction without the hidden bag is an ordinary file without
	// a key, so it is the bag that was refused above.
	_, err := ParseCertificate(encryptSafe(t, must(asn1.Marshal([]safeBag{certificate}))), fixturePassword)
	if !errors.Is(err, ErrNoPrivateKey) {
		t.Error(err)
	}
}

// encryptSafe makes a file with one safe under 3DES, with a MAC that is right.
func encryptSafe(t *testing.T, bags []byte) []byte {
	t.Helper()
	algorithm := pkix.AlgorithmIdentifier{Algorithm: oidPBESHA1TripDES, Parameters: raw(pbeParameters{Salt: []byte("saltsalt"), Iterations: 2048})}
	block, iv, err := pkcs8Cipher(algorithm, fixturePassword)
	if err != nil {
		t.Fatal(err)
	}
	padding := 8 - len(bags)%8
	padded := append(bytes.Clone(bags), bytes.Repeat([]byte{byte(padding)}, padding)...)
	// CBC by hand, since only decryption is needed elsewhere.
	previous := iv
	for at := 0; at < len(padded); at += 8 {
		for i := range 8 {
			padded[at+i] ^= previous[i]
		}
		block.Encrypt(padded[at:at+8], padded[at:at+8])
		previous = padded[at : at+8]
	}
	var data encryptedData
	data.Content.Type, data.Content.Algorithm, data.Content.Data = oidData, algorithm, padded
	safe := contentInfo{Type: oidEncryptedData, Content: explicit0(must(asn1.Marshal(data)))}

	content := must(asn1.Marshal([]contentInfo{safe}))
	salt := []byte("saltsalt")
	sum := hmac.New(sha1.New, pkcs12SHA1(pkcs12ForMAC, bmpPassword(fixturePassword), salt, 1, sha1.Size))
	sum.Write(content)
	return pfxOf(t, macData{
		MAC:  digestInfo{Algorithm: pkix.AlgorithmIdentifier{Algorithm: oidSHA1, Parameters: asn1.NullRawValue}, Digest: sum.Sum(nil)},
		Salt: salt, Iterations: 1,
	}, safe)
}

func raw(value any) asn1.RawValue {
	if value, ok := value.(asn1.RawValue); ok {
		return value
	}
	return asn1.RawValue{FullBytes: must(asn1.Marshal(value))}
}

func pfxOf(t *testing.T, mac macData, safes ...contentInfo) []byte {
	t.Helper()
	content := must(asn1.Marshal(must(asn1.Marshal(safes))))
	return must(asn1.Marshal(pfx{Version: 3, AuthSafe: contentInfo{Type: oidData, Content: explicit0(content)}, MAC: mac}))
}

// Two identities in one .p12, as Keychain Access exports a selection of several.
func TestSeveralKeysInPKCS12(t *testing.T) {
	var bags []safeBag
	for range 2 {
		certificate, key := makeCertificate(t, template{uid: "com.example.app"})
		bags = append(bags,
			safeBag{ID: oidCertificateBag, Value: explicit0(must(asn1.Marshal(certificateBag{ID: oidX509InCertificate, Data: certificate.Raw})))},
			safeBag{ID: oidKeyBag, Value: explicit0(must(x509.MarshalPKCS8PrivateKey(key)))})
	}
	safe := contentInfo{Type: oidData, Content: explicit0(must(asn1.Marshal(must(asn1.Marshal(bags)))))}
	_, err := ParseCertificate(pfxOf(t, macData{}, safe), "")
	wantError(t, err, "several private keys", "select a single certificate")
}

// An absurdly long RSA key would keep the processor busy with checking it.
func TestHugePrivateKey(t *testing.T) {
	number := new(big.Int).Lsh(big.NewInt(1), 200_000)
	number.SetBit(number, 0, 1)
	huge := x509.MarshalPKCS1PrivateKey(&rsa.PrivateKey{
		PublicKey: rsa.PublicKey{N: number, E: 65537}, D: number, Primes: []*big.Int{number, number},
	})
	before := cputime.Used()
	_, err := ParseCertificate(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: huge}), "")
	wantError(t, err, "larger than RSA with 16384 bits")
	if elapsed := cputime.Used() - before; elapsed > 30*time.Second {
		t.Errorf("took %v", elapsed)
	}
	// RSA with 4096 bits is within reason, also inside a .p12.
	if testing.Short() {
		return
	}
	key := must(rsa.GenerateKey(rand.Reader, 4096))
	leaf := must(ParseCertificate(fixture(t, "ec.p12"), fixturePassword)).TLS.Leaf
	self := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: leaf.Subject}
	der := must(x509.CreateCertificate(rand.Reader, self, self, key.Public(), key))
	data := must(pkcs12.Modern2023.Encode(key, must(x509.ParseCertificate(der)), nil, fixturePassword))
	if info := must(ParseCertificate(data, fixturePassword)).Info; info.KeyType != "RSA 4096" {
		t.Error(info.KeyType)
	}
}

// Truncation at every byte and a flipped bit in every byte: an error or, where
// the byte did not matter, a result; never a panic, never long.
func TestDamageAtEveryByte(t *testing.T) {
	files := map[string][]byte{}
	for _, name := range []string{
		"AuthKey_ABC123DEFG.p8", "sec1.p8", "apns.cer", "ec.p12", "keychain-style.p12", "openssl3-chain.p12", "noenc.p12", "nokey.p12",
		"passec-parameters.pem", "pkcs1-3des.pem", "pkcs8-pbes2.pem", "pkcs8-v1-sha1-3des.pem", "apns.csr", "apns.p7b",
	} {
		files[name] = fixture(t, name)
	}
	// One iteration is as much structure as thousands, and cheap enough to open
	// at every byte.
	source := must(ParseCertificate(fixture(t, "ec.p12"), fixturePassword))
	for name, encoder := range map[string]*pkcs12.Encoder{"rc2.p12": pkcs12.LegacyRC2, "pbes2.p12": pkcs12.Modern2023, "pbmac1.p12": pkcs12.Modern2026} {
		files[name] = must(encoder.WithIterations(1).Encode(source.TLS.PrivateKey, source.TLS.Leaf, nil, fixturePassword))
	}
	for name, whole := range files {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			try := func(at int, data []byte, cut bool) {
				budget := func() *workBudget {
					if at%61 == 0 {
						return &workBudget{left: 50_000}
					}
					return &workBudget{left: 100}
				}
				certificate, err := parseCertificate(data, fixturePassword, budget())
				if err == nil && (certificate.TLS.PrivateKey == nil || certificate.TLS.Leaf == nil) {
					t.Fatalf("at %d: a certificate without its parts", at)
				}
				if err == nil && cut && strings.HasSuffix(name, ".p12") {
					t.Fatalf("%d of %d bytes open", len(data), len(whole))
				}
				key, err := ParseSigningKey(data, testKeyID)
				if err == nil && key.key == nil {
					t.Fatalf("at %d: a signing key without its key", at)
				}
				if at%5 != 0 {
					return // the same reader, and reading RSA keys takes its time
				}
				if report, err := inspect(name, data, fixturePassword, testNow, budget()); (report == nil) == (err == nil) {
					t.Fatalf("at %d: report %v, error %v", at, report, err)
				}
			}
			for at := range whole {
				try(at, whole[:at], true)
				damaged := bytes.Clone(whole)
				damaged[at] ^= 1 << (at % 8)
				try(at, damaged, false)
			}
		})
	}
}
