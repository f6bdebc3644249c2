package auth

import (
	"bytes"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"
)

const testKeyID, testTeamID = "ABC123DEFG", "A1B2C3D4E5"

// Everything that a download, an editor, a shell, a CI system or a copy and
// paste makes of one and the same key must still be that key.
func TestParseSigningKeyVariants(t *testing.T) {
	plain := fixture(t, "AuthKey_ABC123DEFG.p8")
	want := must(ParseSigningKey(plain, testKeyID))
	text := strings.TrimSpace(string(plain))
	body := strings.ReplaceAll(strings.TrimSuffix(strings.TrimPrefix(text, "-----BEGIN PRIVATE KEY-----\n"), "\n-----END PRIVATE KEY-----"), "\n", "")
	block, _ := pem.Decode(plain)

	utf16File := func(order string) []byte {
		out := []byte(order)
		for _, unit := range utf16.Encode([]rune(text)) {
			if order == "\xff\xfe" {
				out = append(out, byte(unit), byte(unit>>8))
			} else {
				out = append(out, byte(unit>>8), byte(unit))
			}
		}
		return out
	}
	for name, data := range map[string][]byte{
		"PKCS#8":                    plain,
		"SEC 1":                     fixture(t, "sec1.p8"),
		"SEC 1 labelled as PKCS#8":  fixture(t, "sec1-mislabelled.p8"),
		"PKCS#8 labelled as SEC 1":  []byte(strings.ReplaceAll(text, "PRIVATE KEY", "EC PRIVATE KEY")),
		"no line end":               []byte(text),
		"CRLF":                      []byte(strings.ReplaceAll(text, "\n", "\r\n")),
		"CR":                        []byte(strings.ReplaceAll(text, "\n", "\r")),
		"byte order mark":           []byte("\xef\xbb\xbf" + text),
		"UTF-16, little endian":     utf16File("\xff\xfe"),
		"UTF-16, big endian":        utf16File("\xfe\xff"),
		"blank lines":               []byte("\n\n" + strings.ReplaceAll(text, "\n", "\n\n") + "\n\n"),
		"indented":                  []byte("    " + strings.ReplaceAll(text, "\n", "\n    ")),
		"literal \\n":               []byte(strings.ReplaceAll(text, "\n", `\n`)),
		"literal \\r\\n":            []byte(strings.ReplaceAll(text, "\n", `\r\n`)),
		"literal \\\\n":             []byte(strings.ReplaceAll(text, "\n", `\\n`)),
		"literal \\\\r\\\\n":        []byte(strings.ReplaceAll(text, "\n", `\\r\\n`)),
		"%0A":                       []byte(strings.ReplaceAll(text, "\n", "%0A")),
		"<br>":                      []byte(strings.ReplaceAll(text, "\n", "<br>")),
		"<br/> and line ends":       []byte(strings.ReplaceAll(text, "\n", "<br/>\r\n")),
		"semicolons":                []byte(strings.ReplaceAll(text, "\n", "; ")),
		"no width":                  []byte("\u200b" + strings.ReplaceAll(text, "\n", "\n\u200b")),
		"a blank that stays":        []byte(strings.ReplaceAll(text, "PRIVATE KEY", "PRIVATE\u00a0KEY")),
		"other dashes":              []byte(strings.ReplaceAll(text, "-----", "—")),
		"RTF":                       []byte("{\\rtf1\\ansi\\ansicpg1252\n\\f0\\fs24 \\cf0 " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\\\n") + "}"),
		"&#10;":                     []byte(strings.ReplaceAll(text, "\n", "&#10;")),
		"paragraphs":                []byte("<p>" + strings.ReplaceAll(text, "\n", "</p><p>") + "</p>"),
		"\\u000a":                   []byte(strings.ReplaceAll(text, "\n", `\u000a`)),
		"quoted in a mail":          []byte("> " + strings.ReplaceAll(text, "\n", "\n> ")),
		"soft hyphens":              []byte(strings.ReplaceAll(text, "PRIVATE", "PRI\u00adVATE")),
		"small letters":             []byte(strings.ReplaceAll(strings.ReplaceAll(text, "BEGIN PRIVATE KEY", "begin private key"), "END PRIVATE KEY", "end private key")),
		"of a URL, twice":           []byte(url.PathEscape(url.PathEscape(text))),
		"of a URL":                  []byte(url.PathEscape(text)),
		"of a form":                 []byte(url.QueryEscape(text)),
		"data URL":                  []byte("data:application/x-pem-file;base64," + base64.StdEncoding.EncodeToString(plain)),
		"data URL without base64":   []byte("data:text/plain," + url.PathEscape(text)),
		"base64 of base64":          []byte(base64.StdEncoding.EncodeToString([]byte(base64.StdEncoding.EncodeToString(plain)))),
		"base64 of UTF-16":          []byte(base64.StdEncoding.EncodeToString(utf16File("\xff\xfe"))),
		"base64 of UTF-16, no mark": []byte(base64.StdEncoding.EncodeToString(utf16File("\xff\xfe")[2:])),
		"UTF-16 without a mark":     utf16File("\xff\xfe")[2:],
		"base64 through a form":     []byte(strings.ReplaceAll(body, "+", " ")),
		"first line lost":           []byte(text[strings.Index(text, "\n")+1:]),
		"literal \\n in quotes":     []byte(`"` + strings.ReplaceAll(text, "\n", `\n`) + `"`),
		"one line":                  []byte(strings.ReplaceAll(text, "\n", " ")),
		"one line without spaces":   []byte(strings.ReplaceAll(text, "\n", "")),
		"comment before":            []byte("# our push key\n" + text),
		"curve before":              []byte("-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n" + text),
		"twice":                     []byte(text + "\n" + text),
		"no armour":                 []byte(body),
		"no armour, URL alphabet":   []byte(strings.NewReplacer("+", "-", "/", "_", "=", "").Replace(body)),
		"base64 of the file":        []byte(base64.StdEncoding.EncodeToString(plain)),
		"base64 of the DER":         []byte(base64.StdEncoding.EncodeToString(block.Bytes)),
		"DER":                       block.Bytes,
		"DER with a line end":       append(bytes.Clone(block.Bytes), '\r', '\n'),
		"what PEM() wrote":          want.PEM(),
		"openssl's line of 64, cut": []byte(strings.Replace(text, body[:20], body[:10]+"\n"+body[10:20], 1)),
	} {
		t.Run(name, func(t *testing.T) {
			key, err := ParseSigningKey(data, testKeyID)
			if err != nil {
				t.Fatal(err)
			}
			if !key.Public().Equal(want.Public()) {
				t.Error("another key came out")
			}
			if key.KeyID() != testKeyID {
				t.Errorf("key id %q", key.KeyID())
			}
		})
	}
}

