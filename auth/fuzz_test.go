package auth

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The fuzz targets give each input a small budget, so that the fuzzer looks for
// mistakes instead of waiting for key derivation; that the real budget holds is
// tested in hostile_test.go.
func fuzzBudget() *workBudget { return &workBudget{left: 20_000} }

func addFixtures(f *testing.F, add func(name string, data []byte)) {
	for _, name := range fixtures(f) {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		add(name, data)
	}
}

func FuzzParseSigningKey(f *testing.F) {
	addFixtures(f, func(_ string, data []byte) { f.Add(data) })
	plain := fixture(f, "AuthKey_ABC123DEFG.p8")
	f.Add(bytes.ReplaceAll(plain, []byte("\n"), []byte(`\n`)))
	f.Add(append([]byte("\xef\xbb\xbf"), plain...))
	f.Fuzz(func(t *testing.T, data []byte) {
		key, err := ParseSigningKey(data, testKeyID)
		if err != nil {
			if _, ok := errors.AsType[*InputError](err); !ok {
				t.Fatalf("%T", err)
			}
			return
		}
		// What was read can be written and read again.
		again, err := ParseSigningKey(key.PEM(), testKeyID)
		if err != nil || !again.Public().Equal(key.Public()) {
			t.Fatalf("the round trip failed: %v", err)
		}
	})
}

func FuzzParseCertificate(f *testing.F) {
	addFixtures(f, func(_ string, data []byte) {
		f.Add(data, fixturePassword)
		f.Add(data, "")
	})
	f.Fuzz(func(t *testing.T, data []byte, password string) {
		certificate, err := parseCertificate(data, password, fuzzBudget())
		if err != nil {
			if _, ok := errors.AsType[*InputError](err); !ok {
				t.Fatalf("%T", err)
			}
			return
		}
		if !certificate.Info.KeyMatches || len(certificate.TLS.Certificate) == 0 || certificate.TLS.PrivateKey == nil {
			t.Fatal("half a certificate")
		}
	})
}

func FuzzInspect(f *testing.F) {
	addFixtures(f, func(name string, data []byte) {
		f.Add(name, data, fixturePassword)
		f.Add(name, data, "")
	})
	f.Fuzz(func(t *testing.T, name string, data []byte, password string) {
		report, err := inspect(name, data, password, testNow, fuzzBudget())
		if (report == nil) == (err == nil) {
			t.Fatalf("report %v, error %v", report, err)
		}
		if err != nil {
			return
		}
		if report.What == "" || !report.Usable() && len(report.Findings) == 0 {
			t.Fatalf("a report that says nothing: %+v", report)
		}
		// What the report calls usable must open.
		if report.Certificate != nil && report.Usable() {
			if _, err := parseCertificate(data, password, fuzzBudget()); err != nil {
				t.Fatalf("usable, but %v", err)
			}
		}
		if report.SigningKey != nil && report.Usable() && !strings.Contains(report.What, "signing key") {
			t.Fatal(report.What)
		}
	})
}
