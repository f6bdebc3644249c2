// Package secret recognises keys, certificates and provider tokens in texts that were
// meant to be something else. Whoever repeats what was given, in an error, on the log or
// on a screen, asks here first: an APNs key is offered once and signs for a whole team,
// and many read a log.
package secret

import (
	"encoding/base64"
	"encoding/hex"
	"regexp"
	"strings"
	"unicode"
)

// What a text can be.
const (
	PrivateKey    = "a private key"
	Certificate   = "a certificate"
	Both          = "a certificate with its private key"
	PKCS12        = "a .p12 file"
	PublicKey     = "a public key"
	NATS          = "NATS credentials"
	ProviderToken = "a provider token"
	pemBlock      = "the content of a PEM file"
)

// What says what a text holds that should be repeated nowhere: the content of a key
// or certificate file, however it was wrapped (base64, once or more often, literal
// \n, percent signs, a data: URL, without its first line), or a provider token. It
// is "" for any other text.
func What(text string) string {
	_, what := find(text, false, 0)
	return what
}

// Hide returns a text without the secrets in it. Where one begins, the rest of the
// text is left out, as nobody knows where it ends once it has been quoted, wrapped
// or indented.
func Hide(text string) string {
	at, what := find(text, true, 0)
	if what == "" {
		return text
	}
	return text[:at] + "(" + what + ", which is not shown)"
}

var (
	// begin matches what stands in the first line of a PEM block, also one whose
	// dashes or blanks became something else.
	begin = regexp.MustCompile(`BEGIN.{0,24}?(PRIVATE.{0,6}KEY|CERTIFICATE|PUBLIC.{0,6}KEY|NATS[A-Z ]{0,20}|USER NKEY[A-Z ]{0,20}|PKCS|PGP)`)
	// content matches what follows it if there is more than the line: a sentence may
	// name the line alone.
	content = regexp.MustCompile(`^[^A-Za-z0-9]{0,40}(\\+[nr]|%0[AD]|<br ?/?>|[^A-Za-z0-9])*([A-Za-z0-9+/]|%[0-9A-Fa-f]{2}){16}`)
	// end matches the last line, where the first was lost.
	end = regexp.MustCompile(`[A-Za-z0-9+/=]{8,}.{0,12}(\p{Pd}|%2D)END.{1,24}(PRIVATE.{0,6}KEY|CERTIFICATE)`)
	jwt = regexp.MustCompile(`eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}`)
	// word matches what can be base64 or hexadecimal from a place on.
	word = regexp.MustCompile(`^[A-Za-z0-9+/_-]{24,}`)
)

// most bounds how deeply wrapped content is looked for: base64 of base64 is what
// happens when two systems both want it.
const most = 3

// find returns where the first secret begins and what it is. strict passes over
// what only speaks of one, as an error of ours may.
func find(text string, strict bool, depth int) (at int, what string) {
	if depth > most {
		return 0, ""
	}
	at = len(text)
	take := func(i int, w string) {
		if i < at {
			at, what = i, w
		}
	}
	for _, m := range begin.FindAllStringSubmatchIndex(text, -1) {
		if !strict || content.MatchString(text[m[1]:]) {
			take(lineStart(text, m[0]), kindOfPEM(text, text[m[2]:m[3]]))
			break
		}
	}
	if m := end.FindStringSubmatchIndex(text); m != nil {
		take(m[0], kindOfPEM(text, text[m[2]:m[3]]))
	}
	if m := jwt.FindStringIndex(text); m != nil {
		take(m[0], ProviderToken)
	}
	for i := 0; i < at; i++ {
		// A path may stand before it, as in "open /etc/MIGH…", or what begins a flag.
		if i > 0 && isBase64(text[i-1]) && text[i-1] != '/' && text[i-1] != '-' {
			continue
		}
		w := word.FindString(text[i:min(len(text), i+512)])
		if w == "" {
			continue
		}
		if kind := kindOfWord(w, depth); kind != "" {
			take(i, kind)
		}
	}
	return at, what
}

// lineStart goes back over the dashes before BEGIN, or what they became.
func lineStart(text string, at int) int {
	before := strings.TrimRightFunc(text[:at], func(r rune) bool { return unicode.Is(unicode.Pd, r) || unicode.Is(unicode.Sm, r) })
	return len(before)
}

func kindOfPEM(text, label string) string {
	text, label = strings.ToUpper(text), strings.ToUpper(label)
	private := strings.Contains(text, "PRIVATE")
	switch {
	case private && strings.Contains(text, "CERTIFICATE"):
		return Both
	case strings.HasPrefix(label, "PRIVATE"):
		return PrivateKey
	case strings.HasPrefix(label, "CERTIFICATE"):
		return Certificate
	case strings.HasPrefix(label, "PUBLIC"):
		return PublicKey
	case strings.HasPrefix(label, "N"), strings.HasPrefix(label, "U"):
		return NATS
	}
	return pemBlock
}

func isBase64(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '+' || c == '/' || c == '_' || c == '-'
}

var alphabet = strings.NewReplacer("-", "+", "_", "/")

// kindOfWord looks into base64 and hexadecimal.
func kindOfWord(word string, depth int) string {
	if strings.HasPrefix(word, "30") {
		if der, err := hex.DecodeString(word[:len(word)&^1]); err == nil && len(der) >= 40 {
			return kindOfDER(der)
		}
	}
	plain := alphabet.Replace(word)
	data, err := base64.RawStdEncoding.DecodeString(plain[:len(plain)&^3])
	if err != nil {
		return ""
	}
	if kind := kindOfDER(data); kind != "" {
		return kind
	}
	inner := strings.TrimPrefix(strings.ReplaceAll(string(data), "\x00", ""), "\xef\xbb\xbf")
	if strings.ContainsFunc(inner[:min(len(inner), 12)], func(r rune) bool { return r == unicode.ReplacementChar || r > unicode.MaxLatin1 }) &&
		!strings.HasPrefix(inner, "\xff\xfe") && !strings.HasPrefix(inner, "\xfe\xff") {
		return ""
	}
	_, what := find(inner, false, depth+1)
	return what
}

// kindOfDER looks at the first bytes of DER. It asks for no more than is there:
// what was cut off is a secret too.
func kindOfDER(data []byte) string {
	if len(data) < 16 || data[0] != 0x30 {
		return ""
	}
	body := data[2:]
	switch {
	case data[1] == 0x81:
		body = data[3:]
	case data[1] == 0x82:
		body = data[4:]
	case data[1] >= 0x80:
		return ""
	}
	switch {
	case body[0] == 0x02 && body[1] == 1 && body[2] == 3:
		return PKCS12
	case body[0] == 0x02 && body[1] == 1 && body[2] <= 1 && (body[3] == 0x30 || body[3] == 0x04 || body[3] == 0x02):
		return PrivateKey // PKCS#8, SEC 1, PKCS#1
	case body[0] != 0x30 || body[1] < 0x03:
		return ""
	case data[1] == 0x82 && body[1] == 0x82:
		return Certificate
	case body[1] < 0x80 && body[2] == 0x06 && body[3] == 9 && data[1] >= 0x81 && body[4] == 0x2a && body[11] == 0x05:
		return PrivateKey // encrypted, PBES
	case body[1] < 0x80 && body[2] == 0x06 && body[4] == 0x2a:
		return PublicKey
	case data[1] >= 0x81 && body[1] >= 0x81:
		return Certificate
	}
	return ""
}