func TestParseSigningKeyRefusals(t *testing.T) {
	text := string(fixture(t, "AuthKey_ABC123DEFG.p8"))
	other := must(GenerateSigningKey("")).PEM()
	for _, test := range []struct {
		name string
		data []byte
		want []string
	}{
		{"empty", nil, []string{"file: it is empty", "environment variable"}},
		{"huge", make([]byte, MaxFileSize+1), []string{"larger than 256 KiB"}},
		{"P-384", fixture(t, "p384.p8"), []string{"EC P-384", "P-256 only", "InvalidProviderToken"}},
		{"Ed25519", fixture(t, "ed25519.p8"), []string{"Ed25519", "InvalidProviderToken"}},
		{"RSA", fixture(t, "pkcs1.pem"), []string{"RSA 2048", "InvalidProviderToken"}},
		{"encrypted", fixture(t, "encrypted.p8"), []string{"encrypted", "openssl pkcs8 -topk8 -nocrypt"}},
		{"traditional encryption", fixture(t, "pkcs1-aes256.pem"), []string{"encrypted"}},
		{"public key", fixture(t, "public.pem"), []string{"a public key, not a signing key"}},
		{"certificate", fixture(t, "apns.pem"), []string{"a certificate, not a signing key", "use it as a certificate"}},
		{"DER certificate", fixture(t, "apns.cer"), []string{"a certificate, not a signing key"}},
		{"p12", fixture(t, "openssl3.p12"), []string{"PKCS#12", "use it as a certificate"}},
		{"request", fixture(t, "apns.csr"), []string{"a certificate signing request"}},
		{"two keys", append([]byte(text), other...), []string{"more than one private key"}},
		{"no end", []byte(text[:100]), []string{"cut short"}},
		{"letters changed", []byte(strings.Replace(text, "MIGH", "MIGX", 1)), []string{"copy the .p8 file again"}},
		{"words", []byte("my key"), []string{"not a key or certificate"}},
		{"a web page", []byte("<!DOCTYPE html><html></html>"), []string{"not a key or certificate"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := ParseSigningKey(test.data, testKeyID)
			wantError(t, err, test.want...)
			if _, ok := errors.AsType[*InputError](err); !ok {
				t.Errorf("%T is not an *InputError", err)
			}
		})
	}
}

