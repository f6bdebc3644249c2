package auth

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Apple's object identifiers below 1.2.840.113635 ("Establishing a
// certificate-based connection to APNs"; the rest from Apple's published
// Security sources and from certificates).
var (
	oidPushSandbox    = asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 6, 3, 1}
	oidPushProduction = asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 6, 3, 2}
	oidVoIP           = asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 6, 3, 4}
	oidTopics         = asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 6, 3, 6}
	oidPassType       = asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 6, 1, 16}
	oidWebsitePush    = asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 6, 1, 17}
	oidIntermediate   = asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 6, 2, 1}
	oidPassSigning    = asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 4, 14}
	// oidUID is the attribute in which Apple puts the topic (RFC 4519 section
	// 2.39).
	oidUID = asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 1}
)

// Topic is one topic of a certificate with the labels Apple gives it, such as
// "app", "voip" or "complication".
type Topic struct {
	Name   string   `json:"name"`
	Labels []string `json:"labels,omitempty"`
}

// CertificateInfo is what a certificate says about itself. Everything in it is
// public.
type CertificateInfo struct {
	Kind       Kind   `json:"kind"`
	CommonName string `json:"common_name,omitempty"`
	// UID is the bundle identifier, pass type identifier, website push
	// identifier or MDM topic.
	UID string `json:"uid,omitempty"`
	// TeamID is the subject's OU if that has the form of a team id. MDM
	// certificates have none.
	TeamID       string `json:"team_id,omitempty"`
	Organization string `json:"organization,omitempty"`
	// Topics are what the certificate may push to: the list that Apple put in
	// it, or else the UID alone.
	Topics []Topic `json:"topics,omitempty"`
	// TopicsListed says that Topics come from Apple's list.
	TopicsListed bool `json:"topics_listed"`
	// Sandbox and Production are Apple's marks for the two environments.
	Sandbox    bool `json:"sandbox"`
	Production bool `json:"production"`
	// PassSigning says that the certificate may sign Wallet passes.
	PassSigning bool `json:"pass_signing,omitempty"`
	// Authority says that this is the certificate of an authority, which is no
	// credential.
	Authority    bool      `json:"authority,omitempty"`
	SelfSigned   bool      `json:"self_signed,omitempty"`
	NotBefore    time.Time `json:"not_before"`
	NotAfter     time.Time `json:"not_after"`
	Issuer       string    `json:"issuer"`
	SerialNumber string    `json:"serial_number"`
	// Fingerprint is the SHA-256 of the certificate, upper-case hexadecimal with
	// colons, as openssl and Keychain Access show it.
	Fingerprint string `json:"fingerprint_sha256"`
	// KeyType is "RSA 2048", "EC P-256" and the like.
	KeyType string `json:"key_type"`
	// HasKey says that a private key came with the certificate and could be
	// read, KeyMatches that it belongs to it.
	HasKey     bool `json:"has_key"`
	KeyMatches bool `json:"key_matches"`
}

// DaysLeft returns the number of whole days until the certificate expires;
// below zero when it has.
func (i *CertificateInfo) DaysLeft(now time.Time) int {
	left := i.NotAfter.Sub(now)
	days := int(left / (24 * time.Hour))
	if left < 0 {
		// Division rounds to zero, and an hour past is not a day left.
		days--
	}
	return days
}

// Expired reports whether now is after the last moment of validity.
func (i *CertificateInfo) Expired(now time.Time) bool { return now.After(i.NotAfter) }

// DefaultTopic returns the topic of a notification that names none: the UID,
// else the only topic, else "".
func (i *CertificateInfo) DefaultTopic() string {
	if i.UID != "" {
		return i.UID
	}
	if len(i.Topics) == 1 {
		return i.Topics[0].Name
	}
	return ""
}

// NeedsTopic reports whether APNs refuses a request without apns-topic with
// MissingTopic, which it does if the certificate has several topics
// ("Establishing a certificate-based connection to APNs").
func (i *CertificateInfo) NeedsTopic() bool { return len(i.Topics) > 1 }

// CanPushTo reports whether the certificate covers a topic. A certificate that
// names no topic at all is of an unknown layout; then the answer is yes, and
// APNs decides.
func (i *CertificateInfo) CanPushTo(topic string) bool {
	if len(i.Topics) == 0 {
		return true
	}
	return slices.ContainsFunc(i.Topics, func(t Topic) bool { return t.Name == topic })
}

