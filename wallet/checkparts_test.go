package wallet

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// TestPartRules goes on where TestPassRules ends: codes, NFC, semantic tags,
// designs, upcoming events, actions.
func TestPartRules(t *testing.T) {
	checkRules(t, []passRule{
		// Barcodes.
		{ticket, at("barcodes", `[{"message": "1", "messageEncoding": "utf-8"}]`), "error barcodes[0].format: is missing"},
		{ticket, at("barcodes", `[{"format": "PKBarcodeFormatQR", "messageEncoding": "utf-8"}]`), "error barcodes[0].message: is missing"},
		{ticket, at("barcodes", `[{"format": "PKBarcodeFormatQR", "message": "1"}]`), "error barcodes[0].messageEncoding: is missing"},
		{ticket, at("barcodes", `[{"format": "QR", "message": "1", "messageEncoding": "utf-8"}]`), "error barcodes[0].format: is not a word"},
		{ticket, at("barcodes", `[{"format": "PKBarcodeFormatQR", "message": "€", "messageEncoding": "ISO-8859-1"}]`), "error barcodes[0].message: has characters that iso-8859-1"},
		{ticket, at("barcodes", `[{"format": "PKBarcodeFormatQR", "message": "ж", "messageEncoding": "windows-1252"}]`), "error barcodes[0].message: has characters that its"},
		{ticket, at("barcodes", `[{"format": "PKBarcodeFormatQR", "message": "é", "messageEncoding": "us-ascii"}]`), "error barcodes[0].message: has characters that its"},
		{ticket, at("barcodes", `[{"format": "PKBarcodeFormatQR", "message": "1", "messageEncoding": "latin"}]`), "error barcodes[0].messageEncoding: is no character set"},
		{ticket, at("barcode", `{"format": "PKBarcodeFormatCode128", "message": "1", "messageEncoding": "utf-8"}`, "barcodes", `[{"format": "PKBarcodeFormatQR", "message": "1", "messageEncoding": "utf-8"}]`), "warning barcode.format: is no code that iOS 8 draws"},
		{ticket, at("barcode", `{"format": "PKBarcodeFormatCode39", "message": "1", "messageEncoding": "utf-8"}`, "barcodes", `[{"format": "PKBarcodeFormatQR", "message": "1", "messageEncoding": "utf-8"}]`), "error barcode.format: has to be QR"},
		{ticket, at("barcodes", `[{"format": "PKBarcodeFormatCode128", "message": "1", "messageEncoding": "utf-8"}]`), "warning barcodes[0].format: is drawn from iOS 9"},
		{ticket, at("barcodes", `[{"format": "PKBarcodeFormatQR", "message": "1", "messageEncoding": "utf-8"}, {"format": "PKBarcodeFormatEAN13", "message": "123456789012", "messageEncoding": "utf-8"}]`), "warning barcodes[1].format: is drawn from iOS 27"},
		{ticket, at("barcode", `{"format": "PKBarcodeFormatQR", "message": "1", "messageEncoding": "utf-8"}`), "warning barcode: is deprecated"},

		// What a code can express.
		{ticket, code("Code39", "AB-1 2"), ""},
		{ticket, code("Code39", "ab"), "warning barcodes[0].message: has characters that this code has not"},
		{ticket, code("Codabar", "A12-3B"), ""},
		{ticket, code("Codabar", "1E"), "warning barcodes[0].message: has characters"},
		{ticket, code("I2of5", "1234"), ""},
		{ticket, code("I2of5", "123"), "warning barcodes[0].message: has an odd number of digits"},
		{ticket, code("I2of5", "12é4"), "warning barcodes[0].message: has characters"},
		{ticket, code("EAN13", "400638133393"), ""},
		{ticket, code("EAN13", "4006381333931"), ""},
		{ticket, code("EAN13", "4006381333932"), "warning barcodes[0].message: has a wrong check digit"},
		{ticket, code("EAN13", "40063813339"), "warning barcodes[0].message: has 11 characters; EAN-13 has 12"},
		{ticket, code("EAN13", "40063813339X"), "warning barcodes[0].message: has characters"},
		{ticket, code("Code128", "plain ASCII"), ""},
		{ticket, code("Code128", "é"), "warning barcodes[0].message: has characters beyond ASCII"},

		// NFC.
		{ticket, at("nfc", `{"message": "", "encryptionPublicKey": "`+uncompressedKey+`"}`), "error nfc.message: is empty"},
		{ticket, at("nfc", `{"message": "`+strings.Repeat("x", 65)+`", "encryptionPublicKey": "`+uncompressedKey+`"}`), "error nfc.message: has 65 bytes; 64"},
		{ticket, at("nfc", `{"message": "1"}`), "error nfc.encryptionPublicKey: is missing"},
		{ticket, at("nfc", `{"message": "1", "encryptionPublicKey": "-----BEGIN"}`), "has the lines of a PEM file"},
		{ticket, at("nfc", `{"message": "1", "encryptionPublicKey": "MFkw\nEwY"}`), "has line breaks"},
		{ticket, at("nfc", `{"message": "1", "encryptionPublicKey": "%"}`), "is no base64"},
		{ticket, at("nfc", `{"message": "1", "encryptionPublicKey": "MFkw"}`), "is no public key in DER"},
		{ticket, at("nfc", `{"message": "1", "encryptionPublicKey": "`+uncompressedKey+`", "requiresAuthentication": true}`), "warning nfc.requiresAuthentication: is set, and the pass can be shared"},

		{ticket, at("nfc", `{"message": "1", "encryptionPublicKey": "`+publicKey(elliptic.P256(), true)+`"}`), ""},
		{ticket, at("nfc", `{"message": "1", "encryptionPublicKey": "`+publicKey(elliptic.P384(), false)+`"}`), "error nfc.encryptionPublicKey: is no key of the curve P-256"},
		{ticket, at("nfc", `{"message": "1", "encryptionPublicKey": "`+damaged(publicKey(elliptic.P256(), false))+`"}`), "error nfc.encryptionPublicKey: is no point on the curve"},
		{ticket, at("nfc", `{"message": "1", "encryptionPublicKey": "`+damaged(publicKey(elliptic.P256(), true))+`"}`), "error nfc.encryptionPublicKey: is no point on the curve"},

		// Semantic tags, at the top and in fields.
		{card, at("semantics.balance", `{"amount": "1,50", "currencyCode": "EUR"}`), "warning semantics.balance.amount: is no decimal"},
		{card, at("semantics.balance", `{"amount": 1.5, "currencyCode": "EUR"}`), "error semantics.balance.amount: a number where a string"},
		{card, at("storeCard.primaryFields[0].semantics.balance", `{"amount": "1.50"}`), "error storeCard.primaryFields[0].semantics.balance.currencyCode: is missing"},
		{ticket, at("semantics.wifiAccess", `[{"ssid": "x"}]`), "error semantics.wifiAccess[0].password: is missing"},
		{ticket, at("semantics.eventType", `"Sports"`), `warning semantics.eventType: is not a word that Wallet knows (did you mean "PKEventTypeSports"?)`},
		{flight, at("semantics.passengerServiceSSRs", `["wchx"]`), "warning semantics.passengerServiceSSRs[0]: is not a word"},
		{flight, at("semantics.departureLocationTimeZone", `"CET+1"`, "semantics.departureAirportTimeZone", `"Europe/Berlin"`), "warning semantics.departureLocationTimeZone: has not the form"},
		{flight, at("semantics.departureLocationTimeZone", `"Europe/Berlin"`), "warning semantics.departureLocationTimeZone: is called departureAirportTimeZone in Apple's code"},
		{flight, at("semantics.airlineLoungePlaceID", `"x"`), "warning semantics.airlineLoungePlaceID: is called loungePlaceIDs in Apple's documentation"},
		{ticket, at("semantics.eventStartDate", `"2026-07-01T20:30Z"`, "semantics.eventEndDate", `"2026-07-01T19:30Z"`), "warning semantics.eventEndDate: is before the start"},
		{ticket, at("semantics.venuName", `"x"`), `warning semantics.venuName: is not a key that Apple documents here; Wallet ignores it (did you mean "venueName"?)`},

		// Designs.
		{poster, at("nfc", ""), "warning preferredStyleSchemes[0]: needs nfc"},
		{poster, at("nfc.requiresAuthentication", ""), "warning nfc.requiresAuthentication: is missing"},
		{poster, at("semantics.venueName", ""), "warning semantics.venueName: is missing; without it posterEventTicket is not used"},
		{poster, at("semantics.eventType", `"PKEventTypeSports"`, "semantics.homeTeamAbbreviation", `"A"`), "warning semantics.awayTeamAbbreviation: is missing"},
		{poster, at("semantics.eventType", `"PKEventTypeLivePerformance"`, "semantics.artistIDs", `["1"]`), "warning semantics.performerNames: is missing"},
		{poster, at("semantics.seats", ""), "warning semantics.seats: is missing"},
		{poster, at("semantics.eventStartDate", ""), "warning semantics.eventStartDate: is missing"},
		{poster, at("preferredStyleSchemes[0]", `"posterEventTickets"`), `(did you mean "posterEventTicket"?)`},
		{generic, at("preferredStyleSchemes", `["posterEventTicket"]`), "is a design of event tickets"},
		{generic, at("preferredStyleSchemes", `["semanticBoardingPass"]`), "is a design of boarding passes"},
		{boarding, at("semantics.flightNumber", ""), "warning semantics.flightNumber: is missing; without it semanticBoardingPass"},
		{boarding, at("boardingPass.transitType", `"PKTransitTypeBus"`), "warning preferredStyleSchemes[0]: needs transitType PKTransitTypeAir"},

		{boarding, at("semantics.seats", ""), "warning semantics.seats: is missing"},
		{generic, at("preferredStyleSchemes", `["carousel"]`), "warning preferredStyleSchemes[0]: is not a design that is known (write one of"},

		// Upcoming events and actions.
		{poster, at("upcomingPassInformation", `[{"name": "x", "type": "event"}]`), "error upcomingPassInformation[0].identifier: is missing"},
		{poster, at("upcomingPassInformation", `[{"identifier": "1", "type": "event"}]`), "error upcomingPassInformation[0].name: is missing"},
		{poster, at("upcomingPassInformation", `[{"identifier": "1", "name": "x"}]`), "error upcomingPassInformation[0].type: is missing"},
		{poster, at("upcomingPassInformation", `[{"identifier": "1", "name": "x", "type": "event", "dateInformation": {"timeZone": "Berlin"}, "additionalInfoFields": [{"key": "a", "value": 1}], "backFields": [{"key": "b", "value": 1}]}]`), "warning upcomingPassInformation[0].dateInformation.timeZone: has not the form"},
		{poster, at("upcomingPassInformation", `[{"identifier": "1", "name": "x", "type": "event", "additionalInfoFields": [{"key": "a", "value": 1}], "backFields": [{"key": "a", "value": 1}]}]`), "error upcomingPassInformation[0].backFields[0].key: is the key of another field"},
		{poster, at("upcomingPassInformation", `[{"identifier": "1", "name": "x", "type": "event", "semantics": {"eventType": "x"}}]`), "warning upcomingPassInformation[0].semantics.eventType: is not a word"},
		{poster, at("upcomingPassInformation", `[{"identifier": "1", "name": "x", "type": "event", "images": {"headerImage": {"reuseExisting": true}, "venueMap": {}}}]`), "warning upcomingPassInformation[0].images.venueMap.URLs: is empty"},
		{poster, at("upcomingPassInformation", `[{"identifier": "1", "name": "x", "type": "event", "images": {"headerImage": {"URLs": [{"SHA256": "`+strings.Repeat("0a", 32)+`"}]}}}]`), "headerImage.URLs[0].URL: is missing"},
		{poster, at("upcomingPassInformation", `[{"identifier": "1", "name": "x", "type": "event", "images": {"headerImage": {"URLs": [{"URL": "https://example.com"}]}}}]`), "headerImage.URLs[0].SHA256: is missing"},
		{poster, at("upcomingPassInformation", `[{"identifier": "1", "name": "x", "type": "event", "images": {"headerImage": {"URLs": [{"URL": "https://example.com", "SHA256": "`+strings.Repeat("0a", 32)+`", "scale": 4}]}}}]`), "headerImage.URLs[0].scale: is 4"},
		{poster, at("upcomingPassInformation", `[{"identifier": "1", "name": "x", "type": "concert"}]`), "error upcomingPassInformation[0].type: has to be event"},
		{poster, at("upcomingPassInformation", `[{"identifier": "1", "name": "x", "type": "event"}, {"identifier": "1", "name": "x", "type": "event"}]`), "error upcomingPassInformation[1].identifier: is the identifier of another"},
		{ticket, at("upcomingPassInformation", `[{"identifier": "1", "name": "x", "type": "event"}]`), "warning upcomingPassInformation: has an effect on poster"},
		{poster, at("upcomingPassInformation", `[{"identifier": "1", "name": "x", "type": "event", "backFields": [{"key": "a"}]}]`), "error upcomingPassInformation[0].backFields[0].value: is missing"},
		{poster, at("upcomingPassInformation", `[{"identifier": "1", "name": "x", "type": "event", "images": {"venueMap": {"URLs": [{"URL": "http://example.com", "SHA256": "`+strings.Repeat("0a", 32)+`"}]}}}]`), "error upcomingPassInformation[0].images.venueMap.URLs[0].URL: is no https URL"},
		{poster, at("upcomingPassInformation", `[{"identifier": "1", "name": "x", "type": "event", "images": {"headerImage": {"URLs": [{"URL": "https://example.com", "SHA256": "0a", "size": 2}]}}}]`), "headerImage.URLs[0].SHA256: is no SHA-256"},
		{poster, at("upcomingPassInformation", `[{"identifier": "1", "name": "x", "type": "event", "images": {"headerImage": {"URLs": [{"URL": "https://example.com", "SHA256": "`+strings.Repeat("0a", 32)+`", "size": 2097153}]}}}]`), "size: is 2097153 bytes; 2097152"},
		{generic, at("featuredActions", `[{"identifier": "a", "type": "calls", "url": "tel:1"}]`), `warning featuredActions[0].type: is no action that is known (did you mean "call"?)`},
		{generic, at("featuredActions", `[{"identifier": "a", "type": "call"}]`), "error featuredActions[0].url: is missing"},
		{generic, at("featuredActions", repeat(3, `{"identifier": "a%d", "type": "call", "url": "tel:1"}`)), "warning featuredActions: has 3 entries"},
		{generic, at("featuredActions", `[{"type": "call", "url": "tel:1"}]`), "error featuredActions[0].identifier: is missing"},
		{generic, at("featuredActions", `[{"identifier": "a", "url": "tel:1"}]`), "error featuredActions[0].type: is missing"},
		{generic, at("featuredActions", `[{"identifier": "a", "type": "call", "url": "1"}]`), "warning featuredActions[0].url: is no absolute URL"},
		{generic, at("featuredActions", `[{"identifier": "a", "type": "place", "placeIdentifier": "1"}]`), ""},
		{generic, at("featuredActions", repeat(2, `{"identifier": "a", "type": "call", "url": "tel:1"}`)), "error featuredActions[1].identifier: is the identifier of another"},
	})
}

