package cms

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"slices"
	"testing"
	"time"

	"aviso.example/internal/cmstest"
)

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// der encodes one value; parts are joined.
func der(tag byte, parts ...[]byte) []byte {
	body := slices.Concat(parts...)
	out := asSet(body)
	out[0] = tag
	return out
}

// ber encodes one value without saying how long it is.
func ber(tag byte, parts ...[]byte) []byte {
	return slices.Concat([]byte{tag, 0x80}, slices.Concat(parts...), []byte{0, 0})
}

func id(text string) []byte {
	var oid asn1.ObjectIdentifier
	for part := range splitOID(text) {
		oid = append(oid, part)
	}
	return must(asn1.Marshal(oid))
}

func splitOID(text string) func(func(int) bool) {
	return func(yield func(int) bool) {
		n := 0
		for _, c := range text + "." {
			if c != '.' {
				n = n*10 + int(c-'0')
				continue
			}
			if !yield(n) {
				return
			}
			n = 0
		}
	}
}

func attribute(oid string, values ...[]byte) []byte {
	return der(tagSequence, id(oid), der(tagSet, values...))
}

var signedAt = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func timeAttribute() []byte { return attribute(oidSigningTime, must(asn1.Marshal(signedAt))) }

// spec is a signature as some other program would write it. Its zero value,
// with a signer, is one that is in order; each field breaks or changes one thing.
type spec struct {
	signer    *cmstest.Issued
	content   string
	digest    string // object identifier; SHA-256
	algorithm string // object identifier; rsaEncryption or ecdsa-with-SHA256

	indefinite   bool // BER
	noAttributes bool
	unsorted     bool   // attributes neither sorted nor hashed sorted, as node-forge does
	hashSorted   bool   // attributes hashed sorted, but sent as they come
	keyID        bool   // signer by subject key identifier
	attached     bool   // content inside
	extra        []byte // one more attribute
	omit         string // this attribute
	signers      int    // 1
	certificates [][]byte
	contentType  string
}

func (s spec) make(t testing.TB) []byte {
	t.Helper()
	leaf := s.signer.Certificate
	if s.digest == "" {
		s.digest = "2.16.840.1.101.3.4.2.1"
	}
	if s.algorithm == "" {
		s.algorithm = "1.2.840.113549.1.1.1"
		if leaf.PublicKeyAlgorithm == x509.ECDSA {
			s.algorithm = "1.2.840.10045.4.3.2"
		}
	}
	if s.contentType == "" {
		s.contentType = oidData
	}
	hash := digests[s.digest]
	if hash == 0 {
		hash = crypto.SHA256
	}
	sum := func(data []byte) []byte {
		h := hash.New()
		h.Write(data)
		return h.Sum(nil)
	}
	wrap := der
	if s.indefinite {
		wrap = ber
	}

	attributes := [][]byte{
		attribute(oidContentType, id(oidData)),
		timeAttribute(),
		attribute(oidMessageDigest, der(tagOctetString, sum([]byte(s.content)))),
	}
	for i, oid := range []string{oidContentType, oidSigningTime, oidMessageDigest} {
		if oid == s.omit {
			attributes = slices.Delete(attributes, i, i+1)
			break
		}
	}
	if s.extra != nil {
		attributes = append(attributes, s.extra)
	}
	sorted := func(a [][]byte) [][]byte {
		if order := inOrder(slices.Concat(a...)); order != nil {
			return [][]byte{order}
		}
		return a
	}
	hashed := sorted(attributes)
	sent := hashed
	if s.unsorted || s.hashSorted {
		slices.Reverse(attributes)
		sent = attributes
		if s.unsorted {
			hashed = attributes
		}
	}
	tosign := asSet(slices.Concat(hashed...))
	if s.noAttributes {
		tosign = []byte(s.content)
	}
	signature := must(s.signer.Key.Sign(rand.Reader, sum(tosign), hash))

	sid := der(tagSequence, leaf.RawIssuer, must(asn1.Marshal(leaf.SerialNumber)))
	if s.keyID {
		sid = der(tagContext0Raw, leaf.SubjectKeyId)
	}
	info := [][]byte{{2, 1, 1}, sid, der(tagSequence, id(s.digest), asn1.NullBytes)}
	if !s.noAttributes {
		info = append(info, wrap(tagContext0, sent...))
	}
	info = append(info, der(tagSequence, id(s.algorithm), asn1.NullBytes), der(tagOctetString, signature))
	signers := [][]byte{}
	for range max(1, s.signers) {
		signers = append(signers, wrap(tagSequence, info...))
	}
	if s.certificates == nil {
		s.certificates = [][]byte{leaf.Raw, cmstest.Apple().WWDR.Certificate.Raw}
	}
	inner := [][]byte{id(s.contentType)}
	if s.attached {
		inner = append(inner, wrap(tagContext0, der(tagOctetString, []byte(s.content))))
	}
	return wrap(tagSequence, id(oidSignedData), wrap(tagContext0, wrap(tagSequence,
		[]byte{2, 1, 1},
		wrap(tagSet, der(tagSequence, id(s.digest), asn1.NullBytes)),
		wrap(tagSequence, inner...),
		wrap(tagContext0, s.certificates...),
		wrap(tagSet, signers...),
	)))
}
