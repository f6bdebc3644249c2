package cms

import (
	"strings"
	"testing"
)

// What openssl writes unless it is told -outform DER is told by its name.
func TestFormsThatAreNotDER(t *testing.T) {
	for text, want := range map[string]string{
		"-----BEGIN PKCS7-----\nMIIF\n-----END PKCS7-----\n": "it is PEM, and DER is needed",
		"\n-----BEGIN CMS-----\nMIIF\n":                      "it is PEM",
		"MIME-Version: 1.0\nContent-Type: multipart/signed; protocol=\"application/x-pkcs7-signature\"; micalg=\"sha-256\"\n\nThis is an S/MIME signed message\n": "it is S/MIME text, and DER is needed",
		"Content-Disposition: attachment\nContent-Type: application/x-pkcs7-mime; name=\"smime.p7m\"\n":                                                           "it is S/MIME text",
		"hello": "the signature cannot be read",
	} {
		if _, err := Verify([]byte(text), nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: %v, want %q", text, err, want)
		}
	}
}
