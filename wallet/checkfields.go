package wallet

import (
	"maps"
	"slices"
	"strings"
)

// drawn is how many fields of each list Wallet draws; what is more is dropped or
// squeezed. Together counts secondary and auxiliary fields: a store card and a coupon
// have one row for both, in which the secondary ones come first.
// (Archived "Wallet Developer Guide"; "Creating a poster generic pass"; pictures of phones,
// by which a generic pass has two rows also above a square code, against the guide.)
type drawn struct{ header, primary, secondary, auxiliary, together, footer int }

const drawnInRow = 4 // auxiliary fields of an event ticket

var drawnByStyle = map[string]drawn{
	StyleBoardingPass:  {3, 2, 4, 5, 9, 0},
	StyleCoupon:        {3, 1, 4, 4, 4, 0},
	StyleStoreCard:     {3, 1, 4, 4, 4, 0},
	StyleEventTicket:   {3, 1, 4, 8, 12, 0}, // auxiliary: 4 in each of two rows
	StyleGeneric:       {3, 1, 4, 4, 8, 0},
	StylePosterGeneric: {1, 4, 0, 0, 0, 2},
}

// fields checks a style. Keys are unique within it; a pass that has posterGeneric
// beside a classic style shows the same fields in both.
func (c *checker) fields(name string, s *Style) {
	at := (*place)(nil).at(name)
	if name == StyleBoardingPass {
		if s.TransitType == "" {
			c.missing(at, s.Extra, "transitType", "write one of PKTransitTypeAir, PKTransitTypeBoat, PKTransitTypeBus, PKTransitTypeGeneric, PKTransitTypeTrain")
		}
	} else if s.TransitType != "" {
		c.error(at, "transitType", "leave it out, or use boardingPass", "belongs to boarding passes only")
	}
	c.counts(at, name, s)
	seen := map[string]string{}
	for list, fields := range s.lists() {
		for i := range fields {
			c.field(&fields[i], list, name, seen, at.item(list, i))
		}
	}
}

func (c *checker) counts(at *place, name string, s *Style) {
	limit := drawnByStyle[name]
	oneRow := limit.together > 0 && limit.together == limit.secondary // for both lists
	for _, list := range []struct {
		key    string
		fields int
		limit  int
	}{
		{"headerFields", len(s.HeaderFields), limit.header},
		{"primaryFields", len(s.PrimaryFields), limit.primary},
		{"secondaryFields", len(s.SecondaryFields), limit.secondary},
		{"auxiliaryFields", len(s.AuxiliaryFields), limit.auxiliary},
		{"footerFields", len(s.FooterFields), limit.footer},
	} {
		switch {
		case list.fields <= list.limit, oneRow && (list.key == "secondaryFields" || list.key == "auxiliaryFields"):
		case list.limit == 0:
			c.warn(at, list.key, "move them to another list", "are not drawn on %s", name)
		default:
			c.warn(at, list.key, "move some to backFields", "has %d fields; Wallet draws %d on %s", list.fields, list.limit, name)
		}
	}
	if n := len(s.SecondaryFields) + len(s.AuxiliaryFields); oneRow && n > limit.together {
		key := "auxiliaryFields"
		if len(s.AuxiliaryFields) == 0 {
			key = "secondaryFields"
		}
		first := min(len(s.SecondaryFields), limit.together)
		c.warn(at, key, "move some to backFields", "make %d fields with both lists together; Wallet draws one row of %d on %s: %d secondary and %d auxiliary", n, limit.together, name, first, limit.together-first)
	}
	var rows [2]int
	for i := range s.AuxiliaryFields {
		if row := s.AuxiliaryFields[i].Row; row != nil && *row == 1 {
			rows[1]++
		} else {
			rows[0]++
		}
	}
	for row, n := range rows {
		if name == StyleEventTicket && n > drawnInRow && len(s.AuxiliaryFields) <= limit.auxiliary {
			c.warn(at, "auxiliaryFields", "put some into the other row", "has %d fields in row %d; Wallet draws %d", n, row, drawnInRow)
		}
	}
	if len(s.AdditionalInfoFields) > 0 && name != StyleEventTicket && name != StylePosterGeneric {
		c.warn(at, "additionalInfoFields", "use backFields", "belong to poster event tickets and posterGeneric")
	}
}

