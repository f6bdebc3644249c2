package cli

import (
	"bytes"
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"

	"github.com/rogpeppe/go-internal/testscript"

	"aviso.example/internal/cmstest"
)

// makeSiteCommand writes what a website brings to aviso safari build.
func makeSiteCommand(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: makesite DIR")
	}
	dir := ts.MkAbs(args[0])
	write := func(path string, data []byte) {
		ts.Check(os.MkdirAll(filepath.Dir(path), 0o755))
		ts.Check(os.WriteFile(path, data, 0o600))
	}
	write(filepath.Join(dir, "website.json"), []byte(`{
		"websiteName": "Example News",
		"websitePushID": "web.com.example.news",
		"allowedDomains": ["https://www.example.com"],
		"urlFormatString": "https://www.example.com/%@",
		"authenticationToken": "19f8d7a6e9fb8a7f6d9330dabe",
		"webServiceURL": "https://push.example.com/safari"
	}`))
	for name, pixels := range map[string]int{"16x16": 16, "16x16@2x": 32, "32x32": 32, "32x32@2x": 64, "128x128": 128, "128x128@2x": 256} {
		var icon bytes.Buffer
		ts.Check(png.Encode(&icon, image.NewGray(image.Rect(0, 0, pixels, pixels))))
		write(filepath.Join(dir, "icon.iconset", fmt.Sprintf("icon_%s.png", name)), icon.Bytes())
	}
	apple := cmstest.Apple()
	beside := filepath.Dir(dir)
	write(filepath.Join(beside, "website.pem"), apple.Issue(cmstest.Website("web.com.example.news")).PEM())
	for name, issued := range map[string]*cmstest.Issued{"wwdr.cer": apple.WWDR, "other.cer": apple.OtherWWDR, "root.cer": apple.Root} {
		write(filepath.Join(beside, name), issued.Certificate.Raw)
	}
}
