package auth

import (
	"testing"
	"time"
)

func BenchmarkMint(b *testing.B) {
	b.ReportAllocs()
	p := testProviderTokens(b, nil)
	now := instantOf(time.Now())
	for b.Loop() {
		if _, err := p.mint(now); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPin is on the path of every request.
func BenchmarkPin(b *testing.B) {
	b.ReportAllocs()
	pin := testProviderTokens(b, nil).Pin()
	for b.Loop() {
		if _, _, err := pin.Token(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseSigningKey(b *testing.B) {
	b.ReportAllocs()
	data := fixture(b, "AuthKey_ABC123DEFG.p8")
	for b.Loop() {
		if _, err := ParseSigningKey(data, testKeyID); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseCertificate(b *testing.B) {
	for _, name := range []string{"apns-both.pem", "keychain-style.p12", "openssl3-chain.p12", "pkcs8-pbes2.pem", "pkcs8-scrypt.pem"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			data := fixture(b, name)
			for b.Loop() {
				if _, err := ParseCertificate(data, fixturePassword); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
