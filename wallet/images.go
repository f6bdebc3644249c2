package wallet

import (
	"bytes"
	"cmp"
	"image/png"
	"path"
	"strings"

	"aviso.example/internal/suggest"
)

// imageKind is what Wallet knows about an image of a pass.
type imageKind struct {
	// width and height are the most, in points: the larger of what the archived
	// guide and Apple's pass-builder of 2026 say. 0 means that neither does.
	width, height int
	// styles are those that draw it; none means all.
	styles []string
}

var imageKinds = map[string]imageKind{
	"icon":                {38, 38, nil},
	"logo":                {160, 50, []string{StyleBoardingPass, StyleCoupon, StyleEventTicket, StyleGeneric, StyleStoreCard}},
	"strip":               {375, 144, []string{StyleCoupon, StyleEventTicket, StyleStoreCard}},
	"background":          {345, 505, []string{StyleEventTicket}},
	"thumbnail":           {90, 90, []string{StyleEventTicket, StyleGeneric}},
	"footer":              {286, 15, []string{StyleBoardingPass}},
	"artwork":             {358, 448, []string{StyleEventTicket, StylePosterGeneric}},
	"primaryLogo":         {126, 30, []string{StyleBoardingPass, StylePosterGeneric}},
	"secondaryLogo":       {135, 12, []string{StyleEventTicket}},
	"venueMap":            {0, 0, []string{StyleEventTicket}},
	"personalizationLogo": {150, 40, nil},
}

var imageNames = func() (names []string) {
	for name := range imageKinds {
		names = append(names, name)
	}
	return names
}()

// maxPixels is more than any image of a pass needs; an image that says it has
// more would cost whoever decodes it.
const maxPixels = 16 << 20

// splitImage splits the name of an image, such as "fr.lproj/icon@2x.png", into
// folder, base, scale and extension. The scale is 1 if there is none, and 0 if
// there is one that Wallet does not know.
func splitImage(name string) (folder, base string, scale int, ext string) {
	folder, file := path.Split(name)
	ext = path.Ext(file)
	base = strings.TrimSuffix(file, ext)
	base, suffix, ok := strings.Cut(base, "@")
	switch {
	case !ok:
		scale = 1
	case suffix == "2x":
		scale = 2
	case suffix == "3x":
		scale = 3
	}
	return folder, base, scale, ext
}

// isPlace reports whether Wallet looks for images in a folder: the top, and those
// of languages.
func isPlace(folder string) bool {
	_, rest, ok := localized(folder)
	return folder == "" || ok && rest == ""
}

// isImage reports whether a name is that of an image, right or wrong.
func isImage(name string) bool {
	switch strings.ToLower(path.Ext(name)) {
	case ".png", ".jpg", ".jpeg", ".gif", ".heic", ".webp", ".svg", ".tiff", ".bmp", ".pdf":
		return true
	}
	return false
}

// image checks one image of a pass. It reads its header and decompresses
// nothing.
func (c *checker) image(name string, data []byte, styles map[string]bool) {
	c.file = name
	defer func() { c.file = "" }()
	folder, base, scale, ext := splitImage(name)
	if !isPlace(folder) {
		c.warn(nil, "", "move it to the top, or into a folder such as fr.lproj", "is in a folder where Wallet does not look")
		return
	}
	kind, known := imageKinds[base]
	if !known {
		near := suggest.Nearest(base, imageNames, 1)
		if len(near) > 0 {
			c.warn(nil, "", "did you mean "+near[0]+"?", "is not an image that Wallet knows")
		} else {
			c.warn(nil, "", "leave it out", "is not an image that Wallet knows; they are icon, logo, strip, background, thumbnail, footer, artwork, primaryLogo, secondaryLogo, venueMap and personalizationLogo")
		}
		return
	}
	if scale == 0 {
		c.warn(nil, "", "write @2x or @3x, or nothing", "has a scale that Wallet does not know")
	}
	if ext == ".pdf" && isPDF(data) {
		return // Apple's tools of 2026 take it
	}
	if ext != ".png" {
		c.warn(nil, "", "save it as PNG and name it "+base+".png", "is not read by Wallet, which reads PNG")
		return
	}
	width, height, ok := c.pngSize(data)
	if !ok {
		return
	}
	if kind.width > 0 && scale > 0 && (width > kind.width*scale || height > kind.height*scale) {
		c.warn(nil, "", "scale it down", "has %d×%d pixels; %d×%d are drawn at most", width, height, kind.width*scale, kind.height*scale)
	}
	switch {
	case base == "icon" && width != height:
		c.warn(nil, "", "make it square", "has %d×%d pixels, and icons are square", width, height)
	case base == "thumbnail" && (3*width < 2*height || 2*width > 3*height):
		c.warn(nil, "", "cut it to that shape", "has %d×%d pixels; the ratio should be between 2:3 and 3:2", width, height)
	}
	if len(kind.styles) > 0 && len(styles) > 0 && !anyOf(kind.styles, styles) {
		c.warn(nil, "", "leave it out", "is not drawn on this style, but on %s", strings.Join(kind.styles, ", "))
	}
}

func isPDF(data []byte) bool { return bytes.HasPrefix(data, []byte("%PDF-")) }

func anyOf(list []string, set map[string]bool) bool {
	for _, s := range list {
		if set[s] {
			return true
		}
	}
	return false
}

// pngSize reads the header of a PNG.
func (c *checker) pngSize(data []byte) (width, height int, ok bool) {
	header, err := png.DecodeConfig(bytes.NewReader(data))
	switch {
	case err != nil:
		is := "is no PNG"
		for _, format := range []struct{ magic, name string }{
			{"\xff\xd8\xff", "is a JPEG with the name of a PNG"}, {"GIF8", "is a GIF with the name of a PNG"},
			{"RIFF", "is a WebP with the name of a PNG"}, {"%PDF", "is a PDF with the name of a PNG"}, {"<", "is text"},
			{"\x89PNG", "is a damaged PNG"},
		} {
			if bytes.HasPrefix(data, []byte(format.magic)) {
				is = format.name
				break
			}
		}
		if len(data) == 0 {
			is = "is empty"
		}
		c.error(nil, "", "save it as PNG again", "%s", is)
		return 0, 0, false
	case header.Width > maxPixels/max(header.Height, 1):
		c.error(nil, "", "scale it down", "says that it has %d×%d pixels; %d in all are the most that are sensible", header.Width, header.Height, maxPixels)
		return 0, 0, false
	case !bytes.HasSuffix(bytes.TrimRight(data, "\x00\r\n"), []byte("IEND\xaeB`\x82")):
		c.error(nil, "", "save it again", "is cut off: the end of the PNG is missing")
		return 0, 0, false
	}
	return cmp.Or(header.Width, 1), cmp.Or(header.Height, 1), true
}
