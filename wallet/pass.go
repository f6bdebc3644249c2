package wallet

import "encoding/json"

// Extra holds what the fields of a struct cannot express, by key: keys that this
// package does not know, values of another type than Apple documents, null, and
// empty values of keys whose absence means the same, such as "label": "". It is
// filled on reading and written again, unless the field has a value by then. Use
// it for keys that are newer than this package.
type Extra map[string]json.RawMessage

// Pass is the file pass.json (Apple, "Pass"). Fields at their zero value are not
// written. Texts marked as localisable are looked up in pass.strings.
type Pass struct {
	// FormatVersion is 1. Template.Sign fills it in, and the identifiers of
	// pass type and team, if they are missing.
	FormatVersion      int    `json:"formatVersion"`
	PassTypeIdentifier string `json:"passTypeIdentifier"`
	// SerialNumber and PassTypeIdentifier together say which pass this is: a
	// second one replaces the first.
	SerialNumber   string `json:"serialNumber"`
	TeamIdentifier string `json:"teamIdentifier"`
	// OrganizationName is shown on the lock screen. Localisable.
	OrganizationName string `json:"organizationName"`
	// Description is what VoiceOver reads. Localisable.
	Description string `json:"description"`

	// One classic style is needed, PosterGeneric (iOS 27) may stand beside it.
	BoardingPass  *Style `json:"boardingPass"`
	Coupon        *Style `json:"coupon"`
	EventTicket   *Style `json:"eventTicket"`
	Generic       *Style `json:"generic"`
	StoreCard     *Style `json:"storeCard"`
	PosterGeneric *Style `json:"posterGeneric"`
	// PreferredStyleSchemes lists designs to try in order, such as
	// SchemePosterEventTicket, eventTicket.
	PreferredStyleSchemes []string `json:"preferredStyleSchemes"`

	// LogoText stands beside the logo. Localisable.
	LogoText        string `json:"logoText"`
	BackgroundColor Color  `json:"backgroundColor"`
	ForegroundColor Color  `json:"foregroundColor"`
	LabelColor      Color  `json:"labelColor"`
	// StripColor and LogoSymbolName stand in Apple's pass-builder and in no
	// documentation.
	StripColor     Color  `json:"stripColor"`
	LogoSymbolName string `json:"logoSymbolName"`
	// SuppressStripShine is true if absent.
	SuppressStripShine *bool `json:"suppressStripShine"`

	// Barcodes are tried in order; the first that the device can draw is shown.
	Barcodes []Barcode `json:"barcodes"`
	// Barcode is for iOS 8 and earlier.
	Barcode *Barcode `json:"barcode"`
	NFC     *NFC     `json:"nfc"`

	ExpirationDate Date `json:"expirationDate"`
	Voided         bool `json:"voided"`
	// RelevantDates is for iOS 18 and later, RelevantDate for what is older.
	RelevantDates []RelevantDate `json:"relevantDates"`
	RelevantDate  Date           `json:"relevantDate"`
	Locations     []Location     `json:"locations"`
	Beacons       []Beacon       `json:"beacons"`
	// MaxDistance is in metres; the system's own limit applies if it is smaller.
	MaxDistance *float64 `json:"maxDistance"`

	// WebServiceURL and AuthenticationToken go together: where updates come
	// from, and what proves that a device has the pass.
	WebServiceURL       string `json:"webServiceURL"`
	AuthenticationToken string `json:"authenticationToken"`

	AppLaunchURL               string  `json:"appLaunchURL"`
	AssociatedStoreIdentifiers []int64 `json:"associatedStoreIdentifiers"`
	// UserInfo is any JSON, for the app; Wallet never shows it.
	UserInfo json.RawMessage `json:"userInfo"`
	// GroupingIdentifier groups boarding passes and event tickets.
	GroupingIdentifier string `json:"groupingIdentifier"`
	// SharingProhibited hides the button to share.
	SharingProhibited bool          `json:"sharingProhibited"`
	Semantics         *SemanticTags `json:"semantics"`
	// FeaturedActions are for iOS 27, at most two.
	FeaturedActions []FeaturedAction `json:"featuredActions"`

	// Poster event tickets, iOS 18.
	AccessibilityURL          string  `json:"accessibilityURL"`
	AddOnURL                  string  `json:"addOnURL"`
	AuxiliaryStoreIdentifiers []int64 `json:"auxiliaryStoreIdentifiers"`
	BagPolicyURL              string  `json:"bagPolicyURL"`
	ContactVenueEmail         string  `json:"contactVenueEmail"`
	ContactVenuePhoneNumber   string  `json:"contactVenuePhoneNumber"`
	ContactVenueWebsite       string  `json:"contactVenueWebsite"`
	DirectionsInformationURL  string  `json:"directionsInformationURL"`
	// EventLogoText is for iOS 18.1. Localisable.
	EventLogoText           string `json:"eventLogoText"`
	FooterBackgroundColor   Color  `json:"footerBackgroundColor"`
	MerchandiseURL          string `json:"merchandiseURL"`
	OrderFoodURL            string `json:"orderFoodURL"`
	ParkingInformationURL   string `json:"parkingInformationURL"`
	PurchaseParkingURL      string `json:"purchaseParkingURL"`
	SellURL                 string `json:"sellURL"`
	SuppressHeaderDarkening bool   `json:"suppressHeaderDarkening"`
	TransferURL             string `json:"transferURL"`
	TransitInformationURL   string `json:"transitInformationURL"`
	// UseAutomaticColors overrides ForegroundColor and LabelColor.
	UseAutomaticColors bool `json:"useAutomaticColors"`
	// UpcomingPassInformation is for iOS 26: the events of a season ticket.
	UpcomingPassInformation []UpcomingPass `json:"upcomingPassInformation"`

	// Semantic boarding passes, iOS 26.
	ChangeSeatURL                string `json:"changeSeatURL"`
	EntertainmentURL             string `json:"entertainmentURL"`
	ManagementURL                string `json:"managementURL"`
	PurchaseAdditionalBaggageURL string `json:"purchaseAdditionalBaggageURL"`
	PurchaseLoungeAccessURL      string `json:"purchaseLoungeAccessURL"`
	PurchaseWifiURL              string `json:"purchaseWifiURL"`
	RegisterServiceAnimalURL     string `json:"registerServiceAnimalURL"`
	ReportLostBagURL             string `json:"reportLostBagURL"`
	RequestWheelchairURL         string `json:"requestWheelchairURL"`
	TrackBagsURL                 string `json:"trackBagsURL"`
	TransitProviderEmail         string `json:"transitProviderEmail"`
	TransitProviderPhoneNumber   string `json:"transitProviderPhoneNumber"`
	TransitProviderWebsiteURL    string `json:"transitProviderWebsiteURL"`
	UpgradeURL                   string `json:"upgradeURL"`

	Extra Extra `json:"-"`
}

