package passview

import (
	"errors"
	"fmt"
	"image"
	"image/color"
	"regexp"
	"strings"

	"github.com/boombuler/barcode"
	"github.com/boombuler/barcode/aztec"
	"github.com/boombuler/barcode/codabar"
	"github.com/boombuler/barcode/code128"
	"github.com/boombuler/barcode/code39"
	"github.com/boombuler/barcode/ean"
	"github.com/boombuler/barcode/pdf417"
	"github.com/boombuler/barcode/qr"
	"github.com/boombuler/barcode/twooffive"
	"golang.org/x/text/encoding/ianaindex"
)

// maxMessage is above what the largest QR code holds (2,953 bytes, ISO/IEC 18004),
// and keeps a hostile message from the encoders, whose work grows with its square.
const maxMessage = 3000

// code is a barcode as it is drawn.
type code struct {
	format  string // Apple's name for it
	altText string
	// modules has one pixel for each module, dark ones black; nil if the message
	// cannot be encoded, and problem says why.
	modules *image.Gray
	problem string
}

// linear says that the code is one row of bars, which may have any height.
func (c *code) linear() bool { return c.modules != nil && c.modules.Rect.Dy() == 1 }

func (c *code) square() bool {
	return c.format == "PKBarcodeFormatQR" || c.format == "PKBarcodeFormatAztec"
}

// newCode chooses what a device draws: the first entry of barcodes that it knows,
// or else the single barcode of old passes.
func newCode(pass object) *code {
	entries := pass.list("barcodes")
	if old := pass.object("barcode"); old != nil {
		entries = append(entries, old)
	}
	var first *code
	for _, e := range entries {
		c := &code{format: e.text("format"), altText: e.text("altText")}
		modules, err := encode(c.format, e.text("message"), e.text("messageEncoding"))
		if err == nil {
			c.modules = modules
			return c
		}
		c.problem = err.Error()
		if first == nil {
			first = c
		}
	}
	return first
}

var startStop = regexp.MustCompile(`^[A-Da-d].*[A-Da-d]$`)

// encode draws a message. The encoders take bytes in a string and write them as
// they are, which is what messageEncoding asks for.
func encode(format, message, encoding string) (modules *image.Gray, err error) {
	if message == "" {
		return nil, errors.New("its message is empty")
	}
	if len(message) > maxMessage {
		return nil, fmt.Errorf("its message has %d bytes, and no barcode holds more than %d", len(message), maxMessage)
	}
	data, err := inCharset(message, encoding)
	if err != nil {
		return nil, err
	}
	var drawn barcode.Barcode
	switch format {
	case "PKBarcodeFormatQR":
		drawn, err = qr.Encode(data, qr.M, qr.Auto)
	case "PKBarcodeFormatPDF417":
		drawn, err = pdf417.Encode(data, 3)
	case "PKBarcodeFormatAztec":
		drawn, err = aztec.Encode([]byte(data), aztec.DEFAULT_EC_PERCENT, aztec.DEFAULT_LAYERS)
	case "PKBarcodeFormatCode128":
		// The encoder takes some letters beyond ASCII for its function codes.
		if strings.ContainsFunc(message, func(r rune) bool { return r > 126 }) {
			return nil, errors.New("a Code 128 holds ASCII only")
		}
		drawn, err = code128.Encode(message)
	case "PKBarcodeFormatCode39":
		drawn, err = code39.Encode(strings.ToUpper(message), false, false)
	case "PKBarcodeFormatCodabar":
		if !startStop.MatchString(message) {
			message = "A" + message + "A" // the frame that scanners take away
		}
		drawn, err = codabar.Encode(strings.ToUpper(message))
	case "PKBarcodeFormatEAN13":
		if len(message) != 12 && len(message) != 13 {
			return nil, errors.New("EAN-13 has 13 digits, or 12 before the check digit")
		}
		drawn, err = ean.Encode(message)
	case "PKBarcodeFormatI2of5":
		if len(message)%2 != 0 {
			return nil, errors.New("an Interleaved 2 of 5 needs an even number of digits")
		}
		drawn, err = twooffive.Encode(message, true)
	default:
		return nil, fmt.Errorf("%q is no barcode format", format)
	}
	if err != nil {
		// The encoders' errors repeat the message, which is nobody else's business.
		return nil, errors.New("it cannot be encoded: its message is too long for this format, has characters that it lacks, or a wrong check digit")
	}
	modules = oneEach(drawn)
	if format == "PKBarcodeFormatPDF417" {
		err = repairIndicators(modules)
	}
	return modules, err
}

