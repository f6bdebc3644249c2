package passview

import (
	"bytes"
	"fmt"
	"image/png"
	"strings"
	"testing"
)

// backOf is a pass with as many fields on the back as are laid out.
func backOf(value func(i int) string) []byte {
	var fields []string
	for i := range maxBack {
		fields = append(fields, fmt.Sprintf(`{"key":"%d","label":"x","value":"%s"}`, i, value(i)))
	}
	list := strings.Join(fields, ",")
	return []byte(`{"generic":{"backFields":[` + list + `],"additionalInfoFields":[` + list + `]}}`)
}

// TestLongBack: a picture of everything had gigabytes.
func TestLongBack(t *testing.T) {
	v := must(New(backOf(func(int) string { return strings.Repeat(`x\n`, backLines) }), nil, Options{}))
	var out bytes.Buffer
	if err := v.PNG(&out, 1); err != nil {
		t.Fatal(err)
	}
	if c := must(png.DecodeConfig(&out)); c.Height > maxBackTall+3*gap {
		t.Errorf("the picture is %d pixels tall", c.Height)
	}
	if notes := strings.Join(v.Notes(), "\n"); !strings.Contains(notes, "the back is longer") {
		t.Errorf("nobody is told: %q", notes)
	}
}

// TestNotesEnd: each character that the font lacks is worth a note, and no more
// than some of them.
func TestNotesEnd(t *testing.T) {
	v := must(New(backOf(func(i int) string {
		var s strings.Builder
		for j := range 100 {
			s.WriteRune(rune(0x1200 + 100*i + j))
		}
		return s.String()
	}), nil, Options{}))
	if err := v.PNG(new(bytes.Buffer), 1); err != nil {
		t.Fatal(err)
	}
	if n := len(v.Notes()); n > maxNotes {
		t.Errorf("%d notes", n)
	}
}

// TestNotesHoldNoMessage: a barcode's message is what lets its bearer in.
func TestNotesHoldNoMessage(t *testing.T) {
	for _, format := range []string{"QR", "PDF417", "Aztec", "Code128", "Code39", "Codabar", "EAN13", "I2of5"} {
		for _, message := range []string{"secret", "secret!", "secretsecret", strings.Repeat("secret", 490)} {
			_, err := encode("PKBarcodeFormat"+format, message, "utf-8")
			if err != nil && strings.Contains(strings.ToLower(err.Error()), "secret") {
				t.Errorf("%s: %.100v", format, err)
			}
		}
	}
}

func TestHugeDocument(t *testing.T) {
	pass := `{"generic":{},"a":[` + strings.TrimSuffix(strings.Repeat("{},", maxDocument/3), ",") + `]}`
	if _, err := New([]byte(pass), nil, Options{}); err == nil || !strings.Contains(err.Error(), "are read") {
		t.Error(err)
	}
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
