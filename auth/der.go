package auth

import (
	"bytes"
	"encoding/asn1"
)

// derKind is what a binary file is, judged by its first few elements.
type derKind int

const (
	derUnknown derKind = iota
	derCertificate
	derPKCS12
	derPrivateKey
	derEncryptedKey
	derRequest
	derPublicKey
	derCMS
	derIndefinite // BER: a length that is not stated
	derTruncated
)

func (k derKind) String() string {
	switch k {
	case derCertificate:
		return "a certificate"
	case derPKCS12:
		return "a PKCS#12 file (.p12)"
	case derPrivateKey:
		return "a private key"
	case derEncryptedKey:
		return "an encrypted private key"
	case derRequest:
		return "a certificate signing request"
	case derPublicKey:
		return "a public key"
	case derCMS:
		return "a PKCS#7 file (.p7b or .p7s)"
	case derIndefinite:
		return "a file in BER encoding"
	case derTruncated:
		return "a file that is cut short"
	default:
		return "not a key or certificate that is known here"
	}
}

// describePEM names a PEM block by its label (RFC 7468).
func describePEM(label string) string {
	switch label {
	case "CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE":
		return derCertificate.String()
	case "CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST":
		return derRequest.String()
	case "PUBLIC KEY", "RSA PUBLIC KEY":
		return derPublicKey.String()
	case "PKCS7", "CMS":
		return derCMS.String()
	default:
		// The label itself is text from the file, and is left out of messages.
		return "a PEM block of another kind"
	}
}

// kindOfDER looks at the structure only; the parser of that kind has the last
// word.
func kindOfDER(data []byte) derKind {
	if len(data) < 2 || data[0] != 0x30 {
		return derUnknown
	}
	if data[1] == 0x80 {
		return derIndefinite
	}
	outer, cut := outerElement(data)
	if cut {
		return derTruncated
	}
	if outer == nil {
		return derUnknown
	}
	var first, second asn1.RawValue
	rest, err := asn1.Unmarshal(outer.Bytes, &first)
	if err != nil {
		return derUnknown
	}
	if _, err := asn1.Unmarshal(rest, &second); err != nil {
		return derUnknown
	}
	switch {
	case isUniversal(first, asn1.TagInteger) && len(first.Bytes) == 1:
		switch version := first.Bytes[0]; {
		case isUniversal(second, asn1.TagSequence) && version == 3:
			return derPKCS12 // PFX: version 3, authSafe (RFC 7292 section 4)
		case isUniversal(second, asn1.TagSequence):
			return derPrivateKey // PKCS#8: version, algorithm (RFC 5208 section 5)
		case isUniversal(second, asn1.TagOctetString):
			return derPrivateKey // SEC 1: version, key (RFC 5915 section 3)
		case isUniversal(second, asn1.TagInteger):
			return derPrivateKey // PKCS#1: version, modulus (RFC 8017 appendix A.1.2)
		}
	case isUniversal(first, asn1.TagOID):
		return derCMS // contentType (RFC 5652 section 3)
	case isUniversal(first, asn1.TagSequence) && isUniversal(second, asn1.TagBitString):
		return derPublicKey // algorithm, key (RFC 5280 section 4.1.2.7)
	case isUniversal(first, asn1.TagSequence) && isUniversal(second, asn1.TagOctetString):
		return derEncryptedKey // algorithm, data (RFC 5208 section 6)
	case isUniversal(first, asn1.TagSequence):
		// A certificate begins with an explicit version or a serial number, a
		// request with a small version and then a name.
		var inner asn1.RawValue
		rest, err := asn1.Unmarshal(first.Bytes, &inner)
		if err != nil {
			return derUnknown
		}
		if isUniversal(inner, asn1.TagInteger) && bytes.Equal(inner.Bytes, []byte{0}) {
			var name asn1.RawValue
			var key asn1.RawValue
			rest, err1 := asn1.Unmarshal(rest, &name)
			_, err2 := asn1.Unmarshal(rest, &key)
			if err1 == nil && err2 == nil && len(key.Bytes) > 0 && isSPKI(key) {
				return derRequest
			}
		}
		return derCertificate
	}
	return derUnknown
}

func isSPKI(v asn1.RawValue) bool {
	var algorithm, key asn1.RawValue
	rest, err := asn1.Unmarshal(v.Bytes, &algorithm)
	if err != nil {
		return false
	}
	_, err = asn1.Unmarshal(rest, &key)
	return err == nil && isUniversal(algorithm, asn1.TagSequence) && isUniversal(key, asn1.TagBitString)
}

func isUniversal(v asn1.RawValue, tag int) bool {
	return v.Class == asn1.ClassUniversal && v.Tag == tag
}

// outerElement returns the one element that a DER file is. Line ends and zero
// bytes after it, which editors and copying leave behind, are ignored. cut says
// that the file is shorter than its first bytes announce.
func outerElement(data []byte) (outer *asn1.RawValue, cut bool) {
	var v asn1.RawValue
	rest, err := asn1.Unmarshal(data, &v)
	if err != nil {
		return nil, announcesMore(data)
	}
	if len(bytes.Trim(rest, "\r\n \t\x00")) != 0 {
		return nil, false
	}
	return &v, false
}

// announcesMore reads the long form of a length (X.690 section 8.1.3.5).
func announcesMore(data []byte) bool {
	if len(data) < 2 || data[0] != 0x30 {
		return false
	}
	length := int(data[1])
	header := 2
	if length > 0x80 {
		n := length - 0x80
		if n > 4 {
			return false
		}
		if len(data) < 2+n {
			return true
		}
		length = 0
		for _, b := range data[2 : 2+n] {
			length = length<<8 | int(b)
		}
		header += n
	}
	return length > len(data)-header
}
