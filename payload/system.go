package payload

import "aviso.example/internal/proto"

// The containers a [FileProvider] push can name.
const (
	// ContainerWorkingSet is the only one that replicated extensions listen to.
	ContainerWorkingSet = "NSFileProviderWorkingSetContainerItemIdentifier"
	// ContainerRoot is the root of a domain.
	ContainerRoot = "NSFileProviderRootContainerItemIdentifier"
)

// FileProvider tells a File Provider extension that something changed ("Using
// push notifications to signal changes"). Only a provider token can send it.
type FileProvider struct {
	// Container is the identifier of what changed; [ContainerWorkingSet] when
	// empty, which is right for every replicated extension.
	Container string
	// Domain is the identifier of the domain; required.
	Domain string
}

// PushType returns "fileprovider".
func (FileProvider) PushType() PushType { return proto.PushTypeFileProvider }

// JSON returns the body, at most 4096 bytes; see [Payload].
func (p FileProvider) JSON() ([]byte, error) { return owned(p.AppendJSON(nil)) }

// AppendJSON appends what JSON returns to dst. On error it returns dst as it
// was.
func (p FileProvider) AppendJSON(dst []byte) ([]byte, error) {
	e := begin(dst)
	if p.Container == "" {
		p.Container = ContainerWorkingSet
	}
	e.text("", "container-identifier", p.Container)
	if p.Domain == "" {
		e.problem("/domain", "the extension cannot tell which domain changed",
			"set Domain to the identifier the app registered")
	}
	e.text("", "domain", p.Domain)
	return e.finish(proto.PushTypeFileProvider, proto.MaxPayload)
}

// MDM asks a managed device to contact its server ("Sending MDM commands to a
// device"). The body is exactly {"mdm":"<PushMagic>"}. Only an MDM push
// certificate can send it.
type MDM struct {
	// PushMagic is what the device sent in its TokenUpdate message; required.
	PushMagic string
}

// PushType returns "mdm".
func (MDM) PushType() PushType { return proto.PushTypeMDM }

// JSON returns the body, at most 4096 bytes; see [Payload].
func (p MDM) JSON() ([]byte, error) { return owned(p.AppendJSON(nil)) }

// AppendJSON appends what JSON returns to dst. On error it returns dst as it
// was.
func (p MDM) AppendJSON(dst []byte) ([]byte, error) {
	e := begin(dst)
	if p.PushMagic == "" {
		e.problem("/mdm", "the device ignores a push without its PushMagic",
			"set PushMagic to the value in the device's TokenUpdate message")
	}
	e.text("", "mdm", p.PushMagic)
	return e.finish(proto.PushTypeMDM, proto.MaxPayload)
}

// Widgets reloads all widget timelines of the app ("Updating widgets with
// WidgetKit push notifications"). It carries nothing else: the widget fetches
// its own data. Pushes are budgeted and opportunistic.
type Widgets struct{}

// PushType returns "widgets".
func (Widgets) PushType() PushType { return proto.PushTypeWidgets }

// JSON returns {"aps":{"content-changed":true}}.
func (p Widgets) JSON() ([]byte, error) { return owned(p.AppendJSON(nil)) }

// AppendJSON appends what JSON returns to dst.
func (Widgets) AppendJSON(dst []byte) ([]byte, error) { return append(dst, contentChanged...), nil }

// Controls reloads one control ("Updating controls locally and remotely"). The
// device token belongs to one configured control. It carries nothing else.
type Controls struct{}

// PushType returns "controls".
func (Controls) PushType() PushType { return proto.PushTypeControls }

// JSON returns {"aps":{"content-changed":true}}.
func (p Controls) JSON() ([]byte, error) { return owned(p.AppendJSON(nil)) }

// AppendJSON appends what JSON returns to dst.
func (Controls) AppendJSON(dst []byte) ([]byte, error) { return append(dst, contentChanged...), nil }

const contentChanged = `{"aps":{"content-changed":true}}`

// WalletUpdate tells a device that a pass or an order changed ("Adding a Web
// Service to Update Passes"). The topic is the pass or order type identifier,
// the environment always production; the device then asks the web service for
// the rest.
type WalletUpdate struct{}

// PushType returns "", because Apple documents no push type for Wallet. A
// sender that must state one can say background with priority 5 (observed).
func (WalletUpdate) PushType() PushType { return "" }

// JSON returns {}.
func (p WalletUpdate) JSON() ([]byte, error) { return owned(p.AppendJSON(nil)) }

// AppendJSON appends what JSON returns to dst.
func (WalletUpdate) AppendJSON(dst []byte) ([]byte, error) { return append(dst, "{}"...), nil }
