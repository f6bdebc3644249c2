package passview

import (
	"errors"
	"image/color"
	"slices"
	"strings"
	"time"
)

// Options vary how a pass is shown.
type Options struct {
	// Language is that of the localisation shown, such as fr or zh-Hans: images
	// come from its folder, and dates and numbers are written as in it. Empty is
	// none, and English for dates and numbers.
	Language string
	// Strings is the content of the language's pass.strings.
	Strings map[string]string
	// Location is where the device is. Nil shows each date in the zone it is
	// written in, so that the picture is the same wherever it is drawn.
	Location *time.Location
	// Classic shows the classic design also where the pass prefers a newer one.
	Classic bool
}

// View is a pass laid out. It can be drawn many times, by one goroutine at a time.
type View struct {
	kind        shape
	transit     string // Apple's word, for boarding passes
	name        string // organizationName
	description string

	background, foreground, label color.NRGBA
	footerColor                   color.NRGBA // of posters

	logo, strip, thumbnail, backdrop, footer *picture
	secondaryLogo                            *picture
	darkenHeader                             bool

	logoText                               string
	header, primary, secondary, back, info []field
	auxiliary                              [2][]field
	code                                   *code
	voided                                 bool

	notes *notes
}

// shape is the outline and arrangement of the front.
type shape int

const (
	generic shape = iota
	boardingPass
	coupon
	eventTicket
	storeCard
	poster // the poster event ticket, and posterGeneric
)

// field is a label with its value, as they are read.
type field struct {
	label string
	value []run
	align string // left, center, right or empty for the natural one
}

func (f field) text() string { return plain(f.value) }

// What is laid out of each row, of the back and of a text: more than Wallet draws,
// and less than a picture without end.
const (
	maxRow  = 8
	maxBack = 60
	maxText = 4000 // characters
)

// New lays out a pass: the content of pass.json, and of the files beside it by
// their path in the package. An error says that there is nothing to draw; mistakes
// in the pass become notes.
func New(pass []byte, files map[string][]byte, o Options) (*View, error) {
	doc, err := parseDocument(pass)
	if err != nil {
		return nil, err
	}
	n := &notes{}
	v := &View{notes: n, darkenHeader: !doc.is("suppressHeaderDarkening"), voided: doc.is("voided")}
	f := newFormatter(o.Language, o.Strings, o.Location, n)
	images := &pictures{files: files, notes: n}
	if o.Language != "" {
		images.folder = o.Language + ".lproj"
	}

	styles := []struct {
		key   string
		shape shape
	}{
		{"posterGeneric", poster},
		{"boardingPass", boardingPass},
		{"coupon", coupon},
		{"eventTicket", eventTicket},
		{"storeCard", storeCard},
		{"generic", generic},
	}
	if o.Classic {
		styles = append(styles[1:], styles[0])
	}
	var style object
	for _, s := range styles {
		if doc.object(s.key) != nil {
			style, v.kind = doc.object(s.key), s.shape
			break
		}
	}
	if style == nil {
		return nil, errors.New("passview: pass.json has none of the keys boardingPass, coupon, eventTicket, generic, storeCard and posterGeneric, so there is nothing to draw")
	}

	v.name, v.description = f.localized(doc.text("organizationName")), f.localized(doc.text("description"))
	v.logoText, v.transit = f.localized(doc.text("logoText")), style.text("transitType")
	v.header = fields(f, style, "headerFields")
	v.primary = fields(f, style, "primaryFields")
	v.secondary = fields(f, style, "secondaryFields")
	if v.kind == poster {
		v.secondary = fields(f, style, "footerFields")
	}
	for _, o := range limited(style.list("auxiliaryFields"), 2*maxRow) {
		row := 0
		if o.text("row") == "1" {
			row = 1
		}
		v.auxiliary[row] = append(v.auxiliary[row], newField(f, o, false))
	}
	for _, o := range limited(style.list("backFields"), maxBack) {
		v.back = append(v.back, newField(f, o, true))
	}
	for _, o := range limited(style.list("additionalInfoFields"), maxBack) {
		v.info = append(v.info, newField(f, o, true))
	}
	v.code = newCode(doc)
	if v.code != nil && v.code.modules == nil {
		n.add("the barcode is not drawn: %s", v.code.problem)
	}
	v.loadImages(images)
	v.colors(doc)
	if !o.Classic {
		v.newDesigns(doc, style, f, images)
	}
	if v.kind == poster && v.backdrop == nil {
		v.backdrop = images.get("artwork")
	}
	return v, nil
}

