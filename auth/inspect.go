package auth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"aviso.example/internal/proto"
)

// Severity says how much a [Finding] matters.
type Severity string

// The three severities.
const (
	// SeverityNote is worth knowing.
	SeverityNote Severity = "note"
	// SeverityWarning will be trouble later, or may be a mistake.
	SeverityWarning Severity = "warning"
	// SeverityError means that the file cannot be used as it is.
	SeverityError Severity = "error"
)

// Finding is one remark of an inspection.
type Finding struct {
	Severity Severity `json:"severity"`
	// Problem is a sentence; Fix says what to do, or is empty.
	Problem string `json:"problem"`
	Fix     string `json:"fix,omitempty"`
}

// Report is what [Inspect] found out. It holds nothing secret.
type Report struct {
	// Name is the name that the caller gave.
	Name string `json:"name"`
	// Format is "PEM", "PKCS#12" or "DER".
	Format string `json:"format"`
	// What says in a few words what the file is.
	What string `json:"what"`
	// Uses says what it can be used for, a sentence each; empty if for nothing.
	Uses []string `json:"uses,omitempty"`
	// Encrypted says that a password protects the private key.
	Encrypted bool `json:"encrypted"`
	// HasPrivateKey says that a private key is there and could be read.
	HasPrivateKey bool `json:"has_private_key"`
	// SigningKey is set for an APNs signing key.
	SigningKey *SigningKeyInfo `json:"signing_key,omitempty"`
	// Certificate is set if there is a certificate: the one that belongs to the
	// key, or else the first that is not an authority's.
	Certificate *CertificateInfo `json:"certificate,omitempty"`
	// Others are the certificates beside it, such as intermediates.
	Others []CertificateInfo `json:"others,omitempty"`
	// Findings are the remarks, the gravest first.
	Findings []Finding `json:"findings,omitempty"`
}

// SigningKeyInfo is the public part of a signing key.
type SigningKeyInfo struct {
	// KeyID is taken from the file name, since the file does not contain it; ""
	// if the name does not tell.
	KeyID string `json:"key_id,omitempty"`
	// KeyType is "EC P-256".
	KeyType string `json:"key_type"`
}

// Usable reports whether the file can be used as a credential as it is.
func (r *Report) Usable() bool {
	for _, finding := range r.Findings {
		if finding.Severity == SeverityError {
			return false
		}
	}
	return len(r.Uses) > 0
}

// Inspect looks at any key or certificate file and says what it is, what it can
// be used for, and what is wrong with it. name is the name of the file, or
// whatever the report shall call it; a key id is read from it. The password may
// be empty, and so may a file lack its private key: whatever can be read is
// reported.
//
// It fails only if nothing can be said: the file is neither a key nor a
// certificate, or is damaged, or is a .p12 that the password does not open. The
// errors are those of [ParseCertificate].
func Inspect(name string, data []byte, password string) (*Report, error) {
	return inspect(name, data, password, time.Now(), newBudget())
}

func inspect(name string, data []byte, password string, now time.Time, budget *workBudget) (*Report, error) {
	m, err := readMaterial(data, password, budget)
	if err != nil {
		return nil, err
	}
	report := &Report{Name: name, Format: m.format, Encrypted: m.encrypted, HasPrivateKey: len(m.keys) > 0}
	switch {
	case len(m.certificates) > 0:
		report.addCertificates(m, now)
	case len(m.keys) > 0:
		report.addKey(m)
	case m.keyErr != nil:
		report.What = "a private key"
		report.addErr(SeverityError, m.keyErr)
	default:
		report.addOther(m.other)
	}
	report.sort()
	return report, nil
}

func (r *Report) add(severity Severity, problem, fix string) {
	r.Findings = append(r.Findings, Finding{Severity: severity, Problem: problem, Fix: fix})
}

func (r *Report) addErr(severity Severity, err error) {
	if input, ok := errors.AsType[*InputError](err); ok {
		r.add(severity, input.Field+": "+input.Problem, input.Fix)
		return
	}
	r.add(severity, strings.TrimPrefix(err.Error(), "auth: "), "")
}

// sort is stable, so that findings of one severity stay in the order in which
// they were thought of.
func (r *Report) sort() {
	var sorted []Finding
	for _, severity := range []Severity{SeverityError, SeverityWarning, SeverityNote} {
		for _, finding := range r.Findings {
			if finding.Severity == severity {
				sorted = append(sorted, finding)
			}
		}
	}
	r.Findings = sorted
}

func (r *Report) addOther(what string) {
	r.What = what
	switch what {
	case derRequest.String():
		r.add(SeverityError, "a request is what Apple turns into a certificate, and no credential",
			"upload it in the developer portal; the certificate that comes back belongs to the key with which the request was made")
	case derPublicKey.String():
		r.add(SeverityError, "a public key cannot sign", "use the private key, AuthKey_<key id>.p8")
	case derCMS.String():
		r.add(SeverityError, "a PKCS#7 file holds certificates without a private key", exportAdvice)
	default:
		if what == "" {
			r.What = "a PEM file without a key or certificate"
		}
		r.add(SeverityError, "there is neither a key nor a certificate in it", "give a .p8, .p12, .pem or .cer file")
	}
}

