package passview

import (
	"fmt"
	"strings"
	"sync"

	"codeberg.org/go-fonts/liberation/liberationsansbold"
	"codeberg.org/go-fonts/liberation/liberationsansregular"
	"golang.org/x/image/font"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
)

// typefaces are Liberation Sans (SIL Open Font License), which has the measures of
// Helvetica and the letters of Latin, Greek and Cyrillic.
var typefaces = sync.OnceValues(func() (regular, bold *opentype.Font) {
	parse := func(data []byte) *opentype.Font {
		f, err := opentype.Parse(data)
		if err != nil {
			panic("passview: the embedded font cannot be read: " + err.Error())
		}
		return f
	}
	return parse(liberationsansregular.TTF), parse(liberationsansbold.TTF)
})

type style struct {
	points float64
	bold   bool
}

// faces makes fonts of the sizes in use; a face is not safe for concurrent use, so
// every drawing has its own.
type faces struct {
	scale float64
	made  map[style]font.Face
	notes *notes
	buf   sfnt.Buffer
}

func newFaces(scale float64, n *notes) *faces {
	return &faces{scale: scale, made: map[style]font.Face{}, notes: n}
}

func (f *faces) of(s style) (font.Face, *opentype.Font) {
	regular, bold := typefaces()
	from := regular
	if s.bold {
		from = bold
	}
	face, ok := f.made[s]
	if !ok {
		var err error
		face, err = opentype.NewFace(from, &opentype.FaceOptions{Size: s.points * f.scale, DPI: 72, Hinting: font.HintingNone})
		if err != nil {
			panic(fmt.Sprintf("passview: a font of %v points: %v", s.points, err))
		}
		f.made[s] = face
	}
	return face, from
}

// width measures one line, in points.
func (f *faces) width(text string, s style) float64 {
	face, _ := f.of(s)
	return float64(font.MeasureString(face, text)) / 64 / f.scale
}

// drawable makes text one line of characters that the font has or shows as a box,
// and notes those that it lacks.
func (f *faces) drawable(text string, s style) string {
	_, from := f.of(s)
	var out strings.Builder
	for _, r := range text {
		switch {
		case r == '\t' || r == '\n' || r == '\r':
			r = ' '
		case r < ' ' || r >= 0x200b && r <= 0x200f || r == 0xfe0f || r == 0xfeff:
			continue // invisible
		}
		if i, err := from.GlyphIndex(&f.buf, r); err != nil || i == 0 {
			f.notes.add("the picture's font lacks some characters (%s), which are drawn as boxes; the HTML page uses the fonts of the browser", script(r))
		} else if r >= 0x590 && r <= 0x8ff {
			f.notes.add("text written from right to left is drawn from left to right; the HTML page is right")
		}
		out.WriteRune(r)
	}
	return out.String()
}

// fit shrinks the font down to a share of its size, and then shortens the text,
// until it is no wider than width points.
func (f *faces) fit(text string, s style, width, least float64) (string, style) {
	text = f.drawable(text, s)
	if w := f.width(text, s); w > width && width > 0 {
		// Sizes in steps, or every text would make a face of its own.
		s.points = max(s.points*least, float64(int(s.points*width/w*4))/4)
	}
	if f.width(text, s) <= width {
		return text, s
	}
	if width < 1 {
		return "", s
	}
	runes := []rune(text)
	// Nothing that fits has more characters than this.
	runes = runes[:min(len(runes), int(width)+1)]
	for len(runes) > 0 && f.width(string(runes)+"…", s) > width {
		runes = runes[:len(runes)-1]
	}
	return strings.TrimRight(string(runes), " ") + "…", s
}

// lineBreaks are all that ends a line (Unicode, chapter 5.8).
var lineBreaks = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\u0085", "\n", "\u2028", "\n", "\u2029", "\n")

// wrap breaks text into lines of at most width points, at spaces where there are
// any, and at most lines of them; the last one ends in … if something is left out.
func (f *faces) wrap(text string, s style, width float64, most int) (lines []string) {
	for paragraph := range strings.Lines(lineBreaks.Replace(text)) {
		words := strings.Split(f.drawable(strings.TrimRight(paragraph, "\n"), s), " ")
		line := ""
		for i := 0; i < len(words); i++ {
			joined := words[i]
			if line != "" {
				joined = line + " " + words[i]
			}
			if f.width(joined, s) <= width {
				line = joined
				continue
			}
			if line == "" { // one word that is wider than a line
				runes := []rune(words[i])
				n := 1
				for n < len(runes) && f.width(string(runes[:n+1]), s) <= width {
					n++
				}
				line = string(runes[:n])
				words[i] = string(runes[n:])
				if words[i] == "" {
					continue
				}
			}
			if lines = append(lines, line); len(lines) == most {
				lines[most-1], _ = f.fit(line+" "+words[i]+" …", s, width, 1)
				return lines
			}
			line = ""
			i--
		}
		if len(lines) == most {
			lines[most-1] += "…"
			return lines
		}
		lines = append(lines, line)
	}
	return lines
}

// script names the writing system of a character by its block, roughly, so that
// the note tells one from another without listing characters.
func script(r rune) string {
	switch {
	case r >= 0x1f000:
		return "emoji"
	case r >= 0x3040 && r <= 0x30ff:
		return "Japanese"
	case r >= 0xac00 && r <= 0xd7a3:
		return "Korean"
	case r >= 0x3400 && r <= 0x9fff:
		return "Chinese characters"
	case r >= 0x600 && r <= 0x6ff:
		return "Arabic"
	case r >= 0xe00 && r <= 0xe7f:
		return "Thai"
	case r >= 0x900 && r <= 0x97f:
		return "Devanagari"
	}
	return fmt.Sprintf("such as U+%04X", r)
}

func fixedPoint(x, y float64) fixed.Point26_6 {
	return fixed.Point26_6{X: fixed.Int26_6(x * 64), Y: fixed.Int26_6(y * 64)}
}
