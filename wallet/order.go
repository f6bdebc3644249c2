package wallet

// Order is the file order.json: a purchase that Wallet follows (Apple, "Order";
// iOS 16). Fields at their zero value are not written.
type Order struct {
	// SchemaVersion is 1. OrderTemplate.Sign fills it in, and the identifier of
	// the order type, if they are missing.
	SchemaVersion       int    `json:"schemaVersion"`
	OrderTypeIdentifier string `json:"orderTypeIdentifier"`
	// OrderIdentifier is unique within the type.
	OrderIdentifier string `json:"orderIdentifier"`
	// OrderType is "ecommerce".
	OrderType          string      `json:"orderType"`
	OrderNumber        string      `json:"orderNumber"`
	OrderManagementURL string      `json:"orderManagementURL"`
	Status             OrderStatus `json:"status"`
	StatusDescription  string      `json:"statusDescription"`
	// CreatedAt and UpdatedAt are equal at first; UpdatedAt grows with every
	// change.
	CreatedAt Date           `json:"createdAt"`
	UpdatedAt Date           `json:"updatedAt"`
	Merchant  *OrderMerchant `json:"merchant"`

	Customer      *OrderCustomer     `json:"customer"`
	OrderProvider *OrderProvider     `json:"orderProvider"`
	Barcode       *OrderBarcode      `json:"barcode"`
	LineItems     []OrderLineItem    `json:"lineItems"`
	Fulfillments  []OrderFulfillment `json:"fulfillments"`
	Payment       *OrderPayment      `json:"payment"`
	// ReturnInfo and Returns are for iOS 17.2.
	ReturnInfo *OrderReturnInfo `json:"returnInfo"`
	Returns    []OrderReturn    `json:"returns"`

	// WebServiceURL and AuthenticationToken go together.
	WebServiceURL       string `json:"webServiceURL"`
	AuthenticationToken string `json:"authenticationToken"`
	// ChangeNotifications is "enabled", the default, or
	// "disabledIfAppInstalled".
	ChangeNotifications              string             `json:"changeNotifications"`
	AssociatedApplications           []OrderApplication `json:"associatedApplications"`
	AssociatedApplicationIdentifiers []string           `json:"associatedApplicationIdentifiers"`

	Extra Extra `json:"-"`
}

// ParseOrder reads order.json, as [ParsePass] reads pass.json.
func ParseOrder(data []byte) (*Order, error) { return parse[Order](data) }

// MarshalJSON writes order.json in a fixed order of keys, without white space.
func (o Order) MarshalJSON() ([]byte, error) { return marshal(&o) }

// UnmarshalJSON reads order.json as ParseOrder does.
func (o *Order) UnmarshalJSON(data []byte) error { return unmarshal(data, o) }

// OrderStatus is the state of an order as a whole.
type OrderStatus string

// The states of an order.
const (
	OrderOpen      OrderStatus = "open"
	OrderCompleted OrderStatus = "completed"
	OrderCancelled OrderStatus = "cancelled"
)

// OrderMerchant is who sold it (Apple, "Merchant").
type OrderMerchant struct {
	// DisplayName is localisable.
	DisplayName string `json:"displayName"`
	// MerchantIdentifier belongs to the team of the certificate.
	MerchantIdentifier string `json:"merchantIdentifier"`
	URL                string `json:"url"`
	// Logo is the name of an image in the package, without scale and extension.
	Logo            string        `json:"logo"`
	Address         *OrderAddress `json:"address"`
	BusinessChatURL string        `json:"businessChatURL"`
	ContactURL      string        `json:"contactURL"`
	EmailAddress    string        `json:"emailAddress"`
	PhoneNumber     string        `json:"phoneNumber"`

	Extra Extra `json:"-"`
}

// OrderProvider is the platform that delivers the order information (Apple,
// "OrderProvider"). The logos are names of images in the package.
type OrderProvider struct {
	DisplayName                      string `json:"displayName"`
	URL                              string `json:"url"`
	TrackingLogoNameDarkColorScheme  string `json:"trackingLogoNameDarkColorScheme"`
	TrackingLogoNameLightColorScheme string `json:"trackingLogoNameLightColorScheme"`

	Extra Extra `json:"-"`
}

// OrderCustomer is who bought it (Apple, "Customer").
type OrderCustomer struct {
	GivenName        string `json:"givenName"`
	FamilyName       string `json:"familyName"`
	OrganizationName string `json:"organizationName"`
	EmailAddress     string `json:"emailAddress"`
	PhoneNumber      string `json:"phoneNumber"`

	Extra Extra `json:"-"`
}

// OrderAddress is a postal address (Apple, "Address").
type OrderAddress struct {
	AddressLines          []string `json:"addressLines"`
	Locality              string   `json:"locality"`
	SubLocality           string   `json:"subLocality"`
	AdministrativeArea    string   `json:"administrativeArea"`
	SubAdministrativeArea string   `json:"subAdministrativeArea"`
	PostalCode            string   `json:"postalCode"`
	// CountryCode has two letters (ISO 3166).
	CountryCode string `json:"countryCode"`

	Extra Extra `json:"-"`
}

// OrderLocation is a place (Apple, "Location").
type OrderLocation struct {
	Latitude  *float64 `json:"latitude"`
	Longitude *float64 `json:"longitude"`
	Altitude  *float64 `json:"altitude"`

	Extra Extra `json:"-"`
}

// OrderBarcode is a code for scanners (Apple, "Barcode").
type OrderBarcode struct {
	// Format is "qr", "pdf417", "aztec" or "code128".
	Format          string `json:"format"`
	Message         string `json:"message"`
	MessageEncoding string `json:"messageEncoding"`
	AltText         string `json:"altText"`

	Extra Extra `json:"-"`
}

// OrderApplication is an app that goes with the order (Apple, "Application").
type OrderApplication struct {
	StoreIdentifier             int64  `json:"storeIdentifier"`
	LaunchURL                   string `json:"launchURL"`
	CustomProductPageIdentifier string `json:"customProductPageIdentifier"`

	Extra Extra `json:"-"`
}

// OrderAmount is an amount of money in an order (Apple, "CurrencyAmount").
type OrderAmount struct {
	// Amount is a decimal number as text, such as "12.50".
	Amount string `json:"amount"`
	// Currency has three letters (ISO 4217).
	Currency string `json:"currency"`

	Extra Extra `json:"-"`
}

// OrderLineItem is one thing bought (Apple, "LineItem").
type OrderLineItem struct {
	Title    string  `json:"title"`
	Subtitle string  `json:"subtitle"`
	Quantity float64 `json:"quantity"`
	// Image is the name of an image in the package.
	Image string       `json:"image"`
	Price *OrderAmount `json:"price"`
	GTIN  string       `json:"gtin"`
	SKU   string       `json:"sku"`

	Extra Extra `json:"-"`
}