// code changes a pass to have that barcode, and one that every device draws.
func code(format, message string) []string {
	return at("barcodes", `[{"format": "PKBarcodeFormat`+format+`", "message": "`+message+`", "messageEncoding": "utf-8"},
		{"format": "PKBarcodeFormatQR", "message": "1", "messageEncoding": "utf-8"}]`)
}

// publicKey makes a key in the form of NFC's encryptionPublicKey.
func publicKey(curve elliptic.Curve, compressed bool) string {
	key := must(ecdsa.GenerateKey(curve, rand.Reader))
	der := must(x509.MarshalPKIXPublicKey(key.Public()))
	if compressed {
		var parts struct {
			Algorithm pkix.AlgorithmIdentifier
			Point     asn1.BitString
		}
		must(asn1.Unmarshal(der, &parts))
		point := elliptic.MarshalCompressed(curve, key.X, key.Y)
		parts.Point = asn1.BitString{Bytes: point, BitLength: 8 * len(point)}
		der = must(asn1.Marshal(parts))
	}
	return base64.StdEncoding.EncodeToString(der)
}

// damaged makes a point that is not on the curve: its x is too large.
func damaged(key string) string {
	der := must(base64.StdEncoding.DecodeString(key))
	start := len(der) - 32
	if len(der) > 80 {
		start = len(der) - 64
	}
	for i := range 32 {
		der[start+i] = 0xff
	}
	return base64.StdEncoding.EncodeToString(der)
}

