package interop

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"image"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"aviso.example/wallet"
)

const passType = "pass.com.example.interop"

const orderType = "order.com.example.interop"

// passLeaf has openssl make a Pass Type ID certificate below the WWDR stand-in,
// with a key of the kind rsa or ec; "order" is an Order Type ID certificate.
func passLeaf(t *testing.T, c *signingChain, kind string) (certificate, key string) {
	t.Helper()
	name, section, uid, commonName := "pass-"+kind, "pass", passType, "Pass Type ID: "+passType
	if kind == "order" {
		section, uid, commonName = "order", orderType, "Order Type ID: "+orderType
	}
	newKey := []string{"-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"}
	if kind == "ec" {
		newKey = []string{"-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"}
	}
	extensions := writeFile(t, filepath.Join(c.dir, "pass.cnf"), `
[pass]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = clientAuth,1.2.840.113635.100.4.14
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
1.2.840.113635.100.6.1.16 = ASN1:UTF8String:`+passType+`
1.2.840.113635.100.6.3.2 = ASN1:NULL
[order]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = clientAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
1.2.840.113635.100.6.3.2 = ASN1:NULL
`)
	run(t, c.dir, "openssl", append([]string{"genpkey", "-out", name + ".key"}, newKey...)...)
	run(t, c.dir, "openssl", "req", "-new", "-key", name+".key", "-out", name+".csr",
		"-subj", "/UID="+uid+"/CN="+commonName+"/OU="+teamID+"/O=Example/C=US")
	run(t, c.dir, "openssl", "x509", "-req", "-in", name+".csr", "-sha256", "-days", "90", "-extfile", extensions, "-extensions", section,
		"-CA", "wwdr.pem", "-CAkey", "wwdr.key", "-CAcreateserial", "-out", name+".pem")
	return filepath.Join(c.dir, name+".pem"), filepath.Join(c.dir, name+".key")
}

