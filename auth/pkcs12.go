package auth

import (
	"crypto"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"slices"
	"strings"

	"software.sslmate.com/src/go-pkcs12"
)

// A PKCS#12 file (RFC 7292) is a list of safes, each plain or encrypted, each
// with bags in it, each a certificate or a key that may be encrypted once more;
// a MAC over everything proves the password. go-pkcs12 does the reading. This
// file does what it leaves open:
//
//   - How much computing the file asks for is added up before any is done. A
//     bag inside an encrypted safe hides its number until the safe is open, so
//     the safe is opened once by itself (see openSafe), in a way that cannot
//     touch a key bag.
//   - A file with certificates and no key yields its certificates, so that an
//     inspection has something to say. go-pkcs12 gives them only with a key.
//   - Errors that say what to do.

// convertAdvice works for everything that openssl opens, which is more than can
// be opened here.
const convertAdvice = "convert it and use the result: openssl pkcs12 -in old.p12 -nodes -out credential.pem (add -legacy if openssl asks for it)"

var (
	oidData              = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	oidEncryptedData     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 6}
	oidSHA1              = asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}
	oidKeyBag            = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 10, 1, 1}
	oidShroudedKeyBag    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 10, 1, 2}
	oidCertificateBag    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 10, 1, 3}
	oidX509InCertificate = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 22, 1}
)

type pfx struct {
	Version  int
	AuthSafe contentInfo
	MAC      macData `asn1:"optional"`
}

type contentInfo struct {
	Type    asn1.ObjectIdentifier
	Content asn1.RawValue `asn1:"tag:0,explicit,optional"`
}

type macData struct {
	MAC        digestInfo
	Salt       []byte
	Iterations int `asn1:"optional,default:1"`
}

type digestInfo struct {
	Algorithm pkix.AlgorithmIdentifier
	Digest    []byte
}

type encryptedData struct {
	Version int
	Content struct {
		Type      asn1.ObjectIdentifier
		Algorithm pkix.AlgorithmIdentifier
		Data      []byte `asn1:"tag:0,optional"`
	}
}

type safeBag struct {
	ID         asn1.ObjectIdentifier
	Value      asn1.RawValue   `asn1:"tag:0,explicit"`
	Attributes []asn1.RawValue `asn1:"set,optional"`
}

type certificateBag struct {
	ID   asn1.ObjectIdentifier
	Data []byte `asn1:"tag:0,explicit"`
}

// pkcs12Survey is what can be known without the password.
type pkcs12Survey struct {
	hasMAC    bool
	keys      int                 // key bags in plain safes
	shrouded  bool                // one of them is encrypted
	plain     []*x509.Certificate // certificates in plain safes
	encrypted []contentInfo
}

// pkcs12Contents is what readPKCS12 found. key is nil if the file has none.
type pkcs12Contents struct {
	key          crypto.Signer
	certificates []*x509.Certificate
	encrypted    bool // the private key, if there is one
}

// readPKCS12 reads a file with at least one certificate, with or without a key.
func readPKCS12(data []byte, password string, budget *workBudget) (*pkcs12Contents, error) {
	outer, _ := outerElement(data)
	if outer == nil {
		return nil, unreadablePKCS12(errors.New("it does not hold together"))
	}
	data = outer.FullBytes

	survey, err := surveyPKCS12(data, budget)
	if err != nil {
		return nil, err
	}
	// Without a MAC the library takes the empty password only: fine for a file
	// that protects nothing, or whose password is empty.
	var noMAC error
	if !survey.hasMAC {
		if survey.shrouded || len(survey.encrypted) > 0 {
			noMAC = &InputError{
				Field:   "certificate",
				Problem: "the .p12 file has no integrity check (MAC), so a password cannot be checked",
				Fix:     "export it again without -nomac, or " + convertAdvice,
			}
			if password != "" {
				return nil, noMAC
			}
		}
		password = ""
	}
	if survey.keys > 1 {
		return nil, &InputError{
			Field:   "certificate",
			Problem: "the .p12 file holds several private keys",
			Fix:     "export one identity: in Keychain Access select a single certificate with its key, then Export",
		}
	}

	certificates := survey.plain
	opened := true
	for _, safe := range survey.encrypted {
		inside, err := openSafe(safe, password)
		if errors.Is(err, errKeyInSafe) {
			return nil, &InputError{
				Field:   "certificate",
				Problem: "the .p12 file keeps its private key in the encrypted part for certificates, which no usual tool does",
				Fix:     convertAdvice,
			}
		}
		if err != nil {
			// DecodeChain fails at the same place, after it has checked the
			// password and hence with the better error.
			opened = false
			break
		}
		certificates = append(certificates, inside...)
	}

	key, leaf, chain, err := pkcs12.DecodeChain(data, password)
	if err == nil {
		signer, ok := key.(crypto.Signer)
		if !ok {
			return nil, damagedKey(errors.New("it is a key for key agreement"))
		}
		return &pkcs12Contents{key: signer, certificates: append([]*x509.Certificate{leaf}, chain...), encrypted: survey.shrouded}, nil
	}
	if opened && survey.keys == 0 && len(certificates) > 0 {
		return &pkcs12Contents{certificates: certificates}, nil
	}
	if noMAC != nil {
		return nil, noMAC
	}
	return nil, explainPKCS12(err, password)
}

