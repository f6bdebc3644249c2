package cli

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"image"
	"image/color"
	"image/png"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"aviso.example/safari"
)

func (a *app) safariNewCommand() *cobra.Command {
	var id string
	cmd := &cobra.Command{
		Use:   "new FOLDER",
		Short: "Write the source of a push package to begin with",
		Long: `Write a folder with a sample website.json and six placeholder icons, which
aviso safari build takes as they are. Then put your own in their place. The
folder must not exist.`,
		Example: `  aviso safari new site --website-push-id web.com.example.news`,
		Args:    oneArgument("folder"),
		RunE:    func(_ *cobra.Command, args []string) error { return a.safariNew(args[0], id) },
	}
	cmd.Flags().StringVar(&id, "website-push-id", "web.com.example.news", "the `ID` of the website, as its certificate has it")
	return cmd
}

func (a *app) safariNew(folder, id string) error {
	website := safari.Website{
		WebsiteName: "Example News", WebsitePushID: id, AllowedDomains: []string{"https://www.example.com"},
		URLFormatString: "https://www.example.com/%@", AuthenticationToken: rand.Text(), WebServiceURL: "https://push.example.com/safari",
	}
	data, err := website.JSON()
	if err != nil {
		return usage("--website-push-id: %w", err)
	}
	var pretty bytes.Buffer // since people edit it
	if err := json.Indent(&pretty, data, "", "  "); err != nil {
		return err
	}
	pretty.WriteByte('\n')
	if err := os.Mkdir(folder, 0o755); errors.Is(err, fs.ErrExist) {
		return usage("%s exists already, and nothing is overwritten: choose another name", folder)
	} else if err != nil {
		return err
	}
	icons := filepath.Join(folder, "icon.iconset")
	if err := os.Mkdir(icons, 0o755); err != nil {
		return err
	}
	// It holds an authentication token.
	if err := writeNew(filepath.Join(folder, "website.json"), pretty.Bytes()); err != nil {
		return err
	}
	for name, pixels := range safari.IconSizes() {
		icon, err := placeholderIcon(pixels)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(icons, name), icon, 0o644); err != nil {
			return err
		}
	}
	if a.json {
		return a.printJSON(struct {
			Folder        string `json:"folder"`
			WebsitePushID string `json:"website_push_id"`
		}{folder, id})
	}
	a.printf("%s: website.json of %s and six icons; next: aviso safari build %s --cert FILE --wwdr FILE\n", folder, id, folder)
	return nil
}

// placeholderIcon draws a bell: recognisable, and nobody's.
func placeholderIcon(pixels int) ([]byte, error) {
	img := image.NewNRGBA(image.Rect(0, 0, pixels, pixels))
	for y := range pixels {
		for x := range pixels {
			// Four samples in a pixel make round edges.
			var sum [4]int
			for _, d := range [][2]float64{{0.25, 0.25}, {0.75, 0.25}, {0.25, 0.75}, {0.75, 0.75}} {
				c := bell((float64(x)+d[0])/float64(pixels)*2-1, (float64(y)+d[1])/float64(pixels)*2-1)
				sum[0], sum[1], sum[2], sum[3] = sum[0]+int(c.R)*int(c.A), sum[1]+int(c.G)*int(c.A), sum[2]+int(c.B)*int(c.A), sum[3]+int(c.A)
			}
			if sum[3] > 0 {
				img.SetNRGBA(x, y, color.NRGBA{uint8(sum[0] / sum[3]), uint8(sum[1] / sum[3]), uint8(sum[2] / sum[3]), uint8(sum[3] / 4)})
			}
		}
	}
	var out bytes.Buffer
	err := png.Encode(&out, img)
	return out.Bytes(), err
}

// bell is the colour at a place from -1 to 1.
func bell(x, y float64) color.NRGBA {
	disc, white := color.NRGBA{0x1F, 0x5F, 0xBF, 0xFF}, color.NRGBA{0xFF, 0xFF, 0xFF, 0xFF}
	width := 0.32 + 0.18*max(0, y+0.1)*max(0, y+0.1)*4
	switch {
	case x*x+y*y > 0.94:
		return color.NRGBA{}
	case x*x+(y+0.18)*(y+0.18) < 0.32*0.32, // the top
		y > -0.18 && y < 0.32 && x*x < width*width,     // the body
		y >= 0.32 && y < 0.42 && x*x < 0.58*0.58,       // the rim
		x*x+(y-0.5)*(y-0.5) < 0.13*0.13 && y > 0.47,    // the clapper
		x*x+(y+0.53)*(y+0.53) < 0.07*0.07 && y < -0.47: // the handle
		return white
	}
	return disc
}