func TestLoadSigningKey(t *testing.T) {
	dir := t.TempDir()
	data := fixture(t, "AuthKey_ABC123DEFG.p8")
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}

	for name, want := range map[string]string{
		"AuthKey_ABC123DEFG.p8":             "ABC123DEFG",
		"AuthKey_ABC123DEFG (1).p8":         "ABC123DEFG",
		"AuthKey_ABC123DEFG-production.p8":  "ABC123DEFG",
		"AuthKey_ABC123DEFG.pem":            "ABC123DEFG",
		"AuthKey_ABC123DEFGH.p8":            "",
		"AuthKey_abc123defg.p8":             "",
		"AuthKey_ABC.p8":                    "",
		"key.p8":                            "",
		"ABC123DEFG.p8":                     "",
		"ApiKey_ABC123DEFG_AuthKey_BAD.p8 ": "",
	} {
		key, err := LoadSigningKey(write(name, data), "")
		switch {
		case want != "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case want != "" && key.KeyID() != want:
			t.Errorf("%s: key id %q", name, key.KeyID())
		case want == "":
			wantError(t, err, name, "key id: is missing", "AuthKey_<key id>.p8")
		}
	}
	if id := keyIDFromName(`C:\Users\me\AuthKey_ABC123DEFG.p8`); id != testKeyID {
		t.Errorf("Windows path: %q", id)
	}

	path := write("AuthKey_ABC123DEFG.p8", data)
	if key := must(LoadSigningKey(path, "ZZZZZZZZZZ")); key.KeyID() != "ZZZZZZZZZZ" {
		t.Errorf("a given key id did not win over the name: %q", key.KeyID())
	}
	_, err := LoadSigningKey(write("push.p8", fixture(t, "openssl3.p12")), "")
	wantError(t, err, "PKCS#12")

	missing := filepath.Join(dir, "nowhere.p8")
	_, err = LoadSigningKey(missing, testKeyID)
	wantError(t, err, missing)
	if file, ok := errors.AsType[*FileError](err); !ok || file.Path != missing || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%#v", err)
	}
	if strings.Count(err.Error(), missing) != 1 {
		t.Errorf("the path is named twice: %v", err)
	}
	_, err = LoadSigningKey(write("huge.p8", make([]byte, 1<<20)), testKeyID)
	if !errors.Is(err, ErrTooLarge) {
		t.Errorf("%v", err)
	}
	_, err = LoadSigningKey(dir, testKeyID)
	wantError(t, err, dir)
}

func TestIdentifierGuesses(t *testing.T) {
	for _, test := range []struct {
		name  string
		check func(string) error
		value string
		want  string
	}{
		{"missing key id", ValidateKeyID, "", "key id: is missing; it must be 10 characters"},
		{"missing team id", ValidateTeamID, "", "Membership details"},
		{"short", ValidateKeyID, "ABC", "must be 10 characters, A to Z and 0 to 9, and has 3"},
		{"lower case", ValidateKeyID, "abc123defg", "did you mean ABC123DEFG?"},
		{"lower-case team", ValidateTeamID, "a1b2c3d4e5", "did you mean A1B2C3D4E5?"},
		{"line break", ValidateKeyID, "ABC123DEFG\n", "remove the spaces, quotes or line breaks"},
		{"quotes", ValidateTeamID, `"A1B2C3D4E5"`, "remove the spaces, quotes or line breaks"},
		{"file name", ValidateKeyID, "AuthKey_ABC123DEFG.p8", "the key id is ABC123DEFG"},
		{"file name as team", ValidateTeamID, "/keys/AuthKey_ABC123DEFG.p8", "the file name of a signing key"},
		{"prefixed bundle id", ValidateTeamID, "A1B2C3D4E5.com.example.app", "the part before the first dot, A1B2C3D4E5"},
		{"bundle id", ValidateTeamID, "com.example.app", "which is the topic"},
		{"letters beyond ASCII", ValidateTeamID, "ÄBCDEFGHIJ", "must be 10 characters, A to Z and 0 to 9"},
		{"other characters", ValidateTeamID, "A1B2-3D4E5", "and has others"},
	} {
		t.Run(test.name, func(t *testing.T) { wantError(t, test.check(test.value), test.want) })
	}
	if err := errors.Join(ValidateKeyID(testKeyID), ValidateTeamID(testTeamID)); err != nil {
		t.Error(err)
	}
}

func TestGenerateSigningKey(t *testing.T) {
	a, b := must(GenerateSigningKey("")), must(GenerateSigningKey(""))
	if err := ValidateKeyID(a.KeyID()); err != nil || a.KeyID() == b.KeyID() {
		t.Errorf("random key ids %q and %q: %v", a.KeyID(), b.KeyID(), err)
	}
	if _, err := GenerateSigningKey("short"); err == nil {
		t.Error("a malformed key id was taken")
	}
	a.Public().Curve = nil
	if a.Public().Curve == nil {
		t.Error("Public hands out the key's own memory")
	}
}