func explainPKCS12(err error, password string) error {
	text := err.Error()
	switch {
	case errors.Is(err, pkcs12.ErrIncorrectPassword), errors.Is(err, pkcs12.ErrDecryption),
		strings.Contains(text, "decryption error, incorrect padding"):
		if password == "" {
			return passwordRequired("certificate")
		}
		return wrongPassword("certificate", password)
	case strings.HasSuffix(text, "certificate missing"):
		return &InputError{
			Field:   "certificate",
			Problem: "the .p12 file holds a private key and no certificate",
			Fix:     "export the certificate together with its key: in Keychain Access select the certificate, not the key, under My Certificates",
			Err:     ErrNoCertificate,
		}
	case strings.Contains(text, "UCS-2"):
		return &InputError{
			Field:   "certificate",
			Problem: "the password has characters that a .p12 file cannot have, such as an emoji",
			Fix:     "check the password, or give the file another one: openssl pkcs12 -in old.p12 -out both.pem, and then openssl pkcs12 -export -in both.pem -out new.p12",
			Err:     ErrWrongPassword,
		}
	default:
		return unreadablePKCS12(err)
	}
}

func unreadablePKCS12(err error) error {
	return &InputError{
		Field:   "certificate",
		Problem: "the .p12 file cannot be read (" + strings.TrimPrefix(err.Error(), "pkcs12: ") + ")",
		Fix:     "export it again, or " + convertAdvice,
		Err:     err,
	}
}

// surveyPKCS12 walks everything that is not encrypted and spends the budget for
// all that DecodeChain and openSafe are going to derive.
func surveyPKCS12(data []byte, budget *workBudget) (*pkcs12Survey, error) {
	var file pfx
	if !unmarshalAll(data, &file) || !file.AuthSafe.Type.Equal(oidData) {
		return nil, unreadablePKCS12(errors.New("it is damaged, or signed instead of protected by a password"))
	}
	var content []byte
	var safes []contentInfo
	if !unmarshalAll(file.AuthSafe.Content.Bytes, &content) || !unmarshalAll(content, &safes) {
		return nil, unreadablePKCS12(errors.New("its list of safes is damaged, or in BER encoding"))
	}

	survey := &pkcs12Survey{hasMAC: len(file.MAC.MAC.Algorithm.Algorithm) > 0}
	if survey.hasMAC {
		work := derivationWork(file.MAC.MAC.Algorithm)
		if !file.MAC.MAC.Algorithm.Algorithm.Equal(oidPBMAC1) {
			work = int64(max(file.MAC.Iterations, 0))
		}
		// Twice, since an empty password has two encodings.
		if err := spendTimes(budget, 2, work); err != nil {
			return nil, err
		}
	}
	for _, safe := range safes {
		switch {
		case safe.Type.Equal(oidData):
			if err := surveyPlainSafe(survey, safe, budget); err != nil {
				return nil, err
			}
		case safe.Type.Equal(oidEncryptedData):
			var encrypted encryptedData
			if !unmarshalAll(safe.Content.Bytes, &encrypted) {
				return nil, unreadablePKCS12(errors.New("its encrypted part is damaged"))
			}
			survey.encrypted = append(survey.encrypted, safe)
			// Once in DecodeChain and once in openSafe.
			if err := spendTimes(budget, 2, derivationWork(encrypted.Content.Algorithm)); err != nil {
				return nil, err
			}
		}
	}
	return survey, nil
}