func inspectCertificate(certificate *x509.Certificate) CertificateInfo {
	subject := certificate.Subject
	sum := sha256.Sum256(certificate.Raw)
	info := CertificateInfo{
		CommonName:   printable(subject.CommonName),
		Sandbox:      hasExtension(certificate, oidPushSandbox),
		Production:   hasExtension(certificate, oidPushProduction),
		PassSigning:  slices.ContainsFunc(certificate.UnknownExtKeyUsage, oidPassSigning.Equal),
		Authority:    certificate.IsCA,
		SelfSigned:   string(certificate.RawSubject) == string(certificate.RawIssuer),
		NotBefore:    certificate.NotBefore,
		NotAfter:     certificate.NotAfter,
		Issuer:       printable(certificate.Issuer.CommonName),
		SerialNumber: strings.ToUpper(certificate.SerialNumber.Text(16)),
		Fingerprint:  colons(sum[:]),
		KeyType:      keyType(certificate.PublicKey),
	}
	if info.Issuer == "" {
		info.Issuer = printable(certificate.Issuer.String())
	}
	for _, name := range subject.Names {
		if text, ok := name.Value.(string); ok && name.Type.Equal(oidUID) && info.UID == "" {
			info.UID = printable(text)
		}
	}
	if info.UID == "" {
		// Wallet and website certificates repeat their identifier.
		info.UID = textExtension(certificate, oidPassType, oidWebsitePush)
	}
	if at := slices.IndexFunc(subject.OrganizationalUnit, isIdentifier); at >= 0 {
		info.TeamID = subject.OrganizationalUnit[at]
	}
	if len(subject.Organization) > 0 {
		info.Organization = printable(subject.Organization[0])
	}
	info.Kind = kindOf(certificate, info.UID)
	info.Topics, info.TopicsListed = topicsOf(certificate, info.UID)
	return info
}

// topicsOf falls back to the UID when Apple's list is missing or not
// understood.
func topicsOf(certificate *x509.Certificate, uid string) (topics []Topic, listed bool) {
	for _, extension := range certificate.Extensions {
		if extension.Id.Equal(oidTopics) {
			if topics := parseTopics(extension.Value); len(topics) > 0 {
				return topics, true
			}
		}
	}
	if uid == "" || certificate.IsCA {
		return nil, false
	}
	return []Topic{{Name: uid}}, false
}

// parseTopics reads extension 1.2.840.113635.100.6.3.6: one sequence in which
// the name of a topic and the sequence of its labels alternate, flat. It returns
// nil for anything else.
func parseTopics(der []byte) []Topic {
	var elements []asn1.RawValue
	if !unmarshalAll(der, &elements) || len(elements)%2 != 0 {
		return nil
	}
	var topics []Topic
	for pair := range slices.Chunk(elements, 2) {
		var labels []asn1.RawValue
		if !isText(pair[0]) || !unmarshalAll(pair[1].FullBytes, &labels) {
			return nil
		}
		topic := Topic{Name: printable(string(pair[0].Bytes))}
		for _, label := range labels {
			if isText(label) {
				topic.Labels = append(topic.Labels, printable(string(label.Bytes)))
			}
		}
		topics = append(topics, topic)
	}
	return topics
}

func isText(v asn1.RawValue) bool {
	return v.Class == asn1.ClassUniversal && !v.IsCompound && utf8.Valid(v.Bytes) &&
		(v.Tag == asn1.TagUTF8String || v.Tag == asn1.TagPrintableString || v.Tag == asn1.TagIA5String)
}

// printable replaces control characters, with which a name in a certificate
// could forge lines of a log or steer a terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}

func hasExtension(certificate *x509.Certificate, oid asn1.ObjectIdentifier) bool {
	for _, extension := range certificate.Extensions {
		if extension.Id.Equal(oid) {
			return true
		}
	}
	return false
}

func colons(sum []byte) string {
	var b strings.Builder
	for i, octet := range sum {
		if i > 0 {
			b.WriteByte(':')
		}
		b.WriteString(strings.ToUpper(hex.EncodeToString([]byte{octet})))
	}
	return b.String()
}

// textExtension returns the text in the first of the given extensions.
func textExtension(certificate *x509.Certificate, oids ...asn1.ObjectIdentifier) string {
	for _, extension := range certificate.Extensions {
		for _, oid := range oids {
			var v asn1.RawValue
			if extension.Id.Equal(oid) && unmarshalAll(extension.Value, &v) && isText(v) {
				return printable(string(v.Bytes))
			}
		}
	}
	return ""
}
