package wallet

import (
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// Validate checks everything that can be told from order.json alone, and returns
// all problems, errors first.
func (o *Order) Validate() Problems {
	c := &checker{order: true}
	c.orderRules(o)
	return c.problems.sort()
}

// CheckOrder checks the file order.json as it is, as [CheckPass] does pass.json.
func CheckOrder(data []byte) Problems {
	o := new(Order)
	d, err := decode(data, o)
	if err != nil {
		return Problems{notJSON(err)}
	}
	return append(d.twice, o.Validate()...).sort()
}

// text is a key that is needed, or one of a few words.
type text struct {
	key, value string
	fix        string   // of a key that is needed, else ""
	known      []string // what it may be; nil for anything
}

func (c *checker) texts(at *place, extra Extra, list ...text) {
	for _, t := range list {
		switch {
		case t.value == "" && t.fix != "":
			c.missing(at, extra, t.key, t.fix)
		case t.value != "" && t.known != nil && !slices.Contains(t.known, t.value):
			c.error(at, t.key, hint(t.value, t.known), "is not a word that Wallet knows")
		}
	}
}

func (c *checker) orderRules(o *Order) {
	c.walk(reflect.ValueOf(o).Elem(), nil)
	if o.SchemaVersion == 0 {
		c.missing(nil, o.Extra, "schemaVersion", "write 1")
	} else if o.SchemaVersion != 1 {
		c.error(nil, "schemaVersion", "write 1", "is %d; there is only 1", o.SchemaVersion)
	}
	c.texts(nil, o.Extra,
		text{"orderTypeIdentifier", o.OrderTypeIdentifier, "write the identifier of the certificate, such as order.com.example.shop", nil},
		text{"orderIdentifier", o.OrderIdentifier, "write a text that is unique within the order type", nil},
		text{"orderType", o.OrderType, `write "ecommerce"`, []string{"ecommerce"}},
		text{"orderManagementURL", o.OrderManagementURL, "write where the customer sees the order", nil},
		text{"status", string(o.Status), "write open, completed or cancelled", nil}, // walk knows the words
		text{"createdAt", string(o.CreatedAt), "write when the order was made", nil},
		text{"updatedAt", string(o.UpdatedAt), "write when the order changed last; at first, as createdAt", nil},
		text{"changeNotifications", o.ChangeNotifications, "", []string{"enabled", "disabledIfAppInstalled"}})
	created, err1 := o.CreatedAt.Time()
	updated, err2 := o.UpdatedAt.Time()
	if err1 == nil && err2 == nil && updated.Before(created) {
		c.error(nil, "updatedAt", "write a later time; it grows with every change", "is before createdAt")
	}
	c.webService(o.WebServiceURL, o.AuthenticationToken, o.Extra)
	c.merchant(o)
	c.orderObjects(o)
	for i := range o.LineItems {
		c.lineItem(&o.LineItems[i], (*place)(nil).item("lineItems", i))
	}
	ids := map[string]bool{}
	for i := range o.Fulfillments {
		f := &o.Fulfillments[i]
		at := (*place)(nil).item("fulfillments", i)
		c.fulfillment(f, at)
		if f.FulfillmentIdentifier != "" && ids[f.FulfillmentIdentifier] {
			c.error(at, "fulfillmentIdentifier", "give each fulfillment one of its own", "is the identifier of another fulfillment")
		}
		ids[f.FulfillmentIdentifier] = true
	}
	c.payment(o.Payment)
	c.returns(o)
}

func (c *checker) merchant(o *Order) {
	m := o.Merchant
	if m == nil {
		c.missing(nil, o.Extra, "merchant", "write who sold it: displayName, merchantIdentifier, url")
		return
	}
	at := (*place)(nil).at("merchant")
	c.texts(at, m.Extra,
		text{"displayName", m.DisplayName, "write the name that customers know", nil},
		text{"merchantIdentifier", m.MerchantIdentifier, "write the merchant identifier, which belongs to the team of the certificate", nil},
		text{"url", m.URL, "write the address of the merchant's site", nil})
	c.linkIf(at, "url", m.URL)
	c.address(m.Address, at.at("address"))
}

func (c *checker) linkIf(at *place, key, value string) {
	if value != "" {
		c.link(at, key, value)
	}
}

// orderObjects checks what stands at the top and is short.
func (c *checker) orderObjects(o *Order) {
	if p := o.OrderProvider; p != nil {
		at := (*place)(nil).at("orderProvider")
		c.texts(at, p.Extra,
			text{"displayName", p.DisplayName, "write the name of the platform", nil},
			text{"url", p.URL, "write the address of the platform's site", nil},
			text{"trackingLogoNameDarkColorScheme", p.TrackingLogoNameDarkColorScheme, "write the name of an image", nil},
			text{"trackingLogoNameLightColorScheme", p.TrackingLogoNameLightColorScheme, "write the name of an image", nil})
		c.linkIf(at, "url", p.URL)
	}
	for i := range o.AssociatedApplications {
		if a := &o.AssociatedApplications[i]; a.StoreIdentifier == 0 {
			c.missing((*place)(nil).item("associatedApplications", i), a.Extra, "storeIdentifier", "write the app's number in the App Store")
		}
	}
	c.orderBarcode(o.Barcode, (*place)(nil).at("barcode"))
}

func (c *checker) orderBarcode(b *OrderBarcode, at *place) {
	if b == nil {
		return
	}
	c.texts(at, b.Extra,
		text{"format", b.Format, "write qr, pdf417, aztec or code128", []string{"qr", "pdf417", "aztec", "code128"}},
		text{"message", b.Message, "write what the scanner reads", nil},
		text{"messageEncoding", b.MessageEncoding, `write "iso-8859-1", which scanners assume`, nil})
	if b.Message != "" && b.MessageEncoding != "" {
		c.charset(at, b.Message, b.MessageEncoding)
	}
}

func (c *checker) lineItem(l *OrderLineItem, at *place) {
	c.texts(at, l.Extra, text{"title", l.Title, "write what it is", nil})
	if l.Quantity == 0 {
		c.missing(at, l.Extra, "quantity", "write how many")
	} else if l.Quantity < 0 {
		c.error(at, "quantity", "write how many", "is below 0")
	}
	c.orderAmount(l.Price, at.at("price"))
}

func (c *checker) orderAmount(a *OrderAmount, at *place) {
	if a == nil {
		return
	}
	c.texts(at, a.Extra,
		text{"amount", a.Amount, `write it as a text, such as "12.50"`, nil},
		text{"currency", a.Currency, `write it like "EUR"`, nil})
	if a.Amount != "" && !isNumber(a.Amount) {
		c.error(at, "amount", `write it like "12.50", with a point`, "is no decimal number")
	}
	if a.Currency != "" {
		c.currency(at, "currency", a.Currency)
	}
}

func (c *checker) address(a *OrderAddress, at *place) {
	if a != nil && a.CountryCode != "" && (len(a.CountryCode) != 2 || strings.Trim(a.CountryCode, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "") {
		c.warn(at, "countryCode", `write it like "DE"`, "has not the form of a country: two capital letters (ISO 3166)")
	}
}

var (
	shippingStates = []string{"open", "processing", "onTheWay", "outForDelivery", "delivered", "shipped", "issue", "cancelled"}
	pickupStates   = []string{"open", "processing", "readyForPickup", "pickedUp", "issue", "cancelled"}
	returnStates   = []string{"open", "onTheWay", "processing", "issue", "completed", "cancelled"}
	paymentStates  = []string{"pending", "authorized", "paid", "refunded", "declined", "voided"}
	transferStates = []string{"pending", "approved", "completed", "cancelled", "failed"}

	// duration is a duration of ISO 8601, such as P1D or PT2H30M.
	duration = regexp.MustCompile(`^P(\d+W|(\d+Y)?(\d+M)?(\d+D)?(T(\d+H)?(\d+M)?(\d+([.,]\d+)?S)?)?)$`)
)

func (c *checker) fulfillment(f *OrderFulfillment, at *place) {
	states := shippingStates
	if f.FulfillmentType == FulfillmentPickup {
		states = pickupStates
	}
	c.texts(at, f.Extra,
		text{"fulfillmentType", f.FulfillmentType, "write shipping or pickup", []string{FulfillmentShipping, FulfillmentPickup}},
		text{"fulfillmentIdentifier", f.FulfillmentIdentifier, "write a text that is unique within the order", nil},
		text{"status", f.Status, "write one of " + strings.Join(states, ", "), states},
		text{"shippingType", f.ShippingType, "", []string{"shipping", "delivery"}})
	for i := range f.LineItems {
		c.lineItem(&f.LineItems[i], at.item("lineItems", i))
	}
	for _, d := range []struct{ key, value string }{
		{"estimatedDeliveryWindowDuration", f.EstimatedDeliveryWindowDuration}, {"pickupWindowDuration", f.PickupWindowDuration},
	} {
		if d.value != "" && (!duration.MatchString(d.value) || strings.HasSuffix(d.value, "P") || strings.HasSuffix(d.value, "T")) {
			c.error(at, d.key, `write it like "PT2H" or "P1D"`, "is no duration of ISO 8601")
		}
	}
	if f.FulfillmentType == FulfillmentPickup {
		c.texts(at, f.Extra, text{"displayName", f.DisplayName, "write the name of the place", nil})
		c.otherType(at, "pickup", f.ShippingType != "" || f.Carrier != "" || f.TrackingNumber != "" || f.TrackingURL != "" || f.ShippedAt != "" ||
			f.DeliveredAt != "" || f.EstimatedDeliveryAt != "" || f.EstimatedDeliveryWindowDuration != "" || f.Recipient != nil)
	} else if f.FulfillmentType == FulfillmentShipping {
		c.otherType(at, "shipping", f.DisplayName != "" || f.Address != nil || f.Location != nil || f.Barcode != nil ||
			f.PickupAt != "" || f.PickupWindowDuration != "" || f.PickedUpAt != "")
	}
	c.address(f.Address, at.at("address"))
	if f.Recipient != nil {
		c.address(f.Recipient.Address, at.at("recipient").at("address"))
	}
	if l := f.Location; l != nil {
		c.coordinates(l.Latitude, l.Longitude, l.Extra, at.at("location"))
	}
	c.orderBarcode(f.Barcode, at.at("barcode"))
}

func (c *checker) otherType(at *place, is string, has bool) {
	if has {
		c.warn(at, "fulfillmentType", "leave out the keys of the other type", "is %s, and there are keys of the other type", is)
	}
}

func (c *checker) payment(p *OrderPayment) {
	if p == nil {
		return
	}
	at := (*place)(nil).at("payment")
	if p.Total == nil {
		c.missing(at, p.Extra, "total", "write amount and currency")
	}
	c.orderAmount(p.Total, at.at("total"))
	c.texts(at, p.Extra, text{"status", p.Status, "", paymentStates})
	for i := range p.SummaryItems {
		s := &p.SummaryItems[i]
		here := at.item("summaryItems", i)
		c.texts(here, s.Extra, text{"label", s.Label, "write what the amount is for", nil})
		if s.Value == nil {
			c.missing(here, s.Extra, "value", "write amount and currency")
		}
		c.orderAmount(s.Value, here.at("value"))
	}
	for i := range p.Transactions {
		t := &p.Transactions[i]
		here := at.item("transactions", i)
		if t.Amount == nil {
			c.missing(here, t.Extra, "amount", "write amount and currency")
		}
		c.orderAmount(t.Amount, here.at("amount"))
		c.texts(here, t.Extra,
			text{"createdAt", string(t.CreatedAt), "write when it was made", nil},
			text{"status", t.Status, "write one of " + strings.Join(transferStates, ", "), transferStates},
			text{"transactionType", t.TransactionType, "write purchase or refund", []string{"purchase", "refund"}})
		if t.PaymentMethod == nil {
			c.missing(here, t.Extra, "paymentMethod", "write displayName")
		} else {
			c.texts(here.at("paymentMethod"), t.PaymentMethod.Extra, text{"displayName", t.PaymentMethod.DisplayName, `write it like "Visa ••1234"`, nil})
		}
	}
}

func (c *checker) returns(o *Order) {
	ids := map[string]bool{}
	for i := range o.Returns {
		r := &o.Returns[i]
		at := (*place)(nil).item("returns", i)
		c.texts(at, r.Extra,
			text{"returnIdentifier", r.ReturnIdentifier, "write a text that is unique within the order", nil},
			text{"status", r.Status, "write one of " + strings.Join(returnStates, ", "), returnStates})
		if r.ReturnIdentifier != "" && ids[r.ReturnIdentifier] {
			c.error(at, "returnIdentifier", "give each return one of its own", "is the identifier of another return")
		}
		ids[r.ReturnIdentifier] = true
		for j := range r.LineItems {
			c.lineItem(&r.LineItems[j], at.item("lineItems", j))
		}
	}
	if r := o.ReturnInfo; r != nil {
		at := (*place)(nil).at("returnInfo")
		c.texts(at, r.Extra, text{"returnPolicyURL", r.ReturnPolicyURL, "write where the policy is", nil})
		if r.DisplayCountdown && r.ReturnDeadline == "" {
			c.warn(at, "displayCountdown", "write returnDeadline", "has no effect without returnDeadline")
		}
	}
}
