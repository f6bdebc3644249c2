package passview

import (
	"image"
	"image/color"
)

// Appearance is that of the device, which changes everything but the pass itself.
type Appearance int

const (
	Light Appearance = iota
	Dark
)

// palette are the system's colours of one appearance.
type palette struct{ page, sheet, text, faint, line, link color.NRGBA }

func (a Appearance) palette() palette {
	if a == Dark {
		return palette{
			page: color.NRGBA{0, 0, 0, 255}, sheet: color.NRGBA{28, 28, 30, 255}, text: color.NRGBA{255, 255, 255, 255},
			faint: color.NRGBA{152, 152, 159, 255}, line: color.NRGBA{56, 56, 58, 255}, link: color.NRGBA{10, 132, 255, 255},
		}
	}
	return palette{
		page: color.NRGBA{229, 229, 234, 255}, sheet: color.NRGBA{255, 255, 255, 255}, text: color.NRGBA{0, 0, 0, 255},
		faint: color.NRGBA{110, 110, 115, 255}, line: color.NRGBA{216, 216, 220, 255}, link: color.NRGBA{0, 102, 204, 255},
	}
}

// The type of the back.
var (
	backTitle = style{17, true}
	backSmall = style{13, false}
	backLabel = style{13, true}
	backValue = style{15, false}
)

const (
	backLines   = 12     // of one field at most
	maxBackTall = 2400.0 // points of a picture; a hundred lines and some
)

// backLine is one line of the back: a text, or a rule if it has none.
type backLine struct {
	text  string
	style style
	color color.NRGBA
	tall  float64
	rule  bool
}

// layBack breaks the back into lines.
func (v *View) layBack(f *faces, p palette) (lines []backLine) {
	const width = cardWidth - 2*margin
	add := func(text string, s style, c color.NRGBA, most int) {
		broken := f.wrap(text, s, width, most+1)
		if len(broken) > most {
			broken = f.wrap(text, s, width, most)
			v.notes.add("a text of the back is cut after %d lines; the HTML page has all of it", most)
		}
		for _, l := range broken {
			lines = append(lines, backLine{text: l, style: s, color: c, tall: s.points * 1.35})
		}
	}
	add(v.name, backTitle, p.text, 2)
	if v.description != v.name {
		add(v.description, backSmall, p.faint, 3)
	}
	if v.voided {
		add("This pass is void.", backSmall, p.faint, 1)
	}
	for _, list := range [][]field{v.info, v.back} {
		for _, d := range list {
			lines = append(lines, backLine{rule: true, tall: 21})
			if d.label != "" {
				add(d.label, backLabel, p.text, 2)
			}
			c := p.faint
			for _, r := range d.value {
				if r.Href != "" {
					c = p.link // of the whole value: a line has one colour here
				}
			}
			add(d.text(), backValue, c, backLines)
		}
	}
	if len(v.back)+len(v.info) == 0 {
		lines = append(lines, backLine{rule: true, tall: 21})
		add("The back has no fields.", backSmall, p.faint, 1)
	}
	return lines
}

func (v *View) drawBack(f *faces, a Appearance, least float64) *image.RGBA {
	p := a.palette()
	lines := v.layBack(f, p)
	tall := 2 * margin
	for i, l := range lines {
		if tall += l.tall; tall > maxBackTall {
			v.notes.add("the back is longer than the picture; the HTML page has all of it")
			tall, lines = tall-l.tall, lines[:i]
			break
		}
	}
	c := newCanvas(cardWidth, max(least, tall), f)
	c.shape(p.sheet, func(o pen) { o.rounded(rect{0, 0, cardWidth, c.height()}, cardRound) })
	y := margin
	for _, l := range lines {
		if l.rule {
			c.fill(rect{margin, y + 10, cardWidth - margin, 1}, p.line)
		} else {
			c.text(l.text, margin, y+l.style.points, cardWidth-2*margin, "left", l.style, l.color)
		}
		y += l.tall
	}
	out := newCanvas(cardWidth, c.height(), f)
	out.clip(c, func(o pen) { o.rounded(rect{0, 0, cardWidth, c.height()}, cardRound) })
	return out.RGBA
}