func passSigner(t *testing.T, c *signingChain, kind string) *wallet.Signer {
	t.Helper()
	certificate, keyFile := passLeaf(t, c, kind)
	block, _ := pem.Decode(readFile(t, keyFile))
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := wallet.NewSigner(c.certificate(t, certificate), key.(crypto.Signer), c.certificate(t, c.other), c.certificate(t, c.wwdr))
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

func square(size int) []byte {
	var out bytes.Buffer
	if err := png.Encode(&out, image.NewGray(image.Rect(0, 0, size, size))); err != nil {
		panic(err)
	}
	return out.Bytes()
}

func text(key, value string) wallet.Field {
	return wallet.Field{Key: key, Label: key, Value: wallet.Text(value), ChangeMessage: "Now %@"}
}

// allStyles are passes of every style and design, with as much in them as goes.
func allStyles() map[string]*wallet.Pass {
	at := wallet.Date("2026-07-01T20:30:00+02:00")
	pass := func(p wallet.Pass) *wallet.Pass {
		p.FormatVersion, p.PassTypeIdentifier, p.TeamIdentifier = 1, passType, teamID
		p.SerialNumber, p.OrganizationName, p.Description = "1", "Example", "A pass"
		p.BackgroundColor, p.ForegroundColor, p.LabelColor = wallet.RGB(10, 20, 30), wallet.RGB(255, 255, 255), wallet.RGB(200, 200, 200)
		p.WebServiceURL, p.AuthenticationToken = "https://example.com/wallet", "0123456789abcdef"
		p.Barcodes = []wallet.Barcode{
			{Format: wallet.BarcodeCode128, Message: "12345", MessageEncoding: "iso-8859-1", AltText: "12345"},
			{Format: wallet.BarcodeQR, Message: "12345", MessageEncoding: "iso-8859-1"},
		}
		p.Locations = []wallet.Location{{Latitude: new(0.0), Longitude: new(-122.5), Altitude: new(3.5), RelevantText: "Here"}}
		p.Beacons = []wallet.Beacon{{ProximityUUID: "f8f589e9-c07e-58d0-ab7d-d5ee6d8d2a2f", Major: new(uint16(0)), Minor: new(uint16(65535))}}
		p.ExpirationDate, p.MaxDistance = "2027-07-01T20:30:00Z", new(100.0)
		p.AppLaunchURL, p.AssociatedStoreIdentifiers = "example:pass", []int64{284910350}
		p.UserInfo, p.SharingProhibited, p.SuppressStripShine = json.RawMessage(`{"a":[1]}`), true, new(false)
		return &p
	}
	money := wallet.Field{Key: "price", Label: "price", Value: wallet.Decimal("12.50"), CurrencyCode: "EUR"}
	when := wallet.Field{Key: "when", Label: "when", Value: wallet.Text(string(at)), DateStyle: wallet.DateFull, TimeStyle: wallet.DateShort, IgnoresTimeZone: true, IsRelative: true}
	back := wallet.Field{Key: "terms", Label: "terms", Value: wallet.Text("Terms"), AttributedValue: wallet.Text("<a href='https://example.com'>Terms</a>"), DataDetectorTypes: []wallet.DataDetector{wallet.DetectLink}}
	right := text("seat", "12")
	right.TextAlignment = wallet.AlignRight
	tags := &wallet.SemanticTags{
		TransitProvider: "Example Air", AirlineCode: "EX", FlightNumber: new(int64(7)), FlightCode: "EX7", DepartureAirportCode: "BER", DestinationAirportCode: "JFK",
		DepartureCityName: "Berlin", DestinationCityName: "New York", DepartureLocationTimeZone: "Europe/Berlin", DestinationLocationTimeZone: "America/New_York",
		OriginalArrivalDate: at, OriginalBoardingDate: at, OriginalDepartureDate: at, PassengerName: &wallet.PersonNames{GivenName: "Ada", FamilyName: "Lovelace"},
		Seats: []wallet.Seat{{SeatRow: "12", SeatNumber: "A"}}, SilenceRequested: new(false), PassengerCapabilities: []string{"PKPassengerCapabilityCarryon"},
		DepartureLocation: &wallet.SemanticLocation{Latitude: new(52.3667), Longitude: new(13.5033)}, InternationalDocumentsAreVerified: new(true),
	}
	event := &wallet.SemanticTags{
		EventName: "Water Music", EventType: wallet.EventLivePerformance, VenueName: "Hall", VenueRegionName: "London", VenueRoom: "Main", PerformerNames: []string{"Handel"}, ArtistIDs: []string{"1"},
		EventStartDate: at, EventEndDate: "2026-07-01T23:30:00+02:00", Seats: []wallet.Seat{{SeatSection: "A", SeatRow: "1", SeatNumber: "2"}}, VenueLocation: &wallet.SemanticLocation{Latitude: new(51.5), Longitude: new(0.0)},
		TailgatingAllowed: new(false),
	}
	nfc := &wallet.NFC{Message: "1", RequiresAuthentication: new(false), EncryptionPublicKey: "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q=="}
	row := text("row", "1")
	row.Row = new(int64(1))
	return map[string]*wallet.Pass{
		"boardingPass": pass(wallet.Pass{GroupingIdentifier: "g", RelevantDates: []wallet.RelevantDate{{Date: at, RelevantDate: at}}, Semantics: tags, BoardingPass: &wallet.Style{
			TransitType: wallet.TransitTrain, HeaderFields: []wallet.Field{text("gate", "B42")}, PrimaryFields: []wallet.Field{text("from", "A"), text("to", "B")}, AuxiliaryFields: []wallet.Field{when, right}, BackFields: []wallet.Field{back}}}),
		"semanticBoardingPass": pass(wallet.Pass{
			Semantics: tags, PreferredStyleSchemes: []string{wallet.SchemeSemanticBoardingPass, wallet.StyleBoardingPass}, ChangeSeatURL: "https://example.com/seat", TransitProviderEmail: "mail@example.com", TransitProviderPhoneNumber: "+49301234567",
			BoardingPass: &wallet.Style{TransitType: wallet.TransitAir, PrimaryFields: []wallet.Field{text("from", "A"), text("to", "B")}},
		}),
		"coupon": pass(wallet.Pass{Coupon: &wallet.Style{PrimaryFields: []wallet.Field{money}, SecondaryFields: []wallet.Field{when}}}),
		"eventTicket": pass(wallet.Pass{RelevantDate: at, RelevantDates: []wallet.RelevantDate{{StartDate: at, EndDate: "2026-07-01T23:30:00+02:00"}}, EventTicket: &wallet.Style{
			PrimaryFields: []wallet.Field{text("event", "Water Music")}, AuxiliaryFields: []wallet.Field{right, row}}}),
		"posterEventTicket": pass(wallet.Pass{
			Semantics: event, NFC: nfc, PreferredStyleSchemes: []string{wallet.SchemePosterEventTicket, wallet.StyleEventTicket}, BagPolicyURL: "https://example.com/bags", UseAutomaticColors: true, FooterBackgroundColor: wallet.RGB(1, 2, 3),
			EventTicket:             &wallet.Style{PrimaryFields: []wallet.Field{text("event", "Water Music")}, AdditionalInfoFields: []wallet.Field{text("info", "x")}},
			UpcomingPassInformation: []wallet.UpcomingPass{{Identifier: "1", Name: "Messiah", Type: "event", IsActive: true, DateInformation: &wallet.DateInformation{Date: at, TimeZone: "Europe/London"}, BackFields: []wallet.Field{text("more", "x")}}},
		}),
		"generic": pass(wallet.Pass{Voided: true, Generic: &wallet.Style{PrimaryFields: []wallet.Field{text("name", "Ada")}, SecondaryFields: []wallet.Field{{Key: "share", Value: wallet.Float(0), NumberStyle: wallet.NumberPercent}}},
			FeaturedActions: []wallet.FeaturedAction{{Identifier: "a", Type: "call", URL: "tel:+49301234567"}}}),
		"storeCard":     pass(wallet.Pass{StoreCard: &wallet.Style{PrimaryFields: []wallet.Field{money}}, Semantics: &wallet.SemanticTags{Balance: &wallet.CurrencyAmount{Amount: "12.50", CurrencyCode: "EUR"}}}),
		"posterGeneric": pass(wallet.Pass{PosterGeneric: &wallet.Style{HeaderFields: []wallet.Field{text("no", "1")}, PrimaryFields: []wallet.Field{text("name", "Ada")}, FooterFields: []wallet.Field{text("since", "2026")}}}),
	}
}

// passkit is what passkit.cjs prints.
type passkit struct {
	Keys   []string
	Passes []struct {
		Errors, Warnings []string
		Type             string
		Pkpass           []byte
	}
	Pkpasses []byte
}

// TestPasskitGenerator has passkit-generator judge passes of every style by its
// schemas, and reads what it makes of them.
func TestPasskitGenerator(t *testing.T) {
	c := makeSigningChain(t)
	certificate, key := passLeaf(t, c, "rsa")
	var names []string
	var passes []any
	sources := map[string][]byte{}
	for name, pass := range allStyles() {
		data, err := pass.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		if errors := wallet.CheckPass(data).Errors(); len(errors) > 0 {
			t.Errorf("%s: %v", name, errors)
		}
		names, sources[name] = append(names, name), data
		passes = append(passes, map[string]any{"files": map[string][]byte{
			"pass.json": data, "icon.png": square(38), "icon@2x.png": square(76), "icon@3x.png": square(114),
			// In ASCII: passkit-generator reads no UTF-16, which Apple asks for.
			"de.lproj/pass.strings": wallet.StringsFile{"gate": "Flugsteig", "seat": "Platz"}.Format(),
		}})
	}
	if _, err := os.Stat("node/node_modules/passkit-generator"); err != nil {
		t.Fatal("node/node_modules/passkit-generator is missing; `make interop` installs it")
	}
	settings, err := json.Marshal(map[string]any{"passes": passes, "wwdr": c.wwdr, "cert": certificate, "key": key})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), find(t, "node"), "passkit.cjs")
	cmd.Dir, cmd.Env = "node", append(os.Environ(), "SETTINGS="+string(settings))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	timer := time.AfterFunc(2*patience, func() { cmd.Process.Kill() })
	defer timer.Stop()
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	var result passkit
	if err := json.Unmarshal(out, &result); err != nil || len(result.Passes) != len(names) {
		t.Fatalf("%v: %.500s", err, out)
	}
	for i, theirs := range result.Passes {
		name := names[i]
		if len(theirs.Errors)+len(theirs.Warnings) > 0 || !strings.Contains(name, theirs.Type) && !strings.Contains(strings.ToLower(name), strings.ToLower(theirs.Type)) {
			t.Errorf("%s, taken for %q: %q %q", name, theirs.Type, theirs.Errors, theirs.Warnings)
		}
		if len(theirs.Pkpass) == 0 {
			continue
		}
		p := verified(t, c, name, theirs.Pkpass, "uses SHA-1")
		if !sameJSON(t, p.Files["pass.json"], sources[name]) {
			t.Errorf("%s: pass.json was\n%s and is\n%s", name, sources[name], p.Files["pass.json"])
		}
		if table, err := wallet.ParseStrings(p.Files["de.lproj/pass.strings"]); err != nil || table["seat"] != "Platz" {
			t.Errorf("%s: %q, %v", name, table, err)
		}
	}
	several, problems, err := wallet.ReadPasses(bytes.NewReader(result.Pkpasses), int64(len(result.Pkpasses)))
	if err != nil || len(problems) > 0 || len(several) != len(names) {
		t.Fatal(len(several), problems, err)
	}
	for name, pass := range several {
		verified(t, c, name, pass, "uses SHA-1")
	}
	everyKeyIsKnown(t, result.Keys)
}

