package passview

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"image"
	"image/color"
	"image/png"
	"strings"
	"testing"
	"time"

	"golang.org/x/image/font"
)

func TestFormat(t *testing.T) {
	lisbon := time.FixedZone("", 0)
	for _, c := range []struct {
		field, language string
		location        *time.Location
		want            string
	}{
		{`{"value":"plain"}`, "", nil, "plain"},
		{`{"value":12.50}`, "", nil, "12.50"},
		{`{"value":90071992547409931}`, "", nil, "90071992547409931"},
		{`{"value":0}`, "", nil, "0"},
		{`{"value":true}`, "", nil, "true"},
		{`{}`, "", nil, ""},
		{`{"value":1234567.5,"numberStyle":"PKNumberStyleDecimal"}`, "", nil, "1,234,567.5"},
		{`{"value":1234567.5,"numberStyle":"PKNumberStyleDecimal"}`, "de", nil, "1.234.567,5"},
		{`{"value":0.2,"numberStyle":"PKNumberStylePercent"}`, "", nil, "20%"},
		{`{"value":12300,"numberStyle":"PKNumberStyleScientific"}`, "", nil, "1.23E4"},
		{`{"value":21.5,"currencyCode":"USD"}`, "", nil, "$21.50"},
		{`{"value":"21.5","currencyCode":"USD"}`, "", nil, "$21.50"},
		{`{"value":-21.5,"currencyCode":"USD"}`, "", nil, "-$21.50"},
		{`{"value":21.5,"currencyCode":"EUR"}`, "de", nil, "21,50\u00a0€"},
		{`{"value":1234,"currencyCode":"JPY"}`, "", nil, "¥1,234"},
		{`{"value":5,"currencyCode":"CHF"}`, "", nil, "CHF\u00a05.00"},
		{`{"value":5,"currencyCode":"pts"}`, "fr", nil, "5,00\u00a0pts"},
		{`{"value":"2026-12-08T14:25:00+01:00","dateStyle":"PKDateStyleShort"}`, "", nil, "12/8/26"},
		{`{"value":"2026-12-08T14:25+01:00","dateStyle":"PKDateStyleMedium","timeStyle":"PKDateStyleShort"}`, "", nil, "Dec 8, 2026, 2:25 PM"},
		{`{"value":"2026-12-08T14:25+01:00","dateStyle":"PKDateStyleFull"}`, "de", nil, "Dienstag, 8. Dezember 2026"},
		{`{"value":"2026-12-08T14:25+01:00","timeStyle":"PKDateStyleShort"}`, "de", lisbon, "13:25"},
		{`{"value":"2026-12-08T14:25+01:00","timeStyle":"PKDateStyleShort","ignoresTimeZone":true}`, "de", lisbon, "14:25"},
		{`{"value":"2026-12-08T14:25+01:00","dateStyle":"PKDateStyleNone","timeStyle":"PKDateStyleShort"}`, "de", nil, "14:25"},
		{`{"value":"tomorrow","dateStyle":"PKDateStyleShort"}`, "", nil, "tomorrow"},
	} {
		var o object
		d := json.NewDecoder(strings.NewReader(c.field))
		d.UseNumber()
		if err := d.Decode(&o); err != nil {
			t.Fatal(err)
		}
		if got := newFormatter(c.language, nil, c.location, &notes{}).value(o); got != c.want {
			t.Errorf("%s in %q: %q, want %q", c.field, c.language, got, c.want)
		}
	}
}

func TestColors(t *testing.T) {
	for s, want := range map[string]string{
		"rgb(1, 22, 255)": "rgb(1,22,255)", " rgb(1,22,255) ": "rgb(1,22,255)", "#fff": "rgb(255,255,255)", "#0a1B2c": "rgb(10,27,44)",
		"rgb(1,2)": "", "rgb(1,2,256)": "", "rgb(1,2,-3)": "", "fff": "", "#ffff": "", "#ggg": "", "red": "", "": "", "#+12345": "",
	} {
		c, ok := object{"c": s}.color("c")
		if got := css(c); ok != (want != "") || ok && got != want {
			t.Errorf("%q: %s, %v", s, got, ok)
		}
	}
	// As Wallet writes them itself.
	for s, want := range map[string]uint8{"rgba(220, 58, 92, 1.00)": 255, "rgba(220,58,92,0.5)": 128, "rgba(220,58,92,0)": 0} {
		if c, ok := (object{"c": s}).color("c"); !ok || c != (color.NRGBA{220, 58, 92, want}) {
			t.Errorf("%q: %v, %v", s, c, ok)
		}
	}
	for _, s := range []string{"rgba(1,2,3)", "rgb(1,2,3,1)", "rgba(1,2,3,4)", "rgba(1,2,3,NaN)"} {
		if c, ok := (object{"c": s}).color("c"); ok {
			t.Errorf("%q: %v", s, c)
		}
	}
	v := must(New([]byte(`{"generic":{},"backgroundColor":"rgba(200, 0, 100, 0.5)","foregroundColor":"rgba(0, 0, 0, 0.5)"}`), nil, Options{}))
	if v.background != (color.NRGBA{227, 127, 177, 255}) || v.foreground != (color.NRGBA{113, 63, 88, 255}) {
		t.Errorf("%v on %v", v.foreground, v.background)
	}
}

