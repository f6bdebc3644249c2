package passview

import (
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"math"

	"golang.org/x/image/draw"
)

// MaxScale is the largest number of pixels to the point.
const MaxScale = 4

// gap is the space around and between front and back, in points.
const gap = 28.0

// PNG writes a picture of front and back, side by side, once for each appearance,
// one above the other. Scale is the number of pixels to the point: 2 is a screen's,
// 1 makes a small file. It has to be between 1 and MaxScale.
func (v *View) PNG(w io.Writer, scale int, appearances ...Appearance) error {
	if scale < 1 || scale > MaxScale {
		return fmt.Errorf("passview: the scale is %d, and has to be from 1 to %d", scale, MaxScale)
	}
	if len(appearances) == 0 {
		appearances = []Appearance{Light}
	}
	f := newFaces(float64(scale), v.notes)
	face := v.drawFront(f)
	tall := float64(face.Rect.Dy()) / f.scale
	var backs []*image.RGBA
	height := 0
	for _, a := range appearances {
		back := v.drawBack(f, a, tall)
		backs = append(backs, back)
		height += back.Rect.Dy() + int(2*gap*f.scale)
	}
	page := image.NewRGBA(image.Rect(0, 0, int((2*cardWidth+3*gap)*f.scale), height))
	y := 0
	for i, a := range appearances {
		tall := backs[i].Rect.Dy() + int(2*gap*f.scale)
		area := image.Rect(0, y, page.Rect.Dx(), y+tall)
		draw.Draw(page, area, image.NewUniform(a.palette().page), image.Point{}, draw.Src)
		left, right := image.Pt(int(gap*f.scale), y+int(gap*f.scale)), image.Pt(int((2*gap+cardWidth)*f.scale), y+int(gap*f.scale))
		if a == Light {
			shadow(page, face, left, f.scale)
			shadow(page, backs[i], right, f.scale)
		}
		draw.Draw(page, face.Rect.Add(left), face, image.Point{}, draw.Over)
		draw.Draw(page, backs[i].Rect.Add(right), backs[i], image.Point{}, draw.Over)
		y += tall
	}
	if err := png.Encode(w, page); err != nil {
		return fmt.Errorf("passview: writing the picture: %w", err)
	}
	return nil
}

// shadow draws the soft edge below a card, which sets a light one off a light page.
func shadow(page *image.RGBA, card *image.RGBA, at image.Point, scale float64) {
	spread := int(math.Ceil(8 * scale))
	size := image.Rect(0, 0, card.Rect.Dx()+2*spread, card.Rect.Dy()+2*spread)
	c := &canvas{RGBA: image.NewRGBA(size), scale: scale}
	black := image.NewUniform(color.NRGBA{0, 0, 0, 70})
	draw.DrawMask(c.RGBA, card.Rect.Add(image.Pt(spread, spread)), black, image.Point{}, card, image.Point{}, draw.Over)
	c.blur(2.5)
	draw.Draw(page, size.Add(at).Sub(image.Pt(spread, spread-int(2*scale))), c.RGBA, image.Point{}, draw.Over)
}