func surveyPlainSafe(survey *pkcs12Survey, safe contentInfo, budget *workBudget) error {
	var content []byte
	var bags []safeBag
	if !unmarshalAll(safe.Content.Bytes, &content) || !unmarshalAll(content, &bags) {
		return unreadablePKCS12(errors.New("a part of it is damaged"))
	}
	for _, bag := range bags {
		switch {
		case bag.ID.Equal(oidKeyBag), bag.ID.Equal(oidShroudedKeyBag):
			survey.keys++
			if len(bag.Value.Bytes) > maxPrivateKeyDER+1024 {
				return damagedKey(errKeyTooLarge)
			}
			if !bag.ID.Equal(oidShroudedKeyBag) {
				continue
			}
			survey.shrouded = true
			var key encryptedPrivateKeyInfo
			if !unmarshalAll(bag.Value.Bytes, &key) {
				return unreadablePKCS12(errors.New("the part with its private key is damaged"))
			}
			if err := budget.spend(derivationWork(key.Algorithm)); err != nil {
				return err
			}
		case bag.ID.Equal(oidCertificateBag):
			var inner certificateBag
			if unmarshalAll(bag.Value.Bytes, &inner) && inner.ID.Equal(oidX509InCertificate) {
				if certificate, err := x509.ParseCertificate(inner.Data); err == nil {
					survey.plain = append(survey.plain, certificate)
				}
			}
		}
	}
	return nil
}

func spendTimes(budget *workBudget, times int, work int64) error {
	for range times {
		if err := budget.spend(work); err != nil {
			return err
		}
	}
	return nil
}

var errKeyInSafe = errors.New("a key bag inside an encrypted safe")

// openSafe returns the certificates of one encrypted safe. It builds a file of
// two safes, first a plain one with a key bag that says nothing, then the
// encrypted one, under a MAC of its own, and lets DecodeChain read that. With a
// key in hand DecodeChain returns the certificates; and a second key bag makes
// it stop before it opens that, which is why a number of iterations hidden in
// the safe never gets to work.
func openSafe(safe contentInfo, password string) ([]*x509.Certificate, error) {
	_, leaf, chain, err := decodeSafe(safe, password, bmpPassword(password))
	if password == "" && err != nil && !errors.Is(err, errKeyInSafe) {
		// Some writers encode the empty password as nothing at all, not as a
		// BMPString of two zero bytes.
		_, leaf, chain, err = decodeSafe(safe, password, nil)
	}
	if err != nil {
		return nil, err
	}
	return append([]*x509.Certificate{leaf}, chain...), nil
}

func decodeSafe(safe contentInfo, password string, encoded []byte) (any, *x509.Certificate, []*x509.Certificate, error) {
	file, err := wrapSafe(safe, encoded)
	if err != nil {
		return nil, nil, nil, err
	}
	key, leaf, chain, err := pkcs12.DecodeChain(file, password)
	if err != nil && strings.Contains(err.Error(), "expected exactly one key bag") {
		err = errKeyInSafe
	}
	return key, leaf, chain, err
}

func wrapSafe(safe contentInfo, password []byte) ([]byte, error) {
	bags, err := asn1.Marshal([]safeBag{{ID: oidKeyBag, Value: explicit0(placeholderKey)}})
	if err != nil {
		return nil, err
	}
	bags, err = asn1.Marshal(bags)
	if err != nil {
		return nil, err
	}
	content, err := asn1.Marshal([]contentInfo{{Type: oidData, Content: explicit0(bags)}, safe})
	if err != nil {
		return nil, err
	}
	octets, err := asn1.Marshal(content)
	if err != nil {
		return nil, err
	}
	// The MAC protects nothing here, so one iteration and any salt do.
	salt := []byte("aviso")
	mac := hmac.New(sha1.New, pkcs12SHA1(pkcs12ForMAC, password, salt, 1, sha1.Size))
	mac.Write(content)
	return asn1.Marshal(pfx{
		Version:  3,
		AuthSafe: contentInfo{Type: oidData, Content: explicit0(octets)},
		MAC: macData{
			MAC: digestInfo{
				Algorithm: pkix.AlgorithmIdentifier{Algorithm: oidSHA1, Parameters: asn1.NullRawValue},
				Digest:    mac.Sum(nil),
			},
			Salt:       salt,
			Iterations: 1,
		},
	})
}

func explicit0(der []byte) asn1.RawValue {
	return asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: der}
}

// placeholderKey is an Ed25519 key of zeros in PKCS#8 (RFC 8410 section 7): the
// cheapest key to read, and nobody's.
var placeholderKey = slices.Concat(
	[]byte{0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20},
	make([]byte, 32),
)
