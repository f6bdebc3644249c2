package passview

import (
	"image"
	"image/color"
	"math"
	"slices"
	"strings"

	"golang.org/x/image/draw"
)

// Measures in points, near those of Wallet on a phone 375 points wide.
const (
	cardWidth  = 375.0
	cardHeight = 480.0 // at least
	posterTall = 560.0
	cardRound  = 12.0
	margin     = 16.0
	headerTall = 66.0
	rowTall    = 48.0
	notch      = 9.0
	thumbSide  = 90.0
)

// front draws the face of the pass.
type front struct {
	*View
	*canvas
	y     float64 // where the next row begins
	notch float64 // where the outline of a boarding pass is cut
}

// stripTall is the height of the strip image by style.
func (v *View) stripTall() float64 {
	if v.kind == eventTicket {
		return 98
	}
	return 144
}

// inRow is how many fields phones draw in a row of these styles.
const inRow = 4

// rows are the rows of small fields, in the order of the style, as phones draw them: a
// store card and a coupon have one row for what comes first of both lists, an event ticket
// has four fields in a row, and a generic pass two rows whatever its code.
func (v *View) rows() [][]field {
	rows := [][]field{v.secondary, v.auxiliary[0], v.auxiliary[1]}
	switch v.kind {
	case boardingPass:
		rows = [][]field{v.auxiliary[0], v.auxiliary[1], v.secondary}
	case coupon, storeCard:
		rows = [][]field{upTo(inRow, slices.Concat(v.secondary, v.auxiliary[0], v.auxiliary[1]))}
	case eventTicket:
		for i := range rows {
			rows[i] = upTo(inRow, rows[i])
		}
	}
	var filled [][]field
	for _, r := range rows {
		if len(r) > 0 {
			filled = append(filled, r)
		}
	}
	return filled
}

func upTo(n int, list []field) []field { return list[:min(n, len(list))] }

// codeSize is the white box around the barcode.
func (v *View) codeSize() (w, h float64) {
	switch {
	case v.code == nil:
		return 0, 0
	case v.code.square():
		w, h = 160, 160
	default:
		w, h = 320, 96
	}
	if v.code.altText != "" {
		h += 16
	}
	return w, h
}

// bandTall is the height of what stands between the header and the rows.
func (v *View) bandTall() float64 {
	switch v.kind {
	case boardingPass:
		return 84
	case coupon, storeCard:
		return v.stripTall() + 8
	case eventTicket:
		if v.strip != nil {
			return v.stripTall() + 8
		}
	}
	return thumbSide + 20
}

func (v *View) frontHeight() float64 {
	_, code := v.codeSize()
	if code > 0 {
		code += 24
	}
	if v.footer != nil {
		code += 21
	}
	if v.kind == poster {
		return posterTall + code
	}
	rows := float64(len(v.rows()))
	if v.besideThumbnail() {
		rows-- // the secondary fields stand beside it
	}
	return max(cardHeight, headerTall+v.bandTall()+rows*rowTall+16+code)
}

// besideThumbnail says that the secondary fields of an event ticket share the
// height of the thumbnail with the primary one.
func (v *View) besideThumbnail() bool {
	return v.kind == eventTicket && v.strip == nil && len(v.secondary) > 0
}

func (v *View) drawFront(f *faces) *image.RGBA {
	p := &front{View: v, canvas: newCanvas(cardWidth, v.frontHeight(), f)}
	p.fill(rect{0, 0, cardWidth, p.height()}, v.background)
	if v.kind == poster {
		p.poster()
	} else {
		p.classic()
	}
	if v.voided {
		p.shape(color.NRGBA{128, 128, 128, 110}, func(o pen) { o.rounded(rect{0, 0, cardWidth, p.height()}, cardRound) })
	}
	cut := newCanvas(cardWidth, p.height(), f)
	cut.clip(p.canvas, p.outline)
	return cut.RGBA
}

