package webservice

import "aviso.example/internal/service"

// Kind says what a Handler serves.
type Kind uint8

// The kinds. The zero value is Passes.
const (
	Passes Kind = iota
	Orders
)

// String returns passes or orders.
func (k Kind) String() string {
	if k > Orders {
		return "unknown"
	}
	return words[k].collection
}

// vocabulary is in what the two protocols differ.
type vocabulary struct {
	scheme                   service.Scheme
	collection               string // in the path, of what is fetched
	device, typ, serial      string // Apple's names of the parts of the path
	since                    string // in the query
	serials, tag             string // keys of the answer
	contentType, disposition string
}

var words = [...]vocabulary{
	// "Register a Pass for Update Notifications", "Get the List of Updatable Passes",
	// "Send an Updated Pass".
	Passes: {
		scheme: service.ApplePass, collection: "passes",
		device: "deviceLibraryIdentifier", typ: "passTypeIdentifier", serial: "serialNumber",
		since: "passesUpdatedSince", serials: "serialNumbers", tag: "lastUpdated",
		contentType: "application/vnd.apple.pkpass", disposition: `attachment; filename="pass.pkpass"`,
	},
	// "Register a device for update notifications", "Retrieve the registrations for a
	// device", "Retrieve an order". One server library sends
	// application/vnd.apple.order instead; Apple's page says this one.
	Orders: {
		scheme: service.AppleOrder, collection: "orders",
		device: "deviceIdentifier", typ: "orderTypeIdentifier", serial: "orderIdentifier",
		since: "ordersModifiedSince", serials: "orderIdentifiers", tag: "lastModified",
		contentType: "application/vnd.apple.finance.order", disposition: `attachment; filename="order.order"`,
	},
}

// Limits of what a path may hold, in bytes. They are ours, since Apple gives none:
// identifiers of devices have 32 or 36 characters, and types are reverse domain
// names.
const (
	maxDevice = 255
	maxType   = 255
	maxSerial = 1024
)

// maxRegistration bounds the body of a registration, in bytes. It holds one device
// token, for which Apple gives no length; those seen have 64 digits.
const maxRegistration = 16 << 10

// hints recognise what devices report. Apple documents none of the texts; these
// nouns are those of reports that developers published.
var hints = []service.Hint{
	{Words: []string{"response code 401"}, Kind: "unauthorized", Advice: "The authentication token in the package is not the one that Config.AuthenticationToken returns, or it was changed by an update: it has to stay the same."},
	{Words: []string{"authentication fail"}, Kind: "unauthorized", Advice: "The authentication token in the package is not the one that Config.AuthenticationToken returns, or it was changed by an update: it has to stay the same."},
	{Words: []string{"authentication token", "chang"}, Kind: "unauthorized", Advice: "An update must not change the authentication token of a package."},
	{Words: []string{"unmodified"}, Kind: "not modified", Advice: "The package was announced as changed, and what was served is what the device had: call Changed only after the new package can be fetched."},
	{Words: []string{"remained the same"}, Kind: "tag", Advice: "The answer to what changed repeated the tag of the device; does something in between keep copies of answers?"},
	{Words: []string{"lastupdated"}, Kind: "tag", Advice: "The device did not take the tag in the answer to what changed; does something in between rewrite answers?"},
	{Words: []string{"not valid", "signature"}, Kind: "invalid package", Advice: "The package's signature does not verify: look at the certificate, the intermediate and the manifest."},
	{Words: []string{"isn’t valid"}, Kind: "invalid package", Advice: "The device cannot read the package: check its signature, its manifest and that the whole of it arrives."},
	{Words: []string{"isn't valid"}, Kind: "invalid package", Advice: "The device cannot read the package: check its signature, its manifest and that the whole of it arrives."},
	{Words: []string{"invalid", "data"}, Kind: "invalid package", Advice: "The device cannot read the package: check its signature, its manifest and that the whole of it arrives."},
	{Words: []string{"serial number", "match"}, Kind: "wrong package", Advice: "The package that was served has another serial number or type than the one asked for."},
	{Words: []string{"content-type"}, Kind: "content type", Advice: "The device did not take the Content-Type; does something in between rewrite it?"},
	{Words: []string{"mime"}, Kind: "content type", Advice: "The device did not take the Content-Type; does something in between rewrite it?"},
	{Words: []string{"personaliz"}, Kind: "personalization", Advice: "The sign-up to a reward card failed."},
	{Words: []string{"response code 404"}, Kind: "not found", Advice: "A path was not served: is the webServiceURL in the package the address that the Handler is mounted at, without /v1?"},
	{Words: []string{"response code 5"}, Kind: "server error", Advice: "The service, or something in front of it, failed; its own log says more."},
	{Words: []string{"certificate"}, Kind: "tls", Advice: "The device does not trust the web service's TLS certificate, or its chain is incomplete."},
	{Words: []string{"ssl"}, Kind: "tls", Advice: "The device does not trust the web service's TLS certificate, or its chain is incomplete."},
	{Words: []string{"timed out"}, Kind: "unreachable", Advice: "The web service did not answer in time."},
	{Words: []string{"could not connect"}, Kind: "unreachable", Advice: "The device did not reach the web service."},
}
