package passview

import (
	"bytes"
	"fmt"
	"image"
	"image/png"
	"path"
)

// Limits on an image, read from its header before it is decoded. The largest one
// that Wallet has a use for, artwork at three pixels to the point, has 1.4 million
// pixels.
const (
	maxImageFile   = 8 << 20 // bytes
	maxImageSide   = 4096    // pixels
	maxImagePixels = 6 << 20
)

// picture is an image of the pass.
type picture struct {
	image.Image
	png []byte // the file it was decoded from
	// width and height in points.
	width, height float64
}

// pictures finds the images of a pass.
type pictures struct {
	files  map[string][]byte
	folder string // of the language, as fr.lproj, or empty
	notes  *notes
}

// get returns the image at its largest scale, or nil. A file at the top overrides
// that of the language, as it does in Wallet.
func (p *pictures) get(base string) *picture {
	for _, folder := range []string{"", p.folder} {
		for scale := 3; scale >= 1; scale-- {
			name := base + ".png"
			if scale > 1 {
				name = fmt.Sprintf("%s@%dx.png", base, scale)
			}
			name = path.Join(folder, name)
			data, ok := p.files[name]
			if !ok {
				continue
			}
			img, err := decodeImage(data)
			if err != nil {
				p.notes.add("%s is not drawn: %v", name, err)
				continue
			}
			b := img.Bounds()
			return &picture{img, data, float64(b.Dx()) / float64(scale), float64(b.Dy()) / float64(scale)}
		}
	}
	return nil
}

func decodeImage(data []byte) (image.Image, error) {
	if len(data) > maxImageFile {
		return nil, fmt.Errorf("it has %d bytes, and at most %d are read", len(data), maxImageFile)
	}
	c, err := png.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("it is not a PNG image: %w", err)
	}
	if c.Width > maxImageSide || c.Height > maxImageSide || c.Width*c.Height > maxImagePixels {
		return nil, fmt.Errorf("it has %d × %d pixels, and at most %d on a side and %d in all are drawn", c.Width, c.Height, maxImageSide, maxImagePixels)
	}
	img, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("its pixels cannot be read: %w", err)
	}
	if img.Bounds().Empty() {
		return nil, fmt.Errorf("it has no pixels")
	}
	return img, nil
}
