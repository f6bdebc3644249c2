package wallet

import (
	"crypto/ecdh"
	"crypto/elliptic"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/ianaindex"
)

// everywhere are the barcodes that every device draws.
var everywhere = []BarcodeFormat{BarcodeQR, BarcodePDF417, BarcodeAztec}

// elsewhere are the others.
var elsewhere = []BarcodeFormat{BarcodeCode128, BarcodeCode39, BarcodeCodabar, BarcodeEAN13, BarcodeI2of5}

func (c *checker) codes(p *Pass) {
	last := -1 // of those that every device draws
	for i := range p.Barcodes {
		if slices.Contains(everywhere, p.Barcodes[i].Format) {
			last = i
		}
	}
	for i := range p.Barcodes {
		b := &p.Barcodes[i]
		at := (*place)(nil).item("barcodes", i)
		c.barcode(b, at)
		if slices.Contains(elsewhere, b.Format) && i > last {
			since := "iOS 27"
			if b.Format == BarcodeCode128 {
				since = "iOS 9, and never on watchOS"
			}
			c.warn(at, "format", "add a QR, PDF417 or Aztec code after it", "is drawn from %s on, and no other code follows for the rest", since)
		}
	}
	if b := p.Barcode; b != nil {
		at := (*place)(nil).at("barcode")
		c.barcode(b, at)
		switch {
		case b.Format == BarcodeCode128:
			// What reads it at all is iOS 9 and later, where barcodes is missing, and
			// that knows Code 128. A card in use has it.
			c.warn(at, "format", "use barcodes for it", "is no code that iOS 8 draws, for which the deprecated barcode is there")
		case slices.Contains(elsewhere, b.Format):
			c.error(at, "format", "use barcodes for it", "has to be QR, PDF417 or Aztec in the deprecated barcode")
		}
		if len(p.Barcodes) == 0 {
			c.warn(nil, "barcode", "write barcodes as well, with the same object in a list", "is deprecated since iOS 9")
		}
	}
}

func (c *checker) barcode(b *Barcode, at *place) {
	if b.Format == "" {
		c.missing(at, b.Extra, "format", `write one such as "PKBarcodeFormatQR"`)
	}
	if b.Message == "" {
		c.missing(at, b.Extra, "message", "write what the scanner reads")
	}
	if b.MessageEncoding == "" {
		c.missing(at, b.Extra, "messageEncoding", `write "iso-8859-1", which scanners assume`)
	} else if b.Message != "" {
		c.charset(at, b.Message, b.MessageEncoding)
	}
	c.alphabet(b, at)
}

// charset checks that the message can be written in its encoding.
func (c *checker) charset(at *place, message, name string) {
	ascii := strings.IndexFunc(message, func(r rune) bool { return r >= utf8.RuneSelf }) < 0
	switch strings.ToLower(name) {
	case "utf-8":
		return
	case "iso-8859-1":
		if !ascii && strings.IndexFunc(message, func(r rune) bool { return r > 0xff }) >= 0 {
			c.error(at, "message", "use other characters, or messageEncoding utf-8 if the scanners read it", "has characters that iso-8859-1 has not")
		}
		return
	}
	charset, err := ianaindex.IANA.Encoding(name)
	if err != nil {
		c.error(at, "messageEncoding", `write "iso-8859-1" or "utf-8"`, "is no character set that IANA lists")
		return
	}
	if charset == nil {
		return // listed, but we cannot tell
	}
	if _, err := charset.NewEncoder().String(message); err != nil {
		c.error(at, "message", "use other characters or another messageEncoding", "has characters that its messageEncoding has not")
	}
}

// alphabet checks what a format can express. A code that cannot be drawn is left
// out, so these are warnings.
func (c *checker) alphabet(b *Barcode, at *place) {
	const digits = "0123456789"
	allowed, what := "", ""
	switch b.Format {
	case BarcodeCode39:
		allowed, what = digits+"ABCDEFGHIJKLMNOPQRSTUVWXYZ-. $/+%", "capital letters, digits and - . $ / + % and space"
	case BarcodeCodabar:
		allowed, what = digits+"-$:/.+ABCDabcd", "digits and - $ : / . + between A, B, C or D"
	case BarcodeI2of5:
		allowed, what = digits, "digits"
	case BarcodeEAN13:
		allowed, what = digits, "12 or 13 digits"
		if n := len(b.Message); n != 12 && n != 13 && b.Message != "" {
			c.warn(at, "message", "write 12 digits, or 13 with the check digit", "has %d characters; EAN-13 has 12 digits and a check digit", n)
			return
		}
		if strings.Trim(b.Message, digits) == "" && len(b.Message) == 13 && b.Message[12] != eanCheckDigit(b.Message) {
			c.warn(at, "message", "leave out the last digit", "has a wrong check digit at its end")
		}
	case BarcodeCode128:
		if strings.IndexFunc(b.Message, func(r rune) bool { return r > 127 }) >= 0 {
			c.warn(at, "message", "use a QR code for other characters", "has characters beyond ASCII, which Code 128 has not")
		}
		return
	default:
		return
	}
	if strings.ContainsFunc(b.Message, func(r rune) bool { return !strings.ContainsRune(allowed, r) }) {
		c.warn(at, "message", "use a QR code for other characters", "has characters that this code has not: it has %s", what)
	} else if b.Format == BarcodeI2of5 && len(b.Message)%2 != 0 {
		c.warn(at, "message", "put a 0 before it", "has an odd number of digits; Interleaved 2 of 5 codes pairs")
	}
}