// outline is the shape by which Wallet's styles are told apart.
func (p *front) outline(o pen) {
	w, h := cardWidth, p.height()
	switch p.kind {
	case boardingPass:
		if p.notch == 0 {
			break
		}
		o.move(0, cardRound)
		o.arc(cardRound, cardRound, cardRound, 2, 3)
		o.arc(w-cardRound, cardRound, cardRound, 3, 4)
		o.arc(w, p.notch, notch, 3, 1) // counter-clockwise: into the card
		o.arc(w-cardRound, h-cardRound, cardRound, 0, 1)
		o.arc(cardRound, h-cardRound, cardRound, 1, 2)
		o.arc(0, p.notch, notch, 1, -1)
		o.close()
		return
	case eventTicket:
		o.move(0, cardRound)
		o.arc(cardRound, cardRound, cardRound, 2, 3)
		o.arc(w/2, 0, 2*notch, 2, 0)
		o.arc(w-cardRound, cardRound, cardRound, 3, 4)
		o.arc(w-cardRound, h-cardRound, cardRound, 0, 1)
		o.arc(cardRound, h-cardRound, cardRound, 1, 2)
		o.close()
		return
	case coupon:
		const teeth = 50
		step := w / teeth
		o.move(0, step)
		for i := range teeth {
			o.line((float64(i)+0.5)*step, 0)
			o.line(float64(i+1)*step, step/2)
		}
		o.line(w, h-step/2)
		for i := teeth - 1; i >= 0; i-- {
			o.line((float64(i)+0.5)*step, h)
			o.line(float64(i)*step, h-step/2)
		}
		o.close()
		return
	}
	o.rounded(rect{0, 0, w, h}, cardRound)
}

func (p *front) classic() {
	if p.backdrop != nil {
		p.canvas.image(p.backdrop, rect{0, 0, cardWidth, p.height()}, true)
		p.blur(10)
		p.gradient(rect{0, 0, cardWidth, p.height()}, 0.35, 0.35)
	}
	p.drawHeader(p.foreground, p.label)
	p.y = headerTall
	switch {
	case p.kind == boardingPass:
		p.journey()
	case p.kind == coupon, p.kind == storeCard, p.strip != nil:
		p.overStrip()
	default:
		p.besideImage()
	}
	for _, row := range p.rowsBelow() {
		p.row(row, margin, cardWidth-2*margin, p.y)
		p.y += rowTall
	}
	p.barcode()
}

// rowsBelow are the rows that are not drawn beside the thumbnail.
func (p *front) rowsBelow() [][]field {
	rows := p.rows()
	if p.besideThumbnail() {
		return rows[1:]
	}
	return rows
}

// maxHeader is how many header fields Wallet draws (the archived "Wallet Developer Guide").
const maxHeader = 3

// drawHeader draws the logo and its text, and the header fields from the right:
// the first ones, if there is no room for all.
func (p *front) drawHeader(text, label color.Color) {
	value, name, most := style{18, false}, style{10, true}, 110.0
	if p.kind == poster {
		most = 170
	}
	right, room := cardWidth-margin, cardWidth*0.62
	shown := p.header[:0:0]
	var widths []float64
	for _, f := range p.header[:min(maxHeader, len(p.header))] {
		w := min(most, max(p.faces.width(p.faces.drawable(f.text(), value), value), p.faces.width(p.faces.drawable(upper(f.label), name), name)))
		if room -= w + 14; room < 0 {
			break
		}
		shown, widths = append(shown, f), append(widths, w)
	}
	if left := len(p.header) - len(shown); left > 0 {
		p.notes.add("there is no room for %d of %d header fields", left, len(p.header))
	}
	for i := range shown { // the first one is at the right
		p.text(upper(shown[i].label), right, 26, widths[i], "right", name, label)
		p.text(shown[i].text(), right, 46, widths[i], "right", value, text)
		right -= widths[i] + 14
	}
	x := margin
	if p.logo != nil {
		w, h := p.logo.within(160, 50)
		p.canvas.image(p.logo, rect{x, (headerTall - h) / 2, w, h}, false)
		x += w + 10
	}
	if p.logoText != "" && p.kind != poster {
		p.text(p.logoText, x, headerTall/2+6, max(20, right-x-6), "left", style{17, true}, text)
	}
}

// From and to are of one size, small enough for both.
const (
	largestJourney = 46.0
	leastJourney   = 12.0
)

