package passview

import (
	"image"
	"image/color"
	"math"

	"golang.org/x/image/draw"
	"golang.org/x/image/font"
	"golang.org/x/image/vector"
)

// canvas is an image that is drawn on in points, from its top left corner. What is
// handed to package draw is its RGBA, a type for which that has fast ways.
type canvas struct {
	*image.RGBA
	scale float64 // pixels to the point
	faces *faces
}

func newCanvas(width, height float64, f *faces) *canvas {
	size := image.Rect(0, 0, int(math.Ceil(width*f.scale)), int(math.Ceil(height*f.scale)))
	return &canvas{image.NewRGBA(size), f.scale, f}
}

func (c *canvas) height() float64 { return float64(c.Rect.Dy()) / c.scale }

// rect is an area in points.
type rect struct{ x, y, w, h float64 }

func (c *canvas) pixels(r rect) image.Rectangle {
	px := func(v float64) int { return int(math.Round(v * c.scale)) }
	return image.Rect(px(r.x), px(r.y), px(r.x+r.w), px(r.y+r.h))
}

func (c *canvas) fill(r rect, with color.Color) {
	draw.Draw(c.RGBA, c.pixels(r), image.NewUniform(with), image.Point{}, draw.Over)
}

// pen draws an outline in points.
type pen struct {
	tip interface {
		MoveTo(x, y float32)
		LineTo(x, y float32)
		ClosePath()
	}
	scale float64
}

func (p pen) move(x, y float64) { p.tip.MoveTo(float32(x*p.scale), float32(y*p.scale)) }
func (p pen) line(x, y float64) { p.tip.LineTo(float32(x*p.scale), float32(y*p.scale)) }

func (p pen) close() { p.tip.ClosePath() }

// arc draws a part of a circle, from one angle to another in quarter turns,
// clockwise from the right. The pen moves to its beginning in a straight line.
func (p pen) arc(x, y, radius, from, to float64) {
	const steps = 16
	for i := range steps + 1 {
		a := (from + (to-from)*float64(i)/steps) * math.Pi / 2
		p.line(x+radius*math.Cos(a), y+radius*math.Sin(a))
	}
}

// rounded draws a rectangle with round corners.
func (p pen) rounded(r rect, radius float64) {
	p.move(r.x, r.y+radius)
	p.arc(r.x+radius, r.y+radius, radius, 2, 3)
	p.arc(r.x+r.w-radius, r.y+radius, radius, 3, 4)
	p.arc(r.x+r.w-radius, r.y+r.h-radius, radius, 0, 1)
	p.arc(r.x+radius, r.y+r.h-radius, radius, 1, 2)
	p.close()
}

func (p pen) polygon(x, y, size float64, points ...[2]float64) {
	for i, at := range points {
		if i == 0 {
			p.move(x+at[0]*size, y+at[1]*size)
		} else {
			p.line(x+at[0]*size, y+at[1]*size)
		}
	}
	p.close()
}

// extent is what an outline covers, in pixels; drawing it costs no more than that.
type extent struct{ left, top, right, bottom float32 }

func (e *extent) MoveTo(x, y float32) {
	e.left, e.right = min(e.left, x), max(e.right, x)
	e.top, e.bottom = min(e.top, y), max(e.bottom, y)
}
func (e *extent) LineTo(x, y float32) { e.MoveTo(x, y) }
func (e *extent) ClosePath()          {}

// moved is a rasterizer whose corner is elsewhere.
type moved struct {
	*vector.Rasterizer
	x, y float32
}

func (m moved) MoveTo(x, y float32) { m.Rasterizer.MoveTo(x-m.x, y-m.y) }
func (m moved) LineTo(x, y float32) { m.Rasterizer.LineTo(x-m.x, y-m.y) }

// mask draws an outline as the share of each pixel that is inside, where it is.
func (c *canvas) mask(outline func(pen)) *image.Alpha {
	e := &extent{math.MaxFloat32, math.MaxFloat32, -math.MaxFloat32, -math.MaxFloat32}
	outline(pen{e, c.scale})
	area := image.Rect(int(e.left), int(e.top), int(e.right)+1, int(e.bottom)+1).Intersect(c.Rect)
	r := vector.NewRasterizer(area.Dx(), area.Dy())
	outline(pen{moved{r, float32(area.Min.X), float32(area.Min.Y)}, c.scale})
	m := image.NewAlpha(area)
	r.Draw(m, area, image.Opaque, image.Point{})
	return m
}

