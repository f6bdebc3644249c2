package cms

import (
	"crypto/x509"
	"encoding/asn1"
	"slices"
)

// Apple's object identifiers (published Security sources, and certificates).
var (
	oidUID         = asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 1} // RFC 4519 section 2.39
	oidPassType    = asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 6, 1, 16}
	oidWebsitePush = asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 6, 1, 17}
	oidPassSigning = asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 4, 14}
)

// Subject is what Apple writes into certificates that sign packages. What is
// missing is empty or false. Its texts come from whoever made the certificate.
type Subject struct {
	// UID is the pass type, order type or website push identifier.
	UID string
	// TeamIDs are the OUs; Apple writes one.
	TeamIDs []string
	// PassType and WebsitePush say that the certificate bears the mark of a Pass
	// Type ID or Website Push ID certificate (extensions 1.2.840.113635.100.6.1.16
	// and .17).
	PassType, WebsitePush bool
	// PassSigning says that it has the extended key usage for Wallet passes
	// (1.2.840.113635.100.4.14).
	PassSigning bool
}

// SubjectOf reads the subject of a certificate.
func SubjectOf(certificate *x509.Certificate) Subject {
	s := Subject{
		TeamIDs:     certificate.Subject.OrganizationalUnit,
		PassSigning: slices.ContainsFunc(certificate.UnknownExtKeyUsage, oidPassSigning.Equal),
	}
	for _, name := range certificate.Subject.Names {
		if text, ok := name.Value.(string); ok && name.Type.Equal(oidUID) && s.UID == "" {
			s.UID = text
		}
	}
	for _, extension := range certificate.Extensions {
		s.PassType = s.PassType || extension.Id.Equal(oidPassType)
		s.WebsitePush = s.WebsitePush || extension.Id.Equal(oidWebsitePush)
	}
	return s
}
