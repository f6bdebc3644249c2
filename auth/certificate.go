package auth

import "crypto/tls"

// Certificate is a client certificate with its private key, ready for TLS, and
// what it says about itself. It prints without the key.
type Certificate struct {
	// TLS goes into tls.Config.Certificates. It holds the private key.
	TLS tls.Certificate
	// Info says what the certificate can be used for.
	Info CertificateInfo
}

// LoadCertificate reads a file as [ParseCertificate] does. Errors are
// [*FileError].
func LoadCertificate(path, password string) (*Certificate, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, err
	}
	certificate, err := ParseCertificate(data, password)
	if err != nil {
		return nil, &FileError{Path: path, Err: err}
	}
	return certificate, nil
}

// ParseCertificate reads a certificate with its private key. The content, not a
// file name, decides what it is:
//
//   - PKCS#12 (.p12, .pfx) as Keychain Access, every openssl and Java write it.
//   - PEM with certificate and key in any order, with or without the chain, with
//     text between the blocks, the key plain or encrypted: PKCS#8 with PBES2
//     (PBKDF2 or scrypt, AES or 3DES) or PBES1 (3DES, DES), or traditional with
//     a Proc-Type header.
//   - Either of them in base64, as secrets are stored in CI systems.
//
// The leaf is the certificate that belongs to the key; intermediates are sent
// along, roots are not. Neither dates nor layout are a reason to refuse: an
// expired or unusual certificate is for the caller, who has Info, and for APNs
// to judge.
//
// The password is ignored where nothing is encrypted. Errors are [*InputError]
// and match, where it applies, ErrPasswordRequired, ErrWrongPassword,
// ErrNoPrivateKey, ErrNoCertificate, ErrKeyMismatch, ErrTooLarge or
// ErrTooExpensive.
func ParseCertificate(data []byte, password string) (*Certificate, error) {
	return parseCertificate(data, password, newBudget())
}

func parseCertificate(data []byte, password string, budget *workBudget) (*Certificate, error) {
	m, err := readMaterial(data, password, budget)
	if err != nil {
		return nil, err
	}
	key, leaf := m.identity()
	if leaf == nil {
		return nil, m.whyNoIdentity()
	}
	certificate := &Certificate{
		TLS: tls.Certificate{
			Certificate: [][]byte{leaf.Raw},
			PrivateKey:  key,
			Leaf:        leaf,
		},
		Info: inspectCertificate(leaf),
	}
	certificate.Info.HasKey = true
	certificate.Info.KeyMatches = true
	for _, intermediate := range m.chainOf(leaf) {
		certificate.TLS.Certificate = append(certificate.TLS.Certificate, intermediate.Raw)
	}
	return certificate, nil
}

// whyNoIdentity turns what is missing into a sentence.
func (m *material) whyNoIdentity() error {
	switch {
	case m.keyErr != nil:
		return m.keyErr
	case len(m.certificates) == 0 && len(m.keys) > 0:
		e := &InputError{
			Field:   "certificate",
			Problem: "the file holds a private key and no certificate",
			Fix:     "put certificate and key into one .pem, or export a .p12 with both",
			Err:     ErrNoCertificate,
		}
		if keyType(m.keys[0].Public()) == "EC P-256" {
			e.Fix = "if it is a .p8 file from the developer portal, use it as a signing key; otherwise " + e.Fix
		}
		return e
	case len(m.certificates) == 0:
		return &InputError{
			Field:   "certificate",
			Problem: "this is " + m.other + ", not a certificate with its private key",
			Fix:     "give the .p12 exported from Keychain Access, or a .pem with certificate and key",
			Err:     ErrNoCertificate,
		}
	case len(m.keys) == 0:
		problem := "the file holds a certificate and not its private key"
		if m.format == "DER" {
			problem = "this is a .cer file as Apple's portal offers it: a certificate without its private key, which never left the machine that made the request"
		}
		return &InputError{
			Field:   "certificate",
			Problem: problem,
			Fix:     exportAdvice,
			Err:     ErrNoPrivateKey,
		}
	default:
		return &InputError{
			Field:   "certificate",
			Problem: "the private key belongs to none of the certificates in the file",
			Fix:     "find the key with which the request was made; " + exportAdvice,
			Err:     ErrKeyMismatch,
		}
	}
}