// everyKeyIsKnown writes a pass with each key of passkit-generator's schemas and
// looks whether ours takes one for a mistake.
func everyKeyIsKnown(t *testing.T, keys []string) {
	if len(keys) < 1000 {
		t.Fatalf("only %d keys", len(keys))
	}
	steps := regexp.MustCompile(`[^.\[\]]+`)
	for _, key := range keys {
		value := "null"
		parts := steps.FindAllString(key, -1)
		for i := len(parts) - 1; i >= 0; i-- {
			if value = fmt.Sprintf("{%q:%s}", parts[i], value); parts[i] == "0" {
				value = "[" + strings.TrimSuffix(strings.TrimPrefix(value, `{"0":`), "}") + "]"
			}
		}
		for _, p := range wallet.CheckPass([]byte(value)) {
			if strings.Contains(p.Message, "is not a key") {
				t.Errorf("%s", p)
			}
		}
	}
}

// sameJSON compares what there is. passkit-generator writes dates in UTC, and
// lists of fields that are empty.
func sameJSON(t *testing.T, a, b []byte) bool {
	t.Helper()
	var x, y any
	if err := json.Unmarshal(a, &x); err != nil {
		t.Error(err)
	}
	if err := json.Unmarshal(b, &y); err != nil {
		t.Error(err)
	}
	return reflect.DeepEqual(plain(x), plain(y))
}

