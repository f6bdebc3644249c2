package sim

import (
	"crypto/x509"
	"encoding/asn1"
	"slices"
	"strings"
	"time"

	"aviso.example/internal/proto"
)

// Extensions and attributes of Apple's push certificates (read from certificates
// Apple issued; docs/simulator-fidelity.md).
var (
	oidSandbox    = asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 6, 3, 1}
	oidProduction = asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 6, 3, 2}
	oidTopics     = asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 6, 3, 6}
	oidUID        = asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 1}
)

// clientCertificate is what a certificate allows its connection to do.
type clientCertificate struct {
	uid    string
	team   string
	topics []string
	// listed says that the topics came from extension 6.3.6, in which case
	// apns-topic must be stated even when the list has one entry.
	listed              bool
	sandbox, production bool
	notBefore, notAfter time.Time
}

// readCertificate never fails: a certificate that says nothing about push has no
// topics, which is answered with BadCertificate.
func readCertificate(cert *x509.Certificate) *clientCertificate {
	c := &clientCertificate{notBefore: cert.NotBefore, notAfter: cert.NotAfter}
	for _, name := range cert.Subject.Names {
		if name.Type.Equal(oidUID) {
			c.uid, _ = name.Value.(string)
		}
	}
	if len(cert.Subject.OrganizationalUnit) > 0 {
		c.team = cert.Subject.OrganizationalUnit[0]
	}
	for _, ext := range cert.Extensions {
		switch {
		case ext.Id.Equal(oidSandbox):
			c.sandbox = true
		case ext.Id.Equal(oidProduction):
			c.production = true
		case ext.Id.Equal(oidTopics):
			if topics := readTopics(ext.Value); len(topics) > 0 {
				c.topics, c.listed = topics, true
			}
		}
	}
	// VoIP, WatchKit, pass and website certificates carry neither marker; which
	// environments they work in is not documented, so they work in both.
	if !c.sandbox && !c.production {
		c.sandbox, c.production = true, true
	}
	if c.uid != "" && !slices.Contains(c.topics, c.uid) {
		c.topics = append(c.topics, c.uid)
	}
	return c
}

// readTopics reads the value of extension 6.3.6: one SEQUENCE in which topics
// and lists of their kinds alternate. Anything else yields nothing.
func readTopics(der []byte) []string {
	var members []asn1.RawValue
	if rest, err := asn1.Unmarshal(der, &members); err != nil || len(rest) > 0 {
		return nil
	}
	var topics []string
	for i := 0; i < len(members); i += 2 {
		if m := members[i]; m.Class == asn1.ClassUniversal && m.Tag == asn1.TagUTF8String {
			topics = append(topics, string(m.Bytes))
		}
	}
	return topics
}

// problem returns the reason this certificate cannot be used here and now.
func (c *clientCertificate) problem(env Environment, now time.Time) proto.Reason {
	switch {
	case len(c.topics) == 0, now.Before(c.notBefore), now.After(c.notAfter):
		return proto.ReasonBadCertificate
	case !c.worksIn(env):
		return proto.ReasonBadCertificateEnvironment
	}
	return ""
}

func (c *clientCertificate) worksIn(env Environment) bool {
	return env == Sandbox && c.sandbox || env == Production && c.production
}

// topicFor returns the topic of a request on this connection, or the reason
// there is none ("Establishing a certificate-based connection to APNs").
func (c *clientCertificate) topicFor(stated string) (string, proto.Reason) {
	if stated == "" {
		if c.listed || len(c.topics) != 1 {
			return "", proto.ReasonMissingTopic
		}
		return c.topics[0], ""
	}
	if !slices.Contains(c.topics, stated) {
		return "", proto.ReasonTopicDisallowed
	}
	return stated, ""
}

// knownSuffixes are what a push type may add to a bundle identifier, longest
// first so that .voip-ptt is not taken for .voip.
var knownSuffixes = func() []string {
	var list []string
	for _, rule := range proto.TypeRules {
		if rule.TopicSuffix != "" {
			list = append(list, rule.TopicSuffix)
		}
	}
	slices.SortFunc(list, func(a, b string) int { return len(b) - len(a) })
	return list
}()

// bundleOf takes a push type's suffix off a topic.
func bundleOf(topic string) string {
	for _, suffix := range knownSuffixes {
		if b, ok := strings.CutSuffix(topic, suffix); ok && b != "" {
			return b
		}
	}
	return topic
}

// covers says whether a list of bundle identifiers or full topics allows topic.
func covers(list []string, topic string) bool {
	if slices.Contains(list, topic) {
		return true
	}
	bundle := bundleOf(topic)
	return bundle != topic && slices.Contains(list, bundle)
}
