package wallet

// The structs that are parts of pass.json and order.json can be read and written
// by themselves, with encoding/json.

// MarshalJSON implements json.Marshaler.
func (s Style) MarshalJSON() ([]byte, error) { return marshal(&s) }

// UnmarshalJSON implements json.Unmarshaler.
func (s *Style) UnmarshalJSON(data []byte) error { return unmarshal(data, s) }

// MarshalJSON implements json.Marshaler.
func (f Field) MarshalJSON() ([]byte, error) { return marshal(&f) }

// UnmarshalJSON implements json.Unmarshaler.
func (f *Field) UnmarshalJSON(data []byte) error { return unmarshal(data, f) }

// MarshalJSON implements json.Marshaler.
func (b Barcode) MarshalJSON() ([]byte, error) { return marshal(&b) }

// UnmarshalJSON implements json.Unmarshaler.
func (b *Barcode) UnmarshalJSON(data []byte) error { return unmarshal(data, b) }

// MarshalJSON implements json.Marshaler.
func (n NFC) MarshalJSON() ([]byte, error) { return marshal(&n) }

// UnmarshalJSON implements json.Unmarshaler.
func (n *NFC) UnmarshalJSON(data []byte) error { return unmarshal(data, n) }

// MarshalJSON implements json.Marshaler.
func (l Location) MarshalJSON() ([]byte, error) { return marshal(&l) }

// UnmarshalJSON implements json.Unmarshaler.
func (l *Location) UnmarshalJSON(data []byte) error { return unmarshal(data, l) }

// MarshalJSON implements json.Marshaler.
func (b Beacon) MarshalJSON() ([]byte, error) { return marshal(&b) }

// UnmarshalJSON implements json.Unmarshaler.
func (b *Beacon) UnmarshalJSON(data []byte) error { return unmarshal(data, b) }

// MarshalJSON implements json.Marshaler.
func (r RelevantDate) MarshalJSON() ([]byte, error) { return marshal(&r) }

// UnmarshalJSON implements json.Unmarshaler.
func (r *RelevantDate) UnmarshalJSON(data []byte) error { return unmarshal(data, r) }

// MarshalJSON implements json.Marshaler.
func (f FeaturedAction) MarshalJSON() ([]byte, error) { return marshal(&f) }

// UnmarshalJSON implements json.Unmarshaler.
func (f *FeaturedAction) UnmarshalJSON(data []byte) error { return unmarshal(data, f) }

// MarshalJSON implements json.Marshaler.
func (u UpcomingPass) MarshalJSON() ([]byte, error) { return marshal(&u) }

// UnmarshalJSON implements json.Unmarshaler.
func (u *UpcomingPass) UnmarshalJSON(data []byte) error { return unmarshal(data, u) }

// MarshalJSON implements json.Marshaler.
func (d DateInformation) MarshalJSON() ([]byte, error) { return marshal(&d) }

// UnmarshalJSON implements json.Unmarshaler.
func (d *DateInformation) UnmarshalJSON(data []byte) error { return unmarshal(data, d) }

// MarshalJSON implements json.Marshaler.
func (u UpcomingURLs) MarshalJSON() ([]byte, error) { return marshal(&u) }

// UnmarshalJSON implements json.Unmarshaler.
func (u *UpcomingURLs) UnmarshalJSON(data []byte) error { return unmarshal(data, u) }

// MarshalJSON implements json.Marshaler.
func (u UpcomingImages) MarshalJSON() ([]byte, error) { return marshal(&u) }

// UnmarshalJSON implements json.Unmarshaler.
func (u *UpcomingImages) UnmarshalJSON(data []byte) error { return unmarshal(data, u) }

// MarshalJSON implements json.Marshaler.
func (r RemoteImage) MarshalJSON() ([]byte, error) { return marshal(&r) }

// UnmarshalJSON implements json.Unmarshaler.
func (r *RemoteImage) UnmarshalJSON(data []byte) error { return unmarshal(data, r) }

// MarshalJSON implements json.Marshaler.
func (r RemoteImageURL) MarshalJSON() ([]byte, error) { return marshal(&r) }