func plain(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			if list, ok := value.([]any); ok && len(list) == 0 {
				delete(v, key)
			} else {
				v[key] = plain(value)
			}
		}
	case []any:
		for i, value := range v {
			v[i] = plain(value)
		}
	case string:
		if at, err := wallet.Date(v).Time(); err == nil {
			return at.UnixMilli()
		}
	}
	return v
}

// verified opens a package of somebody else and checks that it is in order, but
// for one warning.
func verified(t *testing.T, c *signingChain, name string, data []byte, warning string) *wallet.Package {
	t.Helper()
	p, err := wallet.Open(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	v := p.Verify(wallet.VerifyOptions{Roots: []*x509.Certificate{c.certificate(t, c.root)}})
	if v.Trust != wallet.Trusted || v.TypeIdentifier != passType || v.TeamIdentifier != teamID || time.Since(v.SigningTime) > time.Hour {
		t.Errorf("%s: %+v", name, v)
	}
	for _, problem := range v.Problems {
		if warning == "" || problem.Severity != wallet.Warning || !strings.Contains(problem.Message, warning) {
			t.Errorf("%s: %s: %s", name, problem.Severity, problem)
		}
	}
	return p
}

// TestOpenSSLTakesOurPasses unpacks our passes and an order with unzip, and checks
// hashes with sha1sum or sha256sum and the signature with openssl.
func TestOpenSSLTakesOurPasses(t *testing.T) {
	c := makeSigningChain(t)
	for _, kind := range []string{"rsa", "ec"} {
		template, err := wallet.NewTemplate(passSigner(t, c, kind), wallet.Files{"icon.png": square(38), "de.lproj/pass.strings": wallet.StringsFile{"gate": "ü"}.Format()})
		if err != nil {
			t.Fatal(err)
		}
		pkpass, err := template.Sign(allStyles()["generic"], nil)
		if err != nil {
			t.Fatal(err)
		}
		taken(t, c, pkpass, "sha1sum")
	}
	order, err := wallet.Files{"logo@2x.png": square(100), "order.json": []byte(`{"schemaVersion": 1, "orderTypeIdentifier": "` + orderType + `", "orderIdentifier": "1",
		"orderType": "ecommerce", "orderManagementURL": "https://example.com/orders/1", "createdAt": "2026-07-01T20:30:00Z", "updatedAt": "2026-07-01T20:30:00Z", "status": "open",
		"merchant": {"displayName": "Example", "merchantIdentifier": "merchant.com.example", "url": "https://example.com", "logo": "logo"}}`),
		"de.lproj/order.strings": wallet.StringsFile{"Example": "Beispiel"}.Format()}.Sign(passSigner(t, c, "order"))
	if err != nil {
		t.Fatal(err)
	}
	taken(t, c, order, "sha256sum")
}

// taken unpacks one of our packages and checks it with other people's programs.
func taken(t *testing.T, c *signingChain, data []byte, sum string) {
	t.Helper()
	dir := t.TempDir()
	run(t, dir, "unzip", "-q", writeFile(t, filepath.Join(t.TempDir(), "x.zip"), string(data)))
	var manifest map[string]string
	if err := json.Unmarshal(readFile(t, filepath.Join(dir, "manifest.json")), &manifest); err != nil || len(manifest) != 3 {
		t.Fatal(manifest, err)
	}
	var sums strings.Builder
	for name, hash := range manifest {
		fmt.Fprintf(&sums, "%s  %s\n", hash, name)
	}
	writeFile(t, filepath.Join(dir, "sums"), sums.String())
	run(t, dir, sum, "--check", "--strict", "sums")
	verify := []string{"cms", "-verify", "-inform", "DER", "-in", "signature", "-CAfile", c.root, "-purpose", "any", "-out", os.DevNull, "-content"}
	run(t, dir, "openssl", append(verify, "manifest.json")...)
	writeFile(t, filepath.Join(dir, "changed.json"), string(readFile(t, filepath.Join(dir, "manifest.json")))+" ")
	if out, err := try(t, dir, "openssl", append(verify, "changed.json")...); err == nil {
		t.Errorf("openssl accepts another manifest: %s", out)
	}
}

// TestPassBuilderFormat reads a pass as Apple's pass-builder makes it: with
// tooling.json, slashes escaped in the manifest, a zip with entries of folders,
// a signature with SHA-256, the intermediate and the signing time.
func TestPassBuilderFormat(t *testing.T) {
	c := makeSigningChain(t)
	certificate, key := passLeaf(t, c, "ec")
	dir := t.TempDir()
	data, err := allStyles()["storeCard"].MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "en.lproj"), 0o700); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{
		"pass.json": string(data), "icon.png": string(square(38)), "icon@2x.png": string(square(76)), "icon@3x.png": string(square(114)), "en.lproj/pass.strings": `"price" = "Price";`,
		"tooling.json": `{"designerVersion":"1.0","builderVersion":"1.0","automaticallyGenerateCompatiblePass":false}`,
	}
	var entries []string
	for name, content := range files {
		sum := strings.Fields(run(t, dir, "sha1sum", writeFile(t, filepath.Join(dir, name), content)))[0]
		entries = append(entries, fmt.Sprintf("  \"%s\" : \"%s\"", strings.ReplaceAll(name, "/", `\/`), sum))
	}
	writeFile(t, filepath.Join(dir, "manifest.json"), "{\n"+strings.Join(entries, ",\n")+"\n}")
	run(t, dir, "openssl", "smime", "-sign", "-binary", "-in", "manifest.json", "-certfile", c.wwdr, "-signer", certificate, "-inkey", key, "-outform", "DER", "-out", "signature")
	pkpass := filepath.Join(t.TempDir(), "out.pkpass")
	run(t, dir, "zip", "-r", "-q", pkpass, ".")
	p := verified(t, c, "pass-builder", readFile(t, pkpass), "")
	source, problems, err := wallet.ReadFolder(dir)
	if err != nil || len(source) != len(files) || len(problems.Errors()) > 0 || len(source.Check()) > 0 {
		t.Error(problems, source.Check(), err)
	}
	if len(p.Files) != len(files)+2 {
		t.Errorf("%d files", len(p.Files))
	}
}
