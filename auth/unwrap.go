package auth

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"net/url"
	"regexp"
	"unicode/utf16"
	"unicode/utf8"
)

var (
	// armour matches the lines that begin and end a PEM block (RFC 7468 section 3), also
	// where mail or chat made dashes of another kind of theirs, or a blank that does not
	// break.
	armour = regexp.MustCompile(`(?i)\p{Pd}+(BEGIN|END)[ \x{a0}]+([A-Z0-9](?:[A-Z0-9 \x{a0}]*[A-Z0-9])?)[ \x{a0}]*\p{Pd}+`)
	// breaks are what becomes of line breaks: literal \n, with a backslash more for each
	// layer of JSON around it, in URLs and in HTML.
	breaks = regexp.MustCompile(`(?i)\\+[rn]|\\+u000[ad]|%0[ad]|&#(?:10|13|x0?[ad]);|</?(?:br|p|div) ?/?>|\r|; ?`)
	// escapes are those of a URL, which stand in no file as it was made.
	escapes = regexp.MustCompile(`(?i)%(2[05bf]|3d)`)
	// invisible are characters that have no width, as web pages and editors leave them.
	invisible = regexp.MustCompile(`[\x{ad}\x{200b}-\x{200d}\x{2060}\x{feff}]`)
	blanks    = regexp.MustCompile(`[\x{a0}\x{2007}\x{202f}]`)
)

// mostLayers bounds what is undone. Base64 of base64 is what two systems make that both
// want it.
const mostLayers = 4

// unwrap undoes what transport does to a file: byte order marks, UTF-16 (a
// redirect in older PowerShell), line breaks that became a literal \n or a
// space in an environment variable, indentation from a YAML file, quotes, escapes of a
// URL, a data: URL, and base64 around the whole file (how secrets are kept in CI
// systems). What comes out is either binary or PEM that encoding/pem reads.
func unwrap(data []byte) []byte {
	for range mostLayers {
		data = bytes.TrimPrefix(decodeUTF16(data), []byte("\xef\xbb\xbf"))
		if isDER(data) {
			return data
		}
		if utf8.Valid(data) {
			data = invisible.ReplaceAll(data, nil)
		}
		if armour.Match(data) && !escapes.Match(data) && bytes.Contains(bytes.ToUpper(data), []byte("BEGIN")) {
			return tidyPEM(data)
		}
		inner := unpack(data)
		if inner == nil {
			return data
		}
		data = inner
	}
	return data
}

// unpack takes one layer away, or returns nil if there is none that is known.
func unpack(data []byte) []byte {
	text := bytes.Trim(data, "\"' \t\r\n")
	if rest, ok := bytes.CutPrefix(text, []byte("data:")); ok {
		_, text, ok = bytes.Cut(rest, []byte(","))
		if !ok {
			return nil
		}
	}
	if escapes.Match(text) {
		unescape := url.PathUnescape
		if bytes.Contains(text, []byte("BEGIN+")) { // of a form
			unescape = url.QueryUnescape
		}
		plain, err := unescape(string(text))
		if err != nil {
			return nil
		}
		return []byte(plain)
	}
	if at := armour.FindIndex(text); at != nil { // the last line, where the first was lost
		text = text[:at[0]]
	}
	return decodeBase64(text)
}

func isPEM(data []byte) bool { return bytes.Contains(data, []byte("-----BEGIN ")) }

// isDER says that data begins as keys, certificates and .p12 files do.
func isDER(data []byte) bool {
	return len(data) > 1 && data[0] == 0x30 && (data[1] >= 0x80 || data[1] < ' ')
}

func decodeUTF16(data []byte) []byte {
	if len(data) < 2 {
		return data
	}
	var order binary.ByteOrder
	rest := data[2:]
	switch {
	case data[0] == 0xff && data[1] == 0xfe:
		order = binary.LittleEndian
	case data[0] == 0xfe && data[1] == 0xff:
		order = binary.BigEndian
	case data[0] >= ' ' && data[0] < 0x7f && data[1] == 0: // no mark; text of ASCII has these bytes in turn
		order, rest = binary.LittleEndian, data
	case data[0] == 0 && data[1] >= ' ' && data[1] < 0x7f:
		order, rest = binary.BigEndian, data
	default:
		return data
	}
	units := make([]uint16, 0, len(rest)/2)
	for i := 0; i+1 < len(rest); i += 2 {
		units = append(units, order.Uint16(rest[i:]))
	}
	return []byte(string(utf16.Decode(units)))
}

// tidyPEM puts every armour line on a line of its own, and drops indentation
// and empty lines. Empty lines must go because encoding/pem takes a header
// (Proc-Type) only on the very next line.
func tidyPEM(data []byte) []byte {
	data = blanks.ReplaceAll(data, []byte(" "))
	data = armour.ReplaceAllFunc(data, func(line []byte) []byte {
		return bytes.ToUpper(armour.ReplaceAll(line, []byte("\n-----$1 $2-----\n")))
	})
	data = breaks.ReplaceAll(data, []byte("\n"))
	tidy := make([]byte, 0, len(data))
	for line := range bytes.SplitSeq(data, []byte("\n")) {
		if line = bytes.Trim(line, " \t\\>"); len(line) > 0 { // RTF ends lines like that, mail begins them so
			tidy = append(tidy, line...)
			tidy = append(tidy, '\n')
		}
	}
	return tidy
}

// decodeBase64 decodes text that is base64 and nothing else, in either
// alphabet, with or without padding, or returns nil. The result must be DER, PEM, base64
// again or UTF-16, so that a short word is not taken for base64.
func decodeBase64(data []byte) []byte {
	data = breaks.ReplaceAll(data, nil)
	plain := decodeBase64With(data, "")
	if plain == nil || !isCut(plain) {
		return plain
	}
	if other := decodeBase64With(data, "+"); other != nil && !isCut(other) { // forms turn + into a blank
		return other
	}
	return plain
}

// isCut says that DER has fewer bytes than it says itself.
func isCut(data []byte) bool {
	if len(data) < 4 || data[0] != 0x30 {
		return false
	}
	size := 2 + int(data[1])
	switch data[1] {
	case 0x81:
		size = 3 + int(data[2])
	case 0x82:
		size = 4 + int(data[2])<<8 + int(data[3])
	}
	return len(data) < size
}

func decodeBase64With(data []byte, blank string) []byte {
	text := make([]byte, 0, len(data))
	for _, c := range bytes.Trim(data, "\"' \t\r\n") {
		switch {
		case c == ' ':
			text = append(text, blank...)
		case c == '\n' || c == '\r' || c == '\t' || c == '=':
		case c == '-':
			text = append(text, '+')
		case c == '_':
			text = append(text, '/')
		case c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '+', c == '/':
			text = append(text, c)
		default:
			return nil
		}
	}
	decoded := make([]byte, base64.RawStdEncoding.DecodedLen(len(text)))
	n, err := base64.RawStdEncoding.Decode(decoded, text)
	if err != nil || n == 0 {
		return nil
	}
	decoded = decoded[:n]
	plain := bytes.TrimPrefix(decodeUTF16(decoded), []byte("\xef\xbb\xbf"))
	if decoded[0] == 0x30 || armour.Match(plain) || len(plain) >= 40 && base64Only.Match(plain) {
		return decoded
	}
	return nil
}

var base64Only = regexp.MustCompile(`^[A-Za-z0-9+/=_\s-]+$`)