func (r *Report) addKey(m *material) {
	kind := keyType(m.keys[0].Public())
	ec, ok := m.keys[0].(*ecdsa.PrivateKey)
	if !ok || ec.Curve != elliptic.P256() {
		r.What = "a private key (" + kind + ") without a certificate"
		r.add(SeverityError, "alone it is no credential: an APNs signing key is EC P-256, and a certificate needs both halves",
			"put it into one .pem with its certificate, or use the .p8 file from the developer portal")
		return
	}
	r.What = "a signing key for provider tokens (EC P-256)"
	r.SigningKey = &SigningKeyInfo{KeyID: keyIDFromName(r.Name), KeyType: kind}
	r.Uses = append(r.Uses, "pushes of every app of the team, or of the topics chosen when the key was made in the portal; only Apple knows which, and for which environment")
	if len(m.keys) > 1 {
		r.add(SeverityError, "there are several private keys in it, and only one can belong to the key id", "keep one key in one file")
	}
	if m.encrypted {
		r.add(SeverityError, "it is encrypted, and a signing key is read without a password",
			"decrypt it with: openssl pkcs8 -topk8 -nocrypt -in encrypted.p8 -out plain.p8")
	}
	if r.SigningKey.KeyID == "" {
		r.add(SeverityNote, "the key id is not in the file, and its name does not tell it",
			"give the key id beside the key, or keep Apple's file name AuthKey_<key id>.p8")
	}
	r.add(SeverityNote, "a team id is needed beside it", "it stands in the developer portal under Membership details")
}

func (r *Report) addCertificates(m *material, now time.Time) {
	_, leaf := m.identity()
	matches := leaf != nil
	if leaf == nil {
		leaf = m.likelyLeaf()
	}
	for _, certificate := range m.certificates {
		if certificate != leaf {
			r.Others = append(r.Others, inspectCertificate(certificate))
		}
	}
	r.Certificate = new(inspectCertificate(leaf))
	info := r.Certificate
	info.HasKey = len(m.keys) > 0
	info.KeyMatches = matches
	r.What = "a certificate: " + info.Kind.String()

	if info.Authority && !matches {
		r.What = "the certificate of an authority"
		if hasExtension(leaf, oidIntermediate) {
			r.What = "an Apple intermediate certificate (WWDR)"
		}
		r.add(SeverityError, "it is no credential; it vouches for others",
			"give your own certificate with its key; intermediates are needed only to sign passes, orders and push packages")
		return
	}
	r.Uses = usesOf(info)
	r.checkKey(m, info)
	r.checkCertificate(leaf, info, now)
}

func (r *Report) checkKey(m *material, info *CertificateInfo) {
	switch {
	case info.KeyMatches:
	case m.keyErr != nil:
		r.addErr(SeverityError, m.keyErr)
	default:
		r.addErr(SeverityError, m.whyNoIdentity())
	}
}

func (r *Report) checkCertificate(leaf *x509.Certificate, info *CertificateInfo, now time.Time) {
	date := info.NotAfter.UTC().Format(time.DateOnly)
	const renew = "make a new one in the developer portal"
	switch days := info.DaysLeft(now); {
	case now.Before(info.NotBefore):
		r.add(SeverityError, "it is not valid before "+info.NotBefore.UTC().Format(time.DateTime)+" UTC", "check this machine's clock")
	case info.Expired(now) && info.Kind == KindMDM:
		r.add(SeverityError, "it expired on "+date, "renew the same one at identity.apple.com: a new one has another topic, and every device would have to enrol again")
	case info.Expired(now):
		r.add(SeverityError, "it expired on "+date+", and APNs refuses the connection", renew)
	case days < 30:
		r.add(SeverityWarning, fmt.Sprintf("it expires on %s, in %d days", date, days), renew+" before then; both work side by side")
	}
	if info.Authority {
		r.add(SeverityWarning, "it is marked as an authority's, which Apple's certificates are not", "check that this is the right file")
	}
	if info.SelfSigned {
		r.add(SeverityWarning, "it is signed by itself and not by Apple, so APNs will refuse it", "use it with a simulator, or give the certificate from the developer portal")
	}
	if info.Kind == KindUnknown {
		r.add(SeverityWarning, "its layout is not one that is known here", "it is used all the same; APNs decides")
	}
	if hasExtension(leaf, oidTopics) && !info.TopicsListed {
		r.add(SeverityWarning, "its list of topics could not be understood; the topic is taken from its UID", "")
	}
	if info.NeedsTopic() {
		r.add(SeverityNote, "it covers several topics, so every request must name one (apns-topic)", "")
	}
	if info.Kind == KindPushSandbox {
		r.add(SeverityNote, "device tokens of apps from the App Store and TestFlight are refused in the sandbox", "")
	}
}

// usesOf says in sentences what a kind can do, with its topics.
func usesOf(info *CertificateInfo) []string {
	var names []string
	for _, topic := range info.Topics {
		names = append(names, topic.Name)
	}
	topics := strings.Join(names, ", ")
	if topics == "" {
		topics = "the topics that APNs knows it for"
	}
	hosts := proto.HostSandbox + " and " + proto.HostProduction
	switch {
	case info.Sandbox && !info.Production:
		hosts = proto.HostSandbox
	case info.Production && !info.Sandbox:
		hosts = proto.HostProduction
	}
	pushes := "pushes to " + topics + " through " + hosts
	switch info.Kind {
	case KindPass:
		return []string{"signing Wallet passes of " + info.UID, "telling devices that such a pass changed, through " + proto.HostProduction}
	case KindOrder:
		return []string{"signing Wallet orders of " + info.UID, "telling devices that such an order changed, through " + proto.HostProduction}
	case KindWebsite:
		return []string{"signing Safari push packages of " + info.UID, pushes}
	case KindMDM:
		return []string{"waking managed devices, topic " + info.UID + ", through " + proto.HostProduction}
	default:
		return []string{pushes}
	}
}
