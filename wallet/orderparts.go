package wallet

// OrderFulfillment is how things reach the customer (Apple,
// "ShippingFulfillment" and "PickupFulfillment"). Which fields it may have
// depends on its type.
type OrderFulfillment struct {
	// FulfillmentType is "shipping" or "pickup".
	FulfillmentType       string `json:"fulfillmentType"`
	FulfillmentIdentifier string `json:"fulfillmentIdentifier"`
	// Status is, for shipping: open, processing, onTheWay, outForDelivery,
	// delivered, shipped, issue, cancelled; for pickup: open, processing,
	// readyForPickup, pickedUp, issue, cancelled.
	Status            string          `json:"status"`
	StatusDescription string          `json:"statusDescription"`
	Notes             string          `json:"notes"`
	LineItems         []OrderLineItem `json:"lineItems"`

	// Of shipping.
	// ShippingType is "shipping", the default, or "delivery".
	ShippingType        string `json:"shippingType"`
	Carrier             string `json:"carrier"`
	TrackingNumber      string `json:"trackingNumber"`
	TrackingURL         string `json:"trackingURL"`
	ShippedAt           Date   `json:"shippedAt"`
	DeliveredAt         Date   `json:"deliveredAt"`
	EstimatedDeliveryAt Date   `json:"estimatedDeliveryAt"`
	// EstimatedDeliveryWindowDuration is a duration of ISO 8601, such as "PT2H".
	EstimatedDeliveryWindowDuration string          `json:"estimatedDeliveryWindowDuration"`
	Recipient                       *OrderRecipient `json:"recipient"`

	// Of pickup.
	DisplayName string         `json:"displayName"`
	Address     *OrderAddress  `json:"address"`
	Location    *OrderLocation `json:"location"`
	Barcode     *OrderBarcode  `json:"barcode"`
	PickupAt    Date           `json:"pickupAt"`
	// PickupWindowDuration is a duration of ISO 8601.
	PickupWindowDuration string `json:"pickupWindowDuration"`
	PickedUpAt           Date   `json:"pickedUpAt"`

	Extra Extra `json:"-"`
}

// The types of fulfillments.
const (
	FulfillmentShipping = "shipping"
	FulfillmentPickup   = "pickup"
)

// OrderRecipient is who gets a shipment (Apple, "ShippingFulfillment.Recipient").
type OrderRecipient struct {
	GivenName        string        `json:"givenName"`
	FamilyName       string        `json:"familyName"`
	OrganizationName string        `json:"organizationName"`
	Address          *OrderAddress `json:"address"`

	Extra Extra `json:"-"`
}

// OrderPayment is what was paid (Apple, "Payment").
type OrderPayment struct {
	Total        *OrderAmount       `json:"total"`
	SummaryItems []OrderSummaryItem `json:"summaryItems"`
	Transactions []OrderTransaction `json:"transactions"`

	// Status is deprecated, as are the two after it: pending, authorized, paid,
	// refunded, declined, voided.
	Status                         string   `json:"status"`
	PaymentMethods                 []string `json:"paymentMethods"`
	ApplePayTransactionIdentifiers []string `json:"applePayTransactionIdentifiers"`

	Extra Extra `json:"-"`
}

// OrderSummaryItem is a line of the bill, such as taxes (Apple,
// "PaymentSummaryItem").
type OrderSummaryItem struct {
	Label string       `json:"label"`
	Value *OrderAmount `json:"value"`

	Extra Extra `json:"-"`
}

// OrderTransaction is one payment or refund (Apple, "PaymentTransaction").
type OrderTransaction struct {
	Amount        *OrderAmount        `json:"amount"`
	CreatedAt     Date                `json:"createdAt"`
	PaymentMethod *OrderPaymentMethod `json:"paymentMethod"`
	// Status is pending, approved, completed, cancelled or failed.
	Status string `json:"status"`
	// TransactionType is purchase or refund.
	TransactionType               string `json:"transactionType"`
	ApplePayTransactionIdentifier string `json:"applePayTransactionIdentifier"`
	// Receipt is the name of a file in the package.
	Receipt string `json:"receipt"`

	Extra Extra `json:"-"`
}

// OrderPaymentMethod is a card or the like (Apple, "PaymentMethod").
type OrderPaymentMethod struct {
	DisplayName string `json:"displayName"`

	Extra Extra `json:"-"`
}

// OrderReturn is something sent back (Apple, "Return"; iOS 17.2).
type OrderReturn struct {
	ReturnIdentifier string `json:"returnIdentifier"`
	// Status is open, onTheWay, processing, issue, completed or cancelled.
	Status            string          `json:"status"`
	StatusDescription string          `json:"statusDescription"`
	Carrier           string          `json:"carrier"`
	DropOffBy         Date            `json:"dropOffBy"`
	InitiatedAt       Date            `json:"initiatedAt"`
	ReturnedAt        Date            `json:"returnedAt"`
	LineItems         []OrderLineItem `json:"lineItems"`
	Notes             string          `json:"notes"`
	// ReturnLabel is the name of a PDF, JPEG or PNG file in the package.
	ReturnLabel         string `json:"returnLabel"`
	ReturnManagementURL string `json:"returnManagementURL"`
	ReturnNumber        string `json:"returnNumber"`

	Extra Extra `json:"-"`
}

// OrderReturnInfo is what can be sent back, and until when (Apple, "ReturnInfo";
// iOS 17.2).
type OrderReturnInfo struct {
	ReturnPolicyURL         string `json:"returnPolicyURL"`
	ReturnPolicyDescription string `json:"returnPolicyDescription"`
	ReturnManagementURL     string `json:"returnManagementURL"`
	ReturnDeadline          Date   `json:"returnDeadline"`
	DisplayCountdown        bool   `json:"displayCountdown"`

	Extra Extra `json:"-"`
}
