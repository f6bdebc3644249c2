package passview

import (
	"bytes"
	_ "embed" // the style sheet
	"encoding/base64"
	"fmt"
	"html"
	"image/color"
	"image/png"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

//go:embed page.css
var styleSheet string

// page is a page that is being written. Text and values of attributes are escaped;
// everything else comes from this file, from numbers and from images that were
// decoded. (Package html/template would do this too, and its use of reflection makes
// the linker keep every method of the program: six million bytes.)
type page struct{ strings.Builder }

// open writes the beginning of an element, with attributes as names and values.
// Those that are empty are left out.
func (p *page) open(element string, attributes ...string) {
	p.WriteString("<" + element)
	for i := 0; i+1 < len(attributes); i += 2 {
		if attributes[i+1] != "" || attributes[i] == "alt" {
			p.WriteString(" " + attributes[i] + `="` + html.EscapeString(attributes[i+1]) + `"`)
		}
	}
	p.WriteString(">")
}

func (p *page) close(elements ...string) {
	for _, e := range elements {
		p.WriteString("</" + e + ">")
	}
}

func (p *page) text(s string) { p.WriteString(html.EscapeString(s)) }

// element writes an element that holds nothing but text.
func (p *page) element(name, class, text string) {
	p.open(name, "class", class)
	p.text(text)
	p.close(name)
}

func (p *page) image(img *picture, class string) {
	if img != nil {
		p.open("img", "class", class, "src", dataURL(img.png), "alt", "")
	}
}

func (p *page) runs(list []run) {
	for _, r := range list {
		if r.Href == "" {
			p.text(r.Text)
			continue
		}
		p.open("a", "href", r.Href, "rel", "noopener noreferrer")
		p.text(r.Text)
		p.close("a")
	}
}

func (p *page) fields(list []field) {
	for _, f := range list {
		align := f.align
		if align != "left" && align != "center" && align != "right" {
			align = ""
		}
		p.open("div", "class", align)
		p.element("span", "label", f.label)
		p.open("span", "class", "value")
		p.runs(f.value)
		p.close("span", "div")
	}
}

func (p *page) row(list []field) {
	if len(list) > 0 {
		p.open("section")
		p.fields(list)
		p.close("section")
	}
}

// HTML writes a page with front and back, for any browser: one file that loads
// nothing and runs nothing, and follows the reader's light or dark appearance.
func (v *View) HTML(w io.Writer) error {
	p := &page{}
	p.WriteString("<!doctype html>\n<html>\n<head>\n<meta charset=\"utf-8\">\n" +
		`<meta name="viewport" content="width=device-width, initial-scale=1">` + "\n" +
		`<meta name="color-scheme" content="light dark">` + "\n" +
		`<meta name="referrer" content="no-referrer">` + "\n" +
		`<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">` + "\n")
	p.element("title", "", v.name+": "+v.description)
	p.WriteString("\n<style>\n" + styleSheet + "</style>\n</head>\n<body>\n<main>\n")
	if err := v.htmlFront(p); err != nil {
		return err
	}
	v.htmlBack(p)
	p.close("main")
	if notes := v.Notes(); len(notes) > 0 {
		p.open("ul", "class", "notes")
		for _, n := range notes {
			p.element("li", "", n)
		}
		p.close("ul")
	}
	p.WriteString("\n</body>\n</html>\n")
	if _, err := io.WriteString(w, p.String()); err != nil {
		return fmt.Errorf("passview: writing the page: %w", err)
	}
	return nil
}

func (v *View) htmlFront(p *page) error {
	class := "card " + v.kind.String()
	if v.voided {
		class += " void"
	}
	p.open("div", "class", "shadow")
	p.open("article", "class", class, "style", fmt.Sprintf("--background:%s;--foreground:%s;--label:%s;--footer:%s;min-height:%gpx",
		css(v.background), css(v.foreground), css(v.label), css(v.footerColor), v.frontHeight()))
	if v.kind == poster {
		v.htmlPoster(p)
	} else {
		v.htmlClassic(p)
	}
	if err := v.htmlCode(p); err != nil {
		return err
	}
	p.close("article", "div")
	return nil
}

func (v *View) htmlHeader(p *page) {
	p.open("header")
	p.image(v.logo, "")
	if v.kind != poster {
		p.element("b", "", v.logoText)
	}
	shown := slices.Clone(upTo(maxHeader, v.header))
	slices.Reverse(shown) // the first one is at the right
	p.fields(shown)
	p.close("header")
}

func (v *View) htmlPoster(p *page) {
	p.open("div", "class", "art")
	p.image(v.backdrop, "backdrop")
	shade := "shade"
	if !v.darkenHeader {
		shade = "shade plain"
	}
	p.element("div", shade, "")
	v.htmlHeader(p)
	p.open("div", "class", "title")
	p.fields(v.primary)
	p.image(v.secondaryLogo, "")
	p.close("div", "div")
	p.row(v.secondary)
}

// journeySize is the size of from and to in a page, by the number of their characters:
// which font there is nobody knows before.
func (v *View) journeySize() int {
	const column, wide = 143.0, 0.62 // points, and of the size a character
	size := largestJourney
	for _, f := range upTo(2, v.primary) {
		if n := utf8.RuneCountInString(f.text()); n > 0 {
			size = min(size, column/(wide*float64(n)))
		}
	}
	return int(max(leastJourney, size))
}

func (v *View) htmlClassic(p *page) {
	p.image(v.backdrop, "backdrop blur")
	v.htmlHeader(p)
	first := v.primary[:min(1, len(v.primary))]
	switch {
	case v.kind == boardingPass:
		p.open("div", "class", "journey", "style", fmt.Sprintf("--size: %dpx", v.journeySize()))
		p.fields(first)
		if len(v.primary) > 1 {
			p.WriteString(svg(40, 40, v.label, func(o pen) { transitIcon(o, v.transit, 0, 0, 40) }))
			p.fields(v.primary[1:2])
		}
		p.element("span", "hole", "")
		p.element("span", "hole", "")
		p.close("div")
	case v.kind == coupon, v.kind == storeCard, v.strip != nil:
		p.open("div", "class", "band")
		p.image(v.strip, "")
		p.fields(first)
		p.close("div")
	default:
		p.open("div", "class", "beside")
		p.open("div")
		p.open("div", "class", "primary")
		p.fields(first)
		p.close("div")
		if v.besideThumbnail() {
			p.row(v.secondary)
		}
		p.close("div")
		p.image(v.thumbnail, "")
		p.close("div")
	}
	if v.kind == eventTicket {
		p.element("span", "hole", "")
	}
	for i, r := range v.rows() {
		if i > 0 || !v.besideThumbnail() {
			p.row(r)
		}
	}
}

// htmlCode writes the barcode, and the footer image above it.
func (v *View) htmlCode(p *page) error {
	if v.code == nil && v.footer == nil {
		return nil
	}
	p.open("div", "class", "foot")
	p.image(v.footer, "")
	switch c := v.code; {
	case c == nil:
	case c.modules == nil:
		p.element("div", "code problem", "No barcode: "+c.problem)
	default:
		class, width, height := "code wide", 1264, 368 // four pixels to the point
		if c.square() {
			class, width, height = "code square", 624, 624
		}
		var out bytes.Buffer
		if err := png.Encode(&out, c.picture(width, height)); err != nil {
			return fmt.Errorf("passview: drawing the barcode: %w", err)
		}
		p.open("div", "class", class)
		p.open("img", "src", dataURL(out.Bytes()), "alt", "barcode")
		p.text(c.altText)
		p.close("div")
	}
	p.close("div")
	return nil
}

func (v *View) htmlBack(p *page) {
	p.open("aside")
	p.element("h1", "", v.name)
	p.element("p", "", v.description)
	if v.voided {
		p.element("p", "", "This pass is void.")
	}
	p.open("dl")
	for _, list := range [][]field{v.info, v.back} {
		for _, f := range list {
			p.open("div")
			p.element("dt", "", f.label)
			p.open("dd")
			p.runs(f.value)
			p.close("dd", "div")
		}
	}
	p.close("dl", "aside")
}

func (k shape) String() string {
	return [...]string{"generic", "boardingPass", "coupon", "eventTicket", "storeCard", "poster"}[k]
}

func css(c color.NRGBA) string { return fmt.Sprintf("rgb(%d,%d,%d)", c.R, c.G, c.B) }

func dataURL(data []byte) string {
	return "data:image/png;base64," + base64.StdEncoding.EncodeToString(data)
}

// svg draws an outline as an element of the page.
func svg(width, height float64, c color.NRGBA, outline func(pen)) string {
	t := &tracer{}
	outline(pen{t, 1})
	return fmt.Sprintf(`<svg viewBox="0 0 %g %g" fill="%s" aria-hidden="true"><path d="%s"/></svg>`, width, height, css(c), t.d.String())
}

// tracer writes what is drawn as the data of an SVG path.
type tracer struct{ d strings.Builder }

func (t *tracer) MoveTo(x, y float32) { fmt.Fprintf(&t.d, "M%.2f %.2f", x, y) }
func (t *tracer) LineTo(x, y float32) { fmt.Fprintf(&t.d, "L%.2f %.2f", x, y) }
func (t *tracer) ClosePath()          { t.d.WriteByte('Z') }
