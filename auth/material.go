package auth

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"slices"
)

// exportAdvice is what nearly everybody has to do who uploads the wrong file.
const exportAdvice = "on the Mac that made the request open Keychain Access, My Certificates, select the certificate with the key below it, and export it as .p12"

// material is everything that a file turned out to hold.
type material struct {
	format       string // "PKCS#12", "PEM", "DER"
	certificates []*x509.Certificate
	keys         []crypto.Signer
	// keyErr is why the first private key that cannot be used cannot; nil if all
	// can.
	keyErr    error
	encrypted bool   // a password protects the private key
	other     string // what else it is, if it holds neither
}

// maxPEMKeys bounds how many private keys of one file are read: each costs the
// arithmetic of checking it.
const maxPEMKeys = 16

// readMaterial takes a file apart. It fails only if nothing at all can be said
// about it; a key that cannot be used is noted in keyErr.
func readMaterial(data []byte, password string, budget *workBudget) (*material, error) {
	if err := checkSize(data); err != nil {
		return nil, err
	}
	data = unwrap(data)
	if bytes.HasPrefix(data, []byte("\xfe\xed\xfe\xed")) || bytes.HasPrefix(data, []byte("\xce\xce\xce\xce")) {
		return nil, &InputError{
			Field:   "file",
			Problem: "it is a Java keystore",
			Fix:     "make a .p12 of it: keytool -importkeystore -srckeystore old.jks -destkeystore new.p12 -deststoretype PKCS12",
		}
	}
	if isPEM(data) {
		return readPEM(data, password, budget)
	}
	return readDER(data, password, budget)
}

func readPEM(data []byte, password string, budget *workBudget) (*material, error) {
	m := &material{format: "PEM"}
	blocks := 0
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		blocks++
		switch block.Type {
		case "EC PARAMETERS":
			// openssl names the curve before an EC key; the key repeats it.
		case "CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE":
			certificate, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, damagedCertificate(err)
			}
			m.addCertificate(certificate)
		case "PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY":
			if len(m.keys) >= maxPEMKeys {
				return nil, &InputError{
					Field:   "file",
					Problem: "it holds more than 16 private keys",
					Fix:     "keep one identity in one file",
					Err:     ErrTooLarge,
				}
			}
			key, err := readPEMKey(block, password, budget, m)
			if err != nil {
				if errors.Is(err, ErrTooExpensive) {
					// The budget is for the whole file, so the rest has none; and
					// this is the reason to tell, whatever failed before.
					m.keyErr = err
					return m, nil
				}
				if m.keyErr == nil {
					m.keyErr = err
				}
				continue
			}
			m.keys = append(m.keys, key)
		default:
			m.other = describePEM(block.Type)
		}
	}
	if blocks == 0 {
		return nil, damagedPEM("file")
	}
	return m, nil
}

func readPEMKey(block *pem.Block, password string, budget *workBudget, m *material) (crypto.Signer, error) {
	switch {
	case block.Type == "ENCRYPTED PRIVATE KEY":
		m.encrypted = true
		return decryptPKCS8(block.Bytes, password, budget)
	case block.Headers["DEK-Info"] != "":
		m.encrypted = true
		return decryptPEMKey(block, password)
	default:
		key, err := parsePrivateKey(block.Bytes)
		if err != nil {
			return nil, damagedKey(err)
		}
		return key, nil
	}
}