// TestPartsAlone reads and writes every part by itself, with encoding/json.
func TestPartsAlone(t *testing.T) {
	seen := map[reflect.Type]bool{}
	var look func(reflect.Type)
	look = func(typ reflect.Type) {
		for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct || typ == valueType || seen[typ] {
			return
		}
		seen[typ] = true
		part := reflect.New(typ)
		fill(part.Elem(), 0)
		data, err := json.Marshal(part.Elem().Interface())
		if err != nil || !strings.Contains(string(data), `"newer"`) {
			t.Errorf("%s: %s, %v", typ, data, err)
		}
		back := reflect.New(typ)
		if err := json.Unmarshal(data, back.Interface()); err != nil || !reflect.DeepEqual(part.Interface(), back.Interface()) {
			t.Errorf("%s: %v", typ, err)
		}
		if err := json.Unmarshal([]byte("[1]"), back.Interface()); err == nil {
			t.Errorf("%s takes an array", typ)
		}
		if err := json.Unmarshal([]byte("null"), back.Interface()); err != nil {
			t.Errorf("%s: %v", typ, err)
		}
		for i := range typ.NumField() {
			look(typ.Field(i).Type)
		}
	}
	look(reflect.TypeFor[Pass]())
	look(reflect.TypeFor[Order]())
	look(reflect.TypeFor[Personalization]())
	if len(seen) < 35 {
		t.Errorf("looked at %d types only", len(seen))
	}
}