// journey draws from and to, and the means between them.
func (p *front) journey() {
	column := (cardWidth - 2*margin - 56) / 2
	size := largestJourney
	for _, f := range upTo(2, p.primary) {
		if w := p.faces.width(p.faces.drawable(f.text(), style{largestJourney, false}), style{largestJourney, false}); w > column {
			size = max(leastJourney, min(size, math.Floor(largestJourney*column/w)))
		}
	}
	for i, f := range p.primary {
		x, align := margin, "left"
		if i == 1 {
			x, align = cardWidth-margin, "right"
		} else if i > 1 {
			break
		}
		p.text(upper(f.label), x, p.y+16, column, align, style{11, true}, p.label)
		p.text(f.text(), x, p.y+22+size*0.78, column, align, style{size, false}, p.foreground)
	}
	if len(p.primary) > 1 {
		p.means(p.label, cardWidth/2-17, p.y+26, 34)
	}
	p.y += p.bandTall()
	p.notch = p.y - 6
}

// overStrip draws the primary field over the strip image.
func (p *front) overStrip() {
	tall := p.stripTall()
	band := rect{0, p.y, cardWidth, tall}
	over := p.foreground
	if p.strip != nil {
		p.canvas.image(p.strip, band, true)
	}
	if len(p.primary) > 0 {
		f := p.primary[0]
		middle := p.y + tall/2
		if f.label == "" {
			middle += 14
		}
		p.text(f.text(), margin, middle+8, cardWidth-2*margin, "left", style{min(52, tall*0.46), false}, over)
		p.text(f.label, margin, middle+32, cardWidth-2*margin, "left", style{17, false}, over)
	}
	p.y += p.bandTall()
}

// besideImage draws the primary field with the thumbnail to its right.
func (p *front) besideImage() {
	width := cardWidth - 2*margin
	if p.thumbnail != nil {
		// Its width follows the ratio, between 2:3 and 3:2.
		ratio := min(max(p.thumbnail.width/p.thumbnail.height, 2.0/3), 1.5)
		w, h := thumbSide, thumbSide
		if ratio > 1 {
			h = w / ratio
		} else {
			w = h * ratio
		}
		at := rect{cardWidth - margin - w, p.y + 2, w, h}
		layer := newCanvas(cardWidth, p.height(), p.faces)
		layer.image(p.thumbnail, at, true)
		p.clip(layer, func(o pen) { o.rounded(at, 5) })
		width -= w + 12
	}
	size, y := 30.0, p.y
	if p.besideThumbnail() {
		size = 24
	}
	for i, f := range p.primary {
		if i > 0 {
			break
		}
		p.text(upper(f.label), margin, y+14, width, "left", style{11, true}, p.label)
		p.text(f.text(), margin, y+20+size*0.8, width, "left", style{size, false}, p.foreground)
	}
	if p.besideThumbnail() {
		p.row(p.secondary, margin, width, y+50)
	}
	p.y += p.bandTall()
}

// row draws fields in columns as wide as they need: the first at the left, the last
// at the right, unless they say otherwise.
func (p *front) row(list []field, x, width, y float64) {
	const gap = 10
	value, name := style{17, false}, style{11, true}
	natural := make([]float64, len(list))
	total := 0.0
	for i, f := range list {
		w := max(p.faces.width(p.faces.drawable(f.text(), value), value), p.faces.width(p.faces.drawable(upper(f.label), name), name))
		natural[i] = max(30, min(w, width)) + gap
		total += natural[i]
	}
	for i, f := range list {
		w := natural[i] * width / total
		at, align := x, "left"
		if len(list) > 1 && i == len(list)-1 {
			align = "right"
		}
		if f.align == "left" || f.align == "center" || f.align == "right" {
			align = f.align
		}
		room := w
		if i < len(list)-1 {
			room -= gap // what stands at the right of a column does not meet the next one
		}
		switch align {
		case "center":
			at += room / 2
		case "right":
			at += room
		}
		p.text(upper(f.label), at, y+14, room, align, name, p.label)
		p.text(f.text(), at, y+34, room, align, value, p.foreground)
		x += w
	}
}