func readDER(data []byte, password string, budget *workBudget) (*material, error) {
	m := &material{format: "DER"}
	switch kind := kindOfDER(data); kind {
	case derPKCS12:
		m.format = "PKCS#12"
		contents, err := readPKCS12(data, password, budget)
		if err != nil {
			return nil, err
		}
		for _, certificate := range contents.certificates {
			m.addCertificate(certificate)
		}
		if contents.key != nil {
			m.keys = append(m.keys, contents.key)
		}
		m.encrypted = contents.encrypted
		return m, nil
	case derCertificate:
		outer, _ := outerElement(data)
		certificate, err := x509.ParseCertificate(outer.FullBytes)
		if err != nil {
			return nil, damagedCertificate(err)
		}
		m.addCertificate(certificate)
		return m, nil
	case derPrivateKey, derEncryptedKey:
		outer, _ := outerElement(data)
		block := &pem.Block{Type: "PRIVATE KEY", Bytes: outer.FullBytes}
		if kind == derEncryptedKey {
			block.Type = "ENCRYPTED PRIVATE KEY"
		}
		key, err := readPEMKey(block, password, budget, m)
		if err != nil {
			m.keyErr = err
			return m, nil
		}
		m.keys = append(m.keys, key)
		return m, nil
	case derIndefinite:
		return nil, &InputError{
			Field:   "file",
			Problem: "it is in BER encoding with lengths left open, where DER is needed",
			Fix:     convertAdvice,
		}
	case derTruncated:
		return nil, &InputError{
			Field:   "file",
			Problem: "it is cut short: its first bytes announce more than there is",
			Fix:     "copy it again, in binary mode",
		}
	case derUnknown:
		return nil, &InputError{
			Field:   "file",
			Problem: "it is neither a key nor a certificate",
			Fix:     "give a .p8, .p12, .pem or .cer file",
		}
	default:
		m.other = kind.String()
		return m, nil
	}
}

// addCertificate leaves out what is there already: files that were put together
// by hand often have the leaf twice.
func (m *material) addCertificate(certificate *x509.Certificate) {
	if !slices.ContainsFunc(m.certificates, certificate.Equal) {
		m.certificates = append(m.certificates, certificate)
	}
}

func damagedCertificate(err error) error {
	return &InputError{
		Field:   "certificate",
		Problem: "it cannot be read (" + err.Error() + ")",
		Fix:     "download or export it again",
		Err:     err,
	}
}

// identity picks the key and the certificate that belong together. If one key
// has several certificates, as after a renewal with the old request, the one
// that expires last is taken.
func (m *material) identity() (crypto.Signer, *x509.Certificate) {
	for _, key := range m.keys {
		var leaf *x509.Certificate
		for _, certificate := range m.certificates {
			if publicKeysEqual(certificate.PublicKey, key.Public()) &&
				(leaf == nil || certificate.NotAfter.After(leaf.NotAfter)) {
				leaf = certificate
			}
		}
		if leaf != nil {
			return key, leaf
		}
	}
	return nil, nil
}

// likelyLeaf is the certificate to talk about when no key decides: the first one
// that is not an authority, or the first.
func (m *material) likelyLeaf() *x509.Certificate {
	for _, certificate := range m.certificates {
		if !certificate.IsCA {
			return certificate
		}
	}
	if len(m.certificates) > 0 {
		return m.certificates[0]
	}
	return nil
}

// chainOf returns the certificates between leaf and root in the order in which
// TLS sends them (RFC 8446 section 4.4.2). The root is left out, since the peer
// trusts its own copy or none.
func (m *material) chainOf(leaf *x509.Certificate) []*x509.Certificate {
	var chain []*x509.Certificate
	for current := leaf; ; {
		next := slices.IndexFunc(m.certificates, func(candidate *x509.Certificate) bool {
			return candidate.IsCA && candidate != current && !slices.Contains(chain, candidate) &&
				string(candidate.RawSubject) == string(current.RawIssuer) &&
				// All of Apple's intermediates have one name; the key
				// identifiers tell them apart.
				(len(current.AuthorityKeyId) == 0 || len(candidate.SubjectKeyId) == 0 ||
					string(candidate.SubjectKeyId) == string(current.AuthorityKeyId)) &&
				string(candidate.RawSubject) != string(candidate.RawIssuer)
		})
		if next < 0 {
			return chain
		}
		current = m.certificates[next]
		chain = append(chain, current)
	}
}
