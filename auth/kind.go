package auth

import (
	"crypto/x509"
	"strings"

	"aviso.example/internal/proto"
)

// Kind is what Apple issued a certificate for.
type Kind int

// The kinds of certificate. A layout that is not known is KindUnknown and never
// an error: Apple adds kinds without notice.
const (
	KindUnknown Kind = iota
	// KindPushSandbox and the two after it are for the pushes of one app.
	KindPushSandbox
	KindPushProduction
	KindPushUniversal
	// KindVoIP is for VoIP pushes of one app.
	KindVoIP
	// KindWatchKit is for complications of one app.
	KindWatchKit
	// KindWebsite is for Safari website pushes and signs push packages.
	KindWebsite
	// KindPass is for updates of Wallet passes and signs passes.
	KindPass
	// KindOrder is for updates of Wallet orders and signs orders.
	KindOrder
	// KindMDM is for a device management server.
	KindMDM
)

var kindNames = [...]struct{ name, text string }{
	KindUnknown:        {"unknown", "unknown kind"},
	KindPushSandbox:    {"push-sandbox", "app push, sandbox only"},
	KindPushProduction: {"push-production", "app push, production only"},
	KindPushUniversal:  {"push-universal", "app push, sandbox and production"},
	KindVoIP:           {"voip", "VoIP push"},
	KindWatchKit:       {"watchkit", "WatchKit complication push"},
	KindWebsite:        {"website", "website push (Safari)"},
	KindPass:           {"pass", "Wallet pass"},
	KindOrder:          {"order", "Wallet order"},
	KindMDM:            {"mdm", "device management (MDM) push"},
}

// String describes the kind in a few words for people.
func (k Kind) String() string {
	if k < 0 || int(k) >= len(kindNames) {
		k = KindUnknown
	}
	return kindNames[k].text
}

// MarshalText writes a short name for programs: unknown, push-sandbox,
// push-production, push-universal, voip, watchkit, website, pass, order, mdm.
func (k Kind) MarshalText() ([]byte, error) {
	if k < 0 || int(k) >= len(kindNames) {
		k = KindUnknown
	}
	return []byte(kindNames[k].name), nil
}

// UnmarshalText reads what MarshalText writes; any other name is KindUnknown.
func (k *Kind) UnmarshalText(text []byte) error {
	*k = KindUnknown
	for kind, names := range kindNames {
		if names.name == string(text) {
			*k = Kind(kind)
		}
	}
	return nil
}

// kindOf decides by the strongest mark first. The order matters, since pass and
// website certificates bear the mark of production push as well.
func kindOf(certificate *x509.Certificate, uid string) Kind {
	commonName := certificate.Subject.CommonName
	sandbox := hasExtension(certificate, oidPushSandbox)
	production := hasExtension(certificate, oidPushProduction)
	switch {
	case hasExtension(certificate, oidPassType):
		return KindPass
	case hasExtension(certificate, oidWebsitePush), strings.HasPrefix(uid, proto.TopicPrefixWebsite):
		return KindWebsite
	case strings.HasPrefix(uid, proto.TopicPrefixMDM):
		return KindMDM
	case hasExtension(certificate, oidVoIP), strings.HasSuffix(uid, ".voip"):
		return KindVoIP
	// Neither of the next two has a mark that is known for certain, so their
	// names have to do.
	case strings.HasPrefix(commonName, "Order Type ID:"):
		return KindOrder
	case strings.HasPrefix(commonName, "WatchKit Services:"), strings.HasSuffix(uid, ".complication"):
		return KindWatchKit
	case strings.HasPrefix(commonName, "Pass Type ID"):
		return KindPass
	case sandbox && production:
		return KindPushUniversal
	case sandbox:
		return KindPushSandbox
	case production:
		return KindPushProduction
	default:
		return KindUnknown
	}
}