// Notes says what is drawn otherwise than Wallet would draw it. Each is a sentence
// without a full stop. It is complete after drawing.
func (v *View) Notes() []string { return slices.Clone(v.notes.list) }

func fields(f *formatter, style object, key string) (list []field) {
	for _, o := range limited(style.list(key), maxRow) {
		list = append(list, newField(f, o, false))
	}
	return list
}

func limited(list []object, most int) []object { return list[:min(len(list), most)] }

func newField(f *formatter, o object, back bool) field {
	d := field{label: f.localized(o.text("label"))}
	d.align = strings.ToLower(strings.TrimPrefix(o.text("textAlignment"), "PKTextAlignment"))
	value := shortened(f.value(o))
	d.label = shortened(d.label)
	if o.has("attributedValue") {
		d.value = attributed(shortened(f.value(object{"value": o["attributedValue"]})))
	} else if back {
		d.value = detect(value, o)
	} else {
		d.value = []run{{value, ""}}
	}
	return d
}

func shortened(s string) string {
	n := 0
	for i := range s {
		if n++; n > maxText {
			return s[:i] + "…"
		}
	}
	return s
}

// loadImages takes the images that the style shows.
func (v *View) loadImages(p *pictures) {
	v.logo = p.get("logo")
	switch v.kind {
	case boardingPass:
		v.footer = p.get("footer")
	case coupon, storeCard:
		v.strip = p.get("strip")
	case generic:
		v.thumbnail = p.get("thumbnail")
	case eventTicket:
		// The two arrangements exclude each other.
		if v.strip = p.get("strip"); v.strip == nil {
			v.backdrop, v.thumbnail = p.get("background"), p.get("thumbnail")
		}
	case poster:
		if primary := p.get("primaryLogo"); primary != nil {
			v.logo = primary
		}
		v.secondaryLogo = p.get("secondaryLogo")
	}
}

// colors takes the pass's colours, and where it has none those that can be read.
func (v *View) colors(doc object) {
	for _, key := range []string{"backgroundColor", "foregroundColor", "labelColor", "footerBackgroundColor"} {
		if _, ok := doc.color(key); doc.has(key) && !ok {
			v.notes.add("%s is no colour: write it as rgb(0, 122, 255)", key)
		}
	}
	given := false
	if v.background, given = doc.color("backgroundColor"); !given {
		v.background = color.NRGBA{242, 242, 240, 255}
	}
	v.background = over(v.background, color.NRGBA{255, 255, 255, 255})
	behind := v.background
	if v.backdrop != nil || v.kind == poster {
		behind = color.NRGBA{40, 40, 40, 255} // the image is darkened
	}
	automatic := color.NRGBA{0, 0, 0, 255}
	if dark(behind) {
		automatic = color.NRGBA{255, 255, 255, 255}
	}
	if v.foreground, given = doc.color("foregroundColor"); !given || doc.is("useAutomaticColors") {
		v.foreground = automatic
	}
	if v.label, given = doc.color("labelColor"); !given || doc.is("useAutomaticColors") {
		v.label = mix(v.foreground, behind, 0.3)
	}
	if v.footerColor, given = doc.color("footerBackgroundColor"); !given {
		v.footerColor = mix(v.background, color.NRGBA{0, 0, 0, 255}, 0.15)
	}
	v.foreground, v.label, v.footerColor = over(v.foreground, behind), over(v.label, behind), over(v.footerColor, v.background)
}

// over is a colour as it looks over another one that hides what is behind it.
func over(c, behind color.NRGBA) color.NRGBA {
	opacity := float64(c.A) / 255
	c.A = 255
	return mix(behind, c, opacity)
}

// dark says whether white is read more easily on c than black.
func dark(c color.NRGBA) bool {
	return 299*int(c.R)+587*int(c.G)+114*int(c.B) < 140*1000
}

// mix blends a share of b into a.
func mix(a, b color.NRGBA, share float64) color.NRGBA {
	m := func(x, y uint8) uint8 { return uint8(float64(x)*(1-share) + float64(y)*share + 0.5) }
	return color.NRGBA{m(a.R, b.R), m(a.G, b.G), m(a.B, b.B), 255}
}
