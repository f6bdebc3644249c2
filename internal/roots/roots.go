// Package roots adds certificates to those that are trusted.
package roots

import (
	"bytes"
	"crypto/x509"
)

// Add adds certificates to a pool, in PEM, also with a byte order mark before it, or in
// DER, and reports whether there was one.
func Add(pool *x509.CertPool, certificates []byte) bool {
	if pool.AppendCertsFromPEM(bytes.TrimPrefix(certificates, []byte("\xef\xbb\xbf"))) {
		return true
	}
	list, err := x509.ParseCertificates(certificates)
	for _, c := range list {
		pool.AddCert(c)
	}
	return err == nil && len(list) > 0
}