// The designs of PreferredStyleSchemes that are no keys of their own. If the
// conditions of a design are not met, Wallet uses the next one without a word.
const (
	// SchemePosterEventTicket is for event tickets, iOS 18.
	SchemePosterEventTicket = "posterEventTicket"
	// SchemeSemanticBoardingPass is for boarding passes by air, iOS 26.
	SchemeSemanticBoardingPass = "semanticBoardingPass"
)

// The keys of the styles.
const (
	StyleBoardingPass  = "boardingPass"
	StyleCoupon        = "coupon"
	StyleEventTicket   = "eventTicket"
	StyleGeneric       = "generic"
	StyleStoreCard     = "storeCard"
	StylePosterGeneric = "posterGeneric"
)

// Style returns the key and the fields of the pass's style: of the classic style
// if there is one, else of posterGeneric, else "" and nil.
func (p *Pass) Style() (name string, style *Style) {
	for name, style := range p.styles() {
		if *style != nil {
			return name, *style
		}
	}
	return "", nil
}

// styles yields all styles, absent ones too, posterGeneric last.
func (p *Pass) styles() func(yield func(string, **Style) bool) {
	return func(yield func(string, **Style) bool) {
		_ = yield(StyleBoardingPass, &p.BoardingPass) && yield(StyleCoupon, &p.Coupon) &&
			yield(StyleEventTicket, &p.EventTicket) && yield(StyleGeneric, &p.Generic) &&
			yield(StyleStoreCard, &p.StoreCard) && yield(StylePosterGeneric, &p.PosterGeneric)
	}
}

// ParsePass reads pass.json. If it is no JSON object the Pass is nil. If values
// have the wrong type or keys occur twice, the error is an *InvalidError that
// lists all of them, and the Pass is there nevertheless, with the values of the
// wrong type in Extra and the last of the values that occur twice. It checks no
// more than that; see [CheckPass].
func ParsePass(data []byte) (*Pass, error) { return parse[Pass](data) }

// MarshalJSON writes pass.json in a fixed order of keys, without white space.
func (p Pass) MarshalJSON() ([]byte, error) { return marshal(&p) }

// UnmarshalJSON reads pass.json as ParsePass does.
func (p *Pass) UnmarshalJSON(data []byte) error { return unmarshal(data, p) }
