package cli

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/spf13/pflag"

	"aviso.example/auth"
	"aviso.example/internal/namedfile"
)

// signing says with what a package is signed.
type signing struct {
	cert, passwordFile string
	wwdr               []string
}

func (s *signing) register(flags *pflag.FlagSet) {
	flags.StringVar(&s.cert, "cert", "", "certificate `FILE` with its private key (.p12 or .pem)")
	flags.StringArrayVar(&s.wwdr, "wwdr", nil, "Apple's intermediate certificate `FILE` (.cer or .pem), unless --cert holds it")
	registerPassword(flags, &s.passwordFile)
}

// load reads the certificate, its key, and all intermediates there are.
func (s *signing) load(a *app) (*x509.Certificate, crypto.Signer, []*x509.Certificate, error) {
	if s.cert == "" && a.getenv(certificateVariable) == "" {
		return nil, nil, nil, usage("--cert is missing: packages are signed with a certificate from the developer portal and its private key")
	}
	certificate, err := a.certificate(s.cert, s.passwordFile)
	if err != nil {
		return nil, nil, nil, err
	}
	key, ok := certificate.TLS.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, nil, nil, usage("--cert: its private key cannot sign")
	}
	var above []*x509.Certificate
	for _, der := range certificate.TLS.Certificate[1:] {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, nil, nil, usage("--cert: %w", err)
		}
		above = append(above, c)
	}
	more, err := a.readCertificates("--wwdr", s.wwdr)
	return certificate.TLS.Leaf, key, append(above, more...), err
}

// readCertificates reads files of certificates without keys, DER or PEM, such as
// Apple offers for its root and its intermediates.
func (a *app) readCertificates(flag string, paths []string) (all []*x509.Certificate, err error) {
	for _, path := range paths {
		data, err := a.readFile(path, auth.MaxFileSize)
		if err != nil {
			return nil, usage("%s: %w", flag, err)
		}
		found, err := parseCertificates(data)
		if err != nil {
			return nil, usage("%s: %s: %w", flag, path, err)
		}
		all = append(all, found...)
	}
	return all, nil
}

// readRoots reads certificates to trust besides the usual ones, as one file of PEM.
func readRoots(path string) ([]byte, error) {
	data, err := namedfile.Read(path, maxRoots)
	if err != nil {
		return nil, err
	}
	roots, err := rootsIn(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return roots, nil
}

// maxRoots is far more than all authorities of a system take, in bytes.
const maxRoots = 4 << 20

// rootsIn is readRoots for what is in the file.
func rootsIn(data []byte) ([]byte, error) {
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, errors.New("it is empty")
	}
	all, err := parseCertificates(data)
	var text bytes.Buffer
	for _, c := range all {
		pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}) // which a buffer takes
	}
	return text.Bytes(), err
}

func parseCertificates(data []byte) (all []*x509.Certificate, err error) {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if !bytes.Contains(data, []byte("-----BEGIN")) {
		c, err := x509.ParseCertificate(data)
		if err != nil {
			return nil, errors.New("it holds no certificate, neither DER nor PEM")
		}
		return []*x509.Certificate{c}, nil
	}
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d in it: %w", len(all)+1, err)
		}
		all = append(all, c)
	}
	if len(all) == 0 {
		return nil, errors.New("it holds no certificate")
	}
	return all, nil
}