// UnmarshalJSON implements json.Unmarshaler.
func (r *RemoteImageURL) UnmarshalJSON(data []byte) error { return unmarshal(data, r) }

// MarshalJSON implements json.Marshaler.
func (p Personalization) MarshalJSON() ([]byte, error) { return marshal(&p) }

// UnmarshalJSON implements json.Unmarshaler.
func (p *Personalization) UnmarshalJSON(data []byte) error { return unmarshal(data, p) }

// MarshalJSON implements json.Marshaler.
func (s SemanticTags) MarshalJSON() ([]byte, error) { return marshal(&s) }

// UnmarshalJSON implements json.Unmarshaler.
func (s *SemanticTags) UnmarshalJSON(data []byte) error { return unmarshal(data, s) }

// MarshalJSON implements json.Marshaler.
func (c CurrencyAmount) MarshalJSON() ([]byte, error) { return marshal(&c) }

// UnmarshalJSON implements json.Unmarshaler.
func (c *CurrencyAmount) UnmarshalJSON(data []byte) error { return unmarshal(data, c) }

// MarshalJSON implements json.Marshaler.
func (e EventDateInfo) MarshalJSON() ([]byte, error) { return marshal(&e) }

// UnmarshalJSON implements json.Unmarshaler.
func (e *EventDateInfo) UnmarshalJSON(data []byte) error { return unmarshal(data, e) }

// MarshalJSON implements json.Marshaler.
func (s SemanticLocation) MarshalJSON() ([]byte, error) { return marshal(&s) }

// UnmarshalJSON implements json.Unmarshaler.
func (s *SemanticLocation) UnmarshalJSON(data []byte) error { return unmarshal(data, s) }

// MarshalJSON implements json.Marshaler.
func (p PersonNames) MarshalJSON() ([]byte, error) { return marshal(&p) }

// UnmarshalJSON implements json.Unmarshaler.
func (p *PersonNames) UnmarshalJSON(data []byte) error { return unmarshal(data, p) }

// MarshalJSON implements json.Marshaler.
func (s Seat) MarshalJSON() ([]byte, error) { return marshal(&s) }

// UnmarshalJSON implements json.Unmarshaler.
func (s *Seat) UnmarshalJSON(data []byte) error { return unmarshal(data, s) }

// MarshalJSON implements json.Marshaler.
func (w WifiNetwork) MarshalJSON() ([]byte, error) { return marshal(&w) }

// UnmarshalJSON implements json.Unmarshaler.
func (w *WifiNetwork) UnmarshalJSON(data []byte) error { return unmarshal(data, w) }

// MarshalJSON implements json.Marshaler.
func (a Airplay) MarshalJSON() ([]byte, error) { return marshal(&a) }

// UnmarshalJSON implements json.Unmarshaler.
func (a *Airplay) UnmarshalJSON(data []byte) error { return unmarshal(data, a) }

// MarshalJSON implements json.Marshaler.
func (o OrderMerchant) MarshalJSON() ([]byte, error) { return marshal(&o) }

// UnmarshalJSON implements json.Unmarshaler.
func (o *OrderMerchant) UnmarshalJSON(data []byte) error { return unmarshal(data, o) }

// MarshalJSON implements json.Marshaler.
func (o OrderProvider) MarshalJSON() ([]byte, error) { return marshal(&o) }

// UnmarshalJSON implements json.Unmarshaler.
func (o *OrderProvider) UnmarshalJSON(data []byte) error { return unmarshal(data, o) }

// MarshalJSON implements json.Marshaler.
func (o OrderCustomer) MarshalJSON() ([]byte, error) { return marshal(&o) }

// UnmarshalJSON implements json.Unmarshaler.
func (o *OrderCustomer) UnmarshalJSON(data []byte) error { return unmarshal(data, o) }

// MarshalJSON implements json.Marshaler.
func (o OrderAddress) MarshalJSON() ([]byte, error) { return marshal(&o) }

// UnmarshalJSON implements json.Unmarshaler.
func (o *OrderAddress) UnmarshalJSON(data []byte) error { return unmarshal(data, o) }

