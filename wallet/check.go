package wallet

import (
	"fmt"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"aviso.example/internal/suggest"
)

// checker collects problems of one file.
type checker struct {
	file  string // "" for pass.json and order.json
	order bool   // dates are RFC 3339 in orders
	// tables are the translations by language, nil where they are not known.
	tables   map[string]StringsFile
	problems Problems
}

// place is where a value stands. It becomes a text only if there is a problem,
// since most passes have none and are signed by the million.
type place struct {
	up    *place
	key   string
	index int // in a list, else -1
}

func (p *place) at(key string) *place { return &place{p, key, -1} }

func (p *place) item(key string, index int) *place { return &place{p, key, index} }

func (p *place) String() string {
	if p == nil {
		return ""
	}
	s := join(p.up.String(), p.key)
	if p.index >= 0 {
		s += "[" + strconv.Itoa(p.index) + "]"
	}
	return s
}

func (c *checker) error(at *place, key, fix, format string, args ...any) {
	c.add(Error, at, key, fix, format, args)
}

func (c *checker) warn(at *place, key, fix, format string, args ...any) {
	c.add(Warning, at, key, fix, format, args)
}

// maxProblems bounds the answer to a file of somebody who means no good; a longer
// list helps nobody.
const maxProblems = 500

func (c *checker) add(s Severity, at *place, key, fix, format string, args []any) {
	if c.full() {
		return
	}
	path := at.String()
	if key != "" {
		path = join(path, key)
	}
	if len(args) > 0 {
		format = fmt.Sprintf(format, args...)
	}
	c.problems = append(c.problems, Problem{s, c.file, path, format, fix})
}

// full reports whether there are enough problems, and says so once.
func (c *checker) full() bool {
	if len(c.problems) == maxProblems {
		c.problems = append(c.problems, Problem{Error, c.file, "", "there are more problems, which are not listed", "fix these first"})
	}
	return len(c.problems) > maxProblems
}

// missing says that a key is needed. It is called for a field at its zero value.
func (c *checker) missing(at *place, extra Extra, key, fix string) {
	raw, written := extra[key]
	switch {
	case !written:
		c.error(at, key, fix, "is missing")
	case string(raw) == `""` || string(raw) == "null" || string(raw) == "[]":
		c.error(at, key, fix, "is empty")
	case string(raw) == "0":
		c.error(at, key, fix, "is 0")
		// Otherwise it has the wrong type, which walk says.
	}
}

// walk goes through a struct and everything below it, and checks what can be
// told from types alone: keys that are not known, values that did not fit, dates,
// colours, fixed words, links, characters.
func (c *checker) walk(v reflect.Value, at *place) {
	p := planOf(v.Type())
	for i := range p.fields {
		f := &p.fields[i]
		if field := v.Field(f.index); !field.IsZero() {
			c.walkField(field, f, at)
		}
	}
	if extra := v.Field(p.extra); extra.Len() > 0 {
		c.walkExtra(p, v, extra.Interface().(Extra), at)
	}
}

func (c *checker) walkField(field reflect.Value, f *planField, at *place) {
	switch f.rule {
	case ruleObject:
		c.walk(field.Elem(), at.at(f.name))
	case ruleObjects:
		for i := range field.Len() {
			c.walk(field.Index(i), at.item(f.name, i))
		}
	case ruleDate:
		d := Date(field.String())
		if _, err := d.Time(); err != nil {
			c.error(at, f.name, err.Error(), "is no date that Wallet can read%s", dateMistake(string(d)))
		} else if c.order && d[len("2006-01-02T15:04")] != ':' {
			c.error(at, f.name, "write the seconds, too", "is a date without seconds, which RFC 3339 asks for in orders")
		} else if !c.order && strings.Contains(string(d), ".") {
			c.warn(at, f.name, "leave the fraction out", "has a fraction of a second, for which some iPhones were seen to refuse the pass")
		}
	case ruleColor:
		if _, _, _, err := Color(field.String()).RGB(); err != nil {
			c.error(at, f.name, err.Error(), "is no colour")
		}
	case ruleWord:
		c.word(at, f.name, field.String(), field.Type())
	case ruleWords:
		for i := range field.Len() {
			c.word(at.item(f.name, i), "", field.Index(i).String(), field.Type().Elem())
		}
	case ruleLink:
		c.link(at, f.name, field.String())
	case ruleText:
		c.utf8(at, f.name, field.String())
	case ruleTexts:
		for i := range field.Len() {
			c.utf8(at.item(f.name, i), "", field.Index(i).String())
		}
	case ruleValue:
		c.utf8(at, f.name, field.Interface().(Value).text)
	}
}

func (c *checker) utf8(at *place, key, text string) {
	if !utf8.ValidString(text) {
		c.error(at, key, "convert the text to UTF-8", "is not UTF-8")
	}
}

// link checks URLs. Wallet shows a dead button for a bad one, so this is a
// warning; keys with stricter rules are checked elsewhere.
func (c *checker) link(at *place, key, text string) {
	if u, err := url.Parse(text); err != nil || u.Scheme == "" {
		c.warn(at, key, `write it with its scheme, such as "https://example.com/"`, "is no absolute URL")
	}
}