func TestDetectors(t *testing.T) {
	for _, c := range []struct {
		field, value string
		links        int
	}{
		{`{}`, "https://a.example and +1 555 010 0199 and a@b.example", 3},
		{`{"dataDetectorTypes":[]}`, "https://a.example and +1 555 010 0199 and a@b.example", 0},
		{`{"dataDetectorTypes":["PKDataDetectorTypeLink"]}`, "https://a.example and +1 555 010 0199 and a@b.example", 2},
		{`{"dataDetectorTypes":["PKDataDetectorTypePhoneNumber"]}`, "https://a.example and +1 555 010 0199 and a@b.example", 1},
		{`{}`, "1 + 1 is 2 and 12:30", 0},
		{`{}`, "ftp://a.example javascript:alert(1)", 0},
	} {
		var o object
		if err := json.Unmarshal([]byte(c.field), &o); err != nil {
			t.Fatal(err)
		}
		runs, links := detect(c.value, o), 0
		for _, r := range runs {
			if r.Href != "" {
				links++
			}
		}
		if plain(runs) != c.value || links != c.links {
			t.Errorf("%s: %q became %v", c.field, c.value, runs)
		}
	}
}

func TestAttributed(t *testing.T) {
	for s, want := range map[string][]run{
		"plain &amp; <b>bold</b>":                {{"plain & ", ""}, {"bold", ""}},
		`a <a href="https://x.example/">b</a> c`: {{"a ", ""}, {"b", "https://x.example/"}, {" c", ""}},
		`<a href="ftp://x.example/">b</a>`:       {{"b", ""}},
		`<a href="tel:+1555">b`:                  {{"b", "tel:+1555"}},
		`<style>x</style><script>y</script>z`:    {{"z", ""}},
		"":                                       nil,
	} {
		got := attributed(s)
		if len(got) != len(want) {
			t.Errorf("%s: %v", s, got)
			continue
		}
		for i := range got {
			if got[i] != want[i] {
				t.Errorf("%s: %v, want %v", s, got, want)
			}
		}
	}
}

// header makes a PNG of which only the header is there, with its check sum.
func header(width, height uint32) []byte {
	chunk := append([]byte("IHDR"), make([]byte, 13)...)
	binary.BigEndian.PutUint32(chunk[4:], width)
	binary.BigEndian.PutUint32(chunk[8:], height)
	chunk[12], chunk[13] = 8, 6
	out := append([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x0d"), chunk...)
	return binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(chunk))
}

// An image that is not drawn costs nothing but a note.
func TestImagesThatAreNotDrawn(t *testing.T) {
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"bomb":      {header(60000, 60000), "60000 × 60000 pixels"},
		"long":      {header(4097, 1), "4097 × 1 pixels"},
		"area":      {header(4000, 4000), "4000 × 4000 pixels"},
		"truncated": {header(10, 10), "pixels cannot be read"},
		"text":      {[]byte("GIF89a"), "not a PNG"},
		"empty":     {nil, "not a PNG"},
		"heavy":     {make([]byte, maxImageFile+1), "bytes"},
	} {
		n := &notes{}
		p := &pictures{files: map[string][]byte{"logo.png": c.data}, notes: n}
		if p.get("logo") != nil {
			t.Errorf("%s: it is drawn", name)
		}
		if got := strings.Join(n.list, "\n"); !strings.Contains(got, c.want) || !strings.Contains(got, "logo.png") {
			t.Errorf("%s: notes %q", name, got)
		}
	}
}

func TestLargestScaleWins(t *testing.T) {
	files := map[string][]byte{}
	for name, side := range map[string]int{"logo.png": 10, "logo@2x.png": 20, "logo@3x.png": 30} {
		var out bytes.Buffer
		if err := png.Encode(&out, image.NewGray(image.Rect(0, 0, side, side))); err != nil {
			t.Fatal(err)
		}
		files[name] = out.Bytes()
	}
	p := (&pictures{files: files, notes: &notes{}}).get("logo")
	if p == nil || p.Bounds().Dx() != 30 || p.width != 10 || p.height != 10 {
		t.Errorf("%+v", p)
	}
}

