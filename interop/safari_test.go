package interop

import (
	"bytes"
	"crypto/sha512"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"aviso.example/safari"
)

const websiteJSON = `{
	"websiteName": "Interop News",
	"websitePushID": "web.com.example.interop",
	"allowedDomains": ["https://www.example.com"],
	"urlFormatString": "https://www.example.com/%@",
	"authenticationToken": "19f8d7a6e9fb8a7f6d9330dabe",
	"webServiceURL": "https://push.example.com/safari"
}`

// makeSite writes the source of a push package.
func makeSite(t *testing.T, dir string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(dir, "icon.iconset"), 0o755); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "website.json"), websiteJSON)
	for name, pixels := range map[string]int{"16x16": 16, "16x16@2x": 32, "32x32": 32, "32x32@2x": 64, "128x128": 128, "128x128@2x": 256} {
		var icon bytes.Buffer
		if err := png.Encode(&icon, image.NewGray(image.Rect(0, 0, pixels, pixels))); err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(dir, "icon.iconset", "icon_"+name+".png"), icon.String())
	}
}

// TestStrangersTakeOurPushPackage: unzip unpacks it, sha512sum finds the hashes
// and openssl the signature in order.
func TestStrangersTakeOurPushPackage(t *testing.T) {
	c := makeSigningChain(t)
	site := filepath.Join(c.dir, "site")
	makeSite(t, site)
	root, err := os.OpenRoot(site)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	source, err := safari.ReadSource(root)
	if err != nil {
		t.Fatal(err)
	}
	builder, err := safari.NewBuilder(safari.BuilderConfig{
		Source: *source, Certificate: c.certificate(t, c.leaf["rsa"]), Key: c.privateKey(t, "rsa"),
		Intermediates: []*x509.Certificate{c.certificate(t, c.wwdr)},
	})
	if err != nil {
		t.Fatal(err)
	}
	data, err := builder.Package(safari.Version2, source.Website.AuthenticationToken)
	if err != nil {
		t.Fatal(err)
	}
	zip := writeFile(t, filepath.Join(c.dir, "ours.zip"), string(data))
	run(t, c.dir, "unzip", "-t", zip)
	out := filepath.Join(c.dir, "unpacked")
	run(t, c.dir, "unzip", "-q", zip, "-d", out)
	var listed map[string]struct{ HashType, HashValue string }
	if err := json.Unmarshal(readFile(t, filepath.Join(out, "manifest.json")), &listed); err != nil || len(listed) != 7 {
		t.Fatalf("%d files, %v", len(listed), err)
	}
	var sums strings.Builder
	for name, hash := range listed {
		if hash.HashType != "sha512" || len(hash.HashValue) != hex.EncodedLen(sha512.Size) {
			t.Errorf("%s: %+v", name, hash)
		}
		fmt.Fprintf(&sums, "%s  %s\n", hash.HashValue, name)
	}
	run(t, out, "sha512sum", "--check", "--strict", "--quiet", writeFile(t, filepath.Join(c.dir, "sums"), sums.String()))
	run(t, out, "openssl", "smime", "-verify", "-binary", "-inform", "DER", "-in", "signature", "-content", "manifest.json",
		"-CAfile", c.root, "-purpose", "any", "-out", os.DevNull)
}

// TestWeTakeAStrangersPushPackage is one that a shell script made with
// sha1sum, openssl and zip, as sites did.
func TestWeTakeAStrangersPushPackage(t *testing.T) {
	c := makeSigningChain(t)
	site := filepath.Join(c.dir, "site")
	makeSite(t, site)
	const script = `set -eu
files="website.json icon.iconset/*"
{
	printf '{'
	separator=
	for f in $files; do
		printf '%s\n"%s": "%s"' "$separator" "$f" "$(sha1sum <"$f" | cut -d' ' -f1)"
		separator=,
	done
	printf '\n}\n'
} >manifest.json
openssl smime -sign -binary -md sha1 -in manifest.json -signer "$1" -inkey "$2" -certfile "$3" -outform DER -out signature
zip -q -r ../theirs.zip .
cd ..
zip -q -r nested.zip site
`
	run(t, site, "sh", "-c", script, "sh", c.leaf["rsa"], c.key["rsa"], c.wwdr)
	data := readFile(t, filepath.Join(c.dir, "theirs.zip"))
	p, err := safari.Verify(bytes.NewReader(data), int64(len(data)), safari.VerifyConfig{Roots: []*x509.Certificate{c.certificate(t, c.root)}})
	if err != nil {
		t.Fatal(err)
	}
	if p.Version != safari.Version1 || !p.Trusted || p.Digest.String() != "SHA-1" || p.Website.WebsitePushID != "web.com.example.interop" {
		t.Errorf("%v %+v", p.Website, p.Digest)
	}
	nested := readFile(t, filepath.Join(c.dir, "nested.zip"))
	if _, err := safari.Verify(bytes.NewReader(nested), int64(len(nested)), safari.VerifyConfig{}); err == nil || !strings.Contains(err.Error(), "zip what is in the folder") {
		t.Error(err)
	}
}