// field checks one field. seen has the keys so far, and where they were.
func (c *checker) field(f *Field, list, style string, seen map[string]string, at *place) {
	if f.Key == "" {
		c.missing(at, f.Extra, "key", "write a name that no other field of the pass has")
	} else if first, ok := seen[f.Key]; ok {
		c.error(at, "key", "give each field a key of its own", "is the key of another field, in %s", first)
	} else {
		seen[f.Key] = list
	}
	if f.Value.IsZero() {
		if raw := f.Extra["value"]; raw == nil || string(raw) == "null" {
			c.error(at, "value", `write a text, a number or a date; "" and 0 are values`, "is missing")
		}
	}
	c.format(f, at)
	c.markup(f, at)
	switch {
	case f.TextAlignment == "":
	case list == "primaryFields" || list == "backFields":
		c.warn(at, "textAlignment", "leave it out", "has no effect in %s", list)
	}
	if f.DataDetectorTypes != nil && list != "backFields" && list != "additionalInfoFields" {
		c.warn(at, "dataDetectorTypes", "move the field to backFields, or leave it out", "has an effect in backFields only")
	}
	if f.Row != nil {
		if *f.Row != 0 && *f.Row != 1 {
			c.error(at, "row", "write 0 or 1", "is %d; there are the rows 0 and 1", *f.Row)
		}
		if style != StyleEventTicket || list != "auxiliaryFields" {
			c.warn(at, "row", "leave it out", "has an effect in auxiliaryFields of event tickets only")
		}
	}
	if f.Semantics != nil {
		c.tags(f.Semantics, at.at("semantics"))
	}
}

// format checks that the value is what the format is for.
func (c *checker) format(f *Field, at *place) {
	if f.DateStyle != "" || f.TimeStyle != "" {
		c.dated(f.Value, f, at.at("value"))
		if !f.AttributedValue.IsZero() {
			c.dated(f.AttributedValue, f, at.at("attributedValue"))
		}
	} else if f.IsRelative || f.IgnoresTimeZone {
		key := "isRelative"
		if !f.IsRelative {
			key = "ignoresTimeZone"
		}
		c.warn(at, key, "add dateStyle or timeStyle", "has no effect without dateStyle or timeStyle")
	}
	if style := numberKey(f); style != "" && !f.Value.IsZero() && !f.Value.IsNumber() {
		fix := "leave " + style + " out"
		if isNumber(f.Value.text) {
			fix = "write the number without quotes"
		}
		c.error(at, "value", fix, "is a text, and %s needs a number", style)
	}
	if f.CurrencyCode != "" {
		if f.NumberStyle != "" {
			c.warn(at, "numberStyle", "leave it out", "stands beside currencyCode; only one of the two has an effect")
		}
		c.currency(at, "currencyCode", f.CurrencyCode)
	}
	if numberKey(f) != "" && (f.DateStyle != "" || f.TimeStyle != "") {
		c.error(at, numberKey(f), "keep one of them", "stands beside a style for dates; a value is a number or a date")
	}
}

func numberKey(f *Field) string {
	switch {
	case f.CurrencyCode != "":
		return "currencyCode"
	case f.NumberStyle != "":
		return "numberStyle"
	}
	return ""
}

func (c *checker) dated(v Value, f *Field, at *place) {
	style := "dateStyle"
	if f.DateStyle == "" {
		style = "timeStyle"
	}
	switch {
	case v.IsZero():
	case v.IsNumber():
		c.error(at, "", `write it like "2026-07-01T20:30:00+02:00"`, "is a number, and %s needs a date", style)
	default:
		if _, err := Date(v.text).Time(); err != nil {
			c.error(at, "", err.Error(), "is no date that Wallet can read%s, and %s needs one", dateMistake(v.text), style)
		}
	}
}

func (c *checker) currency(at *place, key, code string) {
	if len(code) != 3 || strings.Trim(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		c.warn(at, key, `write it like "EUR"`, "has not the form of a currency: three capital letters (ISO 4217)")
	}
}

// changeMessage looks for %@, in the text itself or where it is a key of translations, in
// each of them.
func (c *checker) changeMessage(text string, at *place) {
	const fix = "put %@ where the new value goes"
	if text == "" || strings.Contains(text, "%@") {
		return
	}
	isKey := false
	for _, table := range c.tables {
		_, ok := table[text]
		isKey = isKey || ok
	}
	if !isKey {
		c.warn(at, "changeMessage", fix, "has no %s, without which no alert appears", "%@")
		return
	}
	for _, language := range slices.Sorted(maps.Keys(c.tables)) {
		switch translation, ok := c.tables[language][text]; {
		case !ok:
			c.warn(at, "changeMessage", "translate it", "has no translation in %s.lproj, where no alert appears", language)
		case !strings.Contains(translation, "%@"):
			c.warn(at, "changeMessage", fix, "has no %s in its translation in %s.lproj, where no alert appears", "%@", language)
		}
	}
}

func (c *checker) markup(f *Field, at *place) {
	c.changeMessage(f.ChangeMessage, at)
	for rest := f.AttributedValue.text; ; {
		_, after, ok := strings.Cut(rest, "<")
		if !ok {
			break
		}
		tag := strings.ToLower(after)
		if !strings.HasPrefix(tag, "a ") && !strings.HasPrefix(tag, "/a>") && tag != "" && (tag[0] == '/' || tag[0] >= 'a' && tag[0] <= 'z') {
			c.warn(at, "attributedValue", "remove other markup", "has other markup than <a href>, which Wallet does not know")
			break
		}
		rest = after
	}
}
