package cms

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// MaxSignatureSize is the largest signature that is read, in bytes. One with
// three certificates has some 5 KB.
const MaxSignatureSize = 256 << 10

// maxCertificates bounds what one signature can make a verification cost.
const maxCertificates = 16

// signedData is what the parser found (RFC 5652 section 5.1), nothing of it
// verified.
type signedData struct {
	certificates []*x509.Certificate
	signer       signerInfo
}

type signerInfo struct {
	issuer, serial []byte // either these
	keyID          []byte // or this
	digest         crypto.Hash
	attributes     []byte // the contents octets of the SET, as received; nil if there are none
	messageDigest  []byte
	signingTime    time.Time
	algorithm      string
	signature      []byte
}

func parse(der []byte) (*signedData, error) {
	if len(der) > MaxSignatureSize {
		return nil, fmt.Errorf("it has %d bytes, and more than %d are not read", len(der), MaxSignatureSize)
	}
	if why := notDER(der); why != "" {
		return nil, errors.New(why)
	}
	file := newReader(der)
	info := file.inside("ContentInfo", tagSequence)
	file.end("ContentInfo")
	if id := info.oid("contentType"); id != oidSignedData {
		info.fail("contentType", fmt.Errorf("it is %s, not SignedData", id))
	}
	explicit := info.inside("content", tagContext0)
	info.end("ContentInfo")
	r := explicit.inside("SignedData", tagSequence)
	explicit.end("content")

	var d signedData
	r.take("version", tagInteger)
	r.take("digestAlgorithms", tagSet)
	parseContent(r.inside("encapContentInfo", tagSequence))
	if certificates, ok := r.optional("certificates", tagContext0); ok {
		d.parseCertificates(&reader{certificates.body, r.err})
	}
	r.optional("crls", tagContext1)
	signers := r.inside("signerInfos", tagSet)
	r.end("SignedData")
	d.signer.parse(signers.inside("signerInfos", tagSequence))
	if signers.more() {
		signers.fail("signerInfos", errors.New("there are several signers, and packages have one"))
	}
	return &d, *r.err
}

// notDER names the forms in which openssl writes a signature unless it is told
// otherwise.
func notDER(signature []byte) string {
	switch text := bytes.TrimLeft(signature, " \t\r\n"); {
	case bytes.HasPrefix(text, []byte("-----BEGIN")):
		return "it is PEM, and DER is needed (openssl smime -sign … -outform DER)"
	case bytes.HasPrefix(text, []byte("MIME-Version")), bytes.HasPrefix(text, []byte("Content-Type")), bytes.Contains(text[:min(len(text), 512)], []byte("application/x-pkcs7")):
		return "it is S/MIME text, and DER is needed (openssl smime -sign … -outform DER)"
	}
	return ""
}

// parseContent wants the content to be plain data, and elsewhere.
func parseContent(r *reader) {
	if id := r.oid("eContentType"); id != oidData {
		r.fail("eContentType", fmt.Errorf("it is %s, not id-data", id))
	}
	if r.more() {
		r.fail("eContent", errors.New("the signature holds its content, and should be detached (openssl cms -sign without -nodetach, -stream or -indef)"))
	}
}

func (d *signedData) parseCertificates(r *reader) {
	for r.more() {
		one := r.any("certificates")
		if one.tag != tagSequence {
			continue // attribute certificates and other obsolete kinds
		}
		if len(d.certificates) == maxCertificates {
			r.fail("certificates", fmt.Errorf("there are more than %d", maxCertificates))
			return
		}
		certificate, err := x509.ParseCertificate(one.full)
		if err != nil {
			r.fail("certificates", fmt.Errorf("number %d: %w", len(d.certificates)+1, err))
			return
		}
		d.certificates = append(d.certificates, certificate)
	}
}

func (s *signerInfo) parse(r *reader) {
	r.take("version", tagInteger)
	if id, ok := r.optional("sid", tagContext0Raw); ok {
		s.keyID = id.body
	} else {
		sid := r.inside("sid", tagSequence)
		s.issuer = sid.take("issuer", tagSequence).full
		s.serial = sid.take("serialNumber", tagInteger).body
		sid.end("sid")
	}
	id := r.inside("digestAlgorithm", tagSequence).oid("digestAlgorithm")
	s.digest = digests[id]
	if s.digest == 0 {
		r.fail("digestAlgorithm", fmt.Errorf("%s is not read here; SHA-1, SHA-256, SHA-384 and SHA-512 are", id))
	}
	if attributes, ok := r.optional("signedAttrs", tagContext0); ok {
		s.attributes = attributes.body
		s.parseAttributes(&reader{attributes.body, r.err})
	}
	s.algorithm = r.inside("signatureAlgorithm", tagSequence).oid("signatureAlgorithm")
	s.signature = r.take("signature", tagOctetString).body
	r.optional("unsignedAttrs", tagContext1)
	r.end("signerInfo")
}

// parseAttributes reads the attributes of RFC 5652 section 11 and skips others,
// but lets none be there twice: which one counts would be anybody's guess.
func (s *signerInfo) parseAttributes(r *reader) {
	seen := map[string]bool{}
	contentType := ""
	for r.more() {
		attribute := r.inside("signedAttrs", tagSequence)
		id := attribute.oid("attrType")
		values := attribute.inside("attrValues", tagSet)
		attribute.end("signedAttrs")
		value := values.any("attrValues")
		if seen[id] {
			r.fail("signedAttrs", fmt.Errorf("attribute %s is there twice", id))
		}
		seen[id] = true
		switch id {
		case oidContentType:
			contentType = oid(value.body)
		case oidMessageDigest:
			s.messageDigest = value.body
		case oidSigningTime:
			at, err := parseTime(value)
			if err != nil {
				r.fail("signedAttrs", err)
			}
			s.signingTime = at
		default:
			continue
		}
		values.end("attrValues")
	}
	if contentType != oidData {
		r.fail("signedAttrs", errors.New("contentType is missing or not id-data (RFC 5652 section 11.1)"))
	}
	if s.messageDigest == nil {
		r.fail("signedAttrs", errors.New("messageDigest is missing (RFC 5652 section 11.2)"))
	}
}

func parseTime(value element) (time.Time, error) {
	var at time.Time
	if value.tag != tagUTCTime && value.tag != tagGeneralTime {
		return at, errors.New("signingTime is not a time")
	}
	if _, err := asn1.Unmarshal(value.full, &at); err != nil {
		return at, fmt.Errorf("signingTime: %w", err)
	}
	return at.UTC(), nil
}

// certificate returns the one that the signer is said to have.
func (d *signedData) certificate() *x509.Certificate {
	for _, c := range d.certificates {
		if d.signer.keyID != nil {
			if bytes.Equal(c.SubjectKeyId, d.signer.keyID) {
				return c
			}
			continue
		}
		if c.SerialNumber.Sign() >= 0 && new(big.Int).SetBytes(d.signer.serial).Cmp(c.SerialNumber) == 0 && bytes.Equal(c.RawIssuer, d.signer.issuer) {
			return c
		}
	}
	return nil
}
