package webpush

import (
	"encoding/base64"
	"errors"
	"strings"
)

// decode64 reads base64 in either alphabet, with or without padding, since what
// browsers give as base64url without padding is often re-encoded on its way into
// a database. White space around it is let through, inside it is not.
func decode64(text string) ([]byte, error) {
	text = strings.TrimSpace(text)
	if strings.ContainsAny(text, "+/") {
		if strings.ContainsAny(text, "-_") {
			return nil, errors.New("mixes the two base64 alphabets (+ or /, and - or _)")
		}
		text = strings.NewReplacer("+", "-", "/", "_").Replace(text)
	}
	unpadded := strings.TrimRight(text, "=")
	if padding := len(text) - len(unpadded); padding > 0 && (padding > 2 || len(text)%4 != 0) {
		return nil, errors.New("is not base64url: it ends in the wrong number of =")
	}
	// RawURLEncoding skips line ends, which belong into no JSON string.
	if strings.ContainsAny(unpadded, "\r\n") {
		return nil, errors.New("is not base64url: there is a line end in it")
	}
	data, err := base64.RawURLEncoding.DecodeString(unpadded)
	if err != nil {
		return nil, errors.New("is not base64url, or was cut short")
	}
	return data, nil
}

func encode64(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }
