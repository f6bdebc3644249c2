package wallet

// Barcode is a code for scanners (Apple, "Pass.Barcodes").
type Barcode struct {
	Format  BarcodeFormat `json:"format"`
	Message string        `json:"message"`
	// MessageEncoding is an IANA name of a character set. Scanners mostly
	// assume iso-8859-1.
	MessageEncoding string `json:"messageEncoding"`
	// AltText is shown near the code; not on watchOS.
	AltText string `json:"altText"`

	Extra Extra `json:"-"`
}

// BarcodeFormat is a kind of barcode.
type BarcodeFormat string

// The barcode formats. The first three are known to every device, Code 128 to
// iOS 9 and never to watchOS, the others to iOS 27.
const (
	BarcodeQR      BarcodeFormat = "PKBarcodeFormatQR"
	BarcodePDF417  BarcodeFormat = "PKBarcodeFormatPDF417"
	BarcodeAztec   BarcodeFormat = "PKBarcodeFormatAztec"
	BarcodeCode128 BarcodeFormat = "PKBarcodeFormatCode128"
	BarcodeCode39  BarcodeFormat = "PKBarcodeFormatCode39"
	BarcodeCodabar BarcodeFormat = "PKBarcodeFormatCodabar"
	BarcodeEAN13   BarcodeFormat = "PKBarcodeFormatEAN13"
	BarcodeI2of5   BarcodeFormat = "PKBarcodeFormatI2of5"
)

// NFC is what a pass hands to a terminal. It needs a certificate "Pass Type ID
// with NFC", which Apple grants (Apple, "Pass.NFC").
type NFC struct {
	// Message has at most 64 bytes; the system cuts off what is longer.
	Message string `json:"message"`
	// EncryptionPublicKey is the base64 of a P-256 key as SubjectPublicKeyInfo
	// in DER, in one line and without PEM armour.
	EncryptionPublicKey string `json:"encryptionPublicKey"`
	// RequiresAuthentication is false if absent; poster event tickets have to
	// say which.
	RequiresAuthentication *bool `json:"requiresAuthentication"`

	Extra Extra `json:"-"`
}

// Location is a place where the pass becomes relevant (Apple, "Pass.Locations").
type Location struct {
	Latitude  *float64 `json:"latitude"`
	Longitude *float64 `json:"longitude"`
	// Altitude is in metres.
	Altitude *float64 `json:"altitude"`
	// RelevantText is shown on the lock screen. Localisable.
	RelevantText string `json:"relevantText"`

	Extra Extra `json:"-"`
}

// At makes a location of degrees north and east.
func At(latitude, longitude float64) Location {
	return Location{Latitude: new(latitude), Longitude: new(longitude)}
}

// Beacon is a Bluetooth beacon near which the pass becomes relevant (Apple,
// "Pass.Beacons").
type Beacon struct {
	ProximityUUID string  `json:"proximityUUID"`
	Major         *uint16 `json:"major"`
	Minor         *uint16 `json:"minor"`
	// RelevantText is shown on the lock screen. Localisable.
	RelevantText string `json:"relevantText"`

	Extra Extra `json:"-"`
}

// RelevantDate is a moment or a period in which the pass is relevant: Date, or
// StartDate and EndDate together (Apple, "Pass.RelevantDates"; iOS 18).
type RelevantDate struct {
	Date      Date `json:"date"`
	StartDate Date `json:"startDate"`
	EndDate   Date `json:"endDate"`
	// RelevantDate is what early versions of iOS 18 called Date.
	RelevantDate Date `json:"relevantDate"`

	Extra Extra `json:"-"`
}

// FeaturedAction is something that Wallet offers to do, such as to call (iOS 27;
// WWDC 2026, session 209).
type FeaturedAction struct {
	Identifier string `json:"identifier"`
	// Type is one of Apple's words, such as "viewSchedule", "call" or "shop".
	Type string `json:"type"`
	URL  string `json:"url"`
	// PlaceIdentifier is for the type "place", instead of URL; known from
	// passkit-generator and not from Apple's pages.
	PlaceIdentifier string `json:"placeIdentifier"`

	Extra Extra `json:"-"`
}