func (c *canvas) shape(with color.Color, outline func(pen)) {
	m := c.mask(outline)
	draw.DrawMask(c.RGBA, m.Rect, image.NewUniform(with), image.Point{}, m, m.Rect.Min, draw.Over)
}

// clip copies what another canvas has inside an outline.
func (c *canvas) clip(from *canvas, outline func(pen)) {
	m := c.mask(outline)
	draw.DrawMask(c.RGBA, m.Rect, from.RGBA, m.Rect.Min, m, m.Rect.Min, draw.Over)
}

// within returns the size of the picture, made smaller if it is larger than that.
func (p *picture) within(width, height float64) (w, h float64) {
	s := min(1, width/p.width, height/p.height)
	return p.width * s, p.height * s
}

// image draws a picture into an area: stretched, or cropped to fill it.
func (c *canvas) image(p *picture, into rect, crop bool) {
	from := p.Bounds()
	if crop {
		s := max(into.w/p.width, into.h/p.height)
		w, h := into.w/s/p.width*float64(from.Dx()), into.h/s/p.height*float64(from.Dy())
		x, y := (float64(from.Dx())-w)/2, (float64(from.Dy())-h)/2
		from = image.Rect(int(x), int(y), max(int(x)+1, int(x+w)), max(int(y)+1, int(y+h))).Add(from.Min)
	}
	draw.CatmullRom.Scale(c.RGBA, c.pixels(into), p.Image, from, draw.Over, nil)
}

// text writes one line that fits into the width, and returns the width it takes. y
// is the baseline; x the left, middle or right, as align says.
func (c *canvas) text(text string, x, y, width float64, align string, s style, with color.Color) float64 {
	text, s = c.faces.fit(text, s, width, 0.6)
	face, _ := c.faces.of(s)
	w := c.faces.width(text, s)
	switch align {
	case "center":
		x -= w / 2
	case "right":
		x -= w
	}
	d := font.Drawer{Dst: c.RGBA, Src: image.NewUniform(with), Face: face, Dot: fixedPoint(x*c.scale, y*c.scale)}
	d.DrawString(text)
	return w
}

// gradient darkens an area between two heights, from one share to another.
func (c *canvas) gradient(r rect, from, to float64) {
	area := c.pixels(r).Intersect(c.Rect)
	for y := area.Min.Y; y < area.Max.Y; y++ {
		share := from + (to-from)*float64(y-area.Min.Y)/float64(max(1, area.Dy()-1))
		row := image.Rect(area.Min.X, y, area.Max.X, y+1)
		draw.Draw(c.RGBA, row, image.NewUniform(color.NRGBA{0, 0, 0, uint8(share * 255)}), image.Point{}, draw.Over)
	}
}

// blur smooths the whole canvas, three times over a window, which is close to a
// Gaussian.
func (c *canvas) blur(points float64) {
	n := max(1, int(points*c.scale))
	w, h := c.Rect.Dx(), c.Rect.Dy()
	for range 3 {
		for y := range h {
			smooth(c.Pix[y*c.Stride:], w, 4, n)
		}
		for x := range w {
			smooth(c.Pix[x*4:], h, c.Stride, n)
		}
	}
}

// smooth replaces each of count pixels by the mean of its neighbours up to n away.
func smooth(pix []uint8, count, step, n int) {
	line := make([]uint8, count)
	for channel := range 4 {
		sum, of := 0, 0
		for i := range count {
			line[i] = pix[i*step+channel]
		}
		for i := -n; i < count; i++ {
			if in := i + n; in < count {
				sum, of = sum+int(line[in]), of+1
			}
			if out := i - n - 1; out >= 0 {
				sum, of = sum-int(line[out]), of-1
			}
			if i >= 0 {
				pix[i*step+channel] = uint8(sum / of)
			}
		}
	}
}