// MarshalJSON implements json.Marshaler.
func (o OrderLocation) MarshalJSON() ([]byte, error) { return marshal(&o) }

// UnmarshalJSON implements json.Unmarshaler.
func (o *OrderLocation) UnmarshalJSON(data []byte) error { return unmarshal(data, o) }

// MarshalJSON implements json.Marshaler.
func (o OrderBarcode) MarshalJSON() ([]byte, error) { return marshal(&o) }

// UnmarshalJSON implements json.Unmarshaler.
func (o *OrderBarcode) UnmarshalJSON(data []byte) error { return unmarshal(data, o) }

// MarshalJSON implements json.Marshaler.
func (o OrderApplication) MarshalJSON() ([]byte, error) { return marshal(&o) }

// UnmarshalJSON implements json.Unmarshaler.
func (o *OrderApplication) UnmarshalJSON(data []byte) error { return unmarshal(data, o) }

// MarshalJSON implements json.Marshaler.
func (o OrderAmount) MarshalJSON() ([]byte, error) { return marshal(&o) }

// UnmarshalJSON implements json.Unmarshaler.
func (o *OrderAmount) UnmarshalJSON(data []byte) error { return unmarshal(data, o) }

// MarshalJSON implements json.Marshaler.
func (o OrderLineItem) MarshalJSON() ([]byte, error) { return marshal(&o) }

// UnmarshalJSON implements json.Unmarshaler.
func (o *OrderLineItem) UnmarshalJSON(data []byte) error { return unmarshal(data, o) }

// MarshalJSON implements json.Marshaler.
func (o OrderFulfillment) MarshalJSON() ([]byte, error) { return marshal(&o) }

// UnmarshalJSON implements json.Unmarshaler.
func (o *OrderFulfillment) UnmarshalJSON(data []byte) error { return unmarshal(data, o) }

// MarshalJSON implements json.Marshaler.
func (o OrderRecipient) MarshalJSON() ([]byte, error) { return marshal(&o) }

// UnmarshalJSON implements json.Unmarshaler.
func (o *OrderRecipient) UnmarshalJSON(data []byte) error { return unmarshal(data, o) }

// MarshalJSON implements json.Marshaler.
func (o OrderPayment) MarshalJSON() ([]byte, error) { return marshal(&o) }

// UnmarshalJSON implements json.Unmarshaler.
func (o *OrderPayment) UnmarshalJSON(data []byte) error { return unmarshal(data, o) }

// MarshalJSON implements json.Marshaler.
func (o OrderSummaryItem) MarshalJSON() ([]byte, error) { return marshal(&o) }

// UnmarshalJSON implements json.Unmarshaler.
func (o *OrderSummaryItem) UnmarshalJSON(data []byte) error { return unmarshal(data, o) }

// MarshalJSON implements json.Marshaler.
func (o OrderTransaction) MarshalJSON() ([]byte, error) { return marshal(&o) }

// UnmarshalJSON implements json.Unmarshaler.
func (o *OrderTransaction) UnmarshalJSON(data []byte) error { return unmarshal(data, o) }

// MarshalJSON implements json.Marshaler.
func (o OrderPaymentMethod) MarshalJSON() ([]byte, error) { return marshal(&o) }

// UnmarshalJSON implements json.Unmarshaler.
func (o *OrderPaymentMethod) UnmarshalJSON(data []byte) error { return unmarshal(data, o) }

// MarshalJSON implements json.Marshaler.
func (o OrderReturn) MarshalJSON() ([]byte, error) { return marshal(&o) }

// UnmarshalJSON implements json.Unmarshaler.
func (o *OrderReturn) UnmarshalJSON(data []byte) error { return unmarshal(data, o) }

// MarshalJSON implements json.Marshaler.
func (o OrderReturnInfo) MarshalJSON() ([]byte, error) { return marshal(&o) }

// UnmarshalJSON implements json.Unmarshaler.
func (o *OrderReturnInfo) UnmarshalJSON(data []byte) error { return unmarshal(data, o) }