// UpcomingPass is one event of a season ticket (Apple,
// "UpcomingPassInformationEntry"; iOS 26, poster event tickets).
type UpcomingPass struct {
	// Identifier is unique in the list.
	Identifier string `json:"identifier"`
	Name       string `json:"name"`
	// Type is "event".
	Type            string           `json:"type"`
	IsActive        bool             `json:"isActive"`
	DateInformation *DateInformation `json:"dateInformation"`
	URLs            *UpcomingURLs    `json:"URLs"`
	Images          *UpcomingImages  `json:"images"`

	AdditionalInfoFields      []Field       `json:"additionalInfoFields"`
	BackFields                []Field       `json:"backFields"`
	AuxiliaryStoreIdentifiers []int64       `json:"auxiliaryStoreIdentifiers"`
	Semantics                 *SemanticTags `json:"semantics"`

	Extra Extra `json:"-"`
}

// DateInformation says when an upcoming event is; absent means "TBD".
type DateInformation struct {
	Date                 Date   `json:"date"`
	IgnoreTimeComponents bool   `json:"ignoreTimeComponents"`
	IsAllDay             bool   `json:"isAllDay"`
	IsUnannounced        bool   `json:"isUnannounced"`
	IsUndetermined       bool   `json:"isUndetermined"`
	TimeZone             string `json:"timeZone"`

	Extra Extra `json:"-"`
}

// UpcomingURLs are the links of an upcoming event.
type UpcomingURLs struct {
	AccessibilityURL         string `json:"accessibilityURL"`
	AddOnURL                 string `json:"addOnURL"`
	BagPolicyURL             string `json:"bagPolicyURL"`
	ContactVenueEmail        string `json:"contactVenueEmail"`
	ContactVenuePhoneNumber  string `json:"contactVenuePhoneNumber"`
	ContactVenueWebsite      string `json:"contactVenueWebsite"`
	DirectionsInformationURL string `json:"directionsInformationURL"`
	MerchandiseURL           string `json:"merchandiseURL"`
	OrderFoodURL             string `json:"orderFoodURL"`
	ParkingInformationURL    string `json:"parkingInformationURL"`
	PurchaseParkingURL       string `json:"purchaseParkingURL"`
	SellURL                  string `json:"sellURL"`
	TransferURL              string `json:"transferURL"`
	TransitInformationURL    string `json:"transitInformationURL"`

	Extra Extra `json:"-"`
}

// UpcomingImages are the images of an upcoming event, which Wallet downloads.
type UpcomingImages struct {
	HeaderImage *RemoteImage `json:"headerImage"`
	VenueMap    *RemoteImage `json:"venueMap"`

	Extra Extra `json:"-"`
}

// RemoteImage is an image in several scales.
type RemoteImage struct {
	URLs []RemoteImageURL `json:"URLs"`
	// ReuseExisting is false if absent; more than its name is not documented.
	ReuseExisting bool `json:"reuseExisting"`

	Extra Extra `json:"-"`
}

// RemoteImageURL is an image in one scale.
type RemoteImageURL struct {
	// URL begins with https.
	URL string `json:"URL"`
	// SHA256 is the hash of the image in hexadecimal.
	SHA256 string `json:"SHA256"`
	// Scale is 1 if absent.
	Scale *int64 `json:"scale"`
	// Size is in bytes, at most 2,097,152.
	Size *int64 `json:"size"`

	Extra Extra `json:"-"`
}

// Personalization is the file personalization.json: how to sign up for a reward
// card (Apple, "Personalize"). The pass needs nfc and a web service.
type Personalization struct {
	Description                   string                 `json:"description"`
	RequiredPersonalizationFields []PersonalizationField `json:"requiredPersonalizationFields"`
	// TermsAndConditions may contain HTML links.
	TermsAndConditions string `json:"termsAndConditions"`

	Extra Extra `json:"-"`
}

// PersonalizationField is something that the user is asked for.
type PersonalizationField string

// The fields of a personalization.
const (
	PersonalizationName         PersonalizationField = "PKPassPersonalizationFieldName"
	PersonalizationPostalCode   PersonalizationField = "PKPassPersonalizationFieldPostalCode"
	PersonalizationEmailAddress PersonalizationField = "PKPassPersonalizationFieldEmailAddress"
	PersonalizationPhoneNumber  PersonalizationField = "PKPassPersonalizationFieldPhoneNumber"
)
