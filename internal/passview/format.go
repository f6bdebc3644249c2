package passview

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-playground/locales"
	localcurrency "github.com/go-playground/locales/currency"
	"github.com/go-playground/locales/da"
	"github.com/go-playground/locales/de"
	"github.com/go-playground/locales/el"
	"github.com/go-playground/locales/en"
	"github.com/go-playground/locales/en_GB"
	"github.com/go-playground/locales/es"
	"github.com/go-playground/locales/fi"
	"github.com/go-playground/locales/fr"
	"github.com/go-playground/locales/it"
	"github.com/go-playground/locales/ja"
	"github.com/go-playground/locales/ko"
	"github.com/go-playground/locales/nb"
	"github.com/go-playground/locales/nl"
	"github.com/go-playground/locales/pl"
	"github.com/go-playground/locales/pt"
	"github.com/go-playground/locales/ru"
	"github.com/go-playground/locales/sv"
	"github.com/go-playground/locales/tr"
	"github.com/go-playground/locales/uk"
	"github.com/go-playground/locales/zh"
	"golang.org/x/text/currency"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// region is a language with the rules by which its readers write dates and
// numbers.
type region struct {
	tag   language.Tag
	rules locales.Translator
}

// regions are the languages in which dates and numbers are written; the first is
// for all others. Text needs no list: it comes from the pass.
var regions = []region{
	{language.English, en.New()}, {language.BritishEnglish, en_GB.New()}, {language.German, de.New()},
	{language.French, fr.New()}, {language.Spanish, es.New()}, {language.Italian, it.New()},
	{language.Portuguese, pt.New()}, {language.Dutch, nl.New()}, {language.Danish, da.New()},
	{language.Swedish, sv.New()}, {language.MustParse("nb"), nb.New()}, {language.Finnish, fi.New()},
	{language.Polish, pl.New()}, {language.Russian, ru.New()}, {language.Ukrainian, uk.New()},
	{language.Turkish, tr.New()}, {language.Greek, el.New()}, {language.Japanese, ja.New()},
	{language.Korean, ko.New()}, {language.Chinese, zh.New()},
}

var regionMatcher = func() language.Matcher {
	var tags []language.Tag
	for _, r := range regions {
		tags = append(tags, r.tag)
	}
	return language.NewMatcher(tags)
}()

// formatter writes the values of fields.
type formatter struct {
	region
	strings  map[string]string
	location *time.Location // nil: the zone in which a date is written
	notes    *notes
}

func newFormatter(lang string, strings map[string]string, location *time.Location, n *notes) *formatter {
	tag, err := language.Parse(lang)
	r := regions[0]
	if err == nil {
		_, i, _ := regionMatcher.Match(tag)
		asked, _ := tag.Base()
		if found, _ := regions[i].tag.Base(); found != asked {
			n.add("dates and numbers are written in English: the preview does not know how %s writes them", lang)
		} else {
			r = regions[i]
		}
	}
	return &formatter{r, strings, location, n}
}

// localized looks a text up in the strings of the language.
func (f *formatter) localized(s string) string {
	if t, ok := f.strings[s]; ok {
		return t
	}
	return s
}

// value writes the value of a field.
func (f *formatter) value(o object) string {
	switch v := o["value"].(type) {
	case json.Number:
		return f.number(v, o)
	case string:
		if o.has("dateStyle") || o.has("timeStyle") {
			if t, ok := parseDate(v); ok {
				return f.date(t, o)
			}
			f.notes.add("field %q has a date style and its value is not a date with a zone", o.text("key"))
		}
		if o.has("currencyCode") || o.has("numberStyle") {
			if _, err := strconv.ParseFloat(v, 64); err == nil {
				return f.number(json.Number(v), o)
			}
		}
		return f.localized(v)
	case bool:
		return strconv.FormatBool(v)
	}
	return ""
}

