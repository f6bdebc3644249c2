package wallet_test

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"image"
	"image/png"

	"aviso.example/internal/cmstest" // stands in for Apple's certificates
	"aviso.example/wallet"
)

// icon makes a grey square; a real pass reads its images from files.
func icon(size int) []byte {
	var out bytes.Buffer
	if err := png.Encode(&out, image.NewGray(image.Rect(0, 0, size, size))); err != nil {
		panic(err)
	}
	return out.Bytes()
}

// testSigner makes a signer of certificates that no device accepts. With real
// ones, auth.LoadCertificate reads the .p12, NewSignerTLS takes it, and
// ParseCertificates reads the WWDR intermediate.
func testSigner(passTypeIdentifier string) *wallet.Signer {
	issued := cmstest.Apple().Issue(cmstest.Pass(passTypeIdentifier))
	signer, err := wallet.NewSigner(issued.Certificate, issued.Key, cmstest.Apple().WWDR.Certificate)
	if err != nil {
		panic(err)
	}
	return signer
}

// A template is made once, and passes from it as often as needed.
func ExampleTemplate() {
	template, err := wallet.NewTemplate(testSigner("pass.com.example.ticket"), wallet.Files{
		"icon.png": icon(38), "icon@2x.png": icon(76), "icon@3x.png": icon(114),
		"de.lproj/pass.strings": wallet.StringsFile{"seat": "Platz"}.Format(),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, seat := range []string{"12A", "12B"} {
		pkpass, err := template.Sign(&wallet.Pass{
			SerialNumber:     "concert-" + seat,
			OrganizationName: "Example Hall",
			Description:      "Ticket for a concert",
			BackgroundColor:  wallet.RGB(20, 60, 120),
			EventTicket: &wallet.Style{
				PrimaryFields:   []wallet.Field{{Key: "event", Label: "event", Value: wallet.Text("Water Music")}},
				AuxiliaryFields: []wallet.Field{{Key: "seat", Label: "seat", Value: wallet.Text(seat), ChangeMessage: "Your seat is now %@."}},
			},
			Barcodes: []wallet.Barcode{{Format: wallet.BarcodeQR, Message: seat, MessageEncoding: "iso-8859-1"}},
		}, nil)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(seat, len(pkpass) > 1000)
	}
	// Output:
	// 12A true
	// 12B true
}

// What devices would refuse is said at once, and nothing is signed.
func ExampleTemplate_Sign() {
	template, err := wallet.NewTemplate(testSigner("pass.com.example.card"), wallet.Files{"icon@2x.png": icon(76), "icon@3x.png": icon(114)})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = template.Sign(&wallet.Pass{
		SerialNumber: "1", OrganizationName: "Example Coffee", Description: "Loyalty card",
		StoreCard: &wallet.Style{PrimaryFields: []wallet.Field{{Key: "points", Value: wallet.Text("seven"), NumberStyle: wallet.NumberDecimal}}},
		Barcodes:  []wallet.Barcode{{Format: "QR", Message: "1"}},
	}, nil)
	for _, problem := range err.(*wallet.InvalidError).Problems {
		fmt.Println(problem)
	}
	// Output:
	// barcodes[0].format: is not a word that Wallet knows (did you mean "PKBarcodeFormatQR"?)
	// storeCard.primaryFields[0].value: is a text, and numberStyle needs a number (leave numberStyle out)
	// barcodes[0].messageEncoding: is missing (write "iso-8859-1", which scanners assume)
}

// CheckPass looks at a pass.json as it is, whoever wrote it.
func ExampleCheckPass() {
	problems := wallet.CheckPass([]byte(`{
		"formatVersion": 1, "passTypeIdentifier": "pass.com.example.test", "serialNumber": 42, "teamIdentifier": "A1B2C3D4E5",
		"organizationName": "Example", "description": "Pass", "maxDistance": "500", "backgroundcolor": "rgb(1, 2, 3)",
		"generic": {"primaryFields": [{"key": "name", "value": "Ada", "dateStyle": "PKDateStyleShort"}]}
	}`))
	for _, problem := range problems {
		fmt.Printf("%s: %s\n", problem.Severity, problem)
	}
	// Output:
	// error: maxDistance: a string where a number is expected (write it without quotes)
	// error: serialNumber: a number where a string is expected (write it in quotes)
	// error: generic.primaryFields[0].value: is no date that Wallet can read, and dateStyle needs one (a date is written like "2026-07-01T20:30:00+02:00": with T, at least hours and minutes, and a zone that is Z or ±HH:MM)
	// warning: backgroundcolor: is not a key that Apple documents here; Wallet ignores it (did you mean "backgroundColor"?)
}

// Open and Verify judge a package that somebody else made.
func ExamplePackage_Verify() {
	pkpass := somebodysPass()
	p, err := wallet.Open(bytes.NewReader(pkpass), int64(len(pkpass)))
	if err != nil {
		fmt.Println(err)
		return
	}
	v := p.Verify(wallet.VerifyOptions{Roots: []*x509.Certificate{cmstest.Apple().Root.Certificate}}) // Apple Root CA
	fmt.Println(p.Pass.SerialNumber, v.TypeIdentifier, v.TeamIdentifier, v.Trust, v.Digest, len(v.Problems))

	// Without roots nobody knows who signed it.
	fmt.Println(p.Verify(wallet.VerifyOptions{}).Trust)

	// A file that was changed after signing.
	p.Files["icon.png"] = icon(20)
	fmt.Println(p.Verify(wallet.VerifyOptions{}).Problems.Err())
	// Output:
	// 1 pass.com.example.ticket A1B2C3D4E5 trusted SHA-256 0
	// not judged
	// wallet: icon.png: its hash in the manifest is of other bytes (make manifest and signature after the last change to a file)
}

func somebodysPass() []byte {
	pkpass, err := wallet.Files{
		"icon.png": icon(38), "icon@2x.png": icon(76), "icon@3x.png": icon(114),
		"pass.json": []byte(`{"formatVersion": 1, "passTypeIdentifier": "pass.com.example.ticket", "serialNumber": "1", "teamIdentifier": "A1B2C3D4E5",
			"organizationName": "Example", "description": "Pass", "generic": {}}`),
	}.Sign(testSigner("pass.com.example.ticket"))
	if err != nil {
		panic(err)
	}
	return pkpass
}

// What is newer than this package goes into Extra, at every level.
func ExampleExtra() {
	pass, err := wallet.ParsePass([]byte(`{"serialNumber": "1", "generic": {"newFields": [1]}, "newKey": true}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	pass.SerialNumber = "2"
	pass.Extra["another"] = []byte(`{"a": 1}`)
	data, err := pass.MarshalJSON()
	fmt.Println(string(data), err)
	// Output:
	// {"serialNumber":"2","generic":{"newFields":[1]},"another":{"a": 1},"newKey":true} <nil>
}
