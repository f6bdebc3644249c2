package interop

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/draw"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"aviso.example/internal/passview"
)

// barcodeFormats are Apple's names, and those that the readers print.
var barcodeFormats = map[string]string{
	"PKBarcodeFormatQR": "QR-Code", "PKBarcodeFormatPDF417": "PDF417", "PKBarcodeFormatAztec": "Aztec", "PKBarcodeFormatCode128": "CODE-128",
	"PKBarcodeFormatCode39": "CODE-39", "PKBarcodeFormatCodabar": "Codabar", "PKBarcodeFormatEAN13": "EAN-13", "PKBarcodeFormatI2of5": "I2/5",
}

// TestBarcodesAreRead draws whole passes with every format of barcode, and has
// other people's readers read them: ZBar finds the code in the picture of the
// pass, and ZXing reads what ZBar does not know (and sees the code's box only: its
// Aztec reader looks nowhere but in the middle).
func TestBarcodesAreRead(t *testing.T) {
	boarding := "M1EXAMPLE/ADA         EABC123 LISBERXA 0204 123Y014C0025 100"
	cases := []struct{ format, message, encoding, read string }{
		{"PKBarcodeFormatEAN13", "4006381333931", "iso-8859-1", ""},
		{"PKBarcodeFormatEAN13", "400638133393", "iso-8859-1", "4006381333931"},
		{"PKBarcodeFormatI2of5", "12345678901231", "iso-8859-1", ""},
		{"PKBarcodeFormatCodabar", "A4002590B", "iso-8859-1", ""},
		{"PKBarcodeFormatCodabar", "4002590", "iso-8859-1", "A4002590A"},
		{"PKBarcodeFormatCode39", "AB-12 34", "iso-8859-1", ""},
		{"PKBarcodeFormatCode128", "4002590123", "iso-8859-1", ""},
		{"PKBarcodeFormatCode128", "Ab-12!{}", "iso-8859-1", ""},
	}
	for i, m := range []struct{ message, encoding string }{
		{boarding, "iso-8859-1"}, {"Grüße aus Köln, señor", "iso-8859-1"}, {"Żółć €", "utf-8"}, {"1", "iso-8859-1"},
		// These are for PDF417 only, whose encoder has more ways.
		{"4002590123", "iso-8859-1"}, {"ABC-123", "iso-8859-1"}, {"https://example.com/t/7KQ2M9?a=b&c=%20", "iso-8859-1"},
		{"lower UPPER 12345678901234567890 mixed; [punct]", "iso-8859-1"}, {strings.Repeat("0123456789", 12), "iso-8859-1"},
		{"ü", "iso-8859-1"}, {"Grüße 12345678901234 und é", "iso-8859-1"},
	} {
		for _, format := range []string{"PKBarcodeFormatPDF417", "PKBarcodeFormatQR", "PKBarcodeFormatAztec"} {
			if i < 4 || format == "PKBarcodeFormatPDF417" {
				cases = append(cases, struct{ format, message, encoding, read string }{format, m.message, m.encoding, ""})
			}
		}
	}
	for i, c := range cases {
		t.Run(fmt.Sprintf("%s %d", strings.TrimPrefix(c.format, "PKBarcodeFormat"), i), func(t *testing.T) {
			t.Parallel()
			if c.read == "" {
				c.read = c.message
			}
			pass := drawWithBarcode(t, c.format, c.message, c.encoding)
			format, text := "", ""
			switch c.format {
			case "PKBarcodeFormatPDF417", "PKBarcodeFormatAztec":
				format, text = zxing(t, pass, c.format == "PKBarcodeFormatAztec")
			default:
				format, text = zbar(t, pass)
			}
			if format != barcodeFormats[c.format] || text != c.read {
				t.Errorf("%q in %s was read as %s %q", c.message, c.encoding, format, text)
			}
		})
	}
}

// zbar finds and reads the code in a picture.
func zbar(t *testing.T, pass image.Image) (format, text string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), find(t, "zbarimg"), "-q", "--nodbus", "-Senable", pngFile(t, pass)).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	format, text, _ = strings.Cut(strings.TrimSuffix(string(out), "\n"), ":")
	return format, text
}

// zxing reads the code at the foot of the front.
func zxing(t *testing.T, pass image.Image, square bool) (format, text string) {
	t.Helper()
	front := image.Rect(28, 28, 28+375, pass.Bounds().Dy()/barcodeScale-28)
	width, height := 320, 96
	if square {
		width, height = 160, 160
	}
	left, bottom := front.Min.X+(375-width)/2, front.Max.Y-16
	box := image.Rect(left+2, bottom-height+2, left+width-2, bottom-2)
	foot := image.NewRGBA(image.Rect(0, 0, box.Dx()*barcodeScale, box.Dy()*barcodeScale))
	draw.Draw(foot, foot.Rect, pass, box.Min.Mul(barcodeScale), draw.Src)
	out, err := exec.CommandContext(t.Context(), find(t, "ZXingReader"), pngFile(t, foot)).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return zxingField(t, out, "Format"), zxingField(t, out, "Text")
}

func pngFile(t *testing.T, img image.Image) string {
	t.Helper()
	var data bytes.Buffer
	if err := png.Encode(&data, img); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "pass.png")
	if err := os.WriteFile(file, data.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

const barcodeScale = 2

// drawWithBarcode draws a pass with the barcode.
func drawWithBarcode(t *testing.T, format, message, encoding string) image.Image {
	t.Helper()
	pass, err := json.Marshal(map[string]any{
		"organizationName": "Example", "description": "Example", "backgroundColor": "rgb(30, 60, 90)",
		"storeCard": map[string]any{},
		"barcodes":  []map[string]string{{"format": format, "message": message, "messageEncoding": encoding}},
	})
	if err != nil {
		t.Fatal(err)
	}
	v, err := passview.New(pass, nil, passview.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := v.PNG(&out, barcodeScale); err != nil {
		t.Fatal(err)
	}
	if notes := v.Notes(); len(notes) > 0 {
		t.Errorf("notes %q", notes)
	}
	img, err := png.Decode(&out)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

var zxingLine = regexp.MustCompile(`(?m)^(\w+): +"?(.*?)"?$`)

// zxingField finds a line of the reader's output. It escapes nothing but what is
// invisible.
func zxingField(t *testing.T, out []byte, name string) string {
	t.Helper()
	for _, m := range zxingLine.FindAllStringSubmatch(string(out), -1) {
		if m[1] == name {
			if text, err := strconv.Unquote(`"` + m[2] + `"`); err == nil {
				return text
			}
			return m[2]
		}
	}
	t.Fatalf("there is no %s in\n%s", name, out)
	return ""
}
