package wallet

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"image"
	"image/color"
	"image/png"
	"io"
	"testing"
	"time"

	"aviso.example/internal/cmstest"
)

// logo is an image that compresses about as well as a logo does.
func logo(width, height int) []byte {
	img := image.NewNRGBA(image.Rect(0, 0, width, height))
	seed := uint32(1)
	for y := range height {
		for x := range width {
			seed = seed*1664525 + 1013904223
			edge := uint8(0)
			if seed>>28 == 0 { // soft edges, which are what takes the room
				edge = uint8(seed >> 20)
			}
			img.Set(x, y, color.NRGBA{uint8(x / 40 * 30), 60, edge, 255})
		}
	}
	var out bytes.Buffer
	if err := png.Encode(&out, img); err != nil {
		panic(err)
	}
	return out.Bytes()
}

// boardingPass is as long as those of airlines.
func boardingPass() *Pass {
	pass := must(ParsePass([]byte(boarding)))
	text := func(key, label, value string) Field { return Field{Key: key, Label: label, Value: Text(value)} }
	pass.BoardingPass = &Style{
		TransitType:     TransitAir,
		HeaderFields:    []Field{text("gate", "GATE", "B42")},
		PrimaryFields:   []Field{text("from", "BERLIN", "BER"), text("to", "NEW YORK", "JFK")},
		SecondaryFields: []Field{text("name", "PASSENGER", "Ada Lovelace"), text("class", "CLASS", "Economy")},
		AuxiliaryFields: []Field{
			{Key: "boards", Label: "BOARDING", Value: Text("2026-07-01T13:30:00+02:00"), TimeStyle: DateShort, ChangeMessage: "Boarding is at %@."},
			text("seat", "SEAT", "12A"), text("zone", "ZONE", "3"),
		},
		BackFields: []Field{text("terms", "Terms", "The conditions of carriage apply, which can be read at the counter and online."), text("code", "Booking", "X7K2QP")},
	}
	pass.Barcodes = []Barcode{{Format: BarcodeAztec, Message: "M1LOVELACE/ADA        EX7K2QP BERJFKEX 0007 182Y012A0003 100", MessageEncoding: "iso-8859-1"}}
	pass.WebServiceURL, pass.AuthenticationToken = "https://example.com/wallet", "0123456789abcdef0123456789abcdef"
	pass.BackgroundColor, pass.ForegroundColor, pass.LabelColor = RGB(10, 60, 120), RGB(255, 255, 255), RGB(190, 210, 230)
	pass.Locations = []Location{At(52.3667, 13.5033)}
	return pass
}

// clocked is a key that knows how long it signed.
type clocked struct {
	crypto.Signer
	spent time.Duration
}

func (c *clocked) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	defer func(start time.Time) { c.spent += time.Since(start) }(time.Now())
	return c.Signer.Sign(random, digest, opts)
}

// BenchmarkSign makes whole passes, one after the other: checked, encoded,
// hashed, signed, zipped. Below BenchmarkRSASignatureAlone no signed pass can be;
// %-signature is the share of the time that goes into the RSA signature itself,
// which stays what it is on a machine that has other things to do.
func BenchmarkSign(b *testing.B) {
	files := icons()
	files["logo.png"], files["logo@2x.png"], files["logo@3x.png"] = logo(160, 50), logo(320, 100), logo(480, 150)
	files["footer.png"], files["footer@2x.png"] = logo(286, 15), logo(572, 30)
	files["de.lproj/pass.strings"] = StringsFile{"GATE": "Flugsteig", "SEAT": "Platz", "ZONE": "Zone", "BOARDING": "Einstieg ab", "PASSENGER": "Fluggast", "CLASS": "Klasse"}.Format()
	issued := cmstest.Apple().Issue(cmstest.Pass(passType))
	key := &clocked{Signer: issued.Key}
	template := must(NewTemplate(must(NewSigner(issued.Certificate, key, cmstest.Apple().WWDR.Certificate)), files))
	pass := boardingPass()
	if problems := pass.Validate(); len(problems) > 0 {
		b.Fatal(problems)
	}
	size := len(must(template.Sign(pass, nil)))
	b.ReportAllocs()
	key.spent = 0
	for b.Loop() {
		if _, err := template.Sign(pass, nil); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "passes/s")
	b.ReportMetric(100*key.spent.Seconds()/b.Elapsed().Seconds(), "%-signature")
	b.ReportMetric(float64(size), "bytes/pass")
}

// BenchmarkRSASignatureAlone is the part of BenchmarkSign that nobody can save.
func BenchmarkRSASignatureAlone(b *testing.B) {
	key := cmstest.Apple().Issue(cmstest.Pass(passType)).Key
	digest := sha256.Sum256([]byte("x"))
	for b.Loop() {
		if _, err := key.Sign(rand.Reader, digest[:], crypto.SHA256); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "signatures/s")
}

// BenchmarkValidate is what checking costs of BenchmarkSign.
func BenchmarkValidate(b *testing.B) {
	pass := boardingPass()
	b.ReportAllocs()
	for b.Loop() {
		if len(pass.Validate()) > 0 {
			b.Fatal("problems")
		}
	}
}

func BenchmarkMarshal(b *testing.B) {
	pass := boardingPass()
	b.ReportAllocs()
	for b.Loop() {
		must(pass.MarshalJSON())
	}
}

func BenchmarkParsePass(b *testing.B) {
	data := must(boardingPass().MarshalJSON())
	b.ReportAllocs()
	for b.Loop() {
		must(ParsePass(data))
	}
}
