package passsample

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"math"

	"golang.org/x/image/vector"
)

// tint is an opaque colour.
type tint struct{ r, g, b uint8 }

func (t tint) css() string            { return fmt.Sprintf("rgb(%d, %d, %d)", t.r, t.g, t.b) }
func (t tint) at(a uint8) color.NRGBA { return color.NRGBA{t.r, t.g, t.b, a} }

// palette are the colours of a sample, and those of its landscape.
type palette struct {
	background, foreground, label tint
	sky, horizon, sun             tint
	hills                         [3]tint
}

var (
	white = tint{255, 255, 255}
	sea   = palette{
		tint{14, 63, 116}, white, tint{152, 199, 240},
		tint{38, 120, 190}, tint{170, 216, 240}, tint{255, 238, 190},
		[3]tint{{38, 110, 160}, {24, 84, 136}, {14, 63, 116}},
	}
	dusk = palette{
		tint{58, 28, 84}, white, tint{230, 180, 215},
		tint{46, 24, 92}, tint{240, 130, 120}, tint{255, 208, 140},
		[3]tint{{120, 52, 120}, {84, 38, 100}, {48, 22, 70}},
	}
	forest = palette{
		tint{22, 72, 56}, white, tint{166, 218, 188},
		tint{120, 190, 190}, tint{232, 240, 206}, tint{255, 250, 220},
		[3]tint{{98, 160, 120}, {52, 118, 88}, {22, 72, 56}},
	}
	sand = palette{
		tint{176, 74, 40}, white, tint{255, 216, 176},
		tint{120, 40, 36}, tint{214, 110, 60}, tint{255, 196, 110},
		[3]tint{{196, 92, 52}, {186, 82, 45}, {176, 74, 40}},
	}
)

// sizes of the images, in points (wallet.md §8 of Apple's documents: the larger of
// what the guide and Pass Builder name).
var sizes = map[string]image.Point{
	"icon": {38, 38}, "logo": {50, 50}, "strip": {375, 144}, "background": {180, 220}, "thumbnail": {90, 90},
	"footer": {286, 15}, "artwork": {358, 448}, "primaryLogo": {126, 30}, "secondaryLogo": {135, 12},
}

// drawn draws an image at a scale.
func drawn(name string, p palette, scale int) ([]byte, error) {
	size := sizes[name]
	img := image.NewRGBA(image.Rect(0, 0, size.X*scale, size.Y*scale))
	d := &drawing{img, float64(size.X * scale), float64(size.Y * scale)}
	switch name {
	case "icon":
		d.gradient(p.sky, p.background)
		d.mark(d.w/2, d.h/2, d.h*0.36, p.foreground)
	case "logo":
		d.mark(d.w/2, d.h/2, d.h*0.44, p.foreground)
	case "primaryLogo":
		d.mark(d.h/2, d.h/2, d.h*0.44, p.foreground)
		d.bar(d.h*1.25, d.h*0.26, d.w-d.h*1.5, d.h*0.2, p.foreground)
		d.bar(d.h*1.25, d.h*0.58, (d.w-d.h*1.5)*0.66, d.h*0.13, p.foreground)
	case "secondaryLogo":
		d.mark(d.w/2, d.h/2, d.h*0.44, p.foreground)
		d.bar(0, d.h*0.44, d.w/2-d.h, d.h*0.12, p.foreground)
		d.bar(d.w/2+d.h, d.h*0.44, d.w/2-d.h, d.h*0.12, p.foreground)
	case "footer":
		for x := d.h / 2; x < d.w; x += d.h {
			d.shape(p.label.at(uint8(40+180*x/d.w)), func(r *vector.Rasterizer) { circle(r, x, d.h/2, d.h*0.2, true) })
		}
	default:
		d.landscape(p)
	}
	var out bytes.Buffer
	err := png.Encode(&out, img)
	return out.Bytes(), err
}