// symbol is the width of a PDF417 codeword in modules.
const symbol = 17

// repairIndicators corrects what the library gets wrong in PDF417: the codeword at
// the left of the first of every three rows says how many rows there are, as 30
// times the row's third plus (rows-1)/3 (ISO/IEC 15438, row indicators). The
// library has rows-3 there, and unless the rows are a multiple of three, readers
// find nothing. Where it is right, this changes nothing.
func repairIndicators(modules *image.Gray) error {
	rows := modules.Rect.Dy()
	for y := 0; y < rows; y += 3 {
		// A codeword is two letters of text: 30 times the first plus the second.
		// So a code of nothing but that pair has the modules that are needed, in
		// its first row after start, indicator and length.
		pair := string([]byte{'A' + byte(y/3), 'A' + byte((rows-1)/3)})
		drawn, err := pdf417.Encode(strings.Repeat(pair, 20), 0)
		if err != nil {
			return fmt.Errorf("it cannot be encoded: %w", err)
		}
		from := oneEach(drawn)
		for x := range symbol {
			modules.SetGray(symbol+x, y, from.GrayAt(3*symbol+x, 0))
		}
	}
	return nil
}

// inCharset returns the message's bytes in the charset of messageEncoding.
func inCharset(message, name string) (string, error) {
	if name == "" {
		name = "iso-8859-1" // what scanners assume
	}
	e, err := ianaindex.IANA.Encoding(name)
	if err != nil {
		return "", fmt.Errorf("messageEncoding %q is no charset of IANA's list", name)
	}
	if e == nil {
		return "", fmt.Errorf("messageEncoding %q is not one that is drawn here", name)
	}
	data, err := e.NewEncoder().String(message)
	if err != nil {
		return "", fmt.Errorf("its message has characters that messageEncoding %q lacks", name)
	}
	return data, nil
}

// oneEach copies a code to one pixel for each module. The library draws a row of
// PDF417 two pixels high, and all others one.
func oneEach(drawn barcode.Barcode) *image.Gray {
	b, step := drawn.Bounds(), 1
	if drawn.Metadata().CodeKind == barcode.TypePDF {
		step = 2
	}
	to := image.NewGray(image.Rect(0, 0, b.Dx(), b.Dy()/step))
	for y := range to.Rect.Dy() {
		for x := range b.Dx() {
			r, _, _, _ := drawn.At(b.Min.X+x, b.Min.Y+y*step).RGBA()
			to.SetGray(x, y, color.Gray{uint8(r >> 8)})
		}
	}
	return to
}

// picture draws the code in pixels, with the whitespace around it that scanners
// need, as large as fits into the size and with every module equally wide.
func (c *code) picture(width, height int) *image.Gray {
	quiet := 4
	if c.linear() {
		quiet = 10
	} else if c.format != "PKBarcodeFormatQR" {
		quiet = 2
	}
	m := c.modules.Rect
	wide := max(1, width/(m.Dx()+2*quiet))
	high := wide
	switch {
	case c.linear():
		high = max(1, height-2*wide)
	case c.square():
		wide = max(1, min(wide, height/(m.Dy()+2*quiet)))
		high = wide
	default:
		// Rows of PDF417 should be three modules high (ISO/IEC 15438); two can be
		// read, and if there is room for neither, the modules get narrower.
		for ; ; wide-- {
			if high = min(3*wide, (height-2*quiet*wide)/m.Dy()); high >= 2*wide || wide == 1 {
				break
			}
		}
		high = max(1, high)
	}
	above := quiet * wide
	if c.linear() {
		above = wide
	}
	to := image.NewGray(image.Rect(0, 0, (m.Dx()+2*quiet)*wide, m.Dy()*high+2*above))
	for i := range to.Pix {
		to.Pix[i] = 255
	}
	for y := range m.Dy() * high {
		for x := range m.Dx() * wide {
			to.SetGray(x+quiet*wide, y+above, c.modules.GrayAt(x/wide, y/high))
		}
	}
	return to
}