func eanCheckDigit(digits string) byte {
	sum := 0
	for i := range 12 {
		weight := 1
		if i%2 == 1 {
			weight = 3
		}
		sum += weight * int(digits[i]-'0')
	}
	return byte('0' + (10-sum%10)%10)
}

func (c *checker) nfc(p *Pass, n *NFC) {
	at := (*place)(nil).at("nfc")
	if n.Message == "" {
		c.missing(at, n.Extra, "message", "write what the terminal reads, at most 64 bytes")
	} else if len(n.Message) > maxNFCMessage {
		c.error(at, "message", "shorten it; the system cuts off the rest", "has %d bytes; %d are the most", len(n.Message), maxNFCMessage)
	}
	if n.EncryptionPublicKey == "" {
		c.missing(at, n.Extra, "encryptionPublicKey", "write a P-256 public key in base64")
	} else if message, fix := publicKeyProblem(n.EncryptionPublicKey); message != "" {
		c.error(at, "encryptionPublicKey", fix, "%s", message)
	}
	if n.RequiresAuthentication != nil && *n.RequiresAuthentication && !p.SharingProhibited {
		c.warn(at, "requiresAuthentication", "set sharingProhibited to true", "is set, and the pass can be shared all the same")
	}
}

var (
	oidECPublicKey = asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}
	oidP256        = asn1.ObjectIdentifier{1, 2, 840, 10045, 3, 1, 7}
)

// publicKeyProblem says what is wrong with a key, or "". Terminals often want the
// compressed form, which crypto/x509 does not read.
func publicKeyProblem(text string) (message, fix string) {
	const how = "openssl ec -in key.pem -pubout -outform DER | base64 -w0"
	switch {
	case strings.Contains(text, "-----"):
		return "has the lines of a PEM file", "keep only the base64 between BEGIN and END, in one line"
	case strings.ContainsAny(text, "\r\n \t"):
		return "has line breaks or spaces", "write the base64 in one line"
	}
	der, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return "is no base64", "make it with " + how
	}
	var key struct {
		Algorithm pkix.AlgorithmIdentifier
		Point     asn1.BitString
	}
	if rest, err := asn1.Unmarshal(der, &key); err != nil || len(rest) > 0 {
		return "is no public key in DER (SubjectPublicKeyInfo)", "make it with " + how
	}
	var curve asn1.ObjectIdentifier
	_, err = asn1.Unmarshal(key.Algorithm.Parameters.FullBytes, &curve)
	if !key.Algorithm.Algorithm.Equal(oidECPublicKey) || err != nil || !curve.Equal(oidP256) {
		return "is no key of the curve P-256", "make one with openssl ecparam -name prime256v1 -genkey -noout"
	}
	point := key.Point.RightAlign()
	if len(point) == 33 {
		if x, _ := elliptic.UnmarshalCompressed(elliptic.P256(), point); x == nil {
			return "is no point on the curve P-256", "make it with " + how
		}
		return "", ""
	}
	if _, err := ecdh.P256().NewPublicKey(point); err != nil {
		return "is no point on the curve P-256", "make it with " + how
	}
	return "", ""
}

// actionTypes are Apple's words of iOS 27 (WWDC 2026, session 209).
var actionTypes = []string{
	"viewSchedule", "watchTrailer", "listenToMusic", "call", "place", "addToBalance", "order", "shop",
	"membershipBenefits", "bookAppointment", "bookCar", "bookFlight", "bookStay", "viewOffersRewards",
}

func (c *checker) actions(p *Pass) {
	if n := len(p.FeaturedActions); n > maxActions {
		c.warn(nil, "featuredActions", "put the two that matter first", "has %d entries; Wallet shows %d", n, maxActions)
	}
	seen := map[string]bool{}
	for i := range p.FeaturedActions {
		a := &p.FeaturedActions[i]
		at := (*place)(nil).item("featuredActions", i)
		if a.Identifier == "" {
			c.missing(at, a.Extra, "identifier", "write a name that no other action has")
		} else if seen[a.Identifier] {
			c.error(at, "identifier", "give each action an identifier of its own", "is the identifier of another action")
		}
		seen[a.Identifier] = true
		if a.Type == "" {
			c.missing(at, a.Extra, "type", "write one of "+strings.Join(actionTypes, ", "))
		} else if !slices.Contains(actionTypes, a.Type) {
			c.warn(at, "type", hint(a.Type, actionTypes), "is no action that is known")
		}
		if a.URL == "" && (a.Type != "place" || a.PlaceIdentifier == "") {
			c.missing(at, a.Extra, "url", "write where the action leads")
		} else if a.URL != "" {
			c.link(at, "url", a.URL)
		}
	}
}