// barcode draws the white box at the bottom, and the footer image above it.
func (p *front) barcode() {
	w, h := p.codeSize()
	bottom := p.height() - 16
	if p.code != nil {
		box := rect{(cardWidth - w) / 2, bottom - h, w, h}
		p.drawCode(box)
		bottom = box.y - 6
	}
	if p.footer != nil {
		w, h := p.footer.within(286, 15)
		p.canvas.image(p.footer, rect{(cardWidth - w) / 2, bottom - h, w, h}, false)
	}
}

func (p *front) drawCode(box rect) {
	p.canvas.shape(color.White, func(o pen) { o.rounded(box, 6) })
	inner := rect{box.x + 2, box.y + 2, box.w - 4, box.h - 4}
	if p.code.altText != "" {
		inner.h -= 16
		p.text(p.code.altText, box.x+box.w/2, box.y+box.h-7, box.w-16, "center", style{12, false}, color.Black)
	}
	if p.code.modules == nil {
		p.text("No barcode: see the note below", inner.x+inner.w/2, inner.y+inner.h/2+4, inner.w-16, "center", style{11, false}, color.NRGBA{180, 0, 0, 255})
		return
	}
	room := p.pixels(inner)
	img := p.code.picture(room.Dx(), room.Dy())
	at := img.Rect.Add(room.Min).Add(image.Pt(max(0, room.Dx()-img.Rect.Dx())/2, max(0, room.Dy()-img.Rect.Dy())/2))
	if img.Rect.Dx() > room.Dx() || img.Rect.Dy() > room.Dy() {
		draw.CatmullRom.Scale(p.RGBA, room, img, img.Rect, draw.Src, nil)
		p.notes.add("the barcode has so many modules that it may not scan from a phone")
		return
	}
	draw.Draw(p.RGBA, at, img, img.Rect.Min, draw.Src)
}

// upper is how labels are written; ß has no capital letter there.
func upper(s string) string { return strings.ToUpper(strings.ReplaceAll(s, "ß", "ss")) }

// means draws the means of transport into a square.
func (p *front) means(with color.Color, x, y, size float64) {
	p.canvas.shape(with, func(o pen) { transitIcon(o, p.transit, x, y, size) })
}

// poster draws artwork over the whole card, with the text at its foot.
func (p *front) poster() {
	_, code := p.codeSize()
	bottom := p.height()
	if code > 0 {
		bottom -= code + 24
	}
	footer := 0.0
	if len(p.secondary) > 0 {
		footer = 64
	}
	art := rect{0, 0, cardWidth, bottom - footer}
	if p.backdrop != nil {
		p.canvas.image(p.backdrop, art, true)
	} else {
		p.fill(art, p.background)
	}
	if p.darkenHeader {
		p.gradient(rect{0, 0, cardWidth, 110}, 0.55, 0)
	}
	p.gradient(rect{0, art.h - 200, cardWidth, 200}, 0, 0.75)
	p.drawHeader(p.foreground, p.label)

	y := art.h - 20
	if p.secondaryLogo != nil {
		w, h := p.secondaryLogo.within(135, 12)
		p.canvas.image(p.secondaryLogo, rect{(cardWidth - w) / 2, y - h + 4, w, h}, false)
		y -= 22
	}
	for i := len(p.primary) - 1; i >= 0 && i > len(p.primary)-5; i-- {
		f := p.primary[i]
		size := 17.0
		if i == 0 {
			size = 28
		}
		if f.label != "" && i == 0 {
			p.text(f.label, cardWidth/2, y, cardWidth-2*margin, "center", style{14, false}, p.label)
			y -= 22
		}
		text := f.text()
		if f.label != "" && i > 0 {
			text = f.label + "  " + text
		}
		p.text(text, cardWidth/2, y, cardWidth-2*margin, "center", style{size, i == 0}, p.foreground)
		y -= math.Round(size * 1.3)
	}
	p.fill(rect{0, art.h, cardWidth, p.height() - art.h}, p.footerColor)
	if footer > 0 {
		p.row(p.secondary, margin, cardWidth-2*margin, art.h+8)
	}
	p.barcode()
}