type drawing struct {
	*image.RGBA
	w, h float64
}

func (d *drawing) shape(c color.Color, outline func(*vector.Rasterizer)) {
	r := vector.NewRasterizer(d.Rect.Dx(), d.Rect.Dy())
	outline(r)
	mask := image.NewAlpha(d.Rect)
	r.Draw(mask, d.Rect, image.Opaque, image.Point{})
	draw.DrawMask(d.RGBA, d.Rect, image.NewUniform(c), image.Point{}, mask, image.Point{}, draw.Over)
}

func circle(r *vector.Rasterizer, x, y, radius float64, clockwise bool) {
	const steps = 96
	for i := range steps {
		a := 2 * math.Pi * float64(i) / steps
		if !clockwise {
			a = -a
		}
		px, py := float32(x+radius*math.Cos(a)), float32(y+radius*math.Sin(a))
		if i == 0 {
			r.MoveTo(px, py)
		} else {
			r.LineTo(px, py)
		}
	}
	r.ClosePath()
}

// mark is a ring around a hill: the stand-in for a logo.
func (d *drawing) mark(x, y, radius float64, c tint) {
	d.shape(c.at(255), func(r *vector.Rasterizer) {
		circle(r, x, y, radius, true)
		circle(r, x, y, radius*0.82, false)
	})
	d.shape(c.at(255), func(r *vector.Rasterizer) {
		r.MoveTo(float32(x-radius*0.62), float32(y+radius*0.4))
		r.LineTo(float32(x-radius*0.1), float32(y-radius*0.5))
		r.LineTo(float32(x+radius*0.2), float32(y))
		r.LineTo(float32(x+radius*0.34), float32(y-radius*0.2))
		r.LineTo(float32(x+radius*0.64), float32(y+radius*0.4))
		r.ClosePath()
	})
}

// bar stands for a line of lettering.
func (d *drawing) bar(x, y, w, h float64, c tint) {
	d.shape(c.at(220), func(r *vector.Rasterizer) {
		r.MoveTo(float32(x), float32(y))
		r.LineTo(float32(x+w), float32(y))
		r.LineTo(float32(x+w), float32(y+h))
		r.LineTo(float32(x), float32(y+h))
		r.ClosePath()
	})
}

func (d *drawing) gradient(from, to tint) {
	between := func(a, b uint8, share float64) uint8 { return uint8(float64(a)*(1-share) + float64(b)*share) }
	for y := range d.Rect.Dy() {
		s := float64(y) / d.h
		c := tint{between(from.r, to.r, s), between(from.g, to.g, s), between(from.b, to.b, s)}
		draw.Draw(d.RGBA, image.Rect(0, y, d.Rect.Dx(), y+1), image.NewUniform(c.at(255)), image.Point{}, draw.Src)
	}
}

// landscape is hills under the sun.
func (d *drawing) landscape(p palette) {
	d.gradient(p.sky, p.horizon)
	unit := min(d.w, d.h)
	d.shape(p.sun.at(90), func(r *vector.Rasterizer) { circle(r, d.w*0.72, d.h*0.34, unit*0.22, true) })
	d.shape(p.sun.at(255), func(r *vector.Rasterizer) { circle(r, d.w*0.72, d.h*0.34, unit*0.15, true) })
	for i, c := range p.hills {
		base := d.h * (0.52 + 0.14*float64(i))
		d.shape(c.at(255), func(r *vector.Rasterizer) {
			r.MoveTo(0, float32(d.h))
			for x := 0.0; x <= d.w+4; x += 4 {
				wave := math.Sin(x/d.w*math.Pi*(1.6+0.7*float64(i))+2.2*float64(i)) + 0.4*math.Sin(x/d.w*math.Pi*5+float64(i))
				r.LineTo(float32(x), float32(base-wave*d.h*0.08))
			}
			r.LineTo(float32(d.w+4), float32(d.h))
			r.ClosePath()
		})
	}
}