func (c *checker) word(at *place, key, word string, t reflect.Type) {
	if w := words[t]; !contains(w.known, word) {
		fix := "write one of " + strings.Join(w.known, ", ")
		if near := suggest.Nearest(word, w.known, 1); len(near) > 0 {
			fix = fmt.Sprintf("did you mean %q?", near[0])
		} else if near := bySuffix(word, w.known); near != "" {
			fix = fmt.Sprintf("did you mean %q?", near)
		}
		c.add(w.severity, at, key, fix, "is not a word that Wallet knows", nil)
	}
}

// bySuffix finds the word that somebody abbreviated: "QR" for
// "PKBarcodeFormatQR".
func bySuffix(word string, known []string) string {
	for _, k := range known {
		if word != "" && strings.HasSuffix(strings.ToLower(k), strings.ToLower(word)) {
			return k
		}
	}
	return ""
}

func contains(known []string, word string) bool {
	for _, k := range known {
		if k == word {
			return true
		}
	}
	return false
}

// walkExtra looks at what was read and has no field.
func (c *checker) walkExtra(p *plan, v reflect.Value, extra Extra, at *place) {
	for _, key := range sortedKeys(extra) {
		if c.full() {
			return
		}
		raw := extra[key]
		known, ok := p.byName[key]
		if !ok {
			c.warn(at, key, unknownKeyHint(p, key), "is not a key that Apple documents here; Wallet ignores it")
			continue
		}
		field := v.Field(p.fields[known].index)
		if !field.IsZero() {
			continue // it is not written
		}
		if string(raw) == "null" {
			c.warn(at, key, "leave the key out", "is null, which counts as absent")
			continue
		}
		d := &decoder{}
		path := at.at(key).String()
		if raw = trim(raw); syntax(raw) != nil {
			d.error(path, "put JSON into Extra", "is no JSON")
		} else {
			d.value(raw, reflect.New(field.Type()).Elem(), path)
		}
		for _, problem := range d.problems {
			problem.File = c.file
			c.problems = append(c.problems, problem)
		}
	}
}

// unknownKeyHint guesses what somebody meant.
func unknownKeyHint(p *plan, key string) string {
	for _, home := range homes() {
		if _, ok := home.plan.byName[key]; ok && home.plan != p {
			return "it belongs " + home.where
		}
	}
	if near := suggest.Nearest(key, p.names, 1); len(near) > 0 {
		return fmt.Sprintf("did you mean %q?", near[0])
	}
	return "nothing, if it is newer than this program"
}

type home struct {
	plan  *plan
	where string
}

// homes are the structs whose keys people put in the wrong place.
var homes = sync.OnceValue(func() []home {
	return []home{
		{planOf(reflect.TypeFor[SemanticTags]()), "into semantics"},
		{planOf(reflect.TypeFor[Style]()), "into the style, such as eventTicket"},
		{planOf(reflect.TypeFor[Pass]()), "to the top level of pass.json"},
	}
})

// dateMistake names the mistakes that are made most.
func dateMistake(text string) string {
	_, clock, ok := strings.Cut(text, "T")
	switch {
	case len(text) < 8 || text[0] < '0' || text[0] > '9':
		return ""
	case len(text) == 10 && strings.Count(text, "-") == 2:
		return ": the time and the zone are missing"
	case !ok && strings.Trim(text, "0123456789.") == "":
		return ": it is a number of seconds"
	case !ok:
		return ": there is no T between date and time"
	case !strings.ContainsAny(clock, "Zz+-"):
		return ": the zone is missing"
	case len(clock) > 5 && !strings.Contains(clock[len(clock)-4:], ":") && strings.ContainsAny(clock, "+-"):
		return ": the zone needs a colon"
	}
	return ""
}

// sameWords turns typed words into texts.
func sameWords[T ~string](list ...T) (known []string) {
	for _, w := range list {
		known = append(known, string(w))
	}
	return known
}

// words are the fixed words by their types.
var words = map[reflect.Type]struct {
	severity Severity
	known    []string
}{
	reflect.TypeFor[TransitType]():          {Error, sameWords(TransitAir, TransitBoat, TransitBus, TransitGeneric, TransitTrain)},
	reflect.TypeFor[TextAlignment]():        {Error, sameWords(AlignLeft, AlignCenter, AlignRight, AlignNatural)},
	reflect.TypeFor[DateStyle]():            {Error, sameWords(DateNone, DateShort, DateMedium, DateLong, DateFull)},
	reflect.TypeFor[NumberStyle]():          {Error, sameWords(NumberDecimal, NumberPercent, NumberScientific, NumberSpellOut)},
	reflect.TypeFor[DataDetector]():         {Error, sameWords(DetectPhoneNumber, DetectLink, DetectAddress, DetectCalendarEvent)},
	reflect.TypeFor[BarcodeFormat]():        {Error, sameWords(BarcodeQR, BarcodePDF417, BarcodeAztec, BarcodeCode128, BarcodeCode39, BarcodeCodabar, BarcodeEAN13, BarcodeI2of5)},
	reflect.TypeFor[PersonalizationField](): {Error, sameWords(PersonalizationName, PersonalizationPostalCode, PersonalizationEmailAddress, PersonalizationPhoneNumber)},
	reflect.TypeFor[OrderStatus]():          {Error, sameWords(OrderOpen, OrderCompleted, OrderCancelled)},
	// Semantic tags that are not understood are passed over.
	reflect.TypeFor[EventType](): {Warning, sameWords(EventGeneric, EventLivePerformance, EventMovie, EventSports, EventConference, EventConvention, EventWorkshop, EventSocialGathering)},
}
