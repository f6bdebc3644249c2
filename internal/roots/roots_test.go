package roots

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"testing"
	"time"
)

func TestAdd(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	text := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	for name, test := range map[string]struct {
		data string
		want bool
	}{
		"PEM": {text, true}, "with a mark": {"\xef\xbb\xbf" + text, true}, "DER": {string(der), true}, "two in DER": {string(der) + string(der), true},
		"nothing": {"", false}, "a file name": {"ca.pem", false}, "half of DER": {string(der[:20]), false},
	} {
		pool := x509.NewCertPool()
		if got := Add(pool, []byte(test.data)); got != test.want || got == pool.Equal(x509.NewCertPool()) {
			t.Errorf("%s: %v", name, got)
		}
	}
}
