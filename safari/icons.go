package safari

import (
	"bytes"
	"fmt"
	"image/png"

	"aviso.example/internal/bundle"
)

// iconFolder is where the icons are in a package.
const iconFolder = "icon.iconset/"

// icons are those that every package needs, with their width and height in
// pixels.
var icons = []struct {
	name   string
	pixels int
}{
	{"icon_16x16.png", 16},
	{"icon_16x16@2x.png", 32},
	{"icon_32x32.png", 32},
	{"icon_32x32@2x.png", 64},
	{"icon_128x128.png", 128},
	{"icon_128x128@2x.png", 256},
}

// IconSizes returns the names of the six icons that every package needs, with
// their width and height in pixels.
func IconSizes() map[string]int {
	sizes := map[string]int{}
	for _, icon := range icons {
		sizes[icon.name] = icon.pixels
	}
	return sizes
}

// checkIcons looks at the icons among the files of a package. Of an image only
// the header is decoded, and the end looked at.
func checkIcons(get func(name string) ([]byte, bool), found *problems) {
	for _, icon := range icons {
		path := iconFolder + icon.name
		data, ok := get(path)
		if !ok {
			found.add(path, "it is missing", "all six icons are required")
			continue
		}
		header, err := png.DecodeConfig(bytes.NewReader(data))
		switch {
		case err != nil:
			found.add(path, "it is not a PNG image", "export it as PNG; changing the extension does not change the format")
		case header.Width != icon.pixels || header.Height != icon.pixels:
			found.add(path, fmt.Sprintf("it has %d × %d pixels, and %d × %d are needed", header.Width, header.Height, icon.pixels, icon.pixels),
				"@2x means twice the number of pixels in each direction")
		case !bytes.HasSuffix(bytes.TrimRight(data, "\x00\r\n"), []byte("IEND\xaeB`\x82")):
			found.add(path, "it is cut off: the end of the PNG is missing", "export it again")
		}
	}
}

// checkFiles finds files that no push package has.
func checkFiles(p *bundle.Package, found *problems) {
	known := map[string]bool{websiteFile: true, bundle.ManifestName: true, bundle.SignatureName: true}
	for _, icon := range icons {
		known[iconFolder+icon.name] = true
	}
	for _, file := range p.Files {
		if !known[file.Name] {
			found.add(file.Name, "a push package has no such file", "leave it out")
		}
	}
}
