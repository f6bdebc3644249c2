package auth

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"regexp"
	"unicode/utf16"
)

// armour matches the lines that begin and end a PEM block (RFC 7468 section 3).
var armour = regexp.MustCompile(`-----(BEGIN|END) [A-Z0-9][A-Z0-9 ]*-----`)

// unwrap undoes what transport does to a file: byte order marks, UTF-16 (a
// redirect in older PowerShell), line breaks that became a literal \n or a
// space in an environment variable, indentation from a YAML file, quotes, and
// base64 around the whole file (how secrets are kept in CI systems). What comes
// out is either binary or PEM that encoding/pem reads.
func unwrap(data []byte) []byte {
	data = decodeUTF16(data)
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if isPEM(data) {
		return tidyPEM(data)
	}
	if decoded := decodeBase64(data); decoded != nil {
		// Once only: base64 around base64 is nobody's habit.
		decoded = bytes.TrimPrefix(decoded, []byte("\xef\xbb\xbf"))
		if isPEM(decoded) {
			return tidyPEM(decoded)
		}
		return decoded
	}
	return data
}

func isPEM(data []byte) bool { return bytes.Contains(data, []byte("-----BEGIN ")) }

func decodeUTF16(data []byte) []byte {
	if len(data) < 2 {
		return data
	}
	var order binary.ByteOrder
	switch {
	case data[0] == 0xff && data[1] == 0xfe:
		order = binary.LittleEndian
	case data[0] == 0xfe && data[1] == 0xff:
		order = binary.BigEndian
	default:
		return data
	}
	units := make([]uint16, 0, len(data)/2)
	for i := 2; i+1 < len(data); i += 2 {
		units = append(units, order.Uint16(data[i:]))
	}
	return []byte(string(utf16.Decode(units)))
}

// tidyPEM puts every armour line on a line of its own, and drops indentation
// and empty lines. Empty lines must go because encoding/pem takes a header
// (Proc-Type) only on the very next line.
func tidyPEM(data []byte) []byte {
	data = bytes.ReplaceAll(data, []byte(`\r`), nil)
	data = bytes.ReplaceAll(data, []byte(`\n`), []byte("\n"))
	data = bytes.ReplaceAll(data, []byte("\r"), []byte("\n"))
	data = armour.ReplaceAll(data, []byte("\n$0\n"))
	tidy := make([]byte, 0, len(data))
	for line := range bytes.SplitSeq(data, []byte("\n")) {
		if line = bytes.TrimSpace(line); len(line) > 0 {
			tidy = append(tidy, line...)
			tidy = append(tidy, '\n')
		}
	}
	return tidy
}

// decodeBase64 decodes text that is base64 and nothing else, in either
// alphabet, with or without padding, or returns nil. The result must be DER or
// PEM, so that a short word is not taken for base64.
func decodeBase64(data []byte) []byte {
	text := make([]byte, 0, len(data))
	for _, c := range bytes.Trim(data, "\"' \t\r\n") {
		switch {
		case c == '\n' || c == '\r' || c == ' ' || c == '\t' || c == '=':
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
	if decoded[0] != 0x30 && !isPEM(decoded) {
		return nil
	}
	return decoded
}