func TestBarcodes(t *testing.T) {
	for _, c := range []struct{ format, message, encoding, problem string }{
		{"PKBarcodeFormatQR", "Hello", "iso-8859-1", ""},
		{"PKBarcodeFormatQR", "Grüße", "iso-8859-1", ""},
		{"PKBarcodeFormatQR", "Grüße €", "utf-8", ""},
		{"PKBarcodeFormatQR", "€", "iso-8859-1", "characters that messageEncoding"},
		{"PKBarcodeFormatQR", "x", "klingon", "no charset"},
		{"PKBarcodeFormatQR", "x", "iso-2022-cn", "not one that is drawn"},
		{"PKBarcodeFormatQR", "é", "us-ascii", "characters that"},
		{"PKBarcodeFormatQR", "", "iso-8859-1", "empty"},
		{"PKBarcodeFormatQR", strings.Repeat("x", 2900), "iso-8859-1", "cannot be encoded"},
		{"PKBarcodeFormatQR", strings.Repeat("1", 3001), "iso-8859-1", "3001 bytes"},
		{"PKBarcodeFormatPDF417", "Grüße 0123456789012345", "iso-8859-1", ""},
		{"PKBarcodeFormatPDF417", strings.Repeat("ü", 1500), "iso-8859-1", "cannot be encoded"},
		{"PKBarcodeFormatAztec", "Grüße", "iso-8859-1", ""},
		{"PKBarcodeFormatCode128", "ABC-123", "iso-8859-1", ""},
		{"PKBarcodeFormatCode128", "ñ", "iso-8859-1", "ASCII only"},
		{"PKBarcodeFormatCode39", "abc-123", "iso-8859-1", ""},
		{"PKBarcodeFormatCode39", "a_b", "iso-8859-1", "cannot be encoded"},
		{"PKBarcodeFormatCodabar", "1234", "iso-8859-1", ""},
		{"PKBarcodeFormatCodabar", "B1234B", "iso-8859-1", ""},
		{"PKBarcodeFormatEAN13", "4006381333931", "iso-8859-1", ""},
		{"PKBarcodeFormatEAN13", "400638133393", "iso-8859-1", ""},
		{"PKBarcodeFormatEAN13", "4006381333932", "iso-8859-1", "cannot be encoded"},
		{"PKBarcodeFormatEAN13", "123", "iso-8859-1", "13 digits"},
		{"PKBarcodeFormatI2of5", "123456", "iso-8859-1", ""},
		{"PKBarcodeFormatI2of5", "12345", "iso-8859-1", "even number"},
		{"PKBarcodeFormatMaxi", "1", "iso-8859-1", "no barcode format"},
	} {
		img, err := encode(c.format, c.message, c.encoding)
		switch {
		case c.problem == "" && err != nil:
			t.Errorf("%s %.20q: %v", c.format, c.message, err)
		case c.problem != "" && (err == nil || !strings.Contains(err.Error(), c.problem)):
			t.Errorf("%s %.20q: %v, want %q", c.format, c.message, err, c.problem)
		case err == nil && img.Rect.Empty():
			t.Errorf("%s: nothing was drawn", c.format)
		}
	}
}

// Messages come from anywhere, and the encoders are not ours.
func FuzzEncode(f *testing.F) {
	formats := []string{"QR", "PDF417", "Aztec", "Code128", "Code39", "Codabar", "EAN13", "I2of5"}
	for i := range formats {
		for _, message := range []string{"4006381333931", "A1B2", "\x00\x7f", "ü€\xff", strings.Repeat("9a;", 300), "%$+/ -."} {
			f.Add(uint8(i), message, "utf-8")
		}
	}
	f.Fuzz(func(t *testing.T, format uint8, message, encoding string) {
		name := "PKBarcodeFormat" + formats[int(format)%len(formats)]
		modules, err := encode(name, message, encoding)
		if err != nil {
			return
		}
		c := &code{format: name, modules: modules}
		if b := c.picture(632, 184).Rect; b.Empty() || b.Dx() > 4000 || b.Dy() > 4000 {
			t.Errorf("%s of %d bytes is drawn as %v", name, len(message), b)
		}
	})
}

// The encoders get the bytes of messageEncoding, not Go's.
func TestCharset(t *testing.T) {
	for _, c := range []struct{ encoding, want string }{{"iso-8859-1", "\xe9"}, {"", "\xe9"}, {"utf-8", "é"}, {"utf-16", "\xfe\xff\x00\xe9"}} {
		if got, err := inCharset("é", c.encoding); err != nil || got != c.want {
			t.Errorf("%s: %x, %v", c.encoding, got, err)
		}
	}
}