func (f *formatter) number(v json.Number, o object) string {
	n, err := v.Float64()
	if err != nil {
		return v.String()
	}
	_, fraction, _ := strings.Cut(v.String(), ".")
	digits := uint64(min(len(fraction), 3)) // CLDR's patterns write at most three
	if code := o.text("currencyCode"); code != "" {
		return f.money(n, code)
	}
	switch o.text("numberStyle") {
	case "PKNumberStyleDecimal":
		return f.rules.FmtNumber(n, digits)
	case "PKNumberStylePercent":
		return f.rules.FmtPercent(n*100, 0)
	case "PKNumberStyleScientific":
		return strings.Replace(strings.ToUpper(strconv.FormatFloat(n, 'e', -1, 64)), "E+0", "E", 1)
	case "PKNumberStyleSpellOut":
		f.notes.add("field %q is spelt out in words by Wallet", o.text("key"))
		return f.rules.FmtNumber(n, digits)
	}
	return v.String()
}

func (f *formatter) money(n float64, code string) string {
	sign, symbol, decimals := "", code, 2
	if unit, err := currency.ParseISO(code); err == nil {
		symbol = message.NewPrinter(f.tag).Sprint(currency.Symbol(unit))
		decimals, _ = currency.Standard.Rounding(unit)
	}
	if n < 0 {
		n, sign = -n, "-"
	}
	amount := f.rules.FmtNumber(n, uint64(decimals))
	// Where the region puts the symbol is seen from one amount of any currency.
	if first := f.rules.FmtCurrency(1, 2, localcurrency.EUR)[0]; first == '1' {
		return sign + amount + "\u00a0" + symbol
	}
	if len(symbol) > 2 && symbol == strings.ToUpper(symbol) && symbol[0] < 0x80 {
		symbol += "\u00a0" // a code
	}
	return sign + symbol + amount
}

// date writes a time in the styles of the field, of which an absent one is none.
func (f *formatter) date(t time.Time, o object) string {
	if f.location != nil && !o.is("ignoresTimeZone") {
		t = t.In(f.location)
	}
	if o.is("isRelative") {
		f.notes.add("field %q is relative to today in Wallet, such as: in two hours", o.text("key"))
	}
	r, parts := f.rules, []string(nil)
	for _, style := range []struct {
		key                       string
		short, medium, long, full func(time.Time) string
	}{
		{"dateStyle", r.FmtDateShort, r.FmtDateMedium, r.FmtDateLong, r.FmtDateFull},
		// The long forms name the zone, which Wallet does in its own words.
		{"timeStyle", r.FmtTimeShort, r.FmtTimeMedium, r.FmtTimeMedium, r.FmtTimeMedium},
	} {
		switch o.text(style.key) {
		case "PKDateStyleShort":
			parts = append(parts, style.short(t))
		case "PKDateStyleMedium":
			parts = append(parts, style.medium(t))
		case "PKDateStyleLong":
			parts = append(parts, style.long(t))
		case "PKDateStyleFull":
			parts = append(parts, style.full(t))
		}
	}
	text := strings.Join(parts, ", ")
	if f.tag == language.English { // the library writes am and pm, an iPhone does not
		text = strings.NewReplacer(" am", " AM", " pm", " PM").Replace(text)
	}
	// CLDR has narrow no-break spaces, which few fonts draw.
	return strings.ReplaceAll(text, "\u202f", "\u00a0")
}

// dateLayouts are the forms that Apple's decoder takes.
var dateLayouts = []string{time.RFC3339, "2006-01-02T15:04Z07:00"}

func parseDate(s string) (time.Time, bool) {
	for _, layout := range dateLayouts {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// notes gathers what is drawn otherwise than Wallet would, each once.
type notes struct{ list []string }

// maxNotes is more than anybody reads.
const maxNotes = 50

func (n *notes) add(format string, args ...any) {
	if s := fmt.Sprintf(format, args...); len(n.list) < maxNotes && !slices.Contains(n.list, s) {
		n.list = append(n.list, s)
	}
}
