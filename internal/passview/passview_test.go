package passview

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"maps"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/net/html"

	"aviso.example/internal/passsample"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var sampleDay = time.Date(2026, 11, 24, 10, 0, 0, 0, time.FixedZone("", 3600))

// samples are drawn once.
var samples = map[string]map[string][]byte{}

func sample(t testing.TB, style string) map[string][]byte {
	t.Helper()
	if samples[style] == nil {
		files, err := passsample.Files(style, passsample.Config{
			PassTypeIdentifier: "pass.com.example.sample", TeamIdentifier: "A1B2C3D4E5", SerialNumber: "1", Now: sampleDay,
		})
		if err != nil {
			t.Fatal(err)
		}
		samples[style] = files
	}
	return maps.Clone(samples[style])
}

// picture draws a view at one pixel to the point.
func pictureOf(t *testing.T, v *View, appearances ...Appearance) image.Image {
	t.Helper()
	var out bytes.Buffer
	if err := v.PNG(&out, 1, appearances...); err != nil {
		t.Fatal(err)
	}
	img, err := png.Decode(&out)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func pageOf(t *testing.T, v *View) string {
	t.Helper()
	var out bytes.Buffer
	if err := v.HTML(&out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func near(a, b color.Color, within int) bool {
	r1, g1, b1, _ := a.RGBA()
	r2, g2, b2, _ := b.RGBA()
	for _, d := range []int{int(r1>>8) - int(r2>>8), int(g1>>8) - int(g2>>8), int(b1>>8) - int(b2>>8)} {
		if d > within || d < -within {
			return false
		}
	}
	return true
}

// Every design is drawn in its colours with its fields, as picture and as page.
func TestDesigns(t *testing.T) {
	for style, want := range map[string]struct {
		kind  shape
		texts []string // of the page
		notes int
	}{
		"boardingPass":         {boardingPass, []string{"LIS", "BER", "XA 204", "B42", "12/8/26", "1:40 PM", "your booking", "XA 204 14C"}, 0},
		"coupon":               {coupon, []string{"20 % off", "Dec 24, 2026", "4002590123"}, 0},
		"eventTicket":          {eventTicket, []string{"The Evening Concert", "Example Hall", "6:30 PM", "7KQ2M9"}, 0},
		"generic":              {generic, []string{"Ada Example", "12,480", "Oct 20, 2025"}, 0},
		"storeCard":            {storeCard, []string{"€21.75", "86", "71034"}, 0},
		"posterEventTicket":    {poster, []string{"The Evening Concert", "Example Hall, Berlin", "Dec 15, 2026, 7:30 PM", "Cloakroom"}, 1},
		"posterGeneric":        {poster, []string{"Ada Example", "Gold", "12,480"}, 0},
		"semanticBoardingPass": {boardingPass, []string{"Lisbon", "LIS", "12:40 PM", "5:50 PM", "Ada Example", "14C"}, 1},
	} {
		t.Run(style, func(t *testing.T) {
			files := sample(t, style)
			v, err := New(files["pass.json"], files, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if v.kind != want.kind {
				t.Errorf("it is drawn as %v, want %v", v.kind, want.kind)
			}
			page := pageOf(t, v)
			for _, text := range want.texts {
				if !strings.Contains(page, ">"+text+"<") && !strings.Contains(page, ">"+text) {
					t.Errorf("the page does not show %q", text)
				}
			}
			if notes := v.Notes(); len(notes) != want.notes {
				t.Errorf("notes %q", notes)
			}
			img := pictureOf(t, v)
			if w := img.Bounds().Dx(); w != 2*375+3*28 {
				t.Errorf("the picture is %d pixels wide", w)
			}
			if want.kind == boardingPass && !near(img.At(28+4, 28+70), v.background, 2) {
				t.Errorf("the card has the colour %v", img.At(28+4, 28+70))
			}
			if !near(img.At(2, 2), Light.palette().page, 1) || !near(img.At(2*28+375+200, 28+300), Light.palette().sheet, 1) {
				t.Error("the page or the back has the wrong colour")
			}
		})
	}
}

// A device that is set to dark shows another back and the same front.
func TestAppearances(t *testing.T) {
	files := sample(t, "storeCard")
	v, err := New(files["pass.json"], files, Options{})
	if err != nil {
		t.Fatal(err)
	}
	light, both := pictureOf(t, v), pictureOf(t, v, Light, Dark)
	tall := light.Bounds().Dy()
	if both.Bounds().Dy() != 2*tall {
		t.Fatalf("two appearances are %d pixels high, one is %d", both.Bounds().Dy(), tall)
	}
	for y := 40; y < tall-40; y += 13 {
		for x := 32; x < 28+370; x += 13 {
			if !near(both.At(x, y), both.At(x, y+tall), 0) {
				t.Fatalf("the fronts differ at %d, %d", x, y)
			}
		}
	}
	if !near(both.At(2, tall+2), Dark.palette().page, 0) || !near(both.At(2*28+375+200, tall+28+300), Dark.palette().sheet, 0) {
		t.Error("the dark one is not dark")
	}
	if page := pageOf(t, v); !strings.Contains(page, "@media (prefers-color-scheme: dark)") {
		t.Error("the page knows no dark appearance")
	}
}

func TestScaleIsBounded(t *testing.T) {
	files := sample(t, "generic")
	v, err := New(files["pass.json"], files, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, scale := range []int{-1, 0, MaxScale + 1} {
		if err := v.PNG(&bytes.Buffer{}, scale); err == nil || !strings.Contains(err.Error(), "from 1 to 4") {
			t.Errorf("scale %d: %v", scale, err)
		}
	}
}

// Texts, images, dates and numbers follow the language.
func TestLanguage(t *testing.T) {
	files := sample(t, "storeCard")
	logo := files["logo.png"]
	delete(files, "logo.png")
	delete(files, "logo@2x.png")
	delete(files, "logo@3x.png")
	files["de.lproj/logo.png"] = logo
	v, err := New(files["pass.json"], files, Options{Language: "de", Strings: map[string]string{"BALANCE": "GUTHABEN", "Terms": "Bedingungen"}})
	if err != nil {
		t.Fatal(err)
	}
	page := pageOf(t, v)
	for _, want := range []string{"GUTHABEN", "Bedingungen", "21,75\u00a0€"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if v.logo == nil {
		t.Error("the logo of the language was not found")
	}
	v, err = New(files["pass.json"], files, Options{Language: "cy"})
	if err != nil {
		t.Fatal(err)
	}
	if notes := strings.Join(v.Notes(), "\n"); !strings.Contains(notes, "written in English") {
		t.Errorf("notes %q", notes)
	}
}

// A newer design is drawn only if the pass has what it is made of; the classic
// one stays otherwise, as it does on a device.
func TestNewDesignsNeedTheirTags(t *testing.T) {
	for style, missing := range map[string]string{"posterEventTicket": "venueName", "semanticBoardingPass": "passengerName"} {
		files := sample(t, style)
		var pass map[string]any
		if err := json.Unmarshal(files["pass.json"], &pass); err != nil {
			t.Fatal(err)
		}
		delete(pass["semantics"].(map[string]any), missing)
		without, _ := json.Marshal(pass)
		v, err := New(without, files, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if notes := strings.Join(v.Notes(), "\n"); !strings.Contains(notes, "semantics lacks "+missing) || v.kind == poster {
			t.Errorf("%s without %s: notes %q, drawn as %v", style, missing, notes, v.kind)
		}
		classic, err := New(files["pass.json"], files, Options{Classic: true})
		if err != nil {
			t.Fatal(err)
		}
		if classic.kind == poster || len(classic.Notes()) != 0 {
			t.Errorf("%s: the classic design is drawn as %v with notes %q", style, classic.kind, classic.Notes())
		}
	}
}

func TestNothingToDraw(t *testing.T) {
	for content, want := range map[string]string{
		``:                     "not a JSON object",
		`[]`:                   "not a JSON object",
		`{"formatVersion": 1}`: "none of the keys boardingPass",
		`{"generic": "x"}`:     "none of the keys",
	} {
		if _, err := New([]byte(content), nil, Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", content, err, want)
		}
	}
}

// hostile is a pass that tries everything at once.
const hostile = `{"organizationName":"<script>alert(1)</script>","description":"\"><img src=x onerror=alert(2)>","logoText":"</b><iframe src=//evil.example>",
"backgroundColor":"red;background:url(//evil.example/x)","foregroundColor":"rgb(1,2,3);}","labelColor":"rgb(10, 20, 30)",
"generic":{"primaryFields":[{"key":"a","label":"<svg onload=alert(3)>","value":"'\"><a href=javascript:alert(4)>x</a>","textAlignment":"\"><script>"}],
"backFields":[
{"key":"b","label":"b","value":"x","attributedValue":"<a href='javascript:alert(5)'>bad</a> <a href=\" JAVASCRIPT:alert(6)\">bad</a> <a href='data:text/html,x'>bad</a> <a href='https://good.example/?a=\"b\"'>good</a><script>alert(7)</script><img src=x onerror=alert(8)>"},
{"key":"c","label":"c","value":"see javascript:alert(9) or https://also-good.example/. Call +1 (555) 010-0199, mail ada@example.com"}]},
"barcodes":[{"format":"<b>","message":"x","messageEncoding":"iso-8859-1"}]}`

// The page of a hostile pass has no script, no handler, nothing from elsewhere, and
// no link but those that open a page, a call or a mail.
func TestHostileHTML(t *testing.T) {
	v, err := New([]byte(hostile), nil, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var links []string
	checkPage(t, pageOf(t, v), &links)
	want := `[https://good.example/?a="b" https://also-good.example/ tel:+15550100199 mailto:ada@example.com]`
	if fmt.Sprint(links) != want {
		t.Errorf("links %v\nwant  %v", links, want)
	}
	pictureOf(t, v)
}

// elements are all that a page is made of.
var elements = map[string]bool{}

func init() {
	for _, e := range strings.Fields("html head meta title style body main div article header img b span section svg path aside h1 p dl dt dd a ul li") {
		elements[e] = true
	}
}

func checkPage(t *testing.T, page string, links *[]string) {
	t.Helper()
	for z := html.NewTokenizer(strings.NewReader(page)); ; {
		if z.Next() == html.ErrorToken {
			return
		}
		tag := z.Token()
		if tag.Type != html.StartTagToken && tag.Type != html.SelfClosingTagToken {
			continue
		}
		if !elements[tag.Data] {
			t.Errorf("the page has an element %q", tag.Data)
		}
		for _, a := range tag.Attr {
			switch {
			case strings.HasPrefix(a.Key, "on"):
				t.Errorf("the page has a handler %s on %s", a.Key, tag.Data)
			case a.Key == "src" && !strings.HasPrefix(a.Val, "data:image/png;base64,"):
				t.Errorf("the page loads %q", a.Val)
			case a.Key == "href":
				if links != nil {
					*links = append(*links, a.Val)
				}
				scheme, _, _ := strings.Cut(a.Val, ":")
				if scheme != "http" && scheme != "https" && scheme != "tel" && scheme != "mailto" {
					t.Errorf("the page links to %q", a.Val)
				}
			case a.Key == "style" && strings.Contains(a.Val, "url("):
				t.Errorf("a style loads something: %q", a.Val)
			}
		}
	}
}

func FuzzNew(f *testing.F) {
	for _, style := range passsample.Styles() {
		f.Add(sample(f, style)["pass.json"])
	}
	f.Add([]byte(hostile))
	f.Add([]byte(`{"storeCard":{"primaryFields":[{"key":"a","value":-1e400,"currencyCode":"XXX"},{"value":"0001-01-01T00:00Z","dateStyle":"PKDateStyleFull"}]}}`))
	f.Add([]byte(`{"boardingPass":{"primaryFields":[{}],"headerFields":[{"label":"\u0000\ud800","value":"\u202e"}]},"barcode":{"format":"PKBarcodeFormatQR","message":"\u20ac"}}`))
	f.Fuzz(func(t *testing.T, pass []byte) {
		v, err := New(pass, nil, Options{Language: "de"})
		if err != nil {
			return
		}
		checkPage(t, pageOf(t, v), nil)
		const scale = 0.25 // pixels are not what this is about
		fonts := newFaces(scale, v.notes)
		if b := v.drawFront(fonts).Rect; b.Dx() != 94 || b.Dy() > 1200*scale {
			t.Errorf("the front is %v", b)
		}
		v.drawBack(fonts, Dark, 0)
	})
}
