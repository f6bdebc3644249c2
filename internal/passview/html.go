package passview

import (
	"bytes"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"image/color"
	"image/png"
	"io"
	"strings"
	"sync"
)

//go:embed page.html
var pageFile embed.FS

var page = sync.OnceValue(func() *template.Template {
	return template.Must(template.ParseFS(pageFile, "page.html"))
})

// pageData is what the page is made of. Text is escaped by the template; what has a
// type of the template package was made here, from parsed numbers and images.
type pageData struct {
	Kind                    string
	Name, Description       string
	Notes                   []string
	Colors                  template.CSS
	Height                  float64
	Backdrop, Logo, Strip   template.URL
	Thumbnail, Footer       template.URL
	SecondaryLogo, Code     template.URL
	CodeClass, CodeText     string
	CodeProblem             string
	LogoText                string
	Header, Primary         []pageField
	Beside, Info, Back      []pageField
	Rows                    [][]pageField
	Transit                 template.HTML
	Blur, Darken, IsPoster  bool
	Voided, Journey, Banded bool
}

type pageField struct {
	Label string
	Value []run
	Align string
}

// HTML writes a page with front and back, for any browser: one file that loads
// nothing and runs nothing, and follows the reader's light or dark appearance.
func (v *View) HTML(w io.Writer) error {
	d := pageData{
		Kind: v.kind.String(), Name: v.name, Description: v.description, LogoText: v.logoText,
		Colors: template.CSS(fmt.Sprintf("--background:%s;--foreground:%s;--label:%s;--footer:%s;--strip:%s",
			css(v.background), css(v.foreground), css(v.label), css(v.footerColor), css(mix(v.background, v.foreground, 0.1)))),
		Height:   v.frontHeight(),
		Backdrop: v.backdrop.url(), Logo: v.logo.url(), Strip: v.strip.url(), Thumbnail: v.thumbnail.url(),
		Footer: v.footer.url(), SecondaryLogo: v.secondaryLogo.url(),
		Header: pageFields(v.header), Primary: pageFields(v.primary), Info: pageFields(v.info), Back: pageFields(v.back),
		Blur: v.kind != poster, Darken: v.darkenHeader, IsPoster: v.kind == poster, Voided: v.voided,
		Journey: v.kind == boardingPass, Banded: v.kind == coupon || v.kind == storeCard || v.strip != nil,
	}
	rows := v.rows()
	if v.kind == poster {
		rows = [][]field{v.secondary}
	} else if v.besideThumbnail() {
		d.Beside, rows = pageFields(v.secondary), rows[1:]
	}
	for _, r := range rows {
		if len(r) > 0 {
			d.Rows = append(d.Rows, pageFields(r))
		}
	}
	if d.Journey && len(v.primary) > 1 {
		d.Transit = svg(40, 40, v.label, func(o pen) { transitIcon(o, v.transit, 0, 0, 40) })
	}
	if v.code != nil {
		if err := d.addCode(v.code); err != nil {
			return err
		}
	}
	d.Notes = v.Notes()
	if err := page().Execute(w, d); err != nil {
		return fmt.Errorf("passview: writing the page: %w", err)
	}
	return nil
}

func (d *pageData) addCode(c *code) error {
	d.CodeText, d.CodeProblem, d.CodeClass = c.altText, c.problem, "wide"
	if c.square() {
		d.CodeClass = "square"
	}
	if c.modules == nil {
		return nil
	}
	d.CodeProblem = ""
	width, height := 1264, 368 // four pixels to the point
	if c.square() {
		width, height = 624, 624
	}
	var out bytes.Buffer
	if err := png.Encode(&out, c.picture(width, height)); err != nil {
		return fmt.Errorf("passview: drawing the barcode: %w", err)
	}
	d.Code = dataURL(out.Bytes())
	return nil
}

func (k shape) String() string {
	return [...]string{"generic", "boardingPass", "coupon", "eventTicket", "storeCard", "poster"}[k]
}

func pageFields(list []field) (out []pageField) {
	for _, f := range list {
		out = append(out, pageField{f.label, f.value, f.align})
	}
	return out
}

func css(c color.NRGBA) string { return fmt.Sprintf("rgb(%d,%d,%d)", c.R, c.G, c.B) }

// url returns the image as it is in the pass. It has been decoded, so it is a PNG.
func (p *picture) url() template.URL {
	if p == nil {
		return ""
	}
	return dataURL(p.png)
}

func dataURL(data []byte) template.URL {
	return template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(data))
}

// svg draws an outline as an element of the page.
func svg(width, height float64, c color.NRGBA, outline func(pen)) template.HTML {
	t := &tracer{}
	outline(pen{t, 1})
	return template.HTML(fmt.Sprintf(`<svg viewBox="0 0 %g %g" fill="%s" aria-hidden="true"><path d="%s"/></svg>`, width, height, css(c), t.d.String()))
}

// tracer writes what is drawn as the data of an SVG path.
type tracer struct{ d strings.Builder }

func (t *tracer) MoveTo(x, y float32) { fmt.Fprintf(&t.d, "M%.2f %.2f", x, y) }
func (t *tracer) LineTo(x, y float32) { fmt.Fprintf(&t.d, "L%.2f %.2f", x, y) }
func (t *tracer) ClosePath()          { t.d.WriteByte('Z') }