// The indicator of the first row says how many rows there are, rounded up to three.
// The library is right where they are a multiple of three, so codes of one and two
// rows less have to begin with the same modules. (interop/ has them read.)
func TestPDF417Indicators(t *testing.T) {
	third := map[int]int{} // rows modulo three that occurred
	for n := 1; n < 120; n += 3 {
		m, err := encode("PKBarcodeFormatPDF417", strings.Repeat("Ab1", n), "iso-8859-1")
		if err != nil {
			t.Fatal(err)
		}
		rows := m.Rect.Dy()
		third[rows%3]++
		indicator := func(y int) (bars string) {
			for x := range symbol {
				bars += string(rune('0' + m.GrayAt(symbol+x, y).Y/255))
			}
			return bars
		}
		if rows%3 == 0 {
			continue
		}
		for other := n + 1; other < n+40; other++ {
			o, err := encode("PKBarcodeFormatPDF417", strings.Repeat("Ab1", other), "iso-8859-1")
			if err != nil || (o.Rect.Dy()-1)/3 != (rows-1)/3 || o.Rect.Dy()%3 != 0 {
				continue
			}
			got := indicator(0)
			m = o
			if want := indicator(0); got != want {
				t.Errorf("%d rows: the first row begins with %s, want %s", rows, got, want)
			}
			break
		}
	}
	if len(third) != 3 {
		t.Errorf("only %v occurred", third)
	}
}

// The first barcode that can be drawn is the one, and the old single one the last.
func TestWhichBarcode(t *testing.T) {
	for pass, want := range map[string]string{
		`{"barcodes":[{"format":"PKBarcodeFormatNew","message":"1"},{"format":"PKBarcodeFormatQR","message":"2"}]}`:              "PKBarcodeFormatQR",
		`{"barcodes":[{"format":"PKBarcodeFormatNew","message":"1"}],"barcode":{"format":"PKBarcodeFormatAztec","message":"2"}}`: "PKBarcodeFormatAztec",
		`{"barcodes":[{"format":"PKBarcodeFormatNew","message":"1"}]}`:                                                           "PKBarcodeFormatNew",
		`{}`: "",
	} {
		o, err := parseDocument([]byte(pass))
		if err != nil {
			t.Fatal(err)
		}
		c := newCode(o)
		if got := ""; c != nil && c.format != want || c == nil && got != want {
			t.Errorf("%s: %+v", pass, c)
		}
	}
}

func TestFit(t *testing.T) {
	f := newFaces(1, &notes{})
	s := style{20, false}
	text, same := f.fit("short", s, 200, 0.6)
	if text != "short" || same != s {
		t.Errorf("%q %v", text, same)
	}
	text, smaller := f.fit("a text that is longer", s, 150, 0.6)
	if text != "a text that is longer" || smaller.points >= 20 || f.width(text, smaller) > 150 {
		t.Errorf("%q %v", text, smaller)
	}
	text, smaller = f.fit(strings.Repeat("a very long text ", 100), s, 150, 0.6)
	if !strings.HasSuffix(text, "…") || smaller.points != 12 || f.width(text, smaller) > 150 {
		t.Errorf("%q %v", text, smaller)
	}
	for _, width := range []float64{-5, 0, 1} {
		f.fit("x", s, width, 0.6)
	}
}

func TestWrap(t *testing.T) {
	f := newFaces(1, &notes{})
	s := style{10, false}
	for _, c := range []struct {
		text string
		most int
		want int
	}{
		{"one", 5, 1}, {"one\ntwo\r\n\nfour", 9, 4}, {strings.Repeat("word ", 40), 3, 3}, {strings.Repeat("x", 500), 4, 4}, {"", 3, 0},
	} {
		lines := f.wrap(c.text, s, 100, c.most)
		if len(lines) != c.want {
			t.Errorf("%.20q: %q", c.text, lines)
		}
		for _, l := range lines {
			if w := f.width(l, s); w > 100 {
				t.Errorf("%q is %v points wide", l, w)
			}
		}
	}
	// Nothing is lost if there is room.
	long := "The quick brown fox jumps over the lazy dog, " + strings.Repeat("w", 80)
	if got := strings.ReplaceAll(strings.Join(f.wrap(long, s, 100, 99), ""), " ", ""); got != strings.ReplaceAll(long, " ", "") {
		t.Errorf("%q", got)
	}
}

// What the font lacks is a visible box and a note.
func TestMissingCharacters(t *testing.T) {
	n := &notes{}
	f := newFaces(1, n)
	s := style{12, false}
	if got := f.drawable("日本\u200b\tx", s); got != "日本 x" {
		t.Errorf("%q", got)
	}
	if len(n.list) != 1 || !strings.Contains(n.list[0], "Chinese characters") || !strings.Contains(n.list[0], "HTML") {
		t.Errorf("notes %q", n.list)
	}
	face, _ := f.of(s)
	if bounds, _ := font.BoundString(face, "日"); bounds.Empty() {
		t.Error("nothing is drawn for it")
	}
	n.list = nil
	f.drawable("Äß Ω Ж € ’ → ✓", s)
	if len(n.list) > 1 {
		t.Errorf("notes %q", n.list)
	}
}
