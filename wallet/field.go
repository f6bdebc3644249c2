package wallet

// Style is what a pass of one style shows (Apple, "PassFields").
type Style struct {
	// TransitType is for boarding passes, which need it, and for nothing else.
	TransitType     TransitType `json:"transitType"`
	HeaderFields    []Field     `json:"headerFields"`
	PrimaryFields   []Field     `json:"primaryFields"`
	SecondaryFields []Field     `json:"secondaryFields"`
	AuxiliaryFields []Field     `json:"auxiliaryFields"`
	BackFields      []Field     `json:"backFields"`
	// AdditionalInfoFields are for poster event tickets and posterGeneric.
	AdditionalInfoFields []Field `json:"additionalInfoFields"`
	// FooterFields are for posterGeneric.
	FooterFields []Field `json:"footerFields"`

	Extra Extra `json:"-"`
}

// lists yields the lists of fields by their keys.
func (s *Style) lists() func(yield func(string, []Field) bool) {
	return func(yield func(string, []Field) bool) {
		_ = yield("headerFields", s.HeaderFields) && yield("primaryFields", s.PrimaryFields) &&
			yield("secondaryFields", s.SecondaryFields) && yield("auxiliaryFields", s.AuxiliaryFields) &&
			yield("backFields", s.BackFields) && yield("additionalInfoFields", s.AdditionalInfoFields) &&
			yield("footerFields", s.FooterFields)
	}
}

// TransitType is the vehicle of a boarding pass.
type TransitType string

// The transit types.
const (
	TransitAir     TransitType = "PKTransitTypeAir"
	TransitBoat    TransitType = "PKTransitTypeBoat"
	TransitBus     TransitType = "PKTransitTypeBus"
	TransitGeneric TransitType = "PKTransitTypeGeneric"
	TransitTrain   TransitType = "PKTransitTypeTrain"
)

// Field is one field of a pass (Apple, "PassFieldContent").
type Field struct {
	// Key names the field; it is unique in the whole pass.
	Key string `json:"key"`
	// Label is localisable, and so are AttributedValue, ChangeMessage and a
	// Value that is a text.
	Label string `json:"label"`
	Value Value  `json:"value"`
	// AttributedValue replaces Value; its only markup is <a href>.
	AttributedValue Value `json:"attributedValue"`
	// ChangeMessage is the alert when the value changes, with %@ for the value.
	ChangeMessage string `json:"changeMessage"`
	// DataDetectorTypes says what to make links of in back fields: nil means
	// everything, an empty list nothing.
	DataDetectorTypes []DataDetector `json:"dataDetectorTypes"`
	TextAlignment     TextAlignment  `json:"textAlignment"`
	// DateStyle and TimeStyle need a date as value.
	DateStyle DateStyle `json:"dateStyle"`
	TimeStyle DateStyle `json:"timeStyle"`
	// IgnoresTimeZone shows the date in its own zone, not the device's.
	IgnoresTimeZone bool `json:"ignoresTimeZone"`
	IsRelative      bool `json:"isRelative"`
	// CurrencyCode (ISO 4217) and NumberStyle need a number as value.
	CurrencyCode string      `json:"currencyCode"`
	NumberStyle  NumberStyle `json:"numberStyle"`
	// Row is 0 or 1, for auxiliary fields of event tickets.
	Row       *int64        `json:"row"`
	Semantics *SemanticTags `json:"semantics"`

	Extra Extra `json:"-"`
}

// TextAlignment is how a field is set; it has no effect on primary and back
// fields.
type TextAlignment string

// The alignments.
const (
	AlignLeft    TextAlignment = "PKTextAlignmentLeft"
	AlignCenter  TextAlignment = "PKTextAlignmentCenter"
	AlignRight   TextAlignment = "PKTextAlignmentRight"
	AlignNatural TextAlignment = "PKTextAlignmentNatural"
)

// DateStyle is how much of a date or a time is shown.
type DateStyle string

// The styles of dates and times.
const (
	DateNone   DateStyle = "PKDateStyleNone"
	DateShort  DateStyle = "PKDateStyleShort"
	DateMedium DateStyle = "PKDateStyleMedium"
	DateLong   DateStyle = "PKDateStyleLong"
	DateFull   DateStyle = "PKDateStyleFull"
)

// NumberStyle is how a number is shown.
type NumberStyle string

// The styles of numbers.
const (
	NumberDecimal    NumberStyle = "PKNumberStyleDecimal"
	NumberPercent    NumberStyle = "PKNumberStylePercent"
	NumberScientific NumberStyle = "PKNumberStyleScientific"
	NumberSpellOut   NumberStyle = "PKNumberStyleSpellOut"
)

// DataDetector is something that Wallet makes a link of.
type DataDetector string

// The data detectors.
const (
	DetectPhoneNumber   DataDetector = "PKDataDetectorTypePhoneNumber"
	DetectLink          DataDetector = "PKDataDetectorTypeLink"
	DetectAddress       DataDetector = "PKDataDetectorTypeAddress"
	DetectCalendarEvent DataDetector = "PKDataDetectorTypeCalendarEvent"
)
